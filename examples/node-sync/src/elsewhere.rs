//! Upstreams that are not a file: on servers.
//!
//! What differs from one to the other is here: how it is written as an [`Address`], how it is [opened](open), and how its
//! events are bytes. Clients, their files and the check do not know which one it is.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use latchwork::Interrupt;
use latchwork::upstream::{Batch, ForThreads, More, Page, PullError, PushError, Upstream};
use latchwork_nats::async_nats::jetstream;
use latchwork_nats::async_nats::jetstream::stream::Config;
use latchwork_nats::{BoxError, Codec, Connection, NatsUpstream};
use node_sync::client::{Client, ClientLog};
use node_sync::event::{Edit, Entry, SharedEvent, TodoEvent};
use node_sync::node::{self, Report, Task};
use node_sync::trail::Trail;
use node_sync::upstream::SqliteUpstream;
use tokio::runtime::Runtime;

use crate::run::Result;

/// How long after a pull that has failed the next one begins.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

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
}

impl Address {
    /// Whether it says which one.
    pub fn is_named(&self) -> bool {
        let Self::Nats { stream, .. } = self;
        stream.is_some()
    }

    /// The same, with a new name if it has none.
    pub fn named(self) -> Self {
        let Self::Nats { servers, stream } = self;
        let new = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            format!("node-sync-{}-{}", std::process::id(), now.as_nanos())
        };
        Self::Nats { servers, stream: stream.or_else(|| Some(new())) }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if !text.starts_with("nats://") {
            return Err(format!("{text:?} is no upstream: those are file, memory, and nats://HOST:PORT[/STREAM]"));
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
        let Self::Nats { servers, stream } = self;
        f.write_str(servers)?;
        stream.iter().try_for_each(|stream| write!(f, "/{stream}"))
    }
}

/// A runtime's way to wait for a future.
type BlockOn = Box<dyn Fn(Pin<&mut dyn Future<Output = ()>>) + Send + Sync>;

/// Any of them, opened.
enum Elsewhere {
    Nats(ForThreads<NatsUpstream<ClientLog, Events>, BlockOn>),
}

/// Opens an upstream, or makes it. Returns what tells it from others, too.
fn open(address: &Address, page: usize) -> Result<(String, Elsewhere)> {
    let Address::Nats { servers, stream } = address;
    let runtime = runtime()?;
    let upstream = runtime.block_on(async {
        let connection = Connection::open(servers).await?;
        // A server that has no others names no cluster.
        let is_cluster = connection.client().server_info().cluster.is_some();
        let config = Config {
            name: stream.clone().unwrap_or_default(),
            num_replicas: if is_cluster { REPLICAS } else { 1 },
            ..Config::default()
        };
        NatsUpstream::create(&connection, config, None, Events).await
    })?;
    let upstream = upstream.page(page);
    let id = upstream.identity().to_owned();
    let block_on: BlockOn = Box::new(move |call| runtime.block_on(call));
    Ok((id, Elsewhere::Nats(ForThreads::new(upstream, block_on))))
}

/// One that works while no call is waited for: a connection is a task.
fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

impl Upstream<ClientLog> for Elsewhere {
    fn push(&self, batch: &Batch<ClientLog>, interrupt: &Interrupt) -> std::result::Result<(), PushError<u64>> {
        let Self::Nats(upstream) = self;
        upstream.push(batch, interrupt)
    }

    fn pull<'a>(
        &'a self,
        cursor: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = std::result::Result<Page<Entry>, PullError>> + 'a {
        let Self::Nats(upstream) = self;
        upstream.pull(cursor, interrupt)
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
    let Address::Nats { servers, stream } = address;
    runtime()?.block_on(async {
        let connection = Connection::open(servers).await?;
        jetstream::new(connection.client().clone()).delete_stream(stream.as_deref().unwrap_or_default()).await?;
        Ok(())
    })
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

    fn bytes(&self, entry: &Entry) -> Vec<u8> {
        let TodoEvent { client, number, edit } = &*entry.event;
        serde_json::to_vec(&(client, number, edit)).expect("an event is plain data")
    }

    fn entry(&self, position: u64, bytes: &[u8]) -> std::result::Result<Entry, BoxError> {
        let (client, number, edit): (String, u64, Edit) = serde_json::from_slice(bytes)?;
        Ok(Entry { position, event: SharedEvent::new(TodoEvent { client, number, edit }) })
    }
}
