//! The defects that the checks must find: each one line of the shipped code, switched off.
//!
//! A check is only worth something if it can fail. So every property has its **known bug**: a real defect from a real
//! engine or library, written as a switch at the very line that prevents it, which the model beside the property has to
//! find. The switches exist only with the hidden feature `__known-bugs`; without it `bug!(…)` is the word `false`, and
//! neither this module's enum nor a name of it is compiled.
//!
//! One bug is on at a time, for the whole process: set before a model starts and never changed while it runs, it is no
//! step of the model.

/// Whether one of these known bugs is switched on; `false`, and nothing else, in a normal build.
#[cfg(not(feature = "__known-bugs"))]
macro_rules! bug {
    ($($name:ident),+) => {
        false
    };
}

/// Whether one of these known bugs is switched on; `false`, and nothing else, in a normal build.
#[cfg(feature = "__known-bugs")]
macro_rules! bug {
    ($($name:ident),+) => {
        [$($crate::known_bugs::KnownBug::$name),+].iter().any(|bug| bug.is_on())
    };
}
pub(crate) use bug;

#[cfg(feature = "__known-bugs")]
mod switch {
    use std::sync::atomic::{AtomicU8, Ordering};

    static ON: AtomicU8 = AtomicU8::new(0);

    macro_rules! known_bugs {
        ($($(#[doc = $story:literal])+ $name:ident,)*) => {
            /// A defect that can be switched on. The names are those of the crate's list of known bugs.
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            #[repr(u8)]
            pub enum KnownBug {
                /// No bug: the code as it ships.
                None,
                $($(#[doc = $story])+ $name,)*
            }

            impl KnownBug {
                /// Every one of them.
                pub const ALL: &'static [Self] = &[$(Self::$name,)*];

                /// What goes wrong, in words.
                pub fn story(self) -> &'static str {
                    match self {
                        Self::None => "",
                        $(Self::$name => concat!($($story),+),)*
                    }
                }
            }
        };
    }

    known_bugs! {
        /// A waiter looks, finds the latch closed, and joins the queue without looking again: the wake went out between.
        WakeWithoutLock,
        /// A waiter trusts the latch's present state alone: opened and closed again at once, it stays.
        OpenCloseLosesWaiters,
        /// Closing a closed latch takes away the mark that somebody waits.
        CloseForgetsWaiters,
        /// A waiter that gives up takes the first in the queue with it instead of itself.
        CancelledWaiterTakesWake,
        /// Giving up leaves the entry in the queue: the latch believes that somebody waits, for ever.
        CancelledWaiterStays,
        /// `release` opens the latch for a moment instead of letting through those present.
        ReleaseOpens,
        /// `open` publishes nothing: what was written before is not seen after.
        RelaxedOpen,
        /// `open` looks first, and on an open latch does nothing: what was written before is not published.
        OpenLooksFirst,
        /// A fast path passes without acquiring: what was written before is not seen after.
        RelaxedCheck,
        /// Marking that somebody waits finds nothing to wait for, and passes without acquiring.
        RelaxedMark,
        /// `close` takes the turn without acquiring: the former holder's writes are not seen.
        RelaxedClose,
        /// Taking back the mark that somebody waits is a plain write: what was released before it is not handed on.
        PlainUnmark,
        /// Waking a thread that has not gone to sleep yet leaves nothing behind.
        UnparkLeavesNoToken,
        /// A thread that lets others run before it sleeps forgets that it was woken meanwhile.
        GivesWayAndForgets,
        /// A wait that timed out looks at the clock alone and misses what came at the same moment.
        TimeoutHidesOpen,
        /// A wait that was let through before it gives up is told that it gave up.
        GivingUpHidesOpen,
        /// A return from parking is taken for the event itself.
        ParkIsTrusted,
        /// A state under a lock changes, and wakes nobody.
        ChangeWakesNobody,
        /// `bump` counts, and wakes nobody.
        BumpWakesNobody,
        /// `bump` publishes nothing: the count is seen, and what was written before it is not.
        RelaxedBump,
        /// An interrupt is set without waking those who wait for it; they look before they park.
        InterruptBetweenCheckAndPark,
        /// An interrupt is visible before its cause is written.
        SetBeforeCause,
        /// The last cause of an interrupt replaces the first.
        LastCauseWins,
        /// Whoever sets an interrupt second returns before it is visible.
        SecondSetterReturnsEarly,
        /// A child made while its parent is being set is not told.
        ChildMissesInterrupt,
        /// A child does not hold its parent: when that is dropped, the grandparent does not reach
        /// the child any more.
        OrphansGrandchildren,
        /// `clear` waits for the old run's end and then blanks the slot, whoever is in it by now.
        ClearOrphansRun,
        /// A restart is taken as served once a run has begun, also one that began before it.
        RestartLost,
        /// The result of a run that was replaced is taken for the present one's.
        StaleResultApplied,
        /// Whether a run was asked to end is read off its interrupt, which is set a moment after it was decided.
        TokenIsTruth,
        /// A restart that was asked for before `stop` is still served after it.
        RestartBeatsStop,
        /// A restart that arrives during a backoff waits for its end.
        BackoffSwallowsRestart,
        /// A panic ends the worker's thread.
        PanicEndsWorker,
        /// `stop` tells the worker but not its present run.
        StopMissesRun,
        /// **H001.** A pusher that is behind is resumed by a rebase only; upstream merely advances.
        ResumeOnRebaseOnly,
        /// The mirror image of H001: an advance resumes, a rebase does not.
        ResumeOnAdvanceOnly,
        /// The first published fix of H001: an advance resumes a pusher that is parked, and the rejection of a push in
        /// flight parks it afterwards.
        ParkedFlag,
        /// A push is rejected after a pull has confirmed it; the rejection installs a fence that no pull will lift.
        LateRejection,
        /// The pusher parks on "offline"; the reconnect brings nothing new.
        ParkOffline,
        /// A rejected pusher asks nobody for a catch-up.
        RejectAndClear,
        /// An acknowledgement and its echo are lost; nobody asks for a catch-up.
        PassiveAfterLostEcho,
        /// A catch-up that brings nothing resumes nobody.
        EmptyCatchUpWakesNobody,
        /// A catch-up that is asked for while a pull is going on is taken as served by it.
        CatchUpPolledAfterRun,
        /// The end of a backoff leads to waiting for a new commit.
        RetryReturnsToIdle,
        /// A pull's backoff ends with nothing to pull, and stays: as it was to be waited for already, who asks for a catch-up
        /// later wakes nobody.
        WaitOutlivesItsTime,
        /// Whoever resumes, restarts or asks to try again ends no wait of the pusher's.
        LookAgainEndsNoWait,
        /// A page that arrives during a push is dropped.
        PageDroppedWhileBusy,
        /// A snapshot is read, then the subscription begins.
        ReadThenSubscribe,
        /// An event that the log gave up is filtered out without telling whoever waits for it.
        DroppedItemNeverSettles,
        /// Every advance interrupts the push in flight.
        RestartOnEveryAdvance,
        /// After a rejection the next events are sent past those that were rejected.
        PrefixBypass,
        /// A push with an unknown outcome is sent again at once.
        ResendUncertain,
        /// A pause during a retry is taken for success.
        InferredSuccess,
        /// Whoever changes the state so that there is something to send tells everybody but the pusher.
        PublishForgetsPusher,
        /// The pusher ends on a fatal error without telling anybody.
        SilentExit,
        /// Shutdown does not count what the pusher has in its hands.
        DrainLosesDequeued,
        /// A task's waker that panics in the pusher's thread ends it.
        WakerEndsWorker,
        /// A commit is admitted although everything is to stop, and nobody is left to settle it.
        StoppedCommitIsAdmitted,
        /// A rejection that names a head which has been reached is followed by another push at once, for ever.
        ReachedTargetRetriesAtOnce,
        /// An upstream whose head stands before the batch's base is taken for one that is merely ahead.
        WentBackUnnoticed,
        /// A pull that has caught up forgets all failures, also if it brought nothing.
        CaughtUpForgetsFailures,
        /// Each reconnect cuts a push's delay short, also of an upstream that comes and goes.
        ReconnectCutsEveryBackoff,
        /// Each "nothing more" of a live pull is taken for what a rejected push waits for.
        HeartbeatIsNews,
        /// The time that upstream names is forgotten if others have overtaken the push meanwhile.
        OvertakenPushForgetsRetryAfter,
        /// The time that upstream names is forgotten if the pull had been asked to end.
        EndingPullForgetsRetryAfter,
        /// To try again now overrides the time that upstream has named.
        RetryNowOverridesRetryAfter,
        /// A fatal answer to a call of before the owner's restart stops what the owner has restarted.
        LateAnswerStopsRestarted,
        /// The answer to a call for a former log counts for the new one.
        FormerAnswerCounts,
        /// A push with an unknown outcome stays so although its own events have come back, in a stream that never says that
        /// it has shown everything.
        UnknownForEver,
        /// A push in flight goes on although a merge has confirmed all of it: the next commit waits for its answer.
        ConfirmedPushGoesOn,
    }

    impl KnownBug {
        pub(crate) fn is_on(self) -> bool {
            ON.load(Ordering::Relaxed) == self as u8
        }

        /// Switches this bug on, for the whole process, as long as the guard lives.
        ///
        /// # Panics
        ///
        /// If another one is on.
        #[must_use = "the bug is on as long as the guard lives"]
        pub fn switch_on(self) -> Switched {
            let other = ON.swap(self as u8, Ordering::Relaxed);
            assert_eq!(other, 0, "one known bug at a time");
            Switched(())
        }
    }

    /// Switches whatever bug is on off again, as long as the guard lives: for a way to a state that is not what is checked.
    #[must_use = "no bug is on as long as the guard lives"]
    pub fn suspend() -> Suspended {
        Suspended(ON.swap(0, Ordering::Relaxed))
    }

    /// No known bug is on as long as this lives.
    #[derive(Debug)]
    pub struct Suspended(u8);

    impl Drop for Suspended {
        fn drop(&mut self) {
            ON.store(self.0, Ordering::Relaxed);
        }
    }

    /// A known bug is on as long as this lives.
    #[derive(Debug)]
    pub struct Switched(());

    impl Drop for Switched {
        fn drop(&mut self) {
            ON.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(feature = "__known-bugs")]
pub use switch::{KnownBug, Suspended, Switched, suspend};
