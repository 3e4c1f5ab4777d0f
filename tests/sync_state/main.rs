//! The properties that `SyncState` promises, over random histories and over payloads that make no sense, and the rules
//! of the merge by example.

#![cfg(not(loom))]

mod gaps;
mod garbage;
mod history;
mod log;
mod merging;
mod numbers;
mod properties;
mod pushing;

use latchwork::sync_state::{Entry, Error, Event, LocalOnly, Outcome, Payload, SeqNum, SyncState};

/// Not `Clone`: whatever merges it moves it.
#[derive(Debug, PartialEq)]
struct Item {
    id: u32,
    local_only: bool,
}

impl Event for Item {
    fn is_local_only(&self) -> bool {
        self.local_only
    }
    fn is_same_as(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// An entry by value.
type Seen = (SeqNum, SeqNum, u32, bool);

fn seen(Entry { seq, parent, event }: Entry<&Item>) -> Seen {
    (seq, parent, event.id, event.local_only)
}

fn entry((seq, parent, id, local_only): Seen) -> Entry<Item> {
    let event = Item { id, local_only };
    Entry { seq, parent, event }
}

fn all<'a>(entries: impl IntoIterator<Item = Entry<&'a Item>>) -> Vec<Seen> {
    entries.into_iter().map(seen).collect()
}

fn owned(entries: &[Entry<Item>]) -> Vec<Seen> {
    all(entries.iter().map(Entry::as_ref))
}

fn ids(entries: &[Seen]) -> Vec<u32> {
    entries.iter().map(|entry| entry.2).collect()
}

/// All that can be seen of a state.
#[derive(Clone, Debug, PartialEq)]
struct Snapshot {
    upstream_head: SeqNum,
    local_head: SeqNum,
    pending: Vec<Seen>,
}

impl Snapshot {
    fn of(state: &SyncState<Item>) -> Self {
        Self { upstream_head: state.upstream_head(), local_head: state.local_head(), pending: all(state.pending()) }
    }

    fn rehydrated(&self, local_only: LocalOnly) -> Result<SyncState<Item>, Error> {
        let pending = self.pending.iter().copied().map(entry);
        let state = SyncState::rehydrate(self.upstream_head, self.local_head, pending)?;
        Ok(state.with_local_only(local_only))
    }
}

fn number(text: &str) -> SeqNum {
    text.parse().expect(text)
}

/// `5 6c`: sent event 5, local-only event 6.
fn items(text: &str) -> Vec<Item> {
    let item = |word: &str| {
        let digits = word.trim_end_matches('c');
        Item { id: digits.parse().expect(word), local_only: word.ends_with('c') }
    };
    text.split_whitespace().map(item).collect()
}

fn listed(entries: &[Seen]) -> String {
    let texts: Vec<String> = entries.iter().map(|(seq, parent, id, _)| format!("{id}@{seq}<{parent}")).collect();
    texts.join(" ")
}

/// A state on `head` with these events pushed.
fn with_pending(head: &str, events: &str) -> SyncState<Item> {
    let mut state = SyncState::new(number(head));
    let entries = state.number(items(events)).expect("they have numbers");
    let pushed = state.merge(Payload::LocalPush { entries });
    assert!(matches!(pushed, Ok(Outcome::Advance(_))), "{pushed:?}");
    state
}

fn page(on: &str, events: &str) -> Payload<Item> {
    let entries = SyncState::new(number(on)).number(items(events)).expect("they have numbers");
    Payload::UpstreamAdvance { entries }
}
