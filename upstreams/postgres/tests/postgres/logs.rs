//! Logs as clients use them: who makes them, what pulls are told, and what the connections are.

use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::process::Command;
use std::time::{Duration, Instant};

use latchwork::contract::{Broken, Contract};
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{AsyncPull, AsyncUpstream, BoxError, Codec, More, PullError, PushError};
use latchwork_postgres::{Database, Pull};
use servers::or_skip;
use servers::postgres::Postgres;
use tokio::time::{sleep, timeout};

use crate::common::{
    LIMIT, Log, Text, Upstream, admin, at_once, batch, blocked, config, log, pull, push, texts, word, word_of_pull,
};

/// The next page, with its texts.
async fn page(pull: &mut Pull<'_, Log, Text>) -> (Vec<String>, More) {
    let page = timeout(LIMIT, pull.next_page()).await.expect("a page").unwrap().unwrap();
    (page.entries.into_iter().map(|entry| entry.event).collect(), page.more)
}

#[tokio::test]
async fn upstream_is_a_log_as_clients_take_it_for() {
    let Some(server) = or_skip(Postgres::start()) else { return };
    let url = &server.url();
    made_by_many_at_once(url).await;
    Box::pin(one_of_many_pushers_wins(url)).await;
    numbers_are_checked(url).await;
    pages_come_in_order(url).await;
    pages_of_large_events_are_short(url).await;
    names_and_identities_are_any_text(url).await;
    Box::pin(news_come_at_once(url)).await;
    Box::pin(own_events_are_read_together(url)).await;
    news_that_are_not_told_are_found(url).await;
    Box::pin(connections_are_shared(url)).await;
    Box::pin(pulls_go_on_beside_a_push_that_waits(url)).await;
    silent_connections_are_given_up(&server).await;
}

async fn made_by_many_at_once(url: &str) {
    let made = (0..8).map(|_| {
        let database = Database::new(config(url));
        tokio::spawn(async move { database.create_log("todos").await.unwrap() })
    });
    let mut identities = Vec::new();
    for made in made.collect::<Vec<_>>() {
        identities.push(made.await.unwrap());
    }
    identities.push(Database::new(config(url)).create_log("notes").await.unwrap());
    identities.dedup();
    assert_eq!(identities.len(), 2, "{identities:?}");
    // The tables are another's, and a client needs no more rights than are written down.
    let rights =
        "CREATE ROLE client LOGIN; GRANT SELECT ON latchwork_schema, latchwork_logs, latchwork_events TO client;
        GRANT UPDATE ON latchwork_logs TO client; GRANT INSERT ON latchwork_events TO client";
    admin(url).await.batch_execute(rights).await.unwrap();
    let client = log(&url.replace("postgres@", "client@"), "todos").await;
    assert_eq!(word(&push(&client, 0, &["one"]).await), "taken");
    assert_eq!(word_of_pull(&pull(&client, 0).await), "1 events");
    assert_eq!(texts(&log(url, "notes").await).await, [""; 0]);
}

async fn one_of_many_pushers_wins(url: &str) {
    let clients: Vec<_> = [log(url, "race").await, log(url, "race").await, log(url, "race").await].into();
    for base in 0..100 {
        let push = |client: usize| {
            let (clients, event) = (&clients, format!("{client} on {base}"));
            async move { word(&push(&clients[client], base, &[&event]).await) }
        };
        let (one, two, three) = tokio::join!(push(0), push(1), push(2));
        let mut words = [one, two, three];
        words.sort();
        let behind = format!("behind Some({})", base + 1);
        assert_eq!(words, [&behind, &behind, "taken"], "on {base}");
    }
}

async fn numbers_are_checked(url: &str) {
    let upstream = log(url, "numbers").await;
    let mut gap = batch(0, &["1", "2"]);
    gap.entries[1].position = 3;
    let ends = batch(i64::MAX.unsigned_abs(), &["none"]);
    for (batch, why) in [
        (gap, "expected event 2 next, got 3"),
        (ends, "9223372036854775808 is the number of no event: expected 9223372036854775807 at most"),
    ] {
        let outcome = upstream.push(&batch).await;
        assert_eq!(outcome.as_ref().unwrap_err().to_string(), why);
        assert_eq!(word(&outcome), "fatal Other");
    }
    assert_eq!(word_of_pull(&pull(&upstream, u64::MAX).await), "fatal Other");
}

