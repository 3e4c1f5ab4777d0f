//! On threads, with a journal that takes its time.
//!
//! Without `after.rs`: it resets the log as fast as it can, and nothing is sent before a reset is written.

#[path = "admission.rs"]
mod admission;
#[path = "contract.rs"]
mod contract;
#[path = "handle.rs"]
mod handle;
#[path = "identity.rs"]
mod identity;
#[path = "ordering.rs"]
mod ordering;
#[path = "panics.rs"]
mod panics;
#[path = "pulling.rs"]
mod pulling;
#[path = "stopping.rs"]
mod stopping;
#[path = "updates.rs"]
mod updates;

use std::any::Any;

use latchwork::upstream::Upstream;

use crate::slow::Slow;
use crate::*;

/// What is known of a push that was interrupted before it was sent: the call says so.
const UNCERTAIN_IF_INTERRUPTED: bool = false;

/// Whether it is one of those that are sent, whatever log it is of.
fn is_sent<L: Log>(entry: &L::Entry) -> bool {
    let entry: &dyn Any = entry;
    entry.downcast_ref::<Entry<Item>>().is_none_or(|entry| !entry.event.local_only)
}

fn builder<L: Log, U>(log: L, upstream: U) -> Builder<L, U, Slow<L>> {
    let journal = Slow::of(&log, is_sent::<L>);
    Replicator::builder(log, upstream).journal(journal)
}

fn quick<L: Log, U>(log: L, upstream: U) -> Builder<L, U, Slow<L>> {
    quickly(builder(log, upstream))
}

fn into_log<L: Log>(replicator: Replicator<L>) -> L {
    replicator.into_log().expect("no thread needs it")
}

trait Start<L: Log> {
    fn start(self) -> Replicator<L>;
}

impl<L: Log, U: Upstream<L>> Start<L> for Builder<L, U, Slow<L>> {
    fn start(self) -> Replicator<L> {
        self.spawn().unwrap()
    }
}
