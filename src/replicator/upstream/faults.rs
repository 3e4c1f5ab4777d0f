//! The faults to inject, and what each does to a push.
//!
//! A **lost echo** is noted before its push is passed on, so that no pull is faster than the note, and the note is taken back
//! unless upstream takes the push. (A pull that is given another's event of the same number meanwhile loses that.) A pull
//! knows how many echoes had been lost when it began: those it is given.

use std::collections::VecDeque;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::log::Log;
use crate::platform::{Arc, Mutex, is_unwinding};
use crate::protocol::{Batch, FatalKind, More, Page, PushError};

/// Something that goes wrong once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A push is rejected as behind, without saying how far.
    Reject,
    /// The connection dies before the push is applied, or before a page is given out.
    DisconnectBefore,
    /// The connection dies after the push was applied, or after a page was given out.
    DisconnectAfter,
    /// A push is applied and acknowledged, but pulls that are open at that moment are never given its events. They are given
    /// what follows, so that the gap shows; a pull that begins later is given all.
    LoseEcho,
    /// The push is applied, or the page given out, so much later.
    Delay(Duration),
    /// Upstream refuses for now, and asks not to be tried again before this time has passed.
    Busy(Duration),
    /// A page is given out twice.
    DuplicatePage,
    /// A pull ends as if it had caught up.
    EndStream,
    /// Upstream panics.
    Panic,
    /// Upstream says that it is another one.
    OtherUpstream,
    /// Upstream refuses the client.
    Refuse,
    /// Upstream refuses an event of a push for good: the one at this index, or the last. A pull goes on.
    RejectEvent(usize),
    /// A push is too large. A pull goes on.
    TooLarge,
    /// Nothing comes until the call is interrupted. A push was not applied, which is not known.
    Hang,
}

/// The faults that are yet to come, of a [`Faulty`](super::Faulty) upstream or of several. Clones are the same faults.
///
/// `P` is the [position](Log::Position) of the events.
pub struct Faults<P> {
    queues: Arc<Mutex<Queues<P>>>,
}

struct Queues<P> {
    pushes: VecDeque<Fault>,
    pages: VecDeque<Fault>,
    /// The pushes whose echo is lost: the number of each, ascending, and its events.
    lost: Vec<(u64, RangeInclusive<P>)>,
    /// How many there have been.
    losses: u64,
}

impl<P> Faults<P> {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        let queues = Queues { pushes: VecDeque::new(), pages: VecDeque::new(), lost: Vec::new(), losses: 0 };
        Self { queues: Arc::new(Mutex::new(queues)) }
    }

    /// Lets the next push that has no fault yet go wrong.
    pub fn fail_push(&self, fault: Fault) {
        self.queues.lock().pushes.push_back(fault);
    }

    /// Lets the next page that has no fault yet go wrong. A pull that waits for news goes on waiting, until its page comes.
    pub fn fail_pull(&self, fault: Fault) {
        self.queues.lock().pages.push_back(fault);
    }

    /// Whether there is one for the next page.
    pub(super) fn awaits_page(&self) -> bool {
        !self.queues.lock().pages.is_empty()
    }
}

impl<P: Copy + Ord> Faults<P> {
    /// The fault of a push that begins.
    pub(super) fn of_push(&self) -> Option<Fault> {
        self.queues.lock().pushes.pop_front()
    }

