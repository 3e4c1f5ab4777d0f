//! From commit to confirmed.

use std::hint::black_box;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use latchwork::log::MemoryLog;
use latchwork::sync_state::SyncState;

use crate::Bench;
use crate::cpus::{Cpus, Placement};
use crate::engines::{AtOnce, BATCH, ByHand, Counts, Each, Edit, Engine, Ours, edit};
use crate::report::Limit;
use crate::turns::{Contender, Results, Spread, best_of_three, each, take_turns};

/// What one turn does.
#[derive(Clone, Copy)]
struct Load {
    cpus: Cpus,
    placement: Placement,
    /// How many events are committed while it is measured, and confirmed.
    events: usize,
    /// How many a commit holds.
    commit: usize,
    /// How many are pending whenever it is not measured. With any, as many are confirmed as are committed meanwhile, and not
    /// before all of those are committed.
    pending: Option<usize>,
}

fn commits(ids: Range<u64>, each: usize) -> impl Iterator<Item = Vec<Edit>> {
    let Range { start, end } = ids;
    (start..end).step_by(each).map(move |first| (first..end.min(first + each as u64)).map(edit).collect())
}

/// Nanoseconds for each event, from the first commit until as many have been confirmed as were committed meanwhile; the
/// least of three times. Before, so much has gone through that queues have grown, and that all their room was used: they
/// double it when they grow.
fn confirm<E: Engine>(load: Load) -> f64 {
    let upstream = if load.pending.is_some() { AtOnce::if_allowed() } else { AtOnce::default() };
    let engine = load.cpus.there(load.placement, || E::start(upstream.clone()));
    let pending = load.pending.unwrap_or(0);
    let mut tickets: Vec<_> = commits(0..pending as u64, load.commit).map(|events| engine.commit(events)).collect();
    let first = 3 + pending.div_ceil(load.events);
    let times = (1..=first + 3).map(|time| {
        let (begin, end) = (pending + (time - 1) * load.events, pending + time * load.events);
        let meanwhile: Vec<_> = commits(begin as u64..end as u64, load.commit).collect();
        tickets.reserve(meanwhile.len());
        let begin = Instant::now();
        tickets.extend(meanwhile.into_iter().map(|events| engine.commit(events)));
        upstream.allow(load.events);
        engine.confirmed(&tickets[time * load.events / load.commit - 1]);
        let took = begin.elapsed();
        took.as_nanos() as f64 / load.events as f64
    });
    let least = times.skip(first).fold(f64::INFINITY, f64::min);
    // A thread that brings something now need not wait.
    upstream.allow(usize::MAX);
    least
}

