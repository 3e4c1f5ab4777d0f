//! How events stand in messages.

use bytes::Bytes;

use crate::error::Error;

/// The first word of each subject.
const PREFIX: &str = "latchwork";

/// The first version whose batches are atomic.
const ATOMIC_SINCE: (u64, u64) = (2, 12);

/// More than what stands in a message beside its payload.
pub(crate) const HEADERS: usize = 512;

/// How a stream keeps events. It is decided when the stream is made, and stands in the stream's subject, so that all clients
/// do the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// An event is a message, and a push an atomic batch of them. It takes a server of version 2.12 or newer. An event's number
    /// is its message's.
    Batches,
    /// All events of a push are one message: for older servers. A push may have no more than fits into a message.
    Envelopes,
}

impl Form {
    const fn word(self) -> &'static str {
        match self {
            Self::Batches => "batches",
            Self::Envelopes => "envelopes",
        }
    }

    /// The subject of the stream with this identity.
    pub(crate) fn subject(self, identity: &str) -> String {
        format!("{PREFIX}.{}.{identity}", self.word())
    }
}

/// The form and the identity of a stream with these subjects.
pub(crate) fn of_stream<'a>(name: &str, subjects: &'a [String]) -> Result<(Form, &'a str), Error> {
    let parts = match subjects {
        [subject] => subject.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('.')?.split_once('.')),
        _ => None,
    };
    let form = |(word, identity)| {
        let form = [Form::Batches, Form::Envelopes].into_iter().find(|form| form.word() == word)?;
        Some((form, identity))
    };
    parts.and_then(form).ok_or_else(|| Error::NotAnUpstream { stream: name.to_owned(), subjects: subjects.to_owned() })
}

/// What a server of this version can have.
pub(crate) fn best(version: &str) -> Form {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= ATOMIC_SINCE { Form::Batches } else { Form::Envelopes }
}

/// The events of one push in one message: the number of the first, then each with its length before it. Numbers are big-endian.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) first: u64,
    pub(crate) events: Vec<Bytes>,
}

impl Envelope {
    pub(crate) fn close(&self) -> Vec<u8> {
        let size = self.events.iter().map(|event| 4 + event.len()).sum::<usize>();
        let mut bytes = Vec::with_capacity(8 + size);
        bytes.extend(self.first.to_be_bytes());
        for event in &self.events {
            // One that is longer fits into no message.
            bytes.extend((event.len() as u32).to_be_bytes());
            bytes.extend(event);
        }
        bytes
    }

    pub(crate) fn open(mut bytes: Bytes) -> Result<Self, &'static str> {
        fn take<const N: usize>(bytes: &mut Bytes) -> Result<[u8; N], &'static str> {
            if bytes.len() < N {
                return Err("it ends early");
            }
            Ok(bytes.split_to(N).as_ref().try_into().expect("it has this length"))
        }
        let first = u64::from_be_bytes(take(&mut bytes)?);
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let length = u32::from_be_bytes(take(&mut bytes)?) as usize;
            if bytes.len() < length {
                return Err("an event ends early");
            }
            events.push(bytes.split_to(length));
        }
        if first == 0 || events.is_empty() {
            return Err("it has no events");
        }
        Ok(Self { first, events })
    }

    /// The number of its last event.
    pub(crate) fn last(&self) -> u64 {
        self.first + self.events.len() as u64 - 1
    }
}

#[cfg(test)]
mod tests {
    use super::{Envelope, Form, best, of_stream};

    #[test]
    fn an_envelope_that_was_closed_opens_to_the_same_and_one_that_is_cut_does_not() {
        let envelope = Envelope { first: 7, events: vec!["milk".into(), "".into(), "bread".into()] };
        let bytes = envelope.close();
        let opened = Envelope::open(bytes.clone().into()).unwrap();
        assert_eq!((opened.first, opened.last(), &opened.events), (7, 9, &envelope.events));
        let whole = [8, 16, 20, 29];
        for end in (0..bytes.len()).filter(|end| !whole.contains(end)) {
            assert!(Envelope::open(bytes[..end].to_vec().into()).is_err(), "{end}");
        }
        assert!(Envelope::open(bytes[..8].to_vec().into()).is_err());
    }

    #[test]
    fn of_stream_reads_what_subject_wrote_and_nothing_else() {
        for form in [Form::Batches, Form::Envelopes] {
            let subjects = [form.subject("xyz")];
            assert_eq!(of_stream("todos", &subjects).unwrap(), (form, "xyz"));
        }
        for wrong in
            [&["todos"][..], &[], &["latchwork.batches"], &["latchwork.other.xyz"], &["latchwork.batches.x", "y"]]
        {
            let subjects: Vec<_> = wrong.iter().map(|subject| (*subject).to_owned()).collect();
            assert!(of_stream("todos", &subjects).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn best_has_batches_from_2_12_on() {
        let forms = ["2.9.10", "2.11.9", "2.12.0", "2.15.1", "3.0.0", "?"].map(best);
        use Form::{Batches, Envelopes};
        assert_eq!(forms, [Envelopes, Envelopes, Batches, Batches, Batches, Envelopes]);
    }
}
