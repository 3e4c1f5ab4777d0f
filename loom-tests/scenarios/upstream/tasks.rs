//! The same upstream for tasks. A call is interrupted by being dropped, so a pull that stays open awaits nothing.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::latchwork;
use super::{Event, Feed, Scripted, unavailable};
use latchwork::Latch;
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::protocol::Direction;
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, Page, PullError, PushError};

type Log = MemoryLog<Event>;

/// A [`Scripted`] upstream for tasks. Clones are the same upstream.
#[derive(Clone)]
pub struct ForTasks {
    pub script: Scripted,
    /// What is held is let go by these, one for each direction: unlike a thread, a task may be polled between the two.
    gates: Arc<[Latch; 2]>,
}

impl ForTasks {
    pub fn new(script: Scripted) -> Self {
        Self { script, gates: Arc::new([Latch::new(), Latch::new()]) }
    }

    /// Lets go what is held, first in the direction that pulls.
    pub fn release(&self) {
        for direction in [Direction::Pull, Direction::Push] {
            self.gates[direction as usize].open();
        }
    }

    /// Holds a call if it is to be, and counts it afterwards: one that is dropped before has not been.
    async fn call(&self, direction: Direction) -> usize {
        let calls = self.script.calls[direction as usize].load(Ordering::Relaxed);
        if calls >= self.script.hold[direction as usize] {
            self.gates[direction as usize].opened().await;
        }
        self.script.count(direction)
    }
}

impl AsyncUpstream<Log> for ForTasks {
    type Pull<'a> = Feeding<'a>;

    async fn push(&self, batch: &Batch<Log>) -> Result<(), PushError<u64>> {
        let call = self.call(Direction::Push).await;
        let answer = self.script.answer(call, batch, None);
        match answer {
            Err(PushError::Uncertain { .. }) if self.script.hangs(call) => pending().await,
            answer => answer,
        }
    }

    fn pull(&self, cursor: u64) -> Feeding<'_> {
        Feeding { upstream: self, cursor, feed: None, given: false }
    }
}

/// A pull.
pub struct Feeding<'a> {
    upstream: &'a ForTasks,
    cursor: u64,
    /// Once it has begun.
    feed: Option<Feed>,
    given: bool,
}

impl AsyncPull<Log> for Feeding<'_> {
    async fn next_page(&mut self) -> Option<Result<Page<MemoryEntry<Event>>, PullError>> {
        let script = &self.upstream.script;
        let feed = match self.feed {
            Some(feed) => feed,
            None => *self.feed.insert(script.feed(self.upstream.call(Direction::Pull).await)),
        };
        match feed {
            Feed::Silence => pending().await,
            Feed::Unavailable => Some(Err(unavailable())),
            Feed::Page | Feed::ForeignPage(_) if self.given => None,
            Feed::PageThenUnavailable if self.given => Some(Err(unavailable())),
            _ if self.given => pending().await,
            _ => {
                self.given = true;
                Some(Ok(script.page(feed, self.cursor)))
            }
        }
    }
}
