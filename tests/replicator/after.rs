//! User code that runs after a step: all of it does, and none of it under the lock.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use latchwork::Interrupt;
use latchwork::log::{MemoryEntry, MemoryLog, MemoryLogError, Merged, Wrapper};
use latchwork::protocol::{Direction, Failure, Pull};
use latchwork::replicator::{RecvError, Status};
use latchwork::upstream::{Batch, Fault, Page, PullError, PushError, Upstream};

use super::*;
use crate::upstream::Hooked;

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker's")
    }
}

#[derive(Default)]
struct Counts(AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A future that was polled once, with this waker, and is not ready.
fn polled<T>(future: impl Future<Output = T>, waker: Waker) -> std::pin::Pin<Box<impl Future<Output = T>>> {
    let mut future = Box::pin(future);
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    future
}

fn panicking() -> Waker {
    Waker::from(Arc::new(Panics))
}

/// Nothing is pushed; one event is pending.
fn paused<L: Log<Event = u64>>(log: L, upstream: &Memory<L>) -> (Replicator<L>, Ticket<L::Position>) {
    let replicator = quick(log, upstream.clone()).one_shot_pull().start();
    eventually(|| replicator.status().counters.pages > 0);
    replicator.pause(Direction::Push);
    let ticket = replicator.commit(vec![1]).unwrap();
    (replicator, ticket)
}

fn says_panicked(status: &Status<u64>) -> bool {
    status.last_error.as_ref().is_some_and(|error| error.to_string() == "push: a panic in a waker or a drop: a waker's")
}

#[test]
fn last_error_shows_a_waker_that_panicked_and_pushing_goes_on() {
    let upstream = Memory::new(0).one_shot();
    let (replicator, first) = paused(MemoryLog::new(), &upstream);
    let _waits = [polled(first.wait_async(), panicking())];
    let _flushes = [polled(replicator.flush_async(), panicking())];
    replicator.resume(Direction::Push);
    confirmed(&first);
    eventually(|| says_panicked(&replicator.status()));
    confirmed(&replicator.commit(vec![2]).unwrap());
    eventually(|| replicator.status().last_error.is_none());
    assert_eq!(upstream.len(), 2);
}

#[test]
fn a_waker_that_panics_keeps_no_other_asleep() {
    let upstream = Memory::new(0).one_shot();
    let (replicator, ticket) = paused(MemoryLog::new(), &upstream);
    let counts = Arc::new(Counts::default());
    let counting = || Waker::from(Arc::clone(&counts));
    let _flushes = [panicking(), counting(), panicking()].map(|waker| polled(replicator.flush_async(), waker));
    let _waits = [counting(), panicking(), counting()].map(|waker| polled(ticket.wait_async(), waker));
    replicator.resume(Direction::Push);
    eventually(|| counts.0.load(Ordering::Relaxed) == 3);
}

#[test]
fn a_reset_that_wakes_a_waker_that_panics_is_done_before_it_panics() {
    let upstream = Memory::new(0).one_shot();
    let (replicator, ticket) = paused(MemoryLog::new(), &upstream);
    let counts = Arc::new(Counts::default());
    let _flush = polled(replicator.flush_async(), panicking());
    let _wait = polled(ticket.wait_async(), Waker::from(Arc::clone(&counts)));
    let updates = replicator.updates();
    let reset = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        replicator.reset(MemoryLog::new().with_pending(7, []));
    }));
    assert_eq!(reset.unwrap_err().downcast_ref(), Some(&"a waker's"));
    assert_eq!((ticket.settled(), counts.0.load(Ordering::Relaxed)), (Some(Settled::Closed), 1));
    assert_eq!((updates.receiver.try_recv().unwrap_err(), replicator.status().head), (RecvError::Replaced, 7));
}

#[test]
fn a_shutdown_that_wakes_a_waker_that_panics_says_so_in_its_report() {
    let upstream = Memory::new(0);
    let gate = Arc::new(Latch::new());
    let held = Arc::clone(&gate);
    let hooked = Hooked::new(&upstream).before_push(move |_, _, _| {
        pass(&held);
        Ok(())
    });
    let replicator = quick(MemoryLog::new(), hooked).start();
    let ticket = replicator.commit(vec![1]).unwrap();
    eventually(|| replicator.status().counters.pushes == 1);
    let _wait = polled(ticket.wait_async(), panicking());
    let left = replicator.shutdown(SHORT);
    let failed = left.failure.as_ref().map(ToString::to_string);
    assert_eq!(failed.as_deref(), Some("a panic in a waker or a drop: a waker's"));
    assert_eq!((left.pending.len(), ticket.settled()), (1, Some(Settled::Closed)));
    gate.open();
}

