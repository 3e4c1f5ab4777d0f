//! The laws of upstreams, written for tasks: an upstream for threads is called through an adapter.

use std::cell::Cell;
use std::fmt::Debug;
use std::future::{Future, pending};
use std::time::Duration;

use super::Contract;
use super::broken::{Broken, Verdict};
use super::call::{all, both, until};
use super::place::{Place, Pushed, Reader, SHORT, same, told};
use crate::log::Log;
use crate::protocol::{FatalKind, PullError, PushError};
use crate::replicator::upstream::AsyncUpstream;

/// Runs all of them.
pub(super) async fn laws<L, U, O, M, S, F>(contract: &Contract<L>, sleep: &F, make: &M) -> Broken
where
    L: Log<Entry: PartialEq + Debug>,
    U: AsyncUpstream<L>,
    O: AsyncFn() -> U,
    M: AsyncFn() -> O,
    S: Future,
    F: Fn(Duration) -> S,
{
    let new = async || Place::new(contract, sleep, make().await);
    let mut broken = Broken::default();
    broken.judge("a batch that follows is taken as it stands", async { new().await.takes().await }).await;
    broken.judge("a batch that does not follow is behind", async { new().await.refuses().await }).await;
    broken.judge("a batch that is sent again is there once", async { new().await.has_once().await }).await;
    broken.judge("of clients that push at once one is taken", async { new().await.orders_rivals().await }).await;
    broken.judge("a large batch is taken whole, or too large", async { new().await.takes_large().await }).await;
    broken.judge("a pull gives out what follows its cursor", async { new().await.gives_from_cursor().await }).await;
    broken.judge("a pull says that it has caught up", async { new().await.says_caught_up().await }).await;
    broken.judge("a cursor beyond the end is an error", async { new().await.knows_its_end().await }).await;
    broken.judge("a pull has caught up with whole batches alone", async { new().await.shows_whole().await }).await;
    if contract.is_live {
        broken.judge("an open pull gives out what comes later", async { new().await.stays_live().await }).await;
    }
    broken.judge("a pull that is given up ends", async { new().await.ends_pull().await }).await;
    broken.judge("a push that is given up is there whole or not", async { new().await.ends_push().await }).await;
    broken.judge("what was taken is there for later clients", async { new().await.keeps().await }).await;
    let two = async || (new().await, new().await);
    broken.judge("two upstreams have nothing in common", async { apart(two().await).await }).await;
    broken
}

/// Runs those of a client that reaches another upstream than its own.
pub(super) async fn laws_of_another<L, U, M, S, F>(contract: &Contract<L>, sleep: &F, make: &M) -> Broken
where
    L: Log<Entry: PartialEq + Debug>,
    U: AsyncUpstream<L>,
    M: AsyncFn() -> (U, U),
    S: Future,
    F: Fn(Duration) -> S,
{
    let mismatch = "an error with `FatalKind::IdentityMismatch`";
    let pushes = async {
        let (own, stranger) = make().await;
        let mut place = Place::new(contract, sleep, pending::<U>);
        place.take(&own, 2).await?;
        let batch = place.batch(1)?;
        match place.push_when_available(&stranger, &batch).await? {
            Err(PushError::Fatal { kind: FatalKind::IdentityMismatch, .. }) => place.holds(&own).await,
            outcome => Err(format!("expected {mismatch} of a push, got {}", told(&outcome))),
        }
    };
    let pulls = async {
        let (own, stranger) = make().await;
        let mut place = Place::new(contract, sleep, pending::<U>);
        place.take(&own, 2).await?;
        let reader = place.pull(&stranger, 0).await?;
        match &reader.error {
            Some(PullError::Fatal { kind: FatalKind::IdentityMismatch, .. }) if reader.entries.is_empty() => Ok(()),
            _ => Err(format!("expected {mismatch} of a pull, got {}", reader.end())),
        }
    };
    let mut broken = Broken::default();
    broken.judge("a push to another upstream is fatal", pushes).await;
    broken.judge("a pull from another upstream is fatal", pulls).await;
    broken
}

