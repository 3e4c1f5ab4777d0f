//! Merging what upstream sends with what is still pending: plain data, no threads, no clock, no
//! I/O.
//!
//! # The states
//!
//! A [`SyncState`] is two heads and what lies between them:
//!
//! ```text
//!            upstream has ordered this | this side has committed this
//!    e1  e2  e3                        | e3.1  e4  e5  e5.1
//!            ^ upstream head             `----- pending ----' ^ local head
//! ```
//!
//! Sent events (`e4`, `e5`) wait for upstream to order them. Local-only events (`e3.1`, `e5.1`) are
//! kept in order among them; [`LocalOnly`] says what upstream has to do with them. Three things
//! happen, each by [`SyncState::merge`]:
//!
//! - a **local push** adds to the end of what is pending, or is *rejected* because its numbers are
//!   taken;
//! - an **upstream advance** brings what upstream ordered after the upstream head. As far as it is
//!   what is pending, in the same order, it confirms; if upstream then goes on with something else
//!   while events are pending, what is pending is *rebased*: numbered anew on top of the new
//!   upstream head, in order, in the next generation;
//! - an **upstream rebase** says that upstream took back events of its own. All that is pending is
//!   rebased.
//!
//! # Why it cannot go wrong
//!
//! What one would fear is an event that is lost, applied twice or both settled and pending, because
//! two lists are cut at two places that should be one. Here there is one place: *how far page and
//! pending agree* is computed once, and both the page and what is pending are cut there. Local-only
//! events do not make it two, because it is counted in sent events and they stand in a queue of
//! their own.
//!
//! Numbers cannot contradict the order either, because pending events have none: a number follows
//! from what the chain stands on and from how many events stand before it. So a chain cannot have a
//! gap or a generation in the middle of another one, and what is pushed or rehydrated must have
//! exactly the numbers that follow.
//!
//! Each merge checks everything first, calls into the event's own code only then, and after that
//! cannot fail: an error or a reject leaves the state as it was.
//!
//! What upstream sends is believed, except for its order: numbers must be ascending and later than
//! the upstream head. Gaps between them, generations and parents are upstream's business.
//!
//! As the protocol's [`Log`](crate::log::Log) a state believes less. There upstream's events keep
//! the numbers that logs gave them, so each must stand on the one before it, in a page as between
//! two: by its number, and by its parent's. A gap is an event that got lost on its way, and the
//! page is refused. (Generations do not count: each client has its own.) One gap does not show: a
//! sent event names the sent one before it as its parent, whatever stands between. So *local-only
//! events that got lost right before a sent event of another client are not missed*.
//!
//! # What it costs
//!
//! | | |
//! | --- | --- |
//! | memory for a pending event | its own size, and 8 bytes for a sent one; a queue that grows has room for as many again |
//! | push of k events | O(k), amortised: a queue that is full moves |
//! | advance of k events of which c settle | O(k + c) |
//! | rebase | as an advance; numbering anew is O(1), whatever is pending |
//! | walking what was rebased, with old and new numbers | O(1) a step |
//! | [`batch`](SyncState::batch) of k | O(k), however many local-only events stand between |
//! | all counts and heads | O(1) |
//!
//! No event is copied, except by [`Entry::cloned`] and by the [`Log`](crate::log::Log)
//! implementation, which hands out clones of what it sends. Events that are large are best held in
//! an `Arc`: `Arc<E>` is an [`Event`] where `E` is.
//!
//! The rules of merging are those of LiveStore's `syncstate`; where that engine's answer is wrong
//! (local-only events in a confirmed prefix before a divergence), this one differs.

mod chain;
mod entry;
mod error;
mod log;
mod merge;
mod outcome;
mod seq_num;

use std::fmt;
use std::iter::FusedIterator;
use std::num::NonZeroUsize;

use self::chain::Chain;
pub use self::entry::{Entry, Event};
pub use self::error::Error;
pub use self::outcome::{Changes, Outcome, Payload};
pub use self::seq_num::{ParseSeqNumError, Position, SeqNum};

