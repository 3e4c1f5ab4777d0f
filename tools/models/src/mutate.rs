//! Mutation testing: takes away one ordering, one wake-up, one count or one second look at a time, and asks the
//! checks of that module whether they notice.
//!
//! `cargo mutants` changes what functions return and how values are compared; it knows nothing of
//! memory orderings, nor of a statement that could be left out. These are that rest. A change is
//! one piece of text in a copy of the tree. The tests of its module are asked first, which takes a
//! second; then the models, for most of these changes are wrong in some schedules only; then the
//! state search. One check that fails is enough, and so is one that does not end. What survives the
//! tests in `cargo mutants` is tried here as well.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::slice::from_ref;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use serde::Deserialize;
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
    ("src/primitives/parker.rs", "if !*woken {", "if true {"),
    ("src/primitives/wait.rs", "return wait.give_up().map_or(ended, Waited::Ready);", "return ended;"),
    ("src/primitives/wait_queue.rs", "= self.condition.mark() {", "= self.condition.mark().filter(|_| false) {"),
    ("src/primitives/wait_queue.rs", "if waiting.at(&place).is_none() {", "if false {"),
    ("src/primitives/wait_queue.rs", "if waiting.is_empty() {", "if false {"),
    ("src/primitives/wait_queue.rs", "self.vacant.push(place.index);", ""),
    ("src/primitives/wait_queue.rs", "self.vacant.clear();", ""),
    ("src/primitives/monitor.rs", "waker.filter(|_| found.is_none())", "waker"),
    ("src/primitives/monitor.rs", "Err(_) if passed =>", "Err(_) if false =>"),
    ("src/primitives/worker/shared.rs", "asked.get_or_insert(cause);", ""),
    ("src/primitives/worker/shared.rs", "state.history.reset();", ""),
    ("core/src/protocol/push.rs", "let changed = self.epoch != epoch;", "let changed = epoch > epoch;"),
    ("core/src/protocol/push.rs", "if changed || reached {", "if changed {"),
    ("core/src/protocol/push.rs", "if ticket != batch.ticket {", "if false {"),
    ("core/src/protocol/push.rs", "if fate == Fate::Open && outcome.is_ok() {", "if outcome.is_ok() {"),
    ("core/src/protocol/push.rs", "*fate = Fate::Overtaken;", ""),
    ("core/src/protocol/push.rs", "self.tick(at.now)", "Effects::default()"),
    ("core/src/protocol/pull.rs", "self.course.catch_up = self.begun.pull + 1;", ""),
];

/// What ships, and may be changed.
pub const SOURCES: [&str; 2] = ["core/src", "src"];

/// The machine's own locks, which no model sees.
const NOT_HERE: &str = "src/platform/";

/// The checks of a module: models by name, and tests.
#[derive(Clone, Copy)]
struct Checks<'a> {
    models: &'a [&'static str],
    tests: &'a [&'static str],
}

impl Checks<'_> {
    /// Each by itself, with its name.
    fn each(self) -> impl Iterator<Item = (&'static str, Self)> {
        let Self { models, tests } = self;
        let models = models.iter().map(|model| (*model, Self { models: from_ref(model), tests: &[] }));
        models.chain(tests.iter().map(|test| (*test, Self { models: &[], tests: from_ref(test) })))
    }
}

fn checks(file: &str) -> Checks<'static> {
    let place: Vec<_> =
        file.trim_start_matches("core/").trim_start_matches("src/").trim_end_matches(".rs").split('/').collect();
    match place.as_slice() {
        ["primitives", "latch"] => Checks { models: &["latch::"], tests: &["primitives"] },
        ["primitives", "epoch"] => Checks { models: &["epoch::"], tests: &["primitives"] },
        ["primitives", "interrupt"] => Checks { models: &["interrupt::"], tests: &["primitives"] },
        ["primitives", "worker", ..] => Checks { models: &["worker::", "trace::"], tests: &["primitives"] },
        ["sync_state", ..] => Checks { models: &[], tests: &["sync_state", SEARCH] },
        ["log", ..] => Checks { models: &["replicator::"], tests: &["replicator", "sync_state", SEARCH] },
        ["replicator", "upstream", ..] => Checks { models: &["upstream::", "replicator::"], tests: &["replicator"] },
        ["protocol" | "replicator", ..] => {
            Checks { models: &["replicator::", "matrix::", "engines::", "trace::"], tests: &["replicator", SEARCH] }
        }
        _ => Checks {
            models: &["latch::", "epoch::", "interrupt::", "worker::", "replicator::"],
            tests: &["primitives", "replicator"],
        },
    }
}

