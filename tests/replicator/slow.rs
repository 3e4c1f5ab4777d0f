//! A journal that takes its time.

use std::num::NonZeroUsize;
use std::time::Duration;

use latchwork::journal::{Journal, Memory, MemoryError, Recovered};
use latchwork::log::{Change, Log};

/// A journal, each of whose writes takes this long: about what a disk takes.
pub struct Slow<L: Log>(Memory<L>);

const WRITE: Duration = Duration::from_millis(5);

impl<L: Log> Slow<L> {
    /// The journal that holds this log, which sends the events of which this is true.
    pub fn of(log: &L, is_sent: fn(&L::Entry) -> bool) -> Self {
        let held = Recovered::with_pending(log.upstream_head(), log.batch(NonZeroUsize::MAX));
        Self(Memory::new(held).with_sent(is_sent))
    }
}

impl<L: Log> Journal<L> for Slow<L> {
    type Error = MemoryError;

    fn write(&mut self, changes: &[Change<L::Entry, L::Position>]) -> Result<(), MemoryError> {
        std::thread::sleep(WRITE);
        Journal::write(&mut self.0, changes)
    }
}
