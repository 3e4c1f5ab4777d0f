//! An upstream for tasks under threads, and one for threads under tasks.

use std::sync::Mutex;
use std::time::Instant;

use latchwork::journal::{self, AsyncJournal, Change, Changed, Journal, MemoryError, Recovered};
use latchwork::protocol::{Push, WaitingOn};
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, Fault, ForTasks, ForThreads, PushError, Upstream};
use latchwork::{Cause, Interrupt, Latch, Settled};

use super::*;

type Job = Box<dyn FnOnce() + Send>;

/// Runs each job on a thread of its own.
fn on_a_thread(job: Job) {
    drop(std::thread::spawn(job));
}

fn batch() -> Batch<Log> {
    Batch::new(0, vec![MemoryEntry { position: 1, event: 1 }])
}

/// Looks until it holds.
fn eventually(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "it never came to hold");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn confirmed_by_threads(fault: Option<Fault>) {
    let memory = Memory::new(0);
    let builder = quick(ForThreads::new(memory.clone(), |call| pollster::block_on(call)));
    let replicator = builder.push_deadline(10 * SHORT).pull_silence(10 * SHORT).spawn().unwrap();
    if let Some(fault) = fault {
        memory.fail_push(fault);
        memory.fail_pull(fault);
    }
    let ticket = replicator.commit(vec![1]).unwrap();
    if fault == Some(Fault::Panic) {
        // Both directions: a restart is for those that have failed by then.
        let status = replicator.status_when(|status| {
            matches!((&status.waiting_on, &status.pull_waiting_on), (WaitingOn::Owner(_), WaitingOn::Owner(_)))
        });
        status.wait().unwrap();
        replicator.restart();
    }
    assert_eq!(ticket.wait(), Settled::Confirmed(1), "{fault:?}");
    foreign(&memory, 3);
    assert!(replicator.status_when(|status| status.head == 4).wait().is_some());
    assert!(replicator.shutdown(LONG).is_clean());
}

#[test]
fn for_threads_passes_pushes_and_pulls_through_faults() {
    let faults =
        [Fault::Reject, Fault::DisconnectAfter, Fault::Busy(SHORT), Fault::Hang, Fault::EndStream, Fault::Panic];
    for fault in faults.map(Some).into_iter().chain([None]) {
        confirmed_by_threads(fault);
    }
}

/// An upstream that says of a push that it has begun.
struct Says(Memory<Log>, Arc<Latch>);

impl AsyncUpstream<Log> for Says {
    type Pull<'a> = <Memory<Log> as AsyncUpstream<Log>>::Pull<'a>;

    async fn push(&self, batch: &Batch<Log>) -> Result<(), PushError<u64>> {
        self.1.open();
        AsyncUpstream::push(&self.0, batch).await
    }

    fn pull(&self, cursor: u64) -> Self::Pull<'_> {
        AsyncUpstream::pull(&self.0, cursor)
    }
}

#[test]
fn for_threads_drops_a_call_that_is_interrupted_or_late() {
    let (memory, begun): (Memory<Log>, _) = (Memory::new(0), Arc::new(Latch::new()));
    let upstream = ForThreads::new(Says(memory.clone(), Arc::clone(&begun)), |call| pollster::block_on(call));
    let set = Interrupt::new();
    set.set(Cause::Stop);
    let outcome = Upstream::push(&upstream, &batch(), &set);
    assert!(matches!(outcome, Err(PushError::Unavailable { .. })) && !begun.is_open(), "it was not begun");
    assert!(Upstream::<Log>::pull(&upstream, 0, &set).next().unwrap().is_err());

    memory.fail_push(Fault::Hang);
    let interrupt = Interrupt::new();
    let outcome = std::thread::scope(|scope| {
        let push = scope.spawn(|| Upstream::push(&upstream, &batch(), &interrupt));
        begun.wait();
        interrupt.set(Cause::Restart);
        push.join().unwrap()
    });
    assert!(matches!(outcome, Err(PushError::Uncertain { .. })), "{outcome:?}");

    memory.fail_push(Fault::Hang);
    begun.close();
    before_a_deadline(|deadline| {
        let outcome = Upstream::push(&upstream, &batch(), &Interrupt::with_deadline(deadline));
        match begun.is_open() {
            true => assert!(matches!(outcome, Err(PushError::Uncertain { .. })), "{outcome:?}"),
            false => assert!(matches!(outcome, Err(PushError::Unavailable { .. })), "{outcome:?}"),
        }
        begun.is_open()
    });
    before_a_deadline(|deadline| {
        let interrupt = Interrupt::with_deadline(deadline);
        let mut pages = Upstream::<Log>::pull(&upstream, 0, &interrupt);
        let caught_up = pages.next().unwrap().is_ok();
        assert!(!caught_up || pages.next().unwrap().is_err(), "it waits until the deadline");
        assert!(pages.next().is_none());
        caught_up
    });
    assert!(memory.is_empty());
}

