//! Opening a database file of a known kind, and no other.
//!
//! A file says what it is in its `application_id`, which stands in its header. One that says something else is not
//! written to. Even SQLite would write when it finds what another process left unfinished; so [`is_there`] looks first.
//!
//! Once SQLite has a file open, nothing else in the process may open it: when any descriptor of a file is closed, a process
//! loses **all** its locks on that file, also those of connections that are open. (SQLite knows, and closes late.)

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::mem;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, TransactionBehavior};
use thiserror::Error;

use crate::event::{Edit, Entry, SharedEvent, TodoEvent};

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It orders everybody's events.
    Upstream,
    /// It belongs to one client.
    Client,
}

/// Why a file cannot be used. What was in it still is.
#[derive(Debug, Clone, Error)]
pub enum FileError {
    /// It is something else.
    #[error("{0} is not a database")]
    NotADatabase(PathBuf),
    /// It is a database, but another one.
    #[error("{path} is a database of another kind: expected {expected}")]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: &'static str,
    },
    /// It must not be read or written, or what belongs beside it must not.
    #[error("{0} cannot be read and written: no permission")]
    NoPermission(PathBuf),
    /// Another process keeps it.
    #[error("{0} is locked by another process")]
    Locked(PathBuf),
    /// There was one, and there is none any more.
    #[error("{0} is not there any more")]
    Away(PathBuf),
    /// There is no room for more.
    #[error("{0} cannot be written: the disk is full")]
    Full(PathBuf),
    /// Anything else.
    #[error("{path} cannot be used: {reason}")]
    Other {
        /// The file.
        path: PathBuf,
        /// Why, in words.
        reason: String,
    },
}

impl Kind {
    const fn application_id(self) -> i32 {
        i32::from_be_bytes(match self {
            Self::Upstream => *b"LwUp",
            Self::Client => return latchwork_sqlite::APPLICATION_ID,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Upstream => "an upstream of node-sync",
            Self::Client => "a client of node-sync",
        }
    }

    /// The tables of a file that is made here. A client's file is made by its [journal](crate::client).
    const fn schema(self) -> Option<&'static str> {
        match self {
            Self::Upstream => Some(
                "CREATE TABLE identity (id TEXT NOT NULL);
                 INSERT INTO identity VALUES (lower(hex(randomblob(16))));
                 CREATE TABLE log (seq INTEGER PRIMARY KEY, client TEXT NOT NULL, number INTEGER NOT NULL,
                     edit TEXT NOT NULL);",
            ),
            Self::Client => None,
        }
    }
}

/// Whether there is a file, of this kind, as its header says. Nothing is written, here or beside it. Not to be asked once
/// this process has opened the file.
///
/// # Errors
///
/// See [`FileError`].
pub fn is_there(path: &Path, kind: Kind) -> Result<bool, FileError> {
    let header = match header(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        header => header.map_err(|error| explain_io(path, &error))?,
    };
    match header.get(68..72) {
        // SQLite takes an empty file for an empty database.
        _ if header.is_empty() => Ok(false),
        Some(id) if header.starts_with(b"SQLite format 3\0") => match id == kind.application_id().to_be_bytes() {
            true => Ok(true),
            false => Err(FileError::OtherKind { path: path.to_owned(), expected: kind.name() }),
        },
        _ => Err(FileError::NotADatabase(path.to_owned())),
    }
}

fn header(path: &Path) -> io::Result<Vec<u8>> {
    // One would wait for a pipe.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut header = Vec::new();
    fs::File::open(path)?.take(100).read_to_end(&mut header)?;
    Ok(header)
}

