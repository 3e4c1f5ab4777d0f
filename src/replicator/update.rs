//! What subscribers are told, and how it reaches them.
//!
//! Each receiver has a channel of its own, and shares with the replicator what does not travel in it: how much is unread, and
//! why there will be no more. The replicator knows a receiver without keeping it: a receiver that is dropped takes along what
//! it has not read. The room of those that are gone is used again when more come.
//!
//! What is queued is bounded. A receiver ends when it has fallen too far behind, when the log is replaced, and when the
//! replicator is closed; and says which, after everything that came before. So an update always follows on the one before
//! it, and the first on the snapshot. The reason is written before the sender is dropped, which ends the channel: a receiver
//! that finds it ended finds the reason.

use std::fmt;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use thiserror::Error;

use super::after::AfterUnlock;
use crate::log::Merged;
use crate::platform::{AtomicU8, AtomicU64, Instant, Mutex, Ordering, channel};
use crate::primitives::interrupt::Interrupt;
use crate::primitives::wait::{Wait, Waitable, Waited};
use crate::primitives::wait_queue::{Place, Waiting};

/// A merge: an advance or a rebase, and how the log stood afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Update<E, P> {
    /// What was merged.
    pub merged: Merged<E>,
    /// What was given up [by itself](super::Builder::on_rejected) since upstream refuses it, in order; the tickets say
    /// [why](crate::Ticket::rejection). What the owner gives up is [handed back](super::Replicator::give_up) there.
    pub given_up: Vec<E>,
    /// The last event's number.
    pub head: P,
    /// The number of the last event that upstream has ordered.
    pub upstream_head: P,
}

impl<E, P> Update<E, P> {
    /// How many events it brings.
    fn events(&self) -> u64 {
        let (Merged::Advance { new, confirmed } | Merged::Rebase { new, confirmed, .. }) = &self.merged;
        (new.len() + confirmed.len() + self.given_up.len()) as u64
    }
}

/// How a log stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot<E, P> {
    /// The last event's number.
    pub head: P,
    /// The number of the last event that upstream has ordered.
    pub upstream_head: P,
    /// What is still to be sent, in order.
    pub pending: Vec<E>,
}

/// Every merge from now on, and how the log stood before the first of them; no gap between the two.
#[derive(Debug)]
#[non_exhaustive]
pub struct Updates<E, P> {
    /// How the log stood.
    pub snapshot: Snapshot<E, P>,
    /// Every merge since, in order, until it [ends](RecvError).
    pub receiver: Receiver<E, P>,
}

/// Where updates arrive. Dropping it ends the subscription. (In a model build [`recv`](Self::recv) and
/// [`recv_timeout`](Self::recv_timeout) must not be called: loom does not know the channel. [`next`](Self::next) may.)
pub struct Receiver<E, P> {
    updates: channel::Receiver<Arc<Update<E, P>>>,
    tail: Arc<Tail>,
}

/// Why a receiver gives out no update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
#[repr(u8)]
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

impl<E, P> Receiver<E, P> {
    /// The next update. Blocks until there is one.
    ///
    /// # Errors
    ///
    /// If there will be none; never [`RecvError::Empty`].
    pub fn recv(&self) -> Result<Arc<Update<E, P>>, RecvError> {
        self.received(self.updates.recv().ok())
    }

