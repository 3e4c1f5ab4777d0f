//! The end: some clients end in the middle of all trouble, for the others it ends; and what has been promised.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use latchwork::log::Log;
use latchwork::protocol::{Direction, Pull, WaitingOn};
use latchwork::replicator::{CommitError, Shutdown};
use latchwork::{Replicator, Settled, Waited};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::Ends;
use super::loud::{Bell, LoudEvent, LoudLog};
use super::world::{Client, Commit, Handle, World, look, told};
use crate::harness::{INJECTED, Seen};
use crate::logs::{Event, Kind};
use crate::thread_group::{ThreadGroup, await_here, rest};

pub fn run(world: &Arc<World>, waiters: &mut ThreadGroup, seen: &Seen) -> TestCaseResult {
    let deadline = Instant::now() + seen.patience();
    for client in world.clients.iter().filter(|client| client.setup.ends != Ends::Drained) {
        end(client, world, deadline)?;
    }
    world.end_trouble();
    let drained: Vec<_> = world.clients.iter().filter(|client| client.setup.ends == Ends::Drained).collect();
    for client in &drained {
        drain(client, world, deadline)?;
    }
    // Every waiter has got what it waits for.
    if !waiters.all_end(deadline).map_err(TestCaseError::fail)? {
        let what = |waiter: usize| world.waits_for[waiter].lock().unwrap_or_else(PoisonError::into_inner).clone();
        let what: Vec<_> = waiters.missing().into_iter().map(what).collect();
        return Err(told(format!("waits for ever for {}", what.join(", ")), world));
    }
    for client in &drained {
        knows_everything(client, world, deadline)?;
    }
    world.forget_tasks();
    for client in drained {
        let replicator = take(client, world, deadline)?;
        let (report, log) = in_time("a shutdown", world, deadline, move || end_of(replicator, Duration::from_secs(5)))?;
        prop_assert!(report.is_clean(), "a client that has drained leaves {:?}", report);
        let log = log.expect("everything has ended");
        prop_assert_eq!(log.pending(), 0);
        world.count("drained");
    }
    each_once_and_in_order(world)?;
    for commit in &*world.commits() {
        is_true(commit, world)?;
    }
    Ok(())
}

/// Does it in a thread of its own, since it might not end.
fn in_time<T: Send + 'static>(
    what: &str,
    world: &Arc<World>,
    deadline: Instant,
    does: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TestCaseError> {
    let (sender, receiver) = channel();
    let mut threads = ThreadGroup::new();
    threads.start(move || {
        let _heard = sender.send(does());
    });
    let ended = threads.all_end(deadline).map_err(|panicked| TestCaseError::fail(format!("{what}: {panicked}")))?;
    let done = receiver.try_recv().ok().filter(|_| ended);
    done.ok_or_else(|| told(format!("{what} does not end"), world))
}

/// The replicator, once it is not used otherwise.
fn take(client: &Client, world: &Arc<World>, deadline: Instant) -> Result<Replicator<LoudLog>, TestCaseError> {
    let taken = client.slot.write().unwrap_or_else(PoisonError::into_inner).take();
    let mut handle: Handle = taken.expect("it ends once");
    loop {
        match Arc::try_unwrap(handle) {
            Ok(replicator) => return Ok(replicator),
            Err(shared) => handle = shared,
        }
        // A task that flushes has it too.
        world.forget_tasks();
        if Instant::now() > deadline {
            std::mem::forget(handle);
            return Err(told("a client that is to end is still used".into(), world));
        }
        rest(20);
    }
}

fn end_of(replicator: Replicator<LoudLog>, limit: Duration) -> (Shutdown<<LoudLog as Log>::Entry>, Option<LoudLog>) {
    let report = replicator.shutdown(limit);
    (report, replicator.into_log())
}

