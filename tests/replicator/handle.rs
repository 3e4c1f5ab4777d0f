//! What the handle can do besides committing.

use latchwork::protocol::{Direction, Pull, Push, WaitingOn};
use latchwork::upstream::{Fault, PushError};

use super::*;
use crate::upstream::{Hooked, dead};

#[test]
fn after_a_flush_every_ticket_says_that_it_has_settled() {
    let replicator = quick(State::default(), empty_upstream()).start();
    for number in 0..500 {
        let ticket = replicator.commit(items(1, number..number + 1)).unwrap();
        replicator.flush(LONG).unwrap();
        assert!(matches!(ticket.settled(), Some(Settled::Confirmed(_))));
    }
}

#[test]
fn a_paused_push_direction_sends_nothing_and_the_other_goes_on() {
    let upstream = empty_upstream();
    let replicator = quick(State::default(), upstream.clone()).start();
    replicator.pause(Direction::Push);
    let ticket = replicator.commit(items(1, 0..1)).unwrap();
    foreign(&upstream, items(9, 0..1));
    eventually(|| replicator.status().upstream_head.global == 1);
    let status = replicator.status();
    assert_eq!((status.waiting_on, status.counters.pushes), (WaitingOn::Gate(Direction::Push), 0));
    replicator.resume(Direction::Push);
    confirmed(&ticket);
    assert_eq!(ordered(&upstream), [(9, 0), (1, 0)]);
}

#[test]
fn a_paused_pull_direction_pulls_nothing_and_the_other_goes_on() {
    let upstream = empty_upstream();
    let replicator = quick(State::default(), upstream.clone()).start();
    replicator.pause(Direction::Pull);
    eventually(|| !matches!(replicator.status().pull, Pull::Pulling { .. }));
    confirmed(&replicator.commit(items(1, 0..1)).unwrap());
    foreign(&upstream, items(9, 0..1));
    let behind = replicator.commit(items(1, 1..2)).unwrap();
    eventually(|| replicator.status().waiting_on == WaitingOn::Gate(Direction::Pull));
    assert_eq!(replicator.status().upstream_head.global, 1);
    replicator.resume(Direction::Pull);
    confirmed(&behind);
    assert_eq!(ordered(&upstream), [(1, 0), (9, 0), (1, 1)]);
}

#[test]
fn retry_now_cuts_a_backoff_of_the_pusher_short() {
    let upstream = empty_upstream();
    let replicator = builder(State::default(), upstream.clone()).backoff(Backoff::new(HOUR, HOUR)).start();
    upstream.fail_push(Fault::DisconnectBefore);
    let ticket = replicator.commit(items(1, 0..1)).unwrap();
    eventually(|| matches!(replicator.status().push, Push::Waiting { .. }));
    assert!(matches!(replicator.status().waiting_on, WaitingOn::Connectivity(_)));
    replicator.retry_now();
    confirmed(&ticket);
}

#[test]
fn retry_now_cuts_a_backoff_of_the_puller_short() {
    let upstream = empty_upstream();
    foreign(&upstream, items(9, 0..1));
    let hooked = Hooked::new(&upstream).on_page(|at, page, _| if at.pull == 1 { Err(dead()) } else { Ok(page) });
    let replicator = builder(State::default(), hooked).backoff(Backoff::new(HOUR, HOUR)).start();
    eventually(|| matches!(replicator.status().pull, Pull::Waiting { .. }));
    replicator.retry_now();
    eventually(|| replicator.status().upstream_head.global == 1);
}

#[test]
fn a_reconnect_of_the_puller_cuts_the_pushers_backoff_short() {
    let upstream = empty_upstream();
    let gate = Arc::new(Latch::new());
    let hooked = {
        let gate = Arc::clone(&gate);
        Hooked::new(&upstream)
            .before_push(|push, _, _| {
                let error = || "the connection died".into();
                if push == 1 {
                    return Err(PushError::Unavailable { retry_after: None, error: error() });
                }
                Ok(())
            })
            .on_page(move |at, page, interrupt| {
                if at.pull == 1 {
                    while !gate.is_open() && interrupt.sleep(Duration::from_millis(1)).is_ok() {}
                    return Err(dead());
                }
                Ok(page)
            })
    };
    let replicator = builder(State::default(), hooked).backoff(Backoff::new(HOUR, HOUR)).start();
    let ticket = replicator.commit(items(1, 0..1)).unwrap();
    eventually(|| matches!(replicator.status().push, Push::Waiting { .. }));
    gate.open();
    eventually(|| matches!(replicator.status().pull, Pull::Waiting { .. }));
    assert_eq!(ticket.settled(), None);
    replicator.resume(Direction::Pull);
    confirmed(&ticket);
}

