//! Codecs that each break a law, which is named.

use latchwork::contract::Contract;
use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::upstream::{BoxError, Codec};

/// What is wrong.
#[derive(Clone, Copy, Debug)]
enum Twin {
    None,
    CountsFromZero,
    LeavesOneOut,
    FindsTheNext,
    WritesByte,
    ForgetsPosition,
    RefusesItsOwn,
    Panics,
}

impl Codec<MemoryLog<u64>> for Twin {
    fn number(&self, position: u64) -> u64 {
        match self {
            Self::CountsFromZero => position.saturating_sub(1),
            Self::LeavesOneOut if position > 200 => position + 1,
            _ => position,
        }
    }

    fn position(&self, number: u64) -> u64 {
        match self {
            Self::CountsFromZero | Self::FindsTheNext => number + 1,
            Self::LeavesOneOut if number > 200 => number - 1,
            _ => number,
        }
    }

    fn entry_to_bytes(&self, entry: &MemoryEntry<u64>) -> Vec<u8> {
        match self {
            Self::WritesByte => u64::from(entry.event as u8).to_be_bytes().to_vec(),
            Self::Panics if entry.event == 77 => panic!("77"),
            _ => entry.event.to_be_bytes().to_vec(),
        }
    }

    fn entry_from_bytes(&self, position: u64, bytes: &[u8]) -> Result<MemoryEntry<u64>, BoxError> {
        match self {
            Self::ForgetsPosition => Ok(MemoryEntry { position: 0, event: u64::from_be_bytes(bytes.try_into()?) }),
            Self::RefusesItsOwn => Err("no event".into()),
            _ => Ok(MemoryEntry { position, event: u64::from_be_bytes(bytes.try_into()?) }),
        }
    }
}

const NUMBERS: &str = "a codec numbers events from 1, and leaves none out";
const READS: &str = "an event is read back as it was written";

/// Each with the laws that it breaks.
const BROKEN: &[(Twin, &[&str])] = &[
    (Twin::None, &[]),
    (Twin::CountsFromZero, &[NUMBERS]),
    (Twin::LeavesOneOut, &[NUMBERS]),
    (Twin::FindsTheNext, &[NUMBERS]),
    (Twin::WritesByte, &[READS]),
    (Twin::ForgetsPosition, &[READS]),
    (Twin::RefusesItsOwn, &[READS]),
    (Twin::Panics, &[READS]),
];

pub fn laws() -> Vec<&'static str> {
    BROKEN.iter().flat_map(|(_, laws)| *laws).copied().collect()
}

#[test]
fn codec_names_the_law_that_is_broken() {
    for (twin, laws) in BROKEN {
        let broken = Contract::new(MemoryLog::rebasing, |number| number).codec(twin).err().unwrap_or_default();
        println!("{twin:?}: {broken}\n");
        assert_eq!(broken.laws().collect::<Vec<_>>(), *laws, "{twin:?}");
    }
}
