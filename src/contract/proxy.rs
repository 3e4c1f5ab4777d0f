//! A proxy that cuts connections.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A proxy between a client and its server, for whatever speaks TCP. It passes on what it gets, until it is told otherwise.
///
/// It lives on threads of its own. As it is dropped, its connections end.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the client to the server.
    Requests,
    /// From the server to the client.
    Answers,
}

struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many bytes have been passed on each way.
    passed: [u64; 2],
    /// When so many have been passed on that way, the connection of the last one is cut.
    cut: Option<(Way, u64)>,
    delay: Duration,
    swallows: bool,
    is_over: bool,
    connections: Vec<Connection>,
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// Bytes of it are missing.
    has_gap: bool,
}

impl Connection {
    fn cut(&self) {
        // An error says that it has ended.
        _ = self.client.shutdown(Shutdown::Both);
        _ = self.server.shutdown(Shutdown::Both);
    }
}

impl Proxy {
    /// Starts one, to the server at this address.
    ///
    /// # Errors
    ///
    /// If there is no port to be had, or no thread.
    pub fn new(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { server, state: Mutex::default() });
        let accepting = Arc::clone(&shared);
        thread::Builder::new().spawn(move || {
            for client in listener.incoming() {
                if accepting.state().is_over {
                    return;
                }
                // A client that is not connected finds its connection ended.
                _ = client.and_then(|client| accept(&accepting, client));
            }
        })?;
        Ok(Self { address, shared })
    }

    /// Where clients find it.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many bytes it has passed on this way.
    #[must_use]
    pub fn passed(&self, way: Way) -> u64 {
        self.shared.state().passed[way as usize]
    }

    /// Cuts the connection, both ways, of which the last one of so many more bytes is passed on: once. With none, it is the
    /// connection of the first byte that is not passed on.
    pub fn cut_after(&self, way: Way, bytes: u64) {
        let mut state = self.shared.state();
        state.cut = Some((way, state.passed[way as usize] + bytes));
    }

    /// Cuts all connections that there are.
    pub fn cut(&self) {
        self.shared.state().connections.drain(..).for_each(|connection| connection.cut());
    }

    /// Has what comes from now on wait so long, each time.
    pub fn delay(&self, time: Duration) {
        self.shared.state().delay = time;
    }

    /// Takes what comes from now on and passes nothing on, until it is [healed](Self::heal).
    pub fn swallow(&self) {
        self.shared.state().swallows = true;
    }

    /// Passes on what comes from now on, as at first. Connections of which something was swallowed are cut.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        (state.cut, state.delay, state.swallows) = (None, Duration::ZERO, false);
        state.connections.retain(|connection| {
            if connection.has_gap {
                connection.cut();
            }
            !connection.has_gap
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.cut();
        // The thread that accepts looks up.
        _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of these bytes may be passed on, and whether the connection goes on then.
    fn admit(&self, way: Way, bytes: usize, port: SocketAddr) -> (usize, bool) {
        let mut state = self.state();
        if state.swallows {
            let of = |connection: &&mut Connection| connection.client.peer_addr().is_ok_and(|other| other == port);
            state.connections.iter_mut().find(of).into_iter().for_each(|connection| connection.has_gap = true);
            return (0, true);
        }
        let passed = &mut state.passed[way as usize];
        let before = *passed;
        *passed += bytes as u64;
        match state.cut {
            Some((cut, at)) if cut == way && before + bytes as u64 >= at.max(before + 1) => {
                state.cut = None;
                let allowed = at - before;
                state.passed[way as usize] = at;
                (allowed as usize, false)
            }
            _ => (bytes, true),
        }
    }
}

fn accept(shared: &Arc<Shared>, client: TcpStream) -> io::Result<()> {
    let server = TcpStream::connect(shared.server)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (port, mut from_client, mut from_server) = (client.peer_addr()?, client.try_clone()?, server.try_clone()?);
    let (mut to_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    {
        let mut state = shared.state();
        state.connections.retain(|connection| connection.client.peer_addr().is_ok());
        state.connections.push(Connection { client, server, has_gap: false });
    }
    let (requests, answers) = (Arc::clone(shared), Arc::clone(shared));
    thread::Builder::new().spawn(move || pump(&requests, Way::Requests, port, &mut from_client, &mut to_server))?;
    thread::Builder::new().spawn(move || pump(&answers, Way::Answers, port, &mut from_server, &mut to_client))?;
    Ok(())
}

/// Passes on what comes, until one side ends or the connection is cut; then it is, both ways.
fn pump(shared: &Shared, way: Way, port: SocketAddr, from: &mut TcpStream, to: &mut TcpStream) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        let delay = shared.state().delay;
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        let (allowed, goes_on) = shared.admit(way, read, port);
        if to.write_all(&bytes[..allowed]).is_err() || !goes_on {
            break;
        }
    }
    for stream in [from, to] {
        _ = stream.shutdown(Shutdown::Both);
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, shared } = self;
        f.debug_struct("Proxy").field("address", address).field("server", &shared.server).finish_non_exhaustive()
    }
}
