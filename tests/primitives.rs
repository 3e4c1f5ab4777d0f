//! The scenarios of the models on real threads, many times over, and what a model cannot show: bad use, the clock,
//! panics of other people's code.
#![cfg(not(loom))]

use std::cell::RefCell;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use latchwork::SharedError;
use latchwork::worker::{Ended, Phase, join_all};
use latchwork::{Backoff, Cause, Epoch, Interrupt, Interrupted, Latch, RestartPolicy, Run, Waited, Worker};

const TIMES: usize = 300;
const LONG: Duration = Duration::from_secs(3600);

/// The smallest executor: it parks the thread. It takes nothing from this crate, and nothing from another.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Thread(thread::Thread);
    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Thread(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_with(future, Waker::noop())
}

fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counts(AtomicUsize);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Goes on until `done`, which another thread brings about.
fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        thread::yield_now();
    }
}

mod latch {
    use super::*;

    #[test]
    fn open_lets_waiters_through() {
        for _ in 0..TIMES {
            let (latch, written) = (Latch::new(), AtomicUsize::new(0));
            let seen = || assert_eq!(written.load(Ordering::Relaxed), 1);
            thread::scope(|scope| {
                scope.spawn(|| {
                    latch.wait();
                    seen();
                });
                scope.spawn(|| {
                    block_on(latch.opened());
                    seen();
                });
                scope.spawn(|| {
                    pollster::block_on(latch.opened());
                    seen();
                });
                written.store(1, Ordering::Relaxed);
                assert!(latch.open());
            });
        }
    }

    #[test]
    fn open_and_close_at_once_lose_no_waiter() {
        for _ in 0..TIMES {
            let latch = Latch::new();
            let mut present = latch.opened();
            assert!(poll_once(&mut present).is_pending());
            thread::scope(|scope| {
                scope.spawn(|| block_on(present));
                assert!(latch.open());
                assert!(latch.close());
            });
            assert!(!latch.is_open());
        }
    }

    #[test]
    fn release_counts_those_it_lets_through() {
        for _ in 0..TIMES {
            let latch = Latch::new();
            thread::scope(|scope| {
                let waiters: Vec<_> = (0..3).map(|_| scope.spawn(|| latch.wait())).collect();
                let mut released = 0;
                until(|| {
                    released += latch.release();
                    released == waiters.len()
                });
                for waiter in waiters {
                    waiter.join().unwrap();
                }
                assert_eq!(latch.release(), 0);
            });
        }
    }

