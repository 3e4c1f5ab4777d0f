//! Events that upstream refuses for good, batches that are too large, and what the owner decides.

use std::num::NonZeroUsize;

use super::*;
use crate::log::{Log as _, Merged};
use crate::protocol::{DecisionError, Direction, Failure, Push, Spent, WaitingOn};

fn refusal() -> WaitingOn {
    WaitingOn::Owner(Failure::Rejected { error: "invalid".into() })
}

/// What the next push carries.
fn next(protocol: &Core, now: Time) -> Vec<u64> {
    let Next::Do(batch) = protocol.clone().next_push(now) else { return Vec::new() };
    batch.entries.into_iter().map(|entry| entry.event).collect()
}

/// Five events are pending, of which upstream has refused this one.
fn refused(index: usize) -> Core {
    live([1, 2, 3, 4, 5]).then(|it| it.push_once(rejected(index), ms(0)))
}

#[test]
fn push_ended_rejected_holds_back_that_event_and_what_is_behind_it() {
    let mut protocol = refused(2);
    assert_eq!(protocol.rejected().map(|(index, _)| index), Some(2));
    assert_eq!(protocol.waiting_on(), WaitingOn::Pusher);
    assert_eq!(next(&protocol, ms(0)), [1, 2]);
    assert!(protocol.failure().is_some(), "it is seen at once");
    let _confirmed = protocol.push_once(Ok(()), ms(0));
    assert_eq!(protocol.log().pending(), 3);
    for now in [0, 1_000_000] {
        assert_eq!(next(&protocol, ms(now)), [0; 0]);
    }
    assert_eq!(protocol.waiting_on(), refusal());
    assert_eq!(protocol.counters().rejected, 1);
    let pull = protocol.begin_pull(ms(0));
    let _advance = protocol.receive(pull, page(2, &[91, 92]), ms(0));
    assert_eq!(protocol.waiting_on(), refusal(), "the events of others change nothing about it");
}

#[test]
fn an_event_that_blocks_is_named_whatever_the_pusher_waits_for() {
    let mut protocol = refused(1);
    let pull = protocol.begin_pull(ms(0));
    let _backs_off = protocol.push_once(unavailable(None), ms(0));
    let _confirms = protocol.receive(pull, page(0, &[1]), ms(0));
    assert!(matches!(protocol.push(), Push::Waiting { .. }));
    assert_eq!(protocol.waiting_on(), refusal());
    assert_eq!(refused(0).then(|it| it.pause(Direction::Push)).waiting_on(), refusal());
}

#[test]
fn what_is_refused_moves_with_what_is_confirmed_before_it_and_is_forgotten_with_it() {
    let pulled = |events: &[u64]| {
        let mut protocol = refused(2);
        let pull = protocol.begin_pull(ms(0));
        let _confirmed = protocol.receive(pull, page(0, events), ms(0));
        protocol.rejected().map(|(index, _)| index)
    };
    assert_eq!(pulled(&[1]), Some(1));
    assert_eq!(pulled(&[91]), Some(2));
    assert_eq!(pulled(&[1, 2]), Some(0));
    assert_eq!(pulled(&[1, 2, 3]), None, "upstream has taken it all the same");
    assert_eq!(pulled(&[1, 2, 3, 4]), None);
    // And with what the log gives up, counted without the confirmed one.
    let given_up = |dropped: usize| {
        let protocol = refused(3).then(|it| it.settles(1, &[dropped], &mut Spent::default()));
        protocol.rejected().map(|(index, _)| index)
    };
    assert_eq!([0, 1, 2, 3].map(given_up), [Some(1), Some(1), None, Some(2)]);
}

