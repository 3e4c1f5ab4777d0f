//! What nobody would miss: takes away one ordering, one wake-up, one count or one second look at a time, and asks the
//! checks of that room whether they notice.
//!
//! `cargo mutants` changes what functions return and how values are compared; it knows nothing of memory orderings, nor
//! of a statement that could be left out. These are that rest. A change is one piece of text in a copy of the tree. The
//! models of its room are asked first, for most of these changes are wrong in some schedules only; the tests are asked
//! about what the models let through. One check that fails is enough, and so is one that does not end.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use serde_json::Value;

use crate::run::Place;

/// What is looked for everywhere, and what takes its place. Of `AcqRel` each half is taken away by itself.
const EVERYWHERE: &[(&str, &str)] = &[
    ("Ordering::Acquire", "Ordering::Relaxed"),
    ("Ordering::Release", "Ordering::Relaxed"),
    ("Ordering::AcqRel", "Ordering::Acquire"),
    ("Ordering::AcqRel", "Ordering::Release"),
    ("Ordering::SeqCst", "Ordering::AcqRel"),
    ("self.inner.notify_all(inner, topic);", "let _ = (&self.inner, topic);"),
    ("self.woken.notify_all(&mut woken, 0);", ""),
    ("wake_all(wakers);", "drop(wakers);"),
    ("self.epoch += 1;", ""),
    ("self.generation += 1;", ""),
];

/// Second looks, each where it stands. One that stands there no longer is an error.
const LOOKS: &[(&str, &str, &str)] = &[
    ("src/parker.rs", "if !*woken {", "if true {"),
    ("src/wait.rs", "return wait.give_up().map_or(ended, Waited::Ready);", "return ended;"),
    ("src/queue.rs", "= self.condition.mark() {", "= self.condition.mark().filter(|_| false) {"),
    ("src/queue.rs", "if waiting.at(&place).is_none() {", "if false {"),
    ("src/queue.rs", "if waiting.is_empty() {", "if false {"),
    ("src/queue.rs", "self.vacant.push(index);", ""),
    ("src/queue.rs", "self.vacant.clear();", ""),
    ("src/watched.rs", "waker.filter(|_| found.is_none())", "waker"),
    ("src/watched.rs", "Err(_) if passed =>", "Err(_) if false =>"),
    ("src/worker/shared.rs", "asked.get_or_insert(cause);", ""),
    ("src/worker/shared.rs", "state.history.reset();", ""),
    ("src/protocol/push.rs", "let changed = self.epoch != epoch;", "let changed = epoch > epoch;"),
    ("src/protocol/push.rs", "(changed || reached)", "(changed)"),
    ("src/protocol/push.rs", "if ticket != batch.ticket {", "if false {"),
    ("src/protocol/push.rs", "if lost {", "if false && lost {"),
    ("src/protocol/push.rs", "*lost |= rebase;", ""),
    ("src/protocol/push.rs", "*pull = self.pulls + 1;", "let _ = &pull;"),
    ("src/protocol/push.rs", "self.tick(now)", "Effects::default()"),
    ("src/protocol/mod.rs", "self.catch_up = self.pulls + 1;", ""),
];

/// Test machinery, and the machine's own locks, which no model sees.
const NOT_HERE: &[&str] = &["src/sync/", "src/known_bugs.rs", "src/points.rs"];

/// The checks of a room: models by name, and tests.
struct Checks {
    models: &'static [&'static str],
    tests: &'static [&'static str],
}

fn checks(file: &str) -> Checks {
    match file {
        "src/latch.rs" => Checks { models: &["latch::"], tests: &["primitives"] },
        "src/epoch.rs" => Checks { models: &["epoch::"], tests: &["primitives"] },
        "src/interrupt.rs" => Checks { models: &["interrupt::"], tests: &["primitives"] },
        _ if file.starts_with("src/worker/") => Checks { models: &["worker::"], tests: &["primitives"] },
        _ if file.starts_with("src/protocol/") || file.starts_with("src/replicator/") => {
            Checks { models: &["replicator::", "matrix::", "engines::"], tests: &["replicator", "search"] }
        }
        _ => Checks {
            models: &["latch::", "epoch::", "interrupt::", "worker::", "replicator::"],
            tests: &["primitives", "replicator"],
        },
    }
}

struct Mutant {
    file: String,
    line: usize,
    at: usize,
    from: &'static str,
    to: &'static str,
}

impl std::fmt::Display for Mutant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, line, from, to, .. } = self;
        if to.is_empty() {
            write!(f, "{file}:{line}: without `{from}`")
        } else {
            write!(f, "{file}:{line}: `{from}` → `{to}`")
        }
    }
}

