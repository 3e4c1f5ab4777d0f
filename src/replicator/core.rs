//! What the handle and the two workers share: one lock, and one place that publishes.
//!
//! Every transition goes through [`State::transition`]. It changes the protocol under the lock and carries out what
//! followed under the same lock: tickets, updates, calls to interrupt. At its end it **publishes**: compares what each
//! party would be woken for with what it was told last, and wakes those for whom it differs. What wakes tasks, interrupts
//! calls or drops what is the user's is done [after the lock](AfterUnlock) has been given up, all of it, whatever panics:
//! the caller of a method of the handle gets the first panic, and a worker's thread shows it as its direction's last
//! error and goes on.
//!
//! The log's methods are user code too, and run under the lock: each call of one through
//! [`State::catch_panic`]. Who called is told of a panic, what remains to be done is done without
//! what the log would have said, and the state stays usable.

use std::mem::{replace, take};
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::time::Duration;

use super::after::AfterUnlock;
use super::choices::OnRejected;
use super::journal::AnyJournal;
use super::sessions::Sessions;
use super::ticket::Tickets;
use super::told::{Told, only, topic};
#[cfg(feature = "tracing")]
use super::trace::{self, Traced};
use super::update::{RecvError, Subscribers, Update};
use crate::SharedError;
use crate::log::{Log, Merged};
#[cfg(feature = "tracing")]
use crate::platform::event::Event;
use crate::platform::event::{Input, Shown};
use crate::platform::{Arc, Instant, catch_panic, probe};
use crate::primitives::interrupt::{Cause, Interrupt};
use crate::primitives::monitor::{Locked, Monitor, Topics, Wakers};
use crate::primitives::panics::{FirstPanic, message, panic_message};
use crate::primitives::wait::deadline;
use crate::protocol::{Direction, Effects, Failure, Next, Protocol, Spent, Time, WaitingOn};

pub(super) struct Core<L: Log> {
    pub state: Monitor<State<L>, { topic::COUNT }>,
    pub limits: Limits,
    clock: Clock,
    pub name: Option<Arc<str>>,
}

pub(super) struct State<L: Log> {
    pub protocol: Protocol<L>,
    pub tickets: Tickets<L::Position>,
    pub subscribers: Subscribers<L::Entry, L::Position>,
    pub on_rejected: OnRejected,
    /// The calls that are going on.
    pub calls: [Option<Call>; 2],
    /// The last error of each direction, and when, since its last success.
    errors: [Option<Box<(SharedError, Time)>>; 2],
    /// How many logs there were before the present one. What comes of a call that began with another is not the present
    /// one's.
    pub replaced: u64,
    /// What the present step gives up, if it does: few do, so it is in a box.
    pub gives_up: Option<Box<GivesUp<L::Entry>>>,
    told: Told,
    /// What the writer would be told, as of the last transition: it is woken if that has changed, as [`Told`] has it. All its
    /// looks are transitions.
    told_writer: Next<()>,
    /// If there is a journal.
    pub writes: Option<Box<Writes<L>>>,
    /// Since when the owner is waited for, for each kind of thing that [only the owner can end](Protocol::undecided); `None`
    /// until there is one, since there may be very many replicators.
    pub undecided: Option<Box<[Option<Time>; 6]>>,
    /// What is kept for sessions, if it is their [leader](super::leader).
    pub sessions: Option<Box<Sessions<L>>>,
    /// Who owes the next move, and since when.
    pub waiting_on: (WaitingOn, Time),
    /// Counts the changes that a status may show.
    pub revision: u64,
    /// Whether there may be waiters for one that have found none.
    watched: bool,
    /// Whether it has come, since the waiters for commits were last woken, to be the owner who owes the next move.
    halted: bool,
    /// Which of the [parties](Role) have ended. A writer that there is none of has.
    ended: [bool; 3],
    settling: Settling,
    /// What the thread that ends the present step has to do once it has given up the lock.
    pub after: AfterUnlock,
    #[cfg(feature = "tracing")]
    pub traced: Traced,
}

