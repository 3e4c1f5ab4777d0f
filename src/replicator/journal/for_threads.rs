//! A journal for tasks, for a replicator with threads.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};

use super::{AsyncJournal, Journal};
use crate::log::{Change, Log};

/// An [`AsyncJournal`] as a [`Journal`], so that one over an async database is written once. Its futures run on the journal's
/// thread, or on one that [writes its commit](crate::Replicator::commit_and_write), by a function that blocks on one:
/// `pollster::block_on`, or a runtime's.
///
/// A panic of the future's comes out of the call.
///
#[doc = crate::platform::needs_runtime!()]
/// # if latchwork::sync::IN_MODEL { return Ok(()) }
/// use latchwork::journal::{ForThreads, Memory, Recovered};
/// use latchwork::log::MemoryLog;
/// use latchwork::{Replicator, upstream};
///
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// // `Memory` stands for any journal for tasks.
/// let journal = ForThreads::new(Memory::new(Recovered::new(0)), move |write| runtime.block_on(write));
/// let builder = Replicator::builder(MemoryLog::new(), upstream::Memory::new(0)).journal(journal);
/// let replicator = builder.spawn()?;
/// assert!(replicator.commit(vec!["milk"])?.durable().wait());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ForThreads<J, B> {
    journal: J,
    block_on: B,
}

impl<J, B: FnMut(Pin<&mut dyn Future<Output = ()>>)> ForThreads<J, B> {
    /// Takes a journal, and a function that returns once the future is over. The journal is called within the future alone,
    /// where a runtime finds its own.
    pub fn new(journal: J, block_on: B) -> Self {
        Self { journal, block_on }
    }
}

impl<L, J, B> Journal<L> for ForThreads<J, B>
where
    L: Log,
    J: AsyncJournal<L> + Send,
    B: FnMut(Pin<&mut dyn Future<Output = ()>>) + Send + 'static,
{
    type Error = J::Error;

    fn write(&mut self, changes: &[Change<L::Entry, L::Position>]) -> Result<(), J::Error> {
        let Self { journal, block_on } = self;
        let mut outcome = None;
        {
            let writing = pin!(async { outcome = Some(journal.write(changes).await) });
            block_on(writing);
        }
        outcome.expect("the function returns once the future is over")
    }
}

impl<J, B> fmt::Debug for ForThreads<J, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForThreads").finish_non_exhaustive()
    }
}
