//! An upstream's file that is older than it was, or another one, ends all clients with one sentence. Nothing is lost: with the
//! newer file back it goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

const REMEDY: &str = "; put the newer file back and run it again, or begin anew in another directory";

fn node_sync(dir: &Path, todos: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_node-sync"));
    command.args(["--todos", todos, "--dir"]).arg(dir).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ends_well(dir: &Path, todos: &str) {
    let output = node_sync(dir, todos).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Ends soon, with exit code 2 and one sentence, which says this.
fn is_ended(child: Child, expected: &[&str]) {
    let begun = Instant::now();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    let sentences: Vec<_> = said.lines().filter(|line| !line.contains("committed ")).collect();
    println!("{sentences:?}");
    assert_eq!(status.code(), Some(2), "{said}{stdout:?}");
    assert!(
        sentences.len() == 1 && expected.iter().all(|part| said.contains(part)),
        "expected {expected:?}, got: {said}"
    );
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
}

/// A directory, its upstream's file, and that file as it was when there were 6 events.
fn with_an_older_file() -> (TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    ends_well(dir.path(), "3,3");
    let (upstream, older) = (dir.path().join("upstream.db"), dir.path().join("older"));
    fs::copy(&upstream, &older).unwrap();
    (dir, upstream, older)
}

/// Clients at work, once both have sent something.
fn running(dir: &Path, upstream: &Path, todos: &str) -> Child {
    let child = node_sync(dir, todos).spawn().unwrap();
    let db = Connection::open(upstream).unwrap();
    let least = "SELECT min(events) FROM (SELECT count(*) AS events FROM log GROUP BY client)";
    while db.query_row(least, [], |row| row.get::<_, u64>(0)).unwrap() < 10 {
        sleep(Duration::from_millis(1));
    }
    child
}

#[test]
fn an_older_file_between_runs_ends_with_one_sentence_and_the_newer_one_goes_on() {
    let (dir, upstream, older) = with_an_older_file();
    let dir = dir.path();
    ends_well(dir, "30,20");
    let newer = dir.join("newer");
    fs::copy(&upstream, &newer).unwrap();
    fs::copy(&older, &upstream).unwrap();
    // With nothing to do, so that a client could end before it has looked, and with more to be sent.
    for todos in [vec!["30,20"; 10], vec!["60,50"]].concat() {
        let expected =
            ["upstream has lost events: ", "upstream.db ends at event 6, and event 55 had been there", REMEDY];
        is_ended(node_sync(dir, todos).spawn().unwrap(), &expected);
    }
    fs::copy(&newer, &upstream).unwrap();
    ends_well(dir, "60,50");
}

/// Put in its place, as a restored backup is: the clients have the former file open.
#[cfg(unix)]
#[test]
fn an_older_file_in_the_place_of_one_that_is_open_ends_with_one_sentence() {
    let (dir, upstream, older) = with_an_older_file();
    let child = running(dir.path(), &upstream, "1000000,1000000");
    for beside in ["upstream.db-wal", "upstream.db-shm"] {
        fs::remove_file(dir.path().join(beside)).unwrap();
    }
    fs::rename(&older, &upstream).unwrap();
    is_ended(child, &["upstream has lost events: ", "upstream.db ends at event 6, and event ", REMEDY]);
}

/// Written into the file that is open, as SQLite restores a backup.
#[test]
fn events_that_are_taken_out_of_a_file_that_is_open_end_with_one_sentence() {
    let (dir, upstream, _) = with_an_older_file();
    let child = running(dir.path(), &upstream, "1000000,1000000");
    let db = Connection::open(&upstream).unwrap();
    db.busy_timeout(Duration::from_secs(10)).unwrap();
    db.execute("DELETE FROM log WHERE seq > 6", []).unwrap();
    is_ended(child, &["upstream has lost events: ", "upstream.db ends at event ", " had been there", REMEDY]);
}

#[cfg(unix)]
#[test]
fn another_file_in_the_place_of_one_that_is_open_ends_with_one_sentence() {
    let ((dir, upstream, _), (_other, another, _)) = (with_an_older_file(), with_an_older_file());
    let child = running(dir.path(), &upstream, "1000000,1000000");
    for beside in ["upstream.db-wal", "upstream.db-shm"] {
        fs::remove_file(dir.path().join(beside)).unwrap();
    }
    let near = dir.path().join("another");
    fs::copy(&another, &near).unwrap();
    fs::rename(&near, &upstream).unwrap();
    is_ended(child, &["this is another upstream: ", "upstream.db is not the one that the clients belong to", "; put "]);
}

/// A file that is away for a moment is waited for, and one that has only been moved is the same. The job takes longer than
/// that: what has arrived is looked at once the file is back.
#[cfg(unix)]
#[test]
fn a_file_that_is_away_for_a_moment_is_waited_for() {
    let (dir, upstream, _) = with_an_older_file();
    let away = dir.path().join("away");
    let child = running(dir.path(), &upstream, "20000,20000");
    for _ in 0..3 {
        fs::rename(&upstream, &away).unwrap();
        sleep(Duration::from_millis(20));
        fs::rename(&away, &upstream).unwrap();
        sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
