//! One replicator on a stage: an upstream that returns from each call when it is told to.
//!
//! Nothing here depends on speed. Each call to upstream waits for the stage, the stage waits for what the replicator tells,
//! and timers are set to an hour.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use latchwork_switched::known_bugs::KnownBug;
use latchwork_switched::log::{MemoryEntry, MemoryLog};
use latchwork_switched::protocol::{Pull, Push, WaitingOn};
use latchwork_switched::replicator::Status;
use latchwork_switched::upstream::{Batch, More, Page, PullError, PushError, Upstream};
use latchwork_switched::{Interrupt, Latch, Replicator, Settled, Waited};

use super::story::{self, Missing, Participant, Step, Story};

/// Todos in memory, whose changes commute: what others did is merged as an advance.
type Log = MemoryLog<&'static str>;

/// What the client commits, in one go.
const TODOS: [&str; 3] = ["milk", "bread", "tea"];
/// What another client has committed before.
const THEIRS: &str = "apples";
/// Upstream's note beside a push that it refuses.
const TOO_LATE: &str = "too late: event 1 was first";

const HOUR: Duration = Duration::from_secs(3600);
/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(10);

/// Which of two messages from upstream arrives first: the answer to the push, or the page that the push lacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    AnswerFirst,
    PageFirst,
}

/// What was shown.
#[derive(Debug, Clone)]
pub struct Scene {
    pub steps: Vec<Step>,
    pub end: End,
}

impl Scene {
    /// The epoch as the pusher parked for the last time.
    pub fn parked_at(&self) -> Option<u64> {
        self.steps.iter().rev().find(|step| step.event == Some("park")).and_then(|step| step.epoch)
    }
}

/// How it ended.
#[derive(Debug, Clone)]
pub enum End {
    Stalled(Stall),
    Finished(Finish),
}

/// A state in which something is pending and no party will ever move.
#[derive(Debug, Clone)]
pub struct Stall {
    pub pending: usize,
    /// Past which epoch the pusher waits, and what it is now.
    pub since: u64,
    pub epoch: u64,
    /// Upstream's head as the pusher was told, and as it is known here.
    pub target: u64,
    pub upstream_head: u64,
    /// The pull whose end would wake the pusher, and the last one that has begun.
    pub awaited_pull: u64,
    pub pull: u64,
    pub waiting_on: String,
    /// Whether everything was taken once `restart` had been called.
    pub restarted: bool,
}

#[derive(Debug, Clone)]
pub struct Finish {
    pub pushes: u64,
    pub behind: u64,
    /// Upstream's log.
    pub upstream: Vec<&'static str>,
}

/// Why a scene was not shown.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error(transparent)]
    Missing(#[from] Missing),
    #[error("no thread for the replicator: {0}")]
    Spawn(String),
    #[error("expected {expected}, got {found}")]
    Unexpected { expected: &'static str, found: String },
}

/// Upstream, as the replicator sees it.
struct Stage {
    story: Arc<Story>,
    log: Arc<Mutex<Vec<MemoryEntry<&'static str>>>>,
    /// Open once the pusher has parked: who of the two begins first is of no interest.
    curtain: Arc<Latch>,
    /// One for each answer that may go on its way.
    answers: Mutex<Receiver<()>>,
    pages: Mutex<Receiver<Page<MemoryEntry<&'static str>>>>,
}

fn head(log: &[MemoryEntry<&'static str>]) -> u64 {
    log.last().map_or(0, |entry| entry.position)
}

impl Upstream<Log> for Stage {
    fn push(&self, batch: &Batch<Log>, _: &Interrupt) -> Result<(), PushError<u64>> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let head = head(&log);
        let taken = batch.base == head;
        if taken {
            log.extend(batch.entries.iter().cloned());
        } else {
            self.story.tell(Step::said(Participant::Upstream, None, TOO_LATE));
        }
        drop(log);
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.recv().is_err() {
            return Err(PushError::Uncertain { error: "the curtain has fallen".into() });
        }
        if !taken {
            return Err(PushError::Behind { head: Some(head) });
        }
        self.story.tell(Step::said(Participant::Upstream, Some(Participant::Pusher), "taken"));
        Ok(())
    }

    fn pull<'a>(
        &'a self,
        cursor: u64,
        _: &'a Interrupt,
    ) -> impl Iterator<Item = Result<Page<MemoryEntry<&'static str>>, PullError>> + 'a {
        self.curtain.wait();
        self.story.tell(Step::said(
            Participant::Puller,
            Some(Participant::Upstream),
            format!("pull, from {cursor} on"),
        ));
        std::iter::from_fn(|| {
            self.story.page_asked();
            let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
            let ended = |_| PullError::Unavailable { retry_after: None, error: "the curtain has fallen".into() };
            Some(pages.recv().map_err(ended))
        })
    }
}

