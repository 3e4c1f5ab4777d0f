//! The laws of upstreams, written for tasks: an upstream for threads is called through an adapter.

use std::cell::Cell;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use super::Contract;
use super::broken::{Broken, Verdict};
use super::call::{all, both, until};
use crate::log::Log;
use crate::protocol::messages::{Batch, More, Page, PullError, PushError};
use crate::replicator::upstream::{AsyncPull, AsyncUpstream};

/// How long to wait before what is unavailable is tried again, and how long a call goes on before it is given up.
const SHORT: Duration = Duration::from_millis(10);

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
    broken.judge("a cursor behind the end is an error", async { new().await.knows_its_end().await }).await;
    broken.judge("a pull has caught up with whole batches alone", async { new().await.shows_whole().await }).await;
    if contract.is_live {
        broken.judge("an open pull gives out what comes later", async { new().await.is_live().await }).await;
    }
    broken.judge("a pull that is given up ends", async { new().await.ends_pull().await }).await;
    broken.judge("a push that is given up is there whole or not", async { new().await.ends_push().await }).await;
    broken.judge("what was taken is there for later clients", async { new().await.keeps().await }).await;
    let two = async || (new().await, new().await);
    broken.judge("two upstreams have nothing in common", async { apart(two().await).await }).await;
    broken
}

/// An upstream, and what it is known to hold.
pub(super) struct Place<'a, L: Log, O, F> {
    contract: &'a Contract<L>,
    sleep: &'a F,
    open: O,
    ordered: Vec<L::Entry>,
    /// The last event that was made.
    event: u64,
}

/// What came of a push.
type Pushed<L> = Result<(), PushError<<L as Log>::Position>>;

