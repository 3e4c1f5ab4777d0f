//! What each input must lead to, and what owners do.

use latchwork::log::{Log, MemoryEntry, Merged};
use latchwork::protocol::{Direction, Effects, Failure, Fate, Next, Protocol, Push};

use super::client::{Client, Core, NOW, Unresolved, World, bits, events, failures};
use super::log::{Event, Ledger};
use super::properties::{MOST_CALLS, Property};

type Entry = MemoryEntry<Event>;

impl Client {
    pub fn commit(&mut self, world: &mut World<'_>) {
        let event = self.event(self.committed);
        self.uncommitted -= 1;
        self.committed += 1;
        self.calls = [0; 2];
        let mut admitted = false;
        self.input(world, |protocol| {
            let sent = protocol.commit(vec![event]);
            admitted = sent.is_ok_and(|sent| sent == usize::from(!event.is_local_only()));
            Effects::default()
        });
        world.broken.unless(admitted, Property::CommitNeverWaits);
    }

    pub fn pause(&mut self, direction: Direction, world: &mut World<'_>) {
        self.paused[usize::from(direction == Direction::Pull)] = true;
        self.input(world, |protocol| protocol.pause(direction));
    }

    /// The owner's word: a wait that time would end is over.
    pub fn owner_says(&mut self, world: &mut World<'_>, says: impl FnOnce(&mut Core) -> Effects<Entry>) {
        self.calls = [0; 2];
        self.input(world, says);
    }

    /// Whether no backoff keeps the pusher from going on.
    pub fn has_looked(&self) -> bool {
        match self.protocol.push() {
            Push::Uncertain { until, .. } => *until == NOW,
            Push::Waiting { .. } | Push::Behind { .. } => false,
            _ => true,
        }
    }

    pub fn retry_now(&mut self, overrides: bool, world: &mut World<'_>) {
        if overrides {
            self.named = [false; 2];
        }
        self.owner_says(world, if overrides { Protocol::override_retry_after } else { Protocol::retry_now });
        let mut asked = self.protocol.clone();
        let push_rests = matches!(asked.next_push(NOW), Next::Wait { until: Some(_) });
        let pull_rests = matches!(asked.next_pull(NOW), Next::Wait { until: Some(_) });
        world.broken.unless(self.has_looked() && !(overrides && (push_rests || pull_rests)), Property::OwnerIsHeard);
    }

    pub fn restart(&mut self, world: &mut World<'_>) {
        self.halted = [false; 2];
        (self.refused, self.fits) = (None, None);
        self.push.iter_mut().for_each(|call| call.restarted = true);
        self.pull.iter_mut().for_each(|call| call.restarted = true);
        self.owner_says(world, Protocol::restart);
        world.broken.unless(self.has_looked() && self.protocol.failure().is_none(), Property::OwnerIsHeard);
    }

    /// Both calls end, however long upstream would have had them wait.
    pub fn reconnect(&mut self, world: &mut World<'_>) {
        self.ends_calls = true;
        self.owner_says(world, Protocol::reconnect);
        let ends = self.push.iter().all(|call| call.interrupted) && self.pull.iter().all(|call| call.interrupted);
        world.broken.unless(self.has_looked() && ends, Property::OwnerIsHeard);
    }

    /// What is pending is sent without waiting for more.
    pub fn hurry(&mut self, world: &mut World<'_>) {
        self.owner_says(world, |protocol| {
            protocol.hurry();
            Effects::default()
        });
        self.asleep = false;
        world.broken.unless(!self.lingers() || self.pending() == 0, Property::OwnerIsHeard);
    }

    /// The owner has the event that upstream refuses tried again.
    pub fn retry_rejected(&mut self, world: &mut World<'_>) {
        self.refused = None;
        self.owner_says(world, Protocol::retry_rejected);
        world.broken.unless(self.protocol.rejected().is_none(), Property::OwnerDecides);
    }

    /// The owner gives up this one of the events that are to be sent, or puts another in its place.
    pub fn decide(&mut self, index: usize, replaces: bool, world: &mut World<'_>) {
        let event = self.protocol.log().to_send()[index];
        // Whether it may have been taken, or may be yet, and the protocol knows.
        let is_out = self.push.iter().any(|call| events(&call.batch).any(|sent| sent == event));
        let is_open = self.unresolved.as_ref().is_some_and(|push| push.unsure || push.contains(event));
        let untold = self.untold() & bits([event]) != 0;
        let done = self.lets(index, replaces);
        world.broken.unless(done || is_out || is_open, Property::OwnerDecides);
        if done {
            self.replaced |= if replaces { bits([event]) } else { 0 };
            self.gone |= if untold { 0 } else { bits([event]) };
            self.misled |= untold;
        }
        self.owner_says(world, |protocol| {
            let effects = if replaces {
                protocol.replace(index, event.replacement()).map(|(_, effects)| effects).ok()
            } else {
                protocol.give_up(index..index + 1).map(|(_, effects)| effects).ok()
            };
            effects.unwrap_or_default()
        });
    }