/// The head of an upstream's file, by its identity and last event, as the file itself says. Nothing is written, here or
/// beside it, and what is beside it is not looked at. Not to be asked of a file that this process has open.
pub(crate) fn glance(path: &Path) -> rusqlite::Result<(String, u64)> {
    let uri = format!(
        "file:{}?immutable=1",
        path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23")
    );
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(uri, flags)?;
    let head = "SELECT id, (SELECT coalesce(max(seq), 0) FROM log) FROM identity";
    db.query_row(head, [], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Opens a file of this kind, or makes an upstream's where there is none.
///
/// # Errors
///
/// See [`FileError`].
pub fn open(path: &Path, kind: Kind) -> Result<Connection, FileError> {
    // Several processes may make the file at once, and SQLite does not wait when one changes its journal.
    for _ in 0..20 {
        match try_open(path, kind) {
            Err(FileError::Locked(_)) => sleep(Duration::from_millis(50)),
            other => return other,
        }
    }
    try_open(path, kind)
}

/// Opens a file of this kind that has been made before. None is made.
///
/// # Errors
///
/// See [`FileError`].
pub fn open_made(path: &Path, kind: Kind) -> Result<Connection, FileError> {
    // Not `is_there`, which opens it: this process may have it open.
    match fs::metadata(path) {
        Ok(file) if file.len() > 0 => open(path, kind),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(explain_io(path, &error)),
        _ => Err(FileError::Away(path.to_owned())),
    }
}

/// Whether the file can be written now.
///
/// # Errors
///
/// See [`FileError`].
pub fn probe(path: &Path, kind: Kind) -> Result<(), FileError> {
    let db = open(path, kind)?;
    db.execute_batch("BEGIN IMMEDIATE; ROLLBACK").map_err(|error| explain(path, &error))
}

fn try_open(path: &Path, kind: Kind) -> Result<Connection, FileError> {
    let why = |error| explain(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(why)?;
    db.busy_timeout(Duration::from_millis(200)).map_err(why)?;
    let is_new = is_new(&db, path, kind)?;
    if db.is_readonly("main").map_err(why)? {
        return Err(FileError::NoPermission(path.to_owned()));
    }
    if is_new {
        make(&mut db, path, kind)?;
    }
    // Only now: the header must say what the file is, and not only a journal beside it.
    db.pragma_update(None, "journal_mode", "wal").map_err(why)?;
    // What has been acknowledged survives a power cut, not only a kill.
    db.pragma_update(None, "synchronous", "full").map_err(why)?;
    // In KiB: what has been read and written long ago need not be kept. The system's cache has it.
    db.pragma_update(None, "cache_size", -256).map_err(why)?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

/// Whether there is nothing in it yet.
fn is_new(db: &Connection, path: &Path, kind: Kind) -> Result<bool, FileError> {
    let why = |error| explain(path, &error);
    let id: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(why)?;
    let tables: u32 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(why)?;
    match (id, tables) {
        (0, 0) => Ok(true),
        (id, _) if id == kind.application_id() => Ok(false),
        _ => Err(FileError::OtherKind { path: path.to_owned(), expected: kind.name() }),
    }
}

fn make(db: &mut Connection, path: &Path, kind: Kind) -> Result<(), FileError> {
    let why = |error| explain(path, &error);
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(why)?;
    // Another process may have been faster.
    if is_new(&transaction, path, kind)? {
        let Some(schema) = kind.schema() else {
            return Err(FileError::OtherKind { path: path.to_owned(), expected: kind.name() });
        };
        transaction.execute_batch(schema).map_err(why)?;
        transaction.pragma_update(None, "application_id", kind.application_id()).map_err(why)?;
    }
    transaction.commit().map_err(why)
}

/// What SQLite's error says about the file.
pub fn explain(path: &Path, error: &rusqlite::Error) -> FileError {
    let this = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => FileError::NotADatabase(this),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => FileError::Locked(this),
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => FileError::NoPermission(this),
        Some(ErrorCode::DiskFull) => FileError::Full(this),
        // The file beside it that all processes share cannot grow.
        _ if error.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_IOERR_SHMSIZE) => {
            FileError::Full(this)
        }
        // SQLite does not say why; the system does, if it is asked for the same.
        Some(ErrorCode::CannotOpen) => match OpenOptions::new().append(true).create(true).open(path) {
            Err(error) => explain_io(path, &error),
            Ok(file) => {
                // Closed, it would take the locks of other connections with it.
                mem::forget(file);
                FileError::Other { path: this, reason: error.to_string() }
            }
        },
        _ => FileError::Other { path: this, reason: error.to_string() },
    }
}

/// What the system's error says about the file.
pub(crate) fn explain_io(path: &Path, error: &io::Error) -> FileError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => FileError::NoPermission(path),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FileError::Full(path),
        _ => FileError::Other { path, reason: error.to_string() },
    }
}

/// Writes events to the table `log`, which both kinds have.
pub(crate) fn append(db: &Connection, entries: &[Entry]) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached("INSERT INTO log VALUES (?1, ?2, ?3, ?4)")?;
    entries.iter().try_for_each(|Entry { position, event }| {
        insert.execute((position, &event.client, event.number, edit_to_text(&event.edit)?)).map(drop)
    })
}

/// Reads what [`append`] wrote.
pub(crate) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let edit = row.get_ref(3)?.as_str()?;
    let event = TodoEvent { client: row.get(1)?, number: row.get(2)?, edit: edit_from_text(edit)? };
    Ok(Entry { position: row.get(0)?, event: SharedEvent::new(event) })
}

pub(crate) fn edit_to_text(edit: &Edit) -> rusqlite::Result<String> {
    serde_json::to_string(edit).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

pub(crate) fn edit_from_text(text: &str) -> rusqlite::Result<Edit> {
    let wrong = |error: serde_json::Error| rusqlite::Error::FromSqlConversionFailure(3, Type::Text, error.into());
    serde_json::from_str(text).map_err(wrong)
}
