//! PostgreSQL: one server, with a database of its own.
//!
//! A server is one process for each connection, all of them children of the one that was started. What is done to the server
//! is done to all: its children do not end as soon as it is killed, and would answer while it is frozen.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Error, Process, eventually, find, free_ports};

const PROGRAM: &str = "postgres";
const HOW: &str = "`.ci/run servers` installs it in a checkout, `apt-get install postgresql` on Debian, and \
                   www.postgresql.org/download has other ways";

/// How long a server may take to begin, or to end.
const SOON: Duration = Duration::from_secs(30);

/// The user without rights, and its group, as Linux numbers them.
const WITHOUT_RIGHTS: u32 = 65_534;

/// Who may not connect without a password: a role that is called so.
pub const WITH_PASSWORD: &str = "with_password";

/// A server. It ends as this is dropped, and its data goes with it.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    port: u16,
    /// What it is told as it starts, each `name=value`.
    settings: Vec<String>,
    /// Who it runs as, if not as this process: the superuser may not run it.
    user: Option<u32>,
    process: Option<Process>,
    dir: TempDir,
}

impl Postgres {
    /// Starts a server, and waits until it takes connections. A crash of its processes loses nothing that it has confirmed; one
    /// of the machine may, since nothing waits for the disk.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(&["fsync=off"])
    }

    /// The same, with settings of one's own instead, each `name=value`.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn start_with(settings: &[&str]) -> Result<Self, Error> {
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let mut postgres = Self::without_data(settings)?;
        postgres.initialize()?;
        postgres.restart()?;
        Ok(postgres)
    }

    fn without_data(settings: Vec<String>) -> Result<Self, Error> {
        let programs = programs()?;
        let dir = tempfile::tempdir().map_err(failed)?;
        let is_superuser = fs::metadata(dir.path()).map_err(failed)?.uid() == 0;
        let user = is_superuser.then_some(WITHOUT_RIGHTS);
        if let Some(user) = user {
            chown(dir.path(), Some(user), Some(user)).map_err(failed)?;
        }
        Ok(Self { programs, port: free_ports(1)[0], settings, user, process: None, dir })
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn initialize(&self) -> Result<(), Error> {
        let mut command = self.program("initdb");
        command.arg("-D").arg(self.data()).args(["-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync"]);
        let made = command.output().map_err(failed)?;
        if !made.status.success() {
            let why = String::from_utf8_lossy(&made.stderr).trim().to_owned();
            return Err(Error::Failed { program: "initdb", why });
        }
        let rules = format!("host all {WITH_PASSWORD} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n");
        fs::write(self.data().join("pg_hba.conf"), rules).map_err(failed)
    }

    /// Where clients connect to it.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Its database, as clients are told of it.
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address())
    }

    /// Kills it with all its processes, wherever they are.
    pub fn kill(&mut self) {
        let Some(process) = self.process.take() else { return };
        let children = self.children(&process);
        drop(process);
        signal("KILL", &children);
        wait_until_gone(&children);
    }

    /// Ends it as its administrator would: connections are ended, and all is written.
    ///
    /// # Panics
    ///
    /// If it does not end in time.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        process.signal("INT");
        eventually(SOON, || process.ended()).expect("PostgreSQL ends once it is told to");
    }

    /// Starts it again, with its data and on its port, and waits until it takes connections.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn restart(&mut self) -> Result<(), Error> {
        let log_path = self.dir.path().join("log");
        let log = fs::File::options().create(true).append(true).open(&log_path).map_err(failed)?;
        let mut command = self.program(PROGRAM);
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        // In files among its data, which are removed with them.
        command.args(["-c", "dynamic_shared_memory_type=mmap"]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command.stderr(log);
        self.process = Some(Process::start(&mut command).map_err(failed)?);
        // Its last line says whether it takes connections.
        let state = self.data().join("postmaster.pid");
        let process = self.process.as_mut().expect("it has just been started");
        let id = process.id().to_string();
        let is_ready = |file: String| {
            file.lines().next() == Some(&id) && file.lines().last().is_some_and(|line| line.trim() == "ready")
        };
        let ready = eventually(SOON, || {
            let is_ready = fs::read_to_string(&state).is_ok_and(is_ready);
            if is_ready { Some(true) } else { process.ended().map(|_| false) }
        });
        if ready == Some(true) {
            return Ok(());
        }
        let said = fs::read_to_string(log_path).unwrap_or_default();
        Err(Error::Failed { program: PROGRAM, why: said.lines().last().unwrap_or("it says nothing").to_owned() })
    }

    fn backup(&self) -> PathBuf {
        self.dir.path().join("backup")
    }

    /// Copies its data, as they are between a stop and a start: of a backup before, nothing is left.
    ///
    /// # Errors
    ///
    /// If it does not start again.
    pub fn back_up(&mut self) -> Result<(), Error> {
        self.stop();
        copy(&self.data(), &self.backup())?;
        self.restart()
    }

    /// Puts the data back that were copied, and begins with them.
    ///
    /// # Errors
    ///
    /// If it does not start again.
    pub fn restore(&mut self) -> Result<(), Error> {
        self.stop();
        copy(&self.backup(), &self.data())?;
        self.restart()
    }

    /// Another server, with the data that were copied, as a standby that follows no other server.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn second(&self) -> Result<Self, Error> {
        let mut second = Self::without_data(self.settings.clone())?;
        copy(&self.backup(), &second.data())?;
        second.stand_by()?;
        Ok(second)
    }

    /// Has it start as a standby that follows no other server from now on: it may be read, and not written.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn stand_by(&mut self) -> Result<(), Error> {
        self.stop();
        fs::write(self.data().join("standby.signal"), "").map_err(failed)?;
        self.restart()
    }

    /// Stops all its processes where they are: connections stay, and say nothing. New ones are begun, and nothing comes of them.
    pub fn freeze(&self) {
        if let Some(process) = &self.process {
            // First, so that it gets no more children.
            process.freeze();
            signal("STOP", &self.children(process));
        }
    }

    /// Has them go on.
    pub fn thaw(&self) {
        if let Some(process) = &self.process {
            signal("CONT", &self.children(process));
            process.thaw();
        }
    }

    /// The shared memory that it has, or had when it was killed.
    fn memory(&self) -> Option<String> {
        let state = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        state.lines().nth(6)?.split_whitespace().nth(1).map(str::to_owned)
    }

    fn children(&self, process: &Process) -> Vec<u32> {
        let listed = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().expect("`ps` can be run");
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let numbers = listed.lines().filter_map(|line| {
            let mut numbers = line.split_whitespace().map(|number| number.parse::<u32>().ok());
            Some((numbers.next()??, numbers.next()??))
        });
        numbers.filter(|(_, parent)| *parent == process.id()).map(|(id, _)| id).collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let memory = self.memory();
        self.kill();
        // Of a killed server the system keeps it, and no more than some thousands of them all.
        if let Some(id) = memory {
            _ = free(&id);
        }
    }
}

