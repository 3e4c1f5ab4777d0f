//! What the writer does: it has the journal write what has gathered, without the lock, and reports.
//!
//! A third party beside the [pusher and the puller](super::work), on a thread of its own. It is told to write, to wait or to
//! stop, as they are, and is woken in the same way: what it would be told is compared at the end of each transition. Each of
//! its looks is a transition: it reports what came of the write before and begins the next in one step, and parks only if there
//! is nothing to begin.
//!
//! It ends when it is told to stop, and for nothing else: after both directions, once all that they have changed is written, or
//! cannot be.

use std::convert::Infallible;

use super::core::{Core, State};
use super::journal::Writes;
use super::told::topic;
use crate::log::Log;
use crate::log::change::Change;
use crate::platform::event::Input;
use crate::platform::{Instant, catch_panic, probe};
use crate::primitives::panics::{Payload, panic_message};
use crate::primitives::wait::Waited;
use crate::protocol::{Direction, Effects, Failure, Next, NextWrite, Time};
use crate::shared_error::SharedError;

/// The changes of a write, and what came of it.
type Written<L> = (Vec<Change<<L as Log>::Entry, <L as Log>::Position>>, Result<(), Failure>);

/// The writer.
pub(super) fn write<L: Log>(core: &Core<L>, journal: &mut Writes<L>) -> Result<(), Infallible> {
    let mut report = None;
    while let Some(changes) = next(core, report) {
        let outcome = wrote(catch_panic(|| journal(&changes)));
        report = Some((changes, outcome));
    }
    if core.look(|state| state.writer_ends()) {
        core.close(|_| ()).1.message();
    }
    Ok(())
}

/// Reports what came of the write before, and waits for what the next one is to write. None if there will be no other.
fn next<L: Log>(core: &Core<L>, mut report: Option<Written<L>>) -> Option<Vec<Change<L::Entry, L::Position>>> {
    let mut passed = Time::ZERO;
    loop {
        // A clock that panics would end it, and leave what is not written for ever.
        let now = core.now_or_last().max(passed);
        let mut done = None;
        let step = |state: &mut State<L>| {
            let effects = report.take().map(|written| state.written(written, &mut done, now)).unwrap_or_default();
            (state.write_begins(now), effects)
        };
        let (next, panicked) = core.apply_at(Core::now_or_last, Input::Written, step);
        let panicked = catch_panic(|| drop(done)).map_err(panic_message).err().or(panicked.message());
        if let Some(message) = panicked {
            show(core, &message, now);
        }
        match next {
            Ok(NextWrite::Write(changes)) => return Some(changes),
            Ok(NextWrite::Stop) => return None,
            Ok(NextWrite::Wait(until)) => {
                // The protocol's clock may be a timer's; a thread waits by its own.
                let deadline = until.and_then(|until| Instant::now().checked_add(until.saturating_sub(now)));
                let due = |state: &mut State<L>| (state.write_due() != Next::Wait { until }).then_some(());
                if let (Waited::TimedOut, Some(until)) = (core.state.block(topic::WRITER, deadline, due), until) {
                    passed = until;
                }
            }
            // The log has panicked as it was asked how much is pending.
            Err(message) => core.journal_failed(Failure::Panicked { message: format!("the log: {message}") }),
        }
    }
}

/// A waker has panicked, or the drop of what is written. It changes nothing, and is shown with what may be sent by that.
fn show<L: Log>(core: &Core<L>, message: &str, now: Time) {
    let failure = Failure::Panicked { message: format!("a waker or a drop: {message}") };
    let went_wrong = |state: &mut State<L>| state.went_wrong(Direction::Push, failure.into(), now);
    let (_caught, panicked) =
        core.apply_at(Core::now_or_last, Input::Written, |state| (went_wrong(state), Effects::default()));
    panicked.message();
}

/// What came of a write.
fn wrote(outcome: Result<Result<(), SharedError>, Payload>) -> Result<(), Failure> {
    match outcome {
        Ok(written) => written.map_err(|error| Failure::Journal { error }),
        Err(payload) => Err(Failure::Panicked { message: format!("Journal::write: {}", panic_message(payload)) }),
    }
}

impl<L: Log> State<L> {
    /// A write has ended. What it has written is `done`: to be dropped without the lock.
    fn written(
        &mut self,
        (changes, outcome): Written<L>,
        done: &mut Option<Vec<Change<L::Entry, L::Position>>>,
        now: Time,
    ) -> Effects<L::Entry> {
        probe!(self => JournalWritten {
            changes: changes.len(),
            error: outcome.as_ref().err().map(|failure| Box::new(failure.clone()) as _),
        });
        let began = self.writing.take();
        match outcome {
            Ok(()) => {
                *done = Some(changes);
                self.protocol.written();
                // What has come since came after that.
                self.unwritten_since = began.or(Some(now));
                let mut wakers = self.tickets.written();
                self.after.wakers.append(&mut wakers);
                Effects::default()
            }
            Err(failure) => self.protocol.not_written(changes, failure),
        }
    }

    fn write_begins(&mut self, now: Time) -> NextWrite<L::Entry, L::Position> {
        if let Next::Stop = self.write_due() {
            return NextWrite::Stop;
        }
        let next = self.protocol.next_write(now);
        if let NextWrite::Write(_) = next {
            self.writing = Some(now);
            self.tickets.writes();
        }
        next
    }
}
