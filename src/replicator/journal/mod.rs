//! What writes down what happens to a log, and one in memory.

mod memory;

use std::error::Error;

pub use self::memory::{Memory, MemoryError};
use crate::log::Log;
use crate::log::change::Change;
use crate::shared_error::SharedError;

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
/// It is called from a thread of its own, one call at a time, with all changes that have gathered since the call before: the
/// slower it is, the more of them. It may block for as long as it likes; meanwhile nothing waits but what must be durable first.
/// A panic is taken for an error.
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

/// A journal, whatever its errors are.
pub(super) type Writes<L> = Box<dyn FnMut(&Changes<L>) -> Result<(), SharedError> + Send>;

/// The changes of a write.
pub(super) type Changes<L> = [Change<<L as Log>::Entry, <L as Log>::Position>];

pub(super) fn writes<L: Log>(mut journal: impl Journal<L>) -> Writes<L> {
    Box::new(move |changes| journal.write(changes).map_err(SharedError::from))
}
