//! What each fault comes to: all that can arrives everywhere, or one sentence says what has happened.

use std::process::{Command, Output};

use serde_json::Value;

fn node_sync(options: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_node-sync")).args(options.split(' ')).output().unwrap()
}

/// Ends well. Returns what it says with `--json`.
fn ends_well(options: &str) -> Value {
    let Output { status, stdout, stderr } = node_sync(&format!("--json {options}"));
    let (said, errors) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success(), "{options}: {said}{errors}");
    serde_json::from_str(&said).unwrap()
}

/// The sum of something that all clients report.
fn sum(summary: &Value, what: impl Fn(&Value) -> &Value) -> u64 {
    summary["clients"].as_array().unwrap().iter().filter_map(|client| what(client).as_u64()).sum()
}

/// Ends with exit code 2 and one sentence, which ends like this.
fn is_ended(options: &str, expected: &str) {
    let Output { status, stdout, stderr } = node_sync(options);
    let said = String::from_utf8(stderr).unwrap();
    println!("{}", said.trim_end());
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.trim_end().ends_with(expected) && said.lines().count() == 1, "expected “{expected}”, got: {said}");
    assert!(stdout.is_empty());
}

#[test]
fn a_todo_that_upstream_refuses_is_given_up_with_a_sentence_and_the_rest_arrives() {
    let Output { status, stdout, .. } = node_sync("--todos 60,50 --faults refuse=0.02");
    let said = String::from_utf8(stdout).unwrap();
    let expected =
        "client1 gives up event 14, of the todo client1-14: upstream refuses it for good: it is not allowed\n";
    assert!(status.success() && said.contains(expected), "{said}");
    assert!(said.contains("equal: the logs of all 3 files (119 events)"), "{said}");
}

#[test]
fn todos_are_given_up_whatever_else_goes_wrong_and_however_little_may_be_pending() {
    for options in [
        "--faults refuse=0.3 --max-pending 1",
        "--faults refuse=0.9 --commit-batch 7 --max-pending 7 --edit-every 1",
        "--faults refuse=0.3,lose-answer=0.3,reject=0.2 --edit-every 1 --push-batch 5 --page 3",
        "--faults refuse=0.3 --processes one --upstream memory",
    ] {
        let summary = ends_well(&format!("--todos 60,50 {options}"));
        let (given_up, events) = (sum(&summary, |client| &client["given_up"]), &summary["events"]);
        let committed = sum(&summary, |client| &client["committed"]);
        assert!(given_up > 0 && *events == committed - given_up, "{given_up} of {committed} events: {summary}");
    }
}

/// Each todo is refused or not, so both runs must mean the same ones.
#[test]
fn a_job_is_continued_with_the_same_refusals_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    ends_well(&format!("--dir {dir} --todos 30,20 --faults refuse=0.2"));
    is_ended(
        &format!("--dir {dir} --todos 60,50"),
        "client1.db has given up other todos than this job: say the same --faults and --seed",
    );
    is_ended(
        &format!("--dir {dir} --todos 60,50 --faults refuse=0.2 --seed 2"),
        "client1.db has given up other todos than this job: say the same --faults and --seed",
    );
    ends_well(&format!("--dir {dir} --todos 60,50 --faults refuse=0.2"));
}

#[test]
fn a_push_that_is_too_large_is_sent_in_smaller_ones() {
    let summary = ends_well("--todos 60,50 --commit-batch 30 --faults too-large=0.9");
    assert!(sum(&summary, |client| &client["too_large"]) > 0, "{summary}");
}

#[test]
fn an_upstream_that_is_busy_is_left_alone_for_as_long_as_it_says() {
    let summary = ends_well("--todos 60,50 --faults busy=0.3");
    assert!(sum(&summary, |client| &client["faults"]["busy"]) > 0, "{summary}");
}

/// Nothing but `--patience` ends such a call before the time is over.
#[test]
fn a_push_or_a_pull_that_never_answers_is_ended_after_patience() {
    let summary = ends_well("--todos 60,50 --push-batch 5 --page 5 --faults hang=0.2 --patience 50 --time-limit 30");
    assert!(sum(&summary, |client| &client["faults"]["hang"]) > 0, "{summary}");
    assert!(sum(&summary, |client| &client["uncertain"]) > 0, "no push was ended: {summary}");
    assert!(sum(&summary, |client| &client["unavailable"]) > 0, "no pull was ended: {summary}");
}

#[test]
fn a_client_that_is_refused_ends_with_one_sentence() {
    is_ended("--todos 60,50 --faults deny=0.9", "upstream: the client is not allowed");
}

#[test]
fn an_upstream_that_says_it_has_lost_events_ends_with_one_sentence() {
    is_ended(
        "--todos 60,50 --faults go-back=0.9",
        "upstream has lost events: it was restored from a backup; put the newer file back and run it again, or begin anew \
         in another directory",
    );
}

#[test]
fn faults_are_each_told_by_the_help() {
    let said = String::from_utf8(node_sync("--help").stdout).unwrap();
    for fault in node_sync::faults::Fault::ALL {
        let name = format!(" {fault} ");
        assert!(said.contains(&name), "{name} is not in: {said}");
    }
}
