//! Pulls in pages, and what goes wrong with them.

use std::sync::Arc;

use latchwork::protocol::{Direction, Failure, Pull, WaitingOn};
use latchwork::upstream::{Fault, PushError};
use latchwork::{Interrupt, Latch};

use super::*;
use crate::upstream::{Hooked, Place, dead};

/// Upstream with six events in pages of two.
fn three_pages() -> Memory<State> {
    let upstream = empty_upstream().with_page_size(2);
    foreign(&upstream, items(9, 0..6));
    upstream
}

/// Everything that upstream has ordered, with two commits of ours behind it.
fn six_and_ours() -> Vec<(u32, u64)> {
    (0..6).map(|number| (9, number)).chain([(1, 0), (1, 1)]).collect()
}

#[test]
fn a_one_shot_paginated_pull_does_not_stall_commits() {
    let upstream = three_pages().one_shot();
    let (reached, gate) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
    let hooked = {
        let (reached, gate) = (Arc::clone(&reached), Arc::clone(&gate));
        Hooked::new(&upstream).on_page(move |at, page, _| {
            if at == (Place { pull: 1, page: 2 }) {
                reached.open();
                pass(&gate);
            }
            Ok(page)
        })
    };
    let replicator = quick(State::default(), hooked).one_shot_pull().start();
    pass(&reached);
    let tickets = [0, 1].map(|number| replicator.commit(vec![sent(1, number)]).unwrap());
    assert_ne!(replicator.status().waiting_on, WaitingOn::Nothing);
    assert_eq!(tickets[0].settled(), None, "upstream is ahead");
    gate.open();
    for ticket in &tickets {
        confirmed(ticket);
    }
    assert_eq!(ordered(&upstream), six_and_ours());
}

/// The pull that is stopped by `stop` on its second page; then all goes well.
fn a_stopped_pull(stop: impl Fn(&Interrupt) + Send + Sync + 'static) -> (Memory<State>, Replicator<State>, Arc<Latch>) {
    let upstream = three_pages().one_shot();
    let reached = Arc::new(Latch::new());
    let hooked = {
        let reached = Arc::clone(&reached);
        Hooked::new(&upstream).on_page(move |at, page, interrupt| {
            if at == (Place { pull: 1, page: 2 }) {
                reached.open();
                stop(interrupt);
                return Err(dead());
            }
            Ok(page)
        })
    };
    let replicator = quick(State::default(), hooked).one_shot_pull().start();
    (upstream, replicator, reached)
}

#[test]
fn a_pull_that_fails_mid_pagination_frees_the_turn() {
    let gate = Arc::new(Latch::new());
    let held = Arc::clone(&gate);
    let (upstream, replicator, reached) = a_stopped_pull(move |_| pass(&held));
    pass(&reached);
    let first = replicator.commit(vec![sent(1, 0)]).unwrap();
    gate.open();
    let second = replicator.commit(vec![sent(1, 1)]).unwrap();
    confirmed(&first);
    confirmed(&second);
    assert_eq!(ordered(&upstream), six_and_ours());
}

#[test]
fn a_pull_that_is_interrupted_mid_pagination_frees_the_turn() {
    let (upstream, replicator, reached) = a_stopped_pull(|interrupt| {
        interrupt.wait();
    });
    pass(&reached);
    replicator.pause(Direction::Pull);
    let first = replicator.commit(vec![sent(1, 0)]).unwrap();
    let second = replicator.commit(vec![sent(1, 1)]).unwrap();
    eventually(|| replicator.status().waiting_on == WaitingOn::Gate(Direction::Pull));
    replicator.resume(Direction::Pull);
    confirmed(&first);
    confirmed(&second);
    assert_eq!(ordered(&upstream), six_and_ours());
}

#[test]
fn a_page_behind_the_cursor_changes_nothing() {
    let upstream = three_pages();
    let replicator = quick(State::default(), Hooked::new(&upstream).on_page(|_, page, _| Ok(page))).start();
    eventually(|| replicator.status().upstream_head.global == 6);
    let updates = replicator.updates();
    upstream.fail_pull(Fault::DuplicatePage);
    foreign(&upstream, items(9, 6..7));
    eventually(|| replicator.status().counters.pages >= 5);
    let update = updates.receiver.recv_timeout(LONG).unwrap();
    assert_eq!(update.upstream_head.global, 7);
    confirmed(&replicator.commit(vec![sent(1, 0)]).unwrap());
    drop(replicator);
    let rest: Vec<_> = updates.receiver.iter().map(|update| update.upstream_head.global).collect();
    assert_eq!(rest, [8], "the page that came twice was merged once");
}

