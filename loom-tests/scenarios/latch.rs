//! Models of `Latch`.

use std::sync::Arc;

use super::latchwork;
use latchwork::sync::model::{end_time, expect_spurious, give_way, say, wake_spuriously};
use latchwork::{Cause, Interrupt, Latch, Waited};
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::executor::{Task, block_on, poll_once};
use super::{SOON, spawn, thread};

/// Main opens; one thread waits. Ends when the thread has been joined.
pub fn open_lets_a_thread_through() {
    let latch = Arc::new(Latch::new());
    let waiter = spawn(&latch, Latch::wait);
    assert!(latch.open());
    waiter.join().unwrap();
}

/// Main opens; one thread runs a task that waits. Ends when the thread has been joined.
pub fn open_lets_a_task_through() {
    let latch = Arc::new(Latch::new());
    let waiter = spawn(&latch, |latch| block_on(latch.opened()));
    assert!(latch.open());
    waiter.join().unwrap();
}

/// Main's task is in the queue; a thread waits by blocking; main opens. Ends when both are through.
pub fn open_lets_threads_and_tasks_through() {
    let latch = Arc::new(Latch::new());
    let thread = spawn(&latch, Latch::wait);
    let mut task = Task::new(latch.opened());
    assert!(task.poll().is_pending());
    assert!(latch.open());
    task.run();
    thread.join().unwrap();
}

/// Main's task is in the queue; a thread opens and closes at once. Ends when the task is through.
pub fn open_then_close_loses_no_waiter() {
    let latch = Arc::new(Latch::new());
    let mut present = Task::new(latch.opened());
    assert!(present.poll().is_pending());
    let opener = spawn(&latch, |latch| {
        assert!(latch.open());
        assert!(latch.close());
    });
    present.run();
    opener.join().unwrap();
    assert!(!latch.is_open());
}

/// One thread waits; main closes the latch that is closed already, and opens it. Ends when the thread has been joined.
pub fn closing_a_closed_latch_forgets_no_waiter() {
    let latch = Arc::new(Latch::new());
    let waiter = spawn(&latch, Latch::wait);
    assert!(!latch.close());
    assert!(latch.open());
    waiter.join().unwrap();
}

/// Main's first task is in the queue; a thread releases; meanwhile main's second task comes, and looks again when the
/// thread has been joined.
pub fn release_lets_through_exactly_those_present() {
    let latch = Arc::new(Latch::new());
    let mut present = latch.opened();
    assert!(poll_once(&mut present).is_pending());
    let releaser = spawn(&latch, Latch::release);

    let mut newcomer = latch.opened();
    assert!(poll_once(&mut newcomer).is_pending(), "a newcomer passes a closed latch");
    let released = releaser.join().unwrap();
    assert!(poll_once(&mut present).is_ready(), "a waiter that was present was left behind");
    let through = 1 + usize::from(poll_once(&mut newcomer).is_ready());
    assert!(released == through, "the count is not of those let through");
    assert!(!latch.is_open());
}

/// Main writes and opens; a thread waits and reads.
pub fn what_was_written_before_open_is_seen() {
    let (latch, written) = (Arc::new(Latch::new()), Arc::new(AtomicBool::new(false)));
    let waiter = spawn(&latch, {
        let written = Arc::clone(&written);
        move |latch| {
            latch.wait();
            assert!(written.load(Ordering::Relaxed), "what was written before is not seen");
        }
    });
    written.store(true, Ordering::Relaxed);
    latch.open();
    waiter.join().unwrap();
}

/// Main writes and opens a latch that is open; a thread closes it and reads. If main changed nothing, it came first.
pub fn what_was_written_before_opening_an_open_latch_is_seen() {
    let (latch, written) = (Arc::new(Latch::new_open()), Arc::new(AtomicBool::new(false)));
    let closer = spawn(&latch, {
        let written = Arc::clone(&written);
        move |latch| {
            assert!(latch.close());
            written.load(Ordering::Relaxed)
        }
    });
    written.store(true, Ordering::Relaxed);
    let came_second = latch.open();
    assert!(closer.join().unwrap() || came_second, "what was written before is not seen");
}