#[test]
fn a_flush_that_times_out_says_who_owes_the_next_move() {
    let replicator = quick(State::default(), empty_upstream()).start();
    replicator.pause(Direction::Push);
    replicator.commit(items(1, 0..3)).unwrap();
    let error = replicator.flush(SHORT).unwrap_err();
    assert_eq!((error.pending, &error.waiting_on), (3, &WaitingOn::Gate(Direction::Push)));
    assert_eq!(
        error.to_string(),
        "3 events are pending; the next move is owed by the owner, who paused the push direction"
    );
    replicator.resume(Direction::Push);
    replicator.flush(LONG).unwrap();
}

#[test]
fn a_flush_waits_only_for_what_was_committed_before_it() {
    let upstream = empty_upstream();
    let gate = Arc::new(Latch::new());
    let hooked = {
        let gate = Arc::clone(&gate);
        Hooked::new(&upstream).before_push(move |push, _, _| {
            if push == 2 {
                pass(&gate);
            }
            Ok(())
        })
    };
    let replicator = quick(State::default(), hooked).start();
    confirmed(&replicator.commit(items(1, 0..1)).unwrap());
    let later = std::thread::scope(|scope| {
        replicator.flush(Duration::ZERO).expect("everything has settled");
        let later = replicator.commit(items(1, 1..2)).unwrap();
        assert_eq!(replicator.flush(SHORT).unwrap_err().pending, 1);
        let flushed = scope.spawn(|| replicator.flush(LONG));
        gate.open();
        flushed.join().unwrap().unwrap();
        later
    });
    assert!(matches!(later.settled(), Some(Settled::Confirmed(_))));
}

#[test]
fn a_status_names_upstream_while_a_push_is_in_flight() {
    let upstream = empty_upstream();
    let (reached, gate) = (Arc::new(Latch::new()), Arc::new(Latch::new()));
    let hooked = {
        let (reached, gate) = (Arc::clone(&reached), Arc::clone(&gate));
        Hooked::new(&upstream).before_push(move |_, _, _| {
            reached.open();
            pass(&gate);
            Ok(())
        })
    };
    let replicator = quick(State::default(), hooked).start();
    let ticket = replicator.commit(items(1, 0..1)).unwrap();
    pass(&reached);
    assert_eq!(replicator.status().waiting_on, WaitingOn::Upstream(Direction::Push));
    gate.open();
    confirmed(&ticket);
}

#[test]
fn status_waits_for_the_holder_of_the_log_however_long_that_takes() {
    let replicator = quick(State::default(), empty_upstream()).start();
    let held = Latch::new();
    std::thread::scope(|scope| {
        let holds = scope.spawn(|| {
            replicator.with_log(|_| {
                held.open();
                std::thread::sleep(SHORT);
                Instant::now()
            })
        });
        held.wait();
        replicator.status();
        let answered = Instant::now();
        assert!(answered > holds.join().unwrap(), "it looked at what another thread had locked");
    });
}

#[test]
fn tickets_and_flushes_can_be_awaited() {
    let replicator = quick(State::default(), empty_upstream()).start();
    let tickets: Vec<_> = (0..50).map(|n| replicator.commit(items(1, n..n + 1)).unwrap()).collect();
    for ticket in &tickets {
        assert!(matches!(block_on(ticket.wait_async()), Settled::Confirmed(_)));
    }
    replicator.commit(items(1, 50..60)).unwrap();
    block_on(replicator.flush_async()).unwrap();
    assert_eq!(replicator.status().pending, 0);
}

#[test]
fn flush_async_waits_for_what_was_pending_at_the_start() {
    let upstream = empty_upstream();
    let pending = numbered(SeqNum::ROOT, items(1, 0..3));
    let head = pending[2].seq;
    let log = State::rehydrate(SeqNum::ROOT, head, pending).unwrap();
    upstream.fail_push(Fault::Delay(SHORT));
    let replicator = quick(log, upstream.clone()).start();
    block_on(replicator.flush_async()).unwrap();
    assert_eq!(upstream.len(), 3);
}

#[test]
fn a_task_that_waits_for_a_commit_is_woken_when_the_log_is_replaced() {
    struct Woken(Latch);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.open();
        }
    }
    let replicator = quick(State::default(), empty_upstream()).start();
    replicator.pause(Direction::Push);
    let ticket = replicator.commit(items(1, 0..1)).unwrap();
    let woken = Arc::new(Woken(Latch::new()));
    let waker = Waker::from(Arc::clone(&woken));
    let mut settled = pin!(ticket.wait_async());
    let mut poll = || settled.as_mut().poll(&mut Context::from_waker(&waker));
    assert_eq!(poll(), Poll::Pending);
    replicator.reset(State::default());
    assert!(woken.0.is_open(), "it was not woken");
    assert_eq!(poll(), Poll::Ready(Settled::Closed));
}

