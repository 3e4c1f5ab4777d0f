//! What becomes of a push, and what ends the pusher's waits.

use std::num::NonZeroUsize;

use super::super::{Delay, Direction, Effects, Failure, Fate, Next, Protocol, Push, Resend, Settings, WaitingOn};
use super::{
    Core, behind, disconnected, ends_pull, fatal, last_page, live, ms, on_request, page, settings, unavailable,
    uncertain,
};
use crate::Backoff;
use crate::log::{Log as _, MemoryEntry, MemoryLog, Merged};
use crate::protocol::push::OVERTAKEN_MOST;
use crate::protocol::{FatalKind, PullError, PushError};

#[test]
fn a_backoff_ends_at_its_very_instant() {
    let mut protocol = live([10]);
    let _nothing = protocol.push_once(unavailable(None), ms(0));
    assert!(matches!(protocol.next_push(ms(99)), Next::Wait { until: Some(until) } if until == ms(100)));
    assert!(protocol.would_send(ms(100)));
}

#[test]
fn a_batch_is_made_in_the_place_of_what_is_given_for_that() {
    let log = MemoryLog::new().with_pending(0, [10, 11]);
    let mut protocol = Protocol::new(log, Settings { batch: NonZeroUsize::MIN, ..settings() });
    let batch = protocol.send(ms(0));
    let confirmed = protocol.answer(batch, Ok(()), ms(0)).merged;
    let Some(Merged::Advance { confirmed, .. }) = confirmed else { panic!("it is taken") };
    let place = confirmed.as_ptr();
    protocol.reuse(confirmed);
    let entries = protocol.send(ms(0)).entries;
    assert_eq!((entries.as_ptr(), &*entries), (place, &[MemoryEntry { position: 2, event: 11 }][..]));
}

#[test]
fn a_place_for_a_batch_is_given_up_if_no_push_begins_next() {
    let mut protocol = live([]);
    protocol.reuse(Vec::with_capacity(8));
    assert!(matches!(protocol.next_push(ms(0)), Next::Wait { until: None }));
    assert_eq!(protocol.room.capacity(), 0);
}

#[test]
fn a_rejected_push_waits_only_for_news_that_has_not_come() {
    // Whether a page comes while the push is in flight; upstream's head, as the rejection tells it; whether to wait.
    let cases = [
        (false, None, true),
        (false, Some(1), true),
        (false, Some(0), false),
        (true, None, false),
        (true, Some(1), false),
        (true, Some(2), false),
    ];
    for (news, head, waits) in cases {
        let mut protocol = live([10]);
        let pull = protocol.begin_pull(ms(0));
        let batch = protocol.send(ms(0));
        if news {
            let _advance = protocol.receive(pull, page(0, &[1]), ms(0));
        }
        let _nothing = protocol.answer(batch, behind(head), ms(0));
        assert_eq!(protocol.would_send(ms(0)), !waits, "{news}, {head:?}");
    }
}

#[test]
fn who_is_behind_goes_on_with_the_news_that_it_waits_for() {
    // Upstream's head, as the rejection tells it; how many pages of one event it takes.
    for (head, pages) in [(None, 1), (Some(1), 1), (Some(2), 2)] {
        for log in [MemoryLog::new(), MemoryLog::rebasing()] {
            let mut protocol = Protocol::new(log.with_pending(0, [10]), settings());
            let pull = protocol.begin_pull(ms(0));
            let _nothing = protocol.push_once(behind(head), ms(0));
            for number in 0..pages {
                assert!(!protocol.would_send(ms(0)), "{head:?}, after {number}");
                let _merge = protocol.receive(pull, page(number, &[number]), ms(0));
            }
            assert!(protocol.would_send(ms(0)), "{head:?}");
        }
    }
}

#[test]
fn a_catch_up_begins_after_the_rejection_and_at_the_end_of_the_grace() {
    let mut protocol = live([10]);
    let earlier = protocol.begin_pull(ms(0));
    let _nothing = protocol.push_once(behind(None), ms(0));
    let _nothing = protocol.receive(earlier, last_page(0, &[]), ms(1));
    assert!(!protocol.would_send(ms(1)), "upstream has said what it had before");
    assert_eq!(protocol.tick(ms(249)), Effects::default());
    assert_eq!(protocol.tick(ms(250)), ends_pull());
    let _nothing = protocol.receive(earlier, last_page(0, &[]), ms(251));
    assert!(!protocol.would_send(ms(251)), "and says so once more");
    let _nothing = protocol.pull_ended(earlier, disconnected(), 0, ms(251));
    protocol.pull_nothing(ms(251));
    assert!(protocol.would_send(ms(251)));
}

