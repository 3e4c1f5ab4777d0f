//! What merging costs, with 100, 10,000 and 1,000,000 events pending.
//!
//! `cargo run --release -p merge-bench [rounds]`. The sizes take turns within each round, so that whatever else the
//! machine does strikes them alike; a figure is min / median / max over the rounds.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use latchwork::log::Log;
use latchwork::sync_state::{Entry, Event, Outcome, Payload, SeqNum, SyncState};
use merge_bench::print_row;

const SIZES: [usize; 3] = [100, 10_000, 1_000_000];
const FIFTY: usize = 50;

#[derive(Clone)]
struct Edit {
    id: u64,
    local_only: bool,
    _body: [u64; 2],
}

impl Event for Edit {
    fn is_local_only(&self) -> bool {
        self.local_only
    }
    fn is_same_as(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// Every tenth event is local-only.
fn edits(ids: std::ops::Range<u64>) -> impl Iterator<Item = Edit> {
    ids.map(|id| Edit { id, local_only: id % 10 == 9, _body: [id; 2] })
}

fn push<E: Event>(state: &mut SyncState<E>, events: impl IntoIterator<Item = E>) {
    let entries = state.number(events).expect("there are numbers");
    let pushed = state.merge(Payload::LocalPush { entries });
    assert!(matches!(pushed, Ok(Outcome::Advance(_))));
}

fn with_pending(len: usize) -> SyncState<Edit> {
    let mut state = SyncState::default();
    push(&mut state, edits(0..len as u64));
    state
}

/// One entry of another client's, after the upstream head.
fn foreign<E: Event>(state: &SyncState<E>, event: E) -> Vec<Entry<E>> {
    let head = state.upstream_head();
    let entries = SyncState::new(head).number([event]);
    entries.expect("there are numbers")
}

fn stranger() -> Edit {
    Edit { id: u64::MAX, local_only: false, _body: [0; 2] }
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The merge, without a look at what it did.
fn rebase(state: &mut SyncState<Edit>) -> Duration {
    let entries = foreign(state, stranger());
    time(|| match black_box(state.merge(Payload::UpstreamAdvance { entries })) {
        Ok(Outcome::Rebase(_)) => {}
        _ => unreachable!("another client was first"),
    })
}

/// The merge, and a walk over all events with their old and new numbers.
fn rebase_and_walk(state: &mut SyncState<Edit>) -> Duration {
    let entries = foreign(state, stranger());
    time(|| match state.merge(Payload::UpstreamAdvance { entries }) {
        Ok(Outcome::Rebase(rebase)) => {
            for step in rebase.moves() {
                black_box((step.0, step.1.seq, step.1.parent, step.1.event.id));
            }
        }
        _ => unreachable!("another client was first"),
    })
}

/// The merge as the protocol's log does it.
fn rebase_as_log(state: &mut SyncState<Edit>) -> Duration {
    let page = foreign(state, stranger());
    time(|| drop(black_box(Log::merge(state, page))))
}

/// Upstream orders the next fifty sent events; as many are pushed again afterwards.
fn advance(state: &mut SyncState<Edit>, next_id: &mut u64) -> Duration {
    let before = state.sendable_len();
    let entries = Log::batch(state, fifty());
    let took = time(|| drop(black_box(state.merge(Payload::UpstreamAdvance { entries }))));
    assert_eq!(state.sendable_len(), before - FIFTY);
    while state.sendable_len() < before {
        push(state, edits(*next_id..*next_id + 1));
        *next_id += 1;
    }
    took
}

/// Fifty pushes of one event each; as many settle afterwards.
fn push_one(state: &mut SyncState<Edit>, next_id: &mut u64) -> Duration {
    let before = state.sendable_len();
    let ids = *next_id..*next_id + FIFTY as u64;
    *next_id = ids.end;
    let entries = state.number(edits(ids)).expect("there are numbers");
    let pushes: Vec<_> = entries.into_iter().map(|entry| vec![entry]).collect();
    let took = time(|| {
        for entries in pushes {
            drop(black_box(state.merge(Payload::LocalPush { entries })));
        }
    });
    let added = NonZeroUsize::new(state.sendable_len() - before).expect("some were sent");
    let entries = Log::batch(state, added);
    assert!(state.merge(Payload::UpstreamAdvance { entries }).is_ok());
    took
}

fn batch(state: &SyncState<Edit>) -> Duration {
    time(|| drop(black_box(Log::batch(state, fifty()))))
}

fn fifty() -> NonZeroUsize {
    NonZeroUsize::new(FIFTY).expect("it is fifty")
}

fn main() -> ExitCode {
    let text = std::env::args().nth(1).unwrap_or_else(|| "51".to_owned());
    let rounds = match text.parse::<NonZeroUsize>() {
        Ok(rounds) => rounds.get(),
        Err(error) => {
            eprintln!("error: expected a number of rounds, got {text:?}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut states = SIZES.map(with_pending);
    let hidden = SIZES.map(|len| {
        let mut state = SyncState::new(SeqNum::ROOT);
        let local = edits(0..len as u64).map(|edit| Edit { local_only: true, ..edit });
        push(&mut state, local);
        push(&mut state, edits(0..60));
        state
    });
    let mut next_id = SIZES[2] as u64;
    println!("min / median / max of {rounds} rounds\n");
    println!("| | | 100 pending | 10,000 pending | 1,000,000 pending |");
    println!("| --- | --- | --- | --- | --- |");
    let row = |name, unit, per, work: &mut dyn FnMut(usize) -> Duration| print_row(rounds, name, unit, per, work);
    let (once, each) = ([1; 3], [FIFTY; 3]);
    row("rebase: merge alone", "ns a rebase", once, &mut |size| rebase(&mut states[size]));
    row("rebase: merge alone", "ns an event", SIZES, &mut |size| rebase(&mut states[size]));
    row("rebase, and a walk over old and new numbers", "ns an event", SIZES, &mut |size| {
        rebase_and_walk(&mut states[size])
    });
    row("rebase through `Log`", "ns an event", SIZES, &mut |size| rebase_as_log(&mut states[size]));
    row("advance of 50 sent events", "ns an advance", once, &mut |size| advance(&mut states[size], &mut next_id));
    row("local push of one", "ns a push", each, &mut |size| push_one(&mut states[size], &mut next_id));
    row("batch(50), cloned", "ns a batch", once, &mut |size| batch(&states[size]));
    row("batch(50), n local-only in front", "ns a batch", once, &mut |size| batch(&hidden[size]));
    memory();
    ExitCode::SUCCESS
}

/// Whether the event with this id is local-only.
type Kind = fn(u64) -> bool;

/// Bytes on the heap for a pending event beyond its own size, as pushed (a growing queue has room to spare) and
/// after `shrink_to_fit`.
fn memory() {
    println!("\n| bytes beyond the {} of the event | 100 | 10,000 | 1,000,000 |", size_of::<Edit>());
    println!("| --- | --- | --- | --- |");
    let none: Kind = |_| false;
    let kinds = [("sent", none), ("local-only", |_| true), ("every tenth local-only", |id| id % 10 == 9)];
    for (name, local_only) in kinds {
        for shrunk in [false, true] {
            print!("| {name}{} |", if shrunk { ", shrunk to fit" } else { ", as pushed" });
            for len in SIZES {
                print!(" {:.1} |", bytes_beyond(len, local_only, shrunk));
            }
            println!();
        }
    }
}

fn bytes_beyond(len: usize, local_only: Kind, shrunk: bool) -> f64 {
    let mut state = SyncState::default();
    let held = measure(|| {
        for edit in edits(0..len as u64) {
            let local_only = local_only(edit.id);
            push(&mut state, [Edit { local_only, ..edit }]);
        }
        if shrunk {
            state.shrink_to_fit();
        }
    });
    held.bytes_current as f64 / black_box(state).pending_len() as f64 - size_of::<Edit>() as f64
}
