//! What the tests have in common: events that are numbers, a server, streams.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use latchwork::contract::Proxy;
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, BoxError, Codec, Page, PullError, PushError};
use latchwork_nats::async_nats::jetstream::stream::Config;
use latchwork_nats::{Connection, Form, NatsUpstream};
use servers::Error;
use servers::nats::Nats;

pub type Log = MemoryLog<u64>;
pub type Entry = MemoryEntry<u64>;
pub type Upstream = NatsUpstream<Log, Numbers>;

/// Events are numbers, in decimal digits.
#[derive(Debug, Clone, Copy)]
pub struct Numbers;

impl Codec<Log> for Numbers {
    fn number(&self, position: u64) -> u64 {
        position
    }

    fn position(&self, number: u64) -> u64 {
        number
    }

    fn entry_to_bytes(&self, entry: &Entry) -> Vec<u8> {
        entry.event.to_string().into_bytes()
    }

    fn entry_from_bytes(&self, position: u64, bytes: &[u8]) -> Result<Entry, BoxError> {
        Ok(MemoryEntry { position, event: std::str::from_utf8(bytes)?.parse()? })
    }
}

/// A name that no other stream of this process has.
pub fn name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("s{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn config(name: &str, replicas: usize) -> Config {
    Config { name: name.to_owned(), num_replicas: replicas, ..Config::default() }
}

pub async fn create(connection: &Connection, name: &str, form: Form) -> Upstream {
    Upstream::create(connection, config(name, 1), Some(form), Numbers).await.unwrap()
}

/// A stream on three servers. While those elect a leader nothing answers, and while they find each other they have no place for
/// it: then it is asked for again.
pub async fn create_on_three(connection: &Connection, name: &str, form: Option<Form>) -> Upstream {
    use latchwork_nats::Error;

    let created = async {
        loop {
            match Upstream::create(connection, config(name, 3), form, Numbers).await {
                Err(Error::NoAnswer { .. }) => {}
                Err(Error::NotMade { why, .. }) if why.contains("peer offline") => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                created => return created.unwrap(),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), created).await.expect("the servers find each other")
}

/// A batch of these events after this one.
pub fn batch(base: u64, events: impl IntoIterator<Item = u64>) -> Batch<Log> {
    let entries = (base + 1..).zip(events).map(|(position, event)| MemoryEntry { position, event });
    Batch::new(base, entries.collect())
}

pub async fn push(upstream: &Upstream, base: u64, events: impl IntoIterator<Item = u64>) -> Result<(), PushError<u64>> {
    upstream.push(&batch(base, events)).await
}

/// The first page of a pull.
pub async fn first_page(upstream: &Upstream, cursor: u64) -> Result<Page<Entry>, PullError> {
    let mut pull = upstream.pull(cursor);
    let page = tokio::time::timeout(Duration::from_secs(20), pull.next_page()).await;
    page.expect("a pull says something in time").expect("a live pull has no end")
}

/// All that is there after `cursor`.
pub async fn events(upstream: &Upstream, cursor: u64) -> Vec<u64> {
    events_or_error(upstream, cursor).await.unwrap()
}

/// The same, unless the pull fails before it says that this was all.
pub async fn events_or_error(upstream: &Upstream, cursor: u64) -> Result<Vec<u64>, PullError> {
    let mut pull = upstream.pull(cursor);
    let mut events = Vec::new();
    loop {
        let page = pull.next_page().await.expect("a live pull has no end")?;
        events.extend(page.entries.iter().map(|entry| entry.event));
        if page.more == latchwork::upstream::More::None {
            return Ok(events);
        }
    }
}

/// What lies between the servers of a cluster: from one, to another.
pub struct Ways(BTreeMap<(usize, usize), Proxy>);

impl Ways {
    /// Three servers, and the ways between them.
    pub fn start() -> Result<(Nats, Self), Error> {
        let mut ways = BTreeMap::new();
        let nats = Nats::start_apart(3, |from, to, address| {
            let way = Proxy::new(address).expect("there is a port");
            let at = way.address();
            ways.insert((from, to), way);
            at
        })?;
        Ok((nats, Self(ways)))
    }

    /// Has nothing reach this server that others send to it, or them what it sends. Its clients reach it.
    pub fn cut_off(&self, server: usize) {
        self.of(server).for_each(Proxy::swallow);
    }

    pub fn heal(&self, server: usize) {
        self.of(server).for_each(Proxy::heal);
    }

    fn of(&self, server: usize) -> impl Iterator<Item = &Proxy> {
        self.0.iter().filter(move |((from, to), _)| [from, to].contains(&&server)).map(|(_, way)| way)
    }
}
