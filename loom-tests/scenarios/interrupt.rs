//! Models of `Interrupt`.

use super::latchwork;
use latchwork::sync::model::end_time;
use latchwork::{Cause, Interrupt, Interrupted};

use super::executor::block_on;
use super::{SOON, thread};

fn setter(interrupt: &Interrupt, cause: Cause) -> thread::JoinHandle<bool> {
    let interrupt = interrupt.clone();
    thread::spawn(move || interrupt.set(cause))
}

/// A thread sets the token; main waits for it. Ends when it is through.
pub fn a_set_between_check_and_park_wakes_the_thread() {
    let interrupt = Interrupt::new();
    let setter = setter(&interrupt, Cause::Stop);
    if interrupt.check().is_ok() {
        assert_eq!(interrupt.wait(), Cause::Stop);
    }
    assert!(setter.join().unwrap());
}

/// A thread sets the token; main runs a task that waits for it. Ends when the task is through.
pub fn a_set_wakes_a_task() {
    let interrupt = Interrupt::new();
    let setter = setter(&interrupt, Cause::Other("because"));
    assert_eq!(block_on(interrupt.triggered()), Cause::Other("because"));
    assert!(setter.join().unwrap());
}

/// Main sleeps; a thread sets the token and then ends time.
pub fn a_sleep_that_is_interrupted_in_time_says_so() {
    let interrupt = Interrupt::new();
    let other = thread::spawn({
        let interrupt = interrupt.clone();
        move || {
            interrupt.set(Cause::Stop);
            end_time();
        }
    });
    let slept = interrupt.sleep(SOON);
    let in_time = slept == Err(Interrupted { cause: Cause::Stop });
    assert!(in_time, "the interrupt came in time, and the sleep went on");
    other.join().unwrap();
}

/// A thread sets the parent; main makes a child meanwhile and waits for it. Ends when the child is set.
pub fn a_child_made_as_its_parent_is_set_is_set() {
    let parent = Interrupt::new();
    let setter = setter(&parent, Cause::Restart);
    let child = parent.child();
    assert_eq!(child.wait(), Cause::Restart);
    assert!(setter.join().unwrap());
}

/// A thread sets the parent; main drops one child meanwhile and waits for the other. Ends when that is set.
pub fn a_child_dropped_as_its_parent_is_set_is_forgotten() {
    let parent = Interrupt::new();
    let (dropped, kept) = (parent.child(), parent.child());
    let setter = setter(&parent, Cause::Clear);
    drop(dropped);
    assert_eq!(kept.wait(), Cause::Clear);
    assert!(setter.join().unwrap());
}

/// A thread sets the root; main drops the child between it and a grandchild meanwhile, and waits
/// for the grandchild. Ends when that is set.
pub fn a_grandchild_is_set_though_the_child_between_is_dropped() {
    let root = Interrupt::new();
    let middle = root.child();
    let grandchild = middle.child();
    let setter = setter(&root, Cause::Stop);
    drop(middle);
    assert_eq!(grandchild.wait(), Cause::Stop);
    assert!(setter.join().unwrap());
}

/// A thread sets the root; main makes a grandchild of a child that is in use meanwhile, drops that
/// child, and waits for the grandchild. Ends when that is set.
pub fn a_grandchild_made_as_the_root_is_set_is_set() {
    let root = Interrupt::new();
    let middle = root.child();
    let setter = setter(&root, Cause::Stop);
    let grandchild = middle.child();
    drop(middle);
    assert_eq!(grandchild.wait(), Cause::Stop);
    assert!(setter.join().unwrap());
}

/// Main and a thread set the root, with different causes; each looks at the grandchild when its
/// `set` has returned.
pub fn every_setter_sees_the_descendants_set() {
    let root = Interrupt::new();
    let child = root.child();
    let grandchild = child.child();
    let set_and_look = |cause| {
        let (root, grandchild) = (root.clone(), grandchild.clone());
        move || {
            root.set(cause);
            assert!(grandchild.is_set(), "`set` has returned, and a descendant is not set");
        }
    };
    let other = thread::spawn(set_and_look(Cause::Stop));
    set_and_look(Cause::Restart)();
    other.join().unwrap();
    assert!(grandchild.cause() == root.cause(), "the first cause has not stayed");
    assert!(child.is_set());
}

/// A thread sets the root, main the child; main looks at the grandchild when its `set` has
/// returned.
pub fn a_setter_of_the_child_between_sees_the_grandchild_set() {
    let root = Interrupt::new();
    let child = root.child();
    let grandchild = child.child();
    let setter = setter(&root, Cause::Stop);
    child.set(Cause::Clear);
    assert!(grandchild.is_set(), "`set` has returned, and a descendant is not set");
    assert_eq!(grandchild.cause(), child.cause());
    assert!(setter.join().unwrap());
}

/// A thread sets the parent, main the child: the child has one of the two causes, the parent its own.
pub fn a_child_set_alone_leaves_its_parent() {
    let parent = Interrupt::new();
    let child = parent.child();
    let setter = setter(&parent, Cause::Stop);
    let first = child.set(Cause::Clear);
    assert!(child.is_set());
    assert!(setter.join().unwrap(), "setting a child has set its parent");
    let expected = if first { Cause::Clear } else { Cause::Stop };
    assert!(child.cause() == Some(expected), "the first cause has not stayed");
    assert_eq!(parent.cause(), Some(Cause::Stop));
}

/// Main and a thread set the token with different causes; each looks at it when its `set` has returned.
pub fn the_first_cause_stays_and_every_setter_sees_it() {
    let interrupt = Interrupt::new();
    let other = thread::spawn({
        let interrupt = interrupt.clone();
        move || set_and_look(&interrupt, Cause::Stop)
    });
    let (first, seen) = set_and_look(&interrupt, Cause::Restart);
    let (theirs_first, theirs_seen) = other.join().unwrap();
    assert_ne!(first, theirs_first, "one of the two is the first");
    let expected = if first { Cause::Restart } else { Cause::Stop };
    for seen in [seen, theirs_seen, interrupt.cause()] {
        assert!(seen == Some(expected), "the first cause has not stayed");
    }
}

fn set_and_look(interrupt: &Interrupt, cause: Cause) -> (bool, Option<Cause>) {
    let first = interrupt.set(cause);
    assert!(interrupt.is_set(), "`set` has returned, and the token is not set");
    (first, interrupt.cause())
}

/// A thread sets the token; main looks at it once, and at its cause if it is set.
pub fn a_token_that_is_set_has_its_cause() {
    let interrupt = Interrupt::new();
    let setter = setter(&interrupt, Cause::Stop);
    if interrupt.is_set() {
        assert!(interrupt.cause() == Some(Cause::Stop), "it is set without a cause");
    }
    assert!(setter.join().unwrap());
}
