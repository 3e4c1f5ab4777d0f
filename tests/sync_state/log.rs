//! The state as the log of the protocol.

use std::num::NonZeroUsize;

use latchwork::log::{Log, MemoryEntry, MemoryLog, MemoryLogError, Merged, Wrapper};
use latchwork::sync_state::{Entry, Error, Event, LocalOnly, SyncState};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::garbage::any_number;
use crate::history::any_local_only;
use crate::*;

#[derive(Clone, Debug, PartialEq)]
struct Plain(u32);

impl Event for Plain {
    fn is_local_only(&self) -> bool {
        self.0 >= 100
    }
    fn is_same_as(&self, other: &Self) -> bool {
        self == other
    }
}

#[test]
fn as_a_log_it_numbers_admits_sends_and_merges() {
    let mut log = SyncState::<Plain>::default();
    let entries = Log::number(&log, vec![Plain(1), Plain(2)]).expect("they have numbers");
    assert_eq!(log.admit(entries.clone()), Ok(2));
    let stale = log.admit(entries.clone()).expect_err("they are there already");
    let (expected_minimum, found) = (number("e2.1"), number("e1"));
    assert_eq!(stale, Error::Stale { expected_minimum, found });
    assert_eq!(Log::pending(&log), 2);
    assert_eq!(Log::batch(&log, NonZeroUsize::MIN), &entries[..1]);
    assert_eq!(Log::head(&log), SyncState::<Plain>::position(&entries[1]));

    let theirs = Entry { seq: number("e2"), parent: number("e1"), event: Plain(9) };
    let page = vec![entries[0].clone(), theirs.clone()];
    let rebased = Entry { seq: number("e3r1"), parent: number("e2"), event: Plain(2) };
    assert_eq!(
        Log::merge(&mut log, page),
        Ok(Merged::Rebase { new: vec![theirs], confirmed: vec![entries[0].clone()], moved: 1, dropped: vec![] })
    );
    assert_eq!(Log::upstream_head(&log), number("e2").position());
    assert_eq!(
        Log::merge(&mut log, vec![rebased.clone()]),
        Ok(Merged::Advance { new: vec![], confirmed: vec![rebased] })
    );
    assert_eq!((Log::pending(&log), Log::head(&log)), (0, number("e3").position()));

    let entries = Log::number(&log, vec![Plain(100), Plain(3), Plain(101)]).expect("they have numbers");
    assert_eq!(log.admit(entries.clone()), Ok(1), "one of them is sent");
    let local_only: Vec<_> = entries.iter().map(|entry| log.is_local_only(entry)).collect();
    assert_eq!(local_only, [true, false, true]);
    assert_eq!(Log::pending(&log), 1);
    let ten = NonZeroUsize::new(10).expect("ten");
    assert_eq!(Log::batch(&log, ten), &entries[1..2]);
    assert_eq!(Log::head(&log), number("e4.1").position());
}

#[test]
fn as_a_log_it_admits_events_of_another_generation_if_nothing_to_be_sent_is_pending() {
    let mut log = SyncState::<Plain>::new(number("e3r1"));
    let theirs = SyncState::new(number("e3r2")).number([Plain(1), Plain(2)]).expect("they have numbers");
    log.admit(Log::number(&log, vec![Plain(100)]).expect("it has a number")).expect("it follows");
    assert_eq!(log.admit(theirs), Ok(2));
    let sent: Vec<_> = Log::batch(&log, NonZeroUsize::MAX).into_iter().map(|entry| entry.seq).collect();
    assert_eq!(sent, [number("e4r1"), number("e5r1")], "in its own");
    let more = SyncState::new(number("e5r2")).number([Plain(3)]).expect("it has a number");
    assert!(matches!(log.admit(more), Err(Error::NotNext { .. })));
}

#[test]
fn as_a_log_it_sends_local_only_events_that_are_shared() {
    let mut log = SyncState::<Plain>::default().with_local_only(LocalOnly::Shared);
    let entries = Log::number(&log, vec![Plain(1), Plain(100)]).expect("they have numbers");
    assert_eq!(log.admit(entries.clone()), Ok(2));
    assert!(!log.is_local_only(&entries[1]));
    assert_eq!((Log::pending(&log), Log::batch(&log, NonZeroUsize::MAX)), (2, entries.clone()));
    let back = Log::merge(&mut log, entries.clone());
    assert_eq!(back, Ok(Merged::Advance { new: vec![], confirmed: entries }));
}

