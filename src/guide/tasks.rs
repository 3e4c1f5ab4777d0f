//! From tasks: the same waits as futures, under any executor.
//!
//! The crate brings no runtime and needs none. A [`Wait`] is a future that leaves its waker in the
//! queue in which threads wait too, so a task and a thread may wait for the same latch, and either
//! may open it.
//!
//! | wait | from a thread | from a task |
//! | --- | --- | --- |
//! | [`latch.opened()`](crate::Latch::opened) | `.wait()`, or in short `latch.wait()` | `.await` |
//! | [`epoch.past(seen)`](crate::Epoch::past) | `.wait()` | `.await` |
//! | [`interrupt.triggered()`](crate::Interrupt::triggered) | `.wait()`, or `interrupt.sleep(time)` | `.await` |
//! | [`worker.idle()`](crate::worker::Handle::idle), [`stopped()`](crate::worker::Handle::stopped) | `.wait()` | `.await` |
//! | [`ticket.outcome()`](crate::Ticket::outcome) | `.wait()`, or `ticket.wait()` | `.await`, or `ticket.await` |
//! | [`replicator.flushed()`](crate::Replicator::flushed) | `.wait()`, or `replicator.flush(timeout)` | `.await` |
//! | [`replicator.stopped()`](crate::Replicator::stopped) | [`shutdown(timeout)`](crate::Replicator::shutdown) | `.await`, after [`stop()`](crate::Replicator::stop) |
//!
//! A thread bounds each of them with `.wait_timeout(time)`, `.wait_deadline(instant)` or
//! `.wait_or(&interrupt, deadline)`; see [`Waited`] for how it ended.
//! A timeout is the executor's: race the wait against its sleep. Every future here may be dropped
//! at any time. It gives up its place, no other waiter is affected, and nothing is lost: the latch
//! stays open, the count stays counted, the interrupt stays set, the commit goes on. (A wait that
//! took a *permit*, as a semaphore's does, could lose it; none does.)
//!
//! The example brings an executor of ten lines, to show that it needs nothing of one.
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::log::MemoryLog;
//! use latchwork::upstream::Memory;
//! use latchwork::{Cause, Epoch, Interrupt, Replicator, Settled};
//! use std::future::{Future, poll_fn};
//! use std::pin::pin;
//! use std::task::Poll;
//! # use std::sync::Arc;
//! # use std::task::{Context, Wake};
//! # use std::thread::{self, Thread};
//! #
//! # struct Unpark(Thread);
//! #
//! # impl Wake for Unpark {
//! #     fn wake(self: Arc<Self>) {
//! #         self.0.unpark();
//! #     }
//! # }
//! #
//! # fn block_on<T>(future: impl Future<Output = T>) -> T {
//! #     let (mut future, waker) = (pin!(future), Arc::new(Unpark(thread::current())).into());
//! #     loop {
//! #         match future.as_mut().poll(&mut Context::from_waker(&waker)) {
//! #             Poll::Ready(value) => return value,
//! #             Poll::Pending => thread::park(),
//! #         }
//! #     }
//! # }
//!
//! /// Waits for a change past `seen`, unless it is interrupted first: a `select!` of two waits.
//! async fn next_change(changes: &Epoch, seen: u64, interrupt: &Interrupt) -> Result<u64, Cause> {
//!     let (mut change, mut end) = (changes.past(seen), interrupt.triggered());
//!     poll_fn(|context| {
//!         if let Poll::Ready(count) = pin!(&mut change).poll(context) {
//!             return Poll::Ready(Ok(count));
//!         }
//!         pin!(&mut end).poll(context).map(Err)
//!     })
//!     .await
//! }
//!
//! let (changes, interrupt) = (Epoch::new(), Interrupt::new());
//! let upstream = Memory::new(0);
//! let replicator = Replicator::builder(MemoryLog::new(), upstream.clone()).spawn()?;
//! block_on(async {
//!     changes.bump();
//!     assert_eq!(next_change(&changes, 0, &interrupt).await, Ok(1));
//!     interrupt.set(Cause::Stop);
//!     assert_eq!(next_change(&changes, 1, &interrupt).await, Err(Cause::Stop));
//!
//!     let ticket = replicator.commit(vec!["milk"])?;
//!     assert!(matches!(ticket.await, Settled::Confirmed(_)));
//!     replicator.flushed().await?;
//!     assert_eq!(upstream.len(), 1);
//!     replicator.stop();
//!     replicator.stopped().await; // a drop waits for nothing now
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The replicator for tasks
//!
//! [`build_async`] makes a replicator without threads. With it comes a [`Driver`], its pusher and its
//! puller as one future, for `spawn`, for `spawn_local` or for a thread of one's own that blocks on
//! it. A replicator that is idle costs no poll, and no thread.
//!
//! - **An upstream for tasks** is an [`AsyncUpstream`](crate::upstream::AsyncUpstream);
//!   [how to write one](super::upstream#for-tasks). The driver is `Send` exactly if the upstream's
//!   futures are and it is `Sync`: there is one trait for both worlds.
//! - **A journal for tasks** is an [`AsyncJournal`](crate::journal::AsyncJournal), and a part of the driver; see [surviving a
//!   crash](super::crash#on-threads-and-on-tasks).
//! - **The timer** is what the runtime sleeps with, as `tokio::time::sleep`. It is asked for
//!   backoffs and time limits; see [`Timer`](crate::replicator::Timer) for a clock of one's own.
//! - **[`split`](crate::replicator::Driver::split)** gives the two directions apart, to run at the same
//!   time.
//! - **Dropping the driver is a stop.** Tickets that have not settled are closed; of a push that was
//!   going on the outcome is not known. A driver that is not polled does nothing.
//! - **The end**: await [`shutdown_async`](crate::Replicator::shutdown_async), which hands over what is
//!   pending within a time and says what is left, and then the task of the driver. The drop of the
//!   last handle ends the driver, too, and waits for nothing.
//! - **Updates**: [`receiver.next()`](crate::replicator::Receiver::next) is one more wait.
//!
//! Threads may use such a replicator as they use any: `commit`, `ticket.wait()` and the others are
//! the same. The examples `on_tokio`, `on_one_thread` and `on_pollster` in the repository are three
//! executors.
//!
//! # What must not be done from a task
//!
//! Dropping a [`Replicator`] with threads or a [`Worker`](crate::Worker) waits for its threads, and what
//! is in the thread's column blocks: do neither on an executor's thread, unless what it waits for has
//! ended. [`commit`] and [`status`] wait for no network and no thread and may be called anywhere.
//!
//! [`build_async`]: crate::replicator::Builder::build_async
//! [`Driver`]: crate::replicator::Driver
//! [`Wait`]: crate::Wait
//! [`Waited`]: crate::Waited
//! [`Replicator`]: crate::Replicator
//! [`commit`]: crate::Replicator::commit
//! [`status`]: crate::Replicator::status