/// How its changes are written.
pub(super) struct Writes<L: Log> {
    /// The journal for threads, unless it is writing, or has ended.
    pub journal: Option<Box<dyn AnyJournal<L>>>,
    /// Since when the journal is writing.
    pub writing: Option<Time>,
    /// Since when, or since when at most, there is a change that is not durable.
    pub unwritten_since: Option<Time>,
}

/// Whether commits can settle.
enum Settling {
    /// They can. `awaited` is the first of those that are waited for to settle together with all before them, the last number if
    /// none is; it may be one whose waiter has gone.
    Open { awaited: u64 },
    /// None can any more. `first` is the first one that had not by then.
    Closed { first: u64 },
}

impl Settling {
    /// Nothing is waited for.
    const UNAWAITED: Self = Self::Open { awaited: u64::MAX };
}

/// What a step gives up.
pub(super) struct GivesUp<E> {
    /// What upstream said of it, if that is why.
    pub reason: Option<SharedError>,
    /// What is given up [by itself](super::Builder::on_rejected).
    pub given_up: Vec<E>,
}

impl<E> Default for GivesUp<E> {
    fn default() -> Self {
        Self { reason: None, given_up: Vec::new() }
    }
}

/// Those who drive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Pusher,
    Puller,
    Writer,
}

impl From<Direction> for Role {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Push => Self::Pusher,
            Direction::Pull => Self::Puller,
        }
    }
}

/// What tells the protocol's time.
pub(super) enum Clock {
    /// The time since then.
    Since(Instant),
    /// The same, of a replicator for tasks.
    SinceForTasks(Instant),
    /// What the [timer](super::Timer) of a replicator for tasks says.
    Timer(Box<dyn Fn() -> Time + Send + Sync>),
}

/// What the owner has chosen that is no concern of the protocol's.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// How many events a receiver of updates may leave unread.
    pub max_unread: usize,
    /// How many events may be pending.
    pub max_pending: Option<NonZeroUsize>,
    /// How many changes may be unwritten.
    pub max_unwritten: usize,
    /// Whether a push waits for more events.
    pub lingers: bool,
    /// How long a push may take, and for how long nothing may come of a pull.
    pub deadlines: [Option<Duration>; 2],
    /// What is done about an event that upstream refuses for good.
    pub on_rejected: OnRejected,
}

/// A call to upstream.
pub(super) struct Call {
    pub interrupt: Interrupt,
    /// When it began.
    pub since: Time,
}

impl<L: Log> Core<L> {
    pub(super) fn new(
        protocol: Protocol<L>,
        name: Option<Arc<str>>,
        limits: Limits,
        clock: Clock,
        journal: Option<Box<dyn AnyJournal<L>>>,
    ) -> Self {
        let has_journal = protocol.settings().journal.is_some();
        let state = State {
            tickets: Tickets::new(protocol.log().pending(), has_journal),
            told: Told::new(protocol.push_due(), protocol.pull_due()),
            told_writer: protocol.write_due(),
            writes: has_journal.then(|| Box::new(Writes { journal, writing: None, unwritten_since: None })),
            ended: [false, false, !has_journal],
            waiting_on: (protocol.waiting_on(), Time::ZERO),
            protocol,
            subscribers: Subscribers::new(limits.max_unread),
            on_rejected: limits.on_rejected,
            calls: [None, None],
            errors: [None, None],
            replaced: 0,
            gives_up: None,
            undecided: None,
            sessions: None,
            revision: 0,
            watched: false,
            halted: false,
            settling: Settling::UNAWAITED,
            after: AfterUnlock::default(),
            #[cfg(feature = "tracing")]
            traced: Traced::new(name.clone()),
        };
        Self { state: Monitor::new(state, "the replicator:"), limits, clock, name }
    }

    /// The protocol's time now.
    pub(super) fn now(&self) -> Time {
        match &self.clock {
            Clock::Since(origin) | Clock::SinceForTasks(origin) => origin.elapsed(),
            Clock::Timer(now) => now(),
        }
    }

