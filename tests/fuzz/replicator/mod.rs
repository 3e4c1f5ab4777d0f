//! `Replicator` on real threads, with chaos on every side.
//!
//! A case has one to three clients of one upstream, and threads that commit, wait, and meddle as their scripts say.
//! Meanwhile upstream delays, fails, panics, lies within its contract, goes silent and ends streams (`sky`); logs panic;
//! wakers panic; errors, events and wakers call the replicator back where they are shown, dropped or woken (`loud`). What
//! is drawn is given by the case, what the threads make of it is not: so a case that fails is tried again, many times.
//!
//! Then some clients are shut down, dropped or stopped in the middle of it. For all others the trouble ends, and everything
//! must drain: each ticket settles once, with the truth; flushes end; a shutdown's report is true (`finale`). Whatever does
//! not come within a bounded time is told, with the status of each client.

mod finale;
mod loud;
mod sky;
pub mod world;

use latchwork::protocol::Direction;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::harness::Fuzzer;
use crate::logs::Kind;

#[derive(Clone, Debug)]
pub struct Case {
    pub clients: Vec<Setup>,
    /// One call in so many goes wrong; none for 0.
    pub weather: u64,
    /// Whether logs panic, and user code calls back.
    pub loud: bool,
    /// What is left to chance.
    pub chance: u64,
    pub scripts: Vec<Vec<Step>>,
}

#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub kind: Kind,
    pub live: bool,
    pub idempotent: bool,
    pub batch: u8,
    pub page: u8,
    pub ends: Ends,
}

/// How a client ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// When all trouble has ended.
    Drained,
    /// By a shutdown with a limit of so many milliseconds.
    ShutDown(u8),
    Dropped,
    Stopped,
}

/// What a thread does next. Clients are taken modulo how many there are.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub client: u8,
    pub does: Does,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Commits so many events, the last of them local-only or fragile.
    Commit {
        count: u8,
        special: bool,
        wait: Wait,
    },
    Flush {
        micros: u8,
    },
    FlushAs(Wait),
    /// And resumes after so many microseconds.
    Pause(Direction, u8),
    RetryNow,
    Override,
    Restart,
    Reset,
    /// Listens to updates from now on.
    Subscribe,
    /// Reads some of what the latest subscription has brought.
    Read(u8),
    Look,
    Rest(u8),
}

/// How something is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    Not,
    /// By a thread that blocks until it has come.
    Blocks,
    /// By a task.
    Awaits,
    /// By a thread, for so many microseconds.
    Times(u8),
    /// By a task that is dropped after so many polls.
    Dropped(u8),
    /// By a task whose waker panics.
    Panics,
    /// By a task whose waker calls the replicator, also when it is dropped.
    CallsBack,
}

fn waits() -> impl Strategy<Value = Wait> {
    prop_oneof![
        2 => Just(Wait::Not),
        3 => Just(Wait::Blocks),
        3 => Just(Wait::Awaits),
        2 => any::<u8>().prop_map(Wait::Times),
        1 => (1..3_u8).prop_map(Wait::Dropped),
        2 => Just(Wait::Panics),
        1 => Just(Wait::CallsBack),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let direction = prop_oneof![Just(Direction::Push), Just(Direction::Pull)];
    let does = prop_oneof![
        24 => (1..4_u8, any::<bool>(), waits())
            .prop_map(|(count, special, wait)| Does::Commit { count, special, wait }),
        2 => any::<u8>().prop_map(|micros| Does::Flush { micros }),
        3 => waits().prop_map(Does::FlushAs),
        3 => (direction, any::<u8>()).prop_map(|(direction, micros)| Does::Pause(direction, micros)),
        2 => Just(Does::RetryNow),
        1 => Just(Does::Override),
        6 => Just(Does::Restart),
        1 => Just(Does::Reset),
        2 => Just(Does::Subscribe),
        3 => any::<u8>().prop_map(Does::Read),
        4 => Just(Does::Look),
        4 => any::<u8>().prop_map(Does::Rest),
    ];
    (any::<u8>(), does).prop_map(|(client, does)| Step { client, does })
}

fn cases() -> impl Strategy<Value = Case> {
    let kinds = prop_oneof![Just(Kind::Commuting), Just(Kind::Rebasing), Just(Kind::Fragile)];
    let ends = prop_oneof![
        6 => Just(Ends::Drained),
        2 => (0..4_u8).prop_map(Ends::ShutDown),
        1 => Just(Ends::Dropped),
        1 => Just(Ends::Stopped),
    ];
    let setup = (kinds, any::<bool>(), any::<bool>(), 1..6_u8, 1..6_u8, ends)
        .prop_map(|(kind, live, idempotent, batch, page, ends)| Setup { kind, live, idempotent, batch, page, ends });
    let state = prop_oneof![2 => Just(false), 1 => Just(true)];
    let weather = prop_oneof![1 => Just(0_u64), 2 => Just(20), 3 => Just(6), 2 => Just(3)];
    let scripts = vec(vec(steps(), 1..25), 1..4);
    (state, vec(setup, 1..4), weather, any::<bool>(), any::<u64>(), scripts).prop_map(
        |(state, mut clients, weather, loud, chance, scripts)| {
            // All or none have logs that know local-only events: their numbers are others.
            clients.iter_mut().filter(|_| state).for_each(|setup| setup.kind = Kind::State);
            Case { clients, weather, loud, chance, scripts }
        },
    )
}

#[rustfmt::skip]
const REACHES: &[(&str, u64)] = &[
    ("commit", 1),
    ("confirmed", 1),
    ("rejected", 20),
    ("closed", 4),
    ("a log's panic", 20),
    ("a commit refused by a panic", 60),
    ("a waker that panics", 4),
    ("a waker's panic in a call", 200),
    ("called back", 1),
    ("reset", 10),
    ("rebase", 300),
    ("update read", 20),
    ("drained", 4),
    ("shutdown in the middle", 20),
    ("uncertain report", 100),
    ("stopped", 40),
    ("dropped", 40),
    ("push: unavailable", 20),
    ("push: panic", 40),
    ("push: lost", 20),
    ("push: fatal", 40),
    ("push: silent", 40),
    ("push: taken late", 100),
    ("push: went back", 40),
    ("pull: unavailable", 20),
    ("pull: fatal", 40),
    ("pull: panic", 40),
    ("pull: twice", 40),
    ("pull: an echo lost", 100),
    ("pull: silent", 40),
];

pub fn fuzzer(name: &'static str) -> Fuzzer<impl Strategy<Value = Case>> {
    Fuzzer { name, cases: cases(), per_second: 2, reaches: REACHES, attempts: 40 }
}
