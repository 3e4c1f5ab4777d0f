//! A client's journal, and what a crash leaves.
//!
//! A write is torn: its changes get to the disk one by one, each as a step, although a journal writes them as one. So a crash,
//! or a write that fails, keeps any first part of them, and what holds here holds for a journal that is worse than it may be.

use std::hash::{Hash, Hasher};

use latchwork::journal::{Change, Changed, Recovered};
use latchwork::log::{MemoryEntry, Merged};
use latchwork::protocol::{Effects, Failure, Next, Protocol};

use super::client::{Client, LATER, Step, World, events};
use super::log::{Event, Ledger};
use super::model::Config;
use super::properties::Property;

type Entry = MemoryEntry<Event>;

#[derive(Debug, Clone)]
pub struct Disk {
    held: Recovered<Entry, u64>,
    /// The write under way.
    writing: Vec<Change<Entry, u64>>,
    /// The last change that the client takes for written. What is held beyond is told again.
    known: u64,
    /// The commits before which the write under way began, a bit for each.
    taken: u16,
    /// Those that have been reported to be durable.
    durable: u16,
}

impl Disk {
    pub fn new() -> Self {
        Self { held: Recovered::new(0), writing: Vec::new(), known: 0, taken: 0, durable: 0 }
    }

    /// What is to be written next.
    fn next(&self) -> Option<&Change<Entry, u64>> {
        self.writing.iter().find(|change| change.number > self.held.changes)
    }

    fn holds(&self, event: Event) -> bool {
        self.held.pending.iter().any(|entry| entry.event == event)
    }

    /// Writes the next change of those that are being written.
    fn write_one(&mut self, world: &mut World<'_>) {
        let Some(change) = self.next().cloned() else { return };
        let (from, to) = (self.held.cursor, change.cursor);
        let comes_whole = match &change.what {
            Changed::Merged(Merged::Advance { new, confirmed } | Merged::Rebase { new, confirmed, .. }) => {
                let mut page = new.iter().chain(confirmed).filter(|entry| !entry.event.is_local_only());
                page.clone().count() as u64 == to - from
                    && page.all(|entry| {
                        let place = entry.position as usize - 1;
                        (from..to).contains(&(place as u64)) && world.upstream.has_had(place, entry.event)
                    })
            }
            Changed::Reset { .. } => true,
            _ => from == to,
        };
        let fits = self.held.apply(&change, |entry| !entry.event.is_local_only()).is_ok();
        world.broken.unless(comes_whole && fits, Property::CursorWithItsPage);
    }
}

/// Numbers of changes only grow, and nothing depends on them but what is told again.
impl Hash for Disk {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.held.cursor, &self.held.pending, self.held.changes - self.known).hash(hasher);
        self.writing.iter().for_each(|change| (&change.what, change.cursor).hash(hasher));
        (self.writing.len(), self.taken, self.durable).hash(hasher);
    }
}

