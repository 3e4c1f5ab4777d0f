//! The server is killed while clients commit.

use std::path::Path;
use std::time::Duration;

use http_sync::run::{Job, run};

#[tokio::test]
async fn run_loses_nothing_and_has_nothing_twice_though_the_server_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let job = Job { notes: 600, kills: 12, time_limit: Duration::from_secs(60) };
    let program = Path::new(env!("CARGO_BIN_EXE_http-sync"));
    let summary = run(program, dir.path(), job, |line| println!("{line}")).await.unwrap();
    println!("{summary}");
    assert!(summary.contains("equal: the server, alice and bob have the same 1200 events"), "{summary}");
}
