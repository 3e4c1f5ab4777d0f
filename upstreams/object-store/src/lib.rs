//! An upstream for [`latchwork`] in an object store: S3, Google Cloud Storage, Azure, a local disk or memory, whatever the crate
//! [`object_store`] speaks to. There is no server of one's own.
//!
//! A batch is an object, `log/` and the number of its first event, that is **put only if there is none**: of all clients that
//! send a batch after the same event one is taken. A pull reads object after object; their names follow from what it has
//! read, so that it lists nothing. A [`Codec`] says how events are bytes.
//!
//! ```
//! use latchwork::log::MemoryLog;
//! use latchwork::upstream::Codec;
//! use latchwork::{Replicator, Settled};
//! use latchwork_object_store::object_store::memory::InMemory;
//! use latchwork_object_store::ObjectStoreUpstream;
//! use std::sync::Arc;
//!
//! # async fn example(codec: impl Codec<MemoryLog<String>>) -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(InMemory::new()); // or AmazonS3Builder, LocalFileSystem…, perhaps in a PrefixStore
//! let upstream = ObjectStoreUpstream::new(store, "todos", codec, tokio::time::sleep);
//! let log = MemoryLog::rebasing();
//! let (replicator, driver) = Replicator::builder(log, upstream).build_async(tokio::time::sleep);
//! tokio::spawn(driver);
//! let ticket = replicator.commit(vec!["milk".to_owned()])?;
//! assert!(matches!(ticket.await, Settled::Confirmed(_)));
//! # Ok(())
//! # }
//! ```
//!
//! A replicator with threads takes it in a [`ForThreads`](latchwork::upstream::ForThreads).
//!
//! # What the store must do
//!
//! Have [`PutMode::Create`], and show an object to a read that begins after its put has been
//! answered. S3, Google Cloud Storage, Azure and R2 do. A store without it is refused, by name.
//!
//! **A local disk**: `object_store::local::LocalFileSystem` writes a file beside and makes a hard link of
//! it, which fails if there is one: atomic on a local file system, for processes too (a test races them). With
//! `with_fsync(true)` what is taken survives a power cut; without it, the end of the process. The file system must have hard
//! links.
//!
//! Objects must not be changed or deleted by anything else. A lifecycle rule that deletes old ones makes clients that were
//! away for longer fail, visibly.
//!
//! # Clients that push at once
//!
//! A client whose batch was put knows it first, and would be first each time. So it leaves room before its next put while others
//! are at work, twice as long as its last put took, and 50 ms at least: it waits if it has seen another's batch, or come too late
//! itself, within the last second, and once a second if it has seen none. A push that comes too late has its client's pull
//! look at once, not at the next interval.
//!
//! # What becomes of a push
//!
//! | what the store says | outcome | why |
//! | --- | --- | --- |
//! | the object was put | taken | |
//! | `AlreadyExists`, `Precondition`, and what is there is this push's own | taken | the store's client has tried twice |
//! | the same, and it is another's | [`Behind`] | nothing was put |
//! | the base is in the middle of a batch, or has been followed | [`Behind`] | nothing was put |
//! | the log ends before the base | [`Fatal`], [`WentBack`] | events that it had given out are gone |
//! | `NotFound`: there is no such bucket | [`Fatal`] | trying again cannot help |
//! | `PermissionDenied`, `Unauthenticated`; of a local disk, no permission, or it is read only | [`Fatal`] | the same |
//! | `NotSupported`, `NotImplemented` | [`Fatal`], [`Error::NoPutIfAbsent`] | two clients could be taken |
//! | anything else, of the put | [`Uncertain`] | a time-out does not say whether it was put |
//! | anything else, before the put | [`Unavailable`] | nothing was put |
//! | more than [`MAX_EVENTS`] events, or than [`MAX_BYTES`] | [`TooLarge`] | it was not put |
//! | another upstream's identity | [`Fatal`], [`IdentityMismatch`] | it was not put |
//!
//! # What becomes of a pull
//!
//! Each begins with a look at the identity, and at where its cursor stands. Then it reads what follows, and once there is
//! nothing gives out an empty page at each [interval](ObjectStoreUpstream::poll_interval). Now and then it looks whether
//! the batch that it has read last is still there.
//!
//! | what it finds | outcome |
//! | --- | --- |
//! | another upstream | fatal, [`IdentityMismatch`] |
//! | a log that ends before the cursor | fatal, [`WentBack`] |
//! | a log that begins behind it | fatal, [`CursorTooOld`](latchwork::upstream::FatalKind::CursorTooOld) |
//! | an object that is no batch | fatal, with its name |
//! | `PermissionDenied`, `Unauthenticated`, `NotSupported` …, as of a push | fatal |
//! | anything else | unavailable |
//!
//! A store that goes back while a client runs (a bucket that is restored from a copy) may take a batch of that client's before
//! it has noticed. Stop the clients first.
//!
//! # What it costs
//!
//! A push is one put; the first of a client, and one after a pull that was cut short, are two reads and a list more. A pull that
//! is far behind reads 16 objects at a time, for a list of a thousand names, and keeps those 16 in memory. A pull
//! that waits is one read at each interval. A pull whose cursor stands in the middle of a batch, or at the end of the log,
//! begins with a list from at most [`MAX_EVENTS`] events before it on.
//!
//! [`Behind`]: latchwork::upstream::PushError::Behind
//! [`Fatal`]: latchwork::upstream::PushError::Fatal
//! [`Uncertain`]: latchwork::upstream::PushError::Uncertain
//! [`Unavailable`]: latchwork::upstream::PushError::Unavailable
//! [`TooLarge`]: latchwork::upstream::PushError::TooLarge
//! [`WentBack`]: latchwork::upstream::FatalKind::WentBack
//! [`IdentityMismatch`]: latchwork::upstream::FatalKind::IdentityMismatch

