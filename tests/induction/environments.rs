//! What may happen around a client: as the contracts permit, and beyond.

use latchwork::protocol::Direction;

use super::graph::Label;
use super::state::{Config, bits};
use super::steps::Kind::{self, *};

/// Calls of one direction that may follow each other for ever while no time passes, as something is
/// consumed each time.
#[derive(Debug, Clone, Copy)]
pub struct Loop {
    pub of: Direction,
    /// What is consumed, alone.
    pub by: u16,
    /// Why that is right.
    pub because: &'static str,
}

/// A push that is accepted is followed by the next.
pub const ACCEPTED: Loop = Loop {
    of: Direction::Push,
    by: Label::CONFIRMS,
    because: "a push that is accepted is followed by the next: each takes events that were committed",
};
/// A live pull that ends after it has brought something is followed by the next.
pub const NEWS: Loop = Loop {
    of: Direction::Pull,
    by: Label::NEWS,
    because: "a live pull that ends after it has brought something is followed by the next: each takes what others did",
};
/// The same if that was this client's.
pub const OWN: Loop = Loop {
    of: Direction::Pull,
    by: Label::CONFIRMS,
    because: "a live pull that ends after it has brought something is followed by the next: each takes events of this client",
};
const PUSHED_NOW: Loop =
    Loop { of: Direction::Push, by: Label::OWNER, because: "the owner asks for each, and knows better" };
const PULLED_NOW: Loop =
    Loop { of: Direction::Pull, by: Label::OWNER, because: "the owner asks for each, and knows better" };
/// Besides what is [overtaken](OVERTAKEN).
const TAKEN_AND_LOST: Loop = Loop {
    of: Direction::Push,
    by: Label::NEWS,
    because: "an upstream that accepts what it has not taken counts as one that accepts",
};
const OVERTAKEN: Loop = Loop {
    of: Direction::Push,
    by: Label::NEWS,
    because: "where it is not counted how often others overtake a push, the delay after the fifth time in a row is left out",
};
const CAUGHT_UP: Loop = Loop {
    of: Direction::Pull,
    by: Label::NEWS,
    because: "a push that others overtake is followed by a catch-up; the delay after the fifth is left out as above",
};
const REFUSED: Loop = Loop {
    of: Direction::Pull,
    by: Label::CONFIRMS,
    because: "a pull whose page the log has refused is followed by another at once, which takes events of this client",
};
/// Of clients whose owner may speak at any time, and that do not [count](Config::counts).
pub const IMPATIENT: &[Loop] = &[ACCEPTED, NEWS, OWN, PUSHED_NOW, PULLED_NOW, OVERTAKEN];

/// All that an upstream that keeps its contract may do, and an application that commits.
const CONTRACT: u64 = bits(&[
    Send,
    BeginPull,
    PushTime,
    PullTime,
    Take,
    Accept,
    Reject,
    PushReturns,
    News,
    CaughtUp,
    PullEnds,
    Commit,
    Another,
    PushUnavailable,
    PushBusy,
    PushLost,
    LateTake,
    PullUnavailable,
    PullBusy,
    StreamEnds,
    Chatter,
]);
/// All that an owner may do.
pub const OWNER: &[Kind] = &[Pause, Resume, RetryNow, Restart, OverrideRetryAfter, Reset, Stop, Crash];
/// Failures, after which the owner may go on.
pub const FAILURES: &[Kind] =
    &[PushFatal, PushPanics, PullFatal, PullPanics, LogRefuses, LogBreaks, LogPanics, Restart];
/// Lies. Some are as good as a failure.
pub const LIES: &[Kind] = &[FalseReject, FalseAccept, FalseCaughtUp, LoseEcho, Gap, Restart];

/// What an upstream may do that refuses events and large batches for good, and the owner then.
pub const DECISIONS: &[Kind] =
    &[PushRejected, PushTooLarge, GiveUp, Replace, RetryRejected, Reconnect, ResetWith, Restart];

/// Live pulls, pushes of up to two events.
pub const LIVE: Config = Config {
    name: "upstream keeps its contract, live",
    live: true,
    batch: 2,
    idempotent: false,
    lingers: false,
    heavy: false,
    polls: false,
    counts: true,
    kinds: CONTRACT,
    loops: &[ACCEPTED, NEWS, OWN],
};
/// Pulls that end as soon as they have shown everything.
pub const REQUEST: Config =
    Config { name: "upstream keeps its contract, on request", live: false, loops: &[ACCEPTED], ..LIVE };

/// To an upstream that knows what it has taken, pushes with an unknown outcome are sent again.
pub const IDEMPOTENT: Config = Config {
    name: "upstream keeps its contract and knows what it has taken, live, pushes of one",
    idempotent: true,
    batch: 1,
    ..LIVE
};

/// Beyond the contract, or besides it, pushes are of one event, and it is not counted how often others overtake them.
///
/// Up to four times in a row the count is all that differs (`checked.rs` tries it in each state), and there are seven times
/// as many states with it. What the fifth leads to, a delay that the owner can end as every other, is in the sets above.
const ONE: Config = Config { batch: 1, counts: false, loops: IMPATIENT, ..LIVE };
const ONE_ON_REQUEST: Config =
    Config { live: false, loops: &[ACCEPTED, PUSHED_NOW, PULLED_NOW, OVERTAKEN, CAUGHT_UP], ..ONE };
