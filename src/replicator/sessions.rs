//! What a leader keeps for its sessions, under its own lock: see [`leader`](super::leader).

use std::collections::VecDeque;

use thiserror::Error;

use super::choices::GiveUp;
use super::core::State;
use super::ticket::{Settled, Ticket};
use super::told::{only, topic};
use crate::log::{Log, Merged};
use crate::platform::{Arc, Mutex};
use crate::primitives::monitor::Topics;
use crate::protocol::messages::{FatalKind, More, Page, PullError, PushError};
use crate::protocol::{DecisionError, Effects};
use crate::shared_error::SharedError;

/// Why a leader refuses a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LeaderError {
    /// The leader has been [stopped](crate::Replicator::stop).
    #[error("the leader has been stopped")]
    Stopped,
    /// The leader's log has been [replaced](crate::Replicator::reset): it may be another upstream's.
    #[error("the leader's log has been replaced")]
    Replaced,
    /// The leader does not keep the events any more that follow the cursor. The session is to begin from a snapshot.
    #[error("the leader keeps {kept} events of upstream's, and the session has missed more")]
    TooOld {
        /// How many it keeps.
        kept: usize,
    },
    /// The session has had events that upstream does not have any more.
    #[error("the leader has had all that upstream has, and the session has had more")]
    Ahead,
    /// The batch is larger than what the leader sends, or keeps pending, at once.
    #[error("expected a batch that the leader can send at once, of {most} events at most")]
    TooLarge {
        /// How many it sends at once, whatever they weigh.
        most: usize,
    },
    /// The batch has an event that stays in the log.
    #[error("expected events that are sent, got one that stays in the leader's log")]
    LocalOnly,
}

/// What becomes of a push. The call that waits for it takes it.
pub(super) type Answer<P> = Arc<Mutex<Option<Result<(), PushError<P>>>>>;

/// What a pull gives out.
pub(super) type Item<L> = Result<Page<<L as Log>::Entry>, PullError>;

/// What a leader keeps for its sessions.
pub(super) struct Sessions<L: Log> {
    /// How many logs there were before the one that they began with.
    generation: u64,
    /// How many of `entries` there are at most.
    kept: usize,
    /// The event before the first of `entries`.
    origin: L::Position,
    /// The last events that upstream has ordered, in order, up to the leader's upstream head.
    entries: VecDeque<L::Entry>,
    /// A session's batch, as long as it stands in the log: before all else that is pending.
    guest: Option<Guest<L::Position>>,
    /// Whether the log that they began with is gone.
    replaced: bool,
    /// How many batches have been answered.
    answered: u64,
    /// How the leader stood as the latest transition ended. Those who wait are woken if it has changed.
    stands: Stands<L::Position>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stands<P> {
    /// The last event that upstream has ordered.
    head: P,
    /// Nothing is pending, and the journal has room.
    free: bool,
    /// The log has had all that upstream had at some time.
    caught_up: bool,
    /// Upstream has more, as the last page has told: the log may end in the middle of a batch.
    more: bool,
    /// Why no session is served any more.
    over: Option<LeaderError>,
    answered: u64,
}

struct Guest<P> {
    base: P,
    /// Its last event's number.
    last: P,
    count: usize,
    /// How many of its events upstream has ordered. It takes all or none.
    confirmed: usize,
    ticket: Ticket<P>,
    answer: Answer<P>,
}

impl<L: Log> Sessions<L> {
    /// Keeps what upstream has ordered. Returns what is not kept any more: to be dropped without the lock.
    fn keep(&mut self, log: &L, merged: &Merged<L::Entry>) -> Vec<L::Entry> {
        let (Merged::Advance { new, confirmed } | Merged::Rebase { new, confirmed, .. }) = merged;
        let sent = |entry: &&L::Entry| !log.is_local_only(entry);
        if let Some(guest) = &mut self.guest {
            guest.confirmed = guest.count.min(guest.confirmed + confirmed.iter().filter(sent).count());
        }
        let mut ordered: Vec<_> = new.iter().chain(confirmed).filter(sent).cloned().collect();
        ordered.sort_by_key(L::position);
        self.entries.extend(ordered);
        let gone: Vec<_> = self.entries.drain(..self.entries.len().saturating_sub(self.kept)).collect();
        if let Some(last) = gone.last() {
            self.origin = L::position(last);
        }
        gone
    }

    /// The page that follows `cursor`, if there is something to tell.
    pub(super) fn page(&self, cursor: L::Position, most: usize, caught_up: bool) -> Option<Item<L>> {
        let fatal = |kind, error: SharedError| Some(Err(PullError::Fatal { kind, error }));
        if let Some(over) = self.stands.over {
            return fatal(FatalKind::Other, over.into());
        }
        if cursor < self.origin {
            return fatal(FatalKind::CursorTooOld, LeaderError::TooOld { kept: self.kept }.into());
        }
        if cursor > self.stands.head {
            // One that was made anew is to learn again what its sessions know. Once it has, they know what is no more.
            return if self.stands.caught_up { fatal(FatalKind::WentBack, LeaderError::Ahead.into()) } else { None };
        }
        let from = self.entries.partition_point(|entry| L::position(entry) <= cursor);
        let entries: Vec<_> = self.entries.range(from..).take(most).cloned().collect();
        let left = self.entries.len() - from - entries.len();
        let more = match left {
            0 if self.stands.more => More::Unknown,
            0 => More::None,
            left => More::Events(left as u64),
        };
        let tells = !entries.is_empty() || !caught_up && more == More::None;
        tells.then_some(Ok(Page { entries, more }))
    }

    /// Whether it is the turn of a batch with this base, or what is wrong with it. `None` if it has to wait.
    pub(super) fn turn(&self, base: L::Position) -> Option<Result<(), PushError<L::Position>>> {
        let Stands { head, free, caught_up, over, .. } = self.stands;
        match over {
            Some(over) => Some(Err(fatal(over.into()))),
            None if base < head || base > head && caught_up => Some(Err(PushError::Behind { head: Some(head) })),
            None => (free && base == head).then_some(Ok(())),
        }
    }
}

/// Trying again cannot help.
pub(super) fn fatal<P>(error: SharedError) -> PushError<P> {
    PushError::Fatal { kind: FatalKind::Other, error }
}

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
        let (ticket, mut wakers) = self.tickets.issue(count, last);
        self.after.wakers.append(&mut wakers);
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
    pub(super) fn attend(&mut self) -> Result<(), String> {
        let Some(guest) = self.sessions.as_mut().and_then(|sessions| sessions.guest.take()) else { return Ok(()) };
        let decided = self.catch_panic(|state| state.decided(&guest));
        let Some(sessions) = &mut self.sessions else { return Ok(()) };
        match decided {
            Ok(Some((answer, effects))) => {
                sessions.answered += 1;
                *guest.answer.lock() = Some(answer);
                self.carry_out(effects)
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
