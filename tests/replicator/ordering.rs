//! Upstream is ahead, or pushes go wrong: everything arrives once, in order.

use std::num::NonZeroUsize;
use std::sync::Arc;

use latchwork::log::MemoryLog;
use latchwork::protocol::WaitingOn;
use latchwork::upstream::Fault;

use super::*;
use crate::upstream::Hooked;

#[test]
fn a_commit_admitted_while_an_earlier_one_is_rejected_stays_behind_it() {
    let upstream = empty_upstream();
    let (reached, gate) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
    let hooked = {
        let (upstream, reached, gate) = (upstream.clone(), Arc::clone(&reached), Arc::clone(&gate));
        Hooked::new(&upstream.clone()).before_push(move |push, _, _| {
            if push == 1 {
                foreign(&upstream, items(9, 0..2));
                reached.open();
                pass(&gate);
            }
            Ok(())
        })
    };
    let replicator = quick(State::default(), hooked).start();
    let first = replicator.commit(items(1, 0..2)).unwrap();
    pass(&reached);
    let second = replicator.commit(items(1, 2..4)).unwrap();
    gate.open();
    let third = replicator.commit(items(1, 4..5)).unwrap();
    let positions = [&first, &second, &third].map(|ticket| confirmed(ticket).global);
    assert_eq!(positions, [4, 6, 7]);
    assert_eq!(ordered(&upstream), [(9, 0), (9, 1), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4)]);
}

/// Six events in batches of two; before one of the batches upstream takes something of another client.
#[track_caller]
fn ahead_on(batch: u64) {
    let upstream = empty_upstream();
    let hooked = {
        let upstream = upstream.clone();
        Hooked::new(&upstream.clone()).before_push(move |push, _, _| {
            if push == batch {
                foreign(&upstream, items(9, 0..1));
            }
            Ok(())
        })
    };
    let two = NonZeroUsize::new(2).unwrap();
    let replicator = quick(State::default(), hooked).push_batch(two).start();
    confirmed(&replicator.commit(items(1, 0..6)).unwrap());
    let mut expected: Vec<_> = (0..6).map(|number| (1, number)).collect();
    expected.insert(2 * (batch as usize - 1), (9, 0));
    assert_eq!(ordered(&upstream), expected);
    let counters = replicator.status().counters;
    assert!(counters.pushes >= 4 && counters.rebases == 1, "{counters:?}");
}

#[test]
fn upstream_is_ahead_on_the_first_batch() {
    ahead_on(1);
}

#[test]
fn upstream_is_ahead_on_a_middle_batch() {
    ahead_on(2);
}

#[test]
fn upstream_is_ahead_on_the_last_batch() {
    ahead_on(3);
}

#[test]
fn pushes_recover_from_every_error_without_a_live_pull() {
    let busy = Fault::Busy(Duration::from_millis(2));
    let delay = Fault::Delay(Duration::from_millis(2));
    let faults =
        [Fault::Reject, Fault::DisconnectBefore, Fault::DisconnectAfter, Fault::LoseEcho, busy, delay, Fault::Reject];
    let upstream = empty_upstream().one_shot();
    let replicator = quick(State::default(), upstream.clone()).one_shot_pull().start();
    for (number, fault) in (0..).zip(faults) {
        upstream.fail_push(fault);
        foreign(&upstream, items(9, number..number + 1));
        confirmed(&replicator.commit(items(1, number..number + 1)).unwrap());
    }
    let expected: Vec<_> = (0..faults.len() as u64).flat_map(|number| [(9, number), (1, number)]).collect();
    assert_eq!(ordered(&upstream), expected);
}

#[test]
fn an_echo_that_is_lost_is_caught_up_with() {
    let upstream = empty_upstream();
    let [alice, bob] = [1, 2].map(|_| quick(State::default(), upstream.clone()).start());
    eventually(|| [&alice, &bob].iter().all(|client| client.status().counters.pages > 0));
    upstream.fail_push(Fault::LoseEcho);
    confirmed(&alice.commit(items(1, 0..1)).unwrap());
    confirmed(&bob.commit(items(2, 0..1)).unwrap());
    confirmed(&alice.commit(items(1, 1..2)).unwrap());
    assert_eq!(ordered(&upstream), [(1, 0), (2, 0), (1, 1)]);
}

#[test]
fn two_clients_end_with_everything() {
    let upstream = Memory::new(0);
    let clients: Vec<_> = (0..2).map(|_| quick(MemoryLog::rebasing(), upstream.clone()).start()).collect();
    for fault in [Fault::DisconnectAfter, Fault::DisconnectBefore, Fault::Reject, Fault::LoseEcho] {
        upstream.fail_push(fault);
    }
    for fault in [Fault::DisconnectAfter, Fault::EndStream, Fault::DuplicatePage] {
        upstream.fail_pull(fault);
    }
    let commit = |n: u64| clients[(n % 2) as usize].commit(vec![n]).unwrap();
    let tickets: Vec<_> = (0..200).map(commit).collect();
    for client in &clients {
        client.flush(LONG).unwrap();
        assert_eq!(client.status().waiting_on, WaitingOn::Nothing);
    }
    for ticket in tickets {
        assert!(matches!(ticket.settled(), Some(Settled::Confirmed(_))));
    }
    let mut events: Vec<_> = upstream.entries().into_iter().map(|entry| entry.event).collect();
    events.sort_unstable();
    assert_eq!(events, (0..200).collect::<Vec<_>>());
    for client in clients {
        assert!(client.shutdown(LONG).is_clean());
    }
}
