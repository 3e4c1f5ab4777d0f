//! Upstreams that each break a law, which is named.

use std::iter;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use latchwork::contract::Contract;
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{Batch, FatalKind, More, Page, PullError, PushError, Upstream};
use latchwork::{Epoch, Interrupt};

type Log = MemoryLog<u64>;
type Entry = MemoryEntry<u64>;

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bug {
    None,
    SwapsEvents,
    SaysFatalWhenBehind,
    TellsAnotherHead,
    AppendsAgain,
    LooksBeforeItLocks,
    CutsOffLargeBatches,
    SkipsRestOfBatch,
    WaitsWhenEmpty,
    DoesNotSayThatItHasAll,
    KnowsNoEnd,
    WaitsBehindItsEnd,
    TakesBehindItsEnd,
    ShowsPart,
    IsDeaf,
    EndsWhenCaughtUp,
    IgnoresInterruptOfPull,
    IgnoresDeadlineOfPull,
    StoresHalfWhenInterrupted,
    IgnoresInterruptOfPush,
    SaysUnavailableWhenInterrupted,
    ForgetsThePast,
    SharesWithAnother,
    TakesFromStrangers,
    TellsStrangersToTryLater,
    GivesToStrangers,
}

#[derive(Default)]
struct Server {
    events: Mutex<Vec<Entry>>,
    pushing: Mutex<()>,
    news: Epoch,
}

struct Client {
    server: Arc<Server>,
    bug: Bug,
    /// How many events there were as it came.
    before: usize,
    /// It belongs to another upstream.
    is_stranger: bool,
}

const A_WHILE: Duration = Duration::from_millis(1);

impl Client {
    fn new(server: Arc<Server>, bug: Bug) -> Self {
        let before = server.events.lock().unwrap().len();
        Self { server, bug, before, is_stranger: false }
    }

    fn append(&self, entries: &[Entry]) {
        self.server.events.lock().unwrap().extend_from_slice(entries);
        self.server.news.bump();
    }
}

impl Upstream<Log> for Client {
    fn push(&self, batch: &Batch<Log>, interrupt: &Interrupt) -> Result<(), PushError<u64>> {
        let unavailable = PushError::Unavailable { retry_after: None, error: "interrupted".into() };
        if interrupt.is_set() {
            match self.bug {
                Bug::SaysUnavailableWhenInterrupted => self.append(&batch.entries),
                Bug::IgnoresInterruptOfPush => loop {
                    thread::park();
                },
                _ => {}
            }
            return Err(unavailable);
        }
        if self.is_stranger && self.bug != Bug::TakesFromStrangers {
            return Err(PushError::Fatal { kind: FatalKind::IdentityMismatch, error: "another upstream".into() });
        }
        let server = &*self.server;
        let locked = server.pushing.lock().unwrap();
        let events = server.events.lock().unwrap();
        let head = events.len() as u64;
        let sent_again = events.ends_with(&batch.entries);
        drop(events);
        if batch.base > head && self.bug != Bug::TakesBehindItsEnd {
            return Err(PushError::Fatal { kind: FatalKind::WentBack, error: "it ends before".into() });
        }
        if batch.base < head && !(self.bug == Bug::AppendsAgain && sent_again) {
            return Err(match self.bug {
                Bug::SaysFatalWhenBehind => PushError::Fatal { kind: FatalKind::Other, error: "a conflict".into() },
                Bug::TellsAnotherHead => PushError::Behind { head: Some(head + 1) },
                _ => PushError::Behind { head: Some(head) },
            });
        }
        let mut entries = batch.entries.clone();
        match self.bug {
            Bug::LooksBeforeItLocks => {
                drop(locked);
                thread::sleep(A_WHILE);
            }
            Bug::SwapsEvents if batch.base == 1 && entries.len() == 3 => {
                let event = entries[0].event;
                entries[0].event = entries[1].event;
                entries[1].event = event;
            }
            Bug::CutsOffLargeBatches => entries.truncate(1000),
            Bug::ShowsPart => {
                let (first, rest) = entries.split_at(entries.len() / 2);
                self.append(first);
                thread::sleep(A_WHILE);
                self.append(rest);
                return Ok(());
            }
            Bug::StoresHalfWhenInterrupted if interrupt.sleep(A_WHILE).is_err() => {
                self.append(&entries[..entries.len() / 2]);
                return Err(PushError::Uncertain { error: "interrupted".into() });
            }
            _ => {}
        }
        self.append(&entries);
        Ok(())
    }

