//! Who may do what next: pushing and pulling as a pure state machine.
//!
//! [`Protocol`] has no threads, no I/O and no clock. Every input is a method, time is an argument
//! ([`Time`], counted from whenever the driver likes), and what a driver is to do is asked with
//! [`next_push`](Protocol::next_push) and [`next_pull`](Protocol::next_pull). The
//! `latchwork::Replicator` drives it with two threads; tasks, an event loop or a model
//! checker could as well.
//!
//! # The pusher
//!
//! The pusher's state ([`Push`]) says what would make it move again; a parked pusher without a
//! cause cannot be written down.
//!
//! | state | left by |
//! | --- | --- |
//! | `Idle` | something pending, and the gate open: `Sending` |
//! | `Sending` | the outcome: `Idle`, `Behind`, `Uncertain`, `Waiting`, `Failed` |
//! | `Behind` | an advance or rebase (to upstream's head, if it was told); a catch-up that has finished, even an empty one; a restart, a resume, `retry_now` |
//! | `Uncertain` | a merge that passes the base of that push; a pull that **began after** the outcome and has caught up |
//! | `Waiting` | the time; what the [reason](Delay) names; a resume, a restart, `retry_now` |
//! | `Failed` | the owner: `restart` |
//!
//! # The race that one would fear
//!
//! A push is rejected as *behind*, and by the time the answer is handled the advance that it should
//! wait for has come and gone. So the **epoch**, which every event counts that could end a wait, is
//! read before sending, and `Behind` is entered only if it is unchanged; otherwise the pusher looks
//! again at once. Reading, comparing and counting happen in methods of one value, hence under one
//! lock.
//!
//! # No progress depends on an unsolicited message
//!
//! `Behind` and `Uncertain` lead to a **catch-up**: a pull that begins after the outcome.
//! `Uncertain` asks for it at once, `Behind` after a short grace in which a live pull usually
//! brings the news. A catch-up is owed until a pull with the right number reports, however many
//! fail in between. It is asked for by number, so a pull that had begun before cannot be mistaken
//! for it.
//!
//! # No answer makes it hammer
//!
//! Whatever upstream answers, at once and for ever: without a merge in between, calls come no
//! faster than the [backoff](Settings::backoff) allows.
//!
//! - A rejection is followed by another push at once if the merge that explains it has come, or a
//!   catch-up has explained nothing; **once**. From the second rejection on without a merge in
//!   between the pusher backs off. So it does if the catch-up falls short of the head that upstream
//!   told.
//! - A success that brought nothing forgets no failure at once. A pull's failures are forgotten
//!   when one has brought something, or has succeeded after their last delay has passed a second
//!   time; a push's when one is accepted, or the owner has decided about what
//!   [upstream refuses](Protocol::rejected).
//! - A reconnect cuts a push's delay short, once for each success.
//! - Pushes that others overtake are sent again at once [a few times](Delay::Overtaken), then after
//!   a short delay.
//!
//! An answer that names a time
//! ([`retry_after`](crate::protocol::PushError::Unavailable::retry_after)) is about upstream,
//! whatever has become of the call and of the direction since. So it stands beside their states:
//! until then no call begins in that direction, also after [`restart`](Protocol::restart) and
//! [`reset`](Protocol::reset). Only [`override_retry_after`](Protocol::override_retry_after) ends
//! it.
//!
//! # Calls of before
//!
//! Calls are numbered. [`reset`](Protocol::reset) and [`restart`](Protocol::restart) note the
//! numbers that they have found, and everything that comes back is looked at with them: the answer
//! to a call for a former log is of no consequence, and a fatal answer to a call that was begun
//! before a restart is followed by another try.
//!
//! A push is in flight until its end is reported. A failure that comes in between is shown at once
//! and [kept with it](Push::Sending::failed): the answer still counts.
//!
//! # What may have been taken
//!
//! A push without an answer may have been taken: that is a [doubt](Protocol::is_uncertain), which
//! stays, whatever the pusher does meanwhile, until all of it has been seen here (a batch is taken
//! whole), or another event in its place (a batch is taken only at its base), or a pull that began
//! after the outcome has caught up. Nothing is sent while it could be taken twice: until upstream's
//! head has passed the base of that push here.
//!
//! # Logs that break their contract
//!
//! The log's answers are checked where they come from: a batch of nothing, a merge that does not
//! move the cursor or whose account of what was pending does not add up. The direction that met it
//! [has failed](Failure::Contract).

