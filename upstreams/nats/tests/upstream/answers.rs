//! What a client makes of answers that real servers give too seldom for a test. A client plays the servers of a cluster: on a
//! server without JetStream nothing else answers. (One that has it answers for an account that has not, too, sooner or later.)

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use latchwork::upstream::{FatalKind, PullError};
use latchwork_nats::async_nats::Client;
use latchwork_nats::{Connection, Form};
use serde_json::{Value, json};
use servers::nats::Nats;
use servers::or_skip;
use tokio::time::sleep;

use crate::common::{Numbers, Upstream, config, first_page};

const STREAM: &str = "played";
const SUBJECT: &str = "latchwork.batches.xyz";
const WITHOUT: &str = "jetstream: disabled";

/// What a server says of the stream that has so many messages, knows this leader, and was last answered so long ago by these.
fn info(last: u64, leader: Option<&str>, active: &[(&str, Duration)]) -> Value {
    let replica = |(name, active): &(&str, Duration)| {
        // As of one that catches up.
        json!({ "name": name, "current": false, "lag": 7, "active": u64::try_from(active.as_nanos()).unwrap() })
    };
    let replicas: Vec<_> = active.iter().map(replica).collect();
    let mut config = serde_json::to_value(config(STREAM, 3)).unwrap();
    config["subjects"] = json!([SUBJECT]);
    let time = "2026-01-01T00:00:00Z";
    let state = json!({
        "messages": last, "bytes": 0, "first_seq": 1, "first_ts": time, "last_seq": last, "last_ts": time, "consumer_count": 0
    });
    let cluster = json!({ "name": "c", "leader": leader, "replicas": replicas });
    json!({ "config": config, "created": time, "state": state, "cluster": cluster, "ts": time })
}

/// Answers each question about the stream with all of these, in this order.
async fn play(client: &Client, answers: Vec<Value>) {
    let mut questions = client.subscribe(format!("$JS.API.STREAM.INFO.{STREAM}")).await.unwrap();
    let client = client.clone();
    client.flush().await.unwrap();
    tokio::spawn(async move {
        while let Some(question) = questions.next().await {
            for answer in &answers {
                client.publish(question.reply.clone().unwrap(), answer.to_string().into()).await.unwrap();
            }
        }
    });
}

async fn of_pull(upstream: &Upstream, cursor: u64) -> PullError {
    first_page(upstream, cursor).await.expect_err("no server makes a consumer")
}

#[tokio::test]
async fn a_pull_hears_the_leader_behind_a_server_that_knows_none() {
    let Some(nats) = or_skip(Nats::start_with(1, WITHOUT)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    let ago = Duration::from_millis(300);
    let knows_none = info(1, None, &[("n0", Duration::ZERO), ("n1", Duration::ZERO), ("n2", Duration::ZERO)]);
    let knows_another = info(2, Some("n0"), &[("n0", ago), ("n2", Duration::ZERO)]);
    let leader = info(3, Some("n0"), &[("n1", ago), ("n2", ago)]);
    play(connection.client(), vec![knows_none, knows_another, leader]).await;
    let upstream = Upstream::open(&connection, STREAM, Some("xyz"), Numbers).await.unwrap();
    assert_eq!(upstream.form(), Form::Batches);
    let goes_on = of_pull(&upstream, 3).await.to_string();
    assert!(goes_on.contains("to begin a pull"), "it has looked at the stream: {goes_on}");
}

#[tokio::test]
async fn a_pull_says_who_has_answered_where_no_server_leads() {
    let Some(nats) = or_skip(Nats::start_with(1, WITHOUT)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    let upstream = {
        let leader = Connection::open(&nats.url()).await.unwrap();
        play(leader.client(), vec![info(3, Some("n0"), &[("n1", Duration::from_millis(300))])]).await;
        let upstream = Upstream::open(&connection, STREAM, None, Numbers).await.unwrap();
        leader.client().drain().await.unwrap();
        upstream
    };
    play(connection.client(), vec![info(1, None, &[("n0", Duration::ZERO), ("n1", Duration::ZERO)])]).await;
    let says = async || {
        loop {
            match of_pull(&upstream, 3).await {
                PullError::Unavailable { error, .. } if !error.to_string().contains("to begin") => return error,
                PullError::Unavailable { .. } => sleep(Duration::from_millis(20)).await,
                error => panic!("{error}"),
            }
        }
    };
    let says = says().await.to_string();
    assert_eq!(says, "the stream's state: a server that knows none to lead it says that message 1 is the last one");
}

#[tokio::test]
async fn a_pull_believes_a_leader_that_is_answered_that_the_stream_has_gone_back() {
    let Some(nats) = or_skip(Nats::start_with(1, WITHOUT)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    let ago = Duration::from_millis(300);
    play(connection.client(), vec![info(1, Some("n0"), &[("n1", ago), ("n2", Duration::from_secs(60))])]).await;
    let upstream = Upstream::open(&connection, STREAM, None, Numbers).await.unwrap();
    let begun = Instant::now();
    loop {
        match of_pull(&upstream, 3).await {
            PullError::Unavailable { error, .. } => {
                let says = error.to_string();
                let seen = "played ends at event 1, and event 3 had been there; its leader n0 says so for ";
                assert!(says.contains(seen) && says.ends_with("by n1 300.0ms ago, by n2 60.0s ago"), "{says}");
            }
            PullError::Fatal { kind: FatalKind::WentBack, .. } => break,
            error => panic!("{error}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it is believed at some time");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(2_500), "it may have been deposed: {:?}", begun.elapsed());
}
