//! What can be wrong with a log in PostgreSQL, each a sentence.

use std::time::Duration;

use latchwork::upstream::BoxError;
use thiserror::Error;

/// Why a log was not made, or what is wrong with it: the error within a
/// [`PushError`](latchwork::upstream::PushError) or a [`PullError`](latchwork::upstream::PullError).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no log of this name.
    #[error("the database has no log {name:?}")]
    NoLog {
        /// Its name.
        name: String,
    },
    /// The log of this name is another one: it was made anew, or this is another database.
    #[error("the log {name:?} is another one: expected identity {expected}, got {got}")]
    OtherLog {
        /// Its name.
        name: String,
        /// The identity of the one that was expected.
        expected: String,
        /// Its identity.
        got: String,
    },
    /// The log ends before an event that it had given out, or taken: it was restored from a backup, or a standby without it
    /// has become the server.
    #[error("the log {name:?} has gone back: it ends at event {got}, and event {expected} had been there")]
    WentBack {
        /// Its name.
        name: String,
        /// The number of an event that it had.
        expected: u64,
        /// Its last event's number.
        got: u64,
    },
    /// The server is not the one any more that orders events: another one was promoted, and has been reached before.
    #[error("another server was promoted: expected timeline {expected} or a later one, got {got}")]
    Deposed {
        /// The last timeline that one of this database's connections has found.
        expected: u32,
        /// The server's.
        got: u32,
    },
    /// The tables were made by a newer version of this crate.
    #[error("the database has a newer schema: expected version {expected}, got {got}")]
    Newer {
        /// The version that is known here.
        expected: i32,
        /// Its version.
        got: i32,
    },
    /// The tables were made by an older version of this crate, and [`create_log`](crate::Database::create_log) has not been
    /// called since.
    #[error("the database has an older schema: expected version {expected}, got {got}")]
    Older {
        /// The version that is known here.
        expected: i32,
        /// Its version.
        got: i32,
    },
    /// The batch is larger than a statement may be. Nothing was sent.
    #[error("the events have {bytes} bytes: expected {limit} at most")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large one may be: [`MAX_PUSH_BYTES`](crate::MAX_PUSH_BYTES).
        limit: usize,
    },
    /// PostgreSQL has no such number.
    #[error("{number} is the number of no event: expected {} at most", i64::MAX)]
    NoNumber {
        /// The number.
        number: u64,
    },
    /// The events of a batch are not numbered on from its base.
    #[error("expected event {expected} next, got {got}")]
    OutOfOrder {
        /// The number that would have followed.
        expected: u64,
        /// The number that came.
        got: u64,
    },
    /// An event cannot be read: the [codec](latchwork::upstream::Codec) refuses it.
    #[error("event {number} cannot be read: {error}")]
    Codec {
        /// Its number.
        number: u64,
        /// Why.
        error: BoxError,
    },
    /// There was no connection within this time.
    #[error("there was no connection within {limit:?}")]
    TimedOut {
        /// How long was waited.
        limit: Duration,
    },
    /// The connection has ended.
    #[error("the connection has ended: {why}")]
    Closed {
        /// What the server or the system said.
        why: String,
    },
    /// Anything else that PostgreSQL says, or the way to it.
    #[error("{}", words(error))]
    Postgres {
        /// What it is.
        #[from]
        error: tokio_postgres::Error,
    },
}

impl Error {
    /// What the server itself says, if it is that.
    pub(crate) fn of_server(&self) -> Option<&tokio_postgres::error::DbError> {
        match self {
            Self::Postgres { error } => error.as_db_error(),
            _ => None,
        }
    }
}

/// An error with its cause: its own words say that something has failed, and not why.
pub(crate) fn words(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{}: {} ({})", error.severity(), error.message(), error.code().code());
    }
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
