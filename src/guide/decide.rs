//! When the owner must decide: what does not go away by itself, where it stands, and what can be done.
//!
//! Most of what goes wrong ends by itself: connections come back, others are faster, answers get lost. What does not stands in
//! [one place](crate::replicator::Status::decisions), with its age, until the **owner** has decided: a person, a supervisor, a start-up script.
//! Nothing is lost meanwhile, commits go on, and what can go on does. [`waiting_on`](crate::replicator::Status::waiting_on) names the owner when
//! nothing that is pending can go on without.
//!
//! | what waits | said by | choices, what helps most often first |
//! | --- | --- | --- |
//! | Upstream **refuses one event for good** (not valid, not allowed) | [`PushError::Rejected`], [`PushError::TooLarge`] of one alone | [`retry_rejected`], [`replace_rejected`], [`give_up`] the event or its commit |
//! | Upstream **refuses the client** (401, revoked) | [`PushError::Fatal`], [`PullError::Fatal`] | mend it, then [`restart`]; [`reset`] |
//! | It is **another upstream**, or has **lost events** | [`FatalKind::IdentityMismatch`], [`FatalKind::WentBack`] | [`restart`] once the right one is back; [`reset_with`] a log that fits |
//! | Upstream **has compacted** what would follow | [`FatalKind::CursorTooOld`] | [`reset_with`] a snapshot |
//! | The **log refuses** what upstream sends, breaks its contract, or panicked | [`Failure::Log`], [`Failure::Contract`], [`Failure::Panicked`] | [`restart`]; [`reset_with`]; a bug report |
//! | A direction is **paused** | [`pause`](crate::Replicator::pause) | [`resume`](crate::Replicator::resume) |
//!
//! [`Decision::choices`] gives the choices as values whose words say what each does, for a dialogue.
//!
//! # An event that is refused
//!
//! It blocks those behind it, since they may rest on it: whether they do is for the application to say. Those before it are
//! confirmed first. Its [`Rejected`] holds the event and says how many pending events its commit has.
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::log::{MemoryEntry, MemoryLog};
//! use latchwork::replicator::{GiveUp, Matter};
//! use latchwork::upstream::{Batch, Memory, Page, PullError, PushError, Upstream};
//! use latchwork::{Interrupt, Replicator, Settled};
//!
//! /// A server that takes no empty notes.
//! struct Server(Memory<MemoryLog<&'static str>>);
//!
//! impl Upstream<MemoryLog<&'static str>> for Server {
//!     fn push(&self, batch: &Batch<MemoryLog<&'static str>>, interrupt: &Interrupt) -> Result<(), PushError<u64>> {
//!         match batch.entries.iter().position(|entry| entry.event.is_empty()) {
//!             Some(index) => Err(PushError::Rejected { index, error: "422: a note has words".into() }),
//!             None => self.0.push(batch, interrupt),
//!         }
//!     }
//!     fn pull<'a>(
//!         &'a self,
//!         cursor: u64,
//!         interrupt: &'a Interrupt,
//!     ) -> impl Iterator<Item = Result<Page<MemoryEntry<&'static str>>, PullError>> + 'a {
//!         self.0.pull(cursor, interrupt)
//!     }
//! }
//!
//! let server = Memory::new(0);
//! let notes = Replicator::builder(MemoryLog::new(), Server(server.clone())).spawn()?;
//! let tickets = [vec!["milk"], vec![""], vec!["tea"]].map(|note| notes.commit(note));
//!
//! // Ends when the owner is needed; there is no time to choose.
//! assert!(notes.flushed().wait().is_err());
//! let status = notes.status();
//! let decision = &status.decisions[0];
//! assert!(matches!(decision.matter, Matter::Rejected { .. }));
//! let choices: Vec<_> = decision.choices().iter().map(ToString::to_string).collect();
//! assert_eq!(choices[2], "give_up, of the event: hands it back, and goes on with what is behind it");
//!
//! let handed_back = notes.give_up(GiveUp::Rejected)?;
//! assert_eq!(handed_back[0].event, "");
//! notes.flushed().wait()?;
//! assert_eq!(server.len(), 2);
//! let [milk, empty, tea] = tickets;
//! assert_eq!(empty?.rejection().unwrap().to_string(), "422: a note has words");
//! assert_eq!((milk?.wait(), tea?.wait()), (Settled::Confirmed(1), Settled::Confirmed(2)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where no event rests on another, [`on_rejected`](crate::replicator::Builder::on_rejected) gives up by itself, and hands
//! what was given up to those who listen to [updates](crate::Replicator::updates), as [`Update::given_up`]. A commit that is not
//! wanted any more is **cancelled** by `give_up`, too, with [`GiveUp::Commit`]: unless upstream may have it, which is an error
//! that says so.
//!
//! # A cursor that is too old
//!
//! Load the snapshot first; then, in one step with all commits, put it in the place of the log, with what is pending on top.
//! Events that the snapshot holds are named, and their tickets close; all others live on. What upstream may have taken is
//! fenced, so nothing is sent twice.
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! # use latchwork::{log::{Log, MemoryLog}, upstream::Memory, Replicator};
//! # use std::num::NonZeroUsize;
//! # let notes = Replicator::builder(MemoryLog::new(), Memory::new(0)).spawn()?;
//! # notes.commit(vec!["milk"])?;
//! # let snapshot_head = 0;
//! # let snapshot_holds = |_: &&str| false;
//! notes.reset_with(|log| {
//!     let pending = log.batch(NonZeroUsize::MAX).into_iter().map(|entry| entry.event);
//!     let (gone, kept): (Vec<_>, Vec<_>) = pending.enumerate().partition(|(_, note)| snapshot_holds(note));
//!     let log = MemoryLog::new().with_pending(snapshot_head, kept.into_iter().map(|(_, note)| note));
//!     (log, gone.into_iter().map(|(index, _)| index).collect())
//! })?;
//! notes.flushed().wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A client that is refused, and all else that has failed
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::upstream::{Fault, Memory};
//! use latchwork::{log::MemoryLog, Replicator};
//! # use latchwork::replicator::Choice;
//!
//! let server = Memory::new(0);
//! server.fail_push(Fault::Refuse); // the token has expired
//! let notes = Replicator::builder(MemoryLog::new(), server.clone()).spawn()?;
//! notes.commit(vec!["milk"])?;
//! let error = notes.flushed().wait().unwrap_err();
//! assert!(error.to_string().starts_with("1 event is pending; the next move is owed by the owner"));
//! # assert_eq!(notes.status().decisions[0].choices()[0], Choice::Restart);
//!
//! // A new token, and then:
//! notes.restart();
//! notes.flushed().wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # An upstream that has lost events, or is another one
//!
//! A head before an event that this log has from upstream can only mean that upstream was restored from a backup or made
//! anew. (An upstream that can tell says so itself.) If the right one comes back, `restart` is enough; if this is the right
//! one from now on, another log is.
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::log::{Log, MemoryLog};
//! use latchwork::upstream::Memory;
//! use latchwork::Replicator;
//! use std::num::NonZeroUsize;
//!
//! let made_anew = Memory::new(0);
//! let notes = MemoryLog::new().with_pending(5, ["milk"]); // upstream had five events when this was written
//! let notes = Replicator::builder(notes, made_anew.clone()).spawn()?;
//! let error = notes.flushed().wait().unwrap_err();
//! assert!(error.to_string().contains("upstream has lost events"));
//!
//! // It is to have what is still here.
//! notes.reset_with(|log| {
//!     let pending = log.batch(NonZeroUsize::MAX).into_iter().map(|entry| entry.event);
//!     (MemoryLog::new().with_pending(0, pending), Vec::new())
//! })?;
//! notes.flushed().wait()?;
//! assert_eq!(made_anew.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A log that refuses what upstream sends
//!
//! A page that does not follow is asked for once more, since a stream may have lost one. If it does not follow then either,
//! something is wrong that only the application can mend; so it is with a log that panics, or breaks its contract.
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::log::{MemoryEntry, MemoryLog};
//! use latchwork::protocol::WaitingOn;
//! use latchwork::upstream::Memory;
//! use latchwork::Replicator;
//!
//! let server = Memory::new(0);
//! server.append([MemoryEntry { position: 7, event: "tea" }]); // 1 to 6 have been archived
//! let notes = Replicator::builder(MemoryLog::new(), server).spawn()?;
//! let error = notes.caught_up().wait().unwrap_err();
//! assert!(matches!(error.waiting_on, WaitingOn::Owner(_)));
//! assert!(error.to_string().ends_with("the log refused what upstream sent: expected event 1 next, got 7"));
//!
//! // Once the application has read the archive:
//! notes.reset(MemoryLog::new().with_pending(6, []));
//! assert_eq!(notes.caught_up().wait()?, 7);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A direction that is paused
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::protocol::Direction;
//! use latchwork::{log::MemoryLog, upstream::Memory, Replicator};
//!
//! let notes = Replicator::builder(MemoryLog::new(), Memory::new(0)).spawn()?;
//! notes.pause(Direction::Push); // a metered connection
//! notes.commit(vec!["milk"])?;
//! assert!(notes.flushed().wait().is_err());
//! assert_eq!(notes.status().decisions[0].to_string(), "the push direction is paused");
//! notes.resume(Direction::Push);
//! notes.flushed().wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # To hear of it
//!
//! Nothing polls. [`status_when`] and [`status_changed`] wait, as a thread or as a task. [`flush`], [`flushed`], [`shutdown`],
//! [`commit_within`], [`caught_up`], and a wait for a ticket that is bounded or made by
//! [`unless_halted`](crate::Ticket::unless_halted) end at once when only the owner can go on, and say so.
//!
//! [`retry_rejected`]: crate::Replicator::retry_rejected
//! [`replace_rejected`]: crate::Replicator::replace_rejected
//! [`give_up`]: crate::Replicator::give_up
//! [`restart`]: crate::Replicator::restart
//! [`reset`]: crate::Replicator::reset
//! [`reset_with`]: crate::Replicator::reset_with
//! [`Failure::Log`]: crate::protocol::Failure::Log
//! [`Failure::Contract`]: crate::protocol::Failure::Contract
//! [`Failure::Panicked`]: crate::protocol::Failure::Panicked
//! [`Decision::choices`]: crate::replicator::Decision::choices
//! [`FatalKind::CursorTooOld`]: crate::upstream::FatalKind::CursorTooOld
//! [`FatalKind::IdentityMismatch`]: crate::upstream::FatalKind::IdentityMismatch
//! [`FatalKind::WentBack`]: crate::upstream::FatalKind::WentBack
//! [`GiveUp::Commit`]: crate::replicator::GiveUp::Commit
//! [`PullError::Fatal`]: crate::upstream::PullError::Fatal
//! [`PushError::Fatal`]: crate::upstream::PushError::Fatal
//! [`PushError::Rejected`]: crate::upstream::PushError::Rejected
//! [`PushError::TooLarge`]: crate::upstream::PushError::TooLarge
//! [`Rejected`]: crate::replicator::Rejected
//! [`Update::given_up`]: crate::replicator::Update::given_up
//! [`status_when`]: crate::Replicator::status_when
//! [`status_changed`]: crate::Replicator::status_changed
//! [`flush`]: crate::Replicator::flush
//! [`flushed`]: crate::Replicator::flushed
//! [`shutdown`]: crate::Replicator::shutdown
//! [`commit_within`]: crate::Replicator::commit_within
//! [`caught_up`]: crate::Replicator::caught_up
