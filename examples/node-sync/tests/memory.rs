//! What a client takes is what is pending and what is on its way, not how much has been confirmed.
#![cfg(target_os = "linux")]

use std::process::Command;

/// The most memory of the clients, in KiB, and of the command itself with its check at the end.
fn peak(todos: u64) -> u64 {
    let todos = format!("{todos},{todos}");
    let steps = ["--commit-batch", "100", "--push-batch", "500", "--page", "500", "--max-pending", "1000", "--json"];
    let output = Command::new(env!("CARGO_BIN_EXE_node-sync")).args(["--todos", &todos]).args(steps).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let clients = summary["clients"].as_array().unwrap().iter().map(|client| &client["peak_memory_kib"]);
    let all = clients.chain([&summary["peak_memory_kib"]]).map(|peak| peak.as_u64().unwrap());
    all.max().unwrap()
}

#[test]
fn memory_is_flat_in_what_has_been_confirmed() {
    let (some, many) = (peak(4_000), peak(40_000));
    println!("{some} KiB with 4,000 todos each, {many} KiB with 40,000");
    // 79,200 more events of 100 bytes and more each would take 8 MiB at the least.
    assert!(many < some + 3072, "{some} KiB with 4,000 todos each, {many} KiB with 40,000");
}
