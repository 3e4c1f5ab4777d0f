//! Who may do what next: pushing and pulling as a pure state machine.
//!
//! [`Protocol`] has no threads, no I/O and no clock. Every input is a method, time is an argument ([`Time`], counted from
//! whenever the driver likes), and what a driver is to do is asked with [`next_push`](Protocol::next_push) and
//! [`next_pull`](Protocol::next_pull). The [`Replicator`](crate::Replicator) drives it with two threads; tasks, an event
//! loop or a model checker could as well.
//!
//! # The pusher
//!
//! The pusher's state ([`Push`]) says what would make it move again; a parked pusher without a cause cannot be written
//! down.
//!
//! | state | left by |
//! | --- | --- |
//! | `Idle` | something pending, and the gate open: `Sending` |
//! | `Sending` | the outcome: `Idle`, `Behind`, `Uncertain`, `Waiting`, `Failed` |
//! | `Behind` | an advance or rebase (to upstream's head, if it was told); a catch-up that has finished, even an empty one; a restart, a resume, `retry_now` |
//! | `Uncertain` | a pull that **began after** the outcome and has caught up |
//! | `Waiting` | the time; a reconnect, a resume, `retry_now` |
//! | `Failed` | the owner: `restart` |
//!
//! # The race that one would fear
//!
//! A push is rejected as *behind*, and by the time the answer is handled the advance that it should wait for has come and
//! gone. So the **epoch**, which every event counts that could end a wait, is read before sending, and `Behind` is entered
//! only if it is unchanged; otherwise the pusher looks again at once. Reading, comparing and counting happen in methods of
//! one value, hence under one lock.
//!
//! # No progress depends on an unsolicited message
//!
//! `Behind` and `Uncertain` lead to a **catch-up**: a pull that begins after the outcome. `Uncertain` asks for it at once,
//! `Behind` after a short grace in which a live pull usually brings the news. A catch-up is owed until a pull with the
//! right number reports, however many fail in between. It is asked for by number, so a pull that had begun before cannot
//! be mistaken for it.

mod pull;
mod push;
mod settings;
mod shape;
mod status;

use std::time::Duration;

pub use self::pull::{NextPull, Pull};
pub use self::push::{NextPush, Push};
pub use self::settings::{Resend, Settings};
pub use self::shape::Shape;
pub use self::status::{Counters, Direction, Failure, WaitingOn};
use crate::known_bugs::bug;
use crate::log::{Log, Merged};

/// A point in time: how long after an origin of the driver's choice.
pub type Time = Duration;

/// The state machine. See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Protocol<L: Log> {
    log: L,
    settings: Settings,
    push: Push<L::Position>,
    pull: Pull,
    push_paused: bool,
    pull_paused: bool,
    /// No push and no pull begins any more. Set once.
    stopped: bool,
    /// Counts every event that could end a wait of the pusher's.
    epoch: u64,
    /// Pushes begun; the number of the latest is its ticket.
    pushes: u64,
    /// Pulls begun; the number of the latest is its ticket.
    pulls: u64,
    /// The pull, by number, that must have caught up before a catch-up is no longer owed.
    catch_up: u64,
    /// Pushes that were rejected or failed since one was accepted or somebody asked to look again.
    push_attempts: u32,
    /// Pulls that failed since one brought something.
    pull_attempts: u32,
    /// Whether a pull could not reach upstream and none has caught up since: the next that does is a reconnect.
    unreached: bool,
    /// Whether the log has refused a page and none has been applied since: the next refusal is a failure.
    refused: bool,
    counters: Counters,
}

/// What an input led to, beyond the state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the driver has to carry it out"]
pub struct Effects<T> {
    /// What was merged into the log, if anything.
    pub merged: Option<Merged<T>>,
    /// The push in flight can only be rejected: whoever waits for its answer need not.
    pub interrupt_push: bool,
    /// The pull in flight began too early, or is not wanted any more: it is to end.
    pub interrupt_pull: bool,
}

impl<T> Default for Effects<T> {
    fn default() -> Self {
        Self { merged: None, interrupt_push: false, interrupt_pull: false }
    }
}

/// What a direction waits for, as far as its driver is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// There is something to do.
    Go,
    /// There will be, at this time.
    At(Time),
    /// Somebody else has to do something first.
    Nothing,
}

