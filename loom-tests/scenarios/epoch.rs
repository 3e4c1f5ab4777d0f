//! Models of `Epoch`.

use std::sync::Arc;

use super::latchwork;
use latchwork::sync::model::end_time;
use latchwork::{Cause, Epoch, Interrupt, Waited};
use loom::sync::atomic::{AtomicBool, Ordering};

use super::executor::{Task, block_on, poll_once};
use super::{SOON, spawn};

/// A thread bumps; main reads the epoch, looks whether there is something to do and, if not, waits past what it read.
pub fn a_bump_is_never_missed() {
    let (epoch, work) = (Arc::new(Epoch::new()), Arc::new(AtomicBool::new(false)));
    let changer = spawn(&epoch, {
        let work = Arc::clone(&work);
        move |epoch| {
            work.store(true, Ordering::Relaxed);
            epoch.bump()
        }
    });
    let mut seen = epoch.current();
    while !work.load(Ordering::Relaxed) {
        assert_eq!(seen, 0, "the count is seen, and what was written before it is not");
        seen = epoch.past(seen).wait();
    }
    assert_eq!(changer.join().unwrap(), 1);
}

/// A thread bumps; main runs a task that waits. Ends when the task is through.
pub fn a_task_gets_past_a_bump() {
    let epoch = Arc::new(Epoch::new());
    let changer = spawn(&epoch, Epoch::bump);
    assert_eq!(block_on(epoch.past(0)), 1);
    changer.join().unwrap();
}

/// A thread bumps twice; main's task, which waits past the first, is in the queue, and main itself waits past nothing.
/// Ends when both are through.
pub fn each_waiter_gets_past_what_it_has_seen() {
    let epoch = Arc::new(Epoch::new());
    let mut second = Task::new(epoch.past(1));
    assert!(second.poll().is_pending());
    let changer = spawn(&epoch, |epoch| [epoch.bump(), epoch.bump()]);
    assert!(epoch.past(0).wait() >= 1);
    assert_eq!(second.run(), 2);
    assert_eq!(changer.join().unwrap(), [1, 2]);
}

/// A thread and main bump; main's task waits past both. Ends when it is through.
pub fn two_bumps_at_once_count_two() {
    let epoch = Arc::new(Epoch::new());
    let mut past_both = Task::new(epoch.past(1));
    assert!(past_both.poll().is_pending());
    let changer = spawn(&epoch, Epoch::bump);
    let mine = epoch.bump();
    assert_eq!(past_both.run(), 2);
    assert_eq!(mine + changer.join().unwrap(), 3, "two bumps returned the same count");
}

/// Main waits until a deadline; a thread bumps and then ends time.
pub fn a_bump_before_the_deadline_is_in_time() {
    let epoch = Arc::new(Epoch::new());
    let other = spawn(&epoch, |epoch| {
        epoch.bump();
        end_time();
    });
    let in_time = epoch.past(0).wait_timeout(SOON) == Waited::Ready(1);
    assert!(in_time, "it was bumped in time, and the wait timed out");
    other.join().unwrap();
}

/// Main waits until it is interrupted; a thread bumps and then interrupts it.
pub fn a_bump_before_the_interrupt_is_in_time() {
    let (epoch, interrupt) = (Arc::new(Epoch::new()), Interrupt::new());
    let other = spawn(&epoch, {
        let interrupt = interrupt.clone();
        move |epoch| {
            epoch.bump();
            interrupt.set(Cause::Stop);
        }
    });
    let in_time = epoch.past(0).wait_or(&interrupt, None) == Waited::Ready(1);
    assert!(in_time, "it was bumped in time, and the wait was interrupted");
    other.join().unwrap();
}

/// One thread waits; main's task joins the queue and gives up, and main bumps. Ends when the waiter has been joined.
pub fn a_waiter_that_gives_up_takes_no_others_wake() {
    let epoch = Arc::new(Epoch::new());
    let waiter = spawn(&epoch, |epoch| epoch.past(0).wait());
    let mut leaver = epoch.past(0);
    assert!(poll_once(&mut leaver).is_pending());
    drop(leaver);
    epoch.bump();
    assert_eq!(waiter.join().unwrap(), 1);
}

/// Main writes and bumps; a thread waits and reads.
pub fn what_was_written_before_a_bump_is_seen() {
    let (epoch, written) = (Arc::new(Epoch::new()), Arc::new(AtomicBool::new(false)));
    let waiter = spawn(&epoch, {
        let written = Arc::clone(&written);
        move |epoch| {
            epoch.past(0).wait();
            assert!(written.load(Ordering::Relaxed), "what was written before is not seen");
        }
    });
    written.store(true, Ordering::Relaxed);
    epoch.bump();
    waiter.join().unwrap();
}

/// A thread and main write and bump. The one that has counted two sees what the other has written.
pub fn what_was_written_before_a_bump_is_seen_by_the_next() {
    let (epoch, written) = (Arc::new(Epoch::new()), Arc::new([AtomicBool::new(false), AtomicBool::new(false)]));
    let bump = |own: usize| {
        let written = Arc::clone(&written);
        move |epoch: &Epoch| {
            written[own].store(true, Ordering::Relaxed);
            epoch.bump() == 1 || written[1 - own].load(Ordering::Relaxed)
        }
    };
    let other = spawn(&epoch, bump(1));
    let seen = [bump(0)(&epoch), other.join().unwrap()];
    assert!(seen == [true; 2], "what was written before is not seen");
}
