//! An upstream with faults to inject.
//!
//! What a fault does is said once, for threads and for tasks: to a push in [`before_push`] and
//! [`Losing::after_push`](super::faults::Losing), to a page in [`Going::give`]. What differs is how a call waits.

use std::fmt;
use std::io;
use std::task::Poll;
use std::time::Duration;

use super::deadline::Watch;
use super::faults::{BUSY, DIED, Fault, Faults, OTHER, REFUSED, before_push};
use super::{AsyncPull, AsyncUpstream, Upstream};
use crate::SharedError;
use crate::log::Log;
use crate::primitives::interrupt::{Interrupt, Interrupted};
use crate::primitives::wait::deadline;
use crate::protocol::{Batch, FatalKind, More, Page, PullError, PushError};

/// Any upstream, for threads or for tasks, with [faults](Fault) to inject: for tests of what becomes of a user's events.
///
/// A fault is one call's: a push takes one as it begins, and a pull with each page. What the upstream itself makes of a call
/// is passed on as it is, and errors of a pull take no fault.
///
/// # Cancel safety
///
/// As the upstream's. A [delay](Fault::Delay) of a task has, as long as it lasts, a thread that waits for its end, which ends
/// as the future is dropped. If there is none to be had, upstream is unavailable.
///
/// # Panics
///
/// As the upstream does, and by [`Fault::Panic`].
///
/// ```
/// # if latchwork::sync::IN_MODEL { return Ok(()) }
/// use latchwork::log::MemoryLog;
/// use latchwork::upstream::{Fault, Faults, Faulty, Memory};
/// use latchwork::{Replicator, Settled};
///
/// let server = Memory::new(0); // stands for an upstream of one's own
/// let faults = Faults::new();
/// let upstream = Faulty::new(server.clone(), faults.clone());
/// let replicator = Replicator::builder(MemoryLog::new(), upstream).spawn()?;
///
/// faults.fail_push(Fault::DisconnectAfter); // the answer is lost
/// faults.fail_pull(Fault::DuplicatePage);
/// assert_eq!(replicator.commit(vec!["milk"])?.wait(), Settled::Confirmed(1));
/// assert_eq!(server.len(), 1, "it was not sent again");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Faulty<U, P> {
    pub(super) upstream: U,
    faults: Faults<P>,
}

impl<U, P> Faulty<U, P> {
    /// Takes an upstream, and the faults that are to be injected.
    pub fn new(upstream: U, faults: Faults<P>) -> Self {
        Self { upstream, faults }
    }
}

impl<U: Clone, P> Clone for Faulty<U, P> {
    fn clone(&self) -> Self {
        Self { upstream: self.upstream.clone(), faults: self.faults.clone() }
    }
}

impl<U: fmt::Debug, P> fmt::Debug for Faulty<U, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

pub(super) const INTERRUPTED: &str = "the pull was interrupted";

/// How a pull goes, whatever its pages come from.
struct Going<'a, L: Log> {
    faults: &'a Faults<L::Position>,
    /// How many echoes had been lost when it began. Those are given.
    past_losses: u64,
    /// Whether a page has said that there is no more.
    caught_up: bool,
    /// What comes next, whatever else there is: the page once more, or the connection's end.
    next: Option<Item<L>>,
    ended: bool,
}

/// What comes of a pull's next step.
enum Comes<L: Log> {
    Page(Page<L::Entry>, Option<Fault>),
    /// All of a page was lost.
    Nothing,
    /// Its end or an error, which is the last item.
    End(Option<Item<L>>),
}

/// What a pull gives out.
type Item<L> = Result<Page<<L as Log>::Entry>, PullError>;

impl<'a, L: Log> Going<'a, L> {
    fn new(faults: &'a Faults<L::Position>) -> Self {
        Self { faults, past_losses: faults.losses(), caught_up: false, next: None, ended: false }
    }

    /// The upstream's pull gives this out. What has been lost of a page is taken out.
    fn comes(&mut self, item: Option<Item<L>>) -> Comes<L> {
        let page = match item {
            Some(Ok(page)) => page,
            end => {
                self.ended = true;
                return Comes::End(end);
            }
        };
        match self.faults.of_page::<L>(self.past_losses, page, self.caught_up) {
            Some((page, fault)) => Comes::Page(page, fault),
            None => Comes::Nothing,
        }
    }

    fn end(&mut self, retry_after: Option<Duration>, error: SharedError) -> Item<L> {
        self.ended = true;
        Err(PullError::Unavailable { retry_after, error })
    }

    /// What comes next, unless that is a page.
    fn known(&mut self) -> Poll<Option<Item<L>>> {
        match self.next.take() {
            None if !self.ended => Poll::Pending,
            known => Poll::Ready(known),
        }
    }

