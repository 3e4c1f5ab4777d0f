//! A page that lost events on its way, where upstream orders local-only events like all others.

use latchwork::Replicator;
use latchwork::log::{Log, Merged};
use latchwork::protocol::{Direction, Next, Protocol, Pull, Settings, Time};
use latchwork::sync_state::{Entry, Error, Event, LocalOnly, SeqNum, SyncState};
use latchwork::upstream::{Fault, Memory, More, Page};
use proptest::collection::vec;
use proptest::prelude::*;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use crate::garbage::any_number;
use crate::number;

const LONG: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, PartialEq)]
struct Edit {
    id: usize,
    local_only: bool,
}

impl Event for Edit {
    fn is_local_only(&self) -> bool {
        self.local_only
    }
    fn is_same_as(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

type State = SyncState<Edit>;

fn sent(id: usize) -> Edit {
    Edit { id, local_only: false }
}

fn local(id: usize) -> Edit {
    Edit { id, local_only: true }
}

fn session(head: SeqNum) -> State {
    State::new(head).with_local_only(LocalOnly::Shared)
}

/// Entries as they would stand on `head`.
fn on(head: &str, edits: impl IntoIterator<Item = Edit>) -> Vec<Entry<Edit>> {
    State::new(number(head)).number(edits).expect("they have numbers")
}

/// All that can be seen of a state.
fn all(state: &State) -> (SeqNum, SeqNum, Vec<Entry<Edit>>) {
    (state.upstream_head(), state.local_head(), state.pending().map(|entry| entry.cloned()).collect())
}

#[track_caller]
fn refused(state: &mut State, page: Vec<Entry<Edit>>) -> String {
    let before = all(state);
    let error = Log::merge(state, page).expect_err("something is missing");
    assert!(matches!(error, Error::NotNext { .. } | Error::Parent { .. }), "{error:?}");
    assert_eq!(all(state), before);
    error.to_string()
}

#[test]
fn merge_refuses_a_page_that_lost_shared_local_only_events() {
    let theirs = on("e3", [local(1), local(2), sent(3), local(4), local(5), sent(6)]);
    let without = |lost: &[usize]| theirs.iter().filter(|entry| !lost.contains(&entry.event.id)).cloned().collect();
    for (lost, error) in [
        (&[1][..], "expected e3.1 to follow, got e3.2"),
        (&[4], "expected e4.1 to follow, got e4.2"),
        (&[1, 2, 3], "expected e4 to follow, got e4.1"),
        (&[3, 4, 5], "expected e4 to follow, got e5"),
    ] {
        assert_eq!(refused(&mut session(number("e3")), without(lost)), error);
    }
    // Between two pages.
    let mut state = session(number("e3"));
    Log::merge(&mut state, theirs[..1].to_vec()).expect("it follows");
    let error = refused(&mut state, on("e3.2", [local(9)]));
    assert_eq!(error, "expected e3.2 to follow, got e3.3");
}

#[test]
fn merge_refuses_a_page_that_lost_this_sides_own_local_only_events() {
    let mut state = session(number("e3"));
    state.append(vec![local(1), local(2), sent(3), local(4), sent(5)]).expect("they have numbers");
    let own: Vec<_> = state.pending().map(|entry| entry.cloned()).collect();
    assert_eq!(refused(&mut state, vec![own[1].clone()]), "expected e3.1 to follow, got e3.2");
    assert_eq!(refused(&mut state, vec![own[2].clone()]), "expected e3.1 to follow, got e4");
    assert_eq!(refused(&mut state, vec![own[0].clone(), own[2].clone()]), "expected e3.2 to follow, got e4");
    Log::merge(&mut state, own[..3].to_vec()).expect("nothing is missing");
    assert_eq!(refused(&mut state, vec![own[4].clone()]), "expected e4.1 to follow, got e5");
    // Another client's event at that number came first.
    let theirs = on("e4", [sent(9)]);
    let merged = Log::merge(&mut state, theirs.clone()).expect("nothing is missing");
    assert_eq!(merged, Merged::Rebase { new: theirs, confirmed: vec![], moved: 2, dropped: vec![] });
}

#[test]
fn merge_refuses_an_entry_that_names_another_parent() {
    for (seq, parent, expected) in [("e4", "e2", "e3"), ("e3.1", "e2.7", "e3"), ("e4", "e3.1", "e3")] {
        let event = Edit { id: 1, local_only: seq.contains('.') };
        let page = vec![Entry { seq: number(seq), parent: number(parent), event }];
        let error = format!("expected {seq} to stand on {expected}, got {parent}");
        assert_eq!(refused(&mut session(number("e3")), page), error);
    }
}

/// A client that was rebased numbers in its own generation, and so does the next.
#[test]
fn merge_takes_a_page_in_which_generations_differ() {
    let mut page = on("e3r2", [local(1), sent(2)]);
    page.extend(on("e4r7", [local(3), sent(4)]));
    page.extend(on("e5", [sent(5)]));
    let merged = Log::merge(&mut session(number("e3")), page.clone()).expect("nothing is missing");
    assert_eq!(merged, Merged::Advance { new: page, confirmed: vec![] });
}

#[test]
fn a_lossy_echo_does_not_make_local_only_events_be_sent_twice() {
    let mut protocol = Protocol::new(session(SeqNum::ROOT), Settings::default());
    let Next::Do((ticket, _)) = protocol.next_pull(Time::ZERO) else { panic!("pulls are live") };
    let page = |entries| Page { entries, more: More::None };
    let _ = protocol.page_pulled(ticket, page(vec![]), 0, Time::ZERO).expect("nothing is new");
    protocol.commit(vec![local(1), local(2)]).expect("they have numbers");
    let Next::Do(batch) = protocol.next_push(Time::ZERO) else { panic!("there is something to send") };
    // The echo comes before the answer.
    let echo = page(batch.entries[1..].to_vec());
    let error = protocol.page_pulled(ticket, echo, 0, Time::ZERO).expect_err("something is missing");
    let (expected, found) = (number("e0.1"), number("e0.2"));
    let error = error.error.get().downcast_ref();
    assert_eq!(error, Some(&Error::NotNext { expected, found }));
    let _ = protocol.push_ended(batch, Ok(()), 0, Time::ZERO).expect("it is the log's own");
    assert_eq!(Log::pending(protocol.log()), 0);
}

#[test]
fn a_replicator_notices_that_the_echo_of_a_local_only_event_was_lost() {
    let eventually = |mut holds: Box<dyn FnMut() -> bool + '_>| {
        let deadline = Instant::now() + LONG;
        while !holds() {
            assert!(Instant::now() < deadline, "it never came to hold");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let upstream = Memory::<State>::new(SeqNum::ROOT.position());
    let start = || Replicator::builder(session(SeqNum::ROOT), upstream.clone()).spawn().expect("two threads");
    let reader = start();
    let updates = reader.updates();
    eventually(Box::new(|| reader.status().counters.pages > 0));
    let writer = start();
    writer.pause(Direction::Pull);
    eventually(Box::new(|| matches!(writer.status().pull, Pull::Idle)));
    upstream.fail_push(Fault::LoseEcho);
    for id in [1, 2] {
        writer.commit(vec![local(id)]).expect("it has a number");
        writer.flush(LONG).expect("upstream takes it");
    }
    eventually(Box::new(|| reader.status().upstream_head == number("e0.2").position()));
    let merged = updates.receiver.try_iter().flat_map(|update| match &update.merged {
        Merged::Advance { new, .. } | Merged::Rebase { new, .. } => new.iter().map(|e| e.event.id).collect::<Vec<_>>(),
    });
    assert_eq!(merged.collect::<Vec<_>>(), [1, 2]);
}

/// Each entry of `page` that is kept.
fn torn(page: &[Entry<Edit>], kept: &[bool]) -> Vec<Entry<Edit>> {
    page.iter().zip(kept).filter(|(_, kept)| **kept).map(|(entry, _)| entry.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// All but one way to lose events shows: local-only ones of others right before a sent one of
    /// others leave no trace.
    #[test]
    fn merge_refuses_a_page_of_others_from_which_something_is_missing(
        head in any_number(),
        others in vec((vec(any::<bool>(), 1..4), 0..3_u32), 1..4),
        pending in vec(any::<bool>(), 0..3),
        kept in vec(prop::bool::weighted(0.7), 12),
    ) {
        let mut page: Vec<Entry<Edit>> = Vec::new();
        for (kinds, generation) in others {
            let base = SeqNum { generation, ..page.last().map_or(head, |last| last.seq) };
            let edits = (page.len()..).zip(kinds).map(|(id, local_only)| Edit { id, local_only });
            page.extend(State::new(base).number(edits).unwrap_or_default());
        }
        let mut state = session(head);
        let own = (100..).zip(pending).map(|(id, local_only)| Edit { id, local_only }).collect();
        let _ = state.append(own);

        let mut missing = [false; 2];
        let mut shows = false;
        for (entry, kept) in page.iter().zip(&kept) {
            let local_only = entry.event.local_only;
            if *kept {
                shows |= missing[0] || local_only && missing[1];
                missing = [false; 2];
            } else {
                missing[usize::from(local_only)] = true;
            }
        }
        let (torn, before) = (torn(&page, &kept), all(&state));
        match Log::merge(&mut state, torn.clone()) {
            Ok(Merged::Advance { new, .. } | Merged::Rebase { new, .. }) => {
                prop_assert!(!shows, "{torn:?}");
                prop_assert_eq!(new, torn);
            }
            // At the end of all numbers there is no room for what is pending.
            Err(Error::Exhausted { .. }) => prop_assert_eq!(all(&state), before),
            Err(error) => {
                prop_assert!(shows, "{error} in {torn:?}");
                prop_assert_eq!(all(&state), before);
            }
        }
    }

    #[test]
    fn merge_takes_of_this_sides_own_events_the_first_and_no_others(
        head in any_number(),
        pending in vec(any::<bool>(), 1..8),
        kept in vec(prop::bool::weighted(0.8), 8),
    ) {
        let mut state = session(head);
        let own = (0..).zip(pending).map(|(id, local_only)| Edit { id, local_only }).collect();
        let _ = state.append(own);
        let (batch, before) = (Log::batch(&state, NonZeroUsize::MAX), all(&state));
        let torn = torn(&batch, &kept);
        match Log::merge(&mut state, torn.clone()) {
            Ok(merged) => {
                prop_assert!(batch.starts_with(&torn), "{torn:?} of {batch:?}");
                prop_assert_eq!(merged, Merged::Advance { new: vec![], confirmed: torn });
            }
            Err(error) => {
                prop_assert!(!batch.starts_with(&torn), "{error}");
                prop_assert_eq!(all(&state), before);
            }
        }
    }
}
