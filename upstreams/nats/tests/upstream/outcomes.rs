//! What comes of each answer: the lines of the crate's table that a server can be brought to give.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use latchwork::Replicator;
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::protocol::{Direction, Failure};
use latchwork::replicator::Matter;
use latchwork::upstream::{AsyncPull, AsyncUpstream, BoxError, Codec, FatalKind, PullError, PushError};
use latchwork_nats::async_nats::ConnectOptions;
use latchwork_nats::async_nats::jetstream::stream::{Config, DiscardPolicy};
use latchwork_nats::async_nats::jetstream::{self, Context};
use latchwork_nats::{Connection, Error, Form, NatsUpstream};
use servers::nats::Nats;
use servers::or_skip;
use tokio::time::{sleep, timeout};

use crate::common::{Log, Numbers, Upstream, config, create, create_on_three, events, first_page, name, push};

const BOTH: [Form; 2] = [Form::Batches, Form::Envelopes];

fn of_push(outcome: Result<(), PushError<u64>>) -> String {
    match outcome {
        Ok(()) => "taken".to_owned(),
        Err(PushError::Behind { head }) => format!("behind {head:?}"),
        Err(PushError::Unavailable { error, .. }) => format!("unavailable: {error}"),
        Err(PushError::Uncertain { error }) => format!("uncertain: {error}"),
        Err(PushError::Rejected { index, error }) => format!("rejected {index}: {error}"),
        Err(PushError::TooLarge { error }) => format!("too large: {error}"),
        Err(PushError::Fatal { kind, error }) => format!("fatal {kind:?}: {error}"),
        Err(error) => panic!("{error:?}"),
    }
}

async fn of_pull(upstream: &Upstream, cursor: u64) -> String {
    match first_page(upstream, cursor).await {
        Ok(page) => format!("{} events", page.entries.len()),
        Err(PullError::Unavailable { error, .. }) => format!("unavailable: {error}"),
        Err(PullError::Fatal { kind, error }) => format!("fatal {kind:?}: {error}"),
        Err(error) => panic!("{error:?}"),
    }
}

fn jetstream(connection: &Connection) -> Context {
    jetstream::new(connection.client().clone())
}

