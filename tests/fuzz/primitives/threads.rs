//! Latches, epochs and interrupts between threads.
//!
//! Each thread changes something or waits, as its script says. Then nothing is changed any more, everything that is waited
//! for comes, once, and all threads must come to their ends: a thread that misses a wake-up does not.

use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use latchwork::{Cause, Epoch, Interrupt, Latch, Waited};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::harness::{Fuzzer, Seen};
use crate::thread_group::{ThreadGroup, await_here, poll_up_to, rest};

#[derive(Clone, Debug)]
pub struct Case {
    scripts: Vec<Vec<Step>>,
    /// How long everything goes on, in microseconds.
    lasts: u64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Open,
    Close,
    Release,
    Bump,
    Set(u8),
    Wait(What, How),
    Rest(u8),
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// A latch that is opened and closed.
    Gate,
    /// A latch that is never opened: it lets through those who wait.
    Turnstile,
    /// So many counts past the present one, less one.
    Epoch(u8),
    Interrupt(u8),
}

#[derive(Clone, Copy, Debug)]
enum How {
    /// The thread blocks.
    Blocks,
    /// For so many microseconds.
    Timeout(u8),
    /// Until an interrupt is set.
    Interruptible(u8),
    /// As a task.
    Awaits,
    /// As a task that is dropped after so many polls.
    Dropped(u8),
}

fn cases() -> impl Strategy<Value = Case> {
    let what = prop_oneof![
        3 => Just(What::Gate),
        3 => Just(What::Turnstile),
        3 => (0..3_u8).prop_map(What::Epoch),
        1 => any::<u8>().prop_map(What::Interrupt),
    ];
    let how = prop_oneof![
        2 => Just(How::Blocks),
        2 => any::<u8>().prop_map(How::Timeout),
        1 => any::<u8>().prop_map(How::Interruptible),
        2 => Just(How::Awaits),
        1 => (1..3_u8).prop_map(How::Dropped),
    ];
    let step = prop_oneof![
        2 => Just(Step::Open),
        2 => Just(Step::Close),
        3 => Just(Step::Release),
        3 => Just(Step::Bump),
        1 => any::<u8>().prop_map(Step::Set),
        8 => (what, how).prop_map(|(what, how)| Step::Wait(what, how)),
        1 => (0..100_u8).prop_map(Step::Rest),
    ];
    (vec(vec(step, 1..20), 2..5), 0..1000_u64).prop_map(|(scripts, lasts)| Case { scripts, lasts })
}

#[derive(Default)]
struct World {
    gate: Latch,
    turnstile: Latch,
    epoch: Epoch,
    /// The second's child, the third, has no other handle between it and the first.
    interrupts: [Interrupt; 3],
    /// Whether nothing is changed any more.
    over: RwLock<bool>,
    opened: AtomicU64,
    closed: AtomicU64,
    released: AtomicU64,
    passed: AtomicU64,
    /// Where each thread is in its script.
    at: [AtomicUsize; 5],
    wrong: RwLock<Option<String>>,
}

impl World {
    fn new() -> Self {
        let root = Interrupt::new();
        let child = root.child();
        // Between this one and the root there is nothing that is held.
        let grandchild = root.child().child();
        Self { interrupts: [root, child, grandchild], ..Self::default() }
    }

    fn unless(&self, holds: bool, wrong: impl FnOnce() -> String) {
        if !holds {
            self.wrong.write().unwrap().get_or_insert_with(wrong);
        }
    }

    fn interrupt(&self, which: u8) -> &Interrupt {
        &self.interrupts[usize::from(which) % self.interrupts.len()]
    }

    /// Changes something, unless all is over.
    fn change(&self, change: impl FnOnce()) {
        let over = self.over.read().unwrap();
        if !*over {
            change();
        }
    }

    fn step(&self, step: Step) {
        match step {
            Step::Open => self.change(|| self.open()),
            Step::Close => self.change(|| {
                self.closed.fetch_add(self.gate.close().into(), Ordering::Relaxed);
            }),
            Step::Release => self.change(|| self.release()),
            Step::Bump => self.change(|| self.bump()),
            Step::Set(which) => self.change(|| {
                let (interrupt, cause) = (self.interrupt(which), Cause::Other("fuzz"));
                interrupt.set(cause);
                self.unless(interrupt.cause() == Some(cause), || "a set interrupt is not set".into());
            }),
            Step::Rest(micros) => rest(micros.into()),
            Step::Wait(what, how) => self.wait(what, how),
        }
    }

    fn open(&self) {
        self.opened.fetch_add(self.gate.open().into(), Ordering::Relaxed);
    }

    fn release(&self) {
        self.released.fetch_add(self.turnstile.release() as u64, Ordering::Relaxed);
    }

    fn bump(&self) {
        let (before, bumped) = (self.epoch.current(), self.epoch.bump());
        let now = self.epoch.current();
        self.unless(before < bumped && bumped <= now, || format!("{before}, bumped to {bumped}, then {now}"));
    }

