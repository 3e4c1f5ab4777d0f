//! The state search of `tests/search` on the build with the known bugs: it must find each that it can.
//!
//! Each entry says where a bug shows, and as a breach of which properties. For each property the
//! search looks at that property alone, since the nearest breach is often one of a property about
//! what the bug's line says, while the story of the bug is that of another property: that nothing
//! is sent any more, or something twice. The same search of the same build with no bug on finds
//! nothing; all of the spaces are searched on the crate as it ships, by `tests/search` itself.
#![cfg(not(loom))]

extern crate latchwork_switched as latchwork;

#[path = "../tests/search/calls.rs"]
mod calls;
#[path = "../tests/search/client.rs"]
mod client;
#[path = "../tests/search/data.rs"]
mod data;
// That each fault happens is looked at where all of them are.
#[allow(dead_code)]
#[path = "../tests/search/faults.rs"]
mod faults;
#[path = "../tests/search/graph.rs"]
mod graph;
#[path = "../tests/search/inputs.rs"]
mod inputs;
#[path = "../tests/search/journal.rs"]
mod journal;
#[path = "../tests/search/log.rs"]
mod log;
#[path = "../tests/search/properties.rs"]
mod properties;
// Whole spaces and walks are not searched here.
#[allow(dead_code)]
#[path = "../tests/search/model.rs"]
mod model;
#[allow(dead_code)]
#[path = "../tests/search/runner.rs"]
mod runner;
#[path = "../tests/search/upstream.rs"]
mod upstream;

use std::time::Instant;

use latchwork::known_bugs::KnownBug;
use serde_json::json;
use stateright::{HasDiscoveries, Model as _};

use faults::Fault::{self, *};
use log::Kind;
use model::{Config, Search};
use properties::Property::{self, *};
use runner::{Seen, alone, exhaust, say, see};

struct Entry {
    bug: KnownBug,
    /// Where it shows, beyond [`ONE`] or [`TWO`].
    at: Config,
    breaks: &'static [Property],
}

const ONE: Config = Config { events: &[1], batch: 1, budget: 0, ..Config::BASE };
const TWO: Config = Config { events: &[1, 1], ..ONE };

const JOURNAL: Config = Config { journal: 8, ..ONE };

const fn with(faults: &'static [Fault], config: Config) -> Config {
    Config { faults, budget: faults.len() as u8, ..config }
}

/// Without an end: these cost nothing.
const fn for_ever(forever: &'static [Fault], config: Config) -> Config {
    Config { forever, ..config }
}

const fn on_request(config: Config) -> Config {
    Config { live: false, ..config }
}