/// Makes a call that is to begin before its deadline, and again with twice the time if that was too short. None ends before it.
fn before_a_deadline(mut begins: impl FnMut(Instant) -> bool) {
    let mut time = SHORT;
    loop {
        let deadline = Instant::now() + time;
        let has_begun = begins(deadline);
        assert!(Instant::now() >= deadline && time < LONG);
        if has_begun {
            return;
        }
        time *= 2;
    }
}

#[test]
fn for_threads_has_a_journal_written_on_its_thread() {
    let held = Held::new(Recovered::new(0));
    held.fail_before();
    let journal = journal::ForThreads::new(held.clone(), |write| pollster::block_on(write));
    let replicator = quick(Memory::new(0)).journal(journal).spawn().unwrap();
    let ticket = replicator.commit(vec![1]).unwrap();
    let failed = replicator.status_when(|status| matches!(status.waiting_on, WaitingOn::Owner(_))).wait();
    assert_eq!(failed.unwrap().waiting_on.to_string(), "the owner: the journal could not be written: the disk is full");
    replicator.restart();
    assert!(ticket.durable().wait());
    assert!(replicator.shutdown(LONG).is_clean());
    assert_eq!(held.recovered().cursor, 1);
}

/// A journal that panics, and counts.
struct Counts(usize);

impl Journal<Log> for Counts {
    type Error = MemoryError;

    fn write(&mut self, _: &[Change<MemoryEntry<u64>, u64>]) -> Result<(), MemoryError> {
        self.0 += 1;
        assert!(self.0 > 1, "no such table");
        Err(MemoryError::Full)
    }
}

#[test]
fn for_tasks_says_what_came_of_a_write_and_that_a_job_was_not_run() {
    let change = || [Change::new(1, Changed::Committed { entries: vec![] }, 0)];
    let mut counts = journal::ForTasks::new(Counts(0), on_a_thread);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        _ = pollster::block_on(AsyncJournal::<Log>::write(&mut counts, &change()));
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"no such table"));
    let error = pollster::block_on(AsyncJournal::<Log>::write(&mut counts, &change())).unwrap_err();
    assert_eq!(
        (error, error.to_string().as_str()),
        (journal::ForTasksError::Journal(MemoryError::Full), "the disk is full")
    );
    let mut dropping = journal::ForTasks::new(Counts(0), |job: Job| drop(job));
    let error = pollster::block_on(AsyncJournal::<Log>::write(&mut dropping, &change())).unwrap_err();
    assert_eq!(error, journal::ForTasksError::NotRun);
    assert_eq!(error.to_string(), "the call was dropped before it was made");
}

fn over(memory: &Memory<Log>) -> ForTasks<Memory<Log>, fn(Job)> {
    ForTasks::new(memory.clone(), on_a_thread)
}

#[test]
fn for_tasks_passes_pushes_and_pulls_through_faults() {
    run(async {
        for fault in [Fault::Reject, Fault::DisconnectAfter, Fault::Busy(SHORT), Fault::Delay(SHORT), Fault::Panic] {
            let memory = Memory::new(0);
            let (replicator, driver) = quick(over(&memory)).build_async(tokio::time::sleep);
            let driver = tokio::spawn(driver);
            memory.fail_push(fault);
            memory.fail_pull(fault);
            let ticket = replicator.commit(vec![1]).unwrap();
            if fault == Fault::Panic {
                // Both directions: a restart is for those that have failed by then.
                let status = replicator.status_when(|status| {
                    matches!((&status.waiting_on, &status.pull_waiting_on), (WaitingOn::Owner(_), WaitingOn::Owner(_)))
                });
                let status = status.await;
                let said = status.unwrap().waiting_on.to_string();
                assert!(said.contains("injected"), "{said}");
                replicator.restart();
            }
            assert_eq!(ticket.await, Settled::Confirmed(1), "{fault:?}");
            foreign(&memory, 3);
            assert!(replicator.status_when(|status| status.head == 4).await.is_some());
            replicator.stop();
            driver.await.unwrap();
        }
    });
}

