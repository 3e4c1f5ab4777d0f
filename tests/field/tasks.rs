//! On tasks: the driver on a runtime of its own. What a case scripts blocks, and runs elsewhere.

#[path = "cases.rs"]
mod cases;

use std::future::Future;

use latchwork::Replicator;
use latchwork::log::{Log, MemoryLog};
use latchwork::replicator::Builder;
use latchwork::upstream::{AsyncUpstream, ForTasks, Memory};

/// A call that is interrupted is dropped: what upstream would have said, as of when to try again, is not heard.
const HEARS_INTERRUPTED_CALLS: bool = false;

/// An upstream of a case, for tasks.
trait Adapt {
    type Adapted: AsyncUpstream<MemoryLog<u64>>;
    fn adapt(self) -> Self::Adapted;
}

impl Adapt for Memory<MemoryLog<u64>> {
    type Adapted = Self;
    fn adapt(self) -> Self {
        self
    }
}

impl Adapt for cases::Scripted {
    type Adapted = ForTasks<Self, fn(Box<dyn FnOnce() + Send>)>;
    fn adapt(self) -> Self::Adapted {
        ForTasks::new(self, |job| drop(tokio::task::spawn_blocking(job)))
    }
}

fn builder<U: Adapt>(log: MemoryLog<u64>, upstream: U) -> Builder<MemoryLog<u64>, U::Adapted> {
    Replicator::builder(log, upstream.adapt())
}

trait Start<L: Log> {
    fn start(self) -> Replicator<L>;
}

impl Start<MemoryLog<u64>> for Builder<MemoryLog<u64>, Memory<MemoryLog<u64>>> {
    fn start(self) -> Replicator<MemoryLog<u64>> {
        let (replicator, driver) = self.build_async(tokio::time::sleep);
        run(driver);
        replicator
    }
}

impl Start<MemoryLog<u64>> for Builder<MemoryLog<u64>, <cases::Scripted as Adapt>::Adapted> {
    fn start(self) -> Replicator<MemoryLog<u64>> {
        let (replicator, driver) = self.build_async(tokio::time::sleep);
        run(driver);
        replicator
    }
}

fn run(driver: impl Future<Output = ()> + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    std::thread::spawn(move || runtime.block_on(driver));
}
