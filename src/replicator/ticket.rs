//! What becomes of a commit: each one settles exactly once.
//!
//! A ticket outlives the replicator, so what becomes of its commit stands in a place of its own, under a lock of its own.
//! Commits that are made in a row mostly settle in a row: so many of them share one place, a **group**, and a commit alone
//! costs no allocation. What they share is the waking, too: who waits for another commit of the group looks once more.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::IntoFuture;
use std::mem::take;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::task::Waker;
use std::time::Duration;

use super::group::{GROUP, group, place};
use super::unwritten::{Durability, Unwritten};
use crate::SharedError;
use crate::log::{Log, Merged};
use crate::platform::event::Shown;
use crate::platform::{Arc, Instant};
use crate::primitives::interrupt::{Cause, Interrupt};
use crate::primitives::monitor::{Monitor, Topics, Wakers};
use crate::primitives::wait::{Wait, Waitable, Waited};
use crate::primitives::wait_queue::Place;

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Settled<P> {
    /// Upstream has ordered all of it that is sent; the last of those events has this number for good.
    ///
    /// Of a commit with nothing to send, the number of its last event as it was committed: there is nothing for upstream to
    /// order, and what others do may renumber it.
    Confirmed(P),
    /// Some of it was given up: by the log, because of what others did, or by [the owner](super::Replicator::give_up).
    /// [`Ticket::rejection`] is what upstream said, if that was why.
    Rejected,
    /// The replicator was closed, or its log replaced, before upstream had ordered all of it. It may be ordered later
    /// if the log is kept.
    Closed,
}

/// A commit on its way. Dropping it changes nothing about the commit.
///
/// A clone is another ticket of the same commit, at the cost of a reference count. A ticket can be
/// awaited as it is, under any executor:
///
/// ```
/// # if latchwork::sync::IN_MODEL { return Ok(()) }
/// use latchwork::{Replicator, Settled, Ticket};
/// use latchwork::{log::MemoryLog, upstream::Memory};
///
/// /// For a task to be spawned: it borrows nothing.
/// async fn is_saved(ticket: Ticket<u64>) -> bool {
///     ticket.await != Settled::Rejected
/// }
///
/// let replicator = Replicator::builder(MemoryLog::new(), Memory::new(0)).spawn()?;
/// let ticket = replicator.commit(vec!["milk"])?;
/// let task = is_saved(ticket.clone());
/// assert_eq!(ticket.wait(), Settled::Confirmed(1));
/// # let mut task = std::pin::pin!(task);
/// # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// # assert_eq!(task.as_mut().poll(&mut context), std::task::Poll::Ready(true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Ticket<P> {
    group: Arc<Group<P>>,
    /// The commit's place in its group.
    place: usize,
}

type Group<P> = Monitor<Outcomes<P>>;

/// What became of up to [`GROUP`] commits in a row.
struct Outcomes<P> {
    /// By their places: `None`, or absent, while undecided.
    settled: Vec<Option<Settled<P>>>,
    /// What upstream said of events that were given up because of it, with their commits' places.
    reasons: Vec<(usize, SharedError)>,
    /// Whether none settles before the owner has acted, as the replicator stands.
    halted: bool,
    durable: Durability,
}

impl<P: Send + 'static> Shown for Outcomes<P> {
    fn waits(&self, _: usize) -> String {
        "its commit has not settled".into()
    }
}

impl<P> AsMut<Durability> for Outcomes<P> {
    fn as_mut(&mut self) -> &mut Durability {
        &mut self.durable
    }
}

