//! Events, and events with their number.

use std::rc::Rc;
use std::sync::Arc;

use super::SeqNum;

/// What the merge has to know about an event.
///
/// Both answers must depend on the event alone: the same event, the same answer.
///
/// ```
/// use latchwork_core::sync_state::Event;
///
/// #[derive(PartialEq)]
/// enum Edit {
///     Text { id: u64, body: String },
///     /// Where the cursor is: of no concern to other clients.
///     Cursor(usize),
/// }
///
/// impl Event for Edit {
///     fn is_local_only(&self) -> bool {
///         matches!(self, Edit::Cursor(_))
///     }
///     fn is_same_as(&self, other: &Self) -> bool {
///         self == other
///     }
/// }
/// ```
pub trait Event {
    /// Whether it stays on this side: it is kept in order, but not sent to the upstream that orders for all clients.
    fn is_local_only(&self) -> bool {
        false
    }

    /// Whether both are one event: the one that this side committed, and the one that upstream hands back.
    ///
    /// Asked only about events that stand at the same position. An id that the committing side gave is the best
    /// answer: two clients may commit equal payloads.
    fn is_same_as(&self, other: &Self) -> bool;
}

macro_rules! through {
    ($($pointer:ident),*) => {$(
        impl<E: Event + ?Sized> Event for $pointer<E> {
            fn is_local_only(&self) -> bool {
                (**self).is_local_only()
            }
            fn is_same_as(&self, other: &Self) -> bool {
                (**self).is_same_as(other)
            }
        }
    )*};
}
through!(Arc, Box, Rc);

/// An event with its number, as it travels both ways. That of an event that is still in a state has a reference to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry<E> {
    /// Its number.
    pub seq: SeqNum,
    /// The number that it stands on: for a local-only event the one before, for a sent event the sent one before.
    pub parent: SeqNum,
    /// What happened.
    pub event: E,
}

impl<E> Entry<E> {
    /// The entry without moving its event.
    pub fn as_ref(&self) -> Entry<&E> {
        Entry { seq: self.seq, parent: self.parent, event: &self.event }
    }
}

impl<E: Clone> Entry<&E> {
    /// The entry with a clone of its event.
    #[must_use]
    pub fn cloned(self) -> Entry<E> {
        Entry { seq: self.seq, parent: self.parent, event: self.event.clone() }
    }
}
