//! Whether files agree, and each with itself.
//!
//! Files are read from one end to the other and never kept: it takes no more memory for more events.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use rusqlite::{Connection, Rows};
use serde::Serialize;

use crate::event::{Edit, Entry, Todo};
use crate::file::{self, FileError, Kind};

/// How many of the things that are wrong with a file are told.
const TOLD: usize = 5;

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// How many events its log has.
    pub events: u64,
    /// A digest of the log.
    pub log: u64,
    /// A digest of the todos that the log leads to.
    pub todos: u64,
    /// How many todos there are.
    pub todo_count: u64,
    /// Events of each author.
    pub authors: BTreeMap<String, u64>,
    /// What is wrong with it, in words; the first few.
    pub wrong: Vec<String>,
}

/// Reads a file that is not written any more. The log must be without a gap; each author's events must stand in it once and
/// in the order in which they were committed; and a client's todos must be what its log says.
///
/// # Errors
///
/// If it cannot be read.
pub fn contents(path: &Path, kind: Kind) -> Result<Contents, FileError> {
    contents_without(path, kind, |_, _| false)
}

/// The same, if upstream has `refused` some events for good, by their authors and numbers: those must not be there.
///
/// # Errors
///
/// If it cannot be read.
pub fn contents_without(path: &Path, kind: Kind, refused: impl Fn(&str, u64) -> bool) -> Result<Contents, FileError> {
    let db = file::open_made(path, kind)?;
    read(&db, kind, &refused).map_err(|error| file::explain(path, &error))
}

fn read(db: &Connection, kind: Kind, refused: &dyn Fn(&str, u64) -> bool) -> rusqlite::Result<Contents> {
    let mut contents =
        Contents { events: 0, log: 0, todos: 0, todo_count: 0, authors: BTreeMap::new(), wrong: Vec::new() };
    read_log(db, refused, &mut contents)?;
    let mut pending = 0;
    if kind == Kind::Client {
        pending = db.query_row("SELECT count(*) FROM latchwork_pending", [], |row| row.get(0))?;
    }
    // What is pending is in the todos and not in the log: there is nothing to compare.
    let stored = kind == Kind::Client && pending == 0;
    contents.note(pending > 0, || format!("{pending} events are still pending"));
    read_todos(db, stored, &mut contents)?;
    Ok(contents)
}

impl Contents {
    fn note(&mut self, wrong: bool, what: impl FnOnce() -> String) {
        if wrong && self.wrong.len() < TOLD {
            self.wrong.push(what());
        }
    }
}

fn read_log(db: &Connection, refused: &dyn Fn(&str, u64) -> bool, contents: &mut Contents) -> rusqlite::Result<()> {
    let mut hasher = DefaultHasher::new();
    let mut next_of = BTreeMap::<String, u64>::new();
    let mut select = db.prepare("SELECT * FROM log ORDER BY seq")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let Entry { position, event } = file::entry(row)?;
        contents.events += 1;
        let number = contents.events;
        contents.note(position != number, || format!("expected event {number} next, got {position}"));
        *contents.authors.entry(event.client.clone()).or_default() += 1;
        let next = next_of.entry(event.client.clone()).or_default();
        let expected = std::mem::replace(next, event.number + 1);
        let is_refused = |number| refused(&event.client, number);
        let skipped_right = (expected..event.number).all(is_refused) && !is_refused(event.number);
        contents.note(event.number < expected || !skipped_right, || {
            format!("event {position} is event {} of {}: expected event {expected}", event.number, event.client)
        });
        (position, &event.client, event.number, file::edit_to_text(&event.edit)?).hash(&mut hasher);
    }
    contents.log = hasher.finish();
    Ok(())
}

/// Does what the log says to one todo after the other, and compares it with the table of todos if that is `stored`. Both
/// come in the order of their names, so neither need be kept.
fn read_todos(db: &Connection, stored: bool, contents: &mut Contents) -> rusqlite::Result<()> {
    let mut hasher = DefaultHasher::new();
    let mut edits = db.prepare("SELECT edit FROM log ORDER BY edit ->> 'todo', seq")?;
    let mut edits = edits.query([])?;
    let mut table = if stored { Some(db.prepare("SELECT todo, title, done FROM todos ORDER BY todo")?) } else { None };
    let mut table = table.as_mut().map(|select| select.query([])).transpose()?;
    let mut equal = true;
    let mut next = next_edit(&mut edits)?;
    while let Some(edit) = next.take() {
        let name = edit.todo;
        let mut todo = edit.change.apply(None);
        next = next_edit(&mut edits)?;
        while let Some(edit) = next.take_if(|edit| edit.todo == name) {
            todo = edit.change.apply(todo);
            next = next_edit(&mut edits)?;
        }
        let Some(todo) = todo else { continue };
        (&name, &todo).hash(&mut hasher);
        contents.todo_count += 1;
        if let Some(rows) = &mut table {
            equal &= next_stored(rows)? == Some((name, todo));
        }
    }
    if let Some(rows) = &mut table {
        equal &= next_stored(rows)?.is_none();
    }
    contents.note(!equal, || "the todos are not what the log says".to_owned());
    contents.todos = hasher.finish();
    Ok(())
}

fn next_edit(rows: &mut Rows<'_>) -> rusqlite::Result<Option<Edit>> {
    rows.next()?.map(|row| file::edit_from_text(&row.get::<_, String>(0)?)).transpose()
}

fn next_stored(rows: &mut Rows<'_>) -> rusqlite::Result<Option<(String, Todo)>> {
    let todo = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Todo { title: row.get(1)?, done: row.get(2)? }));
    rows.next()?.map(todo).transpose()
}
