//! A replicator without a runtime: its driver is polled on a thread of its own, and what sleeps for it is written here.
//!
//! ```text
//! cargo run --example on_pollster
//! ```

/// One client and a server that is busy at first. Returns how many events the server has.
#[cfg(not(loom))]
pub fn one_client(print: impl Fn(String)) -> Result<usize, Box<dyn std::error::Error>> {
    use latchwork::log::MemoryLog;
    use latchwork::upstream::{Fault, Memory};
    use latchwork::{Latch, Replicator};
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    /// A sleep on a thread of its own. The driver sleeps only after a failure or where a time limit is set, so there is one
    /// now and then; with many replicators, let one thread keep all times.
    fn sleep(time: Duration) -> impl Future<Output = ()> {
        let over = Arc::new(Latch::new());
        let opens = Arc::clone(&over);
        thread::spawn(move || {
            thread::sleep(time);
            opens.open();
        });
        async move { over.opened().await }
    }

    let server = Memory::new(0);
    server.fail_push(Fault::Busy(Duration::from_millis(100)));
    let (notes, driver) = Replicator::builder(MemoryLog::new(), server.clone()).build_async(sleep);
    let polls = thread::spawn(move || pollster::block_on(driver));

    // This thread may block, so it does not await.
    let ticket = notes.commit(vec!["milk"])?;
    print(format!("pending: {}", notes.status().pending));
    print(format!("milk: {:?}", ticket.wait()));
    notes.stop();
    polls.join().map_err(|_| "the driver has panicked")?;
    Ok(server.len())
}

#[cfg(not(loom))]
#[allow(dead_code, reason = "its test has another")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("the server has {} event", one_client(|line| println!("{line}"))?);
    Ok(())
}

#[cfg(loom)] // There is nothing that polls in a model build.
fn main() {}
