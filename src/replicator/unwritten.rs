//! Which commits are durable.

use std::collections::VecDeque;
use std::task::Waker;

use super::ticket::{GROUP, Group, Ticket, group};
use crate::platform::{Arc, Instant};
use crate::primitives::interrupt::Interrupt;
use crate::primitives::monitor::Wakers;
use crate::primitives::wait::{Wait, Waitable, Waited};
use crate::primitives::wait_queue::Place;

/// How far the commits of a group are durable.
#[derive(Default)]
pub(super) struct Durability {
    /// So many of its first places are.
    places: usize,
    /// Whether others may become so.
    open: bool,
}

impl Durability {
    /// None is yet; with a journal.
    pub(super) fn new(open: bool) -> Self {
        Self { places: 0, open }
    }

    /// Whether the commit at this place is durable (`true`), or is not known to be and never will (`false`).
    fn of(&self, place: usize) -> Option<bool> {
        if place < self.places { Some(true) } else { (!self.open).then_some(false) }
    }
}

/// The commits that are not durable.
pub(super) struct Unwritten<P> {
    /// The groups that have some, or will: those up to the last commit's, with their numbers.
    groups: VecDeque<(u64, Arc<Group<P>>)>,
    /// The last commit of the write under way.
    writing: u64,
}

impl<P: Copy + Send + 'static> Unwritten<P> {
    pub(super) fn new() -> Self {
        Self { groups: VecDeque::new(), writing: 0 }
    }

    /// There is a commit with this number, in this group.
    pub(super) fn enter(&mut self, number: u64, of: &Arc<Group<P>>) {
        if self.groups.back().is_none_or(|(last, _)| *last < group(number)) {
            self.groups.push_back((group(number), Arc::clone(of)));
        }
    }

    /// A write begins, with all commits up to this one.
    pub(super) fn writes(&mut self, last: u64) {
        self.writing = last;
    }

    /// The write has succeeded. Returns the tasks to wake.
    pub(super) fn written(&mut self) -> Wakers {
        let mut wakers = Wakers::new();
        while let Some((number, group)) = self.groups.front() {
            let Some(after) = self.writing.checked_sub(number * GROUP) else { break };
            let places = (after + 1).min(GROUP);
            wakers.append(&mut group.change_quietly(|outcomes| (outcomes.durable.places = places as usize, 1)).1);
            if places < GROUP {
                break;
            }
            self.groups.pop_front();
        }
        wakers
    }

    /// None will be durable any more. Returns the tasks to wake.
    pub(super) fn close(&mut self) -> Wakers {
        let mut wakers = Wakers::new();
        for (_, group) in self.groups.drain(..) {
            wakers.append(&mut group.change_quietly(|outcomes| (outcomes.durable.open = false, 1)).1);
        }
        wakers
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
