//! An upstream in memory, with faults to inject: for tests and first steps.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::task::Poll;
use std::time::Duration;

use super::{AsyncPull, AsyncUpstream, Upstream};
use crate::log::Log;
use crate::platform::event::Shown;
use crate::platform::{Arc, thread};
use crate::primitives::interrupt::{Interrupt, Interrupted};
use crate::primitives::latch::Latch;
use crate::primitives::monitor::Monitor;
use crate::primitives::wait::{Wait, Waitable, Waited};
use crate::protocol::messages::{Batch, FatalKind, More, Page, PullError, PushError};

/// An upstream in memory. Clones are the same upstream.
///
/// It takes a batch if its [`base`](Batch::base) is its own last event, keeps everything, and gives it out in pages.
pub struct Memory<L: Log> {
    shared: Arc<Monitor<State<L>>>,
    live: bool,
    page: usize,
}

struct State<L: Log> {
    origin: L::Position,
    entries: Vec<L::Entry>,
    push_faults: VecDeque<Fault>,
    pull_faults: VecDeque<Fault>,
    /// Where in `entries` the echoes stand that were lost, ascending: to the live pulls that were
    /// open then.
    lost_echoes: Vec<Range<usize>>,
}

/// What an upstream says that refuses the client.
const REFUSED: &str = "the client is not allowed";

/// Something that goes wrong once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A push is rejected as behind, without saying how far.
    Reject,
    /// The connection dies before the push is applied, or before a page is given out.
    DisconnectBefore,
    /// The connection dies after the push was applied, or after a page was given out.
    DisconnectAfter,
    /// A push is applied and acknowledged, but live pulls that are open at that moment are never
    /// given its events. They are given what follows, so that the gap shows; a pull that begins
    /// later is given all.
    LoseEcho,
    /// The answer takes so long.
    Delay(Duration),
    /// Upstream refuses for now, and asks not to be tried again before this time has passed.
    Busy(Duration),
    /// A page is given out twice.
    DuplicatePage,
    /// A pull ends as if it had caught up.
    EndStream,
    /// Upstream panics.
    Panic,
    /// Upstream says that it is another one.
    OtherUpstream,
    /// Upstream refuses the client.
    Refuse,
    /// Upstream refuses an event of a push for good: the one at this index, or the last. A pull goes on.
    RejectEvent(usize),
    /// A push is too large. A pull goes on.
    TooLarge,
    /// Nothing comes until the call is interrupted. A push was not applied, which is not known.
    Hang,
}

impl<L: Log> Shown for State<L> {
    fn waits(&self, _: usize) -> String {
        "upstream has nothing more".into()
    }
}

impl<L: Log> Memory<L> {
    /// An empty upstream, whose first event follows `origin`. Its pulls are live.
    #[must_use]
    pub fn new(origin: L::Position) -> Self {
        let state = State {
            origin,
            entries: Vec::new(),
            push_faults: VecDeque::new(),
            pull_faults: VecDeque::new(),
            lost_echoes: Vec::new(),
        };
        Self { shared: Arc::new(Monitor::new(state, "upstream")), live: true, page: 100 }
    }

    /// The same upstream, with pulls that end when they have caught up.
    #[must_use]
    pub fn one_shot(mut self) -> Self {
        self.live = false;
        self
    }

    /// The same upstream, giving out so many events in a page at most.
    ///
    /// # Panics
    ///
    /// If it is to be none.
    #[must_use]
    pub fn with_page_size(mut self, events: usize) -> Self {
        assert!(events > 0, "expected at least one event in a page, got none");
        self.page = events;
        self
    }

    /// Lets the next push that has no fault yet go wrong.
    pub fn fail_push(&self, fault: Fault) {
        self.shared.look(|state| state.push_faults.push_back(fault));
    }

    /// Lets the next page that has no fault yet go wrong.
    pub fn fail_pull(&self, fault: Fault) {
        self.shared.change(|state| state.pull_faults.push_back(fault));
    }

    /// Appends events as another client would, whatever stands before them.
    pub fn append(&self, entries: impl IntoIterator<Item = L::Entry>) {
        self.shared.change(|state| state.entries.extend(entries));
    }

    /// How many events it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.look(|state| state.entries.len())
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its events, in order.
    #[must_use]
    pub fn entries(&self) -> Vec<L::Entry> {
        self.shared.look(|state| state.entries.clone())
    }
}

impl<L: Log> State<L> {
    fn head(&self) -> L::Position {
        self.entries.last().map_or(self.origin, L::position)
    }

