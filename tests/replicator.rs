//! The replicator on real threads.
#![cfg(not(loom))]

use std::time::Duration;

use latchwork::log::MemoryLog;
use latchwork::protocol::WaitingOn;
use latchwork::upstream::{Fault, Memory};
use latchwork::{Backoff, Replicator, Settled};

const LONG: Duration = Duration::from_secs(20);

#[test]
fn two_clients_end_with_everything() {
    let upstream = Memory::new(0);
    let quick = Backoff::new(Duration::from_millis(1), Duration::from_millis(5));
    let clients: Vec<_> = (0..2)
        .map(|_| {
            Replicator::builder(MemoryLog::rebasing(), upstream.clone())
                .backoff(quick)
                .catch_up_grace(Duration::from_millis(5))
                .spawn()
                .unwrap()
        })
        .collect();
    for fault in [Fault::DisconnectAfter, Fault::DisconnectBefore, Fault::Reject, Fault::LoseEcho] {
        upstream.fail_push(fault);
    }
    for fault in [Fault::DisconnectAfter, Fault::EndStream, Fault::DuplicatePage] {
        upstream.fail_pull(fault);
    }
    let mut tickets = Vec::new();
    for n in 0..200_u64 {
        tickets.push(clients[(n % 2) as usize].commit(vec![n]).unwrap());
    }
    for client in &clients {
        client.flush(LONG).unwrap();
        assert_eq!(client.status().waiting_on, WaitingOn::Nobody);
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
