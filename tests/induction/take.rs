//! What a step does: the calls of a driver, and what becomes of upstream.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use latchwork::log::{Log as _, Merged};
use latchwork::protocol::{Delay, Effects, Failure, Fate, Next, Protocol, Pull, Push};
use latchwork::upstream::{FatalKind, More, Page as UpstreamPage, PullError, PushError};

use super::oracle::{Entry, MOST, Manner, Oracle, Position};
use super::state::{Config, Doubt, LATER, NOW, Part, PullCall, PushCall, Rejected, State, index, settings};
use super::steps::{Answer, Foreign, Goes, Head, Page, PullEnd, Step, Wait};
use latchwork::protocol::Direction::{self, Pull as Pulling, Push as Pushing};

/// A number that no page of a few events comes to.
const FAR: usize = 1 << 20;

/// What a step came to.
#[derive(Debug, Clone)]
pub struct Taken {
    pub state: State,
    pub interrupts_push: bool,
    pub interrupts_pull: bool,
    /// The log has refused the page.
    pub refused: bool,
    /// A driver was told to wait, and would be told otherwise if it asked once more.
    pub swallowed: bool,
    /// A pull has caught up for the first time since one could not reach upstream, and the pusher
    /// goes on waiting for that, though it may go on.
    pub uncut: bool,
    /// The number of the page's last event.
    pub page_end: Option<Position>,
    /// What the puller was told to begin from.
    pub cursor: Option<Position>,
    /// What was given up was told or counted wrongly.
    pub miscounted: bool,
}

fn time_of(late: bool) -> Duration {
    if late { LATER } else { NOW }
}

fn asked(wait: Wait) -> Duration {
    match wait {
        Wait::Nothing => NOW,
        Wait::Long => LATER,
    }
}

fn panicked() -> Failure {
    Failure::Panicked { message: "a call".into() }
}

impl State {
    /// So many of the first pending events are confirmed, and of the others so many of the first are given up.
    fn settles(&mut self, confirmed: usize, dropped: usize) {
        self.blocked = self.blocked.and_then(|blocked| blocked.checked_sub(confirmed + dropped));
    }

    /// The owner has decided about this one of the pending events: if it was refused, a push is as the first.
    fn is_decided(&mut self, event: usize) {
        if self.blocked.take_if(|blocked| *blocked == event).is_some() {
            (self.failed[index(Pushing)], self.rejected) = Default::default();
        }
    }

    /// What the owner decides about is not what a push carried that may come late, unless that is in doubt.
    fn forgets_late(&mut self) {
        if self.doubt.unseen == 0 {
            self.late = [false; MOST];
        }
    }

    /// Takes a step.
    pub fn take(&self, step: Step, config: &Config) -> Taken {
        let mut taken = Taken {
            state: self.clone(),
            interrupts_push: false,
            interrupts_pull: false,
            refused: false,
            swallowed: false,
            uncut: false,
            page_end: None,
            cursor: None,
            miscounted: false,
        };
        let head = self.head();
        taken.step(step, config);
        let state = &mut taken.state;
        if state.head() != head {
            (state.late, state.rejected) = Default::default();
        }
        state.protocol.log().will(Manner::Advance);
        state.settle();
        if !config.counts {
            state.protocol.forget_overtaken();
        }
        taken
    }
}