async fn pages_come_in_order(url: &str) {
    let upstream = log(url, "pages").await.page(2.try_into().unwrap()).poll(Duration::from_secs(600));
    push(&upstream, 0, &["1", "2", "3", "4", "5"]).await.unwrap();
    let mut pull = upstream.pull(0);
    assert_eq!(page(&mut pull).await, (vec!["1".into(), "2".into()], More::Events(3)));
    assert_eq!(page(&mut pull).await, (vec!["3".into(), "4".into()], More::Events(1)));
    assert_eq!(page(&mut pull).await, (vec!["5".into()], More::None));
}

async fn pages_of_large_events_are_short(url: &str) {
    let upstream = log(url, "large").await;
    let large = "x".repeat(9 << 20);
    push(&upstream, 0, &["1", &large, &large, "4", &large, "6"]).await.unwrap();
    let mut pull = upstream.pull(0);
    for (count, more) in [(3, More::Events(3)), (3, More::None)] {
        let (texts, left) = page(&mut pull).await;
        assert_eq!((texts.len(), left), (count, more));
    }
}

async fn names_and_identities_are_any_text(url: &str) {
    let database = Database::new(config(url));
    for name in ["", "it's \"a\"; DROP TABLE latchwork_logs --"] {
        let identity = database.create_log(name).await.unwrap();
        let upstream = database.upstream::<Log, _>(name, identity, Text);
        assert_eq!(word(&push(&upstream, 0, &["x"]).await), "taken", "{name}");
        assert_eq!(texts(&upstream).await, ["x"]);
        for identity in ["", "it's \"another\"; NOTIFY latchwork_ --", "\u{e4}"] {
            let other = database.upstream::<Log, _>(name, identity, Text);
            assert_eq!(word(&push(&other, 1, &["y"]).await), "fatal IdentityMismatch", "{identity}");
            assert_eq!(word_of_pull(&pull(&other, 1).await), "fatal IdentityMismatch", "{identity}");
        }
    }
    // PostgreSQL has no such text.
    let upstream = database.upstream::<Log, _>("\0", "\0", Text);
    assert_eq!(word(&push(&upstream, 0, &["x"]).await), "fatal Other");
    assert_eq!(word_of_pull(&pull(&upstream, 0).await), "fatal Other");
}

async fn news_come_at_once(url: &str) {
    let (reader, writer) = (log(url, "live").await.poll(Duration::from_secs(600)), log(url, "live").await);
    let mut pull = reader.pull(0);
    assert_eq!(page(&mut pull).await, (vec![], More::None));
    for base in 0..50 {
        let event = base.to_string();
        // Sometimes before the pull waits, sometimes after.
        let (told, pushed) = tokio::join!(page(&mut pull), push(&writer, base, &[&event]));
        pushed.unwrap();
        assert_eq!(told, (vec![event], More::None));
    }
}

/// What a client has pushed itself comes by the page, with what others push, or after a while.
async fn own_events_are_read_together(url: &str) {
    let (own, other) = (log(url, "own").await.poll(Duration::from_secs(600)), log(url, "own").await);
    let own = own.page(const { NonZeroU32::new(3).unwrap() });
    let mut pull = own.pull(0);
    assert_eq!(page(&mut pull).await, (vec![], More::None));
    let mut base = 0;
    for (owns, pusher, text) in [(2, &own, "own"), (1, &other, "other")] {
        let pushes = async {
            for (pusher, text) in std::iter::repeat_n((&own, "own"), owns).chain([(pusher, text)]) {
                push(pusher, base, &[text]).await.unwrap();
                base += 1;
            }
        };
        let (read, ()) = at_once(Box::pin(async { tokio::join!(page(&mut pull), pushes) })).await;
        let mut expected = vec!["own"; owns];
        expected.push(text);
        assert_eq!(read.0, expected);
    }
    push(&own, base, &["own"]).await.unwrap();
    assert_eq!(page(&mut pull).await.0, ["own"]);
}

async fn news_that_are_not_told_are_found(url: &str) {
    let upstream = log(url, "poll").await.poll(Duration::from_millis(100));
    let mut pull = upstream.pull(0);
    assert_eq!(page(&mut pull).await, (vec![], More::None));
    assert_eq!(page(&mut pull).await, (vec![], More::None), "a sign of life");
    let sql = admin(url).await;
    let insert = "INSERT INTO latchwork_events SELECT id, 1, 'silent' FROM latchwork_logs WHERE name = 'poll';
        UPDATE latchwork_logs SET head = 1 WHERE name = 'poll'";
    sql.batch_execute(insert).await.unwrap();
    let mut found = page(&mut pull).await;
    if found.0.is_empty() {
        found = page(&mut pull).await;
    }
    assert_eq!(found, (vec!["silent".into()], More::None));
}

