//! The deep search: every model that has a bound, without it, and every larger size.
//!
//! Searches take turns, a few at a time, a stretch of some minutes each, until all have ended or the time is over. What
//! they have done is in checkpoints beside the build; a search that is stopped, in whatever way, goes on later by the same
//! command. Checkpoints are good only for the code that wrote them, so they stand in a directory that is named for it.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use crate::data::{Data, Listed};
use crate::mutate::SOURCES;
use crate::run::Place;
use crate::text::{count, number};

/// How long a search goes on before it is the next one's turn.
const STRETCH: Duration = Duration::from_secs(10 * 60);

/// What the models' runner says to the process of one model, and how such a process ends; see `loom-tests/`.
const CHILD: (&str, &str) = ("LATCHWORK_MODELS", "in a process of its own");
const CHECKED: i32 = 64;
const STOPPED: i32 = 65;

/// One search.
struct Search {
    model: String,
    size: Option<String>,
    executions: usize,
}

impl Search {
    fn name(&self) -> String {
        self.size.as_ref().map_or_else(|| self.model.clone(), |size| format!("{}, {size}", self.model))
    }

    /// What its files begin with.
    fn stem(&self) -> String {
        let size = self.size.as_ref().map_or_else(String::new, |size| format!("+{size}"));
        format!("{}{size}.", self.model.replace("::", "."))
    }

    fn file(&self, directory: &Path, extension: &str) -> PathBuf {
        directory.join(self.stem() + extension)
    }

    /// The number of executions before the checkpoint, which its name says.
    fn so_far(&self, directory: &Path) -> io::Result<usize> {
        let number = |name: &str| name.strip_prefix(&self.stem())?.strip_suffix(".path")?.parse().ok();
        let entries = fs::read_dir(directory)?.filter_map(Result::ok);
        Ok(entries.filter_map(|entry| number(entry.file_name().to_str()?)).max().unwrap_or(0))
    }
}

/// What became of the searches.
#[derive(Default)]
struct Outcome {
    ended: Vec<(String, usize)>,
    failed: Vec<(String, String)>,
}

struct Shared<'a> {
    models: &'a Path,
    directory: &'a Path,
    until: Option<Instant>,
    waiting: Mutex<VecDeque<Search>>,
    outcome: Mutex<Outcome>,
}

/// Whether nothing failed.
pub fn search(place: &Place, filter: Option<&str>, jobs: Option<usize>, time: Option<Duration>) -> io::Result<bool> {
    let models = build(place)?;
    let directory = place.models().join("deep").join(format!("{:016x}", fingerprint(&place.root)?));
    fs::create_dir_all(&directory)?;
    println!("checkpoints: {}", directory.display());
    let (mut waiting, mut outcome) = (VecDeque::new(), Outcome::default());
    for mut search in searches(&models, &directory, filter)? {
        match fs::read_to_string(search.file(&directory, "done")) {
            Ok(executions) => outcome.ended.push((search.name(), executions.parse().unwrap_or(0))),
            Err(_) => {
                search.executions = search.so_far(&directory)?;
                waiting.push_back(search);
            }
        }
    }
    if waiting.is_empty() && outcome.ended.is_empty() {
        return Err(io::Error::other("no model of that name has a bound or a larger size"));
    }
    let jobs = jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into));
    let shared = Shared {
        models: &models,
        directory: &directory,
        until: time.map(|time| Instant::now() + time),
        waiting: Mutex::new(waiting),
        outcome: Mutex::new(outcome),
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(|| take_turns(&shared))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    let waiting = shared.waiting.into_inner().expect("no thread panicked");
    Ok(say(&waiting, &shared.outcome.into_inner().expect("no thread panicked")))
}

/// The tests of the models.
fn build(place: &Place) -> io::Result<PathBuf> {
    let mut cargo = place.cargo_loom();
    cargo.args(["test", "--quiet", "--test", "models", "--no-run", "--message-format=json-render-diagnostics"]);
    let built = cargo.stderr(Stdio::inherit()).output()?;
    let executable = String::from_utf8_lossy(&built.stdout).lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_ours = message["target"]["name"] == "models" && message["profile"]["test"] == true;
        is_ours.then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    executable.filter(|_| built.status.success()).ok_or_else(|| io::Error::other("the models could not be built"))
}

