//! An upstream that laws are about: what calls it, and what it is known to hold.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use super::Contract;
use super::broken::Verdict;
use super::call::until;
use crate::log::Log;
use crate::protocol::{Batch, More, Page, PullError, PushError};
use crate::replicator::upstream::{AsyncPull, AsyncUpstream};

/// How long to wait before what is unavailable is tried again, and how long a call goes on before it is given up.
pub(super) const SHORT: Duration = Duration::from_millis(10);

/// An upstream, and what it is known to hold.
pub(super) struct Place<'a, L: Log, O, F> {
    pub(super) contract: &'a Contract<L>,
    pub(super) sleep: &'a F,
    open: O,
    pub(super) ordered: Vec<L::Entry>,
    /// The last event that was made.
    event: u64,
}

/// What came of a push.
pub(super) type Pushed<L> = Result<(), PushError<<L as Log>::Position>>;

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

    /// Notes whether a batch was taken of which nothing is known: it is, or another one is taken where it would have been.
    pub(super) async fn settle(&mut self, client: &U, unknown: &Batch<L>) -> Verdict {
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

    /// A client whose connection was cut pushes and pulls again. It may find out as it sends, once: that push is settled by
    /// another client, `past` the proxy.
    pub(super) async fn goes_on(&mut self, client: &U, past: &U) -> Verdict {
        let batch = self.batch(1)?;
        match self.push_when_available(client, &batch).await? {
            Ok(()) => self.ordered.extend(batch.entries),
            Err(PushError::Uncertain { .. }) => {
                self.settle(past, &batch).await?;
                self.take(client, 1).await?;
            }
            outcome => {
                return Err(format!(
                    "expected a batch that follows {:?} to be taken, got {}",
                    batch.base,
                    told(&outcome)
                ));
            }
        }
        self.holds_again(client).await
    }

    /// A client whose connection was cut pulls everything. It may find out as it begins, once.
    pub(super) async fn holds_again(&self, client: &U) -> Verdict {
        let first = self.pull(client, 0).await?;
        if first.error.is_some() { self.holds(client).await } else { same(&first.entries, &self.ordered) }
    }

    pub(super) async fn client(&self) -> Verdict<U> {
        self.in_time("a client to be opened", (self.open)()).await
    }

    /// The number of so many of the first events: a cursor.
    pub(super) fn position(&self, events: usize) -> L::Position {
        match events.checked_sub(1) {
            Some(last) => L::position(&self.ordered[last]),
            None => (self.contract.log)().upstream_head(),
        }
    }

    /// A batch of new events that follow the last one.
    pub(super) fn batch(&mut self, events: usize) -> Verdict<Batch<L>> {
        self.batch_after(self.ordered.len(), events)
    }

    /// A batch of new events that follow so many of the first ones.
    pub(super) fn batch_after(&mut self, before: usize, events: usize) -> Verdict<Batch<L>> {
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

    pub(super) async fn in_time<T>(&self, expected: &str, call: impl Future<Output = T>) -> Verdict<T> {
        let bound = self.contract.bound;
        let came = until((self.sleep)(bound), call).await;
        came.ok_or_else(|| format!("expected {expected}, and nothing came in {bound:?}"))
    }

    pub(super) async fn push(&self, client: &U, batch: &Batch<L>) -> Verdict<Pushed<L>> {
        let mut outcome = self.in_time("an outcome of a push", client.push(batch)).await?;
        while let Err(PushError::RetryAfter { outcome: inner, .. }) = outcome {
            outcome = Err(*inner);
        }
        Ok(outcome)
    }

    /// Pushes a batch, and again while upstream is unavailable.
    pub(super) async fn push_when_available(&self, client: &U, batch: &Batch<L>) -> Verdict<Pushed<L>> {
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
    pub(super) async fn take(&mut self, client: &U, events: usize) -> Verdict<Batch<L>> {
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
    pub(super) async fn holds(&self, client: &U) -> Verdict {
        self.holds_after(client, 0).await
    }

    /// Pulls what follows so many of the first events.
    pub(super) async fn holds_after(&self, client: &U, cursor: usize) -> Verdict {
        let reader = self.pull(client, cursor).await?;
        let wanted = &self.ordered[cursor..];
        if reader.error.is_some() {
            return Err(format!("expected a pull of {} events, got {}", wanted.len(), reader.end()));
        }
        same(&reader.entries, wanted)
    }

    /// Pulls what follows so many of the first events, until the pull has caught up.
    pub(super) async fn pull(&self, client: &U, cursor: usize) -> Verdict<Reader<L>> {
        let mut reader = Reader::new(self.position(cursor));
        let mut pull = client.pull(self.position(cursor));
        self.read(&mut pull, &mut reader, |reader| reader.is_caught_up).await?;
        Ok(reader)
    }

    /// Reads pages until it is enough, or no more come.
    pub(super) async fn read(
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

/// What a pull has given out.
pub(super) struct Reader<L: Log> {
    cursor: L::Position,
    /// Without those that it has given out before.
    pub(super) entries: Vec<L::Entry>,
    pub(super) error: Option<PullError>,
    /// Whether it has said that it has all.
    pub(super) is_caught_up: bool,
    pub(super) is_over: bool,
}

impl<L: Log<Entry: PartialEq + Debug>> Reader<L> {
    pub(super) fn new(cursor: L::Position) -> Self {
        Self { cursor, entries: Vec::new(), error: None, is_caught_up: false, is_over: false }
    }

    pub(super) fn take(&mut self, item: Option<Result<Page<L::Entry>, PullError>>) -> Verdict {
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
    pub(super) fn next(&mut self, entry: L::Entry) -> Verdict {
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
    pub(super) fn end(&self) -> String {
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
pub(super) fn same<T: PartialEq + Debug>(got: &[T], wanted: &[T]) -> Verdict {
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
pub(super) fn told<P: Debug>(outcome: &Result<(), PushError<P>>) -> String {
    match outcome {
        Ok(()) => "that it was taken".into(),
        Err(PushError::Behind { head }) => format!("`Behind` with the head {head:?}"),
        Err(error) => format!("\"{error}\""),
    }
}
