//! Glossary: the words of this crate, and the field's names for the same things.
//!
//! One word stands for one thing. Where the field has a word, it is the field's.
//!
//! # Waiting
//!
//! | word | meaning | elsewhere |
//! | --- | --- | --- |
//! | **latch** | A gate that opens and closes. ([`Latch`](crate::Latch)) | *Manual-reset event* (Win32 `CreateEvent`, .NET `ManualResetEvent`); Effect's `Latch`. Not the one-shot latch of C++ (`std::latch`) and Java (`CountDownLatch`). |
//! | **epoch** | A counter to wait on: read it, look, park past what was read. ([`Epoch`](crate::Epoch)) | *Eventcount* (Reed and Kanodia, "Synchronization with eventcounts and sequencers", CACM 1979; Vyukov's eventcount; the crate `event-listener`). |
//! | **interrupt** | A sticky request to end, with a cause. ([`Interrupt`](crate::Interrupt)) | *Cancellation token* (.NET, tokio-util). |
//! | **worker** | A restartable thread. ([`Worker`](crate::Worker)) | *Supervised process* (Erlang/OTP, with its restart intensity); Effect's `FiberHandle`. |
//! | **run**, **generation** | One execution of a worker's body, and its number. | Erlang's *incarnation*. |
//! | **monitor** | A state under a mutex, and the threads and tasks that wait for it to change. | *Monitor* (Hoare, "Monitors: an operating system structuring concept", CACM 1974). |
//! | **wait queue** | Where waiters leave their wakers. | Linux `wait_queue`; the crate `maitake-sync`. |
//! | **park** | To block a thread until it is woken. | `std::thread::park`, `parking_lot`. |
//! | **waiter** | A thread or a task that waits. | |
//! | **lost wake-up** | A waiter sleeps although what it waits for has happened. | The same everywhere. |
//! | **spurious wake-up** | A condition variable's wait returns for no reason. | POSIX `pthread_cond_wait`. |
//! | **release sequence** | The read-modify-writes that continue what a release store has published. | C++ memory model, [intro.races]. |
//! | **backoff**, **jitter** | A delay that grows with failures; the part of it that is left to chance. ([`Backoff`](crate::Backoff)) | Ethernet's *truncated binary exponential backoff* (Metcalfe and Boggs, CACM 1976). |
//!
//! # Replication
//!
//! | word | meaning | elsewhere |
//! | --- | --- | --- |
//! | **log** | The events of one client, in order. ([`Log`](crate::log::Log)) | LiveStore's *eventlog*, Kafka's *log*. |
//! | **upstream** | What puts the events of all clients into one order. ([`Upstream`](crate::upstream::Upstream)) | git's *upstream*; a *sequencer*. |
//! | **pending** | Committed here, and not ordered by upstream yet. | Replicache's *pending mutations*. |
//! | **head**, **upstream head** | The last event of a log; the last that upstream has ordered and the log has applied. | git's *HEAD* and remote-tracking branch. |
//! | **cursor** | Where a pull begins: the upstream head. | Replicache's *cookie*. |
//! | **commit** | To append events to the log, as pending. | |
//! | **push**, **batch**, **base** | To hand pending events to upstream; those of one push; the event that they follow. | git; compare-and-swap on the head. |
//! | **pull**, **page** | To fetch what upstream has ordered; a part of it. | git; LiveStore. |
//! | **echo** | A client's own event, as it comes back in a pull. | |
//! | **merge** | To apply a page, or a batch that was accepted, to the log. | git. |
//! | **advance**, **rebase** | Outcomes of a merge: the pending events keep their numbers, or get new ones. ([`Merged`](crate::log::Merged)) | LiveStore's `syncstate`; git's *fast-forward* and *rebase*. |
//! | **confirm**, **reject** | Upstream has ordered an event; the log has given it up. | Kafka's *acknowledge*; matrix-rust-sdk's *wedged* event. |
//! | **behind** | A push was not taken, because upstream has events that it does not follow. | git's *non-fast-forward*; HTTP 409, 412. |
//! | **uncertain**, **doubt** | The answer to a push is lost: upstream may have taken it. | The *two generals*; Kafka's idempotent producer answers it with sequence numbers. |
//! | **fence** | Nothing is sent past a push whose outcome is unknown. | Kafka and Raft, where a fence keeps out what is stale. |
//! | **catch-up** | A pull that begins after an outcome, and reports what upstream had. | Raft's *probe* (etcd's `StateProbe`). |
//! | **live pull** | A pull that waits for more when it has caught up. | Long polling, a subscription. |
//! | **ticket**, **settle** | The receipt of a commit; a commit settles when its outcome is known: confirmed, rejected, closed. ([`Ticket`](crate::Ticket)) | A *promise* or *future* of a producer's `send` (Kafka). |
//! | **owner** | The code that holds the replicator, and decides what it cannot. | |
//! | **block**, **give up** | An event that upstream refuses for good keeps back those behind it; the owner takes it out of the log. ([`decide`](super::decide)) | matrix-rust-sdk's *wedged* and *unwedge*; a *poison message*, a *dead letter* (message queues). |
//! | **decision**, **halted** | What only the owner can end; what waits for that, or for a replicator that has stopped. | |
//! | **linger** | A push waits for more events than there are. | Kafka's `linger.ms`; Nagle's algorithm (RFC 896). |
//! | **deadline** | When an interrupt is set without a setter. | Go's `context.WithDeadline`; gRPC. |
//! | **caught up**, **progress** | A pull has had everything; how much is to come. | Realm's `downloadProgress`. |
//! | **revision** | Counts the changes of what a status shows. | A *resource version* (Kubernetes watches). |
//! | **gate** | What a paused direction waits at. | |
//! | **journal** | What a crash cannot undo, written in order. | *Write-ahead log* (ARIES, Mohan et al. 1992). |
//!
//! # Checking
//!
//! | word | meaning | elsewhere |
//! | --- | --- | --- |
//! | **model** | A test that loom runs in every order of its threads. | loom's own word; after CDSChecker (Norris and Demsky, OOPSLA 2013). |
//! | **model build** | The build in which locks, atomics, threads and the clock are loom's. | |
//! | **property** | What a model shows, or what must hold in each state of a search. | stateright's `Property`. |
//! | **invariant** | What must never happen: I1 and so on, in the report. | TLA+. |
//! | **known bug** | A defect that a model must find: an edit of the code that ships. | *Mutant* (DeMillo, Lipton and Sayward 1978); compiled once, as *mutant schemata* (Untch, Offutt and Harrold 1993). |
//! | **switched build** | The crate with all known bugs, each behind a switch. | |
//! | **variant** | A scenario built another engine's way, which must fail. | shuttle's broken examples beside the correct ones. |
//! | **exhaustive**, **bounded** | Every schedule was searched; or those with so many preemptions. | CHESS's *preemption bound* (Musuvathi and Qadeer 2007). |
//! | **execution trace** | One interleaving as columns, one for each thread. | shuttle's *schedule*. |
//! | **state search** | Every state of the pure protocol that some steps reach. | TLC, stateright. |
//! | **canonical form** | A state without what its future does not depend on. | stateright's *representative*. |
//! | **fingerprint** | A state's hash. | TLC. |
//! | **sync point** | Where a test may hold a thread. | RocksDB's `SyncPoint`. |
//! | **facade** | The module that chooses between the real locks and loom's. | tokio's `loom` module. |
