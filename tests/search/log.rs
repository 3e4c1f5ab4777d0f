//! The log that a client keeps: one of the crate's own, and what else a log may do.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

use latchwork::log::{Log, MemoryEntry, MemoryLog, Merged};
use latchwork::sync_state::{self, Entry, SeqNum, SyncState};

/// An event: who committed it, as which of theirs, whether it is kept in the log and never sent, and whether the owner has put
/// it in the place of another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event(u8);

impl Event {
    pub fn new(author: u8, place: usize, local_only: bool) -> Self {
        assert!(author < 8 && place < 8, "expected few clients and few events, got {author}, {place}");
        Self(author << 5 | u8::from(local_only) << 3 | place as u8)
    }

    /// What the owner puts in its place.
    pub fn replacement(self) -> Self {
        Self(self.0 | 16)
    }

    pub fn is_replacement(self) -> bool {
        self.0 & 16 != 0
    }

    pub fn author(self) -> u8 {
        self.0 >> 5
    }

    /// Which of its author's commits it came with, or stands for.
    pub fn place(self) -> usize {
        usize::from(self.0 & 7)
    }

    /// Its number among its author's: another one than that of what it replaces.
    pub fn number(self) -> usize {
        self.place() + if self.is_replacement() { 8 } else { 0 }
    }

    pub fn is_local_only(self) -> bool {
        self.0 & 8 != 0
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let anew = if self.is_replacement() { "'" } else { "" };
        write!(f, "{}.{}{anew}{}", self.author(), self.place(), if self.is_local_only() { " local" } else { "" })
    }
}

impl sync_state::Event for Event {
    fn is_local_only(&self) -> bool {
        (*self).is_local_only()
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self == other
    }
}

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A [`MemoryLog`] whose events commute.
    Commuting,
    /// A [`MemoryLog`] that rebases its pending events.
    Rebasing,
    /// One that gives up the first of them whenever it does.
    GivingUp,
    /// A [`SyncState`]: it rebases, and may hold local-only events.
    Merging,
}

/// An answer that a log's contract does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Lie {
    /// A batch of nothing.
    Batch = 1,
    /// A commit of one event more than there is.
    Commit,
    /// A merge that has not been done.
    Merge,
    /// A merge that keeps to itself what it has confirmed.
    Confirmed,
    /// A rebase that has given up an event, and names one that there is not.
    Dropped,
}

impl Lie {
    const ALL: [Self; 5] = [Self::Batch, Self::Commit, Self::Merge, Self::Confirmed, Self::Dropped];
}

/// A log lies once.
const TOLD: u8 = u8::MAX;

#[derive(Debug)]
pub struct Ledger {
    kind: Kind,
    inner: Inner,
    /// The lie that it will tell as soon as it can; zero for none, [`TOLD`] when it has told one.
    lie: AtomicU8,
}

#[derive(Debug, Clone)]
enum Inner {
    Memory(MemoryLog<Event>),
    Sync(SyncState<Event>),
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

fn refused(error: impl fmt::Display) -> Refused {
    Refused(error.to_string())
}

impl Ledger {
    pub fn new(kind: Kind, cursor: u64, pending: Vec<Event>) -> Self {
        let inner = match kind {
            Kind::Commuting => Inner::Memory(MemoryLog::new().with_pending(cursor, pending)),
            Kind::Rebasing | Kind::GivingUp => Inner::Memory(MemoryLog::rebasing().with_pending(cursor, pending)),
            Kind::Merging => {
                let mut state = SyncState::new(SeqNum::new(cursor, 0, 0));
                Log::append(&mut state, pending).expect("there are numbers left");
                Inner::Sync(state)
            }
        };
        Self { kind, inner, lie: AtomicU8::new(0) }
    }

    /// All that is pending, in order, whether it is to be sent or not.
    pub fn all(&self) -> Vec<Event> {
        match &self.inner {
            Inner::Memory(log) => log.batch(NonZeroUsize::MAX).into_iter().map(|entry| entry.event).collect(),
            Inner::Sync(state) => state.pending().map(|entry| *entry.event).collect(),
        }
    }

    /// Those of them that are to be sent.
    pub fn to_send(&self) -> Vec<Event> {
        self.all().into_iter().filter(|event| !event.is_local_only()).collect()
    }

    /// Lets its next answer be wrong to which this lie is one.
    pub fn will_tell(&self, lie: Lie) {
        self.lie.store(lie as u8, Ordering::Relaxed);
    }

    /// The lie that is still to be told.
    pub fn lie(&self) -> Option<Lie> {
        let lie = self.lie.load(Ordering::Relaxed);
        Lie::ALL.into_iter().find(|&other| other as u8 == lie)
    }

    /// Whether it has never lied and is not about to.
    pub fn is_honest(&self) -> bool {
        self.lie.load(Ordering::Relaxed) == 0
    }

