//! Faults injected into an upstream of a user's own, for threads and for tasks.
#![cfg(not(loom))]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use latchwork::log::{Log as _, MemoryEntry, MemoryLog};
use latchwork::replicator::{Builder, Matter};
use latchwork::upstream::{
    AsyncPull, AsyncUpstream, Batch, Fault, Faults, Faulty, More, Page, PullError, PushError, Upstream,
};
use latchwork::{Backoff, Epoch, Interrupt, Replicator, Settled, Waited};

type Log = MemoryLog<(usize, u64)>;
type Entry = MemoryEntry<(usize, u64)>;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(5);

/// What a user may have written: one order of events, and live pulls of three events a page.
#[derive(Clone, Default)]
struct Table {
    events: Arc<Mutex<Vec<(usize, u64)>>>,
    news: Arc<Epoch>,
}

impl Table {
    fn append(&self, batch: &Batch<Log>) -> Result<(), PushError<u64>> {
        let mut events = self.events.lock().unwrap();
        let head = events.len() as u64;
        if batch.base != head {
            return Err(PushError::Behind { head: Some(head) });
        }
        events.extend(batch.entries.iter().map(|entry| entry.event));
        drop(events);
        self.news.bump();
        Ok(())
    }

    fn page(&self, cursor: u64) -> Page<Entry> {
        let events = self.events.lock().unwrap();
        let rest = (1..).zip(&*events).skip(usize::try_from(cursor).unwrap());
        let entries: Vec<_> = rest.take(3).map(|(position, event)| Entry { position, event: *event }).collect();
        let more = events.len() as u64 - cursor - entries.len() as u64;
        Page { entries, more: if more == 0 { More::None } else { More::Events(more) } }
    }
}

/// Where a pull is, and whether it has said that it has all.
struct Cursor<'a>(&'a Table, u64, bool);

impl Cursor<'_> {
    fn next(&mut self) -> Option<Page<Entry>> {
        let page = self.0.page(self.1);
        self.1 += page.entries.len() as u64;
        if page.entries.is_empty() && std::mem::replace(&mut self.2, page.more == More::None) {
            return None;
        }
        Some(page)
    }
}

impl Upstream<Log> for Table {
    fn push(&self, batch: &Batch<Log>, _: &Interrupt) -> Result<(), PushError<u64>> {
        self.append(batch)
    }

    fn pull<'a>(
        &'a self,
        cursor: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<Entry>, PullError>> + 'a {
        let mut cursor = Cursor(self, cursor, false);
        std::iter::from_fn(move || {
            loop {
                let seen = self.news.current();
                if let Some(page) = cursor.next() {
                    return Some(Ok(page));
                }
                if let Waited::Interrupted(_) = self.news.past(seen).wait_or(interrupt, None) {
                    return Some(Err(PullError::Unavailable { retry_after: None, error: "interrupted".into() }));
                }
            }
        })
    }
}

impl AsyncUpstream<Log> for Table {
    type Pull<'a> = Cursor<'a>;

    async fn push(&self, batch: &Batch<Log>) -> Result<(), PushError<u64>> {
        self.append(batch)
    }

    fn pull(&self, cursor: u64) -> Cursor<'_> {
        Cursor(self, cursor, false)
    }
}

impl AsyncPull<Log> for Cursor<'_> {
    async fn next_page(&mut self) -> Option<Result<Page<Entry>, PullError>> {
        loop {
            let seen = self.0.news.current();
            if let Some(page) = self.next() {
                return Some(Ok(page));
            }
            self.0.news.past(seen).await;
        }
    }
}

fn builder(table: &Table, faults: &Faults<u64>) -> Builder<Log, Faulty<Table, u64>> {
    Replicator::builder(Log::rebasing(), Faulty::new(table.clone(), faults.clone()))
        .backoff(Backoff::new(SHORT / 5, SHORT))
        .catch_up_grace(SHORT)
        .push_deadline(10 * SHORT)
        .pull_silence(20 * SHORT)
}

