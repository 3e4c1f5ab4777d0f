//! What the two workers do: report and ask in one critical section, call upstream without the lock.
//!
//! A worker ends when it is told to stop, and for nothing else: all that is the user's is contained.
//!
//! Each is a [`Worker`](crate::Worker) that runs once. Its runs and restarts are of no use here; how
//! it ends is. Dropping it waits for the thread, but not on that thread itself, where a waker or an
//! upstream may drop the last handle; and a drop of the upstream that panics stays in the thread.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::mem::take;
use std::task::Waker;

use super::after::AfterUnlock;
use super::core::{Call, Core, State};
use super::told::{only, topic, topic_of};
use super::upstream::Upstream;
use super::upstream::call::cut_short;
use crate::SharedError;
use crate::log::{Log, Merged};
use crate::platform::event::Input;
use crate::platform::{Instant, catch_panic, probe, random, yield_now};
use crate::primitives::interrupt::{Cause, Interrupt};
use crate::primitives::monitor::Topics;
use crate::primitives::panics::{Payload, panic_message};
use crate::primitives::wait_queue::Place;
use crate::protocol::{
    Batch, Direction, Effects, Failure, Next, Page, Protocol, Pull, PullError, PushError, Time, WaitingOn,
};

/// A call to upstream.
pub(super) struct Begun {
    pub interrupt: Interrupt,
    /// How many logs there were before the one that it belongs to.
    pub replaced: u64,
}

/// A party.
pub(super) struct Party<'a, L: Log, D> {
    core: &'a Core<L>,
    does: PhantomData<fn() -> D>,
}

/// What a party asks of the protocol, and how it fails.
pub(super) trait Does<L: Log> {
    type Call;

    const DIRECTION: Direction;

    /// What it is to do now.
    fn begins(state: &mut State<L>, now: Time) -> Next<Self::Call>;

    /// A time has come that it was told to wait for.
    fn tick(protocol: &mut Protocol<L>, now: Time) -> Effects<L::Entry>;

    /// The log panicked under it.
    fn fail(protocol: &mut Protocol<L>, failure: Failure);
}

pub(super) enum Pushes {}

impl<L: Log> Does<L> for Pushes {
    type Call = Batch<L>;

    const DIRECTION: Direction = Direction::Push;

    fn begins(state: &mut State<L>, now: Time) -> Next<Batch<L>> {
        state.protocol.push_begins(now, |most| state.tickets.cut(most))
    }

    fn tick(protocol: &mut Protocol<L>, now: Time) -> Effects<L::Entry> {
        protocol.tick(now)
    }

    fn fail(protocol: &mut Protocol<L>, failure: Failure) {
        protocol.push_unsent(failure);
    }
}

pub(super) enum Pulls {}

impl<L: Log> Does<L> for Pulls {
    type Call = (u64, L::Position);

    const DIRECTION: Direction = Direction::Pull;

    fn begins(state: &mut State<L>, now: Time) -> Next<(u64, L::Position)> {
        state.protocol.next_pull(now)
    }

    fn tick(_: &mut Protocol<L>, _: Time) -> Effects<L::Entry> {
        Effects::default()
    }

    fn fail(protocol: &mut Protocol<L>, failure: Failure) {
        protocol.pull_failed(failure);
    }
}

impl<'a, L: Log, D> Party<'a, L, D> {
    pub(super) fn new(core: &'a Core<L>) -> Self {
        Self { core, does: PhantomData }
    }
}

