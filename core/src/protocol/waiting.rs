//! Who owes the next move.

use super::{Delay, Direction, Protocol, Pull, Push, Time, WaitingOn};
use crate::log::Log;

impl<L: Log> Protocol<L> {
    /// Who must move before another pending event can be confirmed.
    pub fn waiting_on(&self) -> WaitingOn {
        if self.log.pending() == 0 {
            return WaitingOn::Nothing;
        }
        let not_before = self.not_before.push;
        match &self.course.push {
            Push::Failed { error } | Push::Sending { failed: Some(error), .. } => WaitingOn::Owner(error.clone()),
            Push::Sending { .. } => WaitingOn::Upstream(Direction::Push),
            Push::Idle | Push::Waiting { .. } | Push::Behind { .. }
                if self.rejected().is_some_and(|(index, _)| index == 0) =>
            {
                self.failure().cloned().map_or(WaitingOn::Pusher, WaitingOn::Owner)
            }
            _ if self.journal_failure().is_some() => self.waiting_on_journal(),
            _ if self.stopped => WaitingOn::Stopped,
            Push::Behind { until: None, .. } | Push::Uncertain { .. } => self.waiting_on_pull(),
            Push::Behind { until: Some(until), .. } => WaitingOn::Clock(*until),
            _ if self.paused.push => WaitingOn::Gate(Direction::Push),
            Push::Idle if self.sendable() == 0 => WaitingOn::Journal,
            Push::Waiting { until, asked: false, reason: Delay::Unavailable } if *until >= not_before => {
                WaitingOn::Connectivity(*until)
            }
            Push::Waiting { until, .. } => WaitingOn::Clock(not_before.max(*until)),
            Push::Idle if not_before > Time::ZERO => WaitingOn::Clock(not_before),
            Push::Idle => WaitingOn::Pusher,
        }
    }

    /// Who must move before more of upstream's events can come. `Nothing` if no pull is needed until something else happens.
    pub fn pull_waiting_on(&self) -> WaitingOn {
        match &self.course.pull {
            Pull::Failed { .. } | Pull::Pulling { .. } => self.waiting_on_pull(),
            _ if self.stopped => WaitingOn::Stopped,
            Pull::Idle if !self.wants_pull() => self.course.poll.map_or(WaitingOn::Nothing, WaitingOn::Clock),
            Pull::Idle | Pull::Waiting { .. } => self.waiting_on_pull(),
        }
    }

    fn waiting_on_pull(&self) -> WaitingOn {
        let not_before = self.not_before.pull;
        match &self.course.pull {
            Pull::Failed { error } => WaitingOn::Owner(error.clone()),
            Pull::Pulling { .. } => WaitingOn::Upstream(Direction::Pull),
            _ if self.journal_failure().is_some() => self.waiting_on_journal(),
            _ if self.paused.pull => WaitingOn::Gate(Direction::Pull),
            // The pull is over, and the call has not returned.
            _ if self.ended < self.begun.pull => WaitingOn::Upstream(Direction::Pull),
            Pull::Waiting { until, asked: false, reached: false } if *until >= not_before => {
                WaitingOn::Connectivity(*until)
            }
            Pull::Waiting { until, .. } => WaitingOn::Clock(not_before.max(*until)),
            Pull::Idle if !self.is_cursor_recorded() => WaitingOn::Journal,
            Pull::Idle if not_before > Time::ZERO => WaitingOn::Clock(not_before),
            Pull::Idle => WaitingOn::Puller,
        }
    }

    fn waiting_on_journal(&self) -> WaitingOn {
        self.journal_failure().cloned().map_or(WaitingOn::Journal, WaitingOn::Owner)
    }
}
