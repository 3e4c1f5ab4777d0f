//! The replicator: a log, an upstream, and two workers that keep them together.
//!
//! # The concurrency argument
//!
//! All state is one [`Protocol`] behind one lock. Every transition ends in one function that
//! compares what each worker would be woken for with what it was last told, and wakes it if that
//! differs. (With a [journal](crate::journal) there is a third worker, its writer.) Workers look and
//! join their queue in one critical section. So there is one point at which anything happens, one
//! place that publishes, and every waiter reads again after being woken.
//!
//! Upstream is called without the lock. A push or a pull reports under the number that it was begun
//! with; the answer to one that is not the latest changes nothing.
//!
//! # What a commit waits for
//!
//! The lock, which no thread holds while it waits for anything. Never the network, a pull, a rebase, a
//! disk or another commit's confirmation.
//!
//! # Events
//!
//! With the feature `tracing` the replicator says what it does, with target `latchwork`, at level
//! debug, or warn for `backend-push-error` and `journal-error`:
//!
//! | event | when | fields of its own |
//! | --- | --- | --- |
//! | `pull-advance` | upstream's events were merged, pending ones keep their numbers | `from`, `new`, `confirmed` |
//! | `pull-rebase` | they were merged, pending ones got new numbers | `from`, `new`, `confirmed`, `moved`, `dropped` |
//! | `backend-push-batch` | a push begins | `batch` |
//! | `backend-push-error` | a push was not simply taken | `batch`, `error` |
//! | `journal-write` | the journal has written what had gathered | `changes` |
//! | `journal-error` | it has not | `changes`, `error` |
//! | `local-push-reject` | the log refused a commit | `error` |
//! | `local-give-up` | the owner gave up pending events, or replaced one | `dropped`, `moved` |
//! | `start`, `stop` | the pusher begins, ends; also by the drop of its driver | `counters` |
//! | `park` | the pusher has nothing to do until another moves | `counters`, `cause`: a [`WaitingOn`] in words |
//! | `resume` | it goes on | `counters`, `by` |
//! | `restart` | [`restart`](Replicator::restart) was called | `counters` |
//!
//! All have `replicator` (its [name](Builder::name), if it has one), `generation` (the number of
//! the latest push; for a merge `from` a pull, of the pull; of the journal, of the latest write), `epoch`,
//! `upstream_head`, `head` and `pending`, as they stood in the moment that the event tells of. `new`, `confirmed`, `moved`,
//! `dropped` and `batch` count events of the log. A merge is `from` a `push` if that was accepted:
//! its answer tells what its echo would. `by` is `pull-advance`, `pull-rebase` or `catch-up` if the
//! puller woke the pusher, `clock` if a time came, or the method of the handle: `commit`, `resume`,
//! `retry_now`, `reconnect`, `restart`, `reset`, `give_up`, `replace`, `retry_rejected`, `flush`,
//! `stop`; `journal` if it was the writer.
//!
//! An event is emitted by the thread that did what it tells of, soon after, without the lock: a
//! subscriber may call the replicator, but must not wait for it ([`flush`](Replicator::flush),
//! [`Ticket::wait`]), since it may be the pusher that it keeps from going on. The events of one
//! thread come in their order, those of two threads in any. A panic in a subscriber loses that
//! event and nothing else.

mod after;
mod builder;
mod choices;
mod core;
mod decide;
mod driver;
mod elsewhere;
mod group;
mod guest;
pub(crate) mod journal;
pub(crate) mod leader;
mod owed;
mod own_waker;
pub(crate) mod sessions;
mod shutdown;
mod status;
mod ticket;
pub(crate) mod told;
#[cfg(feature = "tracing")]
mod trace;
mod unwritten;
mod update;
pub(crate) mod upstream;
mod watch;
mod work;
mod writer;

use std::fmt;
use std::mem::take;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::time::Duration;

use thiserror::Error;

