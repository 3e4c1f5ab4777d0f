//! What may go wrong, and what owners may do: each costs one of the faults that a search has to spend, unless it may happen
//! for ever.

use latchwork::protocol::{Direction, Protocol};

use super::calls::{Answer, End};
use super::client::{AT_LAST, Client, NOW, World};
use super::log::Lie;
use super::model::Config;
use super::upstream::Upstream;

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault {
            $($(#[$doc])* $fault,)*
        }

        /// Every fault.
        pub const ALL: &[Fault] = &[$(Fault::$fault,)*];
    };
}

faults! {
    /// Upstream cannot be reached by a push.
    Refuse,
    /// Upstream refuses a push for now and names a time.
    Busy,
    /// Upstream says "behind" to a push, rightly or not, and does not say how far.
    RejectBlindly,
    /// Upstream says "behind", and names the event as its head that the push follows.
    RejectAtBase,
    /// Upstream says "behind", and names a head that it does not have.
    RejectBeyond,
    /// The connection dies under a push before upstream gets it.
    LoseRequest,
    /// The connection dies under a push, and upstream gets it later: or never, if that is too late.
    DelayRequest,
    /// The connection dies before the answer to a push comes.
    LoseAnswer,
    /// The connection dies under a push before upstream gets it, and what stands before upstream names a time.
    Timeout,
    /// A push has no end until it is asked to end, whether upstream gets it or not.
    Hang,
    /// Upstream refuses the first event of a push for good, rightly or not.
    RejectFirst,
    /// Upstream refuses the last event of a push for good, rightly or not.
    RejectLast,
    /// Upstream refuses an event that was not sent.
    RejectNone,
    /// Upstream finds a push too large.
    TooLarge,
    /// Upstream says to a push that trying again cannot help.
    FatalPush,
    /// The call that pushes panics.
    PanicPush,
    /// The connection dies under a pull; a page on its way is lost.
    Disconnect,
    /// The connection dies under a pull that has lived longer than any delay.
    DisconnectAtLast,
    /// A pull ends that has no more to say.
    EndStream,
    /// Upstream ends a pull and names a time.
    BusyPull,
    /// A live pull loses a page on its way, and goes on.
    LoseEcho,
    /// A page comes twice.
    DuplicatePage,
    /// A page comes that has nothing in it.
    Heartbeat,
    /// Upstream says to a pull that trying again cannot help.
    FatalPull,
    /// The call that pulls panics.
    PanicPull,
    /// Upstream loses its last event, and all connections die.
    GoBack,
    /// The owner pauses pushing.
    PausePush,
    /// The owner pauses pulling.
    PausePull,
    /// The owner knows better than a backoff.
    RetryNow,
    /// The owner knows better than upstream.
    Override,
    /// The owner has changed something that a failure may be about, whether there is one or not.
    Restart,
    /// The owner ends both calls.
    Reconnect,
    /// The owner will not wait for more events.
    Hurry,
    /// The owner gives up the first event that is to be sent.
    GiveUpFirst,
    /// The owner gives up the last event that is to be sent.
    GiveUpLast,
    /// The owner puts another event in the place of the last that is to be sent.
    ReplaceLast,
    /// The owner has the event tried again that upstream refuses.
    RetryRejected,
    /// The owner puts in a log that goes on from where the old one is, with what is pending.
    ResetWith,
    /// The owner puts in a log that goes on from where upstream is, with what is pending and not in it.
    ResetToSnapshot,
    /// The owner puts in a log that begins anew, with all that upstream may lack.
    ResetKeeping,
    /// The owner puts in a log that goes on from where the old one is, without what is pending.
    ResetDropping,
    /// The log makes a batch of nothing.
    LieInBatch,
    /// The log counts a commit wrongly, while no push is in flight.
    LieInCommit,
    /// The log does not do a merge, and says that it has.
    LieInMerge,
    /// The log does not say what it has confirmed.
    LieInConfirmed,
    /// The log has given up what is not there.
    LieInDropped,
    /// The client ends and begins anew from its log; with a journal, from what that holds.
    Crash,
    /// A write of the journal's fails, and has written some of the changes, or all.
    FailWrite,
    /// The client is stopped.
    Stop,
}

