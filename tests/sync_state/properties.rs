//! The numbered properties of `SyncState`.

use latchwork::sync_state::{LocalOnly, Outcome, ParseSeqNumError, Payload, SeqNum, SyncState};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::garbage::{any_garbage, any_number, merge_garbage};
use crate::history::{World, any_local_only, sound, step};
use crate::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_event_is_lost_or_doubled_and_heads_order_and_chains_hold(
        local_only in any_local_only(),
        steps in vec(step(), 1..40),
    ) {
        let mut world = World::new(local_only);
        for step in &steps {
            world.step(step)?;
        }
    }

    #[test]
    fn merge_of_anything_does_not_panic_and_a_refusal_changes_nothing(
        local_only in any_local_only(),
        head in any_number(),
        payloads in vec(any_garbage(), 1..20),
    ) {
        let mut state = SyncState::new(head).with_local_only(local_only);
        for garbage in &payloads {
            let before = Snapshot::of(&state);
            merge_garbage(&mut state, garbage)?;
            sound(&state, &before)?;
        }
    }

    #[test]
    fn merge_of_garbage_amid_a_history_changes_nothing_else(
        local_only in any_local_only(),
        steps in vec(step(), 1..20),
        payload in any_garbage(),
        later in vec(any::<bool>(), 1..4),
    ) {
        let mut world = World::new(local_only);
        for step in &steps {
            world.step(step)?;
        }
        let before = Snapshot::of(&world.state);
        merge_garbage(&mut world.state, &payload)?;
        sound(&world.state, &before)?;
        let items = world.items(&later);
        if let Ok(entries) = world.state.number(items) {
            let pushed = world.state.merge(Payload::LocalPush { entries });
            prop_assert!(matches!(pushed, Ok(Outcome::Advance(_))), "{pushed:?}");
        }
    }

    #[test]
    fn a_number_survives_its_text(global: u64, client: u32, generation: u32) {
        for number in [
            SeqNum::new(global, client, generation),
            SeqNum::new(global, 0, generation),
            SeqNum::new(global, client, 0),
            SeqNum::new(global, 0, 0),
        ] {
            prop_assert_eq!(number.to_string().parse(), Ok(number));
        }
    }

    #[test]
    fn text_that_is_no_number_is_an_error(text in "[e0-9.r+ -]{0,12}|.{0,6}|e[0-9]{18,24}(\\.[0-9]{9,12})?(r[0-9]{9,12})?") {
        match text.parse::<SeqNum>() {
            Ok(number) => {
                prop_assert_eq!(number.to_string().parse(), Ok(number));
                prop_assert!(!text.contains(['+', '-', ' ']));
            }
            Err(ParseSeqNumError::Form { text: said } | ParseSeqNumError::TooLarge { text: said, .. }) => {
                prop_assert_eq!(&*said, text);
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn a_log_that_is_none_is_refused_and_one_that_is_comes_back(
        heads in (any_number(), any_number()),
        pending in vec((any_number(), any_number(), 0..8_u32, any::<bool>()), 0..3),
    ) {
        let given = Snapshot { upstream_head: heads.0, local_head: heads.1, pending };
        if let Ok(state) = given.rehydrated(LocalOnly::Kept) {
            prop_assert_eq!(&Snapshot::of(&state), &given);
            sound(&state, &given)?;
        }
    }
}
