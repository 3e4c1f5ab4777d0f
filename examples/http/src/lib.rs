//! A sync engine over HTTP: a server that orders notes in SQLite, and the upstream that its clients have of it.
//!
//! [`server`] and [`client`] are what most engines will write. Between them are two requests:
//!
//! | | |
//! | --- | --- |
//! | `POST /events` | compare and append: a [`Push`], taken whole or not at all, only if it follows the last event |
//! | `GET /events?after=7` | all that follows, as server-sent events: each is a [`Pulled`] page, at once or as it is ordered |
//!
//! A client says in the header [`LOG`] which log it belongs to, and each answer of the server says which it is. By that a
//! client knows an answer of the server's from one of a proxy's between them.

pub mod client;
pub mod run;
pub mod server;
pub mod sse;

use latchwork::log::{MemoryEntry, MemoryLog};
use serde::{Deserialize, Serialize};

/// The header that names the log.
pub const LOG: &str = "sync-log";

/// What a client keeps.
pub type Notes = MemoryLog<Note>;

/// A numbered note.
pub type Entry = MemoryEntry<Note>;

/// What a client writes. Its author and its number tell it from all others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Which client wrote it.
    pub author: String,
    /// Which of that client's notes it is.
    pub number: u64,
    /// What it says. One that says nothing is refused for good.
    pub text: String,
}

/// The body of a push.
#[derive(Debug, Serialize, Deserialize)]
pub struct Push {
    /// The event that the first of these is to follow.
    pub base: u64,
    /// At least one.
    pub notes: Vec<Note>,
}

/// A page of a pull.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pulled {
    /// The first event's number. They have no gaps.
    pub from: u64,
    /// None in a heartbeat.
    pub notes: Vec<Note>,
    /// How many follow.
    pub more: u64,
}

/// The body of a `409`: upstream has other events than the client takes it for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Conflict {
    /// Upstream's last event.
    pub head: u64,
}

/// The body of a `422`: an event is refused for good.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Which one of the push, from 0.
    pub index: usize,
    /// Why.
    pub error: String,
}
