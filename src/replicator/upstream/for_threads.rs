//! An upstream for tasks, for a replicator with threads.

use std::fmt;
use std::future::{Future, Ready};
use std::io;
use std::panic::resume_unwind;
use std::pin::{Pin, pin};

use super::call::{Cut, call};
use super::deadline::Watch;
use super::{AsyncPull, AsyncUpstream, Upstream};
use crate::log::Log;
use crate::primitives::interrupt::Interrupt;
use crate::protocol::{Batch, Page, PullError, PushError};

/// An [`AsyncUpstream`] as an [`Upstream`], so that a backend is written once. Its futures run on the replicator's two
/// threads, by a function that blocks on one: `pollster::block_on`, or a runtime's.
///
/// A call's future is dropped once its interrupt is set, or its deadline has passed: of a push that has begun the outcome is
/// not known then. What has come by then counts. A panic of the future's comes out of the call.
///
/// A call with a deadline has, as long as it lasts, another thread that waits for that. If there is none to be had, the call
/// is not made, and upstream unavailable.
///
#[doc = crate::platform::needs_runtime!()]
/// # if latchwork::sync::IN_MODEL { return Ok(()) }
/// use latchwork::log::MemoryLog;
/// use latchwork::upstream::{ForThreads, Memory};
/// use latchwork::{Replicator, Settled};
///
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// // `Memory` stands for any upstream for tasks.
/// let upstream = ForThreads::new(Memory::new(0), move |call| runtime.block_on(call));
/// let replicator = Replicator::builder(MemoryLog::new(), upstream).spawn()?;
/// assert!(matches!(replicator.commit(vec!["milk"])?.wait(), Settled::Confirmed(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ForThreads<U, B> {
    upstream: U,
    block_on: B,
}

impl<U, B: Fn(Pin<&mut dyn Future<Output = ()>>)> ForThreads<U, B> {
    /// Takes an upstream, and a function that returns once the future is over.
    ///
    /// The two threads call it at the same time, each with a future of its own. The upstream is called within the future
    /// alone, where a runtime finds its own.
    pub fn new(upstream: U, block_on: B) -> Self {
        Self { upstream, block_on }
    }

    /// Blocks on a call. An error, if there is no thread to look to its deadline.
    fn run<F: Future>(&self, begin: impl FnOnce() -> F, interrupt: &Interrupt) -> io::Result<Result<F::Output, Cut>> {
        let _watch = Watch::new(interrupt)?;
        let mut outcome = None;
        {
            let running = pin!(async { outcome = Some(call(begin, interrupt, None::<Ready<()>>).await) });
            (self.block_on)(running);
        }
        match outcome.expect("the function returns once the future is over") {
            Ok(ended) => Ok(ended),
            Err(payload) => resume_unwind(payload),
        }
    }
}

impl<L, U, B> Upstream<L> for ForThreads<U, B>
where
    L: Log,
    U: AsyncUpstream<L> + Send + Sync,
    B: Fn(Pin<&mut dyn Future<Output = ()>>) + Send + Sync + 'static,
{
    fn push(&self, batch: &Batch<L>, interrupt: &Interrupt) -> Result<(), PushError<L::Position>> {
        match self.run(|| self.upstream.push(batch), interrupt) {
            Ok(ended) => ended.unwrap_or_else(|cut| Err(cut.of_push())),
            Err(error) => Err(PushError::Unavailable { retry_after: None, error: error.into() }),
        }
    }

    fn pull<'a>(
        &'a self,
        cursor: L::Position,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<L::Entry>, PullError>> + 'a {
        let (mut pull, mut ended) = (None, false);
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let page = {
                let next = async || pull.get_or_insert_with(|| self.upstream.pull(cursor)).next_page().await;
                match self.run(next, interrupt) {
                    Ok(Ok(page)) => page,
                    Ok(Err(cut)) => Some(Err(cut.of_pull())),
                    Err(error) => Some(Err(PullError::Unavailable { retry_after: None, error: error.into() })),
                }
            };
            ended = !matches!(page, Some(Ok(_)));
            if ended {
                pull = None;
            }
            page
        })
    }
}

impl<U, B> fmt::Debug for ForThreads<U, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForThreads").finish_non_exhaustive()
    }
}
