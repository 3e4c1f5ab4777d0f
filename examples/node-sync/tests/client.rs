//! A client's file: what it keeps, what it takes back, and what a failed transaction leaves.

use std::path::Path;
use std::time::Duration;

use latchwork::log::{Log, Merged};
use latchwork::{Replicator, SyncState};
use node_sync::check;
use node_sync::client::{ClientLogError, SqliteLog};
use node_sync::event::{Change, Edit, Entry, SharedEvent, TodoEvent};
use node_sync::file::Kind;
use node_sync::upstream::SqliteUpstream;
use rusqlite::Connection;

fn put(todo: &str, title: &str) -> Edit {
    Edit { todo: todo.into(), change: Change::Put(title.into()) }
}

fn commit(log: &mut SqliteLog, edits: Vec<Edit>) -> Vec<Entry> {
    let entries = log.number(edits).unwrap();
    log.admit(entries.clone()).unwrap();
    entries
}

/// What another client would have sent.
fn theirs(edits: Vec<Edit>) -> Vec<Entry> {
    let event = |(number, edit)| SharedEvent::new(TodoEvent { client: "bob".into(), number, edit });
    SyncState::default().number((0..).zip(edits).map(event)).unwrap()
}

fn title(path: &Path, todo: &str) -> Option<String> {
    let db = Connection::open(path).unwrap();
    db.query_row("SELECT title FROM todos WHERE todo = ?1", [todo], |row| row.get(0)).ok()
}

fn shape(log: &SqliteLog) -> (String, String, usize, u64) {
    let batch = log.batch(std::num::NonZeroUsize::MAX);
    (format!("{:?}", log.upstream_head()), format!("{batch:?}"), log.pending(), log.committed())
}

#[test]
fn a_rebase_puts_pending_changes_on_top_of_what_came_in() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alice.db");
    let mut log = SqliteLog::open(&path, "alice", "id").unwrap();
    commit(&mut log, vec![put("shared", "a1"), put("mine", "m"), put("shared", "a2")]);
    assert_eq!(title(&path, "shared").unwrap(), "a2");
    // On top of what Bob says, ours has the last word, and its undo is Bob's.
    let merged = log.merge(theirs(vec![put("shared", "b"), put("theirs", "t")])).unwrap();
    assert!(matches!(merged, Merged::Rebase { moved: 3, .. }));
    assert_eq!(log.reapplied(), 2);
    assert_eq!(title(&path, "shared").unwrap(), "a2");
    assert_eq!(title(&path, "theirs").unwrap(), "t");
    let undo: String = Connection::open(&path)
        .unwrap()
        .query_row("SELECT undo FROM pending WHERE todo = 'shared' ORDER BY number", [], |row| row.get(0))
        .unwrap();
    assert!(undo.contains("\"b\""), "{undo}");
    let batch = log.batch(std::num::NonZeroUsize::MAX);
    log.merge(batch).unwrap();
    assert_eq!(log.pending(), 0);
    drop(log);
    assert_eq!(check::contents(&path, Kind::Client).unwrap().wrong, Vec::<String>::new());
}

#[test]
fn a_log_that_is_opened_again_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alice.db");
    let open = || SqliteLog::open(&path, "alice", "id").unwrap();
    let mut log = open();
    let again = |log: SqliteLog| {
        let before = shape(&log);
        drop(log);
        let log = open();
        assert_eq!(shape(&log), before);
        log
    };
    log = again(log);
    let first = commit(&mut log, vec![put("a", "1"), put("b", "2"), put("c", "3")]);
    log = again(log);
    log.merge(first[..1].to_vec()).unwrap();
    log = again(log);
    let mut page = theirs(vec![put("x", "1"), put("y", "2")]);
    page.remove(0);
    log.merge(page).unwrap();
    log = again(log);
    commit(&mut log, vec![put("d", "4")]);
    log = again(log);
    let batch = log.batch(std::num::NonZeroUsize::MAX);
    log.merge(batch).unwrap();
    log = again(log);
    commit(&mut log, vec![put("e", "5")]);
    drop(again(log));
}

