//! What the two workers do: report and ask in one critical section, call upstream without the lock.

use std::convert::Infallible;

use super::core::{Aftermath, Core, State, only, topic};
use super::trace::trace;
use crate::interrupt::Interrupt;
use crate::known_bugs::bug;
use crate::log::Log;
use crate::panics::panic_message;
use crate::points::point;
use crate::protocol::{Effects, Failure, NextPull, NextPush, Protocol, Pull, Signal, Time};
use crate::sync::{contain, note, random, yield_now};
use crate::upstream::{Batch, Page, PullError, PushError, Upstream};
use crate::wait::Waited;
use crate::watched::Topics;

/// What a party is to do.
enum Next<T> {
    Do(T),
    Wait(Option<Time>),
    Stop,
}

/// A party: what it asks, and how it fails.
struct Party<L: Log> {
    topic: usize,
    /// A time has come that it was told to wait for.
    tick: fn(&mut Protocol<L>, Time) -> Effects<L::Entry>,
    /// The log, or upstream, panicked under it.
    fail: fn(&mut Protocol<L>, Failure) -> Effects<L::Entry>,
}

impl<L: Log> Party<L> {
    /// Reports what came of the last call, then blocks until there is something to do; `None` once there will be nothing
    /// any more.
    fn next<T>(
        &self,
        core: &Core<L>,
        report: impl FnOnce(&mut State<L>, Time) -> Effects<L::Entry>,
        mut ask: impl FnMut(&mut State<L>, Time) -> Next<T>,
    ) -> Option<T> {
        let mut report = Some(report);
        let mut now = core.now();
        loop {
            let change = |state: &mut State<L>| match report.take() {
                Some(report) => self.transition(state, report, now),
                None => self.transition(state, |state, now| (self.tick)(&mut state.protocol, now), now),
            };
            let look = |state: &mut State<L>| {
                let next = ask(state, now);
                let told = match next {
                    Next::Do(_) => Signal::Nothing,
                    Next::Wait(until) => until.map_or(Signal::Nothing, Signal::At),
                    Next::Stop => Signal::Go,
                };
                state.looked(self.topic, told, now);
                // Mutants `point!(owed BeforeParking) with false`, `replace || with && in Party<L>::next`: in a usual build
                // nothing is ever owed.
                match next {
                    Next::Do(what) => Ok(Some(Some(what))),
                    Next::Stop => Ok(Some(None)),
                    Next::Wait(_) if trace!(owed()) || point!(owed BeforeParking) => Ok(None),
                    Next::Wait(until) => Err(until.and_then(|time| core.instant(time))),
                }
            };
            let next = core.state.change_and_block(change, |after| after.run(), self.topic, look);
            trace!(emit());
            match next {
                Waited::Ready(Some(next)) => return next,
                Waited::Ready(None) => {
                    point!(BeforeParking);
                }
                Waited::TimedOut | Waited::Interrupted(_) => {}
            }
            now = core.now();
            trace!(doing("clock"));
        }
    }

    /// Reports without asking. If that has woken the pusher, it goes first: on one processor it would wait until this
    /// thread has nothing to do.
    fn report(&self, core: &Core<L>, report: impl FnOnce(&mut State<L>, Time) -> Effects<L::Entry>) {
        let now = core.now();
        let (after, woken) = core.state.change_topics(|state| {
            let (after, topics) = self.transition(state, report, now);
            ((after, topics), topics)
        });
        if let Some(after) = after {
            after.run();
        }
        trace!(emit());
        // Mutants `replace & with`, `replace != with ==`: it is a matter of time alone.
        if woken & only(topic::PUSHER) != 0 {
            yield_now();
        }
    }

    /// A report under the lock. A panic of the log's is this party's failure.
    fn transition(
        &self,
        state: &mut State<L>,
        report: impl FnOnce(&mut State<L>, Time) -> Effects<L::Entry>,
        now: Time,
    ) -> (Option<Aftermath>, Topics) {
        let step = |state: &mut State<L>| {
            let effects = contain(|| report(state, now)).map_err(panic_message);
            ((), effects.unwrap_or_else(|message| self.fail_with(state, format!("the log: {message}"))))
        };
        let (_reported, after, topics) = state.transition(step, || now);
        (after, topics)
    }

    fn fail_with(&self, state: &mut State<L>, message: String) -> Effects<L::Entry> {
        let failure = Failure::Panicked { message };
        state.last_error = Some(failure.to_string());
        (self.fail)(&mut state.protocol, failure)
    }
}

/// This pull is over: whoever gives out its pages need not go on.
fn give_up_pull<T>() -> Effects<T> {
    Effects { interrupt_pull: true, ..Effects::default() }
}

fn nothing<L: Log>(_: &mut State<L>, _: Time) -> Effects<L::Entry> {
    Effects::default()
}

