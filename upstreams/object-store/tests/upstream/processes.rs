//! Processes on one local disk that race, and that are killed.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use latchwork::{Backoff, Replicator, Settled};
use latchwork_object_store::object_store::local::LocalFileSystem;

use crate::common::{Client, Log, client, pull, push};

const FOLDER: &str = "LATCHWORK_OBJECT_STORE_FOLDER";
const NAME: &str = "LATCHWORK_OBJECT_STORE_NAME";

fn on_disk(folder: &Path) -> Client {
    client(Arc::new(LocalFileSystem::new_with_prefix(folder).unwrap()), "todos")
}

/// This test alone, in a process of its own.
fn start(test: &str, folder: &Path, name: &str) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(FOLDER, folder).env(NAME, name);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// The process's part, if this is one.
fn part() -> Option<(Client, String)> {
    let folder = env::var_os(FOLDER)?;
    Some((on_disk(folder.as_ref()), env::var(NAME).unwrap()))
}

/// What a process says, a line with `said ` each.
fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let output = BufReader::new(child.stdout.take().unwrap());
    output.lines().map_while(Result::ok).filter_map(|line| line.split_once("said ").map(|(_, said)| said.to_owned()))
}

fn say(what: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "said {what}").and_then(|()| out.flush()).unwrap();
}

#[tokio::test]
async fn of_pushes_of_two_processes_after_the_same_event_one_is_taken() {
    const ROUNDS: u64 = 300;
    if let Some((_, name)) = part() {
        // Both send after each event, its own or not, as soon as they can: each time as a client that leaves no room to others.
        let folder = env::var_os(FOLDER).unwrap();
        for base in 0..ROUNDS {
            if push(&on_disk(folder.as_ref()), base, &[&name]).await.is_ok() {
                say(&base.to_string());
            }
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let test = "processes::of_pushes_of_two_processes_after_the_same_event_one_is_taken";
    let names = ["one", "other"];
    let mut children = names.map(|name| start(test, folder.path(), name));
    let read = children.each_mut().map(|child| {
        let lines = lines(child);
        thread::spawn(move || lines.map(|base| base.parse::<u64>().unwrap()).collect::<Vec<_>>())
    });
    let taken = read.map(|read| read.join().unwrap());
    children.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));
    let mut all = taken.concat();
    all.sort_unstable();
    assert!(all.iter().copied().eq(0..ROUNDS), "each is taken once: {all:?}");
    let there = pull(&on_disk(folder.path()), 0).await.unwrap();
    for (name, taken) in names.iter().zip(&taken) {
        assert!(taken.iter().all(|base| there[*base as usize] == *name));
    }
    println!("{} rounds, of which the processes have {:?}", ROUNDS, taken.map(|taken| taken.len()));
}

/// Commits, and says what is confirmed, for ever.
async fn commits(client: Client, name: &str) {
    let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(20));
    let builder = Replicator::builder(Log::rebasing(), client).backoff(backoff);
    let (replicator, driver) = builder.build_async(tokio::time::sleep);
    tokio::spawn(driver);
    for number in 0_u64.. {
        let event = format!("{name} {number}");
        if let Settled::Confirmed(at) = replicator.commit(vec![event.clone()]).unwrap().await {
            say(&format!("{at} {event}"));
        }
    }
}

/// Kills so many clients, one after another, as they commit: nothing that was confirmed is lost, nothing is there twice, and
/// there is no gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_are_killed_lose_nothing_that_was_confirmed() {
    if let Some((client, name)) = part() {
        return commits(client, &name).await;
    }
    let kills = env::var("LATCHWORK_OBJECT_STORE_KILLS").map_or(12, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let test = "processes::clients_that_are_killed_lose_nothing_that_was_confirmed";
    let confirmed = Arc::new(Mutex::new(HashMap::new()));
    let begin = |name: usize| -> (Child, JoinHandle<()>) {
        let mut child = start(test, folder.path(), &name.to_string());
        let (lines, confirmed) = (lines(&mut child), Arc::clone(&confirmed));
        let read = thread::spawn(move || {
            for line in lines {
                // What is killed may have said half a line.
                if let Some((at, event)) = line.split_once(' ') {
                    confirmed.lock().unwrap().insert(event.to_owned(), at.parse::<usize>().unwrap());
                }
            }
        });
        (child, read)
    };
    let mut running: Vec<_> = (0..3).map(begin).collect();
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(150 + 37 * (kill as u64 % 5))).await;
        let (mut child, read) = running.remove(kill % 3);
        child.kill().unwrap();
        child.wait().unwrap();
        read.join().unwrap();
        running.push(begin(3 + kill));
    }
    for (mut child, read) in running {
        child.kill().unwrap();
        child.wait().unwrap();
        read.join().unwrap();
    }
    // `pull` checks that there is no gap.
    let there = pull(&on_disk(folder.path()), 0).await.unwrap();
    let confirmed = confirmed.lock().unwrap();
    for (event, at) in &*confirmed {
        assert_eq!(there.get(at - 1), Some(event), "it was confirmed");
    }
    let mut each = there.clone();
    each.sort_unstable();
    each.dedup();
    assert_eq!(each.len(), there.len(), "an event is there twice");
    assert!(!confirmed.is_empty());
    println!("{kills} kills, {} events, {} confirmed", there.len(), confirmed.len());
}