#[rustfmt::skip]
const ENTRIES: &[Entry] = &[
    // Two clients and not one fault: who comes second is never resumed.
    Entry { bug: KnownBug::ResumeOnRebaseOnly, at: TWO, breaks: &[Drains, CatchUpOwed, Named] },
    Entry { bug: KnownBug::ResumeOnAdvanceOnly, at: Config { log: Kind::Rebasing, ..TWO }, breaks: &[Drains, CatchUpOwed, Named] },
    Entry { bug: KnownBug::ParkedFlag, at: TWO, breaks: &[Drains, SameEpoch, CatchUpOwed] },
    Entry { bug: KnownBug::LateRejection, at: TWO, breaks: &[Drains, FenceIsAwaited, SameEpoch] },
    Entry { bug: KnownBug::ParkOffline, at: with(&[Refuse], ONE), breaks: &[Drains, Named] },
    // Without live pulls nothing brings the news to who waits for it.
    Entry { bug: KnownBug::RejectAndClear, at: on_request(TWO), breaks: &[Drains, CatchUpOwed] },
    Entry { bug: KnownBug::PassiveAfterLostEcho, at: with(&[LoseEcho], TWO), breaks: &[Drains, CatchUpOwed] },
    Entry { bug: KnownBug::EmptyCatchUpWakesNone, at: with(&[LoseRequest], ONE), breaks: &[Drains, CatchUpOwed] },
    Entry { bug: KnownBug::CatchUpPolledAfterRun, at: with(&[LoseRequest], ONE), breaks: &[Drains, PrefixIsResolved] },
    Entry { bug: KnownBug::RetryReturnsToIdle, at: with(&[Refuse], ONE), breaks: &[Drains, RetryLeadsToAttempt, NothingSwallowed] },
    Entry { bug: KnownBug::PageDroppedWhileBusy, at: TWO, breaks: &[Drains, PageIsApplied] },
    Entry { bug: KnownBug::RestartOnEveryAdvance, at: TWO, breaks: &[OnlyTheLostAreInterrupted] },
    Entry { bug: KnownBug::PrefixBypass, at: with(&[RejectBlindly], Config { events: &[2], ..ONE }), breaks: &[SendsPending, OnlyAcknowledged] },
    Entry { bug: KnownBug::ResendUncertain, at: with(&[LoseAnswer], ONE), breaks: &[PrefixIsResolved] },
    // An upstream that keeps its contract refuses what is sent twice. One that does not shows what the fence is for.
    Entry { bug: KnownBug::ResendUncertain, at: with(&[LoseAnswer], Config { takes_anything: true, ..ONE }), breaks: &[OnlyAcknowledged] },
    Entry { bug: KnownBug::InferredSuccess, at: with(&[Refuse, PausePush], ONE), breaks: &[OnlyAcknowledged] },
    Entry { bug: KnownBug::LookAgainEndsNoWait, at: with(&[Refuse, RetryNow], ONE), breaks: &[OwnerIsHeard] },
    Entry { bug: KnownBug::WaitOutlivesItsTime, at: on_request(with(&[Disconnect], ONE)), breaks: &[RetryLeadsToAttempt] },
    // What upstream may say again and again.
    Entry { bug: KnownBug::ReachedTargetRetriesAtOnce, at: for_ever(&[RejectAtBase], ONE), breaks: &[FewCalls] },
    Entry { bug: KnownBug::HeartbeatIsNews, at: for_ever(&[RejectBlindly, Heartbeat], ONE), breaks: &[FewCalls] },
    Entry { bug: KnownBug::ReconnectCutsEveryBackoff, at: for_ever(&[Refuse, Disconnect], ONE), breaks: &[FewCalls] },
    Entry { bug: KnownBug::OvertakenPushForgetsRetryAfter, at: with(&[Busy], Config { log: Kind::Rebasing, ..TWO }), breaks: &[NotBeforeNamed] },
    Entry { bug: KnownBug::EndingPullForgetsRetryAfter, at: with(&[RetryNow, BusyPull], ONE), breaks: &[NotBeforeNamed] },
    Entry { bug: KnownBug::RetryNowOverridesRetryAfter, at: with(&[Busy, RetryNow], ONE), breaks: &[NotBeforeNamed] },
    Entry { bug: KnownBug::RefusedPullForgetsRetryAfter, at: with(&[LieInMerge, Restart, BusyPull], ONE), breaks: &[NotBeforeNamed] },
    // A head that stands before what it has given out; a stream that never says that this was all.
    Entry { bug: KnownBug::WentBackUnnoticed, at: with(&[GoBack], Config { events: &[2], ..ONE }), breaks: &[FailureIsSeen] },
    Entry { bug: KnownBug::UnknownForEver, at: with(&[LoseAnswer], Config { events: &[2], says_when_done: false, ..ONE }), breaks: &[Drains, DoubtStands] },
    Entry { bug: KnownBug::DoubtEndsAtFirstEvent, at: with(&[LoseAnswer], Config { events: &[2], batch: 2, page: 1, ..ONE }), breaks: &[DoubtStands] },
    Entry { bug: KnownBug::FencedAlthoughDecided, at: with(&[LoseAnswer], Config { says_when_done: false, ..TWO }), breaks: &[Drains] },
    // Something else fails while a push is in flight.
    Entry { bug: KnownBug::FailureForgetsTheCall, at: with(&[LieInCommit, ResetKeeping], Config { events: &[2], ..ONE }), breaks: &[Named] },
    // Answers that come too late to mean anything.
    Entry { bug: KnownBug::LateAnswerStopsRestarted, at: with(&[FatalPush, Restart], ONE), breaks: &[LateStopsNothing, FailsOnlyWhenTold] },
    Entry { bug: KnownBug::FormerAnswerCounts, at: with(&[FatalPush, ResetKeeping], ONE), breaks: &[FormerIsNothing, FailsOnlyWhenTold] },
    Entry { bug: KnownBug::ConfirmedPushGoesOn, at: ONE, breaks: &[ConfirmedIsEnded] },
    // What upstream refuses for good, and what the owner decides about it.
    Entry { bug: KnownBug::SkipsWhatIsRefused, at: Config { events: &[2], refuses: Some(0), ..ONE }, breaks: &[RefusedBlocks, OnlyAcknowledged] },
    Entry { bug: KnownBug::RejectedIndexNotMoved, at: with(&[RejectLast], Config { events: &[2], batch: 2, ..ONE }), breaks: &[RefusedIsNamed, RefusedBlocks] },
    Entry { bug: KnownBug::DroppedEventNotCounted, at: Config { events: &[2, 1], batch: 2, log: Kind::GivingUp, refuses: Some(1), ..TWO }, breaks: &[RefusedIsNamed] },
    Entry { bug: KnownBug::GivesUpWhatWasSent, at: with(&[GiveUpFirst], ONE), breaks: &[GivenUpIsGone] },
    Entry { bug: KnownBug::RetryOfRefusedIsLost, at: with(&[RetryRejected], Config { refuses: Some(0), ..ONE }), breaks: &[OwnerDecides] },
    Entry { bug: KnownBug::RefusedInDoubt, at: with(&[LoseRequest, RejectFirst], Config { idempotent: true, ..ONE }), breaks: &[Drains, Named] },
    Entry { bug: KnownBug::TooLargeForGood, at: for_ever(&[TooLarge], ONE), breaks: &[FewCalls] },
    // Whether the push that is in flight as the log is replaced has been taken.
    Entry { bug: KnownBug::ResetForgetsWhatWasSent, at: with(&[ResetWith], ONE), breaks: &[DoubtStands, PrefixIsResolved] },
    Entry { bug: KnownBug::CatchUpDecidesWhatIsUnderWay, at: with(&[ResetWith, GiveUpFirst], ONE), breaks: &[DoubtStands, GivenUpIsGone] },
    Entry { bug: KnownBug::LingerOutlivesItsTime, at: Config { batch: 2, lingers: true, ..ONE }, breaks: &[RetryLeadsToAttempt] },
    // A journal, and a crash.
    Entry { bug: KnownBug::SentBeforeDurable, at: with(&[Crash], JOURNAL), breaks: &[SentIsHeld] },
    Entry { bug: KnownBug::PullBeforeDurable, at: on_request(Config { events: &[1, 1], ..JOURNAL }), breaks: &[SentIsHeld] },
    Entry { bug: KnownBug::DrainWithUnwritten, at: with(&[Stop], JOURNAL), breaks: &[Drains] },
    Entry { bug: KnownBug::CursorBeforePage, at: Config { events: &[1, 1], ..JOURNAL }, breaks: &[CursorWithItsPage] },
    Entry { bug: KnownBug::TornRebase, at: with(&[Crash], Config { events: &[1, 1], log: Kind::Rebasing, ..JOURNAL }), breaks: &[DurableIsHeld] },
    Entry { bug: KnownBug::SettlesByCount, at: with(&[ResetKeeping], Config { events: &[3], locals: 0b001, log: Kind::Merging, ..JOURNAL }), breaks: &[DurableIsHeld, SentIsHeld] },
    Entry { bug: KnownBug::FailedWriteOutOfOrder, at: with(&[FailWrite], Config { events: &[2], ..JOURNAL }), breaks: &[CursorWithItsPage] },
    Entry { bug: KnownBug::ReplacedCountsAsDurable, at: with(&[ReplaceLast], JOURNAL), breaks: &[DurableIsHeld] },
    Entry { bug: KnownBug::FullBatchLingers, at: Config { events: &[2], batch: 2, lingers: true, ..ONE }, breaks: &[LingersForMore] },
];

