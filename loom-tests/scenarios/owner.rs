//! Models of what an owner waits for: a status that changes, a commit that cannot settle, an event that is refused, a call
//! that hangs.
//!
//! Threads: main, the pusher, the puller (which ends its one pull before).

use std::time::Duration;

use super::latchwork;
use super::unexplored;
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::protocol::{Push, WaitingOn};
use latchwork::replicator::GiveUp;
use latchwork::sync::model::end_time;
use latchwork::upstream::{Batch, FatalKind, More, Page, PullError, PushError, Upstream};
use latchwork::{Backoff, Interrupt, Replicator, Settled};

type Log = MemoryLog<&'static str>;

/// What an upstream that has nothing says of each push.
#[derive(Clone, Copy)]
enum Says {
    /// Yes.
    Taken,
    /// The client is refused.
    Refused,
    /// This event is refused, whatever it comes with.
    RefusedEvent(&'static str),
    /// Nothing, the first time, until it is asked to end.
    Hangs,
}

struct Upstreams(Says, std::sync::atomic::AtomicUsize);

impl Upstream<Log> for Upstreams {
    fn push(&self, batch: &Batch<Log>, interrupt: &Interrupt) -> Result<(), PushError<u64>> {
        let first = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        match self.0 {
            Says::Refused => Err(PushError::Fatal { kind: FatalKind::Other, error: "no".into() }),
            Says::RefusedEvent(refused) => match batch.entries.iter().position(|entry| entry.event == refused) {
                Some(index) => Err(PushError::Rejected { index, error: "no".into() }),
                None => Ok(()),
            },
            Says::Hangs if first => {
                interrupt.wait();
                Err(PushError::Unavailable { retry_after: None, error: "it was asked to end".into() })
            }
            Says::Taken | Says::Hangs => Ok(()),
        }
    }

    fn pull<'a>(
        &'a self,
        _: u64,
        _: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<MemoryEntry<&'static str>>, PullError>> + 'a {
        std::iter::once(Ok(Page { entries: Vec::new(), more: More::None }))
    }
}

/// A replicator that has caught up.
fn caught_up(says: Says) -> Replicator<Log> {
    let way = unexplored();
    let replicator = Replicator::builder(Log::new(), Upstreams(says, Default::default()))
        .one_shot_pull()
        .backoff(Backoff::new(Duration::from_millis(1), Duration::from_millis(1)))
        .push_deadline(if matches!(says, Says::Hangs) { Duration::from_millis(1) } else { Duration::MAX })
        .spawn()
        .unwrap();
    loom::thread::yield_now();
    drop(way);
    replicator
}

/// Main commits and waits for what a status line shows: that it is being sent, or that it has been.
pub fn a_status_that_changes_is_seen() {
    let replicator = caught_up(Says::Taken);
    let _ticket = replicator.commit(vec!["a"]).unwrap();
    let saved = replicator.status_when(|status| status.pending == 0).wait();
    assert!(saved.is_some_and(|status| status.waiting_on == WaitingOn::Nothing));
    loom::stop_exploring();
}

/// Main commits, and waits for the push to begin as for a call that hangs; then ends it.
pub fn a_push_that_begins_is_seen_and_reconnect_ends_it() {
    let way = unexplored();
    let replicator = Replicator::builder(Log::new(), Upstreams(Says::Hangs, Default::default())).one_shot_pull();
    let replicator = replicator.backoff(Backoff::new(Duration::ZERO, Duration::ZERO)).spawn().unwrap();
    loom::thread::yield_now();
    drop(way);
    let ticket = replicator.commit(vec!["a"]).unwrap();
    let _sending = replicator.status_when(|status| matches!(status.push, Push::Sending { .. })).wait();
    loom::stop_exploring();
    replicator.reconnect();
    end_time();
    assert!(ticket.wait() == Settled::Confirmed(1));
}

/// Main waits for everything to be settled as the pusher fails.
pub fn a_flush_ends_when_the_pusher_fails() {
    let replicator = caught_up(Says::Refused);
    let _ticket = replicator.commit(vec!["a"]).unwrap();
    let error = replicator.flushed().wait().unwrap_err();
    assert!(matches!(error.waiting_on, WaitingOn::Owner(_)), "it does not say who goes on");
    loom::stop_exploring();
}

/// The same, for a ticket.
pub fn a_bounded_wait_for_a_ticket_ends_when_the_pusher_fails() {
    let replicator = caught_up(Says::Refused);
    let ticket = replicator.commit(vec!["a"]).unwrap();
    assert!(ticket.unless_halted().wait().is_none(), "it has settled");
    loom::stop_exploring();
}

/// Main gives up the event that upstream refuses, as soon as it hears of it.
pub fn a_refused_event_that_is_given_up_lets_the_next_go_on() {
    let replicator = caught_up(Says::RefusedEvent("a"));
    let refused = replicator.commit(vec!["a"]).unwrap();
    let next = replicator.commit(vec!["b"]).unwrap();
    let _halted = replicator.flushed().wait();
    let given_up = replicator.give_up(GiveUp::Rejected).unwrap();
    assert!(given_up == [MemoryEntry { position: 1, event: "a" }]);
    assert!(refused.wait() == Settled::Rejected && next.wait() == Settled::Confirmed(1));
    loom::stop_exploring();
}

/// A push hangs until it is asked to end, which its deadline does.
pub fn a_push_that_hangs_ends_at_its_deadline() {
    let replicator = caught_up(Says::Hangs);
    let ticket = replicator.commit(vec!["a"]).unwrap();
    end_time();
    assert!(ticket.wait() == Settled::Confirmed(1));
    loom::stop_exploring();
}
