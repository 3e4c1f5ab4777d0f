//! The upstream, in memory and on a local disk.

mod ahead;
mod common;
mod contract;
mod example;
mod fair;
mod outcomes;
mod processes;
