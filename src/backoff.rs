//! How long to wait before trying again.

use std::time::Duration;

/// Delays that double from `initial` up to `max`, with a part of each left to chance.
///
/// With many clients that fail together, chance keeps them from coming back together ("full jitter" and its relatives;
/// see Marc Brooker, *Exponential Backoff and Jitter*, AWS Architecture Blog, 2015).
///
/// ```
/// use latchwork::Backoff;
/// use std::time::Duration;
///
/// let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1)).with_jitter(0.0);
/// let delays: Vec<_> = (0..5).map(|attempt| backoff.delay(attempt, 0).as_millis()).collect();
/// assert_eq!(delays, [100, 200, 400, 800, 1000]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backoff {
    initial: Duration,
    /// At least `initial`.
    max: Duration,
    /// In thousandths: from 0 to 1000.
    jitter: u16,
}

impl Backoff {
    /// From `initial` to `max` (at least `initial`), half of each delay left to chance.
    #[must_use]
    pub const fn new(initial: Duration, max: Duration) -> Self {
        let max = if max.as_nanos() < initial.as_nanos() { initial } else { max };
        Self { initial, max, jitter: 500 }
    }

    /// Sets the part of each delay that is left to chance: 0 for none, 1 for all of it; to the nearest thousandth.
    ///
    /// # Panics
    ///
    /// If `jitter` is not in 0 to 1.
    #[must_use]
    pub fn with_jitter(mut self, jitter: f64) -> Self {
        assert!((0.0..=1.0).contains(&jitter), "jitter is a part of the delay, expected 0 to 1, got {jitter}");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within 0 to 1000")]
        let thousandths = (jitter * 1000.0).round() as u16;
        self.jitter = thousandths;
        self
    }

    /// The delay after failure number `attempt` (the first is 0), given a random number.
    ///
    /// The same arguments give the same delay: the caller brings the chance.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let full = 2_u32.checked_pow(attempt).and_then(|factor| self.initial.checked_mul(factor));
        let full = full.unwrap_or(if self.initial.is_zero() { Duration::ZERO } else { self.max }).min(self.max);
        #[expect(clippy::cast_precision_loss, reason = "a chance needs no 64 bits")]
        let chance = random as f64 / u64::MAX as f64;
        let kept = 1.0 - f64::from(self.jitter) / 1000.0 * chance;
        // At the far end a float is too coarse to be a duration; there is no need to be exact there.
        Duration::try_from_secs_f64(full.as_secs_f64() * kept).unwrap_or(full)
    }
}

impl Default for Backoff {
    /// From 100 ms to 30 s.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extreme_delays_are_delays() {
        let ages = Backoff::new(Duration::from_millis(100), Duration::MAX).with_jitter(0.0);
        assert_eq!(ages.delay(40, 0), Duration::MAX);
        assert!(ages.with_jitter(1.0).delay(u32::MAX, u64::MAX) < Duration::from_secs(1 << 32));
        let none = Backoff::new(Duration::ZERO, Duration::from_secs(30));
        assert!((0..100).all(|attempt| none.delay(attempt, 0).is_zero()));
    }

    #[test]
    fn chance_takes_its_part_in_proportion() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::MAX).with_jitter(0.5);
        let after = |random| backoff.delay(2, random).as_secs_f64();
        assert_eq!([0, u64::MAX / 2, u64::MAX].map(after), [4.0, 3.0, 2.0]);
    }
}
