//! Models of `Worker`.

use latchwork::{Interrupted, Run, Worker};

/// The body waits for its interrupt; main joins.
pub fn join_ends_a_run_that_is_about_to_park() {
    let worker = Worker::spawn("waits", |run: &Run| -> Result<(), Interrupted> {
        let cause = run.interrupt().wait();
        Err(Interrupted { cause })
    })
    .unwrap();
    worker.join();
}
