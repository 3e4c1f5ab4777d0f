//! What a protocol will do, without what it has done.

use super::push::{OVERTAKEN_MOST, overtaken_delay};
use super::{Both, Course, Doubt, Durable, Progress, Protocol, Pull, Push, Settings, Time};
use crate::Backoff;
use crate::log::Log;

/// See [`Protocol::canonical`]: to be compared, and nothing else.
#[doc(hidden)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Canonical<'a, L: Log> {
    log: &'a L,
    settings: &'a Settings,
    course: Course<L::Position>,
    paused: Both<bool>,
    not_before: Both<Time>,
    stopped: bool,
    /// Whether the calls in flight are for a former log, or were begun before a restart.
    stale: [bool; 4],
    /// Whether the end of the latest pull is yet to be reported.
    unended: bool,
    durable: Option<Durable<L::Entry, L::Position>>,
}

impl<L: Log> Protocol<L> {
    /// The protocol as far as its future goes: protocols of the same canonical form do the same
    /// from now on, given the same inputs.
    ///
    /// A protocol counts what it does, so it never comes back to a state that it was in; its
    /// canonical form does. That is what a model checker has to compare, or what a driver prints
    /// that wants to see whether anything has changed.
    ///
    /// Left out are the [counters](Self::counters) and the [progress](Self::progress). Numbers that
    /// only grow are replaced by what they are compared with:
    ///
    /// - the epoch, by whether it is still what it was before the push in flight;
    /// - the tickets, by [`is_sending`](Self::is_sending) and [`is_pulling`](Self::is_pulling), which see the latest only;
    /// - the pull that must have caught up, by whether it is yet to begin;
    /// - the numbers of changes, which nothing depends on;
    /// - the failures in a row, and the pushes that others overtake, once more of them would not lengthen the delay.
    ///
    /// Times are as they are.
    pub fn canonical(&self) -> Canonical<'_, L> {
        // Every field is named, so that a new one is not forgotten here.
        let Self {
            ref log,
            ref settings,
            ref course,
            paused,
            not_before,
            stopped,
            epoch: now,
            begun,
            former,
            before_restart,
            ended,
            passed: _,
            room: _,
            ref durable,
            counters: _,
        } = *self;
        let Course {
            ref push,
            ref pull,
            catch_up,
            doubt,
            push_failures,
            rejected,
            overtaken,
            pull_failures,
            pull_proven,
            unreached,
            may_cut,
            refused,
            ref blocked,
            fits,
            poll,
            in_a_hurry,
            progress: _,
        } = *course;
        let sending = matches!(push, Push::Sending { .. });
        let pulling = matches!(pull, Pull::Pulling { .. });
        // The latest pull is the only one that can still report: a number up to its own is one that it serves.
        let yet_to_begin = |pull: u64| pull.saturating_sub(begun.pull);
        let push = match push {
            &Push::Sending { count, unconfirmed, base, epoch, fate, ref failed, .. } => {
                let (epoch, failed) = (now.saturating_sub(epoch).min(1), failed.clone());
                Push::Sending { ticket: 0, count, unconfirmed, base, epoch, fate, failed }
            }
            &Push::Behind { target, until, pull, .. } => {
                Push::Behind { since: 0, target, until, pull: yet_to_begin(pull) }
            }
            &Push::Uncertain { pull, until } => Push::Uncertain { pull: yet_to_begin(pull), until },
            Push::Idle | Push::Waiting { .. } | Push::Failed { .. } => push.clone(),
        };
        let pull = match *pull {
            Pull::Pulling { caught_up, news, ending, .. } => Pull::Pulling { ticket: 0, caught_up, news, ending },
            Pull::Idle | Pull::Waiting { .. } | Pull::Failed { .. } => pull.clone(),
        };
        let distinct = |attempts| distinct(settings.backoff, attempts);
        Canonical {
            log,
            settings,
            course: Course {
                push,
                pull,
                catch_up: yet_to_begin(catch_up),
                doubt: doubt.map(|doubt| Doubt { pull: yet_to_begin(doubt.pull), ..doubt }),
                push_failures: distinct(push_failures),
                rejected: distinct(rejected),
                overtaken: distinct_overtaken(settings, overtaken),
                pull_failures: distinct(pull_failures),
                pull_proven,
                unreached,
                may_cut,
                refused,
                blocked: blocked.clone(),
                fits,
                poll,
                in_a_hurry,
                progress: Progress::default(),
            },
            paused,
            not_before,
            stopped,
            stale: [
                sending && begun.push <= former.push,
                sending && begun.push <= before_restart.push,
                pulling && begun.pull <= former.pull,
                pulling && begun.pull <= before_restart.pull,
            ],
            unended: ended < begun.pull,
            durable: durable.as_ref().map(|durable| durable.canonical()),
        }
    }
}

