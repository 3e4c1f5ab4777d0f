//! What threads do and tasks do not: they are joined, have names, and hear what a call answers that has been interrupted.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use latchwork::Interrupt;
use latchwork::log::MemoryLog;
use latchwork::protocol::{Direction, Pull, Push, WaitingOn};
use latchwork::upstream::{Batch, FatalKind, Page, PullError, PushError, Upstream};

use super::*;
use crate::upstream::{Hooked, dead};

#[test]
fn dropping_it_settles_every_ticket_and_joins_its_threads() {
    /// Upstream that cannot be reached: pulls and pushes last until they are interrupted.
    struct Away {
        _alive: Arc<()>,
    }
    impl Upstream<State> for Away {
        fn push(&self, _: &Batch<State>, interrupt: &Interrupt) -> Result<(), PushError<<State as Log>::Position>> {
            interrupt.wait();
            Err(PushError::Unavailable { retry_after: None, error: "interrupted".into() })
        }
        fn pull<'a>(
            &'a self,
            _: <State as Log>::Position,
            interrupt: &'a Interrupt,
        ) -> impl Iterator<Item = Result<Page<Entry<Item>>, PullError>> + 'a {
            std::iter::once_with(|| {
                interrupt.wait();
                Err(PullError::Unavailable { retry_after: None, error: "interrupted".into() })
            })
        }
    }
    let alive = Arc::new(());
    let replicator = quick(State::default(), Away { _alive: Arc::clone(&alive) }).start();
    let tickets: Vec<_> = (0..10).map(|n| replicator.commit(items(1, n..n + 1)).unwrap()).collect();
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| tickets.iter().map(|ticket| block_on(ticket.wait_async())).collect::<Vec<_>>());
        eventually(|| replicator.status().counters.pushes == 1);
        drop(replicator);
        assert_eq!(Arc::strong_count(&alive), 1, "no thread holds the upstream any more");
        waiting.join().unwrap()
    });
    assert_eq!(waiting, [Settled::Closed; 10]);
}

#[test]
fn a_drop_of_the_last_clone_on_a_thread_of_its_own_waits_for_the_other_alone() {
    struct Keeps {
        handle: Mutex<Option<Replicator<State>>>,
        is_last: Latch,
        dropped: Latch,
    }
    impl Wake for Keeps {
        fn wake(self: Arc<Self>) {
            pass(&self.is_last);
            drop(self.handle.lock().unwrap().take());
            self.dropped.open();
        }
    }
    let replicator = quick(State::default(), empty_upstream()).start();
    replicator.pause(Direction::Push);
    let ticket = replicator.commit(items(1, 0..1)).unwrap();
    let keeps =
        Arc::new(Keeps { handle: Mutex::new(Some(replicator.clone())), is_last: Latch::new(), dropped: Latch::new() });
    let waker = Waker::from(Arc::clone(&keeps));
    let mut wait = std::pin::pin!(ticket.wait_async());
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    replicator.resume(Direction::Push);
    drop(replicator);
    keeps.is_last.open();
    pass(&keeps.dropped);
    assert!(matches!(ticket.settled(), Some(Settled::Confirmed(_))));
}

#[test]
fn many_can_be_stopped_at_once() {
    const MANY: usize = 20;
    let upstream = empty_upstream();
    let (told, all_told) = (AtomicUsize::new(0), Latch::new());
    // Each goes on until all have been told: they would wait for ever if one were waited for before the next is told.
    let slow = Hooked::new(&upstream).before_push(move |_, _, interrupt| {
        interrupt.wait();
        if told.fetch_add(1, Ordering::SeqCst) + 1 == MANY {
            all_told.open();
        }
        pass(&all_told);
        Ok(())
    });
    let slow = Arc::new(slow);
    struct Shared(Arc<Hooked<State>>);
    impl Upstream<State> for Shared {
        fn push(&self, batch: &Batch<State>, interrupt: &Interrupt) -> Result<(), PushError<<State as Log>::Position>> {
            self.0.push(batch, interrupt)
        }
        fn pull<'a>(
            &'a self,
            cursor: <State as Log>::Position,
            interrupt: &'a Interrupt,
        ) -> impl Iterator<Item = Result<Page<Entry<Item>>, PullError>> + 'a {
            self.0.pull(cursor, interrupt)
        }
    }
    let all: Vec<_> = (0..MANY).map(|_| quick(State::default(), Shared(Arc::clone(&slow))).start()).collect();
    for (client, replicator) in (0..).zip(&all) {
        replicator.commit(items(client, 0..1)).unwrap();
        eventually(|| replicator.status().counters.pushes == 1);
    }
    all.iter().for_each(Replicator::stop);
    all.iter().for_each(|replicator| block_on(replicator.stopped()));
    assert_eq!(upstream.len(), 1, "all have been told");
}

