//! Everything that can happen, meeting a pusher in every state: one event each.
//!
//! The way to the meeting is not explored: main brings the replicator to the very state, and
//! exploration begins there. (The models of [`replicator`](super::replicator) explore the way too.)
//! What was about to happen is held inside the call to upstream until then: a push that is about to
//! be answered, a pull that is about to bring its page. Then main begins to wait until everything
//! has settled, all that is held is let go at once, and main causes what it is to cause.
//!
//! The events that upstream causes are the puller's doing, the others are main's. Two of the states, `Lost` and `Refused`, and
//! of the events a resume of pulls, `retry_now`, `reconnect`, `reset_with` and `give_up` are not in the theorem's matrix; where
//! they would take too long they have a bound.
//!
//! Threads: main, the pusher, the puller. Time stands still unless it is what happens, or what is needed at the end.

use std::time::Duration;

use super::executor::Task;
use super::upstream::{Answer, Event, Feed, Scripted};
use super::{latchwork, unexplored};
use latchwork::log::MemoryLog;
use latchwork::protocol::{Direction, Pull, Push, WaitingOn};
use latchwork::replicator::{self, Status};
use latchwork::sync::model::end_time;
use latchwork::{Replicator, Settled, Ticket};

type Handle = Replicator<MemoryLog<Event>>;

/// What the pusher is doing when it happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pusher {
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
pub use Pusher::*;

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
pub struct Happening {
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

pub const ADVANCE: Happening = Happening { events: &["a", "b"], ..pulled(&[Feed::Foreign("b")]) };
pub const REBASE: Happening = Happening { rebases: true, ..ADVANCE };
pub const CATCH_UP: Happening = Happening { live: false, ..pulled(&[Feed::Page]) };
pub const NEWS: Happening = Happening { events: &["a", "b"], ..pulled(&[Feed::News("b")]) };
/// The first pull cannot reach upstream; the one that begins now does.
pub const RECONNECT: Happening = Happening {
    live: false,
    feeds: (&[Feed::Unavailable], Feed::Page),
    needs_time: |pusher| matches!(pusher, Lost | Uncertain | Refused),
    ..pulled(&[])
};
pub const TIME: Happening = Happening { held_pull: 1, needs_time: |_| true, ..pulled(&[Feed::Heedful]) };
pub const RESUME: Happening = done(|replicator| {
    replicator.pause(Direction::Push);
    replicator.resume(Direction::Push);
});
pub const PULL_RESUME: Happening = Happening {
    needs_time: waits_for_time,
    ..done(|replicator| {
        replicator.pause(Direction::Pull);
        replicator.resume(Direction::Pull);
    })
};
pub const RESTART: Happening = done(|replicator| replicator.restart());
pub const OWNER_RECONNECT: Happening = done(|replicator| replicator.reconnect());
/// Main puts in a log that goes on with what is pending.
pub const RESET_WITH: Happening =
    done(|replicator| drop(replicator.reset_with(|log| (log.clone(), Vec::new())).unwrap()));
/// The first pull is over; another one brings nothing, and ends when it is told to.
const STOP: Happening =
    Happening { feeds: (&[Feed::Page], Feed::Silence), heedful: true, held_pull: usize::MAX, ..done(|_| ()) };
pub const RETRY: Happening = done(|replicator| replicator.retry_now());

impl Happening {
    /// Brings the replicator to the state, [unexplored]. Whenever main yields, the others go on
    /// until they wait.
    fn staged(self, pusher: Pusher) -> (Handle, Scripted, Option<Ticket<u64>>) {
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
        (replicator, upstream, ticket)
    }

    /// Main waits before anything happens, as a task: where its wait may fall is explored
    /// elsewhere. What it commits as exploration begins it waits for afterwards.
    pub fn meets(self, pusher: Pusher) {
        let way = unexplored();
        let (replicator, upstream, _ticket) = self.staged(pusher);
        let mut settled = Task::new(replicator.flush_async());
        assert!(pusher == Idle || settled.poll().is_pending());
        upstream.release();
        drop(way);
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
        match pusher {
            Idle => replicator.flush(Duration::MAX),
            _ => settled.run(),
        }
        .unwrap();
        loom::stop_exploring();
        loom::thread::yield_now();
        let mut events = upstream.events();
        events.sort_unstable();
        assert!(events == self.events, "not everything is at upstream once");
        assert_eq!(replicator.status().waiting_on, WaitingOn::Nothing);
        upstream.close();
    }
}

/// Main gives up what it has committed, unless upstream may have it.
pub struct GiveUp;

impl GiveUp {
    pub fn meets(self, pusher: Pusher) {
        let way = unexplored();
        let happening = done(|_| ());
        let (replicator, upstream, ticket) = happening.staged(pusher);
        upstream.release();
        drop(way);
        let ticket = ticket.unwrap_or_else(|| replicator.commit(vec!["a"]).unwrap());
        let given_up = replicator.give_up(replicator::GiveUp::Commit(&ticket)).is_ok();
        if pusher == Paused {
            replicator.resume(Direction::Push);
        }
        if (happening.needs_time)(pusher) {
            end_time();
        }
        let settled = ticket.wait();
        loom::stop_exploring();
        loom::thread::yield_now();
        assert!(!given_up || upstream.events().is_empty(), "given up, and upstream has it");
        let expected = if given_up { Settled::Rejected } else { Settled::Confirmed(1) };
        assert!(settled == expected, "given up: {given_up}, and the ticket says {settled:?}");
        upstream.close();
    }
}

/// Main drops the replicator. (A shutdown is the same with a report; it is in the models of the replicator.)
pub struct Stop;

impl Stop {
    pub fn meets(self, pusher: Pusher) {
        let way = unexplored();
        // A rejected pusher whose pulls are not live asks for a catch-up, and there are two calls
        // to stop: too many to explore.
        let (replicator, upstream, ticket) = Happening { live: pusher == Rejected, ..STOP }.staged(pusher);
        upstream.release();
        drop(way);
        let ticket = ticket.unwrap_or_else(|| replicator.commit(vec!["a"]).unwrap());
        drop(replicator);
        loom::stop_exploring();
        match ticket.settled() {
            Some(Settled::Confirmed(_)) => {
                assert!(upstream.events() == ["a"], "confirmed, and upstream has never seen it");
            }
            Some(Settled::Closed) => {}
            other => panic!("a ticket was left open: {other:?}"),
        }
        upstream.close();
    }
}
