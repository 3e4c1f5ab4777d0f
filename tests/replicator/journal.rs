//! A replicator with a journal: what is durable, what waits for it, and what is left when it fails.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};

use latchwork::journal::{self, Change, Changed, Journal, MemoryError, Recovered};
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::protocol::{Direction, Failure, WaitingOn};
use latchwork::replicator::{Choice, CommitError, GiveUp, Matter};
use latchwork::upstream::Fault;

use super::*;

type Plain = MemoryLog<u32>;
type Held = journal::Memory<Plain>;
type Told = [Change<MemoryEntry<u32>, u64>];

/// A journal with something that happens before it writes.
struct Hooked<F>(Held, F);

impl<F: FnMut(&Told) + Send + 'static> Journal<Plain> for Hooked<F> {
    type Error = MemoryError;
    fn write(&mut self, changes: &Told) -> Result<(), MemoryError> {
        (self.1)(changes);
        Journal::write(&mut self.0, changes)
    }
}

fn held() -> Held {
    Held::new(Recovered::new(0))
}

fn log() -> Plain {
    MemoryLog::rebasing()
}

fn upstream() -> Memory<Plain> {
    Memory::new(0)
}

/// A journal whose writes wait for a gate, and whether one waits.
fn gated(held: &Held) -> (impl Journal<Plain>, Arc<Latch>, Arc<AtomicBool>) {
    let (gate, waits) = (Arc::new(Latch::new()), Arc::new(AtomicBool::new(false)));
    let journal = Hooked(held.clone(), {
        let (gate, waits) = (Arc::clone(&gate), Arc::clone(&waits));
        move |_: &Told| {
            waits.store(true, Ordering::SeqCst);
            pass(&gate);
        }
    });
    (journal, gate, waits)
}

#[track_caller]
fn is_durable(ticket: &Ticket<u64>) -> bool {
    ticket.durable().wait_timeout(LONG).ready().expect("that is known by now")
}

/// The events that a log made of it would have pending.
fn pending(held: &Held) -> Vec<u32> {
    held.recovered().pending.into_iter().map(|entry| entry.event).collect()
}

#[test]
fn commit_is_durable_and_then_confirmed() {
    let (held, upstream) = (held(), upstream());
    let replicator = quick(log(), upstream.clone()).journal(held.clone()).start();
    let ticket = replicator.commit(vec![1]).unwrap();
    assert!(is_durable(&ticket));
    assert_eq!(confirmed(&ticket), 1);
    assert!(replicator.shutdown(LONG).is_clean());
    // What upstream took is written, too.
    assert_eq!((held.recovered().cursor, pending(&held)), (1, vec![]));
}

#[test]
fn commit_and_write_writes_on_the_calling_thread_unless_another_write_is_under_way() {
    let (held, upstream) = (held(), upstream());
    let (gate, waits, here) = (Latch::new(), AtomicBool::new(false), AtomicBool::new(false));
    let shared = Arc::new((gate, waits, here));
    let journal = Hooked(held.clone(), {
        let (shared, caller) = (Arc::clone(&shared), std::thread::current().id());
        move |_: &Told| {
            let (gate, waits, here) = &*shared;
            if std::thread::current().id() == caller {
                here.store(true, Ordering::SeqCst);
            } else {
                waits.store(true, Ordering::SeqCst);
                pass(gate);
            }
        }
    });
    let (gate, waits, here) = &*shared;
    let replicator = quick(log(), upstream.clone()).journal(blocking(journal)).start();
    let first = replicator.commit_and_write(vec![1]).unwrap();
    assert_eq!(here.swap(false, Ordering::SeqCst), WRITES_HERE);
    assert!(!WRITES_HERE || is_durable(&first));
    let before = replicator.commit(vec![2]).unwrap();
    eventually(|| waits.load(Ordering::SeqCst));
    let behind = replicator.commit_and_write(vec![3]).unwrap();
    assert_eq!(behind.durable().wait_timeout(SHORT).ready(), None);
    gate.open();
    assert!([&first, &before, &behind].into_iter().all(is_durable));
    assert!(!here.load(Ordering::SeqCst));
    replicator.flush(LONG).unwrap();
    assert!(replicator.shutdown(LONG).is_clean());
    assert_eq!((upstream.len(), held.recovered().cursor), (3, 3));
}

