//! Models of the replicator for tasks: the theorem, and what becomes of a driver.
//!
//! A driver runs on a thread of its own, in an [executor](super::executor) that polls it when it has been woken and at no
//! other time. So a wake that is lost, or that goes to a waker of before, leaves it asleep, and a waiter for a commit
//! waits for ever: a deadlock. As in the models of the [replicator](super::replicator), the service is asserted before
//! anything is stopped.
//!
//! Threads: main, the driver's, and one more where another client or another owner comes in. Time stands still unless the
//! model moves it.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use super::executor::{Driven, EndOfTime, Half, Seconds, block_on, poll_once};
use super::upstream::Event;
use super::{latchwork, thread, unexplored, unexplored_bugs_and_all};
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::protocol::{Direction, Push, WaitingOn};
use latchwork::replicator::{CommitError, RecvError};
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, Fault, Memory, More, Page, PullError, PushError};
use latchwork::{Backoff, Replicator, Settled};

type Log = MemoryLog<Event>;

/// Another client sends this event, and once more if others were faster.
pub(super) fn another_sends(upstream: &Memory<Log>, event: Event) {
    let mut base = 0;
    while let Err(PushError::Behind { head }) = {
        let batch = Batch::new(base, vec![MemoryEntry { position: base + 1, event }]);
        block_on(Box::pin(AsyncUpstream::push(upstream, &batch)))
    } {
        base = head.expect("it says how far it is");
    }
}

/// Each of `events` is at upstream once, and no party owes a move.
fn drained(replicator: &Replicator<Log>, upstream: &Memory<Log>, events: &[Event]) {
    loom::stop_exploring();
    loom::thread::yield_now();
    let mut upstream: Vec<_> = upstream.entries().iter().map(|entry| entry.event).collect();
    upstream.sort_unstable();
    assert!(upstream == events, "not everything is at upstream once");
    assert_eq!(replicator.status().waiting_on, WaitingOn::Nothing);
}

/// A commit of main's, which is the other client, too. Ends when the commit has settled.
pub fn advance_resumes_the_driver() {
    let way = unexplored();
    let upstream = Memory::new(0);
    let replicator = Driven::new(Replicator::builder(Log::new(), upstream.clone()).build_async(EndOfTime::default()));
    loom::thread::yield_now();
    drop(way);
    let ticket = replicator.commit(vec!["a"]).unwrap();
    another_sends(&upstream, "b");
    assert!(matches!(block_on(ticket.wait_async()), Settled::Confirmed(_)));
    drained(&replicator, &upstream, &["a", "b"]);
    replicator.ends();
}

/// A commit of main's and an event of another client's, from a thread of its own. Ends when the commit has settled.
pub fn an_advance_at_any_time_resumes_the_driver() {
    let way = unexplored();
    let upstream = Memory::new(0);
    let replicator = Driven::new(Replicator::builder(Log::new(), upstream.clone()).build_async(EndOfTime::default()));
    loom::thread::yield_now();
    drop(way);
    let theirs = upstream.clone();
    let other = thread::spawn(move || another_sends(&theirs, "b"));
    let ticket = replicator.commit(vec!["a"]).unwrap();
    assert!(matches!(block_on(ticket.wait_async()), Settled::Confirmed(_)));
    other.join().unwrap();
    drained(&replicator, &upstream, &["a", "b"]);
    replicator.ends();
}

/// The same in a log that rebases what is pending; main is the other client, and the event was committed before the start.
pub fn rebase_resumes_the_driver() {
    let upstream = Memory::new(0);
    let log = MemoryLog::rebasing().with_pending(0, ["a"]);
    let (replicator, driver) = Replicator::builder(log, upstream.clone()).build_async(EndOfTime::default());
    let replicator = Driven::new((replicator, driver));
    another_sends(&upstream, "b");
    block_on(replicator.flush_async()).unwrap();
    drained(&replicator, &upstream, &["a", "b"]);
    replicator.ends();
}

/// As [`advance_resumes_the_driver`], with the two halves on two threads; main is the other client, too.
pub fn advance_resumes_the_halves() {
    let way = unexplored();
    let upstream = Memory::new(0);
    let (replicator, driver) = Replicator::builder(Log::new(), upstream.clone()).build_async(EndOfTime::default());
    let (push, pull) = driver.split();
    let halves: [Half; 2] = [Box::pin(push), Box::pin(pull)];
    let replicator = Driven::by_halves(replicator, halves);
    loom::thread::yield_now();
    drop(way);
    let ticket = replicator.commit(vec!["a"]).unwrap();
    another_sends(&upstream, "b");
    assert!(matches!(block_on(ticket.wait_async()), Settled::Confirmed(_)));
    drained(&replicator, &upstream, &["a", "b"]);
    replicator.ends();
}

