//! The number of an event.
//!
//! A number says where an event stands (its [`Position`]: global, then client) and how often the
//! chain that it belongs to has been rebased (its generation). Two comparisons are needed and they
//! are not the same: *is it the same number* looks at all three parts, *is it later* at the
//! position only. So [`SeqNum`] has equality and no order; the order belongs to [`Position`], where
//! the two agree. `a < b` on numbers does not compile rather than compare a generation by mistake.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// The number of an event: `e3.2r1` is global 3, client 2, rebase generation 1.
///
/// Sent events count up `global` and have client 0; local-only events count up `client` behind the sent event that
/// they follow. A rebase moves events to new numbers of the next generation.
///
/// Equality compares all three parts. For the order, which does not look at the generation, use
/// [`position`](Self::position) or [`is_after`](Self::is_after).
///
/// ```
/// use latchwork_core::sync_state::SeqNum;
///
/// let number: SeqNum = "e3.2r1".parse()?;
/// assert_eq!(number, SeqNum::new(3, 2, 1));
/// assert_eq!(SeqNum::new(4, 0, 0).to_string(), "e4");
///
/// let rebased = SeqNum::new(3, 2, 2);
/// assert_ne!(number, rebased);
/// assert_eq!(number.position(), rebased.position());
/// # Ok::<(), latchwork_core::sync_state::ParseSeqNumError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeqNum {
    /// Counts the sent events of all clients.
    pub global: u64,
    /// Counts the local-only events that follow a sent one; 0 for the sent one.
    pub client: u32,
    /// How often the chain has been rebased. It does not count in the order.
    pub generation: u32,
}

/// Where a number stands in the order: by global, then by client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Counts the sent events of all clients.
    pub global: u64,
    /// Counts the local-only events that follow a sent one; 0 for the sent one.
    pub client: u32,
}

impl SeqNum {
    /// `e0`: what stands before the first event.
    pub const ROOT: Self = Self::new(0, 0, 0);

    /// The number with these parts.
    pub const fn new(global: u64, client: u32, generation: u32) -> Self {
        Self { global, client, generation }
    }

    /// Where it stands in the order: the number without its generation.
    pub const fn position(self) -> Position {
        Position { global: self.global, client: self.client }
    }

    /// Whether it stands later than `other`; the generation does not count.
    pub fn is_after(self, other: Self) -> bool {
        self.position() > other.position()
    }

    /// The number of a sent event that follows: `e4r1` after `e3.2r1`.
    ///
    /// `None` after the last global.
    #[must_use]
    pub fn next_sent(self) -> Option<Self> {
        let global = self.global.checked_add(1);
        global.map(|global| Self::new(global, 0, self.generation))
    }

    /// The number of a local-only event that follows: `e3.3r1` after `e3.2r1`.
    ///
    /// `None` after the last client.
    #[must_use]
    pub fn next_local_only(self) -> Option<Self> {
        let client = self.client.checked_add(1);
        client.map(|client| Self::new(self.global, client, self.generation))
    }

    /// The generation of what is rebased on top of this number.
    pub(super) fn next_generation(self) -> Result<u32, Exhausted> {
        let generation = self.generation.checked_add(1);
        generation.ok_or_else(|| self.exhausted(Part::Generation))
    }

    /// The number of the event that follows.
    pub(super) fn next(self, local_only: bool) -> Result<Self, Exhausted> {
        let (next, part) =
            if local_only { (self.next_local_only(), Part::Client) } else { (self.next_sent(), Part::Global) };
        next.ok_or_else(|| self.exhausted(part))
    }

    /// What the event that follows names as its parent: a sent event skips the local-only ones before it, for
    /// upstream has never seen them.
    pub(super) const fn parent_of_next(self, local_only: bool) -> Self {
        if local_only { self } else { Self::new(self.global, 0, self.generation) }
    }

    pub(super) const fn exhausted(self, part: Part) -> Exhausted {
        Exhausted { after: self, part }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.global)?;
        if self.client != 0 {
            write!(f, ".{}", self.client)?;
        }
        Ok(())
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.position().fmt(f)?;
        if self.generation != 0 {
            write!(f, "r{}", self.generation)?;
        }
        Ok(())
    }
}

impl FromStr for SeqNum {
    type Err = ParseSeqNumError;

    /// Reads `e3.2r1`. The parts `.0` and `r0` may be left out or given; nothing but digits counts as a number.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || ParseSeqNumError::Form { text: text.into() };
        let rest = text.strip_prefix('e').ok_or_else(form)?;
        let (rest, generation) = match rest.split_once('r') {
            Some((rest, generation)) => (rest, generation),
            None => (rest, "0"),
        };
        let (global, client) = rest.split_once('.').unwrap_or((rest, "0"));
        Ok(Self {
            global: part(text, Part::Global, global)?,
            client: part(text, Part::Client, client)?,
            generation: part(text, Part::Generation, generation)?,
        })
    }
}

fn part<T>(text: &str, part: Part, digits: &str) -> Result<T, ParseSeqNumError>
where
    T: FromStr<Err = ParseIntError>,
{
    // `parse` would take a sign.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseSeqNumError::Form { text: text.into() });
    }
    digits.parse().map_err(|_| ParseSeqNumError::TooLarge { text: text.into(), part: part.name(), most: part.most() })
}

/// A part of a number, each with an end of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Global,
    Client,
    Generation,
}

impl Part {
    pub(super) const fn most(self) -> u64 {
        match self {
            Self::Global => u64::MAX,
            Self::Client | Self::Generation => u32::MAX as u64,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Client => "client",
            Self::Generation => "generation",
        }
    }
}

/// The text is not the number of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseSeqNumError {
    /// It does not look like one.
    #[error("expected a sequence number such as e3, e3.2 or e3.2r1, got {text:?}")]
    Form {
        /// What came.
        text: Box<str>,
    },
    /// It looks like one, but a part does not fit.
    #[error("expected a {part} of at most {most}, got {text:?}")]
    TooLarge {
        /// What came.
        text: Box<str>,
        /// The part that does not fit: global, client or generation.
        part: &'static str,
        /// The most that it can be.
        most: u64,
    },
}

/// The numbers have run out: no event can follow. Small, as each number that is counted may come to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted {
    pub(super) after: SeqNum,
    pub(super) part: Part,
}
