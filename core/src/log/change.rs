//! What happens to a log, told as values: for a journal to write down.

use thiserror::Error;

use super::Merged;

/// One change of a log, as a journal is told it.
///
/// Changes are told in the order in which they happened. All of them, applied to the cursor and the pending events that a
/// journal held at the start, lead to what the log is: [`Recovered`] does it. Any first part of them leads to what the log was
/// in between.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Change<E, P> {
    /// Which: a replicator counts its changes from 1, so those of the next process begin with 1 again. A change that is told
    /// once more, since writing it had failed, has the same number.
    pub number: u64,
    /// What happened.
    pub what: Changed<E>,
    /// The cursor since: the last event that upstream ordered and that has been applied.
    pub cursor: P,
}

impl<E, P> Change<E, P> {
    /// A change as a replicator tells it: for a journal's tests.
    #[must_use]
    pub const fn new(number: u64, what: Changed<E>, cursor: P) -> Self {
        Self { number, what, cursor }
    }
}

/// What happened to a log.
///
/// Where pending events are counted, those are that are to be sent: not [local-only](super::Log::is_local_only) ones. Pending
/// events that are pending no more stand here by their place alone, unless upstream has ordered them: who derives something
/// from them keeps what is pending, as [`Recovered`] does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Changed<E> {
    /// These events were committed: they stand behind what was pending.
    Committed {
        /// As they were numbered then; local-only ones are among them.
        entries: Vec<E>,
    },
    /// Upstream's events were applied: what of that were pending ones is pending no more, and the cursor has moved. Among what
    /// it confirms may be local-only events of which a journal knows nothing, since a [`Reset`](Self::Reset) has not told them;
    /// they stood before all local-only events that have been committed since.
    Merged(Merged<E>),
    /// The owner gave up some of the pending events.
    GivenUp {
        /// Of which index the first was.
        start: usize,
        /// How many.
        count: usize,
    },
    /// The owner put another event in the place of a pending one.
    Replaced {
        /// Of which index.
        index: usize,
        /// The one that stands there now.
        entry: E,
    },
    /// The log was replaced, or has said that it is not what it was thought to be. What was pending is pending no more, and
    /// these are instead. Local-only events are not among them.
    Reset {
        /// All that is pending now and is to be sent.
        pending: Vec<E>,
    },
}

/// What a journal holds: the cursor, and what is pending. A log is made of it when a process starts, and each [`Change`] takes
/// it a step further. What keeps its own rows or files does as [`apply`](Self::apply) does, with
/// [`Merged::settled`] for what upstream has ordered.
///
/// It holds events in their order. The number of a pending event is the one that it had when it was committed; it has another
/// one as soon as others' events came before it. Numbers follow from the cursor and the order, so a log that is made of this
/// gives them anew, and a journal need not keep them.
///
/// ```
/// use latchwork_core::log::{Change, Log, MemoryEntry, MemoryLog, Recovered};
///
/// /// The log that the journal's last process left.
/// fn recover(held: Recovered<MemoryEntry<String>, u64>) -> MemoryLog<String> {
///     MemoryLog::new().with_pending(held.cursor, held.pending.into_iter().map(|entry| entry.event))
/// }
///
/// let log = recover(Recovered::new(7));
/// assert_eq!((log.upstream_head(), log.pending()), (7, 0));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Recovered<E, P> {
    /// Where pulls begin.
    pub cursor: P,
    /// What is pending, in order; local-only events are among it.
    pub pending: Vec<E>,
    /// The number of the last change, of the present process; 0 before the first.
    pub changes: u64,
}

/// Why a change was not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// One is missing.
    #[error("expected change {expected} next, got {got}")]
    OutOfOrder {
        /// Which would have followed.
        expected: u64,
        /// Which came.
        got: u64,
    },
    /// It is about events that are not pending.
    #[error("expected a change of {pending} pending events, got one of {needed}")]
    Absent {
        /// How many are pending.
        pending: usize,
        /// How many there were to be, at least.
        needed: usize,
    },
}

impl<E: Clone, P: Copy> Recovered<E, P> {
    /// A cursor, and nothing pending.
    #[must_use]
    pub const fn new(cursor: P) -> Self {
        Self { cursor, pending: Vec::new(), changes: 0 }
    }

    /// What a journal has read back, for a process that begins with it.
    #[must_use]
    pub const fn with_pending(cursor: P, pending: Vec<E>) -> Self {
        Self { cursor, pending, changes: 0 }
    }