/// What upstream has to do with local-only events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LocalOnly {
    /// Nothing: they are kept in order among what is pending, but never sent and not expected back. They settle with
    /// the sent event before them, or when upstream goes on and no sent event is pending before them.
    #[default]
    Kept,
    /// Nothing, and they do not stay here either: a push hands them on and keeps no trace, so that the next one may
    /// have the same number. Otherwise as [`Kept`](Self::Kept). For a leader, whose sessions keep them.
    Passed,
    /// It orders them like all others: they are sent, and expected back. For a session, whose
    /// upstream is a leader on the same machine; over a network, see [which loss does not
    /// show](self#why-it-cannot-go-wrong).
    Shared,
}

/// What this side has committed and upstream has not ordered yet, and how to merge the two.
///
/// See the [module](self) for how and at what cost.
///
/// # Properties
///
/// Each is a property test of the crate.
///
/// 1. **No event is lost.** What was pushed is pending until it is in exactly one `confirmed` (or in
///    [`Changes::passed`], if it never stays here); what upstream sent is either confirmed or in one `passed`.
/// 2. **No event is both confirmed and pending.**
/// 3. **Heads never move back**, in [`Position`], but for the local head when [an owner gives up](crate::log::Log::give_up)
///    what is pending; the local head is never before the upstream head.
/// 4. **The order of local events is kept**: they settle in the order in which they were pushed.
/// 5. **Merging a confirmed prefix twice is an error**, and changes nothing.
/// 6. **Chains stay contiguous**: each pending number is the one that follows the one before, each parent is what
///    that one says.
/// 7. **Anything may be merged**: no payload makes it panic, and an error or a reject leaves the state as it was.
/// 8. **It survives a restart**: [`rehydrate`](Self::rehydrate) with what the accessors say is the same state.
///
/// # Example
///
/// ```
/// use latchwork_core::sync_state::{Event, Outcome, Payload, SeqNum, SyncState};
///
/// #[derive(Clone)]
/// struct Todo(&'static str);
/// impl Event for Todo {
///     fn is_same_as(&self, other: &Self) -> bool {
///         self.0 == other.0
///     }
/// }
///
/// let mut state = SyncState::new(SeqNum::new(3, 0, 0));
/// let entries = state.number([Todo("milk"), Todo("bread")])?; // e4, e5
/// let Outcome::Advance(_) = state.merge(Payload::LocalPush { entries })? else { unreachable!() };
///
/// // Another client was first.
/// let theirs = SyncState::new(SeqNum::new(3, 0, 0)).number([Todo("tea")])?; // e4
/// match state.merge(Payload::UpstreamAdvance { entries: theirs })? {
///     Outcome::Rebase(rebase) => {
///         let moves: Vec<_> = rebase.moves().map(|(from, to)| format!("{from} -> {}", to.seq)).collect();
///         assert_eq!(moves, ["e4 -> e5r1", "e5 -> e6r1"]);
///     }
///     _ => unreachable!(),
/// }
/// assert_eq!(state.upstream_head().to_string(), "e4");
/// assert_eq!(state.local_head().to_string(), "e6r1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SyncState<E> {
    /// The last entry that upstream ordered and this state merged.
    upstream_head: SeqNum,
    /// What is pending. It stands on the same global as the upstream head, on the same client or a later one.
    chain: Chain<E>,
    local_only: LocalOnly,
}

impl<E> SyncState<E> {
    /// A state with nothing pending.
    pub const fn new(upstream_head: SeqNum) -> Self {
        Self { upstream_head, chain: Chain::new(upstream_head), local_only: LocalOnly::Kept }
    }

    /// The same state with another understanding of local-only events; [`LocalOnly::Kept`] to begin with.
    #[must_use]
    pub fn with_local_only(self, local_only: LocalOnly) -> Self {
        Self { local_only, ..self }
    }

    /// What upstream has to do with local-only events.
    pub const fn local_only(&self) -> LocalOnly {
        self.local_only
    }

    /// The last entry that upstream ordered and this state merged: where to pull from.
    pub const fn upstream_head(&self) -> SeqNum {
        self.upstream_head
    }

    /// The last entry, pending or not: what a push has to follow.
    pub fn local_head(&self) -> SeqNum {
        self.chain.head()
    }

