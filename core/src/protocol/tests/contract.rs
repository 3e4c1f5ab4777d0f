//! Logs that break their contract fail visibly, at once, and are asked no further.

use std::num::NonZeroUsize;

use super::super::{Direction, Failure, Next, Protocol, Pull, Push, WaitingOn};
use super::{last_page, ms, settings};
use crate::log::{Log, MemoryEntry, MemoryLog, MemoryLogError, Merged};
use crate::protocol::{Batch, Page, PushError};

/// How a log goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lie {
    BatchIsEmpty,
    BatchIsLarge,
    ConfirmsNothing,
    ConfirmsMore,
    CursorStays,
    DropsBeyond,
    DropsInDisorder,
    AppendsNothing,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Liar(MemoryLog<u64>, Lie);

impl Log for Liar {
    type Event = u64;
    type Entry = MemoryEntry<u64>;
    type Position = u64;
    type Error = MemoryLogError;

    fn head(&self) -> u64 {
        self.0.head()
    }
    fn upstream_head(&self) -> u64 {
        if self.1 == Lie::CursorStays { 0 } else { self.0.upstream_head() }
    }
    fn pending(&self) -> usize {
        self.0.pending()
    }
    fn position(entry: &MemoryEntry<u64>) -> u64 {
        entry.position
    }
    fn number(&self, events: Vec<u64>) -> Result<Vec<MemoryEntry<u64>>, MemoryLogError> {
        self.0.number(events)
    }
    fn admit(&mut self, entries: Vec<MemoryEntry<u64>>) -> Result<usize, MemoryLogError> {
        if self.1 == Lie::AppendsNothing { Ok(entries.len()) } else { self.0.admit(entries) }
    }
    fn batch(&self, max: NonZeroUsize) -> Vec<MemoryEntry<u64>> {
        match self.1 {
            Lie::BatchIsEmpty => Vec::new(),
            Lie::BatchIsLarge => self.0.batch(NonZeroUsize::MAX),
            _ => self.0.batch(max),
        }
    }
    fn merge(&mut self, page: Vec<MemoryEntry<u64>>) -> Result<Merged<MemoryEntry<u64>>, MemoryLogError> {
        let rebased = |dropped| Merged::Rebase { new: Vec::new(), confirmed: Vec::new(), moved: 3, dropped };
        match self.1 {
            Lie::ConfirmsNothing => Ok(Merged::Advance { new: Vec::new(), confirmed: Vec::new() }),
            Lie::ConfirmsMore => {
                let merged = self.0.merge(page.clone())?;
                Ok(Merged::Advance { new: Vec::new(), confirmed: [page, merged.confirmed().to_vec()].concat() })
            }
            Lie::DropsBeyond => self.0.merge(page).map(|_| rebased(vec![0, 3])),
            Lie::DropsInDisorder => self.0.merge(page).map(|_| rebased(vec![1, 0])),
            _ => self.0.merge(page),
        }
    }
}

fn liar(lie: Lie) -> Protocol<Liar> {
    let mut settings = settings();
    settings.batch = NonZeroUsize::new(2).expect("not zero");
    Protocol::new(Liar(MemoryLog::new().with_pending(0, [10, 11, 12]), lie), settings)
}

/// What has failed says this.
#[track_caller]
fn fails(protocol: &Protocol<Liar>, says: &str) {
    let Some(failure @ Failure::Contract { .. }) = protocol.failure() else { panic!("the pusher {}", protocol.push()) };
    assert_eq!(failure.to_string(), format!("the log broke its contract: {says}"));
}

#[test]
fn a_batch_of_nothing_or_of_too_much_is_not_sent() {
    let cases = [
        (Lie::BatchIsEmpty, "expected some of 3 pending events in a batch, got none"),
        (Lie::BatchIsLarge, "expected at most 2 events in a batch, got 3"),
    ];
    for (lie, says) in cases {
        let mut protocol = liar(lie);
        assert!(matches!(protocol.next_push(ms(0)), Next::Wait { until: None }));
        fails(&protocol, says);
        assert!(!protocol.is_uncertain());
    }
}

#[test]
fn a_log_that_does_not_apply_what_was_accepted_fails_and_leaves_a_doubt() {
    let cases = [
        (Lie::ConfirmsNothing, "expected the upstream head to be 2 after a merge, got 0"),
        (Lie::CursorStays, "expected the upstream head to be 2 after a merge, got 0"),
        (Lie::ConfirmsMore, "expected 0 pending events after a merge (3, less 4 confirmed and 0 given up), got 1"),
        (Lie::DropsBeyond, "expected indices below 3 in ascending order of events that were given up, got [0, 3]"),
        (Lie::DropsInDisorder, "expected indices below 3 in ascending order of events that were given up, got [1, 0]"),
    ];
    for (lie, says) in cases {
        let mut protocol = liar(lie);
        let Next::Do(batch) = protocol.next_push(ms(0)) else { panic!("something is pending") };
        let _merged = protocol.push_ended(batch, Ok(()), 0, ms(0)).expect("the log has not refused it");
        fails(&protocol, says);
        // Once the cursor has moved on, nothing that was sent before can be taken any more.
        assert_eq!(protocol.is_uncertain(), Log::upstream_head(protocol.log()) == 0);
    }
}

