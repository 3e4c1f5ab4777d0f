//! Write an upstream: connect a backend that puts the events of all clients into one order.
//!
//! An [`Upstream`] has two methods that block, each called by a thread of its own: `push` hands
//! over a batch and returns what came of it, and `pull` gives out pages of what has been ordered.
//! The replicator decides when to call them; an implementation does not retry, wait for its turn or
//! remember anything between calls.
//!
//! # The one rule of a push
//!
//! **A batch is taken whole or not at all, and only if it follows upstream's last event.** This is
//! a compare-and-swap on the head. It is what makes a lost answer harmless: a batch that was taken
//! already does not follow any more, so sending it again cannot apply it twice. A server does it in
//! one transaction; over an object store it is a conditional write.
//!
//! # Classify every error by what is known about the batch
//!
//! | what the backend says | [`PushError`] | what follows |
//! | --- | --- | --- |
//! | "the head is another" (409, a failed condition) | `Behind`, with the head if it is told | The missing events are pulled and merged; then it is sent again. |
//! | no connection, DNS, TLS: before anything was sent | `Unavailable` | It backs off, with jitter. |
//! | "too many requests", "in maintenance" (429, 503) | `Unavailable` with `retry_after` | It is not asked again before that time. |
//! | the connection or the deadline ended *after* something was sent (also 502, 504) | `Uncertain` | Nothing is sent past it until a catch-up has shown what became of it. |
//! | one event is not valid, or not allowed (422) | `Rejected`, with its index | What stands before it is sent; then [the owner decides](super::decide). |
//! | the request is too large (413) | `TooLarge` | It is halved until it fits. |
//! | the client is not allowed, another upstream (401, 403) | `Fatal` | That direction has failed, visibly; the owner decides. |
//!
//! Any of them may name a time before which not to try again, if the backend does:
//! [`retry_after`](crate::upstream::PushError::retry_after).
//!
//! When in doubt, `Uncertain` is right and only slower. `Unavailable` after something was sent is
//! the error that applies events twice or loses them.
//!
//! # A pull that stays
//!
//! A page with [`More::None`] says that the pull has caught up. **It must come, also when there is
//! nothing**: the pusher may be waiting to learn that. A *live* pull then waits for news; the epoch
//! is read before looking for events, so that one that is ordered in between is not missed. A pull
//! that ends there instead is one-shot; tell the builder
//! ([`one_shot_pull`](crate::replicator::Builder::one_shot_pull)).
//!
//! This one is complete, in a process: replace the lock by a transaction, and the epoch by the
//! backend's own notification.
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::log::{MemoryEntry, MemoryLog};
//! use latchwork::upstream::{Batch, More, Page, PullError, PushError, Upstream};
//! use latchwork::{Epoch, Interrupt, Replicator};
//! use std::iter;
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! type Log = MemoryLog<&'static str>;
//! type Entry = MemoryEntry<&'static str>;
//!
//! #[derive(Default)]
//! struct Server {
//!     events: Mutex<Vec<Entry>>,
//!     news: Epoch,
//! }
//!
//! #[derive(Clone, Default)]
//! struct Client(Arc<Server>);
//!
//! impl Upstream<Log> for Client {
//!     fn push(&self, batch: &Batch<Log>, _interrupt: &Interrupt) -> Result<(), PushError<u64>> {
//!         let Server { events, news } = &*self.0;
//!         let mut events = events.lock().unwrap();
//!         let head = events.len() as u64;
//!         if batch.base != head {
//!             return Err(PushError::Behind { head: Some(head) });
//!         }
//!         events.extend(batch.entries.iter().cloned());
//!         drop(events);
//!         news.bump();
//!         Ok(())
//!     }
//!
//!     fn pull<'a>(
//!         &'a self,
//!         mut cursor: u64,
//!         interrupt: &'a Interrupt,
//!     ) -> impl Iterator<Item = Result<Page<Entry>, PullError>> + 'a {
//!         let Server { events, news } = &*self.0;
//!         let mut caught_up = false;
//!         iter::from_fn(move || {
//!             loop {
//!                 let seen = news.current(); // before the look
//!                 let entries = events.lock().unwrap()[cursor as usize..].to_vec();
//!                 if !entries.is_empty() || !caught_up {
//!                     cursor += entries.len() as u64;
//!                     caught_up = true;
//!                     return Some(Ok(Page { entries, more: More::None }));
//!                 }
//!                 // Interrupted: the pull ends, and everything has been given out.
//!                 news.past(seen).wait_or(interrupt, None).ready()?;
//!             }
//!         })
//!     }
//! }
//!
//! let client = Client::default();
//! let [alice, bob] = [0, 1].map(|_| Replicator::builder(Log::new(), client.clone()).spawn().unwrap());
//! alice.commit(vec!["alice: milk"])?;
//! bob.commit(vec!["bob: bread"])?;
//! alice.flush(Duration::from_secs(10))?;
//! bob.flush(Duration::from_secs(10))?;
//! assert_eq!(client.0.events.lock().unwrap().len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The interrupt
//!
//! Both methods return soon after it is set. Sleep with [`Interrupt::sleep`], wait with the
//! `…_interruptible` methods, give a socket a read timeout and look at the interrupt in between. A
//! call that does not heed it delays a shutdown, which then says which direction is
//! [unfinished](crate::replicator::Shutdown).
//!
//! # For tasks
//!
//! An [`AsyncUpstream`](crate::upstream::AsyncUpstream) has the same contract. What is different is that
//! it is interrupted by the drop of its future: whatever it awaits must be safe to drop there. Its
//! pull has a type of its own, by which the compiler sees whether its futures are `Send`. This is the
//! server from above; `examples/http` in the repository is one over HTTP, with every status
//! classified.
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::log::{MemoryEntry, MemoryLog};
//! use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, More, Page, PullError, PushError};
//! use latchwork::{Epoch, Replicator, Settled};
//! use std::future::Future;
//! use std::pin::Pin;
//! use std::sync::{Arc, Mutex};
//! use std::task::{Context, Waker};
//!
//! type Log = MemoryLog<&'static str>;
//! type Entry = MemoryEntry<&'static str>;
//!
//! #[derive(Default)]
//! struct Server {
//!     events: Mutex<Vec<Entry>>,
//!     news: Epoch,
//! }
//!
//! #[derive(Clone, Default)]
//! struct Client(Arc<Server>);
//!
//! struct Pull<'a> {
//!     server: &'a Server,
//!     cursor: u64,
//!     caught_up: bool,
//! }
//!
//! impl AsyncUpstream<Log> for Client {
//!     type Pull<'a> = Pull<'a>;
//!
//!     async fn push(&self, batch: &Batch<Log>) -> Result<(), PushError<u64>> {
//!         let mut events = self.0.events.lock().unwrap();
//!         let head = events.len() as u64;
//!         if batch.base != head {
//!             return Err(PushError::Behind { head: Some(head) });
//!         }
//!         events.extend(batch.entries.iter().cloned());
//!         drop(events);
//!         self.0.news.bump();
//!         Ok(())
//!     }
//!
//!     fn pull(&self, cursor: u64) -> Pull<'_> {
//!         Pull { server: &self.0, cursor, caught_up: false }
//!     }
//! }
//!
//! impl AsyncPull<Log> for Pull<'_> {
//!     async fn next_page(&mut self) -> Option<Result<Page<Entry>, PullError>> {
//!         loop {
//!             let seen = self.server.news.current(); // before the look
//!             let entries = self.server.events.lock().unwrap()[self.cursor as usize..].to_vec();
//!             if !entries.is_empty() || !self.caught_up {
//!                 self.cursor += entries.len() as u64;
//!                 self.caught_up = true;
//!                 return Some(Ok(Page { entries, more: More::None }));
//!             }
//!             self.server.news.past(seen).await;
//!         }
//!     }
//! }
//!
//! let builder = Replicator::builder(Log::new(), Client::default());
//! let (notes, mut driver) = builder.build_async(|_| std::future::pending()); // no failure to wait out
//! let ticket = notes.commit(vec!["milk"])?;
//! // What a runtime does with a task; this upstream answers in the first poll.
//! let mut context = Context::from_waker(Waker::noop());
//! assert!(Pin::new(&mut driver).poll(&mut context).is_pending());
//! assert_eq!(ticket.wait(), Settled::Confirmed(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What to test
//!
//! A push whose answer is lost: is the batch in upstream once? Two clients that push at once: is
//! one of them told `Behind`? A pull from each cursor: is no event left out, and does it say that
//! it has caught up? A call that hangs: does it end when it is interrupted? [`Batch::new`] makes
//! batches for such tests.
//!
//! [`Upstream`]: crate::upstream::Upstream
//! [`PushError`]: crate::upstream::PushError
//! [`More::None`]: crate::upstream::More::None
//! [`Batch::new`]: crate::upstream::Batch::new
//! [`Interrupt::sleep`]: crate::Interrupt::sleep
