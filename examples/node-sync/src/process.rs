//! A client as a process of its own.
//!
//! It is told what to do by one line on its standard input, and to end when that is closed, so it also ends when what
//! started it is gone. It tells how far it is on its standard output, a line each. It can be killed at any time.

use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use latchwork::{Cause, Interrupt};
use serde::{Deserialize, Serialize};

use crate::job::Job;
use crate::node::{Progress, Report, Task};
use crate::trail::{Hold, Point, Trail};

/// How long a client may take to end once it has been asked to.
pub const SOON: Duration = Duration::from_secs(5);

/// What a client is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Where the files are.
    pub dir: PathBuf,
    /// Where upstream is, if it is not a file beside them.
    pub upstream: Option<String>,
    /// What all clients are to do.
    pub job: Job,
    /// Which client it is.
    pub index: usize,
    /// When it gives up.
    pub time_limit: Duration,
    /// How often it tells how far it is.
    pub tick: Duration,
    /// Where it is to stand still, to be killed there.
    pub hold: Option<Hold>,
}

/// What a client tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Message {
    /// How far it is.
    Progress {
        /// Its events that are durable here.
        committed: u64,
        /// Events of any client that are applied here.
        applied: u64,
    },
    /// It stands still.
    Held(Point),
    /// It has ended.
    Report(Box<Report>),
    /// It could not go on, and why.
    Error(String),
}

impl From<&Progress> for Message {
    fn from(progress: &Progress) -> Self {
        let (committed, applied) = progress.get();
        Self::Progress { committed, applied }
    }
}

/// A client process, as its parent sees it. Dropping it closes its input: it ends soon.
#[derive(Debug)]
pub struct ClientProcess {
    child: Child,
    input: Option<ChildStdin>,
}

/// What a client process tells, as it comes.
#[derive(Debug)]
pub struct Messages(Lines<BufReader<ChildStdout>>);

impl ClientProcess {
    /// Starts `program`, which is to call [`run`], and tells it what to do.
    ///
    /// # Errors
    ///
    /// If that is not possible.
    pub fn start(program: &Path, order: &Order) -> io::Result<(Self, Messages)> {
        let mut command = Command::new(program);
        let mut child = command.arg("--client").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("it is a pipe"));
        let mut process = Self { child, input };
        let line = serde_json::to_string(order)? + "\n";
        // A client that has ended already says why on its output.
        let _gone = process.input.as_mut().expect("it is a pipe").write_all(line.as_bytes());
        Ok((process, Messages(BufReader::new(output).lines())))
    }

    /// Its process number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end.
    pub fn ask_to_end(&mut self) {
        self.input = None;
    }

    /// Kills it, at whatever it is doing.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

impl Iterator for Messages {
    type Item = io::Result<Message>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.0.next()?;
        Some(line.and_then(|line| serde_json::from_str(&line).map_err(io::Error::from)))
    }
}

/// Works as a client, on standard input and output. Returns whether everything has arrived.
///
/// # Errors
///
/// If it is not told what to do.
pub fn run<E: ToString>(work: impl FnOnce(&Order, Arc<Trail>, Task<'_>) -> Result<Report, E>) -> io::Result<bool> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    let stop = Interrupt::new();
    let stopper = stop.clone();
    thread::spawn(move || {
        // Nothing more is said. However it ends, its parent is gone.
        let _closed = io::stdin().read_to_end(&mut Vec::new());
        stopper.set(Cause::Stop);
        thread::sleep(SOON);
        // Something keeps it. It can be killed at any time, so also by itself.
        std::process::exit(1);
    });
    let trail = Arc::new(match order.hold {
        Some(hold) => Trail::with_hold(hold, |point| say(&Message::Held(point))),
        None => Trail::default(),
    });
    let (progress, ended) = (Progress::default(), AtomicBool::new(false));
    let share = &order.job.shares()[order.index];
    let deadline = Instant::now() + order.time_limit;
    let worked = thread::scope(|scope| {
        let telling = scope.spawn(|| {
            let mut told = String::new();
            while !ended.load(Ordering::Acquire) {
                tell(&progress, &mut told);
                thread::park_timeout(order.tick);
            }
            tell(&progress, &mut told);
        });
        let task = Task { job: &order.job, share, deadline, stop: &stop, progress: &progress };
        let worked = work(&order, trail, task);
        ended.store(true, Ordering::Release);
        telling.thread().unpark();
        worked
    });
    Ok(match worked {
        Ok(report) => {
            let complete = report.complete;
            say(&Message::Report(Box::new(Report { peak_memory_kib: peak_memory_kib(), ..report })));
            complete
        }
        Err(error) => {
            say(&Message::Error(error.to_string()));
            false
        }
    })
}

/// Tells how far it is, unless that is what was told last.
fn tell(progress: &Progress, told: &mut String) {
    let message = Message::from(progress);
    let line = format!("{message:?}");
    if line != *told {
        say(&message);
        *told = line;
    }
}

fn say(message: &Message) {
    let line = serde_json::to_string(message).expect("a message is plain data") + "\n";
    let mut out = io::stdout().lock();
    // If its parent is gone, standard input is closed too, and this client ends.
    let _unheard = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

/// The most memory that this process had, where the system tells.
#[must_use]
pub fn peak_memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