    /// Notes that the echo of a push is lost, if this is its fault.
    pub(super) fn lose<L: Log<Position = P>>(&self, fault: Option<Fault>, batch: &Batch<L>) -> Losing<'_, P> {
        let (Some(Fault::LoseEcho), Some(first), Some(last)) = (fault, batch.entries.first(), batch.entries.last())
        else {
            return Losing { faults: self, number: None };
        };
        let mut queues = self.queues.lock();
        let number = queues.losses;
        queues.losses += 1;
        queues.lost.push((number, L::position(first)..=L::position(last)));
        Losing { faults: self, number: Some(number) }
    }

    /// How many echoes have been lost.
    pub(super) fn losses(&self) -> u64 {
        self.queues.lock().losses
    }

    /// Takes what has been lost out of a page of a pull that began when so many had been, and takes the page's fault.
    /// `None` if all of the page was lost, unless it tells that the pull has caught up.
    pub(super) fn of_page<L: Log<Position = P>>(
        &self,
        past_losses: u64,
        mut page: Page<L::Entry>,
        caught_up: bool,
    ) -> Option<(Page<L::Entry>, Option<Fault>)> {
        let mut queues = self.queues.lock();
        let lost = &queues.lost[queues.lost.partition_point(|(number, _)| *number < past_losses)..];
        if !lost.is_empty() && !page.entries.is_empty() {
            let is_lost = |position| lost.iter().any(|(_, events)| events.contains(&position));
            page.entries.retain(|entry| !is_lost(L::position(entry)));
            if page.entries.is_empty() && (caught_up || page.more != More::None) {
                return None;
            }
        }
        Some((page, queues.pages.pop_front()))
    }
}

impl<P> Default for Faults<P> {
    /// None yet.
    fn default() -> Self {
        Self::new()
    }
}

impl<P> Clone for Faults<P> {
    fn clone(&self) -> Self {
        Self { queues: Arc::clone(&self.queues) }
    }
}

impl<P> fmt::Debug for Faults<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

pub(super) const REFUSED: &str = "the client is not allowed";
pub(super) const DIED: &str = "the connection died";
pub(super) const BUSY: &str = "too many requests";
pub(super) const OTHER: &str = "the log belongs to another upstream";

/// What goes wrong with a push before it is passed on; `Err` is its answer.
pub(super) fn before_push<L: Log>(fault: Option<Fault>, batch: &Batch<L>) -> Result<(), PushError<L::Position>> {
    Err(match fault {
        Some(Fault::Reject) => PushError::Behind { head: None },
        Some(Fault::DisconnectBefore) => PushError::Unavailable { retry_after: None, error: DIED.into() },
        Some(Fault::Busy(time)) => PushError::Unavailable { retry_after: Some(time), error: BUSY.into() },
        Some(Fault::OtherUpstream) => PushError::Fatal { kind: FatalKind::IdentityMismatch, error: OTHER.into() },
        Some(Fault::Refuse) => PushError::Fatal { kind: FatalKind::Other, error: REFUSED.into() },
        Some(Fault::RejectEvent(index)) => {
            PushError::Rejected { index: index.min(batch.entries.len() - 1), error: "the event is not valid".into() }
        }
        Some(Fault::TooLarge) => PushError::TooLarge { error: "the request is too large".into() },
        Some(Fault::Panic) => panic!("injected"),
        Some(
            Fault::Delay(_)
            | Fault::Hang
            | Fault::DisconnectAfter
            | Fault::LoseEcho
            | Fault::DuplicatePage
            | Fault::EndStream,
        )
        | None => return Ok(()),
    })
}

/// A push that is passed on, whose echo may be lost: it is, unless this is dropped.
pub(super) struct Losing<'a, P: Copy + Ord> {
    faults: &'a Faults<P>,
    number: Option<u64>,
}

impl<P: Copy + Ord> Losing<'_, P> {
    /// What goes wrong with a push after it was passed on.
    pub(super) fn after_push(
        mut self,
        fault: Option<Fault>,
        outcome: Result<(), PushError<P>>,
    ) -> Result<(), PushError<P>> {
        outcome?;
        self.number = None;
        match fault {
            Some(Fault::DisconnectAfter) => {
                Err(PushError::Uncertain { error: "the connection died before the answer came".into() })
            }
            _ => Ok(()),
        }
    }
}

impl<P: Copy + Ord> Drop for Losing<'_, P> {
    fn drop(&mut self) {
        if let Some(number) = self.number.filter(|_| !is_unwinding()) {
            self.faults.queues.lock().lost.retain(|(lost, _)| *lost != number);
        }
    }
}
