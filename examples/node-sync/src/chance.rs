//! Numbers that look random, and are the same each time.

/// What a seed makes of these numbers: `SplitMix64` over one after the other.
#[must_use]
pub fn mix(seed: u64, numbers: &[u64]) -> u64 {
    numbers.iter().fold(step(seed), |mixed, number| step(mixed ^ number))
}

/// The same, from 0 up to but not including 1.
#[must_use]
pub fn part(seed: u64, numbers: &[u64]) -> f64 {
    // As many bits as a float of this size has.
    (mix(seed, numbers) >> 11) as f64 / (1_u64 << 53) as f64
}

fn step(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
