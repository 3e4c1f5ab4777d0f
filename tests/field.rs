//! What users of other sync engines have reported, tried on this one: real threads, each test with the reports it comes from.
//!
//! A test asserts what a user would expect, through the public interface. Those about how often upstream is called look for
//! some seconds, at delays from 10 ms to 2 s. (Every answer for ever, in a time of its own: `tests/answers.rs`.)
#![cfg(not(loom))]

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use latchwork::log::{MemoryEntry, MemoryLog, Merged};
use latchwork::protocol::{Failure, Pull, Push, WaitingOn};
use latchwork::upstream::{Batch, FatalKind, Fault, Memory, More, Page, PullError, PushError, Upstream};
use latchwork::{Backoff, Interrupt, Latch, Replicator, Settled, Ticket, Waited};

type Numbers = MemoryLog<u64>;
type Entry = MemoryEntry<u64>;
type Pages<'a> = Box<dyn Iterator<Item = Result<Page<Entry>, PullError>> + 'a>;
type PushFn = dyn Fn(u64, &Memory<Numbers>, &Batch<Numbers>, &Interrupt) -> Result<(), PushError<u64>> + Send + Sync;
type PullFn = dyn for<'a> Fn(u64, &'a Memory<Numbers>, u64, &'a Interrupt) -> Pages<'a> + Send + Sync;

const LONG: Duration = Duration::from_secs(20);

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

fn entry(position: u64, event: u64) -> Entry {
    MemoryEntry { position, event }
}

fn nothing_new() -> Page<Entry> {
    Page { entries: Vec::new(), more: More::None }
}

fn push_unavailable(retry_after: Option<Duration>) -> PushError<u64> {
    PushError::Unavailable { retry_after, error: "503".into() }
}

fn pull_unavailable(retry_after: Option<Duration>) -> PullError {
    PullError::Unavailable { retry_after, error: "503".into() }
}

fn push_fatal(words: &'static str) -> PushError<u64> {
    PushError::Fatal { kind: FatalKind::Other, error: words.into() }
}

/// What an upstream has been asked, and when.
#[derive(Default)]
struct Seen {
    /// Each push: when it began, and its events.
    pushes: Mutex<Vec<(Instant, Vec<u64>)>>,
    /// Each pull: when it began.
    pulls: Mutex<Vec<Instant>>,
}

impl Seen {
    fn pushes(&self) -> usize {
        self.pushes.lock().unwrap().len()
    }
    fn pulls(&self) -> usize {
        self.pulls.lock().unwrap().len()
    }
    fn push_began(&self, number: usize) -> Instant {
        self.pushes.lock().unwrap()[number - 1].0
    }
}

/// An upstream whose two calls are written by each test. Both are numbered from 1.
struct Scripted {
    memory: Memory<Numbers>,
    push: Box<PushFn>,
    pull: Box<PullFn>,
    seen: Arc<Seen>,
}

impl Scripted {
    fn new(memory: &Memory<Numbers>) -> Self {
        Self {
            memory: memory.clone(),
            push: Box::new(|_, memory, batch, interrupt| memory.push(batch, interrupt)),
            pull: Box::new(|_, memory, cursor, interrupt| Box::new(memory.pull(cursor, interrupt))),
            seen: Arc::default(),
        }
    }
    fn on_push(
        self,
        push: impl Fn(u64, &Memory<Numbers>, &Batch<Numbers>, &Interrupt) -> Result<(), PushError<u64>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { push: Box::new(push), ..self }
    }
    fn on_pull(
        self,
        pull: impl for<'a> Fn(u64, &'a Memory<Numbers>, u64, &'a Interrupt) -> Pages<'a> + Send + Sync + 'static,
    ) -> Self {
        Self { pull: Box::new(pull), ..self }
    }
    fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen)
    }
}

