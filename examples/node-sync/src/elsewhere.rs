//! Upstreams that are not one file: on servers, or in an object store.
//!
//! What differs from one to the other is here: how it is written as an [`Address`], how it is [opened](open), and how its
//! events are bytes. Clients, their files and the check do not know which one it is.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use latchwork::Interrupt;
use latchwork::upstream::{Batch, BoxError, Codec, ForThreads, More, Page, PullError, PushError, Upstream};
use latchwork_nats::async_nats::jetstream;
use latchwork_nats::async_nats::jetstream::stream::Config;
use latchwork_nats::{Connection, NatsUpstream};
use latchwork_object_store::ObjectStoreUpstream;
use latchwork_object_store::object_store::local::LocalFileSystem;
use latchwork_object_store::object_store::{self, ObjectStore, ObjectStoreExt, PutMode};
use latchwork_postgres::tokio_postgres::{Client as Sql, Config as Postgres, NoTls};
use latchwork_postgres::{Database, PostgresUpstream};
use node_sync::client::{Client, ClientLog};
use node_sync::event::{Edit, Entry, SharedEvent, TodoEvent};
use node_sync::node::{self, Report, Task};
use node_sync::trail::Trail;
use node_sync::upstream::SqliteUpstream;
use tokio::runtime::Runtime;
use tokio::time::Sleep;

use crate::run::Result;

/// How long after a pull that has failed the next one begins.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How often a pull from an object store looks for more.
const POLL: Duration = Duration::from_millis(20);

/// The most servers that keep all events.
const REPLICAS: usize = 3;

/// Where an upstream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A stream of NATS: `nats://HOST:PORT,…/STREAM`.
    Nats {
        /// With commas between them.
        servers: String,
        /// Which stream; `None` for a new one.
        stream: Option<String>,
    },
    /// A log in PostgreSQL: `postgres://USER@HOST:PORT/DATABASE#LOG`.
    Postgres {
        /// Its address without the log.
        database: String,
        /// Which log; `None` for a new one.
        log: Option<String>,
    },
    /// An object store in a directory: `file:///DIR`.
    Objects(PathBuf),
}

impl Address {
    /// Whether it says which one.
    pub fn is_named(&self) -> bool {
        match self {
            Self::Nats { stream: name, .. } | Self::Postgres { log: name, .. } => name.is_some(),
            Self::Objects(_) => true,
        }
    }

    /// The same, with a new name if it has none.
    pub fn named(self) -> Self {
        match self {
            Self::Nats { servers, stream } => Self::Nats { servers, stream: stream.or_else(|| Some(new_name())) },
            Self::Postgres { database, log } => Self::Postgres { database, log: log.or_else(|| Some(new_name())) },
            Self::Objects(dir) => Self::Objects(dir),
        }
    }
}

/// A name that no other upstream has.
fn new_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("node-sync-{}-{}", std::process::id(), now.as_nanos())
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text.starts_with("postgres://") {
            let (database, log) = text.split_once('#').map_or((text, None), |(database, log)| (database, Some(log)));
            database.parse::<Postgres>().map_err(|error| format!("{text:?} is no upstream: {error}"))?;
            let log = log.filter(|log| !log.is_empty()).map(str::to_owned);
            return Ok(Self::Postgres { database: database.to_owned(), log });
        }
        if let Some(dir) = text.strip_prefix("file://").filter(|dir| dir.starts_with('/') && dir.len() > 1) {
            return Ok(Self::Objects(dir.into()));
        }
        if !text.starts_with("nats://") {
            return Err(format!(
                "{text:?} is no upstream: those are file, memory, nats://HOST:PORT[/STREAM], \
                 postgres://USER@HOST:PORT/DATABASE[#LOG], and file:///DIR"
            ));
        }
        let hosts = text.rfind("://").map_or(0, |at| at + 3);
        let (servers, stream) = match text[hosts..].split_once('/') {
            Some((host, stream)) => (&text[..hosts + host.len()], Some(stream).filter(|stream| !stream.is_empty())),
            None => (text, None),
        };
        Ok(Self::Nats { servers: servers.to_owned(), stream: stream.map(str::to_owned) })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (server, mark, name) = match self {
            Self::Nats { servers, stream } => (servers, '/', stream),
            Self::Postgres { database, log } => (database, '#', log),
            Self::Objects(dir) => return write!(f, "file://{}", dir.display()),
        };
        f.write_str(server)?;
        name.iter().try_for_each(|name| write!(f, "{mark}{name}"))
    }
}

