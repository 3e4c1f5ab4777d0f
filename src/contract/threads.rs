//! The laws of upstreams for threads that no adapter shows: how a call heeds its interrupt.

use std::fmt::Debug;
use std::future::pending;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::Contract;
use super::broken::{Broken, Verdict};
use super::call::{block_on, on_a_thread, sleep};
use super::place::{Place, SHORT, told};
use crate::log::Log;
use crate::primitives::interrupt::{Cause, Interrupt};
use crate::protocol::messages::PushError;
use crate::replicator::upstream::{ForTasks, Upstream};

/// Runs all of them.
pub(super) fn laws<L, U, O>(contract: &Contract<L>, make: &impl Fn() -> O, broken: &mut Broken)
where
    L: Log<Entry: PartialEq + Debug>,
    U: Upstream<L>,
    O: Fn() -> U,
{
    let pushes = async { pushes_interrupted(contract, make()).await };
    block_on(broken.judge("a push whose interrupt is set returns", pushes));
    let pulls = async { pulls_interrupted(contract, make()).await };
    block_on(broken.judge("a pull whose interrupt is set ends", pulls));
}

async fn pushes_interrupted<L, U>(contract: &Contract<L>, open: impl Fn() -> U) -> Verdict
where
    L: Log<Entry: PartialEq + Debug>,
    U: Upstream<L>,
{
    let mut place = Place::new(contract, &sleep, pending);
    let (client, upstream) = (ForTasks::new(open(), on_a_thread), Arc::new(open()));
    place.take(&client, 1).await?;
    let batch = place.batch(2)?;
    let pushed = batch.clone();
    let push = move || upstream.push(&pushed, &set());
    let outcome = in_time(contract.bound, "a push whose interrupt is set to return", push)?;
    let held = place.ordered.len();
    place.settle(&client, &batch).await?;
    match (&outcome, place.ordered[held..].starts_with(&batch.entries)) {
        (Ok(()), true) | (Err(PushError::Unavailable { .. }), false) => Ok(()),
        (_, true) => Err(format!("expected that the push was taken, got {}", told(&outcome))),
        (_, false) => Err(format!("expected `Unavailable` of a push that was not taken, got {}", told(&outcome))),
    }
}

async fn pulls_interrupted<L, U>(contract: &Contract<L>, open: impl Fn() -> U) -> Verdict
where
    L: Log<Entry: PartialEq + Debug>,
    U: Upstream<L>,
{
    let mut place = Place::new(contract, &sleep, pending);
    let (client, upstream) = (ForTasks::new(open(), on_a_thread), Arc::new(open()));
    place.take(&client, 2).await?;
    let later = Interrupt::new();
    let deadline = Interrupt::with_deadline(Instant::now() + SHORT);
    for (interrupt, when) in [(set(), "before it began"), (deadline, "by a deadline"), (later, "as it waited")] {
        let (cursor, upstream, given) = (place.position(0), Arc::clone(&upstream), interrupt.clone());
        let pull = move || upstream.pull(cursor, &given).for_each(drop);
        let setting = thread::spawn(move || {
            thread::sleep(2 * SHORT);
            interrupt.set(Cause::Stop);
        });
        let ended = in_time(contract.bound, &format!("a pull to end whose interrupt was set {when}"), pull);
        setting.join().map_err(|_| "expected an interrupt to be set, got a panic")?;
        ended?;
    }
    Ok(())
}

fn set() -> Interrupt {
    let interrupt = Interrupt::new();
    interrupt.set(Cause::Stop);
    interrupt
}

/// Makes a call on a thread of its own, which is left alone if it does not return in time.
fn in_time<T: Send + 'static>(
    bound: Duration,
    expected: &str,
    call: impl FnOnce() -> T + Send + 'static,
) -> Verdict<T> {
    let (came, comes) = mpsc::channel();
    thread::spawn(move || _ = came.send(call()));
    comes.recv_timeout(bound).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => format!("expected {expected}, and it has not in {bound:?}"),
        mpsc::RecvTimeoutError::Disconnected => format!("expected {expected}, got a panic"),
    })
}