/// What may go wrong with any client and any upstream.
#[rustfmt::skip]
pub const COMMON: &[Fault] = &[
    Fault::Refuse, Fault::Busy, Fault::RejectBlindly, Fault::LoseRequest, Fault::DelayRequest, Fault::LoseAnswer, Fault::FatalPush, Fault::PanicPush,
    Fault::Disconnect, Fault::EndStream, Fault::BusyPull, Fault::LoseEcho, Fault::DuplicatePage, Fault::FatalPull, Fault::PanicPull,
    Fault::PausePush, Fault::PausePull, Fault::RetryNow, Fault::Override, Fault::Restart, Fault::ResetKeeping, Fault::ResetDropping, Fault::Crash, Fault::Stop,
];

impl Client {
    pub fn may_suffer(&self, fault: Fault, config: &Config, upstream: &Upstream) -> bool {
        let unanswered = self.push.as_ref().is_some_and(|call| call.answer.is_none());
        let running = !self.protocol.is_stopped();
        let pull = self.pull.as_ref();
        let waits = pull.is_some_and(|call| call.page.is_none() && call.given >= upstream.shown);
        match fault {
            Fault::Refuse | Fault::Busy | Fault::FatalPush => unanswered,
            Fault::RejectBlindly | Fault::RejectAtBase | Fault::RejectBeyond => unanswered,
            Fault::LoseRequest | Fault::DelayRequest | Fault::Timeout => unanswered,
            Fault::RejectFirst | Fault::RejectNone | Fault::TooLarge => unanswered,
            Fault::RejectLast => unanswered && self.push.iter().any(|call| call.batch.entries.len() > 1),
            Fault::Hang => unanswered && self.push.iter().any(|call| !call.hangs && !call.interrupted),
            Fault::LoseAnswer => self.push.as_ref().is_some_and(|call| match call.answer {
                Some(answer) => matches!(answer, Answer::Taken | Answer::Behind(_)),
                None => false,
            }),
            Fault::PanicPush => self.push.is_some(),
            Fault::Disconnect | Fault::DisconnectAtLast => pull.is_some_and(|call| !call.interrupted),
            Fault::BusyPull | Fault::FatalPull | Fault::PanicPull => pull.is_some(),
            Fault::EndStream | Fault::Heartbeat => waits,
            Fault::LoseEcho => config.live && pull.is_some_and(|call| call.caught_up && call.page.is_some()),
            Fault::DuplicatePage => pull.is_some_and(|call| call.page.is_some()),
            Fault::GoBack => upstream.can_go_back(),
            Fault::PausePush => running && !self.is_paused(Direction::Push),
            Fault::PausePull => running && !self.is_paused(Direction::Pull),
            Fault::RetryNow | Fault::Override | Fault::Restart | Fault::Crash | Fault::Stop => running,
            Fault::ResetKeeping | Fault::ResetDropping | Fault::ResetWith | Fault::ResetToSnapshot => running,
            Fault::FailWrite => self.is_writing(),
            Fault::Reconnect => running,
            Fault::Hurry => running && config.lingers,
            Fault::GiveUpFirst => running && self.pending() > 0,
            Fault::GiveUpLast => running && self.pending() > 1,
            Fault::ReplaceLast => running && self.pending() > 0 && self.may_replace(self.pending() - 1),
            Fault::RetryRejected => running && self.refused.is_some(),
            Fault::LieInCommit => self.uncommitted > 0 && self.protocol.log().is_honest(),
            Fault::LieInBatch | Fault::LieInMerge | Fault::LieInConfirmed | Fault::LieInDropped => {
                self.protocol.log().is_honest()
            }
        }
    }

