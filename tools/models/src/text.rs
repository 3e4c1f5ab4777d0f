//! The report as a text: `REPORT.md`, written and read.
//!
//! What is read is what is written, line by line: [`read`] knows the lines that say something, and skips those that follow
//! from them (sums, lists of names). A test holds the two together.

use std::fmt::Write as _;

use crate::invariants::{self, Invariant};
use crate::report::{Breach, Bug, Closed, Contained, Hit, Model, Refuted, Report, Space, Walk};

const INTRODUCTION: &str = "\
# What the models explore

What is shown about this crate, how far, what would break it, and what is not shown. `cargo models` writes this file,
`cargo models --check` compares it with what the models do; [`README.md`](README.md) says how to read it. There are no
times in it, so it changes only when what is explored changes.
";

const LIMITS: &str = "\
- Sizes: what a model does not start, it does not show. At most five threads (loom's limit), a handful of steps each.
- *At most n preemptions* is no proof: a schedule that takes more of them is not searched.
- A load that takes effect after a later store of its own thread (load buffering) is not explored. `SeqCst` would be
  treated as `AcqRel`; the crate uses none.
- Time moves only in models that move it, and a thread wakes without a reason only in those that ask for it.
- A thread that waits for ever is found; one that is overtaken again and again is not.
- `parking_lot`, the standard library, the compiler and the operating system are trusted. `Arc` is the
  standard one: leaks are not looked for.
- Of a real upstream, nothing: the models' and the search's follow a script.
- The induction sees neither what events a log holds, nor their order, nor local-only ones, nor an upstream that goes back.
- The random walks of the state search: they show what they came by, and no count of it would be the same twice. The depth
  of its spaces is left out for the same reason.
";

/// A number for people: 1,234,567.
pub fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and what it counts.
pub fn count(count: usize, what: &str) -> String {
    format!("{} {what}{}", number(count), if count == 1 { "" } else { "s" })
}

