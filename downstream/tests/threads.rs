//! The normal types on real threads: also with a stray `--cfg loom`, as long as the feature is not asked for.
#![cfg(not(all(loom, feature = "loom")))]

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use latchwork::{Latch, Waited};
use latchwork_downstream::FlushSoon;

/// A latch in a static: only the normal types can be made there.
static OPENED: Latch = Latch::new();

#[test]
fn this_is_no_model_build() {
    const { assert!(!latchwork::sync::IN_MODEL) }
}

/// A model that lacks a switch would explore nothing. It must not pass.
#[test]
#[cfg_attr(
    loom,
    should_panic(expected = "this is no model build, and would explore nothing: the feature `latchwork/loom` is off")
)]
#[cfg_attr(
    not(loom),
    should_panic(expected = "this is no model build, and would explore nothing: RUSTFLAGS does not say `--cfg loom`")
)]
fn check_refuses_what_is_no_model_build() {
    latchwork::sync::model::check(|| {});
}

#[test]
fn a_latch_in_a_static_lets_a_thread_through() {
    let waiter = thread::spawn(|| OPENED.wait());
    assert!(OPENED.open());
    waiter.join().unwrap();
}

#[test]
fn time_passes_by_itself() {
    let begun: Instant = latchwork::sync::Instant::now();
    assert_eq!(Latch::new().opened().wait_timeout(Duration::from_millis(5)), Waited::TimedOut);
    assert!(begun.elapsed() >= Duration::from_millis(5));
}

#[test]
fn every_item_is_handed_over_once_and_in_order() {
    for _ in 0..100 {
        let (sink, batches) = mpsc::channel();
        let flush = FlushSoon::new(Duration::from_micros(10), move |batch| sink.send(batch).unwrap()).unwrap();
        for item in 0..100 {
            flush.push(item);
        }
        let left = flush.close();
        let all: Vec<_> = batches.into_iter().chain([left]).flatten().collect();
        assert_eq!(all, Vec::from_iter(0..100));
    }
}

#[test]
fn items_that_come_within_the_delay_leave_together() {
    let (sink, batches) = mpsc::channel();
    let flush = FlushSoon::new(Duration::from_secs(3600), move |batch| sink.send(batch).unwrap()).unwrap();
    flush.push(1);
    flush.push(2);
    assert_eq!(flush.close(), [1, 2], "closing does not wait for the delay");
    assert_eq!(batches.iter().count(), 0);
}

#[test]
fn a_drop_without_close_leaves_nothing_behind() {
    let (sink, batches) = mpsc::channel();
    let flush = FlushSoon::new(Duration::from_micros(10), move |batch| sink.send(batch).unwrap()).unwrap();
    let mut missing = 1000;
    for item in 0..missing {
        flush.push(item);
    }
    while missing > 0 {
        missing -= batches.recv().unwrap().len();
    }
}
