//! Giving way instead of sleeping, and not missing anything by it.
//!
//! Between looking at a state and sleeping on its lock's condition variable there is no moment in
//! which the lock is free. A thread that gives way (`spin.rs`) makes one: a notification that comes
//! then finds it awake. So notifications are counted, under the lock, and a thread that has given
//! way compares.

use std::sync::atomic::{AtomicU32, Ordering};

/// How often those were notified who wait for one thing. Looked at and changed under their lock alone.
pub(crate) struct Notified(AtomicU32);

impl Notified {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    pub(crate) fn bump(&self) {
        // Not one step, and it need not be: the lock is held.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Instead of sleeping: gives up the lock, lets others run and takes it again, all of which is `unlocked`. Whether it
    /// was notified meanwhile; if it was not, nothing has been missed, and it may sleep.
    pub(crate) fn give_way(&self, unlocked: impl FnOnce()) -> bool {
        let before = self.0.load(Ordering::Relaxed);
        unlocked();
        self.0.load(Ordering::Relaxed) != before
    }
}