/// The pusher.
pub(super) fn push<L: Log, U: Upstream<L>>(core: &Core<L>, upstream: &U) -> Result<(), Infallible> {
    let party = Party {
        topic: topic::PUSHER,
        tick: Protocol::tick,
        fail: |protocol, failure| {
            protocol.push_unsent(failure);
            Effects::default()
        },
    };
    // Making a batch calls the log. If that panics, there is no call to report: the failure is noted here.
    let ask = |state: &mut State<L>, now| match contain(|| state.protocol.next_push(now)).map_err(panic_message) {
        Ok(NextPush::Send(batch)) => {
            trace!(push_batch(state, &batch));
            let interrupt = Interrupt::new();
            state.calls.push = Some(interrupt.clone());
            Next::Do((batch, interrupt))
        }
        Ok(NextPush::Wait(until)) => {
            trace!(park(state));
            Next::Wait(until)
        }
        Ok(NextPush::Stop) => {
            trace!(stop(state));
            Next::Stop
        }
        Err(message) => {
            let failure = Failure::Panicked { message: format!("the log: {message}") };
            state.last_error = Some(failure.to_string());
            state.protocol.push_unsent(failure);
            trace!(park(state));
            Next::Wait(None)
        }
    };
    note!(is("pusher"));
    trace!(start(core));
    let mut next = party.next(core, nothing, ask);
    while let Some((batch, interrupt)) = next {
        let outcome = contain(|| upstream.push(&batch, &interrupt)).map_err(panic_message);
        point!(AfterReply);
        if bug!(SilentExit) && matches!(outcome, Ok(Err(PushError::Fatal { .. }))) {
            return Ok(());
        }
        next = party.next(core, |state, now| push_ended(state, batch, outcome, now), ask);
    }
    Ok(())
}

fn push_ended<L: Log>(
    state: &mut State<L>,
    batch: Batch<L>,
    outcome: Result<Result<(), PushError<L::Position>>, String>,
    now: Time,
) -> Effects<L::Entry> {
    trace!(doing("push"));
    note!(answers(batch.ticket, &outcome));
    state.calls.push = None;
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(message) => {
            trace!(push_error(state, &batch, &message));
            let failure = Failure::Panicked { message: format!("Upstream::push: {message}") };
            state.last_error = Some(failure.to_string());
            return state.protocol.push_panicked(batch, failure);
        }
    };
    if let Err(error) = &outcome {
        state.last_error = Some(error.to_string());
        trace!(push_error(state, &batch, error));
    }
    state.protocol.push_ended(batch, outcome, random(), now).unwrap_or_else(|error| {
        state.last_error = Some(error.to_string());
        Effects::default()
    })
}

/// The puller.
pub(super) fn pull<L: Log, U: Upstream<L>>(core: &Core<L>, upstream: &U) -> Result<(), Infallible> {
    let party = Party {
        topic: topic::PULLER,
        tick: |_, _| Effects::default(),
        fail: |protocol, failure| {
            protocol.pull_failed(failure);
            give_up_pull()
        },
    };
    let ask = |state: &mut State<L>, now| match state.protocol.next_pull(now) {
        NextPull::Pull { ticket, cursor } => {
            let interrupt = Interrupt::new();
            state.calls.pull = Some(interrupt.clone());
            Next::Do((ticket, cursor, interrupt))
        }
        NextPull::Wait(until) => Next::Wait(until),
        NextPull::Stop => Next::Stop,
    };
    note!(is("puller"));
    let mut next = party.next(core, nothing, ask);
    while let Some((ticket, cursor, interrupt)) = next {
        let outcome = contain(|| {
            let asked = || PullError::Unavailable { retry_after: None, error: "the pull was asked to end".into() };
            for page in upstream.pull(cursor, &interrupt) {
                let page = page?;
                point!(BeforeQueueChange);
                party.report(core, |state, now| page_pulled(state, ticket, page, now));
                if interrupt.is_set() {
                    return Err(asked());
                }
            }
            if interrupt.is_set() { Err(asked()) } else { Ok(()) }
        });
        let outcome = outcome.map_err(panic_message);
        next = party.next(core, |state, now| pull_ended(state, ticket, outcome, now), ask);
    }
    Ok(())
}

fn page_pulled<L: Log>(state: &mut State<L>, ticket: u64, page: Page<L::Entry>, now: Time) -> Effects<L::Entry> {
    trace!(doing("catch-up"));
    note!(say(format_args!("a page of {}", page.entries.len())));
    state.protocol.page_pulled(ticket, page, random(), now).unwrap_or_else(|refused| {
        state.last_error = Some(refused.error.to_string());
        refused.effects
    })
}

fn pull_ended<L: Log>(
    state: &mut State<L>,
    ticket: u64,
    outcome: Result<Result<(), PullError>, String>,
    now: Time,
) -> Effects<L::Entry> {
    trace!(doing("catch-up"));
    note!(say(format_args!("pull {ticket} is over")));
    state.calls.pull = None;
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(message) => {
            let failure = Failure::Panicked { message: format!("Upstream::pull: {message}") };
            if state.protocol.is_pulling(ticket) {
                state.last_error = Some(failure.to_string());
            }
            state.protocol.pull_panicked(ticket, failure);
            return Effects::default();
        }
    };
    // Whoever asked it to end need not be told that it did.
    let asked = !matches!(state.protocol.pull(), Pull::Pulling { ending: false, .. });
    let told = |error: &&PullError| !asked || matches!(error, PullError::Fatal { .. });
    if let Some(error) = outcome.as_ref().err().filter(told) {
        state.last_error = Some(error.to_string());
    }
    state.protocol.pull_ended(ticket, outcome, random(), now)
}
