//! An upstream for threads, for a replicator with tasks.
//!
//! A call runs as a **job** elsewhere. The future and its job share a [`Handover`]: the job leaves in it what comes, one thing
//! at a time, and asks its upstream for the next once that has been taken. A job that is over says so, however it ends; also
//! one that is dropped without being run.

use std::fmt;
use std::panic::resume_unwind;

use super::{AsyncPull, AsyncUpstream, Upstream};
use crate::log::Log;
use crate::platform::event::Shown;
use crate::platform::{Arc, Mutex, catch_panic, is_unwinding};
use crate::primitives::interrupt::{Cause, Interrupt, Interrupted};
use crate::primitives::latch::Latch;
use crate::primitives::monitor::Monitor;
use crate::primitives::panics::Payload;
use crate::protocol::messages::{Batch, Page, PullError, PushError};

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
pub struct ForTasks<U, R> {
    upstream: Arc<U>,
    run: R,
    /// Open once the last push, the last pull is over.
    over: [Mutex<Arc<Latch>>; 2],
}

/// A call to be made elsewhere.
type Job = Box<dyn FnOnce() + Send>;

const PUSH: usize = 0;
const PULL: usize = 1;

impl<U, R: Fn(Job)> ForTasks<U, R> {
    /// Takes an upstream, and a function that has a job run elsewhere, and does not wait for it.
    pub fn new(upstream: U, run: R) -> Self {
        let over = [PUSH, PULL].map(|_| Mutex::new(Arc::new(Latch::new_open())));
        Self { upstream: Arc::new(upstream), run, over }
    }

    /// Has a call of this kind made, once the last one is over.
    async fn begin<T: Send + 'static>(
        &self,
        kind: usize,
        call: impl FnOnce(&U, &Handover<T>) + Send + 'static,
    ) -> Begun<T>
    where
        U: Send + Sync + 'static,
    {
        let last = Arc::clone(&self.over[kind].lock());
        last.opened().await;
        let begun = Begun { handover: Arc::new(Handover::new()) };
        let over = Arc::new(Latch::new());
        *self.over[kind].lock() = Arc::clone(&over);
        let ends = Ends { handover: Arc::clone(&begun.handover), over };
        let upstream = Arc::clone(&self.upstream);
        (self.run)(Box::new(move || {
            // The upstream is let go before the call is over.
            let called = catch_panic(|| call(&upstream, &ends.handover)).and(catch_panic(|| drop(upstream)));
            if let Err(payload) = called {
                ends.handover.slot.change(|slot| slot.panicked = Some(payload));
            }
        }));
        begun
    }
}

/// What a future and its job share.
struct Handover<T: Send + 'static> {
    interrupt: Interrupt,
    slot: Monitor<Slot<T>>,
}

struct Slot<T> {
    next: Option<T>,
    panicked: Option<Payload>,
    /// No more comes.
    over: bool,
}

impl<T: Send + 'static> Shown for Slot<T> {
    fn waits(&self, _: usize) -> String {
        "the other side has not moved".into()
    }
}

impl<T: Send + 'static> Handover<T> {
    fn new() -> Self {
        let slot = Slot { next: None, panicked: None, over: false };
        Self { interrupt: Interrupt::new(), slot: Monitor::new(slot, "a hand-over:") }
    }

    /// For the job: leaves the next thing.
    fn leave(&self, next: T) {
        self.slot.change(|slot| slot.next = Some(next));
    }

    /// For the job: waits until that has been taken. An error once the call is to end.
    fn taken(&self) -> Result<(), Interrupted> {
        let taken = self.slot.wait(|slot: &mut Slot<T>| slot.next.is_none().then_some(()));
        _ = taken.wait_or(&self.interrupt, None);
        self.interrupt.check()
    }

    /// For the future: takes the next thing; `None` if no more comes.
    async fn next(&self) -> Option<T> {
        let come = |slot: &mut Slot<T>| match slot.next.take() {
            Some(next) => Some(Ok(Some(next))),
            None => slot.over.then(|| slot.panicked.take().map_or(Ok(None), Err)),
        };
        let next = self.slot.wait(come).await;
        // The job waits for that.
        self.slot.change(|_| ());
        next.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

/// A job, until it is over.
struct Ends<T: Send + 'static> {
    handover: Arc<Handover<T>>,
    over: Arc<Latch>,
}

impl<T: Send + 'static> Drop for Ends<T> {
    fn drop(&mut self) {
        if !is_unwinding() {
            // What panics is a waker.
            _ = catch_panic(|| self.handover.slot.change(|slot| slot.over = true));
            _ = catch_panic(|| self.over.open());
        }
    }
}

/// A call that goes on elsewhere. As it is dropped it is interrupted.
struct Begun<T: Send + 'static> {
    handover: Arc<Handover<T>>,
}

impl<T: Send + 'static> Drop for Begun<T> {
    fn drop(&mut self) {
        if !is_unwinding() {
            _ = catch_panic(|| self.handover.interrupt.set(DROPPED));
        }
    }
}

/// Why a call is interrupted whose future has been dropped.
const DROPPED: Cause = Cause::Other("the call has been dropped");

/// What a job says that was not run.
const NOT_RUN: &str = "the call was dropped before it was made";

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
        let begun = self.begin(PUSH, call).await;
        let not_run = || Err(PushError::Unavailable { retry_after: None, error: NOT_RUN.into() });
        begun.handover.next().await.unwrap_or_else(not_run)
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
                none.insert(self.upstream.begin(PULL, call).await)
            }
        };
        let not_run = || Some(Err(PullError::Unavailable { retry_after: None, error: NOT_RUN.into() }));
        begun.handover.next().await.unwrap_or_else(not_run)
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
