//! A pull: object after object, then a look at each interval.

use std::fmt;
use std::pin::pin;

use futures_util::future::select;
use latchwork::log::Log;
use latchwork::replicator::Timer;
use latchwork::upstream::{AsyncPull, Codec, More, Page, PullError};
use object_store::{Error as StoreError, ObjectStoreExt};

use crate::ObjectStoreUpstream;
use crate::ahead::Ahead;
use crate::batch::{Stored, key};
use crate::error::Error;
use crate::stand::Stand;

/// So many looks for more are followed by one at what has been read last.
const LOOKS: u32 = 16;

/// After so many batches that were there at once, more are read ahead.
const FAR: u32 = 3;

/// A pull from an [`ObjectStoreUpstream`].
pub struct Pages<'a, L: Log, C, T> {
    upstream: &'a ObjectStoreUpstream<L, C, T>,
    cursor: u64,
    at: At,
    /// Looks in a row that have found nothing.
    in_vain: u32,
    /// Batches in a row that were there at once.
    at_once: u32,
    ahead: Option<Ahead>,
    /// What had been known of the log's going on before the last look.
    seen: u64,
}

/// Where a pull has come to.
enum At {
    /// It has not looked where its cursor stands.
    Beginning,
    /// The cursor is the last event of the batch that begins with this one, if there is one; and whether a page has said
    /// that there is no more.
    End { first: Option<u64>, caught_up: bool },
    /// An error was its last item.
    Over,
}

impl<'a, L: Log, C: Codec<L>, T: Timer> Pages<'a, L, C, T> {
    pub(crate) fn new(upstream: &'a ObjectStoreUpstream<L, C, T>, cursor: u64) -> Self {
        Self { upstream, cursor, at: At::Beginning, in_vain: 0, at_once: 0, ahead: None, seen: 0 }
    }

    async fn next(&mut self) -> Result<Option<Page<L::Entry>>, Error> {
        let upstream = self.upstream;
        if let At::End { caught_up: true, .. } = self.at {
            let (sleep, news) = (upstream.timer.sleep(upstream.interval), upstream.news.past(self.seen));
            select(pin!(sleep), pin!(news)).await;
        }
        self.seen = upstream.news.current();
        let batch = match self.at {
            At::Over => return Ok(None),
            At::Beginning => {
                upstream.identify().await?;
                match upstream.stand(self.cursor).await? {
                    Stand::Before(batch) | Stand::Within(batch) => Some(batch),
                    Stand::Last(first) => {
                        self.at = At::End { first, caught_up: false };
                        upstream.ends(self.cursor);
                        None
                    }
                }
            }
            At::End { first, .. } => {
                let batch = self.following().await?;
                if let (None, Some(first)) = (&batch, first) {
                    self.is_there(first).await?;
                }
                batch
            }
        };
        let Some(batch) = batch else {
            self.at_once = 0;
            if let At::End { caught_up, .. } = &mut self.at {
                *caught_up = true;
            }
            return Ok(Some(Page { entries: Vec::new(), more: More::None }));
        };
        let page = self.page(&batch)?;
        if !upstream.is_own(&batch.nonce) {
            upstream.turns.others();
        }
        (self.cursor, self.in_vain, self.at_once) = (batch.last(), 0, self.at_once.saturating_add(1));
        self.at = At::End { first: Some(batch.first), caught_up: false };
        upstream.ends(self.cursor);
        Ok(Some(page))
    }

    /// The batch that begins behind the cursor, if there is one.
    async fn following(&mut self) -> Result<Option<Stored>, Error> {
        let next = self.cursor.saturating_add(1);
        if self.ahead.is_none() && self.at_once >= FAR {
            self.at_once = 0;
            self.ahead = Ahead::of(&self.upstream.store, self.cursor).await?;
        }
        if let Some(ahead) = &mut self.ahead {
            let batch = ahead.next(next).await?;
            if batch.is_some() {
                return Ok(batch);
            }
            self.ahead = None;
        }
        self.upstream.batch(next).await
    }

    /// What of this batch follows the cursor.
    fn page(&self, batch: &Stored) -> Result<Page<L::Entry>, Error> {
        let codec = &self.upstream.codec;
        let following = batch.events.iter().zip(batch.first..).filter(|(_, number)| *number > self.cursor);
        let entries = following.map(|(bytes, number)| codec.entry_from_bytes(codec.position(number), bytes));
        let entries: Result<_, _> = entries.collect();
        let entries = entries.map_err(|what| Error::Damaged { key: key(batch.first).to_string(), what })?;
        Ok(Page { entries, more: More::Unknown })
    }

    /// Looks, now and then, whether the batch is still there that has been read last.
    async fn is_there(&mut self, first: u64) -> Result<(), Error> {
        self.in_vain = (self.in_vain + 1) % LOOKS;
        if self.in_vain > 0 {
            return Ok(());
        }
        match self.upstream.store.head(&key(first)).await {
            Ok(_) => Ok(()),
            Err(StoreError::NotFound { .. }) => Err(Error::WentBack { cursor: self.cursor, head: None }),
            Err(error) => Err(Error::Store(error)),
        }
    }
}

impl<L: Log, C: Codec<L>, T: Timer> AsyncPull<L> for Pages<'_, L, C, T> {
    async fn next_page(&mut self) -> Option<Result<Page<L::Entry>, PullError>> {
        let next = self.next().await;
        if next.is_err() {
            self.at = At::Over;
        }
        next.map_err(Error::of_pull).transpose()
    }
}

impl<L: Log, C, T> fmt::Debug for Pages<'_, L, C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}
