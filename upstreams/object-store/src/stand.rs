//! Where an event stands in the log.

use std::sync::Arc;

use futures_util::TryStreamExt;
use latchwork::log::Log;
use latchwork::replicator::Timer;
use latchwork::upstream::Codec;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt};

use crate::batch::{self, Stored, key};
use crate::error::Error;
use crate::{MAX_EVENTS, ObjectStoreUpstream};

/// Where an event stands.
pub(crate) enum Stand {
    /// It is the last one: of the batch that begins with this event, if there is one.
    Last(Option<u64>),
    /// It is the last of a batch, and this one follows.
    Before(Stored),
    /// It is in this batch, and not the last.
    Within(Stored),
}

/// The batch that begins with this event.
pub(crate) async fn batch_of(store: &Arc<dyn ObjectStore>, first: u64) -> Result<Option<Stored>, Error> {
    let bytes = match store.get(&key(first)).await {
        Ok(got) => got.bytes().await,
        Err(error) => Err(error),
    };
    match bytes {
        Ok(bytes) => batch::read(first, &bytes).map(Some),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(Error::Store(error)),
    }
}

impl<L: Log, C: Codec<L>, T: Timer> ObjectStoreUpstream<L, C, T> {
    /// The batch that begins with this event.
    pub(crate) async fn batch(&self, first: u64) -> Result<Option<Stored>, Error> {
        batch_of(&self.store, first).await
    }

    /// Finds out where this event stands; 0 stands before the first.
    ///
    /// A batch that begins with the next event says all. If there is none, what is listed tells the last one that begins no
    /// later, which reaches no further than the largest batch does; so the list need not begin before that.
    pub(crate) async fn stand(&self, number: u64) -> Result<Stand, Error> {
        loop {
            let next = number.saturating_add(1);
            if let Some(next) = self.batch(next).await? {
                return Ok(Stand::Before(next));
            }
            let (before, after) = self.around(number).await?;
            match (before, after) {
                // It has come meanwhile.
                (_, Some(after)) if after == next => {}
                (None, None) if number == 0 => return Ok(Stand::Last(None)),
                (None, None) => return Err(Error::WentBack { cursor: number, head: None }),
                (None, Some(first)) => return Err(Error::TooOld { next, first }),
                (Some(first), after) => {
                    // It is deleted as we look.
                    let Some(stored) = self.batch(first).await? else { continue };
                    let last = stored.last();
                    if last > number {
                        return Ok(Stand::Within(stored));
                    }
                    return match after {
                        None if last == number => Ok(Stand::Last(Some(first))),
                        None => Err(Error::WentBack { cursor: number, head: Some(last) }),
                        Some(first) => Err(Error::TooOld { next, first }),
                    };
                }
            }
        }
    }

    /// The last batch that begins with this event or before it, as far as one could reach it, and the first behind it.
    async fn around(&self, number: u64) -> Result<(Option<u64>, Option<u64>), Error> {
        let (mut before, mut after) = (None, None);
        let offset = key(number.saturating_sub(MAX_EVENTS as u64));
        let mut listed = self.store.list_with_offset(Some(&Path::from("log")), &offset);
        // No order is promised.
        while let Some(object) = listed.try_next().await.map_err(Error::Store)? {
            match batch::first(&object.location) {
                Some(first) if first <= number => before = before.max(Some(first)),
                Some(first) => after = Some(after.map_or(first, |after: u64| after.min(first))),
                None => {}
            }
        }
        Ok((before, after))
    }
}
