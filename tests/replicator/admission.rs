//! What a commit must be, and that many of them get through.

use latchwork::log::{MemoryEntry, MemoryLog, MemoryLogError};
use latchwork::protocol::Direction;
use latchwork::replicator::CommitError;
use latchwork::sync_state::Error;

use super::*;

/// A replicator that pushes nothing, with `e1` and `e2` pending.
fn with_two_pending(upstream: &Memory<State>) -> Replicator<State> {
    let replicator = quick(State::default(), upstream.clone()).start();
    replicator.pause(Direction::Push);
    replicator.commit(items(1, 0..2)).unwrap();
    replicator
}

fn number(text: &str) -> SeqNum {
    text.parse().unwrap()
}

#[track_caller]
fn refused(replicator: &Replicator<State>, entries: Vec<Entry<Item>>) -> Error {
    let before = replicator.status();
    let Err(CommitError::Refused(error)) = replicator.commit_numbered(entries) else { panic!("it was admitted") };
    let after = replicator.status();
    assert_eq!((after.head, after.pending, after.counters.commits), (before.head, before.pending, 1));
    error
}

#[test]
fn a_stale_commit_fails_promptly() {
    let upstream = empty_upstream();
    let replicator = with_two_pending(&upstream);
    let entries = replicator.with_log(|log| log.number(items(2, 0..1))).unwrap();
    replicator.commit_numbered(entries.clone()).unwrap();
    let Err(CommitError::Refused(error)) = replicator.commit_numbered(entries) else { panic!("it was admitted") };
    assert_eq!(error, Error::Stale { expected_minimum: number("e3.1"), found: number("e3") });
    replicator.resume(Direction::Push);
    replicator.flush(LONG).unwrap();
    assert_eq!(ordered(&upstream), [(1, 0), (1, 1), (2, 0)]);
}

#[test]
fn commit_numbered_refuses_a_batch_that_is_not_ascending() {
    let replicator = with_two_pending(&empty_upstream());
    let mut entries = numbered(number("e2"), items(1, 2..4));
    entries.swap(0, 1);
    let error = refused(&replicator, entries);
    assert_eq!(error, Error::NotAscending { previous: number("e4"), found: number("e3") });
    assert_eq!(error.to_string(), "expected an entry after e4, got e3");
}

#[test]
fn a_batch_with_a_gap_is_rejected_with_what_was_expected() {
    let replicator = with_two_pending(&empty_upstream());
    let mut entries = numbered(number("e2"), items(1, 2..5));
    entries.remove(1);
    let (expected, found) = (number("e4"), number("e5"));
    let error = refused(&replicator, entries);
    assert_eq!(error, Error::NotNext { expected, found });
    assert_eq!(error.to_string(), "expected e4 to follow, got e5");
}

#[test]
fn commit_numbered_refuses_a_batch_that_skips_pending_events() {
    let replicator = with_two_pending(&empty_upstream());
    let (expected, found) = (number("e3"), number("e4"));
    let skipping = refused(&replicator, numbered(number("e3"), items(1, 2..3)));
    assert_eq!(skipping, Error::NotNext { expected, found });
    let (expected_minimum, found) = (number("e2.1"), number("e1"));
    let as_if_nothing_were_pending = refused(&replicator, numbered(SeqNum::ROOT, items(1, 2..3)));
    assert_eq!(as_if_nothing_were_pending, Error::Stale { expected_minimum, found });
    let mut on_the_wrong_one = numbered(number("e2"), items(1, 2..3));
    on_the_wrong_one[0].parent = number("e1");
    let error = refused(&replicator, on_the_wrong_one);
    assert_eq!(error.to_string(), "expected e3 to stand on e2, got e1");
}

#[test]
fn a_memory_log_says_what_it_expected_too() {
    let replicator = quick(MemoryLog::new(), Memory::new(0)).start();
    replicator.pause(Direction::Push);
    replicator.commit(vec![1, 2]).unwrap();
    for positions in [vec![1], vec![4], vec![3, 5], vec![3, 3], vec![3, 2]] {
        let entries = positions.iter().map(|&position| MemoryEntry { position, event: 9 }).collect();
        let Err(CommitError::Refused(error)) = replicator.commit_numbered(entries) else { panic!("{positions:?}") };
        let expected = if positions.len() == 1 { 3 } else { 4 };
        let got = positions[positions.len() - 1];
        assert_eq!(error, MemoryLogError::OutOfOrder { expected, got }, "{positions:?}");
    }
    assert_eq!(replicator.status().pending, 2);
}

#[test]
fn an_empty_commit_is_an_error() {
    let replicator = quick(State::default(), empty_upstream()).start();
    assert!(matches!(replicator.commit(vec![]), Err(CommitError::Empty)));
    assert!(matches!(replicator.commit_numbered(vec![]), Err(CommitError::Empty)));
    assert_eq!(replicator.status().counters.commits, 0);
}