#[test]
fn a_pull_that_began_in_the_grace_is_a_catch_up() {
    let mut protocol = live([10]);
    let earlier = protocol.begin_pull(ms(0));
    let _nothing = protocol.push_once(behind(None), ms(0));
    let _nothing = protocol.pull_ended(earlier, disconnected(), 0, ms(0));
    let later = protocol.begin_pull(ms(100));
    assert_eq!(protocol.tick(ms(250)), ends_pull());
    let _nothing = protocol.receive(later, last_page(0, &[]), ms(251));
    assert!(protocol.would_send(ms(251)));
}

#[test]
fn an_unknown_outcome_is_resolved_by_a_pull_that_begins_after_it() {
    let mut protocol = live([10]);
    let earlier = protocol.begin_pull(ms(0));
    assert_eq!(protocol.push_once(uncertain(), ms(0)), ends_pull());
    let _nothing = protocol.receive(earlier, last_page(0, &[]), ms(1));
    let _nothing = protocol.pull_ended(earlier, disconnected(), 0, ms(1));
    assert!(!protocol.would_send(ms(1000)), "the push may have arrived since");
    let mut sooner = protocol.clone();
    sooner.pull_nothing(ms(99));
    assert!(
        matches!(sooner.next_push(ms(99)), Next::Wait { until: Some(until) } if until == ms(100)),
        "it backs off as well"
    );
    protocol.pull_nothing(ms(100));
    assert!(protocol.would_send(ms(100)));
}

#[test]
fn resend_idempotent_sends_again_without_a_catch_up() {
    let log = MemoryLog::new().with_pending(0, [10]);
    let mut protocol = Protocol::new(log, Settings { resend: Resend::Idempotent, ..settings() });
    let pull = protocol.begin_pull(ms(0));
    assert_eq!(protocol.push_once(uncertain(), ms(0)), Effects::default());
    assert!(protocol.is_pulling(pull));
    assert!(!protocol.would_send(ms(99)));
    assert!(protocol.would_send(ms(100)));
}

#[test]
fn a_catch_up_that_explains_nothing_allows_one_push_before_a_backoff() {
    let mut protocol = on_request([10]);
    // What the catch-up brings, and when the next push is sent.
    let cases = [(0, &[][..], 0), (0, &[], 100), (100, &[], 300), (300, &[1], 300), (300, &[], 300), (300, &[], 400)];
    for (now, events, again) in cases {
        let _nothing = protocol.push_once(behind(None), ms(now));
        let catch_up = protocol.begin_pull(ms(now));
        let cursor = protocol.log().upstream_head();
        let _merge = protocol.receive(catch_up, last_page(cursor, events), ms(now));
        let _nothing = protocol.pull_ended(catch_up, Ok(()), 0, ms(now));
        assert!(again == now || !protocol.would_send(ms(again - 1)), "{now}, {events:?}");
        assert!(protocol.would_send(ms(again)), "{now}, {events:?}");
    }
}

#[test]
fn a_catch_up_short_of_the_head_that_was_told_leads_to_a_backoff() {
    for events in [&[][..], &[1]] {
        let mut protocol = on_request([10]);
        let _nothing = protocol.push_once(behind(Some(9)), ms(0));
        let catch_up = protocol.begin_pull(ms(0));
        let _merge = protocol.receive(catch_up, last_page(0, events), ms(0));
        let _nothing = protocol.pull_ended(catch_up, Ok(()), 0, ms(0));
        assert!(!protocol.would_send(ms(99)) && protocol.would_send(ms(100)), "{events:?}");
    }
}

