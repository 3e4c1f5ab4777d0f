//! A normal build contains no trace of the known bugs, nor of the points where tests hold a thread up.
//!
//! This test looks for their names in its own executable, in which the crate is linked, debug information included. With
//! the feature `__known-bugs` it must find them: what can find nothing shows nothing.
#![cfg(not(loom))]

use latchwork::{Epoch, Interrupt, Interrupted, Latch, Run, Worker};

const MANIFEST: &str = env!("CARGO_MANIFEST_DIR");

/// The names, from the two places that have them; not known to the compiler of this test.
fn names() -> Vec<String> {
    let list = |of: &str| {
        let source = std::fs::read_to_string(format!("{MANIFEST}/src/{of}.rs")).unwrap();
        let list = source.split(&format!("    {of}! {{\n")).nth(1).and_then(|rest| rest.split("\n    }\n").next());
        let names = list.unwrap().lines().map(str::trim).filter_map(|line| line.strip_suffix(','));
        names.filter(|name| name.chars().all(char::is_alphanumeric)).map(String::from).collect::<Vec<_>>()
    };
    [list("known_bugs"), list("points")].concat()
}

/// Has the primitives, and with them the code where the switches stand, linked.
fn link() {
    let (latch, epoch, interrupt) = (Latch::new_open(), Epoch::new(), Interrupt::new());
    let _ = (latch.wait_timeout(std::time::Duration::ZERO), latch.release(), latch.close());
    let _ = (epoch.bump(), epoch.wait_past(0), interrupt.child().check());
    let worker = Worker::spawn("linked", |_: &Run| Ok::<(), Interrupted>(())).unwrap();
    let _ = worker.restart();
    worker.clear();
    worker.wait_idle();
    worker.join();
    #[cfg(feature = "__known-bugs")]
    {
        let bugs = latchwork::known_bugs::KnownBug::ALL.iter().map(|bug| format!("{bug:?}"));
        let points = latchwork::points::Point::ALL.iter().map(|point| format!("{point:?}"));
        assert_eq!(names(), bugs.chain(points).collect::<Vec<_>>());
    }
}

#[test]
fn a_normal_build_contains_no_trace_of_known_bugs_and_points() {
    link();
    let names = names();
    assert!(names.len() > 20, "expected the list of known bugs, got {names:?}");
    let executable = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let contains = |name: &String| executable.windows(name.len()).any(|window| window == name.as_bytes());
    let found: Vec<_> = names.iter().filter(|name| contains(name)).collect();
    if cfg!(feature = "__known-bugs") {
        assert_eq!(found.len(), names.len(), "the search finds {found:?} only");
    } else {
        assert!(found.is_empty(), "a normal build contains {found:?}");
    }
}
