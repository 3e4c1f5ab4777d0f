//! A client: a protocol, and the driver that the crate's documentation asks for. It has one push and one pull under way at
//! most, ends them when it is asked to, and reports every outcome, as late as it likes.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use latchwork::Backoff;
use latchwork::log::{Log, Merged};
use latchwork::protocol::{DecisionError, Direction, Effects, Failure, Next, Protocol, Push, Resend, Settings, Time};
use latchwork::sync_state::Position;
use latchwork::upstream::{Batch, PushError};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::oracle::Watch;
use super::world::{INITIAL, MAX, Upstream, World};
use super::{Answer, End, Owner, Page, Setup, ms};
use crate::harness::INJECTED;
use crate::logs::{AnyLog, Entry, Event, Method};

pub type Core = Protocol<AnyLog>;
pub type Outcome = Result<(), PushError<Position>>;

/// What can be done for a client next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    AskPush,
    /// Upstream gets the push, or not, and its answer is on its way.
    Arrive,
    /// The client gets the answer.
    Answer,
    /// A push that was asked to end does so.
    GiveUp,
    /// A request that is not waited for any more arrives.
    ArriveLate,
    AskPull,
    Page,
    EndPull,
}

pub struct PushCall {
    pub batch: Batch<AnyLog>,
    /// `Err` if the call has panicked.
    pub answer: Option<Result<Outcome, ()>>,
    /// It has no end unless it is asked to end.
    pub hangs: bool,
    pub interrupted: bool,
}

pub struct PullCall {
    pub ticket: u64,
    /// What it has given out.
    pub cursor: Position,
    /// Upstream's head when it began.
    pub target: Position,
    pub caught_up: bool,
    pub interrupted: bool,
    /// Whether an echo got lost.
    pub lost: bool,
}

impl PullCall {
    /// Whether it is yet to say anything to what waits for a catch-up.
    pub fn goes_on(&self, live: bool, world: &World<'_>) -> bool {
        !self.caught_up || self.interrupted || !live || self.cursor < world.upstream.head()
    }
}

/// All that became of one log.
pub struct Life {
    pub number: u8,
    committed: Vec<Event>,
    given_up: Vec<Event>,
}

impl Life {
    /// What is to be sent sooner or later.
    pub fn sent(&self) -> impl Iterator<Item = Event> + '_ {
        self.committed.iter().copied().filter(|event| !event.local_only && !self.given_up.contains(event))
    }
}

/// Which method of a log panics the next time.
#[derive(Default)]
struct Panics {
    method: AtomicU8,
    /// In an input alone, and not where something is tried.
    armed: AtomicBool,
}

pub struct Client {
    pub id: u8,
    pub setup: Setup,
    pub protocol: Core,
    panics: Arc<Panics>,
    pub life: u8,
    pub lives: Vec<Life>,
    next_number: u16,
    /// Confirmed in this life, in order.
    pub settled: Vec<Event>,
    /// What upstream has refused for good, until the owner decides.
    pub refused: Option<Event>,
    /// The most events of a push, since upstream has found one too large.
    pub fits: Option<usize>,
    pub push: Option<PushCall>,
    pub late: Vec<Batch<AnyLog>>,
    pub pull: Option<PullCall>,
    /// What was over before, to be reported once more.
    pub over: (Vec<Batch<AnyLog>>, Vec<u64>),
    pub paused: [bool; 2],
    pub watch: Watch,
}

pub fn index(direction: Direction) -> usize {
    usize::from(direction == Direction::Pull)
}

pub fn panicked(what: &str) -> Failure {
    Failure::Panicked { message: format!("{what}: {INJECTED}") }
}

