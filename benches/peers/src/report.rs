//! What came of it: each goal with the measured figure and a verdict, as a table, as JSON and as a picture.

use std::fmt::Write;

use serde::Serialize;
use svg::Document;
use svg::node::element::{Circle, Line, Rectangle, Text};

use crate::turns::{Results, Spread};

/// What a figure is to be.
#[derive(Debug, Clone, Copy, Serialize)]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// Three quarters of the rounds reached the goal.
    Reached,
    /// Some did.
    Close,
    /// Three quarters did not.
    Missed,
}

impl Verdict {
    fn of(limit: Limit, measured: Spread) -> Self {
        // The quartiles, the better one first.
        let (better, worse, limit) = match limit {
            Limit::AtMost(limit) => (measured.lower, measured.upper, limit),
            Limit::AtLeast(limit) => (-measured.upper, -measured.lower, -limit),
        };
        if worse <= limit {
            Self::Reached
        } else if better <= limit {
            Self::Close
        } else {
            Self::Missed
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Close => "close",
            Self::Missed => "**missed**",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Reached => "#2b8a3e",
            Self::Close => "#e67700",
            Self::Missed => "#c92a2a",
        }
    }
}

/// A goal and what was measured.
#[derive(Debug, Serialize)]
pub struct Judged {
    pub what: String,
    pub goal: String,
    pub limit: Limit,
    pub unit: &'static str,
    pub measured: Spread,
    pub verdict: Verdict,
}

/// Figures behind the goals, of everybody who took part.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub what: String,
    pub unit: &'static str,
    pub of: Vec<(String, Spread)>,
    /// The machine's load averages right after these were measured.
    pub load: String,
}

#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub judged: Vec<Judged>,
    pub figures: Vec<Figures>,
}

impl Report {
    pub fn judge(&mut self, what: &str, goal: String, limit: Limit, unit: &'static str, measured: Spread) {
        let verdict = Verdict::of(limit, measured);
        self.judged.push(Judged { what: what.to_owned(), goal, limit, unit, measured, verdict });
    }

    /// Judges how many times as much `ours` took as `other`.
    pub fn judge_ratio(&mut self, what: &str, results: &Results, ours: &'static str, other: &'static str, limit: f64) {
        let goal = if limit == 1.0 { format!("ahead of {other}") } else { format!("at most {limit} × {other}") };
        self.judge(what, goal, Limit::AtMost(limit), "×", results.ratio(ours, other));
    }