    /// As [`now`](Self::now), for what is to be done whatever happens: if the timer's clock panics, it is the latest time that
    /// is known.
    pub(super) fn now_or_last(&self) -> Time {
        catch_panic(|| self.now()).unwrap_or_else(|payload| {
            drop(panic_message(payload));
            self.state.look(|state| state.waiting_on.1)
        })
    }

    /// Whether a [driver](super::Driver) drives it, and no threads.
    pub(super) fn is_for_tasks(&self) -> bool {
        !matches!(self.clock, Clock::Since(_))
    }

    /// When a call in this direction is interrupted that has just begun, or has shown that it goes on. (A driver drops it.)
    pub(super) fn deadline(&self, direction: Direction) -> Option<Instant> {
        if self.is_for_tasks() {
            return None;
        }
        self.limits.deadlines[direction as usize].and_then(deadline)
    }

    /// The instant of a protocol's time; `None` if no clock can show it.
    pub(super) fn instant(&self, time: Time) -> Option<Instant> {
        match &self.clock {
            Clock::Since(origin) => origin.checked_add(time),
            // No thread waits for it.
            Clock::SinceForTasks(_) | Clock::Timer(_) => None,
        }
    }

    /// A transition: `step` under the lock, then whatever follows from it, then what is left once the lock has been given
    /// up. If `step` panics the panic's message is returned.
    pub(super) fn apply<T>(
        &self,
        input: Input,
        step: impl FnOnce(&mut State<L>) -> (T, Effects<L::Entry>),
    ) -> (Result<T, String>, FirstPanic) {
        self.apply_at(Self::now, input, step)
    }

    /// As [`apply`](Self::apply), with a clock to read.
    pub(super) fn apply_at<T>(
        &self,
        clock: fn(&Self) -> Time,
        input: Input,
        step: impl FnOnce(&mut State<L>) -> (T, Effects<L::Entry>),
    ) -> (Result<T, String>, FirstPanic) {
        // A timer's clock is the user's, and not read under the lock.
        let early = matches!(self.clock, Clock::Timer(_)).then(|| clock(self));
        let now = || early.unwrap_or_else(|| clock(self));
        let mut state = self.state.lock();
        let step = |state: &mut State<L>| {
            let (result, mut effects) = step(state);
            state.carry_out(&mut effects)?;
            Ok(result)
        };
        let (result, topics) = state.transition(input, step, |_, _| (), now);
        let after = state.leaves(topics);
        drop(state);
        (result, self.finish(after))
    }

    /// What the probe tells of once the lock has been given up.
    #[cfg(feature = "tracing")]
    #[expect(clippy::unused_self, clippy::needless_pass_by_value, reason = "the same for each teller")]
    pub(super) fn told(&self, event: Event<'_>) {
        trace::unlocked(&event);
    }

    /// Does what is left once the lock has been given up, all of it.
    #[inline]
    pub(super) fn finish(&self, after: Option<AfterUnlock>) -> FirstPanic {
        self.state.assert_free();
        let panicked = match after {
            Some(after) => after.run(),
            None => FirstPanic::default(),
        };
        probe!(self => Unlocked);
        panicked
    }

    /// Looks at how things stand. A panic of the log's goes on once the lock has been given up. (No lock is given up while a
    /// panic unwinds: a model could not tell it from its own.)
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut State<L>) -> T) -> T {
        self.state.look(|state| catch_panic(|| look(state))).unwrap_or_else(|payload| resume_unwind(payload))
    }

    /// Looks at how things stand and, in the same step, settles everything that has not settled as closed and ends the
    /// updates: nothing can settle any more.
    pub(super) fn close<T>(&self, look: impl FnOnce(&mut State<L>) -> T) -> (T, FirstPanic) {
        let mut state = self.state.lock();
        let result = look(&mut state);
        state.close();
        let topics = state.changed() | only(topic::SETTLED);
        let after = state.leaves(topics);
        drop(state);
        (result, self.finish(after))
    }

    /// The journal cannot go on.
    pub(super) fn journal_failed(&self, failure: Failure) {
        let astray = |state: &mut State<L>| ((), state.protocol.journal_is_astray(failure));
        let (_caught, panicked) = self.apply_at(Self::now_or_last, Input::Written, astray);
        panicked.message();
    }

    /// The log, once this is not shared any more. Everything else is dropped.
    pub(super) fn into_log(self) -> (L, FirstPanic) {
        let State { protocol, after, errors, waiting_on, .. } = self.state.into_inner();
        let mut panicked = after.run();
        panicked.catch(|| drop(errors));
        panicked.catch(|| drop(waiting_on));
        (protocol.into_log(), panicked)
    }
}