/// A runtime's way to wait for a future.
type BlockOn = Box<dyn Fn(Pin<&mut dyn Future<Output = ()>>) + Send + Sync>;

/// One in an object store, which polls.
type Objects = ObjectStoreUpstream<ClientLog, Events, fn(Duration) -> Sleep>;

/// Any of them, opened.
enum Elsewhere {
    Nats(Box<ForThreads<NatsUpstream<ClientLog, Events>, BlockOn>>),
    Postgres(ForThreads<PostgresUpstream<ClientLog, Events>, BlockOn>),
    Objects(ForThreads<Objects, BlockOn>),
}

/// Opens an upstream, or makes it. Returns what tells it from others, too.
fn open(address: &Address, page: usize) -> Result<(String, Elsewhere)> {
    let runtime = runtime()?;
    match address {
        Address::Nats { servers, stream } => {
            let upstream = runtime.block_on(open_stream(servers, stream.as_deref().unwrap_or_default()))?.page(page);
            let id = upstream.identity().to_owned();
            Ok((id, Elsewhere::Nats(Box::new(ForThreads::new(upstream, blocking_on(runtime))))))
        }
        Address::Postgres { database, log } => {
            let (database, name) = (Database::new(database.parse()?), log.as_deref().unwrap_or_default());
            let id = runtime.block_on(database.create_log(name)).map_err(|error| format!("{address}: {error}"))?;
            let page = u32::try_from(page).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX);
            let upstream = database.upstream(name, &*id, Events).page(page);
            Ok((id, Elsewhere::Postgres(ForThreads::new(upstream, blocking_on(runtime)))))
        }
        Address::Objects(dir) => {
            let (id, store) = runtime.block_on(open_store(dir)).map_err(|error| format!("{address}: {error}"))?;
            let sleep: fn(Duration) -> Sleep = tokio::time::sleep;
            let upstream = ObjectStoreUpstream::new(store, &*id, Events, sleep).poll_interval(POLL);
            Ok((id, Elsewhere::Objects(ForThreads::new(upstream, blocking_on(runtime)))))
        }
    }
}

fn blocking_on(runtime: Runtime) -> BlockOn {
    Box::new(move |call| runtime.block_on(call))
}

async fn open_stream(servers: &str, stream: &str) -> Result<NatsUpstream<ClientLog, Events>> {
    let connection = Connection::open(servers).await?;
    // A server that has no others names no cluster.
    let is_cluster = connection.client().server_info().cluster.is_some();
    let config =
        Config { name: stream.to_owned(), num_replicas: if is_cluster { REPLICAS } else { 1 }, ..Config::default() };
    Ok(NatsUpstream::create(&connection, config, None, Events).await?)
}

/// The store in this directory, which is made if it is not there, and what it is called.
async fn open_store(dir: &Path) -> Result<(String, Arc<LocalFileSystem>)> {
    std::fs::create_dir_all(dir)?;
    let store = Arc::new(LocalFileSystem::new_with_prefix(dir)?.with_fsync(true));
    let key = "identity".into();
    match store.put_opts(&key, new_name().into(), PutMode::Create.into()).await {
        Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let id = store.get(&key).await?.bytes().await?;
    Ok((String::from_utf8(id.into())?, store))
}

/// One that works while no call is waited for: a connection is a task.
fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

impl Upstream<ClientLog> for Elsewhere {
    fn push(&self, batch: &Batch<ClientLog>, interrupt: &Interrupt) -> std::result::Result<(), PushError<u64>> {
        match self {
            Self::Nats(upstream) => upstream.push(batch, interrupt),
            Self::Postgres(upstream) => upstream.push(batch, interrupt),
            Self::Objects(upstream) => upstream.push(batch, interrupt),
        }
    }

    fn pull<'a>(
        &'a self,
        cursor: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = std::result::Result<Page<Entry>, PullError>> + 'a {
        type Pages<'a> = Box<dyn Iterator<Item = std::result::Result<Page<Entry>, PullError>> + 'a>;
        let pages: Pages<'a> = match self {
            Self::Nats(upstream) => Box::new(upstream.pull(cursor, interrupt)),
            Self::Postgres(upstream) => Box::new(upstream.pull(cursor, interrupt)),
            Self::Objects(upstream) => Box::new(upstream.pull(cursor, interrupt)),
        };
        pages
    }
}

