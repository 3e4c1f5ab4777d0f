//! The table of outcomes: a server that is brought to say each thing that it can be brought to.

use std::future::pending;
use std::time::{Duration, Instant};

use latchwork::contract::{Proxy, Way};
use latchwork::upstream::{AsyncPull, AsyncUpstream, FatalKind, PullError, PushError};
use latchwork_postgres::tokio_postgres::Client;
use latchwork_postgres::{Database, Error, MAX_PUSH_BYTES};
use servers::postgres::{Postgres, WITH_PASSWORD};
use servers::{free_ports, or_skip};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::common::{Text, Upstream, admin, blocked, config, log, pull, push, texts, through, word, word_of_pull};

/// Pushes an event and pulls all: both as words.
async fn both(upstream: &Upstream, base: u64) -> [String; 2] {
    [word(&push(upstream, base, &["x"]).await), word_of_pull(&pull(upstream, base).await)]
}

/// A log that there is none of, of the server at this address.
fn unknown(url: &str) -> Upstream {
    Database::new(config(url)).upstream("none", "none", Text)
}

/// A server that answers each client with this error, as PostgreSQL would before there is a session.
async fn refuses(code: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let fields = format!("SFATAL\0VFATAL\0C{code}\0Mthe database system is starting up\0\0");
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let length = client.read_u32().await.unwrap();
            client.read_exact(&mut vec![0; length as usize - 4]).await.unwrap();
            client.write_u8(b'E').await.unwrap();
            client.write_u32(fields.len() as u32 + 4).await.unwrap();
            client.write_all(fields.as_bytes()).await.unwrap();
        }
    });
    format!("postgres://postgres@{address}/postgres?sslmode=disable")
}

#[tokio::test]
async fn push_and_pull_are_unavailable_without_a_session() {
    let port = free_ports(1)[0];
    let refused = unknown(&format!("postgres://postgres@127.0.0.1:{port}/postgres"));
    assert_eq!(both(&refused, 0).await, ["unavailable", "unavailable"]);
    for (bytes, outcome) in [(MAX_PUSH_BYTES, "unavailable"), (MAX_PUSH_BYTES + 1, "too large")] {
        assert_eq!(word(&push(&refused, 0, &[&"x".repeat(bytes)]).await), outcome, "{bytes}");
    }
    for code in ["57P03", "53300", "08004"] {
        assert_eq!(both(&unknown(&refuses(code).await), 0).await, ["unavailable", "unavailable"], "{code}");
    }
    for code in ["28P01", "3D000"] {
        assert_eq!(both(&unknown(&refuses(code).await), 0).await, ["fatal Other", "fatal Other"], "{code}");
    }

    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let silent_one = unknown(&format!("postgres://postgres@{address}/postgres?connect_timeout=1"));
    let begun = Instant::now();
    let pushed = push(&silent_one, 0, &["x"]).await;
    assert!(matches!(&pushed, Err(PushError::Unavailable { error, .. }) if is_timeout(error.get())), "{pushed:?}");
    assert!((Duration::from_secs(1)..Duration::from_secs(10)).contains(&begun.elapsed()));
}

fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(Error::TimedOut { .. }))
}

/// A push whose statement waits for the log's row, and what is done to it meanwhile.
async fn while_blocked(url: &str, upstream: &Upstream, base: u64, act: impl AsyncFnOnce(&Client, i32)) -> String {
    let (holder, other) = (admin(url).await, admin(url).await);
    holder.batch_execute("BEGIN; SELECT * FROM latchwork_logs FOR UPDATE").await.unwrap();
    let acts = async {
        let pid = blocked(&other).await;
        act(&other, pid).await;
        pending::<()>().await;
    };
    let pushed = tokio::select! {
        pushed = push(upstream, base, &["blocked"]) => pushed,
        () = acts => unreachable!("it waits for the push"),
    };
    holder.batch_execute("ROLLBACK").await.unwrap();
    word(&pushed)
}

