//! Fuzzers: random histories that know what state they are in, against what the documentation promises.
//!
//! | | |
//! | --- | --- |
//! | `merge` | logs, against a plain vector that follows the rules of merging |
//! | `primitives` | latches, epochs and interrupts in one thread and between threads; workers |
//! | `protocol` | clients of one upstream in a time of their own; how fast calls may come |
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
//! passes too. Each also has defects that it must find.
#![cfg(not(loom))]

mod crew;
mod harness;
mod logs;
mod merge;
mod primitives;
mod protocol;
mod replicator;
