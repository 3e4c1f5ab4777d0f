//! An upstream for threads, for a replicator with tasks.

use std::fmt;

use super::{AsyncPull, AsyncUpstream, Upstream};
use crate::log::Log;
use crate::protocol::{Batch, Page, PullError, PushError};
use crate::replicator::elsewhere::{Begun, Elsewhere, Handover, Job, NOT_RUN};

/// An [`Upstream`] as an [`AsyncUpstream`]. Its calls run elsewhere, by a function that has a job run where it may block:
/// `tokio::task::spawn_blocking`, a pool of threads, or a thread for each.
///
/// # Cancel safety
///
/// A future that is dropped sets the interrupt of its call, which ends as soon as the upstream heeds that; the next call of
/// its kind begins then. One that has not been run by then is not made. A pull is one page ahead of what has been asked of
/// it, at most.
///
/// # Panics
///
/// A panic of the upstream's comes out of the future. A job that is dropped without being run ends its call: upstream is
/// unavailable.
///
#[doc = crate::platform::needs_runtime!()]
/// # if latchwork::sync::IN_MODEL { return Ok(()) }
/// use latchwork::log::MemoryLog;
/// use latchwork::upstream::{ForTasks, Memory};
/// use latchwork::{Replicator, Settled};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// // `Memory` stands for any upstream for threads.
/// let upstream = ForTasks::new(Memory::new(0), |job| drop(tokio::task::spawn_blocking(job)));
/// let (replicator, driver) = Replicator::builder(MemoryLog::new(), upstream).build_async(tokio::time::sleep);
/// let driver = tokio::spawn(driver);
/// assert!(matches!(replicator.commit(vec!["milk"])?.await, Settled::Confirmed(_)));
/// drop(replicator);
/// driver.await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ForTasks<U, R>(Elsewhere<U, R, 2>);

const PUSH: usize = 0;
const PULL: usize = 1;

impl<U, R: Fn(Job)> ForTasks<U, R> {
    /// Takes an upstream, and a function that has a job run elsewhere, and does not wait for it.
    pub fn new(upstream: U, run: R) -> Self {
        Self(Elsewhere::new(upstream, run))
    }
}

impl<L, U, R> AsyncUpstream<L> for ForTasks<U, R>
where
    L: Log,
    U: Upstream<L>,
    R: Fn(Job) + 'static,
{
    type Pull<'a> = Pages<'a, L, U, R>;

    async fn push(&self, batch: &Batch<L>) -> Result<(), PushError<L::Position>> {
        let batch = batch.clone();
        let call = move |upstream: &U, handover: &Handover<_>| {
            if !handover.interrupt.is_set() {
                handover.leave(upstream.push(&batch, &handover.interrupt));
            }
        };
        let begun = self.0.begin(PUSH, call).await;
        let not_run = || Err(PushError::Unavailable { retry_after: None, error: NOT_RUN.into() });
        begun.next().await.unwrap_or_else(not_run)
    }

    fn pull(&self, cursor: L::Position) -> Pages<'_, L, U, R> {
        Pages { upstream: self, cursor, begun: None }
    }
}

/// A pull that goes on elsewhere.
pub struct Pages<'a, L: Log, U, R> {
    upstream: &'a ForTasks<U, R>,
    cursor: L::Position,
    begun: Option<Begun<Option<Item<L>>>>,
}

/// What a pull gives out.
type Item<L> = Result<Page<<L as Log>::Entry>, PullError>;

impl<L, U, R> AsyncPull<L> for Pages<'_, L, U, R>
where
    L: Log,
    U: Upstream<L>,
    R: Fn(Job) + 'static,
{
    async fn next_page(&mut self) -> Option<Item<L>> {
        let begun = match &mut self.begun {
            Some(begun) => begun,
            none => {
                let cursor = self.cursor;
                let call = move |upstream: &U, handover: &Handover<_>| {
                    if handover.interrupt.is_set() {
                        return;
                    }
                    for page in upstream.pull(cursor, &handover.interrupt) {
                        handover.leave(Some(page));
                        if handover.taken().is_err() {
                            return;
                        }
                    }
                    handover.leave(None);
                };
                none.insert(self.upstream.0.begin(PULL, call).await)
            }
        };
        let not_run = || Some(Err(PullError::Unavailable { retry_after: None, error: NOT_RUN.into() }));
        begun.next().await.unwrap_or_else(not_run)
    }
}

impl<L: Log, U, R> fmt::Debug for Pages<'_, L, U, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

impl<U, R> fmt::Debug for ForTasks<U, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForTasks").finish_non_exhaustive()
    }
}
