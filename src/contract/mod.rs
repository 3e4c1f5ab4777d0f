//! The contracts of `Upstream`, `AsyncUpstream`, `Log` and `Journal` as tests, for an implementation of your own.

mod broken;
mod call;
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
use crate::log::Log;
use crate::log::change::Recovered;
use crate::replicator::journal::Journal;
use crate::replicator::upstream::{AsyncUpstream, ForTasks, Upstream};

/// The laws of this crate's traits, for logs of one kind.
///
/// Each method runs all laws of a trait, whatever the first ones come to, and says which are broken.
pub struct Contract<L: Log> {
    log: Box<dyn Fn() -> L>,
    event: Box<dyn Fn(u64) -> L::Event>,
    bound: Duration,
    is_live: bool,
}

impl<L: Log> Contract<L> {
    /// Takes a function that makes an empty log, and one that makes the event of a number. Events of different numbers are
    /// different ones to the log, and all of them are [to be sent](Log::is_local_only).
    #[must_use]
    pub fn new(log: impl Fn() -> L + 'static, event: impl Fn(u64) -> L::Event + 'static) -> Self {
        Self { log: Box::new(log), event: Box::new(event), bound: Duration::from_secs(5), is_live: true }
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
        journal::laws(self, &recover, &make).into_result()
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
