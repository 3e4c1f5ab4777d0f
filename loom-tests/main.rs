//! The models: what is proved about the crate, how far, and by which defect the proof was tested.
//!
//! Run them with `RUSTFLAGS="--cfg loom" cargo test`. This file is the **index**, and the index is the code: each entry
//! gives the property, the invariant behind it, the greatest number of threads (loom's own main thread included), the
//! bound, and the **known bugs** that the same model must find when they are switched on in the shipped code, each with
//! the failure that is expected. What a model does, step by step, stands in `scenarios/`; what came of all of them in
//! `REPORT.md`, which `cargo models` writes. `README.md` says how to read it, and how to write a model.
//!
//! *Exhaustive* means: every interleaving, without a bound on preemptions, and the search ended by itself. Anything less
//! says its bound.
#![cfg(loom)]

#[path = "../tests/search/data.rs"]
mod data;
mod deep;
mod model;
mod progress;
mod runner;
#[path = "scenarios/shipped.rs"]
mod shipped;
#[path = "scenarios/switched.rs"]
mod switched;
mod trace;

use std::time::Duration;

use latchwork::Latch;
use latchwork_switched::known_bugs::KnownBug;
use model::{DEADLOCK, Index, Model, SPINS, Scenario};
use serde_json::json;

/// A scenario as one of the two builds has it; one with parameters, as a call in its module.
macro_rules! on {
    // In the protocol's place are signals that are chosen, which that build lets it; with no bug on, the rest is the same text.
    ($build:ident, driver, $name:ident) => {
        Scenario { steps: switched::driver::$name, build: &switched::scenarios::BUILD }
    };
    ($build:ident, $module:ident, $name:ident) => {
        Scenario { steps: $build::scenarios::$module::$name, build: &$build::scenarios::BUILD }
    };
    ($build:ident, $module:ident, $name:ident = $($call:tt)+) => {
        Scenario {
            steps: || {
                use $build::scenarios::$module::*;
                $($call)+
            },
            build: &$build::scenarios::BUILD,
        }
    };
}

/// Turns the index into tests. An entry: property, name, the scenario if it is not of that name,
/// invariants, threads, bound, known bugs; where another engine had it otherwise, that (`built`);
/// and for `cargo models --deep`, the same in larger sizes (`larger`).
macro_rules! index {
    ($($(#[doc = $about:literal])* mod $module:ident { $(
        #[doc = $property:literal]
        $name:ident $(= $scenario:ident($($parameter:expr),*))?:
        $invariants:literal, $threads:literal threads, $bound:tt,
        finds { $($bug:ident: $failure:expr),* $(,)? } $(built { $($variant:ident: $variant_failure:expr),* $(,)? })?
        $(larger { $($larger:ident),* $(,)? })?;
    )* })*) => {
        $(
            $(#[doc = $about])*
            mod $module {
                $(
                    #[doc = $property]
                    #[test]
                    fn $name() {
                        super::check(concat!(stringify!($module), "::", stringify!($name)));
                    }
                )*
            }
        )*

        const MODULES: &[Model] = &[$($(Model {
            name: concat!(stringify!($module), "::", stringify!($name)),
            property: $property,
            invariants: $invariants,
            threads: $threads,
            bound: model::bound!($bound),
            scenario: on!(shipped, $module, $name $(= $scenario($($parameter),*))?),
            switched: on!(switched, $module, $name $(= $scenario($($parameter),*))?),
            known_bugs: &[$((KnownBug::$bug, $failure)),*],
            variants: &[$($((stringify!($variant), on!(shipped, $module, $variant), $variant_failure)),*)?],
            larger: &[$($((stringify!($larger), on!(shipped, $module, $larger))),*)?],
        },)*)*];
    };
}

/// Turns the matrix into tests. A row: what happens, in words and in the scenarios, and the
/// invariants. A cell: its name, the pusher's state, the bound, and the known bugs, with their
/// failure where it is no deadlock.
macro_rules! meetings {
    (#[doc = $about:literal] mod $module:ident, $all:ident, $threads:literal threads, $meets:ident { $($what:literal ($happening:ident, $invariants:literal) { $(
        $name:ident: $pusher:ident, $bound:tt, finds { $($bug:ident $(: $failure:expr)?),* };
    )* })* }) => {
        #[doc = $about]
        mod $module {
            $($(
                #[doc = meetings!(property $what, $pusher)]
                #[test]
                fn $name() {
                    super::check(concat!(stringify!($module), "::", stringify!($name)));
                }
            )*)*
        }

        const $all: &[Model] = &[$($(Model {
            name: concat!(stringify!($module), "::", stringify!($name)),
            property: meetings!(property $what, $pusher),
            invariants: $invariants,
            threads: $threads,
            bound: model::bound!($bound),
            scenario: on!(shipped, matrix, $name = $happening.$meets($pusher)),
            switched: on!(switched, matrix, $name = $happening.$meets($pusher)),
            known_bugs: &[$((KnownBug::$bug, meetings!(failure $($failure)?))),*],
            variants: &[],
            larger: &[],
        },)*)*];
    };
    (property $what:literal, $pusher:ident) => { concat!($what, " meets a pusher that ", meetings!($pusher), ".") };
    (failure) => { DEADLOCK };
    (failure $failure:expr) => { $failure };
    (Idle) => { "is idle as something is committed" };
    (Accepted) => { "is about to be accepted" };
    (Sending) => { "is sending" };
    (Rejected) => { "is about to be rejected" };
    (Behind) => { "is behind" };
    (Lost) => { "is about to be left without an answer" };
    (Uncertain) => { "is uncertain" };
    (Refused) => { "is about to be told to come back later" };
    (BackingOff) => { "backs off" };
    (Paused) => { "is paused" };
}

/// All of them.
const INDEX: Index = Index(&[MODULES, MATRIX, TASKS]);

fn check(name: &str) {
    INDEX.models().find(|model| model.name == name).expect("a test for each model").check(INDEX);
}

