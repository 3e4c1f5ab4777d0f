//! The search: breadth first, until there is nothing new.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::thread;
use std::time::{Duration, Instant};

use super::graph::{Cycle, Graph, Label};
use super::properties::{Property, Transition};
use super::state::{Config, State};

/// A fingerprint is a hash already.
#[derive(Default)]
pub struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a fingerprint is a number");
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}

/// Prints of states, in another form.
pub type Forms = HashSet<u64, BuildHasherDefault<Same>>;

type Numbers = HashMap<u64, u32, BuildHasherDefault<Same>>;

/// How a state was first reached: from which, by which of its steps.
#[derive(Debug, Clone, Copy)]
struct Origin {
    from: u32,
    step: u16,
}

/// What the search has seen.
pub struct Seen {
    pub config: Config,
    pub graph: Graph,
    pub numbers: Numbers,
    origins: Vec<Origin>,
    pub forms: Forms,
    /// Whether there is nothing new any more.
    pub whole: bool,
    /// How many states of a known form were compared with the first of that form.
    pub twins: usize,
    pub time: Duration,
    /// What was broken first, and after which state.
    pub breaches: Vec<(Property, u32, Option<u16>)>,
    /// One of them, with the number of the first of its form.
    pub a_twin: Option<(u32, Box<State>)>,
    /// A twin that has other steps than the first of its form.
    pub unlike: Option<String>,
}

/// One step, as it is found.
struct Found {
    label: Label,
    fingerprint: u64,
    step: u16,
    /// Whether the state that it leads to is compared with the first of its form.
    is_twin: bool,
    /// That state, unless it was known and is not compared.
    state: Option<Box<State>>,
}

/// A state with all that follows it.
struct Expanded {
    may_stay: bool,
    found: Vec<Found>,
    breaches: Vec<(Property, Option<u16>)>,
    form: Option<u64>,
}

/// What is looked for.
#[derive(Clone, Copy)]
pub struct Asked {
    /// Only this; all if there is none.
    pub property: Option<Property>,
    /// The forms that are kept, in which concrete states are looked for.
    pub form: Option<fn(&State) -> u64>,
    /// One in so many states of a known form is compared with the first of it; none if zero.
    pub twins: usize,
}

impl Asked {
    pub const ALL: Self = Self { property: None, form: None, twins: 0 };

    /// Whether the state that a step of this one leads to is compared, if it is known: any choice is as good that does not
    /// favour some kind of steps.
    const fn compares(&self, from: u64, step: u16) -> bool {
        let mixed = (from ^ (step as u64)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        self.twins > 0 && mixed % self.twins as u64 == 0
    }
}

fn expand(state: &State, config: &Config, asked: Asked, is_new: impl Fn(u64) -> bool) -> Expanded {
    let steps = state.steps(config);
    let mut breaches = Vec::new();
    state.broken(config, &steps, |property| breaches.push((property, None)));
    let fingerprint = state.fingerprint();
    let mut found: Vec<Found> = Vec::with_capacity(steps.all.len());
    for (&(kind, step), number) in steps.all.iter().zip(0..) {
        let taken = state.take(step, config);
        let transition = Transition { before: state, step, taken: &taken };
        transition.broken(|property| breaches.push((property, Some(number))));
        let label = Label::new(state, kind, step, &taken);
        let to = taken.state.fingerprint();
        // What changes nothing and is not due leads nowhere.
        if to == fingerprint && !label.is_idle() {
            continue;
        }
        let is_twin = asked.compares(fingerprint, number);
        let state = (is_twin || is_new(to)).then(|| Box::new(taken.state));
        found.push(Found { label, fingerprint: to, step: number, is_twin, state });
    }
    Expanded { may_stay: state.may_stay(), found, breaches, form: asked.form.map(|form| form(state)) }
}

/// The steps as a set.
fn as_set(steps: impl IntoIterator<Item = (u32, Label)>) -> Vec<(u32, Label)> {
    let mut set: Vec<_> = steps.into_iter().collect();
    set.sort_unstable();
    set.dedup();
    set
}

/// Does the work of `of` in so many threads as there are cores.
fn in_parallel<T: Send, U: Send>(work: Vec<T>, of: impl Fn(T) -> U + Sync) -> Vec<U> {
    let threads = thread::available_parallelism().map_or(1, Into::into);
    if work.len() < 4 * threads {
        return work.into_iter().map(of).collect();
    }
    let size = work.len().div_ceil(threads);
    let mut work = work.into_iter();
    let chunks: Vec<Vec<T>> = (0..threads).map(|_| work.by_ref().take(size).collect()).collect();
    let of = &of;
    thread::scope(|scope| {
        let running: Vec<_> = chunks
            .into_iter()
            .map(|chunk| scope.spawn(move || chunk.into_iter().map(of).collect::<Vec<_>>()))
            .collect();
        running.into_iter().flat_map(|thread| thread.join().expect("the search does not panic")).collect()
    })
}

impl Seen {
    /// Searches until there is nothing new, or what is asked for is broken.
    pub fn of(config: Config, asked: Asked) -> Self {
        let begun = Instant::now();
        let first = State::new(&config);
        let numbers = Numbers::from_iter([(first.fingerprint(), 0)]);
        let mut seen = Self {
            config,
            graph: Graph::default(),
            numbers,
            forms: Forms::default(),
            origins: vec![Origin { from: 0, step: 0 }],
            whole: false,
            twins: 0,
            time: Duration::ZERO,
            breaches: Vec::new(),
            a_twin: None,
            unlike: None,
        };
        let mut level = vec![first];
        let mut twins = Vec::new();
        while !level.is_empty() && !seen.is_over(asked) {
            level = seen.next_level(level, asked, &mut twins);
        }
        seen.whole = level.is_empty();
        seen.time = begun.elapsed();
        seen
    }