/// Frees shared memory. Whether there was any.
fn free(id: &str) -> bool {
    let mut free = Command::new("ipcrm");
    free.args(["-m", id]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Copies a directory, with its owner, in the place of another one.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    if to.exists() {
        fs::remove_dir_all(to).map_err(failed)?;
    }
    let copied = Command::new("cp").arg("-a").args([from, to]).status().map_err(failed)?;
    if copied.success() { Ok(()) } else { Err(failed(io::Error::other("its data cannot be copied"))) }
}

fn failed(error: io::Error) -> Error {
    Error::Failed { program: PROGRAM, why: error.to_string() }
}

/// Where its programs are: as `.ci/run servers` puts them, in `PATH`, or as Debian has them.
///
/// # Errors
///
/// If they are nowhere.
pub fn programs() -> Result<PathBuf, Error> {
    let found =
        find(PROGRAM, "postgres/bin/postgres", HOW).map(|file| file.parent().map(PathBuf::from).unwrap_or_default());
    found.or_else(|missing| {
        let versions = fs::read_dir("/usr/lib/postgresql").map_err(|_| missing)?;
        let bins = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
        let newest = bins.filter(|bin| bin.join("initdb").is_file()).max();
        newest.ok_or(Error::Missing { program: PROGRAM, how: HOW })
    })
}

/// Sends a signal to those of the processes that there still are.
fn signal(name: &str, ids: &[u32]) {
    for id in ids {
        let mut kill = Command::new("kill");
        _ = kill.args(["-s", name, &id.to_string()]).stderr(Stdio::null()).status();
    }
}

fn wait_until_gone(ids: &[u32]) {
    let is_gone = |id: &u32| {
        let mut kill = Command::new("kill");
        !kill.args(["-s", "0", &id.to_string()]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    _ = eventually(SOON, || ids.iter().all(is_gone).then_some(()));
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::{Postgres, free};
    use crate::or_skip;

    #[test]
    fn start_gives_a_server_that_outlives_a_kill_a_stop_and_a_freeze() {
        let Some(mut postgres) = or_skip(Postgres::start()) else { return };
        let connects = |postgres: &Postgres| TcpStream::connect(postgres.address()).is_ok();
        assert!(connects(&postgres));
        postgres.kill();
        assert!(!connects(&postgres));
        postgres.restart().unwrap();
        postgres.freeze();
        postgres.thaw();
        postgres.stop();
        assert!(!connects(&postgres));
        assert_eq!(postgres.memory(), None);
        postgres.stand_by().unwrap();
        assert!(connects(&postgres));
    }

    #[test]
    fn drop_leaves_no_shared_memory() {
        for is_killed in [false, true] {
            let Some(mut postgres) = or_skip(Postgres::start()) else { return };
            let memory = postgres.memory().expect("it says which it has");
            if is_killed {
                postgres.kill();
            }
            drop(postgres);
            assert!(!free(&memory), "killed: {is_killed}");
        }
    }
}
