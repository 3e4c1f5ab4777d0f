//! The pusher's half.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::contract;
use super::messages::{Batch, PushError, SharedError};
use super::status::at;
use super::{Direction, Doubt, Effects, Failure, Moment, Protocol, Resend, Signal, Spent, Time};
use crate::log::{Log, Merged};

/// So many pushes in a row may be overtaken before the next is delayed.
const OVERTAKEN_AT_ONCE: u32 = 4;

/// The delay of a push that others overtake doubles so often at most.
const OVERTAKEN_DOUBLINGS: u32 = 3;

/// More pushes in a row that are overtaken make no difference.
pub(super) const OVERTAKEN_MOST: u32 = OVERTAKEN_AT_ONCE + 1 + OVERTAKEN_DOUBLINGS;

/// What the pusher is doing. Each variant holds what would make it move again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Push<P> {
    /// Sends as soon as something is pending and the gate is open.
    Idle,
    /// One push is in flight.
    Sending {
        /// Which.
        ticket: u64,
        /// How many events it carries.
        count: usize,
        /// How many of them no merge has confirmed.
        unconfirmed: usize,
        /// The event that it was made to follow.
        base: P,
        /// The epoch before it was sent.
        epoch: u64,
        /// What merges have decided about it.
        fate: Fate,
    },
    /// Upstream was ahead. Looks again when news comes.
    Behind {
        /// The epoch before the push that was rejected.
        since: u64,
        /// Upstream's head, if it was told: news before that is not enough.
        target: Option<P>,
        /// Until when to wait for news before a catch-up is asked for; `None` once it has been.
        until: Option<Time>,
        /// The pull, by number, whose end is news in any case.
        pull: u64,
    },
    /// The outcome of a push is unknown: nothing is sent until a merge passes the event that the push was made to follow, or
    /// a pull that began afterwards has caught up.
    Uncertain {
        /// That pull, by number, or any later one.
        pull: u64,
        /// And not before this time.
        until: Time,
    },
    /// Backs off.
    Waiting {
        /// Until when.
        until: Time,
        /// Whether upstream asked for the delay: nothing else ends it.
        asked: bool,
        /// Why.
        reason: Delay<P>,
    },
    /// Trying again cannot help: the owner decides.
    Failed {
        /// Why.
        error: Failure,
    },
}

/// What has been decided about a push in flight before its answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Nothing.
    Open,
    /// A rebase has overtaken it, or its log has been replaced: it can only be rejected, and its answer changes nothing.
    Overtaken,
    /// A merge has confirmed all of it: its answer can only say what is known.
    Confirmed,
}

/// Why the pusher backs off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delay<P> {
    /// Upstream could not be reached, refused for now, or its answer got lost. A reconnect ends the delay, once for each
    /// success.
    Unavailable,
    /// Upstream said that it was ahead, and a catch-up has brought nothing that explains it. A merge ends the delay: one that
    /// reaches upstream's head, if that was told.
    Behind {
        /// Upstream's head, if it was told.
        target: Option<P>,
    },
    /// Others were faster, more than four times in a row. The delay is short, eight times the shortest at most.
    Overtaken,
}

impl<P: fmt::Debug> fmt::Display for Push<P> {
    /// What comes after "the pusher".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("is idle"),
            Self::Sending { ticket, count, fate, .. } => {
                let events = if *count == 1 { "event" } else { "events" };
                let fate = match fate {
                    Fate::Open => "",
                    Fate::Overtaken => ", which a rebase has overtaken",
                    Fate::Confirmed => ", which a merge has confirmed",
                };
                write!(f, "sends push {ticket}, of {count} {events}{fate}")
            }
            Self::Behind { since, target, until, pull } => {
                write!(f, "is behind since epoch {since}, until ")?;
                match target {
                    Some(target) => write!(f, "upstream's head is {target:?}")?,
                    None => f.write_str("there is news")?,
                }
                match until {
                    Some(until) => write!(f, ", and asks for a catch-up at {}", at(*until)),
                    None => write!(f, " or pull {pull} has caught up"),
                }
            }
            Self::Uncertain { pull, .. } => write!(f, "is uncertain until pull {pull} has caught up"),
            Self::Waiting { until, asked: true, .. } => write!(f, "rests until {}, as upstream asked", at(*until)),
            Self::Waiting { until, reason, .. } => {
                let reason = match reason {
                    Delay::Unavailable => "",
                    Delay::Behind { .. } => ", for nothing explains that it is behind",
                    Delay::Overtaken => ", for others are faster",
                };
                write!(f, "backs off until {}{reason}", at(*until))
            }
            Self::Failed { error } => write!(f, "has failed: {error}"),
        }
    }
}

