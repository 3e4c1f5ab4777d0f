//! The replicator: a log, an upstream, and two workers that keep them together.
//!
//! # The concurrency argument
//!
//! All state is one [`Protocol`] behind one lock. Every transition ends in one function that
//! compares what each worker would be woken for with what it was last told, and wakes it if that differs. Workers look
//! and join their queue in one critical section. So there is one point at which anything happens, one place that
//! publishes, and everybody reads again after being woken.
//!
//! Upstream is called without the lock. A push or a pull reports under the number that it was begun with; the answer to
//! one that is not the latest changes nothing.
//!
//! # What a commit waits for
//!
//! The lock, which nobody holds while waiting for anything. Never the network, a pull, a rebase or another commit's
//! confirmation.
//!
//! # Events
//!
//! With the feature `tracing` the replicator says what it does, with target `latchwork`, at level debug, or warn for
//! `backend-push-error`:
//!
//! | event | when | fields of its own |
//! | --- | --- | --- |
//! | `pull-advance` | upstream's events were merged, pending ones keep their numbers | `from`, `new`, `confirmed` |
//! | `pull-rebase` | they were merged, pending ones got new numbers | `from`, `new`, `confirmed`, `moved`, `dropped` |
//! | `backend-push-batch` | a push begins | `batch` |
//! | `backend-push-error` | a push was not simply taken | `batch`, `error` |
//! | `local-push-reject` | the log refused a commit | `error` |
//! | `start`, `stop` | the pusher begins, ends | `counters` |
//! | `park` | the pusher has nothing to do until another moves | `counters`, `cause`: a [`WaitingOn`] in words |
//! | `resume` | it goes on | `counters`, `by` |
//! | `restart` | [`restart`](Replicator::restart) was called | `counters` |
//!
//! All have `generation` (the number of the latest push; for a merge `from` a pull, of the pull), `epoch`,
//! `upstream_head`, `head` and `pending`, as they stood in the moment that the event tells of. `new`, `confirmed`,
//! `moved`, `dropped` and `batch` count events of the log. A merge is `from` a `push` if that was accepted: its answer
//! tells what its echo would. `by` is `pull-advance`, `pull-rebase` or `catch-up` if the puller woke the pusher,
//! `clock` if a time came, or the method of the handle: `commit`, `resume`, `retry_now`, `restart`, `reset`, `stop`.
//!
//! An event is emitted by the thread that did what it tells of, soon after, without the lock: a subscriber may call the
//! replicator, but must not wait for it ([`flush`](Replicator::flush), [`Ticket::wait`]), since it may be the pusher that
//! it keeps from going on. The events of one thread come in their order, those of two threads in any. A panic in a
//! subscriber loses that event and nothing else.

mod core;
mod status;
mod ticket;
mod trace;
mod update;
mod work;

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use thiserror::Error;

use self::core::{Core, topic};
pub use self::status::Status;
pub use self::ticket::{Settled, Ticket};
use self::trace::trace;
pub use self::update::{Snapshot, Update, Updates};
use crate::backoff::Backoff;
use crate::known_bugs::bug;
use crate::log::Log;
use crate::points::point;
use crate::protocol::{Direction, Effects, Fate, Protocol, Push, Resend, Settings, WaitingOn};
use crate::queue::wake_all;
use crate::sync::{Arc, abandoned, note, unbounded};
use crate::upstream::Upstream;
use crate::wait::{Waited, deadline};
use crate::watched::Wakers;
use crate::worker::{SpawnError, Worker, join_all};

/// Keeps a log and an upstream together: pushes what is committed, pulls and merges what others did.
///
/// Dropping it stops and joins its workers, as [`shutdown`](Self::shutdown) does with no time to drain, but waits for a
/// call to upstream however long that takes to heed its interrupt.
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
    core: Arc<Core<L>>,
    /// `None` once shut down.
    workers: Option<[Worker; 2]>,
}

/// A replicator to be; see [`Replicator::builder`].
#[must_use = "a replicator is started by `spawn`"]
pub struct Builder<L, U> {
    log: L,
    upstream: U,
    settings: Settings,
}

impl<L: Log, U> Builder<L, U> {
    /// Sets the most events in one push. 100 by default.
    pub fn push_batch(mut self, events: NonZeroUsize) -> Self {
        self.settings.batch = events;
        self
    }

