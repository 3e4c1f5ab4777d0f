//! The **catalogue**: the known bugs that the checks must find, and the sync points where tests hold up threads.
//!
//! A check is only worth something if it can fail. So every property has its known bug: a real defect of a real engine or
//! library, which the check beside the property has to find. A function that ships says what it does and nothing else; a
//! known bug is a list of **edits** of such functions, and stands here alone. `switched/build.rs` copies the crate's source
//! and writes each of them into the copy, behind a switch. An edit that does not fit any more ends that build.
//!
//! One bug is on at a time, so a bug may use the text that another one replaces.

use super::edits::{Edit, KnownBug, SyncPoint, before, begin, replace};

pub const KNOWN_BUGS: &[KnownBug] = &[
    KnownBug {
        name: "WakeWithoutLock",
        story: "A waiter looks, finds the latch closed, and joins the queue without looking again: the wake went out between.",
        source: Some("tokio #2134, crossbeam Parker's comment"),
        edits: &[
            begin("primitives/latch.rs", "Latch::mark", "return None;"),
            replace("primitives/epoch.rs", "Past::mark", "self.past(state).is_some()", "false"),
        ],
    },
    KnownBug {
        name: "OpenCloseLosesWaiters",
        story: "A waiter trusts the latch's present state alone: opened and closed again at once, it stays.",
        source: Some("Effect Latch, rsevents"),
        edits: &[replace(
            "primitives/wait_queue.rs",
            "WaitQueue::join",
            "condition.let_through()",
            "condition.let_through().filter(|_| false)",
        )],
    },
    KnownBug {
        name: "CloseForgetsWaiters",
        story: "Closing a closed latch takes away the mark that a waiter is there.",
        source: None,
        edits: &[replace("primitives/latch.rs", "Latch::close", "fetch_and(!OPEN", "fetch_and(CLOSED")],
    },
    KnownBug {
        name: "CancelledWaiterTakesWake",
        story: "A waiter that gives up takes the first in the queue with it instead of itself.",
        source: Some("tokio #3652, #3660"),
        edits: &[begin("primitives/wait_queue.rs", "Waiting::leave", "let place = &Place { index: 0, ..*place };")],
    },
    KnownBug {
        name: "CancelledWaiterStays",
        story: "Giving up leaves the entry in the queue: the latch believes for ever that a waiter is there.",
        source: None,
        edits: &[before(
            "primitives/wait_queue.rs",
            "WaitQueue::leave",
            "let waker = waiting.leave(&place);",
            "return false;",
        )],
    },
    KnownBug {
        name: "ReleaseOpens",
        story: "`release` opens the latch for a moment instead of letting through those present.",
        source: None,
        edits: &[begin(
            "primitives/latch.rs",
            "Latch::release",
            "let changed = self.open(); self.close(); return changed.into();",
        )],
    },
    KnownBug {
        name: "RelaxedOpen",
        story: "`open` publishes nothing: what was written before is not seen after.",
        source: None,
        edits: &[replace(
            "primitives/latch.rs",
            "Latch::open",
            "OPEN, Ordering::Release, Ordering::Relaxed",
            "OPEN, Ordering::Relaxed, Ordering::Relaxed",
        )],
    },
    KnownBug {
        name: "OpenLooksFirst",
        story: "`open` looks first, and on an open latch does nothing: what was written before is not published.",
        source: None,
        edits: &[begin("primitives/latch.rs", "Latch::open", "if self.is_open() { return false; }")],
    },
    KnownBug {
        name: "RelaxedCheck",
        story: "A fast path passes without acquiring: what was written before is not seen after.",
        source: None,
        edits: &[
            replace("primitives/latch.rs", "Latch::is_open", "Ordering::Acquire", "Ordering::Relaxed"),
            replace("primitives/epoch.rs", "Epoch::load", "Ordering::Acquire", "Ordering::Relaxed"),
        ],
    },
    KnownBug {
        name: "RelaxedMark",
        story: "Marking that a waiter is there finds nothing to wait for, and passes without acquiring.",
        source: None,
        edits: &[
            replace("primitives/latch.rs", "Latch::mark", "Ordering::Acquire", "Ordering::Relaxed"),
            replace("primitives/epoch.rs", "Past::mark", "Ordering::Acquire", "Ordering::Relaxed"),
        ],
    },
    KnownBug {
        name: "RelaxedClose",
        story: "`close` takes the turn without acquiring: the former holder's writes are not seen.",
        source: None,
        edits: &[replace("primitives/latch.rs", "Latch::close", "Ordering::Acquire", "Ordering::Relaxed")],
    },
    KnownBug {
        name: "PlainUnmark",
        story: "Taking back the mark that a waiter is there is a plain write: what was released before it is not handed on.",
        source: None,
        edits: &[replace("primitives/latch.rs", "Latch::unmark", "fetch_and(!AWAITED,", "store(CLOSED,")],
    },
    KnownBug {
        name: "UnparkLeavesNoToken",
        story: "Waking a thread that has not gone to sleep yet leaves nothing behind.",
        source: None,
        edits: &[replace("primitives/parker.rs", "Parker::wake_by_ref", "*woken = true;", "*woken = false;")],
    },
    KnownBug {
        name: "GivesWayAndForgets",
        story: "A thread that lets others run before it sleeps forgets that it was woken meanwhile.",
        source: None,
        edits: &[replace(
            "platform/notified.rs",
            "Notified::give_way",
            "self.0.load(Ordering::Relaxed) != before",
            "false",
        )],
    },
    KnownBug {
        name: "TimeoutHidesOpen",
        story: "A wait that timed out looks at the clock alone and misses what came at the same moment.",
        source: None,
        edits: &[before(
            "primitives/wait.rs",
            "Wait::drive",
            "if let Poll::Ready(output)",
            "if passed { return Waited::TimedOut; }",
        )],
    },
    KnownBug {
        name: "GivingUpHidesOpen",
        story: "A wait that was let through before it gives up is told that it gave up.",
        source: None,
        edits: &[replace("primitives/wait.rs", "C::look", "self.let_through()", "None")],
    },
    KnownBug {
        name: "ParkIsTrusted",
        story: "A return from parking is taken for the event itself.",
        source: None,
        edits: &[replace(
            "primitives/wait_queue.rs",
            "WaitQueue::join",
            "waiting.at(&former)",
            "waiting.at(&former).filter(|_| false)",
        )],
    },
    KnownBug {
        name: "ChangeWakesNone",
        story: "A state under a lock changes, and wakes no waiter.",
        source: None,
        edits: &[replace(
            "primitives/monitor.rs",
            "Locked::notify_some",
            "monitor.inner.notify_all(inner, topic);",
            "",
        )],
    },
    KnownBug {
        name: "BumpWakesNone",
        story: "`bump` counts, and wakes no waiter.",
        source: None,
        edits: &[replace("primitives/epoch.rs", "Epoch::bump", "true", "false")],
    },
    KnownBug {
        name: "RelaxedBump",
        story: "`bump` publishes nothing: the count is seen, and what was written before it is not.",
        source: None,
        edits: &[replace("primitives/epoch.rs", "Epoch::bump", "Ordering::AcqRel", "Ordering::Relaxed")],
    },
    KnownBug {
        name: "InterruptBetweenCheckAndPark",
        story: "An interrupt is set without waking those who wait for it; they look before they park.",
        source: Some("octos #927"),
        edits: &[begin("primitives/latch.rs", "Latch::mark", "return None;")],
    },
    KnownBug {
        name: "SetBeforeCause",
        story: "An interrupt is visible before its cause is written.",
        source: None,
        edits: &[begin("primitives/interrupt.rs", "Token::set", "self.set.open();")],
    },
    KnownBug {
        name: "LastCauseWins",
        story: "The last cause of an interrupt replaces the first.",
        source: None,
        edits: &[replace(
            "primitives/interrupt.rs",
            "Token::note",
            "note.cause.get_or_insert(cause)",
            "note.cause.insert(cause)",
        )],
    },
    KnownBug {
        name: "SecondSetterReturnsEarly",
        story: "The second setter of an interrupt returns before it is visible.",
        source: None,
        edits: &[before("primitives/interrupt.rs", "Token::set", "let mut below", "if !first { return false; }")],
    },
    KnownBug {
        name: "ChildMissesInterrupt",
        story: "A child made while its parent is being set is not told.",
        source: None,
        edits: &[replace(
            "primitives/interrupt.rs",
            "Interrupt::child",
            "note.cause else",
            "note.cause.filter(|_| false) else",
        )],
    },
    KnownBug {
        name: "ClearOrphansRun",
        story: "`clear` waits for the old run's end and then blanks the slot, whichever run is in it by now.",
        source: Some("Effect #5906"),
        edits: &[
            replace(
                "primitives/worker/shared.rs",
                "Handle::clear_deadline",
                ".then_some(()))",
                ".then_some(())); self.shared.state.look(|state| state.activity = Activity::Idle)",
            ),
            replace(
                "primitives/worker/shared.rs",
                "State::run_ended",
                "unreachable!(\"a run ends only while it is the present one\")",
                "return None",
            ),
        ],
    },
    KnownBug {
        name: "RestartLost",
        story: "A restart is taken as served once a run has begun, also one that began before it.",
        source: Some("electric #4654"),
        edits: &[before(
            "primitives/worker/shared.rs",
            "work",
            "let ended",
            "shared.state.look(|state| state.requested = false);",
        )],
    },
    KnownBug {
        name: "StaleResultApplied",
        story: "The result of a run that was replaced is taken for the present one's.",
        source: Some("electric #4115, #3586"),
        edits: &[replace("primitives/worker/shared.rs", "State::run_ended", "failed && asked.is_none()", "failed")],
    },
    KnownBug {
        name: "TokenIsTruth",
        story: "Whether a run was asked to end is read off its interrupt, which is set a moment after it was decided.",
        source: None,
        edits: &[before(
            "primitives/worker/shared.rs",
            "State::run_ended",
            "let failed",
            "let asked = run.interrupt.cause();",
        )],
    },
    KnownBug {
        name: "RestartBeatsStop",
        story: "A restart that was asked for before `stop` is still served after it.",
        source: None,
        edits: &[replace(
            "primitives/worker/shared.rs",
            "State::next",
            "self.stopping",
            "self.stopping && !self.requested",
        )],
    },
    KnownBug {
        name: "BackoffSwallowsRestart",
        story: "A restart that arrives during a backoff waits for its end.",
        source: None,
        edits: &[replace("primitives/worker/shared.rs", "Handle::restart", "present.is_none()", "false")],
    },
    KnownBug {
        name: "PanicEndsWorker",
        story: "A panic ends the worker's thread.",
        source: None,
        edits: &[replace("primitives/worker/run.rs", "run_once", "catch_panic(|| body(run))", "Ok(body(run))")],
    },
    KnownBug {
        name: "StopMissesRun",
        story: "`stop` tells the worker but not its present run.",
        source: None,
        edits: &[replace(
            "primitives/worker/shared.rs",
            "Handle::tell_to_stop",
            "interrupt(present, Cause::Stop)",
            "drop(present)",
        )],
    },
    KnownBug {
        name: "ResumeOnRebaseOnly",
        story: "**H001.** A pusher that is behind is resumed by a rebase only; upstream merely advances.",
        source: Some("LiveStore #613, #622, #639"),
        edits: &[
            NO_CATCH_UP_IS_ASKED_FOR,
            NO_CATCH_UP_IS_HEARD,
            before(
                "protocol/push.rs",
                "Protocol::advanced",
                "Push::Behind { target, .. }",
                "Push::Behind { .. } if !rebase => false,",
            ),
        ],
    },
    KnownBug {
        name: "ResumeOnAdvanceOnly",
        story: "The mirror image of H001: an advance resumes, a rebase does not.",
        source: None,
        edits: &[
            NO_CATCH_UP_IS_ASKED_FOR,
            before(
                "protocol/push.rs",
                "Protocol::advanced",
                "Push::Behind { target, .. }",
                "Push::Behind { .. } if rebase => false,",
            ),
        ],
    },
    KnownBug {
        name: "ParkedFlag",
        story: "The first published fix of H001: an advance resumes a pusher that is parked, and the rejection of a push in flight parks it afterwards.",
        source: Some("LiveStore, commit 9bba60ed6"),
        edits: &[
            NO_CATCH_UP_IS_ASKED_FOR,
            NO_CATCH_UP_IS_HEARD,
            replace("protocol/push.rs", "Protocol::behind", "changed || reached", "false"),
        ],
    },
    KnownBug {
        name: "LateRejection",
        story: "A push is rejected after a pull has confirmed it; the rejection installs a fence that no pull will lift.",
        source: Some("LiveStore, commit e87d30632"),
        edits: &[
            NO_CATCH_UP_IS_ASKED_FOR,
            NO_CATCH_UP_IS_HEARD,
            replace("protocol/push.rs", "Protocol::behind", "changed || reached", "false"),
        ],
    },
    KnownBug {
        name: "ParkOffline",
        story: "The pusher parks on \"offline\"; the reconnect brings nothing new.",
        source: Some("LiveStore, commit 4690f6537"),
        edits: &[
            replace(
                "protocol/push.rs",
                "Protocol::not_taken",
                "reason: Delay::Unavailable };",
                "reason: Delay::Unavailable }; \
                 self.course.push = Push::Behind { since: call.epoch, target: None, until: None, pull: u64::MAX };",
            ),
            replace(
                "protocol/push.rs",
                "Protocol::pusher_hears",
                "self.course.unreached && self.course.may_cut",
                "false",
            ),
        ],
    },
    KnownBug {
        name: "RejectAndClear",
        story: "A rejected pusher asks for no catch-up.",
        source: Some("LiveStore #742, #954"),
        edits: &[NO_CATCH_UP_IS_ASKED_FOR],
    },
    KnownBug {
        name: "PassiveAfterLostEcho",
        story: "An acknowledgement and its echo are lost; no catch-up is asked for.",
        source: Some("LiveStore #1394, #1462"),
        edits: &[NO_CATCH_UP_IS_ASKED_FOR],
    },
    KnownBug {
        name: "EmptyCatchUpWakesNone",
        story: "A catch-up that brings nothing does not resume the pusher.",
        source: Some("LiveStore #1576 (review)"),
        edits: &[before(
            "protocol/push.rs",
            "Protocol::pusher_hears",
            "match self.course.push",
            "if !matches!(self.course.pull, super::Pull::Pulling { news: true, .. }) { return; }",
        )],
    },
    KnownBug {
        name: "CatchUpPolledAfterRun",
        story: "A catch-up that is asked for while a pull is going on is taken as served by it.",
        source: Some("LiveStore #1576"),
        edits: &[
            replace("protocol/push.rs", "Protocol::fence", "self.begun.pull + 1", "self.begun.pull"),
            begin(
                "protocol/pull.rs",
                "Protocol::ask_for_catch_up",
                "if matches!(self.course.pull, Pull::Pulling { .. }) { return Effects::default(); }",
            ),
        ],
    },
    KnownBug {
        name: "RetryReturnsToIdle",
        story: "The end of a backoff leads to waiting for a new commit.",
        source: Some("powersync-native #15, powersync-kotlin #340"),
        edits: &[replace(
            "protocol/push.rs",
            "Protocol::push_begins",
            "let lingered = self.push_waited(now);",
            "let waits = matches!(self.course.push, Push::Waiting { .. }); \
             let lingered = self.push_waited(now); \
             if waits && matches!(self.course.push, Push::Idle) { return Next::Wait { until: None }; }",
        )],
    },
    KnownBug {
        name: "WaitOutlivesItsTime",
        story: "A pull's backoff ends with nothing to pull, and stays: as it was to be waited for already, a later request for a catch-up wakes no puller.",
        source: None,
        edits: &[
            replace(
                "protocol/pull.rs",
                "Protocol::next_pull",
                "self.pull_waited(now);",
                "let wait = self.course.pull.clone(); \
                 self.pull_waited(now); \
                 if matches!((&wait, self.pull_due()), (Pull::Waiting { .. }, Next::Wait { until: None })) { \
                     self.course.pull = wait; \
                     return Next::Wait { until: None }; \
                 }",
            ),
            replace(
                "replicator/core.rs",
                "State::record_wait",
                "self.told.record_wait(direction, told)",
                "self.told.record_wait(\
                     direction, \
                     if direction == Direction::Pull { self.protocol.pull_due() } else { told }, \
                 )",
            ),
        ],
    },
    KnownBug {
        name: "LookAgainEndsNoWait",
        story: "A resume, a restart or a request to try again ends no wait of the pusher's.",
        source: None,
        edits: &[replace("protocol/push.rs", "Protocol::push_looks_again", "self.course.push = Push::Idle", "{}")],
    },
    KnownBug {
        name: "PageDroppedWhileBusy",
        story: "A page that arrives during a push is dropped.",
        source: Some("rxdb #5571, powersync-js #558"),
        edits: &[replace(
            "protocol/pull.rs",
            "Protocol::page_pulled",
            "!self.is_pulling(ticket)",
            "!self.is_pulling(ticket) || matches!(self.course.push, super::Push::Sending { .. })",
        )],
    },
    KnownBug {
        name: "ReadThenSubscribe",
        story: "A snapshot is read, then the subscription begins.",
        source: Some("powersync-swift #162"),
        edits: &[
            begin(
                "replicator/mod.rs",
                "Replicator::updates",
                "let snapshot = self.core.look(|state| { \
                     let log = state.protocol.log(); \
                     let (head, upstream_head) = (log.head(), log.upstream_head()); \
                     Snapshot { head, upstream_head, pending: log.batch(NonZeroUsize::MAX) } \
                 });",
            ),
            replace(
                "replicator/mod.rs",
                "Replicator::updates",
                "let snapshot = Snapshot { head, upstream_head, pending: log.batch(NonZeroUsize::MAX) };",
                "",
            ),
        ],
    },
    KnownBug {
        name: "DroppedItemNeverSettles",
        story: "An event that the log gave up is filtered out without telling its waiter.",
        source: Some("LiveStore #743"),
        edits: &[replace(
            "replicator/ticket.rs",
            "Tickets::merged",
            "settled.extend(lost.filter_map(|index| self.loses(*index, Settled::Rejected, reason)));",
            "",
        )],
    },
    KnownBug {
        name: "RestartOnEveryAdvance",
        story: "Every advance interrupts the push in flight.",
        source: Some("LiveStore #648"),
        edits: &[replace("protocol/push.rs", "Protocol::advanced", "confirmed || rebase", "true")],
    },
    KnownBug {
        name: "PrefixBypass",
        story: "After a rejection the next events are sent past those that were rejected.",
        source: Some("LiveStore #1530"),
        edits: &[replace(
            "protocol/push.rs",
            "Protocol::push_begins",
            "self.log.batch_in(most, room)",
            "self.log.batch(std::num::NonZeroUsize::MAX).into_iter().skip(self.course.rejected as usize)\
             .take(self.settings.batch.get()).collect::<Vec<_>>()",
        )],
    },
    KnownBug {
        name: "ResendUncertain",
        story: "A push with an unknown outcome is sent again at once.",
        source: Some("firebase-android-sdk #8440"),
        edits: &[replace(
            "protocol/push.rs",
            "Protocol::uncertain",
            "self.settings.resend == Resend::AfterCatchUp",
            "false",
        )],
    },
    KnownBug {
        name: "InferredSuccess",
        story: "A pause during a retry is taken for success.",
        source: Some("rxdb #8285"),
        edits: &[replace(
            "protocol/push.rs",
            "Protocol::answered",
            "call.fate == Fate::Open && outcome.is_ok()",
            "call.fate == Fate::Open \
             && (outcome.is_ok() || self.paused.push && matches!(outcome, Err(PushError::Unavailable { .. })))",
        )],
    },
    KnownBug {
        name: "PublishForgetsPusher",
        story: "A change after which there is something to send is told to all but the pusher.",
        source: None,
        edits: &[replace("replicator/told.rs", "Told::publish", "push.wakes(self.push)", "false")],
    },
    KnownBug {
        name: "PublishForgetsSessions",
        story: "A leader knows what has become of a session's push, and wakes no session.",
        source: None,
        edits: &[replace("replicator/guest.rs", "State::publish_to_sessions", "only(topic::SESSIONS)", "0")],
    },
    KnownBug {
        name: "LeaderKeepsOvertaken",
        story: "A leader renumbers a session's batch that others have overtaken, and sends it: the session does not know it \
                again under other numbers.",
        source: None,
        edits: &[replace("replicator/guest.rs", "State::decided", "confirmed == 0 && head > base", "false")],
    },
    KnownBug {
        name: "PublishForgetsPuller",
        story: "A change after which there is something to pull wakes every party but the puller.",
        source: None,
        edits: &[replace("replicator/told.rs", "Told::publish", "pull.wakes(self.pull)", "false")],
    },
    KnownBug {
        name: "SoonerTimeWakesNone",
        story: "A party that waits for a time is not woken when it would be told a sooner one.",
        source: None,
        edits: &[replace(
            "replicator/told.rs",
            "Told::publish",
            "push.wakes(self.push)",
            "push.wakes(self.push) && !matches!((push, self.push), (Next::Wait { .. }, Next::Wait { until: Some(_) }))",
        )],
    },
    KnownBug {
        name: "LookIsNotNoted",
        story: "What a party is told as it looks is not noted: what it was told before its call is taken for what it waits for now.",
        source: None,
        edits: &[begin("replicator/told.rs", "Told::record_wait", "return false;")],
    },
    KnownBug {
        name: "SilentExit",
        story: "The pusher ends on a fatal error without a word.",
        source: Some("LiveStore #1133, #1577"),
        edits: &[before(
            "replicator/work.rs",
            "push",
            "next = pusher.next(Input::PushEnded",
            "if outcome.as_ref().is_err_and(|failed| matches!(failed.outcome, Ok(PushError::Fatal { .. }))) { return Ok(()); }",
        )],
    },
    KnownBug {
        name: "DrainLosesDequeued",
        story: "Shutdown does not count what the pusher has in its hands.",
        source: Some("LiveStore #1437, #1439"),
        edits: &[before(
            "replicator/shutdown.rs",
            "Shutdown::of",
            "let error",
            "let mut pending = pending; \
             match state.protocol.push() { \
                 Push::Sending { count, .. } => drop(pending.drain(..*count)), \
                 Push::Uncertain { .. } => pending.clear(), \
                 _ => {} \
             }",
        )],
    },
    KnownBug {
        name: "WakerEndsWorker",
        story: "A task's waker that panics in the pusher's thread ends it.",
        source: None,
        edits: &[replace(
            "replicator/work.rs",
            "Party::finish",
            "self.show(self.core.finish(after).message());",
            "self.core.finish(after).resume();",
        )],
    },
    KnownBug {
        name: "StoppedCommitIsAdmitted",
        story: "A commit is admitted although everything is to stop, and no party is left to settle it.",
        source: None,
        edits: &[replace("replicator/mod.rs", "Replicator::admit", "state.protocol.is_stopped()", "false")],
    },
    KnownBug {
        name: "StopLeavesTicketsOpen",
        story: "The directions end, and what can settle no more is left open.",
        source: None,
        edits: &[replace("replicator/work.rs", "Party::next", "if last", "if false")],
    },
    KnownBug {
        name: "ResetUnannounced",
        story: "The log is replaced, and subscribers are told of the new one's events as if they were the former one's.",
        source: Some("powersync.dart #440"),
        edits: &[replace(
            "replicator/core.rs",
            "State::reset",
            "self.subscribers.end(RecvError::Replaced, &mut self.after);",
            "",
        )],
    },
    KnownBug {
        name: "TicketForgetsTasks",
        story: "A commit settles, and of those that wait for its ticket the threads are woken and the tasks are not.",
        source: None,
        edits: &[replace(
            "replicator/ticket.rs",
            "Tickets::settled",
            "change_quietly(wakers,",
            "change_quietly(&mut Wakers::new(),",
        )],
    },
    KnownBug {
        name: "SecondShutdownWaitsForNone",
        story: "A shutdown takes the threads along as it waits for them: another at the same time finds none and returns.",
        source: None,
        edits: &[
            replace(
                "replicator/shutdown.rs",
                "Replicator::report",
                "self.core.workers.lock()",
                "take(&mut *self.core.workers.lock())",
            ),
            replace("replicator/shutdown.rs", "Replicator::report", "&mut *workers", "&mut workers"),
        ],
    },
    KnownBug {
        name: "DropWaitsBeforeStop",
        story: "The drop of the last handle waits for the threads before it has told them to stop.",
        source: None,
        edits: &[before(
            "replicator/shutdown.rs",
            "Owned::drop",
            "let mut in_vain",
            "drop(take(&mut *self.workers.lock()));",
        )],
    },
    KnownBug {
        name: "DropsUnderTheLock",
        story: "What is not needed any more is dropped under the lock, where its drop may call back.",
        source: None,
        edits: &[replace("replicator/after.rs", "AfterUnlock::discard_events", "needs_drop::<E>()", "false")],
    },
    KnownBug {
        name: "WatcherIsNotNoted",
        story: "A waiter for a status that finds nothing new is not noted, and what changes next wakes none.",
        source: Some("realm-core #5315"),
        edits: &[replace("replicator/core.rs", "State::has_changed", "self.watched |= self.revision == seen;", "")],
    },
    KnownBug {
        name: "LookTellsNoWatcher",
        story: "A push that begins changes what a status shows, and no waiter for that is told.",
        source: Some("replicache #490"),
        edits: &[replace(
            "replicator/core.rs",
            "State::record_wait",
            "if begun || news || moved { self.changed() } else { 0 }",
            "0",
        )],
    },
    KnownBug {
        name: "HaltWakesNoFlush",
        story: "A flush waits on when the pusher has failed, until the owner acts or its time is over.",
        source: Some("realm-core #5315"),
        edits: &[replace("replicator/core.rs", "State::changed", "take(&mut self.halted)", "false")],
    },
    KnownBug {
        name: "HaltWakesNoTicket",
        story: "A bounded wait for a ticket waits on when the pusher has failed.",
        source: None,
        edits: &[replace("replicator/ticket.rs", "Tickets::halt", "Topics::from(halted)", "0")],
    },
    KnownBug {
        name: "GivenUpEventStillBlocks",
        story: "An event that the owner has given up goes on to block what stood behind it.",
        source: Some("matrix-rust-sdk #3539"),
        edits: &[replace(
            "protocol/decisions.rs",
            "Protocol::owner_decided",
            "range.contains(&blocked.index)",
            "range.contains(&blocked.index) && false",
        )],
    },
    KnownBug {
        name: "LaggedWithoutNotice",
        story: "A receiver that has fallen too far behind gets nothing more, and says for ever that nothing has come yet.",
        source: None,
        edits: &[replace(
            "replicator/update.rs",
            "Subscriber::tell",
            "tail.end.store(RecvError::Lagged as u8, Ordering::Release);",
            "",
        )],
    },
    KnownBug {
        name: "DeadlineEndsNoWait",
        story: "A thread that blocks until it is interrupted does not wake at the interrupt's deadline.",
        source: Some("element-x-ios #1211, libsql #1224"),
        edits: &[replace(
            "primitives/wait.rs",
            "Wait::drive",
            "by_itself.chain(deadline).min()",
            "by_itself.min().and(deadline).or(deadline)",
        )],
    },
    KnownBug {
        name: "OrphansGrandchildren",
        story: "A child does not hold its parent: when that is dropped, the grandparent does not reach the child any more.",
        source: None,
        edits: &[replace(
            "primitives/interrupt.rs",
            "Interrupt::child",
            "Token::new(Some(parent), self.token.timed)",
            "Token::new(None, self.token.timed)",
        )],
    },
    KnownBug {
        name: "ReachedTargetRetriesAtOnce",
        story: "A rejection that names a head which has been reached is followed by another push at once, for ever.",
        source: Some("parsec-cloud #8257, measured here at 1.2 million pushes a second"),
        edits: &[replace("protocol/push.rs", "Protocol::behind", "self.course.in_vain() == 1", "true")],
    },
    KnownBug {
        name: "WentBackUnnoticed",
        story: "An upstream whose head stands before the batch's base is taken for one that is merely ahead.",
        source: Some("parsec-cloud #8257, libsql #1838, LiveStore #980"),
        edits: &[replace("protocol/push.rs", "Protocol::behind", "*head < call.base", "false")],
    },
    KnownBug {
        name: "CaughtUpForgetsFailures",
        story: "A pull that has caught up forgets all failures, also if it brought nothing.",
        source: Some("y-websocket #195"),
        edits: &[before(
            "protocol/pull.rs",
            "Protocol::caught_up",
            "self.course.unreached = false",
            "self.pull_forgets();",
        )],
    },
    KnownBug {
        name: "ReconnectCutsEveryBackoff",
        story: "Each reconnect cuts a push's delay short, also of an upstream that comes and goes.",
        source: Some("replicache #421"),
        edits: &[replace(
            "protocol/push.rs",
            "Protocol::pusher_hears",
            "self.course.may_cut = false",
            "self.course.may_cut = true",
        )],
    },
    KnownBug {
        name: "HeartbeatIsNews",
        story: "Each \"nothing more\" of a live pull is taken for what a rejected push waits for.",
        source: Some("centraldogma #437"),
        edits: &[
            begin("protocol/push.rs", "Protocol::pusher_hears", "self.epoch += 1;"),
            replace("protocol/push.rs", "Protocol::pusher_hears", "match attempts", "match None::<u32>"),
        ],
    },
    KnownBug {
        name: "OvertakenPushForgetsRetryAfter",
        story: "The time that upstream names is forgotten if others have overtaken the push meanwhile.",
        source: Some("vscode #102391, vdirsyncer #733"),
        edits: &[replace(
            "protocol/push.rs",
            "Protocol::push_ended",
            "if let Some(asked) = asked {",
            "if let Some(asked) = asked.filter(|_| call.fate == Fate::Open) {",
        )],
    },
    KnownBug {
        name: "EndingPullForgetsRetryAfter",
        story: "The time that upstream names is forgotten if the pull had been asked to end.",
        source: Some("vscode #102391, vdirsyncer #733"),
        edits: &[replace(
            "protocol/pull.rs",
            "Protocol::pull_ended",
            "now.saturating_add(*asked)",
            "matches!(self.course.pull, Pull::Pulling { ending: false, .. }).then(|| now.saturating_add(*asked)).unwrap_or_default()",
        )],
    },
    KnownBug {
        name: "RefusedPullForgetsRetryAfter",
        story: "The time that upstream names is forgotten if the log had refused a page of the pull, or panicked at it.",
        source: Some("vscode #102391, vdirsyncer #733"),
        edits: &[replace(
            "protocol/pull.rs",
            "Protocol::pull_ended",
            "now.saturating_add(*asked)",
            "matches!(self.course.pull, Pull::Pulling { .. }).then(|| now.saturating_add(*asked)).unwrap_or_default()",
        )],
    },
    KnownBug {
        name: "RetryNowOverridesRetryAfter",
        story: "To try again now overrides the time that upstream has named.",
        source: Some("vscode #102391"),
        edits: &[
            begin("protocol/push.rs", "Protocol::push_looks_again", "self.not_before.push = Time::ZERO;"),
            begin("protocol/pull.rs", "Protocol::pull_looks_again", "self.not_before.pull = Time::ZERO;"),
        ],
    },
    KnownBug {
        name: "LateAnswerStopsRestarted",
        story: "A fatal answer to a call of before the owner's restart stops what the owner has restarted.",
        source: Some("powersync-js #1033"),
        edits: &[replace("protocol/mod.rs", "Protocol::restart", "self.before_restart = self.begun;", "")],
    },
    KnownBug {
        name: "FormerAnswerCounts",
        story: "The answer to a call for a former log counts for the new one.",
        source: Some("powersync.dart #440"),
        edits: &[replace("protocol/mod.rs", "Protocol::reset", "self.former = self.begun;", "")],
    },
    KnownBug {
        name: "UnknownForEver",
        story: "A push with an unknown outcome stays so although its own events have come back, in a stream that never says that it has shown everything.",
        source: Some("libsql #1315"),
        edits: &[replace("protocol/push.rs", "Protocol::is_open", "self.log.upstream_head() <= doubt.base", "true")],
    },
    KnownBug {
        name: "DoubtEndsAtFirstEvent",
        story: "A push with an unknown outcome counts as decided when the first page brings some of its events, and a shutdown says that upstream may have taken nothing more.",
        source: None,
        edits: &[replace("protocol/push.rs", "Protocol::shows", "doubt.unconfirmed == 0", "true")],
    },
    KnownBug {
        name: "FencedAlthoughDecided",
        story: "A push whose answer gets lost is fenced although a merge has decided it meanwhile: in a stream that never says that it has shown everything, for ever.",
        source: Some("libsql #1315"),
        edits: &[replace("protocol/push.rs", "Protocol::uncertain", "self.is_open()", "true")],
    },
    KnownBug {
        name: "FailureForgetsTheCall",
        story: "A failure of the log's while a push is in flight takes the place of the push: a reset does not ask it to end, and the pusher, still in the call, is named as who moves next.",
        source: None,
        edits: &[begin(
            "protocol/push.rs",
            "Protocol::push_unsent",
            "if true { self.course.push = Push::Failed { error: failure }; return; }",
        )],
    },
    KnownBug {
        name: "ConfirmedPushGoesOn",
        story: "A push in flight goes on although a merge has confirmed all of it: the next commit waits for its answer.",
        source: None,
        edits: &[replace("protocol/push.rs", "Protocol::advanced", "*unconfirmed == 0", "false")],
    },
    KnownBug {
        name: "ResetKeepsRefusal",
        story: "A reset keeps that the former log has refused a page: the first that the new one refuses is a failure.",
        source: None,
        edits: &[
            begin("protocol/mod.rs", "Protocol::reset", "let refused = self.course.refused;"),
            before("protocol/mod.rs", "Protocol::reset", "(former, effects)", "self.course.refused = refused;"),
        ],
    },
    KnownBug {
        name: "RejectionsOutliveAMerge",
        story: "Rejections are counted on after the merge that explains them: the next failure is waited out for too long.",
        source: None,
        edits: &[replace("protocol/push.rs", "Protocol::advanced", "self.course.rejected = 0;", "")],
    },
    KnownBug {
        name: "FailuresOutliveSuccess",
        story: "An accepted push forgets no failure before it: the next is waited out for too long.",
        source: None,
        edits: &[replace("protocol/push.rs", "Protocol::push_succeeded", "self.push_forgets();", "")],
    },
    KnownBug {
        name: "ReconnectCutsOnceForEver",
        story: "A reconnect cuts a push's delay short once, and never again, whatever has succeeded since.",
        source: None,
        edits: &[replace("protocol/push.rs", "Protocol::push_succeeded", "self.course.may_cut = true;", "")],
    },
    KnownBug {
        name: "NewsShortOfTheHead",
        story: "A rejected push is sent again with the first news, though upstream has told a later head: it can only be rejected.",
        source: Some("centraldogma #437"),
        edits: &[replace(
            "protocol/push.rs",
            "Protocol::advanced",
            "target.is_none_or(|target| head >= target)",
            "{ let _ = (target, head); true }",
        )],
    },
    KnownBug {
        name: "BlamesTheConnection",
        story: "A pusher that backs off since it was behind is said to wait for the connection.",
        source: Some("couchbase-lite-android #1867"),
        edits: &[replace(
            "protocol/waiting.rs",
            "Protocol::waiting_on",
            "asked: false, reason: Delay::Unavailable",
            "asked: false, ..",
        )],
    },
    KnownBug {
        name: "SkipsWhatIsRefused",
        story: "An event that upstream refuses for good is left out and what stands behind it is sent: it may rest on what upstream does not have.",
        source: Some("matrix-rust-sdk #3539, #4389"),
        edits: &[
            replace(
                "protocol/decisions.rs",
                "Protocol::sendable",
                "blocked.index.min(pending)",
                "if blocked.index == 0 { pending - 1 } else { blocked.index }",
            ),
            replace(
                "protocol/push.rs",
                "Protocol::push_begins",
                "self.log.batch_in(most, room)",
                "self.log.batch(NonZeroUsize::MAX).into_iter()\
                 .skip(usize::from(self.rejected().is_some_and(|(index, _)| index == 0))).take(most.get()).collect::<Vec<_>>()",
            ),
        ],
    },
    KnownBug {
        name: "RejectedIndexNotMoved",
        story: "The event that upstream refuses is remembered by its place in the batch: once those before it are confirmed it is sent again, and another one is held back.",
        source: None,
        edits: &[replace(
            "protocol/decisions.rs",
            "Protocol::settles",
            "blocked.index.checked_sub(confirmed)",
            "blocked.index.checked_sub(confirmed).and(Some(blocked.index))",
        )],
    },
    KnownBug {
        name: "DroppedEventNotCounted",
        story: "A log gives up an event before the one that upstream refuses, which is remembered by its former place: another one is held back.",
        source: None,
        edits: &[replace(
            "protocol/decisions.rs",
            "Protocol::settles",
            " - dropped.iter().filter(|dropped| **dropped < index).count()",
            "",
        )],
    },
    KnownBug {
        name: "GivesUpWhatWasSent",
        story: "The owner may give up what has been sent: upstream takes it all the same.",
        source: None,
        edits: &[begin("protocol/decisions.rs", "Protocol::sent", "return 0;")],
    },
    KnownBug {
        name: "RetryOfRefusedIsLost",
        story: "The owner has a refused event tried again, and it is held back all the same.",
        source: None,
        edits: &[begin("protocol/decisions.rs", "Protocol::retry_rejected", "return Effects::default();")],
    },
    KnownBug {
        name: "DecisionsForgetNoFailure",
        story: "The owner has decided about an event that upstream refuses, and the failures before count on: the next is waited out for too long.",
        source: None,
        edits: &[replace("protocol/decisions.rs", "Protocol::refusal_is_decided", "self.push_forgets();", "")],
    },
    KnownBug {
        name: "RefusedInDoubt",
        story: "An event is refused while an earlier push may have been taken with it, and no catch-up is asked for: the owner can never give it up.",
        source: None,
        edits: &[replace("protocol/decisions.rs", "Protocol::blocks", "self.is_uncertain()", "false")],
    },
    KnownBug {
        name: "TooLargeForGood",
        story: "A push that upstream finds too large is sent again as it is, for ever.",
        source: Some("pouchdb #4210"),
        edits: &[replace("protocol/decisions.rs", "Protocol::too_large", "(call.count / 2)", "call.count")],
    },
    KnownBug {
        name: "ResetForgetsWhatWasSent",
        story: "The log is replaced by one that goes on with what is pending, and what was in flight is sent again although upstream may have taken it.",
        source: Some("replicache #335"),
        edits: &[replace("protocol/mod.rs", "Protocol::reset_with", "|_| pending > 0", "|_| false")],
    },
    KnownBug {
        name: "CatchUpDecidesWhatIsUnderWay",
        story: "The log is replaced by one that goes on with what is in flight, and a pull that catches up before upstream has got that is taken as the word that it was not taken.",
        source: None,
        edits: &[replace("protocol/push.rs", "Protocol::pusher_hears", "!under_way && ", "")],
    },
    KnownBug {
        name: "LingerOutlivesItsTime",
        story: "The time for which a push waits for more events begins anew when it is over.",
        source: None,
        edits: &[replace(
            "protocol/push.rs",
            "Protocol::push_begins",
            "!lingered && self.is_to_linger()",
            "self.is_to_linger()",
        )],
    },
    KnownBug {
        name: "FullBatchLingers",
        story: "A push that waits for more events goes on waiting when there are enough.",
        source: None,
        edits: &[begin("protocol/push.rs", "Protocol::lingers_no_more_if_full", "return;")],
    },
    KnownBug {
        name: "ResendIgnoresWeight",
        story: "What a push carries is bounded by weight, and what is sent again after it has failed is not.",
        source: Some("pouchdb #4210"),
        edits: &[replace(
            "protocol/push.rs",
            "Protocol::push_begins",
            "self.light(&entries)",
            "self.light(&entries).filter(|_| self.course.in_vain() == 0)",
        )],
    },
    KnownBug {
        name: "FailureEndsTheInterval",
        story: "Pulls follow each other in an interval, and none follows one that fails when it has shown everything.",
        source: None,
        edits: &[replace(
            "protocol/pull.rs",
            "Protocol::pull_ended",
            "!self.settings.live",
            "!self.settings.live && outcome.is_ok()",
        )],
    },
    KnownBug {
        name: "FormerWakerStays",
        story: "A task that waits already is polled with another waker, and the former one stays in the queue: the task has moved, and what it has left is woken.",
        source: None,
        edits: &[replace(
            "primitives/wait_queue.rs",
            "Waiting::join_or_leave",
            "return present.replace(waker);",
            "return Some(waker);",
        )],
    },
    KnownBug {
        name: "FormerTaskIsWoken",
        story: "A driver keeps the waker of the task that has polled it first: once it has moved, a commit wakes what it has left.",
        source: None,
        edits: &[replace(
            "replicator/own_waker.rs",
            "OwnWaker::begins",
            "replace(&mut state.task, task)",
            "match state.task { Some(_) => task, None => replace(&mut state.task, task) }",
        )],
    },
    KnownBug {
        name: "OwnWakeIsNotSeen",
        story: "A pusher is woken while its driver polls the puller, and the driver does not look for that as it ends: it polls neither again.",
        source: None,
        edits: &[replace("replicator/own_waker.rs", "OwnWaker::ends", "replace(&mut state.woken, false)", "false")],
    },
    KnownBug {
        name: "OwnWakeStaysInside",
        story: "A driver that has polled its halves still counts as polling them: who wakes the pusher takes it for awake.",
        source: None,
        edits: &[replace("replicator/own_waker.rs", "OwnWaker::ends", "state.polling = state.woken;", "")],
    },
    KnownBug {
        name: "PartyJoinsLate",
        story: "A task looks for something to do, gives up the lock, and joins the queue afterwards: a wake between the two finds no task.",
        source: None,
        edits: &[before("replicator/work.rs", "Party::poll", "let joins =", "drop(state); state = core.state.lock();")],
    },
    KnownBug {
        name: "SleepOutlivesItsTime",
        story: "A driver that sleeps until some time goes on sleeping although it has been told another.",
        source: None,
        edits: &[replace(
            "replicator/driver.rs",
            "NextCall::poll",
            "until != sleep.as_ref().map(|(time, _)| *time)",
            "until.is_none() || sleep.is_none()",
        )],
    },
    KnownBug {
        name: "DroppedDriverStopsNothing",
        story: "A half of a driver is dropped, and neither the other half nor the handles are told.",
        source: None,
        edits: &[replace("replicator/driver.rs", "Ends::drop", "self.core.stop().message();", "")],
    },
    KnownBug {
        name: "DroppedHalfNeverEnds",
        story: "A driver is dropped and its directions are not taken for ended: what waits for the end waits for ever.",
        source: None,
        edits: &[begin(
            "replicator/driver.rs",
            "Ends::drop",
            "if true { return self.core.stop().message().map_or((), drop); }",
        )],
    },
    KnownBug {
        name: "DroppedCallIsNotReported",
        story: "A driver is dropped during a push, and the push is not reported: what upstream has taken counts as not sent.",
        source: None,
        edits: &[begin("replicator/driver.rs", "Sending::drop", "if true { return; }")],
    },
    KnownBug {
        name: "InterruptReachesNoTask",
        story: "A task that awaits a call looks whether it is interrupted, and leaves no waker: the call that hangs is never dropped.",
        source: None,
        edits: &[replace(
            "replicator/upstream/call.rs",
            "call",
            "interrupt.triggered()",
            "poll_fn(|_| interrupt.cause().map_or(Poll::Pending, Poll::Ready))",
        )],
    },
    KnownBug {
        name: "DeadlineWakesNoTask",
        story: "A task that awaits a call looks whether its time is over, and leaves the timer no waker: the call that hangs is never dropped.",
        source: Some("element-x-ios #1211, libsql #1224"),
        edits: &[replace(
            "replicator/upstream/call.rs",
            "call",
            "Pin::new(late).poll(context)",
            "Pin::new(late).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))",
        )],
    },
    KnownBug {
        name: "ReceiverJoinsLate",
        story: "A task looks for an update, and takes the queue's lock afterwards: what comes between the two wakes no task.",
        source: None,
        edits: &[
            replace("replicator/update.rs", "NextUpdate::look", "let mut waiting = self.0.tail.waiting.lock();", ""),
            before(
                "replicator/update.rs",
                "NextUpdate::look",
                "let former =",
                "let mut waiting = self.0.tail.waiting.lock();",
            ),
        ],
    },
    KnownBug {
        name: "ToldBeforeItIsThere",
        story: "A subscriber's tasks are taken out of the queue before the update is in the channel: one that looks between the two sleeps beside it.",
        source: None,
        edits: &[
            before("replicator/update.rs", "Subscriber::tell", "let unread =", "tail.wake(after);"),
            replace("replicator/update.rs", "Subscriber::tell", "tail.wake(after);\n        told", "told"),
        ],
    },
    KnownBug {
        name: "SentBeforeDurable",
        story: "A batch is sent as soon as it is committed: a crash takes it back, and upstream has it.",
        source: None,
        edits: &[begin("protocol/durable.rs", "Protocol::recorded", "return self.log.pending();")],
    },
    KnownBug {
        name: "DurableWhenTaken",
        story: "A commit is reported as durable when the journal has been given it.",
        source: None,
        edits: &[replace(
            "replicator/writer.rs",
            "State::write_begins",
            "self.tickets.writes();",
            "self.tickets.writes(); self.tickets.written(&mut self.after.wakers);",
        )],
    },
    KnownBug {
        name: "FailedWriteReported",
        story: "A write that has failed is taken for one that has succeeded.",
        source: None,
        edits: &[replace(
            "replicator/writer.rs",
            "wrote",
            "written.map_err(|error| Failure::Journal { error: error.into() })",
            "{ _ = written; Ok(()) }",
        )],
    },
    KnownBug {
        name: "WriterEndsSilently",
        story: "The writer ends when a write fails, and no party is told.",
        source: None,
        edits: &[
            begin(
                "replicator/writer.rs",
                "next",
                "if report.as_ref().is_some_and(|(_, outcome)| outcome.is_err()) { return None; }",
            ),
            begin(
                "replicator/writer.rs",
                "poll",
                "if core.look(|state| state.protocol.journal_failure().is_some()) { return (Next::Stop, Time::ZERO); }",
            ),
        ],
    },
    KnownBug {
        name: "DroppedWriteIsWritten",
        story: "A driver is dropped during a write, and the write counts as made.",
        source: None,
        edits: &[replace("replicator/driver.rs", "Writing::drop", "Err(failure)", "{ drop(failure); Ok(()) }")],
    },
    KnownBug {
        name: "DroppedWriteIsLost",
        story: "A driver is dropped during a write, and what it was to write is forgotten: the report knows nothing of it.",
        source: None,
        edits: &[begin(
            "replicator/driver.rs",
            "Writing::drop",
            "if true { self.core.look(|state| { state.writes.as_mut().unwrap().writing = None; state.protocol.written(); }); return; }",
        )],
    },
    KnownBug {
        name: "PublishForgetsWriter",
        story: "A change wakes no writer.",
        source: None,
        edits: &[begin("replicator/core.rs", "State::publish_to_writer", "return 0;")],
    },
    KnownBug {
        name: "WrittenHereUnpublished",
        story: "A thread that has written its own commit wakes no writer for what came meanwhile.",
        source: None,
        edits: &[replace(
            "replicator/writer.rs",
            "write_here",
            "report(core, write.make());",
            "let (written, mut done) = (write.make(), None); \
             core.look(|state| drop(state.written(written, &mut done, Time::ZERO)));",
        )],
    },
    KnownBug {
        name: "WriterEndsDuringAWrite",
        story: "The writer ends as soon as there is nothing left to take, while another thread is still writing its commit.",
        source: None,
        edits: &[replace(
            "protocol/durable.rs",
            "Protocol::write_due",
            "Durable { writing: Some(_), .. } => idle,",
            "Durable { writing: Some(_), .. } if !self.stopped => idle,",
        )],
    },
    KnownBug {
        name: "PullBeforeDurable",
        story: "A pull begins from a cursor that a crash takes back: upstream may have forgotten what stands before it.",
        source: None,
        edits: &[begin("protocol/durable.rs", "Protocol::is_cursor_recorded", "return true;")],
    },
    KnownBug {
        name: "CursorBeforePage",
        story: "The cursor is a change of its own, before the page that has moved it: a crash between the two loses the page.",
        source: Some("LiveStore #409, pouchdb #1240"),
        edits: &[before(
            "protocol/push.rs",
            "Protocol::merged",
            "self.note_merged(merged, confirmed, at.now);",
            "self.note(|| crate::log::Changed::Committed { entries: Vec::new() });",
        )],
    },
    KnownBug {
        name: "TornRebase",
        story: "A rebase takes out what was pending as one change, and puts it back under its new numbers as the next: a crash between the two loses it.",
        source: Some("LiveStore #409"),
        edits: &[replace(
            "protocol/push.rs",
            "Protocol::merged",
            "self.note_merged(merged, confirmed, at.now);",
            "let all = self.all_of(&self.log).unwrap_or_default(); if merged.is_rebase() { self.note(|| crate::log::Changed::Reset { pending: Vec::new() }); self.note(|| crate::log::Changed::Reset { pending: all }); } else { self.note_merged(merged, confirmed, at.now); }",
        )],
    },
    KnownBug {
        name: "SettlesByCount",
        story: "A journal takes out as many as are confirmed, local-only events that a reset did not tell among them: with these an event that is pending still, and a crash loses it.",
        source: None,
        edits: &[replace("log/change.rs", "Merged::settled", "|stands| is_sent || !stands", "|_| true")],
    },
    KnownBug {
        name: "FailedWriteOutOfOrder",
        story: "The changes of a write that has failed are queued behind those that came meanwhile.",
        source: None,
        edits: &[replace(
            "protocol/durable.rs",
            "Protocol::not_written",
            "durable.queue.extend(behind);",
            "durable.queue.splice(0..0, behind);",
        )],
    },
    KnownBug {
        name: "ReplacedCountsAsDurable",
        story: "A pending event is replaced during the write of its commit, and counts as durable once that has succeeded: what stands in its place is on no disk.",
        source: None,
        edits: &[begin("protocol/durable.rs", "Durable::forgets_from", "if index < usize::MAX { return; }")],
    },
    KnownBug {
        name: "DrainWithUnwritten",
        story: "The writer ends as soon as it is to stop, and leaves behind what has gathered.",
        source: None,
        edits: &[replace(
            "protocol/durable.rs",
            "Protocol::write_due",
            "if !queue.is_empty()",
            "if !queue.is_empty() && !self.stopped",
        )],
    },
];

