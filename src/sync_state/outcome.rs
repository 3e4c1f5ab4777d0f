//! What goes into a merge and what comes out.
//!
//! Events are moved, never copied: those that leave the state are handed over in a `Vec`, those that stay are shown
//! in place. That is why an outcome borrows the state.

use super::{Entries, Entry, EntryRef, SeqNum};

/// What is to be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<E> {
    /// This side committed events and numbered them.
    LocalPush {
        /// The events, ascending.
        entries: Vec<Entry<E>>,
    },
    /// Upstream ordered events.
    UpstreamAdvance {
        /// The events after the upstream head, ascending; pending ones of this side among them.
        entries: Vec<Entry<E>>,
    },
    /// Upstream has an upstream of its own and was rebased by it: a leader tells its sessions.
    UpstreamRebase {
        /// What upstream took back.
        rolled_back: Vec<Entry<E>>,
        /// What it has instead, ascending.
        entries: Vec<Entry<E>>,
    },
}

/// What a merge did.
#[must_use = "an outcome says what to apply and what to roll back, or that nothing was merged"]
#[derive(Debug)]
pub enum Outcome<'a, E> {
    /// Nothing has to be rolled back.
    Advance(Advance<'a, E>),
    /// Upstream ordered something else first: pending events were numbered anew, on top of it.
    Rebase(Rebase<'a, E>),
    /// The push came too late: its numbers are taken. The state is as it was.
    Reject(Reject<E>),
}

/// See [`Outcome::Advance`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Advance<'a, E> {
    /// New entries that the state does not keep: upstream's, and with [`LocalOnly::Passed`] the local-only ones.
    ///
    /// [`LocalOnly::Passed`]: super::LocalOnly::Passed
    pub passed: Vec<Entry<E>>,
    /// New entries that are pending now: what was pushed.
    pub kept: Entries<'a, E>,
    /// Entries that were pending and are settled now.
    pub confirmed: Vec<Entry<E>>,
}

/// See [`Outcome::Rebase`].
///
/// The order in which to apply it: take back [`rolled_back`](Self::rolled_back) from its end, then apply
/// [`new_entries`](Self::new_entries). Or move what [`moves`](Self::moves) says and insert [`passed`](Self::passed)
/// before it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Rebase<'a, E> {
    /// Entries that were pending and are settled now: they were the same up to there.
    pub confirmed: Vec<Entry<E>>,
    /// What upstream took back of its own.
    pub rolled_back_upstream: Vec<Entry<E>>,
    /// The entries that are pending, under the numbers that they had.
    pub old: Entries<'a, E>,
    /// Upstream's new entries.
    pub passed: Vec<Entry<E>>,
    /// The entries that are pending, under the numbers that they have now.
    pub kept: Entries<'a, E>,
}

/// See [`Outcome::Reject`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reject<E> {
    /// The first number that is free.
    pub expected_minimum: SeqNum,
    /// What was to be pushed, to be numbered anew.
    pub entries: Vec<Entry<E>>,
}

/// One pending event on its way from a number to another.
#[derive(Debug)]
pub struct Move<'a, E> {
    /// The number that it had.
    pub from: SeqNum,
    /// Its entry now.
    pub to: EntryRef<'a, E>,
}

impl<E> Advance<'_, E> {
    /// All new entries in order.
    pub fn new_entries(&self) -> impl Iterator<Item = EntryRef<'_, E>> {
        // A push may have both, in any order.
        let mut passed = self.passed.iter().map(Entry::as_ref).peekable();
        let mut kept = self.kept.clone().peekable();
        std::iter::from_fn(move || match (passed.peek(), kept.peek()) {
            (Some(passing), Some(keeping)) if keeping.seq.is_after(passing.seq) => passed.next(),
            (_, Some(_)) => kept.next(),
            (_, None) => passed.next(),
        })
    }
}

impl<E> Rebase<'_, E> {
    /// All new entries in order: upstream's, and on top of them the pending ones under their new numbers.
    pub fn new_entries(&self) -> impl Iterator<Item = EntryRef<'_, E>> {
        let passed = self.passed.iter().map(Entry::as_ref);
        passed.chain(self.kept.clone())
    }

    /// All entries that are rolled back, in order: upstream's, then the pending ones under their old numbers.
    pub fn rolled_back(&self) -> impl Iterator<Item = EntryRef<'_, E>> {
        let upstream = self.rolled_back_upstream.iter().map(Entry::as_ref);
        upstream.chain(self.old.clone())
    }

    /// The pending entries with both numbers.
    pub fn moves(&self) -> impl ExactSizeIterator<Item = Move<'_, E>> {
        let numbers = self.old.clone().zip(self.kept.clone());
        numbers.map(|(old, to)| Move { from: old.seq, to })
    }
}