impl<L: Log, D: Does<L>> Party<'_, L, D> {
    /// Reports what came of the last call, then blocks until there is something to do, and begins it; `None` once there
    /// will be nothing any more.
    fn next(
        &self,
        input: Input,
        report: impl FnOnce(&mut State<L>, Time) -> Result<(), String>,
    ) -> Option<(D::Call, Begun)> {
        let core = self.core;
        let mut now = core.now();
        let mut state = core.state.lock();
        let mut topics = self.transition(&mut state, input, report, now);
        loop {
            let mut after = state.leaves(topics);
            // Others wait for that. What can wait waits until the lock has been given up for something else.
            if after.as_ref().is_some_and(AfterUnlock::is_urgent) {
                drop(state);
                self.finish(take(&mut after));
                state = core.state.lock();
            }
            let (mut passed, mut call) = (false, None);
            let next = loop {
                let (next, topics) = state.look(|state| self.look(state, &mut call, now));
                if let Some(more) = state.looked(topics) {
                    after.get_or_insert_default().append(more);
                }
                match next {
                    // It looks again: what they do may change what it was told.
                    Next::Wait { .. } if after.as_ref().is_some_and(AfterUnlock::is_urgent) => {
                        drop(state);
                        self.finish(take(&mut after));
                        state = core.state.lock();
                    }
                    Next::Wait { until } if !passed => {
                        let deadline = until.and_then(|time| core.instant(time));
                        (state, passed) = state.wait(topic_of(D::DIRECTION), deadline);
                    }
                    next => break next,
                }
            };
            let last = matches!(next, Next::Stop) && state.ends(D::DIRECTION.into());
            drop(state);
            self.finish(after);
            if last {
                self.show(core.close(|_| ()).1.message());
            }
            match next {
                Next::Do(()) => return call,
                Next::Stop => return None,
                Next::Wait { .. } => {}
            }
            now = core.now();
            state = core.state.lock();
            topics = self.transition(&mut state, Input::Clock, |state, now| self.tick(state, now), now);
        }
    }

    /// Looks, for a task, once its time has come if it `ticks`. If there is nothing to do it leaves the waker in the queue, in
    /// the same critical section. Whether a `call` has begun, or for what it waits; and since when.
    pub(super) fn poll(
        &self,
        ticks: bool,
        place: &mut Option<Place>,
        waker: &Waker,
        call: &mut Option<(D::Call, Begun)>,
    ) -> (Next<()>, Time) {
        let core = self.core;
        let now = core.now();
        // No waker is cloned or dropped under the lock: it is user code.
        let mut waker = Some(waker.clone());
        let mut state = core.state.lock();
        let ticked = ticks.then(|| self.transition(&mut state, Input::Clock, |state, now| self.tick(state, now), now));
        let (next, topics) = state.look(|state| self.look(state, call, now));
        let after = match ticked {
            Some(ticked) => state.leaves(ticked | topics),
            None => state.looked(topics),
        };
        let joins = if let Next::Wait { .. } = next { waker.take() } else { None };
        let former = state.join_or_leave(topic_of(D::DIRECTION), place, joins);
        let last = matches!(next, Next::Stop) && state.ends(D::DIRECTION.into());
        drop(state);
        self.finish(after);
        if last {
            self.show(core.close(|_| ()).1.message());
        }
        drop((former, waker));
        (next, now)
    }

    /// Begins the `call` that is to be made, or notes what is to be waited for; and who is to be woken for that.
    fn look(&self, state: &mut State<L>, call: &mut Option<(D::Call, Begun)>, now: Time) -> (Next<()>, Topics) {
        let next = self.begin(state, &mut None, call, now);
        let topics = state.record_wait(D::DIRECTION, told(next), matches!(next, Next::Do(())), now);
        (next, topics)
    }

    /// Begins the `call` that is to be made; with the interrupt of the one before, if that is as good as new.
    #[inline]
    fn begin(
        &self,
        state: &mut State<L>,
        former: &mut Option<Interrupt>,
        call: &mut Option<(D::Call, Begun)>,
        now: Time,
    ) -> Next<()> {
        let begun = state.catch_panic(|state| {
            D::begins(state, now).map(|what| {
                *call = Some((what, state.begins(D::DIRECTION, former, self.core.deadline(D::DIRECTION), now)));
            })
        });
        begun.unwrap_or_else(|message| {
            self.fail(state, &message, now);
            Next::Wait { until: None }
        })
    }

    /// Reports, and looks in the same critical section whether there is more to do at once: what no other party sees in
    /// between is not published. What has begun. It takes the `interrupt` of the call that has ended if the next can have it.
    pub(super) fn report_and_look(
        &self,
        input: Input,
        interrupt: &mut Option<Interrupt>,
        report: impl FnOnce(&mut State<L>, Time) -> Result<(), String>,
    ) -> Option<(D::Call, Begun)> {
        let now = self.core.now();
        let mut call = None;
        let mut state = self.core.state.lock();
        let (_reported, settled) = state.step(input, |state| report(state, now), self.failing(now));
        // If none begins it is not told for what it waits, for it does not wait yet.
        let next = state.look(|state| self.begin(state, interrupt, &mut call, now));
        let topics = settled | state.publish_look(D::DIRECTION, told(next), now);
        let after = state.leaves(topics);
        drop(state);
        self.finish(after);
        call
    }

    /// Reports without asking. Who was woken.
    pub(super) fn report(
        &self,
        input: Input,
        report: impl FnOnce(&mut State<L>, Time) -> Result<(), String>,
    ) -> Topics {
        self.report_at(self.core.now(), input, report)
    }

    /// As [`report`](Self::report), at this time.
    pub(super) fn report_at(
        &self,
        now: Time,
        input: Input,
        report: impl FnOnce(&mut State<L>, Time) -> Result<(), String>,
    ) -> Topics {
        let mut state = self.core.state.lock();
        let topics = self.transition(&mut state, input, report, now);
        let after = state.leaves(topics);
        drop(state);
        self.finish(after);
        topics
    }

    /// Does what is left once the lock has been given up. A panic is shown as this direction's last error, and changes
    /// nothing else.
    #[inline]
    fn finish(&self, after: Option<AfterUnlock>) {
        self.show(self.core.finish(after).message());
    }

    fn show(&self, panicked: Option<String>) {
        if let Some(message) = panicked {
            let now = self.core.now_or_last();
            let mut state = self.core.state.lock();
            state.panicked(D::DIRECTION, format!("a waker or a drop: {message}"), now);
            let topics = state.changed();
            let after = state.leaves(topics);
            drop(state);
            // One that panics as it is told of a panic is not told of that, too.
            self.core.finish(after).message();
        }
    }

    /// A time has come that it was told to wait for.
    fn tick(&self, state: &mut State<L>, now: Time) -> Result<(), String> {
        let mut effects = D::tick(&mut state.protocol, now);
        state.carry_out(&mut effects)
    }

    /// A report under the lock. A panic of the log's is this party's failure.
    fn transition(
        &self,
        state: &mut State<L>,
        input: Input,
        report: impl FnOnce(&mut State<L>, Time) -> Result<(), String>,
        now: Time,
    ) -> Topics {
        let (_reported, topics) = state.transition(input, |state| report(state, now), self.failing(now), || now);
        topics
    }

    /// What is done about a panic of the log's in a report.
    fn failing(&self, now: Time) -> impl FnOnce(&mut State<L>, &str) {
        move |state, message| {
            self.fail(state, message, now);
            if D::DIRECTION == Direction::Pull {
                // The call that gives out its pages need not go on.
                state.interrupt(Direction::Pull, Cause::Restart);
            }
        }
    }

    fn fail(&self, state: &mut State<L>, message: &str, now: Time) {
        let failure = state.panicked(D::DIRECTION, format!("the log: {message}"), now);
        D::fail(&mut state.protocol, failure);
    }
}

