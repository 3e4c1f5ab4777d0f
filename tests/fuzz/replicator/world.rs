//! The clients, the threads that use them, and all that they have done.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use latchwork::log::{Log, Merged};
use latchwork::protocol::{Resend, WaitingOn};
use latchwork::replicator::{CommitError, RecvError, Status, Updates};
use latchwork::sync_state::Position;
use latchwork::{Backoff, Replicator, Settled, Ticket, Waited};
use proptest::test_runner::{TestCaseError, TestCaseResult};

use super::loud::{Bell, LoudEvent, LoudLog, LoudWaker, Ring};
use super::sky::{Chance, Sky, Way};
use super::{Case, Does, Ends, Setup, Step, Wait, finale};
use crate::harness::{INJECTED, Seen};
use crate::logs::{AnyLog, Event, Kind};
use crate::thread_group::{ThreadGroup, await_here, poll_up_to, rest};

pub type Handle = Arc<Replicator<LoudLog>>;
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

const WAITERS: usize = 3;

pub struct World {
    pub case: Case,
    pub sky: Sky,
    pub clients: Vec<Client>,
    /// Whether all trouble has ended.
    calm: AtomicBool,
    /// Whether upstream has said something that was not so, as at its worst it may.
    pub deceived: AtomicBool,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    wrong: Mutex<Option<String>>,
    pub commits: Mutex<Vec<Arc<Commit>>>,
    /// Tasks that are not polled any more.
    tasks: Mutex<Vec<Task>>,
    /// Where each thread is in its script.
    at: Vec<AtomicUsize>,
    /// What each waiter waits for.
    pub waits_for: [Mutex<String>; WAITERS],
}

pub struct Client {
    pub id: u8,
    pub setup: Setup,
    /// `None` before it begins, and when it has ended.
    pub slot: RwLock<Option<Handle>>,
    pub ring: Arc<Ring>,
    next_number: AtomicU16,
    pub resets: AtomicU64,
}

impl Client {
    pub fn handle(&self) -> Option<Handle> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A commit, and what has become of it.
pub struct Commit {
    pub client: usize,
    /// Which thread made it.
    pub thread: usize,
    pub events: Vec<Event>,
    pub ticket: Ticket<Position>,
    settled: Mutex<Option<Settled<Position>>>,
}

impl Commit {
    /// It has settled so: once and for all.
    pub fn settles(&self, settled: Settled<Position>, world: &World) {
        let first = *self.settled.lock().unwrap().get_or_insert(settled);
        world.unless(first == settled, || format!("{:?} settled as {first:?}, and as {settled:?}", self.events));
    }
}

/// What one of the waiters is to wait for.
enum Waiting {
    Ticket(Arc<Commit>, Wait),
    Flush(usize, Wait),
}

struct Panics(Weak<World>);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        if let Some(world) = self.0.upgrade() {
            world.count("a waker that panics");
        }
        panic_any(INJECTED);
    }
}

fn panics(world: &Arc<World>) -> Waker {
    Waker::from(Arc::new(Panics(Arc::downgrade(world))))
}

