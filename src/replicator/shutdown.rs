//! The end, and what is left behind.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::Replicator;
use super::core::{State, topic};
use crate::log::Log;
use crate::platform::Arc;
use crate::primitives::wait::deadline;
use crate::protocol::{Direction, Failure, Fate, Push, Time};

const DIRECTIONS: [Direction; 2] = [Direction::Push, Direction::Pull];

/// What a shutdown left behind. Dropping it waits for nothing.
#[must_use = "it says what was not handed over"]
#[non_exhaustive]
pub struct Shutdown<L: Log> {
    /// The pending events that were not confirmed, in order: the log's next owner has to send them.
    pub pending: Vec<L::Entry>,
    /// Whether upstream may have taken some of them without an answer, or may take them yet.
    pub uncertain: bool,
    /// The directions whose call to upstream had not ended in time. It has been told to, and its thread ends with it.
    pub unfinished: Vec<Unfinished>,
    /// What went wrong in the shutdown itself, in which everything else was done all the same: the log panicked or broke its
    /// contract as it was asked for what is pending, which is not all here then; or a waker or a drop panicked.
    pub failure: Option<Failure>,
    /// The log. `None` if a direction is unfinished, and has it.
    pub log: Option<L>,
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

impl<L: Log> Shutdown<L> {
    /// Whether everything was handed over and everything has ended.
    pub fn is_clean(&self) -> bool {
        self.pending.is_empty() && self.unfinished.is_empty() && self.failure.is_none()
    }
}

impl<L: Log<Entry: fmt::Debug>> fmt::Debug for Shutdown<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pending, uncertain, unfinished, failure, log: _ } = self;
        f.debug_struct("Shutdown")
            .field("pending", pending)
            .field("uncertain", uncertain)
            .field("unfinished", unfinished)
            .field("failure", failure)
            .finish_non_exhaustive()
    }
}

impl<L: Log> Replicator<L> {
    /// Waits until nothing is pending, for `timeout` at most; then [stops](Self::stop) it and waits until both directions have
    /// ended, again for `timeout` at most. Says what was not handed over, and gives the log back. If a waker or the log
    /// panics, it says that, too.
    ///
    /// A direction that has ended has a thread that drops the upstream and ends, which is waited for in any case.
    pub fn shutdown(mut self, timeout: Duration) -> Shutdown<L> {
        let _drained = self.settle(timeout);
        let mut panicked = self.stop_quietly();
        let ended = |state: &mut State<L>| state.is_closed().then_some(());
        let _ended = self.core.state.block(topic::SETTLED, deadline(timeout), ended);
        let now = self.core.now();
        // In one step: what is confirmed from now on, by a direction that has not ended, is in the report as pending.
        let (mut report, closed) = self.core.close(|state| Shutdown::of(state, now));
        panicked.and(closed);
        for (direction, worker) in DIRECTIONS.into_iter().zip(self.workers.take().into_iter().flatten()) {
            if report.unfinished.iter().any(|unfinished| unfinished.direction == direction) {
                worker.detach();
            } else {
                drop(worker);
            }
        }
        let core = Arc::clone(&self.core);
        drop(self);
        if report.unfinished.is_empty() {
            report.log = Arc::into_inner(core).map(|core| {
                let (log, dropped) = core.into_log();
                panicked.and(dropped);
                log
            });
        }
        if let Some(message) = panicked.message() {
            report.failure.get_or_insert(Failure::Panicked { message: format!("a waker or a drop: {message}") });
        }
        report
    }
}

impl<L: Log> Shutdown<L> {
    fn of(state: &mut State<L>, now: Time) -> Self {
        let in_flight = matches!(state.protocol.push(), Push::Sending { fate: Fate::Open, .. });
        let mut uncertain = state.protocol.is_uncertain() || in_flight;
        let batch = state.contain(|state| {
            let pending = state.protocol.log().batch(NonZeroUsize::MAX);
            let (got, expected) = (pending.len(), state.protocol.log().pending());
            let error = format!("expected all {expected} pending events in a batch, got {got}");
            (pending, (got != expected).then(|| Failure::Contract { error: error.into() }))
        });
        let (pending, failure) = batch
            .unwrap_or_else(|message| (Vec::new(), Some(Failure::Panicked { message: format!("the log: {message}") })));
        uncertain &= !pending.is_empty() || failure.is_some();
        let unfinished = DIRECTIONS.into_iter().filter(|direction| !state.has_ended(*direction)).map(|direction| {
            let call = state.calls[direction as usize].as_ref();
            Unfinished { direction, calling_for: call.map(|call| now.saturating_sub(call.since)) }
        });
        Self { pending, uncertain, unfinished: unfinished.collect(), failure, log: None }
    }
}
