//! A journal for [`latchwork`] in a SQLite file.
//!
//! A [`SqliteJournal`] keeps a replicator's cursor and what is pending in a file of its own, and the application's tables with
//! them: all changes of a write, and what the application derives from them, are one transaction. So after a crash the cursor,
//! the outbox and the application's data belong together, whichever transaction was the last one.
//!
//! ```
//! use latchwork::log::{MemoryEntry, MemoryLog};
//! use latchwork::{Replicator, Settled, upstream::Memory};
//! use latchwork_sqlite::{BoxError, Codec, Identity, SqliteJournal};
//!
//! /// Todos as text. A pending event's number follows from where it stands.
//! struct Text;
//!
//! impl Codec<MemoryLog<String>> for Text {
//!     fn start(&self) -> u64 {
//!         0
//!     }
//!     fn entry_to_bytes(&self, entry: &MemoryEntry<String>) -> Vec<u8> {
//!         entry.event.clone().into_bytes()
//!     }
//!     fn entry_from_bytes(&self, bytes: &[u8]) -> Result<MemoryEntry<String>, BoxError> {
//!         Ok(MemoryEntry { position: 0, event: std::str::from_utf8(bytes)?.to_owned() })
//!     }
//!     fn position_to_bytes(&self, position: u64) -> Vec<u8> {
//!         position.to_be_bytes().to_vec()
//!     }
//!     fn position_from_bytes(&self, bytes: &[u8]) -> Result<u64, BoxError> {
//!         Ok(u64::from_be_bytes(bytes.try_into()?))
//!     }
//! }
//!
//! /// The log that the last process left, and its journal.
//! type Opened = (MemoryLog<String>, SqliteJournal<MemoryLog<String>, Text>);
//!
//! fn open(path: &std::path::Path) -> Result<Opened, latchwork_sqlite::Error> {
//!     let identity = Identity { client: "alice", upstream: "todos" };
//!     let (journal, held) = SqliteJournal::open(path, identity, Text, ())?;
//!     let pending = held.pending.into_iter().map(|entry| entry.event);
//!     Ok((MemoryLog::rebasing().with_pending(held.cursor, pending), journal))
//! }
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = &dir.path().join("alice.db");
//! let upstream = Memory::new(0);
//! let (log, journal) = open(path)?;
//! let replicator = Replicator::builder(log, upstream.clone()).journal(journal).spawn()?;
//! assert!(replicator.commit(vec!["milk".to_owned()])?.durable().wait());
//! drop(replicator);
//!
//! let (log, journal) = open(path)?;
//! let replicator = Replicator::builder(log, upstream.clone()).journal(journal).spawn()?;
//! assert_eq!(replicator.commit(vec!["bread".to_owned()])?.wait(), Settled::Confirmed(2));
//! assert_eq!(upstream.entries()[0].event, "milk");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It blocks: a replicator for tasks is given it as a [`ForTasks`](latchwork::journal::ForTasks), with a function that has its
//! calls run where they may block.
//!
//! # The application's tables
//!
//! Whatever implements [`Tables`], as a closure does, is handed the transaction and the changes, and writes what follows from
//! them. It may read and write all tables but those whose names begin with `latchwork_`. Other connections may read the file
//! at any time; one that writes makes the journal wait.
//!
//! ```
//! use latchwork::journal::{Change, Changed};
//! use latchwork::log::{MemoryEntry, Merged};
//! use latchwork_sqlite::rusqlite::Transaction;
//! use latchwork_sqlite::BoxError;
//!
//! /// Keeps what upstream has ordered.
//! fn keep(transaction: &Transaction<'_>, changes: &[Change<MemoryEntry<String>, u64>]) -> Result<(), BoxError> {
//!     let mut insert = transaction.prepare_cached("INSERT INTO todos VALUES (?1, ?2)")?;
//!     for change in changes {
//!         if let Changed::Merged(Merged::Advance { new, confirmed } | Merged::Rebase { new, confirmed, .. }) = &change.what {
//!             for entry in confirmed.iter().chain(new) {
//!                 insert.execute((entry.position, &entry.event))?;
//!             }
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # When a write has failed
//!
//! The transaction has been undone, or it was the commit itself that failed and nothing is known. In the same transaction as the
//! changes stands the number of the last one, and which process it was: so a change that is told once more is written once, and
//! a journal whose file another process has meanwhile opened and written to says [so](Error::TakenOver) and writes nothing.
//!
//! # What it costs
//!
//! A row for each pending event, which is written once and deleted once; a row that is updated once for each transaction. What
//! is pending is read at the start, and after a write that has failed, and at no other time.