impl Client {
    pub fn new(id: u8, setup: Setup) -> Self {
        let panics = Arc::<Panics>::default();
        let mut settings = Settings::default();
        settings.batch = NonZeroUsize::new(setup.batch.into()).expect("from 1 on");
        settings.grace = ms(setup.grace.into());
        settings.backoff = Backoff::new(INITIAL, MAX);
        settings.contention = INITIAL;
        settings.live = setup.live;
        settings.resend = if setup.idempotent { Resend::Idempotent } else { Resend::AfterCatchUp };
        let protocol = Protocol::new(log(setup, &panics), settings);
        let first = Life { number: 0, committed: Vec::new(), given_up: Vec::new() };
        Self {
            id,
            setup,
            watch: Watch::new(&protocol),
            protocol,
            panics,
            life: 0,
            lives: vec![first],
            next_number: 0,
            settled: Vec::new(),
            refused: None,
            fits: None,
            push: None,
            late: Vec::new(),
            pull: None,
            over: (Vec::new(), Vec::new()),
            paused: [false; 2],
        }
    }

    pub fn cursor(&self) -> Position {
        self.protocol.log().upstream_head()
    }

    pub fn is_stopped(&self) -> bool {
        self.protocol.is_stopped()
    }

    pub fn has_failed(&self) -> bool {
        self.protocol.failure().is_some()
    }

    /// Whether its push has no end unless it is asked to end.
    pub fn hangs(&self) -> bool {
        self.push.as_ref().is_some_and(|call| call.hangs && !call.interrupted)
    }

    pub fn has_lost_something(&self) -> bool {
        self.pull.as_ref().is_some_and(|call| call.lost)
    }

    pub fn is_pulling(&self, world: &World<'_>) -> bool {
        self.pull.as_ref().is_some_and(|call| call.goes_on(self.setup.live, world))
    }

    /// Whether upstream has a page for it that it would notice.
    pub fn has_page(&self, world: &World<'_>) -> bool {
        self.pull.as_ref().is_some_and(|call| !call.caught_up || call.cursor < world.upstream.head())
    }

    /// Whether this is an event of its present log.
    #[allow(dead_code, reason = "the induction asks")]
    pub fn is_own(&self, entry: &Entry) -> bool {
        (entry.event.client, entry.event.life) == (self.id, self.life)
    }

    pub fn is_idempotent(&self) -> bool {
        self.setup.idempotent
    }

    pub fn told(&self) -> String {
        let (id, protocol) = (self.id, &self.protocol);
        let (push, pull, on) = (protocol.push(), protocol.pull(), protocol.waiting_on());
        format!("client {id}: {:?}; the pusher {push}; the puller {pull}; waiting on {on}", protocol.log())
    }

    fn life(&mut self) -> &mut Life {
        self.lives.last_mut().expect("the present one")
    }

    /// Its log panics no more.
    pub fn calm(&self) {
        self.panics.method.store(0, Ordering::Relaxed);
    }

    pub fn panics_next(&self, method: Method) {
        self.panics.method.store(method as u8, Ordering::Relaxed);
    }

    /// A protocol like this one, to try something with.
    pub fn trial(&self) -> Core {
        self.protocol.clone()
    }

    /// When its driver wants to look again.
    pub fn wakes_at(&self, now: Time) -> Option<Time> {
        let push = self.push.is_none().then(|| match self.trial().next_push(now) {
            Next::Wait { until } => until,
            Next::Do(_) | Next::Stop => None,
        });
        let pull = self.pull.is_none().then(|| match self.trial().next_pull(now) {
            Next::Wait { until } => until,
            Next::Do(_) | Next::Stop => None,
        });
        [push, pull].into_iter().flatten().flatten().filter(|until| *until > now).min()
    }

    /// Something that grows whenever a call begins.
    pub fn progress(&self) -> (u64, u64) {
        let counters = self.protocol.counters();
        (counters.pushes, counters.pulls)
    }