index! {
    mod latch {
        /// Who waits when the latch opens gets through: a thread.
        open_lets_a_thread_through: "I1, I2", 2 threads, exhaustive,
            finds { WakeWithoutLock: DEADLOCK, UnparkLeavesNoToken: DEADLOCK };
        /// Who waits when the latch opens gets through: a task.
        open_lets_a_task_through: "I1, I2", 2 threads, exhaustive, finds { WakeWithoutLock: DEADLOCK };
        /// Who waits when the latch opens gets through: a thread and a task.
        open_lets_threads_and_tasks_through: "I1, I2", 2 threads, exhaustive, finds { WakeWithoutLock: DEADLOCK };
        /// A latch that opens and closes at once loses no waiter that was there.
        open_then_close_loses_no_waiter: "I1", 2 threads, exhaustive, finds { OpenCloseLosesWaiters: DEADLOCK };
        /// Closing a latch that is closed forgets no waiter.
        closing_a_closed_latch_forgets_no_waiter: "I1", 2 threads, exhaustive, finds { CloseForgetsWaiters: DEADLOCK };
        /// `release` lets through exactly those present, and counts them.
        release_lets_through_exactly_those_present: "I1", 2 threads, exhaustive,
            finds { ReleaseOpens: "the count is not of those let through" };
        /// What was written before `open` is seen after the wait.
        what_was_written_before_open_is_seen: "I2", 2 threads, exhaustive, finds {
            RelaxedOpen: "what was written before is not seen",
            RelaxedCheck: "what was written before is not seen",
            RelaxedMark: "what was written before is not seen",
        };
        /// What was written before `open` is seen after the wait, also if the latch was open already.
        what_was_written_before_opening_an_open_latch_is_seen: "I2", 2 threads, exhaustive,
            finds { OpenLooksFirst: "what was written before is not seen" };
        /// What was written before `open` is seen after the wait, also if the latch was closed, waited for and opened since.
        what_was_written_before_open_is_handed_on: "I2", 2 threads, exhaustive,
            finds { PlainUnmark: "what was written before is not seen" };
        /// What was written before `release` is seen by whom it lets through.
        what_was_written_before_release_is_seen: "I2", 2 threads, exhaustive, finds {}
            built { what_was_written_before_a_flag_is_seen: "what was written before is not seen" };
        /// A wait that times out as it is released has one outcome, and leaves no trace.
        a_wait_that_times_out_as_it_is_released_has_one_outcome: "I4", 2 threads, exhaustive, finds {
            TimeoutHidesOpen: "it was let through and told otherwise",
            CancelledWaiterStays: "it was let through and told otherwise",
        };
        /// A latch that opens before the deadline is passed, even if the waiter looks only after it.
        a_latch_that_opens_before_the_deadline_is_passed: "I4", 2 threads, exhaustive,
            finds { TimeoutHidesOpen: "it opened in time, and the wait timed out" };
        /// A wait that is interrupted as it is released has one outcome, and leaves no trace.
        a_wait_that_is_interrupted_as_it_is_released_has_one_outcome: "I4", 2 threads, exhaustive, finds {
            CancelledWaiterStays: "it was let through and told otherwise",
            GivingUpHidesOpen: "it was let through and told otherwise",
        };
        /// A wait that is dropped as it is released leaves no trace.
        a_wait_that_is_dropped_as_it_is_released_leaves_no_trace: "I4", 2 threads, exhaustive,
            finds { CancelledWaiterStays: "a trace of the wait is left" };
        /// Of two waiters one gives up as the latch opens, and the other gets through.
        a_waiter_that_gives_up_takes_no_others_wake: "I4", 2 threads, exhaustive,
            finds { CancelledWaiterTakesWake: DEADLOCK };
        /// Of two waiters one times out as the latch opens, and the other gets through.
        a_waiter_that_times_out_takes_no_others_wake: "I4", 2 threads, exhaustive,
            finds { CancelledWaiterTakesWake: DEADLOCK };
        /// A wake-up without a reason lets no thread through.
        a_wake_without_a_reason_lets_no_thread_through: "I1", 2 threads, exhaustive,
            finds { ParkIsTrusted: "it passed a closed latch" };
        /// A thread that gives way before it sleeps misses nothing.
        giving_way_before_sleeping_misses_nothing: "I1, I9", 2 threads, exhaustive,
            finds { GivesWayAndForgets: DEADLOCK, UnparkLeavesNoToken: DEADLOCK };
        /// `open` and `close` say who changed something.
        open_and_close_say_who_changed_something: "I9", 3 threads, exhaustive, finds {}
            built { a_flag_says_who_changed_something: "a change has two authors or none" };
        /// Taking turns by closing one latch keeps two out of the same section.
        one_latch_excludes: "I9", 3 threads, exhaustive, finds { RelaxedClose: "both were inside" }
            built { two_latches: "both were inside" };
    }
    mod epoch {
        /// A bump is never missed, whenever the epoch was read.
        a_bump_is_never_missed: "I2", 2 threads, exhaustive,
            finds { WakeWithoutLock: DEADLOCK, BumpWakesNone: DEADLOCK };
        /// A task gets past a bump.
        a_task_gets_past_a_bump: "I2", 2 threads, exhaustive,
            finds { WakeWithoutLock: DEADLOCK, BumpWakesNone: DEADLOCK };
        /// Threads and tasks with different counts get past what each has seen.
        each_waiter_gets_past_what_it_has_seen: "I2", 2 threads, exhaustive, finds { BumpWakesNone: DEADLOCK };
        /// Two bumps at once count two, and wake a thread that waits past both.
        two_bumps_at_once_count_two: "I2", 2 threads, exhaustive, finds { BumpWakesNone: DEADLOCK };
        /// A bump before the deadline is in time, even if the waiter looks only after it.
        a_bump_before_the_deadline_is_in_time: "I4", 2 threads, exhaustive,
            finds { TimeoutHidesOpen: "it was bumped in time, and the wait timed out" };
        /// A bump before the interrupt is in time, even if the waiter looks only after both.
        a_bump_before_the_interrupt_is_in_time: "I4", 2 threads, exhaustive,
            finds { GivingUpHidesOpen: "it was bumped in time, and the wait was interrupted" };
        /// Of two waiters one gives up as the epoch is bumped, and the other gets past.
        a_waiter_that_gives_up_takes_no_others_wake: "I4", 2 threads, exhaustive,
            finds { CancelledWaiterTakesWake: DEADLOCK };
        /// What was written before `bump` is seen by the waiter that gets past it.
        what_was_written_before_a_bump_is_seen: "I2", 2 threads, exhaustive, finds {
            RelaxedBump: "what was written before is not seen",
            RelaxedCheck: "what was written before is not seen",
            RelaxedMark: "what was written before is not seen",
        };
        /// What was written before `bump` is seen by the thread that bumps next.
        what_was_written_before_a_bump_is_seen_by_the_next: "I2", 2 threads, exhaustive,
            finds { RelaxedBump: "what was written before is not seen" };
    }
    mod interrupt {
        /// There is no gap between looking at an interrupt and parking for it.
        a_set_between_check_and_park_wakes_the_thread: "I1", 2 threads, exhaustive,
            finds { InterruptBetweenCheckAndPark: DEADLOCK };
        /// An interrupt wakes a task.
        a_set_wakes_a_task: "I1", 2 threads, exhaustive, finds { InterruptBetweenCheckAndPark: DEADLOCK };
        /// A sleep that is interrupted in time says so, even if the sleeper looks only after its end.
        a_sleep_that_is_interrupted_in_time_says_so: "I1", 2 threads, exhaustive,
            finds { TimeoutHidesOpen: "the interrupt came in time, and the sleep went on" };
        /// A child made as its parent is set is set.
        a_child_made_as_its_parent_is_set_is_set: "I1", 2 threads, exhaustive, finds { ChildMissesInterrupt: DEADLOCK };
        /// A child dropped as its parent is set keeps no other from being set.
        a_child_dropped_as_its_parent_is_set_is_forgotten: "I1", 2 threads, exhaustive,
            finds { InterruptBetweenCheckAndPark: DEADLOCK };
        /// A grandchild is set with the root although the child between is dropped as it is set.
        a_grandchild_is_set_though_the_child_between_is_dropped: "I1", 2 threads, exhaustive,
            finds { OrphansGrandchildren: DEADLOCK };
        /// A grandchild made as the root is set is set, although the child between them is dropped.
        a_grandchild_made_as_the_root_is_set_is_set: "I1", 2 threads, exhaustive,
            finds { OrphansGrandchildren: DEADLOCK, ChildMissesInterrupt: DEADLOCK };
        /// Every caller of `set` sees all descendants set, with the cause that stayed.
        every_setter_sees_the_descendants_set: "I1", 2 threads, exhaustive, finds {
            SecondSetterReturnsEarly: "`set` has returned, and a descendant is not set",
            LastCauseWins: "the first cause has not stayed",
        };
        /// A setter of a child sees its descendants set, although the root is being set too.
        a_setter_of_the_child_between_sees_the_grandchild_set: "I1", 2 threads, exhaustive,
            finds { SecondSetterReturnsEarly: "`set` has returned, and a descendant is not set" };
        /// A child that is set alone leaves its parent as it is, and keeps its first cause.
        a_child_set_alone_leaves_its_parent: "I1", 2 threads, exhaustive,
            finds { LastCauseWins: "the first cause has not stayed" };
        /// The first cause stays, and each caller of `set` sees it set.
        the_first_cause_stays_and_every_setter_sees_it: "I1", 2 threads, exhaustive, finds {
            LastCauseWins: "the first cause has not stayed",
            SecondSetterReturnsEarly: "`set` has returned, and the token is not set",
        };
        /// A token that is set has its cause.
        a_token_that_is_set_has_its_cause: "I1", 2 threads, exhaustive,
            finds { SetBeforeCause: "it is set without a cause" };
    }
    mod worker {
        /// Two runs of a worker never overlap.
        runs_never_overlap: "I12", 2 threads, exhaustive, finds {} built { overlapping_runs: "two runs at once" };
        /// A restart is never lost: the run that serves it begins after it.
        a_restart_is_never_lost: "I4", 2 threads, exhaustive, finds { RestartLost: "the restart was lost" };
        /// Two restarts at once are both served.
        two_restarts_at_once_are_both_served: "I4", 2 threads, exhaustive,
            finds { RestartLost: "the restart was lost" };
        /// Many restarts while a run winds down make one run.
        restarts_while_a_run_winds_down_make_one: "I4, I12", 2 threads, exhaustive,
            finds { ChangeWakesNone: DEADLOCK };
        /// No run begins once the worker has been told to stop.
        stop_beats_restart: "I16", 2 threads, exhaustive, finds { RestartBeatsStop: "a run has begun after `stop`" };
        /// Restarts from two threads are both served.
        restarts_from_two_threads_are_both_served: "I4", 3 threads, exhaustive,
            finds { RestartLost: "the restart was lost" };
        /// No run begins once the worker has been told to stop, whichever thread restarts it.
        stop_beats_a_restart_from_another_thread: "I16", 3 threads, exhaustive,
            finds { RestartBeatsStop: "a run has begun after `stop`" };
        /// `clear` as another thread restarts leaves no unknown run.
        clear_as_another_thread_restarts_leaves_no_orphan: "I12", 3 threads, exhaustive,
            finds { ClearOrphansRun: "an orphan runs on" };
        /// `join` and another thread's `stop` at once end the worker.
        join_as_another_thread_stops_ends_it: "I1, I16", 3 threads, 4, finds { StopMissesRun: DEADLOCK };
        /// A thread that joins a worker gets it back, wherever its run was.
        join_ends_a_run_that_is_about_to_park: "I1, I16", 2 threads, exhaustive, finds { StopMissesRun: DEADLOCK };
        /// `join` and `stop` at once end the worker.
        join_and_stop_at_once_end_it: "I1, I16", 2 threads, exhaustive, finds { StopMissesRun: DEADLOCK };
        /// A task that waits for the worker's end is woken by it.
        a_task_that_waits_for_the_end_is_woken: "I1, I16", 2 threads, exhaustive, finds { StopMissesRun: DEADLOCK };
        /// A join that times out hands the worker back.
        a_join_that_times_out_hands_the_worker_back: "I16", 2 threads, exhaustive,
            finds { ChangeWakesNone: DEADLOCK };
        /// `clear` ends what was asked for before it, and leaves no unknown run.
        clear_leaves_no_orphan: "I12", 2 threads, exhaustive, finds { ClearOrphansRun: "an orphan runs on" };
        /// A panic as the worker is restarted ends the run alone.
        a_panic_as_it_is_restarted_ends_the_run_alone: "I4, I16", 2 threads, exhaustive,
            finds { PanicEndsWorker: "the first run panics" };
        /// A restart ends a backoff.
        a_restart_ends_a_backoff: "I6", 2 threads, exhaustive, finds { BackoffSwallowsRestart: DEADLOCK };
        /// A restart as a backoff ends is served.
        a_restart_as_a_backoff_ends_is_served: "I6", 2 threads, exhaustive, finds { ChangeWakesNone: DEADLOCK };
        /// A run that fails by itself as it is cleared is followed by nothing.
        a_run_that_fails_as_it_is_cleared_is_followed_by_nothing: "I12", 2 threads, exhaustive, finds {
            TokenIsTruth: "a cleared run is followed by another",
            StaleResultApplied: "a cleared run is followed by another",
        };
        /// A run that fails by itself as it is restarted is followed by the next.
        a_run_that_fails_as_it_is_restarted_is_followed_by_the_next: "I4, I12", 2 threads, exhaustive, finds {
            TokenIsTruth: DEADLOCK,
            StaleResultApplied: DEADLOCK,
        };
        /// A wait for a worker to be idle has one outcome.
        a_wait_for_idle_that_times_out_has_one_outcome: "I16", 2 threads, exhaustive,
            finds { ChangeWakesNone: DEADLOCK };
    }
    /// The lemma of threads and of tasks, whatever the protocol says: for any signals before and after a transition.
    mod driver {
        /// A pusher is woken if it has to look: whatever it was told, and whatever it would be told after a transition.
        a_pusher_is_woken_whatever_the_signals: "I1, I2", 4 threads, exhaustive, finds {
            PublishForgetsPusher: DEADLOCK, SoonerTimeWakesNone: DEADLOCK, LookIsNotNoted: DEADLOCK,
            ChangeWakesNone: DEADLOCK,
        };
        /// A puller is woken if it has to look: whatever it was told, and whatever it would be told after a transition.
        a_puller_is_woken_whatever_the_signals: "I1, I2", 4 threads, exhaustive,
            finds { PublishForgetsPuller: DEADLOCK, LookIsNotNoted: DEADLOCK, ChangeWakesNone: DEADLOCK };
        /// A pushing task is woken if it has to look: whatever it was told, and whatever it would be told after a transition.
        a_pushing_task_is_woken_whatever_the_signals: "I1, I2", 4 threads, exhaustive, finds {
            PublishForgetsPusher: DEADLOCK, SoonerTimeWakesNone: DEADLOCK, LookIsNotNoted: DEADLOCK,
            PartyJoinsLate: DEADLOCK, FormerWakerStays: DEADLOCK, SleepOutlivesItsTime: DEADLOCK,
        };
        /// A pulling task is woken if it has to look: whatever it was told, and whatever it would be told after a transition.
        a_pulling_task_is_woken_whatever_the_signals: "I1, I2", 4 threads, exhaustive, finds {
            PublishForgetsPuller: DEADLOCK, LookIsNotNoted: DEADLOCK, PartyJoinsLate: DEADLOCK,
            FormerWakerStays: DEADLOCK, SleepOutlivesItsTime: DEADLOCK,
        };
        /// A transition that concerns both halves of a driver wakes the tasks of both.
        a_transition_wakes_both_tasks: "I1, I2", 4 threads, exhaustive,
            finds { PublishForgetsPusher: DEADLOCK, PublishForgetsPuller: DEADLOCK };
        /// A transition that concerns both parties wakes both.
        a_transition_wakes_both: "I1, I2", 4 threads, exhaustive,
            finds { PublishForgetsPusher: DEADLOCK, PublishForgetsPuller: DEADLOCK };
    }
    /// The theorem: no schedule leaves the pusher parked.
    mod replicator {
        /// After an advance the pusher looks again: idle, sending, accepted, rejected or behind. (H001.)
        advance_resumes_the_pusher: "I1, I2", 3 threads, exhaustive,
            finds { ResumeOnRebaseOnly: DEADLOCK, ParkedFlag: DEADLOCK } larger { two_commits_meet_an_advance };
        /// After an advance a pusher that gives way before it sleeps looks again.
        advance_resumes_a_pusher_that_gives_way: "I1, I2", 3 threads, exhaustive,
            finds { GivesWayAndForgets: DEADLOCK, ResumeOnRebaseOnly: DEADLOCK };
        /// After a rebase the pusher looks again.
        rebase_resumes_the_pusher: "I1, I2", 3 threads, exhaustive, finds { ResumeOnAdvanceOnly: DEADLOCK }
            larger { two_pending_meet_a_rebase };
        /// Two commits and two events of others: everything drains.
        two_and_two_drain: "I1, I2, I14", 3 threads, 5, finds { PublishForgetsPusher: DEADLOCK }
            larger { three_and_two_drain };
        /// A rejection that arrives after its batch was confirmed holds nothing up.
        a_late_rejection_holds_nothing_up: "I2", 3 threads, exhaustive, finds { LateRejection: DEADLOCK };
        /// A catch-up that brings nothing resumes a pusher that is behind.
        an_empty_catch_up_resumes_the_pusher = an_empty_catch_up(AtItsEnd): "I1, I3", 3 threads, exhaustive,
            finds { EmptyCatchUpWakesNone: DEADLOCK, RejectAndClear: DEADLOCK };
        /// Whenever time passes, a catch-up that brings nothing resumes a pusher that is behind.
        an_empty_catch_up_resumes_the_pusher_at_any_time = an_empty_catch_up(Ends): "I1, I3", 3 threads, 4,
            finds { EmptyCatchUpWakesNone: DEADLOCK, RejectAndClear: DEADLOCK };
        /// A catch-up that brings nothing resumes a pusher that is behind, also where pulls are one-shot.
        an_empty_one_shot_catch_up_resumes_the_pusher = an_empty_one_shot_catch_up(Stands):
            "I1, I3", 3 threads, exhaustive,
            finds { EmptyCatchUpWakesNone: DEADLOCK, PassiveAfterLostEcho: DEADLOCK };
        /// A catch-up begins also if the puller's last wait has ended with nothing to do.
        a_catch_up_begins_although_a_backoff_has_ended_in_nothing = a_catch_up_after_a_backoff(AtItsEnd):
            "I1, I4", 3 threads, exhaustive,
            finds { WaitOutlivesItsTime: DEADLOCK };
        /// A push whose answer was lost is not sent twice.
        an_uncertain_push_is_not_sent_twice = an_uncertain_push(AtItsEnd): "I5, I14", 3 threads, exhaustive,
            finds { ResendUncertain: "not everything is at upstream once" };
        /// Whenever time passes, a push whose answer was lost is not sent twice.
        an_uncertain_push_is_not_sent_twice_at_any_time = an_uncertain_push(Ends): "I5, I14", 3 threads, 4,
            finds { ResendUncertain: "not everything is at upstream once" };
        /// A push that was lost is sent again, once a pull that began afterwards has caught up.
        a_lost_push_is_sent_again = a_lost_push(AtItsEnd): "I3, I4", 3 threads, exhaustive,
            finds { CatchUpPolledAfterRun: DEADLOCK };
        /// Whenever time passes, a push that was lost is sent again, once a pull that began afterwards has caught up.
        a_lost_push_is_sent_again_at_any_time = a_lost_push(Ends): "I3, I4", 3 threads, 4,
            finds { CatchUpPolledAfterRun: DEADLOCK };
        /// A reconnect resumes a pusher that backs off.
        a_reconnect_resumes_the_pusher = a_reconnect(AtItsEnd): "I1, I6", 3 threads, exhaustive,
            finds { ParkOffline: DEADLOCK };
        /// Whenever time passes, a reconnect resumes a pusher that backs off.
        a_reconnect_resumes_the_pusher_at_any_time = a_reconnect(Ends): "I1, I6", 3 threads, 4,
            finds { ParkOffline: DEADLOCK };
        /// The end of a backoff leads to an attempt.
        the_end_of_a_backoff_leads_to_an_attempt = a_backoff(AtItsEnd): "I6", 3 threads, exhaustive,
            finds { RetryReturnsToIdle: DEADLOCK };
        /// Whenever time passes, the end of a backoff leads to an attempt.
        the_end_of_a_backoff_leads_to_an_attempt_at_any_time = a_backoff(Ends): "I6", 3 threads, exhaustive,
            finds { RetryReturnsToIdle: DEADLOCK };
        /// A caller who asks to try again now is heard.
        retry_now_ends_a_backoff: "I4, I6", 3 threads, 4, finds { RetryReturnsToIdle: DEADLOCK };
        /// A resume leads to an attempt.
        a_resume_leads_to_an_attempt: "I1", 3 threads, exhaustive, finds { PublishForgetsPusher: DEADLOCK };
        /// A failure is visible, and a restart ends it.
        a_failure_is_visible_and_a_restart_ends_it: "I16", 3 threads, exhaustive, finds { SilentExit: SPINS };
        /// A restart without need does no harm.
        a_needless_restart_does_no_harm: "I1, I12", 3 threads, exhaustive, finds { PublishForgetsPusher: DEADLOCK };
        /// A shutdown says what was not handed over.
        a_shutdown_says_what_was_not_handed_over: "I8, I16", 3 threads, 3,
            finds { DrainLosesDequeued: "what was not confirmed is not in the report" };
        /// A page that arrives during a push is applied.
        a_page_during_a_push_is_applied = a_page_during_a_push(): "I7", 3 threads, exhaustive,
            finds { PageDroppedWhileBusy: DEADLOCK };
        /// An advance does not interrupt the push in flight.
        an_advance_leaves_the_push_in_flight = a_page_during_a_push(): "I13", 3 threads, exhaustive,
            finds { RestartOnEveryAdvance: "an advance interrupted a push in flight" };
        /// Updates begin where their snapshot ends.
        updates_begin_where_their_snapshot_ends: "I4", 3 threads, exhaustive,
            finds { ReadThenSubscribe: "an update fell into the gap" };
        /// A pause is not taken for success.
        a_pause_is_not_taken_for_success: "I5", 3 threads, exhaustive,
            finds { InferredSuccess: "confirmed, and upstream has never seen it" };
    }
    /// The handle: what stops, resets, subscribes and wakes while the two directions are at work.
    mod handle {
        /// A waker that panics in the pusher's thread leaves it going.
        a_waker_that_panics_leaves_the_pusher_going: "I16", 3 threads, exhaustive, finds { WakerEndsWorker: DEADLOCK };
        /// A stop refuses what is committed later, and settles what was committed before.
        a_stop_refuses_what_comes_later_and_settles_what_came_before: "I8, I16", 3 threads, 3,
            finds { StoppedCommitIsAdmitted: DEADLOCK, StopLeavesTicketsOpen: DEADLOCK };
        /// A reset ends the updates of the former log, and those of the present one begin where their snapshot ends.
        a_reset_ends_the_updates_of_the_former_log: "I4, I15", 3 threads, 3,
            finds { ResetUnannounced: "a receiver ends with its log" };
        /// What a subscriber leaves behind as it is told is not dropped under the lock.
        a_subscriber_that_leaves_as_it_is_told_leaves_nothing_under_the_lock: "I9", 3 threads, exhaustive,
            finds { DropsUnderTheLock: SPINS };
        /// A task that awaits a ticket is woken when it settles, though another that awaits it gives up.
        a_ticket_that_is_awaited_wakes_its_task: "I2, I8", 3 threads, exhaustive,
            finds { TicketForgetsTasks: DEADLOCK };
        /// Of shutdowns at the same time each returns when the threads have ended.
        shutdowns_at_once_both_wait_for_the_threads: "I16", 4 threads, 3,
            finds { SecondShutdownWaitsForNone: "a thread goes on after a shutdown" };
        /// Of handles dropped at the same time one ends the threads, and waits for them.
        handles_dropped_at_once_end_the_threads: "I16", 4 threads, exhaustive,
            finds { DropWaitsBeforeStop: DEADLOCK };
    }
    /// What an owner waits for: news, and what does not end by itself.
    mod owner {
        /// A thread that waits for a status is told of the change that makes it so.
        a_status_that_changes_is_seen: "I1", 3 threads, exhaustive, finds { WatcherIsNotNoted: DEADLOCK };
        /// It is told of a push that begins, too; and `reconnect` ends one that hangs.
        a_push_that_begins_is_seen_and_reconnect_ends_it: "I1, I13", 3 threads, exhaustive, finds { LookTellsNoWatcher: DEADLOCK };
        /// A flush ends when only the owner can go on.
        a_flush_ends_when_the_pusher_fails: "I16", 3 threads, exhaustive, finds { HaltWakesNoFlush: DEADLOCK };
        /// So does a wait for a ticket that is to.
        a_bounded_wait_for_a_ticket_ends_when_the_pusher_fails: "I16", 3 threads, exhaustive, finds { HaltWakesNoTicket: DEADLOCK };
        /// An event that upstream refuses for good and that is given up lets the next go on, and settles its own ticket alone.
        a_refused_event_that_is_given_up_lets_the_next_go_on: "I1, I8", 3 threads, exhaustive,
            finds { GivenUpEventStillBlocks: DEADLOCK };
        /// The deadline of a push that hangs ends it, without a thread that watches.
        a_push_that_hangs_ends_at_its_deadline: "I6", 3 threads, exhaustive, finds { DeadlineEndsNoWait: DEADLOCK };
    }
    /// A replicator as the upstream of another's: a leader.
    mod leader {
        /// After an advance of the leader's a session's push is answered, and taken whole under its numbers or not at all.
        an_advance_answers_the_push: "I1, I2, I14", 2 threads, 3,
            finds { PublishForgetsSessions: DEADLOCK,
                LeaderKeepsOvertaken: "it is answered otherwise: the outcome of the push is unknown: the leader's log has been replaced" };
        /// So it is after a rebase.
        a_rebase_answers_the_push: "I1, I2, I14", 2 threads, 3,
            finds { PublishForgetsSessions: DEADLOCK,
                LeaderKeepsOvertaken: "it is answered otherwise: the outcome of the push is unknown: the leader's log has been replaced" };
        /// An event that is refused for good answers it, though nothing is merged.
        a_refusal_answers_the_push: "I1, I2, I8", 2 threads, exhaustive, finds { PublishForgetsSessions: DEADLOCK };
    }
    /// The replicator for tasks: a driver on any executor.
    mod tasks {
        /// After an advance a driver looks again, whatever its pusher is about. (H001, for tasks.)
        advance_resumes_the_driver: "I1, I2", 2 threads, exhaustive,
            finds { ResumeOnRebaseOnly: DEADLOCK, PublishForgetsPusher: DEADLOCK, OwnWakeStaysInside: DEADLOCK };
        /// A push that asks for another poll gets it.
        a_push_that_wakes_itself_is_polled_again: "I1, I2", 2 threads, exhaustive, finds { OwnWakeIsNotSeen: DEADLOCK };
        /// After an advance that comes before, during or after a commit, a driver looks again.
        an_advance_at_any_time_resumes_the_driver: "I1, I2", 3 threads, 2,
            finds { ResumeOnRebaseOnly: DEADLOCK, PublishForgetsPusher: DEADLOCK };
        /// After a rebase a driver looks again.
        rebase_resumes_the_driver: "I1, I2", 2 threads, exhaustive,
            finds { PublishForgetsPusher: DEADLOCK };
        /// After an advance the pushing half of a driver looks again, on a thread of its own.
        advance_resumes_the_halves: "I1, I2", 3 threads, 3, finds { ResumeOnRebaseOnly: DEADLOCK };
        /// A driver that moves to another task is woken there.
        a_driver_that_moves_is_woken_where_it_is: "I1, I2", 2 threads, exhaustive,
            finds { FormerTaskIsWoken: DEADLOCK };
        /// A half that moves to another task is woken there.
        a_half_that_moves_is_woken_where_it_is: "I1, I2", 2 threads, exhaustive,
            finds { FormerWakerStays: DEADLOCK, PartyJoinsLate: DEADLOCK };
        /// A driver that is dropped before its first poll leaves no commit open, and is sure of nothing that it does not know.
        a_driver_is_dropped_at_once = a_driver_is_dropped_as_main_waits(0):
            "I8, I16", 2 threads, exhaustive, finds { DroppedDriverStopsNothing: DEADLOCK, DroppedHalfNeverEnds: DEADLOCK };
        /// A driver that is dropped after its first poll leaves no commit open, and is sure of nothing that it does not know.
        a_driver_is_dropped_after_a_poll = a_driver_is_dropped_as_main_waits(1):
            "I8, I16", 2 threads, exhaustive, finds {  };
        /// A driver that is dropped after its second poll leaves no commit open, and is sure of nothing that it does not know.
        a_driver_is_dropped_after_two_polls = a_driver_is_dropped_as_main_waits(2):
            "I8, I16", 2 threads, exhaustive, finds { DroppedCallIsNotReported: "a call goes on, and the driver is gone" };
        /// A driver that is dropped after its third poll leaves no commit open, and is sure of nothing that it does not know.
        a_driver_is_dropped_after_three_polls = a_driver_is_dropped_as_main_waits(3):
            "I8, I16", 2 threads, exhaustive, finds {  };
        /// A shutdown as the driver is dropped ends by itself, and reports what it left.
        a_shutdown_as_the_driver_is_dropped_ends = a_driver_is_dropped_as_main_shuts_down(0):
            "I8, I16", 2 threads, exhaustive, finds { DroppedHalfNeverEnds: DEADLOCK };
        /// Of a handle and its driver that are dropped at the same time neither leaves a commit open.
        a_handle_dropped_as_its_driver_is = a_driver_is_dropped_as_main_drops_the_handle(0):
            "I8, I16", 2 threads, exhaustive, finds { DroppedHalfNeverEnds: DEADLOCK };
        /// A shutdown as the driver is dropped after two polls ends by itself, and reports what it left.
        a_shutdown_as_the_driver_is_dropped_after_two_polls_ends = a_driver_is_dropped_as_main_shuts_down(2):
            "I8, I16", 2 threads, 3, finds { DroppedHalfNeverEnds: DEADLOCK };
        /// Of a handle and its driver that are dropped at the same time, the driver after two polls, neither leaves a commit open.
        a_handle_dropped_as_its_driver_is_after_two_polls = a_driver_is_dropped_as_main_drops_the_handle(2):
            "I8, I16", 2 threads, 3, finds { DroppedHalfNeverEnds: DEADLOCK };
        /// A pushing half that is dropped ends the pulling one.
        a_pushing_half_that_is_dropped_ends_the_other = a_half_that_is_dropped_ends_the_other(PUSH):
            "I16", 2 threads, exhaustive, finds { DroppedDriverStopsNothing: DEADLOCK };
        /// A pulling half that is dropped ends the pushing one.
        a_pulling_half_that_is_dropped_ends_the_other = a_half_that_is_dropped_ends_the_other(PULL):
            "I16", 2 threads, exhaustive, finds { DroppedDriverStopsNothing: DEADLOCK };
        /// The drop of the last handle ends the driver, wherever it was.
        the_drop_of_the_last_handle_ends_the_driver: "I16", 2 threads, 3,
            finds { PublishForgetsPusher: DEADLOCK, InterruptReachesNoTask: DEADLOCK };
        /// A call that hangs is dropped when its interrupt is set, also by the other half of its task.
        a_rebase_ends_a_call_that_hangs: "I6, I13", 2 threads, exhaustive,
            finds { InterruptReachesNoTask: DEADLOCK };
        /// A push that hangs is dropped at its deadline, by the driver's timer.
        a_push_that_hangs_ends_at_its_deadline: "I6", 2 threads, exhaustive, finds { DeadlineWakesNoTask: DEADLOCK };
        /// A timer that fires as news comes leads to an attempt.
        a_timer_that_fires_as_news_comes_leads_to_an_attempt: "I2, I6", 3 threads, 3,
            finds { RetryReturnsToIdle: DEADLOCK };
        /// A reset during a sleep has the driver sleep for what the new log waits for.
        a_reset_during_a_sleep_has_it_asked_anew: "I6, I12", 2 threads, exhaustive,
            finds { SleepOutlivesItsTime: DEADLOCK };
        /// A task that waits for an update is woken by one, and never asleep with one in the channel.
        an_update_wakes_the_task_that_waits_for_it: "I1, I2", 2 threads, exhaustive,
            finds { ReceiverJoinsLate: DEADLOCK, ToldBeforeItIsThere: DEADLOCK };
        /// A task that waits for an update is woken by the end of the updates.
        the_end_of_the_updates_wakes_the_task_that_waits_for_them: "I1, I16", 2 threads, exhaustive,
            finds { ReceiverJoinsLate: DEADLOCK };
    }
    /// A journal: what a crash does not take back.
    mod journal {
        /// Nothing is sent that a crash takes back.
        what_is_sent_is_durable: "I2, I17", 4 threads, exhaustive,
            finds { SentBeforeDurable: "a crash takes back what was sent", PublishForgetsWriter: DEADLOCK };
        /// Nothing is reported as durable that a crash takes back.
        what_is_durable_is_written: "I17", 4 threads, exhaustive,
            finds { DurableWhenTaken: "a crash takes back what was reported as durable" };
        /// A write that fails is the owner's to see, and is made again after a restart.
        a_write_that_fails_is_made_again: "I16, I17", 4 threads, 2,
            finds { FailedWriteReported: "a crash takes back what was settled", WriterEndsSilently: DEADLOCK };
        /// What has stopped has left nothing unwritten.
        what_has_stopped_has_written_everything: "I16, I17", 4 threads, 2,
            finds { DrainWithUnwritten: "it has ended and left something unwritten" };
        /// What comes as a thread writes its commit is left to the writer.
        what_comes_as_a_commit_is_written_is_written: "I1, I17", 5 threads, 2,
            finds { WrittenHereUnpublished: DEADLOCK };
        /// What has stopped as a thread writes its commit has left nothing unwritten.
        a_stop_meets_a_commit_that_is_written: "I16, I17", 5 threads, 2,
            finds { WriterEndsDuringAWrite: "it has ended and left something unwritten" };
        /// A write of a commit's own thread that fails is the owner's to see, and is made again after a restart.
        a_commit_whose_write_fails_is_written_again: "I16, I17", 4 threads, 2,
            finds { FailedWriteReported: "a crash takes back what was settled" };
        /// Nothing is sent by a driver that a crash takes back.
        what_a_driver_sends_is_durable: "I2, I17", 2 threads, exhaustive,
            finds { PublishForgetsWriter: DEADLOCK };
        /// Nothing is reported as durable by a driver that a crash takes back.
        what_a_driver_says_is_durable_is_written: "I17", 2 threads, exhaustive,
            finds { DurableWhenTaken: "a crash takes back what was reported as durable" };
        /// A write that fails in a driver is the owner's to see, and is made again after a restart.
        a_write_of_a_driver_that_fails_is_made_again: "I16, I17", 2 threads, 2,
            finds { FailedWriteReported: "a crash takes back what was settled", WriterEndsSilently: DEADLOCK };
        /// What has stopped a driver has left nothing unwritten.
        what_has_stopped_a_driver_has_written_everything: "I16, I17", 2 threads, 3,
            finds { DrainWithUnwritten: "it has ended and left something unwritten" };
        /// A driver that is dropped before its first poll has written nothing, says so, and leaves no waiter.
        a_driver_that_writes_is_dropped_at_once = a_driver_that_writes_is_dropped(0):
            "I16, I17", 2 threads, exhaustive, finds { DroppedHalfNeverEnds: DEADLOCK };
        /// Of a write that is dropped with its driver nothing is reported as durable.
        a_driver_that_writes_is_dropped_after_a_poll = a_driver_that_writes_is_dropped(1):
            "I16, I17", 2 threads, exhaustive,
            finds { DroppedWriteIsWritten: "a crash takes back what was reported as durable" };
        /// Nor of one that has been made and has not said so.
        a_driver_that_writes_is_dropped_after_two_polls = a_driver_that_writes_is_dropped(2):
            "I16, I17", 2 threads, 3, finds { DroppedWriteIsLost: "what is not durable is not in the report" };
        /// What a driver has written stays written as it is dropped.
        a_driver_that_writes_is_dropped_after_three_polls = a_driver_that_writes_is_dropped(3):
            "I16, I17", 2 threads, 3, finds {  };
    }
    /// What stands in the place of other engines' bugs.
    mod engines {
        /// Looking, then parking past the epoch read before, misses nothing.
        a_look_before_parking_misses_nothing: "I4", 2 threads, exhaustive, finds { BumpWakesNone: DEADLOCK }
            built { empty_then_idle: DEADLOCK, busy_swallows_trigger: "an item was never sent" };
        /// A commit waits for no other call.
        a_commit_waits_for_no_other_call: "I9, I10", 3 threads, exhaustive, finds {}
            built { commit_waits_for_rebase: DEADLOCK, page_holds_turn: DEADLOCK };
        /// What is sent is what is pending.
        what_is_sent_is_what_is_pending: "I11, I15", 3 threads, exhaustive,
            finds { ChangeWakesNone: DEADLOCK } built {
            rebase_from_snapshot: "what is pending is not what will be sent",
            cursor_before_apply: "an event was passed over",
        };
        /// A refused commit leaves nothing behind.
        a_refused_commit_leaves_nothing_behind: "I14", 3 threads, exhaustive,
            finds { PublishForgetsPusher: DEADLOCK } built { ghost_fence: DEADLOCK };
        /// An event that the log gives up is settled, once.
        an_event_that_the_log_gives_up_is_settled: "I8", 3 threads, exhaustive,
            finds { DroppedItemNeverSettles: DEADLOCK };
    }
}

