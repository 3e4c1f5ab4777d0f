//! Moving from a hand-written loop: its bugs, one by one, and the part that rules each of them out.
//!
//! This is the push loop as it is mostly written: a mutex, a condition variable, two flags. It
//! compiles, and passes its tests.
//!
//! ```no_run
//! # struct Client;
//! # impl Client { fn push(&self, _batch: &[String]) -> Result<(), &'static str> { Ok(()) } }
//! use std::sync::{Condvar, Mutex};
//! use std::thread;
//! use std::time::Duration;
//!
//! #[derive(Default)]
//! struct State {
//!     outbox: Vec<String>,
//!     parked: bool,
//!     stop: bool,
//! }
//!
//! fn push_loop(state: &Mutex<State>, changed: &Condvar, client: &Client) {
//!     loop {
//!         let empty = state.lock().unwrap().outbox.is_empty();
//!         if empty {
//!             let guard = state.lock().unwrap(); // (1)
//!             drop(changed.wait(guard).unwrap()); // (2)
//!         }
//!         if state.lock().unwrap().stop {
//!             return; // (3)
//!         }
//!         let batch = std::mem::take(&mut state.lock().unwrap().outbox); // (4)
//!         match client.push(&batch) {
//!             Ok(()) => {}
//!             Err("behind") => {
//!                 let mut guard = state.lock().unwrap();
//!                 guard.outbox.splice(0..0, batch);
//!                 guard.parked = true; // (5)
//!                 while guard.parked && !guard.stop {
//!                     guard = changed.wait(guard).unwrap();
//!                 }
//!             }
//!             Err(_) => {
//!                 thread::sleep(Duration::from_secs(5)); // (6)
//!                 state.lock().unwrap().outbox.splice(0..0, batch); // (7)
//!             }
//!         }
//!     }
//! }
//! ```
//!
//! | | what goes wrong | how it shows | the part |
//! | --- | --- | --- | --- |
//! | 1 | A commit between the look and the wait notifies while no thread waits. | An event that is sent when the next one comes, or never. | [`Epoch`]: read, look, park past what was read |
//! | 2 | A condition variable may wake for no reason, and `if` does not look again. | A push of nothing. | [`Epoch`], [`Latch`]: a wait that returns has happened |
//! | 3 | The flag is looked at in one place, and the thread that sets it must notify every wait, under the lock. | A shutdown that hangs. | [`Interrupt`]: sticky, and every wait and sleep can be ended by it |
//! | 4 | The batch is in neither place while it is sent: a panic or an early return loses it. | Lost events. | [`Log`]: what is pending stays so until upstream has ordered it |
//! | 5 | Only the code that clears the flag ends the wait, and each way to become un-behind must remember it. This is H001: the branch that rebased cleared it, and the one that advanced did not. And the news may have come before the flag was set. | Pushing stops for ever, without an error. | [`Protocol`]: the state that is parked names what ends it, and an epoch tells what came meanwhile |
//! | 6 | A sleep hears neither a stop nor that the connection is back; the same delay for all clients makes them come together. | A slow shutdown, a stampede. | [`Interrupt::sleep`]; [`Backoff`], with jitter |
//! | 7 | The error may have come *after* upstream took the batch. | The same event twice. | [`Upstream`]: `Unavailable` or `Uncertain`; nothing is sent past the latter until a catch-up has decided it |
//!
//! And around the loop:
//!
//! | what is written | what goes wrong | the part |
//! | --- | --- | --- |
//! | `handle.join(); handle = spawn(…)` to restart | A request that comes during the join is lost, or two runs overlap. | [`Worker`]: one thread, numbered runs, requests that are kept |
//! | `notify_one` with two kinds of waiters | It wakes the one that has nothing to do. | Queues are emptied whole: no waiter is woken *instead* of another. |
//! | tokio's `notify_waiters` | It stores no permit: a task that looks first and calls `notified()` afterwards is not woken for what came in between. | [`Epoch::past`] |
//! | tokio's `notify_one` in a `select!` | Several changes are one permit, and it goes to one task. | [`Epoch::past`]: every task compares with what it has seen |
//! | an `AtomicBool` and `park` | The token is shared with all code on that thread: a library's `park` in between takes the wake. | [`Latch`] |
//! | a `watch` channel for "is it online" | Works; a read lock for each look. | [`Latch`]: one load, and threads can wait too |
//!
//! With the parts, the loop above is this. What it leaves to the log (4), to the protocol (5) and
//! to the upstream (7) is the reason why there is a [`Replicator`], which is one call.
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! # use std::sync::mpsc;
//! # struct Client(mpsc::Sender<Vec<String>>);
//! # impl Client {
//! #     fn push(&self, batch: &[String]) -> Result<(), &'static str> {
//! #         self.0.send(batch.to_vec()).map_err(|_| "gone")
//! #     }
//! # }
//! use latchwork::{Backoff, Epoch, Interrupted, Run, Worker};
//! use std::sync::{Arc, Mutex};
//!
//! # let random = || 0;
//! # let (sender, sent) = mpsc::channel();
//! # let client = Client(sender);
//! let (outbox, changes) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Epoch::new()));
//! let pusher = Worker::spawn("pusher", {
//!     let (outbox, changes, backoff) = (Arc::clone(&outbox), Arc::clone(&changes), Backoff::default());
//!     move |run: &Run| -> Result<(), Interrupted> {
//!         let mut failures = 0;
//!         loop {
//!             let seen = changes.current(); // (1) before the look
//!             let batch: Vec<String> = outbox.lock().unwrap().clone(); // (4) it stays there until it is sent
//!             if batch.is_empty() {
//!                 changes.past(seen).wait_or(run.interrupt(), None).into_result()?; // (2) (3)
//!             } else if client.push(&batch).is_ok() {
//!                 outbox.lock().unwrap().drain(..batch.len());
//!                 failures = 0;
//!             } else {
//!                 run.interrupt().sleep(backoff.delay(failures, random()))?; // (3) (6)
//!                 failures += 1;
//!             }
//!         }
//!     }
//! })?;
//!
//! outbox.lock().unwrap().push("milk".to_owned());
//! changes.bump();
//! assert_eq!(sent.recv()?, ["milk"]);
//! assert!(pusher.join().stopping);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # One step at a time
//!
//! 1. Give every wait an interrupt, and set it where the flag was set. Shutdowns end from now on.
//! 2. Replace *look, then wait* by an epoch. The mutex stays where it is.
//! 3. Replace spawn and join by a worker.
//! 4. Put the queue behind a [`Log`], sort the backend's errors into those of an [`Upstream`], and
//!    let a [`Replicator`] do the rest. Your tests of the loop stay: they become tests of the log
//!    and of the upstream, which are plain code.
//! 5. [Model](super::model) what is left of your own waits.
//!
//! [`Epoch`]: crate::Epoch
//! [`Epoch::past`]: crate::Epoch::past
//! [`Latch`]: crate::Latch
//! [`Interrupt`]: crate::Interrupt
//! [`Interrupt::sleep`]: crate::Interrupt::sleep
//! [`Backoff`]: crate::Backoff
//! [`Worker`]: crate::Worker
//! [`Replicator`]: crate::Replicator
//! [`Protocol`]: crate::protocol::Protocol
//! [`Log`]: crate::log::Log
//! [`Upstream`]: crate::upstream::Upstream
