//! The scenarios on the crate as it ships: what is searched exhaustively.

use ::latchwork;

#[path = "mod.rs"]
pub mod scenarios;

/// This build has no known bug that could be on.
fn suspend() -> impl Sized {}
