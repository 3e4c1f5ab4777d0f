//! The whole story: a server, two clients that commit, and a server that is killed meanwhile.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use latchwork::replicator::{RecvError, Updates};
use latchwork::upstream::SharedError;
use latchwork::{Backoff, Replicator, Settled};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::client::Http;
use crate::server::{self, HEARTBEAT};
use crate::{Entry, Note, Notes};

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// How many notes each client commits.
    pub notes: u64,
    /// How often the server is killed, and how long it is gone.
    pub kills: u32,
    /// How long all of it may take.
    pub time_limit: Duration,
}

/// A server, in a process of its own.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    async fn start(program: &Path, file: &Path, address: &str) -> Result<Self, SharedError> {
        let mut command = Command::new(program);
        command.arg("serve").arg(file).arg(address).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let said = process.stdout.take().ok_or("its output is not piped")?;
        let address = BufReader::new(said).lines().next_line().await?.ok_or("the server has not started")?;
        Ok(Self { process, address })
    }
}

type Client = (Replicator<Notes>, JoinHandle<()>, JoinHandle<Vec<Note>>);

/// A client at work, with what it is told.
fn client(name: &str, upstream: Http) -> Client {
    let delay = Duration::from_millis(20);
    let builder = Replicator::builder(Notes::rebasing(), upstream).name(name);
    let builder = builder.backoff(Backoff::new(delay, 10 * delay)).push_deadline(10 * HEARTBEAT);
    let (replicator, driver) = builder.pull_silence(5 * HEARTBEAT).build_async(sleep);
    let told = tokio::spawn(read(replicator.updates()));
    (replicator, tokio::spawn(driver), told)
}

/// The client's own copy of upstream's events: what it has been told of, in order.
async fn read(updates: Updates<Entry, u64>) -> Vec<Note> {
    let mut events = Vec::new();
    loop {
        match updates.receiver.next().await {
            Ok(update) => events.extend(merged(&update.merged)),
            Err(RecvError::Closed) => break,
            Err(error) => panic!("expected every update, got: {error}"),
        }
    }
    events.sort_by_key(|entry: &Entry| entry.position);
    events.into_iter().map(|entry| entry.event).collect()
}

fn merged(merged: &latchwork::log::Merged<Entry>) -> Vec<Entry> {
    use latchwork::log::Merged::{Advance, Rebase};
    let (Advance { new, confirmed } | Rebase { new, confirmed, .. }) = merged;
    [&new[..], confirmed].concat()
}

/// Does it, with `print` for each thing that happens. Returns a summary whose last line begins with `equal`.
///
/// # Errors
///
/// If anything was lost, came twice or in another order, or did not arrive in time.
pub async fn run(program: &Path, dir: &Path, job: Job, print: impl Fn(String)) -> Result<String, SharedError> {
    tokio::time::timeout(job.time_limit, story(program, dir, job, print)).await.map_err(|_| "not in time")?
}

async fn story(program: &Path, dir: &Path, job: Job, print: impl Fn(String)) -> Result<String, SharedError> {
    let begun = Instant::now();
    let print = |who: &str, what: String| print(format!("{:6.2} s  {who:<7} {what}", begun.elapsed().as_secs_f64()));
    let file = dir.join("upstream.db");
    let mut server = Server::start(program, &file, "127.0.0.1:0").await?;
    let url = format!("http://{}", server.address);
    let log = Http::ask(&url).await?;
    print("server", format!("is up, at {url}, with the log {log}"));

    let names = ["alice", "bob"];
    let mut clients = Vec::new();
    for name in names {
        clients.push(client(name, Http::new(&url, &log)?));
    }
    let mut tickets = Vec::new();
    // The commits in as many parts as there are kills, and one after them.
    let part = job.notes.div_ceil(u64::from(job.kills) + 1).max(1);
    for number in 0..job.notes {
        for (name, (replicator, ..)) in names.iter().zip(&clients) {
            let text = format!("note {number} of {name}");
            tickets.push(replicator.commit(vec![Note { author: (*name).to_owned(), number, text }])?);
        }
        sleep(Duration::from_micros(200)).await;
        if (number + 1) % part != 0 || number + 1 == job.notes {
            continue;
        }
        server.process.kill().await?; // by its process id, and at once
        print("server", format!("is killed, with {} events in its file", server::read_all(&file)?.len()));
        sleep(Duration::from_millis(60)).await;
        for (name, (replicator, ..)) in names.iter().zip(&clients) {
            let status = replicator.status();
            let error = status.last_error.map_or_else(|| "no error yet".to_owned(), |error| error.to_string());
            print(name, format!("has {} to go; {error}", status.pending));
        }
        server = Server::start(program, &file, &server.address).await?;
        print("server", "is up again".to_owned());
    }
    for ticket in tickets {
        match ticket.await {
            Settled::Confirmed(_) => {}
            other => return Err(format!("a commit was not confirmed: {other:?}").into()),
        }
    }
    print("clients", "have an answer to each commit".to_owned());

    let upstream = server::read_all(&file)?;
    let mut summary =
        format!("\n{:10}{:>8}{:>8}{:>10}{:>12}{:>9}\n", "", "pushes", "behind", "uncertain", "unavailable", "rebases");
    let mut all = vec![("server", upstream.clone())];
    for (name, (replicator, driver, told)) in names.into_iter().zip(clients) {
        let head = upstream.len() as u64;
        replicator.status_when(move |status| status.upstream_head >= head).await;
        let counters = replicator.status().counters;
        let (pushes, behind, rebases) = (counters.pushes, counters.behind, counters.rebases);
        let (uncertain, unavailable) = (counters.uncertain, counters.unavailable);
        writeln!(summary, "{name:10}{pushes:>8}{behind:>8}{uncertain:>10}{unavailable:>12}{rebases:>9}")?;
        let report = replicator.shutdown_async(HEARTBEAT, sleep).await;
        driver.await?;
        if !report.is_clean() {
            return Err(format!("{name} has something left: {report:?}").into());
        }
        all.push((name, told.await?));
    }
    server.process.kill().await?;
    check(&all, names, job.notes)?;
    writeln!(summary, "\nequal: the server, alice and bob have the same {} events in the same order", upstream.len())?;
    Ok(summary)
}

/// Nothing is lost, nothing is there twice, and the order is the same everywhere.
fn check(all: &[(&str, Vec<Note>)], names: [&str; 2], notes: u64) -> Result<(), SharedError> {
    for (who, events) in all {
        if *events != all[0].1 {
            return Err(
                format!("{who} has {} events, others than the server's {}", events.len(), all[0].1.len()).into()
            );
        }
    }
    for name in names {
        let numbers = all[0].1.iter().filter(|note| note.author == name).map(|note| note.number);
        if !numbers.eq(0..notes) {
            return Err(format!("not each note of {name} is there once, in its order").into());
        }
    }
    Ok(())
}
