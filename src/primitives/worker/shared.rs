//! What a worker's owner, its handles and its thread share.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::OnceLock;
use std::time::Duration;

use super::RestartPolicy;
use super::policy::History;
use super::run::{Ended, Exit, Run, run_once};
use crate::SharedError;
use crate::platform::event::Shown;
use crate::platform::{Arc, Instant, probe, random, thread};
use crate::primitives::interrupt::{Cause, Interrupt, Interrupted};
use crate::primitives::monitor::{Monitor, Wakers};
use crate::primitives::panics::FirstPanic;
use crate::primitives::wait::{Wait, Waitable, Waited, deadline};
use crate::primitives::wait_queue::wake_all;

/// What can be done with a worker without owning it. Clones are the same worker.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    name: String,
    state: Monitor<State>,
    /// Set by the thread itself, before its first run.
    own_thread: OnceLock<thread::ThreadId>,
}

struct State {
    activity: Activity,
    /// The latest run that has begun; 0 before the first.
    generation: u64,
    /// A run is owed. Taken back only where the run begins that serves it.
    requested: bool,
    /// No run begins any more. Set once.
    stopping: bool,
    history: History,
    last_exit: Option<Exit>,
}

enum Activity {
    Idle,
    /// `asked`: why the run is to end, if it is. The interrupt tells the run, after the lock is given up; what counts here
    /// is `asked`, or else a run that fails in between would be taken for one that failed by itself.
    Running {
        interrupt: Interrupt,
        asked: Option<Cause>,
        started: Instant,
    },
    BackingOff {
        until: Instant,
    },
    GivenUp,
    Stopped,
}

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Waits to be asked for a run.
    Idle,
    /// The body runs.
    Running,
    /// A run failed; the next begins at `until` at the latest.
    BackingOff {
        /// When the policy starts the next run.
        until: Instant,
    },
    /// A run failed, and the policy allows no further one; waits to be asked.
    GivenUp,
    /// The thread has ended or is about to; no run follows.
    Stopped,
}

/// How a worker stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// What it is doing.
    pub phase: Phase,
    /// The latest run that has begun; 0 before the first.
    pub generation: u64,
    /// Whether a run has been asked for that has not begun yet.
    pub requested: bool,
    /// Whether it has been told to stop.
    pub stopping: bool,
    /// How the latest run ended that has ended.
    pub last_exit: Option<Exit>,
}

impl fmt::Display for Status {
    /// What comes after "the worker".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, requested, stopping, .. } = *self;
        match self.phase {
            Phase::Idle => write!(f, "is idle after run {generation}")?,
            Phase::Running => write!(f, "is in run {generation}")?,
            Phase::BackingOff { .. } => write!(f, "backs off after run {generation}")?,
            Phase::GivenUp => write!(f, "has given up after run {generation}")?,
            Phase::Stopped => return write!(f, "has stopped after run {generation}"),
        }
        match (stopping, requested) {
            (true, _) => f.write_str(", and is to stop"),
            (false, true) => f.write_str(", and owes another"),
            (false, false) => Ok(()),
        }
    }
}

impl Handle {
    /// The worker's name, which is its thread's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Asks for a new run: the present one, if there is one, is interrupted, and the next begins when it has ended.
    /// Returns the generation of that next run.
    ///
    /// Never waits. Requests that arrive before the next run begins are served by it together; a request that arrives
    /// later is served by another one. It also ends a backoff and a giving up, and makes the policy forget earlier
    /// failures.
    ///
    /// # Errors
    ///
    /// [`Interrupted`] by [`Cause::Stop`], if the worker has been told to stop.
    ///
    /// # Panics
    ///
    /// If the waker of a task that waits for this worker panics; the run has been asked for by then, and all others are woken.
    pub fn restart(&self) -> Result<u64, Interrupted> {
        let mut wakers = Wakers::new();
        let requested = self.shared.state.change_quietly(&mut wakers, |state| {
            if state.stopping {
                return (Err(Interrupted { cause: Cause::Stop }), 0);
            }
            state.requested = true;
            state.history.reset();
            let present = state.ask_to_end(Cause::Restart);
            if present.is_none() {
                state.activity = Activity::Idle;
            }
            (Ok((state.generation + 1, present)), 1)
        });
        let (next, present) = requested?;
        wake_and(wakers, || interrupt(present, Cause::Restart)).resume();
        Ok(next)
    }

    /// Ends the present run, a backoff, and every request made so far, and waits until the run has ended. A run that is
    /// asked for while this waits is none of its business: it begins as usual.
    ///
    /// # Panics
    ///
    /// If called from the worker's own body, which would wait for itself. If the waker of a task that waits for this worker
    /// panics; the run has ended by then, and all others are woken.
    pub fn clear(&self) {
        let _no_deadline = self.clear_deadline(None);
    }

