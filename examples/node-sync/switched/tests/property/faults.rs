//! What goes wrong on the way to an upstream that does its work.

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use latchwork::Interrupt;
use latchwork::log::Log;
use latchwork::upstream::{Batch, More, Page, PullError, PushError, Upstream};

use Fault::{AnswerLost, CameTwice, DiedAfter, DiedBefore, EchoLost, Ended, PushLost, Rejected, SentTwice};

use crate::case::{Case, Chance, one_of};

/// Each goes wrong once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A push: upstream says that it is ahead and not how far, and has no news.
    Rejected,
    /// The connection dies before the push arrives.
    PushLost,
    /// The connection dies before its answer arrives.
    AnswerLost,
    /// The transport sends it a second time, and the answer to that is the one that arrives.
    SentTwice,
    /// A page: the connection dies before it.
    DiedBefore,
    /// The connection dies after it.
    DiedAfter,
    /// It comes twice.
    CameTwice,
    /// A live pull is not told of it.
    EchoLost,
    /// A live pull ends in its stead.
    Ended,
}

impl Fault {
    const ALL: [Self; 9] =
        [Rejected, PushLost, AnswerLost, SentTwice, DiedBefore, DiedAfter, CameTwice, EchoLost, Ended];

    /// Whether it may happen at all.
    fn may_happen(&self) -> bool {
        static THESE: LazyLock<Vec<Fault>> = LazyLock::new(|| {
            let Ok(named) = env::var("NODE_SYNC_FAULTS") else { return Fault::ALL.to_vec() };
            let fault = |name: &str| Fault::ALL.into_iter().find(|fault| format!("{fault:?}") == name);
            let known = |name| fault(name).unwrap_or_else(|| panic!("there is no fault {name}"));
            named.split(',').filter(|name| !name.is_empty()).map(known).collect()
        });
        THESE.contains(self)
    }
}

/// When something goes wrong for a client.
pub struct Weather {
    pub bad: AtomicBool,
    pushes: Chance,
    pages: Chance,
}

impl Weather {
    pub fn new(case: &Case, client: u64) -> Arc<Self> {
        let chance = |way| Chance::new(case, 100 + 2 * client + way, case.faults);
        Arc::new(Self { bad: AtomicBool::new(true), pushes: chance(0), pages: chance(1) })
    }

    fn fault(&self, chance: &Chance, faults: &[Fault]) -> Option<Fault> {
        let mut rng = chance.hit().filter(|_| self.bad.load(Ordering::Relaxed))?;
        let faults: Vec<_> = faults.iter().copied().filter(Fault::may_happen).collect();
        (!faults.is_empty()).then(|| one_of(&mut rng, &faults))
    }
}

/// An upstream in this weather.
pub struct Faulty<U> {
    pub upstream: U,
    pub weather: Arc<Weather>,
}

impl<L: Log, U: Upstream<L>> Upstream<L> for Faulty<U> {
    fn push(&self, batch: &Batch<L>, interrupt: &Interrupt) -> Result<(), PushError<L::Position>> {
        let fault = self.weather.fault(&self.weather.pushes, &[Rejected, PushLost, AnswerLost, SentTwice]);
        match fault {
            Some(Rejected) => return Err(PushError::Behind { head: None }),
            Some(PushLost) => {
                return Err(PushError::Unavailable { retry_after: None, error: "it did not arrive".into() });
            }
            _ => self.upstream.push(batch, interrupt)?,
        }
        match fault {
            Some(AnswerLost) => Err(PushError::Uncertain { error: "no answer".into() }),
            Some(SentTwice) => Err(PushError::Behind { head: batch.entries.last().map(L::position) }),
            _ => Ok(()),
        }
    }

    fn pull<'a>(
        &'a self,
        cursor: L::Position,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<L::Entry>, PullError>> + 'a {
        let died = || PullError::Unavailable { retry_after: None, error: "the connection died".into() };
        let mut pages = self.upstream.pull(cursor, interrupt);
        let (mut next, mut caught_up, mut gave, mut ended) = (None, false, false, false);
        std::iter::from_fn(move || {
            loop {
                if let Some(next) = next.take() {
                    return Some(next);
                }
                if ended {
                    return None;
                }
                let page = match pages.next()? {
                    Ok(page) => page,
                    Err(error) => return Some(Err(error)),
                };
                // A pull gives out all that there was when it began; only what came later may be lost, and not the first of it: a
                // log that refuses what follows twice, with nothing applied between, has the pull fail.
                let live: &[_] = if caught_up && gave { &[EchoLost, Ended] } else { &[] };
                caught_up |= page.more == More::None;
                gave |= !page.entries.is_empty();
                let faults = [&[DiedBefore, DiedAfter, CameTwice], live].concat();
                match self.weather.fault(&self.weather.pages, &faults) {
                    Some(EchoLost) => continue,
                    Some(CameTwice) => next = Some(Ok(page.clone())),
                    Some(DiedAfter) => (next, ended) = (Some(Err(died())), true),
                    Some(DiedBefore) => {
                        ended = true;
                        return Some(Err(died()));
                    }
                    Some(Ended) => return None,
                    _ => {}
                }
                return Some(Ok(page));
            }
        })
    }
}
