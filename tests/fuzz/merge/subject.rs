//! The logs that are tried, each in the model's terms.

use std::num::NonZeroUsize;

use latchwork::log::{Log, MemoryEntry, MemoryLog};
use latchwork::sync_state::{Entry, SeqNum, SyncState};

use super::model::{Item, Kind, Model, Numbered, Stands};

pub trait Subject: Log<Error: std::fmt::Debug> + Sized {
    fn make(model: &Model) -> Self;
    fn event(item: Item) -> Self::Event;
    fn entry(entry: Numbered) -> Self::Entry;
    fn show(entry: &Self::Entry) -> Numbered;
    /// All that can be seen of it.
    fn stands(&self) -> Stands;
    /// The same log, written down and read back.
    fn again(&self) -> Self;
}

const fn number(global: u64) -> SeqNum {
    SeqNum::new(global, 0, 0)
}

impl Subject for MemoryLog<Item> {
    fn make(model: &Model) -> Self {
        let log = if model.kind == Kind::Rebasing { Self::rebasing() } else { Self::new() };
        log.with_pending(model.upstream_head.global, [])
    }

    fn event(item: Item) -> Item {
        item
    }

    fn entry(Numbered { seq, item: event, .. }: Numbered) -> MemoryEntry<Item> {
        MemoryEntry { position: seq.global, event }
    }

    fn show(&MemoryEntry { position, event: item }: &MemoryEntry<Item>) -> Numbered {
        Numbered { seq: number(position), parent: number(position.wrapping_sub(1)), item }
    }

    fn stands(&self) -> Stands {
        let batch: Vec<_> = self.batch(NonZeroUsize::MAX).iter().map(Self::show).collect();
        let (upstream_head, head) = (number(self.upstream_head()), number(self.head()));
        Stands { upstream_head, head, to_send: self.pending(), pending: batch.clone(), batch }
    }

    fn again(&self) -> Self {
        let pending = self.batch(NonZeroUsize::MAX).into_iter().map(|entry| entry.event);
        self.clone().with_pending(self.upstream_head(), pending)
    }
}

impl Subject for SyncState<Item> {
    fn make(model: &Model) -> Self {
        let Kind::State(local_only) = model.kind else { unreachable!("a memory log") };
        let state = Self::rehydrate(model.upstream_head, model.settled, []);
        state.expect("what has settled stands behind the head").with_local_only(local_only)
    }

    fn event(item: Item) -> Item {
        item
    }

    fn entry(Numbered { seq, parent, item: event }: Numbered) -> Entry<Item> {
        Entry { seq, parent, event }
    }

    fn show(&Entry { seq, parent, event: item }: &Entry<Item>) -> Numbered {
        Numbered { seq, parent, item }
    }

    fn stands(&self) -> Stands {
        let show = |entry: Entry<&Item>| Self::show(&entry.cloned());
        let (upstream_head, head) = (Self::upstream_head(self), self.local_head());
        assert_eq!((Log::upstream_head(self), Log::head(self)), (upstream_head.position(), head.position()));
        let batch = Log::batch(self, NonZeroUsize::MAX).iter().map(Self::show).collect();
        let pending = self.pending().map(show).collect();
        Stands { upstream_head, head, to_send: Log::pending(self), batch, pending }
    }

    fn again(&self) -> Self {
        let pending = self.pending().map(Entry::cloned);
        let state = Self::rehydrate(Self::upstream_head(self), self.local_head(), pending);
        state.expect("it says itself how it stands").with_local_only(self.local_only())
    }
}
