//! On threads.

#[path = "admission.rs"]
mod admission;
#[path = "after.rs"]
mod after;
#[path = "contract.rs"]
mod contract;
#[path = "handle.rs"]
mod handle;
#[path = "identity.rs"]
mod identity;
#[path = "journal.rs"]
mod journal;
#[path = "ordering.rs"]
mod ordering;
#[path = "panics.rs"]
mod panics;
#[path = "pulling.rs"]
mod pulling;
#[path = "stopping.rs"]
mod stopping;
#[path = "threads_alone.rs"]
mod threads_alone;
#[path = "updates.rs"]
mod updates;

use latchwork::journal::Journal;
use latchwork::upstream::Upstream;

use crate::*;

/// What is known of a push that was interrupted before it was sent: the call says so.
const UNCERTAIN_IF_INTERRUPTED: bool = false;

/// What a panic of a journal's is one in.
const WRITES: &str = "Journal::write";

/// Whether a thread that commits may write, too.
const WRITES_HERE: bool = true;

/// A journal that blocks.
fn blocking<J>(journal: J) -> J {
    journal
}

fn builder<L: Log, U>(log: L, upstream: U) -> Builder<L, U> {
    Replicator::builder(log, upstream)
}

fn quick<L: Log, U>(log: L, upstream: U) -> Builder<L, U> {
    quickly(builder(log, upstream))
}

fn into_log<L: Log>(replicator: Replicator<L>) -> L {
    replicator.into_log().expect("no thread needs it")
}

trait Start<L: Log> {
    fn start(self) -> Replicator<L>;
}

impl<L: Log, U: Upstream<L>, J: Journal<L>> Start<L> for Builder<L, U, J> {
    fn start(self) -> Replicator<L> {
        self.spawn().unwrap()
    }
}