/// The state search, which takes longer than all the other tests.
const SEARCH: &str = "search";

struct Mutant {
    file: String,
    line: usize,
    /// What is changed into what, in the words of `cargo mutants`.
    words: String,
    /// The file with the change made.
    text: String,
    /// `cargo mutants` has found it, and the tests have let it through.
    tested: bool,
}

impl std::fmt::Display for Mutant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, line, words, .. } = self;
        write!(f, "{file}:{line}: {words}")
    }
}

/// Tries the mutants whose `file:line` contains `filter`. Whether each was caught, or is justified.
pub fn try_all(place: &Place, filter: Option<&str>) -> io::Result<bool> {
    let copy = place.copy("mutants")?;
    let selected = |at: &str| filter.is_none_or(|filter| at.contains(filter));
    let Tested { mutants: tested, score } = Tested::read(place, selected)?;
    let mut mutants = find(&copy.root)?;
    mutants.retain(|mutant| selected(&format!("{}:{}", mutant.file, mutant.line)));
    mutants.extend(tested);
    mutants.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    let mut excuses = Excuse::read(&copy.root)?;
    let begun = Instant::now();
    let (mut survivors, mut justified) = (0, 0);
    // The checks that pass without a change, and how long they take.
    let mut sound = HashMap::new();
    for mutant in &mutants {
        // One excuse may stand for several.
        let mut excused = false;
        for excuse in excuses.iter_mut().filter(|excuse| excuse.is_for(mutant)) {
            (excuse.used, excused) = (true, true);
        }
        if excused {
            println!("justified {mutant}");
            justified += 1;
            continue;
        }
        let checks = checks(&mutant.file);
        let mut took = Duration::ZERO;
        for (name, check) in checks.each() {
            if !sound.contains_key(name) {
                // If a check fails without a change, its failing with one says nothing.
                let started = Instant::now();
                if let Some(by) = caught(&copy, check, check.tests.is_empty(), Duration::MAX)? {
                    return Err(io::Error::other(format!("without any change, {by}")));
                }
                sound.insert(name, started.elapsed());
            }
            took += sound[name];
        }
        let path = copy.root.join(&mutant.file);
        let text = fs::read_to_string(&path)?;
        fs::write(&path, &mutant.text)?;
        let by = caught(&copy, checks, mutant.tested, 3 * took + Duration::from_secs(20));
        fs::write(&path, text)?;
        match by? {
            Some(by) => println!("caught    {mutant}  ({by})"),
            None => {
                println!("SURVIVED  {mutant}");
                survivors += 1;
            }
        }
    }
    let (all, minutes) = (mutants.len(), begun.elapsed().as_secs().div_ceil(60));
    println!(
        "{} of {all} caught, {justified} justified, {survivors} survived, in {minutes} min",
        all - justified - survivors
    );
    if filter.is_some() {
        return Ok(survivors == 0 && all > 0);
    }
    let Some(score) = score else {
        println!(
            "No mutants from `cargo mutants -o {}`: these are only those that it does not know.",
            place.target().display()
        );
        return Ok(survivors == 0);
    };
    println!("{score}");
    let idle: Vec<_> = excuses.iter().filter(|excuse| !excuse.used).collect();
    for Excuse { file, line, words, .. } in &idle {
        println!("SETTLED   {file}:{line}: `{words}` is justified, and does not survive");
    }
    Ok(survivors == 0 && idle.is_empty())
}

/// What `cargo mutants` has written down.
struct Tested {
    /// Those that the tests have let through.
    mutants: Vec<Mutant>,
    /// What became of all; `None` if it has written nothing.
    score: Option<String>,
}

impl Tested {
    fn read(place: &Place, selected: impl Fn(&str) -> bool) -> io::Result<Self> {
        let directory = place.mutants();
        let lines = |name: &str| -> io::Result<Vec<String>> {
            Ok(fs::read_to_string(directory.join(name))?.lines().map(str::to_owned).collect())
        };
        let missed = match lines("missed.txt") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { mutants: Vec::new(), score: None });
            }
            missed => missed?,
        };
        let score = format!(
            "The rest, by `cargo mutants`: {} caught by the tests, {} by a test that does not end, {} do not compile.",
            lines("caught.txt")?.len(),
            lines("timeout.txt")?.len(),
            lines("unviable.txt")?.len()
        );
        let all: Vec<Change> = serde_json::from_str(&fs::read_to_string(directory.join("mutants.json"))?)?;
        let mutants = all.into_iter().filter(|change| missed.contains(&change.name) && selected(&change.name));
        Ok(Self {
            mutants: mutants.map(|change| change.mutant(&place.root)).collect::<io::Result<_>>()?,
            score: Some(score),
        })
    }
}

