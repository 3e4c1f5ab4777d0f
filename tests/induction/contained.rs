//! That nothing was left out: every state of concrete clients, with a log of events, positions that
//! are numbers, and an upstream that keeps what it has taken, is among the abstract ones.
//!
//! The concrete states are those of [`tests/search`](super::concrete): all of some small spaces,
//! and random walks through a large one, of three clients. Each client is looked at with all the
//! rest of its state as its environment, and brought to the form in which abstract states are
//! compared too: what the protocol prints of its canonical form, but for the log, with positions as
//! they stand to the head and times as past or not. What the abstract states note beside, for
//! properties alone, is left out.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

use latchwork::log::Log;
use latchwork::protocol::{Delay, Protocol, Push};
use serde_json::json;
use stateright::Model;

use super::concrete::calls::Answer;
use super::concrete::client::Client;
use super::concrete::faults::Fault::{self, *};
use super::concrete::log::{Event, Kind};
use super::concrete::model::{self, Search};
use super::data;
use super::oracle::MOST;
use super::search::Seen;
use super::state::{Config, Part, State};
use super::verdict::say;

/// A state as both kinds have it.
#[derive(Debug, Hash)]
pub struct Form {
    pub protocol: String,
    pub pending: usize,
    pub own: usize,
    pub foreign: bool,
    pub late: [bool; MOST],
    /// Of a push: its size, whether upstream has it, whether it is to end, whether it is the
    /// present one.
    pub push: Option<(usize, bool, bool, bool)>,
    /// Of a pull: what it has lost, whether it is to end, whether it is the present one.
    pub pull: Option<(Part, bool, bool)>,
}

