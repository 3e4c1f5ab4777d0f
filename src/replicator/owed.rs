//! Who owes the next move, in words, and when something happens: counted from now.

use std::fmt;
use std::time::Duration;

use crate::protocol::{Time, WaitingOn};

/// How much is pending, in words.
pub(super) struct Pending(pub usize);

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("nothing is pending"),
            1 => f.write_str("1 event is pending"),
            pending => write!(f, "{pending} events are pending"),
        }
    }
}

/// Who owes the next move, in words; times count from now.
pub(super) struct Owed<'a>(pub &'a WaitingOn);

impl fmt::Display for Owed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            WaitingOn::Clock(time) if *time != Time::MAX => write!(f, "the clock, in {:?}", in_milliseconds(*time)),
            WaitingOn::Connectivity(time) if *time != Time::MAX => {
                write!(f, "the connection, tried again in {:?}", in_milliseconds(*time))
            }
            other => other.fmt(f),
        }
    }
}

pub(super) fn in_milliseconds(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// How long it is from `now` to this time. To the end of time it is for ever.
pub(super) fn from(now: Time, time: Time) -> Duration {
    if time == Time::MAX { time } else { time.saturating_sub(now) }
}

/// The same, with times that count from `now`.
pub(super) fn waiting_on_from(now: Time, waiting_on: &WaitingOn) -> WaitingOn {
    match waiting_on {
        WaitingOn::Clock(time) => WaitingOn::Clock(from(now, *time)),
        WaitingOn::Connectivity(time) => WaitingOn::Connectivity(from(now, *time)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_is_pending_is_said_in_words() {
        let words = [0, 1, 2].map(|pending| Pending(pending).to_string());
        assert_eq!(words, ["nothing is pending", "1 event is pending", "2 events are pending"]);
    }

    #[test]
    fn who_owes_the_next_move_is_said_with_times_from_now() {
        let time = Duration::from_micros(1_500_700);
        let words = [
            (WaitingOn::Pusher, "the pusher"),
            (WaitingOn::Clock(time), "the clock, in 1.5s"),
            (WaitingOn::Connectivity(time), "the connection, tried again in 1.5s"),
            (WaitingOn::Clock(Time::MAX), "the clock, until the end of time"),
            (WaitingOn::Connectivity(Time::MAX), "the connection, tried again at the end of time"),
        ];
        for (waiting_on, words) in words {
            assert_eq!(Owed(&waiting_on).to_string(), words);
        }
    }

    #[test]
    fn a_time_that_has_passed_is_now_and_the_end_of_time_stays_where_it_is() {
        let [early, late] = [1, 3].map(Time::from_secs);
        assert_eq!(
            [from(early, late), from(late, early), from(late, Time::MAX)],
            [late - early, Time::ZERO, Time::MAX]
        );
    }
}