impl<L, U, O, S, F> Place<'_, L, O, F>
where
    L: Log<Entry: PartialEq + Debug>,
    U: AsyncUpstream<L>,
    O: AsyncFn() -> U,
    S: Future,
    F: Fn(Duration) -> S,
{
    async fn takes(mut self) -> Verdict {
        let client = self.client().await?;
        for events in [1, 3, 2] {
            self.take(&client, events).await?;
            self.holds(&client).await?;
        }
        Ok(())
    }

    async fn refuses(mut self) -> Verdict {
        let client = self.client().await?;
        for events in [2, 1] {
            self.take(&client, events).await?;
        }
        let head = L::position(self.ordered.last().expect("three have been taken"));
        for base in 0..3 {
            let batch = self.batch_after(base, 2)?;
            let sent = format!("a batch that follows event {base} of 3");
            match self.push_when_available(&client, &batch).await? {
                Err(PushError::Behind { head: told }) if told.is_none_or(|told| told == head) => {}
                outcome => {
                    let expected = format!("`Behind` with the head {head:?} or none, of {sent}");
                    return Err(format!("expected {expected}, got {}", told(&outcome)));
                }
            }
            self.holds(&client).await.map_err(|came| format!("{sent} was refused; then {came}"))?;
        }
        self.take(&client, 1).await.map(drop)
    }

    async fn has_once(mut self) -> Verdict {
        let client = self.client().await?;
        let batch = self.take(&client, 2).await?;
        match self.push_when_available(&client, &batch).await? {
            Ok(()) | Err(PushError::Behind { .. }) => {}
            outcome => {
                let expected = "`Behind` of a batch that is sent again, or that it is there";
                return Err(format!("expected {expected}, got {}", told(&outcome)));
            }
        }
        self.holds(&client).await?;
        self.take(&client, 1).await?;
        self.holds(&client).await
    }

    async fn orders_rivals(mut self) -> Verdict {
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(self.client().await?);
        }
        for _ in 0..10 {
            let mut batches = Vec::new();
            for _ in &clients {
                batches.push(self.batch(2)?);
            }
            let pushes = clients.iter().zip(&batches).map(|(client, batch)| self.push(client, batch));
            let outcomes = all(pushes).await.into_iter().collect::<Verdict<Vec<_>>>()?;
            let words = outcomes.iter().map(told).collect::<Vec<_>>().join("; ");
            let mut taken = (0..clients.len()).filter(|client| outcomes[*client].is_ok());
            let lost =
                |outcome: &&Pushed<L>| matches!(outcome, Err(PushError::Behind { .. } | PushError::Unavailable { .. }));
            let (winner, losers) = (taken.next(), outcomes.iter().filter(lost).count());
            let Some(winner) = winner.filter(|_| losers + 1 == clients.len()) else {
                let expected = "one of four batches that follow one event to be taken, and the others to be behind";
                return Err(format!("expected {expected}, got {words}"));
            };
            self.ordered.extend(batches.swap_remove(winner).entries);
            self.holds(&clients[winner]).await.map_err(|came| format!("outcomes were {words}; then {came}"))?;
        }
        Ok(())
    }

    async fn takes_large(mut self) -> Verdict {
        let client = self.client().await?;
        let mut events = 2500;
        let mut left = events;
        while left > 0 {
            let batch = self.batch(events.min(left))?;
            match self.push_when_available(&client, &batch).await? {
                Ok(()) => {
                    left -= batch.entries.len();
                    self.ordered.extend(batch.entries);
                }
                Err(PushError::TooLarge { .. }) if events > 1 => events = events.div_ceil(2),
                outcome => {
                    let expected = format!("a batch of {} small events to be taken, or too large", batch.entries.len());
                    return Err(format!("expected {expected}, got {}", told(&outcome)));
                }
            }
            self.holds(&client).await?;
        }
        Ok(())
    }

    async fn gives_from_cursor(mut self) -> Verdict {
        let client = self.client().await?;
        for events in [3, 1, 4] {
            self.take(&client, events).await?;
        }
        let other = self.client().await?;
        for client in [&client, &other, &client] {
            for cursor in 0..=self.ordered.len() {
                self.holds_after(client, cursor).await?;
            }
        }
        Ok(())
    }

    async fn says_caught_up(mut self) -> Verdict {
        let client = self.client().await?;
        self.holds(&client).await.map_err(|came| format!("an upstream without events: {came}"))?;
        self.take(&client, 2).await?;
        self.holds(&client).await?;
        let end = self.ordered.len();
        self.holds_after(&client, end).await.map_err(|came| format!("a pull from the last event: {came}"))
    }

    async fn knows_its_end(mut self) -> Verdict {
        let client = self.client().await?;
        for held in [0, 2] {
            if held > 0 {
                self.take(&client, held).await?;
            }
            let lost = self.batch(2)?;
            self.ordered.extend(lost.entries);
            let (beyond, reader) = (self.batch(1)?, self.pull(&client, held + 2).await);
            self.ordered.truncate(held);
            let lacks = format!("that is to follow event {} of an upstream with {held} events", held + 2);
            let went_back = "an error, such as `FatalKind::WentBack`,";
            let reader = reader.map_err(|came| format!("expected {went_back} of a pull {lacks}; but {came}"))?;
            if reader.error.is_none() {
                return Err(format!("expected {went_back} of a pull {lacks}, got {}", reader.end()));
            }
            match self.push_when_available(&client, &beyond).await? {
                Err(PushError::Behind { .. } | PushError::Fatal { .. }) => {}
                outcome => return Err(format!("expected {went_back} of a push {lacks}, got {}", told(&outcome))),
            }
            self.holds(&client).await?;
        }
        Ok(())
    }

    async fn shows_whole(mut self) -> Verdict {
        const EVENTS: usize = 50;
        let (client, other) = (self.client().await?, self.client().await?);
        for _ in 0..10 {
            let (batch, held) = (self.batch(EVENTS)?, self.ordered.len());
            let pushed = Cell::new(false);
            let push = async {
                let outcome = self.push_when_available(&client, &batch).await;
                pushed.set(true);
                outcome
            };
            let look = async {
                loop {
                    let is_last = pushed.get();
                    let events = self.pull(&other, held).await?.entries.len();
                    if ![0, EVENTS].contains(&events) {
                        let expected =
                            format!("a pull that has caught up to have all {EVENTS} events of a batch or none");
                        return Err(format!("expected {expected}, got {events} of them"));
                    }
                    if is_last {
                        return Ok(());
                    }
                    // The push gets its turn, also if no pull has to wait.
                    (self.sleep)(Duration::from_millis(1)).await;
                }
            };
            let (outcome, looked) = both(push, look).await;
            looked?;
            outcome?.map_err(|error| format!("expected a batch of {EVENTS} that follows to be taken, got {error}"))?;
            self.ordered.extend(batch.entries);
        }
        self.holds(&other).await
    }

    async fn stays_live(mut self) -> Verdict {
        let (client, other) = (self.client().await?, self.client().await?);
        self.take(&other, 2).await?;
        let mut pull = client.pull(self.position(0));
        let mut reader = Reader::new(self.position(0));
        self.read(&mut pull, &mut reader, |reader| reader.is_caught_up).await?;
        let pushes = [("another client", &other, 1), ("the same client", &client, 2), ("another client", &other, 120)];
        for (whose, pusher, events) in pushes {
            // So long that it waits for news by then.
            let waits = self.read(&mut pull, &mut reader, |_| false);
            until((self.sleep)(SHORT), waits).await.unwrap_or(Ok(()))?;
            self.take(pusher, events).await?;
            let all = self.ordered.len();
            let given_out = format!("an open pull to give out {events} events that {whose} has pushed");
            let read = self.read(&mut pull, &mut reader, |reader| reader.entries.len() >= all).await;
            read.map_err(|came| format!("expected {given_out}; but {came}"))?;
            if reader.entries.len() < all {
                return Err(format!("expected {given_out}, got {}", reader.end()));
            }
            same(&reader.entries, &self.ordered)?;
        }
        Ok(())
    }

    async fn ends_pull(mut self) -> Verdict {
        let client = self.client().await?;
        self.take(&client, 3).await?;
        for _ in 0..3 {
            {
                let mut pull = client.pull(self.position(0));
                let mut reader = Reader::new(self.position(0));
                drop(until((self.sleep)(SHORT), self.read(&mut pull, &mut reader, |_| false)).await);
            }
            let again = self.holds(&client).await;
            again.map_err(|came| format!("a pull was given up and another one begun; then {came}"))?;
            self.take(&client, 1).await.map_err(|came| format!("a pull was given up; then {came}"))?;
        }
        Ok(())
    }

    async fn ends_push(mut self) -> Verdict {
        let client = self.client().await?;
        self.take(&client, 1).await?;
        for micros in [0, 0, 50, 100, 200, 500, 1000, 2000, 5000] {
            let batch = self.batch(20)?;
            match until((self.sleep)(Duration::from_micros(micros)), self.push(&client, &batch)).await {
                Some(Ok(Ok(()))) => self.ordered.extend(batch.entries),
                Some(Ok(Err(PushError::Unavailable { .. }))) => {}
                Some(Ok(outcome)) => {
                    return Err(format!("expected a batch that follows to be taken, got {}", told(&outcome)));
                }
                Some(Err(came)) => return Err(came),
                None => {
                    let settled = self.settle(&client, &batch).await;
                    settled.map_err(|came| format!("a push was given up; then {came}"))?;
                }
            }
            self.holds(&client).await?;
        }
        Ok(())
    }

    async fn keeps(mut self) -> Verdict {
        for clients in 1..=3 {
            let client = self.client().await?;
            self.holds(&client).await.map_err(|came| format!("client {clients}: {came}"))?;
            self.take(&client, 2).await?;
        }
        let last = self.client().await?;
        self.holds(&last).await
    }
}

/// Nothing of one is in the other.
async fn apart<L, U, O, S, F>((mut one, mut other): (Place<'_, L, O, F>, Place<'_, L, O, F>)) -> Verdict
where
    L: Log<Entry: PartialEq + Debug>,
    U: AsyncUpstream<L>,
    O: AsyncFn() -> U,
    S: Future,
    F: Fn(Duration) -> S,
{
    let (client, stranger) = (one.client().await?, other.client().await?);
    one.take(&client, 2).await?;
    other.holds(&stranger).await.map_err(|came| format!("another upstream has taken 2 events: {came}"))?;
    other.take(&stranger, 1).await?;
    one.holds(&client).await.map_err(|came| format!("another upstream has taken an event: {came}"))
}