    #[test]
    fn a_wait_that_ends_as_it_is_released_has_one_outcome() {
        for n in 0..TIMES {
            let (latch, interrupt) = (Latch::new(), Interrupt::new());
            let short = Duration::from_micros(n as u64 % 100);
            thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    if n % 2 == 0 {
                        latch.opened().wait_timeout(short)
                    } else {
                        latch.opened().wait_or(&interrupt, Instant::now() + LONG)
                    }
                });
                let setter = scope.spawn(|| interrupt.set(Cause::Stop));
                let mut released = 0;
                until(|| {
                    released += latch.release();
                    waiter.is_finished()
                });
                assert_eq!(usize::from(waiter.join().unwrap().is_ready()), released);
                assert!(setter.join().unwrap());
            });
            assert_eq!(latch.release(), 0, "a trace of the wait is left");
        }
    }

    #[test]
    fn a_waiter_that_gives_up_takes_no_other_wake() {
        for _ in 0..TIMES {
            let latch = Latch::new();
            thread::scope(|scope| {
                scope.spawn(|| latch.wait());
                scope.spawn(|| {
                    let mut leaver = latch.opened();
                    let _ = poll_once(&mut leaver);
                });
                let _ = latch.opened().wait_timeout(Duration::from_micros(20));
                latch.open();
            });
        }
    }

    #[test]
    fn a_wait_that_is_dropped_leaves_no_trace() {
        let latch = Latch::new();
        let mut waits = [(); 3].map(|()| latch.opened());
        assert!(waits.iter_mut().all(|wait| poll_once(wait).is_pending()));
        let [first, _, last] = waits;
        drop((first, last));
        assert_eq!(latch.release(), 1);
        let mut newcomer = latch.opened();
        assert!(poll_once(&mut newcomer).is_pending());
        assert_eq!(latch.release(), 1, "a place that was given up is taken by the next");
    }

    #[test]
    fn a_latch_is_a_turn() {
        let (turn, inside) = (Latch::new_open(), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..TIMES {
                        until(|| {
                            turn.wait();
                            turn.close()
                        });
                        assert!(!inside.swap(true, Ordering::Relaxed), "two have the turn");
                        inside.store(false, Ordering::Relaxed);
                        turn.open();
                    }
                });
            }
        });
    }

    #[test]
    fn each_change_has_one_author() {
        let latch = Latch::new();
        assert!(!latch.close());
        assert!(latch.open());
        assert!(!latch.open());
        assert_eq!(latch.release(), 0, "an open latch has no waiters");
        assert!(latch.is_open(), "`release` leaves an open latch open");
        assert!(latch.close());
        assert!(!latch.close());
    }

    #[test]
    fn the_shortest_timeouts_look_and_the_longest_wait() {
        let latch = Latch::new();
        assert_eq!(latch.opened().wait_timeout(Duration::ZERO), Waited::TimedOut);
        assert_eq!(latch.opened().wait_deadline(Instant::now()), Waited::TimedOut);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| latch.opened().wait_timeout(Duration::MAX));
            until(|| latch.release() == 1);
            assert_eq!(waiter.join().unwrap(), Waited::Ready(()));
        });
        latch.open();
        assert_eq!(latch.opened().wait_timeout(Duration::ZERO), Waited::Ready(()));
        assert_eq!(latch.opened().wait_deadline(Instant::now()), Waited::Ready(()));
        let interrupt = Interrupt::new();
        interrupt.set(Cause::Stop);
        assert_eq!(latch.opened().wait_or(&interrupt, None), Waited::Ready(()), "what has come is looked at first");
        latch.close();
        assert_eq!(latch.opened().wait_or(&interrupt, None), Waited::Interrupted(Cause::Stop));
    }

    #[test]
    fn a_deadline_is_not_early() {
        let (latch, started) = (Latch::new(), Instant::now());
        let timeout = Duration::from_millis(20);
        assert_eq!(latch.opened().wait_timeout(timeout), Waited::TimedOut);
        assert!(started.elapsed() >= timeout);
    }

    #[test]
    fn a_waker_that_panics_keeps_no_other_asleep() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                resume_unwind(Box::new("a waker panics"));
            }
        }
        let latch = Latch::new();
        let (mut first, mut second) = (latch.opened(), latch.opened());
        assert!(poll_with(&mut first, &Waker::from(Arc::new(Panics))).is_pending());
        assert!(poll_with(&mut second, &Waker::from(Arc::new(Panics))).is_pending());
        thread::scope(|scope| {
            let last = scope.spawn(|| latch.wait());
            let mut released = 0;
            until(|| {
                // A waiter that comes after the release is let through by the next one.
                let released_now = catch_unwind(AssertUnwindSafe(|| latch.release()));
                released += usize::from(released_now.is_err());
                last.is_finished()
            });
            assert_eq!(released, 1, "the panic reaches the caller of release, once");
            last.join().unwrap();
        });
        assert!(poll_once(&mut first).is_ready() && poll_once(&mut second).is_ready());
    }

    #[test]
    fn a_waker_is_replaced_by_the_latest() {
        let (latch, former, latest) = (Latch::new(), Arc::new(Counts::default()), Arc::new(Counts::default()));
        let mut wait = latch.opened();
        assert!(poll_with(&mut wait, &Waker::from(Arc::clone(&former))).is_pending());
        assert!(poll_with(&mut wait, &Waker::from(Arc::clone(&latest))).is_pending());
        assert_eq!(Arc::strong_count(&former), 1, "the former waker is kept");
        assert_eq!(latch.release(), 1);
        assert_eq!((former.0.load(Ordering::Relaxed), latest.0.load(Ordering::Relaxed)), (0, 1));
        assert!(poll_once(&mut wait).is_ready());
    }
}

mod epoch {
    use super::*;

