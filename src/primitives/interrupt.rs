//! A request to stop what one is doing, with its cause: a cancellation token (.NET, tokio-util).
//!
//! An interrupt is a [`Latch`] that opens once and stays open, and a note of why. The note is
//! written under a lock before the latch opens, so a thread that sees the interrupt finds its
//! cause; the first cause stays.
//!
//! # Children
//!
//! A **child** is set when its parent is, and can be set alone. Each token holds its parent, so
//! none between a token and its descendants can be gone, whether its owner has dropped it or not. A
//! parent knows its children weakly, and a child that is dropped takes its entry out. So a token
//! takes memory as long as it or a descendant is in use, and no longer.
//!
//! Setting goes over the descendants twice, in loops: a line of them may be longer than a stack.
//!
//! 1. From the top down it notes the cause, each token under its own lock, the one under which a
//!    child is entered. A child is either in the list that is read with the note, or it is made
//!    from a token that is noted, and is born set.
//! 2. From the bottom up it opens the latches. Hence **the descendants of an open token are open**.
//!
//! # Deadlines
//!
//! A token with a **deadline** is as good as set from then on, though no thread was there to set it: a thread that looks at it, or
//! at a descendant, or blocks in a wait for it, finds the time passed, and sets it in passing. A task that awaits it is woken
//! if a thread does; by itself it asks its own timer, for [`Interrupt::deadline`].
//!
//! # Two setters
//!
//! Two threads may set tokens of one family at once. Each goes over all that is not open below its
//! own token, with the causes that have stayed. So after `set` has returned, to the first caller or
//! to another, the token and its descendants are set. A token that is dropped meanwhile has no
//! children, for they would hold it: a setter that cannot get hold of it any more misses nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Weak;

use thiserror::Error;

use super::latch::Latch;
use super::wait_queue::{Condition, WaitQueue, for_each_unwinding};
use crate::platform::model::Named;
use crate::platform::{Arc, Instant, Mutex, is_unwinding, probe};

/// Why something was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// It is to end for good.
    Stop,
    /// It is to end so that it can begin anew.
    Restart,
    /// It is to end; nothing follows until it is asked for.
    Clear,
    /// It has taken too long: its deadline has passed.
    Deadline,
    /// What is waited for does not come before the owner has decided something.
    Owner,
    /// Anything else, in the setter's words.
    Other(&'static str),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Clear => "clear",
            Self::Deadline => "deadline",
            Self::Owner => "the owner must decide",
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

/// A token that asks its holders to end what they do: a *cancellation token* (.NET, tokio-util).
/// Clones are the same token.
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
    /// Open: the interrupt is set. Opened after `note.cause` was written and after the children's;
    /// never closed.
    set: Latch,
    note: Mutex<Note>,
    /// `None` for a token that was made without one, or born set.
    parent: Option<Parent>,
    /// Whether it or an ancestor has a deadline.
    timed: bool,
}

#[derive(Default)]
struct Note {
    /// Written once.
    cause: Option<Cause>,
    /// When it is set without a setter. Moves on only.
    deadline: Option<Instant>,
    /// The children that are in use, the latest last. None is entered once `cause` is written.
    children: BTreeMap<u64, Weak<Token>>,
}

struct Parent {
    token: Arc<Token>,
    /// Under which the child is entered there.
    key: u64,
}