impl<L: Log> Protocol<L> {
    /// A protocol that has neither pushed nor pulled yet. The log may hold pending events.
    pub fn new(log: L, settings: Settings) -> Self {
        Self {
            log,
            settings,
            push: Push::Idle,
            pull: Pull::Idle,
            push_paused: false,
            pull_paused: false,
            stopped: false,
            epoch: 0,
            pushes: 0,
            pulls: 0,
            catch_up: 1,
            push_attempts: 0,
            pull_attempts: 0,
            unreached: false,
            refused: false,
            counters: Counters::default(),
        }
    }

    /// The log.
    pub fn log(&self) -> &L {
        &self.log
    }

    /// Gives the log back.
    pub fn into_log(self) -> L {
        self.log
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the pusher is doing.
    pub fn push(&self) -> &Push<L::Position> {
        &self.push
    }

    /// What the puller is doing.
    pub fn pull(&self) -> &Pull {
        &self.pull
    }

    /// How many events have happened that could end a wait of the pusher's.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What has happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Appends local events. Returns how many of them are to be sent.
    ///
    /// # Errors
    ///
    /// The log's, and nothing is appended.
    pub fn commit(&mut self, events: Vec<L::Event>) -> Result<usize, L::Error> {
        let sent = self.log.append(events)?;
        self.counters.commits += 1;
        Ok(sent)
    }

    /// Appends local events that their author has numbered.
    ///
    /// # Errors
    ///
    /// The log's if they do not follow its head, and nothing is appended.
    pub fn commit_numbered(&mut self, entries: Vec<L::Entry>) -> Result<usize, L::Error> {
        let sent = self.log.admit(entries)?;
        self.counters.commits += 1;
        Ok(sent)
    }

    /// Closes a direction's gate: nothing new begins in it. A push in flight goes on; a pull is to end.
    pub fn pause(&mut self, direction: Direction) -> Effects<L::Entry> {
        *self.paused(direction) = true;
        Effects { interrupt_pull: direction == Direction::Pull && self.end_pull(), ..Effects::default() }
    }

    /// Opens a direction's gate and looks again, without waiting out a backoff.
    pub fn resume(&mut self, direction: Direction) {
        *self.paused(direction) = false;
        self.look_again(direction);
    }

    /// Ends every wait that time would end: both directions look again now. A pull begins in any case.
    pub fn retry_now(&mut self) -> Effects<L::Entry> {
        self.look_again(Direction::Push);
        self.look_again(Direction::Pull);
        self.ask_for_catch_up()
    }

    /// Goes on after a failure of either direction. If a push may have been taken when the pusher failed, nothing is sent
    /// before a catch-up has shown it.
    pub fn restart(&mut self) -> Effects<L::Entry> {
        self.look_again(Direction::Push);
        self.look_again(Direction::Pull);
        if let Pull::Failed { .. } = self.pull {
            self.pull = Pull::Idle;
        }
        match self.push {
            Push::Failed { uncertain: true, .. } => self.fence(Time::ZERO),
            Push::Failed { .. } => {
                self.push = Push::Idle;
                Effects::default()
            }
            _ => Effects::default(),
        }
    }

    /// Begins anew with another log; returns the old one. What is in flight is of no consequence any more.
    pub fn reset(&mut self, log: L) -> (L, Effects<L::Entry>) {
        let former = std::mem::replace(&mut self.log, log);
        self.epoch += 1;
        let (sending, pulling) = (self.abandon_push(), self.end_pull());
        self.pull = Pull::Idle;
        self.catch_up = self.pulls + 1;
        (self.push_attempts, self.pull_attempts) = (0, 0);
        (former, Effects { interrupt_push: sending, interrupt_pull: pulling, ..Effects::default() })
    }

    /// Nothing begins any more, and what is in flight is to end; its outcome still counts.
    pub fn stop(&mut self) -> Effects<L::Entry> {
        self.stopped = true;
        Effects { interrupt_push: true, interrupt_pull: self.end_pull(), ..Effects::default() }
    }

    /// Whether [`stop`](Self::stop) has been called.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    fn paused(&mut self, direction: Direction) -> &mut bool {
        match direction {
            Direction::Push => &mut self.push_paused,
            Direction::Pull => &mut self.pull_paused,
        }
    }

    /// Somebody who knows better ends a wait.
    fn look_again(&mut self, direction: Direction) {
        self.epoch += 1;
        match direction {
            Direction::Push => {
                self.push_attempts = 0;
                if matches!(self.push, Push::Waiting { .. } | Push::Behind { .. }) && !bug!(LookAgainEndsNoWait) {
                    self.push = Push::Idle;
                }
            }
            Direction::Pull => {
                self.pull_attempts = 0;
                if let Pull::Waiting { .. } = self.pull {
                    self.pull = Pull::Idle;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
