//! What the owner of a protocol may ask of it, and what that leaves alone.

use super::super::{Counters, Direction, Effects, Failure, Next, Protocol, Pull, Push};
use super::{
    behind, disconnected, ends_pull, fatal, last_page, live, ms, on_request, page, settings, unavailable, uncertain,
};
use crate::log::{Log as _, MemoryLog};
use crate::protocol::{FatalKind, PullError};

fn panicked() -> Failure {
    Failure::Panicked { message: "a test".into() }
}

#[test]
fn a_protocol_keeps_to_the_settings_that_it_was_given() {
    assert_eq!(*live([]).settings(), settings());
}

#[test]
fn a_pause_ends_a_pull_in_flight_and_no_push() {
    let mut protocol = live([10]);
    assert_eq!(protocol.pause(Direction::Pull), Effects::default(), "there is none");
    protocol.resume(Direction::Pull);
    let (_pull, push) = (protocol.begin_pull(ms(0)), protocol.send(ms(0)));
    assert_eq!(protocol.pause(Direction::Push), Effects::default());
    assert!(matches!(protocol.course.pull, Pull::Pulling { ending: false, .. }));
    assert_eq!(protocol.pause(Direction::Pull), ends_pull());
    assert!(matches!(protocol.course.pull, Pull::Pulling { ending: true, .. }));
    assert!(protocol.is_sending(&push));
}

#[test]
fn looking_again_ends_the_waits_that_time_would_end_and_nothing_else() {
    for (outcome, ends) in [(behind(None), true), (unavailable(None), true), (uncertain(), false), (fatal(), false)] {
        let mut protocol = live([10]);
        let _nothing = protocol.push_once(outcome, ms(0));
        let before = protocol.course.push.clone();
        let _nothing = protocol.retry_now();
        assert_eq!(protocol.would_send(ms(0)), ends, "the pusher {before}");
        let same = std::mem::discriminant(&protocol.course.push) == std::mem::discriminant(&before);
        assert!(ends || same, "the pusher {before}, and then {}", protocol.course.push);
    }
    let mut protocol = live([10]);
    let batch = protocol.send(ms(0));
    let _nothing = protocol.retry_now();
    assert!(protocol.is_sending(&batch));
}

#[test]
fn after_a_restart_nothing_is_sent_that_may_have_been_taken() {
    let mut unsent = on_request([10]);
    unsent.push_unsent(panicked());
    assert_eq!(unsent.failure(), Some(&panicked()));
    assert_eq!(unsent.restart(), Effects::default());
    assert!(unsent.would_send(ms(0)));

    let mut protocol = on_request([10]);
    let batch = protocol.send(ms(0));
    let _nothing = protocol.push_panicked(batch, panicked());
    assert_eq!(protocol.restart(), Effects::default());
    assert!(!protocol.would_send(ms(0)));
    protocol.pull_nothing(ms(0));
    assert!(protocol.would_send(ms(0)));
}

#[test]
fn a_reset_ends_what_is_in_flight_and_its_outcome_is_of_no_consequence() {
    let other = || MemoryLog::new().with_pending(5, [20]);
    let mut protocol = live([10]);
    let (pull, push) = (protocol.begin_pull(ms(0)), protocol.send(ms(0)));
    let (former, effects) = protocol.reset(other());
    assert_eq!(former, MemoryLog::new().with_pending(0, [10]));
    assert_eq!(effects, Effects { interrupt_push: true, ..ends_pull() });
    assert_eq!(protocol.receive(pull, page(5, &[6]), ms(0)), Effects::default());
    let _nothing = protocol.answer(push, behind(Some(9)), ms(0));
    assert_eq!(*protocol.log(), other());
    assert_eq!(protocol.send(ms(0)).base, 5);
}

#[test]
fn no_answer_to_a_call_for_the_former_log_counts_after_a_reset() {
    let outcomes = [Ok(()), behind(None), behind(Some(9)), unavailable(None), uncertain(), fatal()];
    let answers = outcomes.into_iter().map(Some).chain([None]);
    for outcome in answers {
        let mut protocol = live([10]);
        let (pull, push) = (protocol.begin_pull(ms(0)), protocol.send(ms(0)));
        let _ends = protocol.reset(MemoryLog::new().with_pending(0, [20]));
        let _nothing = match &outcome {
            Some(outcome) => protocol.answer(push, outcome.clone(), ms(0)),
            None => protocol.push_panicked(push, panicked()),
        };
        assert_eq!(protocol.receive(pull, page(0, &[1]), ms(0)), Effects::default());
        if outcome.is_none() {
            protocol.pull_panicked(pull, panicked());
        } else {
            let no = PullError::Fatal { kind: FatalKind::Other, error: "no".into() };
            let _nothing = protocol.pull_ended(pull, Err(no), 0, ms(0));
        }
        assert!(protocol.would_send(ms(0)) && protocol.would_pull(ms(0)), "{outcome:?}");
        assert!(!protocol.is_uncertain() && protocol.failure().is_none(), "{outcome:?}");
    }
}