    #[test]
    fn a_bump_is_never_missed() {
        let (epoch, changes) = (Epoch::new(), AtomicU64::new(0));
        let all = TIMES as u64 * 10;
        let follow = |wait: &dyn Fn(u64) -> u64| {
            let mut seen = epoch.current();
            while changes.load(Ordering::Relaxed) < all {
                let now = wait(seen);
                assert!(now > seen && changes.load(Ordering::Relaxed) >= now, "counted before it was written");
                seen = now;
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| follow(&|seen| epoch.past(seen).wait()));
            scope.spawn(|| follow(&|seen| block_on(epoch.past(seen))));
            scope.spawn(|| {
                follow(&|seen| {
                    loop {
                        if let Waited::Ready(now) = epoch.past(seen).wait_timeout(Duration::from_micros(10)) {
                            return now;
                        }
                    }
                });
            });
            for n in 1..=all {
                changes.store(n, Ordering::Relaxed);
                assert_eq!(epoch.bump(), n);
            }
        });
        assert_eq!(epoch.current(), all);
    }

    #[test]
    fn a_bump_wakes_everybody_once() {
        let epoch = Epoch::new();
        let counts = [(); 3].map(|()| Arc::new(Counts::default()));
        let mut waits = counts.each_ref().map(|count| (epoch.past(0), Waker::from(Arc::clone(count))));
        assert!(waits.iter_mut().all(|(wait, waker)| poll_with(wait, waker).is_pending()));
        assert_eq!([epoch.bump(), epoch.bump()], [1, 2]);
        assert!(counts.iter().all(|count| count.0.load(Ordering::Relaxed) == 1));
        assert!(waits.iter_mut().all(|(wait, waker)| poll_with(wait, waker) == Poll::Ready(2)));
    }

    #[test]
    fn a_wait_that_is_dropped_leaves_the_count() {
        let epoch = Epoch::new();
        assert_eq!(epoch.bump(), 1);
        let mut wait = epoch.past(1);
        assert!(poll_once(&mut wait).is_pending());
        drop(wait);
        assert_eq!((epoch.current(), epoch.bump()), (1, 2));
    }

    #[test]
    fn bumps_from_many_threads_are_all_counted() {
        let epoch = Epoch::new();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..TIMES {
                        epoch.bump();
                    }
                });
            }
            assert_eq!(epoch.past(3 * TIMES as u64 - 1).wait(), 3 * TIMES as u64);
        });
    }

    #[test]
    fn the_shortest_timeouts_look_and_the_longest_wait() {
        let epoch = Epoch::new();
        assert_eq!(epoch.past(0).wait_timeout(Duration::ZERO).ready(), None);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| epoch.past(0).wait_timeout(Duration::MAX));
            assert_eq!(epoch.bump(), 1);
            assert_eq!(waiter.join().unwrap().ready(), Some(1));
        });
        assert_eq!(epoch.past(0).wait_deadline(Instant::now()), Waited::Ready(1));
        let interrupt = Interrupt::new();
        interrupt.set(Cause::Clear);
        assert_eq!(epoch.past(0).wait_or(&interrupt, None), Waited::Ready(1));
        assert_eq!(epoch.past(1).wait_or(&interrupt, None), Waited::Interrupted(Cause::Clear));
    }
}

mod interrupt {
    use super::*;

    #[test]
    fn into_result_says_what_came_or_why_it_did_not() {
        let (latch, interrupt) = (Latch::new_open(), Interrupt::new());
        assert_eq!(latch.opened().wait_timeout(Duration::ZERO).into_result(), Ok(()));
        latch.close();
        let timed_out = latch.opened().wait_timeout(Duration::ZERO).into_result().unwrap_err();
        assert_eq!(
            (timed_out, timed_out.to_string().as_str()),
            (Interrupted { cause: Cause::Deadline }, "interrupted: deadline")
        );
        interrupt.set(Cause::Restart);
        let interrupted = latch.opened().wait_or(&interrupt, None).into_result().unwrap_err();
        assert_eq!(Err(interrupted), interrupt.check());
        assert_eq!(interrupted.to_string(), "interrupted: restart");
    }

    #[test]
    fn it_ends_every_kind_of_wait() {
        for _ in 0..TIMES {
            let interrupt = Interrupt::new();
            thread::scope(|scope| {
                let blocked = scope.spawn(|| interrupt.wait());
                let task = scope.spawn(|| block_on(interrupt.triggered()));
                let sleeper = scope.spawn(|| interrupt.sleep(Duration::MAX));
                assert!(interrupt.set(Cause::Restart));
                assert_eq!(blocked.join().unwrap(), Cause::Restart);
                assert_eq!(task.join().unwrap(), Cause::Restart);
                assert_eq!(sleeper.join().unwrap(), Err(Interrupted { cause: Cause::Restart }));
            });
        }
    }

    #[test]
    fn the_first_cause_stays_and_every_setter_sees_it() {
        for _ in 0..TIMES {
            let interrupt = Interrupt::new();
            let set = |cause| {
                let first = interrupt.set(cause);
                (first, interrupt.cause().expect("`set` has returned"))
            };
            let (one, other) = thread::scope(|scope| {
                let other = scope.spawn(|| set(Cause::Stop));
                (set(Cause::Clear), other.join().unwrap())
            });
            assert_ne!(one.0, other.0, "one of the two is the first");
            assert_eq!(one.1, other.1);
            assert_eq!(one.1, if one.0 { Cause::Clear } else { Cause::Stop });
        }
    }

    #[test]
    fn children_are_set_with_their_parent_and_alone() {
        for _ in 0..TIMES {
            let parent = Interrupt::new();
            let alone = parent.child();
            assert!(alone.set(Cause::Other("alone")));
            assert!(!parent.is_set());
            thread::scope(|scope| {
                scope.spawn(|| parent.set(Cause::Stop));
                for _ in 0..5 {
                    drop(parent.child());
                    assert_eq!(parent.child().child().wait(), Cause::Stop);
                }
            });
            assert_eq!(alone.cause(), Some(Cause::Other("alone")));
        }
    }

