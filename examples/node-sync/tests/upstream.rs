//! The upstream file, with logs in memory on top of it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use latchwork::contract::Contract;
use latchwork::log::{Log, MemoryEntry, MemoryLog};
use latchwork::protocol::{Failure, WaitingOn};
use latchwork::upstream::{Batch, FatalKind, More, PullError, PushError, Upstream};
use latchwork::{Interrupt, Replicator, Settled};
use node_sync::check;
use node_sync::client;
use node_sync::event::{Change, Edit, SharedEvent, TodoEvent};
use node_sync::file::{FileError, Kind};
use node_sync::upstream::SqliteUpstream;
use rusqlite::Connection;

const SOON: Duration = Duration::from_secs(30);

type Todos = MemoryLog<SharedEvent>;
type Client = Replicator<Todos>;

fn event(client: &str, number: u64) -> SharedEvent {
    let edit = Edit { todo: format!("{client}-{number}"), change: Change::Put("milk".into()) };
    Arc::new(TodoEvent { client: client.into(), number, edit })
}

fn client(path: &Path) -> Client {
    Replicator::builder(Todos::rebasing(), SqliteUpstream::open(path, 10).unwrap()).spawn().unwrap()
}

fn log(path: &Path) -> Vec<(u64, String, u64)> {
    let db = Connection::open(path).unwrap();
    let mut select = db.prepare("SELECT seq, client, number FROM log ORDER BY seq").unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn two_clients_that_commit_at_once_are_ordered_without_gap_loss_or_repetition() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("upstream.db");
    let clients = [("alice", client(&path)), ("bob", client(&path))];
    std::thread::scope(|scope| {
        for (name, client) in &clients {
            scope.spawn(move || (0..100).for_each(|number| drop(client.commit(vec![event(name, number)]).unwrap())));
        }
    });
    for (_, client) in &clients {
        client.flush(SOON).unwrap();
    }
    let log = log(&path);
    assert!(log.iter().map(|row| row.0).eq(1..=200));
    for (name, _) in &clients {
        assert!(log.iter().filter(|row| row.1 == *name).map(|row| row.2).eq(0..100), "{name}");
    }
}

#[test]
fn a_batch_is_taken_only_if_it_follows_the_head_and_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("upstream.db");
    let upstream = SqliteUpstream::open(&path, 10).unwrap();
    let push = |base, entries: Vec<MemoryEntry<SharedEvent>>| {
        let batch = Batch::<Todos>::new(base, entries);
        upstream.push(&batch, &Interrupt::new())
    };
    let entries = Todos::new().number((0..3).map(|number| event("alice", number)).collect()).unwrap();
    push(0, entries[..2].to_vec()).unwrap();
    let behind = push(0, entries[..2].to_vec());
    assert!(matches!(behind, Err(PushError::Behind { head: Some(2) })), "{behind:?}");
    // It begins where it should, and does not go on so.
    let broken = push(2, vec![entries[2].clone(), entries[1].clone()]);
    assert!(matches!(broken, Err(PushError::Fatal { kind: FatalKind::Other, .. })), "{broken:?}");
    assert_eq!(log(&path).len(), 2);
    push(2, entries[2..].to_vec()).unwrap();
    assert!(log(&path).into_iter().eq((1..=3).map(|seq| (seq, "alice".to_owned(), seq - 1))));
}

/// What a client has just sent it does not read from the file.
#[test]
fn a_client_that_has_sent_what_is_pulled_pulls_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let open = || SqliteUpstream::open(&dir.path().join("upstream.db"), 2).unwrap();
    let (alice, bob) = (open(), open());
    let mut head = 0;
    for (sender, name, count) in [(&bob, "bob", 1), (&alice, "alice", 2), (&alice, "alice", 5), (&bob, "bob", 2)] {
        let numbers = head..head + count;
        let entries = numbers.map(|number| MemoryEntry { position: number + 1, event: event(name, number) });
        sender.push(&Batch::<Todos>::new(head, entries.collect()), &Interrupt::new()).unwrap();
        head += count;
        for cursor in 0..head {
            let pulled = |upstream: &SqliteUpstream| {
                let (interrupt, mut all) = (Interrupt::new(), Vec::new());
                for page in Upstream::<Todos>::pull(upstream, cursor, &interrupt).map(Result::unwrap) {
                    assert!((1..=2).contains(&page.entries.len()));
                    all.extend(page.entries);
                    match page.more {
                        More::None => return all,
                        more => assert_eq!(more, More::Events(head - cursor - all.len() as u64)),
                    }
                }
                unreachable!("it does not end by itself")
            };
            let expected = pulled(&open());
            assert_eq!(expected.len() as u64, head - cursor);
            assert_eq!([pulled(&alice), pulled(&bob)], [expected.clone(), expected], "after {cursor} of {head}");
        }
    }
}

