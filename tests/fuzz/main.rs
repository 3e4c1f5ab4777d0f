//! Fuzzers: random histories that know what state they are in, against what the documentation promises.
//!
//! | | |
//! | --- | --- |
//! | `merge` | logs, against a plain vector that follows the rules of merging |
//! | `primitives` | latches, epochs and interrupts in one thread and between threads; workers |
//! | `protocol` | clients of one upstream in a time of their own; how fast calls may come |
//! | `replicator` | replicators on real threads, with chaos on every side |
//!
//! ```text
//! cargo test --test fuzz                                            some seconds for each
//! LATCHWORK_FUZZ_SECONDS=3600 LATCHWORK_FUZZ_FROM=1000000000 …      longer, with other cases
//! LATCHWORK_FUZZ_SEED=17 cargo test --test fuzz NAME -- --exact     case 17 alone
//! ```
//!
//! A case is drawn from its number, its **seed**. It is a list of steps that are interpreted: each picks what can be done in
//! the state that it finds, or does nothing. So a failing case stays one while steps are taken out of it, until it is as
//! small as it gets; then it is told, with what it did and the command that runs it again.
//!
//! A fuzzer says how often it has reached what it is there for, and fails if that was too seldom: one that does nothing
//! passes too. Each also has defects that it must find: logs that are broken, here, and known bugs, in
//! `loom-tests/fuzz.rs`.
#![cfg(not(loom))]

mod harness;
mod logs;
mod merge;
mod primitives;
mod protocol;
mod replicator;
mod thread_group;

use merge::broken::{Defect, run_broken};
use primitives::{threads, worker};
use protocol::hammer;

/// A fuzzer for each.
macro_rules! fuzz {
    ($($name:ident: $fuzzer:path, $run:path;)*) => {$(
        #[test]
        fn $name() {
            $fuzzer(stringify!($name)).run($run);
        }
    )*};
}

fuzz! {
    logs_merge_as_a_plain_vector_would: merge::fuzzer, merge::run_shipped;
    waits_in_one_thread_end_when_they_should_and_not_before: primitives::fuzzer, primitives::run;
    waits_between_threads_end_when_what_they_wait_for_has_come: threads::fuzzer, threads::run;
    workers_run_what_was_asked_for_and_never_twice_at_once: worker::fuzzer, worker::run;
    protocols_lose_nothing_order_nothing_twice_and_drain: protocol::fuzzer, protocol::world::run;
    protocols_call_no_faster_than_the_backoff_allows: hammer::fuzzer, hammer::run;
    replicators_settle_each_ticket_with_the_truth_and_drain: replicator::fuzzer, replicator::world::run;
}

#[test]
fn each_broken_log_is_found() {
    merge::fuzzer("each_broken_log_is_found").finds(Defect::ALL, |defect, case, seen| match defect {
        Some(defect) => run_broken(*defect, case, seen),
        None => merge::run_shipped(case, seen),
    });
}
