//! Runs a model, and knows what its passing is worth.
//!
//! - The search is given no limit of time or number, so when it returns it has ended by itself; a model that had nothing
//!   to choose (one execution) fails.
//! - Environment variables that would weaken a search are refused (by `sync::model::builder`).
//! - The search is one of the crate as it ships. Then each known bug is switched on in turn, in the build that has them, and
//!   the same search of that must end with exactly the failure that is expected.
//! - Each model runs in a process of its own, as many at a time as there are test threads. A known bug is on for a whole
//!   process; and two models that share one get in each other's way, for loom maps and unmaps the stacks of an
//!   execution's threads each time, which one process does one after the other. Two processes do not slow each other.
//!
//! With `LATCHWORK_MODELS=here` models run in the process of the tests, one at a time: for a debugger. With
//! `LATCHWORK_LINES=long` a model's line says its property, and when it has found which bug.

use std::io::Read;
use std::panic;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::{Value, json};

use crate::model::{DEADLOCK, EXPECTED_TO_FAIL, Index, Model, SPINS, Scenario, Search, message, on_a_thread, say};
use crate::{data, deep, progress, trace};

/// A search for a defect that is there.
struct Hunt {
    name: String,
    /// After how many executions, or what came instead.
    found: Result<usize, String>,
}

impl Model {
    /// Searches, prints a line, and panics if the property does not hold or a known bug is not
    /// found. It is one of these.
    pub fn check(&self, index: Index) {
        let place = std::env::var(PLACE).ok();
        if place.as_deref() == Some(CHILD) {
            end_with_the_parent();
            match deep::asked_for() {
                Some(deep) => deep.search(self),
                None => self.check_here(),
            }
            std::process::exit(CHECKED);
        }
        assert!(
            deep::asked_for().is_none(),
            "a deep search looks for no known bug: it is for `cargo models --deep` alone"
        );
        if trace::are_asked_for() {
            trace::show(self);
        }
        progress::announce(index);
        match place.as_deref() {
            None => self.check_in_a_process(index),
            Some("here") => self.check_here(),
            Some(other) => panic!("{PLACE}: expected \"here\" or nothing, got {other:?}"),
        }
    }

    /// Runs this test, and no other, in a process of its own, and passes on what it says and how it ends.
    fn check_in_a_process(&self, index: Index) {
        let mut child = Command::new(std::env::current_exe().expect("the path of these tests"));
        child.args(["--exact", self.name, "--nocapture"]).env(PLACE, CHILD).stdin(Stdio::piped());
        if !shows_everything() {
            // The harness's own words are on stdout.
            child.stdout(Stdio::null()).stderr(Stdio::piped());
        }
        let mut child = child.spawn().expect("a process for the model");
        // Open as long as this process lives; `wait_with_output` would close it.
        let _alive = child.stdin.take();
        let ended = child.wait_with_output().expect("the model's process is this one's child");
        let said = String::from_utf8_lossy(&ended.stderr);
        let done = progress::count();
        if ended.status.code() == Some(CHECKED) {
            said.lines().for_each(|line| say(&progress::shown(line, done, index)));
        } else {
            let Self { name, property, invariants, .. } = self;
            let (property, status) = (property.trim(), ended.status);
            let failure = format!("{name}: {property} [{invariants}] FAILED (its process: {status})");
            if status.code() != Some(FAILED) {
                let died = json!({ "name": name, "property": property, "how": status.to_string() });
                data::note(&json!({ "died": died }));
            }
            eprintln!("{}\n{failure}", said.trim_end());
            // Without the hook's words: where this line stands helps no reader.
            panic::resume_unwind(Box::new(failure));
        }
    }

    /// Searches in this process. Writes down what was explored, whatever came of it.
    fn check_here(&self) {
        // For those who run several here; in a model's own process it is free.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);

        let search = self.search(self.scenario);
        let mut failures = Vec::new();
        let mut hunts = Vec::new();
        if let Some(failure) = &search.failure {
            trace::explain(self, None, self.scenario, search.executions);
            failures.push(format!("execution {} ended with: {}", search.executions, message(&**failure)));
        } else if search.executions <= 1 {
            failures.push("there was nothing to explore".into());
        } else {
            hunts.extend(self.known_bugs.iter().map(|(bug, expected)| {
                let _on = bug.switch_on();
                self.hunt(format!("{bug:?}"), self.switched, expected)
            }));
            hunts.extend(
                self.variants.iter().map(|(name, scenario, expected)| self.hunt((*name).into(), *scenario, expected)),
            );
            failures.extend(hunts.iter().filter_map(|hunt| hunt.found.as_ref().err().cloned()));
        }
        data::note(&self.explored(&search, &hunts, &failures));
        assert!(failures.is_empty(), "{}: {}", self.name, failures.join("\n"));
        say(&self.line(&search, &hunts));
    }