    /// The page that follows `cursor`, of all but the echoes that were `lost`.
    fn page(&self, cursor: L::Position, size: usize, lost: &[Range<usize>]) -> Page<L::Entry> {
        let from = self.entries.partition_point(|entry| L::position(entry) <= cursor);
        let is_lost = |index: &usize| lost.iter().any(|range| range.contains(index));
        let places: Vec<_> = (from..self.entries.len()).filter(|index| !is_lost(index)).take(size).collect();
        let end = places.last().map_or(self.entries.len(), |last| last + 1);
        let lost: usize = lost.iter().map(|range| range.end.saturating_sub(range.start.max(end))).sum();
        let rest = self.entries.len() - end - lost;
        let entries = places.into_iter().map(|index| self.entries[index].clone()).collect();
        Page { entries, more: if rest == 0 { More::None } else { More::Events(rest as u64) } }
    }
}

/// What goes wrong with a push before it is applied; `Err` is its answer.
fn before_push<L: Log>(fault: Option<Fault>, batch: &Batch<L>) -> Result<(), PushError<L::Position>> {
    Err(match fault {
        Some(Fault::Reject) => PushError::Behind { head: None },
        Some(Fault::DisconnectBefore) => {
            PushError::Unavailable { retry_after: None, error: "the connection died".into() }
        }
        Some(Fault::Busy(time)) => {
            PushError::Unavailable { retry_after: Some(time), error: "too many requests".into() }
        }
        Some(Fault::OtherUpstream) => {
            PushError::Fatal { kind: FatalKind::IdentityMismatch, error: "the log belongs to another upstream".into() }
        }
        Some(Fault::Refuse) => PushError::Fatal { kind: FatalKind::Other, error: REFUSED.into() },
        Some(Fault::RejectEvent(index)) => {
            PushError::Rejected { index: index.min(batch.entries.len() - 1), error: "the event is not valid".into() }
        }
        Some(Fault::TooLarge) => PushError::TooLarge { error: "the request is too large".into() },
        Some(Fault::Panic) => panic!("injected"),
        Some(
            Fault::Delay(_)
            | Fault::Hang
            | Fault::DisconnectAfter
            | Fault::LoseEcho
            | Fault::DuplicatePage
            | Fault::EndStream,
        )
        | None => return Ok(()),
    })
}

impl<L: Log> State<L> {
    fn push(&mut self, batch: &Batch<L>, fault: Option<Fault>) -> Result<(), PushError<L::Position>> {
        let head = self.head();
        if batch.base != head {
            return Err(PushError::Behind { head: Some(head) });
        }
        let from = self.entries.len();
        self.entries.extend(batch.entries.iter().cloned());
        match fault {
            Some(Fault::LoseEcho) => self.lost_echoes.push(from..self.entries.len()),
            Some(Fault::DisconnectAfter) => {
                return Err(PushError::Uncertain { error: "the connection died before the answer came".into() });
            }
            _ => {}
        }
        Ok(())
    }
}

impl<L: Log> Upstream<L> for Memory<L> {
    fn push(&self, batch: &Batch<L>, interrupt: &Interrupt) -> Result<(), PushError<L::Position>> {
        let fault = self.shared.look(|state| state.push_faults.pop_front());
        before_push(fault, batch)?;
        match fault {
            Some(Fault::Hang) => {
                let cause = interrupt.wait();
                return Err(PushError::Uncertain { error: Interrupted { cause }.into() });
            }
            Some(Fault::Delay(time)) => {
                if let Err(interrupted) = interrupt.sleep(time) {
                    return Err(PushError::Unavailable { retry_after: None, error: interrupted.into() });
                }
            }
            _ => {}
        }
        self.shared.change(|state| state.push(batch, fault))
    }

    fn pull<'a>(
        &'a self,
        cursor: L::Position,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<L::Entry>, PullError>> + 'a {
        let mut pages = self.pages(cursor);
        let interrupted = || Some(Err(PullError::Unavailable { retry_after: None, error: INTERRUPTED.into() }));
        std::iter::from_fn(move || {
            if let Poll::Ready(known) = pages.known() {
                return known;
            }
            let Waited::Ready((page, fault)) = pages.page().wait_or(interrupt, None) else {
                pages.ended = true;
                return interrupted();
            };
            let ended = match fault {
                Some(Fault::Hang) => {
                    interrupt.wait();
                    true
                }
                Some(Fault::Delay(time)) => interrupt.sleep(time).is_err(),
                _ => false,
            };
            if ended {
                pages.ended = true;
                return interrupted();
            }
            pages.give(page, fault)
        })
    }
}

/// For tasks. A [delay](Fault::Delay) sleeps in a thread of its own.
impl<L: Log> AsyncUpstream<L> for Memory<L> {
    type Pull<'a> = Pages<'a, L>;

    async fn push(&self, batch: &Batch<L>) -> Result<(), PushError<L::Position>> {
        let fault = self.shared.look(|state| state.push_faults.pop_front());
        before_push(fault, batch)?;
        wait_out(fault).await;
        self.shared.change(|state| state.push(batch, fault))
    }

