//! What became of the report, in words.

use std::fmt::Write as _;

use crate::data::Broken;
use crate::report::{Breach, Closed, Model, Refuted, Report, Space};
use crate::text::{count, number};

/// The kinds of difference, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A check has failed.
    Broken,
    /// Less is shown than before.
    Less,
    /// As much is shown, in another way.
    Other,
    /// More is shown than before.
    More,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Broken, Self::Less, Self::Other, Self::More];

    fn title(self) -> &'static str {
        match self {
            Self::Broken => "Does not hold",
            Self::Less => "Less is shown",
            Self::Other => "Explored otherwise",
            Self::More => "More is shown",
        }
    }
}

/// A difference: what it is about, and what became of it.
#[derive(Debug, PartialEq)]
pub struct Difference {
    pub kind: Kind,
    pub what: String,
    pub how: String,
}

/// What was looked at: only of that anything can be said to be gone.
pub struct Scope<'a> {
    pub models: &'a dyn Fn(&str) -> bool,
    pub bugs: bool,
    pub search: bool,
}

/// Differences.
#[derive(Debug, Default)]
pub struct Differences(pub Vec<Difference>);

impl Differences {
    fn add(&mut self, kind: Kind, what: impl Into<String>, how: impl Into<String>) {
        self.0.push(Difference { kind, what: what.into(), how: how.into() });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What does not hold, before everything else.
    pub fn broken(&mut self, broken: &[Broken]) {
        for Broken { what, how } in broken {
            self.add(Kind::Broken, what, how);
        }
    }

    /// What has become of `old`.
    pub fn between(old: &Report, new: &Report, scope: &Scope) -> Self {
        let mut all = Self::default();
        let named = |model: &Model| format!("`{}`", model.name);
        pair(
            &old.models,
            &new.models,
            |one, other| one.name == other.name,
            |old, new| match (old, new) {
                (Some(old), Some(new)) => all.model(old, new),
                (Some(old), None) if (scope.models)(&old.name) => {
                    let reach = old.reach();
                    all.add(Kind::Less, named(old), format!("the model is gone: {} ({reach})", old.property));
                }
                (None, Some(new)) => {
                    let (reach, executions) = (new.reach(), count(new.executions, "execution"));
                    all.add(Kind::More, named(new), format!("new model, {reach}, {executions}: {}", new.property));
                }
                _ => {}
            },
        );
        pair(
            &old.bugs,
            &new.bugs,
            |one, other| one.name == other.name,
            |old, new| match (old, new) {
                (Some(old), Some(new)) if old.story != new.story => {
                    all.add(Kind::Other, format!("known bug `{}`", new.name), format!("now reads: {}", new.story));
                }
                (Some(old), None) if scope.bugs => {
                    all.add(Kind::Less, format!("known bug `{}`", old.name), format!("is gone: {}", old.story));
                }
                (None, Some(new)) => {
                    all.add(Kind::More, format!("known bug `{}`", new.name), format!("is new: {}", new.story));
                }
                _ => {}
            },
        );
        if scope.search {
            all.search(old, new);
            all.induction(old, new);
        }
        all
    }

    fn model(&mut self, old: &Model, new: &Model) {
        let what = format!("`{}`", new.name);
        match (old.bound, new.bound) {
            (None, Some(bound)) => {
                self.add(Kind::Less, &what, format!("no longer exhaustive: at most {bound} preemptions"));
            }
            (Some(bound), None) => self.add(Kind::More, &what, format!("exhaustive now (before: bounded {bound})")),
            (Some(old), Some(new)) if old != new => {
                let kind = if new < old { Kind::Less } else { Kind::More };
                self.add(kind, &what, format!("preemptions {old} → {new}"));
            }
            _ => {}
        }
        let mut otherwise = Vec::new();
        otherwise.extend(numbers("executions", old.executions, new.executions));
        otherwise.extend(numbers("steps", old.steps, new.steps));
        otherwise.extend(numbers("threads", old.threads, new.threads));
        for (word, old, new) in
            [("known bug", &old.known_bugs, &new.known_bugs), ("variant", &old.variants, &new.variants)]
        {
            pair(
                old,
                new,
                |one, other| one.name == other.name,
                |old, new| match (old, new) {
                    (Some(old), None) => self.add(Kind::Less, &what, format!("{word} `{}` no longer found", old.name)),
                    (None, Some(new)) => {
                        let after = count(new.after, "execution");
                        self.add(Kind::More, &what, format!("{word} `{}` found, after {after}", new.name));
                    }
                    (Some(old), Some(new)) if old.after != new.after => {
                        let (before, after) = (number(old.after), number(new.after));
                        otherwise.push(format!("{word} `{}` found after {before} → {after}", new.name));
                    }
                    _ => {}
                },
            );
        }
        if old.property != new.property {
            otherwise.push(format!("its property reads now: {}", new.property));
        }
        let (before, after) = (old.invariants.join(", "), new.invariants.join(", "));
        if before != after {
            otherwise.push(format!("invariants {before} → {after}"));
        }
        if !otherwise.is_empty() {
            self.add(Kind::Other, what, otherwise.join("; "));
        }
    }

    fn search(&mut self, old: &Report, new: &Report) {
        let same = |one: &Space, other: &Space| one.name == other.name;
        pair(&old.spaces, &new.spaces, same, |old, new| match (old, new) {
            (Some(old), Some(new)) => {
                let what = format!("state search, {}", new.name);
                self.number(&what, "distinct states", old.distinct, new.distinct);
                self.number(&what, "transitions", old.transitions, new.transitions);
                self.number(&what, "steps in a row at most", old.steps, new.steps);
            }
            (Some(old), None) => self.add(Kind::Less, format!("state search, {}", old.name), "is gone"),
            (None, Some(new)) => {
                let distinct = count(new.distinct, "distinct state");
                self.add(Kind::More, format!("state search, {}", new.name), format!("is new: {distinct}"));
            }
            (None, None) => {}
        });
        pair(
            &old.walks,
            &new.walks,
            |one, other| one.name == other.name,
            |old, new| match (old, new) {
                (Some(old), Some(new)) => {
                    let what = format!("random walks, {}", new.name);
                    self.number(&what, "states", old.states, new.states);
                }
                (Some(old), None) => self.add(Kind::Less, format!("random walks, {}", old.name), "are gone"),
                (None, Some(new)) => self.add(Kind::More, format!("random walks, {}", new.name), "are new"),
                (None, None) => {}
            },
        );
        pair(
            &old.search_properties,
            &new.search_properties,
            |one, other| one == other,
            |old, new| match (old, new) {
                (Some(old), None) => self.add(Kind::Less, format!("property \"{old}\""), "is gone"),
                (None, Some(new)) => self.add(Kind::More, format!("property \"{new}\""), "is new"),
                _ => {}
            },
        );
        let same = |one: &Breach, other: &Breach| one.property == other.property && one.known_bug == other.known_bug;
        let what = |breach: &Breach| format!("known bug `{}`, property \"{}\"", breach.known_bug, breach.property);
        pair(&old.breaches, &new.breaches, same, |old, new| match (old, new) {
            (Some(old), Some(new)) => {
                self.number(&what(new), "actions", old.actions, new.actions);
                self.number(&what(new), "states", old.distinct, new.distinct);
            }
            (Some(old), None) => self.add(Kind::Less, what(old), "is no longer broken by it"),
            (None, Some(new)) => self.add(Kind::More, what(new), "is broken by it"),
            (None, None) => {}
        });
    }

    fn induction(&mut self, old: &Report, new: &Report) {
        let same = |one: &Closed, other: &Closed| one.name == other.name;
        pair(&old.closed, &new.closed, same, |old, new| match (old, new) {
            (Some(old), Some(new)) => {
                let what = format!("induction, {}", new.name);
                self.number(&what, "states", old.states, new.states);
                self.number(&what, "steps", old.steps, new.steps);
                self.number(&what, "steps in a row at most", old.longest, new.longest);
            }
            (Some(old), None) => self.add(Kind::Less, format!("induction, {}", old.name), "is gone"),
            (None, Some(new)) => {
                self.add(
                    Kind::More,
                    format!("induction, {}", new.name),
                    format!("is new: {}", count(new.states, "state")),
                );
            }
            (None, None) => {}
        });
        let same = |one: &String, other: &String| one == other;
        pair(&old.properties, &new.properties, same, |old, new| match (old, new) {
            (Some(old), None) => self.add(Kind::Less, format!("property \"{old}\""), "is gone"),
            (None, Some(new)) => self.add(Kind::More, format!("property \"{new}\""), "is new"),
            _ => {}
        });
        let same = |one: &Refuted, other: &Refuted| one.property == other.property && one.known_bug == other.known_bug;
        let what = |refuted: &Refuted| format!("known bug `{}`, property \"{}\"", refuted.known_bug, refuted.property);
        pair(&old.refuted, &new.refuted, same, |old, new| match (old, new) {
            (Some(old), Some(new)) => self.number(&what(new), "states", old.states, new.states),
            (Some(old), None) => self.add(Kind::Less, what(old), "is no longer broken by it"),
            (None, Some(new)) => self.add(Kind::More, what(new), "is broken by it"),
            (None, None) => {}
        });
    }

    fn number(&mut self, what: &str, unit: &str, old: usize, new: usize) {
        if let Some(how) = numbers(unit, old, new) {
            self.add(Kind::Other, what, how);
        }
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (kind, those) in self.by_kind() {
            writeln!(text, "{}:", kind.title()).expect("a string");
            for Difference { what, how, .. } in those {
                let (what, how) = (what.replace('`', ""), how.replace('`', "").replace('\n', "\n    "));
                let gap = if kind == Kind::Broken { "\n    " } else { ": " };
                writeln!(text, "  {what}{gap}{how}").expect("a string");
            }
        }
        text
    }

    /// For the summary of a job.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for (kind, those) in self.by_kind() {
            writeln!(text, "### {}\n", kind.title()).expect("a string");
            for Difference { what, how, .. } in those {
                match kind {
                    Kind::Broken => writeln!(text, "- {what}\n  ```text\n  {}\n  ```", how.replace('\n', "\n  ")),
                    _ => writeln!(text, "- {what}: {how}"),
                }
                .expect("a string");
            }
            text.push('\n');
        }
        text
    }

    fn by_kind(&self) -> impl Iterator<Item = (Kind, Vec<&Difference>)> {
        let of = |kind| self.0.iter().filter(|difference| difference.kind == kind).collect::<Vec<_>>();
        Kind::ALL.into_iter().map(move |kind| (kind, of(kind))).filter(|(_, those)| !those.is_empty())
    }
}

