//! Models of `Worker`.
//!
//! A worker is one thread. Its body is contained: what it sees goes into a [`Record`] and is asserted by main.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, OnceLock};

use super::latchwork;
use latchwork::SharedError;
use latchwork::sync::model::end_time;
use latchwork::worker::{Ended, Handle, Phase};
use latchwork::{Backoff, Cause, Interrupt, Interrupted, Latch, RestartPolicy, Run, Waited, Worker};
use loom::sync::atomic::{AtomicBool, Ordering};

use super::executor::block_on;
use super::thread::{self, JoinHandle};
use super::{SOON, spawn};

type Outcome = Result<(), SharedError>;

/// What a body has seen.
#[derive(Default)]
struct Record {
    /// Whether a run is going on.
    inside: AtomicBool,
    /// Whether a run has begun as another was going on. No step of the model.
    overlapped: std::sync::atomic::AtomicBool,
    /// Main's: has it come so far?
    flag: AtomicBool,
    /// Each run that has begun, and whether it found `flag` up. No step of the model: a lock of the real world, never
    /// held at one.
    runs: Mutex<Vec<(u64, bool)>>,
    /// The latest generation that was asked for. No step of the model.
    asked: std::sync::atomic::AtomicU64,
    own: OnceLock<Handle>,
}

impl Record {
    fn enter(&self, run: &Run) {
        let alone = !self.inside.swap(true, Ordering::AcqRel);
        self.overlapped.fetch_or(!alone, Ordering::Relaxed);
        let flag = self.flag.load(Ordering::Relaxed);
        self.runs.lock().unwrap().push((run.generation(), flag));
    }

    /// The worker itself, for its body.
    fn own(&self) -> &Handle {
        self.own.get().expect("main knows it before any thread takes a step")
    }

