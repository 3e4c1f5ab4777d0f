//! A server whose data were copied: what becomes of clients when the copy is put back, and when it is a second server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use latchwork::protocol::{Direction, Failure};
use latchwork::replicator::{Decision, Matter};
use latchwork::upstream::FatalKind;
use latchwork::{Replicator, Settled};
use latchwork_postgres::Database;
use servers::or_skip;
use servers::postgres::Postgres;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::common::{Log, Text, Upstream, admin, config, log, pull, push, texts, word, word_of_pull};

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_replicator_whose_server_was_restored_from_a_backup_fails_visibly_and_sends_nothing() {
    let Some(mut server) = or_skip(Postgres::start()) else { return };
    let upstream = log(&server.url(), "todos").await;
    push(&upstream, 0, &["one", "two", "three"]).await.unwrap();
    server.back_up().unwrap();

    let (replicator, driver) = Replicator::builder(Log::rebasing(), upstream).build_async(sleep);
    let driver = tokio::spawn(driver);
    let ticket = replicator.commit(vec!["four".to_owned(), "five".to_owned()]).unwrap();
    let settled = timeout(LIMIT, ticket).await.expect("it is confirmed in time");
    assert!(matches!(settled, Settled::Confirmed(_)), "{settled:?}");
    replicator.pause(Direction::Push);
    let pending = replicator.commit(vec!["six".to_owned()]).unwrap();
    server.restore().unwrap();

    let (restored, before) = (Instant::now(), replicator.status().counters);
    let went_back = |decision: &Decision| match &decision.matter {
        Matter::Failed { failure: Failure::Upstream { kind: FatalKind::WentBack, error }, .. } => {
            Some(error.to_string())
        }
        _ => None,
    };
    // By the pull alone: the one that is connected again.
    let failed = replicator.status_when(|status| status.decisions.iter().any(|decision| went_back(decision).is_some()));
    let status = timeout(LIMIT, failed).await.unwrap_or_else(|_| panic!("{}", replicator.status())).unwrap();
    let why = status.decisions.iter().find_map(went_back).unwrap();
    println!("{why}, {:?} after the restore", restored.elapsed());
    assert_eq!(why, "the log \"todos\" has gone back: it ends at event 3, and event 5 had been there");
    let (pulls, unavailable) = (status.counters.pulls - before.pulls, status.counters.unavailable - before.unavailable);
    assert!(pulls <= unavailable + 1, "of {pulls} pulls, {unavailable} have not reached the server");
    // And by a push.
    replicator.resume(Direction::Push);
    let both = replicator.status_when(|status| status.decisions.iter().filter_map(went_back).count() == 2);
    timeout(LIMIT, both).await.unwrap_or_else(|_| panic!("{}", replicator.status()));
    assert!(pending.settled().is_none());
    assert_eq!(texts(&log(&server.url(), "todos").await).await, ["one", "two", "three"]);
    driver.abort();
}

/// A name that leads to one server or another.
struct Name {
    address: SocketAddr,
    server: Arc<Mutex<SocketAddr>>,
    /// How many connections there are: of one that its server has ended, until its client has ended it, too.
    open: Arc<AtomicUsize>,
}

impl Name {
    async fn of(server: &Postgres) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, server) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(server.address())));
        let (leads_to, open) = (Arc::clone(&server), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&open);
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let (server, count) = (*leads_to.lock().unwrap(), Arc::clone(&count));
                count.fetch_add(1, Ordering::Relaxed);
                connections.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                    drop(client);
                    count.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, server, open }
    }

    /// Leads to this server from now on. Connections to the one before stay.
    fn leads_to(&self, server: &Postgres) {
        *self.server.lock().unwrap() = server.address();
    }

    fn database(&self) -> Database {
        Database::new(config(&format!("postgres://postgres@{}/postgres?application_name=client", self.address)))
    }

    /// Has a server end the clients' connections to it, or those that push, and waits until the clients have heard of it.
    async fn ends(&self, server: &Postgres, last_query: &str) {
        let sql = admin(&server.url()).await;
        let which = "FROM pg_stat_activity WHERE application_name = 'client' AND query LIKE $1";
        let open = self.open.load(Ordering::Relaxed);
        let ended = sql.query(&format!("SELECT pg_terminate_backend(pid) {which}"), &[&last_query]).await.unwrap();
        let heard = async {
            while self.open.load(Ordering::Relaxed) + ended.len() > open {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, heard).await.expect("each client hears of it");
    }
}

/// Pushes an event and pulls what follows the base: both as words.
async fn both(upstream: &Upstream, base: u64) -> [String; 2] {
    [word(&push(upstream, base, &["x"]).await), word_of_pull(&pull(upstream, base).await)]
}

#[tokio::test]
async fn push_and_pull_notice_a_server_that_still_answers_when_another_was_promoted() {
    let Some(mut old) = or_skip(Postgres::start()) else { return };
    push(&log(&old.url(), "todos").await, 0, &["1", "2", "3"]).await.unwrap();
    // A standby that is not synchronous, and has not been sent more than this when it is promoted.
    old.back_up().unwrap();
    let new = old.second().unwrap();
    let of_old = log(&old.url(), "todos").await;
    push(&of_old, 3, &["4", "5"]).await.unwrap();
    admin(&new.url()).await.query_one("SELECT pg_promote()", &[]).await.unwrap();
    let of_new = Database::new(config(&new.url())).upstream::<Log, _>("todos", of_old.identity(), Text);

    // One that has had what only the old server has.
    let name = Name::of(&old).await;
    let client = name.database().upstream("todos", of_old.identity(), Text);
    assert_eq!(both(&client, 5).await, ["taken", "1 events"]);
    name.leads_to(&new);
    name.ends(&old, "%").await;
    assert_eq!(both(&client, 6).await, ["fatal WentBack", "fatal WentBack"]);
    assert_eq!(texts(&of_new).await, ["1", "2", "3"], "nothing was sent");

    // One that has had what only the new one has, and is led to the old one again.
    push(&of_new, 3, &["four", "five", "six", "seven"]).await.unwrap();
    let client = name.database().upstream("todos", of_old.identity(), Text);
    assert_eq!(word_of_pull(&pull(&client, 0).await), "7 events");
    name.leads_to(&old);
    name.ends(&new, "%").await;
    assert_eq!(both(&client, 7).await, ["unavailable", "unavailable"]);
    // The old one has come to the same number, and to another one.
    for [base, next] in [[6, 7], [7, 8]] {
        push(&of_old, base, &[&next.to_string()]).await.unwrap();
        assert_eq!(both(&client, 7).await, ["unavailable", "unavailable"], "{next}");
    }
    let error = pull(&client, 7).await.unwrap_err().to_string();
    assert!(error.contains("another server was promoted: expected timeline 2 or a later one, got 1"), "{error}");
    name.leads_to(&new);
    assert_eq!(both(&client, 7).await, ["taken", "1 events"]);

    // One of its connections leads to the old one, and the other one finds that there is a new one.
    name.leads_to(&old);
    let client = name.database().upstream("todos", of_old.identity(), Text);
    assert_eq!(word_of_pull(&pull(&client, 0).await), "8 events");
    assert_eq!(word(&push(&client, 8, &["9"]).await), "taken");
    name.leads_to(&new);
    name.ends(&old, "%UPDATE latchwork_logs%").await;
    assert_eq!(word(&push(&client, 0, &["y"]).await), "behind Some(8)");
    let there = pull(&client, 3).await.unwrap();
    assert_eq!(there.iter().map(|entry| &*entry.event).collect::<Vec<_>>(), ["four", "five", "six", "seven", "x"]);
}
