//! What an error means for a push or a pull.
//!
//! # When a push is undone for certain
//!
//! A push is one statement, which is its own transaction. PostgreSQL commits it when it has answered the statement and reads
//! the message behind it, and says so then: what comes before that is no answer, and [`tokio_postgres`] waits for it. An error
//! of the severity `ERROR` has undone the transaction, also one that comes as it commits. After a `FATAL` one the server ends the
//! connection, and the same words come whether it was before the commit or after it; so do the words of a connection that is
//! gone. So the severity decides whether a push is uncertain, and the code of an `ERROR` what is to be done about it.

use std::error::Error as _;
use std::io;

use latchwork::upstream::{FatalKind, PullError, PushError, SharedError};
use tokio_postgres::error::{DbError, Severity};

use crate::Error;

/// What is to be done about an error that has changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// To try again.
    Again,
    /// To send less at once.
    Less,
    /// To leave one event out.
    Without,
    /// Nothing.
    None(FatalKind),
}

/// By the class of a SQLSTATE, its first two letters, and where that is too wide by all five.
fn of_code(code: &str) -> Remedy {
    match (code.get(..2).unwrap_or_default(), code) {
        // A check of one's own, and a trigger that raises an exception.
        (_, "23514" | "P0001") => Remedy::Without,
        // A statement that was prepared for tables that were changed, or that a pooler does not know: it is prepared anew.
        (_, "0A000" | "26000") => Remedy::Again,
        // Connection; a standby, or a transaction that is to be over; conflict; resources; a lock; the operator; the system.
        ("08" | "25" | "40" | "53" | "55" | "57" | "58", _) => Remedy::Again,
        // A limit of the program.
        ("54", _) => Remedy::Less,
        // What nothing but another configuration helps with: no such table, no permission, a wrong password, corrupt data.
        _ => Remedy::None(FatalKind::Other),
    }
}

fn remedy(error: &Error) -> Remedy {
    match error {
        Error::OtherLog { .. } => Remedy::None(FatalKind::IdentityMismatch),
        Error::WentBack { .. } => Remedy::None(FatalKind::WentBack),
        Error::Deposed { .. } | Error::TimedOut { .. } | Error::Closed { .. } => Remedy::Again,
        Error::TooLarge { .. } => Remedy::Less,
        Error::Postgres { error } => match error.as_db_error() {
            Some(error) => of_code(error.code().code()),
            None if error.is_closed() || is_io(error) => Remedy::Again,
            // The client's own: a configuration without a password, a certificate that is not trusted.
            None => Remedy::None(FatalKind::Other),
        },
        Error::NoLog { .. }
        | Error::Newer { .. }
        | Error::Older { .. }
        | Error::NoNumber { .. }
        | Error::OutOfOrder { .. }
        | Error::Codec { .. } => Remedy::None(FatalKind::Other),
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<io::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Of a push of so many events that has certainly not been taken.
pub(crate) fn not_taken<P>(error: Error, events: usize) -> PushError<P> {
    let remedy = remedy(&error);
    let error = SharedError::from(error);
    match remedy {
        Remedy::Again => PushError::Unavailable { retry_after: None, error },
        Remedy::Without if events == 1 => PushError::Rejected { index: 0, error },
        // Which one it is, is found by halving.
        Remedy::Less | Remedy::Without => PushError::TooLarge { error },
        Remedy::None(kind) => PushError::Fatal { kind, error },
    }
}

/// Of a push of so many events that has been sent.
pub(crate) fn of_push<P>(error: Error, events: usize) -> PushError<P> {
    if error.of_server().is_some_and(|error| !ends_session(error)) {
        return not_taken(error, events);
    }
    PushError::Uncertain { error: error.into() }
}

/// Of a pull.
pub(crate) fn of_pull(error: Error) -> PullError {
    let remedy = remedy(&error);
    let error = SharedError::from(error);
    match remedy {
        Remedy::Again => PullError::Unavailable { retry_after: None, error },
        Remedy::None(kind) => PullError::Fatal { kind, error },
        Remedy::Less | Remedy::Without => PullError::Fatal { kind: FatalKind::Other, error },
    }
}

/// Whether the server ends the connection with these words.
fn ends_session(error: &DbError) -> bool {
    error.parsed_severity() != Some(Severity::Error)
}

/// Whether another connection may find it better, and this one will not: it has ended, or its server ends it, which is what the
/// severity says; it is to a server that has become a standby, or its statements are not known any more.
pub(crate) fn is_of_session(error: &Error) -> bool {
    if matches!(error, Error::Closed { .. }) {
        return true;
    }
    error
        .of_server()
        .is_some_and(|error| ends_session(error) || ["25006", "0A000", "26000"].contains(&error.code().code()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_pull_is_fatal_where_a_push_would_send_less() {
        let pulled = of_pull(Error::TooLarge { bytes: 2, limit: 1 });
        assert!(matches!(pulled, PullError::Fatal { kind: FatalKind::Other, .. }), "{pulled}");
    }

    #[test]
    fn of_code_says_of_each_code_what_the_table_says() {
        for code in ["08006", "25006", "40001", "40P01", "53100", "53300", "55P03", "57014", "57P03", "58030", "26000"]
        {
            assert_eq!(of_code(code), Remedy::Again, "{code}");
        }
        for code in ["42P01", "42501", "28P01", "28000", "3D000", "3F000", "23505", "22P02", "XX001", "0L000", "ab"] {
            assert_eq!(of_code(code), Remedy::None(FatalKind::Other), "{code}");
        }
        assert_eq!(of_code("54000"), Remedy::Less);
        assert_eq!([of_code("23514"), of_code("P0001")], [Remedy::Without; 2]);
    }
}
