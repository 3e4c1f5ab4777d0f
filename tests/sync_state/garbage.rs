//! Payloads that make no sense.

use latchwork::sync_state::{Outcome, Payload, SeqNum, SyncState};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::*;

/// A payload that makes no sense.
#[derive(Clone, Debug)]
pub struct Garbage {
    kind: u8,
    entries: Vec<Seen>,
    /// Whether numbers are offsets from the upstream head, so that some fit.
    near: bool,
}

impl Garbage {
    fn payload(&self, head: SeqNum) -> Payload<Item> {
        let shift = |seq: SeqNum| {
            if self.near {
                let generation = head.generation;
                SeqNum { global: seq.global.wrapping_add(head.global), generation, ..seq }
            } else {
                seq
            }
        };
        let entries =
            self.entries.iter().map(|&(seq, parent, id, local)| entry((shift(seq), shift(parent), id, local)));
        let entries: Vec<_> = entries.collect();
        match self.kind % 3 {
            0 => Payload::LocalPush { entries },
            1 => Payload::UpstreamAdvance { entries },
            _ => Payload::UpstreamRebase { rolled_back: Vec::new(), entries },
        }
    }
}

pub fn any_number() -> impl Strategy<Value = SeqNum> {
    let global = prop_oneof![8 => 0..6_u64, 1 => u64::MAX - 3..=u64::MAX];
    let client = prop_oneof![8 => 0..3_u32, 1 => u32::MAX - 3..=u32::MAX];
    let generation = prop_oneof![8 => 0..3_u32, 1 => u32::MAX - 1..=u32::MAX];
    (global, client, generation).prop_map(|(global, client, generation)| SeqNum::new(global, client, generation))
}

pub fn any_garbage() -> impl Strategy<Value = Garbage> {
    let entries = vec((any_number(), any_number(), 0..8_u32, any::<bool>()), 0..5);
    (any::<u8>(), entries, any::<bool>(), any::<bool>()).prop_map(|(kind, mut entries, near, sorted)| {
        if sorted {
            entries.sort_by_key(|entry| entry.0.position());
            entries.dedup_by_key(|entry| entry.0.position());
        }
        Garbage { kind, entries, near }
    })
}

/// Property 7.
pub fn merge_garbage(state: &mut SyncState<Item>, garbage: &Garbage) -> Result<(), TestCaseError> {
    let before = Snapshot::of(state);
    let refused = match state.merge(garbage.payload(before.upstream_head)) {
        Ok(Outcome::Advance(_) | Outcome::Rebase(_)) => false,
        Ok(Outcome::Reject { entries: rejected, .. }) => {
            let Payload::LocalPush { entries } = garbage.payload(before.upstream_head) else {
                return Err(TestCaseError::fail("only a push is rejected"));
            };
            prop_assert_eq!(rejected, entries);
            true
        }
        Err(_) => true,
    };
    if refused {
        prop_assert_eq!(Snapshot::of(state), before);
    }
    Ok(())
}