    /// Takes it a step further; `is_sent` says which events are to be sent. A change that has been applied before changes
    /// nothing: it was told once more.
    ///
    /// # Errors
    ///
    /// If the change does not follow. Nothing has changed then.
    pub fn apply(&mut self, change: &Change<E, P>, is_sent: impl Fn(&E) -> bool) -> Result<(), ChangeError> {
        if change.number <= self.changes {
            return Ok(());
        }
        let expected = self.changes + 1;
        if change.number != expected {
            return Err(ChangeError::OutOfOrder { expected, got: change.number });
        }
        match &change.what {
            Changed::Committed { entries } => self.pending.extend_from_slice(entries),
            Changed::Merged(merged) => {
                let confirmed = merged.settled(&is_sent, self.pending.iter().map(&is_sent))?;
                let places = self.places(confirmed, &is_sent);
                let gone = merged.dropped().iter().map(|index| places.get(*index).copied());
                let Some(gone) = gone.collect::<Option<Vec<_>>>() else {
                    let needed = merged.dropped().last().map_or(0, |index| index + 1);
                    return Err(ChangeError::Absent { pending: places.len(), needed });
                };
                self.take_out(&gone);
                self.pending.drain(..confirmed);
            }
            Changed::GivenUp { start, count } => {
                let places = self.places(0, &is_sent);
                let needed = start.saturating_add(*count);
                let gone = places.get(*start..needed).ok_or(ChangeError::Absent { pending: places.len(), needed })?;
                self.take_out(gone);
            }
            Changed::Replaced { index, entry } => {
                let places = self.places(0, &is_sent);
                let absent = ChangeError::Absent { pending: places.len(), needed: index.saturating_add(1) };
                self.pending[*places.get(*index).ok_or(absent)?] = entry.clone();
            }
            Changed::Reset { pending } => self.pending.clone_from(pending),
        }
        (self.cursor, self.changes) = (change.cursor, expected);
        Ok(())
    }

    /// Where the events behind the first `skipped` stand that are to be sent.
    fn places(&self, skipped: usize, is_sent: impl Fn(&E) -> bool) -> Vec<usize> {
        let behind = self.pending.iter().enumerate().skip(skipped);
        behind.filter(|(_, entry)| is_sent(entry)).map(|(place, _)| place).collect()
    }

    /// Takes out the events at these places, which ascend.
    fn take_out(&mut self, places: &[usize]) {
        let (mut place, mut gone) = (0, places.iter().copied().peekable());
        self.pending.retain(|_| {
            let stays = gone.next_if_eq(&place).is_none();
            place += 1;
            stays
        });
    }
}

