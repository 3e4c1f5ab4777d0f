//! What keeps events until upstream has confirmed them, in tasks: the driver, and a loop as one writes it by hand on tokio.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use latchwork::log::{Log, MemoryEntry, MemoryLog};
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, More, Page, PullError, PushError};
use latchwork::{Replicator, Settled, Ticket};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::engines::{BATCH, Edit, edit};

/// An upstream in memory, for both: it takes what comes, at once, and has nothing to give unless it is scripted.
#[derive(Clone, Default)]
pub struct Shared(Option<Arc<Script>>);

/// Rejects a push when told to, and gives out another client's event when told to.
#[derive(Default)]
pub struct Script {
    reject: AtomicBool,
    head: AtomicU64,
    page: Notify,
    /// When the last page was given out.
    paged: Mutex<Option<Instant>>,
    /// When the last push began.
    began: Mutex<Option<Instant>>,
    pushed: Notify,
}

/// A push was rejected, since others were faster.
#[derive(Debug)]
pub struct Overtaken;

impl Shared {
    pub fn scripted() -> (Self, Arc<Script>) {
        let script = Arc::new(Script::default());
        (Self(Some(Arc::clone(&script))), script)
    }

    #[expect(clippy::unused_async, reason = "a network is slower")]
    async fn take<T>(&self, batch: &[T]) -> Result<(), Overtaken> {
        black_box(batch);
        let Some(script) = &self.0 else { return Ok(()) };
        *script.began.lock().expect("no thread panics") = Some(Instant::now());
        script.pushed.notify_one();
        if script.reject.swap(false, Ordering::Relaxed) {
            return Err(Overtaken);
        }
        script.head.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// The number of another client's event.
    async fn page(&self) -> u64 {
        let Some(script) = &self.0 else { return pending().await };
        // In a box, since most of those who may wait for one never do.
        Box::pin(script.page.notified()).await;
        let number = script.head.fetch_add(1, Ordering::Relaxed) + 1;
        *script.paged.lock().expect("no thread panics") = Some(Instant::now());
        number
    }
}

impl Script {
    /// Nanoseconds from a page to the push that it lets go.
    pub async fn once(&self, engine: &impl Engine, event: u64) -> f64 {
        self.reject.store(true, Ordering::Relaxed);
        let ticket = engine.commit(vec![edit(event)]);
        self.pushed.notified().await;
        // Until all tasks sleep.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.page.notify_one();
        self.pushed.notified().await;
        ticket.await;
        let [paged, began] =
            [&self.paged, &self.began].map(|at| at.lock().expect("no thread panics").take().expect("it has come"));
        (began - paged).as_nanos() as f64
    }
}

impl<L: Log> AsyncUpstream<L> for Shared
where
    Feed: AsyncPull<L>,
{
    type Pull<'a> = Feed;

    async fn push(&self, batch: &Batch<L>) -> Result<(), PushError<L::Position>> {
        self.take(&batch.entries).await.map_err(|Overtaken| PushError::Behind { head: None })
    }

    fn pull(&self, _: L::Position) -> Feed {
        Feed(self.clone())
    }
}

pub struct Feed(Shared);

impl AsyncPull<MemoryLog<Edit>> for Feed {
    async fn next_page(&mut self) -> Option<Result<Page<MemoryEntry<Edit>>, PullError>> {
        let position = self.0.page().await;
        Some(Ok(Page { entries: vec![foreign(position)], more: More::Unknown }))
    }
}

/// Another client's event.
fn foreign(position: u64) -> MemoryEntry<Edit> {
    MemoryEntry { position, event: edit(u64::MAX - position) }
}

/// Keeps events until upstream has confirmed them. It is started in a runtime, and ends as it is dropped.
pub trait Engine: Sized + Send + Sync + 'static {
    fn start(upstream: Shared) -> Self;
    /// What is over once upstream has confirmed them.
    fn commit(&self, events: Vec<Edit>) -> impl Future<Output = ()> + Send + use<Self>;
}

/// The replicator, and its driver in a task.
pub struct Ours(Replicator<MemoryLog<Edit>>);

impl Engine for Ours {
    fn start(upstream: Shared) -> Self {
        let batch = NonZeroUsize::new(BATCH).expect("it is fifty");
        let builder = Replicator::builder(MemoryLog::new(), upstream).push_batch(batch);
        let (replicator, driver) = builder.catch_up_grace(Duration::from_secs(60)).build_async(tokio::time::sleep);
        tokio::spawn(driver);
        Self(replicator)
    }

