//! What is kept, measured: the memory of this process, which runs nothing else.
#![cfg(all(not(loom), target_os = "linux"))]

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::protocol::Direction;
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, Memory, More, Page, PullError, PushError, Upstream};
use latchwork::{Interrupt, Replicator, Settled};

/// One of these tests at a time: they measure the same process.
static ALONE: Mutex<()> = Mutex::new(());

/// The memory that this process has in use, in KiB.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}

#[test]
fn subscriptions_that_are_dropped_offline_leave_nothing_behind() {
    let _alone = ALONE.lock();
    let replicator = Replicator::builder(MemoryLog::<u64>::new(), Memory::new(0)).spawn().unwrap();
    replicator.pause(Direction::Pull);
    let subscribe = || (0..200_000).for_each(|_| drop(replicator.updates()));
    // What the allocator keeps for itself.
    subscribe();
    let before = resident();
    subscribe();
    let grown = resident().saturating_sub(before);
    assert!(grown < 1024, "{grown} KiB for 200,000 subscriptions that are gone");
}

#[test]
fn confirmed_events_that_no_subscriber_reads_take_no_room() {
    let _alone = ALONE.lock();
    let upstream = Forgets::default();
    let replicator = Replicator::builder(MemoryLog::<u64>::new(), upstream).push_batch(BATCH).spawn().unwrap();
    let unread = replicator.updates();
    let confirm = |events: u64| {
        for batch in 0..events / 1000 {
            replicator.commit((batch * 1000..(batch + 1) * 1000).collect()).unwrap();
            if batch % 10 == 9 {
                replicator.flush(Duration::from_secs(60)).unwrap();
            }
        }
    };
    confirm(200_000);
    let before = resident();
    confirm(1_000_000);
    let grown = resident().saturating_sub(before);
    assert!(grown < 1024, "{grown} KiB for 1,000,000 events that no subscriber has read");
    drop(unread);
}

#[test]
fn replicators_for_tasks_take_little_room_and_are_dropped_in_a_moment() {
    const MANY: u64 = 100_000;
    let _alone = ALONE.lock();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let before = resident();
        let replicators: Vec<_> = (0..MANY)
            .map(|_| {
                let builder = Replicator::builder(MemoryLog::<u64>::new(), Takes);
                let (replicator, driver) = builder.build_async(tokio::time::sleep);
                (replicator, tokio::spawn(driver))
            })
            .collect();
        // Each pull has begun by then.
        replicators[replicators.len() - 1].0.status_when(|status| status.counters.pulls > 0).await;
        let each = (resident() - before) * 1024 / MANY;
        println!("{each} bytes for each idle replicator, its handle and its task");
        assert!(each <= 2560, "{each} bytes for a replicator");
        for (replicator, _) in &replicators {
            assert!(matches!(replicator.commit(vec![1]).unwrap().await, Settled::Confirmed(_)));
        }
        let begun = Instant::now();
        for (replicator, driver) in replicators {
            drop(replicator);
            driver.await.unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?} for dropping them", begun.elapsed());
    });
}

/// An upstream that takes everything and has nothing to give.
struct Takes;

impl AsyncUpstream<MemoryLog<u64>> for Takes {
    type Pull<'a> = Nothing;

    async fn push(&self, _: &Batch<MemoryLog<u64>>) -> Result<(), PushError<u64>> {
        Ok(())
    }

    fn pull(&self, _: u64) -> Nothing {
        Nothing
    }
}

struct Nothing;

impl AsyncPull<MemoryLog<u64>> for Nothing {
    async fn next_page(&mut self) -> Option<Result<Page<MemoryEntry<u64>>, PullError>> {
        std::future::pending().await
    }
}

const BATCH: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

/// An upstream that keeps none of what it takes.
#[derive(Default)]
struct Forgets(AtomicU64);

impl Upstream<MemoryLog<u64>> for Forgets {
    fn push(&self, batch: &Batch<MemoryLog<u64>>, _: &Interrupt) -> Result<(), PushError<u64>> {
        self.0.fetch_add(batch.entries.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn pull<'a>(
        &'a self,
        _: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<MemoryEntry<u64>>, PullError>> + 'a {
        let caught_up = Page { entries: Vec::new(), more: More::None };
        std::iter::once(Ok(caught_up)).chain(std::iter::from_fn(|| {
            interrupt.wait();
            None
        }))
    }
}
