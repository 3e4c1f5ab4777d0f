//! The same, with the pusher and the puller of a replicator for tasks: one driver, on a thread of its own.
//!
//! Main brings it to the state by polling it, with a waker that wakes nothing; then it moves to its thread, where it is
//! polled with another. What upstream causes happens as main lets it go, first in the direction that pulls: so a page comes
//! before or after the answer to a push, though one task polls both.
//!
//! Threads: main and the driver's.

use super::super::executor::{EndOfTime, Task, block_on, poll_once};
use super::super::upstream::ForTasks;
use super::super::{thread, unexplored};
use super::{
    Direction, Feed, Handle, Happening, Idle, MemoryLog, Paused, Pull, Pusher, Replicator, STOP, Scripted, Settled,
    Stop, Ticket, WaitingOn,
};
use std::future::Future;

/// A replicator for tasks in the very state, and its driver.
struct Staged<D> {
    replicator: Handle,
    driver: D,
    upstream: ForTasks,
    clock: EndOfTime,
    ticket: Option<Ticket<u64>>,
}

impl Happening {
    /// As [`staged`](Self::staged).
    fn staged_for_tasks(self, pusher: Pusher) -> Staged<impl Future<Output = ()> + Unpin> {
        let script = Scripted::new(pusher.answers(), self.feeds.0, self.feeds.1);
        let held_pull = self.held_pull.saturating_add(usize::from(self.feeds.0.first() == Some(&Feed::Unavailable)));
        let upstream = ForTasks::new(script.holding(pusher.held_push(), held_pull));
        let log = if self.rebases { MemoryLog::rebasing() } else { MemoryLog::new() };
        let mut builder = Replicator::builder(log, upstream.clone());
        if !self.live {
            builder = builder.one_shot_pull();
        }
        let clock = EndOfTime::default();
        let (replicator, mut driver) = builder.build_async(clock.clone());
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
        let ticket = (pusher != Idle).then(|| replicator.commit(vec!["a"]).unwrap());
        goes_on();
        assert!(pusher.is(&replicator.status()), "the pusher is not {pusher:?}: {:?}", replicator.status());
        Staged { replicator, driver, upstream, clock, ticket }
    }

    /// As [`meets`](Self::meets), for tasks.
    pub fn meets_tasks(self, pusher: Pusher) {
        let way = unexplored();
        let Staged { replicator, driver, upstream, clock, ticket: _ticket } = self.staged_for_tasks(pusher);
        let mut settled = Task::new(replicator.flush_async());
        assert!(pusher == Idle || settled.poll().is_pending());
        drop(way);
        let runs = thread::spawn(|| block_on(driver));
        if pusher == Idle {
            replicator.commit(vec!["a"]).unwrap();
        }
        for direction in [Direction::Pull, Direction::Push] {
            upstream.release(direction);
        }
        (self.act)(&replicator);
        if pusher == Paused {
            replicator.resume(Direction::Push);
        }
        if (self.needs_time)(pusher) {
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
        replicator.stop();
        runs.join().unwrap();
    }
}

impl Stop {
    /// As [`meets`](Self::meets), for tasks. The drop waits for nothing: main waits for the driver's end.
    pub fn meets_tasks(self, pusher: Pusher) {
        let way = unexplored();
        let Staged { replicator, driver, upstream, ticket, .. } = STOP.staged_for_tasks(pusher);
        drop(way);
        let runs = thread::spawn(|| block_on(driver));
        for direction in [Direction::Pull, Direction::Push] {
            upstream.release(direction);
        }
        let ticket = ticket.unwrap_or_else(|| replicator.commit(vec!["a"]).unwrap());
        drop(replicator);
        runs.join().unwrap();
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
