//! An upstream in any weather.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use latchwork::Interrupt;
use latchwork::sync_state::Position;
use latchwork::upstream::{Batch, FatalKind, More, Page, PullError, PushError, SharedError, Upstream};

use super::loud::{LoudEntry, LoudError, LoudLog, Ring, loud};
use super::world::World;
use crate::harness::INJECTED;
use crate::logs::{AnyLog, Entry, Event};
use crate::thread_group::rest;
use latchwork::log::Log;

/// The longest that upstream is silent, if it is not asked to end.
const SILENCE: Duration = Duration::from_millis(3);

/// SplitMix64 (Steele, Lea, Flood, 2014).
pub struct Chance(AtomicU64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub fn below(&self, bound: u64) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// What upstream has, for all clients.
#[derive(Default)]
pub struct Sky {
    entries: Mutex<Vec<Entry>>,
    changed: Condvar,
}

impl Sky {
    pub fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().expect("nothing panics while it is held")
    }

    pub fn head(&self) -> Position {
        head(&self.entries())
    }

    /// Where each of these events was ordered.
    pub fn positions(&self, events: &[Event]) -> Vec<Option<Position>> {
        let entries = self.entries();
        let find = |event: &Event| entries.iter().find(|entry| entry.event == *event).map(AnyLog::position);
        events.iter().map(find).collect()
    }
}

fn head(entries: &[Entry]) -> Position {
    entries.last().map_or_else(Position::default, AnyLog::position)
}

fn after(entries: &[Entry], cursor: Position) -> usize {
    entries.partition_point(|entry| AnyLog::position(entry) <= cursor)
}

/// One client's way to upstream.
pub struct Way {
    pub world: Arc<World>,
    pub ring: Arc<Ring>,
    pub chance: Chance,
    pub live: bool,
    pub idempotent: bool,
    pub page: usize,
    pub pushing: AtomicBool,
    pub pulling: AtomicBool,
    /// A request that is still on its way.
    pub late: Mutex<Option<(Position, Vec<Entry>)>>,
}

/// Says that a call has ended.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Way {
    fn begins<'a>(&self, going_on: &'a AtomicBool, what: &str) -> Ended<'a> {
        self.world.unless(!going_on.swap(true, Ordering::SeqCst), || format!("two calls of {what} at once"));
        Ended(going_on)
    }

    fn error(&self, words: &'static str) -> SharedError {
        LoudError::new(words, &self.ring).into()
    }

    /// The number of a fault, if this call is to have one.
    fn fault(&self, faults: u64) -> Option<u64> {
        let weather = self.world.weather();
        (weather > 0 && self.chance.below(weather) == 0).then(|| self.chance.below(faults))
    }

    fn retry_after(&self) -> Option<Duration> {
        (self.chance.below(2) == 0).then(|| Duration::from_micros(self.chance.below(2_000)))
    }

    /// Takes a batch if it follows, or is there already.
    fn take(&self, base: Position, batch: &[Entry], knows_what_it_has: bool) -> Result<(), Position> {
        let mut entries = self.world.sky.entries();
        let (head, known) = (head(&entries), &entries[after(&entries, base)..]);
        if knows_what_it_has && known.len() >= batch.len() && known[..batch.len()] == *batch {
            return Ok(());
        }
        if base != head {
            return Err(head);
        }
        entries.extend_from_slice(batch);
        self.world.sky.changed.notify_all();
        Ok(())
    }

    fn silent(&self, interrupt: &Interrupt) {
        let _interrupted = interrupt.triggered().wait_timeout(SILENCE);
    }
}

impl Upstream<LoudLog> for Way {
    fn push(&self, batch: &Batch<LoudLog>, interrupt: &Interrupt) -> Result<(), PushError<Position>> {
        let _ended = self.begins(&self.pushing, "push");
        let late = self.late.lock().expect("nothing panics while it is held").take();
        if let Some((base, entries)) = late {
            if self.world.weather() > 0 && self.take(base, &entries, false).is_ok() {
                self.world.count("push: taken late");
            }
        }
        let entries: Vec<_> = batch.entries.iter().map(|entry| entry.entry).collect();
        self.world.unless(!entries.is_empty(), || "an empty batch".into());
        let base = batch.base;
        let take = || {
            let taken = self.take(base, &entries, self.idempotent);
            taken.map_err(|head| PushError::Behind { head: (self.chance.below(4) > 0).then_some(head) })
        };
        let lost = || Err(PushError::Uncertain { error: self.error("the answer got lost") });
        let count = |what| self.world.count(what);
        match self.fault(12) {
            None | Some(12..) => take(),
            Some(0) => {
                count("push: late");
                rest(self.chance.below(300));
                take()
            }
            Some(1 | 2) => {
                count("push: unavailable");
                let (retry_after, error) = (self.retry_after(), self.error("away"));
                Err(PushError::Unavailable { retry_after, error })
            }
            Some(3 | 4) => {
                count("push: lost");
                let _taken = (self.chance.below(2) == 0).then(take);
                lost()
            }
            Some(5) => {
                count("push: arrives later");
                *self.late.lock().expect("nothing panics while it is held") = Some((base, entries));
                self.world.deceives();
                lost()
            }
            Some(6) => {
                count("push: panic");
                let _taken = (self.chance.below(2) == 0).then(take);
                std::panic::panic_any(INJECTED)
            }
            Some(7) => {
                count("push: fatal");
                Err(PushError::Fatal { kind: FatalKind::Other, error: self.error("fatal") })
            }
            Some(8) => {
                count("push: refused blindly");
                Err(PushError::Behind { head: None })
            }
            Some(9) => {
                count("push: refused at its base");
                Err(PushError::Behind { head: Some(base) })
            }
            Some(10) => {
                count("push: went back");
                let global = base.global.checked_sub(1);
                Err(PushError::Behind { head: global.map(|global| Position { global, client: 0 }) })
            }
            Some(11) => {
                count("push: silent");
                let taken = (self.chance.below(2) == 0).then(take);
                self.silent(interrupt);
                if let (Some(taken), false) = (taken, interrupt.is_set()) { taken } else { lost() }
            }
        }
    }