fn contender<E: Engine>(name: &'static str, load: Load) -> Contender<'static> {
    Contender::new(name, move || confirm::<E>(load))
}

/// Events per second instead of nanoseconds per event.
fn throughput(results: &Results, name: &str) -> Spread {
    let Spread { least, lower, median, upper } = results.spread(name);
    let [least, lower, median, upper] = [upper, upper, median, lower.min(least)].map(|ns| 1e3 / ns);
    Spread { least, lower, median, upper }
}

type OnSyncState = Ours<SyncState<Edit>>;
type OnMemoryLog = Ours<MemoryLog<Edit>>;

pub fn commit_to_confirmed(bench: &mut Bench) {
    for placement in bench.cpus.placements() {
        for (commit, of) in [(BATCH, "commits of 50"), (1, "commits of one")] {
            let load = Load { cpus: bench.cpus, placement, events: bench.count(20_000), commit, pending: None };
            let contenders = vec![
                contender::<OnSyncState>("SyncState", load),
                contender::<OnMemoryLog>("MemoryLog", load),
                contender::<ByHand<Each>>("by hand", load),
                contender::<ByHand<Counts>>("by hand, without tickets", load),
            ];
            let results = take_turns(bench.rounds(20), contenders);
            let what = format!("commit → confirmed, {of}, {}", placement.text());
            for ours in ["SyncState", "MemoryLog"] {
                let what = format!("{what}: {ours}");
                let share = results.ratio("by hand", ours);
                let goal = "at least 0.8 × the hand-written loop".to_owned();
                bench.report.judge(&what, goal, Limit::AtLeast(0.8), "×", share);
                let goal = "at least 2 million events a second".to_owned();
                bench.report.judge(&what, goal, Limit::AtLeast(2.0), "M/s", throughput(&results, ours));
            }
            bench.report.note(&what, "ns an event", &results);
        }
    }
}

pub fn million_pending(bench: &mut Bench) {
    for placement in bench.cpus.placements() {
        let events = bench.count(20_000);
        let load = Load { cpus: bench.cpus, placement, events, commit: BATCH, pending: Some(BATCH) };
        let loaded = Load { pending: Some(bench.count(1_000_000)), ..load };
        let contenders = vec![
            contender::<OnSyncState>("SyncState", load),
            contender::<OnSyncState>("SyncState, loaded", loaded),
            contender::<OnMemoryLog>("MemoryLog", load),
            contender::<OnMemoryLog>("MemoryLog, loaded", loaded),
            contender::<ByHand<Each>>("by hand", load),
            contender::<ByHand<Each>>("by hand, loaded", loaded),
        ];
        let results = take_turns(bench.rounds(10), contenders);
        let what = format!("the same with 1,000,000 pending, {}", placement.text());
        for (ours, loaded) in [("SyncState", "SyncState, loaded"), ("MemoryLog", "MemoryLog, loaded")] {
            let goal = "within 10 % of that without".to_owned();
            let measured = results.ratio(loaded, ours);
            bench.report.judge(&format!("{what}: {ours}"), goal, Limit::AtMost(1.1), "×", measured);
        }
        bench.report.note(&what, "ns an event", &results);
    }
}

pub fn status(bench: &mut Bench) {
    let count = bench.count(10_000);
    let replicator = OnSyncState::start(AtOnce::default());
    let ticket = replicator.commit(vec![edit(0)]);
    replicator.confirmed(&ticket);
    let ask = || each(count, || _ = black_box(black_box(&replicator.0).status()));
    let results = take_turns(bench.rounds(50), vec![Contender::new("status()", ask)]);
    let what = "status()";
    bench.report.judge(what, "under 200 ns".to_owned(), Limit::AtMost(200.0), "ns", results.spread("status()"));
    bench.report.note(what, "ns", &results);
    drop(replicator);
    for placement in bench.cpus.placements() {
        let load = Load { cpus: bench.cpus, placement, events: bench.count(50_000), commit: BATCH, pending: None };
        let contenders = vec![
            Contender::new("not asked", || best_of_three(|| asked(load, None))),
            Contender::new("asked", || best_of_three(|| asked(load, Some(true)))),
            Contender::new("not asked, a thread sleeps as often", || best_of_three(|| asked(load, Some(false)))),
        ];
        let results = take_turns(bench.rounds(20), contenders);
        let what = format!("status() while events are confirmed, {}", placement.text());
        let ratio = results.ratio("asked", "not asked, a thread sleeps as often");
        let goal = "does not disturb the workers (within 5 %)".to_owned();
        bench.report.judge(&what, goal, Limit::AtMost(1.05), "×", ratio);
        bench.report.note(&what, "ns an event", &results);
    }
}

/// As `confirm`, with a thread that asks for the status again and again, or only sleeps as often.
fn asked(load: Load, ask: Option<bool>) -> f64 {
    let engine = load.cpus.there(load.placement, || OnSyncState::start(AtOnce::default()));
    let commits: Vec<_> = commits(0..load.events as u64, load.commit).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        if let Some(ask) = ask {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    if ask {
                        black_box(engine.0.status());
                    }
                    thread::sleep(Duration::from_micros(50));
                }
            });
        }
        let begin = Instant::now();
        let last = commits.into_iter().fold(None, |_, events| Some(engine.commit(events)));
        engine.confirmed(&last.expect("there are commits"));
        let took = begin.elapsed();
        done.store(true, Ordering::Relaxed);
        took.as_nanos() as f64 / load.events as f64
    })
}
