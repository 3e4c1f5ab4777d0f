//! What is said by a server that led the stream and does not any more, and has not heard of it: the others have elected another
//! one while it stood still, or had no way to them, and it still answers its own clients.
//!
//! Whatever it acknowledges must be in the stream at the end, at its place, and whatever it gives out, too. A client that knows
//! more than it does must not take the stream for one that has gone back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use latchwork::upstream::{AsyncPull, AsyncUpstream, More, PullError, PushError};
use latchwork_nats::async_nats::ConnectOptions;
use latchwork_nats::{Connection, Form};
use servers::nats::Nats;
use servers::or_skip;
use tokio::time::{sleep, timeout};

use crate::common::{Upstream, Ways, create_on_three, events, push};

const STREAM: &str = "deposed";

/// How long anything may take that is to come.
const LIMIT: Duration = Duration::from_secs(60);

/// How many events the others are to have taken by the time at which the server that led is heard of again.
const MEANWHILE: u64 = 3;

/// How long the server that led is left alone after that: longer than it is believed for.
const NOT_YET: Duration = Duration::from_secs(3);

/// What clients were told: which event has which number, by acknowledgements and by pulls, and the last of it.
#[derive(Clone, Default)]
struct Told {
    events: Arc<Mutex<BTreeMap<u64, (u64, &'static str)>>>,
    head: Arc<AtomicU64>,
}

impl Told {
    /// One that was told before was the same.
    fn note(&self, number: u64, event: u64, how: &'static str) {
        let (before, by) = *self.events.lock().unwrap().entry(number).or_insert((event, how));
        assert_eq!(before, event, "event {number}, first {by}, then {how}");
        self.head.fetch_max(number, Ordering::Relaxed);
    }

    fn head(&self) -> u64 {
        self.head.load(Ordering::Relaxed)
    }
}

/// A client that knows one server alone, and waits for it however long it is silent.
async fn client_of(nats: &Nats, index: usize) -> Upstream {
    let options = ConnectOptions::new().ignore_discovered_servers().ping_interval(LIMIT);
    let connection = Connection::open_with(&format!("nats://{}", nats.address(index)), options).await.unwrap();
    let upstream = create_on_three(&connection, STREAM, Some(Form::Batches)).await;
    upstream.answer_within(Duration::from_secs(1))
}

/// Pulls what follows `cursor` until it has caught up, fails, or says nothing for a while.
async fn look(client: &Upstream, cursor: u64, told: &Told) {
    let reads = async {
        let mut pull = client.pull(cursor);
        loop {
            match pull.next_page().await.expect("a live pull has no end") {
                Ok(page) => {
                    page.entries.iter().for_each(|entry| told.note(entry.position, entry.event, "given out"));
                    if page.more == More::None {
                        return;
                    }
                }
                Err(PullError::Unavailable { .. }) => return,
                Err(error) => panic!("a pull from {cursor}: {error}"),
            }
        }
    };
    _ = timeout(Duration::from_secs(3), reads).await;
}

/// Pushes two events after `base`.
async fn send(client: &Upstream, base: u64, event: u64, told: &Told) -> &'static str {
    match push(client, base, [event, event + 1]).await {
        Ok(()) => {
            told.note(base + 1, event, "acknowledged");
            told.note(base + 2, event + 1, "acknowledged");
            "taken"
        }
        Err(PushError::Behind { .. }) => "behind",
        Err(PushError::Unavailable { .. }) => "unavailable",
        Err(PushError::Uncertain { .. }) => "uncertain",
        Err(error) => panic!("a push after {base}: {error}"),
    }
}

