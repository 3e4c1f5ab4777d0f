//! A connection that is made anew when it is needed, and what is heard on it.
//!
//! A [`Link`] has one [`Session`] at a time. A call that finds none, or one that has ended, opens another; calls that come
//! meanwhile wait for that. A session ends when its connection does.
//!
//! What one would fear is a connection that is there and says nothing, since the other end is gone or has stopped: each call on
//! it would be dropped at its own deadline, and the next would go the same way. Calls are dropped for other reasons, too, so a
//! call that is dropped before it was answered has its session *looked at*, by a task that outlives it: an empty statement is
//! to be answered within the link's time limit, or the session is over. So has one that nothing was heard on for a while.
//!
//! **Nothing new is missed**: a pull is told of a channel's last number by a value that it watches, not by a message. It watches
//! first and reads then; what is committed before the server listens is found by reading, and what is committed after it is told.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::{join, try_join3};
use tokio::runtime::Handle;
use tokio::sync::{self, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Row, Socket, Statement};

use crate::error::words;
use crate::outcome::is_of_session;
use crate::{Error, schema};

/// How long a connection may take to be made, unless the configuration says so.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Compare and append. The update takes the lock of the log's row: one that waited for it compares with what was committed
/// meanwhile, as `READ COMMITTED` has it. What is told is whose push it is, and the last event unless it has come too late.
pub const APPEND: &str = include_str!("append.sql");

/// Why an append did nothing.
const HEAD: &str = "SELECT identity::text, head FROM latchwork_logs WHERE name = $1";

/// One row for each event, and one without if there is none. An event is in it if those before it have fewer bytes than that.
pub const READ: &str = "
    SELECT identity::text, head, page.number, page.event
    FROM latchwork_logs LEFT JOIN LATERAL (
        SELECT number, event FROM (
            SELECT number, event, sum(octet_length(event)) OVER (ORDER BY number ROWS UNBOUNDED PRECEDING)
                - octet_length(event) AS before
            FROM latchwork_events WHERE log = id AND number > $2 ORDER BY number LIMIT $3
        ) AS measured WHERE before < $4
    ) AS page ON true
    WHERE name = $1 ORDER BY page.number";

/// What a database may be set to, and a log cannot have: an answer before the commit is on the disk; an isolation under which
/// the pusher that waited fails.
const SETTINGS: &str = "
    SET default_transaction_isolation = 'read committed';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// The timeline that the server writes, in hexadecimal digits: the first eight of a file's name. A standby writes none.
const TIMELINE: &str = "
    SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END";

/// What is said of a connection that has ended without a word.
const CLOSED: &str = "connection closed";

type Messages = Box<dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>> + Send>;
type Connecting = Pin<Box<dyn Future<Output = Result<(Client, Messages), tokio_postgres::Error>> + Send>>;

/// How a connection is made. Clones are the same.
#[derive(Clone)]
pub struct Connector {
    connect: Arc<dyn Fn() -> Connecting + Send + Sync>,
    limit: Duration,
    /// The last timeline that has been found.
    timeline: Arc<AtomicU32>,
}

impl Connector {
    pub fn new<T>(config: Config, tls: T) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let limit = config.get_connect_timeout().copied().unwrap_or(CONNECT_LIMIT);
        let connect = move || -> Connecting {
            let (config, tls) = (config.clone(), tls.clone());
            Box::pin(async move {
                let (client, mut connection) = config.connect(tls).await?;
                let messages: Messages = Box::new(move |context| connection.poll_message(context));
                Ok((client, messages))
            })
        };
        Self { connect: Arc::new(connect), limit, timeline: Arc::default() }
    }

    /// A connection, whose task ends with it.
    async fn connect(&self) -> Result<(Client, Arc<Heard>, JoinHandle<()>), Error> {
        let (client, messages) = (self.connect)().await?;
        let heard = Arc::new(Heard::default());
        let driver = tokio::spawn(drive(messages, Ending(Arc::clone(&heard))));
        Ok((client, heard, driver))
    }

    async fn within<T>(&self, future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout(self.limit, future).await.unwrap_or(Err(Error::TimedOut { limit: self.limit }))
    }

    /// Makes the tables and the log if they are not there, on a connection for that alone; returns the log's identity.
    pub async fn create_log(&self, name: &str) -> Result<String, Error> {
        let (mut client, ..) = self.within(self.connect()).await?;
        schema::migrate(&mut client, &schema::MIGRATIONS).await?;
        schema::log(&client, name).await
    }

    /// A session for this statement.
    async fn open(&self, statement: &str) -> Result<Session, Error> {
        let (client, heard, driver) = self.connect().await?;
        // All of it is sent at once, and answered in this order.
        let set = async { Ok(client.batch_execute(SETTINGS).await?) };
        let prepare = async { Ok(client.prepare(statement).await?) };
        let checks = try_join3(set, schema::check(&client), prepare);
        let (checked, got) = join(checks, timeline(&client)).await;
        let ((), (), statement) = checked?;
        let (newest, timeline) = (Arc::clone(&self.timeline), got.unwrap_or(u32::MAX));
        let expected = newest.fetch_max(got.unwrap_or(0), Ordering::Relaxed);
        if timeline < expected {
            return Err(Error::Deposed { expected, got: timeline });
        }
        let (runtime, limit) = (Handle::current(), self.limit);
        let ([is_over, is_looked_at], calls) = ([const { AtomicBool::new(false) }; 2], AtomicUsize::new(0));
        let listening = sync::Mutex::default();
        Ok(Session {
            client,
            statement,
            heard,
            listening,
            driver,
            runtime,
            limit,
            timeline,
            newest,
            is_over,
            is_looked_at,
            calls,
        })
    }
}