impl<L: Log> Locked<'_, State<L>, { topic::COUNT }> {
    /// The lock is about to be given up: wakes who waits for these topics. What is left to do then, if anything is.
    #[must_use = "all of it is to be done"]
    #[inline]
    pub(super) fn leaves(&mut self, topics: Topics) -> Option<AfterUnlock> {
        let mut wakers = Wakers::new();
        self.notify(topics, &mut wakers);
        self.after.wakers.append(&mut wakers);
        self.after.take()
    }

    /// As [`leaves`](Self::leaves), of a look: if there is none to be woken it is not a step of its own.
    #[must_use = "all of it is to be done"]
    pub(super) fn looked(&mut self, topics: Topics) -> Option<AfterUnlock> {
        if topics == 0 { self.after.take() } else { self.leaves(topics) }
    }
}

impl<L: Log> State<L> {
    /// What the probe tells of under the lock. An event that the log panics at is lost.
    #[cfg(feature = "tracing")]
    pub(super) fn told(&mut self, event: Event<'_>) {
        let _caught = self.catch_panic(|state| state.traced.note(&state.protocol, &state.waiting_on.0, event));
    }

    /// The one place through which the log is called. What a panic of its said, if it panicked.
    pub(super) fn catch_panic<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> Result<T, String> {
        catch_panic(|| call(self)).map_err(|payload| {
            let message = message(&*payload);
            self.after.discard(payload);
            message
        })
    }

    /// A step, which [carries out](Self::carry_out) what follows from it, and who is to be woken. If the log panics, `fail` is
    /// told what it said. The clock is read if another party owes the next move then.
    pub(super) fn transition<T>(
        &mut self,
        input: Input,
        step: impl FnOnce(&mut Self) -> Result<T, String>,
        fail: impl FnOnce(&mut Self, &str),
        now: impl Fn() -> Time,
    ) -> (Result<T, String>, Topics) {
        let (result, topics) = self.step(input, step, fail);
        (result, topics | self.publish(now))
    }

    /// The first half of a [transition](Self::transition): it is to be published before the lock is given up. Who is to be woken
    /// whatever that says.
    #[allow(unused_variables, reason = "a normal build tells nothing")]
    pub(super) fn step<T>(
        &mut self,
        input: Input,
        step: impl FnOnce(&mut Self) -> Result<T, String>,
        fail: impl FnOnce(&mut Self, &str),
    ) -> (Result<T, String>, Topics) {
        probe!(self => Given(input));
        let result = self.catch_panic(step).and_then(|result| {
            let result = result?;
            self.attend()?;
            Ok(result)
        });
        if let Err(message) = &result {
            self.realign();
            fail(self, message);
        }
        (result, self.publish_settled())
    }

    /// Wakes those who wait for commits if one of them may have them all. Not whether a ticket was told: events that were pending
    /// from the start have none.
    fn publish_settled(&mut self) -> Topics {
        match self.settling {
            Settling::Open { awaited } if self.tickets.all_settled(awaited) => {
                self.settling = Settling::UNAWAITED;
                only(topic::SETTLED)
            }
            _ => 0,
        }
    }

    /// The thread that calls upstream in this direction need not wait for it.
    pub(super) fn interrupt(&mut self, direction: Direction, cause: Cause) {
        if let Some(call) = &self.calls[direction as usize] {
            self.after.interrupt(&call.interrupt, cause);
        }
    }

