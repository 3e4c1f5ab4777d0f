//! The laws of an upstream, over HTTP, also of one whose connections are cut; and what the server does beyond them.

use std::net::SocketAddr;
use std::time::Instant;

use http_sync::client::Http;
use http_sync::server::{HEARTBEAT, Server};
use http_sync::{Entry, Note, Notes};
use latchwork::contract::Contract;
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, FatalKind, More, Page, PullError, PushError};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::sleep;

fn contract() -> Contract<Notes> {
    Contract::new(Notes::rebasing, |number| Note { author: "alice".into(), number, text: "hello".into() })
}

/// A server of its own: where it is, what its log is called, and its file.
async fn start() -> (SocketAddr, String, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::open(&dir.path().join("log.db")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.serve(listener));
    (address, Http::ask(&format!("http://{address}")).await.unwrap(), dir)
}

fn client(address: SocketAddr, log: &str) -> Http {
    Http::new(&format!("http://{address}"), log).unwrap()
}

#[tokio::test]
async fn http_keeps_the_contract_of_an_upstream() {
    let make = async || {
        let (address, log, dir) = start().await;
        async move || {
            _ = &dir;
            client(address, &log)
        }
    };
    Box::pin(contract().async_upstream(sleep, make)).await.unwrap();
}

#[tokio::test]
async fn http_keeps_the_contract_of_an_upstream_whose_connections_are_cut() {
    let make = async || {
        let (address, log, dir) = start().await;
        let open = async move |address| {
            _ = &dir;
            client(address, &log)
        };
        (address, open)
    };
    Box::pin(contract().async_upstream_cut(sleep, make)).await.unwrap();
}

#[tokio::test]
async fn http_tells_a_client_of_another_log() {
    let make = async || {
        let (address, log, dir) = start().await;
        // Until the process ends.
        drop(dir.keep());
        (client(address, &log), client(address, "another"))
    };
    Box::pin(contract().async_upstream_of_another(sleep, make)).await.unwrap();
}

async fn push(client: &Http, base: u64, notes: impl IntoIterator<Item = Note>) -> Result<(), PushError<u64>> {
    let entries = (base + 1..).zip(notes).map(|(position, event)| Entry { position, event });
    client.push(&Batch::new(base, entries.collect())).await
}

fn notes(count: u64) -> impl Iterator<Item = Note> {
    (0..count).map(|number| Note { author: "alice".into(), number, text: "hello".into() })
}

#[tokio::test]
async fn server_keeps_to_its_limits() {
    let (address, log, _dir) = start().await;
    let client = client(address, &log);
    let long = Note { author: "alice".into(), number: 0, text: "x".repeat(64 * 1024) };
    let outcome = push(&client, 0, [long]).await;
    assert!(matches!(outcome, Err(PushError::TooLarge { .. })), "{outcome:?}");
    push(&client, 0, notes(250)).await.unwrap();
    let mut pull = client.pull(0);
    for (events, more) in [(100, More::Events(150)), (100, More::Events(50)), (50, More::None)] {
        let page: Page<Entry> = pull.next_page().await.unwrap().unwrap();
        assert_eq!((page.entries.len(), page.more), (events, more));
    }
    let page = client.pull(251).next_page().await;
    assert!(matches!(page, Some(Err(PullError::Fatal { kind: FatalKind::WentBack, .. }))), "{page:?}");
}

#[tokio::test]
async fn server_tells_a_pull_of_what_comes_before_its_heartbeat() {
    const EVENTS: u64 = 20;
    let (address, log, _dir) = start().await;
    let client = client(address, &log);
    let mut pull = client.pull(0);
    let begun = Instant::now();
    for base in 0..EVENTS {
        push(&client, base, notes(1)).await.unwrap();
        while pull.next_page().await.unwrap().unwrap().entries.is_empty() {}
    }
    assert!(begun.elapsed() < HEARTBEAT * 5, "{EVENTS} events took {:?}", begun.elapsed());
}
