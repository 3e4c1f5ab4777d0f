//! What the graph of all states shows, beyond what each state and each step shows.

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use latchwork::protocol::Direction;
use serde_json::json;

use super::data;
use super::graph::{Cycle, Label};
use super::properties::Property;
use super::search::{Asked, Seen};
use super::state::Config;

const ALL_LOOPS: [(Direction, u16, &str); 6] = [
    (Direction::Push, Label::CONFIRMS, "pushes, as events are confirmed"),
    (Direction::Push, Label::NEWS, "pushes, as others' events are merged"),
    (Direction::Push, Label::OWNER, "pushes, as the owner speaks"),
    (Direction::Pull, Label::CONFIRMS, "pulls, as events are confirmed"),
    (Direction::Pull, Label::NEWS, "pulls, as others' events are merged"),
    (Direction::Pull, Label::OWNER, "pulls, as the owner speaks"),
];

const fn begins(of: Direction) -> u16 {
    match of {
        Direction::Push => Label::PUSH_BEGINS,
        Direction::Pull => Label::PULL_BEGINS,
    }
}

const MERGES_OR_OWNER: u16 = Label::NEWS | Label::CONFIRMS | Label::OWNER;

impl Seen {
    /// The first breach of each property that is broken, in words.
    fn breaches(&self) -> Vec<(Property, String)> {
        let mut all: Vec<(Property, String)> = Vec::new();
        for &(property, state, step) in &self.breaches {
            if all.iter().all(|(known, _)| *known != property) {
                all.push((property, self.story(state, step)));
            }
        }
        all
    }

    /// The most steps in a row that consume nothing, and what does not hold. The graph is looked at
    /// if it is whole.
    pub fn judge(&self) -> (usize, Vec<(Property, String)>) {
        let mut all = self.breaches();
        if !self.whole {
            return (0, all);
        }
        let longest = match self.graph.ranks() {
            Ok(ranks) => ranks.into_iter().max().unwrap_or(0) as usize,
            Err(cycle) => {
                all.push((Property::Ends, self.tale(&cycle)));
                0
            }
        };
        if let Some(state) = self.graph.parked_for_ever() {
            all.push((Property::Wakes, self.story(state, None)));
        }
        all.extend(self.storm().map(|story| (Property::NoStorm, story)));
        (longest, all)
    }

    fn storm(&self) -> Option<String> {
        let without = |bits: u16, begins: u16| self.graph.cycle(|label| !label.has(bits), |label| label.has(begins));
        let any = without(Label::TIME | MERGES_OR_OWNER, Label::PUSH_BEGINS | Label::PULL_BEGINS);
        // A pull that ends a push's backoff would let pushes come as fast as pulls fail.
        let pushes = || without(Label::PUSH_TIME | MERGES_OR_OWNER, Label::PUSH_BEGINS);
        if let Some(cycle) = any.or_else(pushes) {
            return Some(self.tale(&cycle));
        }
        let mut loops = self.loops();
        loops.find_map(|(what, is_listed, cycle)| match cycle {
            Some(cycle) if !is_listed => Some(format!("{what}, and no time passes:\n{}", self.tale(&cycle))),
            _ => None,
        })
    }

    /// Calls of one direction that follow each other while one thing alone is consumed: whether
    /// they are listed, and a circle of them.
    fn loops(&self) -> impl Iterator<Item = (&'static str, bool, Option<Cycle>)> {
        ALL_LOOPS.into_iter().map(|(of, by, what)| {
            let listed = self.config.loops.iter().any(|listed| (listed.of, listed.by) == (of, by));
            let cycle = self
                .graph
                .cycle(|label| !label.has(Label::TIME | MERGES_OR_OWNER & !by), |label| label.has(begins(of)));
            (what, listed, cycle)
        })
    }

    /// What is listed, and does not follow each other for ever.
    fn needless(&self) -> Option<String> {
        let needless = self.loops().find(|(_, is_listed, cycle)| *is_listed && cycle.is_none());
        needless.map(|(what, ..)| format!("{what}: they are listed, and do not follow each other for ever"))
    }
}

/// One search at a time: known bugs are switched on for the whole process, and two searches side by
/// side are slower than one after the other.
pub fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints past the harness, which would keep it to itself.
pub fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr");
}

/// Searches all of it, and says what does not hold.
pub fn hold(config: Config, asked: Asked) -> (Seen, Result<(), String>) {
    let seen = Seen::of(config, asked);
    let (longest, broken) = seen.judge();
    let broken: Vec<String> =
        broken.into_iter().map(|(property, story)| format!("{}\n{story}", property.name())).collect();
    let broken: Vec<String> =
        broken.into_iter().chain(seen.unlike.clone()).chain(seen.whole.then(|| seen.needless()).flatten()).collect();
    let (states, steps, twins, depth) = (seen.graph.states(), seen.graph.count_steps(), seen.twins, seen.depth());
    say(&format!(
        "closed {:<68} {states:>9} states, {steps:>10} steps, depth {depth:>3}, at most {longest:>3} steps in a row, \
         {twins:>7} twins, {:>6.1?}",
        config.name, seen.time
    ));
    let failure = (!broken.is_empty()).then(|| broken.join("\n"));
    data::note(&json!({ "closed": {
        "name": config.name,
        "states": states,
        "steps": steps,
        "longest": longest,
        "twins": twins,
        "loops": config.loops.iter().map(|listed| listed.because).collect::<Vec<_>>(),
        "failure": failure,
    }}));
    (seen, failure.map_or(Ok(()), |failure| Err(format!("{}:\n{failure}", config.name))))
}
