//! This crate and what one would take instead, side by side: in one process, in turns, pinned.
//!
//! `cargo run --release -p peers-bench` prints each goal with the measured figure and a verdict.

mod advance;
mod cpus;
mod crowd;
mod driver;
mod engines;
mod gates;
mod loops;
mod path;
mod report;
mod restarts;
mod sizes;
mod tasks;
mod turns;
mod wake;

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use crate::cpus::Cpus;
use crate::crowd::Crowd;
use crate::report::Report;

/// This crate and what one would take instead, side by side.
#[derive(Parser)]
struct Options {
    /// Only to see that everything runs: a few short rounds, whose figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// How many times as many rounds as usual.
    #[arg(long, default_value = "1")]
    rounds: NonZeroUsize,
    /// Only the rows whose names contain this.
    #[arg(long, default_value = "")]
    only: String,
    /// Where to write the figures.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where to draw the picture.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Only one turn of very many replicators, in this process.
    #[arg(long, hide = true)]
    crowd: Option<Crowd>,
    /// How many those are.
    #[arg(long, hide = true, default_value = "1")]
    count: usize,
}

/// What every row needs.
#[derive(Debug)]
pub struct Bench {
    /// What has been measured so far.
    pub report: Report,
    /// Where the threads run.
    pub cpus: Cpus,
    quick: bool,
    rounds: usize,
}

impl Bench {
    /// How many rounds there are to be, where so many are usual.
    pub fn rounds(&self, usual: usize) -> usize {
        if self.quick { 2 } else { usual * self.rounds }
    }

    /// How many times to do something in one turn, where so many are usual.
    pub fn count(&self, usual: usize) -> usize {
        if self.quick { usual.div_ceil(100) } else { usual }
    }
}

type Row = (&'static str, fn(&mut Bench));

const ROWS: &[Row] = &[
    ("pass", gates::pass_open),
    ("open-close", gates::open_close),
    ("interrupt", gates::check_interrupt),
    ("wake", wake::round_trips),
    ("vain", wake::waits_in_vain),
    ("tasks", tasks::thousand),
    ("restart", restarts::restart),
    ("burst", restarts::burst),
    ("path", path::commit_to_confirmed),
    ("million", path::million_pending),
    ("advance", advance::advance),
    ("status", path::status),
    ("driver-path", driver::commit_to_confirmed),
    ("driver-advance", driver::advance),
    ("driver-polls", driver::polls),
    ("crowd", crowd::crowds),
    ("memory", sizes::pending),
    ("bytes", sizes::primitives),
];

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), String> {
    if let Some(crowd) = options.crowd {
        crowd::turn(crowd, options.count);
        return Ok(());
    }
    let (quick, rounds) = (options.quick, options.rounds.get());
    let mut bench = Bench { report: Report::default(), cpus: Cpus::of_this_machine(), quick, rounds };
    let rows: Vec<_> = ROWS.iter().filter(|(name, _)| name.contains(&options.only)).collect();
    if rows.is_empty() {
        let names: Vec<_> = ROWS.iter().map(|(name, _)| *name).collect();
        return Err(format!("--only: expected a part of one of {}, got {:?}", names.join(", "), options.only));
    }
    for (name, row) in rows {
        eprintln!("{name} …");
        row(&mut bench);
    }
    print!("{}", bench.report.tables());
    if let Some(path) = options.json {
        let figures = serde_json::to_string_pretty(&bench.report).map_err(|error| unwritten(&path, error))?;
        std::fs::write(&path, figures).map_err(|error| unwritten(&path, error))?;
    }
    if let Some(path) = options.svg {
        svg::save(&path, &bench.report.picture()).map_err(|error| unwritten(&path, error))?;
    }
    Ok(())
}

fn unwritten(path: &Path, error: impl Display) -> String {
    format!("{} cannot be written: {error}", path.display())
}
