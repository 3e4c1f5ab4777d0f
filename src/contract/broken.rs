//! What has come of the laws.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::platform::catch_panic;
use crate::primitives::panics::{Payload, panic_message};

/// What came of one law: if it is broken, what was expected and what came.
pub(super) type Verdict<T = ()> = Result<T, String>;

/// The laws that an implementation breaks: a line for each, with the law, what was expected and what came.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Broken(Vec<(&'static str, String)>);

impl Broken {
    /// The laws that are broken, as they are called.
    pub fn laws(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(law, _)| *law)
    }

    /// Looks whether this law holds. One that panics is broken.
    pub(super) async fn judge(&mut self, law: &'static str, check: impl Future<Output = Verdict>) {
        let mut check = pin!(check);
        let verdict = poll_fn(|context| match catch_panic(|| check.as_mut().poll(context)) {
            Ok(polled) => polled,
            Err(payload) => Poll::Ready(Err(panicked(payload))),
        });
        self.0.extend(verdict.await.err().map(|came| (law, came)));
    }

    /// Looks whether this law holds, without waiting for anything.
    pub(super) fn judge_call(&mut self, law: &'static str, check: impl FnOnce() -> Verdict) {
        let verdict = catch_panic(check).unwrap_or_else(|payload| Err(panicked(payload)));
        self.0.extend(verdict.err().map(|came| (law, came)));
    }

    pub(super) fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

fn panicked(payload: Payload) -> String {
    format!("expected no panic, got: {}", panic_message(payload))
}

impl Error for Broken {}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let laws = self.0.len();
        write!(f, "{laws} {} broken:", if laws == 1 { "law is" } else { "laws are" })?;
        self.0.iter().try_for_each(|(law, came)| write!(f, "\n- {law}: {came}"))
    }
}

/// As it is displayed, so that an `unwrap` can be read.
impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
