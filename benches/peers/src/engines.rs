//! What keeps events until upstream has confirmed them: the replicator, and a loop as one writes it by hand.

use std::collections::VecDeque;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use latchwork::log::Log;
use latchwork::sync_state::Event;
use latchwork::upstream::{Batch, Page, PullError, PushError, Upstream};
use latchwork::{Interrupt, Replicator, Settled, Ticket};
use parking_lot::{Condvar, Mutex};

pub const BATCH: usize = 50;

#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    id: u64,
    body: [u64; 2],
}

impl Event for Edit {
    fn is_local_only(&self) -> bool {
        false
    }
    fn is_same_as(&self, other: &Self) -> bool {
        self == other
    }
}

pub fn edit(id: u64) -> Edit {
    Edit { id, body: [id; 2] }
}

/// An upstream that takes whatever comes, at once, and has nothing to give.
#[derive(Clone, Default)]
pub struct AtOnce(Option<Arc<Allowance>>);

/// How many more events it takes.
#[derive(Default)]
struct Allowance {
    left: Mutex<usize>,
    more: Condvar,
}

impl AtOnce {
    /// Takes no more events than it is allowed to: a thread that brings another one waits.
    pub fn if_allowed() -> Self {
        Self(Some(Arc::default()))
    }

    pub fn allow(&self, events: usize) {
        let Some(allowance) = &self.0 else { return };
        let mut left = allowance.left.lock();
        *left = left.saturating_add(events);
        allowance.more.notify_all();
    }

    fn take<T>(&self, batch: &[T]) {
        black_box(batch);
        let Some(allowance) = &self.0 else { return };
        let mut left = allowance.left.lock();
        allowance.more.wait_while(&mut left, |left| *left < batch.len());
        *left -= batch.len();
    }
}

impl<L: Log> Upstream<L> for AtOnce {
    fn push(&self, batch: &Batch<L>, _: &Interrupt) -> Result<(), PushError<L::Position>> {
        self.take(&batch.entries);
        Ok(())
    }

    fn pull<'a>(
        &'a self,
        _: L::Position,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<L::Entry>, PullError>> + 'a {
        std::iter::from_fn(|| {
            interrupt.wait();
            None
        })
    }
}

/// Keeps events until upstream has confirmed them.
pub trait Engine: Sized {
    type Ticket;
    fn start(upstream: AtOnce) -> Self;
    fn commit(&self, events: Vec<Edit>) -> Self::Ticket;
    /// Waits until upstream has confirmed what was committed.
    fn confirmed(&self, ticket: &Self::Ticket);
}

/// The replicator, on a log.
pub struct Ours<L: Log>(pub Replicator<L>);

impl<L: Log<Event = Edit> + Default> Engine for Ours<L> {
    type Ticket = Ticket<L::Position>;

    fn start(upstream: AtOnce) -> Self {
        let batch = NonZeroUsize::new(BATCH).expect("it is fifty");
        let started = Replicator::builder(L::default(), upstream).push_batch(batch).spawn();
        Self(started.expect("there are threads"))
    }

    fn commit(&self, events: Vec<Edit>) -> Self::Ticket {
        self.0.commit(events).unwrap_or_else(|error| panic!("{error}"))
    }

    fn confirmed(&self, ticket: &Self::Ticket) {
        assert!(matches!(ticket.wait(), Settled::Confirmed(_)));
    }
}

/// The loop: a queue under a lock, and a thread that a channel wakes. It knows of no failures, merges or pulls.
pub struct ByHand<T: Tells> {
    shared: Arc<Shared<T>>,
    wake: Option<Sender<()>>,
    pusher: Option<JoinHandle<()>>,
}

/// How the loop tells what became of a commit.
pub trait Tells: Default + Send + 'static {
    type Ticket;
    /// Events were committed; the last of them has this number.
    fn committed(&mut self, last: u64) -> Self::Ticket;
    /// So many events are confirmed.
    fn confirmed(&mut self, confirmed: u64);
    fn wait(shared: &Shared<Self>, ticket: &Self::Ticket);
}

