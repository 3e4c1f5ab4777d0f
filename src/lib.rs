//! latchwork

mod backoff;
mod epoch;
mod interrupt;
#[doc(hidden)]
pub mod known_bugs;
mod latch;
mod parker;
mod queue;
pub mod sync;
mod wait;
mod watched;
pub mod worker;

pub use backoff::Backoff;
pub use epoch::{Epoch, Passed};
pub use interrupt::{Cause, Interrupt, Interrupted, Set};
pub use latch::{Latch, Opened};
pub use wait::Waited;
pub use worker::{RestartPolicy, Run, Worker};