    /// What was explored, for the report.
    fn explored(&self, search: &Search, hunts: &[Hunt], failures: &[String]) -> Value {
        let Self { name, property, invariants, threads, bound, .. } = self;
        let (bugs, variants) = hunts.split_at(hunts.len().min(self.known_bugs.len()));
        let found = |hunts: &[Hunt]| -> Vec<_> {
            hunts.iter().map(|hunt| json!({ "name": hunt.name, "after": hunt.found.as_ref().ok() })).collect()
        };
        json!({ "model": {
            "name": name,
            "property": property.trim(),
            "invariants": invariants.split(", ").collect::<Vec<_>>(),
            "threads": threads,
            "bound": bound,
            "steps": if failures.is_empty() { self.steps() } else { 0 },
            "executions": search.executions,
            "known_bugs": found(bugs),
            "variants": found(variants),
            "failures": failures,
        }})
    }

    /// The number of steps of the first execution, in which every thread goes as far as it can.
    fn steps(&self) -> usize {
        let fits = |steps: usize| {
            let begun = Arc::new(AtomicUsize::new(0));
            let mut builder = self.builder();
            builder.max_branches = steps;
            let (count, steps) = (Arc::clone(&begun), self.scenario.steps);
            let ended = on_a_thread(EXPECTED_TO_FAIL, move || {
                builder.check(move || {
                    if count.fetch_add(1, Ordering::Relaxed) > 0 {
                        panic::resume_unwind(Box::new("one execution is enough"));
                    }
                    steps();
                });
            });
            ended.is_ok() || begun.load(Ordering::Relaxed) > 1
        };
        let (mut too_few, mut enough) = (0, self.builder().max_branches);
        while too_few + 1 < enough {
            let half = too_few.midpoint(enough);
            *(if fits(half) { &mut enough } else { &mut too_few }) = half;
        }
        enough
    }

    /// The line a model prints.
    fn line(&self, search: &Search, hunts: &[Hunt]) -> String {
        let Self { name, property, invariants, threads, bound, .. } = self;
        let (executions, seconds) = (search.executions, search.time.as_secs_f64());
        if !progress::lines_are_long() {
            return format!("{:>10} {seconds:>6.1} s {:>10} {name}", progress::grouped(executions), hunts.len());
        }
        let bound = bound.map_or_else(|| "exhaustive".into(), |bound| format!("bounded {bound}"));
        let found: Vec<_> = hunts
            .iter()
            .map(|Hunt { name, found }| format!("{name} after {}", found.as_ref().map_or(0, |after| *after)))
            .collect();
        let found = if found.is_empty() { String::new() } else { format!("; finds {}", found.join(", ")) };
        format!(
            "{name}: {} [{invariants}] {threads} threads, {bound}, {executions} executions, {seconds:.2} s{found}",
            property.trim()
        )
    }

    /// Searches for a failure that must be there.
    fn hunt(&self, name: String, scenario: Scenario, expected: &str) -> Hunt {
        let Search { executions, failure, .. } = self.search(scenario);
        let found = match failure.as_deref().map(message) {
            None => Err(format!("known bug {name} was not found in {executions} executions: this model cannot fail")),
            Some(message) if is_as_expected(message, expected) => Ok(executions),
            Some(message) => {
                trace::explain(self, Some(&name), scenario, executions);
                Err(format!("known bug {name}: expected failure {expected:?}, got {message:?}"))
            }
        };
        Hunt { name, found }
    }
}

/// Where models run: in a process each, unless this variable says otherwise.
const PLACE: &str = "LATCHWORK_MODELS";

/// What the variable says to a process that was started for one model.
const CHILD: &str = "in a process of its own";

/// How such a process ends if all is well. Not 0: so does the harness, too, when it knows of no test by that name.
const CHECKED: i32 = 64;

/// How the harness ends a process whose test has failed.
const FAILED: i32 = 101;

/// Ends this process when the one that started it has ended, however that came: a search may have hours before it. The
/// other end of stdin says so.
fn end_with_the_parent() {
    let wait = || {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    };
    thread::Builder::new().name("parent".into()).spawn(wait).expect("a thread that waits for the parent's end");
}

/// Whether the harness was asked to keep nothing to itself.
fn shows_everything() -> bool {
    std::env::args().any(|argument| ["--nocapture", "--no-capture"].contains(&argument.as_str()))
        || std::env::var_os("RUST_TEST_NOCAPTURE").is_some_and(|value| value != "0")
}

fn is_as_expected(message: &str, expected: &str) -> bool {
    if [DEADLOCK, SPINS].contains(&expected) { message.starts_with(expected) } else { message == expected }
}