#[test]
fn durable_is_false_at_once_without_a_journal() {
    let replicator = quick(log(), upstream()).start();
    let ticket = replicator.commit(vec![1]).unwrap();
    assert!(!ticket.durable().wait());
    assert_eq!(replicator.status().unwritten, 0);
}

#[test]
fn nothing_is_sent_before_it_is_written_and_what_gathers_is_written_at_once() {
    let (held, upstream) = (held(), upstream());
    let (journal, gate, waits) = gated(&held);
    let replicator = quick(log(), upstream.clone()).journal(blocking(journal)).start();
    let first = replicator.commit(vec![0]).unwrap();
    eventually(|| waits.load(Ordering::SeqCst));
    let tickets: Vec<_> = (1..=100).map(|event| replicator.commit(vec![event]).unwrap()).collect();
    std::thread::sleep(SHORT);
    let status = replicator.status();
    assert_eq!((status.unwritten, &status.waiting_on, upstream.len()), (101, &WaitingOn::Journal, 0));
    assert!(status.unwritten_for >= SHORT, "{status:?}");
    assert_eq!(first.durable().wait_timeout(SHORT).ready(), None);
    gate.open();
    assert!(is_durable(tickets.last().expect("there are some")));
    let counters = replicator.status().counters;
    assert!(counters.changes >= 101 && counters.writes < 20, "{counters:?}");
    assert!(tickets.iter().all(is_durable));
    assert!(replicator.shutdown(LONG).is_clean());
    assert_eq!((upstream.len(), held.recovered().cursor), (101, 101));
}

#[test]
fn a_journal_that_fails_is_a_decision_and_restart_writes_what_is_not_durable() {
    let (held, upstream) = (held(), upstream());
    held.fail_before();
    let replicator = quick(log(), upstream.clone()).journal(held.clone()).start();
    let ticket = replicator.commit(vec![1]).unwrap();
    let failed = replicator.status_when(|status| !status.decisions.is_empty()).wait_timeout(LONG).ready().flatten();
    let failed = failed.expect("the journal has failed");
    let failure = Failure::Journal { error: MemoryError::Full.into() };
    assert_eq!(failed.waiting_on, WaitingOn::Owner(failure.clone()));
    assert_eq!(failed.decisions[0].matter, Matter::Journal { failure });
    assert_eq!(failed.decisions[0].choices(), [Choice::Restart]);
    assert_eq!(failed.decisions[0].to_string(), "the journal could not be written: the disk is full");
    assert!(replicator.flush(LONG).is_err(), "only the owner can go on");
    let later = replicator.commit(vec![2]).unwrap();
    assert_eq!((later.durable().wait_timeout(SHORT).ready(), upstream.len()), (None, 0));
    replicator.restart();
    assert!(is_durable(&ticket) && is_durable(&later));
    replicator.flush(LONG).unwrap();
    assert!(replicator.shutdown(LONG).is_clean());
    assert_eq!((upstream.len(), held.recovered().cursor), (2, 2));
}

/// It has written, and does not know it: it is told the same again.
#[test]
fn a_write_that_fails_after_it_was_made_is_made_once() {
    let (held, upstream) = (held(), upstream());
    held.fail_after();
    let replicator = quick(log(), upstream.clone()).journal(held.clone()).start();
    let ticket = replicator.commit(vec![1]).unwrap();
    eventually(|| !replicator.status().decisions.is_empty());
    assert_eq!(ticket.durable().wait_timeout(SHORT).ready(), None, "it is not known to be");
    replicator.restart();
    assert_eq!(confirmed(&ticket), 1);
    assert!(replicator.shutdown(LONG).is_clean());
    assert_eq!((held.recovered().cursor, pending(&held)), (1, vec![]));
}

#[test]
fn a_panic_of_the_journal_is_its_failure() {
    let held = held();
    let mut panics = true;
    let journal = Hooked(held.clone(), move |_: &Told| {
        assert!(!std::mem::take(&mut panics), "no such table");
    });
    let replicator = quick(log(), upstream()).journal(blocking(journal)).start();
    let ticket = replicator.commit(vec![1]).unwrap();
    eventually(|| !replicator.status().decisions.is_empty());
    let WaitingOn::Owner(failure) = replicator.status().waiting_on else { panic!("the owner is waited for") };
    assert_eq!(failure.to_string(), format!("a panic in {WRITES}: no such table"));
    replicator.restart();
    assert_eq!(confirmed(&ticket), 1);
}

