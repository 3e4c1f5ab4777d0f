//! Upstream: what it has ordered, what it shows, and what it answers.

use latchwork::log::MemoryEntry;
use latchwork::upstream::Batch;

use super::calls::Answer;
use super::log::{Event, Ledger};
use super::model::Config;

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// What it has ordered.
    pub events: Vec<Event>,
    /// How many of them a pull is given: fewer than all while the replica lags that answers pulls.
    pub shown: usize,
    /// What it had when it went back.
    lost: Vec<Event>,
}

impl Upstream {
    pub fn head(&self) -> u64 {
        self.events.len() as u64
    }

    /// The last event that it has ever had.
    pub fn greatest_head(&self) -> u64 {
        self.events.len().max(self.lost.len()) as u64
    }

    /// Whether this event stands at this place, or stood there before upstream went back.
    pub fn has_had(&self, place: usize, event: Event) -> bool {
        [&self.events, &self.lost].into_iter().any(|events| events.get(place) == Some(&event))
    }

    /// Whether this event is one of the first, or was before upstream went back.
    pub fn has_had_among_the_first(&self, count: usize, event: Event) -> bool {
        [&self.events, &self.lost].into_iter().any(|events| events.iter().take(count).any(|&had| had == event))
    }

    /// The entries from one place up to another.
    pub fn entries(&self, from: usize, to: usize) -> Vec<MemoryEntry<Event>> {
        let numbered = (1..).zip(&self.events).map(|(position, &event)| MemoryEntry { position, event });
        numbered.take(to).skip(from).collect()
    }

    /// It gets a batch.
    pub fn take(&mut self, batch: &Batch<Ledger>, config: &Config) -> Answer {
        let events = batch.entries.iter().map(|entry| entry.event);
        if events.len() > config.takes {
            return Answer::TooLarge;
        }
        let places = usize::try_from(batch.base).expect("few events")..;
        if config.idempotent && places.zip(events.clone()).all(|(place, event)| self.events.get(place) == Some(&event))
        {
            return Answer::Taken;
        }
        if batch.base != self.head() && !config.takes_anything {
            return Answer::Behind(config.tells_head.then_some(self.head()));
        }
        if let Some(index) = events.clone().position(|event| config.refuses(event)) {
            return Answer::Rejected(index);
        }
        self.events.extend(events);
        if !config.lags {
            self.replicate();
        }
        Answer::Taken
    }

    /// Whether there is something that pulls are not given yet.
    pub fn can_replicate(&self) -> bool {
        self.shown < self.events.len()
    }

    /// Pulls are given all that there is.
    pub fn replicate(&mut self) {
        self.shown = self.events.len();
    }

    pub fn can_go_back(&self) -> bool {
        self.lost.is_empty() && !self.events.is_empty()
    }

    /// It is restored from a backup that lacks the last event.
    pub fn go_back(&mut self) {
        self.lost.clone_from(&self.events);
        self.events.pop();
        self.replicate();
    }
}
