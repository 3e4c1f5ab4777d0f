//! What the two workers do: ask the protocol, call upstream without the lock, report.

use std::convert::Infallible;

use super::core::{Core, State, panic_message, topic};
use crate::interrupt::Interrupt;
use crate::known_bugs::bug;
use crate::log::Log;
use crate::protocol::{Effects, Failure, NextPull, NextPush, Protocol, Pull, Time};
use crate::sync::{contain, random};
use crate::upstream::{Batch, PullError, PushError, Upstream};
use crate::wait::Waited;
use crate::worker::Run;

/// What a party is to do, and with which interrupt to call.
enum Next<T> {
    Do(T, Interrupt),
    Wait(Option<Time>),
    Stop,
}

/// Blocks until there is something to do; `None` once there will be nothing any more. `tick` is called when a time has
/// come that `ask` named.
fn next<L: Log, T>(
    core: &Core<L>,
    topic: usize,
    mut ask: impl FnMut(&mut State<L>) -> Next<T>,
    mut tick: impl FnMut(&mut Protocol<L>, Time) -> Effects<L::Entry>,
) -> Option<(T, Interrupt)> {
    let mut until = None;
    loop {
        let look = |state: &mut State<L>| {
            let next = ask(state);
            state.looked(topic, || core.now());
            let known = matches!(next, Next::Wait(time) if time == until);
            (!known).then_some(next)
        };
        let deadline = until.and_then(|time| core.instant(time));
        match core.state.block(topic, deadline, look) {
            Waited::Ready(Next::Do(what, interrupt)) => return Some((what, interrupt)),
            Waited::Ready(Next::Wait(time)) => until = time,
            Waited::Ready(Next::Stop) => return None,
            Waited::TimedOut | Waited::Interrupted(_) => {
                let now = core.now();
                let _panicked = core.apply(|state| ((), tick(&mut state.protocol, now)));
            }
        }
    }
}

/// The pusher.
pub(super) fn push<L, U>(core: &Core<L>, upstream: &U, run: &Run) -> Result<(), Infallible>
where
    L: Log,
    U: Upstream<L>,
{
    // Making a batch calls the log. If that panics, there is no call to report: the failure is noted here.
    let ask = |state: &mut State<L>| match contain(|| state.protocol.next_push(core.now())).map_err(panic_message) {
        Ok(NextPush::Send(batch)) => {
            let interrupt = run.interrupt().child();
            state.calls.push = Some(interrupt.clone());
            Next::Do(batch, interrupt)
        }
        Ok(NextPush::Wait(until)) => Next::Wait(until),
        Ok(NextPush::Stop) => Next::Stop,
        Err(message) => {
            let failure = Failure::Panicked { message: format!("the log: {message}") };
            state.last_error = Some(failure.to_string());
            state.protocol.push_unsent(failure);
            Next::Wait(None)
        }
    };
    while let Some((batch, interrupt)) = next(core, topic::PUSHER, ask, Protocol::tick) {
        let outcome = contain(|| upstream.push(&batch, &interrupt)).map_err(panic_message);
        if bug!(SilentExit) && matches!(outcome, Ok(Err(PushError::Fatal { .. }))) {
            return Ok(());
        }
        core.apply_or_fail("the log", Protocol::push_failed, |state| {
            state.calls.push = None;
            ((), push_ended(state, batch, outcome, core.now()))
        });
    }
    Ok(())
}

fn push_ended<L: Log>(
    state: &mut State<L>,
    batch: Batch<L>,
    outcome: Result<Result<(), PushError<L::Position>>, String>,
    now: Time,
) -> Effects<L::Entry> {
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(message) => {
            let failure = Failure::Panicked { message: format!("Upstream::push: {message}") };
            state.last_error = Some(failure.to_string());
            state.protocol.push_failed(failure);
            return Effects::default();
        }
    };
    if let Err(error) = &outcome {
        state.last_error = Some(error.to_string());
    }
    state.protocol.push_ended(batch, outcome, random(), now).unwrap_or_else(|error| {
        state.last_error = Some(error.to_string());
        Effects::default()
    })
}

/// The puller.
pub(super) fn pull<L, U>(core: &Core<L>, upstream: &U, run: &Run) -> Result<(), Infallible>
where
    L: Log,
    U: Upstream<L>,
{
    let ask = |state: &mut State<L>| match state.protocol.next_pull(core.now()) {
        NextPull::Pull { ticket, cursor } => {
            let interrupt = run.interrupt().child();
            state.calls.pull = Some(interrupt.clone());
            Next::Do((ticket, cursor), interrupt)
        }
        NextPull::Wait(until) => Next::Wait(until),
        NextPull::Stop => Next::Stop,
    };
    let no_tick = |_: &mut Protocol<L>, _| Effects::default();
    while let Some(((ticket, cursor), interrupt)) = next(core, topic::PULLER, ask, no_tick) {
        let outcome = contain(|| pull_pages(core, upstream, ticket, cursor, &interrupt)).map_err(panic_message);
        core.apply_or_fail("the log", Protocol::pull_failed, |state| {
            state.calls.pull = None;
            pull_ended(state, ticket, outcome, core.now());
            ((), Effects::default())
        });
    }
    Ok(())
}

/// One pull, from its first page to its end.
fn pull_pages<L, U>(
    core: &Core<L>,
    upstream: &U,
    ticket: u64,
    cursor: L::Position,
    interrupt: &Interrupt,
) -> Result<(), PullError>
where
    L: Log,
    U: Upstream<L>,
{
    for page in upstream.pull(cursor, interrupt) {
        let page = page?;
        let go_on = core.apply_or_fail("the log", Protocol::pull_failed, |state| {
            let effects = state.protocol.page_pulled(ticket, page, random(), core.now()).unwrap_or_else(|error| {
                state.last_error = Some(error.to_string());
                Effects::default()
            });
            (state.protocol.is_pulling(ticket), effects)
        });
        if !go_on || interrupt.is_set() {
            return Err(PullError::Unavailable { retry_after: None, error: "the pull was asked to end".into() });
        }
    }
    if interrupt.is_set() {
        return Err(PullError::Unavailable { retry_after: None, error: "the pull was asked to end".into() });
    }
    Ok(())
}

fn pull_ended<L: Log>(state: &mut State<L>, ticket: u64, outcome: Result<Result<(), PullError>, String>, now: Time) {
    if !state.protocol.is_pulling(ticket) {
        return;
    }
    match outcome {
        Ok(outcome) => {
            let asked = matches!(state.protocol.pull(), Pull::Pulling { ending: true, .. });
            if let Some(error) = outcome.as_ref().err().filter(|_| !asked && !state.protocol.is_stopped()) {
                state.last_error = Some(error.to_string());
            }
            state.protocol.pull_ended(ticket, outcome, random(), now);
        }
        Err(message) => {
            let failure = Failure::Panicked { message: format!("Upstream::pull: {message}") };
            state.last_error = Some(failure.to_string());
            state.protocol.pull_failed(failure);
        }
    }
}
