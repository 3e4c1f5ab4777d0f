//! What becomes of a pull, and what ends the puller's waits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::super::{Direction, Effects, Failure, Next, Protocol, Pull, WaitingOn};
use super::{behind, disconnected, ends_pull, last_page, live, ms, on_request, page, settings, uncertain};
use crate::log::{Log as _, MemoryEntry, MemoryLog, MemoryLogError, Merged, Wrapper};
use crate::protocol::{FatalKind, More, Page, PullError};

#[test]
fn a_backoff_ends_at_its_very_instant() {
    let mut protocol = live([]);
    let ticket = protocol.begin_pull(ms(0));
    let _nothing = protocol.pull_ended(ticket, disconnected(), 0, ms(0));
    assert_eq!(protocol.next_pull(ms(99)), Next::Wait { until: Some(ms(100)) });
    assert!(protocol.would_pull(ms(100)));
}

#[test]
fn a_pull_that_ends_has_shown_everything_unless_it_failed() {
    for (outcome, shown) in [(Ok(()), true), (disconnected(), false)] {
        let mut protocol = on_request([10]);
        let _nothing = protocol.push_once(behind(None), ms(0));
        let catch_up = protocol.begin_pull(ms(0));
        let _nothing = protocol.pull_ended(catch_up, outcome, 0, ms(0));
        assert_eq!(protocol.would_send(ms(100)), shown);
        assert_eq!(protocol.would_pull(ms(100)), !shown, "a catch-up is owed until one has shown everything");
    }
}

#[test]
fn a_pull_that_has_caught_up_shows_no_more_by_ending() {
    for outcome in [Ok(()), disconnected()] {
        let mut protocol = on_request([10]);
        let _nothing = protocol.push_once(uncertain(), ms(0));
        let catch_up = protocol.begin_pull(ms(0));
        let _nothing = protocol.receive(catch_up, last_page(0, &[]), ms(0));
        let epoch = protocol.epoch();
        let _nothing = protocol.pull_ended(catch_up, outcome, 0, ms(0));
        assert_eq!(protocol.epoch(), epoch, "no direction looks again");
        assert!(!protocol.would_pull(ms(100)), "no catch-up is owed");
    }
}

#[test]
fn a_live_pull_that_ends_without_news_backs_off() {
    for (events, at_once) in [(&[][..], false), (&[1], true)] {
        let mut protocol = live([]);
        let ticket = protocol.begin_pull(ms(0));
        let _merge = protocol.receive(ticket, last_page(0, events), ms(0));
        let _nothing = protocol.pull_ended(ticket, Ok(()), 0, ms(0));
        assert_eq!(protocol.would_pull(ms(0)), at_once);
        assert!(protocol.would_pull(ms(100)));
    }
}

#[test]
fn retry_now_begins_a_pull_at_once_after_one_without_news() {
    let mut protocol = on_request([]);
    assert_eq!(protocol.next_pull(ms(0)), Next::Wait { until: None });
    assert_eq!(protocol.retry_now(), Default::default());
    assert!(protocol.would_pull(ms(0)));
}

#[test]
fn to_end_as_asked_is_no_failure() {
    let mut protocol = live([]);
    let ticket = protocol.begin_pull(ms(0));
    assert_eq!(protocol.retry_now(), ends_pull());
    let _nothing = protocol.pull_ended(ticket, disconnected(), 0, ms(0));
    assert!(protocol.would_pull(ms(0)));
    assert_eq!(protocol.counters().unavailable, 0);
}

#[test]
fn a_puller_that_failed_owes_a_catch_up() {
    let mut protocol = on_request([]);
    assert!(!protocol.would_pull(ms(0)));
    protocol.pull_failed(Failure::Panicked { message: "a test".into() });
    assert!(!protocol.would_pull(ms(0)), "that is the owner's to decide");
    assert_eq!(protocol.restart(), Default::default());
    assert!(protocol.would_pull(ms(0)));
}

#[test]
fn a_log_that_refuses_twice_without_a_page_between_has_failed() {
    let gap = || page(7, &[1]);
    // What comes between.
    for (between, fails) in [(page(0, &[]), true), (page(0, &[1]), false)] {
        let mut protocol = live([]);
        let first = protocol.begin_pull(ms(0));
        protocol.page_pulled(first, gap(), 0, ms(0)).expect_err("a gap");
        let second = protocol.begin_pull(ms(0));
        let _merge = protocol.receive(second, between, ms(0));
        protocol.page_pulled(second, gap(), 0, ms(0)).expect_err("a gap");
        assert_eq!(matches!(protocol.course.pull, Pull::Failed { .. }), fails);
    }
}