impl Interrupt {
    /// A token that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self { token: Token::new(None, false) }
    }

    /// A token that is set at this time, with [`Cause::Deadline`], if not before.
    ///
    /// ```
    /// # if latchwork::sync::IN_MODEL { return }
    /// use latchwork::sync::Instant;
    /// use latchwork::{Cause, Interrupt, Latch, Waited};
    /// use std::time::Duration;
    ///
    /// let request = Interrupt::with_deadline(Instant::now() + Duration::from_millis(5));
    /// assert_eq!(Latch::new().opened().wait_or(&request.child(), None), Waited::Interrupted(Cause::Deadline));
    /// ```
    #[must_use]
    pub fn with_deadline(deadline: Instant) -> Self {
        let token = Token::new(None, true);
        token.note.lock().deadline = Some(deadline);
        Self { token }
    }

    /// Whether it is as good as a new one: it has not been set, and cannot be, for no other holds it.
    pub(crate) fn is_as_new(&mut self) -> bool {
        Arc::get_mut(&mut self.token).is_some_and(|token| !token.timed && token.note.get_mut().cause.is_none())
    }

    /// When it is set without a setter, if it or a token that it is a [child](Self::child) of has a deadline. A task that
    /// [awaits](Self::triggered) it is not woken by that: it asks its own timer.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.token.timed { self.token.lineage().filter_map(|token| token.note.lock().deadline).min() } else { None }
    }

    /// Moves the deadline of a token that was made with one on.
    pub(crate) fn defer(&self, deadline: Instant) {
        let mut note = self.token.note.lock();
        note.deadline = note.deadline.map(|before| before.max(deadline));
    }

    /// Sets the token and its descendants and wakes their waiters. Returns whether it was the first
    /// to set the token; only the first one's cause is kept.
    ///
    /// All of them are set when this returns, also to another caller than the first.
    ///
    /// # Panics
    ///
    /// If a waiting task's waker panics; the token and its descendants are set and all others are
    /// woken by then.
    pub fn set(&self, cause: Cause) -> bool {
        self.token.set(cause)
    }

    /// Whether the token is set. The first one to look once its deadline has passed sets it.
    ///
    /// # Panics
    ///
    /// If it sets it: as [`set`](Self::set).
    #[must_use]
    #[inline]
    pub fn is_set(&self) -> bool {
        self.token.set.is_open() || self.token.timed && self.expires()
    }

    /// Sets the token if its time has come.
    #[cold]
    fn expires(&self) -> bool {
        let now = Instant::now();
        let has_passed = |token: &&Token| token.note.lock().deadline.is_some_and(|deadline| deadline <= now);
        let expired = self.token.lineage().find(has_passed);
        expired.map(|token| token.set(Cause::Deadline)).is_some()
    }

    /// Why the token was set; `None` if it is not.
    ///
    /// # Panics
    ///
    /// As [`is_set`](Self::is_set).
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
    ///
    /// # Panics
    ///
    /// As [`is_set`](Self::is_set).
    #[inline]
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.is_set() { Err(Interrupted { cause: self.why() }) } else { Ok(()) }
    }

    /// A token that is set when this one is, with the same cause, and that can be set alone.
    ///
    /// It does not matter whether this one is still in use by then: `a.child().child()` is set with
    /// `a`.
    #[must_use]
    pub fn child(&self) -> Self {
        let mut note = self.token.note.lock();
        let Some(cause) = note.cause else {
            let key = note.children.last_key_value().map_or(0, |(last, _)| last + 1);
            let parent = Parent { token: Arc::clone(&self.token), key };
            let token = Token::new(Some(parent), self.token.timed);
            note.children.insert(key, Arc::downgrade(&token));
            return Self { token };
        };
        drop(note);
        let child = Self::new();
        child.set(cause);
        child
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
    fn new(parent: Option<Parent>, timed: bool) -> Arc<Self> {
        let set = Latch::new();
        probe!(Made { gate: set.queue.waiting.thing(), kind: "interrupt" });
        Arc::new(Self { set, note: Mutex::new(Note::default()), parent, timed })
    }

    /// It and its ancestors.
    fn lineage(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |token| token.parent.as_ref().map(|parent| &*parent.token))
    }

    fn set(&self, cause: Cause) -> bool {
        let (first, cause, children) = self.note(cause);
        // Parents before their children.
        let mut below: Vec<_> = children.into_iter().map(|child| (child, cause)).collect();
        let mut noted = 0;
        while let Some((token, cause)) = below.get(noted) {
            let (_, cause, children) = token.note(*cause);
            below.extend(children.into_iter().map(|child| (child, cause)));
            noted += 1;
        }
        let below = below.iter().rev().map(|(token, _)| &**token);
        for_each_unwinding(below.chain([self]), |token| _ = token.set.open());
        first
    }

    /// Notes why the token is set, unless that is noted. Returns whether it was not, the cause that
    /// stays, and the children, unless they are set.
    fn note(&self, cause: Cause) -> (bool, Cause, Vec<Arc<Self>>) {
        let mut note = self.note.lock();
        let first = note.cause.is_none();
        let stays = *note.cause.get_or_insert(cause);
        let children = if note.children.is_empty() || self.set.is_open() {
            Vec::new()
        } else {
            note.children.values().filter_map(Weak::upgrade).collect()
        };
        probe!(Noted { interrupt: self.set.queue.waiting.thing(), cause: &cause, first });
        (first, stays, children)
    }

    /// Takes its entry out of the parent's list. Returns the parent.
    fn leave(&mut self) -> Option<Arc<Self>> {
        let Parent { token, key } = self.parent.take()?;
        if !is_unwinding() {
            token.note.lock().children.remove(&key);
        }
        Some(token)
    }
}

