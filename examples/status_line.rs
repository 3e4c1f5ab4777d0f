//! A status line: saved, saving, offline or in need of attention; so much to go; the next try in so many seconds.
//!
//! ```text
//! cargo run --example status_line
//! ```
//!
//! Nothing polls. A thread or a task waits for the next [`Status`] and shows it; while there is a time to count down, it waits
//! a second at most. No change is missed, however slow it is to print: it is shown the last one.

use std::time::Duration;

use latchwork::log::{Log, MemoryLog};
use latchwork::protocol::WaitingOn;
use latchwork::replicator::Status;
use latchwork::upstream::{Fault, Memory};
use latchwork::{Backoff, Replicator, Waited};

/// What a person is shown.
pub fn line<P>(status: &Status<P>) -> String {
    let to_go = status.pending;
    match (&status.waiting_on, status.decisions.first()) {
        (_, Some(decision)) => format!("needs attention: {decision} ({to_go} to go)"),
        (WaitingOn::Nothing, None) => "saved".to_owned(),
        (WaitingOn::Connectivity(time) | WaitingOn::Clock(time), None) => {
            format!("offline, {to_go} to go, next try in {} s", time.as_secs_f32().ceil())
        }
        (WaitingOn::Stopped, None) => format!("closed, {to_go} not sent"),
        (_, None) => format!("saving, {to_go} to go"),
    }
}

/// How long a line is right, if nothing happens: what it counts down is another number after that.
fn for_how_long<P>(status: &Status<P>) -> Option<Duration> {
    let countdown = status.next_try_in.filter(|time| !time.is_zero());
    countdown.map(|time| Duration::from_nanos(u64::from(time.subsec_nanos()).max(1_000_000)))
}

/// Shows each line in a thread, until the replicator stops.
pub fn show<L: Log>(replicator: &Replicator<L>, mut print: impl FnMut(String)) {
    let (mut status, mut shown) = (replicator.status(), None);
    loop {
        let line = line(&status);
        if shown.as_ref() != Some(&line) {
            print(line.clone());
            shown = Some(line);
        }
        let changed = replicator.status_changed(status.revision);
        let waited = match for_how_long(&status) {
            Some(time) => changed.wait_timeout(time),
            None => Waited::Ready(changed.wait()),
        };
        status = match waited {
            Waited::Ready(Some(changed)) => changed,
            Waited::Ready(None) => return,
            Waited::TimedOut | Waited::Interrupted(_) => replicator.status(),
        };
    }
}

/// The same as a task, with the sleep of its runtime.
pub async fn show_async<L: Log, S: Future<Output = ()>>(
    replicator: &Replicator<L>,
    sleep: impl Fn(Duration) -> S,
    mut print: impl FnMut(String),
) {
    let (mut status, mut shown) = (replicator.status(), None);
    loop {
        let line = line(&status);
        if shown.as_ref() != Some(&line) {
            print(line.clone());
            shown = Some(line);
        }
        let changed = replicator.status_changed(status.revision);
        status = match for_how_long(&status) {
            Some(time) => match first(changed, sleep(time)).await {
                Some(Some(changed)) => changed,
                Some(None) => return,
                None => replicator.status(),
            },
            None => match changed.await {
                Some(changed) => changed,
                None => return,
            },
        };
    }
}

/// What the first of two futures says, or `None` if the other is ready before. (A runtime has a `select` for that.)
async fn first<T>(one: impl Future<Output = T>, other: impl Future<Output = ()>) -> Option<T> {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    std::future::poll_fn(|context| match one.as_mut().poll(context) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => other.as_mut().poll(context).map(|()| None),
    })
    .await
}

#[allow(dead_code, reason = "its test has another")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Memory::new(0);
    let backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(2));
    let notes = Replicator::builder(MemoryLog::new(), server.clone()).backoff(backoff).spawn()?;
    std::thread::scope(|scope| {
        scope.spawn(|| show(&notes, |line| println!("{line}")));
        server.fail_push(Fault::DisconnectBefore);
        let milk = notes.commit(vec!["milk"])?;
        let _saved = milk.wait();
        server.fail_push(Fault::RejectEvent(0));
        let tea = notes.commit(vec!["tea"])?;
        let _halted = tea.unless_halted().wait();
        notes.retry_rejected();
        let _saved = tea.wait();
        notes.stop();
        Ok(())
    })
}