    /// The owner puts in another log of the same upstream that goes on with what is pending: from where the old one is, or
    /// from where upstream is.
    pub fn reset_with(&mut self, snapshot: bool, world: &mut World<'_>) {
        let before = self.cursor();
        let cursor = if snapshot { before.max(world.upstream.shown) } else { before };
        let seen = &world.upstream.events[..cursor.min(world.upstream.events.len())];
        let pending = self.protocol.log().all().into_iter().filter(|event| !seen.contains(event));
        let log = Ledger::new(world.config.log, cursor as u64, pending.collect());
        let open = matches!(self.protocol.push(), Push::Sending { fate: Fate::Open, .. });
        let call = self.push.as_ref().filter(|call| open && !call.former);
        let in_flight = call.map(|call| Unresolved { under_way: true, ..Unresolved::new(&call.batch) });
        let (_former, effects) = self.protocol.reset_with(log);
        // No merge has told what another place of the log may have decided.
        let unsure = |push: Unresolved| Unresolved { begun: false, unsure: push.unsure || cursor > before, ..push };
        self.unresolved = self.unresolved.take().map(unsure);
        if let Some(push) = in_flight.map(unsure) {
            self.may_be_taken(push, world);
        }
        (self.refused, self.fits) = (None, None);
        (self.halted, self.calls, self.asleep) = ([false; 2], [0; 2], false);
        self.push.iter_mut().for_each(|call| call.former = true);
        self.pull.iter_mut().for_each(|call| call.former = true);
        self.untold &= bits(self.protocol.log().all());
        self.carry_out(&effects, world);
    }

    /// The owner puts in another log: one that begins anew, with all events that are owed, or one without any from where the
    /// old one is.
    pub fn reset(&mut self, keeps: bool, world: &mut World<'_>) {
        let events = || (0..self.committed).map(|number| self.event(number));
        let log = if keeps {
            let owed = events().filter(|event| event.is_local_only() || self.owes(*event));
            Ledger::new(world.config.log, 0, owed.collect())
        } else {
            let cursor = self.cursor().min(world.upstream.events.len());
            let lost = events().filter(|&event| self.owes(event) && !world.upstream.events[..cursor].contains(&event));
            self.given_up |= bits(lost);
            Ledger::new(world.config.log, cursor as u64, Vec::new())
        };
        let (_former, effects) = self.protocol.reset(log);
        (self.unresolved, self.halted, self.calls, self.asleep) = (None, [false; 2], [0; 2], false);
        (self.refused, self.fits) = (None, None);
        self.push.iter_mut().for_each(|call| call.former = true);
        self.pull.iter_mut().for_each(|call| call.former = true);
        self.was_not_told(world);
        let idle = self.push.is_none() && self.pull.is_none() && self.named == [false; 2];
        // A journal has yet to be told of the new one.
        if self.disk.is_none() && idle && self.paused == [false; 2] && !self.protocol.is_stopped() {
            let anew = Protocol::new(self.protocol.log().clone(), *self.protocol.settings());
            world.broken.unless(anew.canonical() == self.protocol.canonical(), Property::FormerIsNothing);
        }
        self.carry_out(&effects, world);
    }

    /// Notes that a call has begun in this direction.
    pub fn counts_call(&mut self, direction: usize, world: &mut World<'_>) {
        if world.config.counts_calls() {
            self.calls[direction] += 1;
            world.broken.unless(self.calls[direction] <= MOST_CALLS[direction], Property::FewCalls);
        }
    }

