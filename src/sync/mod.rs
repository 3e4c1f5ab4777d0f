//! The facade: the only room that names loom, `parking_lot` or `crossbeam-channel`.
//!
//! A normal build takes its locks from `parking_lot` and its threads and clock from `std`. A **model build**
//! (`--cfg loom` *and* the feature `loom`) takes all of them from loom, so that the crate above, line for line the one
//! that ships, can be run under every interleaving. Either switch alone changes nothing: a stray `--cfg loom` somewhere
//! in a dependency tree leaves this crate as it is. [`model`] is what models of your own code are written with.
//!
//! The facade also owns **time**. loom never lets a wait time out and never wakes a condition variable without a
//! reason. In a model build time is therefore a value that only the model moves ([`model::advance`]): every
//! deadline that falls due is woken at that point, and since the scheduler may put that point anywhere, "it times out
//! just as it opens" is one of the schedules that are explored. Wake-ups without a reason are brought in the same way
//! ([`model::wake_spuriously`]), and so is letting others run before sleeping ([`model::give_way`]).
//!
//! `Arc` is the standard one in both builds: with loom's, a deadlock found by a model aborts the process (the unwinding
//! drops it a second time), and the failure could not be reported or expected. What is given up is loom's check for
//! leaked `Arc`s.

#[cfg(all(loom, feature = "loom"))]
mod explored;
#[cfg(all(loom, feature = "loom"))]
pub(crate) mod lanes;
pub mod model;
mod notified;
#[cfg(not(all(loom, feature = "loom")))]
mod real;
#[cfg(not(all(loom, feature = "loom")))]
mod spin;

#[cfg(all(loom, feature = "loom"))]
use explored as imp;
#[cfg(not(all(loom, feature = "loom")))]
use real as imp;

pub use imp::Instant;
pub(crate) use imp::{
    AtomicU8, AtomicU64, Monitor, Mutex, MutexGuard, abandoned, channel, const_fn, contain, note, random, spin, thread,
    thread_local, yield_now,
};
pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::Ordering;

/// Whether this is a model build: `true` with `--cfg loom` and the feature `loom`, otherwise `false`.
///
/// In a model build the crate's types work only inside `loom::model`.
pub const IN_MODEL: bool = cfg!(all(loom, feature = "loom"));

/// The README's examples are run with the documentation's.
#[cfg(all(doctest, not(feature = "loom")))]
#[doc = include_str!("../../README.md")]
pub struct Readme;
