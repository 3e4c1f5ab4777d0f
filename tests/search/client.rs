//! A client: a protocol, and the driver that the crate's documentation asks for.
//!
//! The driver does what it is told and nothing else. It asks for the next push or pull, and once it is told to wait it
//! asks again only after an input or at the time that it was given. It has one push and one pull under way at most, ends
//! them when it is asked to, and reports every outcome.

use std::num::NonZeroUsize;
use std::time::Duration;

use latchwork::Backoff;
use latchwork::log::{Log, MemoryEntry, MemoryLog, Merged};
use latchwork::protocol::{Direction, Effects, Fate, NextPull, NextPush, Protocol, Pull, Push, Settings, Time};
use latchwork::upstream::Batch;

use super::calls::{Answer, disconnected};
use super::laws::{Broken, Law};
use super::model::{Config, Event, author};

/// When everything happens.
pub const NOW: Time = Time::ZERO;
/// When a timer fires that was set at [`NOW`].
pub const LATER: Time = Duration::from_millis(1);

/// A step that somebody takes sooner or later.
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
    /// Whoever paused a direction resumes it.
    Resume(Direction),
    /// The owner goes on after a failure.
    OwnerRestarts,
}

pub type Core = Protocol<MemoryLog<Event>>;

/// A push that the driver has under way.
#[derive(Debug, Clone)]
pub struct PushCall {
    pub batch: Batch<MemoryLog<Event>>,
    /// `None` while upstream has not got it.
    pub answer: Option<Answer>,
    pub interrupted: bool,
}

/// A pull that the driver has under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PullCall {
    /// What upstream has put into pages.
    pub given: usize,
    /// The page on its way: from here up to `given`, and whether that was all.
    pub page: Option<(usize, bool)>,
    /// Whether a page has said that there is no more.
    pub caught_up: bool,
    /// Whether an echo was lost.
    pub lost: bool,
    pub interrupted: bool,
}

#[derive(Debug, Clone)]
pub struct Client {
    pub id: u8,
    pub protocol: Core,
    /// How many events it is still to commit.
    pub uncommitted: u8,
    pub committed: usize,
    pub push: Option<PushCall>,
    /// Pushes that nobody waits for any more and that may still reach upstream.
    pub late: Vec<Batch<MemoryLog<Event>>>,
    pub pull: Option<PullCall>,
    /// The number of the pull. Not compared: the protocol's shape knows whether it is the latest.
    pub pull_ticket: u64,
    /// The pusher was told to wait and has had no input since, yet it would send if it asked.
    pub asleep: bool,
    /// A push whose outcome is unknown: whether a pull that may resolve it has begun.
    pub unresolved: Option<bool>,
    /// The next input is one after which the protocol may fail. Not compared: false between steps.
    pub told: bool,
    pub paused: [bool; 2],
}

/// What clients share, as a step sees it.
#[derive(Debug)]
pub struct World<'a> {
    pub upstream: &'a mut Vec<Event>,
    pub broken: &'a mut Broken,
    pub config: &'a Config,
}

pub fn confirmed_of(id: u8, upstream: &[Event]) -> usize {
    upstream.iter().filter(|&&event| author(event) == id).count()
}

fn index(direction: Direction) -> usize {
    usize::from(direction == Direction::Pull)
}

/// The entries of upstream from one position up to another.
pub fn entries(upstream: &[Event], from: usize, to: usize) -> Vec<MemoryEntry<Event>> {
    let numbered = (1..).zip(upstream).map(|(position, &event)| MemoryEntry { position, event });
    numbered.take(to).skip(from).collect()
}