/// Engines that resume on news alone ask for no catch-up: a pusher that is behind waits for what upstream says by itself.
const NO_CATCH_UP_IS_ASKED_FOR: Edit =
    replace("protocol/push.rs", "Protocol::behind", "until: Some(until)", "until: None");

/// And one that has caught up, for another reason, resumes no pusher that is behind.
const NO_CATCH_UP_IS_HEARD: Edit = replace(
    "protocol/push.rs",
    "Protocol::pusher_hears",
    "Push::Behind { pull, target, .. } if pull <= caught_up",
    "Push::Behind { pull, target, .. } if false",
);

/// On a log of [chosen signals](../switched/src/signals.rs) the protocol says what the log says. Always there: on any other
/// log they change nothing.
pub const CHOSEN_SIGNALS: &[Edit] = &[
    begin(
        "protocol/push.rs",
        "Protocol::push_due",
        "if let Some(told) = crate::signals::due(&self.log, Direction::Push) { \
             return if self.stopped { Next::Stop } else { told }; \
         }",
    ),
    begin(
        "protocol/pull.rs",
        "Protocol::pull_due",
        "if let Some(told) = crate::signals::due(&self.log, Direction::Pull) { \
             return if self.stopped { Next::Stop } else { told }; \
         }",
    ),
    begin(
        "protocol/push.rs",
        "Protocol::push_begins",
        "if let Some(found) = crate::signals::found(&mut self.log, Direction::Push, now) { \
             let call = Batch { base: self.log.upstream_head(), entries: Vec::new(), ticket: 0 }; \
             return if self.stopped { Next::Stop } else { found.map(|()| call) }; \
         }",
    ),
    begin(
        "protocol/pull.rs",
        "Protocol::next_pull",
        "if let Some(found) = crate::signals::found(&mut self.log, Direction::Pull, now) { \
             let call = (0, self.log.upstream_head()); \
             return if self.stopped { Next::Stop } else { found.map(|()| call) }; \
         }",
    ),
];

