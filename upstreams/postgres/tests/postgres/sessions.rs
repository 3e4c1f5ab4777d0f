//! What is said on a session, by a way to the server that hears all of it, and may answer in the server's place.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchwork::upstream::{AsyncPull, AsyncUpstream};
use latchwork_postgres::{Database, Pull};
use servers::or_skip;
use servers::postgres::Postgres;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::common::{Log, Text, Upstream, config, log, pull, push, word, word_of_pull};

const LIMIT: Duration = Duration::from_secs(20);

/// A way to a server.
struct Between {
    address: SocketAddr,
    said: Arc<Mutex<Said>>,
}

#[derive(Default)]
struct Said {
    /// What the next request is answered with, in the server's place; with nothing, the connection ends.
    next: Option<Vec<u8>>,
    /// All that the server has said.
    by_server: Vec<u8>,
}

impl Between {
    async fn of(server: &Postgres) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, server) = (listener.local_addr().unwrap(), server.address());
        let said = Arc::new(Mutex::new(Said::default()));
        let heard = Arc::clone(&said);
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                connections.spawn(passes_on(client, server, Arc::clone(&heard)));
            }
        });
        Self { address, said }
    }

    fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres?sslmode=disable", self.address)
    }

    /// Answers the next request as an administrator would have the server do, and does not pass it on. The connection stays until
    /// another request comes on it.
    fn ends_next(&self) {
        let fields = "SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0";
        let length = u32::try_from(fields.len()).unwrap() + 4;
        self.said.lock().unwrap().next = Some([b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat());
    }
}

impl Said {
    /// Whether the server has notified of this log.
    fn tells_of(&self, log: &Upstream) -> bool {
        let channel = format!("latchwork_{}", log.identity().replace('-', ""));
        self.by_server.windows(channel.len()).any(|said| said == channel.as_bytes())
    }
}

/// A connection, until it ends.
async fn passes_on(mut client: TcpStream, server: SocketAddr, said: Arc<Mutex<Said>>) -> Option<()> {
    let mut server = TcpStream::connect(server).await.ok()?;
    let [mut request, mut answer] = [[0; 1 << 12]; 2];
    loop {
        tokio::select! {
            length = client.read(&mut request) => {
                let request = request.get(..length.ok()?).filter(|request| !request.is_empty())?;
                let answer = said.lock().unwrap().next.take();
                if let Some(answer) = answer {
                    if !answer.is_empty() {
                        client.write_all(&answer).await.ok()?;
                        client.read_u8().await.ok()?;
                    }
                    return None;
                }
                server.write_all(request).await.ok()?;
            }
            length = server.read(&mut answer) => {
                let answer = answer.get(..length.ok()?).filter(|answer| !answer.is_empty())?;
                said.lock().unwrap().by_server.extend(answer);
                client.write_all(answer).await.ok()?;
            }
        }
    }
}

#[tokio::test]
async fn a_session_that_the_server_ends_is_not_used_again_though_its_connection_stays() {
    let Some(server) = or_skip(Postgres::start()) else { return };
    let between = Between::of(&server).await;
    let upstream = log(&between.url(), "todos").await;
    assert_eq!(word(&push(&upstream, 0, &["one"]).await), "taken");
    assert_eq!(word_of_pull(&pull(&upstream, 0).await), "1 events");

    between.ends_next();
    assert_eq!(word(&push(&upstream, 1, &["two"]).await), "uncertain");
    assert_eq!(word(&push(&upstream, 1, &["two"]).await), "taken");

    between.ends_next();
    assert_eq!(word_of_pull(&pull(&upstream, 0).await), "unavailable");
    assert_eq!(word_of_pull(&pull(&upstream, 0).await), "2 events");
}

#[tokio::test]
async fn a_pull_that_begins_on_a_session_that_has_ended_begins_on_another() {
    let Some(server) = or_skip(Postgres::start()) else { return };
    let between = Between::of(&server).await;
    let upstream = log(&between.url(), "todos").await;
    assert_eq!(word_of_pull(&pull(&upstream, 0).await), "0 events");
    // What has ended it comes when something is sent.
    between.said.lock().unwrap().next = Some(Vec::new());
    assert_eq!(word_of_pull(&pull(&upstream, 0).await), "0 events");
}

/// The next page of a pull, which has so many events.
async fn page(pull: &mut Pull<'_, Log, Text>, events: usize) {
    let page = timeout(LIMIT, pull.next_page()).await.expect("a page").unwrap().unwrap();
    assert_eq!(page.entries.len(), events);
}

#[tokio::test]
async fn a_session_is_not_told_of_a_log_once_no_pull_is_of_it() {
    let Some(server) = or_skip(Postgres::start()) else { return };
    let between = Between::of(&server).await;
    let [left, stays] = [log(&server.url(), "left").await, log(&server.url(), "stays").await];
    let database = Database::new(config(&between.url()));
    let [reads_left, reads] = [&left, &stays]
        .map(|log| database.upstream::<Log, _>(log.name(), log.identity(), Text).poll(Duration::from_secs(600)));
    let tells_of_left = || between.said.lock().unwrap().tells_of(&left);

    let mut pull = reads_left.pull(0);
    page(&mut pull, 0).await;
    push(&left, 0, &["heard"]).await.unwrap();
    page(&mut pull, 1).await;
    assert!(tells_of_left());
    drop(pull);

    // Another pull begins, which is told in the order of the commits.
    let mut pull = reads.pull(0);
    page(&mut pull, 0).await;
    between.said.lock().unwrap().by_server.clear();
    push(&left, 1, &["unheard"]).await.unwrap();
    push(&stays, 0, &["heard"]).await.unwrap();
    page(&mut pull, 1).await;
    assert!(!tells_of_left());
    // One that begins again is told.
    let mut pull = reads_left.pull(2);
    page(&mut pull, 0).await;
    push(&left, 2, &["heard"]).await.unwrap();
    page(&mut pull, 1).await;
}
