//! Every state of the pure protocol, within bounds: clients, an upstream, owners, and whatever may go wrong between them.
//!
//! The models under `loom-tests/` show that threads cannot interleave wrongly around the one lock. This search shows that
//! what happens under the lock is right, with more actors and more faults than loom can take: an explicit-state checker
//! ([stateright](https://docs.rs/stateright)) drives [`Protocol`](latchwork::protocol::Protocol) through its public
//! interface.
//!
//! ```text
//! cargo test --test search                          small spaces, a minute on two cores
//! LATCHWORK_SEARCH=full cargo test --test search    large ones too, some minutes
//! ```
//!
//! # State and actions
//!
//! A state is up to three clients, upstream, and what is on its way between them. Each client is a `Protocol` with the
//! driver that the crate's documentation asks for (`client.rs`), over a `MemoryLog` whose events commute, one that rebases
//! them, one that gives up an event whenever it does, or a `SyncState` with local-only events (`log.rs`). Actions are
//!
//! - a **commit**: at any time, up to three for each client;
//! - a **step**, which is taken sooner or later: a push is sent, reaches upstream, is answered; a pull begins, a page is
//!   made, arrives, the pull ends; a timer fires; the owner resumes what it has paused, acts after a failure, gives up or
//!   replaces an event that upstream refuses, and ends a call that hangs; the replica that answers pulls gets what upstream
//!   has ordered. Each is an action of its own, so every answer and every
//!   page may be as late as it likes: after a restart, or after the log has been replaced;
//! - a **fault** (`faults.rs`): lost requests, answers, echoes and connections, refusals with a time and without, wrong
//!   rejections, an event that is refused for good, rightly or not, a push that is too large or has no end, a request that
//!   arrives after its call was given up, a page that comes twice, an upstream that loses its last event, failures, panics, a
//!   log that breaks its contract in one answer, crashes; and what owners may do at any time: pause, retry, override,
//!   reconnect, restart, stop, give up or replace an event, put in another log. A search has a few to spend, and some that cost
//!   nothing: what an upstream says **for ever**.
//!
//! **Time** is in the actions: everything happens at zero, every timer is set for later, and that it fires is a step like
//! any other. The protocol compares a deadline with the present and nothing else, so a deadline is either past or not, and
//! both are tried in any order: more than any clock would allow. The time that upstream names is later than any that the
//! protocol chooses, and a timer fires at the time that was set, so a call that begins too soon is seen.
//!
//! # What is compared
//!
//! Two states are one if they can do the same from now on. Of a protocol that is its [canonical
//! form](latchwork::protocol::Protocol::canonical): counters are left out, and numbers that only
//! grow are replaced by what they are compared with; its documentation says why nothing is lost. A
//! batch and a pull on their way are compared without their tickets, but with whether they are the
//! protocol's latest; a ticket means nothing else. A request that upstream can no longer take,
//! since its head has moved past the batch's base, is dropped. Whether a stale outcome is ignored
//! is tried where the outcome becomes stale, so old tickets need not be kept.
//!
//! A state is remembered as a fingerprint of 64 bits, so two could be taken for one: with ten
//! million states, one in 300,000 searches would suffer it.
//!
//! # That everything drains
//!
//! "Once faults stop, everything drains" speaks of all that may follow a state, and the checker's
//! eventually-properties overlook circles. So it is shown in two parts. The graph of the **steps**
//! that the search has seen has no circle (`graph.rs` looks at all of it): from every state, in
//! whatever order, steps come to an end, after as many as the search prints at most. And a state
//! without a step is **quiet** (`properties.rs`): nothing is pending, and live clients have what
//! upstream has. Commits and faults are finite, so no schedule, however unfair, ends otherwise. No
//! fairness is assumed, but for one: a timer that fires while a replica lags is not in the graph,
//! so the replica gets its turn some time.
//!
//! # That it does not hammer
//!
//! Where upstream may say the same for ever, there is no end to what happens. There the search
//! counts the calls that begin without the end of a backoff, a merge, a commit or the owner's word
//! between them, and finds that they are few ([`MOST_CALLS`](properties::MOST_CALLS)). Merges,
//! commits and the owner's words come to an end in each search, so whatever upstream says, a client
//! that goes on calling waits for time again and again. How long it waits is shown in
//! `tests/answers`, in a time of its own.
//!
//! # What this does not show
//!
//! Anything beyond the bounds. How long anything takes: traffic without end (I13) is there only as "nothing but a lost
//! push is interrupted". Locks, threads and wakers (I2 beyond the epoch, I9). A stream that goes on after its upstream
//! was restored, and an upstream that goes back and then orders other events under the same numbers: no number tells.
//! A client that has nothing pending is not told that upstream has gone back. An event that the owner replaces while a
//! request of before may still bring it to upstream: no log can tell which of the two upstream has then. Where pulls never
//! say that they have shown everything, a push that got lost is not among the faults: nothing would show that it is. A
//! client that begins anew, or is given a log that does not go on with the pending events of the one before, forgets that an
//! outcome was unknown and sends at once: that nothing is taken twice then rests on upstream's looking at the batch's base.
#![cfg(not(loom))]

