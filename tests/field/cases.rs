//! The cases, for whichever driver [`super`] starts.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use latchwork::log::{Log as _, MemoryEntry, MemoryLog, Merged};
use latchwork::protocol::{DecisionError, Direction, Failure, Pull, Push, WaitingOn};
use latchwork::replicator::{Choice, CommitError, GiveUp, Matter, OnRejected, ResetError, Status, Unsettled};
use latchwork::upstream::{Batch, FatalKind, Fault, Memory, More, Page, PullError, PushError, Upstream};
use latchwork::{Backoff, Cause, Interrupt, Latch, Settled, Ticket, Waited};

use super::{HEARS_INTERRUPTED_CALLS, Start as _, builder};

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
pub(super) struct Scripted {
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
    let _replicator = builder(Numbers::new(), upstream).backoff(delays(10, 2000)).start();
    std::thread::sleep(ms(3000));
    let pulls = seen.pulls();
    // 300 without a growing delay, and 9 with it; but a pull during which the machine stands still has lived for long, and the
    // next delay is the shortest.
    assert!(pulls <= 100, "{pulls} pulls in 3 s");
}

/// rocicorp/replicache#421 and #188 (retries in a tight loop), with a stream that comes and goes: the pushes' backoff
/// must hold although the pull keeps "reconnecting".
#[test]
fn a_flapping_pull_does_not_take_the_pushes_backoff_away() {
    let upstream = Scripted::new(&Memory::new(0))
        .on_push(|_, _, _, _| Err(push_unavailable(None)))
        .on_pull(|_, _, _, _| accepted_then_closed());
    let seen = upstream.seen();
    let replicator = builder(Numbers::new(), upstream).backoff(delays(10, 2000)).start();
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
    let _replicator = builder(Numbers::new(), upstream).backoff(delays(10, 2000)).start();
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
    let replicator = builder(Numbers::new(), upstream).backoff(delays(300, 60_000)).start();
    let begun = Instant::now();
    let tickets: Vec<_> = (0..50).map(|event| replicator.commit(vec![event]).unwrap()).collect();
    // The pushes' delays: 0.3 s, 0.6 s, 1.2 s, 2.4 s; the next try would be at 4.5 s.
    std::thread::sleep(ms(2500));
    assert_eq!(replicator.status().pending, 50);
    assert!(matches!(replicator.status().waiting_on, WaitingOn::Connectivity(_)), "{}", replicator.status().waiting_on);
    online.store(true, Ordering::SeqCst);
    assert!(tickets.iter().all(|ticket| is_confirmed(ticket, LONG)));
    assert!(begun.elapsed() < ms(4500), "it was not before the next try");
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
    let replicator = builder(log, upstream).backoff(delays(10, 2000)).start();
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
    let replicator = builder(Numbers::new(), upstream).backoff(delays(10, 2000)).catch_up_grace(ms(5)).start();
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
    let replicator = builder(Numbers::new(), upstream).backoff(delays(50, 2000)).start();
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
    let replicator = builder(Numbers::new(), upstream).backoff(delays(5, 20)).start();
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
    if !HEARS_INTERRUPTED_CALLS {
        return;
    }
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
    let replicator = builder(Numbers::rebasing(), upstream).backoff(delays(5, 20)).start();
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
    let replicator = builder(Numbers::new(), upstream).start();
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
    let replicator = builder(Numbers::new(), upstream).backoff(delays(5, 20)).start();
    let ticket = replicator.commit(vec![1]).unwrap();
    eventually("the push has begun, the pull has failed", || {
        seen.pushes() == 1 && matches!(replicator.status().pull, Pull::Failed { .. })
    });
    renewed.store(true, Ordering::SeqCst);
    replicator.restart();
    eventually("it pulls again", || matches!(replicator.status().pull, Pull::Pulling { .. }));
    answer.open();
    let done = is_confirmed(&ticket, LONG);
    assert!(done, "stopped by an answer to the token before: {}", replicator.status().waiting_on);
}