impl World {
    pub fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
    }

    pub fn unless(&self, holds: bool, wrong: impl FnOnce() -> String) {
        if !holds {
            let wrong = wrong();
            self.wrong.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(wrong);
        }
    }

    /// One call in so many goes wrong; none for 0.
    pub fn weather(&self) -> u64 {
        if self.calm.load(Ordering::SeqCst) { 0 } else { self.case.weather }
    }

    pub fn deceives(&self) {
        self.deceived.store(true, Ordering::SeqCst);
    }

    pub fn end_trouble(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    pub fn commits(&self) -> MutexGuard<'_, Vec<Arc<Commit>>> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does it, and goes on if a waker has panicked, or a log that is not called otherwise.
    pub fn patiently<T>(&self, what: &'static str, does: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(does)) {
            Ok(done) => Some(done),
            Err(payload) if payload.downcast_ref::<&str>() == Some(&INJECTED) => {
                self.count(what);
                None
            }
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Forgets the tasks whose wakers panic.
    pub fn forget_tasks(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        self.patiently("a waker's panic in a call", || drop(tasks));
    }

    pub fn log(&self, client: &Client) -> LoudLog {
        let (chance, seed) = (Chance::new(self.case.chance ^ u64::from(client.id) << 32), self.case.loud);
        let ring = Arc::clone(&client.ring);
        let world = ring.world.get().cloned();
        let mood = move |_| {
            let Some(world) = world.as_ref().and_then(Weak::upgrade) else { return };
            if seed && world.weather() > 0 && chance.below(world.weather() * 8) == 0 {
                world.count("a log's panic");
                panic_any(INJECTED);
            }
        };
        LoudLog { log: AnyLog::new(client.setup.kind, Arc::new(mood)), ring }
    }
}

pub fn run(case: &Case, seen: &Seen) -> TestCaseResult {
    let clients = case.clients.iter().zip(0..).map(|(setup, id)| Client {
        id,
        setup: *setup,
        slot: RwLock::default(),
        ring: Arc::new(Ring::new(id.into())),
        next_number: AtomicU16::new(0),
        resets: AtomicU64::new(0),
    });
    let world = Arc::new(World {
        case: case.clone(),
        sky: Sky::default(),
        clients: clients.collect(),
        calm: AtomicBool::new(false),
        deceived: AtomicBool::new(false),
        counts: Mutex::default(),
        wrong: Mutex::default(),
        commits: Mutex::default(),
        tasks: Mutex::default(),
        at: case.scripts.iter().map(|_| AtomicUsize::new(0)).collect(),
        waits_for: Default::default(),
    });
    let outcome = run_in(&world, seen);
    let counts = world.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    counts.iter().for_each(|(what, count)| (0..*count).for_each(|_| seen.count(what)));
    let wrong = world.wrong.lock().unwrap_or_else(PoisonError::into_inner).take();
    let outcome = match wrong {
        Some(wrong) => Err(TestCaseError::fail(wrong)),
        None => outcome,
    };
    if outcome.is_err() {
        // What does not end is left behind: to drop it is to wait for it.
        std::mem::forget(world);
    }
    outcome
}

fn run_in(world: &Arc<World>, seen: &Seen) -> TestCaseResult {
    for client in &world.clients {
        begin(client, world);
    }
    let (sender, receiver) = channel();
    let (mut scripts, mut waiters) = (ThreadGroup::new(), ThreadGroup::new());
    for (thread, script) in world.case.scripts.iter().cloned().enumerate() {
        let (world, sender) = (Arc::clone(world), sender.clone());
        scripts.start(move || Thread { thread, world: &world, waits: &sender, listens: BTreeMap::new() }.run(&script));
    }
    drop(sender);
    let receiver = Arc::new(Mutex::new(receiver));
    for waiter in 0..WAITERS {
        let (world, receiver) = (Arc::clone(world), Arc::clone(&receiver));
        waiters.start(move || wait_for_all(waiter, &world, &receiver));
    }
    let deadline = Instant::now() + seen.patience();
    if !scripts.all_end(deadline).map_err(TestCaseError::fail)? {
        let stands = scripts.missing().into_iter().map(|thread| {
            let at = world.at[thread].load(Ordering::Relaxed);
            format!("thread {thread} is still at step {at}, {:?}", world.case.scripts[thread][at])
        });
        return Err(told(stands.collect::<Vec<_>>().join("; "), world));
    }
    finale::run(world, &mut waiters, seen)
}

/// What does not come, and how everything stands. A thread that does not answer is not waited for.
pub fn told(what: String, world: &Arc<World>) -> TestCaseError {
    let mut text = format!("{what}\nupstream's head is {}", world.sky.head());
    for client in 0..world.clients.len() {
        let (sender, receiver) = channel();
        let theirs = Arc::clone(world);
        std::thread::spawn(move || {
            let status = theirs.clients[client].handle().map(|replicator| format!("{:?}", replicator.status()));
            let _heard = sender.send(status);
        });
        let status = match receiver.recv_timeout(Duration::from_secs(1)) {
            Ok(status) => status.unwrap_or_else(|| "it has ended".into()),
            Err(_) => "it does not answer".into(),
        };
        text.push_str(&format!("\nclient {client}: {status}"));
    }
    TestCaseError::fail(text)
}

fn begin(client: &Client, world: &Arc<World>) {
    let Setup { live, idempotent, batch, page, .. } = client.setup;
    let _first = client.ring.world.set(if world.case.loud { Arc::downgrade(world) } else { Weak::new() });
    let way = Way {
        world: Arc::clone(world),
        ring: Arc::clone(&client.ring),
        chance: Chance::new(world.case.chance.rotate_left(u32::from(client.id) + 1)),
        live,
        idempotent,
        page: usize::from(page),
        pushing: AtomicBool::new(false),
        pulling: AtomicBool::new(false),
        late: Mutex::default(),
    };
    let micros = Duration::from_micros;
    let builder = Replicator::builder(world.log(client), way)
        .push_batch(NonZeroUsize::new(batch.into()).expect("from 1 on"))
        .backoff(Backoff::new(micros(300), micros(3_000)))
        .catch_up_grace(micros(300))
        .resend(if idempotent { Resend::Idempotent } else { Resend::AfterCatchUp });
    let builder = if live { builder } else { builder.one_shot_pull() };
    let replicator = builder.spawn().expect("there are threads");
    *client.slot.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(replicator));
}

