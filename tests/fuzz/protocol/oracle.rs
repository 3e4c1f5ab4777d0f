//! What is promised, looked at after every input.

use latchwork::log::Log;
use latchwork::protocol::{Counters, Direction, Failure, Next, Protocol, Pull, Push, Time, WaitingOn};
use latchwork::sync_state::Position;
use latchwork::upstream::{Batch, FatalKind, PullError, PushError};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::Owner;
use super::client::{Client, Core, Outcome, index};
use super::world::{MAX, World};
use crate::logs::{AnyLog, Event};

/// So many pushes may begin in one instant without a merge: a first one, one more after a rejection, and one for a reconnect.
const PUSHES_AT_ONCE: u32 = 3;
/// So many pulls: one for each of those, one more for a page that did not follow, and the first.
const PULLS_AT_ONCE: u32 = 6;

/// Numbers of a push and a pull.
type Calls = [u64; 2];

/// A push that may have been taken: nothing is sent before that is decided.
#[derive(Clone, Copy)]
struct Fence {
    base: Position,
    /// A pull with this number, or a later one, decides it when it has caught up.
    pull: u64,
}

/// What has been seen of a client, and what follows from it.
pub struct Watch {
    pub cursor: Position,
    epoch: u64,
    counters: Counters,
    failed: bool,
    pub commits: u64,
    calls: Calls,
    /// Not to be tried before.
    not_before: [Time; 2],
    /// Calls that began at this time, without a merge or a word of the owner's in between.
    at_once: [(Time, u32); 2],
    fence: Option<Fence>,
    /// A rebase has overtaken the push in flight.
    overtaken: bool,
    /// Up to these numbers calls were for a former log, or begun before a restart.
    former: Calls,
    restarted: Calls,
    /// Upstream has told something that was not so, as it may at its worst: what may have been taken cannot be known.
    pub deceived: bool,
    /// The log has refused a page, and none has been applied since.
    pub refused: bool,
    /// After this input something may have failed.
    pub may_fail: bool,
    /// This input ends calls.
    pub ends_calls: bool,
    /// In this input the owner gives up events: what is in flight is none of them.
    pub gives_up: bool,
    /// Another pull is to begin than so many.
    pull_owed: Option<u64>,
    /// The log has just been replaced.
    anew: bool,
}

impl Watch {
    pub fn new(protocol: &Core) -> Self {
        Self {
            cursor: protocol.log().upstream_head(),
            epoch: protocol.epoch(),
            counters: *protocol.counters(),
            failed: false,
            commits: 0,
            calls: [0; 2],
            not_before: [Time::ZERO; 2],
            at_once: [(Time::ZERO, 0); 2],
            fence: None,
            overtaken: false,
            former: [0; 2],
            restarted: [0; 2],
            deceived: false,
            refused: false,
            may_fail: false,
            ends_calls: false,
            gives_up: false,
            pull_owed: None,
            anew: false,
        }
    }

    // ---- what happens ------------------------------------------------------------------------------------------------

    /// A push or a pull begins.
    pub fn begins(&mut self, direction: Direction, now: Time) -> TestCaseResult {
        let which = index(direction);
        self.calls[which] += 1;
        if direction == Direction::Push {
            self.overtaken = false;
        }
        let not_before = self.not_before[which];
        prop_assert!(now >= not_before, "a {} begins at {:?}, and upstream asked for {:?}", direction, now, not_before);
        self.not_before[which] = Time::ZERO;
        let (since, count) = &mut self.at_once[which];
        *count = if *since == now { *count + 1 } else { 1 };
        *since = now;
        let most = [PUSHES_AT_ONCE, PULLS_AT_ONCE][which];
        prop_assert!(*count <= most, "{} calls to {} at {:?}, and nothing was merged", count, direction, now);
        Ok(())
    }

    /// Whether anything forbids that a push begins.
    pub fn sends(&self, client: &Client, world: &World<'_>) -> TestCaseResult {
        let told = || client.told();
        prop_assert!(!client.paused[0] && !client.is_stopped(), "a push begins: {}", told());
        if let (Some(Fence { base, .. }), false) = (self.fence, client.is_idempotent()) {
            prop_assert!(false, "what was sent after {} may have been taken, at {:?}: {}", base, world.now, told());
        }
        Ok(())
    }

    /// Whether nothing has been decided about the push in flight.
    pub fn is_open(&self, batch: &Batch<AnyLog>, settled: &[Event]) -> bool {
        let confirmed = batch.entries.iter().all(|entry| settled.contains(&entry.event));
        self.calls[0] > self.former[0] && !self.overtaken && !confirmed
    }