/// Everything that decides what an execution is.
fn fingerprint(root: &Path) -> io::Result<u64> {
    let mut files = vec![root.join("Cargo.toml"), root.join("Cargo.lock")];
    let mut folders: Vec<_> = SOURCES.iter().map(|source| root.join(source)).chain([root.join("loom-tests")]).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| ["rs", "toml"].iter().any(|known| extension == *known)) {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        (file.strip_prefix(root).unwrap_or(&file), fs::read(&file)?).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

fn searches(models: &Path, directory: &Path, filter: Option<&str>) -> io::Result<Vec<Search>> {
    let listed =
        note(Command::new(models).args(["--exact", "the_index_is_written_down"]), directory, "index")?.0.listed;
    let of = |Listed { name, bound, larger }: Listed| {
        let sizes = bound.map(|_| None).into_iter().chain(larger.into_iter().map(Some));
        sizes.map(move |size| Search { model: name.clone(), size, executions: 0 }).collect::<Vec<_>>()
    };
    let wanted = |search: &Search| filter.is_none_or(|filter| search.name().contains(filter));
    Ok(listed.into_iter().flat_map(of).filter(wanted).collect())
}

/// Runs it, and gives what it wrote down and how it ended.
fn note(command: &mut Command, directory: &Path, name: &str) -> io::Result<(Data, Option<i32>)> {
    let file = directory.join(format!("{name}.jsonl"));
    fs::write(&file, "")?;
    // The models end when they find their stdin closed: with this process, however it ends.
    let mut process = command.env("LATCHWORK_DATA", &file).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let stdin = process.stdin.take();
    let ended = process.wait()?;
    drop(stdin);
    let data = Data::read(&fs::read_to_string(&file)?).map_err(io::Error::other)?;
    fs::remove_file(file)?;
    Ok((data, ended.code()))
}

fn take_turns(shared: &Shared) -> io::Result<()> {
    loop {
        let left = shared.until.map_or(STRETCH, |until| until.saturating_duration_since(Instant::now()));
        let next = shared.waiting.lock().expect("no thread panicked").pop_front();
        let Some(mut search) = next else { return Ok(()) };
        if left.is_zero() {
            shared.waiting.lock().expect("no thread panicked").push_front(search);
            return Ok(());
        }
        let mut process = Command::new(shared.models);
        process.args(["--exact", &search.model, "--nocapture"]).env(CHILD.0, CHILD.1);
        process.env("LATCHWORK_DEEP", shared.directory);
        process.env("LATCHWORK_DEEP_SECONDS", left.min(STRETCH).as_secs().max(1).to_string());
        match &search.size {
            Some(size) => process.env("LATCHWORK_DEEP_SIZE", size),
            None => process.env_remove("LATCHWORK_DEEP_SIZE"),
        };
        let name = search.file(Path::new(""), "turn");
        let (data, code) = note(&mut process, shared.directory, &name.display().to_string())?;
        search.executions = data.deep.as_ref().map_or(search.executions, |deep| deep.executions);
        let mut outcome = shared.outcome.lock().expect("no thread panicked");
        match code {
            Some(CHECKED) => {
                println!("{}: ended, {}", search.name(), count(search.executions, "execution"));
                outcome.ended.push((search.name(), search.executions));
            }
            Some(STOPPED) => {
                println!("{}: {} so far", search.name(), count(search.executions, "execution"));
                shared.waiting.lock().expect("no thread panicked").push_back(search);
            }
            _ => {
                let how =
                    data.deep.and_then(|deep| deep.failure).unwrap_or_else(|| format!("its process died: {code:?}"));
                println!("{}: FAILED: {how}", search.name());
                outcome.failed.push((search.name(), how));
            }
        }
    }
}

/// Whether nothing failed.
fn say(waiting: &VecDeque<Search>, outcome: &Outcome) -> bool {
    let Outcome { ended, failed } = outcome;
    println!("\n## Deep search\n\n| search | executions | |\n| --- | ---: | --- |");
    for (name, how) in failed {
        println!("| {name} | | FAILED: {} |", how.lines().next().unwrap_or_default());
    }
    for (name, executions) in ended {
        println!("| {name} | {} | exhaustive: nothing was found |", number(*executions));
    }
    for search in waiting {
        println!("| {} | {} | goes on |", search.name(), number(search.executions));
    }
    failed.is_empty()
}
