//! What becomes of a push, and what ends the pusher's waits.

use super::super::{Direction, Effects, Failure, NextPush, Protocol, Push, Resend, Settings};
use super::{
    behind, disconnected, ends_pull, fatal, last_page, live, ms, on_request, page, settings, unavailable, uncertain,
};
use crate::log::{Log as _, MemoryLog};
use crate::upstream::FatalKind;

#[test]
fn a_backoff_ends_at_its_very_instant() {
    let mut protocol = live([10]);
    let _nothing = protocol.push_once(unavailable(None), ms(0));
    assert!(matches!(protocol.next_push(ms(99)), NextPush::Wait(Some(until)) if until == ms(100)));
    assert!(protocol.would_send(ms(100)));
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
    protocol.pull_ended(earlier, disconnected(), 0, ms(251));
    protocol.pull_nothing(ms(251));
    assert!(protocol.would_send(ms(251)));
}

#[test]
fn a_pull_that_began_in_the_grace_is_a_catch_up() {
    let mut protocol = live([10]);
    let earlier = protocol.begin_pull(ms(0));
    let _nothing = protocol.push_once(behind(None), ms(0));
    protocol.pull_ended(earlier, disconnected(), 0, ms(0));
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
    protocol.pull_ended(earlier, disconnected(), 0, ms(1));
    assert!(!protocol.would_send(ms(1000)), "the push may have arrived since");
    let mut sooner = protocol.clone();
    sooner.pull_nothing(ms(99));
    assert!(
        matches!(sooner.next_push(ms(99)), NextPush::Wait(Some(until)) if until == ms(100)),
        "it backs off as well"
    );
    protocol.pull_nothing(ms(100));
    assert!(protocol.would_send(ms(100)));
}

#[test]
fn an_upstream_that_knows_what_it_has_taken_gets_it_again_without_a_catch_up() {
    let log = MemoryLog::new().with_pending(0, [10]);
    let mut protocol = Protocol::new(log, Settings { resend: Resend::Idempotent, ..settings() });
    let pull = protocol.begin_pull(ms(0));
    assert_eq!(protocol.push_once(uncertain(), ms(0)), Effects::default());
    assert!(protocol.is_pulling(pull));
    assert!(!protocol.would_send(ms(99)));
    assert!(protocol.would_send(ms(100)));
}

#[test]
fn the_second_catch_up_in_a_row_that_explains_nothing_is_followed_by_a_backoff() {
    let mut protocol = on_request([10]);
    // What the catch-up brings, and when the next push is sent.
    for (now, events, again) in [(ms(0), &[][..], ms(0)), (ms(0), &[], ms(400)), (ms(400), &[1], ms(400))] {
        let _nothing = protocol.push_once(behind(Some(9)), now);
        let catch_up = protocol.begin_pull(now);
        let _merge = protocol.receive(catch_up, last_page(0, events), now);
        protocol.pull_ended(catch_up, Ok(()), 0, now);
        assert_eq!(protocol.would_send(now), again == now, "{now:?}");
        assert!(protocol.would_send(again), "{now:?}");
    }
}

#[test]
fn a_reconnect_cuts_a_backoff_short_that_upstream_has_not_asked_for() {
    // Whether the pull before was cut off; what upstream asked for; whether the next pull ends the backoff.
    for (cut_off, asked, at_once) in [(true, None, true), (false, None, false), (true, Some(ms(100)), false)] {
        let mut protocol = live([10]);
        let mut pull = protocol.begin_pull(ms(0));
        if cut_off {
            protocol.pull_ended(pull, disconnected(), 0, ms(0));
            pull = protocol.begin_pull(ms(100));
        }
        let _nothing = protocol.push_once(unavailable(asked), ms(100));
        let _nothing = protocol.receive(pull, last_page(0, &[]), ms(101));
        assert_eq!(protocol.would_send(ms(101)), at_once, "{cut_off}, {asked:?}");
        assert!(protocol.would_send(ms(200)));
    }
}

#[test]
fn an_echo_that_is_sooner_than_the_answer_confirms_and_the_answer_adds_nothing() {
    let mut protocol = live([10, 11]);
    let pull = protocol.begin_pull(ms(0));
    let batch = protocol.send(ms(0));
    let confirmed = protocol.receive(pull, page(0, &[10, 11]), ms(0)).merged.expect("an advance");
    assert_eq!(confirmed.confirmed(), batch.entries);
    assert_eq!(protocol.answer(batch, Ok(()), ms(0)), Effects::default());
    assert_eq!(protocol.push, Push::Idle);
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
        assert!(matches!(protocol.push, Push::Sending { lost, .. } if lost == rebasing));
        assert!(protocol.is_sending(&batch), "its answer is awaited in any case");
    }
}

#[test]
fn the_answer_to_a_lost_push_is_what_was_known_or_something_to_look_into() {
    // That it was refused is known; that it was taken cannot be, until a pull shows it; what is fatal stays fatal.
    let no = Failure::Upstream { kind: FatalKind::Other, error: "no".into() };
    let cases = [
        (behind(None), Push::Idle),
        (unavailable(None), Push::Idle),
        (uncertain(), Push::Idle),
        (Ok(()), Push::Uncertain { pull: 2, until: ms(0) }),
        (fatal(), Push::Failed { error: no, uncertain: false }),
    ];
    for (outcome, state) in cases {
        let log = MemoryLog::rebasing().with_pending(0, [10]);
        let mut protocol = Protocol::new(log, settings());
        let pull = protocol.begin_pull(ms(0));
        let batch = protocol.send(ms(0));
        let _rebase = protocol.receive(pull, page(0, &[1]), ms(0));
        let _effects = protocol.answer(batch, outcome.clone(), ms(0));
        assert_eq!(protocol.push, state, "{outcome:?}");
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
