//! What an answer says of a push: the crate's table, as a function.

use async_nats::client::{PublishErrorKind, RequestErrorKind};
use async_nats::jetstream;
use latchwork::SharedError;
use latchwork::upstream::{FatalKind, PullError, PushError};

use crate::error::Error;

/// What a server's error says of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The stream's last message is another, this one if it was told.
    WrongLast(Option<u64>),
    TooLarge,
    /// It was not taken, and may be another time.
    NotNow,
    /// It was not taken, and never will be.
    Never,
    Unknown,
}

/// What this error of the server says.
pub(crate) fn of_error(error: &jetstream::Error) -> Answer {
    match error.error_code().0 {
        // `wrong last sequence: 7`; another code for the same, without the number, while another message is on its way.
        10071 | 10164 => Answer::WrongLast(last_sequence(&error.to_string())),
        // A message, its headers, or a batch with too many of them.
        10054 | 10097 | 10199 => Answer::TooLarge,
        // A message of the batch was lost, or too many batches are going on.
        10176 | 10208 | 10210 | 10211 => Answer::NotNow,
        // It could not be stored. In a cluster others may have stored it.
        10077 => Answer::Unknown,
        // No batches here, a header that is not allowed, an identifier that is not one.
        10174 | 10175 | 10177 | 10179 | 10200 | 10201 => Answer::Never,
        _ => match error.code() {
            // It says so before it does anything: no leader, no quorum, no resources.
            503 => Answer::NotNow,
            400..=499 => Answer::Never,
            _ => Answer::Unknown,
        },
    }
}

/// The number that stands behind `sequence: `.
fn last_sequence(text: &str) -> Option<u64> {
    let (_, rest) = text.split_once("sequence: ")?;
    let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// What is known of a push whose last message was handed to the client and brought this.
pub(crate) fn of_request<P>(kind: RequestErrorKind, error: SharedError) -> PushError<P> {
    match kind {
        // Nothing listens to the subject.
        RequestErrorKind::NoResponders => unavailable(error),
        RequestErrorKind::InvalidSubject => PushError::Fatal { kind: FatalKind::Other, error },
        RequestErrorKind::MaxPayloadExceeded => PushError::TooLarge { error },
        RequestErrorKind::TimedOut | RequestErrorKind::Other => PushError::Uncertain { error },
    }
}

/// What is known of a push whose last message was not handed to the client.
pub(crate) fn of_publish<P>(kind: PublishErrorKind, error: SharedError) -> PushError<P> {
    match kind {
        PublishErrorKind::MaxPayloadExceeded => PushError::TooLarge { error },
        PublishErrorKind::InvalidSubject => PushError::Fatal { kind: FatalKind::Other, error },
        PublishErrorKind::Send => unavailable(error),
    }
}

pub(crate) fn unavailable<P>(error: SharedError) -> PushError<P> {
    PushError::Unavailable { retry_after: None, error }
}

pub(crate) fn is_fatal(error: &Error) -> bool {
    fatal(error).is_some()
}

/// Whether trying again cannot help, and why.
fn fatal(error: &Error) -> Option<FatalKind> {
    Some(match error {
        Error::Unreachable { .. } | Error::NoAnswer { .. } => return None,
        Error::OtherUpstream { .. } | Error::NotAnUpstream { .. } => FatalKind::IdentityMismatch,
        Error::WentBack { .. } => FatalKind::WentBack,
        Error::Gone { .. } | Error::Forgotten { .. } => FatalKind::CursorTooOld,
        Error::Refused { .. } | Error::NoStream { .. } | Error::NotMade { .. } | Error::NoEvent { .. } => {
            FatalKind::Other
        }
    })
}

/// What an error comes to that was found before anything was sent, or once it is known that nothing was taken.
pub(crate) fn of_push<P>(error: Error) -> PushError<P> {
    match fatal(&error) {
        Some(kind) => PushError::Fatal { kind, error: error.into() },
        None => unavailable(error.into()),
    }
}

pub(crate) fn of_pull(error: Error) -> PullError {
    match fatal(&error) {
        Some(kind) => PullError::Fatal { kind, error: error.into() },
        None => PullError::Unavailable { retry_after: None, error: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, of_error};

    #[test]
    fn of_error_keeps_to_the_table() {
        let answer = |code: u64, number: u64, text: &str| {
            let error = serde_json::json!({ "code": code, "err_code": number, "description": text });
            of_error(&serde_json::from_value(error).unwrap())
        };
        assert_eq!(answer(400, 10071, "wrong last sequence: 47"), Answer::WrongLast(Some(47)));
        assert_eq!(answer(400, 10164, "wrong last sequence"), Answer::WrongLast(None));
        assert_eq!(answer(400, 10054, "message size exceeds maximum allowed"), Answer::TooLarge);
        assert_eq!(answer(400, 10199, "atomic publish batch is too large: 1000"), Answer::TooLarge);
        assert_eq!(answer(400, 10176, "atomic publish batch is incomplete"), Answer::NotNow);
        assert_eq!(answer(429, 10210, "atomic publish too many inflight"), Answer::NotNow);
        assert_eq!(answer(503, 10008, "JetStream system temporarily unavailable"), Answer::NotNow);
        assert_eq!(answer(503, 10077, "maximum bytes exceeded"), Answer::Unknown);
        assert_eq!(answer(400, 10174, "atomic publish is disabled"), Answer::Never);
        assert_eq!(answer(400, 10060, "expected stream does not match"), Answer::Never);
        assert_eq!(answer(500, 10049, "a fault of the server"), Answer::Unknown);
    }
}
