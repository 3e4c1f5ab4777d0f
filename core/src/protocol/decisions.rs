//! Pending events that the owner decides about: one that upstream refuses for good, and those that are no longer wanted.
//!
//! Upstream takes a batch or does not, and orders what it takes. So an event that it refuses for good stands in the way of
//! all behind it. Those before it are sent; then it **blocks**, visibly, until the owner has it tried again, puts another in
//! its place, or gives it up. Nothing is skipped by itself: what stands behind may rest on it.
//!
//! An event leaves in this way only if upstream cannot have it: none of a batch that is in flight, nor of one
//! [that may have been taken](super#what-may-have-been-taken).

use std::num::NonZeroUsize;
use std::ops::Range;

use thiserror::Error;

use super::push::Landed;
use super::{Direction, Doubt, Effects, Failure, Moment, Protocol, Pull, Push, Spent, contract};
use crate::SharedError;
use crate::log::{Changed, Log, Merged};

/// A pending event that upstream has refused for good.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Blocked {
    /// Which of the events that are to be sent, counted from 0. It may be sent as soon as that is known to be wrong.
    pub index: usize,
    /// Always [`Failure::Rejected`].
    pub failure: Failure,
}

/// Why a pending event stays.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecisionError {
    /// Upstream may have it, or may have it yet.
    #[error("expected an event that upstream cannot have taken, got one of the first {0}, which have been sent")]
    Sent(usize),
    /// There is no such event.
    #[error("expected some of {pending} pending events, got {} to {}", range.start, range.end)]
    Absent {
        /// How many there are.
        pending: usize,
        /// Which were meant, counted from 0.
        range: Range<usize>,
    },
    /// The log [cannot give up](Log::give_up) or [replace](Log::replace) events, or not by such an event.
    #[error("the log cannot give up an event or put this one in its place")]
    Unsupported,
    /// Upstream refuses no pending event.
    #[error("expected an event that upstream refuses, there is none")]
    NothingRejected,
    /// The commit has settled, or is another replicator's.
    #[error("expected a commit that has not settled")]
    Settled,
    /// The log panicked.
    #[error("the log panicked: {0}")]
    Panicked(String),
}

/// What was given up, and what follows.
type GivenUp<L> = (Vec<<L as Log>::Entry>, Effects<<L as Log>::Entry>);
/// What another event stands in the place of, and what follows.
type Replaced<L> = (<L as Log>::Entry, Effects<<L as Log>::Entry>);
/// Why not, and the event that was to stand there.
type NotReplaced<L> = (DecisionError, <L as Log>::Event);

