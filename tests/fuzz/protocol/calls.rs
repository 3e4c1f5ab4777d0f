//! A client's calls: what they are answered, and what it must make of that.

use latchwork::log::Log;
use latchwork::protocol::{Direction, Effects, Next, Time};
use latchwork::sync_state::Position;
use latchwork::upstream::{self, Batch, FatalKind, More, PullError, PushError};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::client::{Client, Outcome, PullCall, PushCall, panicked};
use super::world::{Upstream, World};
use super::{Answer, End, Page, Trouble, ms, rest};
use crate::logs::{AnyLog, Entry};

impl Client {
    pub fn ask_push(&mut self, world: &mut World<'_>) -> TestCaseResult {
        let now = world.now;
        self.input(world, |protocol| ((), protocol.tick(now)))?.ok();
        let asked = self.input(world, |protocol| (protocol.next_push(now), Effects::default()))?;
        match asked {
            Ok(Next::Do(batch)) => {
                world.seen.tell(|| format!("client {} sends {:?}", self.id, batch.entries));
                self.sends_the_first(&batch)?;
                self.watch.sends(self, world)?;
                self.watch.begins(Direction::Push, world.now)?;
                self.push = Some(PushCall { batch, answer: None, hangs: false, interrupted: false });
            }
            Ok(Next::Wait { until }) => {
                let again = self.trial().next_push(now);
                let same = matches!(again, Next::Wait { until: again } if again == until);
                prop_assert!(same, "told to wait until {:?}, and then {:?}", until, again);
            }
            Ok(Next::Stop) => prop_assert!(self.is_stopped()),
            Err(failure) => {
                self.watch.may_fail = true;
                self.input(world, |protocol| (protocol.push_unsent(failure), Effects::default()))?.ok();
            }
        }
        self.after(world)
    }

    /// What is sent is the first that is to be sent, as it follows the cursor.
    fn sends_the_first(&self, batch: &Batch<AnyLog>) -> TestCaseResult {
        let pending = self.protocol.log().events().into_iter().filter(|event| !event.local_only);
        let most = self.fits.unwrap_or(usize::MAX).min(self.setup.batch.into());
        let first: Vec<_> = pending.take_while(|event| self.refused != Some(*event)).take(most).collect();
        let sent: Vec<_> = batch.entries.iter().map(|entry| entry.event).collect();
        prop_assert_eq!(&sent, &first, "what is sent");
        prop_assert_eq!(batch.base, self.cursor(), "what it follows");
        let numbers: Vec<_> = batch.entries.iter().map(|entry| entry.seq.global - batch.base.global).collect();
        prop_assert!(numbers.into_iter().eq(1..=sent.len() as u64), "numbers {:?}", batch);
        Ok(())
    }

    pub fn arrive(&mut self, answer: Answer, world: &mut World<'_>) {
        let Some(call) = &mut self.push else { return };
        let (base, entries, knows) = (call.batch.base, &call.batch.entries, self.setup.idempotent);
        let head = world.upstream.head();
        let take = |upstream: &mut Upstream| upstream.take(base, entries, knows);
        let behind = |head| Err(PushError::Behind { head });
        let lost = || Err(PushError::Uncertain { error: "no answer".into() });
        let outcome = match answer {
            Answer::Blind { at_base } => behind(at_base.then_some(base)),
            Answer::WentBack if base > Position::default() => {
                behind(Some(Position { global: base.global - 1, client: 0 }))
            }
            Answer::Away(millis) => {
                let retry_after = millis.map(rest);
                Err(PushError::Unavailable { retry_after, error: "away".into() })
            }
            Answer::Lost { taken } => {
                let _taken = taken && take(&mut world.upstream);
                lost()
            }
            Answer::Late => {
                self.late.push(call.batch.clone());
                lost()
            }
            Answer::Timeout(millis) => lost().map_err(|error| error.retry_after(ms(millis.into()))),
            Answer::Hangs { taken } => {
                let _taken = taken && take(&mut world.upstream);
                call.hangs = true;
                lost()
            }
            Answer::Rejected(index) => Err(PushError::Rejected { index: index.into(), error: "invalid".into() }),
            Answer::TooLarge => Err(PushError::TooLarge { error: "413".into() }),
            Answer::Fatal => Err(PushError::Fatal { kind: FatalKind::Other, error: "fatal".into() }),
            Answer::Panics { taken } => {
                let _taken = taken && take(&mut world.upstream);
                call.answer = Some(Err(()));
                return;
            }
            Answer::Honest | Answer::HeadUntold | Answer::HeadLags | Answer::WentBack => {
                if take(&mut world.upstream) {
                    Ok(())
                } else {
                    behind(match answer {
                        Answer::HeadUntold => None,
                        // Somewhere between the base and its head.
                        Answer::HeadLags => {
                            let entries = &world.upstream.entries[world.upstream.after(base)..];
                            entries.get(entries.len() / 2).map(|entry| entry.seq.position())
                        }
                        _ => Some(head),
                    })
                }
            }
        };
        world.seen.tell(|| format!("upstream gets the push of client {}: {outcome:?}", self.id));
        call.answer = Some(Ok(outcome));
    }

