//! What the driver does while it runs.

use std::cell::{Cell, RefCell};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Instant;

use latchwork::journal::{AsyncJournal, Change, MemoryError, Recovered};
use latchwork::protocol::{Direction, Push, WaitingOn};
use latchwork::replicator::{RecvError, Timer};
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, Fault, More, Page, PullError, PushError};
use latchwork::{Epoch, Settled};

use super::*;

#[test]
fn a_commit_is_confirmed_on_a_runtime_with_one_thread() {
    run(async {
        let (replicator, driver) = quick(Memory::new(0)).build_async(tokio::time::sleep);
        let driver = tokio::task::spawn_local(driver);
        let ticket = replicator.commit(vec![1, 2]).unwrap();
        assert_eq!(ticket.clone().await, Settled::Confirmed(2));
        replicator.stop();
        driver.await.unwrap();
        assert_eq!(replicator.into_log().map(|log| latchwork::log::Log::head(&log)), Some(2));
    });
}

#[test]
fn a_driver_can_be_spawned_on_many_threads_if_its_upstream_and_its_journal_can() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let upstream = Memory::new(0);
        let clients: Vec<_> = (0..8)
            .map(|client| {
                let builder = quick(upstream.clone()).journal(Held::new(Recovered::new(0)));
                let (replicator, driver) = builder.build_async(tokio::time::sleep);
                let (push, pull) = driver.split();
                let halves = [tokio::spawn(push), tokio::spawn(pull)];
                let commits = (0..50).map(|number| replicator.commit(vec![client * 100 + number]).unwrap());
                (commits.collect::<Vec<_>>(), replicator, halves)
            })
            .collect();
        for (tickets, replicator, halves) in clients {
            for ticket in tickets {
                assert!(matches!(ticket.await, Settled::Confirmed(_)));
            }
            drop(replicator);
            for half in halves {
                half.await.unwrap();
            }
        }
        assert_eq!(upstream.len(), 400);
    });
}

/// An upstream that no other thread may see.
struct Local {
    upstream: Memory<Log>,
    pushes: Rc<Cell<usize>>,
}

struct LocalPull<'a>(<Memory<Log> as AsyncUpstream<Log>>::Pull<'a>, Rc<Cell<usize>>);

impl AsyncUpstream<Log> for Local {
    type Pull<'a> = LocalPull<'a>;

    async fn push(&self, batch: &Batch<Log>) -> Result<(), PushError<u64>> {
        self.pushes.set(self.pushes.get() + 1);
        tokio::task::yield_now().await;
        AsyncUpstream::push(&self.upstream, batch).await
    }

    fn pull(&self, cursor: u64) -> LocalPull<'_> {
        LocalPull(AsyncUpstream::pull(&self.upstream, cursor), Rc::clone(&self.pushes))
    }
}

impl AsyncPull<Log> for LocalPull<'_> {
    async fn next_page(&mut self) -> Option<Result<Page<MemoryEntry<u64>>, PullError>> {
        assert!(Rc::strong_count(&self.1) > 1);
        self.0.next_page().await
    }
}

#[test]
fn an_upstream_that_is_not_send_runs_where_it_is() {
    run(async {
        let (pushes, upstream) = (Rc::new(Cell::new(0)), Memory::new(0));
        let local = Local { upstream: upstream.clone(), pushes: Rc::clone(&pushes) };
        let (replicator, driver) = quick(local).build_async(tokio::time::sleep);
        tokio::task::spawn_local(driver);
        // Another comes first: the push is rejected, and sent again after the rebase.
        upstream.fail_push(Fault::Reject);
        foreign(&upstream, 1);
        let ticket = replicator.commit(vec![1]).unwrap();
        assert_eq!(ticket.await, Settled::Confirmed(2));
        assert!(pushes.get() >= 2, "{}", pushes.get());
    });
}

/// A journal that no other thread may see.
struct LocalJournal(Held, Rc<Cell<usize>>);

impl AsyncJournal<Log> for LocalJournal {
    type Error = MemoryError;

    async fn write(&mut self, changes: &[Change<MemoryEntry<u64>, u64>]) -> Result<(), MemoryError> {
        let writes = Rc::clone(&self.1);
        tokio::task::yield_now().await;
        writes.set(writes.get() + 1);
        AsyncJournal::write(&mut self.0, changes).await
    }
}

