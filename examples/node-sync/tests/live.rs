//! Live pulls: news comes by the bell, and without it all the same; and while there is none, nothing is done.

use std::fs;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use latchwork::Replicator;
use latchwork::log::MemoryLog;
use latchwork::replicator::{Update, Updates};
use node_sync::event::{Change, Edit, Entry, SharedEvent, TodoEvent};
use node_sync::faults::Faults;
use node_sync::job::Job;
use node_sync::node::Report;
use node_sync::process::{ClientProcess, Message, Messages, Order};
use node_sync::upstream::{SqliteUpstream, bell_path};
use rusqlite::Connection;

type Log = MemoryLog<SharedEvent>;

const HOUR: Duration = Duration::from_secs(3600);
/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

fn client(path: &Path, look_again: Duration) -> Replicator<Log> {
    let upstream = SqliteUpstream::open(path, 10).unwrap().with_look_again(look_again);
    Replicator::builder(Log::rebasing(), upstream).spawn().unwrap()
}

fn event(number: u64) -> SharedEvent {
    let edit = Edit { todo: format!("alice-{number}"), change: Change::Put("milk".into()) };
    SharedEvent::new(TodoEvent { client: "alice".into(), number, edit })
}

/// What a process leaves behind that is killed before it rings.
fn append_without_a_ring(path: &Path, number: u64) {
    let edit = serde_json::to_string(&event(number).edit).unwrap();
    let insert = "INSERT INTO log VALUES (?1, 'alice', ?2, ?3)";
    Connection::open(path).unwrap().execute(insert, (number + 1, number, edit)).unwrap();
}

type Merge = Update<Entry, u64>;

fn next(updates: &Updates<Entry, u64>, within: Duration) -> Option<Arc<Merge>> {
    updates.receiver.recv_timeout(within).ok()
}

#[test]
fn a_commit_is_heard_of_by_the_bell() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("upstream.db");
    // Bob would look again too late for this test.
    let (alice, bob) = (client(&path, HOUR), client(&path, HOUR));
    let updates = bob.updates();
    for number in 0..20 {
        drop(alice.commit(vec![event(number)]).unwrap());
        assert_eq!(next(&updates, LONG).unwrap().upstream_head, number + 1);
    }
}

#[test]
fn a_commit_without_a_ring_is_found_by_looking_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("upstream.db");
    let alice = client(&path, Duration::from_millis(50));
    let updates = alice.updates();
    drop(alice.commit(vec![event(0)]).unwrap());
    assert_eq!(next(&updates, LONG).unwrap().upstream_head, 1);
    let rung = || fs::metadata(bell_path(&path)).unwrap().modified().unwrap();
    let before = rung();
    append_without_a_ring(&path, 1);
    assert_eq!(next(&updates, LONG).unwrap().upstream_head, 2);
    assert_eq!(rung(), before, "it was the bell");
}

#[test]
fn a_bell_that_is_taken_away_makes_news_late_and_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("upstream.db");
    let bob = client(&path, Duration::from_millis(50));
    let updates = bob.updates();
    fs::remove_file(bell_path(&path)).unwrap();
    // Alice makes another bell, which Bob does not watch.
    let alice = client(&path, HOUR);
    for number in 0..3 {
        drop(alice.commit(vec![event(number)]).unwrap());
        assert_eq!(next(&updates, LONG).unwrap().upstream_head, number + 1);
    }
}

/// A client process that waits for what no client commits.
fn without_news(dir: &Path, patience: u64) -> (ClientProcess, Messages) {
    let one = NonZeroUsize::MIN;
    let job = Job {
        todos: vec![3, 1],
        edit_every: 0,
        commit_batch: one,
        window: one,
        push_batch: one,
        page: one,
        max_pending: one,
        linger: 0,
        patience: NonZeroU64::new(patience).unwrap(),
        faults: Faults::default(),
        seed: 1,
    };
    let order = Order {
        dir: dir.to_owned(),
        upstream: None,
        job,
        index: 0,
        time_limit: Duration::from_secs(60),
        tick: Duration::from_millis(100),
        hold: None,
    };
    let program = Path::new(env!("CARGO_BIN_EXE_node-sync"));
    let (client, mut messages) = ClientProcess::start(program, &order).unwrap();
    let synced = |message| matches!(message, Message::Progress { applied: 3, .. });
    assert!(messages.any(|message| synced(message.unwrap())), "it did not sync what it has");
    (client, messages)
}

/// It is asked to end. Returns what it says then.
fn report(mut client: ClientProcess, messages: Messages) -> Report {
    client.ask_to_end();
    let mut reports = messages.filter_map(|message| match message.unwrap() {
        Message::Report(report) => Some(*report),
        _ => None,
    });
    let report = reports.next().expect("it ended without a report");
    client.wait().unwrap();
    report
}

/// A pull that hears nothing says so, before the client takes it for dead.
#[test]
fn a_pull_without_news_is_not_ended_as_silent() {
    let dir = tempfile::tempdir().unwrap();
    let (client, messages) = without_news(dir.path(), 400);
    // Time is what is measured: more than twice as long as a pull may be silent.
    sleep(Duration::from_secs(1));
    let report = report(client, messages);
    assert_eq!((report.unavailable, report.last_error), (0, None));
}

#[cfg(target_os = "linux")]
#[test]
fn a_client_without_news_burns_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let (client, messages) = without_news(dir.path(), 2000);
    // User and system time, in hundredths of a second.
    let stat = format!("/proc/{}/stat", client.id());
    let burnt = || -> u64 {
        let stat = fs::read_to_string(&stat).unwrap();
        let after_the_name = stat.rsplit_once(')').unwrap().1.split_whitespace();
        after_the_name.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    };
    let before = burnt();
    // Time is what is measured.
    sleep(Duration::from_secs(2));
    let burnt = burnt() - before;
    println!("{burnt} hundredths of a second in 2 seconds");
    assert!(burnt <= 4, "expected next to nothing, got {burnt} hundredths of a second in 2 seconds");
    report(client, messages);
}