/// Tries the mutants whose `file:line` contains `filter`. Whether all were caught.
pub fn try_all(place: &Place, filter: Option<&str>) -> io::Result<bool> {
    let copy = place.copy("mutants")?;
    let mutants: Vec<_> = find(&copy.root)?
        .into_iter()
        .filter(|mutant| filter.is_none_or(|filter| format!("{}:{}", mutant.file, mutant.line).contains(filter)))
        .collect();
    let begun = Instant::now();
    let mut survivors = Vec::new();
    let mut sound: Vec<(String, Duration)> = Vec::new();
    for mutant in &mutants {
        let Mutant { file, at, from, to, .. } = mutant;
        let checks = checks(file);
        let key = format!("{:?}{:?}", checks.models, checks.tests);
        let known = sound.iter().find(|(room, _)| *room == key).map(|(_, took)| *took);
        let took = match known {
            Some(took) => took,
            None => {
                // If the checks fail without a change, their failing with one says nothing.
                let started = Instant::now();
                if let Some(by) = caught(&copy, &checks, Duration::MAX)? {
                    return Err(io::Error::other(format!("without any change, {by}")));
                }
                sound.push((key, started.elapsed()));
                started.elapsed()
            }
        };
        let path = copy.root.join(file);
        let text = fs::read_to_string(&path)?;
        fs::write(&path, format!("{}{to}{}", &text[..*at], &text[at + from.len()..]))?;
        let by = caught(&copy, &checks, 3 * took + Duration::from_secs(20));
        fs::write(&path, text)?;
        match by? {
            Some(by) => println!("caught    {mutant}  ({by})"),
            None => {
                println!("SURVIVED  {mutant}");
                survivors.push(mutant);
            }
        }
    }
    let (all, minutes) = (mutants.len(), begun.elapsed().as_secs().div_ceil(60));
    println!("{} of {all} caught, in {minutes} min", all - survivors.len());
    Ok(survivors.is_empty() && all > 0)
}

fn find(root: &Path) -> io::Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    let mut stale: Vec<_> = LOOKS.iter().collect();
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files)?;
    files.sort();
    for path in files {
        let file = path.strip_prefix(root).expect("it was found there").to_string_lossy().replace('\\', "/");
        if NOT_HERE.iter().any(|not_here| file.starts_with(not_here)) {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        // What the file's own tests do is not shipped.
        let shipped = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
        let looks = LOOKS.iter().filter(|(of, _, _)| *of == file).map(|(_, from, to)| (*from, *to));
        for (from, to) in EVERYWHERE.iter().copied().chain(looks) {
            for (at, _) in text[..shipped].match_indices(from) {
                stale.retain(|(of, look, _)| (*of, *look) != (file.as_str(), from));
                let begins = text[..at].rfind('\n').map_or(0, |end| end + 1);
                if !text[begins..].trim_start().starts_with("//") {
                    let line = text[..at].matches('\n').count() + 1;
                    mutants.push(Mutant { file: file.clone(), line, at, from, to });
                }
            }
        }
    }
    if let Some((file, look, _)) = stale.first() {
        return Err(io::Error::other(format!(
            "`{look}` does not stand in {file} any more: see tools/models/src/mutate.rs"
        )));
    }
    mutants.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Ok(mutants)
}

fn sources(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The check that fails, if one does.
fn caught(copy: &Place, checks: &Checks, limit: Duration) -> io::Result<Option<String>> {
    let mut models = copy.cargo_loom();
    models.args(["test", "--no-run", "--test", "models"]);
    if let Some(by) = fails(copy, &mut models, checks.models, limit)? {
        return Ok(Some(by));
    }
    let mut tests = copy.cargo();
    tests.args(["test", "--no-run", "--lib"]).args(checks.tests.iter().flat_map(|test| ["--test", test]));
    fails(copy, &mut tests, &[], limit)
}

/// Builds the tests with `build` and runs those that `filters` name, until one fails.
fn fails(copy: &Place, build: &mut Command, filters: &[&str], limit: Duration) -> io::Result<Option<String>> {
    let built = build.args(["--message-format", "json"]).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    if !built.status.success() {
        return Err(io::Error::other("this does not compile: see tools/models/src/mutate.rs"));
    }
    let executables = built.stdout.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(&line.ok()?).ok()?;
        Some(message.get("executable")?.as_str()?.to_owned())
    });
    for executable in executables {
        let mut test = Command::new(executable);
        test.current_dir(&copy.root).args(filters).stdin(Stdio::null()).stderr(Stdio::null());
        let mut test = test.stdout(Stdio::piped()).spawn()?;
        let (said, says) = mpsc::channel();
        let stdout = BufReader::new(test.stdout.take().expect("it is piped"));
        let reader = thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        let started = Instant::now();
        let by = loop {
            match says.recv_timeout(limit.saturating_sub(started.elapsed()).min(Duration::from_secs(24 * 3600))) {
                Ok(line) if line.ends_with("... FAILED") => {
                    break Some(line.trim_start_matches("test ").trim_end_matches(" ... FAILED").to_owned());
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => break Some("it does not end".into()),
                Err(RecvTimeoutError::Disconnected) => {
                    break Some("the tests end by themselves".into())
                        .filter(|_| !matches!(test.wait(), Ok(status) if status.success()));
                }
            }
        };
        // One is enough. A model's process ends with the one that started it.
        let _ended_by_itself = test.kill();
        test.wait()?;
        drop(says);
        let _nobody_listens = reader.join();
        if by.is_some() {
            return Ok(by);
        }
    }
    Ok(None)
}
