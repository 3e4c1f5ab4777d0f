//! The same, with the pusher and the puller of a replicator for tasks: one driver, on a thread of its own.
//!
//! Main brings it to the state by polling it, with a waker that wakes nothing; then it moves to its thread, where it is
//! polled with another. What upstream causes happens as main lets it go, first in the direction that pulls: so a page comes
//! before or after the answer to a push, though one task polls both.
//!
//! Threads: main and the driver's.

use super::super::executor::{Driven, EndOfTime, Task, block_on, joined, poll_once};
use super::super::unexplored;
use super::super::upstream::ForTasks;
use super::{
    Answer, Direction, Event, Feed, GiveUp, HOUR, Handle, Happening, Idle, MemoryEntry, MemoryLog, NonZeroUsize,
    Paused, Pull, Pusher, Receiver, RecvError, Refusal, Replicator, STOP, Scripted, Settled, Stop, Ticket, WaitingOn,
    done, replicator, waits_for_time,
};
use std::future::Future;

/// A replicator for tasks in the very state, and its driver.
struct Staged<D> {
    replicator: Handle,
    driver: D,
    upstream: ForTasks,
    clock: EndOfTime,
    ticket: Option<Ticket<u64>>,
    receiver: Option<Receiver<MemoryEntry<Event>, u64>>,
}

impl Happening {
    /// As [`staged`](Self::staged).
    fn staged_for_tasks(self, pusher: Pusher) -> Staged<impl Future<Output = ()> + Unpin> {
        let script = Scripted::new(pusher.answers(), self.feeds.0, self.feeds.1).answering(self.answer);
        let held_pull = self.held_pull.saturating_add(usize::from(self.feeds.0.first() == Some(&Feed::Unavailable)));
        let upstream = ForTasks::new(script.holding(pusher.held_push(), held_pull));
        let log = if self.rebases { MemoryLog::rebasing() } else { MemoryLog::new() };
        let mut builder = Replicator::builder(log, upstream.clone());
        if !self.live {
            builder = builder.one_shot_pull();
        }
        if self.answer == Answer::Hangs {
            builder = builder.push_deadline(HOUR);
        }
        let clock = EndOfTime::default();
        let (replicator, driver) = builder.max_unread(NonZeroUsize::MIN).build_async(clock.clone());
        let mut driver = joined(driver.split());
        let receiver = self.subscribes.then(|| replicator.updates().receiver);
        let mut goes_on = || {
            // What one half does may give the other something to do.
            for _ in 0..2 {
                assert!(poll_once(&mut driver).is_pending());
            }
        };
        goes_on();
        if matches!(replicator.status().pull, Pull::Waiting { .. }) {
            replicator.resume(Direction::Pull);
            goes_on();
        }
        if pusher == Paused {
            replicator.pause(Direction::Push);
        }
        let ticket = (pusher != Idle).then(|| replicator.commit(self.commits.to_vec()).unwrap());
        goes_on();
        assert!(pusher.is(&replicator.status()), "the pusher is not {pusher:?}: {:?}", replicator.status());
        Staged { replicator, driver, upstream, clock, ticket, receiver }
    }

    /// As [`meets`](Self::meets), for tasks.
    pub fn meets_tasks(self, pusher: Pusher) {
        let way = unexplored();
        let Staged { replicator, driver, upstream, clock, ticket: _ticket, receiver } = self.staged_for_tasks(pusher);
        let mut settled = Task::new(replicator.flush_async());
        assert!(pusher == Idle || settled.poll().is_pending());
        drop(way);
        let driven = Driven::new((replicator.clone(), driver));
        if pusher == Idle {
            replicator.commit(self.commits.to_vec()).unwrap();
        }
        upstream.release();
        (self.act)(&replicator);
        if pusher == Paused {
            replicator.resume(Direction::Push);
        }
        if (self.needs_time)(pusher) || (self.drops)(pusher) {
            clock.come();
        }
        match pusher {
            Idle => block_on(replicator.flush_async()),
            _ => settled.run(),
        }
        .unwrap();
        loom::stop_exploring();
        // It goes on until it waits.
        loom::thread::yield_now();
        let mut events = upstream.script.events();
        events.sort_unstable();
        assert!(events == self.events, "not everything is at upstream once");
        assert_eq!(replicator.status().waiting_on, WaitingOn::Nothing);
        if let Some(receiver) = receiver {
            assert!(receiver.try_recv() == Err(RecvError::Lagged), "it lags, and is not told");
        }
        replicator.stop();
        driven.ends();
    }
}

