//! What happened, in order: what the replicator tells `tracing`, and what the stage adds.
//!
//! The replicator's events of one thread come in their order, those of two threads in any. Here everything waits for the
//! stage, which goes on only when it has read what it waits for; so there is one order, but for one pair: the thread that merges
//! wakes the pusher under the lock and tells of it afterwards, and the pusher may be faster. So a `resume` waits until what
//! it names has been told: an effect is written down after its cause.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Participant {
    Client,
    Pusher,
    Puller,
    Upstream,
}

impl Participant {
    pub const ALL: [Self; 4] = [Self::Client, Self::Pusher, Self::Puller, Self::Upstream];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Pusher => "pusher",
            Self::Puller => "puller",
            Self::Upstream => "upstream",
        }
    }

    /// The participant that is the thread that calls this.
    fn here() -> Self {
        match thread::current().name() {
            Some("latchwork-push") => Self::Pusher,
            Some("latchwork-pull") => Self::Puller,
            _ => Self::Client,
        }
    }
}

/// One thing that happened: of one participant, or from one to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub from: Participant,
    pub to: Option<Participant>,
    /// The name of the replicator's event; nothing for what the stage says.
    pub event: Option<&'static str>,
    pub text: String,
    /// The epoch at that moment, as the event has it.
    pub epoch: Option<u64>,
}

impl Step {
    /// What the stage says of a participant, or of a message.
    pub fn said(from: Participant, to: Option<Participant>, text: impl Into<String>) -> Self {
        Self { from, to, event: None, text: text.into(), epoch: None }
    }

    /// The whole of it.
    pub fn label(&self) -> String {
        match self.event {
            Some(event) if self.text.is_empty() => event.to_owned(),
            Some(event) => format!("{event}: {}", self.text),
            None => self.text.clone(),
        }
    }
}

#[derive(Debug, Default)]
struct Told {
    steps: Vec<Step>,
    /// How often the puller has come back for a page: all before it have been applied.
    pages_asked: usize,
}

/// A story as it is told.
#[derive(Debug, Default)]
pub struct Story {
    told: Mutex<Told>,
    more: Condvar,
}

/// What does not come within this time does not come. Nothing here waits for a timer.
const LONG: Duration = Duration::from_secs(10);

/// What the stage waited for did not happen.
#[derive(Debug, thiserror::Error)]
#[error("{0} did not happen within {LONG:?}; what did:\n{labels}", labels = labels(.1))]
pub struct Missing(String, Vec<Step>);

fn labels(steps: &[Step]) -> String {
    let line = |step: &Step| format!("{}: {}", step.from.name(), step.label());
    steps.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Story {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tell(&self, step: Step) {
        self.lock().steps.push(step);
        self.more.notify_all();
    }

    /// The puller has applied what it was given, and asks for more.
    pub fn page_asked(&self) {
        self.lock().pages_asked += 1;
        self.more.notify_all();
    }

    pub fn steps(&self) -> Vec<Step> {
        self.lock().steps.clone()
    }

    fn until(&self, what: &str, found: impl Fn(&Told) -> bool) -> Result<(), Missing> {
        let waited = self.more.wait_timeout_while(self.lock(), LONG, |told| !found(told));
        let (told, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() { Err(Missing(what.to_owned(), told.steps.clone())) } else { Ok(()) }
    }

    /// Waits until the replicator has told of so many events of this name.
    pub fn until_event(&self, event: &str, times: usize) -> Result<(), Missing> {
        let count = |told: &Told| told.steps.iter().filter(|step| step.event == Some(event)).count();
        self.until(event, |told| count(told) >= times)
    }

    /// Waits until the stage has said this.
    pub fn until_said(&self, text: &str) -> Result<(), Missing> {
        self.until(text, |told| told.steps.iter().any(|step| step.event.is_none() && step.text == text))
    }

    /// Waits until the puller has asked for so many pages.
    pub fn until_page_asked(&self, times: usize) -> Result<(), Missing> {
        self.until("the puller's return for a page", |told| told.pages_asked >= times)
    }
}

/// The story that is being told. A process has one subscriber.
static PRESENT: Mutex<Option<Arc<Story>>> = Mutex::new(None);

/// From now on the replicator's events belong to this story.
pub fn begin(story: &Arc<Story>) {
    // It is there already if this is not the first story.
    let _there = tracing::subscriber::set_global_default(Reporter);
    *PRESENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(story));
}

struct Reporter;

impl Subscriber for Reporter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "latchwork"
    }

    fn event(&self, event: &Event<'_>) {
        let Some(story) = PRESENT.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let step = step(event.metadata().name(), &fields);
        let cause = fields.text("by");
        if cause == "pull-advance" {
            let told =
                |told: &Told| told.steps.iter().any(|other| other.event == Some(cause) && other.epoch == step.epoch);
            // If the cause is never told, the story shows that.
            let _told = story.until(cause, told);
        }
        story.tell(step);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// An event's fields.
#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Fields {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_default()
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

fn step(name: &'static str, fields: &Fields) -> Step {
    let events = |count| if count == 1 { "1 event".to_owned() } else { format!("{count} events") };
    let (from, to, text) = match name {
        "backend-push-batch" => {
            let after = format!("{} after {}", events(fields.number("batch")), fields.text("upstream_head"));
            (Participant::Pusher, Some(Participant::Upstream), after)
        }
        "backend-push-error" => (Participant::Upstream, Some(Participant::Pusher), fields.text("error").to_owned()),
        "pull-advance" => {
            let (new, confirmed) = (fields.number("new"), fields.number("confirmed"));
            let parts = [(new, "new"), (confirmed, "confirmed")];
            let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
            (Participant::here(), None, parts.collect::<Vec<_>>().join(", "))
        }
        "park" => (Participant::here(), None, without_time(fields.text("cause"))),
        "resume" => (Participant::here(), None, format!("by {}", fields.text("by"))),
        _ => (Participant::here(), None, String::new()),
    };
    Step { from, to, event: Some(name), text, epoch: Some(fields.number("epoch")) }
}

/// Whom the pusher waits for, or that there is nothing to wait for. At what time a clock would ring is another each time.
fn without_time(cause: &str) -> String {
    match (cause.split_once(": "), cause.split_once(", until ")) {
        (Some(("no party", why)), _) => why.to_owned(),
        (_, Some((clock, _))) => format!("{clock}, in an hour"),
        _ => cause.to_owned(),
    }
}