impl<P: Copy + Send + 'static> Ticket<P> {
    /// What became of the commit, if that is known.
    #[must_use]
    pub fn settled(&self) -> Option<Settled<P>> {
        self.group.look(self.found())
    }

    /// A wait until the commit has settled; its outcome is what became of it. It borrows nothing, so that it can be spawned.
    /// To await the ticket itself is the same.
    pub fn outcome(&self) -> Wait<Self> {
        Wait::new(self.clone())
    }

    /// As [`outcome`](Self::outcome), for as long as no decision of the owner's is needed: its outcome is `None` at once when
    /// no commit can settle any more before the owner has acted. See [`Status::decisions`](super::Status::decisions).
    pub fn unless_halted(&self) -> Wait<impl Waitable<Output = Option<Settled<P>>> + use<P>> {
        Wait::new(Bounded(self.clone()))
    }

    /// Blocks until the commit has settled: [`outcome`](Self::outcome), in short.
    #[must_use]
    pub fn wait(&self) -> Settled<P> {
        self.outcome().wait()
    }

    /// As [`wait`](Self::wait), for `timeout` at most.
    ///
    /// A wait for a ticket that is bounded, by a time or by an interrupt, ends at once as interrupted by
    /// [the owner](Cause::Owner) when no commit can settle any more before the owner has acted: see
    /// [`Status::decisions`](super::Status::decisions).
    pub fn wait_timeout(&self, timeout: Duration) -> Waited<Settled<P>> {
        self.outcome().wait_timeout(timeout)
    }

    /// Waits without blocking the thread: [`outcome`](Self::outcome), by another name.
    pub fn wait_async(&self) -> Wait<Self> {
        self.outcome()
    }

    /// What upstream said of an event of the commit that was given up since [it refused it](crate::upstream::PushError::Rejected)
    /// for good.
    #[must_use]
    pub fn rejection(&self) -> Option<SharedError> {
        self.group.look(|outcomes| {
            let reason = outcomes.reasons.iter().find(|(place, _)| *place == self.place);
            reason.map(|(_, error)| error.clone())
        })
    }

    fn found(&self) -> impl Fn(&mut Outcomes<P>) -> Option<Settled<P>> + Copy + use<P> {
        let place = self.place;
        move |outcomes| outcomes.settled.get(place).copied().flatten()
    }
}

impl<P: Copy + Send + 'static> Waitable for Ticket<P> {
    type Output = Settled<P>;

    fn look(&mut self, place: &mut Option<Place>, waker: Option<Waker>) -> Option<Settled<P>> {
        self.group.look_and_join(0, self.found(), place, waker)
    }

    fn leave(&self, place: &mut Option<Place>) {
        self.group.leave(0, place);
    }

    fn block(wait: &mut Wait<Self>, interrupt: Option<&Interrupt>, deadline: Option<Instant>) -> Waited<Settled<P>> {
        let ticket = wait.source.clone();
        if interrupt.is_none() && deadline.is_none() {
            return ticket.group.block(0, None, ticket.found());
        }
        let mut bounded = Wait::new(Bounded(ticket));
        match Bounded::block(&mut bounded, interrupt, deadline) {
            Waited::Ready(Some(settled)) => Waited::Ready(settled),
            Waited::Ready(None) => Waited::Interrupted(Cause::Owner),
            Waited::TimedOut => Waited::TimedOut,
            Waited::Interrupted(cause) => Waited::Interrupted(cause),
        }
    }
}

/// A ticket that is waited for as long as it can settle without the owner; `None` when it cannot.
struct Bounded<P>(Ticket<P>);

impl<P: Copy + Send + 'static> Bounded<P> {
    fn found(&self) -> impl Fn(&mut Outcomes<P>) -> Option<Option<Settled<P>>> + Copy + use<P> {
        let found = self.0.found();
        move |outcomes| found(outcomes).map(Some).or(outcomes.halted.then_some(None))
    }
}

impl<P: Copy + Send + 'static> Waitable for Bounded<P> {
    type Output = Option<Settled<P>>;

    fn look(&mut self, place: &mut Option<Place>, waker: Option<Waker>) -> Option<Self::Output> {
        self.0.group.look_and_join(0, self.found(), place, waker)
    }

    fn leave(&self, place: &mut Option<Place>) {
        self.0.group.leave(0, place);
    }

    fn block(wait: &mut Wait<Self>, interrupt: Option<&Interrupt>, deadline: Option<Instant>) -> Waited<Self::Output> {
        match interrupt {
            Some(_) => wait.drive(interrupt, deadline),
            None => wait.source.0.group.block(0, deadline, wait.source.found()),
        }
    }
}

