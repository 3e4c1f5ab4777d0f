//! Panics of user code: what one said, and the first of several.

use std::any::Any;
use std::panic::resume_unwind;

use crate::platform::catch_panic;

/// What a panic throws. The user's, and so is its drop.
pub(crate) type Payload = Box<dyn Any + Send>;

/// What a panic said. Runs no user code.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("(no message)").to_owned()
}

/// The message of a panic of user code, which takes its payload.
pub(crate) fn panic_message(payload: Payload) -> String {
    let message = message(&*payload);
    if let Err(thrown_by_its_drop) = catch_panic(move || drop(payload)) {
        // It may throw as well, and so on.
        std::mem::forget(thrown_by_its_drop);
    }
    message
}

/// Runs several pieces of user code, all of them, and keeps the first panic.
#[derive(Default)]
#[must_use = "a panic is to be told"]
pub(crate) struct FirstPanic(Option<Payload>);

impl FirstPanic {
    /// Runs another piece. A panic is kept if it is the first.
    pub(crate) fn catch<T>(&mut self, piece: impl FnOnce() -> T) {
        self.and(Self(catch_panic(|| drop(piece())).err()));
    }

    /// The first of these and then those.
    pub(crate) fn and(&mut self, those: Self) {
        match self.0 {
            None => self.0 = those.0,
            Some(_) => drop(those.message()),
        }
    }

    /// Goes on with the first panic, if there was one.
    #[inline]
    pub(crate) fn resume(self) {
        if let Some(payload) = self.0 {
            resume_unwind(payload);
        }
    }

    /// The first panic, if there was one.
    pub(crate) fn into_payload(self) -> Option<Payload> {
        self.0
    }

    /// What the first panic said, if there was one.
    #[inline]
    pub(crate) fn message(self) -> Option<String> {
        self.0.map(panic_message)
    }
}
