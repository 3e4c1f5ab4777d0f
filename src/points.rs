//! Sync points that are not edits in `loom-tests/known_bugs.rs` yet.

/// Nothing, and `false` for `owed`; in the copy of `loom-tests/switched`, a sync point.
macro_rules! point {
    (owed $name:ident) => {
        false
    };
    ($name:ident) => {};
}
pub(crate) use point;