/// The stage's side of it.
struct Director {
    story: Arc<Story>,
    log: Arc<Mutex<Vec<MemoryEntry<&'static str>>>>,
    curtain: Arc<Latch>,
    answers: Sender<()>,
    pages: Sender<Page<MemoryEntry<&'static str>>>,
    replicator: Replicator<Log>,
}

impl Director {
    fn new() -> Result<Self, StageError> {
        let (story, log, curtain) = (Arc::<Story>::default(), Arc::default(), Arc::new(Latch::new()));
        let ((answers, to_answer), (pages, to_give)) = (channel(), channel());
        let stage = Stage {
            story: Arc::clone(&story),
            log: Arc::clone(&log),
            curtain: Arc::clone(&curtain),
            answers: Mutex::new(to_answer),
            pages: Mutex::new(to_give),
        };
        story::begin(&story);
        let replicator = Replicator::builder(Log::new(), stage).catch_up_grace(HOUR).spawn();
        let replicator = replicator.map_err(|error| StageError::Spawn(error.to_string()))?;
        Ok(Self { story, log, curtain, answers, pages, replicator })
    }

    /// Lets upstream's answer to a push go.
    fn answer(&self) {
        // It is not taken only if the replicator has failed, and then the story ends elsewhere.
        let _ = self.answers.send(());
    }

