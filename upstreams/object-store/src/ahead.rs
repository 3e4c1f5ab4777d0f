//! Batches that are read before they are asked for, several at a time.
//!
//! Where the next batch begins is known once the one before it has been read, so that one that is far behind would wait for one
//! answer after the other. What is listed says where batches begin; it is a hint alone, since a list has no order that every
//! store keeps to: a batch that does not follow is left, and the next one is read by its name.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path;

use crate::batch::{self, Stored, key};
use crate::error::Error;
use crate::stand::batch_of;

/// How many batches are read at a time.
const AT_ONCE: usize = 16;

/// How many batches are read by one list: as many as an answer of S3 has names.
const NAMES: usize = 1_000;

/// The batches that follow, as far as they have been listed.
pub(crate) struct Ahead(BoxStream<'static, Result<Option<Stored>, Error>>);

impl Ahead {
    /// Lists what follows this event. `None` if the next is not among it.
    pub(crate) async fn of(store: &Arc<dyn ObjectStore>, cursor: u64) -> Result<Option<Self>, Error> {
        let mut listed = store.list_with_offset(Some(&Path::from("log")), &key(cursor));
        let (mut firsts, mut in_order) = (Vec::new(), true);
        while let Some(object) = listed.try_next().await.map_err(Error::Store)? {
            let Some(first) = batch::first(&object.location) else { continue };
            in_order &= firsts.last().is_none_or(|last| *last < first);
            firsts.push(first);
            // In no order, the next ones may be anywhere, as on a local disk.
            if in_order && firsts.len() == NAMES {
                break;
            }
        }
        firsts.sort_unstable();
        firsts.truncate(NAMES);
        if firsts.first() != Some(&cursor.saturating_add(1)) {
            return Ok(None);
        }
        let store = Arc::clone(store);
        let read = move |first| {
            let store = Arc::clone(&store);
            async move { batch_of(&store, first).await }
        };
        Ok(Some(Self(stream::iter(firsts).map(read).buffered(AT_ONCE).boxed())))
    }

    /// The batch that begins with this event, if it comes next.
    pub(crate) async fn next(&mut self, first: u64) -> Result<Option<Stored>, Error> {
        let next = self.0.next().await.transpose()?.flatten();
        Ok(next.filter(|stored| stored.first == first))
    }
}