/// Main has polled the driver, and commits as another task takes it over.
pub fn a_driver_that_moves_is_woken_where_it_is() {
    let way = unexplored();
    let upstream = Memory::new(0);
    let (replicator, mut driver) = Replicator::builder(Log::new(), upstream.clone()).build_async(EndOfTime::default());
    assert!(poll_once(&mut driver).is_pending());
    drop(way);
    let replicator = Driven::new((replicator, driver));
    let ticket = replicator.commit(vec!["a"]).unwrap();
    assert!(matches!(block_on(ticket.wait_async()), Settled::Confirmed(1)));
    drained(&replicator, &upstream, &["a"]);
    replicator.ends();
}

/// As [`a_driver_that_moves_is_woken_where_it_is`], of the pushing half alone: the pulling one stays with main, which polls it
/// no more.
pub fn a_half_that_moves_is_woken_where_it_is() {
    let way = unexplored();
    let upstream = Memory::new(0);
    let (replicator, driver) = Replicator::builder(Log::new(), upstream.clone()).build_async(EndOfTime::default());
    let (mut push, mut pull) = driver.split();
    assert!(poll_once(&mut push).is_pending() && poll_once(&mut pull).is_pending());
    drop(way);
    let moved = thread::spawn(move || block_on(Box::pin(push)));
    let ticket = replicator.commit(vec!["a"]).unwrap();
    assert!(matches!(block_on(ticket.wait_async()), Settled::Confirmed(1)));
    drained(&replicator, &upstream, &["a"]);
    drop(replicator);
    moved.join().unwrap();
}

/// An upstream that takes a push at the second poll, and tells of it at the third. A pull brings nothing, and stays open.
#[derive(Clone, Default)]
struct Slow(Arc<AtomicUsize>);

