//! What a crash cannot undo: which changes of the log the journal has written, and what may be sent and pulled by that.
//!
//! Each [change](Change) of the log stands in a queue until the **writer** takes all that have gathered and hands them to the
//! journal, which writes them as one. Then they are **durable**. A crash leaves the journal with a first part of all changes:
//! at least those that are durable, and perhaps more of those that were being written.
//!
//! # What may be sent
//!
//! Pending events never change their order, so what of them is durable is a **count from the front**, and only those are
//! sent. That is not all. A log that comes back after a crash has to recognise its own events when upstream gives them out,
//! and a log may rely on what an upstream that looks at the base of each push guarantees: what follows its cursor is first
//! its own pending events, in their order, then those of others. So while a change is not durable that brought events of
//! others, or by which a pending event left or became another one, **nothing** is sent: it would be ordered behind, or
//! instead of, something that a crash brings back. That the log's own batch has been ordered is no such change: pushes follow
//! each other without waiting for the disk.
//!
//! # What may be pulled
//!
//! A pull begins only when the cursor is durable: an upstream may take it for an acknowledgement, and forget what stands
//! before it. A pull that is going on brings more all the same, until [so many](super::Settings::journal) changes are unwritten:
//! then it is asked to end, and the next begins when the journal has caught up.
//!
//! # What may wait for company
//!
//! That the log's own events have been ordered holds up nothing as long as a pull is going on, and comes after nearly every
//! commit. Such a change is written with the next commit if one comes soon, so that a commit does not find the disk busy with
//! the confirmation of the one before; else by itself, a millisecond later.
//!
//! # When the journal fails
//!
//! Then nothing is sent, no pull begins, and the owner is [waited on](super::WaitingOn::Owner). The changes of that write go
//! back to the front of the queue, so that the next write, after [`restart`](Protocol::restart), begins with the first that is
//! not durable. Commits go on, until the queue is full.

use std::num::NonZeroUsize;

use super::{Effects, Failure, Next, Protocol, Pull, Push, Time};
use crate::SharedError;
use crate::log::{Change, Changed, Log, Merged};

/// How long a confirmation may wait for a commit to be written with.
const COMPANY: Time = Time::from_millis(1);

/// What of a log's changes is durable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Durable<E, P> {
    /// The changes that no write has taken, in order.
    queue: Vec<Change<E, P>>,
    /// The number of the last change.
    made: u64,
    /// So many of the first pending events that are to be sent no crash takes back.
    events: usize,
    /// What has to wait for the changes in the queue.
    holds: Holds,
    /// Until when the queue may wait for company, as long as it holds nothing but confirmations.
    company: Option<Time>,
    /// The write that is under way.
    writing: Option<Write>,
    /// Why the journal cannot go on: no other write begins.
    failed: Option<Failure>,
    /// The log has changed in a way that is not in the queue. The journal has failed then.
    astray: bool,
    /// So many changes may be unwritten.
    max: usize,
}

/// A write that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Write {
    /// How many changes it writes.
    changes: usize,
    /// So many of the first pending events are durable once it has succeeded.
    events: usize,
    /// What has to wait for it.
    holds: Holds,
}

/// What has to wait until a change is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Holds {
    Nothing,
    /// Pulls: the cursor has moved.
    Pulls,
    /// Pushes, too: a log that a crash brings back would not know by itself what upstream may have.
    All,
}

impl Holds {
    fn of<E>(what: &Changed<E>) -> Self {
        match what {
            Changed::Committed { .. } => Self::Nothing,
            Changed::Merged(Merged::Advance { new, .. }) if new.is_empty() => Self::Pulls,
            Changed::Merged(_) | Changed::GivenUp { .. } | Changed::Replaced { .. } | Changed::Reset { .. } => {
                Self::All
            }
        }
    }
}

impl<E, P> Durable<E, P> {
    /// The journal holds a log with so many pending events.
    pub(super) fn new(events: usize, max: usize) -> Self {
        let (queue, holds) = (Vec::new(), Holds::Nothing);
        Self { queue, made: 0, events, holds, company: None, writing: None, failed: None, astray: false, max }
    }

