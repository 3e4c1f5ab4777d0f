//! The lemma of the two drivers: for any signals before and after a transition, a party that waits is
//! woken if it has to look.
//!
//! The protocol's place is taken by signals that are chosen (`../switched/src/signals.rs`), so the
//! lemma says nothing of the protocol, and what is shown of the protocol alone (`tests/induction`)
//! says nothing of threads and tasks; together they are the theorem for every size. The models of the
//! [replicator](super::scenarios::replicator) have both, in small.
//!
//! What stands on either side of the signals is the replicator as it ships, through its public
//! interface: for threads, and for tasks, in the same scenarios. As the protocol is no part of that
//! interface, they run on the build with the known bugs alone: with no bug on, all but the signals is
//! the same text.
//!
//! Exploration begins as the party waits for what it was told first, or is in a call if it had
//! something to do.

use std::future::{Future, poll_fn};
use std::iter::empty;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::latchwork;
use super::scenarios::executor::{Half, Time, block_on, poll_once};
use super::scenarios::thread::{JoinHandle, Signal as Flag, spawn, yield_now};
use super::scenarios::unexplored_bugs_and_all;
use latchwork::Interrupt;
use latchwork::protocol::Direction::{self, Pull, Push};
use latchwork::replicator::{Replicator, Timer};
use latchwork::signals::{Chosen, Signal, Signals};
use latchwork::sync::model::{advance, say, waits};
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, Page, PullError, PushError, Upstream};
use loom::sync::atomic::{AtomicUsize, Ordering};

const EARLY: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(3);
const SIGNALS: [Signal; 4] = [Signal::Nothing, Signal::Go, Signal::At(EARLY), Signal::At(LATE)];

/// So many signals, each of them any: those that another thread stores meanwhile, as loom explores what a load may see.
fn choose<const COUNT: usize>() -> [Signal; COUNT] {
    let choices = Arc::new([(); COUNT].map(|()| AtomicUsize::new(0)));
    loom::stop_exploring();
    let theirs = Arc::clone(&choices);
    let chooser = spawn(move || {
        for choice in theirs.iter() {
            (1..SIGNALS.len()).for_each(|signal| choice.store(signal, Ordering::Relaxed));
        }
    });
    yield_now();
    loom::explore();
    let chosen = choices.each_ref().map(|choice| SIGNALS[choice.load(Ordering::Relaxed)]);
    chooser.join().unwrap();
    chosen
}

/// An upstream whose calls end as soon as exploration begins, with nothing. Clones are the same.
#[derive(Clone, Default)]
struct Calls(Arc<Called>);

#[derive(Default)]
struct Called {
    begun: Flag,
    /// The last call of each direction.
    last: [Flag; 2],
}

impl Calls {
    fn called(&self, direction: Direction, last: bool) {
        if last {
            self.0.last[direction as usize].set();
        }
    }

    /// For a task, which is polled again once exploration has begun.
    async fn ends(&self) {
        poll_fn(|_| if self.0.begun.is_set() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl Upstream<Chosen> for Calls {
    fn push(&self, batch: &Batch<Chosen>, _: &Interrupt) -> Result<(), PushError<bool>> {
        self.0.begun.wait();
        self.called(Push, batch.base);
        Ok(())
    }

    fn pull<'a>(&'a self, last: bool, _: &'a Interrupt) -> impl Iterator<Item = Result<Page<()>, PullError>> + 'a {
        self.0.begun.wait();
        self.called(Pull, last);
        empty()
    }
}

impl AsyncUpstream<Chosen> for Calls {
    type Pull<'a> = Pulling<'a>;

    async fn push(&self, batch: &Batch<Chosen>) -> Result<(), PushError<bool>> {
        self.ends().await;
        self.called(Push, batch.base);
        Ok(())
    }

    fn pull(&self, last: bool) -> Pulling<'_> {
        Pulling(self, last)
    }
}

struct Pulling<'a>(&'a Calls, bool);

impl AsyncPull<Chosen> for Pulling<'_> {
    async fn next_page(&mut self) -> Option<Result<Page<()>, PullError>> {
        let Self(calls, last) = self;
        calls.ends().await;
        calls.called(Pull, *last);
        None
    }
}

/// A clock of three moments, the beginning, [`EARLY`] and [`LATE`], for tasks. What sleeps from one of them to a later one
/// sleeps until that, however late it began to: time goes on, and here it stands still in the end.
#[derive(Clone, Default)]
struct Moments(Arc<Time>);

impl Timer for Moments {
    type Sleep = Pin<Box<dyn Future<Output = ()>>>;

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(if duration <= EARLY { 1 } else { 2 })
    }

    fn clock(&self) -> Option<impl Fn() -> Duration + Send + Sync + 'static> {
        let Self(time) = self.clone();
        Some(move || [Duration::ZERO, EARLY, LATE][time.now()])
    }
}

/// A replicator on chosen signals, and what drives it.
struct Driven {
    replicator: Replicator<Chosen>,
    calls: Calls,
    /// For tasks: the clock, and the threads that poll.
    tasks: Option<(Moments, Vec<JoinHandle<()>>)>,
}

