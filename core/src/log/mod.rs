//! The log a replicator works on: pending events, and how they are merged with what upstream sends.

mod change;
mod chunked_queue;
mod codec;
pub(crate) mod growth;
mod memory;
mod wrapper;

use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;

pub use self::change::{Change, ChangeError, Changed, Recovered};
pub use self::codec::{BoxError, Codec};
pub use self::memory::{MemoryEntry, MemoryLog, MemoryLogError};
pub use self::wrapper::Wrapper;

/// A log of events: first those that upstream has ordered, then the **pending** ones that it has not.
///
/// The log numbers its events. What it promises, and what the [protocol](crate::protocol) relies on:
///
/// - [`upstream_head`](Self::upstream_head) is the last event that upstream ordered **and** that has been applied here.
///   It is the cursor to pull from, never moves back, and moves in [`merge`](Self::merge) and
///   [`confirm`](Self::confirm) only.
/// - Pending events are sent in their order, from the first on, and are confirmed in that order.
/// - [`admit`](Self::admit), [`merge`](Self::merge) and their shortcuts either do all of it or return an error and do
///   nothing.
/// - [`Merged::Rebase`] means that pending events got new numbers, so that a batch that was in flight under the old ones
///   cannot be accepted any more.
///
/// None of its methods may block: they are called under the replicator's lock. Each is expected to cost no more than
/// what it hands over: `batch` and `merge` the events given or returned, the rest nothing.
///
/// A panic in [`number`](Self::number), [`admit`](Self::admit), [`batch`](Self::batch), [`merge`](Self::merge), a shortcut, or
/// what an owner's decision needs ([`give_up`](Self::give_up), [`replace`](Self::replace)) is contained: the commit or the
/// decision is refused, or the worker that called has [failed](crate::protocol::Failure::Panicked) and the owner decides. The others only say how things stand, in the middle of every step; they must not panic, for there is no
/// direction left that could go on.
pub trait Log: Send + 'static {
    /// What a commit hands in.
    type Event;
    /// A numbered event, as it travels both ways. Cloned once for each time it is sent, so a clone should be cheap.
    type Entry: Clone + Send + Sync + 'static;
    /// The number of an event.
    type Position: Copy + Ord + fmt::Debug + Send + Sync + 'static;
    /// Why a commit or a page was refused. It should say what was expected and what came.
    type Error: Error + Send + Sync + 'static;

    /// The number of the last event, pending or not.
    fn head(&self) -> Self::Position;

    /// The number of the last event that upstream has ordered and this log has applied: the cursor to pull from.
    fn upstream_head(&self) -> Self::Position;

    /// How many events are still to be sent. Events that are never sent do not count.
    fn pending(&self) -> usize;

    /// The number of an entry.
    fn position(entry: &Self::Entry) -> Self::Position;

    /// Whether an entry is kept in the log and never sent.
    ///
    /// By it a commit knows which of its events will be confirmed, and under which number. A log
    /// that wraps another must not forget it, nor the shortcuts: it is a [`Wrapper`].
    fn is_local_only(&self, _entry: &Self::Entry) -> bool {
        false
    }

    /// Numbers `events` as they would stand if they were admitted now.
    ///
    /// # Errors
    ///
    /// If there are no numbers left.
    fn number(&self, events: Vec<Self::Event>) -> Result<Vec<Self::Entry>, Self::Error>;

    /// Appends numbered events to the pending ones. Returns how many of them are to be sent.
    ///
    /// # Errors
    ///
    /// If they do not follow [`head`](Self::head): stale, out of order or with a gap. Nothing is appended then.
    fn admit(&mut self, entries: Vec<Self::Entry>) -> Result<usize, Self::Error>;

    /// Numbers `events` and appends them. Returns how many of them are to be sent.
    ///
    /// [`number`](Self::number) and [`admit`](Self::admit) in one, which a log may do without making entries of them.
    ///
    /// # Errors
    ///
    /// If there are no numbers left. Nothing is appended then.
    fn append(&mut self, events: Vec<Self::Event>) -> Result<usize, Self::Error> {
        let entries = self.number(events)?;
        self.admit(entries)
    }

    /// The first events to be sent, `max` at most.
    fn batch(&self, max: NonZeroUsize) -> Vec<Self::Entry>;

    /// [`batch`](Self::batch), in the place of `room`: an empty vector, of which a log may use what is allocated.
    fn batch_in(&self, max: NonZeroUsize, room: Vec<Self::Entry>) -> Vec<Self::Entry> {
        drop(room);
        self.batch(max)
    }

    /// Applies what upstream has ordered after [`upstream_head`](Self::upstream_head): a page, or the log's own batch
    /// that was accepted.
    ///
    /// # Errors
    ///
    /// If the page does not follow the upstream head or is not ascending. Nothing is applied then.
    fn merge(&mut self, page: Vec<Self::Entry>) -> Result<Merged<Self::Entry>, Self::Error>;

    /// Applies the log's own batch: upstream has ordered it as it was sent. Nothing has been merged since
    /// [`batch`](Self::batch) gave it, so these are the first of the pending events.
    ///
    /// [`merge`](Self::merge), which a log may do without comparing them.
    ///
    /// # Errors
    ///
    /// As [`merge`](Self::merge).
    fn confirm(&mut self, batch: Vec<Self::Entry>) -> Result<Merged<Self::Entry>, Self::Error> {
        self.merge(batch)
    }

    /// Takes out the events to be sent at these indices, for the owner has given them up; those behind get the numbers that
    /// follow. The range is not empty and stands within what is [pending](Self::pending).
    ///
    /// Returns them as they were. `None` if this log cannot do that, as by default: nothing has changed then.
    fn give_up(&mut self, _range: Range<usize>) -> Option<Vec<Self::Entry>> {
        None
    }

    /// Puts `event` in the place of the event to be sent at this index, which stands within what is
    /// [pending](Self::pending), under the same number. Returns that one as it was.
    ///
    /// # Errors
    ///
    /// The new event, if this log cannot do that, as by default, or if it would not be sent: nothing has changed then.
    fn replace(&mut self, _index: usize, event: Self::Event) -> Result<Self::Entry, Self::Event> {
        Err(event)
    }

    /// What an event weighs against the [limit of a batch](crate::protocol::Settings::batch_weight), in bytes or whatever that is
    /// given in. Zero by default.
    fn weight(_entry: &Self::Entry) -> usize {
        0
    }
}