    fn pull<'a>(
        &'a self,
        mut cursor: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<Entry>, PullError>> + 'a {
        let (server, bug) = (&*self.server, self.bug);
        let mut caught_up = false;
        let mut ended = false;
        iter::from_fn(move || {
            loop {
                if ended {
                    return None;
                }
                if self.is_stranger && bug != Bug::GivesToStrangers {
                    ended = true;
                    let error = "another upstream".into();
                    return Some(Err(match bug {
                        Bug::TellsStrangersToTryLater => PullError::Unavailable { retry_after: None, error },
                        _ => PullError::Fatal { kind: FatalKind::IdentityMismatch, error },
                    }));
                }
                let seen = server.news.current();
                let events = server.events.lock().unwrap().clone();
                let head = events.len() as u64;
                if cursor > head && !matches!(bug, Bug::KnowsNoEnd | Bug::WaitsBehindItsEnd | Bug::TakesBehindItsEnd) {
                    ended = true;
                    return Some(Err(PullError::Fatal { kind: FatalKind::WentBack, error: "it ends before".into() }));
                }
                let forgotten = if bug == Bug::ForgetsThePast { self.before } else { 0 };
                let from = usize::try_from(cursor).unwrap().min(events.len()).max(forgotten);
                let mut entries = events[from..].to_vec();
                if bug == Bug::SkipsRestOfBatch && cursor == 5 && head == 8 {
                    entries = events[8..].to_vec();
                }
                let waits_behind = bug == Bug::WaitsBehindItsEnd && cursor > head;
                let waits = (bug == Bug::WaitsWhenEmpty && head == 0) || waits_behind;
                if !entries.is_empty() || !(caught_up || waits) {
                    cursor = entries.last().map_or(cursor, |entry| entry.position);
                    let two = head == 2 && events[1].event == 2;
                    let unknown = bug == Bug::DoesNotSayThatItHasAll && entries.is_empty() && two;
                    caught_up = true;
                    return Some(Ok(Page { entries, more: if unknown { More::Unknown } else { More::None } }));
                }
                match bug {
                    Bug::EndsWhenCaughtUp => return None,
                    Bug::IgnoresInterruptOfPull => server.news.past(seen).wait(),
                    Bug::IgnoresDeadlineOfPull => {
                        while server.news.current() == seen {
                            thread::sleep(A_WHILE);
                            if interrupt.is_set() && interrupt.deadline().is_none() {
                                return None;
                            }
                        }
                        continue;
                    }
                    Bug::IsDeaf => {
                        interrupt.triggered().wait();
                        return None;
                    }
                    _ => server.news.past(seen).wait_or(interrupt, None).ready()?,
                };
            }
        })
    }
}

/// The laws that an upstream with this bug breaks.
fn broken(bug: Bug) -> Vec<&'static str> {
    let last = Mutex::new(Weak::<Server>::new());
    let contract = Contract::new(Log::new, |number| number).within(Duration::from_secs(2));
    let laws = contract.upstream(|| {
        let mut last = last.lock().unwrap();
        // Calls of an earlier law may not have ended yet.
        let is_new = |server: &Arc<Server>| server.events.lock().unwrap().is_empty();
        let shared = last.upgrade().filter(|server| bug == Bug::SharesWithAnother && is_new(server));
        let server = shared.unwrap_or_default();
        *last = Arc::downgrade(&server);
        move || Client::new(Arc::clone(&server), bug)
    });
    let Err(broken) = laws else { return Vec::new() };
    println!("{bug:?}: {broken}\n");
    broken.laws().collect()
}

