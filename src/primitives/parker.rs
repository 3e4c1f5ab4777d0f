//! One thread, asleep until it is woken.
//!
//! A parker holds at most one token: `unpark` leaves it, `park` takes it or sleeps until it comes.
//! The race to fear is a wake between "no token" and falling asleep; both happen under the lock
//! that `unpark` takes, so `unpark` comes either before the look (the token is there) or after the
//! thread sleeps (and is notified).
//!
//! `park` may also return for no reason. A thread that parks must look again at what it waits for,
//! and never take the return for the event.
//!
//! Threads have their own (`std::thread::park`); it is not used here because its token is shared
//! with all code on the thread: a wait in this crate could swallow an `unpark` meant for its
//! caller's code.

use std::task::Wake;

use crate::platform::{Arc, CondMutex, Instant, probe};

pub(crate) struct Parker {
    /// The token.
    woken: CondMutex<bool>,
}

crate::platform::thread_local! {
    static CURRENT: Arc<Parker> = Arc::new(Parker::new());
}

impl Parker {
    fn new() -> Self {
        let woken = CondMutex::new(false);
        probe!(Owns { parker: woken.thing() });
        Self { woken }
    }

    /// The calling thread's own. A token left by an earlier wait is a return for no reason, no more.
    pub(crate) fn current() -> Arc<Self> {
        CURRENT.try_with(Arc::clone).unwrap_or_else(|_thread_is_ending| Arc::new(Self::new()))
    }

    /// Sleeps until unparked, until `deadline`, or for no reason. Says whether the deadline has passed.
    pub(crate) fn park(&self, deadline: Option<Instant>) -> bool {
        let mut woken = self.woken.lock();
        let mut passed = false;
        if !*woken {
            (woken, passed) = self.woken.wait(woken, 0, deadline);
        }
        *woken = false;
        passed
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut woken = self.woken.lock();
        *woken = true;
        probe!(Unparked { parker: self.woken.thing() });
        self.woken.notify_all(&mut woken, 0);
    }
}
