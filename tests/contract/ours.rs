//! What the crate has keeps its contracts.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use latchwork::Replicator;
use latchwork::contract::{Broken, Contract};
use latchwork::journal::{self, Recovered};
use latchwork::log::{Log, MemoryEntry, MemoryLog};
use latchwork::sync_state::{Entry, Event, LocalOnly, Position, SeqNum, SyncState};
use latchwork::upstream::{Faults, Faulty, ForTasks, ForThreads, Memory};
use tokio::task::JoinHandle;

fn contract() -> Contract<MemoryLog<u64>> {
    Contract::new(MemoryLog::rebasing, |number| number)
}

fn on_tokio(laws: impl Future<Output = Result<(), Broken>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(laws).unwrap();
}

#[test]
fn memory_keeps_the_contract_of_an_upstream() {
    let laws = contract().upstream(|| {
        let memory = Memory::new(0);
        move || memory.clone()
    });
    laws.unwrap();
    let laws = contract().one_shot_pull().upstream(|| {
        let memory = Memory::new(0).one_shot().with_page_size(7);
        move || memory.clone()
    });
    laws.unwrap();
}

#[test]
fn memory_keeps_the_contract_of_an_upstream_for_tasks() {
    let make = async || {
        let memory = Memory::new(0);
        async move || memory.clone()
    };
    on_tokio(contract().async_upstream(tokio::time::sleep, make));
}

#[test]
fn faulty_without_faults_keeps_the_contract_of_an_upstream() {
    let laws = contract().upstream(|| {
        let faulty = Faulty::new(Memory::new(0), Faults::new());
        move || faulty.clone()
    });
    laws.unwrap();
    let make = async || {
        let faulty = Faulty::new(Memory::new(0), Faults::new());
        async move || faulty.clone()
    };
    on_tokio(contract().async_upstream(tokio::time::sleep, make));
}

#[test]
fn for_threads_keeps_the_contract_of_an_upstream() {
    let laws = contract().upstream(|| {
        let memory = Memory::new(0);
        move || ForThreads::new(memory.clone(), |call| pollster::block_on(call))
    });
    laws.unwrap();
}

#[test]
fn for_tasks_keeps_the_contract_of_an_upstream_for_tasks() {
    let make = async || {
        let memory = Memory::new(0);
        async move || ForTasks::new(memory.clone(), |job| drop(tokio::task::spawn_blocking(job)))
    };
    on_tokio(contract().async_upstream(tokio::time::sleep, make));
}

#[test]
fn memory_log_keeps_the_contract_of_a_log() {
    contract().log().unwrap();
    Contract::new(MemoryLog::new, |number| number).log().unwrap();
}

/// Those from 1,000 on are local-only.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbered(pub u64);

impl Event for Numbered {
    fn is_local_only(&self) -> bool {
        self.0 >= 1000
    }
    fn is_same_as(&self, other: &Self) -> bool {
        self == other
    }
}

#[test]
fn sync_state_keeps_the_contract_of_a_log() {
    Contract::new(SyncState::default, Numbered).log().unwrap();
    let local_only = || SyncState::default().with_local_only(LocalOnly::Kept);
    Contract::new(local_only, Numbered).log().unwrap();
}

fn recover(held: Recovered<MemoryEntry<u64>, u64>) -> MemoryLog<u64> {
    MemoryLog::rebasing().with_pending(held.cursor, held.pending.into_iter().map(|entry| entry.event))
}

#[test]
fn memory_keeps_the_contract_of_a_journal() {
    let laws = contract().journal(recover, || {
        let memory = journal::Memory::new(Recovered::new(0));
        move || (memory.clone(), memory.recovered())
    });
    laws.unwrap();
    let laws = contract().journal(recover, || {
        let memory = journal::Memory::new(Recovered::new(0));
        move || {
            memory.fail_before();
            memory.fail_after();
            (memory.clone(), memory.recovered())
        }
    });
    laws.unwrap();
}

#[test]
fn memory_keeps_the_contract_of_a_journal_that_holds_local_only_events() {
    let recover = |held: Recovered<Entry<Numbered>, Position>| {
        let mut log = SyncState::new(SeqNum::new(held.cursor.global, held.cursor.client, 0));
        Log::append(&mut log, held.pending.into_iter().map(|entry| entry.event).collect()).unwrap();
        log
    };
    let contract = Contract::new(SyncState::default, Numbered).with_local_only(Numbered);
    let laws = contract.journal(recover, || {
        let nothing = Recovered::new(SeqNum::ROOT.position());
        let memory = journal::Memory::<SyncState<_>>::new(nothing);
        let memory = memory.with_sent(|entry: &Entry<Numbered>| !Event::is_local_only(&entry.event));
        move || (memory.clone(), memory.recovered())
    });
    laws.unwrap();
}

#[test]
fn memory_keeps_the_contract_of_a_journal_for_tasks() {
    let make = async || {
        let memory = journal::Memory::new(Recovered::new(0));
        async move || (memory.clone(), memory.recovered())
    };
    on_tokio(contract().async_journal(tokio::time::sleep, recover, make));
    let make = async || {
        let memory = journal::Memory::new(Recovered::new(0));
        async move || {
            memory.fail_before();
            memory.fail_after();
            (memory.clone(), memory.recovered())
        }
    };
    on_tokio(contract().async_journal(tokio::time::sleep, recover, make));
}

#[test]
fn for_threads_keeps_the_contract_of_a_journal() {
    let laws = contract().journal(recover, || {
        let memory = journal::Memory::new(Recovered::new(0));
        move || (journal::ForThreads::new(memory.clone(), |write| pollster::block_on(write)), memory.recovered())
    });
    laws.unwrap();
}

#[test]
fn for_tasks_keeps_the_contract_of_a_journal_for_tasks() {
    let make = async || {
        let memory = journal::Memory::new(Recovered::new(0));
        let jobs = Arc::new(Mutex::new(Vec::<JoinHandle<()>>::new()));
        async move || {
            // A write that was given up goes on if it has begun.
            let begun = std::mem::take(&mut *jobs.lock().unwrap());
            for job in begun {
                job.await.unwrap();
            }
            let begun = Arc::clone(&jobs);
            let run = move |job| begun.lock().unwrap().push(tokio::task::spawn_blocking(job));
            (journal::ForTasks::new(memory.clone(), run), memory.recovered())
        }
    };
    on_tokio(contract().async_journal(tokio::time::sleep, recover, make));
}

/// What a leader keeps for its sessions.
const KEPT: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

#[test]
fn a_leader_keeps_the_contract_of_an_upstream() {
    let laws = contract().upstream(|| {
        let builder = Replicator::builder(MemoryLog::rebasing(), Memory::new(0)).push_batch(KEPT);
        let leader = builder.spawn().unwrap();
        leader.caught_up().wait().unwrap();
        move || leader.as_upstream(KEPT)
    });
    laws.unwrap();
}

#[test]
fn a_leader_keeps_the_contract_of_an_upstream_for_tasks() {
    let make = async || {
        let builder = Replicator::builder(MemoryLog::rebasing(), Memory::new(0)).push_batch(KEPT);
        let (leader, driver) = builder.build_async(tokio::time::sleep);
        tokio::spawn(driver);
        leader.caught_up().await.unwrap();
        async move || leader.as_upstream(KEPT)
    };
    // The driver goes on while a law looks without a pause.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    runtime.block_on(contract().async_upstream(tokio::time::sleep, make)).unwrap();
}
