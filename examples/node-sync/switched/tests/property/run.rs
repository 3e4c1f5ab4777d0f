//! A run: two clients, from the first commit until both have everything.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use latchwork::log::{MemoryLog, Merged};
use latchwork::protocol::{Counters, Pull, Push};
use latchwork::replicator::{Status, Update};
use latchwork::sync_points::SyncPoint;
use latchwork::upstream::{Memory, Upstream};
use latchwork::{Backoff, Interrupt, Replicator, Settled, Ticket};
use node_sync_switched::check;
use node_sync_switched::client::{Client as ClientFile, ClientJournal};
use node_sync_switched::event::{Entry, SharedEvent};
use node_sync_switched::file::Kind;
use node_sync_switched::job::{Job, Share};
use node_sync_switched::upstream::SqliteUpstream;

use crate::case::{Case, Storage};
use crate::delays::{self, Delays, Slow};
use crate::faults::{Faulty, Weather};

const STALLED: Duration = Duration::from_secs(5);
/// How long a call blocks before everybody is looked at again.
const LOOK: Duration = Duration::from_millis(20);

type Client = Replicator<Slow>;

/// Why a run failed: in a sentence, and how both replicators stood.
pub struct Failure {
    pub why: String,
    pub statuses: String,
}

/// What has happened, so that it can be seen whether anything did.
#[derive(Default)]
pub struct Seen {
    pub pushes: u64,
    pub behind: u64,
    /// Calls that could not reach upstream, and pushes with an unknown outcome.
    pub unreached: u64,
    pub advances: u64,
    pub rebases: u64,
    /// For each place, visits and delays.
    pub places: Vec<(u64, u64)>,
}

