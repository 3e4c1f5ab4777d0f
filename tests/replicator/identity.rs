//! Upstream says that it is another one than the log belongs to: the owner decides.

use latchwork::protocol::{Direction, Failure, Pull, WaitingOn};
use latchwork::upstream::{FatalKind, Fault};

use super::*;

/// A replicator whose commit met another upstream.
fn mismatched(upstream: &Memory<State>) -> (Replicator<State>, Ticket<latchwork::sync_state::Position>) {
    upstream.fail_push(Fault::OtherUpstream);
    let replicator = quick(State::default(), upstream.clone()).start();
    let ticket = replicator.commit(items(1, 0..2)).unwrap();
    eventually(|| says_so(&replicator.status().waiting_on));
    (replicator, ticket)
}

fn says_so(waiting_on: &WaitingOn) -> bool {
    matches!(waiting_on, WaitingOn::Owner(Failure::Upstream { kind: FatalKind::IdentityMismatch, .. }))
}

#[test]
fn shutdown_on_another_upstream_says_what_was_not_handed_over() {
    let upstream = empty_upstream();
    let (replicator, ticket) = mismatched(&upstream);
    let left = replicator.shutdown(LONG);
    assert!(!left.is_clean() && !left.uncertain && left.unfinished.is_empty());
    assert_eq!(left.pending.iter().map(|entry| entry.event).collect::<Vec<_>>(), items(1, 0..2));
    assert_eq!(ticket.settled(), Some(Settled::Closed));
    assert!(upstream.is_empty());
}

#[test]
fn on_another_upstream_the_owner_may_reset_the_log_and_begin_anew() {
    let upstream = empty_upstream();
    let (replicator, ticket) = mismatched(&upstream);
    foreign(&upstream, items(9, 0..2));
    let former = replicator.reset(State::default());
    assert_eq!(former.pending().map(|entry| *entry.event).collect::<Vec<_>>(), items(1, 0..2));
    assert_eq!(ticket.settled(), Some(Settled::Closed));
    confirmed(&replicator.commit(items(1, 5..6)).unwrap());
    assert_eq!(ordered(&upstream), [(9, 0), (9, 1), (1, 5)]);
    assert_eq!(replicator.status().waiting_on, WaitingOn::Nothing);
}

#[test]
fn a_new_log_catches_up_although_no_pull_is_live() {
    let upstream = empty_upstream().one_shot();
    foreign(&upstream, items(9, 0..2));
    let replicator = quick(State::default(), upstream).one_shot_pull().start();
    let caught_up = || replicator.status().upstream_head.global == 2 && replicator.status().pull == Pull::Idle;
    eventually(caught_up);
    replicator.reset(State::default());
    eventually(caught_up);
}

#[test]
fn a_new_log_is_an_epoch_of_its_own() {
    let replicator = quick(State::default(), empty_upstream().one_shot()).one_shot_pull().start();
    eventually(|| replicator.status().counters.pulls == 1 && replicator.status().pull == Pull::Idle);
    replicator.pause(Direction::Pull);
    let before = replicator.status().epoch;
    replicator.reset(State::default());
    assert_eq!(replicator.status().epoch, before + 1);
}

#[test]
fn on_another_upstream_the_owner_may_ignore_it_and_local_commits_go_on() {
    let upstream = empty_upstream();
    let (replicator, ticket) = mismatched(&upstream);
    let later = replicator.commit(items(1, 2..4)).unwrap();
    foreign(&upstream, items(9, 0..1));
    eventually(|| replicator.status().upstream_head.global == 1);
    let status = replicator.status();
    assert!(says_so(&status.waiting_on), "{status:?}");
    assert_eq!((status.pending, status.counters.pushes), (4, 1));
    assert_eq!((ticket.settled(), later.settled()), (None, None));
    replicator.restart();
    confirmed(&later);
    assert_eq!(ordered(&upstream), [(9, 0), (1, 0), (1, 1), (1, 2), (1, 3)]);
}

#[test]
fn restart_goes_on_after_a_pull_has_met_another_upstream() {
    let upstream = empty_upstream();
    foreign(&upstream, items(9, 0..1));
    upstream.fail_pull(Fault::OtherUpstream);
    let replicator = quick(State::default(), upstream.clone()).start();
    let failed = |pull| matches!(pull, Pull::Failed { error: Failure::Upstream { .. } });
    eventually(|| failed(replicator.status().pull));
    let ticket = replicator.commit(items(1, 0..1)).unwrap();
    eventually(|| says_so(&replicator.status().waiting_on));
    replicator.restart();
    confirmed(&ticket);
}
