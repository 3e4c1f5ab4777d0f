//! An upstream in memory, with faults to inject: for tests and first steps.
//!
//! It is [`Faulty`] around one that has none.

use std::fmt;

use super::faults::{Fault, Faults};
use super::faulty::{self, Faulty, INTERRUPTED};
use super::{AsyncPull, AsyncUpstream, Upstream};
use crate::log::Log;
use crate::platform::Arc;
use crate::platform::event::Shown;
use crate::primitives::interrupt::Interrupt;
use crate::primitives::monitor::Monitor;
use crate::primitives::wait::{Wait, Waitable, Waited};
use crate::protocol::{Batch, FatalKind, More, Page, PullError, PushError};

/// An upstream in memory. Clones are the same upstream.
///
/// It takes a batch if its [`base`](Batch::base) is its own last event, keeps everything, and gives it out in pages.
/// It has [faults](Fault) to inject, as any upstream has in [`Faulty`]. A pull that waits for news takes its fault at once.
pub struct Memory<L: Log> {
    upstream: Faulty<Faultless<L>, L::Position>,
}

/// The same, and nothing goes wrong.
pub struct Faultless<L: Log> {
    shared: Arc<Monitor<State<L>>>,
    /// Those of the upstream around it: a pull that waits gives out an empty page to one.
    faults: Faults<L::Position>,
    live: bool,
    page: usize,
}

struct State<L: Log> {
    origin: L::Position,
    entries: Vec<L::Entry>,
}

/// A page, or the last event, if that is before the cursor.
type Found<L> = Result<Page<<L as Log>::Entry>, <L as Log>::Position>;

impl<L: Log> Shown for State<L> {
    fn waits(&self, _: usize) -> String {
        "upstream has nothing more".into()
    }
}

impl<L: Log> Memory<L> {
    /// An empty upstream, whose first event follows `origin`. Its pulls are live.
    #[must_use]
    pub fn new(origin: L::Position) -> Self {
        let shared = Arc::new(Monitor::new(State { origin, entries: Vec::new() }, "upstream"));
        let faults = Faults::new();
        let faultless = Faultless { shared, faults: faults.clone(), live: true, page: 100 };
        Self { upstream: Faulty::new(faultless, faults) }
    }

    fn shared(&self) -> &Monitor<State<L>> {
        &self.upstream.upstream.shared
    }

    /// The same upstream, with pulls that end when they have caught up.
    #[must_use]
    pub fn one_shot(mut self) -> Self {
        self.upstream.upstream.live = false;
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
        self.upstream.upstream.page = events;
        self
    }

    /// Lets the next push that has no fault yet go wrong.
    pub fn fail_push(&self, fault: Fault) {
        self.upstream.upstream.faults.fail_push(fault);
    }

    /// Lets the next page that has no fault yet go wrong.
    pub fn fail_pull(&self, fault: Fault) {
        self.upstream.upstream.faults.fail_pull(fault);
        self.shared().change(|_| ());
    }

    /// Appends events as another client would, whatever stands before them.
    pub fn append(&self, entries: impl IntoIterator<Item = L::Entry>) {
        self.shared().change(|state| state.entries.extend(entries));
    }

    /// How many events it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared().look(|state| state.entries.len())
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its events, in order.
    #[must_use]
    pub fn entries(&self) -> Vec<L::Entry> {
        self.shared().look(|state| state.entries.clone())
    }
}

impl<L: Log> Upstream<L> for Memory<L> {
    fn push(&self, batch: &Batch<L>, interrupt: &Interrupt) -> Result<(), PushError<L::Position>> {
        Upstream::push(&self.upstream, batch, interrupt)
    }

    fn pull<'a>(
        &'a self,
        cursor: L::Position,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<L::Entry>, PullError>> + 'a {
        Upstream::pull(&self.upstream, cursor, interrupt)
    }
}

impl<L: Log> AsyncUpstream<L> for Memory<L> {
    type Pull<'a> = faulty::Pages<'a, L, Pages<'a, L>>;

    async fn push(&self, batch: &Batch<L>) -> Result<(), PushError<L::Position>> {
        AsyncUpstream::push(&self.upstream, batch).await
    }

    fn pull(&self, cursor: L::Position) -> Self::Pull<'_> {
        AsyncUpstream::pull(&self.upstream, cursor)
    }
}

