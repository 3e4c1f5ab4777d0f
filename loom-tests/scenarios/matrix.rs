//! Everything that can happen, meeting a pusher in every state: one event each.
//!
//! The way to the meeting is not explored: main brings the replicator to the very state, and
//! exploration begins there. (The models of [`replicator`](super::replicator) explore the way too.)
//! What was about to happen is held inside the call to upstream until then: a push that is about to
//! be answered, a pull that is about to bring its page. Then main begins to wait until everything
//! has settled, all that is held is let go at once, and main causes what it is to cause.
//!
//! The events that upstream causes are the puller's doing, or what it says of a push; the others are
//! main's. Two of the states, `Lost` and `Refused`, and of the events a resume of pulls, `retry_now`,
//! `reconnect`, `reset_with`, `give_up`, a refusal for good, a batch that is too large, a deadline
//! and a subscriber that lags are not in the theorem's matrix; where they would take too long they
//! have a bound.
//!
//! Threads: main, the pusher, the puller. Time stands still unless it is what happens, or what is needed at the end.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::executor::Task;
use super::upstream::{Answer, Event, Feed, Scripted};
use super::{latchwork, unexplored};
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::protocol::{Direction, Pull, Push, WaitingOn};
use latchwork::replicator::{self, Receiver, RecvError, Status};
use latchwork::sync::model::{advance, end_time};
use latchwork::{Replicator, Settled, Ticket};

mod tasks;

type Handle = Replicator<MemoryLog<Event>>;

