//! A live pull: a consumer of its own from the cursor on, whose messages are to come in order and without a gap.
//!
//! The stream's leader says which event is the last one. The consumer may stand on another server, which has not caught up with
//! it: that nothing follows there says something from that event on alone.
//!
//! It does what an ordered consumer of the client does, and makes no new one if something is missing: the pull ends, and the
//! next begins with a look at the stream, which may be another by then or have gone back.

use std::fmt;
use std::time::Duration;

use async_nats::header::{NATS_BATCH_COMMIT, NATS_BATCH_ID, NATS_LAST_CONSUMER};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, push};
use async_nats::jetstream::message::Message as JetStreamMessage;
use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use latchwork::log::Log;
use latchwork::upstream::{AsyncPull, Codec, More, Page, PullError};

use crate::error::{Error, no_answer};
use crate::form::{Envelope, Form};
use crate::outcome;
use crate::stream::{NatsUpstream, Start};

/// How often a consumer that has nothing to give says that it is there.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// How long nothing may come from it.
const SILENCE: Duration = Duration::from_millis(2500);

/// How long a consumer is kept whose client is gone.
const ABANDONED: Duration = Duration::from_secs(5);

/// A pull from a [`NatsUpstream`]. While there is nothing it gives out an empty page every half second.
pub struct Pull<'a, L: Log, C> {
    upstream: &'a NatsUpstream<L, C>,
    cursor: u64,
    live: Option<Live>,
    /// Whether a page has said that there is no more.
    caught_up: bool,
}

/// A consumer.
struct Live {
    subscriber: Subscriber,
    /// Which connection it was made on.
    connection: u64,
    /// The stream's last event as it was made, by its leader.
    head: u64,
    /// How many messages have come.
    delivered: u64,
}

/// What a message is.
enum Came {
    Event,
    /// There is nothing more.
    Heartbeat,
    /// The consumer asks for a sign.
    Stalled(async_nats::Subject),
}

impl<'a, L: Log, C: Codec<L>> Pull<'a, L, C> {
    pub(crate) fn new(upstream: &'a NatsUpstream<L, C>, cursor: u64) -> Self {
        Self { upstream, cursor, live: None, caught_up: false }
    }

    async fn page(&mut self) -> Result<Page<L::Entry>, Error> {
        if self.live.is_none() {
            let connection = self.upstream.connection.number();
            let begun = self.begin(connection).await;
            // A connection's end is told a moment after it. What was begun on one that had ended begins once more.
            let had_ended = begun.is_err() && self.upstream.connection.number() != connection;
            let live = if had_ended { self.begin(self.upstream.connection.number()).await? } else { begun? };
            let head = live.head;
            self.live = Some(live);
            if head == self.cursor {
                self.caught_up = true;
                return Ok(Page { entries: Vec::new(), more: More::None });
            }
        }
        let mut page = Page { entries: Vec::new(), more: More::Unknown };
        loop {
            let upstream = self.upstream;
            let live = self.live.as_mut().expect("it was made above");
            // What has come already belongs to this page; else it waits, unless it has something to give.
            let ready = live.subscriber.next().now_or_never();
            let message = match ready {
                Some(message) => message,
                None if page.entries.is_empty() => upstream.next(live).await?,
                None => break,
            };
            let message = message.ok_or_else(|| no_answer("a pull", "the subscription has ended"))?;
            match what_came(&mut live.delivered, &message)? {
                Came::Event => {
                    let head = live.head;
                    page.more = self.take(message, head, &mut page.entries)?;
                }
                Came::Stalled(subject) => {
                    // If it does not arrive the consumer falls silent.
                    let _unheard = upstream.connection.client().publish(subject, Bytes::new()).await;
                }
                Came::Heartbeat if page.entries.is_empty() => {
                    page.more = if self.caught_up { More::None } else { More::Unknown };
                    return Ok(page);
                }
                Came::Heartbeat => {}
            }
            if page.entries.len() >= upstream.page {
                break;
            }
        }
        self.caught_up |= page.more == More::None;
        Ok(page)
    }

    /// Looks at the stream and makes a consumer.
    async fn begin(&self, connection: u64) -> Result<Live, Error> {
        let upstream = self.upstream;
        let begin = async {
            let start = upstream.start(self.cursor).await?;
            upstream.consume(connection, start).await
        };
        let begun = upstream.connection.while_same(connection, begin).await;
        begun.unwrap_or_else(|_| Err(upstream.lost()))
    }

