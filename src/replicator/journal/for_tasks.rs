//! A journal for threads, for a replicator with tasks.

use std::fmt;

use thiserror::Error;

use super::{AsyncJournal, Journal};
use crate::log::{Change, Log};
use crate::platform::Mutex;
use crate::replicator::elsewhere::{Elsewhere, Handover, Job};

/// A [`Journal`] as an [`AsyncJournal`]. Its calls run elsewhere, by a function that has a job run where it may block:
/// `tokio::task::spawn_blocking`, a pool of threads, or a thread for each.
///
/// It is the function's choice where, and not a thread for each replicator as with threads: a process may have a replicator for
/// each of very many documents, most of which write nothing most of the time. The changes are cloned for the job.
///
/// # Cancel safety
///
/// A write whose future is dropped goes on if it has begun, and is not made otherwise. Wait for the job before what the journal
/// writes to is opened again in the same process.
///
/// # Panics
///
/// A panic of the journal's comes out of the future. A job that is dropped without being run is an
/// [error](ForTasksError::NotRun).
///
#[doc = crate::platform::needs_runtime!()]
/// # if latchwork::sync::IN_MODEL { return Ok(()) }
/// use latchwork::journal::{ForTasks, Memory, Recovered};
/// use latchwork::log::MemoryLog;
/// use latchwork::{Replicator, upstream};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// // `Memory` stands for any journal for threads.
/// let journal = ForTasks::new(Memory::new(Recovered::new(0)), |job| drop(tokio::task::spawn_blocking(job)));
/// let builder = Replicator::builder(MemoryLog::new(), upstream::Memory::new(0)).journal(journal);
/// let (replicator, driver) = builder.build_async(tokio::time::sleep);
/// tokio::spawn(driver);
/// assert!(replicator.commit(vec!["milk"])?.durable().await);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ForTasks<J, R>(Elsewhere<Mutex<J>, R, 1>);

/// Why a [`ForTasks`] has not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ForTasksError<E> {
    /// The journal said so.
    #[error(transparent)]
    Journal(E),
    /// The function has dropped the job.
    #[error("the call was dropped before it was made")]
    NotRun,
}

impl<J, R: Fn(Job)> ForTasks<J, R> {
    /// Takes a journal, and a function that has a job run elsewhere, and does not wait for it.
    pub fn new(journal: J, run: R) -> Self {
        Self(Elsewhere::new(Mutex::new(journal), run))
    }
}

impl<L, J, R> AsyncJournal<L> for ForTasks<J, R>
where
    L: Log,
    J: Journal<L>,
    R: Fn(Job) + 'static,
{
    type Error = ForTasksError<J::Error>;

    async fn write(&mut self, changes: &[Change<L::Entry, L::Position>]) -> Result<(), Self::Error> {
        let changes = changes.to_vec();
        let call = move |journal: &Mutex<J>, handover: &Handover<_>| {
            if !handover.interrupt.is_set() {
                handover.leave(journal.lock().write(&changes));
            }
        };
        let begun = self.0.begin(0, call).await;
        begun.next().await.ok_or(ForTasksError::NotRun)?.map_err(ForTasksError::Journal)
    }
}

impl<J, R> fmt::Debug for ForTasks<J, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForTasks").finish_non_exhaustive()
    }
}
