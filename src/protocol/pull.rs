//! The puller's half.

use std::fmt;

use super::status::at;
use super::{Effects, Failure, Protocol, Signal, Time};
use crate::known_bugs::bug;
use crate::log::Log;
use crate::upstream::{More, Page, PullError};

/// What the puller is doing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
            Self::Waiting { until } => write!(f, "backs off until {}", at(*until)),
            Self::Failed { error } => write!(f, "has failed: {error}"),
        }
    }
}

/// What a puller is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextPull<P> {
    /// Pull what follows `cursor`, report to [`Protocol::page_pulled`] and [`Protocol::pull_ended`] under this ticket.
    Pull {
        /// Which pull this is.
        ticket: u64,
        /// Where it begins.
        cursor: P,
    },
    /// Wait for a change, until this time if there is one.
    Wait(Option<Time>),
    /// Nothing any more.
    Stop,
}

impl<L: Log> Protocol<L> {
    /// What the puller is to do.
    pub fn next_pull(&mut self, now: Time) -> NextPull<L::Position> {
        if self.stopped {
            return NextPull::Stop;
        }
        match self.pull {
            Pull::Waiting { until } if until > now => return NextPull::Wait(Some(until)),
            Pull::Idle => {}
            Pull::Waiting { .. } if bug!(WaitOutlivesItsTime) => {}
            // Over, also if there is nothing to pull.
            Pull::Waiting { .. } => self.pull = Pull::Idle,
            Pull::Pulling { .. } | Pull::Failed { .. } => return NextPull::Wait(None),
        }
        if self.pull_paused || !self.wants_pull() {
            return NextPull::Wait(None);
        }
        self.pulls += 1;
        self.counters.pulls += 1;
        self.pull = Pull::Pulling { ticket: self.pulls, caught_up: false, news: false, ending: false };
        NextPull::Pull { ticket: self.pulls, cursor: self.log.upstream_head() }
    }

    /// What the puller would be woken for.
    pub(crate) fn pull_signal(&self) -> Signal {
        match self.pull {
            _ if self.stopped => Signal::Go,
            Pull::Idle if !self.pull_paused && self.wants_pull() => Signal::Go,
            Pull::Waiting { until } => Signal::At(until),
            _ => Signal::Nothing,
        }
    }

    fn wants_pull(&self) -> bool {
        self.settings.live || self.catch_up > self.pulls
    }

    /// A pull must begin from now on and catch up.
    pub(super) fn ask_for_catch_up(&mut self) -> Effects<L::Entry> {
        if bug!(CatchUpPolledAfterRun) && matches!(self.pull, Pull::Pulling { .. }) {
            return Effects::default();
        }
        self.catch_up = self.pulls + 1;
        Effects { interrupt_pull: self.end_pull(), ..Effects::default() }
    }

    /// Asks the pull that is going on to end. Returns whether there is one.
    pub(super) fn end_pull(&mut self) -> bool {
        let Pull::Pulling { ending, .. } = &mut self.pull else { return false };
        *ending = true;
        true
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
    ) -> Result<Effects<L::Entry>, L::Error> {
        if !self.is_pulling(ticket) {
            return Ok(Effects::default());
        }
        if bug!(PageDroppedWhileBusy) && matches!(self.push, super::Push::Sending { .. }) {
            return Ok(Effects::default());
        }
        self.counters.pages += 1;
        let effects = match self.merge(page.entries) {
            Ok(effects) => effects,
            Err(error) => {
                self.pull_failed(Failure::log(&error));
                if !std::mem::replace(&mut self.refused, true) {
                    self.pull = Pull::Idle;
                }
                return Err(error);
            }
        };
        self.refused &= effects.merged.is_none();
        if let (Pull::Pulling { news, .. }, true) = (&mut self.pull, effects.merged.is_some()) {
            *news = true;
        }
        if page.more == More::None {
            self.caught_up(random, now);
        }
        Ok(effects)
    }

    /// A pull has ended: `Ok` if it had given out everything. The end of an earlier pull than the latest changes nothing.
    pub fn pull_ended(&mut self, ticket: u64, outcome: Result<(), PullError>, random: u64, now: Time) {
        let Pull::Pulling { ticket: present, caught_up, news, ending } = self.pull else { return };
        if present != ticket {
            return;
        }
        if !caught_up {
            match outcome {
                Ok(()) => self.caught_up(random, now),
                // What it should have shown is still owed.
                Err(_) => self.catch_up = self.pulls + 1,
            }
        }
        self.pull = match outcome {
            Err(PullError::Fatal { kind, error }) => Pull::Failed { error: Failure::Upstream { kind, error } },
            _ if ending => Pull::Idle,
            // A live pull that ends at once, again and again, is as good as a failing one.
            Ok(()) if news || !self.settings.live => Pull::Idle,
            Ok(()) => Pull::Waiting { until: now.saturating_add(self.pull_delay(random)) },
            Err(PullError::Unavailable { retry_after, .. }) => {
                self.counters.unavailable += 1;
                self.unreached = true;
                let delay = retry_after.unwrap_or_default().max(self.pull_delay(random));
                Pull::Waiting { until: now.saturating_add(delay) }
            }
        };
    }

    /// The puller cannot go on, for a reason that is not upstream's.
    pub fn pull_failed(&mut self, failure: Failure) {
        self.catch_up = self.pulls + 1;
        self.pull = Pull::Failed { error: failure };
    }

    /// Whether this pull is the latest, and still going on.
    pub fn is_pulling(&self, ticket: u64) -> bool {
        matches!(self.pull, Pull::Pulling { ticket: present, .. } if present == ticket)
    }

    fn caught_up(&mut self, random: u64, now: Time) {
        let Pull::Pulling { ticket, caught_up, news, .. } = &mut self.pull else { return };
        *caught_up = true;
        let (ticket, news) = (*ticket, *news);
        self.pusher_hears(ticket, news, random, now);
        self.pull_attempts = 0;
        self.unreached = false;
    }

    fn pull_delay(&mut self, random: u64) -> std::time::Duration {
        let delay = self.settings.backoff.delay(self.pull_attempts, random);
        self.pull_attempts = self.pull_attempts.saturating_add(1);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_said_in_words() {
        let pulling = |caught_up, ending| Pull::Pulling { ticket: 2, caught_up, news: false, ending };
        let states = [
            (Pull::Idle, "is idle"),
            (pulling(false, false), "is in pull 2"),
            (pulling(true, false), "is in pull 2, which has caught up"),
            (pulling(false, true), "is in pull 2, and is to end"),
            (Pull::Waiting { until: Time::from_secs(1) }, "backs off until 1s"),
            (Pull::Failed { error: Failure::Panicked { message: "no".into() } }, "has failed: a panic in no"),
        ];
        for (state, words) in states {
            assert_eq!(state.to_string(), words);
        }
    }
}