    fn commit(&self, events: Vec<Edit>) -> impl Future<Output = ()> + Send + use<> {
        let ticket: Ticket<u64> = self.0.commit(events).unwrap_or_else(|error| panic!("{error}"));
        async move { assert!(matches!(ticket.await, Settled::Confirmed(_))) }
    }
}

/// The loop: a channel for commits, in each of them one that tells when it is confirmed, and one task that selects. It knows
/// of no failures, and takes what it pulls for others' events: it counts them, or, if it `MERGES`, looks for its own and hands
/// them on.
pub struct ByHand<const MERGES: bool> {
    commits: mpsc::UnboundedSender<Commit>,
    /// Who is told what was pulled. None looks.
    _told: mpsc::UnboundedReceiver<Vec<MemoryEntry<Edit>>>,
}

struct Commit {
    events: Vec<Edit>,
    /// Tells the last event's number.
    confirmed: oneshot::Sender<u64>,
}

impl<const MERGES: bool> Engine for ByHand<MERGES> {
    fn start(upstream: Shared) -> Self {
        let (commits, committed) = mpsc::unbounded_channel();
        let (news, told) = mpsc::unbounded_channel();
        tokio::spawn(replicate::<MERGES>(upstream, committed, news));
        Self { commits, _told: told }
    }

    fn commit(&self, events: Vec<Edit>) -> impl Future<Output = ()> + Send + use<MERGES> {
        let (confirmed, ticket) = oneshot::channel();
        let sent = self.commits.send(Commit { events, confirmed });
        assert!(sent.is_ok(), "the loop runs as long as there is a sender");
        async move { assert!(ticket.await.is_ok()) }
    }
}

async fn replicate<const MERGES: bool>(
    upstream: Shared,
    mut commits: mpsc::UnboundedReceiver<Commit>,
    news: mpsc::UnboundedSender<Vec<MemoryEntry<Edit>>>,
) {
    let mut queue = Queue::default();
    let mut behind = false;
    loop {
        while let Ok(commit) = commits.try_recv() {
            queue.append(commit);
        }
        if queue.pending.is_empty() || behind {
            tokio::select! {
                biased;
                commit = commits.recv() => match commit {
                    Some(commit) => queue.append(commit),
                    None => return,
                },
                number = upstream.page() => {
                    queue.pulled::<MERGES>(number, &news);
                    behind = false;
                }
            }
            continue;
        }
        let (batch, base) = (queue.batch(), queue.head);
        let mut push = pin!(upstream.take(&batch));
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut push => break answer,
                number = upstream.page() => queue.pulled::<MERGES>(number, &news),
                commit = commits.recv() => match commit {
                    Some(commit) => queue.append(commit),
                    None => return,
                },
            }
        };
        match answer {
            Ok(()) => queue.confirm(batch.len()),
            Err(Overtaken) => behind = queue.head == base,
        }
    }
}

#[derive(Default)]
struct Queue {
    pending: VecDeque<Edit>,
    /// How many of the pending events are of this commit or of those before it, counted from the first there ever was.
    tickets: VecDeque<(u64, oneshot::Sender<u64>)>,
    /// The number of the last event that upstream has ordered.
    head: u64,
    confirmed: u64,
}

/// An event with its number, as it travels.
struct Entry {
    _number: u64,
    _event: Edit,
}

impl Queue {
    fn append(&mut self, commit: Commit) {
        self.pending.extend(commit.events);
        self.tickets.push_back((self.confirmed + self.pending.len() as u64, commit.confirmed));
    }

    fn batch(&self) -> Vec<Entry> {
        let events = self.pending.iter().take(BATCH).cloned();
        (self.head + 1..).zip(events).map(|(number, event)| Entry { _number: number, _event: event }).collect()
    }

    /// A page has come, with one event of this number.
    fn pulled<const MERGES: bool>(&mut self, number: u64, news: &mpsc::UnboundedSender<Vec<MemoryEntry<Edit>>>) {
        self.head = number;
        if MERGES {
            let page = vec![foreign(number)];
            let own = page.iter().zip(&self.pending).take_while(|(entry, event)| entry.event == **event).count();
            self.head -= own as u64;
            self.confirm(own);
            // Its reader may have gone.
            let _told = news.send(page);
        }
    }

    fn confirm(&mut self, count: usize) {
        self.pending.drain(..count);
        self.head += count as u64;
        self.confirmed += count as u64;
        while self.tickets.front().is_some_and(|(last, _)| *last <= self.confirmed) {
            let Some((last, confirmed)) = self.tickets.pop_front() else { return };
            // It may not be waited for any more.
            let _told = confirmed.send(self.head - (self.confirmed - last));
        }
    }
}
