//! The laws of codecs.

use std::fmt::Debug;

use super::Contract;
use super::broken::{Broken, Verdict};
use super::place::same;
use crate::log::{Codec, Log};

/// How many events are written down.
const EVENTS: u64 = 300;

/// Runs all of them.
pub(super) fn laws<L: Log<Entry: PartialEq + Debug>>(contract: &Contract<L>, codec: &impl Codec<L>) -> Broken {
    let mut broken = Broken::default();
    broken.judge_call("a codec numbers events from 1, and leaves none out", || numbers(contract, codec));
    broken.judge_call("an event is read back as it was written", || reads_back(contract, codec));
    broken
}

/// The events that an empty log sends.
fn entries<L: Log>(contract: &Contract<L>) -> Result<Vec<L::Entry>, String> {
    let events = (1..=EVENTS).map(&contract.event).collect();
    (contract.log)().number(events).map_err(|error| error.to_string())
}

fn numbers<L: Log>(contract: &Contract<L>, codec: &impl Codec<L>) -> Verdict {
    let start = (contract.log)().upstream_head();
    let positions = std::iter::once(start).chain(entries(contract)?.into_iter().map(|entry| L::position(&entry)));
    for (number, position) in (0..).zip(positions) {
        let got = codec.number(position);
        if got != number {
            return Err(format!("expected position {position:?} to have number {number}, got {got}"));
        }
        let got = codec.position(number);
        if got != position {
            return Err(format!("expected number {number} to have position {position:?}, got {got:?}"));
        }
    }
    Ok(())
}

fn reads_back<L: Log<Entry: PartialEq + Debug>>(contract: &Contract<L>, codec: &impl Codec<L>) -> Verdict {
    let written = entries(contract)?;
    let read = |entry| {
        let position = L::position(entry);
        let read = codec.entry_from_bytes(position, &codec.entry_to_bytes(entry));
        read.map_err(|error| format!("expected the event at {position:?} to be read, got the error: {error}"))
    };
    same(&written.iter().map(read).collect::<Result<Vec<_>, _>>()?, &written)
}
