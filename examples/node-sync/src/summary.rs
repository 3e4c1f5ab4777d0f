//! What came of it: for people, and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use node_sync::check::{self, Contents};
use node_sync::faults::Fault;
use node_sync::file::Kind;
use node_sync::job::Job;
use node_sync::node::{self, Report};
use node_sync::process;
use node_sync::trail::Activity;
use serde::Serialize;

use crate::run::Result;
use crate::started::Failover;
use crate::{Args, Place, Processes};

/// With more clients than this, times are told of all of them together.
const MANY: usize = 6;

#[derive(Debug, Serialize)]
pub struct Summary {
    /// Whether everything arrived everywhere.
    complete: bool,
    /// Whether all logs are the same, and all todos.
    equal: bool,
    /// That are everywhere.
    events: u64,
    elapsed_ms: u64,
    elapsed_us: u64,
    events_per_second: u64,
    #[serde(flatten)]
    job: Job,
    processes: &'static str,
    upstream: String,
    #[serde(skip)]
    is_elsewhere: bool,
    /// Of the server that led, if it was killed.
    failover: Option<Failover>,
    /// Whether it was to be.
    #[serde(skip)]
    is_to_fail_over: bool,
    clients: Vec<Report>,
    files: Vec<Contents>,
    wrong: Vec<String>,
    /// Of this process, with the check of the files.
    peak_memory_kib: Option<u64>,
}

impl Summary {
    /// Reads the clients' files in `dir`, and upstream's or what was copied of it, and compares them.
    pub fn new(
        args: &Args,
        place: &Place,
        dir: &Path,
        upstream: Option<PathBuf>,
        clients: Vec<Report>,
        elapsed: Duration,
        failover: Option<Failover>,
    ) -> Result<Self> {
        let (job, shares) = (args.job.clone(), args.job.shares());
        let mut paths: Vec<_> =
            shares.iter().map(|share| (node::client_path(dir, &share.client), Kind::Client)).collect();
        paths.extend(upstream.map(|path| (path, Kind::Upstream)));
        let is_refused =
            |author: &str, number| shares.iter().any(|share| share.client == author && share.is_refused(&job, number));
        let read = |(path, kind): &(PathBuf, Kind)| check::contents_without(path, *kind, is_refused);
        let files = paths.iter().map(read).collect::<std::result::Result<Vec<_>, _>>()?;
        let mut wrong = Vec::new();
        for ((path, _), file) in paths.iter().zip(&files) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            wrong.extend(file.wrong.iter().map(|what| format!("{name}: {what}")));
            for share in &shares {
                let (expected, found) = (share.ordered(&job), file.authors.get(&share.client).copied().unwrap_or(0));
                if found != expected {
                    wrong.push(format!("{name}: expected {expected} events of {}, got {found}", share.client));
                }
            }
        }
        let events = files.iter().map(|file| file.events).min().unwrap_or(0);
        Ok(Self {
            complete: wrong.is_empty() && clients.iter().all(|client| client.complete),
            equal: files.windows(2).all(|pair| pair[0] == pair[1]),
            events,
            elapsed_ms: u64::try_from(elapsed.as_millis())?,
            elapsed_us: u64::try_from(elapsed.as_micros())?,
            #[expect(clippy::cast_sign_loss, reason = "neither is less than nothing")]
            events_per_second: (events as f64 / elapsed.as_secs_f64()) as u64,
            job,
            processes: match args.processes {
                Processes::One => "threads of one process",
                Processes::Many => "processes of their own",
            },
            upstream: match place {
                Place::File => "in a file".to_owned(),
                Place::Memory => "in memory".to_owned(),
                Place::Elsewhere(address) => match args.start {
                    Some(servers) => format!("on {}, started for this run", servers.words()),
                    None => format!("at {address}"),
                },
            },
            is_elsewhere: matches!(place, Place::Elsewhere(_)),
            failover,
            is_to_fail_over: args.kill_leader,
            clients,
            files,
            wrong,
            peak_memory_kib: process::peak_memory_kib(),
        })
    }

    /// Whether everything arrived everywhere.
    pub fn is_good(&self) -> bool {
        self.complete && self.equal
    }

    fn faults(&self) -> BTreeMap<Fault, u64> {
        let mut sum = BTreeMap::new();
        for (fault, count) in self.clients.iter().flat_map(|client| &client.faults) {
            *sum.entry(*fault).or_default() += count;
        }
        sum
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let todos: Vec<_> = self.job.todos.iter().map(u64::to_string).collect();
        writeln!(f, "{} clients ({}), upstream {}", todos.len(), self.processes, self.upstream)?;
        let events = self.job.events();
        writeln!(f, "todos: {}; with edits of the shared one, {events} events\n", todos.join(" and "))?;
        self.write_counts(f)?;
        self.write_times(f)?;
        let faults: Vec<_> = self.faults().into_iter().map(|(fault, count)| format!("{count} {fault}")).collect();
        if !faults.is_empty() {
            writeln!(f, "\nfaults: {}", faults.join(", "))?;
        }
        self.write_refusals(f)?;
        match &self.failover {
            Some(failover) => writeln!(f, "\n{failover}")?,
            None if self.is_to_fail_over => {
                writeln!(f, "\nno failover: all was over before a server could be killed; say more --todos")?;
            }
            None => {}
        }
        writeln!(f)?;
        for wrong in &self.wrong {
            writeln!(f, "wrong: {wrong}")?;
        }
        let (files, ordered) = (self.files.len(), self.job.ordered());
        if self.is_good() {
            let todos = self.files.first().map_or(0, |file| file.todo_count);
            writeln!(f, "equal: the logs of all {files} files ({} events) and their todos ({todos})", self.events)?;
        } else {
            writeln!(f, "NOT everything arrived everywhere: expected {ordered} events in each of {files} files")?;
        }
        let (elapsed, speed) = (self.elapsed_ms, self.events_per_second);
        writeln!(f, "{} events everywhere in {elapsed} ms: {speed} a second", self.events)
    }
}

