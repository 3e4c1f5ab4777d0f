//! Models of the replicator: the theorem.
//!
//! Each begins with a replicator on an upstream that follows a script, lets one event happen wherever the scheduler puts
//! it, and then **waits for everything that was committed to settle**. If any schedule leaves the pusher parked, that wait
//! never ends and loom reports the deadlock: the service is asserted before anything is stopped. What follows (stopping)
//! is run once for each schedule and not explored: it comes after the verdict.
//!
//! Threads: main, the pusher, the puller. Time stands still unless the model moves it.

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::executor::Task;
use super::upstream::{Answer, Event, Feed, Scripted};
use super::{latchwork, unexplored};
use latchwork::log::MemoryLog;
use latchwork::protocol::{Direction, WaitingOn};
use latchwork::sync::model::{end_time, give_way};
use latchwork::{Replicator, Settled, Ticket};

type Log = MemoryLog<Event>;

/// A replicator on a scripted upstream.
struct Model {
    replicator: Replicator<Log>,
    upstream: Scripted,
}

impl Model {
    fn new(log: Log, upstream: Scripted) -> Self {
        let replicator = Replicator::builder(log, upstream.clone()).spawn().unwrap();
        Self { replicator, upstream }
    }

    /// The same, whose pulls end when they have caught up.
    fn one_shot(log: Log, upstream: Scripted) -> Self {
        let replicator = Replicator::builder(log, upstream.clone()).one_shot_pull().spawn().unwrap();
        Self { replicator, upstream }
    }

    /// The same, and each event is sent by itself.
    fn one_by_one(log: Log, upstream: Scripted) -> Self {
        let builder = Replicator::builder(log, upstream.clone()).one_shot_pull();
        Self { replicator: builder.push_batch(NonZeroUsize::MIN).spawn().unwrap(), upstream }
    }

    fn commit(&self, event: Event) -> Ticket<u64> {
        self.replicator.commit(vec![event]).unwrap()
    }

    /// Waits for everything, and asserts the service: each of `events` is at upstream once, and no party owes a move.
    fn drains(self, events: &[Event]) {
        self.replicator.flush(Duration::MAX).unwrap();
        self.drained(events);
    }

    /// As [`drains`](Self::drains), once it is known that everything has settled.
    fn drained(self, events: &[Event]) {
        loom::stop_exploring();
        loom::thread::yield_now();
        let mut upstream = self.upstream.events();
        upstream.sort_unstable();
        assert!(upstream == events, "not everything is at upstream once");
        assert_eq!(self.replicator.status().waiting_on, WaitingOn::Nothing);
        self.upstream.close();
    }
}

/// What time does.
#[derive(Clone, Copy, PartialEq)]
pub enum Clock {
    Stands,
    /// It is at its end before the model begins: what has a deadline is due.
    AtItsEnd,
    /// It ends at any moment.
    Ends,
}
pub use Clock::*;

/// As [`settles_meanwhile`], with time alone.
fn settles(clock: Clock, events: &[Event], model: impl FnOnce() -> Model) {
    if clock == AtItsEnd {
        end_time();
    }
    settles_meanwhile(events, model, |_| {
        if clock == Ends {
            end_time();
        }
    });
}

/// What is pending from the start settles, whatever main does `meanwhile`. Exploration begins with
/// the two threads' first steps; main waits by then, as a task. (Where its wait may fall is
/// explored by the models without such a beginning. It would multiply these, for every change of
/// the state looks whether there is a waiter, and would add nothing.)
fn settles_meanwhile(events: &[Event], model: impl FnOnce() -> Model, meanwhile: impl FnOnce(&Replicator<Log>)) {
    let way = unexplored();
    let model = model();
    let mut settled = Task::new(model.replicator.flushed());
    assert!(settled.poll().is_pending());
    drop(way);
    meanwhile(&model.replicator);
    settled.run().unwrap();
    model.drained(events);
}

fn pending(events: &[Event]) -> Log {
    MemoryLog::new().with_pending(0, events.iter().copied())
}

/// Main commits one event; the puller brings one of another client's, before or after it at upstream. Ends when the
/// commit has settled.
pub fn advance_resumes_the_pusher() {
    a_commit_meets_an_advance(Model::new(MemoryLog::new(), Scripted::new(&[], &[Feed::Foreign("b")], Feed::Silence)));
}

/// As above; every thread gives way before it sleeps.
pub fn advance_resumes_a_pusher_that_gives_way() {
    let _given = give_way();
    advance_resumes_the_pusher();
}

fn a_commit_meets_an_advance(model: Model) {
    let ticket = model.commit("a");
    assert!(matches!(ticket.wait(), Settled::Confirmed(_)));
    model.drained(&["a", "b"]);
}

/// As [`advance_resumes_the_pusher`], in a log that rebases what is pending; the event was committed before the start.
pub fn rebase_resumes_the_pusher() {
    let log = MemoryLog::rebasing().with_pending(0, ["a"]);
    let model = Model::new(log, Scripted::new(&[], &[Feed::Foreign("b")], Feed::Silence));
    model.drains(&["a", "b"]);
}