/// What a party is told that has looked. Having begun something, it waits for nothing: it looks again.
fn told(next: Next<()>) -> Next<()> {
    if let Next::Do(()) = next { Next::Wait { until: None } } else { next }
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

    /// A call begins, with the interrupt of the one before if that is as good as new.
    fn begins(
        &mut self,
        direction: Direction,
        former: &mut Option<Interrupt>,
        deadline: Option<Instant>,
        now: Time,
    ) -> Begun {
        if matches!(self.waiting_on.0, WaitingOn::Upstream(owes) if owes == direction) {
            // The answer to the call before this one has just come.
            self.waiting_on.1 = now.max(self.waiting_on.1);
        }
        let interrupt = former
            .take_if(|former| former.is_as_new())
            .unwrap_or_else(|| deadline.map_or_else(Interrupt::new, Interrupt::with_deadline));
        self.calls[direction as usize] = Some(Call { interrupt: interrupt.clone(), since: now });
        Begun { interrupt, replaced: self.replaced }
    }
}

pub(super) fn nothing<L: Log>(_: &mut State<L>, _: Time) -> Result<(), String> {
    Ok(())
}

/// A call that has not simply ended well.
pub(super) struct Unsuccessful<T> {
    /// What came of it, or what a panic in it said.
    pub outcome: Result<T, String>,
    /// The error for those who look.
    error: SharedError,
}

/// What came of a call. Few fail, so that is in a box.
#[inline]
pub(super) fn called<T: Clone + std::error::Error + Send + Sync + 'static>(
    what: &str,
    outcome: Result<Result<(), T>, Payload>,
) -> Result<(), Box<Unsuccessful<T>>> {
    let (outcome, error) = match outcome {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => (Ok(error.clone()), error.into()),
        Err(payload) => {
            let message = format!("{what}: {}", panic_message(payload));
            (Err(message.clone()), Failure::Panicked { message }.into())
        }
    };
    Err(Box::new(Unsuccessful { outcome, error }))
}

/// The pusher.
pub(super) fn push<L: Log, U: Upstream<L>>(core: &Core<L>, upstream: &U) -> Result<(), Infallible> {
    let pusher = Party::<L, Pushes>::new(core);
    let mut next = pusher.next(Input::Pusher, nothing);
    while let Some((batch, Begun { interrupt, replaced })) = next {
        let outcome = called("Upstream::push", catch_panic(|| upstream.push(&batch, &interrupt)));
        next = pusher.next(Input::PushEnded, |state, now| push_ended(state, batch, replaced, outcome, now));
        let _caught = catch_panic(|| drop(interrupt));
    }
    Ok(())
}