impl<L: Log> Protocol<L> {
    /// Takes back how often others have overtaken a push, for a model checker that leaves out what a fifth time in a row
    /// leads to: until then nothing depends on it.
    #[doc(hidden)]
    pub fn forget_overtaken(&mut self) {
        self.course.overtaken = 0;
    }
}

/// The smallest number of failures in a row from which on everything is as after `attempts`. None,
/// one and more are told apart whatever the delays.
fn distinct(backoff: Backoff, attempts: u32) -> u32 {
    // The delay has doubled this often only if it is zero or at its greatest.
    let mut attempts = attempts.min(u128::BITS);
    while attempts > 2 && backoff.delay(attempts, 0) == backoff.delay(attempts - 1, 0) {
        attempts -= 1;
    }
    attempts
}

/// The smallest number of pushes in a row that others overtook from which on everything is as after `overtaken`.
fn distinct_overtaken(settings: &Settings, overtaken: u32) -> u32 {
    let delay = |overtaken| overtaken_delay(settings, overtaken, 0);
    let mut overtaken = overtaken.min(OVERTAKEN_MOST);
    while delay(overtaken).is_some() && delay(overtaken) == delay(overtaken - 1) {
        overtaken -= 1;
    }
    overtaken
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{distinct, distinct_overtaken};
    use crate::Backoff;
    use crate::protocol::Settings;

    #[test]
    fn failures_count_until_the_delay_stops_growing() {
        let ms = Duration::from_millis;
        let growing = Backoff::new(ms(1), ms(8));
        assert_eq!([0, 1, 2, 3, 4, 100, u32::MAX].map(|n| distinct(growing, n)), [0, 1, 2, 3, 3, 3, 3]);
        let constant = Backoff::new(ms(1), ms(1));
        assert_eq!([0, 1, 2, 3, u32::MAX].map(|n| distinct(constant, n)), [0, 1, 2, 2, 2]);
    }

    #[test]
    fn overtaken_pushes_count_until_the_delay_stops_growing() {
        let ms = Duration::from_millis;
        let contended = |backoff| Settings { backoff, contention: ms(1), ..Settings::default() };
        let overtaken = [0, 1, 4, 5, 6, 7, 8, 9, u32::MAX];
        let growing = Backoff::new(ms(1), ms(1000));
        assert_eq!(overtaken.map(|n| distinct_overtaken(&contended(growing), n)), [0, 1, 4, 5, 6, 7, 8, 8, 8]);
        let soon_greatest = Backoff::new(ms(1), ms(2));
        assert_eq!(overtaken.map(|n| distinct_overtaken(&contended(soon_greatest), n)), [0, 1, 4, 5, 6, 6, 6, 6, 6]);
        let constant = Backoff::new(ms(1), ms(1));
        assert_eq!(overtaken.map(|n| distinct_overtaken(&contended(constant), n)), [0, 1, 4, 5, 5, 5, 5, 5, 5]);
    }
}