#[test]
fn a_shutdown_during_a_push_says_that_upstream_may_have_taken_it() {
    let upstream = empty_upstream();
    let gate = Arc::new(Latch::new());
    let hooked = {
        let gate = Arc::clone(&gate);
        Hooked::new(&upstream).before_push(move |_, _, _| {
            pass(&gate);
            Ok(())
        })
    };
    let replicator = quick(State::default(), hooked).start();
    let ticket = replicator.commit(items(1, 0..2)).unwrap();
    eventually(|| replicator.status().counters.pushes == 1);
    let left = replicator.shutdown(10 * SHORT);
    assert!(left.uncertain && left.pending.len() == 2, "{left:?}");
    let [unfinished] = left.unfinished[..] else { panic!("the push does not heed its interrupt: {left:?}") };
    assert_eq!(unfinished.direction, Direction::Push);
    assert!(unfinished.calling_for.is_some_and(|time| time >= SHORT), "{left:?}");
    assert_eq!(ticket.settled(), Some(Settled::Closed));
    drop(left);
    assert!(replicator.into_log().is_none(), "it may be needed for the answer");
    assert!(upstream.is_empty(), "it is not waited for");
    gate.open();
    eventually(|| upstream.len() == 2);
    assert_eq!(ticket.settled(), Some(Settled::Closed), "it settled once");
}

#[test]
fn drop_counts_the_last_answer_and_then_ends_the_updates() {
    let upstream = empty_upstream();
    let hooked = Hooked::new(&upstream).before_push(|_, _, interrupt| {
        interrupt.wait();
        Ok(())
    });
    let replicator = quick(State::default(), hooked).start();
    let updates = replicator.updates();
    let ticket = replicator.commit(items(1, 0..1)).unwrap();
    eventually(|| replicator.status().counters.pushes == 1);
    drop(replicator);
    assert!(matches!(ticket.settled(), Some(Settled::Confirmed(_))));
    assert_eq!(updates.receiver.iter().count(), 1, "and then there are no more");
}

#[test]
fn shutdowns_at_the_same_time_report_the_same_once_the_threads_have_ended() {
    let upstream = empty_upstream();
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let hooked = Hooked::new(&upstream).before_push(move |_, _, interrupt| {
        drop(Arc::clone(&held));
        interrupt.wait();
        std::thread::sleep(SHORT / 10);
        Err(PushError::Unavailable { retry_after: None, error: "interrupted".into() })
    });
    let replicator = quick(State::default(), hooked).start();
    let _ticket = replicator.commit(items(1, 0..2)).unwrap();
    eventually(|| replicator.status().counters.pushes == 1);
    let reports = std::thread::scope(|scope| {
        // The second would wait longer than the test does.
        let shutdowns = [10 * SHORT, HOUR].map(|timeout| {
            let (replicator, alive) = (replicator.clone(), &alive);
            scope.spawn(move || {
                let report = replicator.shutdown(timeout);
                assert_eq!(Arc::strong_count(alive), 1, "a thread holds the upstream yet");
                report
            })
        });
        shutdowns.map(|shutdown| shutdown.join().unwrap())
    });
    for report in &reports {
        assert_eq!((report.pending.len(), report.uncertain, report.unfinished.len()), (2, false, 0), "{reports:?}");
    }
    assert_eq!(replicator.shutdown(Duration::ZERO).pending, reports[0].pending, "a later one finds nothing new");
    assert_eq!(replicator.into_log().expect("no thread needs it").pending().len(), 2);
}

#[test]
fn a_shutdown_after_one_in_vain_waits_for_what_that_has_left_behind() {
    let upstream = empty_upstream();
    let gate = Arc::new(Latch::new());
    let held = Arc::clone(&gate);
    let hooked = Hooked::new(&upstream).before_push(move |_, _, _| {
        pass(&held);
        Ok(())
    });
    let replicator = quick(State::default(), hooked).start();
    let ticket = replicator.commit(items(1, 0..2)).unwrap();
    eventually(|| replicator.status().counters.pushes == 1);
    for _ in 0..2 {
        let left = replicator.shutdown(10 * SHORT);
        assert_eq!((left.pending.len(), left.uncertain, left.unfinished.len()), (2, true, 1), "{left:?}");
    }
    gate.open();
    assert!(replicator.shutdown(LONG).is_clean(), "the answer has come");
    assert_eq!(Arc::strong_count(&gate), 1, "the thread has ended");
    assert_eq!((upstream.len(), ticket.settled()), (2, Some(Settled::Closed)), "it settled once");
    assert!(replicator.into_log().is_some());
}

