//! What is wrong with a file is said in a sentence, and the file is left as it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use latchwork::Replicator;
use latchwork::journal::{Change, ChangeError, Changed, Journal};
use latchwork::log::Merged;
use latchwork::protocol::{Failure, WaitingOn};
use latchwork::replicator::Status;
use latchwork::upstream::Memory;
use latchwork_sqlite::rusqlite::{self, Connection, Transaction, ffi};
use latchwork_sqlite::{APPLICATION_ID, BoxError, Error, Identity, SqliteJournal, Tables};
use tempfile::TempDir;

use crate::common::{ALICE, Log, Numbers, Told, committed, held, open, open_with, pending};

/// A journal in a directory, with something pending.
fn made() -> (TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alice.db");
    let (mut journal, _) = open(&path).unwrap();
    journal.write(&[told(1, &[1, 2])]).unwrap();
    (dir, path)
}

fn told(number: u64, events: &[u32]) -> Told {
    Change::new(number, committed(events), 0)
}

/// What is in a directory. Not to be called while this process has one of the files open.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap())).collect()
}

/// It is refused with a sentence that ends so, and nothing in its directory has changed.
#[track_caller]
fn is_refused(path: &Path, sentence: &str) -> Error {
    let before = contents(path.parent().unwrap());
    let error = open(path).unwrap_err();
    assert_eq!(error.to_string(), format!("{} {sentence}", path.display()));
    assert_eq!(contents(path.parent().unwrap()), before);
    error
}

#[test]
fn open_makes_a_file_that_says_what_it_is() {
    let (_dir, path) = made();
    let db = Connection::open(&path).unwrap();
    let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).unwrap();
    assert_eq!((pragma("application_id"), pragma("user_version")), (APPLICATION_ID, 1));
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    let (journal, _) = open(&path).unwrap();
    let full: u32 = journal.connection().pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
    assert_eq!(full, 2);
    assert!(journal.connection().pragma_query_value(None, "fullfsync", |row| row.get::<_, bool>(0)).unwrap());
    assert_eq!(pending(&path), [1, 2]);
}

#[test]
fn open_makes_a_journal_of_an_empty_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a b%3f#?.db");
    fs::write(&path, "").unwrap();
    assert_eq!(held(&path).cursor, 0);
    assert_eq!(contents(dir.path()).len(), 1);
}

#[test]
fn open_refuses_what_is_no_database() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("text");
    for text in ["short", &"this is no database at all. ".repeat(100)] {
        fs::write(&path, text).unwrap();
        assert!(matches!(is_refused(&path, "is not a database"), Error::NotADatabase { .. }));
    }
}

