//! Latches, epochs, interrupts and workers.
//!
//! Here everything happens in one thread: futures are polled by hand, with wakers that count, panic, or call back, so what
//! must happen is known exactly and a failure is the same each time. `threads` and `worker` do the same on real threads,
//! where it is known what must hold in the end.

pub mod threads;
pub mod worker;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use latchwork::{Cause, Epoch, Interrupt, Interrupted, Latch, Waited};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::harness::{Fuzzer, INJECTED, Seen};

/// Indices are taken modulo how many there are.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Open(u8),
    Close(u8),
    Release(u8),
    Bump(u8),
    /// An interrupt is given a child.
    Child(u8),
    /// The handle of an interrupt is dropped. What descends from it lives on.
    DropHandle(u8),
    Set(u8, u8),
    /// A future begins to exist.
    Future(What),
    Poll(u8, Manners),
    DropFuture(u8),
    /// A wait that has no time.
    Look(What, Option<u8>),
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub enum What {
    Latch(u8),
    /// And so many counts past the present one, less one.
    Epoch(u8, u8),
    Interrupt(u8),
}

/// What a waker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    Counts,
    Panics,
    /// Waits for a moment itself, when it is woken and when it is dropped.
    CallsBack,
}

fn cases() -> impl Strategy<Value = Vec<Step>> {
    let what = || {
        prop_oneof![
            any::<u8>().prop_map(What::Latch),
            (any::<u8>(), 0..3_u8).prop_map(|(epoch, ahead)| What::Epoch(epoch, ahead)),
            any::<u8>().prop_map(What::Interrupt),
        ]
    };
    let manners = prop_oneof![6 => Just(Manners::Counts), 1 => Just(Manners::Panics), 1 => Just(Manners::CallsBack)];
    let step = prop_oneof![
        4 => any::<u8>().prop_map(Step::Open),
        8 => any::<u8>().prop_map(Step::Close),
        4 => any::<u8>().prop_map(Step::Release),
        4 => any::<u8>().prop_map(Step::Bump),
        6 => any::<u8>().prop_map(Step::Child),
        2 => any::<u8>().prop_map(Step::DropHandle),
        1 => any::<(u8, u8)>().prop_map(|(which, cause)| Step::Set(which, cause)),
        12 => what().prop_map(Step::Future),
        24 => (any::<u8>(), manners).prop_map(|(which, manners)| Step::Poll(which, manners)),
        3 => any::<u8>().prop_map(Step::DropFuture),
        3 => (what(), any::<Option<u8>>()).prop_map(|(what, interrupt)| Step::Look(what, interrupt)),
    ];
    vec(step, 1..80)
}

const CAUSES: [Cause; 4] = [Cause::Stop, Cause::Restart, Cause::Clear, Cause::Other("fuzz")];

/// A waker. How often it has been woken.
struct Waking {
    woken: AtomicU64,
    manners: Manners,
    latches: Arc<[Latch; 2]>,
    epochs: Arc<[Epoch; 2]>,
}

impl Waking {
    fn call_back(&self) {
        if self.manners == Manners::CallsBack {
            for latch in &*self.latches {
                let _open = latch.opened().wait_timeout(Duration::ZERO);
            }
            for epoch in &*self.epochs {
                let _past = epoch.past(epoch.current()).wait_timeout(Duration::ZERO);
            }
        }
    }
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::Relaxed);
        self.call_back();
        if self.manners == Manners::Panics {
            panic_any(INJECTED);
        }
    }
}

impl Drop for Waking {
    fn drop(&mut self) {
        self.call_back();
    }
}

/// A future, and what must come of it.
struct Waiter {
    /// What it waits for: a latch, an epoch and its count, an interrupt, each by its index.
    what: What,
    seen: u64,
    future: Pin<Box<dyn Future<Output = u64>>>,
    /// Its last poll left this waker, and this is how often that had been woken before the last event.
    waiting: Option<Arc<Waking>>,
    /// It was waiting when its latch let through those who were.
    let_through: bool,
}

/// What an interrupt is, and what it should be.
struct Node {
    /// `None` once the handle is gone.
    handle: Option<Interrupt>,
    parent: Option<usize>,
    cause: Option<Cause>,
}

struct World<'a> {
    latches: Arc<[Latch; 2]>,
    open: [bool; 2],
    epochs: Arc<[Epoch; 2]>,
    counts: [u64; 2],
    nodes: Vec<Node>,
    waiters: Vec<Waiter>,
    seen: &'a Seen,
}

fn index(of: u8, len: usize) -> usize {
    usize::from(of) % len
}