/// Is polled twice.
pub(super) async fn once_more() {
    let mut polled = false;
    poll_fn(|context| match std::mem::replace(&mut polled, true) {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

impl AsyncUpstream<Log> for Slow {
    type Pull<'a> = Nothing;

    async fn push(&self, _: &Batch<Log>) -> Result<(), PushError<u64>> {
        once_more().await;
        self.0.fetch_add(1, Ordering::Relaxed);
        once_more().await;
        Ok(())
    }

    fn pull(&self, _: u64) -> Nothing {
        Nothing(false)
    }
}

pub struct Nothing(pub bool);

impl AsyncPull<Log> for Nothing {
    async fn next_page(&mut self) -> Option<Result<Page<MemoryEntry<Event>>, PullError>> {
        if std::mem::replace(&mut self.0, true) {
            std::future::pending::<()>().await;
        }
        Some(Ok(Page { entries: Vec::new(), more: More::None }))
    }
}

/// A replicator whose driver is polled so many times on a thread of its own, and dropped there.
fn dropped(polls: usize) -> (Replicator<Log>, Slow, thread::JoinHandle<()>) {
    let upstream = Slow::default();
    let (replicator, mut driver) = Replicator::builder(Log::new(), upstream.clone()).build_async(EndOfTime::default());
    let drops = thread::spawn(move || {
        for _ in 0..polls {
            let _ready_or_not = poll_once(&mut driver);
        }
        drop(driver);
    });
    (replicator, upstream, drops)
}

/// Main commits and waits, as the driver is dropped after so many polls. What has not settled is closed, and of what
/// upstream has taken without an answer the report says that it may have.
pub fn a_driver_is_dropped_as_main_waits(polls: usize) {
    let (replicator, upstream, drops) = dropped(polls);
    let settled = match replicator.commit(vec!["a"]) {
        Ok(ticket) => Some(ticket.wait()),
        Err(CommitError::Stopped) => None,
        Err(other) => panic!("{other}"),
    };
    replicator.stopped().wait();
    loom::stop_exploring();
    drops.join().unwrap();
    let report = replicator.shutdown(Duration::MAX);
    let (taken, closed) = (upstream.0.load(Ordering::Relaxed) > 0, settled == Some(Settled::Closed));
    assert!(settled.is_none() || closed || settled == Some(Settled::Confirmed(1)) && taken);
    assert!(report.pending.len() == usize::from(closed) && report.unfinished.is_empty());
    assert!(!(taken && closed) || report.uncertain, "upstream has it, and the report is sure that it has not");
    assert!(matches!(replicator.commit(vec!["b"]), Err(CommitError::Stopped)));
    assert!(!matches!(replicator.status().push, Push::Sending { .. }), "a call goes on, and the driver is gone");
    assert!(replicator.into_log().is_some(), "the driver has left something behind");
}

/// Main commits and shuts down, as the driver is dropped after so many polls: the shutdown ends by itself.
pub fn a_driver_is_dropped_as_main_shuts_down(polls: usize) {
    let (replicator, upstream, drops) = dropped(polls);
    let ticket = replicator.commit(vec!["a"]).ok();
    let report = replicator.shutdown(Duration::MAX);
    loom::stop_exploring();
    drops.join().unwrap();
    let settled = ticket.as_ref().map(|ticket| ticket.settled().expect("a ticket was left open"));
    let (taken, closed) = (upstream.0.load(Ordering::Relaxed) > 0, settled == Some(Settled::Closed));
    assert!(report.pending.len() == usize::from(closed) && report.unfinished.is_empty());
    assert!(!(taken && closed) || report.uncertain, "upstream has it, and the report is sure that it has not");
}

/// Main commits and drops the handle, as the driver is dropped after so many polls.
pub fn a_driver_is_dropped_as_main_drops_the_handle(polls: usize) {
    let (replicator, upstream, drops) = dropped(polls);
    let ticket = replicator.commit(vec!["a"]).ok();
    drop(replicator);
    let settled = ticket.map(|ticket| ticket.wait());
    loom::stop_exploring();
    drops.join().unwrap();
    let taken = upstream.0.load(Ordering::Relaxed) > 0;
    assert!(matches!(settled, None | Some(Settled::Closed)) || settled == Some(Settled::Confirmed(1)) && taken);
}

/// A half is dropped on one thread; main waits for the end of the other, which is a task.
pub fn a_half_that_is_dropped_ends_the_other(direction: Direction) {
    let (replicator, driver) = Replicator::builder(Log::new(), Slow::default()).build_async(EndOfTime::default());
    let (push, pull) = driver.split();
    let (drops, runs): (Half, Half) = match direction {
        Direction::Push => (Box::pin(push), Box::pin(pull)),
        Direction::Pull => (Box::pin(pull), Box::pin(push)),
    };
    let drops = thread::spawn(move || drop(drops));
    let ticket = replicator.commit(vec!["a"]).ok();
    block_on(runs);
    drops.join().unwrap();
    loom::stop_exploring();
    assert!(ticket.is_none_or(|ticket| ticket.settled().is_some()), "a ticket was left open");
    assert!(replicator.shutdown(Duration::ZERO).unfinished.is_empty());
}

pub const PUSH: Direction = Direction::Push;
pub const PULL: Direction = Direction::Pull;

/// Main commits. Upstream takes the push at its second poll, and each poll asks for the next.
pub fn a_push_that_wakes_itself_is_polled_again() {
    let replicator = Driven::new(Replicator::builder(Log::new(), Slow::default()).build_async(EndOfTime::default()));
    let ticket = replicator.commit(vec!["a"]).unwrap();
    assert!(matches!(block_on(ticket.wait_async()), Settled::Confirmed(1)));
    replicator.ends();
}

/// Main commits, and drops the last handle at any moment of the push.
pub fn the_drop_of_the_last_handle_ends_the_driver() {
    let upstream = Slow::default();
    let replicator = Driven::new(Replicator::builder(Log::new(), upstream.clone()).build_async(EndOfTime::default()));
    let ticket = replicator.commit(vec!["a"]).unwrap();
    replicator.ends();
    loom::stop_exploring();
    let settled = ticket.settled().expect("a ticket was left open");
    let taken = upstream.0.load(Ordering::Relaxed) > 0;
    assert!(settled == Settled::Closed || settled == Settled::Confirmed(1) && taken);
}

/// A push hangs. Another client's event rebases what is in flight: the pulling half has the pushing one drop the call, in the
/// same task and after that has been polled.
pub fn a_rebase_ends_a_call_that_hangs() {
    let way = unexplored_bugs_and_all();
    let (upstream, clock) = (Memory::new(0), EndOfTime::default());
    upstream.fail_push(Fault::Hang);
    let (replicator, mut driver) =
        Replicator::builder(MemoryLog::rebasing(), upstream.clone()).build_async(clock.clone());
    let ticket = replicator.commit(vec!["a"]).unwrap();
    assert!(poll_once(&mut driver).is_pending());
    assert!(matches!(replicator.status().push, Push::Sending { .. }));
    drop(way);
    let replicator = Driven::new((replicator, driver));
    another_sends(&upstream, "b");
    clock.come();
    assert!(matches!(block_on(ticket.wait_async()), Settled::Confirmed(_)));
    drained(&replicator, &upstream, &["a", "b"]);
    replicator.ends();
}

/// As above, and it is the deadline that ends it, as time does.
pub fn a_push_that_hangs_ends_at_its_deadline() {
    let way = unexplored_bugs_and_all();
    let (upstream, clock) = (Memory::new(0), EndOfTime::default());
    upstream.fail_push(Fault::Hang);
    let builder = Replicator::builder(Log::new(), upstream.clone()).push_deadline(Duration::from_secs(1));
    let (replicator, driver) = builder.build_async(clock.clone());
    let replicator = Driven::new((replicator, driver));
    loom::thread::yield_now();
    drop(way);
    let ticket = replicator.commit(vec!["a"]).unwrap();
    clock.come();
    assert!(matches!(block_on(ticket.wait_async()), Settled::Confirmed(1)));
    drained(&replicator, &upstream, &["a"]);
    replicator.ends();
}

const SECOND: Duration = Duration::from_secs(1);

/// A push was refused for a second. That passes as another client's event arrives.
pub fn a_timer_that_fires_as_news_comes_leads_to_an_attempt() {
    let way = unexplored_bugs_and_all();
    let (clock, upstream) = (Seconds::default(), Memory::new(0));
    upstream.fail_push(Fault::Busy(SECOND));
    let builder = Replicator::builder(MemoryLog::new().with_pending(0, ["a"]), upstream.clone());
    let builder = builder.backoff(Backoff::new(SECOND, SECOND).with_jitter(0.0)).catch_up_grace(SECOND);
    let (replicator, mut driver) = builder.build_async(clock.clone());
    for _ in 0..2 {
        assert!(poll_once(&mut driver).is_pending());
    }
    assert!(matches!(replicator.status().push, Push::Waiting { .. }));
    drop(way);
    let replicator = Driven::new((replicator, driver));
    let theirs = upstream.clone();
    let other = thread::spawn(move || another_sends(&theirs, "b"));
    clock.tick();
    block_on(replicator.flush_async()).unwrap();
    other.join().unwrap();
    drained(&replicator, &upstream, &["a", "b"]);
    replicator.ends();
}

/// A push was refused, and a long wait begun. Main replaces the log by one whose event is to wait a second for more, and
/// polls: that is what the driver sleeps for now, as it moves to its thread.
pub fn a_reset_during_a_sleep_has_it_asked_anew() {
    let way = unexplored_bugs_and_all();
    let (clock, upstream) = (Seconds::default(), Memory::new(0));
    upstream.fail_push(Fault::DisconnectBefore);
    let builder = Replicator::builder(Log::new(), upstream.clone()).linger(SECOND);
    let builder = builder.backoff(Backoff::new(9 * SECOND, 9 * SECOND).with_jitter(0.0));
    let (replicator, mut driver) = builder.build_async(clock.clone());
    drop(replicator.commit(vec!["a"]).unwrap());
    for _ in 0..2 {
        assert!(poll_once(&mut driver).is_pending());
        clock.tick();
        assert!(poll_once(&mut driver).is_pending());
    }
    assert!(matches!(replicator.status().push, Push::Waiting { .. }), "{:?}", replicator.status());
    drop(way);
    replicator.reset(Log::new());
    drop(replicator.commit(vec!["b"]).unwrap());
    assert!(poll_once(&mut driver).is_pending());
    let replicator = Driven::new((replicator, driver));
    clock.tick();
    block_on(replicator.status_when(|status| status.pending == 0));
    drained(&replicator, &upstream, &["b"]);
    replicator.ends();
}

/// A task waits for an update as the driver merges one, and for another as everything ends.
pub fn an_update_wakes_the_task_that_waits_for_it() {
    let way = unexplored();
    let upstream = Memory::new(0);
    let (replicator, mut driver) = Replicator::builder(Log::new(), upstream.clone()).build_async(EndOfTime::default());
    assert!(poll_once(&mut driver).is_pending());
    let updates = replicator.updates();
    another_sends(&upstream, "b");
    drop(way);
    let replicator = Driven::new((replicator, driver));
    let update = block_on(updates.receiver.next()).unwrap();
    loom::stop_exploring();
    assert_eq!(update.upstream_head, 1);
    replicator.ends();
}

/// A task waits for an update as the replicator ends, after which there is none.
pub fn the_end_of_the_updates_wakes_the_task_that_waits_for_them() {
    let way = unexplored();
    let upstream = Memory::<Log>::new(0);
    let (replicator, mut driver) = Replicator::builder(Log::new(), upstream.clone()).build_async(EndOfTime::default());
    assert!(poll_once(&mut driver).is_pending());
    let updates = replicator.updates();
    replicator.stop();
    drop(way);
    let replicator = Driven::new((replicator, driver));
    assert!(block_on(updates.receiver.next()).err() == Some(RecvError::Closed));
    replicator.ends();
    loom::stop_exploring();
}
