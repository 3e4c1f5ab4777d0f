//! The pusher's half.

use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::contract;
use super::messages::{Batch, PushError};
use super::status::at;
use super::{Direction, Doubt, Effects, Failure, Moment, Next, Protocol, Resend, Settings, Spent, Time};
use crate::SharedError;
use crate::log::Log;

/// So many pushes in a row may be overtaken before the next is delayed.
const OVERTAKEN_AT_ONCE: u32 = 4;

/// The delay of a push that others overtake doubles so often at most.
const OVERTAKEN_DOUBLINGS: u32 = 3;

/// More pushes in a row that are overtaken make no difference.
pub(super) const OVERTAKEN_MOST: u32 = OVERTAKEN_AT_ONCE + 1 + OVERTAKEN_DOUBLINGS;

/// What the pusher is doing. Each variant holds what would make it move again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
        /// Why the pusher cannot go on when it has ended, if something has failed meanwhile that is not upstream's.
        failed: Option<Failure>,
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
        /// Whether upstream asked for it: the time that it named holds whatever ends the backoff.
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

/// A push that was in flight, as [`Push::Sending`] had it.
pub(super) struct Landed<P> {
    pub ticket: u64,
    pub count: usize,
    pub unconfirmed: usize,
    base: P,
    epoch: u64,
    fate: Fate,
    failed: Option<Failure>,
}

/// What has been decided about a push in flight before its answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
    /// More events may come that can be sent with these: see [`linger`](super::Settings::linger). What makes a batch full
    /// ends the delay.
    Linger,
    /// Others were faster, more than four times in a row. The delay is short, eight times the shortest at most.
    Overtaken,
}

impl<P: fmt::Debug> fmt::Display for Push<P> {
    /// What comes after "the pusher".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("is idle"),
            Self::Sending { ticket, count, fate, failed, .. } => {
                let events = if *count == 1 { "event" } else { "events" };
                let fate = match fate {
                    Fate::Open => "",
                    Fate::Overtaken => ", which a rebase has overtaken",
                    Fate::Confirmed => ", which a merge has confirmed",
                };
                write!(f, "sends push {ticket}, of {count} {events}{fate}")?;
                failed.iter().try_for_each(|error| write!(f, ", and has failed: {error}"))
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
                    Delay::Linger => ", for more to come",
                    Delay::Overtaken => ", for others are faster",
                };
                write!(f, "backs off until {}{reason}", at(*until))
            }
            Self::Failed { error } => write!(f, "has failed: {error}"),
        }
    }
}

impl<L: Log> Protocol<L> {
    /// What the pusher is to do: to send a batch, and report to [`push_ended`](Self::push_ended); or to wait for a change, and
    /// call [`tick`](Self::tick) at the time that is told, if one is.
    #[must_use = "a batch that is not reported blocks the pusher"]
    pub fn next_push(&mut self, now: Time) -> Next<Batch<L>> {
        self.push_begins(now, |most| most)
    }

    /// What the pusher is to do and is woken for, until the next time that comes.
    pub fn push_due(&self) -> Next<()> {
        let not_before = self.not_before.push;
        match self.course.push {
            _ if self.stopped => Next::Stop,
            Push::Idle if !self.paused.push && self.sendable() > 0 => Next::from(not_before),
            Push::Waiting { until, .. } => Next::Wait { until: Some(until.max(not_before)) },
            Push::Behind { until, .. } => Next::Wait { until },
            Push::Idle | Push::Sending { .. } | Push::Uncertain { .. } | Push::Failed { .. } => {
                Next::Wait { until: None }
            }
        }
    }

