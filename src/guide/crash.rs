//! Surviving a crash: what is promised at each stage, and what is not.
//!
//! Without a [journal](crate::journal) a replicator's log is in memory: what is pending is lost with the process. With one,
//! every change of the log is also told as a value, in order, and a third party beside the pusher and the puller, the
//! **writer**, has the journal write all that have gathered as one transaction. No lock is held meanwhile: a commit, a status or a merge waits for no disk, and
//! the slower the disk is, the more changes share a write.
//!
//! # The stages of a commit
//!
//! | stage | known by | a crash then |
//! | --- | --- | --- |
//! | admitted | [`commit`](crate::Replicator::commit) has returned | may take it back, whole, with all that came after it |
//! | durable | [`Ticket::durable`](crate::Ticket::durable) is `true` | does not take it back: it is pending in the next process |
//! | sent | | only what is durable is sent |
//! | confirmed | [`Ticket::outcome`](crate::Ticket::outcome) | upstream has it; the next process may not know yet, and learns it from the next pull |
//!
//! So a user interface that may show what it could lose for some milliseconds waits for nothing, and one that must not waits
//! for `durable`. Neither waits for the network. A thread that waits for each commit before it makes the next had better write
//! it itself, with [`commit_and_write`](crate::Replicator::commit_and_write), than have it handed to the writer and back.
//!
//! # What a crash leaves
//!
//! A **first part of the changes**: all that are durable, and perhaps those of the write that was under way. Never the cursor
//! without the page that moved it, nor half of a rebase, if the journal writes what it is given in one transaction. What it
//! holds is a cursor and the pending events in their order ([`Recovered`](crate::journal::Recovered)); the log of the next
//! process is made of these. Numbers of pending events are not worth keeping: they follow from the cursor and the order.
//!
//! Upstream may have taken some of the pending events already. The log recognises them as they come back, by what its events
//! call the same ([`Event::is_same_as`](crate::sync_state::Event::is_same_as), or `==` for a
//! [`MemoryLog`](crate::log::MemoryLog)): so give each event an identity. That this is enough rests on what is sent when: while
//! a change is not durable that brought events of others, or by which a pending event left or became another, nothing is sent.
//!
//! # Not promised
//!
//! - What the owner gave up may be pending again after a crash, until that change is durable; so may what upstream has
//!   rejected. It has not been sent in between, nor has what stands behind it.
//! - Updates are not told again. An application that derives tables from the log writes them in the journal's transaction.
//! - A client whose journal is slower than others' events come sends nothing meanwhile: with a write of 50 ms and an event of
//!   another client every 20 ms there is always one that is not durable yet. [`Status::waiting_on`](crate::replicator::Status::waiting_on) names the journal.
//! - Local-only events that stand in a log as it is put in another's place, or as it panics or breaks its contract in the middle
//!   of a change, are not told to the journal: a crash takes them back, also if they were durable
//!   ([`Changed::Reset`](crate::journal::Changed::Reset)).
//! - A journal that says `Ok` too early (a disk without flush) promises nothing, and neither does this.
//!
//! # When the journal fails
//!
//! Then nothing is sent and no pull begins; [`Status::decisions`](crate::replicator::Status::decisions) says why. Commits go on
//! in memory until [so many](crate::replicator::Builder::max_unwritten) changes are unwritten, and
//! [`restart`](crate::Replicator::restart) writes from the first that is not durable, under the same
//! [numbers](crate::journal::Change::number). A [`shutdown`](crate::Replicator::shutdown) that leaves something unwritten is not
//! clean.
//!
//! # On threads, and on tasks
//!
//! With threads the writer has one of its own, and the drop of the last handle waits until all is written. With tasks it is a
//! part of the [`Driver`](crate::replicator::Driver), in one task with the pusher; the driver returns when all is written, and
//! what drops it earlier leaves the rest unwritten, as a crash does: [`Ticket::durable`](crate::Ticket::durable) is `false` for
//! what is not known to be on the disk, and a [`shutdown`](crate::Replicator::shutdown) says how much that is. So on the way
//! out, await the driver.
//!
//! | the journal | on threads, with [`spawn`](crate::replicator::Builder::spawn) | on tasks, with [`build_async`](crate::replicator::Builder::build_async) |
//! | --- | --- | --- |
//! | blocks: a [`Journal`](crate::journal::Journal) | as it is | [`ForTasks`](crate::journal::ForTasks): its calls run where they may block |
//! | awaits: an [`AsyncJournal`](crate::journal::AsyncJournal) | [`ForThreads`](crate::journal::ForThreads): its calls are blocked on | as it is |
//!
//! # An example
//!
//! A process dies after its commit was durable and before it was sent. (The journal is in memory; one of yours writes to a
//! disk.)
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::journal::{self, Recovered};
//! use latchwork::log::MemoryLog;
//! use latchwork::protocol::Direction;
//! use latchwork::{Replicator, Settled, upstream::Memory};
//!
//! /// The log that the journal's last process left.
//! fn recover(journal: &journal::Memory<MemoryLog<&'static str>>) -> MemoryLog<&'static str> {
//!     let held = journal.recovered();
//!     MemoryLog::rebasing().with_pending(held.cursor, held.pending.into_iter().map(|entry| entry.event))
//! }
//!
//! let (upstream, journal) = (Memory::new(0), journal::Memory::new(Recovered::new(0)));
//! let first = Replicator::builder(recover(&journal), upstream.clone()).journal(journal.clone()).spawn()?;
//! first.pause(Direction::Push);
//! assert!(first.commit(vec!["alice: milk"])?.durable().wait());
//! drop(first);
//!
//! let next = Replicator::builder(recover(&journal), upstream.clone()).journal(journal.clone()).spawn()?;
//! assert!(matches!(next.commit(vec!["alice: bread"])?.wait(), Settled::Confirmed(2)));
//! assert_eq!(upstream.entries()[0].event, "alice: milk");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The same on tasks, where it is the driver that is dropped:
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::journal::{self, Recovered};
//! use latchwork::log::MemoryLog;
//! use latchwork::protocol::Direction;
//! use latchwork::{Replicator, Settled, upstream::Memory};
//! use std::future::Future;
//! use std::pin::Pin;
//! use std::task::{Context, Waker};
//!
//! # fn recover(journal: &journal::Memory<MemoryLog<&'static str>>) -> MemoryLog<&'static str> {
//! #     let held = journal.recovered();
//! #     MemoryLog::rebasing().with_pending(held.cursor, held.pending.into_iter().map(|entry| entry.event))
//! # }
//! let (upstream, journal) = (Memory::new(0), journal::Memory::new(Recovered::new(0)));
//! // `recover` is as above; and no failure to wait out.
//! let start = || {
//!     let builder = Replicator::builder(recover(&journal), upstream.clone()).journal(journal.clone());
//!     builder.build_async(|_| std::future::pending())
//! };
//! // What a runtime does with a task; this journal and this upstream answer in the first poll.
//! let mut context = Context::from_waker(Waker::noop());
//!
//! let (first, mut driver) = start();
//! first.pause(Direction::Push);
//! let milk = first.commit(vec!["alice: milk"])?;
//! assert!(Pin::new(&mut driver).poll(&mut context).is_pending());
//! let eggs = first.commit(vec!["alice: eggs"])?;
//! drop(driver);
//! assert!(milk.durable().wait() && !eggs.durable().wait());
//!
//! let (next, mut driver) = start();
//! let bread = next.commit(vec!["alice: bread"])?;
//! assert!(Pin::new(&mut driver).poll(&mut context).is_pending());
//! assert!(matches!(bread.wait(), Settled::Confirmed(2)));
//! assert_eq!(upstream.entries()[0].event, "alice: milk");
//! drop(next);
//! while Pin::new(&mut driver).poll(&mut context).is_pending() {}
//! assert_eq!(journal.recovered().cursor, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Whether a journal of yours keeps its contract is a test that this crate brings: `Contract::journal`, or
//! `Contract::async_journal` for one for tasks, in the module `contract`, behind a feature of that name.
