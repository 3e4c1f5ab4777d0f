//! Signals that are chosen, in the place of the protocol's.
//!
//! On a [`Chosen`] log the protocol says what the log says: what each party would be told, and what it finds as it looks
//! (`CHOSEN_SIGNALS` in `../../known_bugs.rs`). All the rest is as it ships: how a thread or a task looks, waits and
//! reports, what is noted of what it was told, and whom a transition wakes.

use std::any::Any;
use std::convert::Infallible;
use std::num::NonZeroUsize;

use crate::log::{Log, Merged};
use crate::protocol::{Direction, Next, Time};

/// What a party would be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// To wait.
    Nothing,
    /// That there is something to do.
    Go,
    /// To wait until this time.
    At(Time),
}

/// What the pusher and the puller would be told from now on.
#[derive(Debug, Clone, Copy)]
pub struct Signals {
    pub each: [Signal; 2],
    /// Whether there is something to do at a time to wait for. Such a time may also come with nothing to do.
    pub last: bool,
}

/// A log without events: what is committed are signals.
pub struct Chosen(pub Signals);

impl Log for Chosen {
    type Event = Signals;
    type Entry = ();
    type Position = bool;
    type Error = Infallible;

    fn head(&self) -> bool {
        false
    }

    /// With each call it goes upstream whether that is the last.
    fn upstream_head(&self) -> bool {
        self.0.last
    }

    fn pending(&self) -> usize {
        0
    }

    fn position((): &()) -> bool {
        false
    }

    fn number(&self, _: Vec<Signals>) -> Result<Vec<()>, Infallible> {
        Ok(Vec::new())
    }

    fn admit(&mut self, _: Vec<()>) -> Result<usize, Infallible> {
        Ok(0)
    }

    fn append(&mut self, signals: Vec<Signals>) -> Result<usize, Infallible> {
        signals.into_iter().for_each(|signals| self.0 = signals);
        Ok(0)
    }

    fn batch(&self, _: NonZeroUsize) -> Vec<()> {
        Vec::new()
    }

    fn merge(&mut self, _: Vec<()>) -> Result<Merged<()>, Infallible> {
        Ok(Merged::Advance { new: Vec::new(), confirmed: Vec::new() })
    }
}

/// What a party would be told, if signals are chosen.
pub(crate) fn due(log: &impl Log, direction: Direction) -> Option<Next<()>> {
    let Chosen(signals) = (log as &dyn Any).downcast_ref()?;
    Some(match signals.each[direction as usize] {
        Signal::Nothing => Next::Wait { until: None },
        Signal::Go => Next::Do(()),
        Signal::At(time) => Next::Wait { until: Some(time) },
    })
}

/// What a party finds as it looks, if signals are chosen. What there is to do is done once.
pub(crate) fn found(log: &mut impl Log, direction: Direction, now: Time) -> Option<Next<()>> {
    let Chosen(signals) = (log as &mut dyn Any).downcast_mut()?;
    let (signal, last) = (&mut signals.each[direction as usize], signals.last);
    Some(match *signal {
        Signal::Nothing => Next::Wait { until: None },
        Signal::At(time) if time > now => Next::Wait { until: Some(time) },
        Signal::Go | Signal::At(_) => match std::mem::replace(signal, Signal::Nothing) {
            Signal::At(_) if !last => Next::Wait { until: None },
            _ => Next::Do(()),
        },
    })
}
