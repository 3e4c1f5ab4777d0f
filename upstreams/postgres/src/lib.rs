//! An upstream for [`latchwork`] in PostgreSQL.
//!
//! A [`Database`] holds any number of logs, each with a name and an identity of its own. A [`PostgresUpstream`] is one of them, as
//! clients have it: an [`AsyncUpstream`], which connects when it is called, and again when the connection is gone. A [`Codec`] says
//! how events are bytes.
//!
//! ```no_run
//! use latchwork::log::MemoryLog;
//! use latchwork::upstream::Codec;
//! use latchwork::{Replicator, Settled};
//! use latchwork_postgres::Database;
//! use std::time::Duration;
//!
//! # async fn example(codec: impl Codec<MemoryLog<String>>) -> Result<(), Box<dyn std::error::Error>> {
//! let database = Database::new("postgres://alice@db.example/app".parse()?);
//! // Once: a client keeps the identity beside its log, and begins without the server from then on.
//! let identity = database.create_log("todos").await?;
//!
//! let upstream = database.upstream("todos", identity, codec);
//! let builder = Replicator::builder(MemoryLog::rebasing(), upstream);
//! let builder = builder.push_deadline(Duration::from_secs(30)).pull_silence(Duration::from_secs(30));
//! let (replicator, driver) = builder.build_async(tokio::time::sleep);
//! tokio::spawn(driver);
//! assert!(matches!(replicator.commit(vec!["milk".to_owned()])?.await, Settled::Confirmed(_)));
//! # Ok(())
//! # }
//! ```
//!
//! # One pusher wins
//!
//! A push is one prepared statement, one round trip and one transaction: it moves the head of the log's row from the batch's base,
//! inserts the events and notifies. The row's lock is what pushers of a log wait for; who has waited compares with what was
//! committed meanwhile, as `READ COMMITTED` has it, and finds its base gone. Nothing else is locked, and pushers of two logs
//! wait for each other only where PostgreSQL makes notifications wait: as they commit.
//!
//! A client that was taken could be taken again each time: it learns of that with the answer, and others by a notification and a read. So a
//! push that comes too late notifies, too, and a client whose last push was taken gives way then: the next one waits until
//! another client's is taken, for 50 ms at most. A backlog is not held up by clients that commit all the time.
//!
//! The session says `READ COMMITTED` itself, whatever the database is set to. If that has `synchronous_commit=off`, the session
//! has `on`: what is confirmed survives a crash of the server. With `fsync=off` it does not survive one of the machine, and a
//! standby that is not synchronous does not have it: clients see then that the log has [gone back](Error::WentBack).
//!
//! # Live pulls
//!
//! A pull listens to the log's channel and reads then, page by page, and again whenever it is told of a number that it has not
//! given out. Connections lose no notifications without ending, poolers do; so a pull that is told nothing for a
//! [while](PostgresUpstream::poll) reads all the same. It gives out an empty page if there is nothing, which
//! [`pull_silence`](latchwork::replicator::Builder::pull_silence) takes for a sign of life: set that to a longer time, and a
//! connection that is half open is found. The one that tells is looked at as often.
//!
//! What a client has pushed itself it knows: a pull reads that once there is a page of it, after 50 ms, or with what others push.
//!
//! # Connections
//!
//! A database has two, however many of its logs are used: one pushes and is told of news, the other reads. A server that tells
//! another connection than the one that pushes wakes a second process for each push. Clones share them.
//!
//! While a push waits for its answer, as for a lock, its connection is told nothing: pulls of the same database go on by reading
//! every [while](PostgresUpstream::poll), and one that begins then has its first page after a second. (In the log of that push
//! there are no news meanwhile: it waits for the others.)
//!
//! They are made by the first call, and by the first one after they ended: there is one attempt for a call, the outcome of one that fails is unavailable, and the replicator tries again after its backoff. A call
//! that is dropped before it is answered (as by [`push_deadline`](latchwork::replicator::Builder::push_deadline)) has its
//! connection looked at: unless an empty statement is answered within the connect timeout of the configuration, ten seconds if
//! it has none, the connection is given up. So is one to a server that has become a standby, and one to a server that
//! [was replaced](#a-server-that-was-replaced). With several hosts and
//! `target_session_attrs=read-write` the next one then leads to the server that can be written.
//!
//! A pooler between them must keep a client's session together (`PgBouncer`: `pool_mode=session`).
//!
//! # Outcomes
//!
//! An error of the severity `ERROR` has undone the transaction, so the batch was certainly not taken, and its code decides. After
//! a `FATAL` one, and after a connection that ended, nothing is known of a push that was sent. A pull changes nothing: what is not
//! fatal is unavailable. `tests/postgres/outcomes.rs` has a server give each answer that one can be brought to.
//!
//! | what PostgreSQL or the system says | push | pull | why |
//! | --- | --- | --- | --- |
//! | connection refused, no such host, no connection in time | [`Unavailable`] | unavailable | nothing was sent |
//! | `57P03`, it starts, ends or recovers; `53300`, too many connections | [`Unavailable`] | unavailable | no session, so nothing was sent |
//! | `28P01`, `28000` wrong password, no such user; `3D000` no such database; a configuration or certificate that the client refuses | [`Fatal`] | fatal | waiting does not help, and more attempts may lock the user out |
//! | the connection ends after the statement was sent | [`Uncertain`] | unavailable | it may have been committed before or not |
//! | `57P01`, `57P02` (`FATAL`): ended by an administrator or by a crash | [`Uncertain`] | unavailable | the same words come before the commit and after it |
//! | dropped: a deadline, an interrupt | uncertain, says the replicator | – | the server goes on |
//! | nothing appended, the head is past the base | [`Behind`], with the head | – | another pusher won |
//! | nothing appended, the head is before the base or the cursor | [`Fatal`], went back | fatal, went back | restored from a backup; nothing was sent past the comparison, nothing is given out |
//! | an earlier timeline than one of the database's connections has found: another server was promoted | [`Unavailable`] | unavailable | nothing was sent; the way to the other one may open again |
//! | another identity | [`Fatal`], another upstream | the same | the log was made anew, or this is another database |
//! | no such log; `42P01` no such table; an older or newer schema | [`Fatal`] | fatal | nothing says that the log is another one, and what to do is up to the owner |
//! | `42501` no permission, and any other `42…` | [`Fatal`] | fatal | |
//! | `40001` serialization, `40P01` deadlock (triggers, other tables) | [`Unavailable`] | unavailable | undone, and tried again |
//! | `53…`: disk full, out of memory | [`Unavailable`] | unavailable | undone; room may be made |
//! | `55P03` lock timeout; `57014` statement timeout, or cancelled; `58…` system error | [`Unavailable`] | unavailable | undone |
//! | `25006` a standby, or set to read only | [`Unavailable`], on another connection next | of a standby, where nothing can listen, the same | it may become the server, or another host is |
//! | `26000`, `0A000` the prepared statement is gone, or not as it was | [`Unavailable`], on another connection next | unavailable | undone; prepared anew |
//! | events of more than [`MAX_PUSH_BYTES`]; `54…` a limit of PostgreSQL | [`TooLarge`] | fatal | not even sent, or undone: the batch is halved |
//! | `23514`, `P0001`: a check or a trigger of one's own on `latchwork_events` | one event: [`Rejected`]; more: [`TooLarge`] | fatal | undone: it is halved until the event that is refused stands alone |
//! | `XX…` corrupt data, and any other code | [`Fatal`] | fatal | trying again would hide it |
//! | an event that the codec cannot read | – | fatal | |
//!
//! [`Behind`]: PushError::Behind
//! [`Fatal`]: PushError::Fatal
//! [`Rejected`]: PushError::Rejected
//! [`TooLarge`]: PushError::TooLarge
//! [`Unavailable`]: PushError::Unavailable
//! [`Uncertain`]: PushError::Uncertain
//!
//! # A server that was replaced
//!
//! When a standby is promoted and the server before it still answers, there are two logs with one identity. PostgreSQL keeps
//! clients from neither. What they notice by themselves:
//!
//! | a client | finds | outcome |
//! | --- | --- | --- |
//! | has events that the promoted server does not, and its log ends before them | a log that has gone back | fatal, went back; nothing is sent |
//! | has the same, and the promoted server has gone on past them | **nothing**: numbers are all that there is to tell by | events that it has are not in the log |
//! | has been at the promoted server, on any connection of its [`Database`], and is led to the old one | an earlier timeline | unavailable, until it is led back |
//! | stays with the old one | **nothing** | what it sends is confirmed there, and lost with that server |
//!
//! So the old server must be kept from answering (fencing), and the standby must be synchronous (`synchronous_standby_names`):
//! one that has all that was confirmed leaves nothing to notice. A server restored from a backup is the first line, or the
//! second if it is written to before the clients come. A server that has no timelines to tell of is taken as it is.
//!
//! # The tables
//!
//! | table | columns |
//! | --- | --- |
//! | `latchwork_schema` | `version` |
//! | `latchwork_logs` | `id`, `name`, `identity`, `head`: a row for each log |
//! | `latchwork_events` | `log`, `number`, `event`: numbered from 1 without a gap |
//!
//! [`create_log`](Database::create_log) makes them where the connection's `search_path` points, and no other call does. Clients
//! need `SELECT` on the three, `UPDATE` on `latchwork_logs` and `INSERT` on `latchwork_events`. PostgreSQL 13 or later.