impl<P> Clone for Ticket<P> {
    fn clone(&self) -> Self {
        Self { group: Arc::clone(&self.group), place: self.place }
    }
}

impl<P> fmt::Debug for Ticket<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

impl<P: Copy + Send + 'static> IntoFuture for Ticket<P> {
    type Output = Settled<P>;
    type IntoFuture = Wait<Self>;

    fn into_future(self) -> Wait<Self> {
        Wait::new(self)
    }
}

/// The commits that have not settled, in the order of their pending events.
pub(super) struct Tickets<P> {
    /// The number of the first commit in `open`; commits are numbered from 1.
    first: u64,
    /// How many events of each commit are not settled. They add up to the log's pending events that are to be sent. The
    /// first of them is at least one; behind it there may be commits that have settled out of order.
    open: VecDeque<usize>,
    /// Of the commits in `open` that have not settled, those that have lost an event: as what they will settle.
    lost: BTreeMap<u64, Settled<P>>,
    /// Who is told: the group of `first`, and those up to the last commit's.
    groups: VecDeque<Arc<Group<P>>>,
    /// Whether none settles before the owner has acted; as all groups say.
    halted: bool,
    /// Those that are not durable, if there is a journal.
    unwritten: Option<Box<Unwritten<Outcomes<P>>>>,
    /// Up to this one, there may be commits without a ticket: events of which it is not known which were committed together.
    ticketless: u64,
}

/// A commit, and what became of it.
type Outcome<P> = (u64, Settled<P>);

/// Some things, mostly one: that takes no allocation.
struct Few<T> {
    /// If it is the only one.
    one: Option<T>,
    more: Vec<T>,
}

impl<T> Few<T> {
    fn with_capacity(count: usize) -> Self {
        Self { one: None, more: if count > 1 { Vec::with_capacity(count) } else { Vec::new() } }
    }

    fn push(&mut self, thing: T) {
        if self.one.is_none() && self.more.is_empty() {
            self.one = Some(thing);
        } else {
            self.more.extend(self.one.take());
            self.more.push(thing);
        }
    }

    fn as_mut_slice(&mut self) -> &mut [T] {
        if self.more.is_empty() { self.one.as_mut_slice() } else { &mut self.more }
    }
}

impl<T> Extend<T> for Few<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, more: I) {
        more.into_iter().for_each(|one| self.push(one));
    }
}