    fn asks_for(&self, generation: u64) {
        self.asked.fetch_max(generation, Ordering::Relaxed);
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn leave(&self) {
        self.inside.store(false, Ordering::Release);
    }

    /// The runs that have begun, one after the other.
    fn runs(&self) -> Vec<u64> {
        assert!(!self.overlapped.load(Ordering::Relaxed), "two runs at once");
        self.runs.lock().unwrap().iter().map(|(generation, _)| *generation).collect()
    }

    /// Whether that run has begun with the flag up.
    fn found_flag(&self, generation: u64) -> bool {
        self.runs.lock().unwrap().contains(&(generation, true))
    }
}

/// A worker whose body enters, does `body`, and leaves.
fn worker(
    policy: RestartPolicy,
    body: impl Fn(&Record, &Run) -> Outcome + Send + Sync + 'static,
) -> (Worker, Arc<Record>) {
    let record = Arc::new(Record::default());
    let theirs = Arc::clone(&record);
    let body = move |run: &Run| {
        theirs.enter(run);
        let ended = body(&theirs, run);
        theirs.leave();
        ended
    };
    let worker = Worker::spawn_with("model", policy, body).unwrap();
    record.own.set(worker.handle().clone()).unwrap();
    (worker, record)
}

/// Ends a model whose worker is idle. Its thread ends by itself: main does not wait for it, which other models do, and
/// would multiply this one. (What main held of the worker is lost: a kilobyte an execution.)
fn leave(worker: Worker) {
    worker.stop();
    std::mem::forget(worker);
}

/// A run that ends only when it is asked to.
fn until_interrupted(_record: &Record, run: &Run) -> Outcome {
    let cause = run.interrupt().wait();
    Err(Interrupted { cause }.into())
}

/// A run that ends at once.
fn at_once(_record: &Record, _run: &Run) -> Outcome {
    Ok(())
}

/// The first run fails, the others end at once.
fn first_fails(_record: &Record, run: &Run) -> Outcome {
    if run.generation() == 1 { Err("the first run fails".into()) } else { Ok(()) }
}

/// Restarts after a second.
fn patient() -> RestartPolicy {
    RestartPolicy::on_failure(Backoff::new(SOON, SOON).with_jitter(0.0))
}

/// Runs look at their interrupt; main restarts. Ends when the worker is idle.
pub fn runs_never_overlap() {
    let (worker, record) = worker(RestartPolicy::never(), |_, run| Ok(run.interrupt().check()?));
    let generation = worker.restart().unwrap();
    worker.idle().wait();
    assert_eq!(record.runs(), (1..=generation).collect::<Vec<_>>());
    leave(worker);
}

/// As Effect's `FiberHandle.run` does it: the former run is told to end, and the next one starts without waiting.
pub fn overlapping_runs() {
    let (inside, present) = (Arc::new(AtomicBool::new(false)), Mutex::new(None::<Interrupt>));
    let replace = || {
        let interrupt = Interrupt::new();
        if let Some(former) = present.lock().unwrap().replace(interrupt.clone()) {
            former.set(Cause::Restart);
        }
        move |inside: &AtomicBool| {
            assert!(!inside.swap(true, Ordering::AcqRel), "two runs at once");
            let _ = interrupt.check();
            inside.store(false, Ordering::Release);
        }
    };
    let former = spawn(&inside, replace());
    replace()(&inside);
    former.join().unwrap();
}

/// Runs end at once; main writes and restarts. Ends when the worker is idle: the run that serves the restart has begun
/// after it.
pub fn a_restart_is_never_lost() {
    let (worker, record) = worker(RestartPolicy::never(), at_once);
    record.flag.store(true, Ordering::Relaxed);
    let generation = worker.restart().unwrap();
    worker.idle().wait();
    assert!(record.found_flag(generation), "the restart was lost");
    leave(worker);
}

/// Main restarts, and so does the first run itself. Ends when the worker is idle.
pub fn two_restarts_at_once_are_both_served() {
    let (worker, record) = worker(RestartPolicy::never(), |record, run| {
        if run.generation() == 1 {
            record.asks_for(record.own().restart()?);
        }
        Ok(())
    });
    record.asks_for(worker.restart().unwrap());
    worker.idle().wait();
    assert!(record.runs().last() >= Some(&record.asked()), "the restart was lost");
    assert!(worker.status().generation == record.asked(), "a run that was not asked for");
    leave(worker);
}

/// The first run restarts its own worker twice: what it asks for cannot begin before it has ended. The second one opens a
/// latch that main waits for. Ends when the worker is idle.
pub fn restarts_while_a_run_winds_down_make_one() {
    let begun = Arc::new(Latch::new());
    let (worker, record) = worker(RestartPolicy::never(), {
        let begun = Arc::clone(&begun);
        move |record, run| {
            if run.generation() == 1 {
                record.asks_for(record.own().restart()?);
                record.asks_for(record.own().restart()?);
            } else {
                begun.open();
            }
            Ok(())
        }
    });
    begun.wait();
    worker.idle().wait();
    assert!(record.runs() == [1, 2] && record.asked() == 2, "many requests did not make one run");
    leave(worker);
}

/// Main stops, and joins; each run asks for the next as long as it may. No run begins once `stop` has returned.
pub fn stop_beats_restart() {
    let (worker, _record) = worker(RestartPolicy::never(), |record, run| {
        // Two restarts are enough, and the model has an end.
        if run.generation() <= 2 {
            record.own().restart()?;
        }
        Ok(())
    });
    assert!(worker.stop());
    let begun = worker.status().generation;
    let status = worker.join();
    assert!(status.generation == begun, "a run has begun after `stop`");
    assert_eq!(status.phase, Phase::Stopped);
}

/// The body waits for its interrupt; main joins.
pub fn join_ends_a_run_that_is_about_to_park() {
    let (worker, _record) = worker(RestartPolicy::never(), until_interrupted);
    worker.join();
}

/// The run stops its own worker and waits for its interrupt; main joins. One of the two is the first to stop.
pub fn join_and_stop_at_once_end_it() {
    let (worker, record) = worker(RestartPolicy::never(), |record, run| {
        record.asks_for(u64::from(record.own().stop()));
        until_interrupted(record, run)
    });
    let status = worker.join();
    assert_eq!(status.phase, Phase::Stopped);
    assert!(record.asked() <= status.generation, "it was told to stop by a run that never was");
}

/// The body waits for its interrupt; main stops it, and main's task waits until it has stopped.
pub fn a_task_that_waits_for_the_end_is_woken() {
    let (worker, _record) = worker(RestartPolicy::never(), until_interrupted);
    worker.stop();
    block_on(worker.stopped());
    let status = worker.status();
    assert_eq!((status.phase, status.requested && status.generation > 0), (Phase::Stopped, false));
    worker.join();
}

/// The run ends time and then itself; main joins until a deadline, and has its status or its worker.
pub fn a_join_that_times_out_hands_the_worker_back() {
    let (worker, _record) = worker(RestartPolicy::never(), |_, _| {
        end_time();
        Ok(())
    });
    let status = worker.join_timeout(SOON).unwrap_or_else(|worker| {
        assert!(worker.status().stopping);
        worker.join()
    });
    assert_eq!(status.phase, Phase::Stopped);
}

/// Main clears; the first run restarts its own worker. When main has waited until the worker is idle, nothing runs.
pub fn clear_leaves_no_orphan() {
    let (worker, record) = worker(RestartPolicy::never(), |record, run| {
        if run.generation() == 1 {
            record.own().restart()?;
        }
        Ok(())
    });
    worker.clear();
    worker.idle().wait();
    assert!(!record.inside.load(Ordering::Acquire), "an orphan runs on");
    leave(worker);
}

/// The first run panics; main restarts. Ends when the worker is idle: the restart has been served.
pub fn a_panic_as_it_is_restarted_ends_the_run_alone() {
    let (worker, record) = worker(RestartPolicy::never(), |record, run| {
        if run.generation() == 1 {
            record.leave();
            // A panic without the hook's message, for it is intended.
            resume_unwind(Box::new("the first run panics"));
        }
        Ok(())
    });
    record.flag.store(true, Ordering::Relaxed);
    let generation = worker.restart().unwrap();
    worker.idle().wait();
    assert!(record.found_flag(generation), "the restart was lost");
    let exit = worker.status().last_exit.unwrap();
    assert_eq!(exit.generation, generation);
    assert_eq!(matches!(exit.ended, Ended::Panicked(_)), generation == 1);
    leave(worker);
}

/// Runs fail until main restarts, which the policy follows by a backoff; time stands still. Ends when the worker is idle:
/// the restart did not wait for the backoff's end.
pub fn a_restart_ends_a_backoff() {
    let (worker, record) =
        worker(
            patient(),
            |record, _run| {
                if record.flag.load(Ordering::Relaxed) { Ok(()) } else { Err("it comes too early".into()) }
            },
        );
    record.flag.store(true, Ordering::Relaxed);
    let generation = worker.restart().unwrap();
    worker.idle().wait();
    assert!(record.found_flag(generation), "the restart was lost");
    leave(worker);
}

/// The first run fails, which the policy follows by a backoff; main ends time and restarts at once. Ends when the worker
/// is idle: whichever came first, each run is there once.
pub fn a_restart_as_a_backoff_ends_is_served() {
    let (worker, record) = worker(patient(), first_fails);
    end_time();
    record.flag.store(true, Ordering::Relaxed);
    let generation = worker.restart().unwrap();
    worker.idle().wait();
    assert!(record.found_flag(generation), "the restart was lost");
    let status = worker.status();
    assert_eq!(record.runs(), (1..=status.generation).collect::<Vec<_>>());
    leave(worker);
}

/// The first run fails by itself, without looking at its interrupt; main clears it. A cleared run is followed by nothing.
pub fn a_run_that_fails_as_it_is_cleared_is_followed_by_nothing() {
    let (worker, _record) = worker(patient(), first_fails);
    worker.clear();
    assert!(worker.status().phase == Phase::Idle, "a cleared run is followed by another");
    worker.join();
}

/// The first run fails by itself, without looking at its interrupt; main restarts. The failure is not the next run's.
pub fn a_run_that_fails_as_it_is_restarted_is_followed_by_the_next() {
    let (worker, record) = worker(RestartPolicy::never(), first_fails);
    record.flag.store(true, Ordering::Relaxed);
    let generation = worker.restart().unwrap();
    worker.idle().wait();
    assert!(record.found_flag(generation), "the restart was lost");
    leave(worker);
}

/// The run ends time and then itself; main waits until a deadline for the worker to be idle.
pub fn a_wait_for_idle_that_times_out_has_one_outcome() {
    let (worker, record) = worker(RestartPolicy::never(), |_, _| {
        end_time();
        Ok(())
    });
    if worker.idle().wait_timeout(SOON) == Waited::Ready(()) {
        assert_eq!(record.runs(), [1], "idle before its first run");
        assert!(!record.inside.load(Ordering::Acquire), "idle while a run is going on");
    }
    worker.join();
}

/// Does one thing to a worker, on a thread of its own.
fn meanwhile<R: 'static>(worker: &Worker, act: impl FnOnce(&Handle) -> R + 'static) -> JoinHandle<R> {
    let handle = worker.handle().clone();
    thread::spawn(move || act(&handle))
}

