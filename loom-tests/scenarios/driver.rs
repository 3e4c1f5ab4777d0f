//! The driver's lemma: for any signals before and after a transition, a party that waits is woken
//! if it has to look.
//!
//! The protocol's place is taken by signals that are chosen (`../switched/src/driver.rs`), so the
//! lemma says nothing of the protocol, and what is shown of the protocol alone (`tests/induction`)
//! says nothing of threads; together they are the theorem for every size. The models of the
//! [replicator](super::replicator) have both, in small.
//!
//! As the driver is no part of the crate's interface, these models run on the build with the known
//! bugs alone: with no bug on, it is the same text.
//!
//! A chosen value is one of those that a thread stores meanwhile: loom explores them all.

use std::sync::Arc;
use std::time::Duration;

use super::latchwork;
use super::scenarios::spawn;
use latchwork::driver::{Driver, Signal};
use latchwork::protocol::Direction::{self, Pull, Push};
use latchwork::sync::model::advance;
use loom::sync::atomic::{AtomicUsize, Ordering};

const EARLY: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(3);
const SIGNALS: [Signal; 4] = [Signal::Nothing, Signal::Go, Signal::At(EARLY), Signal::At(LATE)];

/// So many signals, each of them any.
fn choose<const COUNT: usize>() -> [Signal; COUNT] {
    let choices = Arc::new([(); COUNT].map(|()| AtomicUsize::new(0)));
    let chooser = spawn(&choices, |choices: &[AtomicUsize; COUNT]| {
        for choice in choices {
            (1..SIGNALS.len()).for_each(|signal| choice.store(signal, Ordering::Relaxed));
        }
    });
    // Unlike a load it sees the latest value and no other: each choice is made once.
    let chosen = choices.each_ref().map(|choice| SIGNALS[choice.fetch_add(0, Ordering::Relaxed)]);
    chooser.join().unwrap();
    chosen
}

/// Main chooses what the worker would be told before it has looked, and after each of two
/// transitions of main's, with time between them. Once the time has come that the last one names,
/// the worker ends if it has found what there was to do.
fn is_woken(direction: Direction) {
    let [first, second, third] = choose();
    let both = |signal| match direction {
        Push => [signal, Signal::Nothing],
        Pull => [Signal::Nothing, signal],
    };
    let driver = Arc::new(Driver::new(both(first)));
    let worker = spawn(&driver, move |driver: &Driver| driver.work(direction));
    driver.transition(both(second));
    advance(EARLY);
    driver.last_transition(both(third));
    match third {
        Signal::Nothing => driver.stop(),
        Signal::Go => {}
        Signal::At(time) => advance(time),
    }
    worker.join().unwrap();
}

/// As [`is_woken`] says, for the pusher.
pub fn a_pusher_is_woken_whatever_the_signals() {
    is_woken(Push);
}

/// As [`is_woken`] says, for the puller.
pub fn a_puller_is_woken_whatever_the_signals() {
    is_woken(Pull);
}

/// Two workers, and one transition of main's after which one has something to do at once and the
/// other at a time, which comes: each does it and ends.
pub fn a_transition_wakes_both() {
    let driver = Arc::new(Driver::new([Signal::Nothing; 2]));
    let workers = [Push, Pull].map(|direction| spawn(&driver, move |driver: &Driver| driver.work(direction)));
    driver.last_transition([Signal::Go, Signal::At(EARLY)]);
    advance(EARLY);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}