/// What clients of the server that led do meanwhile, until it is over. Each event has a number of its own.
async fn ask_all_the_time(
    [client, newcomer]: [Upstream; 2],
    told: Told,
    over: Arc<AtomicBool>,
) -> BTreeMap<&'static str, usize> {
    static EVENT: AtomicU64 = AtomicU64::new(1_000_000_000);
    let event = || EVENT.fetch_add(2, Ordering::Relaxed);
    // What this client has been told itself, which the server that led should know.
    let own = Told::default();
    let pushes = async {
        let mut outcomes = BTreeMap::new();
        while !over.load(Ordering::Relaxed) {
            let outcome = send(&client, own.head(), event(), &own).await;
            *outcomes.entry(outcome).or_default() += 1;
            sleep(Duration::from_millis(5)).await;
        }
        outcomes
    };
    let pulls = async |client: &Upstream, knows_all: bool| {
        while !over.load(Ordering::Relaxed) {
            look(client, if knows_all { told.head() } else { 0 }, &own).await;
            sleep(Duration::from_millis(5)).await;
        }
    };
    // One client has been told by another server what there is.
    let (outcomes, (), ()) = tokio::join!(pushes, pulls(&client, false), pulls(&newcomer, true));
    for (number, (event, how)) in &*own.events.lock().unwrap() {
        told.note(*number, *event, how);
    }
    outcomes
}

/// Has others take events, as soon as there is a leader that they reach.
async fn go_on(client: &Upstream, told: &Told) {
    let goes_on = async {
        let mut event = 1_000 * told.head();
        let end = told.head() + MEANWHILE;
        while told.head() < end {
            look(client, told.head(), told).await;
            event += 2;
            send(client, told.head(), event, told).await;
        }
    };
    timeout(LIMIT, goes_on).await.expect("the others elect a leader");
}

/// Takes the leader away from the others, lets it answer its own clients, and gives it back.
async fn depose(nats: &mut Nats, mut leave: impl FnMut(&mut Nats, usize), mut come_back: impl FnMut(&mut Nats, usize)) {
    let leader = {
        // The first client makes it.
        let _made = client_of(nats, 0).await;
        let led = async {
            loop {
                match nats.leader(STREAM) {
                    Some(leader) => return leader,
                    None => sleep(Duration::from_millis(50)).await,
                }
            }
        };
        timeout(LIMIT, led).await.expect("the stream is led")
    };
    let of_leader = [client_of(nats, leader).await, client_of(nats, leader).await];
    let of_another = client_of(nats, (leader + 1) % nats.len()).await;
    let (told, over) = (Told::default(), Arc::new(AtomicBool::new(false)));
    look(&of_another, 0, &told).await;
    go_on(&of_another, &told).await;
    let asks = tokio::spawn(ask_all_the_time(of_leader, told.clone(), Arc::clone(&over)));
    sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    leave(nats, leader);
    go_on(&of_another, &told).await;
    let elected = begun.elapsed();
    sleep(NOT_YET).await;
    come_back(nats, leader);
    sleep(Duration::from_secs(2)).await;
    go_on(&of_another, &told).await;
    over.store(true, Ordering::Relaxed);
    let outcomes = timeout(LIMIT, asks).await.expect("each call of its clients ends").unwrap();
    println!("server {leader} led; others were taken after {elected:.1?}; its own clients' pushes: {outcomes:?}");
    nats.ready().unwrap();
    let all = timeout(LIMIT, events(&of_another, 0)).await.expect("the stream is given out in time");
    for (number, (event, how)) in &*told.events.lock().unwrap() {
        assert_eq!(all.get(*number as usize - 1), Some(event), "event {number} was {how}");
    }
    assert!(told.head() >= 3 * MEANWHILE);
}

#[tokio::test(flavor = "multi_thread")]
async fn push_and_pull_at_a_leader_that_stood_still_tell_nothing_that_is_not_so() {
    let Some(mut nats) = or_skip(Nats::start(3)) else { return };
    depose(&mut nats, Nats::freeze, Nats::thaw).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn push_and_pull_at_a_leader_that_is_cut_off_tell_nothing_that_is_not_so() {
    let Some((mut nats, ways)) = or_skip(Ways::start()) else { return };
    depose(&mut nats, |_, leader| ways.cut_off(leader), |_, leader| ways.heal(leader)).await;
}
