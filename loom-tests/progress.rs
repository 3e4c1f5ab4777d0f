//! What is said of the models as they run: how many there are, how long that takes, and a line for each that fits a terminal.

use std::io::IsTerminal;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::{Index, Model, say};

/// Says once what is about to run, how long that takes, and what the lines mean.
pub fn announce(index: Index) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        assert!(index.models().any(|model| model.name == QUICK), "there is no model {QUICK}");
        let (selected, all) = (selected(index), index.models().count());
        if selected > 1 {
            let of = if selected < all { format!("{selected} of ") } else { String::new() };
            say(&format!(
                "\n{of}{all} models. All of them take about {TIME} on two cores, this one a few seconds:\n  \
                 RUSTFLAGS=\"--cfg loom\" cargo test --test models -- --exact {QUICK}\n\
                 Each is searched again with every known bug that it must find; see loom-tests/README.md."
            ));
        }
        if !lines_are_long() {
            let before = if shows_progress() { " ".repeat(progress(0, selected).len()) } else { String::new() };
            say(&format!("{before}executions     time known bugs model ({LINES}=long: and what it shows)"));
        }
    });
}

/// As measured; the report has no times.
const TIME: &str = "a minute";

/// What was in the way of a sync engine, found in a second.
const QUICK: &str = "replicator::advance_resumes_the_pusher";

/// How models say what came of them: in a table, unless this variable is `long`.
const LINES: &str = "LATCHWORK_LINES";

pub fn lines_are_long() -> bool {
    std::env::var_os(LINES).is_some_and(|lines| lines == "long")
}

/// The greatest width of a line that is not long.
const WIDTH: usize = 100;

fn shows_progress() -> bool {
    std::io::stderr().is_terminal()
}

/// With its digits in groups of three.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group)).collect();
    groups.join(",")
}

/// Counts a model that has run; returns how many there have been.
pub fn count() -> usize {
    static DONE: AtomicUsize = AtomicUsize::new(0);
    DONE.fetch_add(1, Ordering::Relaxed) + 1
}

fn progress(done: usize, selected: usize) -> String {
    format!("{done:>3}/{selected} ")
}

/// What a model's process has said, when so many have been there.
pub fn shown(line: &str, done: usize, index: Index) -> String {
    let line = if shows_progress() { progress(done, selected(index)) + line } else { line.into() };
    if lines_are_long() || line.chars().count() <= WIDTH {
        return line;
    }
    line.chars().take(WIDTH - 1).chain(['…']).collect()
}

/// How many models the harness was asked for.
fn selected(index: Index) -> usize {
    let (mut filters, mut skipped) = (Vec::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    let mut exact = false;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--exact" => exact = true,
            "--skip" => skipped.extend(arguments.next()),
            "--test-threads" | "--format" | "--color" | "--logfile" | "--shuffle-seed" | "-Z" => drop(arguments.next()),
            option if option.starts_with('-') => {}
            _ => filters.push(argument),
        }
    }
    let meant = |name: &str, filter: &String| if exact { name == filter } else { name.contains(filter.as_str()) };
    let any = |name: &str, filters: &[String]| filters.iter().any(|filter| meant(name, filter));
    let is_selected =
        |model: &&'static Model| (filters.is_empty() || any(model.name, &filters)) && !any(model.name, &skipped);
    index.models().filter(is_selected).count()
}
