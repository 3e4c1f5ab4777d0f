//! The laws of logs.

use std::fmt::Debug;
use std::num::NonZeroUsize;

use super::Contract;
use super::broken::{Broken, Verdict};
use super::place::same;
use crate::log::{Log, Merged};

const ALL: NonZeroUsize = NonZeroUsize::MAX;

/// Runs all of them.
pub(super) fn laws<'a, L: Log<Entry: PartialEq + Debug>>(contract: &'a Contract<L>) -> Broken {
    let mut broken = Broken::default();
    let mut judge = |law, check: fn(Logs<'a, L>) -> Verdict| {
        broken.judge_call(law, || check(Logs { contract, event: 0 }));
    };
    judge("number says where events would stand, and changes nothing", Logs::numbers);
    judge("admit appends what follows", Logs::admits);
    judge("admit refuses what does not follow, all of it", Logs::refuses_to_admit);
    judge("append is number and admit", Logs::appends);
    judge("a batch has the first pending events", Logs::gives_batches);
    judge("confirm takes the first pending events", Logs::confirms);
    judge("confirm of the own batch is merge", Logs::merges_own);
    judge("merge applies what others did, and keeps what is pending", Logs::merges_others);
    judge("merge finds the pending events in a page", Logs::finds_own);
    judge("merge refuses what does not follow, all of it", Logs::refuses_to_merge);
    judge("a rebase gives pending events new numbers", Logs::rebases);
    judge("give_up takes out the events that are meant, or nothing", Logs::gives_up);
    judge("replace puts another event in the place of one, or nothing", Logs::replaces);
    broken
}

/// How a log stands.
#[derive(Debug)]
pub(super) struct Stand<L: Log> {
    head: L::Position,
    upstream_head: L::Position,
    pending: usize,
    batch: Vec<L::Entry>,
}

impl<L: Log<Entry: PartialEq + Debug>> Stand<L> {
    pub(super) fn of(log: &L) -> Self {
        let (head, upstream_head, pending) = (log.head(), log.upstream_head(), log.pending());
        Self { head, upstream_head, pending, batch: log.batch(ALL) }
    }

    /// That a log stands like this.
    pub(super) fn is(&self, log: &L, when: &str) -> Verdict {
        let now = Self::of(log);
        let of = |stand: &Self| (stand.head, stand.upstream_head, stand.pending);
        if of(self) != of(&now) {
            let words = |stand: &Self| {
                let (head, upstream_head, pending) = of(stand);
                format!("head {head:?}, upstream head {upstream_head:?}, {pending} pending")
            };
            return Err(format!("{when}: expected {}, got {}", words(self), words(&now)));
        }
        same(&now.batch, &self.batch).map_err(|came| format!("{when}, of what is pending: {came}"))
    }
}

/// A log's laws, and what events have been made.
struct Logs<'a, L: Log> {
    contract: &'a Contract<L>,
    event: u64,
}