const TAKEN: &str = "a batch that follows is taken as it stands";
const BEHIND: &str = "a batch that does not follow is behind";
const ONCE: &str = "a batch that is sent again is there once";
const RIVALS: &str = "of clients that push at once one is taken";
const LARGE: &str = "a large batch is taken whole, or too large";
const CURSOR: &str = "a pull gives out what follows its cursor";
const CAUGHT_UP: &str = "a pull says that it has caught up";
const END: &str = "a cursor beyond the end is an error";
const WHOLE: &str = "a pull has caught up with whole batches alone";
const LIVE: &str = "an open pull gives out what comes later";
const PULL_ENDS: &str = "a pull that is given up ends";
const PUSH_ENDS: &str = "a push that is given up is there whole or not";
const KEPT: &str = "what was taken is there for later clients";
const APART: &str = "two upstreams have nothing in common";
const PUSH_SET: &str = "a push whose interrupt is set returns";
const PULL_SET: &str = "a pull whose interrupt is set ends";

/// Each with the laws that it breaks: most with one.
const BROKEN: &[(Bug, &[&str])] = &[
    (Bug::None, &[]),
    (Bug::SwapsEvents, &[TAKEN]),
    (Bug::SaysFatalWhenBehind, &[BEHIND, ONCE, RIVALS]),
    (Bug::TellsAnotherHead, &[BEHIND]),
    (Bug::AppendsAgain, &[ONCE]),
    (Bug::LooksBeforeItLocks, &[RIVALS]),
    (Bug::CutsOffLargeBatches, &[LARGE]),
    (Bug::SkipsRestOfBatch, &[CURSOR]),
    (Bug::WaitsWhenEmpty, &[CAUGHT_UP, END, KEPT, APART]),
    (Bug::DoesNotSayThatItHasAll, &[CAUGHT_UP]),
    (Bug::KnowsNoEnd, &[END]),
    (Bug::WaitsBehindItsEnd, &[END]),
    (Bug::TakesBehindItsEnd, &[END]),
    (Bug::ShowsPart, &[WHOLE, PUSH_ENDS]),
    (Bug::IsDeaf, &[LIVE]),
    (Bug::EndsWhenCaughtUp, &[LIVE]),
    (Bug::IgnoresInterruptOfPull, &[PULL_ENDS, PULL_SET]),
    (Bug::IgnoresDeadlineOfPull, &[PULL_SET]),
    (Bug::StoresHalfWhenInterrupted, &[PUSH_ENDS]),
    (Bug::IgnoresInterruptOfPush, &[PUSH_SET]),
    (Bug::SaysUnavailableWhenInterrupted, &[PUSH_SET]),
    (Bug::ForgetsThePast, &[CURSOR, KEPT]),
    (Bug::SharesWithAnother, &[APART]),
];

pub fn laws() -> Vec<&'static str> {
    BROKEN.iter().chain(BROKEN_FOR_STRANGERS).flat_map(|(_, laws)| *laws).copied().collect()
}

#[test]
fn upstream_names_the_law_that_is_broken() {
    let found: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = BROKEN.iter().map(|(bug, _)| scope.spawn(|| broken(*bug))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for ((bug, laws), mut found) in BROKEN.iter().zip(found) {
        // The adapter is one page ahead, so it may hang in any pull.
        found.retain(|law| *bug != Bug::IgnoresInterruptOfPull || laws.contains(law));
        assert_eq!(found, *laws, "{bug:?}");
    }
}

const STRANGER_PUSHES: &str = "a push to another upstream is fatal";
const STRANGER_PULLS: &str = "a pull from another upstream is fatal";

/// Of a client that belongs to another upstream.
const BROKEN_FOR_STRANGERS: &[(Bug, &[&str])] = &[
    (Bug::None, &[]),
    (Bug::TakesFromStrangers, &[STRANGER_PUSHES]),
    (Bug::TellsStrangersToTryLater, &[STRANGER_PULLS]),
    (Bug::GivesToStrangers, &[STRANGER_PULLS]),
];

#[test]
fn upstream_of_another_names_the_law_that_is_broken() {
    for (bug, laws) in BROKEN_FOR_STRANGERS {
        let contract = Contract::new(Log::new, |number| number).within(Duration::from_secs(2));
        let outcome = contract.upstream_of_another(|| {
            let server = Arc::default();
            let [own, stranger] = [false, true].map(|is_stranger| {
                let client = Client::new(Arc::clone(&server), *bug);
                Client { is_stranger, ..client }
            });
            (own, stranger)
        });
        let found: Vec<_> = outcome.err().into_iter().flat_map(|broken| broken.laws().collect::<Vec<_>>()).collect();
        assert_eq!(found, *laws, "{bug:?}");
    }
}