/// What the pusher is doing when it happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pusher {
    /// Nothing: nothing is pending. Main commits as exploration begins.
    Idle,
    /// Sending, and about to be accepted.
    Accepted,
    /// Sending, and about to be told what happens.
    Sending,
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
            Idle | Accepted | Sending | Paused => &[],
            Rejected | Behind => &[Answer::Behind],
            Lost | Uncertain => &[Answer::PushLost],
            Refused | BackingOff => &[Answer::Unavailable],
        }
    }

    /// The first push that is held: one in a call that is about to be answered, or none that is expected.
    fn held_push(self) -> usize {
        usize::from(!matches!(self, Accepted | Sending | Rejected | Lost | Refused))
    }

    /// Whether this is what it is doing.
    fn is(self, status: &Status<u64>) -> bool {
        match self {
            Idle | Paused => status.push == Push::Idle,
            Accepted | Sending | Rejected | Lost | Refused => matches!(status.push, Push::Sending { .. }),
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
    /// What the pushes after those of the pusher's state come to.
    answer: Answer,
    /// What main commits.
    commits: &'static [Event],
    /// Whether there is a subscriber, who may leave one event unread and reads none.
    subscribes: bool,
    /// What main does.
    act: fn(&Handle),
    /// What is at upstream in the end.
    events: &'static [Event],
    /// Whether time has to end after it, for nothing else may end the pusher's wait.
    needs_time: fn(Pusher) -> bool,
    /// Whether time has to end for tasks, as it drops a call: what was to be answered is not, and is made anew after a
    /// delay.
    drops: fn(Pusher) -> bool,
}

/// Something that main does. The log pulls once.
const fn done(act: fn(&Handle)) -> Happening {
    Happening {
        rebases: false,
        live: false,
        feeds: (&[], Feed::Page),
        held_pull: 1,
        heedful: false,
        answer: Answer::Honest,
        commits: &["a"],
        subscribes: false,
        act,
        events: &["a"],
        needs_time: |pusher| matches!(pusher, Lost | Uncertain | Refused),
        drops: |_| false,
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
pub const REBASE: Happening = Happening { rebases: true, drops: |pusher| pusher == Rejected, ..ADVANCE };
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
pub const OWNER_RECONNECT: Happening =
    Happening { drops: |pusher| pusher != BackingOff, ..done(|replicator| replicator.reconnect()) };
/// Main puts in a log that goes on with what is pending.
pub const RESET_WITH: Happening =
    done(|replicator| drop(replicator.reset_with(|log| (log.clone(), Vec::new())).unwrap()));
/// The first pull is over; another one brings nothing, and ends when it is told to.
const STOP: Happening =
    Happening { feeds: (&[Feed::Page], Feed::Silence), heedful: true, held_pull: usize::MAX, ..done(|_| ()) };
pub const RETRY: Happening = done(|replicator| replicator.retry_now());

/// Upstream takes one event at a time, and two are committed.
pub const TOO_LARGE: Happening = Happening {
    answer: Answer::TooLarge,
    commits: &["a", "b"],
    events: &["a", "b"],
    needs_time: waits_for_time,
    ..done(|_| ())
};
/// Upstream takes a push, and says nothing until the push's time is over. So much time passes before that a push which
/// waits for a time may begin.
pub const DEADLINE: Happening =
    Happening { answer: Answer::Hangs, needs_time: |_| true, ..done(|_| advance(HOUR / 2)) };
const HOUR: Duration = Duration::from_secs(3600);
/// A subscriber has left unread as much as it may when what main commits is confirmed.
pub const LAG: Happening = Happening {
    feeds: (&[Feed::ForeignPage("b")], Feed::Page),
    events: &["a", "b"],
    subscribes: true,
    needs_time: waits_for_time,
    ..done(|_| ())
};

/// What there is when exploration begins.
struct Staged {
    replicator: Handle,
    upstream: Scripted,
    ticket: Option<Ticket<u64>>,
    receiver: Option<Receiver<MemoryEntry<Event>, u64>>,
}

impl Happening {
    /// Brings the replicator to the state, [unexplored]. Whenever main yields, the others go on
    /// until they wait.
    fn staged(self, pusher: Pusher) -> Staged {
        let upstream = Scripted::new(pusher.answers(), self.feeds.0, self.feeds.1).answering(self.answer);
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
        if self.answer == Answer::Hangs {
            builder = builder.push_deadline(HOUR);
        }
        let replicator = builder.max_unread(NonZeroUsize::MIN).spawn().unwrap();
        let receiver = self.subscribes.then(|| replicator.updates().receiver);
        loom::thread::yield_now();
        if matches!(replicator.status().pull, Pull::Waiting { .. }) {
            replicator.resume(Direction::Pull);
            loom::thread::yield_now();
        }
        if pusher == Paused {
            replicator.pause(Direction::Push);
        }
        let ticket = (pusher != Idle).then(|| replicator.commit(self.commits.to_vec()).unwrap());
        loom::thread::yield_now();
        assert!(pusher.is(&replicator.status()), "the pusher is not {pusher:?}: {:?}", replicator.status());
        Staged { replicator, upstream, ticket, receiver }
    }

    /// Main waits before anything happens, as a task: where its wait may fall is explored
    /// elsewhere. What it commits as exploration begins it waits for afterwards.
    pub fn meets(self, pusher: Pusher) {
        let way = unexplored();
        let Staged { replicator, upstream, ticket: _ticket, receiver } = self.staged(pusher);
        let mut settled = Task::new(replicator.flush_async());
        assert!(pusher == Idle || settled.poll().is_pending());
        upstream.release();
        drop(way);
        if pusher == Idle {
            replicator.commit(self.commits.to_vec()).unwrap();
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
        if let Some(receiver) = receiver {
            assert!(receiver.try_recv() == Err(RecvError::Lagged), "it lags, and is not told");
        }
        upstream.close();
    }
}

/// Main gives up what it has committed, unless upstream may have it. (A pusher that backs off or is paused sleeps through it:
/// there is one order, hence no model.)
pub struct GiveUp;

impl GiveUp {
    pub fn meets(self, pusher: Pusher) {
        let way = unexplored();
        let happening = done(|_| ());
        let Staged { replicator, upstream, ticket, .. } = happening.staged(pusher);
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

/// Upstream refuses an event for good, which main gives up as soon as it hears of it.
pub struct Refusal;

impl Refusal {
    pub fn meets(self, pusher: Pusher) {
        let way = unexplored();
        let happening = Happening { answer: Answer::Rejected("a"), ..done(|_| ()) };
        let Staged { replicator, upstream, ticket, .. } = happening.staged(pusher);
        let commit = |event| replicator.commit(vec![event]).unwrap();
        let behind = ticket.is_some().then(|| commit("b"));
        upstream.release();
        drop(way);
        let refused = ticket.unwrap_or_else(|| commit("a"));
        let behind = behind.unwrap_or_else(|| commit("b"));
        if pusher == Paused {
            replicator.resume(Direction::Push);
        }
        if waits_for_time(pusher) {
            end_time();
        }
        assert!(refused.unless_halted().wait().is_none(), "it has settled, and was refused");
        replicator.give_up(replicator::GiveUp::Rejected).unwrap();
        let settled = [refused.wait(), behind.wait()];
        loom::stop_exploring();
        loom::thread::yield_now();
        assert!(settled == [Settled::Rejected, Settled::Confirmed(1)], "the tickets say {settled:?}");
        assert!(upstream.events() == ["b"], "not what stood behind it alone is at upstream");
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
        let stop = Happening { live: pusher == Rejected, ..STOP };
        let Staged { replicator, upstream, ticket, .. } = stop.staged(pusher);
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