pub use self::builder::Builder;
pub use self::choices::{Choice, Decision, GiveUp, Matter, OnRejected, Rejected, ResetError};
use self::core::State;
pub use self::driver::{Driver, Timer};
use self::owed::{Owed, Pending, waiting_on_from};
use self::shutdown::Owned;
pub use self::shutdown::{Shutdown, Unfinished, Unwritten};
pub use self::status::{LastError, Status};
pub use self::ticket::{Settled, Ticket};
use self::told::topic;
pub use self::update::{Receiver, RecvError, Snapshot, Update, Updates};
use crate::log::Log;
use crate::platform::event::Input;
use crate::platform::{Arc, catch_panic, probe};
use crate::primitives::wait::{Wait, Waitable};
use crate::protocol::{Direction, Effects, Protocol, Time, WaitingOn};

/// Keeps a log and an upstream together: pushes what is committed, pulls and merges what others did.
///
/// A clone is another handle of the same replicator, at the cost of a reference count. The drop of the last one
/// [stops](Self::stop) it and waits for its two threads, however long a call to upstream takes to
/// heed its interrupt; on one of the two, as a waker may bring about, for the other alone. Not to
/// wait, await [`stopped`](Self::stopped) before, or give [`shutdown`](Self::shutdown) a limit. An
/// upstream that holds a handle of its own replicator keeps it from ending.
///
/// # Panics of a task's waker
///
/// A method that changes something may wake tasks that wait for a ticket, a flush or an interrupt. If a waker panics, the
/// panic comes out of that method, after all that there was to do has been done and all waiters have been woken. In the
/// replicator's own threads it is shown as the [last error](Status::last_error), and they go on.
///
/// ```
/// # if latchwork::sync::IN_MODEL { return Ok(()) }
/// use latchwork::log::MemoryLog;
/// use latchwork::upstream::Memory;
/// use latchwork::{Replicator, Settled};
/// use std::time::Duration;
///
/// let upstream = Memory::new(0);
/// let alice = Replicator::builder(MemoryLog::new(), upstream.clone()).spawn()?;
/// let bob = Replicator::builder(MemoryLog::new(), upstream.clone()).spawn()?;
///
/// let ticket = alice.commit(vec!["alice: milk"])?;
/// assert!(matches!(ticket.wait(), Settled::Confirmed(_)));
/// bob.commit(vec!["bob: bread"])?;
/// bob.flush(Duration::from_secs(10))?;
/// assert_eq!(upstream.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Replicator<L: Log> {
    core: Arc<Owned<L>>,
}

/// Why a commit was not admitted. The log is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommitError<E> {
    /// There was nothing to commit.
    #[error("expected at least one event, got none")]
    Empty,
    /// The log refused the events.
    #[error("the log refused the commit: {0}")]
    Refused(E),
    /// There is no room: [so many](Builder::max_pending) may be pending.
    #[error("expected at most {max} pending events, got {count} more than the {pending} there are")]
    Full {
        /// How many are pending.
        pending: usize,
        /// How many were to be committed.
        count: usize,
        /// How many may be pending.
        max: usize,
    },
    /// The journal is behind, or has failed: [so many](Builder::max_unwritten) changes may be unwritten.
    #[error(
        "expected at most {max} changes that the journal has not written, got one more than the {unwritten} there are"
    )]
    Unwritten {
        /// How many are.
        unwritten: usize,
        /// How many may be.
        max: usize,
    },
    /// The log panicked.
    #[error("the log panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The replicator has been [stopped](Replicator::stop).
    #[error("the replicator has been stopped")]
    Stopped,
}

/// What was waited for has not come: everything [settled](Replicator::flushed), or a first
/// [catch-up](Replicator::caught_up).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}; the next move is owed by {}", Pending(*pending), Owed(waiting_on))]
#[non_exhaustive]
pub struct Unsettled {
    /// How many events are pending, also those that were committed later.
    pub pending: usize,
    /// Who owes the next move. Times count from the moment of the error on.
    pub waiting_on: WaitingOn,
}

