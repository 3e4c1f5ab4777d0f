//! What goes into a merge and what comes out.
//!
//! Events are moved, never copied: those that leave the state are handed over in a `Vec`, those that stay are shown
//! in place. That is why an outcome borrows the state.

use super::chain::Entries;
use super::{Entry, SeqNum};

/// What is to be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    Advance(Changes<'a, E>),
    /// Upstream ordered something else first: pending events were numbered anew, on top of it.
    Rebase(Changes<'a, E>),
    /// The push came too late: its numbers are taken. The state is as it was.
    Reject {
        /// The first number that is free.
        expected_minimum: SeqNum,
        /// What was to be pushed, to be numbered anew.
        entries: Vec<Entry<E>>,
    },
}

/// What a merge changed.
///
/// The order in which to apply it: take back [`rolled_back`](Self::rolled_back) from its end, then apply
/// [`new_entries`](Self::new_entries). Or move what [`moves`](Self::moves) says and insert [`passed`](Self::passed)
/// before it. An advance rolls back and moves nothing.
#[derive(Debug)]
#[non_exhaustive]
pub struct Changes<'a, E> {
    /// Entries that were pending and are settled now: they were the same up to there.
    pub confirmed: Vec<Entry<E>>,
    /// What upstream took back of its own.
    pub rolled_back_upstream: Vec<Entry<E>>,
    /// New entries that the state does not keep: upstream's, and with [`LocalOnly::Passed`] the local-only ones.
    ///
    /// [`LocalOnly::Passed`]: super::LocalOnly::Passed
    pub passed: Vec<Entry<E>>,
    pub(super) old: Entries<'a, E>,
    pub(super) kept: Entries<'a, E>,
}

impl<E> Changes<'_, E> {
    /// The entries that are pending, under the numbers that they had; none if they keep them.
    pub fn old(&self) -> impl ExactSizeIterator<Item = Entry<&E>> {
        self.old.clone()
    }

    /// The entries that are pending under new numbers: what was pushed, or rebased.
    pub fn kept(&self) -> impl ExactSizeIterator<Item = Entry<&E>> {
        self.kept.clone()
    }

    /// All new entries in order: upstream's, and on top of them the pending ones under their new numbers.
    pub fn new_entries(&self) -> impl Iterator<Item = Entry<&E>> {
        // A push may have both, in any order.
        let mut passed = self.passed.iter().map(Entry::as_ref).peekable();
        let mut kept = self.kept.clone().peekable();
        std::iter::from_fn(move || match (passed.peek(), kept.peek()) {
            (Some(passing), Some(keeping)) if keeping.seq.is_after(passing.seq) => passed.next(),
            (_, Some(_)) => kept.next(),
            (_, None) => passed.next(),
        })
    }

    /// All entries that are rolled back, in order: upstream's, then the pending ones under their old numbers.
    pub fn rolled_back(&self) -> impl Iterator<Item = Entry<&E>> {
        let upstream = self.rolled_back_upstream.iter().map(Entry::as_ref);
        upstream.chain(self.old.clone())
    }

    /// The pending entries that moved, each behind the number that it had.
    pub fn moves(&self) -> impl ExactSizeIterator<Item = (SeqNum, Entry<&E>)> {
        self.old.clone().map(|old| old.seq).zip(self.kept.clone())
    }
}
