//! A worker is restarted, against a thread that is started.

use std::convert::Infallible;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, unbounded};
use latchwork::{Run, Worker};

use crate::Bench;
use crate::cpus::{Cpus, Placement, Side};
use crate::report::Limit;
use crate::turns::{Contender, take_turns};

/// A worker on the other side that says when each of its runs began, and lets it go on until it is interrupted.
fn clock(cpus: Cpus, placement: Placement, began: Sender<Instant>) -> Worker {
    let body = move |run: &Run| -> Result<(), Infallible> {
        let now = Instant::now();
        began.send(now).expect("the receiver lives");
        run.interrupt().wait();
        Ok(())
    };
    cpus.there(placement, || Worker::spawn("clock", body)).expect("there is a thread")
}

/// Until the other thread has gone to sleep.
fn settle() {
    thread::sleep(Duration::from_micros(200));
}

pub fn restart(bench: &mut Bench) {
    for placement in bench.cpus.placements() {
        let (cpus, count) = (bench.cpus, bench.count(100));
        let (sender, receiver) = unbounded();
        let worker = clock(cpus, placement, sender);
        receiver.recv().expect("the first run begins");
        for (pause, when) in [(true, "after a pause"), (false, "at once")] {
            let average = |once: &dyn Fn() -> Duration| {
                let one = |_| {
                    if pause {
                        settle();
                    }
                    once().as_nanos() as f64
                };
                (0..count).map(one).sum::<f64>() / count as f64
            };
            let restart = || {
                let begin = Instant::now();
                worker.restart().expect("it has not been stopped");
                receiver.recv().expect("a run begins") - begin
            };
            let spawn = |placement| {
                let begin = Instant::now();
                let thread = thread::spawn(move || cpus.pin(Side::There, placement));
                thread.join().expect("it does not panic");
                begin.elapsed()
            };
            cpus.pin(Side::Here, placement);
            let mut contenders = vec![
                Contender::new("restart", || average(&restart)),
                Contender::new("thread spawn + join", || average(&|| spawn(placement))),
            ];
            if placement == Placement::TwoCpus {
                let stays = || average(&|| spawn(Placement::OneCpu));
                contenders.push(Contender::new("thread spawn + join, on the first CPU", stays));
            }
            let results = take_turns(bench.rounds(20), contenders);
            let what = "worker: restart until the next run's first instruction";
            let what = format!("{what}, {when}, {}", placement.text());
            bench.report.judge_ratio(&what, &results, "restart", "thread spawn + join", 0.5);
            bench.report.note(&what, "ns", &results);
        }
    }
}

/// How many runs a burst of requests makes, if a run takes so long to end.
fn burst_of(requests: usize, cpus: Cpus, placement: Placement, to_end: Duration) -> f64 {
    let body = move |run: &Run| -> Result<(), Infallible> {
        run.interrupt().wait();
        if to_end > Duration::ZERO {
            thread::sleep(to_end);
        }
        Ok(())
    };
    let worker = cpus.there(placement, || Worker::spawn("burst", body)).expect("there is a thread");
    settle();
    let mut last = 0;
    for _ in 0..requests {
        last = worker.restart().expect("it has not been stopped");
    }
    while worker.status().generation < last {
        settle();
    }
    (worker.join().generation - 1) as f64
}

pub fn burst(bench: &mut Bench) {
    for placement in bench.cpus.placements() {
        let cpus = bench.cpus;
        let slow = || burst_of(1000, cpus, placement, Duration::from_millis(1));
        let fast = || burst_of(1000, cpus, placement, Duration::ZERO);
        let (slowly, at_once) = ("runs that take 1 ms to end", "runs that end at once");
        let contenders = vec![Contender::new(slowly, slow), Contender::new(at_once, fast)];
        let results = take_turns(bench.rounds(50), contenders);
        let what = format!("1,000 restart requests in a burst, {}", placement.text());
        let goal = "one or two runs".to_owned();
        let of = format!("{what}, {slowly}");
        bench.report.judge(&of, goal, Limit::AtMost(2.0), "runs", results.spread(slowly));
        bench.report.note(&what, "runs", &results);
    }
}
