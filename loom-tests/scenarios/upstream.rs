//! The model of an upstream: a log behind a lock, and a script of what its answers are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::latchwork;
use latchwork::Interrupt;
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::protocol::Direction;
use latchwork::sync::model::{end_time, say, waits};
use latchwork::upstream::{Batch, FatalKind, More, Page, PullError, PushError, Upstream};
use loom::sync::{Mutex, MutexGuard};

use super::thread::Signal;
pub use tasks::ForTasks;

mod tasks;

pub type Event = &'static str;

/// What becomes of a push. A script lists those of the first pushes; after it, upstream answers as it should, or as it is
/// [told](Scripted::answering).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// As it should: taken if the batch follows, or else behind.
    Honest,
    /// Not taken: "behind", though it follows.
    Behind,
    /// Not taken, for certain.
    Unavailable,
    /// Taken, but the answer is lost.
    AckLost,
    /// Not taken, and the answer is lost.
    PushLost,
    /// Taken, and yet the answer is "behind".
    LateBehind,
    /// Refused for good.
    Fatal,
    /// Not taken if this event is in it, which is refused for good; or else as it should.
    Rejected(Event),
    /// Too large if it is of more than one event; or else as it should.
    TooLarge,
    /// Taken, and no answer, until the push is asked to end.
    Hangs,
}

/// What becomes of a pull, after the script: everything there is, then a wait for the interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feed {
    /// A page with all there is, and the pull ends.
    Page,
    /// A page with all there is, then the pull stays open and gives out nothing more.
    PageThenSilence,
    /// As `PageThenSilence`, but it ends when it is interrupted. (The others end with the model, or all of them if the
    /// upstream is [heedful](Scripted::heedful): to wait for an interrupt takes more steps.)
    Heedful,
    /// Nothing, and the pull stays open.
    Silence,
    /// Another client's event arrives at upstream this moment: a page that says nothing of whether there is more, and the
    /// pull stays open.
    Foreign(Event),
    /// The same, and the page says that there is no more.
    News(Event),
    /// Another client's event arrives at upstream this moment; then as `Page`.
    ForeignPage(Event),
    /// As `Page`, but the connection dies where the pull would have ended.
    PageThenUnavailable,
    /// It could not be reached.
    Unavailable,
}

/// Clones are the same upstream.
#[derive(Clone)]
pub struct Scripted {
    /// Everything that it has taken.
    log: Arc<Mutex<Vec<Event>>>,
    /// The model is over.
    closed: Arc<Signal>,
    /// What was held is let go, and nothing is held any more.
    released: Arc<Signal>,
    answers: &'static [Answer],
    feeds: &'static [Feed],
    /// What follows the script of pushes.
    answer: Answer,
    /// What follows the script of pulls.
    then: Feed,
    /// Whether a batch is taken whatever it follows.
    unchecked: bool,
    /// The first push and the first pull that is held before it does anything.
    hold: [usize; 2],
    /// Whether every pull that stays open ends when it is interrupted.
    heedful: bool,
    /// Whether time ends as soon as a pull has given out everything.
    ends_time: bool,
    /// How many pushes and pulls there were. Touched by one thread each: no step of the model.
    calls: Arc<[AtomicUsize; 2]>,
    /// How many pushes were interrupted before upstream got them.
    interrupted: Arc<AtomicUsize>,
}