pub struct Shared<T> {
    upstream: AtOnce,
    queue: Mutex<Queue<T>>,
    settled: Condvar,
}

#[derive(Default)]
pub struct Queue<T> {
    pending: VecDeque<Edit>,
    confirmed: u64,
    tells: T,
}

/// A channel for each commit, which tells the last event's number: a ticket as this crate's is one.
#[derive(Default)]
pub struct Each(VecDeque<(u64, Sender<u64>)>);

impl Tells for Each {
    type Ticket = Receiver<u64>;

    fn committed(&mut self, last: u64) -> Receiver<u64> {
        let (sender, receiver) = bounded(1);
        self.0.push_back((last, sender));
        receiver
    }

    fn confirmed(&mut self, confirmed: u64) {
        while self.0.front().is_some_and(|(last, _)| *last <= confirmed) {
            let Some((last, ticket)) = self.0.pop_front() else { return };
            // It may not be waited for any more.
            let _told = ticket.send(last);
        }
    }

    fn wait(_: &Shared<Self>, ticket: &Receiver<u64>) {
        ticket.recv().expect("every commit is confirmed");
    }
}

/// Nothing for each commit: a waiter compares its number with how many are confirmed. Enough as long as nothing
/// can be rejected.
#[derive(Default)]
pub struct Counts;

impl Tells for Counts {
    type Ticket = u64;

    fn committed(&mut self, last: u64) -> u64 {
        last
    }

    fn confirmed(&mut self, _: u64) {}

    fn wait(shared: &Shared<Self>, ticket: &u64) {
        let mut queue = shared.queue.lock();
        while queue.confirmed < *ticket {
            shared.settled.wait(&mut queue);
        }
    }
}

/// An event with its number, as it travels.
struct Entry {
    _number: u64,
    _event: Edit,
}

impl<T: Tells> Shared<T> {
    fn push(&self, wake: &Receiver<()>) {
        for () in wake {
            while let Some(batch) = self.batch() {
                self.upstream.take(&batch);
                let mut queue = self.queue.lock();
                queue.pending.drain(..batch.len());
                queue.confirmed += batch.len() as u64;
                let confirmed = queue.confirmed;
                queue.tells.confirmed(confirmed);
                drop(queue);
                self.settled.notify_all();
            }
        }
    }

    fn batch(&self) -> Option<Vec<Entry>> {
        let queue = self.queue.lock();
        if queue.pending.is_empty() {
            return None;
        }
        let events = queue.pending.iter().take(BATCH).cloned();
        Some(
            (queue.confirmed + 1..)
                .zip(events)
                .map(|(number, event)| Entry { _number: number, _event: event })
                .collect(),
        )
    }
}

impl<T: Tells> ByHand<T> {
    fn wake(&self) {
        // Full means that it is to look anyway.
        let _woken = self.wake.as_ref().expect("it has not been dropped").try_send(());
    }
}

impl<T: Tells> Engine for ByHand<T> {
    type Ticket = T::Ticket;

    fn start(upstream: AtOnce) -> Self {
        let shared = Arc::new(Shared { upstream, queue: Mutex::default(), settled: Condvar::new() });
        let (wake, woken) = bounded(1);
        let pusher = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.push(&woken)
        });
        Self { shared, wake: Some(wake), pusher: Some(pusher) }
    }

    fn commit(&self, events: Vec<Edit>) -> T::Ticket {
        let mut queue = self.shared.queue.lock();
        queue.pending.extend(events);
        let last = queue.confirmed + queue.pending.len() as u64;
        let ticket = queue.tells.committed(last);
        drop(queue);
        self.wake();
        ticket
    }

    fn confirmed(&self, ticket: &T::Ticket) {
        T::wait(&self.shared, ticket);
    }
}

impl<T: Tells> Drop for ByHand<T> {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(pusher) = self.pusher.take() {
            pusher.join().expect("the pusher does not panic");
        }
    }
}
