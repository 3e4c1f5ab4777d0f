//! The driver: the pusher, the puller and the writer of a journal as futures, for any executor.
//!
//! It asks and reports through the same [`Party`] as the two threads do, and calls upstream without the lock as they do. What
//! is different is how it waits: looking, finding nothing and leaving its waker are one critical section, as looking and parking
//! are for a thread. So what is [argued](super::told) of a party that waits holds for it. It is a section of its own, after the
//! one in which it reports: what is kept across an await takes room in each replicator.
//!
//! A poll that nothing asked for looks again and finds what is there. A poll with another waker leaves that one instead. A
//! timer is asked anew whenever the time has changed that the party was told to wait for.
//!
//! The writer is polled in one task with the pusher, and not as a third half: the pusher sends what the writer has written, so
//! that each mostly waits for the other, and a replicator without a journal has none. How it asks and reports stands in
//! [`writer`].
//!
//! Dropping the driver is a stop. The call that is going on goes with it, and its outcome is reported as not known; so is the
//! write.

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::core::{Core, Role, State};
use super::journal::AsyncJournal;
use super::own_waker::OwnWaker;
use super::told::{topic, topic_of};
use super::upstream::call::{call, contained, cut_short};
use super::upstream::{AsyncPull, AsyncUpstream};
use super::work::{Begun, Does, Party, Pulls, Pushes, called, nothing, page_pulled, pull_ended, push_ended};
use super::writer::{self, Write, wrote};
use crate::log::Log;
use crate::platform::event::Input;
use crate::platform::{Arc, catch_panic, is_unwinding, probe};
use crate::primitives::panics::panic_message;
use crate::primitives::wait_queue::Place;
use crate::protocol::{Batch, Direction, Failure, Next, PullError, PushError, Time};

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

    /// A clock that agrees with the sleeps: the time since some moment. It never goes back. By default `None`, which is the
    /// standard one.
    ///
    /// It is read without a lock, by the driver and by each method of the replicator that changes something.
    fn clock(&self) -> Option<impl Fn() -> Duration + Send + Sync + 'static> {
        None::<fn() -> Duration>
    }
}

impl<F: Fn(Duration) -> S + 'static, S: Future<Output = ()>> Timer for F {
    type Sleep = S;

    fn sleep(&self, duration: Duration) -> S {
        self(duration)
    }
}

/// Pushes and pulls for a replicator without threads, and writes its journal: see
/// [`Builder::build_async`](super::Builder::build_async).
///
/// It is over once the replicator has been [stopped](super::Replicator::stop), which the drop of the last handle does, and
/// each call to upstream that was going on has been dropped. With a [journal](super::Builder::journal) also everything has
/// been written then, unless the journal has failed.
///
/// Nothing is pushed, pulled or written unless it is polled. It makes itself heard only if there is something to do: a replicator that
/// is idle costs no poll.
///
/// # Cancel safety
///
/// Dropping it stops the replicator. What has not settled is [closed](super::Settled::Closed); of a push that was going on
/// the outcome is not known, as a [shutdown](super::Shutdown) says. What the journal has not written by then it says, too; of a
/// write that was going on it is not known whether it was made, and nothing of it is reported as durable.
#[must_use = "nothing is pushed or pulled unless it is polled"]
pub struct Driver<P, Q> {
    push: Half<P>,
    pull: Half<Q>,
    /// What wakes the pusher, as long as both are polled together.
    pusher: Arc<OwnWaker>,
}

