//! What [`FlushSoon`](crate::FlushSoon) promises, checked by loom under every interleaving.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --features loom`
//!
//! The bound: every interleaving with at most three preemptions. Without one these searches take minutes.

use std::sync::Arc;
use std::time::Duration;

use latchwork::Latch;
use latchwork::sync::model::{advance, end_time};

use crate::{FlushSoon, Order};

const DELAY: Duration = Duration::from_millis(10);

fn check(scenario: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    // A search that is cut short would pass.
    (model.max_duration, model.max_permutations) = (None, None);
    // A failing execution is shown.
    latchwork::sync::model::check(&model, scenario);
}

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
    flush.push(1);
    // From here on every deadline has come, also those still to be set.
    end_time();
    flush.push(2);
    // Before anything is stopped: closing would wake whoever is stuck.
    all_there.wait();
    assert_eq!(flush.close(), []);
}

#[test]
fn what_is_pushed_as_the_delay_ends_is_flushed() {
    check(|| pushes_meet_the_deadline(Order::CloseThenTake));
}

/// A model is worth something only if it can fail: the same one, with the bug in.
#[test]
#[should_panic(expected = "deadlock; threads = ")]
fn closing_the_latch_after_taking_the_items_forgets_one() {
    check(|| pushes_meet_the_deadline(Order::TakeThenClose));
}

/// Closing just as the delay ends: the item is handed to the sink or to whoever closes, never to both or to nobody.
#[test]
fn what_is_pushed_is_handed_over_once_however_closing_meets_the_deadline() {
    check(|| {
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

#[test]
fn this_is_a_model_build() {
    const { assert!(latchwork::sync::IN_MODEL) }
}
