//! Every event that a user or time can cause, at any moment of a push, whatever becomes of that push.
//!
//! One event is pending from the start; pulls are one-shot. Main does its one thing, then lets time end, and waits until
//! everything has settled. (What upstream causes, advances, rebases, catch-ups and reconnects, has models of its own.)

use std::time::Duration;

use latchwork::log::MemoryLog;
use latchwork::protocol::{Direction, WaitingOn};
use latchwork::sync::model::end_time;
use latchwork::{Replicator, Settled};

use super::upstream::{Answer, Event, Feed, Scripted};

type Handle = Replicator<MemoryLog<Event>>;

fn meet(answers: &'static [Answer], happens: impl FnOnce(&Handle)) {
    let upstream = Scripted::new(answers, &[], Feed::Page);
    let log = MemoryLog::new().with_pending(0, ["a"]);
    let replicator = Replicator::builder(log, upstream.clone()).one_shot_pull().spawn().unwrap();
    happens(&replicator);
    end_time();
    replicator.flush(Duration::MAX).unwrap();
    loom::stop_exploring();
    loom::thread::yield_now();
    assert!(upstream.events() == ["a"], "not everything is at upstream once");
    assert_eq!(replicator.status().waiting_on, WaitingOn::Nobody);
}

fn stops(answers: &'static [Answer]) {
    let upstream = Scripted::new(answers, &[], Feed::Page);
    let replicator = Replicator::builder(MemoryLog::new(), upstream.clone()).one_shot_pull().spawn().unwrap();
    let ticket = replicator.commit(vec!["a"]).unwrap();
    end_time();
    let report = replicator.shutdown(Duration::from_secs(1));
    loom::stop_exploring();
    let confirmed = matches!(ticket.settled(), Some(Settled::Confirmed(_)));
    assert!(ticket.settled().is_some(), "a ticket was left open");
    assert!(report.pending.is_empty() == confirmed, "what was not confirmed is not in the report");
    if !report.uncertain && report.unfinished.is_empty() {
        assert!(upstream.events().len() == usize::from(confirmed), "upstream knows better than the report");
    }
}

fn time(_: &Handle) {}

fn resume(replicator: &Handle) {
    replicator.pause(Direction::Push);
    replicator.resume(Direction::Push);
}

fn pause_of_pulls(replicator: &Handle) {
    replicator.pause(Direction::Pull);
    replicator.resume(Direction::Pull);
}

fn restart(replicator: &Handle) {
    replicator.restart();
}

fn retry(replicator: &Handle) {
    replicator.retry_now();
}

macro_rules! matrix {
    ($($name:ident: $answer:ident, $event:ident;)*) => { $(
        pub fn $name() {
            meet(&[Answer::$answer], $event);
        }
    )* };
}

matrix! {
    time_meets_a_push_that_is_rejected: Behind, time;
    time_meets_a_push_that_is_lost: PushLost, time;
    resume_meets_a_push_that_is_accepted: Honest, resume;
    resume_meets_a_push_that_is_rejected: Behind, resume;
    resume_meets_a_push_that_is_lost: PushLost, resume;
    resume_meets_a_push_that_backs_off: Unavailable, resume;
    pull_resume_meets_a_push_that_is_rejected: Behind, pause_of_pulls;
    pull_resume_meets_a_push_that_is_lost: PushLost, pause_of_pulls;
    restart_meets_a_push_that_is_rejected: Behind, restart;
    restart_meets_a_push_that_is_lost: PushLost, restart;
    restart_meets_a_push_that_backs_off: Unavailable, restart;
    retry_meets_a_push_that_is_accepted: Honest, retry;
    retry_meets_a_push_that_is_rejected: Behind, retry;
    retry_meets_a_push_that_is_lost: PushLost, retry;
}

macro_rules! stopping {
    ($($name:ident: $answer:ident;)*) => { $(
        pub fn $name() {
            stops(&[Answer::$answer]);
        }
    )* };
}

stopping! {
    stop_meets_a_push_that_is_accepted: Honest;
    stop_meets_a_push_that_is_rejected: Behind;
    stop_meets_a_push_that_is_lost: PushLost;
    stop_meets_a_push_that_backs_off: Unavailable;
}