/// What merging did.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Merged<T> {
    /// The pending events keep their numbers.
    Advance {
        /// Events of others, now applied.
        new: Vec<T>,
        /// Pending events that upstream has ordered, as it numbered them.
        confirmed: Vec<T>,
    },
    /// The pending events that remain got new numbers.
    Rebase {
        /// Events of others, now applied.
        new: Vec<T>,
        /// Pending events that upstream has ordered, as it numbered them.
        confirmed: Vec<T>,
        /// How many pending events, the last ones, were rolled back and now stand on top of `new` under new numbers.
        moved: usize,
        /// Pending events that the log gave up because of what came in, or that [the owner](crate::protocol::Protocol::give_up) did:
        /// indices into those that were to be sent once the confirmed ones were gone, ascending. Their tickets settle as
        /// rejected.
        dropped: Vec<usize>,
    },
}

impl<T> Merged<T> {
    /// Pending events that upstream has ordered, as it numbered them.
    pub fn confirmed(&self) -> &[T] {
        match self {
            Self::Advance { confirmed, .. } | Self::Rebase { confirmed, .. } => confirmed,
        }
    }

    /// Indices of pending events that the log gave up, counted without the confirmed ones.
    pub fn dropped(&self) -> &[usize] {
        match self {
            Self::Advance { .. } => &[],
            Self::Rebase { dropped, .. } => dropped,
        }
    }

    /// How many events of others are new, and how many pending ones have moved.
    pub fn new_and_moved(&self) -> (usize, usize) {
        match self {
            Self::Advance { new, .. } => (new.len(), 0),
            Self::Rebase { new, moved, .. } => (new.len(), *moved),
        }
    }

    /// Whether pending events got new numbers.
    pub fn is_rebase(&self) -> bool {
        matches!(self, Self::Rebase { .. })
    }
}
