//! A small log for models, tests and first steps.

use std::fmt::Debug;
use std::num::NonZeroUsize;

use thiserror::Error;

use super::pieces::Pieces;
use super::{Log, Merged};

/// A log in memory whose events are numbered 1, 2, 3….
///
/// Two events are the same when they are equal, so events of different clients must differ. What has been applied is
/// handed over and not kept.
///
/// By default events **commute**: what others did leaves the pending events as they are (an *advance*), only the numbers
/// that they will get move. A [`rebasing`](Self::rebasing) log calls the same a *rebase*.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemoryLog<E> {
    /// The last event that upstream ordered and that has been applied.
    upstream_head: u64,
    /// Numbered from `upstream_head + 1`.
    pending: Pieces<E>,
    rebasing: bool,
}

/// A numbered event of a [`MemoryLog`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemoryEntry<E> {
    /// Its number, from 1.
    pub position: u64,
    /// The event.
    pub event: E,
}

/// Why a [`MemoryLog`] refused events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MemoryLogError {
    /// The numbers do not follow the log.
    #[error("expected event {expected} next, got {got}")]
    OutOfOrder {
        /// The number that would have followed.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// There are no numbers left.
    #[error("{count} events after {head}: there are no numbers left")]
    Overflow {
        /// The last event's number.
        head: u64,
        /// How many more there were to be.
        count: usize,
    },
}

impl<E> MemoryLog<E> {
    /// An empty log whose events commute.
    #[must_use]
    pub const fn new() -> Self {
        Self { upstream_head: 0, pending: Pieces::new(), rebasing: false }
    }

    /// An empty log that rebases its pending events on what others did.
    #[must_use]
    pub const fn rebasing() -> Self {
        Self { upstream_head: 0, pending: Pieces::new(), rebasing: true }
    }

    /// A log as it was: what upstream ordered up to `upstream_head`, and `pending` events.
    #[must_use]
    pub fn with_pending(mut self, upstream_head: u64, pending: impl IntoIterator<Item = E>) -> Self {
        self.upstream_head = upstream_head;
        self.pending = Pieces::new();
        self.pending.append(pending.into_iter().collect());
        self
    }

    /// The head, if so many numbers are left behind it.
    fn room_for(&self, count: usize) -> Result<u64, MemoryLogError> {
        let head = self.upstream_head + self.pending.len() as u64;
        head.checked_add(count as u64 + 1).map(|_| head).ok_or(MemoryLogError::Overflow { head, count })
    }

    /// Checks that `entries` are numbered from `expected` on; returns the number after them.
    fn in_order(mut expected: u64, entries: &[MemoryEntry<E>]) -> Result<u64, MemoryLogError> {
        for entry in entries {
            if entry.position != expected {
                return Err(MemoryLogError::OutOfOrder { expected, got: entry.position });
            }
            expected = expected.checked_add(1).ok_or(MemoryLogError::Overflow { head: expected, count: 1 })?;
        }
        Ok(expected)
    }
}

impl<E> Default for MemoryLog<E> {
    /// [`new`](Self::new).
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Clone + PartialEq + Debug + Send + Sync + 'static> Log for MemoryLog<E> {
    type Event = E;
    type Entry = MemoryEntry<E>;
    type Position = u64;
    type Error = MemoryLogError;

    fn head(&self) -> u64 {
        self.upstream_head + self.pending.len() as u64
    }

    fn upstream_head(&self) -> u64 {
        self.upstream_head
    }

    fn pending(&self) -> usize {
        self.pending.len()
    }

    fn position(entry: &MemoryEntry<E>) -> u64 {
        entry.position
    }

    fn number(&self, events: Vec<E>) -> Result<Vec<MemoryEntry<E>>, MemoryLogError> {
        let head = self.room_for(events.len())?;
        Ok((head + 1..).zip(events).map(|(position, event)| MemoryEntry { position, event }).collect())
    }

    fn admit(&mut self, entries: Vec<MemoryEntry<E>>) -> Result<usize, MemoryLogError> {
        Self::in_order(self.head() + 1, &entries)?;
        let count = entries.len();
        self.pending.append(entries.into_iter().map(|entry| entry.event).collect());
        Ok(count)
    }

    fn append(&mut self, events: Vec<E>) -> Result<usize, MemoryLogError> {
        let count = events.len();
        self.room_for(count)?;
        self.pending.append(events);
        Ok(count)
    }

    fn batch(&self, max: NonZeroUsize) -> Vec<MemoryEntry<E>> {
        let count = max.get().min(self.pending.len());
        let mut entries = Vec::with_capacity(count);
        for events in self.pending.first(count) {
            let position = self.upstream_head + 1 + entries.len() as u64;
            let numbered = (position..).zip(events);
            entries.extend(numbered.map(|(position, event)| MemoryEntry { position, event: event.clone() }));
        }
        entries
    }

    fn merge(&mut self, page: Vec<MemoryEntry<E>>) -> Result<Merged<MemoryEntry<E>>, MemoryLogError> {
        let next = Self::in_order(self.upstream_head + 1, &page)?;
        // Of one's own batch, all are.
        let own = page.iter().zip(self.pending.iter()).take_while(|(entry, event)| entry.event == **event).count();
        self.pending.drop_front(own);
        let (mut new, mut confirmed) = (Vec::new(), page);
        for entry in confirmed.split_off(own) {
            if self.pending.front() == Some(&entry.event) {
                self.pending.drop_front(1);
                confirmed.push(entry);
            } else {
                new.push(entry);
            }
        }
        self.upstream_head = next - 1;
        if !self.rebasing || new.is_empty() || self.pending.is_empty() {
            return Ok(Merged::Advance { new, confirmed });
        }
        Ok(Merged::Rebase { new, confirmed, moved: self.pending.len(), dropped: Vec::new() })
    }

    fn confirm(&mut self, batch: Vec<MemoryEntry<E>>) -> Result<Merged<MemoryEntry<E>>, MemoryLogError> {
        // Mutant `replace > with >=`: to merge one's own batch does the same, and compares it first.
        if batch.len() > self.pending.len() {
            return self.merge(batch);
        }
        let next = Self::in_order(self.upstream_head + 1, &batch)?;
        self.pending.drop_front(batch.len());
        self.upstream_head = next - 1;
        Ok(Merged::Advance { new: Vec::new(), confirmed: batch })
    }
}
