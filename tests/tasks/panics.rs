//! Code of the user's that panics where the driver calls it: contained, or the driver's end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::task::Wake;

use latchwork::journal::{AsyncJournal, Change};
use latchwork::log::Log as _;
use latchwork::protocol::{Failure, Push, WaitingOn};
use latchwork::replicator::{CommitError, Status, Timer};
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, Fault, Page, PullError, PushError};
use latchwork::{Settled, Ticket};

use super::*;

/// Where an upstream panics, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the push's future exists.
    Push,
    /// In a drop of the push's future that has not ended.
    DropOfPush,
    /// Before the pull exists.
    Pull,
    /// In a poll for a page.
    Page,
    /// In the drop of a page's future that has not ended.
    DropOfPage,
    /// In the drop of the pull.
    DropOfPull,
    /// In the drop of the upstream.
    DropOfUpstream,
}

/// Panics at one place, once it is armed.
#[derive(Clone)]
struct Trap {
    at: At,
    armed: Arc<AtomicBool>,
}

impl Trap {
    fn new(at: At) -> Self {
        Self { at, armed: Arc::new(AtomicBool::new(true)) }
    }

    fn spring(&self, at: At) {
        assert!(at != self.at || !self.armed.swap(false, Ordering::SeqCst), "sprung");
    }
}

/// Panics as it is dropped.
struct Dropped(Trap, At);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.spring(self.1);
    }
}

struct Trapped {
    memory: Memory<Log>,
    trap: Trap,
    _dropped: Dropped,
}

struct TrappedPull<'a> {
    pages: <Memory<Log> as AsyncUpstream<Log>>::Pull<'a>,
    trap: Trap,
    _dropped: Dropped,
}

impl Trapped {
    fn new(memory: &Memory<Log>, at: At) -> Self {
        let trap = Trap::new(at);
        let dropped = Dropped(trap.clone(), At::DropOfUpstream);
        Self { memory: memory.clone(), trap, _dropped: dropped }
    }
}

impl AsyncUpstream<Log> for Trapped {
    type Pull<'a> = TrappedPull<'a>;

    fn push(&self, batch: &Batch<Log>) -> impl Future<Output = Result<(), PushError<u64>>> {
        self.trap.spring(At::Push);
        async {
            let dropped = Dropped(self.trap.clone(), At::DropOfPush);
            let outcome = AsyncUpstream::push(&self.memory, batch).await;
            std::mem::forget(dropped);
            outcome
        }
    }

    fn pull(&self, cursor: u64) -> TrappedPull<'_> {
        self.trap.spring(At::Pull);
        let dropped = Dropped(self.trap.clone(), At::DropOfPull);
        TrappedPull { pages: AsyncUpstream::pull(&self.memory, cursor), trap: self.trap.clone(), _dropped: dropped }
    }
}

impl AsyncPull<Log> for TrappedPull<'_> {
    async fn next_page(&mut self) -> Option<Result<Page<MemoryEntry<u64>>, PullError>> {
        self.trap.spring(At::Page);
        let dropped = Dropped(self.trap.clone(), At::DropOfPage);
        let page = self.pages.next_page().await;
        std::mem::forget(dropped);
        page
    }
}

fn said(failure: &Failure) -> String {
    match failure {
        Failure::Panicked { message } => message.clone(),
        other => panic!("no panic: {other}"),
    }
}

/// Of which direction the owner hears that it has panicked, and what.
fn failed(status: &Status<u64>) -> Option<String> {
    [&status.waiting_on, &status.pull_waiting_on].into_iter().find_map(|waiting_on| match waiting_on {
        WaitingOn::Owner(failure) => Some(said(failure)),
        _ => None,
    })
}

