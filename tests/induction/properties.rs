//! What must hold, by name, under the numbers of the invariants.
//!
//! A property is about a **step**, about a **state** and the steps that it has, or about the
//! **graph** of all states: those are looked up in [`graph`](super::graph).

use latchwork::protocol::{Delay, Direction, Fate, Next, Protocol, Pull, Push, Resend, WaitingOn};
use latchwork::upstream::{PullError, PushError};

use super::oracle::Manner;
use super::state::{Config, LATER, NOW, Part, PullCall, PushCall, State, index};
use super::steps::{Answer, Goes, Head, Kind, PullEnd, Step, Steps};
use super::take::Taken;

macro_rules! properties {
    ($($property:ident = $name:literal,)*) => {
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
        }
    };
}

properties! {
    CanMove = "I1: the party that is waited on is named rightly, and can move",
    Wakes = "I1: a parked pusher has an event that ends its wait",
    Drains = "I1: when nothing is due any more, nothing is pending, or the owner is named",
    OwnerEndsWaits = "I1: a resume, a restart and `retry_now` end every wait that upstream has not asked for",
    CutsOnce = "I1: the first pull that catches up after upstream could not be reached ends a push's backoff, once for each success",
    SameEpoch = "I2: a push that is behind waits only if nothing has happened since it was sent",
    WaitsForHead = "I2: a push that is behind waits for the head that upstream has told, or for a catch-up",
    CatchUpOwed = "I3: a push that is behind or uncertain has a catch-up under way, owed, or due by a timer",
    NothingSwallowed = "I4: what was told to wait is told so again while nothing happens",
    DrainedRightly = "I5: the head moves, and what is pending becomes less, by what upstream has and the log gives up",
    RetryLeadsToAttempt = "I6: the end of a backoff leads to an attempt",
    RetryAfterKept = "I6: no call begins before the time that upstream has named, unless the owner overrides it",
    PollsAgain = "I6: where pulls follow each other in an interval, one is under way, due, or waits for its time",
    PageIsApplied = "I7: a page is applied, or its pull is over",
    SendsPending = "I11: what is sent is the first that is pending, as it follows the head; pulls begin at the head",
    BeginsAnew = "I12: after a reset, and the end of the former calls, everything is as with a new protocol",
    StaleChangesNothing = "I12: the answer to a call of before changes nothing, but for the time that it names",
    RightlyInterrupted = "I13: a push is interrupted if, and only if, its outcome is decided; and a pull by what makes it pointless",
    DoubtStands = "I14: a push is in doubt exactly as long as upstream may have taken it, and nothing is sent meanwhile",
    FencedRightly = "I14: a push without an answer is fenced only if upstream may take it, or have taken it, after the head",
    HeldBack = "I14: what upstream refuses for good blocks what stands behind it, until it is confirmed or the owner decides; nothing else does",
    GivenUpRightly = "I5: the owner can give up exactly what upstream cannot have, and it is counted once",
    FailsOnlyWhenTold = "I16: a direction fails if, and only if, upstream or the log says that trying again cannot help",
    LingersForMore = "I6: a push waits for more events only if more could go with it",
    Ends = "I19: steps that consume nothing come to an end",
    NoStorm = "I19: calls that follow each other for ever pass through time, unless something is merged or the owner speaks",
    BackoffGrows = "I19: a failure after a failure is waited out for longer, and so is a rejection after a rejection; a first one is not",
}

/// A step, before and after.
pub struct Transition<'a> {
    pub before: &'a State,
    pub step: Step,
    pub taken: &'a Taken,
}