#[test]
fn a_shutdown_says_what_is_not_durable() {
    let held = held();
    held.fail_before();
    let replicator = quick(log(), upstream()).journal(held).start();
    let ticket = replicator.commit(vec![1]).unwrap();
    let left = replicator.shutdown(LONG);
    assert!(!left.is_clean() && left.unfinished.is_empty(), "{left:?}");
    assert_eq!((left.unwritten.changes, left.unwritten.writing_for), (1, None));
    assert!(matches!(left.unwritten.failure, Some(Failure::Journal { .. })));
    assert!(!is_durable(&ticket), "it never will be");
    let log = into_log(replicator);
    assert_eq!(log.pending(), 1);
}

/// A change that is confirmed by upstream and not written is enough.
#[test]
fn a_shutdown_is_not_clean_while_a_confirmation_is_not_durable() {
    let (held, upstream) = (held(), upstream());
    let failing = held.clone();
    let journal = Hooked(held, move |changes: &Told| {
        if changes.iter().any(|change| matches!(change.what, Changed::Merged(_))) {
            failing.fail_before();
        }
    });
    let replicator = quick(log(), upstream.clone()).journal(blocking(journal)).start();
    assert_eq!(confirmed(&replicator.commit(vec![1]).unwrap()), 1);
    let left = replicator.shutdown(LONG);
    assert_eq!((left.pending.len(), left.unwritten.changes), (0, 1));
    assert!(!left.is_clean());
}

#[test]
fn a_shutdown_leaves_a_write_behind_that_does_not_end() {
    let held = held();
    let (journal, gate, waits) = gated(&held);
    let replicator = quick(log(), upstream()).journal(blocking(journal)).start();
    let ticket = replicator.commit(vec![1]).unwrap();
    eventually(|| waits.load(Ordering::SeqCst));
    let left = replicator.shutdown(SHORT);
    assert_eq!((left.unwritten.changes, left.unwritten.failure.clone()), (1, None));
    assert!(left.unwritten.writing_for.is_some_and(|time| time >= SHORT), "{left:?}");
    assert!(!ticket.durable().wait());
    drop(replicator);
    gate.open();
    eventually(|| pending(&held) == [1]);
}

#[test]
fn drop_leaves_nothing_unwritten() {
    let held = held();
    let journal = Hooked(held.clone(), |_: &Told| std::thread::sleep(SHORT));
    let upstream = upstream();
    upstream.fail_push(Fault::Delay(HOUR));
    let replicator = quick(log(), upstream).journal(blocking(journal)).start();
    let tickets: Vec<_> = (0..10).map(|event| replicator.commit(vec![event]).unwrap()).collect();
    drop(replicator);
    assert!(tickets.iter().all(|ticket| ticket.durable().wait()));
    assert_eq!(pending(&held), (0..10).collect::<Vec<_>>());
}

#[test]
fn max_unwritten_refuses_commits_and_commit_within_waits_for_the_journal() {
    let held = held();
    let (journal, gate, waits) = gated(&held);
    let max = NonZeroUsize::new(3).unwrap();
    let replicator = quick(log(), upstream()).journal(blocking(journal)).max_unwritten(max).start();
    for event in 0..3 {
        replicator.commit(vec![event]).unwrap();
    }
    eventually(|| waits.load(Ordering::SeqCst));
    let refused = replicator.commit(vec![3]).unwrap_err();
    assert!(matches!(refused, CommitError::Unwritten { unwritten: 3, max: 3 }), "{refused}");
    let refused = replicator.commit_within(vec![3], SHORT).unwrap_err();
    assert!(matches!(refused, CommitError::Unwritten { .. }), "{refused}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| replicator.commit_within(vec![3], LONG));
        gate.open();
        waiting.join().unwrap().unwrap();
    });
    replicator.flush(LONG).unwrap();
    // A journal that has failed makes no room.
    held.fail_before();
    eventually(|| replicator.commit(vec![4]).is_err() && !replicator.status().decisions.is_empty());
    // A write that had begun before may have made room.
    while replicator.commit(vec![4]).is_ok() {}
    let since = Instant::now();
    assert!(replicator.commit_within(vec![5], LONG).is_err());
    assert!(since.elapsed() < LONG);
    replicator.restart();
    block_on(replicator.commit_async(vec![5])).unwrap();
    assert!(replicator.shutdown(LONG).is_clean());
}

