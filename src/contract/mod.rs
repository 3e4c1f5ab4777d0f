//! The contracts of this crate's traits as tests, for implementations of your own.
//!
//! The replicator is right if what it stands on keeps its contract: its proofs say *provided that the upstream takes a batch
//! whole or not at all*, and nothing in the crate can show that of a backend. So the contracts are written down a second
//! time, as **laws** that are tried. A law makes an upstream, a log or a journal, uses it as the replicator would, and as other
//! clients do meanwhile, and compares what comes with its own account. It knows nothing of what is inside.
//!
//! All laws are run, and each that is broken is told in a line, with what was expected and what came. This is a backend that
//! looks at its last event before it locks, and locks afterwards:
//!
//! ```text
//! 1 law is broken:
//! - of clients that push at once one is taken: expected one of four batches that follow one event to be taken, and the
//!   others to be behind, got that it was taken; that it was taken; `Behind` with the head Some(2); that it was taken
//! ```
//!
//! To use it, ask for the feature `contract` where your tests are built:
//!
//! ```toml
//! [dev-dependencies]
//! latchwork = { version = "0.1", features = ["contract"] }
//! ```
//!
//! The laws of an upstream. For each one `make` is called anew:
//!
//! ```
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::contract::Contract;
//! use latchwork::log::MemoryLog;
//! use latchwork::upstream::Memory;
//!
//! let contract = Contract::new(MemoryLog::new, |number| format!("event {number}"));
//! contract.upstream(|| {
//!     let server = Memory::new(0); // stands for a server, or a file, of your own
//!     move || server.clone() // a client of it
//! })?;
//! # Ok::<(), latchwork::contract::Broken>(())
//! ```
//!
//! The same laws of an upstream for tasks, in its own runtime:
//!
#![doc = crate::platform::needs_runtime!()]
//! # if latchwork::sync::IN_MODEL { return Ok(()) }
//! use latchwork::contract::Contract;
//! use latchwork::log::MemoryLog;
//! use latchwork::upstream::Memory;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let contract = Contract::new(MemoryLog::new, |number| format!("event {number}"));
//! let make = async || {
//!     let server = Memory::new(0);
//!     async move || server.clone()
//! };
//! contract.async_upstream(tokio::time::sleep, make).await?;
//! # Ok::<(), latchwork::contract::Broken>(())
//! # })?;
//! # Ok::<(), latchwork::contract::Broken>(())
//! ```
//!
//! # The laws
//!
//! They are written once: what is for threads is called through an adapter for tasks ([`ForTasks`], and
//! [its like](crate::journal::ForTasks) of a journal), a thread for each call, and what that would hide of an upstream, how a call heeds its [`Interrupt`](crate::Interrupt), has laws of its own.
//!
//! | of an upstream | what is tried |
//! | --- | --- |
//! | a batch that follows is taken as it stands | batches of several sizes are pushed and pulled: the same events, numbers and order |
//! | a batch that does not follow is behind | each earlier event is tried as a base; a head that is told is the last event |
//! | a batch that is sent again is there once | the answer was lost, and the client is not sure |
//! | of clients that push at once one is taken | four clients and one base, ten times |
//! | a large batch is taken whole, or too large | 2,500 events, and halves of that if they are too large |
//! | a pull gives out what follows its cursor | from each event, also within a batch, by two clients |
//! | a pull says that it has caught up | also from an upstream without events, and from the last event |
//! | a cursor beyond the end is an error | of an upstream that has lost events, to a pull and a push |
//! | a pull has caught up with whole batches alone | another client looks while a batch is taken |
//! | an open pull gives out what comes later | of another client and of its own, unless pulls [end](Contract::one_shot_pull) |
//! | a pull that is given up ends | and another one can be begun |
//! | a push that is given up is there whole or not | at several times of its course, and another push can be begun |
//! | what was taken is there for later clients | which are opened when others were there |
//! | two upstreams have nothing in common | what one has taken is not in the other |
//! | a push whose interrupt is set returns | for threads; what it says is what has become of the batch |
//! | a pull whose interrupt is set ends | for threads; before, by a deadline, and as it waits |
//!
//! | of a connection | what is tried |
//! | --- | --- |
//! | a push whose connection is cut says what is known | at some 40 bytes each way: it was taken, `Unavailable` and it was not, or `Uncertain` |
//! | a pull whose connection is cut does not end whole | at some 40 bytes each way: it has all events, or an error |
//! | an open pull whose connection is cut fails, or goes on | it does not wait for ever |
//! | a client recovers from a server that was silent | what was sent is swallowed for a while |
//! | a slow connection is none that is cut | 100 ms each way |
//! | a call to a silent server ends when it is interrupted | for threads |
//! | a push to another upstream is fatal | with `IdentityMismatch`, and nothing is taken |
//! | a pull from another upstream is fatal | with `IdentityMismatch`, and nothing is given out |
//!
//! | of a codec | what is tried |
//! | --- | --- |
//! | a codec numbers events from 1, and leaves none out | an empty log's start is 0, and each number's position is its event's |
//! | an event is read back as it was written | 300 events, each at its position |
//!
//! | of a log | what is tried |
//! | --- | --- |
//! | `number` says where events would stand, and changes nothing | twice the same |
//! | `admit` appends what follows | and says how many are to be sent |
//! | `admit` refuses what does not follow, all of it | gaps, no order, and what is there already |
//! | `append` is number and admit | two logs, each in its own way |
//! | a batch has the first pending events | of each size |
//! | `confirm` takes the first pending events | and moves the upstream head to the last one |
//! | `confirm` of the own batch is merge | two logs, each in its own way |
//! | `merge` applies what others did, and keeps what is pending | and upstream can take that |
//! | `merge` finds the pending events in a page | which begins with them, and goes on with others' |
//! | `merge` refuses what does not follow, all of it | gaps, no order, and what has been applied |
//! | a rebase gives pending events new numbers | and an advance without others' events gives none |
//! | `give_up` takes out the events that are meant, or nothing | first, middle, last and all |
//! | `replace` puts another event in the place of one, or nothing | under the same number |
//!
//! | of a journal | what is tried |
//! | --- | --- |
//! | a new journal holds nothing | |
//! | what was written is held | each kind of change is the last one once |
//! | the changes of a call are written together | three in a call |
//! | a change that is told again is written once | also with more behind it |
//! | a later process counts its changes from 1 | while those before it are still there, as after a crash |
//! | a write that cannot be leaves nothing | its last change is about events that are not pending |
//! | many changes are held | 500 in a call |
//! | local-only events are held, and not counted | with [`with_local_only`](Contract::with_local_only); also if a reset has told nothing of them |
//! | a write that is given up is there whole or not | for tasks; after each of its polls, by a process that begins then |
//! | two journals have nothing in common | |
//!
//! # What a pass does not show
//!
//! A law is a test: it shows what it has tried. Whether what was written survives a loss of power, whether a server keeps the
//! contract while its leader is killed, how fast it is: that takes the server itself. What no client can see, such as the
//! order in which a server flushes its disk, breaks no law until it is lost.
//!
//! How long it takes is up to the implementation: for what is in memory a few tenths of a second, over HTTP some seconds.

