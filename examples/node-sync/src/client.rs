//! A client's file: its log, its todos, and what is pending, changed together or not at all.
//!
//! A [`SqliteLog`] is a [`SyncState`] and its mirror in the file. Each change goes to the state first, which checks it,
//! and then to the file in one transaction; if that fails, the state is put back. So both are always the same, and an
//! acknowledged commit is durable.
//!
//! # What a rebase costs
//!
//! Pending events are kept without numbers: those follow from the heads. So numbering anew is one row, whatever is
//! pending. Each pending event has its undo beside it, the todo as it was before. Changes of different todos commute;
//! rolled back, from the last one, and applied again are therefore the pending events whose todo upstream's events touch,
//! and no others.
//!
//! # What is given up
//!
//! An event that upstream refuses for good leaves the log and the todos, and is kept aside, for its user to see. Its number is
//! not used again, so the numbers of a client's events may have gaps.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use latchwork::log::{Log, Merged};
use latchwork::sync_state::{self, Position};
use latchwork::{SeqNum, SyncState};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use thiserror::Error;

use crate::event::{Edit, Entry, SharedEvent, Todo, TodoEvent};
use crate::file::{self, FileError, Kind};
use crate::trail::{Activity, Point, Trail};

/// Why a log did not take what it was handed. State and file are as they were.
#[derive(Debug, Error)]
pub enum ClientLogError {
    /// It does not follow.
    #[error(transparent)]
    State(#[from] sync_state::Error),
    /// An event is not this client's next one.
    #[error("expected event {expected} of {client}, got event {found} of {author}")]
    NotNext {
        /// This client.
        client: String,
        /// The number of its next event.
        expected: u64,
        /// The author of the event that came.
        author: String,
        /// Its number.
        found: u64,
    },
    /// The file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A client's log in its file.
#[derive(Debug)]
pub struct SqliteLog {
    state: SyncState<SharedEvent>,
    db: Connection,
    path: PathBuf,
    client: String,
    /// How many events this client has committed, ever: the number of its next one. The last ones of them are pending.
    committed: u64,
    /// How many pending events were rolled back and applied again.
    reapplied: u64,
    trail: Arc<Trail>,
}

/// From these and the pending events the state follows.
#[derive(Clone, Copy)]
struct Heads {
    upstream: SeqNum,
    local: SeqNum,
    /// What the first pending event stands on.
    base: SeqNum,
}

impl Heads {
    fn of(state: &SyncState<SharedEvent>) -> Self {
        let local = state.local_head();
        let base = state.pending().next().map_or(local, |first| first.parent);
        Self { upstream: state.upstream_head(), local, base }
    }

    /// The state with these pending events.
    fn state(
        self,
        pending: impl IntoIterator<Item = SharedEvent>,
    ) -> Result<SyncState<SharedEvent>, sync_state::Error> {
        let mut previous = self.base;
        let number = |event| {
            let seq = SeqNum::new(previous.global + 1, 0, self.local.generation);
            let entry = Entry { seq, parent: previous, event };
            previous = seq;
            entry
        };
        SyncState::rehydrate(self.upstream, self.local, pending.into_iter().map(number))
    }
}

impl SqliteLog {
    /// Opens the file of this client of this upstream, or makes one.
    ///
    /// # Errors
    ///
    /// If it is something else, or another client's.
    pub fn open(path: &Path, client: &str, upstream_id: &str) -> Result<Self, FileError> {
        let mut db = file::open(path, Kind::Client)?;
        let why = |error| file::explain(path, &error);
        let begin = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(why)?;
        begin
            .execute(
                "INSERT INTO heads SELECT ?1, ?2, 'e0', 'e0', 'e0', 0 WHERE NOT EXISTS (SELECT * FROM heads)",
                (client, upstream_id),
            )
            .map_err(why)?;
        let owner = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let (owner, upstream): (String, String) =
            begin.query_row("SELECT client, upstream_id FROM heads", [], owner).map_err(why)?;
        for (what, expected, found) in [("client", client, owner), ("upstream", upstream_id, upstream)] {
            if expected != found {
                let (expected, found) = (format!("{what} {expected}"), format!("{what} {found}"));
                return Err(FileError::OtherOwner { path: path.to_owned(), expected, found });
            }
        }
        begin.commit().map_err(why)?;
        let (state, committed) = load(&db, client).map_err(why)?;
        let (path, client) = (path.to_owned(), client.to_owned());
        Ok(Self { state, db, path, client, committed, reapplied: 0, trail: Arc::default() })
    }

    /// The same log, saying what it does.
    #[must_use]
    pub fn with_trail(self, trail: Arc<Trail>) -> Self {
        Self { trail, ..self }
    }

    /// How many events this client has committed, ever.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// How many pending events were rolled back and applied again since it was opened.
    #[must_use]
    pub fn reapplied(&self) -> u64 {
        self.reapplied
    }

    /// Whether it has given up what upstream has `refused` for good, and nothing else.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn gave_up(&self, refused: impl Fn(u64) -> bool) -> Result<bool, FileError> {
        let numbers = || {
            let mut select = self.db.prepare("SELECT number FROM given_up")?;
            select.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<BTreeSet<u64>>>()
        };
        let given_up = numbers().map_err(|error| file::explain(&self.path, &error))?;
        // Of what is pending upstream has not said.
        let settled = self.state.pending().next().map_or(self.committed, |first| first.event.number);
        let missed = (0..settled).any(|number| refused(number) && !given_up.contains(&number));
        Ok(!missed && given_up.into_iter().all(refused))
    }

    /// Whether these are this client's next events.
    fn are_next(&self, entries: &[Entry]) -> Result<(), ClientLogError> {
        for (expected, entry) in (self.committed..).zip(entries) {
            let TodoEvent { client: author, number: found, .. } = &*entry.event;
            if (author, *found) != (&self.client, expected) {
                let (client, author, found) = (self.client.clone(), author.clone(), *found);
                return Err(ClientLogError::NotNext { client, expected, author, found });
            }
        }
        Ok(())
    }

    fn write_commit(&self, entries: &[SharedEvent]) -> rusqlite::Result<()> {
        let transaction = self.db.unchecked_transaction()?;
        let mut insert = self.db.prepare_cached("INSERT INTO pending VALUES (?1, ?2, ?3, ?4)")?;
        for event in entries {
            let undo = apply(&self.db, &event.edit)?;
            let undo = undo.map(|todo| todo_to_text(&todo)).transpose()?;
            insert.execute((event.number, &event.edit.todo, file::edit_to_text(&event.edit)?, undo))?;
        }
        self.write_heads(self.committed + entries.len() as u64)?;
        self.trail.at(Point::CommitWritten);
        transaction.commit()?;
        self.trail.at(Point::CommitDurable);
        Ok(())
    }

    /// Returns how many pending events were applied again.
    fn write_merge(&self, merged: &Merged<Entry>) -> rusqlite::Result<u64> {
        let (Merged::Advance { new, confirmed } | Merged::Rebase { new, confirmed, .. }) = merged;
        let transaction = self.db.unchecked_transaction()?;
        for entry in confirmed {
            file::append(&self.db, entry)?;
        }
        if let Some(last) = confirmed.last() {
            let mut delete = self.db.prepare_cached("DELETE FROM pending WHERE number <= ?1")?;
            delete.execute([last.event.number])?;
        }
        let undone = match self.state.pending_len() {
            0 => Vec::new(),
            _ => roll_back(&self.db, new)?,
        };
        if !undone.is_empty() {
            self.trail.at(Point::RolledBack);
        }
        for entry in new {
            apply(&self.db, &entry.event.edit)?;
            file::append(&self.db, entry)?;
        }
        apply_again(&self.db, &undone)?;
        self.write_heads(self.committed)?;
        self.trail.at(if merged.is_rebase() { Point::RebaseWritten } else { Point::AdvanceWritten });
        transaction.commit()?;
        self.trail.at(Point::MergeDurable);
        Ok(undone.len() as u64)
    }

    fn write_given_up(&self, given_up: &[Entry]) -> rusqlite::Result<()> {
        let transaction = self.db.unchecked_transaction()?;
        let mut undone = roll_back(&self.db, given_up)?;
        let mut delete = self.db.prepare_cached("DELETE FROM pending WHERE number = ?1")?;
        let mut insert = self.db.prepare_cached("INSERT INTO given_up VALUES (?1, ?2)")?;
        for TodoEvent { number, edit, .. } in given_up.iter().map(|entry| &*entry.event) {
            delete.execute([number])?;
            insert.execute((number, file::edit_to_text(edit)?))?;
            undone.retain(|(undone, _)| undone != number);
        }
        apply_again(&self.db, &undone)?;
        self.write_heads(self.committed)?;
        transaction.commit()
    }

    fn write_heads(&self, committed: u64) -> rusqlite::Result<()> {
        let Heads { upstream, local, base } = Heads::of(&self.state);
        let mut update =
            self.db.prepare_cached("UPDATE heads SET upstream = ?1, local = ?2, base = ?3, committed = ?4")?;
        update.execute((upstream.to_string(), local.to_string(), base.to_string(), committed))?;
        Ok(())
    }

    /// The state as it was, after a transaction that failed.
    fn put_back(&mut self, heads: Heads, pending: Vec<SharedEvent>) {
        self.state = heads.state(pending).expect("a state can be made from its own parts");
    }
}

impl Log for SqliteLog {
    type Event = Edit;
    type Entry = Entry;
    type Position = Position;
    type Error = ClientLogError;

