//! A log that knows nothing: the search chooses what it answers, within what [`Log`]'s contract
//! permits, or beyond.
//!
//! It keeps a head, and whether none, one or more events are pending. What "more" is is decided
//! when it matters: a step that takes some of them away first [sets](Oracle::holds) how many there
//! were. What a merge does is told [beforehand](Oracle::will).

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::ops::Range;

use latchwork::log::{Log, Merged};

/// The largest batch that any search sends.
pub const MOST: usize = 2;

/// The number of an event. Only its order among others has a meaning; numbers may be left out.
///
/// As nothing else hashes an `i64`, [`Fingerprint`](super::fingerprint::Fingerprint) can compare
/// each with the head.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub i64);

impl Position {
    pub const fn plus(self, more: usize) -> Self {
        Self(self.0.saturating_add_unsigned(more as u64))
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    pub position: Position,
    /// Whether this log has it pending.
    pub own: bool,
}

/// What the log does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// What is pending keeps its numbers.
    Advance,
    /// What is pending gets new numbers, and so many of it are given up.
    Rebase {
        dropped: usize,
    },
    /// A page, or its own batch, does not follow.
    Refuse,
    /// An answer that the contract does not allow.
    Break,
    Panic,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Oracle {
    head: Position,
    /// From so many on there are "more" events: as many as go into a batch.
    more: usize,
    pending: Cell<usize>,
    manner: Cell<Manner>,
}

/// What a panic of the log's carries.
#[derive(Debug)]
pub struct Panicked;

#[derive(Debug)]
pub struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl Error for Refused {}

impl Oracle {
    pub const fn new(head: Position, pending: usize, more: usize) -> Self {
        Self { head, more, pending: Cell::new(pending), manner: Cell::new(Manner::Advance) }
    }

    /// So many events have been pending all the time. If they were "more", so they are.
    pub fn holds(&self, pending: usize) {
        let before = self.pending.replace(pending);
        assert_eq!(before.min(self.more), pending.min(self.more), "only what is left open can be decided");
    }

    /// From so many on there are "more".
    pub const fn more(&self) -> usize {
        self.more
    }

    /// This is what the log does in the next call.
    pub fn will(&self, manner: Manner) {
        self.manner.set(manner);
    }

    fn manner(&self) -> Manner {
        match self.manner.replace(Manner::Advance) {
            // Without the hook that prints it.
            Manner::Panic => std::panic::resume_unwind(Box::new(Panicked)),
            manner => manner,
        }
    }
}

impl Hash for Oracle {
    /// Positions are compared with the head, so the head itself makes no difference.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pending.get().min(self.more).hash(state);
    }
}

impl Log for Oracle {
    type Event = ();
    type Entry = Entry;
    type Position = Position;
    type Error = Refused;

    fn head(&self) -> Position {
        self.head.plus(self.pending.get())
    }

    fn upstream_head(&self) -> Position {
        self.head
    }

    fn pending(&self) -> usize {
        self.pending.get()
    }

    fn position(entry: &Entry) -> Position {
        entry.position
    }

    fn number(&self, events: Vec<()>) -> Result<Vec<Entry>, Refused> {
        Ok((1..=events.len()).map(|place| Entry { position: self.head().plus(place), own: true }).collect())
    }

    fn admit(&mut self, entries: Vec<Entry>) -> Result<usize, Refused> {
        let told = entries.len() + usize::from(self.manner() == Manner::Break);
        self.pending.set(self.pending.get() + entries.len());
        Ok(told)
    }

    fn batch(&self, max: NonZeroUsize) -> Vec<Entry> {
        let count = if self.manner() == Manner::Break { 0 } else { max.get().min(self.pending.get()) };
        (1..=count).map(|place| Entry { position: self.head.plus(place), own: true }).collect()
    }

    fn weight(_: &Entry) -> usize {
        1
    }

    fn give_up(&mut self, range: Range<usize>) -> Option<Vec<Entry>> {
        self.pending.set(self.pending.get() - range.len());
        Some(range.map(|index| Entry { position: self.head.plus(index + 1), own: true }).collect())
    }

    fn replace(&mut self, index: usize, (): ()) -> Result<Entry, ()> {
        Ok(Entry { position: self.head.plus(index + 1), own: true })
    }

    fn merge(&mut self, page: Vec<Entry>) -> Result<Merged<Entry>, Refused> {
        let manner = self.manner();
        if manner == Manner::Refuse {
            return Err(Refused);
        }
        let last = page.last().expect("the protocol merges something").position;
        let (confirmed, new): (Vec<_>, Vec<_>) = page.into_iter().partition(|entry| entry.own);
        if manner == Manner::Break {
            return Ok(Merged::Advance { new, confirmed: Vec::new() });
        }
        self.head = last;
        let left = self.pending.get() - confirmed.len();
        let Manner::Rebase { dropped } = manner else {
            self.pending.set(left);
            return Ok(Merged::Advance { new, confirmed });
        };
        self.pending.set(left - dropped);
        Ok(Merged::Rebase { new, confirmed, moved: left - dropped, dropped: (0..dropped).collect() })
    }
}
