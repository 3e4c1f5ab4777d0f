//! The laws of upstreams whose connections are cut, slow, or dead.

use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use super::Contract;
use super::broken::{Broken, Verdict};
use super::call::until;
use super::place::{Place, Reader, SHORT, same, told};
use super::proxy::{Proxy, Way};
use crate::log::Log;
use crate::protocol::PushError;
use crate::replicator::upstream::AsyncUpstream;

/// How many points of a call the connection is cut at, each way, if it has so many bytes.
const CUTS: u64 = 40;

/// How many events a pull gives out that is cut.
const EVENTS: usize = 6;

/// Runs all of them.
pub(super) async fn laws<L, U, O, M, S, F>(contract: &Contract<L>, sleep: &F, make: &M) -> Broken
where
    L: Log<Entry: PartialEq + Debug>,
    U: AsyncUpstream<L>,
    O: AsyncFn(SocketAddr) -> U,
    M: AsyncFn() -> (SocketAddr, O),
    S: Future,
    F: Fn(Duration) -> S,
{
    let new = async || {
        let (server, open) = make().await;
        let proxy = Proxy::new(server).map_err(|error| format!("expected a proxy, got: {error}"))?;
        Verdict::Ok(Cut { contract, sleep, server, open, proxy })
    };
    let mut broken = Broken::default();
    broken.judge("a push whose connection is cut says what is known", async { new().await?.cuts_push().await }).await;
    broken.judge("a pull whose connection is cut does not end whole", async { new().await?.cuts_pull().await }).await;
    if contract.is_live {
        broken
            .judge("an open pull whose connection is cut fails, or goes on", async { new().await?.cuts_open().await })
            .await;
    }
    broken.judge("a client recovers from a server that was silent", async { new().await?.swallows().await }).await;
    broken.judge("a slow connection is none that is cut", async { new().await?.delays().await }).await;
    broken
}

/// An upstream behind a proxy.
struct Cut<'a, L: Log, O, F> {
    contract: &'a Contract<L>,
    sleep: &'a F,
    server: SocketAddr,
    open: O,
    proxy: Proxy,
}

