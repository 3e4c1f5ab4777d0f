//! Threads of a case, which may not end.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::harness::message;

/// Which thread has ended, and how.
type End = (usize, Result<(), Box<dyn Any + Send>>);

/// Threads that were started together. Those that do not end are left behind.
pub struct ThreadGroup {
    ended: Vec<bool>,
    sender: Sender<End>,
    receiver: Receiver<End>,
}

impl ThreadGroup {
    pub fn new() -> Self {
        let (sender, receiver) = channel();
        Self { ended: Vec::new(), sender, receiver }
    }

    pub fn start(&mut self, work: impl FnOnce() + Send + 'static) {
        let (number, sender) = (self.ended.len(), self.sender.clone());
        self.ended.push(false);
        std::thread::spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            // Its receiver is gone if it took too long.
            let _sent = sender.send((number, result));
        });
    }

    /// Whether all have ended, by `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// If one has panicked.
    pub fn all_end(&mut self, deadline: Instant) -> Result<bool, String> {
        while self.ended.contains(&false) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((number, result)) = self.receiver.recv_timeout(left) else { return Ok(false) };
            result.map_err(|payload| format!("thread {number} panicked: {}", message(&*payload)))?;
            self.ended[number] = true;
        }
        Ok(true)
    }

    /// Those that have not ended.
    pub fn missing(&self) -> Vec<usize> {
        (0..self.ended.len()).filter(|number| !self.ended[*number]).collect()
    }
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Awaits a future in this thread, with another waker for each poll, for so many polls at most.
pub fn poll_up_to<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for poll in 1..=polls {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return Some(value),
            // The last poll's waker is dropped with the future.
            Poll::Pending if poll < polls => std::thread::park(),
            Poll::Pending => {}
        }
    }
    None
}

/// Awaits a future in this thread.
pub fn await_here<T>(future: impl Future<Output = T>) -> T {
    poll_up_to(usize::MAX, future).expect("it is awaited")
}

/// Sleeps for so many microseconds; for none, lets others run.
pub fn rest(micros: u64) {
    if micros == 0 {
        std::thread::yield_now();
    } else {
        std::thread::sleep(Duration::from_micros(micros));
    }
}
