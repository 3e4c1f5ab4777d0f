//! Looking at, opening and closing a gate without waiters.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use event_listener::Event;
use latchwork::{Interrupt, Latch};
use rsevents::{Awaitable, EventState, ManualResetEvent};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::Bench;
use crate::turns::{Contender, each_of_many, take_turns};

const LOAD: &str = "a bare acquire load";
const LOCKED: &str = "one locked read-modify-write";

/// A gate as it is written with a lock and a condition variable.
struct ParkingLot {
    open: parking_lot::Mutex<bool>,
    changed: parking_lot::Condvar,
}

impl ParkingLot {
    fn new(open: bool) -> Self {
        Self { open: parking_lot::Mutex::new(open), changed: parking_lot::Condvar::new() }
    }

    fn wait(&self) {
        let mut open = self.open.lock();
        while !*open {
            self.changed.wait(&mut open);
        }
    }

    fn set(&self, to: bool) {
        *self.open.lock() = to;
        if to {
            self.changed.notify_all();
        }
    }
}

/// The same with those of the standard library.
struct Std {
    open: std::sync::Mutex<bool>,
    changed: std::sync::Condvar,
}

impl Std {
    fn new(open: bool) -> Self {
        Self { open: std::sync::Mutex::new(open), changed: std::sync::Condvar::new() }
    }

    fn wait(&self) {
        let open = self.open.lock().expect("no thread panics");
        drop(self.changed.wait_while(open, |open| !*open).expect("no thread panics"));
    }

    fn set(&self, to: bool) {
        *self.open.lock().expect("no thread panics") = to;
        if to {
            self.changed.notify_all();
        }
    }
}

/// A word behind others, as a latch has it: an offset makes the instructions two bytes longer, and where nothing else is waited for
/// that is a fifth of the time.
#[repr(C)]
struct Word {
    _before: [u32; 3],
    open: AtomicU8,
}

pub fn pass_open(bench: &mut Bench) {
    let count = bench.count(100_000);
    let word = Word { _before: [0; 3], open: AtomicU8::new(1) };
    let latch = Latch::new_open();
    let event = ManualResetEvent::new(EventState::Set);
    let token = CancellationToken::new();
    token.cancel();
    let (_sender, watched) = watch::channel(true);
    let (parking_lot, std) = (ParkingLot::new(true), Std::new(true));
    let results = take_turns(
        bench.rounds(100),
        vec![
            Contender::new(LOAD, || {
                let word = black_box(&word);
                each_of_many(count, || assert!(word.open.load(Ordering::Acquire) == 1))
            }),
            Contender::new("Latch", || {
                let latch = black_box(&latch);
                each_of_many(count, || latch.wait())
            }),
            Contender::new("rsevents", || {
                let event = black_box(&event);
                each_of_many(count, || event.wait())
            }),
            Contender::new("CancellationToken", || {
                let token = black_box(&token);
                each_of_many(count, || assert!(token.is_cancelled()))
            }),
            Contender::new("watch", || {
                let watched = black_box(&watched);
                each_of_many(count, || assert!(*watched.borrow()))
            }),
            Contender::new("parking_lot", || {
                let gate = black_box(&parking_lot);
                each_of_many(count, || gate.wait())
            }),
            Contender::new("std", || {
                let gate = black_box(&std);
                each_of_many(count, || gate.wait())
            }),
        ],
    );
    let what = "pass an open latch";
    bench.report.judge_ratio(what, &results, "Latch", LOAD, 1.1);
    let peers = ["rsevents", "CancellationToken", "watch", "parking_lot", "std"];
    bench.report.judge_best(what, &results, "Latch", &peers, 1.0);
    bench.report.note(what, "ns", &results);
}

pub fn open_close(bench: &mut Bench) {
    // Half of what is done each time: opening and closing count as one each.
    let count = bench.count(10_000);
    let word = AtomicU8::new(0);
    let latch = Latch::new();
    let reset = ManualResetEvent::new(EventState::Unset);
    let (event, notify) = (Event::new(), Notify::new());
    let (sender, _watched) = watch::channel(false);
    let (parking_lot, std) = (ParkingLot::new(false), Std::new(false));
    let results = take_turns(
        bench.rounds(100),
        vec![
            Contender::new(LOCKED, || {
                let word = black_box(&word);
                let both = || {
                    black_box(word.swap(1, Ordering::AcqRel));
                    black_box(word.swap(0, Ordering::AcqRel));
                };
                each_of_many(count, both) / 2.0
            }),
            Contender::new("Latch", || {
                let latch = black_box(&latch);
                let both = || {
                    black_box(latch.open());
                    black_box(latch.close());
                };
                each_of_many(count, both) / 2.0
            }),
            Contender::new("rsevents", || {
                let event = black_box(&reset);
                let both = || {
                    event.set();
                    event.reset();
                };
                each_of_many(count, both) / 2.0
            }),
            Contender::new("event-listener", || {
                let event = black_box(&event);
                each_of_many(count, || _ = black_box(event.notify(usize::MAX)))
            }),
            Contender::new("Notify::notify_one", || {
                let notify = black_box(&notify);
                each_of_many(count, || notify.notify_one())
            }),
            Contender::new("Notify::notify_waiters", || {
                let notify = black_box(&notify);
                each_of_many(count, || notify.notify_waiters())
            }),
            Contender::new("watch", || {
                let sender = black_box(&sender);
                let both = || {
                    black_box(sender.send_replace(true));
                    black_box(sender.send_replace(false));
                };
                each_of_many(count, both) / 2.0
            }),
            Contender::new("parking_lot", || {
                let gate = black_box(&parking_lot);
                let both = || {
                    gate.set(true);
                    gate.set(false);
                };
                each_of_many(count, both) / 2.0
            }),
            Contender::new("std", || {
                let gate = black_box(&std);
                let both = || {
                    gate.set(true);
                    gate.set(false);
                };
                each_of_many(count, both) / 2.0
            }),
        ],
    );
    let what = "open or close a latch, no waiter";
    bench.report.judge_ratio(what, &results, "Latch", LOCKED, 1.3);
    let peers = ["rsevents", "event-listener", "Notify::notify_one", "Notify::notify_waiters", "watch"];
    let peers: Vec<_> = peers.into_iter().chain(["parking_lot", "std"]).collect();
    bench.report.judge_best(what, &results, "Latch", &peers, 1.0);
    bench.report.note(what, "ns", &results);
}

pub fn check_interrupt(bench: &mut Bench) {
    let count = bench.count(100_000);
    // What several threads hold stands behind a pointer.
    let flag = Arc::new(AtomicBool::new(false));
    let (interrupt, token) = (Interrupt::new(), CancellationToken::new());
    let results = take_turns(
        bench.rounds(100),
        vec![
            Contender::new(LOAD, || {
                let flag = black_box(&flag);
                each_of_many(count, || assert!(!flag.load(Ordering::Acquire)))
            }),
            Contender::new("Interrupt::is_set", || {
                let interrupt = black_box(&interrupt);
                each_of_many(count, || assert!(!interrupt.is_set()))
            }),
            Contender::new("Interrupt::check", || {
                let interrupt = black_box(&interrupt);
                each_of_many(count, || assert!(interrupt.check().is_ok()))
            }),
            Contender::new("CancellationToken", || {
                let token = black_box(&token);
                each_of_many(count, || assert!(!token.is_cancelled()))
            }),
        ],
    );
    bench.report.judge_ratio("interrupt check", &results, "Interrupt::check", LOAD, 1.2);
    bench.report.note("interrupt check", "ns", &results);
}
