//! The puller's half.

use std::fmt;

use super::messages::{More, Page, PullError};
use super::status::at;
use super::{Direction, Effects, Failure, Moment, Next, Progress, Protocol, Refused, Spent, Time};
use crate::Backoff;
use crate::log::Log;

/// What the puller is doing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pull {
    /// Pulls as soon as it is to: at once if pulls are live, or else when a catch-up is owed.
    Idle,
    /// One pull is going on.
    Pulling {
        /// Which.
        ticket: u64,
        /// Whether it has given out everything that upstream had when it began.
        caught_up: bool,
        /// Whether it has brought anything.
        news: bool,
        /// Whether it has been asked to end, to make room for another one or for none.
        ending: bool,
    },
    /// Backs off.
    Waiting {
        /// Until when.
        until: Time,
        /// Whether upstream asked for it: the time that it named holds whatever ends the backoff.
        asked: bool,
        /// Whether upstream could be reached: a live pull has ended as if there were nothing more to come.
        reached: bool,
    },
    /// Trying again cannot help: the owner decides.
    Failed {
        /// Why.
        error: Failure,
    },
}

impl fmt::Display for Pull {
    /// What comes after "the puller".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("is idle"),
            Self::Pulling { ticket, caught_up, ending, .. } => {
                let caught_up = if *caught_up { ", which has caught up" } else { "" };
                write!(f, "is in pull {ticket}{caught_up}{}", if *ending { ", and is to end" } else { "" })
            }
            Self::Waiting { until, asked: true, .. } => write!(f, "rests until {}, as upstream asked", at(*until)),
            Self::Waiting { until, .. } => write!(f, "backs off until {}", at(*until)),
            Self::Failed { error } => write!(f, "has failed: {error}"),
        }
    }
}

impl<L: Log> Protocol<L> {
    /// What the puller is to do and is woken for, until the next time that comes.
    pub fn pull_due(&self) -> Next<()> {
        let not_before = self.not_before.pull;
        match self.course.pull {
            _ if self.stopped => Next::Stop,
            Pull::Idle if !self.paused.pull && self.wants_pull() && self.is_cursor_recorded() => Next::from(not_before),
            Pull::Waiting { until, .. } => Next::Wait { until: Some(until.max(not_before)) },
            Pull::Idle => Next::Wait { until: self.course.poll },
            Pull::Pulling { .. } | Pull::Failed { .. } => Next::Wait { until: None },
        }
    }

    /// What the puller is to do: to pull what follows a cursor, and report to [`page_pulled`](Self::page_pulled) and
    /// [`pull_ended`](Self::pull_ended) under the ticket that stands before it; or to wait.
    #[must_use = "a pull that is not reported blocks the puller"]
    pub fn next_pull(&mut self, now: Time) -> Next<(u64, L::Position)> {
        self.pull_waited(now);
        match self.pull_due() {
            Next::Do(()) => {}
            Next::Wait { until } => return Next::Wait { until },
            Next::Stop => return Next::Stop,
        }
        self.begun.pull += 1;
        self.counters.pulls += 1;
        let ticket = self.begun.pull;
        self.course.pull = Pull::Pulling { ticket, caught_up: false, news: false, ending: false };
        Next::Do((ticket, self.log.upstream_head()))
    }

    /// What was waited for until a time that has come is over, also if there is nothing to pull.
    fn pull_waited(&mut self, now: Time) {
        if self.stopped {
            return;
        }
        if self.not_before.pull <= now {
            self.not_before.pull = Time::ZERO;
        }
        if matches!(self.course.pull, Pull::Waiting { until, .. } if until <= now) {
            self.course.pull = Pull::Idle;
        }
        if self.course.poll.is_some_and(|poll| poll <= now) {
            self.course.poll = None;
            self.course.catch_up = self.begun.pull + 1;
        }
    }

    pub(super) fn wants_pull(&self) -> bool {
        self.settings.live || self.course.catch_up > self.begun.pull
    }

    /// A pull must begin from now on and catch up.
    pub(super) fn ask_for_catch_up(&mut self) -> Effects<L::Entry> {
        self.course.catch_up = self.begun.pull + 1;
        Effects { interrupt_pull: self.end_pull(), ..Effects::default() }
    }

