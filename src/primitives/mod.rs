//! What threads and tasks wait for, and how they end each other's waits: latch, epoch, interrupt and worker, on one wait
//! queue and one monitor.

pub(crate) mod epoch;
pub(crate) mod interrupt;
pub(crate) mod latch;
pub(crate) mod monitor;
pub(crate) mod panics;
mod parker;
pub(crate) mod wait;
pub(crate) mod wait_queue;
pub mod worker;
