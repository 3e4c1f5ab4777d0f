//! What a log is to do, as a plain vector: the documentation of `Log`, `Merged`, `MemoryLog` and `LocalOnly`, and the rules
//! in `tests/conformance/README.md`. It renumbers everything that it renumbers, and counts in 128 bits.

use latchwork::sync_state::{Event, LocalOnly, SeqNum};

/// An event: unique by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub id: u32,
    pub local_only: bool,
}

impl Event for Item {
    fn is_local_only(&self) -> bool {
        self.local_only
    }
    fn is_same_as(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// An entry of either log. One of a `MemoryLog` counts in `global` alone, and stands on the number before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    pub seq: SeqNum,
    pub parent: SeqNum,
    pub item: Item,
}

impl std::fmt::Debug for Numbered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seq, parent, item } = self;
        write!(f, "{}{}@{seq}<{parent}", item.id, if item.local_only { "c" } else { "" })
    }
}

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Commuting,
    Rebasing,
    State(LocalOnly),
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Commuting => "commuting MemoryLog",
            Self::Rebasing => "rebasing MemoryLog",
            Self::State(LocalOnly::Kept) => "SyncState, local-only kept",
            Self::State(LocalOnly::Passed) => "SyncState, local-only passed",
            Self::State(LocalOnly::Shared) => "SyncState, local-only shared",
            Self::State(_) => "SyncState",
        }
    }

    pub fn is_memory(self) -> bool {
        matches!(self, Self::Commuting | Self::Rebasing)
    }

    /// Whether local-only events are sent like all others.
    pub fn is_shared(self) -> bool {
        self == Self::State(LocalOnly::Shared)
    }
}

/// How a log stands: all that can be seen of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stands {
    pub upstream_head: SeqNum,
    pub head: SeqNum,
    /// How many are to be sent.
    pub to_send: usize,
    /// Those, in order.
    pub batch: Vec<Numbered>,
    /// All that is pending, in order.
    pub pending: Vec<Numbered>,
}

/// What a log must say to what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Taken,
    Refused(Why),
    /// The documentation leaves it to the log.
    Either,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Not ascending, or not after the head.
    Stale,
    /// Something is missing before it.
    Gap,
    /// Another generation or another parent than the chain's.
    Chain,
    /// There are no numbers left.
    Exhausted,
}

/// What a merge must say.
#[derive(Debug, PartialEq)]
pub struct Merging {
    pub new: Vec<Numbered>,
    pub confirmed: Vec<Numbered>,
    /// How many were rolled back, if pending events have got new numbers.
    pub moved: Option<usize>,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub kind: Kind,
    pub upstream_head: SeqNum,
    /// The last event's number if nothing is pending.
    pub settled: SeqNum,
    pub pending: Vec<Numbered>,
}

impl Model {
    pub fn head(&self) -> SeqNum {
        self.pending.last().map_or(self.settled, |last| last.seq)
    }

    /// What is to be sent, in order.
    pub fn to_send(&self) -> Vec<Numbered> {
        let sent = |entry: &&Numbered| self.kind.is_shared() || !entry.item.local_only;
        self.pending.iter().filter(sent).copied().collect()
    }

    pub fn stands(&self) -> Stands {
        let batch = self.to_send();
        let (upstream_head, head) = (self.upstream_head, self.head());
        Stands { upstream_head, head, to_send: batch.len(), batch, pending: self.pending.clone() }
    }

    /// As a log that stands like this.
    pub fn again(&mut self, stands: &Stands) {
        (self.upstream_head, self.settled) = (stands.upstream_head, stands.head);
        self.pending.clone_from(&stands.pending);
    }

    /// The events as they would stand if they were pushed now.
    pub fn number(&self, items: &[Item]) -> Option<Vec<Numbered>> {
        chain(self.head(), self.head().generation, items)
    }

    /// What others have numbered as it is admitted: with nothing to be sent pending, their generation is none of this log's, which
    /// numbers what it rebases in one of its own.
    pub fn in_this_generation(&self, entries: &[Numbered]) -> Vec<Numbered> {
        let mut entries = entries.to_vec();
        if !self.kind.is_memory() && self.to_send().is_empty() {
            let generation = self.head().generation;
            for Numbered { seq, parent, .. } in &mut entries {
                (seq.generation, parent.generation) = (generation, generation);
            }
        }
        entries
    }

    /// What is to be said to events that others have numbered, as they are admitted.
    pub fn push_verdict(&self, entries: &[Numbered]) -> Verdict {
        let passes = |item: Item| item.local_only && self.kind == Kind::State(LocalOnly::Passed);
        let (mut previous, mut either) = (self.head(), false);
        for entry in entries {
            if !entry.seq.is_after(previous) {
                return Verdict::Refused(Why::Stale);
            }
            let follows = following(previous, entry.item).is_some_and(|next| {
                let chained = entry.seq == next.seq && entry.parent == next.parent;
                chained || self.kind.is_memory() && entry.seq.global == next.seq.global
            });
            if !follows && passes(entry.item) {
                // What passed left no trace, so its numbers say nothing.
                either = true;
            } else if !follows {
                return Verdict::Refused(Why::Chain);
            }
            previous = entry.seq;
        }
        // Whether the very last number may be used.
        let last = self.kind.is_memory() && previous.global == u64::MAX;
        if either || last { Verdict::Either } else { Verdict::Taken }
    }