#[test]
fn a_merge_that_applies_nothing_shows_nothing_of_a_push_in_doubt() {
    let mut protocol = liar(Lie::AppendsNothing);
    let Next::Do(batch) = protocol.next_push(ms(0)) else { panic!("something is pending") };
    let page = |events: &[u64], cursor| -> Page<_> { last_page(cursor, events) };
    assert!(matches!(protocol.next_pull(ms(0)), Next::Do((1, _))));
    drop(protocol.page_pulled(1, page(&[10], 0), 0, ms(0)).expect("it follows"));
    drop(protocol.push_ended(batch, Err(PushError::Uncertain { error: "lost".into() }), 0, ms(0)));
    assert!(protocol.is_uncertain(), "one of two has been seen");
    protocol.log.1 = Lie::ConfirmsNothing;
    drop(protocol.page_pulled(1, page(&[11], 1), 0, ms(0)).expect("it says that it has applied it"));
    assert!(protocol.is_uncertain(), "{}", protocol.push());
}

#[test]
fn a_page_that_the_log_accounts_for_wrongly_is_a_failure() {
    let mut protocol = liar(Lie::DropsBeyond);
    let ticket = match protocol.next_pull(ms(0)) {
        Next::Do((ticket, _)) => ticket,
        other => panic!("{other:?}"),
    };
    let page: Page<_> = last_page(0, &[1]);
    let _merged = protocol.page_pulled(ticket, page, 0, ms(0)).expect("the log has not refused it");
    fails(&protocol, "expected indices below 3 in ascending order of events that were given up, got [0, 3]");
    assert!(matches!((protocol.push(), protocol.pull()), (Push::Idle, Pull::Failed { .. })));
}

#[test]
fn a_commit_that_the_log_does_not_keep_is_a_failure() {
    let mut protocol = liar(Lie::AppendsNothing);
    assert_eq!(protocol.commit(vec![13]), Ok(0), "what is pending is what will settle");
    fails(&protocol, "expected 1 events more after a commit than the 3 that were pending, got 3 in all");
}

/// A push is in flight, and a commit has found that the log does not keep what it is given.
fn sends_and_fails() -> (Protocol<Liar>, Batch<Liar>) {
    let mut protocol = liar(Lie::AppendsNothing);
    let Next::Do(batch) = protocol.next_push(ms(0)) else { panic!("something is pending") };
    assert_eq!(protocol.commit(vec![13]), Ok(0));
    assert!(matches!(protocol.waiting_on(), WaitingOn::Owner(Failure::Contract { .. })));
    (protocol, batch)
}

#[test]
fn a_failure_while_a_push_is_in_flight_is_kept_with_it() {
    // What comes of the push; whether it is in doubt.
    let outcomes = [
        (Ok(()), false),
        (Err(PushError::Behind { head: None }), false),
        (Err(PushError::Uncertain { error: "lost".into() }), true),
    ];
    for (outcome, doubt) in outcomes {
        let (mut protocol, batch) = sends_and_fails();
        let accepted = outcome.is_ok();
        drop(protocol.push_ended(batch, outcome, 0, ms(0)));
        assert!(matches!(protocol.push(), Push::Failed { error: Failure::Contract { .. } }), "{}", protocol.push());
        assert_eq!((protocol.log().pending(), protocol.is_uncertain()), (if accepted { 1 } else { 3 }, doubt));
    }
    for reset in [false, true] {
        let (mut protocol, batch) = sends_and_fails();
        if reset {
            drop(protocol.reset(Liar(MemoryLog::new(), Lie::AppendsNothing)));
            assert_eq!(protocol.commit(vec![13]), Ok(0));
        }
        drop(protocol.push_panicked(batch, Failure::Panicked { message: "later".into() }));
        assert!(matches!(protocol.push(), Push::Failed { error: Failure::Contract { .. } }), "{}", protocol.push());
    }
}

#[test]
fn the_owner_acts_on_a_failure_although_a_push_is_in_flight() {
    let (mut protocol, batch) = sends_and_fails();
    drop(protocol.restart());
    assert_eq!(protocol.waiting_on(), WaitingOn::Upstream(Direction::Push), "one push at a time");
    drop(protocol.push_ended(batch, Ok(()), 0, ms(0)));
    assert_eq!(protocol.waiting_on(), WaitingOn::Pusher);

    let (mut protocol, batch) = sends_and_fails();
    let (_former, effects) = protocol.reset(Liar(MemoryLog::new().with_pending(0, [10]), Lie::AppendsNothing));
    assert!(effects.interrupt_push, "it is of no interest any more");
    assert_eq!(protocol.waiting_on(), WaitingOn::Upstream(Direction::Push));
    drop(protocol.push_ended(batch, Ok(()), 0, ms(0)));
    assert_eq!((protocol.waiting_on(), protocol.log().pending()), (WaitingOn::Pusher, 1));
}
