//! An upstream for [`latchwork`] on a stream of NATS JetStream: a server, or a cluster of them, orders the events of all clients.
//!
//! A push is compare and append: a batch is taken whole or not at all, and only if it follows the stream's last event. A pull
//! is live, by a consumer of its own from the cursor on. A [`Codec`] says how events are bytes.
//!
//! ```no_run
//! use latchwork::log::MemoryLog;
//! use latchwork::upstream::Codec;
//! use latchwork::{Replicator, Settled};
//! use latchwork_nats::async_nats::jetstream::stream::Config;
//! use latchwork_nats::{Connection, NatsUpstream};
//!
//! # async fn example(codec: impl Codec<MemoryLog<String>>) -> Result<(), Box<dyn std::error::Error>> {
//! let connection = Connection::open("nats://one:4222,nats://two:4222,nats://three:4222").await?;
//! let config = Config { name: "todos".to_owned(), num_replicas: 3, ..Config::default() };
//! let upstream = NatsUpstream::create(&connection, config, None, codec).await?;
//! let log = MemoryLog::rebasing();
//! let (replicator, driver) = Replicator::builder(log, upstream).build_async(tokio::time::sleep);
//! tokio::spawn(driver);
//! let ticket = replicator.commit(vec!["milk".to_owned()])?;
//! assert!(matches!(ticket.await, Settled::Confirmed(_)));
//! # Ok(())
//! # }
//! ```
//!
//! A replicator with threads takes it in a [`ForThreads`](latchwork::upstream::ForThreads), with a runtime that runs on threads
//! of its own: the client's connection is a task.
//!
//! # What must be set on the servers
//!
//! **`sync_interval: always`**, in the block `jetstream`. Without it a server writes to its disk every two minutes, and says
//! that a batch is taken before that. If the machines of a majority lose power meanwhile, or one of them and its disk with it,
//! events are gone that clients have been told are there (Jepsen, *NATS 2.12.1*, December 2025). It costs about half of the
//! throughput: see the README. A cluster whose servers are merely killed loses nothing: what was written is in the system's
//! hands.
//!
//! # Forms, and identity
//!
//! A server from version 2.12 on has atomic batches, and there an event is a message; on an older one all events of a push are
//! one message. Which of these [forms](Form) a stream has is decided when it is made. The stream's subject names it, and an
//! identity with it that no other stream has: `latchwork.batches.7MkQ…`. So clients of different versions never mix forms, and
//! nothing that is sent to one stream is taken by another that was made in its place. Keep the
//! [identity](NatsUpstream::identity) beside the log, and [open](NatsUpstream::open) the stream with it.
//!
//! Nothing else may be published to that subject, and nothing deleted. Limits by age, count or size are possible; a client that
//! was away for longer than they reach back fails with [`CursorTooOld`].
//!
//! A limit by age can leave a stream without a message. In the form of batches it goes on where it was, since an event's number
//! is its message's. In the form of envelopes none is left then that says how many events there were. A client that has had the
//! last envelope since it opened the stream goes on, and with its next push all others do; until then they fail, since what they
//! lack may be gone. If no client is left that has, the stream has to be made anew: keep envelopes for longer than all may rest.
//!
//! # What becomes of a push
//!
//! | what comes | outcome | why |
//! | --- | --- | --- |
//! | an acknowledgement | taken | a majority has it |
//! | 10071, the stream ends behind the base | [`Behind`], with the last event in the form of batches, which may not be acknowledged yet | nothing was stored |
//! | 10071, the stream ends before the base | [`Fatal`], [`WentBack`] | events that it had given out are gone; see below |
//! | envelopes that have all been forgotten, and a base of which this client does not know that it was the end | [`Fatal`], [`CursorTooOld`] | nothing was sent |
//! | no connection | [`Unavailable`] | nothing was sent |
//! | the connection ends before the last message was sent | [`Unavailable`] | no batch without its last message |
//! | no responders | [`Unavailable`] | nothing listens to the subject: no leader is elected |
//! | no responders, and the stream is gone, or another has its name | [`Fatal`], in the second case [`IdentityMismatch`] | a look at the stream, of half a second at most |
//! | 503: no leader, no quorum, no resources | [`Unavailable`] | the server says so before it does anything |
//! | 10176, 10210: a message of the batch was lost, too many batches at once | [`Unavailable`] | the batch was given up whole |
//! | the connection ends, or the time, after the last message was sent | [`Uncertain`] | it may have been taken |
//! | 10077: it could not be stored, as in a stream that is full | [`Uncertain`] | another server may have stored it |
//! | 5xx else, or no answer of a stream | [`Uncertain`] | it does not say |
//! | an event alone is larger than a message may be, on the server or in the stream | [`Rejected`], at the event | it was not sent |
//! | 10054, 10199, more than 1,000 events, more bytes than a message has in the form of envelopes | [`TooLarge`] | it was not stored |
//! | the user may not publish to the subject, or may not connect any more | [`Fatal`] | trying again cannot help |
//! | 10174 and all other 4xx | [`Fatal`] | the same; the stream was made by others |
//!
//! # What becomes of a pull
//!
//! Each begins with a look at the stream, whose leader says which event is the last one: before that one is given out no page says
//! that there is no more, since the consumer may stand on a server that lags. It ends when a message is missing, the consumer is
//! silent for 2.5 s or the connection ends: [`Unavailable`](latchwork::upstream::PullError::Unavailable), after which the next
//! one begins with a look again. While there is nothing it gives out an empty page every half second, so that
//! [`pull_silence`](latchwork::replicator::Builder::pull_silence) may be set from one second on.
//!
//! | what it finds | outcome |
//! | --- | --- |
//! | another stream, or one that is no upstream | fatal, [`IdentityMismatch`] |
//! | no stream | fatal |
//! | a stream that ends before the cursor | fatal, [`WentBack`] |
//! | a stream that begins behind it, or has forgotten all and how much that was | fatal, [`CursorTooOld`] |
//! | a message that is no event | fatal, with its number |
//! | a user who may not | fatal |
//! | no server that [leads](#whose-answer-counts) the stream | unavailable |
//! | anything else | unavailable |
//!
//! # A stream that has gone back
//!
//! Restored from an older copy, or after such a loss as above, a stream ends before what clients have. Each of them fails
//! visibly with the next push or pull, [`WentBack`], and sends nothing: its own events and what it knows of others' are not lost.
//! What then is right only the owner knows: to put the newer data back and [restart](latchwork::Replicator::restart), or to
//! begin anew with a log from a snapshot ([`reset_with`](latchwork::Replicator::reset_with)).
//!
//! A leader that was [deposed](#a-leader-that-was-deposed) answers as such a stream would. So in a cluster the answer is believed
//! only if the same leader says so for 2.5 s, and others that are a majority with it have answered it within the last 2.2 s,
//! whether they have all that it has or not; until then upstream is unavailable, and says which of them has answered when.
//!
//! It goes **unnoticed** if the stream has grown again past what a client has before that client looks: numbers are all that
//! there is to tell by.
//!
//! # Whose answer counts
//!
//! A question about a stream is answered by its leader, and for itself by each server that knows none: while an election goes
//! on, and for as long as a replica cannot take part again. What such a server has may be old, and a client that is connected to
//! it hears it first. So the leader's answer is waited for, half a second from the last other one; without it upstream is
//! unavailable.
//!
//! **There may be no leader though two of three servers run** (seen with 2.15.1): one that was started again says that it has what
//! is in its log before it has what it missed in its stream, and is not elected until then. If the leader is killed meanwhile,
//! and the third server lacks what these two had taken, neither of the two is elected until the leader is back. Nothing is lost.
//! Where servers are started again one after the other, wait until all replicas are current (`nats stream info`) each time.
//!
//! # A leader that was deposed
//!
//! One that stood still, or that has lost its way to the others and not to its clients, leads on until it hears that they have
//! elected another one; if it hears nothing, for some ten seconds. What it has acknowledged or given out a majority has, so
//! that none of it is taken back while the disks keep it. Meanwhile its clients find:
//!
//! | asked for | it says | outcome |
//! | --- | --- | --- |
//! | a push | nothing: no majority takes it | [`Uncertain`]; once it hears of the other one, what it has not got through is dropped |
//! | a push after one of those | 10071, with a last event that may never be one | [`Behind`]: not stored. A catch-up does not bring that event, and the replicator backs off |
//! | a pull | nothing: a majority makes consumers | unavailable |
//! | more of a pull that is going on | what it has, and that it is there | empty pages, and nothing that is not so |
//! | its last event, by a client that has had later ones | an earlier one | unavailable; gone back only as above |
//!
//! The tests do both to a leader, and compare all that its clients were told with the stream at the end.
//!
//! [`Behind`]: latchwork::upstream::PushError::Behind
//! [`CursorTooOld`]: latchwork::upstream::FatalKind::CursorTooOld
//! [`Fatal`]: latchwork::upstream::PushError::Fatal
//! [`IdentityMismatch`]: latchwork::upstream::FatalKind::IdentityMismatch
//! [`Rejected`]: latchwork::upstream::PushError::Rejected
//! [`TooLarge`]: latchwork::upstream::PushError::TooLarge
//! [`Unavailable`]: latchwork::upstream::PushError::Unavailable
//! [`Uncertain`]: latchwork::upstream::PushError::Uncertain
//! [`WentBack`]: latchwork::upstream::FatalKind::WentBack

mod cluster;
mod connection;
mod error;
mod form;
mod outcome;
mod pull;
mod push;
mod stream;

pub use async_nats;
pub use connection::Connection;
pub use error::Error;
pub use form::Form;
pub use pull::Pull;
pub use stream::NatsUpstream;

use latchwork::log::Log;
use latchwork::upstream::{AsyncUpstream, Batch, Codec, PushError};

impl<L: Log, C: Codec<L>> AsyncUpstream<L> for NatsUpstream<L, C> {
    type Pull<'a> = Pull<'a, L, C>;

    async fn push(&self, batch: &Batch<L>) -> Result<(), PushError<L::Position>> {
        self.send(batch).await
    }

    fn pull(&self, cursor: L::Position) -> Pull<'_, L, C> {
        Pull::new(self, self.codec.number(cursor))
    }
}
