//! `Protocol`: two to four clients over one upstream, in a time of their own.
//!
//! A case is a list of steps. Each lets one client's driver or upstream do what is next, which may go wrong in every way
//! that the documentation of `upstream` allows, or lets an owner do something, or time go on (`world`, `client`). Every
//! input is followed by a look at all that is promised (`oracle`). In the end what was paused is resumed, failures are
//! restarted, upstream is honest, and everything must drain, within a bounded time.
//!
//! `tests/induction` runs the same cases and looks for each state among the abstract ones.
//!
//! A second fuzzer lets an upstream answer at once and for ever, each time something else that brings nothing: calls come no
//! faster than the backoff allows.

mod calls;
pub mod client;
pub mod hammer;
mod oracle;
pub mod world;

use std::time::Duration;

use latchwork::protocol::Direction;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::harness::Fuzzer;
use crate::logs::{Kind, Method};

#[derive(Clone, Debug)]
pub struct Case {
    pub clients: Vec<Setup>,
    /// What is left to chance.
    pub chance: u64,
    pub steps: Vec<Step>,
}

/// A client's log and settings.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub kind: Kind,
    pub live: bool,
    pub idempotent: bool,
    pub batch: u8,
    /// In milliseconds.
    pub grace: u16,
}

/// What happens. Clients, and what one of them could do, are taken modulo how many there are.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Events are committed: so many, the last of them local-only or fragile.
    Commit {
        client: u8,
        count: u8,
        special: bool,
    },
    /// The next of what could happen to a call, or the next call.
    Move {
        client: u8,
        which: u8,
        answer: Answer,
        page: Page,
        end: End,
    },
    Owner {
        client: u8,
        does: Owner,
    },
    /// A method of the log panics the next time.
    Panics {
        client: u8,
        method: Method,
    },
    /// Something is reported that was over before.
    Stale {
        client: u8,
        which: u8,
    },
    /// Time goes on: to where a driver wants to look again, or by so many milliseconds.
    Wait(Option<u16>),
}

/// What upstream does with a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Takes it if it follows, or says where its head is.
    Honest,
    /// Does not say where.
    HeadUntold,
    /// Says that its head is where it was a while ago.
    HeadLags,
    /// Refuses what it could take, without a reason, or with the batch's own base.
    Blind {
        at_base: bool,
    },
    /// Says that its head stands before the batch's base.
    WentBack,
    /// Cannot be reached, or refuses for so many milliseconds: for ever, if they are the most that there can be.
    Away(Option<u16>),
    /// Has taken it if it followed, or not, and the answer gets lost.
    Lost {
        taken: bool,
    },
    /// The answer gets lost, and it arrives later.
    Late,
    /// The same, from what stands before upstream and asks for so many milliseconds.
    Timeout(u16),
    /// It has taken it if it followed, or not, and there is no end unless the call is asked to end.
    Hangs {
        taken: bool,
    },
    /// Refuses one of its events for good, if it is one of them.
    Rejected(u8),
    TooLarge,
    Fatal,
    Panics {
        taken: bool,
    },
}

/// A page of a pull.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub size: u8,
    /// Whether it says how much more there is.
    pub told: bool,
    pub trouble: Trouble,
}

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Nothing,
    Twice,
    /// It begins before the cursor.
    Overlaps,
    /// A live one that has caught up loses what it brings.
    Lost,
    /// It comes from a replica that has nothing new yet, and says that there is nothing.
    Lags,
}

/// How a pull ends if it need not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// When it is asked to, or has shown everything and is not live.
    InTime,
    Away(Option<u16>),
    Fatal,
    Panics,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Pause(Direction),
    Resume(Direction),
    RetryNow,
    Override,
    Restart,
    Reset,
    /// Goes on with what is pending.
    ResetWith,
    Reconnect,
    /// One of the events that are to be sent.
    GiveUp(u8),
    RetryRejected,
    Stop,
}

fn delays() -> impl Strategy<Value = Option<u16>> {
    let some = |from: u16, to: u16| (from..to).prop_map(Some);
    prop_oneof![12 => Just(None), 4 => Just(Some(0)), 8 => some(1, 2_000), 4 => some(2_000, 60_000), 1 => Just(Some(u16::MAX))]
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        24 => Just(Answer::Honest),
        4 => Just(Answer::HeadUntold),
        3 => Just(Answer::HeadLags),
        2 => any::<bool>().prop_map(|at_base| Answer::Blind { at_base }),
        2 => Just(Answer::WentBack),
        4 => delays().prop_map(Answer::Away),
        3 => any::<bool>().prop_map(|taken| Answer::Lost { taken }),
        1 => Just(Answer::Late),
        1 => (0..2_000_u16).prop_map(Answer::Timeout),
        1 => any::<bool>().prop_map(|taken| Answer::Hangs { taken }),
        3 => (0..6_u8).prop_map(Answer::Rejected),
        2 => Just(Answer::TooLarge),
        1 => Just(Answer::Fatal),
        1 => any::<bool>().prop_map(|taken| Answer::Panics { taken }),
    ]
}

