//! The merge gives the answers of a reference engine: see `conformance/README.md`.
//!
//! `LATCHWORK_MERGE_CASES` names another file of the same form to be compared as well.

#![cfg(not(loom))]

use std::fmt::Write as _;
use std::path::Path;
use std::{fmt, fs};

use latchwork::sync_state::{Entry, Error, Event, LocalOnly, Outcome, Payload, SeqNum, SyncState};
use serde::Deserialize;

#[derive(Clone, PartialEq, Deserialize)]
#[serde(try_from = "String")]
struct Number(SeqNum);

impl TryFrom<String> for Number {
    type Error = latchwork::sync_state::ParseSeqNumError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let number: SeqNum = text.parse()?;
        assert_eq!(number.to_string(), text, "the text form is not the reference's");
        Ok(Self(number))
    }
}

#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbered {
    seq: Number,
    parent: Number,
    id: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct State {
    pending: Vec<Numbered>,
    upstream_head: Number,
    local_head: Number,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "tag", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
enum Given {
    LocalPush { new_events: Vec<Numbered> },
    UpstreamAdvance { new_events: Vec<Numbered> },
    UpstreamRebase { rollback_events: Vec<Numbered>, new_events: Vec<Numbered> },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "tag", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
enum Answer {
    Advance { state: State, new_events: Vec<Numbered>, confirmed_events: Vec<Numbered> },
    Rebase { state: State, new_events: Vec<Numbered>, rollback_events: Vec<Numbered> },
    Reject { expected_minimum: Number },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Expected {
    Answer(Answer),
    Error { error: String },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    state: State,
    payload: Given,
    ignore_local_only: bool,
    expect: Expected,
    #[serde(default)]
    reference_defect: bool,
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}<{}", self.id, self.seq.0, self.parent.0)
    }
}

#[derive(Clone, Debug)]
struct Named(String);

impl Event for Named {
    fn is_local_only(&self) -> bool {
        self.0.starts_with('c')
    }
    fn is_same_as(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl From<Numbered> for Entry<Named> {
    fn from(Numbered { seq, parent, id }: Numbered) -> Self {
        let (seq, parent, event) = (seq.0, parent.0, Named(id));
        Self { seq, parent, event }
    }
}

impl From<Entry<&Named>> for Numbered {
    fn from(Entry { seq, parent, event }: Entry<&Named>) -> Self {
        let (seq, parent, id) = (Number(seq), Number(parent), event.0.clone());
        Self { seq, parent, id }
    }
}

fn entries(list: &[Numbered]) -> Vec<Entry<Named>> {
    list.iter().cloned().map(Entry::from).collect()
}

fn listed<'a>(entries: impl Iterator<Item = Entry<&'a Named>>) -> Vec<Numbered> {
    entries.map(Numbered::from).collect()
}

impl State {
    fn of(state: &SyncState<Named>) -> Self {
        Self {
            pending: listed(state.pending()),
            upstream_head: Number(state.upstream_head()),
            local_head: Number(state.local_head()),
        }
    }
}

impl Given {
    fn payload(&self) -> Payload<Named> {
        match self {
            Self::LocalPush { new_events } => Payload::LocalPush { entries: entries(new_events) },
            Self::UpstreamAdvance { new_events } => Payload::UpstreamAdvance { entries: entries(new_events) },
            Self::UpstreamRebase { rollback_events, new_events } => {
                Payload::UpstreamRebase { rolled_back: entries(rollback_events), entries: entries(new_events) }
            }
        }
    }
}

fn named(error: &Error) -> &'static str {
    match error {
        Error::NotAscending { .. } => "not-ascending",
        Error::BehindUpstreamHead { .. } => "behind-upstream-head",
        Error::NotNext { .. } | Error::Parent { .. } => "broken-chain",
        Error::LocalHeadMovedBack { .. } => "local-head-moved-back",
        Error::UpstreamHeadMovedBack { .. } => "upstream-head-moved-back",
        Error::Exhausted { .. } => "exhausted",
        _ => "another one",
    }
}

fn named_at_rehydration(error: &Error) -> &'static str {
    match error {
        Error::BehindUpstreamHead { .. } | Error::LocalHead { .. } => "head-order",
        Error::NotNext { .. } | Error::Parent { .. } => "broken-chain",
        Error::Exhausted { .. } => "exhausted",
        _ => "another one",
    }
}