/// A direction, or the writer; `None` once it has ended, or panicked, or if there is none.
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

    /// What another poll would say.
    fn polled(&self) -> Poll<()> {
        if self.0.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl<F> Drop for Half<F> {
    /// A call that panics as it is dropped ends nothing but itself.
    fn drop(&mut self) {
        let _caught = catch_panic(|| drop(self.0.take()));
    }
}

impl<P: Future<Output = ()>, Q: Future<Output = ()>> Driver<P, Q> {
    /// The pusher (with the writer of the journal) and the puller apart, to run at the same time. Dropping one of them ends the
    /// other; the puller's does not keep the journal from writing what is left.
    pub fn split(self) -> (impl Future<Output = ()> + use<P, Q>, impl Future<Output = ()> + use<P, Q>) {
        let Self { mut push, mut pull, .. } = self;
        (poll_fn(move |context| push.poll(context)), poll_fn(move |context| pull.poll(context)))
    }
}

impl<P: Future<Output = ()>, Q: Future<Output = ()>> Future for Driver<P, Q> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { push, pull, pusher } = &mut *self;
        // Both are dropped if one panics.
        let (mut pushes, mut pulls) = (Half(push.0.take()), Half(pull.0.take()));
        let own = Waker::from(Arc::clone(pusher));
        let mut poll_push = || pushes.poll(&mut Context::from_waker(&own));
        if pusher.begins(context.waker()) {
            let _polled = poll_push();
        }
        let pulled = pulls.poll(context);
        if pusher.ends() {
            // The puller has mostly let it go on.
            let _polled = poll_push();
            if pusher.ends() {
                // Other tasks run before it does.
                own.wake_by_ref();
                context.waker().wake_by_ref();
            }
        }
        (*push, *pull) = (pushes, pulls);
        match (push.polled(), pulled) {
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

/// What both directions need beside the core.
struct Means<U, T> {
    upstream: U,
    timer: T,
}

pub(super) fn new<L: Log, U: AsyncUpstream<L>, T: Timer, J: AsyncJournal<L>>(
    core: Arc<Core<L>>,
    upstream: U,
    timer: T,
    journal: Option<J>,
) -> Driver<impl Future<Output = ()>, impl Future<Output = ()>> {
    let means = Arc::new(Means { upstream, timer });
    let ends = |role| Ends { core: Arc::clone(&core), role };
    let write = journal.map(|journal| Box::pin(write(ends(Role::Writer), Arc::clone(&means), journal)));
    let push = push(ends(Role::Pusher), Arc::clone(&means), Half(write));
    let pull = pull(ends(Role::Puller), means);
    Driver { push: Half::new(push), pull: Half::new(pull), pusher: Arc::new(OwnWaker::new()) }
}

/// Ends its party as it is dropped, unless that has ended; and with it the others.
struct Ends<L: Log> {
    core: Arc<Core<L>>,
    role: Role,
}

impl<L: Log> Drop for Ends<L> {
    fn drop(&mut self) {
        if is_unwinding() || self.core.look(|state| state.has_ended(self.role)) {
            return;
        }
        // A drop does not panic.
        self.core.stop().message();
        let mut state = self.core.state.lock();
        if self.role != Role::Writer {
            probe!(state => DirectionLooked { push: self.role == Role::Pusher, now: Time::ZERO });
        }
        let last = state.ends(self.role);
        let topics = state.publish_to_writer() | state.changed();
        let after = state.leaves(topics);
        drop(state);
        self.core.finish(after).message();
        if last {
            self.core.close(|_| ()).1.message();
        }
    }
}

/// How many calls or pages in a row may be over at once before other tasks get their turn: as many as tokio lets a task take
/// from its own channels and sockets. (A runtime of several threads hands the task to another one then, with all that it holds.)
const MOST_AT_ONCE: u8 = 128;

/// Counts them.
struct Turn(u8);

impl Turn {
    /// One more is over. Whether other tasks are to get their turn before the next.
    fn is_over(&mut self) -> bool {
        self.0 = (self.0 + 1) % MOST_AT_ONCE;
        self.0 == 0
    }
}

/// Lets other tasks run.
async fn pass() {
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

/// A sleep that is over once a call takes too long.
fn late<L: Log, T: Timer>(core: &Core<L>, direction: Direction, timer: &T) -> Option<Pin<Box<T::Sleep>>> {
    core.limits.deadlines[direction as usize].map(|limit| Box::pin(timer.sleep(limit)))
}

/// The pusher, with the writer of the journal if there is one.
#[expect(clippy::manual_async_fn, reason = "an async function keeps its arguments twice")]
fn push<L: Log, U: AsyncUpstream<L>, T: Timer, W: Future<Output = ()>>(
    ends: Ends<L>,
    means: Arc<Means<U, T>>,
    mut write: Half<W>,
) -> impl Future<Output = ()> {
    async move {
        let core = &*ends.core;
        let mut turn = Turn(0);
        Party::<L, Pushes>::new(core).report(Input::Pusher, nothing);
        // In a box, since most pushers have nothing to send most of the time.
        while let Some(sends) = Beside(&mut write, NextCall::<L, Calls<Pushes>, T>::new(core, &means.timer, &mut turn))
            .await
            .map(|call| Box::pin(send(core, &*means, &mut turn, call)))
        {
            if Beside(&mut write, sends).await {
                // With no call in its hands.
                Beside(&mut write, pin!(pass())).await;
            }
        }
        poll_fn(|context| write.poll(context)).await;
        drop(catch_panic(|| drop(means)));
    }
}

/// The pusher's next await, and the writer before it: what has been written is sent in the same poll.
struct Beside<'a, W, F>(&'a mut Half<W>, F);

impl<W: Future<Output = ()>, F: Future + Unpin> Future for Beside<'_, W, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Its end is awaited after the pusher's.
        let _polled = self.0.poll(context);
        Pin::new(&mut self.1).poll(context)
    }
}

