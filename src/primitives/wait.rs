//! The wait: one value for everything that can be waited for, by a thread or by a task.
//!
//! A [`Wait`] is what it waits for and a place in the queue of those who do. A task polls it; a thread polls it and parks
//! in between. Waiting for a latch, an interrupt or a deadline is one loop over two waits and a parker, not three
//! mechanisms. (A [monitor](super::monitor)'s waits have a shorter way for threads.)
//!
//! What has come is looked at in this order: the thing itself, the interrupt, the deadline. Giving up is decided by the
//! queue ([`Waitable::look`] without a waker): a wait that was let through just before is ready, whatever the clock says.
//!
//! Any wait can be interrupted, and an interrupt is a latch. So the waits of [`Latch`] and [`Interrupt`] stand here, above
//! both.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::interrupt::{Cause, Interrupt, Interrupted};
use super::latch::Latch;
use super::parker::Parker;
use super::wait_queue::{Condition, Place};
use crate::platform::{Instant, is_unwinding, spin};

/// A wait for what its maker says: for a task to await, or for a thread to block on.
///
/// | | ends |
/// | --- | --- |
/// | `.await` | when it has come |
/// | [`wait`](Self::wait) | when it has come |
/// | [`wait_timeout`](Self::wait_timeout), [`wait_deadline`](Self::wait_deadline) | or when the time has |
/// | [`wait_or`](Self::wait_or) | or when an [`Interrupt`] is set, or the time has come |
///
/// It begins with the first poll or as it blocks, and allocates nothing (the queue grows with those who wait in it). If
/// what it waits for has come already it takes no lock, unless that stands under one. It runs under any executor.
///
/// Made by [`Latch::opened`](crate::Latch::opened), [`Epoch::past`](crate::Epoch::past),
/// [`Interrupt::triggered`], the [`idle`](crate::worker::Handle::idle) and [`stopped`](crate::worker::Handle::stopped) of a
/// worker, [`Ticket::outcome`](crate::Ticket::outcome), and the [`flushed`](crate::Replicator::flushed) and
/// [`stopped`](crate::Replicator::stopped) of a replicator. A ticket's borrows nothing, so that it can be spawned.
///
/// # Cancel safety
///
/// Dropping it gives up its place. No other waiter is affected, and nothing is lost: the latch stays open, the count stays
/// counted, the interrupt stays set, the commit goes on.
///
/// ```
/// # if latchwork::sync::IN_MODEL { return }
/// use latchwork::{Cause, Interrupt, Latch, Wait, Waitable, Waited};
/// use std::time::Duration;
///
/// /// Waits for anything, a moment at most.
/// fn soon<T>(wait: Wait<impl Waitable<Output = T>>) -> Option<T> {
///     wait.wait_timeout(Duration::from_millis(10)).ready()
/// }
///
/// let (online, interrupt) = (Latch::new(), Interrupt::new());
/// assert_eq!(soon(online.opened()), None);
/// interrupt.set(Cause::Stop);
/// assert_eq!(online.opened().wait_or(&interrupt, None), Waited::Interrupted(Cause::Stop));
/// assert_eq!(soon(interrupt.triggered()), Some(Cause::Stop));
/// ```
#[must_use = "a wait does nothing until it is awaited or blocked on"]
pub struct Wait<S: Waitable> {
    pub(crate) source: S,
    /// Its place in the queue, once it has joined it.
    place: Option<Place>,
}

/// What a [`Wait`] can wait for. The crate alone implements it.
pub trait Waitable: Sized {
    /// What a waiter is told.
    type Output;

    /// Whether it has come, if that can be seen without a lock.
    #[doc(hidden)]
    fn check(&self) -> Option<Self::Output> {
        None
    }

    /// When it comes by itself, if it does.
    #[doc(hidden)]
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Looks under the lock. If it has not come, takes a place in the queue with this waker; without a waker, gives up the
    /// place. Once it has come there is no place any more.
    ///
    /// So there is one outcome for a waiter that gives up, decided under the lock: if it was let through it is told so here,
    /// and if not it leaves no trace.
    #[doc(hidden)]
    fn look(&mut self, place: &mut Option<Place>, waker: Option<Waker>) -> Option<Self::Output>;

    /// Gives up the place, without a look.
    #[doc(hidden)]
    fn leave(&self, place: &mut Option<Place>);

    /// Blocks until it has come, the interrupt is set or the deadline has come.
    #[doc(hidden)]
    fn block(wait: &mut Wait<Self>, interrupt: Option<&Interrupt>, deadline: Option<Instant>) -> Waited<Self::Output>;
}