mod calls;
mod client;
mod data;
mod faults;
mod graph;
mod inputs;
mod journal;
mod log;
mod model;
mod properties;
mod runner;
mod upstream;

use faults::Fault::{self, *};
use log::Kind;
use model::Config;
use properties::Property;
use runner::{alone, hold, say, wander};
use serde_json::json;

/// What owners may do.
#[rustfmt::skip]
const OWNER: &[Fault] = &[
    PausePush, PausePull, RetryNow, Override, Restart, ResetKeeping, ResetDropping, Crash, Stop,
];

/// Whatever an upstream may answer to a push or a pull, rightly or not.
#[rustfmt::skip]
const ANSWERS: &[Fault] = &[
    Refuse, Busy, RejectBlindly, RejectAtBase, RejectBeyond, LoseRequest, DelayRequest, LoseAnswer, FatalPush, PanicPush,
    Disconnect, DisconnectAtLast, EndStream, BusyPull, LoseEcho, DuplicatePage, Heartbeat, FatalPull, PanicPull,
];

/// Those that ask for the next call.
#[rustfmt::skip]
const REFUSALS: &[Fault] = &[
    Refuse, Busy, RejectBlindly, RejectAtBase, LoseRequest, FatalPush,
    Disconnect, EndStream, BusyPull, FatalPull,
];

/// Where pulls never say that they have shown everything, nothing shows that a push has been lost.
#[rustfmt::skip]
const UNDONE: &[Fault] = &[
    Refuse, Busy, LoseAnswer, FatalPush, Disconnect, BusyPull, DuplicatePage, Heartbeat, FatalPull, PanicPull,
    PausePush, PausePull, RetryNow, Override, Restart, ResetKeeping, ResetDropping, Crash, Stop,
];

/// What may meet a replica that lags.
const LAGGING: &[Fault] = &[DelayRequest, LoseAnswer, RetryNow];

/// What may meet an upstream that goes back.
#[rustfmt::skip]
const GOING_BACK: &[Fault] = &[
    GoBack, Refuse, LoseRequest, DelayRequest, LoseAnswer, PanicPush, Disconnect, DuplicatePage,
    PausePull, RetryNow, Restart, ResetKeeping, ResetDropping, Crash,
];

/// Logs that break their contract.
const LYING: &[Fault] = &[LieInBatch, LieInCommit, LieInMerge, LieInConfirmed, LieInDropped];

/// The same of one client, whose log rebases nothing, and what may meet it.
#[rustfmt::skip]
const LYING_ALONE: &[Fault] = &[
    LieInBatch, LieInCommit, LieInMerge,
    Busy, LoseAnswer, DelayRequest, PanicPush, BusyPull, Disconnect, RetryNow, Restart, ResetKeeping, Stop,
];

/// What an upstream may find wrong with what it is sent, and with the wires, and what owners may decide about it.
#[rustfmt::skip]
const REFUSED: &[Fault] = &[
    RejectFirst, RejectLast, RejectNone, TooLarge, LoseAnswer, Timeout, Hang,
    Reconnect, GiveUpFirst, GiveUpLast, ReplaceLast, RetryRejected, ResetWith, ResetToSnapshot, Restart,
];