#![warn(missing_debug_implementations, missing_docs, clippy::missing_errors_doc)]

mod error;
mod outcome;
mod schema;
mod session;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::Future;
use std::hash::BuildHasher;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use latchwork::log::Log;
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, Codec, More, Page, PullError, PushError};
use tokio::sync::watch;
use tokio::time::timeout;
pub use tokio_postgres;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Config, NoTls, Row, Socket};

pub use self::error::Error;
use self::outcome::{not_taken, of_pull, of_push};
use self::session::{Connector, Link, Session, Told};

/// How many bytes the events of one push may have together. PostgreSQL takes messages of up to a gigabyte, and ends the connection
/// after a larger one; a value takes several times its size there while it is written.
pub const MAX_PUSH_BYTES: usize = 128 << 20;

/// How long a pull leaves what this client has pushed itself.
const OWN: Duration = Duration::from_millis(50);

/// A page of a pull ends with the event that brings it to so many bytes: a client has the whole page in memory.
const PAGE_BYTES: i64 = 16 << 20;

/// How long one whose push was taken waits for those that came too late. It is longer than the replicator has such a push wait
/// ([`contention`](latchwork::protocol::Settings::contention)).
const GIVE_WAY: Duration = Duration::from_millis(50);

/// How long a pull that begins waits for its turn to listen, behind a push. Then it reads all the same.
const ASKED: Duration = Duration::from_secs(1);

