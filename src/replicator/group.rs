//! Commits are kept in groups, by their numbers.

/// How many commits there are in a group.
pub(super) const GROUP: u64 = 16;

/// The group of this commit, counted from the first there ever was.
pub(super) fn group(number: u64) -> u64 {
    number / GROUP
}

/// The commit's place in its group.
pub(super) fn place(number: u64) -> usize {
    (number % GROUP) as usize
}
