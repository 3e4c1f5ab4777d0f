//! How far the clients are: bars on a terminal, and otherwise a line now and then.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use latchwork::Latch;
use node_sync::job::{Job, Share};
use node_sync::node::Progress;

/// With more clients than this, only all of them together are shown.
const MANY: usize = 12;

/// How often bars move.
const FRAME: Duration = Duration::from_millis(100);

/// After what time the first line comes. Each takes twice as long as the one before, up to [`SELDOM`].
const SOON: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(10);

/// What is shown. It goes to standard error, so that the summary can be kept without it.
pub enum Display {
    Bars(MultiProgress),
    Lines,
    Nothing,
}

/// One client, or all of them.
struct Row {
    name: String,
    /// Of how many.
    committed: (u64, u64),
    applied: (u64, u64),
}

impl Display {
    pub fn new() -> Self {
        match stderr().is_terminal() {
            true => Self::Bars(MultiProgress::new()),
            false => Self::Lines,
        }
    }

    /// Shows how far they are, until all have ended.
    pub fn show(self, job: &Job, progress: &[Progress], ended: &Latch) {
        match self {
            Self::Bars(all) => bars(&all, job, progress, ended),
            Self::Lines => lines(job, progress, ended),
            Self::Nothing => {}
        }
    }
}

fn lines(job: &Job, progress: &[Progress], ended: &Latch) {
    let mut gap = SOON;
    while !ended.opened().wait_timeout(gap).is_ready() {
        let parts = rows(job, progress).into_iter().map(|row| {
            let (Row { name, .. }, (committed, to_commit), (applied, to_apply)) = (&row, row.committed, row.applied);
            format!("{name}: committed {committed}/{to_commit}, synced {applied}/{to_apply}")
        });
        eprintln!("{}", parts.collect::<Vec<_>>().join(" | "));
        gap = (gap * 2).min(SELDOM);
    }
}

fn bars(all: &MultiProgress, job: &Job, progress: &[Progress], ended: &Latch) {
    let style = ProgressStyle::with_template("{prefix} [{wide_bar}] synced {pos}/{len}, {msg}");
    let style = style.expect("it is a template").progress_chars("=> ");
    let bar = |row: Row| all.add(ProgressBar::new(row.applied.1).with_style(style.clone()).with_prefix(row.name));
    let bars: Vec<_> = rows(job, progress).into_iter().map(bar).collect();
    loop {
        for (row, bar) in rows(job, progress).into_iter().zip(&bars) {
            bar.set_message(format!("committed {}/{}", row.committed.0, row.committed.1));
            bar.set_position(row.applied.0);
        }
        if ended.opened().wait_timeout(FRAME).is_ready() {
            break;
        }
    }
    // The summary says it all.
    let _unwritten = all.clear();
}

fn rows(job: &Job, progress: &[Progress]) -> Vec<Row> {
    let row = |(share, progress): (Share, &Progress)| {
        let (committed, applied) = progress.get();
        Row { committed: (committed, share.events(job)), applied: (applied, job.ordered()), name: share.client }
    };
    let rows: Vec<_> = job.shares().into_iter().zip(progress).map(row).collect();
    if rows.len() <= MANY {
        return rows;
    }
    let sum = |part: fn(&Row) -> (u64, u64)| {
        rows.iter().map(part).fold((0, 0), |(done, of), (more, of_more)| (done + more, of + of_more))
    };
    vec![Row {
        name: format!("{} clients", rows.len()),
        committed: sum(|row| row.committed),
        applied: sum(|row| row.applied),
    }]
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU64, NonZeroUsize};
    use std::thread;

    use indicatif::{InMemoryTerm, ProgressDrawTarget};
    use node_sync::faults::Faults;

    use super::*;

    fn job(clients: usize) -> Job {
        let one = NonZeroUsize::MIN;
        let todos = vec![10; clients];
        let faults = Faults::default();
        let patience = NonZeroU64::MIN;
        let (commit_batch, window, push_batch, page, max_pending) = (one, one, one, one, one);
        Job {
            todos,
            edit_every: 0,
            commit_batch,
            window,
            push_batch,
            linger: 0,
            page,
            max_pending,
            patience,
            faults,
            seed: 1,
        }
    }

    /// Shows bars until this is to be seen.
    fn shows(clients: usize, expected: &str) {
        let (job, ended) = (job(clients), Latch::new());
        let progress: Vec<_> = (0..clients).map(|_| Progress::default()).collect();
        let terminal = InMemoryTerm::new(20, 80);
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let display = Display::Bars(MultiProgress::with_draw_target(target));
        thread::scope(|scope| {
            scope.spawn(|| display.show(&job, &progress, &ended));
            progress[0].set(7, 5);
            while !terminal.contents().contains(expected) {
                thread::yield_now();
            }
            ended.open();
        });
        assert_eq!(terminal.contents(), "", "the summary has the terminal for itself");
    }

    #[test]
    fn bars_show_how_far_each_client_is() {
        shows(2, "] synced 5/20, committed 7/10\nclient2 [");
    }

    #[test]
    fn many_clients_have_one_bar() {
        shows(30, "30 clients [");
        shows(30, "] synced 5/9000, committed 7/300");
    }
}