#[test]
fn what_reaches_the_head_that_upstream_told_ends_the_backoff() {
    for (events, ends) in [(8, false), (9, true)] {
        let mut protocol = live([10]);
        let _nothing = protocol.push_once(behind(Some(9)), ms(0));
        let _nothing = protocol.tick(ms(250));
        let catch_up = protocol.begin_pull(ms(250));
        let _nothing = protocol.receive(catch_up, last_page(0, &[]), ms(250));
        assert!(!protocol.would_send(ms(250)));
        let _merge = protocol.receive(catch_up, last_page(0, &(0..events).collect::<Vec<_>>()), ms(251));
        assert_eq!(protocol.would_send(ms(251)), ends, "{events}");
    }
}

#[test]
fn a_head_that_has_been_reached_is_believed_once() {
    let mut protocol = live([10]);
    let pull = protocol.begin_pull(ms(0));
    let _nothing = protocol.push_once(behind(Some(0)), ms(0));
    let _nothing = protocol.push_once(behind(Some(0)), ms(0));
    assert!(!protocol.would_send(ms(0)));
    let _merge = protocol.receive(pull, page(0, &[1]), ms(0));
    let _nothing = protocol.push_once(behind(Some(1)), ms(0));
    assert!(protocol.would_send(ms(0)), "a merge came between");
}

#[test]
fn an_upstream_whose_head_is_before_the_base_has_lost_events() {
    let mut protocol = Protocol::new(MemoryLog::new().with_pending(8, [10]), settings());
    let _nothing = protocol.push_once(behind(Some(5)), ms(0));
    let words = "upstream has lost events: expected upstream's head to be 8 or later, as this log has been told, got 5";
    assert_eq!(protocol.failure().map(ToString::to_string).as_deref(), Some(words));
    assert!(!protocol.is_uncertain());
    // One that the log has passed meanwhile is merely old.
    let mut protocol = Protocol::new(MemoryLog::new().with_pending(8, [10]), settings());
    let (pull, batch) = (protocol.begin_pull(ms(0)), protocol.send(ms(0)));
    let _advance = protocol.receive(pull, page(8, &[1, 2]), ms(0));
    let _nothing = protocol.answer(batch, behind(Some(9)), ms(0));
    assert!(protocol.would_send(ms(0)));
}

#[test]
fn pushes_that_others_overtake_are_delayed_after_some() {
    for log in [MemoryLog::new(), MemoryLog::rebasing()] {
        let mut protocol = Protocol::new(log.with_pending(0, [10]), settings());
        let (pull, mut now, mut waits) = (protocol.begin_pull(ms(0)), ms(0), Vec::new());
        for number in 0..10 {
            let batch = protocol.send(now);
            let _merge = protocol.receive(pull, page(number, &[number]), now);
            let _nothing = protocol.answer(batch, behind(None), now);
            let Next::Wait { until } = protocol.clone().next_push(now) else {
                waits.push(0);
                continue;
            };
            waits.push((until.expect("it waits for a time") - now).as_millis());
            now = until.expect("it waits for a time");
        }
        // Not those of failures: the others, who are taken, wait for nothing.
        assert_eq!(waits, [0, 0, 0, 0, 5, 10, 20, 40, 40, 40]);
        let _accepted = protocol.push_once(Ok(()), now);
        assert_eq!(protocol.log().pending(), 0);
        // One is accepted, and all of that is forgotten.
        protocol.commit(vec![11]).unwrap();
        let batch = protocol.send(now);
        let head = protocol.log().upstream_head();
        let _merge = protocol.receive(pull, page(head, &[10]), now);
        let _nothing = protocol.answer(batch, behind(None), now);
        assert!(protocol.would_send(now));
    }
}

#[test]
fn an_unknown_outcome_is_resolved_by_a_merge_that_passes_the_base() {
    // What came before the answer was lost and after; whether it stays in doubt.
    for (before, after, doubt) in
        [(&[][..], &[1][..], false), (&[], &[10], true), (&[10], &[], true), (&[1], &[], false)]
    {
        let mut protocol = live([10, 11]);
        let (pull, batch) = (protocol.begin_pull(ms(0)), protocol.send(ms(0)));
        let _some = protocol.receive(pull, page(0, before), ms(0));
        let _perhaps_fenced = protocol.answer(batch, uncertain(), ms(0));
        assert_eq!(protocol.is_uncertain(), before != [1]);
        let _nothing = protocol.receive(pull, page(1, &[]), ms(200));
        assert_eq!(protocol.would_send(ms(200)), !before.is_empty());
        let _some = protocol.receive(pull, page(0, after), ms(200));
        assert!(protocol.would_send(ms(200)), "{before:?}, {after:?}: nothing can be taken twice");
        assert_eq!(protocol.is_uncertain(), doubt, "{before:?}, {after:?}: a push is taken whole");
        let _rest = protocol.receive(pull, page(1, &[11]), ms(200));
        assert!(!protocol.is_uncertain());
    }
}

