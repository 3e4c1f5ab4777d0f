//! Bytes: of the primitives, and of what a pending event costs beyond itself.

use std::num::NonZeroUsize;

use allocation_counter::measure;
use latchwork::protocol::Direction;
use latchwork::sync_state::SyncState;
use latchwork::{Epoch, Interrupt, Latch, Replicator, Worker};

use crate::Bench;
use crate::engines::{AtOnce, BATCH, Edit, edit};
use crate::report::Limit;
use crate::turns::Spread;

pub fn primitives(bench: &mut Bench) {
    let sizes = [
        ("Latch", size_of::<Latch>()),
        ("Epoch", size_of::<Epoch>()),
        ("Interrupt", size_of::<Interrupt>()),
        ("Worker", size_of::<Worker>()),
    ];
    for (name, size) in sizes {
        let (what, goal) = (format!("bytes of {name}"), "at most 16".to_owned());
        bench.report.judge(&what, goal, Limit::AtMost(16.0), "bytes", Spread::exactly(size as f64));
    }
}

/// A queue that grows doubles its room: from nearly all of it unused to nearly none.
const PENDING: [usize; 3] = [66_000, 100_000, 131_000];

pub fn pending(bench: &mut Bench) {
    for (commit, kept, of) in [
        (BATCH, true, "commits of 50, tickets kept"),
        (BATCH, false, "commits of 50, tickets dropped"),
        (1, true, "commits of one, tickets kept"),
        (1, false, "commits of one, tickets dropped"),
    ] {
        let figures = PENDING.map(|count| bytes_beyond(count, commit, kept));
        let what = format!("memory for a pending event beyond its own {} bytes, {of}", size_of::<Edit>());
        let measured = Spread::of(figures.to_vec());
        let measured = Spread { lower: measured.least, upper: figures.into_iter().fold(0.0, f64::max), ..measured };
        bench.report.judge(&what, "at most 48 bytes".to_owned(), Limit::AtMost(48.0), "bytes", measured);
    }
}

/// The bytes on the heap for each event that is pending, without the event's own; an owner of tickets pays for the
/// list in which they stand.
fn bytes_beyond(events: usize, commit: usize, keep: bool) -> f64 {
    let batch = NonZeroUsize::new(BATCH).expect("it is fifty");
    let builder = Replicator::builder(SyncState::<Edit>::default(), AtOnce::default()).push_batch(batch);
    let replicator = builder.spawn().expect("there are threads");
    replicator.pause(Direction::Push);
    let mut tickets = Vec::with_capacity(events / commit + 1);
    let held = measure(|| {
        for first in (0..events as u64).step_by(commit) {
            let last = (first + commit as u64).min(events as u64);
            let ticket = replicator.commit((first..last).map(edit).collect()).expect("it is open");
            if keep {
                tickets.push(ticket);
            }
        }
    });
    held.bytes_current as f64 / events as f64 - size_of::<Edit>() as f64
}
