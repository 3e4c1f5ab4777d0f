//! From threads: waits that block, workers, and how everything ends.
//!
//! # A replicator has two threads
//!
//! A [`Replicator`] starts a pusher and a puller. Its methods can be called from any thread, and
//! none but those that say so wait: [`flush`] until everything is ordered, a [`Ticket`] until one
//! commit is, a receiver of [updates] until something was merged. Each has a form with a timeout.
//! [`status`] always answers at once, and says who owes the next move.
//!
//! To end it, call [`shutdown`] with the time that it may take: it flushes, stops, and says what
//! was not handed over. The drop of the last handle stops it and waits for both threads, however
//! long a call to upstream takes.
//!
//! # A status line
//!
//! A [`Status`] is for people too: its `Display` says how much is pending and who owes the next
//! move. `waiting_on` says it as a value, `next_try_in` is a countdown, `decisions` is what needs
//! [its owner](super::decide), `last_error` is there until its direction succeeds. All times count
//! from the moment of the call. To show it, nothing polls:
//! [`status_changed`](crate::Replicator::status_changed) waits for the next one, and misses none.
//! `examples/status_line.rs` has it for threads and for tasks.
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::log::MemoryLog;
//! use latchwork::protocol::WaitingOn;
//! use latchwork::replicator::Status;
//! use latchwork::upstream::Memory;
//! use latchwork::{Replicator, Waited};
//! use std::time::Duration;
//!
//! /// What a person is shown.
//! fn line(status: &Status<u64>) -> String {
//!     match &status.waiting_on {
//!         _ if !status.decisions.is_empty() => format!("needs attention: {}", status.decisions[0]),
//!         WaitingOn::Nothing => "saved".to_owned(),
//!         WaitingOn::Connectivity(time) => {
//!             format!("offline, {} to go, next try in {} s", status.pending, time.as_secs())
//!         }
//!         _ => format!("saving, {} to go", status.pending),
//!     }
//! }
//!
//! /// Shows each state as it comes, and each second of a countdown, until the replicator stops.
//! fn show(notes: &Replicator<MemoryLog<&'static str>>, print: &mut dyn FnMut(String)) {
//!     let mut status = notes.status();
//!     loop {
//!         print(line(&status));
//!         let second = status.next_try_in.map(|_| Duration::from_secs(1));
//!         status = match notes.status_changed(status.revision).wait_timeout(second.unwrap_or(Duration::MAX)) {
//!             Waited::Ready(Some(changed)) => changed,
//!             Waited::Ready(None) | Waited::Interrupted(_) => return,
//!             Waited::TimedOut => notes.status(),
//!         };
//!     }
//! }
//!
//! let notes = Replicator::builder(MemoryLog::new(), Memory::new(0)).name("notes").spawn()?;
//! let shown = std::thread::scope(|scope| {
//!     let showing = scope.spawn(|| {
//!         let mut shown = Vec::new();
//!         show(&notes, &mut |line| shown.push(line));
//!         shown
//!     });
//!     notes.commit(vec!["milk"]).and_then(|ticket| Ok(ticket.wait())).unwrap();
//!     notes.stop();
//!     showing.join().unwrap()
//! });
//! assert_eq!(shown.last().unwrap(), "saved");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A worker instead of spawn and join
//!
//! A [`Worker`] is one thread, and a body that it runs again and again. Every run has an interrupt
//! of its own, which a restart, a [clear] or a stop sets; a body that waits with it ends when it is
//! to. Requests to restart are never lost, many make one, and two runs never overlap. A body that
//! returns an error or panics has ended that run only; with a [policy], the worker tries again
//! after a backoff.
//!
//! A pusher made of the parts, which cannot miss an event however its look at the outbox and the
//! next commit meet:
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::{Epoch, Interrupted, Run, Worker};
//! use std::sync::{Arc, Mutex, mpsc};
//!
//! let outbox = Arc::new(Mutex::new(Vec::new()));
//! let changes = Arc::new(Epoch::new());
//! let (upstream, received) = mpsc::channel();
//!
//! let pusher = Worker::spawn("pusher", {
//!     let (outbox, changes) = (Arc::clone(&outbox), Arc::clone(&changes));
//!     move |run: &Run| -> Result<(), Interrupted> {
//!         loop {
//!             // Read before the look: a commit that comes after it counts past this.
//!             let seen = changes.current();
//!             let batch: Vec<&str> = std::mem::take(&mut outbox.lock().unwrap());
//!             batch.into_iter().for_each(|event| upstream.send(event).unwrap());
//!             changes.past(seen).wait_or(run.interrupt(), None).into_result()?;
//!         }
//!     }
//! })?;
//!
//! let commit = |event| {
//!     outbox.lock().unwrap().push(event);
//!     changes.bump();
//! };
//! commit("first");
//! assert_eq!(received.recv()?, "first");
//!
//! pusher.restart()?; // ends this run and begins another: never two at once, and no request is lost
//! commit("second");
//! assert_eq!(received.recv()?, "second");
//!
//! assert!(pusher.join().stopping);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Good to know
//!
//! - **Ask to end, and wait with what you are asked by.** An interrupt ends the crate's waits and
//!   sleeps. It does not end a `read` on a socket: give that a timeout and look in between.
//! - **Locks of your own** belong around data, not around waits. What wakes a waiter (`open`,
//!   `bump`, `set`) may be called under a lock of yours, but wakers of tasks run in it.
//! - **Threads and tasks mix.** Both wait in the same queue, so a thread may open the latch that a
//!   [task](super::tasks) awaits.
//!
//! [`Replicator`]: crate::Replicator
//! [`flush`]: crate::Replicator::flush
//! [`Ticket`]: crate::Ticket
//! [updates]: crate::Replicator::updates
//! [`status`]: crate::Replicator::status
//! [`Status`]: crate::Status
//! [`shutdown`]: crate::Replicator::shutdown
//! [`Worker`]: crate::Worker
//! [clear]: crate::worker::Handle::clear
//! [policy]: crate::RestartPolicy
