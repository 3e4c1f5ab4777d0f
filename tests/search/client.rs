//! A client: a protocol, and the driver that the crate's documentation asks for.
//!
//! The driver does what it is told and nothing else. It asks for the next push or pull, and once it is told to wait it
//! asks again only after an input or at the time that it was given. It has one push and one pull under way at most, ends
//! them when it is asked to, and reports every outcome.

use std::num::NonZeroUsize;
use std::time::Duration;

use latchwork::Backoff;
use latchwork::log::Log;
use latchwork::protocol::{Delay, Direction, Effects, Failure, Next, Protocol, Pull, Push, Resend, Settings, Time};
use latchwork::upstream::{Batch, FatalKind};

use super::calls::{Answer, End};
use super::journal::Disk;
use super::log::{Event, Ledger};
use super::model::Config;
use super::properties::{Broken, Property};
use super::upstream::Upstream;

/// When everything happens.
pub const NOW: Time = Time::ZERO;
/// When a timer fires that the client set at [`NOW`].
pub const LATER: Time = Duration::from_millis(1);
/// The time that upstream names.
pub const NAMED: Time = Duration::from_millis(2);
/// When a pull ends that has lived longer than any delay.
pub const AT_LAST: Time = Duration::from_millis(10);

/// A step that is taken sooner or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The pusher sends.
    Send,
    /// A time has come that the pusher waits for.
    PushTimer,
    /// Upstream gets the push, and takes it or not.
    Arrive,
    /// The client gets the answer.
    Answer,
    /// A push that was asked to end does so without an answer.
    GiveUp,
    /// The owner has waited long enough for the answer to a push.
    Reconnect,
    /// The puller begins a pull.
    BeginPull,
    /// A time has come that the puller waits for.
    PullTimer,
    /// Upstream makes a page.
    MakePage,
    /// The client gets the page.
    Page,
    /// A pull ends that was asked to, or that has shown everything and is not live.
    EndPull,
    /// The journal begins to write.
    BeginWrite,
    /// The next of the changes that it writes is on the disk.
    Write,
    /// The client learns that all of them are.
    EndWrite,
    /// The owner resumes a direction.
    Resume(Direction),
    /// The owner goes on after a failure: with a new log if upstream has lost events.
    OwnerActs,
    /// The owner gives up the event that upstream refuses.
    GiveUpRefused,
    /// The owner puts another event in its place.
    ReplaceRefused,
}

pub type Core = Protocol<Ledger>;

/// A push that the driver has under way.
#[derive(Debug, Clone)]
pub struct PushCall {
    pub batch: Batch<Ledger>,
    /// `None` while upstream has not got it.
    pub answer: Option<Answer>,
    /// It has no end unless it is asked to end.
    pub hangs: bool,
    pub interrupted: bool,
    /// The log that it was for has been replaced.
    pub former: bool,
    /// The owner has restarted since it began.
    pub restarted: bool,
}

/// A pull that the driver has under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PullCall {
    /// What upstream has put into pages.
    pub given: usize,
    /// The page on its way: from here up to `given`, and whether it says that this was all.
    pub page: Option<(usize, bool)>,
    /// Whether a page has said that there is no more.
    pub caught_up: bool,
    /// Whether an echo was lost.
    pub lost: bool,
    pub interrupted: bool,
    /// The log that it was for has been replaced.
    pub former: bool,
    /// The owner has restarted since it began.
    pub restarted: bool,
}

/// A push whose outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Unresolved {
    pub base: usize,
    pub events: Vec<Event>,
    /// Whether a pull that may resolve it has begun.
    pub begun: bool,
    /// Whether it is still in flight, for a log that has been replaced by one that goes on with it.
    pub under_way: bool,
    /// Whether that log stands where it may have been decided: until a pull has shown everything it is as good as open.
    pub unsure: bool,
}

impl Unresolved {
    pub fn new(batch: &Batch<Ledger>) -> Self {
        let base = usize::try_from(batch.base).expect("few events");
        Self { base, events: events(batch).collect(), begun: false, under_way: false, unsure: false }
    }

    /// The place of its last event.
    pub fn end(&self) -> usize {
        self.base + self.events.len()
    }

    pub fn contains(&self, event: Event) -> bool {
        self.events.contains(&event)
    }

    /// Whether what has been applied up to `cursor` leaves it open: neither all of it, nor another event in its place.
    pub fn is_open(&self, cursor: usize, upstream: &Upstream) -> bool {
        self.unsure || cursor <= self.base || upstream.has_had(self.base, self.events[0]) && cursor < self.end()
    }
}

