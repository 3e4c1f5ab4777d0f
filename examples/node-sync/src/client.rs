//! A client's file: what is pending, the client's log and its todos, changed together or not at all.
//!
//! The log that the replicator works on is in memory. What happens to it is written by a [`SqliteJournal`], which keeps the
//! cursor and what is pending, and `Tables` writes the rest in the same transaction: what upstream has ordered, the todos as
//! the user sees them, with what is pending on top, and what was given up.
//!
//! # What a rebase costs
//!
//! A todo of which something is pending has beside it what it was before. Changes of different todos commute; so what is rolled
//! back and applied again is what is pending of a todo that upstream's events touch, and nothing else. Once nothing is pending of
//! a todo any more it is what it was to become, and nothing is written.
//!
//! # What is given up
//!
//! An event that upstream refuses for good leaves the log and the todos, and is kept aside, for its user to see. Its number is
//! not used again, so the numbers of a client's events may have gaps.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use latchwork::journal::{Change, Changed, Journal};
use latchwork::log::{Log, MemoryLog, Merged};
use latchwork_sqlite::{BoxError, Codec, Error, Held, Identity, SqliteJournal};
use rusqlite::{CachedStatement, OptionalExtension, Transaction};

use crate::event::{self, Edit, Entry, SharedEvent, Todo, TodoEvent};
use crate::file;
use crate::trail::{Activity, Point, Trail};

/// The log that a client works on.
pub type ClientLog = MemoryLog<SharedEvent>;

/// In KiB: what has been read and written long ago need not be kept. The system's cache has it.
const CACHE: i32 = -256;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY, client TEXT NOT NULL, number INTEGER NOT NULL,
        edit TEXT NOT NULL);
    -- As it is shown; and if something is pending of it, as it was before. Without a title it is not there.
    CREATE TABLE IF NOT EXISTS todos (todo TEXT PRIMARY KEY, title TEXT, done INTEGER, title_before TEXT,
        done_before INTEGER) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS given_up (number INTEGER PRIMARY KEY, edit TEXT NOT NULL);";

/// The number that follows all of this client's that are not pending. Those that are ordered are so as they are numbered.
const AFTER_SETTLED: &str = "
    SELECT 1 + max(
        coalesce((SELECT number FROM log WHERE client = ?1 ORDER BY seq DESC LIMIT 1), -1),
        coalesce((SELECT max(number) FROM given_up), -1))";

/// A client's file, opened.
#[derive(Debug)]
pub struct Client {
    /// The log that the file's last process left.
    pub log: ClientLog,
    /// What writes down what happens to it.
    pub journal: ClientJournal,
    /// How many events this client has committed, ever: the number of its next one. The last ones of them are pending.
    pub committed: u64,
}

/// Writes a client's file.
#[derive(Debug)]
pub struct ClientJournal {
    journal: SqliteJournal<ClientLog, Events, Tables>,
    trail: Arc<Trail>,
}

impl Client {
    /// Opens the file of this client of this upstream, or makes one.
    ///
    /// # Errors
    ///
    /// If it is something else, or another client's.
    pub fn open(path: &Path, client: &str, upstream_id: &str, trail: Arc<Trail>) -> Result<Self, Error> {
        let identity = Identity { client, upstream: upstream_id };
        let tables = Tables { trail: Arc::clone(&trail), ..Tables::default() };
        let (journal, held) = SqliteJournal::open(path, identity, Events(client.to_owned()), tables)?;
        let why = |error| Error::of(path, error);
        let db = journal.connection();
        db.pragma_update(None, "cache_size", CACHE).map_err(why)?;
        db.set_prepared_statement_cache_capacity(32);
        // Not a count of its own, which each transaction would have to write.
        let after_settled: u64 = db.query_row(AFTER_SETTLED, [client], |row| row.get(0)).map_err(why)?;
        let committed = held.pending.last().map_or(after_settled, |last| after_settled.max(last.event.number + 1));
        let pending = held.pending.into_iter().map(|entry| entry.event);
        let log = MemoryLog::rebasing().with_pending(held.cursor, pending);
        Ok(Self { log, journal: ClientJournal { journal, trail }, committed })
    }

    /// Whether it has given up what upstream has `refused` for good, and nothing else.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn gave_up(&self, refused: impl Fn(u64) -> bool) -> Result<bool, Error> {
        let journal = &self.journal.journal;
        let numbers = || {
            let mut select = journal.connection().prepare("SELECT number FROM given_up")?;
            select.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<BTreeSet<u64>>>()
        };
        let given_up = numbers().map_err(|error| Error::of(journal.path(), error))?;
        // Of what is pending upstream has not said.
        let first = self.log.batch(std::num::NonZeroUsize::MIN);
        let settled = first.first().map_or(self.committed, |first| first.event.number);
        let missed = (0..settled).any(|number| refused(number) && !given_up.contains(&number));
        Ok(!missed && given_up.into_iter().all(refused))
    }
}

