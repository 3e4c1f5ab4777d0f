//! A story as a sequence diagram in text: one line for each step, time going down.

use std::borrow::Cow;

use textwrap::{Options, WordSplitter};

use super::story::{Participant, Step};

/// How a piece of text looks on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Dim,
    Bold,
    Good,
    Bad,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Dim => "2",
            Self::Bold => "1",
            Self::Good => "1;32",
            Self::Bad => "1;31",
        }
    }

    /// The text as a terminal shows it in this style; as it is elsewhere.
    pub fn paint(self, text: &str, colour: bool) -> String {
        if colour && self != Self::Plain { format!("\x1b[{}m{text}\x1b[0m", self.code()) } else { text.to_owned() }
    }
}

/// The greatest number of columns.
pub const WIDTH: usize = 100;
const HEADING: &str = "epoch";

const fn column(participant: Participant) -> usize {
    match participant {
        Participant::Client => 10,
        Participant::Pusher => 32,
        Participant::Puller => 63,
        Participant::Upstream => WIDTH - 1,
    }
}

/// A line of cells, so that what is drawn over a lifeline replaces it.
struct Row(Vec<(char, Style)>);

impl Row {
    fn blank() -> Self {
        Self(vec![(' ', Style::Plain); WIDTH])
    }

    /// Nothing but the lifelines.
    fn lifelines() -> Self {
        let mut row = Self::blank();
        Participant::ALL.iter().for_each(|participant| row.put(column(*participant), "│", Style::Dim));
        row
    }

    fn put(&mut self, at: usize, text: &str, style: Style) {
        for (cell, char) in self.0.iter_mut().skip(at).zip(text.chars()) {
            *cell = (char, style);
        }
    }

    /// A step's label, the event's name standing out; `shown` is the part of it that goes on this
    /// line.
    fn label(&mut self, at: usize, step: &Step, shown: &str, first: bool) {
        self.put(at, shown, Style::Plain);
        if let Some(event) = step.event.filter(|_| first) {
            self.put(at, event, Style::Bold);
        }
    }

    fn epoch(&mut self, epoch: Option<u64>) {
        if let Some(epoch) = epoch {
            self.put(0, &format!("{epoch:>width$}", width = HEADING.len()), Style::Dim);
        }
    }

    fn print(&self, colour: bool, out: &mut String) {
        let end = self.0.iter().rposition(|(char, _)| *char != ' ').map_or(0, |last| last + 1);
        for run in self.0[..end].chunk_by(|a, b| a.1 == b.1) {
            let text: String = run.iter().map(|(char, _)| char).collect();
            out.push_str(&run[0].1.paint(&text, colour));
        }
        out.push('\n');
    }
}

/// The steps, and at last what has become of the pusher. Of `known` steps at the beginning nothing
/// is shown.
pub fn draw(steps: &[Step], known: usize, stalled: bool, colour: bool) -> String {
    let mut rows = vec![heading(), Row::lifelines()];
    if known > 0 {
        let mut row = Row::lifelines();
        Participant::ALL.iter().for_each(|participant| row.put(column(*participant), "┆", Style::Dim));
        row.put(column(Participant::Client) + 2, "(as in 1)", Style::Dim);
        rows.push(row);
    }
    for step in &steps[known..] {
        match step.to {
            Some(to) => rows.push(message(step, to)),
            None => rows.extend(note(step)),
        }
    }
    rows.push(Row::lifelines());
    let (mark, text, style) = if stalled {
        ("✗", " parked, and nothing wakes it", Style::Bad)
    } else {
        ("✓", " nothing is pending", Style::Good)
    };
    if let Some(row) = rows.last_mut() {
        row.put(column(Participant::Pusher), mark, style);
        row.put(column(Participant::Pusher) + 1, text, style);
    }
    let mut out = String::new();
    rows.iter().for_each(|row| row.print(colour, &mut out));
    out
}

fn heading() -> Row {
    let mut row = Row::blank();
    row.put(0, HEADING, Style::Dim);
    for participant in Participant::ALL {
        let name = participant.name();
        let at = column(participant).saturating_sub(name.len() / 2).min(WIDTH - name.len());
        row.put(at, name, Style::Bold);
    }
    row
}

/// Beside its lifeline, on as many lines as it takes. Upstream's stand on its left: there is no
/// room on the right.
fn note(step: &Step) -> Vec<Row> {
    let at = column(step.from);
    let next = Participant::ALL.into_iter().map(column).find(|column| *column > at);
    let room = next.unwrap_or(at + column(Participant::Upstream) - column(Participant::Puller)) - at - 4;
    let label = step.label();
    let lines = wrap(&label, room);
    let rows = lines.iter().enumerate().map(|(index, line)| {
        let mut row = Row::lifelines();
        if index == 0 {
            row.put(at, "●", Style::Plain);
            row.epoch(step.epoch);
        }
        let from = if next.is_some() { at + 2 } else { at - 1 - line.chars().count() };
        row.label(from, step, line, index == 0);
        row
    });
    rows.collect()
}

/// From one to another.
fn message(step: &Step, to: Participant) -> Row {
    let (from, to) = (column(step.from), column(to));
    let (left, right) = (from.min(to), from.max(to));
    let mut row = Row::lifelines();
    row.epoch(step.epoch);
    row.put(left, &"─".repeat(right - left), Style::Dim);
    let label = format!(" {} ", step.label());
    let room = right - left - 4;
    assert!(label.chars().count() <= room, "no room for {label:?} in {room} columns");
    let start = if from < to {
        row.put(left, "├", Style::Dim);
        row.put(right - 1, "►", Style::Dim);
        left + 2
    } else {
        row.put(left + 1, "◄", Style::Dim);
        row.put(left, "│", Style::Dim);
        row.put(right, "┤", Style::Dim);
        right - 1 - label.chars().count()
    };
    row.put(start, " ", Style::Plain);
    row.put(start + label.chars().count() - 1, " ", Style::Plain);
    row.label(start + 1, step, &step.label(), true);
    row
}

/// Words in lines of so many columns.
pub fn wrap(text: &str, columns: usize) -> Vec<Cow<'_, str>> {
    textwrap::wrap(text, Options::new(columns).word_splitter(WordSplitter::NoHyphenation).break_words(false))
}
