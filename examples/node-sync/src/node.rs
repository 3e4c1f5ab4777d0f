//! One client at work: commits its share, and goes on until it has everybody's events.
//!
//! It is the owner of its replicator, and waits for two things at once with one wait for a status: for events to come in, and
//! for a decision to be needed. What upstream refuses for good it gives up, and tells; with all else it ends.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use latchwork::protocol::{DecisionError, Failure};
use latchwork::replicator::{CommitError, GiveUp, Matter, Status};
use latchwork::upstream::{FatalKind, SharedError, Upstream};
use latchwork::{Backoff, Cause, Interrupt, Replicator, Ticket, Waited};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::client::{Client, ClientLog};
use crate::event::Entry;
use crate::faults::{Fault, Faulty, Injected};
use crate::file::FileError;
use crate::job::{Job, Share};
use crate::trail::{Activity, Trail};
use crate::upstream::{LOOK_AGAIN, SqliteUpstream};

/// How long to wait after failures. Upstream is a file on this machine: what kept it busy is soon over.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));

/// How long a client that is behind waits for news before it asks for them.
const GRACE: Duration = Duration::from_millis(50);

/// How many changes of its log a client may not have written yet.
const MAX_UNWRITTEN: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not zero");

/// How long a client that commits goes on before it looks again at what has come of it.
const PACE: Duration = Duration::from_millis(2);

/// How many of the events that were given up are told in words.
const TOLD: usize = 5;

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
    /// Pushes that were too large.
    pub too_large: u64,
    /// Events that upstream refused for good, and that were given up.
    pub given_up: u64,
    /// The first few of them, a sentence each.
    pub refusals: Vec<String>,
    /// Pages applied.
    pub pages: u64,
    /// Merges that left what was pending as it was.
    pub advances: u64,
    /// Merges that gave it new numbers.
    pub rebases: u64,
    /// Transactions of the client's file.
    pub writes: u64,
    /// Changes of the log in them.
    pub changes: u64,
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
    /// Upstream's file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The client's file.
    #[error(transparent)]
    Journal(#[from] latchwork_sqlite::Error),
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
    /// An event that upstream refuses could not be given up.
    #[error("{client} cannot give up what upstream refuses: {error}")]
    GiveUp {
        /// Which one.
        client: String,
        /// Why.
        error: DecisionError,
    },
    /// Pushing or pulling has failed, and trying again cannot help.
    #[error("{client}: {failure}{}", Remedy(.failure))]
    Failed {
        /// Which one.
        client: String,
        /// Why.
        failure: Failure,
    },
}

/// What can be done about a failure, if that is not what the failure says.
struct Remedy<'a>(&'a Failure);

impl fmt::Display for Remedy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure::Upstream { kind, .. } = self.0 else { return Ok(()) };
        f.write_str(match kind {
            FatalKind::WentBack => "; put the newer file back and run it again, or begin anew in another directory",
            FatalKind::IdentityMismatch => "; put their file back and run it again, or begin anew in another directory",
            _ => "",
        })
    }
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
    let upstream = SqliteUpstream::open(&upstream_path(dir), task.job.page.get())?
        .with_look_again(LOOK_AGAIN.min(task.job.patience() / 2))
        .with_trail(Arc::clone(&trail));
    let (path, name) = (client_path(dir, &task.share.client), &task.share.client);
    let client = Client::open(&path, name, upstream.id(), Arc::clone(&trail))?;
    work(client, upstream, &trail, task)
}

