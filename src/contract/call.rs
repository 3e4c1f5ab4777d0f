//! How laws call what they are about: with a bound, several at once, and without a runtime if there is none.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// How often a task is polled that has not been woken: its timers are read then.
const TICK: Duration = Duration::from_millis(1);

/// Blocks on a future.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park_timeout(TICK),
        }
    }
}

/// A sleep, for [`block_on`].
pub(super) fn sleep(time: Duration) -> impl Future<Output = ()> {
    let until = Instant::now() + time;
    poll_fn(move |_| if Instant::now() < until { Poll::Pending } else { Poll::Ready(()) })
}

/// Runs a job on a thread of its own, which is left alone: one that hangs keeps no law from going on.
pub(super) fn on_a_thread(job: Box<dyn FnOnce() + Send>) {
    thread::spawn(job);
}

/// Awaits all of these at once.
pub(super) async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        for (future, output) in &mut running {
            if output.is_none() {
                *output = ready(future.as_mut().poll(context));
            }
        }
        if running.iter().any(|(_, output)| output.is_none()) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}

/// Awaits two at once.
pub(super) async fn both<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) -> (A, B) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let mut outputs = (None, None);
    poll_fn(|context| {
        if outputs.0.is_none() {
            outputs.0 = ready(first.as_mut().poll(context));
        }
        if outputs.1.is_none() {
            outputs.1 = ready(second.as_mut().poll(context));
        }
        match (outputs.0.take(), outputs.1.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            some => {
                outputs = some;
                Poll::Pending
            }
        }
    })
    .await
}

fn ready<T>(polled: Poll<T>) -> Option<T> {
    match polled {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Awaits a future until another one is over; `None` if that is the first.
pub(super) async fn until<T>(end: impl Future, future: impl Future<Output = T>) -> Option<T> {
    let (mut end, mut future) = (pin!(end), pin!(future));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => end.as_mut().poll(context).map(|_| None),
    })
    .await
}

/// Polls a future so often at most; `None` if it is not over by then.
pub(super) async fn polled<T>(mut left: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        let output = if left == 0 { None } else { ready(future.as_mut().poll(context)) };
        left = left.saturating_sub(1);
        if output.is_none() && left > 0 { Poll::Pending } else { Poll::Ready(output) }
    })
    .await
}
