//! The laws of journals.

use std::fmt::Debug;

use super::Contract;
use super::broken::{Broken, Verdict};
use super::log::Stand;
use crate::log::{Change, Changed, Log, Merged, Recovered};
use crate::replicator::journal::Journal;

/// How often a write may fail that is told once more.
const TRIES: usize = 10;

/// What a journal holds.
type Held<L> = Recovered<<L as Log>::Entry, <L as Log>::Position>;

/// What it is told.
type Told<L> = Change<<L as Log>::Entry, <L as Log>::Position>;

/// Runs all of them.
pub(super) fn laws<L, J, O>(contract: &Contract<L>, recover: &impl Fn(Held<L>) -> L, make: &impl Fn() -> O) -> Broken
where
    L: Log<Entry: PartialEq + Debug>,
    J: Journal<L>,
    O: Fn() -> (J, Held<L>),
{
    let new = || Journals { contract, recover, open: make(), told: Recovered::new((contract.log)().upstream_head()) };
    let mut broken = Broken::default();
    broken.judge_call("a new journal holds nothing", || new().begins());
    broken.judge_call("what was written is held", || {
        let changes = new().changes().len();
        (1..=changes).try_for_each(|changes| new().writes_each(changes))
    });
    broken.judge_call("the changes of a call are written together", || new().writes_together());
    broken.judge_call("a change that is told again is written once", || new().writes_once());
    broken.judge_call("a later process counts its changes from 1", || new().counts_anew());
    broken.judge_call("a write that cannot be leaves nothing", || new().leaves_nothing());
    broken.judge_call("many changes are held", || new().writes_many());
    broken.judge_call("two journals have nothing in common", || apart(new(), new()));
    broken
}

/// A journal, and what it has been told.
struct Journals<'a, L: Log, R, O> {
    contract: &'a Contract<L>,
    recover: &'a R,
    open: O,
    told: Held<L>,
}

