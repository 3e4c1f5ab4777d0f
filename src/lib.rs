//! Coordination for sync engines: what waits, wakes, restarts and stops, checked by loom on the code
//! that ships.
//!
//! Two clients and an upstream, in one process:
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::log::MemoryLog;
//! use latchwork::upstream::Memory;
//! use latchwork::{Replicator, Settled};
//! use std::time::Duration;
//!
//! let upstream = Memory::new(0);
//! let alice = Replicator::builder(MemoryLog::new(), upstream.clone()).spawn()?;
//! let bob = Replicator::builder(MemoryLog::new(), upstream.clone()).spawn()?;
//!
//! let ticket = alice.commit(vec!["alice: milk"])?; // never waits for the network
//! bob.commit(vec!["bob: bread"])?; // the pushes may meet: one is rejected, and sent again
//! assert!(matches!(ticket.wait(), Settled::Confirmed(_)));
//! bob.flush(Duration::from_secs(10))?;
//! assert_eq!(upstream.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! > **No schedule leaves the pusher parked after an advance.** After every advance, rebase, finished
//! > catch-up, reconnect, timer, resume, restart or stop the pusher looks again; and when everything is
//! > quiet, either nothing is pending or [`Status::waiting_on`](replicator::Status::waiting_on) names a
//! > party that can move.
//!
//! How far that is checked, and what is not, is in [the guide](guide::proved).
//!
//! # The parts
//!
//! | | |
//! | --- | --- |
//! | [`Replicator`] | keeps a log and an upstream together: pushes what is committed, pulls and merges what others did |
//! | [`protocol`] | who may do what next, as a pure state machine: no threads, no I/O, no clock |
//! | [`upstream`] | what a backend implements, and one in memory with faults to inject |
//! | [`log`], [`SyncState`] | what a log must be able to do, and the one that most engines will want |
//! | [`journal`] | what makes commits durable without waiting for the disk under a lock |
//! | [`Latch`] | a gate that opens and closes; every waiter that is there when it opens gets through |
//! | [`Epoch`] | a counter that only grows: read it, look, and park only past what was read |
//! | [`Interrupt`] | a request to end, with its cause |
//! | [`Worker`] | a thread that runs a body again and again, and never twice at once |
//! | [`Backoff`] | how long to wait before trying again |
//!
//! Everything that waits is one thing, a [`Wait`], and one thing underneath, a queue of wakers: a task
//! awaits it, a thread blocks on it, perhaps until a deadline or an interrupt. Hence async works under
//! any executor, and one model covers the two. A wait with a bound ends in exactly one of three ways;
//! see [`Waited`].
//!
//! # Read on
//!
//! The [guide] has chapters: [which part to choose](guide::choose), how to write [a log](guide::log)
//! and [an upstream](guide::upstream), how sessions have [a leader](guide::leader), what [survives a crash](guide::crash), how
//! [threads](guide::threads) and [tasks](guide::tasks) use the parts, how to
//! [model-check your own code](guide::model), [what is proved](guide::proved), how to
//! [move from a hand-written loop](guide::by_hand), and a [glossary](guide::glossary).
//!
//! # Panics in your code
//!
//! There is no poisoning. No code of yours but a [`Log`](log::Log)'s runs while a lock of the
//! replicator's is held (nothing of yours is formatted, dropped or woken under it), and a log's panic
//! is contained: the direction that met it has failed, visibly, and the owner can go on. A log that
//! calls its own replicator would wait for itself; a debug build panics instead, and says so. In a
//! worker's body a panic ends that run, visibly ([`worker::Ended::Panicked`]), and not the worker. In a
//! task's waker it comes out of the call that woke it, after all other waiters have been woken; in a
//! thread of the replicator's own it is the [last error](replicator::Status::last_error), and the
//! thread goes on.
//!
//! # Features
//!
//! None by default. `contract` brings the laws of [`Upstream`](upstream::Upstream), [`Log`](log::Log) and
//! [`Journal`](journal::Journal) as tests for implementations of your own. `loom` is for model builds; without `--cfg loom` it does nothing. With `tracing` the
//! [`replicator`] tells what it does, as [events](replicator#events).

#![warn(missing_debug_implementations, missing_docs, clippy::missing_errors_doc)]

#[cfg(feature = "contract")]
pub mod contract;
pub mod guide;
mod platform;
mod primitives;
pub mod replicator;

// The pure half, which is documented in its own crate.
#[doc(no_inline)]
pub use latchwork_core::{Backoff, SeqNum, SharedError, SyncState, log, protocol, sync_state};
pub use primitives::epoch::Epoch;
pub use primitives::interrupt::{Cause, Interrupt, Interrupted};
pub use primitives::latch::Latch;
pub use primitives::wait::{Wait, Waitable, Waited};
pub use primitives::worker;
pub use replicator::{Replicator, Settled, Ticket};
// Second names for what `worker` has.
#[doc(no_inline)]
pub use worker::{RestartPolicy, Run, Worker};

/// What differs in a model build, and what models of your own code are written with.
///
/// A normal build takes its locks from `parking_lot` and its threads and clock from `std`. A **model build**
/// (`--cfg loom` *and* the feature `loom`) takes all of them from loom, so that the crate, line for line the one that
/// ships, can be run under every interleaving. Either switch alone changes nothing: a stray `--cfg loom` somewhere in a
/// dependency tree leaves this crate as it is.
///
/// loom never lets a wait time out and never wakes a condition variable without a reason. In a model build time is
/// therefore a value that only the model moves ([`model::advance`](sync::model::advance)): every deadline that falls due
/// is woken at that point, and since the scheduler may put that point anywhere, "it times out just as it opens" is one of
/// the schedules that are explored. Wake-ups without a reason are brought in in the same way
/// ([`model::wake_spuriously`](sync::model::wake_spuriously)), and so is letting others run before sleeping
/// ([`model::give_way`](sync::model::give_way)).
pub mod sync {
    #[doc(no_inline)]
    pub use crate::platform::Instant;
    pub use crate::platform::{IN_MODEL, model};
}

/// What survives a crash: what happens to a log, written down beside the pusher and the puller, in the order in which it happened.
///
/// A [`Journal`](journal::Journal), or an [`AsyncJournal`](journal::AsyncJournal) for tasks, is given to
/// [`Builder::journal`](replicator::Builder::journal), with the log that it holds.
/// [Surviving a crash](guide::crash) says what is promised then.
pub mod journal {
    #[doc(no_inline)]
    pub use crate::log::{Change, ChangeError, Changed, Recovered};
    pub use crate::replicator::journal::{
        AsyncJournal, ForTasks, ForTasksError, ForThreads, Journal, Memory, MemoryError,
    };
}

/// What a backend implements: the upstream that puts the events of all clients into one order.
pub mod upstream {
    #[doc(no_inline)]
    pub use crate::SharedError;
    #[doc(no_inline)]
    pub use crate::log::{BoxError, Codec};
    #[doc(no_inline)]
    pub use crate::protocol::{Batch, FatalKind, More, Page, PullError, PushError};
    pub use crate::replicator::leader::Leader;
    pub use crate::replicator::sessions::LeaderError;
    pub use crate::replicator::upstream::{
        AsyncPull, AsyncUpstream, Fault, Faults, Faulty, ForTasks, ForThreads, Memory, Upstream,
    };
}
