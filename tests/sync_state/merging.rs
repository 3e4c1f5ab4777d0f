//! The rules of advance and rebase, one by one.

use std::cell::Cell;
use std::num::NonZeroUsize;

use latchwork::sync_state::{Error, Event, LocalOnly, Outcome, Payload, SyncState};

use crate::*;

#[test]
fn pending_names_the_parents_of_sent_and_of_local_only_events() {
    let state = with_pending("e3.2r1", "1c 2 3 4c 5c 6");
    assert_eq!(
        listed(&all(state.pending())),
        "1@e3.3r1<e3.2r1 2@e4r1<e3r1 3@e5r1<e4r1 4@e5.1r1<e5r1 5@e5.2r1<e5.1r1 6@e6r1<e5r1"
    );
}

#[test]
fn a_rebase_moves_what_is_pending_behind_what_upstream_ordered() {
    let mut state = with_pending("e3", "1 2c 3");
    let Ok(Outcome::Rebase(rebase)) = state.merge(page("e3", "8 9")) else { panic!("no rebase") };
    let moves: Vec<String> = rebase.moves().map(|step| format!("{}>{}", step.0, step.1.seq)).collect();
    assert_eq!(moves, ["e4>e6r1", "e4.1>e6.1r1", "e5>e7r1"]);
    assert_eq!(listed(&all(rebase.old())), "1@e4<e3 2@e4.1<e4 3@e5<e4");
    assert_eq!(listed(&all(state.pending())), "1@e6r1<e5 2@e6.1r1<e6r1 3@e7r1<e6r1");
}

#[test]
fn the_same_event_at_another_position_confirms_nothing() {
    let mut state = with_pending("e3", "1");
    let Ok(Outcome::Rebase(rebase)) = state.merge(page("e4", "1")) else { panic!("no rebase") };
    assert_eq!(rebase.confirmed, []);
    assert_eq!(listed(&all(state.pending())), "1@e6r1<e5");
}

#[test]
fn whatever_comes_must_ascend_and_nothing_may_come_twice() {
    for later in ["e4", "e4r1", "e3.1"] {
        let entries =
            || vec![entry((number("e4"), number("e3"), 1, false)), entry((number(later), number("e3"), 1, false))];
        let rolled_back = Vec::new();
        for payload in [
            Payload::LocalPush { entries: entries() },
            Payload::UpstreamAdvance { entries: entries() },
            Payload::UpstreamRebase { rolled_back, entries: entries() },
        ] {
            let error = with_pending("e3", "1").merge(payload).map(|_| ()).expect_err("it does not ascend");
            let (previous, found) = (number("e4"), number(later));
            assert_eq!(error, Error::NotAscending { previous, found });
        }
    }
}

#[test]
fn a_chain_goes_on_in_its_generation_when_upstream_confirms_in_another() {
    let mut state = with_pending("e3r1", "1 2");
    let Ok(Outcome::Advance(_)) = state.merge(page("e3", "1")) else { panic!("no advance") };
    let snapshot = Snapshot::of(&state);
    assert_eq!((snapshot.upstream_head, snapshot.local_head), (number("e4"), number("e5r1")));
    assert_eq!(listed(&snapshot.pending), "2@e5r1<e4r1");
    let again = snapshot.rehydrated(LocalOnly::Kept).expect("it says itself what it is");
    assert_eq!(Snapshot::of(&again), snapshot);
}

#[test]
fn a_batch_that_has_ended_stays_at_its_end() {
    let state = with_pending("e3.4294967293", "1c 2c");
    let mut batch = state.batch(NonZeroUsize::new(3).expect("three"));
    for _ in 0..3 {
        assert_eq!(batch.next(), None);
    }
}

#[test]
fn local_only_events_settle_with_the_sent_one_before_them() {
    let mut state = with_pending("e3", "1c 2 3c 4c 5 6c");
    let Ok(Outcome::Advance(advance)) = state.merge(page("e3", "2")) else { panic!("no advance") };
    assert_eq!(ids(&owned(&advance.confirmed)), [1, 2, 3, 4]);
    assert_eq!(listed(&all(state.pending())), "5@e5<e4 6@e5.1<e5");
}

#[test]
fn local_only_events_behind_the_last_confirmed_one_are_rebased() {
    let mut state = with_pending("e3", "1c 2 3c 4");
    let Ok(Outcome::Rebase(rebase)) = state.merge(page("e3", "2 9")) else { panic!("no rebase") };
    assert_eq!(ids(&owned(&rebase.confirmed)), [1, 2]);
    assert_eq!(listed(&all(state.pending())), "3@e5.1r1<e5 4@e6r1<e5r1");
}

