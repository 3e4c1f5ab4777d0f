//! The driver: the pusher and the puller as futures, for any executor.
//!
//! It asks and reports through the same [`Party`] as the two threads do, and calls upstream without the lock as they do.
//! (Each in a critical section of its own: what is kept across an await takes room in each replicator.) What is different is
//! how it waits: looking, finding nothing and leaving its waker are one critical section, as looking
//! and parking are for a thread. So what is [argued](super::told) of a party that waits holds for it.
//!
//! A poll that nothing asked for looks again and finds what is there. A poll with another waker leaves that one instead. A
//! timer is asked anew whenever the time has changed that the party was told to wait for.
//!
//! Dropping the driver is a stop. The call that is going on goes with it, and its outcome is reported as not known.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::core::{Core, State};
use super::told::topic_of;
use super::upstream::call::{call, cut_short};
use super::upstream::{AsyncPull, AsyncUpstream};
use super::work::{Begun, Party, called, nothing, page_pulled, pull_ended, push_ended};
use crate::log::Log;
use crate::platform::event::Input;
use crate::platform::{Arc, Instant, catch_panic, is_unwinding, probe};
use crate::primitives::panics::panic_message;
use crate::primitives::wait_queue::Place;
use crate::protocol::messages::{Batch, PullError, PushError};
use crate::protocol::{Direction, Next, Time};

/// What sleeps for a [`Driver`], and tells it the time.
///
/// A function that returns a future is one: `tokio::time::sleep`, `smol::Timer::after` with its outcome dropped, and so on.
/// Where there is no clock of the standard library, or a test has its own, implement it.
///
/// # Panics
///
/// A panic of a sleep's, as it is asked for or polled, comes out of the driver, which has ended then. So does one of
/// the clock's that the driver reads. One that a method of the [replicator](super::Replicator) reads comes out of that method,
/// which has done nothing. What stops it does so whatever the clock does: [`stop`](super::Replicator::stop), a
/// [shutdown](super::Replicator::shutdown), and each drop; the time is the last that is known then.
pub trait Timer: 'static {
    /// A sleep.
    type Sleep: Future<Output = ()>;

    /// Sleeps for this long, at least: from the call on, whenever it is polled first.
    fn sleep(&self, duration: Duration) -> Self::Sleep;

    /// A clock that agrees with the sleeps: the time since some moment. It never goes back. By default the standard one.
    ///
    /// It is read without a lock, by the driver and by each method of the replicator that changes something.
    fn clock(&self) -> impl Fn() -> Duration + Send + Sync + 'static {
        let origin = Instant::now();
        move || origin.elapsed()
    }
}

impl<F: Fn(Duration) -> S + 'static, S: Future<Output = ()>> Timer for F {
    type Sleep = S;

    fn sleep(&self, duration: Duration) -> S {
        self(duration)
    }
}

/// Pushes and pulls for a replicator without threads: see [`Builder::build_async`](super::Builder::build_async).
///
/// It is over once the replicator has been [stopped](super::Replicator::stop), which the drop of the last handle does, and
/// each call to upstream that was going on has been dropped.
///
/// Nothing is pushed or pulled unless it is polled. It makes itself heard only if there is something to do: a replicator that
/// is idle costs no poll.
///
/// # Cancel safety
///
/// Dropping it stops the replicator. What has not settled is [closed](super::Settled::Closed); of a push that was going on
/// the outcome is not known, as a [shutdown](super::Shutdown) says.
#[must_use = "nothing is pushed or pulled unless it is polled"]
pub struct Driver<P, Q> {
    push: Half<P>,
    pull: Half<Q>,
}

/// A direction; `None` once it has ended, or panicked.
struct Half<F>(Option<Pin<Box<F>>>);

impl<F: Future<Output = ()>> Half<F> {
    fn new(running: F) -> Self {
        Self(Some(Box::pin(running)))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(mut running) = self.0.take() else { return Poll::Ready(()) };
        let polled = running.as_mut().poll(context);
        if polled.is_pending() {
            self.0 = Some(running);
        }
        polled
    }
}

impl<F> Drop for Half<F> {
    /// A call that panics as it is dropped ends nothing but itself.
    fn drop(&mut self) {
        let _caught = catch_panic(|| drop(self.0.take()));
    }
}

impl<P: Future<Output = ()>, Q: Future<Output = ()>> Driver<P, Q> {
    /// The pusher and the puller apart, to run at the same time. Dropping one of them ends the other.
    pub fn split(self) -> (impl Future<Output = ()> + use<P, Q>, impl Future<Output = ()> + use<P, Q>) {
        let Self { mut push, mut pull } = self;
        (poll_fn(move |context| push.poll(context)), poll_fn(move |context| pull.poll(context)))
    }
}

