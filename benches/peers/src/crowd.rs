//! Very many replicators in one process: what each takes that is idle, and how long it takes to use and to drop them all.
//!
//! Each turn is a process of its own, which runs nothing else: what others have freed would not be seen to be taken. Times are
//! the processor's, of all its threads: they take seconds, in which other processes have their turns, too.

use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;
use cpu_time::ProcessTime;
use latchwork::log::MemoryLog;
use latchwork::upstream::Memory;
use latchwork::{Replicator, Settled, Ticket};
use serde::{Deserialize, Serialize};
use tokio::runtime;

use crate::Bench;
use crate::engines::{Edit, edit};
use crate::loops::Shared;
use crate::report::{Figures, Limit, load};
use crate::turns::Spread;

/// What drives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Crowd {
    Tasks,
    Threads,
}

/// What a turn measured, of each replicator.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Measured {
    /// Resident.
    bytes: f64,
    /// Nanoseconds of a processor: to start it, for one commit of one until it is confirmed, and to drop it.
    start: f64,
    commit: f64,
    drop: f64,
}

impl Measured {
    fn of(count: usize, bytes: f64, times: [Duration; 3]) -> Self {
        let [start, commit, drop] = times.map(|time| time.as_nanos() as f64 / count as f64);
        Self { bytes: bytes / count as f64, start, commit, drop }
    }
}

/// The memory that this process has in use, in bytes; zero where the system does not tell.
fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or_default() * 4096.0
}

/// Takes one turn, in this process, and prints what it measured.
pub fn turn(crowd: Crowd, count: usize) {
    let measured = match crowd {
        Crowd::Tasks => {
            let runtime = runtime::Builder::new_current_thread().enable_time().build();
            runtime.expect("the system lets it").block_on(tasks(count))
        }
        Crowd::Threads => threads(count),
    };
    println!("{}", serde_json::to_string(&measured).expect("they are numbers"));
}

type Log = MemoryLog<Edit>;

async fn tasks(count: usize) -> Measured {
    let (before, begin) = (resident(), ProcessTime::now());
    let start = |_| {
        let (replicator, driver) = Replicator::builder(Log::new(), Shared::default()).build_async(tokio::time::sleep);
        (replicator, tokio::spawn(driver))
    };
    let all: Vec<_> = (0..count).map(start).collect();
    all[count - 1].0.status_when(|status| status.counters.pulls > 0).await;
    let (start, bytes) = (begin.elapsed(), resident() - before);
    let begin = ProcessTime::now();
    let tickets: Vec<Ticket<u64>> = all.iter().map(|(replicator, _)| commit(replicator)).collect();
    for ticket in tickets {
        assert!(matches!(ticket.await, Settled::Confirmed(_)));
    }
    let commit = begin.elapsed();
    let begin = ProcessTime::now();
    let (replicators, drivers): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    drop(replicators);
    for driver in drivers {
        driver.await.expect("no driver panics");
    }
    Measured::of(count, bytes, [start, commit, begin.elapsed()])
}

fn threads(count: usize) -> Measured {
    let (before, begin) = (resident(), ProcessTime::now());
    let start = |_| Replicator::builder(Log::new(), Memory::new(0)).spawn().expect("there are threads");
    let all: Vec<_> = (0..count).map(start).collect();
    for replicator in &all {
        _ = replicator.status_when(|status| status.counters.pulls > 0).wait();
    }
    let (start, bytes) = (begin.elapsed(), resident() - before);
    let begin = ProcessTime::now();
    let tickets: Vec<Ticket<u64>> = all.iter().map(commit).collect();
    for ticket in tickets {
        assert!(matches!(ticket.wait(), Settled::Confirmed(_)));
    }
    let commit = begin.elapsed();
    let begin = ProcessTime::now();
    drop(all);
    Measured::of(count, bytes, [start, commit, begin.elapsed()])
}

fn commit(replicator: &Replicator<Log>) -> Ticket<u64> {
    replicator.commit(vec![edit(0)]).unwrap_or_else(|error| panic!("{error}"))
}

/// A turn in a process of its own.
fn apart(crowd: Crowd, count: usize) -> Measured {
    let name = crowd.to_possible_value().expect("none is hidden");
    let program = std::env::current_exe().expect("it runs");
    let run = Command::new(program).args(["--crowd", name.get_name(), "--count", &count.to_string()]).output();
    let run = run.expect("it can run again");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).expect("it prints what it measured")
}

pub fn crowds(bench: &mut Bench) {
    let (tasks, threads) = (bench.count(100_000), bench.count(2_000));
    let turns: Vec<_> =
        (0..bench.rounds(5)).map(|_| (apart(Crowd::Tasks, tasks), apart(Crowd::Threads, threads))).collect();
    let spread = |of: &dyn Fn(&(Measured, Measured)) -> f64| Spread::of(turns.iter().map(of).collect());
    let what = format!("memory for an idle replicator with its handle and its task, of {tasks}");
    let bytes = spread(&|(tasks, _)| tasks.bytes);
    bench.report.judge(&what, "at most 2,560 bytes".into(), Limit::AtMost(2560.0), "bytes", bytes);
    let names = [format!("{tasks} for tasks"), format!("{threads} for threads")];
    type Of = fn(&Measured) -> f64;
    let figures: [(&str, &str, Of); 4] = [
        ("memory for an idle replicator", "bytes", |measured| measured.bytes),
        ("processor time to start a replicator", "ns", |measured| measured.start),
        ("processor time for one commit, confirmed", "ns", |measured| measured.commit),
        ("processor time to drop a replicator", "ns", |measured| measured.drop),
    ];
    for (what, unit, of) in figures {
        let spreads = [spread(&|(tasks, _)| of(tasks)), spread(&|(_, threads)| of(threads))];
        let of = names.iter().cloned().zip(spreads).collect();
        bench.report.figures.push(Figures { what: format!("{what}, of"), unit, of, load: load() });
    }
}
