//! The fuzzers of `tests/fuzz` on the build with the known bugs: each must find those that it can.
//!
//! A bug counts as found if a case fails with it, and does not fail with no bug on.
#![cfg(not(loom))]

extern crate latchwork_switched as latchwork;

#[path = "../tests/fuzz/thread_group.rs"]
mod thread_group;
// They are run on the crate as it ships, by `tests/fuzz` itself.
#[allow(dead_code)]
#[path = "../tests/fuzz/harness.rs"]
mod harness;
#[path = "../tests/fuzz/logs.rs"]
mod logs;
#[path = "../tests/fuzz/primitives/mod.rs"]
mod primitives;
#[path = "../tests/fuzz/protocol/mod.rs"]
mod protocol;
#[path = "../tests/fuzz/replicator/mod.rs"]
mod replicator;

use latchwork::known_bugs::KnownBug::*;

use primitives::{threads, worker};
use protocol::hammer;

/// The bugs that each fuzzer finds.
macro_rules! find {
    ($($name:ident: $fuzzer:path, $run:path, [$($bug:ident),* $(,)?];)*) => {$(
        #[test]
        fn $name() {
            $fuzzer(stringify!($name)).finds(&[$($bug),*], |bug, case, seen| {
                let _on = bug.map(|bug| bug.switch_on());
                $run(case, seen)
            });
        }
    )*};
}

find! {
    known_bugs_of_waits_are_found: primitives::fuzzer, primitives::run, [
        OpenCloseLosesWaiters, CloseForgetsWaiters, ReleaseOpens, BumpWakesNone, LastCauseWins, ChildMissesInterrupt,
        CancelledWaiterTakesWake, CancelledWaiterStays, OrphansGrandchildren,
    ];
    // Not those that lie in an instant: a model finds them.
    known_bugs_of_waits_between_threads_are_found: threads::fuzzer, threads::run, [
        WakeWithoutLock, InterruptBetweenCheckAndPark,
    ];
    known_bugs_of_workers_are_found: worker::fuzzer, worker::run, [
        ClearOrphansRun, RestartLost, StaleResultApplied, RestartBeatsStop, BackoffSwallowsRestart, PanicEndsWorker,
        StopMissesRun,
    ];
    known_bugs_of_protocols_are_found: protocol::fuzzer, protocol::world::run, [
        ResumeOnRebaseOnly, ResumeOnAdvanceOnly, ParkedFlag, LateRejection, ParkOffline, RejectAndClear,
        PassiveAfterLostEcho, EmptyCatchUpWakesNone, CatchUpPolledAfterRun, RetryReturnsToIdle, LookAgainEndsNoWait,
        PageDroppedWhileBusy, RestartOnEveryAdvance, PrefixBypass, ResendUncertain, InferredSuccess, WentBackUnnoticed,
        OvertakenPushForgetsRetryAfter, EndingPullForgetsRetryAfter, RetryNowOverridesRetryAfter,
        LateAnswerStopsRestarted, FormerAnswerCounts, UnknownForEver, ConfirmedPushGoesOn, SkipsWhatIsRefused,
        RejectedIndexNotMoved, RetryOfRefusedIsLost, GivesUpWhatWasSent, TooLargeForGood, ResetForgetsWhatWasSent,
        CatchUpDecidesWhatIsUnderWay,
    ];
    known_bugs_that_hammer_are_found: hammer::fuzzer, hammer::run, [
        ReachedTargetRetriesAtOnce, CaughtUpForgetsFailures, ReconnectCutsEveryBackoff, HeartbeatIsNews,
    ];
    known_bugs_of_replicators_are_found: replicator::fuzzer, replicator::world::run, [
        ChangeWakesNone, PublishForgetsPusher, SilentExit, DrainLosesDequeued, DroppedItemNeverSettles,
        WakerEndsWorker, StoppedCommitIsAdmitted,
    ];
}