    pub fn suffer(&mut self, fault: Fault, world: &mut World<'_>) {
        match fault {
            Fault::Refuse => self.is_told(Answer::Unavailable),
            Fault::Busy => self.is_told(Answer::Busy),
            Fault::RejectBlindly => self.is_told(Answer::Behind(None)),
            Fault::RejectAtBase => self.is_told(Answer::Behind(self.push.as_ref().map(|call| call.batch.base))),
            Fault::RejectBeyond => self.is_told(Answer::Behind(Some(world.upstream.head() + 1))),
            Fault::LoseRequest | Fault::LoseAnswer => self.is_told(Answer::Uncertain),
            Fault::Timeout => self.is_told(Answer::Timeout),
            Fault::Hang => self.push.iter_mut().for_each(|call| call.hangs = true),
            Fault::RejectFirst => self.is_told(Answer::Rejected(0)),
            Fault::RejectLast | Fault::RejectNone => {
                let count = self.push.as_ref().map_or(0, |call| call.batch.entries.len());
                self.is_told(Answer::Rejected(count - usize::from(fault == Fault::RejectLast)));
            }
            Fault::TooLarge => self.is_told(Answer::TooLarge),
            Fault::FatalPush => self.is_told(Answer::Fatal),
            Fault::DelayRequest => self.lose_push(),
            Fault::PanicPush => self.panic_push(world),
            Fault::Disconnect => self.end_pull(End::Disconnected, NOW, world),
            Fault::DisconnectAtLast => {
                self.calls = [0; 2];
                self.end_pull(End::Disconnected, AT_LAST, world);
            }
            Fault::EndStream => self.end_pull(End::CaughtUp, NOW, world),
            Fault::BusyPull => self.end_pull(End::Busy, NOW, world),
            Fault::LoseEcho => {
                if let Some(call) = &mut self.pull {
                    (call.page, call.lost) = (None, true);
                }
            }
            Fault::DuplicatePage => self.page(false, world),
            Fault::Heartbeat => {
                if let Some(call) = &mut self.pull {
                    call.make_page(world);
                }
            }
            Fault::FatalPull => self.end_pull(End::Fatal, NOW, world),
            Fault::PanicPull => self.panic_pull(world),
            Fault::GoBack => {
                world.upstream.go_back();
                self.lose_push();
                self.late.clear();
                self.end_pull(End::Disconnected, NOW, world);
            }
            Fault::PausePush => self.pause(Direction::Push, world),
            Fault::PausePull => self.pause(Direction::Pull, world),
            Fault::RetryNow => self.retry_now(false, world),
            Fault::Override => self.retry_now(true, world),
            Fault::Restart => self.restart(world),
            Fault::ResetKeeping => self.reset(true, world),
            Fault::ResetDropping => self.reset(false, world),
            Fault::ResetWith => self.reset_with(false, world),
            Fault::ResetToSnapshot => self.reset_with(true, world),
            Fault::Reconnect => self.reconnect(world),
            Fault::Hurry => self.hurry(world),
            Fault::GiveUpFirst => self.decide(0, false, world),
            Fault::GiveUpLast => self.decide(self.pending() - 1, false, world),
            Fault::ReplaceLast => self.decide(self.pending() - 1, true, world),
            Fault::RetryRejected => self.retry_rejected(world),
            Fault::LieInBatch => self.protocol.log().will_tell(Lie::Batch),
            Fault::LieInCommit => {
                self.protocol.log().will_tell(Lie::Commit);
                self.commit(world);
            }
            Fault::LieInMerge => self.protocol.log().will_tell(Lie::Merge),
            Fault::LieInConfirmed => self.protocol.log().will_tell(Lie::Confirmed),
            Fault::LieInDropped => self.protocol.log().will_tell(Lie::Dropped),
            Fault::Crash => self.crash(world),
            Fault::FailWrite => self.fail_write(world),
            Fault::Stop => {
                self.input(world, Protocol::stop);
            }
        }
    }

    fn is_told(&mut self, answer: Answer) {
        self.push.iter_mut().for_each(|call| (call.answer, call.hangs) = (Some(answer), false));
    }

    /// What is under way goes on without a caller that waits for it; what is in the log stays, or what its journal holds.
    fn crash(&mut self, world: &mut World<'_>) {
        self.lose_push();
        let protocol = self.recover(world.config, world);
        let (late, disk) = (std::mem::take(&mut self.late), self.disk.take());
        let anew = Self::new(self.id, self.uncommitted, world.config);
        let Self { committed, given_up, replaced, gone, misled, .. } = *self;
        *self = Self { protocol, committed, given_up, replaced, gone, misled, late, disk, ..anew };
        self.was_not_told(world);
    }
}
