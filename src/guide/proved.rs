//! What is proved, at which sizes, and what is not.
//!
//! # The theorem
//!
//! > **No schedule leaves the pusher parked after an advance.** After every advance, rebase,
//! > finished catch-up, reconnect, timer, resume, restart or stop the pusher looks again; and when
//! > everything is quiet, either nothing is pending or [`Status::waiting_on`] names a party that
//! > can move.
//!
//! The second half can be watched:
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::Replicator;
//! use latchwork::log::{MemoryEntry, MemoryLog};
//! use latchwork::protocol::{Direction, WaitingOn};
//! use latchwork::upstream::Memory;
//! use std::time::Duration;
//!
//! let (upstream, moment) = (Memory::new(0), Duration::from_secs(10));
//! let replicator = Replicator::builder(MemoryLog::new(), upstream.clone()).spawn()?;
//! replicator.pause(Direction::Push);
//! replicator.commit(vec!["ours"])?;
//! assert_eq!(replicator.status().waiting_on, WaitingOn::Gate(Direction::Push));
//!
//! // An event of another client, which only advances the log: where H001 stopped for ever.
//! let updates = replicator.updates();
//! upstream.append([MemoryEntry { position: 1, event: "theirs" }]);
//! updates.receiver.recv_timeout(moment)?;
//! assert_eq!(replicator.status().waiting_on, WaitingOn::Gate(Direction::Push));
//!
//! replicator.resume(Direction::Push);
//! replicator.flush(moment)?;
//! assert_eq!(upstream.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # As it is checked
//!
//! - *For every schedule* of three threads (a committer, the pusher, the puller) and one commit,
//!   one event of another client and one page, in a log that advances and in one that rebases: the
//!   commit settles. Searched by loom through the public interface of [`Replicator`],
//!   **exhaustively, without a bound**: `replicator::advance_resumes_the_pusher` and
//!   `replicator::rebase_resumes_the_pusher`.
//! - *For every schedule* in which an advance, a rebase, a finished catch-up with or without
//!   events, a reconnect, a timer, a resume, a restart or a stop meets a pusher that is idle, about
//!   to be accepted, about to be rejected, behind, uncertain, backing off or paused, one commit
//!   each: the same, **exhaustively** from that state on (the way to it is not explored, nor when
//!   the committer begins to wait); after a stop the ticket has settled, and is confirmed only if
//!   upstream has the event. What meets a push that is about to be lost, a request to try again and
//!   a resume of pulls are, where that takes too long, searched up to four or five preemptions.
//!   (`matrix::…`) The same meetings with a driver, polled by one thread: **exhaustively**, or up to
//!   four preemptions where that takes too long. (`task_matrix::…`)
//! - *For every schedule* of a committer and a driver, and one event of another client, in a log
//!   that advances and in one that rebases: the commit settles, **exhaustively**. A driver that moves
//!   to another task, one that is dropped at any moment, calls that hang and sleeps that are asked
//!   for anew: some exhaustively, some up to two or three preemptions. (`tasks::…`)
//! - *For every schedule* from the start in which a push is rejected, lost, or cannot be delivered,
//!   and a catch-up ends with or without events, upstream comes back, or a backoff ends: the commit
//!   settles, and upstream has it once. Exhaustively where time is at its end from the start; with
//!   time that ends at any moment, up to four preemptions. What a shutdown reports is searched up
//!   to three.
//! - *For every schedule with at most five preemptions* of two commits and two foreign events: both
//!   settle.
//! - *For every reachable state* of one to three clients' [`Protocol`]s and one upstream, with up
//!   to three events and four faults between them (the sizes are printed): sixteen invariants hold,
//!   there is no cycle without a fault or a commit, and every state in which nothing can happen is
//!   drained. (`tests/search`)
//! - *For any number of clients, events and faults*, by **induction** over the same pure [`Protocol`]:
//!   what one client may meet, whatever all others do, is a set of some hundred thousand states that
//!   is closed under every step that the contracts permit, and under an owner who acts at any time,
//!   calls and logs that fail, and upstreams that lie. In each of them a party that is waited on can
//!   move, steps that consume nothing come to an end, a parked pusher has what ends its wait, and
//!   calls that follow each other for ever pass through time. (`tests/induction`)
//! - *For any signals before and after a transition*, whatever the protocol says: a thread that waits
//!   is woken if it has to look, and so is a task, in every schedule, **exhaustively**: the same
//!   scenario on the whole of what ships, but for the signals. (`driver::…`)
//!
//! The last two together are the theorem for every size: by the induction there is always a party that
//! has a step, and by the lemma it takes it. They rest on the contracts of [`Log`] and [`Upstream`],
//! above all that a pull says at some time that it has caught up, and that calls which are to end do. The
//! induction does not see which events a log holds and in which order, nor a reset to a log whose events
//! upstream has among those of others (the search within bounds does), and neither locks nor threads (the
//! models do).
//!
//! Each of these checks has been seen to fail: the known bugs of real engines, H001 and its first
//! published fix among them, are edits of the shipped code, and each search must find its own. The
//! index `loom-tests/main.rs` says which, and `loom-tests/REPORT.md` how far each search goes,
//! every model that has a bound, every model for which no bug is known, and every property that no
//! known bug breaks.
//!
//! # What is not shown
//!
//! - **Other sizes** of what loom explores. It explores what a model starts, and no more.
//! - **Weaker memory than loom's.** Load buffering is not explored, and `SeqCst` (which is not used
//!   here) is treated as `AcqRel`.
//! - **Time and spurious wake-ups, unless the model brings them.** In loom nothing times out and
//!   nothing wakes without a reason; [`sync`](crate::sync) adds both, where a model asks for it.
//! - **What lies underneath**: `parking_lot`, the standard library, the compiler, the operating
//!   system. `Arc` is the standard one, so leaks are not looked for.
//! - **Fairness.** A thread that waits for ever is found; one that is overtaken again and again is
//!   not.
//! - **Your log and your upstream.** The theorem rests on their contracts, in [`Log`] and
//!   [`Upstream`]. A process that starts anew forgets that a push was uncertain, and is safe only
//!   because an upstream takes no batch that does not follow its last event.
//!
//! [`Status::waiting_on`]: crate::replicator::Status::waiting_on
//! [`Replicator`]: crate::Replicator
//! [`Protocol`]: crate::protocol::Protocol
//! [`Log`]: crate::log::Log
//! [`Upstream`]: crate::upstream::Upstream
