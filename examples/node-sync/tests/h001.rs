//! `node-sync h001` tells the same story each time: the one that is kept here.
//!
//! If it is to be another one: `cargo run -p node-sync -- h001 > examples/node-sync/tests/h001.txt`, and so on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the command prints, run so many times at once.
fn told(format: &str, times: usize) -> Vec<String> {
    let tell = |_| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_node-sync"));
        command.args(["h001", "--format", format]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let telling: Vec<_> = (0..times).map(tell).collect();
    let told = telling.into_iter().map(|child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    });
    told.collect()
}

fn is_as_kept(format: &str, file: &str) {
    let kept = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    // Several at once on a few processors: what depends on the scheduler shows.
    for told in told(format, 8) {
        assert!(told == kept, "--format {format} is not as in {file}:\n{told}");
    }
}

#[test]
fn the_same_story_is_told_each_time() {
    is_as_kept("text", "tests/h001.txt");
    is_as_kept("mermaid", "tests/h001.mmd");
    is_as_kept("svg", "h001.svg");
}

#[test]
fn the_story_fits_in_100_columns_and_has_no_colours_in_a_pipe() {
    for line in told("text", 1)[0].lines() {
        assert!(line.chars().count() <= 100 && !line.contains('\x1b'), "{line}");
    }
}
