//! The calls that a driver makes, and what comes of them.

use latchwork::protocol::{Effects, Failure, Fate, Next, Pull, Push, Time};
use latchwork::upstream::{Batch, FatalKind, More, Page, PullError, PushError};

use super::client::{Client, Core, NAMED, NOW, PullCall, PushCall, Unresolved, World, bits, events};
use super::log::Ledger;
use super::properties::Property;
use super::upstream::Upstream;

/// What comes of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    Taken,
    Behind(Option<u64>),
    Unavailable,
    /// Unavailable, and not to be tried again before a time that it names.
    Busy,
    Uncertain,
    /// The same, from what stands before upstream and names a time.
    Timeout,
    /// It refuses one event of the batch for good.
    Rejected(usize),
    TooLarge,
    Fatal,
}

impl Answer {
    const ALL: [Self; 9] = [
        Self::Taken,
        Self::Behind(None),
        Self::Unavailable,
        Self::Busy,
        Self::Uncertain,
        Self::Timeout,
        Self::Rejected(0),
        Self::TooLarge,
        Self::Fatal,
    ];

    /// Whether it names a time.
    fn names(self) -> bool {
        matches!(self, Self::Busy | Self::Timeout)
    }

    /// Whether upstream may have the batch after all.
    pub fn is_uncertain(self) -> bool {
        matches!(self, Self::Uncertain | Self::Timeout)
    }

    fn outcome(self) -> Result<(), PushError<u64>> {
        Err(match self {
            Self::Taken => return Ok(()),
            Self::Behind(head) => PushError::Behind { head },
            Self::Unavailable => PushError::Unavailable { retry_after: None, error: "away".into() },
            Self::Busy => PushError::Unavailable { retry_after: Some(NAMED), error: "busy".into() },
            Self::Uncertain => PushError::Uncertain { error: "no answer".into() },
            Self::Timeout => PushError::Uncertain { error: "504".into() }.retry_after(NAMED),
            Self::Rejected(index) => PushError::Rejected { index, error: "invalid".into() },
            Self::TooLarge => PushError::TooLarge { error: "413".into() },
            Self::Fatal => PushError::Fatal { kind: FatalKind::Other, error: "fatal".into() },
        })
    }
}

/// How a pull ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    CaughtUp,
    Disconnected,
    /// Not to be tried again before a time that it names.
    Busy,
    Fatal,
}

impl End {
    const ALL: [Self; 4] = [Self::CaughtUp, Self::Disconnected, Self::Busy, Self::Fatal];

    fn outcome(self) -> Result<(), PullError> {
        Err(match self {
            Self::CaughtUp => return Ok(()),
            Self::Disconnected => PullError::Unavailable { retry_after: None, error: "away".into() },
            Self::Busy => PullError::Unavailable { retry_after: Some(NAMED), error: "busy".into() },
            Self::Fatal => PullError::Fatal { kind: FatalKind::Other, error: "fatal".into() },
        })
    }
}

/// What a call that panics fails with.
pub fn panicked() -> Failure {
    Failure::Panicked { message: "injected".into() }
}

impl Client {
    pub(super) fn send(&mut self, now: Time, world: &mut World<'_>) {
        let mut next = Next::Stop;
        let lied = self.input(world, |protocol| {
            next = protocol.next_push(now);
            Effects::default()
        });
        let Next::Do(batch) = next else {
            // It had to be asked twice for the same: a driver that waits will not ask a second time.
            self.asleep = matches!(self.protocol.clone().next_push(NOW), Next::Do(_));
            return world.broken.unless(!self.asleep || lied, Property::NothingSwallowed);
        };
        let base = self.cursor() as u64;
        let sent = batch.entries.iter().map(|entry| (entry.position, entry.event));
        let most = self.fits.map_or(world.config.batch, |fits| fits.min(world.config.batch));
        let may_be_sent = self.rest(world.upstream).take_while(|&event| self.refused != Some(event));
        let is_first = sent.eq((base + 1..).zip(may_be_sent.take(most.min(self.protocol.durable()))));
        world.broken.unless(batch.base == base && is_first, Property::SendsPending);
        let before = self.refused.map_or(usize::MAX, |refused| refused.place());
        let passes = events(&batch).any(|event| event.place() >= before);
        world.broken.unless(!passes, Property::RefusedBlocks);
        // Of a push that has been passed no event can be taken twice.
        let resolved = self.unresolved.as_ref().is_none_or(|push| push.base as u64 != base);
        world.broken.unless(resolved || world.config.idempotent, Property::PrefixIsResolved);
        world.broken.unless(now >= NAMED || !self.named[0], Property::NotBeforeNamed);
        self.sends_what_is_durable(events(&batch), world);
        self.named[0] = false;
        self.counts_call(0, world);
        self.push =
            Some(PushCall { batch, answer: None, hangs: false, interrupted: false, former: false, restarted: false });
    }