/// What a pusher is to do.
#[must_use = "a batch that is not reported blocks the pusher"]
pub enum NextPush<L: Log> {
    /// Send this, and report to [`Protocol::push_ended`].
    Send(Batch<L>),
    /// Wait for a change; and call [`Protocol::tick`] at this time, if there is one.
    Wait(Option<Time>),
    /// Nothing any more.
    Stop,
}

impl<L: Log<Entry: fmt::Debug>> fmt::Debug for NextPush<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(batch) => f.debug_tuple("Send").field(batch).finish(),
            Self::Wait(until) => f.debug_tuple("Wait").field(until).finish(),
            Self::Stop => f.write_str("Stop"),
        }
    }
}

impl<L: Log> Protocol<L> {
    /// What the pusher is to do.
    pub fn next_push(&mut self, now: Time) -> NextPush<L> {
        if self.stopped {
            return NextPush::Stop;
        }
        match self.course.push {
            Push::Idle => {}
            Push::Waiting { until, .. } if until <= now => self.course.push = Push::Idle,
            Push::Waiting { until, .. } => return NextPush::Wait(Some(until)),
            Push::Behind { until, .. } => return NextPush::Wait(until),
            Push::Sending { .. } | Push::Uncertain { .. } | Push::Failed { .. } => return NextPush::Wait(None),
        }
        if self.push_paused || self.log.pending() == 0 {
            return NextPush::Wait(None);
        }
        let entries = self.log.batch(self.settings.batch);
        if let Err(failure) = contract::batch(&entries, self.settings.batch, self.log.pending()) {
            self.push_unsent(failure);
            return NextPush::Wait(None);
        }
        self.begun.push += 1;
        self.counters.pushes += 1;
        let (ticket, count, base) = (self.begun.push, entries.len(), self.log.upstream_head());
        self.course.push =
            Push::Sending { ticket, count, unconfirmed: count, base, epoch: self.epoch, fate: Fate::Open };
        NextPush::Send(Batch { base, entries, ticket })
    }

    /// What the pusher would be woken for.
    pub(crate) fn push_signal(&self) -> Signal {
        match self.course.push {
            _ if self.stopped => Signal::Go,
            Push::Idle if !self.push_paused && self.log.pending() > 0 => Signal::Go,
            Push::Waiting { until, .. } | Push::Behind { until: Some(until), .. } => Signal::At(until),
            _ => Signal::Nothing,
        }
    }

    /// The time has come that [`next_push`](Self::next_push) named.
    pub fn tick(&mut self, now: Time) -> Effects<L::Entry> {
        match &mut self.course.push {
            Push::Behind { until, .. } if until.is_some_and(|until| until <= now) => {
                *until = None;
                self.ask_for_catch_up()
            }
            _ => Effects::default(),
        }
    }

    /// A push has ended. An outcome of an earlier push than the latest changes nothing.
    ///
    /// # Errors
    ///
    /// The log's, if it refuses its own batch; the pusher has failed then.
    pub fn push_ended(
        &mut self,
        batch: Batch<L>,
        outcome: Result<(), PushError<L::Position>>,
        random: u64,
        now: Time,
    ) -> Result<Effects<L::Entry>, Refused<L::Entry>> {
        let Push::Sending { ticket, epoch, base, fate, .. } = self.course.push else {
            return Ok(spent(batch, outcome));
        };
        if ticket != batch.ticket {
            return Ok(spent(batch, outcome));
        }
        self.course.push = Push::Idle;
        let at = Moment { now, random };
        if fate == Fate::Open && outcome.is_ok() {
            return self.accepted(batch, epoch, at);
        }
        let mut effects = if ticket <= self.former.push {
            Effects::default()
        } else if let Err(PushError::Fatal { kind, error }) = &outcome {
            // Of a call that does not know what the owner has changed it says nothing.
            if ticket > self.before_restart.push {
                self.course.push = Push::Failed { error: Failure::Upstream { kind: *kind, error: error.clone() } };
            }
            Effects::default()
        } else if fate == Fate::Open {
            self.not_taken(base, epoch, &outcome, at)
        } else {
            self.decided(fate, base, outcome.is_ok(), at)
        };
        // The time that upstream names holds, whatever has become of the push.
        if let Some(asked) = retry_after(&outcome).filter(|_| fate != Fate::Open) {
            let (until, reason) = (now.saturating_add(asked), Delay::Unavailable);
            self.course.push = Push::Waiting { until, asked: true, reason };
        }
        effects.spent = spent(batch, outcome).spent;
        Ok(effects)
    }

