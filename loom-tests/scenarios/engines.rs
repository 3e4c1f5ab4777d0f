//! Bugs of other engines that this design leaves no line for, built from public parts as those engines had them; and what
//! stands in their place here.

use std::sync::Arc;
use std::time::Duration;

use super::latchwork;
use latchwork::log::{Log, MemoryEntry, MemoryLog, MemoryLogError, Merged, Wrapper};
use latchwork::upstream::Upstream;
use latchwork::{Epoch, Latch, Replicator, Settled};
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::thread;
use super::upstream::{Answer, Event, Feed, Scripted};

/// A queue, an epoch: the sender reads the epoch, then looks; the writer appends, then bumps. Ends when the sender has got
/// the item.
pub fn a_look_before_parking_misses_nothing() {
    let shared = Arc::new((Mutex::new(Vec::new()), Epoch::new()));
    let writer = thread::spawn({
        let shared = Arc::clone(&shared);
        move || {
            shared.0.lock().unwrap().push("item");
            shared.1.bump();
        }
    });
    loop {
        let seen = shared.1.current();
        if shared.0.lock().unwrap().pop().is_some() {
            break;
        }
        shared.1.past(seen).wait();
    }
    writer.join().unwrap();
}

/// powersync-js#1055: the sender finds nothing, the writer appends and opens, the sender closes and waits.
pub fn empty_then_idle() {
    let shared = Arc::new((Mutex::new(Vec::new()), Latch::new_open()));
    let writer = thread::spawn({
        let shared = Arc::clone(&shared);
        move || {
            shared.0.lock().unwrap().push("item");
            shared.1.open();
        }
    });
    while shared.0.lock().unwrap().pop().is_none() {
        shared.1.close();
        shared.1.wait();
    }
    writer.join().unwrap();
}

/// replicache#42: a caller who asks while a sync is going on is sent away.
pub fn busy_swallows_trigger() {
    let shared = Arc::new((Mutex::new(Vec::new()), AtomicBool::new(false)));
    let sync = |shared: &(Mutex<Vec<&str>>, AtomicBool)| {
        shared.0.lock().unwrap().push("item");
        if shared.1.swap(true, Ordering::AcqRel) {
            return;
        }
        shared.0.lock().unwrap().clear();
        shared.1.store(false, Ordering::Release);
    };
    let other = thread::spawn({
        let shared = Arc::clone(&shared);
        move || sync(&shared)
    });
    sync(&shared);
    other.join().unwrap();
    assert!(shared.0.lock().unwrap().is_empty(), "an item was never sent");
}

/// A commit while a pull is open and upstream is out of reach. It returns; what it says is pending.
pub fn a_commit_waits_for_no_other_call() {
    let upstream = Scripted::new(&[Answer::Unavailable], &[], Feed::Silence);
    let replicator = Replicator::builder(MemoryLog::new(), upstream.clone()).spawn().unwrap();
    let ticket = replicator.commit(vec!["a"]).unwrap();
    loom::stop_exploring();
    assert!(ticket.settled().is_none());
    upstream.close();
}

/// LS#1465: a commit waits until the puller is through, and the puller waits for upstream.
pub fn commit_waits_for_rebase() {
    let (may_commit, answer) = (Arc::new(Latch::new_open()), Latch::new());
    let puller = thread::spawn({
        let may_commit = Arc::clone(&may_commit);
        move || {
            may_commit.close();
            answer.wait();
            may_commit.open();
        }
    });
    may_commit.wait();
    // Upstream answers when it likes; here, never.
    puller.join().unwrap();
}

/// LS#1029: the turn is taken with the first page and given back with the last, and the second page fails.
pub fn page_holds_turn() {
    let turn = Arc::new(Latch::new_open());
    let puller = thread::spawn({
        let turn = Arc::clone(&turn);
        move || {
            for page in [Ok("more follows"), Err("offline")] {
                turn.close();
                if page.is_err() {
                    return;
                }
            }
            turn.open();
        }
    });
    puller.join().unwrap();
    turn.wait();
}

/// Main commits while the puller merges a page: what is to be sent is what is pending, by construction. Ends when both
/// are at upstream.
pub fn what_is_sent_is_what_is_pending() {
    let upstream = Scripted::new(&[], &[Feed::Foreign("b")], Feed::Silence);
    let replicator = Replicator::builder(MemoryLog::rebasing(), upstream.clone()).spawn().unwrap();
    replicator.commit(vec!["a"]).unwrap();
    replicator.flush(Duration::MAX).unwrap();
    loom::stop_exploring();
    thread::yield_now();
    upstream.close();
}

/// LS#1437: the puller copies what is pending, the writer appends to it and to the queue, the puller refills the queue
/// from its copy.
pub fn rebase_from_snapshot() {
    let shared = Arc::new((Mutex::new(vec!["first"]), Mutex::new(vec!["first"])));
    let puller = thread::spawn({
        let shared = Arc::clone(&shared);
        move || {
            let snapshot = shared.0.lock().unwrap().clone();
            *shared.1.lock().unwrap() = snapshot;
        }
    });
    shared.0.lock().unwrap().push("second");
    shared.1.lock().unwrap().push("second");
    puller.join().unwrap();
    assert!(*shared.0.lock().unwrap() == *shared.1.lock().unwrap(), "what is pending is not what will be sent");
}

