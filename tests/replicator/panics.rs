//! User code that panics: the owner sees it, nothing is lost, and it goes on after a restart.

use std::num::NonZeroUsize;
use std::sync::Mutex;

use latchwork::log::{MemoryEntry, MemoryLog, MemoryLogError, Merged};
use latchwork::protocol::{Failure, Pull, WaitingOn};
use latchwork::replicator::CommitError;
use latchwork::upstream::Fault;

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Number,
    Admit,
    Batch,
    Merge,
    Pending,
    IsLocalOnly,
}

/// A log that panics in the next call of a kind, or in all of them.
struct Fragile {
    log: MemoryLog<u64>,
    armed: Arc<Mutex<Option<Call>>>,
    for_ever: Arc<Mutex<Option<Call>>>,
}

impl Fragile {
    fn trip(&self, call: Call) {
        let hit = self.armed.lock().unwrap().take_if(|armed| *armed == call).is_some();
        let hit = hit || *self.for_ever.lock().unwrap() == Some(call);
        if hit && call == Call::Batch {
            std::thread::sleep(SHORT);
        }
        assert!(!hit, "armed for {call:?}");
    }
}

impl Log for Fragile {
    type Event = u64;
    type Entry = MemoryEntry<u64>;
    type Position = u64;
    type Error = MemoryLogError;

    fn head(&self) -> u64 {
        self.log.head()
    }
    fn upstream_head(&self) -> u64 {
        self.log.upstream_head()
    }
    fn pending(&self) -> usize {
        self.trip(Call::Pending);
        self.log.pending()
    }
    fn is_local_only(&self, _: &MemoryEntry<u64>) -> bool {
        self.trip(Call::IsLocalOnly);
        false
    }
    fn position(entry: &MemoryEntry<u64>) -> u64 {
        entry.position
    }
    fn number(&self, events: Vec<u64>) -> Result<Vec<MemoryEntry<u64>>, MemoryLogError> {
        self.trip(Call::Number);
        self.log.number(events)
    }
    fn admit(&mut self, entries: Vec<MemoryEntry<u64>>) -> Result<usize, MemoryLogError> {
        self.trip(Call::Admit);
        self.log.admit(entries)
    }
    fn batch(&self, max: NonZeroUsize) -> Vec<MemoryEntry<u64>> {
        self.trip(Call::Batch);
        self.log.batch(max)
    }
    fn merge(&mut self, page: Vec<MemoryEntry<u64>>) -> Result<Merged<MemoryEntry<u64>>, MemoryLogError> {
        self.trip(Call::Merge);
        self.log.merge(page)
    }
}

type Armed = Arc<Mutex<Option<Call>>>;

fn fragile(upstream: &Memory<Fragile>) -> (Replicator<Fragile>, Armed) {
    let (replicator, armed, _) = fragile_for_ever(upstream);
    (replicator, armed)
}

fn fragile_for_ever(upstream: &Memory<Fragile>) -> (Replicator<Fragile>, Armed, Armed) {
    let [armed, for_ever] = [Armed::default(), Armed::default()];
    let log = Fragile { log: MemoryLog::new(), armed: Arc::clone(&armed), for_ever: Arc::clone(&for_ever) };
    let replicator = quick(log, upstream.clone()).start();
    eventually(|| replicator.status().counters.pages > 0);
    (replicator, armed, for_ever)
}

fn events(upstream: &Memory<Fragile>) -> Vec<u64> {
    upstream.entries().into_iter().map(|entry| entry.event).collect()
}

fn panicked(failure: &Failure, words: &str) -> bool {
    matches!(failure, Failure::Panicked { message } if message.contains(words))
}

fn owner_has_to_move(replicator: &Replicator<Fragile>, words: &str) -> bool {
    matches!(replicator.status().waiting_on, WaitingOn::Owner(failure) if panicked(&failure, words))
}

#[test]
fn a_log_that_panics_in_a_commit_refuses_it_and_takes_the_next() {
    let upstream = Memory::new(0);
    let (replicator, armed) = fragile(&upstream);
    for call in [Call::Number, Call::Admit] {
        *armed.lock().unwrap() = Some(call);
        let Err(CommitError::Panicked { message }) = replicator.commit(vec![7]) else { panic!("it was admitted") };
        assert_eq!(message, format!("armed for {call:?}"));
    }
    confirmed(&replicator.commit(vec![8]).unwrap());
    assert_eq!(events(&upstream), [8]);
}

#[test]
fn restart_goes_on_after_a_panic_in_batch() {
    let upstream = Memory::new(0);
    let (replicator, armed) = fragile(&upstream);
    *armed.lock().unwrap() = Some(Call::Batch);
    let ticket = replicator.commit(vec![7]).unwrap();
    eventually(|| owner_has_to_move(&replicator, "the log: armed for Batch"));
    replicator.restart();
    confirmed(&ticket);
    assert_eq!(events(&upstream), [7]);
}

#[test]
fn a_panic_in_batch_wakes_the_tasks_that_await_unless_halted() {
    let (replicator, armed) = fragile(&Memory::new(0));
    *armed.lock().unwrap() = Some(Call::Batch);
    let ticket = replicator.commit(vec![7]).unwrap();
    let (ended, told) = std::sync::mpsc::channel();
    // The panic takes its time, so that the task waits by then.
    std::thread::spawn(move || ended.send(pollster::block_on(ticket.unless_halted())));
    assert_eq!(told.recv_timeout(LONG), Ok(None));
}