#[test]
fn a_call_that_panics_anywhere_is_a_failure_of_its_direction_and_restart_goes_on() {
    run(async {
        for (at, words) in [
            (At::Push, "AsyncUpstream::push: sprung"),
            (At::DropOfPush, "AsyncUpstream::push: sprung"),
            (At::Pull, "AsyncUpstream::pull: sprung"),
            (At::Page, "AsyncUpstream::pull: sprung"),
            (At::DropOfPage, "AsyncUpstream::pull: sprung"),
            (At::DropOfPull, "AsyncUpstream::pull: sprung"),
        ] {
            let upstream = Memory::new(0);
            upstream.fail_push(Fault::Hang);
            let (replicator, driver) = quick(Trapped::new(&upstream, at)).build_async(tokio::time::sleep);
            tokio::task::spawn_local(driver);
            let ticket = replicator.commit(vec![1]).unwrap();
            if at != At::Push {
                replicator.status_when(|status| matches!(status.push, Push::Sending { .. })).await;
            }
            // What goes on in either direction is dropped.
            replicator.reconnect();
            let status = replicator.status_when(|status| failed(status).is_some()).await.unwrap();
            assert_eq!(failed(&status).unwrap(), words, "{at:?}");
            replicator.restart();
            if at == At::Push {
                // The fault has not been used up.
                replicator.status_when(|status| matches!(status.push, Push::Sending { .. })).await;
                replicator.reconnect();
            }
            assert_eq!(ticket.await, Settled::Confirmed(1), "{at:?}");
            assert_eq!(upstream.len(), 1, "{at:?}");
        }
    });
}

#[test]
fn dropping_a_driver_whose_calls_panic_as_they_are_dropped_closes_everything() {
    for at in [At::DropOfPush, At::DropOfPage, At::DropOfPull, At::DropOfUpstream] {
        let upstream = Memory::new(0);
        upstream.fail_push(Fault::Hang);
        let trapped = Trapped::new(&upstream, at);
        let trap = trapped.trap.clone();
        let (replicator, mut driver) = quick(trapped).build_async(|_| std::future::pending());
        let ticket = replicator.commit(vec![1]).unwrap();
        assert!(poll_once(&mut driver).is_pending());
        drop(driver);
        assert!(!trap.armed.load(Ordering::SeqCst), "{at:?} was not reached");
        assert_eq!(ticket.wait(), Settled::Closed, "{at:?}");
        let report = replicator.shutdown(LONG);
        assert_eq!((report.pending.len(), report.uncertain, report.unfinished.len()), (1, true, 0), "{at:?}");
    }
}

#[test]
fn an_upstream_that_panics_as_it_is_dropped_ends_a_driver_in_peace() {
    let trapped = Trapped::new(&Memory::new(0), At::DropOfUpstream);
    let trap = trapped.trap.clone();
    let (replicator, mut driver) = quick(trapped).build_async(|_| std::future::pending());
    replicator.stop();
    assert!(poll_once(&mut driver).is_ready());
    assert!(!trap.armed.load(Ordering::SeqCst));
    assert!(replicator.shutdown(LONG).is_clean());
}

/// Polls a driver that panics, and keeps it: a runtime drops it, another owner may not.
fn poll_that_panics<F: Future + Unpin>(driver: &mut F) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(|| poll_once(driver))) else { panic!("it did not panic") };
    payload.downcast_ref::<&str>().map_or_else(String::new, |said| (*said).to_owned())
}

/// What the end of a driver leaves behind.
fn has_ended(replicator: Replicator<Log>, ticket: &Ticket<u64>) {
    assert_eq!(ticket.settled(), Some(Settled::Closed));
    assert!(matches!(replicator.commit(vec![2]), Err(CommitError::Stopped)));
    let report = replicator.shutdown(LONG);
    assert_eq!((report.pending.len(), report.uncertain, report.unfinished.len()), (1, false, 0));
    assert!(replicator.into_log().is_some());
}

#[test]
fn a_timer_that_panics_comes_out_of_the_driver_which_has_ended_then() {
    let memory = Memory::new(0);
    memory.fail_push(Fault::DisconnectBefore);
    let timer = |_| -> std::future::Ready<()> { panic!("no timer") };
    let (replicator, mut driver) = quick(memory).build_async(timer);
    let ticket = replicator.commit(vec![1]).unwrap();
    assert_eq!(poll_that_panics(&mut driver), "no timer");
    has_ended(replicator, &ticket);
    assert!(poll_once(&mut driver).is_ready());
}