#[test]
fn commit_is_refused_without_numbers_left_and_uses_the_last() {
    let head = SeqNum::new(u64::MAX - 1, 0, 0);
    let upstream = Memory::new(head.position());
    let replicator = quick(State::new(head), upstream.clone()).start();
    let Err(CommitError::Refused(error)) = replicator.commit(items(1, 0..2)) else { panic!("it was admitted") };
    assert!(matches!(error, Error::Exhausted { part: "global", .. }), "{error}");
    assert_eq!(confirmed(&replicator.commit(items(1, 0..1)).unwrap()).global, u64::MAX);
    assert!(matches!(replicator.commit(items(1, 1..2)), Err(CommitError::Refused(_))));
    assert_eq!(upstream.len(), 1);
}

#[test]
fn a_memory_log_at_its_end_refuses_too() {
    let log = MemoryLog::new().with_pending(u64::MAX - 2, []);
    let replicator = quick(log, Memory::new(u64::MAX - 2)).start();
    let Err(CommitError::Refused(error)) = replicator.commit(vec![1, 2, 3]) else { panic!("it was admitted") };
    assert!(matches!(error, MemoryLogError::Overflow { count: 3, .. }), "{error}");
    assert_eq!(replicator.status().pending, 0);
}

#[test]
fn many_commits_arrive_in_their_order() {
    let upstream = empty_upstream();
    let replicator = quick(State::default(), upstream.clone()).start();
    let mut committed = 0;
    for commit in 0..2000 {
        let events = items(1, committed..committed + 1 + commit % 3);
        committed += events.len() as u64;
        replicator.commit(events).unwrap();
    }
    replicator.flush(LONG).unwrap();
    assert_eq!(ordered(&upstream), (0..committed).map(|number| (1, number)).collect::<Vec<_>>());
}

#[test]
fn commit_from_several_threads_keeps_the_order_of_each() {
    const EACH: u64 = 250;
    let upstream = empty_upstream();
    let replicator = quick(State::default(), upstream.clone()).start();
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (replicator, upstream) = (&replicator, &upstream);
            scope.spawn(move || {
                let commit = |number| replicator.commit(vec![sent(client, number)]).unwrap();
                let tickets: Vec<_> = (0..EACH).map(commit).collect();
                for (number, ticket) in (0..).zip(&tickets) {
                    let position = confirmed(ticket);
                    let entry = upstream.entries()[position.global as usize - 1].event;
                    assert_eq!((entry.client, entry.number), (client, number));
                }
            });
        }
    });
    let ordered = ordered(&upstream);
    assert_eq!(ordered.len() as u64, 4 * EACH);
    for client in 0..4 {
        let own = ordered.iter().filter(|(of, _)| *of == client).map(|(_, number)| *number);
        assert!(own.eq(0..EACH));
    }
}

#[test]
fn the_same_numbered_commit_handed_in_twice_is_taken_once() {
    let upstream = empty_upstream();
    let replicator = quick(State::default(), upstream.clone()).start();
    let entries = replicator.with_log(|log| log.number(items(1, 0..3))).unwrap();
    let first = replicator.commit_numbered(entries.clone()).unwrap();
    let pending = replicator.commit_numbered(entries.clone());
    assert!(matches!(pending, Err(CommitError::Refused(Error::Stale { .. }))));
    confirmed(&first);
    let settled = replicator.commit_numbered(entries);
    assert!(matches!(settled, Err(CommitError::Refused(Error::Stale { .. }))));
    assert_eq!(ordered(&upstream), [(1, 0), (1, 1), (1, 2)]);
}

#[test]
fn a_log_that_holds_pending_events_at_start_is_pushed() {
    let upstream = empty_upstream();
    foreign(&upstream, items(9, 0..3));
    let pending = numbered(number("e1"), vec![sent(1, 0), local_only(1, 1), sent(1, 2)]);
    let head = pending[2].seq;
    let log = State::rehydrate(number("e1"), head, pending).unwrap();
    let replicator = quick(log, upstream.clone()).start();
    replicator.flush(LONG).unwrap();
    assert_eq!(ordered(&upstream)[3..], [(1, 0), (1, 2)]);
    assert_eq!(replicator.with_log(State::pending_len), 0);
    let position = confirmed(&replicator.commit(vec![sent(1, 3)]).unwrap());
    assert_eq!(position.global, 6);
}

#[test]
fn local_only_events_are_never_sent_and_never_waited_for() {
    let upstream = empty_upstream();
    let replicator = quick(State::default(), upstream.clone()).start();
    let alone = replicator.commit(vec![local_only(1, 0)]).unwrap();
    assert!(matches!(alone.settled(), Some(Settled::Confirmed(_))), "there is nothing to wait for");
    let mixed = vec![local_only(1, 1), sent(1, 2), local_only(1, 3), local_only(1, 4), sent(1, 5), local_only(1, 6)];
    confirmed(&replicator.commit(mixed).unwrap());
    replicator.flush(LONG).unwrap();
    assert_eq!(ordered(&upstream), [(1, 2), (1, 5)]);
    assert_eq!(replicator.with_log(State::pending_len), 0, "they settle with the sent one before them");
}
