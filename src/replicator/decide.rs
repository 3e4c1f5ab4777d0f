//! The owner's decisions: what is waiting for one, and what it does.

use std::num::NonZeroUsize;
use std::ops::Range;

use super::Replicator;
use super::choices::{Decision, GiveUp, Matter, OnRejected, Rejected, ResetError};
use super::core::State;
use super::update::RecvError;
use crate::log::Log;
use crate::platform::event::Input;
use crate::protocol::{DecisionError, Direction, Effects, Protocol, Time, Undecided};

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
    /// What was sent by a process that has crashed since is not known here to have been: a log that is opened again is first
    /// to catch up.
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

/// What was given up.
type Decided<L> = Result<Vec<<L as Log>::Entry>, DecisionError>;

impl<L: Log> State<L> {
    /// The owner gives up pending events.
    pub(super) fn give_up(&mut self, what: &GiveUp<'_, L::Position>) -> (Decided<L>, Effects<L::Entry>) {
        let given_up = self.meant(what).and_then(|range| {
            let reason = self.protocol.rejected().filter(|(index, _)| range.contains(index));
            let reason = reason.and_then(|(_, failure)| failure.shared());
            let given_up = self.protocol.give_up(range)?;
            self.gives_up.get_or_insert_default().reason = reason;
            Ok(given_up)
        });
        match given_up {
            Ok((entries, effects)) => (Ok(entries), effects),
            Err(error) => (Err(error), Effects::default()),
        }
    }

    /// What the owner has chosen is to be done about an event that upstream has refused, if one stands there after a push
    /// that has brought no merge.
    pub(super) fn decides_by_itself(&mut self, effects: &mut Effects<L::Entry>) {
        let what = match self.on_rejected {
            OnRejected::Block => return,
            OnRejected::GiveUpEvent => GiveUp::Rejected,
            // It would take others along.
            OnRejected::GiveUpCommit
                if self.protocol.rejected().is_some_and(|(index, _)| !self.tickets.knows_commit_of(index)) =>
            {
                return;
            }
            OnRejected::GiveUpCommit => GiveUp::CommitOfRejected,
        };
        if effects.merged.is_none() && !self.refuses_guest() {
            // If the log cannot do that it blocks, as without a choice.
            let (given_up, decided) = self.give_up(&what);
            self.gives_up.get_or_insert_default().given_up = given_up.unwrap_or_default();
            effects.follow(decided);
        }
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

    /// Replaces the log by what `replace` makes of it, which goes on with what is pending but for some of that.
    pub(super) fn reset_with(
        &mut self,
        replace: impl FnOnce(&L) -> (L, Vec<usize>),
    ) -> (Result<L, ResetError>, Effects<L::Entry>) {
        let pending = self.protocol.log().pending();
        let (log, gone) = replace(self.protocol.log());
        let (got, sent) = (log.pending(), self.protocol.sent());
        let newer = log.upstream_head() > self.protocol.log().upstream_head();
        let fits = ResetError::unless_it_goes_on(pending, &gone, got);
        if let Err(error) = fits.and_then(|()| ResetError::unless_sent(sent, &gone, newer)) {
            self.after.discard_log(log);
            return (Err(error), Effects::default());
        }
        // As above, the new log may panic.
        let (former, effects) = self.protocol.reset_with(log);
        self.replaced += 1;
        self.tickets.close_some(&gone, &mut self.after.wakers);
        self.subscribers.end(RecvError::Replaced, &mut self.after);
        self.went_well(Direction::Push);
        self.went_well(Direction::Pull);
        self.replace_for_sessions(true);
        (Ok(former), effects)
    }

    /// What is waiting for the owner, at this time.
    pub(super) fn decisions(&self, now: Time) -> Vec<Decision> {
        let undecided =
            self.protocol.undecided().into_iter().zip(self.undecided.as_deref().copied().unwrap_or_default());
        let decisions = undecided.filter_map(|(undecided, since)| {
            let matter = match undecided? {
                Undecided::Failed(direction, failure) => Matter::Failed { direction, failure: failure.clone() },
                Undecided::Rejected(before, failure) => Matter::Rejected { before, failure: failure.clone() },
                Undecided::Paused(direction) => Matter::Paused { direction },
                Undecided::Journal(failure) => Matter::Journal { failure: failure.clone() },
            };
            Some(Decision { matter, waiting_for: now.saturating_sub(since?) })
        });
        decisions.collect()
    }
}
