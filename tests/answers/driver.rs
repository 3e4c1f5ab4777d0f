//! The protocol under an upstream that answers at once, in a time of its own: a call is answered in the instant in which it
//! begins, and if both directions wait, time goes on to where the first of them wants to look again.
use std::time::Duration;

use latchwork::Backoff;
use latchwork::log::{Log, MemoryEntry, MemoryLog};
use latchwork::protocol::{Direction, Effects, Failure, Next, Protocol, Resend, Settings, Time, WaitingOn};
use latchwork::upstream::{FatalKind, More, Page, PullError, PushError};

type Core = Protocol<MemoryLog<u64>>;
type Entry = MemoryEntry<u64>;

pub const fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// What upstream does with every push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    Behind,
    /// Behind, and its head is the batch's base, after it, or before it.
    BehindAtBase,
    BehindAhead,
    BehindBefore,
    Unavailable,
    Busy(Duration),
    Uncertain,
    Fatal,
    Panics,
    Hangs,
}

impl Push {
    pub const ALL: [Self; 12] = [
        Self::Behind,
        Self::BehindAtBase,
        Self::BehindAhead,
        Self::BehindBefore,
        Self::Unavailable,
        Self::Busy(Duration::ZERO),
        Self::Busy(ms(50)),
        Self::Busy(ms(1000)),
        Self::Uncertain,
        Self::Fatal,
        Self::Panics,
        Self::Hangs,
    ];

    /// `None` for a panic.
    fn outcome(self, base: u64) -> Option<Result<(), PushError<u64>>> {
        Some(Err(match self {
            Self::Behind => PushError::Behind { head: None },
            Self::BehindAtBase => PushError::Behind { head: Some(base) },
            Self::BehindAhead => PushError::Behind { head: Some(base + 3) },
            Self::BehindBefore => PushError::Behind { head: Some(base - 1) },
            Self::Unavailable => PushError::Unavailable { retry_after: None, error: "away".into() },
            Self::Busy(time) => PushError::Unavailable { retry_after: Some(time), error: "busy".into() },
            Self::Uncertain | Self::Hangs => PushError::Uncertain { error: "no answer".into() },
            Self::Fatal => PushError::Fatal { kind: FatalKind::Other, error: "no".into() },
            Self::Panics => return None,
        }))
    }
}

/// What upstream does with every pull. A page says that there is no more, unless it says something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// A page, and then nothing until it is interrupted; so do the next three.
    Stays,
    SaysNothing,
    SaysUnknown,
    /// A page every three milliseconds.
    Beats,
    Ends,
    EndsAfterPage,
    ClosesAfterPage,
    ClosesAfterOld,
    ClosesAfterMore,
    Away,
    Busy(Duration),
    BusyAfterPage(Duration),
    Gap,
    Fatal,
    Panics,
}

impl Pull {
    pub const ALL: [Self; 16] = [
        Self::Stays,
        Self::SaysNothing,
        Self::SaysUnknown,
        Self::Beats,
        Self::Ends,
        Self::EndsAfterPage,
        Self::ClosesAfterPage,
        Self::ClosesAfterOld,
        Self::ClosesAfterMore,
        Self::Away,
        Self::Busy(Duration::ZERO),
        Self::Busy(ms(1000)),
        Self::BusyAfterPage(ms(1000)),
        Self::Gap,
        Self::Fatal,
        Self::Panics,
    ];

    fn page(self, cursor: u64) -> Option<Page<Entry>> {
        let (positions, more) = match self {
            Self::Stays | Self::Beats | Self::EndsAfterPage | Self::ClosesAfterPage | Self::BusyAfterPage(_) => {
                (0..0, More::None)
            }
            Self::SaysUnknown => (0..0, More::Unknown),
            Self::ClosesAfterOld => (cursor..cursor + 1, More::None),
            Self::ClosesAfterMore => (0..0, More::Events(3)),
            Self::Gap => (cursor + 5..cursor + 6, More::None),
            Self::SaysNothing | Self::Ends | Self::Away | Self::Busy(_) | Self::Fatal | Self::Panics => return None,
        };
        let entries = positions.map(|position| MemoryEntry { position, event: 900 + position }).collect();
        Some(Page { entries, more })
    }

