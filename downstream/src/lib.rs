//! A batch that is handed over *soon*: a crate that depends on latchwork as any other does.
//!
//! [`FlushSoon`] collects items and gives them to a sink in batches: a batch begins with its first item, and leaves a
//! short delay later with whatever came in the meantime. It is built from a [`Latch`] (something is there), a
//! [`Worker`] (who takes it) and a sleep that the worker's interrupt ends.
//!
//! `src/model.rs` checks it under every interleaving, deadlines included.

use std::sync::Arc;
use std::time::Duration;

use latchwork::sync::model::say;
use latchwork::{Interrupted, Latch, Run, Worker};
use sync::Mutex;

// Without `--cfg loom` its models fail, and say so.
#[cfg(all(test, feature = "loom"))]
mod model;

/// The one place that chooses between the two builds: what is shared besides latchwork's types must be loom's too.
mod sync {
    #[cfg(all(loom, feature = "loom"))]
    pub use loom::sync::Mutex;
    #[cfg(not(all(loom, feature = "loom")))]
    pub use std::sync::Mutex;
}

/// Collects items and hands them to a sink, together with those that come within a delay of the first.
///
/// ```
/// # if latchwork::sync::IN_MODEL { return }
/// use latchwork_downstream::FlushSoon;
/// use std::sync::mpsc;
/// use std::time::Duration;
///
/// let (sink, batches) = mpsc::channel();
/// let flush = FlushSoon::new(Duration::from_millis(10), move |batch| sink.send(batch).unwrap()).unwrap();
/// flush.push("a");
/// assert_eq!(batches.recv().unwrap(), ["a"]);
/// flush.push("b");
/// assert_eq!(flush.close(), ["b"]);
/// ```
#[derive(Debug)]
pub struct FlushSoon<T> {
    shared: Arc<Shared<T>>,
    worker: Worker,
}

#[derive(Debug)]
struct Shared<T> {
    items: Mutex<Vec<T>>,
    /// Open: there are items that no flush has begun to take.
    some: Latch,
}

/// When a flush closes the latch.
#[derive(Clone, Copy)]
enum Order {
    /// Before it takes the items: whatever comes later opens it again.
    CloseThenTake,
    /// After: an item that came in between is forgotten. The bug that the model must find.
    #[cfg(all(test, feature = "loom"))]
    TakeThenClose,
}

impl<T: Send + 'static> FlushSoon<T> {
    /// Starts with no items.
    ///
    /// # Errors
    ///
    /// If the operating system gives no thread.
    pub fn new(delay: Duration, sink: impl FnMut(Vec<T>) + Send + 'static) -> Result<Self, std::io::Error> {
        Self::with_order(Order::CloseThenTake, delay, sink)
    }

    fn with_order(
        order: Order,
        delay: Duration,
        mut sink: impl FnMut(Vec<T>) + Send + 'static,
    ) -> Result<Self, std::io::Error> {
        let shared = Arc::new(Shared { items: Mutex::new(Vec::new()), some: Latch::new() });
        let theirs = Arc::clone(&shared);
        let worker = Worker::spawn("flush soon", move |run: &Run| -> Result<(), Interrupted> {
            loop {
                let _open_or_interrupted = theirs.some.opened().wait_or(run.interrupt(), None);
                run.interrupt().sleep(delay)?;
                sink(match order {
                    Order::CloseThenTake => {
                        theirs.some.close();
                        theirs.take()
                    }
                    #[cfg(all(test, feature = "loom"))]
                    Order::TakeThenClose => {
                        let items = theirs.take();
                        theirs.some.close();
                        items
                    }
                });
            }
        })?;
        Ok(Self { shared, worker })
    }

    /// Adds an item. Never waits for the sink.
    pub fn push(&self, item: T) {
        self.shared.items.lock().unwrap().push(item);
        self.shared.some.open();
    }

    /// Stops, and returns the items that have not been handed over. Waits for the sink if it is at work.
    #[must_use = "these items have not been handed over"]
    pub fn close(self) -> Vec<T> {
        self.worker.join();
        self.shared.take()
    }
}

impl<T> Shared<T> {
    fn take(&self) -> Vec<T> {
        let items = std::mem::take(&mut *self.items.lock().unwrap());
        // Where a model fails, its execution shows this. In a normal build it is nothing.
        say(format_args!("takes {}", items.len()));
        items
    }
}