/// powersync-ja/powersync.dart#440: a stale status survives logout and clear. A subscriber to updates is not told
/// that the log is another one; what it then hears does not follow its snapshot.
#[test]
fn updates_end_when_reset_replaces_the_log() {
    let memory = Memory::new(0);
    memory.append((1..=5).map(|n| entry(n, 900 + n)));
    let replicator = builder(Numbers::new(), Scripted::new(&memory)).start();
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
    let replicator = builder(Numbers::new(), upstream).backoff(delays(5, 20)).start();
    let first = replicator.commit(vec![1]).unwrap();
    assert!(is_confirmed(&first, LONG), "the stream brings it");
    let second = replicator.commit(vec![2]).unwrap();
    let done = is_confirmed(&second, LONG);
    let status = replicator.status();
    assert!(done, "the pusher {}", status.push);
}

/// couchbase/couchbase-lite-android#1867, ueberdosis/hocuspocus#1004: the status says something else than what is. Upstream
/// answers each call at once, and is never unreachable; `Connectivity` means "upstream could not be reached".
#[test]
fn connectivity_is_not_blamed_while_upstream_answers() {
    let upstream = Scripted::new(&Memory::new(0)).on_push(|_, _, _, _| Err(PushError::Behind { head: None }));
    let replicator = builder(Numbers::new(), upstream).backoff(delays(200, 2000)).catch_up_grace(ms(5)).start();
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
    let replicator = builder(Numbers::new(), upstream)
        .push_batch(NonZeroUsize::new(3).unwrap())
        .backoff(delays(2, 10))
        .catch_up_grace(ms(5))
        .start();
    let tickets: Vec<_> = (0..30).map(|event| replicator.commit(vec![event]).unwrap()).collect();
    assert!(tickets.iter().all(|ticket| is_confirmed(ticket, LONG)));
    assert_eq!(memory.entries().iter().map(|entry| entry.event).collect::<Vec<_>>(), (0..30).collect::<Vec<_>>());
}

