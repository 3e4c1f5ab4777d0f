//! An upstream that answers at once and for ever, each time something else, and never brings anything: calls come no faster
//! than the backoff allows.
//!
//! A call is answered in the instant in which it begins, or, a pull, goes on until it is asked to end. If both directions
//! wait, time goes on to where the first of them wants to look again.

use std::time::Duration;

use latchwork::Backoff;
use latchwork::log::MemoryLog;
use latchwork::protocol::{Next, Protocol, Resend, Settings, Time};
use latchwork::upstream::{More, Page, PullError, PushError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::ms;
use crate::harness::{Fuzzer, Seen};

pub type Core = Protocol<MemoryLog<u8>>;

/// For how long it goes on.
const LASTS: Duration = Duration::from_secs(60);
const INITIAL: Duration = Duration::from_millis(100);
const MAX: Duration = Duration::from_secs(5);
/// The least delay after so many calls that came to nothing: chance takes no more than half of each.
fn least(failures: u32) -> Duration {
    INITIAL.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(MAX) / 2
}

/// The log's cursor to begin with, so that there is room below.
const CURSOR: u64 = 5;

#[derive(Clone, Debug)]
pub struct Case {
    /// What comes of pushes and of pulls, in turns.
    pushes: Vec<Push>,
    pulls: Vec<Pull>,
    pub live: bool,
    pub idempotent: bool,
    grace: u16,
    chance: u64,
}

#[derive(Clone, Copy, Debug)]
enum Push {
    Behind,
    /// Its head is the batch's base, or so far after it.
    BehindAt(u8),
    Away(Option<u16>),
    Lost,
}

#[derive(Clone, Copy, Debug)]
struct Pull {
    /// What an empty page says, if there is one.
    page: Option<Says>,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum Says {
    NoMore,
    More,
    Unknown,
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// Not before it is asked to. Until then the page comes again and again, so many milliseconds apart.
    Stays(u16),
    Ends,
    Away(Option<u16>),
}

fn cases() -> impl Strategy<Value = Case> {
    let rest = || prop_oneof![4 => Just(None), 1 => (0..3_000_u16).prop_map(Some)];
    let push = prop_oneof![
        3 => Just(Push::Behind),
        3 => (0..3_u8).prop_map(Push::BehindAt),
        3 => rest().prop_map(Push::Away),
        2 => Just(Push::Lost),
    ];
    let says = prop_oneof![4 => Just(Says::NoMore), 1 => Just(Says::More), 1 => Just(Says::Unknown)];
    let end = prop_oneof![
        3 => (20..2_000_u16).prop_map(End::Stays),
        2 => Just(End::Ends),
        3 => rest().prop_map(End::Away),
    ];
    let pull = (proptest::option::of(says), end).prop_map(|(page, end)| Pull { page, end });
    (vec(push, 1..8), vec(pull, 1..8), any::<bool>(), any::<bool>(), 0..300_u16, any::<u64>()).prop_map(
        |(pushes, pulls, live, idempotent, grace, chance)| Case { pushes, pulls, live, idempotent, grace, chance },
    )
}

/// A driver whose calls are answered at once.
struct Driver<'a> {
    case: &'a Case,
    seen: &'a Seen,
    protocol: Core,
    now: Time,
    chance: u64,
    pushes: u32,
    pulls: u32,
    /// A pull that stays, and when its next page comes.
    staying: Option<(u64, Pull, Time)>,
    /// When the latest pull began, and what the backoff's delay before it was at least.
    begun: (Time, Duration),
    /// When it ended by itself, if it did.
    ended: Option<Time>,
    /// How many ended by themselves, in a row, without one that lived for longer than the delay that it was begun after, or
    /// ended when the delay after the last of them had passed a second time.
    failures: u32,
    proven: Time,
    pushed: Time,
    /// How many pushes came earlier than the backoff allows, and how many may: a reconnect cuts a delay short, once for each
    /// success.
    early: u32,
    reconnects: u32,
    wrong: Option<String>,
}

impl Driver<'_> {
    fn random(&mut self) -> u64 {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.chance.rotate_left(23)
    }

    /// The clients that are to look do. Returns when the first of them wants to look again.
    fn look(&mut self) -> Option<Time> {
        loop {
            let ticked = self.protocol.tick(self.now).interrupt_pull;
            self.interrupted(ticked);
            let push = match self.protocol.next_push(self.now) {
                Next::Do(batch) => {
                    self.answer(batch);
                    continue;
                }
                Next::Wait { until } => until,
                Next::Stop => None,
            };
            if let Next::Do((ticket, _)) = self.protocol.next_pull(self.now) {
                self.pull(ticket);
                continue;
            }
            let pull = match self.protocol.next_pull(self.now) {
                Next::Wait { until } => until,
                Next::Do(_) | Next::Stop => None,
            };
            let page = self.staying.map(|(_, _, next)| next);
            return [push, pull, page].into_iter().flatten().min();
        }
    }

    fn answer(&mut self, batch: latchwork::upstream::Batch<MemoryLog<u8>>) {
        let answer = self.case.pushes[self.pushes as usize % self.case.pushes.len()];
        // The first rejection may be followed by another push at once.
        if self.pushes > 1 && self.now - self.pushed < least(self.pushes - 1) {
            self.early += 1;
        }
        self.pushes += 1;
        self.pushed = self.now;
        if self.early > self.reconnects {
            let (early, reconnects) = (self.early, self.reconnects);
            self.wrong = Some(format!("{early} pushes came too early, and {reconnects} may for reconnects"));
        }
        let base = batch.base;
        let outcome = Err(match answer {
            Push::Behind => PushError::Behind { head: None },
            Push::BehindAt(ahead) => PushError::Behind { head: Some(base + u64::from(ahead)) },
            Push::Away(rest) => {
                PushError::Unavailable { retry_after: rest.map(|rest| ms(rest.into())), error: "away".into() }
            }
            Push::Lost => PushError::Uncertain { error: "lost".into() },
        });
        self.seen.tell(|| format!("{:?}: push {}: {outcome:?}", self.now, self.pushes));
        let random = self.random();
        let effects = self.protocol.push_ended(batch, outcome, random, self.now).expect("nothing is merged");
        self.interrupted(effects.interrupt_pull);
    }

    fn pull(&mut self, ticket: u64) {
        let pull = self.case.pulls[self.pulls as usize % self.case.pulls.len()];
        self.pulls += 1;
        self.seen.tell(|| format!("{:?}: pull {ticket}: {pull:?}", self.now));
        let least = least(self.failures);
        let delay = self.ended.map_or(Duration::ZERO, |ended| self.now - ended);
        if self.ended.is_some() && delay < least {
            let failures = self.failures;
            self.wrong = Some(format!("pull {ticket} begins after {delay:?}, and {failures} failures"));
        }
        self.begun = (self.now, self.ended.map_or(Duration::ZERO, |_| least));
        let asked_to_end = self.page(ticket, pull);
        match pull.end {
            End::Stays(_) if asked_to_end => self.end(ticket, Err(None), true),
            End::Stays(apart) => self.staying = Some((ticket, pull, self.now + ms(apart.into()))),
            End::Ends => self.end(ticket, Ok(()), asked_to_end),
            End::Away(rest) => self.end(ticket, Err(rest), asked_to_end),
        }
    }

    /// Returns whether the pull is to end.
    fn page(&mut self, ticket: u64, pull: Pull) -> bool {
        let Some(says) = pull.page else { return false };
        let more = match says {
            Says::NoMore => More::None,
            Says::More => More::Events(3),
            Says::Unknown => More::Unknown,
        };
        let (random, page) = (self.random(), Page { entries: Vec::new(), more });
        let effects = self.protocol.page_pulled(ticket, page, random, self.now).expect("it is empty");
        effects.interrupt_pull
    }

    /// The pull ends: by itself, or because upstream is away, for so long, or because it was asked to.
    fn end(&mut self, ticket: u64, outcome: Result<(), Option<u16>>, asked: bool) {
        let (begun, delay) = self.begun;
        if self.now - begun > delay || self.now >= self.proven {
            self.reconnects += u32::from(self.failures > 0);
            self.failures = 0;
        }
        // One that is not live need not go on.
        let failed = !asked && (outcome.is_err() || self.case.live);
        self.failures += u32::from(failed);
        self.ended = failed.then_some(self.now);
        if failed {
            self.proven = self.now + 2 * least(self.failures);
        }
        let outcome = outcome.map_err(|rest| {
            let retry_after = rest.map(|rest| ms(rest.into()));
            PullError::Unavailable { retry_after, error: "away".into() }
        });
        let random = self.random();
        drop(self.protocol.pull_ended(ticket, outcome, random, self.now));
    }

    fn interrupted(&mut self, interrupted: bool) {
        if interrupted {
            if let Some((ticket, ..)) = self.staying.take() {
                self.end(ticket, Err(None), true);
            }
        }
    }
}