impl Transition<'_> {
    /// The properties that the step breaks.
    pub fn broken(&self, mut tell: impl FnMut(Property)) {
        let mut unless = |holds: bool, property| {
            if !holds {
                tell(property);
            }
        };
        unless(self.owner_ends_waits(), Property::OwnerEndsWaits);
        unless(!self.taken.uncut, Property::CutsOnce);
        unless(self.same_epoch(), Property::SameEpoch);
        unless(self.waits_for_head(), Property::WaitsForHead);
        unless(self.begins_anew(), Property::BeginsAnew);
        unless(!self.taken.swallowed, Property::NothingSwallowed);
        unless(self.drained_rightly(), Property::DrainedRightly);
        unless(self.retry_leads_to_attempt(), Property::RetryLeadsToAttempt);
        unless(self.retry_after_kept(), Property::RetryAfterKept);
        unless(self.page_is_applied(), Property::PageIsApplied);
        unless(self.sends_pending(), Property::SendsPending);
        unless(self.stale_changes_nothing(), Property::StaleChangesNothing);
        unless(self.rightly_interrupted() && self.pull_is_asked_to_end(), Property::RightlyInterrupted);
        unless(self.doubt_stands(), Property::DoubtStands);
        unless(self.fenced_rightly(), Property::FencedRightly);
        unless(self.held_back(), Property::HeldBack);
        unless(!self.taken.miscounted, Property::GivenUpRightly);
        unless(self.fails_only_when_told(), Property::FailsOnlyWhenTold);
        unless(self.backoff_grows(), Property::BackoffGrows);
    }

    fn after(&self) -> &State {
        &self.taken.state
    }

    /// Whether the push that is answered, if one is, is the present one; and whether nothing was
    /// decided about it.
    fn answers_present(&self) -> (bool, bool) {
        let present = self.before.push.as_ref().is_some_and(|call| self.before.is_present(call));
        (present, matches!(self.before.protocol.push(), Push::Sending { fate: Fate::Open, .. }))
    }

    fn pulls_present(&self) -> bool {
        self.before.pull.as_ref().is_some_and(|call| self.before.protocol.is_pulling(call.ticket))
    }

    fn owner_ends_waits(&self) -> bool {
        let protocol = &self.after().protocol;
        let pusher = match protocol.push() {
            Push::Waiting { .. } | Push::Behind { .. } => false,
            Push::Uncertain { until, .. } => *until == NOW,
            _ => true,
        };
        let puller = !matches!(protocol.pull(), Pull::Waiting { .. });
        match self.step {
            Step::Resume(Direction::Push) => pusher,
            Step::Resume(Direction::Pull) => puller,
            Step::RetryNow | Step::Reconnect => pusher && puller && self.next_pull(),
            Step::Restart => pusher && puller,
            Step::OverrideRetryAfter => {
                let push_rests = matches!(protocol.clone().next_push(NOW), Next::Wait { until: Some(_) });
                let pull_rests = matches!(protocol.clone().next_pull(NOW), Next::Wait { until: Some(_) });
                pusher && puller && !push_rests && !pull_rests
            }
            _ => true,
        }
    }

    /// Whether a pull begins as soon as it may, if its direction is open and has not failed.
    fn next_pull(&self) -> bool {
        let after = self.after();
        let mut protocol = after.protocol.clone();
        let may = after.pull.is_none() && !after.is_paused(Direction::Pull) && !protocol.is_stopped();
        let failed = matches!(protocol.pull(), Pull::Failed { .. });
        !may || failed || matches!(protocol.next_pull(LATER), Next::Do(_))
    }

    /// Whether a pull that is going on is asked to end by what makes it pointless.
    fn pull_is_asked_to_end(&self) -> bool {
        let pulls = matches!(self.before.protocol.pull(), Pull::Pulling { .. });
        let pointless = match self.step {
            Step::Pause(direction) => direction == Direction::Pull,
            Step::RetryNow | Step::OverrideRetryAfter | Step::Stop | Step::Reset { .. } => true,
            Step::Reconnect | Step::ResetWith(_) => true,
            // It need not give out any more.
            Step::Page(page) if matches!(page.manner, Manner::Refuse | Manner::Break) => self.pulls_present(),
            _ => return true,
        };
        self.taken.interrupts_pull == (pulls && pointless)
    }

    fn same_epoch(&self) -> bool {
        let (Step::Answer(_), &Push::Behind { since, .. }) = (self.step, self.after().protocol.push()) else {
            return true;
        };
        since == self.after().protocol.epoch()
    }

    fn waits_for_head(&self) -> bool {
        let (before, after) = (self.before.awaited_head(), self.after());
        let merged = matches!(self.step, Step::Page(page) if !page.says_so && page.manner == Manner::Advance);
        let short = before.is_some_and(|target| after.head() < target);
        let failed = matches!(after.protocol.push(), Push::Failed { .. });
        !merged || !short || failed || after.awaited_head() == before
    }

    /// Nothing of the former log is left when its calls have ended.
    fn begins_anew(&self) -> bool {
        // All that is put in stands alike.
        if self.step != (Step::Reset { pending: 0, own: 0, foreign: false }) {
            return true;
        }
        let after = self.after();
        // A time that upstream has named is about upstream.
        if after.named != [false; 2] {
            return true;
        }
        let mut trial = after.protocol.clone();
        if let Some(PushCall { batch, .. }) = after.push.clone() {
            let away = PushError::Unavailable { retry_after: None, error: "away".into() };
            drop(trial.push_ended(batch, Err(away), 0, NOW));
        }
        if let Some(PullCall { ticket, .. }) = after.pull {
            let away = PullError::Unavailable { retry_after: None, error: "away".into() };
            drop(trial.pull_ended(ticket, Err(away), 0, NOW));
        }
        let mut fresh = Protocol::new(trial.log().clone(), *trial.settings());
        for direction in [Direction::Push, Direction::Pull] {
            if after.is_paused(direction) {
                drop(fresh.pause(direction));
            }
        }
        if trial.is_stopped() {
            drop(fresh.stop());
        }
        let failed = matches!(self.before.protocol.push(), Push::Sending { failed: Some(_), .. });
        failed || trial.canonical() == fresh.canonical()
    }

    fn drained_rightly(&self) -> bool {
        let (before, after) = (self.before, self.after());
        let same = before.head() == after.head();
        let all = before.pending() == after.pending();
        match self.step {
            Step::Page(page) if page.manner == Manner::Advance && self.pulls_present() => after.pending() == page.rest,
            Step::Page(page) => match page.manner {
                Manner::Rebase { dropped } if self.pulls_present() => after.pending() == page.rest - dropped,
                _ => same,
            },
            Step::Answer(Answer::Accepted { rest, manner: Manner::Advance })
                if self.answers_present() == (true, true) =>
            {
                after.pending() == rest && before.push.as_ref().is_some_and(|call| after.news_in(call) == 0)
            }
            Step::Answer(Answer::Accepted { .. }) => same,
            Step::Commit(..) | Step::Reset { .. } => same,
            Step::GiveUp { rest, .. } => same && after.pending() == rest.min(after.more()),
            Step::ResetWith(Goes::Ahead(rest)) => after.pending() == rest,
            _ => same && all,
        }
    }

    fn retry_leads_to_attempt(&self) -> bool {
        let before = self.before;
        let owed = matches!(before.protocol.push(), Push::Waiting { .. })
            && before.pending() > 0
            && before.blocked != Some(0)
            && !before.is_paused(Direction::Push);
        // Or to a wait for more events, unless it was for those.
        let lingers = |state: &State| matches!(state.protocol.push(), Push::Waiting { reason: Delay::Linger, .. });
        let waits = lingers(self.after()) && !lingers(before);
        self.step != Step::PushTime || !owed || waits || self.after().push.is_some()
    }

    fn retry_after_kept(&self) -> bool {
        let (before, after) = (self.before, self.after());
        let pushes = self.step != Step::PushTime && before.push.is_none() && after.push.is_some();
        let pulls = self.step != Step::PullTime && before.pull.is_none() && after.pull.is_some();
        !(pushes && before.named[index(Direction::Push)] || pulls && before.named[index(Direction::Pull)])
    }

    fn page_is_applied(&self) -> bool {
        let Step::Page(_) = self.step else { return true };
        let pulling = |state: &State| state.pull.as_ref().is_some_and(|call| state.protocol.is_pulling(call.ticket));
        !self.pulls_present() || !pulling(self.after()) || self.taken.page_end == Some(self.after().head())
    }

    fn sends_pending(&self) -> bool {
        let after = self.after();
        let before = self.before;
        let sent = match (&before.push, &after.push) {
            (None, Some(call)) => {
                let batch = &call.batch;
                let first = batch.entries.first().is_some_and(|entry| entry.position == after.head().plus(1));
                let heavy = before.protocol.settings().batch_weight.is_some();
                let most = if before.fits_one || heavy { 1 } else { after.more() };
                let most = before.blocked.map_or(most, |blocked| most.min(blocked));
                first && batch.base == after.head() && batch.entries.len() == after.pending().min(most)
            }
            _ => true,
        };
        sent && self.taken.cursor.is_none_or(|cursor| cursor == after.head())
    }

    fn stale_changes_nothing(&self) -> bool {
        let (before, after) = (self.before, self.after());
        let pushed = match (self.step, &before.push) {
            (Step::Answer(_), Some(call)) if call.former => {
                let left = match (before.protocol.push(), after.protocol.push()) {
                    (Push::Sending { failed: Some(before), .. }, Push::Failed { error }) => before == error,
                    (_, now) => *now == Push::Idle,
                };
                call.carried || left && !after.protocol.is_uncertain()
            }
            (Step::Answer(_), Some(call)) if !before.is_present(call) => before.protocol == after.protocol,
            _ => true,
        };
        let pulled = match self.step {
            Step::Says(..) if !self.pulls_present() || before.pull.as_ref().is_some_and(|call| call.former) => {
                before.protocol == after.protocol
            }
            Step::PullEnds(..) if before.pull.as_ref().is_some_and(|call| call.former) => {
                let same = before.protocol.push() == after.protocol.push();
                same && (*after.protocol.pull() == Pull::Idle || before.protocol.pull() == after.protocol.pull())
            }
            // That is told, whatever has become of the pull.
            Step::PullEnds(PullEnd::Fatal | PullEnd::Panic, _) => true,
            // But for the time that it names.
            Step::PullEnds(..) if !matches!(before.protocol.pull(), Pull::Pulling { .. }) => {
                let same = before.protocol.push() == after.protocol.push();
                same && before.protocol.pull() == after.protocol.pull() && before.head() == after.head()
            }
            _ => true,
        };
        pushed && pulled
    }

    fn rightly_interrupted(&self) -> bool {
        let fate = |state: &State| match *state.protocol.push() {
            Push::Sending { fate, unconfirmed, .. } => Some((fate, unconfirmed)),
            _ => None,
        };
        let (before, after) = (fate(self.before), fate(self.after()));
        let decided = matches!((before, after), (Some((Fate::Open, _)), Some((Fate::Overtaken | Fate::Confirmed, _))));
        let rebased = matches!(self.step, Step::Page(page) if matches!(page.manner, Manner::Rebase { .. }));
        let open = matches!(after, Some((Fate::Open, _)));
        let should_be = matches!(after, Some((Fate::Open, 0))) || rebased && self.pulls_present() && open;
        self.taken.interrupts_push == (decided || self.step == Step::Stop || self.step_resets_push()) && !should_be
    }

    fn step_resets_push(&self) -> bool {
        matches!(self.step, Step::Reset { .. } | Step::ResetWith(_) | Step::Reconnect)
            && matches!(self.before.protocol.push(), Push::Sending { .. })
    }

    fn doubt_stands(&self) -> bool {
        let (before, after) = (self.before, self.after());
        let begun = before.push.is_none() && after.push.is_some();
        let fenced = begun && before.doubt.open && before.protocol.settings().resend == Resend::AfterCatchUp;
        !fenced && after.protocol.is_uncertain() == (after.doubt.unseen > 0)
    }

    fn fenced_rightly(&self) -> bool {
        let Step::Answer(Answer::Uncertain(_) | Answer::Panic(_)) = self.step else { return true };
        !matches!(self.after().protocol.push(), Push::Uncertain { .. }) || self.after().doubt.open
    }

    fn held_back(&self) -> bool {
        let after = self.after();
        after.protocol.rejected().map(|(index, _)| index) == after.blocked
    }

    fn fails_only_when_told(&self) -> bool {
        let (before, after) = (self.before, self.after());
        let failed = |state: &State| {
            let push = matches!(state.protocol.push(), Push::Failed { .. } | Push::Sending { failed: Some(_), .. });
            (push, matches!(state.protocol.pull(), Pull::Failed { .. }))
        };
        let (was, is) = (failed(before), failed(after));
        let (present, open) = self.answers_present();
        let counts = before.push.as_ref().is_some_and(|call| !call.before_restart && present);
        let pull_counts = before.pull.as_ref().is_some_and(|call| !call.before_restart && !call.former);
        let told = match self.step {
            Step::Answer(Answer::Fatal | Answer::Panic(_)) => (counts, false),
            Step::Answer(Answer::Behind(Head::BeforeBase)) => (counts && open, false),
            Step::Answer(Answer::Accepted { manner, .. }) => (present && open && manner != Manner::Advance, false),
            Step::Send(Manner::Break | Manner::Panic) | Step::Commit(_, Manner::Break) => (true, false),
            Step::PullEnds(PullEnd::Fatal | PullEnd::Panic, _) => (false, pull_counts),
            Step::Page(page) => match page.manner {
                // The first time another pull begins instead.
                Manner::Refuse => (false, before.refused && self.pulls_present()),
                Manner::Break | Manner::Panic => (false, self.pulls_present()),
                Manner::Advance | Manner::Rebase { .. } => (false, false),
            },
            Step::Restart | Step::Reset { .. } | Step::ResetWith(_) | Step::Crash(_) => return !is.0 && !is.1,
            _ => (false, false),
        };
        is == (was.0 || told.0, was.1 || told.1)
    }

    fn backoff_grows(&self) -> bool {
        let (before, after) = (self.before, self.after());
        let pushed = match (self.step, after.protocol.push()) {
            (Step::Answer(Answer::Unavailable), &Push::Waiting { until, reason: Delay::Unavailable, .. }) => until,
            _ => LATER,
        };
        let pulled = match (self.step, after.protocol.pull()) {
            (Step::PullEnds(_, false), &Pull::Waiting { until, .. }) => until,
            _ => LATER,
        };
        // A merge, or the owner's word, would have taken it back.
        let rejected = matches!(self.step, Step::Answer(Answer::Behind(_))) && self.answers_present() == (true, true);
        let at_once = rejected && before.rejected.unheard && matches!(after.protocol.push(), Push::Idle);
        // And a first failure for no longer than the first.
        let backs_off = matches!(after.protocol.pull(), Pull::Waiting { .. })
            && self.step == Step::PullEnds(PullEnd::Unavailable, false);
        let first = !before.failed[index(Direction::Pull)] && !after.named[index(Direction::Pull)];
        let present = self.answers_present() == (true, true);
        let first_push = !before.failed[index(Direction::Push)] && !before.rejected.counted;
        let pushes = self.step == Step::Answer(Answer::Unavailable) && present && first_push;
        let too_long =
            backs_off && first && pulled == LATER || pushes && after.waits_for_connection() && pushed == LATER;
        !at_once
            && !too_long
            && (pushed == LATER || !before.failed[index(Direction::Push)])
            && (pulled == LATER || !before.failed[index(Direction::Pull)] || pulled == NOW)
    }
}

