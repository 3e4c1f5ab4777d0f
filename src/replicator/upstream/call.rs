//! A call of an upstream for tasks: raced with its interrupt.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use crate::platform::catch_panic;
use crate::primitives::interrupt::{Cause, Interrupt, Interrupted};
use crate::primitives::panics::Payload;
use crate::protocol::messages::{PullError, PushError};

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
    let mut interrupted = interrupt.triggered();
    let outcome = poll_fn(|context| {
        let Some(running) = future.as_mut().as_pin_mut() else { unreachable!("it is dropped below") };
        let cause = match catch_panic(|| running.poll(context)) {
            Err(payload) => return Poll::Ready(Err(payload)),
            Ok(Poll::Ready(output)) => return Poll::Ready(Ok(Ok(output))),
            Ok(Poll::Pending) => match Pin::new(&mut interrupted).poll(context) {
                Poll::Ready(cause) => cause,
                Poll::Pending => match late.as_mut().map(|late| Pin::new(late).poll(context)) {
                    Some(Poll::Ready(())) => Cause::Deadline,
                    Some(Poll::Pending) | None => return Poll::Pending,
                },
            },
        };
        Poll::Ready(Ok(Err(Cut { cause, begun: true })))
    })
    .await;
    catch_panic(|| future.set(None)).and(outcome)
}