impl Taken {
    fn step(&mut self, step: Step, config: &Config) {
        match step {
            Step::Send(manner) => self.send(NOW, manner),
            Step::PushTime => {
                self.state.named[index(Pushing)] = false;
                self.input(|protocol| protocol.tick(LATER));
                self.send(LATER, Manner::Advance);
            }
            Step::BeginPull => self.begin_pull(NOW),
            Step::PullTime => {
                self.state.named[index(Pulling)] = false;
                self.begin_pull(LATER);
            }
            Step::Take => {
                let state = &mut self.state;
                let call = state.push.as_mut().expect("a push is under way");
                call.taken = true;
                state.own = call.batch.entries.len();
            }
            Step::LateTake(count) => self.state.own = count,
            Step::Answer(answer) => self.answer(answer),
            Step::Page(page) => self.page(page),
            Step::Says(more, late) => self.says(more, late),
            Step::PullEnds(end, late) => self.end_pull(end, late),
            Step::LoseEcho(part) => self.state.pull.as_mut().expect("a pull is under way").lost = part,
            Step::Another => self.state.foreign = true,
            Step::Commit(count, manner) => {
                self.state.protocol.log().will(manner);
                self.state.protocol.commit(vec![(); count]).expect("there is no end of numbers");
            }
            Step::Pause(direction) => {
                self.state.paused[index(direction)] = true;
                self.input(|protocol| protocol.pause(direction));
            }
            Step::Resume(direction) => {
                self.state.paused[index(direction)] = false;
                self.state.failed[index(direction)] = false;
                self.state.rejected =
                    Rejected { counted: self.state.rejected.counted && direction == Pulling, unheard: false };
                self.state.protocol.resume(direction);
            }
            Step::RetryNow => {
                (self.state.failed, self.state.rejected) = Default::default();
                self.input(Protocol::retry_now);
            }
            Step::OverrideRetryAfter => {
                self.state.named = [false; 2];
                (self.state.failed, self.state.rejected) = Default::default();
                self.input(Protocol::override_retry_after);
            }
            Step::Restart => {
                let state = &mut self.state;
                (state.failed, state.rejected, state.blocked, state.fits_one) = Default::default();
                state.push.iter_mut().for_each(|call| call.before_restart = true);
                state.pull.iter_mut().for_each(|call| call.before_restart = true);
                self.input(Protocol::restart);
            }
            Step::Reset { pending, own, foreign } => self.reset(pending, own, foreign),
            Step::Stop => self.input(Protocol::stop),
            Step::GiveUp { from, count, rest } => self.give_up(from..from + count, rest),
            Step::Replace(index) => {
                self.state.forgets_late();
                let mut moved = None;
                self.state.is_decided(index);
                self.input(|protocol| {
                    let (_former, effects) = protocol.replace(index, ()).expect("upstream cannot have it");
                    moved.clone_from(&effects.merged);
                    effects
                });
                self.miscounted = !matches!(moved, Some(Merged::Rebase { dropped, .. }) if dropped.is_empty());
            }
            Step::RetryRejected => {
                if let Some(blocked) = self.state.blocked {
                    self.state.is_decided(blocked);
                }
                self.input(Protocol::retry_rejected);
            }
            Step::Reconnect => {
                (self.state.failed, self.state.rejected) = Default::default();
                self.input(Protocol::reconnect);
            }
            Step::ResetWith(goes) => self.reset_with(goes),
            Step::Crash(gone) => self.crash(gone, config),
        }
    }

    /// Gives the protocol an input, and carries out what follows.
    fn input(&mut self, input: impl FnOnce(&mut Protocol<Oracle>) -> Effects<Entry>) {
        let effects = input(&mut self.state.protocol);
        if effects.interrupt_push {
            self.interrupts_push = true;
            self.state.push.iter_mut().for_each(|call| call.interrupted = true);
        }
        if effects.interrupt_pull {
            self.interrupts_pull = true;
            self.state.pull.iter_mut().for_each(|call| call.interrupted = true);
        }
    }

    /// The same of an input under which the log may panic: the driver says which direction has met
    /// it.
    fn contained(&mut self, direction: Direction, input: impl FnOnce(&mut Protocol<Oracle>) -> Effects<Entry>) {
        self.input(|protocol| {
            catch_unwind(AssertUnwindSafe(|| input(protocol))).unwrap_or_else(|_| {
                match direction {
                    Pushing => protocol.push_unsent(panicked()),
                    Pulling => protocol.pull_failed(panicked()),
                }
                let mut effects = Effects::default();
                effects.interrupt_pull = direction == Pulling;
                effects
            })
        });
    }

    fn send(&mut self, now: Duration, manner: Manner) {
        self.state.protocol.log().will(manner);
        let mut next = Next::Wait { until: None };
        self.contained(Pushing, |protocol| {
            next = protocol.next_push(now);
            Effects::default()
        });
        let state = &mut self.state;
        if let Next::Do(batch) = next {
            let (taken, interrupted, before_restart, former, carried) = (false, false, false, false, false);
            state.push = Some(PushCall { batch, taken, interrupted, before_restart, former, carried });
        } else {
            // A wait for more events that begins at the end of time ends there.
            let begins = now == LATER && matches!(state.protocol.push(), Push::Waiting { reason: Delay::Linger, .. });
            self.swallowed = !begins && matches!(state.protocol.clone().next_push(now), Next::Do(_));
        }
    }

    fn begin_pull(&mut self, now: Duration) {
        let state = &mut self.state;
        let Next::Do((ticket, cursor)) = state.protocol.next_pull(now) else {
            self.swallowed = matches!(state.protocol.clone().next_pull(now), Next::Do(_));
            return;
        };
        self.cursor = Some(cursor);
        let owes = match (state.foreign, state.own) {
            (true, _) => Part::Foreign,
            (false, 0) => Part::Nothing,
            (false, _) => Part::Own,
        };
        // One that the former log has sent, and this one goes on with, is still to end.
        let is_to_end = state.push.as_ref().is_some_and(|call| call.carried);
        let after_doubt = state.protocol.is_uncertain() && !is_to_end;
        let (lost, interrupted, before_restart, former) = (Part::Nothing, false, false, false);
        state.pull = Some(PullCall { ticket, owes, after_doubt, lost, interrupted, before_restart, former });
    }

