//! The command: see `--help`.

mod h001;
mod run;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use node_sync::job::Job;

/// Syncs todo lists between clients through one upstream, and checks that everything arrived everywhere.
///
/// Each client has a SQLite file of its own, with its log and its todos; upstream is another file. All clients commit at
/// once, so their pushes meet: one is taken, the others are behind, pull, rebase what they have pending, and push again.
/// At the end all files are read and compared.
///
/// Exit code: 0 if everything arrived everywhere, 1 if not, 2 if it could not begin.
#[derive(Debug, Parser)]
#[command(name = "node-sync", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Todos that each client adds, one number for each client.
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_value = "400,391")]
    todos: Vec<u64>,
    /// After so many todos a client edits one todo that all share, so that rebases have something to redo; 0 is never.
    #[arg(long, value_name = "N", default_value_t = 10)]
    edit_every: u64,
    /// Events in a commit. Each commit is durable before it returns.
    #[arg(long, value_name = "N", default_value = "1")]
    commit_batch: NonZeroUsize,
    /// The most events in a push.
    #[arg(long, value_name = "N", default_value = "100")]
    push_batch: NonZeroUsize,
    /// The most events in a page of a pull.
    #[arg(long, value_name = "N", default_value = "100")]
    page: NonZeroUsize,
    /// Chooses the titles of the todos.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where upstream is: in a file, or in memory (with `--processes one`).
    #[arg(long, value_enum, default_value_t = Place::File)]
    upstream: Place,
    /// Whether each client is a process of its own, or all are threads of one.
    #[arg(long, value_enum, default_value_t = Processes::Many)]
    processes: Processes,
    /// Where the files are, and stay. What is there is continued. Otherwise a temporary directory that is removed.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Gives up after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    time_limit: u64,
    /// Prints the summary as JSON, and no progress.
    #[arg(long)]
    json: bool,
    /// Works as this client, for a parent process.
    #[arg(long, value_name = "INDEX", hide = true)]
    client: Option<usize>,
    /// How often a client tells its parent how far it is, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 250, hide = true)]
    tick: u64,
}

/// What else it can do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Shows H001: a pusher that waits for ever, why, and that it is gone.
    ///
    /// The code that ships is run with the known bug switched on, on a stage where the same happens each time. Exit code:
    /// 0 if everything was as it is told, 1 if not.
    H001 {
        /// What is printed.
        #[arg(long, value_enum, default_value_t = h001::Format::Text)]
        format: h001::Format,
    },
}

/// Where upstream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// In `upstream.db`.
    File,
    /// In memory.
    Memory,
}

/// How clients run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Processes {
    /// As threads.
    One,
    /// As processes.
    Many,
}

impl Args {
    fn job(&self) -> Job {
        Job {
            todos: self.todos.clone(),
            edit_every: self.edit_every,
            commit_batch: self.commit_batch,
            push_batch: self.push_batch,
            page: self.page,
            seed: self.seed,
        }
    }

    /// What is wrong with the options, in a sentence.
    fn impossible(&self) -> Option<&'static str> {
        const MANY: u64 = 100_000_000;
        match () {
            () if self.upstream == Place::Memory && self.processes == Processes::Many => {
                Some("an upstream in memory cannot be shared by processes: say --processes one")
            }
            () if self.upstream == Place::Memory && self.dir.is_some() => {
                Some("an upstream in memory cannot be continued: --dir needs --upstream file")
            }
            () if self.todos.len() > 64 => Some("more than 64 clients are too many"),
            () if self.todos.iter().any(|&todos| todos > MANY) => Some("more than 100000000 todos are too many"),
            () if self.time_limit == 0 || self.time_limit > 1_000_000 => {
                Some("the time limit must be between 1 and 1000000 seconds")
            }
            () if self.client.is_some_and(|index| index >= self.todos.len() || self.dir.is_none()) => {
                Some("a client needs its number of todos and a directory")
            }
            () => None,
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::H001 { format }) = args.command {
        return match h001::run(format) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("node-sync h001: {error}");
                ExitCode::from(1)
            }
        };
    }
    let done = match args.impossible() {
        Some(sentence) => Err(sentence.into()),
        None => run::run(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("node-sync: {error}");
            ExitCode::from(2)
        }
    }
}
