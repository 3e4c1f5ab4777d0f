//! A client's file: what it keeps, what it takes back, and what a failed transaction leaves.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use latchwork::Replicator;
use latchwork::journal::{Change as Told, Changed, Journal};
use latchwork::log::{Log, MemoryLog, Merged};
use latchwork_sqlite::Error;
use node_sync::check;
use node_sync::client::{Client, ClientLog};
use node_sync::event::{Change, Edit, Entry, SharedEvent, TodoEvent};
use node_sync::file::Kind;
use node_sync::trail::Trail;
use node_sync::upstream::SqliteUpstream;
use rusqlite::Connection;
use tempfile::TempDir;

fn edit(todo: &str, change: Change) -> Edit {
    Edit { todo: todo.into(), change }
}

fn put(todo: &str, title: &str) -> Edit {
    edit(todo, Change::Put(title.into()))
}

/// Alice's client, with her log beside its file as a replicator has it.
struct Alice {
    client: Client,
    trail: Arc<Trail>,
    told: u64,
    path: PathBuf,
    _dir: TempDir,
}

impl Alice {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (path, trail) = (dir.path().join("alice.db"), Arc::new(Trail::default()));
        let client = Client::open(&path, "alice", "id", Arc::clone(&trail)).unwrap();
        Self { client, trail, told: 0, path, _dir: dir }
    }

    fn write(&mut self, what: Changed<Entry>) -> Result<(), Error> {
        let change = Told::new(self.told + 1, what, self.client.log.upstream_head());
        Journal::<ClientLog>::write(&mut self.client.journal, &[change])?;
        self.told += 1;
        Ok(())
    }

    fn commit(&mut self, edits: Vec<Edit>) -> Vec<Entry> {
        let first = self.client.committed;
        self.client.committed += edits.len() as u64;
        let entries = self.client.log.number(events("alice", first, edits)).unwrap();
        self.client.log.admit(entries.clone()).unwrap();
        self.write(Changed::Committed { entries: entries.clone() }).unwrap();
        entries
    }

    fn merge(&mut self, page: Vec<Entry>) -> Merged<Entry> {
        let merged = self.client.log.merge(page).unwrap();
        self.write(Changed::Merged(merged.clone())).unwrap();
        merged
    }

    fn give_up(&mut self, index: usize) -> u64 {
        let given_up = self.client.log.give_up(index..index + 1).unwrap();
        self.write(Changed::GivenUp { start: index, count: 1 }).unwrap();
        given_up[0].event.number
    }

    fn pending(&self) -> Vec<Entry> {
        self.client.log.batch(NonZeroUsize::MAX)
    }

    /// The file says what the log is, and the next process begins with it.
    fn again(&mut self) {
        let client = Client::open(&self.path, "alice", "id", Arc::clone(&self.trail)).unwrap();
        assert_eq!((&client.log, client.committed), (&self.client.log, self.client.committed));
        (self.client, self.told) = (client, 0);
    }

    fn title(&self, todo: &str) -> Option<String> {
        let db = Connection::open(&self.path).unwrap();
        db.query_row("SELECT title FROM todos WHERE todo = ?1", [todo], |row| row.get(0)).ok().flatten()
    }
}

fn events(client: &str, first: u64, edits: Vec<Edit>) -> Vec<SharedEvent> {
    let event = |(number, edit)| SharedEvent::new(TodoEvent { client: client.into(), number, edit });
    (first..).zip(edits).map(event).collect()
}

/// What another client has sent, behind so many events.
fn theirs(after: u64, edits: Vec<Edit>) -> Vec<Entry> {
    MemoryLog::new().with_pending(after, []).number(events("bob", 0, edits)).unwrap()
}

#[test]
fn a_rebase_puts_pending_changes_on_top_of_what_came_in() {
    let mut alice = Alice::new();
    alice.commit(vec![put("shared", "a1"), put("mine", "m"), put("shared", "a2")]);
    assert_eq!(alice.title("shared").unwrap(), "a2");
    // On top of what Bob says, ours has the last word, and what was before is Bob's.
    let merged = alice.merge(theirs(0, vec![put("shared", "b"), put("theirs", "t"), edit("shared", Change::Done)]));
    assert!(matches!(merged, Merged::Rebase { moved: 3, .. }));
    assert_eq!(alice.trail.all_applied_again(), 4);
    assert_eq!(alice.title("shared").unwrap(), "a2");
    assert_eq!(alice.title("theirs").unwrap(), "t");
    let before = "SELECT title_before, done FROM todos WHERE todo = 'shared'";
    let before = Connection::open(&alice.path).unwrap().query_row(before, [], |row| Ok((row.get(0)?, row.get(1)?)));
    assert_eq!(before.unwrap(), ("b".to_owned(), true));
    alice.merge(alice.pending());
    assert_eq!(alice.pending(), []);
    alice.again();
    assert_eq!(check::contents(&alice.path, Kind::Client).unwrap().wrong, Vec::<String>::new());
}

/// Whatever is pending of a todo and whatever others do to it: in the end it is what the log says.
#[test]
fn todos_are_what_the_log_says_whatever_happens_to_them() {
    let all = (0..27).flat_map(|own| (0..9).map(move |others| (own, others)));
    for (own, others) in all.step_by(4) {
        let changes = |mut choice: u32, count: u32| {
            let mut next = |number: u32| {
                let change =
                    [Change::Put(format!("{number}")), Change::Done, Change::Remove][choice as usize % 3].clone();
                choice /= 3;
                edit("todo", change)
            };
            (0..count).map(&mut next).collect::<Vec<_>>()
        };
        let mut alice = Alice::new();
        alice.merge(theirs(0, vec![put("todo", "first")]));
        alice.commit(changes(own, 3));
        alice.merge(alice.pending()[..1].to_vec());
        let bobs: Vec<_> = theirs(2, changes(others, 2));
        alice.merge(bobs);
        alice.again();
        alice.merge(alice.pending());
        alice.again();
        // Bob's events have the numbers 0 and 1 twice: of what is said to be wrong, that alone.
        let wrong = check::contents(&alice.path, Kind::Client).unwrap().wrong;
        assert!(wrong.iter().all(|wrong| wrong.contains(" of bob")), "{own} {others}: {wrong:?}");
    }
}

