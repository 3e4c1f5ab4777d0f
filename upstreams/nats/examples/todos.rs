//! Two clients of one stream, each with a replicator: `todos nats://127.0.0.1:4222`. What is in the stream stays there.

use std::error::Error;

use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{BoxError, Codec};
use latchwork::{Replicator, Settled};
use latchwork_nats::async_nats::jetstream::stream::Config;
use latchwork_nats::{Connection, NatsUpstream};

/// Todos as text.
struct Text;

impl Codec<MemoryLog<String>> for Text {
    fn number(&self, position: u64) -> u64 {
        position
    }

    fn position(&self, number: u64) -> u64 {
        number
    }

    fn entry_to_bytes(&self, entry: &MemoryEntry<String>) -> Vec<u8> {
        entry.event.clone().into_bytes()
    }

    fn entry_from_bytes(&self, position: u64, bytes: &[u8]) -> Result<MemoryEntry<String>, BoxError> {
        Ok(MemoryEntry { position, event: std::str::from_utf8(bytes)?.to_owned() })
    }
}

/// A client, with all that is in the stream.
async fn client(connection: &Connection) -> Result<Replicator<MemoryLog<String>>, Box<dyn Error>> {
    let config = Config { name: "todos".to_owned(), ..Config::default() };
    let upstream = NatsUpstream::create(connection, config, None, Text).await?;
    let (replicator, driver) = Replicator::builder(MemoryLog::rebasing(), upstream).build_async(tokio::time::sleep);
    tokio::spawn(driver);
    replicator.caught_up().await?;
    Ok(replicator)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let servers = std::env::args().nth(1).unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    let connection = Connection::open(&servers).await?;
    let (alice, bob) = (client(&connection).await?, client(&connection).await?);
    let tickets = [alice.commit(vec!["alice: milk".to_owned()])?, bob.commit(vec!["bob: bread".to_owned()])?];
    for ticket in tickets {
        match ticket.await {
            Settled::Confirmed(position) => println!("event {position} is in the stream"),
            other => println!("{other:?}"),
        }
    }
    bob.status_when(|status| status.pending == 0).await;
    println!("bob has {} events", bob.status().upstream_head);
    Ok(())
}
