//! What the two workers do: report and ask in one critical section, call upstream without the lock.
//!
//! A worker ends when it is told to stop, and for nothing else: all that is the user's is contained.

use std::cell::Cell;
use std::convert::Infallible;

use super::after::AfterUnlock;
use super::core::{Call, Core, State, only, topic};
use super::trace::trace;
use super::upstream::Upstream;
use crate::log::Log;
use crate::platform::{contain, note, random, yield_now};
use crate::primitives::interrupt::{Cause, Interrupt};
use crate::primitives::monitor::{Topics, Wakers};
use crate::primitives::panics::{Payload, panic_message};
use crate::primitives::wait::Waited;
use crate::protocol::messages::{Batch, Page, PullError, PushError};
use crate::protocol::{Direction, Effects, Failure, NextPull, NextPush, Protocol, Pull, Signal, Time};
use crate::shared_error::SharedError;

/// What a party is to do.
enum Next<T> {
    Do(T),
    Wait(Option<Time>),
    Stop,
}

/// A call to upstream.
struct Begun {
    interrupt: Interrupt,
    /// How many logs there were before the one that it belongs to.
    replaced: u64,
}

/// A party: what it asks, and how it fails.
struct Party<L: Log> {
    direction: Direction,
    /// A time has come that it was told to wait for.
    tick: fn(&mut Protocol<L>, Time) -> Effects<L::Entry>,
    /// The log panicked under it.
    fail: fn(&mut Protocol<L>, Failure),
}

impl<L: Log> Party<L> {
    fn topic(&self) -> usize {
        match self.direction {
            Direction::Push => topic::PUSHER,
            Direction::Pull => topic::PULLER,
        }
    }

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
        let mut last = false;
        loop {
            // What can wait waits until the lock has been given up for something else.
            let later = Cell::default();
            let change = |state: &mut State<L>| {
                let (after, topics) = match report.take() {
                    Some(report) => self.transition(state, report, now),
                    None => self.transition(state, |state, now| (self.tick)(&mut state.protocol, now), now),
                };
                if after.is_urgent() {
                    return (Some(after), topics);
                }
                later.set(after);
                (None, topics)
            };
            let look = |state: &mut State<L>| {
                let next = state.contain(|state| ask(state, now)).unwrap_or_else(|message| {
                    self.fail(state, &message, now);
                    Next::Wait(None)
                });
                let told = match next {
                    Next::Do(_) => Signal::Nothing,
                    Next::Wait(until) => until.map_or(Signal::Nothing, Signal::At),
                    Next::Stop => Signal::Go,
                };
                state.looked(self.direction, told, now);
                if let (Direction::Push, Next::Wait(_)) = (self.direction, &next) {
                    trace!(park(&mut state.traced, &state.protocol, &state.waiting_on.0, now));
                }
                // Mutant `trace!(owed()) with false`: without the feature nothing is ever owed.
                match next {
                    Next::Do(what) => Ok(Some(Some(what))),
                    Next::Stop => {
                        last = state.ends(self.direction);
                        Ok(Some(None))
                    }
                    Next::Wait(_) if trace!(owed()) => Ok(None),
                    Next::Wait(until) => Err(until.and_then(|time| core.instant(time))),
                }
            };
            let between = |after: Option<AfterUnlock>, wakers| self.finish(core, after.unwrap_or_default(), wakers);
            let next = core.state.change_and_block(change, between, self.topic(), look);
            self.finish(core, later.take(), Wakers::new());
            trace!(emit());
            match next {
                Waited::Ready(Some(next)) => {
                    if last {
                        self.show(core, core.close(|_| ()).1.message());
                    }
                    return next;
                }
                Waited::Ready(None) | Waited::TimedOut | Waited::Interrupted(_) => {}
            }
            now = core.now();
            trace!(doing("clock"));
        }
    }

    /// Reports without asking. If that has woken the pusher, it goes first: on one processor it would wait until this
    /// thread has nothing to do.
    fn report(&self, core: &Core<L>, report: impl FnOnce(&mut State<L>, Time) -> Effects<L::Entry>) {
        let now = core.now();
        let ((after, woken), wakers) = core.state.change_quietly(|state| {
            let (after, topics) = self.transition(state, report, now);
            ((after, topics), topics)
        });
        self.finish(core, after, wakers);
        trace!(emit());
        // Mutants `replace & with`, `replace != with ==`: it is a matter of time alone.
        if woken & only(topic::PUSHER) != 0 {
            yield_now();
        }
    }

    /// Does what is left once the lock has been given up. A panic is shown as this direction's last error, and changes
    /// nothing else.
    fn finish(&self, core: &Core<L>, after: AfterUnlock, wakers: Wakers) {
        self.show(core, core.finish(after, wakers).message());
    }

    fn show(&self, core: &Core<L>, panicked: Option<String>) {
        if let Some(message) = panicked {
            let now = core.now();
            core.state.look(|state| state.panicked(self.direction, format!("a waker or a drop: {message}"), now));
        }
    }

    /// A report under the lock. A panic of the log's is this party's failure.
    fn transition(
        &self,
        state: &mut State<L>,
        report: impl FnOnce(&mut State<L>, Time) -> Effects<L::Entry>,
        now: Time,
    ) -> (AfterUnlock, Topics) {
        let fail = |state: &mut State<L>, message: &str| {
            self.fail(state, message, now);
            if self.direction == Direction::Pull {
                // The call that gives out its pages need not go on.
                state.interrupt(Direction::Pull, Cause::Restart);
            }
        };
        let (_reported, after, topics) = state.transition(|state| ((), report(state, now)), fail, || now);
        (after, topics)
    }

    fn fail(&self, state: &mut State<L>, message: &str, now: Time) {
        let failure = state.panicked(self.direction, format!("the log: {message}"), now);
        (self.fail)(&mut state.protocol, failure);
    }
}

