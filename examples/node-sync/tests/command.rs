//! The command: what it says and how it ends.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use rusqlite::Connection;

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

#[test]
fn what_cannot_begin_says_so_in_one_sentence() {
    is_refused(&["--upstream", "memory"], "cannot be shared by processes");
    is_refused(&["--time-limit", "0"], "the time limit must be");
    assert_eq!(node_sync(&["--push-batch", "0"]).status.code(), Some(2));
    assert_eq!(node_sync(&["--todos", "many"]).status.code(), Some(2));

    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let refused =
        |dir: &Path, expected: &str| is_refused(&["--dir", dir.to_str().unwrap(), "--todos", "3,3"], expected);
    let file = at("file");
    fs::write(&file, "text").unwrap();
    refused(&file, "is not a directory");

    let text = at("text");
    fs::create_dir(&text).unwrap();
    fs::write(text.join("upstream.db"), "this is no database at all. ".repeat(100)).unwrap();
    refused(&text, "upstream.db is not a database");
    assert!(fs::read_to_string(text.join("upstream.db")).unwrap().starts_with("this is no"));

    let foreign = at("foreign");
    fs::create_dir(&foreign).unwrap();
    Connection::open(foreign.join("client2.db")).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = fs::read(foreign.join("client2.db")).unwrap();
    refused(&foreign, "client2.db is a database of another kind");
    assert_eq!(fs::read(foreign.join("client2.db")).unwrap(), before);

    let locked = at("locked");
    finishes(&["--dir", locked.to_str().unwrap(), "--todos", "3,3"], "equal");
    for name in ["upstream.db", "client1.db"] {
        let other = Connection::open(locked.join(name)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        refused(&locked, &format!("{name} is locked by another process"));
    }
    finishes(&["--dir", locked.to_str().unwrap(), "--todos", "3,3"], "equal");
}