    fn pull(&self, cursor: L::Position) -> Pages<'_, L> {
        self.pages(cursor)
    }
}

/// Waits as long as this fault does.
async fn wait_out(fault: Option<Fault>) {
    match fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Delay(time)) => {
            let over = Arc::new(Latch::new());
            let opens = Arc::clone(&over);
            let sleep = move || {
                _ = Interrupt::new().sleep(time);
                opens.open();
            };
            thread::Builder::new().spawn(sleep).expect("a thread for a delay");
            over.opened().await;
        }
        _ => {}
    }
}

const INTERRUPTED: &str = "the pull was interrupted";

/// A pull from a [`Memory`] upstream.
pub struct Pages<'a, L: Log> {
    upstream: &'a Memory<L>,
    cursor: L::Position,
    /// How many echoes had been lost when it began. Those are given.
    past_losses: usize,
    /// Whether a page has said that there is no more.
    caught_up: bool,
    /// What comes next, whatever else there is: the page once more, or the connection's end.
    next: Option<Item<L>>,
    ended: bool,
}

/// What a pull gives out.
type Item<L> = Result<Page<<L as Log>::Entry>, PullError>;

impl<L: Log> Memory<L> {
    fn pages(&self, cursor: L::Position) -> Pages<'_, L> {
        let past_losses = self.shared.look(|state| state.lost_echoes.len());
        Pages { upstream: self, cursor, past_losses, caught_up: false, next: None, ended: false }
    }
}

impl<L: Log> Pages<'_, L> {
    fn end(&mut self, retry_after: Option<Duration>, error: &'static str) -> Item<L> {
        self.ended = true;
        Err(PullError::Unavailable { retry_after, error: error.into() })
    }

    /// What comes next, if upstream need not be waited for.
    fn known(&mut self) -> Poll<Option<Item<L>>> {
        match self.next.take() {
            Some(next) => Poll::Ready(Some(next)),
            None if self.ended || (self.caught_up && !self.upstream.live) => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// A wait until there is a page, or a fault, to give out.
    fn page(&self) -> Wait<impl Waitable<Output = (Page<L::Entry>, Option<Fault>)>> {
        let (cursor, caught_up, past_losses) = (self.cursor, self.caught_up, self.past_losses);
        let Memory { live, page: size, .. } = *self.upstream;
        self.upstream.shared.wait(move |state: &mut State<L>| {
            let lost = if live { &state.lost_echoes[past_losses..] } else { &[] };
            let page = state.page(cursor, size, lost);
            if caught_up && page.entries.is_empty() && state.pull_faults.is_empty() {
                return None;
            }
            Some((page, state.pull_faults.pop_front()))
        })
    }

    /// Gives out a page, or what goes wrong with it.
    fn give(&mut self, page: Page<L::Entry>, fault: Option<Fault>) -> Option<Item<L>> {
        match fault {
            Some(Fault::DisconnectBefore | Fault::Reject) => return Some(self.end(None, "the connection died")),
            Some(Fault::Busy(time)) => return Some(self.end(Some(time), "too many requests")),
            Some(Fault::OtherUpstream) => {
                self.ended = true;
                let (kind, error) = (FatalKind::IdentityMismatch, "the log belongs to another upstream".into());
                return Some(Err(PullError::Fatal { kind, error }));
            }
            Some(Fault::Refuse) => {
                self.ended = true;
                return Some(Err(PullError::Fatal { kind: FatalKind::Other, error: REFUSED.into() }));
            }
            Some(Fault::EndStream) => {
                self.ended = true;
                return None;
            }
            Some(Fault::Panic) => panic!("injected"),
            Some(Fault::DisconnectAfter) => self.next = Some(self.end(None, "the connection died")),
            Some(Fault::DuplicatePage) => self.next = Some(Ok(page.clone())),
            Some(Fault::Hang | Fault::Delay(_) | Fault::LoseEcho | Fault::RejectEvent(_) | Fault::TooLarge) | None => {}
        }
        if let Some(last) = page.entries.last() {
            self.cursor = L::position(last);
        }
        self.caught_up |= page.more == More::None;
        Some(Ok(page))
    }
}

impl<L: Log> AsyncPull<L> for Pages<'_, L> {
    async fn next_page(&mut self) -> Option<Item<L>> {
        if let Poll::Ready(known) = self.known() {
            return known;
        }
        let (page, fault) = self.page().await;
        wait_out(fault).await;
        self.give(page, fault)
    }
}

impl<L: Log> fmt::Debug for Pages<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

impl<L: Log> Clone for Memory<L> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), ..*self }
    }
}

impl<L: Log> fmt::Debug for Memory<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("live", &self.live).field("page", &self.page).finish_non_exhaustive()
    }
}