impl<S: Waitable> Wait<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source, place: None }
    }

    /// Blocks the thread until it has come; returns what has.
    pub fn wait(mut self) -> S::Output {
        match self.block(None, || None) {
            Waited::Ready(output) => output,
            Waited::TimedOut | Waited::Interrupted(_) => unreachable!("there was no deadline and no interrupt"),
        }
    }

    /// As [`wait`](Self::wait), for `timeout` at most. A timeout too large for an [`Instant`] means no timeout.
    pub fn wait_timeout(mut self, timeout: Duration) -> Waited<S::Output> {
        self.block(None, || deadline(timeout))
    }

    /// As [`wait`](Self::wait), until `deadline` at most.
    pub fn wait_deadline(mut self, deadline: Instant) -> Waited<S::Output> {
        self.block(None, || Some(deadline))
    }

    /// As [`wait`](Self::wait), until `interrupt` is set, and until `deadline` if there is one.
    ///
    /// What has come counts even if the interrupt is set.
    pub fn wait_or(mut self, interrupt: &Interrupt, deadline: impl Into<Option<Instant>>) -> Waited<S::Output> {
        self.block(Some(interrupt), || deadline.into())
    }

    #[inline]
    fn block(
        &mut self,
        interrupt: Option<&Interrupt>,
        deadline: impl FnOnce() -> Option<Instant>,
    ) -> Waited<S::Output> {
        // The clock is not read by a wait that is over.
        match self.check() {
            Some(output) => Waited::Ready(output),
            None => S::block(self, interrupt, deadline()),
        }
    }

    #[inline]
    fn check(&mut self) -> Option<S::Output> {
        let output = self.source.check()?;
        // The thread that made it so has emptied the queue or is about to: the place is worth nothing.
        self.place = None;
        Some(output)
    }

    /// Leaves the queue. What has come, if it was too late for that.
    pub(crate) fn give_up(&mut self) -> Option<S::Output> {
        self.source.look(&mut self.place, None)
    }

    /// Polls and parks until it is over, the interrupt is set or the deadline has come.
    pub(crate) fn drive(&mut self, interrupt: Option<&Interrupt>, deadline: Option<Instant>) -> Waited<S::Output> {
        let parker = Parker::current();
        let waker = Waker::from(parker.clone());
        let mut context = Context::from_waker(&waker);
        let mut interrupted = interrupt.map(Interrupt::triggered);
        let mut passed = false;
        loop {
            if let Poll::Ready(output) = Pin::new(&mut *self).poll(&mut context) {
                return Waited::Ready(output);
            }
            let ended = match interrupted.as_mut().map(|interrupted| Pin::new(interrupted).poll(&mut context)) {
                Some(Poll::Ready(cause)) => Waited::Interrupted(cause),
                _ if passed => Waited::TimedOut,
                _ => {
                    // What comes by itself, at a time that may have moved on.
                    let by_itself = self.source.deadline().into_iter().chain(interrupt.and_then(Interrupt::deadline));
                    let until = by_itself.chain(deadline).min();
                    passed = parker.park(until) && until == deadline;
                    continue;
                }
            };
            return self.give_up().map_or(ended, Waited::Ready);
        }
    }
}

// It is never pinned inside.
impl<S: Waitable> Unpin for Wait<S> {}

impl<S: Waitable> Future for Wait<S> {
    type Output = S::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<S::Output> {
        let Self { source, place } = match self.check() {
            Some(output) => return Poll::Ready(output),
            None => &mut *self,
        };
        source.look(place, Some(context.waker().clone())).map_or(Poll::Pending, Poll::Ready)
    }
}

impl<S: Waitable> Drop for Wait<S> {
    fn drop(&mut self) {
        if self.place.is_some() && !is_unwinding() {
            self.source.leave(&mut self.place);
        }
    }
}

impl<S: Waitable> fmt::Debug for Wait<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").finish_non_exhaustive()
    }
}

#[doc(hidden)]
impl<C: Condition> Waitable for C {
    type Output = C::Told;

    fn check(&self) -> Option<C::Told> {
        self.holds()
    }

    fn deadline(&self) -> Option<Instant> {
        Condition::deadline(self)
    }

    fn look(&mut self, place: &mut Option<Place>, waker: Option<Waker>) -> Option<C::Told> {
        match waker {
            Some(waker) => self.queue().join(self, place, waker),
            None if self.queue().leave(self, place) => self.let_through(),
            None => None,
        }
    }

    fn leave(&self, place: &mut Option<Place>) {
        self.queue().leave(self, place);
    }

    fn block(wait: &mut Wait<C>, interrupt: Option<&Interrupt>, deadline: Option<Instant>) -> Waited<C::Told> {
        let come =
            || wait.source.holds().map(Some).or_else(|| interrupt.is_some_and(Interrupt::is_set).then_some(None));
        match spin(deadline, come).flatten() {
            Some(told) => Waited::Ready(told),
            None => wait.drive(interrupt, deadline),
        }
    }
}