impl<L: Log<Entry: PartialEq + Debug>> Logs<'_, L> {
    fn numbers(mut self) -> Verdict {
        let log = self.with_pending(2)?;
        let before = Stand::of(&log);
        let numbers = self.events(3);
        let entries = self.number(&log, &numbers)?;
        before.is(&log, "after `number`")?;
        follow::<L>(before.head, &entries)?;
        equal("as `number` is called again", &entries, &self.number(&log, &numbers)?)
    }

    fn admits(mut self) -> Verdict {
        let mut log = (self.contract.log)();
        let mut sent = Vec::new();
        for events in [0, 1, 3] {
            let (upstream_head, numbers) = (log.upstream_head(), self.events(events));
            let entries = self.number(&log, &numbers)?;
            let head = entries.last().map_or_else(|| log.head(), L::position);
            let admitted = log.admit(entries.clone()).map_err(|error| refused("admit", &error))?;
            equal("how many `admit` says are to be sent", &numbers.len(), &admitted)?;
            sent.extend(entries);
            let pending = sent.len();
            Stand { head, upstream_head, pending, batch: sent.clone() }.is(&log, "after `admit`")?;
        }
        Ok(())
    }

    fn refuses_to_admit(mut self) -> Verdict {
        let mut log = self.with_pending(1)?;
        let numbers = self.events(3);
        let entries = self.number(&log, &numbers)?;
        let of = |places: &[usize]| places.iter().map(|place| entries[*place].clone()).collect::<Vec<_>>();
        let before = Stand::of(&log);
        for (what, places) in [("a gap before them", &[1, 2][..]), ("a gap", &[0, 2]), ("no order", &[0, 2, 1])] {
            let admitted = log.admit(of(places));
            refuses(&format!("`admit` of events with {what}"), &admitted)?;
            before.is(&log, &format!("after `admit` of events with {what}"))?;
        }
        log.admit(of(&[0, 1])).map_err(|error| refused("admit", &error))?;
        let before = Stand::of(&log);
        refuses("`admit` of events that are there", &log.admit(of(&[0, 1])))?;
        refuses("`admit` of events of which some are there", &log.admit(of(&[1, 2])))?;
        before.is(&log, "after `admit` of events that are there")
    }

    fn appends(mut self) -> Verdict {
        let (mut log, mut other) = ((self.contract.log)(), (self.contract.log)());
        for events in [0, 1, 3] {
            let numbers = self.events(events);
            let appended = log.append(self.made(&numbers)).map_err(|error| refused("append", &error))?;
            let entries = self.number(&other, &numbers)?;
            let admitted = other.admit(entries).map_err(|error| refused("admit", &error))?;
            equal("how many `append` says are to be sent", &admitted, &appended)?;
            Stand::of(&other).is(&log, "after `append`, as after `number` and `admit`")?;
        }
        Ok(())
    }

    fn gives_batches(mut self) -> Verdict {
        equal("a batch of an empty log", &Vec::new(), &(self.contract.log)().batch(ALL))?;
        let log = self.with_pending(5)?;
        let before = Stand::of(&log);
        equal("the events of a batch", &before.pending, &before.batch.len())?;
        follow::<L>(before.upstream_head, &before.batch)?;
        for most in (1..=7).filter_map(NonZeroUsize::new) {
            let first = &before.batch[..most.get().min(before.pending)];
            equal(&format!("a batch of {most} at most"), first, &*log.batch(most))?;
            for room in [1, 8].map(Vec::with_capacity) {
                equal(&format!("a batch of {most} at most, in a place with room"), first, &*log.batch_in(most, room))?;
            }
        }
        before.is(&log, "after `batch`")
    }

    fn confirms(mut self) -> Verdict {
        let mut log = self.with_pending(5)?;
        for most in [2, 1, 2] {
            let before = Stand::of(&log);
            let batch = log.batch(NonZeroUsize::new(most).unwrap_or(ALL));
            let merged = log.confirm(batch.clone()).map_err(|error| refused("confirm", &error))?;
            equal("what `confirm` says", &Merged::Advance { new: Vec::new(), confirmed: batch.clone() }, &merged)?;
            has_settled(&log, before, &batch)?;
        }
        Ok(())
    }

    fn merges_own(mut self) -> Verdict {
        let (mut log, mut other) = ((self.contract.log)(), (self.contract.log)());
        let numbers = self.events(3);
        for log in [&mut log, &mut other] {
            log.append(self.made(&numbers)).map_err(|error| refused("append", &error))?;
        }
        let two = NonZeroUsize::MIN.saturating_add(1);
        let merged = log.merge(log.batch(two)).map_err(|error| refused("merge", &error))?;
        let confirmed = other.confirm(other.batch(two)).map_err(|error| refused("confirm", &error))?;
        equal("what `confirm` says, as `merge` does", &merged, &confirmed)?;
        Stand::of(&log).is(&other, "after `confirm`, as after `merge`")
    }

    fn merges_others(mut self) -> Verdict {
        let (numbers, theirs) = (self.events(3), self.events(2));
        let mut log = self.with_these(&numbers)?;
        let before = Stand::of(&log);
        let page = self.number(&(self.contract.log)(), &theirs)?;
        let nothing = log.merge(Vec::new()).map_err(|error| refused("merge", &error))?;
        equal("what `merge` of an empty page says", &Merged::Advance { new: vec![], confirmed: vec![] }, &nothing)?;
        before.is(&log, "after `merge` of an empty page")?;
        let merged = log.merge(page.clone()).map_err(|error| refused("merge", &error))?;
        let (Merged::Advance { new, confirmed } | Merged::Rebase { new, confirmed, .. }) = &merged;
        equal("what is new of a page of others' events", &page, new)?;
        equal("what `merge` confirms of others' events", &Vec::new(), confirmed)?;
        let head = L::position(&page[1]);
        equal("the upstream head, which is the page's last event", &head, &log.upstream_head())?;
        self.still_has(log, &page, &without(&numbers, merged.dropped()))
    }

    fn finds_own(mut self) -> Verdict {
        let (numbers, theirs) = (self.events(3), self.events(2));
        let mut log = self.with_these(&numbers)?;
        // The first two are there, and then others'.
        let mut page = log.batch(NonZeroUsize::MIN.saturating_add(1));
        let own = page.clone();
        let mut other = (self.contract.log)();
        other.merge(page.clone()).map_err(|error| refused("merge", &error))?;
        let new = self.number(&other, &theirs)?;
        page.extend(new.iter().cloned());
        let merged = log.merge(page.clone()).map_err(|error| refused("merge", &error))?;
        equal("what `merge` confirms of a page that begins with pending events", &*own, merged.confirmed())?;
        let (Merged::Advance { new: got, .. } | Merged::Rebase { new: got, .. }) = &merged;
        equal("what is new of a page that begins with pending events", &new, got)?;
        self.still_has(log, &page, &without(&numbers[own.len()..], merged.dropped()))
    }

    fn refuses_to_merge(mut self) -> Verdict {
        let mut log = self.with_pending(2)?;
        let theirs = self.events(3);
        let page = self.number(&(self.contract.log)(), &theirs)?;
        let of = |places: &[usize]| places.iter().map(|place| page[*place].clone()).collect::<Vec<_>>();
        let before = Stand::of(&log);
        for (what, places) in [("a gap before it", &[1, 2][..]), ("a gap", &[0, 2]), ("no order", &[0, 2, 1])] {
            refuses(&format!("`merge` of a page with {what}"), &log.merge(of(places)))?;
            before.is(&log, &format!("after `merge` of a page with {what}"))?;
        }
        log.merge(of(&[0, 1])).map_err(|error| refused("merge", &error))?;
        let before = Stand::of(&log);
        refuses("`merge` of a page that has been applied", &log.merge(of(&[0, 1])))?;
        before.is(&log, "after `merge` of a page that has been applied")
    }

    fn rebases(mut self) -> Verdict {
        for own in [0, 1] {
            let mut log = self.with_pending(3)?;
            let before = Stand::of(&log);
            let mut page = log.batch(ALL);
            page.truncate(own);
            if own == 0 {
                let theirs = self.events(1);
                page = self.number(&(self.contract.log)(), &theirs)?;
            }
            let merged = log.merge(page).map_err(|error| refused("merge", &error))?;
            let after = Stand::of(&log);
            if merged.is_rebase() {
                let same = before.batch.iter().filter(|entry| after.batch.contains(entry)).count();
                equal("how many pending events have the numbers still that they had before a rebase", &0, &same)?;
            } else if own > 0 {
                equal("pending events after an advance without others' events", &before.batch[own..], &*after.batch)?;
            }
        }
        Ok(())
    }

    fn gives_up(mut self) -> Verdict {
        for range in [0..1, 1..3, 4..5, 0..5] {
            let numbers = self.events(5);
            let mut log = self.with_these(&numbers)?;
            let before = Stand::of(&log);
            let Some(gone) = log.give_up(range.clone()) else {
                before.is(&log, "after `give_up` that could not be")?;
                continue;
            };
            equal(&format!("the events {range:?} that were given up"), &before.batch[range.clone()], &*gone)?;
            equal("the upstream head after `give_up`", &before.upstream_head, &log.upstream_head())?;
            self.still_has(log, &[], &without(&numbers, &range.collect::<Vec<_>>()))?;
        }
        Ok(())
    }

    fn replaces(mut self) -> Verdict {
        for index in [0, 1, 2] {
            let (mut numbers, new) = (self.events(3), self.events(1)[0]);
            let mut log = self.with_these(&numbers)?;
            let before = Stand::of(&log);
            let Ok(old) = log.replace(index, (self.contract.event)(new)) else {
                before.is(&log, "after `replace` that could not be")?;
                continue;
            };
            numbers[index] = new;
            let after = Stand::of(&log);
            equal("the event that was replaced", &before.batch[index], &old)?;
            let position = |stand: &Stand<L>| stand.batch.get(index).map(L::position);
            equal("the number of an event in the place of another", &position(&before), &position(&after))?;
            let heads = |stand: &Stand<L>| (stand.head, stand.upstream_head, stand.pending);
            equal("the heads, and what is pending, after `replace`", &heads(&before), &heads(&after))?;
            self.still_has(log, &[], &numbers)?;
        }
        Ok(())
    }

    /// Numbers of new events.
    fn events(&mut self, events: u64) -> Vec<u64> {
        self.event += events;
        (self.event + 1 - events..=self.event).collect()
    }

    fn made(&self, numbers: &[u64]) -> Vec<L::Event> {
        numbers.iter().copied().map(&self.contract.event).collect()
    }

    fn number(&self, log: &L, numbers: &[u64]) -> Verdict<Vec<L::Entry>> {
        let entries = log.number(self.made(numbers)).map_err(|error| refused("number", &error))?;
        equal("how many entries `number` makes", &numbers.len(), &entries.len())?;
        Ok(entries)
    }

    /// A log with these events pending.
    fn with_these(&self, numbers: &[u64]) -> Verdict<L> {
        let mut log = (self.contract.log)();
        log.append(self.made(numbers)).map_err(|error| refused("append", &error))?;
        equal("how many are pending", &numbers.len(), &log.pending())?;
        Ok(log)
    }

    fn with_pending(&mut self, events: u64) -> Verdict<L> {
        let numbers = self.events(events);
        self.with_these(&numbers)
    }

    /// That what is pending in a log, which has applied `page` and nothing else, is these events: upstream takes them.
    fn still_has(&self, mut log: L, page: &[L::Entry], numbers: &[u64]) -> Verdict {
        let stand = Stand::of(&log);
        equal("how many events are pending", &(numbers.len(), numbers.len()), &(stand.pending, stand.batch.len()))?;
        follow::<L>(stand.upstream_head, &stand.batch)?;
        let mut other = (self.contract.log)();
        other.merge(page.to_vec()).map_err(|error| refused("merge", &error))?;
        let entries = self.number(&other, numbers)?;
        let merged = log.merge(entries.clone()).map_err(|error| refused("merge", &error))?;
        // How they are written down may tell that they had other numbers before.
        let positions = |entries: &[L::Entry]| entries.iter().map(L::position).collect::<Vec<_>>();
        let (expected, got) = (positions(&entries), positions(merged.confirmed()));
        equal("the pending events that upstream orders as they stand", &expected, &got)?;
        equal("how many are pending, after upstream has ordered them", &0, &log.pending())
    }
}

