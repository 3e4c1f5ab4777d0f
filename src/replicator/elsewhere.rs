//! Calls that may block, for tasks: they are made elsewhere.
//!
//! A call runs as a **job**. The future and its job share a [`Handover`]: the job leaves in it what comes, one thing at a time,
//! and goes on to the next once that has been taken. A job that is over says so, however it ends; also one that is dropped
//! without being run.

use std::panic::resume_unwind;

use crate::platform::event::Shown;
use crate::platform::{Arc, Mutex, catch_panic, is_unwinding};
use crate::primitives::interrupt::{Cause, Interrupt, Interrupted};
use crate::primitives::latch::Latch;
use crate::primitives::monitor::Monitor;
use crate::primitives::panics::Payload;

/// A call to be made elsewhere.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// What is called elsewhere, of each of so many kinds of call one at a time.
pub(super) struct Elsewhere<U, R, const KINDS: usize> {
    called: Arc<U>,
    run: R,
    /// Open once the last call of a kind is over.
    over: [Mutex<Arc<Latch>>; KINDS],
}

impl<U, R: Fn(Job), const KINDS: usize> Elsewhere<U, R, KINDS> {
    pub(super) fn new(called: U, run: R) -> Self {
        let over = [(); KINDS].map(|()| Mutex::new(Arc::new(Latch::new_open())));
        Self { called: Arc::new(called), run, over }
    }

    /// Has a call of this kind made, once the last one is over.
    pub(super) async fn begin<T: Send + 'static>(
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
        let called = Arc::clone(&self.called);
        (self.run)(Box::new(move || {
            // What is called is let go before the call is over.
            let called = catch_panic(|| call(&called, &ends.handover)).and(catch_panic(|| drop(called)));
            if let Err(payload) = called {
                ends.handover.slot.change(|slot| slot.panicked = Some(payload));
            }
        }));
        begun
    }
}

/// What a future and its job share.
pub(super) struct Handover<T: Send + 'static> {
    pub interrupt: Interrupt,
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
    pub(super) fn leave(&self, next: T) {
        self.slot.change(|slot| slot.next = Some(next));
    }

    /// For the job: waits until that has been taken. An error once the call is to end.
    pub(super) fn taken(&self) -> Result<(), Interrupted> {
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
pub(super) struct Begun<T: Send + 'static> {
    handover: Arc<Handover<T>>,
}

impl<T: Send + 'static> Begun<T> {
    /// The next thing that has come of it; `None` if no more comes.
    pub(super) async fn next(&self) -> Option<T> {
        self.handover.next().await
    }
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
pub(super) const NOT_RUN: &str = "the call was dropped before it was made";
