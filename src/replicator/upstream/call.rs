//! A call of an upstream for tasks: raced with its interrupt.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use crate::platform::catch_panic;
use crate::primitives::interrupt::{Cause, Interrupt, Interrupted};
use crate::primitives::panics::Payload;
use crate::protocol::{PullError, PushError};

/// What has come of a pull whose interrupt is set.
pub(crate) fn cut_short(cause: Cause) -> PullError {
    let error = match cause {
        Cause::Deadline => "nothing has come of the pull in time",
        _ => "the pull was asked to end",
    };
    PullError::Unavailable { retry_after: None, error: error.into() }
}

/// A call that has been dropped, or not even been begun.
pub(crate) struct Cut {
    cause: Cause,
    begun: bool,
}

impl Cut {
    pub(crate) fn of_push<P>(self) -> PushError<P> {
        let error = Interrupted { cause: self.cause }.into();
        match self.begun {
            true => PushError::Uncertain { error },
            false => PushError::Unavailable { retry_after: None, error },
        }
    }

    pub(crate) fn of_pull(self) -> PullError {
        cut_short(self.cause)
    }
}

/// Awaits the first of two futures. If both are ready it is the first one, and the other is not polled.
pub(crate) fn race<A: Future + Unpin, B: Future + Unpin>(
    mut first: A,
    mut second: B,
) -> impl Future<Output = Result<A::Output, B::Output>> + Unpin {
    poll_fn(move |context| match Pin::new(&mut first).poll(context) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => Pin::new(&mut second).poll(context).map(Err),
    })
}

/// Makes a call, to its end. An error if it panics, also as it is dropped.
pub(crate) async fn contained<F: Future>(begin: impl FnOnce() -> F) -> Result<F::Output, Payload> {
    let mut future = pin!(Some(catch_panic(begin)?));
    let outcome = poll_fn(|context| poll(future.as_mut(), context)).await;
    catch_panic(|| future.set(None)).and(outcome)
}

/// Polls a call, which is dropped once it is over.
fn poll<F: Future>(future: Pin<&mut Option<F>>, context: &mut Context<'_>) -> Poll<Result<F::Output, Payload>> {
    match future.as_pin_mut() {
        Some(running) => catch_panic(|| running.poll(context))
            .map_or_else(|payload| Poll::Ready(Err(payload)), |polled| polled.map(Ok)),
        None => unreachable!("it is dropped once it is over"),
    }
}

/// Makes a call and drops it, by its end at the latest: when its interrupt is set or it is `late`. What has come by then
/// counts. An error if it panics, also as it is dropped.
pub(crate) async fn call<F: Future>(
    begin: impl FnOnce() -> F,
    interrupt: &Interrupt,
    mut late: Option<impl Future<Output = ()> + Unpin>,
) -> Result<Result<F::Output, Cut>, Payload> {
    if let Some(cause) = interrupt.cause() {
        return Ok(Err(Cut { cause, begun: false }));
    }
    let mut future = pin!(Some(catch_panic(begin)?));
    let running = poll_fn(|context| poll(future.as_mut(), context));
    let passed = poll_fn(|context| late.as_mut().map_or(Poll::Pending, |late| Pin::new(late).poll(context)));
    let outcome = match race(running, race(interrupt.triggered(), passed)).await {
        Ok(ended) => ended.map(Ok),
        Err(Ok(cause)) => Ok(Err(Cut { cause, begun: true })),
        Err(Err(())) => Ok(Err(Cut { cause: Cause::Deadline, begun: true })),
    };
    catch_panic(|| future.set(None)).and(outcome)
}
