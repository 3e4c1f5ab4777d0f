//! Opening a database file of a known kind, and no other.
//!
//! A file says what it is in its `application_id`. One that says something else is not written to.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, TransactionBehavior};
use thiserror::Error;

use crate::event::{Edit, Entry, SharedEvent, TodoEvent};
use latchwork::SeqNum;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It orders everybody's events.
    Upstream,
    /// It belongs to one client.
    Client,
}

/// Why a file cannot be used. Nothing has been written to it.
#[derive(Debug, Error)]
pub enum OpenError {
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
    /// It belongs to somebody else.
    #[error("{path} belongs to {found}: expected {expected}")]
    OtherOwner {
        /// The file.
        path: PathBuf,
        /// Whose it should be.
        expected: String,
        /// Whose it is.
        found: String,
    },
    /// It must not be written.
    #[error("{0} cannot be written: no permission")]
    NoPermission(PathBuf),
    /// Another process keeps it.
    #[error("{0} is locked by another process")]
    Locked(PathBuf),
    /// Anything else.
    #[error("{path} cannot be opened: {reason}")]
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
            Self::Client => *b"LwCl",
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Upstream => "an upstream of node-sync",
            Self::Client => "a client of node-sync",
        }
    }

    const fn schema(self) -> &'static str {
        match self {
            Self::Upstream => {
                "CREATE TABLE identity (id TEXT NOT NULL);
                 INSERT INTO identity VALUES (lower(hex(randomblob(16))));
                 CREATE TABLE log (seq INTEGER PRIMARY KEY, generation INTEGER NOT NULL,
                     parent_generation INTEGER NOT NULL, client TEXT NOT NULL, number INTEGER NOT NULL,
                     edit TEXT NOT NULL);"
            }
            Self::Client => {
                "CREATE TABLE heads (client TEXT NOT NULL, upstream_id TEXT NOT NULL, upstream TEXT NOT NULL,
                     local TEXT NOT NULL, base TEXT NOT NULL, committed INTEGER NOT NULL);
                 CREATE TABLE log (seq INTEGER PRIMARY KEY, generation INTEGER NOT NULL,
                     parent_generation INTEGER NOT NULL, client TEXT NOT NULL, number INTEGER NOT NULL,
                     edit TEXT NOT NULL);
                 CREATE TABLE pending (number INTEGER PRIMARY KEY, todo TEXT NOT NULL, edit TEXT NOT NULL, undo TEXT);
                 CREATE INDEX pending_of_todo ON pending (todo, number);
                 CREATE TABLE todos (todo TEXT PRIMARY KEY, title TEXT NOT NULL, done INTEGER NOT NULL) WITHOUT ROWID;"
            }
        }
    }
}

/// Opens a file of this kind, or makes one where there is none.
///
/// # Errors
///
/// See [`OpenError`].
pub fn open(path: &Path, kind: Kind) -> Result<Connection, OpenError> {
    // Several processes may make the file at once, and SQLite does not wait when one changes its journal.
    for _ in 0..20 {
        match try_open(path, kind) {
            Err(OpenError::Locked(_)) => sleep(Duration::from_millis(50)),
            other => return other,
        }
    }
    try_open(path, kind)
}

/// Whether the file can be written now.
///
/// # Errors
///
/// See [`OpenError`].
pub fn probe(path: &Path, kind: Kind) -> Result<(), OpenError> {
    let db = open(path, kind)?;
    db.execute_batch("BEGIN IMMEDIATE; ROLLBACK").map_err(|error| explain(path, &error))
}

fn try_open(path: &Path, kind: Kind) -> Result<Connection, OpenError> {
    let why = |error| explain(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(why)?;
    db.busy_timeout(Duration::from_millis(200)).map_err(why)?;
    let is_new = is_new(&db, path, kind)?;
    if db.is_readonly("main").map_err(why)? {
        return Err(OpenError::NoPermission(path.to_owned()));
    }
    if is_new {
        db.pragma_update(None, "journal_mode", "wal").map_err(why)?;
        make(&mut db, path, kind)?;
    }
    // What has been acknowledged survives a power cut, not only a kill.
    db.pragma_update(None, "synchronous", "full").map_err(why)?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

/// Whether there is nothing in it yet.
fn is_new(db: &Connection, path: &Path, kind: Kind) -> Result<bool, OpenError> {
    let why = |error| explain(path, &error);
    let id: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(why)?;
    let tables: u32 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(why)?;
    match (id, tables) {
        (0, 0) => Ok(true),
        (id, _) if id == kind.application_id() => Ok(false),
        _ => Err(OpenError::OtherKind { path: path.to_owned(), expected: kind.name() }),
    }
}

fn make(db: &mut Connection, path: &Path, kind: Kind) -> Result<(), OpenError> {
    let why = |error| explain(path, &error);
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(why)?;
    if is_new(&transaction, path, kind)? {
        transaction.execute_batch(kind.schema()).map_err(why)?;
        transaction.pragma_update(None, "application_id", kind.application_id()).map_err(why)?;
    }
    transaction.commit().map_err(why)
}

/// What SQLite's error says about the file.
pub fn explain(path: &Path, error: &rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::NotADatabase(path),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked(path),
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => OpenError::NoPermission(path),
        Some(ErrorCode::CannotOpen) => {
            let reason = match std::fs::File::open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    return OpenError::NoPermission(path);
                }
                _ if path.is_dir() => "it is a directory".to_owned(),
                Err(_) if path.parent().is_some_and(|parent| !parent.as_os_str().is_empty() && !parent.is_dir()) => {
                    "there is no such directory".to_owned()
                }
                _ => error.to_string(),
            };
            OpenError::Other { path, reason }
        }
        _ => OpenError::Other { path, reason: error.to_string() },
    }
}

/// Writes an event to the table `log`, which both kinds have.
pub(crate) fn append(db: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached("INSERT INTO log VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let Entry { seq, parent, event } = entry;
    let edit = edit_to_text(&event.edit)?;
    insert.execute((seq.global, seq.generation, parent.generation, &event.client, event.number, edit))?;
    Ok(())
}

/// Reads what [`append`] wrote.
pub(crate) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let global: u64 = row.get(0)?;
    let edit: String = row.get(5)?;
    let event = TodoEvent { client: row.get(3)?, number: row.get(4)?, edit: edit_from_text(&edit)? };
    Ok(Entry {
        seq: SeqNum::new(global, 0, row.get(1)?),
        parent: SeqNum::new(global.saturating_sub(1), 0, row.get(2)?),
        event: SharedEvent::new(event),
    })
}

pub(crate) fn edit_to_text(edit: &Edit) -> rusqlite::Result<String> {
    serde_json::to_string(edit).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

pub(crate) fn edit_from_text(text: &str) -> rusqlite::Result<Edit> {
    let wrong = |error: serde_json::Error| rusqlite::Error::FromSqlConversionFailure(5, Type::Text, error.into());
    serde_json::from_str(text).map_err(wrong)
}
