//! An event of the tests: who committed it, and its index among that author's events.

use latchwork::sync_state::Event;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    pub client: u32,
    pub number: u64,
    pub local_only: bool,
}

impl Event for Item {
    fn is_local_only(&self) -> bool {
        self.local_only
    }
    fn is_same_as(&self, other: &Self) -> bool {
        self == other
    }
}
