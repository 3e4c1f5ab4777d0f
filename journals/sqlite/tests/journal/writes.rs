//! What is written is what happened, whatever fails in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use latchwork::journal::{Change, Changed, Journal, Recovered};
use latchwork::log::Merged;
use latchwork_sqlite::rusqlite::{Connection, Transaction};
use latchwork_sqlite::{BoxError, Held, Tables};
use proptest::prelude::*;

use crate::common::{Entry, Log, Told, committed, entries, entry, held, is_sent, open, open_with, pending};

/// A table of the changes' numbers in the order in which they were told, of which how many there are is kept in memory, too.
struct Counted {
    known: u64,
    /// Whether the next write is to fail.
    fails: Arc<AtomicBool>,
}

fn count(db: &Connection) -> u64 {
    db.query_row("SELECT count(*) FROM told", [], |row| row.get(0)).unwrap()
}

impl Tables<Log> for Counted {
    fn load(&mut self, transaction: &Transaction<'_>, _: &Held<Log>) -> Result<(), BoxError> {
        transaction.execute_batch("CREATE TABLE IF NOT EXISTS told (number)")?;
        self.known = count(transaction);
        Ok(())
    }
    fn write(&mut self, transaction: &Transaction<'_>, changes: &[Told]) -> Result<(), BoxError> {
        assert!(!changes.is_empty(), "nothing has happened");
        assert_eq!(self.known, count(transaction), "it keeps what was undone");
        for change in changes {
            transaction.execute("INSERT INTO told VALUES (?1)", [change.number])?;
            self.known += 1;
        }
        if self.fails.swap(false, Ordering::Relaxed) { Err("it fails".into()) } else { Ok(()) }
    }
}

/// Something that can happen to a log with so many events pending, as these numbers choose.
fn happens(held: &Recovered<Entry, u64>, [kind, first, second]: [usize; 3]) -> (Changed<Entry>, u64) {
    let (pending, cursor) = (&held.pending, held.cursor);
    let sent = |pending: &[Entry]| pending.iter().filter(|entry| is_sent(entry)).count();
    let event = |number: usize| u32::try_from(number % 1100).unwrap();
    let all = sent(pending);
    match kind % 8 {
        0..4 => (committed(&(0..=first % 4).map(|more| event(second + 97 * more)).collect::<Vec<_>>()), cursor),
        4 => {
            let mut confirmed = pending[..first % (pending.len() + 1)].to_vec();
            // One that a reset did not tell, before all that are known.
            let local_only = confirmed.iter().position(|entry| !is_sent(entry)).unwrap_or(confirmed.len());
            if second % 3 == 0 && local_only > 0 {
                confirmed.insert(second % local_only, entry(1000));
            }
            (Changed::Merged(Merged::Advance { new: entries(&[7]), confirmed }), cursor + 1)
        }
        5 => {
            let (confirmed, rest) = pending.split_at(first % (pending.len() + 1));
            let dropped = (0..sent(rest)).filter(|index| (second >> (index % 60)) & 1 == 1).collect();
            let merged =
                Merged::Rebase { new: entries(&[7]), confirmed: confirmed.to_vec(), moved: rest.len(), dropped };
            (Changed::Merged(merged), cursor + 2)
        }
        6 if all > 0 && second % 2 == 0 => {
            let start = first % all;
            (Changed::GivenUp { start, count: 1 + second / 2 % (all - start) }, cursor)
        }
        6 if all > 0 => (Changed::Replaced { index: first % all, entry: entry(event(second) % 1000) }, cursor),
        _ => (Changed::Reset { pending: entries(&vec![3; first % 3]) }, cursor + 5),
    }
}

/// What becomes of a write.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Written,
    /// It is undone, and told again with what has come since.
    Undone,
    /// It is made, and told again: nothing was known.
    Unknown,
    /// It is written, and then the process begins anew.
    Reopened,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Written), Just(Fate::Undone), Just(Fate::Unknown), Just(Fate::Reopened)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn write_equals_apply_whatever_fails_in_between(
        batches in prop::collection::vec((prop::collection::vec(any::<[usize; 3]>(), 1..8), fate()), 1..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let mut model = Recovered::new(0);
        let fails = Arc::new(AtomicBool::new(false));
        let open_counted = || open_with(&path, Counted { known: 0, fails: Arc::clone(&fails) }).unwrap();
        let (mut journal, _) = open_counted();
        let (mut unwritten, mut told) = (Vec::new(), 0);
        for (happening, fate) in batches {
            for choice in happening {
                let (what, cursor) = happens(&model, choice);
                let change = Change::new(model.changes + 1, what, cursor);
                model.apply(&change, is_sent).unwrap();
                unwritten.push(change);
                told += 1;
            }
            match fate {
                Fate::Undone => {
                    fails.store(true, Ordering::Relaxed);
                    prop_assert!(journal.write(&unwritten).is_err());
                    continue;
                }
                Fate::Unknown => {
                    journal.write(&unwritten).unwrap();
                    continue;
                }
                Fate::Written | Fate::Reopened => journal.write(&unwritten).unwrap(),
            }
            unwritten.clear();
            prop_assert_eq!(count(journal.connection()), told);
            if let Fate::Reopened = fate {
                let (again, held) = open_counted();
                model.changes = 0;
                prop_assert_eq!(&held, &model);
                journal = again;
            }
        }
        journal.write(&unwritten).unwrap();
        drop(journal);
        model.changes = 0;
        prop_assert_eq!(held(&path), model);
    }
}

/// The first write may have failed because it did not reach the disk. What is written behind it does, and with it the first.
#[test]
fn write_of_what_is_there_makes_it_durable_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (mut journal, _) = open(&path).unwrap();
    let changes = [Change::new(1, committed(&[1]), 0)];
    let other = Connection::open(&path).unwrap();
    let transactions = || other.pragma_query_value(None, "data_version", |row| row.get::<_, u32>(0)).unwrap();
    for _ in 0..3 {
        let before = transactions();
        journal.write(&changes).unwrap();
        assert_ne!(transactions(), before, "nothing was written");
    }
    assert_eq!(pending(&path), [1]);
}