    fn is_over(&self, asked: Asked) -> bool {
        match asked.property {
            Some(property) => self.breaches.iter().any(|(broken, ..)| *broken == property),
            None => !self.breaches.is_empty(),
        }
    }

    fn next_level(&mut self, level: Vec<State>, asked: Asked, twins: &mut Vec<(u32, Box<State>)>) -> Vec<State> {
        let (config, numbers) = (self.config, &self.numbers);
        let expanded = in_parallel(level, |state| {
            expand(&state, &config, asked, |fingerprint| !numbers.contains_key(&fingerprint))
        });
        let mut next = Vec::new();
        for Expanded { may_stay, found, breaches, form } in expanded {
            self.forms.extend(form);
            let from = u32::try_from(self.graph.states()).expect("few states");
            self.breaches.extend(breaches.into_iter().map(|(property, step)| (property, from, step)));
            let mut steps = Vec::with_capacity(found.len());
            for Found { label, fingerprint, step, is_twin, state } in found {
                let new = u32::try_from(self.numbers.len()).expect("few states");
                let to = *self.numbers.entry(fingerprint).or_insert(new);
                match state {
                    Some(state) if to == new => {
                        self.origins.push(Origin { from, step });
                        next.push(*state);
                    }
                    Some(state) if is_twin => twins.push((to, state)),
                    Some(_) | None => {}
                }
                steps.push((to, label));
            }
            self.graph.add(may_stay, as_set(steps));
        }
        let done = u32::try_from(self.graph.states()).expect("few states");
        let (ready, later) = std::mem::take(twins).into_iter().partition(|(first, _)| *first < done);
        *twins = later;
        self.compare(ready);
        next
    }

    /// States of a form that is known: whether they have the steps of the first of that form.
    pub fn compare(&mut self, twins: Vec<(u32, Box<State>)>) {
        self.twins += twins.len();
        self.a_twin = self.a_twin.take().or_else(|| twins.last().cloned());
        let (config, numbers, graph) = (self.config, &self.numbers, &self.graph);
        let unlike = in_parallel(twins, |(first, twin)| {
            let found = expand(&twin, &config, Asked::ALL, |_| false).found;
            let steps: Option<Vec<_>> =
                found.iter().map(|found| Some((*numbers.get(&found.fingerprint)?, found.label))).collect();
            let same = steps.is_some_and(|steps| as_set(steps) == graph.steps(first));
            (!same).then_some((first, twin))
        });
        if let (Some((first, twin)), None) = (unlike.into_iter().flatten().next(), &self.unlike) {
            self.unlike = Some(format!("{}\nhas other steps than the twin {twin:?}", self.story(first, None)));
        }
    }

    /// The steps that lead to a state.
    fn path(&self, state: u32) -> Vec<u16> {
        let mut path = Vec::new();
        let mut at = state;
        while at != 0 {
            let Origin { from, step } = self.origins[at as usize];
            path.push(step);
            at = from;
        }
        path.reverse();
        path
    }

    /// A state, as it was first reached.
    pub fn state(&self, state: u32) -> State {
        self.path(state).into_iter().fold(State::new(&self.config), |at, step| {
            let (_, step) = at.steps(&self.config).all[usize::from(step)];
            at.take(step, &self.config).state
        })
    }

    /// A state and the way there, in words.
    pub fn story(&self, state: u32, last: Option<u16>) -> String {
        let mut story = String::new();
        let mut at = State::new(&self.config);
        for step in self.path(state).into_iter().chain(last) {
            at = self.tell(&at, step, &mut story);
        }
        story
    }

    fn tell(&self, from: &State, step: u16, story: &mut String) -> State {
        let (kind, step) = from.steps(&self.config).all[usize::from(step)];
        let to = from.take(step, &self.config).state;
        let names = [to.protocol.waiting_on(), to.protocol.pull_waiting_on()];
        let (pusher, puller) = (to.protocol.push(), to.protocol.pull());
        *story += &format!(
            "  {kind:?}: {step:?}\n    the pusher {pusher}; the puller {puller}; pending {}, upstream has {} and {}; waiting on {} and {}\n",
            to.pending(),
            to.own,
            to.foreign,
            names[0],
            names[1]
        );
        to
    }

    /// A circle, and the way there.
    pub fn tale(&self, Cycle(states): &Cycle) -> String {
        let mut story = self.story(states[0], None);
        story += "  and from there, round and round:\n";
        let mut at = State::new(&self.config);
        let mut quiet = String::new();
        for step in self.path(states[0]) {
            at = self.tell(&at, step, &mut quiet);
        }
        for &to in &states[1..] {
            let steps = at.steps(&self.config);
            let step = (0..).zip(&steps.all).find(|(_, (_, step))| {
                self.numbers.get(&at.take(*step, &self.config).state.fingerprint()) == Some(&to)
            });
            let Some((step, _)) = step else { return story + "  (the way was not found again)\n" };
            at = self.tell(&at, step, &mut story);
        }
        story
    }

    pub fn depth(&self) -> usize {
        self.path(u32::try_from(self.origins.len() - 1).expect("few states")).len()
    }
}
