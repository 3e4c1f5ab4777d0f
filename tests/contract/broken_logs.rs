//! Logs that each break a law, which is named.

use std::num::NonZeroUsize;
use std::ops::Range;

use latchwork::contract::Contract;
use latchwork::log::{Log, MemoryEntry, MemoryLog, MemoryLogError, Merged, Wrapper};

type Entry = MemoryEntry<u64>;

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bug {
    None,
    NumbersFromUpstreamHead,
    CountsWrong,
    AdmitsGaps,
    AdmitsPart,
    AppendsBackwards,
    SendsTooMuch,
    SkipsTheFirst,
    FillsTheRoom,
    ConfirmsOneLess,
    ConfirmsWithoutTheHead,
    LosesPendingInMerge,
    SaysThatAllIsNew,
    MergesStalePages,
    MergesPart,
    CallsEachMergeRebase,
    GivesUpAnother,
    GivesUpAndSaysThatItCannot,
    ReplacesAnother,
    ReplacesAndSaysThatItCannot,
}

struct Twin {
    log: MemoryLog<u64>,
    bug: Bug,
}

impl Twin {
    fn pending(&self) -> Vec<u64> {
        Log::batch(&self.log, NonZeroUsize::MAX).into_iter().map(|entry| entry.event).collect()
    }

    fn set(&mut self, upstream_head: u64, pending: Vec<u64>) {
        self.log = MemoryLog::rebasing().with_pending(upstream_head, pending);
    }
}

impl Wrapper for Twin {
    type Log = MemoryLog<u64>;

    fn inner(&self) -> &MemoryLog<u64> {
        &self.log
    }
    fn inner_mut(&mut self) -> &mut MemoryLog<u64> {
        &mut self.log
    }

    fn number(&self, events: Vec<u64>) -> Result<Vec<Entry>, MemoryLogError> {
        let mut entries = Log::number(&self.log, events)?;
        if self.bug == Bug::NumbersFromUpstreamHead {
            let pending = Log::pending(&self.log) as u64;
            entries.iter_mut().for_each(|entry| entry.position -= pending);
        }
        Ok(entries)
    }

    fn admit(&mut self, mut entries: Vec<Entry>) -> Result<usize, MemoryLogError> {
        let expected = Log::head(&self.log) + 1;
        match self.bug {
            Bug::AdmitsGaps => {
                let gap = entries.first().map_or(0, |entry| entry.position.saturating_sub(expected));
                entries.iter_mut().for_each(|entry| entry.position -= gap);
            }
            Bug::AdmitsPart => {
                let follow = (expected..).zip(&entries).take_while(|(number, entry)| *number == entry.position).count();
                let rest = entries.split_off(follow);
                Log::admit(&mut self.log, entries)?;
                return Log::admit(&mut self.log, rest).map(|admitted| admitted + follow);
            }
            _ => {}
        }
        let admitted = Log::admit(&mut self.log, entries)?;
        Ok(if self.bug == Bug::CountsWrong { admitted.min(2) } else { admitted })
    }

    fn append(&mut self, mut events: Vec<u64>) -> Result<usize, MemoryLogError> {
        if self.bug == Bug::AppendsBackwards {
            events.reverse();
        }
        Log::append(&mut self.log, events)
    }

    fn batch(&self, max: NonZeroUsize) -> Vec<Entry> {
        let mut batch = Log::batch(&self.log, max);
        match self.bug {
            Bug::SendsTooMuch if max.get() == 3 => Log::batch(&self.log, NonZeroUsize::MAX),
            Bug::SkipsTheFirst if batch.len() == 5 => batch.split_off(1),
            _ => batch,
        }
    }

    fn batch_in(&self, max: NonZeroUsize, room: Vec<Entry>) -> Vec<Entry> {
        let fills = NonZeroUsize::new(room.capacity()).filter(|_| self.bug == Bug::FillsTheRoom);
        Log::batch_in(&self.log, fills.unwrap_or(max), room)
    }

    fn confirm(&mut self, batch: Vec<Entry>) -> Result<Merged<Entry>, MemoryLogError> {
        let last = Log::head(&self.log);
        let confirmed = Log::confirm(&mut self.log, batch)?;
        match self.bug {
            Bug::ConfirmsOneLess => match confirmed {
                Merged::Advance { new, mut confirmed } => {
                    confirmed.pop();
                    return Ok(Merged::Advance { new, confirmed });
                }
                rebase @ Merged::Rebase { .. } => return Ok(rebase),
            },
            Bug::ConfirmsWithoutTheHead => {
                let pending = self.pending();
                let head = (last - pending.len() as u64).saturating_sub(1);
                self.set(head, pending);
            }
            _ => {}
        }
        Ok(confirmed)
    }

