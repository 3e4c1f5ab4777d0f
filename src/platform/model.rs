//! Models of your own code: loom runs it, and this crate under it, in every order in which its
//! threads can meet.
//!
//! A test that calls [`check`] is a model, in a **model build**: one with `--cfg loom` and the
//! feature `latchwork/loom`. What threads share besides this crate's types must be loom's there,
//! too, but for `std::sync::Arc`. [The guide](crate::guide::model) leads from the manifest to the
//! first execution that fails.
//!
//! ```
//! # if !latchwork::sync::IN_MODEL { return }
//! use latchwork::sync::model;
//! use latchwork::{Epoch, Interrupted, Latch, Run, Worker};
//! use std::sync::Arc;
//!
//! model::check(|| {
//!     let (asked, answered) = (Arc::new(Epoch::new()), Arc::new(Latch::new()));
//!     model::name(&*asked, "asked");
//!     model::name(&*answered, "answered");
//!     let server = Worker::spawn("server", {
//!         let (asked, answered) = (Arc::clone(&asked), Arc::clone(&answered));
//!         move |run: &Run| -> Result<(), Interrupted> {
//!             if asked.past(0).wait_or(run.interrupt(), None).is_ready() {
//!                 model::say("answers");
//!                 answered.open();
//!             }
//!             Ok(())
//!         }
//!     })
//!     .unwrap();
//!     asked.bump();
//!     // Before anything is stopped: a stop wakes a waiter that was stuck.
//!     answered.wait();
//!     server.join();
//! });
//! ```
//!
//! # Time
//!
//! In a model time stands still until it calls [`advance`] or [`end_time`], usually from a thread
//! of its own, so that the point where a deadline fires is explored like any other step. A bounded
//! wait in a model that never moves the clock waits for ever, and the model fails with a deadlock.
//!
//! # Wake-ups without a reason
//!
//! [`wake_spuriously`] wakes every thread that is blocked at that point, with nothing changed. Hold
//! an [`expect_spurious`] guard from the model's first line: it makes blocked threads known, which
//! costs steps and is therefore not done in every model.
//!
//! # A model that fails
//!
//! [`check`] shows the execution that failed, on stderr: a column for each thread, in which the crate
//! says what the thread has done and found, when it has parked, and which others it has woken.
//! Give the primitives [names](name), and [say] what your own code does. None of this is a step of
//! the model.
//!
//! # Other builds
//!
//! All of this is there in every build. Outside a model build, [`check`] and what moves the clock or
//! wakes threads panic, and say which switch is missing: a model cannot pass without being explored.
//! (`loom::model` cannot tell. On top of this crate's real locks it explores nothing, and passes.)
//! Names and words are nothing there, and cost nothing, so the code that ships may contain them.

use std::fmt::Display;
use std::time::Duration;

use super::imp::{Mutex, model as imp};

#[cfg(all(loom, feature = "loom"))]
pub use imp::{Trace, builder, record, recorded};

/// Runs `scenario` under every interleaving of its threads, until one fails or all have been run.
///
/// A scenario must take the same steps each time that its threads are run in the same order: no
/// clock but the model's, no order of a hash map, no static that changes. For one that takes too
/// long there is [`check_bounded`].
///
/// # Panics
///
/// With the panic of the first execution that fails, which is shown on stderr before; loom reports
/// a deadlock by a panic that begins with `deadlock; threads = `.
///
/// If there was a single execution, hence nothing to explore; if an environment variable is set by
/// which loom would search less (`LOOM_MAX_PREEMPTIONS`, `LOOM_MAX_BRANCHES`, `LOOM_MAX_DURATION`,
/// `LOOM_MAX_PERMUTATIONS`, `LOOM_CHECKPOINT_FILE`); and if this is no model build.
pub fn check(scenario: impl Fn() + Send + Sync + 'static) {
    imp::check(None, scenario);
}

/// As [`check`], under every interleaving with so many preemptions at most: a preemption takes the
/// turn of a thread that could go on.
///
/// This is no proof: a lost wake-up that passes with two may fail with three.
///
/// # Panics
///
/// As [`check`].
pub fn check_bounded(preemptions: usize, scenario: impl Fn() + Send + Sync + 'static) {
    imp::check(Some(preemptions), scenario);
}

/// Moves the clock on by `by` and wakes the threads and tasks whose deadline has come by then. One
/// thread at a time may move it.
///
/// # Panics
///
/// If this is no model build.
pub fn advance(by: Duration) {
    imp::advance(by);
}

/// Moves the clock to the end of time: every deadline, also those still to be set, has come.
///
/// # Panics
///
/// If this is no model build.
pub fn end_time() {
    imp::end_time();
}

/// Wakes every blocked thread without a reason.
///
/// # Panics
///
/// If this is no model build.
pub fn wake_spuriously() {
    imp::wake_spuriously();
}

/// Makes threads that wait without a deadline known to [`wake_spuriously`], as long as the guard
/// lives.
///
/// # Panics
///
/// If this is no model build.
#[must_use = "blocked threads are known only as long as the guard lives"]
pub fn expect_spurious() -> impl Sized {
    imp::expect_spurious()
}

/// Makes threads give up the lock once between looking and sleeping, as they do outside models
/// where it helps, as long as the guard lives.
///
/// # Panics
///
/// If this is no model build.
#[must_use = "threads give way only as long as the guard lives"]
pub fn give_way() -> impl Sized {
    imp::give_way()
}

/// Gives a [`Latch`](crate::Latch), [`Epoch`](crate::Epoch) or [`Interrupt`](crate::Interrupt) the
/// name under which a failing execution shows it. Without one it is "latch 2".
#[expect(private_bounds, reason = "of this crate alone")]
#[inline]
pub fn name(primitive: &impl Named, name: impl Display) {
    imp::name(primitive.mutex(), name);
}

/// Says in the calling thread's column what it has done.
#[inline]
pub fn say(words: impl Display) {
    imp::say(words);
}

/// Says in the calling thread's column what it is about to wait for, if that is loom's and not
/// latchwork's, as the end of a `loom::thread`. Whatever the thread says next, it waits no longer.
#[inline]
pub fn waits(reason: impl Display) {
    imp::waits(reason);
}

/// Runs `steps`, which is all that the calling thread does: its column says when it has ended, or
/// that it has failed. For threads of `loom::thread`; a [`Worker`](crate::Worker)'s does it itself.
#[inline]
pub fn within<T>(steps: impl FnOnce() -> T) -> T {
    imp::within(steps)
}

/// What can be given a [`name`].
pub(crate) trait Named {
    /// By which it is known.
    fn mutex(&self) -> &Mutex<impl Sized>;
}
