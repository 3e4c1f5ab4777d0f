//! Clients that commit while servers of their cluster are killed, frozen and started again, and connections are cut.
//!
//! At the end every event of every client stands in the stream, once and in its author's order, every ticket is confirmed, and
//! no client waits for anything. `cargo test --release -p latchwork-nats -- --ignored --nocapture twenty` kills 20 leaders.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use latchwork::protocol::WaitingOn;
use latchwork::{Backoff, Replicator, Settled};
use latchwork_nats::async_nats::ConnectOptions;
use latchwork_nats::{Connection, Form};
use servers::nats::Nats;
use servers::or_skip;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::common::{Log, Numbers, Upstream, Ways, create_on_three, events};

const CLIENTS: u64 = 4;

/// The first number of the next client's events.
const APART: u64 = 1_000_000_000;

/// How long anything may take that is to come.
const LIMIT: Duration = Duration::from_secs(60);

const STREAM: &str = "chaos";

/// What clients have seen: when each event was committed and confirmed.
type Seen = Arc<Mutex<Vec<(Instant, Instant)>>>;

struct Clients {
    connections: Vec<Connection>,
    replicators: Vec<Replicator<Log>>,
    /// How many events each has committed, once it is over.
    work: Vec<JoinHandle<u64>>,
    over: Arc<AtomicBool>,
    seen: Seen,
}

impl Clients {
    /// Each knows the servers of one of these, one after the other.
    async fn start(urls: &[String]) -> Self {
        let (over, seen) = (Arc::new(AtomicBool::new(false)), Seen::default());
        let (mut connections, mut replicators, mut work) = (Vec::new(), Vec::new(), Vec::new());
        for (client, url) in (0..CLIENTS).zip(urls.iter().cycle()) {
            let options = ConnectOptions::new().ping_interval(Duration::from_secs(1)).ignore_discovered_servers();
            let connection = Connection::open_with(url, options).await.unwrap();
            let upstream = create_on_three(&connection, STREAM, Some(Form::Batches)).await;
            let (replicator, driver) = Replicator::builder(Log::rebasing(), upstream)
                .backoff(Backoff::new(Duration::from_millis(20), Duration::from_millis(500)))
                .push_deadline(Duration::from_secs(10))
                .pull_silence(Duration::from_secs(10))
                .build_async(tokio::time::sleep);
            tokio::spawn(driver);
            let (over, seen) = (Arc::clone(&over), Arc::clone(&seen));
            work.push(tokio::spawn(commit(client, replicator.clone(), over, seen)));
            replicators.push(replicator);
            connections.push(connection);
        }
        Self { connections, replicators, work, over, seen }
    }

