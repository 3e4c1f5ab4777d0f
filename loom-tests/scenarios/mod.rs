//! What the models do: drive the crate through its public interface.
//!
//! All of this is compiled twice, against the [crate as it ships](crate::shipped) and against the [build with the known
//! bugs](crate::switched); hence `use super::latchwork` in each file.
//!
//! Each says which threads there are, the steps of each, and what ends it. A property is asserted before the model stops
//! anything: what a stop wakes was perhaps asleep for good.

pub mod engines;
pub mod epoch;
pub mod executor;
pub mod handle;
pub mod interrupt;
pub mod journal;
pub mod latch;
pub mod leader;
pub mod matrix;
pub mod owner;
pub mod replicator;
pub mod tasks;
pub(super) mod thread;
pub mod upstream;
pub mod worker;

use std::sync::Arc;
use std::time::Duration;

use super::{latchwork, suspend};
use crate::model::Build;
use latchwork::sync::model::{record, recorded};
use thread::JoinHandle;

/// How this build tells what an execution did.
pub const BUILD: Build =
    Build { record: |steps| record(steps), recorded: |failure| recorded(failure).map(|trace| trace.to_string()) };

/// A deadline within reach of the models' clock.
const SOON: Duration = Duration::from_secs(1);

/// The way to where exploration begins: until this is dropped, one schedule is run, and no known
/// bug is on.
pub(super) struct Way<B> {
    _no_bug: B,
}

fn unexplored() -> Way<impl Sized> {
    loom::stop_exploring();
    Way { _no_bug: suspend() }
}

/// The same with the known bug on. What a future does it does as that was when it was polled first: a known bug that is met
/// on such a way, and shows later, must be on by then.
pub(super) fn unexplored_bugs_and_all() -> Way<impl Sized> {
    loom::stop_exploring();
    Way { _no_bug: () }
}

impl<B> Drop for Way<B> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            loom::explore();
        }
    }
}

/// Starts a thread with a share of `with`.
pub(super) fn spawn<T: 'static, R: 'static>(with: &Arc<T>, steps: impl FnOnce(&T) -> R + 'static) -> JoinHandle<R> {
    let with = Arc::clone(with);
    thread::spawn(move || steps(&with))
}
