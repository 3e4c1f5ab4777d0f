//! A process that is killed: what it said was durable is there, and nothing is there twice.
//!
//! The child commits 0, 1, 2… through a replicator and says which are durable. Its upstream is a file, so that it outlives the
//! child; it orders the parent's events among the child's, so that there are rebases. `LATCHWORK_SQLITE_KILLS` sets how often
//! the child is killed.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use latchwork::upstream::{Batch, More, Page, PullError, PushError, SharedError, Upstream};
use latchwork::{Interrupt, Replicator, Waited};
use latchwork_sqlite::rusqlite::{Connection, TransactionBehavior};

use crate::common::{Entry, Log, held, open};

const DIR: &str = "LATCHWORK_SQLITE_CHILD";
/// An event that is not the child's, and that a codec would not write: upstream's alone.
const THEIRS: u32 = 1 << 30;

/// One table, which takes what follows its last row.
struct Ordered(Mutex<Connection>);

impl Ordered {
    fn open(dir: &Path) -> Self {
        let db = Connection::open(dir.join("upstream.db")).unwrap();
        db.busy_timeout(Duration::from_secs(10)).unwrap();
        let begin = "PRAGMA journal_mode = wal; PRAGMA synchronous = off;
            CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY, event INTEGER NOT NULL)";
        db.execute_batch(begin).unwrap();
        Self(Mutex::new(db))
    }

    fn events(&self) -> Vec<u32> {
        let db = self.0.lock().unwrap();
        let mut select = db.prepare("SELECT event FROM log ORDER BY seq").unwrap();
        let events = select.query_map([], |row| row.get(0)).unwrap();
        events.map(Result::unwrap).collect()
    }

    fn append(&self, event: u32) {
        self.0.lock().unwrap().execute("INSERT INTO log (event) VALUES (?1)", [event]).unwrap();
    }
}

fn busy(error: latchwork_sqlite::rusqlite::Error) -> SharedError {
    SharedError::from(error)
}

impl Upstream<Log> for Ordered {
    fn push(&self, batch: &Batch<Log>, _: &Interrupt) -> Result<(), PushError<u64>> {
        let mut db = self.0.lock().unwrap();
        let unavailable = |error| PushError::Unavailable { retry_after: None, error: busy(error) };
        let push = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(unavailable)?;
        let head = "SELECT coalesce(max(seq), 0) FROM log";
        let head: u64 = push.query_row(head, [], |row| row.get(0)).map_err(unavailable)?;
        if head != batch.base {
            return Err(PushError::Behind { head: Some(head) });
        }
        for Entry { position, event } in &batch.entries {
            push.execute("INSERT INTO log VALUES (?1, ?2)", (position, event)).map_err(unavailable)?;
        }
        push.commit().map_err(|error| PushError::Uncertain { error: busy(error) })
    }

    fn pull<'a>(
        &'a self,
        mut cursor: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<Entry>, PullError>> + 'a {
        let look = move || {
            let entries: Vec<_> = (1..).zip(self.events()).map(|(position, event)| Entry { position, event }).collect();
            let entries = entries.into_iter().skip_while(|entry| entry.position <= cursor).collect::<Vec<_>>();
            cursor += entries.len() as u64;
            Page { entries, more: More::None }
        };
        let pause = Instant::now;
        let next = move |look: &mut dyn FnMut() -> Page<Entry>| {
            let until = pause() + Duration::from_millis(1);
            matches!(interrupt.triggered().wait_deadline(until), Waited::TimedOut).then(|| Ok(look()))
        };
        let mut look = look;
        std::iter::from_fn(move || next(&mut look))
    }
}

/// What the killed process does; nothing in a plain run.
#[test]
fn child() {
    let Ok(dir) = env::var(DIR) else { return };
    let dir = PathBuf::from(dir);
    let upstream = Ordered::open(&dir);
    let (journal, held) = open(&dir.join("journal.db")).unwrap();
    let own = upstream.events().into_iter().filter(|event| *event < THEIRS).max();
    let first = held.pending.last().map(|entry| entry.event).max(own).map_or(0, |last| last + 1);
    let log = Log::rebasing().with_pending(held.cursor, held.pending.into_iter().map(|entry| entry.event));
    let replicator = Replicator::builder(log, upstream).journal(journal).spawn().unwrap();
    let mut out = std::io::stdout();
    let mut tickets = std::collections::VecDeque::new();
    for event in first.. {
        tickets.push_back((event, replicator.commit(vec![event]).unwrap()));
        if tickets.len() > 5 {
            let (event, ticket) = tickets.pop_front().unwrap();
            assert!(ticket.durable().wait());
            writeln!(out, "durable {event}").unwrap();
        }
    }
}

fn start(dir: &Path) -> Child {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "killed::child", "--nocapture"]).env(DIR, dir);
    child.stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn what_was_durable_survives_sigkill_and_nothing_is_there_twice() {
    let kills: u64 = env::var("LATCHWORK_SQLITE_KILLS").map_or(30, |kills| kills.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let (path, upstream) = (dir.path().join("journal.db"), Ordered::open(dir.path()));
    let (mut durable, mut behind) = (None, 0);
    for round in 0..kills {
        let mut child = start(dir.path());
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut said =
            said.lines().map_while(Result::ok).filter_map(|line| Some(line.strip_prefix("durable ")?.parse().unwrap()));
        durable = durable.max(said.next());
        upstream.append(THEIRS + u32::try_from(round).unwrap());
        // What is tried here is any moment, so there is no event to wait for.
        std::thread::sleep(Duration::from_micros(round * 7919 % 15_000));
        child.kill().unwrap();
        durable = durable.max(said.max());
        child.wait().unwrap();

        let (held, ordered) = (held(&path), upstream.events());
        let (known, unknown) = ordered.split_at(usize::try_from(held.cursor).unwrap());
        let own = |events: &[u32]| events.iter().copied().filter(|event| *event < THEIRS).collect::<Vec<_>>();
        let pending = held.pending.iter().map(|entry| entry.event);
        let all: Vec<u32> = own(known).into_iter().chain(pending.clone()).collect();
        assert!(all.iter().copied().eq(0..all.len() as u32), "round {round}: {all:?}");
        assert!(durable.is_none_or(|durable| (durable as usize) < all.len()), "round {round}: {durable:?} of {all:?}");
        // What upstream took and the journal does not know yet is pending.
        assert!(own(unknown).iter().copied().eq(pending.take(own(unknown).len())), "round {round}");
        behind += usize::from(!own(unknown).is_empty());
    }
    println!(
        "{kills} kills, {behind} of them before the journal knew what upstream had taken; durable up to {durable:?}"
    );
    assert!(durable.is_some_and(|durable| u64::from(durable) > kills), "there was hardly anything to lose");

    // What is left is sent by a process that is not killed.
    let (journal, held) = open(&path).unwrap();
    let log = Log::rebasing().with_pending(held.cursor, held.pending.into_iter().map(|entry| entry.event));
    let replicator = Replicator::builder(log, Ordered::open(dir.path())).journal(journal).spawn().unwrap();
    replicator.flush(Duration::from_secs(30)).unwrap();
    assert!(replicator.shutdown(Duration::from_secs(30)).is_clean());
    let own: Vec<_> = upstream.events().into_iter().filter(|event| *event < THEIRS).collect();
    assert!(own.iter().copied().eq(0..own.len() as u32) && own.last().copied() >= durable, "{own:?}");
    assert_eq!(crate::common::pending(&path), []);
}