    /// How long it took from `when` until an event was confirmed that was committed after it.
    async fn next_taken(&self, when: Instant) -> Duration {
        let taken = async {
            loop {
                let seen = self.seen.lock().unwrap().clone();
                let first = seen.iter().filter(|(committed, _)| *committed > when).map(|(_, confirmed)| *confirmed);
                if let Some(confirmed) = first.min() {
                    return confirmed - when;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, taken).await.unwrap_or_else(|_| panic!("nothing is taken any more: {}", told(&self.replicators)))
    }

    /// Ends the work, and looks whether everything is as it should be. Returns how many events there are.
    async fn end(mut self, url: &str) -> usize {
        self.over.store(true, Ordering::Relaxed);
        let mut committed = BTreeMap::new();
        for (client, work) in (0..).zip(&mut self.work) {
            let ended = timeout(LIMIT, work).await;
            let count =
                ended.unwrap_or_else(|_| panic!("client {client} is not confirmed:\n{}", told(&self.replicators)));
            committed.insert(client, count.unwrap());
        }
        let connection = Connection::open(url).await.unwrap();
        let upstream = Upstream::open(&connection, STREAM, None, Numbers).await.unwrap();
        let all = timeout(LIMIT, events(&upstream, 0)).await.expect("the stream is given out in time");
        let mut next = BTreeMap::new();
        for event in &all {
            let next: &mut u64 = next.entry(event / APART).or_default();
            assert_eq!(event % APART, *next, "the next event of client {}", event / APART);
            *next += 1;
        }
        assert_eq!(next, committed);
        for replicator in &self.replicators {
            let caught_up = replicator.status_when(|status| status.upstream_head == all.len() as u64);
            timeout(LIMIT, caught_up).await.expect("each client has everything");
            let status = replicator.status();
            assert_eq!(
                (status.pending, &status.waiting_on, status.decisions.len()),
                (0, &WaitingOn::Nothing, 0),
                "{status}"
            );
        }
        all.len()
    }
}

fn told(replicators: &[Replicator<Log>]) -> String {
    let tell = |replicator: &Replicator<Log>| {
        let status = replicator.status();
        format!("{status}; last error: {:?}", status.last_error)
    };
    replicators.iter().map(tell).collect::<Vec<_>>().join("\n")
}

/// Commits one event after the other until it is over, then awaits what has come of all. Returns how many there were.
async fn commit(client: u64, replicator: Replicator<Log>, over: Arc<AtomicBool>, seen: Seen) -> u64 {
    let mut tickets = VecDeque::new();
    let mut next = 0;
    while !over.load(Ordering::Relaxed) || !tickets.is_empty() {
        if !over.load(Ordering::Relaxed) {
            tickets.push_back((Instant::now(), replicator.commit(vec![client * APART + next]).unwrap()));
            next += 1;
            sleep(Duration::from_millis(5)).await;
        }
        while let Some((committed, ticket)) = tickets.front() {
            let settled = ticket.settled();
            if settled.is_none() && !over.load(Ordering::Relaxed) {
                break;
            }
            let settled = match settled {
                Some(settled) => settled,
                None => ticket.clone().await,
            };
            assert!(matches!(settled, Settled::Confirmed(_)), "{settled:?}");
            seen.lock().unwrap().push((*committed, Instant::now()));
            tickets.pop_front();
        }
    }
    next
}

/// The leader of the stream, once there is one.
async fn leader(nats: &Nats) -> usize {
    let named = async {
        loop {
            if let Some(leader) = nats.leader(STREAM) {
                return leader;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, named).await.expect("the stream is led")
}

async fn kills_of_the_leader(times: usize) {
    let Some(mut nats) = or_skip(Nats::start(3)) else { return };
    let clients = Clients::start(&[nats.url()]).await;
    clients.next_taken(Instant::now()).await;
    let mut failovers = Vec::new();
    for _ in 0..times {
        let leader = leader(&nats).await;
        let killed = Instant::now();
        nats.kill(leader);
        failovers.push(clients.next_taken(killed).await);
        nats.restart(leader).unwrap();
        nats.ready().unwrap();
        // The next one may be killed only then: with two of three away there is no majority.
        nats.caught_up(STREAM).unwrap();
    }
    let events = clients.end(&nats.url()).await;
    failovers.sort();
    println!("{times} leaders killed, {events} events; until the next push was taken: {failovers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commit_loses_nothing_when_a_leader_is_killed() {
    kills_of_the_leader(1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "some four minutes"]
async fn commit_loses_nothing_when_twenty_leaders_are_killed() {
    kills_of_the_leader(20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commit_loses_nothing_when_servers_freeze_and_connections_are_cut() {
    let Some(mut nats) = or_skip(Nats::start(3)) else { return };
    let clients = Clients::start(&[nats.url()]).await;
    clients.next_taken(Instant::now()).await;
    // Each of them once: two followers, and the leader at some time.
    for index in 0..nats.len() {
        let (was, frozen) = (leader(&nats).await, Instant::now());
        nats.freeze(index);
        let failover = clients.next_taken(frozen).await;
        for connection in &clients.connections {
            connection.client().force_reconnect().await.unwrap();
        }
        let cut = Instant::now();
        let reconnected = clients.next_taken(cut).await;
        nats.thaw(index);
        println!("server {index} frozen, {was} led: {failover:?}; connections cut: {reconnected:?}");
    }
    nats.ready().unwrap();
    clients.end(&nats.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commit_loses_nothing_when_a_leader_is_cut_off_from_the_others_and_not_from_its_clients() {
    let Some((nats, ways)) = or_skip(Ways::start()) else { return };
    // Each client has a server, and one of them the leader.
    let urls = [0, 1, 2].map(|index| format!("nats://{}", nats.address(index)));
    let clients = Clients::start(&urls).await;
    clients.next_taken(Instant::now()).await;
    let leader = leader(&nats).await;
    let cut_off = Instant::now();
    ways.cut_off(leader);
    let failover = clients.next_taken(cut_off).await;
    // For a while two servers lead, and one of them has no other that follows it.
    sleep(Duration::from_secs(1)).await;
    ways.heal(leader);
    println!("server {leader}, the leader, cut off: {failover:?}");
    nats.ready().unwrap();
    clients.end(&nats.url()).await;
}