impl<P: Copy + Send + 'static> Tickets<P> {
    /// For a log with so many pending events, and a journal or none.
    pub(super) fn new(pending: usize, journal: bool) -> Self {
        let (open, lost, groups) = (VecDeque::new(), BTreeMap::new(), VecDeque::new());
        let unwritten = journal.then(|| Box::new(Unwritten::new()));
        let mut tickets = Self { first: 1, open, lost, groups, halted: false, unwritten, ticketless: 0 };
        tickets.begin(pending);
        tickets
    }

    /// What is pending from the start is a commit without a ticket.
    fn begin(&mut self, pending: usize) {
        if pending > 0 {
            self.ticketless = self.enter(pending).0;
        }
    }

    /// The next commit has so many events that are to be sent. Returns its number and its ticket.
    #[inline]
    fn enter(&mut self, count: usize) -> (u64, Ticket<P>) {
        let number = self.first + self.open.len() as u64;
        let at = self.group(number);
        if at == self.groups.len() {
            let durable = Durability::new(self.unwritten.is_some());
            let outcomes = Outcomes { settled: Vec::new(), reasons: Vec::new(), halted: self.halted, durable };
            self.groups.push_back(Arc::new(Group::new(outcomes, "tickets")));
        }
        let group = Arc::clone(&self.groups[at]);
        if let Some(unwritten) = &mut self.unwritten {
            unwritten.enter(number, &group);
        }
        self.open.push_back(count);
        (number, Ticket { group, place: place(number) })
    }

    /// Where the group of this commit stands.
    fn group(&self, number: u64) -> usize {
        (group(number) - group(self.first)) as usize
    }

    /// A commit of `count` events that are to be sent; `head` is its last event's number. With nothing to send there is
    /// nothing to wait for: it is settled. Returns its ticket. The tasks to wake are added to `wakers`: those that wait for
    /// another commit of its group are looked for together.
    #[inline]
    pub(super) fn issue(&mut self, count: usize, head: P, wakers: &mut Wakers) -> Ticket<P> {
        let (number, ticket) = self.enter(count);
        if count == 0 {
            self.settled(&[(number, Settled::Confirmed(head))], wakers);
        }
        ticket
    }

    /// How many of at most so many pending events make up whole commits, from the first on; if the first alone has more, all
    /// of them.
    pub(super) fn cut(&self, most: NonZeroUsize) -> NonZeroUsize {
        self.whole(most.get()).last().and_then(NonZeroUsize::new).unwrap_or(most)
    }

    /// The first commits that so many pending events make up: how many each and those before it have.
    fn whole(&self, events: usize) -> impl Iterator<Item = usize> {
        let ends = self.open.iter().scan(0, |end, count| {
            *end += count;
            Some(*end)
        });
        ends.take_while(move |end| *end <= events)
    }

    /// The pending events of this commit, of those that have not settled; `None` if it has, or is not of these.
    pub(super) fn events_of(&self, ticket: &Ticket<P>) -> Option<Range<usize>> {
        let at = self.groups.iter().position(|group| Arc::ptr_eq(group, &ticket.group))?;
        let number = (group(self.first) + at as u64) * GROUP + ticket.place as u64;
        let open = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let count = *self.open.get(open).filter(|count| **count > 0)?;
        let before = self.open.range(..open).sum();
        Some(before..before + count)
    }

    /// The pending events of the commit to which the one at this index belongs.
    pub(super) fn commit_of(&self, index: usize) -> Range<usize> {
        let mut start = 0;
        for count in &self.open {
            if index < start + count {
                return start..start + count;
            }
            start += count;
        }
        index..index + 1
    }

    /// Whether it is known which commit the pending event at this index belongs to.
    pub(super) fn knows_commit_of(&self, mut index: usize) -> bool {
        let commit = (self.first..).zip(&self.open).find(|(_, count)| match index.checked_sub(**count) {
            Some(left) => {
                index = left;
                false
            }
            None => true,
        });
        commit.is_some_and(|(number, _)| number > self.ticketless)
    }

    /// The number of the last commit.
    pub(super) fn last(&self) -> u64 {
        self.first + self.open.len() as u64 - 1
    }

    /// The number of the first commit that has not settled, or of the next one.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Whether every commit up to this number has settled.
    pub(super) fn all_settled(&self, number: u64) -> bool {
        self.first > number
    }

    /// Settles what was merged; with the reason why some of it was given up, if it is upstream's. The tasks to wake once the
    /// lock has been given up are added to `wakers`.
    pub(super) fn merged<L: Log<Position = P>>(
        &mut self,
        log: &L,
        merged: &Merged<L::Entry>,
        reason: Option<&SharedError>,
        wakers: &mut Wakers,
    ) {
        // All calls of the log first: if one panics nothing has changed here.
        let (mut confirmed, is_sent) = (merged.confirmed().iter(), |entry: &&L::Entry| !log.is_local_only(entry));
        let (mut left, mut partly) = (confirmed.clone().filter(is_sent).count(), None);
        // Mostly all of them are, and each commit's last is found at once.
        let all_sent = left == confirmed.len();
        let mut sent = |nth| if all_sent { confirmed.nth(nth) } else { confirmed.by_ref().filter(is_sent).nth(nth) };
        let mut settled = Few::with_capacity(self.whole(left).count());
        for (number, remaining) in (self.first..).zip(&self.open).filter(|(_, remaining)| **remaining > 0) {
            if *remaining > left {
                partly = Some(number);
                break;
            }
            left -= *remaining;
            let Some(last) = sent(*remaining - 1) else { break };
            settled.push((number, Settled::Confirmed(L::position(last))));
        }
        for (number, outcome) in settled.as_mut_slice() {
            if !self.lost.is_empty() {
                *outcome = self.lost.remove(number).unwrap_or(*outcome);
            }
            *self.remaining(*number) = 0;
        }
        if let Some(number) = partly {
            *self.remaining(number) -= left;
        }
        // The last first: an index counts those before it.
        let lost = merged.dropped().iter().rev();
        settled.extend(lost.filter_map(|index| self.loses(*index, Settled::Rejected, reason)));
        self.settled(settled.as_mut_slice(), wakers);
    }

    /// How many events of this commit are not settled.
    fn remaining(&mut self, number: u64) -> &mut usize {
        &mut self.open[(number - self.first) as usize]
    }

    /// These pending events are not in the log any more that goes on with the others. The tasks to wake are added to `wakers`.
    pub(super) fn close_some(&mut self, gone: &[usize], wakers: &mut Wakers) {
        let lost = gone.iter().rev();
        let closed: Vec<_> = lost.filter_map(|index| self.loses(*index, Settled::Closed, None)).collect();
        self.settled(&closed, wakers);
    }

    /// The pending event at `index` is lost to its commit, which settles as this once it has no other; with what upstream said
    /// of it, if that was why.
    fn loses(&mut self, mut index: usize, lost: Settled<P>, reason: Option<&SharedError>) -> Option<Outcome<P>> {
        for (number, remaining) in (self.first..).zip(self.open.iter_mut()) {
            if index >= *remaining {
                index -= *remaining;
                continue;
            }
            *remaining -= 1;
            let (left, outcome) = (*remaining, self.lost.remove(&number).unwrap_or(lost));
            if let Some(reason) = reason {
                self.groups[self.group(number)].look(|group| group.reasons.push((place(number), reason.clone())));
            }
            if left == 0 {
                return Some((number, outcome));
            }
            self.lost.insert(number, outcome);
            return None;
        }
        None
    }

    /// These have no events left: tells their tickets. The tasks to wake are added to `wakers`.
    fn settled(&mut self, outcomes: &[Outcome<P>], wakers: &mut Wakers) {
        // A group is locked, and those who wait for it woken, once for all of its commits that settle together.
        for outcomes in outcomes.chunk_by(|(one, _), (other, _)| group(*one) == group(*other)) {
            let told = &self.groups[self.group(outcomes[0].0)];
            told.change_quietly(wakers, |group| {
                let group = &mut group.settled;
                if group.is_empty() {
                    group.reserve_exact(GROUP as usize);
                }
                for (number, settled) in outcomes {
                    let place = place(*number);
                    group.resize(group.len().max(place + 1), None);
                    group[place] = Some(*settled);
                }
                ((), 1)
            });
        }
        let first = group(self.first);
        while self.open.front() == Some(&0) {
            self.open.pop_front();
            self.first += 1;
        }
        for _gone in first..group(self.first) {
            // The next commit's group may be yet to come.
            self.groups.pop_front();
        }
    }

    /// None settles before the owner has acted, or again one may. The tasks to wake are added to `wakers`.
    pub(super) fn halt(&mut self, halted: bool, wakers: &mut Wakers) {
        if std::mem::replace(&mut self.halted, halted) != halted {
            for group in &self.groups {
                let told = Topics::from(halted);
                group.change_quietly(wakers, |outcomes| (outcomes.halted = halted, told));
            }
        }
    }

    /// A write begins, of all commits there are.
    pub(super) fn writes(&mut self) {
        let last = self.last();
        self.unwritten.iter_mut().for_each(|unwritten| unwritten.writes(last));
    }

    /// The write has succeeded. The tasks to wake are added to `wakers`.
    pub(super) fn written(&mut self, wakers: &mut Wakers) {
        self.unwritten.iter_mut().for_each(|unwritten| unwritten.written(wakers));
    }

    /// Nothing is written any more. The tasks to wake are added to `wakers`.
    pub(super) fn never_written(&mut self, wakers: &mut Wakers) {
        self.unwritten.iter_mut().for_each(|unwritten| unwritten.close(wakers));
    }

    /// The log has so many pending events, whatever it has said. Those that no commit has told of are a commit without a
    /// ticket; if some are missing, which tickets they were of is not known, and all are settled as closed. The tasks to
    /// wake are added to `wakers`.
    pub(super) fn realign(&mut self, pending: usize, wakers: &mut Wakers) {
        let known: usize = self.open.iter().sum();
        match pending.checked_sub(known) {
            Some(more) => self.begin(more),
            None => self.close(pending, wakers),
        }
    }

    /// Settles everything as closed; the log has so many pending events from now on. The tasks to wake are added to `wakers`.
    pub(super) fn close(&mut self, pending: usize, wakers: &mut Wakers) {
        let open = (self.first..).zip(self.open.iter_mut().map(take));
        let closed: Vec<_> = open.filter(|(_, left)| *left > 0).map(|(number, _)| (number, Settled::Closed)).collect();
        self.lost.clear();
        self.settled(&closed, wakers);
        self.begin(pending);
    }
}