/// A mutant as `cargo mutants` writes it down.
#[derive(Deserialize)]
struct Change {
    name: String,
    file: String,
    diff: String,
}

impl Change {
    fn mutant(self, root: &Path) -> io::Result<Mutant> {
        let Self { name, file, diff } = self;
        let stale = || io::Error::other(format!("{name}: {file} has changed since then; run `cargo mutants` again"));
        let text = fs::read_to_string(root.join(&file))?;
        let text = patched(&text, &diff).ok_or_else(stale)?;
        // file:line:column: words
        let mut parts = name.strip_prefix(&file).ok_or_else(stale)?.splitn(4, ':').skip(1);
        let line = parts.next().and_then(|line| line.parse().ok()).ok_or_else(stale)?;
        let words = parts.nth(1).ok_or_else(stale)?.trim().to_owned();
        Ok(Mutant { file, line, words, text, tested: true })
    }
}

/// The text after a diff of one hunk; `None` if that is of another text.
fn patched(text: &str, diff: &str) -> Option<String> {
    let (head, hunk) = diff.split_once("\n@@ -")?.1.split_once(" @@")?;
    let first: usize = head.split([',', ' ']).next()?.parse().ok()?;
    let hunk: Vec<_> = hunk.lines().skip(1).collect();
    let side = |sign: char| hunk.iter().filter_map(move |line| line.strip_prefix([' ', sign]));
    let mut lines: Vec<_> = text.lines().collect();
    let old = first.checked_sub(1)?..first - 1 + side('-').count();
    if !lines.get(old.clone())?.iter().copied().eq(side('-')) {
        return None;
    }
    lines.splice(old, side('+'));
    Some(lines.join("\n") + "\n")
}

/// A comment that says why no check need notice a mutant: ``// Mutant `its words`: why``, in the paragraph where it stands.
struct Excuse {
    file: String,
    line: usize,
    /// The line before the next empty one.
    end: usize,
    /// A part of the mutant's words.
    words: String,
    used: bool,
}

impl Excuse {
    fn read(root: &Path) -> io::Result<Vec<Self>> {
        let mut excuses = Vec::new();
        let mut files = Vec::new();
        for source in SOURCES {
            sources(&root.join(source), &mut files)?;
        }
        for path in files {
            excuses.extend(Self::parse(&name(root, &path), &fs::read_to_string(&path)?).map_err(io::Error::other)?);
        }
        Ok(excuses)
    }

    fn parse(file: &str, text: &str) -> Result<Vec<Self>, String> {
        let mut excuses = Vec::new();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for (at, first) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("// Mutant")) {
            // A comment may go on for several lines.
            let comment: String = lines[at..].iter().map_while(|line| line.strip_prefix("//")).collect();
            let Some((list, _why)) = comment.split_once("`:") else {
                let line = at + 1;
                return Err(format!("{file}:{line}: expected ``// Mutant `its words`: why``, found `{first}`"));
            };
            let end = lines[at..].iter().position(|line| line.is_empty()).map_or(lines.len(), |length| at + length);
            excuses.extend(list.split('`').skip(1).step_by(2).map(|words| Self {
                file: file.to_owned(),
                line: at + 1,
                end,
                words: words.to_owned(),
                used: false,
            }));
        }
        Ok(excuses)
    }

    fn is_for(&self, mutant: &Mutant) -> bool {
        self.file == mutant.file && (self.line..=self.end).contains(&mutant.line) && mutant.words.contains(&self.words)
    }
}

