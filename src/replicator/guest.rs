//! What a leader does for its [sessions](super::sessions) under the lock: takes a batch of theirs into its log, out of it again, and answers.

use std::collections::VecDeque;

use super::choices::GiveUp;
use super::core::State;
use super::sessions::{Answer, Guest, LeaderError, Sessions, Stands, fatal};
use super::ticket::Settled;
use super::told::{only, topic};
use crate::log::{Log, Merged};
use crate::platform::{Arc, Mutex};
use crate::primitives::monitor::Topics;
use crate::protocol::{DecisionError, Effects, PushError};

impl<L: Log> State<L> {
    /// Keeps what upstream orders from now on for sessions, so many events at least. Returns the generation of the sessions.
    pub(super) fn lead(&mut self, kept: usize) -> u64 {
        if let Some(sessions) = self.sessions.as_mut().filter(|sessions| !sessions.replaced) {
            sessions.kept = sessions.kept.max(kept);
            return sessions.generation;
        }
        let (generation, origin, stands) =
            (self.replaced, self.protocol.log().upstream_head(), self.stands_for_sessions(false, 0));
        let (entries, guest) = (VecDeque::new(), None);
        let sessions = Sessions { generation, kept, origin, entries, guest, replaced: false, answered: 0, stands };
        self.sessions = Some(Box::new(sessions));
        generation
    }

    /// The sessions of this generation.
    ///
    /// # Errors
    ///
    /// If the log was replaced that they began with.
    pub(super) fn sessions_of(&self, generation: u64) -> Result<&Sessions<L>, LeaderError> {
        let present = self.sessions.as_deref().filter(|sessions| sessions.generation == generation);
        present.ok_or(LeaderError::Replaced)
    }

    fn stands_for_sessions(&self, replaced: bool, answered: u64) -> Stands<L::Position> {
        let log = self.protocol.log();
        let stopped = self.protocol.is_stopped().then_some(LeaderError::Stopped);
        Stands {
            head: log.upstream_head(),
            free: log.pending() == 0 && !self.protocol.is_journal_full(),
            caught_up: self.protocol.progress().caught_up.is_some(),
            more: self.protocol.progress().to_come.is_some_and(|events| events > 0),
            over: if replaced { Some(LeaderError::Replaced) } else { stopped },
            answered,
        }
    }

    /// Notes how the leader stands. Who is to be woken for that.
    pub(super) fn publish_to_sessions(&mut self) -> Topics {
        let Some(Sessions { replaced, answered, .. }) = self.sessions.as_deref() else { return 0 };
        let (replaced, answered) = (*replaced, *answered);
        let stands = self.catch_panic(|state| state.stands_for_sessions(replaced, answered));
        match (&mut self.sessions, stands) {
            (Some(sessions), Ok(stands)) if sessions.stands != stands => {
                sessions.stands = stands;
                only(topic::SESSIONS)
            }
            _ => 0,
        }
    }

    /// Appends a session's batch, if it is its turn.
    ///
    /// # Errors
    ///
    /// If it cannot be taken.
    pub(super) fn enter(
        &mut self,
        generation: u64,
        base: L::Position,
        entries: &mut Option<Vec<L::Entry>>,
        max_pending: usize,
    ) -> Result<Option<Answer<L::Position>>, PushError<L::Position>> {
        let sessions = self.sessions_of(generation).map_err(|error| fatal(error.into()))?;
        let (Some(turn), Some(batch)) = (sessions.turn(base), entries.as_deref()) else { return Ok(None) };
        turn?;
        if batch.iter().any(|entry| self.protocol.log().is_local_only(entry)) {
            return Err(fatal(LeaderError::LocalOnly.into()));
        }
        let most = self.protocol.most_at_once().get().min(max_pending);
        if batch.len() > most || !self.protocol.is_light(batch) {
            return Err(PushError::TooLarge { error: LeaderError::TooLarge { most }.into() });
        }
        let Some(last) = batch.last().map(L::position) else { return Ok(None) };
        let admitted = self.protocol.commit_numbered(entries.take().unwrap_or_default());
        let count = admitted.map_err(|error| fatal(error.into()))?;
        let ticket = self.tickets.issue(count, last, &mut self.after.wakers);
        let answer = Arc::new(Mutex::new(None));
        let guest = Guest { base, last, count, confirmed: 0, ticket, answer: Arc::clone(&answer) };
        if let Some(sessions) = &mut self.sessions {
            sessions.guest = Some(guest);
        }
        Ok(Some(answer))
    }

