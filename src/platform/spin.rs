//! Looking again for a moment before going to sleep.
//!
//! To wake a thread that sleeps takes the operating system many times as long as a signal between
//! two processors takes to arrive. So a thread that is about to sleep first looks again and again,
//! for as long as being woken would take: at worst it wastes as much as sleeping would have cost.
//!
//! Where that is of no use it must not be done. If the thread that is waited for runs on the same
//! processor, it gets nowhere as long as the waiter looks; and often nothing comes for a long time.
//! Both show in the same way: looking did not help. After two times in a row the thread goes to
//! sleep at once, seven times, then 63, and so on up to [`MOST_RESTS`] times, before it tries
//! again; one success, and it always does. So a thread that waits in vain spends next to nothing on
//! it.
//!
//! Where both run on one processor there is something better to do for a moment: to **give way**. A
//! thread that is about to change what is waited for then does so at once, and goes on; woken
//! instead, the sleeper would take the processor from it for the first thing that it has to say.
//! But on a busy machine others run meanwhile, who may have long to do. So this too is learned: a
//! thread that gave way in vain soon sleeps at once.
//!
//! Looking again is no step of a model: each look is the same that was taken just before, and what
//! follows is what would have followed at once. Giving way is one, for it gives up a lock between
//! looking and sleeping, in the models that ask for it (`sync::model::give_way`).

use std::cell::Cell;
use std::hint::spin_loop;
use std::time::{Duration, Instant};

/// About as long as being woken takes, where it takes long.
const LONGEST: Duration = Duration::from_micros(50);

/// How many looks there are to one at the clock.
const LOOKS: usize = 32;

/// How many times a thread goes to sleep at once, at most, before it tries again.
const MOST_RESTS: u32 = 4095;

/// Whether looking again has helped this thread lately.
struct Patience {
    /// How many times it will go to sleep at once.
    rests: Cell<u32>,
    /// How many times it did after it had last looked in vain, plus one; 0 if that was not in vain.
    rested: Cell<u32>,
}

std::thread_local! {
    static LOOKING: Patience = const { Patience::new() };
    static GIVING_WAY: Patience = const { Patience::new() };
}

/// Looks again and again for a moment, but not after `deadline`.
pub(crate) fn spin<T>(deadline: Option<Instant>, look: impl FnMut() -> Option<T>) -> Option<T> {
    LOOKING.with(|patience| {
        patience.attempt(|| {
            let end = Instant::now() + LONGEST;
            look_until(deadline.map_or(end, |deadline| end.min(deadline)), look)
        })
    })
}

/// Calls [`give_way`](super::notified::Notified::give_way), unless that has been in vain lately.
pub(crate) fn giving_way(give_way: impl FnOnce() -> bool) -> bool {
    GIVING_WAY.with(|patience| patience.attempt(|| give_way().then_some(()))).is_some()
}

impl Patience {
    const fn new() -> Self {
        Self { rests: Cell::new(0), rested: Cell::new(0) }
    }

    /// Attempts it, unless that has been in vain lately.
    fn attempt<T>(&self, attempt: impl FnOnce() -> Option<T>) -> Option<T> {
        if let Some(rests) = self.rests.get().checked_sub(1) {
            self.rests.set(rests);
            return None;
        }
        let found = attempt();
        self.learn(found.is_some());
        found
    }

    fn learn(&self, helped: bool) {
        let rests = match self.rested.get() {
            _ if helped => 0,
            0 => 0,
            rested => (rested * 8 - 1).min(MOST_RESTS),
        };
        self.rests.set(rests);
        self.rested.set(if helped { 0 } else { rests + 1 });
    }
}

fn look_until<T>(end: Instant, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    loop {
        for _ in 0..LOOKS {
            if let Some(found) = look() {
                return Some(found);
            }
            spin_loop();
        }
        if Instant::now() >= end {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_RESTS, Patience};
    use std::cell::Cell;

    /// How many of so many waits looked again, one after the other, if looking helps or not.
    fn spun(patience: &Patience, waits: u32, helps: bool) -> u32 {
        let once = || {
            let looked = Cell::new(false);
            patience.attempt(|| {
                looked.set(true);
                helps.then_some(())
            });
            u32::from(looked.get())
        };
        (0..waits).map(|_| once()).sum()
    }

    #[test]
    fn who_looks_in_vain_soon_sleeps_at_once_and_tries_again_now_and_then() {
        let patience = Patience::new();
        assert_eq!(spun(&patience, 100, true), 100, "it helps");
        assert_eq!(spun(&patience, 2, false), 2, "once may be chance");
        assert_eq!(spun(&patience, 7, false), 0);
        assert_eq!(spun(&patience, 1, false), 1);
        assert_eq!(spun(&patience, 63, false), 0);
        assert_eq!(spun(&patience, 1 + 511 + 1 + MOST_RESTS + 1, false), 3);
        assert_eq!(spun(&patience, 10 * (MOST_RESTS + 1), false), 10);
        assert_eq!(spun(&patience, MOST_RESTS, true), 0);
        assert_eq!(spun(&patience, 100, true), 100, "it helps again");
    }
}
