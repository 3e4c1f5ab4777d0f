//! Who owes the next move, and what each party is woken for.

use super::super::Direction::{Pull, Push};
use super::super::{Failure, NextPull, NextPush, Signal, WaitingOn};
use super::{Core, behind, disconnected, fatal, last_page, live, ms, on_request, unavailable, uncertain};
use crate::protocol::messages::FatalKind;

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
    let wait = |until: Option<_>| until.map_or(Signal::Nothing, Signal::At);
    for (protocol, _) in standings() {
        let words = format!("the pusher {}; the puller {}", protocol.course.push, protocol.course.pull);
        let signals = |protocol: &Core| (protocol.push_signal(), protocol.pull_signal());
        for now in [ms(0), ms(1000)] {
            let mut asked = protocol.clone();
            let pusher = match asked.next_push(now) {
                NextPush::Send(_) | NextPush::Stop => Signal::Go,
                NextPush::Wait(until) => wait(until),
            };
            let puller = match asked.next_pull(now) {
                NextPull::Pull { .. } | NextPull::Stop => Signal::Go,
                NextPull::Wait(until) => wait(until),
            };
            if now == ms(0) {
                assert_eq!(signals(&protocol), (pusher, puller), "{words}");
            }
            // A wait that is over leaves no trace, or what ends the next one would wake no pusher.
            let after = signals(&asked);
            assert!(pusher == Signal::Go || pusher == after.0, "{words}; at {now:?} the pusher: {pusher:?}, {after:?}");
            assert!(puller == Signal::Go || puller == after.1, "{words}; at {now:?} the puller: {puller:?}, {after:?}");
        }
    }
}
