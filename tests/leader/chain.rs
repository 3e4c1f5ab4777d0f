//! Three in a row: sessions, their leader, and its upstream, with faults on both ways and another client at the upstream.

use std::num::NonZeroUsize;
use std::time::Duration;

use latchwork::log::MemoryLog;
use latchwork::replicator::Builder;
use latchwork::upstream::{Fault, Faults, Faulty, Memory};
use latchwork::{Backoff, Replicator};

type Log = MemoryLog<u32>;

const MS: Duration = Duration::from_millis(1);
const MOMENT: Duration = Duration::from_secs(60);
const KEPT: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
const SESSIONS: u32 = 3;
const COMMITS: u32 = 20;

/// What can go wrong and needs no owner.
const FAULTS: [Fault; 9] = [
    Fault::Reject,
    Fault::DisconnectBefore,
    Fault::DisconnectAfter,
    Fault::LoseEcho,
    Fault::Delay(MS),
    Fault::Busy(MS),
    Fault::DuplicatePage,
    Fault::EndStream,
    Fault::Hang,
];

/// The next faults on a way, as chance has them.
fn inject(faults: &Faults<u64>, random: &mut u64) {
    let mut next = || {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        FAULTS[(*random >> 33) as usize % FAULTS.len()]
    };
    faults.fail_push(next());
    faults.fail_pull(next());
}

fn settings<U>(builder: Builder<Log, U>) -> Builder<Log, U> {
    let builder =
        builder.backoff(Backoff::new(MS, 4 * MS)).catch_up_grace(MS).push_batch(NonZeroUsize::new(7).unwrap());
    builder.push_deadline(50 * MS).pull_silence(50 * MS)
}

fn log(seed: u64) -> Log {
    if seed % 2 == 0 { Log::new() } else { Log::rebasing() }
}

/// Each of them commits, as faults come. Each commit is at the server once.
fn commits(replicators: &[Replicator<Log>], faults: &[Faults<u64>; 2], seed: u64) -> Vec<u32> {
    let mut random = seed;
    let mut all = Vec::new();
    for commit in 0..COMMITS {
        for (who, replicator) in (0..).zip(replicators) {
            let events = [0, 1].map(|event| who * 1000 + commit * 2 + event);
            all.extend(events);
            drop(replicator.commit(events.to_vec()).unwrap());
        }
        faults.iter().for_each(|faults| inject(faults, &mut random));
        std::thread::sleep(MS);
    }
    all
}

fn is_all_at(server: &Memory<Log>, replicators: &[Replicator<Log>], mut all: Vec<u32>, seed: u64) {
    let mut there: Vec<_> = server.entries().iter().map(|entry| entry.event).collect();
    there.sort_unstable();
    all.sort_unstable();
    assert!(there == all, "seed {seed}: of {} events {} are at the server", all.len(), there.len());
    let head = all.len() as u64;
    for replicator in replicators {
        let has_all = replicator.status_when(|status| status.upstream_head == head).wait_timeout(MOMENT);
        assert!(has_all.is_ready(), "seed {seed}: {}", replicator.status());
    }
}

#[test]
fn a_chain_of_three_under_faults_drains_with_threads() {
    for seed in 0..20 {
        let (server, faults) = (Memory::new(0), [Faults::new(), Faults::new()]);
        let upstream = Faulty::new(server.clone(), faults[0].clone());
        let leader = settings(Replicator::builder(log(seed), upstream)).spawn().unwrap();
        let served = Faulty::new(leader.as_upstream(KEPT), faults[1].clone());
        let mut replicators = vec![leader, settings(Replicator::builder(log(seed), server.clone())).spawn().unwrap()];
        replicators.extend(
            (0..SESSIONS).map(|_| settings(Replicator::builder(log(seed / 2), served.clone())).spawn().unwrap()),
        );
        let all = commits(&replicators, &faults, seed);
        for replicator in &replicators {
            replicator.flush(MOMENT).unwrap_or_else(|error| panic!("seed {seed}: {error}: {:#?}", replicator.status()));
        }
        is_all_at(&server, &replicators, all, seed);
        // Sessions first: to them the end of their leader is a failure.
        replicators.reverse();
    }
}

#[test]
fn a_chain_of_three_under_faults_drains_with_tasks() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    for seed in 0..20 {
        let (server, faults) = (Memory::new(0), [Faults::new(), Faults::new()]);
        let upstream = Faulty::new(server.clone(), faults[0].clone());
        let (leader, driver) = settings(Replicator::builder(log(seed), upstream)).build_async(tokio::time::sleep);
        runtime.spawn(driver);
        let served = Faulty::new(leader.as_upstream(KEPT), faults[1].clone());
        let foreign = Replicator::builder(log(seed), server.clone());
        let (foreign, driver) = settings(foreign).build_async(tokio::time::sleep);
        runtime.spawn(driver);
        let mut replicators = vec![leader, foreign];
        for _ in 0..SESSIONS {
            let session = Replicator::builder(log(seed / 2), served.clone());
            let (session, driver) = settings(session).build_async(tokio::time::sleep);
            runtime.spawn(driver);
            replicators.push(session);
        }
        let all = commits(&replicators, &faults, seed);
        for replicator in &replicators {
            replicator.flush(MOMENT).unwrap_or_else(|error| panic!("seed {seed}: {error}: {:#?}", replicator.status()));
        }
        is_all_at(&server, &replicators, all, seed);
    }
}

/// A leader with threads may have sessions with tasks, and the other way around.
#[test]
fn a_leader_and_its_sessions_may_be_driven_in_different_ways() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let server = Memory::new(0);
    let leader = settings(Replicator::builder(Log::new(), server.clone())).spawn().unwrap();
    let session = settings(Replicator::builder(Log::new(), leader.as_upstream(KEPT)));
    let (session, driver) = session.build_async(tokio::time::sleep);
    runtime.spawn(driver);
    let below = settings(Replicator::builder(Log::new(), session.as_upstream(KEPT))).spawn().unwrap();
    let replicators = [leader, session, below];
    let all = commits(&replicators, &[Faults::new(), Faults::new()], 0);
    replicators.iter().for_each(|replicator| replicator.flush(MOMENT).unwrap());
    is_all_at(&server, &replicators, all, 0);
}
