//! Pending events in order, without their numbers.
//!
//! Pending numbers have no gaps and one generation, so what stands before the first and which
//! events are local-only says them all. A chain keeps those two facts instead of numbers, and
//! renumbering it is a matter of changing what stands before the first: O(1), whatever is pending.
//!
//! Sent and local-only events stand in two queues; each sent one knows how many local-only ones
//! follow it. So the next sent events are found without a look at what stands between.
//!
//! ```text
//! order    e4.1  e5  e6  e6.1  e6.2        base = e4, leading = 1
//! sent           e5  e6                    local-only behind each: 0, 2
//! local    e4.1          e6.1  e6.2
//! ```

use std::collections::{VecDeque, vec_deque};
use std::iter::FusedIterator;
use std::ops::Range;

use super::seq_num::{Exhausted, Part};
use super::{Entry, Position, SeqNum};
use crate::log::growth;

/// Invariant: [`head`](Self::head) is a valid number, and so is each number before it. Who adds or renumbers proves
/// it first; from then on no sum below can overflow.
#[derive(Clone)]
pub(super) struct Chain<E> {
    /// What the first entry stands on; with nothing pending, the head.
    base: SeqNum,
    /// The generation of all entries; that of `base` when there are none.
    generation: u32,
    /// How many local-only events stand before the first sent one.
    leading: u32,
    /// The sent events.
    sent: VecDeque<Sent<E>>,
    /// The local-only events. As many as `leading` and all `Sent::followers` say.
    local: VecDeque<E>,
}

#[derive(Clone, Debug)]
struct Sent<E> {
    event: E,
    /// How many local-only events stand between this and the next sent one.
    followers: u32,
}

/// A place in a chain: so many entries from its front.
#[derive(Clone, Copy)]
pub(super) struct Place {
    sent: usize,
    local: usize,
    /// How many local-only events stand between the place and the next sent event.
    pub(super) leading: u32,
}

impl Place {
    /// How many entries stand before it.
    pub(super) fn len(self) -> usize {
        self.sent + self.local
    }
}

impl<E> Chain<E> {
    pub(super) const fn new(base: SeqNum) -> Self {
        Self { base, generation: base.generation, leading: 0, sent: VecDeque::new(), local: VecDeque::new() }
    }

    /// An empty chain whose entries will have this generation, whatever that of `base` is.
    pub(super) const fn with_generation(base: SeqNum, generation: u32) -> Self {
        let mut chain = Self::new(base);
        chain.generation = generation;
        chain
    }

    pub(super) fn len(&self) -> usize {
        self.sent.len() + self.local.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.local.is_empty()
    }

    pub(super) const fn generation(&self) -> u32 {
        self.generation
    }

    pub(super) fn sent_len(&self) -> usize {
        self.sent.len()
    }

    /// How many local-only events stand behind the last sent one.
    pub(super) fn trailing(&self) -> u32 {
        self.sent.back().map_or(self.leading, |sent| sent.followers)
    }

    /// The number of the last entry; with nothing pending, the base.
    pub(super) fn head(&self) -> SeqNum {
        if self.is_empty() {
            return self.base;
        }
        let global = self.base.global + self.sent.len() as u64;
        let client = match self.sent.back() {
            Some(sent) => sent.followers,
            None => self.base.client + self.leading,
        };
        SeqNum::new(global, client, self.generation)
    }

