//! What a client does: for how long, and where it can be made to stand still.
//!
//! The code of a client says where it is, a line each: [`Trail::time`] around what takes time, [`Trail::at`] between two
//! steps that a kill may come between. The summary shows the times; the crash test kills clients at the points.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Something that takes time. Threads of a client do these side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// No commit, because too many are not durable yet.
    AwaitingDurable,
    /// No commit, because too much is pending.
    AwaitingRoom,
    /// Writing the client's log and its todos.
    WritingTables,
    /// Writing what is pending, and having all of it made durable.
    Writing,
    /// A push waits for the lock of upstream's file.
    AwaitingLock,
    /// Writing a push into upstream's file, until it is durable.
    Pushing,
    /// Reading a page of upstream's file.
    Reading,
    /// A pull waits for news.
    Listening,
}

/// A moment between two steps, after which the next would make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Point {
    /// A commit is written and not yet durable.
    CommitWritten,
    /// A commit is durable and not yet acknowledged.
    CommitDurable,
    /// A push is written into upstream's file, which is locked, and not yet durable.
    PushWritten,
    /// Upstream has a push for good, has told no client, and this one does not know.
    PushDurable,
    /// A page has been read and not yet been applied.
    PageRead,
    /// An advance is written and not yet durable.
    AdvanceWritten,
    /// A rebase is written and not yet durable.
    RebaseWritten,
    /// A merge is durable and has not been told.
    MergeDurable,
}

/// Where a client is to stand still: at this point, when it comes there for this time, the first being 1.
pub type Hold = (Point, u64);

/// Where a client has been.
#[derive(Default)]
pub struct Trail {
    nanos: [AtomicU64; Activity::ALL.len()],
    applied_again: AtomicU64,
    hold: Option<Held>,
}

struct Held {
    point: Point,
    /// How often it is still to be passed, and this time.
    left: AtomicU64,
    say: Box<dyn Fn(Point) + Send + Sync>,
}

impl Activity {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::AwaitingDurable,
        Self::AwaitingRoom,
        Self::WritingTables,
        Self::Writing,
        Self::AwaitingLock,
        Self::Pushing,
        Self::Reading,
        Self::Listening,
    ];
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::CommitWritten,
        Self::CommitDurable,
        Self::PushWritten,
        Self::PushDurable,
        Self::PageRead,
        Self::AdvanceWritten,
        Self::RebaseWritten,
        Self::MergeDurable,
    ];
}

impl Trail {
    /// A trail on which the client is to stand still. `say` is called when it does.
    #[must_use]
    pub fn with_hold((point, times): Hold, say: impl Fn(Point) + Send + Sync + 'static) -> Self {
        let hold = Held { point, left: AtomicU64::new(times), say: Box::new(say) };
        Self { hold: Some(hold), ..Self::default() }
    }

    /// Does something, and notes how long it takes.
    pub fn time<T>(&self, activity: Activity, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = work();
        self.took(activity, begun.elapsed());
        result
    }

    /// Notes that something took so long.
    pub fn took(&self, activity: Activity, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanos[activity as usize].fetch_add(nanos, Ordering::Relaxed);
    }

    /// How long this has taken so far.
    #[must_use]
    pub fn so_far(&self, activity: Activity) -> Duration {
        Duration::from_nanos(self.nanos[activity as usize].load(Ordering::Relaxed))
    }

    /// So many pending events were rolled back and applied again.
    pub fn applied_again(&self, events: u64) {
        self.applied_again.fetch_add(events, Ordering::Relaxed);
    }

    /// How many there were of those.
    #[must_use]
    pub fn all_applied_again(&self) -> u64 {
        self.applied_again.load(Ordering::Relaxed)
    }

    /// How long everything has taken so far, in microseconds.
    #[must_use]
    pub fn micros(&self) -> BTreeMap<Activity, u64> {
        let micros = |activity| u64::try_from(self.so_far(activity).as_micros()).unwrap_or(u64::MAX);
        Activity::ALL.into_iter().map(|activity| (activity, micros(activity))).collect()
    }

    /// The client is here. If it is to stand still here, this does not return.
    pub fn at(&self, point: Point) {
        let Some(hold) = self.hold.as_ref().filter(|hold| hold.point == point) else { return };
        if hold.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            (hold.say)(point);
            loop {
                thread::park();
            }
        }
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trail").field(&self.micros()).finish()
    }
}
