//! What the replicator tells `tracing`.
#![cfg(all(not(loom), feature = "tracing"))]

use std::fmt::{Debug, Write};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock};
use std::thread::{current, yield_now};
use std::time::Duration;

use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::replicator::{CommitError, GiveUp};
use latchwork::upstream::{Batch, Fault, Memory, Page, PullError, PushError, Upstream};
use latchwork::{Backoff, Interrupt, Replicator, Settled, Waited};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

type Log = MemoryLog<&'static str>;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);

/// One at a time: a process has one subscriber.
static TURN: Mutex<()> = Mutex::new(());
/// By whom, and what. Times and counters are left out of the latter; see [`COUNTERS`].
static EVENTS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());
static MORE: Condvar = Condvar::new();
/// The last ones that were told.
static COUNTERS: Mutex<String> = Mutex::new(String::new());
/// What the subscriber does besides.
static HOOK: RwLock<Option<Box<dyn Fn() + Send + Sync>>> = RwLock::new(None);

struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "latchwork"
    }
    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line(metadata.name().to_owned());
        event.record(&mut line);
        assert_eq!(*metadata.level() == Level::WARN, metadata.name() == "backend-push-error");
        let thread = current().name().unwrap_or_default().to_owned();
        EVENTS.lock().unwrap().push((thread, line.0));
        MORE.notify_all();
        if let Some(hook) = &*HOOK.read().unwrap() {
            hook();
        }
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// An event in one line.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "message" => assert!(self.0.starts_with(&value), "the message is not the name"),
            "counters" => *COUNTERS.lock().unwrap() = value,
            "cause" => write!(self.0, " cause={}", value.split([',', ':']).next().unwrap_or_default()).unwrap(),
            name => write!(self.0, " {name}={value}").unwrap(),
        }
    }
}

/// Begins a test: nothing has been told yet.
fn begin() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let _already = tracing::subscriber::set_global_default(Collector);
    EVENTS.lock().unwrap().clear();
    turn
}

fn hook(hook: Option<Box<dyn Fn() + Send + Sync>>) {
    *HOOK.write().unwrap() = hook;
}

/// What a thread has told.
fn told(thread: &str) -> Vec<String> {
    EVENTS.lock().unwrap().iter().filter(|(by, _)| by == thread).map(|(_, line)| line.clone()).collect()
}

/// Waits until so many events of this name have been told.
#[track_caller]
fn until(name: &str, times: usize) {
    let fewer = |events: &mut Vec<(String, String)>| {
        events.iter().filter(|(_, line)| line.split(' ').next() == Some(name)).count() < times
    };
    let (events, waited) = MORE.wait_timeout_while(EVENTS.lock().unwrap(), LONG, fewer).unwrap();
    assert!(!waited.timed_out(), "expected {times} times {name}, got {events:#?}");
}

type Answer = Result<(), PushError<u64>>;

/// Pulls are the memory's; pushes get the answers that the test gives, and change nothing.
struct Scripted {
    memory: Memory<Log>,
    answers: Mutex<Receiver<Answer>>,
}

impl Upstream<Log> for Scripted {
    fn push(&self, _: &Batch<Log>, _: &Interrupt) -> Answer {
        self.answers.lock().unwrap().recv_timeout(LONG).expect("the test gives an answer")
    }
    fn pull<'a>(
        &'a self,
        cursor: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<MemoryEntry<&'static str>>, PullError>> + 'a {
        self.memory.pull(cursor, interrupt)
    }
}