/// The timeline that the server writes, if it says so: what merely speaks the protocol of PostgreSQL may have none.
async fn timeline(client: &Client) -> Option<u32> {
    let row = client.query_typed_one(TIMELINE, &[]).await.ok()?;
    u32::from_str_radix(row.try_get::<_, Option<&str>>(0).ok()??, 16).ok()
}

/// A session at a time.
pub struct Link {
    connector: Connector,
    statement: &'static str,
    session: sync::Mutex<Option<Arc<Session>>>,
}

impl Link {
    pub fn new(connector: Connector, statement: &'static str) -> Self {
        Self { connector, statement, session: sync::Mutex::new(None) }
    }

    /// The session there is, or another one.
    pub async fn session(&self) -> Result<Arc<Session>, Error> {
        let mut session = self.session.lock().await;
        if let Some(session) = session.as_ref().filter(|session| !session.is_over()) {
            return Ok(Arc::clone(session));
        }
        *session = None;
        let opened = Arc::new(self.connector.within(self.connector.open(self.statement)).await?);
        *session = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// What has been told on a channel by the session there is, if that listens to it.
    pub fn told(&self, channel: &str) -> Option<Told> {
        let session = self.session.try_lock().ok()?;
        let heard = session.as_ref()?.heard.lock();
        let channel = heard.channels.get(channel)?;
        Some(Told { last: channel.last.subscribe(), refused: channel.refused })
    }
}

/// What has been told on a channel.
pub struct Told {
    /// The last event, and who has pushed it.
    pub last: watch::Receiver<(u64, i64)>,
    /// When a push has last come too late, and whose.
    pub refused: Option<(Instant, i64)>,
}

/// A connection that is ready for pushes and pulls.
pub struct Session {
    client: Client,
    statement: Statement,
    heard: Arc<Heard>,
    /// Held by who changes what is listened to, so that what the server does has the same order.
    listening: sync::Mutex<()>,
    driver: JoinHandle<()>,
    runtime: Handle,
    limit: Duration,
    /// The one that its server wrote as it began; the highest number if the server has not said so.
    timeline: u32,
    /// The last one that a session has found.
    newest: Arc<AtomicU32>,
    /// Set once it is not to be used any more.
    is_over: AtomicBool,
    /// Set while a task looks whether it answers.
    is_looked_at: AtomicBool,
    /// How many calls wait for an answer.
    calls: AtomicUsize,
}

impl Session {
    fn is_over(&self) -> bool {
        let is_deposed = self.timeline < self.newest.load(Ordering::Relaxed);
        is_deposed || self.is_over.load(Ordering::Relaxed) || self.client.is_closed()
    }

    /// Ends it. Calls that wait for an answer get an error.
    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.driver.abort();
    }

    /// Runs the session's statement. Dropped before it is answered, it has the session looked at.
    pub async fn query(self: &Arc<Self>, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        self.answer(self.client.query(&self.statement, parameters)).await
    }

    /// Why an append to the log of this name did nothing.
    pub async fn head(self: &Arc<Self>, name: &str) -> Result<Vec<Row>, Error> {
        self.answer(self.client.query_typed(HEAD, &[(&name, Type::TEXT)])).await
    }