#[test]
fn shutdown_reports_all_although_a_waker_panicked_at_the_end() {
    let upstream = Memory::new(0).one_shot();
    let (replicator, ticket) = paused(MemoryLog::new(), &upstream);
    let _wait = polled(ticket.wait_async(), panicking());
    replicator.stop();
    block_on(replicator.stopped());
    let left = replicator.shutdown(Duration::ZERO);
    assert_eq!((left.pending.len(), replicator.into_log().as_ref().map(Log::pending)), (1, Some(1)));
    assert_eq!(ticket.settled(), Some(Settled::Closed));
}

#[test]
fn a_drop_of_a_replicator_with_a_waker_that_panics_does_not_panic() {
    let upstream = Memory::new(0).one_shot();
    let (replicator, ticket) = paused(MemoryLog::new(), &upstream);
    let _wait = polled(ticket.wait_async(), panicking());
    drop(replicator);
    assert_eq!(ticket.settled(), Some(Settled::Closed));
}

/// A push waits for its interrupt in code of its own, with a waker that panics, until it is let go.
#[test]
fn an_interrupts_waker_that_panics_keeps_no_ticket_asleep() {
    let upstream = Memory::new(0);
    let (sending, gate) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
    let hooked = {
        let (sending, gate) = (Arc::clone(&sending), Arc::clone(&gate));
        Hooked::new(&upstream).before_push(move |push, _, interrupt: &Interrupt| {
            if push == 1 {
                let _wait = polled(interrupt.wait_async(), panicking());
                sending.open();
                pass(&gate);
            }
            Ok(())
        })
    };
    let replicator = quick(MemoryLog::rebasing(), hooked).start();
    let tickets = [1, 2].map(|event| replicator.commit(vec![event]).unwrap());
    let counts = Arc::new(Counts::default());
    let _wait = polled(tickets[0].wait_async(), Waker::from(Arc::clone(&counts)));
    pass(&sending);
    // It confirms the first and rebases the second, and the push in flight can only be rejected.
    upstream.append([(1, 1), (2, 99)].map(|(position, event)| MemoryEntry { position, event }));
    eventually(|| counts.0.load(Ordering::Relaxed) == 1);
    eventually(|| replicator.status().last_error.is_some());
    let error = replicator.status().last_error.unwrap();
    assert_eq!(error.to_string(), "pull: a panic in a waker or a drop: a waker's");
    gate.open();
    confirmed(&tickets[1]);
}

/// Calls back wherever it is formatted, cloned or dropped, while there is a replicator to call.
type CallBack<L> = Arc<Mutex<std::sync::Weak<Replicator<L>>>>;

fn calls_back<L: Log>(to: &CallBack<L>) {
    let replicator = to.lock().unwrap().upgrade();
    if let Some(replicator) = replicator {
        let _status = replicator.status();
        // It may be the last.
        std::mem::forget(replicator);
    }
}

/// Asserts that a replicator still answers: no thread waits under its lock.
#[track_caller]
fn still_answers<L: Log<Position: std::fmt::Debug>>(replicator: &Arc<Replicator<L>>) -> Status<L::Position> {
    let (send, receive) = channel();
    let asked = Arc::clone(replicator);
    std::thread::spawn(move || {
        let _late = send.send(asked.status());
        std::mem::forget(asked);
    });
    let answer = receive.recv_timeout(LONG);
    answer.expect("a call back under the lock")
}

type Event = Loud;
type Events = MemoryLog<Event>;

/// An event, of which each copy calls back when it is dropped. (The original is silent: what the log itself keeps, its own
/// methods drop.)
#[derive(Debug)]
struct Loud(u64, CallBack<MemoryLog<Loud>>, bool);

impl Clone for Loud {
    fn clone(&self) -> Self {
        Self(self.0, Arc::clone(&self.1), true)
    }
}

