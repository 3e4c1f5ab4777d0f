//! On threads, with a journal that takes its time.

#[path = "cases.rs"]
mod cases;

use std::time::Duration;

use latchwork::Replicator;
use latchwork::journal::{Journal, Memory, MemoryError, Recovered};
use latchwork::log::{Change, Log};
use latchwork::replicator::Builder;
use latchwork::upstream::Upstream;

/// A call that is interrupted answers, and what it says counts.
const HEARS_INTERRUPTED_CALLS: bool = true;

/// A journal, each of whose writes takes this long: about what a disk takes.
struct Slow<L: Log>(Memory<L>);

const WRITE: Duration = Duration::from_millis(5);

impl<L: Log> Journal<L> for Slow<L> {
    type Error = MemoryError;

    fn write(&mut self, changes: &[Change<L::Entry, L::Position>]) -> Result<(), MemoryError> {
        std::thread::sleep(WRITE);
        Journal::write(&mut self.0, changes)
    }
}

fn builder<L: Log, U>(log: L, upstream: U) -> Builder<L, U, Slow<L>> {
    let held = Recovered::with_pending(log.upstream_head(), log.batch(std::num::NonZeroUsize::MAX));
    Replicator::builder(log, upstream).journal(Slow(Memory::new(held)))
}

trait Start<L: Log> {
    fn start(self) -> Replicator<L>;
}

impl<L: Log, U: Upstream<L>> Start<L> for Builder<L, U, Slow<L>> {
    fn start(self) -> Replicator<L> {
        self.spawn().unwrap()
    }
}
