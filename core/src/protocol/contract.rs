//! What the log and upstream say, held against what they promise.
//!
//! A protocol that believed a wrong answer would pass it on: to an upstream that is asked for ever, or to a ticket that never
//! settles. So each answer is checked where it comes from, and a wrong one is a failure that says what was expected.

use std::fmt::Debug;
use std::num::NonZeroUsize;

use thiserror::Error;

use super::Failure;
use super::messages::FatalKind;
use crate::log::{Log, Merged};

/// A log's answer that its contract does not allow.
#[derive(Debug, Error)]
enum Breach<P: Debug> {
    #[error("expected some of {pending} pending events in a batch, got none")]
    EmptyBatch { pending: usize },
    #[error("expected at most {max} events in a batch, got {got}")]
    LargeBatch { max: NonZeroUsize, got: usize },
    #[error("expected {told} events more after a commit than the {before} that were pending, got {got} in all")]
    Commit { told: usize, before: usize, got: usize },
    #[error("expected {} pending events after {given_up} of {before} were given up, got {got}", before - given_up)]
    GivenUp { before: usize, given_up: usize, got: usize },
    #[error("expected the upstream head to be {expected:?} after a merge, got {got:?}")]
    Cursor { expected: P, got: P },
    #[error("expected indices below {pending} in ascending order of events that were given up, got {got:?}")]
    Dropped { pending: usize, got: Vec<usize> },
    #[error(
        "expected {} pending events after a merge ({before}, less {confirmed} confirmed and {dropped} given up), got {got}",
        before.saturating_sub(*confirmed).saturating_sub(*dropped)
    )]
    Pending { before: usize, confirmed: usize, dropped: usize, got: usize },
}

impl<P: Debug + Send + Sync + 'static> From<Breach<P>> for Failure {
    fn from(breach: Breach<P>) -> Self {
        Self::Contract { error: breach.into() }
    }
}

/// A log that says that it has appended `told` events to the `before` that were pending.
#[inline]
pub(super) fn admitted(before: usize, told: usize, got: usize) -> Result<(), Failure> {
    if before.checked_add(told) == Some(got) { Ok(()) } else { Err(Breach::<()>::Commit { told, before, got }.into()) }
}

/// A log that has given up, or replaced, some of the `before` events that were pending.
pub(super) fn given_up(before: usize, given_up: usize, got: usize) -> Result<(), Failure> {
    if before - given_up == got { Ok(()) } else { Err(Breach::<()>::GivenUp { before, given_up, got }.into()) }
}

/// Upstream refuses an event that was not sent.
#[derive(Debug, Error)]
#[error("expected the index of one of {count} events that it refuses, got {index}")]
struct NoSuchEvent {
    count: usize,
    index: usize,
}

/// Upstream refuses the event at `index` of a batch of `count`.
pub(super) fn rejected(count: usize, index: usize) -> Result<(), Failure> {
    if index < count {
        return Ok(());
    }
    Err(Failure::Upstream { kind: FatalKind::Other, error: NoSuchEvent { count, index }.into() })
}

/// A batch of a log with so many pending events.
#[inline]
pub(super) fn batch<T>(entries: &[T], max: NonZeroUsize, pending: usize) -> Result<(), Failure> {
    match entries.len() {
        0 => Err(Breach::<()>::EmptyBatch { pending }.into()),
        got if got > max.get() => Err(Breach::<()>::LargeBatch { max, got }.into()),
        _ => Ok(()),
    }
}

/// A log after a merge up to `last`, with what it says of the `before` events that were pending.
pub(super) fn merged<L: Log>(
    log: &L,
    merged: &Merged<L::Entry>,
    before: usize,
    confirmed: usize,
    last: L::Position,
) -> Result<(), Failure> {
    let head = log.upstream_head();
    if head < last {
        return Err(Breach::Cursor { expected: last, got: head }.into());
    }
    let (dropped, pending) = (merged.dropped(), before.saturating_sub(confirmed));
    if dropped.last().is_some_and(|last| *last >= pending) || !dropped.is_sorted_by(|one, next| one < next) {
        return Err(Breach::<()>::Dropped { pending, got: dropped.to_vec() }.into());
    }
    if confirmed > before || log.pending() != pending - dropped.len() {
        let (dropped, got) = (dropped.len(), log.pending());
        return Err(Breach::<()>::Pending { before, confirmed, dropped, got }.into());
    }
    Ok(())
}

/// Upstream has lost events.
#[derive(Debug, Error)]
#[error("expected upstream's head to be {base:?} or later, as this log has been told, got {head:?}")]
struct WentBack<P: Debug> {
    base: P,
    head: P,
}

/// Upstream says that its head stands before an event that it has given out.
pub(super) fn went_back<P: Debug + Send + Sync + 'static>(base: P, head: P) -> Failure {
    Failure::Upstream { kind: FatalKind::WentBack, error: WentBack { base, head }.into() }
}
