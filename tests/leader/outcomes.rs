//! What becomes of a session's push.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use latchwork::log::{Log as _, MemoryEntry, MemoryLog, MemoryLogError, Merged, Wrapper};
use latchwork::protocol::{Direction, Failure};
use latchwork::replicator::{Matter, OnRejected};
use latchwork::sync_state::Event;
use latchwork::upstream::{
    Batch, FatalKind, Fault, Leader, LeaderError, Memory, More, Page, PullError, PushError, Upstream,
};
use latchwork::{Backoff, Cause, Interrupt, Latch, Replicator, SeqNum, Settled, SharedError, SyncState};

type Log = MemoryLog<&'static str>;
type Outcome = Result<(), PushError<u64>>;

const MOMENT: Duration = Duration::from_secs(10);

fn count(events: usize) -> NonZeroUsize {
    NonZeroUsize::new(events).unwrap()
}

fn leader(server: &Memory<Log>) -> (Replicator<Log>, Leader<Log>) {
    let leader = Replicator::builder(Log::rebasing(), server.clone()).backoff(Backoff::new(MS, MS)).spawn().unwrap();
    leader.caught_up().wait().unwrap();
    let upstream = leader.as_upstream(count(1000));
    (leader, upstream)
}

const MS: Duration = Duration::from_millis(1);

fn entries(base: u64, events: &[&'static str]) -> Vec<MemoryEntry<&'static str>> {
    let numbered = (base + 1..).zip(events);
    numbered.map(|(position, event)| MemoryEntry { position, event: *event }).collect()
}

fn push<L>(leader: &Leader<L>, base: u64, events: &'static [&'static str]) -> JoinHandle<Outcome>
where
    L: latchwork::log::Log<Entry = MemoryEntry<&'static str>, Position = u64>,
{
    let leader = leader.clone();
    thread::spawn(move || {
        let batch = Batch::<Log>::new(base, entries(base, events));
        Upstream::<Log>::push(&leader, &batch, &Interrupt::new())
    })
}

/// Waits until so much is pending.
fn pending(leader: &Replicator<Log>, events: usize) {
    assert!(
        leader.status_when(|status| status.pending == events).wait_timeout(MOMENT).is_ready(),
        "{:?}",
        leader.status()
    );
}

fn behind(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Err(PushError::Behind { head }) => *head,
        _ => None,
    }
}

fn said(error: &SharedError) -> Option<LeaderError> {
    error.get().downcast_ref().copied()
}

fn at(server: &Memory<Log>) -> Vec<&'static str> {
    server.entries().iter().map(|entry| entry.event).collect()
}

#[test]
fn push_of_a_batch_that_the_leaders_upstream_orders_is_taken() {
    let server = Memory::new(0);
    let (leader, upstream) = leader(&server);
    push(&upstream, 0, &["a", "b"]).join().unwrap().unwrap();
    assert_eq!((at(&server), leader.status().pending), (vec!["a", "b"], 0));
    assert_eq!(behind(&push(&upstream, 0, &["c"]).join().unwrap()), Some(2));
    push(&upstream, 2, &["c"]).join().unwrap().unwrap();
}

#[test]
fn push_of_a_batch_that_others_overtake_is_behind_and_has_left_the_log() {
    for log in [Log::new(), Log::rebasing()] {
        let server = Memory::new(0);
        let (leader, upstream) = leader(&server);
        leader.reset_with(|_| (log, Vec::new())).unwrap();
        leader.pause(Direction::Push);
        let pushed = push(&upstream, 0, &["a", "b"]);
        pending(&leader, 2);
        server.append(entries(0, &["theirs"]));
        assert_eq!(behind(&pushed.join().unwrap()), Some(1));
        assert_eq!(leader.status().pending, 0);
        leader.resume(Direction::Push);
        push(&upstream, 1, &["a", "b"]).join().unwrap().unwrap();
        assert_eq!(at(&server), ["theirs", "a", "b"]);
    }
}