    pub fn answer(&mut self, world: &mut World<'_>) -> TestCaseResult {
        let Some(PushCall { batch, answer: Some(answer), .. }) = self.push.take() else { return Ok(()) };
        let (random, now) = (world.random(), world.now);
        let sending = self.protocol.is_sending(&batch);
        let open = sending && self.watch.is_open(&batch, &self.settled);
        self.over.0.push(batch.clone());
        let Ok(outcome) = answer else {
            world.seen.count("panic of upstream");
            world.seen.tell(|| format!("the push of client {} panics", self.id));
            self.watch.push_ends(&batch, open, &lost_by_panic(), &self.protocol, world);
            self.watch.may_fail = true;
            let (gone, failure) = (batch, panicked("Upstream::push"));
            self.input(world, |protocol| ((), protocol.push_panicked(gone, failure)))?.ok();
            return self.after(world);
        };
        world.seen.tell(|| format!("client {} gets its answer: {outcome:?}", self.id));
        count(&outcome, world);
        self.watch.push_ends(&batch, open, &outcome, &self.protocol, world);
        let expected = self.watch.must_fail(&batch, open, &outcome);
        if expected && matches!(outcome, Err(PushError::Behind { .. })) {
            world.seen.count("went back");
        }
        if open && self.watch.counts_now() {
            self.is_held_back(&batch, &outcome);
        }
        let reported = (batch.clone(), outcome.clone());
        let ended = self.input(world, |protocol| match protocol.push_ended(reported.0, reported.1, random, now) {
            Ok(effects) => (None, effects),
            Err(error) => (Some(error), Effects::default()),
        })?;
        match ended {
            Ok(None) => {}
            Ok(Some(error)) => return Err(TestCaseError::fail(format!("its own batch is refused: {error}"))),
            Err(failure) => {
                self.watch.may_fail = true;
                self.watch.is_in_doubt(&batch);
                self.input(world, |protocol| (protocol.push_unsent(failure), Effects::default()))?.ok();
            }
        }
        prop_assert!(!expected || self.has_failed(), "{:?}, and it is not told: {}", outcome, self.told());
        self.after(world)
    }

    /// What an answer that says something of the events keeps from being sent.
    fn is_held_back(&mut self, batch: &Batch<AnyLog>, outcome: &Outcome) {
        let count = batch.entries.len();
        let refused = match outcome {
            Err(PushError::Rejected { index, .. }) => batch.entries.get(*index),
            Err(PushError::TooLarge { .. }) => {
                self.fits = Some(count / 2).filter(|fits| *fits > 0);
                batch.entries.first().filter(|_| count == 1)
            }
            _ => None,
        };
        let pending = self.protocol.log().events();
        if let Some(entry) = refused.filter(|entry| pending.contains(&entry.event)) {
            self.refused = Some(entry.event);
        }
    }

