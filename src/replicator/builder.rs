//! How a replicator is started.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::choices::OnRejected;
use super::core::{Clock, Core, Limits};
use super::driver::{Driver, Timer};
use super::journal::{AnyJournal, AsyncJournal, Journal};
use super::shutdown::Owned;
use super::upstream::{AsyncUpstream, Upstream};
use super::{Replicator, driver, work, writer};
use crate::Backoff;
use crate::log::Log;
use crate::platform::event::Input;
use crate::platform::{Arc, Instant};
use crate::primitives::worker::Worker;
use crate::protocol::{Direction, Protocol, Resend, Settings};

/// Configures and starts a [`Replicator`]; see [`Replicator::builder`].
#[must_use = "a replicator is started by `spawn` or `build_async`"]
pub struct Builder<L: Log, U, J = Infallible> {
    log: L,
    upstream: U,
    journal: Option<J>,
    options: Options,
}

/// What is set, whatever the log, the upstream and the journal are.
struct Options {
    settings: Settings,
    name: Option<String>,
    max_unread: NonZeroUsize,
    max_pending: Option<NonZeroUsize>,
    max_unwritten: NonZeroUsize,
    on_rejected: OnRejected,
    deadlines: [Option<Duration>; 2],
}

impl<L: Log, U> Builder<L, U> {
    pub(super) fn new(log: L, upstream: U) -> Self {
        let options = Options {
            settings: Settings::default(),
            name: None,
            max_unread: const { NonZeroUsize::new(4096).unwrap() },
            max_pending: None,
            max_unwritten: const { NonZeroUsize::new(65_536).unwrap() },
            on_rejected: OnRejected::default(),
            deadlines: [None; 2],
        };
        Self { log, upstream, journal: None, options }
    }
}