pub fn run(case: &Case, seen: &Seen) -> TestCaseResult {
    run_and(case, Settings::default(), seen, &mut |_, _| true)
}

/// Runs a case, and looks at each state: the protocol, and whether a pull is going on. As long as the look says so.
pub fn run_and(
    case: &Case,
    mut settings: Settings,
    seen: &Seen,
    look: &mut dyn FnMut(&Core, bool) -> bool,
) -> TestCaseResult {
    settings.backoff = Backoff::new(INITIAL, MAX);
    settings.contention = INITIAL;
    settings.grace = ms(case.grace.into());
    settings.live = case.live;
    settings.resend = if case.idempotent { Resend::Idempotent } else { Resend::AfterCatchUp };
    let protocol = Protocol::new(MemoryLog::new().with_pending(CURSOR, [1, 2]), settings);
    let (now, chance) = (Time::ZERO, case.chance);
    let mut driver = Driver {
        case,
        seen,
        protocol,
        now,
        chance,
        pushes: 0,
        pulls: 0,
        staying: None,
        begun: (Time::ZERO, Duration::ZERO),
        ended: None,
        failures: 0,
        proven: Time::ZERO,
        pushed: Time::ZERO,
        early: 0,
        reconnects: 1,
        wrong: None,
    };
    while driver.now < LASTS {
        let next = driver.look();
        if !look(&driver.protocol, driver.staying.is_some()) {
            return Ok(());
        }
        let (pushes, pulls) = (driver.pushes, driver.pulls);
        prop_assert!(pushes.max(pulls) < 1_000, "{} pushes and {} pulls in {:?}", pushes, pulls, driver.now);
        if let Some(wrong) = driver.wrong {
            return Err(TestCaseError::fail(wrong));
        }
        let Some(next) = next else { break };
        driver.now = next.max(driver.now);
        if let Some((ticket, pull, _)) = driver.staying.filter(|(_, _, page)| *page <= driver.now) {
            let End::Stays(apart) = pull.end else { unreachable!("it stays") };
            driver.staying = Some((ticket, pull, driver.now + ms(apart.into())));
            let asked_to_end = driver.page(ticket, pull);
            driver.interrupted(asked_to_end);
        }
    }
    seen.count(if driver.pushes > 15 { "many pushes" } else { "few pushes" });
    seen.count(if driver.pulls > 20 { "many pulls" } else { "few pulls" });
    Ok(())
}

pub fn fuzzer(name: &'static str) -> Fuzzer<impl Strategy<Value = Case>> {
    Fuzzer { name, cases: cases(), per_second: 100, reaches: &[("many pushes", 20), ("many pulls", 20)], attempts: 1 }
}
