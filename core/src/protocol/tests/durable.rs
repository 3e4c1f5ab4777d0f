//! What the journal has to do with what is sent and pulled.

use std::num::NonZeroUsize;

use super::*;
use crate::log::{Change, Changed, Log, Merged, Recovered};
use crate::protocol::{Direction, Failure, Next, WaitingOn};

type Told = Vec<Change<MemoryEntry<u64>, u64>>;

fn journaled_by<const N: usize>(max: usize, live: bool, log: MemoryLog<u64>, pending: [u64; N]) -> Core {
    let settings = Settings { journal: NonZeroUsize::new(max), live, ..settings() };
    Protocol::new(log.with_pending(0, pending), settings)
}

/// With a journal that holds these, and nothing but a push and a write to do.
fn journaled<const N: usize>(pending: [u64; N]) -> Core {
    journaled_by(1000, false, MemoryLog::rebasing(), pending).then(|protocol| {
        let first = protocol.begin_pull(ms(0));
        protocol.pull_ended(first, Ok(()), 0, ms(0))
    })
}

impl Core {
    fn commits(&mut self, events: Vec<u64>) {
        self.commit(events).expect("they have numbers");
    }

    fn begin_write(&mut self) -> Told {
        let Next::Do(changes) = self.next_write(Time::MAX) else { panic!("nothing is written") };
        changes
    }

    /// A write that succeeds.
    fn write(&mut self) -> Told {
        let changes = self.begin_write();
        self.written();
        changes
    }

    fn write_fails(&mut self) -> Effects<MemoryEntry<u64>> {
        let changes = self.begin_write();
        self.not_written(changes, full())
    }

    fn sends(&self) -> Vec<u64> {
        match self.clone().next_push(ms(0)) {
            Next::Do(batch) => batch.entries.iter().map(|entry| entry.event).collect(),
            Next::Wait { .. } | Next::Stop => Vec::new(),
        }
    }

    fn pulls(&self) -> bool {
        matches!(self.clone().next_pull(ms(0)), Next::Do(_))
    }
}

fn full() -> Failure {
    Failure::Journal { error: "the disk is full".into() }
}

#[test]
fn commit_is_sent_once_it_is_written() {
    let mut protocol = journaled([]);
    protocol.commits(vec![1]);
    let changes = protocol.begin_write();
    protocol.commits(vec![2]);
    assert_eq!((protocol.sends(), protocol.unwritten(), protocol.waiting_on()), (vec![], 2, WaitingOn::Journal));
    protocol.written();
    assert_eq!((protocol.sends(), protocol.unwritten(), protocol.durable()), (vec![1], 1, 1));
    let entries = vec![MemoryEntry { position: 1, event: 1 }];
    assert_eq!(changes, [Change { number: 1, what: Changed::Committed { entries }, cursor: 0 }]);
}

#[test]
fn next_write_takes_all_that_has_gathered_and_one_at_a_time() {
    let mut protocol = journaled([]);
    assert_eq!(protocol.next_write(ms(0)), Next::Wait { until: None });
    (0..3).for_each(|event| protocol.commits(vec![event]));
    assert_eq!(protocol.begin_write().len(), 3);
    protocol.commits(vec![3]);
    assert_eq!(protocol.next_write(ms(0)), Next::Wait { until: None });
    protocol.written();
    assert_eq!(protocol.begin_write()[0].number, 4);
}

/// What is pending from the start is what the journal holds.
#[test]
fn next_push_sends_what_the_journal_held() {
    assert_eq!(journaled([1, 2]).sends(), [1, 2]);
}

/// Pushes follow each other without waiting for the disk; a pull waits.
#[test]
fn own_batch_that_is_not_written_holds_up_pulls_and_no_push() {
    let mut protocol = journaled([1, 2]);
    protocol.settings.batch = NonZeroUsize::MIN;
    let _confirmed = protocol.push_once(Ok(()), ms(0));
    let _asked = protocol.retry_now();
    assert_eq!((protocol.sends(), protocol.pulls(), protocol.pull_waiting_on()), (vec![2], false, WaitingOn::Journal));
    assert_eq!(protocol.write().len(), 1);
    assert!(protocol.pulls());
}

