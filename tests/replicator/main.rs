//! The replicator, on real threads, on tasks, and with a journal that takes its time.
#![cfg(not(loom))]
#![allow(clippy::duplicate_mod, reason = "most cases are there once, and run on both drivers")]

mod item;
mod memory;
mod slow;
mod tasks;
mod threads;
mod threads_with_a_journal;
mod upstream;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use latchwork::log::Log;
use latchwork::replicator::Builder;
use latchwork::sync_state::{Entry, SeqNum, SyncState};
use latchwork::upstream::Memory;
use latchwork::{Backoff, Latch, Replicator, Settled, Ticket, Waited};

use item::Item;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);
/// For what is expected not to happen.
const SHORT: Duration = Duration::from_millis(30);
const HOUR: Duration = Duration::from_secs(3600);

type State = SyncState<Item>;

fn sent(client: u32, number: u64) -> Item {
    Item { client, number, local_only: false }
}

fn local_only(client: u32, number: u64) -> Item {
    Item { local_only: true, ..sent(client, number) }
}

/// So many events of one client.
fn items(client: u32, numbers: std::ops::Range<u64>) -> Vec<Item> {
    numbers.map(|number| sent(client, number)).collect()
}

/// Numbered on top of `head`, as a client that knew no more would.
fn numbered(head: SeqNum, items: Vec<Item>) -> Vec<Entry<Item>> {
    State::new(head).number(items).unwrap()
}

/// Upstream takes events of another client.
fn foreign(upstream: &Memory<State>, items: Vec<Item>) {
    let head = upstream.entries().last().map_or(SeqNum::ROOT, |entry| entry.seq);
    upstream.append(numbered(head, items));
}

fn empty_upstream() -> Memory<State> {
    Memory::new(SeqNum::ROOT.position())
}

/// What upstream has ordered, as client and number.
fn ordered(upstream: &Memory<State>) -> Vec<(u32, u64)> {
    upstream.entries().into_iter().map(|entry| (entry.event.client, entry.event.number)).collect()
}

/// Quick to try again.
fn quickly<L: Log, U, J>(builder: Builder<L, U, J>) -> Builder<L, U, J> {
    builder
        .backoff(Backoff::new(Duration::from_millis(1), Duration::from_millis(5)))
        .catch_up_grace(Duration::from_millis(5))
}

/// The position at which a commit was confirmed.
#[track_caller]
fn confirmed<P: Copy + Send + std::fmt::Debug + 'static>(ticket: &Ticket<P>) -> P {
    match ticket.wait_timeout(LONG) {
        Waited::Ready(Settled::Confirmed(position)) => position,
        other => panic!("expected the commit to be confirmed, got {other:?}"),
    }
}

#[track_caller]
fn pass(gate: &Latch) {
    assert!(matches!(gate.opened().wait_timeout(LONG), Waited::Ready(())), "the gate was not opened");
}

/// Looks until it holds; for what no event tells.
#[track_caller]
fn eventually(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to hold");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The smallest executor.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
