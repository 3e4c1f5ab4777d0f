//! A sync engine as it is written by hand: an outbox table, a writer that commits what has gathered, and a thread that pushes
//! and pulls.
//!
//! It does node-sync's job on the same upstream's terms, and no more than that. What it does not have: pushes whose outcome is
//! unknown, refusals, deadlines, backoff, decisions, a status, updates, an upstream that comes and goes, and edits of which
//! the last one does not win. A file that cannot be used is a panic.

use std::collections::{HashMap, VecDeque};
use std::mem::take;
use std::path::Path;
use std::thread;
use std::time::Duration;

use node_sync::event::{Change, Edit};
use node_sync::job::Job;
use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::{Connection, Transaction, TransactionBehavior};

/// How long a client that has nothing to push waits before it looks for news.
const LOOK: Duration = Duration::from_millis(1);

const CLIENT: &str = "
    CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY, client TEXT NOT NULL, number INTEGER NOT NULL,
        edit TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY, edit TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS todos (todo TEXT PRIMARY KEY, title TEXT NOT NULL, done INTEGER NOT NULL) WITHOUT ROWID;";

const UPSTREAM: &str = "
    CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY, client TEXT NOT NULL, number INTEGER NOT NULL,
        edit TEXT NOT NULL);";

/// How commits become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All that have gathered in one transaction, and so many may be on their way there.
    Group(u64),
    /// Each in a transaction of its own, under a fair lock.
    Each,
    /// The same, and nothing is synced.
    Alone,
}

#[derive(Debug, Clone)]
struct Row {
    client: String,
    number: u64,
    text: String,
}

/// What the writer has to write.
enum Work {
    Commit(Row),
    /// What upstream has ordered after the row of this number.
    Ordered(u64, Vec<Row>),
}

/// A client's file.
struct File {
    db: Connection,
    client: String,
    /// How many edits of each todo are in the outbox: then the last of them wins.
    mine: HashMap<String, u32>,
}

#[derive(Default)]
struct State {
    queue: Vec<Work>,
    /// How many own events have been committed, how many are durable, and how many upstream has.
    committed: u64,
    durable: u64,
    confirmed: u64,
    /// Durable, and not taken by upstream.
    outbox: VecDeque<Row>,
    /// How much of upstream's log is written here.
    applied: u64,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn wait_while(&self, mut condition: impl FnMut(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| condition(state));
        state
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }
}

fn open(path: &Path, schema: &str) -> Connection {
    let db = Connection::open(path).expect("the file can be opened");
    db.busy_timeout(Duration::from_secs(10)).expect("it waits");
    db.pragma_update(None, "journal_mode", "wal").expect("it has a write-ahead log");
    db.pragma_update(None, "synchronous", "full").expect("it is synced");
    db.set_prepared_statement_cache_capacity(32);
    db.execute_batch(schema).expect("it has its tables");
    db
}

/// Makes the files.
pub fn prepare(dir: &Path, job: &Job) {
    drop(open(&dir.join("upstream.db"), UPSTREAM));
    for share in job.shares() {
        drop(open(&dir.join(format!("{}.db", share.client)), CLIENT));
    }
}

impl File {
    fn write(&mut self, work: &[Work]) -> rusqlite::Result<()> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for work in work {
            match work {
                Work::Commit(row) => {
                    transaction
                        .prepare_cached("INSERT INTO outbox VALUES (?1, ?2)")?
                        .execute((row.number, &row.text))?;
                    let edit = edit(&row.text);
                    put(&transaction, &edit)?;
                    *self.mine.entry(edit.todo).or_default() += 1;
                }
                Work::Ordered(after, rows) => {
                    for (seq, row) in (after + 1..).zip(rows) {
                        append(&transaction, seq, row)?;
                        let edit = edit(&row.text);
                        if row.client == self.client {
                            transaction
                                .prepare_cached("DELETE FROM outbox WHERE number = ?1")?
                                .execute([row.number])?;
                            let left = self.mine.get_mut(&edit.todo).expect("it was in the outbox");
                            *left -= 1;
                            if *left == 0 {
                                self.mine.remove(&edit.todo);
                            }
                        } else if !self.mine.contains_key(&edit.todo) {
                            put(&transaction, &edit)?;
                        }
                    }
                }
            }
        }
        transaction.commit()
    }
}

fn edit(text: &str) -> Edit {
    serde_json::from_str(text).expect("an edit was written")
}

fn put(db: &Transaction<'_>, edit: &Edit) -> rusqlite::Result<()> {
    let Change::Put(title) = &edit.change else { unreachable!("the job has no other edits") };
    db.prepare_cached("INSERT OR REPLACE INTO todos VALUES (?1, ?2, 0)")?.execute((&edit.todo, title)).map(drop)
}

fn append(db: &Transaction<'_>, seq: u64, row: &Row) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached("INSERT INTO log VALUES (?1, ?2, ?3, ?4)")?;
    insert.execute((seq, &row.client, row.number, &row.text)).map(drop)
}

