//! The gate: everything that must hold before a change lands. `.ci/run` runs it.
//!
//! It needs cargo with rustfmt and clippy, and git; with python3 it checks the workflows too. It writes to the target
//! directory only. The first step that fails ends the run.

mod commits;
mod gate;
mod layers;
mod names;
mod pages;
mod source;
mod steps;

use std::env;
use std::process::ExitCode;
use std::time::Instant;

use gate::{Gate, Outcome};
use steps::{STEPS, Step};

const USAGE: &str = "usage: .ci/run [STEP]...

Runs the steps that are named, or all that need no more than cargo and git, in the order of this list:
";

fn main() -> ExitCode {
    let words: Vec<_> = env::args().skip(1).collect();
    if words.iter().any(|word| ["-h", "--help"].contains(&word.as_str())) {
        print!("{USAGE}\n{}", list());
        return ExitCode::SUCCESS;
    }
    if words.iter().any(|word| word == "--list") {
        print!("{}", list());
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = words.iter().find(|word| STEPS.iter().all(|step| step.name != **word)) {
        eprintln!("error: there is no step `{unknown}`; these are:\n\n{}", list());
        return ExitCode::from(2);
    }
    let is_wanted =
        |step: &&Step| if words.is_empty() { step.needs.is_none() } else { words.iter().any(|word| word == step.name) };
    match run(&STEPS.iter().filter(is_wanted).collect::<Vec<_>>(), !words.is_empty()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> String {
    let needs = |step: &Step| step.needs.map_or(String::new(), |needs| format!(" (if named; needs {needs})"));
    STEPS.iter().fold(String::new(), |list, step| list + &format!("{:18}{}{}\n", step.name, step.title, needs(step)))
}

fn run(steps: &[&Step], named: bool) -> Outcome {
    let begun = Instant::now();
    let gate = Gate::new(named)?;
    let mut times = String::new();
    for step in steps {
        let started = begun.elapsed().as_secs();
        println!("\n==== [{started:3} s] {}", step.title);
        (step.run)(&gate).map_err(|error| {
            format!(
                "{error}\n\n==== [{:3} s] FAILED in: {} (`.ci/run {}`)",
                begun.elapsed().as_secs(),
                step.title,
                step.name
            )
        })?;
        times += &format!("{:4} s  {}\n", begun.elapsed().as_secs() - started, step.title);
    }
    println!("\n==== [{:3} s] everything holds\n{times}", begun.elapsed().as_secs());
    let (passed, failed) = gate.tests.get();
    println!("tests: {passed} passed, {failed} failed");
    Ok(())
}
