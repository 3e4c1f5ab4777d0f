//! The end, and what is left behind.

use std::mem::take;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::pin::pin;
use std::time::Duration;

use super::Replicator;
use super::core::{Core, Role, State};
use super::driver::Timer;
use super::told::topic;
use super::upstream::call::race;
use crate::log::Log;
use crate::platform::event::Input;
use crate::platform::{Arc, Mutex, is_unwinding};
use crate::primitives::panics::FirstPanic;
use crate::primitives::wait::deadline;
use crate::primitives::worker::Worker;
use crate::protocol::{Direction, Failure, Fate, Push, Time};

const DIRECTIONS: [Direction; 2] = [Direction::Push, Direction::Pull];

/// What a shutdown left behind. Dropping it waits for nothing.
#[must_use = "it says what was not handed over"]
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shutdown<E> {
    /// The pending events that were not confirmed, in order: the log's next owner has to send them.
    pub pending: Vec<E>,
    /// Whether upstream may have taken some of them without an answer, or may take them yet.
    pub uncertain: bool,
    /// The directions whose call to upstream had not ended in time. It has been told to, and its thread ends with it.
    pub unfinished: Vec<Unfinished>,
    /// What the journal has not written, if there is one.
    pub unwritten: Unwritten,
    /// What went wrong in the shutdown itself, in which everything else was done all the same: the log panicked or broke its
    /// contract as it was asked for what is pending, which is not all here then; or a waker or a drop panicked.
    pub failure: Option<Failure>,
}

/// A direction whose thread has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unfinished {
    /// Which.
    pub direction: Direction,
    /// How long its call to upstream has lasted by now; `None` if something else holds it up, as a waker may.
    pub calling_for: Option<Duration>,
}

/// What a [journal](crate::journal) has not written. What becomes of it is like a crash: the next log that is made of what the
/// journal holds knows nothing of it, and pulls from before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Unwritten {
    /// How many changes.
    pub changes: usize,
    /// How long the write has lasted by now that has not returned in time, if one has not. It may still succeed.
    pub writing_for: Option<Duration>,
    /// Why they could not be written, if the journal has failed.
    pub failure: Option<Failure>,
}

impl<E> Shutdown<E> {
    /// Whether everything was handed over, everything is durable (with a journal), and everything has ended.
    pub fn is_clean(&self) -> bool {
        let over = self.unfinished.is_empty() && self.failure.is_none();
        self.pending.is_empty() && self.unwritten == Unwritten::default() && over
    }
}

/// What the handles share: the core, and the workers that drive it. The last handle ends them.
pub(super) struct Owned<L: Log> {
    pub core: Arc<Core<L>>,
    /// Those whose threads have not been waited for. A replicator for tasks has none.
    workers: Mutex<[Option<Worker>; 2]>,
    /// The journal's, if it has one on a thread that has not been waited for.
    writer: Mutex<Option<Worker>>,
}

impl<L: Log> Owned<L> {
    pub(super) fn new(core: Arc<Core<L>>, workers: [Option<Worker>; 2], writer: Option<Worker>) -> Self {
        Self { core, workers: Mutex::new(workers), writer: Mutex::new(writer) }
    }
}

impl<L: Log> Deref for Owned<L> {
    type Target = Core<L>;

    fn deref(&self) -> &Core<L> {
        &self.core
    }
}

impl<L: Log> Drop for Owned<L> {
    fn drop(&mut self) {
        if is_unwinding() {
            return;
        }
        let mut in_vain = [false; 2];
        let mut writer_is_late = false;
        let (_caught, panicked) = self.core.apply_at(Core::now_or_last, Input::Stop, |state| {
            // A shutdown has waited for it and has closed what it may still answer.
            in_vain = DIRECTIONS.map(|direction| state.is_closed() && !state.has_ended(direction.into()));
            writer_is_late = state.is_closed() && !state.has_ended(Role::Writer);
            ((), state.protocol.stop())
        });
        // A drop does not panic.
        panicked.message();
        if self.core.is_for_tasks() {
            // Its driver ends, and closes.
            return;
        }
        let workers = take(&mut *self.workers.lock());
        let writer = self.writer.lock().take();
        let workers = workers.into_iter().zip(in_vain).chain([(writer, writer_is_late)]);
        for (worker, in_vain) in workers {
            match worker {
                Some(worker) if in_vain => worker.detach(),
                worker => drop(worker),
            }
        }
        self.core.close(|_| ()).1.message();
    }
}

/// Whether both directions have ended, and the journal's writer.
fn ended<L: Log>(state: &mut State<L>) -> Option<()> {
    state.have_all_ended().then_some(())
}

impl<L: Log> Core<L> {
    /// Tells both directions to end, whatever the timer's clock does.
    pub(super) fn stop(&self) -> FirstPanic {
        let (_caught, panicked) = self.apply_at(Self::now_or_last, Input::Stop, |state| ((), state.protocol.stop()));
        panicked
    }
}

