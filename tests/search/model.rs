//! The states and actions, for the checker.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use latchwork::protocol::Direction;
use stateright::{Model, Property};

use super::client::{Client, PushCall, Step, World};
use super::faults::Fault;
use super::graph::Graph;
use super::laws::{Broken, Law};

/// An event: who committed it, and as which of theirs.
pub type Event = u8;

pub fn event(author: u8, number: usize) -> Event {
    author << 4 | u8::try_from(number).expect("few events")
}

pub fn author(event: Event) -> u8 {
    event >> 4
}

/// What is searched.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    pub name: &'static str,
    /// How many events each client commits.
    pub events: &'static [u8],
    /// How many things may go wrong.
    pub budget: u8,
    /// Which.
    pub faults: &'static [Fault],
    pub live: bool,
    pub rebasing: bool,
    /// The most events in a push.
    pub batch: usize,
    /// The most events in a page.
    pub page: usize,
    /// Whether upstream names its head when it rejects.
    pub tells_head: bool,
    /// An upstream that appends whatever it is given, and so breaks its contract.
    pub takes_anything: bool,
    /// The laws to look at; all if there are none.
    pub laws: &'static [Law],
}

impl Config {
    /// Two clients, an event each, and one fault of any kind.
    pub const BASE: Self = Self {
        name: "",
        events: &[1, 1],
        budget: 1,
        faults: super::faults::ALL,
        live: true,
        rebasing: false,
        batch: 2,
        page: 1,
        tells_head: true,
        takes_anything: false,
        laws: &[],
    };

    pub fn clients(&self) -> u8 {
        u8::try_from(self.events.len()).expect("few clients")
    }

    pub fn asks(&self, law: Law) -> bool {
        self.laws.is_empty() || self.laws.contains(&law)
    }
}

#[derive(Debug)]
pub struct Search {
    pub config: Config,
    /// The steps that the search has come by: from which state to which.
    pub steps: Mutex<Graph>,
    /// Whether a breach has been reported. The checker keeps the last that it is told of; the first is the nearest.
    pub reported: AtomicBool,
    /// The faults that have happened, a bit for each.
    pub happened: AtomicU32,
    /// Random walks: there is no graph to keep.
    pub walks: bool,
}

#[derive(Debug, Clone)]
pub struct State {
    pub clients: Vec<Client>,
    pub upstream: Vec<Event>,
    /// How many things may still go wrong.
    pub budget: u8,
    pub broken: Broken,
    /// What is compared, condensed.
    print: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Commit(u8),
    Step(u8, Step),
    LateArrives(u8, usize),
    Goes(u8, Fault),
}

impl Search {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            steps: Mutex::default(),
            reported: AtomicBool::new(false),
            happened: AtomicU32::new(0),
            walks: false,
        }
    }
}

impl State {
    fn new(config: &Config) -> Self {
        let clients = (0..).zip(config.events).map(|(id, &events)| Client::new(id, events, config)).collect();
        let (upstream, broken) = (Vec::new(), Broken::default());
        let mut state = Self { clients, upstream, budget: config.budget, broken, print: 0 };
        state.settle(config);
        state
    }

    /// Drops what can have no effect, and takes the print.
    fn settle(&mut self, config: &Config) {
        let head = self.upstream.len() as u64;
        for client in &mut self.clients {
            // Upstream's head only grows: a batch that does not follow it now never will.
            client.late.retain(|batch| batch.base == head || config.takes_anything);
        }
        let mut hasher = DefaultHasher::new();
        self.clients.iter().for_each(|client| client.print(&mut hasher));
        (&self.upstream, self.budget, self.broken).hash(&mut hasher);
        self.print = hasher.finish();
    }
}

impl Client {
    /// Hashes what is compared.
    fn print(&self, hasher: &mut impl Hasher) {
        (self.protocol.shape(), self.uncommitted, self.asleep, self.unresolved).hash(hasher);
        if let Some(PushCall { batch, answer, interrupted }) = &self.push {
            (batch.base, &batch.entries, answer, interrupted, self.protocol.is_sending(batch)).hash(hasher);
        }
        self.late.iter().for_each(|batch| (batch.base, &batch.entries).hash(hasher));
        (&self.pull, self.protocol.is_pulling(self.pull_ticket)).hash(hasher);
        [Direction::Push, Direction::Pull].map(|direction| self.is_paused(direction)).hash(hasher);
        (self.push.is_some(), self.late.len()).hash(hasher);
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.print.hash(hasher);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

impl Model for Search {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.config)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if Law::ALL.iter().any(|&law| self.config.asks(law) && state.broken.contains(law)) {
            return;
        }
        let mut steps = Vec::new();
        for client in &state.clients {
            let id = client.id;
            if client.uncommitted > 0 {
                actions.push(Action::Commit(id));
            }
            client.steps(&self.config, &state.upstream, &mut steps);
            actions.extend(steps.drain(..).map(|step| Action::Step(id, step)));
            actions.extend((0..client.late.len()).map(|index| Action::LateArrives(id, index)));
            if state.budget > 0 {
                let may = self.config.faults.iter().filter(|&&fault| client.may_suffer(fault, &self.config));
                actions.extend(may.map(|&fault| Action::Goes(id, fault)));
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        let (Action::Commit(id) | Action::Step(id, _) | Action::LateArrives(id, _) | Action::Goes(id, _)) = action;
        let mut world = World { upstream: &mut next.upstream, broken: &mut next.broken, config: &self.config };
        let client = &mut next.clients[usize::from(id)];
        match action {
            Action::Commit(_) => client.commit(&mut world),
            Action::Step(_, step) => client.step(step, &mut world),
            Action::LateArrives(_, index) => client.arrive_late(index, &mut world),
            Action::Goes(_, fault) => {
                next.budget -= 1;
                self.happened.fetch_or(1 << fault as u32, Ordering::Relaxed);
                client.suffer(fault, &mut world);
            }
        }
        next.settle(&self.config);
        if matches!(action, Action::Step(..)) && !self.walks {
            self.steps.lock().expect("nobody panics while it is held").add(state.print, next.print);
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Law::properties()
    }
}