    /// What follows from an answer to a push about which nothing was decided: upstream has not taken it, or may have.
    fn not_taken(
        &mut self,
        base: L::Position,
        epoch: u64,
        outcome: &Result<(), PushError<L::Position>>,
        at: Moment,
    ) -> Effects<L::Entry> {
        match outcome {
            Err(PushError::Behind { head }) => return self.behind(base, epoch, *head, at),
            Err(PushError::Uncertain { .. }) => return self.uncertain(base, at),
            Err(PushError::Unavailable { retry_after, .. }) => {
                self.counters.unavailable += 1;
                let delay = retry_after.unwrap_or_default().max(self.failure_delay(at.random));
                let (until, reason) = (at.now.saturating_add(delay), Delay::Unavailable);
                self.course.push = Push::Waiting { until, asked: retry_after.is_some(), reason };
            }
            Err(PushError::Fatal { .. }) | Ok(()) => {}
        }
        Effects::default()
    }

    /// What follows from the answer to a push that merges have decided.
    fn decided(&mut self, fate: Fate, base: L::Position, taken: bool, at: Moment) -> Effects<L::Entry> {
        match (fate, taken) {
            // Upstream should have refused it.
            (Fate::Overtaken, true) => {
                self.doubt(base);
                return self.fence(Time::ZERO);
            }
            (Fate::Overtaken, false) => {
                self.course.overtaken = self.course.overtaken.saturating_add(1);
                self.try_again(at);
            }
            (_, true) => self.counters.accepted += 1,
            (_, false) => {}
        }
        Effects::default()
    }

    /// Upstream's `push` has panicked with this message. The push may have been taken.
    ///
    /// A panic is as good as a fatal answer; the panic of an earlier push than the latest changes nothing.
    pub fn push_panicked(&mut self, batch: Batch<L>, failure: Failure) -> Effects<L::Entry> {
        let gone = spent(batch, Ok(()));
        let Push::Sending { ticket, base, fate, .. } = self.course.push else { return gone };
        self.course.push = Push::Idle;
        if ticket <= self.former.push {
            return gone;
        }
        if fate == Fate::Open {
            self.doubt(base);
        }
        if ticket > self.before_restart.push {
            self.course.push = Push::Failed { error: failure };
            return gone;
        }
        let fenced = if self.course.doubt.is_some() { self.fence(Time::ZERO) } else { Effects::default() };
        Effects { spent: gone.spent, ..fenced }
    }

    /// The pusher cannot go on, for a reason that is not upstream's. A push that is in flight may be taken. If it has failed
    /// already, the first failure stays.
    pub fn push_unsent(&mut self, failure: Failure) {
        if let Push::Failed { .. } = self.course.push {
            return;
        }
        if let Push::Sending { base, fate: Fate::Open, .. } = self.course.push {
            self.doubt(base);
        }
        self.course.push = Push::Failed { error: failure };
    }

    /// Whether a push may have been taken by upstream without an answer, and nothing has decided it since.
    pub fn is_uncertain(&self) -> bool {
        self.course.doubt.is_some()
    }

    /// A push that was made to follow this event may have been taken.
    fn doubt(&mut self, base: L::Position) {
        self.course.doubt = Some(Doubt { base, pull: self.begun.pull + 1 });
    }