/// Sends this batch, and what can be sent at once after it. Whether that ends because other tasks are to get their turn.
async fn send<L: Log, U: AsyncUpstream<L>, T: Timer>(
    core: &Core<L>,
    Means { upstream, timer }: &Means<U, T>,
    turn: &mut Turn,
    mut next: (Batch<L>, Begun),
) -> bool {
    loop {
        let (batch, Begun { interrupt, replaced }) = next;
        let sending = Sending { core, replaced, batch: &batch };
        let outcome = call(|| upstream.push(&batch), &interrupt, late(core, Direction::Push, timer)).await;
        std::mem::forget(sending);
        let outcome = outcome.map(|ended| ended.unwrap_or_else(|cut| Err(cut.of_push())));
        let outcome = called("AsyncUpstream::push", outcome);
        // Not moved into the report, which is handed on from function to function.
        let mut batch = Some(batch);
        let report = |state: &mut State<L>, now| {
            let batch = batch.take().expect("it is reported once");
            push_ended(state, batch, replaced, outcome, now)
        };
        let (pusher, passes) = (Party::<L, Pushes>::new(core), turn.is_over());
        let mut interrupt = Some(interrupt);
        let begun = match passes {
            true => {
                pusher.report(Input::PushEnded, report);
                None
            }
            false => pusher.report_and_look(Input::PushEnded, &mut interrupt, report),
        };
        drop(catch_panic(|| drop(interrupt)));
        match begun {
            Some(begun) => next = begun,
            None => return passes,
        }
    }
}

/// A push that is going on. As it is dropped it reports that the outcome is not known.
struct Sending<'a, L: Log> {
    core: &'a Core<L>,
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
        let outcome = called("", Ok(Err(outcome)));
        let report = |state: &mut State<L>, now| push_ended(state, batch, self.replaced, outcome, now);
        Party::<L, Pushes>::new(self.core).report_at(self.core.now_or_last(), Input::PushEnded, report);
    }
}

/// What came of a call that was going on as the driver was dropped.
const DROPPED: &str = "the driver was dropped during the call";

