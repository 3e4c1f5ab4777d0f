//! How large a push is, and what it and a pull wait for if they need not.

use std::num::NonZeroUsize;

use super::*;
use crate::log::{Log, MemoryLogError, Merged, Wrapper};
use crate::protocol::{Direction, WaitingOn};

fn size(size: usize) -> NonZeroUsize {
    NonZeroUsize::new(size).expect("a batch is not empty")
}

/// Pushes of three, which wait 20 ms for more.
fn lingering<const N: usize>(pending: [u64; N]) -> Core {
    lingering_with(MemoryLog::new().with_pending(0, pending))
}

fn lingering_with(log: MemoryLog<u64>) -> Core {
    Protocol::new(log, Settings { linger: ms(20), batch: size(3), ..settings() })
}

#[test]
fn a_push_waits_for_more_events_than_there_are() {
    let mut protocol = lingering([1]);
    assert!(matches!(protocol.next_push(ms(100)), Next::Wait { until: Some(until) } if until == ms(120)));
    assert_eq!(protocol.waiting_on(), WaitingOn::Clock(ms(120)));
    assert_eq!(protocol.commit(vec![2]), Ok(1));
    assert!(!protocol.would_send(ms(119)));
    assert_eq!(protocol.send(ms(120)).entries.len(), 2);
}

#[test]
fn a_push_does_not_wait_once_it_is_full() {
    assert!(lingering([1, 2, 3]).would_send(ms(0)));
    let mut protocol = lingering([1]).then(|it| it.next_push(ms(0)));
    assert_eq!(protocol.commit(vec![2]), Ok(1));
    assert!(!protocol.would_send(ms(0)));
    assert_eq!(protocol.commit(vec![3]), Ok(1));
    assert!(protocol.would_send(ms(0)));
    // What upstream has room for, and what is sent before an event that it refuses, will not be more.
    assert!(lingering([1, 2, 3, 4]).then(|it| it.push_once(too_large(), ms(0))).would_send(ms(0)));
    assert!(lingering([1, 2, 3, 4]).then(|it| it.push_once(rejected(1), ms(0))).would_send(ms(0)));
}

#[test]
fn a_push_does_not_wait_if_the_owner_is_in_a_hurry() {
    type Step = fn(&mut Core);
    let steps: [(&str, Step); 5] = [
        ("hurry", Core::hurry),
        ("retry_now", |it| drop(it.retry_now())),
        ("resume", |it| it.resume(Direction::Push)),
        ("restart", |it| drop(it.restart())),
        ("reconnect", |it| drop(it.reconnect())),
    ];
    for (name, step) in steps {
        for waits in [false, true] {
            let mut protocol = lingering([1]);
            if waits {
                let Next::Wait { .. } = protocol.next_push(ms(0)) else { panic!("it is sent") };
            }
            step(&mut protocol);
            assert!(protocol.would_send(ms(0)), "{name}");
            let _confirmed = protocol.push_once(Ok(()), ms(0));
            assert_eq!(protocol.commit(vec![2]), Ok(1));
            assert!(!protocol.would_send(ms(0)), "{name} is about what was pending");
        }
    }
    let mut later = lingering([]).then(|it| it.hurry());
    assert_eq!(later.commit(vec![1]), Ok(1));
    assert!(!later.would_send(ms(0)), "nothing was pending");
}

#[test]
fn a_hurry_lasts_until_a_push_carries_all_there_is() {
    let mut protocol = lingering([1, 2, 3, 4]).then(|it| it.hurry());
    assert_eq!(protocol.send(ms(0)).entries.len(), 3);
    let mut protocol = lingering([1, 2, 3, 4]).then(|it| it.hurry()).then(|it| it.push_once(Ok(()), ms(0)));
    assert_eq!(protocol.send(ms(0)).entries.len(), 1);
}

#[test]
fn a_push_that_was_not_taken_does_not_wait_again() {
    type Outcome = fn() -> PushError<u64>;
    let outcomes: [Outcome; 3] = [
        || PushError::Behind { head: None },
        || PushError::Unavailable { retry_after: None, error: "away".into() },
        || PushError::Uncertain { error: "no answer".into() },
    ];
    let foreign = || last_page(0, &[90]);
    for outcome in outcomes {
        for is_overtaken in [false, true] {
            let log = if is_overtaken { MemoryLog::rebasing() } else { MemoryLog::new() };
            let mut protocol = lingering_with(log.with_pending(0, [1]));
            let pull = protocol.begin_pull(ms(0));
            let Next::Wait { .. } = protocol.next_push(ms(0)) else { panic!("it waits for more") };
            let batch = protocol.send(ms(20));
            if is_overtaken {
                let _news = protocol.receive(pull, foreign(), ms(20));
            }
            let _answer = protocol.push_ended(batch, Err(outcome()), 0, ms(20)).expect("the log is not asked");
            if !is_overtaken {
                let _news = protocol.receive(pull, foreign(), ms(20));
            }
            let until = match protocol.waiting_on() {
                WaitingOn::Clock(until) | WaitingOn::Connectivity(until) => until,
                _ => ms(20),
            };
            assert!(protocol.would_send(until), "{:?}, overtaken: {is_overtaken}", outcome());
            let _confirmed = protocol.push_once(Ok(()), until);
            assert_eq!(protocol.commit(vec![2]), Ok(1));
            assert!(!protocol.would_send(until), "what was pending is sent");
        }
    }
}

