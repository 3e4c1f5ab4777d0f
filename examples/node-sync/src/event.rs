//! What is synced: changes of todos.

use std::sync::Arc;

use latchwork::log::MemoryEntry;
use serde::{Deserialize, Serialize};

/// What a user does to one todo. Each touches that todo alone, so changes of different todos commute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The todo's name, the same everywhere.
    pub todo: String,
    /// What happens to it.
    pub change: Change,
}

/// What can happen to a todo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It has this title, and is there from now on.
    Put(String),
    /// It is done. Nothing happens if it is not there.
    Done,
    /// It is not there any more.
    Remove,
}

/// A todo as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Todo {
    /// Its title.
    pub title: String,
    /// Whether it is done.
    pub done: bool,
}

/// An edit with its author's name and number, so that no two events are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TodoEvent {
    /// Who committed it.
    pub client: String,
    /// How many events that client had committed before.
    pub number: u64,
    /// What it is.
    pub edit: Edit,
}

/// Events are shared, since each is cloned whenever it is sent.
pub type SharedEvent = Arc<TodoEvent>;
/// A numbered event.
pub type Entry = MemoryEntry<SharedEvent>;

impl Change {
    /// The todo after this change.
    #[must_use]
    pub fn apply(&self, todo: Option<Todo>) -> Option<Todo> {
        match self {
            Self::Put(title) => Some(Todo { title: title.clone(), done: todo.is_some_and(|todo| todo.done) }),
            Self::Done => todo.map(|todo| Todo { done: true, ..todo }),
            Self::Remove => None,
        }
    }
}
