//! [`SyncState`] as the protocol's log.

use std::num::NonZeroUsize;

use super::merge::{Advanced, Gaps};
use super::{Entry, EntryRef, Event, Exhausted, LocalOnly, MergeError, Outcome, Position, SeqNum, SyncState};
use crate::log::{Log, Merged};

/// Why a [`SyncState`] did not take what the protocol handed it. The state is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The numbers of local events are taken.
    #[error("expected local events from {expected_minimum} on, got {found}")]
    Stale {
        /// The first number that is free.
        expected_minimum: SeqNum,
        /// The first number that came.
        found: SeqNum,
    },
    /// It cannot be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
}

impl From<Exhausted> for LogError {
    fn from(error: Exhausted) -> Self {
        Self::Merge(error.into())
    }
}

impl<E: Event + Clone + Send + Sync + 'static> Log for SyncState<E> {
    type Event = E;
    type Entry = Entry<E>;
    type Position = Position;
    type Error = LogError;

    fn head(&self) -> Position {
        self.local_head().position()
    }

    fn upstream_head(&self) -> Position {
        Self::upstream_head(self).position()
    }

    fn pending(&self) -> usize {
        self.sendable_len()
    }

    fn position(entry: &Entry<E>) -> Position {
        entry.seq.position()
    }

    fn is_local_only(&self, entry: &Entry<E>) -> bool {
        self.local_only != LocalOnly::Shared && entry.seq.client > 0
    }

    fn number(&self, events: Vec<E>) -> Result<Vec<Entry<E>>, LogError> {
        Ok(Self::number(self, events)?)
    }

    fn admit(&mut self, entries: Vec<Entry<E>>) -> Result<usize, LogError> {
        let Some(first) = entries.first() else { return Ok(0) };
        let (found, before) = (first.seq, self.sendable_len());
        if let Outcome::Reject(reject) = self.local_push(entries)? {
            return Err(LogError::Stale { expected_minimum: reject.expected_minimum, found });
        }
        Ok(self.sendable_len() - before)
    }

    fn append(&mut self, events: Vec<E>) -> Result<usize, LogError> {
        let before = self.sendable_len();
        self.local_events(events)?;
        Ok(self.sendable_len() - before)
    }

    fn batch(&self, max: NonZeroUsize) -> Vec<Entry<E>> {
        match self.local_only {
            LocalOnly::Shared => Self::batch(self, max).map(EntryRef::to_entry).collect(),
            LocalOnly::Kept | LocalOnly::Passed => self.chain.sent_batch(max.get()),
        }
    }

    fn merge(&mut self, page: Vec<Entry<E>>) -> Result<Merged<Entry<E>>, LogError> {
        Ok(match self.upstream_advance(page, Gaps::Refused)? {
            Advanced::Advance(advance) => Merged::Advance { new: advance.passed, confirmed: advance.confirmed },
            Advanced::Rebase(rebase) => Merged::Rebase {
                moved: rebase.kept.len(),
                new: rebase.passed,
                confirmed: rebase.confirmed,
                dropped: Vec::new(),
            },
        })
    }

    fn confirm(&mut self, batch: Vec<Entry<E>>) -> Result<Merged<Entry<E>>, LogError> {
        if self.own_batch(&batch) {
            return Ok(Merged::Advance { new: Vec::new(), confirmed: batch });
        }
        Log::merge(self, batch)
    }
}