/// What owners may decide about pending events, whatever is under way.
#[rustfmt::skip]
const DECISIONS: &[Fault] = &[
    Refuse, RejectBlindly, DelayRequest, LoseAnswer, FatalPush, PanicPush, RejectLast, TooLarge, Hang,
    Disconnect, LoseEcho, FatalPull, PausePush, PausePull,
    Reconnect, GiveUpFirst, GiveUpLast, ReplaceLast, RetryRejected, ResetWith, ResetToSnapshot, ResetKeeping, RetryNow, Restart, Crash, Stop,
];

/// What may meet pushes that wait for more events.
#[rustfmt::skip]
const LINGERING: &[Fault] = &[Refuse, Busy, RejectLast, TooLarge, LoseAnswer, PausePush, Hurry, RetryNow, GiveUpFirst, Restart, Crash, Stop];

/// What may meet a journal.
#[rustfmt::skip]
const JOURNAL: &[Fault] = &[
    Crash, FailWrite, LoseRequest, DelayRequest, LoseAnswer, RejectBlindly, RejectLast, PanicPush, Disconnect, LoseEcho, PanicPull,
    PausePush, GiveUpFirst, ReplaceLast, ResetKeeping, ResetDropping, ResetWith, ResetToSnapshot, RetryNow, Restart, Stop,
];

/// What may meet a journal's changes.
const CRASHING: &[Fault] = &[Crash, FailWrite, GiveUpFirst, ReplaceLast];

const ONE: Config = Config { events: &[2], budget: 3, ..Config::BASE };
const TWO: Config = Config::BASE;