#[test]
fn as_a_log_it_refuses_a_page_with_a_gap_and_says_what_was_expected() {
    let page = |on: &str| SyncState::new(number(on)).number([Plain(7), Plain(8)]).expect("they have numbers");
    let mut log = SyncState::<Plain>::default();
    log.admit(page("e0")).expect("they follow");
    let mut torn = page("e0");
    torn[1].seq = number("e3r1");
    for (page, expected, found) in [(page("e1"), "e1", "e2"), (torn, "e2r1", "e3r1")] {
        let (expected, found) = (number(expected), number(found));
        let error = Error::NotNext { expected, found };
        assert_eq!(Log::merge(&mut log, page), Err(error));
        assert_eq!((Log::pending(&log), Log::upstream_head(&log)), (2, number("e0").position()));
    }
}

#[test]
fn a_memory_log_numbers_what_it_would_admit() {
    let mut log = MemoryLog::new().with_pending(5, ['a']);
    let entries = log.number(vec!['b', 'c']).expect("they have numbers");
    assert_eq!(entries.iter().map(|entry| entry.position).collect::<Vec<_>>(), [7, 8]);
    assert_eq!(log.admit(entries), Ok(2));
    assert_eq!(log, MemoryLog::new().with_pending(5, ['a', 'b', 'c']));
}

#[test]
fn a_rebasing_memory_log_rebases_if_others_came_and_something_remains() {
    let page = |events: &[char]| MemoryLog::new().with_pending(0, events.iter().copied()).batch(NonZeroUsize::MAX);
    for (pending, others, moved) in [("ab", "xy", 2), ("ab", "axy", 1), ("ab", "abx", 0), ("ab", "a", 0)] {
        for (log, rebases) in [(MemoryLog::new(), false), (MemoryLog::rebasing(), moved > 0)] {
            let mut log = log.with_pending(0, pending.chars());
            let merged = log.merge(page(&others.chars().collect::<Vec<_>>())).expect("it follows");
            assert_eq!(merged.is_rebase(), rebases, "{pending} and {others}");
            if let Merged::Rebase { moved: how_many, .. } = merged {
                assert_eq!(how_many, moved, "{pending} and {others}");
            }
        }
    }
}

/// A log and nothing else.
struct Wrapped(SyncState<Plain>);

impl Wrapper for Wrapped {
    type Log = SyncState<Plain>;

    fn inner(&self) -> &SyncState<Plain> {
        &self.0
    }
    fn inner_mut(&mut self) -> &mut SyncState<Plain> {
        &mut self.0
    }
}

/// All that a log says of itself, and of these entries: numbers, how many are pending, which are
/// local-only.
fn said<L: Log>(log: &L, entries: &[L::Entry]) -> (Vec<L::Position>, usize, Vec<bool>) {
    let numbers = [log.head(), log.upstream_head()].into_iter().chain(entries.iter().map(L::position));
    let local_only = entries.iter().map(|entry| log.is_local_only(entry));
    (numbers.collect(), log.pending(), local_only.collect())
}

/// Notes each event that is admitted and each that is merged.
struct Noting {
    log: MemoryLog<char>,
    noted: String,
}

impl Wrapper for Noting {
    type Log = MemoryLog<char>;

    fn inner(&self) -> &MemoryLog<char> {
        &self.log
    }
    fn inner_mut(&mut self) -> &mut MemoryLog<char> {
        &mut self.log
    }
    fn admit(&mut self, entries: Vec<MemoryEntry<char>>) -> Result<usize, MemoryLogError> {
        self.noted.extend(entries.iter().map(|entry| entry.event));
        self.log.admit(entries)
    }
    fn merge(&mut self, page: Vec<MemoryEntry<char>>) -> Result<Merged<MemoryEntry<char>>, MemoryLogError> {
        self.noted.extend(page.iter().map(|entry| entry.event.to_ascii_uppercase()));
        self.log.merge(page)
    }
}

