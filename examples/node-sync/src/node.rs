//! One client at work: commits its share, and goes on until it has everybody's events.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use latchwork::protocol::WaitingOn;
use latchwork::upstream::Upstream;
use latchwork::{Replicator, Settled};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::client::SqliteLog;
use crate::job::{Job, Share};

/// How far a client is.
#[derive(Debug, Default)]
pub struct Progress {
    /// Its events that are durable here.
    pub committed: AtomicU64,
    /// Events of anybody that upstream has ordered and that are applied here.
    pub applied: AtomicU64,
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
    /// Time in commits, in milliseconds.
    pub committing_ms: u64,
    /// Time in merges, in milliseconds.
    pub merging_ms: u64,
    /// From the start to the end, in milliseconds.
    pub elapsed_ms: u64,
}

/// Why a client could not work at all.
#[derive(Debug, Error)]
pub enum NodeError {
    /// No threads.
    #[error("no thread for the replicator: {0}")]
    Spawn(String),
    /// A commit was refused.
    #[error("{client}: {error}")]
    Commit {
        /// Which one.
        client: String,
        /// Why.
        error: String,
    },
}

/// Does a client's share of the job until everything has arrived or `deadline` is there.
///
/// # Errors
///
/// If it cannot start or cannot commit. What did not arrive is in the report.
pub fn work<U: Upstream<SqliteLog>>(
    log: SqliteLog,
    upstream: U,
    share: &Share,
    job: &Job,
    deadline: Instant,
    progress: &Progress,
) -> Result<Report, NodeError> {
    let begun = Instant::now();
    let already = log.committed();
    progress.committed.store(already, Ordering::Relaxed);
    let replicator = Replicator::builder(log, upstream).push_batch(job.push_batch).spawn();
    let replicator = replicator.map_err(|error| NodeError::Spawn(error.to_string()))?;
    let refused = AtomicBool::new(false);
    let committed = std::thread::scope(|scope| {
        let committing = scope.spawn(|| {
            let committed = commit(&replicator, already, share, job, deadline, progress);
            refused.store(committed.is_err(), Ordering::Release);
            committed
        });
        follow(&replicator, job, deadline, &refused, progress);
        committing.join().expect("committing does not panic")
    })?;
    // Its own events are among everybody's: with those applied, this waits for nothing.
    let _drained = replicator.flush(deadline.saturating_duration_since(Instant::now()));
    let (status, spent) = (replicator.status(), replicator.with_log(SqliteLog::spent));
    let complete = status.pending == 0 && status.upstream_head.global == job.events();
    let _unfinished = replicator.shutdown(Duration::from_secs(1));
    let counters = status.counters;
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Ok(Report {
        client: share.client.clone(),
        complete,
        waiting_on: status.waiting_on.to_string(),
        last_error: status.last_error,
        committed,
        pushes: counters.pushes,
        accepted: counters.accepted,
        behind: counters.behind,
        uncertain: counters.uncertain,
        unavailable: counters.unavailable,
        pages: counters.pages,
        advances: counters.advances,
        rebases: counters.rebases,
        reapplied: spent.reapplied,
        committing_ms: millis(spent.committing),
        merging_ms: millis(spent.merging),
        elapsed_ms: millis(begun.elapsed()),
    })
}

fn commit(
    replicator: &Replicator<SqliteLog>,
    already: u64,
    share: &Share,
    job: &Job,
    deadline: Instant,
    progress: &Progress,
) -> Result<u64, NodeError> {
    let total = share.events(job);
    let mut next = already;
    let mut last = None;
    while next < total && Instant::now() < deadline {
        let until = total.min(next + job.commit_batch.get() as u64);
        let edits = (next..until).map(|number| share.edit(job, number)).collect();
        let ticket = replicator.commit(edits);
        last =
            Some(ticket.map_err(|error| NodeError::Commit { client: share.client.clone(), error: error.to_string() })?);
        next = until;
        progress.committed.store(next, Ordering::Relaxed);
    }
    let settled = last.and_then(|ticket| ticket.settled());
    debug_assert!(!matches!(settled, Some(Settled::Rejected)), "this log gives up no event");
    Ok(next - already)
}

/// Returns once everybody's events are here, it cannot go on, a commit was refused, or the time is over.
fn follow(replicator: &Replicator<SqliteLog>, job: &Job, deadline: Instant, refused: &AtomicBool, progress: &Progress) {
    let updates = replicator.updates();
    let mut head = updates.snapshot.upstream_head.global;
    progress.applied.store(head, Ordering::Relaxed);
    while head < job.events() && Instant::now() < deadline && !refused.load(Ordering::Acquire) {
        // Not for ever: neither a failure nor a refused commit is an update.
        match updates.receiver.recv_timeout(Duration::from_millis(200)) {
            Ok(update) => head = update.upstream_head.global,
            Err(_) if matches!(replicator.status().waiting_on, WaitingOn::Owner(_)) => return,
            Err(_) => {}
        }
        progress.applied.store(head, Ordering::Relaxed);
    }
}
