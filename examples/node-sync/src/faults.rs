//! An upstream at which things go wrong, as often as it is told to.
//!
//! Whether the tenth push of a client goes wrong, and how, follows from the seed, the client and the number ten. So one
//! seed has the same faults each time; what they meet is up to the threads.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use latchwork::Interrupt;
use latchwork::log::Log;
use latchwork::upstream::{Batch, More, Page, PullError, PushError, SharedError, Upstream};
use serde::{Deserialize, Serialize};

use crate::chance;
use crate::event::Entry;
use crate::job::{Job, Share};

/// The longest delay that [`Fault::Delay`] makes.
pub const LONGEST_DELAY: Duration = Duration::from_millis(15);

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
}

/// How often each goes wrong: parts of 1, from 0 to [`Faults::MOST`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Faults(BTreeMap<Fault, f64>);

/// How often each has gone wrong.
#[derive(Debug, Default)]
pub struct Injected([AtomicU64; Fault::ALL.len()]);

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Reject, Self::Disconnect, Self::LoseAnswer, Self::LoseEcho, Self::Delay, Self::Duplicate, Self::End];

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
        for (name, what) in Fault::ALL.map(Fault::described).into_iter().chain([("all", "each of them")]) {
            help += &format!("\n  {name:<12} {what}");
        }
        help
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
                None if name == "all" => faults.extend(Fault::ALL.map(|fault| (fault, probability))),
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
    faults: Faults,
    seed: u64,
    client: String,
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
        let (faults, client) = (job.faults.clone(), share.client.clone());
        Self { upstream, faults, seed, client, pushes: AtomicU64::new(0), pages: AtomicU64::new(0), injected }
    }

    /// Whether this goes wrong now.
    fn strikes(&self, call: Call, fault: Fault) -> bool {
        let probability = self.faults.0.get(&fault).copied().unwrap_or(0.0);
        let strikes = chance::part(self.seed, &call.numbers(fault, 0)) < probability;
        self.injected.0[fault as usize].fetch_add(u64::from(strikes), Ordering::Relaxed);
        strikes
    }

    /// Goes on after a while; `Err` if it is to end instead.
    fn delay(&self, call: Call, interrupt: &Interrupt) -> Result<(), latchwork::Interrupted> {
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
        let mut died = |error: SharedError| {
            self.ended = true;
            Some(Err(PullError::Unavailable { retry_after: None, error }))
        };
        if faulty.strikes(call, Fault::Disconnect) {
            return died("the connection died".into());
        }
        if faulty.strikes(call, Fault::Delay) {
            if let Err(interrupted) = faulty.delay(call, self.interrupt) {
                return died(interrupted.into());
            }
        }
        if self.caught_up && faulty.strikes(call, Fault::End) {
            self.ended = true;
            return None;
        }
        let own = |entry: &Entry| entry.event.client == faulty.client;
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