/// tursodatabase/turso#8129: a client's files are restored from a backup, so that it knows less than upstream has of its own,
/// and numbers new events as old ones were numbered. Everything written after the restore must get to the server.
#[test]
fn what_a_restored_client_writes_gets_to_upstream() {
    let memory = Memory::new(0);
    let replicator = builder(Numbers::new(), memory.clone()).start();
    for event in [1, 2, 3] {
        assert!(is_confirmed(&replicator.commit(vec![event]).unwrap(), LONG));
    }
    assert!(replicator.shutdown(LONG).is_clean());
    // The backup was made when event 1 was confirmed and event 2 pending.
    let restored = Numbers::new().with_pending(1, [2]);
    let replicator = builder(restored, memory.clone()).catch_up_grace(ms(5)).start();
    assert!(is_confirmed(&replicator.commit(vec![4]).unwrap(), LONG));
    assert_eq!(memory.entries().iter().map(|entry| entry.event).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

/// Upstream refuses this event, whatever it comes with; and takes no more than `most` at once.
fn refusing(memory: &Memory<Numbers>, event: u64, most: usize) -> Scripted {
    Scripted::new(memory).on_push(move |_, memory, batch, interrupt| {
        if batch.entries.len() > most {
            return Err(PushError::TooLarge { error: "413".into() });
        }
        match batch.entries.iter().position(|entry| entry.event == event) {
            Some(index) => Err(PushError::Rejected { index, error: "422".into() }),
            None => memory.push(batch, interrupt),
        }
    })
}

/// The events that upstream has.
fn ordered(memory: &Memory<Numbers>) -> Vec<u64> {
    memory.entries().into_iter().map(|entry| entry.event).collect()
}

/// element-x-ios #1211, libsql #1224: a connection that is half open.
#[test]
fn reconnect_ends_a_push_that_hangs() {
    let memory = Memory::new(0);
    let upstream = Scripted::new(&memory).on_push(|number, memory, batch, interrupt| {
        if number == 1 {
            interrupt.wait();
            return Err(PushError::Uncertain { error: "aborted".into() });
        }
        memory.push(batch, interrupt)
    });
    let seen = upstream.seen();
    let replicator = builder(Numbers::new(), upstream).backoff(delays(5, 20)).start();
    let ticket = replicator.commit(vec![1]).unwrap();
    eventually("the first push has begun", || seen.pushes() == 1);
    replicator.reconnect();
    assert!(is_confirmed(&ticket, LONG));
    assert_eq!(memory.len(), 1);
}

/// The same, if there is no owner who notices.
#[test]
fn a_deadline_ends_a_push_and_a_pull_that_hang() {
    let memory = Memory::new(0);
    memory.append([entry(1, 901)]);
    let upstream = Scripted::new(&memory)
        .on_push(|number, memory, batch, interrupt| {
            if number == 1 {
                // In a request of its own, as a client would.
                assert_eq!(interrupt.child().wait(), Cause::Deadline);
                return Err(PushError::Uncertain { error: "aborted".into() });
            }
            memory.push(batch, interrupt)
        })
        .on_pull(|number, memory, cursor, interrupt| {
            if number == 1 {
                return Box::new(std::iter::from_fn(|| {
                    interrupt.wait();
                    None
                }));
            }
            Box::new(memory.pull(cursor, interrupt))
        });
    let replicator =
        builder(Numbers::new(), upstream).backoff(delays(5, 20)).push_deadline(ms(50)).pull_silence(ms(60)).start();
    let ticket = replicator.commit(vec![1]).unwrap();
    assert!(is_confirmed(&ticket, LONG));
    assert_eq!(memory.len(), 2);
}

/// A stream that sends heartbeats is not silent, however long it lives.
#[test]
fn pull_silence_counts_from_the_last_page() {
    const SILENCE: Duration = Duration::from_millis(400);
    let memory = Memory::new(0);
    // The last one, and the longest time between two: a machine that stands still is silent.
    let beats = Arc::new(Mutex::new((Instant::now(), Duration::ZERO)));
    let upstream = Scripted::new(&memory).on_pull({
        let beats = Arc::clone(&beats);
        move |_, _, _, interrupt| {
            let beats = Arc::clone(&beats);
            Box::new(std::iter::from_fn(move || {
                interrupt.sleep(ms(20)).ok()?;
                let (last, longest) = &mut *beats.lock().unwrap();
                (*last, *longest) = (Instant::now(), (*longest).max(last.elapsed()));
                Some(Ok(nothing_new()))
            }))
        }
    });
    let seen = upstream.seen();
    let replicator = builder(Numbers::new(), upstream).pull_silence(SILENCE).start();
    eventually("it has lived for long", || replicator.status().counters.pages >= 40);
    let (pulls, (_, longest)) = (seen.pulls(), *beats.lock().unwrap());
    assert!(pulls == 1 || longest >= SILENCE, "{pulls} pulls, {longest:?} without a page");
}

/// matrix-rust-sdk #3539, #4389, #6843; amplify-android #976.
#[test]
fn one_event_that_is_refused_for_good_can_be_given_up_alone() {
    let memory = Memory::new(0);
    let replicator = builder(Numbers::new(), refusing(&memory, 4, 1)).backoff(delays(5, 20)).start();
    let tickets: Vec<_> = (0..10).map(|event| replicator.commit(vec![event]).unwrap()).collect();
    let blocked = replicator.status_when(|status| matches!(status.waiting_on, WaitingOn::Owner(_))).wait().unwrap();
    assert_eq!(ordered(&memory), [0, 1, 2, 3], "what stands before it goes on");
    let decision = &blocked.decisions[0];
    assert!(
        matches!(&decision.matter, Matter::Rejected { before: 0, failure } if failure.to_string().ends_with("422"))
    );
    assert_eq!(decision.choices()[0], Choice::RetryRejected);
    let rejected = replicator.rejected().unwrap();
    assert_eq!((rejected.entry, rejected.in_commit), (entry(5, 4), 1));
    assert_eq!(replicator.give_up(GiveUp::Rejected).unwrap(), [entry(5, 4)]);
    replicator.flush(LONG).unwrap();
    assert_eq!(ordered(&memory), [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    for (event, ticket) in tickets.iter().enumerate() {
        let confirmed = matches!(ticket.settled(), Some(Settled::Confirmed(_)));
        assert_eq!(confirmed, event != 4, "event {event}: {:?}", ticket.settled());
    }
    assert_eq!(tickets[4].settled(), Some(Settled::Rejected));
    assert_eq!(tickets[4].rejection().unwrap().to_string(), "422");
    assert!(tickets[5].rejection().is_none());
    assert!(replicator.status().decisions.is_empty());
}

#[test]
fn a_refused_event_can_be_replaced_retried_or_given_up_with_its_commit() {
    let commits = || [vec![1, 2], vec![3, 4, 5], vec![6]];
    let blocked = || {
        let memory = Memory::new(0);
        let upstream = refusing(&memory, 4, 100);
        let replicator = builder(Numbers::new(), upstream).start();
        replicator.pause(Direction::Push);
        let tickets = commits().map(|events| replicator.commit(events).unwrap());
        replicator.resume(Direction::Push);
        let _blocked = replicator.status_when(|status| matches!(status.waiting_on, WaitingOn::Owner(_))).wait();
        assert_eq!(ordered(&memory), [1, 2, 3]);
        (memory, replicator, tickets)
    };
    let (memory, replicator, tickets) = blocked();
    assert_eq!(replicator.replace_rejected(40).unwrap(), entry(4, 4));
    replicator.flush(LONG).unwrap();
    assert_eq!(ordered(&memory), [1, 2, 3, 40, 5, 6]);
    assert_eq!(tickets[1].settled(), Some(Settled::Confirmed(5)));

    let (memory, replicator, tickets) = blocked();
    assert_eq!(replicator.give_up(GiveUp::CommitOfRejected).unwrap(), [entry(4, 4), entry(5, 5)]);
    replicator.flush(LONG).unwrap();
    assert_eq!(ordered(&memory), [1, 2, 3, 6], "of its commit an event was sent before");
    assert_eq!(tickets[1].settled(), Some(Settled::Rejected));

    let (memory, replicator, _tickets) = blocked();
    let pushes = replicator.status().counters.pushes;
    replicator.retry_rejected();
    let again = replicator.status_when(|status| status.counters.pushes > pushes && status.push == Push::Idle).wait();
    assert!(matches!(again.unwrap().waiting_on, WaitingOn::Owner(_)), "it is refused again");
    assert_eq!(memory.len(), 3);
    let nothing = builder(Numbers::new(), Memory::new(0)).start();
    assert_eq!(nothing.give_up(GiveUp::Rejected), Err(DecisionError::NothingRejected));
    assert_eq!(nothing.replace_rejected(1), Err((DecisionError::NothingRejected, Some(1))));
}

#[test]
fn a_refused_event_is_given_up_by_itself_if_the_owner_has_chosen_so() {
    for (on_rejected, left) in
        [(OnRejected::GiveUpEvent, vec![1, 2, 3, 5, 6]), (OnRejected::GiveUpCommit, vec![1, 2, 6])]
    {
        let memory = Memory::new(0);
        let upstream = refusing(&memory, 4, 100);
        let replicator = builder(Numbers::new(), upstream).on_rejected(on_rejected).start();
        let updates = replicator.updates().receiver;
        let tickets = [vec![1, 2], vec![3, 4, 5], vec![6]].map(|events| replicator.commit(events).unwrap());
        replicator.flush(LONG).unwrap();
        assert_eq!(ordered(&memory), left);
        let settled = tickets.map(|ticket| matches!(ticket.settled(), Some(Settled::Confirmed(_))));
        assert_eq!(settled, [true, false, true]);
        let given_up: Vec<_> = updates.try_iter().flat_map(|update| update.given_up.clone()).collect();
        let given_up: Vec<_> = given_up.into_iter().map(|entry| entry.event).collect();
        assert_eq!(given_up, (1..=6).filter(|event| !left.contains(event)).collect::<Vec<_>>());
    }
}

/// Which of the events were committed together that a log held as it was handed over, after a crash for instance, is not known.
#[test]
fn a_refused_event_of_a_former_process_takes_no_other_commit_along() {
    let memory = Memory::new(0);
    let log = Numbers::new().with_pending(0, [1, 4, 6]);
    let replicator = builder(log, refusing(&memory, 4, 100)).on_rejected(OnRejected::GiveUpCommit).start();
    // The event before it is sent without it.
    let is_blocked = |status: &Status<u64>| !status.decisions.is_empty() && status.pending == 2;
    assert!(replicator.status_when(is_blocked).wait_timeout(LONG).is_ready(), "{}", replicator.status());
    assert_eq!(replicator.rejected().unwrap().entry.event, 4);
    let next = replicator.commit(vec![4, 7]).unwrap();
    replicator.give_up(GiveUp::Rejected).unwrap();
    replicator.flush(LONG).unwrap();
    assert_eq!((ordered(&memory), next.settled()), (vec![1, 6], Some(Settled::Rejected)), "its own it gives up");
}

/// A message that is deleted before it was sent.
#[test]
fn a_commit_is_cancelled_unless_upstream_may_have_it() {
    let memory = Memory::new(0);
    let gate = Arc::new(Latch::new());
    let held = Arc::clone(&gate);
    let upstream = Scripted::new(&memory).on_push(move |_, memory, batch, interrupt| {
        held.opened().wait();
        memory.push(batch, interrupt)
    });
    let seen = upstream.seen();
    let replicator = builder(Numbers::new(), upstream).push_batch(NonZeroUsize::MIN).start();
    let tickets: Vec<_> = (0..20).map(|event| replicator.commit(vec![event]).unwrap()).collect();
    eventually("the first is being sent", || seen.pushes() == 1);
    assert_eq!(replicator.give_up(GiveUp::Commit(&tickets[0])), Err(DecisionError::Sent(1)));
    for cancelled in [18, 7, 19] {
        assert_eq!(replicator.give_up(GiveUp::Commit(&tickets[cancelled])).unwrap().len(), 1);
        assert_eq!(tickets[cancelled].settled(), Some(Settled::Rejected));
        assert_eq!(replicator.give_up(GiveUp::Commit(&tickets[cancelled])), Err(DecisionError::Settled));
    }
    gate.open();
    replicator.flush(LONG).unwrap();
    assert_eq!(ordered(&memory), (0..18).filter(|event| *event != 7).collect::<Vec<_>>());
    assert_eq!(replicator.give_up(GiveUp::Commit(&tickets[0])), Err(DecisionError::Settled));
}

/// pouchdb #4210, cht-core #6143.
#[test]
fn a_batch_that_is_too_large_is_split() {
    let memory = Memory::new(0);
    let upstream = refusing(&memory, u64::MAX, 10);
    let seen = upstream.seen();
    let replicator = builder(Numbers::new(), upstream).backoff(delays(5, 50)).start();
    let ticket = replicator.commit((0..100).collect()).unwrap();
    assert!(is_confirmed(&ticket, LONG));
    let sizes: Vec<_> = seen.pushes.lock().unwrap().iter().map(|(_, events)| events.len()).collect();
    assert_eq!(&sizes[..6], [100, 50, 25, 12, 6, 6]);
    assert_eq!(sizes.len(), 4 + 17, "it is remembered");
}

/// powersync-js #406.
#[test]
fn a_commit_is_not_cut_in_two_by_a_batch() {
    let memory = Memory::new(0);
    let upstream = Scripted::new(&memory).on_push(|number, memory, batch, interrupt| {
        if number > 1 { Err(push_unavailable(Some(Duration::from_secs(3600)))) } else { memory.push(batch, interrupt) }
    });
    let replicator = builder(Numbers::new(), upstream).start();
    replicator.pause(Direction::Push);
    replicator.commit((0..80).collect()).unwrap();
    replicator.commit((100..180).collect()).unwrap();
    replicator.resume(Direction::Push);
    eventually("the second push was refused", || matches!(replicator.status().push, Push::Waiting { .. }));
    assert_eq!(memory.len(), 80);
}

/// realm-core #5315, replicache #490: what only the owner can end is not waited for, of any kind of wait that has a bound.
#[test]
fn a_wait_ends_when_only_the_owner_can_go_on() {
    let failed = || {
        let upstream = Scripted::new(&Memory::new(0)).on_push(|_, _, _, _| Err(push_fatal("401")));
        builder(Numbers::new(), upstream).max_pending(NonZeroUsize::MIN).start()
    };
    let since = Instant::now();
    let replicator = failed();
    let ticket = replicator.commit(vec![1]).unwrap();
    // Each begins before it fails, or after.
    std::thread::scope(|scope| {
        for delay in [0, 50] {
            let (replicator, ticket) = (&replicator, &ticket);
            scope.spawn(move || {
                std::thread::sleep(ms(delay));
                assert_eq!(ticket.wait_timeout(LONG), Waited::Interrupted(Cause::Owner));
                assert_eq!(ticket.outcome().wait_or(&Interrupt::new(), None), Waited::Interrupted(Cause::Owner));
                assert_eq!(ticket.unless_halted().wait(), None);
            });
            scope.spawn(move || {
                std::thread::sleep(ms(delay));
                let error = replicator.flush(LONG).unwrap_err();
                assert!(matches!(error.waiting_on, WaitingOn::Owner(_)), "{error}");
                assert!(replicator.flushed().wait().is_err());
            });
            scope.spawn(move || {
                std::thread::sleep(ms(delay));
                assert!(matches!(replicator.commit_within(vec![2], LONG), Err(CommitError::Full { .. })));
            });
        }
    });
    let left = replicator.shutdown(LONG);
    assert_eq!(left.pending, [entry(1, 1)]);
    // And so with a gate.
    let paused = failed();
    paused.pause(Direction::Push);
    let _ticket = paused.commit(vec![1]).unwrap();
    assert_eq!(paused.flush(LONG).unwrap_err().waiting_on, WaitingOn::Gate(Direction::Push));
    paused.pause(Direction::Pull);
    let halted = paused.caught_up().wait();
    let gate = WaitingOn::Gate(Direction::Pull);
    assert!(
        halted.is_ok() || matches!(&halted, Err(Unsettled { waiting_on, .. }) if *waiting_on == gate),
        "{halted:?}"
    );
    paused.stop();
    assert!(paused.flush(LONG).is_err());
    assert!(since.elapsed() < LONG / 2, "{:?}", since.elapsed());
}

/// A gate that opens again: who waits then waits on.
#[test]
fn a_wait_that_begins_after_the_owner_has_acted_goes_on() {
    let memory = Memory::new(0);
    let replicator = builder(Numbers::new(), memory.clone()).start();
    replicator.pause(Direction::Push);
    let ticket = replicator.commit(vec![1]).unwrap();
    assert_eq!(ticket.wait_timeout(LONG), Waited::Interrupted(Cause::Owner));
    let later = replicator.commit(vec![2]).unwrap();
    assert_eq!(later.wait_timeout(LONG), Waited::Interrupted(Cause::Owner));
    replicator.resume(Direction::Push);
    assert!(is_confirmed(&ticket, LONG) && is_confirmed(&later, LONG));
}

/// powersync-js #694, realm-java #4104, rxdb #254.
#[test]
fn the_status_says_whether_it_has_ever_caught_up_and_what_is_still_to_come() {
    let memory = Memory::new(0);
    memory.append([entry(1, 901), entry(2, 902)]);
    let gate = Arc::new(Latch::new());
    let held = Arc::clone(&gate);
    let upstream = Scripted::new(&memory).on_pull(move |number, memory, cursor, interrupt| {
        let held = Arc::clone(&held);
        let first = (number == 1).then(|| Ok(Page { entries: vec![entry(1, 901)], more: More::Events(1) }));
        let rest = std::iter::once_with(move || {
            held.opened().wait();
            memory.pull(cursor, interrupt)
        });
        Box::new(first.into_iter().chain(rest.flatten()))
    });
    let replicator = builder(Numbers::new(), upstream).start();
    let status = replicator.status_when(|status| status.counters.pages == 1).wait().unwrap();
    assert_eq!((status.progress.caught_up, status.progress.to_come), (None, Some(1)));
    assert_eq!(replicator.caught_up().wait_timeout(ms(20)), Waited::TimedOut);
    gate.open();
    assert_eq!(replicator.caught_up().wait(), Ok(2));
    assert_eq!(replicator.status().progress.to_come, Some(0));
}

/// replicache #335: an application that replaces its database while it is used.
#[test]
fn pending_events_are_carried_over_to_another_log_while_commits_go_on() {
    let memory = Memory::new(0);
    let replicator = builder(Numbers::new(), Scripted::new(&memory)).start();
    let tickets = std::thread::scope(|scope| {
        let committing = scope.spawn(|| {
            (0..2000)
                .map(|event| {
                    std::thread::sleep(Duration::from_micros(50));
                    replicator.commit(vec![event]).unwrap()
                })
                .collect::<Vec<_>>()
        });
        for _ in 0..5 {
            std::thread::sleep(ms(20));
            let _former = replicator
                .reset_with(|log| {
                    let pending = log.batch(NonZeroUsize::MAX).into_iter().map(|entry| entry.event);
                    (Numbers::new().with_pending(log.upstream_head(), pending), Vec::new())
                })
                .unwrap();
        }
        committing.join().unwrap()
    });
    replicator.flush(LONG).unwrap();
    assert_eq!(ordered(&memory), (0..2000).collect::<Vec<_>>(), "each is there, once");
    assert!(tickets.iter().all(|ticket| matches!(ticket.settled(), Some(Settled::Confirmed(_)))));
}

/// The same, with a snapshot that holds some of what is pending; and what goes wrong with it.
#[test]
fn what_another_log_does_not_carry_on_is_closed_and_what_does_not_fit_is_refused() {
    let memory = Memory::new(0);
    let replicator = builder(Numbers::new(), memory.clone()).start();
    replicator.pause(Direction::Push);
    let tickets = [vec![1, 2], vec![3], vec![4, 5]].map(|events| replicator.commit(events).unwrap());
    let log = |pending: &[u64]| Numbers::new().with_pending(0, pending.iter().copied());
    let refused = [(vec![1, 2, 3, 4], vec![]), (vec![1, 2, 3], vec![3, 3]), (vec![1, 2, 3, 4], vec![5])];
    for (pending, gone) in refused {
        let error = replicator.reset_with(|_| (log(&pending), gone.clone())).unwrap_err();
        assert!(matches!(error, ResetError::Pending { .. } | ResetError::Gone { .. }), "{error}");
    }
    assert!(
        matches!(replicator.reset_with(|_| panic!("no snapshot")), Err(ResetError::Panicked(said)) if said.contains("no snapshot"))
    );
    assert_eq!(replicator.status().pending, 5, "nothing has changed");
    let former = replicator.reset_with(|_| (log(&[1, 2, 5]), vec![2, 3])).unwrap();
    assert_eq!(former.pending(), 5);
    replicator.resume(Direction::Push);
    replicator.flush(LONG).unwrap();
    assert_eq!(ordered(&memory), [1, 2, 5]);
    let settled = tickets.map(|ticket| ticket.settled().unwrap());
    assert_eq!(settled, [Settled::Confirmed(2), Settled::Closed, Settled::Closed]);
}

/// An event that is being sent is upstream's to decide, unless the snapshot knows what became of it.
#[test]
fn a_log_that_is_no_newer_carries_on_what_has_been_sent() {
    let memory = Memory::new(0);
    let gate = Arc::new(Latch::new());
    let held = Arc::clone(&gate);
    let upstream = Scripted::new(&memory).on_push(move |_, memory, batch, interrupt| {
        let taken = memory.push(batch, interrupt);
        held.opened().wait();
        taken
    });
    let replicator = builder(Numbers::new(), upstream).start();
    replicator.pause(Direction::Pull);
    eventually("there is no pull", || replicator.status().pull == Pull::Idle);
    let tickets = [vec![1, 2], vec![3]].map(|events| replicator.commit(events).unwrap());
    eventually("the first two are at upstream", || memory.len() >= 2);
    let log = |head, pending: &[u64]| Numbers::new().with_pending(head, pending.iter().copied());
    let sent = memory.len();
    let refused = replicator.reset_with(|_| (log(0, &[2, 3]), vec![0])).unwrap_err();
    assert_eq!(refused, ResetError::Sent(sent));
    // The snapshot has them all.
    let head = sent as u64;
    let rest: Vec<u64> = (head + 1..=3).collect();
    let _former = replicator.reset_with(|_| (log(head, &rest), (0..sent).collect())).unwrap();
    gate.open();
    replicator.resume(Direction::Pull);
    replicator.flush(LONG).unwrap();
    assert_eq!(ordered(&memory), [1, 2, 3]);
    assert_eq!(tickets[0].settled(), Some(Settled::Closed));
}

/// dynamo #10382, LiveStore #360.
#[test]
fn a_bound_on_what_is_pending_refuses_or_waits() {
    let memory = Memory::new(0);
    let max = NonZeroUsize::new(3).unwrap();
    let gate = Arc::new(Latch::new());
    let held = Arc::clone(&gate);
    let upstream = Scripted::new(&memory).on_push(move |_, memory, batch, interrupt| {
        held.opened().wait();
        memory.push(batch, interrupt)
    });
    let replicator = builder(Numbers::new(), upstream).max_pending(max).start();
    let _ticket = replicator.commit(vec![1, 2]).unwrap();
    let full = replicator.commit(vec![3, 4]).unwrap_err();
    assert_eq!(full.to_string(), "expected at most 3 pending events, got 2 more than the 2 there are");
    assert!(matches!(replicator.commit_within(vec![3, 4], ms(20)), Err(CommitError::Full { .. })));
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| replicator.commit_within(vec![3, 4], LONG));
        let tasks = scope.spawn(|| pollster::block_on(replicator.commit_async(vec![5, 6, 7])));
        std::thread::sleep(ms(20));
        assert_eq!(replicator.status().pending, 2);
        gate.open();
        assert!(is_confirmed(&waits.join().unwrap().unwrap(), LONG));
        assert!(is_confirmed(&tasks.join().unwrap().unwrap(), LONG));
    });
    assert_eq!(memory.len(), 7);
    let since = Instant::now();
    assert!(matches!(replicator.commit_within(vec![0; 4], LONG), Err(CommitError::Full { .. })));
    assert!(since.elapsed() < LONG / 2, "there is never room");
}

/// replicache #294.
#[test]
fn commits_in_quick_succession_share_a_push() {
    let memory = Memory::new(0);
    let upstream = Scripted::new(&memory);
    let seen = upstream.seen();
    let replicator = builder(Numbers::new(), upstream).linger(ms(50)).start();
    let begun = Instant::now();
    for event in 0..100 {
        replicator.commit(vec![event]).unwrap();
        std::thread::sleep(ms(5));
    }
    replicator.flush(LONG).unwrap();
    let (pushes, took) = (seen.pushes(), begun.elapsed());
    // Some 50 ms lie between two, less what the journal is behind as a push takes what is written, and the last one is flushed.
    assert!(pushes as u128 <= took.as_millis() / 25 + 1, "{pushes} pushes for 100 commits in {took:?}");
    // A flush does not wait for more to come.
    let replicator = builder(Numbers::new(), Memory::new(0)).linger(LONG).start();
    replicator.commit(vec![1]).unwrap();
    replicator.flush(LONG / 2).unwrap();
}

/// libsql #2059.
#[test]
fn one_shot_pulls_follow_in_an_interval() {
    let memory = Memory::new(0).one_shot();
    let replicator = builder(Numbers::new(), memory.clone()).pull_interval(ms(20)).start();
    replicator.caught_up().wait().unwrap();
    memory.append([entry(1, 901)]);
    eventually("it is pulled", || replicator.status().head == 1);
}