#![warn(missing_debug_implementations, missing_docs)]

mod ahead;
mod batch;
mod error;
mod pull;
mod push;
mod stand;
mod turns;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use latchwork::Epoch;
use latchwork::log::Log;
use latchwork::replicator::Timer;
use latchwork::upstream::Codec;
pub use object_store;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};

pub use self::error::Error;
pub use self::pull::Pages;
use self::turns::Turns;

/// The most events of a batch. A larger one is [too large](latchwork::upstream::PushError::TooLarge).
pub const MAX_EVENTS: usize = 1000;

/// How many bytes the events of a batch may have together. A larger one is too large, too: a store would take it, and each client
/// that reads has 16 of them in memory.
pub const MAX_BYTES: usize = 128 << 20;

/// An upstream in an object store: see the [crate].
///
/// # Cancel safety
///
/// A push that is dropped may have been taken, whole or not at all.
pub struct ObjectStoreUpstream<L, C, T> {
    store: Arc<dyn ObjectStore>,
    identity: String,
    codec: C,
    timer: T,
    interval: Duration,
    /// Whether the store has been found to be this upstream.
    identified: AtomicBool,
    /// The last event of a batch that this client has read or put; [`UNKNOWN`] before.
    end: AtomicU64,
    /// What tells this client's pushes from others', and how many there were.
    client: u64,
    pushes: AtomicU64,
    turns: Turns,
    /// Moves on when a push has found that the log has gone on: a pull that waits looks at once.
    news: Epoch,
    log: PhantomData<fn() -> L>,
}

/// No event's number.
const UNKNOWN: u64 = u64::MAX;

impl<L: Log, C: Codec<L>, T: Timer> ObjectStoreUpstream<L, C, T> {
    /// An upstream in this store, with this identity: a name that its clients know, and that no other upstream has. The first
    /// client writes it there. Nothing is asked of the store before the first call.
    ///
    /// For a part of a bucket, take a [`PrefixStore`](object_store::prefix::PrefixStore).
    pub fn new(store: Arc<dyn ObjectStore>, identity: impl Into<String>, codec: C, timer: T) -> Self {
        Self {
            store,
            identity: identity.into(),
            codec,
            timer,
            interval: Duration::from_secs(1),
            identified: AtomicBool::new(false),
            end: AtomicU64::new(UNKNOWN),
            client: RandomState::new().hash_one((SystemTime::now(), std::process::id())),
            pushes: AtomicU64::new(0),
            turns: Turns::new(),
            news: Epoch::new(),
            log: PhantomData,
        }
    }

    /// Sets how often a pull that has caught up looks for more. Once a second by default.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Finds out whether these objects are this upstream's; marks them if there are none.
    async fn identify(&self) -> Result<(), Error> {
        let key = Path::from("identity");
        let got = match self.store.get(&key).await {
            Err(object_store::Error::NotFound { .. }) => {
                let put = self.store.put_opts(&key, self.identity.clone().into(), PutMode::Create.into()).await;
                match put {
                    Ok(_) => {
                        self.identified.store(true, Ordering::Relaxed);
                        return Ok(());
                    }
                    Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {}
                    Err(error) => return Err(Error::of_put(error)),
                }
                self.store.get(&key).await
            }
            got => got,
        };
        let got = got.map_err(Error::Store)?.bytes().await.map_err(Error::Store)?;
        if got == self.identity {
            self.identified.store(true, Ordering::Relaxed);
            return Ok(());
        }
        Err(Error::Identity { expected: self.identity.clone(), got: String::from_utf8_lossy(&got).into_owned() })
    }

    /// This event is the last of a batch.
    fn ends(&self, number: u64) {
        self.end.store(number, Ordering::Relaxed);
    }
}

impl<L, C, T> fmt::Debug for ObjectStoreUpstream<L, C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, identity, interval, .. } = self;
        f.debug_struct("ObjectStoreUpstream")
            .field("store", store)
            .field("identity", identity)
            .field("interval", interval)
            .finish_non_exhaustive()
    }
}