#[test]
fn a_journal_that_is_not_send_runs_where_it_is() {
    run(async {
        let (writes, held) = (Rc::new(Cell::new(0)), Held::new(Recovered::new(0)));
        let builder = quick(Memory::new(0)).journal(LocalJournal(held.clone(), Rc::clone(&writes)));
        let (replicator, driver) = builder.build_async(tokio::time::sleep);
        let driver = tokio::task::spawn_local(driver);
        assert_eq!(replicator.commit(vec![1]).unwrap().await, Settled::Confirmed(1));
        assert!(replicator.shutdown_async(LONG, tokio::time::sleep).await.is_clean());
        driver.await.unwrap();
        assert_eq!((held.recovered().cursor, writes.get()), (1, 2));
    });
}

#[test]
fn a_rejected_push_is_sent_again_after_an_advance_whatever_becomes_of_it() {
    run(async {
        for fault in [
            Fault::Reject,
            Fault::DisconnectBefore,
            Fault::DisconnectAfter,
            Fault::LoseEcho,
            Fault::Busy(SHORT),
            Fault::Delay(SHORT),
            Fault::Panic,
        ] {
            let upstream = Memory::new(0);
            let (replicator, driver) = quick(upstream.clone()).build_async(tokio::time::sleep);
            tokio::task::spawn_local(driver);
            upstream.fail_push(fault);
            let ticket = replicator.commit(vec![1]).unwrap();
            if fault == Fault::Panic {
                replicator.status_when(|status| matches!(status.waiting_on, WaitingOn::Owner(_))).await;
                replicator.restart();
            }
            assert_eq!(ticket.await, Settled::Confirmed(1), "{fault:?}");
            assert_eq!(upstream.len(), 1, "{fault:?}");
        }
    });
}

#[test]
fn a_page_that_fails_or_panics_is_pulled_again() {
    run(async {
        let faults =
            [Fault::DisconnectBefore, Fault::DisconnectAfter, Fault::DuplicatePage, Fault::EndStream, Fault::Panic];
        for fault in faults {
            let upstream = Memory::new(0);
            let (replicator, driver) = quick(upstream.clone()).build_async(tokio::time::sleep);
            tokio::task::spawn_local(driver);
            upstream.fail_pull(fault);
            foreign(&upstream, 3);
            if fault == Fault::Panic {
                replicator.status_when(|status| matches!(status.pull_waiting_on, WaitingOn::Owner(_))).await;
                replicator.restart();
            }
            assert!(replicator.status_when(|status| status.upstream_head == 3).await.is_some(), "{fault:?}");
        }
    });
}

#[test]
fn an_idle_driver_is_not_polled() {
    run(async {
        let polls = Arc::default();
        let (replicator, driver) = quick(Memory::new(0)).build_async(tokio::time::sleep);
        tokio::task::spawn_local(Counted { future: driver, polls: Arc::clone(&polls) });
        replicator.commit(vec![1]).unwrap().await;
        tokio::time::sleep(SHORT).await;
        let before = polls.load(Ordering::Relaxed);
        tokio::time::sleep(5 * SHORT).await;
        assert_eq!(polls.load(Ordering::Relaxed), before);
        assert!(before < 20, "{before} polls");
    });
}

#[test]
fn a_push_that_hangs_is_dropped_at_its_deadline_or_by_a_reconnect() {
    run(async {
        for deadline in [true, false] {
            let upstream = Memory::new(0);
            let builder = quick(upstream.clone());
            let builder = if deadline { builder.push_deadline(SHORT) } else { builder };
            let (replicator, driver) = builder.build_async(tokio::time::sleep);
            tokio::task::spawn_local(driver);
            upstream.fail_push(Fault::Hang);
            let ticket = replicator.commit(vec![1]).unwrap();
            if !deadline {
                replicator.status_when(|status| matches!(status.push, Push::Sending { .. })).await;
                replicator.reconnect();
            }
            assert_eq!(ticket.await, Settled::Confirmed(1));
        }
    });
}

/// An upstream whose first push is interrupted right before its answer.
struct Interrupted(Memory<Log>, Rc<RefCell<Option<Replicator<Log>>>>);

impl AsyncUpstream<Log> for Interrupted {
    type Pull<'a> = <Memory<Log> as AsyncUpstream<Log>>::Pull<'a>;

