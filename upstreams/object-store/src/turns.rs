//! Whose turn it is to push.
//!
//! A client that was taken knows it with the answer, and the others a read later: it would be taken again each time, for as long as
//! it has more to send. So it **leaves room** before its next put, twice as long as the last one took, if others are at work. Of
//! some that are never taken it would see nothing, so it leaves room now and then all the same.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The least and the most room that is left. The least is longer than the replicator has a push wait that others
/// [overtake](latchwork::protocol::Settings::contention).
const LEAST: Duration = Duration::from_millis(50);
const MOST: Duration = Duration::from_millis(200);

/// For how long others count as at work, and for how long at most no room is left to some that are not known.
const A_WHILE: Duration = Duration::from_secs(1);

/// What a client knows of its own puts and of others'.
#[derive(Debug)]
pub(crate) struct Turns(Mutex<State>);

#[derive(Debug)]
struct State {
    /// When the last put was answered, and how long that took; none if it was not taken.
    taken: Option<(Instant, Duration)>,
    /// When others have last been seen to be at work.
    others: Option<Instant>,
    /// When room was last left.
    left_room: Instant,
}

impl Turns {
    pub fn new() -> Self {
        Self(Mutex::new(State { taken: None, others: None, left_room: Instant::now() }))
    }

    /// How long the next put is to wait.
    pub fn wait(&self) -> Duration {
        let (mut state, now) = (self.lock(), Instant::now());
        let Some((taken, took)) = state.taken else { return Duration::ZERO };
        let room = (2 * took).clamp(LEAST, MOST).saturating_sub(now - taken);
        let is_due = |time: Instant| now - time < A_WHILE;
        if !room.is_zero() && !state.others.is_some_and(is_due) && is_due(state.left_room) {
            return Duration::ZERO;
        }
        state.left_room = now;
        room
    }

    /// A put that was begun then has been answered.
    pub fn answered(&self, begun: Instant, taken: bool) {
        let now = Instant::now();
        self.lock().taken = taken.then(|| (now, now - begun));
    }

    /// Others are at work.
    pub fn others(&self) {
        self.lock().others = Some(Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_leaves_room_after_a_put_that_was_taken_if_others_are_at_work() {
        let (turns, is_room) = (Turns::new(), |wait: Duration| !wait.is_zero() && wait <= LEAST);
        turns.others();
        assert_eq!(turns.wait(), Duration::ZERO);
        turns.answered(Instant::now(), true);
        assert!(is_room(turns.wait()));
        turns.answered(Instant::now(), false);
        assert_eq!(turns.wait(), Duration::ZERO);
        let begun = Instant::now().checked_sub(2 * MOST).expect("the clock has gone for longer");
        turns.answered(begun, true);
        assert!(turns.wait() > LEAST, "it follows the puts");
        assert!(turns.wait() <= MOST);
    }

    #[test]
    fn wait_leaves_room_now_and_then_to_some_that_are_not_seen() {
        let turns = Turns::new();
        turns.answered(Instant::now(), true);
        assert_eq!(turns.wait(), Duration::ZERO);
        let long_ago = Instant::now().checked_sub(A_WHILE).expect("the clock has gone for longer");
        turns.lock().left_room = long_ago;
        assert!(!turns.wait().is_zero());
        assert_eq!(turns.wait(), Duration::ZERO, "once in a while");
        turns.lock().others = Some(long_ago);
        assert_eq!(turns.wait(), Duration::ZERO, "they have gone");
    }

    #[test]
    fn wait_is_none_if_room_was_left_by_itself() {
        let turns = Turns::new();
        turns.others();
        let long_ago = Instant::now().checked_sub(A_WHILE).expect("the clock has gone for longer");
        turns.lock().taken = Some((long_ago, Duration::ZERO));
        assert_eq!(turns.wait(), Duration::ZERO);
    }
}
