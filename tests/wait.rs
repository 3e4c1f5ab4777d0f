//! One [`Wait`] for everything that waits: each ends in each of its ways, for threads and for tasks.
#![cfg(not(loom))]

use std::fmt::Debug;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use latchwork::log::MemoryLog;
use latchwork::protocol::Direction;
use latchwork::upstream::{Fault, Memory};
use latchwork::{
    Backoff, Cause, Epoch, Interrupt, Interrupted, Latch, Replicator, Run, Settled, Ticket, Wait, Waitable, Waited,
    Worker,
};

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(60);

/// Counts how often it is woken.
#[derive(Default)]
struct Counts(AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A wait that has been polled in vain, and what it wakes.
fn polled<S: Waitable>(mut wait: Wait<S>) -> (Wait<S>, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    assert!(poll(&mut wait, &counts).is_pending());
    (wait, counts)
}

fn poll<S: Waitable>(wait: &mut Wait<S>, counts: &Arc<Counts>) -> Poll<S::Output> {
    Pin::new(wait).poll(&mut Context::from_waker(&Waker::from(Arc::clone(counts))))
}

/// A wait for what has not come ends by the clock, by an interrupt and by being dropped; once `come` has brought it
/// about, all those that wait end, and so does each that begins.
#[track_caller]
fn ends_in_each_way<S: Waitable>(wait: impl Fn() -> Wait<S> + Sync, come: impl FnOnce())
where
    S::Output: Debug + PartialEq + Send,
{
    let (set, unset) = (Interrupt::new(), Interrupt::new());
    set.set(Cause::Stop);
    assert_eq!(wait().wait_timeout(Duration::ZERO), Waited::TimedOut);
    assert_eq!(wait().wait_timeout(SHORT), Waited::TimedOut);
    assert_eq!(wait().wait_deadline(Instant::now()), Waited::TimedOut);
    assert_eq!(wait().wait_or(&unset, Instant::now() + SHORT), Waited::TimedOut);
    assert_eq!(wait().wait_or(&set, None), Waited::Interrupted(Cause::Stop));

    let ((mut task, woken), (thread, _), (timed_out, left), (dropped, gone)) =
        (polled(wait()), polled(wait()), polled(wait()), polled(wait()));
    assert_eq!(timed_out.wait_timeout(Duration::ZERO), Waited::TimedOut);
    drop(dropped);
    assert_eq!([left, gone].map(|counts| Arc::strong_count(&counts)), [1, 1], "a wait that gave up has left its waker");
    let threads = thread::scope(|scope| {
        let waits = [
            scope.spawn(|| Waited::Ready(wait().wait())),
            scope.spawn(|| wait().wait_timeout(LONG)),
            scope.spawn(|| wait().wait_deadline(Instant::now() + LONG)),
            scope.spawn(|| wait().wait_or(&unset, None)),
        ];
        thread::sleep(SHORT);
        come();
        waits.map(|thread| thread.join().unwrap().ready().expect("it has come"))
    });
    let came = thread.wait();
    assert!(threads.iter().all(|told| *told == came), "{threads:?} and {came:?}");
    assert_eq!(woken.0.load(Ordering::Relaxed), 1, "how often the task was woken");
    assert_eq!(poll(&mut task, &woken).map(|told| told == came), Poll::Ready(true));

    let (mut later, counts) = (wait(), Arc::default());
    assert_eq!(poll(&mut later, &counts).map(|told| told == came), Poll::Ready(true));
    let told = [
        wait().wait_timeout(Duration::ZERO),
        wait().wait_deadline(Instant::now()),
        wait().wait_or(&set, Instant::now()),
        Waited::Ready(wait().wait()),
    ];
    assert_eq!(told.map(|told| told.ready().map(|told| told == came)), [Some(true); 4]);
}

#[test]
fn opened_ends_in_each_way() {
    let latch = Latch::new();
    ends_in_each_way(|| latch.opened(), || assert!(latch.open()));
}

#[test]
fn opened_is_over_for_a_waiter_that_was_let_through() {
    let latch = Latch::new();
    let ((first, _), (second, _), (third, _)) =
        (polled(latch.opened()), polled(latch.opened()), polled(latch.opened()));
    assert_eq!(latch.release(), 3);
    first.wait();
    assert_eq!(second.wait_timeout(Duration::ZERO), Waited::Ready(()));
    let interrupt = Interrupt::new();
    interrupt.set(Cause::Stop);
    assert_eq!(third.wait_or(&interrupt, Instant::now()), Waited::Ready(()));
    assert_eq!(latch.opened().wait_timeout(Duration::ZERO), Waited::TimedOut, "it is closed");
}

#[test]
fn past_ends_in_each_way() {
    let epoch = Epoch::new();
    ends_in_each_way(|| epoch.past(0), || assert_eq!(epoch.bump(), 1));
}

#[test]
fn triggered_ends_in_each_way() {
    let interrupt = Interrupt::new();
    ends_in_each_way(|| interrupt.triggered(), || assert!(interrupt.set(Cause::Other("it has come"))));
}

#[test]
fn idle_ends_in_each_way() {
    let end = Arc::new(Latch::new());
    let theirs = Arc::clone(&end);
    let body = move |_: &Run| {
        theirs.wait();
        Ok::<(), Interrupted>(())
    };
    let worker = Worker::spawn("busy", body).unwrap();
    ends_in_each_way(|| worker.idle(), || assert!(end.open()));
}

#[test]
fn stopped_of_a_worker_ends_in_each_way() {
    let worker = Worker::spawn("idle", |_: &Run| Ok::<(), Interrupted>(())).unwrap();
    worker.idle().wait();
    ends_in_each_way(|| worker.stopped(), || assert!(worker.stop()));
    assert!(worker.stopped().wait().stopping);
}

/// A replicator with a commit whose push has failed, and which does not try again by itself.
fn offline() -> (Replicator<MemoryLog<&'static str>>, Ticket<u64>) {
    let upstream = Memory::new(0);
    upstream.fail_push(Fault::DisconnectBefore);
    let backoff = Backoff::new(LONG, LONG);
    let replicator = Replicator::builder(MemoryLog::new(), upstream).backoff(backoff).spawn().unwrap();
    let ticket = replicator.commit(vec!["milk"]).unwrap();
    let deadline = Instant::now() + LONG;
    while replicator.status().counters.unavailable == 0 {
        assert!(Instant::now() < deadline, "its push does not fail");
        thread::yield_now();
    }
    (replicator, ticket)
}

#[test]
fn outcome_ends_in_each_way() {
    let (replicator, ticket) = offline();
    ends_in_each_way(|| ticket.outcome(), || replicator.retry_now());
    assert_eq!(ticket.clone().into_future().wait(), Settled::Confirmed(1));
}

#[test]
fn flushed_ends_in_each_way() {
    let (replicator, _ticket) = offline();
    ends_in_each_way(|| replicator.flushed(), || replicator.retry_now());
}

#[test]
fn flushed_waits_for_what_was_committed_before_it_began() {
    let (replicator, _ticket) = offline();
    let (before, _) = polled(replicator.flushed());
    replicator.retry_now();
    replicator.flush(LONG).unwrap();
    replicator.pause(Direction::Push);
    replicator.commit(vec!["bread"]).unwrap();
    assert_eq!(before.wait(), Ok(()), "it does not wait for what came later");
    replicator.stop();
    let error = replicator.flushed().wait().unwrap_err();
    assert_eq!(error.pending, 1);
}

#[test]
fn stopped_of_a_replicator_ends_in_each_way() {
    let replicator = Replicator::builder(MemoryLog::<u8>::new(), Memory::new(0)).spawn().unwrap();
    ends_in_each_way(|| replicator.stopped(), || replicator.stop());
}

/// A ticket's wait borrows nothing: a task that has it can be spawned.
#[test]
fn outcome_can_be_sent_and_outlives_its_ticket() {
    fn spawned<T: Send + 'static>(task: T) -> T {
        task
    }
    let replicator = Replicator::builder(MemoryLog::new(), Memory::new(0)).spawn().unwrap();
    let wait = spawned(replicator.commit(vec!["milk"]).unwrap().outcome());
    drop(replicator);
    assert!(matches!(thread::spawn(move || wait.wait()).join().unwrap(), Settled::Confirmed(1) | Settled::Closed));
}
