//! Servers for tests and demonstrations: started on free ports of the loopback interface, with their data in a temporary
//! directory, and ended by their process id as they are dropped.
//!
//! The programs are looked for beside the running one, where `.ci/run servers` puts them, and then in `PATH`.

pub mod nats;
#[cfg(unix)]
pub mod postgres;

use std::io::{self, Write};
use std::net::TcpListener;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, id};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use thiserror::Error;

/// If this is set, a test whose server is missing fails, instead of being skipped.
pub const REQUIRED: &str = "LATCHWORK_SERVERS_REQUIRED";

/// Why there is no server.
#[derive(Debug, Error)]
pub enum Error {
    /// Its program is not installed.
    #[error("{program} is not installed, neither beside this program nor in PATH: {how}")]
    Missing {
        /// What it is called.
        program: &'static str,
        /// How to install it.
        how: &'static str,
    },
    /// It did not start, or ended at once.
    #[error("{program} did not start: {why}")]
    Failed {
        /// What it is called.
        program: &'static str,
        /// What it said, or the system.
        why: String,
    },
}

/// What was started. If its program is missing, says that the test is skipped, and gives `None`.
///
/// # Panics
///
/// If it is missing and [required](REQUIRED), or did not start.
pub fn or_skip<T>(started: Result<T, Error>) -> Option<T> {
    match started {
        Ok(server) => Some(server),
        Err(error @ Error::Missing { .. }) if env::var_os(REQUIRED).is_none() => {
            // Not by a macro, whose words a test that passes does not show.
            let name = thread::current().name().unwrap_or_default().to_owned();
            let _unheard = writeln!(io::stderr(), "skipped: {name}: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The program of this name, below `servers` in the target directory of the running program, or in `PATH`.
///
/// # Errors
///
/// If it is in neither.
pub fn find(program: &'static str, below: &str, how: &'static str) -> Result<PathBuf, Error> {
    let beside = env::current_exe().unwrap_or_default();
    let installed = beside.ancestors().skip(1).map(|folder| folder.join("servers").join(below));
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&path).map(|folder| folder.join(program));
    installed.chain(in_path).find(|file| file.is_file()).ok_or(Error::Missing { program, how })
}

/// A process, which is killed and waited for as this is dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// If the system does.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.spawn().map(Self)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().ok().flatten()
    }

    /// Stops it where it is, as the signal `STOP` does, and returns once it stands still: one of its threads has to take the
    /// signal, and while that one waits for a processor the others go on.
    ///
    /// # Panics
    ///
    /// If it does not stand still in time. Where the system does not say so it is not waited for.
    pub fn freeze(&self) {
        self.signal("STOP");
        let stands_still = eventually(Duration::from_secs(10), || self.stands_still().then_some(()));
        assert!(stands_still.is_some(), "process {} goes on after the signal STOP", self.id());
    }

    /// Whether each of its threads does, or the system does not say.
    fn stands_still(&self) -> bool {
        let Ok(threads) = fs::read_dir(format!("/proc/{}/task", self.id())) else { return true };
        threads.filter_map(Result::ok).all(|thread| {
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The name before the state is in brackets, and may have such in it.
            stat.rsplit_once(')').is_none_or(|(_, state)| state.trim_start().starts_with(['T', 't', 'Z', 'X']))
        })
    }

    /// Has it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "process {id} cannot be sent the signal {name}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// So many ports that are free on the loopback interface, from below those that the system gives to connections. No other
/// process that asks here has them as long as this one lives: not while a server starts, nor while one is killed.
///
/// # Panics
///
/// If there are not so many.
pub fn free_ports(count: usize) -> Vec<u16> {
    static OWN: Mutex<Ports> = Mutex::new(Ports { blocks: Vec::new(), left: 0..0 });
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    (0..count).map(|_| own.next()).collect()
}

/// Blocks of ports that a process has to itself: it listens at the first one of each.
struct Ports {
    blocks: Vec<TcpListener>,
    left: Range<u16>,
}

impl Ports {
    fn next(&mut self) -> u16 {
        loop {
            match self.left.find(|&port| listen(port).is_some()) {
                Some(port) => return port,
                None => self.take_a_block(),
            }
        }
    }

    fn take_a_block(&mut self) {
        const FIRST: u16 = 10_000;
        const PORTS: u16 = 50;
        const BLOCKS: u32 = 400;
        let block = |number: u32| FIRST + (number % BLOCKS) as u16 * PORTS;
        let mut blocks = (id()..id() + BLOCKS).map(block);
        let free = blocks.find_map(|first| Some((first, listen(first)?)));
        let (first, listener) = free.expect("there are free ports");
        self.blocks.push(listener);
        self.left = first + 1..first + PORTS;
    }
}

fn listen(port: u16) -> Option<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).ok()
}

/// Asks again every few milliseconds until there is an answer, for so long at most.
pub fn eventually<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() > end {
            return answer;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn free_ports_are_of_no_other_process() {
        let new = || Ports { blocks: Vec::new(), left: 0..0 };
        let [mut one, mut other] = [new(), new()];
        // More than a block has, in turns.
        let both: Vec<_> = (0..120).map(|round| if round % 2 == 0 { one.next() } else { other.next() }).collect();
        assert_eq!(both.iter().collect::<HashSet<_>>().len(), both.len(), "{both:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn freeze_returns_once_the_process_stands_still() {
        // More of them than there are processors.
        let busy = || Process::start(Command::new("sh").args(["-c", "while :; do :; done"])).unwrap();
        let processes: Vec<_> = (0..4).map(|_| busy()).collect();
        for round in 0..10 {
            for process in &processes {
                process.freeze();
                let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
                assert!(stat.contains(") T "), "in round {round}: {stat}");
            }
            processes.iter().for_each(Process::thaw);
        }
    }
}