    fn answer(&mut self, answer: Answer) {
        let state = &mut self.state;
        let call = state.push.take().expect("a push is under way");
        let (present, head, base) = (state.is_present(&call), state.head(), call.batch.base);
        let (open, unseen) = match *state.protocol.push() {
            Push::Sending { fate, unconfirmed, .. } if present => (fate == Fate::Open, unconfirmed),
            _ => (false, 0),
        };
        let overtaken = present && matches!(state.protocol.push(), Push::Sending { fate: Fate::Overtaken, .. });
        let given_up = |state: &mut State, gone: bool| {
            if !gone && state.may_come_late(&call) {
                state.late[call.batch.entries.len() - 1] = true;
            }
            if open {
                let open = base == state.head();
                // Unless another event stands where it was to stand.
                let unseen = if open || unseen < call.batch.entries.len() { unseen } else { 0 };
                state.is_in_doubt(Doubt { unseen, open });
            }
        };
        let outcome = match answer {
            Answer::Accepted { rest, manner } => {
                if open {
                    let confirmed = state.news_in(&call);
                    state.protocol.log().holds(confirmed + rest);
                    (state.failed[index(Pushing)], state.rejected, state.has_cut) = Default::default();
                    // A push before it may have been taken with more events.
                    let left = state.doubt.unseen.saturating_sub(confirmed);
                    state.doubt = Doubt { unseen: left, open: false };
                    if manner == Manner::Advance {
                        state.settles(confirmed, 0);
                        state.own = 0;
                    } else {
                        // The log has not got it.
                        state.is_in_doubt(Doubt { unseen, open: true });
                    }
                } else if overtaken {
                    // Upstream should have refused it.
                    state.is_in_doubt(Doubt { unseen, open: false });
                }
                state.protocol.log().will(manner);
                Ok(())
            }
            Answer::Behind(told) => {
                if open {
                    state.rejected = Rejected { counted: true, unheard: true };
                }
                let head = match told {
                    Head::Untold => None,
                    Head::BeforeBase => Some(Position(base.0 - 1)),
                    Head::AtBase => Some(base),
                    Head::Reached => Some(head),
                    Head::Ahead => Some(head.plus(FAR)),
                };
                Err(PushError::Behind { head })
            }
            Answer::Unavailable => {
                state.failed[index(Pushing)] |= open;
                Err(PushError::Unavailable { retry_after: None, error: "away".into() })
            }
            Answer::Busy(wait) => {
                state.failed[index(Pushing)] |= open;
                state.named[index(Pushing)] |= wait == Wait::Long;
                Err(PushError::Unavailable { retry_after: Some(asked(wait)), error: "busy".into() })
            }
            Answer::Uncertain(gone) => {
                given_up(state, gone);
                state.failed[index(Pushing)] |= open;
                Err(PushError::Uncertain { error: "lost".into() })
            }
            Answer::Rejected(index) => {
                let confirmed = call.batch.entries.len() - unseen;
                if open && !call.before_restart && index >= confirmed {
                    state.blocked = Some(index - confirmed);
                }
                Err(PushError::Rejected { index, error: "not this".into() })
            }
            Answer::TooLarge => {
                if open && !call.before_restart {
                    state.fits_one = call.batch.entries.len() > 1;
                    if !state.fits_one {
                        state.blocked = Some(0);
                    }
                }
                Err(PushError::TooLarge { error: "too much".into() })
            }
            Answer::Fatal => Err(PushError::Fatal { kind: FatalKind::Other, error: "no".into() }),
            Answer::Panic(gone) => {
                given_up(state, gone);
                return self.input(|protocol| protocol.push_panicked(call.batch, panicked()));
            }
        };
        self.contained(Pushing, |protocol| protocol.push_ended(call.batch, outcome, 0, NOW).unwrap_or_default());
    }