    /// Does what follows from an input. What it would drop that is the user's it takes out of there.
    ///
    /// # Errors
    ///
    /// If the log panicked. What it has merged has been merged.
    #[inline]
    pub(super) fn carry_out(&mut self, effects: &mut Effects<L::Entry>) -> Result<(), String> {
        if !effects.spent.is_empty() {
            self.discard_spent(take(&mut effects.spent));
        }
        let interrupts = [(Direction::Push, effects.interrupt_push), (Direction::Pull, effects.interrupt_pull)];
        for (direction, interrupted) in interrupts {
            if interrupted {
                self.interrupt(direction, if self.protocol.is_stopped() { Cause::Stop } else { Cause::Restart });
            }
        }
        let gives_up = self.gives_up.take();
        if effects.merged.is_some() { self.has_merged(&mut effects.merged, gives_up) } else { Ok(()) }
    }

    fn discard_spent(&mut self, spent: Spent<L::Entry>) {
        let (entries, errors) = spent.into_parts();
        if !entries.is_empty() {
            self.after.discard_events::<L::Entry>(entries);
        }
        if !errors.is_empty() {
            self.after.discard(errors);
        }
    }

    /// What follows from a merge.
    ///
    /// # Errors
    ///
    /// As above.
    // Out of the way of the steps that merge nothing.
    #[inline(never)]
    fn has_merged(
        &mut self,
        merges: &mut Option<Merged<L::Entry>>,
        gives_up: Option<Box<GivesUp<L::Entry>>>,
    ) -> Result<(), String> {
        let Some(merged) = merges else { return Ok(()) };
        let GivesUp { reason, given_up } = gives_up.map(|gives_up| *gives_up).unwrap_or_default();
        let settled = self.catch_panic(|state| {
            state.keep_for_sessions(merged);
            probe!(state => Merged {
                rebase: merged.is_rebase(),
                new_and_moved: merged.new_and_moved(),
                confirmed: merged.confirmed().len(),
                dropped: merged.dropped().len(),
            });
            state.tickets.merged(state.protocol.log(), merged, reason.as_ref(), &mut state.after.wakers);
        });
        self.inform(merges, given_up);
        settled?;
        if let Some(Failure::Contract { .. }) = self.protocol.failure() {
            self.realign();
        }
        Ok(())
    }

    /// Sends an update to all receivers.
    fn inform(&mut self, merged: &mut Option<Merged<L::Entry>>, given_up: Vec<L::Entry>) {
        if self.subscribers.is_empty() {
            self.after.take_events::<L::Entry>(merged);
            if !given_up.is_empty() {
                self.after.discard_events::<L::Entry>(given_up);
            }
            return;
        }
        let Some(merged) = merged.take() else { return };
        match self.catch_panic(|state| (state.protocol.log().head(), state.protocol.log().upstream_head())) {
            Ok((head, upstream_head)) => {
                self.subscribers.tell(Update { merged, given_up, head, upstream_head }, &mut self.after);
            }
            // They miss this one.
            Err(_) => {
                self.after.discard_events::<L::Entry>((merged, given_up));
                self.subscribers.end(RecvError::Lagged, &mut self.after);
            }
        }
    }

    /// The worker of this direction has reported and looked in one critical section, and was told what it is to wait for: what
    /// came of both is published. Who is to be woken.
    pub(super) fn publish_look(&mut self, direction: Direction, told: Next<()>, now: Time) -> Topics {
        self.told.record_wait(direction, told);
        let topics = self.publish(|| now);
        probe!(self => DirectionLooked { push: direction == Direction::Push, now });
        topics
    }

    /// The one place that publishes: says who has to be woken.
    fn publish(&mut self, now: impl Fn() -> Time) -> Topics {
        let topics = match self.catch_panic(|state| (state.protocol.push_due(), state.protocol.pull_due())) {
            Ok((push, pull)) => {
                let topics = self.told.publish(push, pull);
                if topics & only(topic::PUSHER) != 0 {
                    probe!(self => WakesPusher);
                }
                topics
            }
            // Both look for themselves.
            Err(_) => only(topic::PUSHER) | only(topic::PULLER),
        };
        let topics = topics | self.publish_to_writer();
        self.note(now);
        topics | self.changed()
    }

    /// Since when the journal is writing.
    pub(super) fn writing(&self) -> Option<Time> {
        self.writes.as_ref()?.writing
    }