async fn connections_are_shared(url: &str) {
    let (database, sql) = (Database::new(config(&format!("{url}?application_name=shared"))), admin(url).await);
    let mut logs: Vec<Upstream> = Vec::new();
    for number in 0..20 {
        let name = format!("shared {number}");
        let identity = database.create_log(&name).await.unwrap();
        logs.push(database.upstream(name, identity, Text));
    }
    for upstream in &logs {
        push(upstream, 0, &["x"]).await.unwrap();
        assert_eq!(texts(upstream).await, ["x"]);
    }
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shared'";
    let count: i64 = sql.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!(count, 2);
    // All at once, each told of its own.
    let mut pulls: Vec<_> = logs.iter().map(|upstream| upstream.pull(1)).collect();
    for pull in &mut pulls {
        assert_eq!(page(pull).await, (vec![], More::None));
    }
    for (upstream, pull) in logs.iter().zip(&mut pulls) {
        let (told, pushed) = tokio::join!(page(pull), push(upstream, 1, &[upstream.name()]));
        pushed.unwrap();
        assert_eq!(told.0, [upstream.name()]);
    }
}

const NOTHING: [&str; 0] = [];

/// A push that waits for a lock keeps no pull waiting.
async fn pulls_go_on_beside_a_push_that_waits(url: &str) {
    let database = Database::new(config(&format!("{url}?connect_timeout=1")));
    let (sql, holder) = (admin(url).await, admin(url).await);
    let mut logs: Vec<Upstream> = Vec::new();
    for name in ["waits", "goes on", "begins"] {
        let identity = database.create_log(name).await.unwrap();
        logs.push(database.upstream(name, identity, Text).poll(Duration::from_millis(100)));
    }
    let [waits, goes_on, begins] = logs.try_into().unwrap();
    let others = [log(url, "goes on").await, log(url, "begins").await];
    let found = async |pull: &mut Pull<'_, Log, Text>, expected: &str| while page(pull).await.0 != [expected] {};
    let mut pulls = [goes_on.pull(0), begins.pull(0)];
    assert_eq!(page(&mut pulls[0]).await, (vec![], More::None));

    holder.batch_execute("BEGIN; SELECT * FROM latchwork_logs WHERE name = 'waits' FOR UPDATE").await.unwrap();
    let meanwhile = async {
        blocked(&sql).await;
        for (pull, other) in pulls.iter_mut().zip(&others) {
            push(other, 0, &["one"]).await.unwrap();
            found(pull, "one").await;
            push(other, 1, &["two"]).await.unwrap();
            found(pull, "two").await;
        }
        // Longer than a connection is given to answer that is looked at.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(1500) {
            assert_eq!(page(&mut pulls[0]).await.0, NOTHING);
        }
        holder.batch_execute("ROLLBACK").await.unwrap();
    };
    let (pushed, ()) = tokio::join!(push(&waits, 0, &["x"]), meanwhile);
    pushed.unwrap();
    // Now they can be told.
    for (pull, other) in pulls.iter_mut().zip(&others) {
        push(other, 2, &["three"]).await.unwrap();
        found(pull, "three").await;
    }
}

