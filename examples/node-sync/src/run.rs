//! Runs a job: its clients, as processes or threads, and what is to be seen of them.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use latchwork::upstream::Memory;
use latchwork::{Cause, Interrupt, Latch};
use node_sync::client::Client;
use node_sync::file::{self, Kind};
use node_sync::job::Job;
use node_sync::node::{self, Progress, Report, Task};
use node_sync::process::{ClientProcess, Message, Messages, Order, SOON};
use node_sync::trail::Trail;
use node_sync::upstream::SqliteUpstream;

use crate::progress::Display;
use crate::summary::Summary;
use crate::{Args, Place, Processes};

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What a client reports, and when it did.
type Arrived = (Report, Instant);

/// How often a client process tells how far it is.
const TICK: Duration = Duration::from_millis(100);

/// Whether everything arrived everywhere. An error is what kept it from beginning, or from going on.
pub fn run(args: &Args) -> Result<bool> {
    let job = &args.job;
    let deadline = Instant::now() + Duration::from_secs(args.time_limit);
    let temporary = if args.dir.is_none() { Some(tempfile::tempdir()?) } else { None };
    let dir = args.dir.as_deref().or(temporary.as_ref().map(|dir| dir.path())).expect("one of the two");
    // What is wrong with the files is said once, before anything begins.
    let upstream_id = prepare(args, dir)?;
    let memory = Memory::new(0).with_page_size(job.page.get());
    let work = |task: Task<'_>| -> Result<Arrived> {
        let report = match (args.processes, args.upstream) {
            (Processes::Many, _) => return in_process(dir, task),
            (Processes::One, Place::File) => node::work_in(dir, Arc::default(), task)?,
            (Processes::One, Place::Memory) => {
                let trail = Arc::new(Trail::default());
                let path = node::client_path(dir, &task.share.client);
                let client = Client::open(&path, &task.share.client, &upstream_id, Arc::clone(&trail))?;
                node::work(client, memory.clone(), &trail, task)?
            }
        };
        Ok((report, Instant::now()))
    };
    let display = if args.json { Display::Nothing } else { Display::new() };
    let begun = Instant::now();
    let (reports, arrived): (Vec<_>, Vec<_>) = all(job, deadline, display, work)?.into_iter().unzip();
    let elapsed = arrived.into_iter().max().map_or(Duration::ZERO, |last| last - begun);
    let summary = Summary::new(args, dir, reports, elapsed)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        print!("{summary}");
    }
    Ok(summary.is_good())
}

/// Makes the files, or sees whether those that are there can be continued. Returns what tells this upstream from others.
fn prepare(args: &Args, dir: &Path) -> Result<String> {
    if dir.exists() && !dir.is_dir() {
        return Err(format!("{} is not a directory", dir.display()).into());
    }
    fs::create_dir_all(dir).map_err(|error| format!("{} cannot be made: {error}", dir.display()))?;
    let (upstream, shares) = (node::upstream_path(dir), args.job.shares());
    // Before any file is made, so that nothing is left behind beside files that are not for us.
    let upstream_is_there = file::is_there(&upstream, Kind::Upstream)?;
    for share in &shares {
        let path = node::client_path(dir, &share.client);
        if file::is_there(&path, Kind::Client)? && !upstream_is_there {
            return Err(format!("{} is there, but its upstream is not: {}", path.display(), upstream.display()).into());
        }
    }
    let id = match args.upstream {
        Place::Memory => "memory".to_owned(),
        Place::File => {
            file::probe(&upstream, Kind::Upstream)?;
            SqliteUpstream::open(&upstream, 1)?.id().to_owned()
        }
    };
    for share in &shares {
        let path = node::client_path(dir, &share.client);
        let client = Client::open(&path, &share.client, &id, Arc::default())?;
        if client.committed > share.events(&args.job) {
            return Err(format!("{} has more events than this job", path.display()).into());
        }
        if !client.gave_up(|number| share.is_refused(&args.job, number))? {
            let path = path.display();
            return Err(
                format!("{path} has given up other todos than this job: say the same --faults and --seed").into()
            );
        }
    }
    Ok(id)
}

/// Runs all clients at once. If one cannot go on, the others are to end.
fn all(
    job: &Job,
    deadline: Instant,
    display: Display,
    work: impl Fn(Task<'_>) -> Result<Arrived> + Sync,
) -> Result<Vec<Arrived>> {
    let shares = job.shares();
    let progress: Vec<_> = shares.iter().map(|_| Progress::default()).collect();
    let (stop, ended) = (Interrupt::new(), Latch::new());
    thread::scope(|scope| {
        let clients = shares.iter().zip(&progress).map(|(share, progress)| {
            let task = Task { job, share, deadline, stop: &stop, progress };
            let (work, stop) = (&work, &stop);
            scope.spawn(move || {
                work(task).inspect_err(|_| {
                    stop.set(Cause::Stop);
                })
            })
        });
        let clients: Vec<_> = clients.collect();
        scope.spawn(|| display.show(job, &progress, &ended));
        let reports = clients.into_iter().map(|client| client.join().expect("a client's thread does not panic"));
        // All of them, before one is looked at.
        let reports: Vec<_> = reports.collect();
        ended.open();
        reports.into_iter().collect()
    })
}

/// Runs a client as a process. It has arrived when it says so: what the system does to end a process is none of its work, and
/// takes longer than all of it (to give up a watch of a file alone 20 ms).
fn in_process(dir: &Path, task: Task<'_>) -> Result<Arrived> {
    let Task { job, share, deadline, stop, progress } = task;
    let time_limit = deadline.saturating_duration_since(Instant::now());
    let order = Order { dir: dir.to_owned(), job: job.clone(), index: share.index, time_limit, tick: TICK, hold: None };
    let (mut process, messages) = ClientProcess::start(&std::env::current_exe()?, &order)?;
    let (over, ended) = (stop.child(), Latch::new());
    let heard = thread::scope(|scope| {
        scope.spawn(|| {
            // It knows when its time is over, and should need no telling.
            let _over = over.triggered().wait_deadline(deadline + SOON);
            process.ask_to_end();
            if !ended.opened().wait_timeout(2 * SOON).is_ready() {
                let _gone = process.kill();
            }
        });
        let heard = listen(messages, progress);
        ended.open();
        over.set(Cause::Stop);
        heard
    });
    let status = process.wait()?;
    heard?.ok_or_else(|| format!("{} ended without a report: {status}", share.client).into())
}

fn listen(messages: Messages, progress: &Progress) -> Result<Option<Arrived>> {
    let mut report = None;
    for message in messages {
        match message? {
            Message::Progress { committed, applied } => progress.set(committed, applied),
            Message::Report(last) => report = Some((*last, Instant::now())),
            Message::Error(error) => return Err(error.into()),
            Message::Held(point) => return Err(format!("a client stands still at {point:?}").into()),
        }
    }
    Ok(report)
}