    /// The latest push has ended.
    pub fn push_ends(
        &mut self,
        batch: &Batch<AnyLog>,
        open: bool,
        outcome: &Outcome,
        protocol: &Core,
        world: &World<'_>,
    ) {
        let pull = protocol.counters().pulls + 1;
        // It was in flight for a log of before.
        self.fence.iter_mut().filter(|fence| fence.pull == u64::MAX).for_each(|fence| fence.pull = pull);
        match outcome {
            Err(
                PushError::Unavailable { retry_after: Some(rest), .. }
                | PushError::RetryAfter { retry_after: rest, .. },
            ) => {
                self.asked(Direction::Push, world.now.saturating_add(*rest));
            }
            // Fewer events are sent the next time.
            Err(PushError::Rejected { .. } | PushError::TooLarge { .. }) => {
                self.at_once[0].1 = self.at_once[0].1.saturating_sub(1);
            }
            _ => {}
        }
        if open && matches!(outcome, Err(PushError::Uncertain { .. } | PushError::RetryAfter { .. })) {
            self.fence = Some(Fence { base: batch.base, pull });
        }
    }

    /// Whether what is said of the events of the latest push counts: it knows what the owner has changed.
    pub fn counts_now(&self) -> bool {
        self.calls[0] > self.restarted[0] && self.calls[0] > self.former[0]
    }

    /// Upstream has taken it, and the log does not know.
    pub fn is_in_doubt(&mut self, batch: &Batch<AnyLog>) {
        self.fence = Some(Fence { base: batch.base, pull: self.calls[1] + 1 });
    }

    /// Whether the owner has to decide after this answer.
    pub fn must_fail(&mut self, batch: &Batch<AnyLog>, open: bool, outcome: &Outcome) -> bool {
        let fatal = match outcome {
            Err(PushError::Fatal { .. }) => true,
            Err(PushError::Behind { head: Some(head) }) => *head < batch.base,
            Err(PushError::Rejected { index, .. }) => *index >= batch.entries.len(),
            _ => false,
        };
        self.may_fail |= matches!(outcome, Err(PushError::Rejected { .. } | PushError::TooLarge { .. })) && open;
        let present = self.calls[0] > self.former[0];
        self.may_fail |= fatal && present;
        fatal && open && self.calls[0] > self.restarted[0]
    }

    pub fn must_fail_pull(&mut self, ticket: u64, outcome: &Result<(), PullError>) -> bool {
        let present = ticket > self.restarted[1] && ticket > self.former[1];
        let must = present && matches!(outcome, Err(PullError::Fatal { .. }));
        self.may_fail |= must;
        must
    }

    pub fn asked(&mut self, direction: Direction, until: Time) {
        let not_before = &mut self.not_before[index(direction)];
        *not_before = until.max(*not_before);
    }

    /// Whether upstream has asked for a time in a direction in which no call has begun since.
    fn has_rested(&self) -> bool {
        self.not_before != [Time::ZERO; 2]
    }

    /// Whether upstream has asked not to be tried again at all.
    pub fn rests_for_ever(&self) -> bool {
        self.not_before.contains(&Time::MAX)
    }

    pub fn has_caught_up(&mut self, ticket: u64) {
        self.fence = self.fence.filter(|fence| fence.pull > ticket);
    }

    pub fn has_merged(&mut self, rebase: bool) {
        self.overtaken |= rebase;
        self.at_once = [(Time::ZERO, 0); 2];
    }

    pub fn owner_looks_again(&mut self, does: Owner) {
        if !matches!(does, Owner::Pause(_) | Owner::Stop) {
            self.at_once = [(Time::ZERO, 0); 2];
        }
        if does == Owner::Override {
            self.not_before = [Time::ZERO; 2];
        }
    }

    pub fn pull_is_owed(&mut self, protocol: &Core) {
        self.pull_owed = Some(protocol.counters().pulls);
    }

    pub fn restarts(&mut self, pusher_failed: bool) {
        self.restarted = self.calls;
        if pusher_failed {
            // The pull that shows it is asked for now.
            self.fence = self.fence.map(|fence| Fence { pull: self.calls[1] + 1, ..fence });
        }
    }

    pub fn begins_anew(&mut self) {
        self.former = self.calls;
        (self.fence, self.refused, self.overtaken) = (None, false, false);
        (self.ends_calls, self.anew, self.deceived) = (true, true, false);
    }

