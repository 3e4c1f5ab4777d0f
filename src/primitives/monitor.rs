//! A monitor (Hoare, "Monitors: an operating system structuring concept", CACM 1974): a state under
//! a mutex, and the threads and tasks that wait for it to change.
//!
//! The queue stands under the same lock as the state. A waiter looks and joins in one critical
//! section, and a thread that changes the state notes which waiters to wake in the one in which it
//! does so. There is no moment between the look and joining.
//!
//! A thread waits on the lock's own condition variable, a task leaves its waker. (A thread could
//! leave a waker too, as it does for a latch, at two more lock acquisitions a wait. Under loom each
//! multiplies the search; the replicator's models would not finish.)
//!
//! # The lock knows
//!
//! Some user code runs under a lock: the methods of a log, and who looks at it. If it called back
//! what it is locked by, its thread would wait for itself, silently and for ever. So in a debug
//! build each thread knows which of these locks it holds ([`Held`]): taking one again is a panic
//! that says so, and whatever runs other user code can assert that it does so without
//! ([`Monitor::assert_free`]). A model needs no such help, a release build has no such cost.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::{Deref, DerefMut};
use std::task::Waker;

use super::interrupt::Interrupt;
use super::wait::{Wait, Waitable, Waited};
pub(crate) use super::wait_queue::Wakers;
use super::wait_queue::{Place, Waiting, wake_all};
use crate::platform::event::Shown;
use crate::platform::{CondMutex, IN_MODEL, Instant, MutexGuard, probe};

/// A monitor: a state under a mutex, and the threads and tasks that wait for it to change.
///
/// There may be several queues, one for each `TOPIC`, so that a change wakes only the waiters that it concerns.
pub(crate) struct Monitor<S, const TOPICS: usize = 1> {
    inner: CondMutex<Inner<S, TOPICS>, TOPICS>,
}

struct Inner<S, const TOPICS: usize> {
    state: S,
    /// Tasks that wait; `None` until the first one comes.
    waiting: [Option<Box<Waiting>>; TOPICS],
}

/// Whether threads know which locks they hold.
const CHECKED: bool = cfg!(debug_assertions) && !IN_MODEL;

// Of no thread of a model, where nothing looks at it.
std::thread_local! {
    /// The locks that this thread holds, by their addresses.
    static HELD: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// The calling thread holds this lock, or is about to.
struct Held(usize);

impl Held {
    fn new(lock: usize) -> Self {
        assert!(
            !Self::is(lock),
            "this thread would wait for itself: what runs under a lock (a method of a log, or who looks at it) has called \
             back what it is locked by"
        );
        if CHECKED {
            let _ending = HELD.try_with(|held| held.borrow_mut().push(lock));
        }
        Self(lock)
    }

    /// Whether the calling thread holds this lock.
    fn is(lock: usize) -> bool {
        CHECKED && HELD.try_with(|held| held.borrow().contains(&lock)).unwrap_or_default()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if CHECKED {
            let _ending = HELD.try_with(|held| held.borrow_mut().retain(|lock| *lock != self.0));
        }
    }
}

/// A locked state. Fields are dropped in this order: the lock is given up first.
pub(crate) struct Locked<'a, S, const TOPICS: usize> {
    inner: MutexGuard<'a, Inner<S, TOPICS>>,
    held: Held,
    monitor: &'a Monitor<S, TOPICS>,
}

/// A set of topics: bit `n` for topic `n`.
pub(crate) type Topics = u8;

impl<S: Shown> Monitor<S> {
    /// Changes the state and wakes all waiters, after the lock has been given up.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut S) -> T) -> T {
        let mut wakers = Wakers::new();
        let result = self.change_quietly(&mut wakers, |state| (change(state), 1));
        wake_all(wakers);
        result
    }

    /// Waits, as [`wait_topic`](Self::wait_topic).
    pub(crate) fn wait<T>(&self, look: impl FnMut(&mut S) -> Option<T>) -> Wait<impl Waitable<Output = T>> {
        self.wait_topic(0, look, |found| found)
    }
}

