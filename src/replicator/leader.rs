//! A replicator as the upstream of others: a leader, and its sessions.
//!
//! # What a session takes for ordered
//!
//! The leader's log has events that its upstream has ordered, and pending ones. To a session **only the former are
//! upstream's**. So what it has been given out never moves: a position that could roll back would be another contract, for
//! each log and for the protocol. That the leader rebases its pending events is no news to a session; what made it do so
//! is: the same events, which the session rebases its own upon.
//!
//! # What a push does
//!
//! A session's batch is appended to the leader's log if it follows the leader's last event and nothing is pending, in one
//! step under the leader's lock: compare and append. From then on the leader sends it, as often as that takes, and finds out
//! what became of it. The push is answered when that is known:
//!
//! | what becomes of the batch | the session's push is |
//! | --- | --- |
//! | upstream has ordered it, as it stands | taken |
//! | others were faster: the leader's log has merged their events before it | `Behind` |
//! | upstream refuses one of its events for good | `Rejected` |
//! | upstream, or the leader, does not take so many at once | `TooLarge` |
//! | the leader is stopped, or its log replaced, before that is known | `Uncertain` |
//!
//! In all but the first and the last it is **taken out of the leader's log** in the step that shows it. If the leader kept it
//! it would renumber it, and a batch is taken whole, under the numbers that it has, or not at all. What is not certain yet is
//! left in: upstream may have it, until the call has ended or a catch-up has shown it.
//!
//! # The race that one would fear
//!
//! The page that overtakes a batch comes while the batch is in flight, so that it cannot be taken out; when the call ends
//! nothing is merged, and the session waits for ever. But whatever could decide is a transition of the leader's, and each of
//! them ends with a look at the batch, under the same lock. The leader's own theorem says that the transitions come.
//!
//! # Why not by the side of the leader's log
//!
//! A leader that handed the batch on to its upstream itself would answer a push before its pull has the events. Then a
//! session whose answer was lost asks for a catch-up, is told that there is nothing, and depends on an echo that may never
//! come. Here pushes and pulls of all sessions go through one lock, so that a pull that begins after a push shows what became
//! of it. Nor do sessions compete with their leader or ask upstream faster than its backoff allows.

use std::fmt;
use std::num::NonZeroUsize;

use super::Replicator;
use super::core::{Core, State};
#[cfg(doc)]
use super::sessions::LeaderError;
use super::sessions::{Answer, Item, fatal};
use super::told::topic;
use super::upstream::{AsyncPull, AsyncUpstream, Upstream};
use crate::SharedError;
use crate::log::Log;
use crate::platform::Arc;
use crate::platform::event::Input;
use crate::primitives::interrupt::{Cause, Interrupt, Interrupted};
use crate::primitives::wait::{Wait, Waitable, Waited};
use crate::protocol::{Batch, Effects, FatalKind, More, Page, PullError, PushError};

/// The most events of a page.
const PAGE: usize = 100;

/// A replicator as the upstream of others, its **sessions**: tabs under a worker, an edge under a region. Made by
/// [`Replicator::as_upstream`], for threads and for tasks, whichever the leader itself is for. Clones are the same upstream.
///
/// A session is given the events that the leader's own upstream has ordered, and no pending ones. What it pushes the leader
/// sends, one batch at a time, and answers once upstream has; so what a session has confirmed is confirmed for good. See
/// [sessions under a leader](crate::guide::leader).
///
/// It does not keep the leader going, but [`into_log`](Replicator::into_log) gives no log back as long as there is one.
///
/// The leader's log must be able to [give up](Log::give_up) events. A session's log has the same entries and positions, and
/// may be of another type; its events that stay in the log do not reach the leader.
///
/// # Errors
///
/// Those that are the leader's own show a [`LeaderError`]. A push is refused as [too large](PushError::TooLarge) if it has more
/// events than the leader sends at once.
///
/// # Cancel safety
///
/// Of a push that is dropped the outcome is not known: the leader may send the batch yet.
pub struct Leader<L: Log> {
    core: Arc<Core<L>>,
    generation: u64,
}

impl<L: Log> Replicator<L> {
    /// This replicator as the upstream of others. It keeps the last so many events that its own upstream orders from now on
    /// (the most that any call has named): a session whose cursor is older is [told so](LeaderError::TooOld), and one that is
    /// new begins from what the leader has.
    ///
    /// ```
    /// # if latchwork::sync::IN_MODEL { return Ok(()) }
    /// use latchwork::log::MemoryLog;
    /// use latchwork::upstream::Memory;
    /// use latchwork::{Replicator, Settled};
    /// use std::num::NonZeroUsize;
    ///
    /// let server = Memory::new(0);
    /// let worker = Replicator::builder(MemoryLog::new(), server.clone()).spawn()?;
    /// let leader = worker.as_upstream(NonZeroUsize::new(10_000).unwrap());
    /// let tab = Replicator::builder(MemoryLog::new(), leader).spawn()?;
    /// assert_eq!(tab.commit(vec!["milk"])?.wait(), Settled::Confirmed(1));
    /// assert_eq!(server.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If the log does when asked for its heads.
    pub fn as_upstream(&self, kept: NonZeroUsize) -> Leader<L> {
        let generation = self.core.look(|state| state.lead(kept.get()));
        Leader { core: Arc::clone(&self.core.core), generation }
    }
}

