//! How it ends: nothing is handed over silently, and every ticket settles once.

use latchwork::protocol::{Direction, Resend, WaitingOn};
use latchwork::replicator::CommitError;
use latchwork::upstream::Fault;

use super::*;

#[test]
fn a_shutdown_drains_and_is_clean() {
    let upstream = empty_upstream();
    let replicator = quick(State::default(), upstream.clone()).start();
    let ticket = replicator.commit(items(1, 0..200)).unwrap();
    assert!(replicator.shutdown(LONG).is_clean());
    assert!(matches!(ticket.settled(), Some(Settled::Confirmed(_))));
    assert_eq!(upstream.len(), 200);
}

#[test]
fn a_shutdown_says_what_was_not_handed_over() {
    let upstream = empty_upstream();
    let replicator = quick(State::default(), upstream.clone()).start();
    let handed_over = replicator.commit(items(1, 0..2)).unwrap();
    confirmed(&handed_over);
    replicator.pause(Direction::Push);
    let kept = replicator.commit(items(1, 2..4)).unwrap();
    let left = replicator.shutdown(LONG);
    assert_eq!(left.pending.iter().map(|entry| entry.event).collect::<Vec<_>>(), items(1, 2..4));
    assert!(!left.is_clean() && !left.uncertain && left.unfinished.is_empty());
    assert!(matches!(handed_over.settled(), Some(Settled::Confirmed(_))), "it settled once");
    assert_eq!(kept.settled(), Some(Settled::Closed));
}

#[test]
fn a_shutdown_interrupts_a_push_that_heeds_it() {
    let upstream = empty_upstream();
    upstream.fail_push(Fault::Delay(HOUR));
    let replicator = quick(State::default(), upstream.clone()).start();
    replicator.commit(items(1, 0..2)).unwrap();
    eventually(|| replicator.status().counters.pushes == 1);
    let left = replicator.shutdown(10 * SHORT);
    assert!(left.unfinished.is_empty(), "{left:?}");
    assert_eq!((left.pending.len(), left.uncertain), (2, UNCERTAIN_IF_INTERRUPTED));
    assert!(upstream.is_empty());
}

#[test]
fn a_drop_of_a_clone_ends_nothing_and_that_of_the_last_one_does() {
    let upstream = empty_upstream();
    let replicator = quick(State::default(), upstream.clone()).start();
    let last = replicator.clone();
    drop(replicator);
    confirmed(&last.commit(items(1, 0..1)).unwrap());
    assert!(last.clone().into_log().is_none(), "it has another handle");
    last.pause(Direction::Push);
    let ticket = last.commit(items(1, 1..2)).unwrap();
    drop(last);
    assert_eq!(ticket.wait(), Settled::Closed);
}

/// As a task does that holds a handle, and that its waker alone keeps.
#[test]
fn a_stop_waits_for_nothing_and_what_is_going_on_ends_by_it() {
    let upstream = empty_upstream();
    upstream.fail_push(Fault::Delay(HOUR));
    let replicator = quick(State::default(), upstream.clone()).start();
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
    assert!(left.unfinished.is_empty() && left.uncertain == UNCERTAIN_IF_INTERRUPTED, "{left:?}");
    assert_eq!(left.pending.len(), 2);
    let log = into_log(replicator);
    assert_eq!(log.pending().map(|entry| *entry.event).collect::<Vec<_>>(), items(1, 0..2));
}

#[test]
fn a_flush_of_what_has_settled_succeeds_also_once_it_is_stopped() {
    let replicator = quick(State::default(), empty_upstream()).start();
    confirmed(&replicator.commit(items(1, 0..2)).unwrap());
    replicator.stop();
    block_on(replicator.stopped());
    replicator.flush(LONG).unwrap();
    let left = replicator.shutdown(LONG);
    assert!(left.is_clean(), "{left:?}");
    assert_eq!(into_log(replicator).upstream_head().global, 2);
}

#[test]
fn shutdown_says_uncertain_after_an_answer_got_lost() {
    let upstream = empty_upstream().one_shot();
    let replicator = quick(State::default(), upstream.clone())
        .resend(Resend::Idempotent)
        .backoff(Backoff::new(HOUR, HOUR))
        .one_shot_pull()
        .start();
    eventually(|| replicator.status().counters.pages > 0);
    upstream.fail_push(Fault::DisconnectAfter);
    replicator.commit(items(1, 0..1)).unwrap();
    eventually(|| replicator.status().counters.uncertain == 1);
    let left = replicator.shutdown(SHORT);
    assert!(left.uncertain && left.pending.len() == 1, "{left:?}");
    assert_eq!(upstream.len(), 1, "it was taken");
}
