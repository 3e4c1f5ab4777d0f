//! A connection, and what happens to it.
//!
//! A client of NATS connects again by itself and says nothing of it to those who wait for an answer. So it is asked to tell
//! here, and every call is raced with the end of the connection that it was begun on.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::client::Request;
use async_nats::connection::State;
use async_nats::jetstream::{Context, context::ContextBuilder};
use async_nats::{Client, ClientError, ConnectErrorKind, ConnectOptions, Event, ServerAddr, ServerError, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use latchwork::Epoch;
use std::future::Future;
use std::pin::pin;

use crate::error::{Error, no_answer};

/// How often a server is asked whether it is there. One that does not answer three times is left.
const PING: Duration = Duration::from_secs(1);

/// How long it may take to connect to one of the servers.
const CONNECT: Duration = Duration::from_secs(2);

/// How long a question about a stream may take. Those without a leader do not answer at all.
const LOOK: Duration = Duration::from_secs(2);

/// How long others may take that answer the same question. A server that is none to answer it gives the others as much.
const OTHERS: Duration = Duration::from_millis(500);

/// A connection to a server or a cluster, for any number of upstreams. Clones are the same connection.
///
/// It begins anew by itself when it is lost, with any of the servers, until it is dropped.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    pub(crate) context: Context,
    pub(crate) fate: Arc<Fate>,
}

/// What has become of it.
pub(crate) struct Fate {
    /// Counts the ends of connections, and the server's refusals.
    changed: Epoch,
    /// What a server refused last.
    refused: Mutex<Option<String>>,
}

impl Fate {
    fn note(&self, event: &Event) {
        let refused = match event {
            Event::Connected => {
                *self.refused() = None;
                return;
            }
            Event::Disconnected | Event::Closed => None,
            Event::ServerError(ServerError::AuthorizationViolation) => Some("authorization violation".to_owned()),
            Event::ServerError(ServerError::Other(text)) if is_refusal(text) => Some(text.clone()),
            Event::ClientError(ClientError::Other(text)) if is_refusal(text) => Some(text.clone()),
            _ => return,
        };
        if refused.is_some() {
            *self.refused() = refused;
        }
        self.changed.bump();
    }

    fn refused(&self) -> impl std::ops::DerefMut<Target = Option<String>> + '_ {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a server says by this that the user may not do it, or may not even connect.
fn is_refusal(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["authorization violation", "permissions violation", "authentication revoked", "authentication expired"]
        .iter()
        .any(|words| text.contains(words))
}

/// The connection has ended, or the server has refused something, while a call was going on.
pub(crate) struct Ended;

impl Connection {
    /// Connects to one of these servers: `nats://one:4222,nats://two:4222`.
    ///
    /// # Errors
    ///
    /// [`Unreachable`](Error::Unreachable) if none of them answers, [`Refused`](Error::Refused) if one does not let it in.
    pub async fn open(servers: &str) -> Result<Self, Error> {
        Self::open_with(servers, ConnectOptions::new().ping_interval(PING).connection_timeout(CONNECT)).await
    }

    /// The same with options, as credentials are. Their event callback is replaced, and a ping interval of a second, which is
    /// what [`open`](Self::open) has, finds out in three that a server stands still.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_with(servers: &str, options: ConnectOptions) -> Result<Self, Error> {
        let unreachable = |why: String| Error::Unreachable { url: servers.to_owned(), why };
        let addresses: Result<Vec<ServerAddr>, _> = servers.split(',').map(|server| server.trim().parse()).collect();
        let addresses = addresses.map_err(|error| unreachable(error.to_string()))?;
        let fate = Arc::new(Fate { changed: Epoch::new(), refused: Mutex::new(None) });
        let noted = Arc::clone(&fate);
        let options = options.event_callback(move |event| {
            noted.note(&event);
            std::future::ready(())
        });
        let client = options.connect(addresses).await.map_err(|error| match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                Error::Refused { why: error.to_string() }
            }
            _ => unreachable(error.to_string()),
        })?;
        let context = ContextBuilder::new().timeout(LOOK).build(client.clone());
        Ok(Self { client, context, fate })
    }

    /// The client, for whatever else it is to do.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Which connection it is by now, to be given to [`while_same`](Self::while_same): read it before anything else.
    pub(crate) fn number(&self) -> u64 {
        self.fate.changed.current()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// What the server refuses, if that is why it cannot be reached, or concerns what has these words in its name.
    pub(crate) fn refusal(&self, about: &[&str]) -> Option<Error> {
        let refused = self.fate.refused().clone()?;
        let concerned = !self.is_open() || about.iter().any(|name| refused.contains(name));
        concerned.then_some(Error::Refused { why: refused })
    }

    /// Awaits a call until the connection is another one.
    pub(crate) async fn while_same<T>(&self, number: u64, call: impl Future<Output = T>) -> Result<T, Ended> {
        match select(pin!(call), pin!(self.fate.changed.past(number))).await {
            Either::Left((outcome, _)) => Ok(outcome),
            Either::Right(_) => Err(Ended),
        }
    }
}

impl Connection {
    /// Asks what servers say, and reads their answers until there is one that counts. [`NoAnswer`](Error::NoAnswer) of `read` is
    /// none: another server may say more.
    pub(crate) async fn ask<T>(
        &self,
        what: &'static str,
        subject: String,
        question: Bytes,
        read: impl Fn(&[u8]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let inbox = self.client.new_inbox();
        let answers = self.client.subscribe(inbox.clone()).await;
        let mut answers = answers.map_err(|error| no_answer(what, error))?;
        let question = Request::new().payload(question).inbox(inbox);
        self.context.send_request(subject, question).await.map_err(|error| no_answer(what, error))?;
        let (mut said, mut limit) = (no_answer(what, "no server has answered in time"), LOOK);
        while let Ok(answer) = tokio::time::timeout(limit, answers.next()).await {
            let answer = answer.ok_or_else(|| no_answer(what, "the subscription has ended"))?;
            if answer.status == Some(StatusCode::NO_RESPONDERS) {
                return Err(no_answer(what, "no server answers such a question"));
            }
            match read(&answer.payload) {
                Err(error @ Error::NoAnswer { .. }) => (said, limit) = (error, OTHERS),
                counts => return counts,
            }
        }
        Err(said)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("state", &self.client.connection_state()).finish_non_exhaustive()
    }
}
