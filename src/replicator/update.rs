//! What subscribers are told.

use std::fmt;
use std::sync::Arc;

use crate::log::{Log, Merged};
use crate::sync::Receiver;

/// A merge: an advance or a rebase, and how the log stood afterwards.
pub struct Update<L: Log> {
    /// What was merged.
    pub merged: Merged<L::Entry>,
    /// The last event's number.
    pub head: L::Position,
    /// The number of the last event that upstream has ordered.
    pub upstream_head: L::Position,
}

/// How a log stands.
pub struct Snapshot<L: Log> {
    /// The last event's number.
    pub head: L::Position,
    /// The number of the last event that upstream has ordered.
    pub upstream_head: L::Position,
    /// What is still to be sent, in order.
    pub pending: Vec<L::Entry>,
}

/// Every merge from now on, and how the log stood before the first of them; no gap between the two.
pub struct Updates<L: Log> {
    /// How the log stood.
    pub snapshot: Snapshot<L>,
    /// Every merge since, in order. Disconnected when the replicator is closed.
    pub receiver: Receiver<Arc<Update<L>>>,
}

impl<L: Log<Entry: fmt::Debug>> fmt::Debug for Update<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { merged, head, upstream_head } = self;
        f.debug_struct("Update")
            .field("merged", merged)
            .field("head", head)
            .field("upstream_head", upstream_head)
            .finish()
    }
}

impl<L: Log<Entry: fmt::Debug>> fmt::Debug for Snapshot<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { head, upstream_head, pending } = self;
        f.debug_struct("Snapshot")
            .field("head", head)
            .field("upstream_head", upstream_head)
            .field("pending", pending)
            .finish()
    }
}

impl<L: Log<Entry: fmt::Debug>> fmt::Debug for Updates<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Updates").field("snapshot", &self.snapshot).finish_non_exhaustive()
    }
}