#[rustfmt::skip]
const SMALL: &[Config] = &[
    Config { name: "1 client, 2 events, 3 faults", ..ONE },
    Config { name: "1 client, 2 events, 3 faults, on request", live: false, ..ONE },
    Config { name: "1 client, 2 events, 2 faults, idempotent", budget: 2, idempotent: true, ..ONE },
    Config { name: "1 client, 2 events, 3 faults, upstream goes back", faults: GOING_BACK, ..ONE },
    Config { name: "1 client, 2 events, 3 faults, the log lies", faults: LYING_ALONE, ..ONE },
    Config { name: "1 client, 1 event, refusals for ever", events: &[1], budget: 0, forever: REFUSALS, ..ONE },
    Config { name: "1 client, 1 event, refusals for ever, the owner acts once, on request", events: &[1], budget: 1, faults: OWNER, forever: REFUSALS, live: false, ..ONE },
    Config { name: "1 client, 1 event, any answers for ever, on request", events: &[1], budget: 0, forever: ANSWERS, live: false, ..ONE },
    Config { name: "1 client, 2 events, 3 faults, events are refused", faults: REFUSED, ..ONE },
    Config { name: "1 client, 2 events, 2 faults, events are refused, on request", budget: 2, faults: DECISIONS, live: false, ..ONE },
    Config { name: "1 client, 2 events, 2 faults, events are refused, idempotent", budget: 2, faults: REFUSED, idempotent: true, ..ONE },
    Config { name: "1 client, 2 events, 2 faults, the first event is refused for good", budget: 2, faults: DECISIONS, refuses: Some(0), ..ONE },
    Config { name: "1 client, 3 events, 1 fault, the last event is refused for good", events: &[3], batch: 3, budget: 1, faults: DECISIONS, refuses: Some(2), ..ONE },
    Config { name: "1 client, 3 events, 1 fault, pushes of one event fit", events: &[3], batch: 3, budget: 1, faults: DECISIONS, takes: 1, ..ONE },
    Config { name: "1 client, 3 events, pushes are too large for ever", events: &[3], batch: 3, budget: 0, forever: &[TooLarge], ..ONE },
    Config { name: "1 client, 2 events, 2 faults, pushes linger", budget: 2, faults: LINGERING, lingers: true, ..ONE },
    Config { name: "2 clients, 1 event each, 1 fault, rebasing, events are refused", faults: REFUSED, log: Kind::Rebasing, refuses: Some(0), ..TWO },
    Config { name: "2 clients, 2 and 1 events, no fault, events are given up, and one is refused for good", events: &[2, 1], budget: 0, log: Kind::GivingUp, refuses: Some(1), ..TWO },
    Config { name: "2 clients, 1 event each and a local-only one, 1 fault, events are refused", events: &[2, 1], locals: 0b01, faults: REFUSED, log: Kind::Merging, refuses: Some(1), ..TWO },
    Config { name: "2 clients, 1 event each, 1 fault", ..TWO },
    Config { name: "2 clients, 1 event each, 1 fault, rebasing", log: Kind::Rebasing, ..TWO },
    Config { name: "2 clients, 1 event each, 1 fault, rebasing, on request", log: Kind::Rebasing, live: false, ..TWO },
    Config { name: "2 clients, 1 event each, 1 fault, rebasing, on request, head untold", log: Kind::Rebasing, live: false, tells_head: false, ..TWO },
    Config { name: "2 clients, 1 event each, 1 fault, rebasing, idempotent", log: Kind::Rebasing, idempotent: true, ..TWO },
    Config { name: "2 clients, 1 event each, 1 fault, events are given up", log: Kind::GivingUp, ..TWO },
    Config { name: "2 clients, 1 event each and a local-only one, 1 fault", events: &[2, 2], locals: 0b01, log: Kind::Merging, ..TWO },
    Config { name: "1 client, 2 events, 2 faults, pulls never say that they are done", budget: 2, faults: UNDONE, says_when_done: false, ..ONE },
    Config { name: "2 clients, 1 event each, 1 fault, pulls never say that they are done", faults: UNDONE, says_when_done: false, ..TWO },
    Config { name: "2 clients, 1 event each, 1 fault, rebasing, the log lies", faults: LYING, log: Kind::Rebasing, ..TWO },
    Config { name: "2 clients, 1 event each, 1 fault, pulls lag", faults: LAGGING, lags: true, ..TWO },
    Config { name: "2 clients, 1 event each, pulls lag, heartbeats for ever", budget: 0, forever: &[Heartbeat], lags: true, ..TWO },
    Config { name: "2 clients, 1 event each, pulls flap for ever", budget: 0, forever: &[EndStream, Disconnect], ..TWO },
    Config { name: "1 client, 2 events, 2 faults, a journal", budget: 2, faults: JOURNAL, journal: 8, ..ONE },
    Config { name: "1 client, 2 events, 2 faults, a journal that is soon full, on request", budget: 2, faults: JOURNAL, journal: 1, live: false, ..ONE },
    Config { name: "2 clients, 1 event each, 1 fault, rebasing, a journal", faults: CRASHING, journal: 8, log: Kind::Rebasing, ..TWO },
    Config { name: "2 clients, 1 event each, 1 crash, events are given up, a journal", faults: &[Crash, FailWrite], journal: 8, log: Kind::GivingUp, ..TWO },
    Config { name: "2 clients, 1 event each and a local-only one, 1 crash, a journal", events: &[2, 2], locals: 0b01, faults: &[Crash], journal: 8, log: Kind::Merging, ..TWO },
    Config { name: "2 clients, 2 events each, no fault, rebasing", events: &[2, 2], budget: 0, log: Kind::Rebasing, ..TWO },
    Config { name: "2 clients, 2 events each, no fault, rebasing, pages of 2, pushes of 1", events: &[2, 2], budget: 0, log: Kind::Rebasing, page: 2, batch: 1, ..TWO },
];

