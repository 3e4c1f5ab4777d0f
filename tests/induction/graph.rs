//! The graph of all states and steps, and what is to be seen of it as a whole.

use super::state::State;
use super::steps::{Class, Kind, Step};
use super::take::Taken;

/// What a step is, as far as the graph goes: a bit for each of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(u16);

impl Label {
    /// Time passes.
    pub const TIME: u16 = 1;
    /// And with it the pusher's.
    pub const PUSH_TIME: u16 = 2;
    pub const PUSH_BEGINS: u16 = 4;
    pub const PULL_BEGINS: u16 = 8;
    /// Others' events are merged.
    pub const NEWS: u16 = 16;
    /// Events of this client are confirmed.
    pub const CONFIRMS: u16 = 32;
    /// Something is consumed: a commit, another client's event, a fault.
    pub const SUPPLY: u16 = 64;
    /// The owner speaks.
    pub const OWNER: u16 = 128;

    pub fn new(before: &State, kind: Kind, step: Step, taken: &Taken) -> Self {
        let after = &taken.state;
        let late = matches!(step, Step::Page(page) if page.late)
            || matches!(step, Step::Says(_, true) | Step::PullEnds(_, true));
        let moved = before.head() != after.head();
        let own = matches!(step, Step::Answer(_)) || matches!(step, Step::Page(page) if page.own > 0);
        let foreign = matches!(step, Step::Page(page) if page.foreign != super::steps::Foreign::None);
        let mut label = 0;
        for (is_so, bits) in [
            (kind.class() == Class::Time || kind == Kind::PollTime || late, Self::TIME),
            (kind == Kind::PushTime || late, Self::PUSH_TIME),
            (before.push.is_none() && after.push.is_some(), Self::PUSH_BEGINS),
            (before.pull.is_none() && after.pull.is_some(), Self::PULL_BEGINS),
            (moved && foreign, Self::NEWS),
            (moved && own, Self::CONFIRMS),
            (kind.class() == Class::Supply, Self::SUPPLY),
            (kind.class() == Class::Owner, Self::OWNER),
        ] {
            if is_so {
                label |= bits;
            }
        }
        Self(label)
    }

    /// That of a step that is made up.
    pub const fn new_for(bits: u16) -> Self {
        Self(bits)
    }

    pub fn has(self, bits: u16) -> bool {
        self.0 & bits != 0
    }

    /// Whether nothing is consumed.
    pub fn is_idle(self) -> bool {
        !self.has(Self::NEWS | Self::CONFIRMS | Self::SUPPLY | Self::OWNER)
    }

    /// Whether it comes sooner or later.
    pub fn is_due(self) -> bool {
        !self.has(Self::SUPPLY | Self::OWNER)
    }
}

#[derive(Debug, Default)]
pub struct Graph {
    /// Where the steps of each state begin in `steps`. One more than there are states.
    first: Vec<u32>,
    steps: Vec<(u32, Label)>,
    /// Whether nothing need end the pusher's wait in that state.
    may_stay: Vec<bool>,
}

/// States that follow each other in a circle.
#[derive(Debug)]
pub struct Cycle(pub Vec<u32>);

impl Graph {
    /// The next state, with its steps.
    pub fn add(&mut self, may_stay: bool, steps: impl IntoIterator<Item = (u32, Label)>) {
        if self.first.is_empty() {
            self.first.push(0);
        }
        self.steps.extend(steps);
        self.first.push(u32::try_from(self.steps.len()).expect("fewer than four thousand million steps"));
        self.may_stay.push(may_stay);
    }

    /// Makes up a step of this state.
    pub fn forge(&mut self, from: u32, to: u32, label: Label) {
        let at = self.first[from as usize + 1];
        self.steps.insert(at as usize, (to, label));
        self.first[from as usize + 1..].iter_mut().for_each(|first| *first += 1);
    }

    pub fn states(&self) -> usize {
        self.may_stay.len()
    }

    pub fn count_steps(&self) -> usize {
        self.steps.len()
    }

    pub fn steps(&self, state: u32) -> &[(u32, Label)] {
        let [from, to] = [state, state + 1].map(|state| self.first[state as usize] as usize);
        &self.steps[from..to]
    }

