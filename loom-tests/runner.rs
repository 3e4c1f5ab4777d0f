//! Runs a model, and knows what its passing is worth.
//!
//! - The search is given no limit of time or number, so when it returns it has ended by itself; a model that had nothing
//!   to choose (one execution) fails.
//! - Environment variables that would weaken a search are refused.
//! - Each known bug is switched on in turn, and the same search must end with exactly the failure that is expected.
//! - Each model runs in a process of its own, as many at a time as there are test threads. A known bug is on for a whole
//!   process; and two models that share one get in each other's way, for loom maps and unmaps the stacks of an
//!   execution's threads each time, which one process does one after the other. Two processes do not slow each other.
//!
//! With `LATCHWORK_MODELS=here` models run in the process of the tests, one at a time: for a debugger.

use std::any::Any;
use std::io::{Read, Write};
use std::panic;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use latchwork::known_bugs::KnownBug;

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
    pub scenario: fn(),
    /// Bugs of the shipped code that this model finds, with the failure expected.
    pub known_bugs: &'static [(KnownBug, &'static str)],
    /// The same scenario as somebody else built it, with the failure expected.
    pub twins: &'static [(&'static str, fn(), &'static str)],
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
struct Search {
    executions: usize,
    time: Duration,
    /// What the failing execution panicked with.
    failure: Option<Box<dyn Any + Send>>,
}

impl Model {
    /// Searches, prints a line, and panics if the property does not hold or a known bug is not found.
    pub fn check(self) {
        refuse_weakening();
        match std::env::var(PLACE).as_deref() {
            Err(_) => self.check_in_a_process(),
            Ok(CHILD) => {
                end_with_the_parent();
                self.check_here();
                std::process::exit(CHECKED);
            }
            Ok("here") => self.check_here(),
            Ok(other) => panic!("{PLACE}: expected \"here\" or nothing, got {other:?}"),
        }
    }

    /// Runs this test, and no other, in a process of its own, and passes on what it says and how it ends.
    fn check_in_a_process(&self) {
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
        if ended.status.code() == Some(CHECKED) {
            said.lines().for_each(say);
        } else {
            let Self { name, property, invariants, .. } = self;
            let (property, status) = (property.trim(), ended.status);
            let failure = format!("{name}: {property} [{invariants}] FAILED (its process: {status})");
            eprintln!("{}\n{failure}", said.trim_end());
            // Without the hook's words: where this line stands helps nobody.
            panic::resume_unwind(Box::new(failure));
        }
    }

    fn check_here(&self) {
        // For those who run several here; in a model's own process it is free.
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);

        let search = self.search("model", self.scenario);
        if let Some(failure) = search.failure {
            say(&format!("{}: FAILED in execution {}", self.name, search.executions));
            panic::resume_unwind(failure);
        }
        assert!(search.executions > 1, "{}: there was nothing to explore", self.name);

        let found: Vec<_> = self
            .known_bugs
            .iter()
            .map(|(bug, expected)| {
                let _on = bug.switch_on();
                self.find(&format!("{bug:?}"), self.scenario, expected)
            })
            .collect();
        let twins = self.twins.iter().map(|(name, scenario, expected)| self.find(name, *scenario, expected));
        let found: Vec<_> = found.into_iter().chain(twins).collect();
        say(&self.line(&search, &found));
    }

    /// The line a model prints.
    fn line(&self, search: &Search, found: &[String]) -> String {
        let Self { name, property, invariants, threads, bound, .. } = self;
        let bound = bound.map_or_else(|| "exhaustive".into(), |bound| format!("bounded {bound}"));
        let (executions, seconds) = (search.executions, search.time.as_secs_f64());
        let found = if found.is_empty() { String::new() } else { format!("; finds {}", found.join(", ")) };
        format!(
            "{name}: {} [{invariants}] {threads} threads, {bound}, {executions} executions, {seconds:.2} s{found}",
            property.trim()
        )
    }

    /// Searches for a failure that must be there. Returns what was found, and when.
    fn find(&self, bug: &str, scenario: fn(), expected: &str) -> String {
        let search = self.search(EXPECTED_TO_FAIL, scenario);
        let executions = search.executions;
        let Some(failure) = search.failure else {
            panic!("{}: known bug {bug} was not found in {executions} executions: this model cannot fail", self.name)
        };
        let message = message(&*failure);
        let as_expected =
            if [DEADLOCK, SPINS].contains(&expected) { message.starts_with(expected) } else { message == expected };
        assert!(as_expected, "{}: known bug {bug}: expected failure {expected:?}, got {message:?}", self.name);
        format!("{bug} after {executions}")
    }

    /// On a thread of its own, named `thread`, so that a failure leaves nothing behind.
    fn search(&self, thread: &str, scenario: fn()) -> Search {
        silence_expected_failures();
        let executions = Arc::new(AtomicUsize::new(0));
        let mut builder = loom::model::Builder::new();
        builder.max_threads = self.threads;
        builder.max_branches = 10_000;
        builder.max_duration = None;
        builder.max_permutations = None;
        builder.preemption_bound = self.bound;
        let count = Arc::clone(&executions);
        let started = Instant::now();
        let check = move || {
            builder.check(move || {
                count.fetch_add(1, Ordering::Relaxed);
                scenario();
            });
        };
        let ended = thread::Builder::new().name(thread.into()).spawn(check).expect("a thread for the model").join();
        Search { executions: executions.load(Ordering::Relaxed), time: started.elapsed(), failure: ended.err() }
    }
}

/// The number of steps that `scenario`, on one thread, takes on what threads share, each lock and atomic operation being
/// at least one.
pub fn steps(scenario: impl Fn() + Copy + Send + Sync + 'static) -> usize {
    let fits = |steps: &usize| {
        let mut builder = loom::model::Builder::new();
        builder.max_branches = *steps;
        thread::Builder::new()
            .name(EXPECTED_TO_FAIL.into())
            .spawn(move || builder.check(scenario))
            .expect("a thread for the model")
            .join()
            .is_ok()
    };
    silence_expected_failures();
    (1..100).find(fits).expect("a scenario of a few steps")
}

/// Where models run: in a process each, unless this variable says otherwise.
const PLACE: &str = "LATCHWORK_MODELS";

/// What the variable says to a process that was started for one model.
const CHILD: &str = "in a process of its own";

/// How such a process ends if all is well. Not 0: so does the harness, too, when it knows of no test by that name.
const CHECKED: i32 = 64;

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

fn refuse_weakening() {
    let weakening = [
        "LOOM_MAX_PREEMPTIONS",
        "LOOM_MAX_BRANCHES",
        "LOOM_MAX_DURATION",
        "LOOM_MAX_PERMUTATIONS",
        "LOOM_CHECKPOINT_FILE",
    ];
    for name in weakening {
        assert!(
            std::env::var_os(name).is_none(),
            "{name} is set, which changes how far the models search: unset it, a model states its own bound"
        );
    }
}

fn message(failure: &(dyn Any + Send)) -> &str {
    failure
        .downcast_ref::<String>()
        .map(String::as_str)
        .or(failure.downcast_ref::<&str>().copied())
        .unwrap_or("(no message)")
}

/// The name of the threads whose panics are expected and not worth a line.
const EXPECTED_TO_FAIL: &str = "expected to fail";

fn silence_expected_failures() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name() != Some(EXPECTED_TO_FAIL) {
                usual(info);
            }
        }));
    });
}

/// Prints past the test harness, which keeps what passing tests print.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
