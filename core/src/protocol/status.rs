//! How things stand, in words: who owes the next move, what has failed, what has happened.

use std::error::Error;
use std::fmt;
use std::mem::discriminant;

use super::Time;
use super::messages::FatalKind;
use crate::SharedError;

/// Which half of replication: to upstream, or from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To upstream.
    Push,
    /// From upstream.
    Pull,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Push => "push",
            Self::Pull => "pull",
        })
    }
}

/// Who must move before another pending event can be confirmed. Something pending always has such a party.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitingOn {
    /// Nothing: no event is pending, or for a pull, none is needed.
    Nothing,
    /// The pusher: it is about to send.
    Pusher,
    /// The puller: it is about to pull, because the pusher needs what it brings.
    Puller,
    /// Upstream: a push or a pull waits for its answer.
    Upstream(Direction),
    /// Time: something happens then by itself. Upstream asked for the delay, or its answers were such that it is not to be
    /// asked again at once.
    Clock(Time),
    /// The connection: upstream could not be reached and is tried again at this time, or when told to.
    Connectivity(Time),
    /// The journal: what comes next must be durable before.
    Journal,
    /// The owner, who paused this direction.
    Gate(Direction),
    /// The owner: this will not go away by trying again.
    Owner(Failure),
    /// No party any more: the replicator was stopped while something was pending.
    Stopped,
}

impl fmt::Display for WaitingOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("no party: there is nothing to do"),
            Self::Pusher => f.write_str("the pusher"),
            Self::Puller => f.write_str("the puller"),
            Self::Upstream(direction) => write!(f, "upstream's answer to a {direction}"),
            Self::Clock(until) => write!(f, "the clock, until {}", at(*until)),
            Self::Connectivity(until) => write!(f, "the connection, tried again at {}", at(*until)),
            Self::Journal => f.write_str("the journal"),
            Self::Gate(direction) => write!(f, "the owner, who paused the {direction} direction"),
            Self::Owner(failure) => write!(f, "the owner: {failure}"),
            Self::Stopped => f.write_str("no party any more: stopped"),
        }
    }
}

/// A point in time, in words.
pub(super) fn at(time: Time) -> String {
    if time == Time::MAX { "the end of time".into() } else { format!("{time:?}") }
}

/// Why a direction, or the journal, cannot go on by itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// Upstream said so.
    Upstream {
        /// What it is about.
        kind: FatalKind,
        /// What it said.
        error: SharedError,
    },
    /// Upstream refuses a pending event for good. Those before it are not concerned.
    Rejected {
        /// What upstream said.
        error: SharedError,
    },
    /// The log refused what upstream sent.
    Log {
        /// What the log said.
        error: SharedError,
    },
    /// The log broke its contract.
    Contract {
        /// What was expected of it, and what came.
        error: SharedError,
    },
    /// The journal could not write. What is durable stays so; the rest is kept, and written after a restart.
    Journal {
        /// What the journal said.
        error: SharedError,
    },
    /// User code panicked: the log, the upstream or the journal.
    Panicked {
        /// In which call, and the panic's message.
        message: String,
    },
}

impl Failure {
    /// The error that it shows, if it is one of the user's.
    pub fn shared(&self) -> Option<SharedError> {
        match self {
            Self::Upstream { error, .. }
            | Self::Rejected { error }
            | Self::Log { error }
            | Self::Contract { error }
            | Self::Journal { error } => Some(error.clone()),
            Self::Panicked { .. } => None,
        }
    }

    /// Whether it is the very same, told by looking at no more than its place: nothing of the user's is called.
    #[inline]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Upstream { error, .. }, Self::Upstream { error: other, .. })
            | (Self::Rejected { error }, Self::Rejected { error: other })
            | (Self::Log { error }, Self::Log { error: other })
            | (Self::Contract { error }, Self::Contract { error: other })
            | (Self::Journal { error }, Self::Journal { error: other }) => error.is_same(other),
            (Self::Panicked { message }, Self::Panicked { message: other }) => message == other,
            _ => false,
        }
    }
}

impl WaitingOn {
    /// Whether only the owner can end it, or no party any more.
    #[inline]
    pub fn is_halted(&self) -> bool {
        matches!(self, Self::Owner(_) | Self::Gate(_) | Self::Stopped)
    }

