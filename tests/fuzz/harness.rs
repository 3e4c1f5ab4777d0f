//! Runs cases until the time is over, makes a failing one small, and says how to run it again.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestCaseResult, TestError, TestRng, TestRunner};

/// For how long each fuzzer runs, unless `LATCHWORK_FUZZ_SECONDS` says otherwise.
const SECONDS: u64 = 12;
/// For how long a defect is looked for at most.
const PATIENCE: Duration = Duration::from_secs(60);
/// A case, with all that is made of it while it is made smaller, is over long before.
const ENDLESS: Duration = Duration::from_secs(150);
/// For how long a failing case is made smaller at most.
const SHRINKING: Duration = Duration::from_secs(60);

/// Held while a known bug may be switched on, which is for the whole process.
static TURN: Mutex<()> = Mutex::new(());

/// What cases have reached, and what one of them did.
#[derive(Default)]
pub struct Seen {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    /// Whether it is told what a case does.
    told: AtomicBool,
    /// Whether that is told at once, in case that it does not end.
    aloud: AtomicBool,
    /// Whether a failing case is being made smaller.
    hurried: bool,
    story: Mutex<Vec<String>>,
}

impl Seen {
    /// Counts one happening of this kind.
    pub fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
    }

    /// Notes what the case does, if it is the one that is to be told.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        if self.told.load(Ordering::Relaxed) {
            let line = line();
            if self.aloud.load(Ordering::Relaxed) {
                say(&format!("  {line}"));
            }
            self.story.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    /// How long to wait for what should come at once, before it is taken for something that does not come.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(if self.hurried { 500 } else { 10_000 })
    }

    fn of(&self, what: &str) -> u64 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).get(what).copied().unwrap_or(0)
    }
}

/// A fuzzer: where its cases come from, and what it must reach.
pub struct Fuzzer<S> {
    /// Its test's name.
    pub name: &'static str,
    pub cases: S,
    /// Fewer cases than this in a second are too few: it does something else than it should.
    pub per_second: u64,
    /// What must happen, once in so many cases at least.
    pub reaches: &'static [(&'static str, u64)],
    /// How often a case is tried before it counts as one that does not fail. More than once where threads take part: then
    /// also what made it fail may not come again at the first attempt.
    pub attempts: u32,
}

struct Failure<T> {
    seed: u64,
    reason: String,
    case: T,
}

/// Draws the case with this number, and makes it smaller in so many steps at most.
fn runner(seed: u64, max_shrink_iters: u32) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        failure_persistence: None,
        max_shrink_iters,
        max_shrink_time: u32::try_from(SHRINKING.as_millis()).expect("a minute"),
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

impl<S: Strategy> Fuzzer<S> {
    /// Runs until the time is over.
    ///
    /// # Panics
    ///
    /// If a case fails, and if there were too few, or too few in which something came about that should.
    pub fn run(&self, check: impl Fn(&S::Value, &Seen) -> TestCaseResult) {
        let seen = Seen::default();
        let check = |case: &S::Value, seen: &Seen| quietly(|| check(case, seen));
        let watch = Watch::new(self.name);
        if let Some(seed) = variable("LATCHWORK_FUZZ_SEED") {
            seen.told.store(true, Ordering::Relaxed);
            seen.aloud.store(true, Ordering::Relaxed);
            watch.begins(seed);
            match self.case(seed, &seen, &check, true) {
                Some(failure) => self.fail(failure, &check),
                None => return say(&format!("{}: case {seed} does not fail", self.name)),
            }
        }
        let seconds = variable("LATCHWORK_FUZZ_SECONDS").unwrap_or(SECONDS);
        let first = variable("LATCHWORK_FUZZ_FROM").unwrap_or(0);
        let begun = Instant::now();
        let mut cases = 0;
        while begun.elapsed() < Duration::from_secs(seconds) {
            watch.begins(first.wrapping_add(cases));
            if let Some(failure) = self.case(first.wrapping_add(cases), &seen, &check, true) {
                self.fail(failure, &check);
            }
            cases += 1;
        }
        self.account(&seen, cases, seconds);
    }

    /// Runs one case. If it fails it is made smaller, if that is asked for.
    fn case(
        &self,
        seed: u64,
        seen: &Seen,
        check: &impl Fn(&S::Value, &Seen) -> TestCaseResult,
        shrink: bool,
    ) -> Option<Failure<S::Value>> {
        let mut runner = runner(seed, if shrink { u32::MAX } else { 0 });
        let tree = self.cases.new_tree(&mut runner).expect("nothing is filtered out");
        let (first, uncounted) = (Cell::new(true), Seen { hurried: true, ..Seen::default() });
        let outcome = runner.run_one(tree, |case| {
            if first.replace(false) {
                return check(&case, seen);
            }
            // The same fails again, or something that is smaller.
            (0..self.attempts).try_for_each(|_| check(&case, &uncounted))
        });
        match outcome {
            Ok(_) => None,
            Err(TestError::Fail(reason, case)) => Some(Failure { seed, reason: reason.to_string(), case }),
            Err(TestError::Abort(reason)) => panic!("{}: {reason}", self.name),
        }
    }

