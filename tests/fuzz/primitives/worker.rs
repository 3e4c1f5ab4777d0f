//! A worker, its body and those who command it from several threads.
//!
//! What each run does is given by its number, so whatever is told of one can be compared. While it goes on, every status
//! must be one that can be; then it is commanded no more, and it must come to rest, run once more, and stop.

use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use latchwork::worker::{Ended, Handle, Phase, Status};
use latchwork::{Backoff, Cause, Interrupted, RestartPolicy, Waited, Worker};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::harness::{Fuzzer, INJECTED, Seen};
use crate::thread_group::{ThreadGroup, poll_up_to, rest};

#[derive(Clone, Debug)]
pub struct Case {
    /// How many restarts the policy allows within an hour; none at all, or as many as there are failures.
    policy: Policy,
    /// What the runs do, in turns.
    runs: Vec<Doing>,
    scripts: Vec<Vec<Step>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Never,
    Always,
    AtMost(u32),
}

/// What a run does, and how it ends.
#[derive(Clone, Copy, Debug)]
struct Doing {
    first: First,
    then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Nothing,
    /// Waits until it is asked to end.
    Awaits,
    /// Takes so many microseconds, whatever it is asked.
    Takes(u8),
    /// Asks for the next run.
    Restarts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Completes,
    Fails,
    Panics,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Restart,
    Clear,
    ClearTimeout(u8),
    Stop,
    WaitIdle(u8),
    /// As a task that is dropped after one poll: there may be a run that ends only when it is asked to.
    WaitIdleAsync,
    /// As a task whose waker panics.
    WaitBadly,
    Look,
    Rest(u8),
}

fn cases() -> impl Strategy<Value = Case> {
    let policy = prop_oneof![Just(Policy::Never), Just(Policy::Always), (0..4_u32).prop_map(Policy::AtMost)];
    let first = prop_oneof![
        2 => Just(First::Nothing),
        3 => Just(First::Awaits),
        2 => any::<u8>().prop_map(First::Takes),
        1 => Just(First::Restarts),
    ];
    let then = prop_oneof![2 => Just(Then::Completes), 1 => Just(Then::Fails), 1 => Just(Then::Panics)];
    let doing = (first, then).prop_map(|(first, then)| Doing { first, then });
    let step = |commands: u32, clears: u32, stops: u32| {
        prop_oneof![
            commands => Just(Step::Restart),
            clears => Just(Step::Clear),
            clears => any::<u8>().prop_map(Step::ClearTimeout),
            stops => Just(Step::Stop),
            2 => any::<u8>().prop_map(Step::WaitIdle),
            1 => Just(Step::WaitIdleAsync),
            1 => Just(Step::WaitBadly),
            2 => Just(Step::Look),
            1 => any::<u8>().prop_map(Step::Rest),
        ]
    };
    let scripts = prop_oneof![
        3 => vec(vec(step(6, 0, 0), 1..12), 1..4),
        3 => vec(vec(step(6, 2, 0), 1..12), 1..4),
        1 => vec(vec(step(8, 2, 1), 1..12), 1..4),
    ];
    (policy, vec(doing, 1..6), scripts).prop_map(|(policy, runs, scripts)| Case { policy, runs, scripts })
}

/// A task that is never polled again, and panics when it is woken.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic_any(INJECTED);
    }
}

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

struct World {
    case: Case,
    handle: OnceLock<Handle>,
    running: AtomicBool,
    begun: AtomicU64,
    restarts: AtomicU64,
    /// The latest run that was promised.
    promised: AtomicU64,
    at: [AtomicUsize; 4],
    waiting: Mutex<Vec<Waiting>>,
    panics: AtomicU64,
    wrong: Mutex<Option<String>>,
}

/// Is there as long as the body is.
struct Body(Arc<World>);

impl Drop for Body {
    fn drop(&mut self) {
        self.0.unless(!self.0.running.load(Ordering::SeqCst), || "the body was dropped while it ran".into());
    }
}

impl World {
    fn unless(&self, holds: bool, wrong: impl FnOnce() -> String) {
        if !holds {
            self.wrong.lock().unwrap().get_or_insert_with(wrong);
        }
    }

    fn handle(&self) -> &Handle {
        loop {
            match self.handle.get() {
                Some(handle) => return handle,
                None => rest(0),
            }
        }
    }

    fn doing(&self, generation: u64) -> Doing {
        self.case.runs[(generation as usize - 1) % self.case.runs.len()]
    }

