//! What the writer does: it has the journal write what has gathered, without the lock, and reports.
//!
//! A third party beside the [pusher and the puller](super::work), on a thread of its own or as a part of the
//! [driver](super::driver). It is told to write, to wait or to stop, as they are, and is woken in the same way: what it would be
//! told is compared at the end of each transition. Each of its looks is a transition. The thread reports what came of the
//! write before and begins the next in one step, and parks only if there is nothing to begin; a task reports in a step before
//! that, since it may be dropped between the two, and leaves its waker in the step that has found nothing.
//!
//! It ends when it is told to stop, and for nothing else: after both directions, once all that they have changed is written, or
//! cannot be.
//!
//! # A commit that is written where it was made
//!
//! The journal for threads stands in the state, and a thread that begins a write takes it along, and the changes, in one step;
//! it gives it back with the report. So the thread that writes need not be the writer. One that commits and then waits for the
//! disk begins the write [in the step that commits](State::write_begins_here), if none is under way: the writer finds nothing
//! that is due, and is woken at the end of the write as after each other transition, if there is something by then. To hand the
//! commit over to the writer, and the outcome back, would take as long as two threads take to wake.

use std::convert::Infallible;
use std::task::Waker;

use super::core::{Core, Role, State};
use super::journal::AnyJournal;
use super::told::topic;
use crate::SharedError;
use crate::log::{Change, Log};
use crate::platform::event::Input;
use crate::platform::{catch_panic, probe};
use crate::primitives::panics::{FirstPanic, Payload, panic_message};
use crate::primitives::wait_queue::Place;
use crate::protocol::{Direction, Effects, Failure, Next, Time};

/// What a journal is to write.
pub(super) type Changes<L> = Vec<Change<<L as Log>::Entry, <L as Log>::Position>>;

/// A write that has begun.
pub(super) struct Write<L: Log> {
    pub changes: Changes<L>,
    /// What makes it; a driver has that itself.
    journal: Option<Box<dyn AnyJournal<L>>>,
}

/// A write, and what came of it.
pub(super) type Written<L> = (Write<L>, Result<(), Failure>);

impl<L: Log> Write<L> {
    /// Makes it, without the lock.
    fn make(mut self) -> Written<L> {
        let journal = self.journal.as_mut().expect("there is a journal for threads, and no other write");
        let outcome = wrote("Journal::write", catch_panic(|| journal.write_any(&self.changes)));
        (self, outcome)
    }
}

impl<L: Log> Default for Write<L> {
    fn default() -> Self {
        Self { changes: Vec::new(), journal: None }
    }
}

/// The writer, on a thread.
pub(super) fn write<L: Log>(core: &Core<L>) -> Result<(), Infallible> {
    let mut report = None;
    while let Some(write) = next(core, report) {
        report = Some(write.make());
    }
    drop(ends(core));
    Ok(())
}

/// Makes a write on the thread that has begun it.
pub(super) fn write_here<L: Log>(core: &Core<L>, write: Write<L>) {
    report(core, write.make());
}

/// Reports what came of the write before, and waits for what the next one is to write. None if there will be no other.
fn next<L: Log>(core: &Core<L>, mut report: Option<Written<L>>) -> Option<Write<L>> {
    loop {
        match look(core, report.take(), core.now(), None) {
            Next::Do(write) => return Some(write),
            Next::Stop => return None,
            Next::Wait { until } => {
                let deadline = until.and_then(|time| core.instant(time));
                let due = |state: &mut State<L>| (state.write_due() != Next::Wait { until }).then_some(());
                // It looks again, however that ends.
                let _ended = core.state.block(topic::WRITER, deadline, due);
            }
        }
    }
}

/// Looks, for a task. If there is nothing to do it leaves the waker in the queue, in the same critical section.
pub(super) fn poll<L: Log>(core: &Core<L>, place: &mut Option<Place>, waker: &Waker) -> (Next<Write<L>>, Time) {
    let now = core.now();
    // No waker is cloned or dropped under the lock: it is user code.
    let mut task = (place, Some(waker.clone()));
    (look(core, None, now, Some(&mut task)), now)
}

/// A place in the queue of the writer, and the waker that is to have it.
type Task<'a> = (&'a mut Option<Place>, Option<Waker>);