#[test]
fn what_may_have_been_taken_stays_in_doubt_whatever_the_pusher_does() {
    let idempotent = Settings { resend: Resend::Idempotent, ..settings() };
    let mut protocol = Protocol::new(MemoryLog::new().with_pending(0, [10]), idempotent);
    let _nothing = protocol.push_once(uncertain(), ms(0));
    for outcome in [unavailable(None), behind(None)] {
        let _nothing = protocol.retry_now();
        let _nothing = protocol.push_once(outcome, ms(0));
        assert!(protocol.is_uncertain());
    }
    let _nothing = protocol.retry_now();
    let _confirmed = protocol.push_once(Ok(()), ms(0));
    assert!(!protocol.is_uncertain());
}

#[test]
fn a_push_that_merges_have_confirmed_is_interrupted() {
    let mut protocol = live([10, 11, 12]);
    let pull = protocol.begin_pull(ms(0));
    let batch = protocol.send(ms(0));
    assert!(!protocol.receive(pull, page(0, &[10, 11]), ms(0)).interrupt_push, "one is left");
    assert!(protocol.receive(pull, page(2, &[12]), ms(0)).interrupt_push);
    assert!(!protocol.receive(pull, page(3, &[1]), ms(0)).interrupt_push, "it has been");
    let _nothing = protocol.answer(batch, uncertain(), ms(0));
    assert_eq!((&protocol.course.push, protocol.is_uncertain()), (&Push::Idle, false));
}

#[test]
fn retry_after_holds_whatever_has_become_of_the_push() {
    type Meanwhile = fn(&mut super::Core, u64);
    let overtaken: Meanwhile = |it, pull| drop(it.receive(pull, page(0, &[1]), ms(0)));
    let confirmed: Meanwhile = |it, pull| drop(it.receive(pull, page(0, &[10]), ms(0)));
    let reset: Meanwhile = |it, _| drop(it.reset(MemoryLog::new()));
    let restarted: Meanwhile = |it, _| drop(it.restart());
    for meanwhile in [|_: &mut _, _| (), overtaken, confirmed, reset, restarted] {
        let mut protocol = Protocol::new(MemoryLog::rebasing().with_pending(0, [10]), settings());
        let pull = protocol.begin_pull(ms(0));
        let batch = protocol.send(ms(0));
        meanwhile(&mut protocol, pull);
        let _nothing = protocol.answer(batch, unavailable(Some(ms(5000))), ms(0));
        protocol.commit(vec![11]).expect("there are numbers");
        type Ask = fn(&mut super::Core);
        let asks: [Ask; 4] = [
            |it| drop(it.retry_now()),
            |it| drop(it.restart()),
            |it| it.resume(Direction::Push),
            |it| drop(it.reset(MemoryLog::new().with_pending(0, [12]))),
        ];
        for ask in asks {
            ask(&mut protocol);
            assert!(!protocol.would_send(ms(4999)), "the pusher {}", protocol.course.push);
            assert!(protocol.would_send(ms(5000)), "the pusher {}", protocol.course.push);
        }
        let _nothing = protocol.override_retry_after();
        assert!(protocol.would_send(ms(0)));
    }
}

#[test]
fn the_time_that_upstream_names_is_kept_when_something_else_fails() {
    let mut protocol = live([10]);
    let _nothing = protocol.push_once(unavailable(Some(ms(5000))), ms(0));
    protocol.push_unsent(Failure::Panicked { message: "the log".into() });
    let _goes_on = protocol.restart();
    assert_eq!(protocol.waiting_on(), WaitingOn::Clock(ms(5000)));
    assert!(!protocol.would_send(ms(4999)) && protocol.would_send(ms(5000)));
}

