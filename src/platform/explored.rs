//! What a model build is made of: loom's locks, atomics and threads, and a clock that the model
//! moves.

use std::cell::Cell;
use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::LocalKey;
use std::time::Duration;

pub(crate) use crossbeam_channel as channel;
pub(crate) use loom::sync::MutexGuard;
pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU64};
pub(crate) use loom::thread_local;

use super::notified::Notified;
use super::trace::{Thing, say, words};

/// What a model may do.
pub(super) mod model {
    pub(crate) use super::{advance, end_time, expect_spurious, give_way, wake_spuriously};
    pub use crate::platform::trace::{Trace, builder, record, recorded};
    pub(crate) use crate::platform::trace::{check, say, waits, within};

    pub(crate) fn name<T>(known_by: &super::Mutex<T>, name: impl std::fmt::Display) {
        super::words::name(known_by.thing(), name);
    }
}

pub(crate) mod thread {
    pub(crate) use loom::thread::{JoinHandle, ThreadId, current};

    /// loom's, and the thread has a column in which it begins and ends.
    pub(crate) struct Builder(loom::thread::Builder);

    impl Builder {
        pub(crate) fn new() -> Self {
            Self(loom::thread::Builder::new())
        }

        pub(crate) fn name(self, name: String) -> Self {
            Self(self.0.name(name))
        }

        pub(crate) fn spawn<T: Send + 'static>(
            self,
            steps: impl FnOnce() -> T + Send + 'static,
        ) -> std::io::Result<JoinHandle<T>> {
            self.0.spawn(|| super::model::within(steps))
        }
    }
}

/// loom's mutex with the interface of `parking_lot`'s: no poisoning.
pub(crate) struct Mutex<T> {
    value: loom::sync::Mutex<T>,
    /// What traces call it.
    thing: Thing,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: loom::sync::Mutex::new(value), thing: Thing::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        words::locks();
        let guard = self.value.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        words::goes_on();
        guard
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn thing(&self) -> Thing {
        self.thing
    }
}

struct Shared<T, const TOPICS: usize> {
    value: Mutex<T>,
    /// Who waits for each topic. Touched under the lock alone, so it is no step of its own: every order in which threads
    /// join and are notified is an order in which they take the lock.
    waiting: [Waiting; TOPICS],
    notified: [Notified; TOPICS],
}

impl<T, const TOPICS: usize> Shared<T, TOPICS> {
    /// Under the lock.
    fn notify_all(&self, topic: usize) {
        self.notified[topic].bump();
        self.waiting[topic].notify_all();
    }
}

/// Threads that are parked, or will be before another thread runs.
#[derive(Default)]
struct Waiting(std::sync::Mutex<Vec<loom::thread::Thread>>);

impl Waiting {
    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<loom::thread::Thread>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn notify_all(&self) {
        let woken = std::mem::take(&mut *self.threads());
        woken.iter().for_each(loom::thread::Thread::unpark);
        words::wakes(&woken);
    }
}

/// What the clock knows of a blocked thread.
trait Blocked: Send + Sync {
    /// Wakes the threads that wait for this topic.
    fn wake(&self, topic: usize);
}

impl<T: Send, const TOPICS: usize> Blocked for Shared<T, TOPICS> {
    fn wake(&self, topic: usize) {
        let _locked = self.value.lock();
        self.notify_all(topic);
    }
}

/// A value under a lock, and threads that wait for it to change: for one of so many topics each.
///
/// A condition variable of loom's is an object by itself: waiting on it and notifying it are steps that are explored in
/// every order. Here a thread joins in the critical section in which it looks, and is notified in the one that changes what
/// it looked at, so the steps are those of the lock, and a thread sleeps as one asleep on loom's condition variable does:
/// parked, and unparked once. (Only by that: a model whose threads call `unpark` on each other brings in wake-ups without
/// a reason.)
pub(crate) struct CondMutex<T, const TOPICS: usize = 1>(Arc<Shared<T, TOPICS>>);

