//! The states and actions, for the checker.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use stateright::Model;

use super::client::{Client, PushCall, Step, World};
use super::faults::Fault;
use super::graph::Graph;
use super::log::{Event, Kind};
use super::properties::{Broken, Property};
use super::upstream::Upstream;

/// What is searched.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    pub name: &'static str,
    /// How many events each client commits.
    pub events: &'static [u8],
    /// Which of them are local-only, a bit for each.
    pub locals: u8,
    /// How many things may go wrong.
    pub budget: u8,
    /// Which.
    pub faults: &'static [Fault],
    /// What may go wrong again and again, for ever.
    pub forever: &'static [Fault],
    pub live: bool,
    pub log: Kind,
    /// The most events in a push.
    pub batch: usize,
    /// The most events in a page.
    pub page: usize,
    /// Whether upstream names its head when it rejects.
    pub tells_head: bool,
    /// Whether upstream says so when a pull has shown everything.
    pub says_when_done: bool,
    /// Whether pulls are answered by a replica that gets what upstream has ordered later.
    pub lags: bool,
    /// Whether upstream knows a batch that it has taken already, and clients rely on that.
    pub idempotent: bool,
    /// The event of the first client's that upstream refuses for good, if there is one.
    pub refuses: Option<usize>,
    /// The most events of a push that upstream takes.
    pub takes: usize,
    /// How many changes may be unwritten; no journal if none may.
    pub journal: usize,
    /// Whether pushes wait for more events.
    pub lingers: bool,
    /// An upstream that appends whatever it is given, and so breaks its contract.
    pub takes_anything: bool,
    /// The properties to look at; all if there are none.
    pub properties: &'static [Property],
}

impl Config {
    /// Two clients, an event each, and one fault that any of them may meet.
    pub const BASE: Self = Self {
        name: "",
        events: &[1, 1],
        locals: 0,
        budget: 1,
        faults: super::faults::COMMON,
        forever: &[],
        live: true,
        log: Kind::Commuting,
        batch: 2,
        page: 1,
        tells_head: true,
        says_when_done: true,
        lags: false,
        idempotent: false,
        refuses: None,
        takes: usize::MAX,
        journal: 0,
        lingers: false,
        takes_anything: false,
        properties: &[],
    };

    /// Whether upstream refuses this event for good.
    pub fn refuses(&self, event: Event) -> bool {
        event.author() == 0 && self.refuses == Some(event.number())
    }

    /// Whether calls are counted: where things go wrong for ever.
    pub fn counts_calls(&self) -> bool {
        !self.forever.is_empty()
    }

    /// Whether this may happen.
    pub fn may(&self, fault: Fault) -> bool {
        self.faults.contains(&fault) || self.forever.contains(&fault)
    }

    pub fn asks(&self, property: Property) -> bool {
        self.properties.is_empty() || self.properties.contains(&property)
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
    pub happened: AtomicU64,
    /// Random walks: there is no graph to keep.
    pub walks: bool,
}

#[derive(Debug, Clone)]
pub struct State {
    pub clients: Vec<Client>,
    pub upstream: Upstream,
    /// How many things may still go wrong.
    pub budget: u8,
    pub broken: Broken,
    /// What is compared, condensed.
    fingerprint: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Commit(u8),
    Step(u8, Step),
    /// The replica that answers pulls gets what upstream has.
    Replicate,
    LateArrives(u8, usize),
    Goes(u8, Fault),
    /// The same, at no cost.
    GoesForEver(u8, Fault),
}

impl Search {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            steps: Mutex::default(),
            reported: AtomicBool::new(false),
            happened: AtomicU64::new(0),
            walks: false,
        }
    }
}

impl Search {
    /// Whether this is a step that is taken sooner or later, so that such steps must come to an end. Time that passes
    /// while a replica lags is none: the replica comes first.
    fn counts_as_step(&self, state: &State, action: Action) -> bool {
        match action {
            Action::Step(_, Step::PushTimer | Step::PullTimer) => !state.upstream.can_replicate(),
            Action::Step(..) | Action::Replicate => true,
            _ => false,
        }
    }
}