/// What became of a number, if anything.
fn numbers(unit: &str, old: usize, new: usize) -> Option<String> {
    (old != new).then(|| format!("{} → {} {unit}", number(old), number(new)))
}

/// Calls `with` for what is on both sides, or on one of them: first in the order of the old, then what is new.
fn pair<T>(old: &[T], new: &[T], same: impl Fn(&T, &T) -> bool, mut with: impl FnMut(Option<&T>, Option<&T>)) {
    for one in old {
        with(Some(one), new.iter().find(|other| same(one, other)));
    }
    for other in new.iter().filter(|other| !old.iter().any(|one| same(one, other))) {
        with(None, Some(other));
    }
}

#[cfg(test)]
mod tests {
    use super::{Differences, Kind, Scope};
    use crate::report::{Bug, Hit, Model, Report};

    fn model() -> Model {
        Model {
            name: "replicator::advance".into(),
            property: "It looks again.".into(),
            invariants: vec!["I1".into()],
            threads: 3,
            bound: None,
            steps: 89,
            executions: 139_867,
            known_bugs: vec![Hit { name: "H".into(), after: 7 }],
            variants: Vec::new(),
        }
    }

    fn report(models: &[Model]) -> Report {
        let bugs = vec![Bug { name: "H".into(), story: "It parks.".into() }];
        Report { models: models.to_vec(), bugs, ..Report::default() }
    }