impl<S: Shown, const TOPICS: usize> Monitor<S, TOPICS> {
    /// Takes a state under a lock. The name is what execution traces call it.
    #[allow(unused_variables, reason = "a normal build tells nothing")]
    pub(crate) fn new(state: S, name: impl Display) -> Self {
        probe!(Begun { name: &name, state: &state });
        Self { inner: CondMutex::new(Inner { state, waiting: [const { None }; TOPICS] }) }
    }

    /// The state, once it is not shared any more.
    pub(crate) fn into_inner(self) -> S {
        self.inner.into_inner().state
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Asserts, in a debug build, that the calling thread does not hold the lock: it is about to run user code.
    pub(crate) fn assert_free(&self) {
        assert!(!Held::is(self.address()), "user code is about to run under a lock");
    }

    /// Locks the state, for steps between which something may be done without the lock.
    pub(crate) fn lock(&self) -> Locked<'_, S, TOPICS> {
        let held = Held::new(self.address());
        Locked { inner: self.inner.lock(), held, monitor: self }
    }

    /// Looks at the state, or changes what has no waiters. A thread that changes it need not wait for this.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut S) -> T) -> T {
        let held = Held::new(self.address());
        let mut locked = Locked { inner: self.inner.lock_yielding(), held, monitor: self };
        look(&mut locked)
    }

    /// Changes the state and wakes the threads that wait for the topics that `change` names. The tasks that do are added to
    /// `wakers`: to be woken once the lock has been given up, since their wakers are user code.
    pub(crate) fn change_quietly<T>(&self, wakers: &mut Wakers, change: impl FnOnce(&mut S) -> (T, Topics)) -> T {
        let mut locked = self.lock();
        let (result, topics) = change(&mut locked);
        locked.notify(topics, wakers);
        result
    }

    /// Blocks the thread until `look` finds something or `deadline` has come. `look` is called under the lock, so what it
    /// takes it takes alone; it must not change what others wait for.
    pub(crate) fn block<T>(
        &self,
        topic: usize,
        deadline: Option<Instant>,
        mut look: impl FnMut(&mut S) -> Option<T>,
    ) -> Waited<T> {
        self.block_until(topic, |state| look(state).ok_or(deadline))
    }

    /// As [`block`](Self::block), with a deadline that depends on the state: `look` says what it has found, or until when to
    /// wait for it.
    pub(crate) fn block_until<T>(
        &self,
        topic: usize,
        mut look: impl FnMut(&mut S) -> Result<T, Option<Instant>>,
    ) -> Waited<T> {
        let (mut locked, mut passed) = (self.lock(), false);
        loop {
            let deadline = match locked.look(&mut look) {
                Ok(found) => return Waited::Ready(found),
                Err(_) if passed => return Waited::TimedOut,
                Err(deadline) => deadline,
            };
            (locked, passed) = locked.wait(topic, deadline);
        }
    }

    /// A wait until `look` finds something, as in [`block`](Self::block). Once the lock has been given up, `told` makes of it
    /// what the waiter is told.
    pub(crate) fn wait_topic<T, U>(
        &self,
        topic: usize,
        look: impl FnMut(&mut S) -> Option<T>,
        told: impl FnMut(T) -> U,
    ) -> Wait<impl Waitable<Output = U>> {
        Wait::new(Watch { monitor: self, topic, look, told })
    }

    /// Looks, and joins the queue with this waker or leaves it, in one critical section: without a waker, or once `look`
    /// has found something, there is no `place` any more.
    pub(crate) fn look_and_join<T>(
        &self,
        topic: usize,
        look: impl FnOnce(&mut S) -> Option<T>,
        place: &mut Option<Place>,
        waker: Option<Waker>,
    ) -> Option<T> {
        let mut locked = self.lock();
        let found = look(&mut locked);
        let former = locked.join_or_leave(topic, place, waker.filter(|_| found.is_none()));
        drop(locked);
        drop(former);
        found
    }

    /// Gives up a place in the queue, as a wait is dropped.
    pub(crate) fn leave(&self, topic: usize, place: &mut Option<Place>) {
        if place.is_none() {
            return;
        }
        let mut locked = self.lock();
        let former = locked.join_or_leave(topic, place, None);
        drop(locked);
        drop(former);
    }
}

