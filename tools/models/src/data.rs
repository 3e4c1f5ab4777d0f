//! What the models and the state search write down as they run: lines of JSON, one for each thing.

use serde::Deserialize;

use crate::report::{Breach, Bug, Hit, Model, Report, Space, Walk};

/// A line.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Listed(Listed),
    KnownBug(Bug),
    Model(Explored),
    Died { name: String, property: String, how: String },
    Deep(Deep),
    Law(String),
    Space(Searched),
    Walk(Walk),
    Breach(Sought),
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
    twins: Vec<Maybe>,
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

    fn take(&mut self, line: Line) {
        let report = &mut self.report;
        match line {
            Line::Listed(listed) => self.listed.push(listed),
            Line::KnownBug(bug) => report.bugs.push(bug),
            Line::Law(law) => report.laws.push(law),
            Line::Walk(walk) => report.walks.push(walk),
            Line::Deep(deep) => self.deep = Some(deep),
            Line::Died { name, property, how } => {
                self.broken
                    .push(Broken { what: format!("`{name}`: {property}"), how: format!("its process died: {how}") });
            }
            Line::Model(Explored { mut model, known_bugs, twins, failures }) => {
                let found = |all: Vec<Maybe>| -> Vec<Hit> {
                    all.into_iter().filter_map(|Maybe { name, after }| Some(Hit { name, after: after? })).collect()
                };
                (model.known_bugs, model.twins) = (found(known_bugs), found(twins));
                if failures.is_empty() {
                    report.models.push(model);
                } else {
                    let what = format!("`{}` [{}]: {}", model.name, model.invariants.join(", "), model.property);
                    self.broken.push(Broken { what, how: failures.join("\n") });
                }
            }
            Line::Space(Searched { space, failure: None }) => report.spaces.push(space),
            Line::Space(Searched { space, failure: Some(how) }) => {
                self.broken.push(Broken { what: format!("state search, {}", space.name), how });
            }
            Line::Breach(Sought { breach, unnoticed: false }) => report.breaches.push(breach),
            Line::Breach(Sought { breach, unnoticed: true }) => {
                let what = format!("state search, law \"{}\"", breach.law);
                let how =
                    format!("known bug {} breaks it no longer: this law cannot be broken by it", breach.known_bug);
                self.broken.push(Broken { what, how });
            }
        }
    }
}