    /// Keeps what has been merged for sessions.
    pub(super) fn keep_for_sessions(&mut self, merged: &Merged<L::Entry>) {
        if let Some(sessions) = &mut self.sessions {
            let gone = sessions.keep(self.protocol.log(), merged);
            self.after.discard_events::<L::Entry>(gone);
        }
    }

    /// The log has been replaced, by one of the `same` upstream or perhaps of another.
    pub(super) fn replace_for_sessions(&mut self, same: bool) {
        if let Some(sessions) = &mut self.sessions {
            sessions.replaced |= !same;
            sessions.origin = self.protocol.log().upstream_head();
            let gone = std::mem::take(&mut sessions.entries);
            self.after.discard_events::<L::Entry>(gone);
        }
    }

    /// Whether what upstream refuses for good is a session's, whose owner decides.
    pub(super) fn refuses_guest(&self) -> bool {
        let guest = self.sessions.as_ref().and_then(|sessions| sessions.guest.as_ref());
        guest.zip(self.protocol.rejected()).is_some_and(|(guest, (index, _))| index < guest.count)
    }

    /// Answers the push of the session's batch that stands in the log, if it is decided what becomes of it.
    ///
    /// # Errors
    ///
    /// If the log panicked, what it said.
    #[inline]
    pub(super) fn attend(&mut self) -> Result<(), String> {
        match self.sessions.as_mut().and_then(|sessions| sessions.guest.take()) {
            Some(guest) => self.attend_to(guest),
            None => Ok(()),
        }
    }

    fn attend_to(&mut self, guest: Guest<L::Position>) -> Result<(), String> {
        let decided = self.catch_panic(|state| state.decided(&guest));
        let Some(sessions) = &mut self.sessions else { return Ok(()) };
        match decided {
            Ok(Some((answer, mut effects))) => {
                sessions.answered += 1;
                *guest.answer.lock() = Some(answer);
                self.carry_out(&mut effects)
            }
            undecided => {
                sessions.guest = Some(guest);
                undecided.map(drop)
            }
        }
    }

    /// What becomes of a session's batch, if that is decided. It is taken out of the log as soon as upstream cannot have it,
    /// and will not take it as it stands.
    fn decided(&mut self, guest: &Guest<L::Position>) -> Option<(Answered<L>, Effects<L::Entry>)> {
        let Guest { base, last, count, confirmed, ref ticket, .. } = *guest;
        let head = self.protocol.log().upstream_head();
        let overtaken = (confirmed == 0 && head > base).then_some(PushError::Behind { head: Some(head) });
        if let Some(settled) = ticket.settled() {
            let answer = match (settled, overtaken) {
                (Settled::Confirmed(number), _) if number == last => Ok(()),
                (_, Some(behind)) => Err(behind),
                _ if self.protocol.is_stopped() => Err(PushError::Uncertain { error: LeaderError::Stopped.into() }),
                _ => Err(PushError::Uncertain { error: LeaderError::Replaced.into() }),
            };
            return Some((answer, Effects::default()));
        }
        if confirmed > 0 {
            return None;
        }
        let refused = self.protocol.rejected().filter(|(index, _)| *index < count);
        let most = self.protocol.most_at_once().get();
        let why = match (overtaken, refused) {
            (Some(behind), _) => behind,
            (None, Some((index, failure))) => {
                PushError::Rejected { index, error: failure.shared().unwrap_or_else(|| failure.clone().into()) }
            }
            (None, None) if count > most => PushError::TooLarge { error: LeaderError::TooLarge { most }.into() },
            (None, None) => return None,
        };
        match self.give_up(&GiveUp::Commit(ticket)) {
            (Ok(entries), effects) => {
                self.after.discard_events::<L::Entry>(entries);
                Some((Err(why), effects))
            }
            // Upstream may have it, which a transition will show.
            (Err(DecisionError::Sent(_)), _) => None,
            (Err(error), effects) => Some((Err(fatal(error.into())), effects)),
        }
    }
}

/// What a push is answered.
type Answered<L> = Result<(), PushError<<L as Log>::Position>>;