    /// What can be done for it next.
    pub fn moves(&self, end: End) -> Vec<Move> {
        let mut moves = Vec::new();
        match &self.push {
            None => moves.push(Move::AskPush),
            Some(call) if call.hangs && !call.interrupted => {}
            Some(call) if call.answer.is_some() => moves.push(Move::Answer),
            Some(call) => {
                moves.push(Move::Arrive);
                moves.extend(call.interrupted.then_some(Move::GiveUp));
            }
        }
        moves.extend((!self.late.is_empty()).then_some(Move::ArriveLate));
        match &self.pull {
            None => moves.push(Move::AskPull),
            Some(call) => {
                if !call.interrupted && (!call.caught_up || self.setup.live) {
                    moves.push(Move::Page);
                }
                if end != End::InTime || call.interrupted || (call.caught_up && !self.setup.live) {
                    moves.push(Move::EndPull);
                }
            }
        }
        moves
    }

    pub fn take(&mut self, next: Move, answer: Answer, page: Page, end: End, world: &mut World<'_>) -> TestCaseResult {
        match next {
            Move::AskPush => self.ask_push(world),
            Move::Arrive => {
                self.arrive(answer, world);
                Ok(())
            }
            Move::Answer => self.answer(world),
            Move::GiveUp => {
                // It cannot be said whether it has arrived.
                if let Some(call) = &mut self.push {
                    let lost = PushError::Uncertain { error: "interrupted".into() };
                    call.answer = Some(Ok(Err(lost)));
                }
                self.answer(world)
            }
            Move::ArriveLate => {
                let batch = self.late.remove(0);
                let taken = world.upstream.take(batch.base, &batch.entries, false);
                world
                    .seen
                    .tell(|| format!("a late request of client {}: {:?}, taken: {taken}", self.id, batch.entries));
                if taken {
                    world.seen.count("taken late");
                    self.watch.deceived = true;
                }
                Ok(())
            }
            Move::AskPull => self.ask_pull(world),
            Move::Page => self.page(page, world),
            Move::EndPull => self.end_pull(end, world),
        }
    }

    /// An input. The log's panic is returned as a failure.
    pub fn input<T>(
        &mut self,
        world: &mut World<'_>,
        input: impl FnOnce(&mut Core) -> (T, Effects<Entry>),
    ) -> Result<Result<T, Failure>, TestCaseError> {
        self.panics.armed.store(true, Ordering::Relaxed);
        let done = catch_unwind(AssertUnwindSafe(|| input(&mut self.protocol)));
        self.panics.armed.store(false, Ordering::Relaxed);
        let (told, effects) = match done {
            Ok((told, effects)) => (Ok(told), effects),
            Err(payload) if payload.downcast_ref::<&str>() == Some(&INJECTED) => {
                world.seen.count("panic of a log");
                world.seen.tell(|| "  the log panics".into());
                (Err(panicked("the log")), Effects::default())
            }
            Err(payload) => resume_unwind(payload),
        };
        self.carry_out(effects, world)?;
        Ok(told)
    }

    fn carry_out(&mut self, effects: Effects<Entry>, world: &mut World<'_>) -> TestCaseResult {
        let Effects { merged, interrupt_push, interrupt_pull, .. } = effects;
        if let Some(merged) = &merged {
            self.merged(merged, world)?;
        }
        // Whatever it is answered is known, or it can only be refused.
        let settled = |call: &PushCall| call.batch.entries.iter().all(|entry| self.settled.contains(&entry.event));
        let rebased = merged.as_ref().is_some_and(Merged::is_rebase) && !self.watch.gives_up;
        let decided = self.push.as_ref().is_some_and(|call| rebased || settled(call));
        prop_assert!(
            !interrupt_push || decided || self.push.is_none() || self.watch.ends_calls,
            "a push that could be taken is interrupted: {}",
            self.told()
        );
        let open = self.push.as_ref().is_some_and(|call| !call.interrupted && call.answer.is_none());
        prop_assert!(interrupt_push || !decided || !open, "a push that is decided goes on: {}", self.told());
        if interrupt_push {
            self.push.iter_mut().for_each(|call| call.interrupted = true);
        }
        if interrupt_pull {
            self.pull.iter_mut().for_each(|call| call.interrupted = true);
        }
        Ok(())
    }