#[test]
fn a_push_that_upstream_asked_to_wait_says_until_when() {
    let mut protocol = live([10]);
    let _nothing = protocol.push_once(unavailable(Some(ms(5000))), ms(0));
    let rests = Push::Waiting { until: ms(5000), asked: true, reason: Delay::Unavailable };
    assert_eq!(protocol.course.push, rests);
}

#[test]
fn push_panicked_leaves_no_doubt_about_what_a_merge_has_decided() {
    for (event, then) in [(10, WaitingOn::Nothing), (1, WaitingOn::Pusher)] {
        let mut protocol = Protocol::new(MemoryLog::rebasing().with_pending(0, [10]), settings());
        let (pull, batch) = (protocol.begin_pull(ms(0)), protocol.send(ms(0)));
        let _decided = protocol.receive(pull, page(0, &[event]), ms(0));
        let _failed = protocol.push_panicked(batch, Failure::Panicked { message: "a test".into() });
        assert!(!protocol.is_uncertain());
        let _nothing = protocol.restart();
        assert_eq!(protocol.waiting_on(), then);
    }
}

#[test]
fn what_was_accepted_stays_in_doubt_until_the_log_has_all_of_it() {
    let mut protocol = live([10, 11, 12]);
    let (pull, mut batch) = (protocol.begin_pull(ms(0)), protocol.send(ms(0)));
    let _first = protocol.receive(pull, page(0, &[10]), ms(0));
    batch.entries.remove(1);
    protocol.push_ended(batch, Ok(()), 0, ms(0)).expect_err("the log misses an event");
    assert!(protocol.is_uncertain());
    assert!(protocol.restart().interrupt_pull, "another pull is to show it");
    assert!(!protocol.would_send(ms(0)));
    let _nothing = protocol.pull_ended(pull, disconnected(), 0, ms(0));
    let pull = protocol.begin_pull(ms(0));
    for (cursor, event, doubt) in [(1, 11, true), (2, 12, false)] {
        let _one = protocol.receive(pull, page(cursor, &[event]), ms(0));
        assert_eq!(protocol.is_uncertain(), doubt, "{event}");
    }
}

#[test]
fn what_was_accepted_although_others_were_faster_stays_in_doubt_until_it_is_seen() {
    let mut protocol = Protocol::new(MemoryLog::rebasing().with_pending(0, [10, 11]), settings());
    let (pull, batch) = (protocol.begin_pull(ms(0)), protocol.send(ms(0)));
    let _overtaken = protocol.receive(pull, page(0, &[10, 1]), ms(0));
    assert!(protocol.answer(batch, Ok(()), ms(0)).interrupt_pull);
    let _nothing = protocol.pull_ended(pull, disconnected(), 0, ms(0));
    let pull = protocol.begin_pull(ms(0));
    assert!(protocol.is_uncertain());
    let _rest = protocol.receive(pull, page(2, &[11]), ms(0));
    assert!(!protocol.is_uncertain());
}

#[test]
fn push_unsent_keeps_the_first_failure() {
    let panicked = |message: &str| Failure::Panicked { message: message.into() };
    for send in [false, true] {
        let mut protocol = live([10]);
        let batch = send.then(|| protocol.send(ms(0)));
        protocol.push_unsent(panicked("first"));
        protocol.push_unsent(panicked("second"));
        assert_eq!(protocol.failure(), Some(&panicked("first")));
        if let Some(batch) = batch {
            let _failed = protocol.answer(batch, unavailable(None), ms(0));
            assert_eq!(protocol.course.push, Push::Failed { error: panicked("first") });
        }
    }
}

#[test]
fn retry_now_leaves_of_a_longer_backoff_what_upstream_asked_for() {
    let mut protocol = live([10]);
    let _nothing = protocol.push_once(unavailable(Some(ms(50))), ms(0));
    assert_eq!(protocol.waiting_on(), WaitingOn::Clock(ms(100)));
    assert!(!protocol.would_send(ms(99)));
    let _pull = protocol.retry_now();
    assert_eq!(protocol.waiting_on(), WaitingOn::Clock(ms(50)));
    assert!(!protocol.would_send(ms(49)) && protocol.would_send(ms(50)));
}

