//! A search.
#![cfg(not(loom))]
