//! The smallest executor: a lock and a condition variable, so that tasks are woken by nothing loom does not explore.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::latchwork;
use latchwork::sync::model::{say, waits};
use loom::sync::{Condvar, Mutex};

struct Signal {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        say("wakes a task");
        self.changed.notify_one();
    }
}

impl Signal {
    fn sleep(&self) {
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            waits("its task has not been woken");
            woken = self.changed.wait(woken).unwrap();
        }
        *woken = false;
    }
}

/// A future and the waker with which it is polled.
pub struct Task<F> {
    future: F,
    signal: Arc<Signal>,
}

impl<F: Future + Unpin> Task<F> {
    pub fn new(future: F) -> Self {
        Self { future, signal: Arc::new(Signal { woken: Mutex::new(false), changed: Condvar::new() }) }
    }

    pub fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.signal));
        Pin::new(&mut self.future).poll(&mut Context::from_waker(&waker))
    }

    /// Runs a future that is pending to its end, on the calling thread. It is not polled again before it is woken: what
    /// its former poll left in a queue must do.
    pub fn run(mut self) -> F::Output {
        loop {
            self.signal.sleep();
            if let Poll::Ready(output) = self.poll() {
                return output;
            }
        }
    }
}

/// Runs a future to its end on the calling thread.
pub fn block_on<F: Future + Unpin>(future: F) -> F::Output {
    let mut task = Task::new(future);
    match task.poll() {
        Poll::Ready(output) => output,
        Poll::Pending => task.run(),
    }
}

/// Polls a future once, with a waker that wakes nobody.
pub fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}