impl Seen {
    fn of(counters: [Counters; 2]) -> Self {
        let sum = |count: fn(&Counters) -> u64| counters.iter().map(count).sum();
        Self {
            pushes: sum(|counters| counters.pushes),
            behind: sum(|counters| counters.behind),
            unreached: sum(|counters| counters.unavailable + counters.uncertain),
            advances: sum(|counters| counters.advances),
            rebases: sum(|counters| counters.rebases),
            places: Vec::new(),
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.pushes += other.pushes;
        self.behind += other.behind;
        self.unreached += other.unreached;
        self.advances += other.advances;
        self.rebases += other.rebases;
        for (sum, place) in self.places.iter_mut().zip(&other.places) {
            (sum.0, sum.1) = (sum.0 + place.0, sum.1 + place.1);
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pushes, behind, unreached, advances, rebases, places } = self;
        write!(
            f,
            "{pushes} pushes, {behind} behind, {unreached} unreached; {advances} advances, {rebases} rebases; delays"
        )?;
        let names = SyncPoint::ALL.iter().map(|point| format!("{point:?}")).chain(["rollback".to_owned()]);
        names.zip(places).try_for_each(|(name, (visits, delays))| write!(f, ", {name} {delays} of {visits}"))
    }
}

pub fn run(case: &Case) -> Result<Seen, Failure> {
    let delays = Arc::new(Delays::new(case));
    delays::set(Some(Arc::clone(&delays)));
    let seen = match case.storage {
        Storage::Memory | Storage::MemoryRebasing => in_memory(case),
        Storage::File => in_files(case),
    };
    delays::set(None);
    seen.map(|seen| Seen { places: delays.visits(), ..seen })
}

fn in_memory(case: &Case) -> Result<Seen, Failure> {
    let memory = Memory::<Slow>::new(0).with_page_size(case.page);
    let log = || match case.storage {
        Storage::MemoryRebasing => MemoryLog::rebasing(),
        Storage::Memory | Storage::File => MemoryLog::new(),
    };
    let ordered = || memory.entries().into_iter().map(|entry| entry.event).collect();
    play(case, [(log(), None, memory.clone()), (log(), None, memory.clone())], ordered)
}

fn in_files(case: &Case) -> Result<Seen, Failure> {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(format!("{name}.db"));
    let client = |name: &str| {
        let upstream = SqliteUpstream::open(&path("upstream"), case.page).unwrap();
        let opened = ClientFile::open(&path(name), name, upstream.id(), Arc::default()).unwrap();
        (opened.log, Some(opened.journal), upstream)
    };
    let ordered = || events(&path("upstream"));
    let seen = play(case, [client("client1"), client("client2")], ordered)?;
    // The replicators have ended: what each file says for itself, the todos included.
    let file = |name, kind| check::contents(&path(name), kind).unwrap();
    let files = [file("client1", Kind::Client), file("client2", Kind::Client), file("upstream", Kind::Upstream)];
    if files.iter().any(|file| *file != files[0] || !file.wrong.is_empty()) {
        return Err(Failure {
            why: "the files differ, or contradict themselves".into(),
            statuses: format!("{files:#?}"),
        });
    }
    Ok(seen)
}

/// The events in an upstream's file.
fn events(path: &Path) -> Vec<SharedEvent> {
    let upstream = SqliteUpstream::open(path, usize::MAX >> 1).unwrap();
    let interrupt = Interrupt::new();
    let mut pages = Upstream::<Slow>::pull(&upstream, Default::default(), &interrupt);
    let page = pages.next().unwrap().unwrap();
    page.entries.into_iter().map(|entry| entry.event).collect()
}

fn play<U: Upstream<Slow>>(
    case: &Case,
    stores: [(MemoryLog<SharedEvent>, Option<ClientJournal>, U); 2],
    ordered: impl FnOnce() -> Vec<SharedEvent>,
) -> Result<Seen, Failure> {
    let job = case.job();
    let weathers = [0, 1].map(|client| Weather::new(case, client));
    let mut weather = weathers.iter();
    let clients = stores.map(|(log, journal, upstream)| {
        let faulty = Faulty { upstream, weather: Arc::clone(weather.next().unwrap()) };
        let builder = Client::builder(Slow::new(log, case), faulty);
        let builder = builder
            .push_batch(job.push_batch)
            .catch_up_grace(Duration::from_millis(10))
            .backoff(Backoff::new(Duration::from_micros(200), Duration::from_millis(5)));
        match journal {
            Some(journal) => builder.journal(journal).spawn().unwrap(),
            None => builder.spawn().unwrap(),
        }
    });
    let updates = clients.each_ref().map(Client::updates);
    let failed = |why: String| Failure { why, statuses: statuses(&clients) };
    let tickets = thread::scope(|scope| {
        let committing: Vec<_> = job
            .shares()
            .into_iter()
            .zip(&clients)
            .map(|(share, client)| scope.spawn(|| commit(client, share, &job)))
            .collect();
        let committed = committing.into_iter().map(|committing| committing.join().expect("a committer does not panic"));
        committed.collect::<Result<Vec<_>, _>>()
    });
    let tickets = tickets.map_err(failed)?;
    let watch = &mut Watch::new();
    for (client, replicator) in clients.iter().enumerate() {
        while replicator.flush(LOOK).is_err() {
            watch.look(&clients, |_, status| status.pending == 0).map_err(failed)?;
        }
        let settled = |ticket: &Ticket<_>| matches!(ticket.settled(), Some(Settled::Confirmed(_)));
        if !tickets[client].iter().all(settled) {
            return Err(failed(format!("client{} was flushed, and a commit of it is not confirmed", client + 1)));
        }
    }
    // The last page of all may have been lost, and a client with nothing pending has no reason to ask.
    weathers.iter().for_each(|weather| weather.bad.store(false, Ordering::Relaxed));
    clients.iter().for_each(Client::retry_now);
    let mut applied = [Vec::new(), Vec::new()];
    for (client, applied) in applied.iter_mut().enumerate() {
        while (applied.len() as u64) < job.events() {
            if let Ok(update) = updates[client].receiver.recv_timeout(LOOK) {
                apply(&update, applied);
            }
            watch.look(&clients, |other, _| other != client).map_err(failed)?;
        }
    }
    let ordered = ordered();
    for share in job.shares() {
        let numbers = ordered.iter().filter(|event| event.client == share.client).map(|event| event.number);
        if !numbers.eq(0..share.events(&job)) {
            return Err(failed(format!("upstream has not all of {}'s events, once and in order", share.client)));
        }
    }
    let (seen, statuses) = (Seen::of(clients.each_ref().map(|client| client.status().counters)), statuses(&clients));
    let failed = |why: String| Failure { why, statuses: statuses.clone() };
    for client in clients {
        let left = client.shutdown(STALLED);
        if !left.is_clean() {
            return Err(failed(format!("everything was confirmed, and a shutdown leaves {left:?}")));
        }
    }
    // Nothing comes after the last one: what was applied twice would.
    for (client, applied) in applied.iter_mut().enumerate() {
        updates[client].receiver.try_iter().for_each(|update| apply(&update, applied));
        if *applied != ordered {
            return Err(failed(format!("client{} has applied something else than upstream has", client + 1)));
        }
    }
    Ok(seen)
}

/// Commits a client's share. Waits for nothing but the lock.
fn commit(client: &Client, share: Share, job: &Job) -> Result<Vec<Ticket<u64>>, String> {
    let numbers: Vec<_> = (0..share.events(job)).collect();
    let commits = numbers.chunks(job.commit_batch.get()).map(|numbers| {
        let events = numbers.iter().map(|number| share.event(job, *number));
        client.commit(events.collect()).map_err(|error| format!("a commit of {} was refused: {error}", share.client))
    });
    commits.collect()
}

/// What an update brings, in order.
fn apply(update: &Update<Entry, u64>, applied: &mut Vec<SharedEvent>) {
    let (Merged::Advance { new, confirmed } | Merged::Rebase { new, confirmed, .. }) = &update.merged;
    let mut entries: Vec<_> = confirmed.iter().chain(new).collect();
    entries.sort_unstable_by_key(|entry| entry.position);
    applied.extend(entries.into_iter().map(|entry| SharedEvent::clone(&entry.event)));
}

fn statuses(clients: &[Client]) -> String {
    let status = |(number, client): (usize, &Client)| format!("client{}: {:#?}", number + 1, client.status());
    clients.iter().enumerate().map(status).collect::<Vec<_>>().join("\n")
}

/// When each client was last seen to move, and what it had done by then.
struct Watch([(Instant, [u64; 3]); 2]);

impl Watch {
    fn new() -> Self {
        Self([(Instant::now(), [0; 3]); 2])
    }

    /// An error if one of them has failed, or does not move although it has not `ended`.
    fn look(&mut self, clients: &[Client; 2], ended: impl Fn(usize, &Status<u64>) -> bool) -> Result<(), String> {
        for (number, client) in clients.iter().enumerate() {
            let (since, done) = &mut self.0[number];
            let status = client.status();
            let now = [status.counters.pushes, status.counters.advances, status.counters.rebases];
            if now != *done || ended(number, &status) {
                (*since, *done) = (Instant::now(), now);
            }
            if let (Push::Failed { error, .. }, _) | (_, Pull::Failed { error }) = (&status.push, &status.pull) {
                return Err(format!("client{} has failed: {error}", number + 1));
            }
            if since.elapsed() > STALLED {
                let what = if status.pending > 0 { "has stalled" } else { "does not hear of everything" };
                return Err(format!("client{} {what}: {} events pending", number + 1, status.pending));
            }
        }
        Ok(())
    }
}
