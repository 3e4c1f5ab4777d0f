//! One client at work: commits its share, and goes on until it has everybody's events.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use latchwork::protocol::{Failure, Pull, Push};
use latchwork::replicator::{RecvError, Status};
use latchwork::sync_state::Position;
use latchwork::upstream::Upstream;
use latchwork::{Backoff, Cause, Interrupt, Replicator, Ticket, Waited};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::client::SqliteLog;
use crate::faults::{Fault, Faulty, Injected};
use crate::file::FileError;
use crate::job::{Job, Share};
use crate::trail::{Activity, Trail};
use crate::upstream::SqliteUpstream;

/// How long to wait after failures. Upstream is a file on this machine: what kept it busy is soon over.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));

/// How long a client that is behind waits for news before it asks for them.
const GRACE: Duration = Duration::from_millis(50);

/// How often a client that hears nothing looks whether there is still anything to hear.
const LOOK: Duration = Duration::from_millis(200);

/// One client's work.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// What all clients are to do.
    pub job: &'a Job,
    /// What this one is to do.
    pub share: &'a Share,
    /// When it gives up.
    pub deadline: Instant,
    /// Set when it is to end before.
    pub stop: &'a Interrupt,
    /// How far it is.
    pub progress: &'a Progress,
}

/// How far a client is.
#[derive(Debug, Default)]
pub struct Progress {
    /// Its events that are durable here.
    pub committed: AtomicU64,
    /// Events of any client that upstream has ordered and that are applied here.
    pub applied: AtomicU64,
}

impl Progress {
    /// Notes how far it is.
    pub fn set(&self, committed: u64, applied: u64) {
        self.committed.store(committed, Ordering::Relaxed);
        self.applied.store(applied, Ordering::Relaxed);
    }

    /// How far it is: events committed, events applied.
    #[must_use]
    pub fn get(&self) -> (u64, u64) {
        (self.committed.load(Ordering::Relaxed), self.applied.load(Ordering::Relaxed))
    }
}

/// What a client has done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Its name.
    pub client: String,
    /// Whether all its events are confirmed and it has everybody's.
    pub complete: bool,
    /// Whose move it was at the end.
    pub waiting_on: String,
    /// The last error, if there was one.
    pub last_error: Option<String>,
    /// Events committed in this run.
    pub committed: u64,
    /// Pushes begun.
    pub pushes: u64,
    /// Pushes that upstream took.
    pub accepted: u64,
    /// Pushes that were behind.
    pub behind: u64,
    /// Pushes whose outcome was unknown.
    pub uncertain: u64,
    /// Calls that could not reach upstream.
    pub unavailable: u64,
    /// Pages applied.
    pub pages: u64,
    /// Merges that left what was pending as it was.
    pub advances: u64,
    /// Merges that gave it new numbers.
    pub rebases: u64,
    /// Pending events that were rolled back and applied again.
    pub reapplied: u64,
    /// Faults that it met.
    pub faults: BTreeMap<Fault, u64>,
    /// From the start to the end, in microseconds.
    pub elapsed_us: u64,
    /// Where that time went, in microseconds. Its threads work side by side, so there may be more of it.
    pub spent_us: BTreeMap<Activity, u64>,
    /// The most memory that its process had, in KiB, where the system tells.
    pub peak_memory_kib: Option<u64>,
}

/// Why a client could not go on.
#[derive(Debug, Error)]
pub enum NodeError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// No threads.
    #[error("{client}: no thread for the replicator: {error}")]
    Spawn {
        /// Which one.
        client: String,
        /// Why.
        error: String,
    },
    /// A commit was refused.
    #[error("{client}: {error}")]
    Commit {
        /// Which one.
        client: String,
        /// Why.
        error: String,
    },
    /// Pushing or pulling has failed, and trying again cannot help.
    #[error("{client}: {failure}")]
    Failed {
        /// Which one.
        client: String,
        /// Why.
        failure: Failure,
    },
}

/// The upstream's file in this directory.
#[must_use]
pub fn upstream_path(dir: &Path) -> PathBuf {
    dir.join("upstream.db")
}

/// A client's file in this directory.
#[must_use]
pub fn client_path(dir: &Path, client: &str) -> PathBuf {
    dir.join(format!("{client}.db"))
}

/// Does a client's work with the files in this directory.
///
/// # Errors
///
/// If it cannot begin or cannot go on. What did not arrive in time is in the report.
pub fn work_in(dir: &Path, trail: Arc<Trail>, task: Task<'_>) -> Result<Report, NodeError> {
    let upstream = SqliteUpstream::open(&upstream_path(dir), task.job.page.get())?.with_trail(Arc::clone(&trail));
    let log = SqliteLog::open(&client_path(dir, &task.share.client), &task.share.client, upstream.id())?;
    work(log.with_trail(Arc::clone(&trail)), upstream, &trail, task)
}

