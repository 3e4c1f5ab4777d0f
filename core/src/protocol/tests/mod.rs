//! What each input does, one at a time. That no order of them leaves a direction waiting for ever is for the state search.

mod canonical;
mod contract;
mod decisions;
mod durable;
mod linger;
mod owner;
mod pull;
mod push;
mod waiting;

use super::{Effects, Next, Protocol, Settings, Time};
use crate::Backoff;
use crate::log::{MemoryEntry, MemoryLog};
use crate::protocol::{Batch, FatalKind, More, Page, PullError, PushError};

type Core = Protocol<MemoryLog<u64>>;

fn ms(ms: u64) -> Time {
    Time::from_millis(ms)
}

/// The delays are 100, 200, 400 ms and so on, of pushes that others overtake 5, 10, 20 ms and so on; the grace is 250 ms.
fn settings() -> Settings {
    Settings { backoff: Backoff::new(ms(100), ms(10_000)).with_jitter(0.0), ..Settings::default() }
}

/// With live pulls, and these events pending.
fn live<const N: usize>(pending: [u64; N]) -> Core {
    Protocol::new(MemoryLog::new().with_pending(0, pending), settings())
}

/// With a pull only when one is needed. None is owed from before.
fn on_request<const N: usize>(pending: [u64; N]) -> Core {
    let mut protocol = Protocol::new(MemoryLog::new().with_pending(0, pending), Settings { live: false, ..settings() });
    let first = protocol.begin_pull(ms(0));
    let _nothing = protocol.pull_ended(first, Ok(()), 0, ms(0));
    protocol
}

fn behind(head: Option<u64>) -> Result<(), PushError<u64>> {
    Err(PushError::Behind { head })
}

fn unavailable(retry_after: Option<Time>) -> Result<(), PushError<u64>> {
    Err(PushError::Unavailable { retry_after, error: "away".into() })
}

fn uncertain() -> Result<(), PushError<u64>> {
    Err(PushError::Uncertain { error: "no answer".into() })
}

fn rejected(index: usize) -> Result<(), PushError<u64>> {
    Err(PushError::Rejected { index, error: "invalid".into() })
}

fn too_large() -> Result<(), PushError<u64>> {
    Err(PushError::TooLarge { error: "413".into() })
}

fn fatal() -> Result<(), PushError<u64>> {
    Err(PushError::Fatal { kind: FatalKind::Other, error: "no".into() })
}

fn disconnected() -> Result<(), PullError> {
    Err(PullError::Unavailable { retry_after: None, error: "away".into() })
}

/// A page of what follows `cursor`. There is nothing more.
fn last_page(cursor: u64, events: &[u64]) -> Page<MemoryEntry<u64>> {
    let numbered = (cursor + 1..).zip(events);
    Page { entries: numbered.map(|(position, &event)| MemoryEntry { position, event }).collect(), more: More::None }
}

/// A page of what follows `cursor`. There may be more.
fn page(cursor: u64, events: &[u64]) -> Page<MemoryEntry<u64>> {
    Page { more: More::Unknown, ..last_page(cursor, events) }
}

fn ends_pull() -> Effects<MemoryEntry<u64>> {
    Effects { interrupt_pull: true, ..Effects::default() }
}

/// The driver's part, where it can only go one way.
impl Core {
    /// What has come of this protocol.
    fn then<T>(mut self, step: impl FnOnce(&mut Self) -> T) -> Self {
        drop(step(&mut self));
        self
    }

    fn send(&mut self, now: Time) -> Batch<MemoryLog<u64>> {
        let Next::Do(batch) = self.next_push(now) else { panic!("nothing is sent: the pusher {}", self.course.push) };
        batch
    }

    fn answer(
        &mut self,
        batch: Batch<MemoryLog<u64>>,
        outcome: Result<(), PushError<u64>>,
        now: Time,
    ) -> Effects<MemoryEntry<u64>> {
        self.push_ended(batch, outcome, 0, now).expect("the log takes its own batch")
    }

    /// A push that comes to this.
    fn push_once(&mut self, outcome: Result<(), PushError<u64>>, now: Time) -> Effects<MemoryEntry<u64>> {
        let batch = self.send(now);
        self.answer(batch, outcome, now)
    }

    fn begin_pull(&mut self, now: Time) -> u64 {
        let Next::Do((ticket, _)) = self.next_pull(now) else { panic!("no pull: the puller {}", self.course.pull) };
        ticket
    }

    fn receive(&mut self, ticket: u64, page: Page<MemoryEntry<u64>>, now: Time) -> Effects<MemoryEntry<u64>> {
        self.page_pulled(ticket, page, 0, now).expect("the page follows")
    }

    /// A pull that finds nothing, from its beginning to its end.
    fn pull_nothing(&mut self, now: Time) {
        let ticket = self.begin_pull(now);
        let _nothing = self.pull_ended(ticket, Ok(()), 0, now);
    }

    fn would_send(&self, now: Time) -> bool {
        matches!(self.clone().next_push(now), Next::Do(_))
    }

    fn would_pull(&self, now: Time) -> bool {
        matches!(self.clone().next_pull(now), Next::Do(_))
    }
}