    /// Asks the pull that is going on to end. Returns whether there is one.
    pub(super) fn end_pull(&mut self) -> bool {
        let Pull::Pulling { ending, .. } = &mut self.course.pull else { return false };
        *ending = true;
        true
    }

    pub(super) fn pull_looks_again(&mut self) {
        self.pull_forgets();
        if let Pull::Waiting { .. } = self.course.pull {
            self.course.pull = Pull::Idle;
        }
    }

    /// A pull brought a page. A page of an earlier pull than the latest changes nothing.
    ///
    /// Events that are applied already are passed over.
    ///
    /// # Errors
    ///
    /// The log's, if the page does not follow. Nothing of it is applied, and this pull is over. The first time another one
    /// begins from the cursor, since a stream may have lost a page; if the log refuses again, the puller has failed.
    pub fn page_pulled(
        &mut self,
        ticket: u64,
        page: Page<L::Entry>,
        random: u64,
        now: Time,
    ) -> Result<Effects<L::Entry>, Refused<L::Entry>> {
        if !self.is_pulling(ticket) {
            return Ok(Effects { spent: Spent::entries(page.entries), ..Effects::default() });
        }
        self.counters.pages += 1;
        let at = Moment { now, random };
        let mut effects = Effects::default();
        if let Err(error) = self.merge(page.entries, Direction::Pull, at, &mut effects) {
            self.pull_failed(Failure::Log { error: error.clone() });
            if !std::mem::replace(&mut self.course.refused, true) {
                self.course.pull = Pull::Idle;
            }
            // It need not give out any more.
            effects.interrupt_pull = true;
            return Err(Refused { error, effects });
        }
        if effects.merged.is_some() {
            self.course.refused = false;
            self.pull_forgets();
            self.course.may_cut = true;
            if let Pull::Pulling { news, .. } = &mut self.course.pull {
                *news = true;
            }
        }
        self.course.progress.to_come = match page.more {
            More::Events(count) => Some(count),
            More::None | More::Unknown => None,
        };
        if page.more == More::None {
            self.caught_up(at);
        }
        if self.is_journal_full() {
            effects.interrupt_pull |= self.end_pull();
        }
        Ok(effects)
    }

    /// A pull has ended: `Ok` if it had given out everything. Of a pull that was over before, since the log had refused a page
    /// of it or had panicked, only the time counts that it names, and that it is fatal. The end of a pull that has ended
    /// before changes nothing.
    pub fn pull_ended(
        &mut self,
        ticket: u64,
        outcome: Result<(), PullError>,
        random: u64,
        now: Time,
    ) -> Effects<L::Entry> {
        let mut effects = Effects::default();
        if self.ended < ticket {
            self.ended = ticket;
            if let Err(PullError::Unavailable { retry_after: Some(asked), .. }) = &outcome {
                self.not_before.pull = now.saturating_add(*asked);
            }
            self.pull_answered(ticket, &outcome, Moment { now, random });
            if !self.settings.live && ticket > self.former.pull {
                let interval = self.settings.pull_interval.map(|interval| interval.max(Backoff::SHORTEST));
                self.course.poll = interval.map(|interval| now.saturating_add(interval));
            }
        }
        effects.spent.error(outcome.err().map(PullError::into_error));
        effects
    }

    /// What follows from the end of the latest pull, if it was not over before.
    fn pull_answered(&mut self, ticket: u64, outcome: &Result<(), PullError>, at: Moment) {
        let fatal = match outcome {
            Err(PullError::Fatal { kind, error }) if self.is_present(ticket) => {
                Some(Failure::Upstream { kind: *kind, error: error.clone() })
            }
            _ => None,
        };
        let Some((caught_up, news, ending)) = self.going_on(ticket) else {
            return fatal.into_iter().for_each(|failure| self.pull_failed(failure));
        };
        let former = ticket <= self.former.pull;
        if !caught_up && !former {
            match outcome {
                Ok(()) => self.caught_up(at),
                // What it should have shown is still owed.
                Err(_) => self.course.catch_up = self.begun.pull + 1,
            }
        }
        if at.now >= self.course.pull_proven && (caught_up || outcome.is_ok()) {
            self.course.may_cut |= self.course.pull_failures > 0;
            self.pull_forgets();
        }
        self.course.pull = match outcome {
            Err(PullError::Fatal { .. }) => fatal.map_or(Pull::Idle, |error| Pull::Failed { error }),
            _ if former || ending => Pull::Idle,
            // A live pull that ends at once, again and again, is as good as a failing one.
            Ok(()) if news || !self.settings.live => Pull::Idle,
            Ok(()) => self.pull_waits(false, true, at),
            Err(PullError::Unavailable { retry_after, .. }) => {
                self.counters.unavailable += 1;
                self.course.unreached = true;
                self.pull_waits(retry_after.is_some(), false, at)
            }
        };
    }

