//! Runs a job: its clients, its progress, and the summary.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use latchwork::sync_state::Position;
use latchwork::upstream::Memory;
use node_sync::check::{self, Contents};
use node_sync::client::SqliteLog;
use node_sync::file::{self, Kind};
use node_sync::job::{Job, Share};
use node_sync::node::{self, Progress, Report};
use node_sync::upstream::SqliteUpstream;
use serde::{Deserialize, Serialize};

use crate::{Args, Place, Processes};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How often progress is printed.
const TICK: Duration = Duration::from_millis(500);

/// What a client process tells its parent, a line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Progress { committed: u64, applied: u64 },
    Report(Box<Report>),
    Error(String),
}

#[derive(Debug, Serialize)]
struct Summary {
    complete: bool,
    equal: bool,
    /// That are everywhere.
    events: u64,
    elapsed_ms: u64,
    events_per_second: u64,
    clients: Vec<Report>,
    files: Vec<Contents>,
    wrong: Vec<String>,
}

/// Whether everything arrived everywhere. An error is what kept it from beginning.
pub fn run(args: &Args) -> Result<bool> {
    let job = args.job();
    let deadline = Instant::now() + Duration::from_secs(args.time_limit);
    if let (Some(index), Some(dir)) = (args.client, &args.dir) {
        let tick = Duration::from_millis(args.tick);
        return as_client(dir, &job.shares()[index], &job, deadline, tick);
    }
    let temporary = if args.dir.is_none() { Some(tempfile::tempdir()?) } else { None };
    let dir = args.dir.as_deref().or(temporary.as_ref().map(|dir| dir.path())).expect("one of the two");
    if dir.exists() && !dir.is_dir() {
        return Err(format!("{} is not a directory", dir.display()).into());
    }
    std::fs::create_dir_all(dir).map_err(|error| format!("{} cannot be made: {error}", dir.display()))?;
    // Opened here first: what is wrong with the files is said once, before anything begins.
    let memory = Memory::new(Position::default()).with_page_size(job.page.get());
    let upstream_id = match args.upstream {
        Place::File => {
            file::probe(&upstream_path(dir), Kind::Upstream)?;
            SqliteUpstream::open(&upstream_path(dir), 1)?.id().to_owned()
        }
        Place::Memory => "memory".to_owned(),
    };
    for share in &job.shares() {
        let log = SqliteLog::open(&client_path(dir, share), &share.client, &upstream_id)?;
        if log.committed() > share.events(&job) {
            return Err(format!("{} has more events than this job", client_path(dir, share).display()).into());
        }
    }
    let begun = Instant::now();
    let work = |share: &Share, progress: &Progress| -> Result<Report> {
        match (args.processes, args.upstream) {
            (Processes::Many, _) => in_process(args, dir, share, progress),
            (Processes::One, Place::File) => in_file(dir, share, &job, deadline, progress),
            (Processes::One, Place::Memory) => {
                let log = SqliteLog::open(&client_path(dir, share), &share.client, &upstream_id)?;
                Ok(node::work(log, memory.clone(), share, &job, deadline, progress)?)
            }
        }
    };
    if !args.json {
        print_job(args, &job);
    }
    let reports = all(&job, !args.json, work)?;
    let elapsed = begun.elapsed();
    let summary = summary(args, dir, &job, reports, elapsed)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        print(&summary, &job);
    }
    Ok(summary.complete && summary.equal)
}

fn upstream_path(dir: &Path) -> PathBuf {
    dir.join("upstream.db")
}

fn client_path(dir: &Path, share: &Share) -> PathBuf {
    dir.join(format!("{}.db", share.client))
}

fn in_file(dir: &Path, share: &Share, job: &Job, deadline: Instant, progress: &Progress) -> Result<Report> {
    let upstream = SqliteUpstream::open(&upstream_path(dir), job.page.get())?;
    let log = SqliteLog::open(&client_path(dir, share), &share.client, upstream.id())?;
    Ok(node::work(log, upstream, share, job, deadline, progress)?)
}

