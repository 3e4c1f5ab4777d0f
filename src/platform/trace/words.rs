//! What is said in traces: of what the crate tells of through its
//! [probe](mod@crate::platform::probe), and by the facade.
//!
//! What a thread says stands in the order in which it happened because it is said right after the
//! step in which it took effect: under the lock, or before the next step of this thread, at which
//! loom may let another one run.

use std::fmt::{Display, Write};
use std::time::Duration;

use loom::thread::Thread;

use super::{Place, Thing, kept, named, on, say};
use crate::platform::event::{Event, Input, Shown};

/// Says what has happened, in the column of the calling thread.
pub(crate) fn read(event: Event<'_>) {
    if !kept() {
        return;
    }
    match event {
        Event::Made { gate, kind } => is_a(gate, kind),
        Event::Turned { gate, open, changed } => turns(gate, open, changed),
        Event::Released { gate, awaited } => releases(gate, awaited),
        Event::Found { gate, open } => looks(gate, open),
        Event::Read { epoch, count, seen } => reads(epoch, count, seen),
        Event::Bumped { epoch, count } => bumps(epoch, count),
        Event::Noted { interrupt, cause, first } => notes(interrupt, cause, first),
        Event::Joined { queue } => joins(queue),
        Event::Left { queue } => leaves(queue),
        Event::Through { queue } => say(format_args!("has been let through by {queue}")),
        Event::Emptied { queue } => empties(queue),
        Event::Owns { parker } => on(|trace, column| trace.parkers.push((parker, column))),
        Event::Unparked { parker } => unparks(parker),
        Event::Begun { name: what, state } => begins(what, state),
        Event::Changed { monitor, state } => stands(monitor, state),
        Event::Looked { monitor, state } => {
            on(|trace, column| trace.close(column));
            stands(monitor, state);
        }
        Event::Waits { state, topic } => {
            let reason = state.waits(topic);
            on(|trace, column| trace.columns[column].reason = reason);
        }
        Event::Asked { what } => does(what.to_string()),
        Event::RunEnded { generation } => say(format_args!("run {generation} is over")),
        Event::Given(Input::PushEnded | Input::Written) => {}
        Event::Given(Input::Page(entries)) => say(format_args!("a page of {entries}")),
        Event::Given(Input::PullEnded(pull)) => say(format_args!("pull {pull} is over")),
        Event::Given(Input::Clock) => does("the time has come".into()),
        Event::Given(input @ (Input::Pusher | Input::Puller)) => {
            on(|trace, column| trace.columns[column].name = input.name().into());
        }
        Event::Given(input) => does(input.name().into()),
        Event::PushEnded { push, error: None, .. } => say(format_args!("push {push}: accepted")),
        Event::PushEnded { push, error: Some(error), .. } => say(format_args!("push {push}: {error}")),
        Event::JournalWritten { changes, error: None } => say(format_args!("{changes} changes are durable")),
        Event::JournalWritten { error: Some(error), .. } => say(format_args!("{error}")),
        Event::Merged { rebase, .. } => add(if rebase { "rebase" } else { "advance" }),
        // What follows from these shows in how the replicator stands.
        Event::Refused | Event::Answered { .. } | Event::WakesPusher | Event::Moved => {}
        Event::DirectionLooked { .. } | Event::Unlocked => {}
    }
}

/// The calling thread has done this, too, in the same step.
fn add(words: impl Display) {
    if kept() {
        let words = words.to_string();
        on(|trace, column| trace.add(column, &words));
    }
}

/// The calling thread is about to do this, which is said together with what comes of it.
fn does(what: String) {
    on(|trace, column| trace.columns[column].doing = Some(what));
}

/// A state comes under the lock that is made next.
fn begins(what: &dyn Display, state: &dyn Shown) {
    let what = what.to_string();
    let (parts, more) = state.stands();
    on(|trace, column| {
        let monitor = Thing(trace.things + 1);
        trace.names.push((monitor, what));
        // What is shown as a whole need not be known before.
        if parts.len() > 1 {
            let whole = trace.stand(&monitor.to_string(), parts, more);
            trace.row(column, whole);
        }
    });
}

/// How a state stands after the calling thread has changed it, or looked at it.
fn stands(monitor: Thing, state: &dyn Shown) {
    let (parts, more) = state.stands();
    on(|trace, column| {
        let doing = trace.columns[column].doing.take_if(|_| !parts.is_empty());
        let news = trace.stand(&monitor.to_string(), parts, more);
        match doing {
            Some(what) if news.is_empty() => trace.row(column, what),
            Some(what) => trace.row(column, format!("{what}: {news}")),
            None if news.is_empty() => {}
            None => trace.add(column, &news),
        }
    });
}

/// The gate with this lock is something else than a latch.
fn is_a(gate: Thing, kind: &'static str) {
    on(|trace, _| {
        if trace.kind(gate).is_none() {
            trace.kinds.push((gate, kind));
        }
    });
}

/// The model calls the gate with this lock so.
pub(crate) fn name(gate: Thing, name: impl Display) {
    if kept() {
        let name = name.to_string();
        on(|trace, _| {
            trace.names.retain(|(other, _)| *other != gate);
            trace.names.push((gate, name));
        });
    }
}

