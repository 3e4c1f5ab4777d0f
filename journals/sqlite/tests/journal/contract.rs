//! The laws of a journal.

use std::cell::Cell;

use latchwork::contract::Contract;
use latchwork::sync_state::{Entry, Event, Position, SeqNum, SyncState};
use latchwork_sqlite::rusqlite::Transaction;
use latchwork_sqlite::{BoxError, Codec, SqliteJournal};

use crate::common::{ALICE, Held, Log, Told, open, open_with};

fn contract() -> Contract<Log> {
    Contract::new(Log::rebasing, |number| u32::try_from(number).expect("a few events"))
}

fn recover(held: Held) -> Log {
    Log::rebasing().with_pending(held.cursor, held.pending.into_iter().map(|entry| entry.event))
}

#[test]
fn sqlite_journal_keeps_the_contract_of_a_journal() {
    let laws = contract().journal(recover, || {
        let dir = tempfile::tempdir().unwrap();
        move || open(&dir.path().join("journal.db")).unwrap()
    });
    laws.unwrap();
}

#[test]
fn sqlite_journal_whose_writes_fail_keeps_the_contract_of_a_journal() {
    let laws = contract().journal(recover, || {
        let dir = tempfile::tempdir().unwrap();
        move || {
            let fails = Cell::new(true);
            let tables = move |_: &Transaction<'_>, _: &[Told]| -> Result<(), BoxError> {
                if fails.replace(!fails.get()) { Err("the disk is full".into()) } else { Ok(()) }
            };
            open_with(&dir.path().join("journal.db"), tables).unwrap()
        }
    });
    laws.unwrap();
}

/// Those from 1,000 on are local-only.
#[derive(Clone, Debug, PartialEq)]
struct Number(u64);

impl Event for Number {
    fn is_local_only(&self) -> bool {
        self.0 >= 1000
    }
    fn is_same_as(&self, other: &Self) -> bool {
        self == other
    }
}

type Both = SyncState<Number>;

struct Texts;

impl Codec<Both> for Texts {
    fn start(&self) -> Position {
        SeqNum::ROOT.position()
    }
    fn entry_to_bytes(&self, entry: &Entry<Number>) -> Vec<u8> {
        entry.event.0.to_string().into_bytes()
    }
    fn entry_from_bytes(&self, bytes: &[u8]) -> Result<Entry<Number>, BoxError> {
        let event = Number(std::str::from_utf8(bytes)?.parse()?);
        Ok(Entry { seq: SeqNum::ROOT, parent: SeqNum::ROOT, event })
    }
    fn position_to_bytes(&self, position: Position) -> Vec<u8> {
        SeqNum::new(position.global, position.client, 0).to_string().into_bytes()
    }
    fn position_from_bytes(&self, bytes: &[u8]) -> Result<Position, BoxError> {
        Ok(std::str::from_utf8(bytes)?.parse::<SeqNum>()?.position())
    }
    fn is_sent(&self, entry: &Entry<Number>) -> bool {
        !entry.event.is_local_only()
    }
}

#[test]
fn sqlite_journal_keeps_the_contract_of_a_journal_that_holds_local_only_events() {
    let recover = |held: latchwork_sqlite::Held<Both>| {
        let mut log = Both::new(SeqNum::new(held.cursor.global, held.cursor.client, 0));
        latchwork::log::Log::append(&mut log, held.pending.into_iter().map(|entry| entry.event).collect()).unwrap();
        log
    };
    let contract = Contract::new(Both::default, Number).with_local_only(Number);
    let laws = contract.journal(recover, || {
        let dir = tempfile::tempdir().unwrap();
        move || SqliteJournal::open(dir.path().join("journal.db"), ALICE, Texts, ()).unwrap()
    });
    laws.unwrap();
}
