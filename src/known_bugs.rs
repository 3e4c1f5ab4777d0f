//! Sites of known bugs that are not edits in `loom-tests/known_bugs.rs` yet.

/// `false`; in the copy of `loom-tests/switched`, whether one of these known bugs is switched on.
macro_rules! bug {
    ($($name:ident),+) => {
        false
    };
}
pub(crate) use bug;