#[test]
fn push_of_a_batch_that_is_overtaken_in_flight_is_behind_once_the_call_has_ended() {
    for fault in [Fault::Delay(Duration::from_millis(30)), Fault::Hang, Fault::DisconnectBefore] {
        let server = Memory::new(0);
        // It does not try again before the others' event has come.
        let patient = Backoff::new(MOMENT, MOMENT);
        let leader = Replicator::builder(Log::rebasing(), server.clone()).backoff(patient).spawn().unwrap();
        leader.caught_up().wait().unwrap();
        let upstream = leader.as_upstream(count(10));
        server.fail_push(fault);
        let updates = leader.updates();
        let pushed = push(&upstream, 0, &["a"]);
        pending(&leader, 1);
        server.append(entries(0, &["theirs"]));
        assert_eq!(behind(&pushed.join().unwrap()), Some(1), "{fault:?}");
        updates.receiver.recv_timeout(MOMENT).unwrap();
        assert_eq!((at(&server), leader.status().pending), (vec!["theirs"], 0), "{fault:?}");
    }
}

#[test]
fn push_of_a_batch_whose_answer_is_lost_is_taken_once_a_pull_has_shown_all_of_it() {
    let server = Memory::new(0).with_page_size(1);
    let (leader, upstream) = leader(&server);
    for fault in [Fault::DisconnectAfter, Fault::LoseEcho] {
        let base = server.len() as u64;
        server.fail_push(fault);
        push(&upstream, base, &["a", "b", "c"]).join().unwrap().unwrap();
        assert_eq!((server.len() as u64, leader.status().pending), (base + 3, 0));
    }
}

#[test]
fn push_of_an_event_that_is_refused_for_good_is_rejected_and_leaves_nothing_to_the_leaders_owner() {
    for on_rejected in [OnRejected::Block, OnRejected::GiveUpEvent, OnRejected::GiveUpCommit] {
        let server = Memory::new(0);
        let leader = Replicator::builder(Log::new(), server.clone()).on_rejected(on_rejected).spawn().unwrap();
        let upstream = leader.as_upstream(count(10));
        server.fail_push(Fault::RejectEvent(1));
        let outcome = push(&upstream, 0, &["a", "b", "c"]).join().unwrap();
        assert!(matches!(outcome, Err(PushError::Rejected { index: 1, .. })), "{on_rejected:?}: {outcome:?}");
        let status = leader.status();
        assert_eq!((status.pending, status.decisions, server.len()), (0, Vec::new(), 0), "{on_rejected:?}");
        push(&upstream, 0, &["a", "c"]).join().unwrap().unwrap();
    }
}

#[test]
fn an_event_that_is_refused_for_good_waits_for_the_owner_of_the_session_that_committed_it() {
    let server = Memory::new(0);
    let (leader, upstream) = leader(&server);
    let [one, other] = [(); 2].map(|()| Replicator::builder(Log::new(), upstream.clone()).spawn().unwrap());
    server.fail_push(Fault::RejectEvent(0));
    let refused = one.commit(vec!["refused"]).unwrap();
    let waits = |status: &latchwork::replicator::Status<u64>| !status.decisions.is_empty();
    let status = one.status_when(waits).wait_timeout(MOMENT).ready().flatten().expect("its owner is to decide");
    assert!(matches!(status.decisions[0].matter, Matter::Rejected { before: 0, .. }));
    assert!(matches!(other.commit(vec!["b"]).unwrap().wait(), Settled::Confirmed(1)));
    assert!(leader.commit(vec!["c"]).unwrap().wait() == Settled::Confirmed(2) && leader.status().decisions.is_empty());
    one.give_up(latchwork::replicator::GiveUp::Rejected).unwrap();
    assert_eq!(refused.wait(), Settled::Rejected);
    assert!(refused.rejection().is_some());
}

