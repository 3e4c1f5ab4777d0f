//! The waker of a half that is polled with others in one task.
//!
//! What the puller brings mostly lets the pusher go on, and both are polled in one task. Were the task's waker the pusher's,
//! too, it would be put at the end of the executor's queue, behind all tasks that are there: from an advance to the next push
//! it is that detour which takes the time. So the pusher has a waker of its own, which says that it has been woken. A driver
//! asks it before it polls the pusher at all, and once more after it has polled the puller.
//!
//! # No wake is lost
//!
//! What wakes sets `woken`, under the lock, whatever the driver is doing. The driver takes it back only right before it polls
//! the pusher: a wake from then on sets it again. The critical section in which it says that it is not polling any more is one
//! in which it has looked: if `woken` was set it goes on, and polls the pusher or wakes its task. If it is set later, the
//! one that sets it sees that nothing polls, and wakes the task with the waker that was left as the poll began.

use std::mem::replace;
use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::platform::Mutex;

/// The waker of a half, and whether it has been woken.
pub(super) struct OwnWaker(Mutex<State>);

struct State {
    /// Whether it has been woken since it was polled last.
    woken: bool,
    /// Whether the task is polling its halves: then it looks for itself.
    polling: bool,
    /// The waker of the task, as of its last poll. `None` before the first, and once it has been woken.
    task: Option<Waker>,
}

impl OwnWaker {
    /// It has not been polled, and is to be.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { woken: true, polling: false, task: None }))
    }

    /// The task begins to poll its halves. Whether this one is to be polled, which it is now.
    pub(super) fn begins(&self, task: &Waker) -> bool {
        // No waker is cloned or dropped under the lock: it is user code.
        let task = Some(task.clone());
        let (former, woken) = {
            let mut state = self.0.lock();
            state.polling = true;
            (replace(&mut state.task, task), replace(&mut state.woken, false))
        };
        drop(former);
        woken
    }

    /// The task has polled its halves. Whether this one is to be polled again, which it is now: it has been woken meanwhile.
    pub(super) fn ends(&self) -> bool {
        let mut state = self.0.lock();
        state.polling = state.woken;
        replace(&mut state.woken, false)
    }
}

impl Wake for OwnWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let task = {
            let mut state = self.0.lock();
            state.woken = true;
            if state.polling { None } else { state.task.take() }
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}
