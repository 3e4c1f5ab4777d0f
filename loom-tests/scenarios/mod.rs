//! What the models do: drive the shipped code through its public interface.

pub mod latch;
pub mod replicator;
pub mod worker;
