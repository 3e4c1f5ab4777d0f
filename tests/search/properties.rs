//! What must hold, each **property** under the number of its invariant.
//!
//! Some properties are about a **step**: the step notes a breach in the state that it leads to. The
//! others are about a **state** and are looked up in it. For the checker all are always-properties.

use std::sync::atomic::Ordering;

use latchwork::log::Log;
use latchwork::protocol::{Direction, Failure, Next, Pull, Push, Time, WaitingOn};

use super::client::{Client, NOW, Step, bits, failures};
use super::faults::Fault;
use super::model::{Search, State};

/// The most pushes, and the most pulls, that begin without the end of a backoff, a merge, a commit
/// or the owner's word between them.
pub const MOST_CALLS: [u8; 2] = [3, 4];

macro_rules! properties {
    ($($property:ident = $name:literal,)*) => {
        /// A property.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Property {
            $($property,)*
        }

        impl Property {
            pub const ALL: &'static [Self] = &[$(Self::$property,)*];

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$property => $name,)*
                }
            }

            fn always(self) -> stateright::Property<Search> {
                match self {
                    $(Self::$property => stateright::Property::always($name, |search, state| {
                        Self::$property.holds(search, state) || search.reported.swap(true, Ordering::Relaxed)
                    }),)*
                }
            }
        }
    };
}

properties! {
    Drains = "I1: when no step is left, nothing is pending or unwritten and every client has what upstream has",
    Named = "I1: the party that is waited on can move",
    OwnerIsHeard = "I1: the owner's word ends every wait that time would end",
    SameEpoch = "I2: a push that is behind waits only if nothing has happened since it was sent",
    CatchUpOwed = "I3: a push that is behind or uncertain has a catch-up under way, owed, or due by a timer",
    DoubtStands = "I3: a push may have been taken exactly as long as nothing has decided it",
    NothingSwallowed = "I4: a direction that was told to wait is told so again while nothing happens",
    OnlyAcknowledged = "I5: only what upstream has is confirmed, and nothing is in it twice",
    GivenUpIsGone = "I5: what the owner has given up or replaced is not upstream's, then or later",
    RetryLeadsToAttempt = "I6: the end of a backoff leads to an attempt",
    LingersForMore = "I6: a push waits for more events only while there is room for them",
    PageIsApplied = "I7: a page is applied, or its pull is over and another one begins",
    SettlesOnce = "I8: every event committed is confirmed once, in its order, or still pending",
    CommitNeverWaits = "I10: a commit is admitted at any time",
    SendsPending = "I11: what is sent is the first that is pending, as it follows the cursor",
    StaleChangesNothing = "I12: an outcome of an earlier push or pull changes nothing",
    FormerIsNothing = "I12: nothing comes of a call for a log that has been replaced, but for the time that it names",
    LateStopsNothing = "I12: a fatal answer to a call that began before the owner restarted stops nothing",
    OnlyTheLostAreInterrupted = "I13: a push is interrupted only if it can no longer be taken",
    ConfirmedIsEnded = "I13: a push whose events are all confirmed is asked to end",
    PrefixIsResolved = "I14: nothing is sent past a push whose outcome is unknown",
    RefusedBlocks = "I14: nothing is sent from an event on that upstream refuses, until the owner decides",
    FenceIsAwaited = "I14: every fence names something that is still to come",
    CursorIsApplied = "I15: the cursor is what has been applied, and that is what upstream has",
    FailsOnlyWhenTold = "I16: no direction fails or stops unless upstream, the log or the owner gave a reason",
    FailureIsSeen = "I16: what trying again cannot help is a failure that the owner sees, until the owner acts",
    RefusedIsNamed = "I16: an event that upstream refuses is shown, and waited on once nothing before it is left",
    OwnerDecides = "I16: what the owner decides about an event is done, unless upstream may have it",
    SentIsHeld = "I17: nothing is sent, and no pull begins behind a place, that a crash can take back",
    DurableIsHeld = "I17: what is reported to be durable survives a crash",
    CursorWithItsPage = "I18: what a crash leaves is a first part of the changes, and each cursor is there with its page, once",
    FewCalls = "I19: without the end of a backoff, a merge, a commit or the owner's word, few calls begin",
    NotBeforeNamed = "I19: no call begins before the time that upstream has named, whatever has become of the call",
}

