//! Numbers, where they end, and logs that have the wrong ones.

use latchwork::sync_state::{Error, ParseSeqNumError, Payload, SeqNum, SyncState};

use crate::*;

#[test]
fn where_numbers_end_a_push_a_batch_of_numbers_and_a_rebase_say_so() {
    let last = SeqNum::new(u64::MAX, 0, 0);
    let most = |part| if part == "global" { u64::MAX } else { u32::MAX.into() };
    let after = |after, part| Error::Exhausted { after, part, most: most(part) };
    let state = SyncState::new(last);
    assert_eq!(state.number(items("1")), Err(after(last, "global")));

    let last_client = SeqNum::new(3, u32::MAX, 0);
    let mut state = SyncState::new(last_client);
    assert_eq!(state.number(items("1c")), Err(after(last_client, "client")));
    let stale = vec![entry((number("e3"), number("e2"), 1, false))];
    let error = state.merge(Payload::LocalPush { entries: stale }).expect_err("no minimum to expect");
    assert_eq!(error, after(last_client, "client"));

    // Pending events that would not fit on top of the new upstream head.
    let mut state = with_pending("e3", "1 2 3c");
    let before = Snapshot::of(&state);
    for (head, part) in [(SeqNum::new(u64::MAX - 1, 0, 0), "global"), (SeqNum::new(9, 0, u32::MAX), "generation")] {
        let entries = vec![entry((head, SeqNum::ROOT, 9, false))];
        let error = state.merge(Payload::UpstreamAdvance { entries }).expect_err("no room");
        assert_eq!(error, after(head, part));
        assert_eq!(Snapshot::of(&state), before);
    }
    let mut state = with_pending("e3", "1c 2c 3");
    let head = SeqNum::new(9, u32::MAX - 1, 0);
    let entries = vec![entry((head, SeqNum::ROOT, 9, true))];
    let error = state.merge(Payload::UpstreamAdvance { entries }).expect_err("no room for two");
    assert_eq!(error, after(head, "client"));
}

#[test]
fn a_rebase_needs_numbers_only_for_what_is_still_pending() {
    let head = SeqNum::new(u64::MAX - 3, 0, 0).to_string();
    let mut state = with_pending(&head, "1 2");
    let Ok(Outcome::Rebase(rebase)) = state.merge(page(&head, "1 9")) else { panic!("no rebase") };
    assert_eq!(ids(&owned(&rebase.confirmed)), [1]);
    assert_eq!(state.local_head().global, u64::MAX);
}

#[test]
fn a_number_is_read_strictly_and_its_order_leaves_the_generation_out() {
    assert_eq!(number("e3.0r0"), SeqNum::new(3, 0, 0));
    assert_eq!("e3.2r1".parse(), Ok(SeqNum::new(3, 2, 1)));
    for text in ["", "e", "3", "e3.", "e3r", "e.1", "e3r1.2", "e+3", "e3.-1", "e3 ", "e3.1.2", "e3r1r2", "E3"] {
        let form = ParseSeqNumError::Form { text: text.into() };
        assert_eq!(text.parse::<SeqNum>(), Err(form));
    }
    let error = "e1.4294967296".parse::<SeqNum>().expect_err("one too many");
    assert_eq!(error.to_string(), "expected a client of at most 4294967295, got \"e1.4294967296\"");
    assert!(number("e4").is_after(number("e3.9r7")) && number("e3.1").is_after(number("e3")));
    assert!(!number("e3r1").is_after(number("e3")) && number("e3r1") != number("e3"));
    assert_eq!(size_of::<SeqNum>(), 16);
}

#[test]
fn a_log_that_does_not_hold_together_is_refused_with_what_was_expected() {
    let refused = |upstream: &str, local: &str, pending: &[(&str, &str, bool)]| {
        let pending = pending.iter().map(|&(seq, parent, local)| entry((number(seq), number(parent), 1, local)));
        let pending: Vec<_> = pending.collect();
        SyncState::rehydrate(number(upstream), number(local), pending).expect_err("it does not").to_string()
    };
    assert_eq!(refused("e3", "e4", &[]), "expected the local head e3, got e4");
    assert_eq!(refused("e3.1", "e3", &[]), "expected the local head e3.1, got e3");
    assert_eq!(refused("e3", "e5", &[("e4", "e3", false)]), "expected the local head e4, got e5");
    assert_eq!(refused("e3", "e4r1", &[("e4", "e3", false)]), "expected the local head e4, got e4r1");
    assert_eq!(refused("e4", "e4", &[("e4", "e3", false)]), "expected entries after the upstream head e4, got e4");
    assert_eq!(refused("e3", "e5", &[("e5", "e4", false)]), "expected e4 to follow, got e5");
    assert_eq!(refused("e3", "e4", &[("e4", "e2", false)]), "expected e4 to stand on e3, got e2");
    assert_eq!(refused("e3", "e5r1", &[("e4", "e3", false), ("e5r1", "e4", false)]), "expected e5 to follow, got e5r1");
    assert_eq!(refused("e3", "e3.2", &[("e3.2", "e3", true)]), "expected e3.1 to follow, got e3.2");
}
