//! A request to stop what one is doing, with its cause.
//!
//! An interrupt is a [`Latch`] that opens once and stays open, and a note of why. The note is written under a lock
//! before the latch opens, so whoever sees the interrupt finds its cause; the first cause stays. Whoever loses that race
//! opens the latch as well, so that after `set` has returned, to anybody, the interrupt is visible.
//!
//! A **child** is set when its parent is, and can be set alone. Setting the parent takes the list of children under the
//! lock under which a child is entered: a child is either in the list, or is made from a parent that is set and is born
//! set.

use std::fmt;
use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll};
use std::time::Duration;

use thiserror::Error;

use crate::known_bugs::bug;
use crate::latch::{Latch, Opened};
use crate::queue::{WaitQueue, for_each_unwinding};
use crate::sync::model::Named;
use crate::sync::{Arc, Instant, Mutex, note};
use crate::wait::Waited;

/// Why something was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// It is to end for good.
    Stop,
    /// It is to end so that it can begin anew.
    Restart,
    /// It is to end; nothing follows until somebody asks for it.
    Clear,
    /// Anything else, in the words of whoever set it.
    Other(&'static str),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Clear => "clear",
            Self::Other(cause) => cause,
        })
    }
}

/// The error of something that was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[error("interrupted: {cause}")]
pub struct Interrupted {
    /// Why.
    pub cause: Cause,
}

/// A token that asks whoever holds it to end what they do. Clones are the same token.
///
/// Once set, it stays set. Looking at it is one atomic load.
///
/// ```
/// # if latchwork::sync::IN_MODEL { return }
/// use latchwork::{Cause, Interrupt, Interrupted};
/// use std::time::Duration;
///
/// let interrupt = Interrupt::new();
/// let sleeper = interrupt.clone();
/// let thread = std::thread::spawn(move || sleeper.sleep(Duration::from_secs(3600)));
///
/// interrupt.set(Cause::Stop);
/// assert_eq!(thread.join().unwrap(), Err(Interrupted { cause: Cause::Stop }));
/// ```
#[derive(Clone)]
pub struct Interrupt {
    token: Arc<Token>,
}

struct Token {
    /// Open: the interrupt is set. Opened after `note.cause` was written; never closed.
    set: Latch,
    note: Mutex<Note>,
}

#[derive(Default)]
struct Note {
    /// Written once.
    cause: Option<Cause>,
    /// Those to be set with this one. Empty once `cause` is written.
    children: Vec<Weak<Token>>,
}

impl Interrupt {
    /// A token that is not set.
    #[must_use]
    pub fn new() -> Self {
        let set = Latch::new();
        note!(names(&set.queue, "interrupt"));
        Self { token: Arc::new(Token { set, note: Mutex::new(Note::default()) }) }
    }

    /// Sets the token and its children and wakes whoever waits for them. Returns whether it was the first to do so; only
    /// the first one's cause is kept.
    ///
    /// # Panics
    ///
    /// If a waiting task's waker panics; the token and its children are set and everybody is woken by then.
    pub fn set(&self, cause: Cause) -> bool {
        self.token.set(cause)
    }

    /// Whether the token is set.
    #[must_use]
    #[inline]
    pub fn is_set(&self) -> bool {
        self.token.set.is_open()
    }

    /// Why the token was set; `None` if it is not.
    #[must_use]
    #[inline]
    pub fn cause(&self) -> Option<Cause> {
        if self.is_set() { self.noted() } else { None }
    }

    /// An error if the token is set, for use with `?`.
    ///
    /// # Errors
    ///
    /// [`Interrupted`], if it is.
    #[inline]
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.is_set() { Err(Interrupted { cause: self.why() }) } else { Ok(()) }
    }

    /// A token that is set when this one is, with the same cause, and that can be set alone.
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self::new();
        let mut note = self.token.note.lock();
        let Some(cause) = note.cause.filter(|_| !bug!(ChildMissesInterrupt)) else {
            if note.children.len() == note.children.capacity() {
                note.children.retain(|child| child.strong_count() > 0);
            }
            note.children.push(Arc::downgrade(&child.token));
            return child;
        };
        drop(note);
        child.set(cause);
        child
    }

    /// Blocks until the token is set; returns why.
    pub fn wait(&self) -> Cause {
        self.token.set.wait();
        self.why()
    }

    /// As [`wait`](Self::wait), for `timeout` at most. A timeout that no clock can show is for ever.
    pub fn wait_timeout(&self, timeout: Duration) -> Waited<Cause> {
        self.waited(self.token.set.wait_timeout(timeout))
    }

    /// As [`wait`](Self::wait), until `deadline` at most.
    pub fn wait_deadline(&self, deadline: Instant) -> Waited<Cause> {
        self.waited(self.token.set.wait_deadline(deadline))
    }

    /// Waits without blocking the thread, under any executor.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its place; nothing is lost, since the token stays set.
    pub fn wait_async(&self) -> Set<'_> {
        Set { interrupt: self, opened: self.token.set.wait_async() }
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

    /// The cause of a token that is known to be set.
    #[cold]
    fn why(&self) -> Cause {
        self.noted().expect("the cause is written before the latch opens")
    }

    /// The cause, once it is noted.
    fn noted(&self) -> Option<Cause> {
        self.token.note.lock().cause
    }
}

impl Token {
    fn set(&self, cause: Cause) -> bool {
        if bug!(SetBeforeCause) {
            self.set.open();
        }
        let mut note = self.note.lock();
        let first = note.cause.is_none();
        if first || bug!(LastCauseWins) {
            note.cause = Some(cause);
        }
        let children = std::mem::take(&mut note.children);
        note!(says_why(&self.set.queue, cause, first));
        drop(note);
        if first || !bug!(SecondSetterReturnsEarly) {
            for_each_unwinding([None].into_iter().chain(children.into_iter().map(Some)), |child| match child {
                None => drop(self.set.open()),
                Some(child) => drop(child.upgrade().map(|child| child.set(cause))),
            });
        }
        first
    }
}

impl Named for Interrupt {
    fn queue(&self) -> &WaitQueue {
        &self.token.set.queue
    }
}

impl Default for Interrupt {
    /// A token that is not set.
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt").field("set", &self.is_set()).finish_non_exhaustive()
    }
}

// No user code runs while the note is being changed: a panic cannot leave it half done.
impl UnwindSafe for Interrupt {}
impl RefUnwindSafe for Interrupt {}

/// A wait for an [`Interrupt`]; see [`Interrupt::wait_async`].
#[must_use = "a future does nothing unless it is polled"]
#[derive(Debug)]
pub struct Set<'a> {
    interrupt: &'a Interrupt,
    opened: Opened<'a>,
}

impl Future for Set<'_> {
    type Output = Cause;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Cause> {
        Pin::new(&mut self.opened).poll(context).map(|()| self.interrupt.why())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::IN_MODEL;

    #[test]
    fn the_list_of_children_grows_with_those_that_live() {
        if IN_MODEL {
            return;
        }
        let parent = Interrupt::new();
        let room = || parent.token.note.lock().children.capacity();
        let alive = [(); 4].map(|()| parent.child());
        let enough = room();
        drop(alive);
        for _ in 0..100 {
            drop([(); 4].map(|()| parent.child()));
        }
        assert_eq!(room(), enough, "children that are gone take room");
        let alive = [(); 100].map(|()| parent.child());
        parent.set(Cause::Stop);
        assert!(alive.iter().all(Interrupt::is_set), "a child was forgotten");
    }
}
