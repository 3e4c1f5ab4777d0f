//! A gate that opens and closes: a manual-reset event (Win32 `CreateEvent`, .NET
//! `ManualResetEvent`). Not the one-shot latch of C++ (`std::latch`) and Java (`CountDownLatch`).
//!
//! The state is one atomic word with three values:
//!
//! | state | meaning | who changes it |
//! | --- | --- | --- |
//! | `CLOSED` | closed, no waiter | `open` to `OPEN`, without a lock; a waiter to `AWAITED`, under the queue's lock |
//! | `OPEN` | open, no waiter | `close` to `CLOSED`, without a lock |
//! | `AWAITED` | closed, with waiters | only under the queue's lock: `open` to `OPEN`; `release`, or the last waiter that gives up, to `CLOSED` |
//!
//! Each operation is one read-modify-write on that word, which is where it takes effect; nothing
//! depends on the order of two words, so no fence is owed. `open` is a release operation. Passing
//! is an acquire operation, and so is `close`, so that a latch can serve as a lock. The other
//! read-modify-writes are relaxed: they continue the release sequence.
//!
//! A thread that finds `AWAITED` changes it and empties the queue in one critical section: those in
//! the queue are exactly those that were there when it opened, and closing again at once takes none
//! of them back (see the argument in the crate's wait queue: a waiter whose generation is over is
//! through).
//!
//! The states and the `release` operation follow Effect's `Latch`; its `open` then `close` forgets
//! the waiters, and this one's does not.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::wait_queue::{Condition, WaitQueue};
use crate::platform::model::Named;
use crate::platform::{AtomicU8, Mutex, Ordering, const_fn, probe};

const CLOSED: u8 = 0;
const OPEN: u8 = 1;
const AWAITED: u8 = 2;

/// A gate: threads and tasks wait while it is closed and pass while it is open. Elsewhere it is a
/// *manual-reset event* (Win32, .NET).
///
/// What was written before [`open`](Self::open) or [`release`](Self::release) is seen by every
/// waiter that it lets through.
///
/// ```
/// # if latchwork::sync::IN_MODEL { return }
/// use latchwork::Latch;
///
/// let ready = Latch::new();
/// std::thread::scope(|scope| {
///     scope.spawn(|| ready.wait());
///     ready.open();
/// });
/// ```
// The queue's pointer is packed and must not lie across two pages: joining would take more than twice as long.
#[repr(align(16))]
pub struct Latch {
    /// `CLOSED`, `OPEN` or `AWAITED`; the latter exactly as long as the queue holds a waiter.
    state: AtomicU8,
    pub(crate) queue: WaitQueue,
}

impl Latch {
    const_fn! {
        /// A closed latch.
        #[must_use]
        pub const fn new() -> Self {
            Self { state: AtomicU8::new(CLOSED), queue: WaitQueue::new() }
        }
    }

    const_fn! {
        /// An open latch.
        #[must_use]
        pub const fn new_open() -> Self {
            Self { state: AtomicU8::new(OPEN), queue: WaitQueue::new() }
        }
    }

    /// Opens the latch and lets through every waiter. Returns whether it was closed.
    ///
    /// # Panics
    ///
    /// If a waiting task's waker panics; all waiters have been let through and woken by then.
    pub fn open(&self) -> bool {
        let mut state = CLOSED;
        while state != AWAITED {
            // Also when it is open: what was written before this call must be seen by a waiter that passes after it.
            match self.state.compare_exchange(state, OPEN, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return self.turned(true, state == CLOSED),
                Err(actual) => state = actual,
            }
        }
        let mut changed = false;
        self.queue.release(|| {
            changed = self.turned(true, self.state.swap(OPEN, Ordering::Release) != OPEN);
            true
        });
        changed
    }

    /// Closes the latch. Returns whether it was open.
    ///
    /// A waiter that was there when it opened passes even so.
    pub fn close(&self) -> bool {
        // Takes away the one bit of `OPEN`: `CLOSED` and `AWAITED` stay as they are. A caller that closes the latch has
        // passed it, hence the ordering: what was written before `open` is seen.
        self.turned(false, self.state.fetch_and(!OPEN, Ordering::Acquire) & OPEN != 0)
    }

    /// It has been opened or closed. Returns whether that has `changed` it.
    #[allow(unused_variables, reason = "a normal build tells nothing")]
    fn turned(&self, open: bool, changed: bool) -> bool {
        probe!(Turned { gate: self.queue.waiting.thing(), open, changed });
        changed
    }

    /// Lets through exactly those who wait now; the latch stays closed. Returns how many there were.
    ///
    /// An open latch has no waiters, so there it does nothing.
    ///
    /// # Panics
    ///
    /// If a waiting task's waker panics; all waiters have been let through and woken by then.
    pub fn release(&self) -> usize {
        if self.state.load(Ordering::Relaxed) != AWAITED {
            self.released(false);
            return 0;
        }
        self.queue.release(|| {
            self.released(self.state.compare_exchange(AWAITED, CLOSED, Ordering::Relaxed, Ordering::Relaxed).is_ok())
        })
    }

    /// Its waiters are to be let through. Returns whether any are `awaited`.
    fn released(&self, awaited: bool) -> bool {
        probe!(Released { gate: self.queue.waiting.thing(), awaited });
        awaited
    }

    /// Whether the latch is open.
    #[must_use]
    #[inline]
    pub fn is_open(&self) -> bool {
        let open = self.state.load(Ordering::Acquire) == OPEN;
        probe!(Found { gate: self.queue.waiting.thing(), open });
        open
    }
}

impl Condition for &Latch {
    type Told = ();

    fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn holds(&self) -> Option<()> {
        self.is_open().then_some(())
    }

    fn mark(&self) -> Option<()> {
        match self.state.compare_exchange(CLOSED, AWAITED, Ordering::Relaxed, Ordering::Acquire) {
            Ok(_) | Err(AWAITED) => None,
            Err(_open) => Some(()),
        }
    }

    fn unmark(&self) {
        self.state.fetch_and(!AWAITED, Ordering::Relaxed);
    }

    fn let_through(&self) -> Option<()> {
        Some(())
    }
}

impl Named for Latch {
    fn mutex(&self) -> &Mutex<impl Sized> {
        &self.queue.waiting
    }
}

impl Default for Latch {
    /// A closed latch.
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Latch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latch").field("open", &self.is_open()).finish_non_exhaustive()
    }
}

// No user code runs while the state is being changed: a panic cannot leave it half done.
impl UnwindSafe for Latch {}
impl RefUnwindSafe for Latch {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{IN_MODEL, Instant};
    use crate::primitives::wait::Waited;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    fn poll(wait: &mut (impl Future<Output = ()> + Unpin)) -> Poll<()> {
        Pin::new(wait).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn open_close_and_passing_take_no_lock_without_a_waiter() {
        if IN_MODEL {
            return;
        }
        let latch = Latch::new();
        assert!(poll(&mut latch.opened()).is_pending(), "and has given up its place");
        // To take the lock now is to wait for ever.
        let _locked = latch.queue.waiting.lock();
        assert_eq!(latch.release(), 0);
        assert_eq!([latch.open(), latch.open()], [true, false]);
        latch.wait();
        assert_eq!(latch.opened().wait_timeout(Duration::ZERO), Waited::Ready(()));
        assert_eq!(latch.opened().wait_deadline(Instant::now()), Waited::Ready(()));
        assert!(poll(&mut latch.opened()).is_ready());
        assert_eq!([latch.close(), latch.close()], [true, false]);
    }
}