    /// What a merge has said: upstream's events in their order, and of its own what was pending, in that order.
    fn merged(&mut self, merged: &Merged<Entry>, world: &World<'_>) -> TestCaseResult {
        let (new, confirmed) = match merged {
            Merged::Advance { new, confirmed } | Merged::Rebase { new, confirmed, .. } => (new, confirmed),
        };
        let (id, life) = (self.id, self.life);
        world
            .seen
            .tell(|| format!("  client {id} has merged {new:?}, {confirmed:?} confirmed, {:?}", merged.dropped()));
        let mut applied: Vec<_> =
            confirmed.iter().filter(|entry| !entry.event.local_only).chain(new).copied().collect();
        applied.sort_by_key(|entry| entry.seq.position());
        let from = world.upstream.after(self.watch.cursor);
        let to = from + applied.len();
        prop_assert_eq!(
            &applied,
            &world.upstream.entries[from..to.min(world.upstream.entries.len())],
            "what was applied"
        );
        let own = new.iter().find(|entry| entry.event.client == id && entry.event.life == life);
        prop_assert!(own.is_none(), "its own {:?} is merged as another client's", own);
        self.settled.extend(confirmed.iter().map(|entry| entry.event));
        let committed = self.lives.last().expect("the present one").committed.iter();
        let gone =
            |event: &Event| self.settled.contains(event) || self.lives[usize::from(life)].given_up.contains(event);
        let left: Vec<_> = committed.filter(|event| !gone(event) && !event.local_only).copied().collect();
        for index in merged.dropped() {
            prop_assert!(*index < left.len(), "{} of {:?} was given up", index, left);
            self.lives[usize::from(life)].given_up.push(left[*index]);
            world.seen.count("drop");
        }
        world.seen.count(if merged.is_rebase() { "rebase" } else { "advance" });
        if confirmed.iter().any(|entry| entry.event.local_only) {
            world.seen.count("local-only settled");
        }
        if !confirmed.is_empty() {
            world.seen.count("confirm");
        }
        self.watch.has_merged(merged.is_rebase() && !self.watch.gives_up);
        Ok(())
    }

    /// Looks at all that is promised.
    pub fn look(&self, world: &World<'_>) -> TestCaseResult {
        self.nothing_is_lost()?;
        self.watch.look(self, world)
    }

    fn nothing_is_lost(&self) -> TestCaseResult {
        let life = self.lives.last().expect("the present one");
        let expected: Vec<_> = life.committed.iter().filter(|event| !life.given_up.contains(event)).copied().collect();
        let pending = self.protocol.log().events();
        let accounted = [self.settled.clone(), pending].concat();
        prop_assert_eq!(&accounted, &expected, "settled, and pending: {}", self.told());
        Ok(())
    }

    /// What upstream has refused is shown, as long as it is pending.
    fn shows_what_is_refused(&mut self) -> TestCaseResult {
        let pending: Vec<_> = self.protocol.log().events().into_iter().filter(|event| !event.local_only).collect();
        self.refused = self.refused.filter(|refused| pending.contains(refused));
        let index = self.refused.and_then(|refused| pending.iter().position(|event| *event == refused));
        prop_assert_eq!(self.protocol.rejected().map(|(index, _)| index), index, "{}", self.told());
        prop_assert!(index.is_none() || self.has_failed(), "it is not told: {}", self.told());
        Ok(())
    }

    /// Every input ends so.
    pub fn after(&mut self, world: &World<'_>) -> TestCaseResult {
        self.shows_what_is_refused()?;
        self.look(world)?;
        self.watch.note(&self.protocol);
        Ok(())
    }