impl Form {
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// Without what failures say: that there is one is what matters.
fn without_errors(text: &str) -> String {
    let text = text.replace("failed: Some(", "failed: Some(error: ");
    let (mut left, mut rest) = (String::new(), text.as_str());
    while let Some((before, error)) = rest.split_once("error: ") {
        let mut depth = 0;
        let end = error.find(|letter| {
            depth += i32::from("{(".contains(letter)) - i32::from("})".contains(letter));
            depth < 0
        });
        left.push_str(before);
        rest = &error[end.unwrap_or(error.len())..];
    }
    left + rest
}

/// Without the parts of positions that only logs with local-only events have.
fn without_clients(text: &str) -> String {
    text.replace("Position { global: ", "").replace(", client: 0 }", "")
}

/// Whether such states are among the abstract ones: where it is not counted how often others overtake a push, the delay is
/// left out that follows.
pub fn is_followed<L: Log>(protocol: &Protocol<L>, config: &Config) -> bool {
    config.counts || !matches!(protocol.push(), Push::Waiting { reason: Delay::Overtaken, .. })
}

/// As often as others can overtake a push before it makes no difference any more.
const OVERTAKEN: [&str; 7] = ["0", "1", "2", "3", "4", "5", "6"];

/// A protocol's canonical form in words, but for its log and its settings.
/// How often others have overtaken a push is among them if it [counts](Config::counts).
pub fn canonical<L: Log<Entry: std::fmt::Debug> + std::fmt::Debug>(
    protocol: &Protocol<L>,
    head: i64,
    counts: bool,
) -> String {
    let canonical = format!("{:?}", protocol.canonical());
    let (_, course) = canonical.split_once("course: ").expect("a shape prints its course");
    let mut words = String::with_capacity(course.len());
    // What a push for a former log was made to follow is of no consequence.
    let former = course.contains("stale: [true");
    let mut before = "";
    for word in without_clients(&without_errors(course)).split(' ') {
        let number = word.trim_start_matches("Some(").trim_end_matches([',', ')', ' ']);
        let relation = match (before, number.parse::<i64>()) {
            ("base:", Ok(_)) if former => Some("former"),
            ("base:" | "target:", Ok(position)) => Some(match position.cmp(&head) {
                std::cmp::Ordering::Less => "before",
                std::cmp::Ordering::Equal => "at",
                std::cmp::Ordering::Greater => "after",
            }),
            ("push_failures:" | "rejected:" | "pull_failures:", Ok(count)) => {
                Some(["0", "1", "2"][usize::try_from(count.min(2)).expect("a count")])
            }
            ("overtaken:", Ok(count)) if counts => Some(OVERTAKEN[usize::try_from(count).expect("a count").min(6)]),
            ("overtaken:", Ok(_)) => Some("0"),
            // Of all that is printed, times alone begin with a digit and end with their unit.
            _ if number.starts_with(|first: char| first.is_ascii_digit()) && number.ends_with('s') => {
                Some(if number == "0ns" { "past" } else { "later" })
            }
            _ => None,
        };
        write!(words, "{} ", relation.unwrap_or(word)).expect("a string");
        before = word;
    }
    words
}

/// The form of an abstract state.
pub fn fingerprint(state: &State) -> u64 {
    let State { protocol, own, foreign, late, push, pull, .. } = state;
    let push = push.as_ref();
    let push =
        push.map(|call| (call.batch.entries.len(), call.taken, call.interrupted, protocol.is_sending(&call.batch)));
    let pull = pull.as_ref().map(|call| (call.lost, call.interrupted, protocol.is_pulling(call.ticket)));
    let (pending, protocol) = (state.pending(), canonical(protocol, state.head().0, true));
    Form { protocol, pending, own: *own, foreign: *foreign, late: *late, push, pull }.fingerprint()
}

/// The forms that a client may have, with what else there is.
fn forms(client: &Client, upstream: &[Event], config: &Config) -> Vec<Form> {
    let batch = config.batch;
    let head = client.cursor();
    let beyond = &upstream[head..];
    // What a log that was put in does not have is another's to it, also if this client committed it.
    let pending = client.protocol.log().all();
    let is_own = |event: &&Event| event.author() == client.id && pending.contains(event);
    let own = beyond.iter().take_while(is_own).count();
    let mut late = [false; MOST];
    for batch in &client.late {
        let present = batch.entries.iter().all(|entry| is_own(&&entry.event));
        let follows = present && batch.base == head as u64 && beyond.is_empty();
        // One whose call has not been told that it is lost is under way still.
        let under_way =
            client.push.as_ref().is_some_and(|call| call.answer.is_some() && call.batch.entries == batch.entries);
        late[batch.entries.len() - 1] |= follows && !under_way;
    }
    let pull = client.pull.as_ref().map(|call| {
        let given = call.page.map_or(call.given, |(from, _)| from).max(head);
        let lost = match upstream[head..given].iter().find(|event| !is_own(event)) {
            _ if !call.lost || given == head => Part::Nothing,
            None => Part::Own,
            Some(_) => Part::Foreign,
        };
        (lost, call.interrupted, client.protocol.is_pulling(client.pull_ticket))
    });
    let push = client.push.as_ref().map(|call| {
        let base = usize::try_from(call.batch.base).expect("few events");
        let events = call.batch.entries.iter().map(|entry| entry.event);
        let has_it = upstream.iter().skip(base).copied().take(call.batch.entries.len()).eq(events);
        let present = client.protocol.is_sending(&call.batch);
        // Upstream may have the same events from a push of before.
        let taken = [Some(has_it && !call.former), (call.answer != Some(Answer::Taken)).then_some(false)];
        taken.map(|taken| taken.map(|taken| (call.batch.entries.len(), taken, call.interrupted, present)))
    });
    let push = push.map_or(vec![None], |calls| calls.into_iter().flatten().map(Some).collect());
    let with = |push| Form {
        protocol: canonical(&client.protocol, i64::try_from(head).expect("few events"), config.counts),
        pending: client.pending().min(batch),
        own: own.min(batch),
        foreign: own < beyond.len(),
        late,
        push,
        pull,
    };
    push.into_iter().map(with).collect()
}

/// What concrete clients are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Within {
    pub name: &'static str,
    pub space: model::Config,
    /// States that random walks visit; all of the space without.
    pub walks: Option<usize>,
}