impl<P: Future<Output = ()>, Q: Future<Output = ()>> Future for Driver<P, Q> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // Both are dropped if one panics.
        let (mut push, mut pull) = (Half(self.push.0.take()), Half(self.pull.0.take()));
        let polled = (push.poll(context), pull.poll(context));
        *self = Self { push, pull };
        match polled {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

impl<P, Q> fmt::Debug for Driver<P, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

pub(super) fn new<L: Log, U: AsyncUpstream<L>, T: Timer>(
    core: Arc<Core<L>>,
    upstream: Arc<U>,
    timer: T,
    [push_deadline, pull_silence]: [Option<Duration>; 2],
) -> Driver<impl Future<Output = ()>, impl Future<Output = ()>> {
    let timer = Arc::new(timer);
    let half = |direction| (Ends { core: Arc::clone(&core), direction }, Arc::clone(&upstream), Arc::clone(&timer));
    let (ends, upstream_, timer_) = half(Direction::Push);
    let push = push(ends, upstream_, timer_, push_deadline);
    let (ends, upstream_, timer_) = half(Direction::Pull);
    let pull = pull(ends, upstream_, timer_, pull_silence);
    Driver { push: Half::new(push), pull: Half::new(pull) }
}

/// Ends its direction as it is dropped, unless that has ended; and with it the other.
struct Ends<L: Log> {
    core: Arc<Core<L>>,
    direction: Direction,
}

impl<L: Log> Drop for Ends<L> {
    fn drop(&mut self) {
        if is_unwinding() || self.core.look(|state| state.has_ended(self.direction)) {
            return;
        }
        // A drop does not panic.
        self.core.stop().message();
        let ((last, after), wakers) = self.core.state.change_quietly(|state| {
            probe!(state => DirectionLooked { push: self.direction == Direction::Push, now: Time::ZERO });
            let last = state.ends(self.direction);
            ((last, std::mem::take(&mut state.after)), state.publish_to_writer() | state.changed())
        });
        self.core.finish(after, wakers).message();
        if last {
            self.core.close(|_| ()).1.message();
        }
    }
}

/// How many calls or pages in a row may be over at once before other tasks get their turn.
const MOST_AT_ONCE: u8 = 32;

/// Counts them.
struct Turn(u8);

impl Turn {
    /// Lets other tasks run, now and then.
    async fn pass(&mut self) {
        self.0 += 1;
        if self.0 < MOST_AT_ONCE {
            return;
        }
        self.0 = 0;
        let mut passed = false;
        let pass = |context: &mut Context<'_>| match std::mem::replace(&mut passed, true) {
            true => Poll::Ready(()),
            false => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        };
        poll_fn(pass).await;
    }
}

/// The pusher.
#[expect(clippy::manual_async_fn, reason = "an async function keeps its arguments twice")]
fn push<L: Log, U: AsyncUpstream<L>, T: Timer>(
    ends: Ends<L>,
    upstream: Arc<U>,
    timer: Arc<T>,
    limit: Option<Duration>,
) -> impl Future<Output = ()> {
    async move {
        let pusher = Party::pusher(&ends.core);
        let mut turn = Turn(0);
        pusher.report(Input::Pusher, nothing);
        while let Some((batch, Begun { interrupt, replaced })) = pusher.next_of_task(&*timer).await {
            let sending = Sending { pusher: &pusher, replaced, batch: &batch };
            // In a box, since most pushers have nothing to send most of the time.
            let outcome =
                Box::pin(call(|| upstream.push(&batch), &interrupt, limit.map(|limit| Box::pin(timer.sleep(limit)))))
                    .await;
            std::mem::forget(sending);
            let outcome = outcome.map(|ended| ended.unwrap_or_else(|cut| Err(cut.of_push())));
            let (outcome, error) = called("AsyncUpstream::push", outcome);
            let report = |state: &mut State<L>, now| push_ended(state, batch, replaced, outcome, error, now);
            pusher.report(Input::PushEnded, report);
            drop(catch_panic(|| drop(interrupt)));
            // With no call in its hands.
            turn.pass().await;
        }
        drop(catch_panic(|| drop(upstream)));
    }
}

/// A push that is going on. As it is dropped it reports that the outcome is not known.
struct Sending<'a, L: Log> {
    pusher: &'a Party<'a, L, Batch<L>>,
    replaced: u64,
    batch: &'a Batch<L>,
}

impl<L: Log> Drop for Sending<'_, L> {
    fn drop(&mut self) {
        if is_unwinding() {
            return;
        }
        // A clone of an entry is the user's, and may panic.
        let Ok(batch) = catch_panic(|| self.batch.clone()).map_err(panic_message) else { return };
        let outcome = PushError::Uncertain { error: DROPPED.into() };
        let (outcome, error) = called("", Ok(Err(outcome)));
        let report = |state: &mut State<L>, now| push_ended(state, batch, self.replaced, outcome, error, now);
        self.pusher.report_at(self.pusher.core.now_or_last(), Input::PushEnded, report);
    }
}

