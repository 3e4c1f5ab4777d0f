//! What the types promise at compile time.
#![cfg(not(loom))]

use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};

use latchwork::worker::{Ended, Exit, Handle, Phase, Status};
use latchwork::{Backoff, Cause, Epoch, Interrupt, Interrupted, Latch, RestartPolicy, Run, Waited, Worker};

static LATCH: Latch = Latch::new();
static OPEN: Latch = Latch::new_open();
static EPOCH: Epoch = Epoch::new();
const BACKOFF: Backoff = Backoff::new(std::time::Duration::ZERO, std::time::Duration::MAX);
const POLICY: RestartPolicy = RestartPolicy::on_failure(BACKOFF).with_intensity(3, std::time::Duration::MAX);

const fn shared<T: Send + Sync + 'static>() {}
const fn survives_a_panic<T: UnwindSafe + RefUnwindSafe>() {}
fn awaitable<F: Future + Unpin + Send + Sync>(_: &F) {}
fn awaitable_anywhere<F: Future + Send>(_: &F) {}

const _: () = {
    shared::<Latch>();
    shared::<Epoch>();
    shared::<Interrupt>();
    shared::<Worker>();
    shared::<Handle>();
    shared::<Run>();
    shared::<Status>();
    shared::<Phase>();
    shared::<Exit>();
    shared::<Ended>();
    shared::<Interrupted>();
    shared::<Cause>();
    shared::<Waited<u64>>();
    shared::<RestartPolicy>();
    survives_a_panic::<Latch>();
    survives_a_panic::<Epoch>();
    survives_a_panic::<Interrupt>();
    survives_a_panic::<Worker>();
    survives_a_panic::<Handle>();
};

/// Exact, so that a change of one is seen.
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
    awaitable(&LATCH.opened());
    awaitable(&EPOCH.past(0));
    awaitable(&Interrupt::new().triggered());
    awaitable_anywhere(&worker.idle());
    awaitable_anywhere(&worker.stopped());
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

#[test]
fn batch_new_makes_one_whose_answer_changes_nothing() {
    use latchwork::log::{MemoryEntry, MemoryLog};
    use latchwork::protocol::{Next, Protocol, Settings};
    use latchwork::upstream::{Batch, Memory, PushError, Upstream};
    use std::time::Duration;

    let entry = |position| MemoryEntry { position, event: position };
    let upstream = Memory::<MemoryLog<u64>>::new(0);
    let push = |base, position| upstream.push(&Batch::new(base, vec![entry(position)]), &Interrupt::new());
    assert!(push(0, 1).is_ok());
    assert!(matches!(push(0, 1), Err(PushError::Behind { head: Some(1) })));

    let mut protocol = Protocol::new(MemoryLog::new(), Settings::default());
    protocol.commit(vec![1]).unwrap();
    let Next::Do(sent) = protocol.next_push(Duration::ZERO) else { panic!("there is something to send") };
    let (before, stranger) = (protocol.clone(), Batch::new(sent.base, sent.entries.clone()));
    assert!(protocol.push_ended(stranger, Ok(()), 0, Duration::ZERO).unwrap().merged.is_none());
    assert_eq!(protocol, before);
    assert!(protocol.push_ended(sent, Ok(()), 0, Duration::ZERO).unwrap().merged.is_some());
}

/// An owner that asks for another look as a push is in flight knows more than the answer to it.
#[test]
fn a_look_asked_for_during_a_push_outlives_its_rejection() {
    use latchwork::log::MemoryLog;
    use latchwork::protocol::{Direction, Next, Protocol, Push, Settings};
    use latchwork::upstream::PushError;
    use std::time::Duration;

    type Ask = fn(&mut Protocol<MemoryLog<u64>>);
    let asks: [(Ask, bool); 4] = [
        (|_| (), false),
        (|protocol| protocol.resume(Direction::Push), true),
        (|protocol| drop(protocol.retry_now()), true),
        (|protocol| drop(protocol.restart()), true),
    ];
    for (ask, looks_again) in asks {
        let mut protocol = Protocol::new(MemoryLog::new(), Settings::default());
        protocol.commit(vec![1]).unwrap();
        let Next::Do(sent) = protocol.next_push(Duration::ZERO) else { panic!("there is something to send") };
        ask(&mut protocol);
        let behind = Err(PushError::Behind { head: None });
        let _effects = protocol.push_ended(sent, behind, 0, Duration::ZERO).unwrap();
        assert_eq!(matches!(protocol.push(), Push::Idle), looks_again, "{:?}", protocol.push());
    }
}

#[test]
#[should_panic(expected = "expected at least one event in a batch, got none")]
fn a_batch_of_nothing_is_none() {
    let _ = latchwork::upstream::Batch::<latchwork::log::MemoryLog<u64>>::new(0, Vec::new());
}
