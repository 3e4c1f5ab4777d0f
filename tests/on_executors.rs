//! The examples of the replicator for tasks, each on its executor.
#![cfg(not(loom))]

#[path = "../examples/on_one_thread.rs"]
mod on_one_thread;
#[path = "../examples/on_pollster.rs"]
mod on_pollster;
#[path = "../examples/on_tokio.rs"]
mod on_tokio;

use std::sync::Mutex;

/// Runs this, and gives what it has printed.
fn printed(run: impl FnOnce(&dyn Fn(String))) -> Vec<String> {
    let lines = Mutex::default();
    run(&|line| Vec::push(&mut lines.lock().unwrap(), line));
    lines.into_inner().unwrap()
}

#[test]
fn two_clients_hand_over_everything_on_many_threads() {
    let lines = printed(|print| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        let mut events = runtime.block_on(on_tokio::two_clients(print)).unwrap();
        events.sort_unstable();
        assert_eq!(events, ["bread", "milk", "tea"]);
    });
    assert_eq!(lines[3..], ["alice has ended, 0 not sent", "bob has ended, 0 not sent"]);
}

#[test]
fn two_clients_share_an_upstream_that_stays_on_one_thread() {
    let lines = printed(|print| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let events = tokio::task::LocalSet::new().block_on(&runtime, on_one_thread::local::two_clients(print));
        assert_eq!(events.unwrap(), 2);
    });
    assert_eq!((&*lines[0], &*lines[2]), ("milk: Confirmed(1)", "bread: Confirmed(2)"));
    assert!(lines[1].starts_with("bob hears of Advance"), "{}", lines[1]);
}

#[test]
fn one_client_gets_by_without_a_runtime() {
    let lines = printed(|print| assert_eq!(on_pollster::one_client(print).unwrap(), 1));
    assert_eq!(lines, ["pending: 1", "milk: Confirmed(1)"]);
}
