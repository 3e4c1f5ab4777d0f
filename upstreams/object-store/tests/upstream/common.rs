//! A log of text, and what its upstream is tested with.

use std::sync::Arc;
use std::time::Duration;

use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, BoxError, Codec, More, PullError, PushError};
use latchwork_object_store::ObjectStoreUpstream;
use latchwork_object_store::object_store::ObjectStore;
use tokio::time::{Sleep, sleep};

pub type Log = MemoryLog<String>;
pub type Client = ObjectStoreUpstream<Log, Text, fn(Duration) -> Sleep>;

/// Text, in UTF-8.
pub struct Text;

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

pub fn client(store: Arc<dyn ObjectStore>, identity: &str) -> Client {
    ObjectStoreUpstream::new(store, identity, Text, sleep as fn(Duration) -> Sleep)
        .poll_interval(Duration::from_millis(2))
}

/// A batch that follows this event.
pub fn batch(base: u64, events: &[&str]) -> Batch<Log> {
    let entries =
        (base + 1..).zip(events).map(|(position, event)| MemoryEntry { position, event: (*event).to_owned() });
    Batch::new(base, entries.collect())
}

pub async fn push(client: &Client, base: u64, events: &[&str]) -> Result<(), PushError<u64>> {
    AsyncUpstream::push(client, &batch(base, events)).await
}

/// What there is after this event.
pub async fn pull(client: &Client, cursor: u64) -> Result<Vec<String>, PullError> {
    let (mut pages, mut events) = (AsyncUpstream::pull(client, cursor), Vec::new());
    while let Some(page) = pages.next_page().await {
        let page = page?;
        let numbers = page.entries.iter().map(|entry| entry.position);
        assert!(numbers.eq((1..=page.entries.len() as u64).map(|number| cursor + events.len() as u64 + number)));
        events.extend(page.entries.into_iter().map(|entry| entry.event));
        if page.more == More::None {
            break;
        }
    }
    Ok(events)
}
