//! The calls that a driver makes, and what upstream does with them.

use latchwork::log::MemoryLog;
use latchwork::protocol::{Effects, Fate, NextPull, NextPush, Push, Time};
use latchwork::upstream::{Batch, FatalKind, More, Page, PullError, PushError};

use super::client::{Client, Core, LATER, NOW, PullCall, PushCall, World, confirmed_of, entries};
use super::laws::Law;
use super::model::{Event, author, event};

/// What comes of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    Taken,
    Behind(Option<u64>),
    Unavailable,
    /// Unavailable, and not to be tried again for a while.
    Busy,
    Uncertain,
    Fatal,
}

impl Answer {
    const ALL: [Self; 6] =
        [Self::Taken, Self::Behind(None), Self::Unavailable, Self::Busy, Self::Uncertain, Self::Fatal];

    fn outcome(self) -> Result<(), PushError<u64>> {
        Err(match self {
            Self::Taken => return Ok(()),
            Self::Behind(head) => PushError::Behind { head },
            Self::Unavailable => PushError::Unavailable { retry_after: None, error: "away".into() },
            Self::Busy => PushError::Unavailable { retry_after: Some(LATER), error: "busy".into() },
            Self::Uncertain => PushError::Uncertain { error: "no answer".into() },
            Self::Fatal => PushError::Fatal { kind: FatalKind::Other, error: "fatal".into() },
        })
    }
}

pub fn disconnected() -> PullError {
    PullError::Unavailable { retry_after: None, error: "away".into() }
}

/// Upstream gets a batch.
fn take(batch: &Batch<MemoryLog<Event>>, world: &mut World<'_>) -> Answer {
    let head = world.upstream.len() as u64;
    if batch.base != head && !world.config.takes_anything {
        return Answer::Behind(world.config.tells_head.then_some(head));
    }
    world.upstream.extend(batch.entries.iter().map(|entry| entry.event));
    let of = |id: u8| world.upstream.iter().copied().filter(move |&event| author(event) == id);
    let in_order = |id| of(id).eq((0..confirmed_of(id, world.upstream)).map(|number| event(id, number)));
    world.broken.unless((0..world.config.clients()).all(in_order), Law::OnlyAcknowledged);
    Answer::Taken
}

impl Client {
    pub(super) fn send(&mut self, now: Time, world: &mut World<'_>) {
        let protocol = &mut self.protocol;
        let NextPush::Send(batch) = protocol.next_push(now) else {
            // It had to be asked twice for the same: a driver that waits will not ask a second time.
            self.asleep = matches!(protocol.clone().next_push(NOW), NextPush::Send(_));
            return world.broken.unless(!self.asleep, Law::NothingSwallowed);
        };
        let cursor = self.cursor();
        let confirmed = confirmed_of(self.id, &world.upstream[..cursor.min(world.upstream.len())]);
        let sent = batch.entries.iter().map(|entry| (entry.position, entry.event));
        let numbers = confirmed..self.committed.min(confirmed + world.config.batch);
        let first = (cursor as u64 + 1..).zip(numbers.map(|number| event(self.id, number)));
        world.broken.unless(batch.base == cursor as u64 && sent.eq(first), Law::SendsPending);
        world.broken.unless(self.unresolved.is_none(), Law::PrefixIsResolved);
        self.push = Some(PushCall { batch, answer: None, interrupted: false });
    }

    pub(super) fn arrive(&mut self, world: &mut World<'_>) {
        if let Some(call) = &mut self.push {
            call.answer = Some(take(&call.batch, world));
        }
    }

    /// A push that nobody waits for any more reaches upstream after all.
    pub(super) fn arrive_late(&mut self, index: usize, world: &mut World<'_>) {
        let batch = self.late.remove(index);
        take(&batch, world);
    }

    /// The client will not learn what comes of its push. Upstream may still get it.
    pub(super) fn lose_push(&mut self) {
        if let Some(call) = &mut self.push {
            if call.answer.is_none() {
                self.late.push(call.batch.clone());
            }
            call.answer = Some(Answer::Uncertain);
        }
    }