impl State {
    fn new(config: &Config) -> Self {
        let clients = (0..).zip(config.events).map(|(id, &events)| Client::new(id, events, config)).collect();
        let (upstream, broken) = (Upstream::default(), Broken::default());
        let mut state = Self { clients, upstream, budget: config.budget, broken, fingerprint: 0 };
        state.settle(config);
        state
    }

    /// Drops what can have no effect, and takes the fingerprint.
    fn settle(&mut self, config: &Config) {
        let head = self.upstream.head();
        for client in &mut self.clients {
            // Upstream's head only grows: a batch that does not follow it now never will. (When it goes back, connections
            // die.) Of two that are the same it takes one.
            let late = std::mem::take(&mut client.late);
            for batch in late.into_iter().filter(|batch| batch.base == head || config.takes_anything) {
                if client.late.iter().all(|other| (other.base, &other.entries) != (batch.base, &batch.entries)) {
                    client.late.push(batch);
                }
            }
        }
        let mut hasher = DefaultHasher::new();
        self.clients.iter().for_each(|client| client.fingerprint(&mut hasher));
        (&self.upstream, self.budget, self.broken).hash(&mut hasher);
        self.fingerprint = hasher.finish();
    }
}

impl Client {
    /// Hashes what is compared.
    fn fingerprint(&self, hasher: &mut impl Hasher) {
        (self.protocol.canonical(), self.uncommitted, self.given_up, self.asleep).hash(hasher);
        (&self.unresolved, self.untold).hash(hasher);
        (self.replaced, self.gone, self.misled, self.refused, self.fits).hash(hasher);
        (self.named, self.halted, self.calls, self.paused).hash(hasher);
        if let Some(PushCall { batch, answer, hangs, interrupted, former, restarted }) = &self.push {
            let latest = self.protocol.is_sending(batch);
            (batch.base, &batch.entries, answer, hangs, interrupted, former, restarted, latest).hash(hasher);
        }
        self.late.iter().for_each(|batch| (batch.base, &batch.entries).hash(hasher));
        (&self.pull, self.protocol.is_pulling(self.pull_ticket)).hash(hasher);
        (self.push.is_some(), self.late.len(), &self.disk).hash(hasher);
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.fingerprint.hash(hasher);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Model for Search {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.config)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if Property::ALL.iter().any(|&property| self.config.asks(property) && state.broken.contains(property)) {
            return;
        }
        let mut steps = Vec::new();
        if state.upstream.can_replicate() {
            actions.push(Action::Replicate);
        }
        for client in &state.clients {
            let id = client.id;
            if client.uncommitted > 0 {
                actions.push(Action::Commit(id));
            }
            client.steps(&self.config, &state.upstream, &mut steps);
            actions.extend(steps.drain(..).map(|step| Action::Step(id, step)));
            actions.extend((0..client.late.len()).map(|index| Action::LateArrives(id, index)));
            let may = |faults: &'static [Fault]| {
                faults.iter().copied().filter(|&fault| client.may_suffer(fault, &self.config, &state.upstream))
            };
            if state.budget > 0 {
                actions.extend(may(self.config.faults).map(|fault| Action::Goes(id, fault)));
            }
            actions.extend(may(self.config.forever).map(|fault| Action::GoesForEver(id, fault)));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        let mut world = World { upstream: &mut next.upstream, broken: &mut next.broken, config: &self.config };
        let clients = &mut next.clients;
        match action {
            Action::Commit(id) => clients[usize::from(id)].commit(&mut world),
            Action::Step(id, step) => clients[usize::from(id)].step(step, &mut world),
            Action::Replicate => world.upstream.replicate(),
            Action::LateArrives(id, index) => clients[usize::from(id)].arrive_late(index, &mut world),
            Action::Goes(id, fault) | Action::GoesForEver(id, fault) => {
                next.budget -= u8::from(matches!(action, Action::Goes(..)));
                self.happened.fetch_or(1 << fault as u32, Ordering::Relaxed);
                clients[usize::from(id)].suffer(fault, &mut world);
            }
        }
        next.settle(&self.config);
        if self.counts_as_step(state, action) && !self.walks {
            self.steps.lock().expect("no panic while it is held").add(state.fingerprint, next.fingerprint);
        }
        Some(next)
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        Property::properties()
    }
}
