//! What goes wrong, and which outcome that is.

use std::io;

use latchwork::upstream::{BoxError, FatalKind, PullError, PushError};
use thiserror::Error;

/// What goes wrong with an upstream in an object store.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The store has failed.
    #[error("the object store: {0}")]
    Store(#[source] object_store::Error),
    /// The store cannot put an object only if there is none.
    #[error("the object store has no put-if-absent, without which it cannot order events: {0}")]
    NoPutIfAbsent(#[source] object_store::Error),
    /// These objects are another upstream's.
    #[error("expected the upstream {expected:?}, got {got:?}")]
    Identity {
        /// The upstream that this client belongs to.
        expected: String,
        /// The one that is there.
        got: String,
    },
    /// The log ends before an event that it has given out.
    #[error("expected the log to have event {cursor}, got {}", log_ends(*head))]
    WentBack {
        /// What the client has had.
        cursor: u64,
        /// The last event before it, if there is one near.
        head: Option<u64>,
    },
    /// Objects have been deleted that the client has not read.
    #[error("expected event {next} next, got event {first} first: objects have been deleted")]
    TooOld {
        /// What the client needs.
        next: u64,
        /// The first event that there is.
        first: u64,
    },
    /// An object is no batch, or not where it should be.
    #[error("expected a batch of events in {key}, got {what}")]
    Damaged {
        /// Which.
        key: String,
        /// What is wrong with it.
        what: BoxError,
    },
    /// The log numbers its events in another way.
    #[error("expected a batch with event {expected} next, got {got}")]
    Numbers {
        /// The number that follows.
        expected: u64,
        /// The number that came.
        got: u64,
    },
}

fn log_ends(head: Option<u64>) -> String {
    head.map_or_else(|| "a log without any event near it".to_owned(), |head| format!("a log that ends with {head}"))
}

/// Whether the system lets nothing be done on a local disk. The store of it has no word of its own for that.
fn is_refused_by_disk(error: &object_store::Error) -> bool {
    let object_store::Error::Generic { store: "LocalFileSystem", source } = error else { return false };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&**source);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem);
        }
        cause = error.source();
    }
    false
}

/// Which outcome it is, whatever was being done.
enum Class {
    Fatal(FatalKind),
    /// Trying again may help.
    Passing,
}

impl Error {
    /// An error of the store's, of a put-if-absent or else of another request.
    pub(crate) fn of_put(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. } => {
                Self::NoPutIfAbsent(error)
            }
            error => Self::Store(error),
        }
    }

    fn class(&self) -> Class {
        use object_store::Error as Store;
        match self {
            Self::Store(
                Store::NotFound { .. }
                | Store::InvalidPath { .. }
                | Store::NotSupported { .. }
                | Store::NotImplemented { .. }
                | Store::PermissionDenied { .. }
                | Store::Unauthenticated { .. }
                | Store::UnknownConfigurationKey { .. },
            ) => Class::Fatal(FatalKind::Other),
            Self::Store(error) if is_refused_by_disk(error) => Class::Fatal(FatalKind::Other),
            Self::Store(_) => Class::Passing,
            Self::Identity { .. } => Class::Fatal(FatalKind::IdentityMismatch),
            Self::WentBack { .. } => Class::Fatal(FatalKind::WentBack),
            Self::TooOld { .. } => Class::Fatal(FatalKind::CursorTooOld),
            Self::NoPutIfAbsent(_) | Self::Damaged { .. } | Self::Numbers { .. } => Class::Fatal(FatalKind::Other),
        }
    }

    /// Nothing has been sent.
    pub(crate) fn before_push<P>(self) -> PushError<P> {
        match self.class() {
            Class::Fatal(kind) => PushError::Fatal { kind, error: self.into() },
            Class::Passing => PushError::Unavailable { retry_after: None, error: self.into() },
        }
    }

    /// The batch may have been put.
    pub(crate) fn of_push<P>(self) -> PushError<P> {
        match self.class() {
            Class::Fatal(kind) => PushError::Fatal { kind, error: self.into() },
            Class::Passing => PushError::Uncertain { error: self.into() },
        }
    }

    pub(crate) fn of_pull(self) -> PullError {
        match self.class() {
            Class::Fatal(kind) => PullError::Fatal { kind, error: self.into() },
            Class::Passing => PullError::Unavailable { retry_after: None, error: self.into() },
        }
    }
}
