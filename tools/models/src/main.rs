//! What is proved, in a form that can be reviewed: runs the models and the state search, writes `loom-tests/REPORT.md`, and
//! says what has become of it.
//!
//! The models know nothing of the report. They write down what they explored (`loom-tests/data.rs`); all the rest is here.

mod data;
mod deep;
mod difference;
mod invariants;
mod mutate;
mod report;
mod run;
mod text;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, io};

use clap::{Parser, ValueEnum};

use data::{Broken, Data};
use difference::{Differences, Scope};
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
    /// Weaken one ordering, take away one wake-up, one count or one second look at a time, and see whether it is noticed;
    /// the filter selects by `file:line`
    #[arg(long, conflicts_with_all = ["check", "from", "deep", "jobs"])]
    mutate: bool,
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
    if args.mutate {
        return mutate::try_all(&place, args.filter.as_deref());
    }
    let (data, passed) = match &args.from {
        Some(file) if file.extension().is_some_and(|extension| extension == "md") => {
            (Data { report: read(file)?, ..Data::default() }, true)
        }
        Some(file) => (place.data(file)?, true),
        None => place.explore(args.filter.as_deref(), args.jobs)?,
    };
    if args.check || args.filter.is_some() || !passed || !data.broken.is_empty() {
        return compare(args, &place, data, passed);
    }
    if let Some(name) = data.unexplored().next() {
        return Err(io::Error::other(format!("{name} was not explored: the report is not written")));
    }
    fs::write(place.report(), text::write(&data.report))?;
    println!("written: loom-tests/REPORT.md");
    Ok(true)
}

fn read(file: &Path) -> io::Result<Report> {
    let text = fs::read_to_string(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
    text::read(&text).map_err(|error| io::Error::other(format!("{}: {error}", file.display())))
}

fn compare(args: &Args, place: &Place, mut data: Data, passed: bool) -> io::Result<bool> {
    let file = args.against.clone().unwrap_or_else(|| place.report());
    let old = read(&file)?;
    if data.broken.is_empty() && args.filter.is_none() {
        let unexplored: Vec<_> = data.unexplored().map(str::to_owned).collect();
        let how = "was not explored";
        data.broken.extend(unexplored.iter().map(|name| Broken { what: format!("`{name}`"), how: how.into() }));
    }
    if data.broken.is_empty() && !passed {
        let (what, how) =
            ("the models, or the state search".into(), "something failed; the output above says what".into());
        data.broken.push(Broken { what, how });
    }
    let Data { report: new, broken, listed, .. } = &data;
    // When something does not hold, what comes after it may not have run.
    let all_ran = broken.is_empty();
    let selected = |name: &str| args.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()));
    let is_listed = |name: &str| listed.iter().any(|listed| listed.name == name);
    let gone = |name: &str| if listed.is_empty() { all_ran } else { !is_listed(name) };
    let scope = Scope {
        models: &|name| selected(name) && gone(name),
        bugs: all_ran || !listed.is_empty(),
        search: args.filter.is_none() && (all_ran || !new.search_properties.is_empty()),
    };
    let mut differences = Differences::default();
    differences.broken(broken);
    differences.0.append(&mut Differences::between(&old, new, &scope).0);

    let name = file.strip_prefix(&place.root).unwrap_or(&file).display().to_string();
    let stale = differences.is_empty() && args.filter.is_none() && fs::read_to_string(&file)? != text::write(new);
    let mut said = match args.format {
        Format::Text => differences.text(),
        Format::Markdown => differences.markdown(),
    };
    if stale {
        said += &format!(
            "{name}: what is explored is the same, and the words around it are not: `cargo models` writes them\n"
        );
    } else if differences.is_empty() {
        said += &format!("{name}: nothing has changed ({})\n", text::count(new.models.len(), "model"));
    } else if all_ran && args.filter.is_none() && args.against.is_none() {
        said += &format!("{name} says otherwise; if this is as it should be, write it with `cargo models`\n");
    }
    io::stdout().write_all(said.as_bytes())?;
    Ok(differences.is_empty() && !stale)
}
