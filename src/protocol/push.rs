//! The pusher's half.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::status::at;
use super::{Effects, Failure, Protocol, Resend, Signal, Time};
use crate::known_bugs::bug;
use crate::log::{Log, Merged};
use crate::upstream::{Batch, PushError};

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
        /// The epoch before it was sent.
        epoch: u64,
        /// A rebase has overtaken it: it can only be rejected, and its answer changes nothing.
        lost: bool,
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
    /// The outcome of a push is unknown: nothing is sent until a pull that began afterwards has caught up.
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
        /// Whether upstream asked for the delay: a reconnect does not cut it short.
        asked: bool,
    },
    /// Trying again cannot help: the owner decides.
    Failed {
        /// Why.
        error: Failure,
        /// Whether a push may have been taken without an answer.
        uncertain: bool,
    },
}

impl<P: fmt::Debug> fmt::Display for Push<P> {
    /// What comes after "the pusher".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("is idle"),
            Self::Sending { ticket, count, lost, .. } => {
                let events = if *count == 1 { "event" } else { "events" };
                let lost = if *lost { ", which a rebase has overtaken" } else { "" };
                write!(f, "sends push {ticket}, of {count} {events}{lost}")
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
            Self::Waiting { until, .. } => write!(f, "backs off until {}", at(*until)),
            Self::Failed { error, .. } => write!(f, "has failed: {error}"),
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
        match self.push {
            Push::Idle => {}
            Push::Waiting { until, .. } if until <= now => {
                self.push = Push::Idle;
                if bug!(RetryReturnsToIdle) {
                    return NextPush::Wait(None);
                }
            }
            Push::Waiting { until, .. } => return NextPush::Wait(Some(until)),
            Push::Behind { until, .. } => return NextPush::Wait(until),
            Push::Sending { .. } | Push::Uncertain { .. } | Push::Failed { .. } => return NextPush::Wait(None),
        }
        if self.push_paused || self.log.pending() == 0 {
            return NextPush::Wait(None);
        }
        let mut entries = self.log.batch(self.settings.batch);
        if bug!(PrefixBypass) {
            let all = self.log.batch(NonZeroUsize::MAX).into_iter();
            entries = all.skip(self.push_attempts as usize).take(self.settings.batch.get()).collect();
        }
        self.pushes += 1;
        self.push = Push::Sending { ticket: self.pushes, count: entries.len(), epoch: self.epoch, lost: false };
        self.counters.pushes += 1;
        NextPush::Send(Batch { base: self.log.upstream_head(), entries, ticket: self.pushes })
    }

    /// What the pusher would be woken for.
    pub(crate) fn push_signal(&self) -> Signal {
        match self.push {
            _ if self.stopped => Signal::Go,
            Push::Idle if !self.push_paused && self.log.pending() > 0 => Signal::Go,
            Push::Waiting { until, .. } | Push::Behind { until: Some(until), .. } => Signal::At(until),
            _ => Signal::Nothing,
        }
    }