/// What may go wrong under the contract.
#[rustfmt::skip]
const PERMITTED: &[Fault] = &[
    Refuse, Busy, LoseRequest, DelayRequest, LoseAnswer,
    Disconnect, DisconnectAtLast, EndStream, BusyPull, DuplicatePage, Heartbeat,
];
/// And what owners may do. A log that is put in and begins anew may meet its events after those of
/// others: that is the state search's.
#[rustfmt::skip]
const OWNER: &[Fault] = &[
    Refuse, LoseAnswer, DelayRequest, Disconnect,
    PausePush, PausePull, RetryNow, Override, Restart, ResetDropping, Crash, Stop,
];
#[rustfmt::skip]
const FAILURES: &[Fault] = &[
    Refuse, LoseAnswer, DelayRequest, Disconnect, FatalPush, PanicPush, FatalPull, PanicPull, BusyPull, Restart,
    LieInBatch, LieInCommit, LieInMerge,
];
const LIES: &[Fault] =
    &[LoseAnswer, DelayRequest, Disconnect, BusyPull, RejectBlindly, RejectAtBase, RejectBeyond, LoseEcho, Restart];

const BASE: model::Config = model::Config { faults: PERMITTED, log: Kind::Rebasing, ..model::Config::BASE };
/// Pushes of one event.
const ONE: model::Config = model::Config { events: &[2], budget: 2, batch: 1, ..BASE };
const WIDE: model::Config = model::Config { events: &[5, 5, 5], budget: 12, page: 3, ..BASE };

#[rustfmt::skip]
pub const LIVE: &[Within] = &[
    Within { name: "1 client, 3 events, 2 faults", space: model::Config { events: &[3], budget: 2, ..BASE }, walks: None },
    Within { name: "2 clients, 1 event each, 1 fault", space: BASE, walks: None },
    Within { name: "2 clients, 2 events each, no fault, events are given up", space: model::Config { events: &[2, 2], budget: 0, log: Kind::GivingUp, ..BASE }, walks: None },
    Within { name: "3 clients, 5 events each, 12 faults", space: WIDE, walks: Some(100_000) },
];
#[rustfmt::skip]
pub const REQUEST: &[Within] = &[
    Within { name: "2 clients, 1 event each, 1 fault", space: model::Config { live: false, ..BASE }, walks: None },
    Within { name: "3 clients, 5 events each, 12 faults, head untold", space: model::Config { live: false, tells_head: false, ..WIDE }, walks: Some(50_000) },
];
#[rustfmt::skip]
pub const IDEMPOTENT: &[Within] = &[
    Within { name: "2 clients, 1 event each, 1 fault", space: model::Config { idempotent: true, batch: 1, ..BASE }, walks: None },
];
#[rustfmt::skip]
pub const OWNED: &[Within] = &[
    Within { name: "1 client, 2 events, 2 faults", space: model::Config { faults: OWNER, ..ONE }, walks: None },
    Within { name: "3 clients, 5 events each, 12 faults", space: model::Config { faults: OWNER, batch: 1, ..WIDE }, walks: Some(50_000) },
];
#[rustfmt::skip]
pub const FAILING: &[Within] = &[
    Within { name: "1 client, 2 events, 2 faults", space: model::Config { faults: FAILURES, ..ONE }, walks: None },
];
#[rustfmt::skip]
pub const LYING: &[Within] = &[
    Within { name: "1 client, 2 events, 2 faults", space: model::Config { faults: LIES, ..ONE }, walks: None },
    Within { name: "2 clients, 1 event each, 1 fault", space: model::Config { faults: LIES, batch: 1, ..BASE }, walks: None },
];
/// What upstream refuses for good, and what the owner decides then. A push that is asked to end may come after a catch-up that
/// does not show it, which the set leaves out: so not what asks it to.
#[rustfmt::skip]
const DECISIONS: &[Fault] = &[
    Refuse, LoseAnswer, Disconnect, RejectFirst, RejectLast, TooLarge,
    GiveUpFirst, GiveUpLast, ReplaceLast, RetryRejected, Restart,
];
#[rustfmt::skip]
pub const REFUSING: &[Within] = &[
    Within { name: "1 client, 3 events, 2 faults", space: model::Config { faults: DECISIONS, events: &[3], budget: 2, ..BASE }, walks: None },
    Within { name: "3 clients, 5 events each, 12 faults", space: model::Config { faults: DECISIONS, ..WIDE }, walks: Some(50_000) },
];
#[rustfmt::skip]
pub const LINGERING: &[Within] = &[
    Within { name: "2 clients, 1 event each, 1 fault", space: model::Config { faults: &[Refuse, TooLarge, RetryNow, Restart], lingers: true, ..BASE }, walks: None },
];
/// For a look at whether it notices anything.
pub const SMALL: Within =
    Within { name: "1 client, 2 events, 1 fault", space: model::Config { budget: 1, live: false, ..ONE }, walks: None };

