//! What a push must be.

use latchwork::sync_state::{Error, Outcome, Payload, SyncState};

use crate::*;

#[test]
fn a_late_push_is_rejected_and_its_events_come_back() {
    let mut state = with_pending("e3", "1 2");
    let entries = SyncState::new(number("e4")).number(items("7 8")).expect("they have numbers");
    let outcome = state.merge(Payload::LocalPush { entries });
    let Ok(Outcome::Reject { expected_minimum, entries }) = outcome else { panic!("no reject") };
    assert_eq!(expected_minimum, number("e5.1"));
    assert_eq!(ids(&owned(&entries)), [7, 8]);
}

#[test]
fn a_push_with_a_gap_says_what_was_expected() {
    let mut state = with_pending("e3", "1 2");
    let gap = |events| Payload::LocalPush {
        entries: SyncState::new(number("e6")).number(items(events)).expect("they have numbers"),
    };
    for (events, expected, found) in [("7", "e6", "e7"), ("7c", "e5.1", "e6.1")] {
        let error = state.merge(gap(events)).expect_err("a gap");
        let (expected, found) = (number(expected), number(found));
        assert_eq!(error, Error::NotNext { expected, found });
        assert_eq!(error.to_string(), format!("expected {expected} to follow, got {found}"));
    }
}

#[test]
fn a_local_only_event_that_is_kept_follows_the_one_before_it() {
    let mut state = with_pending("e3", "1");
    let push = Payload::LocalPush { entries: vec![entry((number("e4.2"), number("e4.1"), 7, true))] };
    let error = state.merge(push).expect_err("there is no e4.1");
    assert_eq!(error.to_string(), "expected e4.1 to follow, got e4.2");
}

#[test]
fn a_push_of_another_generation_or_on_another_parent_is_refused() {
    let mut state = with_pending("e3r1", "1");
    let push = |seq, parent| Payload::LocalPush { entries: vec![entry((number(seq), number(parent), 7, false))] };
    let error = state.merge(push("e5", "e4")).expect_err("generation 0");
    assert_eq!(error.to_string(), "expected e5r1 to follow, got e5");
    let error = state.merge(push("e5r1", "e3r1")).expect_err("parent e3r1");
    assert_eq!(error.to_string(), "expected e5r1 to stand on e4r1, got e3r1");
    assert_eq!(listed(&all(state.pending())), "1@e4r1<e3r1");
}