fn pages() -> impl Strategy<Value = Page> {
    let trouble = prop_oneof![
        12 => Just(Trouble::Nothing),
        1 => Just(Trouble::Twice),
        1 => Just(Trouble::Overlaps),
        3 => Just(Trouble::Lost),
        1 => Just(Trouble::Lags),
    ];
    (1..5_u8, prop_oneof![4 => Just(true), 1 => Just(false)], trouble).prop_map(|(size, told, trouble)| Page {
        size,
        told,
        trouble,
    })
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![
        24 => Just(End::InTime),
        3 => delays().prop_map(End::Away),
        1 => Just(End::Fatal),
        1 => Just(End::Panics),
    ]
}

fn owners() -> impl Strategy<Value = Owner> {
    let direction = || prop_oneof![Just(Direction::Push), Just(Direction::Pull)];
    prop_oneof![
        6 => direction().prop_map(Owner::Pause),
        8 => direction().prop_map(Owner::Resume),
        6 => Just(Owner::RetryNow),
        2 => Just(Owner::Override),
        10 => Just(Owner::Restart),
        3 => Just(Owner::Reset),
        3 => Just(Owner::ResetWith),
        3 => Just(Owner::Reconnect),
        6 => any::<u8>().prop_map(Owner::GiveUp),
        3 => Just(Owner::RetryRejected),
        1 => Just(Owner::Stop),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let methods = prop_oneof![Just(Method::Admit), Just(Method::Batch), Just(Method::Merge), Just(Method::Confirm)];
    prop_oneof![
        6 => (any::<u8>(), 1..4_u8, any::<bool>())
            .prop_map(|(client, count, special)| Step::Commit { client, count, special }),
        40 => (any::<u8>(), any::<u8>(), answers(), pages(), ends())
            .prop_map(|(client, which, answer, page, end)| Step::Move { client, which, answer, page, end }),
        4 => (any::<u8>(), owners()).prop_map(|(client, does)| Step::Owner { client, does }),
        1 => (any::<u8>(), methods).prop_map(|(client, method)| Step::Panics { client, method }),
        2 => any::<(u8, u8)>().prop_map(|(client, which)| Step::Stale { client, which }),
        6 => prop_oneof![3 => Just(None), 2 => (1..400_u16).prop_map(Some), 1 => (400..5_000_u16).prop_map(Some)]
            .prop_map(Step::Wait),
    ]
}

fn cases() -> impl Strategy<Value = Case> {
    let kinds = prop_oneof![Just(Kind::Commuting), Just(Kind::Rebasing), Just(Kind::Fragile)];
    let grace = prop_oneof![Just(0_u16), Just(250), 1..250_u16];
    let setup = (kinds, any::<bool>(), prop_oneof![3 => Just(false), 1 => Just(true)], 1..6_u8, grace)
        .prop_map(|(kind, live, idempotent, batch, grace)| Setup { kind, live, idempotent, batch, grace });
    let state = prop_oneof![2 => Just(false), 1 => Just(true)];
    (state, vec(setup, 2..5), any::<u64>(), vec(steps(), 1..150)).prop_map(|(state, mut clients, chance, steps)| {
        // All or none have logs that know local-only events: their numbers are others.
        clients.iter_mut().filter(|_| state).for_each(|setup| setup.kind = Kind::State);
        Case { clients, chance, steps }
    })
}

/// How long upstream asks not to be tried again.
fn rest(millis: u16) -> Duration {
    if millis == u16::MAX { Duration::MAX } else { ms(millis.into()) }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[rustfmt::skip]
const REACHES: &[(&str, u64)] = &[
    ("advance", 1),
    ("rebase", 2),
    ("confirm", 1),
    ("local-only settled", 10),
    ("drop", 10),
    ("behind", 2),
    ("behind, head told", 2),
    ("went back", 60),
    ("uncertain", 5),
    ("unavailable", 10),
    ("uncertain, and asked to wait", 40),
    ("event refused", 10),
    ("too large", 10),
    ("given up", 10),
    ("not given up, for it may have been taken", 60),
    ("reset, and goes on", 10),
    ("reset, and goes on with a push in flight", 60),
    ("asked to wait", 10),
    ("asked to wait for ever", 60),
    ("fatal", 40),
    ("panic of upstream", 10),
    ("panic of a log", 10),
    ("catch-up", 1),
    ("page refused", 100),
    ("reset", 10),
    ("reset with calls in flight", 60),
    ("stop", 20),
    ("restart after a failure", 5),
    ("stale report", 5),
    ("taken late", 100),
    ("drained", 1),
];

pub fn fuzzer(name: &'static str) -> Fuzzer<impl Strategy<Value = Case>> {
    Fuzzer { name, cases: cases(), per_second: 20, reaches: REACHES, attempts: 1 }
}