#[test]
fn what_was_pending_and_is_confirmed_by_a_pull_leaves_no_hurry() {
    let mut protocol = lingering([1]).then(|it| it.hurry());
    let pull = protocol.begin_pull(ms(0));
    let _confirmed = protocol.receive(pull, last_page(0, &[1]), ms(0));
    assert_eq!(protocol.commit(vec![2]), Ok(1));
    assert!(!protocol.would_send(ms(0)));
}

/// A log whose events weigh what they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Heavy(MemoryLog<u64>);

impl Wrapper for Heavy {
    type Log = MemoryLog<u64>;

    fn inner(&self) -> &Self::Log {
        &self.0
    }
    fn inner_mut(&mut self) -> &mut Self::Log {
        &mut self.0
    }
    fn weight(entry: &MemoryEntry<u64>) -> usize {
        entry.event as usize
    }
    fn confirm(&mut self, batch: Vec<MemoryEntry<u64>>) -> Result<Merged<MemoryEntry<u64>>, MemoryLogError> {
        self.0.confirm(batch)
    }
}

#[test]
fn a_push_carries_no_more_than_may_be_in_one_by_weight() {
    let sizes = |limit, cut: fn(NonZeroUsize) -> NonZeroUsize| {
        let settings = Settings { batch_weight: limit, batch: size(4), ..settings() };
        let mut protocol = Protocol::new(Heavy(MemoryLog::new().with_pending(0, [3, 7, 2, 30, 1, 1])), settings);
        let mut sizes = Vec::new();
        while Log::pending(protocol.log()) > 0 {
            let crate::protocol::Next::Do(batch) = protocol.push_begins(ms(0), cut) else { panic!("nothing is sent") };
            sizes.push(batch.entries.len());
            let _confirmed = protocol.push_ended(batch, Ok(()), 0, ms(0)).expect("it is its own");
        }
        sizes
    };
    assert_eq!(sizes(None, |most| most), [4, 2]);
    assert_eq!(sizes(Some(10), |most| most), [2, 1, 1, 2], "one that weighs more is sent alone");
    assert_eq!(sizes(Some(0), |most| most), [1; 6]);
    // And it ends where a commit ends.
    assert_eq!(sizes(Some(12), |most| size(if most.get() == 3 { 2 } else { most.get() })), [2, 1, 1, 2]);
}

#[test]
fn the_next_pull_follows_after_the_interval_whatever_came_of_the_last() {
    let settings = Settings { live: false, pull_interval: Some(ms(1000)), ..settings() };
    let mut protocol = Protocol::new(MemoryLog::<u64>::new(), settings);
    protocol.pull_nothing(ms(0));
    assert_eq!(protocol.pull_waiting_on(), WaitingOn::Clock(ms(1000)));
    assert!(matches!(protocol.next_pull(ms(1)), Next::Wait { until: Some(until) } if until == ms(1000)));
    assert!(!protocol.would_pull(ms(999)));
    protocol.pull_nothing(ms(1000));
    // It is asked to end after it has caught up, and paused meanwhile.
    let pull = protocol.begin_pull(ms(2000));
    let _caught_up = protocol.receive(pull, last_page(0, &[]), ms(2000));
    let _ends = protocol.pause(Direction::Pull);
    let _nothing = protocol.pull_ended(pull, disconnected(), 0, ms(2000));
    assert!(!protocol.would_pull(ms(3000)));
    protocol.resume(Direction::Pull);
    assert!(protocol.would_pull(ms(3000)));
    // A catch-up that is owed does not wait for it.
    protocol.pull_nothing(ms(3000));
    assert!(protocol.clone().then(Core::retry_now).would_pull(ms(3000)));
    // After a failure it is the backoff that counts.
    let pull = protocol.begin_pull(ms(4000));
    let _lost = protocol.pull_ended(pull, disconnected(), 0, ms(4000));
    assert!(!protocol.would_pull(ms(4099)));
    assert!(protocol.would_pull(ms(4100)));
}

#[test]
fn pulls_in_an_interval_of_zero_do_not_follow_at_once() {
    let settings = Settings { live: false, pull_interval: Some(ms(0)), ..settings() };
    let mut protocol = Protocol::new(MemoryLog::<u64>::new(), settings);
    protocol.pull_nothing(ms(0));
    assert!(!protocol.would_pull(ms(0)));
    assert!(protocol.would_pull(ms(1)));
}

#[test]
fn progress_says_what_is_still_to_come_and_when_it_had_all() {
    let mut protocol = live([]);
    let said = |protocol: &Core| (protocol.progress().caught_up, protocol.progress().to_come);
    assert_eq!(said(&protocol), (None, None));
    let pull = protocol.begin_pull(ms(0));
    let mut first = page(0, &[91]);
    first.more = More::Events(1_000_000);
    let _merged = protocol.receive(pull, first, ms(1));
    assert_eq!(said(&protocol), (None, Some(1_000_000)));
    let _merged = protocol.receive(pull, last_page(1, &[92]), ms(2));
    assert_eq!(said(&protocol), (Some((ms(2), 2)), Some(0)));
    let _lost = protocol.pull_ended(pull, disconnected(), 0, ms(3));
    assert_eq!(said(&protocol), (Some((ms(2), 2)), Some(0)), "it stays so, though there may be more by now");
    let pull = protocol.begin_pull(ms(1000));
    let _merged = protocol.receive(pull, page(2, &[93]), ms(1000));
    assert_eq!(said(&protocol), (Some((ms(2), 2)), None), "this page does not say");
    let _former = protocol.reset(MemoryLog::new());
    assert_eq!(said(&protocol), (None, None));
}