impl State {
    /// The properties that this state, with these steps, breaks.
    pub fn broken(&self, config: &Config, steps: &Steps<'_>, mut tell: impl FnMut(Property)) {
        let names = [self.protocol.waiting_on(), self.protocol.pull_waiting_on()];
        if !names.iter().zip([true, false]).all(|(party, pushes)| self.can_move(party, pushes, steps)) {
            tell(Property::CanMove);
        }
        if !self.owes_catch_up() || !self.owes_catch_up_to_owner() {
            tell(Property::CatchUpOwed);
        }
        if config.polls && !self.polls_again() {
            tell(Property::PollsAgain);
        }
        // Of what was sent by another process, or for another log, the client does not know.
        if config.allows(Kind::GiveUp) && !self.protects_sent() {
            tell(Property::GivenUpRightly);
        }
        let most = if self.fits_one { 1 } else { self.more() };
        let lingers = matches!(self.protocol.push(), Push::Waiting { reason: Delay::Linger, .. });
        if lingers && (self.pending() >= most || self.blocked.is_some()) {
            tell(Property::LingersForMore);
        }
        if !self.is_quiet(steps) {
            return;
        }
        let excused = matches!(names[0], WaitingOn::Gate(_) | WaitingOn::Owner(_) | WaitingOn::Stopped);
        let lost = self.lost_echo();
        let pulls = matches!(self.protocol.pull(), Pull::Pulling { .. });
        // What a live pull has lost it will not show, and nothing that is pending asks for another
        // one.
        let shown = !config.live || !pulls || lost || !self.has_more();
        if !(excused || self.pending() == 0) || !shown {
            tell(Property::Drains);
        }
    }