/// That a batch has been applied that was the first of what was pending.
fn has_settled<L: Log<Entry: PartialEq + Debug>>(log: &L, before: Stand<L>, batch: &[L::Entry]) -> Verdict {
    let upstream_head = batch.last().map_or(before.upstream_head, L::position);
    let (pending, rest) = (before.pending - batch.len(), before.batch[batch.len()..].to_vec());
    Stand { upstream_head, pending, batch: rest, ..before }.is(log, "after `confirm`")
}

/// That the numbers of these ascend, from that one on.
fn follow<L: Log<Entry: Debug>>(mut last: L::Position, entries: &[L::Entry]) -> Verdict {
    for entry in entries {
        let position = L::position(entry);
        if position <= last {
            return Err(format!("expected an event with a number beyond {last:?}, got {entry:?}"));
        }
        last = position;
    }
    Ok(())
}

/// Numbers without those at these indices, which ascend.
fn without(numbers: &[u64], dropped: &[usize]) -> Vec<u64> {
    let left = numbers.iter().enumerate().filter(|(index, _)| !dropped.contains(index));
    left.map(|(_, number)| *number).collect()
}

fn equal<T: PartialEq + Debug + ?Sized>(what: &str, expected: &T, got: &T) -> Verdict {
    if expected == got { Ok(()) } else { Err(format!("{what}: expected {expected:?}, got {got:?}")) }
}

fn refuses<T, E>(what: &str, outcome: &Result<T, E>) -> Verdict {
    if outcome.is_err() { Ok(()) } else { Err(format!("expected an error of {what}, got none")) }
}

fn refused(method: &str, error: &dyn std::error::Error) -> String {
    format!("expected `{method}` to do what it was asked, got an error: {error}")
}