/// Each stands where no lock is held, so that a thread that is delayed keeps no other from going on. (A rollback is the
/// log's own doing, under the lock. A test that wants it slow wraps the log.)
pub const SYNC_POINTS: &[SyncPoint] = &[
    SyncPoint {
        name: "BeforeQueueChange",
        story: "A commit begins, or the puller has a page: what is pending is about to change.",
        edits: &[
            begin(
                "replicator/mod.rs",
                "Replicator::admit",
                "crate::sync_points::SyncPoint::BeforeQueueChange.reach();",
            ),
            before(
                "replicator/work.rs",
                "pull",
                "let woken = puller.report(",
                "crate::sync_points::SyncPoint::BeforeQueueChange.reach();",
            ),
        ],
    },
    SyncPoint {
        name: "AfterReply",
        story: "The pusher has upstream's answer and has not reported it.",
        edits: &[before(
            "replicator/work.rs",
            "push",
            "next = pusher.next(Input::PushEnded",
            "crate::sync_points::SyncPoint::AfterReply.reach();",
        )],
    },
    SyncPoint {
        name: "BeforeRestart",
        story: "What is pending has been rebased (or there is a stop, a reset, a pause or a request for a catch-up), and the call to upstream that this makes pointless is about to be interrupted, to be begun anew.",
        edits: &[before(
            "replicator/after.rs",
            "AfterUnlock::run",
            "panicked.catch(|| interrupt.set(cause))",
            "crate::sync_points::SyncPoint::BeforeRestart.reach();",
        )],
    },
    SyncPoint {
        name: "BeforeParking",
        story: "The pusher or the puller has found nothing to do and is about to park. Looking, finding nothing and parking is one critical section, and must be: a worker that has not been here since it was elsewhere leaves that section without parking, is delayed, looks again, and parks if it still finds nothing.",
        edits: &[
            replace(
                "replicator/work.rs",
                "Party::next",
                "if !passed =>",
                "if !passed && !crate::sync_points::SyncPoint::BeforeParking.is_owed() =>",
            ),
            before(
                "replicator/work.rs",
                "Party::next",
                "match next {\n                    // It looks again",
                "if matches!(next, Next::Wait { .. }) && crate::sync_points::SyncPoint::BeforeParking.is_owed() { \
                     crate::sync_points::SyncPoint::BeforeParking.reach(); \
                 }",
            ),
        ],
    },
];