    async fn push(&self, batch: &Batch<Log>) -> Result<(), PushError<u64>> {
        if let Some(replicator) = self.1.take() {
            replicator.reconnect();
        }
        AsyncUpstream::push(&self.0, batch).await
    }

    fn pull(&self, cursor: u64) -> Self::Pull<'_> {
        AsyncUpstream::pull(&self.0, cursor)
    }
}

#[test]
fn a_push_is_not_ended_by_the_interrupt_of_the_one_before() {
    run(async {
        let interrupts = Rc::new(RefCell::new(None));
        let upstream = Interrupted(Memory::new(0), Rc::clone(&interrupts));
        let (replicator, driver) = quick(upstream).push_batch(NonZeroUsize::MIN).build_async(tokio::time::sleep);
        interrupts.replace(Some(replicator.clone()));
        let tickets = [1, 2].map(|event| replicator.commit(vec![event]).unwrap());
        tokio::task::spawn_local(driver);
        for ticket in tickets {
            assert!(matches!(ticket.await, Settled::Confirmed(_)));
        }
        assert!(interrupts.borrow().is_none(), "the first push has been interrupted");
        assert_eq!(replicator.status().counters.pushes, 2);
    });
}

#[test]
fn a_pull_of_which_nothing_comes_is_begun_anew_and_one_that_brings_pages_goes_on() {
    run(async {
        let upstream = Memory::new(0);
        let (replicator, driver) = quick(upstream.clone()).pull_silence(25 * SHORT).build_async(tokio::time::sleep);
        tokio::task::spawn_local(driver);
        replicator.caught_up().await.unwrap();
        let pulls = replicator.status().counters.pulls;
        let (begun, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
        while begun.elapsed() < 38 * SHORT {
            foreign(&upstream, 1);
            tokio::time::sleep(SHORT / 2).await;
            (last, longest) = (Instant::now(), longest.max(last.elapsed()));
        }
        // A machine that stands still is silent.
        let begun_anew = replicator.status().counters.pulls - pulls;
        assert!(begun_anew == 0 || longest >= 25 * SHORT, "each page counts: {begun_anew}, {longest:?} without one");
        let pulls = pulls + begun_anew;
        replicator.status_when(|status| status.counters.pulls > pulls).await;
    });
}

#[test]
fn updates_come_to_a_task_and_end_with_a_reason() {
    run(async {
        let upstream = Memory::new(0);
        let (replicator, driver) = quick(upstream.clone()).build_async(tokio::time::sleep);
        tokio::task::spawn_local(driver);
        let updates = replicator.updates();
        let reader = tokio::task::spawn_local(async move {
            let mut heads = Vec::new();
            loop {
                match updates.receiver.next().await {
                    Ok(update) => heads.push(update.upstream_head),
                    Err(end) => return (heads, end),
                }
            }
        });
        for _ in 0..3 {
            foreign(&upstream, 1);
            tokio::time::sleep(SHORT).await;
        }
        replicator.stop();
        assert_eq!(reader.await.unwrap(), (vec![1, 2, 3], RecvError::Closed));
    });
}

/// A clock that a test moves.
#[derive(Clone, Default)]
struct Virtual(Arc<Epoch>);

impl Timer for Virtual {
    type Sleep = Pin<Box<dyn Future<Output = ()>>>;

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        let clock = Arc::clone(&self.0);
        let until = clock.current() + u64::try_from(duration.as_millis()).unwrap();
        Box::pin(async move {
            if until > 0 {
                clock.past(until - 1).await;
            }
        })
    }

    fn clock(&self) -> Option<impl Fn() -> Duration + Send + Sync + 'static> {
        let clock = Arc::clone(&self.0);
        Some(move || Duration::from_millis(clock.current()))
    }
}

#[test]
fn a_timer_may_have_a_clock_of_its_own() {
    let (clock, upstream) = (Virtual::default(), Memory::new(0));
    upstream.fail_push(Fault::Busy(Duration::from_millis(3)));
    let (replicator, mut driver) = quick(upstream.clone()).build_async(clock.clone());
    let mut ticket = replicator.commit(vec![1]).unwrap().into_future();
    assert!(poll_once(&mut driver).is_pending() && poll_once(&mut driver).is_pending());
    assert!(matches!(replicator.status().waiting_on, WaitingOn::Clock(_) | WaitingOn::Connectivity(_)));
    for _ in 0..200 {
        clock.0.bump();
        assert!(poll_once(&mut driver).is_pending());
    }
    assert_eq!(poll_once(&mut ticket), Poll::Ready(Settled::Confirmed(1)));
    replicator.pause(Direction::Push);
    drop(replicator);
    assert!(poll_once(&mut driver).is_ready());
}