/// The calling thread has found a gate open or closed.
fn looks(gate: Thing, open: bool) {
    on(|trace, column| trace.look(column, gate, trace.state(gate, open), ""));
}

/// The calling thread has opened (or set) or closed a gate; if not `changed`, it was so before.
fn turns(gate: Thing, open: bool, changed: bool) {
    on(|trace, column| {
        let state = trace.state(gate, open);
        let verb = match state {
            "set" => "sets",
            "open" => "opens",
            _ => "closes",
        };
        let already = if changed { String::new() } else { format!(", which is {state}") };
        trace.row(column, format!("{verb} {gate}{already}"));
        trace.stand(&gate.to_string(), vec![format!("is {state}")], String::new());
    });
}

/// The calling thread has let through the waiters at a gate, if there are any.
fn releases(gate: Thing, awaited: bool) {
    let none = if awaited { "" } else { ", which has no waiters" };
    say(format_args!("releases {gate}{none}"));
}

/// The calling thread writes down why an interrupt is set.
fn notes(interrupt: Thing, cause: &dyn Display, first: bool) {
    let late = if first { "" } else { ", which has a cause" };
    say(format_args!("writes \"{cause}\" to {interrupt}{late}"));
}

/// The calling thread has counted one more.
fn bumps(epoch: Thing, count: u64) {
    is_a(epoch, "epoch");
    on(|trace, column| {
        trace.row(column, format!("bumps {epoch} to {count}"));
        trace.stand(&epoch.to_string(), vec![format!("is at {count}")], String::new());
    });
}

/// The calling thread has read an epoch, perhaps again, after it has seen a count.
fn reads(epoch: Thing, count: u64, seen: Option<u64>) {
    is_a(epoch, "epoch");
    let past = match seen {
        None => String::new(),
        Some(seen) if count > seen => format!(", past {seen}"),
        Some(seen) => format!(", not past {seen}"),
    };
    on(|trace, column| trace.look(column, epoch, &format!("at {count}"), &past));
}

/// The calling thread, or a task that it runs, has joined a queue.
fn joins(queue: Thing) {
    on(|trace, column| {
        trace.row(column, format!("joins the queue of {queue}"));
        trace.columns[column].queues.push(queue);
    });
}

/// It has left it.
fn leaves(queue: Thing) {
    on(|trace, column| {
        let queues = &mut trace.columns[column].queues;
        let Some(place) = queues.iter().position(|other| *other == queue) else { return };
        queues.remove(place);
        trace.row(column, format!("leaves the queue of {queue}"));
    });
}

/// Everybody in a queue has been let through.
fn empties(queue: Thing) {
    on(|trace, _| {
        for column in &mut trace.columns {
            column.queues.retain(|other| *other != queue);
        }
    });
}

/// The calling thread wakes whom a parker belongs to. If that thread is asleep, the facade says so.
fn unparks(parker: Thing) {
    on(|trace, column| {
        let Some((_, owner)) = trace.parkers.iter().find(|(other, _)| *other == parker) else { return };
        if !matches!(trace.columns[*owner].place, Place::Parked { .. }) {
            trace.add(column, &format!("unparks {}, which is awake", named(*owner)));
        }
    });
}

/// The calling thread wants a lock.
pub(in crate::platform) fn locks() {
    on(|trace, column| trace.columns[column].place = Place::Locks);
}

/// The calling thread goes on: it has the lock, or has been woken.
pub(in crate::platform) fn goes_on() {
    on(|trace, column| trace.columns[column].place = Place::Going);
}

/// The calling thread goes to sleep.
pub(in crate::platform) fn parks(deadline: Option<Duration>) {
    on(|trace, column| {
        let mut queues: Vec<_> = trace.columns[column].queues.iter().map(ToString::to_string).collect();
        queues.dedup();
        let mut reason = match (std::mem::take(&mut trace.columns[column].reason), queues.as_slice()) {
            (reason, _) if !reason.is_empty() => reason,
            (_, []) => "until it is unparked".into(),
            (_, queues) => format!("in the queue of {}", queues.join(" and ")),
        };
        let deadline = deadline.map(|deadline| format!("{deadline:?}"));
        if let Some(deadline) = deadline.filter(|deadline| !reason.contains(deadline)) {
            let _ = write!(reason, " (until {deadline})");
        }
        // Under one lock with the row before, which may have said why.
        match trace.rows.last_mut().filter(|row| row.column == column && row.words.contains(&reason)) {
            Some(row) => row.words.push_str("; parks"),
            None => trace.row(column, format!("parks: {reason}")),
        }
        trace.close(column);
        trace.columns[column].place = Place::Parked { row: trace.rows.len(), reason };
    });
}

/// The calling thread has woken these.
pub(in crate::platform) fn wakes(threads: &[Thread]) {
    on(|trace, column| {
        let woken = threads.iter().map(|thread| named(trace.column(thread))).collect::<Vec<_>>();
        if !woken.is_empty() {
            trace.add(column, &format!("wakes {}", woken.join(" and ")));
        }
    });
}
