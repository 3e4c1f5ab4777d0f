//! Four clients, one upstream, every fault, on threads and on tasks; and a thread that watches them all the time. Two of the
//! clients have a journal, which fails like everything else.
//!
//! `LATCHWORK_FAULT_EVENTS` sets how many events are committed (100,000 by default, which takes a second or two),
//! `LATCHWORK_FAULT_SEED` the chance. Faults are drawn from the seed; how threads interleave is not.

#![cfg(not(loom))]

#[path = "replicator/item.rs"]
mod item;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use latchwork::journal::{self, AsyncJournal, Change, Journal, MemoryError, Recovered};
use latchwork::log::Log;
use latchwork::protocol::{Direction, WaitingOn};
use latchwork::replicator::{Matter, Status, Updates};
use latchwork::sync_state::{Entry, Position, SeqNum, SyncState};
use latchwork::upstream::{AsyncUpstream, Batch, Fault, Memory, Page, PullError, PushError, Upstream};
use latchwork::{Backoff, Cause, Interrupt, Replicator, Settled, Ticket, Waited};
use tokio::runtime::Runtime;

use item::Item;

const CLIENTS: u32 = 4;
/// No wait in here is meant to last longer than some milliseconds. Who owes a move for as long as this has stalled.
const STALLED: Duration = Duration::from_secs(10);

type State = SyncState<Item>;

/// SplitMix64 (Steele, Lea, Flood, 2014): small, and good enough to choose faults.
struct Chance(AtomicU64);

impl Chance {
    fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// How many kinds of faults there are of each direction.
const KINDS: usize = 13;

/// What may go wrong, how often in comparison.
const PUSH_FAULTS: [(u64, Fault); KINDS] = [
    (20, Fault::Reject),
    (20, Fault::DisconnectBefore),
    (20, Fault::DisconnectAfter),
    (20, Fault::LoseEcho),
    (10, Fault::Delay(Duration::from_micros(500))),
    (10, Fault::Busy(Duration::from_millis(1))),
    (3, Fault::Panic),
    (3, Fault::OtherUpstream),
    (3, Fault::Refuse),
    (10, Fault::RejectEvent(0)),
    (10, Fault::RejectEvent(3)),
    (10, Fault::TooLarge),
    (3, Fault::Hang),
];
const PULL_FAULTS: [(u64, Fault); KINDS] = [
    (20, Fault::DisconnectBefore),
    (20, Fault::DisconnectAfter),
    (20, Fault::DuplicatePage),
    (20, Fault::EndStream),
    (10, Fault::Delay(Duration::from_micros(500))),
    (10, Fault::Busy(Duration::from_millis(1))),
    (3, Fault::Panic),
    (3, Fault::OtherUpstream),
    (3, Fault::Refuse),
    (3, Fault::Hang),
    // These do nothing to a pull.
    (0, Fault::Reject),
    (0, Fault::TooLarge),
    (0, Fault::LoseEcho),
];

/// Shared by all clients.
struct Weather {
    bad: AtomicBool,
    chance: Chance,
    /// How often each fault was injected: into pushes, into pulls.
    injected: [[AtomicUsize; KINDS]; 2],
}

impl Weather {
    fn draw(&self, way: usize) -> Option<Fault> {
        let faults = [PUSH_FAULTS, PULL_FAULTS][way];
        let one_in = [10, 20][way];
        if !self.bad.load(Ordering::Relaxed) || !self.chance.one_in(one_in) {
            return None;
        }
        let mut left = self.chance.below(faults.iter().map(|(weight, _)| weight).sum());
        let chosen = faults.iter().position(|(weight, _)| {
            let hit = left < *weight;
            left = left.saturating_sub(*weight);
            hit
        })?;
        self.injected[way][chosen].fetch_add(1, Ordering::Relaxed);
        Some(faults[chosen].1)
    }

    fn tell(&self) {
        for (way, faults) in [("push", PUSH_FAULTS), ("pull", PULL_FAULTS)].into_iter().enumerate() {
            let counts = faults.1.iter().zip(&self.injected[way]);
            let counts: Vec<_> =
                counts.map(|((_, fault), n)| format!("{fault:?} {}", n.load(Ordering::Relaxed))).collect();
            println!("{} faults: {}", faults.0, counts.join(", "));
        }
    }
}

/// Each push may bring a fault upon some client's push, and one upon some client's pull.
struct Faulty {
    memory: Memory<State>,
    weather: Arc<Weather>,
}

impl Faulty {
    fn inject(&self) {
        if let Some(fault) = self.weather.draw(0) {
            self.memory.fail_push(fault);
        }
        if let Some(fault) = self.weather.draw(1) {
            self.memory.fail_pull(fault);
        }
    }
}

impl Upstream<State> for Faulty {
    fn push(&self, batch: &Batch<State>, interrupt: &Interrupt) -> Result<(), PushError<Position>> {
        self.inject();
        Upstream::push(&self.memory, batch, interrupt)
    }

