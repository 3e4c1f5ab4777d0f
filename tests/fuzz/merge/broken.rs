//! Logs with a defect, made of logs that have none: the fuzzer must find each.

use std::num::NonZeroUsize;

use latchwork::log::{Log, MemoryLog, Merged};
use latchwork::sync_state::SyncState;
use proptest::test_runner::TestCaseResult;

use super::model::{Item, Kind, Model, Numbered, Stands};
use super::subject::Subject;
use super::{Case, run};
use crate::harness::Seen;

/// What is wrong with a log.
#[derive(Clone, Copy, Debug)]
pub enum Defect {
    /// Of a page that does not follow it applies what does, and says that it was refused.
    AppliesHalf,
    /// Entries are put in order before they are looked at.
    SortsPages,
    /// What is merged already is passed over.
    SkipsWhatItHas,
    /// Events are admitted under whatever number is next.
    NumbersAnew,
    /// A batch begins behind the first pending event if there are others.
    SkipsTheFirst,
    /// It says that one event less was moved.
    CountsOneLess,
    /// Local-only events are counted as if they were sent.
    CountsLocalOnly,
    /// An event that was confirmed by its answer, and not by a page, is told as another client's.
    ConfirmsAsNew,
}

impl Defect {
    pub const ALL: &[Self] = &[
        Self::AppliesHalf,
        Self::SortsPages,
        Self::SkipsWhatItHas,
        Self::NumbersAnew,
        Self::SkipsTheFirst,
        Self::CountsOneLess,
        Self::CountsLocalOnly,
        Self::ConfirmsAsNew,
    ];
}

/// A log, but for one defect.
pub struct Broken<L> {
    log: L,
    defect: Defect,
}

/// As [`run`], with a log that has this defect.
pub fn run_broken(defect: Defect, case: &Case, seen: &Seen) -> TestCaseResult {
    fn of<L: Subject>(defect: Defect) -> impl FnOnce(&Model) -> Broken<L> {
        move |model| Broken { log: L::make(model), defect }
    }
    match case.kind {
        Kind::State(_) => run(case, seen, of::<SyncState<Item>>(defect)),
        Kind::Commuting | Kind::Rebasing => run(case, seen, of::<MemoryLog<Item>>(defect)),
    }
}

impl<L: Subject> Log for Broken<L> {
    type Event = L::Event;
    type Entry = L::Entry;
    type Position = L::Position;
    type Error = L::Error;

    fn head(&self) -> L::Position {
        self.log.head()
    }

    fn upstream_head(&self) -> L::Position {
        self.log.upstream_head()
    }

    fn pending(&self) -> usize {
        self.log.pending()
    }

    fn position(entry: &L::Entry) -> L::Position {
        L::position(entry)
    }

    fn is_local_only(&self, entry: &L::Entry) -> bool {
        self.log.is_local_only(entry)
    }

    fn number(&self, events: Vec<L::Event>) -> Result<Vec<L::Entry>, L::Error> {
        self.log.number(events)
    }

    fn admit(&mut self, entries: Vec<L::Entry>) -> Result<usize, L::Error> {
        if let Defect::NumbersAnew = self.defect {
            let items = entries.iter().map(|entry| L::event(L::show(entry).item));
            return self.log.append(items.collect());
        }
        let all = entries.len();
        let sent = self.log.admit(entries)?;
        Ok(if let Defect::CountsLocalOnly = self.defect { all } else { sent })
    }

    fn append(&mut self, events: Vec<L::Event>) -> Result<usize, L::Error> {
        self.log.append(events)
    }

    fn batch(&self, max: NonZeroUsize) -> Vec<L::Entry> {
        let mut batch = self.log.batch(max);
        if let (Defect::SkipsTheFirst, 2..) = (self.defect, batch.len()) {
            batch.remove(0);
        }
        batch
    }

    fn merge(&mut self, mut page: Vec<L::Entry>) -> Result<Merged<L::Entry>, L::Error> {
        match self.defect {
            Defect::SortsPages => page.sort_by_key(L::position),
            Defect::SkipsWhatItHas => {
                let head = self.upstream_head();
                page.retain(|entry| L::position(entry) > head);
            }
            _ => {}
        }
        let merged = self.log.merge(page.clone()).inspect_err(|_| {
            if let Defect::AppliesHalf = self.defect {
                let _half = (1..page.len()).rev().find_map(|len| self.log.merge(page[..len].to_vec()).ok());
            }
        });
        Ok(match merged? {
            Merged::Rebase { new, confirmed, moved, dropped } if matches!(self.defect, Defect::CountsOneLess) => {
                Merged::Rebase { new, confirmed, moved: moved - 1, dropped }
            }
            merged => merged,
        })
    }

    fn confirm(&mut self, batch: Vec<L::Entry>) -> Result<Merged<L::Entry>, L::Error> {
        Ok(match self.log.confirm(batch)? {
            Merged::Advance { confirmed, .. } if matches!(self.defect, Defect::ConfirmsAsNew) => {
                Merged::Advance { new: confirmed, confirmed: Vec::new() }
            }
            merged => merged,
        })
    }
}

impl<L: Subject> Subject for Broken<L> {
    fn make(_: &Model) -> Self {
        unreachable!("made of another one")
    }

    fn event(item: Item) -> L::Event {
        L::event(item)
    }

    fn entry(entry: Numbered) -> L::Entry {
        L::entry(entry)
    }

    fn show(entry: &L::Entry) -> Numbered {
        L::show(entry)
    }

    fn stands(&self) -> Stands {
        self.log.stands()
    }

    fn again(&self) -> Self {
        Self { log: self.log.again(), defect: self.defect }
    }
}
