//! What the models and the state search write down as they run: lines of JSON, one for each thing.

use serde::Deserialize;

use crate::report::{Breach, Bug, Closed, Contained, Hit, Model, Refuted, Report, Space, Walk};

/// A line.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Listed(Listed),
    KnownBug(Bug),
    Model(Explored),
    Died { name: String, property: String, how: String },
    Deep(Deep),
    SearchProperty(String),
    Space(Searched),
    Walk(Walk),
    Breach(Sought),
    Property(String),
    Closed(Tried),
    Within(Contained),
    Refuted(Hunted),
}

/// A model of the index, before it is explored.
#[derive(Deserialize)]
pub struct Listed {
    pub name: String,
    pub bound: Option<usize>,
    pub larger: Vec<String>,
}

#[derive(Deserialize)]
struct Explored {
    #[serde(flatten)]
    model: Model,
    known_bugs: Vec<Maybe>,
    variants: Vec<Maybe>,
    failures: Vec<String>,
}

/// A defect, and after how many executions it was found, if it was.
#[derive(Deserialize)]
struct Maybe {
    name: String,
    after: Option<usize>,
}

/// What a stretch of a deep search came to.
#[derive(Deserialize)]
pub struct Deep {
    /// All in all, with what earlier stretches explored.
    pub executions: usize,
    pub failure: Option<String>,
}

#[derive(Deserialize)]
struct Searched {
    #[serde(flatten)]
    space: Space,
    failure: Option<String>,
}

#[derive(Deserialize)]
struct Sought {
    #[serde(flatten)]
    breach: Breach,
    unnoticed: bool,
}

#[derive(Deserialize)]
struct Tried {
    #[serde(flatten)]
    closed: Closed,
    failure: Option<String>,
}

#[derive(Deserialize)]
struct Hunted {
    #[serde(flatten)]
    refuted: Refuted,
    unnoticed: bool,
}

/// Something that does not hold, in words.
pub struct Broken {
    pub what: String,
    pub how: String,
}

/// All that was written down.
#[derive(Default)]
pub struct Data {
    pub report: Report,
    pub broken: Vec<Broken>,
    pub listed: Vec<Listed>,
    pub deep: Option<Deep>,
}

impl Data {
    pub fn read(text: &str) -> Result<Self, String> {
        let mut data = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = serde_json::from_str(line).map_err(|error| format!("line {number}: {error}"))?;
            data.take(line);
        }
        data.report.put_in_order()?;
        Ok(data)
    }

    /// The models of the index that nothing was written down about.
    pub fn unexplored(&self) -> impl Iterator<Item = &str> {
        let explored = |name: &str| self.report.models.iter().any(|model| model.name == name);
        self.listed.iter().map(|listed| listed.name.as_str()).filter(move |name| !explored(name))
    }

    fn take(&mut self, line: Line) {
        let report = &mut self.report;
        match line {
            Line::Listed(listed) => self.listed.push(listed),
            Line::KnownBug(bug) => report.bugs.push(bug),
            Line::SearchProperty(property) => report.search_properties.push(property),
            Line::Walk(walk) => report.walks.push(walk),
            Line::Deep(deep) => self.deep = Some(deep),
            Line::Died { name, property, how } => {
                self.broken
                    .push(Broken { what: format!("`{name}`: {property}"), how: format!("its process died: {how}") });
            }
            Line::Model(Explored { mut model, known_bugs, variants, failures }) => {
                let found = |all: Vec<Maybe>| -> Vec<Hit> {
                    all.into_iter().filter_map(|Maybe { name, after }| Some(Hit { name, after: after? })).collect()
                };
                (model.known_bugs, model.variants) = (found(known_bugs), found(variants));
                if failures.is_empty() {
                    report.models.push(model);
                } else {
                    let what = format!("`{}` [{}]: {}", model.name, model.invariants.join(", "), model.property);
                    let how = failures.iter().map(|failure| in_words(failure)).collect::<Vec<_>>().join("\n");
                    self.broken.push(Broken { what, how });
                }
            }
            Line::Space(Searched { space, failure: None }) => report.spaces.push(space),
            Line::Space(Searched { space, failure: Some(how) }) => {
                self.broken.push(Broken { what: format!("state search, {}", space.name), how });
            }
            Line::Property(property) => report.properties.push(property),
            Line::Within(contained) => report.contained.push(contained),
            Line::Closed(Tried { closed, failure: None }) => report.closed.push(closed),
            Line::Closed(Tried { closed, failure: Some(how) }) => {
                self.broken.push(Broken { what: format!("induction, {}", closed.name), how });
            }
            Line::Refuted(Hunted { refuted, unnoticed: false }) => report.refuted.push(refuted),
            Line::Refuted(Hunted { refuted, unnoticed: true }) => {
                let what = format!("induction, property \"{}\"", refuted.property);
                let how = format!("known bug {} breaks it no longer", refuted.known_bug);
                self.broken.push(Broken { what, how });
            }
            Line::Breach(Sought { breach, unnoticed: false }) => report.breaches.push(breach),
            Line::Breach(Sought { breach, unnoticed: true }) => {
                let what = format!("state search, property \"{}\"", breach.property);
                let how =
                    format!("known bug {} breaks it no longer: this property cannot be broken by it", breach.known_bug);
                self.broken.push(Broken { what, how });
            }
        }
    }
}

/// A failure as the models write it down, with loom's own verdicts in words.
fn in_words(failure: &str) -> String {
    if let Some((before, threads)) = failure.split_once("deadlock; threads = ") {
        // loom numbers the threads as they were started: [(Id(0), Blocked(…)), (Id(1), Terminated)]
        let state = |thread: &str| Some((thread.split_once(')')?.0.to_owned(), thread.contains("Blocked")));
        let blocked = threads.split("Id(").filter_map(state).filter(|(_, blocked)| *blocked);
        let names: Vec<_> = blocked
            .map(|(number, _)| if number == "0" { "main".to_owned() } else { format!("thread {number}") })
            .collect();
        return format!("{before}a deadlock: {} asleep, and no thread is left to wake them", names.join(", "));
    }
    if let Some((before, _)) = failure.split_once("Model exceeded maximum number of branches.") {
        return format!("{before}no end: a thread looks again and again for something that never comes");
    }
    failure.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Data, in_words};

    #[test]
    fn verdicts_are_put_into_words() {
        let verdict = "execution 41 ended with: deadlock; threads = [(Id(0), Blocked(Location(None))), \
                       (Id(1), Terminated), (Id(2), Blocked(Location(None)))]";
        let words = "execution 41 ended with: a deadlock: main, thread 2 asleep, and no thread is left to wake them";
        assert_eq!(in_words(verdict), words);
        assert_eq!(in_words("it is set without a cause"), "it is set without a cause");
    }

    #[test]
    fn what_does_not_hold_is_no_part_of_the_report() {
        let line = |failures: &str| {
            format!(
                r#"{{"model":{{"name":"latch::a","property":"It opens.","invariants":["I1"],"threads":2,"bound":null,
                "steps":9,"executions":7,"known_bugs":[],"variants":[],"failures":[{failures}]}}}}"#
            )
            .replace('\n', "")
        };
        let passed = Data::read(&line("")).unwrap();
        assert_eq!((passed.report.models.len(), passed.broken.len()), (1, 0));
        let failed = Data::read(&line("\"it did not\"")).unwrap();
        assert_eq!((failed.report.models.len(), failed.broken.len()), (0, 1));
        assert_eq!(failed.broken[0].what, "`latch::a` [I1]: It opens.");
    }
}
