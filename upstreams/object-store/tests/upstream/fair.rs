//! Clients that push without a pause, and others beside them that have much to send.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use latchwork::protocol::Direction;
use latchwork::{Replicator, Settled};
use latchwork_object_store::ObjectStoreUpstream;
use latchwork_object_store::object_store::ObjectStore;
use latchwork_object_store::object_store::local::LocalFileSystem;
use latchwork_object_store::object_store::memory::InMemory;
use tokio::time::{sleep, timeout};

use crate::common::{Log, Text};

/// How long anything may take that is to come.
const LIMIT: Duration = Duration::from_secs(20);

/// A client as they are by default.
fn client(store: &Arc<dyn ObjectStore>) -> Replicator<Log> {
    let upstream = ObjectStoreUpstream::new(Arc::clone(store), "todos", Text, sleep);
    let (replicator, driver) = Replicator::builder(Log::rebasing(), upstream).build_async(sleep);
    tokio::spawn(driver);
    replicator
}

async fn backlogs_are_taken(store: Arc<dyn ObjectStore>) {
    let over = Arc::new(AtomicBool::new(false));
    let small: Vec<_> = (0..3)
        .map(|name| {
            let (replicator, over) = (client(&store), Arc::clone(&over));
            tokio::spawn(async move {
                let (mut count, mut longest) = (0_u64, Duration::ZERO);
                while !over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let settled = replicator.commit(vec![format!("{name} {count}")]).unwrap().await;
                    assert!(matches!(settled, Settled::Confirmed(_)), "{settled:?}");
                    (count, longest) = (count + 1, longest.max(begun.elapsed()));
                }
                (count, longest)
            })
        })
        .collect();
    let backlog = |name| {
        let replicator = client(&store);
        replicator.pause(Direction::Push);
        let events = (0..500).map(|number| format!("backlog {name} {number}")).collect();
        let ticket = replicator.commit(events).unwrap();
        (replicator, ticket)
    };
    let large: Vec<_> = (0..5).map(backlog).collect();
    sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    large.iter().for_each(|(replicator, _)| replicator.resume(Direction::Push));
    let mut took = Vec::new();
    for (replicator, ticket) in large {
        let taken = timeout(LIMIT, ticket).await;
        assert!(taken.is_ok(), "it is overtaken again and again: {}", replicator.status());
        took.push(begun.elapsed());
    }
    over.store(true, Ordering::Relaxed);
    let mut others = Vec::new();
    for one in small {
        others.push(timeout(LIMIT, one).await.expect("each is taken at some time").unwrap());
    }
    println!("all were taken after {took:.1?}; of the others so many, after so long at most: {others:.1?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_of_backlogs_are_not_overtaken_for_long_in_memory() {
    backlogs_are_taken(Arc::new(InMemory::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_of_backlogs_are_not_overtaken_for_long_on_a_local_disk() {
    let folder = tempfile::tempdir().unwrap();
    backlogs_are_taken(Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap())).await;
}
