//! What a normal build is made of.

pub(super) mod model;

use std::hash::{BuildHasher, RandomState};

use parking_lot::Condvar;
pub(crate) use parking_lot::{Mutex, MutexGuard};
pub(crate) use std::sync::atomic::{AtomicU8, AtomicU64};
pub(crate) use std::thread_local;
/// A point in time: [`std::time::Instant`], or the model's clock in a model build.
pub use std::time::Instant;

use super::notified::Notified;
use super::spin::giving_way;
pub(crate) use super::spin::spin;
pub(crate) use crossbeam_channel as channel;

pub(crate) mod thread {
    pub(crate) use std::thread::{Builder, JoinHandle, ThreadId, current};
}

/// How many times to try for a lock before queueing up.
const MOST_YIELDS: usize = 8;

/// A value under a lock, and threads that wait for it to change: for one of so many topics each.
pub(crate) struct CondMutex<T, const TOPICS: usize = 1> {
    value: Mutex<T>,
    changed: [Condvar; TOPICS],
    notified: [Notified; TOPICS],
}

impl<T, const TOPICS: usize> CondMutex<T, TOPICS> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: [const { Condvar::new() }; TOPICS],
            notified: [const { Notified::new() }; TOPICS],
        }
    }

    /// The value, once it is not shared any more.
    pub(crate) fn into_inner(self) -> T {
        self.value.into_inner()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock()
    }

    /// As [`lock`](Self::lock), for readers. Unlocking a contended mutex is slow for its holder, so this yields a
    /// few times before it queues up.
    pub(crate) fn lock_yielding(&self) -> MutexGuard<'_, T> {
        for _ in 0..MOST_YIELDS {
            if let Some(guard) = self.value.try_lock() {
                return guard;
            }
            yield_now();
        }
        self.lock()
    }

    /// Gives up the lock until notified, until `deadline`, or for no reason. Says whether the deadline has passed.
    pub(crate) fn wait<'a>(
        &'a self,
        mut guard: MutexGuard<'a, T>,
        topic: usize,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, T>, bool) {
        #[cfg(feature = "tracing")]
        if super::owed::is_owed() {
            MutexGuard::unlocked(&mut guard, super::owed::tell);
            return (guard, false);
        }
        let (changed, notified) = (&self.changed[topic], &self.notified[topic]);
        if giving_way(|| notified.give_way(|| MutexGuard::unlocked(&mut guard, yield_now))) {
            return (guard, false);
        }
        let passed = match deadline {
            None => {
                changed.wait(&mut guard);
                false
            }
            Some(deadline) => changed.wait_until(&mut guard, deadline).timed_out(),
        };
        (guard, passed)
    }

    /// Wakes the threads that wait for this topic. The lock is held: there is no other way.
    pub(crate) fn notify_all(&self, _locked: &mut MutexGuard<'_, T>, topic: usize) {
        self.notified[topic].bump();
        self.changed[topic].notify_all();
    }
}

/// Lets others on this processor run first.
pub(crate) fn yield_now() {
    std::thread::yield_now();
}

/// A number that differs from call to call and from process to process; for jitter, not for secrets.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// Runs user code whose panic is to be contained.
pub(crate) fn catch_panic<T>(f: impl FnOnce() -> T) -> std::thread::Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f))
}

/// Whether this is a drop in a model that has failed, where nothing can be locked any more.
pub(crate) const fn is_unwinding() -> bool {
    false
}

/// A function that is `const` outside model builds (loom's types are made while a model runs).
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis const fn $($rest:tt)*) => { $(#[$meta])* $vis const fn $($rest)* };
}
pub(crate) use const_fn;
