//! Runs a search, says what it saw, and judges it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use stateright::{Checker, HasDiscoveries, Model, UniformChooser};

use super::data;
use super::model::{Action, Config, Search};

/// One search at a time: known bugs are switched on for the whole process, and two searches side by side are slower than
/// one after the other.
pub fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a search saw.
pub struct Seen {
    pub states: usize,
    pub distinct: usize,
    pub depth: usize,
    pub time: Duration,
    /// The property that was broken, and what led there.
    pub breach: Option<(&'static str, Vec<Action>)>,
    /// The most steps in a row without a commit and without a fault; `None` if there is no end to them.
    pub longest: Option<usize>,
    /// The faults that happened, a bit for each.
    pub happened: u64,
}

/// What a search by this checker sees.
pub fn see<C: Checker<Search>>(checker: C, begun: Instant) -> Seen {
    let checker = checker.join();
    let breach = checker.discoveries().into_iter().map(|(property, path)| (property, path.into_actions())).next();
    let steps = std::mem::take(&mut *checker.model().steps.lock().expect("no panic while it is held"));
    let longest = steps.longest_path();
    Seen {
        states: checker.state_count(),
        distinct: checker.unique_state_count(),
        depth: checker.max_depth(),
        time: begun.elapsed(),
        breach,
        longest,
        happened: checker.model().happened.load(Ordering::Relaxed),
    }
}

/// Searches until everything has been seen.
pub fn exhaust(config: Config) -> Seen {
    let (begun, threads) = (Instant::now(), std::thread::available_parallelism().map_or(1, Into::into));
    let checker = Search::new(config).checker().threads(threads);
    see(checker.finish_when(HasDiscoveries::AnyFailures).spawn_dfs(), begun)
}

impl Seen {
    pub fn counts(&self) -> String {
        let Self { states, distinct, depth, time, longest, .. } = self;
        let longest = longest.map_or("no end".to_owned(), |steps| steps.to_string());
        format!(
            "{distinct:>9} distinct of {states:>10} states, depth {depth:>3}, at most {longest:>3} steps in a row, {time:>6.1?}"
        )
    }

    /// The property that was broken, and how.
    pub fn story(&self) -> String {
        let mut text = String::new();
        if let Some((property, path)) = &self.breach {
            writeln!(text, "  {property}, after {} actions:", path.len()).expect("a string");
            path.iter().for_each(|action| writeln!(text, "    {action:?}").expect("a string"));
        }
        text
    }
}

/// Prints past the harness, which would keep it to itself.
pub fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr");
}

/// Searches all of it. Says what does not hold: a property that was broken, or a path of steps
/// without an end.
pub fn hold(config: Config) -> (Seen, Option<String>) {
    let seen = exhaust(config);
    say(&format!("search {:<68} {}", config.name, seen.counts()));
    let broken = match &seen.breach {
        Some(_) => Some(seen.story()),
        None => seen.longest.is_none().then(|| "  steps can go round in a circle".to_owned()),
    };
    // Not the depth: it depends on which of two threads came first.
    let Seen { states, distinct, longest, .. } = seen;
    data::note(&json!({ "space": {
        "name": config.name,
        "distinct": distinct,
        "transitions": states,
        "steps": longest.unwrap_or(0),
        "failure": broken,
    }}));
    let broken = broken.map(|broken| format!("{}:\n{broken}", config.name));
    (seen, broken)
}

/// Walks at random until so many states have been visited, and expects that no property is broken.
pub fn wander(config: Config, target: usize) {
    let begun = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let search = Search { walks: true, ..Search::new(config) };
    let checker = search.checker().threads(threads).target_state_count(target);
    let seen = see(checker.finish_when(HasDiscoveries::AnyFailures).spawn_simulation(1, UniformChooser), begun);
    let Seen { states, depth, time, .. } = seen;
    say(&format!("walks  {:<68} {states:>9} states visited, longest walk {depth}, {time:.1?}", config.name));
    assert!(seen.breach.is_none(), "{}:\n{}", config.name, seen.story());
    // Not what was visited: that depends on which of two threads came first.
    data::note(&json!({ "walk": { "name": config.name, "states": target } }));
}
