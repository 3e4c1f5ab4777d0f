//! Coordination for sync engines: what waits, wakes, restarts and stops, checked by loom on the code that ships.
//!
//! | | |
//! | --- | --- |
//! | [`Replicator`] | keeps a log and an upstream together: pushes what is committed, pulls and merges what others did |
//! | [`protocol`] | who may do what next, as a pure state machine: no threads, no I/O, no clock |
//! | [`upstream`] | what a backend implements, and one in memory with faults to inject |
//! | [`log`], [`SyncState`] | what a log must be able to do, and the one that most will want |
//! | [`Latch`] | a gate that opens and closes; whoever waited when it opened is through |
//! | [`Epoch`] | a counter that only grows: read it, look, and park only past what was read |
//! | [`Interrupt`] | a request to end, with its cause |
//! | [`Worker`] | a thread that runs a body again and again, and never twice at once |
//! | [`Backoff`] | how long to wait before trying again |
//!
//! Everything that waits is one thing underneath, a queue of wakers: a task awaits a future, and a thread blocks on the
//! same one. Hence each wait comes in both kinds, async works under any executor, and one model covers the two. A wait
//! with a bound ends in exactly one of three ways; see [`Waited`].
//!
//! # The theorem
//!
//! > **No schedule leaves the pusher parked after an advance.** After every advance, rebase, finished catch-up, reconnect,
//! > timer, resume, restart or stop the pusher looks again; and when everything is quiet, either nothing is pending or
//! > [`Status::waiting_on`](replicator::Status::waiting_on) names a party that can move.
//!
//! With its quantifiers, as it is checked:
//!
//! - *For every schedule* of three threads (a committer, the pusher, the puller) and one commit, one event of another
//!   client and one page, in a log that advances and in one that rebases: the commit settles. Searched by loom through the
//!   public interface of [`Replicator`], **exhaustively, without a bound**: `replicator::advance_resumes_the_pusher` and
//!   `replicator::rebase_resumes_the_pusher`.
//! - *For every schedule* in which an advance, a rebase, a finished catch-up with or without events, a reconnect, a timer, a
//!   resume, a restart or a stop meets a pusher that is idle, about to be accepted, about to be rejected, behind, uncertain,
//!   backing off or paused, one commit each: the same, **exhaustively** from that state on (the way to it is not explored);
//!   after a stop the ticket has settled, and is confirmed only if upstream has the event. (`matrix::…`)
//! - *For every schedule* from the start in which a push is rejected, lost, or cannot be delivered, and a catch-up ends with
//!   or without events, upstream comes back, or a backoff ends: the commit settles, and upstream has it once. Exhaustively
//!   where time is at its end from the start; with time that ends at any moment, up to three preemptions, as for what a
//!   shutdown reports.
//! - *For every schedule with at most five preemptions* of two commits and two foreign events: both settle.
//! - *For every reachable state* of one to three clients' [`Protocol`](protocol::Protocol)s and one upstream, with up to
//!   three events and four faults between them (the sizes are printed): sixteen invariants hold, there is no cycle without
//!   a fault or a commit, and every state in which nothing can happen is drained. (`tests/search`)
//!
//! Each of these checks has been seen to fail: the known bugs of real engines, H001 and its first published fix among them,
//! are edits of the shipped code, and each search must find its own. The index `loom-tests/main.rs` says which.
//!
//! The limits: other sizes than these; upstreams that break their [contract](upstream::Upstream); a log that does not do
//! what [`Log`](log::Log) asks; a process that starts anew forgets that a push was uncertain, and is safe only because an
//! upstream takes no batch that does not follow its last event; and what is said below.
//!
//! # Waiting for the right thing
//!
//! The commonest lost wake-up is *look, find nothing, park*: what comes between the look and the park wakes nobody. A
//! [`Latch`] is enough where whoever comes next may be let through at once. Where there is work to look for, read an
//! [`Epoch`] **before** looking and park past what was read:
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return }
//! use latchwork::{Epoch, Waited};
//! use std::sync::Mutex;
//! use std::time::Duration;
//!
//! let (outbox, changes) = (Mutex::new(Vec::new()), Epoch::new());
//! let next = || loop {
//!     let seen = changes.current();
//!     if let Some(event) = outbox.lock().unwrap().pop() {
//!         return Some(event);
//!     }
//!     // Whatever was committed after `current` has counted past `seen`: this returns at once.
//!     if let Waited::TimedOut = changes.wait_past_timeout(seen, Duration::from_secs(60)) {
//!         return None;
//!     }
//! };
//! std::thread::scope(|scope| {
//!     let pusher = scope.spawn(next);
//!     outbox.lock().unwrap().push("event");
//!     changes.bump();
//!     assert_eq!(pusher.join().unwrap(), Some("event"));
//! });
//! ```
//!
//! # What is checked, and what that is worth
//!
//! With `--cfg loom` *and* the feature `loom`, every lock, atomic, thread and clock of the crate is loom's; the rest is
//! line for line what ships. The crate's own models stand in `loom-tests/`, with an index that says for each: the
//! property, how far it is searched, and the known bugs that it must find when they are switched on. Your own code can
//! be checked in the same way, deadlines included: see [`sync`] and the README.
//!
//! A pass covers the threads and steps that a model starts, and no more. loom does not explore load buffering, and
//! treats `SeqCst` (which is not used here) as `AcqRel`. In loom nothing times out and nothing wakes without a reason,
//! unless the model says so through [`sync`]. `parking_lot`, the standard library and the operating system are trusted.
//! Nothing about a real backend follows from the model of one.
//!
//! # Panics in your code
//!
//! There is no poisoning. No code of yours but a [`Log`](log::Log)'s runs while a lock of the replicator's is held (nothing
//! of yours is formatted, dropped or woken under it), and a log's panic is contained: the direction that met it has failed,
//! visibly, and the owner can go on. A log that calls its own replicator would wait for itself; a debug build panics
//! instead, and says so. In a worker's body a panic ends that run, visibly ([`worker::Ended::Panicked`]), and not the worker.
//! In a task's waker it comes out of the call that woke it, after everybody else has been woken; in a thread of the
//! replicator's own it is the [last error](replicator::Status::last_error), and the thread goes on.
//!
//! # Features
//!
//! None by default. `loom` is for model builds; without `--cfg loom` it does nothing. With `tracing` the
//! [`replicator`] tells what it does, as [events](replicator#events).

#![warn(missing_debug_implementations, missing_docs, clippy::missing_errors_doc)]

mod backoff;
pub mod log;
mod platform;
mod primitives;
pub mod protocol;
pub mod replicator;
pub mod sync_state;

pub use backoff::Backoff;
pub use primitives::epoch::{Epoch, Passed};
pub use primitives::interrupt::{Cause, Interrupt, Interrupted, Set};
pub use primitives::latch::{Latch, Opened};
pub use primitives::wait::{WaitError, Waited};
pub use primitives::worker;
pub use replicator::{Replicator, Settled, Ticket};
pub use sync_state::{SeqNum, SyncState};
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
    pub use crate::platform::{IN_MODEL, Instant, model};
}

/// What a backend implements: the upstream that orders everybody's events.
pub mod upstream {
    pub use crate::protocol::messages::{Batch, FatalKind, More, Page, PullError, PushError, SharedError};
    pub use crate::replicator::upstream::{Fault, Memory, Upstream};
}