    /// Whether nothing is due: what comes next is a commit, another client's event, a fault or the
    /// owner's word.
    pub fn is_quiet(&self, steps: &Steps<'_>) -> bool {
        !steps.all.iter().any(|(kind, _)| kind.is_due())
    }

    /// Whether nothing that is due ends the pusher's wait, and that is as it should be.
    pub fn may_stay(&self) -> bool {
        matches!(self.protocol.push(), Push::Idle | Push::Sending { .. } | Push::Failed { .. })
            || self.protocol.is_stopped()
            || matches!(self.protocol.waiting_on(), WaitingOn::Gate(_) | WaitingOn::Owner(_))
            || self.is_paused(Direction::Pull)
            || matches!(self.protocol.pull(), Pull::Failed { .. })
    }

    /// Whether this party, that a push or a pull waits for, has a step.
    pub fn can_move(&self, party: &WaitingOn, pushes: bool, steps: &Steps<'_>) -> bool {
        match *party {
            WaitingOn::Nothing if pushes => self.pending() == 0,
            // No pull is needed.
            WaitingOn::Nothing => {
                let begins = matches!(self.protocol.clone().next_pull(LATER), Next::Do(_));
                matches!(self.protocol.pull(), Pull::Idle) && !begins
            }
            WaitingOn::Connectivity(_) if !self.names_connection_rightly(pushes) => false,
            WaitingOn::Pusher => steps.has(&[Kind::Send]),
            WaitingOn::Puller => self.pull.is_none() && steps.has(&[Kind::BeginPull]),
            WaitingOn::Upstream(Direction::Push) => {
                steps.has(&[Kind::Take, Kind::Accept, Kind::Reject, Kind::PushReturns])
            }
            WaitingOn::Upstream(Direction::Pull) => {
                // A live pull that has shown everything waits for other clients.
                let shown = !self.has_more() || self.lost_echo();
                let live = !pushes && self.pull.is_some() && shown;
                live || steps.has(&[Kind::News, Kind::CaughtUp, Kind::PullEnds])
            }
            WaitingOn::Clock(until) | WaitingOn::Connectivity(until) => {
                let push = match self.protocol.clone().next_push(NOW) {
                    Next::Wait { until } => until,
                    Next::Do(_) | Next::Stop => None,
                };
                let pull = match self.protocol.clone().next_pull(NOW) {
                    Next::Wait { until } => until,
                    Next::Do(_) | Next::Stop => None,
                };
                push == Some(until) && steps.has(&[Kind::PushTime])
                    || pull == Some(until) && steps.has(&[Kind::PullTime, Kind::PollTime])
                    || until == NOW && steps.has(&[Kind::Send, Kind::BeginPull])
            }
            WaitingOn::Gate(direction) => self.is_paused(direction) && steps.has(&[Kind::Resume]),
            // A failure is still told after a stop; what the owner can do then is to start anew.
            WaitingOn::Owner(_) => {
                let sends = matches!(self.protocol.clone().next_push(LATER), Next::Do(_));
                let decides =
                    steps.has(&[Kind::Restart]) || self.blocked.is_some() && steps.has(&[Kind::RetryRejected]);
                !(pushes && sends) && (decides || self.protocol.is_stopped())
            }
            WaitingOn::Stopped => self.protocol.is_stopped(),
            // A party that this does not know.
            _ => false,
        }
    }

