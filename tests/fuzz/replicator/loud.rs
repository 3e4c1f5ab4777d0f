//! User code that calls the replicator back: where an event is dropped, an error shown, a waker woken or dropped.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Wake;

use latchwork::log::{Log, Merged};
use latchwork::sync_state::Position;

use super::world::World;
use crate::harness::message;
use crate::logs::{AnyError, AnyLog, Entry, Event};

/// Calls back a client's replicator.
pub struct Ring {
    /// Without it there are no calls back.
    pub world: OnceLock<Weak<World>>,
    client: usize,
    calls: AtomicU64,
}

thread_local! {
    static RINGING: Cell<bool> = const { Cell::new(false) };
}

impl Ring {
    pub fn new(client: usize) -> Self {
        Self { world: OnceLock::new(), client, calls: AtomicU64::new(0) }
    }

    /// Calls the replicator, now and then.
    pub fn ring(&self) {
        let Some(world) = self.world.get().and_then(Weak::upgrade) else { return };
        let called = || self.calls.fetch_add(1, Ordering::Relaxed) % 4 == 0;
        if !called() || RINGING.try_with(|ringing| ringing.replace(true)) != Ok(false) {
            return;
        }
        // What it says is no matter. If it does not answer, the case does not end.
        let look = || world.clients[self.client].handle().map(|replicator| replicator.status().pending);
        match catch_unwind(AssertUnwindSafe(look)) {
            Ok(looked) => looked.iter().for_each(|_| world.count("called back")),
            Err(payload) => world.unless(false, || format!("a call back panicked: {}", message(&*payload))),
        }
        let _ending = RINGING.try_with(|ringing| ringing.set(false));
    }
}

/// Rings when it is dropped.
#[derive(Clone)]
pub struct Bell(Option<Arc<Ring>>);

impl Bell {
    pub fn new(ring: &Arc<Ring>) -> Self {
        Self(Some(Arc::clone(ring)))
    }

    /// In a log's own methods, which are called under the lock and must not call back.
    fn silence(mut self) {
        self.0 = None;
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        if let Some(ring) = &self.0 {
            ring.ring();
        }
    }
}

pub struct LoudEvent {
    pub event: Event,
    pub bell: Bell,
}

#[derive(Clone)]
pub struct LoudEntry {
    pub entry: Entry,
    pub bell: Bell,
}

impl fmt::Debug for LoudEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{}", self.entry.event, self.entry.seq)
    }
}

/// An error that calls back when it is shown, and when it is dropped.
pub struct LoudError {
    words: String,
    ring: Arc<Ring>,
}

impl LoudError {
    pub fn new(words: impl Into<String>, ring: &Arc<Ring>) -> Self {
        Self { words: words.into(), ring: Arc::clone(ring) }
    }
}

impl fmt::Display for LoudError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ring.ring();
        f.write_str(&self.words)
    }
}

impl fmt::Debug for LoudError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for LoudError {}

impl Drop for LoudError {
    fn drop(&mut self) {
        self.ring.ring();
    }
}

/// A waker that calls back when it is woken, and when it is dropped.
pub struct LoudWaker(pub Arc<Ring>);

impl Wake for LoudWaker {
    fn wake(self: Arc<Self>) {
        self.0.ring();
    }
}

impl Drop for LoudWaker {
    fn drop(&mut self) {
        self.0.ring();
    }
}

/// A log with loud events.
pub struct LoudLog {
    pub log: AnyLog,
    pub ring: Arc<Ring>,
}

impl LoudLog {
    fn loud(&self, entries: Vec<Entry>) -> Vec<LoudEntry> {
        loud(entries, &self.ring)
    }

    fn error(&self, error: &AnyError) -> LoudError {
        LoudError::new(error.to_string(), &self.ring)
    }
}

pub fn loud(entries: Vec<Entry>, ring: &Arc<Ring>) -> Vec<LoudEntry> {
    entries.into_iter().map(|entry| LoudEntry { entry, bell: Bell::new(ring) }).collect()
}

fn events(events: Vec<LoudEvent>) -> Vec<Event> {
    let silent = |LoudEvent { event, bell }| {
        bell.silence();
        event
    };
    events.into_iter().map(silent).collect()
}

fn entries(entries: Vec<LoudEntry>) -> Vec<Entry> {
    let silent = |LoudEntry { entry, bell }| {
        bell.silence();
        entry
    };
    entries.into_iter().map(silent).collect()
}

impl Log for LoudLog {
    type Event = LoudEvent;
    type Entry = LoudEntry;
    type Position = Position;
    type Error = LoudError;

    fn head(&self) -> Position {
        self.log.head()
    }

    fn upstream_head(&self) -> Position {
        self.log.upstream_head()
    }

    fn pending(&self) -> usize {
        self.log.pending()
    }

    fn position(entry: &LoudEntry) -> Position {
        AnyLog::position(&entry.entry)
    }

    fn is_local_only(&self, entry: &LoudEntry) -> bool {
        self.log.is_local_only(&entry.entry)
    }

    fn number(&self, all: Vec<LoudEvent>) -> Result<Vec<LoudEntry>, LoudError> {
        let numbered = self.log.number(events(all)).map_err(|error| self.error(&error))?;
        Ok(self.loud(numbered))
    }

    fn admit(&mut self, all: Vec<LoudEntry>) -> Result<usize, LoudError> {
        self.log.admit(entries(all)).map_err(|error| LoudError::new(error.to_string(), &self.ring))
    }

    fn append(&mut self, all: Vec<LoudEvent>) -> Result<usize, LoudError> {
        self.log.append(events(all)).map_err(|error| LoudError::new(error.to_string(), &self.ring))
    }

    fn batch(&self, max: NonZeroUsize) -> Vec<LoudEntry> {
        self.loud(self.log.batch(max))
    }

    fn merge(&mut self, page: Vec<LoudEntry>) -> Result<Merged<LoudEntry>, LoudError> {
        let merged = self.log.merge(entries(page));
        self.merged(merged)
    }

    fn confirm(&mut self, batch: Vec<LoudEntry>) -> Result<Merged<LoudEntry>, LoudError> {
        let merged = self.log.confirm(entries(batch));
        self.merged(merged)
    }
}

impl LoudLog {
    fn merged(&self, merged: Result<Merged<Entry>, AnyError>) -> Result<Merged<LoudEntry>, LoudError> {
        Ok(match merged.map_err(|error| self.error(&error))? {
            Merged::Advance { new, confirmed } => {
                Merged::Advance { new: self.loud(new), confirmed: self.loud(confirmed) }
            }
            Merged::Rebase { new, confirmed, moved, dropped } => {
                Merged::Rebase { new: self.loud(new), confirmed: self.loud(confirmed), moved, dropped }
            }
        })
    }
}
