//! What can be wrong with what a state is given.

use super::seq_num::Exhausted;
use super::{Entry, Position, SeqNum};

/// Why a [`SyncState`](super::SyncState) did not take what it was given. The state is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The entries are out of order, or one came twice.
    #[error("expected an entry after {previous}, got {found}")]
    NotAscending {
        /// The entry before.
        previous: SeqNum,
        /// The entry that should stand later.
        found: SeqNum,
    },
    /// What upstream sent, or what is to be pending, is not later than what upstream has ordered already.
    #[error("expected entries after the upstream head {upstream_head}, got {found}")]
    BehindUpstreamHead {
        /// The last entry that upstream ordered and this state merged.
        upstream_head: SeqNum,
        /// The first entry that came.
        found: SeqNum,
    },
    /// An entry does not have the number that follows: something is missing before it, its generation is not the
    /// chain's, or it has the number of a sent event and is local-only, or the other way round.
    #[error("expected {expected} to follow, got {found}")]
    NotNext {
        /// The number that follows.
        expected: SeqNum,
        /// The number that came.
        found: SeqNum,
    },
    /// An entry has the right number but stands on another one.
    #[error("expected {seq} to stand on {expected}, got {found}")]
    Parent {
        /// The entry.
        seq: SeqNum,
        /// What it must stand on.
        expected: SeqNum,
        /// What it names as its parent.
        found: SeqNum,
    },
    /// After this rebase the last local entry would stand earlier than before.
    #[error("expected a rebase that leaves the local head at {from} or later, got {to}")]
    LocalHeadMovedBack {
        /// The local head.
        from: Position,
        /// Where it would go.
        to: Position,
    },
    /// After this rebase the upstream head would stand earlier than before.
    #[error("expected a rebase that leaves the upstream head at {from} or later, got {to}")]
    UpstreamHeadMovedBack {
        /// The upstream head.
        from: Position,
        /// Where it would go.
        to: Position,
    },
    /// A state that is [rehydrated](super::SyncState::rehydrate) has another local head: not the last pending entry,
    /// or with nothing pending, none that belongs to the upstream head, which has the same global, and the same client
    /// or a later one.
    #[error("expected the local head {expected}, got {found}")]
    LocalHead {
        /// The last pending entry, or the upstream head.
        expected: SeqNum,
        /// The local head given.
        found: SeqNum,
    },
    /// The numbers of local events are taken.
    #[error("expected local events from {expected_minimum} on, got {found}")]
    Stale {
        /// The first number that is free.
        expected_minimum: SeqNum,
        /// The first number that came.
        found: SeqNum,
    },
    /// The numbers have run out: no event can follow.
    #[error("expected room for events after {after}, but its {part} would pass {most}")]
    Exhausted {
        /// The number that was to be followed.
        after: SeqNum,
        /// The part that cannot count on: global, client or generation.
        part: &'static str,
        /// How far it counts.
        most: u64,
    },
}

impl Error {
    /// Whether the entry has this number and this parent.
    pub(super) fn unless_next<E>(entry: &Entry<E>, seq: SeqNum, parent: SeqNum) -> Result<(), Self> {
        if entry.seq != seq {
            let (expected, found) = (seq, entry.seq);
            return Err(Self::NotNext { expected, found });
        }
        if entry.parent != parent {
            let (expected, found) = (parent, entry.parent);
            return Err(Self::Parent { seq, expected, found });
        }
        Ok(())
    }
}

impl From<Exhausted> for Error {
    fn from(Exhausted { after, part }: Exhausted) -> Self {
        Self::Exhausted { after, part: part.name(), most: part.most() }
    }
}
