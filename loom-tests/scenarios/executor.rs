//! The smallest executor, and a timer for it.

use std::future::{Future, poll_fn};
use std::mem::take;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::{latchwork, thread};
use latchwork::Replicator;
use latchwork::log::Log;
use latchwork::replicator::Timer;
use latchwork::sync::model::{say, waits};

use loom::sync::atomic::{AtomicUsize, Ordering};

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

/// A replicator for tasks whose driver, or the halves of it, are polled on threads of their own.
pub struct Driven<L: Log> {
    replicator: Replicator<L>,
    polls: Vec<thread::JoinHandle<()>>,
}

impl<L: Log> Driven<L> {
    /// A replicator, and what its builder has made with it.
    pub fn new((replicator, driver): (Replicator<L>, impl Future<Output = ()> + Unpin + 'static)) -> Self {
        Self { replicator, polls: vec![thread::spawn(|| block_on(driver))] }
    }

    pub fn by_halves(replicator: Replicator<L>, halves: impl IntoIterator<Item = Half>) -> Self {
        Self { replicator, polls: halves.into_iter().map(|half| thread::spawn(|| block_on(half))).collect() }
    }

    /// Drops the handle, and waits for the end of what is polled.
    pub fn ends(self) {
        let Self { replicator, polls } = self;
        drop(replicator);
        polls.into_iter().for_each(|polls| polls.join().unwrap());
    }
}

impl<L: Log> Deref for Driven<L> {
    type Target = Replicator<L>;

    fn deref(&self) -> &Replicator<L> {
        &self.replicator
    }
}

/// A half of a driver.
pub type Half = Pin<Box<dyn Future<Output = ()>>>;

/// Both halves of a driver in one task, and each is polled whenever that is: as a join of any two futures does it. (A driver
/// that is polled as it is has a [waker of its own](super::tasks) for its pusher. That multiplies the schedules.)
pub fn joined((push, pull): (impl Future<Output = ()> + 'static, impl Future<Output = ()> + 'static)) -> Half {
    let mut halves: [Option<Half>; 2] = [Some(Box::pin(push)), Some(Box::pin(pull))];
    Box::pin(poll_fn(move |context| {
        for half in &mut halves {
            if half.as_mut().is_some_and(|running| running.as_mut().poll(context).is_ready()) {
                *half = None;
            }
        }
        if halves.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    }))
}

/// A clock that the model moves, and those who sleep by it.
///
/// It is read `SeqCst`, and has been written so from its beginning: no thread reads a clock as it was before. (Of values that
/// were not, loom has a load see any that is not known to be old, the one that an atomic is made with among them.) To read it
/// is a step, for the clock and for each poll of a sleep. (Were it none, loom would take it for the same whether time passes
/// before or after it.) What else there is to do for a sleep is none.
pub struct Time {
    now: AtomicUsize,
    sleepers: Mutex<Vec<(usize, Weak<Sleeper>)>>,
}

/// The waker of a sleep, once that has been polled.
type Sleeper = Mutex<Option<Waker>>;

impl Default for Time {
    fn default() -> Self {
        let now = AtomicUsize::new(0);
        now.store(0, Ordering::SeqCst);
        Self { now, sleepers: Mutex::default() }
    }
}

impl Time {
    pub fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    /// Time passes. It wakes those whose time has come, and no others: a wake too many would have a driver look that sleeps
    /// for the wrong time.
    pub fn pass(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        say(format_args!("time passes, and is {now}"));
        let mut sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        let (due, others): (Vec<_>, _) = take(&mut *sleepers).into_iter().partition(|(until, _)| *until <= now);
        *sleepers = others;
        drop(sleepers);
        for (_, sleeper) in due {
            let waker = sleeper.upgrade().and_then(|sleeper| sleeper.lock().unwrap().take());
            waker.into_iter().for_each(Waker::wake);
        }
    }

    pub fn sleep(self: &Arc<Self>, until: usize) -> Pin<Box<dyn Future<Output = ()>>> {
        let (time, sleeper) = (Arc::clone(self), Arc::<Sleeper>::default());
        time.sleepers.lock().unwrap().push((until, Arc::downgrade(&sleeper)));
        Box::pin(poll_fn(move |context| {
            if time.now() >= until {
                return Poll::Ready(());
            }
            *sleeper.lock().unwrap() = Some(context.waker().clone());
            Poll::Pending
        }))
    }
}

/// From its beginning to its end, in one step.
#[derive(Clone, Default)]
pub struct EndOfTime(Arc<Time>);

impl EndOfTime {
    /// Time ends: every sleep is over, also those still to come.
    pub fn come(&self) {
        self.0.pass();
    }
}

impl Timer for EndOfTime {
    type Sleep = Pin<Box<dyn Future<Output = ()>>>;

    fn sleep(&self, _: Duration) -> Self::Sleep {
        self.0.sleep(1)
    }

    fn clock(&self) -> Option<impl Fn() -> Duration + Send + Sync + 'static> {
        let Self(time) = self.clone();
        Some(move || if time.now() == 0 { Duration::ZERO } else { Duration::MAX })
    }
}

/// By a second at a time.
#[derive(Clone, Default)]
pub struct Seconds(Arc<Time>);

impl Seconds {
    pub fn tick(&self) {
        self.0.pass();
    }
}

impl Timer for Seconds {
    type Sleep = Pin<Box<dyn Future<Output = ()>>>;

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(self.0.now() + duration.as_millis().div_ceil(1000) as usize)
    }

    fn clock(&self) -> Option<impl Fn() -> Duration + Send + Sync + 'static> {
        let Self(time) = self.clone();
        Some(move || Duration::from_secs(time.now() as u64))
    }
}

/// Polls a future once, with a waker that wakes nothing.
pub fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}