#[test]
fn a_reset_forgets_what_the_former_log_has_refused() {
    let mut protocol = live([]);
    let pull = protocol.begin_pull(ms(0));
    protocol.page_pulled(pull, page(7, &[1]), 0, ms(0)).expect_err("a gap");
    let _nothing = protocol.reset(MemoryLog::new());
    let pull = protocol.begin_pull(ms(0));
    protocol.page_pulled(pull, page(7, &[1]), 0, ms(0)).expect_err("a gap");
    assert_eq!(protocol.failure(), None, "it was the first of the new log");
}

#[test]
fn a_log_that_was_just_put_in_is_pulled_for() {
    let mut protocol = on_request([]);
    assert!(!protocol.would_pull(ms(0)));
    let (_former, effects) = protocol.reset(MemoryLog::new().with_pending(5, []));
    assert_eq!(effects, Effects::default());
    assert_eq!(protocol.next_pull(ms(0)), Next::Do((2, 5)));
}

#[test]
fn the_epoch_counts_merges_and_requests_to_look_again() {
    let mut protocol = live([10]);
    let ticket = protocol.begin_pull(ms(0));
    type Step = fn(&mut super::Core, u64);
    let steps: [(&str, Step, bool); 9] = [
        ("a commit", |it, _| assert_eq!(it.commit(vec![11]), Ok(1)), false),
        ("a pause", |it, _| drop(it.pause(Direction::Push)), false),
        ("a page without news", |it, pull| drop(it.receive(pull, page(0, &[]), ms(0))), false),
        ("an advance", |it, pull| drop(it.receive(pull, page(0, &[1]), ms(0))), true),
        ("an empty catch-up", |it, pull| drop(it.receive(pull, last_page(1, &[]), ms(0))), false),
        ("a resume", |it, _| it.resume(Direction::Push), true),
        ("a request to look again", |it, _| drop(it.retry_now()), true),
        ("a restart", |it, _| drop(it.restart()), true),
        ("a reset", |it, _| drop(it.reset(MemoryLog::new())), true),
    ];
    for (what, step, counts) in steps {
        let before = protocol.epoch();
        step(&mut protocol, ticket);
        assert_eq!(protocol.epoch() > before, counts, "{what}");
    }
}

#[test]
fn a_reset_with_nothing_in_flight_ends_nothing_but_waits() {
    let mut protocol = live([10]);
    let _nothing = protocol.push_once(uncertain(), ms(0));
    let (_former, effects) = protocol.reset(MemoryLog::new().with_pending(0, [20]));
    assert_eq!(effects, Effects::default());
    assert_eq!(protocol.course.push, Push::Idle);
}

#[test]
fn after_a_stop_nothing_begins_and_what_is_in_flight_still_counts() {
    let mut protocol = live([10]);
    let (_pull, batch) = (protocol.begin_pull(ms(0)), protocol.send(ms(0)));
    assert!(!protocol.is_stopped());
    assert_eq!(protocol.stop(), Effects { interrupt_push: true, ..ends_pull() });
    assert!(protocol.is_stopped());
    assert!(matches!(protocol.next_push(ms(0)), Next::Stop));
    assert_eq!(protocol.next_pull(ms(0)), Next::Stop);
    let _confirmed = protocol.answer(batch, Ok(()), ms(0));
    assert_eq!(protocol.log().pending(), 0);
}

#[test]
fn the_pushers_failure_is_shown_before_the_pullers() {
    let mut protocol = live([10]);
    assert_eq!(protocol.failure(), None);
    let pullers = Failure::Log { error: "a gap".into() };
    protocol.pull_failed(pullers.clone());
    assert_eq!(protocol.failure(), Some(&pullers));
    protocol.push_unsent(panicked());
    assert_eq!(protocol.failure(), Some(&panicked()));
}

#[test]
fn what_has_happened_is_counted() {
    let mut protocol = Protocol::new(MemoryLog::rebasing(), settings());
    assert_eq!(protocol.commit(vec![10, 11]), Ok(2));
    let numbered = protocol.log().number(vec![12, 13, 14]).expect("there are numbers");
    assert_eq!(protocol.commit_numbered(numbered.clone()), Ok(3));
    assert!(protocol.commit_numbered(numbered).is_err(), "they follow no longer");
    let pull = protocol.begin_pull(ms(0));
    let _rebase = protocol.receive(pull, page(0, &[1]), ms(0));
    let _advance = protocol.push_once(Ok(()), ms(0));
    assert_eq!(protocol.commit(vec![15]), Ok(1));
    for outcome in [behind(None), unavailable(None), uncertain()] {
        let _nothing = protocol.push_once(outcome, ms(0));
        let _nothing = protocol.retry_now();
    }
    let _nothing = protocol.pull_ended(pull, disconnected(), 0, ms(0));
    let lost = protocol.begin_pull(ms(0));
    let _nothing = protocol.pull_ended(lost, disconnected(), 0, ms(0));
    let counted = Counters {
        commits: 3,
        pushes: 4,
        accepted: 1,
        behind: 1,
        // See `decisions`.
        rejected: 0,
        too_large: 0,
        given_up: 0,
        uncertain: 1,
        // A push and a pull. The other pull was asked to end.
        unavailable: 2,
        pulls: 2,
        pages: 1,
        advances: 1,
        rebases: 1,
        // See `durable`.
        writes: 0,
        changes: 0,
    };
    assert_eq!(*protocol.counters(), counted);
}
