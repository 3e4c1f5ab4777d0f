//! Models of a leader: a session's push is answered, whatever becomes of it at the leader's upstream.
//!
//! Threads: main, which is the session's pusher and another client of the leader's upstream, and the leader's driver.

use super::executor::{Driven, EndOfTime, Task, block_on};
use super::upstream::Event;
use super::{latchwork, unexplored};
use latchwork::Replicator;
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{AsyncUpstream, Batch, Fault, Memory, PushError};
use std::num::NonZeroUsize;
use std::task::Poll;

type Log = MemoryLog<Event>;

const KEPT: NonZeroUsize = NonZeroUsize::MIN;

/// The session's push begins, another client sends an event, and the session is answered: its batch was taken as it stands,
/// or it is behind and the leader has let go of it.
fn is_answered(log: Log) {
    let way = unexplored();
    let upstream = Memory::new(0);
    let leader = Driven::new(Replicator::builder(log, upstream.clone()).build_async(EndOfTime::default()));
    let served = leader.as_upstream(KEPT);
    loom::thread::yield_now();
    drop(way);
    let batch = Batch::<Log>::new(0, vec![MemoryEntry { position: 1, event: "a" }]);
    let mut push = Task::new(Box::pin(AsyncUpstream::<Log>::push(&served, &batch)));
    let begun = push.poll();
    super::tasks::another_sends(&upstream, "b");
    let outcome = match begun {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => push.run(),
    };
    loom::stop_exploring();
    let events: Vec<_> = upstream.entries().iter().map(|entry| entry.event).collect();
    match outcome {
        Ok(()) => assert!(events == ["a", "b"], "it is not as it was pushed"),
        Err(PushError::Behind { head: Some(1) }) => {
            assert!(events == ["b"] && leader.status().pending == 0, "the leader keeps it");
        }
        Err(error) => panic!("it is answered otherwise: {error}"),
    }
    leader.ends();
}

pub fn an_advance_answers_the_push() {
    is_answered(Log::new());
}

pub fn a_rebase_answers_the_push() {
    is_answered(Log::rebasing());
}

/// The leader's upstream refuses the event for good, and nothing is merged.
pub fn a_refusal_answers_the_push() {
    let way = unexplored();
    let upstream = Memory::<Log>::new(0);
    upstream.fail_push(Fault::RejectEvent(0));
    let leader = Driven::new(Replicator::builder(Log::new(), upstream.clone()).build_async(EndOfTime::default()));
    let served = leader.as_upstream(KEPT);
    loom::thread::yield_now();
    drop(way);
    let batch = Batch::<Log>::new(0, vec![MemoryEntry { position: 1, event: "a" }]);
    let outcome = block_on(Box::pin(AsyncUpstream::<Log>::push(&served, &batch)));
    loom::stop_exploring();
    assert!(matches!(outcome, Err(PushError::Rejected { index: 0, .. })), "it is answered otherwise");
    assert!(leader.status().pending == 0, "the leader keeps it");
    leader.ends();
}
