//! Every state of the pure protocol, within bounds: clients, an upstream, and whatever may go wrong between them.
//!
//! The models under `loom-tests/` show that threads cannot interleave wrongly around the one lock. This search shows that
//! what happens under the lock is right, with more actors and more faults than loom can take: an explicit-state checker
//! ([stateright](https://docs.rs/stateright)) drives [`Protocol`](latchwork::protocol::Protocol) through its public
//! interface.
//!
//! ```text
//! cargo test --test search                          small spaces, some seconds
//! LATCHWORK_SEARCH=full cargo test --test search    large ones too, two to three minutes on two cores
//! ```
//!
//! # State and actions
//!
//! A state is up to three clients, upstream's log, and what is on its way between them. Each client is a `Protocol` over a
//! `MemoryLog`, with the driver that the crate's documentation asks for (`client.rs`). Actions are
//!
//! - a **commit**: at any time, up to three for each client;
//! - a **step**, which somebody takes sooner or later: a push is sent, reaches upstream, is answered; a pull begins, a page
//!   is made, arrives, the pull ends; a timer fires; who has paused resumes; the owner restarts what has failed. Each is an
//!   action of its own, so every answer and every page may be as late as it likes;
//! - a **fault** (`faults.rs`): lost requests, answers, echoes and connections, refusals, a request that arrives after
//!   everybody has given it up, a page that comes twice, failures, pauses, crashes. A search has a few to spend.
//!
//! **Time** is in the actions: everything happens at zero, every timer is set for later, and that it fires is a step like
//! any other. The protocol compares a deadline with the present and nothing else, so a deadline is either past or not, and
//! both are tried in any order: more than any clock would allow.
//!
//! # What is compared
//!
//! Two states are one if they can do the same from now on. Of a protocol that is its
//! [`Shape`](latchwork::protocol::Shape): counters are left out, and numbers that only grow are replaced by what they are
//! compared with; its documentation says why nothing is lost. A batch and a pull on their way are compared without their
//! tickets, but with whether they are the protocol's latest; a ticket means nothing else. A request that upstream can no
//! longer take, since its head has moved past the batch's base, is dropped. Whether a stale outcome is ignored is tried
//! where the outcome becomes stale, so old tickets need not be kept.
//!
//! A state is remembered as a print of 64 bits, so two could be taken for one: with ten million states, one in 300,000
//! searches would suffer it.
//!
//! # That everything drains
//!
//! "Once faults stop, everything drains" speaks of all that may follow a state, and the checker's eventually-properties
//! overlook circles. So it is shown in two parts. The graph of the **steps** that the search has seen has no circle
//! (`graph.rs` looks at all of it): from every state, whoever's turn it is, steps come to an end, after as many as the
//! search prints at most. And a state without a step is **quiet** (`laws.rs`): nothing is pending, and live clients have
//! what upstream has. Commits and faults are finite, so no schedule, however unfair, ends otherwise. No fairness is assumed.
//!
//! # What this does not show
//!
//! Anything beyond the bounds. An upstream that breaks its contract, but for the one that appends whatever it is given,
//! which shows what the fence is for. `Protocol::reset`, `Resend::Idempotent`, events that stay local, logs that give up
//! events. How long anything takes: traffic without end (I13) is there only as "nothing but a lost push is interrupted".
//! Locks, threads and wakers (I2 beyond the epoch, I9). A client that begins anew forgets that an outcome was unknown and
//! sends at once: that nothing is taken twice then rests on upstream's looking at the batch's base.
#![cfg(not(loom))]

mod calls;
mod client;
mod data;
mod faults;
mod graph;
mod laws;
mod model;
mod runner;

use laws::Law;
use model::Config;
use runner::{alone, hold, say, wander};
use serde_json::json;