    /// Judges against whichever of `peers` took least.
    pub fn judge_best(
        &mut self,
        what: &str,
        results: &Results,
        ours: &'static str,
        peers: &[&'static str],
        limit: f64,
    ) {
        let best = results.least(peers);
        let goal = if limit == 1.0 {
            format!("ahead of every peer (best: {best})")
        } else {
            format!("at most {limit} × the best peer ({best})")
        };
        self.judge(what, goal, Limit::AtMost(limit), "×", results.ratio(ours, best));
    }

    /// Notes what everybody measured.
    pub fn note(&mut self, what: &str, unit: &'static str, results: &Results) {
        let of = results.all().into_iter().map(|(name, spread)| (name.to_owned(), spread)).collect();
        self.figures.push(Figures { what: what.to_owned(), unit, of, load: load() });
    }

    /// Both tables.
    pub fn tables(&self) -> String {
        let mut text = String::from("| what | goal | measured (quartiles) | verdict |\n| --- | --- | --- | --- |\n");
        for Judged { what, goal, unit, measured, verdict, .. } in &self.judged {
            let verdict = verdict.text();
            let _ = writeln!(text, "| {what} | {goal} | {} | {verdict} |", with_quartiles(*measured, unit));
        }
        text.push_str("\n| figures | median (quartiles), least first |\n| --- | --- |\n");
        for Figures { what, unit, of, load } in &self.figures {
            let mut of: Vec<_> = of.iter().collect();
            of.sort_by(|one, other| one.1.median.total_cmp(&other.1.median));
            let of: Vec<_> =
                of.iter().map(|(name, spread)| format!("{name} {}", with_quartiles(*spread, unit))).collect();
            let _ = writeln!(text, "| {what} (load {load}) | {} |", of.join("; "));
        }
        text
    }

    /// How far each figure is from its goal: left of the line it is reached.
    pub fn picture(&self) -> Document {
        const LINE: f64 = 22.0;
        const LEFT: f64 = 660.0;
        const WIDTH: f64 = 1100.0;
        const MARGIN: f64 = 40.0;
        // Hundredfold better to tenfold worse.
        const DECADES: (f64, f64) = (-2.0, 1.0);
        let height = LINE * (self.judged.len() as f64 + 2.0);
        let x = |share: f64| {
            let share = share.log10().clamp(DECADES.0, DECADES.1);
            LEFT + (share - DECADES.0) / (DECADES.1 - DECADES.0) * (WIDTH - LEFT - 20.0)
        };
        let label = |text: &str, x: f64, y: f64| {
            Text::new(text).set("x", x).set("y", y).set("font-size", 12).set("font-family", "sans-serif")
        };
        let background =
            Rectangle::new().set("x", -MARGIN).set("width", "100%").set("height", "100%").set("fill", "white");
        let mut picture = Document::new().set("viewBox", (-MARGIN, 0, WIDTH + MARGIN, height)).add(background);
        for (share, text) in [(0.01, "1/100"), (0.1, "1/10"), (1.0, "goal"), (10.0, "10 ×")] {
            let colour = if share == 1.0 { "#495057" } else { "#dee2e6" };
            let line = Line::new().set("x1", x(share)).set("x2", x(share)).set("y1", LINE).set("y2", height);
            let text = label(text, x(share), LINE * 0.7).set("text-anchor", "middle");
            picture = picture.add(line.set("stroke", colour)).add(text);
        }
        for (index, Judged { what, goal, limit, measured, verdict, .. }) in self.judged.iter().enumerate() {
            let y = LINE * (index as f64 + 1.7);
            let share = |figure: f64| match limit {
                Limit::AtMost(limit) => figure / limit,
                Limit::AtLeast(limit) => limit / figure,
            };
            let colour = verdict.colour();
            let whisker = Line::new().set("x1", x(share(measured.lower))).set("x2", x(share(measured.upper)));
            let whisker = whisker.set("y1", y).set("y2", y).set("stroke", colour).set("stroke-width", 3);
            let median = Circle::new().set("cx", x(share(measured.median))).set("cy", y).set("r", 4.5);
            let text = label(&format!("{what}: {}", short(goal)), LEFT - 12.0, y + 4.0).set("text-anchor", "end");
            picture = picture.add(text).add(whisker).add(median.set("fill", colour));
        }
        picture
    }
}

/// A goal without what stands in brackets.
fn short(goal: &str) -> &str {
    goal.split(" (").next().unwrap_or(goal)
}

fn with_quartiles(spread: Spread, unit: &str) -> String {
    let Spread { lower, median, upper, .. } = spread;
    if lower == upper {
        return format!("{} {unit}", figure(median));
    }
    format!("{} {unit} ({}–{})", figure(median), figure(lower), figure(upper))
}

/// Three digits are all that such measurements are worth.
fn figure(figure: f64) -> String {
    match figure {
        _ if figure >= 100.0 || (figure.fract() == 0.0 && figure != 1.0) => format!("{figure:.0}"),
        _ if figure >= 10.0 => format!("{figure:.1}"),
        _ if figure >= 0.1 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

/// The machine's load averages, where it tells them.
pub fn load() -> String {
    let all = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let three: Vec<_> = all.split_whitespace().take(3).collect();
    if three.is_empty() { "unknown".to_owned() } else { three.join(" ") }
}