    /// Upstream's `pull` has panicked with this message: as good as a fatal end.
    pub fn pull_panicked(&mut self, ticket: u64, failure: Failure) {
        if ticket <= self.ended {
            return;
        }
        self.ended = ticket;
        if self.is_present(ticket) {
            self.pull_failed(failure);
        } else if self.going_on(ticket).is_some() {
            self.course.catch_up = self.begun.pull + 1;
            self.course.pull = Pull::Idle;
        }
    }

    /// Whether this pull has caught up, brought news, and been asked to end; `None` if it is over.
    fn going_on(&self, ticket: u64) -> Option<(bool, bool, bool)> {
        match self.course.pull {
            Pull::Pulling { ticket: present, caught_up, news, ending } if present == ticket => {
                Some((caught_up, news, ending))
            }
            _ => None,
        }
    }

    /// Whether this pull is the latest, and knows what the owner has changed: it is for the present log, and was begun after
    /// the last restart.
    fn is_present(&self, ticket: u64) -> bool {
        ticket == self.begun.pull && ticket > self.former.pull && ticket > self.before_restart.pull
    }

    /// The puller cannot go on, for a reason that is not upstream's. If it has failed already, the first failure stays.
    pub fn pull_failed(&mut self, failure: Failure) {
        if let Pull::Failed { .. } = self.course.pull {
            return;
        }
        self.course.catch_up = self.begun.pull + 1;
        self.course.pull = Pull::Failed { error: failure };
    }

    /// Whether this pull is the latest, still going on, and for the present log.
    pub fn is_pulling(&self, ticket: u64) -> bool {
        ticket > self.former.pull
            && matches!(self.course.pull, Pull::Pulling { ticket: present, .. } if present == ticket)
    }

    fn caught_up(&mut self, at: Moment) {
        let Pull::Pulling { ticket, caught_up, .. } = &mut self.course.pull else { return };
        *caught_up = true;
        let ticket = *ticket;
        self.course.progress = Progress { caught_up: Some((at.now, self.log.upstream_head())), to_come: Some(0) };
        self.pusher_hears(ticket, at);
        self.course.unreached = false;
    }

    /// After another pull that failed, or ended without news.
    fn pull_waits(&mut self, asked: bool, reached: bool, at: Moment) -> Pull {
        let delay = self.settings.backoff.delay(self.course.pull_failures, at.random);
        self.course.pull_failures = self.course.pull_failures.saturating_add(1);
        let until = at.now.saturating_add(delay).max(self.not_before.pull);
        self.course.pull_proven = until.saturating_add(delay);
        Pull::Waiting { until, asked, reached }
    }

    /// Whatever has gone wrong with pulls counts no more.
    fn pull_forgets(&mut self) {
        (self.course.pull_failures, self.course.pull_proven) = (0, Time::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_said_in_words() {
        let pulling = |caught_up, ending| Pull::Pulling { ticket: 2, caught_up, news: false, ending };
        let waiting = |asked| Pull::Waiting { until: Time::from_secs(1), asked, reached: true };
        let states = [
            (Pull::Idle, "is idle"),
            (pulling(false, false), "is in pull 2"),
            (pulling(true, false), "is in pull 2, which has caught up"),
            (pulling(false, true), "is in pull 2, and is to end"),
            (waiting(false), "backs off until 1s"),
            (waiting(true), "rests until 1s, as upstream asked"),
            (Pull::Failed { error: Failure::Panicked { message: "no".into() } }, "has failed: a panic in no"),
        ];
        for (state, words) in states {
            assert_eq!(state.to_string(), words);
        }
    }
}
