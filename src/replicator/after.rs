//! What is left to be done once the lock has been given up.
//!
//! No code of the user's runs under the lock but the log's methods and who looks at it. Wakers, interrupts (which wake),
//! and the drop of an event, an error or a panic's payload are the user's, too. What a step would wake or drop it writes
//! down here instead, under the lock, and a thread that gives up the lock takes it along. All of it is done, whatever
//! panics; the first panic is told to the thread that took it along.

use std::mem::{needs_drop, take};

use crate::primitives::interrupt::{Cause, Interrupt};
use crate::primitives::monitor::Wakers;
use crate::primitives::panics::FirstPanic;
use crate::primitives::wait_queue::wake_all;

#[derive(Default)]
pub(super) struct AfterUnlock {
    pub wakers: Wakers,
    /// Few steps have any.
    others: Option<Box<Others>>,
}

#[derive(Default)]
struct Others {
    interrupts: Vec<(Interrupt, Cause)>,
    /// Events, and what holds some.
    events: Vec<Box<dyn Send>>,
    /// What can wait: errors, payloads of panics.
    rest: Vec<Box<dyn Send>>,
}

impl AfterUnlock {
    /// This, and what has come since.
    pub(super) fn append(&mut self, mut more: Self) {
        self.wakers.append(&mut more.wakers);
        match (&mut self.others, more.others) {
            (Some(others), Some(mut more)) => {
                others.interrupts.append(&mut more.interrupts);
                others.events.append(&mut more.events);
                others.rest.append(&mut more.rest);
            }
            (others, more) => *others = others.take().or(more),
        }
    }

    /// Whether there is something that a thread must not sleep on.
    pub(super) fn is_urgent(&self) -> bool {
        let is_urgent = |others: &Others| !(others.interrupts.is_empty() && others.events.is_empty());
        !self.wakers.is_empty() || self.others.as_deref().is_some_and(is_urgent)
    }

    fn others(&mut self) -> &mut Others {
        self.others.get_or_insert_default()
    }

    pub(super) fn interrupt(&mut self, interrupt: &Interrupt, cause: Cause) {
        self.others().interrupts.push((interrupt.clone(), cause));
    }

    /// Has an error dropped, or a payload.
    pub(super) fn discard(&mut self, thing: impl Send + 'static) {
        self.others().rest.push(Box::new(thing));
    }

    /// Has entries dropped, or what holds some and nothing else of the user's: at once, if that runs no user code.
    pub(super) fn discard_events<E>(&mut self, holder: impl Send + 'static) {
        if needs_drop::<E>() {
            self.others().events.push(Box::new(holder));
        }
    }

    /// As [`discard_events`](Self::discard_events), of what the caller is about to drop: if that runs no user code it stays
    /// there.
    pub(super) fn take_events<E>(&mut self, holder: &mut Option<impl Send + 'static>) {
        if needs_drop::<E>() {
            self.discard_events::<E>(holder.take());
        }
    }

    /// Has a log dropped that is not taken.
    pub(super) fn discard_log(&mut self, log: impl Send + 'static) {
        self.others().events.push(Box::new(log));
    }

    /// All of it, if there is any.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Self> {
        if self.wakers.is_empty() && self.others.is_none() { None } else { Some(take(self)) }
    }

    /// Does it. The first panic.
    pub(super) fn run(self) -> FirstPanic {
        let mut panicked = FirstPanic::default();
        let Others { interrupts, events, rest } = self.others.map(|others| *others).unwrap_or_default();
        for (interrupt, cause) in interrupts {
            panicked.catch(|| interrupt.set(cause));
            panicked.catch(|| drop(interrupt));
        }
        panicked.catch(|| wake_all(self.wakers));
        for thing in events.into_iter().chain(rest) {
            panicked.catch(|| drop(thing));
        }
        panicked
    }
}