    fn wait(&self, what: What, how: How) {
        let begun = Instant::now();
        let interrupt = match how {
            How::Interruptible(which) => self.interrupt(which),
            _ => &self.interrupts[0],
        };
        let waited = match what {
            What::Gate => how.wait(Waits {
                block: || self.gate.wait(),
                timeout: |time| self.gate.opened().wait_timeout(time),
                interruptible: || self.gate.opened().wait_or(interrupt, None),
                future: || self.gate.opened(),
            }),
            // One that is let through and then dropped would have to be counted.
            What::Turnstile if matches!(how, How::Dropped(_)) => return,
            What::Turnstile => how.wait(Waits {
                block: || self.turnstile.wait(),
                timeout: |time| self.turnstile.opened().wait_timeout(time),
                interruptible: || self.turnstile.opened().wait_or(interrupt, None),
                future: || self.turnstile.opened(),
            }),
            What::Epoch(ahead) => self.wait_past(ahead, how, interrupt),
            What::Interrupt(which) => {
                let this = self.interrupt(which);
                let set = how.wait(Waits {
                    block: || this.wait(),
                    timeout: |time| this.triggered().wait_timeout(time),
                    interruptible: || this.triggered().wait_or(interrupt, None),
                    future: || this.triggered(),
                });
                if let Some(Waited::Ready(cause)) = set {
                    self.unless(this.cause() == Some(cause), || format!("{cause} is not why it was set"));
                }
                set.map(without)
            }
        };
        match (waited, how) {
            (None, _) => {}
            (Some(Waited::Ready(())), _) => {
                self.passed.fetch_add(u64::from(matches!(what, What::Turnstile)), Ordering::Relaxed);
            }
            (Some(Waited::TimedOut), How::Timeout(micros)) => {
                let waited = begun.elapsed();
                self.unless(waited >= Duration::from_micros(micros.into()), || format!("timed out after {waited:?}"));
            }
            (Some(Waited::Interrupted(cause)), How::Interruptible(_)) => {
                self.unless(interrupt.cause() == Some(cause), || format!("interrupted by {cause}"));
            }
            (Some(waited), how) => self.unless(false, || format!("{how:?} ended as {waited:?}")),
        }
    }

    fn wait_past(&self, ahead: u8, how: How, interrupt: &Interrupt) -> Option<Waited> {
        let seen = {
            let over = self.over.read().unwrap();
            // What does not come any more is not waited for.
            (self.epoch.current() + u64::from(ahead) * u64::from(!*over)).saturating_sub(1)
        };
        let past = how.wait(Waits {
            block: || self.epoch.past(seen).wait(),
            timeout: |time| self.epoch.past(seen).wait_timeout(time),
            interruptible: || self.epoch.past(seen).wait_or(interrupt, None),
            future: || self.epoch.past(seen),
        });
        if let Some(Waited::Ready(count)) = past {
            let now = self.epoch.current();
            self.unless(seen < count && count <= now, || format!("past {seen} is {count}, now {now}"));
        }
        past.map(without)
    }
}

/// The ways to wait for something.
struct Waits<B, T, I, F> {
    block: B,
    timeout: T,
    interruptible: I,
    future: F,
}

impl How {
    /// Waits in this way; `None` for a task that was dropped.
    fn wait<T, F: Future<Output = T>>(
        self,
        ways: Waits<
            impl FnOnce() -> T,
            impl FnOnce(Duration) -> Waited<T>,
            impl FnOnce() -> Waited<T>,
            impl FnOnce() -> F,
        >,
    ) -> Option<Waited<T>> {
        match self {
            Self::Blocks => Some(Waited::Ready((ways.block)())),
            Self::Timeout(micros) => Some((ways.timeout)(Duration::from_micros(micros.into()))),
            Self::Interruptible(_) => Some((ways.interruptible)()),
            Self::Awaits => Some(Waited::Ready(await_here((ways.future)()))),
            Self::Dropped(polls) => {
                let _came = poll_up_to(polls.into(), (ways.future)());
                None
            }
        }
    }
}

/// An outcome without what came.
fn without<T>(waited: Waited<T>) -> Waited {
    match waited {
        Waited::Ready(_) => Waited::Ready(()),
        Waited::TimedOut => Waited::TimedOut,
        Waited::Interrupted(cause) => Waited::Interrupted(cause),
    }
}

pub fn run(case: &Case, seen: &Seen) -> TestCaseResult {
    let world = Arc::new(World::new());
    let mut threads = ThreadGroup::new();
    for (number, script) in case.scripts.iter().cloned().enumerate() {
        let world = Arc::clone(&world);
        threads.start(move || {
            for (at, step) in script.into_iter().enumerate() {
                world.at[number].store(at, Ordering::Relaxed);
                world.step(step);
            }
        });
    }
    rest(case.lasts);
    *world.over.write().unwrap() = true;
    // Once each. No thread waits for more than two counts from here.
    world.interrupts[0].set(Cause::Stop);
    for interrupt in &world.interrupts {
        prop_assert!(interrupt.is_set(), "a descendant of an interrupt that is set is not");
    }
    world.open();
    (0..3).for_each(|_| world.bump());
    let deadline = Instant::now() + seen.patience();
    while !threads.all_end((Instant::now() + Duration::from_micros(100)).min(deadline)).map_err(TestCaseError::fail)? {
        if Instant::now() >= deadline {
            let stands = threads.missing().into_iter().map(|number| {
                let at = world.at[number].load(Ordering::Relaxed);
                format!("thread {number} is still at step {at}, {:?}", case.scripts[number][at])
            });
            return Err(TestCaseError::fail(stands.collect::<Vec<_>>().join("; ")));
        }
        // Who comes to the turnstile later is let through too.
        world.release();
    }
    seen.count("case");
    if let Some(wrong) = world.wrong.write().unwrap().take() {
        return Err(TestCaseError::fail(wrong));
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (released, passed) = (count(&world.released), count(&world.passed));
    prop_assert_eq!(released, passed, "how many were let through, and how many came through");
    prop_assert_eq!(count(&world.opened) - count(&world.closed), 1, "opened and closed in turns, open in the end");
    if passed > 0 {
        seen.count("a waiter let through");
    }
    Ok(())
}

pub fn fuzzer(name: &'static str) -> Fuzzer<impl Strategy<Value = Case>> {
    Fuzzer { name, cases: cases(), per_second: 20, reaches: &[("case", 1), ("a waiter let through", 4)], attempts: 50 }
}
