//! A small log for models, tests and first steps.

use std::fmt::Debug;
use std::num::NonZeroUsize;
use std::ops::Range;

use thiserror::Error;

use super::chunked_queue::ChunkedQueue;
use super::{Log, Merged};

/// A log in memory whose events are numbered 1, 2, 3…, up to [`u64::MAX`].
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
    /// Numbered on from `upstream_head`. There are no more of them than numbers.
    pending: ChunkedQueue<E>,
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
#[non_exhaustive]
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
        Self { upstream_head: 0, pending: ChunkedQueue::new(), rebasing: false }
    }

    /// An empty log that rebases its pending events on what others did.
    #[must_use]
    pub const fn rebasing() -> Self {
        Self { upstream_head: 0, pending: ChunkedQueue::new(), rebasing: true }
    }

    /// A log as it was: what upstream ordered up to `upstream_head`, and `pending` events.
    ///
    /// # Panics
    ///
    /// If there are not so many numbers after `upstream_head`: no log was ever like that.
    #[must_use]
    pub fn with_pending(mut self, upstream_head: u64, pending: impl IntoIterator<Item = E>) -> Self {
        let pending: Vec<_> = pending.into_iter().collect();
        if let Err(error) = room(upstream_head, pending.len()) {
            panic!("expected pending events that have numbers, got {error}");
        }
        self.upstream_head = upstream_head;
        self.pending = ChunkedQueue::new();
        self.pending.append(pending);
        self
    }

    /// The last event's number.
    fn last(&self) -> u64 {
        self.upstream_head + self.pending.len() as u64
    }
}

/// Checks that there are so many numbers after `head`.
fn room(head: u64, count: usize) -> Result<(), MemoryLogError> {
    head.checked_add(count as u64).map(drop).ok_or(MemoryLogError::Overflow { head, count })
}

/// Checks that `entries` are numbered on from `head`; returns the last one's number.
fn in_order<E>(head: u64, entries: &[MemoryEntry<E>]) -> Result<u64, MemoryLogError> {
    room(head, entries.len())?;
    match numbered(head, entries).find(|(expected, entry)| entry.position != *expected) {
        Some((expected, entry)) => Err(MemoryLogError::OutOfOrder { expected, got: entry.position }),
        None => Ok(head + entries.len() as u64),
    }
}

/// `events` with their numbers on from `head`. The caller has checked that there are so many.
fn numbered<T>(head: u64, events: impl IntoIterator<Item = T>) -> impl Iterator<Item = (u64, T)> {
    // Added to each offset: a range of the numbers themselves would step past the last one.
    (0_u64..).zip(events).map(move |(offset, event)| (head + 1 + offset, event))
}

impl<E: PartialEq> MemoryLog<E> {
    /// Parts a page: the entries that are each the first pending event that is left, and those of others.
    fn part(&self, page: Vec<MemoryEntry<E>>) -> (Vec<MemoryEntry<E>>, Vec<MemoryEntry<E>>) {
        let mut left = self.pending.iter().peekable();
        page.into_iter().partition(|entry| left.next_if(|event| **event == entry.event).is_some())
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
        self.last()
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
        room(self.last(), events.len())?;
        Ok(numbered(self.last(), events).map(|(position, event)| MemoryEntry { position, event }).collect())
    }

    fn admit(&mut self, entries: Vec<MemoryEntry<E>>) -> Result<usize, MemoryLogError> {
        in_order(self.last(), &entries)?;
        let count = entries.len();
        self.pending.append(entries.into_iter().map(|entry| entry.event).collect());
        Ok(count)
    }

    fn append(&mut self, events: Vec<E>) -> Result<usize, MemoryLogError> {
        let count = events.len();
        room(self.last(), count)?;
        self.pending.append(events);
        Ok(count)
    }

    fn batch(&self, max: NonZeroUsize) -> Vec<MemoryEntry<E>> {
        self.batch_in(max, Vec::new())
    }

    fn batch_in(&self, max: NonZeroUsize, mut entries: Vec<MemoryEntry<E>>) -> Vec<MemoryEntry<E>> {
        let count = max.get().min(self.pending.len());
        entries.reserve_exact(count);
        for events in self.pending.first(count) {
            let numbered = numbered(self.upstream_head + entries.len() as u64, events);
            entries.extend(numbered.map(|(position, event)| MemoryEntry { position, event: event.clone() }));
        }
        entries
    }

    fn merge(&mut self, page: Vec<MemoryEntry<E>>) -> Result<Merged<MemoryEntry<E>>, MemoryLogError> {
        let last = in_order(self.upstream_head, &page)?;
        let (confirmed, new) = self.part(page);
        room(last, self.pending.len() - confirmed.len())?;

        // From here on the log changes.
        self.upstream_head = last;
        self.pending.drop_front(confirmed.len());
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
        // It is as this log numbered it: a batch that was made to follow another event ends with another number.
        let last = self.upstream_head + batch.len() as u64;
        if let Some(entry) = batch.last().filter(|entry| entry.position != last) {
            return Err(MemoryLogError::OutOfOrder { expected: last, got: entry.position });
        }
        self.pending.drop_front(batch.len());
        self.upstream_head = last;
        Ok(Merged::Advance { new: Vec::new(), confirmed: batch })
    }

    fn give_up(&mut self, range: Range<usize>) -> Option<Vec<MemoryEntry<E>>> {
        let before = self.upstream_head + range.start as u64;
        let given_up = numbered(before, self.pending.take_out(range));
        Some(given_up.map(|(position, event)| MemoryEntry { position, event }).collect())
    }

