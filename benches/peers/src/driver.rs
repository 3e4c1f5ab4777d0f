//! The replicator for tasks against a loop that is written by hand on tokio, on a runtime of one thread and on one of two.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use latchwork::Replicator;
use latchwork::log::MemoryLog;
use tokio::runtime::{self, Runtime};

use crate::Bench;
use crate::cpus::{Cpus, Placement, Side};
use crate::engines::{BATCH, edit};
use crate::loops::{ByHand, Engine, Ours, Shared};
use crate::report::Limit;
use crate::turns::{Contender, Spread, take_turns};

/// A runtime of one thread, or of two, each on its own processor; and what it is called.
fn runtimes(cpus: Cpus) -> impl Iterator<Item = (Runtime, &'static str)> {
    cpus.placements().map(move |placement| {
        cpus.pin(Side::Here, placement);
        let (mut builder, what) = match placement {
            Placement::OneCpu => (runtime::Builder::new_current_thread(), "a runtime of one thread"),
            Placement::TwoCpus => (runtime::Builder::new_multi_thread(), "a runtime of two threads"),
        };
        let started = AtomicUsize::new(0);
        let pin = move || {
            let side = if started.fetch_add(1, Ordering::Relaxed) == 0 { Side::Here } else { Side::There };
            cpus.pin(side, placement);
        };
        (builder.worker_threads(2).on_thread_start(pin).enable_time().build().expect("there are threads"), what)
    })
}

/// Runs a task on the runtime, as all others are run.
fn run<F: Future<Output: Send> + Send + 'static>(runtime: &Runtime, task: F) -> F::Output {
    runtime.block_on(async { tokio::spawn(task).await.expect("no task panics") })
}

/// What one turn does.
#[derive(Clone, Copy)]
struct Load {
    events: usize,
    /// How many a commit holds.
    commit: usize,
    /// Whether each is awaited before the next.
    one_by_one: bool,
}

/// Nanoseconds for each event, from the first commit until the last is confirmed; the least of six times, after three. (Each is so
/// short that other processes mostly leave the processor alone meanwhile.)
async fn confirm<E: Engine>(load: Load) -> f64 {
    let engine = E::start(Shared::default());
    let mut least = f64::INFINITY;
    for time in 0..9 {
        let ids = (0..load.events as u64).step_by(load.commit);
        let commits: Vec<_> = ids.map(|first| (first..first + load.commit as u64).map(edit).collect()).collect();
        let mut tickets = Vec::with_capacity(commits.len());
        let begin = Instant::now();
        for events in commits {
            let ticket = engine.commit(events);
            if load.one_by_one {
                ticket.await;
            } else {
                tickets.push(ticket);
            }
        }
        if let Some(last) = tickets.pop() {
            last.await;
        }
        let took = begin.elapsed();
        if time >= 3 {
            least = least.min(took.as_nanos() as f64 / load.events as f64);
        }
    }
    least
}

pub fn commit_to_confirmed(bench: &mut Bench) {
    for (runtime, on) in runtimes(bench.cpus) {
        for (commit, one_by_one, usual, of) in [
            (BATCH, false, 20_000, "commits of 50"),
            (1, false, 5_000, "commits of one"),
            (1, true, 1_000, "commits of one, each awaited before the next"),
        ] {
            let load = Load { events: bench.count(usual), commit, one_by_one };
            let contenders = vec![
                Contender::new("the driver", || run(&runtime, confirm::<Ours>(load))),
                Contender::new("by hand", || run(&runtime, confirm::<ByHand<false>>(load))),
            ];
            let results = take_turns(bench.rounds(20), contenders);
            let what = format!("tasks: commit → confirmed, {of}, {on}");
            let share = results.ratio("by hand", "the driver");
            bench.report.judge(&what, "at least 0.8 × the hand-written loop".into(), Limit::AtLeast(0.8), "×", share);
            bench.report.note(&what, "ns an event", &results);
        }
    }
}

/// Nanoseconds from a page to the push that it lets go, on average.
async fn advances<E: Engine>(count: usize) -> f64 {
    let (upstream, script) = Shared::scripted();
    let engine = E::start(upstream);
    let mut all = 0.0;
    for event in 0..count as u64 {
        all += script.once(&engine, event).await;
    }
    all / count as f64
}

pub fn advance(bench: &mut Bench) {
    for (runtime, on) in runtimes(bench.cpus) {
        let count = bench.count(30);
        let contenders = vec![
            Contender::new("the driver", || run(&runtime, advances::<Ours>(count))),
            Contender::new("by hand", || run(&runtime, advances::<ByHand<false>>(count))),
            Contender::new("by hand, and merges", || run(&runtime, advances::<ByHand<true>>(count))),
        ];
        let results = take_turns(bench.rounds(20), contenders);
        let what = format!("tasks: advance → first byte of the next push, {on}");
        bench.report.judge_ratio(&what, &results, "the driver", "by hand", 1.2);
        bench.report.note(&what, "ns", &results);
    }
}

/// Counts how often it is polled.
struct Counted<F> {
    polls: Arc<AtomicUsize>,
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        self.inner.as_mut().poll(context)
    }
}

/// How often the driver is polled in half a second without anything to do.
async fn idle() -> usize {
    let (replicator, driver) = Replicator::builder(MemoryLog::new(), Shared::default()).build_async(tokio::time::sleep);
    let polls = Arc::new(AtomicUsize::new(0));
    tokio::spawn(Counted { polls: Arc::clone(&polls), inner: Box::pin(driver) });
    replicator.commit(vec![edit(0)]).expect("it is open").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let before = polls.load(Ordering::Relaxed);
    assert!(before > 0, "it has pushed");
    tokio::time::sleep(Duration::from_millis(500)).await;
    polls.load(Ordering::Relaxed) - before
}

pub fn polls(bench: &mut Bench) {
    for (runtime, on) in runtimes(bench.cpus) {
        let polls = run(&runtime, idle());
        let what = format!("tasks: polls of an idle driver in half a second, {on}");
        bench.report.judge(&what, "none".into(), Limit::AtMost(0.0), "polls", Spread::exactly(polls as f64));
    }
}
