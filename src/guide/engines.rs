//! Choose the engine that an upstream stands on, or write one for yours.
//!
//! An upstream puts the events of all clients into one order. Within one process, on one machine or behind one server of your own that
//! is a lock or a transaction. Beyond that it is an engine that exists, and what it needs is little: that a batch is taken
//! *whole or not at all, and only after the event that it was made to follow* (compare and append), that events come out in
//! order from any place on, and that what has been said to be there stays there.
//!
//! # Which one
//!
//! | you have, or want | take | because |
//! | --- | --- | --- |
//! | a PostgreSQL with your other data | `latchwork-postgres` | nothing more to run; an event can be checked by a trigger, and read by a query |
//! | three machines, and no loss when one of them is | `latchwork-nats` | a majority has each event; a leader that dies is replaced in 4 to 9 s |
//! | nothing that runs all the time, or very little money | `latchwork-object-store` | a bucket is enough; what others have done is seen at an interval, and each push costs one request |
//! | a service that another party runs, with streams for each user | S2 | its appends are what is asked for; the adapter is yours to write, some 300 lines |
//! | one machine, many processes | a SQLite file, as `examples/node-sync` has it | one transaction |
//! | a server of your own | HTTP, as `examples/http` does it | statuses are classified in a table; who may write what is your server's own |
//! | etcd, Redis, Kafka | another of these | [see below](#why-there-is-none-for) |
//!
//! # What each of them means by it
//!
//! | | compare and append | numbers | which upstream it is | going back | limits |
//! | --- | --- | --- | --- | --- | --- |
//! | **NATS JetStream** ([headers], [ADR-50]) | `Nats-Expected-Last-Sequence`; several messages at once since 2.12, as an atomic batch | the stream's sequence, without gaps while nothing is deleted | a word in the stream's subject; a stream made anew has another | restored copies, or a loss of power with the flush of two minutes that is its default ([Jepsen]): set `sync_interval: always` | 1,000 messages in a batch; 1 MB in a message unless set |
//! | **PostgreSQL** ([isolation], [replication]) | an update of the log's row where `head` is the base, and the insert, in one statement | counted in that row, without gaps | a UUID in that row, and the server's timeline | restored backups; a standby that was promoted and was not synchronous | 128 MiB in a push |
//! | **S3** ([conditional writes]), **Google Cloud Storage** ([preconditions]), **Azure** ([conditional headers]), R2 | a put of `log/{base + 1}` that fails if it is there | in the name; a batch is an object | an object of its own | a bucket restored from a copy, a lifecycle rule | 1,000 events in an object by our choice, so that a place is found by a short list |
//! | **S2** ([appends], [concurrency control]) | `match_seq_num` of an append, which is atomic | its sequence numbers, from 0, without gaps; old ones can be trimmed | keep a word in the first record; it has none for a stream that is deleted and made anew | it acknowledges what is durable | 1,000 records or 1 MiB in an append, 200 appends a second |
//! | **SQLite** | an immediate transaction | a column | a column | a file put back | one machine |
//!
//! All of ours have tests that run the [laws of an upstream](super::upstream#now-run-the-contract) on the engine itself, kill and freeze
//! its servers while clients commit, and get each outcome of a table from it that it can be brought to give.
//!
//! # What to ask of an engine
//!
//! **Does it say *no*, and is that a no?** An engine that checks the expectation before it locks, or checks it at a replica, takes
//! two batches on one base. Try it with several pushers at once.
//!
//! **What does it say when it does not know?** A time-out after the request was sent is
//! [`Uncertain`](crate::upstream::PushError::Uncertain). So is an error of a client library that has tried again by itself:
//! it may have lost against its own first attempt. Put something of the push into what is stored, and look whether what is there is yours.
//!
//! **What does a server say that leads no more?** One that stood still, or was cut off from the others, answers its clients until it
//! hears of the new leader. In an engine that has a majority behind each acknowledgement it acknowledges nothing, and what it gives
//! out is old, not wrong. With asynchronous replication it takes events that no other server will have. This is what
//! comes of it:
//!
//! | | a leader that was deposed, and a client of it |
//! | --- | --- |
//! | NATS, three replicas | acknowledges nothing and gives out nothing that is taken back; its last event is an earlier one, which is *unavailable* for 2.5 s, or as long as no majority follows it, and not *went back* |
//! | PostgreSQL, synchronous standby | acknowledges nothing, since no standby does: *uncertain* |
//! | PostgreSQL, asynchronous standby | **takes events that are lost.** Clients that have them and reach the new server fail visibly, with *went back*, unless that has grown past them. One that has been at the new server does not go back to the old one: *unavailable* |
//! | object stores | there is none to see: a read after a put shows it |
//!
//! **Who says that this was all?** A follower, a replica or a cache has no more to give long before the leader has. A page says
//! [`More::None`](crate::upstream::More::None) of the log, and what was in doubt counts as not taken then: ask the leader for the last
//! event as a pull begins, and say nothing of the kind before it is given out. (A consumer of NATS stands on any of the stream's
//! servers, and the last batch reaches the others a moment after it is acknowledged.)
//!
//! **Has it gone back?** Compare its last event with the client's cursor as each pull begins, and with the base of a push that was
//! refused: before it is [`WentBack`](crate::upstream::FatalKind::WentBack), and the owner decides. If the engine may answer
//! like that for a moment, ask again before you believe it. No number tells of an engine that has gone back and grown again past
//! what a client has; an identity or a timeline that changes with a restore does.
//!
//! **Is it the same one?** A stream of the same name in another cluster, or one that was deleted and made anew, takes batches
//! that continue another history. Keep a random word in it, beside the data or in each name, and compare it in the same
//! transaction as the expectation: [`IdentityMismatch`](crate::upstream::FatalKind::IdentityMismatch).
//!
//! **What is too large?** Say [`TooLarge`](crate::upstream::PushError::TooLarge) of a batch, before it is sent if you can: it is halved.
//! Of one event alone it is [`Rejected`](crate::upstream::PushError::Rejected), and the owner decides.
//!
//! **Do numbers have gaps?** The crate asks for order only. But where they have none, a pull that misses an event sees it at
//! once, and a head that is told says how many are to come. Engines that give numbers to what is no event
//! (Kafka's transaction markers, compacted keys, revisions of other keys in etcd) take that away.
//!
//! # Why there is none for
//!
//! **etcd.** A transaction that compares and puts is there, and linearizable. But it is made for small data: 1.5 MiB in a
//! request and 2 GiB in all, 8 at most by its own advice ([limits]); revisions count changes of all keys, and
//! compaction throws away what a client that was away needs. A log of many users' events outgrows it.
//!
//! **Redis Streams.** A script can compare and `XADD`. But replication is asynchronous, and a failover
//! can lose what was acknowledged; `WAIT` makes that less likely, and its documentation says that it makes no consistent store
//! ([WAIT]). On one server, with `appendfsync always`, an adapter would be right, and PostgreSQL is the better single server.
//!
//! **Kafka.** A producer cannot say which offset it expects: that is [KIP-27], under discussion since 2015. A transaction or an
//! idempotent producer keeps *one* producer from writing twice, and not two from writing after the same event. It takes one
//! process that compares and writes for all, which is a server of your own, with Kafka behind it.
//!
//! # Write one
//!
//! [`upstream`](super::upstream) has one that is complete. Then, in this order:
//!
//! 1. Write down what the engine can say, as a table, each line with its outcome and why. When in doubt it is `Uncertain`.
//! 2. Keep identity and numbers in the engine's own data, where the comparison is.
//! 3. Run the contract, with the connection cut too, and for a client of another upstream.
//! 4. Get each line of the table from a real server: kill it, freeze it, restore it, take the rights away.
//! 5. Let several clients commit while you do that, and compare everything at the end.
//!
//! [headers]: https://docs.nats.io/nats-concepts/jetstream/headers
//! [ADR-50]: https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md
//! [Jepsen]: https://jepsen.io/analyses/nats-2.12.1
//! [isolation]: https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED
//! [replication]: https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION
//! [conditional writes]: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
//! [preconditions]: https://cloud.google.com/storage/docs/request-preconditions
//! [conditional headers]: https://learn.microsoft.com/en-us/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations
//! [appends]: https://s2.dev/docs/concepts/appends
//! [concurrency control]: https://s2.dev/docs/concepts/concurrency-control
//! [limits]: https://etcd.io/docs/latest/dev-guide/limit/
//! [WAIT]: https://redis.io/commands/wait
//! [KIP-27]: https://cwiki.apache.org/confluence/display/KAFKA/KIP-27+-+Conditional+Publish
