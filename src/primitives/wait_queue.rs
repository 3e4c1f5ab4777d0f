//! The wait queue: the one mechanism under everything that blocks.
//!
//! A **wait** is a future that joins a queue of wakers. A task awaits it; a thread polls it and
//! parks (see [`wait::block_on`](crate::primitives::wait::block_on)). Threads and tasks therefore
//! stand in the same queue and obey the same argument:
//!
//! - A waiter looks at the state without a lock ([`Condition::check`]). If there is nothing to wait
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

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::panics::FirstPanic;
use crate::platform::{Mutex, MutexGuard, const_fn, is_unwinding, probe};

/// A queue of wakers. Eight bytes and a lock; nothing is allocated before the first waiter comes.
pub(crate) struct WaitQueue {
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
    wakers: Vec<Option<Waker>>,
    /// The indices of the empty places.
    vacant: Vec<usize>,
}

/// A place in the queue: valid for its own generation only.
pub(crate) struct Place {
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
}

impl Drop for Locked<'_> {
    /// Puts the queue back, before the lock is given up.
    fn drop(&mut self) {
        *self.slot = Slot(self.waiting.take());
    }
}

impl Waiting {
    pub(crate) fn join(&mut self, waker: Waker) -> Place {
        let index = match self.vacant.pop() {
            Some(index) => {
                self.wakers[index] = Some(waker);
                index
            }
            None => {
                self.wakers.push(Some(waker));
                self.wakers.len() - 1
            }
        };
        Place { generation: self.generation, index }
    }

    /// The waker at `place`, unless its generation has been let through.
    pub(crate) fn at(&mut self, place: &Place) -> Option<&mut Option<Waker>> {
        (place.generation == self.generation).then(|| &mut self.wakers[place.index])
    }

    /// Takes the waker out of `place`, if it is still there.
    pub(crate) fn leave(&mut self, place: &Place) -> Option<Waker> {
        let waker = self.at(place)?.take();
        self.vacant.push(place.index);
        waker
    }

    fn is_empty(&self) -> bool {
        self.vacant.len() == self.wakers.len()
    }

    /// Lets through all waiters present: the wakers to wake once the lock has been given up.
    pub(crate) fn take(&mut self) -> Vec<Option<Waker>> {
        self.generation += 1;
        self.vacant.clear();
        std::mem::take(&mut self.wakers)
    }
}

/// Wakes them all, also those after one that panics. Returns how many there were.
pub(crate) fn wake_all(wakers: Vec<Option<Waker>>) -> usize {
    let mut woken = 0;
    for_each_unwinding(wakers.into_iter().flatten(), |waker| {
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
pub(crate) trait Condition {
    /// What a waiter is told.
    type Output;

    fn queue(&self) -> &WaitQueue;

    /// Whether there is something to wait for. Without the lock.
    fn check(&self) -> Option<Self::Output>;

    /// Marks that a waiter is there, unless the condition holds by now. Under the queue's lock.
    fn mark(&self) -> Option<Self::Output>;

    /// Takes the mark back: the last waiter gave up. Under the queue's lock.
    fn unmark(&self);

    /// What a waiter is told that was let through; `None` if it must look again.
    fn let_through(&self) -> Option<Self::Output>;
}

/// A wait for a [`Condition`]. Dropping it gives up the place in the queue.
pub(crate) struct Wait<C: Condition> {
    condition: C,
    place: Option<Place>,
}

impl<C: Condition> Wait<C> {
    pub(crate) fn new(condition: C) -> Self {
        Self { condition, place: None }
    }

    /// Leaves the queue; see [`GiveUp::give_up`].
    fn leave(&mut self) -> Option<C::Output> {
        let place = self.place.take()?;
        let mut locked = self.condition.queue().lock();
        let waiting = locked.waiting.as_mut()?;
        if waiting.at(&place).is_none() {
            drop(locked);
            return self.condition.let_through();
        }
        let waker = waiting.leave(&place);
        probe!(Left { queue: self.condition.queue().waiting.thing() });
        if waiting.is_empty() {
            self.condition.unmark();
        }
        drop(locked);
        drop(waker);
        None
    }

    /// The slow path of `poll`: under the lock.
    fn join(&mut self, waker: Waker) -> Poll<C::Output> {
        let mut locked = self.condition.queue().lock();
        let waiting = locked.waiting.get_or_insert_default();
        if let Some(place) = self.place.take() {
            let Some(present) = waiting.at(&place) else {
                probe!(Through { queue: self.condition.queue().waiting.thing() });
                drop(locked);
                // Let through, or woken for a change that came before this wait began.
                return match self.condition.let_through() {
                    Some(output) => Poll::Ready(output),
                    None => self.join(waker),
                };
            };
            self.place = Some(place);
            let former = present.replace(waker);
            drop(locked);
            drop(former);
            return Poll::Pending;
        }
        if let Some(output) = self.condition.mark() {
            return Poll::Ready(output);
        }
        self.place = Some(waiting.join(waker));
        probe!(Joined { queue: self.condition.queue().waiting.thing() });
        Poll::Pending
    }
}

/// A wait that can end without what it waits for.
pub(crate) trait GiveUp: Future {
    /// Leaves the queue. `Some` if it is too late for that: the wait had been let through by then.
    ///
    /// Either way there is one outcome, decided under the lock: a waiter that was let through is told so here, and one
    /// that was not leaves no trace.
    fn give_up(&mut self) -> Option<Self::Output>;
}

impl<C: Condition + Unpin> GiveUp for Wait<C> {
    fn give_up(&mut self) -> Option<C::Output> {
        self.leave()
    }
}

impl<C: Condition + Unpin> Future for Wait<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<C::Output> {
        if let Some(output) = self.condition.check() {
            // The thread that made it so has emptied the queue or is about to: the place is worth nothing.
            self.place = None;
            return Poll::Ready(output);
        }
        self.join(context.waker().clone())
    }
}

impl<C: Condition> Drop for Wait<C> {
    fn drop(&mut self) {
        if !is_unwinding() {
            self.leave();
        }
    }
}