/// Runs end at once; main and a thread restart. Ends when the worker is idle.
pub fn restarts_from_two_threads_are_both_served() {
    let (worker, record) = worker(RestartPolicy::never(), at_once);
    let other = meanwhile(&worker, |handle| handle.restart().unwrap());
    let mine = worker.restart().unwrap();
    let asked = mine.max(other.join().unwrap());
    worker.idle().wait();
    assert!(record.runs().last() >= Some(&asked), "the restart was lost");
    assert!(worker.status().generation == asked, "a run that was not asked for");
    leave(worker);
}

/// Runs end at once; a thread restarts; main stops and joins. No run begins once `stop` has returned.
pub fn stop_beats_a_restart_from_another_thread() {
    let (worker, _record) = worker(RestartPolicy::never(), at_once);
    let other = meanwhile(&worker, Handle::restart);
    assert!(worker.stop());
    let begun = worker.status().generation;
    let _ = other.join().unwrap();
    let status = worker.join();
    assert!(status.generation == begun, "a run has begun after `stop`");
}

/// Runs end at once; a thread restarts; main clears. When main has waited until the worker is idle, nothing runs.
pub fn clear_as_another_thread_restarts_leaves_no_orphan() {
    let (worker, record) = worker(RestartPolicy::never(), at_once);
    let other = meanwhile(&worker, |handle| handle.restart().unwrap());
    worker.clear();
    other.join().unwrap();
    worker.idle().wait();
    assert!(!record.inside.load(Ordering::Acquire), "an orphan runs on");
    leave(worker);
}

/// The body waits for its interrupt; a thread stops; main joins.
pub fn join_as_another_thread_stops_ends_it() {
    let (worker, _record) = worker(RestartPolicy::never(), until_interrupted);
    let other = meanwhile(&worker, Handle::stop);
    assert_eq!(worker.join().phase, Phase::Stopped);
    other.join().unwrap();
}