    /// Appends them. Returns how many are to be sent.
    pub fn push(&mut self, entries: &[Numbered]) -> usize {
        let before = self.to_send().len();
        let stays = |item: Item| !item.local_only || self.kind != Kind::State(LocalOnly::Passed);
        let memory = self.kind.is_memory();
        // An entry of a memory log says nothing of its parent.
        let parent = |entry: &Numbered| if memory { SeqNum::new(entry.seq.global - 1, 0, 0) } else { entry.parent };
        let stay = entries.iter().filter(|entry| stays(entry.item));
        self.pending.extend(stay.map(|entry| Numbered { parent: parent(entry), ..*entry }));
        self.to_send().len() - before
    }

    /// What is to be said to a page. One that is not `plain` has something in it that is upstream's business.
    pub fn page_verdict(&self, page: &[Numbered], plain: bool) -> Verdict {
        let (mut previous, mut either) = (self.upstream_head, !plain);
        for entry in page {
            let (found, local_only) = (entry.seq, entry.seq.client > 0);
            if !found.is_after(previous) {
                return Verdict::Refused(Why::Stale);
            }
            let gap = if local_only && !self.kind.is_shared() {
                // Upstream does not number these here. If it does, what then?
                either = true;
                found.global != previous.global
            } else {
                let next = following(previous, Item { local_only, ..entry.item });
                next.is_none_or(|next| next.seq.position() != found.position())
            };
            if gap {
                return Verdict::Refused(Why::Gap);
            }
            either |= local_only != entry.item.local_only;
            previous = found;
        }
        let mut merged = self.clone();
        match merged.merge(page) {
            _ if either => Verdict::Either,
            Err(why) => Verdict::Refused(why),
            // Whether the very last number may be used.
            Ok(_) if self.kind.is_memory() && merged.head().global == u64::MAX => Verdict::Either,
            Ok(_) => Verdict::Taken,
        }
    }

    /// Applies a page that follows.
    ///
    /// # Errors
    ///
    /// If what is pending would have no numbers any more.
    pub fn merge(&mut self, page: &[Numbered]) -> Result<Merging, Why> {
        let Some(last) = page.last() else {
            return Ok(Merging { new: Vec::new(), confirmed: Vec::new(), moved: None });
        };
        if self.kind.is_memory() { self.merge_memory(page, last.seq) } else { self.merge_state(page, last.seq) }
    }

    /// Confirmed is what is equal to the next that is pending. All that remains stands on top.
    fn merge_memory(&mut self, page: &[Numbered], last: SeqNum) -> Result<Merging, Why> {
        let (mut new, mut confirmed, mut left) = (Vec::new(), Vec::new(), self.pending.as_slice());
        for entry in page {
            match left.split_first() {
                Some((first, rest)) if first.item == entry.item => {
                    confirmed.push(*entry);
                    left = rest;
                }
                _ => new.push(*entry),
            }
        }
        let items: Vec<_> = left.iter().map(|entry| entry.item).collect();
        let pending = chain(last, 0, &items).ok_or(Why::Exhausted)?;
        let rebase = self.kind == Kind::Rebasing && !new.is_empty() && !pending.is_empty();
        let moved = rebase.then_some(pending.len());
        (self.upstream_head, self.settled, self.pending) = (last, last, pending);
        Ok(Merging { new, confirmed, moved })
    }

    /// They agree as far as they are the same under the same numbers.
    fn merge_state(&mut self, page: &[Numbered], last: SeqNum) -> Result<Merging, Why> {
        let expected = self.to_send();
        let same = |(own, other): &(&Numbered, &Numbered)| {
            own.seq.position() == other.seq.position() && own.item.id == other.item.id
        };
        let agreed = expected.iter().zip(page).take_while(same).count();
        let diverged = agreed < page.len() && agreed < expected.len();
        // Behind the last that upstream has ordered, if it has ordered any.
        let behind = |entry: &Numbered| self.pending.iter().position(|own| own == entry).map_or(0, |index| index + 1);
        let mut settled = agreed.checked_sub(1).map_or(0, |last| behind(&expected[last]));
        if !diverged && !self.kind.is_shared() {
            // Local-only events before the next one that is sent settle too.
            settled += self.pending[settled..].iter().take_while(|entry| entry.item.local_only).count();
        }
        let (confirmed, left) = self.pending.split_at(settled);
        let (confirmed, mut left) = (confirmed.to_vec(), left.to_vec());
        if diverged {
            let generation = last.generation.checked_add(1).ok_or(Why::Exhausted)?;
            let items: Vec<_> = left.iter().map(|entry| entry.item).collect();
            left = chain(last, generation, &items).ok_or(Why::Exhausted)?;
        }
        let (head, moved) = (self.head(), diverged.then_some(left.len()));
        if left.is_empty() {
            // Local-only events that settled last may be later than what upstream sent.
            self.settled = if !diverged && head.is_after(last) { head } else { last };
        }
        (self.upstream_head, self.pending) = (last, left);
        Ok(Merging { new: page[agreed..].to_vec(), confirmed, moved })
    }
}

/// The next number, if there is one: a sent event's counts up `global` and stands on the sent one before, a local-only
/// event's counts up `client` and stands on the one before.
fn following(previous: SeqNum, item: Item) -> Option<Numbered> {
    let SeqNum { global, client, generation } = previous;
    let (seq, parent) = if item.local_only {
        (SeqNum::new(global, client.checked_add(1)?, generation), previous)
    } else {
        (SeqNum::new(global.checked_add(1)?, 0, generation), SeqNum::new(global, 0, generation))
    };
    Some(Numbered { seq, parent, item })
}

/// The events one after the other, behind `previous`, in this generation.
pub fn chain(mut previous: SeqNum, generation: u32, items: &[Item]) -> Option<Vec<Numbered>> {
    let next = |item: &Item| {
        let mut next = following(previous, *item)?;
        next.seq.generation = generation;
        previous = next.seq;
        Some(next)
    };
    items.iter().map(next).collect()
}