/// Why each direction cannot go on by itself, or cannot once its push has ended.
pub fn failures(protocol: &Core) -> [Option<&Failure>; 2] {
    let push = match protocol.push() {
        Push::Failed { error } | Push::Sending { failed: Some(error), .. } => Some(error),
        _ => None,
    };
    let pull = match protocol.pull() {
        Pull::Failed { error } => Some(error),
        _ => None,
    };
    [push, pull]
}

pub fn events(batch: &Batch<Ledger>) -> impl Iterator<Item = Event> {
    batch.entries.iter().map(|entry| entry.event)
}

/// A bit for each of these events.
pub fn bits(events: impl IntoIterator<Item = Event>) -> u16 {
    events.into_iter().fold(0, |all, event| all | 1 << event.number())
}

#[derive(Debug, Clone)]
pub struct Client {
    pub id: u8,
    /// Which of its events are local-only, a bit for each.
    pub locals: u8,
    pub protocol: Core,
    /// How many events it is still to commit.
    pub uncommitted: u8,
    pub committed: usize,
    /// Which of its events are pending no more though upstream has not ordered them: a log gave them up, or has been replaced
    /// by one without them. A bit for each.
    pub given_up: u16,
    /// Which of its events the owner has put another one in the place of. A bit for each.
    pub replaced: u16,
    /// Which of its events the owner has given up or replaced that must never be upstream's. A bit for each.
    pub gone: u16,
    /// Whether the owner has given up one that upstream had or could get, in a way of which this protocol was not told. What
    /// is confirmed of a push may be of another one then.
    pub misled: bool,
    /// The pending event that upstream has refused for good, until the owner decides.
    pub refused: Option<Event>,
    /// The most events of a push since upstream has found one too large.
    pub fits: Option<usize>,
    pub push: Option<PushCall>,
    /// Pushes that are not waited for any more and that may still reach upstream.
    pub late: Vec<Batch<Ledger>>,
    pub pull: Option<PullCall>,
    /// The number of the pull. Not compared: the protocol's canonical form knows whether it is the
    /// latest.
    pub pull_ticket: u64,
    /// The pusher was told to wait and has had no input since, yet it would send if it asked.
    pub asleep: bool,
    /// A push whose outcome is unknown.
    pub unresolved: Option<Unresolved>,
    /// Which of its pending events upstream has, or may get, in a way of which this protocol was not told: late, or from
    /// before a crash or a reset. A bit for each.
    pub untold: u16,
    /// In each direction, whether upstream has named a time that has not come yet.
    pub named: [bool; 2],
    /// In each direction, whether something has been said that trying again cannot help, and the owner has not acted since.
    pub halted: [bool; 2],
    /// In each direction, the calls begun since a backoff ended, something was merged or committed, or the owner acted. Zero
    /// if they are not counted.
    pub calls: [u8; 2],
    /// The next input is one after which the protocol may fail. Not compared: false between steps.
    pub told: bool,
    /// The next input is one that ends calls that go on. Not compared: false between steps.
    pub ends_calls: bool,
    pub paused: [bool; 2],
    /// Its journal, if it has one.
    pub disk: Option<Box<Disk>>,
}

/// What clients share, as a step sees it.
#[derive(Debug)]
pub struct World<'a> {
    pub upstream: &'a mut Upstream,
    pub broken: &'a mut Broken,
    pub config: &'a Config,
}

fn index(direction: Direction) -> usize {
    usize::from(direction == Direction::Pull)
}

impl Client {
    pub fn new(id: u8, events: u8, config: &Config) -> Self {
        Self {
            id,
            locals: config.locals,
            protocol: Protocol::new(Ledger::new(config.log, 0, Vec::new()), settings(config)),
            uncommitted: events,
            committed: 0,
            given_up: 0,
            replaced: 0,
            gone: 0,
            misled: false,
            refused: None,
            fits: None,
            push: None,
            late: Vec::new(),
            pull: None,
            pull_ticket: 0,
            asleep: false,
            unresolved: None,
            untold: 0,
            named: [false; 2],
            halted: [false; 2],
            calls: [0; 2],
            told: false,
            ends_calls: false,
            paused: [false; 2],
            disk: (config.journal > 0).then(|| Box::new(Disk::new())),
        }
    }

    pub fn cursor(&self) -> usize {
        usize::try_from(self.protocol.log().upstream_head()).expect("few events")
    }

    pub fn pending(&self) -> usize {
        self.protocol.log().pending()
    }

    pub fn is_paused(&self, direction: Direction) -> bool {
        self.paused[index(direction)]
    }

    /// How many of its pending events may be sent: those before one that upstream refuses.
    pub fn sendable(&self) -> usize {
        self.protocol.log().to_send().into_iter().take_while(|&event| self.refused != Some(event)).count()
    }

