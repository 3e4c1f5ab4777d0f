//! That the states of the **fuzzers' clients** (`tests/fuzz/protocol`) are among the abstract ones too.
//!
//! Those are drawn at random, with the logs that ship, numbers, pages that come twice or overlap, and a clock that goes on.
//! A case is a list of steps that are interpreted: of each, what an environment does not allow is replaced by what is
//! honest, or left out, and the clients get the environment's batch and kind of pulls. So one case is looked at in every
//! environment. Three things are brought to what the abstract states have:
//!
//! - a **time** is one that was noted, or none: what has passed and has not been looked at is noted still;
//! - **failures in a row** count up to two: there the abstract delay has stopped growing, and here it has not;
//! - what a call of a **former log** was answered is of no consequence, and neither is whether it was taken.
//!
//! What cannot be looked for:
//!
//! - what no environment has: events that are refused and what is decided about them, pushes that are too large or hang;
//! - where an owner, failures and lies meet: no environment has all three ([`LARGE`](super::environments::LARGE));
//! - the end of a case, where owners resume, restart and override whatever there is;
//! - in a world of lies, a page that begins before the cursor: it brings what a live pull had lost;
//! - `tests/answers`, which mixes an owner, failures and lies, and the fuzzed replicators (`tests/fuzz/replicator`),
//!   which do not show their protocol. The unit tests beside the protocol put it together by hand, one input at a time.

use latchwork::log::Log;
use latchwork::protocol::{Direction, Failure, Settings};
use proptest::strategy::Strategy;

use super::contained::{Form, canonical, is_followed};
use super::environments::{FAILING, IDEMPOTENT, LARGE, LIVE, LYING, OWNED, REQUEST};
use super::fuzz::client::{Client, PushCall};
use super::fuzz::world::{World, begin, take};
use super::fuzz::{Answer, Case, End, Owner, Page, Setup, Step, Trouble, fuzzer, hammer};
use super::harness::{Fuzzer, Seen as Reached, quietly};
use super::oracle::MOST;
use super::search::{Asked, Seen};
use super::state::{Config, Part, State};
use super::steps::Kind;
use super::verdict::alone;

/// A client's settings in an environment.
fn setup(setup: Setup, config: &Config) -> Setup {
    let batch = u8::try_from(config.batch).expect("few events");
    Setup { live: config.live, idempotent: config.idempotent, batch, ..setup }
}

/// What of this step an environment allows.
fn allowed(step: Step, config: &Config) -> Option<Step> {
    let needs: &[Kind] = match step {
        Step::Move { client, which, answer, page, end } => {
            let answer = match answer {
                // Of a push there is always a first event.
                Answer::Rejected(_) if config.allows(Kind::PushRejected) => Answer::Rejected(0),
                answer if allows_answer(config, answer) => answer,
                _ => Answer::Honest,
            };
            let trouble = if allows_trouble(config, page.trouble) { page.trouble } else { Trouble::Nothing };
            let end = if allows_end(config, end) { end } else { End::InTime };
            return Some(Step::Move { client, which, answer, page: Page { trouble, ..page }, end });
        }
        Step::Owner { does, .. } => match does {
            Owner::Pause(_) => &[Kind::Pause],
            Owner::Resume(_) => &[Kind::Resume],
            Owner::RetryNow => &[Kind::RetryNow],
            Owner::Override => &[Kind::OverrideRetryAfter],
            Owner::Restart => &[Kind::Restart],
            Owner::Reset => &[Kind::Reset],
            Owner::Stop => &[Kind::Stop],
            Owner::ResetWith => &[Kind::ResetWith],
            Owner::Reconnect => &[Kind::Reconnect],
            Owner::GiveUp(_) => &[Kind::GiveUp],
            Owner::RetryRejected => &[Kind::RetryRejected],
        },
        Step::Panics { .. } => &[Kind::LogPanics],
        Step::Commit { .. } | Step::Stale { .. } | Step::Wait(_) => &[],
    };
    needs.iter().all(|kind| config.allows(*kind)).then_some(step)
}

fn allows_answer(config: &Config, answer: Answer) -> bool {
    // What comes when a catch-up has not shown it cannot be protected from the owner.
    let may_be_late = !config.allows(Kind::GiveUp);
    config.allows(match answer {
        Answer::Late if !may_be_late => return false,
        Answer::Honest | Answer::HeadUntold | Answer::HeadLags => Kind::Reject,
        Answer::Blind { .. } | Answer::WentBack => Kind::FalseReject,
        Answer::Away(None) => Kind::PushUnavailable,
        Answer::Away(Some(_)) => Kind::PushBusy,
        Answer::Lost { .. } => Kind::PushLost,
        Answer::Late => Kind::LateTake,
        Answer::Fatal => Kind::PushFatal,
        Answer::Panics { .. } => Kind::PushPanics,
        Answer::Rejected(_) => Kind::PushRejected,
        Answer::TooLarge => Kind::PushTooLarge,
        Answer::Timeout(_) | Answer::Hangs { .. } => return false,
    })
}