/// A thread and its script.
struct Thread<'a> {
    thread: usize,
    world: &'a Arc<World>,
    waits: &'a Sender<Waiting>,
    /// What it listens to, for each client.
    listens: BTreeMap<usize, Listener>,
}

struct Listener {
    updates: Updates<<LoudLog as Log>::Entry, <LoudLog as Log>::Position>,
    at: Position,
}

impl Thread<'_> {
    fn run(&mut self, script: &[Step]) {
        for (number, step) in script.iter().enumerate() {
            self.world.at[self.thread].store(number, Ordering::Relaxed);
            let which = usize::from(step.client) % self.world.clients.len();
            let Some(replicator) = self.world.clients[which].handle() else { continue };
            let world = self.world;
            world.patiently("a waker's panic in a call", || self.step(step.does, which, &replicator));
        }
    }

    fn step(&mut self, does: Does, which: usize, replicator: &Handle) {
        let (world, client) = (self.world, &self.world.clients[which]);
        match does {
            Does::Commit { count, special, wait } => self.commit(which, replicator, count.into(), special, wait),
            Does::Flush { micros } => {
                let _flushed = replicator.flush(Duration::from_micros(micros.into()));
            }
            Does::FlushAs(wait) => {
                let _sent = self.waits.send(Waiting::Flush(which, wait));
            }
            Does::Pause(direction, micros) => {
                replicator.pause(direction);
                rest(micros.into());
                replicator.resume(direction);
            }
            Does::RetryNow => replicator.retry_now(),
            Does::Override => replicator.override_retry_after(),
            Does::Restart => replicator.restart(),
            Does::Reset => {
                client.resets.fetch_add(1, Ordering::SeqCst);
                world.count("reset");
                drop(replicator.reset(world.log(client)));
            }
            Does::Subscribe => {
                if let Some(updates) = world.patiently("a log's panic", || replicator.updates()) {
                    let at = updates.snapshot.upstream_head;
                    self.listens.insert(which, Listener { updates, at });
                }
            }
            Does::Read(most) => self.read(which, most),
            Does::Look => look(&replicator.status(), world),
            Does::Rest(micros) => rest(micros.into()),
        }
    }

    fn commit(&mut self, which: usize, replicator: &Handle, count: u16, special: bool, wait: Wait) {
        let (world, client) = (self.world, &self.world.clients[which]);
        let first = client.next_number.fetch_add(count, Ordering::SeqCst);
        let last = first + count - 1;
        let event = |number| Event {
            client: client.id,
            life: 0,
            number,
            local_only: special && number == last && client.setup.kind == Kind::State,
            fragile: special && number == last && client.setup.kind == Kind::Fragile,
        };
        let events: Vec<_> = (first..=last).map(event).collect();
        let loud = events.iter().map(|event| LoudEvent { event: *event, bell: Bell::new(&client.ring) });
        let ticket = match replicator.commit(loud.collect()) {
            Ok(ticket) => ticket,
            Err(CommitError::Panicked { .. }) => return world.count("a commit refused by a panic"),
            Err(error) => return world.unless(false, || format!("a commit is refused: {error}")),
        };
        world.count("commit");
        let settled = Mutex::new(None);
        let commit = Arc::new(Commit { client: which, thread: self.thread, events, ticket, settled });
        world.commits().push(Arc::clone(&commit));
        if wait != Wait::Not {
            let _sent = self.waits.send(Waiting::Ticket(commit, wait));
        }
    }

    /// Updates follow one on the other, and the first on the snapshot.
    fn read(&mut self, which: usize, most: u8) {
        let world = self.world;
        let Some(Listener { updates, at }) = self.listens.get_mut(&which) else { return };
        for _ in 0..most {
            let update = match updates.receiver.try_recv() {
                Ok(update) => update,
                Err(RecvError::Empty) => return,
                Err(end) => {
                    let resets = world.clients[which].resets.load(Ordering::SeqCst);
                    world.unless(end == RecvError::Replaced && resets > 0, || format!("updates end: {end}"));
                    self.listens.remove(&which);
                    return;
                }
            };
            world.count("update read");
            let (new, confirmed) = match &update.merged {
                Merged::Advance { new, confirmed } => (new, confirmed),
                Merged::Rebase { new, confirmed, .. } => {
                    world.count("rebase");
                    (new, confirmed)
                }
            };
            let sent = confirmed.iter().filter(|entry| !entry.entry.event.local_only).chain(new);
            let mut positions: Vec<_> = sent.map(|entry| entry.entry.seq.global).collect();
            positions.sort_unstable();
            let expected = at.global + 1..=at.global + positions.len() as u64;
            let follows =
                expected.eq(positions.iter().copied()) && positions.last() == Some(&update.upstream_head.global);
            world.unless(follows, || format!("after {at}, {positions:?} up to {}", update.upstream_head));
            *at = update.upstream_head;
        }
    }
}