    /// How it ends by itself, if it does; `Err(())` for a panic.
    fn end(self) -> Option<Result<Result<(), PullError>, ()>> {
        let away = |retry_after| Some(Ok(Err(PullError::Unavailable { retry_after, error: "away".into() })));
        match self {
            Self::Stays | Self::SaysNothing | Self::SaysUnknown | Self::Beats => None,
            Self::Ends | Self::EndsAfterPage => Some(Ok(Ok(()))),
            Self::ClosesAfterPage | Self::ClosesAfterOld | Self::ClosesAfterMore | Self::Away | Self::Gap => away(None),
            Self::Busy(time) | Self::BusyAfterPage(time) => away(Some(time)),
            Self::Fatal => Some(Ok(Err(PullError::Fatal { kind: FatalKind::Other, error: "no".into() }))),
            Self::Panics => Some(Err(())),
        }
    }
}

/// What the owner does after a second.
#[derive(Debug, Clone, Copy)]
pub enum Owner {
    Nothing,
    RetriesNow,
    Overrides,
    Restarts,
    Resets,
    PausesPull,
    PausesPush,
}

impl Owner {
    pub const ALL: [Self; 7] = [
        Self::Nothing,
        Self::RetriesNow,
        Self::Overrides,
        Self::Restarts,
        Self::Resets,
        Self::PausesPull,
        Self::PausesPush,
    ];
}

/// How it begins.
#[derive(Debug, Clone, Copy)]
pub enum Start {
    Fresh,
    /// One push has come to this.
    After(Push),
    /// A push was overtaken.
    Overtaken,
    /// A pull could not reach upstream.
    Unreached,
}

impl Start {
    pub const ALL: [Self; 6] = [
        Self::Fresh,
        Self::After(Push::Behind),
        Self::After(Push::Unavailable),
        Self::After(Push::Uncertain),
        Self::Overtaken,
        Self::Unreached,
    ];
}

#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub pushes: [Push; 2],
    pub pulls: [Pull; 2],
    pub start: Start,
    pub owner: Owner,
    pub live: bool,
    pub resend: Resend,
    pub grace: Duration,
}

/// The log's cursor to begin with, so that there is room below.
const CURSOR: u64 = 5;

/// A driver that answers every call at once.
struct Driver {
    case: Case,
    protocol: Core,
    now: Time,
    /// A push that hangs, and whether it has been interrupted.
    push: Option<(latchwork::upstream::Batch<MemoryLog<u64>>, bool)>,
    /// A pull that stays open, and whether it has been interrupted; for one that beats, when it does so next.
    pull: Option<(u64, Pull, bool, Option<Time>)>,
    pushes: usize,
    pulls: usize,
    /// When a call was begun before the time that upstream had asked for.
    too_soon: Option<Time>,
    /// Until when upstream asked for rest, in each direction.
    asked: [Time; 2],
    paused: [bool; 2],
}

impl Driver {
    fn new(case: Case) -> Self {
        let mut settings = Settings::default();
        settings.backoff = Backoff::new(ms(10), ms(2000)).with_jitter(0.0);
        settings.contention = ms(10);
        (settings.live, settings.resend, settings.grace) = (case.live, case.resend, case.grace);
        let log = if let Start::Overtaken = case.start { MemoryLog::rebasing() } else { MemoryLog::new() };
        Self {
            case,
            protocol: Protocol::new(log.with_pending(CURSOR, [1, 2]), settings),
            now: Time::ZERO,
            push: None,
            pull: None,
            pushes: 0,
            pulls: 0,
            too_soon: None,
            asked: [Time::ZERO; 2],
            paused: [false; 2],
        }
    }

    fn begin(&mut self) {
        let now = self.now;
        match self.case.start {
            Start::Fresh => {}
            Start::After(answer) => {
                let Next::Do(batch) = self.protocol.next_push(now) else { panic!("something is pending") };
                let outcome = answer.outcome(batch.base).expect("an answer");
                let effects = self.protocol.push_ended(batch, outcome, 0, now).expect("the log is not asked");
                self.carry_out(&effects);
            }
            Start::Overtaken => {
                let Next::Do(batch) = self.protocol.next_push(now) else { panic!("something is pending") };
                let Next::Do((ticket, cursor)) = self.protocol.next_pull(now) else { panic!("a pull is owed") };
                let entries = vec![MemoryEntry { position: cursor + 1, event: 901 }];
                let page = Page { entries, more: More::Unknown };
                drop(self.protocol.page_pulled(ticket, page, 0, now).expect("it follows"));
                drop(self.protocol.push_ended(batch, Err(PushError::Behind { head: None }), 0, now));
                drop(self.protocol.pull_ended(ticket, Ok(()), 0, now));
            }
            Start::Unreached => {
                let Next::Do((ticket, _)) = self.protocol.next_pull(now) else { panic!("a pull is owed") };
                let away = Err(PullError::Unavailable { retry_after: None, error: "away".into() });
                drop(self.protocol.pull_ended(ticket, away, 0, now));
            }
        }
    }