    /// `epoch` is that of the moment when the batch was made: if it is the same still, nothing has been merged since.
    fn accepted(&mut self, batch: Batch<L>, epoch: u64, at: Moment) -> Result<Effects<L::Entry>, Refused<L::Entry>> {
        self.counters.accepted += 1;
        self.push_succeeded();
        // Until the log has it.
        self.doubt(batch.base);
        let merged = if self.epoch == epoch {
            self.confirm(batch.entries, at)
        } else {
            self.merge(batch.entries, Direction::Push, at)
        };
        match merged {
            Ok(effects) => {
                if !matches!(self.course.push, Push::Failed { .. }) {
                    self.course.doubt = None;
                }
                Ok(effects)
            }
            Err(refused) => {
                self.course.push = Push::Failed { error: Failure::Log { error: refused.error.clone() } };
                Err(refused)
            }
        }
    }

    fn behind(&mut self, base: L::Position, epoch: u64, target: Option<L::Position>, at: Moment) -> Effects<L::Entry> {
        self.counters.behind += 1;
        self.course.rejected = self.course.rejected.saturating_add(1);
        self.course.overtaken = self.course.overtaken.saturating_add(1);
        // As a fatal answer: one to a call of before the restart is followed by another try.
        let late = self.begun.push <= self.before_restart.push;
        if let Some(head) = target.filter(|head| *head < base && !late) {
            self.course.push = Push::Failed { error: contract::went_back(base, head) };
            return Effects::default();
        }
        // What it should wait for came while it was in flight; or it is not to be believed a second time.
        let changed = self.epoch != epoch;
        let reached = target.is_some_and(|target| self.log.upstream_head() >= target) && self.course.in_vain() == 1;
        if changed || reached {
            self.try_again(at);
            return Effects::default();
        }
        let until = if self.settings.live { at.now.saturating_add(self.settings.grace) } else { at.now };
        self.course.push = Push::Behind { since: epoch, target, until: Some(until), pull: self.begun.pull + 1 };
        self.tick(at.now)
    }

    fn uncertain(&mut self, base: L::Position, at: Moment) -> Effects<L::Entry> {
        self.counters.uncertain += 1;
        self.doubt(base);
        let until = at.now.saturating_add(self.failure_delay(at.random));
        if self.settings.resend == Resend::Idempotent {
            self.course.push = Push::Waiting { until, asked: false, reason: Delay::Unavailable };
            return Effects::default();
        }
        self.fence(until)
    }

    /// A push may have been taken: nothing is sent until that has been decided, nor before `until`.
    pub(super) fn fence(&mut self, until: Time) -> Effects<L::Entry> {
        self.course.push = Push::Uncertain { pull: self.begun.pull + 1, until };
        self.ask_for_catch_up()
    }

    /// The pusher goes on; not at once if others have been faster too often.
    fn try_again(&mut self, at: Moment) {
        self.course.push = match self.course.overtaken.checked_sub(OVERTAKEN_AT_ONCE + 1) {
            None => Push::Idle,
            Some(more) => {
                let delay = self.settings.backoff.delay(more.min(OVERTAKEN_DOUBLINGS), at.random);
                Push::Waiting { until: at.now.saturating_add(delay), asked: false, reason: Delay::Overtaken }
            }
        };
    }

    /// The delay after another push that could not reach upstream or had no answer.
    fn failure_delay(&mut self, random: u64) -> Duration {
        let before = self.course.in_vain();
        self.course.push_failures = self.course.push_failures.saturating_add(1);
        self.settings.backoff.delay(before, random)
    }

    /// Whatever has gone wrong with pushes counts no more.
    fn push_forgets(&mut self) {
        (self.course.push_failures, self.course.rejected, self.course.overtaken) = (0, 0, 0);
    }

    /// Upstream has taken a push.
    fn push_succeeded(&mut self) {
        self.push_forgets();
        self.course.may_cut = true;
    }

    pub(super) fn push_looks_again(&mut self) {
        self.push_forgets();
        match &mut self.course.push {
            Push::Waiting { asked: false, .. } | Push::Behind { .. } => self.course.push = Push::Idle,
            Push::Uncertain { until, .. } => *until = Time::ZERO,
            _ => {}
        }
    }