#[test]
fn an_index_counts_from_the_first_event_of_the_batch_whatever_has_been_confirmed_since() {
    let answered = |confirmed: &[u64], index| {
        let mut protocol = live([1, 2, 3, 4, 5]);
        let pull = protocol.begin_pull(ms(0));
        let batch = protocol.send(ms(0));
        let _confirms = protocol.receive(pull, page(0, confirmed), ms(0));
        let _rejected = protocol.answer(batch, rejected(index), ms(0));
        (protocol.rejected().map(|(index, _)| index), next(&protocol, ms(0)))
    };
    assert_eq!(answered(&[1, 2], 3), (Some(1), vec![3]));
    assert_eq!(answered(&[1, 2], 2), (Some(0), vec![]));
    assert_eq!(answered(&[1, 2], 1), (None, vec![3, 4, 5]), "it is not pending any more");
}

#[test]
fn an_index_beyond_the_batch_is_a_failure_of_upstream() {
    let protocol = refused(5);
    assert_eq!(protocol.rejected(), None);
    let said = "upstream: expected the index of one of 5 events that it refuses, got 5";
    assert_eq!(protocol.failure().map(ToString::to_string).as_deref(), Some(said));
}

#[test]
fn give_up_takes_out_the_events_and_nothing_else() {
    for (range, left, blocked) in [
        (2..3, vec![1, 2, 4, 5], None),
        (1..4, vec![1, 5], None),
        (0..1, vec![2, 3, 4, 5], Some(1)),
        (0..2, vec![3, 4, 5], Some(0)),
        (3..5, vec![1, 2, 3], Some(2)),
    ] {
        let mut protocol = refused(2);
        let (given_up, effects) = protocol.give_up(range.clone()).expect("none is in flight");
        let events: Vec<_> = given_up.iter().map(|entry| entry.event as usize).collect();
        assert_eq!(events, range.clone().map(|index| index + 1).collect::<Vec<_>>());
        let pending = protocol.log().batch(std::num::NonZeroUsize::MAX);
        assert_eq!(pending.iter().map(|entry| entry.event).collect::<Vec<_>>(), left);
        let moved = 5 - range.end;
        let (new, confirmed, dropped) = (Vec::new(), Vec::new(), range.clone().collect());
        assert_eq!(effects.merged, Some(Merged::Rebase { new, confirmed, moved, dropped }));
        assert_eq!(protocol.rejected().map(|(index, _)| index), blocked, "{range:?}");
        assert_eq!(protocol.counters().given_up, range.len() as u64);
    }
}

#[test]
fn give_up_lets_what_stood_behind_go_on() {
    let mut protocol = refused(0);
    assert_eq!(next(&protocol, ms(0)), [0; 0]);
    let _given_up = protocol.give_up(0..1).expect("it is not in flight");
    assert_eq!(next(&protocol, ms(0)), [2, 3, 4, 5]);
    let _confirmed = protocol.push_once(Ok(()), ms(0));
    assert_eq!((protocol.log().pending(), protocol.log().upstream_head()), (0, 4));
}

#[test]
fn replace_and_retry_rejected_and_restart_let_it_be_sent_again() {
    let replaced = refused(1).then(|it| it.replace(1, 20));
    assert_eq!(next(&replaced, ms(0)), [1, 20, 3, 4, 5]);
    for again in [refused(1).then(Core::retry_rejected), refused(1).then(Core::restart)] {
        assert_eq!(next(&again, ms(0)), [1, 2, 3, 4, 5]);
    }
    let kept = refused(1).then(Core::retry_now).then(|it| it.replace(4, 50));
    assert_eq!(next(&kept, ms(0)), [1], "neither concerns it");
}

