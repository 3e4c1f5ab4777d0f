//! What a client and its upstream exchange: batches, pages, and what came of each.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::log::Log;
use crate::shared_error::SharedError;

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
        /// meanwhile. The owner alone can [override](crate::Replicator::override_retry_after) it.
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
    /// Trying again cannot help. The batch was **not** taken.
    #[error("{error}")]
    Fatal {
        /// Whether it is about this batch or about upstream as such.
        kind: FatalKind,
        /// Why.
        error: SharedError,
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
        /// meanwhile. The owner alone can [override](crate::Replicator::override_retry_after) it.
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
    /// The error that it shows, if it has one.
    pub(crate) fn into_error(self) -> Option<SharedError> {
        match self {
            Self::Behind { .. } => None,
            Self::Unavailable { error, .. } | Self::Uncertain { error } | Self::Fatal { error, .. } => Some(error),
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
    /// Anything else.
    Other,
}