/// A log that comes back from before what others did could not tell its own events behind that.
#[test]
fn events_of_others_that_are_not_written_hold_up_pushes() {
    let mut protocol = journaled([1, 2]);
    let _asked = protocol.retry_now();
    let pull = protocol.begin_pull(ms(0));
    let merged = protocol.page_pulled(pull, last_page(0, &[1, 9]), 0, ms(0)).expect("it follows");
    assert!(merged.merged.is_some_and(|merged| merged.is_rebase()));
    assert_eq!((protocol.sends(), protocol.waiting_on()), (vec![], WaitingOn::Journal));
    let [change] = &protocol.write()[..] else { panic!("expected one change") };
    assert_eq!((&change.cursor, protocol.sends()), (&2, vec![2]));
    assert!(
        matches!(&change.what, Changed::Merged(Merged::Rebase { new, confirmed, .. }) if (new.len(), confirmed.len()) == (1, 1))
    );
}

#[test]
fn what_the_owner_decides_is_sent_past_once_it_is_written() {
    type Decides = fn(&mut Core);
    let give_up: Decides = |protocol| drop(protocol.give_up(0..1));
    let replace: Decides = |protocol| drop(protocol.replace(0, 7));
    let reset: Decides = |protocol| drop(protocol.reset(MemoryLog::new().with_pending(0, [7, 2])));
    for (decides, then) in [(give_up, &[2][..]), (replace, &[7, 2]), (reset, &[7, 2])] {
        let mut protocol = journaled([1, 2]);
        decides(&mut protocol);
        assert!(protocol.sends().is_empty());
        protocol.write();
        assert_eq!(protocol.sends(), then);
    }
}

/// The first that is not durable is counted anew when others before it are settled or given up.
#[test]
fn durable_is_a_count_from_the_front_that_follows_what_leaves() {
    let mut protocol = journaled([1, 2, 3]);
    protocol.commits(vec![4, 5]);
    let changes = protocol.begin_write();
    protocol.commits(vec![6]);
    let _given_up = protocol.give_up(1..2).expect("it was not sent");
    let _given_up = protocol.give_up(3..4).expect("it was not sent");
    assert_eq!((protocol.durable(), protocol.log.pending()), (2, 4));
    let _pull = protocol.retry_now();
    protocol.written();
    assert_eq!((protocol.durable(), changes.len(), protocol.sends()), (3, 1, vec![]));
    protocol.write();
    assert_eq!((protocol.durable(), protocol.sends()), (4, vec![1, 3, 4, 6]));
    let pull = protocol.begin_pull(ms(0));
    let _merged = protocol.page_pulled(pull, last_page(0, &[1, 3]), 0, ms(0)).expect("it follows");
    assert_eq!(protocol.durable(), 2);
}

#[test]
fn a_journal_that_fails_stops_everything_until_restart_and_loses_nothing() {
    let mut protocol = journaled_by(1000, true, MemoryLog::new(), [1]);
    let pull = protocol.begin_pull(ms(0));
    protocol.commits(vec![2]);
    assert_eq!(protocol.write_fails(), ends_pull());
    let _ended = protocol.pull_ended(pull, disconnected(), 0, ms(0));
    protocol.commits(vec![3]);
    let owner = WaitingOn::Owner(full());
    assert_eq!((protocol.waiting_on(), protocol.pull_waiting_on()), (owner.clone(), owner));
    assert_eq!(
        (protocol.sends(), protocol.pulls(), protocol.next_write(ms(0))),
        (vec![], false, Next::Wait { until: None })
    );
    assert_eq!((protocol.failure(), protocol.unwritten(), protocol.durable()), (Some(&full()), 2, 1));
    let _effects = protocol.restart();
    assert_eq!((protocol.failure(), protocol.sends()), (None, vec![1]));
    let numbers: Vec<_> = protocol.write().iter().map(|change| change.number).collect();
    assert_eq!((numbers, protocol.sends()), (vec![1, 2], vec![1, 2, 3]));
}