/// Runs all clients at once and prints how far they are.
fn all(job: &Job, verbose: bool, work: impl Fn(&Share, &Progress) -> Result<Report> + Sync) -> Result<Vec<Report>> {
    let shares = job.shares();
    let progress: Vec<_> = shares.iter().map(|_| Progress::default()).collect();
    let running = AtomicU64::new(shares.len() as u64);
    let work = &work;
    thread::scope(|scope| {
        let printer = thread::current();
        let clients = shares.iter().zip(&progress).map(|(share, progress)| {
            let (running, printer) = (&running, printer.clone());
            scope.spawn(move || {
                let report = work(share, progress);
                running.fetch_sub(1, Ordering::Release);
                printer.unpark();
                report
            })
        });
        let clients: Vec<_> = clients.collect();
        let mut next = Instant::now() + TICK;
        while running.load(Ordering::Acquire) > 0 {
            thread::park_timeout(next.saturating_duration_since(Instant::now()));
            if Instant::now() >= next {
                next += TICK;
                if verbose {
                    print_progress(job, &shares, &progress);
                }
            }
        }
        if verbose {
            print_progress(job, &shares, &progress);
        }
        clients.into_iter().map(|client| client.join().expect("a client's thread does not panic")).collect()
    })
}

fn print_job(args: &Args, job: &Job) {
    let clients = match args.processes {
        Processes::One => "threads of one process",
        Processes::Many => "processes of their own",
    };
    let place = match args.upstream {
        Place::File => "in a file",
        Place::Memory => "in memory",
    };
    let todos: Vec<_> = job.todos.iter().map(u64::to_string).collect();
    println!("{} clients ({clients}), upstream {place}", todos.len());
    println!("todos: {}; with edits of the shared one, {} events", todos.join(" and "), job.events());
}

fn print_progress(job: &Job, shares: &[Share], progress: &[Progress]) {
    let all = job.events();
    let parts: Vec<_> = shares
        .iter()
        .zip(progress)
        .map(|(share, progress)| {
            let (committed, applied) =
                (progress.committed.load(Ordering::Relaxed), progress.applied.load(Ordering::Relaxed));
            format!("{}: committed {committed}/{}, synced {applied}/{all}", share.client, share.events(job))
        })
        .collect();
    println!("{}", parts.join(" | "));
}

/// Runs a client as a process and listens to it.
fn in_process(args: &Args, dir: &Path, share: &Share, progress: &Progress) -> Result<Report> {
    let mut command = Command::new(std::env::current_exe()?);
    let todos: Vec<_> = args.todos.iter().map(u64::to_string).collect();
    command.arg("--client").arg(share.index.to_string()).arg("--dir").arg(dir);
    command.arg("--todos").arg(todos.join(","));
    for (option, value) in [
        ("--edit-every", args.edit_every),
        ("--commit-batch", args.commit_batch.get() as u64),
        ("--push-batch", args.push_batch.get() as u64),
        ("--page", args.page.get() as u64),
        ("--seed", args.seed),
        ("--time-limit", args.time_limit),
    ] {
        command.arg(option).arg(value.to_string());
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let heard = listen(&mut child, progress);
    let status = child.wait()?;
    heard?.ok_or_else(|| format!("{} ended without a report: {status}", share.client).into())
}

fn listen(child: &mut Child, progress: &Progress) -> Result<Option<Report>> {
    let output: ChildStdout = child.stdout.take().expect("its output is a pipe");
    let mut report = None;
    for line in BufReader::new(output).lines() {
        match serde_json::from_str(&line?)? {
            Line::Progress { committed, applied } => {
                progress.committed.store(committed, Ordering::Relaxed);
                progress.applied.store(applied, Ordering::Relaxed);
            }
            Line::Report(last) => report = Some(*last),
            Line::Error(error) => return Err(error.into()),
        }
    }
    Ok(report)
}

/// A client process: its lines go to the parent.
fn as_client(dir: &Path, share: &Share, job: &Job, deadline: Instant, tick: Duration) -> Result<bool> {
    let say = |line: &Line| -> Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(line)?)?;
        Ok(out.flush()?)
    };
    let (progress, done) = (Progress::default(), AtomicBool::new(false));
    let worked = thread::scope(|scope| {
        let telling = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                let (committed, applied) =
                    (progress.committed.load(Ordering::Relaxed), progress.applied.load(Ordering::Relaxed));
                if say(&Line::Progress { committed, applied }).is_err() {
                    // The parent is gone. Whatever is being done survives a kill, so also this.
                    std::process::exit(1);
                }
                thread::park_timeout(tick);
            }
        });
        let worked = in_file(dir, share, job, deadline, &progress);
        done.store(true, Ordering::Release);
        telling.thread().unpark();
        worked
    });
    match worked {
        Ok(report) => {
            let complete = report.complete;
            let (committed, applied) =
                (progress.committed.load(Ordering::Relaxed), progress.applied.load(Ordering::Relaxed));
            say(&Line::Progress { committed, applied })?;
            say(&Line::Report(Box::new(report)))?;
            Ok(complete)
        }
        Err(error) => {
            say(&Line::Error(error.to_string()))?;
            Ok(false)
        }
    }
}

