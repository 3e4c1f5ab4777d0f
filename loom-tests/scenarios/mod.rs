//! What the models do: drive the shipped code through its public interface.
//!
//! Each says which threads there are, the steps of each, and what ends it. A property is asserted before the model stops
//! anything: what a stop wakes was perhaps asleep for good.

pub mod engines;
pub mod epoch;
pub mod handle;
pub mod interrupt;
pub mod latch;
pub mod matrix;
pub mod replicator;
mod thread;
pub mod upstream;
pub mod worker;

use std::sync::Arc;
use std::time::Duration;

use thread::JoinHandle;

/// A deadline within reach of the models' clock.
const SOON: Duration = Duration::from_secs(1);

/// Starts a thread with a share of `with`.
fn spawn<T: 'static, R: 'static>(with: &Arc<T>, steps: impl FnOnce(&T) -> R + 'static) -> JoinHandle<R> {
    let with = Arc::clone(with);
    thread::spawn(move || steps(&with))
}
