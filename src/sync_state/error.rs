//! What can be wrong with what a state is given.

use super::{Entry, Exhausted, Position, SeqNum};

/// A page or a push that cannot be merged. The state is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The entries are out of order, or one came twice.
    #[error("expected an entry after {previous}, got {found}")]
    NotAscending {
        /// The entry before.
        previous: SeqNum,
        /// The entry that should stand later.
        found: SeqNum,
    },
    /// Upstream sent what is merged already.
    #[error("expected entries after the upstream head {upstream_head}, got {found}")]
    BehindUpstreamHead {
        /// The last entry that upstream ordered and this state merged.
        upstream_head: SeqNum,
        /// The first entry that came.
        found: SeqNum,
    },
    /// The entries pushed do not continue the chain.
    #[error(transparent)]
    BrokenChain(#[from] BrokenChain),
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
    /// There is no number left for an event.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

/// Entries that do not make a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenChain {
    /// An entry does not have the number that follows: something is missing before it, its generation is not the
    /// chain's, or it has the number of a sent event and is local-only, or the other way round.
    #[error("expected {expected} to follow, got {found}")]
    Number {
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
}

impl BrokenChain {
    /// Whether the entry has this number and this parent.
    pub(super) fn check<E>(entry: &Entry<E>, seq: SeqNum, parent: SeqNum) -> Result<(), Self> {
        if entry.seq != seq {
            let (expected, found) = (seq, entry.seq);
            return Err(Self::Number { expected, found });
        }
        if entry.parent != parent {
            let (expected, found) = (parent, entry.parent);
            return Err(Self::Parent { seq, expected, found });
        }
        Ok(())
    }
}

/// A persisted log that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RehydrateError {
    /// Something pending is not later than what upstream has ordered already.
    #[error("expected pending entries after the upstream head {upstream_head}, got {found}")]
    BehindUpstreamHead {
        /// The upstream head given.
        upstream_head: SeqNum,
        /// The first pending entry given.
        found: SeqNum,
    },
    /// The pending entries do not make a chain, or it does not begin at the upstream head.
    #[error(transparent)]
    BrokenChain(#[from] BrokenChain),
    /// The local head is not the last pending entry, or with nothing pending, it does not belong to the upstream
    /// head: the same global, and the same client or a later one.
    #[error("expected the local head {expected}, got {found}")]
    LocalHead {
        /// The last pending entry, or the upstream head.
        expected: SeqNum,
        /// The local head given.
        found: SeqNum,
    },
    /// There is no number left for an event.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}
