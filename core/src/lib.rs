//! The pure half of [latchwork]: merging what upstream sends with what is pending, and who may do what next, as plain data.
//!
//! No thread, no lock, no clock and no I/O: what is here runs wherever Rust does, and a state search or a proof by induction
//! can call it as it is. `latchwork`'s `Replicator` drives it with threads or as a future; with
//! [`Protocol`](protocol::Protocol) an event loop, a browser or a model checker of your own does.
//!
//! | | |
//! | --- | --- |
//! | [`protocol`] | who may do what next, as a pure state machine |
//! | [`log`] | what a log must be able to do, one in memory, and what happens to it as values |
//! | [`sync_state`] | the log that most engines will want: pending events, rebased in O(1) |
//! | [`Backoff`] | how long to wait before trying again |
//! | [`SharedError`] | an error that several places show |
//!
//! A driver asks what is to be done and reports what came of it. This is the known bug H001: a push is rejected since
//! upstream is ahead, and upstream merely advances.
//!
//! ```
//! use latchwork_core::log::{MemoryEntry, MemoryLog};
//! use latchwork_core::protocol::{More, Next, Page, Protocol, PushError, Settings, Time};
//!
//! let (now, random) = (Time::from_millis(1), 0);
//! let mut protocol = Protocol::new(MemoryLog::new(), Settings::default());
//! protocol.commit(vec!["ours"])?;
//! let Next::Do((pull, _cursor)) = protocol.next_pull(now) else { panic!("a live pull begins at once") };
//!
//! let Next::Do(batch) = protocol.next_push(now) else { panic!("something is pending") };
//! protocol.push_ended(batch, Err(PushError::Behind { head: None }), random, now)?;
//! assert!(matches!(protocol.next_push(now), Next::Wait { .. }), "it waits for what upstream has");
//!
//! let page = Page { entries: vec![MemoryEntry { position: 1, event: "theirs" }], more: More::None };
//! protocol.page_pulled(pull, page, random, now)?;
//! assert!(matches!(protocol.next_push(now), Next::Do(_)), "an advance has it look again");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! [latchwork]: https://docs.rs/latchwork

#![warn(missing_debug_implementations, missing_docs, clippy::missing_errors_doc)]

mod backoff;
pub mod log;
pub mod protocol;
mod shared_error;
pub mod sync_state;

pub use backoff::Backoff;
pub use shared_error::SharedError;
pub use sync_state::{SeqNum, SyncState};