    /// Gives out what upstream has from `from` on, and waits until it has been applied.
    fn page(&self, from: usize, nth: usize) -> Result<(), StageError> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = log[from..].to_vec();
        drop(log);
        let what = match &*entries {
            [] => "nothing so far".to_owned(),
            [entry] => format!("event {}", entry.position),
            entries => format!("{} events", entries.len()),
        };
        // Only the first page says that it is all there is: what wakes the pusher later is the merge and nothing else.
        let more = if entries.is_empty() { More::None } else { More::Unknown };
        self.story.tell(Step::said(Participant::Upstream, Some(Participant::Puller), what));
        let _ = self.pages.send(Page { entries, more });
        Ok(self.story.until_page_asked(nth + 1)?)
    }

    fn play(self, order: Order, stalls: bool) -> Result<Scene, StageError> {
        let Self { story, log, curtain, replicator, .. } = &self;
        story.until_event("park", 1)?;
        curtain.open();
        story.until_page_asked(1)?;
        self.page(0, 1)?;
        story.tell(Step::said(Participant::Upstream, None, "takes event 1 of another client"));
        log.lock().unwrap_or_else(PoisonError::into_inner).push(MemoryEntry { position: 1, event: THEIRS });
        story.tell(Step::said(Participant::Client, Some(Participant::Pusher), "commit: 3 todos"));
        let ticket = replicator.commit(TODOS.to_vec()).map_err(|error| StageError::Unexpected {
            expected: "a commit that is admitted",
            found: error.to_string(),
        })?;
        story.until_said(TOO_LATE)?;
        match order {
            Order::AnswerFirst => {
                self.answer();
                story.until_event("park", 2)?;
                self.page(0, 2)?;
            }
            Order::PageFirst => {
                self.page(0, 2)?;
                self.answer();
                story.until_event("backend-push-error", 1)?;
            }
        }
        if stalls {
            story.until_event("park", 2)?;
            let steps = story.steps();
            let stall = self.stall()?;
            // By hand, and from outside.
            self.answer();
            replicator.restart();
            let restarted = matches!(ticket.wait_timeout(LONG), Waited::Ready(Settled::Confirmed(4)));
            self.close();
            return Ok(Scene { steps, end: End::Stalled(Stall { restarted, ..stall }) });
        }
        self.answer();
        let settled = ticket.wait_timeout(LONG);
        if !matches!(settled, Waited::Ready(Settled::Confirmed(4))) {
            return Err(StageError::Unexpected {
                expected: "that all is confirmed",
                found: format!("{settled:?}: {:#?}", replicator.status()),
            });
        }
        // For the empty log at the beginning, for the rejection if it parked on that, and now.
        let parks = if order == Order::AnswerFirst { 3 } else { 2 };
        story.until_event("park", parks)?;
        let finish = self.finish()?;
        let steps = story.steps();
        self.close();
        Ok(Scene { steps, end: End::Finished(finish) })
    }

    /// Why nothing will ever happen, read off the state and not off a clock. An error if that is not so.
    fn stall(&self) -> Result<Stall, StageError> {
        let status = self.replicator.status();
        let upstream = head(&self.log.lock().unwrap_or_else(PoisonError::into_inner));
        stall(&status, upstream)
            .ok_or_else(|| StageError::Unexpected { expected: "a stall", found: format!("{status:#?}") })
    }

    fn finish(&self) -> Result<Finish, StageError> {
        let status = self.replicator.status();
        let upstream: Vec<_> =
            self.log.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|entry| entry.event).collect();
        let all = [&[THEIRS], &TODOS[..]].concat();
        if status.pending > 0 || status.waiting_on != WaitingOn::Nothing || upstream != all {
            let found = format!("{upstream:?} and {status:#?}");
            return Err(StageError::Unexpected { expected: "everything at upstream, once", found });
        }
        Ok(Finish { pushes: status.counters.pushes, behind: status.counters.behind, upstream })
    }

    fn close(self) {
        let Self { answers, pages, replicator, .. } = self;
        drop((answers, pages));
        drop(replicator);
    }
}

/// Whether no party owes a move although something is pending:
///
/// - the pusher has nothing in flight, waits for no time, and for an advance that has come;
/// - the pull whose end would wake it has not begun, and never will: the present one is not asked to make room for it;
/// - the present pull has brought all that upstream has, so it brings nothing more unless others commit.
fn stall(status: &Status<u64>, upstream: u64) -> Option<Stall> {
    let Push::Behind { since, target: Some(target), until: None, pull: awaited_pull } = status.push else {
        return None;
    };
    let Pull::Pulling { ticket: pull, ending: false, .. } = status.pull else { return None };
    let news_has_come = status.epoch > since && status.upstream_head >= target;
    let never_begins = awaited_pull > pull;
    let nothing_more = status.upstream_head == upstream;
    (status.pending > 0 && news_has_come && never_begins && nothing_more).then(|| Stall {
        pending: status.pending,
        since,
        epoch: status.epoch,
        target,
        upstream_head: status.upstream_head,
        awaited_pull,
        pull,
        waiting_on: status.waiting_on.to_string(),
        restarted: false,
    })
}

/// Shows what happens in this order, with this bug switched on. An error if it does not end as it should.
pub fn show(bug: KnownBug, order: Order, stalls: bool) -> Result<Scene, StageError> {
    let _on = (bug != KnownBug::None).then(|| bug.switch_on());
    Director::new()?.play(order, stalls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_that_ships_is_not_taken_for_stalled() {
        let seen = show(KnownBug::None, Order::AnswerFirst, true).map(|scene| scene.end);
        assert!(matches!(seen, Err(StageError::Unexpected { expected: "a stall", .. })), "{seen:?}");
    }
}
