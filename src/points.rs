//! Places in pushing and pulling where a test may hold a thread up, or delay it.
//!
//! A test on real threads sees the schedules that the machine happens to take. At a named point it can ask for others: hold
//! the answer of a push until a page has overtaken it, let a pusher that has found nothing wait before it parks. The points
//! exist only with the hidden feature `__known-bugs`; without it `point!(…)` is nothing, and neither this module's enum nor
//! a name of it is compiled.
//!
//! Each stands where no lock is held, so that whoever is delayed keeps nobody else from going on: what is delayed is one
//! thread, not the replicator. (A rollback is the log's own doing, under the lock. A test that wants it slow wraps the log.)
//! A point is no step of a model, since no model asks to be called.
//!
//! # Before parking
//!
//! Looking, finding nothing and parking is one critical section, and must be. A worker that has not been at `BeforeParking`
//! since it was elsewhere leaves that section without parking, is delayed, looks again, and parks if it still finds nothing.
//! Only if somebody has asked to be called: otherwise it parks at once.

/// Reaches a point; `false` for `owed` and nothing for all others in a normal build.
#[cfg(not(feature = "__known-bugs"))]
macro_rules! point {
    (owed $name:ident) => {
        false
    };
    ($name:ident) => {};
}

/// Reaches a point; `owed` asks whether this thread is yet to do so.
#[cfg(feature = "__known-bugs")]
macro_rules! point {
    (owed $name:ident) => {
        $crate::points::Point::$name.is_owed()
    };
    ($name:ident) => {
        $crate::points::Point::$name.reach()
    };
}
pub(crate) use point;

#[cfg(feature = "__known-bugs")]
mod on {
    use std::cell::Cell;
    use std::sync::OnceLock;

    macro_rules! points {
        ($($(#[$meta:meta])* $name:ident,)*) => {
            /// A place where a thread may be held up, without any lock.
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum Point {
                $($(#[$meta])* $name,)*
            }

            impl Point {
                /// Every one of them.
                pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            }
        };
    }

    points! {
        /// Somebody commits, or the puller has a page: what is pending is about to change.
        BeforeQueueChange,
        /// The pusher has upstream's answer and has not reported it.
        AfterReply,
        /// What is pending has been rebased (or somebody stops, resets, pauses or asks for a catch-up), and the call to
        /// upstream that this makes pointless is about to be interrupted, to be begun anew.
        BeforeRestart,
        /// The pusher or the puller has found nothing to do and is about to park.
        BeforeParking,
    }

    type Hook = Box<dyn Fn(Point) + Send + Sync>;

    static HOOK: OnceLock<Hook> = OnceLock::new();

    thread_local! {
        /// Where this thread was last.
        static LAST: Cell<Option<Point>> = const { Cell::new(None) };
    }

    impl Point {
        pub(crate) fn reach(self) {
            let Some(hook) = HOOK.get() else { return };
            let _ending = LAST.try_with(|last| last.set(Some(self)));
            hook(self);
        }

        pub(crate) fn is_owed(self) -> bool {
            HOOK.get().is_some() && LAST.try_with(Cell::get).is_ok_and(|last| last != Some(self))
        }
    }

    /// From now on, for the whole process, `hook` is called by every thread that reaches a point. It may block, and must
    /// not panic.
    ///
    /// # Panics
    ///
    /// If there is one already.
    pub fn call(hook: impl Fn(Point) + Send + Sync + 'static) {
        let former = HOOK.set(Box::new(hook));
        assert!(former.is_ok(), "a process has one hook for its points");
    }
}

#[cfg(feature = "__known-bugs")]
pub use on::{Point, call};
