//! The pure protocol for any number of clients, events and faults, by induction.
//!
//! `tests/search` sees every state within bounds. Here is no bound: the states of **one client,
//! whatever all others do**, are few once numbers are replaced by what they are compared with, and
//! all of them are visited. The set is closed under every step that the contracts permit, so it is
//! an inductive invariant: a client never leaves it, however many clients, events and faults there
//! are and however long it runs.
//!
//! ```text
//! cargo test --test induction                               a minute or two on two cores
//! LATCHWORK_INDUCTION=full cargo test --test induction      the large environments too: minutes each, and up to 3 GB
//! LATCHWORK_INDUCTION='and the owner acts, live' …          this one alone
//! ```
//!
//! # What stands for all that is left out
//!
//! - The **log** is an oracle (`oracle.rs`): it keeps its head, and whether none, one or more
//!   events are pending. What a merge does is chosen by the search, within what
//!   [`Log`](latchwork::log::Log) permits, or beyond.
//! - **All other clients, and all that has been**, are in what upstream has beyond this log's head
//!   (`state.rs`). Upstream takes a batch only if it follows its last event, so this client's
//!   events stand first there, then those of others: `own^k foreign^m`. Of `k` matters which of the
//!   pending events it is, and of `m` whether it is zero. Another client's event may come at any
//!   time.
//! - A **call** is under way with what it may still be answered (`steps.rs`): whether upstream has
//!   the push; what the pull owes and whether it has lost a page.
//! - **Time** is past or not: everything happens at zero, every deadline is later, and all
//!   deadlines may be past whenever one is looked at.
//!
//! The client itself is the shipped [`Protocol`](latchwork::protocol::Protocol), driven through its
//! public interface (`take.rs`).
//!
//! # What is shown
//!
//! Properties by name (`properties.rs`), of a step, of a state with its steps, and of the graph of
//! all states. Edges of the graph carry what they consume (`graph.rs`): nothing; time; a commit,
//! another client's event or a fault; the owner's word; and whether a call begins. So
//!
//! - **liveness without fairness**: steps that consume nothing form no cycle. Each state has a
//!   rank, the most of them that can follow, and it is asserted that the rank falls with each. A
//!   state from which nothing is due any more is *quiet*: nothing is pending, or the owner is
//!   named. From every state in which the pusher is parked, steps that are due lead to one in which
//!   it is not;
//! - **no storm**: calls that follow each other for ever pass through time, unless what is consumed
//!   each time is on a list with the reason (`environments.rs`). What is on the list and does not
//!   happen fails too.
//!
//! # Why the abstraction is one
//!
//! - **Twins**: states of one form are one. Of every hundred steps to a state that was known, the
//!   state of one is taken all the steps of anyway, and has the very steps of the first of its form.
//! - **Containment** (`contained.rs`): every state of concrete clients, with a log of events,
//!   numbers and an upstream that keeps what it has taken, is among the abstract ones; and so is
//!   every state of the fuzzers' clients (`fuzzed.rs`), with pages that overlap and a clock that
//!   goes on. So nothing was left out that they meet.
//! - **The checks are checked**: a forged step is noticed by the twins and by the ranks; without a
//!   kind of fault concrete states go missing; with each class of steps taken away, the property
//!   about who is waited on names the very party that takes them; and each known bug of the
//!   protocol breaks a property by name (`loom-tests/induction.rs`).
//!
//! # What it rests on, and what it does not see
//!
//! It rests on the contracts of [`Log`](latchwork::log::Log) and
//! [`Upstream`](latchwork::upstream::Upstream): above all that a live pull says **at some time**
//! that it has caught up, and that an answer and the end of a call that is to end come **at some
//! time**. On fingerprints of 64 bits: of ten million states two are taken for one in one of
//! 300,000 searches. On a driver that does what it is told and is woken if it has to look: that is
//! shown by a model of its own, whatever the protocol says (`loom-tests/scenarios/driver.rs`).
//!
//! It does not see **what** is in the log, nor the order of events in it, local-only events, an
//! upstream that goes back or takes what does not follow: those are the state search's. So is a
//! reset to a log whose events upstream has **among those of others**, as after an older copy was
//! put back: a log that is put in here has what upstream has of it at the front, `own^k foreign^m`,
//! as every other. Of an owner, failures and lies two at most are together. Delays are the first, or
//! longer ones: not how they grow, nor whether a failure was waited out once or twice. It knows two
//! batch sizes, one and two: in a larger batch there is more of the middle, and nothing else.
//! Where there are owners, failures or lies it is not counted how often others overtake a push in a row, and the
//! delay after the fifth is left out ([`counts`](state::Config::counts)). Where owners decide about pending events, a push
//! that was given up does not come after a catch-up that has not shown it: the client cannot protect it. `linger`,
//! a limit of weight and `pull_interval` are in a small set each.
//! It sees no locks and no threads: those are the models'.
#![cfg(not(loom))]

