//! An upstream at which things go wrong, as often as it is told to.
//!
//! Whether the tenth push of a client goes wrong, and how, follows from the seed, the client and the number ten. So one
//! seed has the same faults each time; what they meet is up to the threads. Which events are [refused](Fault::Refuse) is up to
//! nothing: it follows from the seed, the author and the event's number, so all know how many there will be.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use latchwork::log::Log;
use latchwork::upstream::{Batch, FatalKind, More, Page, PullError, PushError, SharedError, Upstream};
use latchwork::{Interrupt, Interrupted};
use serde::{Deserialize, Serialize};

use crate::chance;
use crate::event::Entry;
use crate::job::{Job, Share};

/// The longest delay that [`Fault::Delay`] makes, and for how long [`Fault::Busy`] asks.
pub const LONGEST_DELAY: Duration = Duration::from_millis(15);

/// A push of more events may be [too large](Fault::TooLarge).
pub const LARGE: usize = 10;

/// What upstream says that has no time.
const BUSY: &str = "too many requests";

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A push is refused as behind, although it is not.
    Reject,
    /// The connection dies before a push is applied, or before a page is given out.
    Disconnect,
    /// A push is applied, and the connection dies before the answer.
    LoseAnswer,
    /// A pull that has caught up is not told of the client's own events.
    LoseEcho,
    /// A push or a page takes longer, up to [`LONGEST_DELAY`].
    Delay,
    /// A page is given out twice.
    Duplicate,
    /// A pull that has caught up ends.
    End,
    /// Upstream asks not to be tried again for [`LONGEST_DELAY`].
    Busy,
    /// A push of more than [`LARGE`] events is too large.
    TooLarge,
    /// A todo is refused for good, each time that it is sent: of all events, not of all pushes, so many.
    Refuse,
    /// Nothing comes of a push or a pull until it is interrupted.
    Hang,
    /// Upstream refuses the client.
    Deny,
    /// Upstream says that it has lost events.
    GoBack,
}

/// How often each goes wrong: parts of 1, from 0 to [`Faults::MOST`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Faults(BTreeMap<Fault, f64>);

/// How often each has gone wrong.
#[derive(Debug, Default)]
pub struct Injected([AtomicU64; Fault::ALL.len()]);

impl Fault {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Reject,
        Self::Disconnect,
        Self::LoseAnswer,
        Self::LoseEcho,
        Self::Delay,
        Self::Duplicate,
        Self::End,
        Self::Busy,
        Self::TooLarge,
        Self::Refuse,
        Self::Hang,
        Self::Deny,
        Self::GoBack,
    ];

    /// Whether `all` means it too: it takes no long time and does not end the run.
    const fn is_in_all(self) -> bool {
        !matches!(self, Self::Hang | Self::Deny | Self::GoBack)
    }

    /// As it is called in options.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.described().0
    }

    /// Its name, and what it is.
    const fn described(self) -> (&'static str, &'static str) {
        match self {
            Self::Reject => ("reject", "a push is refused as behind, although it is not"),
            Self::Disconnect => ("disconnect", "the connection dies before a push is applied or a page is given out"),
            Self::LoseAnswer => ("lose-answer", "a push is applied, and the connection dies before the answer"),
            Self::LoseEcho => ("lose-echo", "a live pull does not tell a client of its own events"),
            Self::Delay => ("delay", "a push or a page takes up to 15 ms longer"),
            Self::Duplicate => ("duplicate", "a page is given out twice"),
            Self::End => ("end", "a live pull ends"),
            Self::Busy => ("busy", "upstream asks not to be tried again for 15 ms"),
            Self::TooLarge => ("too-large", "a push of more than 10 events is too large: smaller ones follow"),
            Self::Refuse => ("refuse", "a todo is refused for good: its client gives it up, and the rest arrives"),
            Self::Hang => ("hang", "a push or a pull never answers: it is ended after --patience"),
            Self::Deny => ("deny", "upstream refuses the client: a sentence says so, and the run ends"),
            Self::GoBack => ("go-back", "upstream has lost events: a sentence says so, and the run ends"),
        }
    }
}

impl Faults {
    /// With more than this, too little would arrive.
    pub const MOST: f64 = 0.9;

    /// How they are written, for people.
    #[must_use]
    pub fn help() -> String {
        let mut help = "What goes wrong, and how often: NAME=PROBABILITY,…\n".to_owned();
        let (each, others): (Vec<_>, Vec<_>) = Fault::ALL.into_iter().partition(|fault| fault.is_in_all());
        let [each, others] = [each, others].map(|faults| faults.into_iter().map(Fault::described));
        for (name, what) in each.chain([("all", "each of these")]).chain(others) {
            help += &format!("\n  {name:<12} {what}");
        }
        help
    }