/// What this crate answers, and whether the state is as it should be where the answer does not show it.
fn answer(case: &Case) -> Result<Expected, String> {
    let error = |error: &str| Ok(Expected::Error { error: error.to_owned() });
    let State { pending, upstream_head, local_head } = &case.state;
    let mut state = match SyncState::rehydrate(upstream_head.0, local_head.0, entries(pending)) {
        Ok(state) => state.with_local_only(if case.ignore_local_only { LocalOnly::Passed } else { LocalOnly::Shared }),
        Err(cause) => return error(named_at_rehydration(&cause)),
    };
    if State::of(&state) != case.state {
        return Err(format!("rehydrated as {:?}", State::of(&state)));
    }
    let answer = match state.merge(case.payload.payload()) {
        Ok(Outcome::Advance(advance)) => {
            let new_events = listed(advance.new_entries());
            let confirmed_events = listed(advance.confirmed.iter().map(Entry::as_ref));
            Answer::Advance { state: State::of(&state), new_events, confirmed_events }
        }
        Ok(Outcome::Rebase(rebase)) => {
            let new_events = listed(rebase.new_entries());
            let rollback_events = listed(rebase.rolled_back());
            Answer::Rebase { state: State::of(&state), new_events, rollback_events }
        }
        Ok(Outcome::Reject { expected_minimum, .. }) => {
            let expected_minimum = Number(expected_minimum);
            unchanged(case, &state)?;
            Answer::Reject { expected_minimum }
        }
        Err(cause) => {
            unchanged(case, &state)?;
            return error(named(&cause));
        }
    };
    Ok(Expected::Answer(answer))
}

fn unchanged(case: &Case, state: &SyncState<Named>) -> Result<(), String> {
    let now = State::of(state);
    if now == case.state { Ok(()) } else { Err(format!("refused, but the state became {now:?}")) }
}

#[derive(Debug, Default, PartialEq)]
struct Compared {
    cases: usize,
    reference_defects: usize,
}

/// Compares every line, and says all that disagree.
fn compare(name: &str, lines: &str) -> Compared {
    let mut compared = Compared::default();
    let mut disagreements = String::new();
    for (number, line) in (1..).zip(lines.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let case: Case = serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}:{number}: {error}\n{line}"));
        compared.cases += 1;
        compared.reference_defects += usize::from(case.reference_defect);
        let got = answer(&case);
        if got.as_ref() != Ok(&case.expect) {
            let expected = &case.expect;
            writeln!(disagreements, "{name}:{number}\n  case     {line}\n  expected {expected:?}\n  got      {got:?}")
                .expect("a String takes anything");
        }
    }
    println!(
        "{name}: {} cases compared, {} of them where the reference is wrong",
        compared.cases, compared.reference_defects
    );
    assert!(disagreements.is_empty(), "\n{disagreements}");
    compared
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_answer_is_the_reference_engines() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/merge.jsonl");
    let compared = compare("merge.jsonl", &read(&path));
    assert_eq!(compared, Compared { cases: 2_000, reference_defects: 9 });
}

#[test]
fn merge_answers_the_named_file_as_the_reference_engine_does() {
    let Some(path) = std::env::var_os("LATCHWORK_MERGE_CASES") else {
        println!("LATCHWORK_MERGE_CASES is not set: nothing compared");
        return;
    };
    let compared = compare(&path.to_string_lossy(), &read(Path::new(&path)));
    assert!(compared.cases > 0, "{path:?} holds no case");
}

#[test]
#[should_panic(expected = "twisted:2\n")]
fn a_wrong_expectation_is_found() {
    let right = r#"{"state":{"pending":[],"upstreamHead":"e4","localHead":"e4"},"payload":{"tag":"local-push","newEvents":[{"seq":"e4","parent":"e3","id":"g5"}]},"ignoreLocalOnly":false,"expect":{"tag":"reject","expectedMinimum":"e4.1"}}"#;
    let wrong = right.replace("e4.1", "e4.2");
    compare("twisted", &format!("{right}\n{wrong}\n"));
}
