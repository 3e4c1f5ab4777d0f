//! The known bugs of the protocol, switched on in the shipped code one at a time: each must break a
//! property, by name.
//!
//! Each entry says where a bug shows, and as a breach of which properties. For each property the
//! search looks at that one alone. The same search of the code as it ships finds nothing.

#![cfg(not(loom))]

extern crate latchwork_switched as latchwork;

#[path = "../tests/search/data.rs"]
mod data;
// Whole environments are closed there, on the crate as it ships.
#[allow(dead_code)]
#[path = "../tests/induction/environments.rs"]
mod environments;
#[path = "../tests/induction/fingerprint.rs"]
mod fingerprint;
#[allow(dead_code)]
#[path = "../tests/induction/graph.rs"]
mod graph;
#[path = "../tests/induction/oracle.rs"]
mod oracle;
#[allow(dead_code)]
#[path = "../tests/induction/properties.rs"]
mod properties;
#[allow(dead_code)]
#[path = "../tests/induction/search.rs"]
mod search;
#[path = "../tests/induction/state.rs"]
mod state;
#[path = "../tests/induction/steps.rs"]
mod steps;
#[path = "../tests/induction/take.rs"]
mod take;
#[allow(dead_code)]
#[path = "../tests/induction/verdict.rs"]
mod verdict;

#[allow(dead_code)]
#[path = "known_bugs.rs"]
mod catalogue;
#[allow(dead_code)]
#[path = "switched/edits.rs"]
mod edits;

use latchwork::known_bugs::KnownBug;
use serde_json::json;

use environments::{HEAVY, IMPATIENT, LIVE, POLLING, REQUEST};
use properties::Property::{self, *};
use search::{Asked, Seen};
use state::Config;
use steps::Kind::{self, *};
use verdict::{alone, say};

/// What may come at any time, but for commits.
#[rustfmt::skip]
const SUPPLY: &[Kind] = &[
    Another, PushUnavailable, PushBusy, PushLost, LateTake, PullUnavailable, PullBusy, StreamEnds, Chatter,
];

struct Entry {
    bug: KnownBug,
    at: Config,
    breaks: &'static [Property],
}

const fn live(kinds: &[Kind]) -> Config {
    LIVE.without(SUPPLY).with(kinds)
}

/// With an owner who speaks at any time.
const fn impatient(kinds: &[Kind]) -> Config {
    Config { loops: IMPATIENT, batch: 1, counts: false, ..live(kinds) }
}

/// With pushes of two, and an owner who decides about pending events.
const fn deciding(kinds: &[Kind]) -> Config {
    Config { loops: IMPATIENT, counts: false, ..live(kinds) }
}

const fn on_request(kinds: &[Kind]) -> Config {
    REQUEST.without(SUPPLY).with(kinds)
}