meetings! {
    /// Everything that can happen, meeting a pusher in every state.
    mod matrix, MATRIX, 3 threads, meets {
        "An advance" (ADVANCE, "I1, I2") {
            advance_meets_idle: Idle, exhaustive, finds { ResumeOnRebaseOnly, ParkedFlag, PageDroppedWhileBusy };
            advance_meets_accepted: Accepted, exhaustive,
                finds { ResumeOnRebaseOnly, ParkedFlag, PageDroppedWhileBusy };
            advance_meets_rejected: Rejected, exhaustive,
                finds { ResumeOnRebaseOnly, ParkedFlag, PageDroppedWhileBusy };
            advance_meets_behind: Behind, exhaustive, finds { ResumeOnRebaseOnly };
            advance_meets_lost: Lost, 4, finds { RetryReturnsToIdle };
            advance_meets_uncertain: Uncertain, exhaustive, finds { RetryReturnsToIdle };
            advance_meets_refused: Refused, exhaustive, finds { ParkOffline, RetryReturnsToIdle };
            advance_meets_backing_off: BackingOff, exhaustive, finds { RetryReturnsToIdle };
            advance_meets_paused: Paused, exhaustive, finds { ResumeOnRebaseOnly, ParkedFlag, PageDroppedWhileBusy };
        }
        "A rebase" (REBASE, "I1, I2") {
            rebase_meets_idle: Idle, exhaustive, finds { ResumeOnAdvanceOnly, PageDroppedWhileBusy };
            rebase_meets_accepted: Accepted, exhaustive, finds { ResumeOnAdvanceOnly, PageDroppedWhileBusy };
            rebase_meets_rejected: Rejected, exhaustive, finds { ResumeOnAdvanceOnly, PageDroppedWhileBusy };
            rebase_meets_behind: Behind, exhaustive, finds { ResumeOnAdvanceOnly };
            rebase_meets_lost: Lost, 4, finds { RetryReturnsToIdle };
            rebase_meets_uncertain: Uncertain, exhaustive, finds { RetryReturnsToIdle };
            rebase_meets_refused: Refused, exhaustive, finds { RetryReturnsToIdle };
            rebase_meets_backing_off: BackingOff, exhaustive, finds { RetryReturnsToIdle };
            rebase_meets_paused: Paused, exhaustive, finds { ResumeOnAdvanceOnly, PageDroppedWhileBusy };
        }
        "A catch-up that brings nothing" (CATCH_UP, "I1, I3") {
            catch_up_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher };
            catch_up_meets_accepted: Accepted, exhaustive, finds { PublishForgetsPusher };
            catch_up_meets_rejected: Rejected, exhaustive,
                finds { ResumeOnRebaseOnly, ParkedFlag, ResumeOnAdvanceOnly };
            catch_up_meets_behind: Behind, exhaustive,
                finds { ResumeOnRebaseOnly, ParkedFlag, EmptyCatchUpWakesNone };
            catch_up_meets_lost: Lost, exhaustive,
                finds { EmptyCatchUpWakesNone, RetryReturnsToIdle, CatchUpPolledAfterRun };
            catch_up_meets_uncertain: Uncertain, exhaustive, finds { EmptyCatchUpWakesNone, RetryReturnsToIdle };
            catch_up_meets_refused: Refused, exhaustive, finds { ParkOffline, RetryReturnsToIdle };
            catch_up_meets_backing_off: BackingOff, exhaustive, finds { RetryReturnsToIdle };
            catch_up_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher };
        }
        "A catch-up that brings news" (NEWS, "I1, I2") {
            news_meets_idle: Idle, exhaustive, finds { ResumeOnRebaseOnly, ParkedFlag, PageDroppedWhileBusy };
            news_meets_accepted: Accepted, exhaustive, finds { ResumeOnRebaseOnly, ParkedFlag, PageDroppedWhileBusy };
            news_meets_rejected: Rejected, exhaustive, finds { ResumeOnRebaseOnly, ParkedFlag, PageDroppedWhileBusy };
            news_meets_behind: Behind, exhaustive, finds { ResumeOnRebaseOnly };
            news_meets_lost: Lost, 4, finds { RetryReturnsToIdle };
            news_meets_uncertain: Uncertain, exhaustive, finds { RetryReturnsToIdle };
            news_meets_refused: Refused, exhaustive, finds { ParkOffline, RetryReturnsToIdle };
            news_meets_backing_off: BackingOff, exhaustive, finds { RetryReturnsToIdle };
            news_meets_paused: Paused, exhaustive, finds { ResumeOnRebaseOnly, ParkedFlag, PageDroppedWhileBusy };
        }
        "A reconnect" (RECONNECT, "I1, I6") {
            reconnect_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher };
            reconnect_meets_accepted: Accepted, exhaustive, finds { PublishForgetsPusher };
            reconnect_meets_rejected: Rejected, exhaustive,
                finds { ResumeOnRebaseOnly, ParkedFlag, ResumeOnAdvanceOnly };
            reconnect_meets_behind: Behind, exhaustive,
                finds { ResumeOnRebaseOnly, ParkedFlag, EmptyCatchUpWakesNone };
            reconnect_meets_lost: Lost, exhaustive,
                finds { EmptyCatchUpWakesNone, RetryReturnsToIdle, CatchUpPolledAfterRun };
            reconnect_meets_uncertain: Uncertain, exhaustive, finds { EmptyCatchUpWakesNone, RetryReturnsToIdle };
            reconnect_meets_refused: Refused, exhaustive, finds { ParkOffline, RetryReturnsToIdle };
            reconnect_meets_backing_off: BackingOff, exhaustive, finds { EmptyCatchUpWakesNone, ParkOffline };
            reconnect_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher };
        }
        "Time that ends" (TIME, "I1, I6") {
            time_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher };
            time_meets_accepted: Accepted, exhaustive, finds { PublishForgetsPusher };
            time_meets_rejected: Rejected, exhaustive, finds { ResumeOnRebaseOnly, ParkedFlag, ResumeOnAdvanceOnly };
            time_meets_behind: Behind, exhaustive, finds { ResumeOnRebaseOnly, ParkedFlag, EmptyCatchUpWakesNone };
            time_meets_lost: Lost, exhaustive, finds { EmptyCatchUpWakesNone, CatchUpPolledAfterRun };
            time_meets_uncertain: Uncertain, exhaustive, finds { EmptyCatchUpWakesNone, RetryReturnsToIdle };
            time_meets_refused: Refused, exhaustive, finds { ParkOffline, RetryReturnsToIdle };
            time_meets_backing_off: BackingOff, exhaustive, finds { RetryReturnsToIdle };
            time_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher };
        }
        "A pause and resume of pushes" (RESUME, "I1, I12") {
            resume_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher };
            resume_meets_accepted: Accepted, exhaustive, finds { PublishForgetsPusher };
            resume_meets_rejected: Rejected, exhaustive, finds { ParkedFlag };
            resume_meets_behind: Behind, exhaustive, finds { PublishForgetsPusher };
            resume_meets_lost: Lost, exhaustive, finds { EmptyCatchUpWakesNone, RetryReturnsToIdle };
            resume_meets_uncertain: Uncertain, exhaustive, finds { EmptyCatchUpWakesNone };
            resume_meets_refused: Refused, exhaustive,
                finds { ParkOffline, RetryReturnsToIdle, InferredSuccess: "not everything is at upstream once" };
            resume_meets_backing_off: BackingOff, exhaustive, finds { LookAgainEndsNoWait };
            resume_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher };
        }
        "A pause and resume of pulls" (PULL_RESUME, "I1, I12") {
            pull_resume_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher };
            pull_resume_meets_accepted: Accepted, exhaustive, finds { PublishForgetsPusher };
            pull_resume_meets_rejected: Rejected, exhaustive,
                finds { ResumeOnRebaseOnly, ParkedFlag, ResumeOnAdvanceOnly };
            pull_resume_meets_behind: Behind, exhaustive,
                finds { ResumeOnRebaseOnly, ParkedFlag, EmptyCatchUpWakesNone };
            pull_resume_meets_lost: Lost, 5, finds { EmptyCatchUpWakesNone, RetryReturnsToIdle };
            pull_resume_meets_uncertain: Uncertain, 5, finds { EmptyCatchUpWakesNone, RetryReturnsToIdle };
            pull_resume_meets_refused: Refused, exhaustive, finds { ParkOffline, RetryReturnsToIdle };
            pull_resume_meets_backing_off: BackingOff, exhaustive, finds { RetryReturnsToIdle };
            pull_resume_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher };
        }
        "The owner's reconnect" (OWNER_RECONNECT, "I1, I6") {
            owner_reconnect_meets_idle: Idle, exhaustive, finds {};
            owner_reconnect_meets_accepted: Accepted, 4, finds {};
            owner_reconnect_meets_rejected: Rejected, 4, finds {};
            owner_reconnect_meets_behind: Behind, 4, finds {};
            owner_reconnect_meets_lost: Lost, 4, finds {};
            owner_reconnect_meets_uncertain: Uncertain, 4, finds {};
            owner_reconnect_meets_refused: Refused, 4, finds {};
            owner_reconnect_meets_paused: Paused, exhaustive, finds {};
            owner_reconnect_meets_backing_off: BackingOff, exhaustive, finds { LookAgainEndsNoWait };
        }
        "Another log that goes on with what is pending" (RESET_WITH, "I5, I12") {
            reset_with_meets_idle: Idle, 4, finds {};
            reset_with_meets_accepted: Accepted, 4, finds {};
            reset_with_meets_rejected: Rejected, 4, finds {};
            reset_with_meets_behind: Behind, 4, finds {};
            reset_with_meets_lost: Lost, 4, finds {};
            reset_with_meets_uncertain: Uncertain, 4, finds {};
            reset_with_meets_refused: Refused, 4, finds {};
            reset_with_meets_paused: Paused, exhaustive, finds {};
            reset_with_meets_backing_off: BackingOff, exhaustive, finds {};
        }
        "Giving up what was committed" (GiveUp, "I5, I8") {
            give_up_meets_idle: Idle, exhaustive,
                finds { GivesUpWhatWasSent: "given up, and upstream has it" };
            give_up_meets_accepted: Accepted, exhaustive,
                finds { GivesUpWhatWasSent: "given up, and upstream has it" };
            give_up_meets_rejected: Rejected, exhaustive, finds {};
            give_up_meets_behind: Behind, exhaustive, finds {};
            give_up_meets_lost: Lost, exhaustive, finds {};
            give_up_meets_uncertain: Uncertain, exhaustive, finds {};
            give_up_meets_refused: Refused, exhaustive, finds {};
        }
        "An event that is refused for good, and given up" (Refusal, "I1, I8") {
            refusal_meets_idle: Idle, exhaustive, finds { GivenUpEventStillBlocks };
            refusal_meets_sending: Sending, exhaustive, finds { GivenUpEventStillBlocks };
            refusal_meets_rejected: Rejected, exhaustive, finds { GivenUpEventStillBlocks };
            refusal_meets_behind: Behind, exhaustive, finds { GivenUpEventStillBlocks };
            refusal_meets_lost: Lost, exhaustive, finds { GivenUpEventStillBlocks };
            refusal_meets_uncertain: Uncertain, exhaustive, finds { GivenUpEventStillBlocks };
            refusal_meets_refused: Refused, exhaustive, finds { GivenUpEventStillBlocks };
            refusal_meets_backing_off: BackingOff, exhaustive, finds { GivenUpEventStillBlocks };
            refusal_meets_paused: Paused, exhaustive, finds { GivenUpEventStillBlocks };
        }
        "A batch that is too large" (TOO_LARGE, "I1, I6") {
            too_large_meets_idle: Idle, exhaustive, finds { TooLargeForGood: SPINS };
            too_large_meets_sending: Sending, exhaustive, finds { TooLargeForGood: SPINS };
            too_large_meets_rejected: Rejected, exhaustive, finds { TooLargeForGood: SPINS };
            too_large_meets_behind: Behind, exhaustive, finds { TooLargeForGood: SPINS };
            too_large_meets_lost: Lost, exhaustive, finds { TooLargeForGood: SPINS };
            too_large_meets_uncertain: Uncertain, exhaustive, finds { TooLargeForGood: SPINS };
            too_large_meets_refused: Refused, exhaustive, finds { TooLargeForGood: SPINS };
            too_large_meets_backing_off: BackingOff, exhaustive, finds { TooLargeForGood: SPINS };
            too_large_meets_paused: Paused, exhaustive, finds { TooLargeForGood: SPINS };
        }
        "The end of a push's time" (DEADLINE, "I1, I6") {
            deadline_meets_idle: Idle, exhaustive, finds { DeadlineEndsNoWait };
            deadline_meets_sending: Sending, exhaustive, finds { DeadlineEndsNoWait };
            deadline_meets_rejected: Rejected, 4, finds { DeadlineEndsNoWait };
            deadline_meets_behind: Behind, 4, finds { DeadlineEndsNoWait };
            deadline_meets_lost: Lost, 4, finds { DeadlineEndsNoWait };
            deadline_meets_uncertain: Uncertain, 4, finds { DeadlineEndsNoWait };
            deadline_meets_refused: Refused, exhaustive, finds { DeadlineEndsNoWait };
            deadline_meets_backing_off: BackingOff, exhaustive, finds { DeadlineEndsNoWait };
            deadline_meets_paused: Paused, exhaustive, finds { DeadlineEndsNoWait };
        }
        "A subscriber that lags" (LAG, "I1, I15") {
            lag_meets_idle: Idle, exhaustive, finds { LaggedWithoutNotice: "it lags, and is not told" };
            lag_meets_accepted: Accepted, exhaustive, finds { LaggedWithoutNotice: "it lags, and is not told" };
            lag_meets_rejected: Rejected, exhaustive, finds { LaggedWithoutNotice: "it lags, and is not told" };
            lag_meets_behind: Behind, exhaustive, finds { LaggedWithoutNotice: "it lags, and is not told" };
            lag_meets_lost: Lost, exhaustive, finds { LaggedWithoutNotice: "it lags, and is not told" };
            lag_meets_uncertain: Uncertain, exhaustive, finds { LaggedWithoutNotice: "it lags, and is not told" };
            lag_meets_refused: Refused, exhaustive, finds { LaggedWithoutNotice: "it lags, and is not told" };
            lag_meets_backing_off: BackingOff, exhaustive, finds { LaggedWithoutNotice: "it lags, and is not told" };
            lag_meets_paused: Paused, exhaustive, finds { LaggedWithoutNotice: "it lags, and is not told" };
        }
        "A restart" (RESTART, "I1, I12") {
            restart_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher };
            restart_meets_accepted: Accepted, exhaustive, finds { PublishForgetsPusher };
            restart_meets_rejected: Rejected, exhaustive, finds { ParkedFlag };
            restart_meets_behind: Behind, exhaustive, finds { PublishForgetsPusher };
            restart_meets_lost: Lost, exhaustive, finds { EmptyCatchUpWakesNone, RetryReturnsToIdle };
            restart_meets_uncertain: Uncertain, exhaustive, finds { EmptyCatchUpWakesNone };
            restart_meets_refused: Refused, exhaustive, finds { ParkOffline, RetryReturnsToIdle };
            restart_meets_backing_off: BackingOff, exhaustive, finds { LookAgainEndsNoWait };
            restart_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher };
        }
        "A request to try again now" (RETRY, "I1, I6") {
            retry_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher };
            retry_meets_accepted: Accepted, exhaustive, finds { PublishForgetsPusher };
            retry_meets_rejected: Rejected, 4, finds { ParkedFlag };
            retry_meets_behind: Behind, 4, finds { PublishForgetsPusher };
            retry_meets_lost: Lost, 4, finds { EmptyCatchUpWakesNone, CatchUpPolledAfterRun };
            retry_meets_uncertain: Uncertain, 4, finds { EmptyCatchUpWakesNone };
            retry_meets_refused: Refused, 4, finds { ParkOffline, RetryReturnsToIdle };
            retry_meets_backing_off: BackingOff, exhaustive, finds { LookAgainEndsNoWait };
            retry_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher };
        }
        "A stop" (Stop, "I8, I16") {
            stop_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher };
            stop_meets_accepted: Accepted, exhaustive, finds { ChangeWakesNone };
            stop_meets_rejected: Rejected, exhaustive, finds { ChangeWakesNone };
            stop_meets_behind: Behind, exhaustive, finds { PublishForgetsPusher };
            stop_meets_lost: Lost, 4, finds { ChangeWakesNone };
            stop_meets_uncertain: Uncertain, exhaustive, finds { PublishForgetsPusher };
            stop_meets_refused: Refused, exhaustive, finds { ChangeWakesNone };
            stop_meets_backing_off: BackingOff, exhaustive, finds { PublishForgetsPusher };
            stop_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher };
        }
    }
}

