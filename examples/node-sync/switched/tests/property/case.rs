//! What is drawn from a seed.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use node_sync_switched::faults::Faults;
use node_sync_switched::job::Job;

/// A run: all that is drawn from its seed.
#[derive(Debug, Clone)]
pub struct Case {
    pub seed: u64,
    pub todos: [u64; 2],
    pub commit_batch: usize,
    pub push_batch: usize,
    pub page: usize,
    pub storage: Storage,
    /// One in so many visits to a place is delayed; none if 0.
    pub delays: u64,
    /// One in so many pushes and pages meets a fault; none if 0.
    pub faults: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Logs in memory. What others did leaves what is pending as it is.
    Memory,
    /// The same, but what is pending gets new numbers.
    MemoryRebasing,
    /// Clients and upstream in SQLite files.
    File,
}

pub fn one_of<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

impl Case {
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        // Half of them few: the last events of a run are those that nothing comes after.
        let todos = |rng: &mut Rng| if rng.bool() { rng.u64(1..=400) } else { rng.u64(1..=10) };
        Self {
            seed,
            todos: [todos(rng), todos(rng)],
            commit_batch: one_of(rng, &[1, 2, 10, 100]),
            push_batch: one_of(rng, &[1, 2, 10, 100]),
            page: one_of(rng, &[3, 100]),
            storage: one_of(rng, &[Storage::Memory, Storage::MemoryRebasing, Storage::File]),
            delays: one_of(rng, &[0, 1, 4, 20]),
            faults: one_of(rng, &[0, 3, 10, 30]),
        }
    }

    pub fn job(&self) -> Job {
        let number = |events| NonZeroUsize::new(events).unwrap();
        Job {
            todos: self.todos.to_vec(),
            edit_every: 10,
            commit_batch: number(self.commit_batch),
            window: NonZeroUsize::MAX,
            push_batch: number(self.push_batch),
            page: number(self.page),
            // The test has its own faults, and commits without a limit.
            max_pending: NonZeroUsize::MAX,
            linger: 0,
            patience: NonZeroU64::MAX,
            faults: Faults::default(),
            seed: self.seed,
        }
    }
}

/// Decides at each visit to a place, by the seed and how many visits there have been.
pub struct Chance {
    seed: u64,
    one_in: u64,
    pub visits: AtomicU64,
}

impl Chance {
    pub fn new(case: &Case, place: u64, one_in: u64) -> Self {
        Self { seed: Rng::with_seed(case.seed ^ place << 32).u64(..), one_in, visits: AtomicU64::new(0) }
    }

    pub fn hit(&self) -> Option<Rng> {
        let visit = self.visits.fetch_add(1, Ordering::Relaxed);
        let mut rng = Rng::with_seed(self.seed.wrapping_add(visit));
        (self.one_in > 0 && rng.u64(..self.one_in) == 0).then_some(rng)
    }
}