    fn carry_out(&mut self, effects: &Effects<Entry>) {
        if let (Some((_, interrupted)), true) = (&mut self.push, effects.interrupt_push) {
            *interrupted = true;
        }
        if let (Some((_, _, interrupted, _)), true) = (&mut self.pull, effects.interrupt_pull) {
            *interrupted = true;
        }
    }

    fn answer_push(&mut self, answer: Push, batch: latchwork::upstream::Batch<MemoryLog<u64>>) {
        if let Push::Busy(time) = answer {
            self.asked[0] = self.now + time;
        }
        let effects = match answer.outcome(batch.base) {
            Some(outcome) => self.protocol.push_ended(batch, outcome, 0, self.now).expect("the log is not asked"),
            None => self.protocol.push_panicked(batch, Failure::Panicked { message: "a test".into() }),
        };
        self.carry_out(&effects);
    }

    fn end_pull(&mut self, ticket: u64, end: Result<Result<(), PullError>, ()>) {
        if let Ok(Err(PullError::Unavailable { retry_after: Some(time), .. })) = &end {
            self.asked[1] = self.now + *time;
        }
        match end {
            Ok(outcome) => drop(self.protocol.pull_ended(ticket, outcome, 0, self.now)),
            Err(()) => self.protocol.pull_panicked(ticket, Failure::Panicked { message: "a test".into() }),
        }
    }

    fn give_page(&mut self, ticket: u64, page: Page<Entry>) {
        match self.protocol.page_pulled(ticket, page, 0, self.now) {
            Ok(effects) => self.carry_out(&effects),
            Err(refused) => self.carry_out(&refused.effects),
        }
    }

    fn push_step(&mut self) -> Result<(), Option<Time>> {
        if let Some((batch, interrupted)) = self.push.take() {
            if !interrupted {
                self.push = Some((batch, false));
                return Err(None);
            }
            self.answer_push(Push::Hangs, batch);
            return Ok(());
        }
        let effects = self.protocol.tick(self.now);
        self.carry_out(&effects);
        match self.protocol.next_push(self.now) {
            Next::Do(batch) => {
                if self.now < self.asked[0] {
                    self.too_soon = Some(self.now);
                }
                let answer = self.case.pushes[self.pushes % 2];
                self.pushes += 1;
                if answer == Push::Hangs {
                    self.push = Some((batch, false));
                } else {
                    self.answer_push(answer, batch);
                }
                Ok(())
            }
            Next::Wait { until } => Err(until),
            Next::Stop => Err(None),
        }
    }

    fn pull_step(&mut self) -> Result<(), Option<Time>> {
        if let Some((ticket, pull, interrupted, beat)) = self.pull.take() {
            if interrupted {
                let away = PullError::Unavailable { retry_after: None, error: "interrupted".into() };
                self.end_pull(ticket, Ok(Err(away)));
                return Ok(());
            }
            if beat.is_some_and(|beat| beat <= self.now) {
                self.pull = Some((ticket, pull, false, Some(self.now + ms(3))));
                self.give_page(ticket, Pull::Beats.page(CURSOR).expect("a page"));
                return Ok(());
            }
            self.pull = Some((ticket, pull, false, beat));
            return Err(beat);
        }
        match self.protocol.next_pull(self.now) {
            Next::Do((ticket, cursor)) => {
                if self.now < self.asked[1] {
                    self.too_soon = Some(self.now);
                }
                let pull = self.case.pulls[self.pulls % 2];
                self.pulls += 1;
                self.pull = Some((ticket, pull, false, (pull == Pull::Beats).then_some(self.now + ms(3))));
                if let Some(page) = pull.page(cursor) {
                    self.give_page(ticket, page);
                }
                if let Some(end) = pull.end() {
                    let interrupted = self.pull.take().is_some_and(|(_, _, interrupted, _)| interrupted);
                    let asked = PullError::Unavailable { retry_after: None, error: "interrupted".into() };
                    self.end_pull(ticket, if interrupted { Ok(Err(asked)) } else { end });
                }
                Ok(())
            }
            Next::Wait { until } => Err(until),
            Next::Stop => Err(None),
        }
    }