/// The puller.
#[expect(clippy::manual_async_fn, reason = "an async function keeps its arguments twice")]
fn pull<L: Log, U: AsyncUpstream<L>, T: Timer>(ends: Ends<L>, means: Arc<Means<U, T>>) -> impl Future<Output = ()> {
    async move {
        let core = &*ends.core;
        let mut turn = Turn(0);
        Party::<L, Pulls>::new(core).report(Input::Puller, nothing);
        loop {
            let next = NextCall::<L, Calls<Pulls>, T>::new(core, &means.timer, &mut turn);
            let Some(((ticket, cursor), Begun { interrupt, .. })) = next.await else { break };
            let mut pulling = Pulling { core, ticket: Some(ticket) };
            let upstream = &means.upstream;
            let mut pull = catch_panic(move || upstream.pull(cursor));
            let outcome = match &mut pull {
                // As is said below.
                Err(_) => Ok(Ok(())),
                Ok(pull) => loop {
                    let late = late(core, Direction::Pull, &means.timer);
                    let page = match call(|| pull.next_page(), &interrupt, late).await {
                        Err(payload) => break Err(payload),
                        Ok(Err(cut)) => break Ok(Err(cut.of_pull())),
                        Ok(Ok(None)) => break Ok(Ok(())),
                        Ok(Ok(Some(Err(error)))) => break Ok(Err(error)),
                        Ok(Ok(Some(Ok(page)))) => page,
                    };
                    let brings = Input::Page(page.entries.len());
                    let report = |state: &mut State<L>, now| page_pulled(state, ticket, page, now);
                    Party::<L, Pulls>::new(core).report(brings, report);
                    if let Some(cause) = interrupt.cause() {
                        break Ok(Err(cut_short(cause)));
                    }
                    if turn.is_over() {
                        pass().await;
                    }
                },
            };
            let outcome = pull.and_then(|pull| catch_panic(|| drop(pull))).and(outcome);
            pulling.ticket = None;
            let outcome = called("AsyncUpstream::pull", outcome);
            let report = |state: &mut State<L>, now| pull_ended(state, ticket, outcome, now);
            Party::<L, Pulls>::new(core).report(Input::PullEnded(ticket), report);
            drop(catch_panic(|| drop(interrupt)));
            if turn.is_over() {
                // With no call in its hands.
                pass().await;
            }
        }
        drop(catch_panic(|| drop(means)));
    }
}

/// A pull that is going on, until it has ended. As it is dropped it reports that it has not caught up.
struct Pulling<'a, L: Log> {
    core: &'a Core<L>,
    ticket: Option<u64>,
}

impl<L: Log> Drop for Pulling<'_, L> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.filter(|_| !is_unwinding()) else { return };
        let outcome = PullError::Unavailable { retry_after: None, error: DROPPED.into() };
        let outcome = called("", Ok(Err(outcome)));
        let report = |state: &mut State<L>, now| pull_ended(state, ticket, outcome, now);
        Party::<L, Pulls>::new(self.core).report_at(self.core.now_or_last(), Input::PullEnded(ticket), report);
    }
}

/// The writer.
#[expect(clippy::manual_async_fn, reason = "an async function keeps its arguments twice")]
fn write<L: Log, U, T: Timer, J: AsyncJournal<L>>(
    ends: Ends<L>,
    means: Arc<Means<U, T>>,
    mut journal: J,
) -> impl Future<Output = ()> {
    async move {
        let core = &*ends.core;
        let mut turn = Turn(0);
        while let Some(write) = NextCall::<L, Writes, T>::new(core, &means.timer, &mut turn).await {
            let mut writing = Writing { core, write };
            let outcome = contained(|| journal.write(&writing.write.changes)).await;
            let write = std::mem::take(&mut writing.write);
            std::mem::forget(writing);
            writer::report(core, (write, wrote("AsyncJournal::write", outcome)));
            if turn.is_over() {
                // With no call in its hands.
                pass().await;
            }
        }
        drop(catch_panic(|| drop(journal)));
        // There is none for threads.
        drop(writer::ends(core));
        drop(catch_panic(|| drop(means)));
    }
}

/// A write that is going on. As it is dropped it reports that it is not known whether it was made.
struct Writing<'a, L: Log> {
    core: &'a Core<L>,
    write: Write<L>,
}

impl<L: Log> Drop for Writing<'_, L> {
    fn drop(&mut self) {
        if !is_unwinding() {
            let failure = Failure::Journal { error: DROPPED.into() };
            writer::report(self.core, (std::mem::take(&mut self.write), Err(failure)));
        }
    }
}

