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
//! one transaction; over an object store it is a conditional write. [`engines`](super::engines) says which databases,
//! brokers and stores can do it, and what there is for them.
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
//! use latchwork::upstream::{Batch, FatalKind, More, Page, PullError, PushError, Upstream};
//! use latchwork::{Epoch, Interrupt, Replicator};
//! use std::iter;
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! type Log = MemoryLog<String>;
//! type Entry = MemoryEntry<String>;
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
//!         if batch.base > head {
//!             return Err(PushError::Fatal { kind: FatalKind::WentBack, error: "events are gone".into() });
//!         }
//!         if batch.base < head {
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
//!         let (mut caught_up, mut ended) = (false, false);
//!         iter::from_fn(move || {
//!             while !ended {
//!                 let seen = news.current(); // before the look
//!                 let Some(entries) = events.lock().unwrap().get(cursor as usize..).map(<[_]>::to_vec) else {
//!                     ended = true;
//!                     return Some(Err(PullError::Fatal { kind: FatalKind::WentBack, error: "events are gone".into() }));
//!                 };
//!                 if !entries.is_empty() || !caught_up {
//!                     cursor += entries.len() as u64;
//!                     caught_up = true;
//!                     return Some(Ok(Page { entries, more: More::None }));
//!                 }
//!                 // Interrupted: the pull ends, and everything has been given out.
//!                 news.past(seen).wait_or(interrupt, None).ready()?;
//!             }
//!             None
//!         })
//!     }
//! }
//!
//! let client = Client::default();
//! let [alice, bob] = [0, 1].map(|_| Replicator::builder(Log::new(), client.clone()).spawn().unwrap());
//! alice.commit(vec!["alice: milk".to_owned()])?;
//! bob.commit(vec!["bob: bread".to_owned()])?;
//! alice.flush(Duration::from_secs(10))?;
//! bob.flush(Duration::from_secs(10))?;
//! assert_eq!(client.0.events.lock().unwrap().len(), 2);
//!
//! // The laws of every upstream, with the feature `contract`: see below.
//! # #[cfg(feature = "contract")]
//! latchwork::contract::Contract::new(Log::new, |number| format!("event {number}")).upstream(|| {
//!     let client = Client::default();
//!     move || client.clone()
//! })?;
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
//! use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, FatalKind, More, Page, PullError, PushError};
//! use latchwork::{Epoch, Replicator, Settled};
//! use std::future::Future;
//! use std::pin::Pin;
//! use std::sync::{Arc, Mutex};
//! use std::task::{Context, Waker};
//!
//! type Log = MemoryLog<String>;
//! type Entry = MemoryEntry<String>;
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
//!         if batch.base > head {
//!             return Err(PushError::Fatal { kind: FatalKind::WentBack, error: "events are gone".into() });
//!         }
//!         if batch.base < head {
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
//!             let rest = self.server.events.lock().unwrap().get(self.cursor as usize..).map(<[_]>::to_vec);
//!             let Some(entries) = rest else {
//!                 return Some(Err(PullError::Fatal { kind: FatalKind::WentBack, error: "events are gone".into() }));
//!             };
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
//! let ticket = notes.commit(vec!["milk".to_owned()])?;
//! // What a runtime does with a task; this upstream answers in the first poll.
//! let mut context = Context::from_waker(Waker::noop());
//! assert!(Pin::new(&mut driver).poll(&mut context).is_pending());
//! assert_eq!(ticket.wait(), Settled::Confirmed(1));
//!
//! // The same laws, in a runtime, with the feature `contract`.
//! # #[cfg(all(feature = "contract", not(feature = "loom")))]
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let contract = latchwork::contract::Contract::new(Log::new, |number| format!("event {number}"));
//! let make = async || {
//!     let client = Client::default();
//!     async move || client.clone()
//! };
//! contract.async_upstream(tokio::time::sleep, make).await
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Now run the contract
//!
//! What stands above is what most backends get wrong once. The laws of an upstream are tests that this crate brings, in the
//! module `contract`, behind a feature of that name: it is for the tests alone, so ask for it among the `dev-dependencies`.
//!
//! ```toml
//! [dev-dependencies]
//! latchwork = { version = "0.1", features = ["contract"] }
//! ```
//!
//! Both examples above end in a call of it. It is given a function that makes an **empty** upstream, for each law one, such
//! as a table, a stream or a file under a new name, and returns another that opens clients of that. What is broken it says by
//! name, with what was expected and what came; the laws are listed in the module's documentation.
//!
//! Over a network also run `async_upstream_cut`, which cuts the connection at each byte of a push and a pull, and looks
//! whether `Unavailable` is said of what was not taken alone; and `async_upstream_of_another`, for a client that reaches
//! another upstream than its own. [`Batch::new`] makes batches for what else there is to test: which event is refused, and how
//! a server's words are classified.
//!
//! [`Upstream`]: crate::upstream::Upstream
//! [`PushError`]: crate::upstream::PushError
//! [`More::None`]: crate::upstream::More::None
//! [`Batch::new`]: crate::upstream::Batch::new
//! [`Interrupt::sleep`]: crate::Interrupt::sleep
