//! How it ends: nothing is handed over silently, and every ticket settles once.

use std::sync::Mutex;

use latchwork::Interrupt;
use latchwork::protocol::{Direction, Resend, WaitingOn};
use latchwork::replicator::CommitError;
use latchwork::upstream::{Batch, Fault, Page, PullError, PushError, Upstream};

use crate::upstream::Hooked;
use crate::*;

#[test]
fn a_shutdown_drains_and_is_clean() {
    let upstream = empty_upstream();
    let replicator = quick(State::default(), upstream.clone()).spawn().unwrap();
    let ticket = replicator.commit(items(1, 0..200)).unwrap();
    assert!(replicator.shutdown(LONG).is_clean());
    assert!(matches!(ticket.settled(), Some(Settled::Confirmed(_))));
    assert_eq!(upstream.len(), 200);
}

#[test]
fn a_shutdown_says_what_was_not_handed_over() {
    let upstream = empty_upstream();
    let replicator = quick(State::default(), upstream.clone()).spawn().unwrap();
    let handed_over = replicator.commit(items(1, 0..2)).unwrap();
    confirmed(&handed_over);
    replicator.pause(Direction::Push);
    let kept = replicator.commit(items(1, 2..4)).unwrap();
    let left = replicator.shutdown(SHORT);
    assert_eq!(left.pending.iter().map(|entry| entry.event).collect::<Vec<_>>(), items(1, 2..4));
    assert!(!left.is_clean() && !left.uncertain && left.unfinished.is_empty());
    assert!(matches!(handed_over.settled(), Some(Settled::Confirmed(_))), "it settled once");
    assert_eq!(kept.settled(), Some(Settled::Closed));
}

#[test]
fn a_shutdown_during_a_push_says_that_upstream_may_have_taken_it() {
    let upstream = empty_upstream();
    let gate = Arc::new(Latch::new());
    let hooked = {
        let gate = Arc::clone(&gate);
        Hooked::new(&upstream).before_push(move |_, _, _| {
            pass(&gate);
            Ok(())
        })
    };
    let replicator = quick(State::default(), hooked).spawn().unwrap();
    let ticket = replicator.commit(items(1, 0..2)).unwrap();
    eventually(|| replicator.status().counters.pushes == 1);
    let left = replicator.shutdown(SHORT);
    assert!(left.uncertain && left.pending.len() == 2, "{left:?}");
    let [unfinished] = left.unfinished[..] else { panic!("the push does not heed its interrupt: {left:?}") };
    assert_eq!(unfinished.direction, Direction::Push);
    assert!(unfinished.calling_for.is_some_and(|time| time >= SHORT), "{left:?}");
    assert_eq!(ticket.settled(), Some(Settled::Closed));
    drop(left);
    assert!(replicator.into_log().is_none(), "it may be needed for the answer");
    assert!(upstream.is_empty(), "it is not waited for");
    gate.open();
    eventually(|| upstream.len() == 2);
    assert_eq!(ticket.settled(), Some(Settled::Closed), "it settled once");
}

#[test]
fn a_shutdown_interrupts_a_push_that_heeds_it() {
    let upstream = empty_upstream();
    upstream.fail_push(Fault::Delay(HOUR));
    let replicator = quick(State::default(), upstream.clone()).spawn().unwrap();
    replicator.commit(items(1, 0..2)).unwrap();
    eventually(|| replicator.status().counters.pushes == 1);
    let left = replicator.shutdown(SHORT);
    assert!(left.unfinished.is_empty(), "{left:?}");
    assert_eq!((left.pending.len(), left.uncertain), (2, false));
    assert!(upstream.is_empty());
}

#[test]
fn drop_counts_the_last_answer_and_then_ends_the_updates() {
    let upstream = empty_upstream();
    let hooked = Hooked::new(&upstream).before_push(|_, _, interrupt| {
        interrupt.wait();
        Ok(())
    });
    let replicator = quick(State::default(), hooked).spawn().unwrap();
    let updates = replicator.updates();
    let ticket = replicator.commit(items(1, 0..1)).unwrap();
    eventually(|| replicator.status().counters.pushes == 1);
    drop(replicator);
    assert!(matches!(ticket.settled(), Some(Settled::Confirmed(_))));
    assert_eq!(updates.receiver.iter().count(), 1, "and then there are no more");
}

