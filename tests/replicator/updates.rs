//! What subscribers are told, and until when.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};

use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::protocol::Direction;
use latchwork::replicator::{Receiver, RecvError};

use super::*;

type Events = MemoryLog<u64>;

/// So many events of others arrive at upstream.
fn arrive(upstream: &Memory<Events>, count: u64) {
    let head = upstream.len() as u64;
    upstream.append((head + 1..=head + count).map(|position| MemoryEntry { position, event: position }));
}

/// The heads of what has come.
fn heads(receiver: &Receiver<MemoryEntry<u64>, u64>) -> Vec<u64> {
    receiver.try_iter().map(|update| update.upstream_head).collect()
}

#[test]
fn updates_begin_where_their_snapshot_ends() {
    let upstream = empty_upstream();
    let [alice, bob] = [1, 2].map(|_| quick(State::default(), upstream.clone()).start());
    let done = AtomicBool::new(false);
    let subscriptions = std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..400 {
                alice.commit(items(1, number..number + 1)).unwrap();
            }
            alice.flush(LONG).unwrap();
            done.store(true, Ordering::Release);
        });
        let mut subscriptions = Vec::new();
        let mut number = 0;
        while !done.load(Ordering::Acquire) {
            subscriptions.push(bob.updates());
            confirmed(&bob.commit(items(2, number..number + 1)).unwrap());
            number += 1;
        }
        subscriptions
    });
    let all = upstream.len() as u64;
    eventually(|| bob.status().upstream_head.global == all);
    drop(bob);
    for updates in subscriptions {
        let mut head = updates.snapshot.upstream_head;
        for update in updates.receiver.iter() {
            // Confirmed ones come before or after the new ones; together they go on where the last update ended.
            let (confirmed, new) = match &update.merged {
                latchwork::log::Merged::Advance { new, confirmed }
                | latchwork::log::Merged::Rebase { new, confirmed, .. } => (confirmed, new),
            };
            let mut globals: Vec<_> = confirmed.iter().chain(new).map(|entry| entry.seq.global).collect();
            globals.sort_unstable();
            assert!(globals.iter().copied().eq(head.global + 1..=update.upstream_head.global), "a gap: {globals:?}");
            head = update.upstream_head;
        }
        assert_eq!(head.global, all);
    }
}

#[test]
fn reset_ends_receivers_and_updates_begin_with_a_new_snapshot() {
    let upstream = Memory::new(0);
    let replicator = quick(MemoryLog::new(), upstream.clone()).start();
    let updates = replicator.updates();
    arrive(&upstream, 2);
    eventually(|| replicator.status().upstream_head == 2);
    replicator.pause(Direction::Push);
    replicator.reset(MemoryLog::new().with_pending(0, [7]));
    let renewed = replicator.updates();
    eventually(|| replicator.status().upstream_head == 2);
    assert_eq!(heads(&updates.receiver).last(), Some(&2), "those of the former log are all there");
    let ends = [updates.receiver.try_recv(), updates.receiver.recv(), updates.receiver.recv_timeout(LONG)];
    assert_eq!(ends.map(Result::unwrap_err), [RecvError::Replaced; 3]);
    let snapshot = &renewed.snapshot;
    assert!(snapshot.upstream_head <= 2 && snapshot.pending.len() == 1, "{snapshot:?}");
    let head = heads(&renewed.receiver).last().copied().unwrap_or(snapshot.upstream_head);
    assert_eq!(head, 2, "no gap between the two");
    assert_eq!(renewed.receiver.try_recv().unwrap_err(), RecvError::Empty);
}

#[test]
fn a_receiver_that_waits_is_woken_by_its_end() {
    let replicator = quick(Events::new(), Memory::new(0)).start();
    for end in [RecvError::Replaced, RecvError::Closed] {
        let updates = replicator.updates();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| updates.receiver.recv().map(|update| update.head));
            std::thread::sleep(SHORT);
            match end {
                RecvError::Replaced => drop(replicator.reset(Events::new())),
                _ => replicator.stop(),
            }
            assert_eq!(waiting.join().unwrap(), Err(end));
        });
    }
    assert_eq!(replicator.updates().receiver.recv().unwrap_err(), RecvError::Closed, "also of one that comes later");
}

#[test]
fn max_unread_ends_a_receiver_that_lags_and_keeps_nothing() {
    let upstream = Memory::new(0);
    let limit = NonZeroUsize::new(6).unwrap();
    let replicator = quick(MemoryLog::new(), upstream.clone()).max_unread(limit).start();
    let pulled = |head| eventually(|| replicator.status().upstream_head == head);
    let [slow, fast] = [replicator.updates(), replicator.updates()];
    arrive(&upstream, 3);
    pulled(3);
    assert_eq!(heads(&fast.receiver).last(), Some(&3));
    arrive(&upstream, 3);
    pulled(6);
    // As much as may be left; then more.
    assert_eq!(heads(&fast.receiver).last(), Some(&6));
    arrive(&upstream, 1);
    pulled(7);
    assert_eq!((heads(&fast.receiver), heads(&slow.receiver)), (vec![7], vec![]));
    assert_eq!(slow.receiver.recv().unwrap_err(), RecvError::Lagged);
    assert_eq!(replicator.updates().snapshot.upstream_head, 7, "and it may begin anew");
}

#[test]
fn an_update_alone_is_never_too_much() {
    let upstream = Memory::new(0);
    let replicator = quick(MemoryLog::new(), upstream.clone()).max_unread(NonZeroUsize::MIN).start();
    let updates = replicator.updates();
    arrive(&upstream, 5);
    let update = updates.receiver.recv_timeout(LONG).unwrap();
    assert_eq!(update.upstream_head, 5);
}

#[test]
fn an_update_that_is_not_read_goes_with_its_receiver() {
    let upstream = Memory::new(0);
    let replicator = quick(MemoryLog::new(), upstream.clone()).start();
    // Told in this order: once `reads` has it, so has `leaves`.
    let [leaves, reads] = [replicator.updates(), replicator.updates()];
    arrive(&upstream, 1);
    let update = reads.receiver.recv_timeout(LONG).unwrap();
    // The puller lets go of its own.
    eventually(|| Arc::strong_count(&update) == 2);
    drop(leaves);
    assert_eq!(Arc::strong_count(&update), 1, "it is kept");
}
