//! What the replicator tells `tracing`; the [module](super) has the list. Without the feature
//! nothing of it is compiled.
//!
//! It reads the [probe](mod@crate::platform::probe). A subscriber is user code, so it is not called
//! under the lock: what happens under the lock is noted there, as it stands, by the thread that
//! does it, and [told](crate::platform::owed) by the same thread once it has given up the lock, at
//! the latest before it sleeps. If something has come by the time at which a pusher has told that
//! it parks, `resume` follows on `park` at once.

use std::cell::RefCell;
use std::sync::Arc;

use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::owed::{Owed, waiting_on_from};
use crate::log::Log;
use crate::platform::catch_panic;
use crate::platform::event::{Event, Input};
use crate::platform::owed::{later, tell};
use crate::protocol::{Protocol, Push, Time, WaitingOn};

/// What a thread is about.
#[derive(Default)]
struct Here {
    /// What it is doing, for whom it wakes.
    doing: &'static str,
    /// Tells that a commit was refused, once the reason is in words.
    refused: Option<Box<dyn FnOnce(String)>>,
}

thread_local! {
    static HERE: RefCell<Here> = RefCell::default();
}

/// A thread that is about to end, and has put its things away, tells nothing.
fn here<T: Default>(f: impl FnOnce(&mut Here) -> T) -> T {
    HERE.try_with(|here| f(&mut here.borrow_mut())).unwrap_or_default()
}

/// Has this told later. Asking the subscriber whether it wants it would call it; the level is a
/// mere number.
fn at(level: Level, tell: impl FnOnce() + 'static) {
    if level <= LevelFilter::current() {
        // A subscriber that panics loses this event, and ends nothing.
        later(move || drop(catch_panic(tell)));
    }
}

/// How things stood.
struct Facts<P> {
    replicator: Option<Arc<str>>,
    generation: u64,
    epoch: u64,
    upstream_head: P,
    head: P,
    pending: usize,
}

impl<P> Facts<P> {
    fn of<L: Log<Position = P>>(traced: &Traced, protocol: &Protocol<L>, generation: u64) -> Self {
        let (replicator, epoch, log) = (traced.name.clone(), protocol.epoch(), protocol.log());
        let (upstream_head, head, pending) = (log.upstream_head(), log.head(), log.pending());
        Self { replicator, generation, epoch, upstream_head, head, pending }
    }
}

/// One event: facts, and fields of its own. The name is also the message, which is what most
/// subscribers show.
macro_rules! event {
    ($level:ident, $name:literal, $facts:ident, { $($field:tt)* }) => {
        at(Level::$level, move || tracing::event!(
            name: $name, target: "latchwork", Level::$level,
            {
                replicator = $facts.replicator.as_deref(),
                generation = $facts.generation,
                epoch = $facts.epoch,
                upstream_head = ?$facts.upstream_head,
                head = ?$facts.head,
                pending = $facts.pending,
                $($field)*
            },
            $name
        ))
    };
}

/// An event of the pusher's life.
macro_rules! life {
    ($name:literal, $traced:ident, $protocol:ident, { $($field:tt)* }) => {
        let counters = *$protocol.counters();
        let facts = Facts::of($traced, $protocol, counters.pushes);
        event!(DEBUG, $name, facts, { counters = ?counters, $($field)* });
    };
}

/// What is told of a replicator and does not stand in its protocol.
pub(super) struct Traced {
    name: Option<Arc<str>>,
    /// What the pusher was woken by since it looked.
    pusher_woken_by: Option<&'static str>,
    /// How often the next move has come to be owed by another party.
    moves: u64,
    /// Which of the moves the pusher has parked for, if it has. Not of the thread: of two pushers that are tasks one may run
    /// where the other has parked.
    parked: Option<u64>,
}

impl Traced {
    pub(super) fn new(name: Option<Arc<str>>) -> Self {
        Self { name, pusher_woken_by: None, moves: 0, parked: None }
    }

