//! Models of the replicator: the theorem.

use std::sync::Arc;

use latchwork::log::{MemoryEntry, MemoryLog};
use latchwork::protocol::WaitingOn;
use latchwork::upstream::{Batch, More, Page, PullError, PushError, Upstream};
use latchwork::{Interrupt, Replicator, Settled};
use loom::sync::{Condvar, Mutex};

type Event = &'static str;

struct Tiny(Arc<(Mutex<Vec<Event>>, Condvar)>);

impl Tiny {
    fn new() -> Self {
        Self(Arc::new((Mutex::new(Vec::new()), Condvar::new())))
    }
    fn append(&self, e: Event) {
        self.0.0.lock().unwrap().push(e);
        self.0.1.notify_all();
    }
}

impl Upstream<MemoryLog<Event>> for Tiny {
    fn push(&self, batch: &Batch<MemoryLog<Event>>, _: &Interrupt) -> Result<(), PushError<u64>> {
        let mut log = self.0.0.lock().unwrap();
        if batch.base != log.len() as u64 {
            return Err(PushError::Behind { head: None });
        }
        log.extend(batch.entries.iter().map(|e| e.event));
        Ok(())
    }
    fn pull<'a>(
        &'a self,
        cursor: u64,
        interrupt: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<MemoryEntry<Event>>, PullError>> + 'a {
        let mut cursor = cursor;
        let mut first = true;
        std::iter::from_fn(move || {
            if !first {
                interrupt.wait();
                return Some(Err(PullError::Unavailable { retry_after: None, error: "x".into() }));
            }
            first = false;
            let mut log = self.0.0.lock().unwrap();
            while !log.contains(&"foreign") {
                log = self.0.1.wait(log).unwrap();
            }
            let entries: Vec<_> = log
                .iter()
                .enumerate()
                .skip(cursor as usize)
                .map(|(i, e)| MemoryEntry { position: i as u64 + 1, event: *e })
                .collect();
            cursor = log.len() as u64;
            Some(Ok(Page { entries, more: More::None }))
        })
    }
}

pub fn try1() {
    let up = Tiny::new();
    let handle = Tiny(up.0.clone());
    let r = Replicator::builder(MemoryLog::new(), up).spawn().unwrap();
    let t = r.commit(vec!["own"]).unwrap();
    handle.append("foreign");
    assert!(matches!(t.wait(), Settled::Confirmed(_)));
    assert_eq!(r.status().waiting_on, WaitingOn::Nobody);
}