/// Beside it stands what a process left that was killed: to open the file would write that into it.
#[test]
fn open_refuses_what_is_no_database_beside_a_journal_of_sqlite() {
    let (live, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let theirs = Connection::open(live.path().join("theirs.db")).unwrap();
    theirs.execute_batch("PRAGMA journal_mode = delete; PRAGMA cache_size = 2; CREATE TABLE theirs (x)").unwrap();
    let rows = "WITH RECURSIVE rows (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM rows WHERE n < 200)";
    theirs.execute_batch(&format!("INSERT INTO theirs {rows} SELECT randomblob(1000) FROM rows")).unwrap();
    theirs.execute_batch("BEGIN; UPDATE theirs SET x = randomblob(1000)").unwrap();
    fs::copy(live.path().join("theirs.db-journal"), dir.path().join("text-journal")).unwrap();
    let path = dir.path().join("text");
    fs::write(&path, "this is no database at all. ".repeat(20_000)).unwrap();
    assert!(matches!(is_refused(&path, "is not a database"), Error::NotADatabase { .. }));
}

/// Also as a process left it that was killed: to open and close it would finish that process's work.
#[test]
fn open_refuses_a_database_of_another_application() {
    let (live, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let theirs = Connection::open(live.path().join("a b%3f#?.db")).unwrap();
    theirs.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE theirs (x)").unwrap();
    for name in ["a b%3f#?.db", "a b%3f#?.db-wal"] {
        fs::copy(live.path().join(name), dir.path().join(name)).unwrap();
    }
    let sentence = "is a database of another application: expected application id 0x4c774a6f, got 0x0";
    let error = is_refused(&dir.path().join("a b%3f#?.db"), sentence);
    assert!(matches!(error, Error::OtherApplication { got: 0, .. }));
}

#[test]
fn open_refuses_a_newer_schema() {
    let (_dir, path) = made();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = is_refused(&path, "has a newer schema: expected version 1 or older, got 99");
    assert!(matches!(error, Error::Newer { expected: 1, got: 99, .. }));
}

#[test]
fn open_refuses_another_client_and_another_upstream() {
    let (_dir, path) = made();
    let open = |identity| SqliteJournal::<Log, _>::open(&path, identity, Numbers, ()).unwrap_err();
    let error = open(Identity { client: "bob", ..ALICE });
    assert!(matches!(&error, Error::OtherClient { expected, got, .. } if (&**expected, &**got) == ("bob", "alice")));
    assert!(error.to_string().ends_with("alice.db belongs to client alice: expected client bob"), "{error}");
    let error = open(Identity { upstream: "notes", ..ALICE });
    assert!(
        matches!(&error, Error::OtherUpstream { expected, got, .. } if (&**expected, &**got) == ("notes", "todos"))
    );
    assert!(error.to_string().ends_with("alice.db belongs to upstream todos: expected upstream notes"), "{error}");
    assert_eq!(pending(&path), [1, 2]);
}

#[test]
fn open_and_write_say_that_another_process_keeps_the_file_locked() {
    let (_dir, path) = made();
    let (mut journal, _) = open(&path).unwrap();
    journal.connection().busy_timeout(Duration::ZERO).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for error in [open(&path).unwrap_err(), journal.write(&[told(1, &[3])]).unwrap_err()] {
        assert!(matches!(error, Error::Locked { .. }), "{error}");
        assert!(error.to_string().ends_with("alice.db is locked by another process"), "{error}");
    }
    other.execute_batch("ROLLBACK").unwrap();
    journal.write(&[told(1, &[3])]).unwrap();
    assert_eq!(pending(&path), [1, 2, 3]);
}

/// What it has read of the file before it waited would not be what is there then.
#[test]
fn open_and_write_wait_for_another_connection_that_writes() {
    let (_dir, path) = made();
    let (journal, _) = open(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    let while_other_writes = |act: Box<dyn FnOnce() + Send>| {
        other.execute_batch("BEGIN IMMEDIATE; INSERT INTO theirs VALUES (1)").unwrap();
        let acts = thread::spawn(act);
        // So long it has to come to where it waits; if it has not, it need not wait.
        thread::sleep(Duration::from_millis(100));
        other.execute_batch("COMMIT").unwrap();
        acts.join().unwrap();
    };
    let mut journal = journal;
    while_other_writes(Box::new(move || journal.write(&[told(1, &[3])]).unwrap()));
    let at = path.clone();
    while_other_writes(Box::new(move || assert_eq!(pending(&at), [1, 2, 3])));
}

#[test]
fn write_says_that_the_disk_is_full_and_goes_on_when_there_is_room() {
    let (_dir, path) = made();
    let (mut journal, _) = open(&path).unwrap();
    let pages = |journal: &SqliteJournal<Log, Numbers>, count: u32| {
        let limit = format!("PRAGMA max_page_count = {count}");
        journal.connection().query_row(&limit, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    let few = pages(&journal, 1) + 3;
    pages(&journal, few);
    let mut durable = vec![1, 2];
    let changes: Vec<_> = (1..).map(|number| told(number, &[number as u32; 100])).take(50).collect();
    let first = changes.iter().take_while(|change| journal.write(std::slice::from_ref(change)).is_ok()).count();
    assert!(first > 0 && first < changes.len());
    let error = journal.write(&changes[first..]).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(error.to_string().ends_with("alice.db cannot be written: the disk is full"), "{error}");
    durable.extend((1..=first as u32).flat_map(|number| [number; 100]));
    let now: Vec<u32> = pending(&path);
    assert_eq!(now, durable, "what was durable is there, and nothing else");
    pages(&journal, u32::MAX);
    journal.write(&changes[first..]).unwrap();
    assert_eq!(pending(&path).len(), 2 + 50 * 100);
}

#[test]
fn write_says_that_the_file_may_not_be_written() {
    let (_dir, path) = made();
    let (mut journal, _) = open(&path).unwrap();
    journal.connection().pragma_update(None, "query_only", true).unwrap();
    let error = journal.write(&[told(1, &[3])]).unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error}");
    assert!(error.to_string().ends_with("alice.db cannot be written: no permission"), "{error}");
    assert_eq!(pending(&path), [1, 2]);
}

/// Modes do not bind root: then this test runs again as another user.
#[cfg(unix)]
#[test]
fn open_refuses_a_file_that_may_not_be_written() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    const PATH: &str = "LATCHWORK_SQLITE_READ_ONLY";
    const UNPRIVILEGED: u32 = 65534;
    if let Ok(path) = std::env::var(PATH) {
        is_refused(Path::new(&path), "cannot be written: no permission");
        return;
    }
    let (dir, path) = made();
    let program = dir.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&program, 0o755);
    let beside = dir.path().join("beside");
    fs::create_dir(&beside).unwrap();
    fs::rename(&path, beside.join("alice.db")).unwrap();
    mode(&beside.join("alice.db"), 0o444);
    mode(dir.path(), 0o755);
    mode(&beside, 0o755);
    let mut again = Command::new(&program);
    again.args(["--exact", "files::open_refuses_a_file_that_may_not_be_written"]);
    again.env(PATH, beside.join("alice.db"));
    if fs::metadata(dir.path()).unwrap().uid() == 0 {
        again.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }
    match again.output() {
        Err(error) => println!("skipped: root may not be another user here: {error}"),
        Ok(output) => assert!(output.status.success(), "{output:?}"),
    }
}

#[test]
fn write_refuses_a_file_that_another_journal_has_taken_over() {
    let (_dir, path) = made();
    let (mut first, _) = open(&path).unwrap();
    first.write(&[told(1, &[3])]).unwrap();
    let (mut second, held) = open(&path).unwrap();
    assert_eq!(held.pending.len(), 3);
    second.write(&[told(1, &[4])]).unwrap();
    let error = first.write(&[told(2, &[5])]).unwrap_err();
    assert!(matches!(error, Error::TakenOver { .. }), "{error}");
    assert!(error.to_string().ends_with("alice.db has been taken over by another process"), "{error}");
    assert_eq!(pending(&path), [1, 2, 3, 4]);
}

/// A file has one writer: a replicator whose file another process has opened since sends nothing, and says why.
#[test]
fn write_of_a_replicator_whose_file_was_taken_over_waits_for_the_owner() {
    let (_dir, path) = made();
    let (journal, _) = open(&path).unwrap();
    let upstream = Memory::new(0);
    let log = Log::rebasing().with_pending(0, [1, 2]);
    let builder = Replicator::builder(log, upstream.clone()).journal(journal);
    let (mut other, _) = open(&path).unwrap();
    other.write(&[told(1, &[3])]).unwrap();
    let replicator = builder.spawn().unwrap();
    let _ticket = replicator.commit(vec![4]).unwrap();
    let failed = |status: &Status<u64>| matches!(status.waiting_on, WaitingOn::Owner(Failure::Journal { .. }));
    let status = replicator.status_when(failed).wait().unwrap();
    let WaitingOn::Owner(failure) = status.waiting_on else { unreachable!("it is what was waited for") };
    assert!(failure.to_string().contains("alice.db has been taken over by another process"), "{failure}");
    assert!(!upstream.entries().iter().any(|entry| entry.event == 4));
    drop(replicator);
    assert_eq!(pending(&path), [1, 2, 3]);
}

/// The one that was opened first has written since: what the other one was told then is not what is there.
#[test]
fn write_refuses_a_file_that_is_not_what_it_was_when_the_journal_was_opened() {
    let (_dir, path) = made();
    let (mut first, _) = open(&path).unwrap();
    first.write(&[told(1, &[3])]).unwrap();
    let (mut second, _) = open(&path).unwrap();
    first.write(&[told(2, &[4])]).unwrap();
    assert!(matches!(second.write(&[told(1, &[5])]).unwrap_err(), Error::TakenOver { .. }));
    first.write(&[told(3, &[6])]).unwrap();
    assert_eq!(pending(&path), [1, 2, 3, 4, 6]);
}

#[test]
fn write_refuses_changes_that_do_not_follow() {
    let (_dir, path) = made();
    let (mut journal, _) = open(&path).unwrap();
    let error = journal.write(&[told(2, &[3])]).unwrap_err();
    let absent = ChangeError::OutOfOrder { expected: 1, got: 2 };
    assert!(matches!(error, Error::Change { error, .. } if error == absent), "{error}");
    let Changed::Committed { entries: confirmed } = committed(&[1, 2, 3]) else { unreachable!() };
    let merged = Changed::Merged(Merged::Advance { new: Vec::new(), confirmed });
    let error = journal.write(&[Change::new(1, merged, 3)]).unwrap_err();
    let absent = ChangeError::Absent { pending: 2, needed: 3 };
    assert!(matches!(error, Error::Change { error, .. } if error == absent), "{error}");
    assert_eq!(pending(&path), [1, 2]);
}

#[test]
fn open_refuses_what_its_codec_cannot_read() {
    let (_dir, path) = made();
    Connection::open(&path).unwrap().execute("UPDATE latchwork_pending SET entry = x'01' WHERE place = 2", []).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, Error::Codec { .. }), "{error}");
    assert!(error.to_string().contains("alice.db holds what cannot be read: "), "{error}");
}