    /// Sets how long to wait after failures.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.backoff = backoff;
        self
    }

    /// Sets how long a rejected push waits for news before it asks for a catch-up. 250 ms by default.
    pub fn catch_up_grace(mut self, grace: Duration) -> Self {
        self.settings.grace = grace;
        self
    }

    /// Sets what to do when the outcome of a push is unknown.
    pub fn resend(mut self, resend: Resend) -> Self {
        self.settings.resend = resend;
        self
    }

    /// Says that pulls end when they have caught up, and begin only when one is needed: at the start, after a push was
    /// rejected or got lost, and on [`Replicator::retry_now`]. Without it one is kept going all the time.
    pub fn one_shot_pull(mut self) -> Self {
        self.settings.live = false;
        self
    }

    /// Starts the replicator: two threads, a pusher and a puller. Events that are pending in the log are pushed.
    ///
    /// # Errors
    ///
    /// If the operating system gives no thread.
    pub fn spawn(self) -> Result<Replicator<L>, SpawnError>
    where
        U: Upstream<L>,
    {
        let core = Arc::new(Core::new(Protocol::new(self.log, self.settings)));
        let upstream = Arc::new(self.upstream);
        let pusher = {
            let (core, upstream) = (Arc::clone(&core), Arc::clone(&upstream));
            Worker::spawn("latchwork-push", move |_run| work::push(&core, &*upstream))?
        };
        let started = {
            let core = Arc::clone(&core);
            Worker::spawn("latchwork-pull", move |_run| work::pull(&core, &*upstream))
        };
        trace!(doing("stop"));
        let puller = started.inspect_err(|_| drop(core.apply(|state| ((), state.protocol.stop()))))?;
        Ok(Replicator { core, workers: Some([pusher, puller]) })
    }
}

impl<L: Log, U> fmt::Debug for Builder<L, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("settings", &self.settings).finish_non_exhaustive()
    }
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
    /// The log panicked.
    #[error("the log panicked: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
}

/// Why a flush ended before everything was settled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{pending} events are still pending; the next move is owed by {waiting_on}")]
pub struct FlushError {
    /// How many events are pending, also those that were committed later.
    pub pending: usize,
    /// Who owes the next move.
    pub waiting_on: WaitingOn,
}

/// What a shutdown left behind.
#[derive(Debug)]
#[must_use = "it says what was not handed over"]
pub struct Shutdown<T> {
    /// The pending events that were not confirmed, in order: whoever keeps the log has to send them another time.
    pub pending: Vec<T>,
    /// Whether upstream may have taken some of them without an answer.
    pub uncertain: bool,
    /// The workers whose call to upstream had not ended in time. They have been told to stop; dropping them waits.
    pub unfinished: Vec<Worker>,
}

impl<T> Shutdown<T> {
    /// Whether everything was handed over and everything has ended.
    pub fn is_clean(&self) -> bool {
        self.pending.is_empty() && self.unfinished.is_empty()
    }
}

impl<L: Log> Replicator<L> {
    /// A replicator to be, for a log and the upstream that it belongs to.
    pub fn builder<U>(log: L, upstream: U) -> Builder<L, U> {
        Builder { log, upstream, settings: Settings::default() }
    }

    /// Appends events to the log, to be pushed. Never waits for the network, a pull or a rebase.
    ///
    /// # Errors
    ///
    /// See [`CommitError`]. Nothing has been appended then.
    pub fn commit(&self, events: Vec<L::Event>) -> Result<Ticket<L::Position>, CommitError<L::Error>> {
        if events.is_empty() {
            return Err(CommitError::Empty);
        }
        self.admit(|protocol| protocol.commit(events))
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
        self.admit(|protocol| protocol.commit_numbered(entries))
    }

    fn admit(
        &self,
        commit: impl FnOnce(&mut Protocol<L>) -> Result<usize, L::Error>,
    ) -> Result<Ticket<L::Position>, CommitError<L::Error>> {
        point!(BeforeQueueChange);
        trace!(doing("commit"));
        let admitted = self.core.apply(|state| {
            let admitted = commit(&mut state.protocol);
            trace!(admitted(state, &admitted));
            let admitted = admitted.map_err(CommitError::Refused);
            (admitted.map(|count| state.tickets.issue(count, state.protocol.log().head())), Effects::default())
        });
        admitted.unwrap_or_else(|message| Err(CommitError::Panicked { message }))
    }

    /// Every merge from now on, in order, and how the log stands before the first of them.
    pub fn updates(&self) -> Updates<L> {
        let snapshot = |protocol: &Protocol<L>| {
            let log = protocol.log();
            let (head, upstream_head) = (log.head(), log.upstream_head());
            Snapshot { head, upstream_head, pending: log.batch(NonZeroUsize::MAX) }
        };
        let (sender, receiver) = unbounded();
        let early =
            if bug!(ReadThenSubscribe) { Some(self.core.state.look(|state| snapshot(&state.protocol))) } else { None };
        self.core.state.look(|state| {
            state.subscribers.push(sender);
            Updates { snapshot: early.unwrap_or_else(|| snapshot(&state.protocol)), receiver }
        })
    }

    /// Waits until everything that was committed before has settled, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If it has not: how much is pending, and who owes the next move.
    pub fn flush(&self, timeout: Duration) -> Result<(), FlushError> {
        match self.settle(timeout) {
            Waited::Ready(()) => Ok(()),
            Waited::TimedOut | Waited::Interrupted(_) => Err(self.core.state.look(|state| FlushError {
                pending: state.protocol.log().pending(),
                waiting_on: state.protocol.waiting_on(),
            })),
        }
    }