    /// What the writer is to do. A driver that was dropped leaves calls behind that never end.
    pub(super) fn write_due(&self) -> Next<()> {
        match self.protocol.write_due() {
            Next::Wait { .. } if self.writing().is_none() && self.ended[..Role::Writer as usize] == [true; 2] => {
                Next::Stop
            }
            due => due,
        }
    }

    /// Whether the writer has to be woken.
    pub(super) fn publish_to_writer(&mut self) -> Topics {
        let due = self.write_due();
        if due.wakes(replace(&mut self.told_writer, due)) { only(topic::WRITER) } else { 0 }
    }

    /// The worker of this direction has looked, may have begun something, and was told what it is to wait for. Who is to be
    /// woken, of those who wait for a change of the status or for commits.
    pub(super) fn record_wait(&mut self, direction: Direction, told: Next<()>, begun: bool, now: Time) -> Topics {
        let news = self.told.record_wait(direction, told);
        let moved = self.note(|| now);
        probe!(self => DirectionLooked { push: direction == Direction::Push, now });
        if begun || news || moved { self.changed() } else { 0 }
    }

    /// A status may show something else. Who is to be woken for that, or since only the owner can go on, or a session can.
    pub(super) fn changed(&mut self) -> Topics {
        self.revision += 1;
        let mut topics = self.publish_to_sessions();
        if take(&mut self.watched) {
            topics |= only(topic::STATUS);
        }
        if take(&mut self.halted) {
            topics |= only(topic::SETTLED);
        }
        topics
    }

    /// Whether a status may show something else than it did in this revision. If not, the caller waits for that.
    pub(super) fn has_changed(&mut self, seen: u64) -> bool {
        self.watched |= self.revision == seen;
        self.revision != seen
    }

    /// Notes who owes the next move, and whether that is another party; since `now`, or since the former note, if that is later (a worker's `now` is when it
    /// began to wait).
    fn note(&mut self, now: impl Fn() -> Time) -> bool {
        // Mostly it is the same: then it stays where it is.
        let other = self.catch_panic(|state| {
            let waiting_on = state.protocol.waiting_on();
            if waiting_on.is_same(&state.waiting_on.0) { None } else { Some(waiting_on) }
        });
        let moved = matches!(other, Ok(Some(_)));
        if let Ok(Some(waiting_on)) = other {
            let since = now().max(self.waiting_on.1);
            let (former, _) = replace(&mut self.waiting_on, (waiting_on, since));
            self.halted = self.waiting_on.0.is_halted();
            self.tickets.halt(self.halted, &mut self.after.wakers);
            probe!(self => Moved);
            if let WaitingOn::Owner(_) = former {
                self.after.discard(former);
            }
        }
        if self.undecided.is_some() || self.protocol.is_undecided() {
            let undecided = self.protocol.undecided();
            for (since, undecided) in self.undecided.get_or_insert_default().iter_mut().zip(undecided) {
                *since = undecided.map(|_| since.unwrap_or_else(&now));
            }
        }
        if let Some(writes) = &mut self.writes {
            let unwritten = self.protocol.unwritten() > 0;
            writes.unwritten_since = unwritten.then(|| writes.unwritten_since.unwrap_or_else(&now));
        }
        moved
    }

    /// Something went wrong in this direction.
    pub(super) fn went_wrong(&mut self, direction: Direction, error: SharedError, now: Time) {
        let former = self.errors[direction as usize].replace(Box::new((error, now)));
        self.discard_error(former);
    }

    /// Something went well in this direction.
    pub(super) fn went_well(&mut self, direction: Direction) {
        let former = self.errors[direction as usize].take();
        self.discard_error(former);
    }

    fn discard_error(&mut self, error: Option<Box<(SharedError, Time)>>) {
        if let Some(error) = error {
            self.after.discard(error);
        }
    }

    /// The last error of either direction, and when.
    pub(super) fn last_error(&self) -> Option<(Direction, &SharedError, Time)> {
        let errors = [Direction::Push, Direction::Pull].into_iter().zip(&self.errors);
        let errors =
            errors.filter_map(|(direction, error)| error.as_deref().map(|(error, at)| (direction, error, *at)));
        errors.max_by_key(|(_, _, at)| *at)
    }