#[test]
fn a_local_only_event_gives_way_to_a_number_that_upstream_gave() {
    let mut state = with_pending("e3", "1c 2c");
    let Ok(Outcome::Rebase(rebase)) = state.merge(page("e3", "9c")) else { panic!("no rebase") };
    assert_eq!(ids(&owned(&rebase.passed)), [9]);
    assert_eq!(listed(&all(state.pending())), "1@e3.2r1<e3.1 2@e3.3r1<e3.2r1");
}

#[test]
fn where_local_only_events_are_shared_they_are_sent_and_expected_back() {
    let mut state = with_pending("e3", "1c 2").with_local_only(LocalOnly::Shared);
    assert_eq!(state.sendable_len(), 2);
    assert_eq!(ids(&all(state.batch(NonZeroUsize::MIN))), [1]);
    assert!(matches!(state.merge(page("e3", "1c 2")), Ok(Outcome::Advance(advance)) if advance.confirmed.len() == 2));
}

#[test]
fn a_leader_takes_local_only_events_that_continue_what_it_passed_on() {
    let mut leader = SyncState::new(number("e3")).with_local_only(LocalOnly::Passed);
    let entries = SyncState::new(number("e3.1")).number(items("1c 2")).expect("they have numbers");
    let Ok(Outcome::Advance(advance)) = leader.merge(Payload::LocalPush { entries }) else { panic!("no advance") };
    assert_eq!(listed(&owned(&advance.passed)), "1@e3.2<e3.1");
    assert_eq!(listed(&all(leader.pending())), "2@e4<e3");
}

#[test]
fn an_upstream_rebase_that_moves_a_head_back_is_refused() {
    let back = |on, events| match page(on, events) {
        Payload::UpstreamAdvance { entries } => Payload::UpstreamRebase { rolled_back: Vec::new(), entries },
        other => other,
    };
    let mut state = with_pending("e5", "1");
    let error = state.merge(back("e3r1", "9")).expect_err("e4 < e5");
    let (from, to) = (number("e6").position(), number("e5").position());
    assert_eq!(error, Error::LocalHeadMovedBack { from, to });

    let mut state = with_pending("e5.4", "1");
    let error = state.merge(back("e5r1", "9c")).expect_err("e5.1 < e5.4");
    let (from, to) = (number("e5.4").position(), number("e5.1").position());
    assert_eq!(error, Error::UpstreamHeadMovedBack { from, to });
    assert_eq!(listed(&all(state.pending())), "1@e6<e5");
}

/// Counts how often it is compared.
struct Counted<'a>(u32, &'a Cell<usize>);

impl Event for Counted<'_> {
    fn is_same_as(&self, other: &Self) -> bool {
        self.1.set(self.1.get() + 1);
        self.0 == other.0
    }
}

#[test]
fn what_is_pending_behind_the_page_is_not_looked_at() {
    let asked = Cell::new(0);
    let mut state = SyncState::default();
    let entries = state.number((0..10_000).map(|id| Counted(id, &asked))).expect("they have numbers");
    assert!(matches!(state.merge(Payload::LocalPush { entries }), Ok(Outcome::Advance(_))));
    assert_eq!(asked.get(), 0);
    // Fifty of ours, and one of another client's.
    let theirs = (0..50).chain([77_777]).map(|id| Counted(id, &asked));
    let entries = SyncState::default().number(theirs).expect("they have numbers");
    let Ok(Outcome::Rebase(rebase)) = state.merge(Payload::UpstreamAdvance { entries }) else { panic!("no rebase") };
    assert_eq!((rebase.confirmed.len(), rebase.moves().len()), (50, 9_950));
    assert_eq!(asked.get(), 51);
}

#[test]
fn with_nothing_pending_nothing_is_rebased() {
    let mut state = with_pending("e3", "1 2c 3c");
    let Ok(Outcome::Advance(_)) = state.merge(page("e3", "1")) else { panic!("no advance") };
    assert_eq!(listed(&all(state.pending())), "");
    // Upstream gives a number that a local-only event of ours has had.
    let Ok(Outcome::Advance(advance)) = state.merge(page("e4", "9c")) else { panic!("no advance") };
    assert_eq!(ids(&owned(&advance.passed)), [9]);
}