    fn all(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.states()).expect("fewer than four thousand million states")
    }

    /// The strongly connected components of the steps that are asked for (Tarjan 1972), numbered so
    /// that steps lead to the same or a smaller number.
    fn components(&self, asked: impl Fn(Label) -> bool) -> Vec<u32> {
        const NONE: u32 = u32::MAX;
        let mut component = vec![NONE; self.states()];
        let mut seen = vec![NONE; self.states()];
        let (mut low, mut open, mut path) = (seen.clone(), Vec::new(), Vec::new());
        let (mut order, mut count) = (0, 0);
        for root in self.all() {
            if seen[root as usize] != NONE {
                continue;
            }
            path.push((root, self.first[root as usize]));
            while let Some((state, next)) = path.pop() {
                let at = state as usize;
                if seen[at] == NONE {
                    (seen[at], low[at]) = (order, order);
                    order += 1;
                    open.push(state);
                }
                let mut next = next;
                let end = self.first[at + 1];
                let mut deeper = None;
                while next < end && deeper.is_none() {
                    let (to, label) = self.steps[next as usize];
                    if asked(label) {
                        if seen[to as usize] == NONE {
                            // Looked at again when it is done.
                            deeper = Some(to);
                            break;
                        }
                        if component[to as usize] == NONE {
                            low[at] = low[at].min(low[to as usize]);
                        }
                    }
                    next += 1;
                }
                if let Some(to) = deeper {
                    path.push((state, next));
                    path.push((to, self.first[to as usize]));
                } else if low[at] == seen[at] {
                    while let Some(member) = open.pop() {
                        component[member as usize] = count;
                        if member == state {
                            break;
                        }
                    }
                    count += 1;
                }
            }
        }
        component
    }

    /// A circle of such steps that goes through a special one.
    pub fn cycle(&self, asked: impl Fn(Label) -> bool, special: impl Fn(Label) -> bool) -> Option<Cycle> {
        let component = self.components(&asked);
        let inside = |from: u32, to: u32| component[from as usize] == component[to as usize];
        let mut all = self.all();
        all.find_map(|from| {
            let mut steps = self.steps(from).iter();
            let &(to, _) = steps.find(|&&(to, label)| asked(label) && special(label) && inside(from, to))?;
            let way = self.way(to, from, |label, to| asked(label) && inside(from, to));
            Some(Cycle(std::iter::once(from).chain(way).collect()))
        })
    }

    /// A shortest way, with both ends.
    fn way(&self, from: u32, to: u32, asked: impl Fn(Label, u32) -> bool) -> Vec<u32> {
        let mut came_from = std::collections::HashMap::from([(from, from)]);
        let mut queue = std::collections::VecDeque::from([from]);
        while let Some(state) = queue.pop_front() {
            if state == to {
                break;
            }
            for &(next, label) in self.steps(state) {
                if asked(label, next) && !came_from.contains_key(&next) {
                    came_from.insert(next, state);
                    queue.push_back(next);
                }
            }
        }
        let mut way = vec![to];
        while let Some(&last) = way.last().filter(|&&last| last != from) {
            way.push(came_from[&last]);
        }
        way.reverse();
        way
    }

    /// How many steps that consume nothing may follow each state.
    pub fn ranks(&self) -> Result<Vec<u32>, Cycle> {
        if let Some(cycle) = self.cycle(Label::is_idle, Label::is_idle) {
            return Err(cycle);
        }
        let component = self.components(Label::is_idle);
        // Each state is a component of its own, and what follows it has a smaller number.
        let mut order: Vec<u32> = self.all().collect();
        order.sort_unstable_by_key(|&state| component[state as usize]);
        let mut ranks = vec![0; self.states()];
        for state in order {
            let idle = self.steps(state).iter().filter(|(_, label)| label.is_idle());
            ranks[state as usize] = idle.map(|&(to, _)| ranks[to as usize] + 1).max().unwrap_or(0);
        }
        // That is the argument; nothing of how the numbers were found is used.
        for state in self.all() {
            for &(to, label) in self.steps(state) {
                assert!(!label.is_idle() || ranks[to as usize] < ranks[state as usize], "the rank does not fall");
            }
        }
        Ok(ranks)
    }

    /// A state in which the pusher is parked, and from which what is due does not lead to one in
    /// which it is not.
    pub fn parked_for_ever(&self) -> Option<u32> {
        let mut ends = self.may_stay.clone();
        let mut open: Vec<u32> = self.all().filter(|&state| !ends[state as usize]).collect();
        loop {
            let before = open.len();
            open.retain(|&state| {
                let mut due = self.steps(state).iter().filter(|(_, label)| label.is_due());
                ends[state as usize] = due.any(|&(to, _)| ends[to as usize]);
                !ends[state as usize]
            });
            if open.len() == before {
                return open.first().copied();
            }
        }
    }
}