/// What came of a call that was going on as the driver was dropped.
const DROPPED: &str = "the driver was dropped during the call";

/// The puller.
#[expect(clippy::manual_async_fn, reason = "an async function keeps its arguments twice")]
fn pull<L: Log, U: AsyncUpstream<L>, T: Timer>(
    ends: Ends<L>,
    upstream: Arc<U>,
    timer: Arc<T>,
    silence: Option<Duration>,
) -> impl Future<Output = ()> {
    async move {
        let puller = Party::puller(&ends.core);
        let mut turn = Turn(0);
        puller.report(Input::Puller, nothing);
        while let Some(((ticket, cursor), Begun { interrupt, .. })) = puller.next_of_task(&*timer).await {
            let mut pulling = Pulling { puller: &puller, ticket: Some(ticket) };
            let outcome = match catch_panic(|| upstream.pull(cursor)) {
                Err(payload) => Err(payload),
                Ok(mut pull) => {
                    let outcome = loop {
                        let page = match call(
                            || pull.next_page(),
                            &interrupt,
                            silence.map(|time| Box::pin(timer.sleep(time))),
                        )
                        .await
                        {
                            Err(payload) => break Err(payload),
                            Ok(Err(cut)) => break Ok(Err(cut.of_pull())),
                            Ok(Ok(None)) => break Ok(Ok(())),
                            Ok(Ok(Some(Err(error)))) => break Ok(Err(error)),
                            Ok(Ok(Some(Ok(page)))) => page,
                        };
                        let brings = Input::Page(page.entries.len());
                        puller.report(brings, |state, now| page_pulled(state, ticket, page, now));
                        if let Some(cause) = interrupt.cause() {
                            break Ok(Err(cut_short(cause)));
                        }
                        turn.pass().await;
                    };
                    catch_panic(|| drop(pull)).and(outcome)
                }
            };
            pulling.ticket = None;
            let (outcome, error) = called("AsyncUpstream::pull", outcome);
            let report = |state: &mut State<L>, now| pull_ended(state, ticket, outcome, error, now);
            puller.report(Input::PullEnded(ticket), report);
            drop(catch_panic(|| drop(interrupt)));
            // With no call in its hands.
            turn.pass().await;
        }
        drop(catch_panic(|| drop(upstream)));
    }
}

/// A pull that is going on, until it has ended. As it is dropped it reports that it has not caught up.
struct Pulling<'a, L: Log> {
    puller: &'a Party<'a, L, (u64, L::Position)>,
    ticket: Option<u64>,
}

impl<L: Log> Drop for Pulling<'_, L> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.filter(|_| !is_unwinding()) else { return };
        let outcome = PullError::Unavailable { retry_after: None, error: DROPPED.into() };
        let (outcome, error) = called("", Ok(Err(outcome)));
        let report = |state: &mut State<L>, now| pull_ended(state, ticket, outcome, error, now);
        self.puller.report_at(self.puller.core.now_or_last(), Input::PullEnded(ticket), report);
    }
}

impl<L: Log, T> Party<'_, L, T> {
    /// As [`next`](Self::next), for a task that has reported: until there is something to do, and begins it; `None` once there
    /// will be nothing any more.
    async fn next_of_task(&self, timer: &impl Timer) -> Option<(T, Begun)> {
        let mut queued = Queued { core: self.core, topic: topic_of(self.direction), place: None };
        // What it sleeps until, and the sleep. Few directions sleep, so that a sleep of the common size would be room lost.
        let mut sleep: Option<(Time, Pin<Box<_>>)> = None;
        poll_fn(|context| {
            let mut ticks = false;
            loop {
                let (until, now) = match self.poll(ticks, &mut queued.place, context.waker()) {
                    (Next::Do(call), _) => return Poll::Ready(Some(call)),
                    (Next::Stop, _) => return Poll::Ready(None),
                    (Next::Wait { until }, now) => (until.filter(|time| *time != Time::MAX), now),
                };
                if until != sleep.as_ref().map(|(time, _)| *time) {
                    sleep = until.map(|time| (time, Box::pin(timer.sleep(time.saturating_sub(now)))));
                }
                match sleep.as_mut().map(|(_, sleep)| sleep.as_mut().poll(context)) {
                    Some(Poll::Ready(())) => sleep = None,
                    Some(Poll::Pending) | None => return Poll::Pending,
                }
                if std::mem::replace(&mut ticks, true) {
                    // A timer that is ahead of its clock: other tasks run meanwhile.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

/// A place in the queue of those who wait for something to do in a direction.
struct Queued<'a, L: Log> {
    core: &'a Core<L>,
    topic: usize,
    place: Option<Place>,
}

impl<L: Log> Drop for Queued<'_, L> {
    fn drop(&mut self) {
        if !is_unwinding() {
            self.core.state.leave(self.topic, &mut self.place);
        }
    }
}