impl<L: Log> Leader<L> {
    /// A wait until a batch with this base may be appended, or cannot be.
    fn turn(&self, base: L::Position) -> Wait<impl Waitable<Output = Result<(), PushError<L::Position>>>> {
        let generation = self.generation;
        let turn = move |state: &mut State<L>| match state.sessions_of(generation) {
            Ok(sessions) => sessions.turn(base),
            Err(error) => Some(Err(fatal(error.into()))),
        };
        self.core.state.wait_topic(topic::SESSIONS, turn, |turn| turn)
    }

    /// Appends a batch, if it is still its turn.
    fn enter(
        &self,
        base: L::Position,
        entries: &[L::Entry],
    ) -> Result<Option<Answer<L::Position>>, PushError<L::Position>> {
        let max_pending = self.core.limits.max_pending.map_or(usize::MAX, NonZeroUsize::get);
        // Not moved into the step: what that does not take is dropped without the lock.
        let mut entries = Some(entries.to_vec());
        let (entered, panicked) = self.core.apply(Input::Commit, |state| {
            (state.enter(self.generation, base, &mut entries, max_pending), Effects::default())
        });
        panicked.resume();
        entered.unwrap_or_else(|message| Err(fatal(SharedError::from(format!("the leader's log panicked: {message}")))))
    }

    /// A wait for what becomes of a batch.
    fn answered(
        &self,
        answer: Answer<L::Position>,
    ) -> Wait<impl Waitable<Output = Result<(), PushError<L::Position>>>> {
        self.core.state.wait_topic(topic::SESSIONS, move |_| answer.lock().take(), |answer| answer)
    }

    fn pages(&self, cursor: L::Position) -> Pages<'_, L> {
        Pages { leader: self, cursor, caught_up: false, ended: false }
    }
}

fn cause<T>(waited: Waited<T>) -> Result<T, SharedError> {
    match waited {
        Waited::Ready(ready) => Ok(ready),
        Waited::Interrupted(cause) => Err(Interrupted { cause }.into()),
        Waited::TimedOut => Err(Interrupted { cause: Cause::Deadline }.into()),
    }
}

impl<L: Log, S: Log<Entry = L::Entry, Position = L::Position>> Upstream<S> for Leader<L> {
    fn push(&self, batch: &Batch<S>, interrupt: &Interrupt) -> Result<(), PushError<L::Position>> {
        loop {
            let turn = cause(self.turn(batch.base).wait_or(interrupt, None));
            // An interrupt that comes first: nothing has been sent.
            let in_time = turn.and_then(|turn| interrupt.check().map(|()| turn).map_err(SharedError::from));
            in_time.map_err(|error| PushError::Unavailable { retry_after: None, error })??;
            if let Some(answer) = self.enter(batch.base, &batch.entries)? {
                let answered = cause(self.answered(answer).wait_or(interrupt, None));
                return answered.map_err(|error| PushError::Uncertain { error })?;
            }
        }
    }

    fn pull<'a>(
        &'a self,
        cursor: L::Position,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<L::Entry>, PullError>> + 'a {
        let mut pages = self.pages(cursor);
        std::iter::from_fn(move || {
            let next = pages.next()?.wait_or(interrupt, None);
            let item = cause(next).unwrap_or_else(|error| Err(PullError::Unavailable { retry_after: None, error }));
            Some(pages.give(item))
        })
    }
}

impl<L: Log, S: Log<Entry = L::Entry, Position = L::Position>> AsyncUpstream<S> for Leader<L> {
    type Pull<'a> = Pages<'a, L>;

    async fn push(&self, batch: &Batch<S>) -> Result<(), PushError<L::Position>> {
        loop {
            self.turn(batch.base).await?;
            if let Some(answer) = self.enter(batch.base, &batch.entries)? {
                return self.answered(answer).await;
            }
        }
    }

    fn pull(&self, cursor: L::Position) -> Pages<'_, L> {
        self.pages(cursor)
    }
}

/// A pull from a [`Leader`].
pub struct Pages<'a, L: Log> {
    leader: &'a Leader<L>,
    cursor: L::Position,
    /// Whether a page has said that there is no more.
    caught_up: bool,
    ended: bool,
}

impl<L: Log> Pages<'_, L> {
    /// A wait for what is given out next. `None` after an error.
    fn next(&self) -> Option<Wait<impl Waitable<Output = Item<L>>>> {
        let Self { leader: Leader { core, generation }, cursor, caught_up, ended } = *self;
        if ended {
            return None;
        }
        let next = move |state: &mut State<L>| match state.sessions_of(*generation) {
            Ok(sessions) => sessions.page(cursor, PAGE, caught_up),
            Err(error) => Some(Err(PullError::Fatal { kind: FatalKind::Other, error: error.into() })),
        };
        Some(core.state.wait_topic(topic::SESSIONS, next, |next| next))
    }

    fn give(&mut self, item: Item<L>) -> Item<L> {
        match &item {
            Ok(Page { entries, more }) => {
                self.cursor = entries.last().map_or(self.cursor, L::position);
                self.caught_up |= *more == More::None;
            }
            Err(_) => self.ended = true,
        }
        item
    }
}

impl<L: Log, S: Log<Entry = L::Entry, Position = L::Position>> AsyncPull<S> for Pages<'_, L> {
    async fn next_page(&mut self) -> Option<Item<L>> {
        let item = self.next()?.await;
        Some(self.give(item))
    }
}

impl<L: Log> Clone for Leader<L> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), generation: self.generation }
    }
}

impl<L: Log> fmt::Debug for Leader<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader").field("name", &self.core.name).finish_non_exhaustive()
    }
}

impl<L: Log> fmt::Debug for Pages<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}