impl Property {
    pub fn properties() -> Vec<stateright::Property<Search>> {
        Self::ALL.iter().map(|property| property.always()).collect()
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
            Self::FenceIsAwaited => state.clients.iter().all(|client| fence_is_awaited(search, state, client)),
            Self::DoubtStands => state.clients.iter().all(|client| doubts_what_is_open(search, state, client)),
            Self::ConfirmedIsEnded => state.clients.iter().all(|client| ends_what_is_confirmed(search, state, client)),
            Self::FailureIsSeen => state.clients.iter().all(shows_failures),
            Self::RefusedIsNamed => state.clients.iter().all(names_what_is_refused),
            Self::GivenUpIsGone => {
                state.clients.iter().all(|client| bits(client.ahead(0, &state.upstream)) & client.gone == 0)
            }
            Self::LingersForMore => state.clients.iter().all(|client| lingers_for_more(search, client)),
            _ => true,
        }
    }
}

/// The properties that steps have broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Broken(u64);

impl Broken {
    pub fn contains(self, property: Property) -> bool {
        self.0 >> property as u8 & 1 == 1
    }

    /// Notes a breach of `property` unless it held.
    pub fn unless(&mut self, holds: bool, property: Property) {
        if !holds {
            self.0 |= 1 << property as u8;
        }
    }
}

fn drains(search: &Search, state: &State) -> bool {
    let mut steps = Vec::new();
    state.clients.iter().for_each(|client| client.steps(&search.config, &state.upstream, &mut steps));
    if !steps.is_empty() || state.upstream.can_replicate() {
        return true;
    }
    // What has stopped has written everything, or its journal has failed.
    let is_written = |client: &Client| client.is_written() || client.protocol.journal_failure().is_some();
    let mut running = state.clients.iter().filter(|client| !client.protocol.is_stopped());
    state.clients.iter().all(is_written)
        && running.all(|client| {
            if client.cursor() > state.upstream.events.len() {
                // Upstream has lost events. A client that has nothing pending is not told of it.
                return client.pending() == 0;
            }
            let own = (0..client.committed).map(|number| client.event(number)).filter(|&event| client.owes(event));
            let drained = client.pending() == 0 && own.into_iter().all(|event| state.upstream.events.contains(&event));
            // A pull that has lost an echo will not show it, and a client with nothing pending asks for no other.
            let excused = !search.config.live || client.pull.as_ref().is_some_and(|pull| pull.lost);
            drained && (excused || client.cursor() == state.upstream.events.len())
        })
}