#[test]
fn a_flush_ends_when_the_log_is_replaced() {
    let replicator = quick(State::default(), empty_upstream()).start();
    replicator.pause(Direction::Push);
    replicator.commit(items(1, 0..1)).unwrap();
    std::thread::scope(|scope| {
        let flushing = scope.spawn(|| {
            let started = std::time::Instant::now();
            replicator.flush_async().wait().map(|()| started.elapsed())
        });
        std::thread::sleep(SHORT);
        replicator.reset(State::default());
        assert!(flushing.join().unwrap().unwrap() < LONG / 2, "it was not woken");
    });
}

#[test]
fn status_counts_times_from_its_own_moment() {
    let upstream = empty_upstream();
    let replicator = builder(State::default(), upstream.clone()).backoff(Backoff::new(HOUR, HOUR)).start();
    // So that times from any earlier origin would be longer.
    std::thread::sleep(SHORT);
    upstream.fail_push(Fault::DisconnectBefore);
    replicator.commit(items(1, 0..1)).unwrap();
    eventually(|| matches!(replicator.status().push, Push::Waiting { .. }));
    std::thread::sleep(Duration::from_millis(2));
    let status = replicator.status();
    let WaitingOn::Connectivity(time) = status.waiting_on else { panic!("{status:?}") };
    assert!(time < HOUR && status.next_try_in == Some(time), "{status:?}");
    assert!(matches!(status.push, Push::Waiting { until, .. } if until == time), "{status:?}");
    let words = status.to_string();
    assert!(
        words.starts_with("1 event is pending; for ") && words.contains("the connection, tried again in "),
        "{words}"
    );
    let error = replicator.flush(Duration::ZERO).unwrap_err();
    assert!(matches!(error.waiting_on, WaitingOn::Connectivity(time) if time < HOUR), "{error:?}");
    replicator.retry_now();
    replicator.flush(LONG).unwrap();
    let status = replicator.status();
    assert_eq!((status.next_try_in, status.to_string().as_str()), (None, "nothing is pending"));
}

#[test]
fn last_error_has_a_direction_an_age_and_ends_with_a_success() {
    let upstream = empty_upstream().one_shot();
    let replicator = quick(State::default(), upstream.clone()).one_shot_pull().start();
    eventually(|| replicator.status().counters.pages > 0);
    upstream.fail_push(Fault::OtherUpstream);
    replicator.commit(items(1, 0..1)).unwrap();
    eventually(|| replicator.status().last_error.is_some());
    replicator.resume(Direction::Pull);
    replicator.retry_now();
    eventually(|| replicator.status().counters.pages > 1);
    std::thread::sleep(SHORT);
    let error = replicator.status().last_error.expect("a pull has nothing to do with it");
    assert!(error.direction == Direction::Push && error.ago >= SHORT, "{error:?}");
    assert_eq!(error.to_string(), "push: the log belongs to another upstream");
    replicator.restart();
    replicator.flush(LONG).unwrap();
    eventually(|| replicator.status().last_error.is_none());
}

#[test]
fn a_reset_ends_the_last_error() {
    let upstream = empty_upstream().one_shot();
    let replicator = quick(State::default(), upstream.clone()).one_shot_pull().start();
    upstream.fail_push(Fault::OtherUpstream);
    replicator.commit(items(1, 0..1)).unwrap();
    eventually(|| replicator.status().last_error.is_some());
    replicator.reset(State::default());
    assert_eq!(replicator.status().last_error, None);

    let upstream = empty_upstream();
    upstream.fail_pull(Fault::DisconnectBefore);
    let replicator = builder(State::default(), upstream).backoff(Backoff::new(HOUR, HOUR)).start();
    eventually(|| replicator.status().last_error.is_some());
    replicator.pause(Direction::Pull);
    replicator.reset(State::default());
    assert_eq!(replicator.status().last_error, None, "a pull's");
}

#[test]
fn status_when_hears_of_a_backoff_that_ends_behind_a_gate() {
    let ms = Duration::from_millis;
    // Upstream stays away: a push that begins before the gate is closed comes to the same.
    let away = Hooked::new(&empty_upstream())
        .before_push(|_, _, _| Err(PushError::Unavailable { retry_after: None, error: "away".into() }));
    let replicator = builder(State::default(), away).backoff(Backoff::new(ms(40), ms(40))).start();
    replicator.commit(items(1, 0..1)).unwrap();
    let backs_off = replicator.status_when(|status| matches!(status.push, Push::Waiting { .. })).wait_timeout(LONG);
    assert!(backs_off.is_ready());
    replicator.pause(Direction::Push);
    let idle = replicator.status_when(|status| status.push == Push::Idle).wait_timeout(LONG);
    assert!(idle.ready().flatten().is_some_and(|status| status.waiting_on == WaitingOn::Gate(Direction::Push)));
}
