//! The contracts' laws: what the crate has keeps them, and each finds what breaks it.
#![cfg(not(loom))]

mod ours;