#[test]
fn commit_within_gets_the_last_room_that_max_unwritten_leaves() {
    let (journal, gate, waits) = gated(&held());
    let replicator = quick(log(), upstream()).journal(blocking(journal)).max_unwritten(NonZeroUsize::MIN).start();
    replicator.commit(vec![1]).unwrap();
    eventually(|| waits.load(Ordering::SeqCst));
    std::thread::scope(|scope| {
        let waiting = [
            scope.spawn(|| replicator.commit_within(vec![2], LONG)),
            scope.spawn(|| block_on(replicator.commit_async(vec![3]))),
        ];
        std::thread::sleep(SHORT);
        assert_eq!(replicator.status().pending, 1);
        gate.open();
        for waiting in waiting {
            waiting.join().unwrap().unwrap();
        }
    });
    assert!(replicator.shutdown(LONG).is_clean());
}

/// The pull is ended when too much is unwritten, and goes on where it was.
#[test]
fn pulls_pause_for_a_slow_journal_and_bring_everything() {
    let (held, upstream) = (held(), upstream().with_page_size(1));
    let other = quick(log(), upstream.clone()).start();
    other.commit((0..50).collect()).unwrap();
    other.flush(LONG).unwrap();
    let journal = Hooked(held.clone(), |_: &Told| std::thread::sleep(Duration::from_millis(2)));
    let max = NonZeroUsize::new(4).unwrap();
    let replicator = quick(log(), upstream).journal(blocking(journal)).max_unwritten(max).start();
    eventually(|| {
        let status = replicator.status();
        // A page may be on its way when the pull is asked to end.
        assert!(status.unwritten <= 6, "{status:?}");
        status.upstream_head == 50
    });
    let pulls = replicator.status().counters.pulls;
    assert!(pulls > 1, "it was not ended");
    assert!(replicator.shutdown(LONG).is_clean());
    assert_eq!(held.recovered().cursor, 50);
}

#[test]
fn what_the_owner_decides_is_written() {
    let (held, upstream) = (held(), upstream());
    upstream.fail_push(Fault::RejectEvent(0));
    let replicator = quick(log(), upstream.clone()).journal(held.clone()).start();
    let [first, second] = [1, 2].map(|event| replicator.commit(vec![event]).unwrap());
    eventually(|| replicator.rejected().is_some());
    assert!(is_durable(&first) && is_durable(&second));
    upstream.fail_push(Fault::Delay(HOUR));
    replicator.replace_rejected(7).unwrap();
    eventually(|| replicator.status().counters.pushes == 2);
    assert_eq!(pending(&held), [7, 2], "it is durable before it is sent");
    // A driver goes on until it is polled again, and would pull, and write down, what the next one sends.
    replicator.stop();
    replicator.stopped().wait();
    drop(replicator);

    let log = log().with_pending(0, pending(&held));
    let replicator = quick(log, upstream).journal(held.clone()).start();
    replicator.pause(Direction::Push);
    let blocked = replicator.commit(vec![3]).unwrap();
    replicator.give_up(GiveUp::Commit(&blocked)).unwrap();
    eventually(|| replicator.status().unwritten == 0);
    assert!(!pending(&held).contains(&3));
    let former = replicator.reset(MemoryLog::new().with_pending(20, [9]));
    eventually(|| replicator.status().unwritten == 0);
    assert_eq!((held.recovered().cursor, pending(&held)), (20, vec![9]));
    drop(former);
}

