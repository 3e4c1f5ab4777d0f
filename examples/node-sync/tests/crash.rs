//! Client processes that are killed at random points lose nothing and apply nothing twice.
//!
//! `NODE_SYNC_KILLS` sets how often, `NODE_SYNC_SEED` when; the kernel's scheduling is not repeatable.

use std::env;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// No kill begins later than this after the first; what remains is synced then.
const LIMIT: Duration = Duration::from_secs(20);

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Enough that they are not done before the last kill.
fn todos(kills: u64) -> String {
    format!("{},{}", 100 * kills, 100 * kills - kills)
}

fn client(dir: &Path, index: usize, todos: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_node-sync"));
    command.args([
        "--client",
        &index.to_string(),
        "--todos",
        todos,
        "--tick",
        "2",
        "--push-batch",
        "20",
        "--page",
        "20",
    ]);
    command.arg("--dir").arg(dir).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Kills it. Returns how many commits it has told of.
fn kill(mut client: Child) -> u64 {
    client.kill().unwrap();
    client.wait().unwrap();
    let mut told = String::new();
    client.stdout.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(!told.contains("{\"error\""), "{told}");
    let committed = |line: &str| -> Option<u64> {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line["progress"]["committed"].as_u64()
    };
    told.lines().filter_map(committed).max().unwrap_or(0)
}

/// How many events the client has committed, and how many of those are neither confirmed nor pending.
fn kept(dir: &Path, index: usize) -> (u64, i64) {
    let name = format!("client{}", index + 1);
    let db = Connection::open(dir.join(format!("{name}.db"))).unwrap();
    let rows = "SELECT committed, committed - (SELECT count(*) FROM pending)
                    - (SELECT count(*) FROM log WHERE client = ?1) FROM heads";
    db.query_row(rows, [&name], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

#[test]
fn killed_clients_lose_nothing_and_apply_nothing_twice() {
    let (kills, seed) = (setting("NODE_SYNC_KILLS", 60), setting("NODE_SYNC_SEED", 1));
    let todos = todos(kills);
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let prepared = Command::new(env!("CARGO_BIN_EXE_node-sync")).args(["--todos", "0,0", "--dir"]).arg(dir).output();
    assert!(prepared.unwrap().status.success());
    let begun = Instant::now();
    let mut random = seed;
    let mut clients = [0, 1].map(|index| Some(client(dir, index, &todos)));
    let (mut done, mut at_work) = (0, 0);
    while done < kills && begun.elapsed() < LIMIT {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // What is tried here is any moment, so there is no event to wait for.
        sleep(Duration::from_micros(2_000 + (random >> 33) % 50_000));
        let index = (random >> 62) as usize % 2;
        let told = kill(clients[index].take().expect("both are running"));
        let (committed, lost) = kept(dir, index);
        assert!(committed >= told, "it told of {told} commits, and {committed} are there (seed {seed}, kill {done})");
        assert_eq!(lost, 0, "seed {seed}, kill {done}");
        at_work += u64::from(told > 0);
        clients[index] = Some(client(dir, index, &todos));
        done += 1;
    }
    for client in clients.into_iter().flatten() {
        kill(client);
    }
    assert!(at_work > 0, "no kill met a client at work");
    let finished = Command::new(env!("CARGO_BIN_EXE_node-sync")).args(["--todos", &todos, "--dir"]).arg(dir).output();
    let finished = finished.unwrap();
    let said = String::from_utf8(finished.stdout).unwrap();
    println!("{done} kills, {at_work} of clients that had told of commits, in {:?}\n{said}", begun.elapsed());
    assert!(finished.status.success(), "seed {seed}: {said}");
}
