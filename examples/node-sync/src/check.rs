//! Whether files agree, and each with itself.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;

use crate::event::{Entry, Todo};
use crate::file::{self, Kind, OpenError};

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// How many events its log has.
    pub events: u64,
    /// A digest of the log.
    pub log: u64,
    /// A digest of the todos.
    pub todos: u64,
    /// How many todos there are.
    pub todo_count: u64,
    /// Events of each author.
    pub authors: BTreeMap<String, u64>,
    /// What is wrong with it, in words.
    pub wrong: Vec<String>,
}

/// Reads a file that nobody writes any more. The log must be without a gap; each author's events must stand in it once and
/// in the order in which they were committed; and a client's todos must be what its log says.
///
/// # Errors
///
/// If it cannot be read.
pub fn contents(path: &Path, kind: Kind) -> Result<Contents, OpenError> {
    let db = file::open(path, kind)?;
    read(&db, kind).map_err(|error| file::explain(path, &error))
}

fn read(db: &Connection, kind: Kind) -> rusqlite::Result<Contents> {
    let mut hasher = DefaultHasher::new();
    let (mut events, mut authors, mut wrong) = (0_u64, BTreeMap::<String, u64>::new(), Vec::new());
    let mut todos = BTreeMap::<String, Todo>::new();
    let mut select = db.prepare("SELECT * FROM log ORDER BY seq")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let Entry { seq, parent, event } = file::entry(row)?;
        events += 1;
        if seq.global != events {
            wrong.push(format!("expected e{events} next, got {seq}"));
        }
        let next = authors.entry(event.client.clone()).or_default();
        if event.number != *next {
            wrong.push(format!("{seq} is event {} of {}: expected event {next}", event.number, event.client));
        }
        *next = event.number + 1;
        (seq, parent, &event.client, event.number, file::edit_to_text(&event.edit)?).hash(&mut hasher);
        let edit = &event.edit;
        match edit.change.apply(todos.remove(&edit.todo)) {
            Some(todo) => drop(todos.insert(edit.todo.clone(), todo)),
            None => drop(todos.remove(&edit.todo)),
        }
    }
    let log = hasher.finish();
    if kind == Kind::Client {
        let pending: u64 = db.query_row("SELECT count(*) FROM pending", [], |row| row.get(0))?;
        if pending > 0 {
            wrong.push(format!("{pending} events are still pending"));
        } else if stored(db)? != todos {
            wrong.push("the todos are not what the log says".to_owned());
        }
    }
    let mut hasher = DefaultHasher::new();
    todos.hash(&mut hasher);
    Ok(Contents { events, log, todos: hasher.finish(), todo_count: todos.len() as u64, authors, wrong })
}

/// The table of todos.
fn stored(db: &Connection) -> rusqlite::Result<BTreeMap<String, Todo>> {
    let mut select = db.prepare("SELECT todo, title, done FROM todos")?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, Todo { title: row.get(1)?, done: row.get(2)? })))?;
    rows.collect()
}