    fn replace(&mut self, index: usize, event: E) -> Result<MemoryEntry<E>, E> {
        let Some(place) = self.pending.get_mut(index) else { return Err(event) };
        let event = std::mem::replace(place, event);
        Ok(MemoryEntry { position: self.upstream_head + 1 + index as u64, event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: NonZeroUsize = NonZeroUsize::MAX;

    /// `events` as they stand after `head`, those that have a number.
    fn after(head: u64, events: &[u8]) -> Vec<MemoryEntry<u8>> {
        let number = |(offset, event): (usize, &u8)| Some((head.checked_add(1 + offset as u64)?, *event));
        let entry = |(position, event)| MemoryEntry { position, event };
        events.iter().enumerate().filter_map(number).map(entry).collect()
    }

    /// A log with the last events before the end of all numbers, so many of them pending, and so
    /// many numbers left.
    fn at_the_end(pending: u8, left: u64) -> MemoryLog<u8> {
        MemoryLog::new().with_pending(u64::MAX - left - u64::from(pending), 0..pending)
    }

    /// What `call` returns, and that the log has not changed if it is an error.
    fn call<T>(
        log: &mut MemoryLog<u8>,
        call: impl FnOnce(&mut MemoryLog<u8>) -> Result<T, MemoryLogError>,
    ) -> Result<T, MemoryLogError> {
        let before = log.clone();
        let result = call(log);
        assert!(result.is_ok() || *log == before, "it refused, and has changed");
        result
    }

    #[test]
    fn number_append_and_admit_use_the_last_number_and_then_say_overflow() {
        for (pending, left, count) in (0..3).flat_map(|p| (0..4).flat_map(move |l| (0..6).map(move |c| (p, l, c)))) {
            let events = vec![9; count];
            let log = at_the_end(pending, left);
            let fits = count as u64 <= left;
            let overflow = MemoryLogError::Overflow { head: u64::MAX - left, count };
            let expected = if fits { Ok(count) } else { Err(overflow) };

            assert_eq!(log.number(events.clone()).map(|entries| entries.len()), expected);
            assert_eq!(call(&mut log.clone(), |log| log.append(events.clone())), expected);
            let mut entries = after(log.head(), &events);
            if !fits {
                entries.push(MemoryEntry { position: 0, event: 9 });
            }
            let mut admitted = log.clone();
            let result = call(&mut admitted, |log| log.admit(entries.clone()));
            assert_eq!(
                result,
                if fits { Ok(count) } else { Err(MemoryLogError::Overflow { head: log.head(), count: entries.len() }) }
            );
            if fits {
                assert_eq!(admitted.head(), log.head() + count as u64);
                assert_eq!(admitted.batch(ALL), after(log.upstream_head(), &[(0..pending).collect(), events].concat()));
            }
        }
    }

    /// A page brings others' events (9) before, between and behind the pending ones.
    #[test]
    fn merge_and_confirm_use_the_last_number_and_then_say_overflow() {
        let pages: [&[u8]; 11] =
            [&[], &[9], &[0], &[0, 1], &[9, 9], &[0, 9], &[9, 0], &[0, 9, 1], &[9, 0, 9, 1], &[0, 1, 9], &[9, 9, 9, 9]];
        for (pending, left) in (0..3_u8).flat_map(|pending| (0..4_u64).map(move |left| (pending, left))) {
            for events in pages {
                let log = at_the_end(pending, left);
                let mut page = after(log.upstream_head(), events);
                let cut = page.len() < events.len();
                if cut {
                    page.push(MemoryEntry { position: 0, event: 9 });
                }
                let settled = events.iter().filter(|event| **event < pending).count();
                let others = (events.len() - settled) as u64;
                let (mut merged, mut confirmed) = (log.clone(), log.clone());
                let result = call(&mut merged, |log| log.merge(page.clone()));
                let fits = !cut && others <= left;
                assert_eq!(result.is_ok(), fits, "{pending} pending, {left} left, {events:?}: {result:?}");
                match result {
                    Ok(result) => {
                        assert_eq!(result.confirmed().len(), settled);
                        assert_eq!(merged.upstream_head(), log.upstream_head() + events.len() as u64);
                        assert_eq!(merged.head(), log.head() + others);
                        assert_eq!(merged.batch(ALL).len(), usize::from(pending) - settled);
                    }
                    Err(error) => assert!(matches!(error, MemoryLogError::Overflow { .. }), "{error}"),
                }
                if others == 0 || events.len() > usize::from(pending) {
                    let result = call(&mut confirmed, |log| log.confirm(page));
                    assert_eq!((result.is_ok(), &confirmed), (fits, &merged));
                }
            }
        }
    }

    #[test]
    fn with_pending_takes_as_many_events_as_there_are_numbers() {
        assert_eq!(at_the_end(2, 0).head(), u64::MAX);
        assert_eq!(at_the_end(2, 0).batch(ALL), after(u64::MAX - 2, &[0, 1]));
        assert_eq!(at_the_end(0, 0).number(Vec::new()), Ok(Vec::new()));
    }

    #[test]
    #[should_panic(expected = "2 events after 18446744073709551614: there are no numbers left")]
    fn with_pending_takes_no_events_that_have_no_numbers() {
        let _ = MemoryLog::new().with_pending(u64::MAX - 1, [1, 2]);
    }
}