mod error;
mod file;
mod pending;

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use latchwork::journal::{Change, ChangeError, Journal, Recovered};
use latchwork::log::Log;
pub use rusqlite;
use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use self::error::{BoxError, Error};
pub use self::file::APPLICATION_ID;
use self::pending::Pending;

/// How a log's entries and positions are written down.
///
/// It is not an [upstream's](latchwork::upstream::Codec): what is pending has no number yet, and what is
/// [local-only](Log::is_local_only) never gets one. What is read back must be [the same](latchwork::sync_state::Event::is_same_as) to the log as what was written. The number of
/// a pending event need not be: it follows from the cursor and the order.
pub trait Codec<L: Log>: Send + 'static {
    /// The cursor before the first event that there ever was.
    fn start(&self) -> L::Position;
    /// A pending event as bytes.
    fn entry_to_bytes(&self, entry: &L::Entry) -> Vec<u8>;
    /// The pending event of these bytes.
    ///
    /// # Errors
    ///
    /// If they are none. The journal cannot be opened then.
    fn entry_from_bytes(&self, bytes: &[u8]) -> Result<L::Entry, BoxError>;
    /// A cursor as bytes.
    fn position_to_bytes(&self, position: L::Position) -> Vec<u8>;
    /// The cursor of these bytes.
    ///
    /// # Errors
    ///
    /// If they are none. The journal cannot be opened then.
    fn position_from_bytes(&self, bytes: &[u8]) -> Result<L::Position, BoxError>;
    /// Whether this entry is to be sent: it is not [local-only](Log::is_local_only).
    fn is_sent(&self, _entry: &L::Entry) -> bool {
        true
    }
}

/// The application's own tables, in the journal's file.
///
/// A closure that takes what [`write`](Self::write) takes is one, and `()` is for an application that has none.
pub trait Tables<L: Log>: Send + 'static {
    /// Makes the tables that are not there yet, and reads what is kept of them in memory. What the journal holds is what these
    /// tables are to be of.
    ///
    /// It is called when the journal is opened, and again after a write that has failed: what has been kept in memory since may
    /// be of a transaction that was undone.
    ///
    /// # Errors
    ///
    /// If that is not possible. Nothing has changed then.
    fn load(&mut self, _transaction: &Transaction<'_>, _held: &Held<L>) -> Result<(), BoxError> {
        Ok(())
    }

    /// Writes what follows from these changes, of which there is at least one. Each change is told once, in order, of those whose
    /// transaction was not undone.
    ///
    /// # Errors
    ///
    /// If that is not possible. The transaction is undone then.
    fn write(
        &mut self,
        transaction: &Transaction<'_>,
        changes: &[Change<L::Entry, L::Position>],
    ) -> Result<(), BoxError>;
}