    /// The case with this number.
    #[allow(dead_code, reason = "the induction draws cases")]
    pub fn draw(&self, seed: u64) -> S::Value {
        self.cases.new_tree(&mut runner(seed, 0)).expect("nothing is filtered out").current()
    }

    fn fail(&self, failure: Failure<S::Value>, check: &impl Fn(&S::Value, &Seen) -> TestCaseResult) -> ! {
        let Failure { seed, reason, case } = failure;
        let seen = Seen::default();
        seen.told.store(true, Ordering::Relaxed);
        let failed = (0..self.attempts).find_map(|_| {
            seen.story.lock().unwrap_or_else(PoisonError::into_inner).clear();
            check(&case, &seen).err()
        });
        let mut text = format!("{}: {reason}\n\nthe smallest case that fails:\n{case:?}\n", self.name);
        let story = seen.story.lock().unwrap_or_else(PoisonError::into_inner);
        if !story.is_empty() {
            let what = if failed.is_some() { "what it does" } else { "what it does when it does not fail" };
            writeln!(text, "\n{what}:\n  {}", story.join("\n  ")).expect("a string");
        }
        panic!("{text}\n{}\n", again(self.name, seed));
    }

    /// Says what was done, and that it was enough.
    fn account(&self, seen: &Seen, cases: u64, seconds: u64) {
        let counts = seen.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counts: Vec<_> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
        say(&format!("fuzz {}: {cases} cases in {seconds} s: {}", self.name, counts.join(", ")));
        assert!(cases >= self.per_second * seconds, "{}: only {cases} cases in {seconds} s", self.name);
        for (what, every) in self.reaches {
            let count = seen.of(what);
            assert!(count > 0 && count * every >= cases, "{}: only {count} x {what} in {cases} cases", self.name);
        }
    }

    /// Expects that each of these defects is found, by a case that does not fail without it. `check` runs a case with the
    /// defect, or without any. One at a time, and nothing else meanwhile: a known bug is switched on for the whole process.
    pub fn finds<D: Debug>(&self, defects: &[D], check: impl Fn(Option<&D>, &S::Value, &Seen) -> TestCaseResult) {
        if variable("LATCHWORK_FUZZ_SEED").is_some() {
            return;
        }
        let _alone = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = Seen { hurried: true, ..Seen::default() };
        let sound = |case: &S::Value| quietly(|| check(None, case, &seen)).is_ok();
        for defect in defects {
            let with = |case: &S::Value, seen: &Seen| quietly(|| check(Some(defect), case, seen));
            let begun = Instant::now();
            let find = |seed| self.case(seed, &seen, &with, false).filter(|failure| sound(&failure.case));
            let found = (0..).take_while(|_| begun.elapsed() < PATIENCE).find_map(find);
            let Some(Failure { seed, reason, .. }) = found else { panic!("{}: {defect:?} goes unnoticed", self.name) };
            let reason = reason.lines().next().unwrap_or_default();
            say(&format!(
                "fuzz {}: {defect:?} is found by case {seed}, after {:.1?}: {reason}",
                self.name,
                begun.elapsed()
            ));
        }
    }
}

/// Ends the process when a case does not end.
struct Watch {
    /// The case that runs, and since when.
    present: Arc<Mutex<Option<(u64, Instant)>>>,
}

impl Watch {
    fn new(name: &'static str) -> Self {
        let present = Arc::new(Mutex::new(Some((0, Instant::now()))));
        let theirs = Arc::clone(&present);
        std::thread::spawn(move || {
            let present = || *theirs.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some((seed, since)) = present() {
                if since.elapsed() > ENDLESS {
                    say(&format!("{name}: case {seed} does not end\n{}", again(name, seed)));
                    std::process::exit(101);
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { present }
    }

    fn begins(&self, seed: u64) {
        *self.present.lock().unwrap_or_else(PoisonError::into_inner) = Some((seed, Instant::now()));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        *self.present.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn again(name: &str, seed: u64) -> String {
    format!("once more: LATCHWORK_FUZZ_SEED={seed} cargo test --test fuzz {name} -- --exact --nocapture")
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What user code in here panics with.
pub const INJECTED: &str = "injected";

/// Runs a case. A panic is a failure, and is told once, at the end.
pub fn quietly(check: impl FnOnce() -> TestCaseResult) -> TestCaseResult {
    hush();
    let before = QUIET.replace(true);
    let checked = catch_unwind(AssertUnwindSafe(check));
    QUIET.set(before);
    checked.unwrap_or_else(|payload| {
        let at = PANICKED_AT.take();
        Err(TestCaseError::fail(format!("a panic at {at}: {}", message(&*payload))))
    })
}

/// The message of a panic.
pub fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("(no message)").to_owned()
}

/// Injected panics are expected, and those of a case are told at its end.
fn hush() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let injected = info.payload().downcast_ref::<&str>() == Some(&INJECTED);
            if QUIET.get() {
                PANICKED_AT.set(info.location().map(ToString::to_string).unwrap_or_default());
            } else if !injected {
                hook(info);
            }
        }));
    });
}

/// Prints past the test harness, which would keep it to itself.
pub fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr");
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, got {text:?}")))
}