impl<E> Merged<E> {
    /// How many of the first pending events of a journal this settles: those it takes out, before it takes out what was
    /// [dropped](Self::dropped) of the others.
    ///
    /// `is_sent` says which events are to be sent, and `pending` says it of those that the journal holds, from the first one on.
    /// No more of these are asked for than are [confirmed](Self::confirmed).
    ///
    /// They need not be as many. A log settles its events from the first on, local-only ones with them, and a
    /// [`Reset`](Changed::Reset) does not tell what local-only ones there are: one that is confirmed where an event to be sent
    /// stands is one that the journal does not hold.
    ///
    /// ```
    /// use latchwork_core::log::Merged;
    ///
    /// let is_sent = |event: &&str| *event != "local";
    /// let merged = Merged::Advance { new: vec![], confirmed: vec!["local", "milk"] };
    /// assert_eq!(merged.settled(is_sent, ["local", "milk", "bread"].iter().map(is_sent)), Ok(2));
    /// // After a reset that told of "milk" and "bread".
    /// assert_eq!(merged.settled(is_sent, ["milk", "bread"].iter().map(is_sent)), Ok(1));
    /// ```
    ///
    /// # Errors
    ///
    /// If an event to be sent is confirmed, and none is pending any more.
    pub fn settled(
        &self,
        is_sent: impl Fn(&E) -> bool,
        pending: impl IntoIterator<Item = bool>,
    ) -> Result<usize, ChangeError> {
        let (mut pending, mut settled) = (pending.into_iter().peekable(), 0);
        for entry in self.confirmed() {
            let is_sent = is_sent(entry);
            if pending.next_if(|stands| is_sent || !stands).is_some() {
                settled += 1;
            } else if is_sent {
                return Err(ChangeError::Absent { pending: settled, needed: settled + 1 });
            }
        }
        Ok(settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events of more than 100 are local-only.
    type Held = Recovered<u8, u64>;

    fn held(pending: &[u8]) -> Held {
        Recovered::with_pending(3, pending.to_vec())
    }

    fn apply(held: &mut Held, what: Changed<u8>, cursor: u64) -> Result<(), ChangeError> {
        let change = Change { number: held.changes + 1, what, cursor };
        held.apply(&change, |event| *event < 100)
    }

    #[test]
    fn apply_follows_each_kind_of_change() {
        let mut held = held(&[1, 101, 2]);
        let steps: [(Changed<u8>, u64, &[u8]); 7] = [
            (Changed::Committed { entries: vec![3, 102] }, 3, &[1, 101, 2, 3, 102]),
            (Changed::Merged(Merged::Advance { new: vec![9], confirmed: vec![1, 101] }), 5, &[2, 3, 102]),
            (Changed::Replaced { index: 1, entry: 4 }, 5, &[2, 4, 102]),
            (Changed::Committed { entries: vec![5, 6] }, 5, &[2, 4, 102, 5, 6]),
            (Changed::GivenUp { start: 1, count: 2 }, 5, &[2, 102, 6]),
            (
                Changed::Merged(Merged::Rebase { new: vec![8], confirmed: vec![2], moved: 0, dropped: vec![0] }),
                7,
                &[102],
            ),
            (Changed::Reset { pending: vec![7] }, 20, &[7]),
        ];
        for (step, (what, cursor, pending)) in steps.into_iter().enumerate() {
            assert_eq!(apply(&mut held, what, cursor), Ok(()));
            assert_eq!((held.pending.as_slice(), held.cursor, held.changes), (pending, cursor, step as u64 + 1));
        }
    }

    #[test]
    fn apply_refuses_what_does_not_follow_and_changes_nothing() {
        let before = held(&[1, 101, 2]);
        let advance = |confirmed: &[u8]| Merged::Advance { new: vec![], confirmed: confirmed.to_vec() };
        let drops =
            |dropped: &[usize]| Merged::Rebase { new: vec![], confirmed: vec![1], moved: 0, dropped: dropped.to_vec() };
        let refused = [
            (Changed::Merged(advance(&[1, 101, 2, 3])), ChangeError::Absent { pending: 3, needed: 4 }),
            (Changed::Merged(drops(&[0, 1])), ChangeError::Absent { pending: 1, needed: 2 }),
            (Changed::GivenUp { start: 1, count: 2 }, ChangeError::Absent { pending: 2, needed: 3 }),
            (Changed::Replaced { index: 2, entry: 7 }, ChangeError::Absent { pending: 2, needed: 3 }),
        ];
        for (what, error) in refused {
            let mut held = before.clone();
            assert_eq!(apply(&mut held, what, 9), Err(error));
            assert_eq!(held, before);
        }
        let mut held = before.clone();
        let change = Change { number: 2, what: Changed::Reset { pending: vec![] }, cursor: 9 };
        let error = ChangeError::OutOfOrder { expected: 1, got: 2 };
        assert_eq!(held.apply(&change, |_| true), Err(error));
        assert_eq!(held, before);
    }

    /// A log that is put in the place of another one brings local-only events that no change tells.
    #[test]
    fn apply_passes_over_local_only_events_that_a_reset_did_not_tell() {
        let mut held = held(&[101]);
        let advance =
            |confirmed: &[u8]| Changed::Merged(Merged::Advance { new: vec![], confirmed: confirmed.to_vec() });
        let steps: [(Changed<u8>, &[u8]); 5] = [
            (Changed::Reset { pending: vec![1, 2, 3] }, &[1, 2, 3]),
            (Changed::Committed { entries: vec![102, 4, 103] }, &[1, 2, 3, 102, 4, 103]),
            (advance(&[111, 1, 112, 113]), &[2, 3, 102, 4, 103]),
            (advance(&[2, 114, 3, 102]), &[4, 103]),
            (advance(&[4, 103]), &[]),
        ];
        for (what, pending) in steps {
            assert_eq!(apply(&mut held, what, 5), Ok(()));
            assert_eq!(held.pending, pending);
        }
        assert_eq!(apply(&mut held, advance(&[115]), 5), Ok(()));
    }

    #[test]
    fn apply_takes_a_change_once_however_often_it_is_told() {
        let mut held = held(&[]);
        let change = Change { number: 1, what: Changed::Committed { entries: vec![1] }, cursor: 3 };
        (0..3).for_each(|_| held.apply(&change, |_| true).expect("it follows, or is known"));
        assert_eq!(held.pending, [1]);
    }
}