#[rustfmt::skip]
const ENTRIES: &[Entry] = &[
    // Others' events and not one fault: who comes second is never resumed.
    Entry { bug: KnownBug::ResumeOnRebaseOnly, at: live(&[Another]), breaks: &[CanMove, Wakes, Drains, CatchUpOwed] },
    Entry { bug: KnownBug::ResumeOnAdvanceOnly, at: live(&[Another]), breaks: &[CanMove, Wakes, Drains, CatchUpOwed] },
    Entry { bug: KnownBug::ParkedFlag, at: live(&[Another]), breaks: &[CanMove, Wakes, Drains, SameEpoch, CatchUpOwed] },
    Entry { bug: KnownBug::LateRejection, at: live(&[Another]), breaks: &[CanMove, Wakes, Drains, SameEpoch, CatchUpOwed] },
    Entry { bug: KnownBug::ParkOffline, at: live(&[PushUnavailable]), breaks: &[CanMove, Wakes, Drains, CatchUpOwed] },
    // Without live pulls nothing brings the news to the one that waits for it.
    Entry { bug: KnownBug::RejectAndClear, at: on_request(&[Another]), breaks: &[Wakes, Drains, CatchUpOwed] },
    Entry { bug: KnownBug::PassiveAfterLostEcho, at: impatient(&[Another, LoseEcho, Gap, Restart]), breaks: &[CanMove, Wakes, Drains, CatchUpOwed] },
    Entry { bug: KnownBug::EmptyCatchUpWakesNone, at: live(&[PushLost]), breaks: &[CanMove, Wakes, Drains, CatchUpOwed] },
    Entry { bug: KnownBug::CatchUpPolledAfterRun, at: live(&[PushLost]), breaks: &[CanMove, Wakes, Drains, CatchUpOwed, DoubtStands] },
    Entry { bug: KnownBug::RetryReturnsToIdle, at: live(&[PushUnavailable]), breaks: &[NothingSwallowed, RetryLeadsToAttempt] },
    Entry { bug: KnownBug::WaitOutlivesItsTime, at: on_request(&[PullUnavailable]), breaks: &[Ends] },
    Entry { bug: KnownBug::LookAgainEndsNoWait, at: impatient(&[PushUnavailable, Pause, Resume, RetryNow, Restart]), breaks: &[OwnerEndsWaits] },
    Entry { bug: KnownBug::PageDroppedWhileBusy, at: live(&[Another]), breaks: &[DrainedRightly, PageIsApplied] },
    Entry { bug: KnownBug::RestartOnEveryAdvance, at: live(&[Another]), breaks: &[RightlyInterrupted] },
    Entry { bug: KnownBug::PrefixBypass, at: live(&[Another]), breaks: &[CanMove, SendsPending] },
    Entry { bug: KnownBug::ResendUncertain, at: live(&[PushLost]), breaks: &[DoubtStands] },
    Entry { bug: KnownBug::InferredSuccess, at: impatient(&[PushUnavailable, Pause, Resume]), breaks: &[DrainedRightly] },
    // Upstream lies: at its head, and again, and again.
    Entry { bug: KnownBug::ReachedTargetRetriesAtOnce, at: impatient(&[FalseReject, Restart]), breaks: &[BackoffGrows] },
    Entry { bug: KnownBug::WentBackUnnoticed, at: impatient(&[FalseReject, Restart]), breaks: &[FailsOnlyWhenTold] },
    Entry { bug: KnownBug::CaughtUpForgetsFailures, at: live(&[PullUnavailable]), breaks: &[BackoffGrows] },
    // Upstream comes and goes.
    Entry { bug: KnownBug::ReconnectCutsEveryBackoff, at: live(&[PushUnavailable, PullUnavailable]), breaks: &[NoStorm] },
    Entry { bug: KnownBug::HeartbeatIsNews, at: impatient(&[FalseReject, Chatter, Restart]), breaks: &[BackoffGrows] },
    Entry { bug: KnownBug::OvertakenPushForgetsRetryAfter, at: live(&[Another, PushBusy]), breaks: &[RetryAfterKept] },
    Entry { bug: KnownBug::EndingPullForgetsRetryAfter, at: live(&[PushLost, PullBusy]), breaks: &[RetryAfterKept] },
    Entry { bug: KnownBug::RetryNowOverridesRetryAfter, at: impatient(&[PushBusy, RetryNow]), breaks: &[RetryAfterKept] },
    Entry { bug: KnownBug::LateAnswerStopsRestarted, at: impatient(&[PushFatal, PullFatal, Restart]), breaks: &[FailsOnlyWhenTold] },
    Entry { bug: KnownBug::FormerAnswerCounts, at: impatient(&[Reset]), breaks: &[StaleChangesNothing] },
    Entry { bug: KnownBug::UnknownForEver, at: live(&[PushLost]), breaks: &[DoubtStands] },
    // What fails while a call is under way.
    Entry { bug: KnownBug::RefusedPullForgetsRetryAfter, at: impatient(&[LogRefuses, Another, PullBusy, Restart]), breaks: &[RetryAfterKept] },
    Entry { bug: KnownBug::DoubtEndsAtFirstEvent, at: live(&[PushLost]), breaks: &[DoubtStands] },
    Entry { bug: KnownBug::FencedAlthoughDecided, at: live(&[PushLost, Another]), breaks: &[FencedRightly] },
    Entry { bug: KnownBug::FailureForgetsTheCall, at: impatient(&[LogBreaks, Restart, Reset]), breaks: &[CanMove, StaleChangesNothing] },
    Entry { bug: KnownBug::ConfirmedPushGoesOn, at: live(&[Another]), breaks: &[RightlyInterrupted] },
    // What is forgotten, and when.
    Entry { bug: KnownBug::ResetKeepsRefusal, at: impatient(&[LogRefuses, Another, Reset, Restart]), breaks: &[BeginsAnew] },
    Entry { bug: KnownBug::RejectionsOutliveAMerge, at: live(&[Another, PushUnavailable]), breaks: &[BackoffGrows] },
    Entry { bug: KnownBug::FailuresOutliveSuccess, at: live(&[PushUnavailable]), breaks: &[BackoffGrows] },
    Entry { bug: KnownBug::ReconnectCutsOnceForEver, at: live(&[PushUnavailable, PullUnavailable]), breaks: &[CutsOnce] },
    Entry { bug: KnownBug::NewsShortOfTheHead, at: live(&[Another]), breaks: &[WaitsForHead] },
    Entry { bug: KnownBug::BlamesTheConnection, at: impatient(&[FalseReject, Restart]), breaks: &[CanMove] },
    // What upstream refuses for good, and what the owner decides.
    Entry { bug: KnownBug::GivenUpEventStillBlocks, at: deciding(&[PushRejected, GiveUp, RetryRejected]), breaks: &[HeldBack] },
    Entry { bug: KnownBug::SkipsWhatIsRefused, at: deciding(&[PushRejected, RetryRejected]), breaks: &[SendsPending] },
    Entry { bug: KnownBug::RejectedIndexNotMoved, at: deciding(&[PushRejected, RetryRejected]), breaks: &[HeldBack] },
    Entry { bug: KnownBug::DroppedEventNotCounted, at: deciding(&[PushRejected, RetryRejected, Another]), breaks: &[HeldBack] },
    Entry { bug: KnownBug::GivesUpWhatWasSent, at: deciding(&[PushLost, GiveUp]), breaks: &[GivenUpRightly] },
    Entry { bug: KnownBug::RetryOfRefusedIsLost, at: deciding(&[PushRejected, RetryRejected]), breaks: &[HeldBack] },
    Entry { bug: KnownBug::DecisionsForgetNoFailure, at: deciding(&[PushRejected, PushUnavailable, GiveUp, RetryRejected]), breaks: &[BackoffGrows] },
    Entry { bug: KnownBug::RefusedInDoubt, at: deciding(&[PushRejected, RetryRejected, PushLost]), breaks: &[CatchUpOwed] },
    Entry { bug: KnownBug::TooLargeForGood, at: deciding(&[PushTooLarge, RetryRejected]), breaks: &[NoStorm, HeldBack] },
    Entry { bug: KnownBug::ResetForgetsWhatWasSent, at: deciding(&[PushLost, ResetWith, GiveUp]), breaks: &[DoubtStands, GivenUpRightly] },
    Entry { bug: KnownBug::CatchUpDecidesWhatIsUnderWay, at: deciding(&[PushLost, ResetWith, GiveUp]), breaks: &[DoubtStands, GivenUpRightly] },
    // Waiting for more.
    Entry { bug: KnownBug::LingerOutlivesItsTime, at: Config { lingers: true, ..deciding(&[RetryNow]) }, breaks: &[RetryLeadsToAttempt] },
    Entry { bug: KnownBug::FullBatchLingers, at: Config { lingers: true, ..deciding(&[RetryNow]) }, breaks: &[LingersForMore] },
    // What pushes weigh, and when pulls begin.
    Entry { bug: KnownBug::ResendIgnoresWeight, at: HEAVY, breaks: &[SendsPending] },
    Entry { bug: KnownBug::FailureEndsTheInterval, at: POLLING, breaks: &[PollsAgain] },
];

