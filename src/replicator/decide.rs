//! What only the owner can end, and how.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::time::Duration;

use thiserror::Error;

use super::core::State;
use super::{Replicator, Ticket};
use crate::log::Log;
use crate::platform::event::Input;
use crate::protocol::messages::FatalKind;
use crate::protocol::{DecisionError, Direction, Effects, Failure, Protocol, Time, Undecided};

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
        use Choice::*;
        match &self.matter {
            Matter::Failed { failure: Failure::Upstream { kind, .. }, .. } => match kind {
                FatalKind::CursorTooOld => &[ResetWith, Reset, Restart],
                FatalKind::IdentityMismatch | FatalKind::WentBack => &[Restart, ResetWith, Reset],
                FatalKind::Other => &[Restart, Reset],
            },
            Matter::Failed { .. } => &[Restart, ResetWith, Reset],
            Matter::Rejected { .. } => &[RetryRejected, ReplaceRejected, GiveUpEvent, GiveUpCommit],
            Matter::Paused { .. } => &[Resume],
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
    /// All of the commit to which that one belongs, as far as it is pending.
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
    /// Its commit is given up, as far as it is pending.
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
}

impl<L: Log> Replicator<L> {
    /// Replaces the log by what `replace` makes of it, in one step with all that is committed: the new log belongs to the
    /// same upstream and goes on with what is pending, in its order, but for the events at the indices that are returned
    /// with it (counted from 0, ascending). A snapshot that is newer than the log holds some of them, for instance.
    ///
    /// The tickets of what is still pending live on, those of a commit that has lost some of it are
    /// [closed](super::Settled::Closed). What upstream may have taken is not sent again before a catch-up has shown what
    /// became of it. Who listens to [updates](Self::updates) is told that [they end](super::RecvError::Replaced). Returns
    /// the log as it was.
    ///
    /// `replace` runs under the lock: be quick (load the snapshot before), and call nothing of the replicator's.
    ///
    /// ```
    /// # if latchwork::sync::IN_MODEL { return Ok(()) }
    /// use latchwork::log::{Log, MemoryLog};
    /// use latchwork::upstream::Memory;
    /// use latchwork::{Replicator, Settled};
    /// use std::num::NonZeroUsize;
    ///
    /// let replicator = Replicator::builder(MemoryLog::new(), Memory::new(0)).spawn()?;
    /// let ticket = replicator.commit(vec!["milk"])?;
    /// replicator.reset_with(|log| {
    ///     let pending = log.batch(NonZeroUsize::MAX).into_iter().map(|entry| entry.event);
    ///     (MemoryLog::rebasing().with_pending(log.upstream_head(), pending), Vec::new())
    /// })?;
    /// assert!(matches!(ticket.wait(), Settled::Confirmed(1)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`ResetError`]. Nothing has changed then, and the new log is dropped.
    pub fn reset_with(&self, replace: impl FnOnce(&L) -> (L, Vec<usize>)) -> Result<L, ResetError> {
        let (former, panicked) = self.core.apply(Input::Reset, |state| state.reset_with(replace));
        panicked.resume();
        former.unwrap_or_else(|message| Err(ResetError::Panicked(message)))
    }

    /// The pending event that upstream refuses for good, if there is one.
    ///
    /// # Panics
    ///
    /// If the log does when asked for it.
    pub fn rejected(&self) -> Option<Rejected<L::Entry>> {
        self.core.look(|state| {
            let (before, failure) = state.protocol.rejected()?;
            let entry = state.protocol.log().batch(NonZeroUsize::MIN.saturating_add(before)).pop()?;
            let in_commit = state.tickets.commit_of(before).len();
            Some(Rejected { entry, before, in_commit, failure: failure.clone() })
        })
    }

    /// Has the event that upstream refuses for good sent again as it is. Without one nothing changes.
    pub fn retry_rejected(&self) {
        self.step(Input::RetryRejected, Protocol::retry_rejected);
    }

