//! latchwork

mod backoff;
mod epoch;
mod interrupt;
#[doc(hidden)]
pub mod known_bugs;
mod latch;
pub mod log;
mod parker;
pub mod protocol;
mod queue;
pub mod replicator;
pub mod sync;
pub mod sync_state;
pub mod upstream;
mod wait;
mod watched;
pub mod worker;

pub use backoff::Backoff;
pub use epoch::{Epoch, Passed};
pub use interrupt::{Cause, Interrupt, Interrupted, Set};
pub use latch::{Latch, Opened};
pub use replicator::{Replicator, Settled, Ticket};
pub use sync_state::{SeqNum, SyncState};
pub use wait::Waited;
pub use worker::{RestartPolicy, Run, Worker};
