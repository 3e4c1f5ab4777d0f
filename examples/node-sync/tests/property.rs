//! Two clients, whatever is delayed and whatever goes wrong: both end with both sets of todos.
//!
//! Each run is a [`Case`], drawn from its seed: how many todos, batches, storage, delays at the named points of pushing and
//! pulling, faults of the upstream. `NODE_SYNC_RUNS` says how many (80 by default), `NODE_SYNC_SEED` which is the first. The
//! seed repeats what is drawn, not how the threads interleave; so a run that fails may have to be tried several times.
//!
//! # Delays
//!
//! Of 0 to 15 ms, at five places: the four [points](latchwork::points) of the replicator, and a log's rollback, under the
//! replicator's lock, where a slow disk would hold up everybody. Not at each visit, since 800 commits of 15 ms each are no
//! better a test than ten: at one in so many, and ten times at each place in a run.
//!
//! # What is a stall
//!
//! Something is pending, and for five seconds no push has begun and nothing was merged. No delay here is as long as a
//! hundredth of that: backing off takes 5 ms at most, the grace of a rejected push is 10 ms.
//!
//! # It can fail
//!
//! With each of four known bugs switched on (`NODE_SYNC_BUG`) the same test must fail; also if nothing goes wrong but what
//! belongs to the bug's story (`NODE_SYNC_FAULTS`): for three of the four, nothing at all. A bug is on for a whole process,
//! so each is tried in one of its own.

use std::env;
use std::fmt::{self, Debug};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use latchwork::known_bugs::KnownBug;
use latchwork::log::{Log, MemoryEntry, MemoryLog, Merged};
use latchwork::points::{self, Point};
use latchwork::protocol::{Pull, Push};
use latchwork::replicator::{Status, Updates};
use latchwork::upstream::{Batch, Memory, More, Page, PullError, PushError, Upstream};
use latchwork::{Backoff, Interrupt, Replicator, Settled, Ticket};
use node_sync::check;
use node_sync::client::SqliteLog;
use node_sync::event::{Edit, Entry, SharedEvent, TodoEvent};
use node_sync::file::Kind;
use node_sync::job::{Job, Share};
use node_sync::upstream::SqliteUpstream;

const STALLED: Duration = Duration::from_secs(5);
/// How long a call blocks before everybody is looked at again.
const LOOK: Duration = Duration::from_millis(20);
const LONGEST_DELAY: Duration = Duration::from_millis(15);
/// At each place, in a run.
const DELAYS: u64 = 10;

// ---- what is drawn ----------------------------------------------------------------------------------------------------

/// A run: all that is drawn from its seed.
#[derive(Debug, Clone)]
struct Case {
    seed: u64,
    todos: [u64; 2],
    commit_batch: usize,
    push_batch: usize,
    page: usize,
    storage: Storage,
    /// One in so many visits to a place is delayed; none if 0.
    delays: u64,
    /// One in so many pushes and pages meets a fault; none if 0.
    faults: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Storage {
    /// Logs in memory. What others did leaves what is pending as it is.
    Memory,
    /// The same, but what is pending gets new numbers.
    MemoryRebasing,
    /// Clients and upstream in SQLite files.
    File,
}

fn one_of<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

impl Case {
    fn of(seed: u64) -> Self {
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

    fn job(&self) -> Job {
        let number = |events| NonZeroUsize::new(events).unwrap();
        Job {
            todos: self.todos.to_vec(),
            edit_every: 10,
            commit_batch: number(self.commit_batch),
            push_batch: number(self.push_batch),
            page: number(self.page),
            seed: self.seed,
        }
    }
}

/// Decides at each visit to a place, by the seed and how many visits there have been.
struct Chance {
    seed: u64,
    one_in: u64,
    visits: AtomicU64,
}

impl Chance {
    fn new(case: &Case, place: u64, one_in: u64) -> Self {
        Self { seed: Rng::with_seed(case.seed ^ place << 32).u64(..), one_in, visits: AtomicU64::new(0) }
    }

