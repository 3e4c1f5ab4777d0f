//! Models of `Latch`.

use std::sync::Arc;

use latchwork::Latch;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

/// Main opens; one thread waits. Ends when the thread has been joined.
pub fn open_lets_a_thread_through() {
    let latch = Arc::new(Latch::new());
    let waiter = thread::spawn({
        let latch = Arc::clone(&latch);
        move || latch.wait()
    });
    assert!(latch.open());
    waiter.join().unwrap();
}

/// Two threads take turns in a section by closing one open latch: `close` says who changed it.
pub fn one_latch_excludes() {
    let turn = Arc::new(Latch::new_open());
    exclusion(move || {
        let turn = Arc::clone(&turn);
        move || {
            loop {
                turn.wait();
                if turn.close() {
                    break;
                }
            }
            let turn = Arc::clone(&turn);
            move || drop(turn.open())
        }
    });
}

/// As the reference engine had it: each side waits for the other's latch and then closes its own.
pub fn two_latches() {
    let latches = [Arc::new(Latch::new_open()), Arc::new(Latch::new_open())];
    let side = std::sync::atomic::AtomicUsize::new(0);
    exclusion(move || {
        let side = side.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (own, others) = (Arc::clone(&latches[side]), Arc::clone(&latches[1 - side]));
        move || {
            others.wait();
            own.close();
            let own = Arc::clone(&own);
            move || drop(own.open())
        }
    });
}

/// Two threads enter a section once each, by whatever `side` makes, and leave it.
fn exclusion<Enter, Leave>(side: impl Fn() -> Enter)
where
    Enter: FnOnce() -> Leave + 'static,
    Leave: FnOnce(),
{
    let inside = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (enter, inside) = (side(), Arc::clone(&inside));
            thread::spawn(move || {
                let leave = enter();
                assert!(!inside.swap(true, Ordering::AcqRel), "both are inside");
                inside.store(false, Ordering::Release);
                leave();
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
