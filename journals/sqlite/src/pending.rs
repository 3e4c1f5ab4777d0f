//! What is pending, a row for each event: what is committed is added behind the last one, what is confirmed leaves from the
//! first one on. All else is rare, and looks no further than it must.

use std::marker::PhantomData;
use std::path::Path;

use latchwork::journal::{Change, ChangeError, Changed, Recovered};
use latchwork::log::{Log, Merged};
use rusqlite::types::ToSql;
use rusqlite::{CachedStatement, Connection};

use crate::{Codec, Error, Held};

/// The rows, inside a transaction.
pub struct Pending<'a, L, C> {
    db: &'a Connection,
    path: &'a Path,
    codec: &'a C,
    /// Looked up once: most changes are commits, each of few events.
    insert: Option<CachedStatement<'a>>,
    log: PhantomData<L>,
}

impl<'a, L: Log, C: Codec<L>> Pending<'a, L, C> {
    pub const fn new(db: &'a Connection, path: &'a Path, codec: &'a C) -> Self {
        Self { db, path, codec, insert: None, log: PhantomData }
    }

    /// All of it, with the cursor.
    pub fn all(&self) -> Result<Held<L>, Error> {
        let cursor = "SELECT cursor FROM latchwork_journal";
        let cursor: Option<Vec<u8>> = self.why(|db| db.query_row(cursor, [], |row| row.get(0)))?;
        let cursor = cursor.map_or_else(|| Ok(self.codec.start()), |bytes| self.codec.position_from_bytes(&bytes));
        let unreadable = |error| Error::Codec { path: self.path.to_owned(), error };
        let mut select = self.why(|db| db.prepare("SELECT entry FROM latchwork_pending ORDER BY place"))?;
        let mut rows = self.why(|_| select.query([]))?;
        let mut pending = Vec::new();
        while let Some(row) = self.why(|_| rows.next())? {
            let bytes = self.why(|_| row.get_ref(0)?.as_blob().map_err(Into::into))?;
            pending.push(self.codec.entry_from_bytes(bytes).map_err(unreadable)?);
        }
        Ok(Recovered::with_pending(cursor.map_err(unreadable)?, pending))
    }

    /// Does to the rows what [`Recovered::apply`] does.
    pub fn apply(&mut self, change: &Change<L::Entry, L::Position>) -> Result<(), Error> {
        match &change.what {
            Changed::Committed { entries } => self.append(entries),
            Changed::Merged(merged) => {
                self.settle(merged)?;
                self.remove(merged.dropped().iter().copied())
            }
            Changed::GivenUp { start, count } => self.remove(*start..start.saturating_add(*count)),
            Changed::Replaced { index, entry } => {
                let (place, is_sent) = (self.places([*index].into_iter())?[0], self.codec.is_sent(entry));
                let update = "UPDATE latchwork_pending SET is_sent = ?2, entry = ?3 WHERE place = ?1";
                self.run(update, &[&place, &is_sent, &self.codec.entry_to_bytes(entry)]).map(drop)
            }
            Changed::Reset { pending } => {
                self.run("DELETE FROM latchwork_pending", &[])?;
                self.append(pending)
            }
            _ => Err(Error::Unknown { path: self.path.to_owned() }),
        }
    }

    fn append(&mut self, entries: &[L::Entry]) -> Result<(), Error> {
        let insert = match self.insert.take() {
            Some(insert) => insert,
            None => {
                self.why(|db| db.prepare_cached("INSERT INTO latchwork_pending (is_sent, entry) VALUES (?1, ?2)"))?
            }
        };
        let insert = self.insert.insert(insert);
        let mut row = |entry| insert.execute((self.codec.is_sent(entry), self.codec.entry_to_bytes(entry))).map(drop);
        entries.iter().try_for_each(&mut row).map_err(|error| Error::of(self.path, error))
    }

    /// Takes out those that a merge settles.
    fn settle(&self, merged: &Merged<L::Entry>) -> Result<(), Error> {
        let select = "SELECT place, is_sent FROM latchwork_pending ORDER BY place LIMIT ?1";
        let mut select = self.why(|db| db.prepare_cached(select))?;
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let rows = self.why(|_| select.query_map([merged.confirmed().len()], row))?;
        let rows = self.why(|_| rows.collect::<rusqlite::Result<Vec<(i64, bool)>>>())?;
        let settled = merged.settled(|entry| self.codec.is_sent(entry), rows.iter().map(|(_, is_sent)| *is_sent));
        match rows[..settled.map_err(|error| self.refused(error))?].last() {
            Some((last, _)) => self.run("DELETE FROM latchwork_pending WHERE place <= ?1", &[last]).map(drop),
            None => Ok(()),
        }
    }

    /// Takes out those to be sent at these indices, which ascend.
    fn remove(&self, indices: impl Iterator<Item = usize>) -> Result<(), Error> {
        for place in self.places(indices)? {
            self.run("DELETE FROM latchwork_pending WHERE place = ?1", &[&place])?;
        }
        Ok(())
    }

    /// In which rows those to be sent at these indices stand, which ascend.
    fn places(&self, indices: impl Iterator<Item = usize>) -> Result<Vec<i64>, Error> {
        let mut indices = indices.peekable();
        if indices.peek().is_none() {
            return Ok(Vec::new());
        }
        let select = "SELECT place FROM latchwork_pending WHERE is_sent ORDER BY place";
        let mut select = self.why(|db| db.prepare_cached(select))?;
        let (mut rows, mut passed, mut places) = (self.why(|_| select.query([]))?, 0, Vec::new());
        for index in indices {
            loop {
                let Some(row) = self.why(|_| rows.next())? else {
                    return Err(self.refused(ChangeError::Absent { pending: passed, needed: index + 1 }));
                };
                passed += 1;
                if passed > index {
                    places.push(self.why(|_| row.get(0))?);
                    break;
                }
            }
        }
        Ok(places)
    }

    fn run(&self, statement: &str, parameters: &[&dyn ToSql]) -> Result<usize, Error> {
        self.why(|db| db.prepare_cached(statement)?.execute(parameters))
    }

    fn why<T>(&self, ask: impl FnOnce(&'a Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        ask(self.db).map_err(|error| Error::of(self.path, error))
    }

    fn refused(&self, error: ChangeError) -> Error {
        Error::Change { path: self.path.to_owned(), error }
    }
}