    /// Whether this lie is due; once.
    fn lies(&self, lie: Lie) -> bool {
        self.lie.compare_exchange(lie as u8, TOLD, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// What is said of a merge.
    fn said(&mut self, done: Merged<MemoryEntry<Event>>) -> Merged<MemoryEntry<Event>> {
        match done {
            Merged::Rebase { new, confirmed, moved, .. }
                if self.kind == Kind::GivingUp || self.lie() == Some(Lie::Dropped) =>
            {
                let kept = self.all().split_off(1);
                self.inner = Inner::Memory(MemoryLog::rebasing().with_pending(self.upstream_head(), kept));
                let dropped = if self.lies(Lie::Dropped) { vec![moved] } else { vec![0] };
                Merged::Rebase { new, confirmed, moved: moved - 1, dropped }
            }
            Merged::Advance { new, confirmed } | Merged::Rebase { new, confirmed, .. }
                if !confirmed.is_empty() && self.lies(Lie::Confirmed) =>
            {
                Merged::Advance { new, confirmed: Vec::new() }
            }
            done => done,
        }
    }

    fn parts(&self) -> (u64, u64, Vec<Event>, u8) {
        (self.upstream_head(), self.head(), self.all(), self.lie.load(Ordering::Relaxed))
    }
}

/// As upstream sends it: with the generation of what it may be compared with, which is not looked at.
fn numbered(state: &SyncState<Event>, entries: Vec<MemoryEntry<Event>>) -> Vec<Entry<Event>> {
    let number = |global| SeqNum::new(global, 0, state.local_head().generation);
    let entry = |MemoryEntry { position, event }| Entry { seq: number(position), parent: number(position - 1), event };
    entries.into_iter().map(entry).collect()
}

fn placed(entries: Vec<Entry<Event>>) -> Vec<MemoryEntry<Event>> {
    entries.into_iter().map(|Entry { seq, event, .. }| MemoryEntry { position: seq.global, event }).collect()
}

fn merged(merged: Merged<Entry<Event>>) -> Merged<MemoryEntry<Event>> {
    match merged {
        Merged::Advance { new, confirmed } => Merged::Advance { new: placed(new), confirmed: placed(confirmed) },
        Merged::Rebase { new, confirmed, moved, dropped } => {
            Merged::Rebase { new: placed(new), confirmed: placed(confirmed), moved, dropped }
        }
    }
}

impl Log for Ledger {
    type Event = Event;
    type Entry = MemoryEntry<Event>;
    type Position = u64;
    type Error = Refused;

    fn head(&self) -> u64 {
        match &self.inner {
            Inner::Memory(log) => log.head(),
            Inner::Sync(state) => Log::head(state).global,
        }
    }

    fn upstream_head(&self) -> u64 {
        match &self.inner {
            Inner::Memory(log) => log.upstream_head(),
            Inner::Sync(state) => Log::upstream_head(state).global,
        }
    }

    fn pending(&self) -> usize {
        match &self.inner {
            Inner::Memory(log) => log.pending(),
            Inner::Sync(state) => Log::pending(state),
        }
    }

    fn position(entry: &MemoryEntry<Event>) -> u64 {
        entry.position
    }

    fn is_local_only(&self, entry: &MemoryEntry<Event>) -> bool {
        entry.event.is_local_only()
    }

    fn number(&self, events: Vec<Event>) -> Result<Vec<MemoryEntry<Event>>, Refused> {
        match &self.inner {
            Inner::Memory(log) => log.number(events).map_err(refused),
            Inner::Sync(state) => Log::number(state, events).map(placed).map_err(refused),
        }
    }

    fn admit(&mut self, entries: Vec<MemoryEntry<Event>>) -> Result<usize, Refused> {
        self.append(entries.into_iter().map(|entry| entry.event).collect())
    }

    fn append(&mut self, events: Vec<Event>) -> Result<usize, Refused> {
        let sent = match &mut self.inner {
            Inner::Memory(log) => log.append(events).map_err(refused)?,
            Inner::Sync(state) => Log::append(state, events).map_err(refused)?,
        };
        Ok(sent + usize::from(self.lies(Lie::Commit)))
    }

    fn batch(&self, max: NonZeroUsize) -> Vec<MemoryEntry<Event>> {
        match &self.inner {
            _ if self.lies(Lie::Batch) => Vec::new(),
            Inner::Memory(log) => log.batch(max),
            Inner::Sync(state) => placed(Log::batch(state, max)),
        }
    }

    fn merge(&mut self, page: Vec<MemoryEntry<Event>>) -> Result<Merged<MemoryEntry<Event>>, Refused> {
        if self.lies(Lie::Merge) {
            return Ok(Merged::Advance { new: page, confirmed: Vec::new() });
        }
        let done = match &mut self.inner {
            Inner::Memory(log) => log.merge(page).map_err(refused)?,
            Inner::Sync(state) => {
                let page = numbered(state, page);
                merged(Log::merge(state, page).map_err(refused)?)
            }
        };
        Ok(self.said(done))
    }

    fn confirm(&mut self, batch: Vec<MemoryEntry<Event>>) -> Result<Merged<MemoryEntry<Event>>, Refused> {
        if self.lies(Lie::Merge) {
            return Ok(Merged::Advance { new: Vec::new(), confirmed: batch });
        }
        let done = match &mut self.inner {
            Inner::Memory(log) => log.confirm(batch).map_err(refused)?,
            Inner::Sync(state) => {
                let batch = numbered(state, batch);
                merged(Log::confirm(state, batch).map_err(refused)?)
            }
        };
        Ok(self.said(done))
    }

    fn give_up(&mut self, range: Range<usize>) -> Option<Vec<MemoryEntry<Event>>> {
        match &mut self.inner {
            Inner::Memory(log) => log.give_up(range),
            Inner::Sync(state) => Log::give_up(state, range).map(placed),
        }
    }

    fn replace(&mut self, index: usize, event: Event) -> Result<MemoryEntry<Event>, Event> {
        match &mut self.inner {
            Inner::Memory(log) => log.replace(index, event),
            Inner::Sync(state) => {
                let Entry { seq, event, .. } = Log::replace(state, index, event)?;
                Ok(MemoryEntry { position: seq.global, event })
            }
        }
    }
}

impl Clone for Ledger {
    fn clone(&self) -> Self {
        let lie = AtomicU8::new(self.lie.load(Ordering::Relaxed));
        Self { kind: self.kind, inner: self.inner.clone(), lie }
    }
}

/// A [`SyncState`]'s generation is not compared: what comes after it does not depend on it.
impl PartialEq for Ledger {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Ledger {}

impl Hash for Ledger {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.parts().hash(hasher);
    }
}
