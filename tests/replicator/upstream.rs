//! An upstream in memory that stops at the points a test is about.

use std::sync::atomic::{AtomicU64, Ordering};

use latchwork::Interrupt;
use latchwork::log::Log;
use latchwork::upstream::{Batch, Memory, Page, PullError, PushError, Upstream};

type BeforePush<L> = dyn Fn(u64, &Batch<L>, &Interrupt) -> Result<(), PushError<<L as Log>::Position>> + Send + Sync;
type OnPage<L> =
    dyn Fn(Place, Page<<L as Log>::Entry>, &Interrupt) -> Result<Page<<L as Log>::Entry>, PullError> + Send + Sync;

/// Which page: of which pull, and its index in that pull. Both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub pull: u64,
    pub page: u64,
}

/// A [`Memory`] with something before each push and after each page.
pub struct Hooked<L: Log> {
    memory: Memory<L>,
    before_push: Box<BeforePush<L>>,
    on_page: Box<OnPage<L>>,
    pushes: AtomicU64,
    pulls: AtomicU64,
}

impl<L: Log> Hooked<L> {
    pub fn new(memory: &Memory<L>) -> Self {
        Self {
            memory: memory.clone(),
            before_push: Box::new(|_, _, _| Ok(())),
            on_page: Box::new(|_, page, _| Ok(page)),
            pushes: AtomicU64::new(0),
            pulls: AtomicU64::new(0),
        }
    }

    /// What happens before push number so-and-so; an error is its answer.
    pub fn before_push(
        self,
        hook: impl Fn(u64, &Batch<L>, &Interrupt) -> Result<(), PushError<L::Position>> + Send + Sync + 'static,
    ) -> Self {
        Self { before_push: Box::new(hook), ..self }
    }

    /// What becomes of each page; an error ends the pull.
    pub fn on_page(
        self,
        hook: impl Fn(Place, Page<L::Entry>, &Interrupt) -> Result<Page<L::Entry>, PullError> + Send + Sync + 'static,
    ) -> Self {
        Self { on_page: Box::new(hook), ..self }
    }
}

impl<L: Log> Upstream<L> for Hooked<L> {
    fn push(&self, batch: &Batch<L>, interrupt: &Interrupt) -> Result<(), PushError<L::Position>> {
        (self.before_push)(self.pushes.fetch_add(1, Ordering::Relaxed) + 1, batch, interrupt)?;
        self.memory.push(batch, interrupt)
    }

    fn pull<'a>(
        &'a self,
        cursor: L::Position,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<L::Entry>, PullError>> + 'a {
        let pull = self.pulls.fetch_add(1, Ordering::Relaxed) + 1;
        let mut pages = self.memory.pull(cursor, interrupt).zip(1..);
        let mut ended = false;
        std::iter::from_fn(move || {
            let (page, number) = if ended { None } else { pages.next() }?;
            let page = page.and_then(|page| (self.on_page)(Place { pull, page: number }, page, interrupt));
            ended = page.is_err();
            Some(page)
        })
    }
}

/// The connection dies.
pub fn dead() -> PullError {
    PullError::Unavailable { retry_after: None, error: "the connection died".into() }
}