#[tokio::test]
async fn a_push_to_a_stream_that_ends_elsewhere_is_behind_or_fatal() {
    let Some(nats) = or_skip(Nats::start(1)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    for form in BOTH {
        let name = name();
        let upstream = create(&connection, &name, form).await;
        push(&upstream, 0, 1..=3).await.unwrap();
        let other = create(&connection, &name, form).await;
        assert_eq!(of_push(push(&other, 1, [0]).await), "behind Some(3)");
        assert_eq!(of_push(push(&other, 1, [0, 0]).await), "behind Some(3)");
        let went_back = format!("fatal WentBack: the stream {name} ends at event 3, and event 7 had been there");
        assert_eq!(of_push(push(&other, 7, [0]).await), went_back);
        assert_eq!(of_push(push(&other, 7, [0, 0]).await), went_back);
        assert_eq!(of_pull(&other, 7).await, went_back);
        assert_eq!(events(&upstream, 0).await, [1, 2, 3]);
    }
}

#[tokio::test]
async fn a_push_that_is_too_large_says_what_of_it_is() {
    let Some(nats) = or_skip(Nats::start_with(1, "max_payload: 4096")) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    /// Events are as long as they say.
    struct Long;
    impl Codec<MemoryLog<usize>> for Long {
        fn number(&self, position: u64) -> u64 {
            position
        }
        fn position(&self, number: u64) -> u64 {
            number
        }
        fn entry_to_bytes(&self, entry: &MemoryEntry<usize>) -> Vec<u8> {
            vec![b' '; entry.event]
        }
        fn entry_from_bytes(&self, position: u64, bytes: &[u8]) -> Result<MemoryEntry<usize>, BoxError> {
            Ok(MemoryEntry { position, event: bytes.len() })
        }
    }
    let push = async |upstream: &NatsUpstream<MemoryLog<usize>, Long>, base, events: &[usize]| {
        let entries = (base + 1..).zip(events).map(|(position, &event)| MemoryEntry { position, event }).collect();
        let batch = latchwork::upstream::Batch::new(base, entries);
        of_push(latchwork::upstream::AsyncUpstream::push(upstream, &batch).await)
    };
    for form in BOTH {
        let name = name();
        let upstream = NatsUpstream::create(&connection, config(&name, 1), Some(form), Long).await.unwrap();
        let rejected = "rejected 1: the event has 4000 bytes, and a message may have 3584";
        assert_eq!(push(&upstream, 0, &[1, 4_000, 1]).await, rejected);
        let own = Config { max_message_size: 1_000, ..config(&format!("{name}-own"), 1) };
        let own = NatsUpstream::create(&connection, own, Some(form), Long).await.unwrap();
        let rejected = "rejected 0: the event has 500 bytes, and a message may have 488";
        assert_eq!(push(&own, 0, &[500]).await, rejected);
        // Each fits, and two do not fit into one message.
        let two = match form {
            Form::Batches => "taken",
            Form::Envelopes => "too large: the batch has 4016 bytes, and a message may have 3584",
        };
        assert_eq!(push(&upstream, 0, &[2_000, 2_000]).await, two);
        if form == Form::Batches {
            assert_eq!(push(&upstream, 2, &[1; 1_001]).await, "too large: a batch may have 1000 events");
            assert_eq!(push(&upstream, 2, &[1; 1_000]).await, "taken");
        }
    }
}

#[tokio::test]
async fn a_push_and_a_pull_to_a_stream_that_is_gone_or_another_send_nothing() {
    let Some(nats) = or_skip(Nats::start(1)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    for form in BOTH {
        let name = name();
        let upstream = create(&connection, &name, form).await;
        push(&upstream, 0, 1..=3).await.unwrap();
        jetstream(&connection).delete_stream(&name).await.unwrap();
        let gone = format!("fatal Other: there is no stream {name}");
        assert_eq!(of_push(push(&upstream, 3, [4]).await), gone);
        assert_eq!(of_pull(&upstream, 3).await, gone);
        // Another in its place, that goes as far.
        let other = create(&connection, &name, form).await;
        push(&other, 0, 1..=3).await.unwrap();
        let (expected, got) = (upstream.identity(), other.identity());
        let another = format!("the stream {name} is another upstream: expected identity {expected}, got {got}");
        assert_eq!(of_push(push(&upstream, 3, [4]).await), format!("fatal IdentityMismatch: {another}"));
        assert_eq!(of_pull(&upstream, 3).await, format!("fatal IdentityMismatch: {another}"));
        let opened = Upstream::open(&connection, &name, Some(expected), Numbers).await;
        assert_eq!(opened.unwrap_err().to_string(), another);
        assert_eq!(events(&other, 0).await, [1, 2, 3]);
    }
}

#[tokio::test]
async fn open_says_what_is_no_upstream() {
    let Some(nats) = or_skip(Nats::start(1)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    let opened = Upstream::open(&connection, "none", None, Numbers).await;
    assert!(matches!(opened, Err(Error::NoStream { .. })), "{opened:?}");
    jetstream(&connection).create_stream(config("plain", 1)).await.unwrap();
    let opened = Upstream::open(&connection, "plain", None, Numbers).await;
    assert!(matches!(opened, Err(Error::NotAnUpstream { .. })), "{opened:?}");
    let made = Upstream::create(&connection, config("replicated", 3), None, Numbers).await;
    assert!(matches!(made, Err(Error::NotMade { .. })), "{made:?}");
}

#[tokio::test]
async fn a_push_without_an_answer_is_uncertain_and_without_a_connection_unavailable() {
    let Some(mut nats) = or_skip(Nats::start(1)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    for form in BOTH {
        let upstream = create(&connection, &name(), form).await;
        push(&upstream, 0, [1]).await.unwrap();
        let hasty = upstream.answer_within(Duration::from_millis(300));
        nats.freeze(0);
        let late = of_push(push(&hasty, 1, [2, 3]).await);
        let upstream = hasty.answer_within(Duration::from_secs(5));
        assert!(late.starts_with("uncertain: request timed out"), "{late}");
        nats.thaw(0);
        // It was taken all the same.
        let taken = timeout(Duration::from_secs(10), async {
            while events(&upstream, 0).await != [1, 2, 3] {
                sleep(Duration::from_millis(20)).await;
            }
        });
        taken.await.unwrap();
    }
    let upstream = create(&connection, &name(), Form::Batches).await;
    push(&upstream, 0, [1]).await.unwrap();
    nats.freeze(0);
    let cut = async {
        sleep(Duration::from_millis(200)).await;
        nats.kill(0);
    };
    let (ends, ()) = tokio::join!(push(&upstream, 1, [2]), cut);
    assert_eq!(of_push(ends), "uncertain: the connection has ended before the answer came");
    let none = of_push(push(&upstream, 1, [2]).await);
    assert_eq!(none, "unavailable: a push: there is no connection");
    let none = of_pull(&upstream, 1).await;
    assert!(none.starts_with("unavailable: "), "{none}");
}

const USERS: &str = "authorization { users: [ { user: alice, password: right }, { user: bob, password: right, \
                     permissions: { publish: { deny: \"latchwork.>\" } } } ] }";

async fn log_in(nats: &Nats, user: &str, password: &str) -> Result<Connection, Error> {
    let options = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
    Connection::open_with(&nats.url(), options.ping_interval(Duration::from_secs(1))).await
}

#[tokio::test]
async fn a_user_that_is_refused_is_told_so() {
    let Some(mut nats) = or_skip(Nats::start_with(1, USERS)) else { return };
    let refused = log_in(&nats, "alice", "wrong").await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    let refused = Connection::open(&nats.url()).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    let alice = log_in(&nats, "alice", "right").await.unwrap();
    let bob = log_in(&nats, "bob", "right").await.unwrap();
    for form in BOTH {
        let name = name();
        let upstream = create(&alice, &name, form).await;
        push(&upstream, 0, [1]).await.unwrap();
        let refused = of_push(push(&create(&bob, &name, form).await, 1, [2]).await);
        let expected = "fatal Other: the server refuses: Permissions Violation for Publish to";
        assert!(refused.starts_with(expected), "{refused}");
        assert_eq!(events(&create(&bob, &name, form).await, 0).await, [1]);
    }
    // Refused from now on.
    let upstream = create(&alice, &name(), Form::Batches).await;
    nats.configure(0, &USERS.replace("right", "other")).unwrap();
    nats.kill(0);
    nats.restart(0).unwrap();
    let refused = async {
        loop {
            let outcome = of_push(push(&upstream, 0, [1]).await);
            if outcome.starts_with("fatal") {
                return outcome;
            }
            assert!(outcome.starts_with("un"), "{outcome}");
            sleep(Duration::from_millis(50)).await;
        }
    };
    let refused = timeout(Duration::from_secs(20), refused).await.unwrap();
    assert_eq!(refused, "fatal Other: the server refuses: authorization violation");
}

#[tokio::test]
async fn refusal_concerns_an_upstream_that_it_names_or_its_inbox_and_no_other() {
    const USERS: &str = "authorization { users: [ \
                         { user: alice, password: right, permissions: { publish: { deny: \"latchwork.none.>\" } } }, \
                         { user: carol, password: right, permissions: { subscribe: { deny: \"_INBOX.>\" } } } ] }";
    let Some(nats) = or_skip(Nats::start_with(1, USERS)) else { return };
    let alice = log_in(&nats, "alice", "right").await.unwrap();
    let name = name();
    let upstream = create(&alice, &name, Form::Batches).await;
    let mut pull = upstream.pull(0);
    assert!(pull.next_page().await.unwrap().unwrap().entries.is_empty());
    alice.client().publish("latchwork.none.other", "".into()).await.unwrap();
    let ends = async {
        loop {
            if let Err(error) = pull.next_page().await.unwrap() {
                return error;
            }
        }
    };
    let ends = timeout(Duration::from_secs(20), ends).await.unwrap();
    assert!(matches!(ends, PullError::Unavailable { .. }), "it was another subject: {ends:?}");
    push(&upstream, 0, [1]).await.unwrap();
    // What has no inbox hears no answer.
    let carol = log_in(&nats, "carol", "right").await.unwrap();
    let begun = Instant::now();
    let refused = Upstream::open(&carol, &name, None, Numbers).await;
    let expected = "the server refuses: Permissions Violation for Subscription to \"_INBOX";
    assert!(refused.as_ref().is_err_and(|error| error.to_string().starts_with(expected)), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "it is told at once");
}

#[tokio::test]
async fn a_stream_that_was_made_by_others_is_seen_to_be_unfit() {
    let Some(nats) = or_skip(Nats::start(1)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    let context = jetstream(&connection);
    // Without batches.
    let plain = Config { subjects: vec!["latchwork.batches.plain".to_owned()], ..config("plain", 1) };
    context.create_stream(plain).await.unwrap();
    let upstream = Upstream::open(&connection, "plain", None, Numbers).await.unwrap();
    let refused = of_push(push(&upstream, 0, [1, 2]).await);
    assert!(refused.starts_with("fatal Other: the server refuses: atomic publish is disabled"), "{refused}");
    for form in BOTH {
        let name = name();
        let upstream = create(&connection, &name, form).await;
        push(&upstream, 0, [1]).await.unwrap();
        let subject = context.get_stream(&name).await.unwrap().cached_info().config.subjects[0].clone();
        context.publish(subject, "none".into()).await.unwrap().await.unwrap();
        let no_event = match form {
            Form::Batches => "invalid digit found in string",
            Form::Envelopes => "it ends early",
        };
        let expected = format!("fatal Other: message 2 of the stream {name} cannot be read: {no_event}");
        assert_eq!(of_pull(&upstream, 1).await, expected);
    }
}

#[tokio::test]
async fn a_stream_that_is_full_or_has_forgotten_says_so() {
    let Some(nats) = or_skip(Nats::start(1)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    for form in BOTH {
        let forgetful = Config { max_messages: 3, ..config(&name(), 1) };
        let name = forgetful.name.clone();
        let upstream = Upstream::create(&connection, forgetful, Some(form), Numbers).await.unwrap();
        for base in 0..5 {
            push(&upstream, base, [base + 1]).await.unwrap();
        }
        assert_eq!(events(&upstream, 2).await, [3, 4, 5]);
        let gone = format!("fatal CursorTooOld: the stream {name} begins at event 3: event 2 is gone");
        assert_eq!(of_pull(&upstream, 1).await, gone);
        let full = Config { max_messages: 3, discard: DiscardPolicy::New, ..config(&format!("{name}-full"), 1) };
        let full = Upstream::create(&connection, full, Some(form), Numbers).await.unwrap();
        for base in 0..3 {
            push(&full, base, [base + 1]).await.unwrap();
        }
        let outcome = of_push(push(&full, 3, [4]).await);
        assert!(outcome.starts_with("uncertain: maximum messages exceeded"), "{outcome}");
    }
}

#[tokio::test]
async fn a_page_has_no_more_events_than_it_may() {
    let Some(nats) = or_skip(Nats::start(1)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    let upstream = create(&connection, &name(), Form::Batches).await.page(2);
    push(&upstream, 0, 1..=100).await.unwrap();
    let (mut pull, mut cursor) = (upstream.pull(0), 0);
    while cursor < 100 {
        let page = pull.next_page().await.expect("a live pull has no end").unwrap();
        assert!(page.entries.len() <= 2, "{} events", page.entries.len());
        cursor += page.entries.len();
    }
}

#[tokio::test]
async fn create_makes_a_stream_of_which_nothing_can_be_deleted() {
    let Some(nats) = or_skip(Nats::start(1)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    for form in BOTH {
        let name = name();
        let upstream = create(&connection, &name, form).await;
        push(&upstream, 0, [1]).await.unwrap();
        let stream = jetstream(&connection).get_stream(&name).await.unwrap();
        stream.purge().await.unwrap_err();
        stream.delete_message(1).await.unwrap_err();
        assert_eq!(events(&upstream, 0).await, [1]);
    }
}

#[tokio::test]
async fn a_pull_from_a_stream_that_has_forgotten_everything_says_so() {
    let Some(nats) = or_skip(Nats::start(1)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    let brief = Config { max_age: Duration::from_millis(200), ..config(&name(), 1) };
    let name = brief.name.clone();
    let upstream = Upstream::create(&connection, brief, Some(Form::Batches), Numbers).await.unwrap();
    push(&upstream, 0, [1, 2, 3]).await.unwrap();
    let mut stream = jetstream(&connection).get_stream(&name).await.unwrap();
    while stream.info().await.unwrap().state.messages > 0 {
        sleep(Duration::from_millis(20)).await;
    }
    // No message is left that could tell.
    let gone = format!("fatal CursorTooOld: the stream {name} begins at event 4: event 2 is gone");
    assert_eq!(of_pull(&upstream, 1).await, gone);
    assert_eq!(of_pull(&upstream, 3).await, "0 events");
}

#[tokio::test]
async fn a_push_and_a_pull_go_on_where_a_stream_has_forgotten_everything_and_its_end_is_known() {
    let Some(mut nats) = or_skip(Nats::start(1)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    for form in BOTH {
        let brief = Config { max_age: Duration::from_millis(200), ..config(&name(), 1) };
        let name = brief.name.clone();
        let upstream = Upstream::create(&connection, brief, Some(form), Numbers).await.unwrap();
        push(&upstream, 0, [1, 2, 3]).await.unwrap();
        push(&upstream, 3, [4]).await.unwrap();
        let mut stream = jetstream(&connection).get_stream(&name).await.unwrap();
        while stream.info().await.unwrap().state.messages > 0 {
            sleep(Duration::from_millis(20)).await;
        }
        let unlimited = Config { max_age: Duration::ZERO, ..stream.cached_info().config.clone() };
        jetstream(&connection).update_stream(unlimited).await.unwrap();
        // The server, too, has nothing to count by.
        nats.kill(0);
        nats.restart(0).unwrap();
        nats.ready().unwrap();
        let other = opened(&nats, &name).await;
        let says = [of_pull(&other, 4).await, of_push(push(&other, 4, [0]).await), of_pull(&other, 3).await];
        let forgotten = |wanted| {
            format!(
                "fatal CursorTooOld: the stream {name} has forgotten all its events, and how many there were: event \
                 {wanted} may be gone"
            )
        };
        let gone = format!("fatal CursorTooOld: the stream {name} begins at event 5: event 4 is gone");
        match form {
            Form::Batches => assert_eq!(says, ["0 events".to_owned(), "taken".to_owned(), gone.clone()]),
            Form::Envelopes => {
                assert_eq!(says, [5, 5, 4].map(forgotten));
                // This one has had the end.
                assert_eq!(once_connected(&upstream, 4).await, "0 events");
                push(&upstream, 4, [0]).await.unwrap();
            }
        }
        for upstream in [&upstream, &other] {
            assert_eq!(once_connected(upstream, 4).await, "1 events");
            assert_eq!(of_pull(upstream, 3).await, gone);
        }
    }
}

/// The stream, by a connection of its own.
async fn opened(nats: &Nats, name: &str) -> Upstream {
    let connection = Connection::open(&nats.url()).await.unwrap();
    Upstream::open(&connection, name, None, Numbers).await.unwrap()
}

/// What comes of a pull once its connection has been made again.
async fn once_connected(upstream: &Upstream, cursor: u64) -> String {
    let connected = async {
        loop {
            let outcome = of_pull(upstream, cursor).await;
            if !outcome.starts_with("unavailable") {
                return outcome;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), connected).await.unwrap()
}

#[tokio::test]
async fn a_push_after_a_stream_went_back_does_not_follow_what_it_has_lost() {
    let Some(nats) = or_skip(Nats::start(1)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    for form in BOTH {
        let (name, context) = (name(), jetstream(&connection));
        let upstream = create(&connection, &name, form).await;
        push(&upstream, 0, 1..=3).await.unwrap();
        push(&upstream, 3, 4..=5).await.unwrap();
        // With the same subject, as a restore makes it.
        let config = context.get_stream(&name).await.unwrap().cached_info().config.clone();
        context.delete_stream(&name).await.unwrap();
        context.create_stream(config).await.unwrap();
        let other = create(&connection, &name, form).await;
        push(&other, 0, 1..=3).await.unwrap();
        let went_back =
            |head| format!("fatal WentBack: the stream {name} ends at event {head}, and event 5 had been there");
        assert_eq!(of_pull(&upstream, 5).await, went_back(3));
        // As many messages as before, and fewer events.
        push(&other, 3, [4]).await.unwrap();
        assert_eq!(of_push(push(&upstream, 5, [6]).await), went_back(4));
        assert_eq!(events(&other, 0).await, [1, 2, 3, 4]);
    }
}

#[tokio::test]
async fn a_pull_gives_out_no_message_of_another_subject() {
    let Some(nats) = or_skip(Nats::start(1)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    for form in BOTH {
        let (name, context) = (name(), jetstream(&connection));
        let upstream = create(&connection, &name, form).await;
        let mut pull = upstream.pull(0);
        assert!(pull.next_page().await.unwrap().unwrap().entries.is_empty());
        let mut config = context.get_stream(&name).await.unwrap().cached_info().config.clone();
        config.subjects.push(format!("other.{name}"));
        context.update_stream(config).await.unwrap();
        // As an event, and as an envelope with one.
        let event: &[u8] = match form {
            Form::Batches => b"1",
            Form::Envelopes => b"\0\0\0\0\0\0\0\x01\0\0\0\x011",
        };
        context.publish(format!("other.{name}"), event.to_vec().into()).await.unwrap().await.unwrap();
        let fails = async {
            loop {
                match pull.next_page().await.unwrap() {
                    Ok(page) => assert!(page.entries.is_empty(), "{page:?}"),
                    Err(error) => return error,
                }
            }
        };
        let error = timeout(Duration::from_secs(20), fails).await.unwrap();
        assert!(matches!(error, PullError::Fatal { kind: FatalKind::IdentityMismatch, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_pull_begins_once_more_when_its_connection_has_just_ended() {
    let Some(nats) = or_skip(Nats::start(1)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    let upstream = create(&connection, &name(), Form::Batches).await;
    push(&upstream, 0, [1]).await.unwrap();
    for _ in 0..10 {
        // It is told to the connection's task, which has no turn before the pull has begun.
        connection.client().force_reconnect().await.unwrap();
        assert_eq!(of_pull(&upstream, 0).await, "1 events");
    }
}

/// The failures that a replicator shows, once one of them is of this kind.
async fn failure(replicator: &Replicator<Log>, wanted: FatalKind) -> String {
    let failed = |decision: &latchwork::replicator::Decision| match &decision.matter {
        Matter::Failed { failure: Failure::Upstream { kind, error }, .. } if *kind == wanted => Some(error.to_string()),
        _ => None,
    };
    let status = replicator.status_when(|status| status.decisions.iter().any(|decision| failed(decision).is_some()));
    let status = timeout(Duration::from_secs(20), status).await;
    let status = status.unwrap_or_else(|_| panic!("{}", replicator.status())).expect("it runs");
    status.decisions.iter().find_map(failed).expect("it was waited for")
}

#[tokio::test]
async fn a_replicator_whose_stream_was_restored_from_an_older_copy_fails_visibly_and_sends_nothing() {
    let Some(mut nats) = or_skip(Nats::start(1)) else { return };
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let copied = Command::new("cp").arg("-r").args([from, to]).status();
        assert!(copied.unwrap().success());
    };
    let connection = Connection::open(&nats.url()).await.unwrap();
    for form in BOTH {
        let name = name();
        let upstream = create(&connection, &name, form).await;
        push(&upstream, 0, 1..=3).await.unwrap();
        let (data, backup) = (nats.data(0), nats.data(0).with_extension(&name));
        nats.kill(0);
        copy(&data, &backup);
        nats.restart(0).unwrap();
        nats.ready().unwrap();
        let (replicator, driver) = Replicator::builder(Log::rebasing(), upstream).build_async(tokio::time::sleep);
        let driver = tokio::spawn(driver);
        let ticket = replicator.commit(vec![4, 5]).unwrap();
        timeout(Duration::from_secs(20), ticket).await.expect("it is confirmed in time");
        replicator.pause(Direction::Push);
        let pending = replicator.commit(vec![6]).unwrap();
        nats.kill(0);
        fs::remove_dir_all(&data).unwrap();
        fs::rename(&backup, &data).unwrap();
        nats.restart(0).unwrap();
        nats.ready().unwrap();
        replicator.resume(Direction::Push);
        let begun = Instant::now();
        let failed = failure(&replicator, FatalKind::WentBack).await;
        println!("{form:?}: {failed}, after {:?}", begun.elapsed());
        assert_eq!(failed, format!("the stream {name} ends at event 3, and event 5 had been there"));
        assert!(pending.settled().is_none());
        let looking = Connection::open(&nats.url()).await.unwrap();
        let stream = Upstream::open(&looking, &name, None, Numbers).await.unwrap();
        assert_eq!(events(&stream, 0).await, [1, 2, 3]);
        driver.abort();
    }
}

#[tokio::test]
async fn a_replicator_whose_stream_was_made_anew_in_a_cluster_fails_visibly_and_sends_nothing() {
    let Some(nats) = or_skip(Nats::start(3)) else { return };
    let connection = Connection::open(&nats.url()).await.unwrap();
    let (name, context) = (name(), jetstream(&connection));
    let upstream = create_on_three(&connection, &name, None).await;
    let (replicator, driver) = Replicator::builder(Log::rebasing(), upstream).build_async(tokio::time::sleep);
    let driver = tokio::spawn(driver);
    let ticket = replicator.commit(vec![1, 2, 3]).unwrap();
    timeout(Duration::from_secs(20), ticket).await.expect("it is confirmed in time");
    // With the same subject, as a restore makes it.
    let config = context.get_stream(&name).await.unwrap().cached_info().config.clone();
    context.delete_stream(&name).await.unwrap();
    context.create_stream(config).await.unwrap();
    let _pending = replicator.commit(vec![4]).unwrap();
    let failed = failure(&replicator, FatalKind::WentBack).await;
    assert_eq!(failed, format!("the stream {name} ends at event 0, and event 3 had been there"));
    let stream = Upstream::open(&connection, &name, None, Numbers).await.unwrap();
    assert!(events(&stream, 0).await.is_empty());
    driver.abort();
}
