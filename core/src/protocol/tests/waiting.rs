//! Who owes the next move, and what each party is woken for.

use super::super::Direction::{Pull, Push};
use super::super::{Failure, Next, WaitingOn};
use super::{Core, behind, disconnected, fatal, last_page, live, ms, on_request, unavailable, uncertain};
use crate::protocol::FatalKind;

/// The ways to stand at time zero, and who owes the next move.
fn standings() -> Vec<(Core, WaitingOn)> {
    let pending = || live([10]);
    let unreached = || pending().then(|it| it.push_once(unavailable(None), ms(0)));
    let rejected = || pending().then(|it| it.push_once(behind(None), ms(0)));
    // These need a catch-up.
    let at_once = || on_request([10]).then(|it| it.push_once(behind(None), ms(0)));
    let fenced = || on_request([10]).then(|it| it.push_once(uncertain(), ms(0)));
    let cut_off = |it: &mut Core| {
        let ticket = it.begin_pull(ms(0));
        let _nothing = it.pull_ended(ticket, disconnected(), 0, ms(0));
    };
    let cut_off_at_the_end = |it: &mut Core| {
        let ticket = it.begin_pull(ms(0));
        drop(it.receive(ticket, last_page(0, &[]), ms(0)));
        let _nothing = it.pull_ended(ticket, disconnected(), 0, ms(0));
    };
    let push_not_before = |time| move |it: &mut Core| it.not_before.push = ms(time);
    let pull_not_before = |time| move |it: &mut Core| it.not_before.pull = ms(time);
    let refused = Failure::Upstream { kind: FatalKind::Other, error: "no".into() };
    let gap = || Failure::Log { error: "a gap".into() };
    vec![
        (live([]), WaitingOn::Nothing),
        (live([]).then(Core::stop), WaitingOn::Nothing),
        (live([]).then(cut_off), WaitingOn::Nothing),
        (live([]).then(cut_off).then(|it| it.pause(Pull)), WaitingOn::Nothing),
        (on_request([]), WaitingOn::Nothing),
        (on_request([]).then(Core::retry_now), WaitingOn::Nothing),
        (on_request([]).then(Core::retry_now).then(cut_off_at_the_end), WaitingOn::Nothing),
        (pending(), WaitingOn::Pusher),
        (pending().then(|it| it.pause(Push)), WaitingOn::Gate(Push)),
        (pending().then(|it| it.pause(Pull)), WaitingOn::Pusher),
        (pending().then(|it| it.pull_failed(gap())), WaitingOn::Pusher),
        (pending().then(Core::stop), WaitingOn::Stopped),
        (pending().then(|it| it.send(ms(0))), WaitingOn::Upstream(Push)),
        (pending().then(|it| it.send(ms(0))).then(Core::stop), WaitingOn::Upstream(Push)),
        (pending().then(|it| it.push_once(fatal(), ms(0))), WaitingOn::Owner(refused)),
        (pending().then(|it| it.push_once(unavailable(Some(ms(900))), ms(0))), WaitingOn::Clock(ms(900))),
        (unreached(), WaitingOn::Connectivity(ms(100))),
        (unreached().then(push_not_before(50)), WaitingOn::Connectivity(ms(100))),
        (unreached().then(push_not_before(500)), WaitingOn::Clock(ms(500))),
        (pending().then(push_not_before(500)), WaitingOn::Clock(ms(500))),
        (pending().then(push_not_before(500)).then(|it| it.pause(Push)), WaitingOn::Gate(Push)),
        (rejected().then(push_not_before(500)), WaitingOn::Clock(ms(250))),
        (unreached().then(|it| it.pause(Push)), WaitingOn::Gate(Push)),
        (unreached().then(Core::stop), WaitingOn::Stopped),
        (rejected(), WaitingOn::Clock(ms(250))),
        (rejected().then(|it| it.pause(Push)), WaitingOn::Clock(ms(250))),
        (at_once(), WaitingOn::Puller),
        (at_once().then(Core::stop), WaitingOn::Stopped),
        (fenced(), WaitingOn::Puller),
        (fenced().then(|it| it.pause(Push)), WaitingOn::Puller),
        (fenced().then(|it| it.pause(Pull)), WaitingOn::Gate(Pull)),
        (fenced().then(|it| it.begin_pull(ms(0))), WaitingOn::Upstream(Pull)),
        (fenced().then(|it| it.begin_pull(ms(0))).then(|it| it.pause(Pull)), WaitingOn::Upstream(Pull)),
        (fenced().then(cut_off), WaitingOn::Connectivity(ms(100))),
        (fenced().then(cut_off).then(pull_not_before(50)), WaitingOn::Connectivity(ms(100))),
        (fenced().then(cut_off).then(pull_not_before(500)), WaitingOn::Clock(ms(500))),
        (fenced().then(pull_not_before(500)), WaitingOn::Clock(ms(500))),
        (fenced().then(pull_not_before(500)).then(|it| it.pause(Pull)), WaitingOn::Gate(Pull)),
        (fenced().then(cut_off).then(|it| it.pause(Pull)), WaitingOn::Gate(Pull)),
        (fenced().then(|it| it.pull_failed(gap())), WaitingOn::Owner(gap())),
        (fenced().then(Core::stop), WaitingOn::Stopped),
        (fenced().then(|it| it.begin_pull(ms(0))).then(Core::stop), WaitingOn::Stopped),
    ]
}

#[test]
fn waiting_on_names_the_party_that_owes_the_next_move() {
    for (protocol, owes) in standings() {
        assert_eq!(
            protocol.waiting_on(),
            owes,
            "the pusher {}; the puller {}",
            protocol.course.push,
            protocol.course.pull
        );
    }
}

#[test]
fn each_party_is_woken_for_what_it_was_told_to_wait_for() {
    for (protocol, _) in standings() {
        let words = format!("the pusher {}; the puller {}", protocol.course.push, protocol.course.pull);
        let due = |protocol: &Core| (protocol.push_due(), protocol.pull_due());
        for now in [ms(0), ms(1000)] {
            let mut asked = protocol.clone();
            let told = (asked.push_begins(now, |most| most).map(drop), asked.next_pull(now).map(drop));
            if now == ms(0) {
                assert_eq!(due(&protocol), told, "{words}");
            }
            // A wait that is over leaves no trace, or what ends the next one would wake no pusher.
            let after = due(&asked);
            assert!(told.0 == Next::Do(()) || told.0 == after.0, "{words}; at {now:?} the pusher: {told:?}, {after:?}");
            assert!(told.1 == Next::Do(()) || told.1 == after.1, "{words}; at {now:?} the puller: {told:?}, {after:?}");
        }
    }
}

#[test]
fn next_wakes_a_direction_for_what_it_was_not_told() {
    let wait = |until: Option<u64>| Next::Wait { until: until.map(ms) };
    let all = [Next::Do(()), wait(None), wait(Some(1)), wait(Some(2)), Next::Stop];
    let woken = all.map(|told| all.map(|due| due.wakes(told)));
    let expected = [
        ("what is to be done at once", [false, false, true, true, false]),
        ("to wait for a change", [true, false, true, true, true]),
        ("to wait for a time", [true, false, false, true, true]),
        ("to wait for another time", [true, false, true, false, true]),
        ("to stop", [false, false, true, true, false]),
    ];
    for (woken, (told, expected)) in woken.into_iter().zip(expected) {
        assert_eq!(woken, expected, "told {told}");
    }
}