    /// Puts another event in the place of the one that upstream refuses for good, in the same commit. Returns that one. Who
    /// listens to [updates](Self::updates) is told of a rebase.
    ///
    /// # Errors
    ///
    /// See [`DecisionError`]; the event is given back. Nothing has changed then.
    pub fn replace_rejected(&self, event: L::Event) -> Result<L::Entry, (DecisionError, Option<L::Event>)> {
        let mut event = Some(event);
        let (replaced, panicked) = self.core.apply(Input::Replace, |state| {
            let Some((index, _)) = state.protocol.rejected() else {
                return (Err(DecisionError::NothingRejected), Effects::default());
            };
            match state.protocol.replace(index, event.take().expect("a step is taken once")) {
                Ok((entry, effects)) => (Ok(entry), effects),
                Err((error, back)) => {
                    event = Some(back);
                    (Err(error), Effects::default())
                }
            }
        });
        panicked.resume();
        replaced.unwrap_or_else(|message| Err(DecisionError::Panicked(message))).map_err(|error| (error, event))
    }

    /// Gives up pending events: they leave the log and are handed back, those behind them get new numbers, and their ticket
    /// is [rejected](super::Settled::Rejected) once the rest of its commit has settled; all others live on. Who listens to
    /// [updates](Self::updates) is told of a rebase. So a commit that is not wanted any more is **cancelled** before it is
    /// sent.
    ///
    /// # Errors
    ///
    /// See [`DecisionError`]: above all if upstream may have them. Nothing has changed then.
    pub fn give_up(&self, what: GiveUp<'_, L::Position>) -> Result<Vec<L::Entry>, DecisionError> {
        let (given_up, panicked) = self.core.apply(Input::GiveUp, |state| state.give_up(&what));
        panicked.resume();
        given_up.unwrap_or_else(|message| Err(DecisionError::Panicked(message)))
    }

    /// Ends the calls to upstream that are going on, and looks again in both directions without waiting out a backoff that
    /// upstream has not asked for: the network has changed, or the machine has been asleep. What comes of the calls counts.
    pub fn reconnect(&self) {
        self.step(Input::Reconnect, Protocol::reconnect);
    }
}

impl<L: Log> State<L> {
    /// The owner gives up pending events.
    fn give_up(&mut self, what: &GiveUp<'_, L::Position>) -> (Result<Vec<L::Entry>, DecisionError>, Effects<L::Entry>) {
        let given_up = self.meant(what).and_then(|range| {
            let reason = self.protocol.rejected().filter(|(index, _)| range.contains(index));
            let reason = reason.and_then(|(_, failure)| failure.shared());
            let given_up = self.protocol.give_up(range)?;
            self.reason = reason;
            Ok(given_up)
        });
        match given_up {
            Ok((entries, effects)) => (Ok(entries), effects),
            Err(error) => (Err(error), Effects::default()),
        }
    }

    /// What the owner has chosen is to be done about an event that upstream has refused, if one stands there after a push
    /// that has brought no merge.
    pub(super) fn decides_by_itself(&mut self, mut effects: Effects<L::Entry>) -> Effects<L::Entry> {
        let what = match self.on_rejected {
            OnRejected::Block => return effects,
            OnRejected::GiveUpEvent => GiveUp::Rejected,
            OnRejected::GiveUpCommit => GiveUp::CommitOfRejected,
        };
        if effects.merged.is_none() {
            // If the log cannot do that it blocks, as without a choice.
            let (given_up, decided) = self.give_up(&what);
            self.after.discard_events::<L::Entry>(given_up.ok());
            effects.follow(decided);
        }
        effects
    }

    /// Which pending events are meant.
    fn meant(&self, what: &GiveUp<'_, L::Position>) -> Result<Range<usize>, DecisionError> {
        let rejected = || self.protocol.rejected().map(|(index, _)| index).ok_or(DecisionError::NothingRejected);
        match what {
            GiveUp::Rejected => rejected().map(|index| index..index + 1),
            GiveUp::CommitOfRejected => rejected().map(|index| self.tickets.commit_of(index)),
            GiveUp::Commit(ticket) => self.tickets.events_of(ticket).ok_or(DecisionError::Settled),
        }
    }

    /// What is waiting for the owner, at this time.
    pub(super) fn decisions(&self, now: Time) -> Vec<Decision> {
        let undecided = self.protocol.undecided().into_iter().zip(self.undecided);
        let decisions = undecided.filter_map(|(undecided, since)| {
            let matter = match undecided? {
                Undecided::Failed(direction, failure) => Matter::Failed { direction, failure: failure.clone() },
                Undecided::Rejected(before, failure) => Matter::Rejected { before, failure: failure.clone() },
                Undecided::Paused(direction) => Matter::Paused { direction },
            };
            Some(Decision { matter, waiting_for: now.saturating_sub(since?) })
        });
        decisions.collect()
    }
}