    /// What is pending, in order.
    pub fn pending(&self) -> impl ExactSizeIterator<Item = Entry<&E>> + FusedIterator + Clone {
        self.chain.entries()
    }

    /// How many entries are pending, of both kinds; O(1).
    pub fn pending_len(&self) -> usize {
        self.chain.len()
    }

    /// How many entries are still to be sent: all but the local-only ones, unless those are [`LocalOnly::Shared`];
    /// O(1).
    pub fn sendable_len(&self) -> usize {
        match self.local_only {
            LocalOnly::Shared => self.chain.len(),
            LocalOnly::Kept | LocalOnly::Passed => self.chain.sent_len(),
        }
    }

    /// The first entries to be sent, at most `max`; O(1) a step, whatever stands between them.
    pub fn batch(&self, max: NonZeroUsize) -> impl ExactSizeIterator<Item = Entry<&E>> + FusedIterator + Clone {
        let sendable = match self.local_only {
            LocalOnly::Shared => self.chain.entries(),
            LocalOnly::Kept | LocalOnly::Passed => self.chain.sent_entries(),
        };
        sendable.take(max.get())
    }

    /// Gives back the room that pending events took; O(pending). Queues never shrink by themselves, so that an
    /// advance costs what it confirms.
    pub fn shrink_to_fit(&mut self) {
        self.chain.shrink_to_fit();
    }
}

impl<E: Event> SyncState<E> {
    /// Events under the numbers that they would have if they were pushed now.
    ///
    /// # Errors
    ///
    /// [`Error::Exhausted`] if there are not enough numbers left.
    pub fn number(&self, events: impl IntoIterator<Item = E>) -> Result<Vec<Entry<E>>, Error> {
        let mut previous = self.local_head();
        let events = events.into_iter();
        // Collected as a `Result`, they would not know how many there will be.
        let mut numbered = Vec::with_capacity(events.size_hint().0);
        for event in events {
            let local_only = event.is_local_only();
            let seq = previous.next(local_only)?;
            let parent = previous.parent_of_next(local_only);
            previous = seq;
            numbered.push(Entry { seq, parent, event });
        }
        Ok(numbered)
    }

    /// The state that a persisted log describes: the two heads and what was pending. [`LocalOnly`] is not part of it.
    ///
    /// The local head is the last pending entry. With nothing pending it is the upstream head, or a local-only entry
    /// behind it that settled with it.
    ///
    /// ```
    /// use latchwork_core::sync_state::{LocalOnly, SyncState};
    /// # use latchwork_core::sync_state::{Entry, SeqNum};
    /// # #[derive(Clone)]
    /// # struct Todo;
    /// # impl latchwork_core::sync_state::Event for Todo {
    /// #     fn is_same_as(&self, other: &Self) -> bool { true }
    /// # }
    /// # let log = [Entry { seq: SeqNum::new(4, 0, 0), parent: SeqNum::new(3, 0, 0), event: Todo }];
    ///
    /// let state = SyncState::rehydrate("e3".parse()?, "e4".parse()?, log)?.with_local_only(LocalOnly::Shared);
    /// assert_eq!(state.pending_len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error`] if these do not belong together.
    pub fn rehydrate(
        upstream_head: SeqNum,
        local_head: SeqNum,
        pending: impl IntoIterator<Item = Entry<E>>,
    ) -> Result<Self, Error> {
        let mut pending = pending.into_iter().peekable();
        let Some(first) = pending.peek() else {
            return Self::settled(upstream_head, local_head);
        };
        let base = base_of(first, upstream_head)?;
        let mut chain = Chain::with_generation(base, first.seq.generation);
        // The first entry may begin a generation; all others continue it.
        let mut previous = base;
        for entry in pending {
            let local_only = entry.event.is_local_only();
            let seq = SeqNum { generation: chain.generation(), ..previous.next(local_only)? };
            Error::unless_next(&entry, seq, previous.parent_of_next(local_only))?;
            previous = seq;
            chain.push(entry.event, local_only);
        }
        if local_head != previous {
            let (expected, found) = (previous, local_head);
            return Err(Error::LocalHead { expected, found });
        }
        Ok(Self { upstream_head, chain, local_only: LocalOnly::Kept })
    }