    fn hit(&self) -> Option<Rng> {
        let visit = self.visits.fetch_add(1, Ordering::Relaxed);
        let mut rng = Rng::with_seed(self.seed.wrapping_add(visit));
        (self.one_in > 0 && rng.u64(..self.one_in) == 0).then_some(rng)
    }
}

// ---- delays -----------------------------------------------------------------------------------------------------------

/// Where threads are delayed: the points of the replicator, and the log's rollback.
struct Delays(Vec<(Chance, AtomicU64)>);

const ROLLBACK: usize = Point::ALL.len();

impl Delays {
    fn new(case: &Case) -> Self {
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
    fn visits(&self) -> Vec<(u64, u64)> {
        let count = |(chance, left): &(Chance, AtomicU64)| {
            (chance.visits.load(Ordering::Relaxed), DELAYS - left.load(Ordering::Relaxed))
        };
        self.0.iter().map(count).collect()
    }
}

/// Those of the present run.
static PRESENT: Mutex<Option<Arc<Delays>>> = Mutex::new(None);

fn delay(place: usize) {
    let present = PRESENT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(delays) = present {
        delays.at(place);
    }
}

/// A log that rolls back slowly.
struct Slow<L> {
    log: L,
    rolls_back: bool,
}

impl<L: Log> Slow<L> {
    fn new(log: L, case: &Case) -> Self {
        Self { log, rolls_back: case.storage != Storage::Memory }
    }
}

impl<L: Kept> Log for Slow<L> {
    type Event = L::Event;
    type Entry = L::Entry;
    type Position = L::Position;
    type Error = L::Error;

    fn head(&self) -> L::Position {
        self.log.head()
    }
    fn upstream_head(&self) -> L::Position {
        self.log.upstream_head()
    }
    fn pending(&self) -> usize {
        self.log.pending()
    }
    fn position(entry: &L::Entry) -> L::Position {
        L::position(entry)
    }
    fn number(&self, events: Vec<L::Event>) -> Result<Vec<L::Entry>, L::Error> {
        self.log.number(events)
    }
    fn admit(&mut self, entries: Vec<L::Entry>) -> Result<usize, L::Error> {
        self.log.admit(entries)
    }
    fn batch(&self, max: NonZeroUsize) -> Vec<L::Entry> {
        self.log.batch(max)
    }
    fn merge(&mut self, page: Vec<L::Entry>) -> Result<Merged<L::Entry>, L::Error> {
        let first = self.log.batch(NonZeroUsize::MIN);
        if self.rolls_back && first.iter().zip(&page).any(|(pending, new)| L::event(pending) != L::event(new)) {
            delay(ROLLBACK);
        }
        self.log.merge(page)
    }
}

/// A log of todos.
trait Kept: Log<Entry: Debug, Position: Default> {
    fn event(entry: &Self::Entry) -> &SharedEvent;
    fn next(share: &Share, number: u64, edit: Edit) -> Self::Event;
}

impl Kept for MemoryLog<SharedEvent> {
    fn event(entry: &MemoryEntry<SharedEvent>) -> &SharedEvent {
        &entry.event
    }
    fn next(share: &Share, number: u64, edit: Edit) -> SharedEvent {
        Arc::new(TodoEvent { client: share.client.clone(), number, edit })
    }
}

impl Kept for SqliteLog {
    fn event(entry: &Entry) -> &SharedEvent {
        &entry.event
    }
    fn next(_: &Share, _: u64, edit: Edit) -> Edit {
        edit
    }
}

// ---- faults -----------------------------------------------------------------------------------------------------------

/// What goes wrong on the way to an upstream that does its work.
struct Weather {
    bad: AtomicBool,
    pushes: Chance,
    pages: Chance,
}

impl Weather {
    fn new(case: &Case, client: u64) -> Arc<Self> {
        let chance = |way| Chance::new(case, 100 + 2 * client + way, case.faults);
        Arc::new(Self { bad: AtomicBool::new(true), pushes: chance(0), pages: chance(1) })
    }

    fn fault(&self, chance: &Chance, faults: &[Fault]) -> Option<Fault> {
        let mut rng = chance.hit().filter(|_| self.bad.load(Ordering::Relaxed))?;
        let faults: Vec<_> = faults.iter().copied().filter(Fault::may_happen).collect();
        (!faults.is_empty()).then(|| one_of(&mut rng, &faults))
    }
}

/// Each goes wrong once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A push: upstream says that it is ahead and not how far, and has no news.
    Rejected,
    /// The connection dies before the push arrives.
    PushLost,
    /// The connection dies before its answer arrives.
    AnswerLost,
    /// The transport sends it a second time, and the answer to that is the one that arrives.
    SentTwice,
    /// A page: the connection dies before it.
    DiedBefore,
    /// The connection dies after it.
    DiedAfter,
    /// It comes twice.
    CameTwice,
    /// A live pull is not told of it.
    EchoLost,
    /// A live pull ends in its stead.
    Ended,
}
use Fault::{AnswerLost, CameTwice, DiedAfter, DiedBefore, EchoLost, Ended, PushLost, Rejected, SentTwice};

impl Fault {
    const ALL: [Self; 9] =
        [Rejected, PushLost, AnswerLost, SentTwice, DiedBefore, DiedAfter, CameTwice, EchoLost, Ended];

