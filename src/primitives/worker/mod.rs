//! A worker: one thread, and a body that it runs again and again. A supervised process, as
//! Erlang/OTP has it: restarted by a policy with an intensity limit, each run with a number.
//!
//! # States
//!
//! Everything is under one lock, and so is the queue of the waiters for a change: the worker's own
//! thread, `idle`, `join`. A waiter looks and joins the queue in one critical section, and a
//! thread that changes something empties the queue in the same one. There is no other way to wait,
//! so there is no wake-up to lose.
//!
//! | phase | the thread | left by |
//! | --- | --- | --- |
//! | idle | waits | `restart` |
//! | running | is in the body | the body's return or panic |
//! | backing off | waits, with a deadline | the deadline; `restart`, which does not wait for it; `clear` |
//! | given up | waits | `restart` |
//! | stopped | has ended | nothing |
//!
//! *Requested* and *stopping* stand beside the phase. A request is taken back at one place only,
//! where the run begins that serves it, and under the lock: a request made before that moment is
//! served by this run, a later one by the next. Hence none is lost, and many make one. There is one
//! thread, hence never two runs. *Stopping* is looked at before *requested*: stop beats restart.
//!
//! # Stale results
//!
//! Each run has a **generation** and an interrupt of its own. How a run ended that was interrupted
//! (because it was replaced, cleared or stopped) is kept for the status, and changes nothing: no
//! backoff, no giving up. Only a run that ended by itself has a say in what follows.

mod policy;
mod run;
mod shared;

use std::fmt;
use std::io;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

pub use self::policy::RestartPolicy;
pub use self::run::{Ended, Exit, Run};
pub use self::shared::{Handle, Phase, Status};
use self::shared::{Shared, work};
use crate::SharedError;
use crate::platform::{Arc, Instant, is_unwinding, thread};
use crate::primitives::wait::deadline;

/// A restartable worker on a thread of its own: a *supervised process* (Erlang/OTP). See the
/// [module](self) for what it promises.
///
/// Dropping it stops the worker and **waits** for its thread, however long the present run takes to heed its interrupt.
/// (On that thread itself, it only stops.) To wait no longer than some time, use [`join_timeout`](Self::join_timeout).
/// Neither a drop nor a join panics, or waits for less or for longer, since the waker of a task does that is told of it.
///
/// ```
/// # if latchwork::sync::IN_MODEL { return Ok(()) }
/// use latchwork::{Interrupted, Run, Worker};
/// use std::time::Duration;
///
/// let worker = Worker::spawn("ticker", |run: &Run| -> Result<(), Interrupted> {
///     loop {
///         println!("run {}: tick", run.generation());
///         run.interrupt().sleep(Duration::from_secs(1))?;
///     }
/// })?;
/// assert_eq!(worker.restart()?, 2);
/// worker.join();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Worker {
    handle: Handle,
    /// `None` once it has been joined, or has done its last step and is on its own.
    thread: Option<Box<thread::JoinHandle<()>>>,
}

impl Worker {
    /// Starts a worker on a thread of this name, and its first run. What follows a run that fails is up to the owner.
    ///
    /// The body should look at its run's [interrupt](Run::interrupt) wherever it waits, and return soon once that is
    /// set: a run is asked to end, never made to.
    ///
    /// # Errors
    ///
    /// If the operating system gives no thread, or the name holds a zero byte.
    pub fn spawn<E: Into<SharedError>>(
        name: impl Into<String>,
        body: impl FnMut(&Run) -> Result<(), E> + Send + 'static,
    ) -> io::Result<Self> {
        Self::spawn_with(name, RestartPolicy::never(), body)
    }

