//! Clients that push without a pause, and one among them that has much to send.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use latchwork::protocol::Direction;
use latchwork::upstream::{AsyncPull, AsyncUpstream};
use latchwork::{Replicator, Settled};
use latchwork_postgres::Database;
use servers::or_skip;
use servers::postgres::Postgres;
use tokio::time::{sleep, timeout};

use crate::common::{LIMIT, Log, Still, Text, Upstream, at_once, config, log, push, word};

const ROUNDS: u32 = 5;

/// A client as they are by default.
fn client(url: &str, identity: &str) -> Replicator<Log> {
    let upstream = Database::new(config(url)).upstream("todos", identity, Text);
    let (replicator, driver) = Replicator::builder(Log::rebasing(), upstream).build_async(sleep);
    tokio::spawn(driver);
    replicator
}

/// A client that hears what its log's pushes tell, and can be seen to have heard it.
struct Hears {
    log: Upstream,
    /// On the same session, which hears in the order of the commits.
    other_log: Upstream,
    teller: Upstream,
    told: u64,
}

impl Hears {
    async fn of(url: &str) -> Self {
        let database = Database::new(config(url));
        let upstream = async |name| database.upstream(name, database.create_log(name).await.unwrap(), Text);
        Self {
            log: upstream("todos").await,
            other_log: upstream("told").await,
            teller: log(url, "told").await,
            told: 0,
        }
    }

    /// Waits until it has heard all that has been told.
    async fn has_heard_all(&mut self) {
        let mut pull = self.other_log.pull(self.told);
        assert!(pull.next_page().await.unwrap().unwrap().entries.is_empty());
        push(&self.teller, self.told, &["told"]).await.unwrap();
        self.told += 1;
        assert_eq!(pull.next_page().await.unwrap().unwrap().entries.len(), 1);
    }
}

#[tokio::test]
async fn push_gives_way_to_another_that_was_late() {
    const ROUNDS: u64 = 10;
    let Some(server) = or_skip(Postgres::start()) else { return };
    let (mut one, other) = (Hears::of(&server.url()).await, log(&server.url(), "todos").await);
    let mut hears = one.log.pull(0);
    assert!(hears.next_page().await.unwrap().unwrap().entries.is_empty());
    for base in (0..2 * ROUNDS).step_by(2) {
        push(&one.log, base, &["taken"]).await.unwrap();
        assert_eq!(word(&push(&other, base, &["late"]).await), format!("behind Some({})", base + 1));
        one.has_heard_all().await;
        let still = Still::new();
        let later = async {
            tokio::task::spawn_blocking(|| thread::sleep(Duration::from_millis(10))).await.unwrap();
            let pushed = push(&other, base + 1, &["late"]).await;
            drop(still);
            pushed
        };
        let (first, second) = tokio::join!(push(&one.log, base + 1, &["next"]), later);
        assert_eq!([word(&first), word(&second)], [format!("behind Some({})", base + 2), "taken".to_owned()]);
    }
}

#[tokio::test]
async fn push_gives_way_once_to_another_that_was_late_and_never_to_its_own_client() {
    const ROUNDS: u64 = 20;
    let Some(server) = or_skip(Postgres::start()) else { return };
    let (mut one, other) = (Hears::of(&server.url()).await, log(&server.url(), "todos").await);
    let mut hears = one.log.pull(0);
    assert!(hears.next_page().await.unwrap().unwrap().entries.is_empty());
    push(&one.log, 0, &["x"]).await.unwrap();
    assert_eq!(word(&push(&other, 0, &["late"]).await), "behind Some(1)");
    one.has_heard_all().await;
    // This once.
    push(&one.log, 1, &["x"]).await.unwrap();
    for base in 2..ROUNDS {
        at_once(push(&one.log, base, &["x"])).await.unwrap();
    }

    for base in (ROUNDS..3 * ROUNDS).step_by(2) {
        assert_eq!(word(&push(&one.log, 0, &["late"]).await), format!("behind Some({base})"));
        one.has_heard_all().await;
        at_once(push(&one.log, base, &["x"])).await.unwrap();
        at_once(push(&one.log, base + 1, &["x"])).await.unwrap();
    }
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
