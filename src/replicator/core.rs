//! What the handle and the two workers share: one lock, and one place that publishes.
//!
//! Every transition goes through [`Core::apply`]. It changes the protocol under the lock and carries out what followed
//! under the same lock: tickets, updates, calls to interrupt. At its end it **publishes**: compares what each party would
//! be woken for with what it was told last, and wakes those for whom it differs. Wakers and interrupts are user code and
//! run after the lock has been given up.
//!
//! The log's methods are user code too, and run under the lock. A panic of theirs is contained; whoever called them is
//! told, and the state stays usable.

use std::sync::Arc as StdArc;

use super::ticket::Tickets;
use super::trace::trace;
use super::update::Update;
use crate::interrupt::{Cause, Interrupt};
use crate::known_bugs::bug;
use crate::log::{Log, Merged};
use crate::panics::panic_message;
use crate::points::point;
use crate::protocol::{Effects, Protocol, Signal, Time, WaitingOn};
use crate::queue::wake_all;
use crate::sync::{Instant, Sender, contain, note};
use crate::watched::{Topics, Wakers, Watched};

/// Who waits for what.
pub(super) mod topic {
    /// The pusher, for something to send.
    pub const PUSHER: usize = 0;
    /// The puller, for something to pull.
    pub const PULLER: usize = 1;
    /// Whoever waits for commits to settle.
    pub const SETTLED: usize = 2;
    /// How many there are.
    pub const COUNT: usize = 3;
}

/// One topic alone.
pub(super) const fn only(topic: usize) -> Topics {
    1 << topic
}

pub(super) struct Core<L: Log> {
    pub state: Watched<State<L>, { topic::COUNT }>,
    /// The origin of the protocol's time.
    origin: Instant,
}

pub(super) struct State<L: Log> {
    pub protocol: Protocol<L>,
    pub tickets: Tickets<L::Position>,
    pub subscribers: Vec<Sender<StdArc<Update<L>>>>,
    /// The interrupts of the calls that are going on.
    pub calls: Calls,
    /// The last failure of a call or of the log, in words.
    pub last_error: Option<String>,
    /// What the pusher and the puller were told last.
    told: (Signal, Signal),
    /// Who owes the next move, and since when.
    pub waiting_on: (WaitingOn, Time),
    /// What the pusher was woken by since it looked.
    #[cfg(feature = "tracing")]
    pub pusher_woken_by: Option<&'static str>,
}

#[derive(Default)]
pub(super) struct Calls {
    pub push: Option<Interrupt>,
    pub pull: Option<Interrupt>,
}

/// What remains to be done once the lock has been given up: user code.
pub(super) struct Aftermath {
    wakers: Wakers,
    interrupts: Vec<Interrupt>,
    cause: Cause,
}

impl Aftermath {
    pub(super) fn run(self) {
        for interrupt in self.interrupts {
            point!(BeforeRestart);
            interrupt.set(self.cause);
        }
        wake_all(self.wakers);
    }
}

impl<L: Log> Core<L> {
    pub(super) fn new(protocol: Protocol<L>) -> Self {
        let state = State {
            tickets: Tickets::new(protocol.log().pending()),
            told: (protocol.push_signal(), protocol.pull_signal()),
            waiting_on: (protocol.waiting_on(), Time::ZERO),
            protocol,
            subscribers: Vec::new(),
            calls: Calls::default(),
            last_error: None,
            #[cfg(feature = "tracing")]
            pusher_woken_by: None,
        };
        state.tell();
        Self { state: Watched::new(state), origin: Instant::now() }
    }

    /// The protocol's time now.
    pub(super) fn now(&self) -> Time {
        self.origin.elapsed()
    }

    /// The instant of a protocol's time; `None` if no clock can show it.
    pub(super) fn instant(&self, time: Time) -> Option<Instant> {
        self.origin.checked_add(time)
    }

    /// A transition: `step` under the lock, then whatever follows from it. If `step` panics the panic's message is
    /// returned.
    pub(super) fn apply<T>(&self, step: impl FnOnce(&mut State<L>) -> (T, Effects<L::Entry>)) -> Result<T, String> {
        let (result, aftermath) = self.state.change_topics(|state| {
            let (result, aftermath, topics) = state.transition(step, || self.now());
            ((result, aftermath), topics)
        });
        if let Some(aftermath) = aftermath {
            aftermath.run();
        }
        trace!(emit());
        result
    }

    /// Looks at how things stand and, in the same step, settles everything that has not settled as closed and ends the
    /// updates. Who calls this owns the replicator: nobody can wait in a flush, or come later.
    pub(super) fn close<T>(&self, look: impl FnOnce(&State<L>) -> T) -> T {
        let (result, wakers) = self.state.look(|state| {
            state.subscribers.clear();
            (look(state), state.tickets.close(0))
        });
        wake_all(wakers);
        result
    }
}