impl Summary {
    fn write_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10} {:>9} {:>7} {:>7} {:>9} {:>8} {:>8} {:>9} {:>10}",
            "", "committed", "pushes", "behind", "advances", "rebases", "re-done", "per write", "memory"
        )?;
        for client in &self.clients {
            let Report { client: name, committed, pushes, behind, advances, rebases, reapplied, .. } = client;
            let changes = client.changes as f64 / client.writes.max(1) as f64;
            let memory = client.peak_memory_kib.map_or("-".to_owned(), |kib| format!("{:.1} MiB", kib as f64 / 1024.0));
            writeln!(
                f,
                "{name:<10} {committed:>9} {pushes:>7} {behind:>7} {advances:>9} {rebases:>8} {reapplied:>8} {changes:>9.1} {memory:>10}"
            )?;
            if !client.complete {
                let error =
                    client.last_error.as_ref().map(|error| format!("; last error: {error}")).unwrap_or_default();
                writeln!(f, "{:<10} not complete: waiting on {}{error}", "", client.waiting_on)?;
            }
        }
        Ok(())
    }

    /// What upstream has refused for good.
    fn write_refusals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, client) in self.clients.iter().filter(|client| client.given_up > 0).enumerate() {
            if number == 0 {
                writeln!(f)?;
            }
            let Report { client: name, given_up, refusals, .. } = client;
            refusals.iter().try_for_each(|refusal| writeln!(f, "{refusal}"))?;
            let more = given_up.saturating_sub(refusals.len() as u64);
            if more > 0 {
                writeln!(f, "{name} gives up {more} more")?;
            }
        }
        Ok(())
    }

    /// Where the time went, in per cent of each client's.
    fn write_times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |clients: &[Report], activity| {
            let spent: u64 = clients.iter().filter_map(|client| client.spent_us.get(&activity)).sum();
            let elapsed: u64 = clients.iter().map(|client| client.elapsed_us).sum();
            spent as f64 / elapsed.max(1) as f64 * 100.0
        };
        let columns: Vec<(&str, &[Report])> = match self.clients.len() {
            0..=MANY => self.clients.iter().map(|client| (&*client.client, std::slice::from_ref(client))).collect(),
            _ => vec![("all", &self.clients)],
        };
        write!(f, "\n{:<44}", "where the time went (threads side by side)")?;
        for (name, _) in &columns {
            write!(f, " {name:>9}")?;
        }
        writeln!(f)?;
        // What is elsewhere takes no time of a file.
        let is_of_file = |activity| {
            matches!(activity, Activity::AwaitingLock | Activity::Pushing | Activity::Reading | Activity::Listening)
        };
        for activity in Activity::ALL.into_iter().filter(|&activity| !(self.is_elsewhere && is_of_file(activity))) {
            let (thread, what) = words(activity);
            write!(f, "  {thread:<11}{what:<31}")?;
            for (_, clients) in &columns {
                write!(f, " {:>7.0} %", share(clients, activity))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Whose time it is, and what it goes into.
const fn words(activity: Activity) -> (&'static str, &'static str) {
    match activity {
        Activity::AwaitingDurable => ("commits", "waiting until one is durable"),
        Activity::AwaitingRoom => ("", "waiting, too much is pending"),
        Activity::WritingTables => ("journal", "writing its log and its todos"),
        Activity::Writing => ("", "writing the rest, to the disk"),
        Activity::AwaitingLock => ("pushes", "waiting for upstream's lock"),
        Activity::Pushing => ("", "writing upstream's file"),
        Activity::Reading => ("pulls", "reading upstream's file"),
        Activity::Listening => ("", "waiting for news"),
    }
}
