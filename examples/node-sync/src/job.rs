//! What is to be done: how many todos by whom, and in what steps. The same job has the same events each time.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::chance;
use crate::event::{Change, Edit, SharedEvent, TodoEvent};
use crate::faults::Faults;

/// The todo that everybody edits.
pub const SHARED: &str = "shared";

/// What is to be done. These are options of the command.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct Job {
    /// Todos that each client adds: one number for each client.
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_value = "400,391")]
    pub todos: Vec<u64>,
    /// After so many todos a client edits one that all share, so that rebases have something to redo; 0 is never.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub edit_every: u64,
    /// Events in a commit.
    #[arg(long, value_name = "N", default_value = "1")]
    pub commit_batch: NonZeroUsize,
    /// Commits that may be on their way to the disk: a client waits until the first of them is durable before it commits more.
    /// With 1 each commit is durable before the next.
    #[arg(long, value_name = "N", default_value = "1000")]
    pub window: NonZeroUsize,
    /// The most events in a push.
    #[arg(long, value_name = "N", default_value = "100")]
    pub push_batch: NonZeroUsize,
    /// How long a push waits for more events, unless there are enough for a batch. Each push costs every client a write of its
    /// file.
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 2000)]
    pub linger: u64,
    /// The most events in a page of a pull.
    #[arg(long, value_name = "N", default_value = "100")]
    pub page: NonZeroUsize,
    /// The most events that may be pending: a client waits for room before it commits more. They are kept in memory.
    #[arg(long, value_name = "N", default_value = "1000")]
    pub max_pending: NonZeroUsize,
    /// How long a push may take, and a pull be silent, before it is ended and tried again.
    #[arg(long, value_name = "MILLISECONDS", default_value = "2000")]
    pub patience: NonZeroU64,
    /// What goes wrong, and how often.
    #[arg(long, value_name = "FAULTS", default_value = "none", long_help = Faults::help())]
    pub faults: Faults,
    /// Chooses the faults, and the titles of the todos.
    #[arg(long, value_name = "N", default_value_t = 1)]
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

    /// Those of them that upstream orders: all but the ones that it refuses for good.
    #[must_use]
    pub fn ordered(&self) -> u64 {
        self.shares().iter().map(|share| share.ordered(self)).sum()
    }

    /// How long a push waits for more events.
    #[must_use]
    pub fn linger(&self) -> Duration {
        Duration::from_micros(self.linger)
    }

    /// How long a push may take, and a pull be silent.
    #[must_use]
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience.get())
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

    /// Those of them that upstream orders.
    #[must_use]
    pub fn ordered(&self, job: &Job) -> u64 {
        let events = self.events(job);
        if !job.faults.refuse_some() {
            return events;
        }
        (0..events).filter(|number| !self.is_refused(job, *number)).count() as u64
    }

    /// Whether upstream refuses its event of this number for good.
    #[must_use]
    pub fn is_refused(&self, job: &Job, number: u64) -> bool {
        job.faults.refuse(job.seed, self.index, number)
    }

    /// Its event of this number.
    #[must_use]
    pub fn event(&self, job: &Job, number: u64) -> SharedEvent {
        SharedEvent::new(TodoEvent { client: self.client.clone(), number, edit: self.edit(job, number) })
    }

    /// What that is about.
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
    let mixed = chance::mix(seed, &[client, number]);
    format!("{} {}", VERBS[mixed as usize % 8], THINGS[(mixed >> 8) as usize % 8])
}
