//! Clients that commit through replicators, and a server that is killed, restarted, frozen and cut off meanwhile.
//!
//! A short form runs with the other tests. `LATCHWORK_POSTGRES_KILLS` sets how often the server is killed, in a long one.

use std::collections::HashMap;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use latchwork::contract::Proxy;
use latchwork::{Backoff, Replicator, Settled, Ticket};
use latchwork_postgres::Database;
use servers::or_skip;
use servers::postgres::Postgres;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::common::{Log, Text, admin, config, log, texts, through};

const CLIENTS: usize = 4;
/// How long all of it may take, with an outage.
const LIMIT: Duration = Duration::from_secs(60);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fault {
    Kill,
    Terminate,
    Restart,
    Freeze,
    Cut,
}

/// A client at work: it commits one event after the other, and some at once now and then.
struct Client {
    replicator: Replicator<Log>,
    driver: JoinHandle<()>,
    commits: JoinHandle<Vec<(String, Ticket<u64>)>>,
}

fn client(name: usize, url: &str, identity: &str, ends: Arc<AtomicBool>) -> Client {
    let database = Database::new(config(&format!("{url}?connect_timeout=1&application_name=client")));
    let upstream = database.upstream("todos", identity, Text).poll(Duration::from_millis(500));
    let delay = Duration::from_millis(10);
    let builder = Replicator::builder(Log::rebasing(), upstream).backoff(Backoff::new(delay, 10 * delay));
    let builder = builder.push_deadline(Duration::from_secs(2)).pull_silence(Duration::from_secs(2));
    let (replicator, driver) = builder.build_async(sleep);
    let commits = {
        let replicator = replicator.clone();
        tokio::spawn(async move {
            let mut tickets = Vec::new();
            for number in 0.. {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let event = format!("{name} {number}");
                tickets.push((event.clone(), replicator.commit(vec![event]).unwrap()));
                // Not so often that the clients do nothing but overtake each other.
                sleep(Duration::from_millis(if number % 10 < 9 { 0 } else { 80 + 10 * name as u64 })).await;
            }
            tickets
        })
    };
    Client { replicator, driver: tokio::spawn(driver), commits }
}

/// How many pushes of each client have been taken.
fn accepted(clients: &[Client]) -> Vec<u64> {
    clients.iter().map(|client| client.replicator.status().counters.accepted).collect()
}

async fn happen(fault: Fault, server: &mut Postgres, proxy: &Proxy) {
    match fault {
        Fault::Kill => {
            server.kill();
            server.restart().unwrap();
        }
        Fault::Restart => {
            server.stop();
            server.restart().unwrap();
        }
        Fault::Freeze => {
            server.freeze();
            sleep(Duration::from_millis(500)).await;
            server.thaw();
        }
        Fault::Terminate => {
            let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'client'";
            admin(&server.url()).await.batch_execute(all).await.unwrap();
        }
        Fault::Cut => proxy.cut(),
    }
}

async fn chaos(faults: Vec<Fault>) {
    let Some(mut server) = or_skip(Postgres::start()) else { return };
    let proxy = Proxy::new(server.address()).unwrap();
    let identity = Database::new(config(&server.url())).create_log("todos").await.unwrap();
    let ends = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..CLIENTS).map(|name| client(name, &through(&proxy), &identity, Arc::clone(&ends))).collect();
    // How long the server was gone, and how long then until each client goes on.
    let mut outages: HashMap<Fault, Vec<[Duration; 2]>> = HashMap::new();
    for (round, fault) in faults.into_iter().enumerate() {
        // Any moment will do, so there is no event to wait for.
        sleep(Duration::from_millis(100 + round as u64 * 37 % 100)).await;
        let begun = Instant::now();
        happen(fault, &mut server, &proxy).await;
        let (gone, before) = (begun.elapsed(), accepted(&clients));
        let goes_on = async {
            while accepted(&clients).iter().zip(&before).any(|(now, before)| now <= before) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        if timeout(LIMIT, goes_on).await.is_err() {
            let statuses: Vec<_> = clients.iter().map(|client| client.replicator.status().to_string()).collect();
            panic!("round {round}, {fault:?}: parked: {statuses:#?}");
        }
        outages.entry(fault).or_default().push([gone, begun.elapsed() - gone]);
    }
    ends.store(true, Ordering::Relaxed);

    let mut all = Vec::new();
    let mut counts = [0; 4];
    for client in clients {
        for (event, ticket) in client.commits.await.unwrap() {
            match timeout(LIMIT, ticket).await.expect("an answer to each commit") {
                Settled::Confirmed(number) => all.push((number, event)),
                other => panic!("{event}: {other:?}"),
            }
        }
        let counters = client.replicator.status().counters;
        let these = [counters.pushes, counters.behind, counters.uncertain, counters.unavailable];
        counts = std::array::from_fn(|index| counts[index] + these[index]);
        assert!(client.replicator.shutdown_async(LIMIT, sleep).await.is_clean());
        client.driver.await.unwrap();
    }
    // By number: no gap, nothing lost, nothing twice, and each where its ticket says.
    all.sort();
    let there = texts(&log(&server.url(), "todos").await).await;
    assert!(all.iter().map(|(number, _)| *number).eq(1..=there.len() as u64));
    assert!(all.iter().map(|(_, event)| event).eq(&there));
    let mut last: HashMap<&str, i64> = HashMap::new();
    for event in &there {
        let (name, number) = event.split_once(' ').unwrap();
        let (number, last) = (number.parse().unwrap(), last.entry(name).or_insert(-1));
        assert_eq!(number, *last + 1, "of client {name}");
        *last = number;
    }
    let [pushes, behind, uncertain, unavailable] = counts;
    println!(
        "{} events in {pushes} pushes: {behind} behind, {uncertain} uncertain, {unavailable} unavailable",
        all.len()
    );
    for (fault, times) in outages {
        let [gone, then] = [0, 1].map(|which| {
            let mut times: Vec<_> = times.iter().map(|times| times[which]).collect();
            times.sort();
            format!("{:.0?}, {:.0?} at most", times[times.len() / 2], times[times.len() - 1])
        });
        println!("{fault:?}, {} times: done after {gone}; each client's next push taken after {then}", times.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_survive_whatever_becomes_of_the_server() {
    let kills = env::var("LATCHWORK_POSTGRES_KILLS").map_or(2, |kills| kills.parse::<usize>().unwrap());
    let others = [Fault::Cut, Fault::Terminate, Fault::Freeze, Fault::Restart];
    let faults = (0..kills).flat_map(|round| [Fault::Kill, others[round * 2 % 4], others[(round * 2 + 1) % 4]]);
    chaos(faults.collect()).await;
}