    /// Until `end`, or until nothing will happen any more.
    fn run(&mut self, end: Time) -> Result<(), String> {
        loop {
            let mut steps = 0;
            let wants = loop {
                steps += 1;
                if steps > 100 {
                    return Err(format!("it does not come to rest at {:?}", self.now));
                }
                if let (Err(push), Err(pull)) = (self.push_step(), self.pull_step()) {
                    break [push, pull];
                }
            };
            if let Some(time) = self.too_soon {
                return Err(format!("upstream is asked at {time:?}, before the time that it named"));
            }
            self.names_the_right_one(&wants)?;
            let next = wants.into_iter().flatten().min().filter(|next| *next <= end);
            let Some(next) = next else {
                self.now = end;
                return Ok(());
            };
            self.now = next;
        }
    }

    /// Nothing happens before one of `wants`: is the party that is waited on able to move?
    fn names_the_right_one(&self, wants: &[Option<Time>; 2]) -> Result<(), String> {
        let protocol = &self.protocol;
        let unreached = |direction: Direction| match direction {
            Direction::Push => {
                let away = |push: &Push| matches!(push, Push::Unavailable | Push::Uncertain | Push::Hangs);
                let before = matches!(self.case.start, Start::After(Push::Unavailable | Push::Uncertain));
                self.case.pushes.iter().any(away) || before
            }
            Direction::Pull => {
                let away =
                    |pull: &Pull| matches!(pull.end(), Some(Ok(Err(PullError::Unavailable { retry_after: None, .. }))));
                self.case.pulls.iter().any(away) || matches!(self.case.start, Start::Unreached)
            }
        };
        for (what, waiting_on) in [("overall", protocol.waiting_on()), ("for a pull", protocol.pull_waiting_on())] {
            let right = match &waiting_on {
                WaitingOn::Nothing if what == "overall" => protocol.log().pending() == 0,
                WaitingOn::Nothing => !self.case.live && matches!(protocol.pull(), latchwork::protocol::Pull::Idle),
                // Both had nothing to do a moment ago.
                WaitingOn::Pusher | WaitingOn::Puller | WaitingOn::Stopped => false,
                WaitingOn::Upstream(Direction::Push) => self.push.is_some(),
                WaitingOn::Upstream(Direction::Pull) => self.pull.is_some(),
                WaitingOn::Clock(until) => wants.contains(&Some(*until)),
                WaitingOn::Connectivity(until) => {
                    let by = wants.iter().position(|want| *want == Some(*until));
                    by.is_some() && [Direction::Push, Direction::Pull].into_iter().any(unreached)
                }
                WaitingOn::Gate(direction) => self.paused[usize::from(*direction == Direction::Pull)],
                WaitingOn::Owner(failure) => {
                    let failed = |failed: Option<&Failure>| failed == Some(failure);
                    let of_pull = match protocol.pull() {
                        latchwork::protocol::Pull::Failed { error } => Some(error),
                        _ => None,
                    };
                    failed(protocol.failure()) || failed(of_pull)
                }
                _ => false,
            };
            if !right {
                return Err(format!(
                    "{what} waiting on {waiting_on} at {:?}; the pusher {}; the puller {}; they look at {wants:?}",
                    self.now,
                    protocol.push(),
                    protocol.pull()
                ));
            }
        }
        Ok(())
    }

    fn act(&mut self) {
        let effects = match self.case.owner {
            Owner::Nothing => return,
            Owner::RetriesNow => self.protocol.retry_now(),
            Owner::Overrides => {
                self.asked = [Time::ZERO; 2];
                self.protocol.override_retry_after()
            }
            Owner::Restarts => self.protocol.restart(),
            Owner::Resets => self.protocol.reset(MemoryLog::new().with_pending(CURSOR, [7])).1,
            Owner::PausesPull => {
                self.paused[1] = true;
                self.protocol.pause(Direction::Pull)
            }
            Owner::PausesPush => {
                self.paused[0] = true;
                self.protocol.pause(Direction::Push)
            }
        };
        self.carry_out(&effects);
    }
}

/// Three seconds, in which the owner does something once, with so many pushes and pulls at most.
pub fn check(case: Case, most: [usize; 2]) -> Result<[usize; 2], String> {
    let mut driver = Driver::new(case);
    driver.begin();
    driver.run(ms(1000))?;
    driver.act();
    driver.run(ms(3000))?;
    let calls = [driver.pushes, driver.pulls];
    if calls[0] > most[0] || calls[1] > most[1] {
        return Err(format!("{} pushes and {} pulls in 3 s", calls[0], calls[1]));
    }
    Ok(calls)
}

pub const USUAL: Case = Case {
    pushes: [Push::Behind; 2],
    pulls: [Pull::Stays; 2],
    start: Start::Fresh,
    owner: Owner::Nothing,
    live: true,
    resend: Resend::AfterCatchUp,
    grace: ms(5),
};
