//! What must hold, each law under the number of its invariant.
//!
//! Some laws are about a **step**: the step notes a breach in the state that it leads to. The others are about a
//! **state** and are looked up in it. For the checker all are always-properties.

use std::sync::atomic::Ordering;

use latchwork::log::Log;
use latchwork::protocol::{Direction, Pull, Push, Time, WaitingOn};
use stateright::Property;

use super::client::{Client, Step, confirmed_of};
use super::model::{Event, Search, State};

macro_rules! laws {
    ($($law:ident = $name:literal,)*) => {
        /// A law.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Law {
            $($law,)*
        }

        impl Law {
            pub const ALL: &'static [Self] = &[$(Self::$law,)*];

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$law => $name,)*
                }
            }

            fn property(self) -> Property<Search> {
                match self {
                    $(Self::$law => Property::always($name, |search, state| {
                        Self::$law.holds(search, state) || search.reported.swap(true, Ordering::Relaxed)
                    }),)*
                }
            }
        }
    };
}

laws! {
    Drains = "I1: when nobody has a step left, nothing is pending and everybody has what upstream has",
    Named = "I1: whoever is waited on can move",
    SameEpoch = "I2: a push that is behind waits only if nothing has happened since it was sent",
    CatchUpOwed = "I3: a push that is behind or uncertain has a catch-up under way, owed, or due by a timer",
    NothingSwallowed = "I4: whoever was told to wait is told so again while nothing happens",
    OnlyAcknowledged = "I5: only what upstream has is confirmed, and nothing is in it twice",
    RetryLeadsToAttempt = "I6: the end of a backoff leads to an attempt",
    PageIsApplied = "I7: a page is applied, or its pull is over and another one begins",
    SettlesOnce = "I8: every event committed is confirmed once, in its order, or still pending",
    CommitNeverWaits = "I10: a commit is admitted at any time",
    SendsPending = "I11: what is sent is the first that is pending, as it follows the cursor",
    StaleChangesNothing = "I12: an outcome of an earlier push or pull changes nothing",
    OnlyTheLostAreInterrupted = "I13: a push is interrupted only if it can no longer be taken",
    PrefixIsResolved = "I14: nothing is sent past a push whose outcome is unknown",
    FenceIsAwaited = "I14: every fence names something that is still to come",
    CursorIsApplied = "I15: the cursor is what has been applied, and that is what upstream has",
    FailsOnlyWhenTold = "I16: nobody fails or stops unless upstream or the owner said so",
}

impl Law {
    pub fn properties() -> Vec<Property<Search>> {
        Self::ALL.iter().map(|law| law.property()).collect()
    }

    fn holds(self, search: &Search, state: &State) -> bool {
        if !search.config.asks(self) {
            return true;
        }
        if state.broken.contains(self) {
            return false;
        }
        match self {
            Self::Drains => drains(search, state),
            Self::Named => state.clients.iter().all(|client| names_who_can_move(search, state, client)),
            Self::CatchUpOwed => state.clients.iter().all(owes_catch_up),
            Self::FenceIsAwaited => state.clients.iter().all(|client| fence_is_awaited(client, &state.upstream)),
            _ => true,
        }
    }
}

/// The laws that steps have broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Broken(u32);

impl Broken {
    pub fn contains(self, law: Law) -> bool {
        self.0 >> law as u8 & 1 == 1
    }

    /// Notes a breach of `law` unless it held.
    pub fn unless(&mut self, holds: bool, law: Law) {
        if !holds {
            self.0 |= 1 << law as u8;
        }
    }
}

fn drains(search: &Search, state: &State) -> bool {
    let mut steps = Vec::new();
    state.clients.iter().for_each(|client| client.steps(&search.config, &state.upstream, &mut steps));
    if !steps.is_empty() {
        return true;
    }
    state.clients.iter().filter(|client| !client.protocol.is_stopped()).all(|client| {
        let drained = client.pending() == 0 && confirmed_of(client.id, &state.upstream) == client.committed;
        // A pull that has lost an echo will not show it, and nobody who has nothing pending asks for another one.
        let excused = !search.config.live || client.pull.as_ref().is_some_and(|pull| pull.lost);
        drained && (excused || client.cursor() == state.upstream.len())
    })
}

fn names_who_can_move(search: &Search, state: &State, client: &Client) -> bool {
    let mut steps = Vec::new();
    client.steps(&search.config, &state.upstream, &mut steps);
    let can = |wanted: &[Step]| steps.iter().any(|step| wanted.contains(step));
    match client.protocol.waiting_on() {
        WaitingOn::Nobody => client.pending() == 0,
        WaitingOn::Pusher => can(&[Step::Send]),
        WaitingOn::Puller => can(&[Step::BeginPull]),
        WaitingOn::Upstream(Direction::Push) => can(&[Step::Arrive, Step::Answer]),
        WaitingOn::Upstream(Direction::Pull) => can(&[Step::MakePage, Step::Page, Step::EndPull]),
        WaitingOn::Clock(_) | WaitingOn::Connectivity(_) => can(&[Step::PushTimer, Step::PullTimer]),
        WaitingOn::Gate(direction) => can(&[Step::Resume(direction)]),
        // A failure is still told after a stop; what the owner can do then is to start anew.
        WaitingOn::Owner(_) => can(&[Step::OwnerRestarts]) || client.protocol.is_stopped(),
        WaitingOn::Stopped => client.protocol.is_stopped(),
    }
}

fn owes_catch_up(client: &Client) -> bool {
    let protocol = &client.protocol;
    let pull = match *protocol.push() {
        // A timer that never comes is none.
        Push::Behind { until: Some(until), .. } => return until < Time::MAX,
        Push::Behind { until: None, pull, .. } | Push::Uncertain { pull, .. } => pull,
        _ => return true,
    };
    match *protocol.pull() {
        Pull::Pulling { ticket, caught_up, ending, .. } => ending || ticket >= pull && !caught_up,
        // Its number will be the next; that one begins is the law about who is waited on.
        Pull::Idle | Pull::Waiting { .. } | Pull::Failed { .. } => pull <= protocol.counters().pulls + 1,
    }
}

fn fence_is_awaited(client: &Client, upstream: &[Event]) -> bool {
    match *client.protocol.push() {
        Push::Behind { target, .. } => target
            .is_none_or(|target| target > client.protocol.log().upstream_head() && target <= upstream.len() as u64),
        _ => true,
    }
}