/// Reports what came of a write, if one has ended, and begins the next. A task joins the queue if there is nothing to begin.
fn look<L: Log>(
    core: &Core<L>,
    mut report: Option<Written<L>>,
    now: Time,
    mut task: Option<&mut Task<'_>>,
) -> Next<Write<L>> {
    loop {
        let mut done = None;
        let step = |state: &mut State<L>| {
            let mut effects = report.take().map(|written| state.written(written, &mut done, now)).unwrap_or_default();
            let next = state.write_begins(now);
            state.carry_out(&mut effects)?;
            Ok(next)
        };
        let mut state = core.state.lock();
        let (next, topics) = state.transition(Input::Written, step, |_, _| (), || now);
        let after = state.leaves(topics);
        let former = task.as_mut().and_then(|(place, waker)| {
            let joins = if let Ok(Next::Wait { .. }) = next { waker.take() } else { None };
            state.join_or_leave(topic::WRITER, place, joins)
        });
        drop(state);
        show(core, core.finish(after), done, now);
        drop(former);
        match next {
            Ok(next) => return next,
            // The log has panicked as it was asked how much is pending.
            Err(message) => core.journal_failed(Failure::Panicked { message: format!("the log: {message}") }),
        }
    }
}

/// Reports what came of a write, for a task.
pub(super) fn report<L: Log>(core: &Core<L>, written: Written<L>) {
    let (now, mut written, mut done) = (core.now_or_last(), Some(written), None);
    let step = |state: &mut State<L>| {
        ((), written.take().map(|written| state.written(written, &mut done, now)).unwrap_or_default())
    };
    let (_caught, panicked) = core.apply_at(Core::now_or_last, Input::Written, step);
    show(core, panicked, done, now);
}

/// A waker has panicked, or the drop of what is written. It changes nothing, and is shown with what may be sent by that.
fn show<L: Log>(core: &Core<L>, panicked: FirstPanic, done: Option<Changes<L>>, now: Time) {
    let dropped = catch_panic(|| drop(done)).map_err(panic_message).err();
    let Some(message) = dropped.or(panicked.message()) else { return };
    let failure = Failure::Panicked { message: format!("a waker or a drop: {message}") };
    let went_wrong = |state: &mut State<L>| state.went_wrong(Direction::Push, failure.into(), now);
    let (_caught, panicked) =
        core.apply_at(Core::now_or_last, Input::Written, |state| (went_wrong(state), Effects::default()));
    panicked.message();
}

/// It has been told to stop. Returns the journal, which is to be dropped.
pub(super) fn ends<L: Log>(core: &Core<L>) -> Option<Box<dyn AnyJournal<L>>> {
    let (last, journal) =
        core.look(|state| (state.ends(Role::Writer), state.writes.as_mut().and_then(|writes| writes.journal.take())));
    if last {
        core.close(|_| ()).1.message();
    }
    journal
}

/// What came of a write.
pub(super) fn wrote<E: Into<SharedError>>(what: &str, outcome: Result<Result<(), E>, Payload>) -> Result<(), Failure> {
    match outcome {
        Ok(written) => written.map_err(|error| Failure::Journal { error: error.into() }),
        Err(payload) => Err(Failure::Panicked { message: format!("{what}: {}", panic_message(payload)) }),
    }
}

impl<L: Log> State<L> {
    /// A write has ended. What it has written is `done`: to be dropped without the lock.
    fn written(
        &mut self,
        (Write { changes, journal }, outcome): Written<L>,
        done: &mut Option<Changes<L>>,
        now: Time,
    ) -> Effects<L::Entry> {
        probe!(self => JournalWritten {
            changes: changes.len(),
            error: outcome.as_ref().err().map(|failure| Box::new(failure.clone()) as _),
        });
        let writes = self.writes.as_mut().expect("there is a journal");
        let began = writes.writing.take();
        writes.journal = journal;
        match outcome {
            Ok(()) => {
                *done = Some(changes);
                self.protocol.written();
                // What has come since came after that.
                writes.unwritten_since = began.or(Some(now));
                self.tickets.written(&mut self.after.wakers);
                Effects::default()
            }
            Err(failure) => self.protocol.not_written(changes, failure),
        }
    }

    fn write_begins(&mut self, now: Time) -> Next<Write<L>> {
        if let Next::Stop = self.write_due() {
            return Next::Stop;
        }
        self.protocol.next_write(now).map(|changes| {
            let writes = self.writes.as_mut().expect("there is a journal");
            writes.writing = Some(now);
            self.tickets.writes();
            Write { changes, journal: writes.journal.take() }
        })
    }

    /// Begins what is to be written now, for the thread that has the lock. `None` if the writer has to do it, or is at it.
    pub(super) fn write_begins_here(&mut self, now: Time) -> Option<Write<L>> {
        // A driver has its journal itself. What the log panics with it will panic with in the writer.
        self.writes.as_ref()?.journal.as_ref()?;
        match self.catch_panic(|state| state.write_begins(now)) {
            Ok(Next::Do(write)) => Some(write),
            Ok(Next::Wait { .. } | Next::Stop) | Err(_) => None,
        }
    }
}
