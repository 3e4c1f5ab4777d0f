//! What may go wrong, and what owners may do: each costs one of the faults that a search has to spend.

use latchwork::log::Log;
use latchwork::protocol::{Direction, Failure, Fate, Protocol, Push};
use latchwork::upstream::{FatalKind, PullError};

use super::calls::{Answer, disconnected};
use super::client::{Client, World};
use super::model::Config;

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
    /// Upstream refuses a push for now and says for how long.
    Busy,
    /// Upstream says "behind" to a push, rightly or not, and does not say how far.
    RejectBlindly,
    /// The connection dies under a push before upstream gets it.
    LoseRequest,
    /// The connection dies under a push, and upstream gets it later: or never, if that is too late.
    DelayRequest,
    /// The connection dies before the answer to a push comes.
    LoseAnswer,
    /// Upstream says to a push that trying again cannot help.
    FatalPush,
    /// The call that pushes panics.
    PanicPush,
    /// The connection dies under a pull; a page on its way is lost.
    Disconnect,
    /// A live pull ends as if it had no more to say.
    EndStream,
    /// A live pull loses a page on its way, and goes on.
    LoseEcho,
    /// A page comes twice.
    DuplicatePage,
    /// Upstream says to a pull that trying again cannot help.
    FatalPull,
    /// The owner pauses pushing.
    PausePush,
    /// The owner pauses pulling.
    PausePull,
    /// The owner knows better than a backoff.
    RetryNow,
    /// The client ends and begins anew from its log.
    Crash,
    /// The client is stopped.
    Stop,
}

impl Client {
    pub fn may_suffer(&self, fault: Fault, config: &Config) -> bool {
        let unanswered = self.push.as_ref().is_some_and(|call| call.answer.is_none());
        let running = !self.protocol.is_stopped();
        let pull = self.pull.as_ref();
        match fault {
            Fault::Refuse | Fault::Busy | Fault::RejectBlindly | Fault::FatalPush => unanswered,
            Fault::LoseRequest | Fault::DelayRequest => unanswered,
            Fault::LoseAnswer => self.push.as_ref().is_some_and(|call| match call.answer {
                Some(answer) => matches!(answer, Answer::Taken | Answer::Behind(_)),
                None => false,
            }),
            Fault::PanicPush => self.push.is_some(),
            Fault::Disconnect | Fault::FatalPull => pull.is_some_and(|call| !call.interrupted),
            Fault::EndStream => config.live && pull.is_some_and(|call| call.caught_up && call.page.is_none()),
            Fault::LoseEcho => config.live && pull.is_some_and(|call| call.caught_up && call.page.is_some()),
            Fault::DuplicatePage => pull.is_some_and(|call| call.page.is_some()),
            Fault::PausePush => running && !self.is_paused(Direction::Push),
            Fault::PausePull => running && !self.is_paused(Direction::Pull),
            Fault::RetryNow | Fault::Crash | Fault::Stop => running,
        }
    }

    pub fn suffer(&mut self, fault: Fault, world: &mut World<'_>) {
        match fault {
            Fault::Refuse => self.is_told(Answer::Unavailable),
            Fault::Busy => self.is_told(Answer::Busy),
            Fault::RejectBlindly => self.is_told(Answer::Behind(None)),
            Fault::LoseRequest | Fault::LoseAnswer => self.is_told(Answer::Uncertain),
            Fault::FatalPush => self.is_told(Answer::Fatal),
            Fault::DelayRequest => self.lose_push(),
            Fault::PanicPush => {
                self.lose_push();
                let Some(call) = self.push.take() else { return };
                let decided = !matches!(self.protocol.push(), Push::Sending { fate: Fate::Open, .. });
                self.told = true;
                if !decided {
                    self.unresolved = Some(false);
                }
                let failure = Failure::Panicked { message: "injected".into() };
                self.input(world, |protocol| protocol.push_panicked(call.batch, failure));
            }
            Fault::Disconnect => self.end_pull(Err(disconnected()), world),
            Fault::EndStream => self.end_pull(Ok(()), world),
            Fault::LoseEcho => {
                if let Some(call) = &mut self.pull {
                    (call.page, call.lost) = (None, true);
                }
            }
            Fault::DuplicatePage => self.page(false, world),
            Fault::FatalPull => {
                self.told = true;
                self.end_pull(Err(PullError::Fatal { kind: FatalKind::Other, error: "fatal".into() }), world);
            }
            Fault::PausePush => self.pause(Direction::Push, world),
            Fault::PausePull => self.pause(Direction::Pull, world),
            Fault::RetryNow => self.input(world, Protocol::retry_now),
            Fault::Crash => self.crash(world.config),
            Fault::Stop => self.input(world, Protocol::stop),
        }
    }

    fn is_told(&mut self, answer: Answer) {
        self.push.iter_mut().for_each(|call| call.answer = Some(answer));
    }

    /// What is under way goes on without anybody who waits for it; what is in the log stays.
    fn crash(&mut self, config: &Config) {
        self.lose_push();
        let late = std::mem::take(&mut self.late);
        let anew = Self::new(self.id, self.uncommitted, config);
        let log = self.protocol.log().clone();
        debug_assert_eq!(log.pending(), self.pending());
        let protocol = Protocol::new(log, *self.protocol.settings());
        *self = Self { protocol, committed: self.committed, late, ..anew };
    }
}
