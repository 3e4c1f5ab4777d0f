//! Models of the handle: what stops, resets, subscribes and wakes while the two directions are at work.
//!
//! Threads: main, the pusher, the puller, and one more where handles meet. Time stands still.

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use super::executor::{block_on, poll_once};
use super::upstream::{Feed, Scripted};
use super::{latchwork, thread, unexplored};
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::replicator::RecvError;
use latchwork::upstream::{Batch, More, Page, PullError, PushError, Upstream};
use latchwork::{Interrupt, Replicator, Settled};

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker's")
    }
}

/// A task with a waker that panics waits for what is pending at the start; main waits for a commit, which the pusher can only
/// send if it has outlived that waker.
pub fn a_waker_that_panics_leaves_the_pusher_going() {
    let upstream = Scripted::new(&[], &[], Feed::Silence);
    let log = MemoryLog::new().with_pending(0, ["a"]);
    let replicator = Replicator::builder(log, upstream.clone()).push_batch(NonZeroUsize::MIN).spawn().unwrap();
    let panics = Waker::from(Arc::new(Panics));
    {
        let mut flush = replicator.flushed();
        let _ready_or_not = Pin::new(&mut flush).poll(&mut Context::from_waker(&panics));
        let ticket = replicator.commit(vec!["b"]).unwrap();
        assert!(matches!(ticket.wait(), Settled::Confirmed(2)));
        loom::stop_exploring();
    }
    loom::thread::yield_now();
    upstream.close();
}

/// Main commits, stops, and commits again, at any moment of the push: the second commit is refused, the first settles, and
/// all that waits for the end is over.
pub fn a_stop_refuses_what_comes_later_and_settles_what_came_before() {
    let upstream = Scripted::new(&[], &[], Feed::PageThenSilence).heedful();
    let replicator = Replicator::builder(MemoryLog::new(), upstream.clone()).spawn().unwrap();
    let ticket = replicator.commit(vec!["a"]).unwrap();
    replicator.stop();
    if let Ok(late) = replicator.commit(vec!["b"]) {
        let _settled = late.wait();
    }
    let settled = ticket.wait();
    block_on(replicator.stopped());
    loom::stop_exploring();
    let confirmed = matches!(settled, Settled::Confirmed(1));
    assert!(confirmed || settled == Settled::Closed);
    assert_eq!(replicator.flush(Duration::ZERO).is_ok(), confirmed);
    assert_eq!(upstream.events().len(), usize::from(confirmed), "upstream knows better than the ticket");
    upstream.close();
}

/// Main subscribes, and replaces the log as the puller brings an event of another client; then it subscribes anew. What it
/// is told of each log follows on its snapshot, and nothing of one is told with the other.
pub fn a_reset_ends_the_updates_of_the_former_log() {
    let upstream = Scripted::new(&[], &[Feed::Foreign("b")], Feed::PageThenSilence).heedful();
    let replicator = Replicator::builder(MemoryLog::new(), upstream.clone()).spawn().unwrap();
    let former = replicator.updates();
    replicator.reset(MemoryLog::new());
    let present = replicator.updates();
    while replicator.status().upstream_head == 0 {
        loom::thread::yield_now();
    }
    loom::stop_exploring();
    for (updates, end) in [(former, RecvError::Replaced), (present, RecvError::Empty)] {
        let told: u64 = updates.receiver.try_iter().map(|update| update.upstream_head).sum();
        assert!(updates.snapshot.upstream_head + told <= 1, "an update of another log");
        assert!(updates.receiver.try_recv().err() == Some(end), "a receiver ends with its log");
    }
    upstream.close();
}

/// An event that asks how things stand when it is dropped.
#[derive(Debug, Clone)]
struct Loud(Arc<OnceLock<Weak<Replicator<Events>>>>);

type Events = MemoryLog<Loud>;

impl PartialEq for Loud {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Drop for Loud {
    fn drop(&mut self) {
        let replicator = self.0.get().and_then(Weak::upgrade).filter(|_| !std::thread::panicking());
        if let Some(replicator) = replicator {
            let _status = replicator.status();
        }
    }
}

/// The first pull brings one such event; each stays open until it is interrupted.
struct One(Arc<Mutex<Option<Loud>>>);

impl Upstream<Events> for One {
    fn push(&self, _: &Batch<Events>, _: &Interrupt) -> Result<(), PushError<u64>> {
        Ok(())
    }