    /// Whether it may happen at all.
    fn may_happen(&self) -> bool {
        static THESE: LazyLock<Vec<Fault>> = LazyLock::new(|| {
            let Ok(named) = env::var("NODE_SYNC_FAULTS") else { return Fault::ALL.to_vec() };
            let fault = |name: &str| Fault::ALL.into_iter().find(|fault| format!("{fault:?}") == name);
            let known = |name| fault(name).unwrap_or_else(|| panic!("there is no fault {name}"));
            named.split(',').filter(|name| !name.is_empty()).map(known).collect()
        });
        THESE.contains(self)
    }
}

struct Faulty<U> {
    upstream: U,
    weather: Arc<Weather>,
}

impl<L: Log, U: Upstream<L>> Upstream<L> for Faulty<U> {
    fn push(&self, batch: &Batch<L>, interrupt: &Interrupt) -> Result<(), PushError<L::Position>> {
        let fault = self.weather.fault(&self.weather.pushes, &[Rejected, PushLost, AnswerLost, SentTwice]);
        match fault {
            Some(Rejected) => return Err(PushError::Behind { head: None }),
            Some(PushLost) => {
                return Err(PushError::Unavailable { retry_after: None, error: "it did not arrive".into() });
            }
            _ => self.upstream.push(batch, interrupt)?,
        }
        match fault {
            Some(AnswerLost) => Err(PushError::Uncertain { error: "no answer".into() }),
            Some(SentTwice) => Err(PushError::Behind { head: batch.entries.last().map(L::position) }),
            _ => Ok(()),
        }
    }

    fn pull<'a>(
        &'a self,
        cursor: L::Position,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<L::Entry>, PullError>> + 'a {
        let died = || PullError::Unavailable { retry_after: None, error: "the connection died".into() };
        let mut pages = self.upstream.pull(cursor, interrupt);
        let (mut next, mut caught_up, mut ended) = (None, false, false);
        std::iter::from_fn(move || {
            loop {
                if let Some(next) = next.take() {
                    return Some(next);
                }
                if ended {
                    return None;
                }
                let page = match pages.next()? {
                    Ok(page) => page,
                    Err(error) => return Some(Err(error)),
                };
                // A pull gives out all that there was when it began; only what came later may be lost.
                let live: &[_] = if caught_up { &[EchoLost, Ended] } else { &[] };
                caught_up |= page.more == More::None;
                let faults = [&[DiedBefore, DiedAfter, CameTwice], live].concat();
                match self.weather.fault(&self.weather.pages, &faults) {
                    Some(EchoLost) => continue,
                    Some(CameTwice) => next = Some(Ok(page.clone())),
                    Some(DiedAfter) => (next, ended) = (Some(Err(died())), true),
                    Some(DiedBefore) => {
                        ended = true;
                        return Some(Err(died()));
                    }
                    Some(Ended) => return None,
                    _ => {}
                }
                return Some(Ok(page));
            }
        })
    }
}

// ---- a run ------------------------------------------------------------------------------------------------------------

type Client<L> = Replicator<Slow<L>>;

/// Why a run failed: in a sentence, and how both replicators stood.
struct Failure {
    why: String,
    statuses: String,
}

/// What has happened, so that it can be seen whether anything did.
#[derive(Default)]
struct Seen {
    pushes: u64,
    behind: u64,
    /// Calls that could not reach upstream, and pushes with an unknown outcome.
    unreached: u64,
    advances: u64,
    rebases: u64,
    /// For each place, visits and delays.
    places: Vec<(u64, u64)>,
}

impl Seen {
    fn add(&mut self, other: &Self) {
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
        let names = Point::ALL.iter().map(|point| format!("{point:?}")).chain(["rollback".to_owned()]);
        names.zip(places).try_for_each(|(name, (visits, delays))| write!(f, ", {name} {delays} of {visits}"))
    }
}

fn run(case: &Case) -> Result<Seen, Failure> {
    let delays = Arc::new(Delays::new(case));
    *PRESENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&delays));
    let seen = match case.storage {
        Storage::Memory | Storage::MemoryRebasing => in_memory(case),
        Storage::File => in_files(case),
    };
    *PRESENT.lock().unwrap_or_else(PoisonError::into_inner) = None;
    seen.map(|seen| Seen { places: delays.visits(), ..seen })
}