#[test]
fn give_up_and_replace_and_retry_rejected_forget_the_failures_before() {
    // The first waits out its failures, and then upstream refuses it.
    let refused = || {
        let failed = live([1, 2]).then(|it| it.push_once(unavailable(None), ms(0)));
        let failed = failed.then(|it| it.push_once(unavailable(None), ms(100)));
        failed.then(|it| it.push_once(rejected(0), ms(300)))
    };
    let delay = |protocol: &mut Core| {
        let _backs_off = protocol.push_once(unavailable(None), ms(1_000));
        (1_000..100_000).find(|&now| protocol.would_send(ms(now))).map(|now| now - 1_000)
    };
    let decisions: [fn(&mut Core); 3] = [
        |it| drop(it.give_up(0..1).expect("it is not in flight")),
        |it| drop(it.replace(0, 10).expect("it is not in flight")),
        |it| drop(it.retry_rejected()),
    ];
    for decide in decisions {
        assert_eq!(delay(&mut refused().then(decide)), Some(100));
    }
    // What else is given up, or replaced, or tried again says nothing of what the failures were about.
    let mut cancelled = live([1, 2, 3]).then(|it| it.push_once(unavailable(None), ms(0)));
    assert!(cancelled.give_up(2..3).is_ok() && cancelled.replace(1, 20).is_ok());
    let _nothing = cancelled.retry_rejected();
    assert_eq!(delay(&mut cancelled), Some(200));
}

#[test]
fn replace_puts_the_event_under_the_same_number() {
    let mut protocol = refused(1);
    let (former, effects) = protocol.replace(1, 20).expect("it is not in flight");
    assert_eq!(former, MemoryEntry { position: 2, event: 2 });
    let (new, confirmed, dropped) = (Vec::new(), Vec::new(), Vec::new());
    assert_eq!(effects.merged, Some(Merged::Rebase { new, confirmed, moved: 4, dropped }));
    assert_eq!(protocol.send(ms(0)).entries[1], MemoryEntry { position: 2, event: 20 });
}

#[test]
fn what_upstream_may_have_stays() {
    // In flight.
    let mut protocol = refused(2);
    let batch = protocol.send(ms(0));
    assert_eq!(protocol.sent(), 2);
    assert_eq!(protocol.give_up(1..3), Err(DecisionError::Sent(2)));
    assert_eq!(protocol.replace(0, 10), Err((DecisionError::Sent(2), 10)));
    // What is behind it need not wait.
    let _given_up = protocol.give_up(2..3).expect("it is not in flight");
    let _confirmed = protocol.answer(batch, Ok(()), ms(0));
    assert_eq!(next(&protocol, ms(0)), [4, 5]);
    // Or without an answer.
    let mut protocol = live([1, 2]).then(|it| it.push_once(uncertain(), ms(0)));
    assert_eq!(protocol.commit(vec![3]), Ok(1));
    assert_eq!(protocol.give_up(1..2), Err(DecisionError::Sent(2)));
    assert!(protocol.give_up(2..3).is_ok());
    protocol.pull_nothing(ms(0));
    assert!(protocol.give_up(0..1).is_ok(), "a catch-up has shown that it was not taken");
}

#[test]
fn give_up_says_which_events_there_are() {
    let mut protocol = refused(0);
    for range in [4..6, 5..6, 3..3] {
        assert_eq!(protocol.give_up(range.clone()), Err(DecisionError::Absent { pending: 5, range }));
    }
    assert_eq!(protocol.give_up(4..6).unwrap_err().to_string(), "expected some of 5 pending events, got 4 to 6");
}

#[test]
fn a_refusal_of_before_a_restart_is_followed_by_another_try() {
    let mut protocol = live([1, 2]);
    let batch = protocol.send(ms(0));
    let _nothing = protocol.restart();
    let _rejected = protocol.answer(batch, rejected(0), ms(0));
    assert_eq!(protocol.rejected(), None);
    assert_eq!(next(&protocol, ms(0)), [1, 2]);
}

#[test]
fn a_refusal_that_a_rebase_has_overtaken_or_of_a_former_log_is_of_no_consequence() {
    let rebasing = Protocol::new(MemoryLog::rebasing().with_pending(0, [1, 2]), settings());
    let overtaken = |it: &mut Core, batch| {
        let _rejected = it.answer(batch, rejected(0), ms(0));
        (it.rejected().is_some(), next(it, ms(0)))
    };
    let mut protocol = rebasing;
    let (pull, batch) = (protocol.begin_pull(ms(0)), protocol.send(ms(0)));
    let _rebased = protocol.receive(pull, page(0, &[91]), ms(0));
    assert_eq!(overtaken(&mut protocol, batch), (false, vec![1, 2]));
    let mut protocol = live([1, 2]);
    let batch = protocol.send(ms(0));
    let _former = protocol.reset(MemoryLog::new().with_pending(0, [7]));
    assert_eq!(overtaken(&mut protocol, batch), (false, vec![7]));
    assert_eq!(refused(0).then(|it| it.reset(MemoryLog::new().with_pending(0, [7]))).rejected(), None);
}

