//! Servers that the command has started by itself, and what becomes of one that is killed.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use latchwork::Latch;
use serde::Serialize;
use servers::nats::Nats;

use crate::Servers;
use crate::elsewhere::Address;
use crate::run::Result;

/// How many there are. One may be gone.
const COUNT: usize = 3;

const STREAM: &str = "node-sync";

/// How often a server is asked how much is taken.
const LOOK: Duration = Duration::from_millis(20);

/// How long it may take until what was taken before a kill is known everywhere.
const SETTLED: Duration = Duration::from_millis(200);

/// Servers that end as this is dropped.
pub struct Started(Mutex<Nats>);

/// What became of a server that led.
#[derive(Debug, Clone, Serialize)]
pub struct Failover {
    /// Which one it was.
    server: usize,
    /// When it was killed, from the beginning of the job on.
    killed_after_ms: u128,
    /// How many events had been taken by then.
    taken: u64,
    /// How long after that the next was taken; none if nothing was left.
    next_after_ms: Option<u128>,
}

impl Started {
    pub fn start(servers: Servers) -> Result<Self> {
        let Servers::Nats = servers;
        Ok(Self(Mutex::new(Nats::start_durable(COUNT)?)))
    }

    pub fn address(&self) -> Address {
        Address::Nats { servers: self.nats().url(), stream: Some(STREAM.to_owned()) }
    }

    fn nats(&self) -> impl std::ops::DerefMut<Target = Nats> + '_ {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills the server that leads, once so many events are taken, and waits until the next is, or all is over.
    pub fn kill_leader(&self, after: u64, begun: Instant, over: &Latch) -> Option<Failover> {
        let taken = || self.nats().messages(STREAM).unwrap_or(0);
        let goes_on = |time| !over.opened().wait_timeout(time).is_ready();
        while taken() < after {
            goes_on(LOOK).then_some(())?;
        }
        let server = loop {
            if let Some(leader) = self.nats().leader(STREAM) {
                break leader;
            }
            goes_on(LOOK).then_some(())?;
        };
        self.nats().kill(server);
        let killed = Instant::now();
        let _over = goes_on(SETTLED);
        let before = taken();
        let mut failover =
            Failover { server, killed_after_ms: (killed - begun).as_millis(), taken: before, next_after_ms: None };
        loop {
            if taken() > before {
                failover.next_after_ms = Some(killed.elapsed().as_millis());
                return Some(failover);
            }
            if !goes_on(LOOK) {
                return Some(failover);
            }
        }
    }
}

impl fmt::Display for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, killed_after_ms, taken, next_after_ms } = self;
        write!(
            f,
            "failover: server n{server}, the leader, was killed after {killed_after_ms} ms, with {taken} events taken; "
        )?;
        match next_after_ms {
            Some(time) => write!(f, "the next were taken {time} ms later"),
            None => f.write_str("nothing was left to be taken"),
        }
    }
}
