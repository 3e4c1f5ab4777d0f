//! What the types promise at compile time.
#![cfg(not(loom))]

use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};

use latchwork::worker::{Builder, Ended, Exit, Handle, Joined, Phase, SpawnError, Status, Stopped};
use latchwork::{
    Backoff, Cause, Epoch, Interrupt, Interrupted, Latch, Opened, Passed, RestartPolicy, Run, Set, Waited, Worker,
};

static LATCH: Latch = Latch::new();
static OPEN: Latch = Latch::new_open();
static EPOCH: Epoch = Epoch::new();
const BACKOFF: Backoff = Backoff::new(std::time::Duration::ZERO, std::time::Duration::MAX);
const POLICY: RestartPolicy = RestartPolicy::on_failure(BACKOFF).with_intensity(3, std::time::Duration::MAX);

const fn shared<T: Send + Sync + 'static>() {}
const fn survives_a_panic<T: UnwindSafe + RefUnwindSafe>() {}
const fn awaitable<F: Future + Unpin + Send + Sync>() {}
fn awaitable_anywhere<F: Future + Send>(_: &F) {}

const _: () = {
    shared::<Latch>();
    shared::<Epoch>();
    shared::<Interrupt>();
    shared::<Worker>();
    shared::<Handle>();
    shared::<Builder>();
    shared::<Run>();
    shared::<Status>();
    shared::<Phase>();
    shared::<Exit>();
    shared::<Ended>();
    shared::<Joined>();
    shared::<SpawnError>();
    shared::<Stopped>();
    shared::<Interrupted>();
    shared::<Cause>();
    shared::<Waited<u64>>();
    shared::<RestartPolicy>();
    survives_a_panic::<Latch>();
    survives_a_panic::<Epoch>();
    survives_a_panic::<Interrupt>();
    survives_a_panic::<Worker>();
    survives_a_panic::<Handle>();
    awaitable::<Opened<'static>>();
    awaitable::<Passed<'static>>();
    awaitable::<Set<'static>>();
};

/// Exact, so that whoever changes one sees it.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<Latch>() == 16);
    assert!(size_of::<Epoch>() == 24);
    assert!(size_of::<Interrupt>() == 8);
    assert!(size_of::<Worker>() == 16);
};

#[test]
fn what_waits_for_a_worker_can_be_sent_to_any_executor() {
    let worker = Worker::spawn("sent", |_: &Run| Ok::<(), Interrupted>(())).unwrap();
    awaitable_anywhere(&worker.wait_idle_async());
    awaitable_anywhere(&worker.wait_stopped_async());
}

#[test]
fn statics_and_defaults_are_as_they_say() {
    assert!(!LATCH.is_open() && OPEN.is_open() && !Latch::default().is_open());
    assert_eq!((EPOCH.current(), Epoch::default().current()), (0, 0));
    assert!(!Interrupt::default().is_set());
    assert_ne!(POLICY, RestartPolicy::default());
}

#[test]
fn debug_says_little_and_takes_no_lock() {
    assert_eq!(format!("{OPEN:?}"), "Latch { open: true, .. }");
    assert_eq!(format!("{EPOCH:?}"), "Epoch(0)");
    assert_eq!(format!("{:?}", Interrupt::new()), "Interrupt { set: false, .. }");
    let worker = Worker::spawn("shown", |_: &Run| Ok::<(), Interrupted>(())).unwrap();
    assert_eq!(format!("{worker:?}"), "Worker { name: \"shown\", .. }");
}
