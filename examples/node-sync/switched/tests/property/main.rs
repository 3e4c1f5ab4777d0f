//! Two clients, whatever is delayed and whatever goes wrong: both end with both sets of todos.
//!
//! Each run is a [`Case`](case::Case), drawn from its seed: how many todos, batches, storage, delays at the sync points of
//! pushing and pulling, faults of the upstream. `NODE_SYNC_RUNS` says how many (80 by default), `NODE_SYNC_SEED` which is
//! the first. The seed repeats what is drawn, not how the threads interleave; so a run that fails may have to be tried
//! several times.
//!
//! # Delays
//!
//! Of 0 to 15 ms, at five places: the four [sync points](latchwork::sync_points) of the replicator, and a log's rollback,
//! under the replicator's lock, where a slow disk would hold up everybody. Not at each visit, since 800 commits of 15 ms
//! each are no better a test than ten: at one in so many, and ten times at each place in a run.
//!
//! # What is a stall
//!
//! Something is pending, and for five seconds no push has begun and nothing was merged. No delay here is as long as a
//! hundredth of that: backing off takes 5 ms at most, the grace of a rejected push is 10 ms.
//!
//! # It can fail
//!
//! With each of four known bugs switched on (`NODE_SYNC_BUG`) the same test must fail; also if nothing goes wrong but what
//! belongs to the bug's story (`NODE_SYNC_FAULTS`): for three of the four, nothing at all. A bug is on for a whole process,
//! so each is tried in one of its own.

mod case;
mod delays;
mod faults;
mod run;

use std::env;
use std::process::Command;
use std::time::Instant;

use latchwork::known_bugs::KnownBug;
use latchwork::sync_points::{self, SyncPoint};

use case::Case;
use delays::{ROLLBACK, delay};
use run::{Failure, Seen, run};

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// The known bug that is to be switched on, if any.
fn bug() -> Option<KnownBug> {
    let name = env::var("NODE_SYNC_BUG").ok()?;
    let bug = KnownBug::ALL.iter().find(|bug| format!("{bug:?}") == name);
    Some(*bug.unwrap_or_else(|| panic!("there is no known bug {name}")))
}

#[test]
fn whatever_is_delayed_and_goes_wrong_both_end_with_both_sets_of_todos() {
    let (runs, first) = (number("NODE_SYNC_RUNS", 80), number("NODE_SYNC_SEED", 1));
    let _on = bug().map(KnownBug::switch_on);
    sync_points::call(|point| delay(SyncPoint::ALL.iter().position(|other| *other == point).unwrap()));
    let (begun, mut all) = (Instant::now(), Seen { places: vec![(0, 0); ROLLBACK + 1], ..Seen::default() });
    for (run_number, seed) in (1..=runs).zip(first..) {
        let case = Case::of(seed);
        let seen = run(&case).unwrap_or_else(|Failure { why, statuses }| {
            let set = ["NODE_SYNC_BUG", "NODE_SYNC_FAULTS"].map(|name| (name, env::var(name)));
            let set = set.into_iter().filter_map(|(name, value)| Some(format!("{name}={} ", value.ok()?)));
            let set = set.collect::<String>();
            panic!(
                "run {run_number}: {why}\n{case:#?}\n{statuses}\nagain: {set}NODE_SYNC_SEED={seed} NODE_SYNC_RUNS=1 \
                 cargo test -p node-sync-switched --test property -- --nocapture whatever"
            )
        });
        all.add(&seen);
    }
    println!("{runs} runs from seed {first} in {:?}: {all}", begun.elapsed());
    if runs >= 50 {
        assert!(
            all.places.iter().all(|(visits, delayed)| visits > delayed && *delayed > 0),
            "a place was not tried: {all}"
        );
        assert!(
            all.advances > 0 && all.rebases > 0 && all.behind > 0 && all.unreached > 0,
            "something never happened: {all}"
        );
    }
}

/// Runs the test above in a process of its own with this bug switched on: with every fault, and with those alone that the
/// bug's own story needs.
fn is_found(bug: KnownBug, its_faults: &str, expected: &str) {
    for faults in [None, Some(its_faults)] {
        let mut test = Command::new(env::current_exe().unwrap());
        test.args(["--exact", "whatever_is_delayed_and_goes_wrong_both_end_with_both_sets_of_todos", "--nocapture"]);
        test.env("NODE_SYNC_BUG", format!("{bug:?}")).env("NODE_SYNC_RUNS", "500").env_remove("NODE_SYNC_FAULTS");
        faults.map(|faults| test.env("NODE_SYNC_FAULTS", faults));
        let output = test.output().unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        let verdict = said.lines().find(|line| line.starts_with("run "));
        let found = !output.status.success() && verdict.is_some_and(|line| line.contains(expected));
        assert!(found, "{bug:?}, faults {faults:?}: was not found:\n{said}");
        assert!(said.contains(&format!("again: NODE_SYNC_BUG={bug:?} ")) && said.contains("client2: Status"), "{said}");
        println!("{bug:?}, faults {:?}: {}", faults.unwrap_or("all"), verdict.unwrap_or_default());
    }
}

#[test]
fn an_advance_that_resumes_no_pusher_is_found_without_a_fault() {
    is_found(KnownBug::ResumeOnRebaseOnly, "", "has stalled");
}

#[test]
fn an_answer_that_an_advance_has_overtaken_is_found_without_a_fault() {
    is_found(KnownBug::ParkedFlag, "", "has stalled");
}

#[test]
fn events_that_are_sent_past_rejected_ones_are_found_without_a_fault() {
    is_found(KnownBug::PrefixBypass, "", "has failed: ");
}

#[test]
fn a_lost_echo_that_is_not_asked_for_is_found() {
    is_found(KnownBug::PassiveAfterLostEcho, "EchoLost", "has stalled");
}