    /// Takes the events out of a message of a stream that has events up to `head` at least. Returns what follows it.
    fn take(&mut self, message: Message, head: u64, entries: &mut Vec<L::Entry>) -> Result<More, Error> {
        let upstream = self.upstream;
        if *message.subject != *upstream.subject {
            return Err(Error::NotAnUpstream {
                stream: upstream.name.clone(),
                subjects: vec![message.subject.to_string()],
            });
        }
        let within_batch = message.headers.as_ref().is_some_and(is_within_batch);
        let message = JetStreamMessage { message, context: upstream.connection.context.clone() };
        let info = message.info().map_err(|error| no_answer("a message", error))?;
        let (sequence, pending) = (info.stream_sequence, info.pending);
        let envelope = match upstream.form {
            Form::Batches => Envelope { first: sequence, events: vec![message.message.payload] },
            Form::Envelopes => {
                Envelope::open(message.message.payload).map_err(|why| upstream.no_event(sequence, why))?
            }
        };
        if envelope.first > self.cursor + 1 {
            let (first, wanted) = (envelope.first, self.cursor + 1);
            return Err(Error::Gone { stream: upstream.name.clone(), first, wanted });
        }
        let last = envelope.last();
        for (number, event) in (envelope.first..).zip(envelope.events).filter(|(number, _)| *number > self.cursor) {
            let position = upstream.codec.position(number);
            entries.push(
                upstream.codec.entry_from_bytes(position, &event).map_err(|why| upstream.no_event(sequence, why))?,
            );
        }
        self.cursor = self.cursor.max(last);
        upstream.note(last, sequence);
        Ok(what_follows(upstream.form, pending, within_batch || self.cursor < head))
    }
}

/// Whether more messages of the same batch follow. A message alone is none of a batch.
fn is_within_batch(headers: &HeaderMap) -> bool {
    headers.get(NATS_BATCH_ID).is_some() && headers.get(NATS_BATCH_COMMIT).is_none()
}

/// What follows a message, of which the consumer says that so many are pending. There is more, whatever is pending, within a
/// batch, which becomes visible as a whole and is given out message by message, and before the stream's last event.
fn what_follows(form: Form, pending: u64, there_is_more: bool) -> More {
    match (pending, form) {
        (0, _) if there_is_more => More::Unknown,
        (0, _) => More::None,
        (pending, Form::Batches) => More::Events(pending),
        (_, Form::Envelopes) => More::Unknown,
    }
}

/// What a message is. It is to follow those that have been `delivered`, of which it is one then.
fn what_came(delivered: &mut u64, message: &Message) -> Result<Came, Error> {
    let missing = || no_answer("a pull", "a message is missing");
    match message.status {
        Some(StatusCode::IDLE_HEARTBEAT) => {
            if let Some(subject) = &message.reply {
                return Ok(Came::Stalled(subject.clone()));
            }
            let header = |name| message.headers.as_ref().and_then(|headers| headers.get(name)?.as_str().into());
            if let Some(subject) = header("Nats-Consumer-Stalled") {
                return Ok(Came::Stalled(subject.into()));
            }
            let last: Option<u64> = header(NATS_LAST_CONSUMER.as_ref()).and_then(|text| text.parse().ok());
            if last == Some(*delivered) { Ok(Came::Heartbeat) } else { Err(missing()) }
        }
        Some(status) => Err(no_answer("a pull", format!("the server ends it: {status}"))),
        None => {
            let reply = message.reply.as_deref().unwrap_or_default();
            let number = consumer_sequence(reply).ok_or_else(missing)?;
            *delivered += 1;
            if number == *delivered { Ok(Came::Event) } else { Err(missing()) }
        }
    }
}

impl<L: Log, C: Codec<L>> NatsUpstream<L, C> {
    async fn consume(&self, connection: u64, Start { sequence, head }: Start) -> Result<Live, Error> {
        const WHAT: &str = "to begin a pull";
        let inbox = self.connection.client().new_inbox();
        let refused = |error| self.connection.refusal(&[&self.name]).unwrap_or(error);
        // Before the consumer, so that it misses nothing.
        let subscriber = self.connection.client().subscribe(inbox.clone()).await;
        let subscriber = subscriber.map_err(|error| no_answer(WHAT, error))?;
        let config = push::Config {
            deliver_subject: inbox,
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: sequence },
            ack_policy: AckPolicy::None,
            max_deliver: 1,
            flow_control: true,
            idle_heartbeat: HEARTBEAT,
            inactive_threshold: ABANDONED,
            memory_storage: true,
            num_replicas: 1,
            ..push::Config::default()
        };
        let made = self.connection.context.create_consumer_on_stream(config, &self.name).await;
        made.map_err(|error| refused(no_answer(WHAT, error)))?;
        Ok(Live { subscriber, connection, head, delivered: 0 })
    }

    /// The next message of a consumer.
    async fn next(&self, live: &mut Live) -> Result<Option<Message>, Error> {
        let connection = live.connection;
        let next = tokio::time::timeout(SILENCE, live.subscriber.next());
        match self.connection.while_same(connection, next).await {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(_)) => Err(no_answer("a pull", "the consumer says nothing any more")),
            Err(_) => Err(self.lost()),
        }
    }

    fn lost(&self) -> Error {
        let refusal = self.connection.refusal(&[&self.name, "_INBOX"]);
        refusal.unwrap_or_else(|| no_answer("a pull", "the connection has ended"))
    }
}

