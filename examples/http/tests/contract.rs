//! The laws of an upstream, over HTTP, also of one whose connections are cut.

use std::net::SocketAddr;

use http_sync::client::Http;
use http_sync::server::Server;
use http_sync::{Note, Notes};
use latchwork::contract::Contract;
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