    /// Applies entries that upstream has ordered, those that are not applied yet.
    pub(super) fn merge(
        &mut self,
        mut entries: Vec<L::Entry>,
        from: Direction,
        at: Moment,
    ) -> Result<Effects<L::Entry>, Refused<L::Entry>> {
        let head = self.log.upstream_head();
        let known = entries.iter().take_while(|entry| L::position(entry) <= head).count();
        let new = entries.split_off(known);
        let passed = Spent::entries(entries);
        let Some(last) = new.last().map(L::position) else {
            return Ok(Effects { spent: passed, ..Effects::default() });
        };
        let before = self.log.pending();
        match self.log.merge(new) {
            Ok(merged) => {
                let effects = self.merged(merged, before, last, from, at);
                Ok(Effects { spent: passed, ..effects })
            }
            Err(error) => {
                Err(Refused { error: error.into(), effects: Effects { spent: passed, ..Effects::default() } })
            }
        }
    }

    /// Applies the log's own batch.
    fn confirm(&mut self, batch: Vec<L::Entry>, at: Moment) -> Result<Effects<L::Entry>, Refused<L::Entry>> {
        let Some(last) = batch.last().map(L::position) else { return Ok(Effects::default()) };
        let before = self.log.pending();
        match self.log.confirm(batch) {
            Ok(merged) => Ok(self.merged(merged, before, last, Direction::Push, at)),
            Err(error) => Err(Refused { error: error.into(), effects: Effects::default() }),
        }
    }

    /// The log had so many events pending, and says what has become of them in a merge up to `last`.
    fn merged(
        &mut self,
        merged: Merged<L::Entry>,
        before: usize,
        last: L::Position,
        from: Direction,
        at: Moment,
    ) -> Effects<L::Entry> {
        let confirmed = merged.confirmed().iter().filter(|entry| !self.log.is_local_only(entry)).count();
        let interrupt_push = self.advanced(merged.is_rebase(), confirmed, at);
        let mut effects = Effects { merged: None, interrupt_push, ..Effects::default() };
        if let Err(failure) = contract::merged(&self.log, &merged, before, confirmed, last) {
            match from {
                Direction::Push => self.push_unsent(failure),
                Direction::Pull => {
                    self.pull_failed(failure);
                    effects.interrupt_pull = true;
                }
            }
        }
        effects.merged = Some(merged);
        effects
    }

    /// Upstream's head has moved, and so many pending events are confirmed. Returns whether the push in flight has been
    /// decided.
    fn advanced(&mut self, rebase: bool, confirmed: usize, at: Moment) -> bool {
        *(if rebase { &mut self.counters.rebases } else { &mut self.counters.advances }) += 1;
        self.epoch += 1;
        self.course.rejected = 0;
        let head = self.log.upstream_head();
        if self.course.doubt.is_some_and(|doubt| head > doubt.base) {
            self.course.doubt = None;
        }
        let reached = |target: Option<L::Position>| target.is_none_or(|target| head >= target);
        match &mut self.course.push {
            Push::Behind { target, .. } | Push::Waiting { asked: false, reason: Delay::Behind { target }, .. } => {
                if reached(*target) {
                    self.try_again(at);
                }
                false
            }
            Push::Uncertain { until, .. } if self.course.doubt.is_none() => {
                let until = *until;
                self.wait_until(until, at.now);
                false
            }
            Push::Sending { fate: fate @ Fate::Open, unconfirmed, .. } => {
                *unconfirmed = unconfirmed.saturating_sub(confirmed);
                let confirmed = *unconfirmed == 0;
                if confirmed {
                    *fate = Fate::Confirmed;
                    self.push_succeeded();
                } else if rebase {
                    *fate = Fate::Overtaken;
                }
                confirmed || rebase
            }
            _ => false,
        }
    }