    pub(super) fn arrive(&mut self, world: &mut World<'_>) {
        if let Some(call) = &mut self.push {
            call.answer = Some(world.upstream.take(&call.batch, world.config));
            self.stands_in_order(world);
        }
    }

    /// A push that is not waited for any more reaches upstream after all.
    pub(super) fn arrive_late(&mut self, index: usize, world: &mut World<'_>) {
        let batch = self.late.remove(index);
        if world.upstream.take(&batch, world.config) == Answer::Taken {
            self.untold |= bits(events(&batch));
        }
        self.stands_in_order(world);
    }

    /// Upstream has its events in the order in which they were committed, none twice and none left out.
    fn stands_in_order(&self, world: &mut World<'_>) {
        let own = || world.upstream.events.iter().filter(|event| event.author() == self.id);
        let last = own().last().map_or(0, |last| last.place());
        let there = |event: &_| own().any(|other| other == event);
        let complete = (0..last).map(|number| self.event(number)).all(|event| !self.owes(event) || there(&event));
        world.broken.unless(own().is_sorted_by_key(|event| event.place()) && complete, Property::OnlyAcknowledged);
        let once = own().zip(own().skip(1)).all(|(one, next)| one != next);
        world.broken.unless(once, Property::OnlyAcknowledged);
    }

    /// The client will not learn what comes of its push. Upstream may still get it.
    pub(super) fn lose_push(&mut self) {
        if let Some(call) = &mut self.push {
            if call.answer.is_none() {
                self.late.push(call.batch.clone());
            }
            (call.answer, call.hangs) = (Some(Answer::Uncertain), false);
        }
    }

    pub(super) fn answer(&mut self, world: &mut World<'_>) {
        let Some(PushCall { batch, answer: Some(answer), former, restarted, .. }) = self.push.take() else { return };
        let before = self.protocol.clone();
        let open = !former && matches!(before.push(), Push::Sending { fate: Fate::Open, .. });
        // A head before the batch's base: upstream has lost events that it had given out.
        let went_back = open && matches!(answer, Answer::Behind(Some(head)) if head < batch.base);
        let refuses_none = open && matches!(answer, Answer::Rejected(index) if index >= batch.entries.len());
        let fatal = went_back || refuses_none || answer == Answer::Fatal && !former;
        self.told = fatal && !restarted;
        self.halted[0] |= self.told;
        self.named[0] |= answer.names();
        // What a call of before a restart says is no reason to hold anything back.
        if open && !restarted {
            self.holds_back(&batch, answer);
        }
        // Whether it counts for the log that has taken the place of its own.
        let kept = self.lands() || before.is_uncertain();
        let told = batch.clone();
        let lied =
            self.input(world, |protocol| protocol.push_ended(told, answer.outcome(), 0, NOW).unwrap_or_default());
        let unknown = match answer {
            _ if answer.is_uncertain() => open,
            // By upstream, and not by a log that has lied.
            Answer::Taken => open && lied,
            _ => false,
        };
        if unknown {
            self.doubts(&batch, world);
        }
        let failed = matches!(self.protocol.push(), Push::Failed { .. });
        world.broken.unless(!(fatal && restarted && failed) || self.halted[0], Property::LateStopsNothing);
        if let Push::Behind { since, .. } = *self.protocol.push() {
            world.broken.unless(since == self.protocol.epoch(), Property::SameEpoch);
        }
        if former && !kept {
            world.broken.unless(self.forgot_push(&before, &batch, answer), Property::FormerIsNothing);
        }
        world.broken.unless(self.ignores_push(&batch), Property::StaleChangesNothing);
    }

    /// Whether nothing has come of the answer to a push for a former log, but for the time that it has named.
    fn forgot_push(&self, before: &Core, batch: &Batch<Ledger>, answer: Answer) -> bool {
        let waits = match (before.push(), self.protocol.push()) {
            (Push::Sending { failed: Some(before), .. }, Push::Failed { error }) => before == error,
            (Push::Sending { .. }, now) => *now == Push::Idle,
            // Another failure than the answer's.
            (before, now) => before == now,
        };
        let same = before.log() == self.protocol.log()
            && before.pull() == self.protocol.pull()
            && before.epoch() == self.protocol.epoch()
            && before.is_uncertain() == self.protocol.is_uncertain();
        let is_as_any_other = Answer::ALL.into_iter().filter(|other| !other.names()).all(|other| {
            let mut told = before.clone();
            let effects = told.push_ended(batch.clone(), other.outcome(), 0, NOW);
            let same = answer.names() || told.canonical() == self.protocol.canonical();
            effects.is_ok_and(|effects| effects == Effects::default()) && same
        });
        waits && same && is_as_any_other
    }

