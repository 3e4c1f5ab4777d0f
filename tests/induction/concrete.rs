//! The state search's clients and their upstream, as they are.

#![allow(dead_code, reason = "the search uses the rest")]

#[path = "../search/calls.rs"]
pub mod calls;
#[path = "../search/client.rs"]
pub mod client;
#[path = "../search/faults.rs"]
pub mod faults;
#[path = "../search/graph.rs"]
pub mod graph;
#[path = "../search/inputs.rs"]
pub mod inputs;
#[path = "../search/journal.rs"]
pub mod journal;
#[path = "../search/log.rs"]
pub mod log;
#[path = "../search/model.rs"]
pub mod model;
#[path = "../search/properties.rs"]
pub mod properties;
#[path = "../search/upstream.rs"]
pub mod upstream;
