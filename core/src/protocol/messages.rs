//! What a client and its upstream exchange: batches, pages, and what came of each.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::SharedError;
use crate::log::Log;

/// Events on their way to upstream: the first pending ones.
pub struct Batch<L: Log> {
    /// The number of the upstream event that the batch was made to follow.
    pub base: L::Position,
    /// The events, in order; never empty.
    pub entries: Vec<L::Entry>,
    /// Which push this is.
    pub(crate) ticket: u64,
}

impl<L: Log> Batch<L> {
    /// A batch that no protocol sent: to test an upstream with, alone. A protocol knows its own batches, and takes no answer to
    /// this one.
    ///
    /// # Panics
    ///
    /// If it is to have no events.
    #[must_use]
    pub fn new(base: L::Position, entries: Vec<L::Entry>) -> Self {
        assert!(!entries.is_empty(), "expected at least one event in a batch, got none");
        // Pushes are numbered from 1.
        Self { base, entries, ticket: 0 }
    }

    /// Which push this is, counted from 1; 0 if no protocol sent it.
    #[must_use]
    pub fn ticket(&self) -> u64 {
        self.ticket
    }
}

impl<L: Log> Clone for Batch<L> {
    fn clone(&self) -> Self {
        Self { base: self.base, entries: self.entries.clone(), ticket: self.ticket }
    }
}

impl<L: Log<Entry: fmt::Debug>> fmt::Debug for Batch<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("base", &self.base).field("entries", &self.entries).finish_non_exhaustive()
    }
}

/// Events on their way from upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// In order, following the cursor or the page before. May be empty.
    pub entries: Vec<T>,
    /// What upstream has beyond this page.
    pub more: More,
}

/// What upstream has beyond a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum More {
    /// Nothing, when the page was made: the pull has caught up.
    None,
    /// So many events.
    Events(u64),
    /// It does not say.
    Unknown,
}

/// What came of a push that upstream did not simply take. One variant for each thing that is to be done about it.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum PushError<P> {
    /// Upstream has events that the batch does not follow. It was **not** taken.
    #[error("upstream is ahead of the batch")]
    Behind {
        /// Upstream's last event, if it told.
        head: Option<P>,
    },
    /// Upstream could not be reached, or refused for now. The batch was **certainly not** taken.
    #[error("upstream is unavailable: {error}")]
    Unavailable {
        /// Not to be tried again before this time has passed, whatever else happens, and whatever has become of the call
        /// meanwhile. The owner alone can [override](super::Protocol::override_retry_after) it.
        retry_after: Option<Duration>,
        /// Why.
        error: SharedError,
    },
    /// Upstream may or may not have taken the batch: the connection died before its answer came.
    #[error("the outcome of the push is unknown: {error}")]
    Uncertain {
        /// Why.
        error: SharedError,
    },
    /// Upstream refuses one event of the batch for good. The batch was **not** taken.
    ///
    /// It is to be said only if upstream cannot have this event: since the batch follows its last one, or since it would never
    /// have taken such an event. Otherwise the batch is [behind](Self::Behind): a process that crashed may have sent it, and to
    /// give up what upstream has is to have it there and not here.
    ///
    /// The events before it are sent without it. Then it blocks those behind it until the owner has
    /// [decided](super::Protocol::rejected) about it.
    #[error("upstream refuses event {index} of the batch: {error}")]
    Rejected {
        /// Which of the batch's events, counted from 0.
        index: usize,
        /// Why.
        error: SharedError,
    },
    /// The batch is larger than upstream takes. It was **not** taken.
    ///
    /// It is halved until it is taken, and that is remembered. An event that is too large alone is
    /// [rejected](Self::Rejected).
    #[error("the batch is too large: {error}")]
    TooLarge {
        /// Why.
        error: SharedError,
    },
    /// Trying again cannot help. The batch was **not** taken.
    #[error("{error}")]
    Fatal {
        /// Whether it is about this batch or about upstream as such.
        kind: FatalKind,
        /// Why.
        error: SharedError,
    },
    /// Another outcome, with a time that upstream named: see [`retry_after`](Self::retry_after).
    // Not `{outcome}`: the bound that is derived from it would have no end.
    #[error("{}", outcome.words())]
    RetryAfter {
        /// Not to be tried again before this time has passed, as with [`Unavailable`](Self::Unavailable).
        retry_after: Duration,
        /// What came of the push.
        outcome: Box<PushError<P>>,
    },
}

/// Why a pull could not go on.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum PullError {
    /// Upstream could not be reached, the connection died, or the pull was interrupted.
    #[error("upstream is unavailable: {error}")]
    Unavailable {
        /// Not to be tried again before this time has passed, whatever else happens, and whatever has become of the call
        /// meanwhile. The owner alone can [override](super::Protocol::override_retry_after) it.
        retry_after: Option<Duration>,
        /// Why.
        error: SharedError,
    },
    /// Trying again cannot help.
    #[error("{error}")]
    Fatal {
        /// Whether it is about this pull or about upstream as such.
        kind: FatalKind,
        /// Why.
        error: SharedError,
    },
}

impl<P> PushError<P> {
    /// The same outcome of a push to an upstream that has asked not to be tried again before this time has passed: also an
    /// answer that says nothing else, as an uncertain one, may name a time.
    ///
    /// ```
    /// use latchwork_core::protocol::PushError;
    /// use std::time::Duration;
    ///
    /// /// A proxy answers, and does not say whether the server has had the request.
    /// fn gateway_timeout(retry_after: Duration) -> PushError<u64> {
    ///     PushError::Uncertain { error: "504".into() }.retry_after(retry_after)
    /// }
    /// assert_eq!(gateway_timeout(Duration::from_secs(2)).to_string(), "the outcome of the push is unknown: 504");
    /// ```
    #[must_use]
    pub fn retry_after(self, retry_after: Duration) -> Self {
        Self::RetryAfter { retry_after, outcome: Box::new(self) }
    }

    fn words(&self) -> String {
        self.to_string()
    }

    /// The outcome, and the time that upstream named.
    pub(super) fn into_parts(self) -> (Self, Option<Duration>) {
        match self {
            Self::RetryAfter { retry_after, outcome } => {
                let (outcome, inner) = outcome.into_parts();
                (outcome, inner.max(Some(retry_after)))
            }
            Self::Unavailable { retry_after, .. } => (self, retry_after),
            _ => (self, None),
        }
    }

    /// The error that it shows, if it has one.
    pub(crate) fn into_error(self) -> Option<SharedError> {
        match self {
            Self::Behind { .. } => None,
            Self::Unavailable { error, .. }
            | Self::Uncertain { error }
            | Self::Rejected { error, .. }
            | Self::TooLarge { error }
            | Self::Fatal { error, .. } => Some(error),
            Self::RetryAfter { outcome, .. } => outcome.into_error(),
        }
    }
}

impl PullError {
    /// The error that it shows.
    pub(crate) fn into_error(self) -> SharedError {
        match self {
            Self::Unavailable { error, .. } | Self::Fatal { error, .. } => error,
        }
    }
}

/// What a fatal error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FatalKind {
    /// This is another upstream than the one that the log belongs to.
    IdentityMismatch,
    /// Upstream has lost events that it had given out: it was restored from a backup, or made anew.
    WentBack,
    /// Upstream has no events any more that follow the cursor: they were compacted away. The log is to be
    /// [replaced](super::Protocol::reset) by a snapshot.
    CursorTooOld,
    /// Anything else.
    Other,
}