impl Client {
    pub fn new(id: u8, events: u8, config: &Config) -> Self {
        let log = if config.rebasing { MemoryLog::rebasing() } else { MemoryLog::new() };
        Self {
            id,
            protocol: Protocol::new(log, settings(config)),
            uncommitted: events,
            committed: 0,
            push: None,
            late: Vec::new(),
            pull: None,
            pull_ticket: 0,
            asleep: false,
            unresolved: None,
            told: false,
            paused: [false; 2],
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

    /// The steps that can be taken now.
    pub fn steps(&self, config: &Config, upstream: &[Event], steps: &mut Vec<Step>) {
        match (&self.push, self.protocol.push()) {
            (Some(call), _) => {
                steps.push(if call.answer.is_none() { Step::Arrive } else { Step::Answer });
                if call.interrupted && call.answer != Some(Answer::Uncertain) {
                    steps.push(Step::GiveUp);
                }
            }
            (None, Push::Idle) if self.pending() == 0 || self.asleep => {}
            (None, _) => match self.protocol.clone().next_push(NOW) {
                NextPush::Send(_) => steps.push(Step::Send),
                NextPush::Wait(Some(until)) if until < Time::MAX => steps.push(Step::PushTimer),
                NextPush::Wait(_) | NextPush::Stop => {}
            },
        }
        match (&self.pull, self.protocol.pull()) {
            (Some(call), _) => call.steps(config, upstream, steps),
            (None, Pull::Failed { .. }) => {}
            (None, state) => {
                let step = if let Pull::Waiting { .. } = state { Step::PullTimer } else { Step::BeginPull };
                if let NextPull::Pull { .. } = self.protocol.clone().next_pull(LATER) {
                    steps.push(step);
                }
            }
        }
        let paused = [Direction::Push, Direction::Pull].into_iter().filter(|&direction| self.is_paused(direction));
        steps.extend(paused.map(Step::Resume));
        if self.protocol.failure().is_some() && !self.protocol.is_stopped() {
            steps.push(Step::OwnerRestarts);
        }
    }

    pub fn step(&mut self, step: Step, world: &mut World<'_>) {
        match step {
            Step::Send => self.send(NOW, world),
            Step::PushTimer => {
                let backing_off = matches!(self.protocol.push(), Push::Waiting { .. });
                self.input(world, |protocol| protocol.tick(LATER));
                self.send(LATER, world);
                let open = !self.is_paused(Direction::Push) && self.pending() > 0;
                world.broken.unless(!backing_off || !open || self.push.is_some(), Law::RetryLeadsToAttempt);
            }
            Step::Arrive => self.arrive(world),
            Step::Answer => self.answer(world),
            Step::GiveUp => self.lose_push(),
            Step::BeginPull | Step::PullTimer => self.begin_pull(world),
            Step::MakePage => {
                if let Some(call) = &mut self.pull {
                    let from = call.given;
                    call.given = world.upstream.len().min(from + world.config.page);
                    call.page = Some((from, call.given == world.upstream.len()));
                }
            }
            Step::Page => self.page(true, world),
            Step::EndPull => {
                let cut_short = self.pull.as_ref().is_some_and(|call| call.interrupted);
                self.end_pull(if cut_short { Err(disconnected()) } else { Ok(()) }, world);
            }
            Step::Resume(direction) => {
                self.paused[index(direction)] = false;
                self.input(world, |protocol| {
                    protocol.resume(direction);
                    Effects::default()
                });
            }
            Step::OwnerRestarts => self.input(world, Protocol::restart),
        }
    }

    pub fn commit(&mut self, world: &mut World<'_>) {
        let event = super::model::event(self.id, self.committed);
        self.uncommitted -= 1;
        self.committed += 1;
        let mut admitted = false;
        self.input(world, |protocol| {
            admitted = protocol.commit(vec![event]) == Ok(1);
            Effects::default()
        });
        world.broken.unless(admitted, Law::CommitNeverWaits);
    }

    pub fn pause(&mut self, direction: Direction, world: &mut World<'_>) {
        self.paused[index(direction)] = true;
        self.input(world, |protocol| protocol.pause(direction));
    }

    /// Gives the protocol an input, carries out what follows, and looks whether the log tells the truth.
    pub fn input(&mut self, world: &mut World<'_>, input: impl FnOnce(&mut Core) -> Effects<MemoryEntry<Event>>) {
        let (before, failed) = (self.cursor(), self.protocol.failure().is_some());
        let effects = input(&mut self.protocol);
        world.broken.unless(failed || self.told || self.protocol.failure().is_none(), Law::FailsOnlyWhenTold);
        (self.asleep, self.told) = (false, false);
        let after = self.cursor();
        // What follows an event that has been passed cannot be taken any more.
        self.unresolved = self.unresolved.filter(|_| after == before);
        let (new, confirmed) = match &effects.merged {
            Some(Merged::Advance { new, confirmed } | Merged::Rebase { new, confirmed, .. }) => {
                (&new[..], &confirmed[..])
            }
            None => (&[][..], &[][..]),
        };
        let is_upstreams = |entry: &MemoryEntry<Event>| {
            let place = usize::try_from(entry.position).expect("few events");
            (before + 1..=after).contains(&place) && world.upstream.get(place - 1) == Some(&entry.event)
        };
        world.broken.unless(confirmed.iter().all(is_upstreams), Law::OnlyAcknowledged);
        let moved = before + new.len() + confirmed.len();
        world.broken.unless(moved == after && new.iter().all(is_upstreams), Law::CursorIsApplied);
        let own =
            |entries: &[MemoryEntry<Event>]| entries.iter().filter(|entry| author(entry.event) == self.id).count();
        let settled = own(new) == 0 && own(confirmed) == confirmed.len() && self.pending_is_the_rest(world.upstream);
        world.broken.unless(settled, Law::SettlesOnce);
        if effects.interrupt_push {
            let decided = matches!(self.protocol.push(), Push::Sending { fate: Fate::Overtaken | Fate::Confirmed, .. });
            world.broken.unless(decided || self.protocol.is_stopped(), Law::OnlyTheLostAreInterrupted);
            self.push.iter_mut().for_each(|call| call.interrupted = true);
        }
        if effects.interrupt_pull {
            self.pull.iter_mut().for_each(|call| call.interrupted = true);
        }
    }

    /// Whether exactly the events that have been committed and not been confirmed are pending, in order.
    fn pending_is_the_rest(&self, upstream: &[Event]) -> bool {
        let confirmed = confirmed_of(self.id, &upstream[..self.cursor().min(upstream.len())]);
        let pending = self.protocol.log().batch(NonZeroUsize::MAX);
        let rest = (confirmed..self.committed).map(|number| super::model::event(self.id, number));
        pending.iter().map(|entry| entry.event).eq(rest)
    }
}

impl PullCall {
    fn steps(&self, config: &Config, upstream: &[Event], steps: &mut Vec<Step>) {
        let more = !self.caught_up || config.live && upstream.len() > self.given;
        match self.page {
            Some(_) => steps.push(Step::Page),
            None if more && !self.interrupted => steps.push(Step::MakePage),
            None => {}
        }
        if self.interrupted || self.page.is_none() && self.caught_up && !config.live {
            steps.push(Step::EndPull);
        }
    }
}

fn settings(config: &Config) -> Settings {
    let mut settings = Settings::default();
    settings.batch = NonZeroUsize::new(config.batch).expect("a batch has an event");
    settings.grace = LATER;
    settings.backoff = Backoff::new(LATER, LATER).with_jitter(0.0);
    settings.live = config.live;
    settings
}
