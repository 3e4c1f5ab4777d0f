//! One thread wakes another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cpu_time::ThreadTime;
use crossbeam_channel::{Receiver, Sender, bounded};
use event_listener::{Event, Listener};
use latchwork::{Epoch, Latch};
use rsevents::{Awaitable, EventState};

use crate::Bench;
use crate::cpus::{Cpus, Placement, Side};
use crate::turns::{Contender, each, take_turns};

/// What one thread waits for and another one sends, again and again: the `n`th wait for the `n`th signal.
pub trait Signal: Sync {
    fn new() -> Self;
    fn send(&self);
    fn wait(&self, n: u64);
}

impl Signal for Latch {
    fn new() -> Self {
        Self::new()
    }
    fn send(&self) {
        self.open();
    }
    fn wait(&self, _n: u64) {
        self.wait();
        self.close();
    }
}

impl Signal for Epoch {
    fn new() -> Self {
        Self::new()
    }
    fn send(&self) {
        self.bump();
    }
    fn wait(&self, n: u64) {
        self.past(n).wait();
    }
}

#[derive(Default)]
pub struct ParkingLot {
    sent: parking_lot::Mutex<bool>,
    changed: parking_lot::Condvar,
}

impl Signal for ParkingLot {
    fn new() -> Self {
        Self::default()
    }
    fn send(&self) {
        *self.sent.lock() = true;
        self.changed.notify_one();
    }
    fn wait(&self, _n: u64) {
        let mut sent = self.sent.lock();
        while !*sent {
            self.changed.wait(&mut sent);
        }
        *sent = false;
    }
}

#[derive(Default)]
struct Std {
    sent: std::sync::Mutex<bool>,
    changed: std::sync::Condvar,
}

impl Signal for Std {
    fn new() -> Self {
        Self::default()
    }
    fn send(&self) {
        *self.sent.lock().expect("no thread panics") = true;
        self.changed.notify_one();
    }
    fn wait(&self, _n: u64) {
        let sent = self.sent.lock().expect("no thread panics");
        *self.changed.wait_while(sent, |sent| !*sent).expect("no thread panics") = false;
    }
}

impl Signal for rsevents::AutoResetEvent {
    fn new() -> Self {
        Self::new(EventState::Unset)
    }
    fn send(&self) {
        self.set();
    }
    fn wait(&self, _n: u64) {
        Awaitable::wait(self);
    }
}

/// As its documentation has it.
struct EventListener {
    sent: AtomicBool,
    event: Event,
}

impl Signal for EventListener {
    fn new() -> Self {
        Self { sent: AtomicBool::new(false), event: Event::new() }
    }
    fn send(&self) {
        self.sent.store(true, Ordering::SeqCst);
        self.event.notify(1);
    }
    fn wait(&self, _n: u64) {
        while !self.sent.swap(false, Ordering::SeqCst) {
            let listener = self.event.listen();
            if self.sent.swap(false, Ordering::SeqCst) {
                return;
            }
            listener.wait();
        }
    }
}

struct Channel {
    sender: Sender<()>,
    receiver: Receiver<()>,
}

impl Signal for Channel {
    fn new() -> Self {
        let (sender, receiver) = bounded(1);
        Self { sender, receiver }
    }
    fn send(&self) {
        self.sender.send(()).expect("the receiver lives");
    }
    fn wait(&self, _n: u64) {
        self.receiver.recv().expect("the sender lives");
    }
}

/// The floor with two processors, and a trap with one.
struct Spin(AtomicBool);

impl Signal for Spin {
    fn new() -> Self {
        Self(AtomicBool::new(false))
    }
    fn send(&self) {
        self.0.store(true, Ordering::Release);
    }
    fn wait(&self, _n: u64) {
        while !self.0.swap(false, Ordering::Acquire) {
            std::hint::spin_loop();
        }
    }
}