    /// Another log goes on with what is pending; of what is in flight, if nothing has decided it, with what was to follow this.
    pub fn goes_on(&mut self, in_flight: Option<Position>) {
        self.former = self.calls;
        let anew = |fence| Fence { pull: self.calls[1] + 1, ..fence };
        let in_flight = in_flight.map(|base| Fence { base, pull: u64::MAX });
        self.fence = in_flight.or(self.fence.map(anew));
        (self.refused, self.overtaken) = (false, false);
        (self.ends_calls, self.anew) = (true, true);
    }

    /// How it stands now is how it stood before the next input.
    pub fn note(&mut self, protocol: &Core) {
        (self.cursor, self.epoch) = (protocol.log().upstream_head(), protocol.epoch());
        (self.counters, self.failed) = (*protocol.counters(), protocol.failure().is_some());
        (self.may_fail, self.anew) = (false, false);
        self.ends_calls = protocol.is_stopped();
        self.fence = self.fence.filter(|fence| fence.base >= self.cursor);
        self.pull_owed = self.pull_owed.filter(|pulls| *pulls >= self.calls[1]);
    }

    pub fn had_failed(&self) -> bool {
        self.failed
    }

    /// Whether a pull that was asked for has not begun.
    pub fn owes_a_pull(&self) -> bool {
        self.pull_owed.is_some()
    }

    /// Whether the owner's word has ended every wait that upstream has not asked for.
    pub fn has_looked_again(&self, direction: Direction, client: &Client, world: &World<'_>) -> TestCaseResult {
        let mut trial = client.trial();
        let which = index(direction);
        if client.paused[which] || client.is_stopped() || world.now < self.not_before[which] {
            return Ok(());
        }
        let goes = match direction {
            Direction::Push => {
                let busy = matches!(trial.push(), Push::Sending { .. } | Push::Uncertain { .. } | Push::Failed { .. });
                let blocked = trial.rejected().is_some_and(|(index, _)| index == 0);
                busy || blocked || trial.log().pending() == 0 || matches!(trial.next_push(world.now), Next::Do(_))
            }
            Direction::Pull => {
                let busy = matches!(trial.pull(), Pull::Pulling { .. } | Pull::Failed { .. });
                let idle = trial.pull_waiting_on() == WaitingOn::Nothing;
                busy || idle || matches!(trial.next_pull(world.now), Next::Do(_))
            }
        };
        prop_assert!(goes, "it does not look again to {}: {}", direction, client.told());
        Ok(())
    }

    // ---- what must hold ----------------------------------------------------------------------------------------------

    pub fn look(&self, client: &Client, world: &World<'_>) -> TestCaseResult {
        let protocol = &client.protocol;
        prop_assert!(protocol.epoch() >= self.epoch, "the epoch has gone back");
        prop_assert!(self.anew || client.cursor() >= self.cursor, "the cursor has gone back: {}", client.told());
        self.counts(protocol.counters())?;
        let failed = protocol.failure();
        prop_assert!(self.failed || self.may_fail || failed.is_none(), "it fails by itself: {}", client.told());
        let (on, pulling) = (protocol.waiting_on(), protocol.pull_waiting_on());
        let nothing = matches!(on, WaitingOn::Nothing);
        prop_assert_eq!(nothing, protocol.log().pending() == 0, "{}", client.told());
        prop_assert!(self.can_move(&on, client, world), "{:?} cannot move: {}", on, client.told());
        if pulling == WaitingOn::Nothing {
            let idle = matches!(client.trial().next_pull(world.now), Next::Wait { .. } | Next::Stop);
            prop_assert!(idle, "there is something to pull: {}", client.told());
        } else if pulling == WaitingOn::Upstream(Direction::Pull) {
            prop_assert!(client.pull.is_some(), "nothing is pulled: {}", client.told());
        } else {
            prop_assert!(self.can_move(&pulling, client, world), "for a pull, {:?}: {}", pulling, client.told());
        }
        let decided = self.fence.is_some_and(|fence| fence.base < client.cursor());
        prop_assert!(
            !decided || !matches!(protocol.push(), Push::Uncertain { .. }),
            "it is decided: {}",
            client.told()
        );
        if client.push.is_none() && !self.deceived && !protocol.is_uncertain() {
            let unknown = world.upstream.has_unknown(client.cursor(), client.id, client.life);
            prop_assert!(!unknown, "upstream has taken what it says it has not: {}", client.told());
        }
        Ok(())
    }