impl<L: Log<Entry = Entry, Position = u64>> Journal<L> for ClientJournal {
    type Error = Error;

    fn write(&mut self, changes: &[Change<Entry, u64>]) -> Result<(), Error> {
        let (begun, tables) = (Instant::now(), self.trail.so_far(Activity::WritingTables));
        Journal::<ClientLog>::write(&mut self.journal, changes)?;
        let tables = self.trail.so_far(Activity::WritingTables) - tables;
        self.trail.took(Activity::Writing, begun.elapsed().saturating_sub(tables));
        let is_commit = |change: &Change<_, _>| matches!(change.what, Changed::Committed { .. });
        if changes.iter().any(is_commit) {
            self.trail.at(Point::CommitDurable);
        }
        if !changes.iter().all(is_commit) {
            self.trail.at(Point::MergeDurable);
        }
        Ok(())
    }
}

/// How this client's pending events are written down.
struct Events(String);

impl Codec<ClientLog> for Events {
    fn start(&self) -> u64 {
        0
    }

    fn entry_to_bytes(&self, entry: &Entry) -> Vec<u8> {
        serde_json::to_vec(&(entry.event.number, &entry.event.edit)).expect("an edit is plain data")
    }

    fn entry_from_bytes(&self, bytes: &[u8]) -> Result<Entry, BoxError> {
        let (number, edit) = serde_json::from_slice(bytes)?;
        let event = SharedEvent::new(TodoEvent { client: self.0.clone(), number, edit });
        Ok(Entry { position: 0, event })
    }

    fn position_to_bytes(&self, position: u64) -> Vec<u8> {
        position.to_string().into_bytes()
    }

    fn position_from_bytes(&self, bytes: &[u8]) -> Result<u64, BoxError> {
        Ok(std::str::from_utf8(bytes)?.parse()?)
    }
}

/// What the client's tables are to be of.
#[derive(Default)]
struct Tables {
    /// In order.
    pending: VecDeque<SharedEvent>,
    /// The same, for each todo.
    of_todo: HashMap<String, VecDeque<SharedEvent>>,
    trail: Arc<Trail>,
}

impl latchwork_sqlite::Tables<ClientLog> for Tables {
    fn load(&mut self, transaction: &Transaction<'_>, held: &Held<ClientLog>) -> Result<(), BoxError> {
        transaction.execute_batch(TABLES)?;
        self.pending.clear();
        self.of_todo.clear();
        held.pending.iter().for_each(|entry| self.push(&entry.event));
        Ok(())
    }

    fn write(&mut self, transaction: &Transaction<'_>, changes: &[Change<Entry, u64>]) -> Result<(), BoxError> {
        let trail = Arc::clone(&self.trail);
        let (mut committed, mut advanced, mut rebased) = (false, false, false);
        trail.time(Activity::WritingTables, || {
            let todos = &mut Todos::new(transaction)?;
            for change in changes {
                match &change.what {
                    Changed::Committed { entries } => {
                        entries.iter().try_for_each(|entry| self.commit(todos, &entry.event))?;
                        committed = true;
                    }
                    Changed::Merged(merged) => {
                        self.merge(todos, merged)?;
                        advanced |= !merged.is_rebase();
                        rebased |= merged.is_rebase();
                    }
                    Changed::GivenUp { start, count } => self.give_up(todos, *start, *count)?,
                    other => return Err(BoxError::from(format!("this is not done by a client: {other:?}"))),
                }
            }
            Ok(())
        })?;
        for (happened, point) in
            [(committed, Point::CommitWritten), (advanced, Point::AdvanceWritten), (rebased, Point::RebaseWritten)]
        {
            if happened {
                trail.at(point);
            }
        }
        Ok(())
    }
}

impl Tables {
    fn push(&mut self, event: &SharedEvent) {
        self.pending.push_back(SharedEvent::clone(event));
        self.of_todo.entry(event.edit.todo.clone()).or_default().push_back(SharedEvent::clone(event));
    }

    fn commit(&mut self, todos: &mut Todos<'_>, event: &SharedEvent) -> rusqlite::Result<()> {
        let Edit { todo, change } = &event.edit;
        let row = todos.read(todo)?;
        let before = if self.of_todo.contains_key(todo) { row.before } else { row.now.clone() };
        todos.write(todo, Row { now: change.apply(row.now), before })?;
        self.push(event);
        Ok(())
    }

