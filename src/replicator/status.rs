//! How things stand.

use std::fmt;
use std::time::Duration;

use super::choices::Decision;
use super::core::{Core, State};
use super::owed::{Owed, Pending, from, in_milliseconds, waiting_on_from};
use crate::SharedError;
use crate::log::Log;
use crate::protocol::{Counters, Direction, Next, Progress, Pull, Push, Time, WaitingOn};

/// How a [`Replicator`](super::Replicator) stands.
///
/// All times in it are counted from the moment of the status on: `WaitingOn::Clock` of two seconds means in two seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status<P> {
    /// Who owes the next move. While something is pending a party always does.
    pub waiting_on: WaitingOn,
    /// For how long.
    pub waiting_for: Duration,
    /// Who owes the next move before more of upstream's events can come; [`Nothing`](WaitingOn::Nothing) if no pull is needed
    /// until something else happens.
    pub pull_waiting_on: WaitingOn,
    /// Counts the changes of what a status shows: see [`status_changed`](super::Replicator::status_changed).
    pub revision: u64,
    /// In what time the pusher or the puller goes on by itself, if one of them waits for a time.
    pub next_try_in: Option<Duration>,
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
    /// How many changes of the log the [journal](super::Builder::journal) has not written. 0 without one.
    pub unwritten: usize,
    /// For how long, at most, the first of them has been waiting.
    pub unwritten_for: Duration,
    /// What only the owner can end, with what there is to be done about it. Empty if all goes its way.
    pub decisions: Vec<Decision>,
    /// How far the log has come. When a pull has last caught up is how long ago.
    pub progress: Progress<P>,
    /// The epoch: how many merges there have been, and requests of the owner's to look again.
    pub epoch: u64,
    /// What has happened so far. `pushes` and `pulls` are the generations of the latest push and pull.
    pub counters: Counters,
    /// The last error of a call to upstream, of the log, or of a waker or a drop in one of the two threads. The success of
    /// its direction ends it, and so does a reset.
    pub last_error: Option<LastError>,
}

/// The last thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastError {
    /// In which direction.
    pub direction: Direction,
    /// What.
    pub error: SharedError,
    /// How long ago.
    pub ago: Duration,
}

impl fmt::Display for LastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.direction, self.error)
    }
}

impl<P: Copy + Ord> Status<P> {
    pub(super) fn of<L: Log<Position = P>>(state: &State<L>, now: Time) -> Self {
        let (protocol, (waiting_on, since)) = (&state.protocol, &state.waiting_on);
        let mut push = protocol.push().clone();
        match &mut push {
            Push::Behind { until: Some(until), .. } | Push::Uncertain { until, .. } | Push::Waiting { until, .. } => {
                *until = from(now, *until);
            }
            _ => {}
        }
        let mut pull = protocol.pull().clone();
        if let Pull::Waiting { until, .. } = &mut pull {
            *until = from(now, *until);
        }
        let next = [protocol.push_due(), protocol.pull_due()].into_iter().filter_map(|due| match due {
            Next::Wait { until } => until.map(|time| from(now, time)),
            Next::Do(()) | Next::Stop => None,
        });
        Self {
            waiting_on: waiting_on_from(now, waiting_on),
            waiting_for: now.saturating_sub(*since),
            pull_waiting_on: waiting_on_from(now, &protocol.pull_waiting_on()),
            revision: state.revision,
            next_try_in: next.min(),
            pending: protocol.log().pending(),
            head: protocol.log().head(),
            upstream_head: protocol.log().upstream_head(),
            push,
            pull,
            unwritten: protocol.unwritten(),
            unwritten_for: state
                .writes
                .as_ref()
                .and_then(|writes| writes.unwritten_since)
                .map_or(Duration::ZERO, |since| now.saturating_sub(since)),
            decisions: state.decisions(now),
            progress: protocol.progress().since(now),
            epoch: protocol.epoch(),
            counters: *protocol.counters(),
            last_error: state.last_error().map(|(direction, error, at)| LastError {
                direction,
                error: error.clone(),
                ago: now.saturating_sub(at),
            }),
        }
    }
}

impl<P> fmt::Display for Status<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pending, waiting_on, waiting_for, .. } = self;
        write!(f, "{}", Pending(*pending))?;
        if *pending == 0 {
            return self.decisions.first().map_or(Ok(()), |decision| write!(f, "; {decision}"));
        }
        let (owed, waiting_for) = (Owed(waiting_on), in_milliseconds(*waiting_for));
        write!(f, "; for {waiting_for:?} the next move has been owed by {owed}")
    }
}

impl<L: Log> Core<L> {
    /// How things stand, and whether they stay so.
    pub(super) fn status(&self) -> (Status<L::Position>, bool) {
        let now = self.now();
        self.look(|state| (Status::of(state, state.latest(now)), state.is_closed()))
    }
}
