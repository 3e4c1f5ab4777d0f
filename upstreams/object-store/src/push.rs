//! A push: an object that is put only if there is none.

use std::sync::atomic::Ordering;
use std::time::Instant;

use latchwork::log::Log;
use latchwork::replicator::Timer;
use latchwork::upstream::{AsyncUpstream, Batch, Codec, PushError};
use object_store::{Error as StoreError, PutMode};

use crate::batch::{Nonce, key, write};
use crate::error::Error;
use crate::pull::Pages;
use crate::stand::Stand;
use crate::{MAX_BYTES, MAX_EVENTS, ObjectStoreUpstream};

impl<L: Log, C: Codec<L>, T: Timer> ObjectStoreUpstream<L, C, T> {
    fn nonce(&self) -> Nonce {
        let push = self.pushes.fetch_add(1, Ordering::Relaxed);
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.client.to_be_bytes());
        nonce[8..].copy_from_slice(&push.to_be_bytes());
        nonce
    }

    /// Whether a push of this client's has put it.
    pub(crate) fn is_own(&self, nonce: &Nonce) -> bool {
        nonce.starts_with(&self.client.to_be_bytes())
    }

    /// Whether the batch follows the log's last event, as far as that is known: no batch is put behind a gap, or within
    /// another one.
    async fn follows(&self, base: u64) -> Result<bool, Error> {
        if !self.identified.load(Ordering::Relaxed) {
            self.identify().await?;
        }
        if self.end.load(Ordering::Relaxed) == base {
            return Ok(true);
        }
        Ok(matches!(self.stand(base).await?, Stand::Last(_)))
    }

    /// Others have been faster. What stands there need not be the last batch.
    fn behind(&self) -> PushError<L::Position> {
        self.turns.others();
        self.news.bump();
        PushError::Behind { head: None }
    }

    /// Checks that the events are numbered on from `base`.
    fn numbered(&self, base: u64, batch: &Batch<L>) -> Result<(), Error> {
        for (entry, before) in batch.entries.iter().zip(base..) {
            let (expected, got) = (before.saturating_add(1), self.codec.number(L::position(entry)));
            if got != expected || got == u64::MAX {
                return Err(Error::Numbers { expected, got });
            }
        }
        Ok(())
    }
}

impl<L: Log, C: Codec<L>, T: Timer> AsyncUpstream<L> for ObjectStoreUpstream<L, C, T> {
    type Pull<'a> = Pages<'a, L, C, T>;

    async fn push(&self, batch: &Batch<L>) -> Result<(), PushError<L::Position>> {
        let (base, count) = (self.codec.number(batch.base), batch.entries.len());
        self.numbered(base, batch).map_err(Error::before_push)?;
        if count > MAX_EVENTS {
            let error = format!("expected at most {MAX_EVENTS} events in a batch, got {count}").into();
            return Err(PushError::TooLarge { error });
        }
        let events: Vec<_> = batch.entries.iter().map(|entry| self.codec.entry_to_bytes(entry)).collect();
        let bytes: usize = events.iter().map(Vec::len).sum();
        if bytes > MAX_BYTES {
            let error = format!("expected at most {MAX_BYTES} bytes in a batch, got {bytes}").into();
            return Err(PushError::TooLarge { error });
        }
        let wait = self.turns.wait();
        if !wait.is_zero() {
            self.timer.sleep(wait).await;
        }
        if !self.follows(base).await.map_err(Error::before_push)? {
            return Err(self.behind());
        }
        let (nonce, first) = (self.nonce(), base + 1);
        let payload = write(&nonce, events.into_iter());
        let begun = Instant::now();
        let put = self.store.put_opts(&key(first), payload, PutMode::Create.into()).await;
        self.turns.answered(begun, put.is_ok());
        match put {
            Ok(_) => {}
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                // A store's client that tries again finds what it has put itself.
                let stored = self.batch(first).await.map_err(Error::of_push)?;
                if stored.is_none_or(|stored| stored.nonce != nonce) {
                    return Err(self.behind());
                }
            }
            Err(error) => return Err(Error::of_put(error).of_push()),
        }
        self.ends(base + count as u64);
        Ok(())
    }

    fn pull(&self, cursor: L::Position) -> Pages<'_, L, C, T> {
        Pages::new(self, self.codec.number(cursor))
    }
}