impl<L: Log> Replicator<L> {
    /// Configures and starts a replicator, for a log and the upstream that it belongs to.
    pub fn builder<U>(log: L, upstream: U) -> Builder<L, U> {
        Builder::new(log, upstream)
    }

    /// Appends events to the log, to be pushed. Never waits for the network, a pull or a rebase.
    ///
    /// # Errors
    ///
    /// See [`CommitError`]. Nothing has been appended then.
    pub fn commit(&self, mut events: Vec<L::Event>) -> Result<Ticket<L::Position>, CommitError<L::Error>> {
        self.try_commit(&mut events)
    }

    /// As [`commit`](Self::commit), and the calling thread has the [journal](Builder::journal) write the commit, with all that
    /// has gathered: for a caller that then waits until it is [durable](Ticket::durable), and would do nothing else meanwhile.
    /// It spares two threads to be woken.
    ///
    /// If another write is under way the commit is left to the next one, as it always is without a journal or with a
    /// [driver](Driver). So what has become of it says the ticket; and a journal that fails is the owner's to see, whichever
    /// thread has called it.
    ///
    /// Blocks for as long as the write takes, and holds no lock meanwhile that others wait for.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit): nothing has been appended then. A write that has failed is none.
    pub fn commit_and_write(&self, events: Vec<L::Event>) -> Result<Ticket<L::Position>, CommitError<L::Error>> {
        if events.is_empty() {
            return Err(CommitError::Empty);
        }
        let now = self.core.now();
        self.admit(events.len(), Some(now), |protocol| protocol.commit(events))
    }

    /// Commits these events and leaves none, or leaves them if there is no room.
    fn try_commit(&self, events: &mut Vec<L::Event>) -> Result<Ticket<L::Position>, CommitError<L::Error>> {
        if events.is_empty() {
            return Err(CommitError::Empty);
        }
        self.admit(events.len(), None, |protocol| protocol.commit(take(events)))
    }

    /// As [`commit`](Self::commit), for events that their author has numbered on top of the head that they saw.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit); [`CommitError::Refused`] if others were faster, with what was expected.
    pub fn commit_numbered(&self, entries: Vec<L::Entry>) -> Result<Ticket<L::Position>, CommitError<L::Error>> {
        if entries.is_empty() {
            return Err(CommitError::Empty);
        }
        self.admit(entries.len(), None, |protocol| protocol.commit_numbered(entries))
    }

    /// With a time, the calling thread writes it, if it can.
    fn admit(
        &self,
        count: usize,
        writes: Option<Time>,
        commit: impl FnOnce(&mut Protocol<L>) -> Result<usize, L::Error>,
    ) -> Result<Ticket<L::Position>, CommitError<L::Error>> {
        // Not moved into the step: if that does without it, it is dropped here, without the lock.
        let mut commit = Some(commit);
        let mut write = None;
        let mut step = |state: &mut State<L>| {
            if state.protocol.is_stopped() {
                return Err(CommitError::Stopped);
            }
            if let Some(max) = self.core.limits.max_pending {
                let (pending, max) = (state.protocol.log().pending(), max.get());
                if pending.saturating_add(count) > max {
                    return Err(CommitError::Full { pending, count, max });
                }
            }
            if state.protocol.is_journal_full() {
                let (unwritten, max) = (state.protocol.unwritten(), self.core.limits.max_unwritten);
                return Err(CommitError::Unwritten { unwritten, max });
            }
            let commit = commit.take().expect("a step is taken once");
            let admitted = commit(&mut state.protocol).map_err(|error| {
                probe!(state => Refused);
                CommitError::Refused(error)
            });
            let issued =
                admitted.map(|count| state.tickets.issue(count, state.protocol.log().head(), &mut state.after.wakers));
            if issued.is_ok() {
                write = writes.and_then(|now| state.write_begins_here(now));
            }
            issued
        };
        // Written here at once: what a step returns is handed on from function to function.
        let mut admitted = None;
        let (taken, panicked) =
            self.core.apply(Input::Commit, |state| (admitted = Some(step(state)), Effects::default()));
        if let Some(write) = write {
            writer::write_here(&self.core, write);
        }
        probe!(self.core => Answered {
            refused: match (&taken, &admitted) {
                (Ok(()), Some(Err(CommitError::Refused(error)))) => Some(error),
                _ => None,
            },
        });
        panicked.resume();
        taken.map_err(|message| CommitError::Panicked { message })?;
        admitted.expect("it is admitted or not")
    }

