//! What a driver may choose.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::backoff::Backoff;

/// How a [`Protocol`](super::Protocol) behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Settings {
    /// The most events in one push. 100 by default.
    pub batch: NonZeroUsize,
    /// How long a rejected push waits for news before it asks for a catch-up. 250 ms by default.
    pub grace: Duration,
    /// How long to wait after failures of either direction.
    pub backoff: Backoff,
    /// What to do when the outcome of a push is unknown.
    pub resend: Resend,
    /// Whether the upstream's pulls are live: one is kept going all the time. Otherwise a pull begins only when one is
    /// needed. `true` by default.
    pub live: bool,
}

/// What to do when the outcome of a push is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Resend {
    /// Catch up first, then send what is still pending. Right for every upstream.
    #[default]
    AfterCatchUp,
    /// Send again at once (after a backoff). Only for an upstream that knows a batch it has taken already.
    Idempotent,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: const { NonZeroUsize::new(100).unwrap() },
            grace: Duration::from_millis(250),
            backoff: Backoff::default(),
            resend: Resend::AfterCatchUp,
            live: true,
        }
    }
}