#[test]
fn events_come_in_order_to_a_subscriber_that_asks_for_status() {
    let _turn = begin();
    let memory = Memory::new(0);
    let (answer, answers) = channel();
    let upstream = Scripted { memory: memory.clone(), answers: Mutex::new(answers) };
    let millisecond = Duration::from_millis(1);
    let replicator = Replicator::builder(Log::rebasing(), upstream)
        .catch_up_grace(HOUR)
        .backoff(Backoff::new(millisecond, millisecond))
        .spawn()
        .unwrap();
    let replicator = Arc::new(replicator);
    let asked = Arc::clone(&replicator);
    hook(Some(Box::new(move || drop(asked.status()))));
    until("park", 1);
    while replicator.status().counters.pages == 0 {
        // The first pull has not caught up yet.
        yield_now();
    }

    let ticket = replicator.commit(vec!["mine"]).unwrap();
    answer.send(Err(PushError::Behind { head: Some(1) })).unwrap();
    until("park", 2);
    memory.append([MemoryEntry { position: 1, event: "theirs" }]);
    until("backend-push-batch", 2);
    answer.send(Err(PushError::Unavailable { retry_after: None, error: "offline".into() })).unwrap();
    until("backend-push-batch", 3);
    answer.send(Ok(())).unwrap();
    assert!(matches!(ticket.wait_timeout(LONG), Waited::Ready(Settled::Confirmed(2))));
    until("park", 4);

    let stale = replicator.commit_numbered(vec![MemoryEntry { position: 2, event: "stale" }]);
    assert!(matches!(stale, Err(CommitError::Refused(_))));
    replicator.restart();
    hook(None);
    let left = Arc::into_inner(replicator).unwrap().shutdown(LONG);
    assert!(left.is_clean(), "{left:?}");

    let none = "epoch=0 upstream_head=0 head=0 pending=0";
    let mine = "epoch=0 upstream_head=0 head=1 pending=1";
    let moved = "epoch=1 upstream_head=1 head=2 pending=1";
    let done = "epoch=2 upstream_head=2 head=2 pending=0";
    let pusher = told("latchwork-push");
    let expected = [
        format!("start generation=0 {none}"),
        format!("park generation=0 {none} cause=no party"),
        format!("resume generation=1 {mine} by=\"commit\""),
        format!("backend-push-batch generation=1 {mine} batch=1"),
        format!("backend-push-error generation=1 {mine} batch=1 error=\"upstream is ahead of the batch\""),
        format!("park generation=1 {mine} cause=the clock"),
        format!("resume generation=2 {moved} by=\"pull-rebase\""),
        format!("backend-push-batch generation=2 {moved} batch=1"),
        format!("backend-push-error generation=2 {moved} batch=1 error=\"upstream is unavailable: offline\""),
        format!("park generation=2 {moved} cause=the connection"),
        format!("resume generation=3 {moved} by=\"clock\""),
        format!("backend-push-batch generation=3 {moved} batch=1"),
        format!("pull-advance generation=3 {done} from=\"push\" new=0 confirmed=1"),
        format!("park generation=3 {done} cause=no party"),
        // The restart has made the epoch grow, for both directions.
        format!("resume generation=3 {} by=\"stop\"", done.replace("epoch=2", "epoch=4")),
        format!("stop generation=3 {}", done.replace("epoch=2", "epoch=4")),
    ];
    assert_eq!(pusher, expected);
    let puller = [format!("pull-rebase generation=1 {moved} from=\"pull\" new=1 confirmed=0 moved=1 dropped=0")];
    assert_eq!(told("latchwork-pull"), puller);
    let owner = [
        format!("local-push-reject generation=3 {done} error=\"expected event 3 next, got 2\""),
        format!("restart generation=3 {done}"),
    ];
    assert_eq!(told(current().name().unwrap()), owner);
    let counters = COUNTERS.lock().unwrap();
    assert!(
        counters
            .contains("accepted: 1, behind: 1, rejected: 0, too_large: 0, given_up: 0, uncertain: 0, unavailable: 1"),
        "{counters}"
    );
}

#[test]
fn events_have_the_name_and_errors_are_formatted_without_the_lock() {
    /// Asks how things stand as it is formatted.
    #[derive(Debug)]
    struct Asks(Arc<Mutex<std::sync::Weak<Replicator<Log>>>>);
    impl std::fmt::Display for Asks {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let pending = self.0.lock().unwrap().upgrade().map(|replicator| replicator.status().pending);
            write!(f, "{pending:?} pending")
        }
    }
    impl std::error::Error for Asks {}

    let _turn = begin();
    let (answer, answers) = channel();
    let upstream = Scripted { memory: Memory::new(0), answers: Mutex::new(answers) };
    let replicator = Arc::new(
        Replicator::builder(Log::new(), upstream).backoff(Backoff::new(HOUR, HOUR)).name("docs/7").spawn().unwrap(),
    );
    let asks = Arc::new(Mutex::new(Arc::downgrade(&replicator)));
    replicator.commit(vec!["mine"]).unwrap();
    answer.send(Err(PushError::Unavailable { retry_after: None, error: Asks(Arc::clone(&asks)).into() })).unwrap();
    until("backend-push-error", 1);
    *asks.lock().unwrap() = std::sync::Weak::new();
    let _left = Arc::into_inner(replicator).unwrap().shutdown(Duration::ZERO);
    let told = told("docs/7 push");
    assert!(told.iter().all(|line| line.contains(" replicator=\"docs/7\" generation=")), "{told:#?}");
    assert!(told.iter().any(|line| line.ends_with("error=\"upstream is unavailable: Some(1) pending\"")), "{told:#?}");
}

#[test]
fn an_event_that_is_refused_parks_the_pusher_for_the_owner_and_is_given_up() {
    let _turn = begin();
    let (answer, answers) = channel();
    let upstream = Scripted { memory: Memory::new(0), answers: Mutex::new(answers) };
    let replicator = Replicator::builder(Log::new(), upstream).spawn().unwrap();
    until("park", 1);
    let ticket = replicator.commit(vec!["mine", "ours"]).unwrap();
    answer.send(Err(PushError::Rejected { index: 0, error: "422".into() })).unwrap();
    until("park", 2);
    replicator.give_up(GiveUp::CommitOfRejected).unwrap();
    assert_eq!(ticket.settled(), Some(Settled::Rejected));
    let facts = "generation=1 epoch=0 upstream_head=0";
    let pusher = told("latchwork-push");
    let expected = [
        format!("backend-push-batch {facts} head=2 pending=2 batch=2"),
        format!(
            "backend-push-error {facts} head=2 pending=2 batch=2 error=\"upstream refuses event 0 of the batch: 422\""
        ),
        format!("park {facts} head=2 pending=2 cause=the owner"),
    ];
    assert_eq!(pusher[3..6], expected);
    let owner = told(current().name().unwrap());
    assert_eq!(owner, [format!("local-give-up {facts} head=0 pending=0 dropped=2 moved=0")]);
}

