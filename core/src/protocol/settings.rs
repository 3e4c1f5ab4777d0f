//! What a driver may choose.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::Backoff;

/// How a [`Protocol`](super::Protocol) behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Settings {
    /// The most events in one push. 100 by default.
    pub batch: NonZeroUsize,
    /// The most that the events of one push may [weigh](crate::log::Log::weight) together, if there is such a limit. An event
    /// that weighs more is sent alone. `None` by default.
    pub batch_weight: Option<usize>,
    /// How long a push waits for more events than there are, unless there are enough for a batch or it is tried again. Zero by
    /// default.
    pub linger: Duration,
    /// How long a rejected push waits for news before it asks for a catch-up. 250 ms by default.
    pub grace: Duration,
    /// How long to wait after failures of either direction.
    pub backoff: Backoff,
    /// How long to wait after five pushes in a row that others overtake, 5 ms by default. With each further one it doubles, three
    /// times and up to the longest `backoff` at most, and as much of it is left to chance. Others are as quick as a push is, and a
    /// client whose push is taken waits for nothing: one that waited as long as after an outage would seldom be taken.
    pub contention: Duration,
    /// What to do when the outcome of a push is unknown.
    pub resend: Resend,
    /// Whether the upstream's pulls are live: one is kept going all the time. Otherwise a pull begins only when one is
    /// needed. `true` by default.
    pub live: bool,
    /// How long after a pull that has ended well the next one begins, if pulls are not live; at least [`Backoff::SHORTEST`]. Not
    /// at all by default.
    pub pull_interval: Option<Duration>,
    /// Whether a journal writes what happens to the log, and how many changes may be unwritten. `None`, no
    /// journal, by default.
    pub journal: Option<NonZeroUsize>,
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
            batch_weight: None,
            linger: Duration::ZERO,
            grace: Duration::from_millis(250),
            backoff: Backoff::default(),
            contention: Duration::from_millis(5),
            resend: Resend::AfterCatchUp,
            live: true,
            pull_interval: None,
            journal: None,
        }
    }
}
