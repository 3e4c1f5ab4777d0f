//! From an advance to the push that it lets go, against the bare wake of a thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::protocol::Push;
use latchwork::upstream::{Batch, More, Page, PullError, PushError, Upstream};
use latchwork::{Interrupt, Latch, Replicator};

use crate::Bench;
use crate::cpus::{Cpus, Placement, Side};
use crate::turns::{Contender, take_turns};
use crate::wake::{ParkingLot, Signal};

/// An upstream that rejects a push when told to, and gives out another client's event when told to.
struct Scripted {
    cpus: Cpus,
    placement: Placement,
    reject: AtomicBool,
    head: AtomicU64,
    /// Opened for each page that is to be given out.
    page: Latch,
    /// When the last page was given out. It has no waiter: a thread that is woken on this processor between the page and the
    /// push would be part of what is measured.
    paged: Mutex<Option<Instant>>,
    pushed: Sender<Instant>,
}

type Log = MemoryLog<u64>;

/// The one that the replicator owns.
struct Theirs(Arc<Scripted>);

impl Upstream<Log> for Theirs {
    fn push(&self, batch: &Batch<Log>, _: &Interrupt) -> Result<(), PushError<u64>> {
        let now = Instant::now();
        self.0.cpus.pin(Side::There, self.0.placement);
        self.0.pushed.send(now).expect("it has a receiver");
        if self.0.reject.swap(false, Ordering::Relaxed) {
            return Err(PushError::Behind { head: None });
        }
        self.0.head.fetch_add(batch.entries.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn pull<'a>(
        &'a self,
        _: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<MemoryEntry<u64>>, PullError>> + 'a {
        self.0.cpus.pin(Side::Here, self.0.placement);
        std::iter::from_fn(|| {
            if !self.0.page.opened().wait_or(interrupt, None).is_ready() {
                return None;
            }
            self.0.page.close();
            let position = self.0.head.fetch_add(1, Ordering::Relaxed) + 1;
            let entries = vec![MemoryEntry { position, event: u64::MAX - position }];
            *self.0.paged.lock().expect("no thread panics") = Some(Instant::now());
            Some(Ok(Page { entries, more: More::Unknown }))
        })
    }
}

struct Setup {
    upstream: Arc<Scripted>,
    replicator: Replicator<Log>,
    pushed: Receiver<Instant>,
}

impl Setup {
    fn new(cpus: Cpus, placement: Placement) -> Self {
        let (pushing, pushed) = unbounded();
        let upstream = Arc::new(Scripted {
            cpus,
            placement,
            reject: AtomicBool::new(false),
            head: AtomicU64::new(0),
            page: Latch::new(),
            paged: Mutex::new(None),
            pushed: pushing,
        });
        let builder = Replicator::builder(Log::new(), Theirs(Arc::clone(&upstream)));
        let replicator = builder.catch_up_grace(Duration::from_secs(60)).spawn().expect("there are threads");
        Self { upstream, replicator, pushed }
    }

    /// Nanoseconds from a page to the push that it lets go.
    fn once(&self, event: u64) -> f64 {
        self.upstream.reject.store(true, Ordering::Relaxed);
        let ticket = self.replicator.commit(vec![event]).expect("it is open");
        self.pushed.recv().expect("a push begins");
        while !matches!(self.replicator.status().push, Push::Behind { .. }) {
            settle();
        }
        settle();
        self.upstream.page.open();
        let pushed = self.pushed.recv().expect("a push begins");
        let paged = self.upstream.paged.lock().expect("no thread panics").take().expect("a page was given out");
        _ = ticket.wait();
        (pushed - paged).as_nanos() as f64
    }
}

/// Until the other thread has gone to sleep.
fn settle() {
    thread::sleep(Duration::from_micros(200));
}

/// Nanoseconds from a signal to the first instruction of a thread that sleeps.
fn bare<S: Signal>(cpus: Cpus, placement: Placement, count: usize) -> f64 {
    let signal = S::new();
    let (sender, receiver) = unbounded();
    cpus.pin(Side::Here, placement);
    thread::scope(|scope| {
        scope.spawn(|| {
            cpus.pin(Side::There, placement);
            for n in 0..count as u64 {
                signal.wait(n);
                sender.send(Instant::now()).expect("it has a receiver");
            }
        });
        let once = |_| {
            settle();
            let begin = Instant::now();
            signal.send();
            (receiver.recv().expect("it wakes") - begin).as_nanos() as f64
        };
        (0..count).map(once).sum::<f64>() / count as f64
    })
}

pub fn advance(bench: &mut Bench) {
    for placement in bench.cpus.placements() {
        let (cpus, count) = (bench.cpus, bench.count(50));
        cpus.pin(Side::Here, placement);
        let setup = Setup::new(cpus, placement);
        let mut events = 0;
        let results = take_turns(
            bench.rounds(20),
            vec![
                Contender::new("advance", || {
                    let next = |_| {
                        events += 1;
                        setup.once(events)
                    };
                    (0..count).map(next).sum::<f64>() / count as f64
                }),
                Contender::new("the bare wake", || bare::<ParkingLot>(cpus, placement, count)),
                Contender::new("a Latch's wake", || bare::<Latch>(cpus, placement, count)),
            ],
        );
        let what = format!("advance → first byte of the next push, {}", placement.text());
        bench.report.judge_ratio(&what, &results, "advance", "the bare wake", 1.5);
        bench.report.note(&what, "ns", &results);
    }
}
