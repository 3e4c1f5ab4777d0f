//! The state as the log of the protocol.

use std::num::NonZeroUsize;

use latchwork::log::{Log, Merged};
use latchwork::sync_state::{BrokenChain, Entry, Event, LocalOnly, LogError, SyncState};

use crate::*;

#[derive(Clone, Debug, PartialEq)]
struct Plain(u32);

impl Event for Plain {
    fn is_local_only(&self) -> bool {
        self.0 >= 100
    }
    fn is_same_as(&self, other: &Self) -> bool {
        self == other
    }
}

#[test]
fn as_a_log_it_numbers_admits_sends_and_merges() {
    let mut log = SyncState::<Plain>::default();
    let entries = Log::number(&log, vec![Plain(1), Plain(2)]).expect("they have numbers");
    assert_eq!(log.admit(entries.clone()), Ok(2));
    let stale = log.admit(entries.clone()).expect_err("they are there already");
    let (expected_minimum, found) = (number("e2.1"), number("e1"));
    assert_eq!(stale, LogError::Stale { expected_minimum, found });
    assert_eq!(Log::pending(&log), 2);
    assert_eq!(Log::batch(&log, NonZeroUsize::MIN), &entries[..1]);
    assert_eq!(Log::head(&log), SyncState::<Plain>::position(&entries[1]));

    let theirs = Entry { seq: number("e2"), parent: number("e1"), event: Plain(9) };
    let page = vec![entries[0].clone(), theirs.clone()];
    let rebased = Entry { seq: number("e3r1"), parent: number("e2"), event: Plain(2) };
    assert_eq!(
        Log::merge(&mut log, page),
        Ok(Merged::Rebase { new: vec![theirs], confirmed: vec![entries[0].clone()], moved: 1, dropped: vec![] })
    );
    assert_eq!(Log::upstream_head(&log), number("e2").position());
    assert_eq!(
        Log::merge(&mut log, vec![rebased.clone()]),
        Ok(Merged::Advance { new: vec![], confirmed: vec![rebased] })
    );
    assert_eq!((Log::pending(&log), Log::head(&log)), (0, number("e3").position()));

    let entries = Log::number(&log, vec![Plain(100), Plain(3), Plain(101)]).expect("they have numbers");
    assert_eq!(log.admit(entries.clone()), Ok(1), "one of them is sent");
    let local_only: Vec<_> = entries.iter().map(|entry| log.is_local_only(entry)).collect();
    assert_eq!(local_only, [true, false, true]);
    assert_eq!(Log::pending(&log), 1);
    let ten = NonZeroUsize::new(10).expect("ten");
    assert_eq!(Log::batch(&log, ten), &entries[1..2]);
    assert_eq!(Log::head(&log), number("e4.1").position());
}

#[test]
fn as_a_log_it_sends_local_only_events_that_are_shared() {
    let mut log = SyncState::<Plain>::default().with_local_only(LocalOnly::Shared);
    let entries = Log::number(&log, vec![Plain(1), Plain(100)]).expect("they have numbers");
    assert_eq!(log.admit(entries.clone()), Ok(2));
    assert!(!log.is_local_only(&entries[1]));
    assert_eq!((Log::pending(&log), Log::batch(&log, NonZeroUsize::MAX)), (2, entries));
}

#[test]
fn as_a_log_it_refuses_a_page_with_a_gap_and_says_what_was_expected() {
    let page = |on: &str| SyncState::new(number(on)).number([Plain(7), Plain(8)]).expect("they have numbers");
    let mut log = SyncState::<Plain>::default();
    log.admit(page("e0")).expect("they follow");
    let mut torn = page("e0");
    torn[1].seq = number("e3");
    for (page, expected, found) in [(page("e1"), "e1", "e2"), (torn, "e2", "e3")] {
        let (expected, found) = (number(expected), number(found));
        let error = LogError::Merge(BrokenChain::Number { expected, found }.into());
        assert_eq!(Log::merge(&mut log, page), Err(error));
        assert_eq!((Log::pending(&log), Log::upstream_head(&log)), (2, number("e0").position()));
    }
}