impl Client {
    /// Whether a write is under way.
    pub fn is_writing(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| !disk.writing.is_empty())
    }

    /// Whether no change has to be durable before the next call.
    pub fn is_written(&self) -> bool {
        self.protocol.unwritten() == 0 && self.protocol.journal_failure().is_none()
    }

    pub fn writer_steps(&self, steps: &mut Vec<Step>) {
        let Some(disk) = &self.disk else { return };
        if disk.next().is_some() {
            steps.push(Step::Write);
        } else if self.is_writing() {
            steps.push(Step::EndWrite);
        } else if let Next::Do(_) = self.protocol.clone().next_write(LATER) {
            steps.push(Step::BeginWrite);
        }
    }

    /// What may wait for company has waited, or what it waits for has come.
    pub fn begin_write(&mut self) {
        let (Some(disk), Next::Do(changes)) = (&mut self.disk, self.protocol.next_write(LATER)) else {
            return;
        };
        (disk.writing, disk.taken) = (changes, (1 << self.committed) - 1);
    }

    pub fn write_one(&mut self, world: &mut World<'_>) {
        self.disk.iter_mut().for_each(|disk| disk.write_one(world));
    }

    pub fn end_write(&mut self, world: &mut World<'_>) {
        let Some(disk) = &mut self.disk else { return };
        (disk.known, disk.durable) = (disk.held.changes, disk.durable | disk.taken);
        disk.writing.clear();
        self.input(world, |protocol| {
            protocol.written();
            Effects::default()
        });
        self.holds_what_is_durable(world);
    }

    pub fn fail_write(&mut self, world: &mut World<'_>) {
        let Some(disk) = &mut self.disk else { return };
        let changes = std::mem::take(&mut disk.writing);
        self.told = true;
        let failure = Failure::Journal { error: "the disk is full".into() };
        self.input(world, |protocol| protocol.not_written(changes, failure));
        world.broken.unless(self.protocol.journal_failure().is_some(), Property::FailureIsSeen);
        self.holds_what_is_durable(world);
    }

    /// What is pending and counts as durable is on the disk.
    fn holds_what_is_durable(&self, world: &mut World<'_>) {
        let Some(disk) = &self.disk else { return };
        let durable = self.protocol.log().to_send().into_iter().take(self.protocol.durable());
        world.broken.unless(durable.into_iter().all(|event| disk.holds(event)), Property::DurableIsHeld);
    }

    /// A push begins: a crash takes nothing of it back.
    pub fn sends_what_is_durable(&self, sent: impl Iterator<Item = Event>, world: &mut World<'_>) {
        let Some(disk) = &self.disk else { return };
        world.broken.unless(sent.into_iter().all(|event| disk.holds(event)), Property::SentIsHeld);
    }

    /// A pull begins: upstream may forget what stands before.
    pub fn pulls_from_what_is_durable(&self, cursor: u64, world: &mut World<'_>) {
        let Some(disk) = &self.disk else { return };
        world.broken.unless(cursor <= disk.held.cursor, Property::SentIsHeld);
    }

    /// The protocol of the next process, from what a crash leaves.
    pub fn recover(&mut self, config: &Config, world: &mut World<'_>) -> Protocol<Ledger> {
        let settings = *self.protocol.settings();
        let Some(disk) = &mut self.disk else { return Protocol::new(self.protocol.log().clone(), settings) };
        let (cursor, pending) =
            (disk.held.cursor, disk.held.pending.iter().map(|entry| entry.event).collect::<Vec<_>>());
        let durable = disk.durable;
        **disk = Disk { held: Recovered::with_pending(cursor, disk.held.pending.clone()), durable, ..Disk::new() };
        for place in 0..self.committed {
            let is_at_this = |event: &Event| event.author() == self.id && event.place() == place;
            if let Some(&event) = pending.iter().find(|event| is_at_this(event)) {
                // What the owner or a log has made of it was not durable.
                let either = bits_of(place);
                (self.given_up, self.gone) = (self.given_up & !either, self.gone & !either);
                self.replaced = self.replaced & !(1 << place) | u16::from(event.is_replacement()) << place;
                continue;
            }
            let event = self.event(place);
            let seen = world.upstream.events.iter().take(cursor as usize).any(is_at_this);
            if seen || !self.owes(event) {
                continue;
            }
            world.broken.unless(durable >> place & 1 == 0, Property::DurableIsHeld);
            let late = self.late.iter().any(|batch| events(batch).any(|event| is_at_this(&event)));
            world.broken.unless(!late && !world.upstream.events.iter().any(is_at_this), Property::SentIsHeld);
            self.given_up |= 1 << event.number();
        }
        Protocol::new(Ledger::new(config.log, cursor, pending), settings)
    }
}

/// The bits of what was committed at this place, and of what stands in its place.
fn bits_of(place: usize) -> u16 {
    1 << place | 1 << (place + 8)
}
