//! A thousand tasks wait for the same thing, and it comes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use event_listener::Event;
use latchwork::{Epoch, Latch};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::Bench;
use crate::turns::{Contender, take_turns};

const TASKS: usize = 1000;

/// What an executor has for each task: waking it notes that it is to run again.
#[derive(Default)]
struct Task {
    woken: AtomicUsize,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.fetch_add(1, Ordering::Relaxed);
    }
}

/// Nanoseconds of a thousand waits: of the call that wakes them, or of the whole, from the first poll to the last.
fn wake_all<F: Future>(whole: bool, wait: impl Fn() -> F, wake: impl FnOnce()) -> f64 {
    let tasks: Vec<_> = (0..TASKS).map(|_| Arc::new(Task::default())).collect();
    let wakers: Vec<_> = tasks.iter().map(|task| Waker::from(Arc::clone(task))).collect();
    let mut waits: Vec<Pin<Box<F>>> = (0..TASKS).map(|_| Box::pin(wait())).collect();
    let begin = Instant::now();
    for (wait, waker) in waits.iter_mut().zip(&wakers) {
        assert!(wait.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    }
    let waking = Instant::now();
    wake();
    let woken = waking.elapsed();
    for (wait, waker) in waits.iter_mut().zip(&wakers) {
        assert!(matches!(wait.as_mut().poll(&mut Context::from_waker(waker)), Poll::Ready(_)));
    }
    let all = begin.elapsed();
    assert!(tasks.iter().all(|task| task.woken.load(Ordering::Relaxed) == 1), "each was woken once");
    (if whole { all } else { woken }).as_nanos() as f64
}

pub fn thousand(bench: &mut Bench) {
    for (whole, what) in [(false, "wake 1,000 async waiters"), (true, "1,000 async waiters wait, wake and go on")] {
        let results = take_turns(
            bench.rounds(100),
            vec![
                Contender::new("Latch", || {
                    let latch = Latch::new();
                    wake_all(whole, || latch.opened(), || assert!(latch.open()))
                }),
                Contender::new("Epoch", || {
                    let epoch = Epoch::new();
                    wake_all(whole, || epoch.past(0), || assert_eq!(epoch.bump(), 1))
                }),
                Contender::new("Notify::notify_waiters", || {
                    let notify = Notify::new();
                    wake_all(whole, || notify.notified(), || notify.notify_waiters())
                }),
                Contender::new("event-listener", || {
                    let event = Event::new();
                    wake_all(whole, || event.listen(), || assert_eq!(event.notify(usize::MAX), TASKS))
                }),
                Contender::new("watch", || {
                    let (sender, receiver) = watch::channel(false);
                    let wait = || {
                        let mut receiver = receiver.clone();
                        async move { receiver.changed().await.is_ok() }
                    };
                    wake_all(whole, wait, || assert!(!sender.send_replace(true)))
                }),
                Contender::new("CancellationToken", || {
                    let token = CancellationToken::new();
                    wake_all(whole, || token.cancelled(), || token.cancel())
                }),
            ],
        );
        for ours in ["Latch", "Epoch"] {
            let what = format!("{what}: {ours}");
            bench.report.judge_ratio(&what, &results, ours, "Notify::notify_waiters", 1.0);
        }
        bench.report.note(what, "ns", &results);
    }
}