    /// The log has changed, in a way that has confirmed so many of the events that were to be sent; at this time, if that may
    /// wait for company.
    fn note(&mut self, what: Changed<E>, confirmed: usize, cursor: P, now: Option<Time>) {
        match &what {
            Changed::Committed { .. } => {}
            Changed::Merged(merged) => self.settles(confirmed, merged.dropped().iter().copied()),
            Changed::GivenUp { start, count } => self.settles(0, *start..start + count),
            Changed::Replaced { index, .. } => self.forgets_from(*index),
            Changed::Reset { .. } => {
                self.astray = false;
                self.forgets_from(0);
            }
        }
        self.made += 1;
        let holds = Holds::of(&what);
        self.company = match now.filter(|_| holds == Holds::Pulls) {
            Some(now) if self.queue.is_empty() => Some(now.saturating_add(COMPANY)),
            Some(_) => self.company,
            None => None,
        };
        self.holds = self.holds.max(holds);
        self.queue.push(Change { number: self.made, what, cursor });
    }

    /// So many of the first pending events are pending no more, and of the others those at these indices, which ascend.
    fn settles(&mut self, confirmed: usize, dropped: impl Iterator<Item = usize> + Clone) {
        let writing = self.writing.as_mut().map(|write| &mut write.events);
        for events in [&mut self.events].into_iter().chain(writing) {
            let left = events.saturating_sub(confirmed);
            *events = left - dropped.clone().take_while(|index| *index < left).count();
        }
    }

    /// From this pending event on none is known to be durable before what is being noted is.
    fn forgets_from(&mut self, index: usize) {
        let writing = self.writing.as_mut().map(|write| &mut write.events);
        [&mut self.events].into_iter().chain(writing).for_each(|events| *events = index.min(*events));
    }

    /// How many changes are not durable.
    fn unwritten(&self) -> usize {
        self.queue.len() + self.writing.map_or(0, |write| write.changes)
    }

    fn holds(&self) -> Holds {
        self.writing.map_or(self.holds, |write| write.holds.max(self.holds))
    }

    /// How many of so many pending events may be sent.
    fn sendable(&self, pending: usize) -> usize {
        if self.failed.is_some() || self.holds() == Holds::All { 0 } else { self.events.min(pending) }
    }

    /// A new journal of the same future: numbers only grow, and nothing depends on them.
    pub(super) fn canonical(&self) -> Self
    where
        E: Clone,
        P: Copy,
    {
        let mut canonical = Self { made: 0, ..self.clone() };
        canonical.queue.iter_mut().for_each(|change| change.number = 0);
        canonical
    }
}

impl<L: Log> Protocol<L> {
    /// What the writer is to do: to write these changes, in order, and report to [`written`](Self::written) or
    /// [`not_written`](Self::not_written); or to wait.
    #[must_use = "changes that are not reported block the writer"]
    pub fn next_write(&mut self, now: Time) -> Next<Vec<Change<L::Entry, L::Position>>> {
        match self.write_due() {
            Next::Do(()) => {}
            Next::Wait { until: Some(until) } if until <= now => {}
            Next::Wait { until } => return Next::Wait { until },
            Next::Stop => return Next::Stop,
        }
        let events = self.log.pending();
        let Some(durable) = &mut self.durable else { return Next::Wait { until: None } };
        durable.company = None;
        let changes = std::mem::take(&mut durable.queue);
        let holds = std::mem::replace(&mut durable.holds, Holds::Nothing);
        durable.writing = Some(Write { changes: changes.len(), events, holds });
        Next::Do(changes)
    }

    /// What the writer is to do and is woken for.
    pub fn write_due(&self) -> Next<()> {
        let idle = Next::Wait { until: None };
        let Some(durable) = &self.durable else { return idle };
        let calls = matches!(self.course.push, Push::Sending { .. }) || self.ended < self.begun.pull;
        match &**durable {
            Durable { writing: Some(_), .. } => idle,
            Durable { failed: None, queue, company, .. } if !queue.is_empty() => {
                let pulling = matches!(self.course.pull, Pull::Pulling { ending: false, .. });
                let until = company.filter(|_| pulling && !self.stopped && !self.is_journal_full());
                until.map_or(Next::Do(()), |until| Next::Wait { until: Some(until) })
            }
            // What is in flight may change the log yet.
            _ if self.stopped && !calls => Next::Stop,
            _ => idle,
        }
    }

    /// The journal has written what it was given last: all of it is durable. (The caller drops the changes.)
    pub fn written(&mut self) {
        let Some(durable) = &mut self.durable else { return };
        let Some(write) = durable.writing.take() else { return };
        durable.events = write.events;
        self.counters.writes += 1;
        self.counters.changes += write.changes as u64;
        self.lingers_no_more_if_full();
    }