fn on_threads(builder: Builder<Log, Faulty<Table, u64>>) -> Replicator<Log> {
    builder.spawn().unwrap()
}

fn on_tasks(builder: Builder<Log, Faulty<Table, u64>>) -> Replicator<Log> {
    let (replicator, driver) = builder.build_async(tokio::time::sleep);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    drop(std::thread::spawn(move || runtime.block_on(driver)));
    replicator
}

type Start = fn(Builder<Log, Faulty<Table, u64>>) -> Replicator<Log>;

/// Goes on after each failure, until this holds of it.
fn decide_until(replicator: &Replicator<Log>, what: &str, mut holds: impl FnMut(&Replicator<Log>) -> bool) {
    let begun = Instant::now();
    while !holds(replicator) {
        assert!(begun.elapsed() < LONG, "{what}: {:#?}", replicator.status());
        for decision in replicator.status().decisions {
            match decision.matter {
                Matter::Rejected { .. } => replicator.retry_rejected(),
                Matter::Failed { .. } => replicator.restart(),
                _ => {}
            }
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Two clients commit ten events each, and each of these faults comes up a few times.
fn nothing_is_lost(start: Start, pushes: Option<Fault>, pulls: Option<Fault>) {
    let what = format!("{pushes:?}, {pulls:?}");
    let (table, faults) = (Table::default(), Faults::new());
    let clients = [(); 2].map(|()| start(builder(&table, &faults)));
    let mut tickets = Vec::new();
    for number in 0..10 {
        if number % 4 == 1 {
            pushes.into_iter().for_each(|fault| faults.fail_push(fault));
            pulls.into_iter().for_each(|fault| faults.fail_pull(fault));
        }
        for (client, replicator) in clients.iter().enumerate() {
            tickets.push((client, replicator.commit(vec![(client, number)]).unwrap()));
        }
    }
    for (client, ticket) in tickets {
        decide_until(&clients[client], &what, |_| ticket.settled().is_some());
        assert!(matches!(ticket.settled(), Some(Settled::Confirmed(_))), "{what}");
    }
    for replicator in clients {
        // What is left of the faults may fall on a live pull that waits for news, or lose the last echo.
        decide_until(&replicator, &what, |replicator| {
            replicator.retry_now();
            replicator.status().upstream_head == 20
        });
        assert_eq!(replicator.with_log(|log| (log.pending(), log.upstream_head())), (0, 20), "{what}");
        assert!(replicator.shutdown(LONG).is_clean(), "{what}");
    }
    let ordered = table.events.lock().unwrap();
    for client in 0..2 {
        let numbers = ordered.iter().filter(|event| event.0 == client).map(|event| event.1);
        assert!(numbers.eq(0..10), "{what}: {ordered:?}");
    }
    assert_eq!(ordered.len(), 20, "{what}");
}

const FAULTS: [Fault; 14] = [
    Fault::Reject,
    Fault::DisconnectBefore,
    Fault::DisconnectAfter,
    Fault::LoseEcho,
    Fault::Delay(SHORT),
    Fault::Busy(SHORT),
    Fault::DuplicatePage,
    Fault::EndStream,
    Fault::Panic,
    Fault::OtherUpstream,
    Fault::Refuse,
    Fault::RejectEvent(0),
    Fault::TooLarge,
    Fault::Hang,
];

fn with_each_fault(start: Start) {
    nothing_is_lost(start, None, None);
    for (number, fault) in FAULTS.into_iter().enumerate() {
        nothing_is_lost(start, Some(fault), None);
        nothing_is_lost(start, None, Some(fault));
        nothing_is_lost(start, Some(fault), Some(FAULTS[(number + 5) % FAULTS.len()]));
    }
}

#[test]
fn faulty_loses_nothing_and_has_nothing_twice_with_threads() {
    with_each_fault(on_threads);
}

#[test]
fn faulty_loses_nothing_and_has_nothing_twice_with_tasks() {
    with_each_fault(on_tasks);
}

fn entry(position: u64) -> Entry {
    Entry { position, event: (0, position) }
}

fn push(upstream: &Faulty<Table, u64>, base: u64, events: std::ops::RangeInclusive<u64>) -> Result<(), PushError<u64>> {
    Upstream::push(upstream, &Batch::new(base, events.map(entry).collect()), &Interrupt::new())
}

#[test]
fn faulty_passes_a_push_on_or_does_not_as_its_fault_says() {
    for fault in FAULTS.into_iter().filter(|fault| !matches!(fault, Fault::Panic | Fault::Hang)) {
        let (table, faults) = (Table::default(), Faults::new());
        let upstream = Faulty::new(table.clone(), faults.clone());
        faults.fail_push(fault);
        let outcome = push(&upstream, 0, 1..=1);
        let (taken, answered) = (table.events.lock().unwrap().len() == 1, outcome.is_ok());
        let expected = match fault {
            Fault::DisconnectAfter => (true, false),
            Fault::LoseEcho | Fault::Delay(_) | Fault::DuplicatePage | Fault::EndStream => (true, true),
            _ => (false, false),
        };
        assert_eq!((taken, answered), expected, "{fault:?}: {outcome:?}");
        assert!(push(&upstream, u64::from(taken), 2..=2).is_ok(), "a fault is one call's");
    }
}

#[test]
fn an_echo_is_lost_of_a_push_that_is_taken_alone() {
    let (table, faults) = (Table::default(), Faults::new());
    let upstream = Faulty::new(table.clone(), faults.clone());
    let interrupt = Interrupt::with_deadline(Instant::now() + LONG);
    let mut open = Upstream::pull(&upstream, 0, &interrupt);
    let mut next = || open.next().unwrap().unwrap().entries.iter().map(|entry| entry.position).collect::<Vec<_>>();
    assert!(next().is_empty());
    faults.fail_push(Fault::LoseEcho);
    assert!(push(&upstream, 1, 1..=2).is_err(), "it is not taken");
    push(&upstream, 0, 1..=2).unwrap();
    assert_eq!(next(), [1, 2]);
    faults.fail_push(Fault::LoseEcho);
    push(&upstream, 2, 3..=7).unwrap();
    push(&upstream, 7, 8..=8).unwrap();
    assert_eq!(next(), [8], "two pages had nothing else");
    let mut later = Upstream::pull(&upstream, 0, &interrupt);
    assert_eq!(later.by_ref().take(3).map(|page| page.unwrap().entries.len()).sum::<usize>(), 8);
}

/// Waits until so many threads are called as this one is: they take its name over. The system's list of them may miss some while
/// others end, and have one for a moment that was joined.
#[cfg(target_os = "linux")]
fn threads_of_this_test_are(count: usize) {
    let mine = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
        names.filter(|name| *name == mine).count()
    };
    let begun = Instant::now();
    while threads() != count {
        assert!(begun.elapsed() < LONG, "{} threads and not {count}", threads());
        std::thread::sleep(SHORT);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn delay_of_a_task_leaves_no_thread_as_its_future_is_dropped() {
    let (table, faults) = (Table::default(), Faults::new());
    let upstream = Faulty::new(table.clone(), faults.clone());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    faults.fail_push(Fault::Delay(Duration::from_secs(3600)));
    faults.fail_pull(Fault::Delay(Duration::from_secs(3600)));
    let batch = Batch::new(0, vec![entry(1)]);
    let mut push = Box::pin(AsyncUpstream::push(&upstream, &batch));
    let mut pull = AsyncUpstream::<Log>::pull(&upstream, 0);
    let mut page = Box::pin(pull.next_page());
    assert!(push.as_mut().poll(&mut context).is_pending() && page.as_mut().poll(&mut context).is_pending());
    threads_of_this_test_are(3);
    drop((push, page));
    threads_of_this_test_are(1);
    assert!(table.events.lock().unwrap().is_empty());
}
