//! The upstream, in memory and on a local disk.

mod common;
mod contract;
mod outcomes;
mod processes;
