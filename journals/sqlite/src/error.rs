//! What can be wrong with a journal's file, each a sentence.

use std::path::{Path, PathBuf};

use latchwork::journal::ChangeError;
use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use thiserror::Error;

/// Any error, as those return it who know what it is.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a journal was not opened, or did not write. What was in the file still is.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is something else.
    #[error("{path} is not a database")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// It is a database, and no journal.
    #[error("{path} is a database of another application: expected application id {expected:#x}, got {got:#x}")]
    OtherApplication {
        /// The file.
        path: PathBuf,
        /// That of a journal.
        expected: i32,
        /// What it says.
        got: i32,
    },
    /// It was written by a newer version of this crate.
    #[error("{path} has a newer schema: expected version {expected} or older, got {got}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// The newest version that is known here.
        expected: u32,
        /// Its version.
        got: u32,
    },
    /// It belongs to another client.
    #[error("{path} belongs to client {got}: expected client {expected}")]
    OtherClient {
        /// The file.
        path: PathBuf,
        /// Whose it should be.
        expected: String,
        /// Whose it is.
        got: String,
    },
    /// What it holds is for another upstream.
    #[error("{path} belongs to upstream {got}: expected upstream {expected}")]
    OtherUpstream {
        /// The file.
        path: PathBuf,
        /// Which it should be for.
        expected: String,
        /// Which it is for.
        got: String,
    },
    /// Since this journal was opened another one was, and has written: what is pending would be sent by both.
    #[error("{path} has been taken over by another process")]
    TakenOver {
        /// The file.
        path: PathBuf,
    },
    /// Another connection is writing to it, and has been for as long as the [busy timeout](rusqlite::Connection::busy_timeout).
    #[error("{path} is locked by another process")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// There is no room for more.
    #[error("{path} cannot be written: the disk is full")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// It may be read, and not written.
    #[error("{path} cannot be written: no permission")]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The changes do not follow what it holds.
    #[error("{path} cannot take what happened: {error}")]
    Change {
        /// The file.
        path: PathBuf,
        /// Why.
        error: ChangeError,
    },
    /// There was a change of a kind that this crate does not know: it is older than the `latchwork` beside it.
    #[error("{path} cannot take what happened: it is of a kind that is not known here")]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// What it holds cannot be read: the [codec](crate::Codec) refuses it.
    #[error("{path} holds what cannot be read: {error}")]
    Codec {
        /// The file.
        path: PathBuf,
        /// Why.
        error: BoxError,
    },
    /// The [application's tables](crate::Tables) could not be written.
    #[error("the tables in {path} cannot be written: {error}")]
    Tables {
        /// The file.
        path: PathBuf,
        /// Why.
        error: BoxError,
    },
    /// Anything else.
    #[error("{path} cannot be used: {error}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
}

impl Error {
    /// What SQLite's error says about this file.
    #[must_use]
    pub fn of(path: &Path, error: rusqlite::Error) -> Self {
        let this = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path: this },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path: this },
            Some(ErrorCode::DiskFull) => Self::Full { path: this },
            // The file beside it that all processes share cannot grow.
            _ if error.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_IOERR_SHMSIZE) => {
                Self::Full { path: this }
            }
            Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => Self::ReadOnly { path: this },
            _ => Self::Sqlite { path: this, error },
        }
    }

    /// What the application's tables say. If SQLite refuses them, it refuses all.
    pub(crate) fn of_tables(path: &Path, error: BoxError) -> Self {
        match error.downcast::<rusqlite::Error>() {
            Ok(error) => match Self::of(path, *error) {
                Self::Sqlite { path, error } => Self::Tables { path, error: error.into() },
                other => other,
            },
            Err(error) => Self::Tables { path: path.to_owned(), error },
        }
    }
}