impl PartialEq for Loud {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Drop for Loud {
    fn drop(&mut self) {
        if self.2 {
            calls_back(&self.1);
        }
    }
}

/// A replicator of such events on this upstream, known to each of them.
fn loud(upstream: impl Upstream<Events>, log: Events) -> (Arc<Replicator<Events>>, CallBack<Events>) {
    let replicator = Arc::new(quick(log, upstream).max_unread(2.try_into().unwrap()).start());
    let back = Arc::new(Mutex::new(Arc::downgrade(&replicator)));
    (replicator, back)
}

/// Nothing is called back any more, and it can be dropped.
fn end(replicator: Arc<Replicator<Events>>, back: &CallBack<Events>) {
    *back.lock().unwrap() = std::sync::Weak::new();
    // Handles that were forgotten keep it; what it waits for has ended.
    replicator.stop();
    block_on(replicator.stopped());
}

fn event(number: u64, back: &CallBack<Events>) -> Event {
    Loud(number, Arc::clone(back), false)
}

fn entry(position: u64, number: u64, back: &CallBack<Events>) -> MemoryEntry<Event> {
    MemoryEntry { position, event: event(number, back) }
}

#[test]
fn events_without_a_subscriber_are_not_dropped_under_the_lock() {
    let upstream = Memory::new(0);
    let (replicator, back) = loud(upstream.clone(), MemoryLog::new());
    upstream.append([entry(1, 1, &back)]);
    eventually(|| still_answers(&replicator).upstream_head == 1);
    confirmed(&replicator.commit(vec![event(2, &back)]).unwrap());
    assert_eq!(still_answers(&replicator).upstream_head, 2);
    end(replicator, &back);
}

#[test]
fn stale_pages_and_batches_are_not_dropped_under_the_lock() {
    let upstream = Memory::new(0);
    let (replicator, back) = loud(upstream.clone(), MemoryLog::rebasing());
    for fault in [Fault::Reject, Fault::DisconnectBefore, Fault::DisconnectAfter, Fault::Panic] {
        upstream.fail_push(fault);
        upstream.fail_pull(Fault::DuplicatePage);
        let head = upstream.len() as u64;
        upstream.append([entry(head + 1, head, &back)]);
        let ticket = replicator.commit(vec![event(100 + head, &back)]).unwrap();
        eventually(|| {
            replicator.restart();
            let _status = still_answers(&replicator);
            ticket.settled().is_some()
        });
    }
    end(replicator, &back);
}

#[test]
fn updates_not_received_are_not_dropped_under_the_lock() {
    let upstream = Memory::new(0);
    let (replicator, back) = loud(upstream.clone(), MemoryLog::new());
    let lagging = replicator.updates();
    for number in 1..=20 {
        let gone = replicator.updates();
        upstream.append([entry(number, number, &back)]);
        drop(gone);
        eventually(|| still_answers(&replicator).upstream_head == number);
    }
    assert_eq!(lagging.receiver.recv().unwrap_err(), RecvError::Lagged);
    end(replicator, &back);
}

#[test]
fn a_commit_that_is_refused_once_stopped_is_not_dropped_under_the_lock() {
    let (replicator, back) = loud(Memory::new(0), MemoryLog::new());
    replicator.stop();
    let refused = replicator.commit(vec![event(1, &back).clone()]);
    assert!(refused.is_err());
    still_answers(&replicator);
    end(replicator, &back);
}

/// An error, and the payload of a panic, that call back when they are formatted or dropped.
struct Noisy(CallBack<MemoryLog<u64>>);

impl std::fmt::Debug for Noisy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        calls_back(&self.0);
        f.write_str("noise")
    }
}

impl std::fmt::Display for Noisy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Noisy {}

impl Drop for Noisy {
    fn drop(&mut self) {
        calls_back(&self.0);
    }
}

/// Each push and each pull fails in another way than the one before.
struct Failing {
    back: CallBack<MemoryLog<u64>>,
    calls: [AtomicUsize; 2],
}

impl Upstream<MemoryLog<u64>> for Failing {
    fn push(&self, _: &Batch<MemoryLog<u64>>, _: &Interrupt) -> Result<(), PushError<u64>> {
        let error = || Noisy(Arc::clone(&self.back)).into();
        let kind = latchwork::upstream::FatalKind::Other;
        match self.calls[0].fetch_add(1, Ordering::Relaxed) % 4 {
            0 => Err(PushError::Unavailable { retry_after: None, error: error() }),
            1 => Err(PushError::Uncertain { error: error() }),
            2 => Err(PushError::Fatal { kind, error: error() }),
            _ => std::panic::panic_any(Noisy(Arc::clone(&self.back))),
        }
    }