fn hits(hits: &[Hit]) -> String {
    hits.iter().map(|Hit { name, after }| format!("`{name}` after {}", number(*after))).collect::<Vec<_>>().join(", ")
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

// ---- writing ---------------------------------------------------------------------------------------------------------

macro_rules! line {
    ($text:expr) => { $text.push('\n') };
    ($text:expr, $($words:tt)+) => { writeln!($text, $($words)+).expect("a string") };
}

pub fn write(report: &Report) -> String {
    let mut text = INTRODUCTION.to_owned();
    summary(report, &mut text);
    for invariant in invariants::ALL {
        section(report, invariant, &mut text);
    }
    search(report, &mut text);
    induction(report, &mut text);
    known_bugs(report, &mut text);
    not_shown(report, &mut text);
    text
}

fn summary(report: &Report, text: &mut String) {
    let Report { models, bugs, search_properties, spaces, .. } = report;
    let exhaustive = models.iter().filter(|model| model.bound.is_none());
    let executions = |models: &mut dyn Iterator<Item = &Model>| number(models.map(|model| model.executions).sum());
    let by_models = bugs.iter().filter(|bug| report.finders(&bug.name).next().is_some()).count();
    let by_search = bugs.iter().filter(|bug| report.broken_by(&bug.name).next().is_some()).count();
    let by_induction = bugs.iter().filter(|bug| report.refuted_by(&bug.name).next().is_some()).count();
    let by_any = bugs.iter().filter(|bug| is_found(report, bug)).count();
    let variants: usize = models.iter().map(|model| model.variants.len()).sum();
    let distinct: usize = spaces.iter().map(|space| space.distinct).sum();
    line!(text, "\n## Summary\n");
    line!(text, "| | |\n| --- | --- |");
    line!(text, "| models | {} |", number(models.len()));
    line!(text, "| of them exhaustive, without a bound | {} |", number(exhaustive.clone().count()));
    line!(text, "| executions | {} |", executions(&mut models.iter()));
    line!(text, "| of them in exhaustive searches | {} |", executions(&mut exhaustive.clone()));
    line!(text, "| known bugs that are found | {by_any} of {} |", bugs.len());
    line!(text, "| of them by models | {by_models} |");
    line!(text, "| of them by the state search | {by_search} |");
    line!(text, "| of them by the induction | {by_induction} |");
    line!(text, "| bugs of other engines, built beside the crate's own way, that are found | {variants} |");
    line!(text, "| distinct states of the state search | {} in {} |", number(distinct), count(spaces.len(), "space"));
    line!(text, "| properties that hold in each of them | {} |", search_properties.len());
    let closed: usize = report.closed.iter().map(|closed| closed.states).sum();
    let environments = count(report.closed.len(), "environment");
    line!(text, "| states of one client, for any number of others | {} in {environments} |", number(closed));
    line!(text, "| properties that hold in each of them | {} |", report.properties.len());
    line!(text);
    line!(text, "| invariant | rules out | models | exhaustive | known bugs they find | properties of the search |");
    line!(text, "| --- | --- | ---: | ---: | ---: | ---: |");
    for Invariant { name, against, .. } in invariants::ALL {
        let models = || report.models_of(name);
        let exhaustive = models().filter(|model| model.bound.is_none()).count();
        let mut found: Vec<_> = models().flat_map(|model| &model.known_bugs).map(|hit| &hit.name).collect();
        found.sort_unstable();
        found.dedup();
        let (models, properties) = (models().count(), report.properties_of(name).count());
        line!(text, "| {name} | {against} | {models} | {exhaustive} | {} | {properties} |", found.len());
    }
}

fn is_found(report: &Report, bug: &Bug) -> bool {
    report.finders(&bug.name).next().is_some()
        || report.broken_by(&bug.name).next().is_some()
        || report.refuted_by(&bug.name).next().is_some()
}

fn section(report: &Report, Invariant { name, against, says }: &Invariant, text: &mut String) {
    line!(text, "\n## {name}: {against}\n\n{says}\n");
    for model in report.told_under(name) {
        line!(text, "- `{}`: {}", model.name, model.property);
        write!(text, "  {}; ", model.invariants.join(", ")).expect("a string");
        write!(text, "{}, {}; ", count(model.threads, "thread"), count(model.steps, "step")).expect("a string");
        write!(text, "{}, {}", model.reach(), count(model.executions, "execution")).expect("a string");
        for (what, found) in [("finds", &model.known_bugs), ("variants", &model.variants)] {
            if !found.is_empty() {
                write!(text, "; {what} {}", hits(found)).expect("a string");
            }
        }
        line!(text);
    }
    for model in report.models_of(name).filter(|model| model.invariants[0] != *name) {
        line!(text, "- See {}: `{}`", model.invariants[0], model.name);
    }
    for (words, property) in report.properties_of(name) {
        line!(text, "- Property of the state search: {words}");
        for Breach { known_bug, actions, distinct, .. } in report.breaches_of(property) {
            line!(text, "  - broken by `{known_bug}` in {}, {}", count(*actions, "action"), count(*distinct, "state"));
        }
    }
}

fn search(report: &Report, text: &mut String) {
    line!(text, "\n## State search\n");
    line!(
        text,
        "Every state of the pure protocol within these bounds (`tests/search`). The properties stand under their invariants.\n"
    );
    line!(text, "| space | distinct states | transitions | most steps in a row |\n| --- | ---: | ---: | ---: |");
    for Space { name, distinct, transitions, steps } in &report.spaces {
        line!(text, "| {name} | {} | {} | {steps} |", number(*distinct), number(*transitions));
    }
    line!(text);
    for Walk { name, states } in &report.walks {
        line!(text, "- Random walks until {} have been visited: {name}", count(*states, "state"));
    }
}

fn induction(report: &Report, text: &mut String) {
    line!(text, "\n## Induction\n");
    line!(
        text,
        "Every state of one client, for any number of other clients, events and faults (`tests/induction`): each set is closed \
         under every step of its environment.\n"
    );
    line!(text, "| environment | states | steps | most in a row that consume nothing |\n| --- | ---: | ---: | ---: |");
    for Closed { name, states, steps, longest } in &report.closed {
        line!(text, "| {name} | {} | {} | {longest} |", number(*states), number(*steps));
    }
    line!(text);
    for Contained { name, of, states } in &report.contained {
        line!(text, "- Contains {}, *{of}*: {name}", count(*states, "concrete state"));
    }
    for property in &report.properties {
        line!(text, "- Property {property}");
        for Refuted { known_bug, states, .. } in report.refuted.iter().filter(|refuted| refuted.property == *property) {
            line!(text, "  - broken by `{known_bug}` within {}", count(*states, "state"));
        }
    }
}

fn known_bugs(report: &Report, text: &mut String) {
    line!(text, "\n## Known bugs\n");
    line!(text, "Each is an edit of the code that ships ([`known_bugs.rs`](known_bugs.rs)). Who finds it:\n");
    for bug in &report.bugs {
        line!(text, "- `{}`: {}", bug.name, bug.story);
        let mut finders = Vec::new();
        if report.finders(&bug.name).next().is_some() {
            finders.push(names(report.finders(&bug.name).map(|model| model.name.as_str())));
        }
        let properties =
            report.broken_by(&bug.name).map(|breach| breach.property.split(':').next().unwrap_or_default());
        let mut properties = properties.collect::<Vec<_>>();
        properties.dedup();
        let properties = properties.join(", ");
        if !properties.is_empty() {
            finders.push(format!("the state search by properties of {properties}"));
        }
        let mut properties: Vec<_> = report
            .refuted_by(&bug.name)
            .map(|refuted| refuted.property.split(':').next().unwrap_or_default())
            .collect();
        properties.dedup();
        if !properties.is_empty() {
            finders.push(format!("the induction by properties of {}", properties.join(", ")));
        }
        let finders = if finders.is_empty() { "no check".to_owned() } else { finders.join("; ") };
        line!(text, "  Found by {finders}");
    }
}

fn not_shown(report: &Report, text: &mut String) {
    let Report { models, bugs, .. } = report;
    line!(text, "\n## What is not shown\n\n{LIMITS}");
    let list = |text: &mut String, title: &str, entries: Vec<String>| {
        line!(text, "### {title}\n");
        if entries.is_empty() {
            line!(text, "None.");
        }
        entries.iter().for_each(|entry| line!(text, "- {entry}"));
    };
    let bounded = models.iter().filter(|model| model.bound.is_some());
    list(text, "Models with a bound", bounded.map(|model| format!("`{}`: {}", model.name, model.reach())).collect());
    line!(text);
    let mute = models.iter().filter(|model| model.known_bugs.is_empty());
    let mute = mute.map(|model| match model.variants.as_slice() {
        [] => format!("`{}`: nothing shows that it can fail", model.name),
        variants => {
            format!("`{}`: it finds only what is built beside the shipped code, {}", model.name, hits(variants))
        }
    });
    list(text, "Models without a known bug in the shipped code", mute.collect());
    line!(text);
    let untold =
        invariants::ALL.iter().filter(|invariant| report.models_of(invariant.name).all(|model| model.bound.is_some()));
    let untold = untold.map(|Invariant { name, against, .. }| match report.properties_of(name).count() {
        0 => format!("{name}, {against}: nor any property of the state search"),
        1 => format!("{name}, {against}: 1 property of the state search"),
        properties => format!("{name}, {against}: {} properties of the state search", number(properties)),
    });
    list(text, "Invariants without an exhaustive model", untold.collect());
    line!(text);
    let unbroken = report.search_properties.iter().filter(|property| report.breaches_of(property).next().is_none());
    list(text, "Properties of the state search that no known bug breaks", unbroken.cloned().collect());
    line!(text);
    let is_unbroken = |property: &&String| report.refuted.iter().all(|refuted| refuted.property != **property);
    let unbroken = report.properties.iter().filter(is_unbroken);
    list(text, "Properties of the induction that no known bug breaks", unbroken.cloned().collect());
    line!(text);
    let unseen = bugs.iter().filter(|bug| report.finders(&bug.name).next().is_none());
    let unseen = unseen.map(|bug| match is_found(report, bug) {
        true if report.broken_by(&bug.name).next().is_some() => format!("`{}`: the state search does", bug.name),
        true => format!("`{}`: the induction does", bug.name),
        false => format!("`{}`: no check does", bug.name),
    });
    list(text, "Known bugs that no model finds", unseen.collect());
}

// ---- reading ---------------------------------------------------------------------------------------------------------

/// What a report says; or the line that is not understood.
pub fn read(text: &str) -> Result<Report, String> {
    let mut report = Report::default();
    let mut title = "";
    let mut lines = (1..).zip(text.lines()).peekable();
    while let Some((at, line)) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            title = heading;
            continue;
        }
        let invariant = title.split(':').next().filter(|name| invariants::position(name).is_some());
        let understood = match (title, invariant) {
            ("Known bugs", _) if line.starts_with("- ") => entry(line).map(|(name, story)| {
                report.bugs.push(Bug { name: name.into(), story: story.into() });
            }),
            ("State search", _) if line.starts_with("| ") && !line.contains("---") && !line.starts_with("| space") => {
                space(line).map(|space| report.spaces.push(space))
            }
            ("State search", _) if line.starts_with("- ") => walk(line).map(|walk| report.walks.push(walk)),
            ("Induction", _)
                if line.starts_with("| ") && !line.contains("---") && !line.starts_with("| environment") =>
            {
                closed(line).map(|closed| report.closed.push(closed))
            }
            ("Induction", _) if line.starts_with("- Contains ") => {
                contained(line).map(|contained| report.contained.push(contained))
            }
            ("Induction", _) if line.starts_with("- Property ") => {
                line.strip_prefix("- Property ").map(|property| report.properties.push(property.into()))
            }
            ("Induction", _) if line.starts_with("  - broken by") => {
                let property = report.properties.last().cloned();
                property.and_then(|property| refuted(line, property)).map(|refuted| report.refuted.push(refuted))
            }
            (_, Some(name)) if line.starts_with("- Property") => {
                property(line, name).map(|property| report.search_properties.push(property))
            }
            (_, Some(_)) if line.starts_with("  - broken by") => {
                let property = report.search_properties.last().cloned();
                property.and_then(|property| breach(line, property)).map(|breach| report.breaches.push(breach))
            }
            (_, Some(_)) if line.starts_with("- `") => {
                let facts = lines.next().map_or("", |(_, facts)| facts);
                model(line, facts).map(|model| report.models.push(model))
            }
            _ => Some(()),
        };
        understood.ok_or_else(|| format!("line {at} is not as `cargo models` writes it: {line}"))?;
    }
    Ok(report)
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('`')?.strip_suffix('`')
}