impl GiveUp {
    /// As [`meets`](Self::meets), for tasks.
    pub fn meets_tasks(self, pusher: Pusher) {
        let way = unexplored();
        let happening = done(|_| ());
        let Staged { replicator, driver, upstream, clock, ticket, .. } = happening.staged_for_tasks(pusher);
        drop(way);
        let replicator = Driven::new((replicator, driver));
        let ticket = ticket.unwrap_or_else(|| replicator.commit(vec!["a"]).unwrap());
        upstream.release();
        let given_up = replicator.give_up(replicator::GiveUp::Commit(&ticket)).is_ok();
        if pusher == Paused {
            replicator.resume(Direction::Push);
        }
        if (happening.needs_time)(pusher) {
            clock.come();
        }
        let settled = block_on(ticket.wait_async());
        loom::stop_exploring();
        loom::thread::yield_now();
        assert!(!given_up || upstream.script.events().is_empty(), "given up, and upstream has it");
        let expected = if given_up { Settled::Rejected } else { Settled::Confirmed(1) };
        assert!(settled == expected, "given up: {given_up}, and the ticket says {settled:?}");
        replicator.ends();
    }
}

impl Refusal {
    /// As [`meets`](Self::meets), for tasks.
    pub fn meets_tasks(self, pusher: Pusher) {
        let way = unexplored();
        let happening = Happening { answer: Answer::Rejected("a"), ..done(|_| ()) };
        let Staged { replicator, driver, upstream, clock, ticket, .. } = happening.staged_for_tasks(pusher);
        let commit = |replicator: &Handle, event| replicator.commit(vec![event]).unwrap();
        let behind = ticket.is_some().then(|| commit(&replicator, "b"));
        drop(way);
        let replicator = Driven::new((replicator, driver));
        upstream.release();
        let refused = ticket.unwrap_or_else(|| commit(&replicator, "a"));
        let behind = behind.unwrap_or_else(|| commit(&replicator, "b"));
        if pusher == Paused {
            replicator.resume(Direction::Push);
        }
        if waits_for_time(pusher) {
            clock.come();
        }
        assert!(block_on(refused.unless_halted()).is_none(), "it has settled, and was refused");
        replicator.give_up(replicator::GiveUp::Rejected).unwrap();
        let settled = [block_on(refused.wait_async()), block_on(behind.wait_async())];
        loom::stop_exploring();
        loom::thread::yield_now();
        assert!(settled == [Settled::Rejected, Settled::Confirmed(1)], "the tickets say {settled:?}");
        assert!(upstream.script.events() == ["b"], "not what stood behind it alone is at upstream");
        replicator.ends();
    }
}

impl Stop {
    /// As [`meets`](Self::meets), for tasks. The drop waits for nothing: main waits for the driver's end.
    pub fn meets_tasks(self, pusher: Pusher) {
        let way = unexplored();
        let Staged { replicator, driver, upstream, ticket, .. } = STOP.staged_for_tasks(pusher);
        drop(way);
        let replicator = Driven::new((replicator, driver));
        upstream.release();
        let ticket = ticket.unwrap_or_else(|| replicator.commit(vec!["a"]).unwrap());
        replicator.ends();
        loom::stop_exploring();
        match ticket.settled() {
            Some(Settled::Confirmed(_)) => {
                assert!(upstream.script.events() == ["a"], "confirmed, and upstream has never seen it");
            }
            Some(Settled::Closed) => {}
            other => panic!("a ticket was left open: {other:?}"),
        }
    }
}