    /// A pull has caught up: it, or a later one, may be what the pusher waits for.
    pub(super) fn pusher_hears(&mut self, caught_up: u64, at: Moment) {
        if self.course.doubt.is_some_and(|doubt| doubt.pull <= caught_up) {
            self.course.doubt = None;
        }
        match self.course.push {
            Push::Behind { pull, target, .. } if pull <= caught_up => {
                // The first catch-up that explains nothing is followed by another push, unless that can only be rejected.
                let falls_short = target.is_some_and(|target| self.log.upstream_head() < target);
                let before = self.course.in_vain();
                let attempts = if falls_short { Some(before.saturating_sub(1)) } else { before.checked_sub(2) };
                self.course.push = match attempts {
                    None => Push::Idle,
                    Some(attempts) => {
                        let until = at.now.saturating_add(self.settings.backoff.delay(attempts, at.random));
                        Push::Waiting { until, asked: false, reason: Delay::Behind { target } }
                    }
                };
            }
            Push::Uncertain { pull, until } if pull <= caught_up => self.wait_until(until, at.now),
            Push::Waiting { asked: false, reason: Delay::Unavailable, .. }
                if self.course.unreached && self.course.may_cut =>
            {
                self.course.may_cut = false;
                self.course.push = Push::Idle;
            }
            _ => {}
        }
    }

    fn wait_until(&mut self, until: Time, now: Time) {
        self.course.push =
            if until <= now { Push::Idle } else { Push::Waiting { until, asked: false, reason: Delay::Unavailable } };
    }

    /// Whether this is the push in flight: its outcome is still awaited.
    pub fn is_sending(&self, batch: &Batch<L>) -> bool {
        matches!(self.course.push, Push::Sending { ticket, .. } if ticket == batch.ticket)
    }
}

/// The log has refused what upstream sent.
#[derive(Debug)]
pub struct Refused<T> {
    /// What the log said.
    pub error: SharedError,
    /// What is to be done all the same.
    pub effects: Effects<T>,
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log refused what upstream sent: {}", self.error)
    }
}

impl<T: fmt::Debug> Error for Refused<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.error.get())
    }
}

/// When upstream asked to be tried again.
fn retry_after<P>(outcome: &Result<(), PushError<P>>) -> Option<Duration> {
    match outcome {
        Err(PushError::Unavailable { retry_after, .. }) => *retry_after,
        Ok(()) | Err(PushError::Behind { .. } | PushError::Uncertain { .. } | PushError::Fatal { .. }) => None,
    }
}

/// A call is over, and what it held is not needed any more.
fn spent<L: Log>(batch: Batch<L>, outcome: Result<(), PushError<L::Position>>) -> Effects<L::Entry> {
    let mut spent = Spent::entries(batch.entries);
    spent.error(outcome.err().and_then(PushError::into_error));
    Effects { spent, ..Effects::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_says_what_ends_it() {
        let ms = Duration::from_millis;
        let behind = |target, until| Push::Behind { since: 4, target, until, pull: 2 };
        let sending = |count, fate| Push::Sending { ticket: 3, count, unconfirmed: count, base: 0, epoch: 0, fate };
        let waiting = |until, asked, reason| Push::Waiting { until, asked, reason };
        let states: [(Push<u64>, &str); 13] = [
            (Push::Idle, "is idle"),
            (sending(1, Fate::Open), "sends push 3, of 1 event"),
            (sending(2, Fate::Overtaken), "sends push 3, of 2 events, which a rebase has overtaken"),
            (sending(2, Fate::Confirmed), "sends push 3, of 2 events, which a merge has confirmed"),
            (behind(None, None), "is behind since epoch 4, until there is news or pull 2 has caught up"),
            (behind(Some(9), None), "is behind since epoch 4, until upstream's head is 9 or pull 2 has caught up"),
            (
                behind(None, Some(ms(250))),
                "is behind since epoch 4, until there is news, and asks for a catch-up at 250ms",
            ),
            (Push::Uncertain { pull: 2, until: ms(0) }, "is uncertain until pull 2 has caught up"),
            (waiting(ms(100), false, Delay::Unavailable), "backs off until 100ms"),
            (
                waiting(ms(100), false, Delay::Behind { target: None }),
                "backs off until 100ms, for nothing explains that it is behind",
            ),
            (waiting(ms(100), false, Delay::Overtaken), "backs off until 100ms, for others are faster"),
            (waiting(Time::MAX, true, Delay::Unavailable), "rests until the end of time, as upstream asked"),
            (
                Push::Failed { error: Failure::Log { error: "a gap".into() } },
                "has failed: the log refused what upstream sent: a gap",
            ),
        ];
        for (state, words) in states {
            assert_eq!(state.to_string(), words);
        }
    }
}