    /// The journal has not written these, which it was given last, or does not know that it has. They stand in front of the
    /// queue again.
    pub fn not_written(&mut self, changes: Vec<Change<L::Entry, L::Position>>, failure: Failure) -> Effects<L::Entry> {
        let Some(durable) = &mut self.durable else { return Effects::default() };
        let Some(write) = durable.writing.take() else { return Effects::default() };
        let behind = std::mem::replace(&mut durable.queue, changes);
        durable.queue.extend(behind);
        (durable.holds, durable.company) = (durable.holds.max(write.holds), None);
        self.journal_failed(failure)
    }

    /// The journal cannot go on. If it has failed already, the first failure stays.
    fn journal_failed(&mut self, failure: Failure) -> Effects<L::Entry> {
        let Some(durable) = &mut self.durable else { return Effects::default() };
        durable.failed.get_or_insert(failure);
        Effects { interrupt_pull: self.end_pull(), ..Effects::default() }
    }

    /// The owner has the journal go on, if it has failed. Returns why it had.
    pub(super) fn journal_goes_on(&mut self) -> Option<SharedError> {
        if self.durable.as_ref().is_some_and(|durable| durable.astray) {
            self.note_anew();
        }
        self.durable.as_mut()?.failed.take()?.shared()
    }

    /// How many changes of the log the journal has not written. 0 without one.
    pub fn unwritten(&self) -> usize {
        self.durable.as_ref().map_or(0, |durable| durable.unwritten())
    }

    /// Whether as many changes are unwritten as [may be](super::Settings::journal).
    pub fn is_journal_full(&self) -> bool {
        self.durable.as_ref().is_some_and(|durable| durable.unwritten() >= durable.max)
    }

    /// Why the journal cannot go on.
    pub fn journal_failure(&self) -> Option<&Failure> {
        self.durable.as_ref().and_then(|durable| durable.failed.as_ref())
    }

    /// How many of the pending events are durable. All of them without a journal.
    pub fn durable(&self) -> usize {
        let pending = self.log.pending();
        self.durable.as_ref().map_or(pending, |durable| durable.events.min(pending))
    }

    /// How many of the pending events the journal lets be sent.
    pub(super) fn recorded(&self) -> usize {
        let pending = self.log.pending();
        self.durable.as_ref().map_or(pending, |durable| durable.sendable(pending))
    }

    /// Whether the journal lets a pull begin.
    pub(super) fn is_cursor_recorded(&self) -> bool {
        let records = |durable: &Durable<_, _>| durable.failed.is_none() && durable.holds() == Holds::Nothing;
        self.durable.as_deref().is_none_or(records)
    }

    /// What has become of the log is not known: the journal is told what there is. Without one the log is not asked.
    pub fn note_anew(&mut self) {
        if let Some(pending) = self.all_of(&self.log) {
            self.note_all(pending);
        }
    }

    /// What is pending in this log, if there is a journal to be told.
    pub(super) fn all_of(&self, log: &L) -> Option<Vec<L::Entry>> {
        self.durable.as_ref().map(|_| log.batch(NonZeroUsize::MAX))
    }

    /// The journal is told that the log has these pending events and no others.
    pub(super) fn note_all(&mut self, pending: Vec<L::Entry>) {
        self.note(|| Changed::Reset { pending });
    }

    /// The log has merged something at this time, which has confirmed so many of the events that were to be sent. Without a
    /// journal nothing is made of it.
    pub(super) fn note_merged(&mut self, merged: &Merged<L::Entry>, confirmed: usize, now: Time) {
        if let Some(durable) = &mut self.durable {
            durable.note(Changed::Merged(merged.clone()), confirmed, self.log.upstream_head(), Some(now));
        }
    }

    /// The log has changed. Without a journal nothing is made of it.
    pub(super) fn note(&mut self, what: impl FnOnce() -> Changed<L::Entry>) {
        if let Some(durable) = &mut self.durable {
            durable.note(what(), 0, self.log.upstream_head(), None);
        }
    }

    /// The journal has not been told of a change, and cannot be told what there is instead: the log panics. The owner decides
    /// when that is tried again.
    pub fn journal_is_astray(&mut self, failure: Failure) -> Effects<L::Entry> {
        self.durable.iter_mut().for_each(|durable| durable.astray = true);
        self.journal_failed(failure)
    }
}