impl Scripted {
    pub fn new(answers: &'static [Answer], feeds: &'static [Feed], then: Feed) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let (closed, released, calls, interrupted) = Default::default();
        let (unchecked, heedful, ends_time, hold) = (false, false, false, [usize::MAX; 2]);
        let answer = Answer::Honest;
        Self {
            log,
            closed,
            released,
            answers,
            feeds,
            answer,
            then,
            unchecked,
            heedful,
            ends_time,
            hold,
            calls,
            interrupted,
        }
    }

    /// Answers so after the script of pushes.
    pub fn answering(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }

    /// Every pull that stays open ends when it is interrupted.
    pub fn heedful(mut self) -> Self {
        self.heedful = true;
        self
    }

    /// Time ends as soon as a pull has given out everything.
    pub fn ending_time(mut self) -> Self {
        self.ends_time = true;
        self
    }

    /// Holds each push and each pull from these on, before it does anything, until [`release`](Self::release).
    pub fn holding(mut self, push: usize, pull: usize) -> Self {
        self.hold = [push, pull];
        self
    }

    /// Lets go whatever is held.
    pub fn release(&self) {
        self.released.set();
    }

    fn count(&self, direction: Direction) -> usize {
        self.calls[direction as usize].fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a call, and holds it if it is to be.
    fn call(&self, direction: Direction) -> usize {
        let call = self.count(direction);
        if call >= self.hold[direction as usize] {
            self.released.wait();
        }
        call
    }

    /// Takes every batch, as backends do that know nothing of a log's numbers.
    pub fn unchecked(mut self) -> Self {
        self.unchecked = true;
        self
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.log.lock().unwrap()
    }

    /// The model is over: ends the pulls that stay open.
    pub fn close(&self) {
        self.closed.set();
    }

    /// Takes events that follow `base`.
    pub fn take(&self, base: u64, events: impl Iterator<Item = Event>) -> Result<(), PushError<u64>> {
        let mut log = self.lock();
        let head = log.len();
        if base != head as u64 && !self.unchecked {
            say(format_args!("upstream is at {head}: no batch that follows {base}"));
            return Err(PushError::Behind { head: None });
        }
        log.extend(events);
        say(format_args!("upstream takes it, and is at {}", log.len()));
        Ok(())
    }

    /// Everything it has taken.
    pub fn events(&self) -> Vec<Event> {
        self.lock().clone()
    }

    /// How many pushes were interrupted before upstream got them.
    pub fn interrupted_pushes(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.interrupted)
    }

    /// The pull itself, whatever the log.
    pub fn pull<'a>(
        &'a self,
        cursor: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<MemoryEntry<Event>>, PullError>> + 'a {
        let call = self.call(Direction::Pull);
        let feed = self.feed(call);
        let mut given = feed == Feed::Silence;
        std::iter::from_fn(move || {
            if given && self.ends_time {
                end_time();
            }
            if given && matches!(feed, Feed::Page | Feed::ForeignPage(_)) {
                return None;
            }
            if feed == Feed::Unavailable || given && feed == Feed::PageThenUnavailable {
                return Some(Err(unavailable()));
            }
            if given && (feed == Feed::Heedful || self.heedful) {
                interrupt.wait();
                return Some(Err(unavailable()));
            }
            if given {
                waits("upstream has nothing more");
                self.closed.wait();
                let error = "the model is over".into();
                return Some(Err(PullError::Fatal { kind: FatalKind::Other, error }));
            }
            given = true;
            Some(Ok(self.page(feed, cursor)))
        })
    }

    /// What becomes of this pull.
    fn feed(&self, call: usize) -> Feed {
        self.feeds.get(call).copied().unwrap_or(self.then)
    }

    /// A page with all there is, after what another client brings.
    fn page(&self, feed: Feed, cursor: u64) -> Page<MemoryEntry<Event>> {
        let mut log = self.lock();
        if let Feed::Foreign(event) | Feed::News(event) | Feed::ForeignPage(event) = feed {
            log.push(event);
            say(format_args!("{event:?} of another client is at upstream: {}", log.len()));
        }
        let more = if let Feed::Foreign(_) = feed { More::Unknown } else { More::None };
        Page { entries: Self::entries(&log, cursor), more }
    }

    fn entries(log: &[Event], cursor: u64) -> Vec<MemoryEntry<Event>> {
        let entries = (1..).zip(log.iter().copied()).skip(cursor as usize);
        entries.map(|(position, event)| MemoryEntry { position, event }).collect()
    }
}

fn unavailable() -> PullError {
    PullError::Unavailable { retry_after: None, error: "offline".into() }
}

impl Upstream<MemoryLog<Event>> for Scripted {
    fn push(&self, batch: &Batch<MemoryLog<Event>>, interrupt: &Interrupt) -> Result<(), PushError<u64>> {
        let call = self.call(Direction::Push);
        self.answer(call, batch, Some(interrupt))
    }

    fn pull<'a>(
        &'a self,
        cursor: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<MemoryEntry<Event>>, PullError>> + 'a {
        Scripted::pull(self, cursor, interrupt)
    }
}

impl Scripted {
    /// Whether this push hangs once it has been taken.
    fn hangs(&self, call: usize) -> bool {
        self.answers.get(call).copied().unwrap_or(self.answer) == Answer::Hangs
    }

    /// What becomes of this push.
    fn answer(
        &self,
        call: usize,
        batch: &Batch<MemoryLog<Event>>,
        interrupt: Option<&Interrupt>,
    ) -> Result<(), PushError<u64>> {
        let answer = self.answers.get(call).copied().unwrap_or(self.answer);
        let lost = || PushError::Uncertain { error: "the answer was lost".into() };
        match answer {
            Answer::Behind => return Err(PushError::Behind { head: None }),
            Answer::Unavailable => return Err(PushError::Unavailable { retry_after: None, error: "offline".into() }),
            Answer::PushLost => return Err(lost()),
            Answer::Fatal => return Err(PushError::Fatal { kind: FatalKind::Other, error: "no".into() }),
            Answer::Rejected(refused) => {
                if let Some(index) = batch.entries.iter().position(|entry| entry.event == refused) {
                    return Err(PushError::Rejected { index, error: "no".into() });
                }
            }
            Answer::TooLarge if batch.entries.len() > 1 => return Err(PushError::TooLarge { error: "no".into() }),
            Answer::Honest | Answer::AckLost | Answer::LateBehind | Answer::TooLarge | Answer::Hangs => {}
        }
        self.interrupted.fetch_add(usize::from(interrupt.is_some_and(Interrupt::is_set)), Ordering::Relaxed);
        self.take(batch.base, batch.entries.iter().map(|entry| entry.event))?;
        match answer {
            Answer::AckLost => Err(lost()),
            Answer::Hangs => {
                interrupt.map(Interrupt::wait);
                Err(lost())
            }
            Answer::LateBehind => Err(PushError::Behind { head: None }),
            _ => Ok(()),
        }
    }
}