    fn page(&mut self, page: Page) {
        let state = &mut self.state;
        let (head, count) = (state.head(), page.own + usize::from(page.foreign != Foreign::None));
        let end = match state.awaited_head() {
            Some(target) if page.reaches => target,
            _ => head.plus(count),
        };
        let numbers = (1..count).map(|place| head.plus(place)).chain([end]);
        let news = numbers.zip(0..).map(|(position, place)| Entry { position, own: place < page.own });
        // Something that is known already comes along if the page says that it was all.
        let known = page.says_so.then_some(Entry { position: head, own: false });
        let more = if page.says_so { More::None } else { More::Events(1) };
        let given = UpstreamPage { entries: known.into_iter().chain(news).collect(), more };
        state.protocol.log().holds(page.own + page.rest);
        state.protocol.log().will(page.manner);
        let (ticket, mut refused) = (state.pull.as_ref().expect("a pull is under way").ticket, false);
        if matches!(page.manner, Manner::Advance | Manner::Rebase { .. } | Manner::Break) {
            state.has_cut = false;
        }
        // With the merge a push in doubt becomes one that backs off.
        let in_doubt =
            matches!(self.state.protocol.push(), Push::Uncertain { until, .. } if *until > NOW && !page.late);
        let waited = in_doubt || self.state.waits_for_connection();
        self.contained(Pulling, |protocol| {
            protocol.page_pulled(ticket, given, 0, time_of(page.late)).unwrap_or_else(|told| {
                refused = true;
                told.effects
            })
        });
        (self.refused, self.page_end) = (refused, Some(end));
        self.state.refused |= refused;
        // It counts as a merge, whatever the log has made of it.
        if page.manner == Manner::Break {
            (self.state.rejected, self.state.refused) = Default::default();
        }
        if !matches!(page.manner, Manner::Advance | Manner::Rebase { .. }) {
            return;
        }
        if page.says_so {
            self.connects(waited);
        }
        let state = &mut self.state;
        state.refused = false;
        state.settles(page.own, if let Manner::Rebase { dropped } = page.manner { dropped } else { 0 });
        state.own -= page.own;
        state.foreign &= page.foreign != Foreign::Rest;
        state.failed[index(Pulling)] = false;
        if let Push::Sending { fate: Fate::Confirmed, .. } = state.protocol.push() {
            (state.failed[index(Pushing)], state.rejected, state.has_cut) = Default::default();
        }
        let unseen = state.doubt.unseen.saturating_sub(page.own);
        state.doubt = Doubt { unseen: if page.own == 0 { 0 } else { unseen }, open: false };
        let pull = state.pull.as_mut().expect("a pull is under way");
        if page.all || page.says_so {
            pull.owes = Part::Nothing;
        }
        if page.says_so && pull.after_doubt {
            state.doubt = Doubt::default();
        }
    }

    fn says(&mut self, more: More, late: bool) {
        let pull = self.state.pull.as_mut().expect("a pull is under way");
        let page = UpstreamPage { entries: Vec::new(), more };
        if more == More::None {
            pull.owes = Part::Nothing;
        }
        let (ticket, after_doubt) = (pull.ticket, pull.after_doubt);
        if more == More::None && after_doubt {
            self.state.doubt = Doubt::default();
        }
        let pulls = more == More::None && self.state.protocol.is_pulling(ticket);
        let waited = self.state.waits_for_connection();
        self.input(|protocol| {
            protocol.page_pulled(ticket, page, 0, time_of(late)).expect("there is nothing to refuse")
        });
        if pulls {
            self.connects(waited);
        }
    }

    /// A pull has caught up. The pusher has backed off until then, or not.
    fn connects(&mut self, waited: bool) {
        let state = &mut self.state;
        if std::mem::take(&mut state.unreached) && waited && !state.has_cut {
            self.uncut = state.waits_for_connection();
            state.has_cut = true;
        }
    }

    fn end_pull(&mut self, end: PullEnd, late: bool) {
        let state = &mut self.state;
        let call = state.pull.take().expect("a pull is under way");
        let caught_up = matches!(state.protocol.pull(), Pull::Pulling { caught_up: true, .. });
        let outcome = match end {
            PullEnd::GivenAll => Ok(()),
            PullEnd::Unavailable => Err(PullError::Unavailable { retry_after: None, error: "away".into() }),
            PullEnd::Busy(Wait::Long) => {
                state.named[index(Pulling)] = true;
                Err(PullError::Unavailable { retry_after: Some(LATER), error: "busy".into() })
            }
            PullEnd::Busy(wait) => Err(PullError::Unavailable { retry_after: Some(asked(wait)), error: "busy".into() }),
            PullEnd::Fatal => Err(PullError::Fatal { kind: FatalKind::Other, error: "no".into() }),
            PullEnd::Panic => return state.protocol.pull_panicked(call.ticket, panicked()),
        };
        let catches_up = outcome.is_ok() && !caught_up && state.protocol.is_pulling(call.ticket);
        let unreached = outcome.is_err() && !matches!(end, PullEnd::Fatal);
        let waited = state.waits_for_connection();
        if outcome.is_ok() && call.after_doubt && state.protocol.is_pulling(call.ticket) {
            state.doubt = Doubt::default();
        }
        let proven = late && (caught_up || outcome.is_ok());
        let forgets = proven && std::mem::take(&mut state.failed[index(Pulling)]);
        self.input(|protocol| protocol.pull_ended(call.ticket, outcome, 0, time_of(late)));
        if catches_up {
            self.connects(waited);
        }
        let state = &mut self.state;
        state.has_cut &= !forgets;
        if !call.interrupted && matches!(state.protocol.pull(), Pull::Waiting { .. }) {
            state.failed[index(Pulling)] = true;
            state.unreached |= unreached;
        }
    }