impl Within {
    /// Looks for all of them. Returns how many there were, or one that is missing.
    pub fn look(&self, seen: &Seen) -> Result<usize, String> {
        // A walk keeps no graph of its steps, and neither is one needed here.
        let search = Search { walks: true, ..Search::new(self.space) };
        let mut missing = None;
        let mut visit = |state: &model::State| {
            for client in state.clients.iter().filter(|client| is_followed(&client.protocol, &seen.config)) {
                let forms = forms(client, &state.upstream.events, &seen.config);
                if !forms.iter().any(|form| seen.forms.contains(&form.fingerprint())) {
                    missing.get_or_insert(format!("{forms:?}\nof {client:?}\nwith {:?}", state.upstream.events));
                }
            }
            missing.is_none()
        };
        let count = match self.walks {
            None => exhaust(&search, &mut visit),
            Some(count) => wander(&search, count, &mut visit),
        };
        missing.map_or(Ok(count), Err)
    }
}

fn exhaust(search: &Search, visit: &mut impl FnMut(&model::State) -> bool) -> usize {
    let mut known = HashSet::new();
    let mut open = search.init_states();
    let fingerprint = |state: &model::State| {
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        hasher.finish()
    };
    let mut actions = Vec::new();
    while let Some(state) = open.pop() {
        if !known.insert(fingerprint(&state)) {
            continue;
        }
        if !visit(&state) {
            break;
        }
        search.actions(&state, &mut actions);
        open.extend(actions.drain(..).filter_map(|action| search.next_state(&state, action)));
    }
    known.len()
}

/// Walks at random, each walk to its end.
fn wander(search: &Search, count: usize, visit: &mut impl FnMut(&model::State) -> bool) -> usize {
    let mut random = 1_u64;
    let mut actions = Vec::new();
    let mut visited = 0;
    while visited < count {
        let mut state = search.init_states().remove(0);
        loop {
            visited += 1;
            if !visit(&state) {
                return visited;
            }
            search.actions(&state, &mut actions);
            if actions.is_empty() {
                break;
            }
            // Knuth's numbers; the upper half is random enough.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let choice = usize::try_from((random >> 33) % actions.len() as u64).expect("few actions");
            let next = search.next_state(&state, actions.swap_remove(choice));
            actions.clear();
            state = next.expect("every action leads somewhere");
        }
    }
    visited
}

/// Looks for the fuzzers' states. Returns what is missing.
pub fn check_fuzzed(among: &Seen) -> Result<(), String> {
    for fuzzed in super::fuzzed::of(&among.config) {
        let (name, of) = (among.config.name, fuzzed.name());
        let states = fuzzed
            .look(among)
            .map_err(|missing| format!("{name}: of {of} it is not among the abstract states:\n{missing:.2000}"))?;
        say(&format!("within {name:<68} {states:>9} states of {of}"));
        data::note(&json!({ "within": { "name": name, "of": of, "states": states } }));
    }
    Ok(())
}

/// Looks for all of these. Returns what is missing.
pub fn check(among: &Seen, all: &[Within]) -> Result<(), String> {
    for within in all {
        let name = among.config.name;
        let states = within.look(among).map_err(|missing| {
            format!("{name}: of {} it is not among the abstract states:\n{missing:.2000}", within.name)
        })?;
        say(&format!("within {name:<68} {states:>9} states of {}", within.name));
        data::note(&json!({ "within": { "name": name, "of": within.name, "states": states } }));
    }
    Ok(())
}
