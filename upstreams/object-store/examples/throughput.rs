//! Batches of 100 events, pushed one after another; beside the same puts with the client of `object_store` alone, in turns.
//!
//! ```sh
//! cargo run --release -p latchwork-object-store --example throughput [FOLDER]
//! ```

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{AsyncUpstream, Batch, BoxError, Codec};
use latchwork_object_store::ObjectStoreUpstream;
use latchwork_object_store::object_store::local::LocalFileSystem;
use latchwork_object_store::object_store::path::Path;
use latchwork_object_store::object_store::{ObjectStore, PutMode};

const EVENTS: u64 = 100;
const BYTES: usize = 100;
const BATCHES: u64 = 1000;
const ROUNDS: usize = 7;

type Log = MemoryLog<Vec<u8>>;

struct Bytes;

impl Codec<Log> for Bytes {
    fn number(&self, position: u64) -> u64 {
        position
    }

    fn position(&self, number: u64) -> u64 {
        number
    }

    fn entry_to_bytes(&self, entry: &MemoryEntry<Vec<u8>>) -> Vec<u8> {
        entry.event.clone()
    }

    fn entry_from_bytes(&self, position: u64, bytes: &[u8]) -> Result<MemoryEntry<Vec<u8>>, BoxError> {
        Ok(MemoryEntry { position, event: bytes.to_vec() })
    }
}

async fn upstream(store: Arc<dyn ObjectStore>) -> Result<Duration, Box<dyn Error>> {
    let upstream = ObjectStoreUpstream::<Log, _, _>::new(store, "throughput", Bytes, tokio::time::sleep);
    let began = Instant::now();
    for batch in 0..BATCHES {
        let base = batch * EVENTS;
        let entries = (base + 1..=base + EVENTS).map(|position| MemoryEntry { position, event: vec![7; BYTES] });
        upstream.push(&Batch::new(base, entries.collect())).await?;
    }
    Ok(began.elapsed())
}

async fn bare(store: Arc<dyn ObjectStore>) -> Result<Duration, Box<dyn Error>> {
    let began = Instant::now();
    for batch in 0..BATCHES {
        let mut bytes = Vec::new();
        for _ in 0..EVENTS {
            bytes.extend((BYTES as u64).to_be_bytes());
            bytes.extend(vec![7; BYTES]);
        }
        let key = Path::from(format!("log/{:020}", batch * EVENTS + 1));
        store.put_opts(&key, bytes.into(), PutMode::Create.into()).await?;
    }
    Ok(began.elapsed())
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    (BATCHES * EVENTS) as f64 / times[times.len() / 2].as_secs_f64()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let within = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into);
    for fsync in [false, true] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let folders = [tempfile::tempdir_in(&within)?, tempfile::tempdir_in(&within)?];
            let stores = folders.each_ref().map(|folder| LocalFileSystem::new_with_prefix(folder.path()));
            let [one, other] = stores;
            ours.push(upstream(Arc::new(one?.with_fsync(fsync))).await?);
            theirs.push(bare(Arc::new(other?.with_fsync(fsync))).await?);
        }
        let (ours, theirs) = (median(ours), median(theirs));
        println!(
            "fsync {fsync}: {ours:.0} events a second, {theirs:.0} with the bare client: {:.2} of it",
            ours / theirs
        );
    }
    Ok(())
}