impl<L, J, R, O> Journals<'_, L, R, O>
where
    L: Log<Entry: PartialEq + Debug>,
    J: Journal<L>,
    R: Fn(Held<L>) -> L,
    O: Fn() -> (J, Held<L>),
{
    fn begins(self) -> Verdict {
        self.holds("a new journal")
    }

    fn writes_each(mut self, changes: usize) -> Verdict {
        let (mut journal, _) = (self.open)();
        let changes = &self.changes()[..changes];
        for told in 0..changes.len() {
            self.write(&mut journal, &changes[told..=told])?;
        }
        let last = changes.last().map(|change| &change.what);
        self.holds(&format!("the last of {} changes that were written was {last:?}", changes.len()))
    }

    fn writes_together(mut self) -> Verdict {
        let (mut journal, _) = (self.open)();
        let changes = self.changes();
        for few in changes.chunks(3) {
            self.write(&mut journal, few)?;
        }
        self.holds("changes were written, three of them at a time")
    }

    fn writes_once(mut self) -> Verdict {
        let (mut journal, _) = (self.open)();
        let mut changes = self.changes();
        // A reset, which would hide what was there twice.
        changes.pop();
        for end in [1, 3, 3, changes.len(), changes.len()] {
            self.write(&mut journal, &changes[..end])?;
        }
        self.holds("changes were written, and told again with more behind them")
    }

    fn counts_anew(mut self) -> Verdict {
        let changes = self.changes();
        let mut journals = Vec::new();
        for few in changes.chunks(3) {
            let (mut journal, held) = (self.open)();
            self.same(held, "it was opened by a later process")?;
            self.told.changes = 0;
            let mut few = few.to_vec();
            few.iter_mut().zip(1..).for_each(|(change, number)| change.number = number);
            self.write(&mut journal, &few)?;
            // As after a crash: nothing of it is run any more.
            journals.push(journal);
        }
        self.holds("later processes had written to it")
    }

    fn leaves_nothing(mut self) -> Verdict {
        let (mut journal, _) = (self.open)();
        let changes = self.changes();
        self.write(&mut journal, &changes[..1])?;
        let absent = Change::new(3, Changed::GivenUp { start: 1000, count: 1 }, self.told.cursor);
        if journal.write(&[changes[1].clone(), absent]).is_ok() {
            // A journal may trust what it is told.
            return Ok(());
        }
        self.holds("a write had failed whose last change was about an event that is not pending")
    }

    fn writes_many(mut self) -> Verdict {
        const EVENTS: u64 = 500;
        let (mut journal, _) = (self.open)();
        let mut log = (self.contract.log)();
        let mut changes = Vec::new();
        for number in 1..=EVENTS {
            let event = vec![(self.contract.event)(number)];
            let entries = log.number(event).map_err(|error| error.to_string())?;
            log.admit(entries.clone()).map_err(|error| error.to_string())?;
            changes.push(Change::new(number, Changed::Committed { entries }, log.upstream_head()));
        }
        self.write(&mut journal, &changes)?;
        self.holds(&format!("{EVENTS} changes were written at once"))
    }

    /// What happens to a log, with each kind of change that it knows.
    fn changes(&self) -> Vec<Told<L>> {
        let mut log = (self.contract.log)();
        let mut changes = Vec::new();
        let mut told = |log: &L, what| {
            let number = changes.len() as u64 + 1;
            changes.push(Change::new(number, what, log.upstream_head()));
        };
        let events = |numbers: std::ops::Range<u64>| numbers.map(&self.contract.event).collect::<Vec<_>>();
        let commit = |log: &mut L, numbers| {
            let entries = log.number(events(numbers)).expect("a log has numbers for a few events");
            log.admit(entries.clone()).expect("a log admits what it has numbered");
            Changed::Committed { entries }
        };
        let what = commit(&mut log, 1..4);
        told(&log, what);
        let what = commit(&mut log, 4..9);
        told(&log, what);
        let mut own = log.batch(std::num::NonZeroUsize::MAX);
        own.truncate(2);
        let what = Changed::Merged(log.confirm(own.clone()).expect("a log confirms its own batch"));
        told(&log, what);
        let mut other = (self.contract.log)();
        other.merge(own).expect("a log applies what follows");
        let theirs = other.number(events(100..102)).expect("a log has numbers for a few events");
        let what = Changed::Merged(log.merge(theirs).expect("a log applies what follows"));
        told(&log, what);
        if log.replace(1, (self.contract.event)(50)).is_ok() {
            let entry = log.batch(std::num::NonZeroUsize::MAX).swap_remove(1);
            told(&log, Changed::Replaced { index: 1, entry });
        }
        if log.give_up(1..3).is_some() {
            told(&log, Changed::GivenUp { start: 1, count: 2 });
        }
        let dropped = Merged::Rebase { new: Vec::new(), confirmed: Vec::new(), moved: 0, dropped: vec![0] };
        told(&log, Changed::Merged(dropped));
        let what = commit(&mut log, 9..11);
        told(&log, what);
        let pending = log.batch(std::num::NonZeroUsize::MAX);
        told(&log, Changed::Reset { pending: pending[1..].to_vec() });
        changes
    }

    /// Writes changes; tells them again, if that has failed.
    fn write(&mut self, journal: &mut J, changes: &[Told<L>]) -> Verdict {
        let mut failed = String::new();
        for _ in 0..TRIES {
            match journal.write(changes) {
                Ok(()) => {
                    for change in changes {
                        self.told.apply(change, |_| true).map_err(|error| error.to_string())?;
                    }
                    return Ok(());
                }
                Err(error) => failed = error.to_string(),
            }
        }
        Err(format!("expected changes to be written at last, got an error {TRIES} times: {failed}"))
    }

    /// That what a process finds that begins now is what was told.
    fn holds(&self, when: &str) -> Verdict {
        let (_journal, held) = (self.open)();
        self.same(held, when)
    }

    fn same(&self, held: Held<L>, when: &str) -> Verdict {
        if held.changes != 0 {
            return Err(format!("{when}: expected what is held to begin with 0 changes, got {}", held.changes));
        }
        let told = Recovered::with_pending(self.told.cursor, self.told.pending.clone());
        Stand::of(&(self.recover)(told)).is(&(self.recover)(held), when)
    }
}

/// Nothing of one is in the other.
fn apart<L, J, R, O>(mut one: Journals<'_, L, R, O>, other: Journals<'_, L, R, O>) -> Verdict
where
    L: Log<Entry: PartialEq + Debug>,
    J: Journal<L>,
    R: Fn(Held<L>) -> L,
    O: Fn() -> (J, Held<L>),
{
    let (mut journal, _) = (one.open)();
    let changes = one.changes();
    one.write(&mut journal, &changes)?;
    other.holds("another journal was written to")
}
