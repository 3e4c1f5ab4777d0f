//! The same job by node-sync and by an engine that was written by hand, in turns.
//!
//! Each run is of processes of their own, in a directory of its own that has been made ready before, and is timed from their
//! start until each has said that everything has arrived and is durable.

mod engine;

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Parser;
use node_sync::job::Job;

use crate::engine::Mode;

/// Runs a job by node-sync and by hand, in turns, and compares them.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Args {
    #[command(flatten)]
    job: Job,
    /// Commits that may be on their way to the disk, one row for each. With 1, also each in a transaction of its own, and the
    /// commits alone.
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_value = "1000,16,1")]
    windows: Vec<NonZeroUsize>,
    /// How often everything is run.
    #[arg(long, value_name = "N", default_value_t = 15)]
    rounds: usize,
    /// Where the files are, in a directory of each run's own; otherwise where temporary files are.
    #[arg(long, value_name = "DIR")]
    place: Option<PathBuf>,
    /// node-sync, if it is not beside this program.
    #[arg(long, value_name = "FILE")]
    node_sync: Option<PathBuf>,
    /// Works as this client by hand, in the directory `--place`.
    #[arg(long, hide = true)]
    client: Option<usize>,
    #[arg(long, hide = true)]
    each: bool,
    #[arg(long, hide = true)]
    alone: bool,
}

/// What a client by hand says at the end.
const ARRIVED: &str = "arrived";

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is measured against what.
struct Pair {
    name: String,
    window: NonZeroUsize,
    by_hand: Mode,
}

fn main() -> Outcome<()> {
    let args = Args::parse();
    if args.job.commit_batch != NonZeroUsize::MIN {
        return Err("by hand, a commit is one event".into());
    }
    if let Some(client) = args.client {
        let mode = match () {
            () if args.alone => Mode::Alone,
            () if args.each => Mode::Each,
            () => Mode::Group(args.windows[0].get() as u64),
        };
        engine::work(args.place.as_deref().ok_or("a client needs --place")?, &args.job, client, mode);
        println!("{ARRIVED}");
        return Ok(());
    }
    let group = |window: &NonZeroUsize| Pair {
        name: format!("group commit, {window} on their way"),
        window: *window,
        by_hand: Mode::Group(window.get() as u64),
    };
    let one = NonZeroUsize::MIN;
    let mut pairs: Vec<_> = args.windows.iter().map(group).collect();
    let is_alone = args.windows.contains(&one);
    if is_alone {
        pairs.push(Pair { name: "one durable commit at a time, each alone".into(), window: one, by_hand: Mode::Each });
    }
    let mut times = vec![(Vec::new(), Vec::new()); pairs.len()];
    let mut alone = Vec::new();
    for round in 0..args.rounds {
        for (pair, times) in pairs.iter().zip(&mut times) {
            for first in [round % 2 == 0, round % 2 == 1] {
                match first {
                    true => times.0.push(by_node_sync(&args, pair.window)?),
                    false => times.1.push(by_hand(&args, pair.by_hand)?),
                }
            }
        }
        if is_alone {
            alone.push(by_hand(&args, Mode::Alone)?);
        }
    }
    let events = args.job.events();
    println!("{events} events by {} clients, {} rounds; medians in ms\n", args.job.todos.len(), args.rounds);
    println!("| | node-sync | by hand | its throughput (quartiles) |\n| --- | --- | --- | --- |");
    for (Pair { name, .. }, (node_sync, by_hand)) in pairs.iter().zip(&times) {
        let ratios: Vec<_> = node_sync.iter().zip(by_hand).map(|(node_sync, by_hand)| by_hand / node_sync).collect();
        let [low, median, high] = [0.25, 0.5, 0.75].map(|part| quantile(&ratios, part));
        let [node_sync, by_hand] = [node_sync, by_hand].map(|times| quantile(times, 0.5));
        println!("| {name} | {node_sync:.1} | {by_hand:.1} | {median:.2} × ({low:.2}–{high:.2}) |");
    }
    if is_alone {
        println!("| the commits alone, nothing synced | | {:.1} | |", quantile(&alone, 0.5));
    }
    Ok(())
}

fn quantile(times: &[f64], part: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len() - 1;
    #[expect(clippy::cast_sign_loss, reason = "neither is less than nothing")]
    let place = (last as f64 * part).round() as usize;
    sorted[place]
}

/// A directory for a run.
fn place(args: &Args) -> Outcome<tempfile::TempDir> {
    Ok(match &args.place {
        Some(place) => tempfile::tempdir_in(place)?,
        None => tempfile::tempdir()?,
    })
}

/// The options that say which job it is.
fn job(command: &mut Command, job: &Job) {
    let todos: Vec<_> = job.todos.iter().map(u64::to_string).collect();
    command.args(["--todos", &todos.join(",")]);
    for (name, value) in [
        ("--edit-every", job.edit_every),
        ("--push-batch", job.push_batch.get() as u64),
        ("--linger", job.linger),
        ("--page", job.page.get() as u64),
        ("--max-pending", job.max_pending.get() as u64),
        ("--seed", job.seed),
    ] {
        command.args([name, &value.to_string()]);
    }
}

/// In milliseconds.
fn by_hand(args: &Args, mode: Mode) -> Outcome<f64> {
    let dir = place(args)?;
    engine::prepare(dir.path(), &args.job);
    let begun = Instant::now();
    let start = |client: usize| {
        let mut command = Command::new(std::env::current_exe()?);
        job(&mut command, &args.job);
        command.arg("--place").arg(dir.path()).args(["--client", &client.to_string()]);
        match mode {
            Mode::Group(window) => command.args(["--windows", &window.to_string()]),
            Mode::Each => command.arg("--each"),
            Mode::Alone => command.arg("--alone"),
        };
        command.stdout(Stdio::piped()).spawn()
    };
    let mut clients = (0..args.job.todos.len()).map(start).collect::<Result<Vec<_>, _>>()?;
    for client in &mut clients {
        let mut said = String::new();
        BufReader::new(client.stdout.as_mut().expect("it is a pipe")).read_line(&mut said)?;
        if said.trim_end() != ARRIVED {
            return Err("a client by hand has failed".into());
        }
    }
    let elapsed = begun.elapsed();
    clients.iter_mut().try_for_each(|client| client.wait().map(drop))?;
    Ok(elapsed.as_secs_f64() * 1000.0)
}

/// In milliseconds, as it says itself.
fn by_node_sync(args: &Args, window: NonZeroUsize) -> Outcome<f64> {
    let dir = place(args)?;
    let beside = std::env::current_exe()?.with_file_name("node-sync");
    let mut command = Command::new(args.node_sync.as_deref().unwrap_or(&beside));
    job(&mut command, &args.job);
    command.args(["--json", "--window", &window.to_string(), "--dir"]).arg(dir.path()).stderr(Stdio::inherit());
    let output = command.output()?;
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let micros = summary["elapsed_us"].as_f64().filter(|_| output.status.success());
    Ok(micros.ok_or_else(|| format!("node-sync has failed: {summary}"))? / 1000.0)
}