#[test]
fn append_and_confirm_of_a_wrapper_do_not_pass_by_its_admit_and_merge() {
    let mut log = Noting { log: MemoryLog::new(), noted: String::new() };
    assert_eq!(Log::append(&mut log, vec!['a', 'b']), Ok(2));
    let batch = Log::batch(&log, few(1));
    assert!(Log::confirm(&mut log, batch).is_ok());
    assert_eq!((log.noted.as_str(), Log::pending(&log)), ("abA", 1));
}

/// The heads, and what is pending.
fn all(log: &SyncState<Plain>) -> (SeqNum, SeqNum, Vec<Entry<Plain>>) {
    (SyncState::upstream_head(log), log.local_head(), log.pending().map(Entry::cloned).collect())
}

fn few(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).expect("one at least")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_shortcuts_of_a_sync_state_do_what_they_abbreviate(
        local_only in any_local_only(),
        start in any_number(),
        past in vec((vec(50..150_u32, 0..5), 1..4_usize, any::<bool>()), 0..5),
        events in vec(50..150_u32, 0..5),
        count in 1..6_usize,
        other in any_number(),
    ) {
        let plain = |events: Vec<u32>| events.into_iter().map(Plain).collect::<Vec<_>>();
        let mut log = SyncState::new(start).with_local_only(local_only);
        for (events, own, foreign) in past {
            let mut page = Log::batch(&log, few(own));
            if foreign {
                let base = page.last().map_or(SyncState::upstream_head(&log), |last| last.seq);
                page.extend(SyncState::new(base).number([Plain(1)]).unwrap_or_default());
            }
            // Near the last number it may be refused.
            let _ = (Log::merge(&mut log, page), log.append(plain(events)));
        }

        let (mut short, mut long) = (log.clone(), log);
        let events = plain(events);
        let admitted = Log::number(&long, events.clone()).and_then(|entries| long.admit(entries));
        prop_assert_eq!(short.append(events), admitted);
        prop_assert_eq!(all(&short), all(&long));

        let batch = Log::batch(&long, few(count));
        let Some(last) = batch.last() else { return Ok(()) };
        let mut another = batch.clone();
        another[batch.len() - 1].seq = other;
        if other != last.seq {
            // Compared, as any page is.
            prop_assert_eq!(short.clone().confirm(another.clone()), Log::merge(&mut long.clone(), another));
        }
        let mut longer = Log::batch(&long, NonZeroUsize::MAX);
        let last = longer[longer.len() - 1].seq;
        longer.extend(SyncState::new(last).number([Plain(1)]).unwrap_or_default());
        prop_assert_eq!(short.clone().confirm(longer.clone()), Log::merge(&mut long.clone(), longer));
        prop_assert_eq!(short.confirm(batch.clone()), Log::merge(&mut long, batch));
        prop_assert_eq!(all(&short), all(&long));
        prop_assert_eq!(Log::number(&short, plain(vec![1])), Log::number(&long, plain(vec![1])));
    }

    #[test]
    fn a_wrapper_does_what_its_log_does(
        local_only in any_local_only(),
        start in any_number(),
        steps in vec((vec(50..150_u32, 0..5), 1..4_usize, any::<bool>()), 1..5),
    ) {
        let mut log = SyncState::new(start).with_local_only(local_only);
        let mut wrapped = Wrapped(log.clone());
        for (events, count, confirms) in steps {
            let events: Vec<_> = events.into_iter().map(Plain).collect();
            let entries = Log::number(&log, events.clone());
            prop_assert_eq!(Log::number(&wrapped, events.clone()), entries.clone());
            prop_assert_eq!(said(&wrapped, entries.as_deref().unwrap_or_default()), said(&log, entries.as_deref().unwrap_or_default()));
            match entries {
                Ok(entries) if confirms => prop_assert_eq!(Log::admit(&mut wrapped, entries.clone()), log.admit(entries)),
                _ => prop_assert_eq!(Log::append(&mut wrapped, events.clone()), log.append(events)),
            }
            let batch = Log::batch(&log, few(count));
            prop_assert_eq!(&Log::batch(&wrapped, few(count)), &batch);
            if batch.is_empty() || !confirms {
                prop_assert_eq!(Log::merge(&mut wrapped, batch.clone()), Log::merge(&mut log, batch.clone()));
            } else {
                prop_assert_eq!(Log::confirm(&mut wrapped, batch.clone()), log.confirm(batch.clone()));
            }
            prop_assert_eq!(all(&wrapped.0), all(&log));
            prop_assert_eq!(said(&wrapped, &batch), said(&log, &batch));
        }
    }

    #[test]
    fn the_shortcuts_of_a_memory_log_do_what_they_abbreviate(
        // Far from the last number, and near it.
        head in prop_oneof![0..3_u64, u64::MAX - 9..=u64::MAX],
        pending in vec(any::<u8>(), 0..4),
        events in vec(any::<u8>(), 0..4),
        count in 1..6_usize,
        more: bool,
    ) {
        let numbers = usize::try_from(u64::MAX - head).unwrap_or(usize::MAX);
        let mut short = MemoryLog::new().with_pending(head, pending.into_iter().take(numbers));
        let mut long = short.clone();
        let admitted = long.number(events.clone()).and_then(|entries| long.admit(entries));
        prop_assert_eq!(short.append(events), admitted);
        prop_assert_eq!(&short, &long);
        let mut batch = long.batch(few(count));
        if more && head < 10 {
            // Not its own batch: there are not so many pending.
            let own = MemoryLog::new().with_pending(head + batch.len() as u64, vec![0; 9]);
            batch.extend(own.batch(NonZeroUsize::MIN.saturating_add(long.pending())));
        }
        prop_assert_eq!(short.confirm(batch.clone()), long.merge(batch));
        prop_assert_eq!(&short, &long);
    }
}