#[test]
fn a_timer_that_panics_in_a_half_ends_the_other() {
    let memory = Memory::new(0);
    memory.fail_push(Fault::DisconnectBefore);
    let timer = |_| -> std::future::Ready<()> { panic!("no timer") };
    let (replicator, driver) = quick(memory).build_async(timer);
    let ticket = replicator.commit(vec![1]).unwrap();
    let (push, pull) = driver.split();
    let (mut push, mut pull) = (Box::pin(push), Box::pin(pull));
    assert!(poll_once(&mut pull).is_pending());
    assert_eq!(poll_that_panics(&mut push), "no timer");
    assert!(poll_once(&mut push).is_ready() && poll_once(&mut pull).is_ready());
    has_ended(replicator, &ticket);
}

#[test]
fn a_timer_that_is_always_ready_lets_other_tasks_run() {
    run(async {
        let upstream = Memory::new(0);
        upstream.fail_push(Fault::Busy(SHORT));
        upstream.fail_pull(Fault::Busy(SHORT));
        let (replicator, driver) = quick(upstream).build_async(|_| std::future::ready(()));
        tokio::task::spawn_local(driver);
        let begun = std::time::Instant::now();
        assert_eq!(replicator.commit(vec![1]).unwrap().await, Settled::Confirmed(1));
        assert!(begun.elapsed() >= SHORT, "its clock says when");
    });
}

/// Its sleeps have no end, and its clock panics while it is broken.
#[derive(Clone, Default)]
struct Clock {
    broken: Arc<AtomicBool>,
}

impl Clock {
    fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }
}

impl Timer for Clock {
    type Sleep = std::future::Pending<()>;

    fn sleep(&self, _: Duration) -> Self::Sleep {
        std::future::pending()
    }

    fn clock(&self) -> Option<impl Fn() -> Duration + Send + Sync + 'static> {
        let broken = Arc::clone(&self.broken);
        Some(move || if broken.load(Ordering::SeqCst) { panic!("no clock") } else { Duration::ZERO })
    }
}

#[test]
fn a_clock_that_panics_comes_out_of_the_driver_which_has_ended_then() {
    let (memory, clock) = (Memory::new(0), Clock::default());
    let (replicator, mut driver) = quick(memory.clone()).build_async(clock.clone());
    let ticket = replicator.commit(vec![1]).unwrap();
    clock.set_broken(true);
    assert_eq!(poll_that_panics(&mut driver), "no clock");
    assert!(poll_once(&mut driver).is_ready());
    clock.set_broken(false);
    has_ended(replicator, &ticket);

    // During a push: the pull's page has the clock read.
    memory.fail_push(Fault::Hang);
    let (replicator, mut driver) = quick(memory.clone()).build_async(clock.clone());
    let ticket = replicator.commit(vec![1]).unwrap();
    assert!(poll_once(&mut driver).is_pending());
    // And a waker panics as the calls are reported that the driver drops.
    let mut changed = replicator.status_changed(replicator.status().revision);
    let waker = Waker::from(Arc::new(Panics));
    assert!(Pin::new(&mut changed).poll(&mut Context::from_waker(&waker)).is_pending());
    clock.set_broken(true);
    foreign(&memory, 1);
    assert_eq!(poll_that_panics(&mut driver), "no clock");
    assert_eq!(ticket.wait(), Settled::Closed);
    let report = replicator.shutdown(LONG);
    assert_eq!((report.pending.len(), report.uncertain, report.unfinished.len()), (1, true, 0));
}

#[test]
fn a_clock_that_panics_comes_out_of_the_method_which_has_done_nothing() {
    let (memory, clock) = (Memory::new(0), Clock::default());
    let (replicator, mut driver) = quick(memory).build_async(clock.clone());
    assert!(poll_once(&mut driver).is_pending());
    clock.set_broken(true);
    let commit = || catch_unwind(AssertUnwindSafe(|| replicator.commit(vec![1])));
    assert_eq!(commit().err().and_then(|payload| payload.downcast_ref().copied()), Some("no clock"));
    assert_eq!(replicator.with_log(|log| log.pending()), 0);
    clock.set_broken(false);
    let ticket = commit().unwrap().unwrap();
    assert!(poll_once(&mut driver).is_pending());
    assert_eq!(ticket.settled(), Some(Settled::Confirmed(1)));
}

