//! The report: what it holds, and in which order.

use serde::Deserialize;

use crate::invariants;

/// What was explored. Two are equal if their texts are.
#[derive(Debug, Default, PartialEq)]
pub struct Report {
    pub models: Vec<Model>,
    pub bugs: Vec<Bug>,
    /// Properties of the state search.
    pub search_properties: Vec<String>,
    pub spaces: Vec<Space>,
    pub walks: Vec<Walk>,
    pub breaches: Vec<Breach>,
    /// Properties of the induction.
    pub properties: Vec<String>,
    pub closed: Vec<Closed>,
    pub contained: Vec<Contained>,
    pub refuted: Vec<Refuted>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Model {
    pub name: String,
    pub property: String,
    pub invariants: Vec<String>,
    pub threads: usize,
    /// The greatest number of preemptions; `None` if the search is exhaustive.
    pub bound: Option<usize>,
    pub steps: usize,
    pub executions: usize,
    #[serde(skip)]
    pub known_bugs: Vec<Hit>,
    #[serde(skip)]
    pub variants: Vec<Hit>,
}

/// A defect, and after how many executions it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    pub name: String,
    pub after: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Bug {
    pub name: String,
    pub story: String,
}

/// What the state search has seen all of.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Space {
    pub name: String,
    pub distinct: usize,
    pub transitions: usize,
    /// The most steps in a row without a commit and without a fault.
    pub steps: usize,
}

/// Where the state search has walked at random.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Walk {
    pub name: String,
    pub states: usize,
}

/// A known bug that breaks a property of the state search.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Breach {
    pub known_bug: String,
    pub property: String,
    /// The number of actions on a shortest way there.
    pub actions: usize,
    pub distinct: usize,
}

/// A set of states of one client that the induction has closed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Closed {
    pub name: String,
    pub states: usize,
    pub steps: usize,
    /// The most steps in a row that consume nothing.
    pub longest: usize,
}

/// Concrete states that are all in a closed set.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Contained {
    pub name: String,
    /// Of which space.
    pub of: String,
    pub states: usize,
}

/// A known bug that breaks a property of the induction.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Refuted {
    pub known_bug: String,
    pub property: String,
    /// So many states were seen by then.
    pub states: usize,
}

impl Report {
    /// The order of the report, whichever came first: by invariant, then as the names go. What the
    /// known bugs, the properties and the state search give comes as it stands in their lists.
    pub fn put_in_order(&mut self) -> Result<(), String> {
        for Model { name, invariants, .. } in &self.models {
            if let Some(other) = invariants.iter().find(|name| invariants::position(name).is_none()) {
                return Err(format!("{name} is of an invariant {other:?} that is not known"));
            }
        }
        let mut spaces: Vec<_> = self.spaces.iter().map(|space| &space.name).collect();
        spaces.sort_unstable();
        if let Some([twice, _]) = spaces.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two spaces of the state search have the name {twice:?}"));
        }
        let first = |model: &Model| invariants::position(&model.invariants[0]);
        self.models.sort_by(|one, other| first(one).cmp(&first(other)).then_with(|| one.name.cmp(&other.name)));
        self.search_properties.sort_by_key(|property| property.split(':').next().and_then(invariants::position));
        let property =
            |breach: &Breach| self.search_properties.iter().position(|property| *property == breach.property);
        // Stable: for one property, the bugs stay in order.
        self.breaches.sort_by_key(property);
        let property = |refuted: &Refuted| self.properties.iter().position(|property| *property == refuted.property);
        self.refuted.sort_by_key(property);
        Ok(())
    }

    /// The models of an invariant that are told under it: it is the first that they name.
    pub fn told_under<'a>(&'a self, invariant: &'a str) -> impl Iterator<Item = &'a Model> {
        self.models.iter().filter(move |model| model.invariants[0] == invariant)
    }

    /// All models of an invariant.
    pub fn models_of<'a>(&'a self, invariant: &'a str) -> impl Iterator<Item = &'a Model> {
        self.models.iter().filter(move |model| model.invariants.iter().any(|name| name == invariant))
    }

    /// The properties of an invariant: the text after its name, and the whole.
    pub fn properties_of<'a>(&'a self, invariant: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.search_properties.iter().filter_map(move |property| {
            Some((property.strip_prefix(invariant)?.strip_prefix(": ")?, property.as_str()))
        })
    }

    pub fn breaches_of<'a>(&'a self, property: &'a str) -> impl Iterator<Item = &'a Breach> {
        self.breaches.iter().filter(move |breach| breach.property == property)
    }

    /// The models that find a known bug.
    pub fn finders<'a>(&'a self, bug: &'a str) -> impl Iterator<Item = &'a Model> {
        self.models.iter().filter(move |model| model.known_bugs.iter().any(|hit| hit.name == bug))
    }

    /// The properties of the induction that a known bug breaks.
    pub fn refuted_by<'a>(&'a self, bug: &'a str) -> impl Iterator<Item = &'a Refuted> {
        self.refuted.iter().filter(move |refuted| refuted.known_bug == bug)
    }

    /// The properties that a known bug breaks.
    pub fn broken_by<'a>(&'a self, bug: &'a str) -> impl Iterator<Item = &'a Breach> {
        self.breaches.iter().filter(move |breach| breach.known_bug == bug)
    }
}

impl Model {
    /// How far it is searched.
    pub fn reach(&self) -> String {
        self.bound.map_or_else(|| "exhaustive".to_owned(), |bound| format!("at most {bound} preemptions"))
    }
}