    /// The entries in order.
    pub(super) fn entries(&self) -> Entries<'_, E> {
        self.entries_numbered(self.base, self.generation)
    }

    /// The entries in order, as they would be called on another base.
    pub(super) fn entries_numbered(&self, base: SeqNum, generation: u32) -> Entries<'_, E> {
        Entries {
            sent: self.sent.iter(),
            local: Some(self.local.iter()),
            leading: self.leading,
            previous: base,
            generation,
        }
    }

    /// The sent entries in order.
    pub(super) fn sent_entries(&self) -> Entries<'_, E> {
        Entries { local: None, ..self.entries() }
    }

    /// The first `max` of [`sent_entries`](Self::sent_entries), cloned, in one loop: a walk keeps what it knows in memory
    /// between two steps.
    pub(super) fn sent_batch(&self, max: usize) -> Vec<Entry<E>>
    where
        E: Clone,
    {
        let count = max.min(self.sent.len());
        let mut entries = Vec::with_capacity(count);
        // Local-only entries that stand before the first have the generation of the chain, whatever they stand on.
        let generation = if self.leading > 0 { self.generation } else { self.base.generation };
        let mut parent = SeqNum::new(self.base.global, 0, generation);
        let (front, back) = self.sent.as_slices();
        for sent in [front, back] {
            let left = count - entries.len();
            for Sent { event, .. } in &sent[..left.min(sent.len())] {
                let seq = following(parent, false, self.generation);
                entries.push(Entry { seq, parent, event: event.clone() });
                parent = seq;
            }
        }
        entries
    }

    /// The last entries: what was pushed since the chain ended at `head` and had these lengths.
    pub(super) fn entries_since(&self, end: Place, head: SeqNum) -> Entries<'_, E> {
        let added = match end.sent.checked_sub(1) {
            Some(last) => self.sent[last].followers,
            None => self.leading,
        };
        Entries {
            sent: self.sent.range(end.sent..),
            local: Some(self.local.range(end.local..)),
            leading: added - end.leading,
            previous: head,
            generation: self.generation,
        }
    }

    /// The place behind the last entry. Its `leading` counts what stands behind the last sent event already.
    pub(super) fn end(&self) -> Place {
        Place { sent: self.sent.len(), local: self.local.len(), leading: self.trailing() }
    }

    /// The place behind so many entries of any kind; O(`len`).
    pub(super) fn after(&self, len: usize) -> Place {
        let mut entries = self.entries();
        let taken = entries.by_ref().take(len).count();
        let sent = self.sent.len() - entries.sent.len();
        Place { sent, local: taken - sent, leading: entries.leading }
    }

    /// The place right behind so many sent entries, before the local-only ones that follow; the front for none.
    /// O(`sent`).
    pub(super) fn after_sent(&self, sent: usize) -> Place {
        let Some(last) = sent.checked_sub(1) else {
            return Place { sent: 0, local: 0, leading: self.leading };
        };
        let between: usize = self.sent.range(..last).map(|s| s.followers as usize).sum();
        Place { sent, local: self.leading as usize + between, leading: self.sent[last].followers }
    }

    /// The first sent entry behind the place.
    pub(super) fn next_sent(&self, place: Place) -> Option<(Position, &E)> {
        let sent = self.sent.get(place.sent)?;
        Some((Position { global: self.base.global + 1 + place.sent as u64, client: 0 }, &sent.event))
    }

    /// The place right before the next sent entry: the local-only ones between are passed.
    pub(super) fn past_local(place: Place) -> Place {
        // Mutant `delete field leading`: a caller that passes them asks for the length alone.
        Place { local: place.local + place.leading as usize, leading: 0, ..place }
    }

    /// Appends an event under the next number. The caller has checked that there is one.
    #[inline]
    pub(super) fn push(&mut self, event: E, local_only: bool) {
        if local_only {
            match self.sent.back_mut() {
                Some(sent) => sent.followers += 1,
                None => self.leading += 1,
            }
            growth::push_back(&mut self.local, event);
        } else {
            growth::push_back(&mut self.sent, Sent { event, followers: 0 });
        }
    }

    /// Moves the first `len` entries out; O(`len`).
    pub(super) fn take_front(&mut self, len: usize) -> Vec<Entry<E>> {
        let mut taken = Vec::with_capacity(len);
        while taken.len() < len {
            let local_only = self.leading > 0;
            let event = if local_only {
                self.leading -= 1;
                self.local.pop_front()
            } else {
                self.sent.pop_front().map(|Sent { event, followers }| {
                    self.leading = followers;
                    event
                })
            };
            let Some(event) = event else { break };
            let parent = self.base.parent_of_next(local_only);
            let seq = following(self.base, local_only, self.generation);
            self.base = seq;
            taken.push(Entry { seq, parent, event });
        }
        taken
    }

    /// The number of the last of the first `sent` entries, if none of all entries is local-only.
    pub(super) fn sent_base(&self, sent: usize) -> Option<SeqNum> {
        // Mutants `with None`, `replace + with *`: a batch is then merged as any page is, with the same result.
        let all = self.local.is_empty() && sent <= self.sent.len();
        all.then(|| SeqNum::new(self.base.global + sent as u64, 0, self.generation))
    }

    /// Drops the first `sent` entries; `base` is what [`sent_base`](Self::sent_base) said.
    pub(super) fn drop_sent(&mut self, sent: usize, base: SeqNum) {
        self.sent.drain(..sent);
        self.base = base;
    }

    /// What the head would be if the entries behind `place` stood on `base`.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if one of their numbers would not fit.
    pub(super) fn head_on(&self, base: SeqNum, generation: u32, place: Place) -> Result<SeqNum, Exhausted> {
        let sent = self.sent.len() - place.sent;
        let first_run = base.client.checked_add(place.leading);
        let first_run = first_run.ok_or_else(|| base.exhausted(Part::Client))?;
        if sent == 0 {
            return Ok(SeqNum::new(base.global, first_run, generation));
        }
        let global = base.global.checked_add(sent as u64);
        let global = global.ok_or_else(|| base.exhausted(Part::Global))?;
        Ok(SeqNum::new(global, self.trailing(), generation))
    }

    /// Puts all entries on another base and says how they were numbered before; O(1). The caller has asked
    /// [`head_on`](Self::head_on) first.
    pub(super) fn rebase(&mut self, base: SeqNum, generation: u32) -> Numbering {
        let before = Numbering { base: self.base, generation: self.generation };
        self.base = base;
        self.generation = generation;
        before
    }

    /// Takes out these of the sent entries, or of all. What stands behind gets the numbers that follow; local-only events
    /// that stood behind a sent one that is taken out stand behind the one before. O(n). `None`, and nothing has changed, if
    /// not all of those might have a number there.
    pub(super) fn take_out(&mut self, range: Range<usize>, of_all: bool) -> Option<Vec<Entry<E>>> {
        let local = u32::try_from(self.local.len()).ok()?;
        self.base.client.checked_add(local)?;
        let mut rest = Self::with_generation(self.base, self.generation);
        let (mut taken, mut place) = (Vec::with_capacity(range.len()), 0);
        for entry in self.take_front(self.len()) {
            let local_only = entry.seq.client > 0;
            let counts = of_all || !local_only;
            if counts && range.contains(&place) {
                taken.push(entry);
            } else {
                rest.push(entry.event, local_only);
            }
            place += usize::from(counts);
        }
        if rest.is_empty() {
            rest.generation = rest.base.generation;
        }
        *self = rest;
        Some(taken)
    }

    /// Puts another event in the place of this one of the sent entries, or of all. Returns it as it was.
    ///
    /// # Errors
    ///
    /// The new event, if it is not of the same kind, or there are not so many.
    pub(super) fn replace(&mut self, index: usize, of_all: bool, event: E, local_only: bool) -> Result<Entry<E>, E> {
        let place = if of_all { self.after(index) } else { Place { sent: index, local: 0, leading: 0 } };
        let mut entries = if of_all { self.entries() } else { self.sent_entries() };
        let present = entries.nth(index).filter(|_| local_only == (place.leading > 0));
        let Some(Entry { seq, parent, .. }) = present else { return Err(event) };
        let present = if local_only { &mut self.local[place.local] } else { &mut self.sent[place.sent].event };
        Ok(Entry { seq, parent, event: std::mem::replace(present, event) })
    }

    /// For so many sent and so many local-only events there is room.
    #[cfg(test)]
    pub(super) fn room(&self) -> (usize, usize) {
        (self.sent.capacity(), self.local.capacity())
    }

    pub(super) fn shrink_to_fit(&mut self) {
        self.sent.shrink_to_fit();
        self.local.shrink_to_fit();
    }
}

