//! Model-check your own code: loom runs it, and this crate under it, in every order of its threads.
//!
//! A test that calls [`check`](crate::sync::model::check) is a **model**. It is explored in a
//! *model build*, where this crate's locks, atomics, threads and clock are loom's, and the rest is
//! line for line what ships. In a normal build it does nothing. This one is H001, the bug that the
//! crate began with, in ten lines: a push is rejected, the missing event advances the log, and the
//! commit must settle in every order of the two.
//!
//! ```
//! # if !latchwork::sync::IN_MODEL { return }
//! use latchwork::log::{MemoryEntry, MemoryLog};
//! use latchwork::sync::model;
//! use latchwork::upstream::{Batch, Memory, Upstream};
//! use latchwork::{Interrupt, Replicator, Settled};
//!
//! model::check_bounded(1, || {
//!     let upstream = Memory::new(0);
//!     let replicator = Replicator::builder(MemoryLog::new(), upstream.clone()).spawn().unwrap();
//!     let ticket = replicator.commit(vec!["ours"]).unwrap();
//!     // Another client: either its push comes first and ours is rejected, or it is.
//!     let theirs = Batch::new(0, vec![MemoryEntry { position: 1, event: "theirs" }]);
//!     let _first_or_behind = upstream.push(&theirs, &Interrupt::new());
//!     model::end_time();
//!     assert!(matches!(ticket.wait(), Settled::Confirmed(_)));
//! });
//! ```
//!
//! An upstream of your own is modelled in the same way; or alone, as `theirs` is pushed here: two
//! threads that push at once, of which one is told that it is behind, and a pull that brings what
//! is pushed meanwhile.
//!
//! What follows stands in `downstream/` of the repository: a crate that depends on this one as any
//! other does. It hands over items in batches, a short delay after the first came, and is built
//! from a [`Latch`](crate::Latch), a [`Worker`](crate::Worker) and a sleep.
//!
//! # 1. Both switches
//!
//! Depend on `latchwork` as usual, and add a feature of your own. It takes both, `--cfg loom` *and*
//! the feature: either alone changes nothing, so a stray `--cfg loom` does not break your build,
//! and loom is not in the lock file of those who only use your crate.
//!
//! <!-- from downstream/Cargo.toml -->
//! ```toml
//! [features]
//! # In a model build, latchwork's types and our own lock are loom's.
//! loom = ["latchwork/loom", "dep:loom"]
//!
//! # For model builds only, and only for those who ask for the feature.
//! [target.'cfg(loom)'.dependencies]
//! loom = { version = "0.7.3", optional = true }
//!
//! [lints.rust]
//! unexpected_cfgs = { level = "warn", check-cfg = ["cfg(loom)"] }
//! ```
//!
//! # 2. What your threads share
//!
//! besides this crate's types and `std::sync::Arc` must be loom's in a model build, too. One module
//! chooses:
//!
//! <!-- from downstream/src/lib.rs -->
//! ```rust,ignore
//! mod sync {
//!     #[cfg(all(loom, feature = "loom"))]
//!     pub use loom::sync::Mutex;
//!     #[cfg(not(all(loom, feature = "loom")))]
//!     pub use std::sync::Mutex;
//! }
//! ```
//!
//! # 3. A model, and the bug that it must find
//!
//! This one moves the clock just as another item comes. With the two steps of a flush in the wrong
//! order, the same model must fail: a model that cannot fail shows nothing.
//!
//! <!-- from downstream/src/model.rs -->
//! ```rust,ignore
//! fn pushes_meet_the_deadline(order: Order) {
//!     let all_there = Arc::new(Latch::new());
//!     let mut missing = 2;
//!     let flush = FlushSoon::with_order(order, DELAY, {
//!         let all_there = Arc::clone(&all_there);
//!         move |batch: Vec<u32>| {
//!             missing -= batch.len();
//!             if missing == 0 {
//!                 all_there.open();
//!             }
//!         }
//!     })
//!     .unwrap();
//!     name(&flush.shared.some, "some");
//!     name(&*all_there, "all there");
//!     flush.push(1);
//!     // From here on every deadline has come, also those still to be set.
//!     end_time();
//!     flush.push(2);
//!     // Before anything is stopped: closing would wake a waiter that was stuck.
//!     all_there.wait();
//!     assert_eq!(flush.close(), []);
//! }
//!
//! #[test]
//! fn what_is_pushed_as_the_delay_ends_is_flushed() {
//!     check_bounded(PREEMPTIONS, || pushes_meet_the_deadline(Order::CloseThenTake));
//! }
//!
//! /// A model is worth something only if it can fail: the same one, with the bug in.
//! #[test]
//! #[should_panic(expected = "deadlock; threads = ")]
//! fn closing_the_latch_after_taking_the_items_forgets_one() {
//!     check_bounded(PREEMPTIONS, || pushes_meet_the_deadline(Order::TakeThenClose));
//! }
//! ```
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --features loom
//! ```
//!
//! # 4. Read the execution that fails
//!
//! A model that fails shows it as columns, one for each thread. `some` and `all there` are names
//! that the model has given, `takes 1` is a [`say`](crate::sync::model::say) in the flush's own
//! code. The second item comes at 9, and 13 forgets it.
//!
//! <!-- from downstream/src/forgets_one.txt -->
//! ```text
//!     main                             │ flush soon
//!     ─────────────────────────────────┼──────────────────────────────────────────
//!   1 opens some                       │
//!   2 time ends                        │
//!   3                                  │ finds some closed, as it was (2 times)
//!   4                                  │ finds interrupt not set (2 times)
//!   5                                  │ joins the queue of interrupt
//!   6                                  │ finds interrupt not set
//!   7                                  │ leaves the queue of interrupt
//!   8                                  │ takes 1
//!   9 opens some, which is open        │
//!  10 finds all there closed (3 times) │
//!  11 joins the queue of all there     │
//!  12 parks: in the queue of all there │
//!  13                                  │ closes some
//!  14                                  │ finds some closed (2 times)
//!  15                                  │ joins the queue of some
//!  16                                  │ finds interrupt not set
//!  17                                  │ joins the queue of interrupt
//!  18                                  │ parks: in the queue of some and interrupt
//!
//! Deadlock: no thread can go on, and none has woken those parked.
//!   main        parked since 12: in the queue of all there
//!   flush soon  parked since 18: in the queue of some and interrupt
//!   some is closed
//! ```
//!
//! # Good to know
//!
//! - **Search with `check` or `check_bounded`.** They fail where nothing is explored, a switch is
//!   missing or an environment variable ends the search early. `loom::model` does none of this: on
//!   top of a build without the feature it explores nothing, and passes.
//! - **Types work only inside a model**, in a model build, and their `new` is not `const`: no latch
//!   in a `static`. Examples in your documentation can begin with the hidden line `# if
//!   latchwork::sync::IN_MODEL { return }`.
//! - **Time stands still** until the model moves it, with [`advance`](crate::sync::model::advance)
//!   or [`end_time`](crate::sync::model::end_time). A wait with a timeout in a model that moves no
//!   clock waits for ever, and loom reports the deadlock.
//! - **Share with `std::sync::Arc`.** With loom's, a deadlock that is found aborts the process.
//! - **Check what you promise before the model stops anything**: a stop wakes a waiter that was
//!   stuck.
//! - **Two threads and a handful of steps**, then a bound on preemptions; and say so. Each lock and
//!   each atomic access multiplies the executions.
//!
//! Everything that a model may do is in [`sync::model`](crate::sync::model); how to write one that
//! is worth its time, and how to review one, in `loom-tests/README.md` of the repository.
