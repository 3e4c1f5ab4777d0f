//! A model, and a search of it.

use std::any::Any;
use std::io::Write;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

use latchwork::sync::model::builder;
use latchwork_switched::known_bugs::KnownBug;

/// What loom says when every thread waits for another. The states of the threads follow it.
pub const DEADLOCK: &str = "deadlock; threads = ";

/// What loom says when a thread looks again and again for something that never comes.
pub const SPINS: &str = "Model exceeded maximum number of branches.";

/// One model; see the index.
pub struct Model {
    pub name: &'static str,
    pub property: &'static str,
    pub invariants: &'static str,
    /// loom refuses to start more.
    pub threads: usize,
    /// The greatest number of preemptions; `None` for no bound.
    pub bound: Option<usize>,
    /// On the crate as it ships.
    pub scenario: Scenario,
    /// On the build with the known bugs.
    pub switched: Scenario,
    /// Those that this model finds, with the failure expected.
    pub known_bugs: &'static [(KnownBug, &'static str)],
    /// The same scenario as another engine has it, with the failure expected.
    pub variants: &'static [(&'static str, Scenario, &'static str)],
    /// The same property in sizes that take hours; see `deep.rs`.
    pub larger: &'static [(&'static str, Scenario)],
}

/// What a model does, in one of the two builds of the crate.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub steps: fn(),
    pub build: &'static Build,
}

/// How a build tells what an execution did: `latchwork::sync::model`, with the trace as text.
pub struct Build {
    pub record: fn(fn()),
    pub recorded: fn(Option<&str>) -> Option<String>,
}

/// A bound as the index writes it.
macro_rules! bound {
    (exhaustive) => {
        None
    };
    ($preemptions:literal) => {
        Some($preemptions)
    };
}
pub(crate) use bound;

/// How a search ended.
pub struct Search {
    pub executions: usize,
    pub time: Duration,
    /// What the failing execution panicked with.
    pub failure: Option<Box<dyn Any + Send>>,
}

/// All models there are.
#[derive(Clone, Copy)]
pub struct Index(pub &'static [&'static [Model]]);

impl Index {
    pub fn models(self) -> impl Iterator<Item = &'static Model> {
        self.0.iter().copied().flatten()
    }
}

impl Model {
    /// On a thread of its own, so that a failure leaves nothing behind.
    pub fn search(&self, scenario: Scenario) -> Search {
        let executions = Arc::new(AtomicUsize::new(0));
        let (builder, count) = (self.builder(), Arc::clone(&executions));
        let started = Instant::now();
        let ended = on_a_thread(EXPECTED_TO_FAIL, move || {
            builder.check(move || {
                count.fetch_add(1, Ordering::Relaxed);
                (scenario.steps)();
            });
        });
        Search { executions: executions.load(Ordering::Relaxed), time: started.elapsed(), failure: ended.err() }
    }

    /// Without any limit but the bound that the index gives.
    pub fn builder(&self) -> loom::model::Builder {
        let mut builder = builder(self.bound);
        builder.max_threads = self.threads;
        builder
    }
}

/// Runs a search on a thread of that name.
pub fn on_a_thread(name: &str, search: impl FnOnce() + Send + 'static) -> thread::Result<()> {
    silence_expected_failures();
    thread::Builder::new().name(name.into()).spawn(search).expect("a thread for the model").join()
}

/// The number of steps that `scenario`, on one thread, takes on what threads share, each lock and atomic operation being
/// at least one.
pub fn steps(scenario: impl Fn() + Copy + Send + Sync + 'static) -> usize {
    let fits = |steps: &usize| {
        let mut builder = loom::model::Builder::new();
        builder.max_branches = *steps;
        on_a_thread(EXPECTED_TO_FAIL, move || builder.check(scenario)).is_ok()
    };
    (1..100).find(fits).expect("a scenario of a few steps")
}

/// What a failing execution panicked with.
pub fn message(failure: &(dyn Any + Send)) -> &str {
    failure
        .downcast_ref::<String>()
        .map(String::as_str)
        .or(failure.downcast_ref::<&str>().copied())
        .unwrap_or("(no message)")
}

/// The name of the threads whose panics are expected, or told in other words.
pub const EXPECTED_TO_FAIL: &str = "expected to fail";

/// The name of the threads whose panics are said in other words, but for where an assertion failed.
pub const REPLAYED: &str = "model";

fn silence_expected_failures() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_a_verdict = || [DEADLOCK, SPINS].iter().any(|verdict| message(info.payload()).starts_with(verdict));
            match thread::current().name() {
                Some(EXPECTED_TO_FAIL) => {}
                Some(REPLAYED) if is_a_verdict() => {}
                _ => usual(info),
            }
        }));
    });
}

/// Prints past the test harness, which keeps what passing tests print.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