/// Others' events must be durable before, also if the write of them has failed.
#[test]
fn not_written_holds_up_what_the_changes_hold_up() {
    let mut protocol = journaled([1]);
    let _asked = protocol.retry_now();
    let pull = protocol.begin_pull(ms(0));
    let _merged = protocol.page_pulled(pull, last_page(0, &[9]), 0, ms(0)).expect("it follows");
    let _failed = protocol.write_fails();
    let _effects = protocol.restart();
    assert!(protocol.sends().is_empty());
    protocol.write();
    assert_eq!(protocol.sends(), [1]);
}

#[test]
fn page_pulled_ends_the_pull_when_as_much_is_unwritten_as_may_be() {
    let mut protocol = journaled_by(2, true, MemoryLog::new(), []);
    let pull = protocol.begin_pull(ms(0));
    let effects = protocol.page_pulled(pull, page(0, &[1]), 0, ms(0)).expect("it follows");
    assert!(!effects.interrupt_pull && !protocol.is_journal_full());
    let effects = protocol.page_pulled(pull, page(1, &[2]), 0, ms(0)).expect("it follows");
    assert!(effects.interrupt_pull && protocol.is_journal_full());
    let _ended = protocol.pull_ended(pull, disconnected(), 0, ms(0));
    assert!(!protocol.pulls());
    protocol.write();
    assert!(protocol.pulls());
}

/// What is in flight may change the log yet.
#[test]
fn next_write_stops_after_both_directions_once_all_is_written() {
    let mut protocol = journaled_by(1000, true, MemoryLog::new(), [1]);
    let pull = protocol.begin_pull(ms(0));
    let batch = protocol.send(ms(0));
    let _effects = protocol.stop();
    assert_eq!(protocol.next_write(ms(0)), Next::Wait { until: None });
    let _ended = protocol.pull_ended(pull, disconnected(), 0, ms(0));
    assert_eq!(protocol.next_write(ms(0)), Next::Wait { until: None });
    let _confirmed = protocol.answer(batch, Ok(()), ms(0));
    let mut failing = protocol.clone();
    assert_eq!((protocol.write().len(), protocol.next_write(ms(0))), (1, Next::Stop));
    let _failed = failing.write_fails();
    assert_eq!((failing.next_write(ms(0)), failing.unwritten()), (Next::Stop, 1));
}

/// However it goes, what a journal has been told leads to what the log is.
#[test]
fn changes_lead_to_what_the_log_is() {
    let mut protocol = journaled([1, 2]);
    protocol.settings.batch = NonZeroUsize::MIN.saturating_add(1);
    let pending = (1..).zip([1, 2]).map(|(position, event)| MemoryEntry { position, event });
    let mut held = Recovered::with_pending(0, pending.collect());
    let steps: [fn(&mut Core); 8] = [
        |protocol| protocol.commits(vec![3, 4]),
        |protocol| drop(protocol.push_once(Ok(()), ms(0))),
        |protocol| {
            let _asked = protocol.retry_now();
            let pull = protocol.begin_pull(ms(0));
            drop(protocol.page_pulled(pull, last_page(2, &[3, 9]), 0, ms(0)));
        },
        |protocol| protocol.commits(vec![5, 6]),
        |protocol| drop(protocol.replace(1, 7)),
        |protocol| drop(protocol.give_up(0..1)),
        |protocol| drop(protocol.reset(MemoryLog::new().with_pending(30, [8]))),
        |protocol| protocol.commits(vec![9]),
    ];
    for step in steps {
        step(&mut protocol);
        for change in protocol.write() {
            held.apply(&change, |_| true).expect("it follows");
        }
        let log = protocol.log();
        let events = |entries: &[MemoryEntry<u64>]| entries.iter().map(|entry| entry.event).collect::<Vec<_>>();
        assert_eq!((held.cursor, events(&held.pending)), (log.upstream_head(), events(&log.batch(NonZeroUsize::MAX))));
    }
}

