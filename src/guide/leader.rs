//! Sessions under a leader: several replicators that share one connection to upstream.
//!
//! A **leader** is a replicator that is the upstream of others, its **sessions**: a worker with its
//! tabs, a region with its edges. [`Replicator::as_upstream`] makes an upstream of it. To a session
//! it is one like any other, to be wrapped and driven as they are, and a session may be the leader
//! of others.
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::log::{MemoryEntry, MemoryLog};
//! use latchwork::upstream::Memory;
//! use latchwork::{Replicator, Settled};
//! use std::num::NonZeroUsize;
//! use std::time::Duration;
//!
//! let server = Memory::new(0);
//! let worker = Replicator::builder(MemoryLog::rebasing(), server.clone()).spawn()?;
//! let leader = worker.as_upstream(NonZeroUsize::new(10_000).unwrap());
//! let [left, right] = [(); 2].map(|()| {
//!     Replicator::builder(MemoryLog::rebasing(), leader.clone()).spawn().expect("threads")
//! });
//!
//! // Another client of the server is faster: the worker rebases, and so does the tab.
//! server.append([MemoryEntry { position: 1, event: "theirs" }]);
//! assert_eq!(left.commit(vec!["left's"])?.wait(), Settled::Confirmed(2));
//!
//! // What one tab did reaches the other by way of the server.
//! let reached = right.status_when(|status| status.upstream_head == 2);
//! assert!(reached.wait_timeout(Duration::from_secs(10)).is_ready());
//! assert_eq!(server.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a session sees
//!
//! A session is given out what the leader's upstream has **ordered**, and nothing that is pending at
//! the leader. So its cursor never moves back, a commit that it calls confirmed is confirmed for
//! good, and a rebase of the leader's is a rebase of the session's: both get the same events, and
//! each puts its own pending ones on top.
//!
//! Two tabs without a network do not see each other's commits, then: each has its own until the
//! leader's upstream has ordered them.
//!
//! # What becomes of a push
//!
//! The leader appends a session's batch to its own log, sends it, and answers once it knows what
//! became of it: a session's push takes as long as the leader's upstream takes, and longer if that
//! cannot be reached. It has one such batch at a time, and takes the next when nothing is pending.
//!
//! - Others were faster: the session is *behind*, merges and sends it again. The leader has taken
//!   the batch out of its log by then.
//! - Upstream refuses an event for good: that is a matter for **the owner of the session** that
//!   committed it. The leader's owner sees nothing of it, and other sessions go on.
//! - The batch is larger than [what the leader sends at once](crate::replicator::Builder::push_batch),
//!   or may have [pending](crate::replicator::Builder::max_pending): the session halves it.
//! - The leader rests, backs off, or its journal has no room: the push waits. Set the session a
//!   [deadline](crate::replicator::Builder::push_deadline) if it is not to.
//!
//! What the leader's owner commits to the leader goes before what sessions push. An owner that
//! commits without a pause keeps them waiting: let it have a session, too.
//!
//! # Beginnings and ends
//!
//! The leader keeps the last so many events. A session whose cursor is older
//! [is told so](crate::upstream::FatalKind::CursorTooOld), and is to
//! [begin from a snapshot](crate::Replicator::reset_with) of what the leader has.
//!
//! Sessions do not keep their leader going. Once it has been stopped, which the drop of its last
//! handle does, they fail, visibly, with [`LeaderError::Stopped`](crate::upstream::LeaderError::Stopped);
//! so end the sessions first. Once its log has been [replaced](crate::Replicator::reset), they fail
//! with [`LeaderError::Replaced`](crate::upstream::LeaderError::Replaced), and begin anew with another
//! call of [`as_upstream`](crate::Replicator::as_upstream).
//!
//! A leader with a [journal](super::crash) writes down what its sessions push, as its own. After a
//! crash it sends that, and if others were faster meanwhile, under other numbers. A session that has a
//! journal itself then has the same events pending: its log must know them under any number, as one
//! that compares them by ids does.
//!
//! [`Replicator::as_upstream`]: crate::Replicator::as_upstream