/// What is done between a look at the clock and the look at how things stand. It is done once.
type Between = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A clock that a test moves, also as it has just been read.
#[derive(Clone, Default)]
struct Read {
    clock: Arc<Epoch>,
    then: Between,
}

impl Timer for Read {
    type Sleep = std::future::Pending<()>;

    fn sleep(&self, _: Duration) -> Self::Sleep {
        std::future::pending()
    }

    fn clock(&self) -> Option<impl Fn() -> Duration + Send + Sync + 'static> {
        let (clock, then) = (Arc::clone(&self.clock), Arc::clone(&self.then));
        Some(move || {
            let now = Duration::from_millis(clock.current());
            let then = then.lock().unwrap().take();
            then.into_iter().for_each(|then| then());
            now
        })
    }
}

#[test]
fn status_tells_no_longer_delay_than_there_is_although_it_begins_as_status_looks() {
    let delay = Duration::from_secs(3600);
    for direction in [Direction::Push, Direction::Pull] {
        let (clock, upstream) = (Read::default(), Memory::new(0));
        let builder = quick(upstream.clone()).backoff(Backoff::new(delay, delay).with_jitter(0.0));
        let (replicator, driver) = builder.build_async(clock.clone());
        match direction {
            Direction::Push => {
                upstream.fail_push(Fault::DisconnectBefore);
                drop(replicator.commit(vec![1]).unwrap());
            }
            Direction::Pull => upstream.fail_pull(Fault::DisconnectBefore),
        }
        let driver = Arc::new(Mutex::new(Box::pin(driver)));
        let (polled, passes) = (Arc::clone(&driver), Arc::clone(&clock.clock));
        *clock.then.lock().unwrap() = Some(Box::new(move || {
            passes.bump();
            let mut driver = polled.lock().unwrap();
            assert!(poll_once(&mut *driver).is_pending() && poll_once(&mut *driver).is_pending());
        }));
        let status = replicator.status();
        assert_eq!(status.last_error.as_ref().map(|error| error.direction), Some(direction));
        let waiting_on = if direction == Direction::Push { status.waiting_on } else { status.pull_waiting_on };
        assert_eq!((status.next_try_in, waiting_on), (Some(delay), WaitingOn::Connectivity(delay)));
    }
}

#[test]
fn a_driver_that_is_polled_by_another_task_wakes_that_one() {
    run(async {
        let (replicator, mut driver) = quick(Memory::new(0)).build_async(tokio::time::sleep);
        // A waker that wakes nothing is in the queue. Then another thread takes over.
        assert!(poll_once(&mut driver).is_pending());
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(driver);
        });
        tokio::time::sleep(SHORT).await;
        assert_eq!(replicator.commit(vec![1]).unwrap().await, Settled::Confirmed(1));
        drop(replicator);
        thread.join().unwrap();
    });
}

/// An upstream that is always ready, with more to give.
struct Endless;

struct EndlessPull(u64);

impl AsyncUpstream<Log> for Endless {
    type Pull<'a> = EndlessPull;

    async fn push(&self, _: &Batch<Log>) -> Result<(), PushError<u64>> {
        Ok(())
    }

    fn pull(&self, cursor: u64) -> EndlessPull {
        EndlessPull(cursor)
    }
}

impl AsyncPull<Log> for EndlessPull {
    async fn next_page(&mut self) -> Option<Result<Page<MemoryEntry<u64>>, PullError>> {
        self.0 += 1;
        Some(Ok(Page { entries: vec![MemoryEntry { position: self.0, event: 0 }], more: More::Events(1) }))
    }
}

#[test]
fn an_upstream_that_is_always_ready_lets_other_tasks_run() {
    run(async {
        let (replicator, driver) = quick(Endless).build_async(tokio::time::sleep);
        let driver = tokio::task::spawn_local(driver);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        replicator.stop();
        driver.await.unwrap();
        assert!(replicator.status().upstream_head > 100);
    });
}