    /// Notes what has happened under the lock, as it stands.
    pub(super) fn note<L: Log>(&mut self, protocol: &Protocol<L>, waiting_on: &WaitingOn, event: Event<'_>) {
        let counters = protocol.counters();
        match event {
            Event::Given(input) => self.given(protocol, input),
            Event::PushEnded { push, events: batch, error: Some(error) } => {
                let facts = Facts::of(self, protocol, push);
                event!(WARN, "backend-push-error", facts, { batch, error = error.to_string() });
            }
            Event::Merged { rebase, new_and_moved: (new, moved), confirmed, dropped } => {
                if new + confirmed == 0 {
                    let facts = Facts::of(self, protocol, counters.pushes);
                    event!(DEBUG, "local-give-up", facts, { dropped, moved });
                    return;
                }
                let pushed = here(|here| here.doing) == Input::PushEnded.name();
                let (from, generation) = if pushed { ("push", counters.pushes) } else { ("pull", counters.pulls) };
                let facts = Facts::of(self, protocol, generation);
                if rebase {
                    event!(DEBUG, "pull-rebase", facts, { from, new, confirmed, moved, dropped });
                } else {
                    event!(DEBUG, "pull-advance", facts, { from, new, confirmed });
                }
                here(|here| here.doing = if rebase { "pull-rebase" } else { "pull-advance" });
            }
            Event::JournalWritten { changes, error: Some(error) } => {
                let facts = Facts::of(self, protocol, counters.writes);
                event!(WARN, "journal-error", facts, { changes, error = error.to_string() });
            }
            Event::JournalWritten { changes, error: None } => {
                let facts = Facts::of(self, protocol, counters.writes + 1);
                event!(DEBUG, "journal-write", facts, { changes });
            }
            Event::Refused => {
                let facts = Facts::of(self, protocol, counters.pushes);
                let tell = move |error| {
                    event!(DEBUG, "local-push-reject", facts, { error });
                };
                here(|here| here.refused = Some(Box::new(tell)));
            }
            Event::WakesPusher => self.pusher_woken_by = Some(here(|here| here.doing)),
            Event::Moved => self.moves += 1,
            Event::DirectionLooked { push: true, now } => self.pusher_looked(protocol, waiting_on, now),
            _ => {}
        }
    }

    fn given<L: Log>(&mut self, protocol: &Protocol<L>, input: Input) {
        here(|here| here.doing = input.name());
        match input {
            Input::Pusher => {
                life!("start", self, protocol, {});
            }
            Input::Restart => {
                life!("restart", self, protocol, {});
            }
            _ => {}
        }
    }

    fn pusher_looked<L: Log>(&mut self, protocol: &Protocol<L>, waiting_on: &WaitingOn, now: Time) {
        match *protocol.push() {
            Push::Sending { ticket, count: batch, .. } => {
                self.resume(protocol);
                let facts = Facts::of(self, protocol, ticket);
                event!(DEBUG, "backend-push-batch", facts, { batch });
            }
            _ if protocol.is_stopped() => {
                self.resume(protocol);
                life!("stop", self, protocol, {});
            }
            _ => self.park(protocol, waiting_on, now),
        }
    }

    /// The pusher has found nothing to do. Told once for each cause.
    fn park<L: Log>(&mut self, protocol: &Protocol<L>, waiting_on: &WaitingOn, now: Time) {
        self.pusher_woken_by = None;
        if self.parked.replace(self.moves) != Some(self.moves) {
            let cause = waiting_on_from(now, waiting_on);
            life!("park", self, protocol, { cause = %Owed(&cause) });
        }
    }

    /// The pusher goes on, if it had parked. What wakes it is noted, but for the time, which
    /// changes nothing.
    fn resume<L: Log>(&mut self, protocol: &Protocol<L>) {
        let by = self.pusher_woken_by.take().unwrap_or("clock");
        if self.parked.take().is_some() {
            life!("resume", self, protocol, { by });
        }
    }
}

/// Tells what has happened under the lock, which has been given up, and why the log has refused a
/// commit, if it has.
pub(super) fn unlocked(event: &Event<'_>) {
    if let Event::Answered { refused: Some(error) } = event {
        if let Some(tell) = here(|here| here.refused.take()) {
            let _caught = catch_panic(|| tell(error.to_string()));
        }
    }
    tell();
}
