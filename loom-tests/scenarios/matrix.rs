//! Everything that can happen, meeting a pusher in every state: one event each.
//!
//! The way to the meeting is not explored: main brings the replicator to the very state, and exploration begins there. (The
//! models of [`replicator`](super::replicator) explore the way too.) What was about to happen is held inside the call to
//! upstream until then: a push that is about to be answered, a pull that is about to bring its page. Then everything is let
//! go at once, main causes what it is to cause, and waits until everything has settled.
//!
//! The events that upstream causes are the puller's doing, the others are main's. Two of the states, `Lost` and `Refused`, and
//! two of the events, a resume of pulls and `retry_now`, are not in the theorem's matrix; where they would take too long they
//! have a bound.
//!
//! Threads: main, the pusher, the puller. Time stands still unless it is what happens, or what is needed at the end.

use std::time::Duration;

use super::{latchwork, suspend};
use latchwork::log::MemoryLog;
use latchwork::protocol::{Direction, Pull, Push, WaitingOn};
use latchwork::replicator::Status;
use latchwork::sync::model::end_time;
use latchwork::{Replicator, Settled, Ticket};

use super::upstream::{Answer, Event, Feed, Scripted};

type Handle = Replicator<MemoryLog<Event>>;

/// What the pusher is doing when it happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pusher {
    /// Nothing: nothing is pending. Main commits as exploration begins.
    Idle,
    /// Sending, and about to be accepted.
    Accepted,
    /// Sending, and about to be rejected.
    Rejected,
    /// Waiting for news: a push was rejected.
    Behind,
    /// Sending, and about to fail without an answer; it was not taken.
    Lost,
    /// Waiting for a catch-up: a push failed without an answer.
    Uncertain,
    /// Sending, and about to be told to try again later.
    Refused,
    /// Waiting for the time to try again.
    BackingOff,
    /// Nothing: its gate is closed, and something is pending. Main opens it at the end.
    Paused,
}
use Pusher::*;

impl Pusher {
    fn answers(self) -> &'static [Answer] {
        match self {
            Idle | Accepted | Paused => &[],
            Rejected | Behind => &[Answer::Behind],
            Lost | Uncertain => &[Answer::PushLost],
            Refused | BackingOff => &[Answer::Unavailable],
        }
    }

    /// The first push that is held: one in a call that is about to be answered, or none that is expected.
    fn held_push(self) -> usize {
        usize::from(!matches!(self, Accepted | Rejected | Lost | Refused))
    }

    /// Whether this is what it is doing.
    fn is(self, status: &Status<u64>) -> bool {
        match self {
            Idle | Paused => status.push == Push::Idle,
            Accepted | Rejected | Lost | Refused => matches!(status.push, Push::Sending { .. }),
            Behind => matches!(status.push, Push::Behind { .. }),
            Uncertain => matches!(status.push, Push::Uncertain { .. }),
            BackingOff => matches!(status.push, Push::Waiting { .. }),
        }
    }
}