/// What a log that panics has done is not known: the journal is told what there is.
#[test]
fn a_panic_of_the_log_tells_the_journal_all_anew() {
    use latchwork::log::{MemoryLogError, Merged, Wrapper};

    struct Panics(Plain, bool);
    impl Wrapper for Panics {
        type Log = Plain;
        fn inner(&self) -> &Plain {
            &self.0
        }
        fn inner_mut(&mut self) -> &mut Plain {
            &mut self.0
        }
        fn admit(&mut self, entries: Vec<MemoryEntry<u32>>) -> Result<usize, MemoryLogError> {
            let admitted = Log::admit(&mut self.0, entries)?;
            assert!(!std::mem::take(&mut self.1), "it has appended, and panics");
            Ok(admitted)
        }
        fn merge(&mut self, page: Vec<MemoryEntry<u32>>) -> Result<Merged<MemoryEntry<u32>>, MemoryLogError> {
            Log::merge(&mut self.0, page)
        }
    }
    let held = journal::Memory::<Panics>::new(Recovered::new(0));
    let upstream = Memory::<Panics>::new(0);
    let replicator = quick(Panics(log(), true), upstream.clone()).journal(held.clone()).start();
    assert!(matches!(replicator.commit(vec![1]), Err(CommitError::Panicked { .. })));
    replicator.commit(vec![2]).unwrap();
    replicator.flush(LONG).unwrap();
    assert!(replicator.shutdown(LONG).is_clean());
    assert_eq!((upstream.len(), held.recovered().cursor, held.recovered().pending.len()), (2, 2, 0));
}

/// A reset to a log that panics as it is asked what is pending, for the journal: everything is as it was.
#[test]
fn reset_and_reset_with_to_a_log_whose_batch_panics_change_nothing() {
    use latchwork::log::Wrapper;
    use latchwork::replicator::{RecvError, ResetError};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    struct Panics(Plain, bool);
    impl Wrapper for Panics {
        type Log = Plain;
        fn inner(&self) -> &Plain {
            &self.0
        }
        fn inner_mut(&mut self) -> &mut Plain {
            &mut self.0
        }
        fn batch(&self, max: NonZeroUsize) -> Vec<MemoryEntry<u32>> {
            assert!(!self.1, "it says nothing");
            Log::batch(&self.0, max)
        }
    }
    let held = journal::Memory::<Panics>::new(Recovered::new(0));
    let upstream = Memory::<Panics>::new(0);
    let replicator = quick(Panics(log(), false), upstream.clone()).journal(held.clone()).start();
    replicator.pause(Direction::Push);
    let (ticket, updates) = (replicator.commit(vec![1]).unwrap(), replicator.updates());
    let reset = catch_unwind(AssertUnwindSafe(|| replicator.reset(Panics(log(), true)))).map(drop);
    assert_eq!(reset.unwrap_err().downcast_ref::<String>().map(String::as_str), Some("it says nothing"));
    let gone = replicator.reset_with(|_| (Panics(log(), true), vec![0])).map(drop);
    assert_eq!(gone, Err(ResetError::Panicked("it says nothing".into())));
    assert_eq!((ticket.settled(), updates.receiver.try_recv()), (None, Err(RecvError::Empty)));
    replicator.resume(Direction::Push);
    confirmed(&ticket);
    assert!(replicator.shutdown(LONG).is_clean());
    assert_eq!((upstream.len(), held.recovered().cursor), (1, 1));
}

/// The journal is not told of local-only events that a log brings along as it is put in another one's place. Upstream takes
/// the first event, with which they settle: the second one is pending still.
#[test]
fn reset_to_a_log_with_local_only_events_leaves_the_journal_what_is_pending() {
    let upstream = empty_upstream();
    let held = journal::Memory::<State>::new(Recovered::new(SeqNum::ROOT.position()))
        .with_sent(|entry: &Entry<Item>| !entry.event.local_only);
    let replicator =
        quick(State::default(), upstream.clone()).push_batch(NonZeroUsize::MIN).journal(held.clone()).start();
    replicator.pause(Direction::Push);
    let mut log = State::default();
    Log::append(&mut log, vec![sent(1, 0), local_only(1, 1), sent(1, 2)]).unwrap();
    drop(replicator.reset(log));
    upstream.append(numbered(SeqNum::ROOT, vec![sent(1, 0)]));
    assert!(replicator.status_when(|status| status.pending == 1 && status.unwritten == 0).wait().is_some());
    let left: Vec<_> = held.recovered().pending.into_iter().map(|entry| entry.event).collect();
    assert_eq!(left, [sent(1, 2)]);
    replicator.resume(Direction::Push);
    replicator.flush(LONG).unwrap();
    assert!(replicator.shutdown(LONG).is_clean());
    assert_eq!(ordered(&upstream), [(1, 0), (1, 2)]);
}