/// A party as a task.
trait Looks<L: Log> {
    type Call;

    /// What it waits for.
    const TOPIC: usize;

    /// Looks, once its time has come if it `ticks`. If there is nothing to do it leaves the waker in the queue. Whether a
    /// `call` has begun, or for what it waits; and since when.
    fn look(
        core: &Core<L>,
        ticks: bool,
        place: &mut Option<Place>,
        waker: &Waker,
        call: &mut Option<Self::Call>,
    ) -> (Next<()>, Time);
}

/// A direction.
struct Calls<D>(PhantomData<D>);

impl<L: Log, D: Does<L>> Looks<L> for Calls<D> {
    type Call = (D::Call, Begun);

    const TOPIC: usize = topic_of(D::DIRECTION);

    fn look(
        core: &Core<L>,
        ticks: bool,
        place: &mut Option<Place>,
        waker: &Waker,
        call: &mut Option<Self::Call>,
    ) -> (Next<()>, Time) {
        Party::<L, D>::new(core).poll(ticks, place, waker, call)
    }
}

/// The writer.
enum Writes {}

impl<L: Log> Looks<L> for Writes {
    type Call = Write<L>;

    const TOPIC: usize = topic::WRITER;

    fn look(
        core: &Core<L>,
        _: bool,
        place: &mut Option<Place>,
        waker: &Waker,
        call: &mut Option<Self::Call>,
    ) -> (Next<()>, Time) {
        let (next, now) = writer::poll(core, place, waker);
        (next.map(|write| *call = Some(write)), now)
    }
}

/// Of a task that has reported: over once there is something to do, which has begun; or, with `None`, once there will be
/// nothing any more.
struct NextCall<'a, L: Log, D: Looks<L>, T: Timer> {
    core: &'a Core<L>,
    timer: &'a T,
    turn: &'a mut Turn,
    /// Its place in the queue of those who wait for something to do in a direction.
    place: Option<Place>,
    /// What it sleeps until, and the sleep. Few directions sleep, so that a sleep of the common size would be room lost.
    sleep: Option<(Time, Pin<Box<T::Sleep>>)>,
    does: PhantomData<fn() -> D>,
}

impl<'a, L: Log, D: Looks<L>, T: Timer> NextCall<'a, L, D, T> {
    fn new(core: &'a Core<L>, timer: &'a T, turn: &'a mut Turn) -> Self {
        Self { core, timer, turn, place: None, sleep: None, does: PhantomData }
    }
}

impl<L: Log, D: Looks<L>, T: Timer> Future for NextCall<'_, L, D, T> {
    type Output = Option<D::Call>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { core, timer, turn, place, sleep, .. } = &mut *self;
        let (mut ticks, mut call) = (false, None);
        loop {
            let (until, now) = match D::look(core, ticks, place, context.waker(), &mut call) {
                (Next::Do(()), _) => return Poll::Ready(call),
                (Next::Stop, _) => return Poll::Ready(None),
                (Next::Wait { until }, now) => (until.filter(|time| *time != Time::MAX), now),
            };
            if until != sleep.as_ref().map(|(time, _)| *time) {
                *sleep = until.map(|time| (time, Box::pin(timer.sleep(time.saturating_sub(now)))));
            }
            match sleep.as_mut().map(|(_, sleep)| sleep.as_mut().poll(context)) {
                Some(Poll::Ready(())) => *sleep = None,
                Some(Poll::Pending) | None => {
                    // Other tasks run meanwhile.
                    turn.0 = 0;
                    return Poll::Pending;
                }
            }
            if std::mem::replace(&mut ticks, true) {
                // A timer that is ahead of its clock: other tasks run meanwhile.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

impl<L: Log, D: Looks<L>, T: Timer> Drop for NextCall<'_, L, D, T> {
    fn drop(&mut self) {
        if !is_unwinding() {
            self.core.state.leave(D::TOPIC, &mut self.place);
        }
    }
}