    fn merge(&mut self, mut page: Vec<Entry>) -> Result<Merged<Entry>, MemoryLogError> {
        let head = Log::upstream_head(&self.log);
        match self.bug {
            Bug::MergesStalePages => page.retain(|entry| entry.position > head),
            Bug::MergesPart => {
                let follow = (head + 1..).zip(&page).take_while(|(number, entry)| *number == entry.position).count();
                if follow < page.len() && follow > 0 {
                    let rest = page.split_off(follow);
                    Log::merge(&mut self.log, page)?;
                    page = rest;
                }
            }
            _ => {}
        }
        let merged = Log::merge(&mut self.log, page)?;
        match (self.bug, merged) {
            (Bug::LosesPendingInMerge, Merged::Rebase { new, confirmed, moved, dropped }) if moved == 3 => {
                let mut pending = self.pending();
                pending.pop();
                self.set(Log::upstream_head(&self.log), pending);
                Ok(Merged::Rebase { new, confirmed, moved, dropped })
            }
            (Bug::SaysThatAllIsNew, Merged::Rebase { mut new, mut confirmed, moved, dropped }) => {
                confirmed.append(&mut new);
                Ok(Merged::Rebase { new: confirmed, confirmed: Vec::new(), moved, dropped })
            }
            (Bug::CallsEachMergeRebase, Merged::Advance { new, confirmed }) if confirmed.len() == 1 => {
                Ok(Merged::Rebase { new, confirmed, moved: 0, dropped: Vec::new() })
            }
            (_, merged) => Ok(merged),
        }
    }

    fn give_up(&mut self, range: Range<usize>) -> Option<Vec<Entry>> {
        match self.bug {
            Bug::GivesUpAnother => Log::give_up(&mut self.log, 0..range.len()),
            Bug::GivesUpAndSaysThatItCannot => {
                Log::give_up(&mut self.log, range);
                None
            }
            _ => Log::give_up(&mut self.log, range),
        }
    }

    fn replace(&mut self, index: usize, event: u64) -> Result<Entry, u64> {
        match self.bug {
            Bug::ReplacesAnother => Log::replace(&mut self.log, 0, event),
            Bug::ReplacesAndSaysThatItCannot => {
                _ = Log::replace(&mut self.log, index, event);
                Err(event)
            }
            _ => Log::replace(&mut self.log, index, event),
        }
    }
}

const NUMBER: &str = "number says where events would stand, and changes nothing";
const ADMIT: &str = "admit appends what follows";
const REFUSE: &str = "admit refuses what does not follow, all of it";
const APPEND: &str = "append is number and admit";
const BATCH: &str = "a batch has the first pending events";
const CONFIRM: &str = "confirm takes the first pending events";
const OWN: &str = "confirm of the own batch is merge";
const OTHERS: &str = "merge applies what others did, and keeps what is pending";
const FIND: &str = "merge finds the pending events in a page";
const PAGE: &str = "merge refuses what does not follow, all of it";
const REBASE: &str = "a rebase gives pending events new numbers";
const GIVE_UP: &str = "give_up takes out the events that are meant, or nothing";
const REPLACE: &str = "replace puts another event in the place of one, or nothing";

/// Each with the laws that it breaks.
const BROKEN: &[(Bug, &[&str])] = &[
    (Bug::None, &[]),
    (Bug::NumbersFromUpstreamHead, &[NUMBER, ADMIT, REFUSE, APPEND]),
    (Bug::CountsWrong, &[ADMIT, APPEND]),
    (Bug::AdmitsGaps, &[REFUSE]),
    (Bug::AdmitsPart, &[REFUSE]),
    (Bug::AppendsBackwards, &[APPEND, OTHERS, FIND, GIVE_UP, REPLACE]),
    (Bug::SendsTooMuch, &[BATCH]),
    (Bug::SkipsTheFirst, &[BATCH, CONFIRM, GIVE_UP]),
    (Bug::FillsTheRoom, &[BATCH]),
    (Bug::ConfirmsOneLess, &[CONFIRM, OWN]),
    (Bug::ConfirmsWithoutTheHead, &[CONFIRM, OWN]),
    (Bug::LosesPendingInMerge, &[OTHERS]),
    (Bug::SaysThatAllIsNew, &[FIND]),
    (Bug::MergesStalePages, &[PAGE]),
    (Bug::MergesPart, &[PAGE]),
    (Bug::CallsEachMergeRebase, &[REBASE]),
    (Bug::GivesUpAnother, &[GIVE_UP]),
    (Bug::GivesUpAndSaysThatItCannot, &[GIVE_UP]),
    (Bug::ReplacesAnother, &[REPLACE]),
    (Bug::ReplacesAndSaysThatItCannot, &[REPLACE]),
];

pub fn laws() -> Vec<&'static str> {
    BROKEN.iter().flat_map(|(_, laws)| *laws).copied().collect()
}

#[test]
fn log_names_the_law_that_is_broken() {
    let mut wrong = Vec::new();
    for (bug, laws) in BROKEN {
        let twin = || Twin { log: MemoryLog::rebasing(), bug: *bug };
        let found: Vec<_> = match Contract::new(twin, |number| number).log() {
            Ok(()) => Vec::new(),
            Err(broken) => {
                println!("{bug:?}: {broken}\n");
                broken.laws().collect()
            }
        };
        if found != *laws {
            wrong.push((bug, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