#[test]
fn a_fatal_answer_of_before_the_restart_is_followed_by_another_try() {
    let mut protocol = live([10]);
    let (pull, batch) = (protocol.begin_pull(ms(0)), protocol.send(ms(0)));
    let _nothing = protocol.restart();
    let _nothing = protocol.answer(batch, fatal(), ms(0));
    let no = PullError::Fatal { kind: FatalKind::Other, error: "no".into() };
    let _nothing = protocol.pull_ended(pull, Err(no), 0, ms(0));
    assert_eq!(protocol.failure(), None);
    assert!(protocol.would_send(ms(0)) && protocol.would_pull(ms(0)));
    let _failed = protocol.push_once(fatal(), ms(0));
    assert!(protocol.failure().is_some(), "it knows what the owner has changed");
}

#[test]
fn a_panic_of_before_the_restart_leaves_a_doubt_and_no_failure() {
    let mut protocol = live([10]);
    let batch = protocol.send(ms(0));
    let _nothing = protocol.restart();
    let _fenced = protocol.push_panicked(batch, Failure::Panicked { message: "a test".into() });
    assert_eq!((protocol.failure(), protocol.is_uncertain()), (None, true));
    assert!(!protocol.would_send(ms(0)));
    protocol.pull_nothing(ms(0));
    assert!(protocol.would_send(ms(0)));
}

#[test]
fn a_reconnect_cuts_a_backoff_short_once_for_each_success() {
    for succeeds in [false, true] {
        let mut protocol = live([10]);
        let pull = protocol.begin_pull(ms(0));
        let _nothing = protocol.pull_ended(pull, disconnected(), 0, ms(0));
        let pull = protocol.begin_pull(ms(100));
        let _nothing = protocol.push_once(unavailable(None), ms(100));
        let _nothing = protocol.receive(pull, last_page(0, &[]), ms(101));
        assert!(protocol.would_send(ms(101)), "the first reconnect");
        if succeeds {
            let _merge = protocol.push_once(Ok(()), ms(101));
            protocol.commit(vec![11]).expect("there are numbers");
        }
        let _nothing = protocol.pull_ended(pull, disconnected(), 0, ms(102));
        let pull = protocol.begin_pull(ms(302));
        let _nothing = protocol.push_once(unavailable(None), ms(302));
        let _nothing = protocol.receive(pull, last_page(1, &[]), ms(303));
        assert_eq!(protocol.would_send(ms(303)), succeeds, "the second one");
    }
}

#[test]
fn a_reconnect_cuts_a_backoff_short_that_upstream_has_not_asked_for() {
    // Whether the pull before was cut off; what upstream asked for; whether the next pull ends the backoff.
    for (cut_off, asked, at_once) in [(true, None, true), (false, None, false), (true, Some(ms(100)), false)] {
        let mut protocol = live([10]);
        let mut pull = protocol.begin_pull(ms(0));
        if cut_off {
            let _nothing = protocol.pull_ended(pull, disconnected(), 0, ms(0));
            pull = protocol.begin_pull(ms(100));
        }
        let _nothing = protocol.push_once(unavailable(asked), ms(100));
        let _nothing = protocol.receive(pull, last_page(0, &[]), ms(101));
        assert_eq!(protocol.would_send(ms(101)), at_once, "{cut_off}, {asked:?}");
        assert!(protocol.would_send(ms(200)));
    }
}

#[test]
fn an_echo_before_the_answer_confirms_and_the_answer_adds_nothing() {
    let mut protocol = live([10, 11]);
    let pull = protocol.begin_pull(ms(0));
    let batch = protocol.send(ms(0));
    let confirmed = protocol.receive(pull, page(0, &[10, 11]), ms(0)).merged.expect("an advance");
    assert_eq!(confirmed.confirmed(), batch.entries);
    assert_eq!(protocol.answer(batch, Ok(()), ms(0)), Effects::default());
    assert_eq!(protocol.course.push, Push::Idle);
}

#[test]
fn a_push_is_lost_to_a_rebase_and_not_to_an_advance() {
    for log in [MemoryLog::new(), MemoryLog::rebasing()] {
        let rebasing = log == MemoryLog::rebasing();
        let mut protocol = Protocol::new(log.with_pending(0, [10]), settings());
        let pull = protocol.begin_pull(ms(0));
        let batch = protocol.send(ms(0));
        let effects = protocol.receive(pull, page(0, &[1]), ms(0));
        assert_eq!(effects.interrupt_push, rebasing);
        assert!(matches!(protocol.course.push, Push::Sending { fate, .. } if (fate == Fate::Overtaken) == rebasing));
        assert!(protocol.is_sending(&batch), "its answer is awaited in any case");
    }
}