#[test]
fn what_stops_a_driver_stops_it_whatever_its_clock_does() {
    for ends in [End::Driver, End::Stop, End::Handle] {
        let (memory, clock) = (Memory::new(0), Clock::default());
        memory.fail_push(Fault::Hang);
        let (replicator, mut driver) = quick(memory).build_async(clock.clone());
        let ticket = replicator.commit(vec![1]).unwrap();
        assert!(poll_once(&mut driver).is_pending());
        clock.set_broken(true);
        match ends {
            End::Driver => {
                drop(driver);
                assert!(replicator.shutdown(LONG).uncertain);
                clock.set_broken(false);
                let status = replicator.status();
                assert!(matches!(status.push, Push::Idle | Push::Uncertain { .. }), "its end was reported: {status}");
            }
            End::Stop => {
                replicator.stop();
                assert_eq!(poll_that_panics(&mut driver), "no clock");
                assert!(replicator.shutdown(LONG).uncertain);
            }
            End::Handle => {
                drop(replicator);
                drop(driver);
            }
        }
        assert_eq!(ticket.wait(), Settled::Closed, "{ends:?}");
    }
}

/// A journal that never has written.
struct Silent;

impl AsyncJournal<Log> for Silent {
    type Error = std::convert::Infallible;

    async fn write(&mut self, _: &[Change<MemoryEntry<u64>, u64>]) -> Result<(), Self::Error> {
        std::future::pending().await
    }
}

#[test]
fn a_clock_that_panics_during_a_write_leaves_nothing_open() {
    let clock = Clock::default();
    let (replicator, driver) = quick(Memory::new(0)).journal(Silent).build_async(clock.clone());
    let ticket = replicator.commit(vec![1]).unwrap();
    let (push, pull) = driver.split();
    let mut push = Box::pin(push);
    assert!(poll_once(&mut push).is_pending());
    clock.set_broken(true);
    assert!(catch_unwind(AssertUnwindSafe(|| poll_once(&mut push))).is_err());
    drop((push, pull));
    clock.set_broken(false);
    assert!(!ticket.durable().wait());
    assert_eq!(ticket.wait(), Settled::Closed);
    let unwritten = replicator.shutdown(LONG).unwritten;
    assert_eq!((unwritten.changes, unwritten.writing_for), (1, None));
    assert_eq!(
        unwritten.failure.unwrap().to_string(),
        "the journal could not be written: the driver was dropped during the call"
    );
}

#[derive(Clone, Copy, Debug)]
enum End {
    Driver,
    Stop,
    Handle,
}

/// A waker that panics.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("no waker");
    }
}

#[test]
fn a_waker_that_panics_as_the_driver_wakes_it_is_the_last_error_and_the_driver_goes_on() {
    run(async {
        let upstream = Memory::new(0);
        let (replicator, driver) = quick(upstream.clone()).build_async(tokio::time::sleep);
        let waker = Waker::from(Arc::new(Panics));
        let mut ticket = replicator.commit(vec![1]).unwrap().into_future();
        assert!(Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker)).is_pending());
        tokio::task::spawn_local(driver);
        let words = "a waker or a drop: no waker";
        let tells = |status: &Status<u64>| status.last_error.as_ref().is_some_and(|e| e.to_string().contains(words));
        replicator.status_when(tells).await;
        assert_eq!(replicator.commit(vec![2]).unwrap().await, Settled::Confirmed(2));
    });
}

#[test]
fn a_drivers_own_waker_that_panics_comes_out_of_the_method_that_wakes_it() {
    let (replicator, mut driver) = quick(Memory::new(0)).build_async(|_| std::future::pending());
    let waker = Waker::from(Arc::new(Panics));
    assert!(Pin::new(&mut driver).poll(&mut Context::from_waker(&waker)).is_pending());
    let committed = catch_unwind(AssertUnwindSafe(|| replicator.commit(vec![1])));
    assert_eq!(committed.err().and_then(|payload| payload.downcast_ref().copied()), Some("no waker"));
    assert!(poll_once(&mut driver).is_pending());
    assert_eq!(replicator.status().pending, 0, "it was committed, and pushed");
}