/// What happens.
#[derive(Clone, Copy)]
struct Happening {
    rebases: bool,
    /// Whether pulls are live. Otherwise a rejected pusher asks for a catch-up at once.
    live: bool,
    /// What the first pulls bring, and what the others do.
    feeds: (&'static [Feed], Feed),
    /// The first pull that is held.
    held_pull: usize,
    /// Whether every pull that stays open ends when it is interrupted.
    heedful: bool,
    /// What main does.
    act: fn(&Handle),
    /// What is at upstream in the end.
    events: &'static [Event],
    /// Whether time has to end after it, for nothing else may end the pusher's wait.
    needs_time: fn(Pusher) -> bool,
}

/// Something that main does. The log pulls once.
const fn done(act: fn(&Handle)) -> Happening {
    Happening {
        rebases: false,
        live: false,
        feeds: (&[], Feed::Page),
        held_pull: 1,
        heedful: false,
        act,
        events: &["a"],
        needs_time: |pusher| matches!(pusher, Lost | Uncertain | Refused),
    }
}

/// Something that the first pull brings.
const fn pulled(feed: &'static [Feed]) -> Happening {
    Happening {
        live: true,
        feeds: (feed, Feed::PageThenSilence),
        held_pull: 0,
        needs_time: waits_for_time,
        ..done(|_| ())
    }
}

fn waits_for_time(pusher: Pusher) -> bool {
    matches!(pusher, Lost | Uncertain | Refused | BackingOff)
}

const ADVANCE: Happening = Happening { events: &["a", "b"], ..pulled(&[Feed::Foreign("b")]) };
const REBASE: Happening = Happening { rebases: true, ..ADVANCE };
const CATCH_UP: Happening = Happening { live: false, ..pulled(&[Feed::Page]) };
const CATCH_UP_WITH_NEWS: Happening = Happening { events: &["a", "b"], ..pulled(&[Feed::News("b")]) };
/// The first pull cannot reach upstream; the one that begins now does.
const RECONNECT: Happening = Happening {
    live: false,
    feeds: (&[Feed::Unavailable], Feed::Page),
    needs_time: |pusher| matches!(pusher, Lost | Uncertain | Refused),
    ..pulled(&[])
};
const TIMER: Happening = Happening { held_pull: 1, needs_time: |_| true, ..pulled(&[Feed::Heedful]) };
const RESUME: Happening = done(|replicator| {
    replicator.pause(Direction::Push);
    replicator.resume(Direction::Push);
});
const PULL_RESUME: Happening = Happening {
    needs_time: waits_for_time,
    ..done(|replicator| {
        replicator.pause(Direction::Pull);
        replicator.resume(Direction::Pull);
    })
};
const RESTART: Happening = done(|replicator| replicator.restart());
/// The first pull is over; another one brings nothing, and ends when it is told to.
const STOP: Happening =
    Happening { feeds: (&[Feed::Page], Feed::Silence), heedful: true, held_pull: usize::MAX, ..done(|_| ()) };
const RETRY: Happening = done(|replicator| replicator.retry_now());

impl Happening {
    /// Brings the replicator to the state, unexplored and without a known bug. Whenever main yields, everybody else goes on
    /// until he waits.
    fn staged(self, pusher: Pusher) -> (Handle, Scripted, Option<Ticket<u64>>) {
        loom::stop_exploring();
        let no_bug = suspend();
        let upstream = Scripted::new(pusher.answers(), self.feeds.0, self.feeds.1);
        let held_pull = self.held_pull.saturating_add(usize::from(self.feeds.0.first() == Some(&Feed::Unavailable)));
        let mut upstream = upstream.holding(pusher.held_push(), held_pull);
        if self.heedful {
            upstream = upstream.heedful();
        }
        if self.held_pull == 0 && (self.needs_time)(pusher) {
            upstream = upstream.heedful().ending_time();
        }
        let log = if self.rebases { MemoryLog::rebasing() } else { MemoryLog::new() };
        let mut builder = Replicator::builder(log, upstream.clone());
        if !self.live {
            builder = builder.one_shot_pull();
        }
        let replicator = builder.spawn().unwrap();
        loom::thread::yield_now();
        if matches!(replicator.status().pull, Pull::Waiting { .. }) {
            replicator.resume(Direction::Pull);
            loom::thread::yield_now();
        }
        if pusher == Paused {
            replicator.pause(Direction::Push);
        }
        let ticket = (pusher != Idle).then(|| replicator.commit(vec!["a"]).unwrap());
        loom::thread::yield_now();
        assert!(pusher.is(&replicator.status()), "the pusher is not {pusher:?}: {:?}", replicator.status());
        upstream.release();
        drop(no_bug);
        loom::explore();
        (replicator, upstream, ticket)
    }

