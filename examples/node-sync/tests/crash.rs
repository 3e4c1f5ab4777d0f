//! Client processes that are killed lose nothing and apply nothing twice.
//!
//! Half of the kills are aimed: the client stands still at a [`Point`] between two of its steps, and is killed there. The
//! others come at any moment. `NODE_SYNC_KILLS` sets how many there are, `NODE_SYNC_SEED` chooses them; the kernel's
//! scheduling is not repeatable.

use std::collections::BTreeMap;
use std::env;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use node_sync::chance;
use node_sync::faults::Faults;
use node_sync::job::{Job, Share};
use node_sync::node::{client_path, upstream_path};
use node_sync::process::{ClientProcess, Message, Messages, Order};
use node_sync::trail::{Hold, Point};
use rusqlite::Connection;

/// What a client takes to get to a point, and far longer.
const LONG: Duration = Duration::from_secs(30);

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// More than can be done before the last kill. Every third event is of the todo that both edit. The second client writes each
/// commit by itself.
fn endless(index: usize) -> Job {
    let some = |number| NonZeroUsize::new(number).unwrap();
    Job {
        todos: vec![10_000_000, 10_000_000],
        edit_every: 2,
        commit_batch: some(1),
        window: some([10, 1][index]),
        push_batch: some(20),
        page: some(20),
        max_pending: some(200),
        linger: 0,
        patience: NonZeroU64::new(2000).unwrap(),
        faults: Faults::default(),
        seed: 1,
    }
}

/// A client that is to be killed.
struct Victim {
    dir: PathBuf,
    share: Share,
    process: ClientProcess,
    messages: Messages,
    /// The most commits that it has told of.
    told: u64,
}

impl Victim {
    fn start(dir: &Path, index: usize, hold: Option<Hold>) -> Self {
        Self::start_by(Path::new(env!("CARGO_BIN_EXE_node-sync")), dir, index, hold)
    }

    fn start_by(program: &Path, dir: &Path, index: usize, hold: Option<Hold>) -> Self {
        let (job, dir) = (endless(index), dir.to_owned());
        let share = job.shares()[index].clone();
        let tick = Duration::from_millis(2);
        let order = Order { dir: dir.clone(), upstream: None, job, index, time_limit: LONG, tick, hold };
        let (process, messages) = ClientProcess::start(program, &order).unwrap();
        Self { dir, share, process, messages, told: 0 }
    }

    /// Hears what it tells until it stands still, or to the end. Returns where it stands.
    fn hear(&mut self) -> Option<Point> {
        for message in &mut self.messages {
            match message.unwrap() {
                Message::Progress { committed, .. } => self.told = self.told.max(committed),
                Message::Held(point) => return Some(point),
                Message::Report(report) => panic!("it ended: {report:?}"),
                Message::Error(error) => panic!("it could not go on: {error}"),
            }
        }
        None
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        assert_eq!(self.hear(), None);
        self.has_lost_nothing();
    }

    fn has_lost_nothing(&self) {
        // Everything that it committed is either confirmed or pending, and nothing is both.
        let kept = Kept::of(&self.dir, &self.share);
        assert!(kept.committed >= self.told, "it told of {} commits: {kept:?}", self.told);
        assert_eq!(kept.confirmed + kept.pending, kept.committed, "{kept:?}");
        assert_eq!(kept.first_pending.unwrap_or(kept.committed), kept.confirmed, "{kept:?}");
    }

    /// Whether it is where it says: inside a transaction or right behind one.
    fn stands_at(&self, point: Point) {
        let kept = Kept::of(&self.dir, &self.share);
        let (own, upstream) = (client_path(&self.dir, &self.share.client), upstream_path(&self.dir));
        match point {
            Point::CommitWritten | Point::AdvanceWritten | Point::RebaseWritten => {
                assert!(is_locked(&own), "{point:?}: nothing is being written");
            }
            Point::PushWritten => assert!(is_locked(&upstream), "{point:?}: nothing is being written"),
            Point::CommitDurable => assert!(kept.committed > self.told, "{point:?}: it is acknowledged"),
            // The pull goes on, and may have brought it back by now.
            Point::PushDurable => assert!(kept.upstream > 0, "{point:?}: nothing is there"),
            Point::MergeDurable => assert!(!is_locked(&own), "{point:?}: something is being written"),
            // Of this nothing is to be seen: all others go on.
            Point::PageRead => {}
        }
    }
}

/// What the files say of a client.
#[derive(Debug)]
struct Kept {
    committed: u64,
    pending: u64,
    first_pending: Option<u64>,
    /// Its events in its own log.
    confirmed: u64,
    /// Its events in upstream's.
    upstream: u64,
}

