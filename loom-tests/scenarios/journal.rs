//! Models of a replicator with a journal: what is sent, and what is reported to be durable, no crash takes back.
//!
//! A crash leaves what the journal holds at that moment and nothing else. So each moment at which something is sent, reported
//! or ended is looked at as if the process died there. Threads: main, the pusher, the puller (which ends its one pull before),
//! the writer; with tasks main and the driver's, in an [executor](super::executor) that polls what has been woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::executor::{Driven, EndOfTime, poll_once};
use super::tasks::{Nothing, once_more};
use super::{latchwork, thread, unexplored};
use latchwork::journal::{AsyncJournal, Change, Journal, Recovered};
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::replicator::{Builder, CommitError};
use latchwork::upstream::{AsyncUpstream, Batch, More, Page, PullError, PushError, Upstream};
use latchwork::{Interrupt, Replicator, Settled, Ticket};
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

    fn write(&self, changes: &[Change<Entry, u64>]) -> Result<(), std::io::Error> {
        let mut held = self.0.lock().unwrap();
        changes.iter().try_for_each(|change| held.apply(change, |_| true)).map_err(std::io::Error::other)
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
        self.0.write(changes)
    }
}

impl AsyncJournal<Log> for Fails {
    type Error = std::io::Error;

    async fn write(&mut self, changes: &[Change<Entry, u64>]) -> Result<(), std::io::Error> {
        Journal::write(self, changes)
    }
}

/// A journal that writes at the second poll, and says so at the third.
struct Slow(Disk);

impl AsyncJournal<Log> for Slow {
    type Error = std::io::Error;

    async fn write(&mut self, changes: &[Change<Entry, u64>]) -> Result<(), std::io::Error> {
        once_more().await;
        self.0.write(changes)?;
        once_more().await;
        Ok(())
    }
}

/// An upstream that takes everything, and looks whether a crash takes it back.
struct Takes(Disk);

impl AsyncUpstream<Log> for Takes {
    type Pull<'a> = Nothing;

    async fn push(&self, batch: &Batch<Log>) -> Result<(), PushError<u64>> {
        Upstream::push(self, batch, &Interrupt::new())
    }

    fn pull(&self, _: u64) -> Nothing {
        Nothing(false)
    }
}

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

/// A replicator that has caught up, and what survives it. Its first writes fail, so many.
fn begun<R>(failing: usize, start: impl FnOnce(Builder<Log, Takes, Fails>) -> R) -> (R, Disk) {
    let way = unexplored();
    let disk = Disk(Arc::new(Mutex::new(Recovered::new(0))), Arc::default());
    let started = start(Replicator::builder(Log::new(), Takes(disk.clone())).journal(Fails(disk.clone(), failing)));
    loom::thread::yield_now();
    drop(way);
    (started, disk)
}

fn with_threads(builder: Builder<Log, Takes, Fails>) -> Replicator<Log> {
    builder.one_shot_pull().spawn().unwrap()
}

fn with_tasks(builder: Builder<Log, Takes, Fails>) -> Driven<Log> {
    Driven::new(builder.build_async(EndOfTime::default()))
}

/// Main commits, and waits until the commit has settled.
pub fn what_is_sent_is_durable() {
    let (replicator, disk) = begun(0, with_threads);
    let ticket = replicator.commit(vec!["a"]).unwrap();
    assert!(ticket.wait() == Settled::Confirmed(1));
    loom::stop_exploring();
    assert!(!disk.1.load(Ordering::Relaxed), "a crash takes back what was sent");
}

/// Main commits, and waits until the commit is durable.
pub fn what_is_durable_is_written() {
    let (replicator, disk) = begun(0, with_threads);
    let ticket = replicator.commit(vec!["a"]).unwrap();
    assert!(ticket.durable().wait());
    assert!(disk.has("a"), "a crash takes back what was reported as durable");
    loom::stop_exploring();
}

/// The first write fails. Main waits for everything to be settled, which ends with that, and restarts.
pub fn a_write_that_fails_is_made_again() {
    fails_at_first(|replicator| replicator.commit(vec!["a"]).unwrap());
}

fn fails_at_first(commit: fn(&Replicator<Log>) -> Ticket<u64>) {
    let (replicator, disk) = begun(1, with_threads);
    let ticket = commit(&replicator);
    let flushed = replicator.flushed().wait();
    assert!(flushed.is_err() && !disk.has("a"), "a crash takes back what was settled");
    replicator.restart();
    assert!(ticket.durable().wait());
    assert!(disk.has("a"), "a crash takes back what was reported as durable");
    loom::stop_exploring();
}

/// Main commits, stops it, and waits for the end.
pub fn what_has_stopped_has_written_everything() {
    let (replicator, disk) = begun(0, with_threads);
    let _ticket = replicator.commit(vec!["a"]).unwrap();
    replicator.stop();
    replicator.stopped().wait();
    loom::stop_exploring();
    assert!(disk.has("a"), "it has ended and left something unwritten");
}

