//! Blocking: a thread polls a wait and parks in between.
//!
//! Waiting for a latch, an interrupt or a deadline is one loop over two futures and a parker, not three mechanisms.
//! What has come is looked at in this order: the thing itself, the interrupt, the deadline. Giving up is decided by the
//! queue ([`Wait::give_up`]): a wait that was let through just before is ready, whatever the clock says.
//!
//! Any blocking wait can be interrupted, and an interrupt is a latch. So the blocking waits of [`Latch`] and [`Interrupt`]
//! stand here, above both.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use thiserror::Error;

use super::interrupt::{Cause, Interrupt, Interrupted};
use super::latch::Latch;
use super::parker::Parker;
use super::wait_queue::{Condition, GiveUp, Wait};
use crate::platform::{Instant, spin};

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

    /// What came, or why it did not: for use with `?`.
    ///
    /// ```
    /// # if latchwork::sync::IN_MODEL { return }
    /// use latchwork::{Cause, Epoch, Interrupt, Latch, WaitError};
    /// use std::time::Duration;
    ///
    /// fn next_change(online: &Latch, changes: &Epoch, seen: u64, interrupt: &Interrupt) -> Result<u64, WaitError> {
    ///     online.wait_timeout(Duration::from_secs(1)).into_result()?;
    ///     interrupt.check()?;
    ///     changes.wait_past_interruptible(seen, interrupt, None).into_result()
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
    /// [`WaitError`], if the deadline or the interrupt came first.
    pub fn into_result(self) -> Result<T, WaitError> {
        match self {
            Self::Ready(value) => Ok(value),
            Self::TimedOut => Err(WaitError::TimedOut),
            Self::Interrupted(cause) => Err(Interrupted { cause }.into()),
        }
    }
}

/// Why a bounded wait ended without what it waited for; see [`Waited::into_result`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum WaitError {
    /// The deadline came first.
    #[error("timed out")]
    TimedOut,
    /// The interrupt came first.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
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

/// Blocks until the condition holds.
pub(crate) fn block<C: Condition + Unpin>(condition: C) -> C::Output {
    match block_on(condition, None, None) {
        Waited::Ready(output) => output,
        Waited::TimedOut | Waited::Interrupted(_) => unreachable!("there was no deadline and no interrupt"),
    }
}

/// Blocks until the condition holds, the interrupt is set or the deadline has come.
pub(crate) fn block_on<C: Condition + Unpin>(
    condition: C,
    interrupt: Option<&Interrupt>,
    deadline: Option<Instant>,
) -> Waited<C::Output> {
    if let Some(output) = condition.check() {
        return Waited::Ready(output);
    }
    let come = || condition.check().map(Some).or_else(|| interrupt.is_some_and(Interrupt::is_set).then_some(None));
    match spin(deadline, come).flatten() {
        Some(output) => Waited::Ready(output),
        None => drive(Wait::new(condition), interrupt, deadline),
    }
}

/// Blocks until `wait` is over, the interrupt is set or the deadline has come.
pub(crate) fn drive<W: GiveUp + Unpin>(
    mut wait: W,
    interrupt: Option<&Interrupt>,
    deadline: Option<Instant>,
) -> Waited<W::Output> {
    let parker = Parker::current();
    let waker = Waker::from(parker.clone());
    let mut context = Context::from_waker(&waker);
    let mut interrupted = interrupt.map(Interrupt::triggered);
    let mut passed = false;
    loop {
        if let Poll::Ready(output) = Pin::new(&mut wait).poll(&mut context) {
            return Waited::Ready(output);
        }
        let ended = match interrupted.as_mut().map(|interrupted| Pin::new(interrupted).poll(&mut context)) {
            Some(Poll::Ready(cause)) => Waited::Interrupted(cause),
            _ if passed => Waited::TimedOut,
            _ => {
                passed = parker.park(deadline);
                continue;
            }
        };
        return wait.give_up().map_or(ended, Waited::Ready);
    }
}

impl Latch {
    /// Blocks until the latch lets the caller through. On an open latch this is one atomic load.
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
        block(self);
    }

    /// As [`wait`](Self::wait), for `timeout` at most. A timeout too large for an [`Instant`] means no timeout.
    pub fn wait_timeout(&self, timeout: Duration) -> Waited {
        if self.is_open() { Waited::Ready(()) } else { block_on(self, None, deadline(timeout)) }
    }

    /// As [`wait`](Self::wait), until `deadline` at most.
    pub fn wait_deadline(&self, deadline: Instant) -> Waited {
        block_on(self, None, Some(deadline))
    }

    /// As [`wait`](Self::wait), until `interrupt` is set, and until `deadline` if there is one.
    ///
    /// An open latch is passed even if the interrupt is set.
    pub fn wait_interruptible(&self, interrupt: &Interrupt, deadline: impl Into<Option<Instant>>) -> Waited {
        block_on(self, Some(interrupt), deadline.into())
    }
}

impl Interrupt {
    /// Blocks until the token is set; returns why.
    pub fn wait(&self) -> Cause {
        self.latch().wait();
        self.why()
    }

    /// As [`wait`](Self::wait), for `timeout` at most. A timeout too large for an [`Instant`] means no timeout.
    pub fn wait_timeout(&self, timeout: Duration) -> Waited<Cause> {
        self.waited(self.latch().wait_timeout(timeout))
    }

    /// As [`wait`](Self::wait), until `deadline` at most.
    pub fn wait_deadline(&self, deadline: Instant) -> Waited<Cause> {
        self.waited(self.latch().wait_deadline(deadline))
    }

    /// Sleeps for `time`, unless and until the token is set.
    ///
    /// # Errors
    ///
    /// [`Interrupted`], as soon as it is.
    pub fn sleep(&self, time: Duration) -> Result<(), Interrupted> {
        match self.wait_timeout(time) {
            Waited::Ready(cause) | Waited::Interrupted(cause) => Err(Interrupted { cause }),
            Waited::TimedOut => Ok(()),
        }
    }

    fn waited(&self, waited: Waited) -> Waited<Cause> {
        match waited {
            Waited::Ready(()) => Waited::Ready(self.why()),
            Waited::TimedOut => Waited::TimedOut,
            Waited::Interrupted(cause) => Waited::Interrupted(cause),
        }
    }
}