    #[test]
    fn a_grandchild_is_set_with_its_root_though_the_child_between_is_gone() {
        for n in 0..TIMES {
            let root = Interrupt::new();
            let child = root.child();
            let grandchild = child.child();
            let sibling = child.child();
            thread::scope(|scope| {
                let setter = scope.spawn(|| root.set(Cause::Stop));
                if n % 2 == 0 {
                    setter.join().unwrap();
                }
                drop(child);
                drop(sibling);
                assert_eq!(grandchild.wait(), Cause::Stop);
            });
        }
        let grandchild = {
            let root = Interrupt::new();
            let grandchild = root.child().child();
            root.set(Cause::Clear);
            grandchild
        };
        assert_eq!(grandchild.cause(), Some(Cause::Clear));
    }

    #[test]
    fn set_returns_to_every_setter_after_the_descendants_are_set() {
        for _ in 0..TIMES {
            let root = Interrupt::new();
            let line: Vec<_> = (0..50).map(|_| root.child()).collect();
            let below: Vec<_> = line.iter().map(Interrupt::child).collect();
            let set = |cause| {
                root.set(cause);
                assert!(line.iter().chain(&below).all(Interrupt::is_set), "`set` has returned");
            };
            thread::scope(|scope| {
                scope.spawn(|| set(Cause::Stop));
                set(Cause::Clear);
            });
            assert!(line.iter().chain(&below).all(|token| token.cause() == root.cause()));
        }
    }

    /// A line that is longer than a stack, with all of its tokens in use and with the last alone.
    #[test]
    fn a_long_line_of_children_is_set_and_dropped() {
        const LENGTH: usize = 100_000;
        let mut line = vec![Interrupt::new()];
        for _ in 0..LENGTH {
            line.push(line[line.len() - 1].child());
        }
        assert!(line[0].set(Cause::Stop));
        assert!(line.iter().all(|token| token.cause() == Some(Cause::Stop)));
        drop(line);

        let root = Interrupt::new();
        let mut last = root.clone();
        for _ in 0..LENGTH {
            last = last.child();
        }
        drop(root.child());
        assert!(root.set(Cause::Clear));
        assert_eq!(last.cause(), Some(Cause::Clear));
        drop(last);

        let mut unset = Interrupt::new();
        for _ in 0..LENGTH {
            unset = unset.child();
        }
        drop(unset);
    }

    #[test]
    fn a_waker_that_panics_as_it_is_set_keeps_no_descendant_unset() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                resume_unwind(Box::new("a waker"));
            }
        }
        let root = Interrupt::new();
        let [first, middle, last] = [(); 3].map(|()| root.child());
        let [above, below] = [root.child(), middle.child()];
        let mut task = middle.triggered();
        assert!(poll_with(&mut task, &Waker::from(Arc::new(Panics))).is_pending());
        let panicked = catch_unwind(|| root.set(Cause::Stop)).expect_err("the panic comes out of `set`");
        assert_eq!(panicked.downcast_ref(), Some(&"a waker"));
        for token in [&root, &first, &middle, &last, &above, &below] {
            assert_eq!(token.cause(), Some(Cause::Stop));
        }
        assert_eq!(poll_once(&mut task), Poll::Ready(Cause::Stop));
    }

    #[test]
    fn a_sleep_lasts_as_long_as_it_should() {
        let (interrupt, started) = (Interrupt::new(), Instant::now());
        let time = Duration::from_millis(20);
        assert_eq!(interrupt.sleep(time), Ok(()));
        assert!(started.elapsed() >= time);
        assert_eq!(interrupt.sleep(Duration::ZERO), Ok(()));
        assert_eq!(interrupt.check(), Ok(()));
        interrupt.set(Cause::Stop);
        assert_eq!(interrupt.sleep(Duration::ZERO), Err(Interrupted { cause: Cause::Stop }));
        assert_eq!(interrupt.check().unwrap_err().to_string(), "interrupted: stop");
    }
}

mod worker {
    use super::*;

    type Outcome = Result<(), SharedError>;

    fn until_interrupted(run: &Run) -> Outcome {
        let cause = run.interrupt().wait();
        Err(Interrupted { cause }.into())
    }

