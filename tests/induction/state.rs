//! One client, and all that its future depends on.
//!
//! The client is the shipped [`Protocol`] over a log that is an [oracle](super::oracle). All other
//! clients, and whatever has been, are in what upstream has **beyond** this log's head. An upstream
//! takes a batch only if it follows its last event, so this client's events stand first there, and
//! then those of others: `own^k foreign^m`, where of `k` matters what the client still waits for,
//! and of `m` whether it is zero.

use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::time::Duration;

use latchwork::Backoff;
use latchwork::log::Log as _;
use latchwork::protocol::{Delay, Direction, Protocol, Push, Resend, Settings, Time};
use latchwork::upstream::Batch;

use super::environments::Loop;
use super::fingerprint::Fingerprint;
use super::oracle::{MOST, Oracle, Position};
use super::steps::Kind;

/// When everything happens that no time has to pass for.
pub const NOW: Time = Time::ZERO;
/// When every time that was noted is past: a deadline is at [`NOW`], or not yet.
pub const LATER: Time = Time::MAX;
/// The first delay of a backoff; the next is longer already, and the greatest.
pub const SHORT: Duration = Duration::from_secs(u64::MAX / 4 * 3);

/// What is searched.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    pub name: &'static str,
    pub live: bool,
    /// The most events in a push: one, or [more](MOST).
    pub batch: usize,
    /// Whether pushes with an unknown outcome are sent again, to an upstream that knows what it has
    /// taken.
    pub idempotent: bool,
    /// Whether a push waits for more events.
    pub lingers: bool,
    /// Whether two events weigh too much for one push.
    pub heavy: bool,
    /// Whether pulls that are not live follow each other in an interval.
    pub polls: bool,
    /// Whether it is counted how often others overtake a push, until that is followed by a delay.
    pub counts: bool,
    /// The kinds of steps, a bit for each.
    pub kinds: u64,
    /// The calls that may follow each other for ever while no time passes.
    pub loops: &'static [Loop],
}

impl Config {
    pub const fn allows(&self, kind: Kind) -> bool {
        self.kinds >> kind as u8 & 1 == 1
    }

    /// Whether upstream says what is so.
    pub const fn honest(&self) -> bool {
        !self.allows(Kind::FalseReject) && !self.allows(Kind::FalseCaughtUp)
    }

    pub const fn with(self, kinds: &[Kind]) -> Self {
        Self { kinds: self.kinds | bits(kinds), ..self }
    }

    pub const fn without(self, kinds: &[Kind]) -> Self {
        Self { kinds: self.kinds & !bits(kinds), ..self }
    }
}

pub const fn bits(kinds: &[Kind]) -> u64 {
    let (mut bits, mut index) = (0, 0);
    while index < kinds.len() {
        bits |= 1 << kinds[index] as u8;
        index += 1;
    }
    bits
}

/// A push under way.
#[derive(Debug, Clone)]
pub struct PushCall {
    pub batch: Batch<Oracle>,
    /// Upstream has it, and the answer is on its way.
    pub taken: bool,
    pub interrupted: bool,
    /// Begun before the owner's last restart.
    pub before_restart: bool,
    /// For a log that has been replaced.
    pub former: bool,
    /// By one that goes on with what it carries.
    pub carried: bool,
}

/// A pull under way.
#[derive(Debug, Clone)]
pub struct PullCall {
    pub ticket: u64,
    /// What it has to give out, of that which upstream had when it began, before it may say that it
    /// has caught up.
    pub owes: Part,
    /// Whether it began after the outcome of the last push that was in doubt.
    pub after_doubt: bool,
    /// What it has lost and will not give out any more.
    pub lost: Part,
    pub interrupted: bool,
    pub before_restart: bool,
    pub former: bool,
}

/// What is unknown of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Doubt {
    /// How many of its events nothing has shown yet; none if there is no doubt.
    pub unseen: usize,
    /// Whether it would stand after this log's head: to send it again could be to send it twice.
    pub open: bool,
}

/// What has not happened since a push was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rejected {
    /// The owner has not asked the pusher to look again.
    pub counted: bool,
    /// Nor the puller: a word of the owner's to either is what a rejection may have missed.
    pub unheard: bool,
}

/// A part of what upstream has beyond the log's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    Nothing,
    /// This client's events.
    Own,
    /// Some of other clients', and all that stand before them.
    Foreign,
}

#[derive(Debug, Clone)]
pub struct State {
    pub protocol: Protocol<Oracle>,
    /// How many of this client's pending events upstream has.
    pub own: usize,
    /// Whether upstream has events of others beyond them.
    pub foreign: bool,
    /// Whether a push of one event, or of two, was given up and may still be taken: it follows
    /// upstream's last event.
    pub late: [bool; MOST],
    pub push: Option<PushCall>,
    pub pull: Option<PullCall>,
    pub paused: [bool; 2],
    /// Whether the last call of a direction came to nothing, and no success or word of the owner's
    /// has come since.
    pub failed: [bool; 2],
    /// Whether upstream has named a time in a direction that has not come, and the owner has not
    /// overridden it.
    pub named: [bool; 2],
    /// A push that upstream may have taken, or may take still, as far as the client can know.
    pub doubt: Doubt,
    /// Whether the log has refused a page, and none has been applied since.
    pub refused: bool,
    /// Of a last push that was rejected, if nothing has been merged since.
    pub rejected: Rejected,
    /// Whether a pull could not reach upstream, and none has caught up since.
    pub unreached: bool,
    /// Whether a reconnect has cut a push's delay short, and nothing has succeeded since.
    pub has_cut: bool,
    /// Which pending event upstream has refused for good, if none of those who may has decided about it.
    pub blocked: Option<usize>,
    /// Whether upstream has found a push of two events too large.
    pub fits_one: bool,
}