/// Those of what is durable.
const JOURNAL: &[KnownBug] = &[
    KnownBug::SentBeforeDurable,
    KnownBug::PullBeforeDurable,
    KnownBug::DrainWithUnwritten,
    KnownBug::CursorBeforePage,
    KnownBug::TornRebase,
    KnownBug::FailedWriteOutOfOrder,
    KnownBug::ReplacedCountsAsDurable,
    KnownBug::WriterEndsDuringAWrite,
];

#[test]
fn each_known_bug_of_the_protocol_breaks_a_property_by_name() {
    let _alone = alone();
    let mut unnoticed = Vec::new();
    for Entry { bug, at, breaks } in ENTRIES {
        let off = Seen::of(*at, Asked::ALL).judge().1;
        assert!(off.is_empty(), "{bug:?}, off: {}\n{}", off[0].0.name(), off[0].1);
        let _on = bug.switch_on();
        for &property in *breaks {
            let seen = Seen::of(*at, Asked { property: Some(property), ..Asked::ALL });
            let breach = seen.judge().1.into_iter().find(|(broken, _)| *broken == property);
            let states = seen.graph.states();
            data::note(&json!({ "refuted": {
                "known_bug": format!("{bug:?}"),
                "property": property.name(),
                "states": states,
                "unnoticed": breach.is_none(),
            }}));
            match breach {
                Some(_) => say(&format!("known bug {bug:?}: {states} states, {:.1?}: {}", seen.time, property.name())),
                None => unnoticed.push(format!("{bug:?} went unnoticed by {property:?}")),
            }
        }
    }
    assert!(unnoticed.is_empty(), "{}", unnoticed.join("\n"));
}

#[test]
fn every_known_bug_of_the_protocol_has_an_entry() {
    let of_protocol = |bug: &&edits::KnownBug| bug.edits.iter().any(|edit| edit.file.starts_with("protocol/"));
    // A journal is no part of the abstraction: what a crash leaves is searched by `search.rs`.
    let of_journal = |bug: &edits::KnownBug| JOURNAL.iter().any(|known| format!("{known:?}") == bug.name);
    for bug in catalogue::KNOWN_BUGS.iter().filter(of_protocol).filter(|bug| !of_journal(bug)) {
        let listed = ENTRIES.iter().any(|entry| format!("{:?}", entry.bug) == bug.name);
        assert!(listed, "{} has no entry, or no reason why no property is broken", bug.name);
    }
}