    fn pull<'a>(
        &'a self,
        cursor: Position,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<Entry<Item>>, PullError>> + 'a {
        Upstream::pull(&self.memory, cursor, interrupt)
    }
}

impl AsyncUpstream<State> for Faulty {
    type Pull<'a> = <Memory<State> as AsyncUpstream<State>>::Pull<'a>;

    async fn push(&self, batch: &Batch<State>) -> Result<(), PushError<Position>> {
        self.inject();
        AsyncUpstream::push(&self.memory, batch).await
    }

    fn pull(&self, cursor: Position) -> Self::Pull<'_> {
        AsyncUpstream::pull(&self.memory, cursor)
    }
}

/// What drives the clients.
#[derive(Clone, Copy)]
enum Drivers {
    Threads,
    /// On a runtime with two threads, for all clients.
    Tasks,
}

/// A journal whose writes fail, before they are made or afterwards.
struct Failing(journal::Memory<State>, Arc<Weather>);

impl Journal<State> for Failing {
    type Error = MemoryError;

    fn write(&mut self, changes: &[Change<Entry<Item>, Position>]) -> Result<(), MemoryError> {
        let Self(held, weather) = self;
        if weather.bad.load(Ordering::Relaxed) && weather.chance.one_in(50) {
            if weather.chance.one_in(2) { held.fail_before() } else { held.fail_after() }
        }
        Journal::write(held, changes)
    }
}

impl AsyncJournal<State> for Failing {
    type Error = MemoryError;

    async fn write(&mut self, changes: &[Change<Entry<Item>, Position>]) -> Result<(), MemoryError> {
        tokio::task::yield_now().await;
        Journal::write(self, changes)
    }
}

