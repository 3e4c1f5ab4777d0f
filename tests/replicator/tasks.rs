//! On tasks: the driver on a runtime of its own. What a case hooks in blocks, and runs elsewhere.

#[path = "admission.rs"]
mod admission;
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
#[path = "updates.rs"]
mod updates;

use std::cell::RefCell;
use std::thread::JoinHandle;

use latchwork::journal::{AsyncJournal, ForTasks as JournalForTasks};
use latchwork::upstream::{AsyncUpstream, ForTasks};

use crate::upstream::Hooked;
use crate::*;

/// Nothing is known of a push that was interrupted: the call is dropped.
const UNCERTAIN_IF_INTERRUPTED: bool = true;

/// What a panic of a journal's is one in.
const WRITES: &str = "AsyncJournal::write";

/// Whether a thread that commits may write, too.
const WRITES_HERE: bool = false;

/// Runs a call on a thread of its own.
type OnAThread = fn(Box<dyn FnOnce() + Send>);

/// A journal that blocks.
fn blocking<J>(journal: J) -> JournalForTasks<J, OnAThread> {
    JournalForTasks::new(journal, |job| drop(std::thread::spawn(job)))
}

/// An upstream of a case, for tasks.
trait Adapt<L: Log> {
    type Adapted: AsyncUpstream<L> + Send;
    fn adapt(self) -> Self::Adapted;
}

impl<L: Log> Adapt<L> for Memory<L> {
    type Adapted = Self;
    fn adapt(self) -> Self {
        self
    }
}

impl<L: Log> Adapt<L> for Hooked<L> {
    type Adapted = ForTasks<Self, fn(Box<dyn FnOnce() + Send>)>;
    fn adapt(self) -> Self::Adapted {
        ForTasks::new(self, |job| drop(std::thread::spawn(job)))
    }
}

fn builder<L: Log, U: Adapt<L>>(log: L, upstream: U) -> Builder<L, U::Adapted> {
    Replicator::builder(log, upstream.adapt())
}

fn quick<L: Log, U: Adapt<L>>(log: L, upstream: U) -> Builder<L, U::Adapted> {
    quickly(builder(log, upstream))
}

std::thread_local! {
    /// Of the case that runs here.
    static DRIVERS: RefCell<Vec<JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
}

/// The log, once it has stopped and its driver has returned.
fn into_log<L: Log>(replicator: Replicator<L>) -> L {
    replicator.stop();
    for driver in DRIVERS.take() {
        driver.join().unwrap();
    }
    replicator.into_log().expect("its driver has returned")
}

trait Start<L: Log> {
    fn start(self) -> Replicator<L>;
}

impl<L: Log, U: AsyncUpstream<L> + Send, J: AsyncJournal<L> + Send> Start<L> for Builder<L, U, J> {
    fn start(self) -> Replicator<L> {
        let (made, replicator) = std::sync::mpsc::channel();
        let driver = std::thread::spawn(move || {
            let (replicator, driver) = self.build_async(tokio::time::sleep);
            made.send(replicator).unwrap();
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(driver);
        });
        DRIVERS.with_borrow_mut(|drivers| drivers.push(driver));
        replicator.recv().unwrap()
    }
}