    fn pull<'a>(
        &'a self,
        _: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<MemoryEntry<Loud>>, PullError>> + 'a {
        std::iter::from_fn(move || {
            let event = self.0.lock().unwrap().take();
            let Some(event) = event else {
                interrupt.wait();
                return None;
            };
            Some(Ok(Page { entries: vec![MemoryEntry { position: 1, event }], more: More::None }))
        })
    }
}

/// Main subscribes and leaves as the puller brings an event of another client, which asks how things stand when it is dropped,
/// wherever that is. Ends when it has been dropped.
pub fn a_subscriber_that_leaves_as_it_is_told_leaves_nothing_under_the_lock() {
    let asks = Arc::new(OnceLock::new());
    let one = Arc::new(Mutex::new(None));
    let way = unexplored();
    let replicator = Replicator::builder(Events::new(), One(Arc::clone(&one))).one_shot_pull().spawn().unwrap();
    loom::thread::yield_now();
    let replicator = Arc::new(replicator);
    asks.set(Arc::downgrade(&replicator)).unwrap();
    *one.lock().unwrap() = Some(Loud(Arc::clone(&asks)));
    drop(way);
    let updates = replicator.updates();
    replicator.retry_now();
    drop(updates);
    while Arc::strong_count(&asks) > 1 {
        loom::thread::yield_now();
    }
    loom::stop_exploring();
}

/// An upstream that is never behind and never has anything. What it holds shows whether its
/// threads have let go of it.
struct Quiet(#[expect(dead_code, reason = "it is counted")] Arc<()>);

type Log = MemoryLog<&'static str>;

impl Upstream<Log> for Quiet {
    fn push(&self, _: &Batch<Log>, _: &Interrupt) -> Result<(), PushError<u64>> {
        Ok(())
    }

    fn pull<'a>(
        &'a self,
        _: u64,
        _: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<MemoryEntry<&'static str>>, PullError>> + 'a {
        std::iter::once(Ok(Page { entries: Vec::new(), more: More::None }))
    }
}

/// A replicator that has caught up, and what its threads hold.
fn quiet() -> (Replicator<Log>, Arc<()>) {
    let held = Arc::new(());
    let replicator = Replicator::builder(Log::new(), Quiet(Arc::clone(&held))).one_shot_pull().spawn().unwrap();
    loom::thread::yield_now();
    (replicator, held)
}

/// A task awaits a commit as the pusher settles it, and one that awaits it with another ticket gives
/// up. Ends when the first has been woken.
pub fn a_ticket_that_is_awaited_wakes_its_task() {
    let way = unexplored();
    let (replicator, _held) = quiet();
    drop(way);
    let ticket = replicator.commit(vec!["a"]).unwrap();
    let _ready_or_not = poll_once(&mut ticket.wait_async());
    assert!(block_on(ticket.wait_async()) == Settled::Confirmed(1));
    loom::stop_exploring();
}

/// Main and another thread, each with a handle, shut down at the same time.
pub fn shutdowns_at_once_both_wait_for_the_threads() {
    let way = unexplored();
    let (replicator, held) = quiet();
    let other = replicator.clone();
    let ends = |replicator: &Replicator<Log>, held: &Arc<()>| {
        assert!(replicator.shutdown(Duration::MAX).is_clean());
        // Those of main and of the other thread.
        assert!(Arc::strong_count(held) == 2, "a thread goes on after a shutdown");
    };
    let theirs = Arc::clone(&held);
    drop(way);
    let thread = thread::spawn(move || {
        ends(&other, &theirs);
        (other, theirs)
    });
    ends(&replicator, &held);
    let _theirs = thread.join().unwrap();
    loom::stop_exploring();
}

/// Main and another thread, each with a handle, drop it at the same time.
pub fn handles_dropped_at_once_end_the_threads() {
    let way = unexplored();
    let (replicator, held) = quiet();
    let other = replicator.clone();
    drop(way);
    let thread = thread::spawn(move || drop(other));
    drop(replicator);
    thread.join().unwrap();
    assert!(Arc::strong_count(&held) == 1, "a thread goes on after the last handle's drop");
    loom::stop_exploring();
}