    fn settle(&self, timeout: Duration) -> Waited {
        let mut last = None;
        let settled = |state: &mut core::State<L>| {
            let last = *last.get_or_insert_with(|| state.tickets.last());
            state.tickets.all_settled(last).then_some(())
        };
        note!(because("not everything has settled"));
        self.core.state.block(topic::SETTLED, deadline(timeout), settled)
    }

    /// As [`flush`](Self::flush), without a limit and without blocking the thread, under any executor.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn flush_async(&self) {
        let last = self.core.state.look(|state| state.tickets.last());
        self.core.state.wait_topic(topic::SETTLED, |state| state.tickets.all_settled(last).then_some(())).await;
    }

    /// Closes a direction's gate: nothing new begins in it. A push in flight goes on; a pull is asked to end.
    pub fn pause(&self, direction: Direction) {
        trace!(doing("pause"));
        self.step(|protocol| protocol.pause(direction));
    }

    /// Opens a direction's gate and looks again, without waiting out a backoff that upstream has not asked for.
    pub fn resume(&self, direction: Direction) {
        trace!(doing("resume"));
        self.step(|protocol| {
            protocol.resume(direction);
            Effects::default()
        });
    }

    /// Looks again now, in both directions, without waiting out a backoff that upstream has not asked for. A direction that
    /// is paused looks once it is resumed.
    pub fn retry_now(&self) {
        trace!(doing("retry_now"));
        self.step(Protocol::retry_now);
    }

    /// As [`retry_now`](Self::retry_now), also before the time that upstream has asked for with
    /// [`retry_after`](crate::upstream::PushError::Unavailable::retry_after).
    pub fn override_retry_after(&self) {
        trace!(doing("override_retry_after"));
        self.step(Protocol::override_retry_after);
    }

    /// Goes on after a failure. Without one, it looks again.
    pub fn restart(&self) {
        trace!(doing("restart"));
        self.step(|protocol| {
            trace!(restart(protocol));
            protocol.restart()
        });
    }

    /// Replaces the log, for instance after upstream turned out to be another one, and begins anew. What was pending is
    /// settled as [closed](Settled::Closed). Returns the log as it was.
    pub fn reset(&self, log: L) -> L {
        trace!(doing("reset"));
        let mut log = Some(log);
        let mut former = None;
        let mut wakers = Wakers::new();
        let _contained = self.core.apply(|state| {
            let log = log.take().expect("a step is taken once");
            wakers = state.tickets.close(log.pending());
            let (old, effects) = state.protocol.reset(log);
            former = Some(old);
            ((), effects)
        });
        wake_all(wakers);
        former.or(log).expect("the log is here or there")
    }

    fn step(&self, step: impl FnOnce(&mut Protocol<L>) -> Effects<L::Entry>) {
        let _contained = self.core.apply(|state| ((), step(&mut state.protocol)));
    }

    /// How things stand. Always answers, and wakes nobody.
    pub fn status(&self) -> Status<L::Position> {
        let now = self.core.now();
        self.core.state.look(|state| Status::of(state, now))
    }

    /// Looks at the log, under the lock: be quick, and call nothing of the replicator's.
    pub fn with_log<T>(&self, look: impl FnOnce(&L) -> T) -> T {
        self.core.state.look(|state| look(state.protocol.log()))
    }

    /// Waits until nothing is pending, for `timeout` at most; then stops, and waits for both workers, again for `timeout`
    /// at most. Says what was not handed over.
    pub fn shutdown(mut self, timeout: Duration) -> Shutdown<L::Entry> {
        let _drained = self.settle(timeout);
        self.stop();
        let workers = self.workers.take().into_iter().flatten();
        let joined = join_all(workers, timeout);
        // In one step: what is confirmed from now on, by a worker that has not ended, is in the report as pending.
        let (pending, uncertain) = self.core.close(|state| {
            let protocol = &state.protocol;
            let mut pending = protocol.log().batch(NonZeroUsize::MAX);
            if bug!(DrainLosesDequeued) {
                match protocol.push() {
                    Push::Sending { count, .. } => drop(pending.drain(..*count)),
                    Push::Uncertain { .. } => pending.clear(),
                    _ => {}
                }
            }
            let in_flight = matches!(protocol.push(), Push::Sending { fate: Fate::Open, .. });
            let uncertain = protocol.is_uncertain() || in_flight;
            (pending, uncertain)
        });
        Shutdown { uncertain: uncertain && !pending.is_empty(), pending, unfinished: joined.unfinished }
    }

    /// Nothing begins any more, and the calls that are going on are interrupted.
    fn stop(&self) {
        trace!(doing("stop"));
        self.step(Protocol::stop);
    }
}

impl<L: Log> Drop for Replicator<L> {
    fn drop(&mut self) {
        // Mutant `replace || with && in <impl Drop for Replicator<L>>::drop`: in a usual build nothing is ever abandoned, and
        // to stop and close what is closed changes nothing.
        if self.workers.is_none() || abandoned() {
            return;
        }
        self.stop();
        self.workers = None;
        self.core.close(|_| ());
    }
}

impl<L: Log> fmt::Debug for Replicator<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicator").finish_non_exhaustive()
    }
}