impl<L: Log> State<L> {
    /// User code has panicked, as this direction's last error shows from now on.
    fn panicked(&mut self, direction: Direction, message: String, now: Time) -> Failure {
        let failure = Failure::Panicked { message };
        self.went_wrong(direction, failure.clone().into(), now);
        failure
    }

    /// A call has failed: as shown from now on, if it is one to be `told` of.
    fn call_failed(&mut self, direction: Direction, error: SharedError, told: bool, now: Time) {
        if told {
            self.went_wrong(direction, error, now);
        } else {
            self.after.discard(error);
        }
    }

    /// A call begins.
    fn begins(&mut self, direction: Direction, now: Time) -> Begun {
        let interrupt = Interrupt::new();
        self.calls[direction as usize] = Some(Call { interrupt: interrupt.clone(), since: now });
        Begun { interrupt, replaced: self.replaced }
    }
}

fn nothing<L: Log>(_: &mut State<L>, _: Time) -> Effects<L::Entry> {
    Effects::default()
}

/// What came of a call, or what a panic in it said; and the error for those who look.
fn called<T: Clone + std::error::Error + Send + Sync + 'static>(
    what: &str,
    outcome: Result<Result<(), T>, Payload>,
) -> (Result<Result<(), T>, String>, Option<SharedError>) {
    match outcome {
        Ok(outcome) => {
            let error = outcome.as_ref().err().cloned().map(SharedError::from);
            (Ok(outcome), error)
        }
        Err(payload) => {
            let message = format!("{what}: {}", panic_message(payload));
            let error = Failure::Panicked { message: message.clone() }.into();
            (Err(message), Some(error))
        }
    }
}

/// The pusher.
pub(super) fn push<L: Log, U: Upstream<L>>(core: &Core<L>, upstream: &U) -> Result<(), Infallible> {
    let party = Party { direction: Direction::Push, tick: Protocol::tick, fail: Protocol::push_unsent };
    let ask = |state: &mut State<L>, now| match state.protocol.next_push(now) {
        NextPush::Send(batch) => {
            trace!(push_batch(&mut state.traced, &state.protocol, &batch));
            Next::Do((batch, state.begins(Direction::Push, now)))
        }
        NextPush::Wait(until) => Next::Wait(until),
        NextPush::Stop => {
            trace!(stop(&mut state.traced, &state.protocol));
            Next::Stop
        }
    };
    note!(is("pusher"));
    let starts = |state: &mut State<L>, now| {
        trace!(start(&state.traced, &state.protocol));
        nothing(state, now)
    };
    let mut next = party.next(core, starts, ask);
    while let Some((batch, Begun { interrupt, replaced })) = next {
        let (outcome, error) = called("Upstream::push", contain(|| upstream.push(&batch, &interrupt)));
        next = party.next(core, |state, now| push_ended(state, batch, replaced, outcome, error, now), ask);
        let _contained = contain(|| drop(interrupt));
    }
    Ok(())
}

