//! A stream that is an upstream.
//!
//! Its only subject is `latchwork.FORM.IDENTITY`. So what tells it from others, and how it keeps events, stand in its own
//! configuration, and in the subject of each message: whatever is published to it, and whatever comes from it, names both. A
//! stream that was made anew in its place has another subject, and cannot be given a batch by mistake.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, Info, RawMessage};
use bytes::Bytes;
use latchwork::log::Log;
use latchwork::upstream::Codec;
use serde::Deserialize;
use serde_json::json;

use crate::cluster::{self, Doubt};
use crate::connection::Connection;
use crate::error::{Error, no_answer};
use crate::form::{self, Envelope, Form};

/// How long a push waits for its answer, without another word.
const ANSWER: Duration = Duration::from_secs(5);

/// How long it may take to make a stream, or to open one.
const MAKING: Duration = Duration::from_secs(10);

/// How long after a question that was not answered the next one is asked.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// An upstream on a stream of JetStream: see the [crate's documentation](crate).
pub struct NatsUpstream<L, C> {
    pub(crate) connection: Connection,
    pub(crate) codec: C,
    pub(crate) name: String,
    pub(crate) subject: String,
    pub(crate) form: Form,
    identity: String,
    /// What tells the batches of this client from those of others.
    pub(crate) instance: String,
    /// The most that a message may have, by the stream's configuration.
    most: Option<usize>,
    pub(crate) answer_within: Duration,
    pub(crate) page: usize,
    /// In the form of envelopes: the last event that is known, and the message that it ends.
    known: Mutex<Option<(u64, u64)>>,
    /// Since when the stream seems to end before what is known.
    doubt: Mutex<Option<Doubt>>,
    log: PhantomData<fn() -> L>,
}

/// Where a pull begins.
pub(crate) struct Start {
    /// The message that holds the event after the cursor, or the one that will.
    pub(crate) sequence: u64,
    /// The last event that there is.
    pub(crate) head: u64,
}

impl<L: Log, C: Codec<L>> NatsUpstream<L, C> {
    /// Opens the stream of this name. With an `identity`, it is to be that one: who has a log of it keeps its
    /// [identity](Self::identity) beside that.
    ///
    /// # Errors
    ///
    /// If there is none, if it is another or no upstream, or if the server does not answer.
    pub async fn open(connection: &Connection, name: &str, identity: Option<&str>, codec: C) -> Result<Self, Error> {
        let info = patient_info(connection, name).await?;
        let (form, got) = form::of_stream(name, &info.config.subjects)?;
        if let Some(expected) = identity.filter(|expected| *expected != got) {
            return Err(other(name, expected, got));
        }
        Ok(Self {
            connection: connection.clone(),
            codec,
            name: name.to_owned(),
            subject: form.subject(got),
            form,
            identity: got.to_owned(),
            instance: unique(connection),
            most: usize::try_from(info.config.max_message_size).ok().filter(|most| *most > 0),
            answer_within: ANSWER,
            page: 1_000,
            known: Mutex::new(None),
            doubt: Mutex::new(None),
            log: PhantomData,
        })
    }

