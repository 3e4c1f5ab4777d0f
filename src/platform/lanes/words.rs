//! What is said in lanes: by the crate, through `note!`, and by the facade.
//!
//! What a thread says stands in the order in which it happened because it is said right after the step in which it took
//! effect: under the lock, or before the next step of this thread, at which loom may let another one run.

use std::fmt::{Display, Write};
use std::time::Duration;

use loom::thread::Thread;

pub(crate) use super::say;
use super::{Place, Thing, kept, named, on};

/// The calling thread has done this, too, in the same step.
pub(crate) fn add(words: impl Display) {
    if kept() {
        let words = words.to_string();
        on(|lanes, lane| lanes.add(lane, &words));
    }
}

/// The calling thread is about to do this, which is said together with what comes of it.
pub(crate) fn does(what: &'static str) {
    on(|lanes, lane| lanes.lanes[lane].doing = Some(what));
}

/// What the calling thread says next is another step.
pub(crate) fn step() {
    on(|lanes, lane| lanes.close(lane));
}

/// The calling thread is known by this name.
pub(crate) fn is(name: &str) {
    on(|lanes, lane| lanes.lanes[lane].name = name.into());
}

/// If the calling thread parks, this is why.
pub(crate) fn because(reason: impl Display) {
    if kept() {
        let reason = reason.to_string();
        on(|lanes, lane| lanes.lanes[lane].reason = reason);
    }
}

/// How `thing` stands after the calling thread has done something to it: in parts, of which those that have changed are
/// news, and in words for the end.
pub(crate) fn stands(thing: impl Display, state: impl FnOnce() -> (Vec<String>, String)) {
    if !kept() {
        return;
    }
    let (thing, (parts, more)) = (thing.to_string(), state());
    on(|lanes, lane| {
        let news = lanes.stand(&thing, parts, more);
        match lanes.lanes[lane].doing.take() {
            Some(what) if news.is_empty() => lanes.row(lane, what.into()),
            Some(what) => lanes.row(lane, format!("{what}: {news}")),
            None if news.is_empty() => {}
            None => lanes.add(lane, &news),
        }
    });
}

/// A push has ended, with upstream's answer or with a panic.
pub(crate) fn answers(push: u64, outcome: &Result<Result<(), impl Display>, String>) {
    match outcome {
        Ok(Ok(())) => say(format_args!("push {push}: accepted")),
        Ok(Err(error)) => say(format_args!("push {push}: {error}")),
        Err(panic) => say(format_args!("push {push}: a panic: {panic}")),
    }
}

/// The gate with this lock is called something else than a latch.
pub(crate) fn names(gate: Thing, kind: &'static str) {
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
pub(crate) fn looks(gate: Thing, open: bool) {
    on(|lanes, lane| lanes.look(lane, gate, lanes.state(gate, open), ""));
}

/// The calling thread has opened (or set) or closed a gate; if not `changed`, it was so before.
pub(crate) fn turns(gate: Thing, open: bool, changed: bool) {
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
pub(crate) fn releases(gate: Thing, awaited: bool) {
    let none = if awaited { "" } else { ", which has no waiters" };
    say(format_args!("releases {gate}{none}"));
}

/// The calling thread writes down why an interrupt is set.
pub(crate) fn says_why(interrupt: Thing, cause: impl Display, first: bool) {
    let late = if first { "" } else { ", which has a cause" };
    say(format_args!("writes \"{cause}\" to {interrupt}{late}"));
}

/// The calling thread has counted one more.
pub(crate) fn bumps(epoch: Thing, count: u64) {
    names(epoch, "epoch");
    on(|lanes, lane| {
        lanes.row(lane, format!("bumps {epoch} to {count}"));
        lanes.stand(&epoch.to_string(), vec![format!("is at {count}")], String::new());
    });
}

/// The calling thread has read an epoch.
pub(crate) fn reads(epoch: Thing, count: u64) {
    names(epoch, "epoch");
    on(|lanes, lane| lanes.look(lane, epoch, &format!("at {count}"), ""));
}

/// The calling thread, which has seen one count, has looked at an epoch again.
pub(crate) fn counts(epoch: Thing, count: u64, seen: u64) {
    names(epoch, "epoch");
    let past = if count > seen { "" } else { "not " };
    on(|lanes, lane| lanes.look(lane, epoch, &format!("at {count}"), &format!(", {past}past {seen}")));
}

/// The calling thread, or a task that it runs, has joined a queue.
pub(crate) fn joins(queue: Thing) {
    on(|lanes, lane| {
        lanes.row(lane, format!("joins the queue of {queue}"));
        lanes.lanes[lane].queues.push(queue);
    });
}

/// It has left it.
pub(crate) fn leaves(queue: Thing) {
    on(|lanes, lane| {
        let queues = &mut lanes.lanes[lane].queues;
        let Some(place) = queues.iter().position(|other| *other == queue) else { return };
        queues.remove(place);
        lanes.row(lane, format!("leaves the queue of {queue}"));
    });
}

/// Everybody in a queue has been let through.
pub(crate) fn empties(queue: Thing) {
    on(|lanes, _| {
        for lane in &mut lanes.lanes {
            lane.queues.retain(|other| *other != queue);
        }
    });
}

/// The calling thread, or a task that it runs, finds that it has been let through.
pub(crate) fn is_through(queue: Thing) {
    say(format_args!("has been let through by {queue}"));
}

/// A parker of the calling thread's own.
pub(crate) fn owns(parker: Thing) {
    on(|lanes, lane| lanes.parkers.push((parker, lane)));
}

/// The calling thread wakes whom a parker belongs to. If that thread is asleep, the facade says so.
pub(crate) fn unparks(parker: Thing) {
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
        let mut reason = match (lanes.lanes[lane].reason.as_str(), queues.as_slice()) {
            ("", []) => "until it is unparked".into(),
            ("", queues) => format!("in the queue of {}", queues.join(" and ")),
            (reason, _) => reason.into(),
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