    /// As [`clear`](Self::clear), waiting for `timeout` at most; the run is interrupted in any case.
    ///
    /// # Panics
    ///
    /// As [`clear`](Self::clear).
    pub fn clear_timeout(&self, timeout: Duration) -> Waited {
        self.clear_deadline(deadline(timeout))
    }

    fn clear_deadline(&self, deadline: Option<Instant>) -> Waited {
        self.shared.assert_other_thread("clear");
        let mut wakers = Wakers::new();
        let (generation, present) = self.shared.state.change_quietly(&mut wakers, |state| {
            state.requested = false;
            let present = state.ask_to_end(Cause::Clear);
            if let Activity::BackingOff { .. } = state.activity {
                state.activity = Activity::Idle;
            }
            ((state.generation, present), 1)
        });
        let panicked = wake_and(wakers, || interrupt(present, Cause::Clear));
        let waited = self.shared.wait(deadline, |state: &mut State| (state.ended() >= generation).then_some(()));
        panicked.resume();
        waited
    }

    /// Tells the worker to stop: the present run is interrupted, and none follows, not even one that was asked for.
    /// Returns whether it is the first to do so. Never waits.
    ///
    /// # Panics
    ///
    /// If the waker of a task that waits for this worker panics; the worker has been told by then, and all others are woken.
    pub fn stop(&self) -> bool {
        let (first, panicked) = self.tell_to_stop();
        panicked.resume();
        first
    }

    /// As [`stop`](Self::stop), with the panic of a waker.
    pub(super) fn tell_to_stop(&self) -> (bool, FirstPanic) {
        let mut wakers = Wakers::new();
        let (first, present) = self.shared.state.change_quietly(&mut wakers, |state| {
            let first = !std::mem::replace(&mut state.stopping, true);
            ((first, state.ask_to_end(Cause::Stop)), 1)
        });
        (first, wake_and(wakers, || interrupt(present, Cause::Stop)))
    }

    /// A wait until no run is going on and none is owed, by a request or by a backoff.
    ///
    /// # Panics
    ///
    /// If called from the worker's own body, which would wait for itself.
    pub fn idle(&self) -> Wait<impl Waitable<Output = ()>> {
        self.shared.assert_other_thread("idle");
        self.shared.state.wait(State::idle)
    }

    /// A wait until the worker has stopped; its outcome is how the worker stood then. It does not tell it to.
    ///
    /// # Panics
    ///
    /// If called from the worker's own body, which would wait for itself.
    pub fn stopped(&self) -> Wait<impl Waitable<Output = Status>> {
        self.shared.assert_other_thread("stopped");
        self.shared.state.wait(State::stopped)
    }

    /// How the worker stands. Always answers, also after it has stopped.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.state.look(|state| state.status())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl State {
    #[inline]
    fn status(&self) -> Status {
        Status {
            phase: match self.activity {
                Activity::Idle => Phase::Idle,
                Activity::Running { .. } => Phase::Running,
                Activity::BackingOff { until } => Phase::BackingOff { until },
                Activity::GivenUp => Phase::GivenUp,
                Activity::Stopped => Phase::Stopped,
            },
            generation: self.generation,
            requested: self.requested,
            stopping: self.stopping,
            last_exit: self.last_exit.clone(),
        }
    }

    /// Notes that the present run is to end. Returns the interrupt to set once the lock has been given up.
    fn ask_to_end(&mut self, cause: Cause) -> Option<Interrupt> {
        probe!(Asked { what: &cause });
        let Activity::Running { interrupt, asked, .. } = &mut self.activity else { return None };
        asked.get_or_insert(cause);
        Some(interrupt.clone())
    }

    /// The latest run that has ended; runs end in order.
    fn ended(&self) -> u64 {
        if let Activity::Running { .. } = self.activity { self.generation - 1 } else { self.generation }
    }

    fn idle(&mut self) -> Option<()> {
        match self.activity {
            Activity::Idle | Activity::GivenUp => (!self.requested).then_some(()),
            Activity::Running { .. } | Activity::BackingOff { .. } => None,
            Activity::Stopped => Some(()),
        }
    }

    fn stopped(&mut self) -> Option<Status> {
        matches!(self.activity, Activity::Stopped).then(|| self.status())
    }

    /// Begins the next run if one is due; otherwise says until when to wait.
    fn next(&mut self) -> Next {
        if self.stopping {
            return Next::Stop;
        }
        match self.activity {
            Activity::Idle if self.requested => {}
            // Mutant `replace < with <=`: at that very nanosecond it waits for what has come, which ends at once.
            Activity::BackingOff { until } if Instant::now() < until => return Next::Wait(Some(until)),
            Activity::BackingOff { .. } => {}
            _ => return Next::Wait(None),
        }
        Next::Run(self.begin())
    }

    /// Begins a run, which serves every request made so far.
    fn begin(&mut self) -> Run {
        self.requested = false;
        self.generation += 1;
        let interrupt = Interrupt::new();
        self.activity = Activity::Running { interrupt: interrupt.clone(), asked: None, started: Instant::now() };
        Run { generation: self.generation, interrupt }
    }