#[test]
fn what_a_pull_gives_out_once_a_page_was_refused_is_passed_over() {
    let mut protocol = live([10]);
    let pull = protocol.begin_pull(ms(0));
    protocol.page_pulled(pull, page(7, &[1]), 0, ms(0)).expect_err("a gap");
    assert_eq!(protocol.pull_waiting_on(), WaitingOn::Upstream(Direction::Pull), "the call has not returned");
    assert_eq!(protocol.receive(pull, page(8, &[1]), ms(0)), Effects::default(), "it is no second refusal");
    assert_eq!(protocol.receive(pull, last_page(0, &[1]), ms(0)), Effects::default());
    assert_eq!(protocol.log().upstream_head(), 0);
    let _nothing = protocol.pull_ended(pull, disconnected(), 0, ms(0));
    assert_eq!(protocol.pull_waiting_on(), WaitingOn::Puller);
}

#[test]
fn the_end_of_a_pull_counts_once_and_names_its_time_whichever_pull_it_is() {
    let busy = |time| Err(PullError::Unavailable { retry_after: Some(ms(time)), error: "busy".into() });
    let mut protocol = live([]);
    let first = protocol.begin_pull(ms(0));
    protocol.page_pulled(first, page(7, &[1]), 0, ms(0)).expect_err("a gap");
    let second = protocol.begin_pull(ms(0));
    let _nothing = protocol.pull_ended(first, busy(50), 0, ms(0));
    assert!(protocol.is_pulling(second));
    assert_eq!(protocol.not_before.pull, ms(50), "it is about upstream");
    let _nothing = protocol.pull_ended(first, busy(5000), 0, ms(0));
    assert_eq!(protocol.not_before.pull, ms(50), "it has ended before");
    let _nothing = protocol.pull_ended(second, disconnected(), 0, ms(0));
    protocol.pull_panicked(first, Failure::Panicked { message: "late".into() });
    assert_eq!(protocol.pull_waiting_on(), WaitingOn::Connectivity(ms(100)));
}

#[test]
fn a_time_that_upstream_names_does_not_count_as_a_life() {
    let mut protocol = live([]);
    let busy = Err(PullError::Unavailable { retry_after: Some(ms(1000)), error: "busy".into() });
    let pull = protocol.begin_pull(ms(0));
    let _nothing = protocol.pull_ended(pull, busy, 0, ms(0));
    let pull = protocol.begin_pull(ms(1000));
    let _nothing = protocol.pull_ended(pull, Ok(()), 0, ms(1000));
    assert_eq!(protocol.next_pull(ms(1000)), Next::Wait { until: Some(ms(1200)) }, "the second in a row");
}

#[test]
fn the_end_of_a_pull_whose_page_was_refused_still_tells_what_only_the_owner_can_change() {
    let fatal = || Err(PullError::Fatal { kind: FatalKind::Other, error: "no".into() });
    let panicked = || Failure::Panicked { message: "no".into() };
    // What comes between, and whether the end is a failure then.
    type Meanwhile = fn(&mut super::Core);
    let cases: [(Meanwhile, bool); 4] = [
        (|_| (), true),
        (|it| drop(it.restart()), false),
        (|it| drop(it.reset(MemoryLog::new())), false),
        (|it| _ = it.begin_pull(ms(0)), false),
    ];
    for (meanwhile, fails) in cases {
        let mut protocol = live([]);
        let pull = protocol.begin_pull(ms(0));
        protocol.page_pulled(pull, page(7, &[1]), 0, ms(0)).expect_err("a gap");
        meanwhile(&mut protocol);
        let ended = protocol.clone().then(|it| it.pull_ended(pull, fatal(), 0, ms(0)));
        assert_eq!(ended.failure().is_some(), fails);
        let ended = protocol.clone().then(|it| it.pull_panicked(pull, panicked()));
        assert_eq!(ended.failure(), fails.then(panicked).as_ref());
        let twice = ended.then(|it| it.restart()).then(|it| it.pull_panicked(pull, panicked()));
        assert_eq!(twice.failure(), None);
    }
}

/// Panics in each merge of more than one event.
struct Panics(MemoryLog<Arc<()>>);

impl Wrapper for Panics {
    type Log = MemoryLog<Arc<()>>;

    fn inner(&self) -> &Self::Log {
        &self.0
    }
    fn inner_mut(&mut self) -> &mut Self::Log {
        &mut self.0
    }
    fn merge(&mut self, page: Vec<MemoryEntry<Arc<()>>>) -> Result<Merged<MemoryEntry<Arc<()>>>, MemoryLogError> {
        assert_eq!(page.len(), 1, "a test");
        self.0.merge(page)
    }
}