#[test]
fn restart_catches_up_after_a_panic_in_merge_of_an_accepted_batch() {
    let upstream = Memory::new(0);
    // No echo: only the answer to the push is merged.
    upstream.fail_push(Fault::LoseEcho);
    let (replicator, armed) = fragile(&upstream);
    *armed.lock().unwrap() = Some(Call::Merge);
    let ticket = replicator.commit(vec![7]).unwrap();
    eventually(|| owner_has_to_move(&replicator, "the log: armed for Merge"));
    assert_eq!(events(&upstream), [7]);
    replicator.restart();
    confirmed(&ticket);
    assert_eq!(events(&upstream), [7], "it was not sent again");
}

#[test]
fn a_log_that_panics_on_a_page_stops_the_puller_until_a_restart() {
    let upstream = Memory::new(0);
    let (replicator, armed) = fragile(&upstream);
    *armed.lock().unwrap() = Some(Call::Merge);
    upstream.append([MemoryEntry { position: 1, event: 99 }]);
    eventually(|| matches!(replicator.status().pull, Pull::Failed { error } if panicked(&error, "armed for Merge")));
    assert!(replicator.status().last_error.unwrap().to_string().contains("armed for Merge"));
    let ticket = replicator.commit(vec![7]).unwrap();
    eventually(|| owner_has_to_move(&replicator, "armed for Merge"));
    replicator.restart();
    confirmed(&ticket);
    assert_eq!(events(&upstream), [99, 7]);
}

#[test]
fn restart_sends_nothing_twice_after_a_panic_in_push() {
    let upstream = Memory::new(0);
    let (replicator, _) = fragile(&upstream);
    upstream.fail_push(Fault::Panic);
    let ticket = replicator.commit(vec![7]).unwrap();
    eventually(|| owner_has_to_move(&replicator, "Upstream::push: injected"));
    let later = replicator.commit(vec![8]).unwrap();
    replicator.restart();
    confirmed(&ticket);
    confirmed(&later);
    assert_eq!(events(&upstream), [7, 8]);
}

#[test]
fn an_upstream_that_panics_in_a_pull_stops_the_puller_until_a_restart() {
    let upstream = Memory::new(0);
    let (replicator, _) = fragile(&upstream);
    upstream.fail_pull(Fault::Panic);
    let failed = |pull| matches!(pull, Pull::Failed { error } if panicked(&error, "Upstream::pull: injected"));
    eventually(|| failed(replicator.status().pull));
    let ticket = replicator.commit(vec![7]).unwrap();
    confirmed(&ticket);
    upstream.append([MemoryEntry { position: 2, event: 99 }]);
    let behind = replicator.commit(vec![8]).unwrap();
    eventually(|| owner_has_to_move(&replicator, "Upstream::pull: injected"));
    replicator.restart();
    confirmed(&behind);
    assert_eq!(events(&upstream), [7, 99, 8]);
}

#[test]
fn a_shutdown_of_a_log_whose_batch_panics_says_so_and_settles_its_tickets() {
    let (replicator, _, for_ever) = fragile_for_ever(&Memory::new(0));
    *for_ever.lock().unwrap() = Some(Call::Batch);
    let ticket = replicator.commit(vec![7]).unwrap();
    eventually(|| owner_has_to_move(&replicator, "the log: armed for Batch"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| replicator.updates())).is_err());
    let updates = {
        *for_ever.lock().unwrap() = None;
        replicator.updates()
    };
    *for_ever.lock().unwrap() = Some(Call::Batch);
    let left = replicator.shutdown(LONG);
    assert!(left.failure.as_ref().is_some_and(|failure| panicked(failure, "the log: armed for Batch")), "{left:?}");
    assert!(!left.is_clean() && left.pending.is_empty() && left.unfinished.is_empty(), "{left:?}");
    assert_eq!(into_log(replicator).log.pending(), 1, "it is all there");
    assert_eq!(ticket.settled(), Some(Settled::Closed));
    assert_eq!(updates.receiver.recv().unwrap_err(), latchwork::replicator::RecvError::Closed);
}

#[test]
fn a_log_that_does_not_say_what_is_pending_can_be_shut_down() {
    let upstream = Memory::new(0);
    let (replicator, _, for_ever) = fragile_for_ever(&upstream);
    let ticket = replicator.commit(vec![7]).unwrap();
    confirmed(&ticket);
    replicator.pause(latchwork::protocol::Direction::Push);
    let open = replicator.commit(vec![8]).unwrap();
    *for_ever.lock().unwrap() = Some(Call::Pending);
    let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| replicator.status().pending));
    assert_eq!(asked.unwrap_err().downcast_ref::<String>().map(String::as_str), Some("armed for Pending"));
    replicator.resume(latchwork::protocol::Direction::Push);
    upstream.append([MemoryEntry { position: 2, event: 99 }]);
    std::thread::sleep(SHORT);
    let left = replicator.shutdown(10 * SHORT);
    assert!(left.failure.is_some() && left.unfinished.is_empty(), "{left:?}");
    assert_eq!(open.settled(), Some(Settled::Closed));
}

#[test]
fn is_local_only_that_panics_closes_tickets_it_cannot_tell_apart() {
    let upstream = Memory::new(0);
    let (replicator, armed) = fragile(&upstream);
    *armed.lock().unwrap() = Some(Call::IsLocalOnly);
    let ticket = replicator.commit(vec![7]).unwrap();
    assert_eq!(ticket.wait_timeout(LONG), Waited::Ready(Settled::Closed));
    assert_eq!(events(&upstream), [7]);
    eventually(|| replicator.status().last_error.is_some());
    replicator.restart();
    confirmed(&replicator.commit(vec![8]).unwrap());
    assert_eq!(events(&upstream), [7, 8]);
}
