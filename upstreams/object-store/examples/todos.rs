//! Two clients of one upstream in an object store, each with a replicator: `todos [FOLDER]`. Without a folder the store is in
//! memory; what is in a folder stays there, and other processes may work in it at the same time.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{BoxError, Codec};
use latchwork::{Replicator, Settled};
use latchwork_object_store::ObjectStoreUpstream;
use latchwork_object_store::object_store::ObjectStore;
use latchwork_object_store::object_store::local::LocalFileSystem;
use latchwork_object_store::object_store::memory::InMemory;

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

/// A client, with all that is in the store. It looks for more ten times a second.
async fn client(store: &Arc<dyn ObjectStore>) -> Result<Replicator<MemoryLog<String>>, Box<dyn Error>> {
    let upstream = ObjectStoreUpstream::new(Arc::clone(store), "todos", Text, tokio::time::sleep);
    let upstream = upstream.poll_interval(Duration::from_millis(100));
    let (replicator, driver) = Replicator::builder(MemoryLog::rebasing(), upstream).build_async(tokio::time::sleep);
    tokio::spawn(driver);
    replicator.caught_up().await?;
    Ok(replicator)
}

/// A todo of each of two clients; returns how many events one of them has then.
pub async fn todos(store: &Arc<dyn ObjectStore>) -> Result<u64, Box<dyn Error>> {
    let (alice, bob) = (client(store).await?, client(store).await?);
    let mut last = 0;
    for ticket in [alice.commit(vec!["alice: milk".to_owned()])?, bob.commit(vec!["bob: bread".to_owned()])?] {
        let Settled::Confirmed(number) = ticket.await else { return Err("a todo is not in the store".into()) };
        println!("event {number} is in the store");
        last = number.max(last);
    }
    let status = bob.status_when(|status| status.upstream_head >= last).await.ok_or("bob has stopped")?;
    Ok(status.upstream_head)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let store: Arc<dyn ObjectStore> = match std::env::args_os().nth(1) {
        Some(folder) => {
            std::fs::create_dir_all(&folder)?;
            Arc::new(LocalFileSystem::new_with_prefix(folder)?.with_fsync(true))
        }
        // With credentials in the environment, `AmazonS3Builder::from_env().with_bucket_name("todos").build()?`.
        None => Arc::new(InMemory::new()),
    };
    println!("bob has {} events", todos(&store).await?);
    Ok(())
}
