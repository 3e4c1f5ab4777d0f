//! Journals that each break a law, which is named.

use std::sync::{Arc, Mutex};

use latchwork::contract::Contract;
use latchwork::journal::{Change, ChangeError, Changed, Journal, Recovered};
use latchwork::log::{MemoryEntry, MemoryLog};

type Log = MemoryLog<u64>;
type Entry = MemoryEntry<u64>;
type Held = Recovered<Entry, u64>;
type Told = Change<Entry, u64>;

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bug {
    None,
    HoldsSomethingAtFirst,
    WritesAtItsEnd,
    ForgetsCursor,
    WritesFirstOfCallAlone,
    WritesAgain,
    CountsOn,
    WritesPart,
    HoldsFew,
    SharesWithAnother,
}

struct Twin {
    file: Arc<Mutex<Held>>,
    bug: Bug,
    /// The last change of this process.
    changes: u64,
}

impl Twin {
    fn open(file: &Arc<Mutex<Held>>, bug: Bug) -> (Self, Held) {
        let held = file.lock().unwrap().clone();
        let changes = if bug == Bug::CountsOn { held.changes } else { 0 };
        (Self { file: Arc::clone(file), bug, changes }, Recovered::with_pending(held.cursor, held.pending))
    }
}

impl Journal<Log> for Twin {
    type Error = ChangeError;

    fn write(&mut self, changes: &[Told]) -> Result<(), ChangeError> {
        let mut file = self.file.lock().unwrap();
        let mut held = file.clone();
        held.changes = self.changes;
        let all = changes.iter().enumerate();
        let told = all.filter(|(index, _)| self.bug != Bug::WritesFirstOfCallAlone || *index == 0);
        for (_, change) in told {
            let before = held.clone();
            if self.bug == Bug::WritesAgain {
                // It takes what comes for the next.
                held.changes = change.number - 1;
            }
            if change.number > self.changes && self.bug == Bug::WritesFirstOfCallAlone {
                held.changes = change.number - 1;
            }
            held.apply(change, |_| true)?;
            if self.bug == Bug::ForgetsCursor && matches!(change.what, Changed::Merged(_)) {
                held.cursor = before.cursor;
            }
            if self.bug == Bug::WritesPart {
                *file = held.clone();
            }
        }
        if self.bug == Bug::HoldsFew {
            held.pending.truncate(100);
        }
        self.changes = held.changes;
        if self.bug != Bug::WritesAtItsEnd {
            *file = held;
        }
        Ok(())
    }
}

const NEW: &str = "a new journal holds nothing";
const HELD: &str = "what was written is held";
const TOGETHER: &str = "the changes of a call are written together";
const ONCE: &str = "a change that is told again is written once";
const ANEW: &str = "a later process counts its changes from 1";
const NOTHING: &str = "a write that cannot be leaves nothing";
const MANY: &str = "many changes are held";
const APART: &str = "two journals have nothing in common";

/// Each with the laws that it breaks.
const BROKEN: &[(Bug, &[&str])] = &[
    (Bug::None, &[]),
    (Bug::HoldsSomethingAtFirst, &[NEW, ANEW, APART]),
    (Bug::WritesAtItsEnd, &[HELD, TOGETHER, ONCE, ANEW, NOTHING, MANY]),
    (Bug::ForgetsCursor, &[HELD, ANEW]),
    (Bug::WritesFirstOfCallAlone, &[TOGETHER, ONCE, ANEW, MANY]),
    (Bug::WritesAgain, &[ONCE]),
    (Bug::CountsOn, &[ANEW]),
    (Bug::WritesPart, &[NOTHING]),
    (Bug::HoldsFew, &[MANY]),
    (Bug::SharesWithAnother, &[APART]),
];

pub fn laws() -> Vec<&'static str> {
    BROKEN.iter().flat_map(|(_, laws)| *laws).copied().collect()
}

#[test]
fn journal_names_the_law_that_is_broken() {
    let mut wrong = Vec::new();
    for (bug, laws) in BROKEN {
        let last = Mutex::new(None::<Arc<Mutex<Held>>>);
        let make = || {
            let mut last = last.lock().unwrap();
            let file = match last.take() {
                // Of the two of a law, which are made at once.
                Some(file) if *bug == Bug::SharesWithAnother && Arc::strong_count(&file) > 1 => file,
                _ => Arc::new(Mutex::new(Recovered::new(u64::from(*bug == Bug::HoldsSomethingAtFirst)))),
            };
            *last = Some(Arc::clone(&file));
            move || Twin::open(&file, *bug)
        };
        let recover = |held: Held| {
            MemoryLog::rebasing().with_pending(held.cursor, held.pending.into_iter().map(|entry| entry.event))
        };
        let found: Vec<_> = match Contract::new(Log::rebasing, |number| number).journal(recover, make) {
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
