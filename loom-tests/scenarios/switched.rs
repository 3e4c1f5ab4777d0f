//! The scenarios on the build with the known bugs, which a search of them must find.

use latchwork::known_bugs::suspend;
use latchwork_switched as latchwork;

// What another engine has in the place of the crate's own is looked at there alone.
#[allow(clippy::duplicate_mod, dead_code)]
#[path = "mod.rs"]
pub mod scenarios;

// On signals that are chosen, as this build lets it.
#[path = "driver.rs"]
pub mod driver;