#[test]
fn tables_that_fail_undo_everything_and_say_why() {
    let (_dir, path) = made();
    let mut fails = true;
    let tables = move |transaction: &Transaction<'_>, _: &[Told]| {
        transaction.execute_batch("CREATE TABLE IF NOT EXISTS mine (x)")?;
        if std::mem::take(&mut fails) { Err("no such todo".into()) } else { Ok(()) }
    };
    let (mut journal, _) = open_with(&path, tables).unwrap();
    let error = journal.write(&[told(1, &[3])]).unwrap_err();
    assert!(error.to_string().ends_with("alice.db cannot be written: no such todo"), "{error}");
    assert!(matches!(error, Error::Tables { .. }));
    assert!(journal.connection().prepare("SELECT * FROM mine").is_err());
    journal.write(&[told(1, &[3])]).unwrap();
    assert!(journal.connection().prepare("SELECT * FROM mine").is_ok());
    assert_eq!(pending(&path), [1, 2, 3]);
}

/// If SQLite refuses them, it refuses all: the error is what it would be of the journal's own rows.
#[test]
fn tables_that_sqlite_refuses_are_told_from_those_that_are_wrong() {
    let (_dir, path) = made();
    for code in [ffi::SQLITE_FULL, ffi::SQLITE_BUSY, ffi::SQLITE_READONLY, ffi::SQLITE_CONSTRAINT] {
        let tables = move |_: &Transaction<'_>, _: &[Told]| -> Result<(), BoxError> {
            Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into())
        };
        let (mut journal, _) = open_with(&path, tables).unwrap();
        let error = journal.write(&[told(1, &[3])]).unwrap_err();
        let is_told = match code {
            ffi::SQLITE_FULL => matches!(error, Error::Full { .. }),
            ffi::SQLITE_BUSY => matches!(error, Error::Locked { .. }),
            ffi::SQLITE_READONLY => matches!(error, Error::ReadOnly { .. }),
            _ => matches!(error, Error::Tables { .. }),
        };
        assert!(is_told, "{code}: {error}");
    }
}

