//! The switches. The catalogue is `loom-tests/known_bugs.rs`.
//!
//! One bug is on at a time, for the whole process: set before a model starts and never changed while it runs, it is no step
//! of the model.

use std::sync::atomic::{AtomicU8, Ordering};

include!(concat!(env!("OUT_DIR"), "/known_bugs.rs"));

static ON: AtomicU8 = AtomicU8::new(0);

impl KnownBug {
    pub(crate) fn is_on(self) -> bool {
        ON.load(Ordering::Relaxed) == self as u8
    }

    /// Switches this bug on, for the whole process, as long as the guard lives.
    ///
    /// # Panics
    ///
    /// If another one is on.
    #[must_use = "the bug is on as long as the guard lives"]
    pub fn switch_on(self) -> Switched {
        let other = ON.swap(self as u8, Ordering::Relaxed);
        assert_eq!(other, 0, "one known bug at a time");
        Switched(())
    }
}

/// Switches whatever bug is on off again, as long as the guard lives: for a way to a state that is not what is checked.
#[must_use = "no bug is on as long as the guard lives"]
pub fn suspend() -> Suspended {
    Suspended(ON.swap(0, Ordering::Relaxed))
}

/// No known bug is on as long as this lives.
#[derive(Debug)]
pub struct Suspended(u8);

impl Drop for Suspended {
    fn drop(&mut self) {
        ON.store(self.0, Ordering::Relaxed);
    }
}

/// A known bug is on as long as this lives.
#[derive(Debug)]
pub struct Switched(());

impl Drop for Switched {
    fn drop(&mut self) {
        ON.store(0, Ordering::Relaxed);
    }
}
