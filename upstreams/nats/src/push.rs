//! A push: one message after the other, and the last one is answered.
//!
//! Until the last message has been handed to the client nothing can have been taken. From then on the outcome is uncertain,
//! unless an answer says more. What the client has been handed it sends also after this call has been dropped, and to another
//! server if it must: the server takes no batch that lacks a message, and none whose expectation does not hold any more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE, NATS_EXPECTED_LAST_SEQUENCE,
};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use latchwork::log::Log;
use latchwork::upstream::{Batch, Codec, PushError};

use crate::error::{Error, no_answer};
use crate::form::{Envelope, Form};
use crate::outcome::{self, Answer};
use crate::stream::NatsUpstream;

/// The most messages that a server takes in one batch.
const MOST: usize = 1_000;

/// How long a look may take at a stream whose subject nothing listens to. Without a leader it does not answer.
const UNHEARD: Duration = Duration::from_millis(500);

/// What tells the batches of a process from each other.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl<L: Log, C: Codec<L>> NatsUpstream<L, C> {
    pub(crate) async fn send(&self, batch: &Batch<L>) -> Result<(), PushError<L::Position>> {
        let connection = self.connection.number();
        if !self.connection.is_open() {
            return Err(self.ended());
        }
        let base = self.codec.number(batch.base);
        let events: Vec<Bytes> = batch.entries.iter().map(|entry| self.codec.entry_to_bytes(entry).into()).collect();
        let most = self.most();
        if let Some(index) = events.iter().position(|event| event.len() > most) {
            let error = format!("the event has {} bytes, and a message may have {most}", events[index].len());
            return Err(PushError::Rejected { index, error: error.into() });
        }
        let count = events.len() as u64;
        let sequence = match self.form {
            Form::Batches if events.len() > MOST => {
                return Err(PushError::TooLarge { error: format!("a batch may have {MOST} events").into() });
            }
            Form::Batches => self.send_batch(connection, base, events).await?,
            Form::Envelopes => {
                let sequence = self.expected(base).await?;
                let envelope = Envelope { first: base + 1, events }.close();
                if envelope.len() > most {
                    let error = format!("the batch has {} bytes, and a message may have {most}", envelope.len());
                    return Err(PushError::TooLarge { error: error.into() });
                }
                let headers = expecting(sequence);
                self.commit(connection, base, headers, envelope.into()).await?
            }
        };
        self.note(base + count, sequence);
        self.trust();
        Ok(())
    }

    async fn send_batch(
        &self,
        connection: u64,
        base: u64,
        mut events: Vec<Bytes>,
    ) -> Result<u64, PushError<L::Position>> {
        let last = events.pop().expect("a batch is never empty");
        if events.is_empty() {
            return self.commit(connection, base, expecting(base), last).await;
        }
        let batch = format!("{}-{}", self.instance, NEXT.fetch_add(1, Ordering::Relaxed));
        let client = self.connection.client();
        let count = events.len() + 1;
        let headers = |number: usize| {
            let mut headers = if number == 1 { expecting(base) } else { HeaderMap::new() };
            headers.insert(NATS_BATCH_ID, batch.as_str());
            headers.insert(NATS_BATCH_SEQUENCE, number.to_string());
            headers
        };
        let send = async {
            for (number, event) in (1..).zip(events) {
                client.publish_with_headers(self.subject.clone(), headers(number), event).await?;
            }
            Ok(())
        };
        match self.connection.while_same(connection, send).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error: async_nats::PublishError = error;
                return Err(outcome::of_publish(error.kind(), error.into()));
            }
            Err(_) => return Err(self.ended()),
        }
        let mut headers = headers(count);
        headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
        self.commit(connection, base, headers, last).await
    }

    /// Sends the message that decides, and awaits its answer. Returns its number in the stream.
    async fn commit(
        &self,
        connection: u64,
        base: u64,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<u64, PushError<L::Position>> {
        let request = Request::new().headers(headers).payload(payload).timeout(Some(self.answer_within));
        let call = self.connection.client().send_request(self.subject.clone(), request);
        match self.connection.while_same(connection, call).await {
            Ok(Ok(answer)) => self.read(base, &answer).await,
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => {
                Err(self.unheard().await.map_or_else(|| outcome::unavailable(error.into()), outcome::of_push))
            }
            Ok(Err(error)) => Err(outcome::of_request(error.kind(), error.into())),
            Err(_) => Err(match self.connection.refusal(&[&self.subject]) {
                // It names the subject, to which it has passed on nothing.
                Some(refusal) => outcome::of_push(refusal),
                None => PushError::Uncertain { error: "the connection has ended before the answer came".into() },
            }),
        }
    }

    /// Nothing listens to the subject: why that will not pass, if a server says so.
    async fn unheard(&self) -> Option<Error> {
        let look = tokio::time::timeout(UNHEARD, self.info()).await;
        look.ok()?.err().filter(outcome::is_fatal)
    }

    async fn read(&self, base: u64, answer: &Message) -> Result<u64, PushError<L::Position>> {
        let error = match serde_json::from_slice(&answer.payload) {
            Ok(Response::Ok(PublishAck { sequence, .. })) => return Ok(sequence),
            Ok(Response::Err { error }) => error,
            Err(error) => return Err(PushError::Uncertain { error: format!("no answer: {error}").into() }),
        };
        Err(match outcome::of_error(&error) {
            Answer::WrongLast(last) => match (self.form, last) {
                (Form::Batches, Some(head)) => self.behind(base, head).await,
                // It is the number of a message.
                _ => PushError::Behind { head: None },
            },
            Answer::TooLarge => PushError::TooLarge { error: error.into() },
            Answer::NotNow => outcome::unavailable(error.into()),
            Answer::Never => outcome::of_push(Error::Refused { why: error.to_string() }),
            Answer::Unknown => PushError::Uncertain { error: error.into() },
        })
    }

    /// In the form of envelopes: the number of the message that is to be the last one.
    async fn expected(&self, base: u64) -> Result<u64, PushError<L::Position>> {
        if base == 0 {
            return Ok(0);
        }
        match self.ending_with(base).await.map_err(outcome::of_push)? {
            Ok(sequence) => Ok(sequence),
            Err(head) => Err(self.behind(base, head).await),
        }
    }

    /// The stream is said to end with `head`, which is not the base.
    async fn behind(&self, base: u64, head: u64) -> PushError<L::Position> {
        if head > base {
            return PushError::Behind { head: Some(self.codec.position(head)) };
        }
        match self.look(base).await {
            Err(error) => outcome::of_push(error),
            Ok(_) => outcome::of_push(no_answer("a push", "the server that has answered is behind the others")),
        }
    }

    /// What a push comes to that has handed over nothing that could be taken.
    fn ended(&self) -> PushError<L::Position> {
        let refusal = self.connection.refusal(&[&self.subject]);
        outcome::of_push(refusal.unwrap_or_else(|| no_answer("a push", "there is no connection")))
    }
}

fn expecting(last: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_LAST_SEQUENCE, last.to_string());
    headers
}
