//! loom's threads, with a column in which they begin, wait for each other and end; and a signal of
//! the model's own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::latchwork;
use latchwork::sync::model::{waits, within};
pub use loom::thread::yield_now;

pub struct JoinHandle<T>(loom::thread::JoinHandle<T>);

pub fn spawn<T: 'static>(steps: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    JoinHandle(loom::thread::spawn(|| within(steps)))
}

impl<T> JoinHandle<T> {
    pub fn join(self) -> std::thread::Result<T> {
        let id = format!("{:?}", self.0.thread().id());
        let number = id.trim_matches(|other: char| !other.is_ascii_digit());
        waits(format_args!("thread {number} has not ended"));
        self.0.join()
    }
}

/// Lets threads sleep until it is set. It is no step of the model: between the look and the park no
/// other thread runs, and to be woken is all that a sleeper meets.
#[derive(Default)]
pub struct Signal {
    set: AtomicBool,
    sleepers: Mutex<Vec<loom::thread::Thread>>,
}

impl Signal {
    pub fn set(&self) {
        self.set.store(true, Ordering::Relaxed);
        self.sleepers().drain(..).for_each(|sleeper| sleeper.unpark());
    }

    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }

    pub fn wait(&self) {
        while !self.is_set() {
            self.sleepers().push(loom::thread::current());
            loom::thread::park();
        }
    }

    /// As [`wait`](Self::wait), until it is set once more.
    pub fn take(&self) {
        self.wait();
        self.set.store(false, Ordering::Relaxed);
    }

    fn sleepers(&self) -> std::sync::MutexGuard<'_, Vec<loom::thread::Thread>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
