//! What [`FlushSoon`](crate::FlushSoon) promises, checked by loom under every interleaving.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --features loom`

use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use latchwork::Latch;
use latchwork::sync::model::{advance, check, check_bounded, end_time, name};

use crate::{FlushSoon, Order};

const DELAY: Duration = Duration::from_millis(10);

/// Every interleaving with at most three. Without a bound these searches take minutes.
const PREEMPTIONS: usize = 3;

/// An item that comes just as the delay of an earlier one ends is in this batch or in the next.
///
/// Two threads: main pushes, moves the clock and pushes again; the worker waits, sleeps and flushes.
fn pushes_meet_the_deadline(order: Order) {
    let all_there = Arc::new(Latch::new());
    let mut missing = 2;
    let flush = FlushSoon::with_order(order, DELAY, {
        let all_there = Arc::clone(&all_there);
        move |batch: Vec<u32>| {
            missing -= batch.len();
            if missing == 0 {
                all_there.open();
            }
        }
    })
    .unwrap();
    name(&flush.shared.some, "some");
    name(&*all_there, "all there");
    flush.push(1);
    // From here on every deadline has come, also those still to be set.
    end_time();
    flush.push(2);
    // Before anything is stopped: closing would wake a waiter that was stuck.
    all_there.wait();
    assert_eq!(flush.close(), []);
}

#[test]
fn what_is_pushed_as_the_delay_ends_is_flushed() {
    check_bounded(PREEMPTIONS, || pushes_meet_the_deadline(Order::CloseThenTake));
}

/// A model is worth something only if it can fail: the same one, with the bug in.
#[test]
#[should_panic(expected = "deadlock; threads = ")]
fn closing_the_latch_after_taking_the_items_forgets_one() {
    check_bounded(PREEMPTIONS, || pushes_meet_the_deadline(Order::TakeThenClose));
}

/// Closing just as the delay ends: the item is handed to the sink or to the caller of `close`, never to both or to neither.
#[test]
fn what_is_pushed_is_handed_over_once_however_closing_meets_the_deadline() {
    check_bounded(PREEMPTIONS, || {
        let sunk = Arc::new(std::sync::Mutex::new(Vec::new()));
        let flush = FlushSoon::new(DELAY, {
            let sunk = Arc::clone(&sunk);
            move |mut batch| sunk.lock().unwrap().append(&mut batch)
        })
        .unwrap();
        flush.push(1);
        advance(DELAY);
        let mut all = flush.close();
        all.append(&mut sunk.lock().unwrap());
        assert_eq!(all, [1]);
    });
}

/// In a process of its own: what that test says, and how it ends.
fn run(test: &str, variable: Option<&str>) -> Output {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", test, "--nocapture"]).envs(variable.map(|name| (name, "1")));
    process.output().unwrap()
}

#[test]
fn check_shows_the_execution_that_fails() {
    let Output { stderr, .. } = run("model::closing_the_latch_after_taking_the_items_forgets_one", None);
    let said = String::from_utf8(stderr).unwrap();
    assert!(said.contains(include_str!("forgets_one.txt")), "{said}");
}

#[test]
#[should_panic(expected = "there was nothing to explore")]
fn check_refuses_what_has_nothing_to_explore() {
    check(|| Latch::new_open().wait());
}

#[test]
fn check_refuses_variables_that_end_a_search_early() {
    let model = "model::what_is_pushed_is_handed_over_once_however_closing_meets_the_deadline";
    assert!(run(model, None).status.success());
    for limit in ["PREEMPTIONS", "BRANCHES", "DURATION", "PERMUTATIONS"] {
        let variable = format!("LOOM_MAX_{limit}");
        let Output { status, stderr, .. } = run(model, Some(&variable));
        let said = String::from_utf8(stderr).unwrap();
        assert!(!status.success() && said.contains(&format!("{variable} is set")), "{said}");
    }
}
