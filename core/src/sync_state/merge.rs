//! The three merges. Each looks first and changes second: up to the line that says so, nothing is touched, and
//! behind it nothing can fail.

use super::chain::{Chain, Entries, Place};
use super::seq_num::Exhausted;
use super::{Changes, Entry, Error, Event, LocalOnly, Outcome, Payload, SeqNum, SyncState};

impl<E: Event> SyncState<E> {
    /// Merges what this side pushes or upstream sends.
    ///
    /// A push costs O(entries pushed); an advance O(entries that came and entries that settle); a rebase no more than
    /// an advance, for what is numbered anew is not touched. None of them depends on how much is pending.
    ///
    /// # Errors
    ///
    /// [`Error`]; the state is as it was. The payload is gone: what upstream sent is still upstream's, and a
    /// push whose numbers come from [`number`](Self::number) does not fail.
    pub fn merge(&mut self, payload: Payload<E>) -> Result<Outcome<'_, E>, Error> {
        match payload {
            Payload::LocalPush { entries } => self.local_push(entries),
            Payload::UpstreamAdvance { entries } => Ok(match self.upstream_advance(entries, Gaps::Believed)? {
                Advanced::Advance(advance) => Outcome::Advance(advance),
                Advanced::Rebase(rebase) => Outcome::Rebase(rebase),
            }),
            Payload::UpstreamRebase { rolled_back, entries } => {
                let rebase = self.upstream_rebase(rolled_back, entries)?;
                Ok(Outcome::Rebase(rebase))
            }
        }
    }

    pub(super) fn local_push(&mut self, entries: Vec<Entry<E>>) -> Result<Outcome<'_, E>, Error> {
        ascending(&entries)?;
        let head = self.chain.head();
        if let Some(first) = entries.first() {
            if !first.seq.is_after(head) {
                let expected_minimum = head.next(true)?;
                return Ok(Outcome::Reject { expected_minimum, entries });
            }
        }
        self.continues(head, &entries)?;

        // From here on the state changes.
        let end = self.chain.end();
        let mut passed = Vec::new();
        for entry in entries {
            // The chain has been checked, so the number says what the event is.
            let local_only = entry.seq.client > 0;
            if local_only && self.local_only == LocalOnly::Passed {
                passed.push(entry);
            } else {
                self.chain.push(entry.event, local_only);
            }
        }
        Ok(Outcome::Advance(advanced(passed, self.chain.entries_since(end, head), Vec::new())))
    }

    /// Appends events under the numbers that follow.
    pub(super) fn local_events(&mut self, events: Vec<E>) -> Result<(), Exhausted> {
        // Asked once, here: what an event says is not ours.
        let local_only: Vec<_> = events.iter().map(Event::is_local_only).collect();
        let mut last = self.chain.head();
        for local_only in &local_only {
            last = last.next(*local_only)?;
        }

        // From here on the state changes.
        for (event, local_only) in events.into_iter().zip(local_only) {
            if !local_only || self.local_only != LocalOnly::Passed {
                self.chain.push(event, local_only);
            }
        }
        Ok(())
    }

    /// Upstream has ordered the first events, all of them sent ones: this batch. Returns whether they are settled; they are
    /// not if they are others, or if there are local-only events, which settle with the sent ones before them.
    pub(super) fn own_batch(&mut self, batch: &[Entry<E>]) -> bool {
        // Mutant `-> bool with false`: a batch is then merged as any page is, with the same result.
        let Some(base) = self.chain.sent_base(batch.len()) else { return false };
        if batch.last().is_none_or(|last| last.seq != base) {
            return false;
        }
        self.chain.drop_sent(batch.len(), base);
        self.upstream_head = base;
        true
    }

    /// Whether the entries, which ascend and begin behind `head`, are the chain that follows it.
    fn continues(&self, head: SeqNum, entries: &[Entry<E>]) -> Result<(), Error> {
        let mut previous = head;
        for entry in entries {
            let local_only = entry.event.is_local_only();
            if local_only && self.local_only == LocalOnly::Passed {
                previous = passed_before(previous, entry.seq);
            }
            follows(previous, local_only, entry)?;
            previous = entry.seq;
        }
        Ok(())
    }

    pub(super) fn upstream_advance(&mut self, mut page: Vec<Entry<E>>, gaps: Gaps) -> Result<Advanced<'_, E>, Error> {
        ascending(&page)?;
        let (Some(first), Some(last)) = (page.first(), page.last()) else {
            return Ok(advance(page, Vec::new()));
        };
        if !first.seq.is_after(self.upstream_head) {
            return Err(Error::BehindUpstreamHead { upstream_head: self.upstream_head, found: first.seq });
        }
        let upstream_head = last.seq;
        if gaps == Gaps::Refused {
            without_gap(self.upstream_head, &page)?;
        }
        let agreed = self.agreed(&page);
        if gaps == Gaps::Refused {
            self.passes_over_none(&agreed, &page)?;
        }
        let generation = if agreed.diverged {
            let generation = upstream_head.next_generation()?;
            let to = self.chain.head_on(upstream_head, generation, agreed.settled)?;
            self.local_head_may_become(to)?;
            generation
        } else {
            upstream_head.generation
        };

        // From here on the state changes.
        let local_head = self.chain.head();
        let confirmed = self.chain.take_front(agreed.settled.len());
        let passed = page.split_off(agreed.page);
        self.upstream_head = upstream_head;
        if agreed.diverged {
            let rebase = self.rebase(generation, confirmed, Vec::new(), passed);
            return Ok(Advanced::Rebase(rebase));
        }
        if self.chain.is_empty() {
            // Local-only events that settled last are later than what upstream sent.
            let ahead = local_head.is_after(upstream_head);
            let base = if ahead { local_head } else { upstream_head };
            self.chain.rebase(base, base.generation);
        }
        Ok(advance(passed, confirmed))
    }

    fn upstream_rebase(&mut self, rolled_back: Vec<Entry<E>>, entries: Vec<Entry<E>>) -> Result<Changes<'_, E>, Error> {
        ascending(&entries)?;
        let upstream_head = entries.last().map_or(self.upstream_head, |last| last.seq);
        let (generation, local_head) = if self.chain.is_empty() {
            (upstream_head.generation, upstream_head)
        } else {
            let generation = upstream_head.next_generation()?;
            let front = self.chain.after_sent(0);
            (generation, self.chain.head_on(upstream_head, generation, front)?)
        };
        self.local_head_may_become(local_head)?;
        if self.upstream_head.is_after(upstream_head) {
            return Err(Error::UpstreamHeadMovedBack {
                from: self.upstream_head.position(),
                to: upstream_head.position(),
            });
        }

        // From here on the state changes.
        self.upstream_head = upstream_head;
        Ok(self.rebase(generation, Vec::new(), rolled_back, entries))
    }

    /// Puts what is pending on top of the upstream head.
    fn rebase(
        &mut self,
        generation: u32,
        confirmed: Vec<Entry<E>>,
        rolled_back_upstream: Vec<Entry<E>>,
        passed: Vec<Entry<E>>,
    ) -> Changes<'_, E> {
        let before = self.chain.rebase(self.upstream_head, generation);
        Changes {
            confirmed,
            rolled_back_upstream,
            old: self.chain.entries_numbered(before.base, before.generation),
            passed,
            kept: self.chain.entries(),
        }
    }

    fn local_head_may_become(&self, to: SeqNum) -> Result<(), Error> {
        let from = self.chain.head();
        if from.is_after(to) {
            return Err(Error::LocalHeadMovedBack { from: from.position(), to: to.position() });
        }
        Ok(())
    }

    /// Whether a page, where it no longer agrees with what is pending, goes on with a sent event of
    /// this side's although shared local-only events stand before it here. Upstream has ordered
    /// those before it, and the page has lost them: the numbers cannot tell, for a sent event's
    /// number does not say how many local-only ones it follows.
    fn passes_over_none(&self, agreed: &Agreed, page: &[Entry<E>]) -> Result<(), Error> {
        let Agreed { page: agreed, settled, .. } = *agreed;
        let (Some(next), Some((position, own))) = (page.get(agreed), self.chain.next_sent(settled)) else {
            return Ok(());
        };
        let passes = self.local_only == LocalOnly::Shared && settled.leading > 0;
        if passes && next.seq.position() == position && own.is_same_as(&next.event) {
            let missing = self.chain.entries().nth(agreed);
            let expected = missing.map_or(next.seq, |missing| missing.seq);
            return Err(Error::NotNext { expected, found: next.seq });
        }
        Ok(())
    }

    /// How far what is pending and a page that is not empty agree; O(agreed entries).
    fn agreed(&self, page: &[Entry<E>]) -> Agreed {
        let chain = &self.chain;
        if self.local_only == LocalOnly::Shared {
            let agreed = common(chain.entries(), page);
            return Agreed {
                page: agreed,
                settled: chain.after(agreed),
                diverged: agreed < page.len() && agreed < chain.len(),
            };
        }
        let agreed = common(chain.sent_entries(), page);
        let settled = chain.after_sent(agreed);
        // Upstream does not number local-only events here. If it does nevertheless, a page may begin with a number
        // that one of ours has, and ours gives way.
        let taken = |next: &Entry<E>| settled.leading > 0 && !next.seq.is_after(chain.head());
        let diverged = match page.get(agreed) {
            Some(next) => agreed < chain.sent_len() || taken(next),
            None => false,
        };
        Agreed {
            page: agreed,
            // Without a divergence, local-only events in front of the next sent one settle too: nothing will come
            // before them any more.
            settled: if diverged { settled } else { Chain::<E>::past_local(settled) },
            diverged,
        }
    }
}

