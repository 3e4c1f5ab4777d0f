//! The crate with a switch for each known bug, and with its sync points; `build.rs` writes it.

// What an edit leaves unused or unreachable is the edit's own affair.
#![allow(unused, clippy::all, clippy::pedantic)]

pub mod known_bugs;
pub mod signals;
pub mod sync_points;

include!(concat!(env!("OUT_DIR"), "/src/lib.rs"));

mod latchwork_core {
    include!(concat!(env!("OUT_DIR"), "/src/latchwork_core/lib.rs"));
}