    /// What is said when the model becomes `new`.
    fn said(new: &[Model]) -> Vec<(Kind, String)> {
        let all = Scope { models: &|_| true, bugs: true, search: true };
        let differences = Differences::between(&report(&[model()]), &report(new), &all);
        differences.0.into_iter().map(|difference| (difference.kind, difference.how)).collect()
    }

    #[test]
    fn each_change_is_told_in_words() {
        assert_eq!(said(&[model()]), []);
        let more = said(&[Model { executions: 141_002, ..model() }]);
        assert_eq!(more, [(Kind::Other, "139,867 → 141,002 executions".into())]);
        let both = said(&[Model { executions: 141_002, steps: 91, ..model() }]);
        assert_eq!(both, [(Kind::Other, "139,867 → 141,002 executions; 89 → 91 steps".into())]);
        let bounded = said(&[Model { bound: Some(3), ..model() }]);
        assert_eq!(bounded, [(Kind::Less, "no longer exhaustive: at most 3 preemptions".into())]);
        let blind = said(&[Model { known_bugs: Vec::new(), ..model() }]);
        assert_eq!(blind, [(Kind::Less, "known bug `H` no longer found".into())]);
        let gone = said(&[]);
        assert_eq!(gone, [(Kind::Less, "the model is gone: It looks again. (exhaustive)".into())]);
        let new = said(&[model(), Model { name: "replicator::other".into(), ..model() }]);
        let told = "new model, exhaustive, 139,867 executions: It looks again.";
        assert_eq!(new, [(Kind::More, told.into())]);
    }

    #[test]
    fn what_was_not_looked_at_is_not_missed() {
        let nothing = Scope { models: &|_| false, bugs: false, search: false };
        let differences = Differences::between(&report(&[model()]), &Report::default(), &nothing);
        assert_eq!(differences.0, []);
    }
}
