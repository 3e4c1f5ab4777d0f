//! What the crate has keeps its contracts.

use latchwork::contract::{Broken, Contract};
use latchwork::log::MemoryLog;
use latchwork::upstream::{Faults, Faulty, ForTasks, ForThreads, Memory};

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