/// A thread writes, opens and closes, joins the queue and gives up; main opens, passes and reads. If both have changed
/// something, the thread came first.
pub fn what_was_written_before_open_is_handed_on() {
    let (latch, written) = (Arc::new(Latch::new()), Arc::new(AtomicBool::new(false)));
    let former = spawn(&latch, {
        let written = Arc::clone(&written);
        move |latch| {
            written.store(true, Ordering::Relaxed);
            let changed = latch.open();
            latch.close();
            let _gives_up = poll_once(&mut latch.opened());
            changed
        }
    });
    let mut came_second = latch.open() && latch.is_open();
    let seen = written.load(Ordering::Relaxed);
    came_second &= former.join().unwrap();
    assert!(seen || !came_second, "what was written before is not seen");
}

/// Main's task is in the queue; a thread writes and releases; main reads when its task is through.
pub fn what_was_written_before_release_is_seen() {
    let (latch, written) = (Arc::new(Latch::new()), Arc::new(AtomicBool::new(false)));
    let mut present = Task::new(latch.opened());
    assert!(present.poll().is_pending());
    let releaser = spawn(&latch, {
        let written = Arc::clone(&written);
        move |latch| {
            written.store(true, Ordering::Relaxed);
            latch.release()
        }
    });
    present.run();
    assert!(written.load(Ordering::Relaxed), "what was written before is not seen");
    assert_eq!(releaser.join().unwrap(), 1);
}

/// The same with a flag that is looked at now and then, which publishes nothing.
pub fn what_was_written_before_a_flag_is_seen() {
    let [flag, written] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let releaser = {
        let (flag, written) = (Arc::clone(&flag), Arc::clone(&written));
        thread::spawn(move || {
            written.store(true, Ordering::Relaxed);
            flag.store(true, Ordering::Relaxed);
        })
    };
    while !flag.load(Ordering::Relaxed) {
        loom::thread::yield_now();
    }
    assert!(written.load(Ordering::Relaxed), "what was written before is not seen");
    releaser.join().unwrap();
}

/// Main waits until a deadline; a thread ends time and then releases. Ends when the wait has its outcome.
pub fn a_wait_that_times_out_as_it_is_released_has_one_outcome() {
    let latch = Arc::new(Latch::new());
    let other = spawn(&latch, |latch| {
        end_time();
        latch.release()
    });
    let waited = latch.opened().wait_timeout(SOON);
    one_outcome(&latch, waited, other.join().unwrap());
}

/// Main waits until a deadline; a thread opens the latch and then ends time.
pub fn a_latch_that_opens_before_the_deadline_is_passed() {
    let latch = Arc::new(Latch::new());
    let other = spawn(&latch, |latch| {
        latch.open();
        latch.close();
        latch.open();
        end_time();
    });
    assert!(latch.opened().wait_timeout(SOON).is_ready(), "it opened in time, and the wait timed out");
    other.join().unwrap();
}

/// Main waits interruptibly; a thread sets the interrupt and then releases. Ends when the wait has its outcome.
pub fn a_wait_that_is_interrupted_as_it_is_released_has_one_outcome() {
    let (latch, interrupt) = (Arc::new(Latch::new()), Interrupt::new());
    let other = spawn(&latch, {
        let interrupt = interrupt.clone();
        move |latch| {
            interrupt.set(Cause::Stop);
            latch.release()
        }
    });
    let waited = latch.opened().wait_or(&interrupt, None);
    one_outcome(&latch, waited, other.join().unwrap());
}

fn one_outcome(latch: &Latch, waited: Waited, released: usize) {
    assert!(usize::from(waited.is_ready()) == released, "it was let through and told otherwise");
    assert!(latch.release() == 0, "a trace of the wait is left");
}

/// Main's task is in the queue and is dropped; a thread releases meanwhile.
pub fn a_wait_that_is_dropped_as_it_is_released_leaves_no_trace() {
    let latch = Arc::new(Latch::new());
    let mut present = latch.opened();
    assert!(poll_once(&mut present).is_pending());
    let releaser = spawn(&latch, Latch::release);
    drop(present);
    assert!(latch.release() == 0, "a trace of the wait is left");
    assert!(releaser.join().unwrap() <= 1);
}

/// Two of main's tasks are in the queue, and one is dropped; a thread opens meanwhile. Ends when the other is through.
pub fn a_waiter_that_gives_up_takes_no_others_wake() {
    let latch = Arc::new(Latch::new());
    let mut waiter = Task::new(latch.opened());
    assert!(waiter.poll().is_pending());
    let mut leaver = latch.opened();
    assert!(poll_once(&mut leaver).is_pending());
    let opener = spawn(&latch, Latch::open);
    drop(leaver);
    waiter.run();
    assert!(opener.join().unwrap());
}

