//! What is to be done: how many todos by whom, and in what steps. The same job has the same events each time.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::event::{Change, Edit};

/// The todo that everybody edits.
pub const SHARED: &str = "shared";

/// What is to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// How many todos each client adds.
    pub todos: Vec<u64>,
    /// After so many todos a client edits the one that all share; never if 0.
    pub edit_every: u64,
    /// Events in a commit.
    pub commit_batch: NonZeroUsize,
    /// The most events in a push.
    pub push_batch: NonZeroUsize,
    /// The most events in a page.
    pub page: NonZeroUsize,
    /// Chooses the titles.
    pub seed: u64,
}

/// One client's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Which one.
    pub index: usize,
    /// Its name.
    pub client: String,
}

impl Job {
    /// Everybody's events.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.shares().iter().map(|share| share.events(self)).sum()
    }

    /// Every client's part.
    #[must_use]
    pub fn shares(&self) -> Vec<Share> {
        (0..self.todos.len()).map(|index| Share { index, client: format!("client{}", index + 1) }).collect()
    }
}

impl Share {
    /// How many events it has.
    #[must_use]
    pub fn events(&self, job: &Job) -> u64 {
        let todos = job.todos[self.index];
        todos + todos.checked_div(job.edit_every).unwrap_or(0)
    }

    /// Its event of this number.
    #[must_use]
    pub fn edit(&self, job: &Job, number: u64) -> Edit {
        let title = Change::Put(title(job.seed, self.index as u64, number));
        if job.edit_every > 0 && number % (job.edit_every + 1) == job.edit_every {
            return Edit { todo: SHARED.to_owned(), change: title };
        }
        Edit { todo: format!("{}-{number}", self.client), change: title }
    }
}

fn title(seed: u64, client: u64, number: u64) -> String {
    const VERBS: [&str; 8] = ["buy", "fetch", "mend", "paint", "read", "sell", "sort", "wash"];
    const THINGS: [&str; 8] = ["apples", "the bike", "bread", "the fence", "letters", "milk", "the roof", "tea"];
    // SplitMix64.
    let mut mixed = seed ^ (client << 48) ^ number;
    mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    format!("{} {}", VERBS[mixed as usize % 8], THINGS[(mixed >> 8) as usize % 8])
}
