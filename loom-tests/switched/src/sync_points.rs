//! Places in pushing and pulling where a test may hold a thread up, or delay it. The catalogue is `loom-tests/known_bugs.rs`.
//!
//! A test on real threads sees the schedules that the machine happens to take. At a sync point it can ask for others: hold
//! the answer of a push until a page has overtaken it, let a pusher that has found nothing wait before it parks. No model
//! asks to be called, so a sync point is no step of a model.

use std::cell::Cell;
use std::sync::OnceLock;

include!(concat!(env!("OUT_DIR"), "/sync_points.rs"));

type Hook = Box<dyn Fn(SyncPoint) + Send + Sync>;

static HOOK: OnceLock<Hook> = OnceLock::new();

thread_local! {
    /// Where this thread was last.
    static LAST: Cell<Option<SyncPoint>> = const { Cell::new(None) };
}

impl SyncPoint {
    pub(crate) fn reach(self) {
        let Some(hook) = HOOK.get() else { return };
        let _ending = LAST.try_with(|last| last.set(Some(self)));
        hook(self);
    }

    /// Whether this thread is yet to be here since it was elsewhere.
    pub(crate) fn is_owed(self) -> bool {
        HOOK.get().is_some() && LAST.try_with(Cell::get).is_ok_and(|last| last != Some(self))
    }
}

/// From now on, for the whole process, `hook` is called by every thread that reaches a sync point. It may block, and must
/// not panic.
///
/// # Panics
///
/// If there is one already.
pub fn call(hook: impl Fn(SyncPoint) + Send + Sync + 'static) {
    let former = HOOK.set(Box::new(hook));
    assert!(former.is_ok(), "a process has one hook for its sync points");
}