    fn head(&self) -> Position {
        Log::head(&self.state)
    }

    fn upstream_head(&self) -> Position {
        Log::upstream_head(&self.state)
    }

    fn pending(&self) -> usize {
        Log::pending(&self.state)
    }

    fn position(entry: &Entry) -> Position {
        entry.seq.position()
    }

    fn number(&self, edits: Vec<Edit>) -> Result<Vec<Entry>, ClientLogError> {
        let event = |(number, edit)| SharedEvent::new(TodoEvent { client: self.client.clone(), number, edit });
        let events: Vec<_> = (self.committed..).zip(edits).map(event).collect();
        Ok(Log::number(&self.state, events)?)
    }

    fn admit(&mut self, entries: Vec<Entry>) -> Result<usize, ClientLogError> {
        let begun = Instant::now();
        self.are_next(&entries)?;
        let events: Vec<_> = entries.iter().map(|entry| SharedEvent::clone(&entry.event)).collect();
        let (heads, before) = (Heads::of(&self.state), self.state.pending_len());
        let count = Log::admit(&mut self.state, entries)?;
        if let Err(error) = self.write_commit(&events) {
            let pending = self.state.pending().take(before).map(|entry| SharedEvent::clone(entry.event)).collect();
            self.put_back(heads, pending);
            return Err(file::explain(&self.path, &error).into());
        }
        self.committed += events.len() as u64;
        self.trail.took(Activity::Committing, begun.elapsed());
        Ok(count)
    }