pub const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Push => 0,
        Direction::Pull => 1,
    }
}

pub fn settings(config: &Config) -> Settings {
    let mut settings = Settings::default();
    settings.batch = NonZeroUsize::new(config.batch).expect("more than none");
    settings.grace = LATER;
    settings.backoff = Backoff::new(SHORT, LATER).with_jitter(0.0);
    settings.contention = SHORT;
    settings.resend = if config.idempotent { Resend::Idempotent } else { Resend::AfterCatchUp };
    settings.live = config.live;
    settings.linger = if config.lingers { SHORT } else { Time::ZERO };
    settings.batch_weight = config.heavy.then_some(1);
    settings.pull_interval = config.polls.then_some(SHORT);
    settings
}

impl State {
    pub fn new(config: &Config) -> Self {
        Self {
            protocol: Protocol::new(Oracle::new(Position(0), 0, config.batch), settings(config)),
            own: 0,
            foreign: false,
            late: [false; MOST],
            push: None,
            pull: None,
            paused: [false; 2],
            failed: [false; 2],
            named: [false; 2],
            doubt: Doubt::default(),
            refused: false,
            rejected: Rejected::default(),
            unreached: false,
            has_cut: false,
            blocked: None,
            fits_one: false,
        }
    }

    pub fn head(&self) -> Position {
        self.protocol.log().upstream_head()
    }

    pub fn pending(&self) -> usize {
        self.protocol.log().pending()
    }

    /// From so many pending events on there are "more".
    pub fn more(&self) -> usize {
        self.protocol.log().more()
    }

    pub fn is_paused(&self, direction: Direction) -> bool {
        self.paused[index(direction)]
    }

    /// Whether upstream has something beyond this log's head.
    pub fn has_more(&self) -> bool {
        self.own > 0 || self.foreign
    }

    /// Whether upstream has something beyond this event.
    pub fn is_ahead_of(&self, base: Position) -> bool {
        base < self.head() || self.has_more()
    }

    /// Whether this push is the one in flight, and for the present log.
    pub fn is_present(&self, call: &PushCall) -> bool {
        !call.former && self.protocol.is_sending(&call.batch)
    }

    /// Whether upstream may still get this push, and take it, if it is given up.
    pub fn may_come_late(&self, call: &PushCall) -> bool {
        !call.taken && (!call.former || call.carried) && !self.is_ahead_of(call.batch.base)
    }

    /// How many events of the batch are not applied yet.
    pub fn news_in(&self, call: &PushCall) -> usize {
        call.batch.entries.iter().filter(|entry| entry.position > self.head()).count()
    }

    /// The head that upstream has told and this log has not reached.
    pub fn awaited_head(&self) -> Option<Position> {
        match *self.protocol.push() {
            Push::Behind { target, .. } | Push::Waiting { reason: Delay::Behind { target }, .. } => {
                target.filter(|target| *target > self.head())
            }
            _ => None,
        }
    }

    /// Whether the pusher backs off in a way that a reconnect may end.
    pub fn waits_for_connection(&self) -> bool {
        matches!(self.protocol.push(), Push::Waiting { reason: Delay::Unavailable, .. })
    }

    /// A push is in doubt, and a pull that is going on began before that.
    ///
    /// So may be those of a push before it.
    pub fn is_in_doubt(&mut self, doubt: Doubt) {
        let before = if doubt.unseen > 0 { self.doubt.unseen } else { 0 };
        self.doubt = Doubt { unseen: doubt.unseen.max(before), ..doubt };
        self.pull.iter_mut().for_each(|pull| pull.after_doubt = false);
    }

    /// How many events may be pending besides `taken` of them: "more" may have been any number.
    pub fn rests(&self, taken: usize) -> impl Iterator<Item = usize> + use<> {
        let (pending, more) = (self.pending(), self.more());
        (0..=more).filter(move |rest| (taken + rest).min(more) == pending)
    }

    /// The form in which states are compared: drops what has no meaning any more.
    pub fn settle(&mut self) {
        if self.pending() > self.more() {
            self.protocol.log().holds(self.more());
        }
        if self.has_more() {
            // Upstream's head only grows: a batch that does not follow it now never will.
            self.late = [false; MOST];
        }
        let (own, foreign) = (self.own > 0, self.foreign);
        let left = |part| match part {
            Part::Foreign if foreign => Part::Foreign,
            Part::Own | Part::Foreign if own => Part::Own,
            _ => Part::Nothing,
        };
        if let Some(pull) = &mut self.pull {
            (pull.owes, pull.lost) = (left(pull.owes), left(pull.lost));
            pull.after_doubt &= self.protocol.is_uncertain();
        }
    }

    pub fn fingerprint(&self) -> u64 {
        let mut hasher = Fingerprint::new(self.head());
        self.protocol.canonical().hash(&mut hasher);
        (self.own, self.foreign, self.late, self.paused, self.failed, self.rejected).hash(&mut hasher);
        (self.unreached, self.has_cut, self.blocked, self.fits_one).hash(&mut hasher);
        (self.named, self.doubt, self.refused, self.push.is_some(), self.pull.is_some()).hash(&mut hasher);
        if let Some(PushCall { batch, taken, interrupted, before_restart, former, carried }) = &self.push {
            (batch.entries.len(), batch.base, self.protocol.is_sending(batch)).hash(&mut hasher);
            (taken, interrupted, before_restart, former, carried).hash(&mut hasher);
        }
        if let Some(PullCall { ticket, owes, after_doubt, lost, interrupted, before_restart, former }) = &self.pull {
            (self.protocol.is_pulling(*ticket), owes, after_doubt).hash(&mut hasher);
            (lost, interrupted, before_restart, former).hash(&mut hasher);
        }
        hasher.finish()
    }
}
