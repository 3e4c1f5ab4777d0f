//! What is pulled while a server has not caught up with the stream's leader: the consumer of a pull may stand on it.

use std::sync::Arc;
use std::time::Duration;

use latchwork::upstream::PullError;
use latchwork_nats::async_nats::ConnectOptions;
use latchwork_nats::{Connection, Form};
use servers::or_skip;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::common::{Upstream, Ways, create_on_three, events_or_error, push};

const STREAM: &str = "lagging";

/// How long anything may take that is to come.
const LIMIT: Duration = Duration::from_secs(60);

/// How many events the server has that is cut off, how many there are when it is heard of again, and in a push.
const BEFORE: u64 = 10;
const ALL: u64 = 2_010;
const AT_ONCE: usize = 500;

/// How many pulls begin at once.
const PULLS: usize = 6;

/// How many events a pull has given out when it says that this was all. `None` if it fails before.
async fn all(upstream: &Upstream) -> Option<usize> {
    match events_or_error(upstream, 0).await {
        Ok(events) => Some(events.len()),
        Err(PullError::Unavailable { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_does_not_end_where_a_server_ends_that_lags() {
    let Some((nats, ways)) = or_skip(Ways::start()) else { return };
    let client = async |index| {
        let options = ConnectOptions::new().ignore_discovered_servers();
        let connection = Connection::open_with(&format!("nats://{}", nats.address(index)), options).await.unwrap();
        create_on_three(&connection, STREAM, Some(Form::Batches)).await
    };
    push(&client(0).await, 0, 1..=BEFORE).await.unwrap();
    nats.caught_up(STREAM).unwrap();
    let leader = nats.leader(STREAM).expect("it has just taken a push");
    let upstream = Arc::new(client(leader).await);
    let lags = (leader + 1) % nats.len();
    ways.cut_off(lags);
    for base in (BEFORE..ALL).step_by(AT_ONCE) {
        push(&upstream, base, (base + 1..).take(AT_ONCE)).await.unwrap();
    }
    ways.heal(lags);
    let catches_up = spawn_blocking(move || nats.caught_up(STREAM).map(|()| nats));
    let mut ended = Vec::new();
    while !catches_up.is_finished() {
        let mut pulls = JoinSet::new();
        for _ in 0..PULLS {
            let upstream = Arc::clone(&upstream);
            pulls.spawn(async move { timeout(LIMIT, all(&upstream)).await.expect("it ends or fails") });
        }
        ended.extend(pulls.join_all().await.into_iter().flatten());
    }
    let _nats = catches_up.await.unwrap().unwrap();
    println!("{} pulls", ended.len());
    let short: Vec<_> = ended.iter().filter(|&&events| events as u64 != ALL).collect();
    assert!(short.is_empty(), "{} of {} pulls end too early: {short:?}", short.len(), ended.len());
    assert_eq!(timeout(LIMIT, all(&upstream)).await, Ok(Some(ALL as usize)));
}
