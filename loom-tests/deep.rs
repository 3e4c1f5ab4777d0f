//! Searches without a bound, and in larger sizes, that may be stopped and gone on with: for `cargo models --deep`.
//!
//! loom writes the path of the next execution to a file now and then, and a search can begin with what it finds there.
//! How many executions came before is in the file's name: each new one gets its name once it is complete, and the one
//! before goes. A process that is killed at any moment leaves one that is good, and repeats what came after it.
//!
//! A search that was stopped has shown nothing yet, and says so by the way in which its process ends. Nothing of this is
//! there unless it is asked for: the usual checks start from nothing and run to their end.

use std::any::Any;
use std::fs;
use std::panic;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::model::{Model, message, on_a_thread};
use crate::{data, trace};

/// How a process ends whose search goes on another time.
const STOPPED: i32 = 65;

/// How many executions lie between two files: about a second.
const INTERVAL: usize = 20_000;

/// What was asked for.
pub struct Deep {
    /// Where the files are: `LATCHWORK_DEEP`. What is there was written by this very code.
    directory: PathBuf,
    /// Which of the larger sizes, if any: `LATCHWORK_DEEP_SIZE`.
    size: Option<String>,
    /// How long to search: `LATCHWORK_DEEP_SECONDS`.
    time: Duration,
}

/// `None` for the usual checks.
pub fn asked_for() -> Option<Deep> {
    let directory = std::env::var_os("LATCHWORK_DEEP")?.into();
    let size = std::env::var("LATCHWORK_DEEP_SIZE").ok();
    let seconds = std::env::var("LATCHWORK_DEEP_SECONDS").map_or(u64::MAX, |text| text.parse().expect("whole seconds"));
    Some(Deep { directory, size, time: Duration::from_secs(seconds) })
}

/// What the search panics with when its time is over.
struct Stopped;

/// The file with the path of the execution to go on with.
#[derive(Clone)]
struct Checkpoint {
    directory: PathBuf,
    name: String,
}

impl Checkpoint {
    fn path(&self, executions: usize) -> PathBuf {
        self.directory.join(format!("{}.{executions}.path", self.name))
    }

    /// Where loom writes.
    fn draft(&self) -> PathBuf {
        self.directory.join(format!("{}.draft", self.name))
    }

    fn done(&self) -> PathBuf {
        self.directory.join(format!("{}.done", self.name))
    }

    /// The number of executions before the latest file. (Two are there if a process was killed as it replaced one.)
    fn latest(&self) -> Option<usize> {
        let entries = fs::read_dir(&self.directory).expect("the directory has been made");
        let number = |name: &str| name.strip_prefix(&self.name)?.strip_prefix('.')?.strip_suffix(".path")?.parse().ok();
        entries.filter_map(|entry| number(entry.ok()?.file_name().to_str()?)).max()
    }

    /// What loom has just written is complete: it replaces the one after `former` executions.
    fn replace(&self, former: usize, executions: usize) {
        fs::rename(self.draft(), self.path(executions)).expect("loom has written it");
        if former > 0 {
            fs::remove_file(self.path(former)).expect("it was there");
        }
    }
}

impl Deep {
    /// Searches as long as it may, from where the last search stopped.
    pub fn search(&self, model: &Model) {
        let Self { directory, size, time } = self;
        let scenario = size.as_ref().map_or(model.scenario, |wanted| {
            let larger = model.larger.iter().find(|(name, _)| name == wanted);
            larger.unwrap_or_else(|| panic!("{}: there is no size {wanted}", model.name)).1
        });
        fs::create_dir_all(directory).expect("a directory for the checkpoints");
        let name = [Some(model.name), size.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("+");
        let checkpoint = Checkpoint { directory: directory.clone(), name: name.replace("::", ".") };
        let before = checkpoint.latest().unwrap_or(0);
        if before > 0 {
            fs::copy(checkpoint.path(before), checkpoint.draft()).expect("a file that can be read");
        } else {
            let _ = fs::remove_file(checkpoint.draft());
        }

        let mut builder = model.builder();
        builder.preemption_bound = None;
        builder.checkpoint_file = Some(checkpoint.draft());
        builder.checkpoint_interval = INTERVAL;
        let begun = Arc::new(AtomicUsize::new(0));
        let (count, files, time, started) = (Arc::clone(&begun), checkpoint.clone(), *time, Instant::now());
        let ended = on_a_thread("model", move || {
            builder.check(move || {
                let this = count.fetch_add(1, Ordering::Relaxed) + 1;
                if this % INTERVAL == 0 {
                    let former = if this > INTERVAL { before + this - INTERVAL - 1 } else { before };
                    files.replace(former, before + this - 1);
                    if started.elapsed() >= time {
                        panic::resume_unwind(Box::new(Stopped));
                    }
                }
                (scenario.steps)();
            });
        });
        let executions = before + begun.load(Ordering::Relaxed);
        let failure = ended.err();
        let stopped = failure.as_ref().is_some_and(|failure| failure.is::<Stopped>());
        let executions = executions - usize::from(stopped);
        let failed = failure.filter(|_| !stopped).map(|failure: Box<dyn Any + Send>| message(&*failure).to_owned());
        data::note(&json!({ "deep": {
            "name": model.name,
            "size": size,
            "executions": executions,
            "ended": !stopped,
            "failure": failed,
        }}));
        if let Some(failed) = failed {
            let latest = checkpoint.latest();
            let (from, after) = (latest.map(|latest| checkpoint.path(latest)), executions - latest.unwrap_or(0));
            let mut builder = model.builder();
            builder.preemption_bound = None;
            trace::explain_after(model, builder, size.as_deref(), scenario, from.as_deref(), after);
            panic!("{name}: execution {executions} ended with: {failed}");
        }
        if stopped {
            process::exit(STOPPED);
        }
        fs::write(checkpoint.done(), executions.to_string()).expect("a directory that can be written to");
        if let Some(last) = checkpoint.latest() {
            fs::remove_file(checkpoint.path(last)).expect("it was there");
        }
    }
}