    /// The same as [`next_push`](Self::next_push), but of no more than so many events the batch carries what `cut` says: at
    /// least one.
    #[must_use = "a batch that is not reported blocks the pusher"]
    pub fn push_begins(&mut self, now: Time, cut: impl Fn(NonZeroUsize) -> NonZeroUsize) -> Next<Batch<L>> {
        let room = std::mem::take(&mut self.room);
        let lingered = self.push_waited(now);
        match self.push_due() {
            Next::Do(()) => {}
            Next::Wait { until } => return Next::Wait { until },
            Next::Stop => return Next::Stop,
        }
        if !lingered && self.is_to_linger() {
            let until = now.saturating_add(self.settings.linger);
            self.course.push = Push::Waiting { until, asked: false, reason: Delay::Linger };
            return Next::Wait { until: Some(until) };
        }
        let most = cut(self.most());
        let mut entries = self.log.batch_in(most, room);
        if let Err(failure) = contract::batch(&entries, most, self.log.pending()) {
            self.push_unsent(failure);
            return Next::Wait { until: None };
        }
        if let Some(light) = self.light(&entries).filter(|light| light.get() < entries.len()) {
            self.passed.more(entries.split_off(cut(light).get()));
        }
        self.begun.push += 1;
        self.counters.pushes += 1;
        self.course.in_a_hurry &= entries.len() < self.log.pending();
        let (ticket, count, base) = (self.begun.push, entries.len(), self.log.upstream_head());
        let (unconfirmed, epoch, fate) = (count, self.epoch, Fate::Open);
        self.course.push = Push::Sending { ticket, count, unconfirmed, base, epoch, fate, failed: None };
        Next::Do(Batch { base, entries, ticket })
    }

    /// Drops these entries. If a push begins next, its batch is made in their place (see [`Log::batch_in`]).
    pub fn reuse(&mut self, mut entries: Vec<L::Entry>) {
        entries.clear();
        self.room = entries;
    }

    /// The most events that a push may carry.
    pub fn most_at_once(&self) -> NonZeroUsize {
        self.course.fits.map_or(self.settings.batch, |fits| fits.min(self.settings.batch))
    }

    /// Whether one push may carry all of these, for what they weigh.
    pub fn is_light(&self, entries: &[L::Entry]) -> bool {
        self.light(entries).is_none_or(|light| light.get() >= entries.len())
    }

    /// The most events that the next push may carry: at least one.
    fn most(&self) -> NonZeroUsize {
        let most = self.most_at_once();
        NonZeroUsize::new(self.sendable()).map_or(most, |sendable| sendable.min(most))
    }

    /// How many of the first of these weigh no more than a push may carry, and at least one; `None` without a limit.
    fn light(&self, entries: &[L::Entry]) -> Option<NonZeroUsize> {
        let mut left = self.settings.batch_weight?;
        let light = entries.iter().take_while(|entry| {
            let rest = left.checked_sub(L::weight(entry));
            left = rest.unwrap_or_default();
            rest.is_some()
        });
        Some(NonZeroUsize::new(light.count()).unwrap_or(NonZeroUsize::MIN))
    }

    /// Whether a push that could begin waits for more events.
    fn is_to_linger(&self) -> bool {
        !self.settings.linger.is_zero() && !self.course.in_a_hurry && self.sendable() < self.settings.batch.get() && {
            // Those that upstream has room for, and those before one that is refused, are enough.
            self.course.fits.is_none_or(|fits| self.sendable() < fits.get()) && self.course.blocked.is_none()
        }
    }

    /// There may be events enough for a push, or they are to be sent at once.
    pub(super) fn lingers_no_more_if_full(&mut self) {
        if matches!(self.course.push, Push::Waiting { reason: Delay::Linger, .. }) && !self.is_to_linger() {
            self.course.push = Push::Idle;
        }
    }

