//! Write a log: events that are pending, and how they are merged with what upstream sends.
//!
//! A log is plain data under the replicator's lock. It has no threads and never blocks. What it
//! must promise is in the reference of [`Log`]; in short:
//!
//! - **It has two ends.** Upstream has ordered what stands before the *upstream head*; what comes
//!   after it, up to the *head*, is *pending*. The upstream head is the cursor to pull from.
//! - **Pending events are sent in their order**, and are confirmed in that order.
//! - **All or nothing.** A method that returns an error has changed nothing. So check first.
//! - **A merge says what it did**, exactly: which events of others are new, which pending ones
//!   upstream has ordered, and whether those that are left have got new numbers ([`Merged`]). The
//!   protocol compares the account with what was pending, and a log whose account does not add up
//!   has [failed](crate::protocol::Failure::Contract).
//!
//! Three methods have a default that says "I cannot": [`give_up`] and [`replace`], by which an [owner](super::decide) takes
//! out what upstream refuses, and [`weight`], for a limit in bytes. A log without the first two stays blocked until the event
//! is taken after all, or the log is replaced.
//!
//! # Merging
//!
//! A page from upstream follows the upstream head. Walk it: an entry that *is* the first pending
//! event is our own, which upstream has ordered; any other is new. If something new came while
//! events are pending, these now stand behind it and have other numbers: a *rebase*. Otherwise it
//! is an *advance*. To tell its own events from equal ones of other clients a log needs something
//! in the entry that no other client writes, such as the author here.
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::Replicator;
//! use latchwork::log::{Log, Merged};
//! use latchwork::upstream::Memory;
//! use std::collections::VecDeque;
//! use std::num::NonZeroUsize;
//! use std::time::Duration;
//!
//! #[derive(Clone, Debug, PartialEq)]
//! struct Note {
//!     number: u64,
//!     author: &'static str,
//!     text: String,
//! }
//!
//! /// Notes of several authors. Those that upstream has ordered are numbered 1, 2, 3, …
//! struct Notes {
//!     author: &'static str,
//!     ordered: Vec<Note>,
//!     pending: VecDeque<String>,
//! }
//!
//! #[derive(Debug)]
//! struct Gap {
//!     expected: u64,
//!     found: u64,
//! }
//!
//! impl std::fmt::Display for Gap {
//!     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
//!         write!(f, "expected note {}, got {}", self.expected, self.found)
//!     }
//! }
//!
//! impl std::error::Error for Gap {}
//!
//! /// Whether `notes` are numbered on from `head`.
//! fn follow(head: u64, notes: &[Note]) -> Result<(), Gap> {
//!     let gap = (head + 1..).zip(notes).find(|(expected, note)| note.number != *expected);
//!     gap.map_or(Ok(()), |(expected, note)| Err(Gap { expected, found: note.number }))
//! }
//!
//! impl Log for Notes {
//!     type Event = String;
//!     type Entry = Note;
//!     type Position = u64;
//!     type Error = Gap;
//!
//!     fn head(&self) -> u64 {
//!         self.upstream_head() + self.pending.len() as u64
//!     }
//!     fn upstream_head(&self) -> u64 {
//!         self.ordered.len() as u64
//!     }
//!     fn pending(&self) -> usize {
//!         self.pending.len()
//!     }
//!     fn position(note: &Note) -> u64 {
//!         note.number
//!     }
//!     fn number(&self, texts: Vec<String>) -> Result<Vec<Note>, Gap> {
//!         let numbered = (self.head() + 1..).zip(texts);
//!         Ok(numbered.map(|(number, text)| Note { number, author: self.author, text }).collect())
//!     }
//!     fn admit(&mut self, notes: Vec<Note>) -> Result<usize, Gap> {
//!         follow(self.head(), &notes)?;
//!         let count = notes.len();
//!         self.pending.extend(notes.into_iter().map(|note| note.text));
//!         Ok(count)
//!     }
//!     fn batch(&self, max: NonZeroUsize) -> Vec<Note> {
//!         let numbered = (self.upstream_head() + 1..).zip(&self.pending).take(max.get());
//!         numbered.map(|(number, text)| Note { number, author: self.author, text: text.clone() }).collect()
//!     }
//!     fn merge(&mut self, page: Vec<Note>) -> Result<Merged<Note>, Gap> {
//!         follow(self.upstream_head(), &page)?; // before anything is changed
//!         self.ordered.extend(page.iter().cloned());
//!         let (confirmed, new): (Vec<_>, Vec<_>) = page.into_iter().partition(|note| {
//!             let ours = note.author == self.author && self.pending.front() == Some(&note.text);
//!             ours && self.pending.pop_front().is_some()
//!         });
//!         let moved = self.pending.len();
//!         Ok(if new.is_empty() || moved == 0 {
//!             Merged::Advance { new, confirmed }
//!         } else {
//!             Merged::Rebase { new, confirmed, moved, dropped: Vec::new() }
//!         })
//!     }
//! }
//!
//! let notes = |author| Notes { author, ordered: Vec::new(), pending: VecDeque::new() };
//! let upstream = Memory::new(0);
//! let [alice, bob] =
//!     ["alice", "bob"].map(|author| Replicator::builder(notes(author), upstream.clone()).spawn().unwrap());
//! alice.commit(vec!["milk".into()])?;
//! alice.flush(Duration::from_secs(10))?;
//! bob.commit(vec!["bread".into(), "milk".into()])?;
//! bob.flush(Duration::from_secs(10))?;
//!
//! // Bob's notes are ordered behind Alice's, so he has hers.
//! let texts = bob.with_log(|log| log.ordered.iter().map(|note| note.text.clone()).collect::<Vec<_>>());
//! assert_eq!(texts, ["milk", "bread", "milk"]);
//! assert_eq!(bob.with_log(|log| log.ordered.clone()), upstream.entries());
//!
//! // The laws of every log, with the feature `contract`: see below.
//! # #[cfg(feature = "contract")]
//! latchwork::contract::Contract::new(move || notes("alice"), |number| format!("note {number}")).log()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A log that only adds something
//!
//! To keep a view of the events, or to write them to a file, wrap a log that exists: a
//! [`Wrapper`](crate::log::Wrapper) says only what is different. A log that implements [`Log`]
//! itself by forwarding and forgets a method with a default compiles, and is wrong.
//!
//! # Where durability belongs
//!
//! Not in the log's methods: they run under the replicator's lock, and a write to a disk there keeps
//! commits and `status` waiting. Write beside it, from a thread that takes its work from
//! [`updates`](crate::Replicator::updates) and from your own commits, in the order in which it
//! happened.
//!
//! What is in the file after a crash is then a prefix of what was in memory, and a prefix is safe:
//!
//! - What was committed and is not in the file is lost if it was not sent, and comes back in a pull
//!   if it was: an owner who needs to know waits for the write before it says "saved".
//! - What upstream has ordered and is not in the file comes again, since a pull begins at the file's
//!   cursor.
//! - What is pending in the file, and upstream has already, comes in that pull and confirms it. For
//!   that a log has to know its own events when it sees them. It compares what stands in one place,
//!   so two events must not be equal by chance: give each an id that no other start of the process
//!   uses again, such as a number of the start beside the number of the event.
//!
//! # Now run the contract
//!
//! A merge is a function: test it on pages that confirm none, some and all of what is pending, with events of others before,
//! between and behind. Then let two replicators commit at once, as above, and compare their logs. Upstreams that misbehave are
//! injected with [`Memory::fail_push`] and [`Memory::fail_pull`].
//!
//! What every log has to promise need not be tested by hand. The laws of a log are tests that this crate brings, in the module
//! `contract`, behind a feature of that name; the example above ends in a call of it. It is given a function that makes an
//! empty log, and one that makes the event of a number, and says by name which laws are broken, with what was expected and
//! what came. They are listed in the module's documentation, and so are those of a [journal](super::crash).
//!
//! ```toml
//! [dev-dependencies]
//! latchwork = { version = "0.1", features = ["contract"] }
//! ```
//!
//! [`Log`]: crate::log::Log
//! [`give_up`]: crate::log::Log::give_up
//! [`replace`]: crate::log::Log::replace
//! [`weight`]: crate::log::Log::weight
//! [`Merged`]: crate::log::Merged
//! [`Memory::fail_push`]: crate::upstream::Memory::fail_push
//! [`Memory::fail_pull`]: crate::upstream::Memory::fail_pull