fn in_memory(case: &Case) -> Result<Seen, Failure> {
    let memory = Memory::<Slow<MemoryLog<SharedEvent>>>::new(0).with_page_size(case.page);
    let log = || match case.storage {
        Storage::MemoryRebasing => MemoryLog::rebasing(),
        Storage::Memory | Storage::File => MemoryLog::new(),
    };
    let ordered = || memory.entries().into_iter().map(|entry| entry.event).collect();
    play(case, [(log(), memory.clone()), (log(), memory.clone())], ordered)
}

fn in_files(case: &Case) -> Result<Seen, Failure> {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(format!("{name}.db"));
    let client = |name: &str| {
        let upstream = SqliteUpstream::open(&path("upstream"), case.page).unwrap();
        (SqliteLog::open(&path(name), name, upstream.id()).unwrap(), upstream)
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
    let mut pages = Upstream::<SqliteLog>::pull(&upstream, Default::default(), &interrupt);
    let page = pages.next().unwrap().unwrap();
    page.entries.into_iter().map(|entry| entry.event).collect()
}

fn play<L: Kept, U: Upstream<Slow<L>>>(
    case: &Case,
    stores: [(L, U); 2],
    ordered: impl FnOnce() -> Vec<SharedEvent>,
) -> Result<Seen, Failure> {
    let job = case.job();
    let weathers = [0, 1].map(|client| Weather::new(case, client));
    let mut weather = weathers.iter();
    let clients = stores.map(|(log, upstream)| {
        let faulty = Faulty { upstream, weather: Arc::clone(weather.next().unwrap()) };
        Client::<L>::builder(Slow::new(log, case), faulty)
            .push_batch(job.push_batch)
            .catch_up_grace(Duration::from_millis(10))
            .backoff(Backoff::new(Duration::from_micros(200), Duration::from_millis(5)))
            .spawn()
            .unwrap()
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
        committing.into_iter().map(|committing| committing.join().expect("a committer panicked")).collect::<Vec<_>>()
    });
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
    // The last page of all may have been lost, and whoever has nothing pending has no reason to ask.
    weathers.iter().for_each(|weather| weather.bad.store(false, Ordering::Relaxed));
    clients.iter().for_each(Client::retry_now);
    let mut applied = [Vec::new(), Vec::new()];
    for (client, applied) in applied.iter_mut().enumerate() {
        while (applied.len() as u64) < job.events() {
            apply(&updates[client], applied);
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
    for (client, applied) in applied.iter().enumerate() {
        if *applied != ordered {
            return Err(failed(format!("client{} has applied something else than upstream has", client + 1)));
        }
    }
    let mut seen = Seen::default();
    for status in clients.each_ref().map(Client::status) {
        let counters = status.counters;
        seen.pushes += counters.pushes;
        seen.behind += counters.behind;
        seen.advances += counters.advances;
        seen.rebases += counters.rebases;
        seen.unreached += counters.unavailable + counters.uncertain;
    }
    for client in clients {
        let left = client.shutdown(STALLED);
        if !left.is_clean() {
            return Err(Failure {
                why: "a shutdown after everything was confirmed is not clean".into(),
                statuses: format!("{left:?}"),
            });
        }
    }
    Ok(seen)
}

/// Commits a client's share. Waits for nothing but the lock.
fn commit<L: Kept>(client: &Client<L>, share: Share, job: &Job) -> Vec<Ticket<L::Position>> {
    let numbers: Vec<_> = (0..share.events(job)).collect();
    let commits = numbers.chunks(job.commit_batch.get()).map(|numbers| {
        let events = numbers.iter().map(|number| L::next(&share, *number, share.edit(job, *number)));
        client.commit(events.collect()).unwrap()
    });
    commits.collect()
}

/// Waits for an update, and notes what it brings.
fn apply<L: Kept>(updates: &Updates<Slow<L>>, applied: &mut Vec<SharedEvent>) {
    let Ok(update) = updates.receiver.recv_timeout(LOOK) else { return };
    let (Merged::Advance { new, confirmed } | Merged::Rebase { new, confirmed, .. }) = &update.merged;
    let mut entries: Vec<_> = confirmed.iter().chain(new).collect();
    entries.sort_unstable_by_key(|entry| L::position(entry));
    applied.extend(entries.into_iter().map(L::event).cloned());
}

fn statuses<L: Kept>(clients: &[Client<L>]) -> String {
    let status = |(number, client): (usize, &Client<L>)| format!("client{}: {:#?}", number + 1, client.status());
    clients.iter().enumerate().map(status).collect::<Vec<_>>().join("\n")
}

/// When each client was last seen to move, and what it had done by then.
struct Watch([(Instant, [u64; 3]); 2]);

impl Watch {
    fn new() -> Self {
        Self([(Instant::now(), [0; 3]); 2])
    }

    /// An error if one of them has failed, or does not move although it has not `ended`.
    fn look<L: Kept>(
        &mut self,
        clients: &[Client<L>; 2],
        ended: impl Fn(usize, &Status<L::Position>) -> bool,
    ) -> Result<(), String> {
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
                return Err(format!("client{} has stalled: {} events pending", number + 1, status.pending));
            }
        }
        Ok(())
    }
}

// ---- the tests --------------------------------------------------------------------------------------------------------

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// The known bug that is to be switched on, if any.
fn bug() -> Option<KnownBug> {
    let name = env::var("NODE_SYNC_BUG").ok()?;
    let bug = KnownBug::ALL.iter().find(|bug| format!("{bug:?}") == name);
    Some(*bug.unwrap_or_else(|| panic!("there is no known bug {name}")))
}

#[test]
fn whatever_is_delayed_and_goes_wrong_both_end_with_both_sets_of_todos() {
    let (runs, first) = (number("NODE_SYNC_RUNS", 80), number("NODE_SYNC_SEED", 1));
    let _on = bug().map(KnownBug::switch_on);
    points::call(|point| delay(Point::ALL.iter().position(|other| *other == point).unwrap()));
    let (begun, mut all) = (Instant::now(), Seen { places: vec![(0, 0); ROLLBACK + 1], ..Seen::default() });
    for (run_number, seed) in (1..=runs).zip(first..) {
        let case = Case::of(seed);
        let seen = run(&case).unwrap_or_else(|Failure { why, statuses }| {
            let set = ["NODE_SYNC_BUG", "NODE_SYNC_FAULTS"].map(|name| (name, env::var(name)));
            let set = set.into_iter().filter_map(|(name, value)| Some(format!("{name}={} ", value.ok()?)));
            let set = set.collect::<String>();
            panic!(
                "run {run_number}: {why}\n{case:#?}\n{statuses}\nagain: {set}NODE_SYNC_SEED={seed} NODE_SYNC_RUNS=1 \
                 cargo test -p node-sync --test property -- --nocapture whatever"
            )
        });
        all.add(&seen);
    }
    println!("{runs} runs from seed {first} in {:?}: {all}", begun.elapsed());
    if runs >= 50 {
        assert!(
            all.places.iter().all(|(visits, delayed)| visits > delayed && *delayed > 0),
            "a place was not tried: {all}"
        );
        assert!(
            all.advances > 0 && all.rebases > 0 && all.behind > 0 && all.unreached > 0,
            "something never happened: {all}"
        );
    }
}

/// Runs the test above in a process of its own with this bug switched on: with every fault, and with those alone that the
/// bug's own story needs.
fn is_found(bug: KnownBug, its_faults: &str, expected: &str) {
    for faults in [None, Some(its_faults)] {
        let mut test = Command::new(env::current_exe().unwrap());
        test.args(["--exact", "whatever_is_delayed_and_goes_wrong_both_end_with_both_sets_of_todos", "--nocapture"]);
        test.env("NODE_SYNC_BUG", format!("{bug:?}")).env("NODE_SYNC_RUNS", "500").env_remove("NODE_SYNC_FAULTS");
        faults.map(|faults| test.env("NODE_SYNC_FAULTS", faults));
        let output = test.output().unwrap();
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        let verdict = said.lines().find(|line| line.starts_with("run "));
        let found = !output.status.success() && verdict.is_some_and(|line| line.contains(expected));
        assert!(found, "{bug:?}, faults {faults:?}: was not found:\n{said}");
        assert!(said.contains(&format!("again: NODE_SYNC_BUG={bug:?} ")) && said.contains("client2: Status"), "{said}");
        println!("{bug:?}, faults {}: {}", faults.unwrap_or("all"), verdict.unwrap_or_default());
    }
}

#[test]
fn an_advance_that_resumes_nobody_is_found_without_a_fault() {
    is_found(KnownBug::ResumeOnRebaseOnly, "", "has stalled");
}

#[test]
fn an_answer_that_an_advance_has_overtaken_is_found_without_a_fault() {
    is_found(KnownBug::ParkedFlag, "", "has stalled");
}

#[test]
fn events_that_are_sent_past_rejected_ones_are_found_without_a_fault() {
    is_found(KnownBug::PrefixBypass, "", "has failed: ");
}

#[test]
fn a_lost_echo_that_nobody_asks_for_is_found() {
    is_found(KnownBug::PassiveAfterLostEcho, "EchoLost", "has stalled");
}
