//! A pull that is far behind, from a store whose answers take their time. The clock is the test's: it stands still but for them.

use std::sync::Arc;
use std::time::Duration;

use latchwork::upstream::{AsyncPull, AsyncUpstream, FatalKind, PullError};
use latchwork_object_store::object_store::path::Path;
use latchwork_object_store::object_store::throttle::{ThrottleConfig, ThrottledStore};
use latchwork_object_store::object_store::{ObjectStore, ObjectStoreExt};
use tokio::time::Instant;

use crate::common::{client, pull, push};
use crate::outcomes::Faulty;

/// How long an answer takes.
const ANSWER: Duration = Duration::from_millis(20);

const BATCHES: u64 = 500;

/// A store with so many batches of one event each, and the same store at a distance.
async fn far(batches: u64) -> (Arc<Faulty>, Arc<dyn ObjectStore>) {
    let store = Arc::new(Faulty::default());
    let writer = client(Arc::clone(&store) as _, "todos");
    for base in 0..batches {
        push(&writer, base, &[&base.to_string()]).await.unwrap();
    }
    let config = ThrottleConfig { wait_get_per_call: ANSWER, wait_list_per_call: ANSWER, ..ThrottleConfig::default() };
    (Arc::clone(&store), Arc::new(ThrottledStore::new(store, config)))
}

#[tokio::test(start_paused = true)]
async fn pull_from_far_behind_does_not_wait_for_one_answer_after_the_other() {
    let (_, store) = far(BATCHES).await;
    for cursor in [0, 1, BATCHES - 100] {
        let begun = Instant::now();
        let events = pull(&client(Arc::clone(&store), "todos"), cursor).await.unwrap();
        let took = begun.elapsed();
        assert!(events.iter().map(|event| event.parse::<u64>().unwrap()).eq(cursor..BATCHES), "from {cursor}");
        // The identity, the first batches, two lists and the end take an answer each.
        let answers = (BATCHES - cursor) / 16 + 13;
        assert!(took <= ANSWER * answers as u32, "from {cursor}: {took:?}, expected {answers} answers at most");
    }
}

#[tokio::test(start_paused = true)]
async fn pull_from_further_behind_than_a_list_is_long_lists_again() {
    let batches = 2500;
    let (_, store) = far(batches).await;
    let begun = Instant::now();
    assert_eq!(pull(&client(store, "todos"), 0).await.unwrap().len() as u64, batches);
    let (took, answers) = (begun.elapsed(), batches / 16 + 30);
    assert!(took <= ANSWER * answers as u32, "{took:?}, expected {answers} answers at most");
}

#[tokio::test(start_paused = true)]
async fn pull_that_waits_lists_nothing_however_much_has_come() {
    const ROUNDS: u32 = 8;
    let (near, store) = far(0).await;
    let (writer, reader) = (client(near as _, "todos"), client(store, "todos"));
    let mut pages = reader.pull(0);
    let mut next = async || pages.next_page().await.unwrap().unwrap().entries.len();
    assert_eq!(next().await, 0);
    let begun = Instant::now();
    for base in 0..u64::from(ROUNDS) {
        push(&writer, base, &["x"]).await.unwrap();
        assert_eq!([next().await, next().await], [1, 0]);
    }
    let (took, answers) = (begun.elapsed(), 2 * ROUNDS + 2);
    assert!(took < ANSWER * answers, "{took:?}, expected {answers} answers at most");
}

#[tokio::test(start_paused = true)]
async fn pull_that_is_not_far_behind_lists_nothing() {
    let (_, store) = far(2).await;
    let begun = Instant::now();
    assert_eq!(pull(&client(Arc::clone(&store), "todos"), 0).await.unwrap(), ["0", "1"]);
    assert_eq!(begun.elapsed(), 4 * ANSWER, "the identity, two batches and the end");
}

#[tokio::test(start_paused = true)]
async fn pull_that_reads_ahead_finds_what_is_put_meanwhile_and_what_is_no_batch() {
    let (near, store) = far(100).await;
    let (writer, reader) = (client(Arc::clone(&near) as _, "todos"), client(store, "todos"));
    let mut pages = reader.pull(0);
    let mut events = Vec::new();
    while events.len() < 103 {
        let page = pages.next_page().await.unwrap().unwrap();
        events.extend(page.entries.into_iter().map(|entry| entry.event));
        if events.len() == 50 {
            push(&writer, 100, &["x", "y", "z"]).await.unwrap();
            // Within a batch: no client puts it there.
            near.put(&Path::from("log/00000000000000000102"), "none".into()).await.unwrap();
        }
    }
    assert_eq!(events[100..], ["x", "y", "z"]);
    near.put(&Path::from("log/00000000000000000104"), "none".into()).await.unwrap();
    let error = loop {
        match pages.next_page().await.unwrap() {
            Ok(page) => assert!(page.entries.is_empty()),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, PullError::Fatal { kind: FatalKind::Other, .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn pull_that_reads_ahead_passes_over_a_batch_that_does_not_follow() {
    let (near, store) = far(20).await;
    let writer = client(Arc::clone(&near) as _, "todos");
    push(&writer, 20, &["x", "y", "z"]).await.unwrap();
    push(&writer, 23, &["last"]).await.unwrap();
    // Within the batch of three, and reaching beyond it: no client puts it there.
    let event = [&5_u64.to_be_bytes()[..], b"alien"].concat();
    let batch = [b"latchwork batch 1\n", &[7; 16][..], &event.repeat(3)].concat();
    near.put(&Path::from("log/00000000000000000022"), batch.into()).await.unwrap();
    let events = pull(&client(store, "todos"), 0).await.unwrap();
    assert_eq!(events[20..], ["x", "y", "z", "last"]);
}