    /// Whether an outcome of a push that has ended is ignored, now and when the next one is under way.
    fn ignores_push(&self, batch: &Batch<Ledger>) -> bool {
        let mut next = self.protocol.clone();
        let _asked = next.next_push(NAMED);
        [&self.protocol, &next].into_iter().all(|protocol| {
            !protocol.is_sending(batch)
                && Answer::ALL.into_iter().all(|answer| {
                    let mut told = protocol.clone();
                    let effects = told.push_ended(batch.clone(), answer.outcome(), 0, NOW);
                    effects.is_ok_and(|effects| effects == Effects::default()) && told == *protocol
                })
        })
    }

    /// Notes what upstream's answer to a push that nothing has decided keeps from being sent.
    fn holds_back(&mut self, batch: &Batch<Ledger>, answer: Answer) {
        let count = batch.entries.len();
        let refused = match answer {
            Answer::Rejected(index) => batch.entries.get(index),
            Answer::TooLarge => {
                self.fits = Some(count / 2).filter(|&fits| fits > 0);
                // It is the event that is too large, and not the batch.
                batch.entries.first().filter(|_| count == 1)
            }
            _ => None,
        };
        if let Some(entry) = refused.filter(|entry| self.protocol.log().all().contains(&entry.event)) {
            (self.refused, self.told) = (Some(entry.event), true);
        }
    }

    /// The push has ended. Returns whether it may have been taken for a log that has been replaced by one that goes on with it.
    fn lands(&mut self) -> bool {
        self.unresolved.as_mut().is_some_and(|push| std::mem::take(&mut push.under_way))
    }

    pub(super) fn panic_push(&mut self, world: &mut World<'_>) {
        self.lose_push();
        let Some(PushCall { batch, former, restarted, .. }) = self.push.take() else { return };
        let open = !former && matches!(self.protocol.push(), Push::Sending { fate: Fate::Open, .. });
        self.lands();
        self.told = !former && !restarted;
        self.halted[0] |= self.told;
        if open {
            self.doubts(&batch, world);
        }
        self.input(world, |protocol| protocol.push_panicked(batch, panicked()));
        let stopped = matches!(self.protocol.push(), Push::Failed { error } if *error == panicked());
        let property = if former { Property::FormerIsNothing } else { Property::LateStopsNothing };
        world.broken.unless(!stopped || self.halted[0], property);
    }

    /// The outcome of this push is unknown, unless what has been applied meanwhile has decided it.
    fn doubts(&mut self, batch: &Batch<Ledger>, world: &World<'_>) {
        self.may_be_taken(Unresolved::new(batch), world);
    }

    /// The outcome of this push is unknown, and that of an earlier one may be.
    pub(super) fn may_be_taken(&mut self, push: Unresolved, world: &World<'_>) {
        let cursor = self.cursor();
        let pushes = [self.unresolved.take(), Some(push)].into_iter().flatten();
        let pushes = pushes.filter(|push| push.is_open(cursor, world.upstream));
        // The latest reaches as far as any, or is the first part of one before it.
        self.unresolved = pushes.reduce(|before, push| {
            let unsure = before.unsure || push.unsure;
            Unresolved { unsure, ..if push.end() >= before.end() { push } else { before } }
        });
    }

    /// The pull says that it has shown everything, or does not; and goes on, or does not.
    fn hears_all(&mut self, all: bool, goes_on: bool) {
        self.unresolved = self.unresolved.take().filter(|push| !(push.begun && all));
        self.unresolved.iter_mut().for_each(|push| push.begun &= goes_on);
    }

    pub(super) fn begin_pull(&mut self, now: Time, world: &mut World<'_>) {
        let Next::Do((ticket, cursor)) = self.protocol.next_pull(now) else {
            let over = !matches!(self.protocol.pull(), Pull::Waiting { .. });
            return world.broken.unless(over, Property::RetryLeadsToAttempt);
        };
        let given = self.cursor();
        world.broken.unless(cursor == given as u64, Property::CursorIsApplied);
        self.pulls_from_what_is_durable(cursor, world);
        world.broken.unless(self.ignores_pull(ticket - 1, world.upstream), Property::StaleChangesNothing);
        world.broken.unless(now >= NAMED || !self.named[1], Property::NotBeforeNamed);
        self.named[1] = false;
        self.counts_call(1, world);
        self.pull = Some(PullCall { given, ..PullCall::default() });
        self.pull_ticket = ticket;
        self.unresolved.iter_mut().for_each(|push| push.begun = !push.under_way);
    }

