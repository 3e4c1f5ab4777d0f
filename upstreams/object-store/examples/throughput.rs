//! Batches of 100 events, pushed one after another; beside the same puts with the client of `object_store` alone, in turns, of
//! which each begins as often as the other. Then a reader that is far behind, of a store that takes 10 ms for each answer;
//! beside the same reads with the client alone, one after another.
//!
//! ```sh
//! cargo run --release -p latchwork-object-store --example throughput [FOLDER [ROUNDS]]
//! ```

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, BoxError, Codec};
use latchwork_object_store::ObjectStoreUpstream;
use latchwork_object_store::object_store::local::LocalFileSystem;
use latchwork_object_store::object_store::memory::InMemory;
use latchwork_object_store::object_store::path::Path;
use latchwork_object_store::object_store::throttle::{ThrottleConfig, ThrottledStore};
use latchwork_object_store::object_store::{ObjectStore, ObjectStoreExt, PutMode};

const EVENTS: u64 = 100;
const BYTES: usize = 100;
const BATCHES: u64 = 1000;
const BEHIND: u64 = 500;
const ANSWER: Duration = Duration::from_millis(10);

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

/// This batch, counted from 0.
fn events(batch: u64) -> Batch<Log> {
    let base = batch * EVENTS;
    let entries = (base + 1..=base + EVENTS).map(|position| MemoryEntry { position, event: vec![7; BYTES] });
    Batch::new(base, entries.collect())
}

/// Where it stands.
fn key(batch: u64) -> Path {
    Path::from(format!("log/{:020}", batch * EVENTS + 1))
}

async fn upstream(store: Arc<dyn ObjectStore>) -> Result<Duration, Box<dyn Error>> {
    let upstream = ObjectStoreUpstream::<Log, _, _>::new(store, "throughput", Bytes, tokio::time::sleep);
    let began = Instant::now();
    for batch in 0..BATCHES {
        upstream.push(&events(batch)).await?;
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
        store.put_opts(&key(batch), bytes.into(), PutMode::Create.into()).await?;
    }
    Ok(began.elapsed())
}

/// Events a second, from the median of the times. Of two in the middle it is the longer one.
fn speed(mut times: Vec<Duration>, batches: u64) -> f64 {
    times.sort_unstable();
    (batches * EVENTS) as f64 / times[times.len() / 2].as_secs_f64()
}

async fn pushes(within: &std::path::Path, rounds: usize, fsync: bool) -> Result<(), Box<dyn Error>> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for turn in 0..2 {
            let folder = tempfile::tempdir_in(within)?;
            let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path())?.with_fsync(fsync));
            // Ours, theirs, theirs, ours.
            match (round + turn) % 2 {
                0 => ours.push(upstream(store).await?),
                _ => theirs.push(bare(store).await?),
            }
        }
    }
    let (ours, theirs) = (speed(ours, BATCHES), speed(theirs, BATCHES));
    println!("fsync {fsync}: {ours:.0} events a second, {theirs:.0} with the bare client: {:.2} of it", ours / theirs);
    Ok(())
}

async fn pulls() -> Result<(), Box<dyn Error>> {
    let near: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let writer = ObjectStoreUpstream::<Log, _, _>::new(Arc::clone(&near), "throughput", Bytes, tokio::time::sleep);
    for batch in 0..BEHIND {
        writer.push(&events(batch)).await?;
    }
    let config = ThrottleConfig { wait_get_per_call: ANSWER, wait_list_per_call: ANSWER, ..Default::default() };
    let far: Arc<dyn ObjectStore> = Arc::new(ThrottledStore::new(near, config));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for turn in [0, 1, 1, 0] {
        let began = Instant::now();
        if turn == 0 {
            let reader =
                ObjectStoreUpstream::<Log, _, _>::new(Arc::clone(&far), "throughput", Bytes, tokio::time::sleep);
            let (mut pull, mut read) = (reader.pull(0), 0);
            while read < (BEHIND * EVENTS) as usize {
                read += pull.next_page().await.ok_or("the pull has ended")??.entries.len();
            }
            ours.push(began.elapsed());
        } else {
            for batch in 0..BEHIND {
                far.get(&key(batch)).await?.bytes().await?;
            }
            theirs.push(began.elapsed());
        }
    }
    let (ours, theirs) = (speed(ours, BEHIND), speed(theirs, BEHIND));
    println!(
        "{BEHIND} objects behind, {ANSWER:?} for an answer: {ours:.0} events a second, {theirs:.0} with the bare client, \
         one read after another"
    );
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let within = words.next().map_or_else(std::env::temp_dir, Into::into);
    let rounds = words.next().map_or(Ok(8), |word| word.parse())?;
    for fsync in [false, true] {
        pushes(&within, rounds, fsync).await?;
    }
    pulls().await
}
