//! The stories as one picture.

use std::fmt::Write;

use super::story::{Participant, Step};
use super::{GREEN, Part, RED};

const WIDTH: usize = 1000;
const ROW: usize = 30;
/// From the top of a part to its first step.
const HEAD: usize = 78;
/// Below its last step.
const FOOT: usize = 66;
const GAP: usize = 18;

const fn x(participant: Participant) -> usize {
    match participant {
        Participant::Client => 100,
        Participant::Pusher => 300,
        Participant::Puller => 610,
        Participant::Upstream => 940,
    }
}

pub fn draw(parts: &[Part]) -> String {
    // What a part has in common with the first one is drawn there only.
    let panels: Vec<_> =
        (0..).zip(parts).map(|(index, part)| Panel::new(part, if index > 0 { &parts[0] } else { part })).collect();
    let all = panels.iter().map(|panel| panel.height() + GAP).sum::<usize>() - GAP;
    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {all}" width="{WIDTH}" height="{all}" role="img">
<title>H001 as a sequence diagram</title>
<style>
text {{ font: 14px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }}
.title {{ font-size: 17px; font-weight: 600 }}
.participant {{ font-weight: 600; text-anchor: middle }}
.step {{ paint-order: stroke; stroke: #ffffff; stroke-width: 5px; stroke-linejoin: round }}
.event {{ font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 13px }}
.epoch {{ fill: #656d76; text-anchor: end }}
.end {{ text-anchor: end }}
.line {{ stroke: #8c959f; stroke-width: 1 }}
.stuck {{ stroke: #cf222e; stroke-width: 4 }}
.bad {{ fill: #cf222e; font-weight: 600 }}
.before {{ fill: #656d76; font-style: italic }}
.arrow {{ stroke: #424a53; stroke-width: 1.4; fill: none; marker-end: url(#tip) }}
.dot {{ fill: #424a53 }}
</style>
<defs><marker id="tip" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#424a53"/></marker></defs>
"##
    );
    let mut top = 0;
    for panel in panels {
        panel.draw(top, &mut out);
        top += panel.height() + GAP;
    }
    out.push_str("</svg>\n");
    out
}

/// A part, without the first so many steps.
struct Panel<'a> {
    part: &'a Part,
    known: usize,
    /// How many lines are drawn: a step each, and one that says what is left out, or what has become of the pusher.
    rows: usize,
}

impl<'a> Panel<'a> {
    fn new(part: &'a Part, before: &Part) -> Self {
        let known = if std::ptr::eq(part, before) { 0 } else { part.as_in(before) };
        let extra = usize::from(known > 0) + usize::from(part.stalled());
        Self { part, known, rows: part.scene.steps.len() - known + extra }
    }

    fn height(&self) -> usize {
        HEAD + self.rows * ROW + FOOT
    }

    fn draw(&self, top: usize, out: &mut String) {
        let part = self.part;
        let (red, green, blue) = if part.stalled() { RED } else { GREEN };
        let last = top + HEAD + self.rows * ROW;
        let y = |row: usize| top + HEAD + row * ROW + ROW / 2;
        let mut put = |line: String| {
            out.push_str(&line);
            out.push('\n');
        };
        put(format!(
            r##"<rect x="0.5" y="{top}.5" width="{}" height="{}" rx="8" fill="#ffffff" stroke="#d0d7de"/>"##,
            WIDTH - 1,
            self.height() - 1
        ));
        put(format!(r#"<text class="title" x="20" y="{}">{}</text>"#, top + 28, escape(&part.title())));
        put(format!(r#"<text class="epoch" x="52" y="{}">epoch</text>"#, top + 56));
        for participant in Participant::ALL {
            let x = x(participant);
            put(format!(r#"<text class="participant" x="{x}" y="{}">{}</text>"#, top + 56, participant.name()));
            put(format!(r#"<line class="line" x1="{x}" y1="{}" x2="{x}" y2="{last}"/>"#, top + 64));
        }
        let mut row = 0;
        if self.known > 0 {
            let x = x(Participant::Client) + 12;
            put(format!(
                r#"<text class="before step" x="{x}" y="{}">as above, until upstream has refused the push</text>"#,
                y(row) + 5
            ));
            row += 1;
        }
        let parked = part.scene.steps.iter().rposition(|step| step.event == Some("park"));
        for (index, step) in part.scene.steps.iter().enumerate().skip(self.known) {
            if part.stalled() && Some(index) == parked {
                let x = x(Participant::Pusher);
                put(format!(r#"<line class="stuck" x1="{x}" y1="{}" x2="{x}" y2="{last}"/>"#, y(row)));
            }
            if let Some(epoch) = step.epoch {
                put(format!(r#"<text class="epoch" x="52" y="{}">{epoch}</text>"#, y(row) + 5));
            }
            put(draw_step(step, y(row)));
            row += 1;
        }
        if part.stalled() {
            let x = x(Participant::Pusher) + 12;
            put(format!(r#"<text class="bad step" x="{x}" y="{}">parked, and nothing wakes it</text>"#, y(row) + 5));
        }
        put(format!(
            r#"<rect x="12" y="{}" width="{}" height="42" rx="6" fill="rgb({red},{green},{blue})"/>"#,
            last + 12,
            WIDTH - 24
        ));
        put(format!(r#"<text x="24" y="{}">{}</text>"#, last + 38, escape(&part.verdict())));
    }
}

fn draw_step(step: &Step, y: usize) -> String {
    let from = x(step.from);
    let Some(to) = step.to else {
        // Upstream's stand on its left: there is no room on the right.
        let (at, class) =
            if step.from == Participant::Upstream { (from - 12, "step end") } else { (from + 12, "step") };
        return format!(
            r#"<circle class="dot" cx="{from}" cy="{y}" r="4"/><text class="{class}" x="{at}" y="{}">{}</text>"#,
            y + 5,
            label(step)
        );
    };
    let to = x(to);
    let tip = if from < to { to - 2 } else { to + 2 };
    let (at, class) = if from < to { (from + 14, "step") } else { (from - 14, "step end") };
    format!(
        r#"<line class="arrow" x1="{from}" y1="{0}" x2="{tip}" y2="{0}"/><text class="{class}" x="{at}" y="{1}">{2}</text>"#,
        y + 8,
        y + 2,
        label(step)
    )
}

fn label(step: &Step) -> String {
    let mut text = String::new();
    if let Some(event) = step.event {
        let _infallible = write!(text, r#"<tspan class="event">{event}</tspan>"#);
        if !step.text.is_empty() {
            text.push_str(": ");
        }
    }
    text.push_str(&escape(&step.text));
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
