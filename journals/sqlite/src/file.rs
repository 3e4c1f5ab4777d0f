//! Opening a journal's file, and no other.
//!
//! A file says what it is in its `application_id`, and of which version in its `user_version`. Both stand in its header, so
//! they are looked at before anything else: SQLite would finish what another process left beside a file as soon as it opens it
//! for writing, and a file that is another's is left alone. The look goes through SQLite, too: a process that closes a file by
//! itself loses all its locks on it.
//!
//! A file is made in one transaction under a rollback journal, and only then has a write-ahead log: so its header says from the
//! first moment on what it is. The same transaction writes down whose it is and makes the application's tables: there is no file
//! that has its tables and no owner, and an older one is not taken to a newer version for a client that it does not belong to.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::{Error, Identity};

/// What a journal's file has in its `application_id`.
pub const APPLICATION_ID: i32 = i32::from_be_bytes(*b"LwJo");

/// What takes a file from one version to the next, the first from nothing.
pub const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE latchwork_journal (
        client TEXT NOT NULL, upstream TEXT NOT NULL,
        cursor BLOB,
        session INTEGER NOT NULL, changes INTEGER NOT NULL, writes INTEGER NOT NULL
    );
    CREATE TABLE latchwork_pending (place INTEGER PRIMARY KEY, is_sent INTEGER NOT NULL, entry BLOB NOT NULL);
"];

/// What a file's header says.
struct Header {
    application_id: i32,
    version: u32,
    is_empty: bool,
}

impl Header {
    /// `count` is of what is there unless the file is empty.
    fn of(db: &Connection, count: &str) -> rusqlite::Result<Self> {
        let application_id = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let is_empty = db.query_row(count, [], |row| row.get::<_, u64>(0))? == 0;
        Ok(Self { application_id, version, is_empty })
    }

    /// Its version, if it is a journal; 0 if there is nothing in it.
    fn check(&self, path: &Path, known: u32) -> Result<u32, Error> {
        match (self.application_id, self.version) {
            _ if self.is_empty => Ok(0),
            (got, _) if got != APPLICATION_ID => {
                Err(Error::OtherApplication { path: path.to_owned(), expected: APPLICATION_ID, got })
            }
            (_, got) if got > known => Err(Error::Newer { path: path.to_owned(), expected: known, got }),
            (_, version) => Ok(version),
        }
    }
}

/// Opens a journal's file, or makes one where there is nothing. Does what is to be `done` at its start in the same transaction.
pub fn open<T>(
    path: &Path,
    migrations: &[&str],
    done: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
) -> Result<(Connection, T), Error> {
    let why = |error| Error::of(path, error);
    look(path, migrations.len() as u32)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(why)?;
    // A file that may not be written is opened for reading.
    if db.is_readonly("main").map_err(why)? {
        return Err(Error::ReadOnly { path: path.to_owned() });
    }
    // What has been written survives a power cut, not only a kill; on systems, too, where that has to be asked for.
    db.pragma_update(None, "synchronous", "full").map_err(why)?;
    db.pragma_update(None, "fullfsync", true).map_err(why)?;
    let begin = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(why)?;
    let version =
        Header::of(&begin, "SELECT count(*) FROM sqlite_schema").map_err(why)?.check(path, migrations.len() as u32)?;
    migrate(&begin, version, migrations).map_err(why)?;
    let done = done(&begin)?;
    begin.commit().map_err(why)?;
    db.pragma_update(None, "journal_mode", "wal").map_err(why)?;
    Ok((db, done))
}

/// Sees whether a file that is there is a journal. Nothing is written, here or beside it, and what is beside it is not looked at.
fn look(path: &Path, known: u32) -> Result<(), Error> {
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags);
    let header = db.and_then(|db| Header::of(&db, "PRAGMA page_count"));
    match header.map_err(|error| Error::of(path, error)) {
        Ok(header) => header.check(path, known).map(drop),
        Err(Error::NotADatabase { path }) => Err(Error::NotADatabase { path }),
        // There is none yet, or opening it says the same.
        Err(_) => Ok(()),
    }
}

