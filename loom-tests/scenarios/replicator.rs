//! Models of the replicator: the theorem.

use latchwork::log::MemoryLog;
use latchwork::protocol::WaitingOn;
use latchwork::{Replicator, Settled};

use super::upstream::{Answer, Feed, Scripted};

pub fn try1() {
    let upstream = Scripted::new(&[], &[Feed::Foreign("foreign")], Feed::PageThenSilence);
    let replicator = Replicator::builder(MemoryLog::new(), upstream.clone()).spawn().unwrap();
    let ticket = replicator.commit(vec!["own"]).unwrap();
    let settled = ticket.wait();
    loom::stop_exploring();
    loom::thread::yield_now();
    assert!(matches!(settled, Settled::Confirmed(_)));
    assert_eq!(replicator.status().waiting_on, WaitingOn::Nobody);
    upstream.close();
}

fn go(feeds: &'static [Feed], early: bool) {
    let upstream = Scripted::new(&[], feeds, Feed::Silence);
    let log = if early { MemoryLog::new().with_pending(0, ["own"]) } else { MemoryLog::new() };
    let replicator = Replicator::builder(log, upstream.clone()).spawn().unwrap();
    if early {
        replicator.flush(std::time::Duration::MAX).unwrap();
    } else {
        let ticket = replicator.commit(vec!["own"]).unwrap();
        let _ = ticket.wait();
    }
    loom::stop_exploring();
    loom::thread::yield_now();
    upstream.close();
}
pub fn a_silence() {
    go(&[Feed::Silence], false);
}
pub fn b_empty() {
    go(&[Feed::PageThenSilence], false);
}
pub fn c_early_silence() {
    go(&[Feed::Silence], true);
}
pub fn d_early_empty() {
    go(&[Feed::PageThenSilence], true);
}
pub fn e_early_foreign() {
    go(&[Feed::Foreign("f")], true);
}
