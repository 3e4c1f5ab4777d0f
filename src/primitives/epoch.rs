//! A counter that only grows, and that can be waited for: an eventcount (Reed and Kanodia,
//! "Synchronization with eventcounts and sequencers", CACM 1979; Vyukov; the crate
//! `event-listener`).
//!
//! The cure for *check, then park*: read the epoch **before** looking at whatever it stands for,
//! and afterwards park only until the epoch is past what was read. A change that came in between
//! has bumped it, and parking returns at once.
//!
//! ```text
//! waiter                          changer
//! seen = epoch.current()
//! look: nothing to do             change something
//! epoch.past(seen).wait()         epoch.bump()        in whatever order these two come, the waiter looks again
//! ```
//!
//! Count and mark ("a waiter is there") share one atomic word. `bump` counts first; if the mark was
//! set at that moment it takes the queue's lock and wakes every waiter. A waiter sets the mark only
//! while the count is still what it has seen, so the bump that it waits for finds the mark. A
//! waiter that joins between the counting and the waking may be woken for a bump that it had seen;
//! it looks at the count and joins again.
//!
//! Counting is an acquire-release operation, reading the count an acquire operation. The mark is
//! set and taken back by relaxed read-modify-writes, which continue the release sequence.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::wait::{Wait, Waitable};
use super::wait_queue::{Condition, WaitQueue};
use crate::platform::model::Named;
use crate::platform::{AtomicU64, Mutex, Ordering, const_fn, probe};

/// The mark: a waiter is there. The count stands above it.
const AWAITED: u64 = 1;
const ONE: u64 = 2;

/// A counter that only grows and that threads and tasks can wait for. Elsewhere it is an *eventcount*
/// (Reed and Kanodia, 1979).
///
/// What was written before [`bump`](Self::bump) is seen by a thread or task that has read or waited past the count
/// before it, and by one that bumps after it.
///
/// ```
/// # if latchwork::sync::IN_MODEL { return }
/// use latchwork::Epoch;
///
/// let changes = Epoch::new();
/// let seen = changes.current();
/// std::thread::scope(|scope| {
///     scope.spawn(|| changes.bump());
///     assert_eq!(changes.past(seen).wait(), seen + 1);
/// });
/// ```
pub struct Epoch {
    /// Twice the count, plus the mark. The mark is set as long as the queue holds a waiter.
    state: AtomicU64,
    queue: WaitQueue,
}

impl Epoch {
    const_fn! {
        /// An epoch of zero.
        #[must_use]
        pub const fn new() -> Self {
            Self { state: AtomicU64::new(0), queue: WaitQueue::new() }
        }
    }

    /// The count now.
    #[must_use]
    #[inline]
    pub fn current(&self) -> u64 {
        self.load(None) / ONE
    }

    /// Counts one more and wakes every waiter for a count past the former one. Returns the new count.
    ///
    /// The count wraps only after 2⁶³ bumps, which no program lives to see.
    ///
    /// # Panics
    ///
    /// If a waiting task's waker panics; all waiters have been woken by then.
    pub fn bump(&self) -> u64 {
        let former = self.state.fetch_add(ONE, Ordering::AcqRel);
        probe!(Bumped { epoch: self.queue.waiting.thing(), count: former / ONE + 1 });
        if former & AWAITED != 0 {
            self.queue.release(|| {
                self.state.fetch_and(!AWAITED, Ordering::Relaxed);
                true
            });
        }
        former / ONE + 1
    }

    /// Looks at the state, for a waiter that has seen a count, or for another.
    #[inline]
    #[allow(unused_variables, reason = "a normal build tells nothing")]
    fn load(&self, seen: Option<u64>) -> u64 {
        let state = self.state.load(Ordering::Acquire);
        probe!(Read { epoch: self.queue.waiting.thing(), count: state / ONE, seen });
        state
    }

    /// A wait until the count is greater than `seen`; its outcome is the count. If it is already, this is one atomic load.
    pub fn past(&self, seen: u64) -> Wait<impl Waitable<Output = u64>> {
        Wait::new(Past { epoch: self, seen })
    }
}

struct Past<'a> {
    epoch: &'a Epoch,
    seen: u64,
}

impl Past<'_> {
    fn past(&self, state: u64) -> Option<u64> {
        let count = state / ONE;
        (count > self.seen).then_some(count)
    }
}

impl Condition for Past<'_> {
    type Told = u64;

    fn queue(&self) -> &WaitQueue {
        &self.epoch.queue
    }

    fn holds(&self) -> Option<u64> {
        self.past(self.epoch.load(Some(self.seen)))
    }

    fn mark(&self) -> Option<u64> {
        let unless_past = |state| if self.past(state).is_some() { None } else { Some(state | AWAITED) };
        match self.epoch.state.fetch_update(Ordering::Relaxed, Ordering::Acquire, unless_past) {
            Ok(_) => None,
            Err(state) => self.past(state),
        }
    }

    fn unmark(&self) {
        self.epoch.state.fetch_and(!AWAITED, Ordering::Relaxed);
    }

    fn let_through(&self) -> Option<u64> {
        self.holds()
    }
}

impl Named for Epoch {
    fn mutex(&self) -> &Mutex<impl Sized> {
        &self.queue.waiting
    }
}

impl Default for Epoch {
    /// An epoch of zero.
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Epoch").field(&self.current()).finish()
    }
}

// No user code runs while the state is being changed: a panic cannot leave it half done.
impl UnwindSafe for Epoch {}
impl RefUnwindSafe for Epoch {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::IN_MODEL;
    use crate::primitives::wait::Waited;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    fn poll(wait: &mut (impl Future<Output = u64> + Unpin)) -> Poll<u64> {
        pin!(wait).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn bump_and_a_wait_past_an_old_count_take_no_lock_without_a_waiter() {
        if IN_MODEL {
            return;
        }
        let epoch = Epoch::new();
        assert!(poll(&mut epoch.past(0)).is_pending(), "and has given up its place");
        // To take the lock now is to wait for ever.
        let _locked = epoch.queue.waiting.lock();
        assert_eq!([epoch.bump(), epoch.bump()], [1, 2]);
        assert_eq!(epoch.past(1).wait(), 2);
        assert_eq!(epoch.past(1).wait_timeout(Duration::ZERO), Waited::Ready(2));
        assert_eq!(poll(&mut epoch.past(1)), Poll::Ready(2));
    }

    #[test]
    fn a_wait_that_gives_up_after_the_bump_is_told_of_it() {
        if IN_MODEL {
            return;
        }
        let epoch = Epoch::new();
        let (mut first, mut second) = [0, 1].map(|seen| epoch.past(seen)).into();
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        epoch.bump();
        assert_eq!((first.give_up(), second.give_up()), (Some(1), None));
    }
}