    pub(super) fn answer(&mut self, world: &mut World<'_>) {
        let Some(PushCall { batch, answer: Some(answer), .. }) = self.push.take() else { return };
        let overtaken = matches!(self.protocol.push(), Push::Sending { fate: Fate::Overtaken | Fate::Confirmed, .. });
        let report = |protocol: &mut Core| protocol.push_ended(batch.clone(), answer.outcome(), 0, NOW);
        self.told = answer == Answer::Fatal;
        self.input(world, |protocol| report(protocol).unwrap_or_default());
        if answer == Answer::Uncertain && !overtaken {
            self.unresolved = Some(false);
        }
        if let Push::Behind { since, .. } = *self.protocol.push() {
            world.broken.unless(since == self.protocol.epoch(), Law::SameEpoch);
        }
        world.broken.unless(self.ignores_push(&batch), Law::StaleChangesNothing);
    }

    /// Whether an outcome of a push that has ended is ignored, now and when the next one is under way.
    fn ignores_push(&self, batch: &Batch<MemoryLog<Event>>) -> bool {
        let mut next = self.protocol.clone();
        let _asked = next.next_push(LATER);
        [&self.protocol, &next].into_iter().all(|protocol| {
            !protocol.is_sending(batch)
                && Answer::ALL.into_iter().all(|answer| {
                    let mut told = protocol.clone();
                    let effects = told.push_ended(batch.clone(), answer.outcome(), 0, NOW);
                    effects.is_ok_and(|effects| effects == Effects::default()) && told == *protocol
                })
        })
    }

    pub(super) fn begin_pull(&mut self, world: &mut World<'_>) {
        let NextPull::Pull { ticket, cursor } = self.protocol.next_pull(LATER) else { return };
        let given = self.cursor();
        world.broken.unless(cursor == given as u64, Law::CursorIsApplied);
        world.broken.unless(self.ignores_pull(ticket - 1, world.upstream), Law::StaleChangesNothing);
        self.pull = Some(PullCall { given, page: None, caught_up: false, lost: false, interrupted: false });
        self.pull_ticket = ticket;
        self.unresolved = self.unresolved.map(|_| true);
    }

    /// Whether what an earlier pull brings is ignored.
    fn ignores_pull(&self, ticket: u64, upstream: &[Event]) -> bool {
        let mut told = self.protocol.clone();
        let page = Page { entries: entries(upstream, self.cursor(), upstream.len()), more: More::None };
        let effects = told.page_pulled(ticket, page, 0, NOW);
        let ends = [Ok(()), Err(disconnected())].map(|end| told.pull_ended(ticket, end, 0, NOW));
        let nothing = |effects: &Effects<_>| *effects == Effects::default();
        effects.is_ok_and(|effects| nothing(&effects)) && ends.iter().all(nothing) && told == self.protocol
    }

    /// The client gets the page, for the last time or not.
    pub(super) fn page(&mut self, last: bool, world: &mut World<'_>) {
        let Some(PullCall { given, page: Some((from, all)), lost, .. }) = self.pull else { return };
        let more = if all { More::None } else { More::Unknown };
        let page = Page { entries: entries(world.upstream, from, given), more };
        let (ticket, mut refused) = (self.pull_ticket, false);
        self.input(world, |protocol| {
            protocol.page_pulled(ticket, page, 0, NOW).unwrap_or_else(|told| {
                refused = true;
                told.effects
            })
        });
        let pulling = self.protocol.is_pulling(ticket);
        let applied = if refused { lost && !pulling } else { self.cursor() >= given };
        world.broken.unless(applied, Law::PageIsApplied);
        match &mut self.pull {
            Some(call) if pulling => {
                call.caught_up |= all;
                if last {
                    call.page = None;
                }
                self.unresolved = self.unresolved.filter(|&begun| !(begun && all));
            }
            pull => {
                *pull = None;
                self.unresolved = self.unresolved.map(|_| false);
            }
        }
    }

    pub(super) fn end_pull(&mut self, outcome: Result<(), PullError>, world: &mut World<'_>) {
        self.pull = None;
        self.unresolved = self.unresolved.map(|_| false);
        let ticket = self.pull_ticket;
        self.input(world, |protocol| protocol.pull_ended(ticket, outcome, 0, NOW));
    }
}