mod broken;
mod call;
mod codec;
mod cut;
mod journal;
mod log;
mod place;
mod proxy;
mod threads;
mod upstream;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

pub use self::broken::Broken;
pub use self::proxy::{Proxy, Way};
use crate::log::{Codec, Log, Recovered};
use crate::replicator::journal::{AsyncJournal, ForTasks as JournalForTasks, Journal};
use crate::replicator::upstream::{AsyncUpstream, ForTasks, Upstream};

/// The laws of this crate's traits, for logs of one kind.
///
/// Each method runs all laws of its kind, whatever the first ones come to. The [table](self#the-laws) lists them.
pub struct Contract<L: Log> {
    log: Box<dyn Fn() -> L>,
    event: Box<dyn Fn(u64) -> L::Event>,
    local_only: Option<Box<dyn Fn(u64) -> L::Event>>,
    bound: Duration,
    is_live: bool,
}

impl<L: Log> Contract<L> {
    /// Takes a function that makes an empty log, and one that makes the event of a number. Events of different numbers are
    /// different ones to the log, and all of them are [to be sent](Log::is_local_only).
    #[must_use]
    pub fn new(log: impl Fn() -> L + 'static, event: impl Fn(u64) -> L::Event + 'static) -> Self {
        let (log, event, bound) = (Box::new(log), Box::new(event), Duration::from_secs(5));
        Self { log, event, local_only: None, bound, is_live: true }
    }