impl<L: Log> Tables<L> for () {
    fn write(&mut self, _: &Transaction<'_>, _: &[Change<L::Entry, L::Position>]) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<L, F> Tables<L> for F
where
    L: Log,
    F: FnMut(&Transaction<'_>, &[Change<L::Entry, L::Position>]) -> Result<(), BoxError> + Send + 'static,
{
    fn write(
        &mut self,
        transaction: &Transaction<'_>,
        changes: &[Change<L::Entry, L::Position>],
    ) -> Result<(), BoxError> {
        self(transaction, changes)
    }
}

/// Whose a journal is. A file that is made is this one's for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity<'a> {
    /// What tells this client from all others of its upstream.
    pub client: &'a str,
    /// What tells its upstream from all others: the cursor is one of that.
    pub upstream: &'a str,
}

/// What a journal holds, of which a log is to be made.
pub type Held<L> = Recovered<<L as Log>::Entry, <L as Log>::Position>;

/// A journal in a SQLite file.
///
/// One process has it at a time; to open it again takes it over from the one that had it.
pub struct SqliteJournal<L, C, T = ()> {
    db: Connection,
    path: PathBuf,
    codec: C,
    tables: T,
    /// Which of all that ever opened this file it is: it writes that down with the first changes.
    session: i64,
    /// Whose the last write has to be, if it is not this one's: as it was when the file was opened.
    follows: LastWrite,
    /// Whether the last write has succeeded: what the tables keep in memory is so.
    is_loaded: bool,
    log: PhantomData<fn(L)>,
}

impl<L: Log, C: Codec<L>, T: Tables<L>> SqliteJournal<L, C, T> {
    /// Opens the journal in this file, or makes one where there is nothing; returns it with what it holds, of which a log is to
    /// be made.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A file that is no journal, or not this client's of this upstream, is left as it is.
    pub fn open(
        path: impl AsRef<Path>,
        identity: Identity<'_>,
        codec: C,
        mut tables: T,
    ) -> Result<(Self, Held<L>), Error> {
        let path = path.as_ref();
        let why = |error| Error::of(path, error);
        let (db, (follows, session, held)) = file::open(path, &file::MIGRATIONS, |begin| {
            file::belongs_to(begin, path, identity)?;
            let follows = last_written(begin).map_err(why)?;
            let session = begin.query_row("SELECT random()", [], |row| row.get(0)).map_err(why)?;
            let held = Pending::new(begin, path, &codec).all()?;
            tables.load(begin, &held).map_err(|error| Error::of_tables(path, error))?;
            Ok((follows, session, held))
        })?;
        let path = path.to_owned();
        Ok((Self { db, path, codec, tables, session, follows, is_loaded: true, log: PhantomData }, held))
    }
}

impl<L, C, T> SqliteJournal<L, C, T> {
    /// The connection, for what it is to be set to: the [busy timeout](Connection::busy_timeout), or how much it caches. What is
    /// written by it now is no part of the journal's transactions.
    pub fn connection(&self) -> &Connection {
        &self.db
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl<L: Log, C: Codec<L>, T: Tables<L>> Journal<L> for SqliteJournal<L, C, T> {
    type Error = Error;

    fn write(&mut self, changes: &[Change<L::Entry, L::Position>]) -> Result<(), Error> {
        let was_loaded = std::mem::replace(&mut self.is_loaded, false);
        let why = |error| Error::of(&self.path, error);
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(why)?;
        let written = match last_written(&transaction).map_err(why)? {
            (session, changes) if session == self.session => changes,
            last if last == self.follows => 0,
            _ => return Err(Error::TakenOver { path: self.path.clone() }),
        };
        let mut pending = Pending::new(&transaction, &self.path, &self.codec);
        let tables = |error| Error::of_tables(&self.path, error);
        if !was_loaded {
            self.tables.load(&transaction, &pending.all()?).map_err(tables)?;
        }
        let new = &changes[changes.partition_point(|change| change.number <= written)..];
        for (expected, change) in (written + 1..).zip(new) {
            let got = change.number;
            if got != expected {
                let error = ChangeError::OutOfOrder { expected, got };
                return Err(Error::Change { path: self.path.clone(), error });
            }
            pending.apply(change)?;
        }
        drop(pending);
        if !new.is_empty() {
            self.tables.write(&transaction, new).map_err(tables)?;
        }
        // Also if all of it is there: that it is durable is known once something behind it is. A row that does not change is
        // not written, hence the count.
        if let Some(last) = changes.last() {
            let update = "UPDATE latchwork_journal SET cursor = ?1, session = ?2, changes = ?3, writes = writes + 1";
            let row = (self.codec.position_to_bytes(last.cursor), self.session, last.number);
            transaction.prepare_cached(update).and_then(|mut update| update.execute(row)).map_err(why)?;
        }
        transaction.commit().map_err(why)?;
        self.is_loaded = true;
        Ok(())
    }
}

/// Whose the last write was, and the number of its last change.
type LastWrite = (i64, u64);

fn last_written(db: &Connection) -> rusqlite::Result<LastWrite> {
    let mut select = db.prepare_cached("SELECT session, changes FROM latchwork_journal")?;
    select.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}

impl<L, C, T> fmt::Debug for SqliteJournal<L, C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteJournal").field("path", &self.path).finish_non_exhaustive()
    }
}
