//! Where threads are delayed: the sync points of the replicator, and a log's rollback.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use latchwork::log::{Log, MemoryLog, MemoryLogError, Merged, Wrapper};
use latchwork::sync_points::SyncPoint;
use node_sync_switched::event::{Entry, SharedEvent};

use crate::case::{Case, Chance, Storage};

const LONGEST_DELAY: Duration = Duration::from_millis(15);
/// At each place, in a run.
const DELAYS: u64 = 10;

/// For each place, whom to delay and how many delays are left.
pub struct Delays(Vec<(Chance, AtomicU64)>);

/// The place after the sync points.
pub const ROLLBACK: usize = SyncPoint::ALL.len();

impl Delays {
    pub fn new(case: &Case) -> Self {
        Self(
            (0..=ROLLBACK as u64)
                .map(|place| (Chance::new(case, place, case.delays), AtomicU64::new(DELAYS)))
                .collect(),
        )
    }

    fn at(&self, place: usize) {
        let (chance, left) = &self.0[place];
        let Some(mut rng) = chance.hit() else { return };
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if taken.is_ok() {
            thread::sleep(LONGEST_DELAY.mul_f64(rng.f64()));
        }
    }

    /// How often each place was visited, and how many delays there were.
    pub fn visits(&self) -> Vec<(u64, u64)> {
        let count = |(chance, left): &(Chance, AtomicU64)| {
            (chance.visits.load(Ordering::Relaxed), DELAYS - left.load(Ordering::Relaxed))
        };
        self.0.iter().map(count).collect()
    }
}

/// Those of the present run.
static PRESENT: Mutex<Option<Arc<Delays>>> = Mutex::new(None);

/// From now on these are the delays.
pub fn set(delays: Option<Arc<Delays>>) {
    *PRESENT.lock().unwrap_or_else(PoisonError::into_inner) = delays;
}

/// A thread has come to this place.
pub fn delay(place: usize) {
    let present = PRESENT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(delays) = present {
        delays.at(place);
    }
}

/// A log that rolls back slowly.
pub struct Slow {
    log: MemoryLog<SharedEvent>,
    rolls_back: bool,
}

impl Slow {
    pub fn new(log: MemoryLog<SharedEvent>, case: &Case) -> Self {
        Self { log, rolls_back: case.storage != Storage::Memory }
    }
}

impl Wrapper for Slow {
    type Log = MemoryLog<SharedEvent>;

    fn inner(&self) -> &MemoryLog<SharedEvent> {
        &self.log
    }
    fn inner_mut(&mut self) -> &mut MemoryLog<SharedEvent> {
        &mut self.log
    }
    fn merge(&mut self, page: Vec<Entry>) -> Result<Merged<Entry>, MemoryLogError> {
        let first = self.log.batch(NonZeroUsize::MIN);
        if self.rolls_back && first.iter().zip(&page).any(|(pending, new)| pending.event != new.event) {
            delay(ROLLBACK);
        }
        self.log.merge(page)
    }
}