    fn settled(upstream_head: SeqNum, local_head: SeqNum) -> Result<Self, Error> {
        if local_head.global != upstream_head.global || local_head.client < upstream_head.client {
            let (expected, found) = (upstream_head, local_head);
            return Err(Error::LocalHead { expected, found });
        }
        Ok(Self { chain: Chain::new(local_head), ..Self::new(upstream_head) })
    }
}

/// What a chain that begins with `first` stands on.
fn base_of<E: Event>(first: &Entry<E>, upstream_head: SeqNum) -> Result<SeqNum, Error> {
    let found = first.seq;
    if !found.is_after(upstream_head) {
        return Err(Error::BehindUpstreamHead { upstream_head, found });
    }
    let local_only = first.event.is_local_only();
    // The generation of what it stands on is the parent's; local-only events that settled may stand between.
    let client = if local_only { first.parent.client.max(upstream_head.client) } else { upstream_head.client };
    let base = SeqNum::new(upstream_head.global, client, first.parent.generation);
    Ok(base)
}

impl<E> Default for SyncState<E> {
    /// A state before the first event.
    fn default() -> Self {
        Self::new(SeqNum::ROOT)
    }
}

impl<E> fmt::Debug for SyncState<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncState")
            .field("upstream_head", &format_args!("{}", self.upstream_head))
            .field("local_head", &format_args!("{}", self.local_head()))
            .field("pending", &self.pending_len())
            .field("local_only", &self.local_only)
            .finish()
    }
}

const _: () = {
    const fn plain_data<T: Send + Sync + Unpin + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    plain_data::<SyncState<u8>>();
    plain_data::<Error>();
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Log;

    impl Event for u32 {
        fn is_local_only(&self) -> bool {
            self % 2 == 1
        }
        fn is_same_as(&self, other: &Self) -> bool {
            self == other
        }
    }

    #[test]
    fn a_logs_batch_is_a_walk_over_what_is_to_be_sent() {
        let same = |state: &SyncState<u32>| {
            for max in (1..=8).filter_map(NonZeroUsize::new) {
                let walk: Vec<_> = state.batch(max).map(Entry::cloned).collect();
                assert_eq!(Log::batch(state, max), walk, "{max} of {state:?}");
            }
        };
        for local_only in [LocalOnly::Kept, LocalOnly::Passed, LocalOnly::Shared] {
            for events in [&[][..], &[1], &[2], &[1, 3, 2, 4], &[2, 1, 4, 6, 3, 8]] {
                let base = SeqNum::new(3, 0, 1);
                let mut state = SyncState::new(base).with_local_only(local_only);
                state.local_events(events.to_vec()).expect("they have numbers");
                same(&state);
                let theirs = Entry { seq: SeqNum::new(4, 0, 0), parent: base, event: 100 };
                let rebased = state.merge(Payload::UpstreamAdvance { entries: vec![theirs] });
                assert!(matches!(rebased, Ok(Outcome::Advance(_) | Outcome::Rebase(_))), "{rebased:?}");
                same(&state);
                // Round and round in the room that there is.
                for more in 0..20 {
                    let first = Log::batch(&state, NonZeroUsize::MIN);
                    assert!(state.merge(Payload::UpstreamAdvance { entries: first }).is_ok());
                    same(&state);
                    state.local_events(vec![10 + more]).expect("it has a number");
                    same(&state);
                }
            }
        }
    }

    #[test]
    fn what_is_pending_no_longer_gives_its_room_back_when_it_is_asked_to() {
        let mut state = SyncState::default();
        state.local_events((0..1000).collect()).expect("they have numbers");
        let batch: Vec<_> = state.batch(NonZeroUsize::MAX).map(Entry::cloned).collect();
        let merged = state.merge(Payload::UpstreamAdvance { entries: batch });
        assert!(matches!(merged, Ok(Outcome::Advance(_))), "{merged:?}");
        let room = |state: &SyncState<u32>| state.chain.room();
        let (sent, local_only) = room(&state);
        assert!(sent >= 500 && local_only >= 500, "room for {sent} and {local_only}");
        state.shrink_to_fit();
        assert_eq!(room(&state), (0, 0));
    }
}
