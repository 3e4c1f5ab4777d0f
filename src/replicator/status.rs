//! How things stand.

use std::time::Duration;

use super::core::State;
use crate::log::Log;
use crate::protocol::{Counters, Pull, Push, Time, WaitingOn};

/// How a [`Replicator`](super::Replicator) stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status<P> {
    /// Who owes the next move. While something is pending there is always somebody.
    pub waiting_on: WaitingOn,
    /// For how long.
    pub waiting_for: Duration,
    /// How many events are still to be sent or confirmed.
    pub pending: usize,
    /// The last event's number.
    pub head: P,
    /// The number of the last event that upstream has ordered: the pull cursor.
    pub upstream_head: P,
    /// What the pusher is doing.
    pub push: Push<P>,
    /// What the puller is doing.
    pub pull: Pull,
    /// The epoch: how many events have happened that could end a wait of the pusher's.
    pub epoch: u64,
    /// What has happened so far. `pushes` and `pulls` are the generations of the latest push and pull.
    pub counters: Counters,
    /// The last error of a call to upstream or of the log, in words.
    pub last_error: Option<String>,
}

impl<P: Copy + Ord> Status<P> {
    pub(super) fn of<L: Log<Position = P>>(state: &State<L>, now: Time) -> Self {
        let protocol = &state.protocol;
        let (waiting_on, since) = &state.waiting_on;
        Self {
            waiting_on: waiting_on.clone(),
            waiting_for: now.saturating_sub(*since),
            pending: protocol.log().pending(),
            head: protocol.log().head(),
            upstream_head: protocol.log().upstream_head(),
            push: protocol.push().clone(),
            pull: protocol.pull().clone(),
            epoch: protocol.epoch(),
            counters: *protocol.counters(),
            last_error: state.last_error.clone(),
        }
    }
}