    /// What came with this commit of its, or stands in its place.
    pub fn event(&self, place: usize) -> Event {
        let event = Event::new(self.id, place, self.locals >> place & 1 == 1);
        if self.replaced >> place & 1 == 1 { event.replacement() } else { event }
    }

    /// Whether upstream is to get this event of its sooner or later.
    pub fn owes(&self, event: Event) -> bool {
        !event.is_local_only() && self.given_up >> event.number() & 1 == 0
    }

    /// What is to be pending: all that has been committed, neither given up nor ordered by upstream up to the cursor.
    pub fn rest<'a>(&'a self, upstream: &'a Upstream) -> impl Iterator<Item = Event> + 'a {
        let own = (0..self.committed).map(|number| self.event(number)).filter(|&event| self.owes(event));
        own.filter(|&event| !upstream.has_had_among_the_first(self.cursor(), event))
    }

    /// Its events that upstream has after `cursor`.
    pub fn ahead<'a>(&'a self, cursor: usize, upstream: &'a Upstream) -> impl Iterator<Item = Event> + 'a {
        upstream.events.iter().copied().skip(cursor).filter(|event| event.author() == self.id)
    }

    /// Whether upstream has no pending event of its that the client could not know of.
    pub fn knows_what_was_taken(&self, upstream: &Upstream) -> bool {
        let in_flight = self.push.iter().flat_map(|call| events(&call.batch));
        let excused = self.untold | bits(in_flight);
        let pending = bits(self.protocol.log().all());
        self.protocol.is_uncertain() || bits(self.ahead(self.cursor(), upstream)) & pending & !excused == 0
    }

    /// The steps that can be taken now.
    pub fn steps(&self, config: &Config, upstream: &Upstream, steps: &mut Vec<Step>) {
        match (&self.push, self.protocol.push()) {
            (Some(call), _) => {
                if call.answer.is_none() {
                    steps.push(Step::Arrive);
                } else if call.interrupted || !call.hangs {
                    steps.push(Step::Answer);
                }
                if call.interrupted && !call.answer.is_some_and(Answer::is_uncertain) {
                    steps.push(Step::GiveUp);
                } else if call.hangs && !call.interrupted && !self.protocol.is_stopped() {
                    steps.push(Step::Reconnect);
                }
            }
            (None, Push::Idle) if self.pending() == 0 || self.asleep => {}
            (None, state) => {
                let mut asked = self.protocol.clone();
                match asked.next_push(NOW) {
                    Next::Do(_) => steps.push(Step::Send),
                    // It finds out something by asking, or begins to wait.
                    Next::Wait { .. } if asked.push() != state => steps.push(Step::Send),
                    Next::Wait { until: Some(until) } if until < Time::MAX => steps.push(Step::PushTimer),
                    Next::Wait { .. } | Next::Stop => {}
                }
            }
        }
        match &self.pull {
            Some(call) => call.steps(config, upstream, steps),
            None => match self.protocol.clone().next_pull(NOW) {
                Next::Do(_) => steps.push(Step::BeginPull),
                Next::Wait { until: Some(until) } if until < Time::MAX => steps.push(Step::PullTimer),
                Next::Wait { .. } | Next::Stop => {}
            },
        }
        self.writer_steps(steps);
        let paused = [Direction::Push, Direction::Pull].into_iter().filter(|&direction| self.is_paused(direction));
        steps.extend(paused.map(Step::Resume));
        if !self.protocol.is_stopped() {
            self.decisions(steps);
        }
    }