/// `--deep`: as [`advance_resumes_the_pusher`], with two commits.
pub fn two_commits_meet_an_advance() {
    let model = Model::new(MemoryLog::new(), Scripted::new(&[], &[Feed::Foreign("c")], Feed::Silence));
    let tickets = ["a", "b"].map(|event| model.commit(event));
    assert!(tickets.iter().all(|ticket| matches!(ticket.wait(), Settled::Confirmed(_))));
    model.drained(&["a", "b", "c"]);
}

/// `--deep`: as [`rebase_resumes_the_pusher`], with two events pending, sent one by one. Pulls are one-shot: a push that a
/// rebase overtakes asks for another one.
pub fn two_pending_meet_a_rebase() {
    let upstream = Scripted::new(&[], &[Feed::ForeignPage("c")], Feed::Page);
    Model::one_by_one(MemoryLog::rebasing().with_pending(0, ["a", "b"]), upstream).drains_at_least(&["a", "b"]);
}

/// Main commits two events, which are sent one by one, and asks for another pull in between; the
/// puller brings two events of others. Ends when the last commit has settled.
pub fn two_and_two_drain() {
    these_and_two_drain(&["a", "b"]);
}

/// `--deep`: the same with three.
pub fn three_and_two_drain() {
    these_and_two_drain(&["a", "b", "c"]);
}

fn these_and_two_drain(events: &[Event]) {
    let upstream = Scripted::new(&[], &[Feed::ForeignPage("x"), Feed::ForeignPage("y")], Feed::Page);
    let model = Model::one_by_one(MemoryLog::rebasing(), upstream);
    let (first, others) = events.split_first().expect("at least one");
    let mut last = model.commit(first);
    model.replicator.retry_now();
    for event in others {
        last = model.commit(event);
    }
    assert!(matches!(last.wait(), Settled::Confirmed(_)));
    model.drained_at_least(events);
}

impl Model {
    /// As [`drains`](Self::drains), where it depends on the schedule what others had done by then.
    fn drains_at_least(self, events: &[Event]) {
        self.replicator.flush(Duration::MAX).unwrap();
        self.drained_at_least(events);
    }

    fn drained_at_least(self, events: &[Event]) {
        loom::stop_exploring();
        loom::thread::yield_now();
        let upstream = self.upstream.events();
        for event in events {
            let times = upstream.iter().filter(|other| other == &event).count();
            assert!(times == 1, "not everything is at upstream once");
        }
        assert_eq!(self.replicator.status().waiting_on, WaitingOn::Nothing);
        self.upstream.close();
    }
}

/// Two events, sent one by one. The first push is taken, but the answer is "behind"; the pull that is going on may have
/// confirmed it by then.
pub fn a_late_rejection_holds_nothing_up() {
    settles(Clock::Stands, &["a", "b"], || {
        let upstream = Scripted::new(&[Answer::LateBehind], &[], Feed::Page);
        Model::one_by_one(pending(&["a", "b"]), upstream)
    });
}

/// A push is rejected although nothing is new; the live pull stays silent. After the grace a
/// catch-up begins, and ends with nothing.
pub fn an_empty_catch_up(clock: Clock) {
    settles(clock, &["a"], || {
        Model::new(pending(&["a"]), Scripted::new(&[Answer::Behind], &[Feed::Heedful], Feed::PageThenSilence))
    });
}

/// The same with a log that pulls once: the catch-up begins at once.
pub fn an_empty_one_shot_catch_up(clock: Clock) {
    settles(clock, &["a"], || Model::one_shot(pending(&["a"]), Scripted::new(&[Answer::Behind], &[], Feed::Page)));
}

/// The same; the pull before it had given out everything when its connection died, and no other one
/// was asked for by the time that its wait was over.
pub fn a_catch_up_after_a_backoff(clock: Clock) {
    settles(clock, &["a"], || {
        let upstream = Scripted::new(&[Answer::Behind], &[Feed::PageThenUnavailable], Feed::Page);
        Model::one_shot(pending(&["a"]), upstream)
    });
}

/// A push is taken, its answer is lost. The upstream takes whatever it is given.
pub fn an_uncertain_push(clock: Clock) {
    settles(clock, &["a"], || {
        Model::one_shot(pending(&["a"]), Scripted::new(&[Answer::AckLost], &[], Feed::Page).unchecked())
    });
}

/// A push is lost with its answer, as a pull is going on that began before it.
pub fn a_lost_push(clock: Clock) {
    settles(clock, &["a"], || {
        Model::one_shot(pending(&["a"]), Scripted::new(&[Answer::PushLost], &[Feed::Page], Feed::Page).unchecked())
    });
}