    pub fn commit(&mut self, count: u16, special: bool, world: &mut World<'_>) -> TestCaseResult {
        let last = self.next_number + count - 1;
        let special = |number| special && number == last;
        let (local, state) = (self.setup.kind == crate::logs::Kind::State, self.setup.kind);
        let events: Vec<_> = (self.next_number..=last)
            .map(|number| Event {
                client: self.id,
                life: self.life,
                number,
                local_only: special(number) && local,
                fragile: special(number) && state == crate::logs::Kind::Fragile,
            })
            .collect();
        world.seen.tell(|| format!("client {} commits {events:?}", self.id));
        let sent = events.iter().filter(|event| !event.local_only).count();
        let committed = events.clone();
        let told = self.input(world, |protocol| (protocol.commit(committed).ok(), Effects::default()))?;
        // A panic refuses the commit.
        if let Ok(told) = told {
            prop_assert_eq!(told, Some(sent), "how many are to be sent");
            self.next_number += count;
            self.life().committed.extend(events);
            self.watch.commits += 1;
        }
        self.after(world)
    }

    pub fn owner(&mut self, does: Owner, world: &mut World<'_>) -> TestCaseResult {
        world.seen.tell(|| format!("the owner of client {}: {does:?}", self.id));
        self.watch.owner_looks_again(does);
        match does {
            Owner::Pause(direction) => {
                self.paused[index(direction)] = true;
                self.input(world, |protocol| ((), protocol.pause(direction)))?.ok();
            }
            Owner::Resume(direction) => {
                self.paused[index(direction)] = false;
                self.input(world, |protocol| (protocol.resume(direction), Effects::default()))?.ok();
                self.watch.has_looked_again(direction, self, world)?;
            }
            Owner::RetryNow => {
                self.input(world, |protocol| ((), protocol.retry_now()))?.ok();
                self.both_look_again(world)?;
                self.watch.pull_is_owed(&self.protocol);
            }
            Owner::Override => {
                self.input(world, |protocol| ((), protocol.override_retry_after()))?.ok();
                self.both_look_again(world)?;
                self.watch.pull_is_owed(&self.protocol);
            }
            Owner::Restart => {
                if self.has_failed() {
                    world.seen.count("restart after a failure");
                }
                self.watch.restarts(matches!(self.protocol.push(), Push::Failed { .. }));
                (self.refused, self.fits) = (None, None);
                self.input(world, |protocol| ((), protocol.restart()))?.ok();
                prop_assert!(!self.has_failed(), "it was restarted: {}", self.told());
                self.both_look_again(world)?;
            }
            Owner::Reset => self.reset(world)?,
            Owner::ResetWith => self.reset_with(world)?,
            Owner::Reconnect => {
                self.watch.ends_calls = true;
                self.input(world, |protocol| ((), protocol.reconnect()))?.ok();
                let ends =
                    self.push.iter().all(|call| call.interrupted) && self.pull.iter().all(|call| call.interrupted);
                prop_assert!(ends, "a call goes on: {}", self.told());
                self.both_look_again(world)?;
                self.watch.pull_is_owed(&self.protocol);
            }
            Owner::GiveUp(which) => self.give_up(which, world)?,
            Owner::RetryRejected => {
                self.refused = None;
                self.input(world, |protocol| ((), protocol.retry_rejected()))?.ok();
            }
            Owner::Stop => {
                world.seen.count("stop");
                self.watch.ends_calls = true;
                self.input(world, |protocol| ((), protocol.stop()))?.ok();
            }
        }
        self.after(world)
    }

    fn both_look_again(&self, world: &World<'_>) -> TestCaseResult {
        self.watch.has_looked_again(Direction::Push, self, world)?;
        self.watch.has_looked_again(Direction::Pull, self, world)
    }

