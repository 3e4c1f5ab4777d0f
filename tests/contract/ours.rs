//! What the crate has keeps its contracts.

use latchwork::contract::{Broken, Contract};
use latchwork::log::MemoryLog;
use latchwork::upstream::Memory;

fn contract() -> Contract<MemoryLog<u64>> {
    Contract::new(MemoryLog::new, |number| number)
}

fn on_tokio(laws: impl Future<Output = Result<(), Broken>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(laws).unwrap();
}

#[test]
fn memory_keeps_the_contract_of_an_upstream() {
    let make = || {
        let memory = Memory::new(0);
        move || memory.clone()
    };
    contract().upstream(make).unwrap();
    contract()
        .one_shot_pull()
        .upstream(|| {
            let memory = Memory::new(0).one_shot().with_page_size(7);
            move || memory.clone()
        })
        .unwrap();
}

#[test]
fn memory_keeps_the_contract_of_an_upstream_for_tasks() {
    let make = async || {
        let memory = Memory::new(0);
        async move || memory.clone()
    };
    on_tokio(contract().async_upstream(tokio::time::sleep, make));
}