impl<'a, L, U, O, S, F> Cut<'a, L, O, F>
where
    L: Log<Entry: PartialEq + Debug>,
    U: AsyncUpstream<L>,
    O: AsyncFn(SocketAddr) -> U,
    S: Future,
    F: Fn(Duration) -> S,
{
    /// The upstream, with clients that reach it past the proxy.
    fn place(&self) -> Place<'a, L, impl AsyncFn() -> U, F> {
        Place::new(self.contract, self.sleep, async || (self.open)(self.server).await)
    }

    async fn client(&self) -> U {
        (self.open)(self.proxy.address()).await
    }

    async fn cuts_push(self) -> Verdict {
        let mut place = self.place();
        let past = place.client().await?;
        for way in [Way::Requests, Way::Answers] {
            for cut in Cuts::of(self.push_takes(&mut place, way).await?) {
                let client = place.in_time("a client to be opened", self.client()).await?;
                place.take(&client, 1).await?;
                let batch = place.batch(2)?;
                self.proxy.cut_after(way, cut);
                let outcome = place.push(&client, &batch).await?;
                self.proxy.heal();
                let held = place.ordered.len();
                let when =
                    format!("a connection cut after {cut} bytes of {way:?} of a push, which was {}", told(&outcome));
                let explained = |came: String| format!("{when}; then {came}");
                place.settle(&past, &batch).await.map_err(explained)?;
                let taken = place.ordered[held..].starts_with(&batch.entries);
                let expected = match (&outcome, taken) {
                    (Err(PushError::Uncertain { .. }), _) => None,
                    (Ok(()), true) | (Err(PushError::Unavailable { .. }), false) => None,
                    (_, true) => Some("that it was taken, or `Uncertain`, for it was taken"),
                    (_, false) => Some("`Uncertain` or `Unavailable`, for it was not taken"),
                };
                if let Some(expected) = expected {
                    return Err(format!("{when}: expected {expected}, got {}", told(&outcome)));
                }
                place.goes_on(&client, &past).await.map_err(explained)?;
            }
        }
        Ok(())
    }

    /// How many bytes a push of two events takes, on a connection that is there.
    async fn push_takes<P: AsyncFn() -> U>(&self, place: &mut Place<'a, L, P, F>, way: Way) -> Verdict<u64> {
        let client = place.in_time("a client to be opened", self.client()).await?;
        place.take(&client, 1).await?;
        let before = self.proxy.passed(way);
        place.take(&client, 2).await?;
        Ok(self.proxy.passed(way) - before)
    }

    async fn cuts_pull(self) -> Verdict {
        let mut place = self.place();
        let past = place.client().await?;
        place.take(&past, EVENTS).await?;
        for way in [Way::Requests, Way::Answers] {
            let client = place.in_time("a client to be opened", self.client()).await?;
            place.holds_after(&client, EVENTS).await?;
            let before = self.proxy.passed(way);
            place.holds(&client).await?;
            for cut in Cuts::of(self.proxy.passed(way) - before) {
                let client = place.in_time("a client to be opened", self.client()).await?;
                place.holds_after(&client, EVENTS).await?;
                self.proxy.cut_after(way, cut);
                let reader = place.pull(&client, 0).await;
                self.proxy.heal();
                let when = format!("after {cut} bytes of its {way:?} a pull's connection was cut");
                let explained = |came: String| format!("{when}: {came}");
                let reader = reader.map_err(explained)?;
                let wanted = if reader.error.is_some() { reader.entries.len().min(EVENTS) } else { EVENTS };
                same(&reader.entries, &place.ordered[..wanted]).map_err(explained)?;
                place.holds_again(&client).await.map_err(|came| format!("{when}, and another pull begun: {came}"))?;
            }
        }
        Ok(())
    }

    async fn cuts_open(self) -> Verdict {
        let mut place = self.place();
        let past = place.client().await?;
        let client = place.in_time("a client to be opened", self.client()).await?;
        for _ in 0..3 {
            let held = place.ordered.len();
            let mut pull = client.pull(place.position(held));
            let mut reader = Reader::new(place.position(held));
            place.read(&mut pull, &mut reader, |reader| reader.is_caught_up).await?;
            let waits = place.read(&mut pull, &mut reader, |_| false);
            until((self.sleep)(SHORT), waits).await.unwrap_or(Ok(()))?;
            self.proxy.cut();
            place.take(&past, 2).await?;
            let read = place.read(&mut pull, &mut reader, |reader| reader.entries.len() >= 2).await;
            let expected = "an open pull whose connection is cut to fail, or to give out 2 events that came later";
            read.map_err(|came| format!("expected {expected}; but {came}"))?;
            if reader.error.is_none() && reader.entries.len() < 2 && !reader.is_over {
                return Err(format!("expected {expected}, got {}", reader.end()));
            }
            drop(pull);
            place
                .holds_again(&client)
                .await
                .map_err(|came| format!("an open pull's connection was cut; then {came}"))?;
        }
        Ok(())
    }

    async fn swallows(self) -> Verdict {
        let mut place = self.place();
        let past = place.client().await?;
        place.take(&past, 2).await?;
        let client = place.in_time("a client to be opened", self.client()).await?;
        place.holds(&client).await?;
        for _ in 0..3 {
            let batch = place.batch(2)?;
            self.proxy.swallow();
            let outcome = until((self.sleep)(5 * SHORT), client.push(&batch)).await;
            let mut reader = Reader::new(place.position(0));
            {
                let mut pull = client.pull(place.position(0));
                let reads = place.read(&mut pull, &mut reader, |reader| reader.is_caught_up);
                drop(until((self.sleep)(5 * SHORT), reads).await);
            }
            self.proxy.heal();
            if let Some(Ok(())) = outcome {
                return Err("expected no answer of a push that was swallowed, got that it was taken".into());
            }
            if reader.error.is_none() && reader.is_caught_up {
                return Err(format!("expected no answer of a pull that was swallowed, got {}", reader.end()));
            }
            let explained = |came: String| format!("what was sent was swallowed for a while; then {came}");
            place.settle(&past, &batch).await.map_err(explained)?;
            place.goes_on(&client, &past).await.map_err(explained)?;
        }
        Ok(())
    }

    async fn delays(self) -> Verdict {
        let mut place = self.place();
        let client = place.in_time("a client to be opened", self.client()).await?;
        place.take(&client, 1).await?;
        self.proxy.delay(10 * SHORT);
        place.take(&client, 2).await?;
        place.holds(&client).await
    }
}

/// Points of a call of so many bytes: all, or so many of them, and the one behind the last.
struct Cuts {
    next: u64,
    step: u64,
    end: u64,
}

impl Cuts {
    const fn of(end: u64) -> Self {
        Self { next: 0, step: end.div_ceil(CUTS), end }
    }
}

impl Iterator for Cuts {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let next = self.next;
        self.next = if next < self.end { (next + self.step).min(self.end) } else { self.end + 1 };
        (next <= self.end).then_some(next)
    }
}