/// Whether a status is one that can be.
pub fn look(status: &Status<Position>, world: &World) {
    let nothing = status.waiting_on == WaitingOn::Nothing;
    world.unless(nothing == (status.pending == 0), || format!("{status:?}"));
    let stopped = status.waiting_on == WaitingOn::Stopped;
    world.unless(!stopped, || format!("it has stopped by itself: {status:?}"));
}

/// Waits for one thing after the other, until there will be nothing any more.
fn wait_for_all(waiter: usize, world: &Arc<World>, receiver: &Mutex<Receiver<Waiting>>) {
    loop {
        let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        *world.waits_for[waiter].lock().unwrap_or_else(PoisonError::into_inner) = match &next {
            Ok(Waiting::Ticket(commit, wait)) => format!("{:?}: {wait:?}", commit.events),
            Ok(Waiting::Flush(client, wait)) => format!("a flush of client {client}: {wait:?}"),
            Err(_) => String::new(),
        };
        match next {
            Ok(Waiting::Ticket(commit, wait)) => {
                world.patiently("a waker's panic in a call", || wait_for(&commit, wait, world));
            }
            Ok(Waiting::Flush(which, wait)) => {
                world.patiently("a waker's panic in a call", || flush(which, wait, world));
            }
            Err(_) => return,
        }
    }
}

fn wait_for(commit: &Arc<Commit>, wait: Wait, world: &Arc<World>) {
    let ring = &world.clients[commit.client].ring;
    let task = || -> Task {
        let (commit, world) = (Arc::clone(commit), Arc::downgrade(world));
        Box::pin(async move {
            let settled = commit.ticket.wait_async().await;
            if let Some(world) = world.upgrade() {
                commit.settles(settled, &world);
            }
        })
    };
    match wait {
        Wait::Not => {}
        Wait::Blocks => commit.settles(commit.ticket.wait(), world),
        Wait::Awaits => await_here(task()),
        Wait::Times(micros) => {
            if let Waited::Ready(settled) = commit.ticket.wait_timeout(Duration::from_micros(micros.into())) {
                commit.settles(settled, world);
            }
        }
        // The first poll is the last if it has to wait: it is not known when it settles.
        Wait::Dropped(_) => drop(poll_up_to(1, task())),
        Wait::Panics => leave(task(), &panics(world), world),
        Wait::CallsBack => leave(task(), &Waker::from(Arc::new(LoudWaker(Arc::clone(ring)))), world),
    }
}

fn flush(which: usize, wait: Wait, world: &Arc<World>) {
    let client = &world.clients[which];
    let Some(replicator) = client.handle() else { return };
    let drains = client.setup.ends == Ends::Drained;
    let task = || -> Task {
        let replicator = Arc::clone(&replicator);
        Box::pin(async move { drop(replicator.flush_async().await) })
    };
    match wait {
        Wait::Blocks | Wait::Awaits if !drains => drop(replicator.flush(Duration::from_micros(500))),
        // Far longer than it may take.
        Wait::Blocks => drop(replicator.flush(Duration::from_secs(60))),
        Wait::Awaits => await_here(task()),
        Wait::Not | Wait::Dropped(_) => drop(poll_up_to(1, task())),
        Wait::Times(micros) => drop(replicator.flush(Duration::from_micros(micros.into()))),
        Wait::Panics => leave(task(), &panics(world), world),
        Wait::CallsBack => leave(task(), &Waker::from(Arc::new(LoudWaker(Arc::clone(&client.ring)))), world),
    }
}

/// Polls a task once, and leaves it.
fn leave(mut task: Task, waker: &Waker, world: &World) {
    if task.as_mut().poll(&mut Context::from_waker(waker)).is_pending() {
        world.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }
}
