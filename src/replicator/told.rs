//! What each party was told to wait for, and so whom a transition has to wake.
//!
//! A party that looks is **told** what would end its wait, as a [`Next`]: nothing, a time, or
//! that there is something to do. It is noted in the critical section in which it looked and parks.
//! Each transition ends with what the parties would be told now, and wakes those for whom that has
//! changed, but for those that would be told to wait for nothing.
//!
//! # A party that waits is woken if it has to look
//!
//! That is so whatever the protocol says, hence for any number of clients, events and faults:
//!
//! - A party that is parked was told what is noted; a transition in which that changes wakes it,
//!   and what it finds then is noted as it looks. If nothing has changed it waits for the right
//!   thing.
//! - If it would now be told to wait for nothing, it sleeps on, and what is noted is "nothing".
//!   Whatever it would be told to do later differs from that and wakes it. At worst it wakes at a
//!   time that has no meaning any more, and looks in vain.
//! - A party that is not parked (it is in a call, or on its way to the lock) looks before it parks.
//!   What transitions note meanwhile is overwritten as it does, so that nothing can have been told
//!   to it while it was not there to hear.
//!
//! Models show it for every signal before and after a transition, with a protocol whose signals are
//! chosen: with threads, and in the same scenario with tasks.
//!
//! # The same of a task
//!
//! The argument asks three things of a party, and how it sleeps is not among them. A [driver's](super::driver) half has them:
//!
//! - *It looks and begins to sleep in one critical section.* [`Party::poll`](super::work::Party::poll) looks as a thread does,
//!   through the same function, which notes what the party is told; and it joins the queue of the same topic before it gives
//!   up the lock. (It reports in a section before that one. Then it is not parked, and what it finds there is noted later.)
//! - *A wake reaches it.* Whom a transition wakes is one set of topics for threads and for tasks, taken from under the lock
//!   that a task joins under. There is one place for each half, kept as long as it waits, and each poll puts its own waker
//!   there: so the waker that is taken is that of the latest poll, of the task which will be polled next. An executor polls
//!   what was woken, sooner or later. What it polls for no reason looks, and joins again.
//! - *The time that it was told comes.* A thread waits with that deadline. A task is polled by the sleep for it, which is begun
//!   and polled after the lock has been given up: if a transition has come in between, the waker in the queue has been woken,
//!   and the next poll compares and sleeps for what it is told then. A sleep for a time of before is dropped.
//!
//! Two halves in one task may be woken by each other's wakes, too: that is a poll for no reason. A driver that is not split gives
//! its pusher [a waker of its own](super::own_waker), by which a wake reaches its task as well. The models show that each
//! of the three is needed, by taking it away.

use crate::primitives::monitor::Topics;
use crate::protocol::{Direction, Next};

/// Who waits for what.
pub(super) mod topic {
    /// The pusher, for something to send.
    pub const PUSHER: usize = 0;
    /// The puller, for something to pull.
    pub const PULLER: usize = 1;
    /// Waiters for commits to settle, or for the end, or for what no party but the owner can end.
    pub const SETTLED: usize = 2;
    /// Waiters for anything to change that a status shows.
    pub const STATUS: usize = 3;
    /// The writer, for something to write.
    pub const WRITER: usize = 4;
    /// Sessions, for events, for their turn, or for an answer.
    pub const SESSIONS: usize = 5;
    /// How many there are.
    pub const COUNT: usize = 6;
}

/// One topic alone.
pub(super) const fn only(topic: usize) -> Topics {
    1 << topic
}

/// What the pusher and the puller were told last.
pub(crate) struct Told {
    push: Next<()>,
    pull: Next<()>,
}

/// What the worker of a direction waits for.
pub(crate) const fn topic_of(direction: Direction) -> usize {
    match direction {
        Direction::Push => topic::PUSHER,
        Direction::Pull => topic::PULLER,
    }
}

impl Told {
    /// Neither waits yet.
    pub(crate) fn new(push: Next<()>, pull: Next<()>) -> Self {
        Self { push, pull }
    }

    /// A transition has led to these signals. Who is to be woken.
    #[inline]
    pub(crate) fn publish(&mut self, push: Next<()>, pull: Next<()>) -> Topics {
        let mut topics = 0;
        if push.wakes(self.push) {
            topics |= only(topic::PUSHER);
        }
        if pull.wakes(self.pull) {
            topics |= only(topic::PULLER);
        }
        *self = Self { push, pull };
        topics
    }

    /// The worker of this direction has looked, and will wait for this or has something to do: then
    /// for nothing. Whether that is news.
    #[inline]
    pub(crate) fn record_wait(&mut self, direction: Direction, told: Next<()>) -> bool {
        let before = match direction {
            Direction::Push => std::mem::replace(&mut self.push, told),
            Direction::Pull => std::mem::replace(&mut self.pull, told),
        };
        before != told
    }
}
