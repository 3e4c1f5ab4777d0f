//! Choose a part: which one fits which wait.
//!
//! # By the question that a thread or a task asks
//!
//! | it waits until | part | why not another |
//! | --- | --- | --- |
//! | something *is so*: a connection is up, a queue is not full | [`Latch`] | Waiters ask for a state, however often it has changed. |
//! | something *has changed* since it looked | [`Epoch`] | A latch would have to be closed again, and a change between the look and the closing would be lost. |
//! | it is *to end*, for a reason | [`Interrupt`] | A latch has no cause and no children; a flag wakes no thread. |
//! | a *run* of other code has begun, ended, or is to begin anew | [`Worker`] | Joining and spawning by hand lets two runs overlap, or loses the request between them. |
//! | its events are *ordered by upstream* | [`Replicator`] | That is all of the above, and the protocol between them. |
//! | nothing: it has an event loop of its own | [`Protocol`] | The replicator brings two threads; the protocol has none, no clock and no I/O. |
//!
//! Each wait is a [`Wait`], for a thread or for a task. One with a bound ends in one of three ways, [`Waited`]: ready, timed out, interrupted. Turned
//! into a `Result`, the latter two are [`Interrupted`].
//!
//! # Latch or epoch?
//!
//! The commonest lost wake-up is *look, find nothing, park*: what comes between the look and the
//! park wakes no thread. Where there is work to look for, read an [`Epoch`] **before** looking, and
//! park only past what was read: a change that came in between has counted, and the wait returns at
//! once. A [`Latch`] is enough where there is nothing to look for, because a waiter may go on
//! whenever it is open.
//!
//! Here a sender needs both: it may send only *while* it is online, and it has something to do only
//! *after* a change. The interrupt ends either wait.
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return }
//! use latchwork::{Cause, Epoch, Interrupt, Interrupted, Latch};
//! use std::sync::{Mutex, mpsc};
//!
//! let (online, changes, interrupt) = (Latch::new(), Epoch::new(), Interrupt::new());
//! let outbox = Mutex::new(Vec::new());
//! let (wire, received) = mpsc::channel();
//!
//! let send = || -> Result<(), Interrupted> {
//!     loop {
//!         online.opened().wait_or(&interrupt, None).into_result()?;
//!         // Read before the look: a commit that comes after it counts past this.
//!         let seen = changes.current();
//!         let batch: Vec<&str> = std::mem::take(&mut outbox.lock().unwrap());
//!         batch.into_iter().for_each(|event| wire.send(event).unwrap());
//!         changes.past(seen).wait_or(&interrupt, None).into_result()?;
//!     }
//! };
//! std::thread::scope(|scope| {
//!     let sender = scope.spawn(send);
//!     outbox.lock().unwrap().push("offline");
//!     changes.bump();
//!     online.open();
//!     assert_eq!(received.recv(), Ok("offline"));
//!     interrupt.set(Cause::Stop);
//!     assert_eq!(sender.join().unwrap().unwrap_err().to_string(), "interrupted: stop");
//! });
//! ```
//!
//! # Which log?
//!
//! [`SyncState`] is the log that most engines will want: it numbers events, merges what upstream
//! sends, and costs nothing to rebase. [`MemoryLog`](crate::log::MemoryLog) is smaller, for models,
//! tests and first steps. To keep something beside the log (a view of the events, a file), wrap it
//! with a [`Wrapper`](crate::log::Wrapper). To merge by rules of your own, [write a
//! log](super::log).
//!
//! # What a replicator costs
//!
//! Two threads, which sleep while there is nothing to do. Beside your log, a pending event takes 34
//! bytes if it was committed alone and 19 in commits of 50, as measured by `cargo run --release -p
//! peers-bench -- --only memory` in the repository. A commit is one turn at a lock; a replicator of
//! its own for each document is two threads for each, so with thousands of documents drive
//! [`Protocol`] from tasks of your own.
//!
//! [`Latch`]: crate::Latch
//! [`Epoch`]: crate::Epoch
//! [`Interrupt`]: crate::Interrupt
//! [`Worker`]: crate::Worker
//! [`Replicator`]: crate::Replicator
//! [`Protocol`]: crate::protocol::Protocol
//! [`SyncState`]: crate::SyncState
//! [`Wait`]: crate::Wait
//! [`Waited`]: crate::Waited
//! [`Interrupted`]: crate::Interrupted
