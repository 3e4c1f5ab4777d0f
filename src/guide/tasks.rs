//! From tasks: the same waits as futures, under any executor.
//!
//! The crate brings no runtime and needs none. A wait is a future that leaves its waker in the
//! queue in which threads wait too, so a task and a thread may wait for the same latch, and either
//! may open it.
//!
//! | from a thread | from a task |
//! | --- | --- |
//! | [`Latch::wait`] | [`Latch::wait_async`] |
//! | [`Epoch::wait_past`] | [`Epoch::wait_past_async`] |
//! | [`Interrupt::wait`] | [`Interrupt::wait_async`] |
//! | [`Ticket::wait`] | [`Ticket::wait_async`] |
//! | [`Replicator::flush`] | [`Replicator::flush_async`] |
//! | [`Replicator::shutdown`] | [`Replicator::stop`], then [`Replicator::stopped`] |
//!
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
//!     let (mut change, mut end) = (pin!(changes.wait_past_async(seen)), pin!(interrupt.wait_async()));
//!     poll_fn(|context| {
//!         if let Poll::Ready(count) = change.as_mut().poll(context) {
//!             return Poll::Ready(Ok(count));
//!         }
//!         end.as_mut().poll(context).map(Err)
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
//!     assert!(matches!(ticket.wait_async().await, Settled::Confirmed(_)));
//!     replicator.flush_async().await?;
//!     assert_eq!(upstream.len(), 1);
//!     replicator.stop();
//!     replicator.stopped().await; // a drop waits for nothing now
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What must not be done from a task
//!
//! Dropping a [`Replicator`] or a [`Worker`](crate::Worker) waits for its threads, and the methods
//! of the left column block: do neither on an executor's thread, unless what they wait for has
//! ended. [`commit`] and [`status`] wait for no network and no thread and may be called anywhere.
//!
//! [`Latch::wait`]: crate::Latch::wait
//! [`Latch::wait_async`]: crate::Latch::wait_async
//! [`Epoch::wait_past`]: crate::Epoch::wait_past
//! [`Epoch::wait_past_async`]: crate::Epoch::wait_past_async
//! [`Interrupt::wait`]: crate::Interrupt::wait
//! [`Interrupt::wait_async`]: crate::Interrupt::wait_async
//! [`Ticket::wait`]: crate::Ticket::wait
//! [`Ticket::wait_async`]: crate::Ticket::wait_async
//! [`Replicator`]: crate::Replicator
//! [`Replicator::flush`]: crate::Replicator::flush
//! [`Replicator::flush_async`]: crate::Replicator::flush_async
//! [`Replicator::shutdown`]: crate::Replicator::shutdown
//! [`Replicator::stop`]: crate::Replicator::stop
//! [`Replicator::stopped`]: crate::Replicator::stopped
//! [`commit`]: crate::Replicator::commit
//! [`status`]: crate::Replicator::status