/// Nanoseconds for a signal to another thread and one back. The first tenth does not count.
fn round_trip<S: Signal>(cpus: Cpus, placement: Placement, count: usize) -> f64 {
    let (ping, pong) = (S::new(), S::new());
    let warm = count / 10 + 1;
    cpus.pin(Side::Here, placement);
    std::thread::scope(|scope| {
        let (ping, pong) = (&ping, &pong);
        scope.spawn(move || {
            cpus.pin(Side::There, placement);
            for n in 0..(warm + count) as u64 {
                ping.wait(n);
                pong.send();
            }
        });
        let mut n = 0;
        let mut trip = || {
            ping.send();
            pong.wait(n);
            n += 1;
        };
        each(warm, &mut trip);
        each(count, &mut trip)
    })
}

fn contender<S: Signal>(name: &'static str, cpus: Cpus, placement: Placement, count: usize) -> Contender<'static> {
    Contender::new(name, move || round_trip::<S>(cpus, placement, count))
}

pub fn round_trips(bench: &mut Bench) {
    for placement in bench.cpus.placements() {
        let (cpus, count) = (bench.cpus, bench.count(if placement == Placement::OneCpu { 1000 } else { 300 }));
        let parking = ["parking_lot", "std", "rsevents", "event-listener"];
        let mut contenders = vec![
            contender::<Latch>("Latch", cpus, placement, count),
            contender::<Epoch>("Epoch", cpus, placement, count),
            contender::<ParkingLot>(parking[0], cpus, placement, count),
            contender::<Std>(parking[1], cpus, placement, count),
            contender::<rsevents::AutoResetEvent>(parking[2], cpus, placement, count),
            contender::<EventListener>(parking[3], cpus, placement, count),
            contender::<Channel>("crossbeam", cpus, placement, count),
        ];
        if placement == Placement::TwoCpus {
            contenders.push(contender::<Spin>("spinning", cpus, placement, count));
        }
        let results = take_turns(bench.rounds(30), contenders);
        let what = format!("wake round trip, {}", placement.text());
        for ours in ["Latch", "Epoch"] {
            let what = format!("{what}: {ours}");
            match placement {
                Placement::OneCpu => {
                    let peers: Vec<_> = parking.into_iter().chain(["crossbeam"]).collect();
                    bench.report.judge_best(&what, &results, ours, &peers, 1.1);
                }
                Placement::TwoCpus => {
                    bench.report.judge_best(&what, &results, ours, &parking, 1.0);
                    bench.report.judge_ratio(&what, &results, ours, "crossbeam", 1.5);
                }
            }
        }
        bench.report.note(&what, "ns", &results);
    }
}

/// Processor time, in nanoseconds, for each of many waits for nothing, of a thread that has waited for nothing before.
fn in_vain(count: usize, wait: impl Fn(Duration)) -> f64 {
    const LONG: Duration = Duration::from_micros(200);
    (0..count).for_each(|_| wait(LONG));
    let begin = ThreadTime::now();
    (0..count).for_each(|_| wait(LONG));
    begin.elapsed().as_nanos() as f64 / count as f64
}

/// What it costs if nothing comes.
pub fn waits_in_vain(bench: &mut Bench) {
    let count = bench.count(200);
    bench.cpus.pin(Side::Here, Placement::OneCpu);
    let (latch, gate) = (Latch::new(), ParkingLot::default());
    let contenders = vec![
        Contender::new("Latch", || in_vain(count, |time| assert!(!latch.opened().wait_timeout(time).is_ready()))),
        Contender::new("parking_lot", || {
            in_vain(count, |time| assert!(gate.changed.wait_for(&mut gate.sent.lock(), time).timed_out()))
        }),
    ];
    let results = take_turns(bench.rounds(20), contenders);
    let what = "processor time of a wait of 200 µs for nothing";
    bench.report.judge_ratio(what, &results, "Latch", "parking_lot", 1.1);
    bench.report.note(what, "ns", &results);
}