#[test]
fn push_ended_of_a_lost_push_is_known_or_looked_into() {
    // That it was refused is known; that it was taken cannot be, until a pull shows it; what is fatal stays fatal.
    let no = Failure::Upstream { kind: FatalKind::Other, error: "no".into() };
    let cases = [
        (behind(None), Push::Idle),
        (unavailable(None), Push::Idle),
        (uncertain(), Push::Idle),
        (Ok(()), Push::Uncertain { pull: 2, until: ms(0) }),
        (fatal(), Push::Failed { error: no }),
    ];
    for (outcome, state) in cases {
        let log = MemoryLog::rebasing().with_pending(0, [10]);
        let mut protocol = Protocol::new(log, settings());
        let pull = protocol.begin_pull(ms(0));
        let batch = protocol.send(ms(0));
        let _rebase = protocol.receive(pull, page(0, &[1]), ms(0));
        let _effects = protocol.answer(batch, outcome.clone(), ms(0));
        assert_eq!(protocol.course.push, state, "{outcome:?}");
        assert_eq!(protocol.log().pending(), 1, "{outcome:?}");
    }
}

#[test]
fn the_latest_push_alone_is_in_flight_and_until_it_is_answered() {
    let mut protocol = live([10]);
    let first = protocol.send(ms(0));
    assert!(protocol.is_sending(&first));
    let _nothing = protocol.answer(first.clone(), unavailable(None), ms(0));
    assert!(!protocol.is_sending(&first));
    let second = protocol.send(ms(100));
    assert!(protocol.is_sending(&second) && !protocol.is_sending(&first));
    assert_eq!(protocol.answer(first, Ok(()), ms(100)), Effects::default());
    assert!(protocol.is_sending(&second), "an answer to another push changes nothing");
    assert_eq!(protocol.log().pending(), 1);
}

#[test]
fn a_push_that_is_refused_during_a_pause_is_still_pending() {
    let mut protocol = live([10]);
    let batch = protocol.send(ms(0));
    let _nothing = protocol.pause(Direction::Push);
    assert_eq!(protocol.answer(batch, unavailable(None), ms(0)), Effects::default());
    assert_eq!(protocol.log().pending(), 1);
}

/// A driver draws no random number for it.
#[test]
fn what_follows_a_push_that_was_taken_is_not_left_to_chance() {
    // What comes while it is in flight, of which each decides something else about it.
    let meanwhile: [fn(&mut Core, u64); 5] = [
        |_, _| (),
        |it, pull| drop(it.receive(pull, page(0, &[10]), ms(0))),
        |it, pull| drop(it.receive(pull, page(0, &[1]), ms(0))),
        |it, _| drop(it.reset(MemoryLog::new().with_pending(0, [10]))),
        |it, _| drop(it.reset_with(MemoryLog::new().with_pending(0, [10]))),
    ];
    let answered = |meanwhile: fn(&mut Core, u64), outcome: fn() -> Result<(), PushError<u64>>| {
        let jitter = Settings { backoff: Backoff::new(ms(100), ms(10_000)), ..settings() };
        let mut protocol = Protocol::new(MemoryLog::rebasing().with_pending(0, [10]), jitter);
        // Another one that others overtake would be followed by a delay.
        protocol.course.overtaken = OVERTAKEN_MOST;
        let pull = protocol.begin_pull(ms(0));
        let batch = protocol.send(ms(0));
        meanwhile(&mut protocol, pull);
        [0, u64::MAX].map(|random| {
            protocol.clone().then(|it| it.push_ended(batch.clone(), outcome(), random, ms(0)).expect("it is its own"))
        })
    };
    for meanwhile in meanwhile {
        let [one, other] = answered(meanwhile, || Ok(()));
        assert_eq!(one, other);
    }
    let [one, other] = answered(meanwhile[2], || behind(None));
    assert_ne!(one, other, "no delay is left to chance here");
}