    async fn answer<T>(
        self: &Arc<Self>,
        call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let unanswered = Unanswered { session: self, is_answered: false };
        let answer = call.await;
        unanswered.answered();
        answer.map_err(|error| self.failed(error))
    }

    /// What an error says, or what the connection ended with. No call uses the session after it if another may find it better.
    fn failed(&self, error: tokio_postgres::Error) -> Error {
        let error = if error.is_closed() { self.closed() } else { error.into() };
        if is_of_session(&error) {
            self.end();
        }
        error
    }

    /// Why it has ended, for those who wait for news.
    pub fn closed(&self) -> Error {
        let why = self.heard.lock().ended.clone();
        Error::Closed { why: why.unwrap_or_else(|| CLOSED.to_owned()) }
    }

    /// Listens to a channel: the last event that was told there, and who has pushed it.
    pub async fn listen(self: &Arc<Self>, channel: &str) -> Result<watch::Receiver<(u64, i64)>, Error> {
        let _alone = self.listening.lock().await;
        let mut statements = String::new();
        {
            let channels = &mut self.heard.lock().channels;
            if let Some(channel) = channels.get(channel) {
                return Ok(channel.last.subscribe());
            }
            // Of pulls that are over.
            channels.retain(|left, channel| {
                let is_listened_to = channel.last.receiver_count() > 0;
                if !is_listened_to {
                    statements += &format!("UNLISTEN {left};");
                }
                is_listened_to
            });
        }
        statements += &format!("LISTEN {channel}");
        self.answer(self.client.batch_execute(&statements)).await?;
        let mut heard = self.heard.lock();
        match heard.ended.clone() {
            Some(why) => Err(Error::Closed { why }),
            None => Ok(heard.channels.entry(channel.to_owned()).or_default().last.subscribe()),
        }
    }

    /// Sees in time whether it still answers, unless a call waits for that.
    pub fn look_if_idle(self: &Arc<Self>) {
        if self.calls.load(Ordering::Relaxed) == 0 {
            self.look();
        }
    }

    /// Sees in time whether it still answers.
    fn look(self: &Arc<Self>) {
        if self.is_over() || self.is_looked_at.swap(true, Ordering::Relaxed) {
            return;
        }
        let session = Arc::clone(self);
        self.runtime.spawn(async move {
            let answer = timeout(session.limit, session.client.simple_query("")).await;
            session.is_looked_at.store(false, Ordering::Relaxed);
            if !matches!(answer, Ok(Ok(_))) {
                session.end();
            }
        });
    }
}

/// A statement that has been sent.
struct Unanswered<'a> {
    session: &'a Arc<Session>,
    is_answered: bool,
}

impl Unanswered<'_> {
    fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.session.calls.fetch_sub(1, Ordering::Relaxed);
        if !self.is_answered {
            self.session.look();
        }
    }
}

/// What has been heard on a connection.
#[derive(Default)]
struct Heard(Mutex<State>);

#[derive(Default)]
struct State {
    /// What is listened to. None once the connection has ended.
    channels: HashMap<String, Channel>,
    /// Why it has ended, if it has.
    ended: Option<String>,
}

/// What is listened to on a channel.
#[derive(Default)]
struct Channel {
    /// The last event, and who has pushed it.
    last: watch::Sender<(u64, i64)>,
    /// When it was last told that a push had come too late, and whose.
    refused: Option<(Instant, i64)>,
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends what is listened to, with the task, however that ends.
struct Ending(Arc<Heard>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended.get_or_insert_with(|| CLOSED.to_owned());
        let channels = std::mem::take(&mut state.channels);
        drop(state);
        // Wakes those who listen.
        drop(channels);
    }
}

/// Drives a connection until it ends.
async fn drive(mut messages: Messages, ending: Ending) {
    while let Some(message) = poll_fn(&mut messages).await {
        match message {
            Ok(AsyncMessage::Notification(told)) => {
                let mut state = ending.0.lock();
                let mut words = told.payload().splitn(2, ' ');
                let whose = words.next().and_then(|whose| whose.parse().ok());
                if let (Some(channel), Some(whose)) = (state.channels.get_mut(told.channel()), whose) {
                    match words.next().map(str::parse) {
                        Some(Ok(event)) => drop(channel.last.send_replace((event, whose))),
                        Some(Err(_)) => {}
                        None => channel.refused = Some((Instant::now(), whose)),
                    }
                }
            }
            Ok(_) => {}
            Err(error) => {
                ending.0.lock().ended = Some(words(&error));
                break;
            }
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("is_over", &self.is_over()).finish_non_exhaustive()
    }
}