    /// Whether the direction that is named waits since upstream could not be reached, and not since it has asked for that
    /// or has answered.
    fn names_connection_rightly(&self, pushes: bool) -> bool {
        let push = matches!(self.protocol.push(), Push::Waiting { asked: false, reason: Delay::Unavailable, .. });
        let pull = matches!(self.protocol.pull(), Pull::Waiting { asked: false, reached: false, .. });
        let waits = matches!(self.protocol.push(), Push::Waiting { .. });
        if pushes && waits { push } else { pull }
    }

    /// Whether what upstream may have is protected from the owner's decisions, and nothing else.
    fn protects_sent(&self) -> bool {
        let sent = self.protocol.sent();
        let call = self.push.as_ref().filter(|call| !call.former || call.carried);
        let may_be_taken = call.filter(|call| self.may_come_late(call)).map_or(0, |call| call.batch.entries.len());
        let in_flight = self.push.as_ref().map_or(0, |call| call.batch.entries.len());
        self.own.max(may_be_taken) <= sent && sent <= in_flight.max(self.doubt.unseen)
    }

    fn polls_again(&self) -> bool {
        let rests = self.is_paused(Direction::Pull) || self.protocol.is_stopped();
        let comes = !matches!(self.protocol.clone().next_pull(NOW), Next::Wait { until: None });
        rests || comes || self.pull.is_some() || matches!(self.protocol.pull(), Pull::Failed { .. })
    }

