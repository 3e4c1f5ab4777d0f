//! What can be wrong with a connection or a stream, each a sentence.

use thiserror::Error;

/// Why a stream was not opened, or why a push or a pull has failed.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum Error {
    /// No server can be reached.
    #[error("{url} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the client says.
        why: String,
    },
    /// The server does not let this user in, or not do this.
    #[error("the server refuses: {why}")]
    Refused {
        /// What it says.
        why: String,
    },
    /// The server did not answer, or had no time.
    #[error("{what}: {why}")]
    NoAnswer {
        /// What it was asked.
        what: &'static str,
        /// What came of it.
        why: String,
    },
    /// There is no stream of this name.
    #[error("there is no stream {stream}")]
    NoStream {
        /// Which was looked for.
        stream: String,
    },
    /// There is one, and it is no upstream: its subject is not one that this crate gives.
    #[error("the stream {stream} is no upstream of this crate: its subjects are {subjects:?}")]
    NotAnUpstream {
        /// Which.
        stream: String,
        /// What it takes.
        subjects: Vec<String>,
    },
    /// It is another upstream than the one that the log belongs to.
    #[error("the stream {stream} is another upstream: expected identity {expected}, got {got}")]
    OtherUpstream {
        /// Which.
        stream: String,
        /// The one that the log belongs to.
        expected: String,
        /// Its own.
        got: String,
    },
    /// It has lost events that it had given out.
    #[error("the stream {stream} ends at event {head}, and event {known} had been there")]
    WentBack {
        /// Which.
        stream: String,
        /// Its last event.
        head: u64,
        /// One that a client has.
        known: u64,
    },
    /// It has no events any more that follow the cursor.
    #[error("the stream {stream} begins at event {first}: event {wanted} is gone")]
    Gone {
        /// Which.
        stream: String,
        /// Its first event.
        first: u64,
        /// The one that was to come next.
        wanted: u64,
    },
    /// It has no message any more, and envelopes alone say how many events there were.
    #[error("the stream {stream} has forgotten all its events, and how many there were: event {wanted} may be gone")]
    Forgotten {
        /// Which.
        stream: String,
        /// The event that was to come next.
        wanted: u64,
    },
    /// The server cannot have such a stream.
    #[error("the stream {stream} cannot be made: {why}")]
    NotMade {
        /// Which.
        stream: String,
        /// What the server says.
        why: String,
    },
    /// A message of the stream is none that this crate has written, or its bytes are no event.
    #[error("message {sequence} of the stream {stream} cannot be read: {why}")]
    NoEvent {
        /// Which.
        stream: String,
        /// The message's number in the stream.
        sequence: u64,
        /// What is wrong with it.
        why: String,
    },
}

pub(crate) fn no_answer(what: &'static str, why: impl ToString) -> Error {
    Error::NoAnswer { what, why: why.to_string() }
}