/// A stale commit is refused, a good one goes through: the refused one leaves nothing behind to wait for.
pub fn a_refused_commit_leaves_nothing_behind() {
    let upstream = Scripted::new(&[], &[], Feed::Silence);
    let replicator = Replicator::builder(MemoryLog::new(), upstream.clone()).spawn().unwrap();
    assert!(replicator.commit_numbered(vec![MemoryEntry { position: 7, event: "stale" }]).is_err());
    let ticket = replicator.commit(vec!["a"]).unwrap();
    assert!(matches!(ticket.wait(), Settled::Confirmed(1)));
    loom::stop_exploring();
    thread::yield_now();
    upstream.close();
}

/// LiveStore 968d4c98f: the head moves before the item is queued, the item is dropped, and the sender waits for it.
pub fn ghost_fence() {
    let head = Arc::new(AtomicU64::new(0));
    let confirmed = Arc::new(Epoch::new());
    let writer = thread::spawn({
        let head = Arc::clone(&head);
        // The item itself turns out to be stale and is dropped.
        move || head.store(1, Ordering::Release)
    });
    writer.join().unwrap();
    let fence = head.load(Ordering::Acquire);
    while confirmed.current() < fence {
        confirmed.past(confirmed.current()).wait();
    }
}

/// pouchdb#1240, LS#409: the cursor is stored, then applying fails; the next pull begins after what was never applied.
pub fn cursor_before_apply() {
    let cursor = Arc::new(AtomicU64::new(0));
    let applied = Arc::new(Mutex::new(Vec::new()));
    let puller = thread::spawn({
        let (cursor, applied) = (Arc::clone(&cursor), Arc::clone(&applied));
        move || {
            for fails in [true, false] {
                let from = cursor.load(Ordering::Acquire);
                cursor.store(1, Ordering::Release);
                if !fails {
                    applied.lock().unwrap().extend((from..1).map(|_| "event"));
                }
            }
        }
    });
    puller.join().unwrap();
    assert!(applied.lock().unwrap().len() == 1, "an event was passed over");
}

/// A log that gives up what is pending when another client's event comes in: theirs wins.
struct TheirsWins(MemoryLog<Event>);

impl Wrapper for TheirsWins {
    type Log = MemoryLog<Event>;

    fn inner(&self) -> &MemoryLog<Event> {
        &self.0
    }

    fn inner_mut(&mut self) -> &mut MemoryLog<Event> {
        &mut self.0
    }

    fn merge(&mut self, page: Vec<MemoryEntry<Event>>) -> Result<Merged<MemoryEntry<Event>>, MemoryLogError> {
        let merged = self.0.merge(page)?;
        let Merged::Advance { new, confirmed } = merged else { return Ok(merged) };
        if new.is_empty() || self.0.pending() == 0 {
            return Ok(Merged::Advance { new, confirmed });
        }
        let dropped = (0..self.0.pending()).collect();
        self.0 = MemoryLog::new().with_pending(self.0.upstream_head(), []);
        Ok(Merged::Rebase { new, confirmed, moved: 0, dropped })
    }
}

/// As a [`Scripted`] upstream, for that log.
#[derive(Clone)]
struct Theirs(Scripted);

impl Upstream<TheirsWins> for Theirs {
    fn push(
        &self,
        batch: &latchwork::upstream::Batch<TheirsWins>,
        _: &latchwork::Interrupt,
    ) -> Result<(), latchwork::upstream::PushError<u64>> {
        self.0.take(batch.base, batch.entries.iter().map(|entry| entry.event))
    }

    fn pull<'a>(
        &'a self,
        cursor: u64,
        interrupt: &'a latchwork::Interrupt,
    ) -> impl Iterator<Item = Result<latchwork::upstream::Page<MemoryEntry<Event>>, latchwork::upstream::PullError>> + 'a
    {
        self.0.pull(cursor, interrupt)
    }
}

/// Main commits, the puller brings an event that wins over it, before or after the push. Ends when the commit has settled,
/// as confirmed if upstream has it and as rejected if not.
pub fn an_event_that_the_log_gives_up_is_settled() {
    let upstream = Scripted::new(&[], &[Feed::Foreign("b")], Feed::Silence);
    let replicator = Replicator::builder(TheirsWins(MemoryLog::new()), Theirs(upstream.clone())).spawn().unwrap();
    let ticket = replicator.commit(vec!["a"]).unwrap();
    let settled = ticket.wait();
    loom::stop_exploring();
    thread::yield_now();
    let there = upstream.events().contains(&"a");
    assert!(matches!(settled, Settled::Confirmed(_)) == there, "the ticket says one thing and upstream another");
    upstream.close();
}