    fn reset(&mut self, world: &mut World<'_>) -> TestCaseResult {
        world.seen.count("reset");
        if self.push.is_some() && self.pull.is_some() {
            world.seen.count("reset with calls in flight");
        }
        let anew = log(self.setup, &self.panics);
        let former = self.protocol.log().clone();
        self.life += 1;
        self.lives.push(Life { number: self.life, committed: Vec::new(), given_up: Vec::new() });
        self.settled.clear();
        (self.refused, self.fits) = (None, None);
        self.watch.begins_anew();
        let returned = self.input(world, |protocol| protocol.reset(anew))?.ok();
        prop_assert_eq!(returned.as_ref(), Some(&former), "the log as it was");
        // A lost echo was the former log's.
        self.pull.iter_mut().for_each(|call| call.lost = false);
        super::oracle::nothing_of_the_former_log_counts(self)
    }

    /// Another log goes on with what is pending, and with what may have been taken.
    fn reset_with(&mut self, world: &mut World<'_>) -> TestCaseResult {
        world.seen.count("reset, and goes on");
        let open = self
            .push
            .as_ref()
            .filter(|call| self.protocol.is_sending(&call.batch) && self.watch.is_open(&call.batch, &self.settled));
        if open.is_some() {
            world.seen.count("reset, and goes on with a push in flight");
        }
        self.watch.goes_on(open.map(|call| call.batch.base));
        let (anew, former) = (self.protocol.log().clone(), self.protocol.log().clone());
        (self.refused, self.fits) = (None, None);
        let returned = self.input(world, |protocol| protocol.reset_with(anew))?.ok();
        prop_assert_eq!(returned.as_ref(), Some(&former), "the log as it was");
        self.pull.iter_mut().for_each(|call| call.lost = false);
        Ok(())
    }

    /// The owner gives up one of the events that are to be sent. What is only said of them after a lie is not looked at.
    fn give_up(&mut self, which: u8, world: &mut World<'_>) -> TestCaseResult {
        let pending = self.protocol.log().pending();
        if pending == 0 || self.watch.deceived || !self.late.is_empty() {
            return Ok(());
        }
        let index = usize::from(which) % pending;
        self.watch.gives_up = true;
        let told = self.input(world, |protocol| match protocol.give_up(index..index + 1) {
            Ok((given_up, effects)) => (Ok(given_up.len()), effects),
            Err(error) => (Err(error), Effects::default()),
        })?;
        self.watch.gives_up = false;
        match told {
            Ok(Ok(count)) => {
                prop_assert_eq!(count, 1);
                world.seen.count("given up");
            }
            Ok(Err(DecisionError::Sent(sent))) => {
                world.seen.count("not given up, for it may have been taken");
                prop_assert!(index < sent && (self.push.is_some() || self.protocol.is_uncertain()), "{}", self.told());
            }
            other => return Err(TestCaseError::fail(format!("it is not given up: {other:?}"))),
        }
        Ok(())
    }

    /// When everything has come to rest.
    pub fn has_drained(&self, upstream: &Upstream) -> TestCaseResult {
        if self.is_stopped() {
            return Ok(());
        }
        prop_assert_eq!(self.protocol.log().pending(), 0, "it does not drain: {}", self.told());
        prop_assert!(!self.watch.owes_a_pull(), "a pull that was asked for has not begun: {}", self.told());
        let knows_all = self.cursor() == upstream.head();
        prop_assert!(knows_all || !self.setup.live, "not up to {}: {}", upstream.head(), self.told());
        Ok(())
    }
}

/// A log that panics when it is told to.
fn log(setup: Setup, panics: &Arc<Panics>) -> AnyLog {
    let panics = Arc::clone(panics);
    let mood = move |method| {
        let Panics { method: next, armed } = &*panics;
        let (this, relaxed) = (method as u8, Ordering::Relaxed);
        if armed.load(relaxed) && next.compare_exchange(this, 0, relaxed, relaxed).is_ok() {
            panic_any(INJECTED);
        }
    };
    AnyLog::new(setup.kind, Arc::new(mood))
}
