//! What is proved, in a form that can be reviewed: runs the models and the state search, writes `loom-tests/REPORT.md`, and
//! says what has become of it.
//!
//! The models know nothing of the report. They write down what they explored (`loom-tests/data.rs`); all the rest is here.

mod data;
mod deep;
mod difference;
mod invariants;
mod report;
mod run;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, io};

use clap::{Parser, ValueEnum};

use data::{Broken, Data};
use difference::Differences;
use report::Report;
use run::Place;

/// Runs the models and the state search, and writes what they explored to loom-tests/REPORT.md.
#[derive(Parser)]
#[command(name = "cargo models", bin_name = "cargo models")]
struct Args {
    /// Only the models whose names contain this: what they explored is compared with the report, which is not written
    filter: Option<String>,
    /// Compare with the report instead of writing it: a difference ends this with exit code 1
    #[arg(long)]
    check: bool,
    /// How to say the difference
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Run nothing, and take what was written down in this file (through LATCHWORK_DATA) or this report (*.md)
    #[arg(long, value_name = "FILE", conflicts_with = "filter")]
    from: Option<PathBuf>,
    /// The report to compare with, instead of loom-tests/REPORT.md
    #[arg(long, value_name = "FILE", requires = "check")]
    against: Option<PathBuf>,
    /// How many models to run at a time [default: one for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Search without bounds and in larger sizes, going on where the last such search was stopped
    #[arg(long, conflicts_with_all = ["check", "from"])]
    deep: bool,
    /// Stop the deep search after so many minutes
    #[arg(long, value_name = "N", requires = "deep")]
    minutes: Option<u64>,
}

#[derive(Clone, Copy, Default, PartialEq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Markdown,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match act(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether all is well.
fn act(args: &Args) -> io::Result<bool> {
    let place = Place::new();
    if args.deep {
        let time = args.minutes.map(|minutes| Duration::from_secs(60 * minutes));
        return deep::search(&place, args.filter.as_deref(), args.jobs, time);
    }
    let (data, passed) = match &args.from {
        Some(file) if file.extension().is_some_and(|extension| extension == "md") => {
            (Data { report: read(file)?, ..Data::default() }, true)
        }
        Some(file) => (place.data(file)?, true),
        None => place.explore(args.filter.as_deref(), args.jobs)?,
    };
    let Data { report, mut broken, listed, .. } = data;
    if !passed && broken.is_empty() {
        let (what, how) = ("the models and the state search".into(), "something failed; the output is above".into());
        broken.push(Broken { what, how });
        // Perhaps nothing was explored at all: what would be missing says nothing.
        return compare(args, &report, &report, &broken, &place.report());
    }
    if args.check || args.filter.is_some() || !broken.is_empty() {
        let old = args.against.clone().unwrap_or_else(|| place.report());
        return compare(args, &read(&old)?, &report, &broken, &old);
    }
    if let Some(unexplored) = listed.iter().find(|listed| !report.models.iter().any(|model| model.name == listed.name))
    {
        return Err(io::Error::other(format!("{} was not explored: the report is not written", unexplored.name)));
    }
    let text = text::write(&report);
    fs::write(place.report(), text)?;
    println!("written: loom-tests/REPORT.md");
    Ok(true)
}

fn read(file: &Path) -> io::Result<Report> {
    let text = fs::read_to_string(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
    text::read(&text).map_err(|error| io::Error::other(format!("{}: {error}", file.display())))
}

fn compare(args: &Args, old: &Report, new: &Report, broken: &[Broken], file: &Path) -> io::Result<bool> {
    // What failed is told as such, not as missing; and when something failed, what comes after it may not have run.
    let failed = |name: &str| broken.iter().any(|broken| broken.what.contains(name));
    let looked_at = |name: &str| match &args.filter {
        Some(filter) => name.contains(filter.as_str()) && !failed(name),
        None => !failed(name),
    };
    let mut differences = Differences::default();
    differences.broken(broken);
    differences.0.append(&mut Differences::between(old, new, looked_at).0);
    let name = file.strip_prefix(Place::new().root).unwrap_or(file).display();
    let markdown = args.format == Format::Markdown;
    if differences.is_empty() {
        // What was not looked at has not changed; of the rest, only words that say nothing may have.
        let stale = args.filter.is_none() && fs::read_to_string(file)? != text::write(new);
        if stale {
            println!(
                "{name}: what is explored is the same, and the words around it are not; `cargo models` writes them"
            );
        } else {
            let models = text::count(new.models.len(), "model");
            println!("{name}: nothing has changed ({models})");
        }
        return Ok(!stale);
    }
    print!("{}", if markdown { differences.markdown() } else { differences.text() });
    if broken.is_empty() && args.filter.is_none() {
        println!("{name} says otherwise; if that is as it should be, write it with `cargo models`");
    }
    Ok(false)
}
