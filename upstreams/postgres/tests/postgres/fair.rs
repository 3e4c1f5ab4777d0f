//! Clients that push without a pause, and one among them that has much to send.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use latchwork::protocol::Direction;
use latchwork::upstream::{AsyncPull, AsyncUpstream};
use latchwork::{Replicator, Settled};
use latchwork_postgres::Database;
use servers::or_skip;
use servers::postgres::Postgres;
use tokio::time::{sleep, timeout};

use crate::common::{Log, Text, config, log, push, word};

const ROUNDS: u32 = 5;

/// How long anything may take that is to come.
const LIMIT: Duration = Duration::from_secs(60);

/// A client as they are by default.
fn client(url: &str, identity: &str) -> Replicator<Log> {
    let upstream = Database::new(config(url)).upstream("todos", identity, Text);
    let (replicator, driver) = Replicator::builder(Log::rebasing(), upstream).build_async(sleep);
    tokio::spawn(driver);
    replicator
}

#[tokio::test]
async fn push_gives_way_to_another_that_was_late() {
    const ROUNDS: u64 = 50;
    const ENOUGH: u64 = 6;
    let Some(server) = or_skip(Postgres::start()) else { return };
    let [one, other] = [log(&server.url(), "todos").await, log(&server.url(), "todos").await];
    let mut hears = one.pull(0);
    assert!(hears.next_page().await.unwrap().unwrap().entries.is_empty());
    let mut gave_way = 0;
    for base in (0..2 * ROUNDS).step_by(2) {
        if gave_way == ENOUGH {
            return;
        }
        push(&one, base, &["taken"]).await.unwrap();
        assert_eq!(word(&push(&other, base, &["late"]).await), format!("behind Some({})", base + 1));
        // Until it has heard of that.
        sleep(Duration::from_millis(20)).await;
        let later = async {
            sleep(Duration::from_millis(10)).await;
            push(&other, base + 1, &["late"]).await
        };
        let (first, second) = tokio::join!(push(&one, base + 1, &["next"]), later);
        assert!(first.is_ok() != second.is_ok(), "{first:?}, {second:?}");
        gave_way += u64::from(second.is_ok());
    }
    // It may not have heard of the late one, or that one may have been slow, and not each time.
    panic!("{gave_way} times of {ROUNDS}");
}

/// Half of these pushes wait for no other client, which would take 50 ms.
fn are_quick(mut took: Vec<Duration>) {
    took.sort();
    assert!(took[took.len() / 2] < Duration::from_millis(50), "{took:?}");
}

#[tokio::test]
async fn push_gives_way_once_to_another_that_was_late_and_never_to_its_own_client() {
    const ROUNDS: u64 = 20;
    let Some(server) = or_skip(Postgres::start()) else { return };
    let [one, other] = [log(&server.url(), "todos").await, log(&server.url(), "todos").await];
    let mut hears = one.pull(0);
    assert!(hears.next_page().await.unwrap().unwrap().entries.is_empty());
    let timed = async |base| {
        let begun = Instant::now();
        push(&one, base, &["x"]).await.unwrap();
        begun.elapsed()
    };
    push(&one, 0, &["x"]).await.unwrap();
    assert_eq!(word(&push(&other, 0, &["late"]).await), "behind Some(1)");
    let mut took = Vec::new();
    for base in 1..ROUNDS {
        took.push(timed(base).await);
    }
    are_quick(took);

    let mut took = Vec::new();
    for base in (ROUNDS..3 * ROUNDS).step_by(2) {
        assert_eq!(word(&push(&one, 0, &["late"]).await), format!("behind Some({base})"));
        push(&one, base, &["x"]).await.unwrap();
        took.push(timed(base + 1).await);
    }
    are_quick(took);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_a_backlog_is_not_overtaken_for_long_by_small_ones() {
    let Some(server) = or_skip(Postgres::start()) else { return };
    let identity = Database::new(config(&server.url())).create_log("todos").await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let small: Vec<_> = (0..3)
        .map(|name| {
            let (replicator, over) = (client(&server.url(), &identity), Arc::clone(&over));
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
    let large = client(&server.url(), &identity);
    large.caught_up().await.unwrap();
    let mut took = Duration::ZERO;
    for round in 0..ROUNDS {
        large.pause(Direction::Push);
        let events = (0..500).map(|number| format!("backlog {round} {number}")).collect();
        let ticket = large.commit(events).unwrap();
        sleep(Duration::from_millis(300)).await;
        let begun = Instant::now();
        large.resume(Direction::Push);
        let settled = timeout(LIMIT, ticket).await.expect("it is taken at some time");
        assert!(matches!(settled, Settled::Confirmed(_)), "{settled:?}");
        took += begun.elapsed();
    }
    over.store(true, Ordering::Relaxed);
    let mut others = Vec::new();
    for one in small {
        others.push(timeout(LIMIT, one).await.expect("each is taken at some time").unwrap());
    }
    println!("{ROUNDS} backlogs were taken in {took:.1?}; of the others so many, after so long at most: {others:.1?}");
    assert!(took < ROUNDS * Duration::from_secs(2), "{took:?}");
    assert!(others.iter().all(|(_, longest)| *longest < Duration::from_secs(4)), "{others:?}");
}