#[test]
fn too_large_halves_the_batch_until_it_fits_and_remembers_it() {
    let mut protocol = live([1, 2, 3, 4, 5]);
    let sizes = [too_large(), too_large(), Ok(()), Ok(())].map(|answer| {
        let batch = protocol.send(ms(0));
        let size = batch.entries.len();
        let _answered = protocol.answer(batch, answer, ms(0));
        size
    });
    assert_eq!(sizes, [5, 2, 1, 1]);
    assert_eq!(protocol.counters().too_large, 2);
    let restarted = protocol.clone().then(Core::restart);
    assert_eq!((next(&protocol, ms(0)).len(), next(&restarted, ms(0)).len()), (1, 3));
    assert_eq!(protocol.rejected(), None);
}

#[test]
fn one_event_that_is_too_large_alone_is_refused_for_good() {
    let mut protocol = live([1, 2, 3]);
    for _ in 0..2 {
        let _halved = protocol.push_once(too_large(), ms(0));
    }
    assert_eq!(protocol.waiting_on(), WaitingOn::Owner(Failure::Rejected { error: "413".into() }));
    let _given_up = protocol.give_up(0..1).expect("it was not taken");
    assert_eq!(next(&protocol, ms(0)), [2, 3], "of the others it says nothing");
}

#[test]
fn retry_after_may_come_with_every_answer() {
    for answer in [behind(None), unavailable(Some(ms(1))), uncertain(), rejected(0), too_large(), fatal()] {
        let mut protocol = live([1, 2]);
        let asked = answer.map_err(|error| error.retry_after(ms(1)).retry_after(ms(70_000)).retry_after(ms(5)));
        let _answered = protocol.push_once(asked.clone(), ms(0));
        let _nothing = protocol.restart();
        protocol.pull_nothing(ms(0));
        assert!(!protocol.would_send(ms(69_999)), "{asked:?}");
        assert!(protocol.would_send(ms(70_000)), "{asked:?}");
    }
}

#[test]
fn reconnect_ends_both_calls_and_every_backoff() {
    let mut protocol = live([1]);
    let (pull, batch) = (protocol.begin_pull(ms(0)), protocol.send(ms(0)));
    let effects = protocol.reconnect();
    assert!(effects.interrupt_push && effects.interrupt_pull);
    let _fenced = protocol.answer(batch, uncertain(), ms(0));
    let _ended = protocol.pull_ended(pull, disconnected(), 0, ms(0));
    assert!(protocol.would_pull(ms(0)), "a pull that was asked to end has not failed");
    let waiting = live([1]).then(|it| it.push_once(unavailable(None), ms(0))).then(Core::reconnect);
    assert!(waiting.would_send(ms(0)));
    assert!(!live([1]).reconnect().interrupt_push, "there is no call");
}