    /// The time has come that [`next_push`](Self::next_push) named.
    pub fn tick(&mut self, now: Time) -> Effects<L::Entry> {
        match &mut self.push {
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
    ) -> Result<Effects<L::Entry>, L::Error> {
        let Push::Sending { ticket, epoch, lost, .. } = self.push else { return Ok(Effects::default()) };
        if ticket != batch.ticket {
            return Ok(Effects::default());
        }
        self.push = Push::Idle;
        if lost {
            return Ok(self.lost_push_ended(&outcome));
        }
        match outcome {
            Ok(()) => self.accepted(batch, epoch),
            Err(PushError::Behind { head }) => Ok(self.behind(epoch, head, now)),
            Err(PushError::Unavailable { .. }) if bug!(InferredSuccess) && self.push_paused => {
                self.accepted(batch, epoch)
            }
            Err(PushError::Unavailable { retry_after, .. }) => {
                self.counters.unavailable += 1;
                let delay = retry_after.unwrap_or_default().max(self.push_delay(random));
                self.push = Push::Waiting { until: now.saturating_add(delay), asked: retry_after.is_some() };
                if bug!(ParkOffline) {
                    self.push = Push::Behind { since: epoch, target: None, until: None, pull: u64::MAX };
                }
                Ok(Effects::default())
            }
            Err(PushError::Uncertain { .. }) => Ok(self.uncertain(random, now)),
            Err(PushError::Fatal { kind, error }) => {
                self.push = Push::Failed { error: Failure::Upstream { kind, error }, uncertain: false };
                Ok(Effects::default())
            }
        }
    }

    /// The pusher cannot go on, for a reason that is not upstream's. A push that was in flight may have been taken.
    pub fn push_failed(&mut self, failure: Failure) {
        self.push = Push::Failed { error: failure, uncertain: true };
    }

    /// The pusher cannot go on, for a reason that is not upstream's; nothing was sent.
    pub fn push_unsent(&mut self, failure: Failure) {
        self.push = Push::Failed { error: failure, uncertain: false };
    }

    /// `epoch` is that of the moment when the batch was made: if it is the same still, nothing has been merged since.
    fn accepted(&mut self, batch: Batch<L>, epoch: u64) -> Result<Effects<L::Entry>, L::Error> {
        self.counters.accepted += 1;
        self.push_attempts = 0;
        let effects = if self.epoch == epoch { self.confirm(batch.entries) } else { self.merge(batch.entries) };
        effects.inspect_err(|error| self.push = Push::Failed { error: Failure::log(error), uncertain: true })
    }

    fn behind(&mut self, epoch: u64, target: Option<L::Position>, now: Time) -> Effects<L::Entry> {
        self.counters.behind += 1;
        self.push_attempts = self.push_attempts.saturating_add(1);
        let changed = self.epoch != epoch;
        let reached = target.is_some_and(|target| self.log.upstream_head() >= target);
        if (changed || reached) && !bug!(ParkedFlag, LateRejection) {
            // What it should wait for came while it was in flight.
            return Effects::default();
        }
        // The engines that had these bugs had no catch-up either.
        let passive = bug!(
            ResumeOnRebaseOnly,
            ResumeOnAdvanceOnly,
            ParkedFlag,
            LateRejection,
            RejectAndClear,
            PassiveAfterLostEcho
        );
        let until = if self.settings.live { now.saturating_add(self.settings.grace) } else { now };
        self.push =
            Push::Behind { since: epoch, target, until: Some(until).filter(|_| !passive), pull: self.pulls + 1 };
        self.tick(now)
    }

    fn uncertain(&mut self, random: u64, now: Time) -> Effects<L::Entry> {
        self.counters.uncertain += 1;
        let until = now.saturating_add(self.push_delay(random));
        if self.settings.resend == Resend::Idempotent || bug!(ResendUncertain) {
            self.push = Push::Waiting { until, asked: false };
            return Effects::default();
        }
        self.fence(until)
    }

    /// A push may have been taken: nothing is sent until a pull that begins from now on has caught up, nor before `until`.
    pub(super) fn fence(&mut self, until: Time) -> Effects<L::Entry> {
        let pull = if bug!(CatchUpPolledAfterRun) { self.pulls } else { self.pulls + 1 };
        self.push = Push::Uncertain { pull, until };
        self.ask_for_catch_up()
    }

    /// The answer to a push that a rebase has overtaken. Only one answer tells anything: upstream should have refused.
    fn lost_push_ended(&mut self, outcome: &Result<(), PushError<L::Position>>) -> Effects<L::Entry> {
        match outcome {
            Ok(()) => self.fence(Time::ZERO),
            Err(PushError::Fatal { kind, error }) => {
                self.push =
                    Push::Failed { error: Failure::Upstream { kind: *kind, error: error.clone() }, uncertain: false };
                Effects::default()
            }
            Err(_) => Effects::default(),
        }
    }

    /// The delay after another push that failed.
    fn push_delay(&mut self, random: u64) -> Duration {
        let delay = self.settings.backoff.delay(self.push_attempts, random);
        self.push_attempts = self.push_attempts.saturating_add(1);
        delay
    }

    /// Applies entries that upstream has ordered, those that are not applied yet.
    pub(super) fn merge(&mut self, mut entries: Vec<L::Entry>) -> Result<Effects<L::Entry>, L::Error> {
        let head = self.log.upstream_head();
        let known = entries.iter().take_while(|entry| L::position(entry) <= head).count();
        entries.drain(..known);
        if entries.is_empty() {
            return Ok(Effects::default());
        }
        let merged = self.log.merge(entries)?;
        Ok(self.merged(merged))
    }

    /// Applies the log's own batch.
    fn confirm(&mut self, batch: Vec<L::Entry>) -> Result<Effects<L::Entry>, L::Error> {
        let merged = self.log.confirm(batch)?;
        Ok(self.merged(merged))
    }

    fn merged(&mut self, merged: Merged<L::Entry>) -> Effects<L::Entry> {
        let interrupt_push = self.advanced(&merged);
        Effects { merged: Some(merged), interrupt_push, interrupt_pull: false }
    }

    /// Upstream's head has moved. Returns whether the push in flight has lost.
    fn advanced(&mut self, merged: &Merged<L::Entry>) -> bool {
        let rebase = merged.is_rebase();
        *(if rebase { &mut self.counters.rebases } else { &mut self.counters.advances }) += 1;
        self.epoch += 1;
        match &mut self.push {
            Push::Behind { .. } if bug!(ResumeOnAdvanceOnly) && rebase => false,
            Push::Behind { .. } if bug!(ResumeOnRebaseOnly) && !rebase => false,
            Push::Behind { target, .. } => {
                if target.is_none_or(|target| self.log.upstream_head() >= target) {
                    self.push = Push::Idle;
                }
                false
            }
            Push::Sending { lost, .. } => {
                *lost |= rebase;
                rebase || bug!(RestartOnEveryAdvance)
            }
            _ => false,
        }
    }

    /// A pull has caught up: it, or a later one, may be what the pusher waits for.
    pub(super) fn pusher_hears(&mut self, caught_up: u64, news: bool, random: u64, now: Time) {
        self.epoch += 1;
        if bug!(EmptyCatchUpWakesNobody) && !news {
            return;
        }
        match self.push {
            Push::Behind { pull, .. } if pull <= caught_up && !bug!(ResumeOnRebaseOnly, ParkedFlag, LateRejection) => {
                // Nothing new, twice in a row: upstream says one thing to a push and another to a pull. Not so fast.
                let until =
                    if news || self.push_attempts < 2 { now } else { now.saturating_add(self.push_delay(random)) };
                self.wait_until(until, now);
            }
            Push::Uncertain { pull, until } if pull <= caught_up => self.wait_until(until, now),
            Push::Waiting { asked: false, .. } if self.unreached && !bug!(ParkOffline) => {
                self.push = Push::Idle;
            }
            _ => {}
        }
    }

    fn wait_until(&mut self, until: Time, now: Time) {
        self.push = if until <= now { Push::Idle } else { Push::Waiting { until, asked: false } };
    }

    /// Whether this is the push in flight: its outcome is still awaited.
    pub fn is_sending(&self, batch: &Batch<L>) -> bool {
        matches!(self.push, Push::Sending { ticket, .. } if ticket == batch.ticket)
    }

    /// The push in flight, if there is one, is of no consequence any more. Returns whether there is one.
    pub(super) fn abandon_push(&mut self) -> bool {
        match &mut self.push {
            Push::Sending { lost, .. } => {
                *lost = true;
                true
            }
            _ => {
                self.push = Push::Idle;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_says_what_ends_it() {
        let ms = Duration::from_millis;
        let behind = |target, until| Push::Behind { since: 4, target, until, pull: 2 };
        let failed = Push::Failed { error: Failure::Log { error: "a gap".into() }, uncertain: false };
        let states: [(Push<u64>, &str); 10] = [
            (Push::Idle, "is idle"),
            (Push::Sending { ticket: 3, count: 1, epoch: 0, lost: false }, "sends push 3, of 1 event"),
            (
                Push::Sending { ticket: 3, count: 2, epoch: 0, lost: true },
                "sends push 3, of 2 events, which a rebase has overtaken",
            ),
            (behind(None, None), "is behind since epoch 4, until there is news or pull 2 has caught up"),
            (behind(Some(9), None), "is behind since epoch 4, until upstream's head is 9 or pull 2 has caught up"),
            (
                behind(None, Some(ms(250))),
                "is behind since epoch 4, until there is news, and asks for a catch-up at 250ms",
            ),
            (Push::Uncertain { pull: 2, until: ms(0) }, "is uncertain until pull 2 has caught up"),
            (Push::Waiting { until: ms(100), asked: false }, "backs off until 100ms"),
            (Push::Waiting { until: Time::MAX, asked: true }, "backs off until the end of time"),
            (failed, "has failed: the log refused what upstream sent: a gap"),
        ];
        for (state, words) in states {
            assert_eq!(state.to_string(), words);
        }
    }
}