    /// As [`recv`](Self::recv), blocking for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If there will be none, or none has come.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Arc<Update<E, P>>, RecvError> {
        self.received(self.updates.recv_timeout(timeout).ok())
    }

    /// The next update, if it has come.
    ///
    /// # Errors
    ///
    /// If there will be none, or none has come.
    pub fn try_recv(&self) -> Result<Arc<Update<E, P>>, RecvError> {
        self.received(self.updates.try_recv().ok())
    }

    /// What has come of looking: an update, unless there was none, or it is one of too many.
    fn received(&self, update: Option<Arc<Update<E, P>>>) -> Result<Arc<Update<E, P>>, RecvError> {
        match (update, self.tail.end()) {
            (Some(_) | None, RecvError::Lagged) => Err(RecvError::Lagged),
            (Some(update), _) => {
                self.tail.unread.fetch_sub(update.events(), Ordering::Relaxed);
                Ok(update)
            }
            // The end may have come just after the look, and something just before the end.
            (None, RecvError::Empty) => Err(RecvError::Empty),
            (None, end) => match self.updates.try_recv() {
                Ok(update) => Ok(update),
                Err(_) => Err(end),
            },
        }
    }

    /// A wait for the next update: for a task, or for a thread that has a deadline or an interrupt.
    ///
    /// Its outcome is an error if there will be none; never [`RecvError::Empty`]. Dropping it takes no update.
    pub fn next(&self) -> Wait<impl Waitable<Output = Result<Arc<Update<E, P>>, RecvError>>> {
        Wait::new(NextUpdate(self))
    }

    /// The updates until it ends. Blocks for each of them.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Update<E, P>>> + '_ {
        std::iter::from_fn(|| self.recv().ok())
    }

    /// The updates that have come.
    pub fn try_iter(&self) -> impl Iterator<Item = Arc<Update<E, P>>> + '_ {
        std::iter::from_fn(|| self.try_recv().ok())
    }
}

/// What a wait for an update waits for. Looking and joining the queue are one critical section, and what comes is in the
/// channel before the queue is emptied.
struct NextUpdate<'a, E, P>(&'a Receiver<E, P>);

impl<E, P> Waitable for NextUpdate<'_, E, P> {
    type Output = Result<Arc<Update<E, P>>, RecvError>;

    fn look(&mut self, place: &mut Option<Place>, waker: Option<Waker>) -> Option<Self::Output> {
        let mut waiting = self.0.tail.waiting.lock();
        let come = match self.0.try_recv() {
            Err(RecvError::Empty) => None,
            come => Some(come),
        };
        let former = waiting.join_or_leave(place, waker.filter(|_| come.is_none()));
        drop(waiting);
        drop(former);
        come
    }

    fn leave(&self, place: &mut Option<Place>) {
        let former = self.0.tail.waiting.lock().join_or_leave(place, None);
        drop(former);
    }

    fn block(wait: &mut Wait<Self>, interrupt: Option<&Interrupt>, deadline: Option<Instant>) -> Waited<Self::Output> {
        wait.drive(interrupt, deadline)
    }
}

/// What a receiver and the replicator share beside the channel.
struct Tail {
    /// How many events its updates bring that have not been read.
    unread: AtomicU64,
    /// A [`RecvError`]: `Empty` while more may come. Written once, by the replicator, before it drops the sender.
    end: AtomicU8,
    /// Those who [wait](Receiver::next) for more.
    waiting: Mutex<Waiting>,
}

impl Tail {
    fn new(end: RecvError) -> Self {
        Self { unread: AtomicU64::new(0), end: AtomicU8::new(end as u8), waiting: Mutex::new(Waiting::default()) }
    }

    /// Something has come, or the end.
    fn wake(&self, after: &mut AfterUnlock) {
        after.wakers.append(&mut self.waiting.lock().take());
    }

    fn end(&self) -> RecvError {
        let end = self.end.load(Ordering::Acquire);
        let all = [RecvError::Replaced, RecvError::Lagged, RecvError::Closed];
        all.into_iter().find(|error| *error as u8 == end).unwrap_or(RecvError::Empty)
    }
}

/// A receiver, as the replicator knows it.
struct Subscriber<E, P> {
    updates: channel::Sender<Arc<Update<E, P>>>,
    tail: Weak<Tail>,
}

impl<E, P> Subscriber<E, P> {
    /// One more, unless that is too much, or it has gone. One is never too much. Whether it goes on.
    fn tell(&self, update: &Arc<Update<E, P>>, limit: u64, after: &mut AfterUnlock) -> bool {
        let Some(tail) = self.tail.upgrade() else { return false };
        let unread = tail.unread.load(Ordering::Relaxed);
        let lags = unread > 0 && unread.saturating_add(update.events()) > limit;
        if lags {
            tail.end.store(RecvError::Lagged as u8, Ordering::Release);
        } else {
            tail.unread.fetch_add(update.events(), Ordering::Relaxed);
        }
        let told = !lags && self.updates.send(Arc::clone(update)).is_ok();
        tail.wake(after);
        told
    }