#[test]
fn reset_with_sends_nothing_again_that_upstream_may_have() {
    let log = || MemoryLog::new().with_pending(0, [1, 2]);
    // In flight as the log is replaced; without an answer before.
    let in_flight = |answer| {
        let mut protocol = live([1, 2]);
        let batch = protocol.send(ms(0));
        assert!(protocol.reset_with(log()).1.interrupt_push);
        let _fenced = protocol.answer(batch, answer, ms(0));
        protocol
    };
    let lost = || live([1, 2]).then(|it| it.push_once(uncertain(), ms(0))).then(|it| it.reset_with(log()));
    for mut protocol in [in_flight(Ok(())), in_flight(uncertain()), in_flight(behind(None)), lost()] {
        assert!(!protocol.would_send(ms(100_000)), "the pusher {}", protocol.push());
        assert_eq!(protocol.sent(), 2);
        let mut taken = protocol.clone();
        let pull = taken.begin_pull(ms(0));
        let _confirmed = taken.receive(pull, last_page(0, &[1, 2]), ms(0));
        assert_eq!(taken.log().pending(), 0);
        protocol.pull_nothing(ms(0));
        assert_eq!(next(&protocol, ms(0)), [1, 2]);
    }
    // A snapshot that is past the base: it can only be refused, or is in it.
    let mut protocol = live([1, 2]);
    let batch = protocol.send(ms(0));
    let _former = protocol.reset_with(MemoryLog::new().with_pending(5, [1, 2]));
    let _behind = protocol.answer(batch, behind(None), ms(0));
    assert_eq!(next(&protocol, ms(0)), [1, 2]);
    // One that has the first of them, and may have been made before the second was taken: no more is in doubt than is pending.
    let mut protocol = live([1, 2]).then(|it| it.push_once(uncertain(), ms(0)));
    let _former = protocol.reset_with(MemoryLog::new().with_pending(1, [2]));
    protocol.commit(vec![3]).expect("it has a number");
    assert_eq!(protocol.sent(), 1);
    assert!(protocol.give_up(1..2).is_ok(), "it was not sent");
}

fn idempotent<const N: usize>(pending: [u64; N]) -> Core {
    let settings = Settings { resend: crate::protocol::Resend::Idempotent, ..settings() };
    Protocol::new(MemoryLog::new().with_pending(0, pending), settings)
}

#[test]
fn reset_with_doubts_what_is_in_flight_until_a_pull_that_begins_after_its_end() {
    let panics = |it: &mut Core, batch| it.push_panicked(batch, Failure::Panicked { message: "of before".into() });
    let loses = |it: &mut Core, batch| it.answer(batch, uncertain(), ms(0));
    for ends in [panics as fn(&mut Core, _) -> _, loses] {
        let mut protocol = live([1, 2]);
        let batch = protocol.send(ms(0));
        let _former = protocol.reset_with(MemoryLog::new().with_pending(0, [1, 2]));
        // Upstream may get it after this.
        let during = protocol.begin_pull(ms(0));
        let _nothing = protocol.receive(during, last_page(0, &[]), ms(0));
        assert_eq!(protocol.give_up(0..1), Err(DecisionError::Sent(2)));
        assert!(ends(&mut protocol, batch).interrupt_pull);
        let _nothing = protocol.receive(during, last_page(0, &[]), ms(0));
        assert_eq!(protocol.give_up(0..1), Err(DecisionError::Sent(2)));
        let _ended = protocol.pull_ended(during, disconnected(), 0, ms(0));
        protocol.pull_nothing(ms(0));
        assert!(protocol.give_up(0..1).is_ok());
    }
}

#[test]
fn reset_with_doubts_the_rest_of_a_push_of_which_a_part_has_been_seen() {
    let mut protocol = live([1, 2, 3]);
    let (pull, batch) = (protocol.begin_pull(ms(0)), protocol.send(ms(0)));
    let _confirms = protocol.receive(pull, page(0, &[1]), ms(0));
    // With a push in flight, or one without an answer, and a log that stands there already.
    let in_flight = protocol.clone().then(|it| it.reset_with(MemoryLog::new().with_pending(1, [2, 3])));
    let lost = protocol.then(|it| it.answer(batch.clone(), uncertain(), ms(0)));
    let lost = lost.then(|it| it.reset_with(MemoryLog::new().with_pending(1, [2, 3])));
    for mut protocol in [in_flight, lost] {
        assert_eq!(protocol.sent(), 2);
        let _landed = protocol.answer(batch.clone(), uncertain(), ms(0));
        assert!(protocol.would_send(ms(0)) || protocol.clone().then(Core::retry_now).would_send(ms(0)), "at its base");
        let _ended = protocol.pull_ended(pull, disconnected(), 0, ms(0));
        protocol.pull_nothing(ms(0));
        assert_eq!(protocol.sent(), 0);
    }
    // What is in the new log already is not pending.
    let mut protocol = live([1, 2]).then(|it| it.push_once(uncertain(), ms(0)));
    let _former = protocol.reset_with(MemoryLog::new().with_pending(2, []));
    assert!(!protocol.is_uncertain());
}

