//! The models: what is proved about the crate, how far, and by which defect the proof was tested.
//!
//! Run them with `RUSTFLAGS="--cfg loom" cargo test`. This file is the **index**, and the index is the code: each entry
//! gives the property, the invariant behind it, the greatest number of threads (loom's own main thread included), the
//! bound, and the **known bugs** that the same model must find when they are switched on in the shipped code, each with
//! the failure that is expected. What a model does, step by step, stands in `scenarios/`.
//!
//! *Exhaustive* means: every interleaving, without a bound on preemptions, and the search ended by itself. Anything less
//! says its bound.
#![cfg(loom)]

mod executor;
mod runner;
mod scenarios;

use runner::{DEADLOCK, Model};

/// Turns the index into tests. An entry: property, name, invariants, threads, bound, known bugs.
macro_rules! index {
    ($($(#[doc = $about:literal])* mod $room:ident { $(
        #[doc = $property:literal]
        $name:ident: $invariants:literal, $threads:literal threads, $bound:tt,
        finds { $($bug:ident: $failure:expr),* $(,)? } $(built { $($twin:ident: $twin_failure:expr),* $(,)? })?;
    )* })*) => { $(
        $(#[doc = $about])*
        mod $room {
            use super::*;
            $(
                #[doc = $property]
                #[test]
                fn $name() {
                    Model {
                        name: concat!(stringify!($room), "::", stringify!($name)),
                        property: $property,
                        invariants: $invariants,
                        threads: $threads,
                        bound: runner::bound!($bound),
                        scenario: scenarios::$room::$name,
                        known_bugs: &[$((latchwork::known_bugs::KnownBug::$bug, $failure)),*],
                        twins: &[$($((stringify!($twin), scenarios::$room::$twin, $twin_failure)),*)?],
                    }
                    .check();
                }
            )*
        }
    )* };
}

index! {
    mod latch {
        /// Who waits when the latch opens gets through.
        open_lets_a_thread_through: "I1, I2", 2 threads, exhaustive, finds { WakeWithoutLock: DEADLOCK };
        /// Taking turns by closing one latch keeps two out of the same section.
        one_latch_excludes: "I9", 3 threads, exhaustive, finds {} built { two_latches: "both are inside" };
    }
    mod worker {
        /// Whoever joins a worker gets it back, wherever its run was.
        join_ends_a_run_that_is_about_to_park: "I1, I16", 2 threads, exhaustive, finds { StopMissesRun: DEADLOCK };
    }
    mod replicator {
        /// Try.
        try1: "I1, I2", 3 threads, 3, finds { ResumeOnRebaseOnly: DEADLOCK, ParkedFlag: DEADLOCK };
    }
}