    fn meets(self, pusher: Pusher) {
        let (replicator, upstream, _ticket) = self.staged(pusher);
        if pusher == Idle {
            replicator.commit(vec!["a"]).unwrap();
        }
        (self.act)(&replicator);
        if pusher == Paused {
            replicator.resume(Direction::Push);
        }
        if self.held_pull > 0 && (self.needs_time)(pusher) {
            end_time();
        }
        replicator.flush(Duration::MAX).unwrap();
        loom::stop_exploring();
        loom::thread::yield_now();
        let mut events = upstream.events();
        events.sort_unstable();
        assert!(events == self.events, "not everything is at upstream once");
        assert_eq!(replicator.status().waiting_on, WaitingOn::Nothing);
        upstream.close();
    }
}

/// Main drops the replicator. (A shutdown is the same with a report; it is in the models of the replicator.)
fn stop_meets(pusher: Pusher) {
    // A rejected pusher whose pulls are not live asks for a catch-up, and there are two calls to stop: too many to explore.
    let (replicator, upstream, ticket) = Happening { live: pusher == Rejected, ..STOP }.staged(pusher);
    let ticket = ticket.unwrap_or_else(|| replicator.commit(vec!["a"]).unwrap());
    drop(replicator);
    loom::stop_exploring();
    match ticket.settled() {
        Some(Settled::Confirmed(_)) => assert!(upstream.events() == ["a"], "confirmed, and upstream has never seen it"),
        Some(Settled::Closed) => {}
        other => panic!("a ticket was left open: {other:?}"),
    }
    upstream.close();
}

macro_rules! meetings {
    ($($name:ident: $happening:ident, $pusher:ident;)*) => { $(
        pub fn $name() {
            $happening.meets($pusher);
        }
    )* };
}

meetings! {
    advance_meets_idle: ADVANCE, Idle;
    advance_meets_accepted: ADVANCE, Accepted;
    advance_meets_rejected: ADVANCE, Rejected;
    advance_meets_behind: ADVANCE, Behind;
    advance_meets_lost: ADVANCE, Lost;
    advance_meets_uncertain: ADVANCE, Uncertain;
    advance_meets_refused: ADVANCE, Refused;
    advance_meets_backing_off: ADVANCE, BackingOff;
    advance_meets_paused: ADVANCE, Paused;
    rebase_meets_idle: REBASE, Idle;
    rebase_meets_accepted: REBASE, Accepted;
    rebase_meets_rejected: REBASE, Rejected;
    rebase_meets_behind: REBASE, Behind;
    rebase_meets_lost: REBASE, Lost;
    rebase_meets_uncertain: REBASE, Uncertain;
    rebase_meets_refused: REBASE, Refused;
    rebase_meets_backing_off: REBASE, BackingOff;
    rebase_meets_paused: REBASE, Paused;
    catch_up_meets_idle: CATCH_UP, Idle;
    catch_up_meets_accepted: CATCH_UP, Accepted;
    catch_up_meets_rejected: CATCH_UP, Rejected;
    catch_up_meets_behind: CATCH_UP, Behind;
    catch_up_meets_lost: CATCH_UP, Lost;
    catch_up_meets_uncertain: CATCH_UP, Uncertain;
    catch_up_meets_refused: CATCH_UP, Refused;
    catch_up_meets_backing_off: CATCH_UP, BackingOff;
    catch_up_meets_paused: CATCH_UP, Paused;
    news_meets_idle: CATCH_UP_WITH_NEWS, Idle;
    news_meets_accepted: CATCH_UP_WITH_NEWS, Accepted;
    news_meets_rejected: CATCH_UP_WITH_NEWS, Rejected;
    news_meets_behind: CATCH_UP_WITH_NEWS, Behind;
    news_meets_lost: CATCH_UP_WITH_NEWS, Lost;
    news_meets_uncertain: CATCH_UP_WITH_NEWS, Uncertain;
    news_meets_refused: CATCH_UP_WITH_NEWS, Refused;
    news_meets_backing_off: CATCH_UP_WITH_NEWS, BackingOff;
    news_meets_paused: CATCH_UP_WITH_NEWS, Paused;
    reconnect_meets_idle: RECONNECT, Idle;
    reconnect_meets_accepted: RECONNECT, Accepted;
    reconnect_meets_rejected: RECONNECT, Rejected;
    reconnect_meets_behind: RECONNECT, Behind;
    reconnect_meets_lost: RECONNECT, Lost;
    reconnect_meets_uncertain: RECONNECT, Uncertain;
    reconnect_meets_refused: RECONNECT, Refused;
    reconnect_meets_backing_off: RECONNECT, BackingOff;
    reconnect_meets_paused: RECONNECT, Paused;
    time_meets_idle: TIMER, Idle;
    time_meets_accepted: TIMER, Accepted;
    time_meets_rejected: TIMER, Rejected;
    time_meets_behind: TIMER, Behind;
    time_meets_lost: TIMER, Lost;
    time_meets_uncertain: TIMER, Uncertain;
    time_meets_refused: TIMER, Refused;
    time_meets_backing_off: TIMER, BackingOff;
    time_meets_paused: TIMER, Paused;
    resume_meets_idle: RESUME, Idle;
    resume_meets_accepted: RESUME, Accepted;
    resume_meets_rejected: RESUME, Rejected;
    resume_meets_behind: RESUME, Behind;
    resume_meets_lost: RESUME, Lost;
    resume_meets_uncertain: RESUME, Uncertain;
    resume_meets_refused: RESUME, Refused;
    resume_meets_backing_off: RESUME, BackingOff;
    resume_meets_paused: RESUME, Paused;
    pull_resume_meets_idle: PULL_RESUME, Idle;
    pull_resume_meets_accepted: PULL_RESUME, Accepted;
    pull_resume_meets_rejected: PULL_RESUME, Rejected;
    pull_resume_meets_behind: PULL_RESUME, Behind;
    pull_resume_meets_lost: PULL_RESUME, Lost;
    pull_resume_meets_uncertain: PULL_RESUME, Uncertain;
    pull_resume_meets_refused: PULL_RESUME, Refused;
    pull_resume_meets_backing_off: PULL_RESUME, BackingOff;
    pull_resume_meets_paused: PULL_RESUME, Paused;
    restart_meets_idle: RESTART, Idle;
    restart_meets_accepted: RESTART, Accepted;
    restart_meets_rejected: RESTART, Rejected;
    restart_meets_behind: RESTART, Behind;
    restart_meets_lost: RESTART, Lost;
    restart_meets_uncertain: RESTART, Uncertain;
    restart_meets_refused: RESTART, Refused;
    restart_meets_backing_off: RESTART, BackingOff;
    restart_meets_paused: RESTART, Paused;
    retry_meets_idle: RETRY, Idle;
    retry_meets_accepted: RETRY, Accepted;
    retry_meets_rejected: RETRY, Rejected;
    retry_meets_behind: RETRY, Behind;
    retry_meets_lost: RETRY, Lost;
    retry_meets_uncertain: RETRY, Uncertain;
    retry_meets_refused: RETRY, Refused;
    retry_meets_backing_off: RETRY, BackingOff;
    retry_meets_paused: RETRY, Paused;
}

macro_rules! stopping {
    ($($name:ident: $pusher:ident;)*) => { $(
        pub fn $name() {
            stop_meets($pusher);
        }
    )* };
}

stopping! {
    stop_meets_idle: Idle;
    stop_meets_accepted: Accepted;
    stop_meets_rejected: Rejected;
    stop_meets_behind: Behind;
    stop_meets_lost: Lost;
    stop_meets_uncertain: Uncertain;
    stop_meets_refused: Refused;
    stop_meets_backing_off: BackingOff;
    stop_meets_paused: Paused;
}