/// Searches, the nearest states first, until a property is broken: the path there is a shortest
/// one.
pub fn find(config: Config) -> Seen {
    let begun = Instant::now();
    let checker = Search::new(config).checker().threads(1);
    see(checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs(), begun)
}

#[test]
fn every_known_bug_is_found_and_without_it_nothing() {
    let _alone = alone();
    let mut unnoticed = Vec::new();
    for Entry { bug, at, breaks } in ENTRIES {
        let off = exhaust(*at);
        assert!(off.breach.is_none() && off.longest.is_some(), "{bug:?}, off:\n{}", off.story());
        let _on = bug.switch_on();
        for property in *breaks {
            let seen = find(Config { properties: std::slice::from_ref(property), ..*at });
            let (actions, distinct) = (seen.breach.as_ref().map_or(0, |(_, path)| path.len()), seen.distinct);
            data::note(&json!({ "breach": {
                "known_bug": format!("{bug:?}"),
                "property": property.name(),
                "actions": actions,
                "distinct": distinct,
                "unnoticed": seen.breach.is_none(),
            }}));
            match seen.breach {
                Some(_) => {
                    say(&format!(
                        "known bug {bug:?}: {actions} actions, {distinct} distinct states: {}",
                        property.name()
                    ));
                }
                None => unnoticed.push(format!("{bug:?} went unnoticed by {property:?}")),
            }
        }
    }
    assert!(unnoticed.is_empty(), "{}", unnoticed.join("\n"));
}
