//! Journals that each break a law, which is named.

use std::slice::from_ref;
use std::sync::{Arc, Mutex};

use latchwork::contract::{Broken, Contract};
use latchwork::journal::{AsyncJournal, Change, ChangeError, Changed, Journal, Recovered};
use latchwork::log::Log as _;
use latchwork::sync_state::{self, Event as _, Position, SeqNum, SyncState};
use tokio::task::yield_now;

use crate::ours::Numbered as Number;

type Log = SyncState<Number>;
type Entry = sync_state::Entry<Number>;
type Held = Recovered<Entry, Position>;
type Told = Change<Entry, Position>;

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
    CountsLocalOnly,
    LosesLocalOnly,
    /// Of a journal for tasks.
    IsGivenUpBetweenChanges,
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
            held.apply(change, |entry| self.bug == Bug::CountsLocalOnly || !entry.event.is_local_only())?;
            if self.bug == Bug::LosesLocalOnly {
                held.pending.retain(|entry| !entry.event.is_local_only());
            }
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

/// The same for tasks, which may be given up before it writes and after that.
impl AsyncJournal<Log> for Twin {
    type Error = ChangeError;

    async fn write(&mut self, changes: &[Told]) -> Result<(), ChangeError> {
        yield_now().await;
        if self.bug == Bug::IsGivenUpBetweenChanges {
            let file = Arc::new(Mutex::new(self.file.lock().unwrap().clone()));
            Journal::write(&mut Self { file, ..*self }, changes)?;
            for change in changes {
                Journal::write(self, from_ref(change))?;
                yield_now().await;
            }
            return Ok(());
        }
        Journal::write(self, changes)?;
        yield_now().await;
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
const LOCAL_ONLY: &str = "local-only events are held, and not counted";
const APART: &str = "two journals have nothing in common";
const WHOLE: &str = "a write that is given up is there whole or not";

/// Each with the laws that it breaks; `WHOLE` is one for tasks alone.
const BROKEN: &[(Bug, &[&str])] = &[
    (Bug::None, &[]),
    (Bug::HoldsSomethingAtFirst, &[NEW, ANEW, APART]),
    (Bug::WritesAtItsEnd, &[HELD, TOGETHER, ONCE, ANEW, NOTHING, MANY, LOCAL_ONLY, WHOLE]),
    (Bug::ForgetsCursor, &[HELD, ANEW, LOCAL_ONLY, WHOLE]),
    (Bug::WritesFirstOfCallAlone, &[TOGETHER, ONCE, ANEW, MANY, WHOLE]),
    (Bug::WritesAgain, &[ONCE]),
    (Bug::CountsOn, &[ANEW, WHOLE]),
    (Bug::WritesPart, &[NOTHING]),
    (Bug::HoldsFew, &[MANY]),
    (Bug::SharesWithAnother, &[APART]),
    (Bug::CountsLocalOnly, &[LOCAL_ONLY]),
    (Bug::LosesLocalOnly, &[LOCAL_ONLY]),
    (Bug::IsGivenUpBetweenChanges, &[WHOLE]),
];

pub fn laws() -> Vec<&'static str> {
    BROKEN.iter().flat_map(|(_, laws)| *laws).copied().collect()
}

/// The files of a law's journals.
struct Files {
    bug: Bug,
    /// The last one, until it is opened.
    new: Mutex<Option<Arc<Mutex<Held>>>>,
}

impl Files {
    fn make(&self) -> Arc<Mutex<Held>> {
        let mut new = self.new.lock().unwrap();
        match new.take() {
            // Of the two of a law, which are made at once.
            Some(file) if self.bug == Bug::SharesWithAnother => file,
            _ => {
                let start = SeqNum::new(u64::from(self.bug == Bug::HoldsSomethingAtFirst), 0, 0);
                new.insert(Arc::new(Mutex::new(Recovered::new(start.position())))).clone()
            }
        }
    }

    fn open(&self, file: &Arc<Mutex<Held>>) -> (Twin, Held) {
        self.new.lock().unwrap().take();
        Twin::open(file, self.bug)
    }
}

fn recover(held: Held) -> Log {
    let Position { global, client } = held.cursor;
    let mut log = SyncState::new(SeqNum::new(global, client, 0));
    log.append(held.pending.into_iter().map(|entry| entry.event).collect()).unwrap();
    log
}

fn contract() -> Contract<Log> {
    Contract::new(|| recover(Recovered::new(SeqNum::ROOT.position())), Number).with_local_only(Number)
}

fn names(bug: Bug, broken: Result<(), Broken>) -> Vec<&'static str> {
    let broken = broken.err().unwrap_or_default();
    println!("{bug:?}: {broken}\n");
    broken.laws().collect()
}

#[test]
fn journal_names_the_law_that_is_broken() {
    let contract = contract();
    for &(bug, laws) in BROKEN {
        let files = Files { bug, new: Mutex::new(None) };
        let broken = contract.journal(recover, || {
            let (files, file) = (&files, files.make());
            move || files.open(&file)
        });
        let laws: Vec<_> = laws.iter().copied().filter(|law| *law != WHOLE).collect();
        assert_eq!(names(bug, broken), laws, "{bug:?}");
    }
}

#[tokio::test]
async fn async_journal_names_the_law_that_is_broken() {
    let contract = contract();
    for &(bug, laws) in BROKEN {
        let files = Files { bug, new: Mutex::new(None) };
        let make = async || {
            let (files, file) = (&files, files.make());
            async move || files.open(&file)
        };
        let broken = contract.async_journal(tokio::time::sleep, recover, make).await;
        assert_eq!(names(bug, broken), laws, "{bug:?}");
    }
}