/// Upstream took events, and the process died before the journal had that; others came after. A log that is made of what the
/// journal holds knows its own events again.
#[test]
fn a_log_that_is_made_of_what_the_journal_holds_knows_what_upstream_took() {
    let upstream = empty_upstream();
    let is_sent = |entry: &Entry<Item>| !entry.event.local_only;
    let held = journal::Memory::<State>::new(Recovered::new(SeqNum::ROOT.position())).with_sent(is_sent);
    let replicator = quick(State::default(), upstream.clone()).journal(held.clone()).start();
    replicator.pause(Direction::Push);
    let ticket = replicator.commit(vec![sent(1, 0), local_only(1, 1), sent(1, 2)]).unwrap();
    assert!(ticket.durable().wait());
    let recovered = held.recovered();
    replicator.resume(Direction::Push);
    confirmed(&ticket);
    drop(replicator);
    foreign(&upstream, items(2, 0..3));

    let held = journal::Memory::<State>::new(recovered.clone()).with_sent(is_sent);
    let mut log = State::new(SeqNum::ROOT);
    Log::append(&mut log, recovered.pending.into_iter().map(|entry| entry.event).collect()).unwrap();
    assert_eq!((log.pending_len(), recovered.cursor), (3, SeqNum::ROOT.position()));
    let replicator = quick(log, upstream.clone()).journal(held.clone()).start();
    confirmed(&replicator.commit(vec![sent(1, 3)]).unwrap());
    assert!(replicator.shutdown(LONG).is_clean());
    let expected = [(1, 0), (1, 2), (2, 0), (2, 1), (2, 2), (1, 3)];
    assert_eq!(ordered(&upstream), expected, "nothing twice, nothing lost");
    assert_eq!((held.recovered().cursor.global, held.recovered().pending.len()), (6, 0));
}

/// 50 ms for each write, and 5,000 calls of each kind meanwhile: the 99.9th percentile is the sixth longest.
#[test]
#[ignore = "a measurement, on a machine with nothing else to do"]
fn commit_and_status_take_less_than_a_millisecond_beside_a_slow_journal() {
    const WRITE: Duration = Duration::from_millis(50);
    let slow = Hooked(held(), |_: &Told| std::thread::sleep(WRITE));
    let replicator = quick(log(), upstream()).journal(blocking(slow)).start();
    let timed = |call: &dyn Fn()| {
        let begun = Instant::now();
        call();
        begun.elapsed()
    };
    let (mut commits, mut statuses) = (Vec::new(), Vec::new());
    for event in 0..5_000 {
        commits.push(timed(&|| drop(replicator.commit(vec![event]).unwrap())));
        statuses.push(timed(&|| drop(replicator.status())));
        std::thread::sleep(Duration::from_micros(50));
    }
    let counters = replicator.status().counters;
    assert!(counters.writes > 3, "the journal has written meanwhile: {counters:?}");
    for (what, mut took) in [("commit", commits), ("status", statuses)] {
        took.sort_unstable();
        let [half, most] = [500, 999].map(|per_mille| took[took.len() * per_mille / 1000]);
        println!("{what}: {half:.1?} in the middle, {most:.1?} at the 99.9th percentile");
        assert!(most < Duration::from_millis(1), "{what}: {most:?}");
    }
    assert!(replicator.shutdown(LONG).is_clean());
}

/// However long a write takes: this one ends after all the calls.
#[test]
fn neither_commit_nor_status_waits_for_a_slow_journal() {
    let held = held();
    let (journal, gate, waits) = gated(&held);
    let replicator = quick(log(), upstream()).journal(blocking(journal)).start();
    replicator.commit(vec![0]).unwrap();
    eventually(|| waits.load(Ordering::SeqCst));
    for event in 1..5_000 {
        replicator.commit(vec![event]).unwrap();
        let status = replicator.status();
        assert_eq!((status.unwritten, status.decisions.len()), (event as usize + 1, 0), "the write has ended");
    }
    gate.open();
    assert!(replicator.shutdown(LONG).is_clean());
    assert_eq!(pending(&held), []);
}
