//! The command: what it says and how it ends.

use std::path::Path;
use std::process::{Command, Output};

use node_sync::file::{self, Kind};

fn node_sync(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_node-sync")).args(args).output().unwrap()
}

/// Ends with exit code 2 and one sentence, which says this.
fn is_refused(args: &[&str], expected: &str) {
    let Output { status, stdout, stderr } = node_sync(args);
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains(expected) && said.lines().count() == 1, "expected “{expected}”, got: {said}");
    assert!(stdout.is_empty());
}

fn finishes(args: &[&str], expected: &str) {
    let Output { status, stdout, stderr } = node_sync(args);
    let (said, errors) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success() && said.contains(expected), "{said}{errors}");
}

#[test]
fn processes_and_threads_files_and_memory_end_with_equal_files() {
    finishes(&["--todos", "400,391"], "equal: the logs of all 3 files (870 events) and their todos (792)");
    finishes(&["--processes", "one", "--todos", "40,39,38"], "equal: the logs of all 4 files");
    finishes(&["--processes", "one", "--upstream", "memory", "--todos", "40,39"], "equal: the logs of all 2 files");
    finishes(
        &["--todos", "60,50", "--commit-batch", "10", "--push-batch", "1", "--page", "3", "--json"],
        "\"equal\": true",
    );
    finishes(&["--todos", "0"], "equal: the logs of all 2 files (0 events)");
}

#[test]
fn a_job_is_continued_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    finishes(&["--dir", dir, "--todos", "30,20"], "(55 events)");
    finishes(&["--dir", dir, "--todos", "60,50"], "(121 events)");
    is_refused(&["--dir", dir, "--todos", "30,20"], "has more events than this job");
}

/// When a file is closed, a process loses all its locks on it: whoever looks into one by itself would take them from
/// SQLite, and the next process that closes the file would take its journal away.
#[test]
fn opening_a_file_again_leaves_the_locks_of_those_who_have_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let (path, dir) = (dir.path().join("upstream.db"), dir.path().to_str().unwrap());
    let open = file::open(&path, Kind::Upstream).unwrap();
    let journal = dir.to_owned() + "/upstream.db-wal";
    open.query_row("SELECT count(*) FROM log", [], |row| row.get::<_, u64>(0)).unwrap();
    drop(file::open(&path, Kind::Upstream).unwrap());
    finishes(&["--dir", dir, "--todos", "3,3"], "equal");
    assert!(Path::new(&journal).exists(), "the journal of an open file is gone");
    drop(open);
    assert!(!Path::new(&journal).exists());
}
