//! The facade: the only folder that names loom, `parking_lot` or `crossbeam-channel`.
//!
//! Its two sides are `real.rs` and `explored.rs`; [`crate::sync`], which is what users see of it,
//! says when it is which, and how time passes in a model.
//!
//! `Arc` is the standard one in both builds: with loom's, a deadlock found by a model aborts the
//! process (the unwinding drops it a second time), and the failure could not be reported or
//! expected. What is given up is loom's check for leaked `Arc`s.

pub(crate) mod event;
#[cfg(all(loom, feature = "loom"))]
mod explored;
pub mod model;
mod notified;
#[cfg(feature = "tracing")]
pub(crate) mod owed;
mod probe;
#[cfg(not(all(loom, feature = "loom")))]
mod real;
#[cfg(not(all(loom, feature = "loom")))]
mod spin;
#[cfg(all(loom, feature = "loom"))]
pub(crate) mod trace;

#[cfg(all(loom, feature = "loom"))]
use explored as imp;
#[cfg(not(all(loom, feature = "loom")))]
use real as imp;

pub use imp::Instant;
pub(crate) use imp::{
    AtomicU8, AtomicU64, CondMutex, Mutex, MutexGuard, catch_panic, channel, const_fn, is_unwinding, random, spin,
    thread, thread_local, yield_now,
};
pub(crate) use probe::{in_a_model, probe, with_tracing};
pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::Ordering;

/// How an example begins that needs a runtime: there is none beside loom.
#[cfg(not(feature = "loom"))]
macro_rules! needs_runtime {
    () => {
        "```"
    };
}
/// As in other builds, not built.
#[cfg(feature = "loom")]
macro_rules! needs_runtime {
    () => {
        "```ignore"
    };
}
pub(crate) use needs_runtime;

/// Whether this is a model build: `true` with `--cfg loom` and the feature `loom`, otherwise `false`.
///
/// In a model build the crate's types work only inside `loom::model`.
pub const IN_MODEL: bool = cfg!(all(loom, feature = "loom"));

/// The README's examples are run with the documentation's.
#[cfg(all(doctest, not(feature = "loom")))]
#[doc = include_str!("../../README.md")]
pub struct Readme;