/// Something that only the owner can end. Of each kind there is one at most, in this order.
#[derive(Debug, Clone, Copy)]
pub enum Undecided<'a> {
    /// A direction has failed.
    Failed(Direction, &'a Failure),
    /// Upstream refuses the event behind so many others for good.
    Rejected(usize, &'a Failure),
    /// The owner has paused a direction.
    Paused(Direction),
    /// The journal has failed.
    Journal(&'a Failure),
}

impl<L: Log> Protocol<L> {
    /// What only the owner can end, by its kind.
    pub fn undecided(&self) -> [Option<Undecided<'_>>; 6] {
        [
            self.push_failure().map(|failure| Undecided::Failed(Direction::Push, failure)),
            self.rejected().map(|(index, failure)| Undecided::Rejected(index, failure)),
            self.pull_failure().map(|failure| Undecided::Failed(Direction::Pull, failure)),
            self.paused.push.then_some(Undecided::Paused(Direction::Push)),
            self.paused.pull.then_some(Undecided::Paused(Direction::Pull)),
            self.journal_failure().map(Undecided::Journal),
        ]
    }

    /// Whether there is one of [these](Self::undecided).
    #[inline]
    pub fn is_undecided(&self) -> bool {
        self.paused.push || self.paused.pull || self.failure().is_some()
    }

    /// The failure that the owner has to decide about, if there is one: the pusher's, or that of an event that upstream
    /// refuses, or else the puller's, or else the journal's.
    #[inline]
    pub fn failure(&self) -> Option<&Failure> {
        let rejected = || self.rejected().map(|(_, failure)| failure);
        self.push_failure().or_else(rejected).or_else(|| self.pull_failure()).or_else(|| self.journal_failure())
    }

    fn push_failure(&self) -> Option<&Failure> {
        match &self.course.push {
            Push::Failed { error } | Push::Sending { failed: Some(error), .. } => Some(error),
            _ => None,
        }
    }

    fn pull_failure(&self) -> Option<&Failure> {
        match &self.course.pull {
            Pull::Failed { error } => Some(error),
            _ => None,
        }
    }

    /// The pending event that upstream refuses for good, counted from 0, and why: those before it are sent without it.
    pub fn rejected(&self) -> Option<(usize, &Failure)> {
        self.course.blocked.as_ref().map(|blocked| (blocked.index, &blocked.failure))
    }

    /// How many events are pending that may be sent: those before one that upstream refuses, as far as the journal lets
    /// them.
    pub(super) fn sendable(&self) -> usize {
        let pending = self.recorded();
        self.course.blocked.as_ref().map_or(pending, |blocked| blocked.index.min(pending))
    }

    /// How many of the first pending events upstream may have, or may have yet.
    pub fn sent(&self) -> usize {
        let in_flight = match self.course.push {
            Push::Sending { ticket, unconfirmed, .. } if ticket > self.former.push => unconfirmed,
            _ => 0,
        };
        in_flight.max(self.course.doubt.map_or(0, |Doubt { unconfirmed, .. }| unconfirmed))
    }

    /// The owner gives up these pending events, counted from 0: they leave the log, and those behind them get new numbers.
    /// What was refused for good may be among them or not.
    ///
    /// # Errors
    ///
    /// See [`DecisionError`]. Nothing has changed then.
    pub fn give_up(&mut self, range: Range<usize>) -> Result<GivenUp<L>, DecisionError> {
        let before = self.decidable(&range)?;
        let given_up = self.log.give_up(range.clone()).ok_or(DecisionError::Unsupported)?;
        self.counters.given_up += range.len() as u64;
        self.note(|| Changed::GivenUp { start: range.start, count: range.len() });
        let effects = self.owner_decided(before, &range, range.clone().collect());
        Ok((given_up, effects))
    }

    /// The owner puts another event in the place of a pending one, counted from 0, under the same number. Returns that one.
    ///
    /// # Errors
    ///
    /// See [`DecisionError`]. Nothing has changed then, and the event is given back.
    pub fn replace(&mut self, index: usize, event: L::Event) -> Result<Replaced<L>, NotReplaced<L>> {
        let before = match self.decidable(&(index..index.saturating_add(1))) {
            Ok(before) => before,
            Err(error) => return Err((error, event)),
        };
        let former = self.log.replace(index, event).map_err(|event| (DecisionError::Unsupported, event))?;
        if self.durable.is_some() {
            match self.log.batch(NonZeroUsize::MIN.saturating_add(index)).pop() {
                Some(entry) => self.note(|| Changed::Replaced { index, entry }),
                None => self.note_anew(),
            }
        }
        let effects = self.owner_decided(before, &(index..index + 1), Vec::new());
        Ok((former, effects))
    }

    /// The owner has the event that upstream refuses tried once more, as it is. Without one nothing changes.
    pub fn retry_rejected(&mut self) -> Effects<L::Entry> {
        self.refusal_is_decided()
    }

    /// The owner has decided about some of the `before` events that were pending: these have left the log, or others stand in
    /// their place.
    fn owner_decided(&mut self, before: usize, range: &Range<usize>, dropped: Vec<usize>) -> Effects<L::Entry> {
        let mut effects = Effects::default();
        match &mut self.course.blocked {
            Some(blocked) if range.contains(&blocked.index) => effects = self.refusal_is_decided(),
            Some(blocked) if blocked.index >= range.end => blocked.index -= dropped.len(),
            _ => {}
        }
        if let Err(failure) = contract::given_up(before, dropped.len(), self.log.pending()) {
            self.push_unsent(failure);
        }
        // What stands there anew has moved too.
        let moved = before - range.start - dropped.len();
        effects.merged = Some(Merged::Rebase { new: Vec::new(), confirmed: Vec::new(), moved, dropped });
        effects
    }

    /// What was refused is tried again, or gone: whatever has gone wrong before says nothing of the next push.
    fn refusal_is_decided(&mut self) -> Effects<L::Entry> {
        let mut effects = Effects::default();
        if let Some(said) = self.unblock() {
            self.push_forgets();
            effects.spent.error(Some(said));
        }
        effects
    }

    /// No event is held back any more. Returns what upstream said of the one that was.
    pub(super) fn unblock(&mut self) -> Option<SharedError> {
        self.course.blocked.take().and_then(|blocked| blocked.failure.shared())
    }

    /// How many events are pending, if the owner can decide about these.
    fn decidable(&self, range: &Range<usize>) -> Result<usize, DecisionError> {
        let (pending, sent) = (self.log.pending(), self.sent());
        if range.is_empty() || range.end > pending {
            return Err(DecisionError::Absent { pending, range: range.clone() });
        }
        if range.start < sent {
            return Err(DecisionError::Sent(sent));
        }
        Ok(pending)
    }

    /// Upstream refuses an event of this push for good, which it has not taken.
    pub(super) fn rejects(
        &mut self,
        call: &Landed<L::Position>,
        index: usize,
        error: SharedError,
        at: Moment,
    ) -> Effects<L::Entry> {
        self.counters.rejected += 1;
        if self.is_late(call) {
            return Effects::default();
        }
        if let Err(failure) = contract::rejected(call.count, index) {
            self.course.push = Push::Failed { error: failure };
            return Effects::default();
        }
        // What merges have confirmed meanwhile stands no more before it, or is it: then upstream has taken it all the same.
        match index.checked_sub(call.count - call.unconfirmed) {
            Some(index) => self.blocks(index, error),
            None => {
                self.overtaken(at);
                Effects::default()
            }
        }
    }

    /// Upstream takes no push of so many events, which it has not taken.
    pub(super) fn too_large(&mut self, call: &Landed<L::Position>, error: SharedError) -> Effects<L::Entry> {
        self.counters.too_large += 1;
        if self.is_late(call) {
            return Effects::default();
        }
        self.course.fits = (call.count / 2).try_into().ok();
        // If it is one event that is too large, that says nothing of batches.
        if self.course.fits.is_none() { self.blocks(0, error) } else { Effects::default() }
    }

    fn blocks(&mut self, index: usize, error: SharedError) -> Effects<L::Entry> {
        self.course.blocked = Some(Blocked { index, failure: Failure::Rejected { error } });
        // An earlier push may have been taken with it: the owner can decide once that is known.
        if self.is_uncertain() { self.ask_for_catch_up() } else { Effects::default() }
    }

    /// So many of the pending events are confirmed, and of the others these are given up: what is refused has moved, or is
    /// one of them.
    pub(super) fn settles(&mut self, confirmed: usize, dropped: &[usize], spent: &mut Spent<L::Entry>) {
        let Some(blocked) = &mut self.course.blocked else { return };
        let index = blocked.index.checked_sub(confirmed).filter(|index| !dropped.contains(index));
        match index {
            Some(index) => blocked.index = index - dropped.iter().filter(|dropped| **dropped < index).count(),
            None => spent.error(self.unblock()),
        }
    }
}
