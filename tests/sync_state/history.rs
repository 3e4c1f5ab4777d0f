//! Histories that make sense: what happens to a state, and what must come of it.

use std::num::NonZeroUsize;

use latchwork::sync_state::{Error, LocalOnly, Outcome, Payload, SeqNum, SyncState};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::*;

/// What happens to a state.
#[derive(Clone, Debug)]
pub enum Step {
    /// This side commits events; `true` for a local-only one.
    Push(Vec<bool>),
    /// Upstream orders so many of what was sent, and then so many of another client's.
    Page { own: usize, foreign: Vec<bool> },
    /// Upstream is rebased.
    UpstreamRebase { foreign: Vec<bool>, rolled_back: usize },
    /// The last page comes again.
    Again,
    /// What was persisted is read back.
    Restart,
}

pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => vec(any::<bool>(), 0..5).prop_map(Step::Push),
        4 => (0..5_usize, vec(any::<bool>(), 0..3)).prop_map(|(own, foreign)| Step::Page { own, foreign }),
        1 => (vec(any::<bool>(), 0..3), 0..2_usize)
            .prop_map(|(foreign, rolled_back)| Step::UpstreamRebase { foreign, rolled_back }),
        1 => Just(Step::Again),
        1 => Just(Step::Restart),
    ]
}

pub fn any_local_only() -> impl Strategy<Value = LocalOnly> {
    prop_oneof![Just(LocalOnly::Kept), Just(LocalOnly::Passed), Just(LocalOnly::Shared)]
}

/// A state, and what must be true of it.
pub struct World {
    pub state: SyncState<Item>,
    next_id: u32,
    /// What was committed here and stays, in order.
    committed: Vec<u32>,
    /// What settled, in order.
    settled: Vec<u32>,
    last_page: Vec<Seen>,
}

impl World {
    pub fn new(local_only: LocalOnly) -> Self {
        Self {
            state: SyncState::new(SeqNum::new(3, 0, 1)).with_local_only(local_only),
            next_id: 100,
            committed: Vec::new(),
            settled: Vec::new(),
            last_page: Vec::new(),
        }
    }

    pub fn items(&mut self, kinds: &[bool]) -> Vec<Item> {
        let from = self.next_id;
        self.next_id += u32::try_from(kinds.len()).expect("few");
        let items = (from..).zip(kinds).map(|(id, &local_only)| Item { id, local_only });
        items.collect()
    }

    /// Another client's events on top of `base`.
    fn foreign(&mut self, base: SeqNum, kinds: &[bool]) -> Vec<Seen> {
        let shared = self.state.local_only() == LocalOnly::Shared;
        let kinds: Vec<bool> = kinds.iter().map(|&local_only| local_only && shared).collect();
        let items = self.items(&kinds);
        let elsewhere = SyncState::new(base).number(items).expect("far from the end");
        owned(&elsewhere)
    }