    fn merge(&mut self, todos: &mut Todos<'_>, merged: &Merged<Entry>) -> Result<(), BoxError> {
        let (Merged::Advance { new, confirmed } | Merged::Rebase { new, confirmed, .. }) = merged;
        file::append(todos.db, confirmed)?;
        for _ in confirmed {
            let event = self.pending.pop_front().ok_or("what is confirmed was pending")?;
            let Edit { todo, change } = &event.edit;
            self.take_out(&event);
            if self.of_todo.contains_key(todo) {
                let Row { now, before } = todos.read(todo)?;
                todos.write(todo, Row { now, before: change.apply(before) })?;
            } else if !matches!(change, event::Change::Put(_)) {
                todos.forget_if_gone(todo)?;
            }
        }
        file::append(todos.db, new)?;
        for entry in new {
            let Edit { todo, change } = &entry.event.edit;
            let Row { now, before } = todos.read(todo)?;
            match self.of_todo.contains_key(todo) {
                true => self.apply_again(todos, todo, change.apply(before))?,
                false => todos.settle(todo, change.apply(now))?,
            }
        }
        Ok(())
    }

    fn give_up(&mut self, todos: &mut Todos<'_>, start: usize, count: usize) -> Result<(), BoxError> {
        for _ in 0..count {
            let event = self.pending.remove(start).ok_or("what is given up was pending")?;
            let insert = "INSERT INTO given_up VALUES (?1, ?2)";
            todos.db.prepare_cached(insert)?.execute((event.number, file::edit_to_text(&event.edit)?))?;
            self.take_out(&event);
            let todo = &event.edit.todo;
            let Row { before, .. } = todos.read(todo)?;
            self.apply_again(todos, todo, before)?;
        }
        Ok(())
    }

    /// This one is pending no more.
    fn take_out(&mut self, event: &TodoEvent) {
        if let Some(events) = self.of_todo.get_mut(&event.edit.todo) {
            events.retain(|other| other.number != event.number);
            if events.is_empty() {
                self.of_todo.remove(&event.edit.todo);
            }
        }
    }

    /// The todo is this, and what is pending of it is applied again on top.
    fn apply_again(&self, todos: &mut Todos<'_>, todo: &str, confirmed: Option<Todo>) -> rusqlite::Result<()> {
        let pending = self.of_todo.get(todo);
        self.trail.applied_again(pending.map_or(0, |pending| pending.len() as u64));
        let on_top = |todo, event: &SharedEvent| event.edit.change.apply(todo);
        let now = pending.into_iter().flatten().fold(confirmed.clone(), on_top);
        if pending.is_none() { todos.settle(todo, now) } else { todos.write(todo, Row { now, before: confirmed }) }
    }
}

/// A todo's row.
#[derive(Default)]
struct Row {
    /// As it is shown.
    now: Option<Todo>,
    /// As it was before what is pending of it, if anything is.
    before: Option<Todo>,
}

/// The table `todos`, in a transaction. Its two statements are looked up once in that.
struct Todos<'a> {
    db: &'a Transaction<'a>,
    read: CachedStatement<'a>,
    write: CachedStatement<'a>,
}

impl<'a> Todos<'a> {
    fn new(db: &'a Transaction<'_>) -> rusqlite::Result<Self> {
        let read = db.prepare_cached("SELECT title, done, title_before, done_before FROM todos WHERE todo = ?1")?;
        let write = db.prepare_cached("INSERT OR REPLACE INTO todos VALUES (?1, ?2, ?3, ?4, ?5)")?;
        Ok(Self { db, read, write })
    }

    fn read(&mut self, todo: &str) -> rusqlite::Result<Row> {
        let row = |row: &rusqlite::Row<'_>| {
            let found = |title, done| -> rusqlite::Result<_> {
                Ok(match row.get(title)? {
                    Some(title) => Some(Todo { title, done: row.get(done)? }),
                    None => None,
                })
            };
            Ok(Row { now: found(0, 1)?, before: found(2, 3)? })
        };
        Ok(self.read.query_row([todo], row).optional()?.unwrap_or_default())
    }

    fn write(&mut self, todo: &str, Row { now, before }: Row) -> rusqlite::Result<()> {
        let [now, before] = [now, before].map(|todo| todo.map(|todo| (todo.title, todo.done)).unzip());
        self.write.execute((todo, now.0, now.1, before.0, before.1)).map(drop)
    }

    /// The todo is this, and nothing is pending of it.
    fn settle(&mut self, todo: &str, now: Option<Todo>) -> rusqlite::Result<()> {
        match now {
            Some(_) => self.write(todo, Row { now, before: None }),
            None => self.db.prepare_cached("DELETE FROM todos WHERE todo = ?1")?.execute([todo]).map(drop),
        }
    }

    /// Takes the todo away, if nothing is shown of it: nothing is pending of it.
    fn forget_if_gone(&self, todo: &str) -> rusqlite::Result<()> {
        let delete = "DELETE FROM todos WHERE todo = ?1 AND title IS NULL";
        self.db.prepare_cached(delete)?.execute([todo]).map(drop)
    }
}
