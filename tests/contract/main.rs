//! The contracts' laws: what the crate has keeps them, and each finds what breaks it.
#![cfg(not(loom))]

mod broken_connections;
mod broken_journals;
mod broken_logs;
mod broken_upstreams;
mod ours;