    /// Every merge from now on, in order, and how the log stands before the first of them.
    ///
    /// # Panics
    ///
    /// If the log does when asked for what is pending.
    pub fn updates(&self) -> Updates<L::Entry, L::Position> {
        self.core.look(|state| {
            let log = state.protocol.log();
            let (head, upstream_head) = (log.head(), log.upstream_head());
            let snapshot = Snapshot { head, upstream_head, pending: log.batch(NonZeroUsize::MAX) };
            let end = state.is_closed().then_some(RecvError::Closed);
            Updates { snapshot, receiver: state.subscribers.subscribe(end) }
        })
    }

    /// A wait until everything that was committed before it began has settled. What the log that was replaced held has
    /// settled by that. What [lingers](Builder::linger) does so no longer.
    ///
    /// Its outcome is an error at once if not everything has settled, and nothing does before the owner has acted (see
    /// [`Status::decisions`]), or ever since the replicator has been [stopped](Self::stop): how much is pending, and who owes
    /// the next move.
    pub fn flushed(&self) -> Wait<impl Waitable<Output = Result<(), Unsettled>>> {
        self.settled(true, |all| if all { Ok(()) } else { Err(self.unsettled()) })
    }

    /// A wait until all commits before it have settled (`true`), or cannot any more (`false`); by themselves, if it is so.
    fn settled<T>(&self, by_themselves: bool, told: impl FnMut(bool) -> T) -> Wait<impl Waitable<Output = T>> {
        if self.core.limits.lingers {
            self.step(Input::Flush, |protocol| {
                protocol.hurry();
                Effects::default()
            });
        }
        let mut last = None;
        let settled = move |state: &mut State<L>| {
            let last = *last.get_or_insert_with(|| state.tickets.last());
            state.flushed(last).or_else(|| (by_themselves && state.waiting_on.0.is_halted()).then_some(false))
        };
        self.core.state.wait_topic(topic::SETTLED, settled, told)
    }

    /// Blocks until everything that was committed before has settled, for `timeout` at most: [`flushed`](Self::flushed), in
    /// short.
    ///
    /// # Errors
    ///
    /// If it has not in this time; and as there, at once.
    pub fn flush(&self, timeout: Duration) -> Result<(), Unsettled> {
        self.flushed().wait_timeout(timeout).ready().unwrap_or_else(|| Err(self.unsettled()))
    }

    /// As [`flushed`](Self::flushed), and goes on waiting when only the owner can go on.
    pub fn flush_async(&self) -> Wait<impl Waitable<Output = Result<(), Unsettled>>> {
        self.settled(false, |all| if all { Ok(()) } else { Err(self.unsettled()) })
    }

    fn unsettled(&self) -> Unsettled {
        let now = self.core.now();
        self.core.look(|state| Unsettled {
            pending: state.protocol.log().pending(),
            waiting_on: waiting_on_from(state.latest(now), &state.protocol.waiting_on()),
        })
    }

    /// Closes a direction's gate: nothing new begins in it. A push in flight goes on; a pull is asked to end.
    pub fn pause(&self, direction: Direction) {
        self.step(Input::Pause, |protocol| protocol.pause(direction));
    }

    /// Opens a direction's gate and looks again, without waiting out a backoff that upstream has not asked for.
    pub fn resume(&self, direction: Direction) {
        self.step(Input::Resume, |protocol| {
            protocol.resume(direction);
            Effects::default()
        });
    }

