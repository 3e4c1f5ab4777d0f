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

use crate::elsewhere;
use crate::progress::Display;
use crate::started::Started;
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
    // What is elsewhere is compared as a copy.
    let copies = tempfile::tempdir()?;
    let dir = args.dir.as_deref().or(temporary.as_ref().map(|dir| dir.path())).expect("one of the two");
    // What is wrong with the files is said once, before anything begins.
    if let Some(servers) = args.start {
        servers.are_installed()?;
        if !args.json {
            eprintln!("starting {}", servers.words());
        }
    }
    let started = args.start.map(Started::start).transpose()?;
    let place = started.as_ref().map_or_else(|| args.upstream.clone(), |started| Place::Elsewhere(started.address()));
    let place = match place {
        Place::Elsewhere(address) => Place::Elsewhere(address.named()),
        place => place,
    };
    let upstream_id = prepare(args, &place, dir)?;
    // As long as it is open here, no client is the first that opens it, which has the others wait, and none the last that
    // closes it, which writes what is in its log into it.
    let open = if place == Place::File { Some(file::open(&node::upstream_path(dir), Kind::Upstream)?) } else { None };
    let memory = Memory::new(0).with_page_size(job.page.get());
    let work = |task: Task<'_>| -> Result<Arrived> {
        let report = match (args.processes, &place) {
            (Processes::Many, _) => return in_process(dir, &place, task),
            (Processes::One, Place::Elsewhere(address)) => elsewhere::work_in(address, dir, Arc::default(), task)?,
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
    let over = Latch::new();
    let (arrived, failover) = thread::scope(|scope| {
        let watching = started.as_ref().filter(|_| args.kill_leader).map(|started| {
            let over = &over;
            scope.spawn(move || started.kill_leader(job.ordered() / 2, begun, over))
        });
        let arrived = all(job, deadline, display, work);
        over.open();
        (arrived, watching.and_then(|watching| watching.join().expect("watching servers does not panic")))
    });
    let (reports, arrived): (Vec<_>, Vec<_>) = arrived?.into_iter().unzip();
    let elapsed = arrived.into_iter().max().map_or(Duration::ZERO, |last| last - begun);
    drop(open);
    let copy = match &place {
        Place::File => Some(node::upstream_path(dir)),
        Place::Memory => None,
        Place::Elsewhere(address) => {
            let copy = copies.path().join("upstream.db");
            elsewhere::copy(address, &copy, deadline)?;
            if !matches!(&args.upstream, Place::Elsewhere(address) if address.is_named()) && started.is_none() {
                elsewhere::remove(address)?;
            }
            Some(copy)
        }
    };
    let summary = Summary::new(args, &place, dir, copy, reports, elapsed, failover)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        print!("{summary}");
    }
    Ok(summary.is_good())
}

/// Makes the files, or sees whether those that are there can be continued. Returns what tells this upstream from others.
fn prepare(args: &Args, place: &Place, dir: &Path) -> Result<String> {
    if dir.exists() && !dir.is_dir() {
        return Err(format!("{} is not a directory", dir.display()).into());
    }
    fs::create_dir_all(dir).map_err(|error| format!("{} cannot be made: {error}", dir.display()))?;
    let (upstream, shares) = (node::upstream_path(dir), args.job.shares());
    // Before any file is made, so that nothing is left behind beside files that are not for us.
    let upstream_is_there = file::is_there(&upstream, Kind::Upstream)?;
    for share in &shares {
        let path = node::client_path(dir, &share.client);
        let is_beside = *place == Place::File;
        if file::is_there(&path, Kind::Client)? && is_beside && !upstream_is_there {
            return Err(format!("{} is there, but its upstream is not: {}", path.display(), upstream.display()).into());
        }
    }
    let id = match place {
        Place::Elsewhere(address) => elsewhere::identity(address)?,
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

/// Works as a client in this process, as it was told.
pub fn in_this_process(order: &Order, trail: Arc<Trail>, task: Task<'_>) -> Result<Report> {
    match &order.upstream {
        None => Ok(node::work_in(&order.dir, trail, task)?),
        Some(address) => elsewhere::work_in(&address.parse()?, &order.dir, trail, task),
    }
}

/// Runs a client as a process. It has arrived when it says so: what the system does to end a process is none of its work, and
/// takes longer than all of it (to give up a watch of a file alone 20 ms).
fn in_process(dir: &Path, place: &Place, task: Task<'_>) -> Result<Arrived> {
    let Task { job, share, deadline, stop, progress } = task;
    let time_limit = deadline.saturating_duration_since(Instant::now());
    let upstream = match place {
        Place::Elsewhere(address) => Some(address.to_string()),
        Place::File | Place::Memory => None,
    };
    let (dir, job) = (dir.to_owned(), job.clone());
    let order = Order { dir, upstream, job, index: share.index, time_limit, tick: TICK, hold: None };
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