/// - `name`: words
fn entry(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("- `")?.split_once("`: ")
}

/// The number that a text begins with: "1,234 executions".
fn counted(text: &str) -> Option<usize> {
    text.split(' ').next()?.replace(',', "").parse().ok()
}

/// `A` after 9, `B` after 1,234
fn read_hits(text: &str) -> Option<Vec<Hit>> {
    let hit = |text: &str| {
        let (name, after) = text.split_once(" after ")?;
        Some(Hit { name: quoted(name)?.into(), after: counted(after)? })
    };
    text.split(", ").map(hit).collect()
}

fn model(line: &str, facts: &str) -> Option<Model> {
    let (name, property) = entry(line)?;
    let mut facts = facts.trim().split("; ");
    let invariants = facts.next()?.split(", ").map(str::to_owned).collect();
    let (threads, steps) = facts.next()?.split_once(", ")?;
    let (reach, executions) = facts.next()?.split_once(", ")?;
    let bound = match reach {
        "exhaustive" => None,
        reach => Some(counted(reach.strip_prefix("at most ")?)?),
    };
    let (mut known_bugs, mut variants) = (Vec::new(), Vec::new());
    for found in facts {
        let (what, found) = found.split_once(' ')?;
        *(if what == "finds" { &mut known_bugs } else { &mut variants }) = read_hits(found)?;
    }
    let (threads, steps, executions) = (counted(threads)?, counted(steps)?, counted(executions)?);
    let (name, property) = (name.into(), property.into());
    Some(Model { name, property, invariants, threads, bound, steps, executions, known_bugs, variants })
}