    fn counts(&self, now: &Counters) -> TestCaseResult {
        let values = |counters: &Counters| {
            let Counters { accepted, behind, uncertain, unavailable, pages, advances, rebases, .. } = *counters;
            [accepted, behind, uncertain, unavailable, pages, advances, rebases]
        };
        let grown = values(&self.counters).iter().zip(values(now)).all(|(before, now)| *before <= now);
        prop_assert!(grown, "{:?}, and then {:?}", self.counters, now);
        prop_assert_eq!([now.commits, now.pushes, now.pulls], [self.commits, self.calls[0], self.calls[1]]);
        Ok(())
    }

    /// Whether this party can do something.
    fn can_move(&self, on: &WaitingOn, client: &Client, world: &World<'_>) -> bool {
        match on {
            WaitingOn::Nothing => true,
            WaitingOn::Pusher => matches!(client.trial().next_push(world.now), Next::Do(_)),
            WaitingOn::Puller => matches!(client.trial().next_pull(world.now), Next::Do(_)),
            WaitingOn::Upstream(Direction::Push) => client.push.is_some(),
            WaitingOn::Upstream(Direction::Pull) => client.is_pulling(world),
            WaitingOn::Clock(until) | WaitingOn::Connectivity(until) => self.comes(*until, on, client, world),
            WaitingOn::Gate(direction) => client.paused[index(*direction)],
            WaitingOn::Owner(_) => {
                let mut trial = client.trial();
                let failed = trial.failure().is_some();
                drop(trial.restart());
                failed && trial.failure().is_none()
            }
            WaitingOn::Stopped => client.is_stopped(),
            _ => false,
        }
    }

    /// Whether something happens at this time, which is not too far away.
    fn comes(&self, until: Time, on: &WaitingOn, client: &Client, world: &World<'_>) -> bool {
        let settings = client.protocol.settings();
        let longest = world.now + MAX.max(settings.grace);
        let near = until <= self.not_before.into_iter().fold(longest, Time::max);
        let mut trial = client.trial();
        let then = until.max(world.now);
        let ticked = trial.tick(then).interrupt_pull;
        let sends = matches!(trial.next_push(then), Next::Do(_));
        let pulls = matches!(trial.next_pull(then), Next::Do(_));
        near && (ticked || sends || pulls || trial.waiting_on() != *on)
    }
}

/// Once the calls of the former log have ended, however they do, everything is as with a new protocol.
pub fn nothing_of_the_former_log_counts(client: &Client) -> TestCaseResult {
    let mut fresh = Protocol::new(client.protocol.log().clone(), *client.protocol.settings());
    for direction in [Direction::Push, Direction::Pull] {
        if client.paused[index(direction)] {
            drop(fresh.pause(direction));
        }
    }
    if client.is_stopped() {
        drop(fresh.stop());
    }
    let failure = || Failure::Panicked { message: "of before".into() };
    let (kind, retry_after) = (FatalKind::Other, None);
    // `None` for a panic.
    let pushes: [Option<Outcome>; 7] = [
        Some(Ok(())),
        Some(Err(PushError::Behind { head: None })),
        Some(Err(PushError::Behind { head: Some(Position::default()) })),
        Some(Err(PushError::Unavailable { retry_after, error: "away".into() })),
        Some(Err(PushError::Uncertain { error: "lost".into() })),
        Some(Err(PushError::Fatal { kind, error: "fatal".into() })),
        None,
    ];
    let pulls = [
        Some(Ok(())),
        Some(Err(PullError::Unavailable { retry_after, error: "away".into() })),
        Some(Err(PullError::Fatal { kind, error: "fatal".into() })),
        None,
    ];
    for (push, pull) in pushes.iter().flat_map(|push| pulls.iter().map(move |pull| (push, pull))) {
        let mut trial = client.trial();
        if let Some(call) = &client.push {
            let batch = call.batch.clone();
            match push.clone() {
                Some(outcome) => drop(trial.push_ended(batch, outcome, 0, Time::ZERO)),
                None => drop(trial.push_panicked(batch, failure())),
            }
        }
        if let Some(call) = &client.pull {
            match pull.clone() {
                Some(outcome) => drop(trial.pull_ended(call.ticket, outcome, 0, Time::ZERO)),
                None => trial.pull_panicked(call.ticket, failure()),
            }
        }
        // A time that upstream has asked for is about upstream.
        if !client.watch.has_rested() {
            prop_assert_eq!(trial.canonical(), fresh.canonical(), "after a reset, and the end of the former calls");
        }
    }
    Ok(())
}
