//! How a log's events are numbered and written down, for an upstream that knows nothing of the log.

use std::error::Error;

use crate::log::Log;

/// Any error, as those return it who know what it is.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// How a log's events become numbers and bytes, which is what a server, a database or an object store keeps: upstreams on those
/// take one, so that an application says this once for all of them.
///
/// To an upstream an event is bytes with a number. It counts the events that it has taken from 1, without a gap, and 0 stands for
/// the place before the first one. To a [`Log`] an event is an [entry](Log::Entry) with a [position](Log::Position), and what
/// upstream takes has positions of the log's own making. A codec says which number a position is, and what is written of an entry.
///
/// # Contract
///
/// - Numbers and positions are in the same order, and each is the other's: `number(position(n))` is `n`. The position before the
///   first event, which is an empty log's [`upstream_head`](Log::upstream_head), is 0, and the events that a log has sent are 1, 2, 3
///   and so on. [Local-only](Log::is_local_only) events never come here.
/// - What is read back from an entry's bytes is the entry, to every client and every later version of the application: the log
///   must take it for [its own event](crate::sync_state::Event::is_same_as), and the application for the same change. The position
///   need not be among the bytes: it is known from where they stand.
/// - No method panics. A panic in a push or a pull is taken for a fatal error.
///
/// `Contract::codec`, with the feature `contract`, tries the first two.
///
/// ```
/// use latchwork_core::log::{BoxError, Codec, MemoryEntry, MemoryLog};
///
/// /// Todos as text.
/// struct Text;
///
/// impl Codec<MemoryLog<String>> for Text {
///     fn number(&self, position: u64) -> u64 {
///         position
///     }
///     fn position(&self, number: u64) -> u64 {
///         number
///     }
///     fn entry_to_bytes(&self, entry: &MemoryEntry<String>) -> Vec<u8> {
///         entry.event.clone().into_bytes()
///     }
///     fn entry_from_bytes(&self, position: u64, bytes: &[u8]) -> Result<MemoryEntry<String>, BoxError> {
///         Ok(MemoryEntry { position, event: std::str::from_utf8(bytes)?.to_owned() })
///     }
/// }
/// ```
pub trait Codec<L: Log>: Send + Sync + 'static {
    /// The number of the event at this position; 0 for the position before the first event.
    fn number(&self, position: L::Position) -> u64;

    /// The position of the event with this number; for 0 the position before the first event.
    fn position(&self, number: u64) -> L::Position;

    /// What is written of an event.
    fn entry_to_bytes(&self, entry: &L::Entry) -> Vec<u8>;

    /// The event that these bytes are, at this position.
    ///
    /// # Errors
    ///
    /// If they are no event, as of another application, or of a version of this one that is not known here. The pull that was to
    /// give it out fails, which is [fatal](crate::protocol::PullError::Fatal): the owner decides.
    fn entry_from_bytes(&self, position: L::Position, bytes: &[u8]) -> Result<L::Entry, BoxError>;
}
