//! A batch as an object: what it is, who has put it, then each event with its length before it.

use latchwork::upstream::BoxError;
use object_store::PutPayload;
use object_store::path::Path;

use crate::error::Error;

/// What an object begins with. Another form has another name.
const FORM: &[u8] = b"latchwork batch 1\n";

/// Tells a push from all others.
pub(crate) type Nonce = [u8; 16];

/// A batch that has been read.
pub(crate) struct Stored {
    /// The number of its first event.
    pub first: u64,
    pub nonce: Nonce,
    /// At least one.
    pub events: Vec<Vec<u8>>,
}

impl Stored {
    /// The number of its last event.
    pub fn last(&self) -> u64 {
        self.first + self.events.len() as u64 - 1
    }
}

/// Where the batch stands that begins with this event.
pub(crate) fn key(first: u64) -> Path {
    Path::from(format!("log/{first:020}"))
}

/// The first event of the batch that stands there. `None` if it is another object.
pub(crate) fn first(key: &Path) -> Option<u64> {
    key.filename()?.parse().ok()
}

pub(crate) fn write(nonce: &Nonce, events: impl Iterator<Item = Vec<u8>>) -> PutPayload {
    let mut bytes = [FORM, nonce].concat();
    for event in events {
        bytes.extend((event.len() as u64).to_be_bytes());
        bytes.extend(event);
    }
    bytes.into()
}

pub(crate) fn read(first: u64, bytes: &[u8]) -> Result<Stored, Error> {
    let read = |bytes: &[u8]| -> Result<Stored, BoxError> {
        let bytes = bytes.strip_prefix(FORM).ok_or("an object of another form")?;
        let (nonce, mut bytes) = bytes.split_first_chunk::<16>().ok_or("an end in its head")?;
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk::<8>().ok_or("an end in a length")?;
            let length = usize::try_from(u64::from_be_bytes(*length))?;
            let (event, rest) = rest.split_at_checked(length).ok_or("an end in an event")?;
            events.push(event.to_vec());
            bytes = rest;
        }
        if events.is_empty() || first.checked_add(events.len() as u64).is_none() {
            return Err("no events that have numbers".into());
        }
        Ok(Stored { first, nonce: *nonce, events })
    };
    read(bytes).map_err(|what| Error::Damaged { key: key(first).to_string(), what })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(payload: &PutPayload) -> Vec<u8> {
        payload.iter().flat_map(|bytes| bytes.to_vec()).collect()
    }

    #[test]
    fn read_gives_back_what_write_was_given() {
        let events = [b"".to_vec(), b"milk".to_vec(), vec![0; 1000]];
        let stored = read(7, &bytes(&write(&[3; 16], events.iter().cloned()))).unwrap();
        assert_eq!((stored.first, stored.last(), stored.nonce), (7, 9, [3; 16]));
        assert_eq!(stored.events, events);
    }

    #[test]
    fn read_refuses_what_was_cut_short_anywhere_but_after_an_event() {
        let written = bytes(&write(&[3; 16], [b"a".to_vec(), b"bc".to_vec()].into_iter()));
        let ends = FORM.len() + 16 + [9, 19].map(|end| end)[0];
        for end in 0..written.len() {
            assert_eq!(read(1, &written[..end]).is_ok(), end == ends, "cut at {end}");
        }
        assert!(read(u64::MAX, &written).is_err(), "it has events without numbers");
    }

    #[test]
    fn keys_sort_as_their_numbers_do() {
        let numbers = [1, 9, 10, 99, 1_000_000, u64::MAX];
        assert!(numbers.map(key).is_sorted());
        assert_eq!(numbers.map(|number| first(&key(number))), numbers.map(Some));
        assert_eq!(first(&Path::from("log/notes")), None);
    }
}