impl Upstream<Numbers> for Scripted {
    fn push(&self, batch: &Batch<Numbers>, interrupt: &Interrupt) -> Result<(), PushError<u64>> {
        let number = {
            let mut pushes = self.seen.pushes.lock().unwrap();
            pushes.push((Instant::now(), batch.entries.iter().map(|entry| entry.event).collect()));
            pushes.len() as u64
        };
        (self.push)(number, &self.memory, batch, interrupt)
    }
    fn pull<'a>(
        &'a self,
        cursor: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<Entry>, PullError>> + 'a {
        let number = {
            let mut pulls = self.seen.pulls.lock().unwrap();
            pulls.push(Instant::now());
            pulls.len() as u64
        };
        (self.pull)(number, &self.memory, cursor, interrupt)
    }
}

/// Doubling delays without chance.
fn delays(initial: u64, max: u64) -> Backoff {
    Backoff::new(ms(initial), ms(max)).with_jitter(0.0)
}

#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came to hold: {what}");
        std::thread::sleep(ms(1));
    }
}

fn is_confirmed(ticket: &Ticket<u64>, within: Duration) -> bool {
    matches!(ticket.wait_timeout(within), Waited::Ready(Settled::Confirmed(_)))
}

/// A live pull that fails at once, again and again, but says first that it has caught up.
fn accepted_then_closed<'a>() -> Pages<'a> {
    Box::new([Ok(nothing_new()), Err(pull_unavailable(None))].into_iter())
}

/// yjs/y-websocket#195, destinygg/chat-gui#872: the server accepts the connection, then closes it at once.
#[test]
fn a_pull_that_is_accepted_and_closed_at_once_backs_off() {
    let upstream = Scripted::new(&Memory::new(0)).on_pull(|_, _, _, _| accepted_then_closed());
    let seen = upstream.seen();
    let _replicator = Replicator::builder(Numbers::new(), upstream).backoff(delays(10, 2000)).spawn().unwrap();
    std::thread::sleep(ms(3000));
    let pulls = seen.pulls();
    assert!(pulls <= 20, "{pulls} pulls in 3 s");
}

/// rocicorp/replicache#421 and #188 (retries in a tight loop), with a stream that comes and goes: the pushes' backoff
/// must hold although the pull keeps "reconnecting".
#[test]
fn a_flapping_pull_does_not_take_the_pushes_backoff_away() {
    let upstream = Scripted::new(&Memory::new(0))
        .on_push(|_, _, _, _| Err(push_unavailable(None)))
        .on_pull(|_, _, _, _| accepted_then_closed());
    let seen = upstream.seen();
    let replicator = Replicator::builder(Numbers::new(), upstream).backoff(delays(10, 2000)).spawn().unwrap();
    replicator.commit(vec![1]).unwrap();
    std::thread::sleep(ms(3000));
    let pushes = seen.pushes();
    assert!(pushes <= 20, "{pushes} pushes in 3 s");
}

/// A pull that fails before it has caught up does back off.
#[test]
fn a_pull_that_is_refused_backs_off() {
    let upstream =
        Scripted::new(&Memory::new(0)).on_pull(|_, _, _, _| Box::new(std::iter::once(Err(pull_unavailable(None)))));
    let seen = upstream.seen();
    let _replicator = Replicator::builder(Numbers::new(), upstream).backoff(delays(10, 2000)).spawn().unwrap();
    std::thread::sleep(ms(3000));
    let pulls = seen.pulls();
    assert!(pulls <= 20, "{pulls} pulls in 3 s");
}