mod checked;
mod concrete;
mod contained;
#[path = "../search/data.rs"]
mod data;
mod environments;
mod fingerprint;
#[allow(dead_code, reason = "the fuzzers use the rest")]
#[path = "../fuzz/protocol/mod.rs"]
mod fuzz;
mod fuzzed;
mod graph;
#[allow(dead_code, reason = "the fuzzers use the rest")]
#[path = "../fuzz/harness.rs"]
mod harness;
#[path = "../fuzz/logs.rs"]
mod logs;
mod oracle;
mod properties;
mod search;
mod state;
mod steps;
mod take;
mod verdict;

use contained::Within;
use environments::{FAILING, HEAVY, IDEMPOTENT, LARGE, LINGERING, LIVE, LYING, OWNED, POLLING, REFUSING, REQUEST};
use properties::Property;
use search::Asked;
use serde_json::json;
use state::{Config, State};
use verdict::{alone, hold};

/// Whether an environment is asked for: all for "full", or one by its name; and without either those that are not large.
fn is_asked_for(config: &Config, large: bool) -> bool {
    match std::env::var("LATCHWORK_INDUCTION").as_deref() {
        Err(_) => !large,
        Ok(asked) => asked == "full" || asked == config.name,
    }
}

/// An environment, one in how many states of a known form is compared with its twin, and whose
/// states are looked for in it.
type Closed = (Config, usize, &'static [Within]);

#[rustfmt::skip]
const CLOSED: &[Closed] = &[
    (LIVE, 100, contained::LIVE),
    (REQUEST, 100, contained::REQUEST),
    (IDEMPOTENT, 100, contained::IDEMPOTENT),
    (OWNED, 0, &[]),
    (FAILING, 0, contained::FAILING),
    (LYING, 0, contained::LYING),
    (REFUSING, 0, contained::REFUSING),
    (LINGERING, 0, contained::LINGERING),
    (HEAVY, 0, &[]),
    (POLLING, 0, &[]),
];

#[test]
fn every_closed_set_holds_what_is_asked_for_and_every_concrete_state() {
    let _alone = alone();
    // In a minute less, the owner's concrete states are looked for on a schedule alone.
    let owned: &[Within] = if is_asked_for(&OWNED, true) { contained::OWNED } else { &[] };
    let usual = CLOSED.iter().map(|closed| (*closed, false));
    let all: Vec<_> = usual.chain(LARGE.map(|config| ((config, 0, &[][..]), true))).collect();
    let asked: Vec<_> = all.into_iter().filter(|((config, ..), large)| is_asked_for(config, *large)).collect();
    assert!(!asked.is_empty(), "LATCHWORK_INDUCTION: expected \"full\", an environment's name, or nothing");
    let mut broken = Vec::new();
    for ((config, twins, concrete), _) in asked {
        let concrete = if config.name == OWNED.name { owned } else { concrete };
        let form: Option<fn(&State) -> u64> = Some(contained::fingerprint);
        let (seen, result) = hold(config, Asked { twins, form, ..Asked::ALL });
        broken.extend(result.err());
        broken.extend(contained::check(&seen, concrete).err());
        broken.extend(contained::check_fuzzed(&seen).err());
    }
    Property::ALL.iter().for_each(|property| data::note(&json!({ "property": property.name() })));
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
