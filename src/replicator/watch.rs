//! Waits for how things stand: a status that shows something else, room for a commit.
//!
//! Each change of what a status shows counts a **revision**, under the lock. A waiter builds its status, looks at it without
//! the lock, and joins the queue only if the revision is still the one that it has looked at; otherwise it looks again. So a
//! change is never missed, however late a waiter comes, and none of the user's code runs under the lock.

use std::num::NonZeroUsize;
use std::task::Waker;
use std::time::Duration;

use super::choices::Matter;
use super::core::Core;
use super::status::Status;
use super::told::topic;
use super::{CommitError, Replicator, Ticket, Unsettled};
use crate::log::Log;
use crate::platform::Instant;
use crate::primitives::interrupt::Interrupt;
use crate::primitives::wait::{Wait, Waitable, Waited, deadline};
use crate::primitives::wait_queue::Place;

/// What a wait for a status waits for.
struct Watching<'a, L: Log, F> {
    core: &'a Core<L>,
    /// Says of a status whether the wait is over, and how.
    look: F,
}

impl<L: Log, T, F: FnMut(Option<Status<L::Position>>) -> Option<T>> Waitable for Watching<'_, L, F> {
    type Output = T;

    fn look(&mut self, place: &mut Option<Place>, waker: Option<Waker>) -> Option<T> {
        loop {
            let (status, closed) = self.core.status();
            let seen = status.revision;
            let found = (self.look)(Some(status)).or_else(|| closed.then(|| (self.look)(None)).flatten());
            if found.is_some() {
                self.leave(place);
                return found;
            }
            let changed = |state: &mut super::core::State<L>| state.has_changed(seen).then_some(());
            self.core.state.look_and_join(topic::STATUS, changed, place, waker.clone())?;
        }
    }

    fn leave(&self, place: &mut Option<Place>) {
        self.core.state.leave(topic::STATUS, place);
    }

    fn block(wait: &mut Wait<Self>, interrupt: Option<&Interrupt>, deadline: Option<Instant>) -> Waited<T> {
        wait.drive(interrupt, deadline)
    }
}

impl<L: Log> Replicator<L> {
    /// A wait for a [status](Self::status) that shows something else than the one with this
    /// [revision](Status::revision): for a status line without polling. Its outcome is the status, or `None` once the
    /// replicator has [stopped](Self::stopped) and none comes any more.
    ///
    /// No change is missed, however late the wait begins; of several in between the last is shown. One that does not show
    /// may end it, too. What a status counts down, it counts without a change: ask again with a bound on the wait.
    ///
    /// ```
    /// # if latchwork::sync::IN_MODEL { return Ok(()) }
    /// use latchwork::{log::MemoryLog, upstream::Memory, Replicator};
    ///
    /// let replicator = Replicator::builder(MemoryLog::new(), Memory::new(0)).spawn()?;
    /// let status = replicator.status();
    /// replicator.commit(vec!["milk"])?;
    /// let next = replicator.status_changed(status.revision).wait();
    /// assert!(next.is_some_and(|next| next.revision > status.revision));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn status_changed(&self, seen: u64) -> Wait<impl Waitable<Output = Option<Status<L::Position>>> + use<'_, L>> {
        self.status_when(move |status| status.revision != seen)
    }

    /// A wait for a status of which `holds` is true. Its outcome is that status, or `None` once the replicator has
    /// [stopped](Self::stopped) and it is not true of the last. `holds` is called without a lock, by the thread or task that
    /// waits, for each status that it sees.
    pub fn status_when<F>(
        &self,
        mut holds: F,
    ) -> Wait<impl Waitable<Output = Option<Status<L::Position>>> + use<'_, L, F>>
    where
        F: FnMut(&Status<L::Position>) -> bool,
    {
        Wait::new(Watching {
            core: &self.core,
            look: move |status: Option<Status<L::Position>>| match status {
                Some(status) => holds(&status).then_some(Some(status)),
                None => Some(None),
            },
        })
    }

    /// A wait until the log has had everything that upstream has: until a pull has caught up, for the first time with this
    /// log. Its outcome is the number of the last event of upstream's that was applied then.
    ///
    /// # Errors
    ///
    /// [`Unsettled`] at once if none does before the owner has acted, or once the replicator has stopped.
    pub fn caught_up(&self) -> Wait<impl Waitable<Output = Result<L::Position, Unsettled>> + use<'_, L>> {
        Wait::new(Watching {
            core: &self.core,
            look: |status: Option<Status<L::Position>>| {
                let Some(status) = status else { return Some(Err(self.unsettled())) };
                if let Some((_, head)) = status.progress.caught_up {
                    return Some(Ok(head));
                }
                let Status { pending, pull_waiting_on: waiting_on, .. } = status;
                waiting_on.is_halted().then_some(Err(Unsettled { pending, waiting_on }))
            },
        })
    }

    /// As [`commit`](Self::commit). If [too many](super::Builder::max_pending) events are pending, or
    /// [too many](super::Builder::max_unwritten) changes unwritten, it waits until there is room, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit): [`CommitError::Full`] or [`CommitError::Unwritten`] if there has been no room in time, or at
    /// once if there will be none before the owner has acted, or never for so many.
    pub fn commit_within(
        &self,
        mut events: Vec<L::Event>,
        timeout: Duration,
    ) -> Result<Ticket<L::Position>, CommitError<L::Error>> {
        let (until, count) = (deadline(timeout), events.len());
        loop {
            let full = match self.try_commit(&mut events) {
                Err(full @ (CommitError::Full { .. } | CommitError::Unwritten { .. })) => full,
                done => return done,
            };
            let waited = match until {
                Some(until) => self.room(count).wait_deadline(until),
                None => Waited::Ready(self.room(count).wait()),
            };
            if waited != Waited::Ready(true) {
                return Err(full);
            }
        }
    }

    /// As [`commit_within`](Self::commit_within), without a limit and without blocking the thread.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready nothing has been committed, and the events are dropped with it.
    pub async fn commit_async(&self, mut events: Vec<L::Event>) -> Result<Ticket<L::Position>, CommitError<L::Error>> {
        let count = events.len();
        loop {
            match self.try_commit(&mut events) {
                Err(full @ (CommitError::Full { .. } | CommitError::Unwritten { .. })) => {
                    if !self.room(count).await {
                        return Err(full);
                    }
                }
                done => return done,
            }
        }
    }

    /// A wait until there is room for so many events (`true`), or will be none before the owner has acted (`false`).
    fn room(&self, count: usize) -> Wait<impl Waitable<Output = bool> + use<'_, L>> {
        let max = self.core.limits.max_pending.map_or(usize::MAX, NonZeroUsize::get);
        let max_unwritten = self.core.limits.max_unwritten;
        Wait::new(Watching {
            core: &self.core,
            look: move |status: Option<Status<L::Position>>| {
                let Some(status) = status else { return Some(false) };
                let is_written = status.unwritten < max_unwritten;
                if status.pending.saturating_add(count) <= max && is_written {
                    return Some(true);
                }
                if !is_written
                    && status.decisions.iter().any(|decision| matches!(decision.matter, Matter::Journal { .. }))
                {
                    return Some(false);
                }
                (count > max || status.waiting_on.is_halted()).then_some(false)
            },
        })
    }
}