fn allows_trouble(config: &Config, trouble: Trouble) -> bool {
    match trouble {
        Trouble::Nothing | Trouble::Twice => true,
        Trouble::Overlaps => config.honest(),
        Trouble::Lost => config.allows(Kind::LoseEcho),
        Trouble::Lags => config.allows(Kind::FalseCaughtUp),
    }
}

fn allows_end(config: &Config, end: End) -> bool {
    config.allows(match end {
        End::InTime => return true,
        End::Away(None) => Kind::PullUnavailable,
        End::Away(Some(_)) => Kind::PullBusy,
        End::Fatal => Kind::PullFatal,
        End::Panics => Kind::PullPanics,
    })
}

/// The forms that a client may have, with what else there is.
fn forms(client: &Client, world: &World<'_>, config: &Config) -> Vec<Form> {
    let batch = config.batch;
    let (cursor, upstream) = (client.cursor(), &world.upstream);
    let beyond = &upstream.entries[upstream.after(cursor)..];
    let is_own = |entry: &&_| client.is_own(entry);
    let own = beyond.iter().take_while(is_own).count();
    let mut late = [false; MOST];
    for batch in &client.late {
        // One whose call has not been told that it is lost is under way still.
        let under_way = client.push.as_ref().is_some_and(|call| call.batch.entries == batch.entries);
        let follows = batch.base == cursor && beyond.is_empty() && batch.entries.iter().all(|entry| is_own(&entry));
        late[batch.entries.len() - 1] |= follows && !under_way;
    }
    let pull = client.pull.as_ref().map(|call| {
        let given = &upstream.entries[upstream.after(cursor)..upstream.after(call.cursor.max(cursor))];
        let lost = match given.iter().find(|entry| !is_own(entry)) {
            _ if !call.lost || given.is_empty() => Part::Nothing,
            None => Part::Own,
            Some(_) => Part::Foreign,
        };
        (lost, call.interrupted, client.protocol.is_pulling(call.ticket))
    });
    let push: Vec<_> = client.push.as_ref().map_or(vec![None], |call| {
        let taken =
            |taken| (call.batch.entries.len(), taken, call.interrupted, client.protocol.is_sending(&call.batch));
        // Upstream may have the same events from a push of before.
        let [can_be, cannot_be] = [has_it(call, client, world), !matches!(call.answer, Some(Ok(Ok(()))))];
        let all = [can_be.then_some(true), (cannot_be || !can_be).then_some(false)];
        all.into_iter().flatten().map(|is| Some(taken(is))).collect()
    });
    let with = |push| Form {
        protocol: canonical(&client.protocol, i64::try_from(cursor.global).expect("few events"), config.counts),
        pending: client.protocol.log().pending().min(batch),
        own: own.min(batch),
        foreign: own < beyond.len(),
        late,
        push,
        pull,
    };
    push.into_iter().map(with).collect()
}

/// Whether upstream has this push of the present log.
fn has_it(call: &PushCall, client: &Client, world: &World<'_>) -> bool {
    let upstream = &world.upstream.entries[world.upstream.after(call.batch.base)..];
    let events = |entries: &[_]| entries.iter().map(|entry: &super::logs::Entry| entry.event).collect::<Vec<_>>();
    let sent = &call.batch.entries;
    sent.iter().all(|entry| client.is_own(entry))
        && upstream.len() >= sent.len()
        && events(&upstream[..sent.len()]) == events(sent)
}

/// Cases of a fuzzer that are looked at.
#[derive(Debug, Clone, Copy)]
pub enum Fuzzed {
    Worlds(u64),
    Hammers(u64),
}

/// What is looked for in this environment.
pub fn of(config: &Config) -> &'static [Fuzzed] {
    let name = config.name;
    if config.lingers || config.heavy || config.polls {
        // Those have no such settings.
        &[]
    } else if [LIVE, REQUEST, IDEMPOTENT, OWNED, FAILING].iter().any(|config| config.name == name) {
        &[Fuzzed::Worlds(400)]
    } else if name == LYING.name {
        &[Fuzzed::Worlds(400), Fuzzed::Hammers(100)]
    } else if LARGE.iter().any(|large| large.name == name && !large.honest() && large.batch == 1) {
        &[Fuzzed::Worlds(1_000), Fuzzed::Hammers(300)]
    } else {
        &[Fuzzed::Worlds(1_000)]
    }
}

impl Fuzzed {
    pub fn name(self) -> String {
        match self {
            Self::Worlds(count) => format!("{count} fuzzed cases"),
            Self::Hammers(count) => format!("{count} cases that hammer"),
        }
    }