    fn lost_echo(&self) -> bool {
        self.pull.as_ref().is_some_and(|call| call.lost != Part::Nothing)
    }

    /// Whether what is refused, and may have been taken with a push of before, is shown by a catch-up that is under way or
    /// owed: the owner can decide then.
    fn owes_catch_up_to_owner(&self) -> bool {
        let in_flight = matches!(self.protocol.push(), Push::Sending { .. });
        if self.blocked != Some(0) || in_flight || self.doubt.unseen == 0 || self.protocol.is_stopped() {
            return true;
        }
        match *self.protocol.pull() {
            Pull::Pulling { ending, .. } => ending || self.pull.as_ref().is_some_and(|pull| pull.after_doubt),
            Pull::Failed { .. } => true,
            _ => {
                let begins = matches!(self.protocol.clone().next_pull(LATER), Next::Do(_));
                begins || self.is_paused(Direction::Pull)
            }
        }
    }

    fn owes_catch_up(&self) -> bool {
        let pull = match *self.protocol.push() {
            // A timer that is not looked at is none.
            Push::Behind { until: Some(_), .. } => return true,
            Push::Behind { until: None, pull, .. } | Push::Uncertain { pull, .. } => pull,
            _ => return true,
        };
        match *self.protocol.pull() {
            Pull::Pulling { ticket, caught_up, ending, .. } => ending || ticket >= pull && !caught_up,
            // Its number will be the next; that one begins is what the waits are about.
            _ => pull <= self.protocol.counters().pulls + 1,
        }
    }
}