/// powersync-ja/powersync.dart#203, element-hq/element-x-ios#2952, p2panda/p2panda#630: offline, commits, online again:
/// pushed as soon as the pull has reconnected, not when a long backoff ends.
#[test]
fn a_reconnect_of_the_pull_sends_what_was_committed_offline() {
    let memory = Memory::new(0);
    let online = Arc::new(AtomicBool::new(false));
    let upstream = Scripted::new(&memory)
        .on_push({
            let online = Arc::clone(&online);
            move |_, memory, batch, interrupt| {
                if online.load(Ordering::SeqCst) { memory.push(batch, interrupt) } else { Err(push_unavailable(None)) }
            }
        })
        .on_pull({
            let online = Arc::clone(&online);
            move |number, memory, cursor, interrupt| {
                if number == 1 {
                    return Box::new(std::iter::once(Err(pull_unavailable(None))));
                }
                // It tries to connect until it does.
                while !online.load(Ordering::SeqCst) {
                    if interrupt.sleep(ms(2)).is_err() {
                        return Box::new(std::iter::once(Err(pull_unavailable(None))));
                    }
                }
                Box::new(memory.pull(cursor, interrupt))
            }
        });
    let replicator = Replicator::builder(Numbers::new(), upstream).backoff(delays(300, 60_000)).spawn().unwrap();
    let tickets: Vec<_> = (0..50).map(|event| replicator.commit(vec![event]).unwrap()).collect();
    // The pushes' delays: 0.3 s, 0.6 s, 1.2 s, 2.4 s; the next try would be at 4.5 s.
    std::thread::sleep(ms(2500));
    assert_eq!(replicator.status().pending, 50);
    assert!(matches!(replicator.status().waiting_on, WaitingOn::Connectivity(_)), "{}", replicator.status().waiting_on);
    let since = Instant::now();
    online.store(true, Ordering::SeqCst);
    assert!(tickets.iter().all(|ticket| is_confirmed(ticket, LONG)));
    assert!(since.elapsed() < ms(1000));
    // ueberdosis/hocuspocus#825: the count of unsynced changes comes back to zero, and order holds.
    assert_eq!(replicator.status().pending, 0);
    assert_eq!(memory.entries().iter().map(|entry| entry.event).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
}

/// Scille/parsec-cloud#8257, tursodatabase/libsql#1838, livestorejs/livestore#980, rocicorp/todo-nextjs#13: the server was
/// restored from a backup, or made anew; the client knows more than it. `upstream::Memory` answers `Behind { head: Some(3) }`
/// to a batch on top of 5.
#[test]
fn an_upstream_that_went_back_is_a_failure_that_the_owner_sees() {
    let memory = Memory::new(0);
    memory.append((1..=3).map(|n| entry(n, 900 + n)));
    let upstream = Scripted::new(&memory);
    let seen = upstream.seen();
    let log = Numbers::new().with_pending(5, [1]);
    let replicator = Replicator::builder(log, upstream).backoff(delays(10, 2000)).spawn().unwrap();
    eventually("the owner is told", || matches!(replicator.status().waiting_on, WaitingOn::Owner(_)));
    let WaitingOn::Owner(failure) = replicator.status().waiting_on else { panic!("it goes on by itself") };
    assert!(matches!(failure, Failure::Upstream { kind: FatalKind::WentBack, .. }), "{failure}");
    assert_eq!(seen.pushes(), 1);
}

/// rejected without a head while a pull brings nothing, it does back off.
#[test]
fn a_rejection_that_no_pull_explains_backs_off() {
    let upstream = Scripted::new(&Memory::new(0)).on_push(|_, _, _, _| Err(PushError::Behind { head: None }));
    let seen = upstream.seen();
    let replicator =
        Replicator::builder(Numbers::new(), upstream).backoff(delays(10, 2000)).catch_up_grace(ms(5)).spawn().unwrap();
    replicator.commit(vec![1]).unwrap();
    std::thread::sleep(ms(1500));
    let pushes = seen.pushes();
    assert!(pushes <= 30, "{pushes} pushes in 1.5 s");
}

/// line/centraldogma#437: pushes go to the primary, pulls come from a replica that lags, here with heartbeats: empty pages
/// that say "nothing more". (The unit test `a_rejected_push_waits_only_for_news_that_has_not_come` wants the first retry.)
#[test]
fn a_lagging_replica_does_not_make_the_pusher_hammer_the_primary() {
    let memory = Memory::new(0);
    memory.append((1..=5).map(|n| entry(n, 900 + n)));
    let caught_up = Arc::new(AtomicBool::new(false));
    let upstream = Scripted::new(&memory)
        .on_push(|_, memory, batch, interrupt| {
            std::thread::sleep(ms(8));
            memory.push(batch, interrupt)
        })
        .on_pull({
            let caught_up = Arc::clone(&caught_up);
            move |_, memory, cursor, interrupt| {
                let (mut at, caught_up) = (cursor, Arc::clone(&caught_up));
                Box::new(std::iter::from_fn(move || {
                    if interrupt.sleep(ms(3)).is_err() {
                        return Some(Err(pull_unavailable(None)));
                    }
                    let head = if caught_up.load(Ordering::SeqCst) { u64::MAX } else { 2 };
                    let all = memory.entries();
                    let entries: Vec<_> =
                        all.into_iter().filter(|entry| entry.position > at && entry.position <= head).collect();
                    at = entries.last().map_or(at, |entry| entry.position);
                    Some(Ok(Page { entries, more: More::None }))
                }))
            }
        });
    let seen = upstream.seen();
    let replicator = Replicator::builder(Numbers::new(), upstream).backoff(delays(50, 2000)).spawn().unwrap();
    let ticket = replicator.commit(vec![1]).unwrap();
    std::thread::sleep(ms(2000));
    let pushes = seen.pushes();
    caught_up.store(true, Ordering::SeqCst);
    assert!(is_confirmed(&ticket, LONG));
    assert!(pushes <= 15, "{pushes} pushes in 2 s");
}

/// microsoft/vscode#102391, pimutils/vdirsyncer#733, abraunegg/onedrive#1304: 429 with Retry-After. The plain case, in
/// which a commit does not cut it short either.
#[test]
fn a_commit_does_not_cut_retry_after_short() {
    let memory = Memory::new(0);
    memory.fail_push(Fault::Busy(ms(1500)));
    let upstream = Scripted::new(&memory);
    let seen = upstream.seen();
    let replicator = Replicator::builder(Numbers::new(), upstream).backoff(delays(5, 20)).spawn().unwrap();
    replicator.commit(vec![1]).unwrap();
    eventually("the push was refused", || matches!(replicator.status().push, Push::Waiting { .. }));
    assert!(matches!(replicator.status().waiting_on, WaitingOn::Clock(_)));
    let ticket = replicator.commit(vec![2]).unwrap();
    assert!(is_confirmed(&ticket, LONG));
    assert!(seen.push_began(2) - seen.push_began(1) >= ms(1450));
}

/// The 429 comes for a push that a rebase has overtaken in the meantime.
#[test]
fn retry_after_holds_for_a_push_that_a_rebase_has_overtaken() {
    let memory = Memory::new(0);
    let upstream = Scripted::new(&memory).on_push(|number, memory, batch, interrupt| {
        if number == 1 {
            // The request is under way; the answer comes as the other client's event arrives.
            interrupt.wait();
            return Err(push_unavailable(Some(ms(2000))));
        }
        memory.push(batch, interrupt)
    });
    let seen = upstream.seen();
    let replicator = Replicator::builder(Numbers::rebasing(), upstream).backoff(delays(5, 20)).spawn().unwrap();
    let ticket = replicator.commit(vec![1]).unwrap();
    eventually("the first push has begun", || seen.pushes() == 1);
    memory.append([entry(1, 901)]);
    assert!(is_confirmed(&ticket, LONG));
    let between = seen.push_began(2) - seen.push_began(1);
    assert!(between >= ms(1950), "asked again after {between:?}");
}

/// An app calls `retry_now` whenever it comes to the foreground. `PushError::Unavailable` says: not before, "whatever
/// else happens"; `retry_now` says: "without waiting out a backoff". One of the two sentences is wrong.
#[test]
fn retry_now_respects_what_upstream_asked_for() {
    let memory = Memory::new(0);
    memory.fail_push(Fault::Busy(ms(2000)));
    let upstream = Scripted::new(&memory);
    let seen = upstream.seen();
    let replicator = Replicator::builder(Numbers::new(), upstream).spawn().unwrap();
    let ticket = replicator.commit(vec![1]).unwrap();
    eventually("the push was refused", || matches!(replicator.status().push, Push::Waiting { asked: true, .. }));
    replicator.retry_now();
    assert!(is_confirmed(&ticket, LONG));
    let between = seen.push_began(2) - seen.push_began(1);
    assert!(between >= ms(1950), "asked again after {between:?}");
}

/// powersync-ja/powersync-js#1033, SeCherkasov/SkerrySSH#60: a 401 in both directions, a new token, `restart`; and the answer to a push that went out with the old token comes
/// last. (A failure is not told: an owner who refreshed once has no reason to look again.)
#[test]
fn a_failure_from_before_the_restart_does_not_stop_the_pusher_after_it() {
    let memory = Memory::new(0);
    let (answer, renewed) = (Arc::new(Latch::new()), Arc::new(AtomicBool::new(false)));
    let upstream = Scripted::new(&memory)
        .on_push({
            let (answer, renewed) = (Arc::clone(&answer), Arc::clone(&renewed));
            move |_, memory, batch, interrupt| {
                if renewed.load(Ordering::SeqCst) {
                    return memory.push(batch, interrupt);
                }
                answer.wait();
                Err(push_fatal("401"))
            }
        })
        .on_pull({
            let renewed = Arc::clone(&renewed);
            move |_, memory, cursor, interrupt| {
                if renewed.load(Ordering::SeqCst) {
                    return Box::new(memory.pull(cursor, interrupt));
                }
                Box::new(std::iter::once(Err(PullError::Fatal { kind: FatalKind::Other, error: "401".into() })))
            }
        });
    let seen = upstream.seen();
    let replicator = Replicator::builder(Numbers::new(), upstream).backoff(delays(5, 20)).spawn().unwrap();
    let ticket = replicator.commit(vec![1]).unwrap();
    eventually("the push has begun, the pull has failed", || {
        seen.pushes() == 1 && matches!(replicator.status().pull, Pull::Failed { .. })
    });
    renewed.store(true, Ordering::SeqCst);
    replicator.restart();
    eventually("it pulls again", || matches!(replicator.status().pull, Pull::Pulling { .. }));
    answer.open();
    let done = is_confirmed(&ticket, ms(2000));
    assert!(done, "stopped by an answer to the token before: {}", replicator.status().waiting_on);
}

/// powersync-ja/powersync.dart#440: a stale status survives logout and clear. A subscriber to updates is not told
/// that the log is another one; what it then hears does not follow its snapshot.
#[test]
fn updates_end_when_reset_replaces_the_log() {
    let memory = Memory::new(0);
    memory.append((1..=5).map(|n| entry(n, 900 + n)));
    let replicator = Replicator::builder(Numbers::new(), Scripted::new(&memory)).spawn().unwrap();
    eventually("it has pulled all five", || replicator.status().upstream_head == 5);
    let updates = replicator.updates();
    assert_eq!(updates.snapshot.upstream_head, 5);
    replicator.reset(Numbers::new());
    eventually("it has pulled them once more", || replicator.status().upstream_head == 5);
    let told: Vec<_> = updates
        .receiver
        .try_iter()
        .map(|update| match &update.merged {
            Merged::Advance { new, .. } | Merged::Rebase { new, .. } => {
                new.iter().map(|entry| entry.position).collect::<Vec<_>>()
            }
        })
        .collect();
    assert!(told.concat().first().is_none_or(|first| *first == 6), "after a snapshot at 5 came {told:?}");
}

/// tursodatabase/libsql#1315 (a sync that can never finish): a live stream, as many are, that never says "that is all".
/// A push has an unknown outcome; its event arrives in the stream, so the outcome is known; nothing is sent ever again.
#[test]
fn an_uncertain_push_whose_events_have_arrived_is_not_uncertain() {
    let memory = Memory::new(0);
    memory.fail_push(Fault::DisconnectAfter);
    let upstream = Scripted::new(&memory).on_pull(|_, memory, cursor, interrupt| {
        let pages = memory.pull(cursor, interrupt);
        Box::new(pages.map(|page| page.map(|page| Page { more: More::Unknown, ..page })))
    });
    let replicator = Replicator::builder(Numbers::new(), upstream).backoff(delays(5, 20)).spawn().unwrap();
    let first = replicator.commit(vec![1]).unwrap();
    assert!(is_confirmed(&first, LONG), "the stream brings it");
    let second = replicator.commit(vec![2]).unwrap();
    let done = is_confirmed(&second, ms(3000));
    let status = replicator.status();
    assert!(done, "the pusher {}", status.push);
}

/// couchbase/couchbase-lite-android#1867, ueberdosis/hocuspocus#1004: the status says something else than what is. Upstream
/// answers each call at once, and is never unreachable; `Connectivity` means "upstream could not be reached".
#[test]
fn connectivity_is_not_blamed_while_upstream_answers() {
    let upstream = Scripted::new(&Memory::new(0)).on_push(|_, _, _, _| Err(PushError::Behind { head: None }));
    let replicator =
        Replicator::builder(Numbers::new(), upstream).backoff(delays(200, 2000)).catch_up_grace(ms(5)).spawn().unwrap();
    replicator.commit(vec![1]).unwrap();
    let mut blamed = None;
    let until = Instant::now() + ms(1500);
    while Instant::now() < until && blamed.is_none() {
        let status = replicator.status();
        if let WaitingOn::Connectivity(_) = status.waiting_on {
            blamed = Some(status);
        }
        std::thread::sleep(ms(2));
    }
    let blamed = blamed.map(|status| (status.waiting_on.to_string(), status.counters.unavailable, status.last_error));
    assert_eq!(blamed, None);
}

/// rocicorp/mono#4608: the server applied the push and answered with an error (here one that the upstream's code takes for
/// "certainly not taken"). Once, in order, and confirmed.
#[test]
fn a_push_that_was_applied_and_answered_with_an_error_is_there_once() {
    let memory = Memory::new(0);
    let upstream = Scripted::new(&memory).on_push(|number, memory, batch, interrupt| {
        memory.push(batch, interrupt)?;
        if number % 2 == 1 { Err(push_unavailable(None)) } else { Ok(()) }
    });
    let replicator = Replicator::builder(Numbers::new(), upstream)
        .push_batch(NonZeroUsize::new(3).unwrap())
        .backoff(delays(2, 10))
        .catch_up_grace(ms(5))
        .spawn()
        .unwrap();
    let tickets: Vec<_> = (0..30).map(|event| replicator.commit(vec![event]).unwrap()).collect();
    assert!(tickets.iter().all(|ticket| is_confirmed(ticket, LONG)));
    assert_eq!(memory.entries().iter().map(|entry| entry.event).collect::<Vec<_>>(), (0..30).collect::<Vec<_>>());
}

/// tursodatabase/turso#8129: a client's files are restored from a backup, so that it knows less than upstream has of its own,
/// and numbers new events as old ones were numbered. Everything written after the restore must get to the server.
#[test]
fn what_a_restored_client_writes_gets_to_upstream() {
    let memory = Memory::new(0);
    let replicator = Replicator::builder(Numbers::new(), memory.clone()).spawn().unwrap();
    for event in [1, 2, 3] {
        assert!(is_confirmed(&replicator.commit(vec![event]).unwrap(), LONG));
    }
    assert!(replicator.shutdown(LONG).is_clean());
    // The backup was made when event 1 was confirmed and event 2 pending.
    let restored = Numbers::new().with_pending(1, [2]);
    let replicator = Replicator::builder(restored, memory.clone()).catch_up_grace(ms(5)).spawn().unwrap();
    assert!(is_confirmed(&replicator.commit(vec![4]).unwrap(), LONG));
    assert_eq!(memory.entries().iter().map(|entry| entry.event).collect::<Vec<_>>(), [1, 2, 3, 4]);
}