fn find(root: &Path) -> io::Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    let mut stale: Vec<_> = LOOKS.iter().collect();
    let mut files = Vec::new();
    for source in SOURCES {
        sources(&root.join(source), &mut files)?;
    }
    files.sort();
    for path in files {
        let file = name(root, &path);
        if file.starts_with(NOT_HERE) {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        // What the file's own tests do is not shipped.
        let shipped = text.find("\nmod tests {").unwrap_or(text.len());
        let looks = LOOKS.iter().filter(|(of, _, _)| *of == file).map(|(_, from, to)| (*from, *to));
        for (from, to) in EVERYWHERE.iter().copied().chain(looks) {
            for (at, _) in text[..shipped].match_indices(from) {
                stale.retain(|(of, look, _)| (*of, *look) != (file.as_str(), from));
                let begins = text[..at].rfind('\n').map_or(0, |end| end + 1);
                if !text[begins..].trim_start().starts_with("//") {
                    let line = text[..at].matches('\n').count() + 1;
                    let words =
                        if to.is_empty() { format!("delete {from}") } else { format!("replace {from} with {to}") };
                    let text = format!("{}{to}{}", &text[..at], &text[at + from.len()..]);
                    mutants.push(Mutant { file: file.clone(), line, words, text, tested: false });
                }
            }
        }
    }
    if let Some((file, look, _)) = stale.first() {
        return Err(io::Error::other(format!(
            "`{look}` does not stand in {file} any more: see tools/models/src/mutate.rs"
        )));
    }
    Ok(mutants)
}

fn name(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).expect("it was found there").to_string_lossy().replace('\\', "/")
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

/// Far longer than the tests take, without the state search.
const HANGS: Duration = Duration::from_secs(20);

/// The check that fails, if one does: of the tests, unless they have been asked, then of the models, then of the search.
fn caught(copy: &Place, Checks { models, tests }: Checks, tested: bool, limit: Duration) -> io::Result<Option<String>> {
    let (search, tests): (Vec<_>, Vec<_>) = tests.iter().copied().partition(|test| *test == SEARCH);
    if !tested {
        let mut build = copy.cargo();
        build
            .args(["test", "--no-run", "-p", "latchwork", "-p", "latchwork-core", "--lib"])
            .args(tests.iter().flat_map(|test| ["--test", test]));
        if let Some(by) = fails(copy, &mut build, &[], limit.min(HANGS))? {
            return Ok(Some(by));
        }
    }
    if !models.is_empty() {
        let mut build = copy.cargo_loom();
        build.args(["test", "--no-run", "--test", "models"]);
        if let Some(by) = fails(copy, &mut build, models, limit)? {
            return Ok(Some(by));
        }
    }
    if search.is_empty() {
        return Ok(None);
    }
    let mut build = copy.cargo();
    build.args(["test", "--no-run", "--test", SEARCH]);
    fails(copy, &mut build, &[], limit)
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
        let _closed = reader.join();
        if by.is_some() {
            return Ok(by);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "--- src/a.rs\n+++ replace + with -\n@@ -2,3 +2,3 @@\n fn two() {\n-    1 + 1\n+    1 - 1\n }\n";

    #[test]
    fn a_diff_changes_the_text_that_it_is_of_and_no_other() {
        let text = "// Numbers.\nfn two() {\n    1 + 1\n}\n\nfn three() {}\n";
        assert_eq!(patched(text, DIFF), Some(text.replace('+', "-")));
        assert_eq!(patched(&format!("\n{text}"), DIFF), None);
        assert_eq!(patched(&text.replace("1 + 1", "2"), DIFF), None);
        assert_eq!(patched("", DIFF), None);
    }

    fn mutant(line: usize, words: &str) -> Mutant {
        Mutant { file: "src/a.rs".into(), line, words: words.into(), text: String::new(), tested: true }
    }

    #[test]
    fn an_excuse_is_for_what_it_names_in_its_own_paragraph() {
        let text = "fn f() {\n    // Mutants `+ with -`, `replace f -> u8\n    // with`: it is not asked for.\n    1 + 1\n}\n\n1 + 1\n";
        let excuses = Excuse::parse("src/a.rs", text).expect("it is one");
        let excused = |mutant: &Mutant| excuses.iter().any(|excuse| excuse.is_for(mutant));
        assert!(excused(&mutant(4, "replace + with - in f")));
        assert!(excused(&mutant(4, "replace f -> u8 with 0")));
        assert!(!excused(&mutant(4, "replace + with * in f")));
        assert!(!excused(&mutant(7, "replace + with -")), "another paragraph");
        assert!(!excused(&mutant(1, "replace + with -")), "above it");
        assert!(!excused(&Mutant { file: "src/b.rs".into(), ..mutant(4, "replace + with -") }));
    }

    #[test]
    fn an_excuse_without_a_reason_is_none() {
        let Err(error) = Excuse::parse("src/a.rs", "// Mutant `+ with -`\n1 + 1\n") else { panic!("it was accepted") };
        assert_eq!(error, "src/a.rs:1: expected ``// Mutant `its words`: why``, found `// Mutant `+ with -``");
    }
}