/// A client ends in the middle of all trouble.
fn end(client: &Client, world: &Arc<World>, deadline: Instant) -> TestCaseResult {
    match client.setup.ends {
        Ends::Drained => unreachable!("it is to drain"),
        Ends::ShutDown(millis) => {
            let replicator = take(client, world, deadline)?;
            let limit = Duration::from_millis(millis.into());
            let (report, log) = in_time("a shutdown", world, deadline, move || end_of(replicator, limit))?;
            world.count("shutdown in the middle");
            reports_truly(client, &report, log.as_ref(), world, deadline)?;
        }
        Ends::Dropped => {
            let replicator = take(client, world, deadline)?;
            in_time("a drop", world, deadline, move || drop(replicator))?;
            world.count("dropped");
        }
        Ends::Stopped => {
            let replicator = client.handle().expect("it has not ended");
            world.patiently("a waker's panic in a call", || replicator.stop());
            let event = Event { client: client.id, life: 9, number: 0, local_only: false, fragile: false };
            let loud = LoudEvent { event, bell: Bell::new(&client.ring) };
            let refused = matches!(replicator.commit(vec![loud]), Err(CommitError::Stopped));
            prop_assert!(refused, "a commit after the stop is not refused");
            let stopped = Arc::clone(&replicator);
            in_time("a stop", world, deadline, move || await_here(stopped.stopped()))?;
            settled(client, world)?;
            let flushed = replicator.flush(Duration::from_secs(5)).is_ok();
            let pending = replicator.status().pending;
            prop_assert!(flushed == (pending == 0) || flushed, "a flush after the stop: {} pending", pending);
            drop(replicator);
            let replicator = take(client, world, deadline)?;
            let limit = Duration::from_secs(5);
            let (report, log) = in_time("a shutdown", world, deadline, move || end_of(replicator, limit))?;
            prop_assert!(report.unfinished.is_empty(), "it has stopped: {:?}", report);
            reports_truly(client, &report, log.as_ref(), world, deadline)?;
            world.count("stopped");
        }
    }
    settled(client, world)
}

/// What is this client's has no waiters any more.
fn settled(client: &Client, world: &World) -> TestCaseResult {
    for commit in world.commits().iter().filter(|commit| commit.client == usize::from(client.id)) {
        let Some(settled) = commit.ticket.settled() else {
            return Err(TestCaseError::fail(format!("{:?} has not settled, and its client has ended", commit.events)));
        };
        commit.settles(settled, world);
    }
    Ok(())
}

/// What a shutdown says it has left is what it has left.
fn reports_truly(
    client: &Client,
    report: &Shutdown<<LoudLog as Log>::Entry>,
    log: Option<&LoudLog>,
    world: &Arc<World>,
    deadline: Instant,
) -> TestCaseResult {
    let pending: Vec<_> = report.pending.iter().map(|entry| entry.entry.event).collect();
    let failed = report.failure.is_some();
    let told = report.failure.as_ref().map(ToString::to_string).unwrap_or_default();
    prop_assert!(!failed || told.contains(INJECTED), "nothing of ours: {:?}", report);
    // What had not ended by the report may have ended before the log was asked for.
    if let Some(log) = log.filter(|_| report.unfinished.is_empty()) {
        let left: Vec<_> = log.log.events().into_iter().filter(|event| !event.local_only).collect();
        prop_assert!(failed || left == pending, "{:?} are pending, and the log has {:?}", pending, left);
    }
    prop_assert!(log.is_some() || !report.unfinished.is_empty(), "the log: {:?}", report);
    // A call that has not ended may have come to something yet.
    let quiet = || if report.unfinished.is_empty() { Ok(()) } else { idle(world, deadline) };
    quiet()?;
    let taken = world.sky.positions(&pending).into_iter().flatten().count();
    if taken > 0 && !world.deceived.load(Ordering::SeqCst) {
        prop_assert!(report.uncertain, "upstream has {} of {:?}, and that is certain: {:?}", taken, pending, report);
    }
    if report.uncertain {
        world.count("uncertain report");
    }
    let handed: BTreeSet<u16> = pending.iter().map(|event| event.number).collect();
    for commit in world.commits().iter().filter(|commit| commit.client == usize::from(client.id)) {
        if let Some(Settled::Confirmed(_)) = commit.ticket.settled() {
            let left = commit.events.iter().any(|event| handed.contains(&event.number));
            prop_assert!(!left, "{:?} is confirmed, and left behind: {:?}", commit.events, report);
        }
    }
    Ok(())
}

/// Waits until no call goes on that was left behind.
fn idle(_world: &World, _deadline: Instant) -> TestCaseResult {
    // No call lasts for longer than some milliseconds.
    rest(10_000);
    Ok(())
}