#[test]
fn the_threads_are_called_by_the_name_of_the_replicator() {
    let upstream = Memory::new(0);
    let (send, receive) = std::sync::mpsc::channel();
    let name = move || send.send(std::thread::current().name().map(String::from)).unwrap();
    let names = Arc::new(std::sync::Mutex::new(name));
    let hooked = {
        let names = Arc::clone(&names);
        let also = Arc::clone(&names);
        Hooked::new(&upstream)
            .before_push(move |_, _, _| {
                names.lock().unwrap()();
                Ok(())
            })
            .on_page(move |at, page, _| {
                if at == (crate::upstream::Place { pull: 1, page: 1 }) {
                    also.lock().unwrap()();
                }
                Ok(page)
            })
    };
    let replicator = quick(MemoryLog::new(), hooked).name("documents/7").start();
    assert_eq!(format!("{replicator:?}"), "Replicator { name: Some(\"documents/7\"), .. }");
    replicator.commit(vec![1_u64]).unwrap();
    replicator.flush(LONG).unwrap();
    // A flush waits for the pusher alone: the puller says its name when its first page comes.
    let told = || receive.recv_timeout(LONG).expect("each direction calls upstream").unwrap();
    let mut names = [told(), told()];
    names.sort();
    assert_eq!(names, ["ocuments/7 pull", "ocuments/7 push"], "the last ten bytes of it");
}

#[test]
fn a_failure_for_the_owner_is_told_even_by_a_pull_that_was_asked_to_end() {
    let upstream = empty_upstream();
    let hooked = Hooked::new(&upstream).on_page(|_, _, interrupt| {
        interrupt.wait();
        let (kind, error) = (FatalKind::IdentityMismatch, "the log belongs to another upstream".into());
        Err(PullError::Fatal { kind, error })
    });
    let replicator = quick(State::default(), hooked).start();
    eventually(|| matches!(replicator.status().pull, Pull::Pulling { .. }));
    replicator.pause(Direction::Pull);
    eventually(|| matches!(replicator.status().pull, Pull::Failed { .. }));
    let error = replicator.status().last_error.expect("it has failed");
    assert!(error.to_string().contains("the log belongs to another upstream"), "{error}");
}

/// As it does for any log: whatever is answered, or panics, while another log is in its place.
#[test]
fn what_a_push_of_a_former_log_is_answered_is_not_the_present_ones() {
    type Answer = fn() -> Result<(), PushError<<State as Log>::Position>>;
    let answers: [Answer; 7] = [
        || Ok(()),
        || Err(PushError::Behind { head: None }),
        || Err(PushError::Unavailable { retry_after: None, error: "the former's".into() }),
        || Err(PushError::Uncertain { error: "the former's".into() }),
        || Err(PushError::Rejected { index: 0, error: "the former's".into() }),
        || Err(PushError::Fatal { kind: FatalKind::Other, error: "the former's".into() }),
        || std::panic::resume_unwind(Box::new("the former's")),
    ];
    for answer in answers {
        let upstream = empty_upstream();
        let gate = Arc::new(Latch::new());
        let held = Arc::clone(&gate);
        let hooked = Hooked::new(&upstream).before_push(move |push, _, _| {
            if push == 1 {
                pass(&held);
                return answer();
            }
            Ok(())
        });
        let replicator = quick(State::default(), hooked).start();
        let former = replicator.commit(items(1, 0..2)).unwrap();
        eventually(|| replicator.status().counters.pushes == 1);
        replicator.pause(Direction::Push);
        replicator.reset(State::default());
        let present = replicator.commit(items(1, 2..3)).unwrap();
        gate.open();
        eventually(|| !matches!(replicator.status().push, Push::Sending { .. }));
        let status = replicator.status();
        assert_eq!((status.push, status.waiting_on), (Push::Idle, WaitingOn::Gate(Direction::Push)));
        assert_eq!(status.last_error, None);
        assert_eq!((former.settled(), present.settled()), (Some(Settled::Closed), None));
        replicator.resume(Direction::Push);
        confirmed(&present);
    }
}

#[test]
fn what_a_pull_of_a_former_log_ends_with_is_not_the_present_ones() {
    let answers: [fn() -> PullError; 3] = [
        dead,
        || PullError::Fatal { kind: FatalKind::Other, error: "the former's".into() },
        || std::panic::resume_unwind(Box::new("the former's")),
    ];
    for answer in answers {
        let (gate, next) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
        let (held, later) = (Arc::clone(&gate), Arc::clone(&next));
        let hooked = Hooked::new(&empty_upstream()).on_page(move |at, page, _| {
            if at.pull == 1 {
                pass(&held);
                return Err(answer());
            }
            pass(&later);
            Ok(page)
        });
        let replicator = quick(State::default(), hooked).start();
        eventually(|| replicator.status().counters.pulls == 1);
        replicator.reset(State::default());
        gate.open();
        eventually(|| replicator.status().counters.pulls == 2);
        let status = replicator.status();
        assert!(status.last_error.is_none() && matches!(status.pull, Pull::Pulling { .. }), "{status:?}");
        next.open();
        assert!(replicator.caught_up().wait_timeout(LONG).is_ready());
    }
}