/// Does a client's work until everything has arrived, the time is over, or it is to stop.
///
/// # Errors
///
/// If it cannot begin or cannot go on. What did not arrive in time is in the report.
pub fn work<U>(client: Client, upstream: U, trail: &Trail, task: Task<'_>) -> Result<Report, NodeError>
where
    U: Upstream<ClientLog>,
{
    let begun = Instant::now();
    let Task { job, share, progress, .. } = task;
    let Client { log, journal, committed: already } = client;
    let client = share.client.clone();
    progress.committed.store(already, Ordering::Relaxed);
    let injected = Arc::new(Injected::default());
    let upstream = Faulty::new(upstream, job, share, Arc::clone(&injected));
    let replicator = Replicator::builder(log, upstream)
        .name(&client)
        .journal(journal)
        .push_batch(job.push_batch)
        .linger(job.linger())
        .max_pending(job.max_pending)
        .max_unwritten(MAX_UNWRITTEN)
        .push_deadline(job.patience())
        .pull_silence(job.patience())
        .backoff(BACKOFF)
        .catch_up_grace(GRACE)
        .spawn()
        .map_err(|error| NodeError::Spawn { client: client.clone(), error: error.to_string() })?;
    // If either half fails the other is to end.
    let over = task.stop.child();
    let all_committed = over.child();
    let failed = |_: &NodeError| {
        over.set(Cause::Stop);
    };
    let halves = std::thread::scope(|scope| {
        let committing = scope.spawn(|| {
            let committed = commit(&replicator, already, trail, task, &over).inspect_err(failed);
            all_committed.set(Cause::Stop);
            committed
        });
        let followed = follow(&replicator, task, &over, &all_committed).inspect_err(failed);
        (committing.join().expect("committing does not panic"), followed)
    });
    let (committed, refusals) = (halves.0?, halves.1?);
    let status = replicator.status();
    // What the journal has not written by now it need not keep for more to come.
    replicator.stop();
    let left = replicator.shutdown(task.deadline.saturating_duration_since(Instant::now()));
    if let Some(failure) = left.unwritten.failure {
        return Err(NodeError::Failed { client, failure });
    }
    let counters = replicator.status().counters;
    drop(replicator);
    Ok(Report {
        client,
        complete: status.pending == 0 && left.unwritten.changes == 0 && status.upstream_head == job.ordered(),
        waiting_on: status.waiting_on.to_string(),
        last_error: status.last_error.map(|error| error.to_string()),
        committed,
        pushes: counters.pushes,
        accepted: counters.accepted,
        behind: counters.behind,
        uncertain: counters.uncertain,
        unavailable: counters.unavailable,
        too_large: counters.too_large,
        given_up: counters.given_up,
        refusals,
        pages: counters.pages,
        advances: counters.advances,
        rebases: counters.rebases,
        writes: counters.writes,
        changes: counters.changes,
        reapplied: trail.all_applied_again(),
        faults: injected.counts(),
        elapsed_us: u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        spent_us: trail.micros(),
        peak_memory_kib: None,
    })
}

/// Commits the share, but for what is committed already. Returns how many events that were.
fn commit(
    replicator: &Replicator<ClientLog>,
    already: u64,
    trail: &Trail,
    task: Task<'_>,
    over: &Interrupt,
) -> Result<u64, NodeError> {
    let Task { job, share, deadline, progress, .. } = task;
    let (total, batch) = (share.events(job), job.commit_batch.get() as u64);
    let mut next = already;
    // Those that are on their way to the disk, and the number that follows each.
    let mut on_their_way = VecDeque::<(Ticket<u64>, u64)>::new();
    let is_durable = |ticket: &Ticket<u64>| {
        let durable = trail.time(Activity::AwaitingDurable, || ticket.durable().wait_or(over, Some(deadline)));
        matches!(durable, Waited::Ready(true))
    };
    while next < total && Instant::now() < deadline && !over.is_set() {
        let until = total.min(next + batch);
        let events = (next..until).map(|number| share.event(job, number)).collect();
        // Which waits for the disk at once writes by itself.
        let committed = if job.window == NonZeroUsize::MIN {
            replicator.commit_and_write(events)
        } else {
            replicator.commit(events)
        };
        match committed {
            Ok(ticket) => {
                on_their_way.push_back((ticket, until));
                next = until;
            }
            Err(CommitError::Full { .. } | CommitError::Unwritten { .. }) => {
                // Not `commit_within`: that ends when the owner must decide, which is this client, in its other half.
                let count = until as usize - next as usize;
                let has_room = |status: &Status<u64>| {
                    status.pending + count <= job.max_pending.get() && status.unwritten < MAX_UNWRITTEN.get()
                };
                let room = replicator.status_when(has_room);
                // However it ends, the loop sees.
                let _ended = trail.time(Activity::AwaitingRoom, || room.wait_or(over, Some(deadline)));
            }
            Err(error) => return Err(NodeError::Commit { client: share.client.clone(), error: error.to_string() }),
        }
        while on_their_way.len() >= job.window.get() {
            let Some((ticket, until)) = on_their_way.pop_front() else { break };
            if !is_durable(&ticket) {
                return Ok(next - already);
            }
            progress.committed.store(until, Ordering::Relaxed);
        }
    }
    // No more is to come: what is pending waits for nothing to be sent with.
    let _settled = replicator.flushed();
    for (ticket, until) in on_their_way {
        if !is_durable(&ticket) {
            break;
        }
        progress.committed.store(until, Ordering::Relaxed);
    }
    Ok(next - already)
}

/// Returns once everybody's events are here and its own are settled, the time is over, or it is to end. Returns what was given
/// up, a sentence each.
fn follow(
    replicator: &Replicator<ClientLog>,
    task: Task<'_>,
    over: &Interrupt,
    all_committed: &Interrupt,
) -> Result<Vec<String>, NodeError> {
    let Task { job, share, deadline, progress, .. } = task;
    let all = job.ordered();
    let is_done = |status: &Status<u64>| {
        let all_came = status.pending == 0 && status.upstream_head >= all;
        // Also with nothing to do it asks upstream once: that may have lost what this client has.
        let has_asked = status.progress.caught_up.is_some();
        all_came && has_asked && all_committed.is_set()
    };
    let (mut refusals, mut applied) = (Vec::new(), None);
    loop {
        let news = |status: &Status<u64>| {
            applied != Some(status.upstream_head) || !status.decisions.is_empty() || is_done(status)
        };
        let status = match all_committed.sleep(PACE) {
            // While it commits, a status changes with each commit: to be woken for each would take the committing thread's time.
            Ok(()) if Instant::now() < deadline => replicator.status(),
            _ => match replicator.status_when(news).wait_or(over, Some(deadline)) {
                Waited::Ready(Some(status)) => status,
                _ => return Ok(refusals),
            },
        };
        applied = Some(status.upstream_head);
        progress.applied.store(status.upstream_head, Ordering::Relaxed);
        for decision in &status.decisions {
            match &decision.matter {
                Matter::Rejected { failure: Failure::Rejected { error }, .. } => {
                    give_up(replicator, share, error, &mut refusals)?;
                }
                Matter::Failed { failure, .. } | Matter::Journal { failure } => {
                    return Err(NodeError::Failed { client: share.client.clone(), failure: failure.clone() });
                }
                _ => {}
            }
        }
        if is_done(&status) {
            return Ok(refusals);
        }
    }
}

/// Gives up the event that upstream refuses for good, and says so.
fn give_up(
    replicator: &Replicator<ClientLog>,
    share: &Share,
    reason: &SharedError,
    refusals: &mut Vec<String>,
) -> Result<(), NodeError> {
    let client = &share.client;
    let entries = match replicator.give_up(GiveUp::Rejected) {
        // It was confirmed meanwhile.
        Err(DecisionError::NothingRejected) => return Ok(()),
        entries => entries.map_err(|error| NodeError::GiveUp { client: client.clone(), error })?,
    };
    let sentence = |entry: &Entry| {
        let (number, todo) = (entry.event.number, &entry.event.edit.todo);
        format!("{client} gives up event {number}, of the todo {todo}: upstream refuses it for good: {reason}")
    };
    let room = TOLD.saturating_sub(refusals.len());
    refusals.extend(entries.iter().take(room).map(sentence));
    Ok(())
}