/// Main's task is in the queue, and main waits until a deadline; a thread ends time; then main opens. Ends when the task
/// is through.
pub fn a_waiter_that_times_out_takes_no_others_wake() {
    let latch = Arc::new(Latch::new());
    let mut waiter = Task::new(latch.opened());
    assert!(waiter.poll().is_pending());
    let clock = thread::spawn(end_time);
    assert_eq!(latch.opened().wait_timeout(SOON), Waited::TimedOut);
    assert!(latch.open());
    waiter.run();
    clock.join().unwrap();
}

/// A thread waits; main wakes it without a reason, and then opens. Ends when the thread has been joined.
pub fn a_wake_without_a_reason_lets_no_thread_through() {
    let _known = expect_spurious();
    let (latch, opened) = (Arc::new(Latch::new()), Arc::new(AtomicBool::new(false)));
    let waiter = spawn(&latch, {
        let opened = Arc::clone(&opened);
        move |latch| {
            latch.wait();
            assert!(opened.load(Ordering::Relaxed), "it passed a closed latch");
        }
    });
    wake_spuriously();
    opened.store(true, Ordering::Relaxed);
    latch.open();
    waiter.join().unwrap();
}

/// A thread waits, giving way before it sleeps; main opens. Ends when the thread has been joined.
pub fn giving_way_before_sleeping_misses_nothing() {
    let _given = give_way();
    open_lets_a_thread_through();
}

/// Two threads open, and main closes: each says whether it was the one that changed something.
pub fn open_and_close_say_who_changed_something() {
    each_change_has_one_author(Latch::new(), Latch::open, Latch::close, Latch::is_open);
}

/// The same of a flag that is looked at and then written.
pub fn a_flag_says_who_changed_something() {
    fn set(flag: &AtomicBool, value: bool) -> bool {
        let changes = flag.load(Ordering::Acquire) != value;
        flag.store(value, Ordering::Release);
        changes
    }
    let is_open = |flag: &AtomicBool| flag.load(Ordering::Acquire);
    each_change_has_one_author(AtomicBool::new(false), |flag| set(flag, true), |flag| set(flag, false), is_open);
}

fn each_change_has_one_author<T: Send + Sync + 'static>(
    latch: T,
    open: fn(&T) -> bool,
    close: fn(&T) -> bool,
    is_open: fn(&T) -> bool,
) {
    let latch = Arc::new(latch);
    let openers = [(); 2].map(|()| {
        let latch = Arc::clone(&latch);
        thread::spawn(move || open(&latch))
    });
    let closed = close(&latch);
    let opened = openers.map(|opener| usize::from(opener.join().unwrap())).iter().sum::<usize>();
    let changes = usize::from(closed) + usize::from(is_open(&latch));
    assert!(opened == changes, "a change has two authors or none");
}

/// Two threads take turns in a section by closing one open latch: `close` says who changed it.
pub fn one_latch_excludes() {
    let turn = Arc::new(Latch::new_open());
    exclusion(move || {
        let turn = Arc::clone(&turn);
        move || {
            loop {
                turn.wait();
                if turn.close() {
                    break;
                }
            }
            let turn = Arc::clone(&turn);
            move || {
                turn.open();
            }
        }
    });
}

/// As the reference engine had it: each side waits for the other's latch and then closes its own.
pub fn two_latches() {
    let latches = [Arc::new(Latch::new_open()), Arc::new(Latch::new_open())];
    let side = std::sync::atomic::AtomicUsize::new(0);
    exclusion(move || {
        let side = side.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (own, others) = (Arc::clone(&latches[side]), Arc::clone(&latches[1 - side]));
        move || {
            others.wait();
            own.close();
            let own = Arc::clone(&own);
            move || {
                own.open();
            }
        }
    });
}

/// Two threads enter a section once each, by whatever `side` makes, and leave it. In the section each counts itself, in
/// two steps that nothing but the exclusion makes one.
fn exclusion<Enter, Leave>(side: impl Fn() -> Enter)
where
    Enter: FnOnce() -> Leave + 'static,
    Leave: FnOnce(),
{
    let entered = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let enter = side();
            spawn(&entered, move |entered| {
                let leave = enter();
                let before = entered.load(Ordering::Relaxed);
                say(format_args!("has entered, and counts {before} before it"));
                entered.store(before + 1, Ordering::Relaxed);
                leave();
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(entered.load(Ordering::Relaxed) == 2, "both were inside");
}