impl Kept {
    fn of(dir: &Path, share: &Share) -> Self {
        let db = Connection::open(client_path(dir, &share.client)).unwrap();
        let own = "SELECT 1 + max(coalesce((SELECT max(CAST(entry AS TEXT) ->> 0) FROM latchwork_pending), -1),
                                  coalesce((SELECT max(number) FROM log WHERE client = ?1), -1)),
                       (SELECT count(*) FROM latchwork_pending),
                       (SELECT CAST(entry AS TEXT) ->> 0 FROM latchwork_pending ORDER BY place LIMIT 1),
                       (SELECT count(*) FROM log WHERE client = ?1)";
        let own = db.query_row(own, [&share.client], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
        let (committed, pending, first_pending, confirmed) = own.unwrap();
        let upstream = Connection::open(upstream_path(dir)).unwrap();
        let count = "SELECT count(*) FROM log WHERE client = ?1";
        let upstream = upstream.query_row(count, [&share.client], |row| row.get(0)).unwrap();
        Self { committed, pending, first_pending, confirmed, upstream }
    }
}

fn is_locked(path: &Path) -> bool {
    let db = Connection::open(path).unwrap();
    db.busy_timeout(Duration::ZERO).unwrap();
    db.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err()
}

/// The fewest todos with so many events or more.
fn todos_for(events: u64, job: &Job) -> u64 {
    (0..=events).find(|todos| todos + todos / job.edit_every >= events).unwrap()
}

#[test]
fn killed_clients_lose_nothing_and_apply_nothing_twice() {
    let (kills, seed) = (setting("NODE_SYNC_KILLS", 54), setting("NODE_SYNC_SEED", 1));
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let node_sync = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_node-sync"));
        command.args(["--edit-every", "2", "--dir"]).arg(dir);
        command
    };
    assert!(node_sync().args(["--todos", "0,0"]).output().unwrap().status.success());
    let begun = Instant::now();
    let mut landed = BTreeMap::<String, u64>::new();
    for round in 0..kills.div_ceil(2) {
        let point = Point::ALL[round as usize % Point::ALL.len()];
        let times = 1 + chance::mix(seed, &[round, 0]) % 5;
        let index = chance::mix(seed, &[round, 1]) as usize % 2;
        let mut aimed = Victim::start(dir, index, Some((point, times)));
        let other = Victim::start(dir, 1 - index, None);
        assert_eq!(aimed.hear(), Some(point), "seed {seed}, round {round}");
        aimed.stands_at(point);
        aimed.kill();
        *landed.entry(format!("{point:?}")).or_default() += 1;
        // What is tried here is any moment, so there is no event to wait for.
        sleep(Duration::from_micros(chance::mix(seed, &[round, 2]) % 20_000));
        other.kill();
        *landed.entry("at any moment".to_owned()).or_default() += 1;
    }
    let took = begun.elapsed();
    // What is left is committed and synced by clients that are not killed.
    let job = endless(0);
    let kept: Vec<_> = job.shares().iter().map(|share| Kept::of(dir, share)).collect();
    let todos: Vec<_> = kept.iter().map(|kept| todos_for(kept.committed, &job).to_string()).collect();
    let finished = node_sync().args(["--todos", &todos.join(",")]).output().unwrap();
    let said = String::from_utf8(finished.stdout).unwrap();
    println!("{} kills in {took:?}: {landed:?}\n{said}", landed.values().sum::<u64>());
    assert!(finished.status.success(), "seed {seed}: {said}");
    let events: u64 = kept.iter().map(|kept| kept.committed).sum();
    assert!(kills < 20 || events > kills, "the clients had hardly anything to lose: {events} events");
}

/// A file that may not grow any more, for any user: the journal's write fails in the middle of the job.
#[cfg(target_os = "linux")]
#[test]
fn a_client_whose_writes_fail_says_so_and_has_what_it_told_of() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let node_sync = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_node-sync"));
        command.args(["--edit-every", "2", "--dir"]).arg(dir);
        command
    };
    assert!(node_sync().args(["--todos", "0,0"]).output().unwrap().status.success());
    // In units of 512 bytes or of 1 KiB, as the shell likes. Who ignores the signal gets an error.
    let limited = dir.join("limited");
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f 400\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_node-sync"));
    std::fs::write(&limited, script).unwrap();
    std::fs::set_permissions(&limited, PermissionsExt::from_mode(0o755)).unwrap();
    let mut client = Victim::start_by(&limited, dir, 0, None);
    let (mut told, mut errors) = (0, Vec::new());
    for message in &mut client.messages {
        match message.unwrap() {
            Message::Progress { committed, .. } => told = committed,
            Message::Error(error) => errors.push(error),
            other => panic!("it cannot go on: {other:?}"),
        }
    }
    client.process.wait().unwrap();
    println!("{told} commits, and then: {errors:?}");
    let [error] = &errors[..] else { panic!("expected one sentence, got {errors:?}") };
    assert!(error.starts_with("client1: the journal could not be written: "), "{error}");
    assert!(error.ends_with("client1.db cannot be used: disk I/O error"), "{error}");
    client.told = told;
    assert!(told > 0);
    client.has_lost_nothing();

    let (job, kept) = (endless(0), Kept::of(dir, &client.share));
    let todos = todos_for(kept.committed, &job);
    let finished = node_sync().args(["--todos", &format!("{todos},5")]).output().unwrap();
    assert!(finished.status.success(), "{}", String::from_utf8(finished.stdout).unwrap());
}
