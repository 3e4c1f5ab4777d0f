//! What the tests share: numbers as events, of which those from 1,000 on stay here.

use std::path::Path;

use latchwork::journal::{Change, Changed, Recovered};
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork_sqlite::{BoxError, Codec, Error, Identity, SqliteJournal, Tables};

pub type Log = MemoryLog<u32>;
pub type Entry = MemoryEntry<u32>;
pub type Told = Change<Entry, u64>;
pub type Held = Recovered<Entry, u64>;

/// Numbers as bytes.
#[derive(Clone, Copy)]
pub struct Numbers;

pub const fn is_sent(entry: &Entry) -> bool {
    entry.event < 1000
}

impl Codec<Log> for Numbers {
    fn start(&self) -> u64 {
        0
    }
    fn entry_to_bytes(&self, entry: &Entry) -> Vec<u8> {
        entry.event.to_be_bytes().to_vec()
    }
    fn entry_from_bytes(&self, bytes: &[u8]) -> Result<Entry, BoxError> {
        Ok(entry(u32::from_be_bytes(bytes.try_into()?)))
    }
    fn position_to_bytes(&self, position: u64) -> Vec<u8> {
        position.to_be_bytes().to_vec()
    }
    fn position_from_bytes(&self, bytes: &[u8]) -> Result<u64, BoxError> {
        Ok(u64::from_be_bytes(bytes.try_into()?))
    }
    fn is_sent(&self, entry: &Entry) -> bool {
        is_sent(entry)
    }
}

pub const ALICE: Identity<'_> = Identity { client: "alice", upstream: "todos" };

pub const fn entry(event: u32) -> Entry {
    MemoryEntry { position: 0, event }
}

pub fn entries(events: &[u32]) -> Vec<Entry> {
    events.iter().copied().map(entry).collect()
}

pub fn committed(events: &[u32]) -> Changed<Entry> {
    Changed::Committed { entries: entries(events) }
}

/// A journal with tables, and what it holds.
pub fn open_with<T: Tables<Log>>(path: &Path, tables: T) -> Result<(SqliteJournal<Log, Numbers, T>, Held), Error> {
    SqliteJournal::open(path, ALICE, Numbers, tables)
}

pub fn open(path: &Path) -> Result<(SqliteJournal<Log, Numbers>, Held), Error> {
    open_with(path, ())
}

/// What a process that begins now would find.
pub fn held(path: &Path) -> Held {
    open(path).unwrap().1
}

/// What is pending there.
pub fn pending(path: &Path) -> Vec<u32> {
    held(path).pending.into_iter().map(|entry| entry.event).collect()
}