impl<L: Log, U, J> Builder<L, U, J> {
    /// Sets the replicator's name: its threads are called by it, as `docs/7 push` and `docs/7 pull` (and `docs/7 save`, with a
    /// journal), and its events have it as the field `replicator`. Of a longer name its threads have the last ten bytes, since
    /// Linux shows fifteen.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = Some(name.into());
        self
    }

    /// Sets how many events a [receiver of updates](super::Receiver) may leave unread. One that falls further behind
    /// [is told so](super::RecvError::Lagged). 4,096 by default.
    pub fn max_unread(mut self, events: NonZeroUsize) -> Self {
        self.options.max_unread = events;
        self
    }

    /// Sets how many events may be pending. A commit that would make them more is [refused](super::CommitError::Full), or
    /// [waits](Replicator::commit_within). Events that are never sent count for a commit, and not as pending. No limit by
    /// default.
    pub fn max_pending(mut self, events: NonZeroUsize) -> Self {
        self.options.max_pending = Some(events);
        self
    }

    /// Sets what is done by itself about an event that upstream [refuses for good](crate::upstream::PushError::Rejected).
    /// Nothing by default: [the owner decides](crate::guide::decide). What is given up is
    /// [told](super::Update::given_up) to those who listen to updates, and to no other.
    pub fn on_rejected(mut self, on_rejected: OnRejected) -> Self {
        self.options.on_rejected = on_rejected;
        self
    }

    /// Sets the most events in one push. 100 by default. A push ends where a commit ends, unless one commit alone has more.
    pub fn push_batch(mut self, events: NonZeroUsize) -> Self {
        self.options.settings.batch = events;
        self
    }

    /// Sets the most that the events of one push may [weigh](Log::weight) together. One that weighs more is sent alone. No
    /// limit by default.
    pub fn push_batch_weight(mut self, weight: usize) -> Self {
        self.options.settings.batch_weight = Some(weight);
        self
    }

    /// Sets how long a push waits for more to be committed, unless there is enough for a batch: commits in quick succession
    /// share a push. It counts from the moment when the pusher finds something to send; a [flush](Replicator::flush) ends it,
    /// and a push that was not taken waits no second time. Not at all by default.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.options.settings.linger = linger;
        self
    }

    /// Sets how long a push may take. Its interrupt is [set](crate::Cause::Deadline) then, and what the upstream answers
    /// counts: mostly that the outcome is unknown. Not limited by default, since it depends on the upstream what is long, and
    /// one that is interrupted while it uploads never gets there. Set it for an upstream over a network: a connection that is
    /// half open never answers.
    ///
    /// No limit helps with an upstream that does not heed its interrupt: a thread cannot be ended from without.
    pub fn push_deadline(mut self, limit: Duration) -> Self {
        self.options.deadlines[Direction::Push as usize] = Some(limit);
        self
    }

    /// Sets for how long nothing may come of a pull, not even an empty page, before its interrupt is
    /// [set](crate::Cause::Deadline) and another one begins after a backoff. Not limited by default. For an upstream that
    /// sends heartbeats: each page counts.
    pub fn pull_silence(mut self, limit: Duration) -> Self {
        self.options.deadlines[Direction::Pull as usize] = Some(limit);
        self
    }

    /// Has a journal write down what happens to the log, on a thread of its own (or one that
    /// [wants to](Replicator::commit_and_write)) or as a part of the [`Driver`]; the log is to be what the journal holds. Only
    /// what it has written is sent. See [surviving a crash](crate::guide::crash).
    pub fn journal<K>(self, journal: K) -> Builder<L, U, K> {
        let Self { log, upstream, options, .. } = self;
        Builder { log, upstream, journal: Some(journal), options }
    }

    /// Sets how many changes of the log may be waiting for the [journal](Self::journal). With so many a commit is
    /// [refused](super::CommitError::Unwritten), or [waits](Replicator::commit_within), and the pull that is going on is ended
    /// until the journal has caught up. 65,536 by default. Without a journal it changes nothing.
    pub fn max_unwritten(mut self, changes: NonZeroUsize) -> Self {
        self.options.max_unwritten = changes;
        self
    }

    /// Sets how long to wait after failures.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.settings.backoff = backoff;
        self
    }

    /// Sets how long a rejected push waits for news before it asks for a catch-up. 250 ms by default.
    pub fn catch_up_grace(mut self, grace: Duration) -> Self {
        self.options.settings.grace = grace;
        self
    }

    /// Sets what to do when the outcome of a push is unknown.
    pub fn resend(mut self, resend: Resend) -> Self {
        self.options.settings.resend = resend;
        self
    }

    /// Says that pulls end when they have caught up, and begin only when one is needed: at the start, after a push was
    /// rejected or got lost, and on [`Replicator::retry_now`]. Without it one is kept going all the time.
    pub fn one_shot_pull(mut self) -> Self {
        self.options.settings.live = false;
        self
    }

    /// As [`one_shot_pull`](Self::one_shot_pull), with a pull that begins this long after the last has ended (at least
    /// [`Backoff::SHORTEST`]), if none was needed before.
    pub fn pull_interval(mut self, interval: Duration) -> Self {
        self.options.settings.pull_interval = Some(interval);
        self.one_shot_pull()
    }

    /// Starts the replicator: two threads, a pusher and a puller, and a writer with a [journal](Self::journal). Events that are
    /// pending in the log are pushed.
    ///
    /// # Errors
    ///
    /// If the operating system gives no thread, or the name holds a zero byte.
    pub fn spawn(self) -> io::Result<Replicator<L>>
    where
        U: Upstream<L>,
        J: Journal<L>,
    {
        let [push, pull] =
            [Direction::Push, Direction::Pull].map(|direction| thread_name(self.options.name.as_deref(), direction));
        let write = thread_name(self.options.name.as_deref(), "save");
        let Self { log, upstream, journal, options } = self;
        let has_journal = journal.is_some();
        let journal = journal.map(|journal| Box::new(journal) as Box<dyn AnyJournal<L>>);
        let core = options.core(log, Clock::Since(Instant::now()), has_journal, journal);
        let upstream = Arc::new(upstream);
        let pusher = {
            let (core, upstream) = (Arc::clone(&core), Arc::clone(&upstream));
            Worker::spawn(push, move |_run| work::push(&core, &*upstream))?
        };
        let started = {
            let core = Arc::clone(&core);
            Worker::spawn(pull, move |_run| work::pull(&core, &*upstream))
        };
        let stop = |_: &io::Error| drop(core.apply(Input::Stop, |state| ((), state.protocol.stop())));
        let puller = started.inspect_err(stop)?;
        let writer = has_journal.then(|| {
            let core = Arc::clone(&core);
            Worker::spawn(write, move |_run| writer::write(&core))
        });
        let writer = writer.transpose().inspect_err(stop)?;
        Ok(Replicator { core: Arc::new(Owned::new(core, [Some(pusher), Some(puller)], writer)) })
    }

    /// Makes a replicator without threads, and the [`Driver`] that is its pusher and its puller: a future, to be spawned on
    /// any executor. Events that are pending in the log are pushed.
    ///
    /// A [journal](Self::journal) is a part of the driver, too. One that blocks is given as a
    /// [`ForTasks`](crate::journal::ForTasks).
    ///
    /// `timer` sleeps, and may be the function of the executor's library that does: `tokio::time::sleep`, or see [`Timer`].
    ///
    #[doc = crate::platform::needs_runtime!()]
    /// # if latchwork::sync::IN_MODEL { return Ok(()) }
    /// use latchwork::log::MemoryLog;
    /// use latchwork::upstream::Memory;
    /// use latchwork::{Replicator, Settled};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// let (replicator, driver) =
    ///     Replicator::builder(MemoryLog::new(), Memory::new(0)).build_async(tokio::time::sleep);
    /// tokio::spawn(driver);
    /// let ticket = replicator.commit(vec!["milk"])?;
    /// assert!(matches!(ticket.await, Settled::Confirmed(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn build_async<T: Timer>(
        self,
        timer: T,
    ) -> (Replicator<L>, Driver<impl Future<Output = ()>, impl Future<Output = ()>>)
    where
        U: AsyncUpstream<L>,
        J: AsyncJournal<L>,
    {
        let clock =
            timer.clock().map_or_else(|| Clock::SinceForTasks(Instant::now()), |now| Clock::Timer(Box::new(now)));
        let Self { log, upstream, journal, options } = self;
        let core = options.core(log, clock, journal.is_some(), None);
        let replicator = Replicator { core: Arc::new(Owned::new(Arc::clone(&core), [None, None], None)) };
        (replicator, driver::new(core, upstream, timer, journal))
    }
}