/// Upstream whose pages have a hole for the first so many pulls.
fn with_gaps(upstream: &Memory<State>, pulls: u64) -> Hooked<State> {
    Hooked::new(upstream).on_page(move |at, mut page, _| {
        if at.pull <= pulls && !page.entries.is_empty() {
            page.entries.remove(0);
        }
        Ok(page)
    })
}

#[test]
fn a_gap_in_a_page_is_healed_by_another_pull_which_ends_the_last_error() {
    let upstream = three_pages();
    let gate = Arc::new(Latch::new());
    let held = Arc::clone(&gate);
    let hooked = Hooked::new(&upstream).on_page(move |at, mut page, _| {
        if at.pull == 1 {
            page.entries.remove(0);
        } else {
            pass(&held);
        }
        Ok(page)
    });
    let replicator = quick(State::default(), hooked).start();
    eventually(|| replicator.status().counters.pulls == 2);
    let error = replicator.status().last_error.expect("the first pull was refused");
    assert_eq!((error.direction, &*error.error.to_string()), (Direction::Pull, "expected e1 to follow, got e2"));
    assert_eq!(error.to_string(), "pull: expected e1 to follow, got e2");
    gate.open();
    eventually(|| replicator.status().upstream_head.global == 6);
    let status = replicator.status();
    assert_eq!((status.counters.pulls, status.last_error), (2, None));
}

#[test]
fn a_gap_that_comes_again_is_a_failure_that_the_owner_sees_and_can_end() {
    let upstream = three_pages();
    let replicator = quick(State::default(), with_gaps(&upstream, 2)).start();
    eventually(|| matches!(replicator.status().pull, Pull::Failed { error: Failure::Log { .. } }));
    assert_eq!(replicator.status().upstream_head.global, 0, "nothing of it was applied");
    let ticket = replicator.commit(vec![sent(1, 0)]).unwrap();
    eventually(|| matches!(replicator.status().waiting_on, WaitingOn::Owner(Failure::Log { .. })));
    let error = replicator.flush(SHORT).unwrap_err();
    assert!(error.to_string().contains("expected e1 to follow, got e2"), "{error}");
    replicator.restart();
    confirmed(&ticket);
    assert_eq!(upstream.len(), 7);
}

#[test]
fn a_page_with_nothing_in_it_is_a_catch_up_all_the_same() {
    let upstream = empty_upstream();
    let hooked = Hooked::new(&upstream)
        .before_push(|push, _, _| if push == 1 { Err(PushError::Behind { head: None }) } else { Ok(()) });
    let replicator = quick(State::default(), hooked).start();
    confirmed(&replicator.commit(vec![sent(1, 0)]).unwrap());
}

#[test]
fn last_error_tells_of_a_failed_pull_and_not_of_one_asked_to_end() {
    let upstream = empty_upstream();
    let replicator = quick(State::default(), upstream.clone()).backoff(Backoff::new(HOUR, HOUR)).start();
    eventually(|| matches!(replicator.status().pull, Pull::Pulling { caught_up: true, .. }));
    replicator.pause(Direction::Pull);
    eventually(|| replicator.status().pull == Pull::Idle);
    assert_eq!(replicator.status().last_error, None);

    upstream.fail_pull(Fault::DisconnectBefore);
    replicator.resume(Direction::Pull);
    eventually(|| replicator.status().last_error.is_some());
    let error = replicator.status().last_error.unwrap();
    assert!(error.to_string().contains("the connection died"), "{error}");
}

#[test]
fn a_catch_up_begins_although_a_backoff_has_ended_with_nothing_to_pull() {
    let upstream = empty_upstream().one_shot();
    upstream.fail_pull(Fault::DisconnectAfter);
    let replicator = quick(State::default(), upstream.clone()).one_shot_pull().start();
    eventually(|| replicator.status().last_error.is_some());
    std::thread::sleep(SHORT);
    foreign(&upstream, items(9, 0..1));
    confirmed(&replicator.commit(items(1, 0..1)).unwrap());
    assert_eq!(ordered(&upstream), [(9, 0), (1, 0)]);
}
