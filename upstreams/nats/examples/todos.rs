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

/// A todo of each of two clients; returns how many events one of them has then.
pub async fn todos(servers: &str) -> Result<u64, Box<dyn Error>> {
    let connection = Connection::open(servers).await?;
    let (alice, bob) = (client(&connection).await?, client(&connection).await?);
    let mut last = 0;
    for ticket in [alice.commit(vec!["alice: milk".to_owned()])?, bob.commit(vec!["bob: bread".to_owned()])?] {
        let Settled::Confirmed(number) = ticket.await else { return Err("a todo is not in the stream".into()) };
        println!("event {number} is in the stream");
        last = number.max(last);
    }
    let status = bob.status_when(|status| status.upstream_head >= last).await.ok_or("bob has stopped")?;
    Ok(status.upstream_head)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let servers = std::env::args().nth(1).unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    println!("bob has {} events", todos(&servers).await?);
    Ok(())
}