impl<S: Shown, const TOPICS: usize> Locked<'_, S, TOPICS> {
    /// Wakes the threads that wait for these topics. The tasks that do are added to `wakers`: to be woken once the lock has been
    /// given up, since their wakers are user code.
    #[inline]
    pub(crate) fn notify(&mut self, topics: Topics, wakers: &mut Wakers) {
        probe!(Changed { monitor: self.monitor.inner.thing(), state: &self.inner.state });
        if topics != 0 {
            self.notify_some(topics, wakers);
        }
    }

    fn notify_some(&mut self, mut topics: Topics, wakers: &mut Wakers) {
        let Self { inner, monitor, .. } = self;
        while topics != 0 {
            let topic = topics.trailing_zeros() as usize;
            topics &= topics - 1;
            monitor.inner.notify_all(inner, topic);
            if let Some(waiting) = &mut inner.waiting[topic] {
                wakers.append(&mut waiting.take());
            }
        }
    }

    /// Looks whether there is something to do, or to [wait](Self::wait) for. It must not change what others wait for.
    pub(crate) fn look<T>(&mut self, look: impl FnOnce(&mut S) -> T) -> T {
        let found = look(self);
        probe!(Looked { monitor: self.monitor.inner.thing(), state: &self.inner.state });
        found
    }

    /// Joins the queue of this topic with this waker, or leaves it without one. Returns the waker that had the place: to be
    /// dropped once the lock has been given up, since it is user code.
    #[must_use = "it is dropped without the lock"]
    pub(crate) fn join_or_leave(
        &mut self,
        topic: usize,
        place: &mut Option<Place>,
        waker: Option<Waker>,
    ) -> Option<Waker> {
        // No queue is made for one who leaves.
        let waiting = match (&mut self.inner.waiting[topic], &waker) {
            (None, None) => return None,
            (slot, _) => slot.get_or_insert_default(),
        };
        waiting.join_or_leave(place, waker)
    }

    /// Gives up the lock until a change of this topic, until `deadline`, or for no reason. Says whether the deadline has
    /// passed. No moment lies between what was done under the lock and the wait.
    pub(crate) fn wait(self, topic: usize, deadline: Option<Instant>) -> (Self, bool) {
        let Self { inner, held, monitor } = self;
        probe!(Waits { state: &inner.state, topic });
        drop(held);
        let (inner, passed) = monitor.inner.wait(inner, topic, deadline);
        (Self { inner, held: Held::new(monitor.address()), monitor }, passed)
    }
}

impl<S, const TOPICS: usize> Deref for Locked<'_, S, TOPICS> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.inner.state
    }
}

impl<S, const TOPICS: usize> DerefMut for Locked<'_, S, TOPICS> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.inner.state
    }
}

/// What a wait for a [`Monitor`]'s state looks for.
struct Watch<'a, S, F, G, const TOPICS: usize> {
    monitor: &'a Monitor<S, TOPICS>,
    topic: usize,
    look: F,
    told: G,
}

