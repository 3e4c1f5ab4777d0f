//! Two clients of one log, each with a replicator: `todos postgres://alice@127.0.0.1/app`. What is in the log stays there.

use std::error::Error;
use std::time::Duration;

use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{BoxError, Codec};
use latchwork::{Replicator, Settled};
use latchwork_postgres::Database;

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

/// A client, with all that is in the log. Two of one process share the connections.
async fn client(database: &Database, identity: &str) -> Result<Replicator<MemoryLog<String>>, Box<dyn Error>> {
    let limit = Duration::from_secs(30);
    let builder = Replicator::builder(MemoryLog::rebasing(), database.upstream("todos", identity, Text));
    let builder = builder.push_deadline(limit).pull_silence(limit);
    let (replicator, driver) = builder.build_async(tokio::time::sleep);
    tokio::spawn(driver);
    replicator.caught_up().await?;
    Ok(replicator)
}

/// A todo of each of two clients; returns how many events one of them has then.
pub async fn todos(url: &str) -> Result<u64, Box<dyn Error>> {
    let database = Database::new(url.parse()?);
    let identity = database.create_log("todos").await?;
    let (alice, bob) = (client(&database, &identity).await?, client(&database, &identity).await?);
    let mut last = 0;
    for ticket in [alice.commit(vec!["alice: milk".to_owned()])?, bob.commit(vec!["bob: bread".to_owned()])?] {
        let Settled::Confirmed(number) = ticket.await else { return Err("a todo is not in the log".into()) };
        println!("event {number} is in the log");
        last = number.max(last);
    }
    let status = bob.status_when(|status| status.upstream_head >= last).await.ok_or("bob has stopped")?;
    Ok(status.upstream_head)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "postgres://postgres@127.0.0.1/postgres".to_owned());
    println!("bob has {} events", todos(&url).await?);
    Ok(())
}