fn run(
    (replicator, driver): (Replicator<State>, impl Future<Output = ()> + Send + 'static),
    runtime: &Runtime,
) -> Replicator<State> {
    drop(runtime.spawn(driver));
    replicator
}

struct World {
    seed: u64,
    upstream: Memory<State>,
    weather: Arc<Weather>,
    clients: Vec<Replicator<State>>,
    /// What the clients with odd numbers hold.
    held: Vec<journal::Memory<State>>,
    /// Of the clients that are tasks.
    _runtime: Option<Runtime>,
}

impl World {
    fn new(seed: u64, drivers: Drivers) -> Self {
        let runtime = match drivers {
            Drivers::Threads => None,
            Drivers::Tasks => {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
                Some(runtime.unwrap())
            }
        };
        let upstream = Memory::new(SeqNum::ROOT.position());
        let (bad, injected) = (AtomicBool::new(true), Default::default());
        let weather = Arc::new(Weather { bad, chance: Chance::new(seed), injected });
        let mut held = Vec::new();
        let clients = (0..CLIENTS).map(|client| {
            // The clients differ: small pages, small batches, pulls that end.
            let memory = upstream.clone().with_page_size([100, 3, 100, 7][client as usize]);
            let one_shot = client == 3;
            let memory = if one_shot { memory.one_shot() } else { memory };
            let builder = Replicator::builder(State::default(), Faulty { memory, weather: Arc::clone(&weather) })
                // Who subscribes reads when all is over.
                .max_unread(NonZeroUsize::MAX)
                .backoff(Backoff::new(Duration::from_micros(200), Duration::from_millis(5)))
                .catch_up_grace(Duration::from_millis(1))
                .push_deadline(Duration::from_millis(20))
                .pull_silence(Duration::from_millis(50))
                .push_batch(NonZeroUsize::new([100, 20, 5, 100][client as usize]).unwrap());
            let builder = if one_shot { builder.one_shot_pull() } else { builder };
            let sleep = tokio::time::sleep;
            if client % 2 == 0 {
                return match &runtime {
                    None => builder.spawn().unwrap(),
                    Some(runtime) => run(builder.build_async(sleep), runtime),
                };
            }
            let holds = journal::Memory::<State>::new(Recovered::new(SeqNum::ROOT.position()));
            let holds = holds.with_sent(|entry| !entry.event.local_only);
            held.push(holds.clone());
            let builder = builder.journal(Failing(holds, Arc::clone(&weather)));
            match &runtime {
                None => builder.spawn().unwrap(),
                Some(runtime) => run(builder.build_async(sleep), runtime),
            }
        });
        let clients = clients.collect();
        Self { seed, upstream, weather, clients, held, _runtime: runtime }
    }

    /// What the seed was and how everybody stands.
    fn tell(&self) {
        println!("LATCHWORK_FAULT_SEED={}; upstream has {} events", self.seed, self.upstream.len());
        for (number, client) in self.clients.iter().enumerate() {
            println!("client {number}: {:#?}", client.status());
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
    }
}

/// Looks at everybody all the time. It is the owner, too: it goes on after each failure.
fn watch(world: &World, ended: &AtomicBool) -> u64 {
    let mut looks = 0;
    while !ended.load(Ordering::Acquire) {
        for (number, client) in world.clients.iter().enumerate() {
            let status = client.status();
            looks += 1;
            if let Some(fault) = objection(&status) {
                world.tell();
                panic!("client {number}: {fault}: {status:#?}");
            }
            for decision in status.decisions {
                match decision.matter {
                    Matter::Rejected { .. } => client.retry_rejected(),
                    Matter::Failed { .. } | Matter::Journal { .. } => client.restart(),
                    // A committer has, and resumes it.
                    _ => {}
                }
            }
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    looks
}

fn objection(status: &Status<Position>) -> Option<&'static str> {
    match status.waiting_on {
        WaitingOn::Nothing if status.pending > 0 => Some("something is pending and no party owes a move"),
        WaitingOn::Stopped => Some("it has stopped by itself"),
        WaitingOn::Nothing => None,
        _ if status.pending == 0 => Some("nothing is pending and a party owes a move"),
        _ if status.waiting_for > STALLED => Some("it has stalled"),
        _ => None,
    }
}

/// A commit that is on its way, and its last event that is sent.
type Open = (Ticket<Position>, Option<u64>);

/// Commits so many events, and meddles now and then. Returns where they were confirmed.
fn commit(world: &World, client: u32, events: u64) -> Vec<(Position, u64)> {
    let replicator = &world.clients[client as usize];
    let chance = Chance::new(world.seed ^ u64::from(client + 1));
    let mut open = VecDeque::new();
    let mut confirmed = Vec::new();
    let mut number = 0;
    while number < events {
        let count = (1 + chance.below(5)).min(events - number);
        let items: Vec<_> =
            (number..number + count).map(|number| Item { client, number, local_only: is_local_only(number) }).collect();
        number += count;
        let last = items.iter().rfind(|item| !item.local_only).map(|item| item.number);
        open.push_back((replicator.commit(items).unwrap(), last));
        if chance.one_in(200) {
            let direction = if chance.one_in(2) { Direction::Push } else { Direction::Pull };
            replicator.pause(direction);
            std::thread::sleep(Duration::from_micros(chance.below(1000)));
            replicator.resume(direction);
        }
        if chance.one_in(200) {
            replicator.retry_now();
        }
        if open.len() > 40 {
            confirmed.extend(settle(client, open.pop_front().unwrap()));
        }
    }
    confirmed.extend(open.into_iter().filter_map(|open| settle(client, open)));
    confirmed
}

/// Where the last event of a commit was confirmed, if it had one that is sent.
fn settle(client: u32, (ticket, last): Open) -> Option<(Position, u64)> {
    let mut waited = ticket.wait_timeout(2 * STALLED);
    while waited == Waited::Interrupted(Cause::Owner) {
        // It is for the watcher to act.
        std::thread::sleep(Duration::from_micros(100));
        waited = ticket.wait_timeout(2 * STALLED);
    }
    let Waited::Ready(Settled::Confirmed(position)) = waited else {
        panic!("client {client}: a commit was not confirmed: {:?}", ticket.settled());
    };
    last.map(|number| (position, number))
}

/// What a subscriber would have applied.
fn applied(updates: &Updates<Entry<Item>, Position>) -> Vec<Item> {
    assert_eq!(updates.snapshot.upstream_head.global, 0);
    let mut applied = Vec::new();
    for update in updates.receiver.iter() {
        let (confirmed, new) = match &update.merged {
            latchwork::log::Merged::Advance { new, confirmed }
            | latchwork::log::Merged::Rebase { new, confirmed, .. } => (confirmed, new),
        };
        let sent = confirmed.iter().chain(new).filter(|entry| !entry.event.local_only);
        for entry in sent {
            assert_eq!(entry.seq.global, applied.len() as u64 + 1, "applied out of turn");
            applied.push(entry.event);
        }
    }
    applied
}

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Injected panics are expected, and their backtraces long.
fn hush_injected_panics() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&"injected") {
            hook(info);
        }
    }));
}