    fn pull<'a>(
        &'a self,
        cursor: Position,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<LoudEntry>, PullError>> + 'a {
        let going_on = self.begins(&self.pulling, "pull");
        let target = self.world.sky.head();
        Pages {
            way: self,
            interrupt,
            cursor,
            target,
            caught_up: false,
            again: None,
            after: After::More,
            _going_on: going_on,
        }
    }
}

struct Pages<'a> {
    way: &'a Way,
    interrupt: &'a Interrupt,
    cursor: Position,
    /// Upstream's head when it began.
    target: Position,
    caught_up: bool,
    /// The last page, to come once more.
    again: Option<Page<LoudEntry>>,
    after: After,
    _going_on: Ended<'a>,
}

/// What follows a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    More,
    Disconnect,
    Nothing,
}

impl Pages<'_> {
    fn away(&mut self, retry_after: Option<Duration>) -> Option<Result<Page<LoudEntry>, PullError>> {
        self.after = After::Nothing;
        Some(Err(PullError::Unavailable { retry_after, error: self.way.error("away") }))
    }

    /// The next page; `None` if there is none yet.
    fn page(&mut self) -> Option<Page<LoudEntry>> {
        let entries = self.way.world.sky.entries();
        let from = after(&entries, self.cursor);
        if from == entries.len() && self.caught_up {
            // Looks again soon, since it may have been asked to end.
            let (_entries, _) = self
                .way
                .world
                .sky
                .changed
                .wait_timeout(entries, Duration::from_micros(200))
                .expect("nothing panics while it is held");
            return None;
        }
        let to = entries.len().min(from + self.way.page);
        let rest = (entries.len() - to) as u64;
        let more = match self.way.chance.below(5) {
            0 if rest > 0 => More::Unknown,
            _ if rest > 0 => More::Events(rest),
            _ => More::None,
        };
        let page = entries[from..to].to_vec();
        drop(entries);
        self.cursor = page.last().map_or(self.cursor, AnyLog::position);
        Some(Page { entries: loud(page, &self.way.ring), more })
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<Page<LoudEntry>, PullError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(again) = self.again.take() {
            return Some(Ok(again));
        }
        let count = |what| self.way.world.count(what);
        loop {
            if self.after == After::Nothing || (self.caught_up && !self.way.live) {
                return None;
            }
            if self.after == After::Disconnect || self.interrupt.is_set() {
                return self.away(None);
            }
            let had_caught_up = self.caught_up;
            let Some(mut page) = self.page() else { continue };
            self.caught_up |= page.more == More::None;
            match self.way.fault(10) {
                None | Some(10..) => return Some(Ok(page)),
                Some(0 | 1) => {
                    count("pull: unavailable");
                    let retry_after = self.way.retry_after();
                    return self.away(retry_after);
                }
                Some(2) => {
                    count("pull: fatal");
                    self.after = After::Nothing;
                    return Some(Err(PullError::Fatal { kind: FatalKind::Other, error: self.way.error("fatal") }));
                }
                Some(3) => {
                    count("pull: panic");
                    std::panic::panic_any(INJECTED);
                }
                Some(4) => {
                    count("pull: twice");
                    self.again = Some(page.clone());
                    return Some(Ok(page));
                }
                Some(5) => {
                    count("pull: late");
                    rest(self.way.chance.below(300));
                    return Some(Ok(page));
                }
                Some(6) if had_caught_up && self.way.live => {
                    count("pull: an echo lost");
                    self.way.world.deceives();
                    page.entries.clear();
                    return Some(Ok(page));
                }
                Some(7) => {
                    count("pull: silent");
                    self.way.silent(self.interrupt);
                    return Some(Ok(page));
                }
                Some(8) if self.cursor >= self.target => {
                    count("pull: ends");
                    self.after = After::Nothing;
                    return Some(Ok(page));
                }
                Some(9) => {
                    count("pull: disconnected after a page");
                    self.after = After::Disconnect;
                    return Some(Ok(page));
                }
                Some(_) => return Some(Ok(page)),
            }
        }
    }
}