    /// Whether what an earlier pull brings is ignored.
    fn ignores_pull(&self, ticket: u64, upstream: &Upstream) -> bool {
        let mut told = self.protocol.clone();
        let page = Page { entries: upstream.entries(self.cursor(), upstream.events.len()), more: More::None };
        let effects = told.page_pulled(ticket, page, 0, NOW);
        let ends = End::ALL.map(|end| told.pull_ended(ticket, end.outcome(), 0, NOW));
        let nothing = |effects: &Effects<_>| *effects == Effects::default();
        effects.is_ok_and(|effects| nothing(&effects)) && ends.iter().all(nothing) && told == self.protocol
    }

    /// The client gets the page, for the last time or not.
    pub(super) fn page(&mut self, last: bool, world: &mut World<'_>) {
        let Some(PullCall { given, page: Some((from, all)), lost, former, .. }) = self.pull else { return };
        let more = if all { More::None } else { More::Unknown };
        let page = Page { entries: world.upstream.entries(from, given), more };
        let (ticket, mut refused, before) = (self.pull_ticket, false, self.protocol.clone());
        let lied = self.input(world, |protocol| {
            protocol.page_pulled(ticket, page, 0, NOW).unwrap_or_else(|told| {
                refused = true;
                told.effects
            })
        });
        if former {
            world.broken.unless(before == self.protocol, Property::FormerIsNothing);
        }
        let pulling = self.protocol.is_pulling(ticket);
        let nothing = former || from == given || lied && !pulling;
        let applied = if refused { lost && !pulling } else { nothing || self.cursor() >= given };
        world.broken.unless(applied, Property::PageIsApplied);
        if let Some(call) = &mut self.pull {
            call.caught_up |= all && (pulling || former);
            if last || !(pulling || former) {
                call.page = None;
            }
        }
        self.hears_all(pulling && all, pulling);
    }

    pub(super) fn end_pull(&mut self, end: End, now: Time, world: &mut World<'_>) {
        let Some(PullCall { former, restarted, caught_up, .. }) = self.pull.take() else { return };
        let ticket = self.pull_ticket;
        let before = self.protocol.clone();
        let pulling = before.is_pulling(ticket);
        self.told = end == End::Fatal && !former && !restarted;
        self.halted[1] |= self.told;
        self.named[1] |= end == End::Busy;
        self.input(world, |protocol| protocol.pull_ended(ticket, end.outcome(), 0, now));
        self.hears_all((caught_up || end == End::CaughtUp) && pulling, false);
        self.has_ended_pull(&before, former, end == End::Busy, world);
    }

    pub(super) fn panic_pull(&mut self, world: &mut World<'_>) {
        let Some(PullCall { former, restarted, .. }) = self.pull.take() else { return };
        let ticket = self.pull_ticket;
        let before = self.protocol.clone();
        self.told = !former && !restarted;
        self.halted[1] |= self.told;
        self.input(world, |protocol| {
            protocol.pull_panicked(ticket, panicked());
            Effects::default()
        });
        self.hears_all(false, false);
        self.has_ended_pull(&before, former, false, world);
    }

    /// Nothing has come of the end of a pull for a former log, but for the time that it has named; and nothing has been
    /// stopped by one of before.
    fn has_ended_pull(&self, before: &Core, former: bool, names: bool, world: &mut World<'_>) {
        let failed = matches!(self.protocol.pull(), Pull::Failed { .. });
        world.broken.unless(!failed || self.halted[1], Property::LateStopsNothing);
        let waits = *self.protocol.pull() == Pull::Idle;
        let mut other = before.clone();
        let ended = other.pull_ended(self.pull_ticket, End::Disconnected.outcome(), 0, NOW);
        let same = before.log() == self.protocol.log()
            && before.push() == self.protocol.push()
            && before.epoch() == self.protocol.epoch()
            && before.is_uncertain() == self.protocol.is_uncertain()
            && (names || other.canonical() == self.protocol.canonical())
            && ended == Effects::default();
        world.broken.unless(!former || waits && same, Property::FormerIsNothing);
    }
}
