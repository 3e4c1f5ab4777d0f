//! How it ends: a driver that is dropped, or never polled.

use latchwork::Settled;
use latchwork::journal::{AsyncJournal, Change, MemoryError, Recovered};
use latchwork::log::Log as _;
use latchwork::protocol::{Direction, Push, WaitingOn};
use latchwork::replicator::CommitError;
use latchwork::upstream::{AsyncUpstream, Batch, Fault, PushError};

use super::*;

#[test]
fn dropping_a_driver_that_was_never_polled_closes_what_has_not_settled() {
    let (replicator, driver) = quick(Memory::new(0)).build_async(|_| std::future::pending());
    let ticket = replicator.commit(vec![1]).unwrap();
    drop(driver);
    assert_eq!(ticket.wait(), Settled::Closed);
    assert!(matches!(replicator.commit(vec![2]), Err(CommitError::Stopped)));
    let report = replicator.shutdown(LONG);
    assert_eq!((report.pending.len(), report.uncertain, report.unfinished.len()), (1, false, 0));
    assert!(replicator.into_log().is_some());
}

#[test]
fn dropping_a_driver_during_a_push_says_that_its_outcome_is_not_known() {
    let upstream = Memory::new(0);
    let (replicator, mut driver) = quick(upstream.clone()).build_async(|_| std::future::pending());
    upstream.fail_push(Fault::Hang);
    let ticket = replicator.commit(vec![1]).unwrap();
    assert!(poll_once(&mut driver).is_pending());
    assert!(matches!(replicator.status().push, Push::Sending { .. }));
    drop(driver);
    assert_eq!(ticket.wait(), Settled::Closed);
    let report = replicator.shutdown(LONG);
    assert_eq!((report.pending.len(), report.uncertain, report.unfinished.len()), (1, true, 0));
    assert!(replicator.status().last_error.is_some());
}

/// A journal that writes when it is polled again, if it begins to; and says so, if it answers.
struct Slow {
    held: Held,
    begins: bool,
    answers: bool,
}

impl AsyncJournal<Log> for Slow {
    type Error = MemoryError;