    fn batch(&self, max: NonZeroUsize) -> Vec<Entry> {
        Log::batch(&self.state, max)
    }

    fn merge(&mut self, page: Vec<Entry>) -> Result<Merged<Entry>, ClientLogError> {
        let begun = Instant::now();
        let nothing = page.is_empty();
        let heads = Heads::of(&self.state);
        let merged = Log::merge(&mut self.state, page)?;
        if nothing {
            return Ok(merged);
        }
        match self.write_merge(&merged) {
            Ok(reapplied) => self.reapplied += reapplied,
            Err(error) => {
                let confirmed = merged.confirmed().iter().map(|entry| &entry.event);
                let pending = confirmed.chain(self.state.pending().map(|entry| entry.event)).cloned().collect();
                self.put_back(heads, pending);
                return Err(file::explain(&self.path, &error).into());
            }
        }
        let activity = if merged.is_rebase() { Activity::Rebasing } else { Activity::Advancing };
        self.trail.took(activity, begun.elapsed());
        Ok(merged)
    }

    fn give_up(&mut self, range: Range<usize>) -> Option<Vec<Entry>> {
        let (heads, pending) =
            (Heads::of(&self.state), self.state.pending().map(|entry| entry.event.clone()).collect());
        let given_up = Log::give_up(&mut self.state, range)?;
        if self.write_given_up(&given_up).is_err() {
            self.put_back(heads, pending);
            return None;
        }
        Some(given_up)
    }
}

/// What the file says, and how many events were ever committed.
fn load(db: &Connection, client: &str) -> rusqlite::Result<(SyncState<SharedEvent>, u64)> {
    let heads = |row: &rusqlite::Row<'_>| {
        let seq = |column: usize| -> rusqlite::Result<SeqNum> {
            let text: String = row.get(column)?;
            text.parse().map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
        };
        Ok((Heads { upstream: seq(0)?, local: seq(1)?, base: seq(2)? }, row.get(3)?))
    };
    let (heads, committed) = db.query_row("SELECT upstream, local, base, committed FROM heads", [], heads)?;
    let mut select = db.prepare("SELECT number, edit FROM pending ORDER BY number")?;
    let event = |row: &rusqlite::Row<'_>| {
        let text: String = row.get(1)?;
        let edit = file::edit_from_text(&text)?;
        Ok(SharedEvent::new(TodoEvent { client: client.to_owned(), number: row.get(0)?, edit }))
    };
    let pending = select.query_map([], event)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let broken = |error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error));
    Ok((heads.state(pending).map_err(broken)?, committed))
}

