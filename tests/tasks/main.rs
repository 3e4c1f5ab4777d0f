//! The replicator for tasks: the driver, on several executors.
#![cfg(not(loom))]

mod adapters;
mod dropping;
mod panics;
mod running;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::replicator::Builder;
use latchwork::upstream::Memory;
use latchwork::{Backoff, Replicator};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(20);

type Log = MemoryLog<u64>;
type Held = latchwork::journal::Memory<Log>;

/// A replicator that does not wait long.
fn quick<U>(upstream: U) -> Builder<Log, U> {
    let delay = Duration::from_millis(5);
    Replicator::builder(MemoryLog::new(), upstream).backoff(Backoff::new(delay, 4 * delay)).catch_up_grace(2 * delay)
}

/// Runs this on one thread, for as long as it may take at most.
fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let test = async { tokio::time::timeout(LONG, test).await.expect("it takes too long") };
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

/// Events that another client appends.
fn foreign(upstream: &Memory<Log>, count: u64) {
    let head = upstream.entries().last().map_or(0, |entry| entry.position);
    upstream.append((1..=count).map(|number| MemoryEntry { position: head + number, event: 1000 + number }));
}

/// A future, and how often it is polled.
struct Counted<F> {
    future: F,
    polls: Arc<AtomicUsize>,
}

impl<F: Future + Unpin> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.future).poll(context)
    }
}

/// Polls once, with a waker that wakes nothing.
fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}
