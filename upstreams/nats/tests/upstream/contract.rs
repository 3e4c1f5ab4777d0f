//! The laws that any upstream is to keep, in both forms.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use latchwork::contract::Contract;
use latchwork_nats::async_nats::{ConnectOptions, jetstream};
use latchwork_nats::{Connection, Form};
use servers::nats::Nats;
use servers::or_skip;

use crate::common::{Log, create, name};

async fn keeps_all_laws(form: Form) {
    let Some(nats) = or_skip(Nats::start(1)) else { return };
    let url = nats.url();
    let contract = Contract::new(Log::new, |number| number);
    let make = async || {
        let (name, url) = (name(), url.clone());
        async move || {
            let connection = Connection::open(&url).await.unwrap();
            create(&connection, &name, form).await
        }
    };
    Box::pin(contract.async_upstream(tokio::time::sleep, make)).await.unwrap();
    let cut = async || {
        let name = name();
        let open = async move |at: SocketAddr| {
            // Not past the proxy.
            let options = ConnectOptions::new().ignore_discovered_servers();
            let connection = Connection::open_with(&format!("nats://{at}"), options).await.unwrap();
            create(&connection, &name, form).await.answer_within(Duration::from_secs(1))
        };
        (nats.address(0), open)
    };
    let begun = Instant::now();
    Box::pin(contract.async_upstream_cut(tokio::time::sleep, cut)).await.unwrap();
    println!("{form:?}: cut in {:?}", begun.elapsed());
    let connection = Connection::open(&url).await.unwrap();
    let of_another = async || {
        let name = name();
        let stranger = create(&connection, &name, form).await;
        jetstream::new(connection.client().clone()).delete_stream(&name).await.unwrap();
        (create(&connection, &name, form).await, stranger)
    };
    Box::pin(contract.async_upstream_of_another(tokio::time::sleep, of_another)).await.unwrap();
}

#[tokio::test]
async fn an_upstream_of_batches_keeps_all_laws() {
    keeps_all_laws(Form::Batches).await;
}

#[tokio::test]
async fn an_upstream_of_envelopes_keeps_all_laws() {
    keeps_all_laws(Form::Envelopes).await;
}
