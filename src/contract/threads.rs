//! The laws of upstreams for threads that no adapter shows: how a call heeds its interrupt.

use std::fmt::Debug;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::Contract;
use super::broken::{Broken, Verdict};
use super::call::{block_on, on_a_thread, sleep};
use super::place::{Place, SHORT, told};
use super::proxy::Proxy;
use crate::log::Log;
use crate::primitives::interrupt::{Cause, Interrupt};
use crate::protocol::PushError;
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

/// Runs those of an upstream that speaks TCP.
pub(super) fn laws_cut<L, U, O>(contract: &Contract<L>, make: &impl Fn() -> (SocketAddr, O), broken: &mut Broken)
where
    L: Log<Entry: PartialEq + Debug>,
    U: Upstream<L>,
    O: Fn(SocketAddr) -> U,
{
    let silence = async {
        let (server, open) = make();
        is_interrupted_in_silence(contract, server, open).await
    };
    block_on(broken.judge("a call to a silent server ends when it is interrupted", silence));
}

async fn is_interrupted_in_silence<L, U>(
    contract: &Contract<L>,
    server: SocketAddr,
    open: impl Fn(SocketAddr) -> U,
) -> Verdict
where
    L: Log<Entry: PartialEq + Debug>,
    U: Upstream<L>,
{
    let proxy = Proxy::new(server).map_err(|error| format!("expected a proxy, got: {error}"))?;
    let mut place = Place::new(contract, &sleep, pending);
    let (client, upstream) = (ForTasks::new(open(server), on_a_thread), Arc::new(open(proxy.address())));
    place.take(&client, 2).await?;
    let (batch, cursor) = (place.batch(1)?, place.position(0));
    proxy.swallow();
    let (pushing, interrupt) = (Arc::clone(&upstream), set_later());
    let push = move || pushing.push(&batch, &interrupt);
    if let outcome @ (Ok(()) | Err(PushError::Behind { .. })) =
        in_time(contract.bound, "a push that is interrupted to return", push)?
    {
        return Err(format!("expected an error of a push to a silent server, got {}", told(&outcome)));
    }
    let interrupt = set_later();
    let pull = move || upstream.pull(cursor, &interrupt).for_each(drop);
    in_time(contract.bound, "a pull that is interrupted to end", pull)
}

/// An interrupt that is set while a call waits.
fn set_later() -> Interrupt {
    let interrupt = Interrupt::new();
    let set = interrupt.clone();
    thread::spawn(move || {
        thread::sleep(2 * SHORT);
        set.set(Cause::Stop);
    });
    interrupt
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
    let deadline = Interrupt::with_deadline(Instant::now() + SHORT);
    for (interrupt, when) in [(set(), "before it began"), (deadline, "by a deadline"), (set_later(), "as it waited")] {
        let (cursor, upstream) = (place.position(0), Arc::clone(&upstream));
        let pull = move || upstream.pull(cursor, &interrupt).for_each(drop);
        in_time(contract.bound, &format!("a pull to end whose interrupt was set {when}"), pull)?;
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