    pub fn ask_pull(&mut self, world: &mut World<'_>) -> TestCaseResult {
        let now = world.now;
        let asked = self.input(world, |protocol| (protocol.next_pull(now), Effects::default()))?;
        match asked {
            Ok(Next::Do((ticket, cursor))) => {
                world.seen.tell(|| format!("client {} begins pull {ticket} from {cursor}", self.id));
                prop_assert_eq!(cursor, self.cursor(), "where a pull begins");
                self.watch.begins(Direction::Pull, world.now)?;
                prop_assert!(!self.paused[1] && !self.is_stopped(), "a pull begins: {}", self.told());
                let (target, ended) = (world.upstream.head(), false);
                let (caught_up, interrupted, lost) = (ended, false, false);
                self.pull = Some(PullCall { ticket, cursor, target, caught_up, interrupted, lost });
            }
            Ok(Next::Wait { until }) => {
                let again = self.trial().next_pull(now);
                prop_assert_eq!(again, Next::Wait { until }, "told twice");
            }
            Ok(Next::Stop) => prop_assert!(self.is_stopped()),
            Err(failure) => return Err(TestCaseError::fail(format!("nothing of the log's is called: {failure}"))),
        }
        self.after(world)
    }

    pub fn page(&mut self, how: Page, world: &mut World<'_>) -> TestCaseResult {
        let Some(call) = &mut self.pull else { return Ok(()) };
        let entries = &world.upstream.entries;
        let from = world.upstream.after(call.cursor);
        let to = entries.len().min(from + usize::from(how.size));
        let from = if how.trouble == Trouble::Overlaps { from.saturating_sub(2) } else { from };
        let mut page = upstream::Page { entries: entries[from..to].to_vec(), more: More::Unknown };
        let rest = entries.len() - to;
        if how.told {
            page.more = if rest == 0 { More::None } else { More::Events(rest as u64) };
        }
        call.cursor = page.entries.last().map_or(call.cursor, |last| last.seq.position().max(call.cursor));
        match how.trouble {
            Trouble::Lost if call.caught_up && self.setup.live && !page.entries.is_empty() => {
                page.entries.clear();
                (call.lost, self.watch.deceived) = (true, true);
                world.seen.count("an echo lost");
            }
            Trouble::Lags if rest > 0 => {
                page = upstream::Page { entries: Vec::new(), more: More::None };
                call.cursor = self.protocol.log().upstream_head().min(call.cursor);
                self.watch.deceived = true;
            }
            _ => {}
        }
        call.caught_up |= page.more == More::None;
        if how.trouble == Trouble::Twice {
            self.give(page.clone(), world)?;
        }
        self.give(page, world)
    }

    /// The client gets a page.
    fn give(&mut self, page: upstream::Page<Entry>, world: &mut World<'_>) -> TestCaseResult {
        let Some(call) = &self.pull else { return Ok(()) };
        let (ticket, lost, now, random) = (call.ticket, call.lost, world.now, world.random());
        let (last, more) = (page.entries.last().map(AnyLog::position), page.more);
        world.seen.tell(|| format!("client {} gets a page: {page:?}", self.id));
        let (pulling, before) = (self.protocol.is_pulling(ticket), self.cursor());
        self.watch.may_fail |= lost && self.watch.refused;
        let got = self.input(world, |protocol| match protocol.page_pulled(ticket, page, random, now) {
            Ok(effects) => (None, effects),
            Err(refused) => (Some(refused.error), refused.effects),
        })?;
        match got {
            Ok(None) => {
                let applied = last.is_none_or(|last| self.cursor() >= last);
                prop_assert!(applied || !pulling, "a page up to {:?} is not applied: {}", last, self.told());
                if pulling && more == More::None {
                    self.watch.has_caught_up(ticket);
                    world.seen.count("catch-up");
                }
                self.watch.refused &= self.cursor() == before;
            }
            Ok(Some(error)) => {
                world.seen.count("page refused");
                prop_assert!(lost, "a page that follows is refused: {}", error);
                prop_assert_eq!(self.cursor(), before, "of a page that is refused nothing is applied");
                prop_assert!(!self.protocol.is_pulling(ticket), "the pull is over");
                prop_assert_eq!(self.has_failed(), self.watch.had_failed() || self.watch.refused, "{}", self.told());
                self.watch.refused = true;
                prop_assert!(self.pull.as_ref().is_some_and(|call| call.interrupted), "its call is to end");
            }
            Err(failure) => {
                self.watch.may_fail = true;
                self.input(world, |protocol| (protocol.pull_failed(failure), Effects::default()))?.ok();
                // The call that gives out its pages need not go on.
                self.pull.iter_mut().for_each(|call| call.interrupted = true);
            }
        }
        self.after(world)
    }

