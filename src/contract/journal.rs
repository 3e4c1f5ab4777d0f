//! The laws of journals, written for tasks: a journal for threads is called through an adapter.

use std::fmt::Debug;
use std::future::Future;
use std::num::NonZeroUsize;
use std::slice::from_ref;
use std::time::Duration;

use super::Contract;
use super::broken::{Broken, Verdict};
use super::call::{polled, until};
use super::log::Stand;
use crate::log::{Change, Changed, Log, Merged, Recovered};
use crate::replicator::journal::AsyncJournal;

/// How often a write may fail that is told once more.
const TRIES: usize = 10;

/// After how many polls a write is given up at most.
const POLLS: usize = 30;

/// What a journal holds.
type Held<L> = Recovered<<L as Log>::Entry, <L as Log>::Position>;

/// What it is told.
type Told<L> = Change<<L as Log>::Entry, <L as Log>::Position>;

/// Runs all of them.
pub(super) async fn laws<L, J, O, M, S, F>(
    contract: &Contract<L>,
    sleep: &F,
    recover: &impl Fn(Held<L>) -> L,
    make: &M,
) -> Broken
where
    L: Log<Entry: PartialEq + Debug>,
    J: AsyncJournal<L>,
    O: AsyncFn() -> (J, Held<L>),
    M: AsyncFn() -> O,
    S: Future,
    F: Fn(Duration) -> S,
{
    let new = async || Journals::new(contract, sleep, recover, make().await);
    let mut broken = Broken::default();
    broken.judge("a new journal holds nothing", async { new().await.begins().await }).await;
    let each = async {
        for changes in 1..=new().await.changes().len() {
            new().await.writes_each(changes).await?;
        }
        Ok(())
    };
    broken.judge("what was written is held", each).await;
    let together = async { new().await.writes_together().await };
    broken.judge("the changes of a call are written together", together).await;
    broken.judge("a change that is told again is written once", async { new().await.writes_once().await }).await;
    broken.judge("a later process counts its changes from 1", async { new().await.counts_anew().await }).await;
    broken.judge("a write that cannot be leaves nothing", async { new().await.leaves_nothing().await }).await;
    broken.judge("many changes are held", async { new().await.writes_many().await }).await;
    if let Some(local_only) = &contract.local_only {
        let passes = async { new().await.passes_over(local_only).await };
        broken.judge("local-only events are held, and not counted", passes).await;
    }
    broken.judge("two journals have nothing in common", async { apart(new().await, new().await).await }).await;
    broken
}

/// Runs those of a journal for tasks alone.
pub(super) async fn laws_of_tasks<L, J, O, M, S, F>(
    contract: &Contract<L>,
    sleep: &F,
    recover: &impl Fn(Held<L>) -> L,
    make: &M,
    broken: &mut Broken,
) where
    L: Log<Entry: PartialEq + Debug>,
    J: AsyncJournal<L>,
    O: AsyncFn() -> (J, Held<L>),
    M: AsyncFn() -> O,
    S: Future,
    F: Fn(Duration) -> S,
{
    let each = async {
        for polls in 0..POLLS {
            if Journals::new(contract, sleep, recover, make().await).ends_after(polls).await? {
                break;
            }
        }
        Ok(())
    };
    broken.judge("a write that is given up is there whole or not", each).await;
}

/// A journal, and what it has been told.
struct Journals<'a, L: Log, R, O, F> {
    contract: &'a Contract<L>,
    sleep: &'a F,
    recover: &'a R,
    open: O,
    told: Held<L>,
    /// Says which events are local-only.
    log: L,
}