    /// Gives out a page, or what goes wrong with it.
    fn give(&mut self, page: Page<L::Entry>, fault: Option<Fault>) -> Option<Item<L>> {
        match fault {
            Some(Fault::DisconnectBefore | Fault::Reject) => return Some(self.end(None, DIED.into())),
            Some(Fault::Busy(time)) => return Some(self.end(Some(time), BUSY.into())),
            Some(fault @ (Fault::OtherUpstream | Fault::Refuse)) => {
                self.ended = true;
                let (kind, error) = match fault {
                    Fault::Refuse => (FatalKind::Other, REFUSED),
                    _ => (FatalKind::IdentityMismatch, OTHER),
                };
                return Some(Err(PullError::Fatal { kind, error: error.into() }));
            }
            Some(Fault::EndStream) => {
                self.ended = true;
                return None;
            }
            Some(Fault::Panic) => panic!("injected"),
            Some(Fault::DisconnectAfter) => self.next = Some(self.end(None, DIED.into())),
            Some(Fault::DuplicatePage) => self.next = Some(Ok(page.clone())),
            Some(Fault::Hang | Fault::Delay(_) | Fault::LoseEcho | Fault::RejectEvent(_) | Fault::TooLarge) | None => {}
        }
        self.caught_up |= page.more == More::None;
        Some(Ok(page))
    }
}

impl<L: Log, U: Upstream<L>> Upstream<L> for Faulty<U, L::Position> {
    fn push(&self, batch: &Batch<L>, interrupt: &Interrupt) -> Result<(), PushError<L::Position>> {
        let fault = self.faults.of_push();
        before_push(fault, batch)?;
        match fault {
            Some(Fault::Hang) => {
                let cause = interrupt.wait();
                return Err(PushError::Uncertain { error: Interrupted { cause }.into() });
            }
            Some(Fault::Delay(time)) => {
                if let Err(interrupted) = interrupt.sleep(time) {
                    return Err(PushError::Unavailable { retry_after: None, error: interrupted.into() });
                }
            }
            _ => {}
        }
        let losing = self.faults.lose(fault, batch);
        losing.after_push(fault, self.upstream.push(batch, interrupt))
    }

    fn pull<'a>(
        &'a self,
        cursor: L::Position,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<L::Entry>, PullError>> + 'a {
        let (mut going, mut pages) = (Going::<L>::new(&self.faults), self.upstream.pull(cursor, interrupt));
        std::iter::from_fn(move || {
            if let Poll::Ready(known) = going.known() {
                return known;
            }
            let (page, fault) = loop {
                match going.comes(pages.next()) {
                    Comes::Page(page, fault) => break (page, fault),
                    Comes::Nothing => {}
                    Comes::End(end) => return end,
                }
            };
            let in_time = match fault {
                Some(Fault::Hang) => Err(interrupt.wait()),
                Some(Fault::Delay(time)) => interrupt.sleep(time).map_err(|interrupted| interrupted.cause),
                _ => Ok(()),
            };
            match in_time {
                Ok(()) => going.give(page, fault),
                Err(_) => Some(going.end(None, INTERRUPTED.into())),
            }
        })
    }
}

impl<L: Log, U: AsyncUpstream<L>> AsyncUpstream<L> for Faulty<U, L::Position> {
    type Pull<'a> = Pages<'a, L, U::Pull<'a>>;

    async fn push(&self, batch: &Batch<L>) -> Result<(), PushError<L::Position>> {
        let fault = self.faults.of_push();
        before_push(fault, batch)?;
        if let Err(error) = wait_out(fault).await {
            return Err(PushError::Unavailable { retry_after: None, error: error.into() });
        }
        let losing = self.faults.lose(fault, batch);
        losing.after_push(fault, self.upstream.push(batch).await)
    }

    fn pull(&self, cursor: L::Position) -> Self::Pull<'_> {
        Pages { going: Going::new(&self.faults), pull: self.upstream.pull(cursor) }
    }
}

/// Waits as long as this fault does.
async fn wait_out(fault: Option<Fault>) -> io::Result<()> {
    let over = match fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Delay(time)) => deadline(time).map_or_else(Interrupt::new, Interrupt::with_deadline),
        _ => return Ok(()),
    };
    let _watch = Watch::new(&over)?;
    over.triggered().await;
    Ok(())
}

/// A pull of a [`Faulty`] upstream for tasks.
pub struct Pages<'a, L: Log, P> {
    going: Going<'a, L>,
    pull: P,
}

impl<L: Log, P: AsyncPull<L>> AsyncPull<L> for Pages<'_, L, P> {
    async fn next_page(&mut self) -> Option<Item<L>> {
        if let Poll::Ready(known) = self.going.known() {
            return known;
        }
        let (page, fault) = loop {
            match self.going.comes(self.pull.next_page().await) {
                Comes::Page(page, fault) => break (page, fault),
                Comes::Nothing => {}
                Comes::End(end) => return end,
            }
        };
        match wait_out(fault).await {
            Ok(()) => self.going.give(page, fault),
            Err(error) => Some(self.going.end(None, error.into())),
        }
    }
}

impl<L: Log, P> fmt::Debug for Pages<'_, L, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}