    /// The latest time that a status tells of. The clock is read without the lock, and what has begun since would seem to be
    /// waited for longer than it is: a status is not from before that.
    pub(super) fn latest(&self, now: Time) -> Time {
        let error = self.last_error().map(|(_, _, at)| at);
        now.max(self.waiting_on.1).max(error.unwrap_or_default())
    }

    /// Replaces the log by one with so many pending events. Returns the former.
    pub(super) fn reset(&mut self, log: L, pending: usize) -> (L, Effects<L::Entry>) {
        // The new log may panic here: nothing has changed then.
        let replaced = self.protocol.reset(log);
        self.replaced += 1;
        self.tickets.close(pending, &mut self.after.wakers);
        self.subscribers.end(RecvError::Replaced, &mut self.after);
        self.went_well(Direction::Push);
        self.went_well(Direction::Pull);
        self.replace_for_sessions(false);
        replaced
    }

    /// A party ends. Whether it is the last.
    pub(super) fn ends(&mut self, role: Role) -> bool {
        self.ended[role as usize] = true;
        self.have_all_ended()
    }

    /// Whether both directions have ended, and the writer.
    pub(super) fn have_all_ended(&self) -> bool {
        self.ended == [true; 3]
    }

    /// Whether a party has ended.
    pub(super) fn has_ended(&self, role: Role) -> bool {
        self.ended[role as usize]
    }

    fn close(&mut self) {
        if let Settling::Open { .. } = self.settling {
            self.settling = Settling::Closed { first: self.tickets.first() };
        }
        self.close_tickets();
        // What the log panics with it has panicked with before.
        _ = self.attend();
        self.tickets.never_written(&mut self.after.wakers);
        self.subscribers.end(RecvError::Closed, &mut self.after);
    }

    /// The log has panicked in the middle of a step, or broken its contract: what has become of which commit is not known.
    fn realign(&mut self) {
        if let Ok(pending) = self.catch_panic(|state| state.protocol.log().pending()) {
            self.tickets.realign(pending, &mut self.after.wakers);
        }
        if let Err(message) = self.catch_panic(|state| state.protocol.note_anew()) {
            let failure = Failure::Panicked { message: format!("the log: {message}") };
            if self.protocol.journal_is_astray(failure).interrupt_pull {
                self.interrupt(Direction::Pull, Cause::Restart);
            }
        }
    }

    /// Settles everything as closed.
    fn close_tickets(&mut self) {
        let pending = self.catch_panic(|state| state.protocol.log().pending()).unwrap_or(0);
        self.tickets.close(pending, &mut self.after.wakers);
    }

    /// Whether nothing can settle any more.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.settling, Settling::Closed { .. })
    }

    /// Whether every commit up to this number has settled (`true`), or cannot any more (`false`). `None` while it can: the
    /// caller waits for that.
    pub(super) fn flushed(&mut self, last: u64) -> Option<bool> {
        match &mut self.settling {
            Settling::Closed { first } => Some(*first > last),
            Settling::Open { .. } if self.tickets.all_settled(last) => Some(true),
            Settling::Open { awaited } => {
                *awaited = last.min(*awaited);
                None
            }
        }
    }
}

impl<L: Log> Shown for State<L> {
    fn stands(&self) -> (Vec<String>, String) {
        let (protocol, log) = (&self.protocol, self.protocol.log());
        let parts = vec![
            format!("{} pending", log.pending()),
            format!("upstream's head {:?}", log.upstream_head()),
            format!("epoch {}", protocol.epoch()),
            format!("the pusher {}", protocol.push()),
            format!("the puller {}", protocol.pull()),
        ];
        (parts, format!("head {:?}; the next move is owed by {}", log.head(), protocol.waiting_on()))
    }