impl<T: Send + 'static, const TOPICS: usize> CondMutex<T, TOPICS> {
    pub(crate) fn new(value: T) -> Self {
        let waiting = std::array::from_fn(|_| Waiting::default());
        Self(Arc::new(Shared { value: Mutex::new(value), waiting, notified: [const { Notified::new() }; TOPICS] }))
    }

    /// The value, once it is not shared any more.
    pub(crate) fn into_inner(self) -> T {
        let shared = Arc::into_inner(self.0).expect("no thread is blocked");
        shared.value.value.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.value.lock()
    }

    /// Queues up at once: to come later is another schedule.
    pub(crate) fn lock_yielding(&self) -> MutexGuard<'_, T> {
        self.lock()
    }

    /// Gives up the lock until notified, until `deadline`, or for no reason. Says whether the deadline has passed.
    pub(crate) fn wait<'a>(
        &'a self,
        mut guard: MutexGuard<'a, T>,
        topic: usize,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, T>, bool) {
        if GIVES_WAY.get() {
            let mut held = Some(guard);
            let notified = self.0.notified[topic].give_way(|| {
                drop(held.take());
                held = Some(self.lock());
            });
            guard = held.expect("it was taken again");
            if notified {
                return (guard, false);
            }
        }
        if deadline.is_none() && !SPURIOUS.get() {
            return (self.block(guard, topic, None), false);
        }
        let passed = || deadline.is_some_and(|deadline| CLOCK.now() >= deadline.0);
        if SPURIOUS.get() {
            CLOCK.spurious.fetch_add(1, Ordering::SeqCst);
        }
        // From this look at the clock until it is parked no other thread runs: one that moves the clock later finds the entry.
        if passed() {
            return (guard, true);
        }
        CLOCK.blocked().push(Entry { deadline, topic, who: self.0.clone() });
        let guard = self.block(guard, topic, deadline);
        let key = Arc::as_ptr(&self.0).cast::<()>();
        let same = |entry: &Entry| {
            Arc::as_ptr(&entry.who).cast::<()>() == key && (entry.deadline, entry.topic) == (deadline, topic)
        };
        let mut blocked = CLOCK.blocked();
        let own = blocked.iter().position(same).expect("an entry is taken out by the thread that made it");
        blocked.remove(own);
        drop(blocked);
        (guard, passed())
    }

    fn block<'a>(&'a self, guard: MutexGuard<'a, T>, topic: usize, deadline: Option<Instant>) -> MutexGuard<'a, T> {
        words::parks(deadline.map(|deadline| Duration::from_nanos(deadline.0)));
        self.0.waiting[topic].threads().push(loom::thread::current());
        drop(guard);
        loom::thread::park();
        let guard = self.lock();
        // Notified, it is not there any more; woken otherwise, it still is.
        let own = loom::thread::current().id();
        self.0.waiting[topic].threads().retain(|thread| thread.id() != own);
        guard
    }

    /// Wakes the threads that wait for this topic. The lock is held: there is no other way.
    pub(crate) fn notify_all(&self, _locked: &mut MutexGuard<'_, T>, topic: usize) {
        self.0.notify_all(topic);
    }

    pub(crate) fn thing(&self) -> Thing {
        self.0.value.thing
    }
}

/// A blocked thread.
struct Entry {
    deadline: Option<Instant>,
    topic: usize,
    who: Arc<dyn Blocked>,
}

struct Clock {
    /// Nanoseconds since the model began. Grows only. Read and written `SeqCst`: no thread reads a clock as it was before.
    now: AtomicU64,
    /// Looks and wake-ups of models that expect wake-ups without a reason, which have no time to be put in order by.
    spurious: AtomicU64,
    /// Who is blocked, until when; in the order in which they came. No step of a model: `now` and `spurious` are.
    blocked: std::sync::Mutex<Vec<Entry>>,
}

loom::lazy_static! {
    static ref CLOCK: Clock = Clock::new();
}

std::thread_local! {
    /// Whether waits without a deadline are known to the clock too. loom runs all threads of a model on one real
    /// thread, so this is a setting of the model and no step of it.
    static SPURIOUS: Cell<bool> = const { Cell::new(false) };
    /// Whether threads give way before they sleep. A setting as well.
    static GIVES_WAY: Cell<bool> = const { Cell::new(false) };
}