#[test]
fn nothing_is_lost_applied_twice_or_stalls_whatever_goes_wrong() {
    whatever_goes_wrong(Drivers::Threads);
}

#[test]
fn nothing_is_lost_applied_twice_or_stalls_with_tasks() {
    whatever_goes_wrong(Drivers::Tasks);
}

fn whatever_goes_wrong(drivers: Drivers) {
    hush_injected_panics();
    let events = variable("LATCHWORK_FAULT_EVENTS", 100_000);
    let seed = variable("LATCHWORK_FAULT_SEED", 0x1a7c_4b0a);
    let started = Instant::now();
    let mut world = World::new(seed, drivers);
    // Nothing has been pushed yet, so every subscription begins before the first event.
    let updates: Vec<_> = world.clients.iter().map(Replicator::updates).collect();
    let ended = AtomicBool::new(false);
    let (confirmed, looks) = std::thread::scope(|scope| {
        let (world, ended) = (&world, &ended);
        let watcher = scope.spawn(|| watch(world, ended));
        let _ended = Ended(ended);
        let committers: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || commit(world, client, events / u64::from(CLIENTS))))
            .collect();
        let committers = committers.into_iter().map(|committer| committer.join().expect("a committer failed"));
        let confirmed: Vec<_> = committers.collect();
        world.weather.bad.store(false, Ordering::Relaxed);
        drain(world);
        ended.store(true, Ordering::Release);
        (confirmed, watcher.join().expect("the watcher objected"))
    });

    let ordered: Vec<_> = world.upstream.entries().into_iter().map(|entry| entry.event).collect();
    for client in 0..CLIENTS {
        let numbers: Vec<_> = ordered.iter().filter(|item| item.client == client).map(|item| item.number).collect();
        let sent = (0..events / u64::from(CLIENTS)).filter(|number| !is_local_only(*number));
        assert!(sent.eq(numbers), "client {client}'s events were lost, doubled or reordered");
    }
    for (client, confirmed) in (0..).zip(confirmed) {
        for (position, number) in confirmed {
            let item = ordered[position.global as usize - 1];
            assert_eq!((item.client, item.number), (client, number), "confirmed at {position}");
        }
    }
    println!("{events} events, {} ordered, in {:?}; {looks} looks", ordered.len(), started.elapsed());
    for (number, client) in world.clients.iter().enumerate() {
        println!("client {number}: {:?}", client.status().counters);
    }
    world.weather.tell();
    for client in std::mem::take(&mut world.clients) {
        let left = client.shutdown(STALLED);
        assert!(left.is_clean(), "{left:?}");
    }
    for held in std::mem::take(&mut world.held) {
        let held = held.recovered();
        let sent = held.pending.iter().filter(|entry| !entry.event.local_only).count();
        assert_eq!((held.cursor.global, sent), (ordered.len() as u64, 0), "what a crash leaves is something else");
    }
    for (number, updates) in updates.iter().enumerate() {
        assert_eq!(applied(updates), ordered, "client {number} applied something else");
    }
}

/// Faults have stopped: everything is handed over and heard of.
fn drain(world: &World) {
    for client in &world.clients {
        // The watcher acts after a failure; until then nothing settles.
        assert!(matches!(client.flush_async().wait_timeout(2 * STALLED), Waited::Ready(Ok(()))), "{}", client.status());
    }
    let head = world.upstream.len() as u64;
    let deadline = Instant::now() + 2 * STALLED;
    for client in &world.clients {
        // A pull that ends has no reason to look again, and a live one may have lost its last echo.
        client.retry_now();
        while client.status().upstream_head.global < head {
            assert!(Instant::now() < deadline, "not everybody heard of everything");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(client.with_log(Log::pending), 0);
    }
}

/// Every twentieth event or so.
fn is_local_only(number: u64) -> bool {
    Chance::new(number).one_in(20)
}

/// Ends the watch also when something fails.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