    async fn write(&mut self, changes: &[Change<MemoryEntry<u64>, u64>]) -> Result<(), MemoryError> {
        tokio::task::yield_now().await;
        if !self.begins {
            std::future::pending::<()>().await;
        }
        AsyncJournal::write(&mut self.held, changes).await?;
        if !self.answers {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

fn slow(answers: bool) -> (Held, Slow) {
    let held = Held::new(Recovered::new(0));
    (held.clone(), Slow { held, begins: true, answers })
}

fn pending(held: &Held) -> Vec<u64> {
    held.recovered().pending.into_iter().map(|entry| entry.event).collect()
}

#[test]
fn dropping_a_driver_before_a_write_leaves_it_unwritten() {
    let (held, journal) = slow(true);
    let (replicator, driver) = quick(Memory::new(0)).journal(journal).build_async(|_| std::future::pending());
    let ticket = replicator.commit(vec![1]).unwrap();
    assert_eq!(ticket.durable().wait_timeout(SHORT).ready(), None);
    drop(driver);
    assert!(!ticket.durable().wait());
    assert_eq!(ticket.wait(), Settled::Closed);
    let report = replicator.shutdown(LONG);
    assert!(!report.is_clean() && report.unfinished.is_empty());
    assert_eq!((report.unwritten.changes, report.unwritten.writing_for, report.unwritten.failure), (1, None, None));
    assert_eq!(pending(&held), []);
    assert!(replicator.into_log().is_some());
}

/// It may have been made or not: the journal knows, and the replicator does not.
#[test]
fn dropping_a_driver_during_a_write_says_that_it_is_not_known_to_be_durable() {
    for written in [false, true] {
        let (held, journal) = slow(false);
        let journal = Slow { begins: written, ..journal };
        let upstream = Memory::new(0);
        let (replicator, mut driver) = quick(upstream.clone()).journal(journal).build_async(|_| std::future::pending());
        let ticket = replicator.commit(vec![1]).unwrap();
        for _ in 0..2 {
            assert!(poll_once(&mut driver).is_pending());
        }
        drop(driver);
        assert_eq!(pending(&held).len(), usize::from(written));
        assert!(!ticket.durable().wait());
        let report = replicator.shutdown(LONG);
        assert_eq!((report.pending.len(), report.uncertain, upstream.len()), (1, false, 0));
        assert_eq!((report.unwritten.changes, report.unwritten.writing_for), (1, None));
        let failure = report.unwritten.failure.unwrap().to_string();
        assert_eq!(failure, "the journal could not be written: the driver was dropped during the call");
    }
}

#[test]
fn dropping_one_half_leaves_nothing_open_and_the_writer_goes_with_the_pusher() {
    for pusher in [true, false] {
        let (held, journal) = slow(true);
        let (replicator, driver) = quick(Memory::new(0)).journal(journal).build_async(|_| std::future::pending());
        let (push, pull) = driver.split();
        let (mut push, mut pull) = (Box::pin(push), Box::pin(pull));
        let ticket = replicator.commit(vec![1]).unwrap();
        assert!(poll_once(&mut push).is_pending() && poll_once(&mut pull).is_pending());
        if pusher {
            drop(push);
            assert!(poll_once(&mut pull).is_ready());
        } else {
            drop(pull);
            // It has yielded once, and writes what is left.
            assert!(poll_once(&mut push).is_ready());
        }
        assert_eq!((ticket.durable().wait(), pending(&held).len()), (!pusher, usize::from(!pusher)));
        assert_eq!(ticket.wait(), Settled::Closed);
        assert_eq!(replicator.shutdown(LONG).unwritten.changes, usize::from(pusher));
        assert!(replicator.into_log().is_some());
    }
}

#[test]
fn the_drop_of_the_last_handle_has_the_driver_write_everything() {
    run(async {
        let (held, journal) = slow(true);
        let upstream = Memory::new(0);
        upstream.fail_push(Fault::Hang);
        let (replicator, driver) = quick(upstream).journal(journal).build_async(tokio::time::sleep);
        let driver = tokio::task::spawn_local(driver);
        let tickets: Vec<_> = (1..=3).map(|event| replicator.commit(vec![event]).unwrap()).collect();
        drop(replicator);
        driver.await.unwrap();
        assert!(tickets.iter().all(|ticket| ticket.durable().wait()));
        assert_eq!(pending(&held), [1, 2, 3]);
    });
}

/// One that writes at once and fails at once, for ever.
#[test]
fn a_journal_that_is_always_ready_gives_other_tasks_their_turn() {
    run(async {
        let held = Held::new(Recovered::new(0));
        held.fail_before();
        let (replicator, driver) = quick(Memory::new(0)).journal(held.clone()).build_async(tokio::time::sleep);
        let driver = tokio::task::spawn_local(driver);
        drop(replicator.commit(vec![0]).unwrap());
        let failed = replicator.status_when(|status| matches!(status.waiting_on, WaitingOn::Owner(_))).await.unwrap();
        assert_eq!(failed.unwritten, 1);
        replicator.restart();
        for event in 1..200 {
            assert!(replicator.commit(vec![event]).unwrap().durable().await);
        }
        assert!(replicator.shutdown_async(LONG, tokio::time::sleep).await.is_clean());
        driver.await.unwrap();
    });
}

#[test]
fn dropping_one_half_ends_the_other() {
    for first in [true, false] {
        let (replicator, driver) = quick(Memory::new(0)).build_async(|_| std::future::pending());
        let (push, pull) = driver.split();
        let (mut push, mut pull) = (Box::pin(push), Box::pin(pull));
        assert!(poll_once(&mut push).is_pending() && poll_once(&mut pull).is_pending());
        let ticket = replicator.commit(vec![1]).unwrap();
        if first {
            drop(push);
            assert!(poll_once(&mut pull).is_ready());
        } else {
            drop(pull);
            assert!(poll_once(&mut push).is_ready());
        }
        assert_eq!(ticket.wait(), Settled::Closed);
    }
}

#[test]
fn a_shutdown_of_a_driver_that_is_never_polled_says_what_has_not_ended() {
    let (replicator, driver) = quick(Memory::new(0)).build_async(|_| std::future::pending());
    drop(replicator.commit(vec![1]).unwrap());
    let report = replicator.shutdown(SHORT);
    assert_eq!((report.pending.len(), report.unfinished.len()), (1, 2));
    assert!(report.unfinished.iter().all(|unfinished| unfinished.calling_for.is_none()));
    drop(driver);
    assert!(replicator.shutdown(SHORT).unfinished.is_empty());
}

#[test]
fn the_drop_of_the_last_handle_ends_the_driver_and_drops_its_calls() {
    run(async {
        let upstream = Memory::new(0);
        let (replicator, driver) = quick(upstream.clone()).build_async(tokio::time::sleep);
        let driver = tokio::task::spawn_local(driver);
        upstream.fail_push(Fault::Hang);
        let ticket = replicator.commit(vec![1]).unwrap();
        replicator.status_when(|status| matches!(status.push, Push::Sending { .. })).await;
        drop(replicator);
        driver.await.unwrap();
        assert_eq!(ticket.await, Settled::Closed);
    });
}

#[test]
fn shutdown_async_hands_over_what_it_can_and_reports_the_rest() {
    run(async {
        for hangs in [false, true] {
            let upstream = Memory::new(0);
            let (replicator, driver) = quick(upstream.clone()).build_async(tokio::time::sleep);
            let driver = tokio::task::spawn_local(driver);
            if hangs {
                upstream.fail_push(Fault::Hang);
            }
            drop(replicator.commit(vec![1]).unwrap());
            let report = replicator.shutdown_async(SHORT, tokio::time::sleep).await;
            assert_eq!((report.pending.len(), report.uncertain), (usize::from(hangs), hangs));
            assert!(report.unfinished.is_empty());
            driver.await.unwrap();
        }
        // One that is never polled.
        let (replicator, _driver) = quick(Memory::new(0)).build_async(tokio::time::sleep);
        let report = replicator.shutdown_async(SHORT, tokio::time::sleep).await;
        assert_eq!(report.unfinished.len(), 2);
    });
}

#[test]
fn dropping_a_driver_between_two_pushes_leaves_nothing_uncertain() {
    let (upstream, most) = (Memory::new(0), std::num::NonZeroUsize::MIN);
    let (replicator, mut driver) = quick(upstream.clone()).push_batch(most).build_async(|_| std::future::pending());
    for event in 0..1000 {
        drop(replicator.commit(vec![event]).unwrap());
    }
    // Others get their turn before all is pushed, and never give it back.
    assert!(poll_once(&mut driver).is_pending());
    drop(driver);
    let sent = upstream.len();
    assert!(sent < 1000);
    let report = replicator.shutdown(LONG);
    assert_eq!((report.pending.len(), report.uncertain, report.unfinished.len()), (1000 - sent, false, 0));
}

/// Takes its first push, and never says so.
struct Silent {
    memory: Memory<Log>,
    pushes: AtomicUsize,
    dropped: Arc<AtomicUsize>,
}

/// Counts its drop.
struct Dropped<'a>(&'a AtomicUsize);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl AsyncUpstream<Log> for Silent {
    type Pull<'a> = <Memory<Log> as AsyncUpstream<Log>>::Pull<'a>;

    async fn push(&self, batch: &Batch<Log>) -> Result<(), PushError<u64>> {
        let outcome = AsyncUpstream::push(&self.memory, batch).await;
        if self.pushes.fetch_add(1, Ordering::SeqCst) == 0 {
            let _dropped = Dropped(&self.dropped);
            std::future::pending::<()>().await;
        }
        outcome
    }

    fn pull(&self, cursor: u64) -> Self::Pull<'_> {
        AsyncUpstream::pull(&self.memory, cursor)
    }
}

#[test]
fn reset_with_drops_the_future_of_a_push_in_flight_whose_outcome_is_uncertain_then() {
    let (memory, dropped) = (Memory::new(0), Arc::default());
    let silent = Silent { memory: memory.clone(), pushes: AtomicUsize::new(0), dropped: Arc::clone(&dropped) };
    let (replicator, mut driver) = quick(silent).build_async(|_| std::future::pending());
    replicator.pause(Direction::Pull);
    let ticket = replicator.commit(vec![1]).unwrap();
    assert!(poll_once(&mut driver).is_pending());
    assert!(matches!(replicator.status().push, Push::Sending { .. }));
    replicator.reset_with(|log| (log.clone(), Vec::new())).unwrap();
    assert_eq!((ticket.settled(), dropped.load(Ordering::SeqCst)), (None, 0));
    assert!(poll_once(&mut driver).is_pending());
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    // It is not sent again before a pull has told what came of it.
    assert!(matches!(replicator.status().push, Push::Uncertain { .. }), "{}", replicator.status());
    replicator.resume(Direction::Pull);
    assert!(poll_once(&mut driver).is_pending());
    assert_eq!((ticket.settled(), replicator.status().counters.pushes), (Some(Settled::Confirmed(1)), 1));
    assert_eq!(memory.len(), 1);
}

#[test]
fn reset_drops_the_future_of_a_push_in_flight_and_the_new_log_goes_on() {
    let (memory, dropped) = (Memory::new(0), Arc::default());
    let silent = Silent { memory: memory.clone(), pushes: AtomicUsize::new(0), dropped: Arc::clone(&dropped) };
    let (replicator, mut driver) = quick(silent).build_async(|_| std::future::pending());
    replicator.pause(Direction::Pull);
    drop(replicator.commit(vec![1]).unwrap());
    assert!(poll_once(&mut driver).is_pending());
    let former = replicator.reset(Log::new().with_pending(1, [2]));
    assert_eq!((former.pending(), dropped.load(Ordering::SeqCst)), (1, 0));
    assert!(poll_once(&mut driver).is_pending());
    assert_eq!((dropped.load(Ordering::SeqCst), memory.len(), replicator.status().pending), (1, 2, 0));
    assert!(replicator.status().last_error.is_none(), "the former log's");
}
