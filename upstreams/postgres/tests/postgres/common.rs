//! What the tests share: texts as events.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use latchwork::contract::Proxy;
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, BoxError, Codec, PullError, PushError};
use latchwork_postgres::tokio_postgres::{Client, Config, NoTls};
use latchwork_postgres::{Database, PostgresUpstream};
use tokio::time::{sleep, timeout};

/// How long anything may take that is to come.
pub const LIMIT: Duration = Duration::from_secs(60);

pub type Log = MemoryLog<String>;
pub type Entry = MemoryEntry<String>;
pub type Upstream = PostgresUpstream<Log, Text>;

/// Texts as bytes.
#[derive(Debug, Clone, Copy)]
pub struct Text;

impl Codec<Log> for Text {
    fn number(&self, position: u64) -> u64 {
        position
    }
    fn position(&self, number: u64) -> u64 {
        number
    }
    fn entry_to_bytes(&self, entry: &Entry) -> Vec<u8> {
        entry.event.clone().into_bytes()
    }
    fn entry_from_bytes(&self, position: u64, bytes: &[u8]) -> Result<Entry, BoxError> {
        Ok(MemoryEntry { position, event: std::str::from_utf8(bytes)?.to_owned() })
    }
}

pub fn config(url: &str) -> Config {
    url.parse().unwrap()
}

/// The server's database, as clients are told of it who are to go through a proxy.
pub fn through(proxy: &Proxy) -> String {
    format!("postgres://postgres@{}/postgres", proxy.address())
}

/// Another client of the database: its administrator.
pub async fn admin(url: &str) -> Client {
    let (client, connection) = config(url).connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Waits until a session waits for a lock.
pub async fn blocked(admin: &Client) -> i32 {
    let waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    loop {
        if let Some(row) = admin.query_opt(waits, &[]).await.unwrap() {
            return row.get(0);
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// A log of this name, made if there is none.
pub async fn log(url: &str, name: &str) -> Upstream {
    let database = Database::new(config(url));
    let identity = database.create_log(name).await.unwrap();
    database.upstream(name, identity, Text)
}

pub fn batch(base: u64, events: &[&str]) -> Batch<Log> {
    let entries = (base + 1..).zip(events).map(|(position, &event)| Entry { position, event: event.to_owned() });
    Batch::new(base, entries.collect())
}

pub fn push<'a>(
    upstream: &'a Upstream,
    base: u64,
    events: &[&str],
) -> impl Future<Output = Result<(), PushError<u64>>> + use<'a> {
    let batch = batch(base, events);
    // Lets a test fail, and not hang.
    async move { timeout(LIMIT, upstream.push(&batch)).await.expect("an answer") }
}

/// All that follows the cursor.
pub async fn pull(upstream: &Upstream, cursor: u64) -> Result<Vec<Entry>, PullError> {
    let (mut pull, mut entries) = (upstream.pull(cursor), Vec::new());
    loop {
        let page = timeout(LIMIT, pull.next_page()).await.expect("a page").unwrap()?;
        entries.extend(page.entries);
        if page.more == latchwork::upstream::More::None {
            return Ok(entries);
        }
    }
}

pub async fn texts(upstream: &Upstream) -> Vec<String> {
    pull(upstream, 0).await.unwrap().into_iter().map(|entry| entry.event).collect()
}

/// A push as a word: its outcome.
pub fn word(outcome: &Result<(), PushError<u64>>) -> String {
    match outcome {
        Ok(()) => "taken".to_owned(),
        Err(PushError::Behind { head }) => format!("behind {head:?}"),
        Err(PushError::Unavailable { .. }) => "unavailable".to_owned(),
        Err(PushError::Uncertain { .. }) => "uncertain".to_owned(),
        Err(PushError::Rejected { index, .. }) => format!("rejected {index}"),
        Err(PushError::TooLarge { .. }) => "too large".to_owned(),
        Err(PushError::Fatal { kind, .. }) => format!("fatal {kind:?}"),
        Err(other) => panic!("an outcome that no push has: {other}"),
    }
}

/// A pull as a word.
pub fn word_of_pull(outcome: &Result<Vec<Entry>, PullError>) -> String {
    match outcome {
        Ok(entries) => format!("{} events", entries.len()),
        Err(PullError::Unavailable { .. }) => "unavailable".to_owned(),
        Err(PullError::Fatal { kind, .. }) => format!("fatal {kind:?}"),
        Err(other) => panic!("an outcome that no pull has: {other}"),
    }
}

/// While this is there the clock stands still, so that who waits for a time goes on waiting, however slow the machine is.
pub struct Still {
    _ends: mpsc::Sender<()>,
}

impl Still {
    pub fn new() -> Self {
        let (ends, end) = mpsc::channel();
        // A clock that is paused goes on as soon as each task waits, but not beside this one.
        tokio::task::spawn_blocking(move || end.recv());
        tokio::time::pause();
        Self { _ends: ends }
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}

/// What comes of a call that waits for no time.
pub async fn at_once<T>(call: impl Future<Output = T>) -> T {
    let _still = Still::new();
    let (given_up, is_given_up) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        thread::sleep(LIMIT);
        _ = given_up.send(());
    });
    tokio::select! {
        outcome = call => outcome,
        _ = is_given_up => panic!("it waits for a time to pass"),
    }
}
