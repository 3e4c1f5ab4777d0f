//! loom's threads, with a lane in which they begin, wait for each other and end.

use super::latchwork;
use latchwork::sync::model::{waits, within};
pub use loom::thread::yield_now;

pub struct JoinHandle<T>(loom::thread::JoinHandle<T>);

pub fn spawn<T: 'static>(steps: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    JoinHandle(loom::thread::spawn(|| within(steps)))
}

impl<T> JoinHandle<T> {
    pub fn join(self) -> std::thread::Result<T> {
        let id = format!("{:?}", self.0.thread().id());
        let number = id.trim_matches(|other: char| !other.is_ascii_digit());
        waits(format_args!("thread {number} has not ended"));
        self.0.join()
    }
}