/// What is pending is read for them as the journal is opened, and after a write that has failed.
#[test]
fn tables_are_loaded_again_after_a_write_that_has_failed_and_at_no_other_time() {
    struct Loaded(Arc<AtomicUsize>);
    impl Tables<Log> for Loaded {
        fn load(&mut self, _: &Transaction<'_>, _: &latchwork_sqlite::Held<Log>) -> Result<(), BoxError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        fn write(&mut self, _: &Transaction<'_>, changes: &[Told]) -> Result<(), BoxError> {
            if changes.len() > 1 { Err("one at a time".into()) } else { Ok(()) }
        }
    }
    let (_dir, path) = made();
    let loaded = Arc::new(AtomicUsize::new(0));
    let (mut journal, _) = open_with(&path, Loaded(Arc::clone(&loaded))).unwrap();
    let mut loads = |from: u64, to: u64| {
        let changes: Vec<_> = (from..=to).map(|number| told(number, &[3])).collect();
        (journal.write(&changes).is_ok(), loaded.load(Ordering::Relaxed))
    };
    assert_eq!([loads(1, 1), loads(2, 2)], [(true, 1); 2]);
    assert_eq!([loads(3, 4), loads(3, 3), loads(4, 4)], [(false, 1), (true, 2), (true, 2)]);
}