impl Options {
    fn core<L: Log>(
        self,
        log: L,
        clock: Clock,
        has_journal: bool,
        journal: Option<Box<dyn AnyJournal<L>>>,
    ) -> Arc<Core<L>> {
        let Self { mut settings, name, max_unread, max_pending, max_unwritten, on_rejected, deadlines } = self;
        settings.journal = has_journal.then_some(max_unwritten);
        let (lingers, max_unread, max_unwritten) = (!settings.linger.is_zero(), max_unread.get(), max_unwritten.get());
        let limits = Limits { max_unread, max_pending, max_unwritten, lingers, deadlines, on_rejected };
        Arc::new(Core::new(Protocol::new(log, settings), name.map(Arc::from), limits, clock, journal))
    }
}

/// What the thread of a party is called. Linux shows 15 bytes: the end of a longer name, since that is where they differ.
fn thread_name(name: Option<&str>, party: impl fmt::Display) -> String {
    let Some(name) = name else { return format!("latchwork-{party}") };
    let end = (name.len().saturating_sub(10)..).find_map(|from| name.get(from..)).unwrap_or_default();
    format!("{end} {party}")
}

impl<L: Log, U, J> fmt::Debug for Builder<L, U, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("settings", &self.options.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_name_shows_its_direction_and_the_end_of_a_long_name() {
        let names = [None, Some("docs/7"), Some("documents/7"), Some("\u{e9}t\u{e9} 2026/7"), Some("")];
        let pushers = names.map(|name| thread_name(name, Direction::Push));
        assert_eq!(pushers, ["latchwork-push", "docs/7 push", "ocuments/7 push", "t\u{e9} 2026/7 push", " push"]);
        assert!(pushers.iter().all(|name| name.len() <= 15));
        assert_eq!(thread_name(Some("docs/7"), Direction::Pull), "docs/7 pull");
    }
}