#[test]
fn dropping_it_settles_every_ticket_and_joins_its_threads() {
    /// Upstream that cannot be reached: pulls and pushes last until they are interrupted.
    struct Away {
        _alive: Arc<()>,
    }
    impl Upstream<State> for Away {
        fn push(&self, _: &Batch<State>, interrupt: &Interrupt) -> Result<(), PushError<<State as Log>::Position>> {
            interrupt.wait();
            Err(PushError::Unavailable { retry_after: None, error: "interrupted".into() })
        }
        fn pull<'a>(
            &'a self,
            _: <State as Log>::Position,
            interrupt: &'a Interrupt,
        ) -> impl Iterator<Item = Result<Page<Entry<Item>>, PullError>> + 'a {
            std::iter::once_with(|| {
                interrupt.wait();
                Err(PullError::Unavailable { retry_after: None, error: "interrupted".into() })
            })
        }
    }
    let alive = Arc::new(());
    let replicator = quick(State::default(), Away { _alive: Arc::clone(&alive) }).spawn().unwrap();
    let tickets: Vec<_> = (0..10).map(|n| replicator.commit(items(1, n..n + 1)).unwrap()).collect();
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| tickets.iter().map(|ticket| block_on(ticket.wait_async())).collect::<Vec<_>>());
        eventually(|| replicator.status().counters.pushes == 1);
        drop(replicator);
        assert_eq!(Arc::strong_count(&alive), 1, "no thread holds the upstream any more");
        waiting.join().unwrap()
    });
    assert_eq!(waiting, [Settled::Closed; 10]);
}

#[test]
fn a_drop_of_a_clone_ends_nothing_and_that_of_the_last_one_does() {
    let upstream = empty_upstream();
    let replicator = quick(State::default(), upstream.clone()).spawn().unwrap();
    let last = replicator.clone();
    drop(replicator);
    confirmed(&last.commit(items(1, 0..1)).unwrap());
    assert!(last.clone().into_log().is_none(), "it has another handle");
    last.pause(Direction::Push);
    let ticket = last.commit(items(1, 1..2)).unwrap();
    drop(last);
    assert_eq!(ticket.settled(), Some(Settled::Closed));
}

/// As a task does that holds a handle, and that its waker alone keeps.
#[test]
fn a_drop_of_the_last_clone_on_a_thread_of_its_own_waits_for_the_other_alone() {
    struct Keeps {
        handle: Mutex<Option<Replicator<State>>>,
        is_last: Latch,
        dropped: Latch,
    }
    impl Wake for Keeps {
        fn wake(self: Arc<Self>) {
            pass(&self.is_last);
            drop(self.handle.lock().unwrap().take());
            self.dropped.open();
        }
    }
    let replicator = quick(State::default(), empty_upstream()).spawn().unwrap();
    replicator.pause(Direction::Push);
    let ticket = replicator.commit(items(1, 0..1)).unwrap();
    let keeps =
        Arc::new(Keeps { handle: Mutex::new(Some(replicator.clone())), is_last: Latch::new(), dropped: Latch::new() });
    let waker = Waker::from(Arc::clone(&keeps));
    let mut wait = std::pin::pin!(ticket.wait_async());
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    replicator.resume(Direction::Push);
    drop(replicator);
    keeps.is_last.open();
    pass(&keeps.dropped);
    assert!(matches!(ticket.settled(), Some(Settled::Confirmed(_))));
}

#[test]
fn shutdowns_at_the_same_time_report_the_same_once_the_threads_have_ended() {
    let upstream = empty_upstream();
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let hooked = Hooked::new(&upstream).before_push(move |_, _, interrupt| {
        drop(Arc::clone(&held));
        interrupt.wait();
        std::thread::sleep(SHORT / 10);
        Err(PushError::Unavailable { retry_after: None, error: "interrupted".into() })
    });
    let replicator = quick(State::default(), hooked).spawn().unwrap();
    let _ticket = replicator.commit(items(1, 0..2)).unwrap();
    eventually(|| replicator.status().counters.pushes == 1);
    let reports = std::thread::scope(|scope| {
        // The second would wait longer than the test does.
        let shutdowns = [10 * SHORT, HOUR].map(|timeout| {
            let (replicator, alive) = (replicator.clone(), &alive);
            scope.spawn(move || {
                let report = replicator.shutdown(timeout);
                assert_eq!(Arc::strong_count(alive), 1, "a thread holds the upstream yet");
                report
            })
        });
        shutdowns.map(|shutdown| shutdown.join().unwrap())
    });
    for report in &reports {
        assert_eq!((report.pending.len(), report.uncertain, report.unfinished.len()), (2, false, 0), "{reports:?}");
    }
    assert_eq!(replicator.shutdown(Duration::ZERO).pending, reports[0].pending, "a later one finds nothing new");
    assert_eq!(replicator.into_log().expect("no thread needs it").pending().len(), 2);
}

#[test]
fn a_shutdown_after_one_in_vain_waits_for_what_that_has_left_behind() {
    let upstream = empty_upstream();
    let gate = Arc::new(Latch::new());
    let held = Arc::clone(&gate);
    let hooked = Hooked::new(&upstream).before_push(move |_, _, _| {
        pass(&held);
        Ok(())
    });
    let replicator = quick(State::default(), hooked).spawn().unwrap();
    let ticket = replicator.commit(items(1, 0..2)).unwrap();
    eventually(|| replicator.status().counters.pushes == 1);
    for _ in 0..2 {
        let left = replicator.shutdown(SHORT);
        assert_eq!((left.pending.len(), left.uncertain, left.unfinished.len()), (2, true, 1), "{left:?}");
    }
    gate.open();
    assert!(replicator.shutdown(LONG).is_clean(), "the answer has come");
    assert_eq!(Arc::strong_count(&gate), 1, "the thread has ended");
    assert_eq!((upstream.len(), ticket.settled()), (2, Some(Settled::Closed)), "it settled once");
    assert!(replicator.into_log().is_some());
}