#[test]
fn for_tasks_interrupts_a_call_whose_future_is_dropped_and_leaves_no_thread() {
    run(async {
        let memory = Memory::new(0);
        let (held, threads) = (Arc::new(()), Arc::new(AtomicUsize::new(0)));
        let counted = {
            let (held, threads) = (Arc::clone(&held), Arc::clone(&threads));
            move |job: Job| {
                let held = Arc::clone(&held);
                threads.fetch_add(1, Ordering::SeqCst);
                drop(std::thread::spawn(move || {
                    job();
                    drop(held);
                }));
            }
        };
        let builder = quick(ForTasks::new(memory.clone(), counted)).push_deadline(SHORT);
        let (replicator, driver) = builder.build_async(tokio::time::sleep);
        let driver = tokio::spawn(driver);
        memory.fail_push(Fault::Hang);
        let ticket = replicator.commit(vec![1]).unwrap();
        assert_eq!(ticket.await, Settled::Confirmed(1), "after the deadline");
        memory.fail_push(Fault::Hang);
        drop(replicator.commit(vec![2]).unwrap());
        replicator.status_when(|status| matches!(status.push, Push::Sending { .. })).await;
        driver.abort();
        assert!(driver.await.unwrap_err().is_cancelled());
        assert!(threads.load(Ordering::SeqCst) >= 3);
        eventually(|| Arc::strong_count(&held) == 1);
        assert!(replicator.shutdown(LONG).uncertain);
    });
}

#[test]
fn a_job_of_for_tasks_that_is_not_run_is_unavailable_and_one_too_late_makes_no_call() {
    let memory = Memory::new(0);
    let dropping = ForTasks::new(memory.clone(), |job: Job| drop(job));
    let outcome = pollster::block_on(AsyncUpstream::<Log>::push(&dropping, &batch()));
    assert!(matches!(outcome, Err(PushError::Unavailable { .. })), "{outcome:?}");
    let page = pollster::block_on(AsyncUpstream::<Log>::pull(&dropping, 0).next_page());
    assert!(page.unwrap().is_err());

    let jobs = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&jobs);
    let late = ForTasks::new(memory.clone(), move |job: Job| kept.lock().unwrap().push(job));
    let batch = batch();
    let mut push = Box::pin(AsyncUpstream::<Log>::push(&late, &batch));
    assert!(poll_once(&mut push).is_pending());
    drop(push);
    // The next waits until that is over.
    let mut push = Box::pin(AsyncUpstream::<Log>::push(&late, &batch));
    assert!(poll_once(&mut push).is_pending());
    assert_eq!(jobs.lock().unwrap().len(), 1);
    let job = jobs.lock().unwrap().pop().unwrap();
    job();
    assert!(memory.is_empty(), "its future was dropped before it was run");
    assert!(poll_once(&mut push).is_pending());
    let job = jobs.lock().unwrap().pop().unwrap();
    job();
    assert!(matches!(poll_once(&mut push), Poll::Ready(Ok(()))));
}

#[test]
fn a_pull_of_for_tasks_is_one_page_ahead_at_most() {
    /// Counts its pages.
    struct Endless(Arc<AtomicUsize>);

    impl Upstream<Log> for Endless {
        fn push(&self, _: &Batch<Log>, _: &Interrupt) -> Result<(), PushError<u64>> {
            Ok(())
        }

        fn pull<'a>(
            &'a self,
            _: u64,
            _: &'a Interrupt,
        ) -> impl Iterator<Item = Result<latchwork::upstream::Page<MemoryEntry<u64>>, latchwork::upstream::PullError>> + 'a
        {
            std::iter::repeat_with(|| {
                self.0.fetch_add(1, Ordering::SeqCst);
                Ok(latchwork::upstream::Page { entries: Vec::new(), more: latchwork::upstream::More::Unknown })
            })
        }
    }

    let pages = Arc::new(AtomicUsize::new(0));
    let upstream = ForTasks::new(Endless(Arc::clone(&pages)), on_a_thread);
    let mut pull = AsyncUpstream::<Log>::pull(&upstream, 0);
    for taken in 1..50 {
        assert!(pollster::block_on(pull.next_page()).unwrap().is_ok());
        std::thread::sleep(Duration::from_micros(200));
        let made = pages.load(Ordering::SeqCst);
        assert!(made == taken || made == taken + 1, "{made} pages for {taken}");
    }
    drop(pull);
    eventually(|| Arc::strong_count(&pages) == 2);
    drop(upstream);
    eventually(|| Arc::strong_count(&pages) == 1);
}