/// All trouble has ended: everything is handed over.
fn drain(client: &Client, world: &Arc<World>, deadline: Instant) -> TestCaseResult {
    let replicator = client.handle().expect("it has not ended");
    for direction in [Direction::Push, Direction::Pull] {
        world.patiently("a waker's panic in a call", || replicator.resume(direction));
    }
    world.patiently("a waker's panic in a call", || replicator.override_retry_after());
    let mut restarts = 0;
    loop {
        let status = replicator.status();
        look(&status, world);
        if matches!(status.waiting_on, WaitingOn::Owner(_)) || matches!(status.pull, Pull::Failed { .. }) {
            restarts += 1;
            if restarts > 20 {
                return Err(told(format!("client {} fails again and again", client.id), world));
            }
            world.patiently("a waker's panic in a call", || replicator.restart());
        }
        if replicator.flush(Duration::from_millis(5)).is_ok() {
            break;
        }
        if Instant::now() > deadline {
            return Err(told(format!("client {} does not drain", client.id), world));
        }
    }
    for commit in world.commits().iter().filter(|commit| commit.client == usize::from(client.id)) {
        let Waited::Ready(settled) = commit.ticket.wait_timeout(Duration::from_secs(5)) else {
            return Err(told(format!("everything is flushed, and {:?} has not settled", commit.events), world));
        };
        commit.settles(settled, world);
    }
    Ok(())
}

/// Everybody hears of everything; a live pull that has lost an echo, when it is told to look again.
fn knows_everything(client: &Client, world: &Arc<World>, deadline: Instant) -> TestCaseResult {
    let replicator = client.handle().expect("it has not ended");
    world.patiently("a waker's panic in a call", || replicator.override_retry_after());
    loop {
        let status = replicator.status();
        // Upstream may take a late request even now.
        if status.upstream_head == world.sky.head() {
            return Ok(());
        }
        if matches!(status.pull, Pull::Failed { .. }) {
            world.patiently("a waker's panic in a call", || replicator.restart());
        }
        // An answer that named a time may have come after the word above.
        if status.next_try_in.is_some_and(|time| time > Duration::from_millis(50)) {
            world.patiently("a waker's panic in a call", || replicator.override_retry_after());
        }
        if Instant::now() > deadline {
            return Err(told(format!("client {} does not hear of everything", client.id), world));
        }
        rest(50);
    }
}

/// Upstream has each event once at most; those of a commit, and of the commits of one thread, in their order.
fn each_once_and_in_order(world: &World) -> TestCaseResult {
    let entries = world.sky.entries();
    let mut seen = BTreeSet::new();
    for entry in &*entries {
        let Event { client, number, .. } = entry.event;
        prop_assert!(seen.insert((client, number)), "{:?} was ordered twice", entry.event);
    }
    drop(entries);
    for client in 0..world.clients.len() {
        for thread in 0..world.case.scripts.len() {
            let commits = world.commits();
            let own = commits.iter().filter(|commit| commit.client == client && commit.thread == thread);
            let events: Vec<_> = own.flat_map(|commit| commit.events.iter().copied()).collect();
            let positions: Vec<_> = world.sky.positions(&events).into_iter().flatten().collect();
            prop_assert!(positions.is_sorted(), "{:?} were ordered as {:?}", events, positions);
        }
    }
    Ok(())
}

/// A ticket has said the truth.
fn is_true(commit: &Commit, world: &World) -> TestCaseResult {
    let client = &world.clients[commit.client];
    let Some(settled) = commit.ticket.settled() else {
        return Err(TestCaseError::fail(format!("{:?} has never settled", commit.events)));
    };
    commit.settles(settled, world);
    let sent: Vec<_> = commit.events.iter().filter(|event| !event.local_only).copied().collect();
    let positions = world.sky.positions(&sent);
    let ordered = positions.iter().all(Option::is_some);
    let told = format!("{:?} settled as {settled:?}, and was ordered as {positions:?}", commit.events);
    match settled {
        Settled::Confirmed(position) => {
            world.count("confirmed");
            prop_assert!(ordered, "{}", told);
            let last = positions.last().copied().flatten();
            prop_assert!(last.is_none_or(|last| last == position), "{}", told);
        }
        Settled::Rejected => {
            world.count("rejected");
            prop_assert!(!ordered && client.setup.kind == Kind::Fragile, "{}", told);
        }
        Settled::Closed => {
            world.count("closed");
            let may = client.setup.ends != Ends::Drained || client.resets.load(Ordering::SeqCst) > 0;
            prop_assert!(may, "nothing was closed: {}", told);
        }
        _ => prop_assert!(false, "{}", told),
    }
    Ok(())
}