    /// Gives the protocol an input, carries out what follows, and looks whether the log tells the truth. Returns whether it
    /// has lied.
    pub fn input(&mut self, world: &mut World<'_>, input: impl FnOnce(&mut Core) -> Effects<Entry>) -> bool {
        let before = self.protocol.log().clone();
        let failed = self.protocol.failure().is_some();
        // A direction that has failed shows its first failure.
        let had_failed = failures(&self.protocol).map(|failure| failure.is_some());
        let effects = input(&mut self.protocol);
        let lied = before.lie().is_some() && self.protocol.log().lie().is_none();
        let told = failed || self.told || lied;
        world.broken.unless(told || self.protocol.failure().is_none(), Property::FailsOnlyWhenTold);
        (self.asleep, self.told) = (false, false);
        let pending = self.protocol.log().all();
        self.refused = self.refused.filter(|event| pending.contains(event));
        let cursor = self.cursor();
        self.unresolved = self.unresolved.take().filter(|push| push.is_open(cursor, world.upstream));
        if effects.merged.is_some() {
            self.calls = [0; 2];
        }
        if lied {
            let breach = |failure: Option<&Failure>| matches!(failure, Some(Failure::Contract { .. }));
            let failed = failures(&self.protocol).map(breach);
            world.broken.unless([failed, had_failed].concat().contains(&true), Property::FailureIsSeen);
            // Where it stands is not known.
            self.refused = self.refused.filter(|_| self.protocol.rejected().is_some());
            (0..2).for_each(|direction| self.halted[direction] |= failed[direction]);
            let gone = before.all().into_iter().filter(|event| !self.protocol.log().all().contains(event));
            let unseen = gone.filter(|&event| !world.upstream.has_had_among_the_first(self.cursor(), event));
            self.given_up |= bits(unseen);
        } else {
            self.tells_the_truth(&before, effects.merged.as_ref(), world);
        }
        self.carry_out(&effects, world);
        self.untold &= bits(self.protocol.log().all());
        lied
    }

    /// What upstream has ahead, and what is in flight, is none of this protocol's calls.
    pub fn was_not_told(&mut self, world: &World<'_>) {
        let ahead = bits(self.ahead(self.cursor(), world.upstream));
        self.untold = ahead | bits(self.push.iter().flat_map(|call| events(&call.batch)));
    }

    /// Whether what a merge is said to have done is what it has done, and what upstream says.
    fn tells_the_truth(&mut self, before: &Ledger, merged: Option<&Merged<Entry>>, world: &mut World<'_>) {
        let (cursor, after) = (before.upstream_head() as usize, self.cursor());
        let upstream = &*world.upstream;
        if let Some(merged) = merged {
            let (Merged::Advance { new, confirmed } | Merged::Rebase { new, confirmed, .. }) = merged;
            let sent = confirmed.iter().filter(|entry| !entry.event.is_local_only()).count();
            let is_upstreams = |entry: &Entry| {
                let place = usize::try_from(entry.position).expect("few events");
                (cursor + 1..=after).contains(&place) && upstream.has_had(place - 1, entry.event)
            };
            let acknowledged = confirmed.iter().all(|entry| entry.event.is_local_only() || is_upstreams(entry));
            world.broken.unless(acknowledged, Property::OnlyAcknowledged);
            let moved = cursor + new.len() + sent == after && new.iter().all(is_upstreams);
            world.broken.unless(moved, Property::CursorIsApplied);
            // Of each kind, in order: what was pending has been confirmed, given up, or is pending.
            let (pending, now) = (before.all(), self.protocol.log().all());
            let confirmed: Vec<_> = confirmed.iter().map(|entry| entry.event).collect();
            let mut accounted = true;
            for local_only in [false, true] {
                let of = |events: &[Event]| -> Vec<_> {
                    events.iter().copied().filter(|event| event.is_local_only() == local_only).collect()
                };
                let Some(kept) = of(&pending).strip_prefix(&of(&confirmed)[..]).map(<[_]>::to_vec) else {
                    accounted = false;
                    continue;
                };
                let is_dropped = |index: &usize| !local_only && merged.dropped().contains(index);
                let (dropped, kept): (Vec<_>, Vec<_>) = (0..).zip(kept).partition(|(index, _)| is_dropped(index));
                self.given_up |= bits(dropped.into_iter().map(|(_, event)| event));
                accounted &= kept.into_iter().map(|(_, event)| self.event(event.place())).eq(of(&now));
            }
            let apart = new.iter().all(|entry| !pending.contains(&entry.event));
            world.broken.unless(accounted && apart, Property::SettlesOnce);
        } else {
            world.broken.unless(cursor == after, Property::CursorIsApplied);
        }
        let pending = self.protocol.log().all().into_iter().filter(|event| !event.is_local_only());
        world.broken.unless(pending.eq(self.rest(upstream)), Property::SettlesOnce);
    }

    fn carry_out(&mut self, effects: &Effects<Entry>, world: &mut World<'_>) {
        if effects.interrupt_push {
            let decided = matches!(self.protocol.push(), Push::Sending { fate: Fate::Overtaken | Fate::Confirmed, .. });
            let asked = self.ends_calls || self.protocol.is_stopped();
            world.broken.unless(decided || asked, Property::OnlyTheLostAreInterrupted);
            self.push.iter_mut().for_each(|call| call.interrupted = true);
        }
        if effects.interrupt_pull {
            self.pull.iter_mut().for_each(|call| call.interrupted = true);
        }
        self.ends_calls = false;
    }
}