    pub fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let before = Snapshot::of(&self.state);
        match step {
            Step::Push(kinds) => self.push(kinds, &before)?,
            Step::Page { own, foreign } => self.page(*own, foreign, &before)?,
            Step::UpstreamRebase { foreign, rolled_back } => self.upstream_rebase(foreign, *rolled_back, &before)?,
            Step::Again => self.again(&before)?,
            Step::Restart => {
                self.state = before.rehydrated(self.state.local_only()).expect("it says itself what it is");
                prop_assert_eq!(&Snapshot::of(&self.state), &before);
            }
        }
        sound(&self.state, &before)?;
        // Properties 1, 2 and 4 at once.
        let mut accounted = self.settled.clone();
        accounted.extend(self.state.pending().map(|entry| entry.event.id));
        prop_assert_eq!(&accounted, &self.committed);
        Ok(())
    }

    fn push(&mut self, kinds: &[bool], before: &Snapshot) -> Result<(), TestCaseError> {
        let items = self.items(kinds);
        let entries = self.state.number(items).expect("far from the end");
        let pushed = owned(&entries);
        let passes = self.state.local_only() == LocalOnly::Passed;
        let (passed, kept): (Vec<Seen>, Vec<Seen>) = pushed.iter().partition(|entry| entry.3 && passes);
        let outcome = self.state.merge(Payload::LocalPush { entries });
        let Ok(Outcome::Advance(advance)) = outcome else {
            return Err(TestCaseError::fail(format!("{outcome:?}")));
        };
        prop_assert_eq!(all(advance.new_entries()), pushed);
        prop_assert_eq!(owned(&advance.passed), passed);
        prop_assert_eq!(advance.kept().len(), kept.len());
        prop_assert_eq!(all(advance.kept()), kept.as_slice());
        prop_assert_eq!(advance.confirmed, []);
        self.committed.extend(ids(&kept));
        let expected: Vec<Seen> = before.pending.iter().chain(&kept).copied().collect();
        prop_assert_eq!(all(self.state.pending()), expected);
        Ok(())
    }

    fn page(&mut self, own: usize, foreign: &[bool], before: &Snapshot) -> Result<(), TestCaseError> {
        let mut page = NonZeroUsize::new(own).map_or_else(Vec::new, |max| all(self.state.batch(max)));
        let own = page.len();
        let left = self.state.sendable_len() - own;
        let base = page.last().map_or(before.upstream_head, |last| last.0);
        // Events that settled without upstream keep their numbers, so another client's come behind them.
        let base = if left == 0 && base.position() < before.local_head.position() { before.local_head } else { base };
        page.extend(self.foreign(base, foreign));
        let outcome = self.state.merge(Payload::UpstreamAdvance { entries: page.iter().copied().map(entry).collect() });
        let (passed, confirmed) = match outcome {
            Ok(Outcome::Advance(advance)) => {
                prop_assert!(foreign.is_empty() || left == 0, "another client was first");
                prop_assert_eq!(advance.kept().len(), 0);
                (owned(&advance.passed), owned(&advance.confirmed))
            }
            Ok(Outcome::Rebase(rebase)) => {
                prop_assert!(!foreign.is_empty() && left > 0, "nothing came between");
                let confirmed = owned(&rebase.confirmed);
                let rolled_back = &before.pending[confirmed.len()..];
                prop_assert_eq!(all(rebase.rolled_back()), rolled_back);
                let mut new = all(rebase.new_entries());
                let rebased = new.split_off(foreign.len());
                prop_assert_eq!(ids(&rebased), ids(rolled_back));
                prop_assert_eq!(rebase.moves().len(), rebased.len());
                for ((step, old), new) in rebase.moves().zip(rolled_back).zip(&rebased) {
                    prop_assert_eq!((step.0, seen(step.1)), (old.0, *new));
                }
                (new, confirmed)
            }
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        if let Some(last) = page.last() {
            prop_assert_eq!(self.state.upstream_head(), last.0);
        }
        prop_assert_eq!(&passed, &page[own..]);
        // What upstream confirmed is settled, under the numbers it had, from the front.
        prop_assert_eq!(&confirmed, &before.pending[..confirmed.len()]);
        for echoed in &page[..own] {
            prop_assert!(confirmed.contains(echoed));
        }
        self.settled.extend(ids(&confirmed));
        self.last_page = page;
        Ok(())
    }

    fn upstream_rebase(&mut self, kinds: &[bool], back: usize, before: &Snapshot) -> Result<(), TestCaseError> {
        let base = SeqNum { generation: before.upstream_head.generation + 1, ..before.upstream_head };
        // See `page`: a rebase must not move the local head back.
        let base = if before.pending.is_empty() {
            SeqNum { client: before.local_head.client, ..base }
        } else {
            SeqNum { client: before.pending[0].1.client.max(base.client), ..base }
        };
        let page = self.foreign(base, kinds);
        let upstream_stays = page.is_empty() && before.local_head.position() > before.upstream_head.position();
        let rolled_back: Vec<Seen> = self.last_page.iter().copied().take(back).collect();
        let outcome = self.state.merge(Payload::UpstreamRebase {
            rolled_back: rolled_back.iter().copied().map(entry).collect(),
            entries: page.iter().copied().map(entry).collect(),
        });
        let rebase = match outcome {
            Ok(Outcome::Rebase(rebase)) => rebase,
            Err(Error::LocalHeadMovedBack { .. }) if upstream_stays => return Ok(()),
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!(&rebase.confirmed, &[]);
        prop_assert_eq!(all(rebase.rolled_back()), [rolled_back, before.pending.clone()].concat());
        let mut new = all(rebase.new_entries());
        let rebased = new.split_off(page.len());
        prop_assert_eq!(new, page.as_slice());
        prop_assert_eq!(ids(&rebased), ids(&before.pending));
        if let Some(first) = rebased.first() {
            let head = page.last().map_or(before.upstream_head, |last| last.0);
            prop_assert_eq!(first.0.generation, head.generation + 1);
        }
        let head = page.last().map_or(before.upstream_head, |last| last.0);
        prop_assert_eq!(self.state.upstream_head(), head);
        self.last_page = page;
        Ok(())
    }

    /// Property 5.
    fn again(&mut self, before: &Snapshot) -> Result<(), TestCaseError> {
        if self.last_page.is_empty() {
            return Ok(());
        }
        let entries = self.last_page.iter().copied().map(entry).collect();
        let outcome = self.state.merge(Payload::UpstreamAdvance { entries });
        let refused = matches!(outcome, Err(Error::BehindUpstreamHead { upstream_head, found })
            if upstream_head == before.upstream_head && found == self.last_page[0].0);
        prop_assert!(refused, "{outcome:?}");
        prop_assert_eq!(&Snapshot::of(&self.state), before);
        Ok(())
    }
}

/// Properties 3 and 6, and that counts, batches and heads say what the entries say.
pub fn sound(state: &SyncState<Item>, before: &Snapshot) -> Result<(), TestCaseError> {
    let now = Snapshot::of(state);
    prop_assert!(now.upstream_head.position() >= before.upstream_head.position());
    prop_assert!(now.local_head.position() >= before.local_head.position());
    prop_assert!(now.local_head.position() >= now.upstream_head.position());

    prop_assert_eq!(state.pending_len(), now.pending.len());
    prop_assert_eq!(state.pending().len(), now.pending.len());
    prop_assert_eq!(
        now.local_head.global,
        now.pending.iter().fold(now.upstream_head.global, |global, entry| { global + u64::from(!entry.3) })
    );
    for (index, &(seq, parent, _, local_only)) in now.pending.iter().enumerate() {
        let previous = match index.checked_sub(1) {
            Some(before) => now.pending[before].0,
            None => SeqNum { global: now.upstream_head.global, ..parent },
        };
        if index > 0 {
            prop_assert_eq!(seq.generation, previous.generation);
        }
        if local_only {
            prop_assert_eq!((seq.global, seq.client), (previous.global, previous.client + 1));
            prop_assert_eq!(parent, previous);
        } else {
            prop_assert_eq!((seq.global, seq.client), (previous.global + 1, 0));
            prop_assert_eq!(parent, SeqNum { client: 0, ..previous });
        }
    }
    if let Some(last) = now.pending.last() {
        prop_assert_eq!(last.0, now.local_head);
    }

    let shared = state.local_only() == LocalOnly::Shared;
    let sendable: Vec<Seen> = now.pending.iter().copied().filter(|entry| shared || !entry.3).collect();
    prop_assert_eq!(state.sendable_len(), sendable.len());
    for max in 1..=sendable.len() + 1 {
        let batch = state.batch(NonZeroUsize::new(max).expect("from 1 on"));
        prop_assert_eq!(batch.len(), max.min(sendable.len()));
        prop_assert_eq!(all(batch), &sendable[..max.min(sendable.len())]);
    }
    Ok(())
}
