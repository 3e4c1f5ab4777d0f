//! The smallest executor, and a timer for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::latchwork;
use latchwork::Latch;
use latchwork::replicator::Timer;
use latchwork::sync::model::{say, waits};

use loom::sync::atomic::{AtomicBool, Ordering};

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

/// A clock that the model moves, from its beginning to its end. It is read `SeqCst`: no thread reads a clock as it was before.
/// (To read it is a step. Were it none, loom would take it for the same whether time ends before or after a look.) A sleep is a
/// wait for a latch.
#[derive(Clone, Default)]
pub struct EndOfTime(Arc<(AtomicBool, Latch)>);

impl EndOfTime {
    /// Time ends: every sleep is over, also those still to come.
    pub fn come(&self) {
        say("time ends");
        self.0.0.store(true, Ordering::SeqCst);
        self.0.1.open();
    }
}

impl Timer for EndOfTime {
    type Sleep = Pin<Box<dyn Future<Output = ()>>>;

    fn sleep(&self, _: Duration) -> Self::Sleep {
        let Self(time) = self.clone();
        Box::pin(async move { time.1.opened().await })
    }

    fn clock(&self) -> impl Fn() -> Duration + Send + Sync + 'static {
        let Self(time) = self.clone();
        move || if time.0.load(Ordering::SeqCst) { Duration::MAX } else { Duration::ZERO }
    }
}

/// Polls a future once, with a waker that wakes nothing.
pub fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}