    /// Makes a stream and opens it; or opens the one that is there, whatever its configuration.
    ///
    /// Of `config`, the name, the storage, the replicas and limits count. What an upstream must not be without is set: its
    /// subject, that nothing is deleted, and atomic batches if the server has them and `form` does not say otherwise.
    ///
    /// # Errors
    ///
    /// If the server does not make it, and as [`open`](Self::open).
    pub async fn create(connection: &Connection, config: Config, form: Option<Form>, codec: C) -> Result<Self, Error> {
        let name = config.name.clone();
        match patient_info(connection, &name).await {
            Err(Error::NoStream { .. }) => make(connection, config, form).await?,
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        Self::open(connection, &name, None, codec).await
    }

    /// What tells this upstream from all others, also from one that is made in its place.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// How it keeps events. It was decided when the stream was made.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The same upstream, whose pushes wait so long for their answer. 5 s without this. The outcome of one that has none by
    /// then is not known.
    #[must_use]
    pub fn answer_within(self, limit: Duration) -> Self {
        Self { answer_within: limit, ..self }
    }

    /// The same upstream, whose pages have so many events at most: 1,000 without this. In the form of envelopes a page may be
    /// longer by what one of them holds.
    ///
    /// # Panics
    ///
    /// If it is to be none.
    #[must_use]
    pub fn page(self, events: usize) -> Self {
        assert!(events > 0, "expected at least one event in a page, got none");
        Self { page: events, ..self }
    }

    /// The most that the payload of a message may have.
    pub(crate) fn most(&self) -> usize {
        let most = self.connection.client().max_payload();
        self.most.map_or(most, |own| own.min(most)).saturating_sub(form::HEADERS)
    }

    /// What the stream says of itself, if it is the one that was opened.
    pub(crate) async fn info(&self) -> Result<Info, Error> {
        let info = stream_info(&self.connection, &self.name).await?;
        let (_, got) = form::of_stream(&self.name, &info.config.subjects)?;
        if got != self.identity {
            return Err(other(&self.name, &self.identity, got));
        }
        Ok(info)
    }

    /// Where to begin with what follows `cursor`.
    pub(crate) async fn start(&self, cursor: u64) -> Result<Start, Error> {
        let (info, head) = self.look(cursor).await?;
        let gone = |first| Error::Gone { stream: self.name.clone(), first, wanted: cursor + 1 };
        let (first, last) = (info.state.first_sequence.max(1), info.state.last_sequence);
        let sequence = match self.form {
            Form::Batches if first > cursor + 1 => return Err(gone(first)),
            Form::Batches => cursor + 1,
            Form::Envelopes if head == cursor => last + 1,
            Form::Envelopes => {
                let sequence = self.find(cursor + 1, first, last).await?;
                let envelope = self.message(sequence).await?;
                // That all have been forgotten since is seen by the next look.
                let envelope =
                    envelope.ok_or_else(|| no_answer("a message of the stream", "it has just been there"))?;
                if envelope.first > cursor + 1 {
                    return Err(gone(envelope.first));
                }
                sequence
            }
        };
        Ok(Start { sequence, head })
    }

    /// The first of these messages whose last event is `wanted` or a later one. What has been forgotten meanwhile is earlier.
    async fn find(&self, wanted: u64, mut from: u64, mut to: u64) -> Result<u64, Error> {
        while from < to {
            let middle = from + (to - from) / 2;
            let is_earlier = self.message(middle).await?.is_none_or(|envelope| envelope.last() < wanted);
            if is_earlier { from = middle + 1 } else { to = middle }
        }
        Ok(from)
    }

    /// The stream's last event, if there is a message that tells, or this client knows how the last one ended.
    async fn head(&self, info: &Info) -> Result<Option<u64>, Error> {
        match (self.form, info.state.last_sequence) {
            (Form::Batches, last) => Ok(Some(last)),
            (Form::Envelopes, 0) => Ok(Some(0)),
            (Form::Envelopes, last) => Ok(match self.message(last).await? {
                Some(envelope) => {
                    self.note(envelope.last(), last);
                    Some(envelope.last())
                }
                None => self.known().filter(|(_, sequence)| *sequence == last).map(|(event, _)| event),
            }),
        }
    }

    /// A message, unless it has been forgotten.
    async fn message(&self, sequence: u64) -> Result<Option<Envelope>, Error> {
        const WHAT: &str = "a message of the stream";
        #[derive(Deserialize)]
        struct Got {
            message: RawMessage,
        }
        let read = |answer: &[u8]| match serde_json::from_slice(answer) {
            Ok(Response::Ok(Got { message })) => {
                let message = StreamMessage::try_from(message).map_err(|error| no_answer(WHAT, error))?;
                Envelope::open(message.payload).map(Some).map_err(|why| self.no_event(sequence, why))
            }
            Ok(Response::Err { error }) if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => Ok(None),
            Ok(Response::Err { error }) => Err(no_answer(WHAT, error)),
            Err(error) => Err(no_answer(WHAT, error)),
        };
        let question = json!({ "seq": sequence }).to_string();
        self.connection.ask(WHAT, format!("STREAM.MSG.GET.{}", self.name), question.into(), read).await
    }

    pub(crate) fn no_event(&self, sequence: u64, why: impl ToString) -> Error {
        Error::NoEvent { stream: self.name.clone(), sequence, why: why.to_string() }
    }

    fn known(&self) -> MutexGuard<'_, Option<(u64, u64)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that this message ends with this event.
    pub(crate) fn note(&self, event: u64, sequence: u64) {
        let mut known = self.known();
        *known = (*known).max(Some((event, sequence)));
    }

    /// The message that ends with the event `base`, or the last event, if that is another.
    pub(crate) async fn ending_with(&self, base: u64) -> Result<Result<u64, u64>, Error> {
        let known = *self.known();
        match known.filter(|(event, _)| *event == base) {
            Some((_, sequence)) => Ok(Ok(sequence)),
            None => {
                let info = self.info().await?;
                let head = self.head(&info).await?.ok_or_else(|| self.forgotten(base + 1))?;
                Ok(if head == base { Ok(info.state.last_sequence) } else { Err(head) })
            }
        }
    }

    fn forgotten(&self, wanted: u64) -> Error {
        Error::Forgotten { stream: self.name.clone(), wanted }
    }

    /// A push has been taken: a leader that does not know of it is doubted from then on alone.
    pub(crate) fn trust(&self) {
        *self.doubt() = None;
    }

    fn doubt(&self) -> MutexGuard<'_, Option<Doubt>> {
        self.doubt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the stream says of itself, and its last event, which is to be `known` or a later one.
    pub(crate) async fn look(&self, known: u64) -> Result<(Info, u64), Error> {
        let info = self.info().await?;
        let head = self.head(&info).await?.ok_or_else(|| self.forgotten(known + 1))?;
        if head >= known {
            self.trust();
            return Ok((info, head));
        }
        if let Err(why) = cluster::has_gone_back(&mut self.doubt(), info.cluster.as_ref(), Instant::now()) {
            let name = &self.name;
            let why = format!("{name} ends at event {head}, and event {known} had been there; {why}");
            return Err(no_answer("a stream that may have gone back, or whose leader was deposed", why));
        }
        *self.known() = None;
        Err(Error::WentBack { stream: self.name.clone(), head, known })
    }
}

/// What a stream says of itself.
async fn stream_info(connection: &Connection, name: &str) -> Result<Info, Error> {
    const WHAT: &str = "the stream's state";
    let about: [&str; 2] = [name, "_INBOX"];
    if let Err(error) = connection.context.get_stream_no_info(name).await {
        return Err(Error::NotMade { stream: name.to_owned(), why: error.to_string() });
    }
    let read = |answer: &[u8]| match serde_json::from_slice(answer) {
        Ok(Response::<Info>::Ok(info)) if cluster::speaks_for_it(info.cluster.as_ref()) => Ok(info),
        Ok(Response::Ok(info)) => {
            let last = info.state.last_sequence;
            let leader = info.cluster.and_then(|cluster| cluster.leader).filter(|leader| !leader.is_empty());
            let knows = leader.map_or_else(|| "none".to_owned(), |leader| format!("{leader} alone"));
            let why = format!("a server that knows {knows} to lead it says that message {last} is the last one");
            Err(no_answer(WHAT, why))
        }
        Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            Err(Error::NoStream { stream: name.to_owned() })
        }
        Ok(Response::Err { error }) => Err(no_answer(WHAT, error)),
        Err(error) => Err(no_answer(WHAT, error)),
    };
    let ask = connection.ask(WHAT, format!("STREAM.INFO.{name}"), Bytes::new(), read);
    match connection.while_same(connection.number(), ask).await {
        Ok(Err(error @ Error::NoAnswer { .. })) => Err(connection.refusal(&about).unwrap_or(error)),
        Ok(answer) => answer,
        Err(_) => Err(connection.refusal(&about).unwrap_or_else(|| no_answer(WHAT, "the connection has ended"))),
    }
}

