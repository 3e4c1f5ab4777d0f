//! What is said in lanes: of what the crate tells of through its
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

/// Says what has happened, in the lane of the calling thread.
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
        Event::Owns { parker } => on(|lanes, lane| lanes.parkers.push((parker, lane))),
        Event::Unparked { parker } => unparks(parker),
        Event::Begun { name: what, state } => begins(what, state),
        Event::Changed { monitor, state } => stands(monitor, state),
        Event::Looked { monitor, state } => {
            on(|lanes, lane| lanes.close(lane));
            stands(monitor, state);
        }
        Event::Waits { state, topic } => {
            let reason = state.waits(topic);
            on(|lanes, lane| lanes.lanes[lane].reason = reason);
        }
        Event::Asked { what } => does(what.to_string()),
        Event::RunEnded { generation } => say(format_args!("run {generation} is over")),
        Event::Given(Input::PushEnded) => {}
        Event::Given(Input::Page(entries)) => say(format_args!("a page of {entries}")),
        Event::Given(Input::PullEnded(pull)) => say(format_args!("pull {pull} is over")),
        Event::Given(Input::Clock) => does("the time has come".into()),
        Event::Given(input @ (Input::Pusher | Input::Puller)) => {
            on(|lanes, lane| lanes.lanes[lane].name = input.name().into());
        }
        Event::Given(input) => does(input.name().into()),
        Event::PushEnded { push, error: None, .. } => say(format_args!("push {push}: accepted")),
        Event::PushEnded { push, error: Some(error), .. } => say(format_args!("push {push}: {error}")),
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
        on(|lanes, lane| lanes.add(lane, &words));
    }
}

/// The calling thread is about to do this, which is said together with what comes of it.
fn does(what: String) {
    on(|lanes, lane| lanes.lanes[lane].doing = Some(what));
}

/// A state comes under the lock that is made next.
fn begins(what: &dyn Display, state: &dyn Shown) {
    let what = what.to_string();
    let (parts, more) = state.stands();
    on(|lanes, lane| {
        let monitor = Thing(lanes.things + 1);
        lanes.names.push((monitor, what));
        // What is shown as a whole need not be known before.
        if parts.len() > 1 {
            let whole = lanes.stand(&monitor.to_string(), parts, more);
            lanes.row(lane, whole);
        }
    });
}

/// How a state stands after the calling thread has changed it, or looked at it.
fn stands(monitor: Thing, state: &dyn Shown) {
    let (parts, more) = state.stands();
    on(|lanes, lane| {
        let doing = lanes.lanes[lane].doing.take_if(|_| !parts.is_empty());
        let news = lanes.stand(&monitor.to_string(), parts, more);
        match doing {
            Some(what) if news.is_empty() => lanes.row(lane, what),
            Some(what) => lanes.row(lane, format!("{what}: {news}")),
            None if news.is_empty() => {}
            None => lanes.add(lane, &news),
        }
    });
}

/// The gate with this lock is something else than a latch.
fn is_a(gate: Thing, kind: &'static str) {
    on(|lanes, _| {
        if lanes.kind(gate).is_none() {
            lanes.kinds.push((gate, kind));
        }
    });
}

/// The model calls the gate with this lock so.
pub(crate) fn name(gate: Thing, name: impl Display) {
    if kept() {
        let name = name.to_string();
        on(|lanes, _| {
            lanes.names.retain(|(other, _)| *other != gate);
            lanes.names.push((gate, name));
        });
    }
}

/// The calling thread has found a gate open or closed.
fn looks(gate: Thing, open: bool) {
    on(|lanes, lane| lanes.look(lane, gate, lanes.state(gate, open), ""));
}

/// The calling thread has opened (or set) or closed a gate; if not `changed`, it was so before.
fn turns(gate: Thing, open: bool, changed: bool) {
    on(|lanes, lane| {
        let state = lanes.state(gate, open);
        let verb = match state {
            "set" => "sets",
            "open" => "opens",
            _ => "closes",
        };
        let already = if changed { String::new() } else { format!(", which is {state}") };
        lanes.row(lane, format!("{verb} {gate}{already}"));
        lanes.stand(&gate.to_string(), vec![format!("is {state}")], String::new());
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
    on(|lanes, lane| {
        lanes.row(lane, format!("bumps {epoch} to {count}"));
        lanes.stand(&epoch.to_string(), vec![format!("is at {count}")], String::new());
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
    on(|lanes, lane| lanes.look(lane, epoch, &format!("at {count}"), &past));
}

/// The calling thread, or a task that it runs, has joined a queue.
fn joins(queue: Thing) {
    on(|lanes, lane| {
        lanes.row(lane, format!("joins the queue of {queue}"));
        lanes.lanes[lane].queues.push(queue);
    });
}

/// It has left it.
fn leaves(queue: Thing) {
    on(|lanes, lane| {
        let queues = &mut lanes.lanes[lane].queues;
        let Some(place) = queues.iter().position(|other| *other == queue) else { return };
        queues.remove(place);
        lanes.row(lane, format!("leaves the queue of {queue}"));
    });
}

/// Everybody in a queue has been let through.
fn empties(queue: Thing) {
    on(|lanes, _| {
        for lane in &mut lanes.lanes {
            lane.queues.retain(|other| *other != queue);
        }
    });
}

/// The calling thread wakes whom a parker belongs to. If that thread is asleep, the facade says so.
fn unparks(parker: Thing) {
    on(|lanes, lane| {
        let Some((_, owner)) = lanes.parkers.iter().find(|(other, _)| *other == parker) else { return };
        if !matches!(lanes.lanes[*owner].place, Place::Parked { .. }) {
            lanes.add(lane, &format!("unparks {}, which is awake", named(*owner)));
        }
    });
}

/// The calling thread wants a lock.
pub(in crate::platform) fn locks() {
    on(|lanes, lane| lanes.lanes[lane].place = Place::Locks);
}

/// The calling thread goes on: it has the lock, or has been woken.
pub(in crate::platform) fn goes_on() {
    on(|lanes, lane| lanes.lanes[lane].place = Place::Going);
}

/// The calling thread goes to sleep.
pub(in crate::platform) fn parks(deadline: Option<Duration>) {
    on(|lanes, lane| {
        let mut queues: Vec<_> = lanes.lanes[lane].queues.iter().map(ToString::to_string).collect();
        queues.dedup();
        let mut reason = match (std::mem::take(&mut lanes.lanes[lane].reason), queues.as_slice()) {
            (reason, _) if !reason.is_empty() => reason,
            (_, []) => "until it is unparked".into(),
            (_, queues) => format!("in the queue of {}", queues.join(" and ")),
        };
        let deadline = deadline.map(|deadline| format!("{deadline:?}"));
        if let Some(deadline) = deadline.filter(|deadline| !reason.contains(deadline)) {
            let _ = write!(reason, " (until {deadline})");
        }
        // Under one lock with the row before, which may have said why.
        match lanes.rows.last_mut().filter(|row| row.lane == lane && row.words.contains(&reason)) {
            Some(row) => row.words.push_str("; parks"),
            None => lanes.row(lane, format!("parks: {reason}")),
        }
        lanes.close(lane);
        lanes.lanes[lane].place = Place::Parked { row: lanes.rows.len(), reason };
    });
}

/// The calling thread has woken these.
pub(in crate::platform) fn wakes(threads: &[Thread]) {
    on(|lanes, lane| {
        let woken = threads.iter().map(|thread| named(lanes.lane(thread))).collect::<Vec<_>>();
        if !woken.is_empty() {
            lanes.add(lane, &format!("wakes {}", woken.join(" and ")));
        }
    });
}
