//! When a failed run is followed by another one.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Backoff;
use crate::platform::Instant;

/// What a [`Worker`](crate::Worker) does when a run fails or panics without having been interrupted.
///
/// The intensity limit is that of Erlang/OTP's supervisors: more than so many restarts within so long, and the worker
/// gives up. Giving up is visible ([`Phase::GivenUp`](crate::worker::Phase::GivenUp)) and ends with the next
/// [`restart`](crate::worker::Handle::restart).
#[derive(Debug, Clone, PartialEq)]
pub struct RestartPolicy {
    /// `None`: never restart.
    backoff: Option<Backoff>,
    /// At most so many restarts within so long.
    intensity: Option<(u32, Duration)>,
    /// A run that lasted this long was healthy: the backoff begins anew.
    healthy_after: Duration,
}

impl RestartPolicy {
    /// A failed run is followed by nothing.
    #[must_use]
    pub const fn never() -> Self {
        Self { backoff: None, intensity: None, healthy_after: Duration::MAX }
    }

    /// A failed run is followed by another one after a delay, without limit. A run of a minute counts as healthy.
    #[must_use]
    pub const fn on_failure(backoff: Backoff) -> Self {
        Self { backoff: Some(backoff), intensity: None, healthy_after: Duration::from_secs(60) }
    }

    /// Gives up when there would be more than `restarts` restarts within `window`.
    #[must_use]
    pub const fn with_intensity(mut self, restarts: u32, window: Duration) -> Self {
        self.intensity = Some((restarts, window));
        self
    }

    /// Sets how long a run must last to be healthy: after it, the backoff begins at its initial delay.
    #[must_use]
    pub const fn with_healthy_after(mut self, time: Duration) -> Self {
        self.healthy_after = time;
        self
    }
}

impl Default for RestartPolicy {
    /// [`never`](Self::never).
    fn default() -> Self {
        Self::never()
    }
}

/// A policy and what it has to remember.
#[derive(Debug)]
pub(super) struct History {
    policy: RestartPolicy,
    /// Failures in a row.
    attempt: u32,
    /// When the policy restarted, within its window; never more than its limit.
    recent: VecDeque<Instant>,
}

impl History {
    pub(super) fn new(policy: RestartPolicy) -> Self {
        Self { policy, attempt: 0, recent: VecDeque::new() }
    }

    /// A run that began at `started` has failed `now`: how long to wait before the next; `None` to give up.
    pub(super) fn failed(&mut self, started: Instant, now: Instant, random: u64) -> Option<Duration> {
        let backoff = self.policy.backoff?;
        if now.saturating_duration_since(started) >= self.policy.healthy_after {
            self.attempt = 0;
        }
        if let Some((limit, window)) = self.policy.intensity {
            self.recent.retain(|restart| now.saturating_duration_since(*restart) < window);
            if self.recent.len() >= limit as usize {
                return None;
            }
            self.recent.push_back(now);
        }
        let delay = backoff.delay(self.attempt, random);
        self.attempt = self.attempt.saturating_add(1);
        Some(delay)
    }

    /// A run was asked for, or one went well: begin anew.
    pub(super) fn reset(&mut self) {
        self.attempt = 0;
        self.recent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(delay: Option<Duration>) -> Option<u128> {
        delay.map(|delay| delay.as_millis())
    }

    fn policy() -> RestartPolicy {
        RestartPolicy::on_failure(Backoff::new(Duration::from_millis(10), Duration::from_millis(50)).with_jitter(0.0))
    }

    /// The clock of a model build runs only inside a model.
    fn start() -> Option<Instant> {
        (!crate::platform::IN_MODEL).then(Instant::now)
    }

    #[test]
    fn the_delay_doubles_up_to_its_cap_and_begins_anew_after_a_healthy_run() {
        let Some(now) = start() else { return };
        let mut history = History::new(policy().with_healthy_after(Duration::from_secs(1)));
        let delays: Vec<_> = (0..4).map(|_| millis(history.failed(now, now, 0))).collect();
        assert_eq!(delays, [Some(10), Some(20), Some(40), Some(50)]);
        assert_eq!(millis(history.failed(now, now + Duration::from_secs(1), 0)), Some(10));
    }

    #[test]
    fn more_restarts_than_the_limit_within_the_window_are_refused() {
        let Some(now) = start() else { return };
        let mut history = History::new(policy().with_intensity(2, Duration::from_secs(1)));
        assert!(history.failed(now, now, 0).is_some());
        assert!(history.failed(now, now, 0).is_some());
        assert_eq!(history.failed(now, now, 0), None);
        let later = now + Duration::from_secs(1);
        assert!(history.failed(later, later, 0).is_some(), "the window has moved on");
        history.reset();
        assert!(history.failed(later, later, 0).is_some());
    }

    #[test]
    fn chance_takes_at_most_its_part_of_the_delay() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1)).with_jitter(0.25);
        assert_eq!(backoff.delay(0, u64::MAX), Duration::from_millis(75));
        assert_eq!(backoff.delay(0, 0), Duration::from_millis(100));
        assert_eq!(backoff.delay(u32::MAX, 0), Duration::from_secs(1));
    }
}
