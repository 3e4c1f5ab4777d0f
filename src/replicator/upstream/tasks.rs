//! What a backend for tasks implements.

use std::future::Future;

use crate::log::Log;
use crate::protocol::{Batch, Page, PullError, PushError};

/// An [`Upstream`](super::Upstream) for tasks: its contract is the same, and what is different is how a call ends early.
///
/// To interrupt a call is to **drop its future**, which may happen at each of its awaits. A push that has been dropped may
/// have been taken: nothing more is asked of it, and the replicator finds out from the events that it pulls.
///
/// No future need be `Send`. A [`Driver`](crate::replicator::Driver) is, exactly if they are and the upstream is `Sync`:
/// one trait for `spawn` and for `spawn_local`. That is also why a pull has a type with a name: of an `impl AsyncPull` the
/// compiler would not see whether the futures that it makes are `Send`.
///
/// A future that panics is taken for a fatal error; of a push, for one with an uncertain outcome.
pub trait AsyncUpstream<L: Log>: 'static {
    /// A pull: see [`pull`](Self::pull).
    type Pull<'a>: AsyncPull<L>
    where
        Self: 'a;

    /// Hands a batch to upstream and waits for its answer. `Ok` means that upstream has ordered the batch as it stands.
    ///
    /// # Errors
    ///
    /// Whatever else came of it, classified by what is known: see [`PushError`].
    fn push(&self, batch: &Batch<L>) -> impl Future<Output = Result<(), PushError<L::Position>>>;

    /// Gives out what upstream has ordered after `cursor`, in pages. Waits for nothing: that is up to the pages.
    fn pull(&self, cursor: L::Position) -> Self::Pull<'_>;
}

/// What upstream has ordered after some position, in pages.
pub trait AsyncPull<L: Log> {
    /// The next page. `None` is the end, and means what the end of the iterator of [`Upstream::pull`](super::Upstream::pull) does; an error is the last
    /// item. A future that is dropped is followed by the drop of the pull, so that it need not be cancel safe.
    fn next_page(&mut self) -> impl Future<Output = Option<Result<Page<L::Entry>, PullError>>>;
}
