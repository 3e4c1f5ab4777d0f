//! Models of a replicator with a journal: what is sent, and what is reported to be durable, no crash takes back.
//!
//! A crash leaves what the journal holds at that moment and nothing else. So each moment at which something is sent, reported
//! or ended is looked at as if the process died there. Threads: main, the pusher, the puller (which ends its one pull before),
//! the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{latchwork, unexplored};
use latchwork::journal::{Change, Journal, Recovered};
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{Batch, More, Page, PullError, PushError, Upstream};
use latchwork::{Interrupt, Replicator, Settled};
use loom::sync::Mutex;

type Log = MemoryLog<&'static str>;
type Entry = MemoryEntry<&'static str>;

/// What survives; and whether something was sent that does not.
#[derive(Clone)]
struct Disk(Arc<Mutex<Recovered<Entry, u64>>>, Arc<AtomicBool>);

impl Disk {
    fn has(&self, event: &str) -> bool {
        let held = self.0.lock().unwrap();
        held.cursor > 0 || held.pending.iter().any(|entry| entry.event == event)
    }
}

/// A journal, of which so many writes fail first.
struct Fails(Disk, usize);

impl Journal<Log> for Fails {
    type Error = std::io::Error;

    fn write(&mut self, changes: &[Change<Entry, u64>]) -> Result<(), std::io::Error> {
        if let Some(left) = self.1.checked_sub(1) {
            self.1 = left;
            return Err(std::io::Error::other("full"));
        }
        let mut held = self.0.0.lock().unwrap();
        changes.iter().try_for_each(|change| held.apply(change, |_| true)).map_err(std::io::Error::other)
    }
}

/// An upstream that takes everything, and looks whether a crash takes it back.
struct Takes(Disk);

impl Upstream<Log> for Takes {
    fn push(&self, batch: &Batch<Log>, _: &Interrupt) -> Result<(), PushError<u64>> {
        let held = batch.entries.iter().all(|entry| self.0.has(entry.event));
        self.0.1.fetch_or(!held, Ordering::Relaxed);
        Ok(())
    }

    fn pull<'a>(&'a self, _: u64, _: &'a Interrupt) -> impl Iterator<Item = Result<Page<Entry>, PullError>> + 'a {
        std::iter::once(Ok(Page { entries: Vec::new(), more: More::None }))
    }
}

/// A replicator that has caught up, and what survives it.
fn begun(failing: usize) -> (Replicator<Log>, Disk) {
    let way = unexplored();
    let disk = Disk(Arc::new(Mutex::new(Recovered::new(0))), Arc::default());
    let builder = Replicator::builder(Log::new(), Takes(disk.clone())).one_shot_pull();
    let replicator = builder.journal(Fails(disk.clone(), failing)).spawn().unwrap();
    loom::thread::yield_now();
    drop(way);
    (replicator, disk)
}

/// Main commits, and waits until the commit has settled.
pub fn what_is_sent_is_durable() {
    let (replicator, disk) = begun(0);
    let ticket = replicator.commit(vec!["a"]).unwrap();
    assert!(ticket.wait() == Settled::Confirmed(1));
    loom::stop_exploring();
    assert!(!disk.1.load(Ordering::Relaxed), "a crash takes back what was sent");
}

/// Main commits, and waits until the commit is durable.
pub fn what_is_durable_is_written() {
    let (replicator, disk) = begun(0);
    let ticket = replicator.commit(vec!["a"]).unwrap();
    assert!(ticket.durable().wait());
    assert!(disk.has("a"), "a crash takes back what was reported as durable");
    loom::stop_exploring();
}

/// The first write fails. Main waits for everything to be settled, which ends with that, and restarts.
pub fn a_write_that_fails_is_made_again() {
    let (replicator, disk) = begun(1);
    let ticket = replicator.commit(vec!["a"]).unwrap();
    let flushed = replicator.flushed().wait();
    assert!(flushed.is_err() && !disk.has("a"), "a crash takes back what was settled");
    replicator.restart();
    assert!(ticket.durable().wait());
    assert!(disk.has("a"), "a crash takes back what was reported as durable");
    loom::stop_exploring();
}

/// Main commits, stops it, and waits for the end.
pub fn what_has_stopped_has_written_everything() {
    let (replicator, disk) = begun(0);
    let _ticket = replicator.commit(vec!["a"]).unwrap();
    replicator.stop();
    replicator.stopped().wait();
    loom::stop_exploring();
    assert!(disk.has("a"), "it has ended and left something unwritten");
}