/// The same, asked again for a while: a stream that has just been made has no leader yet, and does not answer.
async fn patient_info(connection: &Connection, name: &str) -> Result<Info, Error> {
    let end = Instant::now() + MAKING;
    loop {
        match stream_info(connection, name).await {
            Err(Error::NoAnswer { .. }) if Instant::now() < end => tokio::time::sleep(ASK_AGAIN).await,
            answer => return answer,
        }
    }
}

/// Makes a stream, unless another client has.
async fn make(connection: &Connection, config: Config, form: Option<Form>) -> Result<(), Error> {
    let name = config.name.clone();
    let identity = unique(connection);
    let form = form.unwrap_or_else(|| form::best(&connection.client().server_info().version));
    let config = Config {
        subjects: vec![form.subject(&identity)],
        deny_delete: true,
        deny_purge: true,
        allow_atomic_publish: form == Form::Batches,
        ..config
    };
    let not_made = |why: String| Error::NotMade { stream: name.clone(), why };
    let mut context = connection.context.clone();
    context.set_timeout(MAKING);
    let answer: Result<Response<Info>, _> = context.request(format!("STREAM.CREATE.{name}"), &config).await;
    match answer {
        Ok(Response::Ok(info)) if form == Form::Batches && !info.config.allow_atomic_publish => {
            // It takes single messages and ignores what makes a batch of them.
            let _unheard = connection.context.delete_stream(&name).await;
            Err(not_made("the server has no atomic batches".to_owned()))
        }
        Ok(Response::Ok(_)) => Ok(()),
        Ok(Response::Err { error }) if error.error_code() == ErrorCode::STREAM_NAME_EXIST => Ok(()),
        Ok(Response::Err { error }) => Err(not_made(error.to_string())),
        Err(error) => Err(no_answer("to make a stream", error)),
    }
}

/// A word that no other call of any client gives.
fn unique(connection: &Connection) -> String {
    // As an inbox has one at its end.
    let inbox = connection.client().new_inbox();
    inbox.rsplit('.').next().unwrap_or_default().to_owned()
}

fn other(name: &str, expected: &str, got: &str) -> Error {
    Error::OtherUpstream { stream: name.to_owned(), expected: expected.to_owned(), got: got.to_owned() }
}

impl<L, C> fmt::Debug for NatsUpstream<L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, identity, form, .. } = self;
        f.debug_struct("NatsUpstream")
            .field("name", name)
            .field("identity", identity)
            .field("form", form)
            .finish_non_exhaustive()
    }
}