/// Does a client's work until everything has arrived, the time is over, or it is to stop.
///
/// # Errors
///
/// If it cannot begin or cannot go on. What did not arrive in time is in the report.
pub fn work<U>(log: SqliteLog, upstream: U, trail: &Trail, task: Task<'_>) -> Result<Report, NodeError>
where
    U: Upstream<SqliteLog>,
{
    let begun = Instant::now();
    let Task { job, share, progress, .. } = task;
    let client = share.client.clone();
    let already = log.committed();
    progress.committed.store(already, Ordering::Relaxed);
    let injected = Arc::new(Injected::default());
    let upstream = Faulty::new(upstream, job, share, Arc::clone(&injected));
    let replicator = Replicator::builder(log, upstream)
        .push_batch(job.push_batch)
        .backoff(BACKOFF)
        .catch_up_grace(GRACE)
        .spawn()
        .map_err(|error| NodeError::Spawn { client: client.clone(), error: error.to_string() })?;
    // If either half fails the other is to end.
    let over = task.stop.child();
    let failed = |_: &NodeError| {
        over.set(Cause::Stop);
    };
    let halves = std::thread::scope(|scope| {
        let committing = scope.spawn(|| commit(&replicator, already, trail, task, &over).inspect_err(failed));
        let followed = follow(&replicator, task, &over).inspect_err(failed);
        (committing.join().expect("committing does not panic"), followed)
    });
    let (committed, ()) = (halves.0?, halves.1?);
    let (status, reapplied) = (replicator.status(), replicator.with_log(SqliteLog::reapplied));
    drop(replicator);
    let counters = status.counters;
    Ok(Report {
        client,
        complete: status.pending == 0 && status.upstream_head.global == job.events(),
        waiting_on: status.waiting_on.to_string(),
        last_error: status.last_error.map(|error| error.to_string()),
        committed,
        pushes: counters.pushes,
        accepted: counters.accepted,
        behind: counters.behind,
        uncertain: counters.uncertain,
        unavailable: counters.unavailable,
        pages: counters.pages,
        advances: counters.advances,
        rebases: counters.rebases,
        reapplied,
        faults: injected.counts(),
        elapsed_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        spent_us: trail.micros(),
        peak_memory_kib: None,
    })
}

/// Commits the share, but for what is committed already. Returns how many events that were.
fn commit(
    replicator: &Replicator<SqliteLog>,
    already: u64,
    trail: &Trail,
    task: Task<'_>,
    over: &Interrupt,
) -> Result<u64, NodeError> {
    let Task { job, share, deadline, progress, .. } = task;
    let (total, batch) = (share.events(job), job.commit_batch.get());
    // What was pending from the start is not among these.
    let mut pending = VecDeque::<Ticket<Position>>::new();
    let mut next = already;
    while next < total && Instant::now() < deadline && !over.is_set() {
        if (pending.len() + 1) * batch > job.max_pending.get() {
            if let Some(oldest) = pending.front() {
                if let Waited::TimedOut = trail.time(Activity::AwaitingRoom, || oldest.wait_timeout(LOOK)) {
                    continue;
                }
                pending.pop_front();
            }
        }
        let until = total.min(next + batch as u64);
        let edits = (next..until).map(|number| share.edit(job, number)).collect();
        let (begun, writing) = (Instant::now(), trail.so_far(Activity::Committing));
        let ticket = replicator.commit(edits);
        let writing = trail.so_far(Activity::Committing) - writing;
        trail.took(Activity::AwaitingTurn, begun.elapsed().saturating_sub(writing));
        let refused = |error| NodeError::Commit { client: share.client.clone(), error };
        pending.push_back(ticket.map_err(|error| refused(error.to_string()))?);
        next = until;
        progress.committed.store(next, Ordering::Relaxed);
    }
    Ok(next - already)
}

/// Returns once everybody's events are here, the time is over, or it is to end.
fn follow(replicator: &Replicator<SqliteLog>, task: Task<'_>, over: &Interrupt) -> Result<(), NodeError> {
    let Task { job, share, deadline, progress, .. } = task;
    let mut updates = replicator.updates();
    let mut head = updates.snapshot.upstream_head.global;
    progress.applied.store(head, Ordering::Relaxed);
    while head < job.events() && Instant::now() < deadline && !over.is_set() {
        // Not for ever: a failure is no update.
        match updates.receiver.recv_timeout(LOOK) {
            Ok(update) => head = update.upstream_head.global,
            Err(RecvError::Empty) => {
                if let Some(failure) = failure(replicator.status()) {
                    return Err(NodeError::Failed { client: share.client.clone(), failure });
                }
            }
            // Too slow: it goes on from where the log stands.
            Err(_) => {
                updates = replicator.updates();
                head = updates.snapshot.upstream_head.global;
            }
        }
        progress.applied.store(head, Ordering::Relaxed);
    }
    Ok(())
}

fn failure(status: Status<Position>) -> Option<Failure> {
    match (status.push, status.pull) {
        (Push::Failed { error, .. }, _) | (_, Pull::Failed { error }) => Some(error),
        _ => None,
    }
}