    pub fn step(&mut self, step: Step, world: &mut World<'_>) {
        match step {
            Step::Send => self.send(NOW, world),
            Step::PushTimer => {
                let Next::Wait { until: Some(until) } = self.protocol.clone().next_push(NOW) else { return };
                // What else a time is named for is a catch-up.
                let backing_off = !matches!(self.protocol.push(), Push::Behind { .. });
                if backing_off {
                    self.calls = [0; 2];
                }
                let lingered = self.lingers();
                self.named[0] &= until < NAMED;
                self.input(world, |protocol| protocol.tick(until));
                self.send(until, world);
                let open = !self.is_paused(Direction::Push) && self.sendable() > 0 && self.is_written();
                let failed = matches!(self.protocol.push(), Push::Failed { .. });
                // What has waited for something else may wait for more events now.
                let goes_on = self.push.is_some() || !lingered && self.lingers();
                world.broken.unless(!backing_off || !open || failed || goes_on, Property::RetryLeadsToAttempt);
            }
            Step::Arrive => self.arrive(world),
            Step::Answer => self.answer(world),
            Step::GiveUp => self.lose_push(),
            Step::Reconnect => self.reconnect(world),
            Step::BeginPull => self.begin_pull(NOW, world),
            Step::PullTimer => {
                let Next::Wait { until: Some(until) } = self.protocol.clone().next_pull(NOW) else { return };
                self.calls[1] = 0;
                self.named[1] &= until < NAMED;
                self.begin_pull(until, world);
            }
            Step::MakePage => {
                if let Some(call) = &mut self.pull {
                    call.make_page(world);
                }
            }
            Step::Page => self.page(true, world),
            Step::EndPull => {
                let cut_short = self.pull.as_ref().is_some_and(|call| call.interrupted);
                self.end_pull(if cut_short { End::Disconnected } else { End::CaughtUp }, NOW, world);
            }
            Step::BeginWrite => self.begin_write(),
            Step::Write => self.write_one(world),
            Step::EndWrite => self.end_write(world),
            Step::Resume(direction) => {
                self.paused[index(direction)] = false;
                self.owner_says(world, |protocol| {
                    protocol.resume(direction);
                    Effects::default()
                });
                world.broken.unless(direction == Direction::Pull || self.has_looked(), Property::OwnerIsHeard);
            }
            Step::OwnerActs => match self.protocol.failure() {
                Some(Failure::Upstream { kind: FatalKind::WentBack, .. }) => self.reset(true, world),
                _ => self.restart(world),
            },
            Step::GiveUpRefused | Step::ReplaceRefused => {
                let Some((index, _)) = self.protocol.rejected() else { return };
                self.decide(index, step == Step::ReplaceRefused, world);
            }
        }
    }

    /// What the owner can do about a failure, and about the event that upstream refuses.
    fn decisions(&self, steps: &mut Vec<Step>) {
        if failures(&self.protocol).iter().any(Option::is_some) || self.protocol.journal_failure().is_some() {
            steps.push(Step::OwnerActs);
        }
        let Some((index, _)) = self.protocol.rejected() else { return };
        if self.lets(index, false) {
            steps.push(Step::GiveUpRefused);
        }
        if self.may_replace(index) && self.lets(index, true) {
            steps.push(Step::ReplaceRefused);
        }
    }

    /// Whether the owner may put another event in the place of this one of those to be sent: once, and not while upstream may
    /// get it in a way of which this protocol was not told.
    pub fn may_replace(&self, index: usize) -> bool {
        let event = self.protocol.log().to_send().get(index).copied();
        event.is_some_and(|event| !event.is_replacement() && bits([event]) & self.untold() == 0)
    }

    /// Whether the protocol lets the owner give up this one of the events to be sent, or put another in its place.
    pub fn lets(&self, index: usize, replaces: bool) -> bool {
        let Some(&event) = self.protocol.log().to_send().get(index) else { return false };
        let mut trial = self.protocol.clone();
        if replaces {
            trial.replace(index, event.replacement()).is_ok()
        } else {
            trial.give_up(index..index + 1).is_ok()
        }
    }

    /// Which of its events upstream has, or may get, in a way of which this protocol was not told. A bit for each.
    pub fn untold(&self) -> u16 {
        self.late.iter().fold(self.untold, |all, batch| all | bits(events(batch)))
    }

    /// Whether a push waits for more events.
    pub fn lingers(&self) -> bool {
        matches!(self.protocol.push(), Push::Waiting { reason: Delay::Linger, .. })
    }
}

impl PullCall {
    fn steps(&self, config: &Config, upstream: &Upstream, steps: &mut Vec<Step>) {
        let owes_page = !self.caught_up && config.says_when_done;
        let more = owes_page || upstream.shown > self.given && (config.live || !self.caught_up);
        match self.page {
            Some(_) => steps.push(Step::Page),
            None if more && !self.interrupted => steps.push(Step::MakePage),
            None => {}
        }
        if self.interrupted || self.page.is_none() && self.caught_up && !config.live {
            steps.push(Step::EndPull);
        }
    }

    /// A page is made of what upstream shows, and of nothing if it shows no more.
    pub fn make_page(&mut self, world: &World<'_>) {
        let (from, shown) = (self.given, world.upstream.shown);
        self.given = shown.min(from + world.config.page).max(from);
        self.page = Some((from, self.given >= shown && world.config.says_when_done));
    }
}

fn settings(config: &Config) -> Settings {
    let mut settings = Settings::default();
    settings.batch = NonZeroUsize::new(config.batch).expect("a batch has an event");
    settings.grace = LATER;
    settings.backoff = Backoff::new(LATER, LATER).with_jitter(0.0);
    settings.contention = LATER;
    settings.live = config.live;
    settings.linger = if config.lingers { LATER } else { Time::ZERO };
    settings.journal = NonZeroUsize::new(config.journal);
    settings.resend = if config.idempotent { Resend::Idempotent } else { Resend::AfterCatchUp };
    settings
}
