//! The upstream in memory, asked directly: its pages, and what its faults promise.

use latchwork::Interrupt;
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{Batch, Fault, More, Page, PullError, PushError, Upstream};

use crate::*;

type Events = MemoryLog<u64>;

fn entries(positions: std::ops::RangeInclusive<u64>) -> Vec<MemoryEntry<u64>> {
    positions.map(|position| MemoryEntry { position, event: position }).collect()
}

/// Events 1 to `count`.
fn upstream(count: u64) -> Memory<Events> {
    let upstream = Memory::new(0);
    upstream.append(entries(1..=count));
    upstream
}

fn push(upstream: &Memory<Events>, base: u64) -> Result<(), PushError<u64>> {
    upstream.push(&Batch::new(base, entries(base + 1..=base + 1)), &Interrupt::new())
}

/// What is left of a page in words: its positions, and what it says of the rest.
fn told(page: Option<Result<Page<MemoryEntry<u64>>, PullError>>) -> String {
    match page {
        None => "the end".into(),
        Some(Err(error)) => error.to_string(),
        Some(Ok(Page { entries, more })) => {
            let positions: Vec<_> = entries.iter().map(|entry| entry.position).collect();
            format!("{positions:?}, {more:?}")
        }
    }
}

#[test]
fn a_page_says_how_much_there_is_behind_it() {
    let upstream = upstream(5).with_page_size(2).one_shot();
    let interrupt = Interrupt::new();
    let mut pages = upstream.pull(0, &interrupt);
    for expected in ["[1, 2], Events(3)", "[3, 4], Events(1)", "[5], None", "the end"] {
        assert_eq!(told(pages.next()), expected);
    }
    let mut rest = upstream.pull(2, &interrupt);
    assert_eq!(told(rest.next()), "[3, 4], Events(1)");
    assert_eq!(told(upstream.pull(5, &interrupt).next()), "[], None");
    assert_eq!((upstream.len(), upstream.is_empty()), (5, false));
    assert!(Memory::<Events>::new(0).is_empty());
}

#[test]
fn a_push_that_loses_its_answer_is_applied() {
    let upstream = upstream(1);
    upstream.fail_push(Fault::DisconnectAfter);
    assert!(matches!(push(&upstream, 1), Err(PushError::Uncertain { .. })));
    assert_eq!(upstream.len(), 2);
    upstream.fail_push(Fault::DisconnectBefore);
    assert!(matches!(push(&upstream, 2), Err(PushError::Unavailable { .. })));
    assert_eq!(upstream.len(), 2);
    assert!(matches!(push(&upstream, 1), Err(PushError::Behind { head: Some(2) })));
}

/// What the next pages bring, up to the one that says that there is no more.
fn caught_up(pages: &mut impl Iterator<Item = Result<Page<MemoryEntry<u64>>, PullError>>) -> Vec<u64> {
    let mut positions = Vec::new();
    loop {
        let page = pages.next().expect("a page").expect("no fault");
        positions.extend(page.entries.iter().map(|entry| entry.position));
        if page.more == More::None {
            return positions;
        }
        assert!(!page.entries.is_empty(), "more is to come, and nothing came");
    }
}

#[test]
fn a_lost_echo_is_lost_to_each_pull_that_is_open_and_to_no_other() {
    for size in [1, 2, 3, 100] {
        let upstream = upstream(3).with_page_size(size);
        let one_shot = upstream.clone().one_shot();
        let interrupt = Interrupt::new();
        let pull = || upstream.pull(0, &interrupt);
        let push = |events: std::ops::RangeInclusive<u64>| {
            upstream.push(&Batch::new(events.start() - 1, entries(events)), &interrupt).unwrap();
        };
        let (mut one, mut other) = (pull(), pull());
        assert_eq!([caught_up(&mut one), caught_up(&mut other)], [[1, 2, 3]; 2]);
        let (mut begun, mut one_shot_begun) = (pull(), one_shot.pull(0, &interrupt));

        upstream.fail_push(Fault::LoseEcho);
        push(4..=6);
        push(7..=7);
        let mut between = pull();
        upstream.fail_push(Fault::LoseEcho);
        push(8..=8);
        push(9..=10);

        assert_eq!([caught_up(&mut one), caught_up(&mut other)], [[7, 9, 10]; 2], "pages of {size}");
        assert_eq!(caught_up(&mut begun), [1, 2, 3, 7, 9, 10]);
        assert_eq!(caught_up(&mut between), [1, 2, 3, 4, 5, 6, 7, 9, 10]);
        assert_eq!(caught_up(&mut pull()), (1..=10).collect::<Vec<_>>());
        assert_eq!(caught_up(&mut one_shot_begun), [1, 2, 3, 7, 9, 10]);
        push(11..=11);
        assert_eq!([caught_up(&mut one), caught_up(&mut begun)], [[11]; 2]);
    }
}

#[test]
fn a_page_of_lost_echoes_alone_says_that_the_pull_has_caught_up_if_none_has() {
    let (upstream, interrupt) = (upstream(0), Interrupt::with_deadline(Instant::now() + LONG));
    let mut begun = upstream.pull(0, &interrupt);
    upstream.fail_push(Fault::LoseEcho);
    push(&upstream, 0).unwrap();
    assert_eq!(told(begun.next()), "[], None");
}

#[test]
fn a_live_pull_waits_on_when_an_echo_is_lost() {
    let (upstream, interrupt) = (upstream(1), Interrupt::new());
    let mut live = upstream.pull(0, &interrupt);
    assert_eq!(told(live.next()), "[1], None");
    upstream.fail_push(Fault::LoseEcho);
    push(&upstream, 1).unwrap();
    interrupt.set(latchwork::Cause::Stop);
    assert!(told(live.next()).contains("the pull was interrupted"), "an empty page told of it");
}

#[test]
fn a_pull_goes_wrong_as_it_was_told_to() {
    let pages = |fault| {
        let upstream = upstream(2).with_page_size(1).one_shot();
        upstream.fail_pull(fault);
        let interrupt = Interrupt::new();
        let mut pages = upstream.pull(0, &interrupt);
        [told(pages.next()), told(pages.next()), told(pages.next())]
    };
    let (first, second, end) = ("[1], Events(1)", "[2], None", "the end");
    let unavailable = |pages: [String; 3], what: &str, at: usize| {
        assert!(pages[at].contains(what), "{pages:?}");
        assert_eq!(pages[at + 1], end);
        pages
    };
    unavailable(pages(Fault::DisconnectBefore), "the connection died", 0);
    unavailable(pages(Fault::Busy(SHORT)), "too many requests", 0);
    unavailable(pages(Fault::OtherUpstream), "the log belongs to another upstream", 0);
    let after = unavailable(pages(Fault::DisconnectAfter), "the connection died", 1);
    assert_eq!(after[0], first, "the page came");
    assert_eq!(pages(Fault::EndStream), [end; 3]);
    assert_eq!(pages(Fault::DuplicatePage), [first, first, second]);
    assert_eq!(pages(Fault::Delay(SHORT)), [first, second, end]);
}

#[test]
fn a_pull_that_is_interrupted_says_so() {
    let (upstream, interrupt) = (upstream(1), Interrupt::new());
    let mut live = upstream.pull(0, &interrupt);
    assert_eq!(told(live.next()), "[1], None");
    interrupt.set(latchwork::Cause::Restart);
    assert!(told(live.next()).contains("the pull was interrupted"));
    assert_eq!(told(live.next()), "the end");
}
