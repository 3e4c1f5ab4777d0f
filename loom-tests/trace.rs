//! A failure, shown: the execution that failed, as an execution trace, and how to run exactly that
//! one again.
//!
//! How to read it is said in `loom-tests/README.md`; some are kept in `loom-tests/traces/`.
//!
//! A search keeps no record of what it does, which would slow it down. When it has failed it is run
//! again, with a record of the execution that failed; loom takes the same way each time.

use std::env;
use std::fs;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use loom::model::Builder;

use crate::model::{Model, REPLAYED, Scenario, message, on_a_thread, say};

/// The known bug that is shown, or the name of what another engine had in its place, or of a larger
/// size.
const SHOW: &str = "LATCHWORK_SHOW";

/// The file with the path of the execution that is shown.
const REPLAY: &str = "LATCHWORK_REPLAY";

/// Whether an execution is to be shown, and nothing to be checked.
pub fn are_asked_for() -> bool {
    [SHOW, REPLAY].iter().any(|name| env::var_os(name).is_some())
}

/// Shows the execution that was asked for, and ends as a failed test does: nothing was checked.
pub fn show(model: &Model) -> ! {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);

    let bug = env::var(SHOW).ok();
    let known = || model.known_bugs.iter().find(|(known, _)| Some(format!("{known:?}")) == bug);
    let variants = model.variants.iter().map(|(name, scenario, _)| (*name, *scenario));
    let built = || variants.chain(model.larger.iter().copied()).find(|(name, _)| Some(*name) == bug.as_deref());
    let (scenario, _on) = match (known(), built()) {
        (Some((known, _)), _) => (model.switched, Some(known.switch_on())),
        (None, Some((_, scenario))) => (scenario, None),
        (None, None) if bug.is_none() => (model.scenario, None),
        (None, None) => {
            let all = model.known_bugs.iter().map(|(known, _)| format!("{known:?}"));
            let all: Vec<_> = all.chain(model.variants.iter().map(|(name, ..)| (*name).into())).collect();
            panic!("{}: {SHOW}: expected one of its known bugs ({}), got {bug:?}", model.name, all.join(", "))
        }
    };
    match env::var_os(REPLAY) {
        Some(path) => {
            let path = &root().join(path);
            assert!(path.is_file(), "{REPLAY}: there is no file {}", path.display());
            match run(model.builder(), scenario, path, 1, usize::MAX) {
                Ok(trace) => say(&text(model, bug.as_deref(), &trace, path)),
                Err(error) => panic!("{}: {} cannot be run: {error}", model.name, path.display()),
            }
        }
        None => {
            let search = model.search(scenario);
            assert!(search.failure.is_some(), "{}: none of {} executions fails", model.name, search.executions);
            explain(model, bug.as_deref(), scenario, search.executions);
        }
    }
    panic::resume_unwind(Box::new("shown"))
}

/// Shows the execution, by number, with which a search of `scenario` has ended.
pub fn explain(model: &Model, bug: Option<&str>, scenario: Scenario, execution: usize) {
    explain_after(model, model.builder(), bug, scenario, None, execution);
}

/// As [`explain`], for a search by `builder` that has failed so many executions after the one to
/// which `checkpoint` leads. A scenario of another size has a name.
pub fn explain_after(
    model: &Model,
    builder: Builder,
    name: Option<&str>,
    scenario: Scenario,
    checkpoint: Option<&Path>,
    execution: usize,
) {
    let path = path_of(model.name, name);
    // loom begins with it, if it is there.
    match checkpoint {
        Some(checkpoint) => drop(fs::copy(checkpoint, &path).expect("a file that can be read")),
        None => drop(fs::remove_file(&path)),
    }
    match run(builder, scenario, &path, execution, execution) {
        Ok(trace) => say(&text(model, name, &trace, &path)),
        Err(error) => say(&format!("{}: execution {execution} cannot be shown: {error}", model.name)),
    }
}

/// Where commands are typed; cargo runs tests one level deeper.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is below it")
}

/// Where loom's path to the failing execution is kept.
fn path_of(model: &str, bug: Option<&str>) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(file_name(model, bug)).with_extension("path")
}

fn file_name(model: &str, bug: Option<&str>) -> String {
    [model].into_iter().chain(bug).collect::<Vec<_>>().join("-").replace("::", "-")
}

/// Runs a search up to this execution, which must be the one that fails, with a record of it. It
/// begins with what `path` leads to, if there is such a file, or else with the first one; every
/// `interval` executions, `path` is written.
fn run(
    mut builder: Builder,
    scenario: Scenario,
    path: &Path,
    execution: usize,
    interval: usize,
) -> Result<String, String> {
    builder.checkpoint_file = Some(path.into());
    builder.checkpoint_interval = interval;
    let (begun, kept) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None)));
    let (count, keep) = (Arc::clone(&begun), Arc::clone(&kept));
    let ended = on_a_thread(REPLAYED, move || {
        let steps = move || match (count.fetch_add(1, Ordering::Relaxed) + 1).cmp(&execution) {
            std::cmp::Ordering::Less => (scenario.steps)(),
            std::cmp::Ordering::Equal => (scenario.build.record)(scenario.steps),
            std::cmp::Ordering::Greater => panic::resume_unwind(Box::new(PASSED)),
        };
        let ended = catch_unwind(AssertUnwindSafe(|| builder.check(steps)));
        let failure = ended.as_ref().err().map(|failure| message(&**failure)).filter(|failure| *failure != PASSED);
        *keep.lock().unwrap_or_else(PoisonError::into_inner) = (scenario.build.recorded)(failure);
    });
    let trace = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
    trace.filter(|_| ended.is_ok()).ok_or_else(|| {
        let begun = begun.load(Ordering::Relaxed);
        format!("execution {begun} failed before it; is the model deterministic?")
    })
}

