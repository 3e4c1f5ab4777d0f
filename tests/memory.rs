//! What is kept, measured: the memory of this process, which runs nothing else.
#![cfg(all(not(loom), target_os = "linux"))]

use latchwork::Replicator;
use latchwork::log::MemoryLog;
use latchwork::protocol::Direction;
use latchwork::upstream::Memory;

/// The memory that this process has in use, in KiB.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}

#[test]
fn subscriptions_that_are_dropped_offline_leave_nothing_behind() {
    let replicator = Replicator::builder(MemoryLog::<u64>::new(), Memory::new(0)).spawn().unwrap();
    replicator.pause(Direction::Pull);
    let subscribe = || (0..200_000).for_each(|_| drop(replicator.updates()));
    // What the allocator keeps for itself.
    subscribe();
    let before = resident();
    subscribe();
    let grown = resident().saturating_sub(before);
    assert!(grown < 1024, "{grown} KiB for 200,000 subscriptions that are gone");
}
