//! The example of a status line, with delays between any two steps of what it shows and of who shows it: the line that stays
//! is never an old one.
#![cfg(not(loom))]

#[path = "../examples/status_line.rs"]
mod status_line;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use latchwork::log::MemoryLog;
use latchwork::protocol::Direction;
use latchwork::replicator::GiveUp;
use latchwork::upstream::{Fault, Memory};
use latchwork::{Backoff, Replicator};
use status_line::{line, show, show_async};

type Notes = Replicator<MemoryLog<u64>>;

/// Something happens, and this is what stays to be shown.
type Step = (&'static str, fn(&Notes, &Memory<MemoryLog<u64>>), &'static str);

const STEPS: &[Step] = &[
    ("nothing", |_, _| (), "saved"),
    ("a commit", |notes, _| drop(notes.commit(vec![1])), "saved"),
    ("a pause", |notes, _| notes.pause(Direction::Push), "needs attention: the push direction is paused (0 to go)"),
    ("a commit", |notes, _| drop(notes.commit(vec![2, 3])), "needs attention: the push direction is paused (2 to go)"),
    ("it is resumed", |notes, _| notes.resume(Direction::Push), "saved"),
    (
        "an event is refused",
        |notes, server| {
            server.fail_push(Fault::RejectEvent(0));
            drop(notes.commit(vec![4]));
        },
        "needs attention: the first pending event: upstream refuses an event for good: the event is not valid (1 to go)",
    ),
    ("it is given up", |notes, _| drop(notes.give_up(GiveUp::Rejected)), "saved"),
    (
        "the client is refused",
        |notes, server| {
            server.fail_push(Fault::Refuse);
            drop(notes.commit(vec![5]));
        },
        "needs attention: the push direction has failed: upstream: the client is not allowed (1 to go)",
    ),
    ("it is restarted", |notes, _| notes.restart(), "saved"),
    (
        "the connection dies",
        |notes, server| {
            server.fail_push(Fault::DisconnectBefore);
            drop(notes.commit(vec![6]));
        },
        "offline, 1 to go",
    ),
    ("it is tried now", |notes, _| notes.retry_now(), "saved"),
    (
        "a call hangs",
        |notes, server| {
            server.fail_push(Fault::Hang);
            drop(notes.commit(vec![7]));
        },
        "saving, 1 to go",
    ),
];

/// A number that looks random.
fn scrambled(seed: u64) -> u64 {
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33
}

/// Up to 300 µs, mostly less.
fn delay(seed: u64) {
    match scrambled(seed) % 4 {
        0 => {}
        1 => std::thread::yield_now(),
        _ => std::thread::sleep(Duration::from_micros(scrambled(seed + 1) % 300)),
    }
}

/// A line without what it counts down: time goes on.
fn without_countdown(line: &str) -> &str {
    line.split_once(", next try in").map_or(line, |(line, _)| line)
}

/// Stops them, also when something fails: it would be shown for ever.
struct Stops<'a>(&'a Notes);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What is shown at the end of each step is what stands: without another change, and with `show` delayed at each line.
fn never_stale(seed: u64, watch: fn(&Notes, &mut dyn FnMut(String))) {
    let server = Memory::new(0);
    let hour = Duration::from_secs(3600);
    let backoff = Backoff::new(hour, hour).with_jitter(0.0);
    let notes = Replicator::builder(MemoryLog::new(), server.clone()).backoff(backoff).spawn().unwrap();
    notes.caught_up().wait().unwrap();
    let shown = Mutex::new(String::new());
    std::thread::scope(|scope| {
        let _stops = Stops(&notes);
        scope.spawn(|| {
            let mut lines = seed;
            watch(&notes, &mut |line| {
                lines += 1;
                delay(lines);
                *shown.lock().unwrap() = line;
            });
        });
        for (number, (what, step, stays)) in STEPS.iter().enumerate() {
            delay(seed.wrapping_mul(31) + number as u64);
            step(&notes, &server);
            let end = Instant::now() + Duration::from_secs(10);
            loop {
                let (is, line) = (shown.lock().unwrap().clone(), line(&notes.status()));
                if [&is, &line].iter().all(|line| without_countdown(line) == *stays) {
                    break;
                }
                assert!(Instant::now() < end, "seed {seed}, {what}: {is:?} is shown, the status says {line:?}");
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    });
}

#[test]
fn show_never_leaves_an_old_line() {
    (0..60).for_each(|seed| never_stale(seed * 1000, |notes, print| show(notes, print)));
}

#[test]
fn show_async_never_leaves_an_old_line() {
    let watch = |notes: &Notes, print: &mut dyn FnMut(String)| {
        // A runtime's sleep would end; this one does not, so that only a change can.
        pollster::block_on(show_async(notes, |_| std::future::pending(), print));
    };
    (0..60).for_each(|seed| never_stale(seed * 1000 + 500, watch));
}