#[test]
fn an_event_that_is_given_up_leaves_the_log_and_the_todos() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alice.db");
    let mut log = SqliteLog::open(&path, "alice", "id").unwrap();
    let edits = vec![put("a", "0"), put("b", "1"), put("shared", "2"), put("shared", "3"), put("mine", "4")];
    let first = commit(&mut log, edits);
    let before = shape(&log);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!((log.give_up(2..3), shape(&log)), (None, before), "the file could not be written");
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    // From under a later change of the same todo, and with some before it that are still pending.
    assert_eq!(log.give_up(2..3).unwrap(), first[2..3]);
    assert_eq!((log.pending(), title(&path, "shared").unwrap()), (4, "3".to_owned()));
    assert!(log.gave_up(|number| number == 2).unwrap());
    assert!(!log.gave_up(|_| false).unwrap());
    let open = |log: SqliteLog| {
        let now = shape(&log);
        drop(log);
        let log = SqliteLog::open(&path, "alice", "id").unwrap();
        assert_eq!(shape(&log), now);
        log
    };
    log = open(log);
    // It is the first that is confirmed, and none of those before the gap besides.
    log.merge(first[..1].to_vec()).unwrap();
    log = open(log);
    assert_eq!(log.give_up(1..2).unwrap()[0].event.number, 3);
    assert_eq!((title(&path, "shared"), title(&path, "mine").unwrap()), (None, "4".to_owned()));
    assert!(!log.gave_up(|number| number == 2).unwrap());
    let rest = log.batch(std::num::NonZeroUsize::MAX);
    assert_eq!(rest.iter().map(|entry| entry.event.number).collect::<Vec<_>>(), [1, 4]);
    log.merge(rest).unwrap();
    drop(log);
    let is_refused = |_: &str, number| number == 2 || number == 3;
    assert!(check::contents_without(&path, Kind::Client, is_refused).unwrap().wrong.is_empty());
    assert!(!check::contents(&path, Kind::Client).unwrap().wrong.is_empty());
}

#[test]
fn a_transaction_that_fails_leaves_state_and_file_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alice.db");
    let mut log = SqliteLog::open(&path, "alice", "id").unwrap();
    let first = commit(&mut log, vec![put("a", "1"), put("shared", "2")]);
    let before = shape(&log);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let entries = log.number(vec![put("b", "3")]).unwrap();
    assert!(matches!(log.admit(entries.clone()), Err(ClientLogError::File(_))));
    assert_eq!(shape(&log), before);
    assert!(matches!(log.merge(first[..1].to_vec()), Err(ClientLogError::File(_))));
    assert_eq!(shape(&log), before);
    assert!(matches!(log.merge(theirs(vec![put("shared", "b")])), Err(ClientLogError::File(_))));
    assert_eq!(shape(&log), before);
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    log.admit(entries).unwrap();
    let now = shape(&log);
    drop(log);
    assert_eq!(shape(&SqliteLog::open(&path, "alice", "id").unwrap()), now);
}

#[test]
fn a_file_of_another_client_or_of_another_upstream_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alice.db");
    drop(SqliteLog::open(&path, "alice", "id").unwrap());
    let error = SqliteLog::open(&path, "bob", "id").err().unwrap();
    assert!(error.to_string().ends_with("belongs to client alice: expected client bob"), "{error}");
    let error = SqliteLog::open(&path, "alice", "other").err().unwrap();
    assert!(error.to_string().ends_with("belongs to upstream id: expected upstream other"), "{error}");
}

#[test]
fn two_clients_that_edit_one_todo_end_with_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = dir.path().join("upstream.db");
    let path = |name: &str| dir.path().join(format!("{name}.db"));
    let client = |name: &str| {
        let upstream = SqliteUpstream::open(&upstream, 7).unwrap();
        let log = SqliteLog::open(&path(name), name, upstream.id()).unwrap();
        (name.to_owned(), Replicator::builder(log, upstream).spawn().unwrap())
    };
    let clients = [client("alice"), client("bob")];
    std::thread::scope(|scope| {
        for (name, client) in &clients {
            scope.spawn(move || {
                for number in 0..60 {
                    let todo = if number % 3 == 0 { "shared".to_owned() } else { format!("{name}-{number}") };
                    drop(client.commit(vec![put(&todo, &format!("{name} {number}"))]).unwrap());
                }
            });
        }
    });
    for (_, client) in &clients {
        client.flush(Duration::from_secs(30)).unwrap();
    }
    for (_, client) in clients {
        let updates = client.updates();
        let mut head = updates.snapshot.upstream_head;
        while head.global < 120 {
            head = updates.receiver.recv().unwrap().upstream_head;
        }
    }
    let alice = check::contents(&path("alice"), Kind::Client).unwrap();
    assert_eq!((alice.events, alice.todo_count, &alice.wrong), (120, 81, &Vec::new()));
    assert_eq!(check::contents(&path("bob"), Kind::Client).unwrap(), alice);
    assert_eq!(check::contents(&upstream, Kind::Upstream).unwrap(), alice);
}