#[rustfmt::skip]
const SMALL: &[Config] = &[
    Config { name: "1 client, 3 events, 3 faults", events: &[3], budget: 3, ..Config::BASE },
    Config { name: "1 client, 3 events, 3 faults, on request", events: &[3], budget: 3, live: false, ..Config::BASE },
    Config { name: "2 clients, 1 event each, 1 fault", ..Config::BASE },
    Config { name: "2 clients, 1 event each, 1 fault, rebasing", rebasing: true, ..Config::BASE },
    Config { name: "2 clients, 1 event each, 1 fault, rebasing, on request", rebasing: true, live: false, ..Config::BASE },
    Config { name: "2 clients, 1 event each, 1 fault, rebasing, on request, head untold", rebasing: true, live: false, tells_head: false, ..Config::BASE },
    Config { name: "2 clients, 2 events each, no fault, rebasing", events: &[2, 2], budget: 0, rebasing: true, ..Config::BASE },
    Config { name: "2 clients, 2 events each, no fault, rebasing, pages of 2, pushes of 1", events: &[2, 2], budget: 0, rebasing: true, page: 2, batch: 1, ..Config::BASE },
];

#[rustfmt::skip]
const LARGE: &[Config] = &[
    Config { name: "1 client, 3 events, 4 faults", events: &[3], budget: 4, ..Config::BASE },
    Config { name: "2 clients, 1 event each, 2 faults, rebasing", budget: 2, rebasing: true, ..Config::BASE },
    Config { name: "2 clients, 1 event each, 2 faults, on request, head untold", budget: 2, live: false, tells_head: false, ..Config::BASE },
    Config { name: "2 clients, 2 and 1 events, 1 fault, rebasing", events: &[2, 1], rebasing: true, ..Config::BASE },
    Config { name: "2 clients, 3 events each, no fault, rebasing, on request", events: &[3, 3], budget: 0, live: false, rebasing: true, ..Config::BASE },
    Config { name: "3 clients, 1 event each, no fault, rebasing", events: &[1, 1, 1], budget: 0, rebasing: true, ..Config::BASE },
    Config { name: "3 clients, 1 event each, no fault, on request", events: &[1, 1, 1], budget: 0, live: false, ..Config::BASE },
];

/// Too large to see all of: 3 clients, 3 events each.
#[rustfmt::skip]
const VAST: &[Config] = &[
    Config { name: "3 clients, 3 events each, 4 faults", events: &[3, 3, 3], budget: 4, ..Config::BASE },
    Config { name: "3 clients, 3 events each, 4 faults, rebasing, on request", events: &[3, 3, 3], budget: 4, live: false, rebasing: true, ..Config::BASE },
];

fn full() -> bool {
    match std::env::var("LATCHWORK_SEARCH").as_deref() {
        Err(_) => false,
        Ok("full") => true,
        Ok(other) => panic!("LATCHWORK_SEARCH: expected \"full\" or nothing, got {other:?}"),
    }
}

#[test]
fn no_law_is_broken_and_everything_drains() {
    let _alone = alone();
    let large = if full() { LARGE } else { &[] };
    let (mut happened, mut distinct, mut time) = (0, 0, std::time::Duration::ZERO);
    let mut breaches = Vec::new();
    for config in SMALL.iter().chain(large) {
        let (seen, broken) = hold(*config);
        breaches.extend(broken);
        happened |= seen.happened;
        distinct += seen.distinct;
        time += seen.time;
    }
    Law::ALL.iter().for_each(|law| data::note(&json!({ "law": law.name() })));
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
    say(&format!("search of all these: {distinct} distinct states in {time:.1?}"));
    for &fault in faults::ALL {
        assert!(happened >> fault as u32 & 1 == 1, "{fault:?} has never happened: nothing was shown about it");
    }
}

#[test]
fn long_random_walks_of_three_clients_break_no_law() {
    let _alone = alone();
    for config in VAST {
        wander(*config, if full() { 5_000_000 } else { 200_000 });
    }
}