async fn silent_connections_are_given_up(server: &Postgres) {
    let (url, sql) = (server.url(), admin(&server.url()).await);
    let upstream = log(&format!("{url}?connect_timeout=1&application_name=silent"), "silent").await;
    push(&upstream, 0, &["one"]).await.unwrap();
    // It is looked at each time: first at one that is well.
    sql.batch_execute("BEGIN; SELECT * FROM latchwork_logs FOR UPDATE").await.unwrap();
    assert!(timeout(Duration::from_millis(100), upstream.push(&batch(1, &["dropped"]))).await.is_err());
    sql.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(word(&push(&upstream, 2, &["next"]).await), "taken");
    let session = "SELECT pid::text FROM pg_stat_activity WHERE application_name = 'silent'";
    let session: String = sql.query_one(session, &[]).await.unwrap().get(0);
    let signal = |name| assert!(Command::new("kill").args(["-s", name, &session]).status().unwrap().success());
    signal("STOP");
    let begun = Instant::now();
    // Each is dropped at its deadline, but the one that is there as the session is given up. Then one comes through another, which
    // may take it longer each time; or it has been dropped before it heard that it was taken.
    let mut deadline = Duration::from_millis(100);
    loop {
        let pushed = timeout(deadline, upstream.push(&batch(3, &["last"]))).await;
        if matches!(pushed, Ok(Ok(()) | Err(PushError::Behind { head: Some(4) }))) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "each push goes the same way");
        deadline += Duration::from_millis(10);
    }
    assert!(begun.elapsed() > Duration::from_secs(1), "it is given its time");
    // Now it does what it was sent.
    signal("CONT");
    let ends = "SELECT FROM pg_stat_activity WHERE pid::text = $1";
    while sql.query_opt(ends, &[&session]).await.unwrap().is_some() {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(texts(&upstream).await, ["one", "dropped", "next", "last"]);

    // A pull that waits reads on another session, if its one was given up for another pull's sake.
    let upstream = upstream.poll(Duration::from_secs(600));
    let mut waits = upstream.pull(4);
    assert_eq!(page(&mut waits).await, (vec![], More::None));
    let of = async |what| {
        let session = format!("SELECT pid::text FROM pg_stat_activity WHERE application_name = 'silent' AND {what}");
        sql.query_one(&session, &[]).await.unwrap().get::<_, String>(0)
    };
    let signal =
        |name, session: &str| assert!(Command::new("kill").args(["-s", name, session]).status().unwrap().success());
    let reads = of("query LIKE '%page%'").await;
    signal("STOP", &reads);
    let begun = Instant::now();
    let pulls = async || timeout(Duration::from_millis(100), upstream.pull(0).next_page()).await;
    while pulls().await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "each pull goes the same way");
    }
    push(&upstream, 4, &["heard"]).await.unwrap();
    assert_eq!(page(&mut waits).await, (vec!["heard".to_owned()], More::None));
    signal("CONT", &reads);

    // The one that tells is looked at as often as nothing was told.
    let tells = of("query NOT LIKE '%page%'").await;
    let upstream = upstream.poll(Duration::from_millis(100));
    let mut waits = upstream.pull(5);
    assert_eq!(page(&mut waits).await, (vec![], More::None));
    signal("STOP", &tells);
    let begun = Instant::now();
    let told = loop {
        match timeout(Duration::from_secs(20), waits.next_page()).await.expect("it goes on").unwrap() {
            Ok(page) => assert!(page.entries.is_empty() && begun.elapsed() < Duration::from_secs(20)),
            Err(error) => break error,
        }
    };
    assert!(matches!(told, PullError::Unavailable { .. }), "{told:?}");
    signal("CONT", &tells);
}

/// Numbers as events, for the contract.
struct Numbers;

impl Codec<MemoryLog<u64>> for Numbers {
    fn number(&self, position: u64) -> u64 {
        position
    }
    fn position(&self, number: u64) -> u64 {
        number
    }
    fn entry_to_bytes(&self, entry: &MemoryEntry<u64>) -> Vec<u8> {
        entry.event.to_be_bytes().to_vec()
    }
    fn entry_from_bytes(&self, position: u64, bytes: &[u8]) -> Result<MemoryEntry<u64>, BoxError> {
        Ok(MemoryEntry { position, event: u64::from_be_bytes(bytes.try_into()?) })
    }
}

#[tokio::test]
async fn upstream_keeps_the_contract() {
    let Some(server) = or_skip(Postgres::start()) else { return };
    let (url, logs) = (&server.url(), &std::cell::Cell::new(0));
    let begun = Instant::now();
    let contract = Contract::new(MemoryLog::new, |number: u64| number);
    let new = async || {
        logs.set(logs.get() + 1);
        let name = format!("log {}", logs.get());
        let identity = Database::new(config(url)).create_log(&name).await.unwrap();
        (name, identity)
    };
    let make = async || {
        let (name, identity) = new().await;
        async move || Database::new(config(url)).upstream(name.clone(), identity.clone(), Numbers)
    };
    let make_cut = async || {
        let (name, identity) = new().await;
        let open = async move |at: SocketAddr| {
            let config = config(&format!("postgres://postgres@{at}/postgres?connect_timeout=2"));
            Database::new(config).upstream(name.clone(), identity.clone(), Numbers)
        };
        (server.address(), open)
    };
    // The log was made anew.
    let make_another = async || {
        let ((name, identity), (_, other)) = (new().await, new().await);
        let database = Database::new(config(url));
        (database.upstream(name.clone(), identity, Numbers), database.upstream(name, other, Numbers))
    };
    // Side by side: most of the time goes into some five hundred connections, each a process of the server's.
    let in_time = async |laws: Pin<Box<dyn Future<Output = Result<(), Broken>> + '_>>| {
        laws.await.unwrap_or_else(|broken| panic!("{broken}"));
        begun.elapsed().as_secs_f64()
    };
    let times = tokio::join!(
        in_time(Box::pin(contract.async_upstream(sleep, make))),
        in_time(Box::pin(contract.async_upstream_cut(sleep, make_cut))),
        in_time(Box::pin(contract.async_upstream_of_another(sleep, make_another))),
    );
    println!("the contract is kept: {} logs, {times:.1?} s", logs.get());
}