    /// Looks for all states of them. Returns how many there were, or one that is missing.
    pub fn look(self, seen: &Seen) -> Result<usize, String> {
        let mut count = 0;
        let mut missing = None;
        match self {
            Self::Worlds(cases) => each(fuzzer("worlds"), cases, |case| {
                quietly_run(case, &seen.config, |client, world| {
                    count += 1;
                    let forms = forms(client, world, &seen.config);
                    let is_followed = is_followed(&client.protocol, &seen.config);
                    if is_followed && !forms.iter().any(|form| seen.forms.contains(&form.fingerprint())) {
                        missing = Some(format!("{forms:?}\nof {}\nwith {:?}", client.told(), world.upstream.entries));
                    }
                    missing.is_none()
                })
            }),
            Self::Hammers(cases) => each(hammer::fuzzer("hammers"), cases, |mut case| {
                let Config { live, batch, idempotent, .. } = seen.config;
                let mut settings = Settings::default();
                settings.batch = std::num::NonZeroUsize::new(batch).expect("an event");
                (case.live, case.idempotent) = (live, idempotent);
                let look = &mut |protocol: &hammer::Core, pulls: bool| {
                    count += 1;
                    let pull = pulls.then_some((Part::Nothing, false, true));
                    let head = i64::try_from(protocol.log().upstream_head()).expect("a small one");
                    let (pending, own, foreign, late) = (protocol.log().pending().min(batch), 0, false, [false; MOST]);
                    let form = Form {
                        protocol: canonical(protocol, head, seen.config.counts),
                        pending,
                        own,
                        foreign,
                        late,
                        push: None,
                        pull,
                    };
                    if is_followed(protocol, &seen.config) && !seen.forms.contains(&form.fingerprint()) {
                        missing = Some(format!("{form:?}\nof {protocol:?}"));
                    }
                    missing.is_none()
                };
                let ran = hammer::run_and(&case, settings, &Reached::default(), look);
                ran.expect("the fuzzer itself says what is wrong");
                missing.is_none()
            }),
        }
        missing.map_or(Ok(count), Err)
    }
}

/// Draws so many cases, as long as there is nothing to tell.
fn each<S: Strategy>(fuzzer: Fuzzer<S>, cases: u64, mut of: impl FnMut(S::Value) -> bool) {
    let _all = (0..cases).all(|seed| of(fuzzer.draw(seed)));
}

/// The same without a word about panics that are injected.
fn quietly_run(case: Case, config: &Config, look: impl FnMut(&Client, &World<'_>) -> bool) -> bool {
    let mut more = false;
    let ran = quietly(|| {
        more = run(case, config, look);
        Ok(())
    });
    ran.expect("the fuzzer itself says what is wrong");
    more
}

/// Runs what an environment allows of a case, and looks at the client of each step. As long as the look says so.
fn run(case: Case, config: &Config, mut look: impl FnMut(&Client, &World<'_>) -> bool) -> bool {
    let clients = case.clients.into_iter().map(|client| setup(client, config)).collect();
    let case = Case { clients, ..case };
    let reached = Reached::default();
    let (mut clients, mut world) = begin(&case, &reached);
    case.steps.into_iter().filter_map(|step| allowed(step, config)).all(|step| {
        take(step, &mut clients, &mut world).expect("the fuzzer itself says what is wrong");
        clients.iter().all(|client| look(client, &world))
    })
}

/// A small environment.
const SMALL: Config = Config { batch: 1, ..REQUEST };

fn small(config: Config) -> Seen {
    let form: Option<fn(&State) -> u64> = Some(super::contained::fingerprint);
    Seen::of(config, Asked { form, ..Asked::ALL })
}

#[test]
fn without_a_kind_of_fault_fuzzed_states_go_missing() {
    let _alone = alone();
    let cases = Fuzzed::Worlds(100);
    assert_eq!(cases.look(&small(SMALL)).err(), None);
    for kind in [Kind::PushLost, Kind::PushBusy, Kind::PullUnavailable, Kind::PullBusy] {
        // The cases are those of before.
        let mut seen = small(SMALL.without(&[kind]));
        seen.config = SMALL;
        assert!(cases.look(&seen).is_err(), "{kind:?} is not missed");
    }
}

#[test]
fn a_forged_state_is_missing() {
    let _alone = alone();
    let seen = small(SMALL);
    let is_known = |client: &Client, world: &World<'_>| {
        forms(client, world, &SMALL).iter().any(|form| seen.forms.contains(&form.fingerprint()))
    };
    type Forge = fn(&mut Client);
    let forged: [Forge; 4] = [
        |client| client.protocol.push_unsent(Failure::Panicked { message: "forged".into() }),
        |client| drop(client.protocol.pause(Direction::Pull)),
        |client| drop(client.protocol.stop()),
        |client| client.pull.iter_mut().for_each(|call| call.interrupted ^= true),
    ];
    for forge in forged {
        let reached = Reached::default();
        let setup = setup(fuzzer("forged").draw(0).clients[0], &SMALL);
        let case = Case { clients: vec![setup], chance: 0, steps: Vec::new() };
        let (mut clients, mut world) = begin(&case, &reached);
        // The first pull begins.
        clients[0].ask_pull(&mut world).expect("it is owed");
        assert!(is_known(&clients[0], &world));
        forge(&mut clients[0]);
        assert!(!is_known(&clients[0], &world), "the forged state is among the abstract ones");
    }
}
