//! A replicator on a runtime with many threads: its driver is spawned as any task is.
//!
//! ```text
//! cargo run --example on_tokio
//! ```

/// Two clients write notes at once. Returns what the server has then.
#[cfg(not(loom))]
pub async fn two_clients(print: impl Fn(String)) -> Result<Vec<&'static str>, Box<dyn std::error::Error>> {
    use latchwork::log::MemoryLog;
    use latchwork::upstream::Memory;
    use latchwork::{Replicator, Settled};
    use std::time::Duration;

    let server = Memory::new(0);
    let client = || {
        let builder = Replicator::builder(MemoryLog::new(), server.clone());
        let (replicator, driver) = builder.build_async(tokio::time::sleep);
        (replicator, tokio::spawn(driver))
    };
    let ((alice, alices_driver), (bob, bobs_driver)) = (client(), client());

    // A commit never waits for the server. Its ticket can be awaited, or dropped.
    let tickets = [alice.commit(vec!["milk"])?, bob.commit(vec!["bread"])?, alice.commit(vec!["tea"])?];
    for ticket in tickets {
        match ticket.await {
            Settled::Confirmed(number) => print(format!("the server has it as event {number}")),
            other => print(format!("not there: {other:?}")),
        }
    }
    // The end: what is pending is handed over, within a time, and the driver is over then.
    for (name, replicator, driver) in [("alice", alice, alices_driver), ("bob", bob, bobs_driver)] {
        let report = replicator.shutdown_async(Duration::from_secs(5), tokio::time::sleep).await;
        print(format!("{name} has ended, {} not sent", report.pending.len()));
        driver.await?;
    }
    Ok(server.entries().into_iter().map(|entry| entry.event).collect())
}

#[cfg(not(loom))]
#[allow(dead_code, reason = "its test has another")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("the server: {:?}", two_clients(|line| println!("{line}")).await?);
    Ok(())
}

#[cfg(loom)] // There is no runtime in a model build.
fn main() {}
