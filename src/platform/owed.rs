//! What a thread has to tell a subscriber, which is user code: not under a lock.
//!
//! It is written down where it happens, and told by the same thread once it holds no lock. So the
//! events of one thread come in their order, and no thread speaks for another. A thread that is
//! about to sleep has no such moment, for it looks, finds nothing and sleeps in one critical
//! section. So it tells first, for which it gives up the lock, and looks again: its wait has ended
//! without a reason, as any may.

use std::cell::RefCell;

type Tell = Box<dyn FnOnce()>;

std::thread_local! {
    static OWED: RefCell<Vec<Tell>> = const { RefCell::new(Vec::new()) };
}

/// A thread that is about to end, and has put its things away, tells nothing.
fn owed<T: Default>(f: impl FnOnce(&mut Vec<Tell>) -> T) -> T {
    OWED.try_with(|owed| f(&mut owed.borrow_mut())).unwrap_or_default()
}

/// Has this, which does not panic, told by [`tell`].
pub(crate) fn later(tell: impl FnOnce() + 'static) {
    owed(|owed| owed.push(Box::new(tell)));
}

/// Whether there is something to tell.
#[cfg(not(all(loom, feature = "loom")))]
pub(super) fn is_owed() -> bool {
    owed(|owed| !owed.is_empty())
}

/// Tells what this thread has to tell. Not under a lock.
pub(crate) fn tell() {
    for tell in owed(std::mem::take) {
        tell();
    }
}