#[inline]
pub(super) fn push_ended<L: Log>(
    state: &mut State<L>,
    batch: Batch<L>,
    replaced: u64,
    outcome: Result<(), Box<Unsuccessful<PushError<L::Position>>>>,
    now: Time,
) -> Result<(), String> {
    probe!(state => PushEnded {
        push: batch.ticket(),
        events: batch.entries.len(),
        error: outcome.as_ref().err().map(|unsuccessful| Box::new(unsuccessful.error.clone()) as _),
    });
    state.calls[Direction::Push as usize] = None;
    let (present, taken) = (state.replaced == replaced, outcome.is_ok());
    let mut ended = match outcome {
        // What has been taken is followed by no delay, and leaves nothing to chance.
        Ok(()) => state.protocol.push_ended(batch, Ok(()), 0, now),
        Err(unsuccessful) => {
            let Unsuccessful { outcome, error } = *unsuccessful;
            state.call_failed(Direction::Push, error, present, now);
            match outcome {
                Ok(error) => state.protocol.push_ended(batch, Err(error), random(), now),
                Err(message) => {
                    let mut effects = state.protocol.push_panicked(batch, Failure::Panicked { message });
                    return state.carry_out(&mut effects);
                }
            }
        }
    };
    // Where it stands: each move would be a copy of what has just been written, for which the processor has to wait.
    match &mut ended {
        Ok(effects) => {
            if taken && present {
                state.went_well(Direction::Push);
            }
            state.decides_by_itself(effects);
            let carried_out = state.carry_out(effects);
            // Its entries are of no use now, and dropping them runs no user code.
            if let Some(Merged::Advance { confirmed, .. }) = effects.merged.take() {
                state.protocol.reuse(confirmed);
            }
            carried_out
        }
        Err(refused) => {
            state.went_wrong(Direction::Push, refused.error.clone(), now);
            state.carry_out(&mut refused.effects)
        }
    }
}

/// The puller.
pub(super) fn pull<L: Log, U: Upstream<L>>(core: &Core<L>, upstream: &U) -> Result<(), Infallible> {
    let puller = Party::<L, Pulls>::new(core);
    let mut next = puller.next(Input::Puller, nothing);
    while let Some(((ticket, cursor), Begun { interrupt, .. })) = next {
        let outcome = catch_panic(|| {
            for page in upstream.pull(cursor, &interrupt) {
                let page = page?;
                let brings = Input::Page(page.entries.len());
                let woken = puller.report(brings, |state, now| page_pulled(state, ticket, page, now));
                // On one processor the pusher would wait until this thread has nothing to do.
                // Mutants `replace & with`, `replace != with ==`: it is a matter of time alone.
                if woken & only(topic::PUSHER) != 0 {
                    yield_now();
                }
                if let Some(cause) = interrupt.cause() {
                    return Err(cut_short(cause));
                }
                if let Some(deadline) = core.deadline(Direction::Pull) {
                    interrupt.defer(deadline);
                }
            }
            interrupt.cause().map_or(Ok(()), |cause| Err(cut_short(cause)))
        });
        let outcome = called("Upstream::pull", outcome);
        next = puller.next(Input::PullEnded(ticket), |state, now| pull_ended(state, ticket, outcome, now));
        let _caught = catch_panic(|| drop(interrupt));
    }
    Ok(())
}

pub(super) fn page_pulled<L: Log>(
    state: &mut State<L>,
    ticket: u64,
    page: Page<L::Entry>,
    now: Time,
) -> Result<(), String> {
    let present = state.protocol.is_pulling(ticket);
    match &mut state.protocol.page_pulled(ticket, page, random(), now) {
        Ok(effects) => {
            if present {
                state.went_well(Direction::Pull);
            }
            state.carry_out(effects)
        }
        Err(refused) => {
            state.went_wrong(Direction::Pull, refused.error.clone(), now);
            state.carry_out(&mut refused.effects)
        }
    }
}

pub(super) fn pull_ended<L: Log>(
    state: &mut State<L>,
    ticket: u64,
    outcome: Result<(), Box<Unsuccessful<PullError>>>,
    now: Time,
) -> Result<(), String> {
    state.calls[Direction::Pull as usize] = None;
    let present = state.protocol.is_pulling(ticket);
    let outcome = match outcome {
        Ok(()) => {
            if present {
                state.went_well(Direction::Pull);
            }
            Ok(())
        }
        Err(unsuccessful) => {
            let Unsuccessful { outcome, error } = *unsuccessful;
            // It was asked to end: that it did is no news.
            let asked = matches!(state.protocol.pull(), Pull::Pulling { ending: true, .. });
            let told = present && !(asked && matches!(outcome, Ok(PullError::Unavailable { .. })));
            state.call_failed(Direction::Pull, error, told, now);
            match outcome {
                Ok(error) => Err(error),
                Err(message) => {
                    state.protocol.pull_panicked(ticket, Failure::Panicked { message });
                    return Ok(());
                }
            }
        }
    };
    let mut effects = state.protocol.pull_ended(ticket, outcome, random(), now);
    state.carry_out(&mut effects)
}
