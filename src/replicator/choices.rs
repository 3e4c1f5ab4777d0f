//! What only the owner can end, and what there is to choose from.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

#[cfg(doc)]
use super::Replicator;
use super::ticket::Ticket;
use crate::protocol::{Direction, Failure, FatalKind};

/// Something that waits for the owner: it does not go away by itself, and nothing is lost meanwhile.
///
/// See [when the owner must decide](crate::guide::decide).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// What it is.
    pub matter: Matter,
    /// For how long it has been waiting.
    pub waiting_for: Duration,
}

/// What waits for a [`Decision`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Matter {
    /// A direction has failed. The other one goes on as far as it can.
    Failed {
        /// Which.
        direction: Direction,
        /// Why.
        failure: Failure,
    },
    /// Upstream refuses a pending event for good. Those before it are sent, those behind it wait.
    Rejected {
        /// How many pending events stand before it.
        before: usize,
        /// Why.
        failure: Failure,
    },
    /// The owner has paused a direction.
    Paused {
        /// Which.
        direction: Direction,
    },
    /// The journal has failed. Nothing is sent or pulled, and what is durable stays so.
    Journal {
        /// Why.
        failure: Failure,
    },
}

/// What the owner can do about a [`Matter`]. Its words say what it would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Choice {
    /// [`Replicator::restart`].
    Restart,
    /// [`Replicator::reset_with`].
    ResetWith,
    /// [`Replicator::reset`].
    Reset,
    /// [`Replicator::retry_rejected`].
    RetryRejected,
    /// [`Replicator::replace_rejected`].
    ReplaceRejected,
    /// [`Replicator::give_up`], of [the event](GiveUp::Rejected).
    GiveUpEvent,
    /// [`Replicator::give_up`], of [its commit](GiveUp::CommitOfRejected).
    GiveUpCommit,
    /// [`Replicator::resume`].
    Resume,
}

impl Decision {
    /// What the owner can do, what helps most often first.
    #[must_use]
    pub fn choices(&self) -> &'static [Choice] {
        use Choice::{GiveUpCommit, GiveUpEvent, ReplaceRejected, Reset, ResetWith, Restart, Resume, RetryRejected};
        match &self.matter {
            Matter::Failed { failure: Failure::Upstream { kind, .. }, .. } => match kind {
                FatalKind::CursorTooOld => &[ResetWith, Reset, Restart],
                FatalKind::IdentityMismatch | FatalKind::WentBack => &[Restart, ResetWith, Reset],
                _ => &[Restart, Reset],
            },
            Matter::Failed { .. } => &[Restart, ResetWith, Reset],
            Matter::Rejected { .. } => &[RetryRejected, ReplaceRejected, GiveUpEvent, GiveUpCommit],
            Matter::Paused { .. } => &[Resume],
            Matter::Journal { .. } => &[Restart],
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.matter.fmt(f)
    }
}

impl fmt::Display for Matter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { direction, failure } => write!(f, "the {direction} direction has failed: {failure}"),
            Self::Rejected { before: 0, failure } => write!(f, "the first pending event: {failure}"),
            Self::Rejected { before, failure } => write!(f, "the pending event behind {before} others: {failure}"),
            Self::Paused { direction } => write!(f, "the {direction} direction is paused"),
            Self::Journal { failure } => failure.fmt(f),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restart => "restart: tries again, once what was wrong has been mended",
            Self::ResetWith => "reset_with: goes on with another log that holds what is pending",
            Self::Reset => "reset: begins anew with another log; what is pending is handed back with the old one",
            Self::RetryRejected => "retry_rejected: sends the event again as it is",
            Self::ReplaceRejected => "replace_rejected: sends another event in its place",
            Self::GiveUpEvent => "give_up, of the event: hands it back, and goes on with what is behind it",
            Self::GiveUpCommit => "give_up, of its commit: hands all of that back, and goes on with what is behind it",
            Self::Resume => "resume: goes on",
        })
    }
}

/// Which pending events are [given up](Replicator::give_up).
#[derive(Debug)]
#[non_exhaustive]
pub enum GiveUp<'a, P> {
    /// The one that upstream refuses for good.
    Rejected,
    /// All of the commit to which that one belongs, as far as it is pending. What was pending in the log as it was handed over
    /// counts as one commit: see [`Rejected::in_commit`].
    CommitOfRejected,
    /// All of this commit, as far as it is pending.
    Commit(&'a Ticket<P>),
}

/// What is done by itself about an event that upstream [refuses for good](crate::upstream::PushError::Rejected).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnRejected {
    /// Nothing: it blocks what is behind it until the owner decides.
    #[default]
    Block,
    /// It is given up, alone.
    GiveUpEvent,
    /// Its commit is given up, as far as it is pending. Of events that were pending in the log as it was handed over, after a
    /// crash for instance, it is not known which were committed together: such an event blocks.
    GiveUpCommit,
}

/// A pending event that upstream [refuses for good](crate::upstream::PushError::Rejected).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected<T> {
    /// The event.
    pub entry: T,
    /// How many pending events stand before it.
    pub before: usize,
    /// How many pending events its commit has, with it.
    pub in_commit: usize,
    /// Why, as [`Failure::Rejected`].
    pub failure: Failure,
}

/// Why a log was [not replaced](Replicator::reset_with).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResetError {
    /// The new log does not go on with what is pending.
    #[error("expected a log that goes on with {} of {pending} pending events, got one with {got}", pending - gone)]
    Pending {
        /// How many events are pending in the present log.
        pending: usize,
        /// How many of them the new one was said not to have.
        gone: usize,
        /// How many it has.
        got: usize,
    },
    /// The events that it was said not to have are none of those that are pending.
    #[error("expected indices below {pending} in ascending order of events that are gone, got {gone:?}")]
    Gone {
        /// How many events are pending in the present log.
        pending: usize,
        /// Which were said to be gone.
        gone: Vec<usize>,
    },
    /// Upstream may have some of the events that it was said not to have, and it is no newer than the present log: it cannot
    /// know what became of them.
    #[error(
        "expected a log with the first {0} events, which have been sent, or one that has more of upstream's events"
    )]
    Sent(usize),
    /// What was to replace it panicked, or one of the two logs.
    #[error("what was to replace the log panicked: {0}")]
    Panicked(String),
}

impl ResetError {
    pub(super) fn unless_it_goes_on(pending: usize, gone: &[usize], got: usize) -> Result<(), Self> {
        let ascending = gone.is_sorted_by(|one, next| one < next);
        if !ascending || gone.last().is_some_and(|last| *last >= pending) {
            return Err(Self::Gone { pending, gone: gone.to_vec() });
        }
        if pending - gone.len() != got {
            return Err(Self::Pending { pending, gone: gone.len(), got });
        }
        Ok(())
    }

    /// Upstream may have so many of the first events; the log is newer than the one before, or not.
    pub(super) fn unless_sent(sent: usize, gone: &[usize], newer: bool) -> Result<(), Self> {
        if newer || gone.iter().all(|gone| *gone >= sent) { Ok(()) } else { Err(Self::Sent(sent)) }
    }
}
