//! Servers that the command has started by itself, and what becomes of one that is killed.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use latchwork::Latch;
use serde::Serialize;
use servers::nats::Nats;
use servers::postgres::Postgres;

use crate::Servers;
use crate::elsewhere::{self, Address};
use crate::run::Result;

/// How many there are. One may be gone.
const COUNT: usize = 3;

/// What the stream or the log is called.
const NAME: &str = "node-sync";

/// How often a server is asked how much is taken.
const LOOK: Duration = Duration::from_millis(20);

/// How long it may take until what was taken before a kill is known everywhere.
const SETTLED: Duration = Duration::from_millis(200);

/// Servers that end as this is dropped.
pub struct Started(Mutex<Running>);

enum Running {
    Nats(Nats),
    Postgres(Postgres),
}

impl Running {
    /// How many events have been taken, as far as one says.
    fn taken(&self) -> u64 {
        match self {
            Self::Nats(nats) => nats.messages(NAME).unwrap_or(0),
            Self::Postgres(postgres) => elsewhere::head(&postgres.url(), NAME),
        }
    }

    /// Kills the one that orders the events, if there is one now; where there is no other it is started again. Returns which
    /// one it was.
    fn kill_leader(&mut self) -> Option<String> {
        match self {
            Self::Nats(nats) => nats.leader(NAME).map(|leader| {
                nats.kill(leader);
                format!("the leader, server {} of {COUNT}, was killed", leader + 1)
            }),
            Self::Postgres(postgres) => {
                postgres.kill();
                Some(match postgres.restart() {
                    Ok(()) => "the server was killed and started again".to_owned(),
                    // Clients do not get further, and say so.
                    Err(error) => format!("the server was killed, and is gone: {error}"),
                })
            }
        }
    }
}

/// What became of a server that led.
#[derive(Debug, Clone, Serialize)]
pub struct Failover {
    /// Which one it was.
    what: String,
    /// When it was killed, from the beginning of the job on.
    killed_after_ms: u128,
    /// How many events had been taken by then.
    taken: u64,
    /// How long after that the next was taken; none if none was.
    next_after_ms: Option<u128>,
}

impl Servers {
    /// What is started, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Nats => "a cluster of three NATS servers",
            Self::Postgres => "a PostgreSQL server",
        }
    }

    /// Says what has to be installed, if it is not.
    pub fn are_installed(self) -> Result<()> {
        match self {
            Self::Nats => drop(servers::nats::program()?),
            Self::Postgres => drop(servers::postgres::programs()?),
        }
        Ok(())
    }
}

impl Started {
    /// Starts them, which takes seconds.
    pub fn start(servers: Servers) -> Result<Self> {
        let running = match servers {
            Servers::Nats => Running::Nats(Nats::start_durable(COUNT)?),
            // As it is set by default: it writes to the disk before it answers.
            Servers::Postgres => Running::Postgres(Postgres::start_with(&[])?),
        };
        Ok(Self(Mutex::new(running)))
    }

    pub fn address(&self) -> Address {
        let name = Some(NAME.to_owned());
        match &*self.running() {
            Running::Nats(nats) => Address::Nats { servers: nats.url(), stream: name },
            Running::Postgres(postgres) => Address::Postgres { database: postgres.url(), log: name },
        }
    }

    fn running(&self) -> impl std::ops::DerefMut<Target = Running> + '_ {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills the server that leads, once so many events are taken, and waits until the next is, or all is over.
    pub fn kill_leader(&self, after: u64, begun: Instant, over: &Latch) -> Option<Failover> {
        let taken = || self.running().taken();
        let goes_on = |time| !over.opened().wait_timeout(time).is_ready();
        while taken() < after {
            goes_on(LOOK).then_some(())?;
        }
        let (what, killed) = loop {
            let killed = Instant::now();
            if let Some(what) = self.running().kill_leader() {
                break (what, killed);
            }
            goes_on(LOOK).then_some(())?;
        };
        // One server alone knows what was taken as soon as it answers.
        if matches!(*self.running(), Running::Nats(_)) {
            let _over = goes_on(SETTLED);
        }
        let before = taken();
        let mut failover =
            Failover { what, killed_after_ms: (killed - begun).as_millis(), taken: before, next_after_ms: None };
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
        let Self { what, killed_after_ms, taken, next_after_ms } = self;
        write!(f, "failover: after {killed_after_ms} ms, with {taken} events taken, {what}; ")?;
        match next_after_ms {
            Some(time) => write!(f, "the next was taken {time} ms later"),
            None => f.write_str("none was taken after that"),
        }
    }
}