/// Main commits and writes, as another thread commits: main waits until that one's commit is durable, which main has written
/// with its own, or the writer.
pub fn what_comes_as_a_commit_is_written_is_written() {
    let (replicator, disk) = begun(0, with_threads);
    let other = replicator.clone();
    let committing = thread::spawn(move || other.commit(vec!["b"]).unwrap());
    let ticket = replicator.commit_and_write(vec!["a"]).unwrap();
    assert!(ticket.durable().wait());
    assert!(disk.has("a"), "a crash takes back what was reported as durable");
    let ticket = committing.join().unwrap();
    assert!(ticket.durable().wait());
    assert!(disk.has("b"), "a crash takes back what was reported as durable");
    loom::stop_exploring();
}

/// Main commits and writes, as another thread stops the replicator and waits for the end.
pub fn a_stop_meets_a_commit_that_is_written() {
    let (replicator, disk) = begun(0, with_threads);
    let other = replicator.clone();
    let stopping = thread::spawn(move || {
        other.stop();
        other.stopped().wait();
        disk.has("a")
    });
    let committed = replicator.commit_and_write(vec!["a"]).is_ok();
    let was_there = stopping.join().unwrap();
    loom::stop_exploring();
    assert!(was_there || !committed, "it has ended and left something unwritten");
}

/// Main commits and writes, which fails; then it does as [in the other one](a_write_that_fails_is_made_again).
pub fn a_commit_whose_write_fails_is_written_again() {
    fails_at_first(|replicator| replicator.commit_and_write(vec!["a"]).unwrap());
}

/// As [`what_is_sent_is_durable`], with tasks.
pub fn what_a_driver_sends_is_durable() {
    let (replicator, disk) = begun(0, with_tasks);
    let ticket = replicator.commit(vec!["a"]).unwrap();
    assert!(ticket.wait() == Settled::Confirmed(1));
    loom::stop_exploring();
    assert!(!disk.1.load(Ordering::Relaxed), "a crash takes back what was sent");
    replicator.ends();
}

/// As [`what_is_durable_is_written`], with tasks. Main has polled the driver, which moves to its thread meanwhile.
pub fn what_a_driver_says_is_durable_is_written() {
    let polled = |builder: Builder<Log, Takes, Fails>| {
        let (replicator, mut driver) = builder.build_async(EndOfTime::default());
        assert!(poll_once(&mut driver).is_pending());
        (replicator, driver)
    };
    let (driven, disk) = begun(0, polled);
    let replicator = Driven::new(driven);
    let ticket = replicator.commit(vec!["a"]).unwrap();
    assert!(ticket.durable().wait());
    assert!(disk.has("a"), "a crash takes back what was reported as durable");
    loom::stop_exploring();
    replicator.ends();
}

/// As [`a_write_that_fails_is_made_again`], with tasks.
pub fn a_write_of_a_driver_that_fails_is_made_again() {
    let (replicator, disk) = begun(1, with_tasks);
    let ticket = replicator.commit(vec!["a"]).unwrap();
    let flushed = replicator.flushed().wait();
    assert!(flushed.is_err() && !disk.has("a"), "a crash takes back what was settled");
    replicator.restart();
    assert!(ticket.durable().wait());
    assert!(disk.has("a"), "a crash takes back what was reported as durable");
    loom::stop_exploring();
    replicator.ends();
}

/// As [`what_has_stopped_has_written_everything`], with tasks.
pub fn what_has_stopped_a_driver_has_written_everything() {
    let (replicator, disk) = begun(0, with_tasks);
    let _ticket = replicator.commit(vec!["a"]).unwrap();
    replicator.stop();
    replicator.stopped().wait();
    loom::stop_exploring();
    assert!(disk.has("a"), "it has ended and left something unwritten");
    replicator.ends();
}

/// Main commits and waits for what is said of the commit, as the driver is dropped after so many polls: before, during or after
/// the write. What is durable is written, and what is not is in the report.
pub fn a_driver_that_writes_is_dropped(polls: usize) {
    let disk = Disk(Arc::new(Mutex::new(Recovered::new(0))), Arc::default());
    let builder = Replicator::builder(Log::new(), Takes(disk.clone())).journal(Slow(disk.clone()));
    let (replicator, mut driver) = builder.build_async(EndOfTime::default());
    let drops = thread::spawn(move || {
        for _ in 0..polls {
            let _ready_or_not = poll_once(&mut driver);
        }
        drop(driver);
    });
    let durable = match replicator.commit(vec!["a"]) {
        Ok(ticket) => Some(ticket.durable().wait()),
        Err(CommitError::Stopped) => None,
        Err(other) => panic!("{other}"),
    };
    assert!(durable != Some(true) || disk.has("a"), "a crash takes back what was reported as durable");
    replicator.stopped().wait();
    loom::stop_exploring();
    drops.join().unwrap();
    assert!(!disk.1.load(Ordering::Relaxed), "a crash takes back what was sent");
    let report = replicator.shutdown(std::time::Duration::MAX);
    assert!(report.unfinished.is_empty() && report.unwritten.writing_for.is_none());
    assert!(durable != Some(false) || report.unwritten.changes == 1, "what is not durable is not in the report");
    assert!(replicator.into_log().is_some(), "the driver has left something behind");
}
