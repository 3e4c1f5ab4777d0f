//! The table of answers (`tests/answers`) on the build with the known bugs: it must find each that makes a client hammer.
#![cfg(not(loom))]

extern crate latchwork_switched as latchwork;

// The whole table is for the crate as it ships: a bug is on for the whole process, so nothing else may run in this one.
#[allow(dead_code)]
#[path = "../tests/answers/driver.rs"]
mod driver;

use std::time::Duration;

use driver::{Case, Owner, Pull, Push, USUAL, check};
use latchwork::known_bugs::KnownBug;

/// The bug, and a case that shows it.
const ENTRIES: &[(KnownBug, Case)] = &[
    (KnownBug::CaughtUpForgetsFailures, Case { pulls: [Pull::ClosesAfterPage; 2], ..USUAL }),
    (KnownBug::ReachedTargetRetriesAtOnce, Case { pushes: [Push::BehindAtBase; 2], ..USUAL }),
    (KnownBug::HeartbeatIsNews, Case { pushes: [Push::Behind; 2], pulls: [Pull::Beats; 2], ..USUAL }),
    (
        KnownBug::RetryNowOverridesRetryAfter,
        Case { pushes: [Push::Busy(Duration::from_secs(2)); 2], owner: Owner::RetriesNow, ..USUAL },
    ),
];

#[test]
fn check_finds_every_known_bug_that_makes_a_client_hammer() {
    for (bug, case) in ENTRIES {
        assert_eq!(check(*case, [20, 20]).err(), None, "{bug:?}, off");
        let _on = bug.switch_on();
        let found = check(*case, [20, 20]).expect_err("the bug has gone unnoticed");
        println!("{bug:?}: {found}");
    }
}
