//! What writes down what happens to a log, and one in memory.

mod for_tasks;
mod for_threads;
mod memory;

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;

pub use self::for_tasks::{ForTasks, ForTasksError};
pub use self::for_threads::ForThreads;
pub use self::memory::{Memory, MemoryError};
use crate::SharedError;
use crate::log::{Change, Log};

/// A journal: it writes down what happens to a replicator's log, so that a crash does not undo it.
///
/// # Contract
///
/// - All changes of a call become durable **together**, with whatever the application derives from them: as one transaction.
///   `Ok` means that no crash undoes them.
/// - An error means that none of them is there, or that it is not known. The same changes are told again, under the same
///   [numbers](Change::number) and perhaps with more behind them, once the owner has [restarted](crate::Replicator::restart).
///   A journal that may have written them looks which it has.
///
/// It is called from a thread of its own, or from one that [writes its commit](crate::Replicator::commit_and_write); one call at a
/// time, with all changes that have gathered since the call before: the slower it is, the more of them. It may block for as long
/// as it likes; meanwhile nothing waits but what must be durable first. A panic is taken for an error.
///
/// `Infallible`, which has no value, stands for the journal of a replicator that has none.
pub trait Journal<L: Log>: Send + 'static {
    /// Why changes were not written.
    type Error: Error + Send + Sync + 'static;

    /// Writes these changes, of which there is at least one, and returns when they are durable.
    ///
    /// # Errors
    ///
    /// If they are not, or are not known to be.
    fn write(&mut self, changes: &[Change<L::Entry, L::Position>]) -> Result<(), Self::Error>;
}

/// A [`Journal`] for tasks: its contract is the same, and what is different is how a call may end.
///
/// Its future is a part of the [`Driver`](crate::replicator::Driver), which is dropped with it, at any of its awaits. Of a write
/// that has been dropped it is not known whether it was made: nothing of it is reported as durable, and the log that is made of
/// what the journal holds tells. Nothing else ends a call early.
///
/// No future need be `Send`: a driver is, exactly if they are and the journal is.
///
/// It is polled where its replicator's pusher is, in one task with it, so a poll that blocks holds up pushes: give a journal that
/// blocks to [`ForTasks`], which has it called elsewhere.
pub trait AsyncJournal<L: Log>: 'static {
    /// Why changes were not written.
    type Error: Error + Send + Sync + 'static;

    /// Writes these changes, of which there is at least one, and is over when they are durable.
    ///
    /// # Errors
    ///
    /// If they are not, or are not known to be.
    fn write(&mut self, changes: &[Change<L::Entry, L::Position>]) -> impl Future<Output = Result<(), Self::Error>>;
}

/// A [`Journal`], whichever it is.
pub(super) trait AnyJournal<L: Log>: Send {
    fn write_any(&mut self, changes: &[Change<L::Entry, L::Position>]) -> Result<(), SharedError>;
}

impl<L: Log, J: Journal<L>> AnyJournal<L> for J {
    fn write_any(&mut self, changes: &[Change<L::Entry, L::Position>]) -> Result<(), SharedError> {
        self.write(changes).map_err(SharedError::from)
    }
}

impl<L: Log> Journal<L> for Infallible {
    type Error = Self;

    fn write(&mut self, _: &[Change<L::Entry, L::Position>]) -> Result<(), Self> {
        match *self {}
    }
}

impl<L: Log> AsyncJournal<L> for Infallible {
    type Error = Self;

    async fn write(&mut self, _: &[Change<L::Entry, L::Position>]) -> Result<(), Self> {
        match *self {}
    }
}