    fn body(&self, run: &latchwork::Run) -> Result<(), &'static str> {
        let overlaps = self.running.swap(true, Ordering::SeqCst);
        let (number, generation) = (self.begun.fetch_add(1, Ordering::SeqCst) + 1, run.generation());
        self.unless(!overlaps, || format!("run {generation} begins while another one goes on"));
        self.unless(number == generation, || format!("run {generation} is the {number}th"));
        let Doing { first, then } = self.doing(generation);
        match first {
            First::Nothing => {}
            First::Awaits => drop(run.interrupt().wait()),
            First::Takes(micros) => rest(micros.into()),
            First::Restarts => self.patiently(|| self.restart()),
        }
        self.running.store(false, Ordering::SeqCst);
        match then {
            Then::Completes => Ok(()),
            Then::Fails => Err("it fails"),
            Then::Panics => panic_any(INJECTED),
        }
    }

    fn restart(&self) {
        let (begun, handle) = (self.begun.load(Ordering::SeqCst), self.handle());
        self.restarts.fetch_add(1, Ordering::SeqCst);
        let mut restarted = None;
        self.patiently(|| restarted = Some(handle.restart()));
        // If a waker has panicked, it was woken because the request had been made.
        let stopping = handle.status().stopping;
        match restarted.unwrap_or(if stopping { Err(Interrupted { cause: Cause::Stop }) } else { Ok(begun + 1) }) {
            Ok(next) => {
                self.unless(next > begun, || format!("run {next} was promised when {begun} had begun"));
                self.promised.fetch_max(next, Ordering::SeqCst);
            }
            Err(_) => self.unless(handle.status().stopping, || "a worker that was not stopped says so".into()),
        }
    }

    fn step(&self, step: Step) {
        let handle = self.handle();
        match step {
            Step::Restart => self.restart(),
            Step::Clear => {
                let before = handle.status().generation;
                handle.clear();
                self.has_ended(before);
            }
            Step::ClearTimeout(micros) => {
                let before = handle.status().generation;
                if let Waited::Ready(()) = handle.clear_timeout(Duration::from_micros(micros.into())) {
                    self.has_ended(before);
                }
            }
            Step::Stop => {
                handle.stop();
                let last = handle.status().generation;
                rest(100);
                self.unless(handle.status().generation == last, || format!("a run after {last}, and after the stop"));
            }
            Step::WaitIdle(micros) => {
                let _idle = handle.idle().wait_timeout(Duration::from_micros(micros.into()));
            }
            Step::WaitIdleAsync => {
                let _idle = poll_up_to(1, handle.idle());
            }
            Step::WaitBadly => {
                let handle = handle.clone();
                let mut wait: Waiting = Box::pin(async move { handle.idle().await });
                let waker = Waker::from(Arc::new(Panics));
                if wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                    self.waiting.lock().unwrap().push(wait);
                }
            }
            Step::Look => self.look(&handle.status()),
            Step::Rest(micros) => rest(micros.into()),
        }
    }

    fn has_ended(&self, generation: u64) {
        let status = self.handle().status();
        let ended = status.last_exit.map_or(0, |exit| exit.generation);
        self.unless(ended >= generation, || format!("run {generation} was cleared, and {ended} is the last to end"));
    }

    /// Whether a status is one that can be.
    fn look(&self, status: &Status) {
        let ended = status.last_exit.as_ref().map_or(0, |exit| exit.generation);
        let running = matches!(status.phase, Phase::Running);
        self.unless(ended + u64::from(running) == status.generation, || format!("{status:?}"));
        let Some(exit) = &status.last_exit else { return };
        let Doing { first, then } = self.doing(ended);
        let told = match (&exit.ended, then) {
            (Ended::Completed, Then::Completes) => true,
            (Ended::Failed(error), Then::Fails) => error.to_string() == "it fails",
            (Ended::Panicked(message), Then::Panics) => **message == *INJECTED,
            _ => false,
        };
        self.unless(told, || format!("run {ended} {then:?}: {status:?}"));
        self.unless(first != First::Awaits || exit.interrupted.is_some(), || format!("run {ended} awaits: {status:?}"));
        let failed = then != Then::Completes && exit.interrupted.is_none();
        let policy = self.case.policy;
        let can = match status.phase {
            Phase::BackingOff { .. } => failed && policy != Policy::Never,
            Phase::GivenUp => failed && policy != Policy::Always,
            _ => true,
        };
        self.unless(can, || format!("after run {ended}: {status:?}"));
    }

    /// Does it, and goes on if a waker has panicked.
    fn patiently(&self, step: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(step)) {
            if payload.downcast_ref::<&str>() != Some(&INJECTED) {
                resume_unwind(payload);
            }
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub fn run(case: &Case, seen: &Seen) -> TestCaseResult {
    let backoff = Backoff::new(Duration::from_micros(50), Duration::from_micros(400));
    let policy = match case.policy {
        Policy::Never => RestartPolicy::never(),
        Policy::Always => RestartPolicy::on_failure(backoff),
        Policy::AtMost(times) => RestartPolicy::on_failure(backoff).with_intensity(times, Duration::from_secs(3600)),
    };
    let world = Arc::new(World {
        case: case.clone(),
        handle: OnceLock::new(),
        running: AtomicBool::new(false),
        begun: AtomicU64::new(0),
        restarts: AtomicU64::new(0),
        promised: AtomicU64::new(1),
        at: Default::default(),
        waiting: Mutex::default(),
        panics: AtomicU64::new(0),
        wrong: Mutex::default(),
    });
    let body = Body(Arc::clone(&world));
    let worker = Worker::spawn_with("fuzz", policy, move |run| {
        let body = &body;
        body.0.body(run)
    });
    // One that does not do what it should is left behind: to drop it is to wait for it.
    let worker = ManuallyDrop::new(worker.expect("there are threads"));
    world.handle.set(worker.handle().clone()).expect("set once");
    let mut threads = ThreadGroup::new();
    for (number, script) in case.scripts.iter().cloned().enumerate() {
        let world = Arc::clone(&world);
        threads.start(move || {
            for (at, step) in script.into_iter().enumerate() {
                world.at[number].store(at, Ordering::Relaxed);
                world.patiently(|| world.step(step));
            }
        });
    }
    let deadline = Instant::now() + seen.patience();
    let ended = threads.all_end(deadline).map_err(TestCaseError::fail)?;
    if !ended {
        let still = threads.missing().into_iter().map(|number| {
            let at = world.at[number].load(Ordering::Relaxed);
            format!("thread {number} is still at step {at}, {:?}", case.scripts[number][at])
        });
        let (still, status) = (still.collect::<Vec<_>>().join("; "), worker.status());
        return Err(TestCaseError::fail(format!("{still}: the worker {status}: {status:?}")));
    }
    // The thread that ends it need not suffer those tasks.
    world.waiting.lock().unwrap().clear();
    let finished = finish(&world, worker, seen);
    if let Some(wrong) = world.wrong.lock().unwrap().take() {
        return Err(TestCaseError::fail(wrong));
    }
    finished
}

/// It is commanded no more.
fn finish(world: &World, worker: ManuallyDrop<Worker>, seen: &Seen) -> TestCaseResult {
    let deadline = Instant::now() + seen.patience();
    let steps = || world.case.scripts.iter().flatten();
    let cleared = steps().any(|step| matches!(step, Step::Clear | Step::ClearTimeout(_) | Step::Stop));
    let stopped = steps().any(|step| matches!(step, Step::Stop));
    let look = |what: &str, holds: &mut dyn FnMut(&Status) -> bool| loop {
        let status = worker.status();
        world.look(&status);
        if holds(&status) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(TestCaseError::fail(format!("{what}: the worker {status}: {status:?}")));
        }
        rest(20);
    };
    // What was promised comes, unless it was taken back.
    let promised = world.promised.load(Ordering::SeqCst);
    if !cleared {
        look("what was promised", &mut |status| status.generation >= promised)?;
    }
    if !stopped {
        // One that restarts itself comes to no rest.
        let restless = world.case.runs.iter().any(|run| run.first == First::Restarts);
        if !worker.clear_timeout(seen.patience()).is_ready() {
            return Err(TestCaseError::fail(format!("clear: the worker {:?}", worker.status())));
        }
        if !restless {
            prop_assert!(!world.running.load(Ordering::SeqCst), "it was cleared");
            let status = worker.status();
            world.look(&status);
            let idle = matches!(status.phase, Phase::Idle | Phase::GivenUp) && !status.requested;
            prop_assert!(idle, "after a clear: {:?}", status);
            prop_assert_eq!(worker.restart(), Ok(status.generation + 1));
            look("one more", &mut |now| now.generation > status.generation)?;
        }
    }
    if world.case.policy == Policy::Never {
        let (runs, restarts) = (world.begun.load(Ordering::SeqCst), world.restarts.load(Ordering::SeqCst));
        prop_assert!(runs <= 2 + restarts, "{} runs, and {} were asked for", runs, restarts);
    }
    let handle = worker.handle().clone();
    seen.count("case");
    for (what, count) in [("a waker's panic", &world.panics), ("run", &world.begun)] {
        (0..count.load(Ordering::SeqCst)).for_each(|_| seen.count(what));
    }
    let status = match ManuallyDrop::into_inner(worker).join_timeout(seen.patience()) {
        Ok(status) => status,
        Err(worker) => {
            let worker = ManuallyDrop::new(worker);
            return Err(TestCaseError::fail(format!("join: the worker {:?}", worker.status())));
        }
    };
    prop_assert!(matches!(status.phase, Phase::Stopped), "{:?}", status);
    world.look(&status);
    prop_assert_eq!(world.begun.load(Ordering::SeqCst), status.generation);
    prop_assert_eq!(handle.restart(), Err(Interrupted { cause: Cause::Stop }));
    prop_assert!(poll_up_to(1, handle.stopped()).is_some());
    prop_assert!(poll_up_to(1, handle.idle()).is_some());
    Ok(())
}

pub fn fuzzer(name: &'static str) -> Fuzzer<impl Strategy<Value = Case>> {
    let reaches = &[("case", 2), ("run", 1), ("a waker's panic", 100)];
    Fuzzer { name, cases: cases(), per_second: 20, reaches, attempts: 50 }
}