fn contract() -> Contract<Todos> {
    Contract::new(Todos::rebasing, |number| event("alice", number))
}

#[test]
fn the_upstream_file_keeps_the_contract_of_an_upstream() {
    let laws = contract().upstream(|| {
        let dir = tempfile::tempdir().unwrap();
        move || SqliteUpstream::open(&dir.path().join("upstream.db"), 10).unwrap()
    });
    laws.unwrap();
    let laws = contract().upstream_of_another(|| {
        let path = tempfile::tempdir().unwrap().keep().join("upstream.db");
        let stranger = SqliteUpstream::open(&path, 10).unwrap();
        Connection::open(&path).unwrap().execute_batch("UPDATE identity SET id = 'another'").unwrap();
        (SqliteUpstream::open(&path, 10).unwrap(), stranger)
    });
    laws.unwrap();
}

#[test]
fn a_push_into_a_locked_file_is_unavailable_and_goes_through_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("upstream.db");
    let client = client(&path);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ticket = client.commit(vec![event("alice", 0)]).unwrap();
    let status = client.status_when(|status| status.counters.unavailable > 0).wait().unwrap();
    assert_eq!((status.counters.uncertain, log(&path).len()), (0, 0));
    other.execute_batch("COMMIT").unwrap();
    assert!(matches!(ticket.wait(), Settled::Confirmed(_)));
    assert_eq!(log(&path).len(), 1);
}

#[test]
fn an_upstream_that_became_another_one_is_fatal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("upstream.db");
    let client = client(&path);
    Connection::open(&path).unwrap().execute_batch("UPDATE identity SET id = 'another'").unwrap();
    drop(client.commit(vec![event("alice", 0)]).unwrap());
    let status = client.status_when(|status| status.waiting_on.is_halted()).wait().unwrap();
    let WaitingOn::Owner(failure) = status.waiting_on else { panic!("{status:?}") };
    assert!(matches!(failure, Failure::Upstream { kind: FatalKind::IdentityMismatch, .. }), "{failure}");
    assert!(log(&path).is_empty());
}

/// Others may have pushed since: the file is not empty, and still lacks what this client has been told.
#[test]
fn a_push_and_a_pull_behind_the_end_of_the_file_are_fatal() {
    let dir = tempfile::tempdir().unwrap();
    let upstream = SqliteUpstream::open(&dir.path().join("upstream.db"), 10).unwrap();
    let entries = Todos::new().number((0..3).map(|number| event("alice", number)).collect()).unwrap();
    let batch = |base, entries: &[_]| Batch::<Todos>::new(base, entries.to_vec());
    upstream.push(&batch(0, &entries[..1]), &Interrupt::new()).unwrap();
    let pushed = upstream.push(&batch(2, &entries[2..]), &Interrupt::new());
    assert!(matches!(pushed, Err(PushError::Fatal { kind: FatalKind::WentBack, .. })), "{pushed:?}");
    let interrupt = Interrupt::new();
    let pulled = Upstream::<Todos>::pull(&upstream, 2, &interrupt).next().unwrap();
    assert!(matches!(pulled, Err(PullError::Fatal { kind: FatalKind::WentBack, .. })), "{pulled:?}");
}

#[test]
fn what_is_no_upstream_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text");
    fs::write(&text, "not a database, and long enough for SQLite to see that it has the wrong header".repeat(20))
        .unwrap();
    let foreign = dir.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let client = dir.path().join("client.db");
    drop(client::Client::open(&client, "alice", "id", Arc::default()).unwrap());
    for path in [&text, &foreign, &client] {
        let before = fs::read(path).unwrap();
        let error = SqliteUpstream::open(path, 10).err().unwrap();
        let expected = if *path == text { "is not a database" } else { "another kind" };
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(fs::read(path).unwrap(), before);
    }
    assert!(matches!(SqliteUpstream::open(dir.path(), 10).err().unwrap(), FileError::Other { .. }));
}

#[test]
fn contents_of_a_file_that_is_away_are_an_error_and_make_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("upstream.db");
    for make in [false, true] {
        if make {
            fs::write(&path, "").unwrap();
        }
        let error = check::contents(&path, Kind::Upstream).unwrap_err();
        assert!(error.to_string().ends_with("upstream.db is not there any more"), "{error}");
        assert_eq!(path.metadata().map_or(0, |file| file.len()), 0, "it was made");
    }
}
