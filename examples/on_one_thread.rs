//! A replicator on a runtime with one thread, with an upstream that no other thread may touch: the driver is `Send` exactly
//! if the upstream is, and nothing asks for it here.
//!
//! ```text
//! cargo run --example on_one_thread
//! ```

#[cfg(not(loom))]
pub mod local {
    use latchwork::log::{MemoryEntry, MemoryLog};
    use latchwork::upstream::{AsyncPull, AsyncUpstream, Batch, More, Page, PullError, PushError};
    use latchwork::{Epoch, Replicator};
    use std::cell::RefCell;
    use std::rc::Rc;

    pub type Log = MemoryLog<&'static str>;
    type Entry = MemoryEntry<&'static str>;

    /// A server in a cell, as a document in a browser or a widget would be.
    #[derive(Clone, Default)]
    pub struct Shelf {
        pub events: Rc<RefCell<Vec<Entry>>>,
        news: Rc<Epoch>,
    }

    impl AsyncUpstream<Log> for Shelf {
        type Pull<'a> = Pull<'a>;

        async fn push(&self, batch: &Batch<Log>) -> Result<(), PushError<u64>> {
            let head = self.events.borrow().len() as u64;
            if batch.base != head {
                return Err(PushError::Behind { head: Some(head) });
            }
            self.events.borrow_mut().extend(batch.entries.iter().cloned());
            self.news.bump();
            Ok(())
        }

        fn pull(&self, cursor: u64) -> Pull<'_> {
            Pull { shelf: self, cursor: cursor as usize, caught_up: false }
        }
    }

    pub struct Pull<'a> {
        shelf: &'a Shelf,
        cursor: usize,
        caught_up: bool,
    }

    impl AsyncPull<Log> for Pull<'_> {
        async fn next_page(&mut self) -> Option<Result<Page<Entry>, PullError>> {
            loop {
                let seen = self.shelf.news.current(); // before the look
                let entries = self.shelf.events.borrow()[self.cursor..].to_vec();
                if !entries.is_empty() || !self.caught_up {
                    self.cursor += entries.len();
                    self.caught_up = true;
                    return Some(Ok(Page { entries, more: More::None }));
                }
                self.shelf.news.past(seen).await;
            }
        }
    }

    /// Two clients on one shelf. Must be called where `spawn_local` may be.
    pub async fn two_clients(print: impl Fn(String)) -> Result<usize, Box<dyn std::error::Error>> {
        let shelf = Shelf::default();
        let client = || {
            let (replicator, driver) = Replicator::builder(Log::new(), shelf.clone()).build_async(tokio::time::sleep);
            tokio::task::spawn_local(driver);
            replicator
        };
        let (alice, bob) = (client(), client());
        let updates = bob.updates();
        print(format!("milk: {:?}", alice.commit(vec!["milk"])?.await));
        print(format!("bob hears of {:?}", updates.receiver.next().await?.merged));
        print(format!("bread: {:?}", bob.commit(vec!["bread"])?.await));
        Ok(shelf.events.borrow().len())
    }
}

#[cfg(not(loom))]
#[allow(dead_code, reason = "its test has another")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let events = tokio::task::LocalSet::new().block_on(&runtime, local::two_clients(|line| println!("{line}")))?;
    println!("{events} events on the shelf");
    Ok(())
}

#[cfg(loom)] // There is no runtime in a model build.
fn main() {}