/// A database with logs. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Database {
    connector: Connector,
    push: Arc<Link>,
    pull: Arc<Link>,
}

impl Database {
    /// The database of this configuration, without TLS. Nothing is connected yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::with_tls(config, NoTls)
    }

    /// The same, with TLS as the configuration asks for it.
    #[must_use]
    pub fn with_tls<T>(config: Config, tls: T) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let connector = Connector::new(config, tls);
        let link = |statement| Arc::new(Link::new(connector.clone(), statement));
        Self { push: link(session::APPEND), pull: link(session::READ), connector }
    }

    /// Makes the log of this name if there is none, and the tables if they are not there or not of this version; returns the
    /// log's identity, which no other log has. It may be called from many places at once.
    ///
    /// # Errors
    ///
    /// If that is not possible. The tables are as they were then.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have made them or not. Called again it does what is left.
    pub async fn create_log(&self, name: &str) -> Result<String, Error> {
        self.connector.create_log(name).await
    }

    /// The log of this name and [identity](Self::create_log), for a replicator. Nothing is connected or looked at yet.
    #[must_use]
    pub fn upstream<L: Log, C: Codec<L>>(
        &self,
        name: impl Into<String>,
        identity: impl Into<String>,
        codec: C,
    ) -> PostgresUpstream<L, C> {
        let identity = identity.into();
        let channel = channel(&identity);
        let page = const { NonZeroU32::new(500).unwrap() };
        let (database, name, poll) = (self.clone(), name.into(), Duration::from_secs(10));
        let client = i64::from_ne_bytes(RandomState::new().hash_one(&name).to_ne_bytes()) | i64::MIN;
        let turns = Mutex::default();
        PostgresUpstream { database, name, identity, channel, codec, poll, page, client, turns, log: PhantomData }
    }
}