#[rustfmt::skip]
const LARGE: &[Config] = &[
    Config { name: "1 client, 3 events, 3 faults", events: &[3], ..ONE },
    Config { name: "1 client, 3 events, 3 faults, on request", events: &[3], live: false, ..ONE },
    Config { name: "1 client, 2 events, 4 faults", budget: 4, ..ONE },
    Config { name: "1 client, 2 events, 3 faults, idempotent", idempotent: true, ..ONE },
    Config { name: "1 client, 1 event, any answers for ever", events: &[1], budget: 0, forever: ANSWERS, ..ONE },
    Config { name: "1 client, 1 event, refusals for ever, the owner acts once", events: &[1], budget: 1, faults: OWNER, forever: REFUSALS, ..ONE },
    Config { name: "1 client, 3 events, 3 faults, events are refused", events: &[3], batch: 3, faults: REFUSED, ..ONE },
    Config { name: "1 client, 2 events, 3 faults, the owner decides", faults: DECISIONS, refuses: Some(1), ..ONE },
    Config { name: "1 client, 3 events, 3 faults, pushes linger", events: &[3], faults: LINGERING, lingers: true, ..ONE },
    Config { name: "2 clients, 2 and 1 events, 1 fault, rebasing, events are refused", events: &[2, 1], faults: DECISIONS, log: Kind::Rebasing, refuses: Some(1), ..TWO },
    Config { name: "2 clients, 1 event each, 2 faults, rebasing", budget: 2, log: Kind::Rebasing, ..TWO },
    Config { name: "2 clients, 1 event each, 2 faults, on request, head untold", budget: 2, live: false, tells_head: false, ..TWO },
    Config { name: "2 clients, 1 event each, any fault, pulls lag", lags: true, ..TWO },
    Config { name: "2 clients, 2 events each, 1 fault, events are given up", events: &[2, 2], log: Kind::GivingUp, ..TWO },
    Config { name: "2 clients, 2 and 1 events, 1 fault, rebasing", events: &[2, 1], log: Kind::Rebasing, ..TWO },
    Config { name: "2 clients, 3 events each, no fault, rebasing, on request", events: &[3, 3], budget: 0, live: false, log: Kind::Rebasing, ..TWO },
    Config { name: "1 client, 2 events, 3 faults, a journal", faults: JOURNAL, journal: 8, ..ONE },
    Config { name: "1 client, 2 events, 3 faults, a journal that is soon full, on request", faults: JOURNAL, journal: 1, live: false, ..ONE },
    Config { name: "2 clients, 1 event each, any fault, rebasing, a journal", faults: JOURNAL, journal: 8, log: Kind::Rebasing, ..TWO },
    Config { name: "2 clients, 2 and 1 events, 1 crash, events are given up, a journal", events: &[2, 1], faults: &[Crash, FailWrite], journal: 8, log: Kind::GivingUp, ..TWO },
    Config { name: "3 clients, 1 event each, no fault, rebasing", events: &[1, 1, 1], budget: 0, log: Kind::Rebasing, ..TWO },
    Config { name: "3 clients, 1 event each, no fault, on request", events: &[1, 1, 1], budget: 0, live: false, ..TWO },
];

/// Too large to see all of: 3 clients, 3 events each.
#[rustfmt::skip]
const VAST: &[Config] = &[
    Config { name: "3 clients, 3 events each, 4 faults", events: &[3, 3, 3], budget: 4, ..Config::BASE },
    Config { name: "3 clients, 3 events each, 4 faults, rebasing, on request", events: &[3, 3, 3], budget: 4, live: false, log: Kind::Rebasing, ..Config::BASE },
    Config { name: "3 clients, 3 events each, 4 faults, events are given up, pulls lag", events: &[3, 3, 3], budget: 4, log: Kind::GivingUp, lags: true, ..Config::BASE },
    Config { name: "3 clients, 3 events each, 4 faults, events are refused", events: &[3, 3, 3], budget: 4, faults: DECISIONS, refuses: Some(1), ..Config::BASE },
    Config { name: "3 clients, 3 events each, 4 faults, rebasing, pushes linger and are refused", events: &[3, 3, 3], budget: 4, faults: LINGERING, log: Kind::Rebasing, lingers: true, refuses: Some(2), ..Config::BASE },
    Config { name: "3 clients, 3 events each, 4 faults, rebasing, a journal", events: &[3, 3, 3], budget: 4, faults: JOURNAL, journal: 8, log: Kind::Rebasing, ..Config::BASE },
    Config { name: "3 clients, 3 events each, some local-only, 4 faults", events: &[3, 3, 3], locals: 0b101, budget: 4, log: Kind::Merging, ..Config::BASE },
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
    Property::ALL.iter().for_each(|property| data::note(&json!({ "search_property": property.name() })));
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
