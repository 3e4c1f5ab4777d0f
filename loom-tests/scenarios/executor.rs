//! The smallest executor.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::latchwork;
use latchwork::sync::model::{say, waits};

use super::thread::Signal;

/// Wakes a task.
#[derive(Default)]
struct Wakes(Signal);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        say("wakes a task");
        self.0.set();
    }
}

/// A future and the waker with which it is polled.
pub struct Task<F> {
    future: F,
    wakes: Arc<Wakes>,
}

impl<F: Future + Unpin> Task<F> {
    pub fn new(future: F) -> Self {
        Self { future, wakes: Arc::default() }
    }

    pub fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        Pin::new(&mut self.future).poll(&mut Context::from_waker(&waker))
    }

    /// Runs a future that is pending to its end, on the calling thread. It is not polled again before it is woken: what
    /// its former poll left in a queue must do.
    pub fn run(mut self) -> F::Output {
        loop {
            waits("its task has not been woken");
            self.wakes.0.take();
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

/// Polls a future once, with a waker that wakes nothing.
pub fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}