#[tokio::test]
async fn push_and_pull_make_of_each_error_what_the_table_says() {
    let Some(mut server) = or_skip(Postgres::start()) else { return };
    let url = &server.url();
    let sql = admin(url).await;
    let upstream = log(url, "todos").await;
    assert_eq!(both(&upstream, 0).await, ["taken", "1 events"]);

    logins(&server, &sql).await;
    heads(url, &sql, &upstream).await;
    lost_answers(&server, url).await;
    raised(&sql, &upstream).await;
    limits(url, &sql, &upstream).await;
    changed_tables(url, &sql, &upstream).await;

    // What has gone before has harmed nothing.
    let head = texts(&upstream).await.len() as u64;
    assert_eq!(word(&push(&upstream, head, &["last"]).await), "taken");
    server.stand_by().unwrap();
    let standby = Database::new(config(url)).upstream("todos", upstream.identity(), Text);
    assert_eq!(both(&standby, head + 1).await, ["unavailable", "unavailable"]);
}

async fn logins(server: &Postgres, sql: &Client) {
    let user =
        format!("CREATE ROLE {WITH_PASSWORD} LOGIN PASSWORD 'right'; CREATE ROLE limited LOGIN CONNECTION LIMIT 0");
    sql.batch_execute(&user).await.unwrap();
    let at = server.address();
    for (who, database, outcome) in [
        (format!("{WITH_PASSWORD}:wrong"), "postgres", "fatal Other"),
        // There is none in the configuration: the client refuses.
        (WITH_PASSWORD.to_owned(), "postgres", "fatal Other"),
        ("unknown".to_owned(), "postgres", "fatal Other"),
        ("postgres".to_owned(), "unknown", "fatal Other"),
        ("limited".to_owned(), "postgres", "unavailable"),
        // It may connect, and has no rights.
        (format!("{WITH_PASSWORD}:right"), "postgres", "fatal Other"),
    ] {
        let upstream = unknown(&format!("postgres://{who}@{at}/{database}"));
        assert_eq!(both(&upstream, 0).await, [outcome, outcome], "{who} of {database}");
    }
}

async fn heads(url: &str, sql: &Client, upstream: &Upstream) {
    assert_eq!(word(&push(upstream, 1, &["two", "three"]).await), "taken");
    assert_eq!(word(&push(upstream, 1, &["late"]).await), "behind Some(3)");
    assert_eq!(both(&unknown(url), 0).await, ["fatal Other", "fatal Other"]);
    let database = Database::new(config(url));
    let other = database.upstream("todos", "7f3e0000-0000-0000-0000-000000000000", Text);
    for base in [3, 9] {
        assert_eq!(both(&other, base).await, ["fatal IdentityMismatch", "fatal IdentityMismatch"], "{base}");
    }

    // A backup, which the server is restored from while a client is ahead.
    sql.batch_execute("CREATE DATABASE backup").await.unwrap();
    let backup = format!("{}backup", url.trim_end_matches("postgres"));
    let restored = log(&backup, "todos").await;
    assert_eq!(word(&push(&restored, 0, &["x", "two"]).await), "taken");
    let set = format!("UPDATE latchwork_logs SET identity = '{}'", upstream.identity());
    admin(&backup).await.batch_execute(&set).await.unwrap();
    let restored = Database::new(config(&backup)).upstream("todos", upstream.identity(), Text);
    assert_eq!(both(&restored, 3).await, ["fatal WentBack", "fatal WentBack"]);
    assert_eq!(texts(&restored).await, ["x", "two"], "nothing was sent");
    let error = pull(&restored, 3).await.unwrap_err();
    assert_eq!(error.to_string(), "the log \"todos\" has gone back: it ends at event 2, and event 3 had been there");
    assert!(matches!(error, PullError::Fatal { kind: FatalKind::WentBack, .. }));
}

