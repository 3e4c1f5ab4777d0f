//! [`SyncState`] as the protocol's log.

use std::num::NonZeroUsize;
use std::ops::Range;

use super::merge::{Advanced, Gaps};
use super::{Entry, Error, Event, LocalOnly, Outcome, Position, SyncState};
use crate::log::{Log, Merged};

impl<E: Event + Clone + Send + Sync + 'static> Log for SyncState<E> {
    type Event = E;
    type Entry = Entry<E>;
    type Position = Position;
    type Error = Error;

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

    fn number(&self, events: Vec<E>) -> Result<Vec<Entry<E>>, Error> {
        Self::number(self, events)
    }

    /// With nothing to be sent pending, generations do not count: each side numbers what it rebased in one of its own, so a
    /// session that has rebased stands on the same event as a leader that has not. What is admitted has this state's.
    fn admit(&mut self, mut entries: Vec<Entry<E>>) -> Result<usize, Error> {
        let Some(first) = entries.first() else { return Ok(0) };
        let (found, before) = (first.seq, self.sendable_len());
        if before == 0 {
            let generation = self.local_head().generation;
            for Entry { seq, parent, .. } in &mut entries {
                (seq.generation, parent.generation) = (generation, generation);
            }
        }
        if let Outcome::Reject { expected_minimum, .. } = self.local_push(entries)? {
            return Err(Error::Stale { expected_minimum, found });
        }
        Ok(self.sendable_len() - before)
    }

    fn append(&mut self, events: Vec<E>) -> Result<usize, Error> {
        let before = self.sendable_len();
        self.local_events(events)?;
        Ok(self.sendable_len() - before)
    }

    fn batch(&self, max: NonZeroUsize) -> Vec<Entry<E>> {
        match self.local_only {
            LocalOnly::Shared => Self::batch(self, max).map(Entry::cloned).collect(),
            LocalOnly::Kept | LocalOnly::Passed => self.chain.sent_batch(max.get()),
        }
    }

    fn merge(&mut self, page: Vec<Entry<E>>) -> Result<Merged<Entry<E>>, Error> {
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

    fn confirm(&mut self, batch: Vec<Entry<E>>) -> Result<Merged<Entry<E>>, Error> {
        if self.own_batch(&batch) {
            return Ok(Merged::Advance { new: Vec::new(), confirmed: batch });
        }
        Log::merge(self, batch)
    }

    fn give_up(&mut self, range: Range<usize>) -> Option<Vec<Entry<E>>> {
        self.chain.take_out(range, self.local_only == LocalOnly::Shared)
    }

    /// Both are sent, or both are local-only events that are [shared](LocalOnly::Shared).
    fn replace(&mut self, index: usize, event: E) -> Result<Entry<E>, E> {
        let local_only = event.is_local_only();
        self.chain.replace(index, self.local_only == LocalOnly::Shared, event, local_only)
    }
}
