//! The command on upstreams that are servers.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use servers::nats::Nats;
use servers::or_skip;
use servers::postgres::Postgres;

fn node_sync(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_node-sync"));
    command.args(args);
    command
}

/// What it says with `--json`.
fn json(args: &[&str]) -> serde_json::Value {
    let Output { status, stdout, stderr } = node_sync(args).arg("--json").output().unwrap();
    assert!(status.success(), "{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
}

/// Ends with exit code 2 and one sentence, which says this.
fn is_refused(command: &mut Command, expected: &str) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains(expected) && said.lines().count() == 1, "expected “{expected}”, got: {said}");
    assert!(stdout.is_empty());
}

#[test]
fn start_nats_ends_with_equal_files_when_the_leader_is_killed_in_the_middle() {
    if or_skip(servers::nats::program()).is_none() {
        return;
    }
    let summary = json(&["--start", "nats", "--kill-leader", "--todos", "3000,3000"]);
    assert_eq!((&summary["equal"], &summary["complete"]), (&true.into(), &true.into()), "{summary}");
    assert_eq!(summary["files"].as_array().unwrap().len(), 3);
    let next = summary["failover"]["next_after_ms"].as_u64();
    assert!(next.is_some_and(|time| (500..60_000).contains(&time)), "{}", summary["failover"]);
}

#[test]
fn start_postgres_ends_with_equal_files_when_the_server_is_killed_in_the_middle() {
    if or_skip(servers::postgres::programs()).is_none() {
        return;
    }
    let summary = json(&["--start", "postgres", "--kill-leader", "--todos", "4000,4000"]);
    assert_eq!((&summary["equal"], &summary["complete"]), (&true.into(), &true.into()), "{summary}");
    let next = summary["failover"]["next_after_ms"].as_u64();
    assert!(next.is_some_and(|time| (10..60_000).contains(&time)), "{}", summary["failover"]);
}

#[test]
fn a_log_with_a_name_is_continued_and_another_is_no_upstream_of_the_files() {
    let Some(postgres) = or_skip(Postgres::start()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let todos = format!("{}#todos", postgres.url());
    for (job, events) in [("30,20", 55), ("60,50", 121)] {
        let summary = json(&["--upstream", &todos, "--dir", dir, "--todos", job, "--processes", "one"]);
        assert_eq!(summary["files"][2]["events"], events, "{summary}");
    }
    let others = format!("{}#others", postgres.url());
    is_refused(&mut node_sync(&["--upstream", &others, "--dir", dir]), "belongs to upstream");
    json(&["--upstream", &postgres.url(), "--todos", "30,20"]);
}

#[test]
fn a_stream_with_a_name_is_continued_and_another_is_no_upstream_of_the_files() {
    let Some(nats) = or_skip(Nats::start(1)) else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let todos = format!("{}/todos", nats.url());
    for (job, events) in [("30,20", 55), ("60,50", 121)] {
        let summary = json(&["--upstream", &todos, "--dir", dir, "--todos", job, "--processes", "one"]);
        assert_eq!(summary["files"][2]["events"], events, "{summary}");
    }
    let others = format!("{}/others", nats.url());
    is_refused(&mut node_sync(&["--upstream", &others, "--dir", dir]), "belongs to upstream");
    // One without a name is gone afterwards.
    json(&["--upstream", &nats.url(), "--todos", "30,20"]);
    assert_eq!(nats.streams().len(), 2, "{:?}", nats.streams());
}

#[test]
fn what_cannot_be_reached_or_started_says_so() {
    is_refused(&mut node_sync(&["--upstream", "nats://127.0.0.1:1"]), "nats://127.0.0.1:1 cannot be reached");
    is_refused(&mut node_sync(&["--upstream", "postgres://a@127.0.0.1:1/a"]), "postgres://a@127.0.0.1:1/a#");
    is_refused(&mut node_sync(&["--upstream", "ftp://there"]), "is no upstream: those are file, memory, nats://");
    is_refused(&mut node_sync(&["--upstream", "nats://127.0.0.1:1", "--dir", "."]), "must have a name");
    is_refused(&mut node_sync(&["--kill-leader"]), "were not provided: --start <WHAT>;");
    // Away from where the servers are installed.
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("node-sync");
    fs::copy(Path::new(env!("CARGO_BIN_EXE_node-sync")), &program).unwrap();
    let mut command = Command::new(program);
    is_refused(command.args(["--start", "nats"]).env("PATH", ""), "nats-server is not installed, neither");
}

#[test]
fn an_object_store_in_a_directory_is_continued_and_another_is_no_upstream_of_the_files() {
    let (objects, others, dir) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [objects, others] = [&objects, &others].map(|at| format!("file://{}", at.path().display()));
    let dir = dir.path().to_str().unwrap();
    for (job, events) in [("30,20", 55), ("60,50", 121)] {
        let summary = json(&["--upstream", &objects, "--dir", dir, "--todos", job]);
        assert_eq!(summary["files"][2]["events"], events, "{summary}");
    }
    is_refused(&mut node_sync(&["--upstream", &others, "--dir", dir]), "belongs to upstream");
    is_refused(&mut node_sync(&["--upstream", "file://here"]), "file:///DIR");
}
