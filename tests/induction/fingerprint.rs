//! What is compared of a state, condensed to 64 bits.

use std::cmp::Ordering;
use std::hash::Hasher;

use super::oracle::Position;

/// A hasher that sees of a position only whether it is before, at or after the log's head, and of a
/// failure only that it is one.
///
/// Each word is folded in by a multiplication whose two halves are added without carry, as foldhash
/// and wyhash do: a search hashes little else, and takes a quarter longer with the standard hasher.
pub struct Fingerprint {
    head: Position,
    folded: u64,
}

impl Fingerprint {
    pub const fn new(head: Position) -> Self {
        Self { head, folded: 0x2437_5a88_85a3_08d3 }
    }
}

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.folded
    }

    /// The words of a failure: they are told, and make no difference to what follows.
    fn write(&mut self, _words: &[u8]) {}

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.folded ^ word) * 0x9e37_79b9_7f4a_7c15_u128;
        self.folded = product as u64 ^ (product >> 64) as u64;
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    /// Of all that is hashed, positions alone are such numbers.
    fn write_i64(&mut self, position: i64) {
        self.write_u8(match position.cmp(&self.head.0) {
            Ordering::Less => 0,
            Ordering::Equal => 1,
            Ordering::Greater => 2,
        });
    }
}