impl<'a, L, U, O, S, F> Place<'a, L, O, F>
where
    L: Log<Entry: PartialEq + Debug>,
    U: AsyncUpstream<L>,
    O: AsyncFn() -> U,
    S: Future,
    F: Fn(Duration) -> S,
{
    pub(super) fn new(contract: &'a Contract<L>, sleep: &'a F, open: O) -> Self {
        Self { contract, sleep, open, ordered: Vec::new(), event: 0 }
    }

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
                }
            };
            let (outcome, looked) = both(push, look).await;
            looked?;
            outcome?.map_err(|error| format!("expected a batch of {EVENTS} that follows to be taken, got {error}"))?;
            self.ordered.extend(batch.entries);
        }
        self.holds(&other).await
    }

    async fn is_live(mut self) -> Verdict {
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

    /// Notes whether a batch was taken of which nothing is known: it is, or another one is taken where it would have been.
    async fn settle(&mut self, client: &U, unknown: &Batch<L>) -> Verdict {
        let expected =
            format!("all {} events of the batch, or none and another one in their place", unknown.entries.len());
        let (sleep, bound) = (self.sleep, self.contract.bound);
        let settles = async {
            loop {
                let reader = self.pull(client, self.ordered.len()).await?;
                if reader.entries == unknown.entries {
                    self.ordered.extend(reader.entries);
                    return self.take(client, 1).await;
                }
                if !reader.entries.is_empty() {
                    return Err(format!("expected {expected}, got {:?}", reader.entries));
                }
                let next = self.batch(1)?;
                match self.push_when_available(client, &next).await? {
                    Ok(()) => {
                        self.ordered.extend(next.entries.iter().cloned());
                        return Ok(next);
                    }
                    // It has come in meanwhile.
                    Err(PushError::Behind { .. }) => (self.sleep)(SHORT).await,
                    outcome => return Err(format!("expected {expected}, got {}", told(&outcome))),
                };
            }
        };
        let settled = until(sleep(bound), settles).await;
        settled.ok_or_else(|| format!("expected {expected}, and that is not so after {bound:?}"))?.map(drop)
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

    pub(super) async fn client(&self) -> Verdict<U> {
        self.in_time("a client to be opened", (self.open)()).await
    }

    /// The number of so many of the first events: a cursor.
    fn position(&self, events: usize) -> L::Position {
        match events.checked_sub(1) {
            Some(last) => L::position(&self.ordered[last]),
            None => (self.contract.log)().upstream_head(),
        }
    }

    /// A batch of new events that follow the last one.
    fn batch(&mut self, events: usize) -> Verdict<Batch<L>> {
        self.batch_after(self.ordered.len(), events)
    }

    /// A batch of new events that follow so many of the first ones.
    fn batch_after(&mut self, before: usize, events: usize) -> Verdict<Batch<L>> {
        let mut log = (self.contract.log)();
        let refused = |error: L::Error| format!("expected a log to follow what is pulled, got: {error}");
        if before > 0 {
            log.merge(self.ordered[..before].to_vec()).map_err(refused)?;
        }
        let numbers = self.event + 1..;
        self.event += events as u64;
        let events = numbers.take(events).map(&self.contract.event).collect();
        Ok(Batch::new(log.upstream_head(), log.number(events).map_err(refused)?))
    }

    async fn in_time<T>(&self, expected: &str, call: impl Future<Output = T>) -> Verdict<T> {
        let bound = self.contract.bound;
        let came = until((self.sleep)(bound), call).await;
        came.ok_or_else(|| format!("expected {expected}, and nothing came in {bound:?}"))
    }

    async fn push(&self, client: &U, batch: &Batch<L>) -> Verdict<Pushed<L>> {
        let mut outcome = self.in_time("an outcome of a push", client.push(batch)).await?;
        while let Err(PushError::RetryAfter { outcome: inner, .. }) = outcome {
            outcome = Err(*inner);
        }
        Ok(outcome)
    }

    /// Pushes a batch, and again while upstream is unavailable.
    async fn push_when_available(&self, client: &U, batch: &Batch<L>) -> Verdict<Pushed<L>> {
        let tries = async {
            loop {
                match self.push(client, batch).await? {
                    Err(PushError::Unavailable { .. }) => (self.sleep)(SHORT).await,
                    outcome => return Ok(outcome),
                };
            }
        };
        self.in_time("upstream to be available to a push", tries).await?
    }

    /// Pushes a batch that follows, and must be taken.
    async fn take(&mut self, client: &U, events: usize) -> Verdict<Batch<L>> {
        let batch = self.batch(events)?;
        match self.push_when_available(client, &batch).await? {
            Ok(()) => {
                self.ordered.extend(batch.entries.iter().cloned());
                Ok(batch)
            }
            outcome => {
                let expected = format!("a batch of {events} that follows {:?} to be taken", batch.base);
                Err(format!("expected {expected}, got {}", told(&outcome)))
            }
        }
    }

    /// Pulls everything.
    async fn holds(&self, client: &U) -> Verdict {
        self.holds_after(client, 0).await
    }

    /// Pulls what follows so many of the first events.
    async fn holds_after(&self, client: &U, cursor: usize) -> Verdict {
        let reader = self.pull(client, cursor).await?;
        let wanted = &self.ordered[cursor..];
        if reader.error.is_some() {
            return Err(format!("expected a pull of {} events, got {}", wanted.len(), reader.end()));
        }
        same(&reader.entries, wanted)
    }

    /// Pulls what follows so many of the first events, until the pull has caught up.
    async fn pull(&self, client: &U, cursor: usize) -> Verdict<Reader<L>> {
        let mut reader = Reader::new(self.position(cursor));
        let mut pull = client.pull(self.position(cursor));
        self.read(&mut pull, &mut reader, |reader| reader.is_caught_up).await?;
        Ok(reader)
    }

    /// Reads pages until it is enough, or no more come.
    async fn read(
        &self,
        pull: &mut U::Pull<'_>,
        reader: &mut Reader<L>,
        is_enough: impl Fn(&Reader<L>) -> bool,
    ) -> Verdict {
        let bound = self.contract.bound;
        let reads = async {
            while !reader.is_over && !is_enough(reader) {
                reader.take(pull.next_page().await)?;
            }
            Ok(())
        };
        let read = until((self.sleep)(bound), reads).await;
        read.unwrap_or_else(|| Err(format!("nothing more came in {bound:?} of {}", reader.end())))
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

/// What a pull has given out.
struct Reader<L: Log> {
    cursor: L::Position,
    /// Without those that it has given out before.
    entries: Vec<L::Entry>,
    error: Option<PullError>,
    /// Whether it has said that it has all.
    is_caught_up: bool,
    is_over: bool,
}

impl<L: Log<Entry: PartialEq + Debug>> Reader<L> {
    fn new(cursor: L::Position) -> Self {
        Self { cursor, entries: Vec::new(), error: None, is_caught_up: false, is_over: false }
    }

    fn take(&mut self, item: Option<Result<Page<L::Entry>, PullError>>) -> Verdict {
        match item {
            Some(Ok(page)) => {
                self.is_caught_up = page.more == More::None;
                page.entries.into_iter().try_for_each(|entry| self.next(entry))?;
            }
            Some(Err(error)) => (self.error, self.is_over) = (Some(error), true),
            None => (self.is_caught_up, self.is_over) = (true, true),
        }
        Ok(())
    }

    /// One that was given out before does no harm, if it is the same.
    fn next(&mut self, entry: L::Entry) -> Verdict {
        let position = L::position(&entry);
        let last = self.entries.last().map_or(self.cursor, L::position);
        if position > last {
            self.entries.push(entry);
            return Ok(());
        }
        match self.entries.iter().find(|before| L::position(before) == position) {
            Some(before) if *before != entry => Err(format!("expected the event {before:?} again, got {entry:?}")),
            None if position > self.cursor => Err(format!("expected an event that follows {last:?}, got {entry:?}")),
            _ => Ok(()),
        }
    }

    /// How it stands.
    fn end(&self) -> String {
        let events = self.entries.len();
        match (&self.error, self.is_over, self.is_caught_up) {
            (Some(error), ..) => format!("a pull with {events} events and an error: {error}"),
            (None, true, _) => format!("a pull with {events} events that has ended"),
            (None, false, true) => format!("a pull with {events} events that has caught up"),
            (None, false, false) => format!("a pull with {events} events that has not caught up"),
        }
    }
}

/// That these events are those.
fn same<T: PartialEq + Debug>(got: &[T], wanted: &[T]) -> Verdict {
    match got.iter().zip(wanted).position(|(got, wanted)| got != wanted) {
        Some(at) => {
            Err(format!("expected event {} of {} to be {:?}, got {:?}", at + 1, wanted.len(), wanted[at], got[at]))
        }
        None if got.len() == wanted.len() => Ok(()),
        None => {
            let first =
                if got.len() < wanted.len() { ("without", &wanted[got.len()]) } else { ("and", &got[wanted.len()]) };
            Err(format!("expected {} events, got {}, {} {:?}", wanted.len(), got.len(), first.0, first.1))
        }
    }
}

/// An outcome in words.
fn told<P: Debug>(outcome: &Result<(), PushError<P>>) -> String {
    match outcome {
        Ok(()) => "that it was taken".into(),
        Err(PushError::Behind { head }) => format!("`Behind` with the head {head:?}"),
        Err(error) => format!("\"{error}\""),
    }
}