const CREDULOUS: &[Loop] = &[ACCEPTED, NEWS, OWN, PUSHED_NOW, PULLED_NOW, TAKEN_AND_LOST];
const TWO: Config = Config { batch: 2, ..ONE };

pub const OWNED: Config = Config { name: "and the owner acts, live, pushes of one", ..ONE.with(OWNER) };
pub const FAILING: Config = Config { name: "and calls and the log fail, live, pushes of one", ..ONE.with(FAILURES) };
pub const LYING: Config = Config { name: "and upstream lies, live, pushes of one", loops: CREDULOUS, ..ONE.with(LIES) };

/// What upstream refuses for good, and what an owner decides about pending events. Without what an owner may do besides, and
/// without a crash: after one it is not known what upstream may have.
pub const REFUSING: Config = Config {
    name: "and upstream refuses events, and the owner decides, live",
    ..TWO.without(&[PushBusy, PullBusy, Chatter]).with(DECISIONS)
};

/// A push waits for more events to come with it. What comes of other delays is in the sets above.
pub const LINGERING: Config = Config {
    name: "and a push waits for more events, live",
    lingers: true,
    loops: &[ACCEPTED, PUSHED_NOW, PULLED_NOW, OVERTAKEN],
    ..TWO.without(&[PushBusy, PullBusy, LateTake, Chatter, PushLost, PullUnavailable, StreamEnds]).with(&[
        PushTooLarge,
        RetryNow,
        Restart,
    ])
};

/// Two events weigh too much for one push.
pub const HEAVY: Config = Config {
    name: "and two events weigh too much for one push, live",
    heavy: true,
    loops: &[ACCEPTED, PUSHED_NOW, OVERTAKEN],
    ..TWO.without(&[PushBusy, PullBusy, LateTake, Chatter, StreamEnds]).with(&[
        PushRejected,
        PushTooLarge,
        RetryRejected,
    ])
};

/// Pulls follow each other in an interval, and may fail, be paused, and be replaced by those of another log.
pub const POLLING: Config = Config {
    name: "and pulls follow each other in an interval, pushes of one",
    polls: true,
    ..ONE_ON_REQUEST
        .without(&[PushBusy, LateTake, PushLost])
        .with(&[PollTime, Pause, Resume, PullFatal, Restart, Reset])
};

/// Up to minutes each, and gigabytes. All nine were closed, with optimisation, on two cores that others used as well:
///
/// | | states | steps, millions | seconds of both cores together | GB |
/// | --- | --- | --- | --- | --- |
/// | owner, on request | 514,144 | 8.2 | 12 | 0.3 |
/// | failures, on request | 212,540 | 2.1 | 6 | 0.1 |
/// | lies, on request | 39,226 | 0.4 | 2 | 0.1 |
/// | failures, pushes of two | 1,045,508 | 12.2 | 38 | 0.9 |
/// | lies, pushes of two | 623,363 | 7.6 | 15 | 0.4 |
/// | owner, pushes of two | 3,572,432 | 76.9 | 107 | 2.3 |
/// | failures and lies | 558,398 | 6.0 | 17 | 0.5 |
/// | owner and failures | 4,685,858 | 77.5 | 177 | 3.1 |
/// | owner and lies | 3,103,336 | 48.5 | 68 | 1.6 |
///
/// Of an owner, failures and lies each **two** are together, and not all three: that set was not tried. What one of them
/// does to a client is in its state when the next comes; a defect that needs all three at once, and shows in no two of
/// them, is left to the fuzzers.
#[rustfmt::skip]
pub const LARGE: [Config; 9] = [
    Config { name: "and the owner acts, on request, pushes of one", ..ONE_ON_REQUEST.with(OWNER) },
    Config { name: "and calls and the log fail, on request, pushes of one", loops: &[ACCEPTED, PUSHED_NOW, PULLED_NOW, OVERTAKEN, CAUGHT_UP, REFUSED], ..ONE_ON_REQUEST.with(FAILURES) },
    Config { name: "and upstream lies, on request, pushes of one", loops: CREDULOUS, ..ONE_ON_REQUEST.with(LIES) },
    Config { name: "and calls and the log fail, live", ..TWO.with(FAILURES) },
    Config { name: "and upstream lies, live", loops: CREDULOUS, ..TWO.with(LIES) },
    Config { name: "and the owner acts, live", ..TWO.with(OWNER) },
    Config { name: "and calls and the log fail, and upstream lies, live, pushes of one", loops: CREDULOUS, ..ONE.with(FAILURES).with(LIES) },
    Config { name: "and the owner acts, and calls and the log fail, live, pushes of one", ..ONE.with(OWNER).with(FAILURES) },
    Config { name: "and the owner acts, and upstream lies, live, pushes of one", loops: CREDULOUS, ..ONE.with(OWNER).with(LIES) },
];