impl Drop for Token {
    /// Drops its ancestors too, those that nothing else holds: one after the other, none within the
    /// drop of another.
    fn drop(&mut self) {
        let mut parent = self.leave();
        while let Some(mut token) = parent.and_then(Arc::into_inner) {
            parent = token.leave();
        }
    }
}

impl Named for Interrupt {
    fn mutex(&self) -> &Mutex<impl Sized> {
        &self.token.set.queue.waiting
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

/// The latch's, with the cause beside it.
impl Condition for &Interrupt {
    type Told = Cause;

    fn queue(&self) -> &WaitQueue {
        &self.token.set.queue
    }

    fn holds(&self) -> Option<Cause> {
        self.is_set().then(|| self.why())
    }

    fn deadline(&self) -> Option<Instant> {
        Interrupt::deadline(self)
    }

    fn mark(&self) -> Option<Cause> {
        (&self.token.set).mark().map(|()| self.why())
    }

    fn unmark(&self) {
        (&self.token.set).unmark();
    }

    fn let_through(&self) -> Option<Cause> {
        (&self.token.set).let_through().map(|()| self.why())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::IN_MODEL;

    #[test]
    fn a_child_that_is_gone_takes_no_room_in_its_parent() {
        if IN_MODEL {
            return;
        }
        let parent = Interrupt::new();
        let alive = parent.child();
        for _ in 0..1_000 {
            let child = parent.child();
            let grandchild = child.child();
            drop(child);
            drop(grandchild);
        }
        let held = || (parent.token.note.lock().children.len(), Arc::strong_count(&parent.token));
        assert_eq!(held(), (1, 2), "entries for children, and what holds the parent");
        assert!(parent.set(Cause::Stop) && alive.is_set(), "a child was forgotten");
        drop(alive);
        assert_eq!(held(), (0, 1));
    }

    #[test]
    fn a_token_is_set_from_its_deadline_on_with_its_descendants() {
        if IN_MODEL {
            return;
        }
        let later = Instant::now() + std::time::Duration::from_secs(3600);
        let token = Interrupt::with_deadline(later);
        let grandchild = token.child().child();
        assert_eq!((grandchild.deadline(), grandchild.is_set()), (Some(later), false));
        assert_eq!(Interrupt::new().child().deadline(), None);
        let past = Interrupt::with_deadline(Instant::now());
        let (child, aunt) = (past.child(), Interrupt::new());
        assert_eq!(child.cause(), Some(Cause::Deadline));
        assert_eq!((past.cause(), aunt.is_set()), (Some(Cause::Deadline), false));
        assert_eq!(past.child().wait(), Cause::Deadline, "a child is born set");
        let stopped = Interrupt::with_deadline(Instant::now());
        stopped.token.set(Cause::Stop);
        assert_eq!(stopped.cause(), Some(Cause::Stop), "the first cause stays");
    }

    #[test]
    fn is_as_new_says_that_it_is_not_set_and_that_no_other_can_set_it() {
        if IN_MODEL {
            return;
        }
        let mut token = Interrupt::new();
        assert!(token.is_as_new());
        let other = token.clone();
        assert!(!token.is_as_new(), "another may set it");
        drop(other);
        let child = token.child();
        assert!(!token.is_as_new(), "another waits for it");
        drop(child);
        assert!(token.is_as_new());
        token.set(Cause::Stop);
        assert!(!token.is_as_new(), "it is set");
        assert!(!Interrupt::with_deadline(Instant::now()).is_as_new(), "it will be set");
    }

    #[test]
    fn defer_moves_a_deadline_on_and_not_back() {
        if IN_MODEL {
            return;
        }
        let now = Instant::now();
        let hour = std::time::Duration::from_secs(3600);
        let token = Interrupt::with_deadline(now + hour);
        token.defer(now);
        assert_eq!(token.deadline(), Some(now + hour));
        token.defer(now + 2 * hour);
        assert_eq!(token.deadline(), Some(now + 2 * hour));
        let untimed = Interrupt::new();
        untimed.defer(now);
        assert!(!untimed.is_set());
    }

    #[test]
    fn a_wait_ends_at_the_deadline_as_it_was_moved_on_or_at_its_own() {
        if IN_MODEL {
            return;
        }
        let ms = std::time::Duration::from_millis;
        let (now, token) = (Instant::now(), Interrupt::with_deadline(Instant::now() + ms(10)));
        token.defer(now + ms(40));
        assert_eq!(token.wait(), Cause::Deadline);
        assert!(now.elapsed() >= ms(40));
        let late = Interrupt::with_deadline(now + ms(3_600_000));
        assert!(!late.triggered().wait_timeout(ms(5)).is_ready());
    }
}
