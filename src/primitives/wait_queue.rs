//! The wait queue: the one mechanism under everything that blocks.
//!
//! A [wait](super::wait) joins a queue of wakers. A task polls it; a thread polls it and parks.
//! Threads and tasks therefore stand in the same queue and obey the same argument:
//!
//! - A waiter looks at the state without a lock ([`Condition::holds`]). If there is nothing to wait
//!   for, that one load is all.
//! - Otherwise it takes the queue's lock and [marks](Condition::mark) the state "a waiter is
//!   there". The mark is a read-modify-write on the same atomic word as the state itself, so either
//!   it comes first, and the thread that changes the state sees it and must take the lock to
//!   [wake](WaitQueue::release); or the change comes first, and marking fails and the waiter does
//!   not sleep. *The race one would fear, a wake between the look and joining the queue, needs the
//!   two to miss each other on one atomic word, and they cannot.* Nor does the mark need an
//!   ordering to be seen in time: a thread that has seen it takes the lock after the waiter that
//!   set it. Had it taken it before, the lock would have put its look before the marking.
//! - All waiters present are taken out at once, and the queue's **generation** moves on. A waiter
//!   whose generation is over has been let through, whatever the state is by then: opening and
//!   closing again at once loses none. Since no waiter is ever woken *instead* of another, a waiter
//!   that gives up cannot take another's wake with it.
//!
//! Wakers are user code. They are cloned before the lock is taken and woken and dropped after it is
//! given up; all are taken first and then woken, and one that panics does not keep the rest asleep.

use std::task::Waker;

use super::panics::FirstPanic;
use crate::platform::{Instant, Mutex, MutexGuard, const_fn, probe};

/// A queue of wakers. Eight bytes and a lock; nothing is allocated before the first waiter comes.
#[allow(missing_debug_implementations, reason = "no user can name it")]
pub struct WaitQueue {
    pub(crate) waiting: Mutex<Slot>,
}

/// Where the queue is kept: `None` until the first waiter comes; `Some` from then on.
///
/// Beside a lock of one byte a pointer that must be aligned leaves seven bytes unused. This one need not be, so
/// that the bytes go to the word next to the queue.
#[repr(Rust, packed(4))]
pub(crate) struct Slot(Option<Box<Waiting>>);

/// The queue, locked. A pointer in a packed place cannot be borrowed: it is taken out meanwhile.
struct Locked<'a> {
    slot: MutexGuard<'a, Slot>,
    waiting: Option<Box<Waiting>>,
}

/// The waiters, under the lock of what they wait for.
#[derive(Default)]
pub(crate) struct Waiting {
    /// How often all waiters present were let through.
    generation: u64,
    /// The wakers of this generation. Empty places are those of waiters that gave up.
    wakers: Wakers,
    /// The indices of the empty places behind the first.
    vacant: Vec<usize>,
}

/// Wakers. Most queues have one waiter, and there may be very many of them: the first takes no allocation.
#[derive(Default)]
pub(crate) struct Wakers {
    first: Option<Waker>,
    others: Vec<Option<Waker>>,
}

impl Wakers {
    pub(crate) const fn new() -> Self {
        Self { first: None, others: Vec::new() }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.is_empty()
    }

    /// Moves all of `more` here.
    #[inline]
    pub(crate) fn append(&mut self, more: &mut Self) {
        if !more.is_empty() {
            self.append_some(more);
        }
    }

    fn append_some(&mut self, more: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, more);
        } else {
            self.others.push(more.first.take());
            self.others.append(&mut more.others);
        }
    }
}

/// A place in the queue: valid for its own generation only.
#[allow(missing_debug_implementations, reason = "no user can name it")]
pub struct Place {
    generation: u64,
    index: usize,
}

impl WaitQueue {
    const_fn! {
        pub(crate) const fn new() -> Self {
            Self { waiting: Mutex::new(Slot(None)) }
        }
    }

    fn lock(&self) -> Locked<'_> {
        let mut slot = self.waiting.lock();
        let Slot(waiting) = std::mem::replace(&mut *slot, Slot(None));
        Locked { slot, waiting }
    }

    /// Lets through all waiters present, if `change`, which is called under the lock, says so. Returns how many.
    pub(crate) fn release(&self, change: impl FnOnce() -> bool) -> usize {
        let mut locked = self.lock();
        if !change() {
            return 0;
        }
        let wakers = locked.waiting.as_mut().map(|waiting| waiting.take()).unwrap_or_default();
        probe!(Emptied { queue: self.waiting.thing() });
        drop(locked);
        wake_all(wakers)
    }

    /// The slow path of a look, under the lock: joins the queue with this waker, unless the condition holds by now.
    pub(super) fn join<C: Condition>(&self, condition: &C, place: &mut Option<Place>, waker: Waker) -> Option<C::Told> {
        let mut locked = self.lock();
        let waiting = locked.waiting.get_or_insert_default();
        if let Some(former) = place.take() {
            let Some(present) = waiting.at(&former) else {
                probe!(Through { queue: self.waiting.thing() });
                drop(locked);
                // Let through, or woken for a change that came before this wait began.
                return condition.let_through().or_else(|| self.join(condition, place, waker));
            };
            *place = Some(former);
            let former = present.replace(waker);
            drop(locked);
            drop(former);
            return None;
        }
        if let Some(told) = condition.mark() {
            return Some(told);
        }
        *place = Some(waiting.join(waker));
        probe!(Joined { queue: self.waiting.thing() });
        None
    }

    /// Leaves the queue. Whether it was too late for that: the waiter had been let through by then.
    pub(super) fn leave<C: Condition>(&self, condition: &C, place: &mut Option<Place>) -> bool {
        let Some(place) = place.take() else { return false };
        let mut locked = self.lock();
        let waiting = locked.waiting.get_or_insert_default();
        if waiting.at(&place).is_none() {
            return true;
        }
        let waker = waiting.leave(&place);
        probe!(Left { queue: self.waiting.thing() });
        if waiting.is_empty() {
            condition.unmark();
        }
        drop(locked);
        drop(waker);
        false
    }
}

