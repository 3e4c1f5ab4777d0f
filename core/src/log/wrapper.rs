//! A log that wraps another.

use std::num::NonZeroUsize;
use std::ops::Range;

use super::{Log, Merged};

type Event<W> = <<W as Wrapper>::Log as Log>::Event;
type Entry<W> = <<W as Wrapper>::Log as Log>::Entry;
type Position<W> = <<W as Wrapper>::Log as Log>::Position;
type Error<W> = <<W as Wrapper>::Log as Log>::Error;

/// A [`Log`] that wraps another one and says only what is different.
///
/// Every `Wrapper` is a `Log` with the types of the wrapped one. Each method does what it does
/// there, unless it is given here anew. A wrapper that implemented `Log` itself and forgot a method
/// that has a default would compile, and would [confirm wrong numbers](Log::is_local_only) without
/// it.
///
/// [`append`](Self::append) and [`confirm`](Self::confirm) are not forwarded: they are shortcuts
/// past [`admit`](Self::admit) and [`merge`](Self::merge), and a wrapper that does something there
/// would not be asked. By default they do what they abbreviate. A wrapper that has nothing to do
/// there can forward them.
///
/// Where both traits are in scope, a method of a wrapper is called as `Log::head(&wrapper)`.
///
/// ```
/// use latchwork_core::log::{Log, MemoryEntry, MemoryLog, MemoryLogError, Merged, Wrapper};
///
/// /// A log that counts the events of others.
/// struct Counting {
///     log: MemoryLog<&'static str>,
///     others: usize,
/// }
///
/// impl Wrapper for Counting {
///     type Log = MemoryLog<&'static str>;
///
///     fn inner(&self) -> &Self::Log {
///         &self.log
///     }
///     fn inner_mut(&mut self) -> &mut Self::Log {
///         &mut self.log
///     }
///     fn merge(
///         &mut self,
///         page: Vec<MemoryEntry<&'static str>>,
///     ) -> Result<Merged<MemoryEntry<&'static str>>, MemoryLogError> {
///         let all = page.len();
///         let merged = self.log.merge(page)?;
///         self.others += all - merged.confirmed().len();
///         Ok(merged)
///     }
/// }
///
/// let mut log = Counting { log: MemoryLog::new(), others: 0 };
/// Log::append(&mut log, vec!["ours"])?;
/// let page = MemoryLog::new().number(vec!["theirs", "ours"])?;
/// Log::merge(&mut log, page)?;
/// assert_eq!((Log::head(&log), log.others), (2, 1));
/// # Ok::<(), MemoryLogError>(())
/// ```
pub trait Wrapper: Send + 'static {
    /// The log that is wrapped.
    type Log: Log;

    /// The log that is wrapped.
    fn inner(&self) -> &Self::Log;

    /// The log that is wrapped.
    fn inner_mut(&mut self) -> &mut Self::Log;

    /// See [`Log::head`].
    fn head(&self) -> Position<Self> {
        self.inner().head()
    }

    /// See [`Log::upstream_head`].
    fn upstream_head(&self) -> Position<Self> {
        self.inner().upstream_head()
    }

    /// See [`Log::pending`].
    fn pending(&self) -> usize {
        self.inner().pending()
    }

    /// See [`Log::position`].
    fn position(entry: &Entry<Self>) -> Position<Self> {
        Self::Log::position(entry)
    }

    /// See [`Log::is_local_only`].
    fn is_local_only(&self, entry: &Entry<Self>) -> bool {
        self.inner().is_local_only(entry)
    }

    /// See [`Log::number`].
    ///
    /// # Errors
    ///
    /// Those of the wrapped log.
    fn number(&self, events: Vec<Event<Self>>) -> Result<Vec<Entry<Self>>, Error<Self>> {
        self.inner().number(events)
    }

    /// See [`Log::admit`].
    ///
    /// # Errors
    ///
    /// Those of the wrapped log.
    fn admit(&mut self, entries: Vec<Entry<Self>>) -> Result<usize, Error<Self>> {
        self.inner_mut().admit(entries)
    }

    /// See [`Log::append`]: [`number`](Self::number) and [`admit`](Self::admit).
    ///
    /// # Errors
    ///
    /// Those of the wrapped log.
    fn append(&mut self, events: Vec<Event<Self>>) -> Result<usize, Error<Self>> {
        let entries = Wrapper::number(self, events)?;
        Wrapper::admit(self, entries)
    }

    /// See [`Log::batch`].
    fn batch(&self, max: NonZeroUsize) -> Vec<Entry<Self>> {
        self.inner().batch(max)
    }

    /// See [`Log::batch_in`]. This log's own [`batch`](Self::batch), without the room.
    fn batch_in(&self, max: NonZeroUsize, room: Vec<Entry<Self>>) -> Vec<Entry<Self>> {
        drop(room);
        Wrapper::batch(self, max)
    }

    /// See [`Log::merge`].
    ///
    /// # Errors
    ///
    /// Those of the wrapped log.
    fn merge(&mut self, page: Vec<Entry<Self>>) -> Result<Merged<Entry<Self>>, Error<Self>> {
        self.inner_mut().merge(page)
    }

    /// See [`Log::confirm`]: [`merge`](Self::merge).
    ///
    /// # Errors
    ///
    /// Those of the wrapped log.
    fn confirm(&mut self, batch: Vec<Entry<Self>>) -> Result<Merged<Entry<Self>>, Error<Self>> {
        Wrapper::merge(self, batch)
    }

    /// See [`Log::give_up`].
    fn give_up(&mut self, range: Range<usize>) -> Option<Vec<Entry<Self>>> {
        self.inner_mut().give_up(range)
    }

    /// See [`Log::replace`].
    ///
    /// # Errors
    ///
    /// Those of the wrapped log.
    fn replace(&mut self, index: usize, event: Event<Self>) -> Result<Entry<Self>, Event<Self>> {
        self.inner_mut().replace(index, event)
    }

    /// See [`Log::weight`].
    fn weight(entry: &Entry<Self>) -> usize {
        Self::Log::weight(entry)
    }
}