/// Whose turn it is to push.
#[derive(Default)]
struct Turns {
    /// The last event of the last push; none if that was not taken.
    taken: Option<u64>,
    /// When it was told of the last push of another client's that this one has given way for.
    heeded: Option<Instant>,
}

/// What a log's pushes notify. It needs no quotes, and what is not of an identity is left out.
fn channel(identity: &str) -> String {
    format!("latchwork_{}", identity.chars().filter(char::is_ascii_hexdigit).take(32).collect::<String>())
}

/// A log in PostgreSQL.
///
/// Its calls are to be made within a tokio runtime with time and I/O, which drives the connections.
pub struct PostgresUpstream<L, C> {
    database: Database,
    name: String,
    identity: String,
    channel: String,
    codec: C,
    poll: Duration,
    page: NonZeroU32,
    /// What tells this client from others: a number below 0.
    client: i64,
    turns: Mutex<Turns>,
    log: PhantomData<fn(L)>,
}

impl<L, C> PostgresUpstream<L, C> {
    /// Sets after how long a pull that is told nothing reads all the same. Ten seconds by default.
    #[must_use]
    pub fn poll(self, poll: Duration) -> Self {
        Self { poll, ..self }
    }

    /// Sets how many events a page of a pull has at most. 500 by default. A page has fewer if they are large: it ends with the
    /// event that brings it to 16 MiB.
    #[must_use]
    pub fn page(self, events: NonZeroU32) -> Self {
        Self { page: events, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its identity.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Checks that the log is the one that it is taken for, and has the event of this number.
    fn check(&self, identity: &str, head: u64, had: u64) -> Result<(), Error> {
        if identity != self.identity {
            let (expected, got) = (self.identity.clone(), identity.to_owned());
            return Err(Error::OtherLog { name: self.name.clone(), expected, got });
        }
        if head < had {
            return Err(Error::WentBack { name: self.name.clone(), expected: had, got: head });
        }
        Ok(())
    }

    fn no_log(&self) -> Error {
        Error::NoLog { name: self.name.clone() }
    }
}

impl<L: Log, C: Codec<L>> PostgresUpstream<L, C> {
    /// A batch as it is sent: its base, and its events.
    fn written(&self, batch: &Batch<L>) -> Result<(i64, Vec<Vec<u8>>), Error> {
        let mut last = self.codec.number(batch.base);
        let base = bigint(last)?;
        for entry in &batch.entries {
            let (expected, got) = (last.saturating_add(1), self.codec.number(L::position(entry)));
            if got != expected {
                return Err(Error::OutOfOrder { expected, got });
            }
            last = got;
        }
        bigint(last)?;
        let events: Vec<_> = batch.entries.iter().map(|entry| self.codec.entry_to_bytes(entry)).collect();
        let (bytes, limit) = (events.iter().map(Vec::len).sum(), MAX_PUSH_BYTES);
        if bytes > limit {
            return Err(Error::TooLarge { bytes, limit });
        }
        Ok((base, events))
    }

    /// Lets others go first, once for each of their pushes that has come too late, if the last one of this client was taken. It learns
    /// of that as it is answered, and the others a notification and a read later: without this it is first each time, for as
    /// long as it has more to send.
    async fn give_way(&self) {
        let told = self.database.push.told(&self.channel);
        let Some(Told { mut last, refused: Some((refused, whose)) }) = told else { return };
        let head = {
            let Turns { taken: Some(head), heeded } = &mut *self.turns() else { return };
            if whose == self.client || heeded.replace(refused).is_some_and(|heeded| heeded >= refused) {
                return;
            }
            *head
        };
        // If none of them comes, it goes on.
        _ = timeout(GIVE_WAY, last.wait_for(|(last, _)| *last > head)).await;
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a batch that follows `base` was not appended.
    async fn why_not(&self, session: &Arc<Session>, base: u64) -> Result<PushError<L::Position>, Error> {
        let rows = session.head(&self.name).await?;
        let row = rows.first().ok_or_else(|| self.no_log())?;
        let head = number(row, 1)?;
        self.check(row.try_get(0)?, head, base)?;
        // If it stands at the base now, it has been somewhere else meanwhile.
        Ok(PushError::Behind { head: (head > base).then(|| self.codec.position(head)) })
    }

    /// The page that follows `cursor`, and the log's head.
    async fn read(&self, session: &Arc<Session>, cursor: u64) -> Result<(Page<L::Entry>, u64), Error> {
        let (after, limit) = (bigint(cursor)?, i64::from(self.page.get()));
        let rows = session.query(&[&self.name, &after, &limit, &PAGE_BYTES]).await?;
        let first = rows.first().ok_or_else(|| self.no_log())?;
        let head = number(first, 1)?;
        self.check(first.try_get(0)?, head, cursor)?;
        let (mut entries, mut last) = (Vec::with_capacity(rows.len()), cursor);
        for row in &rows {
            if let Some(event) = row.try_get::<_, Option<&[u8]>>(3)? {
                last = number(row, 2)?;
                let entry = self.codec.entry_from_bytes(self.codec.position(last), event);
                entries.push(entry.map_err(|error| Error::Codec { number: last, error })?);
            }
        }
        let more = if last < head { More::Events(head - last) } else { More::None };
        Ok((Page { entries, more }, last))
    }
}

/// The last event of an append, if it was taken.
fn head_of(rows: &[Row]) -> Result<Option<u64>, Error> {
    match rows.first() {
        Some(row) if row.try_get::<_, Option<i64>>(0)?.is_some() => number(row, 0).map(Some),
        _ => Ok(None),
    }
}

/// A number as PostgreSQL has it.
fn bigint(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| Error::NoNumber { number })
}

/// A number of the log; one below 0 was written by no client.
fn number(row: &Row, column: usize) -> Result<u64, Error> {
    Ok(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or(0))
}

impl<L: Log, C: Codec<L>> AsyncUpstream<L> for PostgresUpstream<L, C> {
    type Pull<'a> = Pull<'a, L, C>;

    async fn push(&self, batch: &Batch<L>) -> Result<(), PushError<L::Position>> {
        let events = batch.entries.len();
        let (base, written) = self.written(batch).map_err(|error| not_taken(error, events))?;
        let session = self.database.push.session().await.map_err(|error| not_taken(error, events))?;
        self.give_way().await;
        let whose = self.client.to_string();
        let append = [&self.name as _, &self.identity as _, &base as _, &written as _, &self.channel as _, &whose as _];
        let appended = session.query(&append).await.and_then(|rows| head_of(&rows));
        let taken = appended.map_err(|error| of_push(error, events))?;
        self.turns().taken = taken;
        if taken.is_some() {
            return Ok(());
        }
        let why = self.why_not(&session, self.codec.number(batch.base)).await;
        Err(why.unwrap_or_else(|error| not_taken(error, events)))
    }

    fn pull(&self, cursor: L::Position) -> Pull<'_, L, C> {
        let cursor = self.codec.number(cursor);
        Pull { upstream: self, cursor, asking: None, listening: None, has_read: false, caught_up: false }
    }
}

/// A pull from a [`PostgresUpstream`].
pub struct Pull<'a, L, C> {
    upstream: &'a PostgresUpstream<L, C>,
    cursor: u64,
    /// What listens, until it does: it is sent after the push that is on its way.
    asking: Option<Asking>,
    listening: Option<Listening>,
    /// Whether there has been a page.
    has_read: bool,
    /// Whether a page has said that there is no more.
    caught_up: bool,
}