impl<T, U, S: Shown, F, G, const TOPICS: usize> Waitable for Watch<'_, S, F, G, TOPICS>
where
    F: FnMut(&mut S) -> Option<T>,
    G: FnMut(T) -> U,
{
    type Output = U;

    fn look(&mut self, place: &mut Option<Place>, waker: Option<Waker>) -> Option<U> {
        self.monitor.look_and_join(self.topic, &mut self.look, place, waker).map(&mut self.told)
    }

    fn leave(&self, place: &mut Option<Place>) {
        self.monitor.leave(self.topic, place);
    }

    fn block(wait: &mut Wait<Self>, interrupt: Option<&Interrupt>, deadline: Option<Instant>) -> Waited<U> {
        if interrupt.is_some() {
            return wait.drive(interrupt, deadline);
        }
        let Self { monitor, topic, look, told } = &mut wait.source;
        monitor.block(*topic, deadline, look).map(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{Arc, AtomicU64, IN_MODEL, Ordering};
    use std::pin::Pin;
    use std::task::{Context, Poll, Wake};

    impl Shown for u8 {
        fn waits(&self, _: usize) -> String {
            String::new()
        }
    }

    #[derive(Default)]
    struct Counts(AtomicU64);

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A task that waits for this topic until the state is not 0, and how often it has been woken.
    fn task<const TOPICS: usize>(
        monitor: &Monitor<u8, TOPICS>,
        topic: usize,
    ) -> (Wait<impl Waitable<Output = u8>>, Arc<Counts>) {
        let woken = Arc::new(Counts::default());
        let mut wait = monitor.wait_topic(topic, |state| (*state != 0).then_some(*state), |found| found);
        assert!(poll(&mut wait, &woken).is_pending());
        (wait, woken)
    }

    fn poll(wait: &mut Wait<impl Waitable<Output = u8>>, woken: &Arc<Counts>) -> Poll<u8> {
        let waker = Waker::from(Arc::clone(woken));
        Pin::new(wait).poll(&mut Context::from_waker(&waker))
    }

    #[test]
    fn a_change_wakes_those_whom_it_concerns() {
        if IN_MODEL {
            return;
        }
        let monitor = Monitor::<u8, 3>::new(0, "");
        let tasks = [0, 1, 2].map(|topic| task(&monitor, topic));
        let woken = || tasks.each_ref().map(|(_, woken)| woken.0.load(Ordering::Relaxed));
        let change = |topics| {
            let mut wakers = Wakers::new();
            monitor.change_quietly(&mut wakers, |_| ((), topics));
            wake_all(wakers)
        };
        change(0b010);
        assert_eq!(woken(), [0, 1, 0]);
        change(0b101);
        assert_eq!(woken(), [1, 1, 1]);
    }

    #[test]
    fn lock_panics_in_a_thread_that_holds_it_already() {
        if IN_MODEL || !cfg!(debug_assertions) {
            return;
        }
        let (monitor, other) = (Monitor::<u8>::new(0, ""), Monitor::<u8>::new(1, ""));
        let again = |look: &dyn Fn(&mut u8)| {
            let locked = std::panic::AssertUnwindSafe(|| monitor.look(look));
            std::panic::catch_unwind(locked).err().and_then(|payload| payload.downcast_ref::<&str>().copied())
        };
        assert_eq!(again(&|state| *state = other.look(|other| *other)), None);
        let would_wait =
            |said: Option<&str>| said.is_some_and(|said| said.starts_with("this thread would wait for itself"));
        assert!(would_wait(again(&|_| monitor.look(|_| ()))));
        assert!(would_wait(again(&|_| monitor.change(|_| ()))));
        assert!(again(&|_| monitor.assert_free()).is_some());
        // It has been given up all the same.
        monitor.assert_free();
        assert_eq!(monitor.look(|state| *state), 1);
    }

    #[test]
    fn a_task_that_gives_up_takes_what_has_come_or_leaves_no_trace() {
        if IN_MODEL {
            return;
        }
        let monitor = Monitor::<u8>::new(0, "");
        let ((mut early, early_waker), (mut late, _), (dropped, dropped_waker)) =
            (task(&monitor, 0), task(&monitor, 0), task(&monitor, 0));
        assert_eq!(early.give_up(), None);
        drop(dropped);
        assert_eq!([early_waker, dropped_waker].map(|waker| Arc::strong_count(&waker)), [1, 1], "a waker is kept");
        monitor.change(|state| *state = 7);
        assert_eq!(late.give_up(), Some(7));
    }

    #[test]
    fn a_task_that_is_through_leaves_no_trace() {
        if IN_MODEL {
            return;
        }
        let monitor = Monitor::<u8>::new(0, "");
        let (mut wait, woken) = task(&monitor, 0);
        // No waiter is told; it finds it by itself.
        monitor.look(|state| *state = 7);
        assert_eq!(poll(&mut wait, &woken), Poll::Ready(7));
        assert_eq!(Arc::strong_count(&woken), 1, "its waker is kept");
    }
}
