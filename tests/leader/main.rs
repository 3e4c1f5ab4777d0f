//! Sessions whose upstream is a replicator: what each outcome at the leader's upstream is to them, and a chain of three under
//! faults.
#![cfg(not(all(loom, feature = "loom")))]

mod chain;
mod outcomes;