    /// The present run has ended. Returns what is to be dropped outside the lock.
    fn run_ended(&mut self, run: &Run, ended: Ended) -> Option<Exit> {
        probe!(RunEnded { generation: run.generation });
        let Activity::Running { started, asked, .. } = self.activity else {
            unreachable!("a run ends only while it is the present one")
        };
        let failed = !matches!(ended, Ended::Completed);
        self.activity = if failed && asked.is_none() {
            let now = Instant::now();
            match self.history.failed(started, now, random()) {
                // A delay that no clock can show is as good as giving up.
                Some(delay) => now.checked_add(delay).map_or(Activity::GivenUp, |until| Activity::BackingOff { until }),
                None => Activity::GivenUp,
            }
        } else {
            Activity::Idle
        };
        self.last_exit.replace(Exit { generation: run.generation, ended, interrupted: asked })
    }
}

// Inlined, so that it is compiled where it is called: in a normal build, nowhere.
impl Shown for State {
    #[inline]
    fn stands(&self) -> (Vec<String>, String) {
        (vec![self.status().to_string()], String::new())
    }

    #[inline]
    fn waits(&self, _: usize) -> String {
        let reason = match self.activity {
            _ if self.stopping => "the worker has not stopped",
            Activity::Running { .. } => "the run has not ended",
            _ if self.requested => "the worker is not idle",
            _ => "no run is due",
        };
        reason.into()
    }
}

enum Next {
    Run(Run),
    Wait(Option<Instant>),
    Stop,
}

impl Shared {
    /// A worker whose first run has begun.
    pub(super) fn new(name: String, policy: RestartPolicy) -> (Self, Run) {
        let mut state = State {
            activity: Activity::Idle,
            generation: 0,
            requested: true,
            stopping: false,
            history: History::new(policy),
            last_exit: None,
        };
        let first = state.begin();
        let state = Monitor::new(state, format_args!("worker {name}"));
        (Self { name, state, own_thread: OnceLock::new() }, first)
    }

    pub(super) fn is_own_thread(&self) -> bool {
        self.own_thread.get() == Some(&thread::current().id())
    }

    fn assert_other_thread(&self, what: &str) {
        assert!(
            !self.is_own_thread(),
            "`{what}` of worker {:?} was called from its own body: it would wait for itself",
            self.name
        );
    }

    fn wait<T>(&self, deadline: Option<Instant>, look: impl FnMut(&mut State) -> Option<T>) -> Waited<T> {
        self.state.block(0, deadline, look)
    }

    /// Waits until the thread has done its last step.
    pub(super) fn wait_stopped(&self, what: &str, deadline: Option<Instant>) -> Waited<Status> {
        self.assert_other_thread(what);
        self.wait(deadline, State::stopped)
    }

    /// Ends a run and blocks until the next is due; `None` once the worker is to stop.
    fn turn(&self, run: &Run, ended: Ended) -> Option<Run> {
        let mut state = self.state.lock();
        let former = state.run_ended(run, ended);
        let mut wakers = Wakers::new();
        state.notify(1, &mut wakers);
        if former.is_some() || !wakers.is_empty() {
            drop(state);
            // They are user code, and the thread outlives their panics.
            let mut panicked = FirstPanic::default();
            panicked.catch(|| drop(former));
            panicked.catch(|| wake_all(wakers));
            panicked.message();
            state = self.state.lock();
        }
        loop {
            match state.look(State::next) {
                Next::Run(run) => return Some(run),
                Next::Stop => return None,
                Next::Wait(until) => (state, _) = state.wait(0, until),
            }
        }
    }
}

/// Wakes the tasks that wait for a change, then does the rest, also after a waker that panics. Returns the first panic.
fn wake_and(wakers: Wakers, rest: impl FnOnce()) -> FirstPanic {
    let mut panicked = FirstPanic::default();
    panicked.catch(|| wake_all(wakers));
    panicked.catch(rest);
    panicked
}

/// Tells a run that it is to end.
fn interrupt(present: Option<Interrupt>, cause: Cause) {
    if let Some(present) = present {
        present.set(cause);
    }
}

// No user code runs while the state is being changed: a panic cannot leave it half done.
impl UnwindSafe for Handle {}
impl RefUnwindSafe for Handle {}

/// What the worker's thread does, from its first run on.
pub(super) fn work(shared: &Shared, first: Run, mut body: impl FnMut(&Run) -> Result<(), SharedError>) {
    let _first = shared.own_thread.set(thread::current().id());
    let mut next = Some(first);
    while let Some(run) = next {
        let ended = run_once(&mut body, &run);
        next = shared.turn(&run, ended);
    }
    let mut panicked = FirstPanic::default();
    panicked.catch(|| drop(body));
    panicked.catch(|| shared.state.change(|state| state.activity = Activity::Stopped));
    panicked.message();
}