    /// What was waited for until a time that has come is over. Whether it was for more events.
    fn push_waited(&mut self, now: Time) -> bool {
        if self.stopped {
            return false;
        }
        if self.not_before.push <= now {
            self.not_before.push = Time::ZERO;
        }
        match self.course.push {
            Push::Waiting { until, reason, .. } if until <= now => {
                self.course.push = Push::Idle;
                reason == Delay::Linger
            }
            _ => false,
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
        let Some(call) = self.lands(&batch) else { return Ok(spent(batch, outcome)) };
        let at = Moment { now, random };
        let (outcome, asked) = match outcome.map_err(PushError::into_parts) {
            Ok(()) => (Ok(()), None),
            Err((error, asked)) => (Err(error), asked),
        };
        if let Some(asked) = asked {
            self.not_before.push = now.saturating_add(asked);
        }
        let mut effects = Effects::default();
        let answered = self.answered(&call, batch, outcome, at, &mut effects);
        if let Some(error) = call.failed {
            self.course.push = Push::Failed { error };
        }
        match answered {
            Ok(()) => Ok(effects),
            Err(error) => Err(Refused { error, effects }),
        }
    }

    /// The push in flight, if this is its batch, is in flight no longer.
    fn lands(&mut self, batch: &Batch<L>) -> Option<Landed<L::Position>> {
        if !self.is_sending(batch) {
            return None;
        }
        let Push::Sending { ticket, count, unconfirmed, base, epoch, fate, ref mut failed } = self.course.push else {
            return None;
        };
        let failed = failed.take();
        self.course.push = Push::Idle;
        Some(Landed { ticket, count, unconfirmed, base, epoch, fate, failed })
    }

    /// # Errors
    ///
    /// The log's.
    // What follows is written where the caller has it: handed on as results, it would be copied by each of these functions
    // right after it was written, for which the processor has to wait.
    fn answered(
        &mut self,
        call: &Landed<L::Position>,
        batch: Batch<L>,
        outcome: Result<(), PushError<L::Position>>,
        at: Moment,
        effects: &mut Effects<L::Entry>,
    ) -> Result<(), SharedError> {
        if call.fate == Fate::Open && outcome.is_ok() {
            return self.accepted(call, batch, at, effects);
        }
        *effects = if call.ticket <= self.former.push {
            self.former_lands()
        } else if let Err(PushError::Fatal { kind, error }) = &outcome {
            if !self.is_late(call) {
                self.course.push = Push::Failed { error: Failure::Upstream { kind: *kind, error: error.clone() } };
            }
            Effects::default()
        } else if call.fate == Fate::Open {
            self.not_taken(call, &outcome, at)
        } else {
            self.decided(call, outcome.is_ok(), at)
        };
        effects.spent = spent(batch, outcome).spent;
        Ok(())
    }

    /// Whether this push was begun before the owner's last restart: that its events cannot be taken says nothing, for it does
    /// not know what the owner has changed.
    pub(super) fn is_late(&self, call: &Landed<L::Position>) -> bool {
        call.ticket <= self.before_restart.push
    }

    /// What follows from an answer to a push about which nothing was decided: upstream has not taken it, or may have.
    fn not_taken(
        &mut self,
        call: &Landed<L::Position>,
        outcome: &Result<(), PushError<L::Position>>,
        at: Moment,
    ) -> Effects<L::Entry> {
        self.hurry();
        match outcome {
            Err(PushError::Behind { head }) => return self.behind(call, *head, at),
            Err(PushError::Uncertain { .. }) => return self.uncertain(call, at),
            Err(PushError::Unavailable { retry_after, .. }) => {
                self.counters.unavailable += 1;
                let until = at.now.saturating_add(self.failure_delay(at.random)).max(self.not_before.push);
                self.course.push = Push::Waiting { until, asked: retry_after.is_some(), reason: Delay::Unavailable };
            }
            Err(PushError::Rejected { index, error }) => return self.rejects(call, *index, error.clone(), at),
            Err(PushError::TooLarge { error }) => return self.too_large(call, error.clone()),
            Err(PushError::Fatal { .. } | PushError::RetryAfter { .. }) | Ok(()) => {}
        }
        Effects::default()
    }

    /// What follows from the answer to a push that merges have decided.
    fn decided(&mut self, call: &Landed<L::Position>, taken: bool, at: Moment) -> Effects<L::Entry> {
        match (call.fate, taken) {
            // Upstream should have refused it.
            (Fate::Overtaken, true) => {
                self.doubt(call.base, call.unconfirmed);
                return self.fence(Time::ZERO);
            }
            (Fate::Overtaken, false) => self.overtaken(at),
            (_, true) => self.counters.accepted += 1,
            (_, false) => {}
        }
        Effects::default()
    }

    /// A push has come to nothing, for others were faster.
    pub(super) fn overtaken(&mut self, at: Moment) {
        self.hurry();
        self.course.overtaken = self.course.overtaken.saturating_add(1);
        self.try_again(at);
    }

    /// Upstream's `push` has panicked with this message. The push may have been taken.
    ///
    /// A panic is as good as a fatal answer; the panic of an earlier push than the latest changes nothing.
    pub fn push_panicked(&mut self, batch: Batch<L>, failure: Failure) -> Effects<L::Entry> {
        let Some(call) = self.lands(&batch) else { return spent(batch, Ok(())) };
        if call.fate == Fate::Open {
            self.may_have_been_taken(call.base, call.count, call.unconfirmed);
        }
        let present = call.ticket > self.former.push && call.ticket > self.before_restart.push;
        let mut effects = Effects::default();
        if let Some(error) = call.failed.or(Some(failure).filter(|_| present)) {
            self.course.push = Push::Failed { error };
        } else {
            effects = self.former_lands();
        }
        effects.spent = spent(batch, Ok(())).spent;
        effects
    }

    /// A push for a former log has ended, however it did. If the present log goes on with what it carried, a pull that
    /// begins now shows whether it was taken.
    fn former_lands(&mut self) -> Effects<L::Entry> {
        let Some(doubt) = &mut self.course.doubt else { return Effects::default() };
        doubt.pull = self.begun.pull + 1;
        if self.is_open() { self.fence(Time::ZERO) } else { self.ask_for_catch_up() }
    }

    /// The pusher cannot go on, for a reason that is not upstream's. A push that is in flight goes on, and its outcome counts.
    /// If something has failed already, the first failure stays.
    pub fn push_unsent(&mut self, failure: Failure) {
        match &mut self.course.push {
            Push::Failed { .. } => {}
            Push::Sending { failed, .. } => drop(failed.get_or_insert(failure)),
            push => *push = Push::Failed { error: failure },
        }
    }

    /// Whether a push may have been taken by upstream without an answer, and nothing has decided it since.
    pub fn is_uncertain(&self) -> bool {
        self.course.doubt.is_some()
    }

    /// Whether what upstream has after its head here may be a push without an answer: to send that again could be to send
    /// it twice.
    pub(super) fn is_open(&self) -> bool {
        self.course.doubt.is_some_and(|doubt| self.log.upstream_head() <= doubt.base)
    }

    /// A push that was made to follow this event may have been taken, and so many of its events have not been seen: the first
    /// that are pending. So are those of a push before it that nothing has decided.
    pub(super) fn doubt(&mut self, base: L::Position, unconfirmed: usize) {
        let before = self.course.doubt.map_or(0, |doubt| doubt.unconfirmed);
        self.course.doubt = Some(Doubt { base, unconfirmed: unconfirmed.max(before), pull: self.begun.pull + 1 });
    }

    /// A push about which nothing was decided has ended without an answer, or its answer will be of no consequence.
    pub(super) fn may_have_been_taken(&mut self, base: L::Position, count: usize, unconfirmed: usize) {
        self.doubt(base, unconfirmed);
        if unconfirmed == count && !self.is_open() {
            // Another event stands where it was to stand.
            self.course.doubt = None;
        }
    }

    /// If the epoch is still the one of the moment when the batch was made, nothing has been merged since.
    fn accepted(
        &mut self,
        call: &Landed<L::Position>,
        batch: Batch<L>,
        at: Moment,
        effects: &mut Effects<L::Entry>,
    ) -> Result<(), SharedError> {
        self.counters.accepted += 1;
        self.push_succeeded();
        // What a push before this one may have been taken with.
        let more = self.course.doubt.filter(|doubt| doubt.unconfirmed > call.unconfirmed);
        // Until the log has it.
        self.doubt(self.log.upstream_head(), call.unconfirmed);
        let merged = if self.epoch == call.epoch {
            self.confirm(batch.entries, at, effects)
        } else {
            self.merge(batch.entries, Direction::Push, at, effects)
        };
        match &merged {
            Ok(()) => {
                if !matches!(self.course.push, Push::Failed { .. }) {
                    let left = |doubt: Doubt<_>| Doubt { unconfirmed: doubt.unconfirmed - call.unconfirmed, ..doubt };
                    self.course.doubt = more.map(left);
                }
            }
            Err(error) => self.course.push = Push::Failed { error: Failure::Log { error: error.clone() } },
        }
        merged
    }

    fn behind(&mut self, call: &Landed<L::Position>, target: Option<L::Position>, at: Moment) -> Effects<L::Entry> {
        self.counters.behind += 1;
        self.course.rejected = self.course.rejected.saturating_add(1);
        self.course.overtaken = self.course.overtaken.saturating_add(1);
        if let Some(head) = target.filter(|head| *head < call.base && !self.is_late(call)) {
            self.course.push = Push::Failed { error: contract::went_back(call.base, head) };
            return Effects::default();
        }
        // What it should wait for came while it was in flight; or it is not to be believed a second time.
        let changed = self.epoch != call.epoch;
        let reached = target.is_some_and(|target| self.log.upstream_head() >= target) && self.course.in_vain() == 1;
        if changed || reached {
            self.try_again(at);
            return Effects::default();
        }
        let until = if self.settings.live { at.now.saturating_add(self.settings.grace) } else { at.now };
        self.course.push = Push::Behind { since: call.epoch, target, until: Some(until), pull: self.begun.pull + 1 };
        self.tick(at.now)
    }

    fn uncertain(&mut self, call: &Landed<L::Position>, at: Moment) -> Effects<L::Entry> {
        self.counters.uncertain += 1;
        self.may_have_been_taken(call.base, call.count, call.unconfirmed);
        let until = at.now.saturating_add(self.failure_delay(at.random));
        if self.is_open() && self.settings.resend == Resend::AfterCatchUp {
            return self.fence(until);
        }
        self.course.push = Push::Waiting { until, asked: false, reason: Delay::Unavailable };
        Effects::default()
    }

    /// A push may have been taken: nothing is sent until that has been decided, nor before `until`.
    pub(super) fn fence(&mut self, until: Time) -> Effects<L::Entry> {
        self.course.push = Push::Uncertain { pull: self.begun.pull + 1, until };
        self.ask_for_catch_up()
    }

    /// The pusher goes on; not at once if others have been faster too often.
    fn try_again(&mut self, at: Moment) {
        self.course.push = match overtaken_delay(&self.settings, self.course.overtaken, at.random) {
            None => Push::Idle,
            Some(delay) => {
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
    pub(super) fn push_forgets(&mut self) {
        (self.course.push_failures, self.course.rejected, self.course.overtaken) = (0, 0, 0);
    }

    /// Upstream has taken a push.
    fn push_succeeded(&mut self) {
        self.push_forgets();
        self.course.may_cut = true;
    }

    pub(super) fn push_looks_again(&mut self) {
        self.push_forgets();
        self.hurry();
        match &mut self.course.push {
            Push::Waiting { .. } | Push::Behind { .. } => self.course.push = Push::Idle,
            Push::Uncertain { until, .. } => *until = Time::ZERO,
            _ => {}
        }
    }

    /// Applies entries that upstream has ordered, those that are not applied yet.
    ///
    /// # Errors
    ///
    /// The log's.
    pub(super) fn merge(
        &mut self,
        mut entries: Vec<L::Entry>,
        from: Direction,
        at: Moment,
        effects: &mut Effects<L::Entry>,
    ) -> Result<(), SharedError> {
        let head = self.log.upstream_head();
        let known = entries.iter().take_while(|entry| L::position(entry) <= head).count();
        self.passed.more(entries.drain(..known));
        let Some(last) = entries.last().map(L::position) else {
            effects.spent = std::mem::take(&mut self.passed);
            return Ok(());
        };
        let before = self.log.pending();
        let merged = self.log.merge(entries);
        effects.spent = std::mem::take(&mut self.passed);
        effects.merged = Some(merged.map_err(SharedError::from)?);
        self.merged(before, last, from, at, effects);
        Ok(())
    }

    /// Applies the log's own batch.
    ///
    /// # Errors
    ///
    /// The log's.
    fn confirm(
        &mut self,
        batch: Vec<L::Entry>,
        at: Moment,
        effects: &mut Effects<L::Entry>,
    ) -> Result<(), SharedError> {
        let Some(last) = batch.last().map(L::position) else { return Ok(()) };
        let before = self.log.pending();
        effects.merged = Some(self.log.confirm(batch).map_err(SharedError::from)?);
        self.merged(before, last, Direction::Push, at, effects);
        Ok(())
    }

    /// The log had so many events pending, and the effects say what has become of them in a merge up to `last`: what follows
    /// from that is added there.
    fn merged(
        &mut self,
        before: usize,
        last: L::Position,
        from: Direction,
        at: Moment,
        effects: &mut Effects<L::Entry>,
    ) {
        let Effects { merged: Some(merged), interrupt_push, interrupt_pull, spent } = effects else { return };
        let confirmed = merged.confirmed().iter().filter(|entry| !self.log.is_local_only(entry)).count();
        if self.log.upstream_head() >= last {
            self.shows(confirmed);
        }
        *interrupt_push = self.advanced(merged.is_rebase(), confirmed, at);
        self.settles(confirmed, merged.dropped(), spent);
        self.note_merged(merged, confirmed, at.now);
        if let Err(failure) = contract::merged(&self.log, merged, before, confirmed, last) {
            spent.error(self.unblock());
            match from {
                Direction::Push => self.push_unsent(failure),
                Direction::Pull => {
                    self.pull_failed(failure);
                    *interrupt_pull = true;
                }
            }
        }
    }

    /// Upstream's head has moved, and so many events are confirmed of a push without an answer, if there is one.
    fn shows(&mut self, confirmed: usize) {
        if self.is_open() {
            return;
        }
        if let Some(doubt) = &mut self.course.doubt {
            doubt.unconfirmed = doubt.unconfirmed.saturating_sub(confirmed);
            // All of it has been seen; or another event stands where it was to stand.
            if doubt.unconfirmed == 0 || confirmed == 0 {
                self.course.doubt = None;
            }
        }
    }

    /// Upstream's head has moved, and so many pending events are confirmed. Returns whether the push in flight has been
    /// decided.
    fn advanced(&mut self, rebase: bool, confirmed: usize, at: Moment) -> bool {
        *(if rebase { &mut self.counters.rebases } else { &mut self.counters.advances }) += 1;
        self.epoch += 1;
        self.course.rejected = 0;
        let head = self.log.upstream_head();
        let open = self.is_open();
        let reached = |target: Option<L::Position>| target.is_none_or(|target| head >= target);
        match &mut self.course.push {
            Push::Behind { target, .. } | Push::Waiting { asked: false, reason: Delay::Behind { target }, .. } => {
                if reached(*target) {
                    self.try_again(at);
                }
                false
            }
            &mut Push::Uncertain { until, .. } if !open => {
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
        // What is in flight for a former log may be taken yet, and shown by no pull of before.
        let under_way = matches!(self.course.push, Push::Sending { ticket, .. } if ticket <= self.former.push);
        if !under_way && self.course.doubt.is_some_and(|doubt| doubt.pull <= caught_up) {
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
            Push::Waiting { reason: Delay::Unavailable, .. } if self.course.unreached && self.course.may_cut => {
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
#[non_exhaustive]
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

/// How long the next push waits after so many in a row that others overtook; `None` if it does not.
pub(super) fn overtaken_delay(settings: &Settings, overtaken: u32, random: u64) -> Option<Duration> {
    let more = overtaken.checked_sub(OVERTAKEN_AT_ONCE + 1)?;
    Some(settings.backoff.starting_at(settings.contention).delay(more.min(OVERTAKEN_DOUBLINGS), random))
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
        let failed = |error: &'static str| Failure::Log { error: error.into() };
        let sending = |count, fate| Push::Sending {
            ticket: 3,
            count,
            unconfirmed: count,
            base: 0,
            epoch: 0,
            fate,
            failed: (count == 3).then(|| failed("a gap")),
        };
        let waiting = |until, asked, reason| Push::Waiting { until, asked, reason };
        let states: [(Push<u64>, &str); 15] = [
            (Push::Idle, "is idle"),
            (sending(1, Fate::Open), "sends push 3, of 1 event"),
            (sending(2, Fate::Overtaken), "sends push 3, of 2 events, which a rebase has overtaken"),
            (sending(2, Fate::Confirmed), "sends push 3, of 2 events, which a merge has confirmed"),
            (
                sending(3, Fate::Open),
                "sends push 3, of 3 events, and has failed: the log refused what upstream sent: a gap",
            ),
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
            (waiting(ms(100), false, Delay::Linger), "backs off until 100ms, for more to come"),
            (waiting(ms(100), false, Delay::Overtaken), "backs off until 100ms, for others are faster"),
            (waiting(Time::MAX, true, Delay::Unavailable), "rests until the end of time, as upstream asked"),
            (Push::Failed { error: failed("a gap") }, "has failed: the log refused what upstream sent: a gap"),
        ];
        for (state, words) in states {
            assert_eq!(state.to_string(), words);
        }
    }
}
