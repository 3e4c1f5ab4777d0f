//! A state under a lock, and those who wait for it to change.
//!
//! Where the state is more than a word, waiting needs no word of its own either: the queue stands under the same lock as
//! the state. A waiter looks and joins in one critical section, and whoever changes the state takes everybody out in the
//! one in which it does so. There is no moment between the look and joining the queue.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::queue::{GiveUp, Place, Waiting, wake_all};
use crate::sync::{Mutex, abandoned};

pub(crate) struct Watched<S> {
    inner: Mutex<Inner<S>>,
}

struct Inner<S> {
    state: S,
    waiting: Waiting,
}

impl<S> Watched<S> {
    pub(crate) fn new(state: S) -> Self {
        Self { inner: Mutex::new(Inner { state, waiting: Waiting::default() }) }
    }

    /// Looks at the state, or changes what nobody waits for.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut S) -> T) -> T {
        look(&mut self.inner.lock().state)
    }

    /// Changes the state and wakes everybody who waits, after the lock has been given up.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut S) -> T) -> T {
        let mut inner = self.inner.lock();
        let result = change(&mut inner.state);
        let wakers = inner.waiting.take();
        drop(inner);
        wake_all(wakers);
        result
    }

    /// Waits until `look` finds something. It is called under the lock, so what it takes it takes alone; it must not
    /// change what others wait for.
    pub(crate) fn wait<T, F: FnMut(&mut S) -> Option<T>>(&self, look: F) -> Watch<'_, S, F> {
        Watch { watched: self, look, place: None }
    }
}

/// A wait for a [`Watched`] state. Dropping it gives up the place in the queue.
pub(crate) struct Watch<'a, S, F> {
    watched: &'a Watched<S>,
    look: F,
    place: Option<Place>,
}

impl<T, S, F: FnMut(&mut S) -> Option<T>> Watch<'_, S, F> {
    fn look(&mut self, waker: Option<Waker>) -> Option<T> {
        let mut guard = self.watched.inner.lock();
        let inner = &mut *guard;
        let found = (self.look)(&mut inner.state);
        let former = match (waker.filter(|_| found.is_none()), &self.place) {
            (None, place) => {
                let former = place.as_ref().and_then(|place| inner.waiting.leave(place));
                self.place = None;
                former
            }
            (Some(waker), Some(place)) => match inner.waiting.at(place) {
                Some(present) => present.replace(waker),
                None => {
                    self.place = Some(inner.waiting.join(waker));
                    None
                }
            },
            (Some(waker), None) => {
                self.place = Some(inner.waiting.join(waker));
                None
            }
        };
        drop(guard);
        drop(former);
        found
    }
}

impl<T, S, F: FnMut(&mut S) -> Option<T> + Unpin> Future for Watch<'_, S, F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let waker = context.waker().clone();
        self.look(Some(waker)).map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T, S, F: FnMut(&mut S) -> Option<T> + Unpin> GiveUp for Watch<'_, S, F> {
    fn give_up(&mut self) -> Option<T> {
        self.look(None)
    }
}

impl<S, F> Drop for Watch<'_, S, F> {
    fn drop(&mut self) {
        let Some(place) = self.place.take().filter(|_| !abandoned()) else { return };
        let former = self.watched.inner.lock().waiting.leave(&place);
        drop(former);
    }
}