#[test]
fn a_client_that_is_opened_again_is_the_same() {
    let mut alice = Alice::new();
    alice.again();
    let first = alice.commit(vec![put("a", "1"), put("b", "2"), put("c", "3")]);
    alice.again();
    alice.merge(first[..1].to_vec());
    alice.again();
    alice.merge(theirs(1, vec![put("y", "2")]));
    alice.again();
    alice.commit(vec![put("d", "4")]);
    alice.again();
    alice.merge(alice.pending());
    alice.again();
    alice.commit(vec![put("e", "5")]);
    alice.again();
}

#[test]
fn an_event_that_is_given_up_leaves_the_log_and_the_todos() {
    let mut alice = Alice::new();
    let first =
        alice.commit(vec![put("a", "0"), put("b", "1"), put("shared", "2"), put("shared", "3"), put("mine", "4")]);
    // From under a later change of the same todo, and with some before it that are still pending.
    assert_eq!(alice.give_up(2), 2);
    assert_eq!((alice.pending().len(), alice.title("shared").unwrap()), (4, "3".to_owned()));
    assert!(alice.client.gave_up(|number| number == 2).unwrap());
    assert!(!alice.client.gave_up(|_| false).unwrap());
    alice.again();
    // It is the first that is confirmed, and none of those before the gap besides.
    alice.merge(first[..1].to_vec());
    alice.again();
    assert_eq!(alice.give_up(1), 3);
    assert_eq!((alice.title("shared"), alice.title("mine").unwrap()), (None, "4".to_owned()));
    assert!(!alice.client.gave_up(|number| number == 2).unwrap());
    let rest = alice.pending();
    assert_eq!(rest.iter().map(|entry| entry.event.number).collect::<Vec<_>>(), [1, 4]);
    alice.merge(rest);
    let is_refused = |_: &str, number| number == 2 || number == 3;
    let Alice { client, path, _dir, .. } = alice;
    drop(client);
    assert!(check::contents_without(&path, Kind::Client, is_refused).unwrap().wrong.is_empty());
    assert!(!check::contents(&path, Kind::Client).unwrap().wrong.is_empty());
}

#[test]
fn a_transaction_that_fails_leaves_the_file_as_it_was_and_is_made_once() {
    let mut alice = Alice::new();
    alice.commit(vec![put("a", "1"), put("shared", "2")]);
    let other = Connection::open(&alice.path).unwrap();
    other
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'it is full'); END")
        .unwrap();
    let merged = alice.client.log.merge(theirs(0, vec![put("shared", "b")])).unwrap();
    let error = alice.write(Changed::Merged(merged.clone())).unwrap_err();
    assert!(error.to_string().ends_with("it is full"), "{error}");
    assert_eq!(alice.title("shared").unwrap(), "2");
    other.execute_batch("DROP TRIGGER full").unwrap();
    drop(other);
    alice.write(Changed::Merged(merged)).unwrap();
    alice.again();
    alice.merge(alice.pending());
    assert_eq!(check::contents(&alice.path, Kind::Client).unwrap().wrong, Vec::<String>::new());
}

#[test]
fn a_file_of_another_client_or_of_another_upstream_is_refused() {
    let alice = Alice::new();
    let open = |client, upstream| Client::open(&alice.path, client, upstream, Arc::default()).unwrap_err().to_string();
    let error = open("bob", "id");
    assert!(error.ends_with("belongs to client alice: expected client bob"), "{error}");
    let error = open("alice", "other");
    assert!(error.ends_with("belongs to upstream id: expected upstream other"), "{error}");
}

#[test]
fn two_clients_that_edit_one_todo_end_with_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = dir.path().join("upstream.db");
    let path = |name: &str| dir.path().join(format!("{name}.db"));
    let client = |name: &str| {
        let upstream = SqliteUpstream::open(&upstream, 7).unwrap();
        let Client { log, journal, .. } = Client::open(&path(name), name, upstream.id(), Arc::default()).unwrap();
        (name.to_owned(), Replicator::builder(log, upstream).journal(journal).spawn().unwrap())
    };
    let clients = [client("alice"), client("bob")];
    std::thread::scope(|scope| {
        for (name, client) in &clients {
            scope.spawn(move || {
                for number in 0..60 {
                    let todo = if number % 3 == 0 { "shared".to_owned() } else { format!("{name}-{number}") };
                    let event = events(name, number, vec![put(&todo, &format!("{name} {number}"))]);
                    drop(client.commit(event).unwrap());
                }
            });
        }
    });
    for (_, client) in &clients {
        client.flush(Duration::from_secs(30)).unwrap();
    }
    for (_, client) in clients {
        client.status_when(|status| status.upstream_head == 120 && status.unwritten == 0).wait().unwrap();
    }
    let alice = check::contents(&path("alice"), Kind::Client).unwrap();
    assert_eq!((alice.events, alice.todo_count, &alice.wrong), (120, 81, &Vec::new()));
    assert_eq!(check::contents(&path("bob"), Kind::Client).unwrap(), alice);
    assert_eq!(check::contents(&upstream, Kind::Upstream).unwrap(), alice);
}
