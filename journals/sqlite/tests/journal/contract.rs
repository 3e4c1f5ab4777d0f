//! The laws of a journal.

use std::cell::Cell;

use latchwork::contract::Contract;
use latchwork_sqlite::BoxError;
use latchwork_sqlite::rusqlite::Transaction;

use crate::common::*;

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