fn names_who_can_move(search: &Search, state: &State, client: &Client) -> bool {
    let mut steps = Vec::new();
    client.steps(&search.config, &state.upstream, &mut steps);
    let can = |wanted: &[Step]| steps.iter().any(|step| wanted.contains(step));
    let protocol = &client.protocol;
    let times = [
        match protocol.clone().next_push(NOW) {
            Next::Wait { until } if can(&[Step::PushTimer]) => until,
            _ => None,
        },
        match protocol.clone().next_pull(NOW) {
            Next::Wait { until } if can(&[Step::PullTimer]) => until,
            _ => None,
        },
    ];
    let can_move = |waiting_on: WaitingOn| match waiting_on {
        WaitingOn::Nothing => true,
        WaitingOn::Pusher => can(&[Step::Send]),
        WaitingOn::Puller => can(&[Step::BeginPull]),
        WaitingOn::Upstream(Direction::Push) => can(&[Step::Arrive, Step::Answer, Step::Reconnect]),
        WaitingOn::Upstream(Direction::Pull) => client.pull.is_some(),
        WaitingOn::Clock(until) | WaitingOn::Connectivity(until) => times.contains(&Some(until)),
        WaitingOn::Gate(direction) => can(&[Step::Resume(direction)]),
        // A failure is still told after a stop; what the owner can do then is to start anew.
        WaitingOn::Owner(_) if protocol.is_stopped() => true,
        // Or what will show whether upstream has it is on its way.
        WaitingOn::Owner(Failure::Rejected { .. }) => can(&[
            Step::GiveUpRefused,
            Step::OwnerActs,
            Step::BeginPull,
            Step::PullTimer,
            Step::MakePage,
            Step::Page,
            Step::EndPull,
            Step::Resume(Direction::Pull),
        ]),
        WaitingOn::Owner(_) => can(&[Step::OwnerActs]),
        WaitingOn::Journal => can(&[Step::BeginWrite, Step::Write, Step::EndWrite]),
        WaitingOn::Stopped => protocol.is_stopped(),
        _ => false,
    };
    let (overall, pull) = (protocol.waiting_on(), protocol.pull_waiting_on());
    // What the pusher waits for is on its way, made, or due.
    let comes = overall != WaitingOn::Upstream(Direction::Pull)
        || can(&[Step::MakePage, Step::Page, Step::EndPull])
        || state.upstream.can_replicate();
    let nothing_to_do = (overall != WaitingOn::Nothing || client.pending() == 0)
        && (pull != WaitingOn::Nothing || !search.config.live && *protocol.pull() == Pull::Idle);
    comes && nothing_to_do && can_move(overall) && can_move(pull)
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
        // Its number will be the next; that one begins is the property about who is waited on.
        _ => pull <= protocol.counters().pulls + 1,
    }
}

fn doubts_what_is_open(search: &Search, state: &State, client: &Client) -> bool {
    if search.config.may(Fault::LieInConfirmed) {
        // What a log keeps to itself is not known.
        return true;
    }
    // A replica that lags says that it has shown everything.
    let known = search.config.lags || client.knows_what_was_taken(&state.upstream);
    let (doubts, open) = (client.protocol.is_uncertain(), client.unresolved.as_ref());
    let unsure = open.is_some_and(|push| push.unsure) || doubts && client.misled;
    (unsure || doubts == open.is_some()) && known
}

fn fence_is_awaited(search: &Search, state: &State, client: &Client) -> bool {
    match *client.protocol.push() {
        // What an upstream says that lies may never come.
        _ if search.config.may(Fault::RejectAtBase) || search.config.may(Fault::RejectBeyond) => true,
        Push::Behind { target: Some(target), .. } => {
            target > client.protocol.log().upstream_head() && target <= state.upstream.greatest_head()
        }
        _ => true,
    }
}

fn ends_what_is_confirmed(search: &Search, state: &State, client: &Client) -> bool {
    let Some(call) = &client.push else { return true };
    if search.config.may(Fault::LieInConfirmed) {
        // What a log keeps to itself is not known.
        return true;
    }
    let is_confirmed = |event| state.upstream.has_had_among_the_first(client.cursor(), event);
    call.interrupted || call.batch.entries.iter().any(|entry| !is_confirmed(entry.event))
}

fn names_what_is_refused(client: &Client) -> bool {
    let protocol = &client.protocol;
    let pending = protocol.log().to_send();
    let index = client.refused.and_then(|refused| pending.iter().position(|&event| event == refused));
    let under_way = matches!(protocol.push(), Push::Sending { .. } | Push::Uncertain { .. });
    let expected = index == Some(0) && !under_way && failures(protocol)[0].is_none();
    protocol.rejected().map(|(index, _)| index) == index
        && (index.is_none() || protocol.failure().is_some())
        && expected == matches!(protocol.waiting_on(), WaitingOn::Owner(Failure::Rejected { .. }))
}

fn lingers_for_more(search: &Search, client: &Client) -> bool {
    let most = client.fits.map_or(search.config.batch, |fits| fits.min(search.config.batch));
    !client.lingers() || client.refused.is_none() && client.sendable() < most
}

fn shows_failures(client: &Client) -> bool {
    let failed = failures(&client.protocol);
    (0..2).all(|direction| !client.halted[direction] || failed[direction].is_some())
}