type Asking = Pin<Box<dyn Future<Output = Result<Listening, Error>> + Send>>;

/// What a pull is told.
struct Listening {
    session: Arc<Session>,
    /// The last event, and who has pushed it.
    last: watch::Receiver<(u64, i64)>,
}

impl Listening {
    /// Begins to listen to a channel.
    fn ask(link: &Arc<Link>, channel: &str) -> Asking {
        let (link, channel) = (Arc::clone(link), channel.to_owned());
        Box::pin(async move {
            let session = link.session().await?;
            let last = session.listen(&channel).await?;
            Ok(Self { session, last })
        })
    }

    /// Waits until it is told of something after `cursor`, or for so long. Of what this client has pushed it waits for a page,
    /// or for a while: that is known here.
    async fn news(&mut self, cursor: u64, client: i64, page: u64, poll: Duration) -> Result<(), Error> {
        let begun = tokio::time::Instant::now();
        let mut limit = poll;
        loop {
            match timeout(limit.saturating_sub(begun.elapsed()), self.last.changed()).await {
                Ok(told) => told.map_err(|_| self.session.closed())?,
                Err(_) => {
                    // Perhaps it cannot be told anything any more.
                    self.session.look_if_idle();
                    return Ok(());
                }
            }
            let (last, whose) = *self.last.borrow_and_update();
            if last > cursor {
                if whose != client || last - cursor >= page {
                    return Ok(());
                }
                limit = limit.min(begun.elapsed() + OWN);
            }
        }
    }
}

