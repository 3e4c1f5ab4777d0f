//! What the [probe](mod@super::probe) tells of.

use std::fmt::Display;
use std::time::Duration;

#[cfg(all(loom, feature = "loom"))]
use super::trace::Thing;

/// Without execution traces nothing has a name in them.
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) enum Thing {}

/// What has happened, told by the thread that did it.
#[allow(dead_code, reason = "a build has the readers that it asks for, and each reads what it shows")]
pub(crate) enum Event<'a> {
    /// A latch that is something else to those who use it.
    Made { gate: Thing, kind: &'static str },
    /// A gate was opened (an interrupt: set) or closed; if not `changed`, it was so before.
    Turned { gate: Thing, open: bool, changed: bool },
    /// Those who waited at a gate were let through, if it was `awaited`.
    Released { gate: Thing, awaited: bool },
    /// A gate was found open or closed.
    Found { gate: Thing, open: bool },
    /// An epoch was read, perhaps by a waiter that had seen a count.
    Read { epoch: Thing, count: u64, seen: Option<u64> },
    /// An epoch has this count now.
    Bumped { epoch: Thing, count: u64 },
    /// Why an interrupt is set was noted; if not `first`, there was a cause.
    Noted { interrupt: Thing, cause: &'a dyn Display, first: bool },
    /// The thread, or a task that it runs, joined a queue.
    Joined { queue: Thing },
    /// It left the queue.
    Left { queue: Thing },
    /// It found that it had been let through.
    Through { queue: Thing },
    /// All in a queue were let through.
    Emptied { queue: Thing },
    /// The thread has a parker.
    Owns { parker: Thing },
    /// A parker got its token.
    Unparked { parker: Thing },

    /// A state comes under a lock: the one that is made next.
    Begun { name: &'a dyn Display, state: &'a dyn Shown },
    /// The state was changed.
    Changed { monitor: Thing, state: &'a dyn Shown },
    /// A thread that waits for something looked at the state, and perhaps took something.
    Looked { monitor: Thing, state: &'a dyn Shown },
    /// It found nothing, and is about to park until a change of this topic.
    Waits { state: &'a dyn Shown, topic: usize },

    /// A worker was asked to do this.
    Asked { what: &'a dyn Display },
    /// A run of a worker's body ended.
    RunEnded { generation: u64 },

    /// A transition of a replicator began.
    Given(Input),
    /// A push was accepted, or came to nothing.
    PushEnded { push: u64, events: usize, error: Option<Box<dyn Display>> },
    /// Upstream's events were merged.
    Merged { rebase: bool, new_and_moved: (usize, usize), confirmed: usize, dropped: usize },
    /// The journal has written so many changes, or has not.
    JournalWritten { changes: usize, error: Option<Box<dyn Display>> },
    /// The log refused a commit.
    Refused,
    /// A commit is answered: why the log refused it, if it did.
    Answered { refused: Option<&'a dyn Display> },
    /// There is something to do for the pusher, which may be parked.
    WakesPusher,
    /// The next move is owed by another party than before.
    Moved,
    /// A direction looked, and was told what to do.
    DirectionLooked { push: bool, now: Duration },
    /// The thread has given up the replicator's lock.
    Unlocked,
}

/// What a transition of a replicator begins with.
#[allow(dead_code, reason = "a normal build has no reader")]
#[derive(Debug, Clone, Copy)]
pub(crate) enum Input {
    /// The pusher's thread has begun.
    Pusher,
    /// The puller's thread has begun.
    Puller,
    /// The end of a wait.
    Clock,
    /// The end of a push.
    PushEnded,
    /// A page of so many entries.
    Page(usize),
    /// The end of this pull.
    PullEnded(u64),
    /// The owner's commit, and so on.
    Commit,
    Pause,
    Resume,
    RetryNow,
    OverrideRetryAfter,
    Reconnect,
    Restart,
    Reset,
    Stop,
    Flush,
    GiveUp,
    Replace,
    RetryRejected,
    /// The writer's look, with what came of the last write.
    Written,
}

impl Input {
    /// In the words of what reads it.
    #[allow(dead_code, reason = "a normal build has no reader")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pusher => "pusher",
            Self::Puller => "puller",
            Self::Clock => "clock",
            Self::PushEnded => "push",
            Self::Page(_) | Self::PullEnded(_) => "catch-up",
            Self::Commit => "commit",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::RetryNow => "retry_now",
            Self::OverrideRetryAfter => "override_retry_after",
            Self::Reconnect => "reconnect",
            Self::Restart => "restart",
            Self::Reset => "reset",
            Self::Stop => "stop",
            Self::Flush => "flush",
            Self::GiveUp => "give_up",
            Self::Replace => "replace",
            Self::RetryRejected => "retry_rejected",
            Self::Written => "journal",
        }
    }
}

/// A state under a lock, as an execution trace shows it.
#[allow(dead_code, reason = "a normal build shows nothing")]
pub(crate) trait Shown: Send + 'static {
    /// How it stands: in parts, of which those that have changed are news, and in words for the
    /// end. Not of interest, unless it says so.
    fn stands(&self) -> (Vec<String>, String) {
        Default::default()
    }

    /// Why a thread parks that waits for this topic.
    fn waits(&self, topic: usize) -> String;
}