/// Appends what follows `base`. Returns whether it did: `base` is the end.
fn push(upstream: &mut Connection, base: u64, rows: &[Row]) -> rusqlite::Result<bool> {
    let transaction = upstream.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let head = "SELECT coalesce(max(seq), 0) FROM log";
    let head: u64 = transaction.prepare_cached(head)?.query_row([], |row| row.get(0))?;
    if head != base {
        return Ok(false);
    }
    (base + 1..).zip(rows).try_for_each(|(seq, row)| append(&transaction, seq, row))?;
    transaction.commit().map(|()| true)
}

fn pull(upstream: &Connection, base: u64, page: usize) -> rusqlite::Result<Vec<Row>> {
    let select = "SELECT client, number, edit FROM log WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let row = |row: &rusqlite::Row<'_>| Ok(Row { client: row.get(0)?, number: row.get(1)?, text: row.get(2)? });
    upstream.prepare_cached(select)?.query_map((base, page), row)?.collect()
}

/// Does a client's work, until everything has arrived and is durable.
pub fn work(dir: &Path, job: &Job, index: usize, mode: Mode) {
    let (share, all) = (&job.shares()[index], job.events());
    let own = share.events(job);
    let file = File {
        db: open(&dir.join(format!("{}.db", share.client)), CLIENT),
        client: share.client.clone(),
        mine: HashMap::new(),
    };
    let (file, shared) = (Mutex::new(file), Shared::default());
    thread::scope(|scope| {
        if let Mode::Group(_) = mode {
            scope.spawn(|| while write(&mut file.lock(), &shared) {});
        }
        if mode != Mode::Alone {
            scope.spawn(|| sync(&dir.join("upstream.db"), job, &share.client, &file, &shared, mode));
        }
        for number in 0..own {
            let text = serde_json::to_string(&share.edit(job, number)).expect("an edit is plain data");
            let row = Row { client: share.client.clone(), number, text };
            let max_pending = job.max_pending.get() as u64;
            let is_full = |state: &State| mode != Mode::Alone && state.committed - state.confirmed >= max_pending;
            match mode {
                Mode::Group(window) => {
                    let mut state =
                        shared.wait_while(|state| is_full(state) || state.committed - state.durable >= window);
                    state.committed += 1;
                    state.queue.push(Work::Commit(row));
                    drop(state);
                    shared.changed.notify_all();
                }
                Mode::Each | Mode::Alone => {
                    shared.wait_while(is_full).committed += 1;
                    now(&file, &shared, Work::Commit(row));
                }
            }
        }
        drop(shared.wait_while(|state| state.durable < own || (mode != Mode::Alone && state.applied < all)));
        shared.change(|state| state.ended = true);
    });
}

/// Writes what has gathered. Returns whether there may be more.
fn write(file: &mut File, shared: &Shared) -> bool {
    let work = take(&mut shared.wait_while(|state| state.queue.is_empty() && !state.ended).queue);
    if work.is_empty() {
        return false;
    }
    file.write(&work).expect("the client's file can be written");
    shared.change(|state| work.into_iter().for_each(|work| state.wrote(work)));
    true
}

/// Writes this alone.
fn now(file: &Mutex<File>, shared: &Shared, work: Work) {
    let work = [work];
    let mut locked = file.lock();
    locked.write(&work).expect("the client's file can be written");
    let [work] = work;
    shared.change(|state| state.wrote(work));
    MutexGuard::unlock_fair(locked);
}

impl State {
    fn wrote(&mut self, work: Work) {
        match work {
            Work::Commit(row) => {
                self.durable += 1;
                self.outbox.push_back(row);
            }
            Work::Ordered(after, rows) => self.applied = after + rows.len() as u64,
        }
    }
}

/// Pushes what is durable and pulls what others did, until everything has been pulled.
fn sync(path: &Path, job: &Job, client: &str, file: &Mutex<File>, shared: &Shared, mode: Mode) {
    let (mut upstream, mut base) = (open(path, UPSTREAM), 0);
    let hand_over = |base: &mut u64, rows: Vec<Row>| {
        let (own, count) = (rows.iter().filter(|row| row.client == client).count(), rows.len() as u64);
        let ordered = Work::Ordered(*base, rows);
        *base += count;
        shared.change(|state| state.confirmed += own as u64);
        match mode {
            Mode::Group(_) => shared.change(|state| state.queue.push(ordered)),
            Mode::Each | Mode::Alone => now(file, shared, ordered),
        }
    };
    while base < job.events() {
        let batch: Vec<_> = shared.state.lock().outbox.iter().take(job.push_batch.get()).cloned().collect();
        if !batch.is_empty() && push(&mut upstream, base, &batch).expect("upstream can be written") {
            shared.state.lock().outbox.drain(..batch.len());
            hand_over(&mut base, batch);
            continue;
        }
        let page = pull(&upstream, base, job.page.get()).expect("upstream can be read");
        if !page.is_empty() {
            hand_over(&mut base, page);
            continue;
        }
        let mut state = shared.state.lock();
        if state.outbox.is_empty() {
            shared.changed.wait_for(&mut state, LOOK);
        }
    }
}