fn text(model: &Model, bug: Option<&str>, trace: &str, path: &Path) -> String {
    let name = model.name;
    let with = bug.map(|bug| format!(", with {bug}")).unwrap_or_default();
    let bug = bug.map(|bug| format!("{SHOW}={bug} ")).unwrap_or_default();
    let path = path.strip_prefix(root()).unwrap_or(path).display();
    format!(
        "\n{name}{with}\n\n{trace}\n{AGAIN}\n{bug}{REPLAY}={path} RUSTFLAGS=\"--cfg loom\" \\\n    \
         cargo test --test models -- --exact {name}\n",
    )
}

/// What ends a search that has got past the execution that was to be shown.
const PASSED: &str = "it did not fail";

/// What stands above the command.
const AGAIN: &str = "The same again:";

/// What a process of its own shows: the trace, and the file of the command below them.
fn shown(model: &str, bug: Option<&str>, path: Option<&str>) -> (String, String) {
    let mut process = std::process::Command::new(env::current_exe().expect("the path of these tests"));
    process.args(["--exact", model]).env_remove("RUST_BACKTRACE");
    process.envs(bug.map(|bug| (SHOW, bug))).envs(path.map(|path| (REPLAY, path)));
    let output = process.output().expect("a process");
    assert!(!output.status.success(), "what is shown is no check, and passes none");
    let said = String::from_utf8(output.stderr).expect("text");
    let begins = said.find(&format!("\n{model}")).unwrap_or_else(|| panic!("nothing is shown:\n{said}")) + 1;
    let (trace, command) = said[begins..].split_once(AGAIN).expect("a command");
    let (_, path) = command.split_once(&format!("{REPLAY}=")).expect("a file");
    (trace.into(), path.split_whitespace().next().expect("a file").into())
}

/// The text that is kept of what is shown of each, and the same from the file that the command
/// names.
fn is_shown_as_kept(model: &str, bug: &str) {
    let (trace, path) = shown(model, Some(bug), None);
    let (again, _) = shown(model, Some(bug), Some(&path));
    assert!(again == trace, "the execution that is replayed is another one: searched\n{trace}\nreplayed\n{again}");

    let name = format!("{}.txt", file_name(model, Some(bug)));
    let (kept, new) =
        (root().join("loom-tests/traces").join(&name), Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name));
    if fs::read_to_string(&kept).unwrap_or_default() != trace {
        fs::write(&new, &trace).expect("a file below the target directory");
        panic!("{} is not what is shown now, which is in {}:\n{trace}", kept.display(), new.display());
    }
}

/// The execution that fails with the bug, without the bug.
#[test]
fn an_execution_that_does_not_fail_any_more_is_shown() {
    let model = "replicator::rebase_resumes_the_pusher";
    let (trace, path) = shown(model, Some("ResumeOnAdvanceOnly"), None);
    assert!(trace.contains("Deadlock"), "{trace}");
    let (trace, _) = shown(model, None, Some(&path));
    assert!(trace.contains("Nothing failed."), "{trace}");
}

/// A deadlock of a primitive.
#[test]
fn a_waker_that_misses_its_waiter_is_shown() {
    is_shown_as_kept("latch::open_lets_a_thread_through", "WakeWithoutLock");
}

/// A failed assertion about what only a look has shown.
#[test]
fn a_look_at_an_interrupt_is_shown() {
    is_shown_as_kept("interrupt::the_first_cause_stays_and_every_setter_sees_it", "SecondSetterReturnsEarly");
}

/// The count that was read before.
#[test]
fn a_look_at_an_epoch_is_shown() {
    is_shown_as_kept("epoch::a_bump_is_never_missed", "WakeWithoutLock");
}

/// H001.
#[test]
fn an_advance_that_wakes_no_pusher_is_shown() {
    is_shown_as_kept("replicator::advance_resumes_the_pusher", "ResumeOnRebaseOnly");
}

/// Its first published fix.
#[test]
fn an_advance_that_comes_before_the_park_is_shown() {
    is_shown_as_kept("replicator::advance_resumes_the_pusher", "ParkedFlag");
}

/// A failed assertion.
#[test]
fn a_failed_assertion_is_shown() {
    is_shown_as_kept("worker::a_restart_is_never_lost", "RestartLost");
}

/// A search without end.
#[test]
fn a_thread_that_looks_for_ever_is_shown() {
    is_shown_as_kept("replicator::a_failure_is_visible_and_a_restart_ends_it", "SilentExit");
}