/// What tells this upstream from others. It is made if there is none.
pub fn identity(address: &Address) -> Result<String> {
    Ok(open(address, 1)?.0)
}

/// Does a client's work with its file in this directory.
pub fn work_in(address: &Address, dir: &Path, trail: Arc<Trail>, task: Task<'_>) -> Result<Report> {
    let (id, upstream) = open(address, task.job.page.get())?;
    let (path, name) = (node::client_path(dir, &task.share.client), &task.share.client);
    let client = Client::open(&path, name, &id, Arc::clone(&trail))?;
    Ok(node::work(client, upstream, &trail, task)?)
}

/// Copies all its events into a file, to be compared with others.
pub fn copy(address: &Address, path: &Path, deadline: Instant) -> Result<()> {
    let (_, upstream) = open(address, 1_000)?;
    let file = SqliteUpstream::open(path, 1)?;
    let interrupt = Interrupt::with_deadline(deadline);
    let mut base = 0;
    loop {
        let mut failed = None;
        for page in upstream.pull(base, &interrupt) {
            let Page { entries, more } = match page {
                Ok(page) => page,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
            if let Some(last) = entries.last().map(|entry| entry.position) {
                Upstream::<ClientLog>::push(&file, &Batch::new(base, entries), &interrupt)?;
                base = last;
            }
            if more == More::None {
                return Ok(());
            }
        }
        if let Some(error @ PullError::Fatal { .. }) = failed {
            return Err(error.into());
        }
        interrupt.sleep(LOOK_AGAIN).map_err(|_| "upstream could not be read in time")?;
    }
}

/// Removes it, with all its events.
pub fn remove(address: &Address) -> Result<()> {
    runtime()?.block_on(async {
        match address {
            Address::Nats { servers, stream } => {
                let stream = stream.as_deref().unwrap_or_default();
                let connection = Connection::open(servers).await?;
                jetstream::new(connection.client().clone()).delete_stream(stream).await?;
            }
            Address::Postgres { database, log } => {
                let remove = "WITH removed AS (DELETE FROM latchwork_logs WHERE name = $1 RETURNING id)
                    DELETE FROM latchwork_events WHERE log IN (SELECT id FROM removed)";
                sql(database).await?.execute(remove, &[log]).await?;
            }
            Address::Objects(dir) => std::fs::remove_dir_all(dir)?,
        }
        Ok(())
    })
}

/// How many events a log in PostgreSQL has; 0 if that cannot be said.
pub fn head(database: &str, log: &str) -> u64 {
    let ask = async {
        let row = sql(database).await?.query_one("SELECT head FROM latchwork_logs WHERE name = $1", &[&log]).await?;
        Ok(u64::try_from(row.try_get::<_, i64>(0)?)?)
    };
    runtime().and_then(|runtime| runtime.block_on(ask)).unwrap_or(0)
}

async fn sql(database: &str) -> Result<Sql> {
    let (client, connection) = database.parse::<Postgres>()?.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Events are JSON.
struct Events;

impl Codec<ClientLog> for Events {
    fn number(&self, position: u64) -> u64 {
        position
    }

    fn position(&self, number: u64) -> u64 {
        number
    }

    fn entry_to_bytes(&self, entry: &Entry) -> Vec<u8> {
        let TodoEvent { client, number, edit } = &*entry.event;
        serde_json::to_vec(&(client, number, edit)).expect("an event is plain data")
    }

    fn entry_from_bytes(&self, position: u64, bytes: &[u8]) -> std::result::Result<Entry, BoxError> {
        let (client, number, edit): (String, u64, Edit) = serde_json::from_slice(bytes)?;
        Ok(Entry { position, event: SharedEvent::new(TodoEvent { client, number, edit }) })
    }
}

#[cfg(test)]
mod tests {
    use latchwork::contract::Contract;
    use node_sync::event::Change;

    use super::*;

    #[test]
    fn events_keep_the_contract_of_a_codec() {
        let event = |number| {
            let change = match number % 3 {
                0 => Change::Put(format!("milk {number} \u{2713} \"")),
                1 => Change::Done,
                _ => Change::Remove,
            };
            SharedEvent::new(TodoEvent {
                client: "alice".to_owned(),
                number,
                edit: Edit { todo: "a".to_owned(), change },
            })
        };
        Contract::new(ClientLog::rebasing, event).codec(&Events).unwrap();
    }
}
