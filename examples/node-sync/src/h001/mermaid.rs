//! The stories as one sequence diagram of [Mermaid](https://mermaid.js.org).

use super::story::{Participant, Step};
use super::{GREEN, Part, RED};

/// What Mermaid would take for syntax.
fn plain(text: &str) -> String {
    text.replace(';', ",").replace('#', "no. ")
}

pub fn draw(parts: &[Part]) -> String {
    let mut lines = vec!["sequenceDiagram".to_owned()];
    lines.extend(Participant::ALL.map(|participant| format!("    participant {}", participant.name())));
    for part in parts {
        let (red, green, blue) = if part.stalled() { RED } else { GREEN };
        lines.push(format!("    rect rgb({red}, {green}, {blue})"));
        lines.push(format!("    Note over client,upstream: {}", plain(&part.title())));
        lines.extend(part.scene.steps.iter().map(|step| format!("    {}", line(step))));
        lines.push(format!("    Note over client,upstream: {}", plain(&part.verdict())));
        lines.push("    end".to_owned());
    }
    lines.push(String::new());
    lines.join("\n")
}

fn line(step: &Step) -> String {
    let label = plain(&step.label());
    let label = step.epoch.map_or(label.clone(), |epoch| format!("{label} (epoch {epoch})"));
    match step.to {
        Some(to) => format!("{}->>{}: {label}", step.from.name(), to.name()),
        None => format!("Note over {}: {label}", step.from.name()),
    }
}