    /// How often this is to go wrong.
    fn probability(&self, fault: Fault) -> f64 {
        self.0.get(&fault).copied().unwrap_or(0.0)
    }

    /// Whether any event may be refused for good.
    #[must_use]
    pub fn refuse_some(&self) -> bool {
        self.probability(Fault::Refuse) > 0.0
    }

    /// Whether upstream refuses the event of this number for good, of the author with this index.
    #[must_use]
    pub fn refuse(&self, seed: u64, author: usize, number: u64) -> bool {
        let probability = self.probability(Fault::Refuse);
        probability > 0.0 && chance::part(seed, &[author as u64, 2, number, Fault::Refuse as u64]) < probability
    }
}

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = BTreeMap::new();
        for part in text.split(',').filter(|_| text != "none") {
            let (name, probability) =
                part.split_once('=').ok_or_else(|| format!("{part:?} is not NAME=PROBABILITY"))?;
            let probability: f64 = probability.parse().map_err(|_| format!("{probability:?} is not a number"))?;
            if !(0.0..=Self::MOST).contains(&probability) {
                return Err(format!("a probability must be from 0 to {}, not {probability}", Self::MOST));
            }
            match Fault::ALL.into_iter().find(|fault| fault.name() == name) {
                Some(fault) => drop(faults.insert(fault, probability)),
                None if name == "all" => {
                    let each = Fault::ALL.into_iter().filter(|fault| fault.is_in_all());
                    faults.extend(each.map(|fault| (fault, probability)));
                }
                None => {
                    let names = Fault::ALL.map(Fault::name).join(", ");
                    return Err(format!("{name:?} is no fault: those are {names}, and all"));
                }
            }
        }
        Ok(Self(faults))
    }
}