proptest! {
    /// What an owner gives up or replaces is gone, and nothing else: the rest keeps its order, and its numbers follow.
    #[test]
    fn give_up_and_replace_change_those_events_and_no_other(
        history in vec(0_u32..200, 0..40),
        local_only in any_local_only(),
        from in 0_usize..40,
        count in 1_usize..5,
        replaces in any::<bool>(),
    ) {
        let mut log = SyncState::<Plain>::default().with_local_only(local_only);
        log.append(history.iter().map(|id| Plain(*id)).collect()).expect("there are numbers");
        let is_sent = |event: &Plain| local_only == LocalOnly::Shared || !event.is_local_only();
        let before: Vec<_> = log.pending().map(|entry| entry.cloned()).collect();
        let sent = before.iter().filter(|entry| is_sent(&entry.event)).count();
        prop_assume!(from + count <= sent);
        let meant: Vec<_> = before.iter().filter(|entry| is_sent(&entry.event)).skip(from).take(count).cloned().collect();
        let mut expected: Vec<Plain> = before.iter().map(|entry| entry.event.clone()).collect();
        if replaces {
            let new = Plain(if meant[0].event.is_local_only() { 1000 } else { 50 });
            prop_assert_eq!(Log::replace(&mut log, from, new.clone()), Ok(meant[0].clone()));
            let place = before.iter().position(|entry| entry.seq == meant[0].seq).expect("it was pending");
            expected[place] = new;
            let other_kind = Plain(if meant[0].event.is_local_only() { 50 } else { 1000 });
            prop_assert_eq!(Log::replace(&mut log, from, other_kind.clone()), Err(other_kind));
        } else {
            prop_assert_eq!(Log::give_up(&mut log, from..from + count), Some(meant.clone()));
            let left = before.iter().filter(|entry| meant.iter().all(|gone| gone.seq != entry.seq));
            expected = left.map(|entry| entry.event.clone()).collect();
        }
        // As a state of its own to which the rest was pushed.
        let mut anew = SyncState::<Plain>::default().with_local_only(local_only);
        let numbered = anew.number(expected).expect("there are numbers");
        anew.append(numbered.iter().map(|entry| entry.event.clone()).collect()).expect("there are numbers");
        let pending = |state: &SyncState<Plain>| state.pending().map(|entry| entry.cloned()).collect::<Vec<_>>();
        prop_assert_eq!(pending(&log), pending(&anew));
        prop_assert_eq!((log.local_head(), Log::pending(&log)), (anew.local_head(), Log::pending(&anew)));
    }
}