/// Changes the todo; returns it as it was.
fn apply(db: &Connection, edit: &Edit) -> rusqlite::Result<Option<Todo>> {
    let mut select = db.prepare_cached("SELECT title, done FROM todos WHERE todo = ?1")?;
    let todo = |row: &rusqlite::Row<'_>| Ok(Todo { title: row.get(0)?, done: row.get(1)? });
    let before = select.query_row([&edit.todo], todo).optional()?;
    set(db, &edit.todo, edit.change.apply(before.clone()))?;
    Ok(before)
}

fn set(db: &Connection, todo: &str, to: Option<Todo>) -> rusqlite::Result<()> {
    match to {
        Some(Todo { title, done }) => {
            db.prepare_cached("INSERT OR REPLACE INTO todos VALUES (?1, ?2, ?3)")?.execute((todo, title, done))?
        }
        None => db.prepare_cached("DELETE FROM todos WHERE todo = ?1")?.execute([todo])?,
    };
    Ok(())
}

/// Takes back the pending events of the todos that these touch, from the last one. Returns them with their numbers, in order.
fn roll_back(db: &Connection, entries: &[Entry]) -> rusqlite::Result<Vec<(u64, Edit)>> {
    let touched: BTreeSet<&str> = entries.iter().map(|entry| entry.event.edit.todo.as_str()).collect();
    let mut select =
        db.prepare_cached("SELECT number, edit, undo FROM pending WHERE todo = ?1 ORDER BY number DESC")?;
    let mut undone = Vec::new();
    for todo in touched {
        let mut rows = select.query([todo])?;
        while let Some(row) = rows.next()? {
            let (edit, undo): (String, Option<String>) = (row.get(1)?, row.get(2)?);
            set(db, todo, undo.as_deref().map(todo_from_text).transpose()?)?;
            undone.push((row.get(0)?, file::edit_from_text(&edit)?));
        }
    }
    undone.sort_unstable_by_key(|(number, _)| *number);
    Ok(undone)
}

/// Applies pending events again that were taken back, in order.
fn apply_again(db: &Connection, undone: &[(u64, Edit)]) -> rusqlite::Result<()> {
    let mut update = db.prepare_cached("UPDATE pending SET undo = ?2 WHERE number = ?1")?;
    for (number, edit) in undone {
        let undo = apply(db, edit)?;
        update.execute((number, undo.map(|todo| todo_to_text(&todo)).transpose()?))?;
    }
    Ok(())
}

fn todo_to_text(todo: &Todo) -> rusqlite::Result<String> {
    serde_json::to_string(todo).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn todo_from_text(text: &str) -> rusqlite::Result<Todo> {
    let wrong = |error: serde_json::Error| rusqlite::Error::FromSqlConversionFailure(2, Type::Text, error.into());
    serde_json::from_str(text).map_err(wrong)
}