#[test]
fn push_of_a_batch_that_the_leader_does_not_send_at_once_is_too_large() {
    let server = Memory::new(0);
    let builder = || Replicator::builder(Log::new(), server.clone());
    for builder in [builder().push_batch(count(2)), builder().max_pending(count(2))] {
        let leader = builder.spawn().unwrap();
        leader.caught_up().wait().unwrap();
        let base = server.len() as u64;
        let outcome = push(&leader.as_upstream(count(10)), base, &["a", "b", "c"]).join().unwrap();
        let Err(PushError::TooLarge { error }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(said(&error), Some(LeaderError::TooLarge { most: 2 }));
        push(&leader.as_upstream(count(10)), base, &["a", "b"]).join().unwrap().unwrap();
    }
}

/// A log whose events weigh as much as they are long.
struct Weighed(Log);

impl Wrapper for Weighed {
    type Log = Log;

    fn inner(&self) -> &Log {
        &self.0
    }

    fn inner_mut(&mut self) -> &mut Log {
        &mut self.0
    }

    fn weight(entry: &MemoryEntry<&'static str>) -> usize {
        entry.event.len()
    }
}

#[test]
fn push_of_a_batch_that_weighs_more_than_the_leader_sends_at_once_is_too_large() {
    let server = Memory::<Log>::new(0);
    let builder = Replicator::builder(Weighed(Log::new()), Same(server.clone()));
    let leader = builder.push_batch(count(5)).push_batch_weight(3).spawn().unwrap();
    leader.caught_up().wait().unwrap();
    let upstream = leader.as_upstream(count(10));
    let outcome = push(&upstream, 0, &["aa", "bb"]).join().unwrap();
    let Err(PushError::TooLarge { error }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(said(&error), Some(LeaderError::TooLarge { most: 5 }));
    assert_eq!((server.len(), leader.status().pending), (0, 0));
    push(&upstream, 0, &["aa", "b"]).join().unwrap().unwrap();
    push(&upstream, 2, &["heavy, and alone"]).join().unwrap().unwrap();
    // A session's replicator halves it.
    let session = Replicator::builder(Log::new(), upstream).spawn().unwrap();
    assert_eq!(session.commit(vec!["cc", "dd"]).unwrap().wait(), Settled::Confirmed(5));
    assert_eq!(at(&server), ["aa", "b", "heavy, and alone", "cc", "dd"]);
}

#[test]
fn push_of_a_batch_that_the_leaders_upstream_does_not_take_at_once_is_too_large() {
    let server = Memory::new(0);
    let (leader, upstream) = leader(&server);
    server.fail_push(Fault::TooLarge);
    let outcome = push(&upstream, 0, &["a", "b", "c", "d"]).join().unwrap();
    assert!(matches!(outcome, Err(PushError::TooLarge { .. })), "{outcome:?}");
    assert_eq!((server.len(), leader.status().pending), (0, 0));
    // A session's replicator halves it.
    let session = Replicator::builder(Log::new(), upstream).spawn().unwrap();
    assert_eq!(session.commit(vec!["a", "b", "c", "d"]).unwrap().wait(), Settled::Confirmed(4));
}

#[test]
fn push_waits_until_nothing_is_pending_at_the_leader() {
    let server = Memory::new(0);
    let (leader, upstream) = leader(&server);
    leader.pause(Direction::Push);
    leader.commit(vec!["the owner's"]).unwrap();
    let interrupt = Interrupt::new();
    let batch = Batch::<Log>::new(0, entries(0, &["a"]));
    let outcome = thread::scope(|scope| {
        let pushed = scope.spawn(|| Upstream::<Log>::push(&upstream, &batch, &interrupt));
        thread::sleep(Duration::from_millis(20));
        interrupt.set(Cause::Stop);
        pushed.join().unwrap()
    });
    assert!(matches!(outcome, Err(PushError::Unavailable { .. })), "{outcome:?}");
    let pushed = push(&upstream, 0, &["a"]);
    leader.resume(Direction::Push);
    assert_eq!(behind(&pushed.join().unwrap()), Some(1));
    assert_eq!(at(&server), ["the owner's"]);
}

#[test]
fn push_that_is_interrupted_is_uncertain_and_the_leader_may_send_it_yet() {
    let server = Memory::new(0);
    let (leader, upstream) = leader(&server);
    leader.pause(Direction::Push);
    let session = Replicator::builder(Log::new(), upstream).push_deadline(Duration::from_millis(20)).spawn().unwrap();
    let ticket = session.commit(vec!["a"]).unwrap();
    pending(&leader, 1);
    assert!(session.status_when(|status| status.counters.uncertain > 0).wait_timeout(MOMENT).is_ready());
    leader.resume(Direction::Push);
    assert_eq!(ticket.wait(), Settled::Confirmed(1));
    session.flush(MOMENT).unwrap();
    assert_eq!(at(&server), ["a"], "it is there once");
}

/// The leader may send it yet: a pull that began since would otherwise tell that it was not taken.
#[test]
fn a_pull_does_not_catch_up_before_it_is_known_what_becomes_of_a_push_that_was_interrupted() {
    let server = Memory::new(0);
    let (leader, upstream) = leader(&server);
    leader.pause(Direction::Push);
    let interrupt = Interrupt::new();
    let batch = Batch::<Log>::new(0, entries(0, &["a"]));
    thread::scope(|scope| {
        let pushed = scope.spawn(|| Upstream::<Log>::push(&upstream, &batch, &interrupt));
        pending(&leader, 1);
        assert_eq!(pulled(&upstream, 0).unwrap(), [""; 0], "the push will be answered");
        interrupt.set(Cause::Stop);
        assert!(matches!(pushed.join().unwrap(), Err(PushError::Uncertain { .. })));
    });
    let bounded = Interrupt::with_deadline(Instant::now() + Duration::from_millis(30));
    let page = Upstream::<Log>::pull(&upstream, 0, &bounded).next();
    assert!(matches!(page, Some(Err(PullError::Unavailable { .. }))), "{page:?}");
    leader.resume(Direction::Push);
    assert_eq!(pulled(&upstream, 0).unwrap(), ["a"]);
}

/// Upstream is there, and does not say yet what it has.
#[derive(Clone)]
struct Late(Memory<Log>, Arc<Latch>);

impl Upstream<Log> for Late {
    fn push(&self, batch: &Batch<Log>, interrupt: &Interrupt) -> Result<(), PushError<u64>> {
        Upstream::push(&self.0, batch, interrupt)
    }

    fn pull<'a>(
        &'a self,
        cursor: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<MemoryEntry<&'static str>>, PullError>> + 'a {
        let _interrupted = self.1.opened().wait_or(interrupt, None);
        Upstream::pull(&self.0, cursor, interrupt)
    }
}

/// A leader that was started again may have sent a session's batch before it crashed. It does not know of it, and must not tell
/// the session that there is nothing.
#[test]
fn a_pull_does_not_catch_up_before_the_leader_has() {
    let upstream = Late(Memory::new(0), Arc::new(Latch::new()));
    upstream.0.append(entries(0, &["a"]));
    let leader = Replicator::builder(Log::new(), upstream.clone()).spawn().unwrap();
    let sessions = leader.as_upstream(count(10));
    let bounded = Interrupt::with_deadline(Instant::now() + Duration::from_millis(30));
    let page = Upstream::<Log>::pull(&sessions, 0, &bounded).next();
    assert!(matches!(page, Some(Err(PullError::Unavailable { .. }))), "{page:?}");
    upstream.1.open();
    assert_eq!(pulled(&sessions, 0).unwrap(), ["a"]);
}

/// A leader and a session with the log that most engines take. What is pending in the session's is rebased, and the leader has
/// nothing that it would rebase.
#[test]
fn push_of_a_session_that_has_rebased_more_often_than_its_leader_is_taken() {
    type State = SyncState<Note>;
    let server = Memory::<State>::new(SeqNum::ROOT.position());
    let leader = Replicator::builder(State::default(), server.clone()).spawn().unwrap();
    let session = Replicator::builder(State::default(), leader.as_upstream(count(10))).spawn().unwrap();
    session.pause(Direction::Push);
    let ticket = session.commit(vec![Note("a"), Note("b")]).unwrap();
    for theirs in 1..4 {
        let head = SeqNum::new(theirs - 1, 0, 0);
        server.append(State::new(head).number([Note("theirs")]).unwrap());
        let rebased = session.status_when(|status| status.upstream_head.global == theirs);
        assert!(rebased.wait_timeout(MOMENT).is_ready());
    }
    session.resume(Direction::Push);
    let settled = ticket.wait_timeout(MOMENT).ready();
    assert_eq!(settled, Some(Settled::Confirmed(SeqNum::new(5, 0, 0).position())), "{}", session.status());
    assert_eq!(leader.status().upstream_head.global, 5);
    // And the leader's own follow it.
    assert!(matches!(leader.commit(vec![Note("c")]).unwrap().wait(), Settled::Confirmed(_)));
    assert!(matches!(session.commit(vec![Note("d")]).unwrap().wait(), Settled::Confirmed(_)));
}

#[derive(Debug, Clone, PartialEq)]
struct Note(&'static str);

impl Event for Note {
    fn is_same_as(&self, other: &Self) -> bool {
        self == other
    }
}

#[test]
fn a_leader_that_is_stopped_is_a_failure_of_its_sessions_that_says_so() {
    let server = Memory::new(0);
    let (leader, upstream) = leader(&server);
    let session = Replicator::builder(Log::new(), upstream.clone()).spawn().unwrap();
    leader.pause(Direction::Push);
    let pushed = push(&upstream, 0, &["a"]);
    pending(&leader, 1);
    session.commit(vec!["b"]).unwrap();
    leader.stop();
    let outcome = pushed.join().unwrap();
    let Err(PushError::Uncertain { error }) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(said(error), Some(LeaderError::Stopped));
    let halted = session.status_when(|status| status.decisions.len() == 2).wait_timeout(MOMENT).ready().flatten();
    for decision in halted.expect("both of its directions fail").decisions {
        let Matter::Failed { failure: Failure::Upstream { kind: FatalKind::Other, error }, .. } = decision.matter
        else {
            panic!("{decision:?}")
        };
        assert_eq!(said(&error), Some(LeaderError::Stopped));
    }
    drop(session);
    drop(upstream);
    assert!(leader.into_log().is_some(), "a session keeps it going");
}

#[test]
fn a_leader_whose_log_is_replaced_refuses_its_sessions_and_serves_new_ones() {
    let server = Memory::new(0);
    let (leader, upstream) = leader(&server);
    leader.pause(Direction::Push);
    let pushed = push(&upstream, 0, &["a"]);
    pending(&leader, 1);
    leader.reset(Log::new());
    let outcome = pushed.join().unwrap();
    let Err(PushError::Uncertain { error }) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(said(error), Some(LeaderError::Replaced));
    let outcome = push(&upstream, 0, &["a"]).join().unwrap();
    let Err(PushError::Fatal { error, .. }) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(said(error), Some(LeaderError::Replaced));
    leader.resume(Direction::Push);
    push(&leader.as_upstream(count(1)), 0, &["b"]).join().unwrap().unwrap();
    let interrupt = Interrupt::new();
    let page = Upstream::<Log>::pull(&upstream, 0, &interrupt).next();
    assert!(matches!(page, Some(Err(PullError::Fatal { kind: FatalKind::Other, .. }))), "{page:?}");
}

/// What a pull gives out until it has caught up.
fn pulled(leader: &Leader<Log>, cursor: u64) -> Result<Vec<&'static str>, PullError> {
    let (mut events, interrupt) = (Vec::new(), Interrupt::new());
    for page in Upstream::<Log>::pull(leader, cursor, &interrupt) {
        let page = page?;
        events.extend(page.entries.iter().map(|entry| entry.event));
        if page.more == More::None {
            break;
        }
    }
    Ok(events)
}

#[test]
fn pull_gives_out_what_is_kept_and_says_if_the_session_has_missed_more() {
    let server = Memory::new(0);
    let leader = Replicator::builder(Log::new(), server.clone()).spawn().unwrap();
    let upstream = leader.as_upstream(count(2));
    assert_eq!(pulled(&upstream, 0).unwrap(), [""; 0]);
    for event in ["a", "b", "c"] {
        assert!(matches!(leader.commit(vec![event]).unwrap().wait(), Settled::Confirmed(_)));
    }
    leader.pause(Direction::Push);
    leader.commit(vec!["pending"]).unwrap();
    for (cursor, events) in [(1, &["b", "c"][..]), (2, &["c"]), (3, &[])] {
        assert_eq!(pulled(&upstream, cursor).unwrap(), events, "from {cursor}");
    }
    let Err(PullError::Fatal { kind: FatalKind::CursorTooOld, error }) = pulled(&upstream, 0) else { panic!() };
    assert_eq!(said(&error), Some(LeaderError::TooOld { kept: 2 }));
    // A snapshot of the same upstream has all that was kept.
    leader.resume(Direction::Push);
    leader.flush(MOMENT).unwrap();
    leader.reset_with(|log| (log.clone(), Vec::new())).unwrap();
    assert!(pulled(&upstream, 3).is_err());
    assert_eq!(pulled(&upstream, 4).unwrap(), [""; 0]);
}

#[test]
fn pull_has_caught_up_when_the_leader_has() {
    let server = Memory::new(0).with_page_size(2);
    let (leader, upstream) = leader(&server);
    leader.pause(Direction::Pull);
    server.append(entries(0, &["a", "b", "c"]));
    server.fail_pull(Fault::DisconnectAfter);
    leader.resume(Direction::Pull);
    assert!(leader.status_when(|status| status.upstream_head >= 2).wait_timeout(MOMENT).is_ready());
    assert_eq!(pulled(&upstream, 0).unwrap(), ["a", "b", "c"]);
}

#[test]
fn a_session_that_is_ahead_waits_until_the_leader_has_caught_up() {
    for events in [&["a"][..], &[]] {
        let server = Memory::new(0);
        server.append(entries(0, events));
        server.fail_pull(Fault::Delay(Duration::from_millis(30)));
        let leader = Replicator::builder(Log::new(), server.clone()).spawn().unwrap();
        let upstream = leader.as_upstream(count(10));
        let pushing = push(&upstream, 1, &["b"]);
        let (pulled, pushed) = (pulled(&upstream, 1), pushing.join().unwrap());
        if events.is_empty() {
            assert!(matches!(pulled, Err(PullError::Fatal { kind: FatalKind::WentBack, .. })), "{pulled:?}");
            assert_eq!(behind(&pushed), Some(0), "the session finds out that upstream has gone back");
        } else {
            // The push may be faster than the pull.
            assert!(pulled.is_ok_and(|events| ["b"].starts_with(&events)) && pushed.is_ok(), "{pushed:?}");
        }
    }
}

/// A log that gives up what is pending when events of others come in.
struct Dropping(Log);

impl Wrapper for Dropping {
    type Log = Log;

    fn inner(&self) -> &Log {
        &self.0
    }

    fn inner_mut(&mut self) -> &mut Log {
        &mut self.0
    }

    fn merge(
        &mut self,
        page: Vec<MemoryEntry<&'static str>>,
    ) -> Result<Merged<MemoryEntry<&'static str>>, MemoryLogError> {
        Ok(match self.0.merge(page)? {
            Merged::Rebase { new, confirmed, .. } => {
                self.0.give_up(0..1);
                Merged::Rebase { new, confirmed, moved: self.0.pending(), dropped: vec![0] }
            }
            merged @ Merged::Advance { .. } => merged,
        })
    }
}

#[test]
fn push_of_a_batch_of_which_the_leaders_log_gives_up_some_is_behind() {
    for (events, left) in [(&["a"][..], 0), (&["a", "b"], 0)] {
        let server = Memory::<Log>::new(0);
        let same = server.clone();
        let leader = Replicator::builder(Dropping(Log::rebasing()), Same(same)).spawn().unwrap();
        let upstream = leader.as_upstream(count(10));
        leader.pause(Direction::Push);
        let pushed = push(&upstream, 0, events);
        assert!(leader.status_when(|status| status.pending == events.len()).wait_timeout(MOMENT).is_ready());
        server.append(entries(0, &["theirs"]));
        assert_eq!(behind(&pushed.join().unwrap()), Some(1));
        assert_eq!(leader.status().pending, left);
    }
}

/// An upstream for another log with the same entries.
struct Same(Memory<Log>);

impl<L> Upstream<L> for Same
where
    L: latchwork::log::Log<Entry = MemoryEntry<&'static str>, Position = u64>,
{
    fn push(&self, batch: &Batch<L>, interrupt: &Interrupt) -> Outcome {
        Upstream::<Log>::push(&self.0, &Batch::new(batch.base, batch.entries.clone()), interrupt)
    }

    fn pull<'a>(
        &'a self,
        cursor: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<latchwork::upstream::Page<MemoryEntry<&'static str>>, PullError>> + 'a {
        Upstream::<Log>::pull(&self.0, cursor, interrupt)
    }
}

#[test]
fn push_does_not_wait_for_the_drop_of_the_leader() {
    let server = Memory::new(0);
    let (leader, upstream) = leader(&server);
    leader.pause(Direction::Push);
    leader.commit(vec!["the owner's"]).unwrap();
    let pushed = push(&upstream, 0, &["a"]);
    let began = Instant::now();
    drop(leader);
    let outcome = pushed.join().unwrap();
    assert!(matches!(outcome, Err(PushError::Fatal { .. })), "{outcome:?}");
    assert!(began.elapsed() < MOMENT);
}