/// Upstream is out of reach for the first push and the first pull; both come back by themselves.
pub fn a_reconnect(clock: Clock) {
    settles(clock, &["a"], || {
        let upstream = Scripted::new(&[Answer::Unavailable], &[Feed::Unavailable], Feed::PageThenSilence);
        Model::new(pending(&["a"]), upstream)
    });
}

/// Upstream is out of reach for the first push; then only time passes.
pub fn a_backoff(clock: Clock) {
    settles(clock, &["a"], || Model::new(pending(&["a"]), Scripted::new(&[Answer::Unavailable], &[], Feed::Silence)));
}

/// Upstream is out of reach for the first push, time stands still, and main asks to try again now.
pub fn retry_now_ends_a_backoff() {
    let upstream = || Scripted::new(&[Answer::Unavailable], &[], Feed::Page);
    settles_meanwhile(
        &["a"],
        || Model::one_shot(pending(&["a"]), upstream()),
        |replicator| {
            replicator.retry_now();
            end_time();
        },
    );
}

/// The gate is closed before anything is committed, and opened after.
pub fn a_resume_leads_to_an_attempt() {
    let model = Model::new(MemoryLog::new(), Scripted::new(&[], &[], Feed::Silence));
    model.replicator.pause(Direction::Push);
    let ticket = model.commit("a");
    model.replicator.resume(Direction::Push);
    assert!(matches!(ticket.wait(), Settled::Confirmed(_)));
    model.drained(&["a"]);
}

/// A push fails for good. The owner sees it, restarts, and it goes through.
pub fn a_failure_is_visible_and_a_restart_ends_it() {
    let model = Model::new(pending(&["a"]), Scripted::new(&[Answer::Fatal], &[], Feed::Silence));
    let owner = || matches!(model.replicator.status().waiting_on, WaitingOn::Owner(_));
    while !owner() {
        loom::thread::yield_now();
    }
    model.replicator.restart();
    model.drains(&["a"]);
}

/// A restart without need, at any moment of a push that is taken.
pub fn a_needless_restart_does_no_harm() {
    let model = Model::new(MemoryLog::new(), Scripted::new(&[], &[], Feed::Silence));
    let ticket = model.commit("a");
    model.replicator.restart();
    assert!(matches!(ticket.wait(), Settled::Confirmed(_)));
    model.drained(&["a"]);
}

/// A shutdown that gives no time, at any moment of a push. What it says was not handed over, and only that, is not
/// confirmed; if it is certain, upstream agrees.
pub fn a_shutdown_says_what_was_not_handed_over() {
    let model = Model::new(MemoryLog::new(), Scripted::new(&[Answer::AckLost], &[], Feed::Silence));
    let ticket = model.commit("a");
    model.upstream.close();
    end_time();
    let report = model.replicator.shutdown(Duration::from_secs(1));
    loom::stop_exploring();
    let confirmed = matches!(ticket.settled(), Some(Settled::Confirmed(_)));
    assert!(ticket.settled().is_some(), "a ticket was left open");
    assert!(report.pending.is_empty() == confirmed, "what was not confirmed is not in the report");
    if !report.uncertain && report.unfinished.is_empty() {
        assert_eq!(model.upstream.events().len(), usize::from(confirmed), "upstream knows better than the report");
    }
}

/// A page arrives while a push is in flight, or before, or after: it is applied, and a mere advance
/// does not interrupt the push.
pub fn a_page_during_a_push() {
    let upstream = Scripted::new(&[], &[Feed::Foreign("b")], Feed::Silence);
    let interrupted = upstream.interrupted_pushes();
    let model = Model::new(pending(&["a"]), upstream);
    model.replicator.flush(Duration::MAX).unwrap();
    assert!(interrupted.load(Ordering::Relaxed) == 0, "an advance interrupted a push in flight");
    model.drained(&["a", "b"]);
}

/// Main subscribes while the puller brings an event: it is in the snapshot or among the updates, and not in both.
pub fn updates_begin_where_their_snapshot_ends() {
    let model = Model::new(MemoryLog::new(), Scripted::new(&[], &[Feed::Foreign("b")], Feed::Silence));
    let updates = model.replicator.updates();
    while model.replicator.status().upstream_head == 0 {
        loom::thread::yield_now();
    }
    loom::stop_exploring();
    let told: u64 = updates.receiver.try_iter().map(|update| update.upstream_head).sum();
    assert!(updates.snapshot.upstream_head + told == 1, "an update fell into the gap");
    model.upstream.close();
}

/// A push is refused for now while the owner pauses the direction: that is no success.
pub fn a_pause_is_not_taken_for_success() {
    let model = Model::new(MemoryLog::new(), Scripted::new(&[Answer::Unavailable], &[], Feed::Silence));
    let ticket = model.commit("a");
    model.replicator.pause(Direction::Push);
    let settled = ticket.settled();
    let events = model.upstream.events();
    loom::stop_exploring();
    let confirmed = matches!(settled, Some(Settled::Confirmed(_)));
    assert!(!confirmed || events == ["a"], "confirmed, and upstream has never seen it");
    model.upstream.close();
}
