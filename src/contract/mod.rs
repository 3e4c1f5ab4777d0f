//! The contracts of `Upstream`, `AsyncUpstream`, `Log` and `Journal` as tests, for an implementation of your own.

mod broken;
mod call;
mod upstream;

use std::fmt;
use std::future::Future;
use std::time::Duration;

pub use self::broken::Broken;
use crate::log::Log;
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
    /// different ones to the log.
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
        let make = async || {
            let open = make();
            async move || ForTasks::new(open(), call::on_a_thread)
        };
        call::block_on(upstream::laws(self, &call::sleep, &make)).into_result()
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
}

impl<L: Log> fmt::Debug for Contract<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bound, is_live, .. } = self;
        f.debug_struct("Contract").field("bound", bound).field("is_live", is_live).finish_non_exhaustive()
    }
}