fn summary(args: &Args, dir: &Path, job: &Job, clients: Vec<Report>, elapsed: Duration) -> Result<Summary> {
    let mut paths: Vec<_> = job.shares().iter().map(|share| (client_path(dir, share), Kind::Client)).collect();
    if args.upstream == Place::File {
        paths.push((upstream_path(dir), Kind::Upstream));
    }
    let files =
        paths.iter().map(|(path, kind)| check::contents(path, *kind)).collect::<std::result::Result<Vec<_>, _>>()?;
    let mut wrong = Vec::new();
    for ((path, _), file) in paths.iter().zip(&files) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        wrong.extend(file.wrong.iter().take(5).map(|what| format!("{name}: {what}")));
        for share in job.shares() {
            let (expected, found) = (share.events(job), file.authors.get(&share.client).copied().unwrap_or(0));
            if found != expected {
                wrong.push(format!("{name}: expected {expected} events of {}, got {found}", share.client));
            }
        }
    }
    let equal = files.windows(2).all(|pair| pair[0] == pair[1]);
    let events = files.iter().map(|file| file.events).min().unwrap_or(0);
    Ok(Summary {
        complete: wrong.is_empty() && clients.iter().all(|client| client.complete),
        equal,
        events,
        elapsed_ms: u64::try_from(elapsed.as_millis())?,
        events_per_second: (events as f64 / elapsed.as_secs_f64()) as u64,
        clients,
        files,
        wrong,
    })
}

fn print(summary: &Summary, job: &Job) {
    println!();
    println!(
        "{:<10} {:>9} {:>7} {:>7} {:>9} {:>8} {:>6} {:>8} {:>10} {:>9}",
        "", "committed", "pushes", "behind", "advances", "rebases", "pages", "re-done", "committing", "merging"
    );
    for client in &summary.clients {
        println!(
            "{:<10} {:>9} {:>7} {:>7} {:>9} {:>8} {:>6} {:>8} {:>7} ms {:>6} ms",
            client.client,
            client.committed,
            client.pushes,
            client.behind,
            client.advances,
            client.rebases,
            client.pages,
            client.reapplied,
            client.committing_ms,
            client.merging_ms
        );
        if !client.complete {
            let error = client.last_error.as_ref().map(|error| format!("; last error: {error}")).unwrap_or_default();
            println!("{:<10} not complete: waiting on {}{error}", "", client.waiting_on);
        }
    }
    println!();
    for wrong in &summary.wrong {
        println!("wrong: {wrong}");
    }
    let todos = summary.files.first().map_or(0, |file| file.todo_count);
    let files = summary.files.len();
    if summary.equal && summary.complete {
        println!("equal: the logs of all {files} files ({} events) and their todos ({todos})", summary.events);
    } else {
        println!("NOT everything arrived everywhere: expected {} events in each of {files} files", job.events());
    }
    println!(
        "{} events everywhere in {} ms: {} a second",
        summary.events, summary.elapsed_ms, summary.events_per_second
    );
}