    /// Looks again now, in both directions, without waiting out a backoff that upstream has not asked for. A direction that
    /// is paused looks once it is resumed.
    pub fn retry_now(&self) {
        self.step(Input::RetryNow, Protocol::retry_now);
    }

    /// As [`retry_now`](Self::retry_now), also before the time that upstream has asked for with
    /// [`retry_after`](crate::upstream::PushError::Unavailable::retry_after).
    pub fn override_retry_after(&self) {
        self.step(Input::OverrideRetryAfter, Protocol::override_retry_after);
    }

    /// Goes on after a failure. Without one, it looks again.
    pub fn restart(&self) {
        self.step(Input::Restart, Protocol::restart);
    }

    /// Replaces the log, for instance after upstream turned out to be another one, and begins anew. What was pending is
    /// settled as [closed](Settled::Closed), and who listens to [updates](Self::updates) is told that
    /// [they end](RecvError::Replaced). Returns the log as it was.
    ///
    /// # Panics
    ///
    /// If the new log does when asked how much is pending, or for what is, which a [journal](Builder::journal) is told: nothing
    /// has changed then. And if a task's waker does: by then the log has been replaced and all waiters have been woken; the
    /// former log is dropped.
    pub fn reset(&self, log: L) -> L {
        let pending = log.pending();
        let mut former = None;
        let (reset, panicked) = self.core.apply(Input::Reset, |state| {
            let (old, effects) = state.reset(log, pending);
            former = Some(old);
            ((), effects)
        });
        if let Some(payload) = panicked.into_payload() {
            let _caught = catch_panic(|| drop(former));
            resume_unwind(payload);
        }
        former.unwrap_or_else(|| {
            resume_unwind(Box::new(reset.expect_err("a reset has the former log, or the new one panicked")))
        })
    }

    fn step(&self, input: Input, step: impl FnOnce(&mut Protocol<L>) -> Effects<L::Entry>) {
        let (_caught, panicked) = self.core.apply(input, |state| ((), step(&mut state.protocol)));
        panicked.resume();
    }

    /// How things stand. Always answers, and wakes no thread.
    pub fn status(&self) -> Status<L::Position> {
        self.core.status().0
    }

    /// Looks at the log, under the lock: be quick, and call nothing of the replicator's.
    ///
    /// # Panics
    ///
    /// If `look` does; in a debug build also if it calls the replicator, which otherwise waits for itself.
    pub fn with_log<T>(&self, look: impl FnOnce(&L) -> T) -> T {
        self.core.look(|state| look(state.protocol.log()))
    }

    /// Stops it: nothing begins any more, and the calls that are going on are interrupted. Never waits, and the second time
    /// changes nothing.
    ///
    /// What comes of the calls still counts. As soon as both have ended nothing can settle any more: tickets that have not
    /// settled are [closed](Settled::Closed) then, flushes end with an error, updates [end](RecvError::Closed), and
    /// [`stopped`](Self::stopped) is over. From now on commits are [refused](CommitError::Stopped), the rest of the handle
    /// goes on to answer, and [`into_log`](Self::into_log) gives the log back.
    pub fn stop(&self) {
        self.core.stop().resume();
    }

    /// A wait until it has [stopped](Self::stop): both directions have ended. It does not tell them to. What follows, a drop
    /// or a [`shutdown`](Self::shutdown), waits for no call to upstream. It is over as well once a shutdown has waited for the
    /// directions in vain.
    pub fn stopped(&self) -> Wait<impl Waitable<Output = ()>> {
        self.core.state.wait_topic(topic::SETTLED, |state| state.is_closed().then_some(()), |()| ())
    }
}

impl<L: Log> Clone for Replicator<L> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core) }
    }
}

impl<L: Log> fmt::Debug for Replicator<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicator").field("name", &self.core.name).finish_non_exhaustive()
    }
}
