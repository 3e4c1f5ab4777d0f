//! One run of a worker's body, and how it ended.

use std::fmt;

use crate::SharedError;
use crate::platform::catch_panic;
use crate::primitives::interrupt::{Cause, Interrupt};
use crate::primitives::panics::panic_message;

/// What a body is told about its present run.
#[derive(Debug)]
pub struct Run {
    pub(super) generation: u64,
    pub(super) interrupt: Interrupt,
}

impl Run {
    /// The run's number: 1 for a worker's first, one more for each that follows.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Set when this run is to end: by a restart, `clear` or stop.
    #[must_use]
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }
}

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exit {
    /// Which run.
    pub generation: u64,
    /// How it ended.
    pub ended: Ended,
    /// Why it had been asked to end; `None` if it ended by itself.
    pub interrupted: Option<Cause>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The body returned `Ok`.
    Completed,
    /// The body returned this error.
    Failed(SharedError),
    /// The body panicked, with this message.
    Panicked(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "run {} ", self.generation)?;
        match &self.ended {
            Ended::Completed => f.write_str("completed")?,
            Ended::Failed(error) => write!(f, "failed: {error}")?,
            Ended::Panicked(message) => write!(f, "panicked: {message}")?,
        }
        self.interrupted.map_or(Ok(()), |cause| write!(f, " (after it was asked to end: {cause})"))
    }
}

/// Runs the body once; a panic of the body, or of the error it returns, is how the run ended.
pub(super) fn run_once(body: &mut impl FnMut(&Run) -> Result<(), SharedError>, run: &Run) -> Ended {
    match catch_panic(|| body(run)) {
        Ok(Ok(())) => Ended::Completed,
        Ok(Err(error)) => Ended::Failed(error),
        Err(payload) => Ended::Panicked(panic_message(payload)),
    }
}
