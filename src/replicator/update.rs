//! What subscribers are told, and how it reaches them.
//!
//! A receiver has a queue of its own, under a lock of its own, and shares it with nobody but the replicator, which knows it
//! without keeping it: a receiver that is dropped takes along what it has not read. The room of those that are gone is used
//! again when more come.
//!
//! What is queued is bounded. A receiver ends when it has fallen too far behind, when the log is replaced, and when the
//! replicator is closed; and says which, after everything that came before. So an update always follows on the one before
//! it, and the first on the snapshot.

use std::collections::VecDeque;
use std::fmt;
use std::mem::take;
use std::sync::{Arc, Weak};
use std::time::Duration;

use thiserror::Error;

use super::after::AfterUnlock;
use crate::log::{Log, Merged};
use crate::wait::{Waited, deadline};
use crate::watched::Watched;

/// A merge: an advance or a rebase, and how the log stood afterwards.
pub struct Update<L: Log> {
    /// What was merged.
    pub merged: Merged<L::Entry>,
    /// The last event's number.
    pub head: L::Position,
    /// The number of the last event that upstream has ordered.
    pub upstream_head: L::Position,
}

impl<L: Log> Update<L> {
    /// How many events it brings.
    fn events(&self) -> usize {
        let (Merged::Advance { new, confirmed } | Merged::Rebase { new, confirmed, .. }) = &self.merged;
        new.len() + confirmed.len()
    }
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
    /// Every merge since, in order, until it [ends](RecvError).
    pub receiver: Receiver<L>,
}

/// Where updates arrive. Dropping it ends the subscription.
pub struct Receiver<L: Log> {
    queue: Arc<Queue<L>>,
}

/// Why a receiver gives out no update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum RecvError {
    /// None has come yet.
    #[error("no update has come yet")]
    Empty,
    /// The log was replaced, and these were all of the former one's. Those of the present log, and a snapshot to begin with,
    /// are to be had from [`Replicator::updates`](super::Replicator::updates).
    #[error("the log was replaced")]
    Replaced,
    /// More was left unread than [is kept](super::Builder::max_unread); none of that is given out any more.
    /// [`Replicator::updates`](super::Replicator::updates) begins anew, with a snapshot.
    #[error("too many updates were left unread")]
    Lagged,
    /// The replicator was closed, and these were all.
    #[error("the replicator was closed")]
    Closed,
}

impl<L: Log> Receiver<L> {
    /// The next update. Blocks until there is one.
    ///
    /// # Errors
    ///
    /// If there will be none; never [`RecvError::Empty`].
    pub fn recv(&self) -> Result<Arc<Update<L>>, RecvError> {
        match self.queue.block(0, None, Unread::next) {
            Waited::Ready(next) => next,
            Waited::TimedOut | Waited::Interrupted(_) => unreachable!("there was no deadline and no interrupt"),
        }
    }

    /// As [`recv`](Self::recv), blocking for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If there will be none, or none has come.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Arc<Update<L>>, RecvError> {
        match self.queue.block(0, deadline(timeout), Unread::next) {
            Waited::Ready(next) => next,
            Waited::TimedOut | Waited::Interrupted(_) => Err(RecvError::Empty),
        }
    }

    /// The next update, if it has come.
    ///
    /// # Errors
    ///
    /// If there will be none, or none has come.
    pub fn try_recv(&self) -> Result<Arc<Update<L>>, RecvError> {
        self.queue.look(Unread::next).unwrap_or(Err(RecvError::Empty))
    }

    /// The updates until it ends. Blocks for each of them.
    pub fn iter(&self) -> Iter<'_, L> {
        Iter(self)
    }

    /// The updates that have come.
    pub fn try_iter(&self) -> impl Iterator<Item = Arc<Update<L>>> + '_ {
        std::iter::from_fn(|| self.try_recv().ok())
    }
}

/// The updates of a [`Receiver`] until it ends.
pub struct Iter<'a, L: Log>(&'a Receiver<L>);

impl<L: Log> Iterator for Iter<'_, L> {
    type Item = Arc<Update<L>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.recv().ok()
    }
}

impl<'a, L: Log> IntoIterator for &'a Receiver<L> {
    type Item = Arc<Update<L>>;
    type IntoIter = Iter<'a, L>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

type Queue<L> = Watched<Unread<L>>;

/// What a receiver has not read yet.
struct Unread<L: Log> {
    updates: VecDeque<Arc<Update<L>>>,
    /// How many events they bring, together.
    events: usize,
    /// What is told after them.
    end: Option<RecvError>,
}

impl<L: Log> Unread<L> {
    fn next(&mut self) -> Option<Result<Arc<Update<L>>, RecvError>> {
        let Some(update) = self.updates.pop_front() else { return self.end.map(Err) };
        self.events -= update.events();
        Some(Ok(update))
    }

    /// One more, unless that is too much. One is never too much.
    fn add(&mut self, update: &Arc<Update<L>>, limit: usize, after: &mut AfterUnlock) {
        let events = self.events.saturating_add(update.events());
        if events > limit && !self.updates.is_empty() {
            after.discard_events::<L::Entry>(take(&mut self.updates));
            (self.events, self.end) = (0, Some(RecvError::Lagged));
        } else {
            self.events = events;
            self.updates.push_back(Arc::clone(update));
        }
    }
}

/// Who listens.
pub(super) struct Subscribers<L: Log> {
    /// Their queues, and those of some that are gone.
    queues: Vec<Weak<Queue<L>>>,
    /// How many events each may leave unread.
    limit: usize,
}

impl<L: Log> Subscribers<L> {
    pub(super) fn new(limit: usize) -> Self {
        Self { queues: Vec::new(), limit }
    }

    /// One more, who is told of everything from now on, or of the end.
    pub(super) fn subscribe(&mut self, end: Option<RecvError>) -> Receiver<L> {
        let queue = Arc::new(Queue::new(Unread { updates: VecDeque::new(), events: 0, end }));
        if end.is_none() {
            if self.queues.len() == self.queues.capacity() {
                self.queues.retain(|queue| queue.strong_count() > 0);
                // Room for as many as are left, so that those who come look through them no more often than they double.
                self.queues.reserve(self.queues.len().max(4));
            }
            self.queues.push(Arc::downgrade(&queue));
        }
        Receiver { queue }
    }

    /// Whether nobody may be listening.
    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Tells all of them. The channels do not block, so this may happen under the lock, which keeps the updates in order.
    pub(super) fn tell(&mut self, update: Update<L>, after: &mut AfterUnlock) {
        let (update, limit) = (Arc::new(update), self.limit);
        self.each(after, |unread, after| unread.add(&update, limit, after));
        after.discard_events::<L::Entry>(update);
    }

    /// Nobody is told anything after this.
    pub(super) fn end(&mut self, end: RecvError, after: &mut AfterUnlock) {
        self.each(after, |unread, _| unread.end = Some(end));
    }

    fn each(&mut self, after: &mut AfterUnlock, mut change: impl FnMut(&mut Unread<L>, &mut AfterUnlock)) {
        self.queues.retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            let (goes_on, mut wakers) = queue.change_quietly(|unread| {
                change(unread, after);
                (unread.end.is_none(), 1)
            });
            after.wakers.append(&mut wakers);
            // The last to let go of it drops what is in it.
            after.discard_events::<L::Entry>(queue);
            goes_on
        });
    }
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

impl<L: Log> fmt::Debug for Receiver<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl<L: Log> fmt::Debug for Iter<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}
