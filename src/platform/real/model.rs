//! What there is of models where nothing can be explored: the reason.

use std::fmt::Display;
use std::time::Duration;

use super::Mutex;

/// A setting of the model, until this is dropped.
#[derive(Debug)]
pub(crate) enum Setting {}

fn refuse() -> ! {
    let missing = match (cfg!(loom), cfg!(feature = "loom")) {
        (true, _) => "the feature `latchwork/loom` is off",
        (false, true) => "RUSTFLAGS does not say `--cfg loom`",
        (false, false) => "RUSTFLAGS does not say `--cfg loom`, and the feature `latchwork/loom` is off",
    };
    panic!("this is no model build, and would explore nothing: {missing}")
}

pub(crate) fn check(_preemptions: Option<usize>, _scenario: impl Fn() + Send + Sync + 'static) {
    refuse()
}

pub(crate) fn advance(_by: Duration) {
    refuse()
}

pub(crate) fn end_time() {
    refuse()
}

pub(crate) fn wake_spuriously() {
    refuse()
}

pub(crate) fn expect_spurious() -> Setting {
    refuse()
}

pub(crate) fn give_way() -> Setting {
    refuse()
}

pub(crate) fn name<T>(_known_by: &Mutex<T>, _name: impl Display) {}

pub(crate) fn say(_words: impl Display) {}

pub(crate) fn waits(_reason: impl Display) {}

pub(crate) fn within<T>(steps: impl FnOnce() -> T) -> T {
    steps()
}