/// A refused commit leaves nothing for the journal.
#[test]
fn commit_that_the_log_refuses_is_not_written() {
    let mut protocol = journaled([1]);
    let stale = vec![MemoryEntry { position: 1, event: 2 }];
    protocol.commit_numbered(stale).expect_err("its number is taken");
    assert_eq!((protocol.next_write(ms(0)), protocol.unwritten()), (Next::Wait { until: None }, 0));
}

#[test]
fn note_anew_tells_the_journal_what_there_is() {
    let mut protocol = journaled([1, 2]);
    protocol.note_anew();
    assert_eq!((protocol.sends(), protocol.durable()), (vec![], 0));
    let [change] = &protocol.write()[..] else { panic!("expected one change") };
    assert!(matches!(&change.what, Changed::Reset { pending } if pending.len() == 2));
    assert_eq!(protocol.sends(), [1, 2]);
    let _effects = protocol.journal_is_astray(full());
    assert!(protocol.sends().is_empty());
    let _effects = protocol.restart();
    assert_eq!((protocol.write().len(), protocol.sends()), (1, vec![1, 2]));
    // Once: the next failure is not about the log.
    protocol.commits(vec![3]);
    let changes = protocol.begin_write();
    let _effects = protocol.not_written(changes, full());
    let _effects = protocol.restart();
    assert_eq!(protocol.write().len(), 1);
}

#[test]
fn waiting_on_names_the_owner_of_a_gate_before_the_journal() {
    let mut protocol = journaled([]);
    protocol.commits(vec![1]);
    let _effects = protocol.pause(Direction::Push);
    assert_eq!(protocol.waiting_on(), WaitingOn::Gate(Direction::Push));
}

#[test]
fn replace_takes_back_that_what_it_replaces_is_durable() {
    let mut protocol = journaled([]);
    protocol.commits(vec![1, 2]);
    let _first = protocol.begin_write();
    let _replaced = protocol.replace(1, 7).expect("it is not in flight");
    protocol.written();
    assert_eq!(protocol.durable(), 1, "what stands in the second place is not written");
    protocol.write();
    assert_eq!(protocol.durable(), 2);
}

#[test]
fn next_write_lets_a_confirmation_wait_for_a_commit_while_a_pull_goes_on() {
    let confirmed = |max| {
        let mut protocol = journaled_by(max, true, MemoryLog::rebasing(), [1]);
        let _pull = protocol.begin_pull(ms(0));
        let batch = protocol.send(ms(5));
        let _effects = protocol.push_ended(batch, Ok(()), 0, ms(5)).expect("it follows");
        protocol
    };
    let mut protocol = confirmed(3);
    assert_eq!(protocol.next_write(ms(5)), Next::Wait { until: Some(ms(6)) });
    assert!(matches!(protocol.clone().next_write(ms(6)), Next::Do(changes) if changes.len() == 1));
    protocol.commits(vec![3]);
    assert!(matches!(protocol.next_write(ms(5)), Next::Do(changes) if changes.len() == 2), "in company");

    type Hurries = (&'static str, fn(&mut Core));
    let hurries: [Hurries; 3] = [
        ("a stop", |protocol| drop(protocol.stop())),
        ("a pull that is yet to begin", |protocol| drop(protocol.pull_ended(1, Ok(()), 0, ms(5)))),
        ("a write that has failed", |protocol| {
            let _effects = protocol.write_fails();
            let _effects = protocol.restart();
        }),
    ];
    for (what, hurries) in hurries {
        let mut protocol = confirmed(3);
        hurries(&mut protocol);
        assert!(matches!(protocol.next_write(ms(5)), Next::Do(_)), "{what} waits for no company");
    }
    assert!(matches!(confirmed(1).next_write(ms(5)), Next::Do(_)), "a full journal waits for no company");
}
