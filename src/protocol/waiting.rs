//! Who owes the next move.

use super::{Delay, Direction, Failure, Protocol, Pull, Push, WaitingOn};
use crate::log::Log;

impl<L: Log> Protocol<L> {
    /// Who must move before another pending event can be confirmed.
    pub fn waiting_on(&self) -> WaitingOn {
        if self.log.pending() == 0 {
            return WaitingOn::Nobody;
        }
        match &self.course.push {
            Push::Sending { .. } => WaitingOn::Upstream(Direction::Push),
            Push::Failed { error } => WaitingOn::Owner(error.clone()),
            _ if self.stopped => WaitingOn::Stopped,
            Push::Behind { until: None, .. } | Push::Uncertain { .. } => self.waiting_on_pull(),
            Push::Behind { until: Some(until), .. } => WaitingOn::Clock(*until),
            _ if self.push_paused => WaitingOn::Gate(Direction::Push),
            Push::Waiting { until, asked: false, reason: Delay::Unavailable } => WaitingOn::Connectivity(*until),
            Push::Waiting { until, .. } => WaitingOn::Clock(*until),
            Push::Idle => WaitingOn::Pusher,
        }
    }

    /// Who must move before more of upstream's events can come. `Nobody` if no pull is needed until something else happens.
    pub fn pull_waiting_on(&self) -> WaitingOn {
        match &self.course.pull {
            Pull::Failed { .. } | Pull::Pulling { .. } => self.waiting_on_pull(),
            _ if self.stopped => WaitingOn::Stopped,
            Pull::Idle if !self.wants_pull() => WaitingOn::Nobody,
            Pull::Idle | Pull::Waiting { .. } => self.waiting_on_pull(),
        }
    }

    fn waiting_on_pull(&self) -> WaitingOn {
        match &self.course.pull {
            Pull::Failed { error } => WaitingOn::Owner(error.clone()),
            Pull::Pulling { .. } => WaitingOn::Upstream(Direction::Pull),
            _ if self.pull_paused => WaitingOn::Gate(Direction::Pull),
            Pull::Waiting { until, asked: false, reached: false } => WaitingOn::Connectivity(*until),
            Pull::Waiting { until, .. } => WaitingOn::Clock(*until),
            Pull::Idle => WaitingOn::Puller,
        }
    }

    /// The failure that the owner has to decide about, if there is one: the pusher's, or else the puller's.
    pub fn failure(&self) -> Option<&Failure> {
        match (&self.course.push, &self.course.pull) {
            (Push::Failed { error }, _) | (_, Pull::Failed { error }) => Some(error),
            _ => None,
        }
    }
}