impl<L: Log> State<L> {
    /// A step, what follows from it, and who is to be woken. The clock is read if somebody else owes the next move then.
    pub(super) fn transition<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> (T, Effects<L::Entry>),
        now: impl FnOnce() -> Time,
    ) -> (Result<T, String>, Option<Aftermath>, Topics) {
        let first = self.tickets.first();
        let (result, effects) = match contain(|| step(self)) {
            Ok((result, effects)) => (Ok(result), effects),
            Err(payload) => (Err(panic_message(payload)), Effects::default()),
        };
        let aftermath = self.carry_out(effects);
        let mut topics = self.publish(now);
        // Not whether a ticket was told: events that were pending from the start have none.
        if self.tickets.first() != first {
            topics |= only(topic::SETTLED);
        }
        (result, aftermath, topics)
    }

    fn carry_out(&mut self, effects: Effects<L::Entry>) -> Option<Aftermath> {
        let Effects { merged, interrupt_push, interrupt_pull, spent: _ } = effects;
        let mut wakers = Wakers::new();
        if let Some(merged) = merged {
            trace!(merged(&self.protocol, &merged));
            wakers = self.tickets.merged(self.protocol.log(), &merged);
            self.inform(merged);
        }
        let push = self.calls.push.as_ref().filter(|_| interrupt_push);
        let pull = self.calls.pull.as_ref().filter(|_| interrupt_pull);
        let interrupts: Vec<_> = push.into_iter().chain(pull).cloned().collect();
        if wakers.is_empty() && interrupts.is_empty() {
            return None;
        }
        let cause = if self.protocol.is_stopped() { Cause::Stop } else { Cause::Restart };
        Some(Aftermath { wakers, interrupts, cause })
    }

    /// Sends an update to whoever listens. The channels do not block, so this may happen under the lock, which keeps the
    /// updates in order.
    fn inform(&mut self, merged: Merged<L::Entry>) {
        if self.subscribers.is_empty() {
            return;
        }
        let (head, upstream_head) = (self.protocol.log().head(), self.protocol.log().upstream_head());
        let update = StdArc::new(Update { merged, head, upstream_head });
        self.subscribers.retain(|subscriber| subscriber.send(StdArc::clone(&update)).is_ok());
    }

    /// The one place that publishes: says who has to be woken.
    fn publish(&mut self, now: impl FnOnce() -> Time) -> Topics {
        let signals = (self.protocol.push_signal(), self.protocol.pull_signal());
        let mut topics = 0;
        if signals.0 != self.told.0 && signals.0 != Signal::Nothing && !bug!(PublishForgetsPusher) {
            topics |= only(topic::PUSHER);
            trace!(wakes_pusher(self));
        }
        if signals.1 != self.told.1 && signals.1 != Signal::Nothing {
            topics |= only(topic::PULLER);
        }
        self.told = signals;
        self.note(now);
        topics
    }

    /// The worker of this topic has looked, may have begun something, and was told what it is to wait for.
    pub(super) fn looked(&mut self, topic: usize, told: Signal, now: Time) {
        note!(step());
        match topic {
            topic::PUSHER => {
                self.told.0 = told;
                note!(because(self.protocol.push()));
            }
            _ => {
                self.told.1 = if bug!(WaitOutlivesItsTime) { self.protocol.pull_signal() } else { told };
                note!(because(self.protocol.pull()));
            }
        }
        self.note(|| now);
    }

    /// Notes who owes the next move, since `now`; since the former note, if that is later (a worker's `now` is when it
    /// began to wait).
    fn note(&mut self, now: impl FnOnce() -> Time) {
        let waiting_on = self.protocol.waiting_on();
        if !waiting_on.is_same(&self.waiting_on.0) {
            self.waiting_on = (waiting_on, now().max(self.waiting_on.1));
        }
        self.tell();
    }

    /// Says in a model how things stand.
    fn tell(&self) {
        note!(stands("the replicator:", || {
            let (protocol, log) = (&self.protocol, self.protocol.log());
            let parts = vec![
                format!("{} pending", log.pending()),
                format!("upstream's head {:?}", log.upstream_head()),
                format!("epoch {}", protocol.epoch()),
                format!("the pusher {}", protocol.push()),
                format!("the puller {}", protocol.pull()),
            ];
            (parts, format!("head {:?}; the next move is owed by {}", log.head(), protocol.waiting_on()))
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::MemoryLog;
    use crate::protocol::{Direction, Settings};
    use crate::sync::IN_MODEL;

    type Stands = State<MemoryLog<u8>>;
    type Step = fn(&mut Stands);

    fn core() -> Core<MemoryLog<u8>> {
        Core::new(Protocol::new(MemoryLog::new(), Settings::default()))
    }

    /// Who is woken by this step.
    fn wakes(core: &Core<MemoryLog<u8>>, step: Step) -> Topics {
        let step = |state: &mut Stands| (step(state), Effects::default());
        core.state.look(|state| state.transition(step, || Time::ZERO)).2
    }

    fn commit(state: &mut Stands) {
        let count = state.protocol.commit(vec![1]).expect("it has a number");
        state.tickets.issue(count, 0);
    }

    #[test]
    fn a_transition_wakes_those_who_have_something_to_do_now_and_had_not_before() {
        if IN_MODEL {
            return;
        }
        let core = core();
        let (pusher, puller) = (only(topic::PUSHER), only(topic::PULLER));
        let steps: &[(&str, Step, Topics)] = &[
            ("nothing", |_| (), 0),
            ("a commit", commit, pusher),
            ("another, and the pusher has not looked yet", commit, 0),
            ("the push direction is paused", |state| drop(state.protocol.pause(Direction::Push)), 0),
            ("it is resumed", |state| state.protocol.resume(Direction::Push), pusher),
            ("the pull direction is paused", |state| drop(state.protocol.pause(Direction::Pull)), 0),
            ("it is resumed", |state| state.protocol.resume(Direction::Pull), puller),
            ("everything is to stop, and neither has looked yet", |state| drop(state.protocol.stop()), 0),
        ];
        for (what, step, expected) in steps {
            assert_eq!(wakes(&core, *step), *expected, "{what}");
        }
    }

    #[test]
    fn whoever_waits_for_commits_is_woken_when_the_first_of_them_has_settled() {
        if IN_MODEL {
            return;
        }
        let core = core();
        let close: Step = |state| drop(state.tickets.close(0));
        for (step, expected) in [(commit as Step, 0), (close, only(topic::SETTLED)), (close, 0)] {
            assert_eq!(wakes(&core, step) & only(topic::SETTLED), expected);
        }
    }
}
