//! What happens to the clients: upstream, owners, and the end of all trouble.

use std::time::Duration;

use latchwork::protocol::{Direction, Time};
use latchwork::sync_state::Position;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::client::{Client, Move};
use super::{Answer, Case, End, Owner, Page, Step, Trouble, ms};
use crate::harness::Seen;
use crate::logs::{Entry, Event};

/// Of the backoff.
pub const INITIAL: Duration = ms(100);
pub const MAX: Duration = ms(5_000);
/// The longest that an upstream asks for in here.
const LONGEST_REST: Duration = ms(60_000);

/// Takes what follows its last event, and keeps it.
#[derive(Default)]
pub struct Upstream {
    pub entries: Vec<Entry>,
    /// What each was sent to follow, with its batch.
    bases: Vec<Position>,
}

impl Upstream {
    pub fn head(&self) -> Position {
        self.entries.last().map_or_else(Position::default, |last| last.seq.position())
    }

    /// The index of the first entry behind `cursor`.
    pub fn after(&self, cursor: Position) -> usize {
        self.entries.partition_point(|entry| entry.seq.position() <= cursor)
    }

    /// Takes a batch if it follows. Returns whether it has.
    pub fn take(&mut self, base: Position, entries: &[Entry], knows_what_it_has: bool) -> bool {
        let known = &self.entries[self.after(base)..];
        if knows_what_it_has && known.len() >= entries.len() && known[..entries.len()] == *entries {
            return true;
        }
        let follows = base == self.head();
        if follows {
            self.entries.extend_from_slice(entries);
            self.bases.resize(self.entries.len(), base);
        }
        follows
    }

    /// Whether it has an event of this life behind `cursor`, of a batch that was to follow `cursor` or something later.
    pub fn has_unknown(&self, cursor: Position, client: u8, life: u8) -> bool {
        let from = self.after(cursor);
        let own = |entry: &Entry| entry.event.client == client && entry.event.life == life;
        self.entries[from..].iter().zip(&self.bases[from..]).any(|(entry, base)| own(entry) && *base >= cursor)
    }
}

/// Shared by all clients.
pub struct World<'a> {
    pub upstream: Upstream,
    pub now: Time,
    pub seen: &'a Seen,
    chance: u64,
}

impl World<'_> {
    /// SplitMix64 (Steele, Lea, Flood, 2014).
    pub fn random(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The clients of a case, and what they share, before anything has happened.
pub fn begin<'a>(case: &Case, seen: &'a Seen) -> (Vec<Client>, World<'a>) {
    let world = World { upstream: Upstream::default(), now: Time::ZERO, seen, chance: case.chance };
    let clients = (0..).zip(&case.clients).map(|(id, setup)| Client::new(id, *setup));
    (clients.collect(), world)
}

pub fn run(case: &Case, seen: &Seen) -> TestCaseResult {
    let (mut clients, mut world) = begin(case, seen);
    for step in &case.steps {
        take(*step, &mut clients, &mut world)?;
    }
    end_trouble(&mut clients, &mut world)
}

pub fn take(step: Step, clients: &mut [Client], world: &mut World<'_>) -> TestCaseResult {
    let pick = |which: u8| usize::from(which) % clients.len();
    match step {
        Step::Commit { client, count, special } => clients[pick(client)].commit(count.into(), special, world),
        Step::Move { client, which, answer, page, end } => {
            let client = &mut clients[pick(client)];
            let moves = client.moves(end);
            let Some(next) = moves.get(usize::from(which) % moves.len().max(1)) else { return Ok(()) };
            client.take(*next, answer, page, end, world)
        }
        Step::Owner { client, does } => clients[pick(client)].owner(does, world),
        Step::Panics { client, method } => {
            clients[pick(client)].panics_next(method);
            Ok(())
        }
        Step::Stale { client, which } => clients[pick(client)].stale(which, world),
        Step::Wait(millis) => {
            let next = || clients.iter().filter_map(|client| client.wakes_at(world.now)).min();
            let next = || next().filter(|next| *next < Time::MAX);
            let until = millis.map_or_else(next, |millis| Some(world.now + ms(millis.into())));
            world.now = until.unwrap_or(world.now);
            world.seen.tell(|| format!("it is {:?}", world.now));
            clients.iter().try_for_each(|client| client.look(world))
        }
    }
}

/// What was paused is resumed, failures are restarted, upstream is honest: everything drains.
fn end_trouble(clients: &mut [Client], world: &mut World<'_>) -> TestCaseResult {
    world.seen.tell(|| "the end of all trouble".into());
    for client in &mut *clients {
        client.calm();
        for direction in [Direction::Push, Direction::Pull] {
            client.owner(Owner::Resume(direction), world)?;
        }
        // A live pull that has lost an echo does not know it.
        if client.has_lost_something() {
            client.owner(Owner::RetryNow, world)?;
        }
    }
    let (honest, whole) = (Answer::Honest, Page { size: 3, told: true, trouble: Trouble::Nothing });
    let deadline = world.now + LONGEST_REST + 10 * MAX;
    let (mut steps, mut restarts) = (0, 0);
    loop {
        let mut moved = false;
        for client in &mut *clients {
            if client.has_failed() && !client.is_stopped() {
                restarts += 1;
                prop_assert!(restarts <= 3 * 4, "it fails again and again: {}", client.told());
                client.owner(Owner::Restart, world)?;
            }
            if client.hangs() {
                client.owner(Owner::Reconnect, world)?;
            }
            if client.watch.rests_for_ever() {
                client.owner(Owner::Override, world)?;
            }
            for next in client.moves(End::InTime) {
                // An honest upstream says only once that it has no more.
                if next == Move::Page && !client.has_page(world) {
                    continue;
                }
                let before = client.progress();
                client.take(next, honest, whole, End::InTime, world)?;
                let asks = matches!(next, Move::AskPush | Move::AskPull);
                moved |= !asks || client.progress() != before;
                steps += 1;
            }
        }
        prop_assert!(steps < 20_000, "it does not come to an end");
        if moved {
            continue;
        }
        let Some(next) = clients.iter().filter_map(|client| client.wakes_at(world.now)).min() else { break };
        prop_assert!(next <= deadline, "nothing is to happen before {:?}, and it is {:?}", next, world.now);
        world.now = next;
        world.seen.tell(|| format!("it is {next:?}"));
    }
    for client in &*clients {
        client.has_drained(&world.upstream)?;
    }
    each_once_and_in_order(clients, &world.upstream)?;
    world.seen.count("drained");
    Ok(())
}

/// Upstream has of each life of each client what was committed and not given up, once, and in order.
fn each_once_and_in_order(clients: &[Client], upstream: &Upstream) -> TestCaseResult {
    for client in clients {
        for life in &client.lives {
            let of = |event: &Event| event.client == client.id && event.life == life.number;
            let ordered: Vec<_> = upstream.entries.iter().map(|entry| entry.event).filter(of).collect();
            let committed: Vec<_> = life.sent().collect();
            // What was pending when a log was replaced, or its client stopped, may be missing from the end.
            let whole = life.number == client.life && !client.is_stopped();
            let missing = committed.iter().filter(|event| !ordered.contains(event)).count();
            let expected: Vec<_> = committed.iter().copied().filter(|event| ordered.contains(event)).collect();
            prop_assert_eq!(&ordered, &expected, "what upstream has of client {} and life {}", client.id, life.number);
            prop_assert!(!whole || missing == 0, "client {} has lost some of {:?}", client.id, committed);
        }
    }
    Ok(())
}