fn property(line: &str, invariant: &str) -> Option<String> {
    Some(format!("{invariant}: {}", line.strip_prefix("- Property of the state search: ")?))
}

fn breach(line: &str, property: String) -> Option<Breach> {
    let (known_bug, way) = line.strip_prefix("  - broken by `")?.split_once("` in ")?;
    let (actions, distinct) = way.split_once(", ")?;
    Some(Breach { known_bug: known_bug.into(), property, actions: counted(actions)?, distinct: counted(distinct)? })
}

fn space(line: &str) -> Option<Space> {
    let cells: Vec<_> = line.trim_matches(['|', ' ']).split(" | ").collect();
    let [name, distinct, transitions, steps] = cells.as_slice() else { return None };
    let (distinct, transitions, steps) = (counted(distinct)?, counted(transitions)?, counted(steps)?);
    Some(Space { name: (*name).into(), distinct, transitions, steps })
}

fn closed(line: &str) -> Option<Closed> {
    let Space { name, distinct: states, transitions: steps, steps: longest } = space(line)?;
    Some(Closed { name, states, steps, longest })
}

fn contained(line: &str) -> Option<Contained> {
    let (states, rest) = line.strip_prefix("- Contains ")?.split_once(", *")?;
    let (of, name) = rest.split_once("*: ")?;
    Some(Contained { name: name.into(), of: of.into(), states: counted(states)? })
}

