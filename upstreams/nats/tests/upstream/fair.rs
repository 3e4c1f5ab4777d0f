//! Clients that push without a pause, and some beside them that have much to send at once: how long those wait.
//! `cargo test -p latchwork-nats -- --ignored --nocapture overtaken` says it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use latchwork::protocol::Direction;
use latchwork::{Replicator, Settled};
use latchwork_nats::{Connection, Form};
use servers::nats::Nats;
use servers::or_skip;
use tokio::time::{sleep, timeout};

use crate::common::{Log, Numbers, Upstream, config};

const ROUNDS: u64 = 5;

/// How many events a backlog has.
const EVENTS: u64 = 500;

/// The first number of the next client's events: a log takes an event for its own that is equal.
const APART: u64 = 1_000_000_000;

/// How long anything may take that is to come.
const LIMIT: Duration = Duration::from_secs(60);

/// A client as they are by default.
async fn client(nats: &Nats, form: Form) -> Replicator<Log> {
    let connection = Connection::open(&nats.url()).await.unwrap();
    let upstream = Upstream::create(&connection, config("fair", 1), Some(form), Numbers).await.unwrap();
    let (replicator, driver) = Replicator::builder(Log::rebasing(), upstream).build_async(sleep);
    tokio::spawn(driver);
    replicator
}

/// So many clients have each a backlog to send, beside three that are busy.
async fn backlogs_are_taken(form: Form, count: usize) {
    let Some(nats) = or_skip(Nats::start(1)) else { return };
    let over = Arc::new(AtomicBool::new(false));
    let mut busy = Vec::new();
    for author in 1..=3 {
        let (replicator, over) = (client(&nats, form).await, Arc::clone(&over));
        busy.push(tokio::spawn(async move {
            let (mut count, mut longest) = (0, Duration::ZERO);
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let settled = replicator.commit(vec![author * APART + count]).unwrap().await;
                assert!(matches!(settled, Settled::Confirmed(_)), "{settled:?}");
                (count, longest) = (count + 1, longest.max(begun.elapsed()));
            }
            (count, longest)
        }));
    }
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(client(&nats, form).await);
    }
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let mut tickets = Vec::new();
        for (author, client) in (4..).zip(&clients) {
            client.pause(Direction::Push);
            let first = author * APART + round * EVENTS;
            tickets.push(client.commit((first..first + EVENTS).collect()).unwrap());
        }
        // Others are ahead by then.
        sleep(Duration::from_millis(300)).await;
        let begun = Instant::now();
        for client in &clients {
            client.resume(Direction::Push);
        }
        for ticket in tickets {
            let settled = timeout(LIMIT, ticket).await.expect("it is taken at some time");
            assert!(matches!(settled, Settled::Confirmed(_)), "{settled:?}");
        }
        took.push(begun.elapsed());
    }
    over.store(true, Ordering::Relaxed);
    let mut others = Vec::new();
    for one in busy {
        others.push(timeout(LIMIT, one).await.expect("each is taken at some time").unwrap());
    }
    println!(
        "{form:?}: {count} backlogs at once were taken in {took:.1?}; of the others so many, after so long at most: \
         {others:.1?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, of half a minute"]
async fn a_push_of_a_backlog_is_not_overtaken_for_ever_by_small_ones() {
    for form in [Form::Batches, Form::Envelopes] {
        for count in [1, 5] {
            backlogs_are_taken(form, count).await;
        }
    }
}
