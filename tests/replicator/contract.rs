//! Logs that break their contract: a visible failure, never a storm, never a ticket without an end.

use std::sync::Mutex;

use latchwork::log::{Log, MemoryEntry, MemoryLog, MemoryLogError, Merged, Wrapper};
use latchwork::protocol::{Failure, Pull, Push};

use super::*;

type Merge = fn(Merged<MemoryEntry<u64>>) -> Merged<MemoryEntry<u64>>;

/// A log that says of each merge what `merge` makes of it.
struct Liar {
    log: MemoryLog<u64>,
    merge: Merge,
    batches: Arc<Mutex<usize>>,
    batch: fn(Vec<MemoryEntry<u64>>) -> Vec<MemoryEntry<u64>>,
}

impl Wrapper for Liar {
    type Log = MemoryLog<u64>;

    fn inner(&self) -> &MemoryLog<u64> {
        &self.log
    }
    fn inner_mut(&mut self) -> &mut MemoryLog<u64> {
        &mut self.log
    }
    fn batch(&self, max: std::num::NonZeroUsize) -> Vec<MemoryEntry<u64>> {
        *self.batches.lock().unwrap() += 1;
        (self.batch)(Log::batch(&self.log, max))
    }
    fn merge(&mut self, page: Vec<MemoryEntry<u64>>) -> Result<Merged<MemoryEntry<u64>>, MemoryLogError> {
        Log::merge(&mut self.log, page).map(self.merge)
    }
}

fn liar(merge: Merge) -> Liar {
    Liar { log: MemoryLog::new(), merge, batches: Arc::default(), batch: |batch| batch }
}

fn owner_is_told(replicator: &Replicator<Liar>) {
    eventually(|| {
        let status = replicator.status();
        let failed = |failure: &Failure| matches!(failure, Failure::Contract { .. });
        let push = matches!(&status.push, Push::Failed { error } if failed(error));
        push || matches!(&status.pull, Pull::Failed { error } if failed(error))
    });
}

#[test]
fn a_merge_that_gives_up_what_is_not_there_leaves_no_ticket_open() {
    let given_up = |merged: Merged<_>| match merged {
        Merged::Advance { new, confirmed } if new.is_empty() => {
            Merged::Rebase { new, confirmed: confirmed[..1].to_vec(), moved: 0, dropped: vec![7] }
        }
        other => other,
    };
    let replicator = quick(liar(given_up), Memory::new(0)).start();
    let ticket = replicator.commit(vec![1, 2]).unwrap();
    owner_is_told(&replicator);
    assert_eq!(replicator.status().pending, 0, "the log has none left");
    assert!(
        matches!(ticket.wait_timeout(LONG), Waited::Ready(Settled::Closed)),
        "which event was given up is not known"
    );
    replicator.flush(LONG).unwrap();
}

#[test]
fn a_merge_that_confirms_nothing_is_a_failure_and_no_storm() {
    let log = Liar { merge: |_| Merged::Advance { new: vec![], confirmed: vec![] }, ..liar(|merged| merged) };
    let replicator = quick(log, Memory::new(0)).start();
    let ticket = replicator.commit(vec![1]).unwrap();
    owner_is_told(&replicator);
    assert!(ticket.wait_timeout(LONG).is_ready());
    assert!(replicator.status().counters.pushes <= 1);
}

#[test]
fn a_batch_of_nothing_is_a_failure_and_no_storm() {
    let log = Liar { batch: |_| Vec::new(), ..liar(|merged| merged) };
    let batches = Arc::clone(&log.batches);
    let replicator = quick(log, Memory::new(0)).start();
    let before = *batches.lock().unwrap();
    let _ticket = replicator.commit(vec![1]).unwrap();
    owner_is_told(&replicator);
    assert_eq!((*batches.lock().unwrap() - before, replicator.status().counters.pushes), (1, 0));
    let report = replicator.shutdown(Duration::from_millis(10));
    assert!(!report.is_clean(), "one is pending, and the log does not say which");
}