impl<L: Log, C: Codec<L>> Pull<'_, L, C> {
    async fn page(&mut self) -> Result<Page<L::Entry>, Error> {
        // A session that was there may have ended, which is found as it is used: the one that tells, and the one that reads.
        for _ in 0..2 {
            match self.next().await {
                Err(Error::Closed { .. }) if !self.has_read => {}
                page => return page,
            }
        }
        self.next().await
    }

    async fn next(&mut self) -> Result<Page<L::Entry>, Error> {
        let PostgresUpstream { database, channel, poll, page, client, .. } = self.upstream;
        match &mut self.listening {
            Some(listening) if self.caught_up => listening.news(self.cursor, *client, page.get().into(), *poll).await?,
            Some(_) => {}
            None => {
                let limit = match self.has_read {
                    false => ASKED.min(*poll),
                    true if self.caught_up => *poll,
                    true => Duration::ZERO,
                };
                let asking = self.asking.get_or_insert_with(|| Listening::ask(&database.push, channel));
                if let Ok(asked) = timeout(limit, asking).await {
                    self.asking = None;
                    self.listening = Some(asked?);
                }
            }
        }
        let session = database.pull.session().await?;
        let (page, last) = self.upstream.read(&session, self.cursor).await?;
        self.has_read = true;
        self.cursor = last;
        self.caught_up = page.more == More::None;
        Ok(page)
    }
}

impl<L: Log, C: Codec<L>> AsyncPull<L> for Pull<'_, L, C> {
    async fn next_page(&mut self) -> Option<Result<Page<L::Entry>, PullError>> {
        Some(self.page().await.map_err(of_pull))
    }
}

impl<L, C> fmt::Debug for PostgresUpstream<L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresUpstream")
            .field("name", &self.name)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl<L, C> fmt::Debug for Pull<'_, L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pull").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}