impl<L: Log> State<L> {
    fn head(&self) -> L::Position {
        self.entries.last().map_or(self.origin, L::position)
    }

    /// The page that follows `cursor`.
    fn page(&self, cursor: L::Position, size: usize) -> Found<L> {
        let head = self.head();
        if cursor > head {
            return Err(head);
        }
        let from = self.entries.partition_point(|entry| L::position(entry) <= cursor);
        let rest = &self.entries[from..];
        let (entries, rest) = rest.split_at(size.min(rest.len()));
        let more = if rest.is_empty() { More::None } else { More::Events(rest.len() as u64) };
        Ok(Page { entries: entries.to_vec(), more })
    }
}

impl<L: Log> Faultless<L> {
    fn append(&self, batch: &Batch<L>) -> Result<(), PushError<L::Position>> {
        self.shared.change(|state| {
            let head = state.head();
            if batch.base != head {
                return Err(PushError::Behind { head: Some(head) });
            }
            state.entries.extend(batch.entries.iter().cloned());
            Ok(())
        })
    }
}

impl<L: Log> Upstream<L> for Faultless<L> {
    fn push(&self, batch: &Batch<L>, _: &Interrupt) -> Result<(), PushError<L::Position>> {
        self.append(batch)
    }

    fn pull<'a>(
        &'a self,
        cursor: L::Position,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<L::Entry>, PullError>> + 'a {
        let mut pages = AsyncUpstream::pull(self, cursor);
        std::iter::from_fn(move || {
            let waited = pages.page()?.wait_or(interrupt, None);
            Some(match waited {
                Waited::Ready(page) => pages.give(page),
                _ => Err(PullError::Unavailable { retry_after: None, error: INTERRUPTED.into() }),
            })
        })
    }
}

impl<L: Log> AsyncUpstream<L> for Faultless<L> {
    type Pull<'a> = Pages<'a, L>;

    async fn push(&self, batch: &Batch<L>) -> Result<(), PushError<L::Position>> {
        self.append(batch)
    }

    fn pull(&self, cursor: L::Position) -> Pages<'_, L> {
        Pages { upstream: self, cursor, caught_up: false, ended: false }
    }
}

/// A pull from a [`Faultless`] upstream.
pub struct Pages<'a, L: Log> {
    upstream: &'a Faultless<L>,
    cursor: L::Position,
    /// Whether a page has said that there is no more.
    caught_up: bool,
    /// An error was the last item.
    ended: bool,
}

impl<L: Log> Pages<'_, L> {
    /// A wait until there is a page to give out. `None` if none follows.
    fn page(&self) -> Option<Wait<impl Waitable<Output = Found<L>>>> {
        let Faultless { live, page: size, .. } = *self.upstream;
        let (cursor, caught_up) = (self.cursor, self.caught_up);
        if self.ended || caught_up && !live {
            return None;
        }
        Some(self.upstream.shared.wait(move |state: &mut State<L>| {
            let page = state.page(cursor, size);
            let has_none = page.as_ref().is_ok_and(|page| page.entries.is_empty());
            let waits = caught_up && has_none && !self.upstream.faults.awaits_page();
            (!waits).then_some(page)
        }))
    }

    fn give(&mut self, page: Found<L>) -> Result<Page<L::Entry>, PullError> {
        let page = page.map_err(|head| {
            self.ended = true;
            let error = format!("upstream ends at event {head:?}, and event {:?} had been there", self.cursor).into();
            PullError::Fatal { kind: FatalKind::WentBack, error }
        })?;
        if let Some(last) = page.entries.last() {
            self.cursor = L::position(last);
        }
        self.caught_up |= page.more == More::None;
        Ok(page)
    }
}

impl<L: Log> AsyncPull<L> for Pages<'_, L> {
    async fn next_page(&mut self) -> Option<Result<Page<L::Entry>, PullError>> {
        let page = self.page()?.await;
        Some(self.give(page))
    }
}

impl<L: Log> fmt::Debug for Pages<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

impl<L: Log> Clone for Faultless<L> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), faults: self.faults.clone(), ..*self }
    }
}

impl<L: Log> Clone for Memory<L> {
    fn clone(&self) -> Self {
        Self { upstream: self.upstream.clone() }
    }
}

impl<L: Log> fmt::Debug for Memory<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Faultless { live, page, .. } = &self.upstream.upstream;
        f.debug_struct("Memory").field("live", live).field("page", page).finish_non_exhaustive()
    }
}
