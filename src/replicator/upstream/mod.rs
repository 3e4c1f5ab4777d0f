//! What a backend implements, an upstream in memory, and faults to inject.

pub(super) mod call;
mod deadline;
mod faults;
mod faulty;
mod for_tasks;
mod for_threads;
mod memory;
mod tasks;

pub use self::faults::{Fault, Faults};
pub use self::faulty::Faulty;
pub use self::for_tasks::ForTasks;
pub use self::for_threads::ForThreads;
pub use self::memory::Memory;
pub use self::tasks::{AsyncPull, AsyncUpstream};
use crate::log::Log;
use crate::primitives::interrupt::Interrupt;
use crate::protocol::{Batch, Page, PullError, PushError};

/// An upstream: it takes batches in, and gives out, in order, all that it has taken from any client.
///
/// # Contract
///
/// - A batch is taken whole or not at all, and only if it follows upstream's last event ([`Batch::base`]). Taken, its
///   events keep the numbers that they have in the batch.
/// - A pull gives out every event after the cursor, in order, none left out. Giving one twice does no harm.
/// - A pull says **at some time that it has caught up**, or fails: a live one with a page that says
///   [`More::None`](crate::upstream::More::None), any other by its end. If a push has had no answer and upstream has not taken
///   it, nothing else shows that.
/// - An upstream that ends before a cursor has lost events that it had given out. The pull fails
///   ([`FatalKind::WentBack`](crate::upstream::FatalKind::WentBack)): it would otherwise leave out what comes under those numbers
///   again. A push whose base is beyond the end is refused: with that error, or as behind that end.
/// - Both return soon after the interrupt is set. A push whose interrupt is set before anything was sent is
///   [`PushError::Unavailable`]; afterwards it is [`PushError::Uncertain`].
///
/// The two are called from two threads, one call of each kind at a time. A panic is taken for a fatal error; of a push,
/// for one with an uncertain outcome.
pub trait Upstream<L: Log>: Send + Sync + 'static {
    /// Hands a batch to upstream and waits for its answer. `Ok` means that upstream has ordered the batch as it stands.
    ///
    /// # Errors
    ///
    /// Whatever else came of it, classified by what is known: see [`PushError`].
    fn push(&self, batch: &Batch<L>, interrupt: &Interrupt) -> Result<(), PushError<L::Position>>;

    /// Gives out what upstream has ordered after `cursor`, in pages.
    ///
    /// The iterator's end means that everything upstream had when the pull began has been given out; so does a page with
    /// [`More::None`](crate::upstream::More::None). A live pull waits for more after such a page, until it is interrupted. A pull that cannot go on
    /// yields an error as its last item.
    fn pull<'a>(
        &'a self,
        cursor: L::Position,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<L::Entry>, PullError>> + 'a;
}