meetings! {
    /// Everything that can happen, meeting the pusher of a replicator for tasks in every state.
    mod task_matrix, TASKS, 2 threads, meets_tasks {
        "An advance" (ADVANCE, "I1, I2") {
            advance_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            advance_meets_accepted: Accepted, exhaustive, finds { ParkedFlag, PageDroppedWhileBusy };
            advance_meets_rejected: Rejected, exhaustive,
                finds { ResumeOnRebaseOnly, ParkedFlag, PageDroppedWhileBusy };
            advance_meets_behind: Behind, exhaustive,
                finds { ResumeOnRebaseOnly, PublishForgetsPusher, FormerWakerStays };
            advance_meets_lost: Lost, 4, finds { RetryReturnsToIdle, PublishForgetsPusher };
            advance_meets_uncertain: Uncertain, exhaustive,
                finds { RetryReturnsToIdle, PublishForgetsPusher, FormerWakerStays };
            advance_meets_refused: Refused, 4, finds { ParkOffline, RetryReturnsToIdle };
            advance_meets_backing_off: BackingOff, exhaustive, finds { RetryReturnsToIdle };
            advance_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
        }
        "A rebase" (REBASE, "I1, I2") {
            rebase_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            rebase_meets_accepted: Accepted, 4, finds { PageDroppedWhileBusy };
            rebase_meets_rejected: Rejected, 4, finds {};
            rebase_meets_behind: Behind, exhaustive,
                finds { ResumeOnAdvanceOnly, PublishForgetsPusher, FormerWakerStays };
            rebase_meets_lost: Lost, 4, finds { RetryReturnsToIdle, PublishForgetsPusher };
            rebase_meets_uncertain: Uncertain, exhaustive,
                finds { RetryReturnsToIdle, PublishForgetsPusher, FormerWakerStays };
            rebase_meets_refused: Refused, 4, finds { RetryReturnsToIdle };
            rebase_meets_backing_off: BackingOff, exhaustive, finds { RetryReturnsToIdle };
            rebase_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
        }
        "A catch-up that brings nothing" (CATCH_UP, "I1, I3") {
            catch_up_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            catch_up_meets_accepted: Accepted, exhaustive, finds {};
            catch_up_meets_rejected: Rejected, exhaustive,
                finds { ResumeOnRebaseOnly, ParkedFlag, ResumeOnAdvanceOnly };
            catch_up_meets_behind: Behind, exhaustive,
                finds { ResumeOnRebaseOnly, ParkedFlag, EmptyCatchUpWakesNone, FormerWakerStays };
            catch_up_meets_lost: Lost, 4, finds { EmptyCatchUpWakesNone, RetryReturnsToIdle, PublishForgetsPusher };
            catch_up_meets_uncertain: Uncertain, exhaustive,
                finds { EmptyCatchUpWakesNone, RetryReturnsToIdle, PublishForgetsPusher };
            catch_up_meets_refused: Refused, 4, finds { ParkOffline, RetryReturnsToIdle };
            catch_up_meets_backing_off: BackingOff, exhaustive, finds { RetryReturnsToIdle };
            catch_up_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
        }
        "A catch-up that brings news" (NEWS, "I1, I2") {
            news_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            news_meets_accepted: Accepted, exhaustive, finds { ParkedFlag, PageDroppedWhileBusy };
            news_meets_rejected: Rejected, exhaustive, finds { ResumeOnRebaseOnly, ParkedFlag, PageDroppedWhileBusy };
            news_meets_behind: Behind, exhaustive, finds { ResumeOnRebaseOnly, PublishForgetsPusher, FormerWakerStays };
            news_meets_lost: Lost, 4, finds { RetryReturnsToIdle, PublishForgetsPusher };
            news_meets_uncertain: Uncertain, exhaustive,
                finds { RetryReturnsToIdle, PublishForgetsPusher, FormerWakerStays };
            news_meets_refused: Refused, 4, finds { ParkOffline, RetryReturnsToIdle };
            news_meets_backing_off: BackingOff, exhaustive, finds { RetryReturnsToIdle };
            news_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
        }
        "A reconnect" (RECONNECT, "I1, I6") {
            reconnect_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            reconnect_meets_accepted: Accepted, exhaustive, finds {};
            reconnect_meets_rejected: Rejected, exhaustive,
                finds { ResumeOnRebaseOnly, ParkedFlag, ResumeOnAdvanceOnly };
            reconnect_meets_behind: Behind, exhaustive,
                finds { ResumeOnRebaseOnly, ParkedFlag, EmptyCatchUpWakesNone, FormerWakerStays };
            reconnect_meets_lost: Lost, 4, finds { EmptyCatchUpWakesNone, RetryReturnsToIdle, PublishForgetsPusher };
            reconnect_meets_uncertain: Uncertain, exhaustive,
                finds { EmptyCatchUpWakesNone, RetryReturnsToIdle, PublishForgetsPusher };
            reconnect_meets_refused: Refused, 4, finds { ParkOffline, RetryReturnsToIdle };
            reconnect_meets_backing_off: BackingOff, exhaustive,
                finds { EmptyCatchUpWakesNone, ParkOffline, PublishForgetsPusher, FormerWakerStays };
            reconnect_meets_paused: Paused, exhaustive,
                finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
        }
        "Time that ends" (TIME, "I1, I6") {
            time_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            time_meets_accepted: Accepted, exhaustive, finds {};
            time_meets_rejected: Rejected, exhaustive, finds { ResumeOnRebaseOnly, ParkedFlag, ResumeOnAdvanceOnly };
            time_meets_behind: Behind, exhaustive,
                finds { ResumeOnRebaseOnly, ParkedFlag, EmptyCatchUpWakesNone, FormerWakerStays };
            time_meets_lost: Lost, exhaustive,
                finds { EmptyCatchUpWakesNone, CatchUpPolledAfterRun, PublishForgetsPusher };
            time_meets_uncertain: Uncertain, exhaustive,
                finds { EmptyCatchUpWakesNone, RetryReturnsToIdle, PublishForgetsPusher };
            time_meets_refused: Refused, exhaustive, finds { ParkOffline, RetryReturnsToIdle };
            time_meets_backing_off: BackingOff, exhaustive, finds { RetryReturnsToIdle };
            time_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
        }
        "A pause and resume of pushes" (RESUME, "I1, I12") {
            resume_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            resume_meets_accepted: Accepted, exhaustive, finds {};
            resume_meets_rejected: Rejected, 4, finds { ParkedFlag, PublishForgetsPusher, PartyJoinsLate };
            resume_meets_behind: Behind, 4, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            resume_meets_lost: Lost, 4, finds { EmptyCatchUpWakesNone, RetryReturnsToIdle, PublishForgetsPusher };
            resume_meets_uncertain: Uncertain, 4,
                finds { EmptyCatchUpWakesNone, PublishForgetsPusher, FormerWakerStays };
            resume_meets_refused: Refused, 4,
                finds { ParkOffline, RetryReturnsToIdle, InferredSuccess: "not everything is at upstream once" };
            resume_meets_backing_off: BackingOff, exhaustive,
                finds { LookAgainEndsNoWait, PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            resume_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
        }
        "A pause and resume of pulls" (PULL_RESUME, "I1, I12") {
            pull_resume_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            pull_resume_meets_accepted: Accepted, exhaustive, finds {};
            pull_resume_meets_rejected: Rejected, 4, finds { ResumeOnRebaseOnly, ParkedFlag, ResumeOnAdvanceOnly };
            pull_resume_meets_behind: Behind, 4, finds { ResumeOnRebaseOnly, ParkedFlag, EmptyCatchUpWakesNone };
            pull_resume_meets_lost: Lost, 4, finds { EmptyCatchUpWakesNone, RetryReturnsToIdle, PublishForgetsPusher };
            pull_resume_meets_uncertain: Uncertain, 4,
                finds { EmptyCatchUpWakesNone, RetryReturnsToIdle, PublishForgetsPusher };
            pull_resume_meets_refused: Refused, exhaustive, finds { ParkOffline, RetryReturnsToIdle };
            pull_resume_meets_backing_off: BackingOff, exhaustive, finds { RetryReturnsToIdle };
            pull_resume_meets_paused: Paused, exhaustive,
                finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
        }
        "The owner's reconnect" (OWNER_RECONNECT, "I1, I6") {
            owner_reconnect_meets_idle: Idle, exhaustive, finds {};
            owner_reconnect_meets_accepted: Accepted, 4, finds {};
            owner_reconnect_meets_rejected: Rejected, 4, finds { PublishForgetsPusher };
            owner_reconnect_meets_behind: Behind, 4, finds { PublishForgetsPusher };
            owner_reconnect_meets_lost: Lost, 4, finds { PublishForgetsPusher };
            owner_reconnect_meets_uncertain: Uncertain, 4, finds { PublishForgetsPusher, FormerWakerStays };
            owner_reconnect_meets_refused: Refused, 4, finds {};
            owner_reconnect_meets_backing_off: BackingOff, exhaustive,
                finds { LookAgainEndsNoWait, PublishForgetsPusher, FormerWakerStays };
            owner_reconnect_meets_paused: Paused, exhaustive,
                finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
        }
        "Another log that goes on with what is pending" (RESET_WITH, "I5, I12") {
            reset_with_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            reset_with_meets_accepted: Accepted, 4, finds {};
            reset_with_meets_rejected: Rejected, 4, finds { PublishForgetsPusher, PartyJoinsLate };
            reset_with_meets_behind: Behind, 4, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            reset_with_meets_lost: Lost, 4, finds { PublishForgetsPusher };
            reset_with_meets_uncertain: Uncertain, 4, finds { PublishForgetsPusher, FormerWakerStays };
            reset_with_meets_refused: Refused, 4, finds { PublishForgetsPusher };
            reset_with_meets_backing_off: BackingOff, exhaustive,
                finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            reset_with_meets_paused: Paused, exhaustive,
                finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
        }
        "Giving up what was committed" (GiveUp, "I5, I8") {
            give_up_meets_idle: Idle, exhaustive,
                finds { GivesUpWhatWasSent: "given up, and upstream has it", FormerWakerStays };
            give_up_meets_accepted: Accepted, exhaustive, finds { GivesUpWhatWasSent: "given up, and upstream has it" };
            give_up_meets_rejected: Rejected, exhaustive,
                finds { PublishForgetsPusher, GivesUpWhatWasSent: "given up, and upstream has it" };
            give_up_meets_behind: Behind, exhaustive, finds { GivesUpWhatWasSent: "given up, and upstream has it" };
            give_up_meets_lost: Lost, 4, finds { PublishForgetsPusher };
            give_up_meets_uncertain: Uncertain, exhaustive, finds { PublishForgetsPusher, FormerWakerStays };
            give_up_meets_refused: Refused, exhaustive, finds {};
            give_up_meets_backing_off: BackingOff, exhaustive, finds { FormerWakerStays };
            give_up_meets_paused: Paused, exhaustive, finds { FormerWakerStays };
        }
        "An event that is refused for good, and given up" (Refusal, "I1, I8") {
            refusal_meets_idle: Idle, exhaustive,
                finds { GivenUpEventStillBlocks, PublishForgetsPusher, FormerWakerStays };
            refusal_meets_sending: Sending, exhaustive,
                finds { GivenUpEventStillBlocks, PublishForgetsPusher, PartyJoinsLate };
            refusal_meets_rejected: Rejected, exhaustive,
                finds { GivenUpEventStillBlocks, PublishForgetsPusher, PartyJoinsLate };
            refusal_meets_behind: Behind, 4,
                finds { GivenUpEventStillBlocks, PublishForgetsPusher, FormerWakerStays };
            refusal_meets_lost: Lost, 4, finds { GivenUpEventStillBlocks, PublishForgetsPusher, PartyJoinsLate };
            refusal_meets_uncertain: Uncertain, 4,
                finds { GivenUpEventStillBlocks, PublishForgetsPusher, FormerWakerStays };
            refusal_meets_refused: Refused, 4, finds { GivenUpEventStillBlocks, PublishForgetsPusher, PartyJoinsLate };
            refusal_meets_backing_off: BackingOff, exhaustive,
                finds { GivenUpEventStillBlocks, PublishForgetsPusher, PartyJoinsLate };
            refusal_meets_paused: Paused, exhaustive,
                finds { GivenUpEventStillBlocks, PublishForgetsPusher, FormerWakerStays };
        }
        "A batch that is too large" (TOO_LARGE, "I1, I6") {
            too_large_meets_idle: Idle, exhaustive,
                finds { TooLargeForGood: SPINS, PublishForgetsPusher, FormerWakerStays };
            too_large_meets_sending: Sending, exhaustive, finds { TooLargeForGood: SPINS };
            too_large_meets_rejected: Rejected, exhaustive, finds { TooLargeForGood: SPINS, PublishForgetsPusher };
            too_large_meets_behind: Behind, exhaustive,
                finds { TooLargeForGood: SPINS, PublishForgetsPusher, FormerWakerStays };
            too_large_meets_lost: Lost, exhaustive, finds { TooLargeForGood: SPINS, PublishForgetsPusher };
            too_large_meets_uncertain: Uncertain, exhaustive,
                finds { TooLargeForGood: SPINS, PublishForgetsPusher, FormerWakerStays };
            too_large_meets_refused: Refused, exhaustive, finds { TooLargeForGood: SPINS };
            too_large_meets_backing_off: BackingOff, exhaustive, finds { TooLargeForGood: SPINS };
            too_large_meets_paused: Paused, exhaustive,
                finds { TooLargeForGood: SPINS, PublishForgetsPusher, FormerWakerStays };
        }
        "The end of a push's time" (DEADLINE, "I1, I6") {
            deadline_meets_idle: Idle, exhaustive,
                finds { DeadlineWakesNoTask, PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            deadline_meets_sending: Sending, exhaustive, finds {};
            deadline_meets_rejected: Rejected, exhaustive, finds { PublishForgetsPusher };
            deadline_meets_behind: Behind, 4, finds { DeadlineWakesNoTask, PublishForgetsPusher, FormerWakerStays };
            deadline_meets_lost: Lost, exhaustive, finds { PublishForgetsPusher };
            deadline_meets_uncertain: Uncertain, exhaustive, finds { PublishForgetsPusher, FormerWakerStays };
            deadline_meets_refused: Refused, exhaustive, finds {};
            deadline_meets_backing_off: BackingOff, exhaustive, finds {};
            deadline_meets_paused: Paused, exhaustive,
                finds { DeadlineWakesNoTask, PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
        }
        "A subscriber that lags" (LAG, "I1, I15") {
            lag_meets_idle: Idle, exhaustive,
                finds { LaggedWithoutNotice: "it lags, and is not told", PublishForgetsPusher, FormerWakerStays };
            lag_meets_accepted: Accepted, exhaustive, finds { LaggedWithoutNotice: "it lags, and is not told" };
            lag_meets_rejected: Rejected, exhaustive,
                finds { LaggedWithoutNotice: "it lags, and is not told", PublishForgetsPusher };
            lag_meets_behind: Behind, exhaustive,
                finds { LaggedWithoutNotice: "it lags, and is not told", PublishForgetsPusher, FormerWakerStays };
            lag_meets_lost: Lost, exhaustive,
                finds { LaggedWithoutNotice: "it lags, and is not told", PublishForgetsPusher };
            lag_meets_uncertain: Uncertain, exhaustive,
                finds { LaggedWithoutNotice: "it lags, and is not told", PublishForgetsPusher, FormerWakerStays };
            lag_meets_refused: Refused, exhaustive, finds { LaggedWithoutNotice: "it lags, and is not told" };
            lag_meets_backing_off: BackingOff, exhaustive, finds { LaggedWithoutNotice: "it lags, and is not told" };
            lag_meets_paused: Paused, exhaustive,
                finds { LaggedWithoutNotice: "it lags, and is not told", PublishForgetsPusher, FormerWakerStays };
        }
        "A restart" (RESTART, "I1, I12") {
            restart_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            restart_meets_accepted: Accepted, exhaustive, finds {};
            restart_meets_rejected: Rejected, exhaustive, finds { ParkedFlag, PublishForgetsPusher, PartyJoinsLate };
            restart_meets_behind: Behind, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            restart_meets_lost: Lost, 4,
                finds { EmptyCatchUpWakesNone, RetryReturnsToIdle, PublishForgetsPusher };
            restart_meets_uncertain: Uncertain, 4,
                finds { EmptyCatchUpWakesNone, PublishForgetsPusher, FormerWakerStays };
            restart_meets_refused: Refused, exhaustive, finds { ParkOffline, RetryReturnsToIdle };
            restart_meets_backing_off: BackingOff, exhaustive,
                finds { LookAgainEndsNoWait, PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            restart_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
        }
        "A request to try again now" (RETRY, "I1, I6") {
            retry_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            retry_meets_accepted: Accepted, exhaustive, finds {};
            retry_meets_rejected: Rejected, exhaustive, finds { ParkedFlag, PublishForgetsPusher, PartyJoinsLate };
            retry_meets_behind: Behind, 4, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            retry_meets_lost: Lost, 4, finds { EmptyCatchUpWakesNone, PublishForgetsPusher };
            retry_meets_uncertain: Uncertain, 4,
                finds { EmptyCatchUpWakesNone, PublishForgetsPusher, FormerWakerStays };
            retry_meets_refused: Refused, 4, finds { ParkOffline, RetryReturnsToIdle };
            retry_meets_backing_off: BackingOff, exhaustive,
                finds { LookAgainEndsNoWait, PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            retry_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
        }
        "A stop" (Stop, "I8, I16") {
            stop_meets_idle: Idle, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            stop_meets_accepted: Accepted, exhaustive, finds { PublishForgetsPusher, PartyJoinsLate };
            stop_meets_rejected: Rejected, exhaustive, finds { PublishForgetsPusher, PartyJoinsLate };
            stop_meets_behind: Behind, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            stop_meets_lost: Lost, exhaustive, finds { PublishForgetsPusher, PartyJoinsLate };
            stop_meets_uncertain: Uncertain, exhaustive,
                finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            stop_meets_refused: Refused, exhaustive, finds { PublishForgetsPusher, PartyJoinsLate };
            stop_meets_backing_off: BackingOff, exhaustive,
                finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
            stop_meets_paused: Paused, exhaustive, finds { PublishForgetsPusher, FormerWakerStays, PartyJoinsLate };
        }
    }
}

/// The fast path, counted: not fewer steps than a look at the latch, and not more.
#[test]
fn passing_an_open_latch_is_one_atomic_load() {
    let steps =
        |pass: fn(&Latch)| model::steps(move || pass(&Latch::new_open())) - model::steps(|| drop(Latch::new_open()));
    let look = steps(|latch| assert!(latch.is_open()));
    assert_eq!(steps(Latch::wait), look);
    assert_eq!(steps(|latch| assert!(latch.opened().wait_timeout(Duration::MAX).is_ready())), look);
    assert_eq!(steps(|latch| shipped::scenarios::executor::block_on(latch.opened())), look);
    assert!(steps(|latch| assert!(latch.is_open() && latch.is_open())) > look, "these steps can be counted");
}

/// Every known bug of the crate is found by a model.
#[test]
fn every_known_bug_is_in_the_index() {
    // The state search finds these (search.rs): they take more clients or events than a model can hold, or are about what
    // upstream says again and again.
    const FOUND_BY_SEARCH: &[KnownBug] = &[
        KnownBug::PullBeforeDurable,
        KnownBug::CursorBeforePage,
        KnownBug::TornRebase,
        KnownBug::SettlesByCount,
        KnownBug::FailedWriteOutOfOrder,
        KnownBug::ReplacedCountsAsDurable,
        KnownBug::PrefixBypass,
        KnownBug::ReachedTargetRetriesAtOnce,
        KnownBug::WentBackUnnoticed,
        KnownBug::ReconnectCutsEveryBackoff,
        KnownBug::HeartbeatIsNews,
        KnownBug::OvertakenPushForgetsRetryAfter,
        KnownBug::EndingPullForgetsRetryAfter,
        KnownBug::RetryNowOverridesRetryAfter,
        KnownBug::LateAnswerStopsRestarted,
        KnownBug::FormerAnswerCounts,
        KnownBug::UnknownForEver,
        KnownBug::ConfirmedPushGoesOn,
        KnownBug::RefusedPullForgetsRetryAfter,
        KnownBug::DoubtEndsAtFirstEvent,
        KnownBug::FencedAlthoughDecided,
        KnownBug::FailureForgetsTheCall,
        KnownBug::SkipsWhatIsRefused,
        KnownBug::RejectedIndexNotMoved,
        KnownBug::DroppedEventNotCounted,
        KnownBug::RetryOfRefusedIsLost,
        KnownBug::RefusedInDoubt,
        KnownBug::ResetForgetsWhatWasSent,
        KnownBug::CatchUpDecidesWhatIsUnderWay,
        KnownBug::LingerOutlivesItsTime,
        KnownBug::FullBatchLingers,
    ];
    // A table of answers in a time of its own finds this one (answers.rs): it takes times that grow.
    const FOUND_BY_ANSWERS: &[KnownBug] = &[KnownBug::CaughtUpForgetsFailures];
    // The induction finds these (induction.rs): they are of what is forgotten, and when.
    const FOUND_BY_INDUCTION: &[KnownBug] = &[
        KnownBug::ResetKeepsRefusal,
        KnownBug::RejectionsOutliveAMerge,
        KnownBug::FailuresOutliveSuccess,
        KnownBug::ReconnectCutsOnceForEver,
        KnownBug::NewsShortOfTheHead,
        KnownBug::BlamesTheConnection,
        KnownBug::DecisionsForgetNoFailure,
        KnownBug::ResendIgnoresWeight,
        KnownBug::FailureEndsTheInterval,
    ];
    let elsewhere = [FOUND_BY_SEARCH, FOUND_BY_ANSWERS, FOUND_BY_INDUCTION].concat();
    let found: Vec<_> = INDEX.models().flat_map(|model| model.known_bugs).map(|(bug, _)| bug).collect();
    let missing: Vec<_> = KnownBug::ALL.iter().filter(|bug| !found.contains(bug) && !elsewhere.contains(bug)).collect();
    assert!(missing.is_empty(), "no model finds {missing:?}");
}

/// For `cargo models`: what there is, before anything is explored.
#[test]
fn the_index_is_written_down() {
    for bug in KnownBug::ALL {
        data::note(&json!({ "known_bug": { "name": format!("{bug:?}"), "story": bug.story().trim() } }));
    }
    for Model { name, bound, larger, .. } in INDEX.models() {
        let larger: Vec<_> = larger.iter().map(|(name, _)| name).collect();
        data::note(&json!({ "listed": { "name": name, "bound": bound, "larger": larger } }));
    }
}