    #[test]
    fn under_a_storm_of_restarts_runs_never_overlap_and_none_is_lost() {
        let (inside, begun) = (AtomicBool::new(false), Arc::new(AtomicU64::new(0)));
        // The body's panics are contained: what it sees is asserted outside.
        let violated = Arc::new(AtomicBool::new(false));
        let worker = Worker::spawn("storm", {
            let (begun, violated) = (Arc::clone(&begun), Arc::clone(&violated));
            move |run: &Run| -> Outcome {
                let alone = !inside.swap(true, Ordering::AcqRel);
                let in_order = begun.fetch_add(1, Ordering::AcqRel) + 1 == run.generation();
                violated.fetch_or(!(alone && in_order), Ordering::Relaxed);
                let _ended_early =
                    run.interrupt().triggered().wait_timeout(Duration::from_micros(run.generation() % 50));
                inside.store(false, Ordering::Release);
                if run.generation() % 7 == 0 {
                    resume_unwind(Box::new("every seventh run panics"));
                }
                Ok(())
            }
        })
        .unwrap();
        let served = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for n in 0..TIMES {
                        served.fetch_max(worker.restart().unwrap(), Ordering::Relaxed);
                        if n % 10 == 0 {
                            worker.idle().wait();
                        }
                    }
                });
            }
        });
        worker.idle().wait();
        assert!(!violated.load(Ordering::Relaxed), "two runs at once, or out of order");
        assert_eq!(begun.load(Ordering::Acquire), served.load(Ordering::Relaxed), "as many runs as were asked for");
        assert_eq!(worker.join().generation, served.into_inner());
    }

    /// A worker in its first run, which ends once the latch is open, as do all after it.
    fn held(name: &str) -> (Worker, Arc<Latch>) {
        let (begun, go_on) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
        let worker = Worker::spawn(name, {
            let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
            move |_: &Run| -> Outcome {
                begun.open();
                go_on.wait();
                Ok(())
            }
        })
        .unwrap();
        begun.wait();
        (worker, go_on)
    }

    #[test]
    fn many_requests_while_a_run_winds_down_make_one_run() {
        let (worker, go_on) = held("winds down");
        for _ in 0..TIMES {
            assert_eq!(worker.restart(), Ok(2));
        }
        let status = worker.status();
        assert_eq!((status.phase, status.generation, status.requested), (Phase::Running, 1, true));
        go_on.open();
        worker.idle().wait();
        assert_eq!(worker.join().generation, 2);
    }

    #[test]
    fn a_request_that_is_owed_when_it_stops_is_not_served() {
        let (worker, go_on) = held("owes a run");
        assert_eq!(worker.restart(), Ok(2));
        assert!(worker.stop());
        go_on.open();
        assert_eq!(worker.join().generation, 1);
    }

    #[test]
    fn stop_beats_restart_and_is_for_good() {
        for _ in 0..TIMES {
            let worker = Worker::spawn("stops", until_interrupted).unwrap();
            let handle = worker.handle().clone();
            let begun = thread::scope(|scope| {
                scope.spawn(|| while handle.restart().is_ok() {});
                assert!(worker.stop());
                worker.status().generation
            });
            let status = worker.join();
            assert_eq!(status.generation, begun, "a run has begun after `stop`");
            assert_eq!(
                (status.phase, handle.restart(), handle.stop()),
                (Phase::Stopped, Err(Interrupted { cause: Cause::Stop }), false)
            );
            handle.clear();
            handle.idle().wait();
        }
    }

    #[test]
    fn what_is_cleared_has_ended_and_nothing_runs_unknown() {
        let inside = Arc::new(AtomicBool::new(false));
        let worker = Worker::spawn("cleared", {
            let inside = Arc::clone(&inside);
            move |run: &Run| {
                inside.store(true, Ordering::Release);
                let ended = until_interrupted(run);
                inside.store(false, Ordering::Release);
                ended
            }
        })
        .unwrap();
        for _ in 0..TIMES {
            thread::scope(|scope| {
                scope.spawn(|| worker.restart().unwrap());
                worker.clear();
            });
            worker.clear();
            worker.idle().wait();
            assert!(!inside.load(Ordering::Acquire), "an orphan runs on");
            let status = worker.status();
            assert_eq!((status.phase, status.requested), (Phase::Idle, false));
        }
    }

    #[test]
    fn a_panic_ends_the_run_alone_and_is_told() {
        let worker = Worker::spawn("panics", |run: &Run| -> Outcome {
            match run.generation() {
                1 => resume_unwind(Box::new("a word")),
                2 => resume_unwind(Box::new(String::from("a sentence"))),
                3 => resume_unwind(Box::new(7_u8)),
                _ => Err("no panic".into()),
            }
        })
        .unwrap();
        for message in ["a word", "a sentence", "(no message)"] {
            worker.idle().wait();
            let status = worker.status();
            assert_eq!(status.phase, Phase::GivenUp);
            match status.last_exit.unwrap().ended {
                Ended::Panicked(told) => assert_eq!(&*told, message),
                ended => panic!("expected a panic, got {ended:?}"),
            }
            worker.restart().unwrap();
        }
        worker.idle().wait();
        assert_eq!(worker.join().last_exit.unwrap().to_string(), "run 4 failed: no panic");
    }

    #[test]
    fn the_policy_restarts_a_run_that_fails_until_it_gives_up() {
        let quick = Backoff::new(Duration::from_micros(10), Duration::from_millis(1));
        let policy = RestartPolicy::on_failure(quick).with_intensity(5, LONG);
        let worker = Worker::spawn_with("fails", policy, |_: &Run| -> Outcome { Err("again".into()) }).unwrap();
        worker.idle().wait();
        let status = worker.status();
        assert_eq!((status.phase, status.generation), (Phase::GivenUp, 6));
        assert_eq!(worker.restart(), Ok(7));
        worker.idle().wait();
        assert_eq!(worker.join().generation, 12, "asking for a run makes it forget earlier failures");
    }

    #[test]
    fn a_restart_does_not_wait_for_a_backoff_and_clear_ends_it() {
        let policy = RestartPolicy::on_failure(Backoff::new(LONG, LONG));
        let worker = Worker::spawn_with("backs off", policy, |_: &Run| -> Outcome { Err("again".into()) }).unwrap();
        for generation in 2..20 {
            until(|| matches!(worker.status().phase, Phase::BackingOff { .. }));
            assert_eq!(worker.idle().wait_timeout(Duration::ZERO), Waited::TimedOut, "a backoff is not idle");
            assert_eq!(worker.restart(), Ok(generation));
        }
        until(|| worker.status().generation == 19 && matches!(worker.status().phase, Phase::BackingOff { .. }));
        worker.clear();
        assert_eq!(worker.status().phase, Phase::Idle);
        assert_eq!(worker.join().generation, 19);
    }

    #[test]
    fn a_join_that_times_out_hands_the_worker_back() {
        let go_on = Arc::new(Latch::new());
        let spawn = || {
            let go_on = Arc::clone(&go_on);
            Worker::spawn("does not heed", move |_: &Run| -> Outcome {
                go_on.wait();
                Ok(())
            })
            .unwrap()
        };
        let (worker, heeds) = (spawn(), Worker::spawn("heeds", until_interrupted).unwrap());
        until(|| worker.status().generation == 1);
        let worker = worker.join_timeout(Duration::ZERO).unwrap_err();
        assert!(worker.status().stopping);
        let mut joined = join_all([worker, heeds], Duration::from_millis(100));
        assert_eq!(joined.pop().unwrap().unwrap().phase, Phase::Stopped);
        go_on.open();
        let worker = joined.pop().unwrap().unwrap_err();
        assert_eq!(worker.join_timeout(Duration::MAX).unwrap().phase, Phase::Stopped);
    }

    #[test]
    fn tasks_wait_for_idle_and_for_the_end() {
        for _ in 0..TIMES {
            let worker = Worker::spawn("awaited", |_: &Run| -> Outcome { Ok(()) }).unwrap();
            let handle = worker.handle().clone();
            let task = thread::spawn(move || pollster::block_on(handle.stopped()));
            block_on(worker.idle());
            assert_eq!(worker.status().generation, 1);
            worker.stop();
            task.join().unwrap();
        }
    }

    #[test]
    fn its_status_says_what_it_does() {
        let worker = Worker::spawn("said", until_interrupted).unwrap();
        assert_eq!(worker.status().to_string(), "is in run 1");
        worker.clear();
        assert_eq!(worker.status().to_string(), "is idle after run 1");
        worker.restart().unwrap();
        until(|| worker.status().phase == Phase::Running);
        assert_eq!(worker.join().to_string(), "has stopped after run 2");
    }

    #[test]
    fn its_name_is_its_threads() {
        let (tell, told) = mpsc::channel();
        let worker = Worker::spawn("named", move |_: &Run| -> Outcome {
            tell.send(thread::current().name().map(str::to_owned))?;
            Ok(())
        })
        .unwrap();
        assert_eq!(told.recv().unwrap().as_deref(), Some("named"));
        assert_eq!(worker.name(), "named");
    }

    #[test]
    fn a_worker_that_is_joined_has_ended_altogether() {
        /// What a body leaves to its thread, which drops it at its very end. That takes a while.
        struct Left(Arc<AtomicBool>);
        impl Drop for Left {
            fn drop(&mut self) {
                thread::sleep(Duration::from_millis(5));
                self.0.store(true, Ordering::Release);
            }
        }
        thread_local!(static LEFT: RefCell<Option<Left>> = const { RefCell::new(None) });
        let ends: [fn(Worker); 3] =
            [|worker| drop(worker.join()), |worker| drop(worker.join_timeout(Duration::MAX)), drop];
        for end in ends {
            let gone = Arc::new(AtomicBool::new(false));
            let left = Arc::clone(&gone);
            let worker = Worker::spawn("leaves something", move |_: &Run| -> Outcome {
                LEFT.set(Some(Left(Arc::clone(&left))));
                Ok(())
            })
            .unwrap();
            worker.idle().wait();
            end(worker);
            assert!(gone.load(Ordering::Acquire), "the thread goes on");
        }
    }

    #[test]
    fn join_timeout_and_join_all_do_not_wait_for_thread_locals() {
        /// Is dropped at the thread's very end, which waits until it may.
        struct Left(Arc<AtomicBool>, Arc<AtomicBool>);
        impl Drop for Left {
            fn drop(&mut self) {
                let begun = Instant::now();
                while !self.0.load(Ordering::Acquire) && begun.elapsed() < Duration::from_secs(20) {
                    thread::sleep(Duration::from_millis(1));
                }
                self.1.store(true, Ordering::Release);
            }
        }
        thread_local!(static LEFT: RefCell<Option<Left>> = const { RefCell::new(None) });
        let ends: [fn(Worker) -> Phase; 2] = [
            |worker| worker.join_timeout(LONG).expect("it heeds").phase,
            |worker| join_all([worker], LONG).remove(0).expect("it heeds").phase,
        ];
        for end in ends {
            let [may_end, gone] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
            let (may, ended) = (Arc::clone(&may_end), Arc::clone(&gone));
            let worker = Worker::spawn("leaves something", move |_: &Run| -> Outcome {
                LEFT.set(Some(Left(Arc::clone(&may), Arc::clone(&ended))));
                Ok(())
            })
            .unwrap();
            worker.idle().wait();
            assert_eq!(end(worker), Phase::Stopped);
            assert!(!gone.load(Ordering::Acquire), "it waited for the thread's very end");
            may_end.store(true, Ordering::Release);
            until(|| gone.load(Ordering::Acquire));
        }
    }

    #[test]
    fn dropping_a_worker_stops_it_and_waits_for_its_end() {
        struct Ends(Arc<AtomicBool>);
        impl Drop for Ends {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Release);
            }
        }
        for _ in 0..TIMES {
            let ended = Arc::new(AtomicBool::new(false));
            let ends = Ends(Arc::clone(&ended));
            drop(Worker::spawn("dropped", move |run: &Run| {
                let _ends = &ends;
                until_interrupted(run)
            }));
            assert!(ended.load(Ordering::Acquire), "the body outlives its worker");
        }
    }

    /// A task waits for this worker, with a waker that panics.
    fn await_with_a_waker_that_panics(worker: &Worker) {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                resume_unwind(Box::new("a waker panics"));
            }
        }
        // It is not dropped: that would give up its place.
        let mut wait = ManuallyDrop::new(worker.stopped());
        assert!(poll_with(&mut *wait, &Waker::from(Arc::new(Panics))).is_pending());
    }

    #[test]
    fn a_drop_or_a_join_waits_for_the_end_whatever_a_waker_does() {
        let ends: [fn(Worker); 4] = [
            drop,
            |worker| assert_eq!(worker.join().phase, Phase::Stopped),
            |worker| assert_eq!(worker.join_timeout(Duration::MAX).unwrap().phase, Phase::Stopped),
            |worker| assert!(join_all([worker], Duration::MAX)[0].is_ok()),
        ];
        for end in ends {
            let (worker, go_on) = held("is awaited");
            await_with_a_waker_that_panics(&worker);
            let handle = worker.handle().clone();
            let ending = thread::spawn({
                let handle = handle.clone();
                move || {
                    end(worker);
                    handle.status().phase
                }
            });
            until(|| handle.status().stopping);
            go_on.open();
            assert_eq!(ending.join().expect("it does not panic"), Phase::Stopped);
        }
    }

    #[test]
    fn join_timeout_waits_no_longer_and_join_all_stops_all_whatever_a_waker_does() {
        let held = || {
            let (worker, go_on) = held("is awaited");
            await_with_a_waker_that_panics(&worker);
            (worker, go_on)
        };
        let ((alone, end), (one, end_one), (other, end_other)) = (held(), held(), held());
        let alone = alone.join_timeout(Duration::ZERO).expect_err("its run goes on");
        let joined = join_all([one, other], Duration::ZERO);
        assert!(joined.iter().all(|joined| joined.as_ref().is_err_and(|worker| worker.status().stopping)));
        [end, end_one, end_other].iter().for_each(|end| _ = end.open());
        assert_eq!(alone.join().phase, Phase::Stopped);
    }

    #[test]
    fn restart_stop_and_clear_have_done_all_when_a_waker_panics() {
        fn panics<T>(act: impl FnOnce() -> T) {
            let panicked = catch_unwind(AssertUnwindSafe(act)).err().expect("the caller is told");
            assert_eq!(panicked.downcast_ref(), Some(&"a waker panics"));
        }
        // Its runs take a while to end, so that it is seen what does not wait for that.
        let worker = Worker::spawn("is awaited", |run: &Run| -> Outcome {
            run.interrupt().wait();
            thread::sleep(Duration::from_millis(5));
            Ok(())
        })
        .unwrap();
        await_with_a_waker_that_panics(&worker);
        panics(|| worker.restart());
        until(|| worker.status().generation == 2);
        await_with_a_waker_that_panics(&worker);
        panics(|| worker.clear());
        assert_eq!(worker.status().phase, Phase::Idle, "it has not waited");
        assert_eq!(worker.restart(), Ok(3));
        until(|| worker.status().generation == 3);
        await_with_a_waker_that_panics(&worker);
        panics(|| worker.stop());
        assert_eq!(worker.join().last_exit.unwrap().interrupted, Some(Cause::Stop));
    }

    /// A panic whose payload panics as it is dropped, and so on.
    struct Nested(u8);

    impl Drop for Nested {
        fn drop(&mut self) {
            if let Some(rest) = self.0.checked_sub(1) {
                resume_unwind(Box::new(Nested(rest)));
            }
        }
    }

    #[test]
    fn join_does_not_panic_with_what_is_left_of_the_panics_of_its_body() {
        let nested = Nested(9);
        let worker = Worker::spawn("leaves a panic", move |_: &Run| -> Outcome {
            let _dropped_with_the_body = &nested;
            Ok(())
        })
        .unwrap();
        assert_eq!(worker.join().phase, Phase::Stopped);
    }

    /// What a body does to its own worker, and how its run ended.
    fn from_its_own_body(misuse: impl Fn(Worker) + Send + 'static) -> Ended {
        let (give, take) = mpsc::channel::<Worker>();
        let worker = Worker::spawn("turns on itself", move |_: &Run| -> Outcome {
            if let Ok(worker) = take.recv() {
                misuse(worker);
            }
            Ok(())
        })
        .unwrap();
        let handle = worker.handle().clone();
        give.send(worker).unwrap();
        block_on(handle.stopped());
        handle.status().last_exit.unwrap().ended
    }

    #[test]
    fn a_body_that_would_wait_for_itself_panics() {
        let silent = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if thread::current().name() != Some("turns on itself") {
                silent(info);
            }
        }));
        type Misuse = fn(Worker);
        let misuses: [(&str, Misuse); 7] = [
            ("join", |worker| drop(worker.join())),
            ("join", |worker| drop(worker.join_timeout(LONG))),
            ("clear", |worker| worker.clear()),
            ("clear", |worker| _ = worker.clear_timeout(LONG)),
            ("idle", |worker| worker.idle().wait()),
            ("idle", |worker| block_on(worker.idle())),
            ("stopped", |worker| _ = block_on(worker.stopped())),
        ];
        for (name, misuse) in misuses {
            let expected = format!(
                "`{name}` of worker \"turns on itself\" was called from its own body: it would wait for itself"
            );
            match from_its_own_body(misuse) {
                Ended::Panicked(message) => assert_eq!(*message, *expected),
                ended => panic!("expected a panic, got {ended:?}"),
            }
        }
    }

    #[test]
    fn a_worker_dropped_by_its_own_body_only_stops() {
        assert!(matches!(from_its_own_body(drop), Ended::Completed));
    }

    #[test]
    fn a_body_may_restart_and_stop_its_own_worker() {
        let own = Arc::new(Mutex::new(None::<latchwork::worker::Handle>));
        let known = Arc::new(Latch::new());
        let worker = Worker::spawn("restarts itself", {
            let (own, known) = (Arc::clone(&own), Arc::clone(&known));
            move |run: &Run| -> Outcome {
                known.wait();
                let own = own.lock().unwrap().clone().unwrap();
                if run.generation() < 10 {
                    assert_eq!(own.restart().unwrap(), run.generation() + 1);
                } else {
                    own.stop();
                }
                assert!(run.interrupt().is_set());
                Ok(())
            }
        })
        .unwrap();
        *own.lock().unwrap() = Some(worker.handle().clone());
        known.open();
        block_on(worker.stopped());
        assert_eq!(worker.join().generation, 10);
    }

    #[test]
    fn a_name_with_a_zero_byte_is_an_error() {
        let error = Worker::spawn("a\0b", |_: &Run| -> Outcome { Ok(()) }).unwrap_err();
        assert_eq!(
            error.to_string(),
            "could not start a thread for worker \"a\\0b\": expected a name without zero bytes"
        );
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_body_whose_end_panics_takes_no_waiter_with_it() {
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                resume_unwind(Box::new("the body's drop panics"));
            }
        }
        let panics = Panics;
        let worker = Worker::spawn("ends badly", move |_: &Run| -> Outcome {
            let _panics = &panics;
            Ok(())
        })
        .unwrap();
        assert_eq!(worker.join().phase, Phase::Stopped);
    }
}

/// A task that waits for the worker, with a waker that panics: the run is told all the same.
#[test]
fn restart_clear_and_stop_interrupt_the_run_although_a_waker_panics() {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Wake, Waker};

    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker's")
        }
    }

    let calls: [fn(&latchwork::worker::Handle); 3] =
        [|handle| _ = handle.restart(), |handle| handle.clear(), |handle| _ = handle.stop()];
    for call in calls {
        let (ended, ends) = std::sync::mpsc::channel();
        let worker = latchwork::Worker::spawn("told", move |run: &latchwork::Run| {
            run.interrupt().wait();
            ended.send(()).map_err(|_| "the test is over")
        })
        .unwrap();
        let panics = Waker::from(Arc::new(Panics));
        let mut idle = pin!(worker.idle());
        let waits = idle.as_mut().poll(&mut Context::from_waker(&panics));
        assert!(waits.is_pending());
        let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(worker.handle())));
        assert!(called.is_err(), "the waker's panic comes out of the call");
        ends.recv_timeout(std::time::Duration::from_secs(20)).expect("the run is told to end");
    }
}