fn migrate(begin: &Transaction<'_>, version: u32, migrations: &[&str]) -> rusqlite::Result<()> {
    let steps = &migrations[version as usize..];
    if steps.is_empty() {
        return Ok(());
    }
    steps.iter().try_for_each(|step| begin.execute_batch(step))?;
    begin.pragma_update(None, "application_id", APPLICATION_ID)?;
    begin.pragma_update(None, "user_version", migrations.len() as u32)
}

/// Whose the journal is, which is written down the first time.
pub fn belongs_to(begin: &Transaction<'_>, path: &Path, identity: Identity<'_>) -> Result<(), Error> {
    let why = |error| Error::of(path, error);
    let Identity { client, upstream } = identity;
    let first = "INSERT INTO latchwork_journal SELECT ?1, ?2, NULL, 0, 0, 0
        WHERE NOT EXISTS (SELECT * FROM latchwork_journal)";
    begin.execute(first, (client, upstream)).map_err(why)?;
    let owner = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let owner: (String, String) =
        begin.query_row("SELECT client, upstream FROM latchwork_journal", [], owner).map_err(why)?;
    let path = path.to_owned();
    match owner {
        (got, _) if got != client => Err(Error::OtherClient { path, expected: client.to_owned(), got }),
        (_, got) if got != upstream => Err(Error::OtherUpstream { path, expected: upstream.to_owned(), got }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, migrations: &[&str]) -> Result<Connection, Error> {
        super::open(path, migrations, |_| Ok(())).map(|(db, ())| db)
    }

    #[test]
    fn open_takes_an_older_file_through_the_steps_that_it_lacks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let columns = |db: &Connection| -> u32 {
            db.query_row("SELECT count(*) FROM pragma_table_info('latchwork_journal')", [], |row| row.get(0)).unwrap()
        };
        let before = columns(&open(&path, &MIGRATIONS).unwrap());
        let newer =
            [MIGRATIONS[0], "ALTER TABLE latchwork_journal ADD COLUMN one", "ALTER TABLE latchwork_journal ADD two"];
        for _ in 0..2 {
            assert_eq!(columns(&open(&path, &newer).unwrap()), before + 2);
        }
        let older = open(&path, &MIGRATIONS).unwrap_err();
        assert!(matches!(older, Error::Newer { expected: 1, got: 3, .. }), "{older}");
    }

    #[test]
    fn open_leaves_a_file_as_it_was_if_a_step_fails() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        drop(open(&path, &MIGRATIONS).unwrap());
        let broken = [MIGRATIONS[0], "CREATE TABLE new (x)", "this is no SQL"];
        assert!(matches!(open(&path, &broken).unwrap_err(), Error::Sqlite { .. }));
        let db = open(&path, &MIGRATIONS).unwrap();
        assert!(db.prepare("SELECT * FROM new").is_err());
    }

    #[test]
    fn open_makes_and_changes_nothing_in_a_file_that_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let alice = Identity { client: "alice", upstream: "todos" };
        let bob = Identity { client: "bob", ..alice };
        let open_for = |identity, migrations: &[&str]| {
            super::open(&path, migrations, |begin| belongs_to(begin, &path, identity)).map(drop)
        };
        let refuses: Result<(Connection, ()), _> =
            super::open(&path, &MIGRATIONS, |_| Err(Error::Unknown { path: path.clone() }));
        assert!(matches!(refuses.unwrap_err(), Error::Unknown { .. }));
        open_for(bob, &MIGRATIONS).expect("it was left without an owner");
        let newer = [MIGRATIONS[0], "CREATE TABLE new (x)"];
        assert!(matches!(open_for(alice, &newer).unwrap_err(), Error::OtherClient { .. }));
        open_for(bob, &MIGRATIONS).expect("it was left as old as it was");
    }
}
