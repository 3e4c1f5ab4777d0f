//! What a leader keeps for its sessions, under its own lock: see [`leader`](super::leader).

use std::collections::VecDeque;

use thiserror::Error;

use super::ticket::Ticket;
use crate::SharedError;
use crate::log::{Log, Merged};
use crate::platform::{Arc, Mutex};
use crate::protocol::{FatalKind, More, Page, PullError, PushError};

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
    pub generation: u64,
    /// How many of `entries` there are at most.
    pub kept: usize,
    /// The event before the first of `entries`.
    pub origin: L::Position,
    /// The last events that upstream has ordered, in order, up to the leader's upstream head.
    pub entries: VecDeque<L::Entry>,
    /// A session's batch, as long as it stands in the log: before all else that is pending.
    pub guest: Option<Guest<L::Position>>,
    /// Whether the log that they began with is gone.
    pub replaced: bool,
    /// How many batches have been answered.
    pub answered: u64,
    /// How the leader stood as the latest transition ended. Those who wait are woken if it has changed.
    pub stands: Stands<L::Position>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stands<P> {
    /// The last event that upstream has ordered.
    pub head: P,
    /// Nothing is pending, and the journal has room.
    pub free: bool,
    /// The log has had all that upstream had at some time.
    pub caught_up: bool,
    /// Upstream has more, as the last page has told: the log may end in the middle of a batch.
    pub more: bool,
    /// Why no session is served any more.
    pub over: Option<LeaderError>,
    pub answered: u64,
}

pub(super) struct Guest<P> {
    pub base: P,
    /// Its last event's number.
    pub last: P,
    pub count: usize,
    /// How many of its events upstream has ordered. It takes all or none.
    pub confirmed: usize,
    pub ticket: Ticket<P>,
    pub answer: Answer<P>,
}

impl<L: Log> Sessions<L> {
    /// Keeps what upstream has ordered. Returns what is not kept any more: to be dropped without the lock.
    pub(super) fn keep(&mut self, log: &L, merged: &Merged<L::Entry>) -> Vec<L::Entry> {
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
        // A session that hears that there is nothing takes it that nothing was taken of which it does not know. A leader that has
        // not caught up does not know that either, and a batch that no call waits for any more, since that was dropped, may be
        // taken yet.
        let undecided = self.guest.as_ref().is_some_and(|guest| Arc::strong_count(&guest.answer) == 1);
        let more = match left {
            0 if !self.stands.caught_up || self.stands.more || undecided => More::Unknown,
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