#[test]
fn what_a_merge_passed_over_that_panicked_leaves_with_the_next() {
    let mut protocol = Protocol::new(Panics(MemoryLog::new()), settings());
    let entry = |position, event: &Arc<()>| MemoryEntry { position, event: Arc::clone(event) };
    let page = |entries| Page { entries, more: More::Unknown };
    let [known, passed, new] = [(); 3].map(Arc::new);
    assert!(matches!(protocol.next_pull(ms(0)), Next::Do((1, _))));
    drop(protocol.page_pulled(1, page(vec![entry(1, &known)]), 0, ms(0)).expect("it follows"));
    let overlapping = page(vec![entry(1, &passed), entry(2, &new), entry(3, &new)]);
    let panics = || protocol.page_pulled(1, overlapping, 0, ms(0));
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert_eq!(Arc::strong_count(&passed), 2, "it was dropped in the middle of a step");

    protocol.pull_failed(Failure::Panicked { message: "a test".into() });
    drop(protocol.pull_ended(1, disconnected(), 0, ms(0)));
    drop(protocol.restart());
    assert!(matches!(protocol.next_pull(ms(0)), Next::Do((2, _))));
    let effects = protocol.page_pulled(2, page(vec![entry(2, &new)]), 0, ms(0)).expect("it follows");
    assert_eq!(Arc::strong_count(&passed), 2);
    drop(effects);
    assert_eq!(Arc::strong_count(&passed), 1);
}

#[test]
fn a_page_with_nothing_in_it_is_no_refusal() {
    let mut protocol = live([]);
    let ticket = protocol.begin_pull(ms(0));
    let _nothing = protocol.receive(ticket, page(0, &[]), ms(0));
    protocol.page_pulled(ticket, page(7, &[1]), 0, ms(0)).expect_err("a gap");
    assert!(protocol.would_pull(ms(0)), "it was the first");
}

#[test]
fn retry_after_holds_whatever_has_become_of_the_pull() {
    let busy = || Err(PullError::Unavailable { retry_after: Some(ms(5000)), error: "busy".into() });
    type Meanwhile = fn(&mut super::Core);
    let refused: Meanwhile = |it| drop(it.page_pulled(1, page(7, &[1]), 0, ms(0)));
    let panicked: Meanwhile = |it| it.pull_failed(Failure::Panicked { message: "the log".into() });
    let meanwhile: [Meanwhile; 7] = [
        |_| (),
        refused,
        panicked,
        |it| drop(it.retry_now()),
        |it| drop(it.pause(Direction::Pull)),
        |it| drop(it.reset(MemoryLog::new())),
        |it| drop(it.restart()),
    ];
    for meanwhile in meanwhile {
        let mut protocol = live([]);
        let pull = protocol.begin_pull(ms(0));
        meanwhile(&mut protocol);
        let _nothing = protocol.pull_ended(pull, busy(), 0, ms(0));
        let _goes_on = protocol.restart();
        let asks: [Meanwhile; 3] =
            [|it| drop(it.retry_now()), |it| it.resume(Direction::Pull), |it| drop(it.restart())];
        for ask in asks {
            ask(&mut protocol);
            assert!(!protocol.would_pull(ms(4999)), "the puller {}", protocol.course.pull);
        }
        assert!(protocol.would_pull(ms(5000)), "the puller {}", protocol.course.pull);
        let _nothing = protocol.override_retry_after();
        assert!(protocol.would_pull(ms(0)));
    }
}

#[test]
fn a_pull_forgets_failures_by_news_or_by_outliving_the_last_delay() {
    // What the third pull brings and how long it lives, in which all pulls before were closed at once; the delay that follows.
    for (events, lives, delay) in [(&[][..], 0, 400), (&[], 199, 400), (&[], 200, 100), (&[1][..], 0, 100)] {
        let mut protocol = live([]);
        for now in [0, 100] {
            let pull = protocol.begin_pull(ms(now));
            let _nothing = protocol.receive(pull, last_page(0, &[]), ms(now));
            let _nothing = protocol.pull_ended(pull, disconnected(), 0, ms(now));
        }
        let pull = protocol.begin_pull(ms(300));
        let _merge = protocol.receive(pull, last_page(0, events), ms(300));
        let _nothing = protocol.pull_ended(pull, disconnected(), 0, ms(300 + lives));
        let ended = 300 + lives;
        assert!(!protocol.would_pull(ms(ended + delay - 1)), "{events:?}, {lives}");
        assert!(protocol.would_pull(ms(ended + delay)), "{events:?}, {lives}");
    }
}
