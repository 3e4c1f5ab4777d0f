//! How many events a second a stream takes: through the upstream, and through the bare client that does the same appends.
//!
//! `throughput [ROUNDS] [always]`: in turns of 2,000 events, each on a stream of its own with three replicas on three servers,
//! in batches of 100. With `always` the servers write to the disk before they answer.

use std::error::Error;
use std::time::{Duration, Instant};

use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{AsyncUpstream, Batch, BoxError, Codec};
use latchwork_nats::async_nats::HeaderMap;
use latchwork_nats::async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_ID, NATS_BATCH_SEQUENCE, NATS_EXPECTED_LAST_SEQUENCE,
};
use latchwork_nats::async_nats::jetstream::{self, stream::Config};
use latchwork_nats::{Connection, Form, NatsUpstream};
use servers::nats::Nats;

const BATCH: u64 = 100;
const ROUND: u64 = 2_000;
const EVENT: &str = "buy milk, and bread, and whatever else there is to be had";

type Log = MemoryLog<String>;

struct Text;

impl Codec<Log> for Text {
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

async fn through_upstream(upstream: &NatsUpstream<Log, Text>, from: u64) {
    for base in (from..from + ROUND).step_by(BATCH as usize) {
        let entry = |position| MemoryEntry { position, event: EVENT.to_owned() };
        let batch = Batch::new(base, (base + 1..=base + BATCH).map(entry).collect());
        upstream.push(&batch).await.expect("nothing is in the way");
    }
}

/// What one would write with the client alone, for this one case.
async fn bare(connection: &Connection, subject: &str, from: u64) -> Result<(), Box<dyn Error>> {
    let client = connection.client();
    for base in (from..from + ROUND).step_by(BATCH as usize) {
        let batch = format!("batch-{base}");
        for number in 1..=BATCH {
            let mut headers = HeaderMap::new();
            headers.insert(NATS_BATCH_ID, batch.as_str());
            headers.insert(NATS_BATCH_SEQUENCE, number.to_string());
            if number == 1 {
                headers.insert(NATS_EXPECTED_LAST_SEQUENCE, base.to_string());
            }
            let payload = EVENT.to_owned().into_bytes().into();
            if number < BATCH {
                client.publish_with_headers(subject.to_owned(), headers, payload).await?;
            } else {
                headers.insert(NATS_BATCH_COMMIT, "1");
                let answer = client.request_with_headers(subject.to_owned(), headers, payload).await?;
                let text = std::str::from_utf8(&answer.payload)?;
                if text.contains("error") {
                    return Err(text.into());
                }
            }
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let rounds = words.iter().find_map(|word| word.parse().ok()).unwrap_or(50_u64).max(1);
    let always = words.iter().any(|word| word == "always");
    let nats = if always { Nats::start_durable(3) } else { Nats::start(3) }?;
    let connection = Connection::open(&nats.url()).await?;
    let context = jetstream::new(connection.client().clone());
    let open = async |name: &str| {
        let config = Config { name: name.to_owned(), num_replicas: 3, ..Config::default() };
        NatsUpstream::create(&connection, config, Some(Form::Batches), Text).await
    };
    let (upstream, _other) = (open("upstream").await?, open("bare").await?);
    let subject = context.get_stream("bare").await?.cached_info().config.subjects[0].clone();
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        // Each is first in every other round.
        for which in [round % 2, 1 - round % 2] {
            let begun = Instant::now();
            match which {
                0 => through_upstream(&upstream, round * ROUND).await,
                _ => bare(&connection, &subject, round * ROUND).await?,
            }
            times[which as usize].push(begun.elapsed());
        }
    }
    let interval = if always { "always" } else { "2m" };
    println!("{rounds} rounds of {ROUND} events, batches of {BATCH}, three servers, sync_interval {interval}");
    for (which, times) in ["upstream", "bare client"].into_iter().zip(&mut times) {
        times.sort();
        let speed = |time: Duration| ROUND as f64 / time.as_secs_f64();
        let (median, best) = (speed(times[times.len() / 2]), speed(times[0]));
        println!("{which:12} median {median:7.0} a second, best {best:7.0}");
    }
    let [ours, bare] = times.map(|times| times[times.len() / 2].as_secs_f64());
    println!("median {:.2} of the bare client's", bare / ours);
    Ok(())
}