impl<L: Log> Replicator<L> {
    /// Waits until nothing is pending, for `timeout` at most; then [stops](Self::stop) it and waits until both directions have
    /// ended and the [journal](crate::replicator::Builder::journal) has written everything, again for `timeout` at most. Says
    /// what was not handed over. If a waker or the log panics, it says that, too.
    ///
    /// A direction that has ended has a thread that drops the upstream and ends, which is waited for in any case. One
    /// that has not is left to itself, also by the drop of the last handle.
    ///
    /// Each handle may do this, at the same time and again. Each call waits as said, and reports how things stand then:
    /// the first whose wait is over stops it for all of them. What has [closed](super::Settled::Closed) by then stays so, while
    /// the direction that one call has left behind may have ended before the next.
    pub fn shutdown(&self, timeout: Duration) -> Shutdown<L::Entry> {
        let _drained = self.settled(true, |_| ()).wait_timeout(timeout);
        let panicked = self.core.stop();
        let _ended = self.core.state.block(topic::SETTLED, deadline(timeout), ended);
        self.report(panicked)
    }

    /// As [`shutdown`](Self::shutdown), for a task.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has stopped the replicator or has not; another call reports.
    pub async fn shutdown_async(&self, timeout: Duration, timer: impl Timer) -> Shutdown<L::Entry> {
        _ = race(self.settled(true, |_| ()), pin!(timer.sleep(timeout))).await;
        let panicked = self.core.stop();
        let ended = self.core.state.wait_topic(topic::SETTLED, ended, |()| ());
        _ = race(ended, pin!(timer.sleep(timeout))).await;
        self.report(panicked)
    }

    fn report(&self, mut panicked: FirstPanic) -> Shutdown<L::Entry> {
        let now = self.core.now_or_last();
        // In one step: what is confirmed from now on, by a direction that has not ended, is in the report as pending.
        let ((mut report, writer_has_ended), closed) =
            self.core.close(|state| (Shutdown::of(state, now), state.has_ended(Role::Writer)));
        panicked.and(closed);
        // A second caller waits here until the threads have ended.
        let mut workers = self.core.workers.lock();
        for (direction, worker) in DIRECTIONS.into_iter().zip(&mut *workers) {
            if !report.unfinished.iter().any(|unfinished| unfinished.direction == direction) {
                *worker = None;
            }
        }
        drop(workers);
        if writer_has_ended {
            *self.core.writer.lock() = None;
        }
        if let Some(message) = panicked.message() {
            report.failure.get_or_insert(Failure::Panicked { message: format!("a waker or a drop: {message}") });
        }
        report
    }

    /// Ends it as a drop does, and gives the log back. `None` if it has other handles, which keep it going, if a direction that
    /// a [`shutdown`](Self::shutdown) left behind has the log, or if it has a [driver](super::Driver) that has not returned.
    #[must_use = "a drop is enough to end it"]
    pub fn into_log(self) -> Option<L> {
        let owned = Arc::into_inner(self.core)?;
        let core = Arc::clone(&owned.core);
        drop(owned);
        let (log, panicked) = Arc::into_inner(core)?.into_log();
        // Neither does this panic: it has the log.
        panicked.message();
        Some(log)
    }
}

impl<E> Shutdown<E> {
    fn of<L: Log<Entry = E>>(state: &mut State<L>, now: Time) -> Self {
        let in_flight = matches!(state.protocol.push(), Push::Sending { fate: Fate::Open, .. });
        let mut uncertain = state.protocol.is_uncertain() || in_flight;
        let batch = state.catch_panic(|state| {
            let pending = state.protocol.log().batch(NonZeroUsize::MAX);
            let (got, expected) = (pending.len(), state.protocol.log().pending());
            let error = format!("expected all {expected} pending events in a batch, got {got}");
            (pending, (got != expected).then(|| Failure::Contract { error: error.into() }))
        });
        let (pending, failure) = batch
            .unwrap_or_else(|message| (Vec::new(), Some(Failure::Panicked { message: format!("the log: {message}") })));
        uncertain &= !pending.is_empty() || failure.is_some();
        let unfinished =
            DIRECTIONS.into_iter().filter(|direction| !state.has_ended((*direction).into())).map(|direction| {
                let call = state.calls[direction as usize].as_ref();
                Unfinished { direction, calling_for: call.map(|call| now.saturating_sub(call.since)) }
            });
        let unwritten = Unwritten {
            changes: state.protocol.unwritten(),
            writing_for: state.writing().map(|since| now.saturating_sub(since)),
            failure: state.protocol.journal_failure().cloned(),
        };
        Self { pending, uncertain, unfinished: unfinished.collect(), unwritten, failure }
    }
}