mod canonical;
mod contract;
mod decisions;
mod durable;
mod messages;
mod pull;
mod push;
mod settings;
mod status;
mod waiting;

use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;

#[doc(hidden)]
pub use self::canonical::Canonical;
use self::decisions::Blocked;
pub use self::decisions::{DecisionError, Undecided};
use self::durable::Durable;
pub use self::messages::{Batch, FatalKind, More, Page, PullError, PushError};
pub use self::pull::Pull;
pub use self::push::{Delay, Fate, Push, Refused};
pub use self::settings::{Resend, Settings};
pub use self::status::{Counters, Direction, Failure, Progress, WaitingOn};
use crate::SharedError;
use crate::log::{Changed, Log, Merged};

/// A point in time: how long after an origin of the driver's choice.
#[doc(no_inline)]
pub use std::time::Duration as Time;

/// The state machine. See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Protocol<L: Log> {
    log: L,
    settings: Settings,
    /// All that is known about this log and its calls. A reset puts a new one in its place.
    course: Course<L::Position>,
    /// Directions whose gate is closed.
    paused: Both<bool>,
    /// Before these times no call begins, for upstream has asked for that; zero if it has not, or they are over. They are
    /// about upstream, hence stay when the log is replaced.
    not_before: Both<Time>,
    /// No push and no pull begins any more. Set once.
    stopped: bool,
    /// Counts merges and the owner's requests to look again: what a rejection may have missed.
    epoch: u64,
    /// The calls begun; the number of the latest is its ticket.
    begun: Both<u64>,
    /// Up to these numbers, calls were for a former log.
    former: Both<u64>,
    /// Up to these numbers, calls were begun before the owner's last restart.
    before_restart: Both<u64>,
    /// Up to this number, the ends of pulls have been reported.
    ended: u64,
    /// What a merge passed over that panicked. It leaves with the next.
    passed: Spent<L::Entry>,
    /// For the next batch, if it is made at once: an empty vector.
    room: Vec<L::Entry>,
    /// What the journal has written, if there is one.
    durable: Option<Box<Durable<L::Entry, L::Position>>>,
    counters: Counters,
}

/// One value for each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Both<T> {
    push: T,
    pull: T,
}

impl<T> Both<T> {
    fn of(&mut self, direction: Direction) -> &mut T {
        match direction {
            Direction::Push => &mut self.push,
            Direction::Pull => &mut self.pull,
        }
    }
}

/// How replication of one log stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Course<P> {
    push: Push<P>,
    pull: Pull,
    /// The pull, by number, that must have caught up before a catch-up is no longer owed.
    catch_up: u64,
    /// A push that may have been taken, which nothing has decided yet.
    doubt: Option<Doubt<P>>,
    /// Pushes that could not reach upstream or had no answer, since one was accepted or the owner said to go on.
    push_failures: u32,
    /// Pushes that were rejected since the last merge, or the owner said to go on.
    rejected: u32,
    /// Pushes that others overtook since one was accepted, or the owner said to go on.
    overtaken: u32,
    /// Pulls that failed, or ended without news, since one brought something or lived long enough.
    pull_failures: u32,
    /// From when on a pull that succeeds forgets its failures: their last delay has passed a second time. Zero without any.
    pull_proven: Time,
    /// Whether a pull could not reach upstream and none has caught up since: the next that does is a reconnect.
    unreached: bool,
    /// Whether a reconnect may cut a push's delay short: once for each success.
    may_cut: bool,
    /// Whether the log has refused a page and none has been applied since: the next refusal is a failure.
    refused: bool,
    /// The pending event that upstream refuses for good, if there is one: none from it on is sent.
    blocked: Option<Blocked>,
    /// The most events that a push may carry, if upstream has found one too large: half of those.
    fits: Option<NonZeroUsize>,
    /// When the next pull is owed, if they are not live and follow each other in an interval.
    poll: Option<Time>,
    /// Whether no push waits for more events, until one has carried all there are: what a push has carried that was not taken
    /// has waited before.
    in_a_hurry: bool,
    /// What pulls have told of how far this log has come. It changes nothing.
    progress: Progress<P>,
}

impl<P> Course<P> {
    /// Nothing has been done, and a pull is owed: the one with this number.
    fn new(catch_up: u64) -> Self {
        Self {
            push: Push::Idle,
            pull: Pull::Idle,
            catch_up,
            doubt: None,
            push_failures: 0,
            rejected: 0,
            overtaken: 0,
            pull_failures: 0,
            pull_proven: Time::ZERO,
            unreached: false,
            may_cut: true,
            refused: false,
            blocked: None,
            fits: None,
            poll: None,
            in_a_hurry: false,
            progress: Progress::default(),
        }
    }