    fn end(&self, end: RecvError, after: &mut AfterUnlock) {
        if let Some(tail) = self.tail.upgrade() {
            tail.end.store(end as u8, Ordering::Release);
            tail.wake(after);
        }
    }
}

/// Who listens.
pub(super) struct Subscribers<E, P> {
    /// Those that have not ended, and some that are gone.
    all: Vec<Subscriber<E, P>>,
    /// How many events each may leave unread.
    limit: u64,
}

impl<E: Send + Sync + 'static, P: Send + Sync + 'static> Subscribers<E, P> {
    pub(super) fn new(limit: usize) -> Self {
        Self { all: Vec::new(), limit: limit as u64 }
    }

    /// One more, who is told of everything from now on, or of the end.
    pub(super) fn subscribe(&mut self, end: Option<RecvError>) -> Receiver<E, P> {
        let (sender, updates) = channel::unbounded();
        let tail = Arc::new(Tail::new(end.unwrap_or(RecvError::Empty)));
        if end.is_none() {
            if self.all.len() == self.all.capacity() {
                self.all.retain(|subscriber| subscriber.tail.strong_count() > 0);
                // Room for as many as are left, so that those who come look through them no more often than they double.
                self.all.reserve(self.all.len().max(4));
            }
            self.all.push(Subscriber { updates: sender, tail: Arc::downgrade(&tail) });
        }
        Receiver { updates, tail }
    }

    /// Whether there is none who may be listening.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Tells all of them. The channels do not block, so this may happen under the lock, which keeps the updates in order.
    pub(super) fn tell(&mut self, update: Update<E, P>, after: &mut AfterUnlock) {
        let (update, limit) = (Arc::new(update), self.limit);
        let mut at = 0;
        while let Some(subscriber) = self.all.get(at) {
            if subscriber.tell(&update, limit, after) {
                at += 1;
            } else {
                // The last to let go of a channel drops what is in it.
                after.discard_events::<E>(self.all.swap_remove(at).updates);
            }
        }
        after.discard_events::<E>(update);
    }

    /// Tells all of them that there will be no more.
    pub(super) fn end(&mut self, end: RecvError, after: &mut AfterUnlock) {
        for subscriber in self.all.drain(..) {
            subscriber.end(end, after);
            after.discard_events::<E>(subscriber.updates);
        }
    }
}

impl<E, P> fmt::Debug for Receiver<E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::IN_MODEL;

    #[test]
    fn the_list_of_subscribers_grows_with_those_that_live() {
        if IN_MODEL {
            return;
        }
        let mut subscribers = Subscribers::<u8, u64>::new(1);
        let alive: Vec<_> = (0..100).map(|_| subscribers.subscribe(None)).collect();
        for _ in 0..10_000 {
            drop(subscribers.subscribe(None));
        }
        assert!(subscribers.all.capacity() <= 400, "those that are gone take room: {}", subscribers.all.capacity());
        drop(alive);
        for _ in 0..10_000 {
            drop(subscribers.subscribe(None));
        }
        assert!(subscribers.all.len() <= 400);
        let mut after = AfterUnlock::default();
        subscribers.end(RecvError::Closed, &mut after);
        assert!(subscribers.is_empty());
    }

    /// Looking through the list costs what it is long: it is to be worth it.
    #[test]
    fn subscribe_seldom_looks_through_the_list_of_many() {
        if IN_MODEL {
            return;
        }
        let mut subscribers = Subscribers::<u8, u64>::new(1);
        let _alive: Vec<_> = (0..1000).map(|_| subscribers.subscribe(None)).collect();
        let (mut looks, mut before) = (0, subscribers.all.len());
        for _ in 0..10_000 {
            drop(subscribers.subscribe(None));
            looks += usize::from(subscribers.all.len() <= before);
            before = subscribers.all.len();
        }
        assert!(looks <= 20, "{looks} looks");
    }
}
