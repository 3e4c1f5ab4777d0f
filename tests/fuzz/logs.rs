//! The logs of the clients: the two that ship and one that gives up events, as one type that may panic when it is told to.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use latchwork::log::{Log, MemoryEntry, MemoryLog, MemoryLogError, Merged};
use latchwork::sync_state::{self, Position, SeqNum, SyncState};
use thiserror::Error;

/// An event: unique by its client, that one's life and its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event {
    pub client: u8,
    /// How often the client had been given another log.
    pub life: u8,
    pub number: u16,
    pub local_only: bool,
    /// Given up if it is overtaken by others, in a log that does so.
    pub fragile: bool,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { client, life, number, .. } = self;
        write!(f, "{}{}", ["a", "b", "c", "d", "e", "f"][usize::from(*client)], number)?;
        (0..*life).try_for_each(|_| f.write_str("'"))?;
        f.write_str(if self.local_only { " (local)" } else { "" })?;
        f.write_str(if self.fragile { " (fragile)" } else { "" })
    }
}

impl sync_state::Event for Event {
    fn is_local_only(&self) -> bool {
        self.local_only
    }
    fn is_same_as(&self, other: &Self) -> bool {
        self == other
    }
}

pub type Entry = sync_state::Entry<Event>;

/// Which log a client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Commuting,
    Rebasing,
    /// As a rebasing one, but for fragile events, which it gives up when they would have to move.
    Fragile,
    /// With local-only events.
    State,
}

/// What a log is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    Admit = 1,
    Batch,
    Merge,
    Confirm,
}

/// Called before each of these; may panic.
pub type Mood = Arc<dyn Fn(Method) + Send + Sync>;

#[derive(Clone)]
pub struct AnyLog {
    inner: Inner,
    mood: Mood,
}

#[derive(Clone)]
enum Inner {
    Memory(MemoryLog<Event>),
    Fragile(Fragile),
    State(SyncState<Event>),
}

#[derive(Debug, Error)]
pub enum AnyError {
    #[error(transparent)]
    Memory(#[from] MemoryLogError),
    #[error(transparent)]
    State(#[from] sync_state::Error),
}

/// A plain vector that gives up events.
#[derive(Clone)]
struct Fragile {
    log: MemoryLog<Event>,
}

impl Fragile {
    fn merge(&mut self, page: Vec<MemoryEntry<Event>>) -> Result<Merged<MemoryEntry<Event>>, MemoryLogError> {
        let merged = self.log.merge(page)?;
        let Merged::Rebase { new, confirmed, .. } = merged else { return Ok(merged) };
        let pending: Vec<_> = self.log.batch(NonZeroUsize::MAX).into_iter().map(|entry| entry.event).collect();
        let dropped: Vec<_> = (0..pending.len()).filter(|index| pending[*index].fragile).collect();
        let kept: Vec<_> = pending.into_iter().filter(|event| !event.fragile).collect();
        let moved = kept.len();
        self.log = MemoryLog::rebasing().with_pending(self.log.upstream_head(), kept);
        Ok(Merged::Rebase { new, confirmed, moved, dropped })
    }
}

impl AnyLog {
    pub fn new(kind: Kind, mood: Mood) -> Self {
        let inner = match kind {
            Kind::Commuting => Inner::Memory(MemoryLog::new()),
            Kind::Rebasing => Inner::Memory(MemoryLog::rebasing()),
            Kind::Fragile => Inner::Fragile(Fragile { log: MemoryLog::rebasing() }),
            Kind::State => Inner::State(SyncState::default()),
        };
        Self { inner, mood }
    }

    /// All that is pending, in order, also what is not sent.
    pub fn events(&self) -> Vec<Event> {
        match &self.inner {
            Inner::State(state) => state.pending().map(|entry| *entry.event).collect(),
            Inner::Memory(log) | Inner::Fragile(Fragile { log }) => {
                log.batch(NonZeroUsize::MAX).into_iter().map(|entry| entry.event).collect()
            }
        }
    }
}

impl PartialEq for AnyLog {
    /// Whether they stand alike.
    fn eq(&self, other: &Self) -> bool {
        self.upstream_head() == other.upstream_head() && self.head() == other.head() && self.events() == other.events()
    }
}

impl std::fmt::Debug for AnyLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} up to {}, {:?} pending", self.head(), self.upstream_head(), self.events())
    }
}

fn number(global: u64) -> SeqNum {
    SeqNum::new(global, 0, 0)
}