impl Injected {
    /// How often each has gone wrong, without those that never did.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Fault, u64> {
        let counts = Fault::ALL.into_iter().zip(self.0.iter().map(|count| count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

/// An upstream with faults, as one client sees it.
#[derive(Debug)]
pub struct Faulty<U> {
    upstream: U,
    job: Job,
    share: Share,
    /// Chooses this client's faults.
    seed: u64,
    pushes: AtomicU64,
    pages: AtomicU64,
    injected: Arc<Injected>,
}

/// What the faults of one call are chosen by.
#[derive(Clone, Copy)]
enum Call {
    Push(u64),
    Page(u64),
}

impl Call {
    fn numbers(self, fault: Fault, more: u64) -> [u64; 4] {
        match self {
            Self::Push(number) => [0, number, fault as u64, more],
            Self::Page(number) => [1, number, fault as u64, more],
        }
    }
}

impl<U> Faulty<U> {
    /// The upstream with the job's faults, as the client with this share meets them.
    pub fn new(upstream: U, job: &Job, share: &Share, injected: Arc<Injected>) -> Self {
        let seed = chance::mix(job.seed, &[share.index as u64]);
        let (job, share) = (job.clone(), share.clone());
        Self { upstream, job, share, seed, pushes: AtomicU64::new(0), pages: AtomicU64::new(0), injected }
    }

    /// Whether this goes wrong now.
    fn strikes(&self, call: Call, fault: Fault) -> bool {
        let strikes = chance::part(self.seed, &call.numbers(fault, 0)) < self.job.faults.probability(fault);
        self.struck(fault, strikes)
    }

    fn struck(&self, fault: Fault, strikes: bool) -> bool {
        self.injected.0[fault as usize].fetch_add(u64::from(strikes), Ordering::Relaxed);
        strikes
    }

    /// Whether upstream has nothing more to do with this client, and why.
    fn ends(&self, call: Call) -> Option<(FatalKind, SharedError)> {
        if self.strikes(call, Fault::Deny) {
            return Some((FatalKind::Other, "the client is not allowed".into()));
        }
        self.strikes(call, Fault::GoBack).then(|| (FatalKind::WentBack, "it was restored from a backup".into()))
    }

    /// The first of these events that upstream refuses for good.
    fn refused(&self, entries: &[Entry]) -> Option<usize> {
        let refused = |entry: &Entry| self.share.is_refused(&self.job, entry.event.number);
        let index = entries.iter().position(refused);
        self.struck(Fault::Refuse, index.is_some());
        index
    }

    /// Goes on after a while; `Err` if it is to end instead.
    fn delay(&self, call: Call, interrupt: &Interrupt) -> Result<(), Interrupted> {
        let part = chance::part(self.seed, &call.numbers(Fault::Delay, 1));
        interrupt.sleep(LONGEST_DELAY.mul_f64(part))
    }
}

impl<L, U> Upstream<L> for Faulty<U>
where
    L: Log<Entry = Entry>,
    U: Upstream<L>,
{
    fn push(&self, batch: &Batch<L>, interrupt: &Interrupt) -> Result<(), PushError<L::Position>> {
        let call = Call::Push(self.pushes.fetch_add(1, Ordering::Relaxed));
        if self.strikes(call, Fault::Reject) {
            return Err(PushError::Behind { head: None });
        }
        if self.strikes(call, Fault::Disconnect) {
            return Err(PushError::Unavailable { retry_after: None, error: "the connection died".into() });
        }
        if self.strikes(call, Fault::Delay) {
            let unsent =
                |interrupted| PushError::Unavailable { retry_after: None, error: SharedError::from(interrupted) };
            self.delay(call, interrupt).map_err(unsent)?;
        }
        if self.strikes(call, Fault::Busy) {
            return Err(PushError::Unavailable { retry_after: Some(LONGEST_DELAY), error: BUSY.into() });
        }
        if batch.entries.len() > LARGE && self.strikes(call, Fault::TooLarge) {
            return Err(PushError::TooLarge { error: format!("it has more than {LARGE} events").into() });
        }
        if self.strikes(call, Fault::Hang) {
            let cause = interrupt.wait();
            return Err(PushError::Uncertain { error: Interrupted { cause }.into() });
        }
        if let Some((kind, error)) = self.ends(call) {
            return Err(PushError::Fatal { kind, error });
        }
        if let Some(index) = self.refused(&batch.entries) {
            return Err(PushError::Rejected { index, error: "it is not allowed".into() });
        }
        self.upstream.push(batch, interrupt)?;
        if self.strikes(call, Fault::LoseAnswer) {
            return Err(PushError::Uncertain { error: "the connection died before the answer came".into() });
        }
        Ok(())
    }

    fn pull<'a>(
        &'a self,
        cursor: L::Position,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<Entry>, PullError>> + 'a {
        let pages = self.upstream.pull(cursor, interrupt);
        FaultyPages { faulty: self, pages, interrupt, caught_up: false, again: None, ended: false }
    }
}

struct FaultyPages<'a, U, I> {
    faulty: &'a Faulty<U>,
    pages: I,
    interrupt: &'a Interrupt,
    /// Whether a page has said that there is no more.
    caught_up: bool,
    /// A page to be given out a second time.
    again: Option<Page<Entry>>,
    ended: bool,
}

impl<U, I: Iterator<Item = Result<Page<Entry>, PullError>>> Iterator for FaultyPages<'_, U, I> {
    type Item = Result<Page<Entry>, PullError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(page) = self.again.take() {
            return Some(Ok(page));
        }
        if self.ended {
            return None;
        }
        let mut page = match self.pages.next()? {
            Ok(page) => page,
            error => return Some(error),
        };
        let faulty = self.faulty;
        let call = Call::Page(faulty.pages.fetch_add(1, Ordering::Relaxed));
        let mut fails = |error| {
            self.ended = true;
            Some(Err(error))
        };
        let died = |error: SharedError| PullError::Unavailable { retry_after: None, error };
        if faulty.strikes(call, Fault::Disconnect) {
            return fails(died("the connection died".into()));
        }
        let delayed = if faulty.strikes(call, Fault::Delay) { faulty.delay(call, self.interrupt) } else { Ok(()) };
        if let Err(interrupted) = delayed {
            return fails(died(interrupted.into()));
        }
        if faulty.strikes(call, Fault::Busy) {
            return fails(PullError::Unavailable { retry_after: Some(LONGEST_DELAY), error: BUSY.into() });
        }
        if faulty.strikes(call, Fault::Hang) {
            let cause = self.interrupt.wait();
            return fails(died(Interrupted { cause }.into()));
        }
        if let Some((kind, error)) = faulty.ends(call) {
            return fails(PullError::Fatal { kind, error });
        }
        if self.caught_up && faulty.strikes(call, Fault::End) {
            self.ended = true;
            return None;
        }
        let own = |entry: &Entry| entry.event.client == faulty.share.client;
        if self.caught_up && page.entries.iter().any(own) && faulty.strikes(call, Fault::LoseEcho) {
            page.entries.retain(|entry| !own(entry));
        }
        if faulty.strikes(call, Fault::Duplicate) {
            self.again = Some(page.clone());
        }
        self.caught_up |= page.more == More::None;
        Some(Ok(page))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