    /// How many pushes in a row have come to nothing.
    fn in_vain(&self) -> u32 {
        self.push_failures.saturating_add(self.rejected)
    }
}

/// When an input comes, and what it leaves to chance.
#[derive(Clone, Copy)]
struct Moment {
    now: Time,
    random: u64,
}

/// A push that may have been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Doubt<P> {
    /// It was made to follow this event: what upstream has after it shows whether it was taken.
    base: P,
    /// How many of its events no merge has confirmed. At least one.
    unconfirmed: usize,
    /// A pull with this number, or a later one, shows what became of it.
    pull: u64,
}

/// What an input led to, beyond the state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "the driver has to carry it out"]
#[non_exhaustive]
pub struct Effects<T> {
    /// What was merged into the log, if anything.
    pub merged: Option<Merged<T>>,
    /// Whatever the push in flight is answered has been decided: the call need not go on.
    pub interrupt_push: bool,
    /// The pull in flight began too early, or is not wanted any more: it is to end.
    pub interrupt_pull: bool,
    /// What is not needed any more. Dropping it runs code of the user's: not under a lock.
    pub spent: Spent<T>,
}

impl<T> Default for Effects<T> {
    fn default() -> Self {
        Self { merged: None, interrupt_push: false, interrupt_pull: false, spent: Spent::default() }
    }
}

impl<T> Effects<T> {
    /// What has followed from another input, in the same step. One of the two has merged nothing.
    pub fn follow(&mut self, next: Self) {
        let Self { merged, interrupt_push, interrupt_pull, spent } = next;
        self.merged = self.merged.take().or(merged);
        self.interrupt_push |= interrupt_push;
        self.interrupt_pull |= interrupt_pull;
        self.spent.append(spent);
    }
}

/// Values of the user's that are to be dropped. Two of them are always equal: what is gone makes no difference.
///
/// Few steps have any, so they are in a box.
#[derive(Debug, Clone)]
pub struct Spent<T>(Option<Box<(Vec<T>, Vec<SharedError>)>>);

impl<T> Default for Spent<T> {
    #[inline]
    fn default() -> Self {
        Self(None)
    }
}

impl<T> PartialEq for Spent<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Spent<T> {}

impl<T> Hash for Spent<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl<T> Spent<T> {
    fn entries(entries: Vec<T>) -> Self {
        if entries.is_empty() { Self(None) } else { Self(Some(Box::new((entries, Vec::new())))) }
    }

    fn more(&mut self, entries: impl IntoIterator<Item = T>) {
        let mut entries = entries.into_iter().peekable();
        if entries.peek().is_some() {
            self.0.get_or_insert_default().0.extend(entries);
        }
    }

    fn error(&mut self, error: Option<SharedError>) {
        if let Some(error) = error {
            self.0.get_or_insert_default().1.push(error);
        }
    }

    fn append(&mut self, more: Self) {
        let (entries, errors) = more.into_parts();
        self.more(entries);
        errors.into_iter().for_each(|error| self.error(Some(error)));
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What they are, for a driver that drops them at different times.
    pub fn into_parts(self) -> (Vec<T>, Vec<SharedError>) {
        self.0.map(|spent| *spent).unwrap_or_default()
    }
}

/// What a direction is to do, and what it is woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<T> {
    /// This.
    Do(T),
    /// Wait for a change, and until this time, if there is one.
    Wait {
        /// Until when at the latest.
        until: Option<Time>,
    },
    /// Nothing any more.
    Stop,
}

impl<T> Next<T> {
    /// The same, with something else to do.
    #[inline]
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Next<U> {
        match self {
            Self::Do(this) => Next::Do(map(this)),
            Self::Wait { until } => Next::Wait { until },
            Self::Stop => Next::Stop,
        }
    }
}

impl Next<()> {
    /// Something is to be done from this time on: at once, if it is zero.
    #[inline]
    fn from(time: Time) -> Self {
        if time == Time::ZERO { Self::Do(()) } else { Self::Wait { until: Some(time) } }
    }

    /// Whether a direction is woken for this that was told something else when it looked, or when it was woken.
    #[inline]
    pub fn wakes(self, told: Self) -> bool {
        match self {
            Self::Do(()) | Self::Stop => matches!(told, Self::Wait { .. }),
            Self::Wait { until } => until.is_some() && self != told,
        }
    }
}