impl<W: Wrapper> Log for W {
    type Event = Event<W>;
    type Entry = Entry<W>;
    type Position = Position<W>;
    type Error = Error<W>;

    fn head(&self) -> Position<W> {
        Wrapper::head(self)
    }

    fn upstream_head(&self) -> Position<W> {
        Wrapper::upstream_head(self)
    }

    fn pending(&self) -> usize {
        Wrapper::pending(self)
    }

    fn position(entry: &Entry<W>) -> Position<W> {
        <W as Wrapper>::position(entry)
    }

    fn is_local_only(&self, entry: &Entry<W>) -> bool {
        Wrapper::is_local_only(self, entry)
    }

    fn number(&self, events: Vec<Event<W>>) -> Result<Vec<Entry<W>>, Error<W>> {
        Wrapper::number(self, events)
    }

    fn admit(&mut self, entries: Vec<Entry<W>>) -> Result<usize, Error<W>> {
        Wrapper::admit(self, entries)
    }

    fn append(&mut self, events: Vec<Event<W>>) -> Result<usize, Error<W>> {
        Wrapper::append(self, events)
    }

    fn batch(&self, max: NonZeroUsize) -> Vec<Entry<W>> {
        Wrapper::batch(self, max)
    }

    fn batch_in(&self, max: NonZeroUsize, room: Vec<Entry<W>>) -> Vec<Entry<W>> {
        Wrapper::batch_in(self, max, room)
    }

    fn merge(&mut self, page: Vec<Entry<W>>) -> Result<Merged<Entry<W>>, Error<W>> {
        Wrapper::merge(self, page)
    }

    fn confirm(&mut self, batch: Vec<Entry<W>>) -> Result<Merged<Entry<W>>, Error<W>> {
        Wrapper::confirm(self, batch)
    }

    fn give_up(&mut self, range: Range<usize>) -> Option<Vec<Entry<W>>> {
        Wrapper::give_up(self, range)
    }

    fn replace(&mut self, index: usize, event: Event<W>) -> Result<Entry<W>, Event<W>> {
        Wrapper::replace(self, index, event)
    }

    fn weight(entry: &Entry<W>) -> usize {
        <W as Wrapper>::weight(entry)
    }
}