#[test]
fn a_subscriber_that_panics_stops_nothing() {
    let _turn = begin();
    hook(Some(Box::new(|| panic!("a subscriber's"))));
    let memory = Memory::new(0);
    let replicator = Replicator::builder(Log::new(), memory.clone()).spawn().unwrap();
    for event in ["one", "two", "three"] {
        let ticket = replicator.commit(vec![event]).unwrap();
        assert!(matches!(ticket.wait_timeout(LONG), Waited::Ready(Settled::Confirmed(_))));
    }
    assert!(replicator.shutdown(LONG).is_clean());
    hook(None);
    assert_eq!(memory.len(), 3);
    assert!(told("latchwork-push").last().unwrap().starts_with("stop "));
}

#[test]
fn events_of_two_replicators_on_one_thread_are_not_mixed_up() {
    let _turn = begin();
    let start = |name: &str| {
        let memory = Memory::<Log>::new(0);
        Replicator::builder(Log::new(), memory).name(name).build_async(|_| std::future::pending())
    };
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let ((one, mut first), (two, mut second)) = (start("one"), start("two"));
    let mut poll =
        |driver: &mut (dyn Future<Output = ()> + Unpin)| std::pin::Pin::new(driver).poll(&mut context).is_ready();
    assert!(!poll(&mut first) && !poll(&mut second));
    for replicator in [&two, &one] {
        drop(replicator.commit(vec!["mine"]).unwrap());
    }
    assert!(!poll(&mut first) && !poll(&mut second));
    [one, two].iter().for_each(|replicator| replicator.stop());
    assert!(poll(&mut first) && poll(&mut second));
    let names = |which: &str| -> Vec<_> {
        let mine = told(current().name().unwrap()).into_iter().filter(|line| line.contains(which));
        mine.map(|line| line.split(' ').next().unwrap().to_owned()).filter(|name| !name.starts_with("pull")).collect()
    };
    let expected = ["start", "park", "resume", "backend-push-batch", "park", "resume", "stop"];
    assert_eq!([names("\"one\""), names("\"two\"")], [expected, expected]);
}

/// Polls once, on this thread.
fn poll(driver: &mut (dyn Future<Output = ()> + Unpin)) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(driver).poll(&mut context).is_ready()
}

#[test]
fn a_driver_that_is_dropped_tells_its_stop_once() {
    let _turn = begin();
    let start = |name: &str| {
        let memory = Memory::<Log>::new(0);
        memory.fail_push(Fault::Hang);
        Replicator::builder(Log::new(), memory).name(name).build_async(|_| std::future::pending())
    };
    let names = |name: &str| -> Vec<_> {
        let mine = told(current().name().unwrap()).into_iter().filter(|line| line.contains(&format!("\"{name}\"")));
        mine.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };

    let (_never, driver) = start("never polled");
    drop(driver);
    assert_eq!(names("never polled"), ["stop"]);

    let (_parked, mut driver) = start("parked");
    assert!(!poll(&mut driver));
    drop(driver);
    assert_eq!(names("parked"), ["start", "park", "resume", "stop"]);

    let (pushes, mut driver) = start("pushes");
    drop(pushes.commit(vec!["mine"]).unwrap());
    assert!(!poll(&mut driver));
    drop(driver);
    assert_eq!(names("pushes"), ["start", "backend-push-batch", "backend-push-error", "stop"]);

    let (_half, driver) = start("half");
    let (push, pull) = driver.split();
    let mut push = Box::pin(push);
    assert!(!poll(&mut push));
    drop(pull);
    assert!(poll(&mut push));
    drop(push);
    assert_eq!(names("half"), ["start", "park", "resume", "stop"]);
}

#[test]
fn a_push_that_a_reset_drops_is_told_as_uncertain() {
    let _turn = begin();
    let memory = Memory::<Log>::new(0);
    memory.fail_push(Fault::Hang);
    let (replicator, mut driver) = Replicator::builder(Log::new(), memory).build_async(|_| std::future::pending());
    drop(replicator.commit(vec!["mine"]).unwrap());
    assert!(!poll(&mut driver));
    drop(replicator.reset(Log::new()));
    assert!(!poll(&mut driver));
    let told = told(current().name().unwrap());
    let error = told.iter().find(|line| line.starts_with("backend-push-error")).expect("its outcome is told");
    assert!(error.ends_with("error=\"the outcome of the push is unknown: interrupted: restart\""), "{error}");
}
