//! The command: what it says and how it ends.

#[cfg(target_os = "linux")]
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use node_sync::file::{self, Kind};
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

/// What it says with `--json`.
fn json(args: &[&str]) -> serde_json::Value {
    let Output { status, stdout, stderr } = node_sync(&[args, &["--json"]].concat());
    assert!(status.success() && stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
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

/// When a file is closed, a process loses all its locks on it: a test that looks into one by itself would take them from
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

#[test]
fn everything_arrives_whatever_goes_wrong() {
    // Of most of these there must be some in a job like this; the rest is left to what the threads do.
    let summary =
        json(&["--todos", "300,290", "--faults", "all=0.1", "--seed", "3", "--push-batch", "10", "--page", "10"]);
    let met = |fault: &str| {
        let clients = summary["clients"].as_array().unwrap();
        clients.iter().filter_map(|client| client["faults"][fault].as_u64()).sum::<u64>()
    };
    for fault in ["reject", "disconnect", "lose-answer", "delay", "duplicate"] {
        assert!(met(fault) > 0, "no {fault}: {summary}");
    }
    finishes(&["--processes", "one", "--upstream", "memory", "--todos", "90,80", "--faults", "all=0.1"], "\nfaults: ");
    finishes(&["--todos", "20,20", "--faults", "reject=0.9,lose-answer=0.9"], "equal: ");
}

#[test]
fn the_summary_says_where_the_time_went() {
    let summary = json(&["--todos", "300,290"]);
    for client in summary["clients"].as_array().unwrap() {
        let (elapsed, spent) = (client["elapsed_us"].as_u64().unwrap(), &client["spent_us"]);
        let spent = |activity: &str| spent[activity].as_u64().unwrap();
        for activity in ["writing_tables", "writing", "awaiting_lock", "pushing", "reading", "listening"] {
            assert!(spent(activity) > 0, "no time in {activity}: {client}");
        }
        // One thread does these.
        let alone = spent("writing_tables") + spent("writing");
        assert!(alone <= elapsed, "{alone} of {elapsed} in the journal: {client}");
        let [writes, changes] = ["writes", "changes"].map(|count| client[count].as_u64().unwrap());
        assert!(writes > 0 && changes > writes, "nothing was written together: {client}");
    }
}

/// Upstream stays locked: nothing can arrive, and that is no reason to end early or to say that it is well.
#[test]
fn what_has_not_arrived_in_time_is_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    finishes(&["--dir", dir.path().to_str().unwrap(), "--todos", "1,1"], "equal");
    let args = ["--time-limit", "4", "--todos", "1000000,1000000", "--dir"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_node-sync"));
    let running = command.args(args).arg(dir.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let upstream = Connection::open(dir.path().join("upstream.db")).unwrap();
    let count = || upstream.query_row("SELECT count(*) FROM log", [], |row| row.get::<_, u64>(0)).unwrap();
    while count() < 10 {
        sleep(Duration::from_millis(1));
    }
    while upstream.execute_batch("BEGIN IMMEDIATE").is_err() {}
    let Output { status, stdout, stderr } = running.wait_with_output().unwrap();
    let (said, progress) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!(status.code(), Some(1), "{said}{progress}");
    assert!(said.contains("NOT everything arrived everywhere: expected 2200000 events in each of 3 files"), "{said}");
    assert!(said.contains("upstream.db is locked by another process"), "{said}");
    // Not on a terminal, so there are lines: after 1 second, 2 more, 4 more.
    let lines = progress.lines().filter(|line| line.starts_with("client1: committed ")).count();
    assert!((1..=3).contains(&lines) && progress.lines().count() == lines, "{progress}");
}

/// A client that is gone ends the others at once, and not only when their time is over.
#[cfg(target_os = "linux")]
#[test]
fn a_client_that_is_killed_ends_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_node-sync"));
    command.args(["--time-limit", "1000", "--todos", "1000000,1000000", "--dir"]).arg(dir.path());
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let client = loop {
        if let Some(client) = children(running.id()).first() {
            break client.clone();
        }
        sleep(Duration::from_millis(1));
    };
    assert!(Command::new("kill").args(["-9", &client]).status().unwrap().success());
    let Output { status, stderr, .. } = running.wait_with_output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains(" ended without a report: signal: 9 (SIGKILL)"), "{said}");
}

/// The processes that the threads of this one have started.
#[cfg(target_os = "linux")]
fn children(process: u32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap().map(|thread| thread.unwrap().path());
    let children = threads.filter_map(|thread| fs::read_to_string(thread.join("children")).ok());
    children.flat_map(|children| children.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}