    /// The same laws, and one more of a journal, with a function that makes a [local-only](Log::is_local_only) event of a number.
    #[must_use]
    pub fn with_local_only(mut self, event: impl Fn(u64) -> L::Event + 'static) -> Self {
        self.local_only = Some(Box::new(event));
        self
    }

    /// The same laws, with so much time for each call; otherwise 5 s. What takes longer has broken its law.
    #[must_use]
    pub fn within(mut self, bound: Duration) -> Self {
        self.bound = bound;
        self
    }

    /// The same laws, of an upstream whose pulls end when they have caught up: see
    /// [`one_shot_pull`](crate::replicator::Builder::one_shot_pull).
    #[must_use]
    pub fn one_shot_pull(mut self) -> Self {
        self.is_live = false;
        self
    }
}

impl<L: Log<Entry: PartialEq + fmt::Debug>> Contract<L> {
    /// Runs the laws of a [`Log`]: of the one that [`new`](Self::new) was given.
    ///
    /// # Errors
    ///
    /// The laws that are broken.
    pub fn log(&self) -> Result<(), Broken> {
        log::laws(self).into_result()
    }

    /// Runs the laws of a [`Codec`]. It is to be the one of the log that [`new`](Self::new) was given; that one's events are to be as
    /// many and as different as those of an application, for what an event has is what is read back.
    ///
    /// # Errors
    ///
    /// The laws that are broken.
    pub fn codec(&self, codec: &impl Codec<L>) -> Result<(), Broken> {
        codec::laws(self, codec).into_result()
    }

    /// Runs the laws of a [`Journal`].
    ///
    /// `make` makes an empty journal, for each law one, and returns a function that opens it, again while the one before is
    /// there: as after a crash, nothing of that one is run any more. `recover` makes the log of what a journal holds. A journal
    /// whose writes fail now and then, since it is told to, keeps the same laws.
    ///
    /// # Errors
    ///
    /// The laws that are broken.
    pub fn journal<J, O>(
        &self,
        recover: impl Fn(Recovered<L::Entry, L::Position>) -> L,
        make: impl Fn() -> O,
    ) -> Result<(), Broken>
    where
        J: Journal<L>,
        O: Fn() -> (J, Recovered<L::Entry, L::Position>),
    {
        let for_tasks = async || {
            let open = make();
            async move || {
                let (journal, held) = open();
                (JournalForTasks::new(journal, call::on_a_thread), held)
            }
        };
        call::block_on(journal::laws(self, &call::sleep, &recover, &for_tasks)).into_result()
    }

    /// Runs the laws of an [`AsyncJournal`], in the runtime of the task that awaits this; `sleep` is the runtime's.
    ///
    /// `make` and `recover` are as for [`journal`](Self::journal). If a write goes on elsewhere once its future has been dropped, the
    /// function that opens the journal again waits for its end, as a process that begins has none beside it. No future need be
    /// `Send`.
    ///
    /// # Errors
    ///
    /// The laws that are broken.
    pub async fn async_journal<J, O, S>(
        &self,
        sleep: impl Fn(Duration) -> S,
        recover: impl Fn(Recovered<L::Entry, L::Position>) -> L,
        make: impl AsyncFn() -> O,
    ) -> Result<(), Broken>
    where
        J: AsyncJournal<L>,
        O: AsyncFn() -> (J, Recovered<L::Entry, L::Position>),
        S: Future,
    {
        let mut broken = journal::laws(self, &sleep, &recover, &make).await;
        journal::laws_of_tasks(self, &sleep, &recover, &make, &mut broken).await;
        broken.into_result()
    }