/// What gaps between upstream's numbers are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gaps {
    /// Upstream's business: it numbers events as it likes.
    Believed,
    /// Events that got lost on their way: upstream's events keep the numbers that logs gave them.
    Refused,
}

/// What an upstream advance may come to.
pub(super) enum Advanced<'a, E> {
    Advance(Changes<'a, E>),
    Rebase(Changes<'a, E>),
}

/// How far a page and what is pending agree.
struct Agreed {
    /// So many entries of the page.
    page: usize,
    /// The place in the chain behind what settles.
    settled: Place,
    /// Whether both go on, and differently.
    diverged: bool,
}

/// Whether each entry stands on the one before it, by its number and by its parent's. The entries
/// ascend and begin behind `head`. Generations do not count: each side numbers what it rebased in a
/// generation of its own.
fn without_gap<E>(head: SeqNum, page: &[Entry<E>]) -> Result<(), Error> {
    let mut previous = head;
    for entry in page {
        let local_only = entry.seq.global == previous.global;
        let seq = SeqNum { generation: entry.seq.generation, ..previous.next(local_only)? };
        let parent = SeqNum { generation: entry.parent.generation, ..previous.parent_of_next(local_only) };
        Error::unless_next(entry, seq, parent)?;
        previous = entry.seq;
    }
    Ok(())
}

/// How many entries are the same from the beginning.
fn common<E: Event>(pending: Entries<'_, E>, page: &[Entry<E>]) -> usize {
    let pairs = pending.zip(page);
    pairs
        .take_while(|(own, other)| own.seq.position() == other.seq.position() && own.event.is_same_as(&other.event))
        .count()
}

fn advance<'a, E>(passed: Vec<Entry<E>>, confirmed: Vec<Entry<E>>) -> Advanced<'a, E> {
    Advanced::Advance(advanced(passed, Entries::empty(), confirmed))
}

fn advanced<E>(passed: Vec<Entry<E>>, kept: Entries<'_, E>, confirmed: Vec<Entry<E>>) -> Changes<'_, E> {
    Changes { confirmed, rolled_back_upstream: Vec::new(), old: Entries::empty(), passed, kept }
}

fn ascending<E>(entries: &[Entry<E>]) -> Result<(), Error> {
    for pair in entries.windows(2) {
        let (previous, found) = (pair[0].seq, pair[1].seq);
        if !found.is_after(previous) {
            return Err(Error::NotAscending { previous, found });
        }
    }
    Ok(())
}

/// Whether `entry` is the next one in the chain that ends with `previous`.
fn follows<E>(previous: SeqNum, local_only: bool, entry: &Entry<E>) -> Result<(), Error> {
    let expected = previous.next(local_only)?;
    let parent = previous.parent_of_next(local_only);
    Error::unless_next(entry, expected, parent)
}

/// Local-only events that passed do not count in the head, so the next may begin anywhere behind it: the number
/// before `seq`, which is after `previous`, if that is on the same global.
fn passed_before(previous: SeqNum, seq: SeqNum) -> SeqNum {
    let later = seq.global == previous.global;
    if later { SeqNum::new(previous.global, seq.client - 1, previous.generation) } else { previous }
}