impl<'a, L, J, R, O, S, F> Journals<'a, L, R, O, F>
where
    L: Log<Entry: PartialEq + Debug>,
    J: AsyncJournal<L>,
    R: Fn(Held<L>) -> L,
    O: AsyncFn() -> (J, Held<L>),
    S: Future,
    F: Fn(Duration) -> S,
{
    fn new(contract: &'a Contract<L>, sleep: &'a F, recover: &'a R, open: O) -> Self {
        let log = (contract.log)();
        Self { contract, sleep, recover, open, told: Recovered::new(log.upstream_head()), log }
    }

    async fn begins(self) -> Verdict {
        self.holds("a new journal").await
    }

    async fn writes_each(mut self, changes: usize) -> Verdict {
        let (mut journal, _) = self.open().await?;
        let changes = &self.changes()[..changes];
        for told in 0..changes.len() {
            self.write(&mut journal, &changes[told..=told]).await?;
        }
        let last = changes.last().map(|change| &change.what);
        self.holds(&format!("the last of {} changes that were written was {last:?}", changes.len())).await
    }

    async fn writes_together(mut self) -> Verdict {
        let (mut journal, _) = self.open().await?;
        let changes = self.changes();
        for few in changes.chunks(3) {
            self.write(&mut journal, few).await?;
        }
        self.holds("changes were written, three of them at a time").await
    }

    async fn writes_once(mut self) -> Verdict {
        let (mut journal, _) = self.open().await?;
        let mut changes = self.changes();
        // A reset, which would hide what was there twice.
        changes.pop();
        for end in [1, 3, 3, changes.len(), changes.len()] {
            self.write(&mut journal, &changes[..end]).await?;
        }
        self.holds("changes were written, and told again with more behind them").await
    }

    async fn counts_anew(mut self) -> Verdict {
        let changes = self.changes();
        let mut journals = Vec::new();
        for few in changes.chunks(3) {
            let (mut journal, held) = self.open().await?;
            self.same(held, "it was opened by a later process")?;
            self.told.changes = 0;
            let mut few = few.to_vec();
            few.iter_mut().zip(1..).for_each(|(change, number)| change.number = number);
            self.write(&mut journal, &few).await?;
            // As after a crash: nothing of it is run any more.
            journals.push(journal);
        }
        self.holds("later processes had written to it").await
    }

    async fn leaves_nothing(mut self) -> Verdict {
        let (mut journal, _) = self.open().await?;
        let changes = self.changes();
        self.write(&mut journal, &changes[..1]).await?;
        let absent = Change::new(3, Changed::GivenUp { start: 1000, count: 1 }, self.told.cursor);
        if self.in_time("a write to end", journal.write(&[changes[1].clone(), absent])).await?.is_ok() {
            // A journal may trust what it is told.
            return Ok(());
        }
        self.holds("a write had failed whose last change was about an event that is not pending").await
    }

    async fn writes_many(mut self) -> Verdict {
        const EVENTS: u64 = 500;
        let (mut journal, _) = self.open().await?;
        let mut log = (self.contract.log)();
        let changes = (1..=EVENTS).map(|number| commit(&mut log, number, vec![(self.contract.event)(number)]));
        let changes = changes.collect::<Verdict<Vec<_>>>()?;
        self.write(&mut journal, &changes).await?;
        self.holds(&format!("{EVENTS} changes were written at once")).await
    }

    /// Local-only events stand between the others, and a log in the place of another one has some of which nothing was told.
    async fn passes_over(mut self, local_only: &dyn Fn(u64) -> L::Event) -> Verdict {
        let (mut journal, _) = self.open().await?;
        for change in self.changes_of_both_kinds(local_only)? {
            self.write(&mut journal, from_ref(&change)).await?;
            let when = format!("there are local-only events, and the last change was {:?}", change.what);
            let (_, held) = self.open().await?;
            let (expected, got) = (self.told.pending.len(), held.pending.len());
            if expected != got {
                return Err(format!("{when}: expected {expected} events held, got {got}"));
            }
            self.same(held, &when)?;
        }
        Ok(())
    }

    fn changes_of_both_kinds(&self, local_only: &dyn Fn(u64) -> L::Event) -> Verdict<Vec<Told<L>>> {
        let of = |numbers: &[u64]| {
            let event = |number| if number < 1000 { (self.contract.event)(number) } else { local_only(number) };
            numbers.iter().copied().map(event).collect::<Vec<_>>()
        };
        let (mut log, mut changes) = ((self.contract.log)(), Vec::new());
        changes.push(commit(&mut log, 1, of(&[1001, 1, 1002, 2, 3, 1003, 4]))?);
        let mut told = |log: &L, what| changes.push(Change::new(changes.len() as u64 + 1, what, log.upstream_head()));
        if log.give_up(1..2).is_some() {
            told(&log, Changed::GivenUp { start: 1, count: 1 });
        }
        if log.replace(1, (self.contract.event)(5)).is_ok() {
            let entry = log.batch(NonZeroUsize::MAX).swap_remove(1);
            told(&log, Changed::Replaced { index: 1, entry });
        }
        let dropped = Merged::Rebase { new: Vec::new(), confirmed: Vec::new(), moved: 0, dropped: vec![1] };
        told(&log, Changed::Merged(dropped));
        let mut log = (self.contract.log)();
        log.append(of(&[1004, 6, 1005, 7, 8, 9])).map_err(|error| error.to_string())?;
        told(&log, Changed::Reset { pending: log.batch(NonZeroUsize::MAX) });
        let committed = commit(&mut log, 0, of(&[1006, 10]))?;
        told(&log, committed.what);
        for most in [1, 2, 1, 1] {
            let batch = log.batch(NonZeroUsize::MIN.saturating_add(most - 1));
            let merged = log.confirm(batch).map_err(|error| error.to_string())?;
            told(&log, Changed::Merged(merged));
        }
        Ok(changes)
    }

    /// Gives up a write after so many polls, with its journal, as a driver does that is dropped. Returns whether it was over by
    /// then.
    async fn ends_after(mut self, polls: usize) -> Verdict<bool> {
        let (mut journal, _) = self.open().await?;
        let changes = self.changes();
        let (first, given_up) = (&changes[..1], &changes[1..4]);
        self.write(&mut journal, first).await?;
        let written = self.in_time("a write to go on", polled(polls, journal.write(given_up))).await?;
        drop(journal);
        let when = format!("a write of {} changes was given up after {polls} polls", given_up.len());
        let (mut journal, held) = self.open().await?;
        let is_whole = matches!(written, Some(Ok(()))) || self.same(held.clone(), &when).is_err();
        if is_whole {
            self.are_told(given_up)?;
            self.same(held, &when)?;
        }
        let told = Recovered::with_pending(self.told.cursor, self.told.pending.clone());
        self.told.changes = 0;
        let change = commit(&mut (self.recover)(told), 1, vec![(self.contract.event)(200)])?;
        self.write(&mut journal, &[change]).await?;
        self.holds(&format!("{when}, and a later process wrote")).await?;
        Ok(written.is_some())
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
        let mut own = log.batch(NonZeroUsize::MAX);
        own.truncate(2);
        let what = Changed::Merged(log.confirm(own.clone()).expect("a log confirms its own batch"));
        told(&log, what);
        let mut other = (self.contract.log)();
        other.merge(own).expect("a log applies what follows");
        let theirs = other.number(events(100..102)).expect("a log has numbers for a few events");
        let what = Changed::Merged(log.merge(theirs).expect("a log applies what follows"));
        told(&log, what);
        if log.replace(1, (self.contract.event)(50)).is_ok() {
            let entry = log.batch(NonZeroUsize::MAX).swap_remove(1);
            told(&log, Changed::Replaced { index: 1, entry });
        }
        if log.give_up(1..3).is_some() {
            told(&log, Changed::GivenUp { start: 1, count: 2 });
        }
        let dropped = Merged::Rebase { new: Vec::new(), confirmed: Vec::new(), moved: 0, dropped: vec![0] };
        told(&log, Changed::Merged(dropped));
        let what = commit(&mut log, 9..11);
        told(&log, what);
        let pending = log.batch(NonZeroUsize::MAX);
        told(&log, Changed::Reset { pending: pending[1..].to_vec() });
        changes
    }

    async fn open(&self) -> Verdict<(J, Held<L>)> {
        self.in_time("a journal to be opened", (self.open)()).await
    }

    async fn in_time<T>(&self, expected: &str, call: impl Future<Output = T>) -> Verdict<T> {
        let bound = self.contract.bound;
        let came = until((self.sleep)(bound), call).await;
        came.ok_or_else(|| format!("expected {expected}, and that is not so after {bound:?}"))
    }

    /// Writes changes; tells them again, if that has failed.
    async fn write(&mut self, journal: &mut J, changes: &[Told<L>]) -> Verdict {
        let mut failed = String::new();
        for _ in 0..TRIES {
            match self.in_time("a write to end", journal.write(changes)).await? {
                Ok(()) => return self.are_told(changes),
                Err(error) => failed = error.to_string(),
            }
        }
        Err(format!("expected changes to be written at last, got an error {TRIES} times: {failed}"))
    }

    fn are_told(&mut self, changes: &[Told<L>]) -> Verdict {
        let log = &self.log;
        let apply = |change| self.told.apply(change, |entry| !log.is_local_only(entry));
        changes.iter().try_for_each(apply).map_err(|error| error.to_string())
    }

    /// That what a process finds that begins now is what was told.
    async fn holds(&self, when: &str) -> Verdict {
        let (_journal, held) = self.open().await?;
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

/// A commit, as it is told.
fn commit<L: Log>(log: &mut L, number: u64, events: Vec<L::Event>) -> Verdict<Told<L>> {
    let entries = log.number(events).map_err(|error| error.to_string())?;
    log.admit(entries.clone()).map_err(|error| error.to_string())?;
    Ok(Change::new(number, Changed::Committed { entries }, log.upstream_head()))
}

/// Nothing of one is in the other.
async fn apart<L, J, R, O, S, F>(mut one: Journals<'_, L, R, O, F>, other: Journals<'_, L, R, O, F>) -> Verdict
where
    L: Log<Entry: PartialEq + Debug>,
    J: AsyncJournal<L>,
    R: Fn(Held<L>) -> L,
    O: AsyncFn() -> (J, Held<L>),
    S: Future,
    F: Fn(Duration) -> S,
{
    let (mut journal, _) = one.open().await?;
    let changes = one.changes();
    one.write(&mut journal, &changes).await?;
    other.holds("another journal was written to").await
}