impl Latch {
    /// A wait until the latch lets the caller through.
    ///
    /// It begins with the first poll or as it blocks. On an open latch it is one atomic load.
    pub fn opened(&self) -> Wait<&Self> {
        Wait::new(self)
    }

    /// Blocks until the latch lets the caller through: [`opened`](Self::opened), in short.
    #[inline]
    pub fn wait(&self) {
        if !self.is_open() {
            self.wait_until_open();
        }
    }

    /// Out of line, so that passing stays a look and a branch that is not taken.
    #[cold]
    #[inline(never)]
    fn wait_until_open(&self) {
        self.opened().wait();
    }
}

impl Interrupt {
    /// A wait until the token is set; its outcome is the cause. The token stays set.
    pub fn triggered(&self) -> Wait<&Self> {
        Wait::new(self)
    }

    /// Blocks until the token is set; returns why: [`triggered`](Self::triggered), in short.
    pub fn wait(&self) -> Cause {
        self.triggered().wait()
    }

    /// Waits without blocking the thread: [`triggered`](Self::triggered), by another name.
    pub fn wait_async(&self) -> Wait<&Self> {
        self.triggered()
    }

    /// Sleeps for `time`, unless and until the token is set.
    ///
    /// # Errors
    ///
    /// [`Interrupted`], as soon as it is.
    pub fn sleep(&self, time: Duration) -> Result<(), Interrupted> {
        match self.triggered().wait_timeout(time) {
            Waited::Ready(cause) | Waited::Interrupted(cause) => Err(Interrupted { cause }),
            Waited::TimedOut => Ok(()),
        }
    }
}

/// How a bounded wait ended: exactly one of three outcomes.
#[must_use = "a bounded wait may end without what it waited for"]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waited<T = ()> {
    /// What was waited for came.
    Ready(T),
    /// The deadline came first.
    TimedOut,
    /// The interrupt came first.
    Interrupted(Cause),
}

impl<T> Waited<T> {
    /// Whether what was waited for came.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }

    /// What came, if it did.
    pub fn ready(self) -> Option<T> {
        match self {
            Self::Ready(value) => Some(value),
            Self::TimedOut | Self::Interrupted(_) => None,
        }
    }

    /// The same outcome, with something else for what came.
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> Waited<U> {
        match self {
            Self::Ready(value) => Waited::Ready(f(value)),
            Self::TimedOut => Waited::TimedOut,
            Self::Interrupted(cause) => Waited::Interrupted(cause),
        }
    }

    /// What came, or why it did not: for use with `?`.
    ///
    /// ```
    /// # if latchwork::sync::IN_MODEL { return }
    /// use latchwork::{Cause, Epoch, Interrupt, Interrupted, Latch};
    /// use std::time::Duration;
    ///
    /// fn next_change(online: &Latch, changes: &Epoch, seen: u64, interrupt: &Interrupt) -> Result<u64, Interrupted> {
    ///     online.opened().wait_timeout(Duration::from_secs(1)).into_result()?;
    ///     interrupt.check()?;
    ///     changes.past(seen).wait_or(interrupt, None).into_result()
    /// }
    ///
    /// let (online, changes, interrupt) = (Latch::new_open(), Epoch::new(), Interrupt::new());
    /// changes.bump();
    /// assert_eq!(next_change(&online, &changes, 0, &interrupt), Ok(1));
    ///
    /// interrupt.set(Cause::Stop);
    /// let error = next_change(&online, &changes, 1, &interrupt).unwrap_err();
    /// assert_eq!(error.to_string(), "interrupted: stop");
    /// ```
    ///
    /// # Errors
    ///
    /// If the interrupt came first; and by [`Cause::Deadline`], if the deadline did.
    pub fn into_result(self) -> Result<T, Interrupted> {
        match self {
            Self::Ready(value) => Ok(value),
            Self::TimedOut => Err(Interrupted { cause: Cause::Deadline }),
            Self::Interrupted(cause) => Err(Interrupted { cause }),
        }
    }
}

impl<T> fmt::Display for Waited<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(_) => f.write_str("ready"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Interrupted(cause) => write!(f, "interrupted ({cause})"),
        }
    }
}

/// The deadline that `timeout` from now makes; `None`, for ever, if no clock can show it.
pub(crate) fn deadline(timeout: Duration) -> Option<Instant> {
    // Looked at by itself because a model's clock can be at the end of time.
    if timeout == Duration::MAX { None } else { Instant::now().checked_add(timeout) }
}
