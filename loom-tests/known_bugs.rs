//! The **catalogue**: the known bugs that the checks must find, and the sync points where tests hold up threads.
//!
//! A check is only worth something if it can fail. So every property has its known bug: a real defect of a real engine or
//! library, which the check beside the property has to find. A function that ships says what it does and nothing else; a
//! known bug is a list of **edits** of such functions, and stands here alone. `switched/build.rs` copies the crate's source
//! and writes each of them into the copy, behind a switch. An edit that does not fit any more ends that build.
//!
//! One bug is on at a time, so a bug may use the text that another one replaces.

use super::edits::{KnownBug, SyncPoint, before, begin, replace};

pub const KNOWN_BUGS: &[KnownBug] = &[
    KnownBug {
        name: "WakeWithoutLock",
        story: "A waiter looks, finds the latch closed, and joins the queue without looking again: the wake went out between.",
        source: Some("tokio #2134, crossbeam Parker's comment"),
        edits: &[
            begin("latch.rs", "Latch::mark", "return None;"),
            replace("epoch.rs", "Past::mark", "self.past(state).is_some()", "false"),
        ],
    },
    KnownBug {
        name: "OpenCloseLosesWaiters",
        story: "A waiter trusts the latch's present state alone: opened and closed again at once, it stays.",
        source: Some("Effect Latch, rsevents"),
        edits: &[replace(
            "queue.rs",
            "Wait::join",
            "self.condition.let_through()",
            "self.condition.let_through().filter(|_| false)",
        )],
    },
    KnownBug {
        name: "CloseForgetsWaiters",
        story: "Closing a closed latch takes away the mark that somebody waits.",
        source: None,
        edits: &[replace("latch.rs", "Latch::close", "fetch_and(!OPEN", "fetch_and(CLOSED")],
    },
    KnownBug {
        name: "CancelledWaiterTakesWake",
        story: "A waiter that gives up takes the first in the queue with it instead of itself.",
        source: Some("tokio #3652, #3660"),
        edits: &[begin("queue.rs", "Waiting::leave", "let place = &Place { index: 0, ..*place };")],
    },
    KnownBug {
        name: "CancelledWaiterStays",
        story: "Giving up leaves the entry in the queue: the latch believes that somebody waits, for ever.",
        source: None,
        edits: &[before("queue.rs", "Wait::leave", "let waker = waiting.leave(&place);", "return None;")],
    },
    KnownBug {
        name: "ReleaseOpens",
        story: "`release` opens the latch for a moment instead of letting through those present.",
        source: None,
        edits: &[begin(
            "latch.rs",
            "Latch::release",
            "let changed = self.open(); self.close(); return changed.into();",
        )],
    },
    KnownBug {
        name: "RelaxedOpen",
        story: "`open` publishes nothing: what was written before is not seen after.",
        source: None,
        edits: &[replace(
            "latch.rs",
            "Latch::open",
            "OPEN, Ordering::Release, Ordering::Relaxed",
            "OPEN, Ordering::Relaxed, Ordering::Relaxed",
        )],
    },
    KnownBug {
        name: "OpenLooksFirst",
        story: "`open` looks first, and on an open latch does nothing: what was written before is not published.",
        source: None,
        edits: &[begin("latch.rs", "Latch::open", "if self.is_open() { return false; }")],
    },
    KnownBug {
        name: "RelaxedCheck",
        story: "A fast path passes without acquiring: what was written before is not seen after.",
        source: None,
        edits: &[
            replace("latch.rs", "Latch::is_open", "Ordering::Acquire", "Ordering::Relaxed"),
            replace("epoch.rs", "Epoch::load", "Ordering::Acquire", "Ordering::Relaxed"),
        ],
    },
    KnownBug {
        name: "RelaxedMark",
        story: "Marking that somebody waits finds nothing to wait for, and passes without acquiring.",
        source: None,
        edits: &[
            replace("latch.rs", "Latch::mark", "Ordering::Acquire", "Ordering::Relaxed"),
            replace("epoch.rs", "Past::mark", "Ordering::Acquire", "Ordering::Relaxed"),
        ],
    },
    KnownBug {
        name: "RelaxedClose",
        story: "`close` takes the turn without acquiring: the former holder's writes are not seen.",
        source: None,
        edits: &[replace("latch.rs", "Latch::close", "Ordering::Acquire", "Ordering::Relaxed")],
    },
    KnownBug {
        name: "PlainUnmark",
        story: "Taking back the mark that somebody waits is a plain write: what was released before it is not handed on.",
        source: None,
        edits: &[replace("latch.rs", "Latch::unmark", "fetch_and(!AWAITED,", "store(CLOSED,")],
    },
    KnownBug {
        name: "UnparkLeavesNoToken",
        story: "Waking a thread that has not gone to sleep yet leaves nothing behind.",
        source: None,
        edits: &[replace("parker.rs", "Parker::wake_by_ref", "*woken = true;", "*woken = false;")],
    },
    KnownBug {
        name: "GivesWayAndForgets",
        story: "A thread that lets others run before it sleeps forgets that it was woken meanwhile.",
        source: None,
        edits: &[replace(
            "sync/notified.rs",
            "Notified::give_way",
            "self.0.load(Ordering::Relaxed) != before",
            "false",
        )],
    },
    KnownBug {
        name: "TimeoutHidesOpen",
        story: "A wait that timed out looks at the clock alone and misses what came at the same moment.",
        source: None,
        edits: &[before("wait.rs", "drive", "if let Poll::Ready(output)", "if passed { return Waited::TimedOut; }")],
    },
    KnownBug {
        name: "GivingUpHidesOpen",
        story: "A wait that was let through before it gives up is told that it gave up.",
        source: None,
        edits: &[replace(
            "queue.rs",
            "Wait::leave",
            "self.condition.let_through()",
            "self.condition.let_through().filter(|_| false)",
        )],
    },
    KnownBug {
        name: "ParkIsTrusted",
        story: "A return from parking is taken for the event itself.",
        source: None,
        edits: &[replace("queue.rs", "Wait::join", "waiting.at(&place)", "waiting.at(&place).filter(|_| false)")],
    },
    KnownBug {
        name: "ChangeWakesNobody",
        story: "A state under a lock changes, and wakes nobody.",
        source: None,
        edits: &[replace("watched.rs", "Watched::notify", "self.inner.notify_all(inner, topic);", "")],
    },
    KnownBug {
        name: "BumpWakesNobody",
        story: "`bump` counts, and wakes nobody.",
        source: None,
        edits: &[replace("epoch.rs", "Epoch::bump", "true", "false")],
    },
    KnownBug {
        name: "RelaxedBump",
        story: "`bump` publishes nothing: the count is seen, and what was written before it is not.",
        source: None,
        edits: &[replace("epoch.rs", "Epoch::bump", "Ordering::AcqRel", "Ordering::Relaxed")],
    },
    KnownBug {
        name: "InterruptBetweenCheckAndPark",
        story: "An interrupt is set without waking those who wait for it; they look before they park.",
        source: Some("octos #927"),
        edits: &[begin("latch.rs", "Latch::mark", "return None;")],
    },
    KnownBug {
        name: "SetBeforeCause",
        story: "An interrupt is visible before its cause is written.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "LastCauseWins",
        story: "The last cause of an interrupt replaces the first.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "SecondSetterReturnsEarly",
        story: "Whoever sets an interrupt second returns before it is visible.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "ChildMissesInterrupt",
        story: "A child made while its parent is being set is not told.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "ClearOrphansRun",
        story: "`clear` waits for the old run's end and then blanks the slot, whoever is in it by now.",
        source: Some("Effect #5906"),
        edits: &[],
    },
    KnownBug {
        name: "RestartLost",
        story: "A restart is taken as served once a run has begun, also one that began before it.",
        source: Some("electric #4654"),
        edits: &[],
    },
    KnownBug {
        name: "StaleResultApplied",
        story: "The result of a run that was replaced is taken for the present one's.",
        source: Some("electric #4115, #3586"),
        edits: &[],
    },
    KnownBug {
        name: "TokenIsTruth",
        story: "Whether a run was asked to end is read off its interrupt, which is set a moment after it was decided.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "RestartBeatsStop",
        story: "A restart that was asked for before `stop` is still served after it.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "BackoffSwallowsRestart",
        story: "A restart that arrives during a backoff waits for its end.",
        source: None,
        edits: &[],
    },
    KnownBug { name: "PanicEndsWorker", story: "A panic ends the worker's thread.", source: None, edits: &[] },
    KnownBug {
        name: "StopMissesRun",
        story: "`stop` tells the worker but not its present run.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "ResumeOnRebaseOnly",
        story: "**H001.** A pusher that is behind is resumed by a rebase only; upstream merely advances.",
        source: Some("LiveStore #613, #622, #639"),
        edits: &[],
    },
    KnownBug {
        name: "ResumeOnAdvanceOnly",
        story: "The mirror image of H001: an advance resumes, a rebase does not.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "ParkedFlag",
        story: "The first published fix of H001: an advance resumes a pusher that is parked, and the rejection of a push in flight parks it afterwards.",
        source: Some("LiveStore, commit 9bba60ed6"),
        edits: &[],
    },
    KnownBug {
        name: "LateRejection",
        story: "A push is rejected after a pull has confirmed it; the rejection installs a fence that no pull will lift.",
        source: Some("LiveStore, commit e87d30632"),
        edits: &[],
    },
    KnownBug {
        name: "ParkOffline",
        story: "The pusher parks on \"offline\"; the reconnect brings nothing new.",
        source: Some("LiveStore, commit 4690f6537"),
        edits: &[],
    },
    KnownBug {
        name: "RejectAndClear",
        story: "A rejected pusher asks nobody for a catch-up.",
        source: Some("LiveStore #742, #954"),
        edits: &[],
    },
    KnownBug {
        name: "PassiveAfterLostEcho",
        story: "An acknowledgement and its echo are lost; nobody asks for a catch-up.",
        source: Some("LiveStore #1394, #1462"),
        edits: &[],
    },
    KnownBug {
        name: "EmptyCatchUpWakesNobody",
        story: "A catch-up that brings nothing resumes nobody.",
        source: Some("LiveStore #1576 (review)"),
        edits: &[],
    },
    KnownBug {
        name: "CatchUpPolledAfterRun",
        story: "A catch-up that is asked for while a pull is going on is taken as served by it.",
        source: Some("LiveStore #1576"),
        edits: &[],
    },
    KnownBug {
        name: "RetryReturnsToIdle",
        story: "The end of a backoff leads to waiting for a new commit.",
        source: Some("powersync-native #15, powersync-kotlin #340"),
        edits: &[],
    },
    KnownBug {
        name: "WaitOutlivesItsTime",
        story: "A pull's backoff ends with nothing to pull, and stays: as it was to be waited for already, who asks for a catch-up later wakes nobody.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "LookAgainEndsNoWait",
        story: "Whoever resumes, restarts or asks to try again ends no wait of the pusher's.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "PageDroppedWhileBusy",
        story: "A page that arrives during a push is dropped.",
        source: Some("rxdb #5571, powersync-js #558"),
        edits: &[],
    },
    KnownBug {
        name: "ReadThenSubscribe",
        story: "A snapshot is read, then the subscription begins.",
        source: Some("powersync-swift #162"),
        edits: &[],
    },
    KnownBug {
        name: "DroppedItemNeverSettles",
        story: "An event that the log gave up is filtered out without telling whoever waits for it.",
        source: Some("LiveStore #743"),
        edits: &[],
    },
    KnownBug {
        name: "RestartOnEveryAdvance",
        story: "Every advance interrupts the push in flight.",
        source: Some("LiveStore #648"),
        edits: &[],
    },
    KnownBug {
        name: "PrefixBypass",
        story: "After a rejection the next events are sent past those that were rejected.",
        source: Some("LiveStore #1530"),
        edits: &[],
    },
    KnownBug {
        name: "ResendUncertain",
        story: "A push with an unknown outcome is sent again at once.",
        source: Some("firebase-android-sdk #8440"),
        edits: &[],
    },
    KnownBug {
        name: "InferredSuccess",
        story: "A pause during a retry is taken for success.",
        source: Some("rxdb #8285"),
        edits: &[],
    },
    KnownBug {
        name: "PublishForgetsPusher",
        story: "Whoever changes the state so that there is something to send tells everybody but the pusher.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "SilentExit",
        story: "The pusher ends on a fatal error without telling anybody.",
        source: Some("LiveStore #1133, #1577"),
        edits: &[],
    },
    KnownBug {
        name: "DrainLosesDequeued",
        story: "Shutdown does not count what the pusher has in its hands.",
        source: Some("LiveStore #1437, #1439"),
        edits: &[],
    },
    KnownBug {
        name: "WakerEndsWorker",
        story: "A task's waker that panics in the pusher's thread ends it.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "StoppedCommitIsAdmitted",
        story: "A commit is admitted although everything is to stop, and no party is left to settle it.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "StopLeavesTicketsOpen",
        story: "The directions end, and what can settle no more is left open.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "ResetUnannounced",
        story: "The log is replaced, and subscribers are told of the new one's events as if they were the former one's.",
        source: Some("powersync.dart #440"),
        edits: &[],
    },
    KnownBug {
        name: "DropsUnderTheLock",
        story: "What is not needed any more is dropped under the lock, where its drop may call back.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "OrphansGrandchildren",
        story: "A child does not hold its parent: when that is dropped, the grandparent does not reach the child any more.",
        source: None,
        edits: &[],
    },
    KnownBug {
        name: "ReachedTargetRetriesAtOnce",
        story: "A rejection that names a head which has been reached is followed by another push at once, for ever.",
        source: Some("parsec-cloud #8257, measured here at 1.2 million pushes a second"),
        edits: &[],
    },
    KnownBug {
        name: "WentBackUnnoticed",
        story: "An upstream whose head stands before the batch's base is taken for one that is merely ahead.",
        source: Some("parsec-cloud #8257, libsql #1838, LiveStore #980"),
        edits: &[],
    },
    KnownBug {
        name: "CaughtUpForgetsFailures",
        story: "A pull that has caught up forgets all failures, also if it brought nothing.",
        source: Some("y-websocket #195"),
        edits: &[],
    },
    KnownBug {
        name: "ReconnectCutsEveryBackoff",
        story: "Each reconnect cuts a push's delay short, also of an upstream that comes and goes.",
        source: Some("replicache #421"),
        edits: &[],
    },
    KnownBug {
        name: "HeartbeatIsNews",
        story: "Each \"nothing more\" of a live pull is taken for what a rejected push waits for.",
        source: Some("centraldogma #437"),
        edits: &[],
    },
    KnownBug {
        name: "OvertakenPushForgetsRetryAfter",
        story: "The time that upstream names is forgotten if others have overtaken the push meanwhile.",
        source: Some("vscode #102391, vdirsyncer #733"),
        edits: &[],
    },
    KnownBug {
        name: "EndingPullForgetsRetryAfter",
        story: "The time that upstream names is forgotten if the pull had been asked to end.",
        source: Some("vscode #102391, vdirsyncer #733"),
        edits: &[],
    },
    KnownBug {
        name: "RetryNowOverridesRetryAfter",
        story: "To try again now overrides the time that upstream has named.",
        source: Some("vscode #102391"),
        edits: &[],
    },
    KnownBug {
        name: "LateAnswerStopsRestarted",
        story: "A fatal answer to a call of before the owner's restart stops what the owner has restarted.",
        source: Some("powersync-js #1033"),
        edits: &[],
    },
    KnownBug {
        name: "FormerAnswerCounts",
        story: "The answer to a call for a former log counts for the new one.",
        source: Some("powersync.dart #440"),
        edits: &[],
    },
    KnownBug {
        name: "UnknownForEver",
        story: "A push with an unknown outcome stays so although its own events have come back, in a stream that never says that it has shown everything.",
        source: Some("libsql #1315"),
        edits: &[],
    },
    KnownBug {
        name: "ConfirmedPushGoesOn",
        story: "A push in flight goes on although a merge has confirmed all of it: the next commit waits for its answer.",
        source: None,
        edits: &[],
    },
];

/// Each stands where no lock is held, so that a thread that is delayed keeps no other from going on. (A rollback is the
/// log's own doing, under the lock. A test that wants it slow wraps the log.)
pub const SYNC_POINTS: &[SyncPoint] = &[
    SyncPoint {
        name: "BeforeQueueChange",
        story: "A commit begins, or the puller has a page: what is pending is about to change.",
        edits: &[],
    },
    SyncPoint { name: "AfterReply", story: "The pusher has upstream's answer and has not reported it.", edits: &[] },
    SyncPoint {
        name: "BeforeRestart",
        story: "What is pending has been rebased (or there is a stop, a reset, a pause or a request for a catch-up), and the call to upstream that this makes pointless is about to be interrupted, to be begun anew.",
        edits: &[],
    },
    SyncPoint {
        name: "BeforeParking",
        story: "The pusher or the puller has found nothing to do and is about to park. Looking, finding nothing and parking is one critical section, and must be: a worker that has not been here since it was elsewhere leaves that section without parking, is delayed, looks again, and parks if it still finds nothing.",
        edits: &[],
    },
];
