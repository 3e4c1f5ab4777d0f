//! A thread that wakes tasks at a deadline, where there is no timer.

use std::io;

use crate::platform::thread::{self, JoinHandle};
use crate::primitives::interrupt::{Cause, Interrupt};

/// Sees to it that a deadline wakes a task: a thread that waits for it sets the interrupt.
pub(super) struct Watch(Option<(Interrupt, JoinHandle<()>)>);

impl Watch {
    pub(super) fn new(interrupt: &Interrupt) -> io::Result<Self> {
        if interrupt.deadline().is_none() {
            return Ok(Self(None));
        }
        let (over, watched) = (Interrupt::new(), interrupt.clone());
        let ends = over.clone();
        let watch = move || _ = watched.triggered().wait_or(&ends, None);
        Ok(Self(Some((over, thread::Builder::new().spawn(watch)?))))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some((over, thread)) = self.0.take() {
            over.set(Cause::Stop);
            // A waker's panic, in setting the interrupt.
            _ = thread.join();
        }
    }
}
