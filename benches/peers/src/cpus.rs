//! Where threads run. Unpinned, the same code flips between placements that differ by a factor of thirty.

use core_affinity::CoreId;
use serde::Serialize;

/// The two processors that are measured on.
#[derive(Debug, Clone, Copy)]
pub struct Cpus {
    first: CoreId,
    second: Option<CoreId>,
}

/// Where two threads run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Placement {
    OneCpu,
    TwoCpus,
}

impl Placement {
    pub fn text(self) -> &'static str {
        match self {
            Self::OneCpu => "one CPU",
            Self::TwoCpus => "two CPUs",
        }
    }
}

/// The first and the second of two threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Here,
    There,
}

impl Cpus {
    pub fn of_this_machine() -> Self {
        let cpus = core_affinity::get_core_ids().unwrap_or_default();
        let mut cpus = cpus.into_iter();
        let first = cpus.next().expect("there is a processor that can be pinned to");
        Self { first, second: cpus.next() }
    }

    /// The placements that this machine has.
    pub fn placements(self) -> impl Iterator<Item = Placement> {
        [Placement::OneCpu, Placement::TwoCpus].into_iter().take(1 + usize::from(self.second.is_some()))
    }

    /// Pins the calling thread, and whatever it starts from now on.
    pub fn pin(self, side: Side, placement: Placement) {
        let cpu = match (side, placement) {
            (Side::There, Placement::TwoCpus) => self.second.expect("the placement is one that this machine has"),
            _ => self.first,
        };
        assert!(core_affinity::set_for_current(cpu), "expected to be able to pin a thread");
    }

    /// Does something that starts threads, which stay on the other side.
    pub fn there<T>(self, placement: Placement, start: impl FnOnce() -> T) -> T {
        self.pin(Side::There, placement);
        let started = start();
        self.pin(Side::Here, placement);
        started
    }
}