fn refuted(line: &str, property: String) -> Option<Refuted> {
    let (known_bug, states) = line.strip_prefix("  - broken by `")?.split_once("` within ")?;
    Some(Refuted { known_bug: known_bug.into(), property, states: counted(states)? })
}

fn walk(line: &str) -> Option<Walk> {
    let (states, name) = line.strip_prefix("- Random walks until ")?.split_once(" have been visited: ")?;
    Some(Walk { name: name.into(), states: counted(states)? })
}

#[cfg(test)]
mod tests {
    use super::{number, read, write};
    use crate::report::{Breach, Bug, Closed, Contained, Hit, Model, Refuted, Report, Space, Walk};

    fn hit(name: &str, after: usize) -> Hit {
        Hit { name: name.into(), after }
    }

    fn report() -> Report {
        let model = |name: &str, invariants: &[&str], bound, known_bugs, variants| Model {
            name: name.into(),
            property: "It holds; after 3, and: always.".into(),
            invariants: invariants.iter().map(|name| (*name).into()).collect(),
            threads: 3,
            bound,
            steps: 1,
            executions: 139_867,
            known_bugs,
            variants,
        };
        let models = vec![
            model("latch::two", &["I4", "I1"], Some(2), vec![hit("A", 1), hit("B", 1_000)], vec![hit("c", 7)]),
            model("latch::one", &["I1"], None, vec![], vec![]),
            model("latch::three", &["I16"], None, vec![], vec![hit("c", 7)]),
        ];
        let bug = |name: &str| Bug { name: name.into(), story: "**H001.** Goes `wrong`: always.".into() };
        let breach =
            |property: &str| Breach { known_bug: "A".into(), property: property.into(), actions: 1, distinct: 3_046 };
        let mut report = Report {
            models,
            bugs: ["A", "B", "C"].map(bug).into(),
            search_properties: ["I14: last, if any", "I1: first: of all"].map(str::to_owned).into(),
            spaces: vec![Space { name: "1 client, 3 events".into(), distinct: 277_716, transitions: 1, steps: 34 }],
            walks: vec![Walk { name: "3 clients".into(), states: 200_000 }],
            breaches: ["I14: last, if any", "I1: first: of all"].map(breach).into(),
            properties: vec!["I1: first: of all".into()],
            closed: vec![Closed { name: "live, and more".into(), states: 324_602, steps: 1, longest: 9 }],
            contained: vec![Contained { name: "live, and more".into(), of: "2 clients: one".into(), states: 9 }],
            refuted: vec![Refuted { known_bug: "C".into(), property: "I1: first: of all".into(), states: 1_329 }],
        };
        report.put_in_order().unwrap();
        report
    }

    #[test]
    fn what_is_written_is_read() {
        let report = report();
        let text = write(&report);
        assert_eq!(read(&text).unwrap(), report);
        assert_eq!(write(&read(&text).unwrap()), text);
    }

    #[test]
    fn the_order_of_what_was_explored_is_not_seen() {
        let (one, mut other) = (report(), report());
        other.models.reverse();
        other.search_properties.reverse();
        other.breaches.reverse();
        other.put_in_order().unwrap();
        assert_eq!(one, other);
    }

    #[test]
    fn a_line_that_was_changed_by_hand_is_named() {
        let text = write(&report()).replace("exhaustive, 139,867 executions", "exhaustive");
        assert!(read(&text).unwrap_err().contains("latch::one"));
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
    }
}