    fn pull<'a>(
        &'a self,
        _: u64,
        _: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<MemoryEntry<u64>>, PullError>> + 'a {
        let error = || Noisy(Arc::clone(&self.back)).into();
        let kind = latchwork::upstream::FatalKind::Other;
        std::iter::once_with(move || match self.calls[1].fetch_add(1, Ordering::Relaxed) % 4 {
            0 => Err(PullError::Unavailable { retry_after: None, error: error() }),
            1 => Err(PullError::Fatal { kind, error: error() }),
            2 => std::panic::panic_any(Noisy(Arc::clone(&self.back))),
            _ => Ok(Page { entries: Vec::new(), more: latchwork::upstream::More::None }),
        })
    }
}

#[test]
fn an_error_is_neither_formatted_nor_dropped_under_the_lock() {
    let back = CallBack::default();
    let failing = Failing { back: Arc::clone(&back), calls: Default::default() };
    let replicator = Arc::new(quick(MemoryLog::new(), failing).start());
    *back.lock().unwrap() = Arc::downgrade(&replicator);
    replicator.commit(vec![1]).unwrap();
    let all = Instant::now() + LONG;
    loop {
        let status = still_answers(&replicator);
        // Said here, where nothing is in the way.
        let _words = (status.to_string(), status.last_error.map(|error| error.to_string()));
        let counters = status.counters;
        if counters.pushes > 8 && counters.pulls > 8 {
            break;
        }
        assert!(Instant::now() < all, "{counters:?}");
        replicator.restart();
        replicator.reset(MemoryLog::new().with_pending(0, [1]));
    }
    *back.lock().unwrap() = std::sync::Weak::new();
    replicator.stop();
    block_on(replicator.stopped());
}

/// A log whose `merge` asks its own replicator how things stand.
#[cfg(debug_assertions)]
#[test]
fn a_log_that_calls_its_own_replicator_fails_visibly_in_a_debug_build() {
    struct Asks(MemoryLog<u64>, CallBack<Asks>);

    impl Wrapper for Asks {
        type Log = MemoryLog<u64>;

        fn inner(&self) -> &MemoryLog<u64> {
            &self.0
        }
        fn inner_mut(&mut self) -> &mut MemoryLog<u64> {
            &mut self.0
        }
        fn merge(&mut self, page: Vec<MemoryEntry<u64>>) -> Result<Merged<MemoryEntry<u64>>, MemoryLogError> {
            calls_back(&self.1);
            self.0.merge(page)
        }
    }

    let (upstream, back) = (Memory::new(0), CallBack::default());
    let replicator = Arc::new(quick(Asks(MemoryLog::new(), Arc::clone(&back)), upstream.clone()).start());
    *back.lock().unwrap() = Arc::downgrade(&replicator);
    upstream.append([MemoryEntry { position: 1, event: 1 }]);
    let waits_for_itself = "this thread would wait for itself";
    eventually(|| match still_answers(&replicator).pull {
        Pull::Failed { error: Failure::Panicked { message } } => message.contains(waits_for_itself),
        _ => false,
    });
    let looks = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| replicator.with_log(|_| replicator.status())));
    assert!(looks.unwrap_err().downcast_ref::<&str>().is_some_and(|said| said.contains(waits_for_itself)));
    *back.lock().unwrap() = std::sync::Weak::new();
    replicator.restart();
    eventually(|| still_answers(&replicator).upstream_head == 1);
}

/// Commits of one group are told together: one with nothing to send, issued while a task waits for another, wakes it.
#[test]
fn wait_async_of_a_ticket_outlives_a_commit_with_nothing_to_send() {
    let replicator = quick(State::default(), empty_upstream()).start();
    replicator.pause(latchwork::protocol::Direction::Push);
    let sent = replicator.commit(items(1, 0..1)).unwrap();
    let counts = Arc::new(Counts::default());
    let waker = Waker::from(Arc::clone(&counts));
    let mut wait = pin!(sent.wait_async());
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let local = Item { client: 1, number: 1, local_only: true };
    let _settled = replicator.commit(vec![local]).unwrap();
    // Woken for the other commit, the task looks again and waits on.
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let before = counts.0.load(Ordering::Relaxed);
    replicator.resume(latchwork::protocol::Direction::Push);
    confirmed(&sent);
    eventually(|| counts.0.load(Ordering::Relaxed) > before);
}