    /// As `==`, but of failures only the very same are: nothing of the user's is called.
    #[inline]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Owner(failure), Self::Owner(other)) => failure.is_same(other),
            (Self::Upstream(direction), Self::Upstream(other)) | (Self::Gate(direction), Self::Gate(other)) => {
                direction == other
            }
            (Self::Clock(time), Self::Clock(other)) | (Self::Connectivity(time), Self::Connectivity(other)) => {
                time == other
            }
            _ => discriminant(self) == discriminant(other),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream { kind: FatalKind::IdentityMismatch, error } => {
                write!(f, "this is another upstream: {error}")
            }
            Self::Upstream { kind: FatalKind::WentBack, error } => write!(f, "upstream has lost events: {error}"),
            Self::Upstream { kind: FatalKind::CursorTooOld, error } => {
                write!(f, "upstream has no events any more that follow this log: {error}")
            }
            Self::Upstream { kind: FatalKind::Other, error } => write!(f, "upstream: {error}"),
            Self::Rejected { error } => write!(f, "upstream refuses an event for good: {error}"),
            Self::Log { error } => write!(f, "the log refused what upstream sent: {error}"),
            Self::Contract { error } => write!(f, "the log broke its contract: {error}"),
            Self::Journal { error } => write!(f, "the journal could not be written: {error}"),
            Self::Panicked { message } => write!(f, "a panic in {message}"),
        }
    }
}

impl Error for Failure {}

/// How far a log has come, as pulls have told. Another log begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Progress<P> {
    /// When a pull has last had everything that upstream had, and the last event of upstream's that was applied by then;
    /// `None` if none ever has.
    pub caught_up: Option<(Time, P)>,
    /// How many events of upstream's are still to come, if the last page [told](super::messages::More). Zero once a pull has
    /// caught up, though upstream may have new ones since.
    pub to_come: Option<u64>,
}

impl<P: Copy> Progress<P> {
    /// The same, with how long ago before `now` instead of when.
    #[must_use]
    pub fn since(self, now: Time) -> Self {
        let caught_up = self.caught_up.map(|(at, head)| (now.saturating_sub(at), head));
        Self { caught_up, ..self }
    }
}

impl<P> Default for Progress<P> {
    /// No pull has told anything.
    fn default() -> Self {
        Self { caught_up: None, to_come: None }
    }
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Commits admitted.
    pub commits: u64,
    /// Pushes begun.
    pub pushes: u64,
    /// Pushes that upstream accepted.
    pub accepted: u64,
    /// Pushes that upstream rejected because it was ahead.
    pub behind: u64,
    /// Pushes that upstream rejected because of one event that it refuses for good.
    pub rejected: u64,
    /// Pushes that upstream found too large.
    pub too_large: u64,
    /// Pending events that the owner has given up.
    pub given_up: u64,
    /// Pushes whose outcome stayed unknown.
    pub uncertain: u64,
    /// Pushes and pulls that could not reach upstream.
    pub unavailable: u64,
    /// Pulls begun.
    pub pulls: u64,
    /// Pages applied.
    pub pages: u64,
    /// Merges that left pending events as they were.
    pub advances: u64,
    /// Merges that gave pending events new numbers.
    pub rebases: u64,
    /// Batches of changes that the journal has written.
    pub writes: u64,
    /// Changes in them.
    pub changes: u64,
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};

    use super::Failure;
    use crate::protocol::FatalKind;

    #[test]
    fn failures_are_the_same_if_their_kinds_are_and_their_errors_say_the_same() {
        let of_each_kind = |words: &'static str| {
            [
                Failure::Upstream { kind: FatalKind::IdentityMismatch, error: words.into() },
                Failure::Upstream { kind: FatalKind::Other, error: words.into() },
                Failure::Log { error: words.into() },
                Failure::Rejected { error: words.into() },
                // In words as the second.
                Failure::Panicked { message: format!("upstream: {words}") },
                Failure::Contract { error: words.into() },
                Failure::Journal { error: words.into() },
            ]
        };
        let print = |failure: &Failure| {
            let mut hasher = DefaultHasher::new();
            failure.hash(&mut hasher);
            hasher.finish()
        };
        let (these, those) = ([of_each_kind("no"), of_each_kind("yes")], [of_each_kind("no"), of_each_kind("yes")]);
        for (a, one) in these.as_flattened().iter().enumerate() {
            for (b, other) in those.as_flattened().iter().enumerate() {
                assert_eq!(one == other, a == b, "{one}; {other}");
                assert_eq!(print(one) == print(other), a == b, "{one}; {other}");
            }
        }
    }
}