async fn lost_answers(server: &Postgres, url: &str) {
    let proxy = Proxy::new(server.address()).unwrap();
    let (far, near) = (log(&through(&proxy), "todos").await, log(url, "todos").await);
    let head = texts(&far).await.len() as u64;
    // Before the commit, which follows all the same: the server finds the connection gone when it answers.
    assert_eq!(while_blocked(url, &far, head, async |_, _| proxy.cut()).await, "uncertain");
    while texts(&near).await.len() as u64 == head {
        sleep(Duration::from_millis(5)).await;
    }
    push(&near, head + 1, &["next"]).await.unwrap();
    // After the commit.
    push(&far, head + 2, &["far"]).await.unwrap();
    proxy.cut_after(Way::Answers, 0);
    assert_eq!(word(&push(&far, head + 3, &["unheard"]).await), "uncertain");
    assert_eq!(texts(&near).await[head as usize..], ["blocked", "next", "far", "unheard"]);
    let head = head + 4;

    // Ended by an administrator, or by another session's crash.
    let terminated = while_blocked(url, &near, head, async |other, pid| {
        other.query("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
    });
    assert_eq!(terminated.await, "uncertain");
    let cancelled = while_blocked(url, &near, head, async |other, pid| {
        other.query("SELECT pg_cancel_backend($1)", &[&pid]).await.unwrap();
    });
    assert_eq!(cancelled.await, "unavailable");
    assert_eq!(texts(&near).await.len() as u64, head);
}

/// What a trigger raises stands for what the server would: the statement is undone with that code.
async fn raised(sql: &Client, upstream: &Upstream) {
    let head = texts(upstream).await.len() as u64;
    for (code, one, two) in [
        ("40001", "unavailable", "unavailable"),
        ("40P01", "unavailable", "unavailable"),
        ("53100", "unavailable", "unavailable"),
        ("53200", "unavailable", "unavailable"),
        ("58030", "unavailable", "unavailable"),
        ("54000", "too large", "too large"),
        ("23514", "rejected 0", "too large"),
        ("P0001", "rejected 0", "too large"),
        ("XX001", "fatal Other", "fatal Other"),
        ("42501", "fatal Other", "fatal Other"),
    ] {
        // The second time as the transaction commits, when the statement has been answered.
        for kind in ["TRIGGER raises AFTER", "CONSTRAINT TRIGGER raises AFTER"] {
            let deferred = if kind.starts_with('C') { "DEFERRABLE INITIALLY DEFERRED" } else { "" };
            let trigger = format!(
                "CREATE OR REPLACE FUNCTION raises() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN RAISE EXCEPTION 'as it was told' USING ERRCODE = '{code}'; END $$;
                 CREATE {kind} INSERT ON latchwork_events {deferred} FOR EACH ROW EXECUTE FUNCTION raises()"
            );
            sql.batch_execute(&trigger).await.unwrap();
            assert_eq!(word(&push(upstream, head, &["x"]).await), one, "{code} {kind}");
            assert_eq!(word(&push(upstream, head, &["x", "y"]).await), two, "{code} {kind}");
            sql.batch_execute("DROP TRIGGER raises ON latchwork_events").await.unwrap();
        }
    }
    assert_eq!(texts(upstream).await.len() as u64, head);
}

async fn limits(url: &str, sql: &Client, upstream: &Upstream) {
    let head = texts(upstream).await.len() as u64;
    for limit in ["lock_timeout", "statement_timeout"] {
        // For this client alone: the others wait, however slow the server is.
        let hasty = Database::new(config(&format!("{url}?options=-c%20{limit}%3D50ms")));
        let hasty = hasty.upstream("todos", upstream.identity(), Text);
        assert_eq!(while_blocked(url, &hasty, head, async |_, _| ()).await, "unavailable", "{limit}");
    }
    idle_sessions_are_ended(url, sql).await;
    // A session has what a log needs, whatever the database is set to.
    let settings = "CREATE TABLE seen (setting text);
        ALTER DATABASE postgres SET synchronous_commit = off;
        ALTER DATABASE postgres SET default_transaction_isolation = 'serializable';
        CREATE FUNCTION sees() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO seen VALUES (current_setting('synchronous_commit')), (current_setting('transaction_isolation'));
            RETURN NULL;
        END $$;
        CREATE TRIGGER sees AFTER INSERT ON latchwork_events EXECUTE FUNCTION sees()";
    sql.batch_execute(settings).await.unwrap();
    let upstream = log(url, "todos").await;
    assert_eq!(word(&push(&upstream, head, &["seen"]).await), "taken");
    let seen = sql.query("SELECT setting FROM seen", &[]).await.unwrap();
    assert_eq!(seen.iter().map(|row| row.get(0)).collect::<Vec<String>>(), ["on", "read committed"]);
    let reset = "DROP TRIGGER sees ON latchwork_events; ALTER DATABASE postgres RESET ALL;
        ALTER DATABASE postgres SET default_transaction_read_only = on";
    sql.batch_execute(reset).await.unwrap();
    let read_only = Database::new(config(url)).upstream("todos", upstream.identity(), Text);
    assert_eq!(both(&read_only, head + 1).await, ["unavailable", "0 events"]);
    sql.batch_execute("SET default_transaction_read_only = off; ALTER DATABASE postgres RESET ALL").await.unwrap();
    // The session that could only read has ended. The pull has made another one to be told on, which can only read, too.
    assert_eq!(word(&push(&read_only, head + 1, &["again"]).await), "unavailable");
    assert_eq!(word(&push(&read_only, head + 1, &["again"]).await), "taken");
}

/// A server that ends sessions to which nothing is said for so long: a pull says so, and goes on with another one.
async fn idle_sessions_are_ended(url: &str, sql: &Client) {
    let upstream = log(&format!("{url}?application_name=idle"), "idle").await.poll(Duration::from_secs(600));
    if sql.batch_execute("ALTER ROLE postgres SET idle_session_timeout = '200ms'").await.is_err() {
        // PostgreSQL 13.
        return;
    }
    // It may be slow, and the session over before it waits.
    let mut waiting = loop {
        let mut pull = upstream.pull(0);
        if let Ok(page) = pull.next_page().await.unwrap() {
            assert!(page.entries.is_empty());
            break pull;
        }
    };
    // A session that has begun keeps what it has.
    sql.batch_execute("ALTER ROLE postgres RESET idle_session_timeout").await.unwrap();
    let ended = timeout(Duration::from_secs(20), waiting.next_page()).await.expect("it is told").unwrap();
    let Err(PullError::Unavailable { error, .. }) = ended else { panic!("it goes on") };
    assert!(error.to_string().contains("idle-session timeout (57P05)"), "{error}");
    assert_eq!(both(&upstream, 0).await, ["taken", "1 events"]);
}

async fn changed_tables(url: &str, sql: &Client, upstream: &Upstream) {
    let head = texts(upstream).await.len() as u64;
    // What was prepared does not fit any more, and does on another connection.
    sql.batch_execute("ALTER TABLE latchwork_events ALTER event TYPE text USING encode(event, 'escape')")
        .await
        .unwrap();
    assert_eq!(word_of_pull(&pull(upstream, 0).await), "unavailable");
    sql.batch_execute("ALTER TABLE latchwork_events ALTER event TYPE bytea USING event::bytea").await.unwrap();
    assert_eq!(word_of_pull(&pull(upstream, 0).await), format!("{head} events"));

    // An event that is no text.
    let insert = "INSERT INTO latchwork_events SELECT id, head + 1, '\\xff' FROM latchwork_logs WHERE name = 'todos';
        UPDATE latchwork_logs SET head = head + 1 WHERE name = 'todos'";
    sql.batch_execute(insert).await.unwrap();
    assert_eq!(word_of_pull(&pull(upstream, head).await), "fatal Other");
    let undo =
        format!("DELETE FROM latchwork_events WHERE number = {head} + 1; UPDATE latchwork_logs SET head = {head}");
    sql.batch_execute(&undo).await.unwrap();

    for (change, undo) in [
        ("UPDATE latchwork_schema SET version = 2", "UPDATE latchwork_schema SET version = 1"),
        ("UPDATE latchwork_schema SET version = 0", "UPDATE latchwork_schema SET version = 1"),
        ("ALTER TABLE latchwork_events RENAME TO gone", "ALTER TABLE gone RENAME TO latchwork_events"),
        ("ALTER TABLE latchwork_schema RENAME TO gone", "ALTER TABLE gone RENAME TO latchwork_schema"),
    ] {
        sql.batch_execute(change).await.unwrap();
        let database = Database::new(config(url));
        let new = database.upstream("todos", upstream.identity(), Text);
        assert_eq!(both(&new, head).await, ["fatal Other", "fatal Other"], "{change}");
        sql.batch_execute(undo).await.unwrap();
        // It goes on by itself, once its owner has it try again.
        assert_eq!(word_of_pull(&pull(&new, head).await), "0 events", "{undo}");
    }
    // While it is connected.
    assert_eq!(word_of_pull(&pull(upstream, head).await), "0 events");
    sql.batch_execute("ALTER TABLE latchwork_events RENAME TO gone").await.unwrap();
    assert_eq!(both(upstream, head).await, ["fatal Other", "fatal Other"]);
    sql.batch_execute("ALTER TABLE gone RENAME TO latchwork_events").await.unwrap();
}