    fn waits(&self, topic: usize) -> String {
        match topic {
            topic::PUSHER => self.protocol.push().to_string(),
            topic::PULLER => self.protocol.pull().to_string(),
            topic::WRITER => "there is nothing to write".into(),
            topic::SESSIONS => "there is nothing new for a session".into(),
            _ if self.protocol.is_stopped() => "not everything has ended".into(),
            _ => "not everything has settled".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::MemoryLog;
    use crate::platform::IN_MODEL;
    use crate::protocol::{Direction, Settings};

    type Stands = State<MemoryLog<u8>>;
    type Step = fn(&mut Stands);

    fn core() -> Core<MemoryLog<u8>> {
        let limits = Limits {
            max_unread: usize::MAX,
            max_pending: None,
            max_unwritten: usize::MAX,
            lingers: false,
            deadlines: [None; 2],
            on_rejected: OnRejected::Block,
        };
        let clock = Clock::Timer(Box::new(|| Time::ZERO));
        Core::new(Protocol::new(MemoryLog::new(), Settings::default()), None, limits, clock, None)
    }

    /// Who is woken by this step.
    fn wakes(core: &Core<MemoryLog<u8>>, step: Step) -> Topics {
        let step = |state: &mut Stands| {
            step(state);
            Ok(())
        };
        core.state.look(|state| state.transition(Input::Commit, step, |_, _| (), || Time::ZERO)).1
    }

    fn commit(state: &mut Stands) {
        let count = state.protocol.commit(vec![1]).expect("it has a number");
        let _ticket = state.tickets.issue(count, 0, &mut state.after.wakers);
    }

    #[test]
    fn transition_wakes_the_directions_that_have_something_new_to_do() {
        if IN_MODEL {
            return;
        }
        let core = core();
        let (pusher, puller, halted) = (only(topic::PUSHER), only(topic::PULLER), only(topic::SETTLED));
        let steps: &[(&str, Step, Topics)] = &[
            ("nothing", |_| (), 0),
            ("a commit", commit, pusher),
            ("another, and the pusher has not looked yet", commit, 0),
            ("the push direction is paused", |state| drop(state.protocol.pause(Direction::Push)), halted),
            ("it is resumed", |state| state.protocol.resume(Direction::Push), pusher),
            ("the pull direction is paused", |state| drop(state.protocol.pause(Direction::Pull)), 0),
            ("it is resumed", |state| state.protocol.resume(Direction::Pull), puller),
            ("everything is to stop, and neither has looked yet", |state| drop(state.protocol.stop()), halted),
        ];
        for (what, step, expected) in steps {
            assert_eq!(wakes(&core, *step), *expected, "{what}");
        }
    }

    #[test]
    fn transition_wakes_the_waiters_of_commits_once_one_of_them_has_all() {
        if IN_MODEL {
            return;
        }
        let (core, woken) = (core(), only(topic::SETTLED));
        let steps: &[(&str, Step, Topics)] = &[
            ("a commit", commit, 0),
            ("it settles, and nothing is waited for", |state| state.tickets.close(0, &mut state.after.wakers), 0),
            ("another, which is waited for", wait_for_all, 0),
            ("another, which is waited for as well", wait_for_all, 0),
            ("the first one settles", |state| close_some(state, &[0]), woken),
            ("the second one, for which none has looked again", |state| close_some(state, &[0]), 0),
            ("three, and the last is waited for", |state| (0..3).for_each(|_| commit(state)), 0),
            ("it is waited for", |state| assert_eq!(state.flushed(state.tickets.last()), None), 0),
            ("the first two settle", |state| close_some(state, &[0, 1]), 0),
            ("the last one settles", |state| close_some(state, &[0]), woken),
            ("all have settled", |state| assert_eq!(state.flushed(state.tickets.last()), Some(true)), 0),
        ];
        for (what, step, expected) in steps {
            assert_eq!(wakes(&core, *step) & woken, *expected, "{what}");
        }
    }

    fn close_some(state: &mut Stands, gone: &[usize]) {
        state.tickets.close_some(gone, &mut state.after.wakers);
    }

    fn wait_for_all(state: &mut Stands) {
        commit(state);
        assert_eq!(state.flushed(state.tickets.last()), None);
    }
}