    /// As [`spawn`](Self::spawn), with a policy that says what follows a run that fails.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    pub fn spawn_with<E: Into<SharedError>>(
        name: impl Into<String>,
        policy: RestartPolicy,
        mut body: impl FnMut(&Run) -> Result<(), E> + Send + 'static,
    ) -> io::Result<Self> {
        let name = name.into();
        let failed = |kind, error: &dyn fmt::Display| {
            io::Error::new(kind, format!("could not start a thread for worker {name:?}: {error}"))
        };
        if name.contains('\0') {
            return Err(failed(io::ErrorKind::InvalidInput, &"expected a name without zero bytes"));
        }
        let (shared, first) = Shared::new(name.clone(), policy);
        let shared = Arc::new(shared);
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name(name.clone())
            .spawn(move || work(&theirs, first, move |run: &Run| body(run).map_err(Into::into)))
            .map_err(|error| failed(error.kind(), &error))?;
        Ok(Self { handle: Handle { shared }, thread: Some(Box::new(thread)) })
    }

    /// A handle that can be cloned and sent; it neither stops nor keeps the worker when it is dropped.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Stops the worker and waits until its thread has ended altogether. Returns how it stood then.
    ///
    /// That is after the body has returned and been dropped, and after the thread has dropped its
    /// thread-local values: their destructors, the body's or a library's, may take their time.
    ///
    /// # Panics
    ///
    /// If called from the worker's own body, which would wait for itself.
    #[expect(clippy::must_use_candidate, reason = "the wait is the point")]
    pub fn join(self) -> Status {
        self.stop_quietly();
        match self.join_deadline(None) {
            Ok(status) => status,
            Err(_) => unreachable!("there was no deadline"),
        }
    }

    /// Stops the worker and waits until its thread has done its last step, for `timeout` at most.
    /// Returns how it stood then.
    ///
    /// That is after the body has returned and been dropped. No wait for the destructors of
    /// thread-local values can be bounded, so this does not wait for them. A timeout too large for
    /// an `Instant` means no timeout: then this is [`join`](Self::join).
    ///
    /// # Errors
    ///
    /// The worker itself, when its thread has not come to that by then. It has been told to stop;
    /// dropping it waits on.
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    pub fn join_timeout(self, timeout: Duration) -> Result<Status, Self> {
        self.stop_quietly();
        self.join_deadline(deadline(timeout))
    }

    /// Stops the worker and waits for nothing: its thread ends by itself.
    pub(crate) fn detach(mut self) {
        self.stop_quietly();
        self.thread = None;
    }

    /// Stops the worker. A waker that panics is no concern of a caller who waits, or drops.
    fn stop_quietly(&self) {
        let (_first, panicked) = self.handle.tell_to_stop();
        panicked.message();
    }

    fn join_deadline(mut self, deadline: Option<Instant>) -> Result<Status, Self> {
        let Some(status) = self.handle.shared.wait_stopped("join", deadline).ready() else { return Err(self) };
        match deadline {
            None => self.reap(),
            Some(_) => self.thread = None,
        }
        Ok(status)
    }

    /// Waits for the thread's very end. Its last step has been taken: only its thread-local values are dropped yet.
    fn reap(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _caught = thread.join();
        }
    }
}

/// Stops all of `workers`, then waits for them, each as [`Worker::join_timeout`] does, for
/// `timeout` at most, all together. Returns what that would for each, in their order.
///
/// # Panics
///
/// If called from the body of one of them, which would wait for itself.
#[must_use = "some may not have ended"]
pub fn join_all(workers: impl IntoIterator<Item = Worker>, timeout: Duration) -> Vec<Result<Status, Worker>> {
    let workers: Vec<_> = workers.into_iter().collect();
    for worker in &workers {
        worker.stop_quietly();
    }
    let deadline = deadline(timeout);
    workers.into_iter().map(|worker| worker.join_deadline(deadline)).collect()
}

impl Deref for Worker {
    type Target = Handle;

    /// What can be done with the worker without owning it.
    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.thread.is_none() || is_unwinding() {
            return;
        }
        self.stop_quietly();
        if !self.handle.shared.is_own_thread() {
            let _stopped = self.handle.shared.wait_stopped("drop", None);
            self.reap();
        }
    }
}

// No user code runs while the state is being changed: a panic cannot leave it half done.
impl UnwindSafe for Worker {}
impl RefUnwindSafe for Worker {}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("name", &self.name()).finish_non_exhaustive()
    }
}