    pub fn end_pull(&mut self, end: End, world: &mut World<'_>) -> TestCaseResult {
        let Some(call) = self.pull.take() else { return Ok(()) };
        let (ticket, now, random) = (call.ticket, world.now, world.random());
        self.over.1.push(ticket);
        let away = |retry_after| Err(PullError::Unavailable { retry_after, error: "away".into() });
        let outcome = match end {
            End::Panics => {
                world.seen.count("panic of upstream");
                world.seen.tell(|| format!("pull {ticket} of client {} panics", self.id));
                self.watch.may_fail = true;
                let failure = panicked("Upstream::pull");
                self.input(world, |protocol| (protocol.pull_panicked(ticket, failure), Effects::default()))?.ok();
                return self.after(world);
            }
            End::Away(millis) => away(millis.map(rest)),
            End::Fatal => Err(PullError::Fatal { kind: FatalKind::Other, error: "fatal".into() }),
            End::InTime if call.interrupted || call.lost || call.cursor < call.target => away(None),
            End::InTime => Ok(()),
        };
        world.seen.tell(|| format!("pull {ticket} of client {} ends: {outcome:?}", self.id));
        if let Err(PullError::Unavailable { retry_after: Some(rest), .. }) = &outcome {
            count_rest(*rest, world);
            self.watch.asked(Direction::Pull, now.saturating_add(*rest));
        }
        let expected = self.watch.must_fail_pull(ticket, &outcome);
        if outcome.is_ok() && self.protocol.is_pulling(ticket) {
            self.watch.has_caught_up(ticket);
        }
        self.input(world, |protocol| ((), protocol.pull_ended(ticket, outcome, random, now)))?.ok();
        prop_assert!(!expected || self.has_failed(), "a fatal end, and it is not told: {}", self.told());
        self.after(world)
    }

    /// Something is reported that was over before: nothing changes.
    pub fn stale(&mut self, which: u8, world: &mut World<'_>) -> TestCaseResult {
        let (now, random) = (world.now, world.random());
        let mut trial = self.trial();
        let pick = |len: usize| usize::from(which / 4) % len.max(1);
        match (which % 4, self.over.0.get(pick(self.over.0.len())), self.over.1.get(pick(self.over.1.len()))) {
            (0, Some(batch), _) => drop(trial.push_ended(batch.clone(), Ok(()), random, now)),
            (1, Some(batch), _) => {
                let error = PushError::Unavailable { retry_after: Some(ms(1000)), error: "stale".into() };
                drop(trial.push_ended(batch.clone(), Err(error), random, now));
            }
            (2, _, Some(&ticket)) => {
                let entries = world.upstream.entries[world.upstream.after(self.cursor())..].to_vec();
                drop(trial.page_pulled(ticket, upstream::Page { entries, more: More::None }, random, now));
            }
            (3, _, Some(&ticket)) => {
                let error = PullError::Fatal { kind: FatalKind::Other, error: "stale".into() };
                drop(trial.pull_ended(ticket, Err(error), random, now));
            }
            _ => return Ok(()),
        }
        world.seen.count("stale report");
        prop_assert!(trial == self.protocol, "a stale report has changed it: {:?}, {:?}", trial, self.protocol);
        Ok(())
    }
}

fn lost_by_panic() -> Outcome {
    Err(PushError::Uncertain { error: "a panic".into() })
}

fn count(outcome: &Outcome, world: &World<'_>) {
    world.seen.count(match outcome {
        Ok(()) => "taken",
        Err(PushError::Behind { .. }) => "behind",
        Err(PushError::Unavailable { .. }) => "unavailable",
        Err(PushError::Uncertain { .. }) => "uncertain",
        Err(PushError::Fatal { .. }) => "fatal",
        Err(PushError::Rejected { .. }) => "event refused",
        Err(PushError::TooLarge { .. }) => "too large",
        Err(PushError::RetryAfter { .. }) => "uncertain, and asked to wait",
        Err(_) => "another error",
    });
    match outcome {
        Err(PushError::Behind { head: Some(_) }) => world.seen.count("behind, head told"),
        Err(PushError::Unavailable { retry_after: Some(rest), .. }) => count_rest(*rest, world),
        _ => {}
    }
}

fn count_rest(rest: Time, world: &World<'_>) {
    world.seen.count(if rest == Time::MAX { "asked to wait for ever" } else { "asked to wait" });
}
