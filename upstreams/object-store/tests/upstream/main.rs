//! The upstream, in memory and on a local disk.

mod ahead;
mod common;
mod contract;
mod outcomes;
mod processes;
