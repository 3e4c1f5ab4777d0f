//! A journal in memory, that fails when told to: for tests and first steps.

use std::collections::VecDeque;
use std::fmt;

use thiserror::Error;

use super::{AsyncJournal, Journal};
use crate::log::{Change, ChangeError, Log, Recovered};
use crate::platform::Arc;
use crate::platform::event::Shown;
use crate::primitives::monitor::Monitor;

/// A journal in memory. Clones are the same journal: what one has been given by a replicator, another reads back. Each replicator
/// is given a clone of its own.
///
/// It survives nothing, but a replicator that is dropped and made again from [`recovered`](Self::recovered) is as after a
/// crash.
pub struct Memory<L: Log> {
    shared: Arc<Monitor<State<L>>>,
    /// The last change that this replicator's writes have brought.
    changes: u64,
}

struct State<L: Log> {
    held: Recovered<L::Entry, L::Position>,
    /// Of the writes to come, which fail: before they have written, or after.
    faults: VecDeque<bool>,
    is_sent: fn(&L::Entry) -> bool,
}

/// Why a [`Memory`] has not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// It was [told to](Memory::fail_before) fail.
    #[error("the disk is full")]
    Full,
    /// The changes do not follow what it holds.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl<L: Log> Shown for State<L> {
    fn waits(&self, _: usize) -> String {
        String::new()
    }
}

impl<L: Log> Memory<L> {
    /// A journal that holds this, of a log all of whose events are sent.
    #[must_use]
    pub fn new(held: Recovered<L::Entry, L::Position>) -> Self {
        let state = State { held, faults: VecDeque::new(), is_sent: |_| true };
        Self { shared: Arc::new(Monitor::new(state, "journal")), changes: 0 }
    }

    /// The same journal, of a log that [sends](Log::is_local_only) the events of which this is true.
    #[must_use]
    pub fn with_sent(self, is_sent: fn(&L::Entry) -> bool) -> Self {
        self.shared.look(|state| state.is_sent = is_sent);
        self
    }

    /// Lets the next write that has no fault yet fail, and write nothing.
    pub fn fail_before(&self) {
        self.shared.look(|state| state.faults.push_back(true));
    }

    /// Lets the next write that has no fault yet write everything, and fail then.
    pub fn fail_after(&self) {
        self.shared.look(|state| state.faults.push_back(false));
    }

    /// What it holds, for the next process.
    #[must_use]
    pub fn recovered(&self) -> Recovered<L::Entry, L::Position> {
        self.shared.look(|state| Recovered::with_pending(state.held.cursor, state.held.pending.clone()))
    }
}

impl<L: Log> Journal<L> for Memory<L> {
    type Error = MemoryError;

    fn write(&mut self, changes: &[Change<L::Entry, L::Position>]) -> Result<(), MemoryError> {
        self.shared.look(|state| {
            let fault = state.faults.pop_front();
            if fault == Some(true) {
                return Err(MemoryError::Full);
            }
            // All or nothing, as a transaction.
            let mut held = state.held.clone();
            held.changes = self.changes;
            changes.iter().try_for_each(|change| held.apply(change, state.is_sent))?;
            self.changes = held.changes;
            state.held = held;
            fault.map_or(Ok(()), |_| Err(MemoryError::Full))
        })
    }
}

impl<L: Log> AsyncJournal<L> for Memory<L> {
    type Error = MemoryError;

    async fn write(&mut self, changes: &[Change<L::Entry, L::Position>]) -> Result<(), MemoryError> {
        Journal::write(self, changes)
    }
}

impl<L: Log> Clone for Memory<L> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), changes: 0 }
    }
}

impl<L: Log> fmt::Debug for Memory<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}