fn position(global: u64) -> Position {
    number(global).position()
}

fn memory(entries: Vec<Entry>) -> Vec<MemoryEntry<Event>> {
    entries.into_iter().map(|entry| MemoryEntry { position: entry.seq.global, event: entry.event }).collect()
}

fn any(entries: Vec<MemoryEntry<Event>>) -> Vec<Entry> {
    let any = |MemoryEntry { position, event }| Entry { seq: number(position), parent: number(position - 1), event };
    entries.into_iter().map(any).collect()
}

fn any_merged(merged: Merged<MemoryEntry<Event>>) -> Merged<Entry> {
    match merged {
        Merged::Advance { new, confirmed } => Merged::Advance { new: any(new), confirmed: any(confirmed) },
        Merged::Rebase { new, confirmed, moved, dropped } => {
            Merged::Rebase { new: any(new), confirmed: any(confirmed), moved, dropped }
        }
    }
}

impl Log for AnyLog {
    type Event = Event;
    type Entry = Entry;
    type Position = Position;
    type Error = AnyError;

    fn head(&self) -> Position {
        match &self.inner {
            Inner::Memory(log) | Inner::Fragile(Fragile { log }) => position(log.head()),
            Inner::State(state) => Log::head(state),
        }
    }

    fn upstream_head(&self) -> Position {
        match &self.inner {
            Inner::Memory(log) | Inner::Fragile(Fragile { log }) => position(log.upstream_head()),
            Inner::State(state) => Log::upstream_head(state),
        }
    }

    fn pending(&self) -> usize {
        match &self.inner {
            Inner::Memory(log) | Inner::Fragile(Fragile { log }) => log.pending(),
            Inner::State(state) => Log::pending(state),
        }
    }

    fn position(entry: &Entry) -> Position {
        entry.seq.position()
    }

    fn is_local_only(&self, entry: &Entry) -> bool {
        entry.event.local_only
    }

    fn number(&self, events: Vec<Event>) -> Result<Vec<Entry>, AnyError> {
        (self.mood)(Method::Admit);
        Ok(match &self.inner {
            Inner::Memory(log) | Inner::Fragile(Fragile { log }) => any(log.number(events)?),
            Inner::State(state) => Log::number(state, events)?,
        })
    }

    fn admit(&mut self, entries: Vec<Entry>) -> Result<usize, AnyError> {
        (self.mood)(Method::Admit);
        Ok(match &mut self.inner {
            Inner::Memory(log) | Inner::Fragile(Fragile { log }) => log.admit(memory(entries))?,
            Inner::State(state) => state.admit(entries)?,
        })
    }

    fn append(&mut self, events: Vec<Event>) -> Result<usize, AnyError> {
        (self.mood)(Method::Admit);
        Ok(match &mut self.inner {
            Inner::Memory(log) | Inner::Fragile(Fragile { log }) => log.append(events)?,
            Inner::State(state) => state.append(events)?,
        })
    }

    fn batch(&self, max: NonZeroUsize) -> Vec<Entry> {
        (self.mood)(Method::Batch);
        match &self.inner {
            Inner::Memory(log) | Inner::Fragile(Fragile { log }) => any(log.batch(max)),
            Inner::State(state) => Log::batch(state, max),
        }
    }

    fn merge(&mut self, page: Vec<Entry>) -> Result<Merged<Entry>, AnyError> {
        (self.mood)(Method::Merge);
        Ok(match &mut self.inner {
            Inner::Memory(log) => any_merged(log.merge(memory(page))?),
            Inner::Fragile(log) => any_merged(log.merge(memory(page))?),
            Inner::State(state) => Log::merge(state, page)?,
        })
    }

    fn confirm(&mut self, batch: Vec<Entry>) -> Result<Merged<Entry>, AnyError> {
        (self.mood)(Method::Confirm);
        Ok(match &mut self.inner {
            Inner::Memory(log) => any_merged(log.confirm(memory(batch))?),
            Inner::Fragile(log) => any_merged(log.merge(memory(batch))?),
            Inner::State(state) => state.confirm(batch)?,
        })
    }

    fn give_up(&mut self, range: Range<usize>) -> Option<Vec<Entry>> {
        match &mut self.inner {
            Inner::Memory(log) | Inner::Fragile(Fragile { log }) => log.give_up(range).map(any),
            Inner::State(state) => Log::give_up(state, range),
        }
    }
}