fn push_ended<L: Log>(
    state: &mut State<L>,
    batch: Batch<L>,
    replaced: u64,
    outcome: Result<Result<(), PushError<L::Position>>, String>,
    error: Option<SharedError>,
    now: Time,
) -> Effects<L::Entry> {
    trace!(doing("push"));
    note!(answers(batch.ticket, &outcome));
    state.calls[Direction::Push as usize] = None;
    let present = state.replaced == replaced;
    if let Some(error) = error {
        trace!(push_error(&state.traced, &state.protocol, &batch, error.clone()));
        state.call_failed(Direction::Push, error, present, now);
    }
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(message) => return state.protocol.push_panicked(batch, Failure::Panicked { message }),
    };
    let taken = outcome.is_ok();
    match state.protocol.push_ended(batch, outcome, random(), now) {
        Ok(effects) => {
            if taken && present {
                state.went_well(Direction::Push);
            }
            effects
        }
        Err(refused) => {
            state.went_wrong(Direction::Push, refused.error, now);
            refused.effects
        }
    }
}

/// The puller.
pub(super) fn pull<L: Log, U: Upstream<L>>(core: &Core<L>, upstream: &U) -> Result<(), Infallible> {
    let party = Party { direction: Direction::Pull, tick: |_, _| Effects::default(), fail: Protocol::pull_failed };
    let ask = |state: &mut State<L>, now| match state.protocol.next_pull(now) {
        NextPull::Pull { ticket, cursor } => Next::Do((ticket, cursor, state.begins(Direction::Pull, now))),
        NextPull::Wait(until) => Next::Wait(until),
        NextPull::Stop => Next::Stop,
    };
    note!(is("puller"));
    let mut next = party.next(core, nothing, ask);
    while let Some((ticket, cursor, Begun { interrupt, .. })) = next {
        let outcome = contain(|| {
            let asked = || PullError::Unavailable { retry_after: None, error: "the pull was asked to end".into() };
            for page in upstream.pull(cursor, &interrupt) {
                let page = page?;
                party.report(core, |state, now| page_pulled(state, ticket, page, now));
                if interrupt.is_set() {
                    return Err(asked());
                }
            }
            if interrupt.is_set() { Err(asked()) } else { Ok(()) }
        });
        let (outcome, error) = called("Upstream::pull", outcome);
        next = party.next(core, |state, now| pull_ended(state, ticket, outcome, error, now), ask);
        let _contained = contain(|| drop(interrupt));
    }
    Ok(())
}

fn page_pulled<L: Log>(state: &mut State<L>, ticket: u64, page: Page<L::Entry>, now: Time) -> Effects<L::Entry> {
    trace!(doing("catch-up"));
    note!(say(format_args!("a page of {}", page.entries.len())));
    let present = state.protocol.is_pulling(ticket);
    match state.protocol.page_pulled(ticket, page, random(), now) {
        Ok(effects) => {
            if present {
                state.went_well(Direction::Pull);
            }
            effects
        }
        Err(refused) => {
            state.went_wrong(Direction::Pull, refused.error, now);
            refused.effects
        }
    }
}

fn pull_ended<L: Log>(
    state: &mut State<L>,
    ticket: u64,
    outcome: Result<Result<(), PullError>, String>,
    error: Option<SharedError>,
    now: Time,
) -> Effects<L::Entry> {
    trace!(doing("catch-up"));
    note!(say(format_args!("pull {ticket} is over")));
    state.calls[Direction::Pull as usize] = None;
    let present = state.protocol.is_pulling(ticket);
    if let Some(error) = error {
        // It was asked to end: that it did is no news.
        let asked = matches!(state.protocol.pull(), Pull::Pulling { ending: true, .. });
        let told = present && !(asked && matches!(outcome, Ok(Err(PullError::Unavailable { .. }))));
        state.call_failed(Direction::Pull, error, told, now);
    }
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(message) => {
            state.protocol.pull_panicked(ticket, Failure::Panicked { message });
            return Effects::default();
        }
    };
    if present && outcome.is_ok() {
        state.went_well(Direction::Pull);
    }
    state.protocol.pull_ended(ticket, outcome, random(), now)
}