    fn reset(&mut self, pending: usize, own: usize, foreign: bool) {
        let state = &mut self.state;
        let log = Oracle::new(state.head(), pending, state.more());
        (state.own, state.foreign) = (own, foreign);
        (state.late, state.failed, state.rejected, state.doubt, state.refused) = Default::default();
        (state.unreached, state.has_cut, state.blocked, state.fits_one) = Default::default();
        state.push.iter_mut().for_each(|call| (call.taken, call.former, call.carried) = (false, true, false));
        state
            .pull
            .iter_mut()
            .for_each(|call| (call.owes, call.lost, call.former) = (Part::Nothing, Part::Nothing, true));
        self.input(|protocol| protocol.reset(log).1);
    }

    fn reset_with(&mut self, goes: Goes) {
        let state = &mut self.state;
        let (head, mut doubt) = (state.head(), state.doubt);
        if let (Some(call), &Push::Sending { fate: Fate::Open, unconfirmed, .. }) = (&state.push, state.protocol.push())
        {
            let open = call.batch.base == head;
            if !call.former && (open || unconfirmed < call.batch.entries.len()) {
                doubt = Doubt { unseen: unconfirmed.max(doubt.unseen), open };
            } else if !call.former {
                doubt = Doubt::default();
            }
        }
        let log = match goes {
            Goes::On => Oracle::new(head, state.pending(), state.more()),
            Goes::Ahead(rest) => {
                (state.own, state.foreign) = (0, false);
                Oracle::new(head.plus(1), rest, state.more())
            }
        };
        let goes_on = goes == Goes::On;
        (state.failed, state.rejected, state.refused) = Default::default();
        (state.unreached, state.has_cut, state.blocked, state.fits_one) = Default::default();
        state.push.iter_mut().for_each(|call| (call.carried, call.former) = (call.carried || !call.former, true));
        state
            .pull
            .iter_mut()
            .for_each(|call| (call.owes, call.lost, call.former) = (Part::Nothing, Part::Nothing, true));
        // What is in the new log already is not among what is pending there, yet the client cannot know which that is.
        let unseen = doubt.unseen.min(log.pending());
        state.doubt = Doubt::default();
        state.is_in_doubt(Doubt { unseen, open: unseen > 0 && doubt.open && goes_on });
        self.input(|protocol| protocol.reset_with(log).1);
    }

    fn give_up(&mut self, range: Range<usize>, rest: usize) {
        let state = &mut self.state;
        state.forgets_late();
        let pending = range.len() + rest;
        state.protocol.log().holds(pending);
        let counted = state.protocol.counters().given_up + range.len() as u64;
        range.clone().for_each(|index| state.is_decided(index));
        state.blocked.iter_mut().filter(|blocked| **blocked >= range.end).for_each(|blocked| *blocked -= range.len());
        let mut told = None;
        self.input(|protocol| {
            let (_entries, effects) = protocol.give_up(range.clone()).expect("upstream cannot have them");
            told.clone_from(&effects.merged);
            effects
        });
        let is_so = matches!(told, Some(Merged::Rebase { new, confirmed, moved, dropped })
            if new.is_empty() && confirmed.is_empty() && moved == pending - range.end && dropped.iter().copied().eq(range));
        self.miscounted = !is_so || self.state.protocol.counters().given_up != counted;
    }

    /// What is under way goes on without anyone who waits for it; what is in the log stays.
    fn crash(&mut self, gone: bool, config: &Config) {
        let state = &mut self.state;
        if let Some(call) = state.push.take().filter(|call| !gone && state.may_come_late(call)) {
            state.late[call.batch.entries.len() - 1] = true;
        }
        let log = Oracle::new(state.head(), state.pending(), state.more());
        let (own, foreign, late) = (state.own, state.foreign, state.late);
        *state = State { protocol: Protocol::new(log, settings(config)), own, foreign, late, ..State::new(config) };
    }
}