/// How the entries of a chain are called.
#[derive(Clone, Copy)]
pub(super) struct Numbering {
    pub(super) base: SeqNum,
    pub(super) generation: u32,
}

/// The number that follows, in a chain of this generation. It exists: see the invariant of [`Chain`].
const fn following(previous: SeqNum, local_only: bool, generation: u32) -> SeqNum {
    if local_only {
        SeqNum::new(previous.global, previous.client + 1, generation)
    } else {
        SeqNum::new(previous.global + 1, 0, generation)
    }
}

/// A walk over entries that are still in the state, in order, by reference. Each step is O(1).
#[derive(Debug)]
pub(super) struct Entries<'a, E> {
    sent: vec_deque::Iter<'a, Sent<E>>,
    /// `None` to pass over local-only entries.
    local: Option<vec_deque::Iter<'a, E>>,
    /// How many local-only entries stand before the next sent one.
    leading: u32,
    /// The number before the next.
    previous: SeqNum,
    generation: u32,
}

impl<E> Entries<'_, E> {
    pub(super) fn empty() -> Self {
        Self { sent: vec_deque::Iter::default(), local: None, leading: 0, previous: SeqNum::ROOT, generation: 0 }
    }
}

impl<'a, E> Iterator for Entries<'a, E> {
    type Item = Entry<&'a E>;

    // Not inlined, an entry is returned through memory: stored in parts and loaded whole, a store-forwarding stall.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let mut local_event = None;
        if self.leading > 0 {
            match &mut self.local {
                Some(local) => {
                    local_event = local.next();
                    self.leading -= 1;
                }
                None => {
                    // Their numbers are passed over with them; a parent needs the generation.
                    let client = self.previous.client + self.leading;
                    self.previous = SeqNum::new(self.previous.global, client, self.generation);
                    self.leading = 0;
                }
            }
        }
        let local_only = local_event.is_some();
        let event = match local_event {
            Some(event) => event,
            None => {
                let sent = self.sent.next()?;
                self.leading = sent.followers;
                &sent.event
            }
        };
        let parent = self.previous.parent_of_next(local_only);
        let seq = following(self.previous, local_only, self.generation);
        self.previous = seq;
        Some(Entry { seq, parent, event })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let local = self.local.as_ref().map_or(0, ExactSizeIterator::len);
        let len = self.sent.len() + local;
        (len, Some(len))
    }
}

impl<E> ExactSizeIterator for Entries<'_, E> {}
impl<E> FusedIterator for Entries<'_, E> {}

// Derived, it would ask for `E: Clone`.
impl<E> Clone for Entries<'_, E> {
    fn clone(&self) -> Self {
        Self { sent: self.sent.clone(), local: self.local.clone(), ..*self }
    }
}
