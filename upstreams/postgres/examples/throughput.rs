//! What a replicator costs: events a second through one, beside the bare client that runs the same statement with the same
//! batches, in turns, on a PostgreSQL of its own that writes to the disk before it answers.
//!
//! ```sh
//! cargo run --release -p latchwork-postgres --example throughput -- --rounds 6 --events 200000
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use latchwork::Replicator;
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{BoxError, Codec};
use latchwork_postgres::Database;
use latchwork_postgres::tokio_postgres::{Config, NoTls};
use servers::postgres::Postgres;

const BATCH: usize = 100;
const BYTES: usize = 100;

/// An event is cloned each time that it is sent: that is to be cheap.
type Log = MemoryLog<Arc<[u8]>>;

struct Bytes;

impl Codec<Log> for Bytes {
    fn number(&self, position: u64) -> u64 {
        position
    }
    fn position(&self, number: u64) -> u64 {
        number
    }
    fn entry_to_bytes(&self, entry: &MemoryEntry<Arc<[u8]>>) -> Vec<u8> {
        entry.event.to_vec()
    }
    fn entry_from_bytes(&self, position: u64, bytes: &[u8]) -> Result<MemoryEntry<Arc<[u8]>>, BoxError> {
        Ok(MemoryEntry { position, event: bytes.into() })
    }
}

fn event(number: usize) -> Vec<u8> {
    let mut event = vec![b'x'; BYTES];
    event[..8].copy_from_slice(&number.to_be_bytes());
    event
}

/// One statement after the other, each awaited.
async fn bare(config: &Config, name: &str, identity: &str, events: usize) -> Result<Duration, BoxError> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    let append = client.prepare(include_str!("../src/append.sql")).await?;
    let channel = format!("latchwork_{}", identity.replace('-', ""));
    let all: Vec<_> = (0..events).map(event).collect();
    let (name, identity) = (name.to_owned(), identity.to_owned());
    // In a task, beside the connection's own, as a replicator's driver is.
    let pushes = tokio::spawn(async move {
        let begun = Instant::now();
        for (base, batch) in (0_i64..).step_by(BATCH).zip(all.chunks(BATCH)) {
            let taken = client.query(&append, &[&name, &identity, &base, &batch, &channel, &"bare"]).await?;
            assert_eq!(taken.len(), 1);
        }
        Ok(begun.elapsed())
    });
    pushes.await?
}

/// A commit for each batch, and all of them confirmed.
async fn replicated(config: &Config, name: &str, identity: &str, events: usize) -> Result<Duration, BoxError> {
    let upstream = Database::new(config.clone()).upstream(name, identity, Bytes);
    let (replicator, driver) = Replicator::builder(Log::rebasing(), upstream).build_async(tokio::time::sleep);
    let driver = tokio::spawn(driver);
    // Connected, as the other is.
    replicator.caught_up().await?;
    let all: Vec<_> = (0..events).map(|number| Arc::from(event(number))).collect();
    let begun = Instant::now();
    for batch in all.chunks(BATCH) {
        replicator.commit(batch.to_vec())?;
    }
    replicator.flush_async().await?;
    let time = begun.elapsed();
    replicator.stop();
    driver.await?;
    Ok(time)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let words: Vec<_> = std::env::args().collect();
    let option = |name: &str, default: usize| {
        let given = words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
        given.map_or(Ok(default), |number| number.parse())
    };
    let (rounds, events) = (option("--rounds", 6)?, option("--events", 200_000)?);
    let server = Postgres::start_with(&[])?;
    let (config, database) = (server.url().parse::<Config>()?, Database::new(server.url().parse()?));
    let (sql, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let mut times = [Duration::ZERO; 2];
        // Each begins as often as the other.
        for which in [round % 2, (round + 1) % 2] {
            let name = format!("{round}-{which}");
            let identity = database.create_log(&name).await?;
            // Without it, the first one of a round has less to write than the second one.
            sql.batch_execute("CHECKPOINT").await?;
            times[which] = match which {
                0 => bare(&config, &name, &identity, events).await?,
                _ => replicated(&config, &name, &identity, events).await?,
            };
        }
        let count = "SELECT count(*) FROM latchwork_events GROUP BY log ORDER BY log DESC LIMIT 2";
        let counts = sql.query(count, &[]).await?;
        assert!(counts.iter().all(|row| usize::try_from(row.get::<_, i64>(0)) == Ok(events)));
        let [bare, replicated] = times.map(|time| events as f64 / time.as_secs_f64());
        println!("bare {bare:8.0} events/s, replicator {replicated:8.0} events/s: {:.2}", replicated / bare);
        ratios.push(replicated / bare);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median {:.2}, batches of {BATCH} events of {BYTES} bytes", ratios[ratios.len() / 2]);
    Ok(())
}
