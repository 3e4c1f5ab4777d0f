//! Which commits are durable.

use std::collections::VecDeque;

use super::group::{GROUP, group};
use crate::platform::Arc;
use crate::platform::event::Shown;
use crate::primitives::monitor::{Monitor, Wakers};

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
    pub(super) fn of(&self, place: usize) -> Option<bool> {
        if place < self.places { Some(true) } else { (!self.open).then_some(false) }
    }
}

/// The commits that are not durable.
pub(super) struct Unwritten<G> {
    /// The groups that have some, or will: those up to the last commit's, with their numbers.
    groups: VecDeque<(u64, Arc<Monitor<G>>)>,
    /// The last commit of the write under way.
    writing: u64,
}

impl<G: AsMut<Durability> + Shown> Unwritten<G> {
    pub(super) fn new() -> Self {
        Self { groups: VecDeque::new(), writing: 0 }
    }

    /// There is a commit with this number, in this group.
    pub(super) fn enter(&mut self, number: u64, of: &Arc<Monitor<G>>) {
        if self.groups.back().is_none_or(|(last, _)| *last < group(number)) {
            self.groups.push_back((group(number), Arc::clone(of)));
        }
    }

    /// A write begins, with all commits up to this one.
    pub(super) fn writes(&mut self, last: u64) {
        self.writing = last;
    }

    /// The write has succeeded. The tasks to wake are added to `wakers`.
    pub(super) fn written(&mut self, wakers: &mut Wakers) {
        while let Some((number, group)) = self.groups.front() {
            let Some(after) = self.writing.checked_sub(number * GROUP) else { break };
            let places = (after + 1).min(GROUP);
            group.change_quietly(wakers, |group| (group.as_mut().places = places as usize, 1));
            if places < GROUP {
                break;
            }
            self.groups.pop_front();
        }
    }

    /// None will be durable any more. The tasks to wake are added to `wakers`.
    pub(super) fn close(&mut self, wakers: &mut Wakers) {
        for (_, group) in self.groups.drain(..) {
            group.change_quietly(wakers, |group| (group.as_mut().open = false, 1));
        }
    }
}