/// Which of the consumer's messages it is, by the subject for its answer: `$JS.ACK.` and nine words, or two more before.
fn consumer_sequence(reply: &str) -> Option<u64> {
    let words: Vec<_> = reply.split('.').collect();
    let at = if words.len() <= 9 { 6 } else { 8 };
    words.get(at)?.parse().ok()
}

impl<L: Log, C: Codec<L>> AsyncPull<L> for Pull<'_, L, C> {
    async fn next_page(&mut self) -> Option<Result<Page<L::Entry>, PullError>> {
        Some(self.page().await.map_err(outcome::of_pull))
    }
}

impl<L: Log, C> fmt::Debug for Pull<'_, L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pull").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(status: Option<StatusCode>, reply: Option<&str>, headers: &[(&'static str, &str)]) -> Message {
        let mut map = HeaderMap::new();
        headers.iter().for_each(|(name, value)| map.insert(*name, *value));
        let (subject, payload) = ("latchwork".into(), Bytes::new());
        let reply = reply.map(Into::into);
        Message { subject, reply, payload, headers: Some(map), status, description: None, length: 0 }
    }

    #[test]
    fn what_came_finds_that_a_message_is_missing() {
        let event = |number: u64| message(None, Some(&format!("$JS.ACK.todos.me.1.17.{number}.0.0")), &[]);
        let beat = |last: &str| message(Some(StatusCode::IDLE_HEARTBEAT), None, &[("Nats-Last-Consumer", last)]);
        let mut delivered = 0;
        assert!(matches!(what_came(&mut delivered, &beat("0")), Ok(Came::Heartbeat)));
        for number in [1, 2] {
            assert!(matches!(what_came(&mut delivered, &event(number)), Ok(Came::Event)), "{number}");
        }
        assert!(matches!(what_came(&mut delivered, &beat("2")), Ok(Came::Heartbeat)));
        for last in ["1", "3", ""] {
            assert!(what_came(&mut delivered, &beat(last)).is_err(), "{last:?} was the last one");
        }
        for number in [2, 4] {
            assert!(what_came(&mut 2, &event(number)).is_err(), "{number} follows 2");
        }
        assert!(what_came(&mut 2, &message(None, None, &[])).is_err(), "it is no message of a consumer");
    }

    #[test]
    fn what_came_answers_a_consumer_that_asks_for_a_sign() {
        for asks in [
            message(Some(StatusCode::IDLE_HEARTBEAT), Some("sign"), &[]),
            message(Some(StatusCode::IDLE_HEARTBEAT), None, &[("Nats-Consumer-Stalled", "sign")]),
        ] {
            assert!(matches!(what_came(&mut 0, &asks), Ok(Came::Stalled(subject)) if *subject == *"sign"), "{asks:?}");
        }
        assert!(what_came(&mut 0, &message(Some(StatusCode::NOT_FOUND), None, &[])).is_err());
    }
    #[test]
    fn what_follows_is_known_at_the_end_of_a_batch_alone() {
        let headers = |names: &[&'static str]| {
            message(None, None, &names.iter().map(|name| (*name, "1")).collect::<Vec<_>>()).headers.unwrap()
        };
        let (id, commit) = ("Nats-Batch-Id", "Nats-Batch-Commit");
        let within = [headers(&[]), headers(&[id]), headers(&[id, commit])].map(|headers| is_within_batch(&headers));
        assert_eq!(within, [false, true, false]);
        for form in [Form::Batches, Form::Envelopes] {
            assert_eq!(what_follows(form, 0, false), More::None);
            assert_eq!(what_follows(form, 0, true), More::Unknown);
        }
        // In a batch, too: they are messages of this one at least.
        assert_eq!([false, true].map(|within| what_follows(Form::Batches, 7, within)), [More::Events(7); 2]);
        // They are messages, of which each has any number of events.
        assert_eq!(what_follows(Form::Envelopes, 7, false), More::Unknown);
    }
}