pub fn run(steps: &Vec<Step>, seen: &Seen) -> TestCaseResult {
    let mut world = World {
        latches: Arc::new([Latch::new(), Latch::new_open()]),
        open: [false, true],
        epochs: Arc::default(),
        counts: [0; 2],
        nodes: vec![Node { handle: Some(Interrupt::new()), parent: None, cause: None }],
        waiters: Vec::new(),
        seen,
    };
    for step in steps {
        seen.tell(|| format!("{step:?}"));
        world.step(*step)?;
        world.compare()?;
    }
    Ok(())
}

impl World<'_> {
    fn step(&mut self, step: Step) -> TestCaseResult {
        match step {
            Step::Open(which) => {
                let which = index(which, 2);
                let was = std::mem::replace(&mut self.open[which], true);
                let latches = Arc::clone(&self.latches);
                let opened = self.wakes(|waiter| waiter.at_latch(which), move || latches[which].open())?;
                prop_assert!(opened.is_none_or(|opened| opened != was), "whether it was closed");
            }
            Step::Close(which) => {
                let which = index(which, 2);
                let was = std::mem::replace(&mut self.open[which], false);
                prop_assert_eq!(self.latches[which].close(), was, "whether it was open");
            }
            Step::Release(which) => {
                let which = index(which, 2);
                let latches = Arc::clone(&self.latches);
                let there = self.waiters.iter().filter(|waiter| waiter.at_latch(which)).count();
                let released = self.wakes(|waiter| waiter.at_latch(which), move || latches[which].release())?;
                prop_assert!(
                    released.is_none_or(|count| count == there),
                    "{:?} were let through of {}",
                    released,
                    there
                );
                self.seen.count(if there > 0 { "release" } else { "release of none" });
            }
            Step::Bump(which) => {
                let which = index(which, 2);
                self.counts[which] += 1;
                let (epochs, count) = (Arc::clone(&self.epochs), self.counts[which]);
                let past = |waiter: &Waiter| matches!(waiter.what, What::Epoch(of, _) if index(of, 2) == which && waiter.seen < count);
                let bumped = self.wakes(past, move || epochs[which].bump())?;
                prop_assert!(bumped.is_none_or(|bumped| bumped == count), "bumped to {:?}, not to {}", bumped, count);
            }
            Step::Child(of) => self.child(of)?,
            Step::DropHandle(of) => {
                let of = index(of, self.nodes.len());
                // The last handle is kept, so that there is always one.
                let handles = self.nodes.iter().filter(|node| node.handle.is_some()).count();
                if handles > 1 && self.nodes[of].handle.take().is_some() {
                    self.seen.count("a handle dropped");
                }
            }
            Step::Set(which, cause) => self.set(which, CAUSES[index(cause, CAUSES.len())])?,
            Step::Future(what) => self.future(what),
            Step::Poll(which, manners) => self.poll(which, manners)?,
            Step::DropFuture(which) => {
                if !self.waiters.is_empty() {
                    let waiter = self.waiters.swap_remove(index(which, self.waiters.len()));
                    self.seen.count(match waiter.waiting {
                        Some(_) => "a waiting future dropped",
                        None if waiter.let_through => "a future dropped that was let through",
                        None => "a future dropped that does not wait",
                    });
                }
            }
            Step::Look(what, interrupt) => self.look(what, interrupt)?,
        }
        Ok(())
    }

    /// Does something that is to wake those who wait and `concerns`: all of them, whichever of their wakers panics. Returns
    /// what it said, unless it panicked.
    fn wakes<T>(
        &mut self,
        concerns: impl Fn(&Waiter) -> bool,
        event: impl FnOnce() -> T,
    ) -> Result<Option<T>, TestCaseError> {
        let woken = |waiter: &Waiter| waiter.waiting.as_ref().map(|waker| waker.woken.load(Ordering::Relaxed));
        let before: Vec<_> = self.waiters.iter().map(woken).collect();
        let said = catch_unwind(AssertUnwindSafe(event));
        let mut panics = false;
        for (waiter, before) in self.waiters.iter_mut().zip(before) {
            if !concerns(waiter) {
                continue;
            }
            let Some(waker) = waiter.waiting.take() else { continue };
            let now = waker.woken.load(Ordering::Relaxed);
            // Not necessarily now: it may have been before, for nothing, and has not looked since.
            prop_assert!(now > 0, "a task that waits for {:?} was not woken", waiter.what);
            panics |= Some(now) > before && waker.manners == Manners::Panics;
            waiter.let_through = true;
            self.seen.count("woken");
        }
        match said {
            Ok(said) => {
                prop_assert!(!panics, "a waker's panic did not come out of the call");
                Ok(Some(said))
            }
            Err(payload) if payload.downcast_ref::<&str>() == Some(&INJECTED) => {
                self.seen.count("a waker's panic");
                Ok(None)
            }
            Err(payload) => resume_unwind(payload),
        }
    }

    /// The node of this index or the next one that has a handle.
    fn node(&self, of: u8) -> usize {
        let from = index(of, self.nodes.len());
        let mut round = (from..self.nodes.len()).chain(0..from);
        round.find(|node| self.nodes[*node].handle.is_some()).expect("one handle is kept")
    }

    fn handle(&self, node: usize) -> &Interrupt {
        self.nodes[node].handle.as_ref().expect("it has one")
    }

    fn child(&mut self, of: u8) -> TestCaseResult {
        let parent = self.node(of);
        let (child, cause) = (self.handle(parent).child(), self.nodes[parent].cause);
        prop_assert_eq!(child.cause(), cause, "a child is born as its parent is");
        self.nodes.push(Node { handle: Some(child), parent: Some(parent), cause });
        if cause.is_some() {
            self.seen.count("a child born set");
        }
        Ok(())
    }

    fn set(&mut self, which: u8, cause: Cause) -> TestCaseResult {
        let which = self.node(which);
        let first = self.nodes[which].cause.is_none();
        let mut newly = Vec::new();
        for node in 0..self.nodes.len() {
            let descends = node == which || self.nodes[node].parent.is_some_and(|parent| newly.contains(&parent));
            if descends && self.nodes[node].cause.is_none() {
                newly.push(node);
                self.nodes[node].cause = Some(cause);
            }
        }
        if newly.len() > 2 {
            self.seen.count("descendants set");
        }
        if newly.iter().any(|node| self.nodes[*node].parent.is_some_and(|parent| self.nodes[parent].handle.is_none())) {
            self.seen.count("a child set whose parent is gone");
        }
        let interrupt = self.handle(which).clone();
        let concerns =
            |waiter: &Waiter| matches!(waiter.what, What::Interrupt(_) if newly.contains(&(waiter.seen as usize)));
        let set = self.wakes(concerns, move || interrupt.set(cause))?;
        prop_assert!(set.is_none_or(|set| set == first), "whether it was the first");
        Ok(())
    }

    fn future(&mut self, what: What) {
        let (seen, future): (_, Pin<Box<dyn Future<Output = u64>>>) = match what {
            What::Latch(which) => {
                let (latches, which) = (Arc::clone(&self.latches), index(which, 2));
                let wait = async move {
                    latches[which].opened().await;
                    0
                };
                (0, Box::pin(wait))
            }
            What::Epoch(which, ahead) => {
                let (epochs, which) = (Arc::clone(&self.epochs), index(which, 2));
                let seen = (self.counts[which] + u64::from(ahead)).saturating_sub(1);
                (seen, Box::pin(async move { epochs[which].past(seen).await }))
            }
            What::Interrupt(which) => {
                let node = self.node(which);
                let interrupt = self.handle(node).clone();
                let number = |cause| CAUSES.iter().position(|other| *other == cause).expect("one of these") as u64;
                (node as u64, Box::pin(async move { number(interrupt.triggered().await) }))
            }
        };
        self.waiters.push(Waiter { what, seen, future, waiting: None, let_through: false });
    }

    fn poll(&mut self, which: u8, manners: Manners) -> TestCaseResult {
        if self.waiters.is_empty() {
            return Ok(());
        }
        let which = index(which, self.waiters.len());
        let (latches, epochs) = (Arc::clone(&self.latches), Arc::clone(&self.epochs));
        let waking = Arc::new(Waking { woken: AtomicU64::new(0), manners, latches, epochs });
        let waker = Waker::from(Arc::clone(&waking));
        let waiter = &mut self.waiters[which];
        let polled = waiter.future.as_mut().poll(&mut Context::from_waker(&waker));
        let expected = match waiter.what {
            What::Latch(of) => (waiter.let_through || self.open[index(of, 2)]).then_some(0),
            What::Epoch(of, _) => Some(self.counts[index(of, 2)]).filter(|count| *count > waiter.seen),
            What::Interrupt(_) => {
                let cause = self.nodes[waiter.seen as usize].cause;
                cause.and_then(|cause| CAUSES.iter().position(|other| *other == cause)).map(|number| number as u64)
            }
        };
        match (polled, expected) {
            (Poll::Ready(said), Some(expected)) => {
                prop_assert_eq!(said, expected, "what {:?} says", waiter.what);
                let waiter = self.waiters.swap_remove(which);
                self.seen.count(if waiter.let_through { "through after waiting" } else { "through at once" });
            }
            (Poll::Pending, None) => {
                self.seen.count(if waiter.waiting.is_some() { "polled again" } else { "waits" });
                waiter.waiting = Some(waking);
            }
            (polled, expected) => {
                let what = waiter.what;
                return Err(TestCaseError::fail(format!("a wait for {what:?}: {polled:?}, expected {expected:?}")));
            }
        }
        Ok(())
    }

    /// The thing itself, then the interrupt, then the deadline.
    fn look(&mut self, what: What, interrupt: Option<u8>) -> TestCaseResult {
        let interrupt = interrupt.map(|which| self.node(which));
        let otherwise = |interrupt: Option<usize>| {
            interrupt.and_then(|node| self.nodes[node].cause).map_or(Waited::TimedOut, Waited::Interrupted)
        };
        match what {
            What::Latch(which) => {
                let which = index(which, 2);
                let latch = &self.latches[which];
                let waited = match interrupt {
                    Some(node) => latch.opened().wait_or(self.handle(node), Instant::now()),
                    None => latch.opened().wait_timeout(Duration::ZERO),
                };
                prop_assert_eq!(waited, if self.open[which] { Waited::Ready(()) } else { otherwise(interrupt) });
            }
            What::Epoch(which, ahead) => {
                let which = index(which, 2);
                let (epoch, count) = (&self.epochs[which], self.counts[which]);
                let seen = (count + u64::from(ahead)).saturating_sub(1);
                let waited = match interrupt {
                    Some(node) => epoch.past(seen).wait_or(self.handle(node), Instant::now()),
                    None => epoch.past(seen).wait_deadline(Instant::now()),
                };
                let past = count > seen;
                prop_assert_eq!(waited, if past { Waited::Ready(count) } else { otherwise(interrupt).map_count() });
            }
            What::Interrupt(which) => {
                let node = self.node(which);
                let cause = self.nodes[node].cause;
                prop_assert_eq!(self.handle(node).triggered().wait_timeout(Duration::ZERO).ready(), cause);
                let slept = self.handle(node).sleep(Duration::ZERO);
                prop_assert_eq!(slept, cause.map_or(Ok(()), |cause| Err(Interrupted { cause })));
            }
        }
        Ok(())
    }

    fn compare(&self) -> TestCaseResult {
        for (which, open) in self.open.iter().enumerate() {
            prop_assert_eq!(self.latches[which].is_open(), *open, "latch {}", which);
        }
        for (which, count) in self.counts.iter().enumerate() {
            prop_assert_eq!(self.epochs[which].current(), *count, "epoch {}", which);
        }
        for (number, node) in self.nodes.iter().enumerate() {
            let Some(handle) = &node.handle else { continue };
            prop_assert_eq!(handle.cause(), node.cause, "interrupt {}, whose parent is {:?}", number, node.parent);
            prop_assert_eq!(handle.is_set(), node.cause.is_some());
            prop_assert_eq!(handle.check().err().map(|interrupted| interrupted.cause), node.cause);
        }
        Ok(())
    }
}