impl Clock {
    fn new() -> Self {
        let now = AtomicU64::new(0);
        now.store(0, Ordering::SeqCst);
        Self { now, spurious: AtomicU64::new(0), blocked: Default::default() }
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    fn blocked(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.blocked.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set(&self, now: u64) {
        self.now.store(now, Ordering::SeqCst);
        match now {
            u64::MAX => say("time ends"),
            now => say(format_args!("the clock shows {:?}", Duration::from_nanos(now))),
        }
        self.wake(|deadline| deadline.is_some_and(|deadline| deadline.0 <= now));
    }

    fn wake(&self, due: impl Fn(Option<Instant>) -> bool) {
        let woken: Vec<_> = self
            .blocked()
            .iter()
            .filter(|entry| due(entry.deadline))
            .map(|entry| (entry.topic, Arc::clone(&entry.who)))
            .collect();
        woken.iter().for_each(|(topic, who)| who.wake(*topic));
    }
}

pub(crate) fn advance(by: Duration) {
    CLOCK.set((Instant::now() + by).0);
}

pub(crate) fn end_time() {
    CLOCK.set(u64::MAX);
}

pub(crate) fn give_way() -> Setting {
    Setting::on(&GIVES_WAY)
}

pub(crate) fn expect_spurious() -> Setting {
    Setting::on(&SPURIOUS)
}

/// A setting of the model, until this is dropped.
#[derive(Debug)]
pub(crate) struct Setting(&'static LocalKey<Cell<bool>>);

impl Setting {
    fn on(setting: &'static LocalKey<Cell<bool>>) -> Self {
        setting.set(true);
        Self(setting)
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

pub(crate) fn wake_spuriously() {
    CLOCK.spurious.fetch_add(1, Ordering::SeqCst);
    say("wakes what sleeps, for no reason");
    CLOCK.wake(|_| true);
}

/// A point in time: [`std::time::Instant`], or the model's clock in a model build.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub(super) u64);

impl Instant {
    /// The model's time.
    #[must_use]
    pub fn now() -> Self {
        Self(CLOCK.now())
    }

    /// As [`std::time::Instant::checked_add`]. From the end of time nothing is later.
    #[must_use]
    pub fn checked_add(self, by: Duration) -> Option<Self> {
        if self.0 == u64::MAX {
            return Some(self);
        }
        u64::try_from(by.as_nanos()).ok().and_then(|by| self.0.checked_add(by)).map(Self)
    }

    /// As [`std::time::Instant::saturating_duration_since`].
    #[must_use]
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self - earlier
    }

    /// As [`std::time::Instant::elapsed`]. At the end of time, more than any delay.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        let now = Self::now();
        if now.0 == u64::MAX { Duration::MAX } else { now - self }
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of time.
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({:?})", Duration::from_nanos(self.0))
    }
}

/// Looks no second time: whatever could come meanwhile, another schedule has it come before the first look.
pub(crate) fn spin<T>(_deadline: Option<Instant>, _look: impl FnMut() -> Option<T>) -> Option<T> {
    None
}

/// No step: nothing is locked where it is called, so whatever it could bring about is explored without it. (loom's own puts
/// the thread off until others have run, and so would hide schedules.)
pub(crate) const fn yield_now() {}

/// Always the same: a model must be the same each time.
pub(crate) fn random() -> u64 {
    0
}

/// Runs user code whose panic is to be contained; the model's own verdict is not user code's and goes on.
///
/// loom reports a deadlock, or a model that has grown too large, by a panic of the thread that ran last, and unwinds the
/// others with a payload of its own kind.
pub(crate) fn catch_panic<T>(f: impl FnOnce() -> T) -> std::thread::Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
        let verdicts = ["deadlock; threads", "Model exceeded", "cannot access Loom"];
        match text {
            Some(text) if !verdicts.iter().any(|verdict| text.starts_with(verdict)) => Err(payload),
            _ => std::panic::resume_unwind(payload),
        }
    })
}

/// Whether this is a drop in a model that has failed, where nothing can be locked any more.
///
/// A lock taken then would panic while the thread unwinds, and abort the process before loom could report why.
pub(crate) fn is_unwinding() -> bool {
    std::thread::panicking()
}

/// A function that is `const` outside model builds (loom's types are made while a model runs).
macro_rules! const_fn {
    ($(#[$meta:meta])* $vis:vis const fn $($rest:tt)*) => { $(#[$meta])* $vis fn $($rest)* };
}
pub(crate) use const_fn;