#[test]
fn what_an_answer_of_before_a_restart_says_holds_nothing_back() {
    for answer in [rejected(0), rejected(7), too_large()] {
        let mut protocol = live([1, 2]);
        let batch = protocol.send(ms(0));
        let _nothing = protocol.restart();
        let _answered = protocol.answer(batch, answer.clone(), ms(0));
        assert_eq!((protocol.failure(), next(&protocol, ms(0))), (None, vec![1, 2]), "{answer:?}");
    }
}

#[test]
fn a_refusal_asks_for_a_catch_up_while_an_earlier_push_may_have_been_taken() {
    for answer in [rejected(0), too_large()] {
        let mut protocol = idempotent([1]);
        let pull = protocol.begin_pull(ms(0));
        let _lost = protocol.push_once(uncertain(), ms(0));
        assert_eq!(protocol.push_once(answer, ms(100)), ends_pull());
        assert_eq!(protocol.give_up(0..1), Err(DecisionError::Sent(1)));
        let _ended = protocol.pull_ended(pull, disconnected(), 0, ms(100));
        protocol.pull_nothing(ms(100));
        assert!(protocol.give_up(0..1).is_ok());
    }
    let _pull = live([1]).then(|it| assert_eq!(it.push_once(rejected(0), ms(0)), Effects::default()));
}

#[test]
fn a_smaller_push_decides_no_more_of_an_earlier_one_than_it_carries() {
    let mut protocol = idempotent([1, 2, 3]);
    let _lost = protocol.push_once(uncertain(), ms(0));
    let _halved = protocol.push_once(too_large(), ms(100));
    let batch = protocol.send(ms(100));
    assert_eq!(batch.entries.len(), 1);
    // Neither by its loss nor by its acceptance.
    assert_eq!(protocol.clone().then(|it| it.answer(batch.clone(), uncertain(), ms(100))).sent(), 3);
    let _confirmed = protocol.answer(batch, Ok(()), ms(100));
    assert_eq!((protocol.log().pending(), protocol.sent()), (2, 2));
    assert_eq!(protocol.give_up(1..2), Err(DecisionError::Sent(2)));
    let _confirmed = protocol.push_once(Ok(()), ms(100)).merged.expect("the second");
    let _confirmed = protocol.push_once(Ok(()), ms(100)).merged.expect("the third");
    assert!(!protocol.is_uncertain());
}

#[test]
fn is_undecided_says_whether_there_is_something_that_only_the_owner_can_end() {
    let journal = || {
        let settings = Settings { journal: Some(NonZeroUsize::MIN), ..settings() };
        Protocol::new(MemoryLog::new().with_pending(0, [1]), settings)
    };
    let failure = || Failure::Journal { error: "no".into() };
    let cases = [
        (live([1]), false),
        (journal(), false),
        (journal().then(|it| it.journal_is_astray(failure())), true),
        (live([1]).then(|it| it.pause(Direction::Push)), true),
        (live([1]).then(|it| it.pause(Direction::Pull)), true),
        (live([1]).then(|it| it.push_once(fatal(), ms(0))), true),
        (live([1]).then(|it| it.pull_failed(failure())), true),
        (refused(1), true),
    ];
    for (protocol, undecided) in cases {
        assert_eq!(protocol.is_undecided(), undecided, "{:?}", protocol.undecided());
        assert_eq!(protocol.undecided().iter().any(Option::is_some), undecided);
    }
}