/// What drives a replicator.
#[derive(Clone, Copy)]
pub enum By {
    Threads,
    /// The halves of a driver, each a task.
    Tasks,
    /// The same, and only one is ever polled.
    Task(Direction),
}

impl Driven {
    /// With what the parties are told first. A task has been polled by main, and moves to its thread as exploration begins.
    fn new(by: By, each: [Signal; 2]) -> Self {
        let way = unexplored_bugs_and_all();
        let calls = Calls::default();
        let builder = Replicator::builder(Chosen(Signals { each, last: false }), calls.clone());
        let (replicator, tasks) = match by {
            By::Threads => {
                let replicator = builder.spawn().unwrap();
                yield_now();
                (replicator, None)
            }
            By::Tasks | By::Task(_) => {
                let clock = Moments::default();
                let (replicator, driver) = builder.build_async(clock.clone());
                let (push, pull) = driver.split();
                let halves: [(Direction, Half); 2] = [(Push, Box::pin(push)), (Pull, Box::pin(pull))];
                let (mut polled, others): (Vec<_>, Vec<_>) =
                    halves.into_iter().partition(|(one, _)| !matches!(by, By::Task(only) if only != *one));
                polled.iter_mut().for_each(|(_, half)| assert!(poll_once(half).is_pending()));
                (replicator, Some((clock, polled, others)))
            }
        };
        calls.0.begun.set();
        drop(way);
        let tasks = tasks.map(|(clock, polled, others)| {
            let mut others = Some(others);
            let polls = polled.into_iter().map(|(_, half)| {
                let others = others.take();
                spawn(move || {
                    block_on(half);
                    drop(others);
                })
            });
            (clock, polls.collect())
        });
        Self { replicator, calls, tasks }
    }

    /// A transition, after which the parties would be told this.
    fn transition(&self, each: [Signal; 2], last: bool) {
        drop(self.replicator.commit(vec![Signals { each, last }]).unwrap());
    }

    /// The next moment comes.
    fn time_passes(&self, by: Duration) {
        match &self.tasks {
            None => advance(by),
            Some((Moments(time), _)) => time.pass(),
        }
    }

    /// Waits until what this direction is to do last has been done.
    fn has_done_the_last(&self, direction: Direction) {
        waits(format_args!("the last {direction:?} has not begun"));
        self.calls.0.last[direction as usize].wait();
    }

    fn ends(self) {
        let Self { replicator, tasks, .. } = self;
        drop(replicator);
        tasks.into_iter().flat_map(|(_, polls)| polls).for_each(|polls| polls.join().unwrap());
    }
}

/// Main chooses what a party is told first, and what it would be told after each of two transitions
/// of main's, with time between them. It has done the last when the time for that has come; or has
/// ended, if there is nothing to do and main stops the replicator.
fn is_woken(by: By, direction: Direction) {
    let [first, second, third] = choose();
    let both = |signal| match direction {
        Push => [signal, Signal::Nothing],
        Pull => [Signal::Nothing, signal],
    };
    let driven = Driven::new(by, both(first));
    say(format_args!("chooses {first:?}, {second:?} and {third:?}"));
    driven.transition(both(second), false);
    driven.time_passes(EARLY);
    driven.transition(both(third), true);
    match third {
        Signal::Nothing => return driven.ends(),
        Signal::At(LATE) => driven.time_passes(LATE - EARLY),
        Signal::Go | Signal::At(_) => {}
    }
    driven.has_done_the_last(direction);
    loom::stop_exploring();
    driven.ends();
}

/// As [`is_woken`] says, for the pusher's thread.
pub fn a_pusher_is_woken_whatever_the_signals() {
    is_woken(By::Threads, Push);
}

/// As [`is_woken`] says, for the puller's thread.
pub fn a_puller_is_woken_whatever_the_signals() {
    is_woken(By::Threads, Pull);
}

/// As [`is_woken`] says, for the task of a pushing half.
pub fn a_pushing_task_is_woken_whatever_the_signals() {
    is_woken(By::Task(Push), Push);
}

/// As [`is_woken`] says, for the task of a pulling half.
pub fn a_pulling_task_is_woken_whatever_the_signals() {
    is_woken(By::Task(Pull), Pull);
}

/// One transition of main's after which each party has something to do, the puller perhaps at a time, which comes.
fn wakes_both(by: By, puller: Signal) {
    let driven = Driven::new(by, [Signal::Nothing; 2]);
    driven.transition([Signal::Go, puller], true);
    if puller != Signal::Go {
        driven.time_passes(EARLY);
    }
    [Push, Pull].into_iter().for_each(|direction| driven.has_done_the_last(direction));
    loom::stop_exploring();
    driven.ends();
}

/// As [`wakes_both`] says, two threads.
pub fn a_transition_wakes_both() {
    wakes_both(By::Threads, Signal::At(EARLY));
}

/// As [`wakes_both`] says, two tasks.
pub fn a_transition_wakes_both_tasks() {
    wakes_both(By::Tasks, Signal::Go);
}