#[test]
fn a_stop_waits_for_nothing_and_what_is_going_on_ends_by_it() {
    let upstream = empty_upstream();
    upstream.fail_push(Fault::Delay(HOUR));
    let replicator = quick(State::default(), upstream.clone()).spawn().unwrap();
    let ticket = replicator.commit(items(1, 0..2)).unwrap();
    eventually(|| replicator.status().counters.pushes == 1);
    let stopped = std::thread::scope(|scope| {
        let flushing = scope.spawn(|| replicator.flush(LONG));
        let waiting = scope.spawn(|| block_on(replicator.stopped()));
        replicator.stop();
        replicator.stop();
        waiting.join().unwrap();
        (flushing.join().unwrap(), replicator.flush(LONG), block_on(replicator.flush_async()))
    });
    assert_eq!(ticket.settled(), Some(Settled::Closed));
    for flushed in [stopped.0, stopped.1, stopped.2] {
        let error = flushed.unwrap_err();
        assert_eq!((error.pending, error.waiting_on), (2, WaitingOn::Stopped));
    }
    assert!(matches!(replicator.commit(items(1, 2..3)), Err(CommitError::Stopped)));
    assert!(matches!(replicator.commit_numbered(numbered(SeqNum::ROOT, items(1, 2..3))), Err(CommitError::Stopped)));
    assert_eq!(replicator.status().pending, 2);
    let left = replicator.shutdown(Duration::ZERO);
    assert!(left.unfinished.is_empty() && !left.uncertain, "{left:?}");
    assert_eq!(left.pending.len(), 2);
    let log = replicator.into_log().expect("both directions have ended");
    assert_eq!(log.pending().map(|entry| *entry.event).collect::<Vec<_>>(), items(1, 0..2));
}

#[test]
fn a_flush_of_what_has_settled_succeeds_also_once_it_is_stopped() {
    let replicator = quick(State::default(), empty_upstream()).spawn().unwrap();
    confirmed(&replicator.commit(items(1, 0..2)).unwrap());
    replicator.stop();
    block_on(replicator.stopped());
    replicator.flush(LONG).unwrap();
    let left = replicator.shutdown(LONG);
    assert!(left.is_clean(), "{left:?}");
    assert_eq!(replicator.into_log().expect("no thread needs it").upstream_head().global, 2);
}

#[test]
fn many_can_be_stopped_at_once() {
    let upstream = empty_upstream();
    let slow = Hooked::new(&upstream).before_push(|_, _, interrupt| {
        interrupt.wait();
        std::thread::sleep(SHORT);
        Ok(())
    });
    let slow = Arc::new(slow);
    struct Shared(Arc<Hooked<State>>);
    impl Upstream<State> for Shared {
        fn push(&self, batch: &Batch<State>, interrupt: &Interrupt) -> Result<(), PushError<<State as Log>::Position>> {
            self.0.push(batch, interrupt)
        }
        fn pull<'a>(
            &'a self,
            cursor: <State as Log>::Position,
            interrupt: &'a Interrupt,
        ) -> impl Iterator<Item = Result<Page<Entry<Item>>, PullError>> + 'a {
            self.0.pull(cursor, interrupt)
        }
    }
    let all: Vec<_> = (0..20).map(|_| quick(State::default(), Shared(Arc::clone(&slow))).spawn().unwrap()).collect();
    for (client, replicator) in (0..).zip(&all) {
        replicator.commit(items(client, 0..1)).unwrap();
        eventually(|| replicator.status().counters.pushes == 1);
    }
    let begun = Instant::now();
    all.iter().for_each(Replicator::stop);
    all.iter().for_each(|replicator| block_on(replicator.stopped()));
    assert!(begun.elapsed() < 10 * SHORT, "one after the other: {:?}", begun.elapsed());
}

#[test]
fn shutdown_says_uncertain_after_an_answer_got_lost() {
    let upstream = empty_upstream().one_shot();
    let replicator = quick(State::default(), upstream.clone())
        .resend(Resend::Idempotent)
        .backoff(Backoff::new(HOUR, HOUR))
        .one_shot_pull()
        .spawn()
        .unwrap();
    eventually(|| replicator.status().counters.pages > 0);
    upstream.fail_push(Fault::DisconnectAfter);
    replicator.commit(items(1, 0..1)).unwrap();
    eventually(|| replicator.status().counters.uncertain == 1);
    let left = replicator.shutdown(SHORT);
    assert!(left.uncertain && left.pending.len() == 1, "{left:?}");
    assert_eq!(upstream.len(), 1, "it was taken");
}
