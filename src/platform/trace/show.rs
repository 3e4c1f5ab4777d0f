//! How the columns of a trace are shown.

use std::fmt;

use super::{End, Place, Row, State, Trace};

/// The greatest width.
const WIDTH: usize = 110;

/// What stands before the columns: the step's number.
const MARGIN: usize = 4;

/// Steps that are repeated are folded if no more than this many make one round.
const LONGEST_ROUND: usize = 8;

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut order: Vec<_> = (0..self.columns.len()).collect();
        order.sort_by_key(|column| self.columns[*column].number);
        self.table(f, &order)?;
        writeln!(f)?;
        self.end(f, &order)
    }
}

impl Trace {
    /// What happened.
    fn table(&self, f: &mut fmt::Formatter<'_>, order: &[usize]) -> fmt::Result {
        let widths = self.widths(order);
        let line = |f: &mut fmt::Formatter<'_>, step: &str, place: usize, words: &str| {
            let cells =
                (0..).zip(&widths).map(|(at, width)| format!("{:width$}", if at == place { words } else { "" }));
            writeln!(f, "{}", format!("{step:>3} {}", cells.collect::<Vec<_>>().join(" │ ")).trim_end())
        };
        let heads = order.iter().zip(&widths).map(|(column, width)| format!("{:width$}", self.columns[*column].name));
        writeln!(f, "    {}", heads.collect::<Vec<_>>().join(" │ ").trim_end())?;
        writeln!(f, "    {}", widths.iter().map(|width| "─".repeat(*width)).collect::<Vec<_>>().join("─┼─"))?;
        let mut step = 0;
        while step < self.rows.len() {
            let (round, times) = rounds(&self.rows[step..]);
            for (number, row) in (step + 1..).zip(&self.rows[step..step + round]) {
                let place = order.iter().position(|column| *column == row.column).unwrap_or_default();
                for (row, words) in wrap(&row.words, widths[place]).iter().enumerate() {
                    line(f, &if row == 0 { number.to_string() } else { String::new() }, place, words)?;
                }
            }
            if times > 1 {
                let steps = if round == 1 { "this step".into() } else { format!("these {round} steps") };
                writeln!(f, "  … {steps}, {times} times")?;
            }
            step += round * times;
        }
        Ok(())
    }

    /// How wide the columns are: as their longest words, if there is room for that, or else an
    /// equal share of what is left.
    fn widths(&self, order: &[usize]) -> Vec<usize> {
        let wanted = |column: &usize| {
            let rows = self.rows.iter().filter(|row| row.column == *column).map(|row| row.words.as_str());
            rows.chain([self.columns[*column].name.as_str()])
                .map(|words| words.chars().count())
                .max()
                .unwrap_or_default()
        };
        let wanted: Vec<_> = order.iter().map(wanted).collect();
        let mut left = WIDTH - MARGIN - " │ ".chars().count() * order.len().saturating_sub(1);
        let mut widths = vec![0; wanted.len()];
        let mut narrow_first: Vec<_> = (0..wanted.len()).collect();
        narrow_first.sort_by_key(|column| wanted[*column]);
        for (done, column) in narrow_first.into_iter().enumerate() {
            widths[column] = wanted[column].min(left / (wanted.len() - done));
            left -= widths[column];
        }
        widths
    }

    /// How it ended.
    fn end(&self, f: &mut fmt::Formatter<'_>, order: &[usize]) -> fmt::Result {
        let deadlock = self.end == End::Deadlock;
        match &self.end {
            End::Deadlock => paragraph(f, "", "Deadlock: no thread can go on, and none has woken those parked.")?,
            End::Spins => paragraph(f, "", "No end: a thread looks again and again for something that never comes.")?,
            End::Failed(message) => paragraph(f, "", &format!("Failed: {message}"))?,
            End::Passed => paragraph(f, "", "Nothing failed.")?,
        }
        let longest = self.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or_default();
        for column in order {
            let place = match &self.columns[*column].place {
                _ if self.failed == Some(*column) && self.end == End::Spins => "looking again and again".into(),
                _ if self.failed == Some(*column) && !deadlock => "failed".into(),
                Place::Parked { row, reason, .. } => format!("parked since {row}: {reason}"),
                Place::Waits { row, reason } => format!("waiting since {row}: {reason}"),
                Place::Ended => "ended".into(),
                Place::Locks if deadlock => "waiting for a lock".into(),
                Place::Going if deadlock => "waiting for something that it has not said".into(),
                Place::Locks | Place::Going => "about to go on".into(),
            };
            paragraph(f, &format!("  {:longest$}  ", self.columns[*column].name), &place)?;
        }
        for State { thing, parts, more } in &self.states {
            let more = if more.is_empty() { String::new() } else { format!("; {more}") };
            paragraph(f, "  ", &format!("{thing} {}{more}", parts.join("; ")))?;
        }
        Ok(())
    }
}

/// The shortest round of steps at the beginning that is repeated at once, and how often it is
/// there.
fn rounds(rows: &[Row]) -> (usize, usize) {
    let times = |round: usize| rows.chunks(round).take_while(|chunk| *chunk == &rows[..round]).count();
    let mut rounds = (1..=LONGEST_ROUND.min(rows.len())).map(|round| (round, times(round)));
    rounds.find(|(_, times)| *times > 2).unwrap_or((1, 1))
}

/// A paragraph with a hanging indent below what it begins with.
fn paragraph(f: &mut fmt::Formatter<'_>, begins: &str, words: &str) -> fmt::Result {
    let indent = begins.chars().count();
    for (row, words) in wrap(words, WIDTH - indent).iter().enumerate() {
        let before = if row == 0 { begins.into() } else { " ".repeat(indent) };
        writeln!(f, "{before}{words}")?;
    }
    Ok(())
}

/// Lines of at most `width`, broken between words.
fn wrap(words: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split_whitespace() {
        let last = lines.last_mut().expect("there is one at least");
        if last.is_empty() {
            *last = word.into();
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.into());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_is_folded() {
        let row = |column, words: &str| Row { column, words: words.into(), times: 1, closed: false };
        let push = || [row(1, "push"), row(2, "behind")];
        let rows: Vec<_> = push().into_iter().chain(push()).chain(push()).chain([row(1, "push")]).collect();
        assert_eq!(rounds(&rows), (2, 3));
        assert_eq!(rounds(&rows[2..]), (1, 1), "twice is not worth it");
        assert_eq!(rounds(&rows[6..]), (1, 1));
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable", 7), ["unbreakable"]);
    }
}
