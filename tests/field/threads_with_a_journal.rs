//! On threads, with a journal that takes its time.

#[path = "cases.rs"]
mod cases;

use latchwork::Replicator;
use latchwork::log::Log;
use latchwork::replicator::Builder;
use latchwork::upstream::Upstream;

use crate::slow::Slow;

/// A call that is interrupted answers, and what it says counts.
const HEARS_INTERRUPTED_CALLS: bool = true;

fn builder<L: Log, U>(log: L, upstream: U) -> Builder<L, U, Slow<L>> {
    let journal = Slow::of(&log, |_| true);
    Replicator::builder(log, upstream).journal(journal)
}

trait Start<L: Log> {
    fn start(self) -> Replicator<L>;
}

impl<L: Log, U: Upstream<L>> Start<L> for Builder<L, U, Slow<L>> {
    fn start(self) -> Replicator<L> {
        self.spawn().unwrap()
    }
}