impl<P: Copy + Send + 'static> Ticket<P> {
    /// A wait until the commit is **durable**: the [journal](crate::journal) has written it, so that a crash does not take it
    /// back. It borrows nothing.
    ///
    /// Its outcome is `true`; or `false` if that will never be known: at once without a journal, or once the replicator has
    /// [stopped](crate::Replicator::stopped) and the journal had not written it. While the journal
    /// [fails](crate::protocol::Failure::Journal) it goes on waiting, for a restart.
    pub fn durable(&self) -> Wait<impl Waitable<Output = bool> + use<P>> {
        Wait::new(Durable(self.clone()))
    }
}

/// A ticket whose commit is to be durable.
struct Durable<P>(Ticket<P>);

impl<P: Copy + Send + 'static> Waitable for Durable<P> {
    type Output = bool;

    fn look(&mut self, at: &mut Option<Place>, waker: Option<Waker>) -> Option<bool> {
        let place = self.0.place;
        self.0.group.look_and_join(0, |outcomes| outcomes.durable.of(place), at, waker)
    }

    fn leave(&self, at: &mut Option<Place>) {
        self.0.group.leave(0, at);
    }

    fn block(wait: &mut Wait<Self>, interrupt: Option<&Interrupt>, deadline: Option<Instant>) -> Waited<bool> {
        if interrupt.is_some() {
            return wait.drive(interrupt, deadline);
        }
        let Ticket { group, place } = &wait.source.0;
        group.block(0, deadline, |outcomes| outcomes.durable.of(*place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{MemoryEntry, MemoryLog, Wrapper};
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Wake};

    use crate::platform::{AtomicU64, IN_MODEL, Ordering};
    use crate::primitives::wait_queue::wake_all;

    /// Commits of so many events each, and a log that holds them.
    fn committed(counts: &[usize]) -> (MemoryLog<usize>, Tickets<u64>, Vec<Ticket<u64>>) {
        let log = MemoryLog::new().with_pending(0, 0..counts.iter().sum());
        let mut tickets = Tickets::new(0, false);
        let mut head = 0;
        let issued = counts.iter().map(|count| {
            head += *count as u64;
            tickets.issue(*count, head, &mut Wakers::new())
        });
        let issued = issued.collect();
        (log, tickets, issued)
    }

    /// Wakes those that `step` says are to be woken.
    fn waking<T>(step: impl FnOnce(&mut Wakers) -> T) -> T {
        let mut wakers = Wakers::new();
        let result = step(&mut wakers);
        wake_all(wakers);
        result
    }

    fn settled(tickets: &[Ticket<u64>]) -> Vec<Option<Settled<u64>>> {
        tickets.iter().map(Ticket::settled).collect()
    }

    /// The log confirms its first events, and gives up those of the others that have these indices.
    fn merge(log: &mut MemoryLog<usize>, tickets: &mut Tickets<u64>, confirmed: usize, dropped: &[usize]) {
        let mut entries = log.batch(NonZeroUsize::MAX);
        entries.truncate(confirmed);
        log.merge(entries.clone()).expect("they follow");
        let moved = log.pending() - dropped.len();
        let merged = Merged::Rebase { new: Vec::new(), confirmed: entries, moved, dropped: dropped.to_vec() };
        waking(|wakers| tickets.merged(log, &merged, None, wakers));
        let kept = log.batch(NonZeroUsize::MAX).into_iter().enumerate().filter(|(index, _)| !dropped.contains(index));
        *log = MemoryLog::new().with_pending(log.upstream_head(), kept.map(|(_, entry)| entry.event));
    }

    /// A log whose odd events are not sent.
    struct EvenAreSent(MemoryLog<usize>);

    impl Wrapper for EvenAreSent {
        type Log = MemoryLog<usize>;

        fn inner(&self) -> &MemoryLog<usize> {
            &self.0
        }

        fn inner_mut(&mut self) -> &mut MemoryLog<usize> {
            &mut self.0
        }

        fn is_local_only(&self, entry: &MemoryEntry<usize>) -> bool {
            entry.event % 2 == 1
        }
    }

    #[test]
    fn a_commit_settles_with_its_last_event_that_is_sent_whatever_stands_between() {
        if IN_MODEL {
            return;
        }
        let (log, mut tickets, issued) = committed(&[1, 2, 1]);
        let confirmed = MemoryLog::new().with_pending(0, 0..8).batch(NonZeroUsize::MAX);
        let merged = Merged::Advance { new: Vec::new(), confirmed };
        waking(|wakers| tickets.merged(&EvenAreSent(log), &merged, None, wakers));
        assert_eq!(settled(&issued), [1, 5, 7].map(|number| Some(Settled::Confirmed(number))));
    }

    const REJECTED: Option<Settled<u64>> = Some(Settled::Rejected);

    #[test]
    fn an_event_that_the_log_gives_up_rejects_its_own_commit_and_no_other() {
        if IN_MODEL {
            return;
        }
        for (index, rejected) in [(0, 0), (1, 1), (2, 2)] {
            let (mut log, mut tickets, issued) = committed(&[1, 1, 1]);
            merge(&mut log, &mut tickets, 0, &[index]);
            let mut expected = [None; 3];
            expected[rejected] = REJECTED;
            assert_eq!(settled(&issued), expected, "the event at {index} was given up");
        }
    }

    #[test]
    fn a_commit_that_lost_an_event_is_rejected_once_its_rest_has_settled() {
        if IN_MODEL {
            return;
        }
        let (mut log, mut tickets, issued) = committed(&[2, 3, 1]);
        // The second event of the second commit.
        merge(&mut log, &mut tickets, 0, &[3]);
        assert_eq!(settled(&issued), [None; 3]);
        merge(&mut log, &mut tickets, 3, &[]);
        assert_eq!(settled(&issued), [Some(Settled::Confirmed(2)), None, None]);
        merge(&mut log, &mut tickets, 2, &[]);
        assert_eq!(settled(&issued), [Some(Settled::Confirmed(2)), REJECTED, Some(Settled::Confirmed(5))]);
        assert_eq!((tickets.first(), tickets.last()), (4, 3));
    }

    #[test]
    fn dropped_events_of_several_commits_are_counted_without_confirmed_ones() {
        if IN_MODEL {
            return;
        }
        let (mut log, mut tickets, issued) = committed(&[1, 2, 2, 1]);
        // Once the first is confirmed: both of the second commit, and the last of the third.
        merge(&mut log, &mut tickets, 1, &[0, 1, 3]);
        assert_eq!(settled(&issued), [Some(Settled::Confirmed(1)), REJECTED, None, None]);
        merge(&mut log, &mut tickets, 1, &[]);
        assert_eq!(settled(&issued)[2..], [REJECTED, None]);
        merge(&mut log, &mut tickets, 1, &[]);
        assert_eq!(settled(&issued)[3], Some(Settled::Confirmed(3)));
    }

    #[test]
    fn realign_counts_what_a_log_that_panicked_has_appended_as_a_commit_without_a_ticket() {
        if IN_MODEL {
            return;
        }
        let (mut log, mut tickets) = (MemoryLog::new().with_pending(0, 0..3), Tickets::new(0, false));
        let first = waking(|wakers| tickets.issue(1, 1, wakers));
        waking(|wakers| tickets.realign(2, wakers));
        let last = waking(|wakers| tickets.issue(1, 3, wakers));
        assert_eq!([1, 2].map(|index| tickets.knows_commit_of(index)), [false, true]);
        merge(&mut log, &mut tickets, 2, &[]);
        assert_eq!(settled(&[first, last]), [Some(Settled::Confirmed(1)), None]);
    }

    #[test]
    fn a_commit_between_two_may_settle_before_them() {
        if IN_MODEL {
            return;
        }
        let (mut log, mut tickets, issued) = committed(&[1, 1, 1]);
        merge(&mut log, &mut tickets, 0, &[1]);
        merge(&mut log, &mut tickets, 2, &[]);
        assert_eq!(settled(&issued), [Some(Settled::Confirmed(1)), REJECTED, Some(Settled::Confirmed(2))]);
    }

    #[test]
    fn what_has_settled_before_stays_so_when_everything_is_closed() {
        if IN_MODEL {
            return;
        }
        let (mut log, mut tickets, issued) = committed(&[1, 1, 1]);
        merge(&mut log, &mut tickets, 0, &[1]);
        waking(|wakers| tickets.close(0, wakers));
        let closed = Some(Settled::Closed);
        assert_eq!(settled(&issued), [closed, REJECTED, closed]);
    }

    #[test]
    fn groups_have_so_many_places_and_are_kept_while_one_of_them_is_open() {
        if IN_MODEL {
            return;
        }
        let (mut log, mut tickets, issued) = committed(&[1; 40]);
        assert!(issued.iter().all(|ticket| (ticket.place as u64) < GROUP));
        assert_eq!(tickets.groups.len(), 3);
        merge(&mut log, &mut tickets, 14, &[]);
        assert_eq!(tickets.groups.len(), 3);
        merge(&mut log, &mut tickets, 1, &[]);
        assert_eq!(tickets.groups.len(), 2);
        merge(&mut log, &mut tickets, 25, &[]);
        assert_eq!(settled(&issued), (1..=40).map(|number| Some(Settled::Confirmed(number))).collect::<Vec<_>>());
    }

    #[test]
    fn each_outcome_of_a_ticket_is_woken_and_one_that_is_dropped_leaves_no_waker() {
        if IN_MODEL {
            return;
        }
        struct Counts(AtomicU64);
        impl Wake for Counts {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (mut log, mut tickets, issued) = committed(&[1]);
        let poll = |wait: &mut Wait<Ticket<u64>>, counts: &Arc<Counts>| {
            Pin::new(wait).poll(&mut Context::from_waker(&Waker::from(Arc::clone(counts))))
        };
        let mut waiting = [(); 3].map(|()| (issued[0].outcome(), Arc::new(Counts(AtomicU64::new(0)))));
        assert!(waiting.iter_mut().all(|(wait, counts)| poll(wait, counts).is_pending()));
        let [mut first, second, (dropped, not_woken)] = waiting;
        drop(dropped);
        assert_eq!(Arc::strong_count(&not_woken), 1, "its waker is kept");
        merge(&mut log, &mut tickets, 1, &[]);
        let woken = [&first.1, &second.1, &not_woken].map(|counts| counts.0.load(Ordering::Relaxed));
        assert_eq!(woken, [1, 1, 0]);
        assert_eq!(poll(&mut first.0, &first.1), Poll::Ready(Settled::Confirmed(1)));
        assert_eq!(Arc::strong_count(&second.1), 1, "its waker is kept");
    }

    #[test]
    fn a_commit_that_follows_a_rejected_one_is_not_rejected_for_it() {
        if IN_MODEL {
            return;
        }
        let (mut log, mut tickets, issued) = committed(&[2]);
        merge(&mut log, &mut tickets, 0, &[0]);
        merge(&mut log, &mut tickets, 0, &[0]);
        assert_eq!(settled(&issued), [REJECTED]);
        assert!(tickets.lost.is_empty(), "it is not asked for any more");
        assert_eq!((tickets.first(), tickets.last()), (2, 1));
    }
}
