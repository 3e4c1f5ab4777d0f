//! The replicator's workers with a protocol that does what it is told: what each party would be
//! woken for is chosen.
//!
//! What is the shipped driver's here: what is noted of what a party was told, whom a transition
//! wakes (`replicator/told.rs`), and how a worker reports, looks and parks in one critical section
//! (`primitives/monitor.rs`). This file has what stands for the rest: calls that take no time, and
//! a clock.

use std::time::Duration;

use crate::platform::Instant;
use crate::platform::event::Shown;
use crate::primitives::monitor::{Monitor, Topics};
use crate::primitives::wait_queue::wake_all;
use crate::protocol::{Direction, Next, Time};
use crate::replicator::told::{Told, topic_of};

/// What a party would be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Nothing,
    Go,
    /// At this time.
    At(Duration),
}

impl From<Signal> for Next<()> {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Nothing => Self::Wait { until: None },
            Signal::Go => Self::Do(()),
            Signal::At(time) => Self::Wait { until: Some(time) },
        }
    }
}

struct State {
    signals: [Signal; 2],
    told: Told,
    /// The workers end as soon as there is nothing left for them to do.
    last: bool,
    stopped: bool,
}

impl Shown for State {
    fn waits(&self, _: usize) -> String {
        format!("the signals are {:?}", self.signals)
    }
}

impl State {
    fn publish(&mut self) -> Topics {
        let [push, pull] = self.signals.map(|signal| if self.stopped { Next::Stop } else { signal.into() });
        self.told.publish(push, pull)
    }
}

pub struct Driver {
    state: Monitor<State, 3>,
    origin: Instant,
}

impl Driver {
    /// With what the parties would be told before either has looked.
    pub fn new(signals: [Signal; 2]) -> Self {
        let [push, pull] = signals.map(Next::from);
        let state = State { signals, told: Told::new(push, pull), last: false, stopped: false };
        Self { state: Monitor::new(state, "driver"), origin: Instant::now() }
    }

    /// A transition, after which the parties would be told this.
    pub fn transition(&self, signals: [Signal; 2]) {
        self.change(|state| state.signals = signals);
    }

    /// The last transition: a worker ends once it has done what it would be woken for.
    pub fn last_transition(&self, signals: [Signal; 2]) {
        self.change(|state| (state.signals, state.last) = (signals, true));
    }

    /// The workers are to end.
    pub fn stop(&self) {
        self.change(|state| state.stopped = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let ((), wakers) = self.state.change_quietly(|state| {
            change(state);
            ((), state.publish())
        });
        wake_all(wakers);
    }

    /// What a worker does: looks, does what there is, reports, and so on, until it is to end.
    pub fn work(&self, direction: Direction) {
        while self.next(direction) {}
    }

    /// As `Party::next`.
    fn next(&self, direction: Direction) -> bool {
        loop {
            let now = self.origin.elapsed();
            let mut state = self.state.lock();
            let topics = state.publish();
            let wakers = state.notify(topics);
            if !wakers.is_empty() {
                drop(state);
                wake_all(wakers);
                state = self.state.lock();
            }
            let mut passed = false;
            let next = loop {
                match state.look(|state| state.asked(direction, now)) {
                    Next::Wait { until } if !passed => {
                        let deadline = until.and_then(|time| self.origin.checked_add(time));
                        (state, passed) = state.wait(topic_of(direction), deadline);
                    }
                    next => break next,
                }
            };
            match next {
                Next::Do(()) => return true,
                Next::Stop => return false,
                Next::Wait { .. } => {}
            }
        }
    }
}

impl State {
    /// As `Party::look`.
    fn asked(&mut self, direction: Direction, now: Time) -> Next<()> {
        let next = self.ask(direction, now);
        let told = match next {
            Next::Do(()) => Next::Wait { until: None },
            told => told,
        };
        self.told.record_wait(direction, told);
        next
    }

    /// What the worker is to do: then there is nothing more. It ends after what it does last. Asking
    /// may change what is asked about.
    fn ask(&mut self, direction: Direction, now: Time) -> Next<()> {
        let signal = &mut self.signals[direction as usize];
        match *signal {
            _ if self.stopped => Next::Stop,
            Signal::Nothing => Next::Wait { until: None },
            Signal::At(time) if time > now => Next::Wait { until: Some(time) },
            // A time may come with nothing to do then.
            Signal::At(_) if !self.last => {
                *signal = Signal::Nothing;
                Next::Wait { until: None }
            }
            Signal::Go | Signal::At(_) => {
                *signal = Signal::Nothing;
                if self.last { Next::Stop } else { Next::Do(()) }
            }
        }
    }
}
