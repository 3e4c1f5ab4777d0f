//! What the protocol and the replicator do for each commit, push and page, with 10, 10,000 and 1,000,000 events pending.
//!
//! `cargo run --release -p merge-bench --bin steps [rounds]`. In the rows of the replicator a push step is the time
//! between upstream's answer to a push and its next push; an advance that between a page and the call for the next one.

use std::hint::black_box;
use std::iter;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use latchwork::log::Log;
use latchwork::protocol::{Direction, Next, Protocol, Settings};
use latchwork::sync_state::{Entry, Event, Position, SeqNum, SyncState};
use latchwork::upstream::{Batch, More, Page, PullError, PushError, Upstream};
use latchwork::{Interrupt, Replicator};
use merge_bench::print_row;

const SIZES: [usize; 3] = [10, 10_000, 1_000_000];
/// Events in a batch and in a page.
const BATCH: usize = 2;
/// So many steps are measured in a row.
const STEPS: usize = 4;

struct Edit {
    id: u64,
    _body: [u64; 3],
}

impl Event for Edit {
    fn is_same_as(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// Events are shared, as large ones would be.
type State = SyncState<Arc<Edit>>;

fn edit(id: usize) -> Arc<Edit> {
    Arc::new(Edit { id: id as u64, _body: [0; 3] })
}

fn with_pending(len: usize) -> State {
    let entries = State::default().number((0..len).map(edit)).expect("there are numbers");
    let head = entries.last().map_or(SeqNum::ROOT, |entry| entry.seq);
    State::rehydrate(SeqNum::ROOT, head, entries).expect("they are a log")
}

fn batch() -> NonZeroUsize {
    NonZeroUsize::new(BATCH).expect("it is not zero")
}

fn protocol(len: usize) -> Protocol<State> {
    let mut settings = Settings::default();
    settings.batch = batch();
    Protocol::new(with_pending(len), settings)
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn refill(protocol: &mut Protocol<State>, len: usize) {
    while protocol.log().pending_len() < len {
        protocol.commit(vec![edit(len)]).expect("there are numbers");
    }
}

fn commit_one(protocol: &mut Protocol<State>) -> Duration {
    let events = vec![edit(0)];
    time(|| drop(black_box(protocol.commit(events))))
}

/// Asks for a batch and reports that it was accepted.
fn push_step(protocol: &mut Protocol<State>) -> Duration {
    time(|| {
        let Next::Do(batch) = protocol.next_push(Duration::ZERO) else { unreachable!("something is pending") };
        drop(black_box(protocol.push_ended(batch, Ok(()), 0, Duration::ZERO)));
    })
}

/// A page with the first pending events.
fn advance(protocol: &mut Protocol<State>, pull: u64) -> Duration {
    let entries = Log::batch(protocol.log(), batch());
    let page = Page { entries, more: More::Unknown };
    time(|| drop(black_box(protocol.page_pulled(pull, page, 0, Duration::ZERO))))
}

fn begin_pull(protocol: &mut Protocol<State>) -> u64 {
    match protocol.next_pull(Duration::ZERO) {
        Next::Do((ticket, _)) => ticket,
        Next::Wait { .. } | Next::Stop => unreachable!("a pull begins at the start"),
    }
}

/// An upstream that takes the time between its calls.
struct Stepped {
    /// What pulls give out; `None` to measure pushes instead.
    pages: Option<Vec<Entry<Arc<Edit>>>>,
    steps: Sender<Instant>,
}

impl Stepped {
    fn note(&self) {
        // The receiver is gone once enough has been measured.
        let _ = self.steps.send(Instant::now());
    }
}

impl Upstream<State> for Stepped {
    fn push(&self, batch: &Batch<State>, interrupt: &Interrupt) -> Result<(), PushError<Position>> {
        if self.pages.is_some() {
            interrupt.wait();
            return Err(PushError::Unavailable { retry_after: None, error: "interrupted".into() });
        }
        black_box(batch);
        self.note();
        self.note();
        Ok(())
    }

    fn pull<'a>(
        &'a self,
        _: Position,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<Entry<Arc<Edit>>>, PullError>> + 'a {
        let mut chunks = self.pages.iter().flat_map(|entries| entries.chunks(BATCH));
        iter::from_fn(move || {
            self.note_page();
            let Some(entries) = chunks.next() else {
                interrupt.wait();
                return None;
            };
            let page = Page { entries: entries.to_vec(), more: More::Unknown };
            self.note_page();
            Some(Ok(page))
        })
    }
}

impl Stepped {
    fn note_page(&self) {
        if self.pages.is_some() {
            self.note();
        }
    }
}

/// The time of so many steps of a new replicator: each pair of notes is upstream's call and its answer.
fn steps(log: State, pull: bool) -> Duration {
    let entries = Log::batch(&log, NonZeroUsize::new(BATCH * STEPS).expect("it is not zero"));
    let (sender, notes): (_, Receiver<Instant>) = channel();
    let upstream = Stepped { pages: pull.then_some(entries), steps: sender };
    let replicator = Replicator::builder(log, upstream).push_batch(batch()).spawn().expect("there are threads");
    let notes: Vec<_> = notes.iter().take(1 + 2 * STEPS).collect();
    drop(replicator);
    // The first call has nothing before it. From its answer on: answer, next call, answer, next call….
    let answered_and_called = notes[1..].chunks_exact(2);
    answered_and_called.map(|pair| pair[1] - pair[0]).sum()
}

fn main() {
    let rounds = std::env::args().nth(1).map_or(31, |text| text.parse().expect("a number of rounds"));
    println!("min / median / max of {rounds} rounds; {BATCH} events in a batch\n");
    println!("| | | 10 pending | 10,000 pending | 1,000,000 pending |");
    println!("| --- | --- | --- | --- | --- |");
    let row = |name, per, work: &mut dyn FnMut(usize) -> Duration| print_row(rounds, name, "ns", [per; 3], work);

    let mut protocols = SIZES.map(protocol);
    row("protocol: commit of one", 1, &mut |size| commit_one(&mut protocols[size]));
    let mut protocols = SIZES.map(protocol);
    row("protocol: push step", 1, &mut |size| {
        let took = push_step(&mut protocols[size]);
        refill(&mut protocols[size], SIZES[size]);
        took
    });
    let mut protocols = SIZES.map(protocol);
    let pulls = protocols.each_mut().map(begin_pull);
    row("protocol: advance of one batch", 1, &mut |size| {
        let took = advance(&mut protocols[size], pulls[size]);
        refill(&mut protocols[size], SIZES[size]);
        took
    });

    let replicators = SIZES.map(|len| {
        let (steps, _) = channel();
        let upstream = Stepped { pages: Some(Vec::new()), steps };
        let replicator = Replicator::builder(with_pending(len), upstream).spawn().expect("there are threads");
        replicator.pause(Direction::Push);
        replicator
    });
    row("replicator: commit of one", 1, &mut |size| {
        let events = vec![edit(0)];
        time(|| drop(black_box(replicators[size].commit(events))))
    });
    let logs = SIZES.map(with_pending);
    row("replicator: push step", STEPS, &mut |size| steps(logs[size].clone(), false));
    row("replicator: advance of one batch", STEPS, &mut |size| steps(logs[size].clone(), true));
}