    /// Runs the laws of an [`Upstream`].
    ///
    /// `make` makes an empty upstream, for each law one, and returns a function that opens a client of it, as often as it is
    /// called. A panic of either breaks the law that called it.
    ///
    /// # Errors
    ///
    /// The laws that are broken.
    pub fn upstream<U, O>(&self, make: impl Fn() -> O) -> Result<(), Broken>
    where
        U: Upstream<L>,
        O: Fn() -> U,
    {
        let for_tasks = async || {
            let open = make();
            async move || ForTasks::new(open(), call::on_a_thread)
        };
        let mut broken = call::block_on(upstream::laws(self, &call::sleep, &for_tasks));
        threads::laws(self, &make, &mut broken);
        broken.into_result()
    }

    /// Runs the laws of an [`AsyncUpstream`], in the runtime of the task that awaits this; `sleep` is the runtime's.
    ///
    /// `make` makes an empty upstream, for each law one, and returns a function that opens a client of it, as often as it is
    /// called. A panic of either breaks the law that called it. No future need be `Send`.
    ///
    /// # Errors
    ///
    /// The laws that are broken.
    pub async fn async_upstream<U, O, S>(
        &self,
        sleep: impl Fn(Duration) -> S,
        make: impl AsyncFn() -> O,
    ) -> Result<(), Broken>
    where
        U: AsyncUpstream<L>,
        O: AsyncFn() -> U,
        S: Future,
    {
        upstream::laws(self, &sleep, &make).await.into_result()
    }

    /// Runs the laws of an [`Upstream`] that speaks TCP, through a [`Proxy`] that cuts its connections, at each of some points
    /// of each call, and swallows and delays what is sent.
    ///
    /// `make` makes an empty upstream, for each law one, and returns its server's address and a function that opens a client
    /// of it that connects to another address, which is the proxy's.
    ///
    /// # Errors
    ///
    /// The laws that are broken.
    pub fn upstream_cut<U, O>(&self, make: impl Fn() -> (SocketAddr, O)) -> Result<(), Broken>
    where
        U: Upstream<L>,
        O: Fn(SocketAddr) -> U,
    {
        let for_tasks = async || {
            let (server, open) = make();
            (server, async move |address| ForTasks::new(open(address), call::on_a_thread))
        };
        let mut broken = call::block_on(cut::laws(self, &call::sleep, &for_tasks));
        threads::laws_cut(self, &make, &mut broken);
        broken.into_result()
    }

    /// Runs the same laws of an [`AsyncUpstream`], in the runtime of the task that awaits this.
    ///
    /// # Errors
    ///
    /// The laws that are broken.
    pub async fn async_upstream_cut<U, O, S>(
        &self,
        sleep: impl Fn(Duration) -> S,
        make: impl AsyncFn() -> (SocketAddr, O),
    ) -> Result<(), Broken>
    where
        U: AsyncUpstream<L>,
        O: AsyncFn(SocketAddr) -> U,
        S: Future,
    {
        cut::laws(self, &sleep, &make).await.into_result()
    }

    /// Runs the laws of a client that reaches another [`Upstream`] than its own.
    ///
    /// `make` makes an empty upstream, and returns a client of it and a client of another one that reaches this one.
    ///
    /// # Errors
    ///
    /// The laws that are broken.
    pub fn upstream_of_another<U>(&self, make: impl Fn() -> (U, U)) -> Result<(), Broken>
    where
        U: Upstream<L>,
    {
        let make = async || {
            let (own, stranger) = make();
            (ForTasks::new(own, call::on_a_thread), ForTasks::new(stranger, call::on_a_thread))
        };
        call::block_on(upstream::laws_of_another(self, &call::sleep, &make)).into_result()
    }

    /// Runs the same laws of an [`AsyncUpstream`], in the runtime of the task that awaits this.
    ///
    /// # Errors
    ///
    /// The laws that are broken.
    pub async fn async_upstream_of_another<U, S>(
        &self,
        sleep: impl Fn(Duration) -> S,
        make: impl AsyncFn() -> (U, U),
    ) -> Result<(), Broken>
    where
        U: AsyncUpstream<L>,
        S: Future,
    {
        upstream::laws_of_another(self, &sleep, &make).await.into_result()
    }
}

impl<L: Log> fmt::Debug for Contract<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bound, is_live, .. } = self;
        f.debug_struct("Contract").field("bound", bound).field("is_live", is_live).finish_non_exhaustive()
    }
}