impl Drop for Locked<'_> {
    /// Puts the queue back, before the lock is given up.
    fn drop(&mut self) {
        *self.slot = Slot(self.waiting.take());
    }
}

impl Waiting {
    pub(crate) fn join(&mut self, waker: Waker) -> Place {
        let Wakers { first, others } = &mut self.wakers;
        let index = if first.is_none() { 0 } else { self.vacant.pop().unwrap_or(others.len() + 1) };
        match index.checked_sub(1) {
            None => *first = Some(waker),
            Some(other) if other == others.len() => others.push(Some(waker)),
            Some(other) => others[other] = Some(waker),
        }
        Place { generation: self.generation, index }
    }

    /// The waker at `place`, unless its generation has been let through.
    pub(crate) fn at(&mut self, place: &Place) -> Option<&mut Option<Waker>> {
        let Wakers { first, others } = &mut self.wakers;
        (place.generation == self.generation)
            .then(|| place.index.checked_sub(1).map_or(first, |other| &mut others[other]))
    }

    /// Takes the waker out of `place`, if it is still there.
    pub(crate) fn leave(&mut self, place: &Place) -> Option<Waker> {
        let waker = self.at(place)?.take();
        if place.index > 0 {
            self.vacant.push(place.index);
        }
        waker
    }

    /// Joins with this waker, keeping a place that is still there, or leaves without one. Returns the waker that had the
    /// place: to be dropped once the lock has been given up, since it is user code.
    #[must_use = "it is dropped without the lock"]
    pub(crate) fn join_or_leave(&mut self, place: &mut Option<Place>, waker: Option<Waker>) -> Option<Waker> {
        let Some(waker) = waker else { return place.take().and_then(|place| self.leave(&place)) };
        if let Some(present) = place.as_ref().and_then(|place| self.at(place)) {
            return present.replace(waker);
        }
        *place = Some(self.join(waker));
        None
    }

    fn is_empty(&self) -> bool {
        self.wakers.first.is_none() && self.vacant.len() == self.wakers.others.len()
    }

    /// Lets through all waiters present: the wakers to wake once the lock has been given up.
    pub(crate) fn take(&mut self) -> Wakers {
        self.generation += 1;
        self.vacant.clear();
        std::mem::take(&mut self.wakers)
    }
}

/// Wakes them all, also those after one that panics. Returns how many there were.
pub(crate) fn wake_all(wakers: Wakers) -> usize {
    if wakers.is_empty() {
        return 0;
    }
    let mut woken = 0;
    for_each_unwinding(wakers.first.into_iter().chain(wakers.others.into_iter().flatten()), |waker| {
        woken += 1;
        waker.wake();
    });
    woken
}

/// Calls `f` with each of `items`, also with those after one for which it panics; then goes on with the first panic.
pub(crate) fn for_each_unwinding<T>(items: impl Iterator<Item = T>, mut f: impl FnMut(T)) {
    let mut first = FirstPanic::default();
    for item in items {
        first.catch(|| f(item));
    }
    first.resume();
}

/// What a queue's waiters wait for: a state in one atomic word, which also holds the mark "a waiter is there".
pub trait Condition {
    /// What a waiter is told.
    type Told;

    fn queue(&self) -> &WaitQueue;

    /// What a waiter is told if the condition holds. Without the lock.
    fn holds(&self) -> Option<Self::Told>;

    /// When it holds by itself, if it does.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Marks that a waiter is there, unless the condition holds by now. Under the queue's lock.
    fn mark(&self) -> Option<Self::Told>;

    /// Takes the mark back: the last waiter gave up. Under the queue's lock.
    fn unmark(&self);

    /// What a waiter is told that was let through; `None` if it must look again.
    fn let_through(&self) -> Option<Self::Told>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::IN_MODEL;

    #[test]
    fn join_fills_the_places_of_those_who_gave_up_and_take_empties_them_all() {
        if IN_MODEL {
            return;
        }
        let mut waiting = Waiting::default();
        let join = |waiting: &mut Waiting| waiting.join(Waker::noop().clone());
        let [first, second, _third] = [(); 3].map(|()| join(&mut waiting));
        assert!(waiting.leave(&first).is_some() && waiting.leave(&first).is_none());
        assert!(waiting.leave(&second).is_some() && !waiting.is_empty());
        let again = [join(&mut waiting), join(&mut waiting), join(&mut waiting)];
        assert_eq!(again.map(|place| place.index), [0, 1, 3]);
        let mut wakers = Wakers::new();
        wakers.append(&mut waiting.take());
        wakers.append(&mut waiting.take());
        assert!(waiting.is_empty() && waiting.at(&first).is_none());
        let _alone = join(&mut waiting);
        wakers.append(&mut waiting.take());
        assert_eq!(wake_all(wakers), 5);
    }
}