impl<L: Log> Protocol<L> {
    /// A protocol that has neither pushed nor pulled yet. The log may hold pending events; with a journal, those that it
    /// holds.
    pub fn new(log: L, settings: Settings) -> Self {
        let durable = settings.journal.map(|max| Box::new(Durable::new(log.pending(), max.get())));
        Self {
            durable,
            log,
            settings,
            course: Course::new(1),
            paused: Both::default(),
            not_before: Both::default(),
            stopped: false,
            epoch: 0,
            begun: Both::default(),
            former: Both::default(),
            before_restart: Both::default(),
            ended: 0,
            passed: Spent::default(),
            room: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// The log.
    pub fn log(&self) -> &L {
        &self.log
    }

    /// Gives the log back.
    pub fn into_log(self) -> L {
        self.log
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the pusher is doing.
    pub fn push(&self) -> &Push<L::Position> {
        &self.course.push
    }

    /// What the puller is doing.
    pub fn pull(&self) -> &Pull {
        &self.course.pull
    }

    /// How many merges there have been, and requests of the owner's to look again.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How far the log has come, as pulls have told.
    pub fn progress(&self) -> &Progress<L::Position> {
        &self.course.progress
    }

    /// What has happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Appends local events. Returns how many of them are to be sent.
    ///
    /// # Errors
    ///
    /// The log's, and nothing is appended.
    pub fn commit(&mut self, events: Vec<L::Event>) -> Result<usize, L::Error> {
        if self.durable.is_some() {
            let entries = self.log.number(events)?;
            return self.commit_numbered(entries);
        }
        self.admitted(|log| log.append(events))
    }

    /// Appends local events that their author has numbered.
    ///
    /// # Errors
    ///
    /// The log's if they do not follow its head, and nothing is appended.
    pub fn commit_numbered(&mut self, entries: Vec<L::Entry>) -> Result<usize, L::Error> {
        let kept = self.durable.as_ref().map(|_| entries.clone());
        let admitted = self.admitted(|log| log.admit(entries));
        if let Some(entries) = kept {
            match admitted {
                Ok(_) => self.note(|| Changed::Committed { entries }),
                Err(_) => self.passed.more(entries),
            }
        }
        admitted
    }

    /// Counts what the log has really got, whatever it says: what is pending is what will be settled.
    fn admitted(&mut self, append: impl FnOnce(&mut L) -> Result<usize, L::Error>) -> Result<usize, L::Error> {
        let before = self.log.pending();
        let told = append(&mut self.log)?;
        self.course.in_a_hurry &= before > 0;
        self.counters.commits += 1;
        let sent = self.log.pending().saturating_sub(before);
        if let Err(failure) = contract::admitted(before, told, self.log.pending()) {
            self.push_unsent(failure);
        }
        self.lingers_no_more_if_full();
        Ok(sent)
    }

    /// Closes a direction's gate: nothing new begins in it. A push in flight goes on; a pull is to end.
    pub fn pause(&mut self, direction: Direction) -> Effects<L::Entry> {
        *self.paused.of(direction) = true;
        Effects { interrupt_pull: direction == Direction::Pull && self.end_pull(), ..Effects::default() }
    }

    /// Opens a direction's gate and looks again, without waiting out a backoff. A time that upstream has asked for holds.
    pub fn resume(&mut self, direction: Direction) {
        *self.paused.of(direction) = false;
        self.look_again(direction);
    }

    /// Ends every backoff: both directions look again now, or at the time that upstream has asked for. A pull begins in any
    /// case; if that direction is paused, once it is resumed.
    pub fn retry_now(&mut self) -> Effects<L::Entry> {
        self.look_again(Direction::Push);
        self.look_again(Direction::Pull);
        self.ask_for_catch_up()
    }

    /// Forgets the times that upstream has asked for, and looks again as [`retry_now`](Self::retry_now) does. For an owner
    /// who knows better than upstream did.
    pub fn override_retry_after(&mut self) -> Effects<L::Entry> {
        self.not_before = Both::default();
        self.retry_now()
    }

    /// Begins anew with what the calls in flight may wait for in vain, for instance since the network has changed: both are
    /// asked to end, and both directions look again, as with [`retry_now`](Self::retry_now). The answers count.
    pub fn reconnect(&mut self) -> Effects<L::Entry> {
        let interrupt_push = matches!(self.course.push, Push::Sending { .. });
        Effects { interrupt_push, ..self.retry_now() }
    }

    /// What is pending now is sent without waiting for more to come.
    pub fn hurry(&mut self) {
        self.course.in_a_hurry = !self.settings.linger.is_zero() && self.log.pending() > 0;
        self.lingers_no_more_if_full();
    }

    /// Goes on after a failure of either direction or of the journal, and has an event that upstream refused for good tried
    /// again. If a push may have been taken, nothing is sent before a catch-up has
    /// shown it. A call that was begun before is tried once more if its answer is fatal: it does not know what the owner
    /// has changed.
    pub fn restart(&mut self) -> Effects<L::Entry> {
        let mut errors = Vec::from_iter(self.journal_goes_on());
        self.look_again(Direction::Push);
        self.look_again(Direction::Pull);
        self.before_restart = self.begun;
        self.course.fits = None;
        errors.extend(self.unblock());
        if let Pull::Failed { error } = &self.course.pull {
            errors.extend(error.shared());
            self.course.pull = Pull::Idle;
        }
        let mut effects = Effects::default();
        match &mut self.course.push {
            Push::Failed { error } => {
                errors.extend(error.shared());
                self.course.push = Push::Idle;
                if self.is_open() {
                    effects = self.fence(Time::ZERO);
                }
            }
            Push::Sending { failed, .. } => errors.extend(failed.take().and_then(|error| error.shared())),
            Push::Idle | Push::Behind { .. } | Push::Uncertain { .. } | Push::Waiting { .. } => {}
        }
        errors.into_iter().for_each(|error| effects.spent.error(Some(error)));
        effects
    }

    /// Begins anew with another log; returns the old one. The answers to calls that are in flight are of no consequence any
    /// more, but for the time that one may name: that is about upstream.
    pub fn reset(&mut self, log: L) -> (L, Effects<L::Entry>) {
        let pending = self.all_of(&log);
        let former = std::mem::replace(&mut self.log, log);
        if let Some(pending) = pending {
            self.note_all(pending);
        }
        self.epoch += 1;
        self.former = self.begun;
        let mut effects = Effects { interrupt_pull: self.end_pull(), ..Effects::default() };
        let Course { mut push, pull, blocked, .. } =
            std::mem::replace(&mut self.course, Course::new(self.begun.pull + 1));
        effects.spent.error(blocked.and_then(|blocked| blocked.failure.shared()));
        match &mut push {
            Push::Sending { fate, failed, .. } => {
                *fate = Fate::Overtaken;
                effects.interrupt_push = true;
                effects.spent.error(failed.take().and_then(|error| error.shared()));
                self.course.push = push;
            }
            Push::Failed { error } => effects.spent.error(error.shared()),
            Push::Idle | Push::Behind { .. } | Push::Uncertain { .. } | Push::Waiting { .. } => {}
        }
        match pull {
            Pull::Pulling { .. } => self.course.pull = pull,
            Pull::Failed { error } => effects.spent.error(error.shared()),
            Pull::Idle | Pull::Waiting { .. } => {}
        }
        (former, effects)
    }

    /// As [`reset`](Self::reset), with a log of the same upstream that goes on with what is pending in the present one, or
    /// with some of it. What upstream may have taken of that is not sent again before it is known.
    pub fn reset_with(&mut self, log: L) -> (L, Effects<L::Entry>) {
        if let Push::Sending { ticket, count, unconfirmed, base, fate: Fate::Open, .. } = self.course.push {
            if ticket > self.former.push {
                self.may_have_been_taken(base, count, unconfirmed);
            }
        }
        let doubt = self.course.doubt;
        let (former, mut effects) = self.reset(log);
        // Also if the new log is past its base: that may have been made from the first of its events.
        let pending = self.log.pending();
        if let Some(Doubt { base, unconfirmed, .. }) = doubt.filter(|_| pending > 0) {
            self.doubt(base, unconfirmed.min(pending));
        }
        if self.is_open() && !matches!(self.course.push, Push::Sending { .. }) {
            effects.interrupt_pull |= self.fence(Time::ZERO).interrupt_pull;
        }
        (former, effects)
    }

    /// Nothing begins any more, and what is in flight is to end; its outcome still counts.
    pub fn stop(&mut self) -> Effects<L::Entry> {
        self.stopped = true;
        Effects { interrupt_push: true, interrupt_pull: self.end_pull(), ..Effects::default() }
    }

    /// Whether [`stop`](Self::stop) has been called.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The owner, who knows better, ends a wait.
    fn look_again(&mut self, direction: Direction) {
        self.epoch += 1;
        match direction {
            Direction::Push => self.push_looks_again(),
            Direction::Pull => self.pull_looks_again(),
        }
    }
}

#[cfg(test)]
mod tests;
