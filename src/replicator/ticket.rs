//! What becomes of a commit: each one settles exactly once.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::known_bugs::bug;
use crate::log::{Log, Merged};
use crate::sync::{Arc, note};
use crate::wait::{Waited, deadline};
use crate::watched::{Wakers, Watched};

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settled<P> {
    /// Upstream has ordered all of it; its last event has this number for good.
    Confirmed(P),
    /// The log gave up some of it, because of what others did.
    Rejected,
    /// The replicator was closed, or its log replaced, before upstream had ordered all of it. It may be ordered later
    /// if the log is kept.
    Closed,
}

/// A commit on its way. Dropping it changes nothing about the commit.
pub struct Ticket<P> {
    slot: Arc<Slot<P>>,
}

type Slot<P> = Watched<Option<Settled<P>>>;

impl<P: Copy + Send + 'static> Ticket<P> {
    /// What became of the commit, if that is known.
    #[must_use]
    pub fn settled(&self) -> Option<Settled<P>> {
        self.slot.look(|settled| *settled)
    }

    /// Blocks until the commit has settled.
    #[must_use]
    pub fn wait(&self) -> Settled<P> {
        note!(because("its commit has not settled"));
        match self.slot.block(0, None, |settled| *settled) {
            Waited::Ready(settled) => settled,
            Waited::TimedOut | Waited::Interrupted(_) => unreachable!("there was no deadline and no interrupt"),
        }
    }

    /// As [`wait`](Self::wait), for `timeout` at most.
    pub fn wait_timeout(&self, timeout: Duration) -> Waited<Settled<P>> {
        note!(because("its commit has not settled"));
        self.slot.block(0, deadline(timeout), |settled| *settled)
    }

    /// As [`wait`](Self::wait), without blocking the thread, under any executor.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub fn wait_async(&self) -> impl Future<Output = Settled<P>> + Send + '_ {
        self.slot.wait(|settled| *settled)
    }
}

impl<P> fmt::Debug for Ticket<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

/// The commits that have not settled, in the order of their pending events.
#[derive(Debug)]
pub(super) struct Tickets<P> {
    /// Their `remaining` add up to the log's pending events that are to be sent.
    open: VecDeque<Open<P>>,
    /// The number of the last commit.
    last: u64,
}

struct Open<P> {
    /// The commit's number. Ascending.
    number: u64,
    /// Events that are not settled; at least one.
    remaining: usize,
    /// Whether the log gave up an event of it.
    rejected: bool,
    /// `None` for events that were pending from the start: nobody waits for them.
    slot: Option<Arc<Slot<P>>>,
}

impl<P> fmt::Debug for Open<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Open({})", self.remaining)
    }
}

impl<P: Copy + Send + 'static> Tickets<P> {
    /// For a log with so many pending events.
    pub(super) fn new(pending: usize) -> Self {
        let mut tickets = Self { open: VecDeque::new(), last: 0 };
        tickets.enter(pending, None);
        tickets
    }

    fn enter(&mut self, count: usize, slot: Option<Arc<Slot<P>>>) {
        self.last += 1;
        if count > 0 {
            self.open.push_back(Open { number: self.last, remaining: count, rejected: false, slot });
        }
    }

    /// A commit of `count` events that are to be sent; `head` is its last event's number. With nothing to send there is
    /// nothing to wait for: it is settled.
    pub(super) fn issue(&mut self, count: usize, head: P) -> Ticket<P> {
        let settled = (count == 0).then_some(Settled::Confirmed(head));
        let slot = Arc::new(Slot::new(settled));
        self.enter(count, Some(Arc::clone(&slot)));
        Ticket { slot }
    }

    /// The number of the last commit.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The number of the first commit that has not settled.
    pub(super) fn first_open(&self) -> Option<u64> {
        self.open.front().map(|open| open.number)
    }

    /// Whether every commit up to this number has settled.
    pub(super) fn all_settled(&self, number: u64) -> bool {
        self.first_open().is_none_or(|first| first > number)
    }

    /// Settles what was merged. Returns the tasks to wake once the lock has been given up.
    pub(super) fn merged<L: Log<Position = P>>(&mut self, log: &L, merged: &Merged<L::Entry>) -> Wakers {
        let mut wakers = Wakers::new();
        let mut confirmed = merged.confirmed().iter().filter(|entry| !log.is_local_only(entry));
        while let Some(first) = self.open.front_mut() {
            let (mut last, before) = (None, first.remaining);
            for entry in confirmed.by_ref().take(before) {
                first.remaining -= 1;
                last = Some(entry);
            }
            let Some(last) = last else { break };
            if first.remaining > 0 {
                break;
            }
            self.settled(0, Some(L::position(last)), &mut wakers);
        }
        if bug!(DroppedItemNeverSettles) {
            return wakers;
        }
        // The last first: an index counts those before it.
        for index in merged.dropped().iter().rev() {
            self.reject(*index, &mut wakers);
        }
        wakers
    }

    /// Settles the pending event at `index` as rejected.
    fn reject(&mut self, mut index: usize, wakers: &mut Wakers) {
        let mut at = 0;
        while let Some(open) = self.open.get(at).filter(|open| open.remaining <= index) {
            index -= open.remaining;
            at += 1;
        }
        let Some(open) = self.open.get_mut(at) else { return };
        open.remaining -= 1;
        open.rejected = true;
        if open.remaining == 0 {
            self.settled(at, None, wakers);
        }
    }

    /// The last event of this commit has settled: confirmed at a position, or rejected.
    fn settled(&mut self, at: usize, position: Option<P>, wakers: &mut Wakers) {
        let Some(Open { rejected, slot, .. }) = self.open.remove(at) else { return };
        let settled = position.filter(|_| !rejected).map_or(Settled::Rejected, Settled::Confirmed);
        if let Some(slot) = slot {
            wakers.append(&mut slot.change_quietly(|slot| *slot = Some(settled)));
        }
    }

    /// Settles everything as closed, returning the tasks to wake; the log has so many pending events from now on.
    pub(super) fn close(&mut self, pending: usize) -> Wakers {
        let slots = self.open.drain(..).filter_map(|open| open.slot);
        let wakers = slots.flat_map(|slot| slot.change_quietly(|slot| *slot = Some(Settled::Closed))).collect();
        self.enter(pending, None);
        wakers
    }
}