impl Waiter {
    /// Whether it waits at this latch and has not been let through.
    fn at_latch(&self, which: usize) -> bool {
        matches!(self.what, What::Latch(of) if index(of, 2) == which) && self.waiting.is_some()
    }
}

/// An outcome that holds nothing is one of any kind.
trait MapCount {
    fn map_count(self) -> Waited<u64>;
}

impl MapCount for Waited {
    fn map_count(self) -> Waited<u64> {
        match self {
            Self::Ready(()) => unreachable!("nothing came"),
            Self::TimedOut => Waited::TimedOut,
            Self::Interrupted(cause) => Waited::Interrupted(cause),
        }
    }
}

#[rustfmt::skip]
const REACHES: &[(&str, u64)] = &[
    ("waits", 2),
    ("polled again", 2),
    ("woken", 5),
    ("through after waiting", 10),
    ("through at once", 4),
    ("release", 20),
    ("a waker's panic", 40),
    ("a waiting future dropped", 10),
    ("a future dropped that was let through", 60),
    ("a child born set", 10),
    ("descendants set", 80),
    ("a child set whose parent is gone", 100),
];

pub fn fuzzer(name: &'static str) -> Fuzzer<impl Strategy<Value = Vec<Step>>> {
    Fuzzer { name, cases: cases(), per_second: 100, reaches: REACHES, attempts: 1 }
}
