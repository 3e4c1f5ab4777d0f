//! How long to wait before trying again.

use std::time::Duration;

/// Delays that double from `initial` up to `max`, with a part of each left to chance.
///
/// With many clients that fail together, chance keeps them from coming back together ("full jitter" and its relatives;
/// see Marc Brooker, *Exponential Backoff and Jitter*, AWS Architecture Blog, 2015).
///
/// No delay is shorter than [`SHORTEST`](Self::SHORTEST), whatever the settings and the chance:
/// what fails at once is not tried again at once, for ever.
///
/// ```
/// use latchwork_core::Backoff;
/// use std::time::Duration;
///
/// let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1)).with_jitter(0.0);
/// let delays: Vec<_> = (0..5).map(|attempt| backoff.delay(attempt, 0).as_millis()).collect();
/// assert_eq!(delays, [100, 200, 400, 800, 1000]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// At least `SHORTEST`.
    initial: Duration,
    /// At least `initial`.
    max: Duration,
    /// In thousandths: from 0 to 1000.
    jitter: u16,
}

impl Backoff {
    /// The shortest delay there is: 1 ms.
    pub const SHORTEST: Duration = Duration::from_millis(1);

    /// From `initial` (at least [`SHORTEST`](Self::SHORTEST)) to `max` (at least `initial`), half
    /// of each delay left to chance.
    #[must_use]
    pub const fn new(initial: Duration, max: Duration) -> Self {
        let initial = longer(initial, Self::SHORTEST);
        Self { initial, max: longer(max, initial), jitter: 500 }
    }

    /// The same, but from `initial` on.
    pub(crate) fn starting_at(self, initial: Duration) -> Self {
        Self { jitter: self.jitter, ..Self::new(initial, self.max) }
    }

    /// Sets the part of each delay that is left to chance: 0 for none, 1 for all of it; to the nearest thousandth.
    ///
    /// With 1 a delay may be anything from [`SHORTEST`](Self::SHORTEST) to its full length. Clients
    /// are spread the most then, and one of them may come back several times in a row almost at
    /// once.
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

    /// The delay after failure number `attempt` (the first is 0), given a random number: `initial`,
    /// doubled `attempt` times, or `max` if that is less, and of this a part taken off by chance.
    /// It is exact to the nanosecond.
    ///
    /// The same arguments give the same delay: the caller brings the chance. With 0 nothing is
    /// taken off.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let (initial, max) = (self.initial.as_nanos(), self.max.as_nanos());
        // Shifted further it would lose bits: it is longer than any duration then.
        let full = if attempt < initial.leading_zeros() { max.min(initial << attempt) } else { max };
        let chance = u32::try_from(random >> 32).expect("32 bits are left");
        // A duration in nanoseconds has 94 bits, so this has room.
        let taken = full * u128::from(self.jitter) / 1000 * u128::from(chance) / u128::from(u32::MAX);
        longer(from_nanos(full - taken), Self::SHORTEST)
    }
}

const fn longer(one: Duration, other: Duration) -> Duration {
    if one.as_nanos() < other.as_nanos() { other } else { one }
}

/// The duration of so many nanoseconds, no more than the longest has.
fn from_nanos(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    let seconds = u64::try_from(nanos / SECOND).expect("no more seconds than the longest duration has");
    let rest = u32::try_from(nanos % SECOND).expect("less than a second");
    Duration::new(seconds, rest)
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

    const HOUR: Duration = Duration::from_secs(3600);

    /// Settings at both ends and between.
    fn settings() -> impl Iterator<Item = Backoff> {
        let nanos = [0, 1, 999_999, 1_000_000, 1_000_001, 7_777_777_777, 1 << 53, (1 << 53) + 1, u64::MAX];
        let durations = nanos.map(Duration::from_nanos).into_iter().chain([
            Duration::new((1 << 53) + 3, 999_999_999),
            Duration::new(1 << 54, 1),
            Duration::MAX - Duration::from_nanos(1),
            Duration::MAX,
        ]);
        let pairs = durations.clone().flat_map(move |initial| durations.clone().map(move |max| (initial, max)));
        pairs.map(|(initial, max)| Backoff::new(initial, max))
    }

    #[test]
    fn delay_doubles_from_initial_up_to_max_without_a_jump() {
        let backoff = Backoff::new(Duration::from_millis(1), HOUR).with_jitter(0.0);
        let exact = |attempt| Duration::from_millis(1).saturating_mul(1_u32 << attempt).min(HOUR);
        assert!((0..30).all(|attempt| backoff.delay(attempt, 0) == exact(attempt)));
        for backoff in settings().map(|backoff| backoff.with_jitter(0.0)) {
            assert_eq!(backoff.delay(0, 0), backoff.initial);
            for attempt in 0..200 {
                let (one, next) = (backoff.delay(attempt, 0), backoff.delay(attempt + 1, 0));
                let doubled = one.checked_mul(2).unwrap_or(Duration::MAX);
                assert_eq!(next, doubled.min(backoff.max), "{backoff:?} after {attempt}");
            }
            assert_eq!(backoff.delay(u32::MAX, 0), backoff.max);
        }
    }

    #[test]
    fn delay_stays_between_the_shortest_and_max_whatever_the_chance() {
        for backoff in settings() {
            for jitter in [0.0, 0.001, 0.5, 0.999, 1.0] {
                let backoff = backoff.with_jitter(jitter);
                for attempt in [0, 1, 31, 32, 33, 93, 127, 128, u32::MAX] {
                    let delays = [0, 1 << 32, u64::MAX / 2, u64::MAX].map(|random| backoff.delay(attempt, random));
                    assert!(delays.is_sorted_by(|more, less| more >= less), "{backoff:?}: {delays:?}");
                    assert!(delays[0] <= backoff.max, "{backoff:?}: {delays:?}");
                    assert!(delays[3] >= Backoff::SHORTEST, "{backoff:?}: {delays:?}");
                }
            }
        }
    }

    #[test]
    fn new_lengthens_what_would_not_back_off() {
        let zero = Backoff::new(Duration::ZERO, Duration::ZERO);
        assert_eq!(zero, Backoff::new(Backoff::SHORTEST, Backoff::SHORTEST));
        assert!((0..100).all(|attempt| zero.delay(attempt, 0) == Backoff::SHORTEST));
        let grows = Backoff::new(Duration::ZERO, HOUR).with_jitter(0.0);
        assert_eq!([0, 1, 2].map(|attempt| grows.delay(attempt, 0).as_millis()), [1, 2, 4]);
    }

    #[test]
    fn with_jitter_leaves_its_part_to_chance_in_proportion() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::MAX).with_jitter(0.5);
        let after = |random| backoff.delay(2, random).as_millis();
        assert_eq!([0, u64::MAX / 4, u64::MAX / 2, u64::MAX].map(after), [4000, 3500, 3000, 2000]);
        assert_eq!(backoff.with_jitter(1.0).delay(2, u64::MAX), Backoff::SHORTEST);
        assert_eq!(Backoff::new(Duration::MAX, Duration::MAX).with_jitter(1.0).delay(0, u64::MAX), Backoff::SHORTEST);
    }
}
